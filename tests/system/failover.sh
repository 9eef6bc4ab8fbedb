#!/bin/bash
# What a client notices of a leader that goes, with the options nobody sets: a pause, no error.
#
# FAILOVER_ROUNDS (5) of each kind. The figures go to the log.
# shellcheck disable=SC2046,SC2154,SC2034 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=170
ROUNDS=${FAILOVER_ROUNDS:-5}
WAIT_MS=3000 # the most that a client waits
ALL='h1 h2 h3'

# round NAME COMMAND...: what it does to the leader costs the clients at the other members so much: it is added to
# $W/figures-NAME
round() {
	local name=$1 old A B counter worst
	shift
	old=$(wait_leader $ALL)
	set -- "$@" $(others "$old" $ALL)
	A=${*: -2:1} B=${*: -1:1}
	set -- "${@:1:$#-2}"
	counter=$name$BASHPID-$i
	load "$A" "$counter"
	load "$B" "$counter"
	readers "$A" "$counter"
	readers "$B" "$counter"
	goes_on "$A" "$counter"
	"$@" "$old"
	wait_other_leader "$old" "$A" "$B"
	goes_on "$A" "$counter"
	goes_on "$B" "$counter"
	end_load "read.$counter" >"$W/readers"
	worst=$(sed -n 's/.*worst_ms=\([0-9]*\).*/\1/p' "$W/readers" | sort -n | tail -n 1)
	grep -v 'errors=$' "$W/readers" && fail "readers met errors"
	rm "$W/account-read.$counter"-*
	end_load "$counter" >"$W/writers"
	worst=$(printf '%s\n' "$worst" "$(worst_ms "$counter")" | sort -n | tail -n 1)
	echo "$worst" >>"$W/figures-$name"
	cat "$W/writers" "$W/readers"
	account "$counter" "$A"
	[ "$worst" -le $WAIT_MS ] || fail "round $i: a client waited $worst ms"
}

# rounds NAME COMMAND BACK: BACK undoes it
rounds() {
	local i name=$1 back=$3 leader
	whole 3
	for ((i = 1; i <= ROUNDS; i++)); do
		leader=$(wait_leader $ALL)
		round "$name" lab "$2"
		lab "$back" "$leader"
		wait_until 30 is_led $ALL
	done
	settle $ALL
	echo "# $name: waited at most, ms: $(tr '\n' ' ' <"$W/figures-$name")" >>"$W/figures"
}

t_the_leader_is_killed() { rounds killed kill start; }
t_the_leader_is_paused() { rounds paused pause resume; }
t_the_leader_is_cut_off() { rounds cut isolate heal_all; }

t_the_leader_is_stopped() {
	local median
	rounds stopped stop start
	median=$(sort -n "$W/figures-stopped" | sed -n $(((ROUNDS + 1) / 2))p)
	[ "$median" -le 1000 ] || fail "a stop costs $median ms: the leader should hand over first"
}

lab() {
	if [ "$1" = heal_all ]; then set -- heal; fi
	"$HERE/../../contrib/lab" "$@"
}

run_cases
