#!/bin/bash
# A member that gets what no sane peer sends (noise, its peers' messages once more, in another order, cut short) goes on
# serving; nothing is lost, nothing is done twice. HOSTILE_SECONDS (60), HOSTILE_SEED (from the clock).
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
: "${HOSTILE_SECONDS:=60}" "${HOSTILE_SEED:=$EPOCHSECONDS}"
export CASE_TIMEOUT=$((HOSTILE_SECONDS + 100))
THREE='h1 h2 h3'
command -v python3 >/dev/null || skip_all "needs python3"

attack() { lab exec h3 python3 "$HERE/hostile.py" attack "$W/recorded.$1" "$2" "10.77.0.${1#h}" 7400 "$HOSTILE_SEED"; }
recorder_is_ready() { [ "$(lab exec "$1" cat /proc/net/packet | wc -l)" -ge 2 ]; }

t_messages_are_recorded() {
	local host recorders=()
	cluster 3
	for host in h1 h2; do
		lab exec $host python3 "$HERE/hostile.py" record "$W/recorded.$host" 60 7400 &
		recorders+=($!)
		wait_until 10 recorder_is_ready $host
	done
	lab restart "h1 h2 h3"
	wait_serves $THREE
	for host in $THREE; do load "$host" a id; done
	goes_on h1 a
	flock -w 20 "$(mnt h2)/locks/l" true
	account a h1
	touch "$W/recorded.h1.stop" "$W/recorded.h2.stop"
	wait "${recorders[@]}"
	ls -l "$W"/recorded.h?
}

t_members_go_on_serving() {
	local host before attacks=()
	wait_serves $THREE
	before="$(lab pid h1) $(lab pid h2)"
	for host in $THREE; do load "$host" b id; done
	for host in h1 h2; do
		attack $host "$HOSTILE_SECONDS" >"$W/attack.$host" 2>&1 &
		attacks+=($!)
	done
	for ((host = 0; host < HOSTILE_SECONDS - 20; host += 10)); do
		goes_on h1 b
		goes_on h2 b
		goes_on h3 b
		sleep 5
	done
	for host in "${attacks[@]}"; do wait "$host" || fail "$(cat "$W"/attack.h?)"; done
	sed 's/^/# /' "$W"/attack.h? >>"$W/figures"
	assert_eq "$(lab pid h1) $(lab pid h2)" "$before" "the daemons"
	wait_serves $THREE
	account b h2
	settle $THREE
}

t_it_was_told() {
	local host
	for host in h1 h2; do
		grep -q 'dropped: ' "$LAB/$host/log" || fail "$host says nothing"
		[ "$(grep -c 'dropped: ' "$LAB/$host/log")" -lt 200 ] || fail "$host fills its log"
	done
}

run_cases
