#!/bin/bash
# At most one holder of an exclusive lock has not been told of its loss, and what a fence guards takes no write of a
# former one: while members are cut off, stopped and killed, and holders are killed.
#
# EXCLUSION_ROUNDS (20) of about two seconds, EXCLUSION_SEED (from the clock).
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
: "${EXCLUSION_ROUNDS:=20}" "${EXCLUSION_SEED:=$((EPOCHSECONDS % 32768))}"
export CASE_TIMEOUT=$((EXCLUSION_ROUNDS * 10 + 180))
EXCLUDER=${top_builddir:-/nonexistent}/tests/system/excluder
if [ ! -x "$EXCLUDER" ]; then
	EXCLUDER=$W/excluder
	${CC:-cc} -std=c17 -D_GNU_SOURCE -I"$HERE/../../include" -O1 "$HERE/excluder.c" -o "$EXCLUDER" ||
		bail "excluder.c does not compile"
fi
HOSTS=(h1 h2 h3)
CLIENTS=2 # at each
declare -A PID

# ---- who wants it --------------------------------------------------------------------------------------------------

# client HOST N: a record for each process
client() {
	RECORDS=$((RECORDS + 1))
	"$EXCLUDER" "$(mnt "$1")" "$W/resource" "$W/record.$RECORDS" $((EXCLUSION_SEED + RECORDS)) &
	PID[$1-$2]=$!
}

kill_a_client() {
	local key=$1-$((RANDOM % CLIENTS))
	kill -9 "${PID[$key]}"
	client "$1" "${key#*-}"
}

clients_end() {
	local pid
	kill -TERM "${PID[@]}"
	for pid in "${PID[@]}"; do wait_until 20 gone "$pid" || fail "$pid hangs: $(cat "/proc/$pid/wchan")"; done
}

# ---- what happens --------------------------------------------------------------------------------------------------

say() { echo "round $ROUND: $*" >>"$W/schedule"; }
# pause_for FROM TO: milliseconds, by chance
pause_for() {
	local ms=$(($1 + RANDOM % ($2 - $1)))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# holder_or ANY: the number in HOSTS of who has it now
holder_or() {
	local host
	host=$(timeout 2 sed -n 's/^holder=host=h\([0-9]\).*/\1/p' "$W/resource.mount/.info/locks/db" 2>/dev/null | head -n 1)
	echo "${host:+$((host - 1))}" | grep . || echo "$1"
}

# a_round: something befalls one member, mostly that of the holder; the resource asks another
a_round() {
	local n=$((RANDOM % 3)) what=$((RANDOM % 8)) victim
	((RANDOM % 4 == 0)) || n=$(holder_or $n)
	victim=${HOSTS[n]}
	ln -sfn "$(mnt "${HOSTS[(n + 1 + RANDOM % 2) % 3]}")" "$W/resource.mount.new"
	mv -T "$W/resource.mount.new" "$W/resource.mount"
	case $what in
	0 | 1 | 2)
		say "$victim is cut off"
		lab isolate "$victim"
		pause_for 300 2600
		lab heal
		;;
	3 | 4 | 5)
		say "$victim is stopped"
		lab pause "$victim"
		pause_for 300 2600
		lab resume "$victim"
		;;
	6)
		say "$victim is killed"
		lab kill "$victim"
		pause_for 0 1000
		lab start "$victim" || fail "$victim does not start"
		;;
	7)
		say "a client of $victim is killed, and it is deaf"
		lab cut --one-way "${HOSTS[(n + 1) % 3]}" "$victim"
		lab cut --one-way "${HOSTS[(n + 2) % 3]}" "$victim"
		kill_a_client "$victim"
		pause_for 300 2600
		lab heal
		;;
	esac
	pause_for 200 600
}

# ---- what was seen -------------------------------------------------------------------------------------------------

# overlaps: of the grants in order of their tokens, how often an earlier holder was told that it still is one, in answer
# to a call that was begun after a later one had it
overlaps() {
	find "$W" -name 'record.*' ! -name '*.counts' -exec cat {} + | sort -n | awk '
		$1 == token { print "two grants with token " $1; next }
		{ token = $1 }
		$2 < sure { printf "%s had it at %s, and %s was sure until %s\n", $1, $2, who, sure }
		$3 > sure { sure = $3; who = $1 }'
}

# stale: writes that were accepted after one with a higher token
stale() { awk '$1 < top { print "token " $1 " after " top } $1 > top { top = $1 }' "$W/resource"; }

broken() {
	echo "EXCLUSION_SEED=$EXCLUSION_SEED; what happened:"
	tail -n 20 "$W/schedule"
	fail "$*"
}

t_one_holder_and_no_stale_write() {
	local host n found
	cluster 3 -o timeout=2,session_ttl=1,election_timeout=200,heartbeat=40
	wait_leader h1 h2 h3 >/dev/null
	touch "$(mnt h1)/fences/db"
	ln -s "$(mnt h1)" "$W/resource.mount"
	RANDOM=$EXCLUSION_SEED RECORDS=0
	for host in "${HOSTS[@]}"; do
		for ((n = 0; n < CLIENTS; n++)); do client "$host" $n; done
	done
	for ((ROUND = 1; ROUND <= EXCLUSION_ROUNDS; ROUND++)); do a_round; done
	wait_serves h1 h2 h3
	clients_end
	found=$(overlaps)
	[ -z "$found" ] || broken "two holders: $found"
	found=$(stale)
	[ -z "$found" ] || broken "a stale write: $found"
	for n in grants losses accepted refused errors; do
		eval "$n=$(sum_of $n "$W"/record.*.counts)"
	done
	# shellcheck disable=SC2154 # by eval
	echo "# $EXCLUSION_ROUNDS rounds: $grants grants, $losses losses, $accepted writes, $refused refused as stale, \
$errors not answered; no overlap" >>"$W/figures"
	((grants >= EXCLUSION_ROUNDS && losses > 0 && accepted >= EXCLUSION_ROUNDS && refused > 0)) || broken "too little happened: $(cat "$W/figures")"
	for host in "${HOSTS[@]}"; do
		wait_until 10 nobody_at "$host"
	done
	settle h1 h2 h3
}
nobody_at() { ! timeout 10 grep -E '^(holder|waiter)=' "$(mnt "$1")/.info/locks/db"; }

run_cases
