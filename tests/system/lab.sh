#!/bin/bash
# contrib/lab: its network does what it is told, and nothing of it stays. The members in it are the other tests' matter.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip_all "needs python3"
[ -c /dev/net/tun ] || skip_all "needs /dev/net/tun"
export LAB=$W/lab
lab() { "$HERE/../../contrib/lab" "$@"; }
at_end() {
	lab down
	lab --dir "$W/other" down
}

lab up -n 4 --no-start || bail "no lab"
for h in h1 h2 h3 h4; do
	lab exec $h python3 "$HERE/hears.py" "$W/$h" &
	disown
	wait_until 10 test -e "$W/$h" || bail "$h has no ears"
done

# speak FROM TO TEXT [ADDRESS]
speak() {
	lab exec "$1" bash -c "echo $3 >/dev/udp/${4:-10.77.0.${2#h}}/7777" || fail "$1 cannot speak to $2"
}
heard() { grep -qx "$2" "$W/$1"; }

words=0
# hears TO FROM...: TO hears each of FROM
hears() {
	local to=$1 from
	shift
	for from; do
		words=$((words + 1))
		speak "$from" "$to" "hears-$BASHPID-$words"
		wait_until 5 heard "$to" "hears-$BASHPID-$words" || fail "$to does not hear $from"
	done
}

lost() { lab status | sed -n 's/^frames .* \([0-9]*\) lost.*/\1/p'; }
has_lost() { [ "$(lost)" -ge "$1" ]; }

# deaf TO FROM...: and none of these. When the switch has had them, a word from itself comes after them.
deaf() {
	local to=$1 from before
	shift
	before=$(lost)
	for from; do
		words=$((words + 1))
		speak "$from" "$to" "deaf-$BASHPID-$words"
	done
	wait_until 5 has_lost $((before + $#))
	hears "$to" "$to"
	! grep "deaf-$BASHPID-" "$W/$to" || fail "$to heard that"
}

t_all_hear_all() {
	local h other
	for h in h1 h2 h3 h4; do
		for other in h1 h2 h3 h4; do
			hears $h $other
		done
	done
	speak h1 h2 six fd77::2
	wait_until 5 heard h2 six
}

t_nothing_else_is_reached() {
	assert_eq "$(lab exec h1 ip -o link | wc -l)" 2
	assert_fails lab exec h1 bash -c 'echo x >/dev/udp/8.8.8.8/53'
	assert_eq "$(ip -o addr | grep -c 10.77.0)" 0
}

t_a_cut_is_deaf_both_ways() {
	lab cut h1 2
	deaf h1 h2
	deaf h2 h1
	hears h3 h1 h2
	hears h1 h3 h4
	lab heal h2 h1
	hears h1 h2
	hears h2 h1
}

t_one_way() {
	lab cut --one-way h1 h2
	deaf h2 h1
	hears h1 h2
	lab heal
	hears h2 h1
}

t_isolated() {
	lab isolate h3
	deaf h3 h1 h2 h4
	deaf h1 h3
	hears h1 h2 h4
	lab heal
	hears h3 h1 h2 h4
}

t_split_and_bridge() {
	lab split "h1 h2" "3 4"
	deaf h1 h3 h4
	deaf h4 h1 h2
	hears h1 h2
	hears h4 h3
	lab bridge h2 "h1" "h3 h4"
	deaf h1 h3 h4
	hears h2 h1 h3 h4
	hears h4 h2 h3
	lab heal
	hears h1 h4
}

t_some_are_dropped() {
	local got
	lab drop 50 h2
	lab exec h1 bash -c 'for ((i = 0; i < 400; i++)); do echo half >/dev/udp/10.77.0.2/7777; done'
	lab heal
	hears h2 h1 # after all of these
	got=$(grep -cx half "$W/h2")
	[ "$got" -gt 120 ] && [ "$got" -lt 280 ] || fail "$got of 400 arrived"
	lab drop 100 h2
	deaf h2 h1 h3
	hears h1 h3
	lab drop 0
	hears h2 h1
}

t_delayed() {
	local start us
	lab delay 300 h2
	start=${EPOCHREALTIME/./}
	hears h2 h1
	us=$((${EPOCHREALTIME/./} - start))
	[ $us -ge 300000 ] || fail "it took only $us us"
	lab delay 0
	start=${EPOCHREALTIME/./}
	hears h2 h1
	us=$((${EPOCHREALTIME/./} - start))
	[ $us -lt 300000 ] || fail "it still takes $us us"
}

t_a_tcp_stream_arrives_whole() {
	local port=7000
	head -c 20000000 /dev/urandom >"$W/stream"
	lab exec h2 python3 -c '
import socket, sys
s = socket.create_server(("10.77.0.2", 7000)); open(sys.argv[1], "w").close()
c = s.accept()[0]; f = c.makefile("rb"); sys.stdout.buffer.write(f.read())' "$W/listens" >"$W/arrived" &
	wait_until 10 test -e "$W/listens"
	lab exec h1 bash -c "cat $W/stream >/dev/tcp/10.77.0.2/$port"
	wait $!
	cmp "$W/stream" "$W/arrived"
}

t_bad_requests_change_nothing() {
	local before
	before=$(lab status | grep -v ^frames)
	assert_fails lab
	assert_fails lab cut
	assert_fails lab cut h1
	assert_fails lab cut h1 h5
	assert_fails lab cut h1 "h2 h9"
	assert_fails lab cut h1 h2 h3
	assert_fails lab split "h1 h2" "h2 h3"
	assert_fails lab bridge h1 "h1 h2" "h3"
	assert_fails lab drop 101
	assert_fails lab drop -1 h1
	assert_fails lab drop many
	assert_fails lab delay 70000
	assert_fails lab isolate
	assert_fails lab heal h1
	assert_fails lab exec h1
	assert_fails lab exec nobody true
	assert_fails lab start
	assert_fails lab stop h1
	assert_fails lab kill h1
	assert_fails lab pid h1
	assert_fails lab up
	assert_fails lab --dir "$W/other" up -n 0
	assert_fails lab --dir "$W/other" up -n 61
	assert_fails lab --dir "$W/other" up --coordfs
	assert_fails lab --dir "$W/other" status
	assert_eq "$(lab status | grep -v ^frames)" "$before"
	[ ! -e "$W/other/lab" ] || fail "a lab was made"
	hears h1 h2 h3 h4
}

# of a lab's id: all processes
processes() { grep -lzxsF "COORDFS_LAB=$1" /proc/[0-9]*/environ | wc -l; }
id_of() { sed -n 's/^id="\(.*\)"$/\1/p' "$1/lab"; }

t_two_labs_know_nothing_of_each_other() {
	local id
	lab --dir "$W/other" up -n 2 --no-start
	id=$(id_of "$W/other")
	lab --dir "$W/other" isolate h1
	hears h1 h2
	lab --dir "$W/other" exec h2 sleep 1000 &
	wait_until 10 eval "[ \$(processes $id) = 2 ]" # that and the switch
	lab --dir "$W/other" down
	assert_eq "$(processes "$id")" 0
	[ ! -e "$W/other" ] || fail "left: $(find "$W/other")"
	lab --dir "$W/other" down
	hears h1 h2
}

t_down_after_the_switch_was_killed() {
	local id switch
	lab --dir "$W/other" up -n 2 --no-start
	id=$(id_of "$W/other")
	lab --dir "$W/other" exec h2 sleep 1000 &
	wait_until 10 eval "[ \$(processes $id) = 2 ]"
	switch=$(sed -n 's/^switch_pid="\(.*\)"$/\1/p' "$W/other/lab")
	kill -9 "$switch"
	assert_fails lab --dir "$W/other" cut h1 h2
	lab --dir "$W/other" down
	assert_eq "$(processes "$id")" 0
	[ ! -e "$W/other" ] || fail "left: $(find "$W/other")"
}

t_down_after_up_was_killed_anywhere() {
	local i id up
	for i in 1 2 3 4 5 6 7 8; do
		lab --dir "$W/other" up -n 3 --no-start &
		up=$!
		sleep 0.0$((i * 7 % 10))
		kill -9 $up 2>/dev/null || :
		wait $up 2>/dev/null || :
		id=$(id_of "$W/other" 2>/dev/null) || id=none
		lab --dir "$W/other" down
		assert_eq "$(processes "$id")" 0 "round $i"
		[ ! -e "$W/other/lab" ] || fail "round $i left: $(find "$W/other")"
	done
}

t_down_is_the_end() {
	local id
	id=$(id_of "$W/lab")
	lab down
	assert_eq "$(processes "$id")" 0
	[ ! -e "$W/lab" ] || fail "left: $(find "$W/lab")"
}

run_cases
