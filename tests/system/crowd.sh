#!/bin/bash
# Ten thousand wait for one lock, on three hosts: each gets it, one at a time, and meanwhile everybody else goes on. And one
# user who takes all that one may have leaves the others theirs.
#
# CROWD (10000); USER_WAITERS, how many of one user may wait.
# shellcheck disable=SC2154,SC2046 # actors set NAME_pid; lists of words
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
: "${CROWD:=10000}" "${USER_WAITERS:=20000}"
export CASE_TIMEOUT=280
CROWDER=${top_builddir:-/nonexistent}/tests/system/crowd
if [ ! -x "$CROWDER" ]; then
	CROWDER=$W/crowd
	${CC:-cc} -std=c17 -D_GNU_SOURCE -pthread -O1 "$HERE/crowd.c" -o "$CROWDER" || bail "crowd.c does not compile"
fi
HOSTS=(h1 h2 h3)

cluster 3 -o allow_other || bail "no cluster"
wait_leader "${HOSTS[@]}" >/dev/null
# shellcheck disable=SC2034 # of lib.sh
MNT=$(mnt h2)
start_mount() { lab start h2; }

# waiting HOST: in the whole cluster
waiting() { timeout 15 sed -n 's/^locks .* \([0-9]*\) waiting$/\1/p' "$(mnt "$1")/cluster/status"; }
have_come() { [ "$(waiting h2)" = "$1" ]; }

# crowd flock|range COUNT PATH [COMMAND…]: as many at all hosts together; the command starts them
crowd() {
	local host each=$((($2 + 2) / 3)) kind=$1 left=$2 path=$3
	shift 3
	CROWD_PIDS=()
	rm -f "$W/counts"
	: >"$W/counts"
	chmod 666 "$W/counts"
	for host in "${HOSTS[@]}"; do
		"$@" "$CROWDER" "$kind" "$(mnt "$host")/$path" $((left < each ? left : each)) "$W/counts" &
		CROWD_PIDS+=($!)
		left=$((left - each))
	done
}
counted() { "$CROWDER" "$W/counts" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
has_counted() { [ "$(counted "$1")" = "$2" ]; }

# one_holder_at_most PATH: until all have had it, by what each host says
one_holder_at_most() {
	local host n
	until [ "$(counted granted)" = "$CROWD" ]; do
		for host in "${HOSTS[@]}"; do
			n=$(timeout 20 grep -c '^holder=' "$(mnt "$host")/.info/$1" || :)
			[ "$n" -le 1 ] || fail "$n holders at $host"
		done
		sleep 1
	done
}

# others_go_on: counters and locks of others, at each host, in turn
others_go_on() {
	local host i
	for host in "${HOSTS[@]}"; do
		for ((i = 0; i < 10; i++)); do
			echo +1 >"$(mnt "$host")/counters/other"
			flock "$(mnt "$host")/locks/other.$i" true
		done
	done
}

# ten_thousand flock|range LOCK…: as an actor asks for it
ten_thousand() {
	local path=locks/crowd.$1 start=$EPOCHREALTIME filled drained pid
	touch "$(mnt h1)/$path"
	actor a
	assert_ask 0 a open O_RDWR "$(mnt h1)/$path"
	assert_ask ok a "${@:2}"
	load h1 "beside.$1"
	load h3 "beside.$1"
	crowd "$1" "$CROWD" "$path"
	wait_until 120 have_come "$CROWD"
	filled=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
	assert_eq "$(counted granted)" 0
	milliseconds others_go_on
	[ "$took" -lt 15000 ] || fail "30 changes and locks took $took ms beside $CROWD waiters"
	goes_on h1 "beside.$1"
	start=$EPOCHREALTIME
	assert_ask ok a close
	wait_until 20 eval '[ "$(counted granted)" -gt 0 ]'
	goes_on h3 "beside.$1"
	one_holder_at_most "$path"
	drained=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
	for pid in "${CROWD_PIDS[@]}"; do wait "$pid" || fail "not all came"; done
	assert_eq "$("$CROWDER" "$W/counts")" "granted=$CROWD overlaps=0 refused=0 interrupted=0 errors=0 last_error=none"
	wait_until 10 has_holders "$path" 0
	assert_eq "$(waiters "$path")" 0
	end_load "beside.$1" >"$W/beside"
	echo "# $1: $CROWD waiters came in $filled ms, had it in $drained ms; 30 changes and locks beside them took $took ms;" \
		"an addition beside all of it $(worst_ms "beside.$1") ms at most" >>"$W/figures"
	account "beside.$1" h2
	settle "${HOSTS[@]}"
}

t_ten_thousand_flock_waiters() { ten_thousand flock flock ex; }
t_half_as_many_range_waiters() { CROWD=$((CROWD / 2)) ten_thousand range ofdlock w 0 0; }

# has_room THREADS: there may be so many, and some for the rest of the machine
has_room() {
	local tasks
	tasks=$(cut -d / -f 2 /proc/loadavg | cut -d ' ' -f 1)
	[ $((tasks + $1 + 3000)) -lt "$(cat /proc/sys/kernel/pid_max)" ]
}

end_crowd() {
	local pid
	kill -9 "${CROWD_PIDS[@]}" 2>/dev/null || :
	for pid in "${CROWD_PIDS[@]}"; do wait_until 60 gone "$pid" || fail "it hangs: $(cat "/proc/$pid/wchan")"; done
}

t_one_user_who_waits_too_often_leaves_room_for_others() {
	local extra=300
	has_room $((USER_WAITERS + extra)) || skip "too many threads for this machine at this moment"
	touch "$(mnt h1)/locks/limit" "$(mnt h1)/locks/mine"
	chmod 666 "$(mnt h1)/locks/limit" "$(mnt h1)/locks/mine"
	actor a
	assert_ask 0 a open O_RDWR "$(mnt h1)/locks/limit"
	assert_ask ok a flock ex
	crowd flock $((USER_WAITERS + extra)) locks/limit setpriv --reuid=65534 --regid=65534 --clear-groups
	wait_until 150 have_come "$USER_WAITERS"
	wait_until 20 has_counted refused $extra
	assert_eq "$(counted errors)" 0
	for host in "${HOSTS[@]}"; do
		assert_errno ENOLCK as 65534 65534 : open O_RDWR "$(mnt $host)/locks/limit" : flock ex
		assert_errno ENOLCK as 65534 65534 : open O_RDWR "$(mnt $host)/locks/mine" : lock w 0 1 : open O_RDWR "$(mnt $host)/locks/limit" : flock sh
		assert_errno EAGAIN as 65534 65534 : open O_RDWR "$(mnt $host)/locks/limit" : flock 'ex|nb'
		assert_op ok as 65534 65534 : open O_RDWR "$(mnt $host)/locks/mine" : flock ex : flock un
		assert_op ok as 65533 65533 : open O_RDWR "$(mnt $host)/locks/mine" : flock ex : lockw w 0 1 : flock un
	done
	actor b
	assert_ask 0 b as 65533 65533 : open O_RDWR "$(mnt h3)/locks/limit"
	tell b flock ex
	wait_until 20 have_come $((USER_WAITERS + 1))
	end_crowd
	wait_until 60 have_come 1
	assert_ask ok a flock un
	assert_eq "$(hear b 10)" ok
	assert_ask ok b flock un
	assert_op ok as 65534 65534 : open O_RDWR "$(mnt h2)/locks/limit" : flock ex
	settle "${HOSTS[@]}"
}

run_cases
