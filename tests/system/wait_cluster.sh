#!/bin/bash
# .wait on several hosts: changes are told wherever they were made, under one revision; a member that is cut off waits on,
# and tells of all that it missed when it is back, or that it cannot.
# shellcheck disable=SC2046,SC2086,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
: "${CASE_TIMEOUT:=240}"
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
command -v python3 >/dev/null || skip_all "needs python3"
THREE='h1 h2 h3'

three() {
	whole 3 -o timeout=4
	LEADER=$(wait_leader $THREE)
	CUT=$(others "$LEADER" $THREE | head -n 1)
	L=$(mnt "$LEADER") C=$(mnt "$CUT")
}

is_open() { find "/proc/$1/fd" -lname "$2" 2>/dev/null | grep -q .; }

# begin NAME HOST PATH: a cat that waits there, for `wait_told`
begin() {
	cat "$(mnt "$2")/.wait/$3" >"$W/$1.told" 2>"$W/$1.error" &
	eval "$1_pid=\$!"
	wait_until 10 is_open $! "$(mnt "$2")/.wait/$3"
}
is_told() { [ -s "$W/$1.told" ]; }
wait_told() {
	local pid=$1_pid
	wait_until 30 gone "${!pid}"
	wait "${!pid}" || fail "$1 ended with $?: $(cat "$W/$1.error")"
}
assert_still() {
	local pid=$1_pid
	[ -d "/proc/${!pid}" ] && ! gone "${!pid}" && ! is_told "$1" || fail "$1 was told '$(cat "$W/$1.told" "$W/$1.error")'"
}
stop() {
	local pid=$1_pid
	kill "${!pid}"
	wait "${!pid}" || :
}

revision_at() { timeout 15 sed -n 's/^revision=//p' "$(mnt "$1")/.info/$2"; }

# follow HOST PATH FROM COUNT: a new `cat .wait/PATH@REVISION` for each change; prints what they told
follow() {
	local last=$3 n line
	for ((n = 0; n < $4; n++)); do
		line=$(timeout 60 cat "$(mnt "$1")/.wait/$2@$last") || fail "after $last"
		echo "$line"
		last=${line%% *}
	done
}

# add HOST COUNTER COUNT: prints the revision after each
add() {
	local n
	for ((n = 0; n < $3; n++)); do
		echo +1 >"$(mnt "$1")/counters/$2"
		revision_at "$1" "counters/$2"
	done
}

t_told_on_every_host() {
	local host
	three
	echo 1 >"$L/counters/c"
	for host in $THREE; do
		begin $host $host counters/c
		begin all_$host $host counters/.self
	done
	echo +1 >"$C/counters/c"
	for host in $THREE; do
		wait_told $host
		wait_told all_$host
		assert_content "$W/$host.told" "$(revision_at h1 counters/c) changed c\n"
		assert_content "$W/all_$host.told" "$(revision_at h1 counters/c) changed c\n"
	done
	begin w "$CUT" files/new
	echo x >"$L/files/new"
	wait_told w
	assert_match "$(cat "$W/w.told")" '* made new'
}

t_two_hundred_changes_elsewhere() {
	local from
	three
	echo 1 >"$L/counters/f"
	from=$(revision_at "$CUT" counters/f)
	timeout 100 python3 "$HERE/wait.py" follow "$C/.wait/counters/f" 200 >"$W/handle" &
	wait_until 20 grep -qsx open "$W/handle"
	follow "$CUT" counters/f "$from" 200 >"$W/loop" &
	add "$LEADER" f 200 | sed 's/$/ changed f/' >"$W/made"
	wait
	assert_eq "$(cat "$W/loop")" "$(cat "$W/made")" "a loop"
	assert_eq "$(tail -n +2 "$W/handle")" "$(cat "$W/made")" "one handle"
}

t_a_member_that_is_cut_off_waits_on() {
	local name from
	three
	mkdir -p "$L/counters/weak"
	op setxattr "$L/counters/weak" user.coordfs.consistency weak
	echo 1 >"$L/counters/cut"
	echo 1 >"$L/counters/weak/c"
	wait_until 10 test -e "$C/counters/weak/c"
	from=$(revision_at "$CUT" counters/cut)
	begin c "$CUT" counters/cut
	begin weak "$CUT" counters/weak/c
	begin all "$CUT" .self
	begin stopped "$CUT" counters/cut
	lab isolate "$CUT"
	add "$LEADER" cut 20 | sed 's/$/ changed cut/' >"$W/made"
	echo +1 >"$L/counters/weak/c"
	stop stopped # at once, whatever the network does
	assert_errno EHOSTUNREACH open O_RDONLY "$C/.wait/counters/cut"
	for name in c weak all; do assert_still $name; done
	lab heal
	for name in c weak all; do wait_told $name; done
	assert_content "$W/c.told" "$(head -n 1 "$W/made")\n"
	assert_content "$W/weak.told" "$(revision_at "$LEADER" counters/weak/c) changed c\n"
	assert_eq "$(follow "$CUT" counters/cut "$from" 20)" "$(cat "$W/made")" "all that was missed"
	begin w "$CUT" "counters/cut@$(tail -n 1 "$W/made" | cut -d ' ' -f 1)"
	assert_still w
	echo +1 >"$L/counters/cut"
	wait_told w
}

t_the_leader_dies() {
	local old
	three
	echo 1 >"$L/counters/dies"
	begin w "$CUT" counters/dies
	old=$LEADER
	lab kill "$old"
	LEADER=$(wait_other_leader "$old" $(others "$old" $THREE))
	assert_still w
	wait_serves "$LEADER"
	echo +1 >"$(mnt "$LEADER")/counters/dies"
	wait_told w
	assert_content "$W/w.told" "$(revision_at "$LEADER" counters/dies) changed dies\n"
	lab start "$old"
	wait_serves "$old"
}

# The member comes back by an image: what changed in between is not in it.
t_the_state_is_replaced() {
	local i pid
	three
	echo 1 >"$L/counters/i"
	begin w "$CUT" counters/i
	pid=$w_pid
	begin future "$CUT" counters/i@1000000000
	actor a
	assert_ask 0 a open O_RDONLY "$C/.wait/counters/i"
	lab isolate "$CUT"
	head -c 1000000 /dev/urandom >"$W/big"
	for ((i = 0; i < 160; i++)); do
		timeout 60 cp "$W/big" "$L/files/big$((i % 4))"
	done
	assert_still w
	lab heal
	wait_serves "$CUT"
	[ "$(member_file "$CUT" metrics | sed -n 's/^coordfs_images_fetched_total //p')" -ge 1 ] || fail "it needed no image"
	wait_until 30 gone "$pid"
	wait "$pid" && fail "told '$(cat "$W/w.told")'" || :
	assert_match "$(cat "$W/w.error")" '*No data available'
	assert_still future
	stop future
	assert_ask POLLIN a poll POLLIN 10000
	assert_ask ENODATA a pread 0
	tell a pread 0
	echo +1 >"$L/counters/i"
	assert_eq "$(hear a)" "$(revision_at "$LEADER" counters/i) changed i\\n"
}

run_cases
