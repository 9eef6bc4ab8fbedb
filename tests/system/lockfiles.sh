#!/bin/bash
# locks/: the idioms in which the existence of a file is the lock; and their end with the session that made them.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
L=$MNT/locks
# shellcheck disable=SC2034 # of race_cases.sh
RACERS=20 RACES=5

mount_of() { echo "$MNT"; }
# shellcheck source=tests/system/race_cases.sh
. "$HERE/race_cases.sh"

t_lockfile_waits_for_its_turn() {
	lockfile "$L/turn.lock"
	lockfile -1 -r 20 "$L/turn.lock" &
	sleep 0.2
	kill -0 $!
	rm -f "$L/turn.lock"
	wait $!
	test -e "$L/turn.lock"
	rm -f "$L/turn.lock"
}

t_dotlockfile_guards_a_section() {
	echo 0 >"$MNT/files/section"
	for _ in 1 2 3 4; do
		(for _ in 1 2 3; do
			dotlockfile -l -r 50 -i 1 "$L/section.lock"
			echo $(($(cat "$MNT/files/section") + 1)) >"$MNT/files/section"
			dotlockfile -u "$L/section.lock"
		done) &
	done
	wait
	assert_content "$MNT/files/section" '12\n'
}

t_lock_files_hold_content() {
	echo "$$ $HOSTNAME" >"$L/content"
	assert_eq "$(cat "$L/content")" "$$ $HOSTNAME"
	echo more >>"$L/content"
	assert_eq "$(wc -l <"$L/content")" 2
	assert_eq "$(stat -c %h "$L/content")" 1
}

t_lock_directories() {
	mkdir -p "$L/a/b"
	: >"$L/a/b/c"
	flock "$L/a/b/c" true
	assert_errno ENOTEMPTY rmdir "$L/a/b"
	rm -r "$L/a"
	assert_errno ENOENT stat "$L/a"
}

t_kill_9_ends_the_session_and_its_lock_files() {
	make_all "$L/all"
	crash_and_restart -o allow_other
	assert_only_lasting "$L/all"
	rm -r "$L/all"
}

t_unmounting_ends_the_session_and_its_lock_files() {
	make_all "$L/all"
	restart_mount -o allow_other
	assert_only_lasting "$L/all"
	rm -r "$L/all"
}

t_only_below_locks() {
	mkdir "$MNT/files/stay"
	(set -C; echo 1 >"$MNT/files/stays")
	"$OP" open 'O_CREAT|O_EXCL|O_WRONLY' "$MNT/counters/stays" >/dev/null
	ln "$MNT/files/stays" "$MNT/files/stays2"
	crash_and_restart -o allow_other
	assert_content "$MNT/files/stays2" '1\n'
	assert_content "$MNT/counters/stays" '0\n'
	test -d "$MNT/files/stay"
}

t_a_removed_and_made_again_lock_file_belongs_to_its_last_maker() {
	(set -C; echo 1 >"$L/again")
	rm "$L/again"
	flock "$L/again" true
	crash_and_restart -o allow_other
	test -e "$L/again"
	rm "$L/again"
	(set -C; echo 2 >"$L/again")
	crash_and_restart -o allow_other
	assert_errno ENOENT stat "$L/again"
}

t_a_lock_file_may_be_taken_at_once_after_the_crash() {
	(set -C; echo 1 >"$L/stale")
	kill_mount
	start_mount -o allow_other
	(set -C; echo 2 >"$L/stale")
	assert_content "$L/stale" '2\n'
}

run_cases
