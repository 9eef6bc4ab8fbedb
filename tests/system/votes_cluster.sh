#!/bin/bash
# votes/ with participants on three hosts, and whatever dies: each reads the same outcome, and none commits against a no.
# VOTE_ROUNDS (25) with a fault in each, VOTE_SEED (from the clock); a failure prints the seed.
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=${VOTE_TIMEOUT:-300}
HOSTS='h1 h2 h3'

ask() { timeout 30 sh -c "echo $1 >'$(mnt "$2")/votes/$3'"; }
outcome() { timeout 30 cat "$(mnt "$1")/votes/$2/outcome"; }
has_outcome() { [ "$(outcome "$1" "$2")" = "$3" ]; }
reason() { timeout 30 sed -n 's/^reason=//p' "$(mnt "$1")/.info/votes/$2"; }

# a vote of three, made on h1; each host registers one of its own name
vote_of_three() {
	local host
	mkdir "$(mnt h1)/votes/$1"
	for host in $HOSTS; do mkdir "$(mnt "$host")/votes/$1/participants/$host"; done
}

t_all_hosts_take_part() {
	local host
	cluster 3 -o session_ttl=4
	vote_of_three all
	ask prepare h2 all/ctl
	for host in $HOSTS; do ask yes "$host" "all/participants/$host/vote"; done
	for host in $HOSTS; do assert_eq "$(outcome "$host" all)" commit; done
}

t_a_host_dies_before_its_vote() {
	vote_of_three before
	ask prepare h1 before/ctl
	ask yes h1 before/participants/h1/vote
	ask yes h2 before/participants/h2/vote
	lab kill h3
	wait_until 30 has_outcome h1 before abort
	assert_eq "$(reason h2 before)" 'h3: its mount was gone before it voted'
	lab start h3
	assert_eq "$(outcome h3 before)" abort
	! ask yes h3 before/participants/h3/vote 2>/dev/null || fail "a late vote is taken"
}

t_a_host_dies_after_its_vote() {
	vote_of_three after
	ask prepare h1 after/ctl
	ask yes h3 after/participants/h3/vote
	lab kill h3
	ask yes h1 after/participants/h1/vote
	ask yes h2 after/participants/h2/vote
	assert_eq "$(outcome h2 after)" commit
	lab start h3
	assert_eq "$(outcome h3 after)" commit
}

# The coordinator is gone, with all its host: the others come to an end by themselves.
t_the_coordinators_host_dies() {
	vote_of_three prepared
	ask prepare h1 prepared/ctl
	ask yes h1 prepared/participants/h1/vote
	mkdir "$(mnt h1)/votes/open" "$(mnt h2)/votes/open/participants/h2"
	lab kill h1
	ask yes h2 prepared/participants/h2/vote
	ask yes h3 prepared/participants/h3/vote
	wait_until 30 has_outcome h3 prepared commit
	wait_until 30 has_outcome h3 open abort
	assert_eq "$(reason h2 open)" 'the mount on which it was made is gone'
	lab start h1
	assert_eq "$(outcome h1 open)" abort
}

t_without_a_majority_nothing_is_decided() {
	vote_of_three cut
	ask prepare h2 cut/ctl
	ask yes h2 cut/participants/h2/vote
	ask yes h3 cut/participants/h3/vote
	lab isolate h1
	assert_eq "$(timeout 60 sh -c "echo yes >'$(mnt h1)/votes/cut/participants/h1/vote'" 2>&1 | grep -c 'No route to host\|timed out')" 1
	wait_until 30 has_outcome h2 cut abort
	lab heal
	wait_until 60 has_outcome h1 cut abort
	wait_serves $HOSTS
}

# fault NUMBER: one of several, at a moment in the round
fault() {
	local leader host
	sleep "0.$((RANDOM % 4))"
	host=h$((RANDOM % 3 + 1))
	case $(($1 % 5)) in
	0) lab kill "$host"; sleep "0.$((RANDOM % 10))"; lab start "$host" ;;
	1) leader=$(leader_at h1); lab kill "${leader:-h2}"; lab start "${leader:-h2}" ;;
	2) lab isolate "$host"; sleep $((RANDOM % 6)); lab heal ;;
	3) lab pause "$host"; sleep $((RANDOM % 3)); lab resume "$host" ;;
	4) ask abort "$host" "$2/ctl" 2>>"$W/refused" || : ;; # in time or too late
	esac
}

# The answers of one round, "HOST SAID OUTCOME" a line.
judge() {
	local outcomes
	[ "$(wc -l <"$1")" = 3 ] || fail "seed $seed, $1: not all have come to an end: $(cat "$1" "$W/voters")"
	outcomes=$(cut -d ' ' -f 3 "$1" | sort -u)
	[[ $outcomes = commit || $outcomes = abort ]] || fail "seed $seed, $1: $(tr '\n' ',' <"$1")"
	[ "$outcomes" = abort ] || ! grep -qv ' yes commit$' "$1" || fail "seed $seed, $1: commit of $(tr '\n' ',' <"$1")"
	echo "$outcomes" >>"$W/outcomes"
}

round() {
	local name=round$1 host pids=()
	vote_of_three "$name"
	[ $((RANDOM % 2)) = 0 ] || ask 3pc h1 "$name/protocol"
	ask 8 h1 "$name/timeout"
	for host in $HOSTS; do
		python3 "$HERE/voter.py" "$(mnt "$host")" "$name" "$host" "$((seed + $1))" 2>>"$W/voters" | sed "s/^/$host /" >>"$W/$name" &
		pids+=($!)
	done
	ask prepare "h$((RANDOM % 3 + 1))" "$name/ctl"
	fault "$1" "$name"
	wait "${pids[@]}"
	judge "$W/$name"
	wait_serves $HOSTS
	for host in $HOSTS; do assert_eq "$(outcome "$host" "$name")" "$(tail -n 1 "$W/outcomes")"; done
	rmdir "$(mnt h2)/votes/$name"
}

t_every_round_has_one_outcome() {
	local i seed=${VOTE_SEED:-$((EPOCHSECONDS % 32768))} rounds=${VOTE_ROUNDS:-25}
	RANDOM=$seed
	for ((i = 1; i <= rounds; i++)); do round "$i"; done
	echo "# $rounds rounds, seed $seed: $(sort "$W/outcomes" | uniq -c | tr -s ' \n' ' ')" >>"$W/figures"
}

t_they_settle() { settle $HOSTS; }

run_cases
