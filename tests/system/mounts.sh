#!/bin/bash
# The command: what it refuses and how, its options, mount(8), fstab, other users, every way to end it.
# shellcheck disable=SC2016 # for sh -c
# shellcheck source=tests/system/lib.sh
# All in a mount namespace of its own, where mount(8), which goes by a PATH of its own, finds the program, and every
# user may open /dev/fuse, as he may on a desktop.
[ -n "${OWN_NAMESPACE-}" ] || OWN_NAMESPACE=1 exec unshare --mount --propagation private bash "$0"
. "$(dirname "$0")/lib.sh"
mount -t tmpfs tmpfs /usr/local/sbin
ln -s "$COORDFS" /usr/local/sbin/coordfs
mkdir "$W/dev"
mount -t tmpfs -o mode=755 tmpfs "$W/dev"
mknod -m 666 "$W/dev/fuse" c 10 229
mount --bind "$W/dev/fuse" /dev/fuse

# Each case starts with a data directory of its own name, an empty mount point, and leaves nothing mounted.
fresh() {
	DATA=$W/data-${FUNCNAME[1]}
	MNT=$W/mnt-${FUNCNAME[1]}
	mkdir "$MNT"
	trap kill_mount EXIT
}

# refused PATTERN ARGUMENT…: exit status 1, one line of words on stderr, nothing on stdout, no mount, no daemon
refused() {
	local pattern=$1 status=0
	shift
	timeout 30 "$COORDFS" "$@" >"$W/out" 2>"$W/err" </dev/null || status=$?
	[ $status = 1 ] || fail "coordfs $*: exit status $status, want 1; it said: $(cat "$W/err")"
	assert_eq "$(cat "$W/out")" "" "stdout"
	assert_eq "$(wc -l <"$W/err")" 1 "lines on stderr ($(cat "$W/err"))"
	assert_match "$(cat "$W/err")" "coordfs: $pattern" "coordfs $*"
}

no_daemon() { ! mount_pid >/dev/null; }

# ---- words ---------------------------------------------------------------------------------------------------------

t_version() {
	assert_match "$("$COORDFS" -V)" 'coordfs [0-9]*'
	assert_match "$("$COORDFS" --version)" 'coordfs [0-9]*'
}

t_help() {
	local option
	"$COORDFS" -h >"$W/help"
	grep -q '^usage: coordfs SOURCE MOUNTPOINT' "$W/help"
	for option in -f -d -V -h name= timeout= allow_other ro; do
		grep -q -e "$option" "$W/help" || fail "-h does not tell of $option"
	done
	assert_eq "$("$COORDFS" --help)" "$(cat "$W/help")"
}

t_wrong_arguments() {
	fresh
	refused '*'
	refused '*' "$DATA"
	refused '*' "$DATA" "$MNT" more
	refused '*nonsense*' "$DATA" "$MNT" -o nonsense
	refused '*' "$DATA" "$MNT" --nonsense
	refused '*timeout*' "$DATA" "$MNT" -o timeout=x
	refused '*timeout*' "$DATA" "$MNT" -o timeout=
	refused '*timeout*' "$DATA" "$MNT" -o timeout=-1
	refused '*name*' "$DATA" "$MNT" -o name=
	refused '*' "$DATA" "$MNT" -o
	assert_errno ENOENT stat "$DATA"
}

# ---- SOURCE --------------------------------------------------------------------------------------------------------

t_the_data_directory_is_made() {
	fresh
	start_mount
	test -d "$DATA"
	assert_eq "$(stat -c %a "$DATA")" 700
	stop_mount
}

t_a_data_directory_that_cannot_be_made() {
	fresh
	refused '*/none/*' "$W/none/data" "$MNT"
	: >"$W/plain"
	refused '*plain*' "$W/plain/data" "$MNT"
}

t_a_data_directory_that_is_a_file() {
	fresh
	: >"$DATA"
	refused '*not a directory*' "$DATA" "$MNT"
	refused '*' /dev/null "$MNT"
}

t_a_data_directory_full_of_something_else() {
	fresh
	mkdir "$DATA"
	echo precious >"$DATA/thesis.tex"
	refused '*not empty*' "$DATA" "$MNT"
	assert_content "$DATA/thesis.tex" 'precious\n'
}

t_a_data_directory_without_permission() {
	fresh
	start_mount && stop_mount
	chown 65534 "$MNT"
	local status=0
	as_nobody "$COORDFS" "$DATA" "$MNT" >"$W/out" 2>&1 || status=$?
	assert_eq $status 1
	assert_eq "$(wc -l <"$W/out")" 1
	mkdir "$W/unreadable-parent"
	chmod 700 "$W/unreadable-parent"
	status=0
	as_nobody "$COORDFS" "$W/unreadable-parent/data" "$MNT" >"$W/out" 2>&1 || status=$?
	assert_eq $status 1
	assert_match "$(cat "$W/out")" '*ermission*'
}

t_a_second_daemon_is_refused_by_the_pid_of_the_first() {
	fresh
	start_mount
	mkdir "$W/second"
	refused "*pid $(mount_pid)*" "$DATA" "$W/second"
	echo +1 >"$MNT/counters/still"
	assert_content "$MNT/counters/still" '1\n'
	stop_mount
}

t_a_data_directory_of_another_member() {
	fresh
	start_mount -o name=alpha
	assert_eq "$(cat "$MNT/cluster/self")" alpha
	stop_mount
	refused '*alpha*beta*name=alpha*' "$DATA" "$MNT" -o name=beta
	start_mount # without a name: the directory's own
	assert_eq "$(cat "$MNT/cluster/self")" alpha
	stop_mount
}

t_a_read_only_data_directory() {
	fresh
	mkdir "$W/romount"
	mount -t tmpfs -o ro tmpfs "$W/romount"
	refused '*ead-only*' "$W/romount/data" "$MNT"
	umount "$W/romount"
}

t_the_volatile_store() {
	fresh
	mkdir "$W/shm"
	mount -t tmpfs -o size=200m tmpfs "$W/shm"
	DATA=$W/shm/data
	start_mount
	echo 5 >"$MNT/counters/a"
	echo text >"$MNT/files/a"
	flock "$MNT/locks/a" true
	crash_and_restart
	assert_content "$MNT/counters/a" '5\n'
	assert_content "$MNT/files/a" 'text\n'
	stop_mount
	umount "$W/shm"
}

# ---- MOUNTPOINT ----------------------------------------------------------------------------------------------------

t_a_mount_point_that_is_missing() {
	fresh
	refused '*none*' "$DATA" "$W/none"
}

t_a_mount_point_that_is_a_file() {
	fresh
	: >"$W/file"
	refused '*file*' "$DATA" "$W/file"
}

t_a_mount_point_that_is_not_empty() {
	fresh
	: >"$MNT/something"
	refused '*not empty*' "$DATA" "$MNT"
	rm "$MNT/something"
	start_mount
	stop_mount
}

t_a_mount_point_that_is_mounted() {
	fresh
	start_mount
	refused '*mounted*' "$W/other-data" "$MNT"
	assert_eq "$(awk -v m="$MNT" '$5 == m' /proc/self/mountinfo | wc -l)" 1
	stop_mount
}

t_a_mount_point_left_by_a_crash() {
	fresh
	start_mount
	echo 1 >"$MNT/counters/a"
	local pid
	pid=$(mount_pid)
	kill -9 "$pid"
	wait_until 10 gone "$pid"
	assert_errno ENOTCONN stat "$MNT/README"
	start_mount
	assert_eq "$(awk -v m="$MNT" '$5 == m' /proc/self/mountinfo | wc -l)" 1
	assert_content "$MNT/counters/a" '1\n'
	stop_mount
}

t_a_mount_point_inside_the_data_directory() {
	fresh
	start_mount && stop_mount
	mkdir "$DATA/mnt" 2>/dev/null
	timeout 30 "$COORDFS" "$DATA" "$DATA/mnt" >"$W/out" 2>&1 && umount "$DATA/mnt"
	wait_until 20 no_daemon
}

# ---- a start that works --------------------------------------------------------------------------------------------

t_it_says_nothing_and_lets_go_of_its_output() {
	fresh
	# command substitution ends when every writer of the pipe has gone
	assert_eq "$(timeout 30 "$COORDFS" "$DATA" "$MNT" 2>&1)" ""
	test -s "$MNT/README"
	stop_mount
}

t_it_serves_when_it_returns() {
	fresh
	local i
	for i in 1 2 3 4 5; do
		start_mount
		echo +1 >"$MNT/counters/starts"
		assert_content "$MNT/counters/starts" "$i\n"
		stop_mount
	done
}

t_relative_paths_and_blanks() {
	fresh
	MNT="$W/a mount point"
	mkdir "$MNT"
	(cd "$W" && timeout 30 "$COORDFS" "relative data" "a mount point")
	echo 1 >"$MNT/counters/a"
	umount "$MNT"
	test -d "$W/relative data"
	wait_until 20 no_daemon
}

t_what_mount_shows() {
	fresh
	start_mount
	assert_eq "$(findmnt -n -o FSTYPE,SOURCE "$MNT" | tr -s ' ')" "fuse.coordfs $DATA"
	stop_mount
}

t_the_root() {
	fresh
	start_mount
	assert_eq "$(find "$MNT" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" '.info .wait README cluster counters fences files locks transactions votes '
	assert_match "$(cat "$MNT/README")" '*counters*'
	((50 > $(wc -l <"$MNT/README"))) || fail "README is more than a screen"
	assert_match "$(cat "$MNT/cluster/status")" '*revision=*state=*'
	stop_mount
}

t_two_mounts_beside_each_other() {
	fresh
	start_mount
	echo 1 >"$MNT/counters/a"
	mkdir "$W/mnt2"
	"$COORDFS" "$W/data2" "$W/mnt2"
	echo 2 >"$W/mnt2/counters/a"
	assert_content "$MNT/counters/a" '1\n'
	umount "$W/mnt2"
	stop_mount
}

t_foreground() {
	fresh
	"$COORDFS" "$DATA" "$MNT" -f >"$W/f.log" 2>&1 &
	local pid=$!
	wait_until 30 mount_serves
	assert_eq "$(mount_pid)" $pid
	umount "$MNT"
	wait $pid
}

t_debug() {
	fresh
	"$COORDFS" "$DATA" "$MNT" -d >"$W/d.log" 2>&1 &
	local pid=$!
	wait_until 30 mount_serves
	cat "$MNT/README" >/dev/null
	umount "$MNT"
	wait $pid
	grep -q LOOKUP "$W/d.log"
}

t_read_only() {
	fresh
	start_mount
	echo 5 >"$MNT/counters/a"
	echo text >"$MNT/files/a"
	stop_mount
	start_mount -o ro
	assert_content "$MNT/counters/a" '5\n'
	assert_content "$MNT/files/a" 'text\n'
	assert_errno EROFS open O_WRONLY "$MNT/counters/a"
	assert_errno EROFS open 'O_CREAT|O_WRONLY' "$MNT/files/b"
	assert_errno EROFS unlink "$MNT/files/a"
	assert_errno EROFS mkdir "$MNT/files/d"
	stop_mount
}

t_mount_8() {
	fresh
	mount -t fuse.coordfs "$DATA" "$MNT"
	echo 5 >"$MNT/counters/a"
	assert_content "$MNT/counters/a" '5\n'
	umount "$MNT"
	wait_until 20 no_daemon
	mount -t fuse.coordfs -o ro,allow_other "$DATA" "$MNT"
	as_nobody cat "$MNT/counters/a" >/dev/null
	assert_errno EROFS open O_WRONLY "$MNT/counters/a"
	umount "$MNT"
}

t_fstab() {
	fresh
	echo "$DATA $MNT fuse.coordfs noauto,allow_other,nosuid,nodev,noexec,_netdev,x-systemd.automount 0 0" >"$W/fstab"
	mount -T "$W/fstab" "$MNT"
	echo 5 >"$MNT/counters/a"
	assert_match "$(findmnt -n -o OPTIONS "$MNT")" '*nosuid*nodev*noexec*'
	umount "$MNT"
	wait_until 20 no_daemon
}

# ---- users ---------------------------------------------------------------------------------------------------------

t_root_mounts_for_all() {
	fresh
	start_mount
	assert_op '' as 65534 65534 : open O_RDONLY "$MNT/README" : read 0
	assert_op 0 as 65534 65534 : open 'O_CREAT|O_WRONLY' "$MNT/files/nobodys"
	assert_errno EACCES as 65534 65534 : open 'O_CREAT|O_WRONLY' "$MNT/cluster/x"
	stop_mount
	start_mount -o allow_other
	stop_mount
}

t_an_unprivileged_user_mounts_for_himself() {
	fresh
	mkdir "$DATA"
	chown 65534:65534 "$DATA" "$MNT"
	as_nobody timeout 30 "$COORDFS" "$DATA" "$MNT"
	as_nobody sh -c 'echo +1 >"$1/counters/mine"; echo text >"$1/files/mine"; flock "$1/locks/mine" true' sh "$MNT"
	assert_eq "$(as_nobody cat "$MNT/counters/mine" "$MNT/files/mine" | tr '\n' ' ')" '1 text '
	assert_eq "$(as_nobody stat -c %u:%g "$MNT/files" "$MNT/files/mine" | tr '\n' ' ')" '65534:65534 65534:65534 '
	assert_eq "$(stat -c %u "/proc/$(mount_pid)")" 65534
	assert_errno EACCES stat "$MNT/README"
	as_nobody fusermount3 -u "$MNT"
	wait_until 20 no_daemon
	as_nobody timeout 30 "$COORDFS" "$DATA" "$MNT"
	assert_eq "$(as_nobody cat "$MNT/counters/mine")" 1
	as_nobody fusermount3 -u "$MNT"
	wait_until 20 no_daemon
}

t_an_unprivileged_user_may_not_mount_for_all() {
	grep -qs '^user_allow_other' /etc/fuse.conf && skip "/etc/fuse.conf allows it"
	fresh
	mkdir "$DATA"
	chown 65534:65534 "$DATA" "$MNT"
	local status=0
	as_nobody timeout 30 "$COORDFS" "$DATA" "$MNT" -o allow_other >"$W/out" 2>&1 || status=$?
	assert_eq $status 1
	grep -q allow_other "$W/out"
	wait_until 10 no_daemon
}

# ---- the end -------------------------------------------------------------------------------------------------------

t_sigterm() {
	fresh
	start_mount
	echo 5 >"$MNT/counters/a"
	kill "$(mount_pid)"
	wait_until 20 no_daemon
	is_mounted && fail "still mounted"
	start_mount
	assert_content "$MNT/counters/a" '5\n'
	stop_mount
}

t_sigterm_in_the_foreground_is_success() {
	fresh
	local signal pid
	for signal in TERM INT HUP; do
		setsid "$COORDFS" "$DATA" "$MNT" -f >"$W/f.log" 2>&1 &
		pid=$!
		wait_until 30 mount_serves
		kill -$signal "$(mount_pid)"
		wait $pid
		is_mounted && fail "still mounted after SIG$signal"
	done
	return 0
}

t_sigterm_with_files_open_and_a_lock_waited_for() {
	fresh
	start_mount
	actor a
	actor b
	ask a open 'O_RDWR|O_CREAT' "$MNT/locks/x" && ask b open O_RDWR "$MNT/locks/x"
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/x
	kill "$(mount_pid)"
	wait_until 20 no_daemon
	assert_match "$(hear b)" 'E*'
	is_mounted && fail "still mounted"
	start_mount
	assert_op ok open O_RDWR "$MNT/locks/x" : flock 'ex|nb'
	stop_mount
}

t_umount() {
	fresh
	start_mount
	echo 5 >"$MNT/counters/a"
	umount "$MNT"
	wait_until 20 no_daemon
	start_mount
	fusermount3 -u "$MNT"
	wait_until 20 no_daemon
	start_mount
	umount -l "$MNT"
	wait_until 20 no_daemon
	start_mount
	assert_content "$MNT/counters/a" '5\n'
	stop_mount
}

# umount(8) is back before the daemon has ended.
t_umount_and_mount_again_at_once() {
	fresh
	start_mount
	local i
	for i in {1..20}; do
		echo +1 >"$MNT/counters/a"
		umount "$MNT"
		start_mount
	done
	assert_content "$MNT/counters/a" '20\n'
	stop_mount
}

t_umount_of_a_busy_mount_is_refused() {
	fresh
	start_mount
	exec 8<"$MNT/README"
	assert_fails umount "$MNT"
	echo 1 >"$MNT/counters/a"
	exec 8<&-
	stop_mount
}

t_a_clean_end_frees_what_was_held_at_once() {
	fresh
	start_mount
	mkdir "$MNT/locks/held"
	actor a
	ask a open 'O_RDWR|O_CREAT' "$MNT/locks/l"
	assert_ask ok a flock ex
	umount -l "$MNT"
	actor_kill a
	wait_until 20 no_daemon
	start_mount
	assert_eq "$(holders locks/l)" 0
	assert_errno ENOENT stat "$MNT/locks/held"
	stop_mount
}

t_many_starts_leave_no_litter() {
	fresh
	local i
	for i in {1..10}; do
		start_mount
		echo +1 >"$MNT/counters/n"
		if ((i % 2)); then stop_mount; else kill_mount; fi
	done
	assert_eq "$(find "$DATA" -maxdepth 1 -name '*.new' -o -maxdepth 1 -name '*.tmp')" ""
	(($(du -sm "$DATA" | cut -f 1) < 100)) || fail "the data directory has grown to $(du -sh "$DATA")"
	start_mount
	assert_content "$MNT/counters/n" '10\n'
	stop_mount
}

run_cases
