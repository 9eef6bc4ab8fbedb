#!/bin/bash
# What is weak is read from the state that this mount has, whatever the network does, and never goes back in time; what
# is strong beside it stays so.
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
THREE='h1 h2 h3'
AT_ONCE_MS=1000 # of a timeout of 4 s

three() {
	whole 3 -o timeout=4
	LEADER=$(wait_leader $THREE)
	CUT=$(others "$LEADER" $THREE | head -n 1)
	L=$(mnt "$LEADER") C=$(mnt "$CUT")
}

# at_once COMMAND…
at_once() {
	local start=${EPOCHREALTIME/./} ms
	"$@" || fail "failed: $*"
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	[ $ms -lt $AT_ONCE_MS ] || fail "took $ms ms: $*"
}

holds() { [ "$(timeout 10 cat "$1")" = "$2" ]; }
info_at() { timeout 15 sed -n "s/^$2=//p" "$(mnt "$1")/.info/$3"; }
is_older() { [ "$(info_at "$CUT" age_ms counters/w/c)" -gt "$1" ]; }
is_younger() { [ "$(info_at "$CUT" age_ms counters/w/c)" -lt "$1" ]; }

t_a_minority_reads_what_is_weak() {
	three
	mkdir "$L/counters/w" "$L/files/w"
	op setxattr "$L/counters/w" user.coordfs.consistency weak
	op setxattr "$L/files/w" user.coordfs.consistency weak
	echo 7 >"$L/counters/w/c"
	echo text >"$L/files/w/f"
	ln -s f "$L/files/w/link"
	echo 5 >"$L/counters/strong"
	wait_until 10 holds "$C/counters/w/c" 7
	wait_until 10 holds "$C/files/w/link" text
	is_younger 10000 || fail "its age: $(info_at "$CUT" age_ms counters/w/c)"
	lab isolate "$CUT"
	wait_until 20 is_older 1000
	echo 8 >"$L/counters/w/c"
	at_once assert_content "$C/counters/w/c" '7\n'
	at_once assert_content "$C/files/w/link" 'text\n'
	at_once assert_eq "$(ls "$C/counters/w" "$C/files/w" | tr '\n' ' ')" "$C/counters/w: c  $C/files/w: f link "
	at_once assert_eq "$(stat -c %s "$C/files/w/f")" 5
	at_once assert_errno ENOENT stat "$C/counters/w/none"
	at_once assert_eq "$(info_at "$CUT" consistency counters/w/c)" weak
	at_once assert_op weak getxattr "$C/files/w/f" user.coordfs.consistency
	assert_errno EHOSTUNREACH open O_RDONLY "$C/counters/strong" : read
	assert_match "$(op open O_WRONLY "$C/counters/w/c" : write '+1\n' || :)" '@(EHOSTUNREACH|ETIMEDOUT)'
	assert_match "$(op open 'O_WRONLY|O_CREAT' "$C/files/w/new" || :)" '@(EHOSTUNREACH|ETIMEDOUT)'
	at_once assert_content "$C/counters/w/c" '7\n'
	lab heal
	wait_serves "$CUT"
	wait_until 10 holds "$C/counters/w/c" 8
}

# A process that reads all the time while links come and go: it sees the value grow, and never more than was written.
t_weak_reads_do_not_go_back() {
	local n
	three
	mkdir -p "$L/counters/w"
	op setxattr "$L/counters/w" user.coordfs.consistency weak
	echo 0 >"$L/counters/w/m"
	wait_until 10 test -e "$C/counters/w/m"
	while [ ! -e "$W/stop" ]; do
		read -r n <"$C/counters/w/m" && echo "$n" || echo failed
		sleep 0.002
	done >"$W/seen" 2>&1 &
	for n in {1..120}; do
		echo +1 >"$L/counters/w/m"
		case $n in
		15) lab isolate "$CUT" ;;
		60 | 100) lab heal ;;
		80) lab drop 40 "$CUT" ;;
		esac
	done
	wait_until 20 holds "$C/counters/w/m" 120
	touch "$W/stop"
	wait $!
	sort -nc "$W/seen" || fail "it went back"
	! grep -vxE '[0-9]{1,2}|1[01][0-9]|120' "$W/seen" || fail "it saw that"
	[ "$(sort -u "$W/seen" | wc -l)" -gt 2 ] || fail "it saw too little: $(sort -u "$W/seen")"
	echo "# $(wc -l <"$W/seen") weak reads, $(sort -u "$W/seen" | wc -l) values" >>"$W/figures"
}

run_cases
