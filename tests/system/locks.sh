#!/bin/bash
# locks/: flock, byte ranges, open-file-description locks, their queue, their end, their tokens; with lock_cases.sh.
# shellcheck disable=SC2154,SC2046 # actors set NAME_pid; lists of words
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
L=$MNT/locks

mount_of() { echo "$MNT"; }
# shellcheck source=tests/system/lock_cases.sh
. "$HERE/lock_cases.sh"

# ---- flock(1) ------------------------------------------------------------------------------------------------------

t_flock_runs_a_command() {
	assert_eq "$(flock "$L/cmd" echo ran)" ran
	assert_eq "$(flock "$L/cmd" -c 'echo $((1 + 1))')" 2
	test -f "$L/cmd"
	assert_free cmd
}

t_flock_gives_the_commands_status() {
	local status=0
	flock "$L/status" sh -c 'exit 7' || status=$?
	assert_eq $status 7
}

t_flock_on_a_read_only_descriptor() {
	echo >"$L/ro"
	has a ro O_RDONLY
	assert_ask ok a flock ex
	assert_errno EAGAIN open O_RDONLY "$L/ro" : flock 'sh|nb'
}

# ---- flock(2) ------------------------------------------------------------------------------------------------------

t_unlocking_what_is_not_locked_is_no_error() {
	has a un
	assert_ask ok a flock un
}

t_two_open_files_of_one_process_exclude_each_other() {
	assert_errno EAGAIN open 'O_RDWR|O_CREAT' "$L/same" : flock ex : open O_RDWR "$L/same" : flock 'ex|nb'
}

# ---- many ----------------------------------------------------------------------------------------------------------

t_a_thousand_waiters() {
	local i before took crowd=${LOCK_CROWD:-1000}
	has a crowd
	assert_ask ok a flock ex
	echo 0 >"$MNT/counters/crowd"
	for ((i = 0; i < crowd; i++)); do
		"$OP" open O_RDWR "$L/crowd" : flock ex : open O_WRONLY "$MNT/counters/crowd" : write '+1\n' >/dev/null &
	done
	wait_until 50 has_waiters locks/crowd "$crowd"
	before=$EPOCHREALTIME
	for i in {1..20}; do
		echo +1 >"$MNT/counters/other"
		flock "$L/other" true
	done
	took=$(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
	((took < 10000)) || fail "20 changes and locks took $took ms beside 1000 waiters"
	assert_content "$MNT/counters/crowd" '0\n'
	assert_ask ok a flock un
	wait_until 50 has_waiters locks/crowd 0
	wait_until 50 grep -qx "$crowd" "$MNT/counters/crowd"
}

# ---- byte ranges ---------------------------------------------------------------------------------------------------

t_a_child_does_not_inherit_ranges() {
	python3 - "$L/child" <<-'PYTHON'
		import fcntl, os, sys
		f = open(sys.argv[1], 'w')
		fcntl.lockf(f, fcntl.LOCK_EX)
		pid = os.fork()
		if pid == 0:
		    try:
		        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
		    except BlockingIOError:
		        os._exit(0)
		    os._exit(1)
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	PYTHON
}

t_a_range_needs_the_right_mode_of_the_file() {
	echo >"$L/mode"
	assert_errno EBADF open O_RDONLY "$L/mode" : lock w 0 1
	assert_errno EBADF open O_WRONLY "$L/mode" : lock r 0 1
	assert_op ok open O_RDONLY "$L/mode" : lock r 0 1
}

t_python_lockf_and_flock() {
	python3 - "$L/py" <<-'PYTHON'
		import fcntl, sys
		a, b = open(sys.argv[1], 'w'), open(sys.argv[1], 'w')
		fcntl.flock(a, fcntl.LOCK_EX)
		try:
		    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
		    sys.exit('locked twice')
		except BlockingIOError:
		    pass
		a.close()
		fcntl.lockf(b, fcntl.LOCK_EX, 10, 5)
		fcntl.lockf(b, fcntl.LOCK_UN)
	PYTHON
	perl -e 'use Fcntl ":flock"; open F, ">", shift; flock F, LOCK_EX or die $!; open G, ">", "'"$L/py"'"; flock G, LOCK_SH or die $!;' "$L/perl"
}

# ---- tokens --------------------------------------------------------------------------------------------------------

t_tokens_grow_over_a_crash_and_over_removal() {
	local before after
	before=$(flock "$L/token2" sed -n 's/^token=//p' "$MNT/.info/locks/token2")
	crash_and_restart -o allow_other
	after=$(flock "$L/token2" sed -n 's/^token=//p' "$MNT/.info/locks/token2")
	((after > before)) || fail "token $after after $before"
	rm "$L/token2"
	before=$after
	after=$(flock "$L/token2" sed -n 's/^token=//p' "$MNT/.info/locks/token2")
	((after > before)) || fail "token $after after $before, with the file removed between"
}

# Each handle has its own token.
t_a_lease_is_of_a_handle() {
	has a lease
	has b lease
	assert_ask ESTALE a lease
	assert_ask ok a flock sh
	assert_ask "$(token_of lease) unlimited" a lease
	assert_ask ESTALE b lease
	assert_ask ok b lock r 0 1
	assert_ask "$(token_of lease) unlimited" b lease
	[ "$(ask a lease)" != "$(ask b lease)" ] || fail "two locks with one token"
	assert_errno ENOTTY open O_RDONLY "$MNT/README" : lease
	assert_errno ENOTTY open O_RDONLY "$L" : lease
}

# ---- poll ----------------------------------------------------------------------------------------------------------

t_poll_reports_a_change() {
	echo 1 >"$MNT/counters/poll"
	actor a
	ask a open O_RDONLY "$MNT/counters/poll"
	assert_ask '1\n' a read
	assert_ask timeout a poll POLLIN 100
	assert_ask POLLOUT a poll POLLOUT 0
	tell a poll POLLIN 10000
	assert_eq "$(hear a 0.05)" silence
	echo +1 >"$MNT/counters/poll"
	assert_hears a POLLIN
	assert_ask '2\n' a pread 0
	assert_ask timeout a poll POLLIN 100
}

t_poll_on_a_file() {
	echo one >"$MNT/files/poll"
	actor a
	ask a open O_RDONLY "$MNT/files/poll"
	assert_ask 'one\n' a read
	tell a poll POLLIN 10000
	assert_eq "$(hear a 0.05)" silence
	echo two >>"$MNT/files/poll"
	assert_hears a POLLIN
}

t_epoll_edge_triggered() {
	echo 1 >"$MNT/counters/epoll"
	timeout 30 python3 - "$MNT/counters/epoll" <<-'PYTHON'
		import os, select, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		os.pread(fd, 100, 0)
		poll = select.epoll()
		poll.register(fd, select.EPOLLIN | select.EPOLLET)
		poll.poll(0.2)
		for n in range(2, 5):
		    if os.fork() == 0:
		        with open(sys.argv[1], 'w') as f:
		            f.write('+1\n')
		        os._exit(0)
		    assert poll.poll(10), 'no event'
		    assert os.pread(fd, 100, 0) == b'%d\n' % n
		    os.wait()
		    poll.poll(0.2)
	PYTHON
}

run_cases
