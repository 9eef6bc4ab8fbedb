#!/bin/bash
# coordfs run: a command with a lock, and none without.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount || bail "no mount"
L=$MNT/locks

run() { "$COORDFS" run "$@"; }

# status WANT COMMAND…
status() {
	local want=$1 got=0
	shift
	"$@" >"$W/out" 2>&1 || got=$?
	assert_eq "$got" "$want" "exit status of: $*, which said: $(cat "$W/out")"
}
dead() { ! grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }
is_state() { grep -q "^State:.$2" "/proc/$1/status" 2>/dev/null; }
has_lines() { [ -e "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; }

# In the background it is "$COORDFS" run, since of a function $! is a shell's.

t_a_command_with_a_lock() {
	# shellcheck disable=SC2016
	run -l "$L/a" -- sh -c 'cat "$1"; echo "$COORDFS_TOKEN $COORDFS_REVISION"' - "$MNT/.info/locks/a" >"$W/out"
	assert_eq "$(sed -n 's/^mode=//p' "$W/out")" exclusive
	assert_eq "$(tail -n 1 "$W/out")" "$(sed -n 's/^token=//p' "$W/out") $(sed -n 's/^revision=//p' "$W/out")"
	assert_eq "$(holders locks/a)" 0 "it is free at once"
	assert_eq "$(run -s -l "$L/a" -- sed -n 's/^mode=//p' "$MNT/.info/locks/a")" shared
	assert_eq "$(run -s -l "$L/a" -- "$COORDFS" run -sn -l "$L/a" sed -n 's/^mode=//p' "$MNT/.info/locks/a")" shared
}

t_its_exit_status() {
	status 0 run -l "$L/b" -- true
	status 7 run -l "$L/b" -- sh -c 'exit 7'
	# shellcheck disable=SC2016
	status 137 run -l "$L/b" -- sh -c 'kill -9 $$'
	status 127 run -l "$L/b" -- /nonexistent/command
	status 126 run -l "$L/b" -- /etc/passwd
	status 125 run -l "$L/b"
	status 125 run true
	status 125 run -l "$L/b" -w x -- true
	status 125 run -l "$L/none/b" -- true
	assert_match "$(cat "$W/out")" "*No such file*"
	status 125 run -l "$W/b" -- true
	assert_match "$(cat "$W/out")" "*not below a coordfs mount*"
	status 125 run -l "$L" -- true
	assert_eq "$(holders locks/b)" 0
}

t_conflicts() {
	actor holder
	assert_ask 0 holder open 'O_RDWR|O_CREAT' "$L/c"
	assert_ask ok holder flock sh
	status 0 run -sn -l "$L/c" -- true
	status 1 run -n -l "$L/c" -- touch "$W/ran"
	status 9 run -n -E 9 -l "$L/c" -- touch "$W/ran"
	status 9 run -w 0 -E 9 -l "$L/c" -- touch "$W/ran"
	status 1 run -w 0.2 -l "$L/c" -- touch "$W/ran"
	status 0 run -w 0.2 -E 0 -l "$L/c" -- touch "$W/ran"
	[ ! -e "$W/ran" ] || fail "it ran without the lock"
	has_waiters locks/c 0 || fail "a waiter is left"
	"$COORDFS" run -w 20 -l "$L/c" -- touch "$W/ran" &
	wait_until 10 has_waiters locks/c 1
	assert_ask ok holder flock un
	wait $!
	[ -e "$W/ran" ] || fail "it did not run"
}

t_signals_reach_the_group() {
	local pid signal got
	# Not a shell with a trap: one that is told between fork and exec of a command tells it to nobody, or twice.
	cat >"$W/member" <<-'END'
		import os, signal, sys
		number = getattr(signal, "SIG" + sys.argv[1])
		signal.pthread_sigmask(signal.SIG_BLOCK, [number])
		child = os.fork()
		print(file=open("ready", "a"))
		signal.sigwait([number])
		print(sys.argv[1], file=open("told", "a"))
		if child:
		    os.wait()
		os._exit(3)
	END
	cd "$W" || return
	for signal in TERM INT HUP QUIT USR1 USR2; do
		rm -f told ready
		env --default-signal "$COORDFS" run -l "$L/d" -- python3 ./member "$signal" &
		pid=$!
		wait_until 10 has_lines ready 2
		kill -"$signal" $pid
		got=0
		wait $pid || got=$?
		assert_eq $got 3 "$signal"
		assert_eq "$(wc -l <told)" 2 "processes that were told $signal"
	done
}

t_what_was_ignored_stays_so() {
	# shellcheck disable=SC2016
	status 0 nohup "$COORDFS" run -l "$L/d" -- bash -c 'kill -HUP $$; exit 0'
	status 143 run -l "$L/d" -- bash -c 'trap "" HUP; kill -HUP $PPID; sleep 0.1; kill -TERM $PPID; sleep 20 & wait'
	status 0 run -l "$L/d" -- grep -q '^SigBlk:.0000000000000000' /proc/self/status
	# no file but those of before
	assert_eq "$(run -l "$L/d" -- ls /proc/self/fd)" "$(ls /proc/self/fd)"
}

# The kernel's and the daemon's word: it is held as long as the command runs, stopped too.
t_stopped_and_continued() {
	local pid command
	# shellcheck disable=SC2016
	"$COORDFS" run -l "$L/e" -- sh -c 'echo $$ >"$1"; exec sleep 1000' - "$W/pid" &
	pid=$!
	wait_until 10 has_lines "$W/pid" 1
	command=$(cat "$W/pid")
	kill -TSTP $pid
	wait_until 10 is_state $pid T
	wait_until 10 is_state "$command" T
	status 1 run -n -l "$L/e" -- true
	kill -CONT $pid
	wait_until 10 is_state "$command" S
	kill -STOP "$command"
	kill -TERM $pid
	status 143 wait $pid
}

t_a_broken_lock_stops_it() {
	local pid
	# shellcheck disable=SC2016
	"$COORDFS" run -l "$L/f" -- sh -c 'trap "" TERM; echo $$ >"$1"; while :; do sleep 1; done' - "$W/pid.f" 2>"$W/err" &
	pid=$!
	wait_until 10 has_lines "$W/pid.f" 1
	echo "break $(info token locks/f)" >"$MNT/.info/locks/f"
	wait_until 1 dead "$(cat "$W/pid.f")"
	status 137 wait $pid
	assert_match "$(cat "$W/err")" "*the lock is lost*"
}

# The lock is held until the command is dead: so who has it next finds it dead.
t_a_runner_that_is_killed() {
	local pid
	for signal in KILL SEGV; do
		rm -f "$W/pid.g"
		# A sanitizer would take the signal for a fault.
		# shellcheck disable=SC2016
		ASAN_OPTIONS=${ASAN_OPTIONS-}:handle_segv=0 "$COORDFS" run -l "$L/g" -- bash -c '(trap "" TERM; echo $BASHPID >>"$1"; while :; do sleep 1; done) & echo $$ >>"$1"; wait' - "$W/pid.g" &
		pid=$!
		wait_until 10 has_lines "$W/pid.g" 2
		kill -$signal $pid
		flock -w 10 "$L/g" true || fail "the lock is not free"
		for pid in $(cat "$W/pid.g"); do dead "$pid" || fail "it is free, and the command goes on"; done
	done
}

# children PID, and theirs
family() {
	local child
	for child in $(cat "/proc/$1/task/$1/children"); do
		echo "$child"
		family "$child"
	done
}
t_a_guard_that_is_killed() {
	local pid command other
	# shellcheck disable=SC2016
	for other in guard holder; do
		rm -f "$W/pid.h"
		"$COORDFS" run -l "$L/h" -- sh -c 'echo $$ >"$1"; exec sleep 1000' - "$W/pid.h" 2>"$W/err" &
		pid=$!
		wait_until 10 has_lines "$W/pid.h" 1
		command=$(cat "$W/pid.h")
		if [ $other = guard ]; then
			kill -9 "$(family $pid | grep -vx "$command" | head -n 1)"
		else
			kill -9 "$(family $pid | grep -vx "$command" | tail -n 1)"
		fi
		wait_until 2 dead "$command"
		! wait $pid || fail "exit status 0"
		wait_until 5 has_holders locks/h 0
	done
}

t_a_daemon_that_ends() {
	local pid
	# shellcheck disable=SC2016
	"$COORDFS" run -l "$L/i" -- sh -c 'echo $$ >"$1"; exec sleep 1000' - "$W/pid.i" &
	pid=$!
	wait_until 10 has_lines "$W/pid.i" 1
	kill -TERM "$(mount_pid)"
	wait_until 5 dead "$(cat "$W/pid.i")"
	! wait $pid || fail "exit status 0"
	wait_until 10 gone "$(mount_pid)" || :
	start_mount
}

# ---- a terminal ----------------------------------------------------------------------------------------------------

# terminal <SCRIPT: see terminal.py. The shell has $COORDFS and $L.
terminal() {
	export COORDFS L
	TERM=dumb timeout 60 python3 "$HERE/terminal.py" bash --norc --noediting -i || fail "at a terminal"
}

# What `job` waits for is not in the command line of the runner, but in that of its command: so the lock is held.
t_ctrl_c_and_ctrl_z_at_a_terminal() {
	command -v python3 >/dev/null || skip "needs python3"
	terminal <<-'END'
		send PS1='rea''dy$ '\n
		want ready$
		send "$COORDFS" run -l $L/t -- sh -c 'exec sleep $((999+1))'\n
		job sleep 1000
		send \x03
		want ready$
		send echo status $?\n
		want status 130
		send "$COORDFS" run -l $L/t -- sh -c 'exec sleep $((1000+1))'\n
		job sleep 1001
		send \x1a
		want Stopped
		want ready$
		send flock -n $L/t true || echo it is he''ld\n
		want it is held
		send fg\n
		job sleep 1001
		send \x1a
		want Stopped
		send bg\n
		send jobs\n
		want Running
		send fg\n
		job sleep 1001
		send \x03
		want ready$
		send flock -n $L/t echo it is fr''ee\n
		want it is free
		send exit\n
	END
}

t_a_command_that_reads_from_the_terminal() {
	command -v python3 >/dev/null || skip "needs python3"
	terminal <<-'END'
		send PS1='rea''dy$ '\n
		want ready$
		send "$COORDFS" run -l $L/u -- sh -c 'read -r line; echo "got $line"'\n
		job read -r line
		send one\n
		want got one
		want ready$
		send "$COORDFS" run -l $L/u -- sh -c 'read -r line; echo "got $line"' | cat\n
		job sh -c read
		send two\n
		want got two
		want ready$
		send "$COORDFS" run -l $L/u -- sh -c 'read -r line; echo "got $line"' &\n
		want ready$
		send fg\n
		job sh -c read
		send three\n
		want got three
		want ready$
		send "$COORDFS" run -l $L/u -- bash --norc --noediting -i\n
		job bash --norc --noediting -i
		send PS1='in''ner$ '\n
		want inner$
		send sleep 1002\n
		job sleep 1002
		send \x1a
		want Stopped
		send fg\n
		job sleep 1002
		send \x03
		want inner$
		send exit 5\n
		want ready$
		send echo status $?\n
		want status 5
		send exit\n
	END
}

run_cases
