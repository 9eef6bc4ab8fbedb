#!/bin/bash
# A cluster of fifty members on one machine, of which five vote: it forms, serves, outlives its leader, and settles.
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=240
ALL=$(hosts 50)

add_to_all() {
	local host jobs=()
	for host in $ALL; do
		timeout 30 sh -c "echo +1 >'$(mnt "$host")/counters/all'" &
		jobs+=($!)
	done
	for host in "${jobs[@]}"; do wait "$host" || fail "one cannot add"; done
}

all_see() { # VALUE
	local host
	for host in $ALL; do assert_content "$(mnt "$host")/counters/all" "$1\n"; done
}

t_they_form_a_cluster() {
	local first
	lab up -n 50 --no-start
	lab start h1
	for ((first = 2; first <= 50; first += 7)); do # all at once would take longer than lab waits
		lab start "$(seq -f 'h%g' $first $((first + 6)) | tr '\n' ' ')"
	done
	wait_until 30 has_members h50 50
	wait_until 60 has_voters h1 5
}

t_all_serve() {
	add_to_all
	all_see 50
}

t_the_leader_dies() {
	local leader
	leader=$(wait_leader h2 h25 h50)
	lab kill "$leader"
	timeout 30 sh -c "echo +1 >'$(mnt "$(others "$leader" h49 h50 | head -n 1)")/counters/all'" || fail "no other one leads"
	lab start "$leader"
	wait_serves "$leader"
	add_to_all
	all_see 101
}

t_they_settle() { settle $ALL; }

run_cases
