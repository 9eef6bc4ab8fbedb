#!/bin/bash
# coordfs recover: the last member of a lost majority goes on alone, with all it has; and what a recover refuses. The
# members of the cluster are mounts of this host, on loopback addresses that are this test's own.
# shellcheck disable=SC2016 # for sh -c
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
HOST=127.$(($$ >> 16 & 127)).$(($$ >> 8 & 255)).$(($$ & 255))

# member N: the mount and the data that start_mount and the others mean
member() {
	DATA=$W/d$1
	MNT=$W/m$1
}

start_member() { # N [OPTIONS]
	member "$1"
	start_mount -o "name=h$1,listen=tcp://$HOST:$((7400 + $1))${2+,$2}"
}

# recover_says WANT-STATUS WORDS ARGUMENTS…
recover_says() {
	local want=$1 words=$2 status=0
	shift 2
	timeout 60 "$COORDFS" recover "$@" >"$W/out" 2>&1 </dev/null || status=$?
	assert_eq $status "$want" "exit status of recover $*: $(cat "$W/out")"
	assert_match "$(cat "$W/out")" "*$words*" "recover $*"
}

role_is() { [ "$(cat "$MNT/cluster/members/h$1/role" 2>/dev/null)" = "$2" ]; }
all_vote() { role_is 1 voter && role_is 2 voter && role_is 3 voter; }

t_three_members_of_which_two_are_lost() {
	local i
	start_member 1
	start_member 2 "join=tcp://$HOST:7401"
	start_member 3 "join=tcp://$HOST:7402"
	wait_until 60 all_vote
	for i in {1..20}; do echo +1 >"$MNT/counters/n"; done
	(set -C; echo $$ >"$MNT/locks/of-the-session")
	for i in 1 2 3; do
		member $i
		assert_eq "$(cat "$MNT/counters/n")" 20
	done
	recover_says 1 "is in use by pid" "$W/d3"
	for i in 1 2 3; do
		member $i
		kill_mount
	done
}

t_it_tells_before_it_asks() {
	recover_says 1 "no terminal to ask at" "$W/d3"
	assert_match "$(cat "$W/out")" "*holds member h3*"
	assert_match "$(cat "$W/out")" "*has 3 voting members and 0 others*"
	assert_match "$(cat "$W/out")" "*h1 at tcp://$HOST:7401, number *, votes*h2 at *h3 at *, this one*"
	assert_match "$(cat "$W/out")" "*acknowledged after that entry is lost*"
	# a terminal, and an answer that is not yes
	script -qec "'$COORDFS' recover '$W/d3'" /dev/null <<<"no" >"$W/out" 2>&1 && fail "it took no for a yes"
	assert_match "$(cat "$W/out")" "*Type yes*nothing was done*"
}

t_it_goes_on_alone() {
	recover_says 0 "is now the only member of the new cluster" --yes "$W/d3"
	start_member 3
	assert_eq "$(cat "$MNT/counters/n")" 20
	echo +1 >"$MNT/counters/n"
	assert_fails test -e "$MNT/locks/of-the-session"
	wait_until 20 sh -c '[ "$(ls "$1/cluster/members")" = h3 ]' sh "$MNT"
	assert_fails grep -q '^reset' "$DATA/member"
	crash_and_restart -o "name=h3,listen=tcp://$HOST:7403"
	assert_eq "$(cat "$MNT/counters/n")" 21
	stop_mount
	recover_says 1 "it needs no recovery" --yes "$W/d3"
}

# The old members cannot reach the new cluster, new ones join it.
t_the_others_join_anew() {
	start_member 3
	member 1
	mkdir -p "$MNT"
	timeout 5 "$COORDFS" "$DATA" "$MNT" -o "listen=tcp://$HOST:7401,timeout=1" >"$W/out" 2>&1 && fail "an old member serves"
	mv "$W/d1" "$W/old1"
	start_member 1 "join=tcp://$HOST:7403"
	assert_eq "$(cat "$MNT/counters/n")" 21
	echo +1 >"$MNT/counters/n"
	member 3
	assert_eq "$(cat "$MNT/counters/n")" 22
	member 1
	stop_mount
	member 3
	kill_mount # alone of two it has no majority to end its session by
}

t_what_cannot_be_recovered() {
	recover_says 1 "No such file" "$W/none"
	assert_fails test -e "$W/none"
	mkdir -p "$W/empty"
	recover_says 1 "holds no member's data" "$W/empty"
	assert_eq "$(ls "$W/empty")" ""
	recover_says 1 "is not a directory" "$COORDFS"
	cp -a "$W/d2" "$W/newer"
	sed -i 's/^format=1/format=99/' "$W/newer/member"
	recover_says 1 "newer coordfs" --yes "$W/newer"
	cp -a "$W/d2" "$W/damaged"
	: >"$W/damaged/acknowledged"
	recover_says 1 "acknowledged is damaged" --yes "$W/damaged"
	as_nobody "$COORDFS" recover --yes "$W/d2" >"$W/out" 2>&1 && fail "nobody recovered"
	recover_says 1 "usage:"
	recover_says 1 "usage:" a b
	assert_match "$("$COORDFS" recover -h)" "usage: coordfs recover *"
	mkdir "$W/small"
	mount -t tmpfs -o size=60m none "$W/small"
	cp -a --sparse=never "$W/d2" "$W/small/d"
	head -c 100000000 /dev/zero >"$W/small/filler" 2>/dev/null || :
	recover_says 1 "no space" --yes "$W/small/d"
	rm "$W/small/filler"
	recover_says 0 "is now the only member" --yes "$W/small/d"
	umount "$W/small"
}

run_cases
