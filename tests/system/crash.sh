#!/bin/bash
# kill -9 at any moment under eight concurrent writers, many times: what was acknowledged is there, exactly.
# CRASH_ROUNDS (200) and CRASH_SEED (from the clock) may be set; a failure prints the seed.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
export CASE_TIMEOUT=840
HAMMER=${top_builddir:-/nonexistent}/tests/system/hammer
if [ ! -x "$HAMMER" ]; then
	HAMMER=$W/hammer
	${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 "$HERE/hammer.c" -o "$HAMMER" || bail "hammer.c does not compile"
fi
start_mount || bail "no mount"

# pause MILLISECONDS_MAX
pause() { sleep "$(printf '0.%03d' $((RANDOM * $1 / 32768)))"; }

# A start that is killed somewhere on its way; the next one must find all the same.
crash_a_start() {
	local starter
	"$COORDFS" "$DATA" "$MNT" >/dev/null 2>&1 </dev/null &
	starter=$!
	pause 60
	kill -9 $starter 2>/dev/null || :
	kill_mount
	wait $starter 2>/dev/null || :
}

# round SIGNAL
round() {
	local pid
	echo go >&"$to"
	pause 500
	pid=$(mount_pid)
	kill "-$1" "$pid"
	read -r -t 60 answer <&"$from" || fail "round $i: writers do not end"
	[ "$answer" = down ] || fail "seed $seed, round $i: $answer"
	wait_until 30 gone "$pid"
	kill_mount
	if ((i % 8 == 0)); then crash_a_start; fi
	start_mount
	echo check >&"$to"
	read -r -t 60 answer <&"$from" || fail "round $i: no account"
	[[ $answer == ok* ]] || fail "seed $seed, round $i: $answer"
}

# start_hammer NAME [gone]: descriptors in `to` and `from`
start_hammer() {
	mkfifo "$W/to.$1" "$W/from.$1"
	"$HAMMER" "$MNT" "${@:2}" <"$W/to.$1" >"$W/from.$1" &
	exec {to}>"$W/to.$1" {from}<"$W/from.$1"
	read -r -t 60 answer <&"$from" || fail "the hammer does not start"
	[ "$answer" = ready ] || fail "$answer"
}

t_kill_9_under_eight_writers() {
	local i to from answer seed=${CRASH_SEED:-$((EPOCHSECONDS % 32768))} rounds=${CRASH_ROUNDS:-200}
	RANDOM=$seed
	start_hammer killed
	for ((i = 1; i <= rounds; i++)); do
		round KILL
	done
	echo "$answer, seed $seed" >"$W/account"
}

t_sigterm_under_eight_writers() {
	local i to from answer seed=${CRASH_SEED:-$((EPOCHSECONDS % 32768))}
	RANDOM=$seed
	rm -rf "$MNT"/counters/{sum,named} "$MNT"/files/*
	start_hammer ended gone
	for ((i = 1; i <= 20; i++)); do
		round TERM
	done
}

t_something_was_done() {
	[ -e "$W/account" ] || skip "the rounds failed"
	local changes
	changes=$(sed 's/.*, \([0-9]*\) changes.*/\1/' "$W/account")
	((changes > ${CRASH_ROUNDS:-200} * 10)) || fail "only $(cat "$W/account")"
}

t_the_sum_of_the_rounds_is_still_there_after_a_clean_restart() {
	local before
	before=$(cat "$MNT/counters/sum" "$MNT/counters/named")
	restart_mount
	assert_eq "$(cat "$MNT/counters/sum" "$MNT/counters/named")" "$before"
}

t_tokens_grow_over_crashes() {
	local i last=0 now
	for i in 1 2 3 4 5; do
		now=$(flock "$MNT/locks/token" sed -n 's/^token=//p' "$MNT/.info/locks/token")
		((now > last)) || fail "token $now after $last"
		last=$now
		crash_and_restart
	done
}

t_a_transaction_is_there_whole_or_not_at_all() {
	local i a b outcome
	echo 0 >"$MNT/counters/a"
	echo 0 >"$MNT/counters/b"
	for i in {1..15}; do
		(while mkdir "$MNT/transactions/t" && echo +1 >"$MNT/transactions/t/counters/a" &&
			echo +1 >"$MNT/transactions/t/counters/b" && echo commit >"$MNT/transactions/t/ctl" &&
			rmdir "$MNT/transactions/t"; do :; done) >/dev/null 2>&1 &
		pause 300
		kill_mount
		wait
		start_mount
		a=$(cat "$MNT/counters/a")
		b=$(cat "$MNT/counters/b")
		assert_eq "$a" "$b" "a and b after round $i"
		outcome=$(info status transactions/t)
		assert_match "$outcome" '@(committed *|aborted *|)'
	done
	((a > 0)) || fail "no transaction ever committed"
}

run_cases
