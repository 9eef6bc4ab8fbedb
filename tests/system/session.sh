#!/bin/bash
# A mount that is cut off from the others: what it held is lost, and it knows; who waits goes on waiting; everything
# ends in time; and how it is can be read all the while.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip_all "needs python3"
[ -c /dev/net/tun ] || skip_all "needs /dev/net/tun"
export LAB=$W/lab
lab() { "$HERE/../../contrib/lab" "$@"; }
at_end() { lab down; }
H1=$LAB/h1/mnt
H3=$LAB/h3/mnt

lab up -n 3 -o timeout=2,session_ttl=3 --coordfs "$COORDFS" || bail "no cluster"

says() { timeout 5 grep -q "$2" "$1/cluster/status"; }
has_waiter() { grep -q '^waiter=' "$H1/.info/$1"; }
has_none() { ! has_waiter "$1"; }
isolate() { lab isolate h3; }
heal() {
	lab heal
	wait_until 30 says "$H3" 'all is well'
}

# in_time COMMAND…: it ends within `timeout` and some
in_time() { timeout 10 "$@"; }

t_all_is_well_first() {
	wait_until 30 says "$H1" 'all is well'
	wait_until 30 says "$H3" '3 vote; 1 of them may fail'
	assert_eq "$(cat "$H1/cluster/leader")" "$(cat "$H3/cluster/leader")"
	assert_eq "$(echo "$H3"/cluster/members/*)" "$H3/cluster/members/h1 $H3/cluster/members/h2 $H3/cluster/members/h3"
}

t_who_held_a_lock_has_lost_it() {
	touch "$H1/locks/held"
	actor one
	assert_ask 0 one open O_RDWR "$H3/locks/held"
	assert_ask ok one flock ex
	mkdir "$H3/transactions/t"
	isolate
	in_time flock "$H1/locks/held" true || fail "nobody else gets it"
	says "$H3" 'NO SESSION' || fail "and its former holder does not know"
	assert_ask ESTALE one flock un
	assert_content "$H3/transactions/t/status" 'aborted session lost\n'
	heal
	assert_ask ESTALE one read
	assert_ask ok one close
	assert_ask 1 one open O_RDWR "$H3/locks/held"
	assert_ask ok one flock ex
	rmdir "$H3/transactions/t"
}

t_who_waits_goes_on_waiting() {
	touch "$H1/locks/wanted"
	exec 9>"$H1/locks/wanted"
	flock 9
	actor two
	assert_ask 0 two open O_RDWR "$H3/locks/wanted"
	tell two flock ex
	wait_until 10 has_waiter locks/wanted
	isolate
	wait_until 20 says "$H3" 'NO SESSION'
	wait_until 20 has_none locks/wanted
	assert_eq "$(hear two 0.05)" silence
	heal
	wait_until 10 has_waiter locks/wanted
	flock -u 9
	assert_hears two ok
	assert_ask ok two flock un
}

t_who_waits_can_be_interrupted() {
	local waiter
	touch "$H1/locks/busy"
	exec 9>"$H1/locks/busy"
	flock 9
	"$OP" open O_RDWR "$H3/locks/busy" : flock ex >/dev/null 2>&1 &
	waiter=$!
	wait_until 10 has_waiter locks/busy
	isolate
	wait_until 20 says "$H3" 'NO '
	kill -9 $waiter
	wait_until 5 gone $waiter
	heal
	wait_until 10 has_none locks/busy
	flock -u 9
	in_time flock "$H3/locks/busy" true || fail "a ghost"
}

t_everything_ends_in_time() {
	echo 1 >"$H1/counters/c"
	isolate
	wait_until 20 says "$H3" 'NO '
	assert_eq "$(in_time "$OP" open O_RDONLY "$H3/counters/c" || :)" EHOSTUNREACH
	assert_eq "$(in_time "$OP" mkdir "$H3/locks/d" || :)" EHOSTUNREACH
	assert_eq "$(in_time "$OP" stat "$H3/counters/c" || :)" EHOSTUNREACH
	assert_eq "$(in_time "$OP" open O_WRONLY "$H3/cluster/leader" : write 'h1\n' || :)" EHOSTUNREACH
	heal
	assert_content "$H3/counters/c" '1\n'
	assert_errno ENOENT stat "$H3/locks/d"
}

t_how_it_is_can_be_read() {
	isolate
	wait_until 20 says "$H3" 'NO '
	in_time ls "$H3" "$H3/cluster" "$H3/cluster/members" "$H3/cluster/members/h1" >/dev/null || fail "ls"
	in_time cat "$H3/README" "$H3/cluster/metrics" "$H3/cluster/self" "$H3/cluster/members/h1/role" >/dev/null || fail "cat"
	in_time cat "$H3/.info/cluster/leader" >/dev/null || fail ".info"
	assert_eq "$(cat "$H3/cluster/leader")" "" "a leader"
	assert_content "$H3/cluster/members/h3/state" 'unavailable\n'
	says "$H3" 'IN TROUBLE' || fail "all is well?"
	heal
}

run_cases
