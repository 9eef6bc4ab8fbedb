#!/bin/bash
# fences/: a token is accepted if it is at least the highest seen there.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount || bail "no mount"
F=$MNT/fences

refused() { assert_errno "$1" open O_WRONLY "$F/$2" : write "$3"; }

t_tokens_only_grow() {
	echo 41 >"$F/db"
	assert_content "$F/db" '41\n'
	echo 41 >"$F/db"
	echo 45 >"$F/db"
	refused ESTALE db '44\n'
	assert_content "$F/db" '45\n'
}

t_a_refusal_says_why() {
	echo 10 >"$F/why"
	refused ESTALE why '9\n'
	assert_error fences/why '?*'
}

t_the_reply_is_the_highest_token() {
	echo 5 >"$F/reply"
	assert_op '9\n' open O_RDWR "$F/reply" : write '9\n' : read
}

t_several_lines() {
	echo 1 >"$F/lines"
	assert_op 6 open O_RDWR "$F/lines" : write '2\n3\n3\n'
	assert_content "$F/lines" '3\n'
	refused ESTALE lines '9\n8\n'
	assert_content "$F/lines" '3\n'
	refused EINVAL lines '9\nx\n'
	assert_content "$F/lines" '3\n'
}

t_the_largest_token() {
	echo 18446744073709551615 >"$F/max"
	assert_content "$F/max" '18446744073709551615\n'
	refused ERANGE max '18446744073709551616\n'
	refused ERANGE max '99999999999999999999\n'
	refused ESTALE max '1\n'
}

t_malformed() {
	local text
	echo 7 >"$F/bad"
	for text in '\n' ' 8\n' '8 \n' '+8\n' '-8\n' '=8\n' '8x\n' '1e3\n' '8\r\n' '8\0' '\0' '\xff\n' 'x\n'; do
		refused EINVAL bad "$text"
	done
	assert_content "$F/bad" '7\n'
}

t_truncation_changes_nothing() {
	echo 7 >"$F/trunc"
	: >"$F/trunc"
	truncate -s 0 "$F/trunc"
	assert_content "$F/trunc" '7\n'
	refused ESTALE trunc '6\n'
}

t_one_fence_does_not_know_another() {
	echo 100 >"$F/x"
	echo 1 >"$F/y"
	mkdir "$F/dir"
	echo 2 >"$F/dir/x"
	assert_content "$F/y" '1\n'
	assert_content "$F/dir/x" '2\n'
}

t_a_former_lock_holder_is_refused() {
	local old new
	old=$(flock "$MNT/locks/job" sed -n 's/^token=//p' "$MNT/.info/locks/job")
	new=$(flock "$MNT/locks/job" sed -n 's/^token=//p' "$MNT/.info/locks/job")
	((new > old)) || fail "token $new is not above $old"
	echo "$new" >"$F/job"
	refused ESTALE job "$old\n"
}

t_only_the_highest_of_racers_stays() {
	local i
	for i in {1..30}; do
		("$OP" open 'O_WRONLY|O_CREAT' "$F/race" : write "$i\n" >"$W/race.$i" || :) &
	done
	wait
	assert_content "$F/race" '30\n'
	assert_eq "$(cat "$W/race.30")" 3
}

t_a_fence_survives_kill_9() {
	echo 77 >"$F/keep"
	crash_and_restart
	refused ESTALE keep '76\n'
	assert_content "$F/keep" '77\n'
}

run_cases
