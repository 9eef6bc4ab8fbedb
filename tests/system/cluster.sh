# shellcheck shell=bash
# What the tests of several members share, on top of lib.sh and contrib/lab:
#
#     . "$(dirname "$0")/cluster.sh"
#     t_two_see_the_same() {
#             cluster 3
#             echo 5 >"$(mnt h1)/counters/a"
#             assert_content "$(mnt h2)/counters/a" '5\n'
#             settle h1 h2 h3
#     }
#     run_cases
#
# A case that begins with `cluster N` has a lab of its own; one without goes on in that of the case before. The lab is
# ended before the next one is made and at the end of the test. What reads a mount here has a time limit, since a
# member may be cut off or paused.
#
# shellcheck source=tests/system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ -c /dev/net/tun ] || skip_all "needs /dev/net/tun"
command -v ip nsenter setsid >/dev/null || skip_all "needs ip, nsenter and setsid"
"$COORDFS" -h | grep -q 'listen=' || skip_all "this program has no clusters"

export LAB=$W/lab
lab() { "$HERE/../../contrib/lab" "$@"; }
mnt() { echo "$LAB/$1/mnt"; }

ADDER=${top_builddir:-/nonexistent}/tests/system/adder
if [ ! -x "$ADDER" ]; then
	ADDER=$W/adder
	${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 "$HERE/adder.c" -o "$ADDER" || bail "adder.c does not compile"
fi

# A daemon that a sanitizer reports of, or that died by itself, has failed whatever case ran.
at_end() {
	local crash
	[ ! -e "$W/figures" ] || cat "$W/figures"
	crash=$(grep -lsE 'Assertion .* failed|AddressSanitizer|runtime error:' "$LAB"/h*/log)
	[ -z "$crash" ] || {
		result 'not ok' "no daemon dies by itself"
		grep -sE -A 20 'Assertion .* failed|AddressSanitizer|runtime error:' "$LAB"/h*/log | sed 's/^/# /' | head -n 60
	}
	lab down || result 'not ok' "the lab goes down"
}

explain() {
	local log
	[ -e "$LAB/lab" ] || return
	timeout 60 "$HERE/../../contrib/lab" status
	for log in "$LAB"/h*/log; do
		echo "${log#"$LAB/"}, and cluster/status:"
		timeout 5 sed 's/^/    /' "${log%log}mnt/cluster/status"
		tail -n 6 "$log"
	done
}

# hosts N: h1 … hN
hosts() { seq -f 'h%g' "$1"; }

# cluster N [OPTIONS of lab up]: a new lab; unless --no-start is among the options all members serve, and (when voters=
# is not, either) vote
cluster() {
	local count=$1
	shift
	lab down
	lab up -n "$count" "$@" || fail "no cluster"
	case " $* " in *--no-start* | *voters=*) return ;; esac
	# Votes are given one after the other. Until then a majority is not the one that a test counts on.
	wait_until 30 has_voters h1 "$count"
}

# whole N [OPTIONS]: the cluster of the case before, when all its members serve; else a new one
whole() {
	[ ! -e "$LAB/lab" ] || lab heal
	# shellcheck disable=SC2046
	[ -d "$LAB/h$1" ] && [ ! -d "$LAB/h$(($1 + 1))" ] && wait_until 15 serve_all $(hosts "$1") || cluster "$@"
}

# each of these changes something and reads it
serve_all() {
	local host
	for host; do serves "$host" || return; done
}
serves() { timeout 10 sh -c "echo +1 >'$(mnt "$1")/counters/served' && cat '$(mnt "$1")/counters/served'" >/dev/null 2>&1; }
wait_serves() {
	local host
	for host; do wait_until 20 serves "$host"; done
}

# ---- asking --------------------------------------------------------------------------------------------------------

# member_file HOST FILE: cluster/FILE as HOST sees it
member_file() { timeout 15 cat "$(mnt "$1")/cluster/$2" 2>/dev/null; }
role() { member_file "$1" "members/$2/role"; } # HOST sees of NAME
leader_at() { member_file "$1" leader; }

# leader HOST...: whom all of these call the leader, when they agree
leader() {
	local host name now
	name=$(leader_at "$1") && [ -n "$name" ] || return
	for host; do
		now=$(leader_at "$host") && [ "$now" = "$name" ] || return
	done
	echo "$name"
}

is_led() { leader "$@" >/dev/null; }
is_led_by_another() { # OLD HOST...
	local old=$1 now
	shift
	now=$(leader "$@") && [ "$now" != "$old" ]
}

# wait_leader HOST...: prints it
wait_leader() {
	wait_until 30 is_led "$@" >&2
	leader "$@"
}

# wait_other_leader OLD HOST...: prints it
wait_other_leader() {
	wait_until 30 is_led_by_another "$@" >&2
	shift
	leader "$@"
}

# others HOST HOST...: the later ones but for the first
others() {
	local without=$1
	shift
	printf '%s\n' "$@" | grep -vx "$without"
}

# a_follower HOST...: one of these that does not lead
a_follower() { others "$(wait_leader "$@")" "$@" | head -n 1; }

# voters HOST: how many vote, as HOST sees it
voters() {
	local files
	files=("$(mnt "$1")"/cluster/members/*/role)
	timeout 30 cat "${files[@]}" 2>/dev/null | grep -cx voter
}
has_voters() { [ "$(voters "$1")" = "$2" ]; }
has_role() { [ "$(role "$1" "$2")" = "$3" ]; }
members() { timeout 15 ls "$(mnt "$1")/cluster/members" 2>/dev/null | wc -l; }
has_members() { [ "$(members "$1")" = "$2" ]; }
is_mounted_at() { is_mounted "$(mnt "$1")"; }

# is_running HOST: its daemon
is_running() { [ -n "$(lab pid "$1" 2>/dev/null)" ]; }

# ---- equal states --------------------------------------------------------------------------------------------------

state_of() { timeout 15 sed -n 's/^\(revision=[0-9]* state=[0-9a-f]*\).*/\1/p' "$(mnt "$1")/cluster/status" 2>/dev/null; }

# agree HOST...: all at one revision now. At one revision there is one state, whoever tells and whenever: else it fails.
agree() {
	local host line first=''
	for host; do
		line=$(state_of "$host") && [ -n "$line" ] || return
		echo "$line" >>"$W/states"
		: "${first:=$line}"
		[ "${line%% *}" = "${first%% *}" ] || return
	done
	line=$(sort -u "$W/states" | cut -d ' ' -f 1 | uniq -d)
	[ -z "$line" ] || fail "two states at $line: $(sort -u "$W/states" | grep "^$line ")"
}

# settle HOST...: at rest they come to be at one revision, with one state
settle() {
	: >"$W/states"
	wait_until 30 agree "$@" || {
		for host; do echo "$host: $(state_of "$host")"; done
		fail "they do not settle"
	}
}

# ---- load ----------------------------------------------------------------------------------------------------------

# load HOST NAME [id]: add to counters/NAME at HOST until `account NAME`; with `id` each until it is acknowledged
load() {
	local counter
	counter=$(mnt "$1")/counters/$2
	[ -e "$counter" ] || touch "$counter" || fail "cannot make $counter"
	"$ADDER" "$counter" ${3:+"$1-$BASHPID-$RANDOM"} >"$W/account-$2-$1" &
	echo $! >"$W/load-$2-$1"
}

# readers HOST NAME: read it there until `end_load read.NAME`; the counter must be there
readers() {
	"$ADDER" -r "$(mnt "$1")/counters/$2" >"$W/account-read.$2-$1" &
	echo $! >"$W/load-read.$2-$1"
}

# moves HOST NAME: the counter grew since the last time this was asked
moves() {
	local now last
	last=$(cat "$W/moved-$2-$1" 2>/dev/null || echo 0)
	now=$(timeout 20 cat "$(mnt "$1")/counters/$2") || return
	[ "$now" -gt "$last" ] || return
	echo "$now" >"$W/moved-$2-$1"
}

# goes_on HOST NAME [SECONDS]: it grows, and again
goes_on() {
	moves "$1" "$2" || :
	wait_until "${3:-20}" moves "$1" "$2" && wait_until "${3:-20}" moves "$1" "$2" || fail "$2 at $1 does not move"
}

# sum_of KEY FILE...: over accounts
sum_of() {
	local key=$1
	shift
	cat "$@" | tr ' ' '\n' | awk -F = -v k="$key" '$1 == k { n += $2 } END { print n + 0 }'
}

# end_load NAME: and prints what became of its requests; `account` does it, too
end_load() {
	local file
	for file in "$W/load-$1"-*; do
		[ ! -e "$file" ] || kill -TERM "$(cat "$file")"
	done
	for file in "$W/load-$1"-*; do
		[ -e "$file" ] || continue
		wait_until 30 gone "$(cat "$file")" || fail "a client hangs: $(ps -o stat=,wchan=,args= -p "$(cat "$file")")"
		rm "$file"
	done
	cat "$W/account-$1"-*
}

# account NAME HOST [refusals]: the load ends; at HOST the counter is what its clients were told. Without `refusals` none
# of them met an error.
account() {
	local value acknowledged unknown
	end_load "$1"
	[ -n "${3-}" ] || [ -z "$(sed 's/.*errors=//' "$W/account-$1"-* | tr -d '\n')" ] || fail "clients met errors"
	value=$(timeout 20 cat "$(mnt "$2")/counters/$1") || fail "the counter cannot be read"
	acknowledged=$(sum_of acknowledged "$W/account-$1"-*)
	unknown=$(sum_of unknown "$W/account-$1"-*)
	[ "$acknowledged" -gt 0 ] || fail "nothing was added"
	[ "$value" -ge "$acknowledged" ] || fail "LOST: the counter is at $value, $acknowledged were acknowledged"
	[ "$value" -le $((acknowledged + unknown)) ] ||
		fail "TWICE: the counter is at $value, of $acknowledged acknowledged and $unknown unknown"
	rm -f "$W/account-$1"-* "$W/moved-$1"-*
}

# worst_ms NAME: the longest that a client of this load had to wait (before `account`, after `end_load`)
worst_ms() { cat "$W/account-$1"-* | sed -n 's/.*worst_ms=\([0-9]*\).*/\1/p' | sort -n | tail -n 1; }

# milliseconds COMMAND...: how long it took is in $took; its status is its own
# shellcheck disable=SC2034 # it is for the caller
milliseconds() {
	local start=${EPOCHREALTIME/./} status=0
	"$@" || status=$?
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	return $status
}
