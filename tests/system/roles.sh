#!/bin/bash
# Who votes, who leads, who leaves: by itself and as it is told, while clients add to a counter and nothing is lost.
# shellcheck disable=SC2046,SC2154,SC2034 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=120
ALL=$(hosts 7)

# set_role AT NAME ROLE
set_role() { timeout 60 sh -c "echo $3 >'$(mnt "$1")/cluster/members/$2/role'"; }
set_leader() { timeout 60 sh -c "echo $2 >'$(mnt "$1")/cluster/leader'"; }
remove() { timeout 60 rmdir "$(mnt "$1")/cluster/members/$2"; }
those_who() { # AT ROLE: the members that have it
	local host
	for host in $(timeout 15 ls "$(mnt "$1")/cluster/members"); do
		[ "$(role "$1" "$host")" != "$2" ] || echo "$host"
	done
}
one_who() { those_who "$1" "$2" | grep -vxE "${3:-}" | tail -n 1; }

t_one_two_and_three_vote() {
	cluster 7 --no-start
	lab start h1
	assert_eq "$(role h1 h1)" voter
	lab start h2
	wait_until 30 has_voters h1 2
	lab start h3
	wait_until 30 has_voters h1 3
	wait_until 30 has_voters h3 3
}

t_of_seven_five_vote() {
	load h2 a
	lab start "h4 h5 h6 h7"
	wait_until 40 has_voters h1 5
	wait_until 40 has_voters h7 5
	assert_eq "$(those_who h7 standby | wc -l)" 2
	account a h7
	settle $ALL
}

t_a_standby_has_all_and_serves_all() {
	local standby
	standby=$(one_who h1 standby)
	echo standby >"$(mnt "$standby")/files/from"
	assert_content "$(mnt h1)/files/from" 'standby\n'
	flock -w 10 "$(mnt "$standby")/locks/l" true
	load "$standby" b
	load h1 b
	goes_on h1 b
	account b "$standby"
}

t_the_leadership_moves_where_it_is_told() {
	local to moved=0
	load h2 c
	load h7 c
	for to in $(those_who h1 voter); do
		[ "$(wait_leader $ALL)" != "$to" ] || continue
		set_leader h1 "$to" || fail "refused: $to"
		wait_until 20 eval "[ \"\$(leader $(echo $ALL))\" = $to ]"
		goes_on h2 c
		moved=$((moved + 1))
	done
	[ $moved -ge 4 ] || fail "only $moved moves"
	account c h1
}

t_who_cannot_lead_is_told_so() {
	local standby before
	standby=$(one_who h1 standby)
	before=$(wait_leader $ALL)
	assert_errno ECANCELED open O_WRONLY "$(mnt h1)/cluster/leader" : write "$standby\n"
	assert_errno EINVAL open O_WRONLY "$(mnt h1)/cluster/leader" : write 'nobody\n'
	assert_errno EINVAL open O_WRONLY "$(mnt h1)/cluster/members/h2/role" : write 'king\n'
	assert_errno ENOENT rmdir "$(mnt h1)/cluster/members/nobody"
	assert_eq "$(wait_leader $ALL)" "$before"
}

t_a_role_is_as_it_is_told() {
	local standby voter
	load h2 d
	standby=$(one_who h1 standby)
	set_role h1 "$standby" voter
	assert_eq "$(role h1 "$standby")" voter
	voter=$(one_who h1 voter "$standby|h1|$(wait_leader $ALL)")
	set_role "$standby" "$voter" standby
	wait_until 20 has_role h1 "$voter" standby
	set_role h1 "$standby" standby
	wait_until 20 has_role h1 "$standby" standby
	set_role h1 "$voter" auto
	set_role h1 "$standby" auto
	wait_until 30 has_voters h1 5
	account d h1
	settle $ALL
}

t_a_leader_may_be_made_a_standby() {
	local old
	load h2 e
	old=$(wait_leader $ALL)
	set_role "$old" "$old" standby
	wait_until 30 has_role h1 "$old" standby
	wait_other_leader "$old" $ALL
	goes_on h2 e
	set_role h1 "$old" auto
	account e "$old"
}

t_a_member_is_removed_for_good() {
	local gone_one
	load h2 f
	gone_one=$(one_who h1 standby 'h1|h2')
	remove h1 "$gone_one"
	wait_until 20 has_members h1 6
	wait_until 30 no_longer_serves "$gone_one"
	goes_on h2 f
	account f h1
	echo "$gone_one" >"$W/gone"
	lab stop "$gone_one" 2>/dev/null || :
	assert_fails lab start "$gone_one"
	lab logs "$gone_one" | grep -qi 'removed\|no member\|not a member' || fail "no word of it: $(lab logs "$gone_one" | tail -n 3)"
	lab wipe "$gone_one"
	lab start "$gone_one"
	settle $ALL
}

# What a removed member answers is an error, and not what it once knew.
no_longer_serves() { ! timeout 20 sh -c "echo +1 >'$(mnt "$1")/counters/f'" 2>/dev/null && ! timeout 20 cat "$(mnt "$1")/counters/f" 2>/dev/null; }

t_a_voter_leaves_and_is_replaced() {
	local leaver
	load h1 g
	wait_until 30 has_voters h1 5
	leaver=$(one_who h1 voter "h1|$(wait_leader $ALL)")
	remove "$leaver" "$leaver" || [ ! -e "$(mnt h1)/cluster/members/$leaver" ]
	wait_until 20 has_members h1 6
	wait_until 30 has_voters h1 5
	account g h1
	lab kill "$leaver" 2>/dev/null || :
	lab wipe "$leaver"
	lab start "$leaver"
	settle $ALL
}

t_the_leader_leaves() {
	local old other
	old=$(wait_leader $ALL)
	other=$(others "$old" $ALL | head -n 1)
	load "$other" h
	remove "$other" "$old"
	wait_until 20 has_members "$other" 6
	wait_other_leader "$old" $(others "$old" $ALL)
	wait_until 30 has_voters "$other" 5
	goes_on "$other" h
	account h "$other"
	settle $(others "$old" $ALL)
}

t_a_voter_that_is_gone_is_replaced() {
	local old
	cluster 4 -o voters=3,replace_after=2
	wait_until 30 has_voters h1 3
	load h1 i
	old=$(one_who h1 voter "h1|$(wait_leader h1 h2 h3 h4)")
	lab kill "$old"
	wait_until 30 has_role h1 "$old" standby
	wait_until 30 has_voters h1 3
	goes_on h1 i
	lab start "$old"
	account i "$old"
	settle h1 h2 h3 h4
}

t_down_to_one_and_up_again() {
	local host
	cluster 3
	wait_until 30 has_voters h1 3
	load h1 j
	for host in h3 h2; do
		remove h1 $host
		wait_until 20 has_members h1 $((${host#h} - 1))
		lab kill $host 2>/dev/null || :
	done
	assert_content "$(mnt h1)/cluster/leader" 'h1\n'
	assert_eq "$(role h1 h1)" voter
	assert_errno ECANCELED rmdir "$(mnt h1)/cluster/members/h1"
	goes_on h1 j
	lab wipe "h2 h3"
	lab start "h2 h3"
	wait_until 30 has_voters h1 3
	account j h3
	settle h1 h2 h3
}

run_cases
