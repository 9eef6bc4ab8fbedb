#!/bin/bash
# .wait/PATH: who waits for a change, what he is told, and that he misses none; that nobody waits who did not want to.
# shellcheck disable=SC2154 # variables of lib.sh
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip_all "needs python3"
start_mount -o allow_other || bail "no mount"
WAIT=$MNT/.wait

now() { sed -n 's/.*revision=\([0-9]*\) state=.*/\1/p' "$MNT/cluster/status"; }
is_open() { find "/proc/$1/fd" -lname "$2" 2>/dev/null | grep -q .; }
has_open_twice() { [ "$(find "/proc/$1/fd" -lname "$2" 2>/dev/null | wc -l)" = 2 ]; }
waiter() { timeout -k 5 100 python3 "$HERE/wait.py" "$@"; }

# begin NAME PATH: cat .wait/PATH, whose answer `assert_told NAME` wants; returns when the file is open
begin() {
	cat "$WAIT/$2" >"$W/$1.told" 2>"$W/$1.error" &
	eval "$1_pid=\$!"
	wait_until 10 is_open $! "$WAIT/$2"
}

# assert_told NAME TEXT (printf format): it ended, and told TEXT without the revision
assert_told() {
	local pid=$1_pid
	wait_until 10 gone "${!pid}"
	wait "${!pid}" || fail "$1 ended with $?: $(cat "$W/$1.error")"
	# shellcheck disable=SC2059
	assert_eq "$(cut -d ' ' -f 2- "$W/$1.told")" "$(printf "$2")" "$1"
	assert_eq "$(cut -d ' ' -f 1 "$W/$1.told" | sort -u | wc -l)" 1 "revisions of $1"
}
told_revision() { head -n 1 "$W/$1.told" | cut -d ' ' -f 1; }

# assert_still NAME: it waits
assert_still() {
	local pid=$1_pid
	[ -d "/proc/${!pid}" ] && ! gone "${!pid}" && [ ! -s "$W/$1.told" ] || fail "$1 was told '$(cat "$W/$1.told" "$W/$1.error")'"
}
stop() {
	local pid=$1_pid
	kill "${!pid}"
	wait "${!pid}" || :
}

# since N PATH: what .wait/PATH@N tells at once
since() { timeout 5 cat "$WAIT/$2@$1"; }

# ---- what is told --------------------------------------------------------------------------------------------------

t_the_next_change() {
	echo 1 >"$MNT/counters/c"
	begin w counters/c
	echo 1 >"$MNT/counters/other"
	assert_still w
	echo +1 >"$MNT/counters/c"
	assert_told w 'changed c\n'
	assert_eq "$(told_revision w)" "$(info revision counters/c)"
}

t_what_came_after_a_revision_is_told_at_once() {
	local from
	from=$(now)
	: >"$MNT/counters/at_once"
	echo +1 >"$MNT/counters/at_once"
	echo +1 >"$MNT/counters/at_once"
	assert_eq "$(since "$from" counters/at_once)" "$((from + 1)) made at_once"
	assert_eq "$(since $((from + 1)) counters/at_once)" "$((from + 2)) changed at_once"
	assert_eq "$(since $((from + 2)) counters/at_once)" "$((from + 3)) changed at_once"
	assert_eq "$(now)" $((from + 3))
	begin w "counters/at_once@$((from + 3))"
	begin later "counters/at_once@$((from + 4))"
	echo +1 >"$MNT/counters/at_once"
	assert_told w 'changed at_once\n'
	assert_still later
	echo +1 >"$MNT/counters/at_once"
	assert_told later 'changed at_once\n'
	assert_eq "$(told_revision later)" $((from + 5))
}

t_every_kind_of_change() {
	local path
	touch "$MNT/counters/k" "$MNT/files/k" "$MNT/fences/k" "$MNT/locks/k"
	ln -s x "$MNT/files/link"
	for path in counters/k files/k fences/k; do
		begin w $path
		echo 5 >"$MNT/$path"
		assert_told w 'changed k\n'
	done
	begin w locks/k
	chmod 600 "$MNT/locks/k"
	assert_told w 'changed k\n'
	begin w files/k
	op setxattr "$MNT/files/k" user.x y
	assert_told w 'changed k\n'
	begin w files/k
	truncate -s 100 "$MNT/files/k"
	assert_told w 'changed k\n'
	begin w counters/k
	echo max=7 >"$MNT/.info/counters/k"
	assert_told w 'changed k\n'
	begin w files/link
	rm "$MNT/files/link"
	assert_told w 'removed link\n'
	assert_errno EISDIR open O_RDONLY "$WAIT/files" : read
}

t_a_lock_is_no_change() {
	touch "$MNT/locks/l"
	begin w locks/l
	flock "$MNT/locks/l" true
	flock -s "$MNT/locks/l" flock -sn "$MNT/locks/l" true
	assert_still w
	rm "$MNT/locks/l"
	assert_told w 'removed l\n'
}

t_a_directory_stands_for_its_subtree() {
	local from
	mkdir -p "$MNT/files/tree/a/b" "$MNT/files/treeline"
	from=$(now)
	begin all files/tree/.self
	begin b files/tree/a/b/.self
	echo x >"$MNT/files/tree/a/b/f"
	assert_told all 'made a/b/f\n'
	assert_told b 'made f\n'
	touch "$MNT/files/treeline/f"
	assert_eq "$(since "$from" files/tree | cut -d ' ' -f 2-)" 'made a/b/f'
	assert_eq "$(since "$from" files/tree/a | cut -d ' ' -f 2-)" 'made b/f'
	assert_eq "$(since "$from" files/tree/a/b/.self | cut -d ' ' -f 2-)" 'made f'
	assert_eq "$(since "$from" files | cut -d ' ' -f 2-)" 'made tree/a/b/f'
	assert_eq "$(since "$from" .self | cut -d ' ' -f 2-)" 'made files/tree/a/b/f'
	begin all "files/tree/.self@$(now)"
	chmod 700 "$MNT/files/tree"
	assert_told all 'changed .\n'
	begin all "files/tree@$(now)"
	rm -r "$MNT/files/tree/a/b"
	assert_told all 'removed a/b/f\n'
	begin all files/tree/.self
	rm -r "$MNT/files/tree"
	assert_told all 'removed a\n'
}

t_what_is_not_there_yet() {
	mkdir "$MNT/files/empty"
	begin w files/empty/new
	begin d files/empty/dir
	touch "$MNT/files/empty/newer"
	assert_still w
	touch "$MNT/files/empty/new"
	assert_told w 'made new\n'
	mkdir "$MNT/files/empty/dir"
	assert_told d 'made dir\n'
	assert_errno ENOTDIR open O_RDONLY "$WAIT/files/none/new"
	assert_errno ENOTDIR open O_RDONLY "$WAIT/files/empty/new/x"
	assert_errno ENOENT open O_RDONLY "$WAIT/none"
	assert_errno ENOENT open O_RDONLY "$WAIT/none@1"
}

t_removal_and_rename() {
	touch "$MNT/files/old" "$MNT/files/target"
	begin old files/old
	begin new files/new
	mv "$MNT/files/old" "$MNT/files/new"
	assert_told old 'removed old\n'
	assert_told new 'made new\n'
	assert_eq "$(told_revision old)" "$(told_revision new)"
	begin target files/target
	mv "$MNT/files/new" "$MNT/files/target"
	assert_told target 'made target\n'
	begin target files/target
	echo x >"$MNT/files/target" # it is the new one that is waited for
	assert_told target 'changed target\n'
	begin target files/target
	rm "$MNT/files/target"
	assert_told target 'removed target\n'
}

# One handle goes with the path, not with the object.
t_a_handle_stays_with_its_path() {
	touch "$MNT/files/here"
	actor a
	assert_ask 0 a open O_RDONLY "$WAIT/files/here"
	mv "$MNT/files/here" "$MNT/files/there"
	assert_match "$(ask a pread 0)" '* removed here\\n'
	echo x >"$MNT/files/there"
	tell a pread 0
	assert_eq "$(hear a 0.05)" silence
	mv "$MNT/files/there" "$MNT/files/here"
	assert_match "$(hear a)" '* made here\\n'
	echo y >"$MNT/files/here"
	assert_match "$(ask a pread 0)" '* changed here\\n'
}

t_a_directory_above_moves() {
	mkdir -p "$MNT/files/up/down" "$MNT/files/side"
	touch "$MNT/files/up/down/f"
	begin f files/up/down/f
	begin none files/up/down/none
	begin up files/up/.self
	begin elsewhere files/side/f
	mv "$MNT/files/up" "$MNT/files/away"
	assert_told f 'moved f\n'
	assert_told none 'moved none\n'
	assert_told up 'removed .\n'
	assert_still elsewhere
	mv -T "$MNT/files/away/down" "$MNT/files/side"
	assert_told elsewhere 'moved f\n'
	begin f files/side/f
	op rename "$MNT/files/side" "$MNT/files/away" exchange
	assert_told f 'moved f\n'
	begin f files/away/f
	echo x >"$MNT/files/away/f"
	assert_told f 'changed f\n'
	begin f files/away/none
	rm -r "$MNT/files/away"
	assert_told f 'moved none\n'
}

t_a_commit_is_told_in_one_read() {
	local from n
	mkdir "$MNT/files/ten" "$MNT/transactions/t"
	from=$(now)
	for n in {1..9}; do echo $n >"$MNT/transactions/t/files/ten/$n"; done
	echo 5 >"$MNT/transactions/t/counters/tenth"
	begin ten files/ten/.self
	begin all .self
	begin one files/ten/7
	echo commit >"$MNT/transactions/t/ctl"
	assert_told ten "$(printf 'made %d\\nchanged %d\\n' 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9)"
	assert_eq "$(grep -c made "$W/all.told")" 10
	assert_told one 'made 7\nchanged 7\n'
	rmdir "$MNT/transactions/t"
	assert_eq "$(dd if="$WAIT/files/ten@$from" bs=7 count=1000 status=none)" "$(cat "$W/ten.told")" "in small pieces"
}

t_hard_links() {
	local from
	mkdir "$MNT/files/one" "$MNT/files/two"
	echo x >"$MNT/files/one/a"
	begin a files/one/a
	from=$(now)
	ln "$MNT/files/one/a" "$MNT/files/two/b"
	assert_told a 'changed a\n'
	begin a files/one/a
	begin b files/two/b
	echo y >"$MNT/files/two/b"
	assert_told a 'changed a\n'
	assert_told b 'changed b\n'
	begin b files/two/b
	echo z >"$MNT/files/one/a"
	assert_told b 'changed b\n'
	assert_eq "$(since "$from" files/one/a | cut -d ' ' -f 2-)" 'changed a'
	begin a files/one/a
	rm "$MNT/files/two/b"
	assert_told a 'changed a\n'
	begin a files/one/a
	echo w >"$MNT/files/one/a"
	assert_told a 'changed a\n'
	assert_eq "$(since $(($(told_revision a) - 1)) files/one/a)" "$(cat "$W/a.told")"
	# its life under another name is not the path's
	from=$(now)
	echo v >"$MNT/files/tmp"
	echo w >>"$MNT/files/tmp"
	mv "$MNT/files/tmp" "$MNT/files/one/a"
	assert_eq "$(since "$from" files/one/a)" "$((from + 4)) made a"
}

t_names() {
	touch "$MNT/files/a@41" "$MNT/files/@" "$MNT/files/x@" "$MNT/files/b@c" "$MNT/files/ ü"
	assert_errno ENODATA open O_RDONLY "$WAIT/files/a@41@0" : read
	begin w "files/a@41@$(now)"
	begin x files/x@
	begin at files/@
	begin c files/b@c
	begin blank 'files/ ü'
	for name in a@41 @ x@ b@c ' ü'; do echo x >"$MNT/files/$name"; done
	assert_told w 'changed a@41\n'
	assert_told x 'changed x@\n'
	assert_told at 'changed @\n'
	assert_told c 'changed b@c\n'
	assert_told blank 'changed  ü\n'
	assert_errno ERANGE open O_RDONLY "$WAIT/files/a@99999999999999999999"
	assert_errno ENOENT open O_RDONLY "$WAIT/files/.cas"
	assert_errno ENOENT open O_RDONLY "$WAIT/README"
	assert_errno ENOENT open O_RDONLY "$WAIT/cluster/status"
	name=$(printf '%0255d' 0)
	begin w "files/$name@$(now)"
	touch "$MNT/files/$name"
	assert_told w "made $name\n"
	begin w files/.self
	touch "$MNT/files/"$'two\nlines'
	assert_told w 'made two?lines\n'
}

# ---- nothing is missed ---------------------------------------------------------------------------------------------

t_a_loop_misses_nothing() {
	local last line n=0
	touch "$MNT/counters/loop"
	last=$(now)
	for n in {1..200}; do echo +1; done | while read -r n; do echo "$n" >"$MNT/counters/loop"; done &
	for n in {1..200}; do
		line=$(since "$last" counters/loop) || fail "after $n of 200"
		[ "$line" = "$((last + 1)) changed loop" ] || fail "after $last: $line"
		last=${line%% *}
	done
	assert_content "$MNT/counters/loop" '200\n'
	wait
	begin w "counters/loop@$last"
	assert_still w
	stop w
}

t_one_handle_tells_one_after_another() {
	local pid n
	touch "$MNT/counters/one"
	n=$(now)
	waiter follow "$WAIT/counters/one" 100 >"$W/follow" &
	pid=$!
	wait_until 20 grep -qx open "$W/follow"
	for _ in {1..50}; do echo +1 >"$MNT/counters/one"; done
	for _ in {1..50}; do echo +1; done >>"$W/requests"
	while read -r request; do echo "$request" >"$MNT/counters/one"; done <"$W/requests"
	wait $pid || fail "it ended with $?"
	assert_eq "$(tail -n +2 "$W/follow")" "$(seq -f '%g changed one' $((n + 1)) $((n + 100)))"
}

t_what_is_not_known_any_more() {
	echo 1 >"$MNT/counters/h"
	assert_errno ENODATA open O_RDONLY "$WAIT/counters/h@1" : read
	assert_error counters/h '*history*revision*'
	assert_op timeout open O_RDONLY "$WAIT/counters/h@$(now)" : poll POLLIN 0
	assert_op POLLIN open O_RDONLY "$WAIT/counters/h@1" : poll POLLIN 0
	restart_mount -o allow_other
	assert_errno ENODATA open O_RDONLY "$WAIT/counters/h@$(info revision counters/h)" : read
	actor a
	assert_ask 0 a open O_RDONLY "$WAIT/counters/h@1"
	assert_ask ENODATA a pread 0
	echo 5 >"$MNT/counters/h" # after that, the next change
	assert_match "$(ask a pread 0)" '* changed h\\n'
}

# ---- waiting -------------------------------------------------------------------------------------------------------

t_reads_that_are_no_first_ones() {
	echo 1 >"$MNT/counters/r"
	actor a
	assert_ask 0 a open O_RDONLY "$WAIT/counters/r"
	assert_ask '' a pread 100
	echo 2 >"$MNT/counters/r"
	assert_match "$(ask a read 3)" '[0-9]*'
	assert_match "$(ask a read)" '*changed r\\n'
	assert_ask '' a read
	tell a pread 0
	assert_eq "$(hear a 0.05)" silence
	echo 3 >"$MNT/counters/r"
	assert_match "$(hear a)" '*changed r\\n'
}

t_poll() {
	local change in out
	echo 1 >"$MNT/counters/p"
	coproc waiter poll "$WAIT/counters/p" 2>"$W/poll.error"
	out=${COPROC[0]} in=${COPROC[1]}
	for change in {1..10}; do
		read -r -t 20 change <&"$out" || break
		if [ "$change" = change ]; then
			echo +1 >"$MNT/counters/p"
			echo 'done' >&"$in"
		else
			assert_eq "$change" changed
		fi
	done
	wait "$COPROC_PID" || fail "$(cat "$W/poll.error")"
}

t_a_signal_ends_it() {
	local name
	echo 1 >"$MNT/counters/s"
	assert_errno EINTR open O_RDONLY "$WAIT/counters/s" : alarm 100 : read
	for name in INT TERM KILL; do
		begin w counters/s
		timeout -s $name 0.2 cat "$WAIT/counters/s" && fail "it should wait" || :
		kill -s TERM $w_pid
		wait_until 5 gone $w_pid
	done
	begin w counters/s
	echo 2 >"$MNT/counters/s"
	assert_told w 'changed s\n'
	restart_mount -o allow_other # nothing keeps it busy
}

t_two_readers_of_one_handle() {
	local a b
	echo 1 >"$MNT/counters/t"
	exec 7<"$WAIT/counters/t"
	(exec "$OP" open O_RDONLY /dev/fd/7 : read) >"$W/a" &
	a=$!
	dd status=none bs=100 count=1 <&7 >"$W/b" &
	b=$!
	# it has ours from its beginning; what it opens itself waits for what comes after that
	wait_until 30 has_open_twice $a "$WAIT/counters/t"
	echo 2 >"$MNT/counters/t"
	wait $a $b
	assert_match "$(cat "$W/a" "$W/b")" $'*changed t\\\\n\n*changed t'
}

t_two_thousand_wait() {
	local pid n
	mkdir "$MNT/files/many"
	touch "$MNT/files/many/f" "$MNT/counters/busy"
	waiter many "$WAIT/files/many/f" 2000 >"$W/many" &
	pid=$!
	wait_until 60 grep -qx open "$W/many"
	for n in {1..500}; do echo +1; done | while read -r n; do echo "$n" >"$MNT/counters/busy"; done
	assert_content "$MNT/counters/busy" '500\n'
	find "$MNT" -name f >/dev/null
	! gone $pid || fail "they do not wait"
	echo x >"$MNT/files/many/f"
	wait $pid || fail "they ended with $?"
	assert_match "$(tail -n +2 "$W/many")" '2000 [0-9]* changed f'
}

t_who_walks_the_tree_does_not_wait() {
	mkdir "$MNT/files/walk"
	echo needle >"$MNT/files/walk/f"
	assert_eq "$(timeout 20 find "$WAIT" | wc -l)" 1
	assert_eq "$(timeout 20 find "$MNT" -name f -path '*/walk/*' ! -path '*/.info/*')" "$MNT/files/walk/f"
	assert_eq "$(timeout 20 grep -rl needle "$MNT")" "$MNT/files/walk/f"
	assert_match "$(timeout 20 ls -aR "$MNT")" '*.wait:*'
	assert_eq "$(ls -A "$WAIT")$(ls -A "$WAIT/files")$(ls -A "$WAIT/files/walk")" ''
	timeout 20 cp -r "$WAIT" "$W/copy"
	timeout 20 du -s "$MNT" >/dev/null
}

# ---- who, and what not ---------------------------------------------------------------------------------------------

t_who_may_read_may_wait() {
	mkdir "$MNT/files/private" "$MNT/files/open"
	echo x >"$MNT/files/open/secret"
	chmod 600 "$MNT/files/open/secret"
	chmod 700 "$MNT/files/private"
	assert_eq "$(stat -c '%a %U %s' "$WAIT/files/open/secret")" '400 root 0'
	assert_eq "$(stat -c %a "$WAIT/files/open/none" "$WAIT/files/open" | tr '\n' ' ')" '444 555 '
	assert_errno EACCES as 65534 65534 : open O_RDONLY "$WAIT/files/open/secret"
	assert_errno EACCES as 65534 65534 : open O_RDONLY "$WAIT/files/private/f"
	assert_errno EACCES as 65534 65534 : open O_RDONLY "$WAIT/files/private/.self"
	assert_errno EACCES open O_WRONLY "$WAIT/files/open/secret"
	assert_errno EACCES open O_RDWR "$WAIT/files/open/none"
	assert_errno EEXIST mkdir "$WAIT/files/open/none"
	assert_errno EPERM mkdir "$WAIT/none"
	assert_errno EPERM unlink "$WAIT/files/open/secret"
	assert_errno EPERM chmod "$WAIT/files/open/secret" 644
	assert_errno EPERM rename "$WAIT/files/open/secret" "$WAIT/files/x"
}

t_names_are_told_to_those_who_may_read_them() {
	local from
	mkdir -p "$MNT/files/shared/mine/deep"
	chmod 700 "$MNT/files/shared/mine"
	from=$(now)
	echo x >"$MNT/files/shared/mine/deep/secret"
	assert_eq "$(since "$from" files/shared | cut -d ' ' -f 2-)" 'made mine/deep/secret'
	assert_eq "$(as_nobody cat "$WAIT/files/shared@$from" | cut -d ' ' -f 2-)" 'changed mine'
	chmod 755 "$MNT/files/shared/mine"
	assert_eq "$(as_nobody cat "$WAIT/files/shared@$from" | cut -d ' ' -f 2-)" 'made mine/deep/secret'
	rm -r "$MNT/files/shared/mine"
	assert_eq "$(as_nobody cat "$WAIT/files/shared@$from" | cut -d ' ' -f 2-)" 'changed mine'
}

t_what_is_eventual() {
	mkdir "$MNT/counters/ev"
	op setxattr "$MNT/counters/ev" user.coordfs.consistency eventual
	echo +1 >"$MNT/counters/ev/c"
	assert_errno EOPNOTSUPP open O_RDONLY "$WAIT/counters/ev/c"
	assert_errno EOPNOTSUPP open O_RDONLY "$WAIT/counters/ev/.self"
	assert_errno EOPNOTSUPP open O_RDONLY "$WAIT/counters/ev@1"
}

t_the_daemon_dies() {
	echo 1 >"$MNT/counters/d"
	begin w counters/d
	kill_mount
	wait_until 10 gone $w_pid
	wait $w_pid && fail "told of nothing" || :
	[ ! -s "$W/w.told" ] || fail "told: $(cat "$W/w.told")"
	start_mount -o allow_other
	begin w counters/d
	echo 2 >"$MNT/counters/d"
	assert_told w 'changed d\n'
}

t_unmounted_lazily() {
	local daemon
	echo 1 >"$MNT/counters/u"
	begin w counters/u
	daemon=$(mount_pid)
	umount -l "$MNT"
	stop w
	wait_until 30 gone "$daemon"
	start_mount -o allow_other
}

run_cases
