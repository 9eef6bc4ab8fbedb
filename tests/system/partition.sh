#!/bin/bash
# Links that are cut, in every way: a majority goes on, the others say so in time, nobody reads what is old, and when
# the network is whole again so is the cluster, by itself.
# shellcheck disable=SC2046,SC2154,SC2034 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=150
TIMEOUT=4 # seconds, -o timeout
THREE='h1 h2 h3'
FIVE='h1 h2 h3 h4 h5'

three() {
	whole 3 -o timeout=$TIMEOUT
	LEADER=$(wait_leader $THREE)
	set -- $(others "$LEADER" $THREE)
	A=$1 B=$2
}

# refused WANT COMMAND-OF-OP…: it ends with one of these errors (a|b)
refused() {
	local want=$1 got start=${EPOCHREALTIME/./}
	shift
	if got=$("$OP" "$@"); then fail "op $*: went well ('$got'), and should not"; fi
	echo "$(((${EPOCHREALTIME/./} - start) / 1000)) op $*: $got" >>"$W/refusals"
	[[ "|$want|" == *"|$got|"* ]] || fail "op $*: got '$got', want $want"
}

# in_time: what was refused since the file was emptied took no longer than timeout and a second and a half
in_time() {
	local slow
	slow=$(awk -v ms=$((TIMEOUT * 1000 + 1500)) '$1 > ms' "$W/refusals")
	[ -z "$slow" ] || fail "these took so many ms: $slow"
}

# refuses HOST: changes, reads, and names
refuses() {
	local m job status=0 jobs=()
	m=$(mnt "$1")
	refused 'EHOSTUNREACH|ETIMEDOUT' open O_WRONLY "$m/counters/served" : write '+1\n' &
	jobs+=($!)
	refused EHOSTUNREACH open O_RDONLY "$m/counters/served" : read &
	jobs+=($!)
	refused 'EHOSTUNREACH|ETIMEDOUT' mkdir "$m/files/d$1" &
	jobs+=($!)
	refused 'EHOSTUNREACH|ETIMEDOUT' open 'O_WRONLY|O_CREAT|O_EXCL' "$m/locks/e$1" &
	jobs+=($!)
	refused EHOSTUNREACH stat "$m/files/nothing" &
	jobs+=($!)
	for job in "${jobs[@]}"; do wait "$job" || status=1; done
	return $status
}

t_a_follower_is_cut_off() {
	three
	load "$LEADER" a
	load "$A" a
	lab isolate "$B"
	refuses "$B"
	goes_on "$A" a
	lab heal
	wait_serves "$B"
	account a "$B"
	settle $THREE
}

# Requests at once, of which none makes another one wait.
t_refusals_come_in_time() {
	three
	lab isolate "$B"
	: >"$W/refusals"
	refuses "$B"
	in_time
	lab heal
	wait_serves "$B"
}

# It must not answer with what it knows: there may be another leader by now.
t_the_leader_is_cut_off() {
	three
	echo 1 >"$(mnt "$LEADER")/counters/old"
	lab isolate "$LEADER"
	refused EHOSTUNREACH open O_RDONLY "$(mnt "$LEADER")/counters/old" : read
	wait_other_leader "$LEADER" "$A" "$B"
	wait_serves "$A"
	echo 2 >"$(mnt "$A")/counters/old"
	refuses "$LEADER"
	refused EHOSTUNREACH open O_RDONLY "$(mnt "$LEADER")/counters/old" : read
	lab heal
	wait_serves "$LEADER"
	assert_content "$(mnt "$LEADER")/counters/old" '2\n'
	settle $THREE
}

# Changes of a leader that was cut off, and does not know it yet: applied or not, but told right.
t_the_leader_is_cut_off_under_load() {
	local host i
	three
	for host in $THREE; do load $host b; done
	for i in 1 2; do
		lab isolate "$LEADER"
		wait_other_leader "$LEADER" "$A" "$B"
		goes_on "$A" b
		lab heal
		wait_serves "$LEADER"
		three
	done
	account b h1 refusals
	settle $THREE
}

t_a_leader_that_is_not_heard() {
	three
	load "$A" c
	lab cut --one-way "$LEADER" "$A $B"
	wait_other_leader "$LEADER" "$A" "$B"
	goes_on "$A" c
	lab heal
	wait_serves "$LEADER"
	account c "$B"
	settle $THREE
}

# It is believed to live: it has to notice itself that nobody answers.
t_a_leader_that_hears_nobody() {
	three
	load "$A" d
	lab cut --one-way "$A $B" "$LEADER"
	wait_other_leader "$LEADER" "$A" "$B"
	goes_on "$A" d
	lab heal
	wait_serves "$LEADER"
	account d "$B"
	settle $THREE
}

term() { member_file "$1" metrics | sed -n 's/^coordfs_term //p'; }

# Who is not heard, or hears nobody, disturbs nobody: there is no new leader, nor a new term.
t_a_follower_with_half_a_link() {
	local before
	three
	before=$(term "$LEADER")
	load "$A" e
	load "$LEADER" e
	lab cut --one-way "$LEADER $A" "$B"
	refuses "$B"
	goes_on "$A" e
	lab heal
	wait_serves "$B"
	lab cut --one-way "$B" "$LEADER $A"
	refuses "$B"
	goes_on "$A" e
	lab heal
	wait_serves "$B"
	account e "$A"
	assert_eq "$(term "$LEADER")" "$before" "the term of $LEADER"
	settle $THREE
}

# One sees both, who do not see each other.
t_a_bridge_of_three() {
	local bridge before
	three
	for bridge in "$A" "$LEADER"; do
		three
		load "$bridge" "f$bridge"
		lab bridge "$bridge" $(others "$bridge" $THREE)
		goes_on "$bridge" "f$bridge"
		# it comes to rest: the same leader for a while
		before=$(term "$bridge")
		wait_until 40 steady "$bridge" || fail "the term goes from $before to $(term "$bridge") and on"
		goes_on "$bridge" "f$bridge"
		lab heal
		wait_serves $THREE
		account "f$bridge" "$bridge" refusals
		settle $THREE
	done
}

# steady HOST: 100 changes in one term
steady() {
	local before i
	before=$(term "$1")
	for ((i = 0; i < 100; i++)); do serves "$1" || return; done
	[ "$(term "$1")" = "$before" ]
}

t_a_lossy_and_slow_network() {
	three
	load "$A" g
	load "$LEADER" g
	lab drop 5
	lab delay 10
	goes_on "$A" g
	goes_on "$LEADER" g
	flock -w 30 "$(mnt "$B")/locks/slow" true
	lab heal
	account g "$B"
	settle $THREE
}

t_a_link_that_comes_and_goes() {
	local i
	three
	load "$A" h id
	load "$B" h id
	for i in 1 2 3 4 5 6; do
		lab cut "$LEADER" "$A"
		goes_on "$B" h
		lab heal
		lab cut "$A" "$B"
		goes_on "$B" h
		lab heal
	done
	wait_serves $THREE
	account h "$LEADER" refusals
	settle $THREE
}

# Waits have no timeout: they go on, can be interrupted, and are granted when the network is whole.
t_a_lock_is_waited_for_across_a_partition() {
	cluster 3 -o timeout=$TIMEOUT,session_ttl=120
	three
	touch "$(mnt h1)/locks/w"
	actor holder
	assert_ask 0 holder open O_RDWR "$(mnt "$A")/locks/w"
	assert_ask ok holder flock ex
	actor waiter
	assert_ask 0 waiter open O_RDWR "$(mnt "$B")/locks/w"
	tell waiter flock ex
	actor impatient
	assert_ask 0 impatient open O_RDWR "$(mnt "$B")/locks/w"
	tell impatient flock ex
	MNT=$(mnt "$A")
	wait_until 10 has_waiters locks/w 2
	lab isolate "$B"
	refuses "$B"
	assert_eq "$(hear waiter 0.1)" silence
	assert_eq "$(hear impatient 0.1)" silence
	milliseconds actor_kill impatient
	[ "$took" -le $((TIMEOUT * 1000 + 1500)) ] || fail "it died after $took ms"
	lab heal
	wait_serves "$B"
	MNT=$(mnt "$A")
	wait_until 20 has_waiters locks/w 1
	assert_ask ok holder flock un
	assert_eq "$(hear waiter 20)" ok
	assert_eq "$(holders locks/w)" 1
	settle $THREE
}

# Who is cut off for longer than its session lives loses its locks, and knows it before another has them.
t_a_lock_is_lost_with_its_host() {
	local start other
	cluster 3 -o timeout=$TIMEOUT,session_ttl=4
	three
	touch "$(mnt h1)/locks/w"
	actor holder
	assert_ask 0 holder open O_RDWR "$(mnt "$B")/locks/w"
	assert_ask ok holder flock ex
	start=$SECONDS
	lab isolate "$B"
	flock -w 30 "$(mnt "$A")/locks/w" sh -c "echo 'granted' >'$W/granted'; while [ ! -e '$W/enough' ]; do sleep 0.1; done" &
	other=$!
	wait_until 30 test -e "$W/granted"
	[ $((SECONDS - start)) -le 12 ] || fail "the lock was free only after $((SECONDS - start)) s"
	assert_ask ESTALE holder write x
	lab heal
	wait_serves "$B"
	assert_ask ESTALE holder write x
	touch "$W/enough"
	wait "$other"
	flock -w 20 "$(mnt "$B")/locks/w" true
	settle $THREE
}

# ---- five members --------------------------------------------------------------------------------------------------

five() {
	whole 5 -o timeout=$TIMEOUT
	LEADER=$(wait_leader $FIVE)
	set -- $(others "$LEADER" $FIVE)
	A=$1 B=$2 C=$3 D=$4
}

t_five_split_with_the_leader_among_the_two() {
	local host
	five
	for host in $FIVE; do load $host i; done
	lab split "$LEADER $A" "$B $C $D"
	wait_other_leader "$LEADER" "$B" "$C" "$D"
	goes_on "$B" i
	refuses "$A"
	lab heal
	wait_serves $FIVE
	account i "$LEADER" refusals
	settle $FIVE
}

t_five_split_with_the_leader_among_the_three() {
	five
	load "$LEADER" j
	load "$A" j
	lab split "$LEADER $A $B" "$C $D"
	goes_on "$A" j
	refuses "$C"
	lab heal
	wait_serves $FIVE
	account j "$C"
	settle $FIVE
}

t_five_in_three_parts_have_no_majority() {
	five
	lab isolate "$LEADER"
	lab split "$A $B" "$C $D"
	refuses "$LEADER"
	refuses "$A"
	refuses "$D"
	lab heal
	wait_serves $FIVE
	settle $FIVE
}

t_five_with_a_bridge() {
	five
	load "$A" k
	lab bridge "$A" "$B $LEADER" "$C $D"
	goes_on "$A" k
	wait_until 40 steady "$A"
	lab heal
	wait_serves $FIVE
	account k "$LEADER" refusals
	settle $FIVE
}

run_cases
