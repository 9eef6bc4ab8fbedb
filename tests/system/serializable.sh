#!/bin/bash
# Transactions on three members, while members are killed, cut off and paused: strictly serializable, every view of one
# moment, the bank's total the same in each. SERIALIZABLE_SECONDS (45).
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=300
HOSTS='h1 h2 h3'
clients=()

t_the_checker_finds_what_is_wrong() {
	local said
	said=$(python3 "$HERE/serializable.py" --self-test) || fail "$said"
	[[ $said = "15 wrong"* ]] || fail "$said"
}

begin() {
	local host i
	mkdir "$(mnt h1)/files/list" "$(mnt h1)/counters/bank"
	for i in 0 1 2 3 4; do : >"$(mnt h1)/files/list/$i"; done
	for i in a b c d; do echo 100 >"$(mnt h1)/counters/bank/$i"; done
	for i in 1 2 3 4 5 6; do
		host=h$((i % 3 + 1))
		while [ ! -e "$W/stop" ]; do
			python3 "$HERE/appender.py" "$(mnt "$host")" "$i" "$W/stop" >>"$W/history.$i" 2>>"$W/appender.$i" || sleep 1
		done &
		clients+=($!)
	done
}

final() { # what the lists hold, as one transaction
	local i T sep='' when
	when=$(python3 -c 'import time; print(time.monotonic_ns())')
	T=$(mktemp -d "$(mnt h2)/transactions/XXXXXX")
	printf '{"start": %s, "end": %s, "result": "ok", "total": null, "appends": {}, "reads": {' "$when" "$when"
	for i in 0 1 2 3 4; do
		printf '%s"%s": [%s]' "$sep" $i "$(paste -sd, "$T/files/list/$i")"
		sep=', '
	done
	printf '}}\n'
	rmdir "$T"
}

fault() {
	local leader host=h$((RANDOM % 3 + 1))
	case $((RANDOM % 4)) in
	0) lab kill "$host"; sleep 1; lab start "$host" ;;
	1) leader=$(leader_at h1); lab kill "${leader:-h2}"; sleep 1; lab start "${leader:-h2}" ;;
	2) lab isolate "$host"; sleep $((RANDOM % 6)); lab heal ;;
	3) lab pause "$host"; sleep $((RANDOM % 3)); lab resume "$host" ;;
	esac
}

t_under_faults() {
	local end said
	cluster 3
	begin
	end=$((SECONDS + ${SERIALIZABLE_SECONDS:-45}))
	while ((SECONDS < end)); do
		sleep 2
		fault
	done
	touch "$W/stop"
	wait "${clients[@]}"
	wait_serves $HOSTS
	final >"$W/final"
	said=$(python3 "$HERE/serializable.py" --total 400 "$W/final" "$W"/history.*) || fail "$said $(tail -n 1 "$W"/appender.*)"
	echo "# $said" >>"$W/figures"
	[ "$(cat "$W"/history.* | grep -c '"ok"')" -gt 100 ] || fail "hardly anything was committed: $said; $(tail -n 2 "$W"/appender.*)"
}

t_blind_additions_never_conflict() {
	local i T all=() pids=()
	echo 0 >"$(mnt h1)/counters/blind"
	for ((i = 0; i < 64; i++)); do
		T=$(mktemp -d "$(mnt h$((i % 3 + 1)))/transactions/XXXXXX")
		echo +1 >"$T/counters/blind"
		all+=("$T")
	done
	for T in "${all[@]}"; do
		echo commit >"$T/ctl" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || fail "a conflict"; done
	assert_content "$(mnt h2)/counters/blind" '64\n'
	rmdir "${all[@]}"
}

t_the_banks_total_in_the_end() {
	assert_eq "$(cat "$(mnt h3)"/counters/bank/* | awk "{ n += \$1 } END { print n }")" 400
	settle $HOSTS
}

run_cases
