#!/bin/bash
# What is eventual, on one member: how it is made so, what it holds, what it refuses and with which errno, that it is
# durable, and that the rest of the tree is as before. Several members: eventual_cluster.sh.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount || bail "no mount"
C=$MNT/counters E=$MNT/counters/e F=$MNT/files/e
mkdir "$E" "$F"
op setxattr "$E" user.coordfs.consistency eventual >/dev/null || bail "counters/e cannot be eventual"
echo consistency=eventual >"$MNT/.info/files/e/.self" || bail "files/e cannot be eventual"

assert_value() { assert_eq "$(cat "$C/$1")" "$2" "value of $1"; }

# refused ERRNO NAME TEXT: one write, refused, value as before
refused() {
	local before
	before=$(cat "$C/$2")
	assert_errno "$1" open O_WRONLY "$C/$2" : write "$3"
	assert_value "$2" "$before"
}

t_the_level_is_told_and_inherited() {
	assert_op eventual getxattr "$E" user.coordfs.consistency
	assert_eq "$(info consistency files/e/.self)" eventual
	touch "$E/told" "$F/told"
	mkdir -p "$E/deep/er"
	touch "$E/deep/er/told"
	assert_eq "$(info consistency counters/e/told)" eventual
	assert_eq "$(info consistency counters/e/deep/er/.self)" eventual
	assert_op eventual getxattr "$E/deep/er/told" user.coordfs.consistency
	assert_eq "$(info type counters/e/told)" counter
	assert_eq "$(info type files/e/told)" file
	assert_eq "$(info type counters/e/deep/.self)" directory
}

t_only_what_is_new_becomes_eventual() {
	echo 5 >"$C/used"
	echo text >"$MNT/files/used"
	mkdir "$C/full"
	touch "$C/full/x"
	assert_errno EOPNOTSUPP setxattr "$C/used" user.coordfs.consistency eventual
	assert_errno EOPNOTSUPP setxattr "$MNT/files/used" user.coordfs.consistency eventual
	assert_errno ENOTEMPTY setxattr "$C/full" user.coordfs.consistency eventual
	assert_errno EOPNOTSUPP setxattr "$C" user.coordfs.consistency eventual
	touch "$MNT/locks/l"
	assert_errno EOPNOTSUPP setxattr "$MNT/locks/l" user.coordfs.consistency eventual
	touch "$MNT/fences/f"
	assert_errno EOPNOTSUPP setxattr "$MNT/fences/f" user.coordfs.consistency eventual
	assert_error counters/used '*already*'
}

t_what_is_eventual_stays_so() {
	touch "$E/stays"
	assert_errno EOPNOTSUPP setxattr "$E" user.coordfs.consistency strong
	assert_errno EOPNOTSUPP setxattr "$E/stays" user.coordfs.consistency weak
	op setxattr "$E/stays" user.coordfs.consistency eventual
	op setxattr "$E" user.coordfs.consistency eventual
}

t_counting() {
	touch "$E/a"
	assert_value e/a 0
	echo +5 >"$E/a"
	echo -7 >>"$E/a"
	assert_value e/a -2
	printf '+1\n+2\n+3' >"$E/a"
	assert_value e/a 4
	echo +3 >"$E/made"
	assert_value e/made 3
	assert_eq "$(stat -c %s "$E/a")" 2
}

t_a_single_counter() {
	touch "$C/single"
	op setxattr "$C/single" user.coordfs.consistency eventual
	assert_value single 0
	echo +41 >"$C/single"
	echo +1 >"$C/single"
	assert_value single 42
	assert_eq "$(stat -c %s "$C/single")" 3
	assert_eq "$(info value counters/single)" 42
	touch "$C/single"
	chmod 600 "$C/single"
	assert_eq "$(stat -c %a "$C/single")" 600
	rm "$C/single"
	assert_errno ENOENT stat "$C/single"
	echo 1 >"$C/single"
	assert_eq "$(info consistency counters/single)" strong
	rm "$C/single"
}

t_a_single_file() {
	: >"$MNT/files/single"
	op setxattr "$MNT/files/single" user.coordfs.consistency eventual
	assert_content "$MNT/files/single" ''
	echo one >"$MNT/files/single"
	echo two >>"$MNT/files/single"
	assert_content "$MNT/files/single" 'one\ntwo\n'
	rm "$MNT/files/single"
	assert_errno ENOENT stat "$MNT/files/single"
}

t_a_reply_on_the_handle() {
	touch "$E/reply"
	assert_op '3\n' open O_RDWR "$E/reply" : write '+3\n' : read
	assert_op '5\n' open O_RDWR "$E/reply" : write '+1\n+1\n' : pread 0
	assert_op '' open O_RDWR "$E/reply" : write '+1\n' : read : read
	assert_op '6\n' open O_RDWR "$E/reply" : write '+0\n' : read : pread 0
}

# Each of many gets another number.
t_replies_of_many_at_once() {
	local i pids=()
	touch "$E/many"
	for i in {1..8}; do
		(
			exec 3<>"$E/many"
			for _ in {1..25}; do
				echo +1 >&3
				read -r n <&3
				echo "$n"
			done
		) >"$W/many.$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_value e/many 200
	assert_eq "$(sort -n "$W"/many.* | tr '\n' ' ')" "$(seq 200 | tr '\n' ' ')"
}

t_what_a_counter_refuses() {
	echo +7 >"$E/r"
	refused EOPNOTSUPP e/r '10\n'
	assert_error counters/e/r '*not set*'
	refused EOPNOTSUPP e/r '=-3\n'
	refused EOPNOTSUPP e/r 'cas 7 8\n'
	assert_error counters/e/r '*not compared*'
	refused EOPNOTSUPP e/r '+1 id=x\n'
	assert_error counters/e/r '*id=*'
	refused EOPNOTSUPP e/r '+1\n9\n'
	refused EINVAL e/r 'one\n'
	refused ERANGE e/r '+9223372036854775807\n+1\n'
	refused ERANGE e/r '+9223372036854775807\n'
	assert_errno EOPNOTSUPP open O_WRONLY "$MNT/.info/counters/e/r" : write 'max=9\n'
	assert_errno EINVAL truncate "$E/r" 5
	op truncate "$E/r" 0
	assert_value e/r 7
}

t_files() {
	echo hello >"$F/f"
	assert_content "$F/f" 'hello\n'
	echo world >>"$F/f"
	assert_content "$F/f" 'hello\nworld\n'
	op open O_WRONLY "$F/f" : pwrite 0 J
	assert_content "$F/f" 'Jello\nworld\n'
	op open O_WRONLY "$F/f" : pwrite 15 end
	assert_content "$F/f" 'Jello\nworld\n\0\0\0end'
	op truncate "$F/f" 3
	assert_content "$F/f" 'Jel'
	op truncate "$F/f" 5
	assert_content "$F/f" 'Jel\0\0'
	assert_eq "$(stat -c %s "$F/f")" 5
	op open O_WRONLY "$F/f" : fallocate 0 8
	assert_eq "$(stat -c %s "$F/f")" 8
	: >"$F/f"
	echo after >>"$F/f"
	assert_content "$F/f" 'after\n'
}

t_truncation_comes_with_the_first_write() {
	echo before >"$F/t"
	actor one
	assert_ask 0 one open 'O_RDWR|O_TRUNC' "$F/t"
	assert_content "$F/t" 'before\n'
	assert_ask 6 one write 'after\n'
	assert_content "$F/t" 'after\n'
	assert_ask 1 one open 'O_WRONLY|O_TRUNC' "$F/t"
	assert_content "$F/t" 'after\n'
	ask one close
	wait_until 5 test ! -s "$F/t"
}

t_a_large_file() {
	op open 'O_WRONLY|O_CREAT' "$F/large" : fill 1048576
	assert_eq "$(stat -c %s "$F/large")" 1048576
	assert_errno EFBIG open 'O_WRONLY|O_APPEND' "$F/large" : write x
	assert_errno EFBIG truncate "$F/large" 1048577
	rm "$F/large"
}

t_directories() {
	local i
	mkdir "$E/d" "$E/d/sub"
	for i in {1..300}; do echo "+$i" >"$E/d/c$i"; done
	assert_eq "$(find "$E/d" -name 'c*' | wc -l)" 300
	assert_eq "$(cat "$E"/d/c* | awk '{ n += $1 } END { print n }')" 45150
	assert_eq "$(info entries counters/e/d/.self)" 301
	assert_errno ENOTEMPTY rmdir "$E/d"
	assert_errno EEXIST mkdir "$E/d"
	rm -r "$E/d"
	assert_errno ENOENT stat "$E/d"
	assert_errno ENOTEMPTY rmdir "$E"
	mkdir "$C/gone"
	op setxattr "$C/gone" user.coordfs.consistency eventual
	echo +1 >"$C/gone/x"
	assert_errno ENOTEMPTY rmdir "$C/gone"
	rm -r "$C/gone"
	assert_errno ENOENT stat "$C/gone"
	mkdir "$C/gone"
	assert_eq "$(ls "$C/gone")" ''
	rmdir "$C/gone"
}

t_a_name_that_is_made_again_is_new() {
	echo +9 >"$E/again"
	rm "$E/again"
	assert_errno ENOENT stat "$E/again"
	touch "$E/again"
	assert_value e/again 0
	rm "$E/again"
	mkdir "$E/again"
	assert_eq "$(stat -c %F "$E/again")" directory
	rmdir "$E/again"
}

t_what_cannot_be_eventual() {
	local before
	echo +1 >"$E/n"
	echo text >"$F/n"
	echo text >"$MNT/files/strong"
	assert_errno EOPNOTSUPP open 'O_WRONLY|O_CREAT|O_EXCL' "$E/excl"
	assert_error counters/e/.self '*O_EXCL*'
	assert_errno ENOENT stat "$E/excl"
	assert_errno EOPNOTSUPP rename "$E/n" "$E/m"
	assert_errno EOPNOTSUPP rename "$E" "$C/moved"
	assert_errno EOPNOTSUPP rename "$F/n" "$MNT/files/moved"
	assert_errno EOPNOTSUPP rename "$MNT/files/strong" "$F/moved"
	assert_errno EOPNOTSUPP link "$F/n" "$F/linked"
	assert_errno EOPNOTSUPP link "$MNT/files/strong" "$F/linked"
	assert_errno EOPNOTSUPP symlink n "$F/symlink"
	assert_errno EOPNOTSUPP setxattr "$F/n" user.mine x
	assert_op '' listxattr "$F/n"
	assert_errno EOPNOTSUPP open O_RDWR "$F/n" : flock 'ex|nb'
	assert_errno EOPNOTSUPP open O_RDWR "$E/n" : lock w 0 0
	assert_fails mkfifo "$F/fifo"
	assert_fails mv "$MNT/files/strong" "$F/moved"
	assert_content "$MNT/files/strong" 'text\n'
	assert_fails mv "$F/n" "$MNT/files/moved"
	assert_content "$F/n" 'text\n'
	before=$(ls "$E" "$F")
	assert_errno EPERM mkdir "$E/.self"
	assert_eq "$(ls "$E" "$F")" "$before"
}

t_transactions_keep_out() {
	local t=$MNT/transactions/t
	echo +1 >"$E/x"
	mkdir "$t"
	assert_errno EOPNOTSUPP ls "$t/counters/e"
	assert_errno EOPNOTSUPP stat "$t/counters/e/x"
	assert_errno EOPNOTSUPP rmdir "$t/counters/e"
	assert_errno EOPNOTSUPP mkdir "$t/counters/e/d"
	rmdir "$t"
	assert_value e/x 1
}

t_owner_and_mode() {
	chmod 777 "$E" "$F"
	echo +1 >"$E/mine"
	chmod 600 "$E/mine"
	assert_eq "$(stat -c %a "$E/mine")" 600
	assert_fails as_nobody cat "$E/mine"
	chmod 644 "$E/mine"
	assert_eq "$(as_nobody cat "$E/mine")" 1
	assert_errno EACCES as 65534 65534 : open O_WRONLY "$E/mine"
	chown 65534:65534 "$E/mine"
	assert_eq "$(stat -c %u:%g "$E/mine")" 65534:65534
	as_nobody touch "$F/nobodys"
	assert_eq "$(stat -c %u "$F/nobodys")" 65534
	touch -d 2001-01-01 "$F/nobodys"
	chmod 755 "$E" "$F"
	assert_errno EACCES as 65534 65534 : mkdir "$E/x1"
}

t_numbers_stay() {
	local before
	echo +1 >"$E/num"
	before=$(stat -c %i "$E/num")
	echo 3 >/proc/sys/vm/drop_caches
	assert_eq "$(stat -c %i "$E/num")" "$before"
	assert_eq "$(ls -i "$E" | awk '$2 == "num" { print $1 }')" "$before"
}

t_info_tells_all() {
	echo +5 >"$E/i"
	echo -2 >"$E/i"
	assert_eq "$(info value counters/e/i)" 3
	assert_eq "$(info share counters/e/i)" "member $(cat "$MNT/cluster/self") added 5 taken 2"
	wait_until 5 test "$(info converged counters/e/i)" = yes
	assert_op 3 getxattr "$E/i" user.coordfs.value
	assert_match "$(info modified counters/e/i)" '20*Z'
	echo abc >"$F/i"
	assert_eq "$(info size files/e/i)" 4
	assert_eq "$(find "$MNT/.info/counters/e" -name i | wc -l)" 1
	grep -rq value=3 "$MNT/.info/counters/e"
}

t_poll_tells_of_changes() {
	echo +1 >"$E/p"
	actor one
	assert_ask 0 one open O_RDONLY "$E/p"
	assert_ask '1\n' one read
	assert_ask timeout one poll POLLIN 100
	assert_ask POLLOUT one poll POLLOUT 0
	tell one poll POLLIN 10000
	assert_eq "$(hear one 0.05)" silence
	echo +1 >"$E/p"
	assert_hears one POLLIN
	assert_ask '2\n' one pread 0
	assert_ask timeout one poll POLLIN 100
}

t_it_survives_kill_and_restart() {
	echo +11 >"$E/k"
	echo text >"$F/k"
	echo gone >"$F/gone"
	rm "$F/gone"
	chmod 640 "$F/k"
	crash_and_restart
	assert_value e/k 11
	assert_content "$F/k" 'text\n'
	assert_eq "$(stat -c %a "$F/k")" 640
	assert_errno ENOENT stat "$F/gone"
	echo +1 >"$E/k"
	restart_mount
	assert_value e/k 12
}

all_files() { find "$DATA" -type f ! -name lock -exec cksum {} + | sort; }

# refuses_to_start WORDS: a start is refused, says so, and changes nothing
refuses_to_start() {
	local before
	before=$(all_files)
	if timeout 60 "$COORDFS" "$DATA" "$MNT" >"$W/refusal" 2>&1; then fail "it starts"; fi
	assert_match "$(cat "$W/refusal")" "coordfs: *$DATA*$1*"
	assert_eq "$(all_files)" "$before"
}

t_a_missing_log_is_refused() {
	echo +1 >"$E/kept"
	kill_mount
	mkdir "$W/aside"
	mv "$DATA"/eventual-*.log "$W/aside"
	refuses_to_start 'is missing'
	mv "$W"/aside/* "$DATA"
	start_mount
	assert_value e/kept 1
	stop_mount
	cp "$DATA"/eventual-*.log "$W/aside"
	truncate -s 200 "$DATA"/eventual-*.log
	refuses_to_start 'cut off or damaged'
	mv "$W"/aside/* "$DATA"
	start_mount
	assert_value e/kept 1
}

objects_are() { [ "$(sed -n 's/^coordfs_eventual_objects //p' "$MNT/cluster/metrics")" = "$1" ]; }

# As if a crash had come before it was known to be gone.
t_a_root_that_was_removed_before_a_crash() {
	local before
	before=$(sed -n 's/^coordfs_eventual_objects //p' "$MNT/cluster/metrics")
	mkdir "$C/leaks"
	op setxattr "$C/leaks" user.coordfs.consistency eventual
	echo +1 >"$C/leaks/a"
	objects_are $((before + 2)) || fail "it is not there"
	stop_mount
	mkdir -p "$W/aside"
	cp "$DATA"/*eventual* "$W/aside"
	start_mount
	rm -r "$C/leaks"
	wait_until 10 objects_are "$before"
	stop_mount
	cp "$W"/aside/* "$DATA"
	start_mount
	wait_until 10 objects_are "$before"
}

# The mount's option is for what is made in counters/ and files/, and for nothing else.
t_the_option() {
	stop_mount
	start_mount -o consistency=eventual
	echo +1 >"$C/o"
	touch "$MNT/files/o" "$MNT/locks/o"
	mkdir "$C/od"
	assert_eq "$(info consistency counters/o)" eventual
	assert_eq "$(info consistency files/o)" eventual
	assert_eq "$(info consistency counters/od/.self)" eventual
	assert_eq "$(info consistency locks/o)" strong
	assert_value o 1
	restart_mount
	assert_value o 1
	touch "$C/strong"
	assert_eq "$(info consistency counters/strong)" strong
}

run_cases
