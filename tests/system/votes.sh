#!/bin/bash
# votes/: what its files say and take, on one member.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount || bail "no mount"
V=$MNT/votes

refused() { assert_errno "$1" open O_WRONLY "$V/$2" : write "$3"; }

# vote_of NAME PARTICIPANT...: made, and they have registered
vote_of() {
	local name=$1
	mkdir "$V/$name"
	shift
	for p; do mkdir "$V/$name/participants/$p"; done
}

t_two_phases() {
	vote_of two a b
	assert_content "$V/two/state" 'open\n'
	assert_content "$V/two/outcome" ''
	echo prepare >"$V/two/ctl"
	assert_content "$V/two/state" 'prepare\n'
	echo yes >"$V/two/participants/a/vote"
	assert_content "$V/two/outcome" ''
	echo yes >"$V/two/participants/b/vote"
	assert_content "$V/two/outcome" 'commit\n'
	assert_content "$V/two/participants/b/vote" 'yes\n'
}

t_three_phases() {
	mkdir "$V/three"
	echo 3pc >"$V/three/protocol"
	assert_content "$V/three/protocol" '3pc\n'
	mkdir "$V/three/participants/"{a,b}
	echo prepare >"$V/three/ctl"
	refused ECANCELED three/participants/a/ack 'ack\n'
	echo yes >"$V/three/participants/a/vote"
	echo yes >"$V/three/participants/b/vote"
	assert_content "$V/three/state" 'precommit\n'
	refused ECANCELED three/ctl 'abort\n'
	echo ack >"$V/three/participants/a/ack"
	assert_content "$V/three/state" 'precommit\n'
	echo ack >"$V/three/participants/b/ack"
	assert_content "$V/three/outcome" 'commit\n'
}

t_a_no() {
	vote_of no a b
	echo prepare >"$V/no/ctl"
	echo yes >"$V/no/participants/a/vote"
	echo no >"$V/no/participants/b/vote"
	assert_content "$V/no/outcome" 'abort\n'
	assert_eq "$(grep ^reason= "$MNT/.info/votes/no")" 'reason=b: voted no'
}

t_an_abort() {
	vote_of ab a
	echo abort >"$V/ab/ctl"
	assert_content "$V/ab/outcome" 'abort\n'
	refused ECANCELED ab/ctl 'prepare\n'
}

t_late_and_changed() {
	vote_of late a b
	refused ECANCELED late/participants/a/vote 'yes\n'
	echo prepare >"$V/late/ctl"
	assert_errno ECANCELED mkdir "$V/late/participants/c"
	refused ECANCELED late/protocol '3pc\n'
	refused ECANCELED late/ctl 'prepare\n'
	echo yes >"$V/late/participants/a/vote"
	refused ECANCELED late/participants/a/vote 'no\n'
	assert_error votes/late 'it has voted yes'
	echo yes >"$V/late/participants/a/vote"
	echo abort >"$V/late/ctl"
	refused ECANCELED late/participants/b/vote 'yes\n'
	assert_error votes/late 'the vote is aborted'
}

t_the_timeout_aborts() {
	vote_of time a b
	echo 1 >"$V/time/timeout"
	assert_content "$V/time/timeout" '1\n'
	echo prepare >"$V/time/ctl"
	echo yes >"$V/time/participants/a/vote"
	wait_until 20 grep -q abort "$V/time/outcome"
	assert_eq "$(grep ^reason= "$MNT/.info/votes/time")" 'reason=not all have voted in time'
}

t_the_timeout_of_precommit_commits() {
	vote_of pre a
	echo 3pc >"$V/pre/protocol"
	echo 1 >"$V/pre/timeout"
	echo prepare >"$V/pre/ctl"
	echo yes >"$V/pre/participants/a/vote"
	wait_until 20 grep -q commit "$V/pre/outcome"
}

t_bad_input() {
	local text
	vote_of bad a
	for text in '\n' 'Prepare\n' 'prepare \n' 'commit\n' 'prepare\nabort\n' '\0' '\xff\n' "$(printf '%0100d' 0)"; do
		refused EINVAL bad/ctl "$text"
	done
	for text in '\n' '0x5\n' '-1\n' '1e3\n' '99999999999999999999\n' '1.5\n'; do refused EINVAL bad/timeout "$text"; done
	for text in '0\n' '86401\n' '18446744073709551615\n'; do refused ERANGE bad/timeout "$text"; done
	for text in '4pc\n' '2\n'; do refused EINVAL bad/protocol "$text"; done
	refused EACCES bad/state 'commit\n'
	refused EACCES bad/outcome 'commit\n'
	echo prepare >"$V/bad/ctl"
	for text in 'maybe\n' 'YES\n' 'yes\nno\n'; do refused EINVAL bad/participants/a/vote "$text"; done
	assert_error votes/bad 'one line at a time'
	assert_content "$V/bad/state" 'prepare\n'
	: >"$V/bad/participants/a/vote"
	assert_content "$V/bad/participants/a/vote" ''
}

t_names() {
	local long
	long=$(printf '%0256d' 0)
	assert_errno ENAMETOOLONG mkdir "$V/$long"
	mkdir "$V/${long:1}"
	assert_errno EEXIST mkdir "$V/${long:1}"
	assert_errno EINVAL mkdir "$V/.hidden"
	assert_errno EPERM mkdir "$V/${long:1}/x"
	assert_errno EPERM open 'O_WRONLY|O_CREAT' "$V/file"
	assert_errno EPERM open 'O_WRONLY|O_CREAT' "$V/${long:1}/x"
	assert_errno EPERM unlink "$V/${long:1}/ctl"
	assert_errno ENOENT stat "$V/nothing"
	echo abort >"$V/${long:1}/ctl"
	rmdir "$V/${long:1}"
}

t_removal() {
	vote_of gone a
	assert_errno EBUSY rmdir "$V/gone"
	assert_error votes/gone 'the vote is not decided: abort it first'
	echo abort >"$V/gone/ctl"
	rmdir "$V/gone"
	assert_errno ENOENT stat "$V/gone/outcome"
	vote_of gone b
	assert_eq "$(ls "$V/gone/participants")" b
}

t_the_reply_is_what_the_file_says_now() {
	vote_of reply a
	assert_op 'prepare\n' open O_RDWR "$V/reply/ctl" : write 'prepare\n' : read
	assert_op 'yes\n' open O_RDWR "$V/reply/participants/a/vote" : write 'yes\n' : read
}

t_information() {
	vote_of info a
	assert_eq "$(sed -n 's/ uid=0//; /^type\|^state\|^protocol\|^timeout\|^participant/p' "$MNT/.info/votes/info" | tr '\n' ' ')" \
		"type=vote state=open protocol=2pc timeout=60 participants=1 participant=a host=$(cat "$MNT/cluster/self") vote=none "
	assert_eq "$(getfattr --only-values -n user.coordfs.state "$V/info")" open
	[[ " $(echo "$MNT"/.info/votes/*) " = *"/.info/votes/info "* ]] || fail "it is not listed"
	for file in ctl outcome protocol timeout state; do
		assert_eq "$(stat -c %s "$V/info/$file")" "$(wc -c <"$V/info/$file")"
	done
}

t_waiting() {
	local pid outcome_pid
	vote_of wait a
	cat "$MNT/.wait/votes/wait/prepare" >"$W/prepare" &
	pid=$!
	cat "$MNT/.wait/votes/wait/outcome" >"$W/outcome" &
	outcome_pid=$! # the <(…) of assert_content would be the next one
	assert_eq "$(timeout 0.3 cat "$MNT/.wait/votes/wait/precommit"; echo $?)" 124
	[ ! -s "$W/prepare" ] || fail "it did not wait"
	echo prepare >"$V/wait/ctl"
	wait $pid
	assert_content "$W/prepare" 'prepare\n'
	[ ! -s "$W/outcome" ] || fail "it did not wait"
	echo yes >"$V/wait/participants/a/vote"
	wait $outcome_pid
	assert_content "$W/outcome" 'commit\n'
	for file in prepare precommit outcome; do assert_eq "$(cat "$MNT/.wait/votes/wait/$file")" commit; done
	vote_of give-up a
	cat "$MNT/.wait/votes/give-up/prepare" >"$W/prepare" &
	sleep 0.2
	echo abort >"$V/give-up/ctl"
	wait $!
	assert_content "$W/prepare" 'abort\n'
	assert_errno ENOENT open O_RDONLY "$MNT/.wait/votes/nothing/outcome"
	assert_errno ENOENT open O_RDONLY "$MNT/.wait/votes/wait/else"
	assert_errno EACCES open O_WRONLY "$MNT/.wait/votes/wait/outcome"
	assert_eq "$(find "$MNT/.wait/votes/wait" | wc -l)" 1
}

t_walking_the_tree_changes_nothing() {
	vote_of walk a b
	before=$(cat "$MNT/.info/votes/walk")
	grep -rc . "$V/walk" >/dev/null || :
	find "$V" -type f -exec cat {} + >/dev/null
	assert_eq "$(cat "$MNT/.info/votes/walk")" "$before"
	assert_eq "$(find "$V/walk" | wc -l)" 13
}

t_of_other_users() {
	[ "$(id -u)" = 0 ] || skip "needs root to be another user"
	chmod 755 "$W"
	vote_of mine a
	as_nobody mkdir "$V/mine/participants/his" || fail "anybody may take part"
	assert_eq "$(stat -c %u "$V/mine/participants/his/vote")" 65534
	! as_nobody sh -c "echo prepare >'$V/mine/ctl'" 2>/dev/null || fail "another one has closed the list"
	! as_nobody sh -c "echo yes >'$V/mine/participants/a/vote'" 2>/dev/null || fail "another one has voted for a"
	echo prepare >"$V/mine/ctl"
	as_nobody sh -c "echo yes >'$V/mine/participants/his/vote'"
	assert_content "$V/mine/participants/his/vote" 'yes\n'
}

# Outcomes and votes stay; what was open on the mount that died is aborted.
t_kill_9() {
	vote_of stays a b
	echo prepare >"$V/stays/ctl"
	echo yes >"$V/stays/participants/a/vote"
	vote_of ended a
	echo prepare >"$V/ended/ctl"
	echo yes >"$V/ended/participants/a/vote"
	vote_of early a
	kill_mount
	start_mount
	assert_content "$V/ended/outcome" 'commit\n'
	assert_content "$V/stays/participants/a/vote" 'yes\n'
	wait_until 10 grep -q abort "$V/early/outcome"
	assert_content "$V/stays/outcome" 'abort\n'
	assert_eq "$(grep ^reason= "$MNT/.info/votes/stays")" 'reason=b: its mount was gone before it voted'
}

run_cases
