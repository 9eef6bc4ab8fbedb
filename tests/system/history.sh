#!/bin/bash
# Clients on every mount write down what they ask and what they are told, while members crash, hang, and are cut off from
# each other, by a schedule drawn from a seed. Then all is healed, and tests/history/check says whether what they were
# told can be: each object linearizable, what was acknowledged there, exactly once, one holder of a lock at a time, tokens
# that only grow. At the end all members are the same to the byte.
#
# Beside them a client on each mount adds to an eventual and to a weak counter and reads them: what it reads never goes
# back, not through a crash either, and in the end all read the same, which is what was acknowledged.
#
# HISTORY_SECONDS (25) of faults for each cluster, HISTORY_SEED (from the clock), HISTORY_CLIENTS (4) for each mount. A failure
# prints the seed and the schedule, and keeps the history in TMPDIR.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
export LAB=$W/lab
: "${HISTORY_SECONDS:=25}" "${HISTORY_CLIENTS:=4}" "${HISTORY_SEED:=$((EPOCHSECONDS % 32768))}"
export CASE_TIMEOUT=$((HISTORY_SECONDS + 240))
LOAD=${top_builddir:-/nonexistent}/tests/history/load
CHECK=${top_builddir:-/nonexistent}/tests/history/check
[ -x "$LOAD" ] && [ -x "$CHECK" ] || bail "tests/history/load and check are not built (make check)"
TTL=5 # seconds: session_ttl and timeout

lab() { "$HERE/../../contrib/lab" "$@"; }
at_end() { lab down; }

# ---- the record ----------------------------------------------------------------------------------------------------

# note WORDS...: what is done to the members, and when
note() {
	local ms=$((($("$LOAD" now) - began) / 1000000))
	printf '%4d.%03d %s\n' $((ms / 1000)) $((ms % 1000)) "$*" >>"$SCHEDULE"
}

# lapse SINCE HOST...: from then until a while after now, the sessions of these may end
lapse() {
	local since=$1 host
	shift
	for host; do echo "0 $host session:$host lapse - $since $(($("$LOAD" now) + 3 * TTL * 1000000000)) =" >>"$HISTORY"; done
}

keep() {
	local kept
	kept=$(mktemp -d "${TMPDIR:-/tmp}/coordfs-history.XXXXXX")
	cp "$HISTORY" "$SCHEDULE" "$kept/"
	cp "$LAB"/h*/log "$kept/" 2>/dev/null --backup=numbered || :
	echo "HISTORY_SEED=$HISTORY_SEED; the history is in $kept; the schedule, in seconds:"
	cat "$SCHEDULE"
}

# broken WORDS...: ends the case
broken() {
	keep
	fail "$*"
}

# ---- chance: by the seed; not in subshells, which have their own RANDOM --------------------------------------------

# draw N: drawn is one of 0 … N-1
draw() { drawn=$((RANDOM % $1)); }

# draw_seconds FROM TO: drawn is a number with a tenth
draw_seconds() {
	draw $((($2 - $1) * 10 + 1))
	drawn=$(($1 + drawn / 10)).$((drawn % 10))
}

# draw_hosts N: chosen are that many, others the rest
draw_hosts() {
	local i j
	chosen=()
	others=("${hosts[@]}")
	for ((i = 0; i < $1; i++)); do
		draw ${#others[@]}
		chosen+=("${others[drawn]}")
		j=("${others[@]:0:drawn}" "${others[@]:drawn+1}")
		others=("${j[@]}")
	done
}

# choose_leader: chosen is the leader as somebody knows it, or any
choose_leader() {
	local host leader
	draw_hosts 1
	for host in "${hosts[@]}"; do
		leader=$(timeout 2 cat "$LAB/$host/mnt/cluster/leader" 2>/dev/null) || continue
		[[ " ${hosts[*]} " != *" $leader "* ]] || { chosen=("$leader"); return; }
	done
}

# ---- faults: each makes one, lasts a while, and takes it back --------------------------------------------------------

last() { sleep "$drawn"; }
since() { since=$("$LOAD" now); }

crash() { # HOST...
	note "kill $*, start after $drawn s"
	since
	lab kill "$*"
	last
	lab start "$*" || broken "$* does not start again"
	lapse "$since" "$@"
}

hang() { # HOST...
	note "pause $*, resume after $drawn s"
	since
	lab pause "$*"
	last
	lab resume "$*"
	lapse "$since" "$@"
}

heal() { # HOST...: whose sessions may have ended since
	last
	lab heal
	note healed
	lapse "$since" "$@"
}

f_crash() {
	draw_hosts 1
	draw_seconds 0 6
	crash "${chosen[@]}"
}

f_crash_of_the_leader() {
	choose_leader
	draw_seconds 0 6
	crash "${chosen[@]}"
}

f_power_failure() {
	draw_seconds 0 2
	crash "${hosts[@]}"
}

f_hang() {
	draw_hosts 1
	draw_seconds 1 12
	hang "${chosen[@]}"
}

f_hang_of_the_leader() {
	choose_leader
	draw_seconds 1 12
	hang "${chosen[@]}"
}

f_isolated_leader() {
	choose_leader
	draw_seconds 2 14
	note "isolate the leader ${chosen[*]}, for $drawn s"
	since
	lab isolate "${chosen[0]}"
	heal "${chosen[@]}"
}

f_minority() {
	draw_hosts $(((${#hosts[@]} - 1) / 2))
	draw_seconds 2 14
	note "split ${chosen[*]} | ${others[*]}, for $drawn s"
	since
	lab split "${chosen[*]}" "${others[*]}"
	heal "${chosen[@]}"
}

f_no_majority() {
	draw_hosts $((${#hosts[@]} / 2 + 1))
	draw_seconds 2 14
	note "isolate ${chosen[*]}, for $drawn s"
	since
	lab isolate "${chosen[*]}"
	heal "${hosts[@]}"
}

f_one_way() {
	draw_hosts 2
	draw_seconds 2 14
	note "${chosen[1]} does not hear ${chosen[0]}, for $drawn s"
	since
	lab cut --one-way "${chosen[@]}"
	heal "${chosen[@]}"
}

f_deaf() {
	draw_hosts 1
	draw_seconds 2 14
	note "${chosen[0]} hears nobody, for $drawn s"
	since
	lab cut --one-way all "${chosen[0]}"
	heal "${chosen[@]}"
}

f_bridge() {
	local half=$(((${#hosts[@]} - 1) / 2))
	draw_hosts $((half + 1))
	draw_seconds 2 14
	note "${chosen[0]} bridges ${chosen[*]:1} | ${others[*]}, for $drawn s"
	since
	lab bridge "${chosen[0]}" "${chosen[*]:1}" "${others[*]}"
	heal "${hosts[@]}"
}

f_loss() {
	draw_seconds 2 8
	note "a fifth of all frames is lost, for $drawn s"
	since
	lab drop 20
	heal "${hosts[@]}"
}

f_rolling_restart() {
	local host
	for host in "${hosts[@]}"; do
		note "restart $host"
		since
		lab restart "$host" || broken "$host does not restart"
		lapse "$since" "$host"
	done
}

# faults UNTIL: again and again, a few seconds apart; each kind once before any comes again
faults() {
	local all left fault
	mapfile -t all < <(compgen -A function f_ | sort)
	left=()
	while (($("$LOAD" now) < $1)); do
		((${#left[@]} > 0)) || left=("${all[@]}")
		draw ${#left[@]}
		fault=${left[drawn]}
		left=("${left[@]:0:drawn}" "${left[@]:drawn+1}")
		"$fault"
		draw_seconds 1 4
		last
	done
}

# ---- beside it, what is weak and what is eventual --------------------------------------------------------------------

LEVELS='eventual weak'
at() { echo "$LAB/$1/mnt/counters/$2"; }

# beside HOST LEVEL: until $W/over is there; then counted-LEVEL-HOST has how many additions were acknowledged, and how
# many others there may be
beside() {
	local n acknowledged=0 doubtful=0
	while [ ! -e "$W/over" ]; do
		if echo +1 >"$(at "$1" "$2")"; then acknowledged=$((acknowledged + 1)); else doubtful=$((doubtful + 1)); fi
		! read -r n <"$(at "$1" "$2")" || echo "$n" >>"$W/seen-$2-$1"
		sleep 0.05
	done 2>/dev/null
	echo "$acknowledged $doubtful" >"$W/counted-$2-$1"
}

has_level() { [ "$(timeout 10 "$OP" getxattr "$(at "$1" "$2")" user.coordfs.consistency)" = "$2" ]; }

begin_beside() {
	local level host
	rm -f "$W/over" "$W"/seen-* "$W"/counted-*
	for level in $LEVELS; do
		touch "$(at h1 "$level")"
		op setxattr "$(at h1 "$level")" user.coordfs.consistency "$level"
		for host in "${hosts[@]}"; do wait_until 10 has_level "$host" "$level" || fail "$level is not seen at $host"; done
		for host in "${hosts[@]}"; do beside "$host" "$level" & done
	done
}

have_counted() { [ "$(find "$W" -name 'counted-*' | wc -l)" = $((2 * ${#hosts[@]})) ]; }

# all_read LEVEL: the same value, which then is in $value
all_read() {
	local host values
	values=$(for host in "${hosts[@]}"; do timeout 20 cat "$(at "$host" "$1")" || echo none; done | sort -u)
	value=$values
	[[ $values =~ ^[0-9]+$ ]]
}

# The load is over and all is healed.
end_beside() {
	local level host value acknowledged doubtful
	touch "$W/over"
	wait_until 60 have_counted || broken "a client beside the load hangs"
	for level in $LEVELS; do
		for host in "${hosts[@]}"; do
			sort -nc "$W/seen-$level-$host" || broken "$host read its $level counter going back"
		done
		read -r acknowledged doubtful < <(cat "$W/counted-$level"-* | awk '{ a += $1; o += $2 } END { print a, o }')
		wait_until 60 all_read "$level" || broken "the members do not agree on the $level counter: $value"
		((value >= acknowledged && value <= acknowledged + doubtful)) ||
			broken "the $level counter is $value: $acknowledged additions were acknowledged, $doubtful others may count"
		echo "$level: $value; $acknowledged acknowledged, $doubtful others; $(cat "$W/seen-$level"-* | wc -l) reads"
	done
}

# ---- a cluster -----------------------------------------------------------------------------------------------------

# states: the line with revision and hash of each member
states() {
	local host
	for host in "${hosts[@]}"; do
		timeout 5 grep -o 'revision=[0-9]* state=[0-9a-f]*' "$LAB/$host/mnt/cluster/status" || echo "$host has none"
	done
}

are_equal() { [ "$(states | sort -u | wc -l)" = 1 ]; }

check_history() {
	"$CHECK" "$HISTORY" >"$W/verdict" || { cat "$W/verdict"; broken "what the clients were told cannot be"; }
	tail -n 1 "$W/verdict"
}

# The load is over: nothing may be wrong any more.
settle() {
	wait_until 30 are_equal || { states; broken "the members do not come to the same state"; }
	"$LOAD" --final --base 5000 --seconds 60 "$HISTORY" "${mounts[@]}" || broken "it does not serve after the faults"
	wait_until 30 are_equal || { states; broken "the members do not come to the same state"; }
}

# cluster N: faults for a while, then the verdict
cluster() {
	local hosts mounts host load drawn chosen others since began status=0
	HISTORY=$W/history.$1 SCHEDULE=$W/schedule.$1
	RANDOM=$((HISTORY_SEED + $1))
	began=$("$LOAD" now)
	lab up -n "$1" -o session_ttl=$TTL,timeout=$TTL || fail "no cluster"
	mapfile -t hosts < <(seq -f 'h%g' "$1")
	mounts=()
	for host in "${hosts[@]}"; do mounts+=("$host=$LAB/$host/mnt"); done
	"$LOAD" --prepare --seconds 30 "$HISTORY" "${mounts[@]}"
	begin_beside
	note "begin"
	"$LOAD" --clients "$HISTORY_CLIENTS" --seed "$HISTORY_SEED" --seconds $((HISTORY_SECONDS + 20)) "$HISTORY" "${mounts[@]}" >"$W/load" &
	load=$!
	sleep 2
	faults $(($("$LOAD" now) + HISTORY_SECONDS * 1000000000))
	wait $load || status=$?
	cat "$W/load"
	[ $status = 0 ] || broken "the load ended with $status"
	note "the load is over"
	end_beside
	settle
	check_history
	lab down
}

# ---- cases ---------------------------------------------------------------------------------------------------------

# A member that nobody has written to, alone.
fresh_mount() {
	! is_mounted || stop_mount
	rm -rf "$DATA"
	start_mount -o name=h1
}

# The checker sees what is wrong in what the load writes: one line of it is changed.
t_a_wrong_answer_is_found() {
	local line
	HISTORY=$W/history.wrong
	fresh_mount
	"$LOAD" --prepare "$HISTORY" "h1=$MNT"
	"$LOAD" --clients 4 --seconds 3 --pause 5 "$HISTORY" "h1=$MNT"
	"$LOAD" --final --base 5000 "$HISTORY" "h1=$MNT"
	"$CHECK" "$HISTORY" >"$W/verdict" || { cat "$W/verdict"; fail "wrong before anything was changed"; }
	line=$(grep -n ' counter:counters/added0 add [0-9]* [0-9]* [0-9]* =' "$HISTORY" | head -n 1)
	sed "${line%%:*}d" "$HISTORY" >"$W/history.lost"
	assert_fails "$CHECK" "$W/history.lost"
	{ cat "$HISTORY" && echo "${line#*:}"; } >"$W/history.twice"
	assert_fails "$CHECK" "$W/history.twice"
	line=$(grep -n ' lock:locks/flock0 release [0-9]* [0-9]* [0-9]* =' "$HISTORY" | head -n 1)
	sed "${line%%:*}d" "$HISTORY" >"$W/history.held"
	assert_fails "$CHECK" "$W/history.held"
}

# One member: kill -9, again and again. What its clients wait for then ends as unknown.
t_one_member_that_is_killed() {
	local load drawn since began status=0 rounds=0
	HISTORY=$W/history.1 SCHEDULE=$W/schedule.1
	RANDOM=$HISTORY_SEED
	began=$("$LOAD" now)
	fresh_mount
	"$LOAD" --prepare "$HISTORY" "h1=$MNT"
	"$LOAD" --clients 12 --pause 5 --seed "$HISTORY_SEED" --seconds 20 "$HISTORY" "h1=$MNT" >"$W/load" &
	load=$!
	while (($("$LOAD" now) < began + 16 * 1000000000)); do
		draw_seconds 0 2
		last
		since
		note "kill"
		kill_mount
		start_mount -o name=h1 || broken "it does not start again"
		lapse "$since" h1
		rounds=$((rounds + 1))
	done
	wait $load || status=$?
	echo "$rounds crashes; $(cat "$W/load")"
	[ $status = 0 ] || broken "the load ended with $status"
	"$LOAD" --final --base 5000 "$HISTORY" "h1=$MNT" || broken "it does not serve after the crashes"
	check_history
}

t_three_members() {
	cluster 3
}

t_five_members() {
	cluster 5
}

run_cases
