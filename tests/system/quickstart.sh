#!/bin/bash
# contrib/quickstart, as the README promises it: mounts, shows a tour that checks what it says, leaves the mount in
# place, and can be repeated. Its installing and building are not tested here: contrib/run-tests does the same.

. "${BASH_SOURCE%/*}/lib.sh"

quickstart() {
	timeout 60 "${top_srcdir:-$HERE/../..}/contrib/quickstart" --coordfs "$COORDFS" --data "$DATA" --mount "$MNT" "$@"
}

t_the_tour_shows_what_it_says() {
	quickstart >"$W/tour"
	cat "$W/tour"
	grep -qF 'held by another' "$W/tour"
	grep -qF 'I made it 16' "$W/tour"
	grep -qE '^ +committed [0-9]+$' "$W/tour"
	grep -qE '^ +aborted ' "$W/tour"
}

t_the_mount_stays_and_holds_nothing_of_the_tour() {
	mount_serves
	assert_eq "$(find "$MNT"/{counters,files,locks,transactions} -mindepth 1)" ""
}

t_a_repeat_says_that_it_is_mounted() {
	quickstart >"$W/tour"
	assert_match "$(head -n 1 "$W/tour")" "*already mounted on $MNT"
	grep -qF 'held by another' "$W/tour"
}

t_a_dead_mount_is_replaced_and_state_kept() {
	echo 42 >"$MNT/counters/kept"
	local pid
	pid=$(mount_pid)
	kill -9 "$pid"
	wait_until 30 gone "$pid"
	quickstart --no-tour >"$W/tour"
	assert_match "$(head -n 1 "$W/tour")" "*daemon is gone*"
	assert_content "$MNT/counters/kept" '42\n'
}

# printed LABEL: the command that the farewell has for it
printed() { quickstart --no-tour | sed -n "s/^ *$1  *//p"; }

t_the_commands_it_leaves_one_with_work() {
	local unmount again pid
	unmount=$(printed unmount)
	again=$(printed 'mount again')
	pid=$(mount_pid)
	eval "$unmount"
	assert_fails is_mounted
	wait_until 30 gone "$pid"
	eval "$again"
	mount_serves
	assert_content "$MNT/counters/kept" '42\n'
}

t_another_file_system_is_left_alone() {
	stop_mount
	mount -t tmpfs none "$MNT"
	assert_fails quickstart --no-tour
	umount "$MNT"
	start_mount
}

t_a_tour_that_goes_wrong_is_an_error() {
	mkdir "$MNT/transactions/move"
	assert_fails quickstart
	rmdir "$MNT/transactions/move"
}

t_an_unknown_argument_is_an_error() {
	assert_fails quickstart --nonsense
	assert_fails quickstart --data
}

run_cases
