#!/bin/bash
# A cluster of programs of two versions, as it is while it is being upgraded: it works, what not all members know is
# refused by all, and works from the moment when the last one is upgraded. COORDFS_TEST_LEVEL=1 makes a program behave
# as one of the level before this one's.
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
THREE='h1 h2 h3'
OLD='env COORDFS_TEST_LEVEL=1'

old() { $OLD "$HERE/../../contrib/lab" "$@"; }
level() { member_file "$1" status | sed -n 's/^leader .* level \([0-9]*\)$/\1/p'; }
has_level() { [ "$(level "$1")" = "$2" ]; }

# works HOST…: the same things on each, seen by the next
works() {
	local host last=''
	for host; do
		echo +1 >"$(mnt "$host")/counters/works"
		flock -w 20 "$(mnt "$host")/locks/works" echo "$host" >"$(mnt "$host")/files/works"
		mkdir "$(mnt "$host")/transactions/works"
		echo +1 >"$(mnt "$host")/transactions/works/counters/works"
		echo commit >"$(mnt "$host")/transactions/works/ctl"
		rmdir "$(mnt "$host")/transactions/works"
		[ -z "$last" ] || assert_content "$(mnt "$last")/files/works" "$host\n"
		last=$host
	done
}

weak_is_refused() { # HOST
	local m
	m=$(mnt "$1")
	mkdir -p "$m/files/level"
	assert_errno EOPNOTSUPP setxattr "$m/files/level" user.coordfs.consistency weak
	assert_errno EOPNOTSUPP open O_WRONLY "$m/.info/files/level/.self" : write 'consistency=weak\n'
	assert_match "$(sed -n 's/^error=//p' "$m/.info/files/level/.self")" '*upgraded*'
}

t_the_old_cluster_works() {
	lab down
	old up -n 3 || fail "no cluster"
	wait_until 30 has_voters h1 3
	wait_until 10 has_level h1 1
	works $THREE
	weak_is_refused h2
}

t_it_is_upgraded_one_by_one_under_load() {
	local host other
	for host in h3 h2; do
		other=$(others "$host" $THREE | head -n 1)
		load "$other" "u$host" id
		lab restart "$host"
		wait_serves "$host"
		goes_on "$other" "u$host"
		account "u$host" "$host"
		works $THREE
		wait_until 10 has_level h1 1
		weak_is_refused h1
		weak_is_refused "$host"
	done
	settle $THREE
}

t_one_may_go_back_while_not_all_are_upgraded() {
	lab stop h2
	old start h2
	wait_serves h2
	works $THREE
	lab restart h2
	wait_serves h2
}

t_the_last_one_brings_what_is_new() {
	lab restart h1
	wait_serves h1
	wait_until 20 has_level h2 2
	mkdir -p "$(mnt h1)/files/level"
	op setxattr "$(mnt h3)/files/level" user.coordfs.consistency weak
	assert_op weak getxattr "$(mnt h1)/files/level" user.coordfs.consistency
	works $THREE
	settle $THREE
}

t_an_old_program_does_not_serve_any_more() {
	local out
	lab stop h3
	out=$(old start h3 2>&1) && fail "it serves"
	assert_match "$out" '*too old*'
	works h1 h2
	lab start h3
	wait_serves h3
	settle $THREE
}

t_nor_does_it_get_in() {
	local out
	lab wipe h3
	rmdir "$(mnt h1)/cluster/members/h3"
	out=$(old start h3 --join h1 2>&1) && fail "it was let in"
	assert_match "$out" '*too old*'
	lab wipe h3 2>/dev/null || :
	lab start h3 --join h1
	wait_serves h3
	settle $THREE
}

run_cases
