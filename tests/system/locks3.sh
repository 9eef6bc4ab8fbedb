#!/bin/bash
# locks/ across three hosts: all that locks.sh and lockfiles.sh say of one, with those who want a lock on different hosts;
# and what there is only with several: who is told of whom, and hosts that die, end, and are cut off.
# shellcheck disable=SC2154 # actors set NAME_pid
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck disable=SC2034 # of race_cases.sh
RACERS=12 RACES=8
TTL_MS=4000

cluster 3 -o allow_other,session_ttl=$((TTL_MS / 1000)),timeout=5 || bail "no cluster"
wait_leader h1 h2 h3 >/dev/null
MNT=$(mnt h2)
L=$MNT/locks
start_mount() { lab start h2; }

# mount_of NAME: b is at the host that dies now and then
mount_of() {
	case $1 in
	a | d) mnt h1 ;;
	b) mnt h3 ;;
	c) mnt h2 ;;
	*) mnt h$((${1//[!0-9]/} % 3 + 1)) ;;
	esac
}

# shellcheck source=tests/system/lock_cases.sh
. "$HERE/lock_cases.sh"
# shellcheck source=tests/system/race_cases.sh
. "$HERE/race_cases.sh"

# whole_again: h3 serves, as of now
whole_again() {
	lab heal
	is_running h3 || lab start h3 || fail "h3 does not start"
	wait_serves h1 h2 h3
}

# ---- who it is -----------------------------------------------------------------------------------------------------

t_getlk_names_the_pid_on_the_holders_host_only() {
	has a remote
	has b remote
	has d remote
	assert_ask ok a lock w 7 3
	assert_ask "w 7 3 $a_pid" d getlk r 0 0
	assert_ask 'w 7 3 0' b getlk r 0 0
	assert_ask ok a ofdlock w 20 1
	assert_match "$(ask b ofdgetlk w 20 1)" 'w 20 1 *'
}

# lines_at HOST: HOST's .info of it, but for the times, as `holder h1 PID UID KIND MODE RANGE TOKEN POSITION COMMAND`
lines_at() {
	awk '/^(holder|waiter)=/ {
		$1 = $1
		sub(/=/, " ")
		delete value
		for (i = 2; i <= NF; i++) value[substr($i, 1, index($i, "=") - 1)] = substr($i, index($i, "=") + 1)
		print $1, value["host"], value["pid"], value["uid"], value["kind"], value["mode"], value["range"], value["token"],
			value["position"], value["command"], (value["since"] ~ /^20[0-9-]*T[0-9:.]*Z$/ ? "" : "since when?")
	}' "$(mnt "$1")/.info/locks/where" | sort
}

t_info_and_the_list_say_who_they_are_and_where() {
	local want
	touch "$L/where"
	chmod 666 "$L/where"
	has a where
	has c where
	has d where
	actor b
	assert_ask 0 b as 65534 65534 : open O_RDWR "$(mnt h3)/locks/where"
	assert_ask ok a flock ex
	want="holder h1 $a_pid 0 flock exclusive 0-EOF $(token_of where)  op "
	assert_ask ok d lock r 5 1
	tell b flock sh
	assert_waits b locks/where 1
	tell c flock ex
	assert_waits c locks/where 2
	for host in h1 h2 h3; do
		assert_eq "$(lines_at $host | grep -v posix)" "$want
waiter h2 $c_pid 0 flock exclusive 0-EOF 0 2 op 
waiter h3 $b_pid 65534 flock shared 0-EOF 0 1 op " "at $host"
		assert_match "$(lines_at $host | grep posix)" "holder h1 $d_pid 0 posix shared 5-5 [1-9]*  op " "at $host"
		assert_eq "$(grep ' locks/where$' "$(mnt $host)/cluster/locks" | awk '{ print $1, $3, $4, $5, $6 }' | sort)" \
			"$(printf '%s\n' "held h1 $a_pid 0 flock" "held h1 $d_pid 0 posix" "waiting h2 $c_pid 0 flock" "waiting h3 $b_pid 65534 flock" | sort)" "at $host"
	done
}

# From where neither holder nor next one is; each member's log says it.
t_break_is_logged_everywhere() {
	local token host
	has a logged
	has b logged
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/logged
	token=$(token_of logged)
	echo "break $token" >"$(mnt h2)/.info/locks/logged"
	assert_hears b ok
	assert_ask ESTALE a read
	for host in h1 h2 h3; do
		wait_until 5 grep -q "uid 0 broke the lock on .*locks/logged with token $token, held by pid $a_pid of uid 0 on h1" "$LAB/$host/log"
	done
}

t_the_token_is_for_the_holders_host() {
	has a owntoken
	has b owntoken
	assert_ask ok a flock ex
	assert_ask "$(token_of owntoken)" a fgetxattr user.coordfs.token
	assert_ask ESTALE b fgetxattr user.coordfs.token
	assert_ask ok a flock un
	assert_ask ok b flock ex
	assert_ask "$(token_of owntoken)" b fgetxattr user.coordfs.token
	assert_ask ESTALE a fgetxattr user.coordfs.token
}

# ---- the end of a host ---------------------------------------------------------------------------------------------

# b_has_all NAME: b has one of each kind below locks/NAME.*, and those of the others wait for it in vain
b_has_all() {
	local at
	whole_again
	at=$(mnt h3)/locks/$1
	actor b
	assert_ask 0 b open 'O_RDWR|O_CREAT' "$at.flock"
	assert_ask ok b flock ex
	assert_ask 1 b open 'O_RDWR|O_CREAT' "$at.range"
	assert_ask ok b lock w 0 10
	assert_ask ok b lock r 20 5
	assert_ask 2 b open 'O_RDWR|O_CREAT' "$at.ofd"
	assert_ask ok b ofdlock r 0 0
	mkdir "$at.dir"
	has a "$1.flock"
	has c "$1.range"
	has d "$1.ofd"
	tell a flock sh
	tell c lockw w 9 20
	tell d lockw w 100 1
	assert_waits a "locks/$1.flock"
	assert_waits c "locks/$1.range"
	assert_waits d "locks/$1.ofd"
}

# assert_all_are_free NAME SECONDS: by then
assert_all_are_free() {
	local deadline=$((SECONDS + $2)) name
	for name in a c d; do assert_eq "$(hear $name $((deadline - SECONDS + 1)))" ok $name; done
	wait_until 5 mkdir "$L/$1.dir"
	assert_eq "$(holders "locks/$1.range")" 1
}

t_the_death_of_a_host_releases_all_when_its_session_is_over() {
	b_has_all killed
	lab kill h3
	actor_kill b
	assert_eq "$(hear a 0.5)" silence "while the session lasts"
	assert_all_are_free killed 15
}

is_gone() { [ ! -e "$1" ]; }

t_lock_files_go_with_the_host_that_made_them() {
	whole_again
	make_all "$(mnt h3)/locks/all"
	(set -C; echo h1 >"$(mnt h1)/locks/all.others")
	assert_content "$L/all/noclobber" '1\n'
	assert_errno EEXIST open 'O_CREAT|O_EXCL|O_WRONLY' "$L/all/excl"
	lab kill h3
	assert_errno EEXIST mkdir "$L/all/dir"
	wait_until 15 is_gone "$L/all/noclobber"
	assert_only_lasting "$L/all"
	assert_content "$L/all.others" 'h1\n'
	mkdir "$L/all/dir"
	whole_again
	assert_eq "$(find "$(mnt h3)/locks/all" -name dir)" "$(mnt h3)/locks/all/dir"
}

t_a_daemon_that_ends_releases_all_at_once() {
	b_has_all stopped
	milliseconds lab stop h3
	assert_match "$(ask b flock ex)" 'E*'
	assert_all_are_free stopped 2
	actor_kill b
	whole_again
	has b stopped.flock
	assert_ask EAGAIN b flock 'ex|nb'
	assert_ask ok b flock sh
}

t_isolation_releases_all_when_the_session_is_over() {
	b_has_all cut
	lab isolate h3
	assert_eq "$(hear c 0.5)" silence "while the session lasts"
	assert_all_are_free cut 15
	assert_ask ESTALE b ofdlock r 5 1
	assert_ask ok b use 1
	assert_ask ESTALE b lock u 0 0
	assert_ask ok b use 0
	assert_ask ESTALE b flock un
	whole_again
	assert_ask ESTALE b flock un
}

t_the_death_of_a_waiters_host_lets_the_next_one_pass() {
	whole_again
	has a queue
	has b queue
	has c queue
	assert_ask ok a flock sh
	tell b flock ex
	assert_waits b locks/queue 1
	tell c flock sh
	assert_waits c locks/queue 2
	lab kill h3
	assert_eq "$(hear c 0.5)" silence "behind a writer"
	assert_eq "$(hear c 15)" ok
	actor_kill b
	whole_again
}

# b waits for a, and its host dies: then there is no cycle that a could close, nor one that c could.
t_no_deadlock_with_the_dead() {
	whole_again
	has a ghost
	has b ghost
	assert_ask ok a lock w 0 1
	assert_ask ok b lock w 1 1
	tell b lockw w 0 1
	assert_waits b locks/ghost
	assert_ask EDEADLK a lockw w 1 1
	lab kill h3
	actor_kill b
	wait_until 15 has_waiters locks/ghost 0
	assert_ask ok a lockw w 1 1
	whole_again
}

t_locks_and_queues_outlive_the_leader() {
	local token
	whole_again
	echo h3 >"$(mnt h1)/cluster/leader"
	wait_until 20 is_led_by h3
	has a led
	has c led
	has d led
	assert_ask ok a flock ex
	token=$(token_of led)
	tell c flock ex
	assert_waits c locks/led 1
	tell d flock sh
	assert_waits d locks/led 2
	lab kill h3
	wait_other_leader h3 h1 h2 >/dev/null
	assert_eq "$(token_of led)" "$token"
	assert_eq "$(hear c 0.05)" silence
	assert_ask ok a flock un
	assert_hears c ok
	assert_eq "$(hear d 0.05)" silence
	assert_ask ok c flock un
	assert_hears d ok
	[ "$(token_of led)" -gt "$token" ] || fail "a token that is not higher"
	whole_again
	settle h1 h2 h3
}
is_led_by() { [ "$(leader h1 h2 h3)" = "$1" ]; }

run_cases
