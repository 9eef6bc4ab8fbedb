#!/bin/bash
# A lock is lost when its mount was out of touch for session_ttl: whoever held it knows, or is signalled, before anybody
# else is given it. On three members; the one that loses is h3.
# shellcheck source=tests/system/cluster.sh disable=SC2154 # actors set NAME_pid
. "$(dirname "$0")/cluster.sh"

cluster 3 -o timeout=2,session_ttl=3 || bail "no cluster"
wait_leader h1 h2 h3 >/dev/null
H1=$(mnt h1)
H3=$(mnt h3)

# again OPTIONS: h3 starts anew, with these
again() {
	lab heal
	! is_running h3 || lab stop h3
	lab start h3 -o "$1" || fail "h3 does not start"
	wait_serves h1 h3
}
has_session() { ! timeout 5 grep -q 'NO SESSION' "$H3/cluster/status"; }
has_none() { ! has_session; }
healed() {
	lab heal
	wait_until 20 has_session
	wait_serves h3
}

# rival PATH: somebody at h1 waits for it; `granted` when he has it
rival() {
	actor rival
	assert_ask 0 rival open O_RDWR "$H1/$1"
	tell rival flock ex
	wait_until 10 waits_at_h1 "$1"
}
waits_at_h1() { grep -q '^waiter=' "$H1/.info/$1"; }
granted() { assert_eq "$(hear rival 15)" ok "the rival"; }

# users PATH: pids of processes that have it open
users() { find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | cut -d / -f 3 | sort -u; }
has_users() { [ "$(users "$1" | wc -l)" = "$2" ]; }
dead() { ! grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }

t_who_held_it_is_told_before_another_has_it() {
	touch "$H1/locks/a"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/a"
	assert_ask ok holder flock ex
	actor reader
	assert_ask 0 reader open O_RDWR "$H3/locks/a"
	tell holder poll POLLIN 20000
	tell reader poll POLLERR 20000
	rival locks/a
	lab isolate h3
	granted
	assert_eq "$(hear holder 0.3)" 'POLLERR|POLLHUP' "who held it"
	assert_eq "$(hear reader 0.1)" silence "who held nothing"
}

t_each_call_says_that_it_is_lost() {
	touch "$H1/locks/b"
	healed
	actor flocker
	assert_ask 0 flocker open O_RDWR "$H3/locks/b"
	assert_ask ok flocker flock sh
	actor ranger
	assert_ask 0 ranger open O_RDWR "$H3/locks/b"
	assert_ask ok ranger lock w 0 10
	assert_ask 1 ranger open O_RDWR "$H3/locks/b"
	assert_ask ok ranger ofdlock w 20 10
	assert_match "$("$OP" getxattr "$H3/locks/b" user.coordfs.token)" '[1-9]*'
	lab isolate h3
	wait_until 10 has_none
	every_call_is_stale
	healed
	every_call_is_stale
	assert_errno ESTALE getxattr "$H3/locks/b" user.coordfs.token
	assert_ask ok flocker close
	assert_ask 1 flocker open O_RDWR "$H3/locks/b"
	assert_ask ok flocker flock ex
	assert_ask ok flocker lock w 0 0
	assert_ask 1 flocker write x
}
every_call_is_stale() {
	local call
	for call in 'read' 'write x' 'fsync' 'ftruncate 3' 'fallocate 0 5' 'flock un' 'flock sh' 'flock ex|nb' \
		'lock r 0 1' 'getlk w 0 1'; do
		# shellcheck disable=SC2086
		milliseconds assert_ask ESTALE flocker $call
		[ "$took" -lt 1000 ] || fail "$call: it took $took ms"
	done
	for call in 'use 0' 'use 1'; do
		# shellcheck disable=SC2086
		assert_ask ok ranger $call
		assert_ask ESTALE ranger read
		assert_ask ESTALE ranger lock w 5 1
		assert_ask ESTALE ranger ofdlock u 20 10
		assert_ask 'POLLERR|POLLHUP' ranger poll POLLIN 0
	done
}

# What is left is told without the cluster: it only ever shrinks while nobody can be reached, and it is over when the lock
# is lost, long before another has it.
t_how_long_it_holds_at_least() {
	local answer token left margin last=3000
	touch "$H1/locks/l"
	healed
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/l"
	assert_ask ESTALE holder lease
	assert_ask ok holder flock ex
	actor other
	assert_ask 0 other open O_RDWR "$H1/locks/l"
	assert_ask ESTALE other lease
	lab isolate h3
	sleep 0.1 # an answer may have been on its way
	while milliseconds ask holder lease >"$W/lease" && answer=$(cat "$W/lease") && [ "$answer" != ESTALE ]; do
		[ "$took" -lt 500 ] || fail "it took $took ms"
		read -r token left margin <<<"$answer"
		((token > 0 && left > 0 && left <= last && margin == 750)) || fail "it was $last, then '$answer'"
		last=$left
	done
	((last < 300)) || fail "it is lost, and there were $last ms left"
	assert_ask 'POLLERR|POLLHUP' holder poll POLLIN 0
	assert_ask ESTALE holder lease
}

# All of the host sleeps: daemon and holder. The first thing that is said to the holder is that the lock is lost, also in
# answer to a call that asks nothing of the cluster.
t_a_host_that_slept() {
	healed
	touch "$H1/locks/s"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/s"
	assert_ask ok holder flock ex
	rival locks/s
	lab pause h3
	kill -STOP "$holder_pid"
	granted
	tell holder fsync
	kill -CONT "$holder_pid"
	lab resume h3
	assert_eq "$(hear holder)" ESTALE
	assert_ask ESTALE holder write stale
	assert_content "$H1/locks/s" ''
	assert_ask ESTALE holder flock un
}

# family PATH: a shell with the lock, children in the background, a child's child: four processes
family() {
	setsid bash -c '
		exec 9<"$1"
		flock 9
		sleep 1000 &
		(sleep 1000 & wait) &
		wait' family "$1" >/dev/null 2>&1 &
	wait_until 10 has_users "$1" 4
}

# Of the same mount, of the same file on another mount, in the same directory.
t_on_loss_kill_ends_who_has_it_open_and_nobody_else() {
	local list pid bystanders=()
	again on_loss=kill
	touch "$H1/locks/k" "$H1/locks/other"
	setsid sleep 1000 9<"$H3/locks/other" &
	bystanders+=($!)
	setsid sleep 1000 9<"$H1/locks/k" &
	bystanders+=($!)
	(cd "$H3/locks" && exec setsid sleep 1000) &
	bystanders+=($!)
	wait_until 10 has_users "$H3/locks/other" 1
	wait_until 10 has_users "$H1/locks/k" 1
	family "$H3/locks/k"
	list=$(users "$H3/locks/k")
	rival locks/k
	lab isolate h3
	granted
	for pid in $list; do
		dead "$pid" || fail "$pid is still there: $(ps -o pid,stat,args= -p "$pid")"
	done
	for pid in "${bystanders[@]}"; do
		! dead "$pid" || fail "a bystander was killed"
	done
	grep -q 'signal 9 to 4 processes' "$LAB/h3/log" || fail "nothing is logged"
	kill "${bystanders[@]}"
}

t_fcntl_locks_too() {
	healed
	touch "$H1/locks/f"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/f"
	assert_ask ok holder lock w 5 5
	actor rival
	assert_ask 0 rival open O_RDWR "$H1/locks/f"
	tell rival lockw w 0 0
	wait_until 10 waits_at_h1 locks/f
	lab isolate h3
	granted
	! grep -q '^State:.S' "/proc/$holder_pid/status" || fail "it goes on" # it may end in a close that still waits
	lab heal
	wait_until 10 dead "$holder_pid"
}

# A stopped daemon tells nobody. When it goes on, that is the first thing it does.
t_a_daemon_that_was_stopped() {
	healed
	touch "$H1/locks/p"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/p"
	assert_ask ok holder flock ex
	rival locks/p
	lab pause h3
	granted
	tell holder write 'stale'
	lab resume h3
	wait_until 5 dead "$holder_pid"
	assert_content "$H1/locks/p" ''
}

t_a_daemon_that_ends_tells_them() {
	healed
	touch "$H1/locks/e"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/e"
	assert_ask ok holder flock ex
	rival locks/e
	lab stop h3
	granted
	dead "$holder_pid" || fail "it goes on"
}

t_on_loss_term_lets_a_handler_run() {
	local shell
	again on_loss=term
	touch "$H1/locks/t"
	setsid bash -c '
		trap "echo told >\"$2\"; exit" TERM
		exec 9<"$1"
		flock 9
		while :; do sleep 0.1 9<&-; done' handler "$H3/locks/t" "$W/told" &
	shell=$!
	wait_until 10 has_users "$H3/locks/t" 1
	rival locks/t
	lab isolate h3
	granted
	wait_until 1 dead $shell
	assert_content "$W/told" 'told\n'
}

# Suspended for an hour, no second of which passes for CLOCK_MONOTONIC. It is known at once: long before the others could
# find out, who were never cut off.
t_a_machine_that_was_suspended() {
	"${CC:-cc}" -std=c17 -D_GNU_SOURCE -shared -fPIC -o "$W/slept.so" "$HERE/slept.c" || fail "slept.c does not compile"
	lab heal
	lab stop h3
	SLEPT=$W/slept LD_PRELOAD=$W/slept.so ASAN_OPTIONS=${ASAN_OPTIONS-}:verify_asan_link_order=0 lab start h3 ||
		fail "h3 does not start"
	wait_serves h1 h3
	touch "$H1/locks/z"
	actor holder
	assert_ask 0 holder open O_RDWR "$H3/locks/z"
	assert_ask ok holder flock ex
	rival locks/z
	tell holder poll POLLIN 20000
	assert_eq "$(hear rival 1)" silence
	touch "$W/slept"
	assert_eq "$(hear holder 2)" 'POLLERR|POLLHUP' "who held it"
	granted
	assert_ask ESTALE holder flock un
}

run_cases
