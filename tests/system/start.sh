#!/bin/bash
# The command that starts a daemon waits for it, ends it when it is interrupted itself, and says what became of it. What
# takes long here is joining at an address where nobody is.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
HOST=127.$(($$ >> 16 & 127)).$(($$ >> 8 & 255)).$(($$ & 255))

# begin: a start that does not come to its end, in the background: $starter; its daemon: $daemon
begin() {
	mkdir -p "$MNT"
	env --default-signal "$COORDFS" "$DATA" "$MNT" -o "listen=tcp://$HOST:7401,join=tcp://$HOST:7499" >"$W/out" 2>&1 &
	starter=$!
	wait_until 20 knows_daemon
}
knows_daemon() { daemon=$(cat "$DATA/lock" 2>/dev/null) && [ -n "$daemon" ] && [ "$daemon" != "$starter" ]; }

# ended WANT-STATUS WORDS: the starter has, with one line, and the daemon with it
ended() {
	local status=0
	wait "$starter" || status=$?
	assert_eq $status "$1" "exit status"
	assert_eq "$(wc -l <"$W/out")" 1 "lines"
	assert_match "$(cat "$W/out")" "coordfs: *$2*"
	gone "$daemon" || fail "the daemon lives on"
	is_mounted && fail "mounted"
	return 0
}

t_an_interrupt_ends_it() {
	local signal
	for signal in INT TERM HUP QUIT; do
		begin
		kill -$signal "$starter"
		ended 1 "interrupted"
	done
}

t_the_death_of_the_command_ends_it() {
	begin
	kill -9 "$starter"
	wait "$starter" || :
	wait_until 20 gone "$daemon"
}

t_a_signal_to_the_daemon_ends_it() {
	begin
	kill -TERM "$daemon"
	ended 1 "ended by a signal before the mount served"
}

t_its_death_is_told() {
	begin
	kill -9 "$daemon"
	ended 1 "died at its start: signal 9"
}

# What was never let in is no member: the directory may found a cluster.
t_the_directory_can_be_used_then() {
	start_mount -o "listen=tcp://$HOST:7401"
	echo 1 >"$MNT/counters/c"
	stop_mount
}

# A member that knows its cluster needs no join, and waits for no answer.
t_a_restart_ignores_join() {
	start_mount -o "listen=tcp://$HOST:7401,join=tcp://$HOST:7499"
	assert_eq "$(cat "$MNT/counters/c")" 1
	stop_mount
}

t_a_name_that_is_taken_is_refused() {
	local member=$DATA
	"$COORDFS" keygen "$W/key" >/dev/null
	DATA=$W/first
	start_mount -o "name=a,listen=tcp://$HOST:7411,key=$W/key"
	mkdir "$W/mnt2"
	"$COORDFS" "$W/second" "$W/mnt2" \
		-o "name=a,listen=tcp://$HOST:7412,join=tcp://$HOST:7411,key=$W/key" >"$W/out" 2>&1 && fail "two of one name"
	assert_eq "$(wc -l <"$W/out")" 1
	assert_match "$(cat "$W/out")" "coordfs: *has a member of that name*"
	is_mounted "$W/mnt2" && fail "mounted"
	"$COORDFS" "$member" "$W/mnt2" \
		-o "listen=tcp://$HOST:7412,join=tcp://$HOST:7411,key=$W/key" >"$W/out" 2>&1 && fail "of two clusters"
	assert_match "$(cat "$W/out")" "coordfs: $member is the data of a member of another cluster*"
	stop_mount
}

run_cases
