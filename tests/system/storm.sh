#!/bin/bash
# Crowds on every host give up their wait for a lock at the very moment that they get it, by a signal, by a timeout, by
# death. Nobody is left who has it and does not know.
#
# STORM_SECONDS (12) for each storm, STORM_SEED (from the clock).
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
: "${STORM_SECONDS:=12}" "${STORM_SEED:=$((EPOCHSECONDS % 32768))}"
export CASE_TIMEOUT=$((STORM_SECONDS * 3 + 120))
STORMER=${top_builddir:-/nonexistent}/tests/system/stormer
if [ ! -x "$STORMER" ]; then
	STORMER=$W/stormer
	${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 "$HERE/stormer.c" -o "$STORMER" || bail "stormer.c does not compile"
fi

cluster 3 || bail "no cluster"
wait_leader h1 h2 h3 >/dev/null

# storm PATH COUNT: that many at each host
storm() {
	local host
	echo "STORM_SEED=$STORM_SEED"
	for host in h1 h2 h3; do
		"$STORMER" "$(mnt $host)/$1" "$2" "$STORM_SECONDS" $((STORM_SEED + ${host#h})) >"$W/storm.$host" &
	done
}

nobody_at() { ! timeout 10 grep -E '^(holder|waiter)=' "$(mnt "$1")/.info/$2"; }

# calm PATH: all of them are gone, and every member says so; who comes next gets it at once
calm() {
	local host n
	wait
	for n in granted interrupted killed errors; do
		eval "$n=$(sum_of $n "$W"/storm.h*)"
	done
	# shellcheck disable=SC2154 # by eval
	echo "# $1: $granted granted, $interrupted interrupted, $killed killed, $errors errors" >>"$W/figures"
	((granted > 100 && interrupted > 20 && killed > 20 && errors == 0)) || fail "it was no storm: $(tail -n 1 "$W/figures")"
	for host in h1 h2 h3; do
		wait_until 10 nobody_at $host "$1" || fail "a ghost: $(cat "$(mnt $host)/.info/$1")"
		flock -n "$(mnt $host)/$1" true || fail "it is not free for $host"
		assert_op ok open O_RDWR "$(mnt $host)/$1" : lock w 0 0
	done
	settle h1 h2 h3
}

t_a_few_on_each_host() {
	touch "$(mnt h1)/locks/few"
	storm locks/few 3
	calm locks/few
}

t_many_on_each_host() {
	touch "$(mnt h1)/locks/many"
	storm locks/many 25
	calm locks/many
}

t_while_the_leadership_moves() {
	local end=$((SECONDS + STORM_SECONDS)) next=1
	touch "$(mnt h1)/locks/moving"
	storm locks/moving 5
	while ((SECONDS < end)); do
		echo "h$next" >"$(mnt h1)/cluster/leader" || :
		next=$((next % 3 + 1))
		sleep 0.5
	done
	calm locks/moving
}

# The same by those whom people start: flock -w and coordfs run -w, with Ctrl-C.
t_timeouts_and_interrupts_of_commands() {
	local i job jobs=()
	touch "$(mnt h1)/locks/commands"
	for i in {1..120}; do
		setsid flock -w "0.$((RANDOM % 5))$((RANDOM % 10))" "$(mnt h$((i % 3 + 1)))/locks/commands" sleep 0.01 &
		jobs+=($!)
		setsid "$COORDFS" run -w "0.$((RANDOM % 5))$((RANDOM % 10))" -l "$(mnt h$((i % 3 + 1)))/locks/commands" -- sleep 0.01 &
		jobs+=($!)
		((RANDOM % 2)) || kill -INT $! 2>/dev/null || :
	done
	for job in "${jobs[@]}"; do wait "$job" || :; done
	for i in 1 2 3; do
		wait_until 10 nobody_at h$i locks/commands || fail "a ghost: $(cat "$(mnt h$i)/.info/locks/commands")"
		flock -n "$(mnt h$i)/locks/commands" true || fail "it is not free for h$i"
	done
}

run_cases
