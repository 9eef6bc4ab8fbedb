#!/bin/bash
# What is eventual, on several members: each goes on by itself, whatever is cut, killed or replaced, and when they meet
# again all are the same and nothing that was acknowledged is missing or counted twice.
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=240
THREE='h1 h2 h3' FIVE='h1 h2 h3 h4 h5'
AT_ONCE_MS=1000 # of a timeout of 4 s

# eventual N: a cluster with counters/e and files/e, seen by all
eventual() {
	local host
	whole "$1" -o timeout=4
	E=counters/e-$RANDOM F=files/e-$RANDOM
	mkdir "$(mnt h1)/$E" "$(mnt h1)/$F"
	op setxattr "$(mnt h1)/$E" user.coordfs.consistency eventual
	op setxattr "$(mnt h1)/$F" user.coordfs.consistency eventual
	for host in $(hosts "$1"); do
		wait_until 10 is_eventual "$host" "$E"
		wait_until 10 is_eventual "$host" "$F"
	done
}

is_eventual() { [ "$(timeout 10 "$OP" getxattr "$(mnt "$1")/$2" user.coordfs.consistency)" = eventual ]; }
info_at() { timeout 15 sed -n "s/^$2=//p" "$(mnt "$1")/.info/$3"; }

# at_once COMMAND…
at_once() {
	local start=${EPOCHREALTIME/./} ms
	"$@" || fail "failed: $*"
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	[ $ms -lt $AT_ONCE_MS ] || fail "took $ms ms: $*"
}

add() { timeout 20 sh -c "echo '$3' >'$(mnt "$1")/$2'"; }
holds() { [ "$(timeout 20 cat "$(mnt "$1")/$2" 2>/dev/null)" = "$3" ]; }
all_hold() { # PATH VALUE HOST…
	local path=$1 value=$2 host
	shift 2
	for host; do wait_until 30 holds "$host" "$path" "$value" || fail "$host: $(timeout 20 cat "$(mnt "$host")/$path"), want $value"; done
}

# fingerprint HOST: all that is in the two directories there
fingerprint() {
	(
		cd "$(mnt "$1")" || exit
		timeout 60 find "$E" "$F" -printf '%p %y %m %U %G %s\n' | sort
		timeout 60 find "$E" "$F" -type f | sort | xargs -r tail -n +1
	) 2>&1
}
agree_on_all() {
	local first host
	first=$(fingerprint "$1")
	for host; do [ "$(fingerprint "$host")" = "$first" ] || return; done
}
is_the_same() { # PATH HOST…
	local path=$1 host first
	shift
	first=$(timeout 20 cat "$(mnt "$1")/$path")
	for host; do holds "$host" "$path" "$first" || return; done
}
have_all() { # HOST…: they know that all have it
	local host path
	for host; do
		for path in $(cd "$(mnt "$host")" && timeout 60 find "$E" "$F" -type f); do
			[ "$(info_at "$host" converged "$path")" = yes ] || return
		done
	done
}
converge() {
	wait_until 60 agree_on_all "$@" || {
		for host; do echo "--- $host"; fingerprint "$host"; done
		fail "they do not converge"
	}
	wait_until 60 have_all "$@" || fail "they do not know it: $(info_at "$1" converged "$E")"
}

t_all_see_what_one_adds() {
	eventual 3
	add h1 "$E/c" +5
	add h2 "$E/c" +7
	add h3 "$E/c" -2
	all_hold "$E/c" 10 $THREE
	mkdir "$(mnt h2)/$E/d"
	add h2 "$E/d/x" +1
	echo text >"$(mnt h3)/$F/f"
	all_hold "$E/d/x" 1 $THREE
	all_hold "$F/f" text $THREE
	converge $THREE
	assert_eq "$(info_at h1 share "$E/c" | sort | tr '\n' ' ')" \
		"member h1 added 5 taken 0 member h2 added 7 taken 0 member h3 added 0 taken 2 "
	rm "$(mnt h1)/$E/c"
	wait_until 10 test ! -e "$(mnt h3)/$E/c"
	converge $THREE
}

t_each_side_goes_on() {
	local cut rest
	eventual 3
	cut=$(wait_leader $THREE)
	rest=$(others "$cut" $THREE)
	add h1 "$E/c" +1
	echo old >"$(mnt h1)/$F/f"
	echo 3 >"$(mnt h1)/counters/strong"
	all_hold "$E/c" 1 $THREE
	all_hold "$F/f" old $THREE
	lab isolate "$cut"
	at_once add "$cut" "$E/c" +10
	at_once holds "$cut" "$E/c" 11
	at_once add "$cut" "$E/new" +1
	at_once mkdir "$(mnt "$cut")/$E/dir"
	at_once add "$cut" "$E/dir/deep" +4
	at_once sh -c "echo here >'$(mnt "$cut")/$F/f'"
	at_once assert_content "$(mnt "$cut")/$F/f" 'here\n'
	at_once assert_eq "$(info_at "$cut" converged "$E/c")" no
	at_once assert_op eventual getxattr "$(mnt "$cut")/$E" user.coordfs.consistency
	at_once assert_eq "$(ls "$(mnt "$cut")/$E" | sort | tr '\n' ' ')" 'c dir new '
	# before the session ends, during the elections, and after it
	sleep 6
	at_once add "$cut" "$E/c" +10
	assert_errno EHOSTUNREACH open O_RDONLY "$(mnt "$cut")/counters/strong" : read
	at_once assert_errno EOPNOTSUPP open O_WRONLY "$(mnt "$cut")/$E/c" : write '9\n'
	at_once assert_errno EOPNOTSUPP open 'O_WRONLY|O_CREAT|O_EXCL' "$(mnt "$cut")/$E/x"
	at_once assert_errno EOPNOTSUPP open O_WRONLY "$(mnt "$cut")/$E/c" : flock 'ex|nb'
	at_once assert_errno EOPNOTSUPP rename "$(mnt "$cut")/$E/c" "$(mnt "$cut")/$E/y"
	for host in $rest; do
		wait_serves "$host"
		at_once add "$host" "$E/c" +100
		at_once add "$host" "$E/new" +1
	done
	lab heal
	all_hold "$E/c" 221 $THREE
	all_hold "$E/new" 3 $THREE
	all_hold "$E/dir/deep" 4 $THREE
	all_hold "$F/f" here $THREE
	converge $THREE
}

t_the_last_writer_wins() {
	local host
	eventual 3
	lab isolate h1
	lab isolate h2
	for host in h1 h3 h2; do
		echo "from $host" >"$(mnt $host)/$F/f"
		sleep 0.05
	done
	lab heal
	all_hold "$F/f" 'from h2' $THREE
	converge $THREE
	chmod 600 "$(mnt h1)/$F/f"
	converge $THREE
	assert_eq "$(stat -c %a "$(mnt h3)/$F/f")" 600
}

# What the remover had not seen stays.
t_who_adds_wins_over_who_removes() {
	eventual 3
	add h1 "$E/c" +5
	add h1 "$E/gone" +5
	mkdir "$(mnt h1)/$E/d"
	echo old >"$(mnt h1)/$F/f"
	all_hold "$E/gone" 5 $THREE
	all_hold "$F/f" old $THREE
	wait_until 10 test -d "$(mnt h3)/$E/d"
	converge $THREE
	lab isolate h1
	rm "$(mnt h1)/$E/c" "$(mnt h1)/$E/gone" "$(mnt h1)/$F/f"
	rmdir "$(mnt h1)/$E/d"
	assert_eq "$(ls "$(mnt h1)/$E")" ''
	add h2 "$E/c" +2
	add h2 "$E/d/x" +1
	echo new >"$(mnt h2)/$F/f"
	lab heal
	all_hold "$E/c" 2 $THREE
	all_hold "$E/d/x" 1 $THREE
	all_hold "$F/f" new $THREE
	converge $THREE
	assert_errno ENOENT stat "$(mnt h2)/$E/gone"
}

metric() { timeout 10 sed -n "s/^coordfs_$2 //p" "$(mnt "$1")/cluster/metrics"; }
all_forgot() { # HOST…
	local host
	for host; do [ "$(metric "$host" eventual_tombstones)" = 0 ] || return; done
}

# What was removed is remembered as long as somebody does not know it, and not for longer; it does not come back.
t_what_was_removed_is_forgotten() {
	local i bytes
	eventual 3
	wait_until 60 all_forgot $THREE # of the cases before
	bytes=$(metric h2 eventual_state_bytes)
	for i in {1..100}; do add h1 "$E/gone$i" +1; done
	echo text >"$(mnt h3)/$F/gone"
	add h3 "$E/stays" +3
	all_hold "$E/gone100" 1 $THREE
	all_hold "$F/gone" text $THREE
	converge $THREE
	lab isolate h3
	rm "$(mnt h2)/$E"/gone* "$(mnt h1)/$F/gone"
	wait_until 10 test ! -e "$(mnt h1)/$E/gone100"
	sleep 15 # they would by now
	[ "$(metric h1 eventual_tombstones)" -ge 101 ] || fail "forgotten before all know it"
	add h3 "$E/gone1" +5
	lab kill h3
	lab heal
	lab start h3
	wait_serves h3
	all_hold "$E/gone1" 5 $THREE
	wait_until 60 all_forgot $THREE
	assert_eq "$(ls "$(mnt h3)/$E" | tr '\n' ' ')" 'gone1 stays '
	[ "$(metric h2 eventual_state_bytes)" -lt $((bytes + 300)) ] || fail "$bytes bytes before, $(metric h2 eventual_state_bytes) now"
	for i in h1 h2 h3; do add $i "$E/gone2" +7; done
	all_hold "$E/gone2" 21 $THREE
	converge $THREE
}

# The others of h1 agree with it; to each of them it says at most 1 kB/s.
t_who_agrees_says_little() {
	local before
	eventual 3
	add h1 "$E/c" +1
	all_hold "$E/c" 1 $THREE
	wait_until 20 knows_what_others_have h1
	before=$(metric h1 eventual_sent_bytes_total)
	sleep 5
	[ $(($(metric h1 eventual_sent_bytes_total) - before)) -lt $((2 * 6 * 1000)) ] || fail "$before, $(metric h1 eventual_sent_bytes_total)"
	lab isolate h3
	add h1 "$E/c" +1
	all_hold "$E/c" 2 h1 h2
	[ "$(metric h1 'eventual_peer_behind{member="h3"}')" -ge 1 ] || fail "h3 is not behind"
	lab heal
	all_hold "$E/c" 2 $THREE
	wait_until 20 knows_what_others_have h1
}
knows_what_others_have() {
	local host behind agreed
	for host in h2 h3; do
		behind=$(metric "$1" "eventual_peer_behind{member=\"$host\"}")
		agreed=$(metric "$1" "eventual_peer_agreed_seconds{member=\"$host\"}")
		[ "$behind" = 0 ] && [ -n "$agreed" ] && [ "${agreed%.*}" -lt 3 ] || return
	done
}

# The object itself is removed by all members at once, with what they hold of it.
t_a_root_is_removed_for_all() {
	eventual 3
	add h1 "$E/c" +5
	echo +1 >"$(mnt h1)/counters/single"
	rm "$(mnt h1)/counters/single"
	touch "$(mnt h1)/counters/single"
	op setxattr "$(mnt h1)/counters/single" user.coordfs.consistency eventual
	wait_until 10 is_eventual h3 counters/single
	add h3 counters/single +4
	all_hold counters/single 4 $THREE
	all_hold "$E/c" 5 $THREE
	lab isolate h3
	rm "$(mnt h1)/counters/single"
	rm -r "$(mnt h1)/${E:?}"
	at_once add h3 counters/single +1
	lab heal
	wait_until 20 test ! -e "$(mnt h3)/counters/single"
	wait_until 20 test ! -e "$(mnt h3)/$E"
	echo 1 >"$(mnt h3)/counters/single"
	assert_eq "$(info_at h3 consistency counters/single)" strong
	rm "$(mnt h3)/counters/single"
}

# A process that reads all the time while links come and go sees it grow.
t_reads_do_not_go_back() {
	local n
	eventual 3
	add h1 "$E/m" +0
	all_hold "$E/m" 0 $THREE
	while [ ! -e "$W/stop" ]; do
		read -r n <"$(mnt h3)/$E/m" && echo "$n" || echo failed
		sleep 0.002
	done >"$W/seen" 2>&1 &
	for n in {1..60}; do
		echo +1 >"$(mnt h1)/$E/m"
		echo +1 >"$(mnt h2)/$E/m"
		case $n in
		10 | 40) lab isolate h3 ;;
		25 | 50) lab heal ;;
		esac
	done
	all_hold "$E/m" 120 $THREE
	touch "$W/stop"
	wait $!
	sort -nc "$W/seen" || fail "it went back"
	! grep -vxE '[0-9]{1,2}|1[01][0-9]|120' "$W/seen" || fail "it saw that"
	[ "$(sort -u "$W/seen" | wc -l)" -gt 2 ] || fail "it saw too little: $(sort -u "$W/seen")"
}

t_a_waiting_reader_is_told() {
	eventual 3
	add h1 "$E/p" +1
	all_hold "$E/p" 1 $THREE
	actor one
	assert_ask 0 one open O_RDONLY "$(mnt h3)/$E/p"
	assert_ask '1\n' one read
	tell one poll POLLIN 10000
	assert_eq "$(hear one 0.05)" silence
	add h1 "$E/p" +1
	assert_hears one POLLIN
	assert_ask '2\n' one pread 0
}

# Cut into single members, with clients on each and some killed: each goes on; in the end nothing is missing.
t_five_members_in_pieces() {
	local host name
	eventual 5
	name=sum$RANDOM # an object of its own
	touch "$(mnt h1)/counters/$name"
	op setxattr "$(mnt h1)/counters/$name" user.coordfs.consistency eventual
	for host in $FIVE; do wait_until 10 is_eventual "$host" "counters/$name"; done
	add h2 "$E/beside" +1
	echo beside >"$(mnt h4)/$F/beside"
	for host in $FIVE; do load "$host" "$name"; done
	for host in $FIVE; do goes_on "$host" "$name"; done
	lab split "h1 h2" "h3 h4 h5"
	for host in $FIVE; do goes_on "$host" "$name"; done
	for host in $FIVE; do lab isolate "$host"; done
	sleep 6 # sessions end, nobody leads
	for host in $FIVE; do goes_on "$host" "$name"; done
	lab kill h2
	lab kill h5
	lab heal
	lab start h2
	lab start h5
	for host in $FIVE; do goes_on "$host" "$name"; done
	lab cut h1 h2
	lab cut h3 h4
	for host in $FIVE; do goes_on "$host" "$name"; done
	lab heal
	end_load "$name"
	converge $FIVE
	wait_until 30 is_the_same "counters/$name" $FIVE
	account "$name" h3 refusals
}

# One is lost with its disk, another comes in its place: what it added is still there.
t_a_member_is_replaced() {
	local host
	eventual 3
	for host in $THREE; do add "$host" "$E/c" +10; done
	echo text >"$(mnt h3)/$F/f"
	all_hold "$E/c" 30 $THREE
	all_hold "$F/f" text $THREE
	converge $THREE
	lab wipe h3
	wait_serves h1
	wait_until 20 rmdir "$(mnt h1)/cluster/members/h3"
	add h1 "$E/c" +1
	converge h1 h2
	lab start h3
	all_hold "$E/c" 31 $THREE
	all_hold "$F/f" text $THREE
	add h3 "$E/c" +1
	all_hold "$E/c" 32 $THREE
	converge $THREE
}

run_cases
