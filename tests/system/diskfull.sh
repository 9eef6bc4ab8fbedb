#!/bin/bash
# A full data directory: changes get ENOSPC, reads go on, nothing is lost, and it serves again by itself.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
export CASE_TIMEOUT=120

# disk KIND: a small file system of its own at $W/disk; the data directory is on it
disk() {
	mkdir -p "$W/disk"
	if [ "$1" = ext4 ]; then
		command -v mkfs.ext4 >/dev/null || skip "needs mkfs.ext4"
		truncate -s 120M "$W/image"
		mkfs.ext4 -q -F -O ^has_journal -m 0 "$W/image"
		mount -o loop "$W/image" "$W/disk" || skip "no loop device"
	else
		mount -t tmpfs -o size=120m tmpfs "$W/disk"
	fi
	DATA=$W/disk/data
	trap 'kill_mount; umount "$W/disk"' EXIT
}

# Leave no room, to the last block.
fill_disk() {
	dd if=/dev/zero of="$W/disk/ballast" bs=1M 2>/dev/null || :
	dd if=/dev/zero of="$W/disk/ballast2" bs=512 2>/dev/null || :
	assert_eq "$(stat -f -c %a "$W/disk")" 0 "free blocks"
}

free_disk() { rm -f "$W/disk/ballast" "$W/disk/ballast2"; }

add() { "$OP" open 'O_WRONLY|O_CREAT' "$MNT/counters/n" : write '+1\n' >"$W/answer" 2>&1; }

# Adds until the first refusal, which must be ENOSPC; prints how many were acknowledged. What the log has allocated
# before the disk was full is still used up: so it takes a while.
add_until_full() {
	local count=0 i
	for ((i = 0; i < 60; i++)); do
		"$OP" open 'O_WRONLY|O_CREAT|O_TRUNC' "$MNT/files/big$((i % 8))" : fill 1000000 >"$W/answer" || break
	done
	for ((i = 0; i < 5000; i++)); do
		add || break
		count=$((count + 1))
	done
	echo $count
	[ "$(cat "$W/answer")" = ENOSPC ] || fail "the disk is full, and a change gets $(cat "$W/answer")"
}

serves() { add; }

full_and_free() {
	local before count
	disk "$1"
	start_mount
	echo 5 >"$MNT/counters/a"
	echo text >"$MNT/files/a"
	echo 7 >"$MNT/fences/a"
	add
	before=$(cat "$MNT/counters/n")
	fill_disk
	count=$(add_until_full)

	# reads go on; every kind of change is refused, and nothing of it is seen
	assert_content "$MNT/counters/a" '5\n'
	assert_content "$MNT/files/a" 'text\n'
	assert_eq "$(cat "$MNT/counters/n")" $((before + count))
	ls -lR "$MNT/files" >/dev/null
	assert_errno ENOSPC open 'O_WRONLY' "$MNT/counters/a" : write '+1\n'
	assert_errno ENOSPC open 'O_WRONLY|O_CREAT|O_EXCL' "$MNT/files/new"
	assert_errno ENOSPC mkdir "$MNT/files/newdir"
	assert_errno ENOSPC open 'O_WRONLY|O_APPEND' "$MNT/files/a" : write more
	assert_errno ENOSPC open O_WRONLY "$MNT/fences/a" : write '9\n'
	assert_errno ENOENT stat "$MNT/files/new"
	assert_content "$MNT/counters/a" '5\n'
	assert_content "$MNT/files/a" 'text\n'
	grep -qi 'full\|space' "$MNT/cluster/status" || fail "cluster/status says nothing of it: $(cat "$MNT/cluster/status")"

	free_disk
	wait_until 40 serves
	assert_eq "$(cat "$MNT/counters/n")" $((before + count + 1))
	echo +1 >"$MNT/counters/a"
	assert_content "$MNT/counters/a" '6\n'

	crash_and_restart
	assert_content "$MNT/counters/a" '6\n'
	assert_content "$MNT/files/a" 'text\n'
	assert_eq "$(cat "$MNT/counters/n")" $((before + count + 1))
	stop_mount
}

t_full_and_free_again_on_ext4() { full_and_free ext4; }
t_full_and_free_again_on_tmpfs() { full_and_free tmpfs; }

t_kill_9_while_full_loses_nothing() {
	local before
	disk tmpfs
	start_mount
	echo 5 >"$MNT/counters/a"
	add
	fill_disk
	echo "$(add_until_full) added"
	before=$(cat "$MNT/counters/n")
	kill_mount
	free_disk
	start_mount
	assert_eq "$(cat "$MNT/counters/n")" "$before"
	assert_content "$MNT/counters/a" '5\n'
	add
	assert_eq "$(cat "$MNT/counters/n")" $((before + 1))
	stop_mount
}

t_a_start_on_a_full_disk_says_so_or_serves() {
	local status=0 before
	disk tmpfs
	start_mount
	echo 5 >"$MNT/counters/a"
	stop_mount
	fill_disk
	timeout 60 "$COORDFS" "$DATA" "$MNT" >"$W/out" 2>&1 || status=$?
	if [ $status = 0 ]; then
		assert_content "$MNT/counters/a" '5\n'
		stop_mount
	else
		assert_eq $status 1
		grep -qi 'space' "$W/out" || fail "it says: $(cat "$W/out")"
	fi
	free_disk
	start_mount
	assert_content "$MNT/counters/a" '5\n'
	stop_mount
}

t_a_new_cluster_on_a_full_disk_is_refused_and_may_be_tried_again() {
	disk tmpfs
	fill_disk
	assert_fails timeout 60 "$COORDFS" "$DATA" "$MNT"
	free_disk
	start_mount
	echo 1 >"$MNT/counters/a"
	stop_mount
}

t_eight_writers_while_it_fills_and_empties() {
	local i acknowledged value
	disk tmpfs
	start_mount
	echo 0 >"$MNT/counters/n"
	for i in {1..8}; do
		(
			count=0
			while [ ! -e "$W/enough" ]; do
				if "$OP" open O_WRONLY "$MNT/counters/n" : write '+1\n' >"$W/answer.$i" 2>&1; then
					count=$((count + 1))
				else
					[ "$(cat "$W/answer.$i")" = ENOSPC ] || cat "$W/answer.$i" >>"$W/wrong"
				fi
				"$OP" open 'O_WRONLY|O_CREAT|O_TRUNC' "$MNT/files/f$i" : fill 300000 >/dev/null 2>&1 || :
			done
			echo $count >"$W/acknowledged.$i"
		) &
	done
	for i in 1 2 3; do
		sleep 1
		dd if=/dev/zero of="$W/disk/ballast" bs=1M 2>/dev/null || :
		sleep 2
		free_disk
	done
	wait_until 40 serves
	: >"$W/enough"
	wait
	[ ! -e "$W/wrong" ] || fail "$(sort "$W/wrong" | uniq -c)"
	acknowledged=$(awk '{ n += $1 } END { print n }' "$W"/acknowledged.*)
	value=$(cat "$MNT/counters/n")
	# wait_until's own add comes on top
	((value == acknowledged + 1)) || fail "counter $value, acknowledged $acknowledged + 1"
	crash_and_restart
	assert_eq "$(cat "$MNT/counters/n")" "$value"
	stop_mount
}

run_cases
