# shellcheck shell=bash disable=SC2119,SC2120
# What the system tests share. A test sources it, defines its cases as functions t_NAME, and ends with `run_cases`:
#
#     . "$(dirname "$0")/lib.sh"
#     start_mount
#     t_a_new_counter_is_zero() {
#             touch "$MNT/counters/a"
#             assert_eq "$(cat "$MNT/counters/a")" 0
#     }
#     run_cases
#
# Each case runs in a shell of its own with `set -e`, in the order of the file, CASE_TIMEOUT seconds (120) at most; all
# that it left running is killed by its process group. Its output appears when it fails. After each case the daemon
# must still be there. At the end, however it comes: unmounted, daemons killed by pid, the work directory removed, and
# a report of a sanitizer is a failure. What a test has to end itself, it ends in a function at_end.
#
# Variables: W the work directory (on disk), DATA and MNT of the mount that start_mount made.

set -u
LC_ALL=C
export LC_ALL
unset GIT_DIR GIT_WORK_TREE BASH_ENV ENV

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${COORDFS:=coordfs}"
COORDFS=$(command -v "$COORDFS") || { echo "Bail out! no program at \$COORDFS"; exit 1; }
: "${CASE_TIMEOUT:=120}"
W=$(mktemp -d "${TMPDIR:-/tmp}/coordfs-test.XXXXXX")
chmod 755 "$W"
DATA=$W/data
MNT=$W/mnt
TEST_NAME=$(basename "$0" .sh)
mkdir -m 1777 "$W/reports" # of sanitizers, whose daemon may run as another user
for variable in ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
	export $variable="${!variable:+${!variable}:}log_path=$W/reports/report:print_stacktrace=1"
done

skip_all() {
	echo "1..0 # SKIP $*"
	rm -rf "$W"
	exit 77
}

bail() {
	echo "not ok - $*"
	exit 1
}

# op: see op.c; made by `make check`, or here when the test is run by hand
OP=${top_builddir:-/nonexistent}/tests/system/op
if [ ! -x "$OP" ]; then
	OP=$W/op
	${CC:-cc} -std=c17 -D_GNU_SOURCE -I"$HERE/../../include" -O1 "$HERE/op.c" -o "$OP" || bail "op.c does not compile"
fi
op() { "$OP" "$@"; }

[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -c /dev/fuse ] || skip_all "needs /dev/fuse"

# ---- mounts --------------------------------------------------------------------------------------------------------

# start_mount [-o OPTIONS…]: $DATA on $MNT; returns when the program says that it serves. Its words go to $W/start.log.
start_mount() {
	mkdir -p "$MNT" 2>/dev/null || is_mounted || return # a dead mount is no directory
	timeout 60 "$COORDFS" "$DATA" "$MNT" "$@" >"$W/start.log" 2>&1 </dev/null && return
	echo "start_mount: coordfs $DATA $MNT $* failed:"
	cat "$W/start.log"
	return 1
}

# The daemon that serves $MNT from $DATA: its pid, known by its arguments.
mount_pid() {
	local dir
	for dir in /proc/[0-9]*; do
		[ "$dir/exe" -ef "$COORDFS" ] || continue
		tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qxF -e "$MNT" || continue
		echo "${dir#/proc/}"
		return
	done
	return 1
}

is_mounted() { awk -v m="${1-$MNT}" '$5 == m { found = 1 } END { exit !found }' /proc/self/mountinfo; }

# The daemon answers, within 10 seconds. Never hangs itself, though the stat may.
mount_serves() {
	local probe
	is_mounted || return
	stat -t "$MNT/README" >/dev/null 2>&1 </dev/null &
	probe=$!
	wait_until 10 gone $probe >/dev/null && wait $probe
}

# Unmount, and wait until the daemon has ended.
stop_mount() {
	local pid
	pid=$(mount_pid) || pid=
	if is_mounted; then umount "$MNT" || return; fi
	[ -z "$pid" ] || wait_until 30 gone "$pid"
}

# kill -9, at this moment; also of one that is just starting.
kill_mount() {
	local pid
	while pid=$(mount_pid); do
		kill -9 "$pid" 2>/dev/null || :
		wait_until 30 gone "$pid" || return
	done
	while is_mounted; do umount -l "$MNT" || return; done
}

restart_mount() { stop_mount && start_mount "$@"; }
crash_and_restart() { kill_mount && start_mount "$@"; }

# Ended, down to its last thread: a zombie whose other threads still run has its files open.
gone() {
	local tasks
	tasks=$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
	[ "$tasks" = 0 ] || { [ "$tasks" = 1 ] && [ "$(ps -o stat= -p "$1" | cut -c 1)" = Z ]; }
}

# wait_until SECONDS COMMAND…: until it succeeds; fails at the deadline
wait_until() {
	local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		if ((${EPOCHREALTIME/./} > deadline)); then
			echo "in vain waited for: $*"
			return 1
		fi
		sleep 0.01
	done
}

# info KEY PATH: that line of .info/PATH, without the key; all of them if there are several
info() { sed -n "s/^$1=//p" "$MNT/.info/$2"; }
waiters() { grep -c '^waiter=' "$MNT/.info/$1" || :; }
holders() { grep -c '^holder=' "$MNT/.info/$1" || :; }
has_waiters() { [ "$(waiters "$1")" = "$2" ]; }
has_holders() { [ "$(holders "$1")" = "$2" ]; }

# ---- assertions: each ends the case --------------------------------------------------------------------------------

fail() {
	local i
	printf '%.400s\n' "$*"
	for ((i = 1; i < ${#BASH_LINENO[@]}; i++)); do
		case ${FUNCNAME[i]} in
		t_*) echo "  at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]} in ${FUNCNAME[i]}" ;;
		esac
	done
	exit 1
}

# assert_eq GOT WANT [WHAT]
assert_eq() { [ "$1" = "$2" ] || fail "${3:+$3: }got '$1', want '$2'"; }

# assert_match GOT PATTERN [WHAT]: a shell pattern
assert_match() {
	# shellcheck disable=SC2053 # a pattern it is
	[[ $1 == $2 ]] || fail "${3:+$3: }got '$1', want something like '$2'"
}

# assert_op WANT COMMAND…: what op(1) prints for that
assert_op() {
	local want=$1 got
	shift
	got=$("$OP" "$@") || :
	[ "$got" = "$want" ] || fail "op $*: got '$got', want '$want'"
}

# assert_errno ERRNO COMMAND…: the commands of op(1) end with that error
assert_errno() {
	local want=$1 got
	shift
	got=$("$OP" "$@") && fail "op $*: went well ('$got'), want $want"
	[ "$got" = "$want" ] || fail "op $*: got $got, want $want"
}

# assert_fails COMMAND…: any shell command; its output is thrown away
assert_fails() { if "$@" >/dev/null 2>&1; then fail "went well, and should not: $*"; fi; }

# assert_content PATH TEXT (printf format without arguments)
assert_content() {
	# shellcheck disable=SC2059
	cmp -s "$1" <(printf -- "$2") || fail "$1 holds '$(head -c 200 "$1" | tr '\n' '|')', want '$2'"
}

# assert_error PATH PATTERN: the reason in words of the last refusal on that path
assert_error() { assert_match "$(info error "$1")" "$2" "error= of $1"; }

# as_nobody COMMAND…
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# ---- actors: processes that hold files and locks while the test looks on -------------------------------------------

# actor NAME: an `op -i` of its own; `ask NAME COMMAND…` prints its answer, `tell` sends only, `hear` takes the answer
# to what was told. Words reach op as they are: write a blank as \s.
actor() {
	local name=$1
	mkfifo "$W/$name.in" "$W/$name.out"
	"$OP" -i <"$W/$name.in" >"$W/$name.out" &
	eval "${name}_pid=\$!"
	eval "exec {${name}_in}>\"\$W/\$name.in\" {${name}_out}<\"\$W/\$name.out\""
	rm "$W/$name.in" "$W/$name.out"
}

tell() {
	local fd=$1_in
	shift
	echo "$*" >&"${!fd}"
}

hear() {
	local fd=$1_out answer
	read -r -t "${2:-10}" answer <&"${!fd}" || { echo silence; return; }
	echo "$answer"
}

ask() {
	tell "$@"
	hear "$1"
}

# assert_ask WANT NAME COMMAND…
assert_ask() {
	local want=$1 got
	shift
	got=$(ask "$@")
	[ "$got" = "$want" ] || fail "$*: got '$got', want '$want'"
}

# assert_hears NAME WANT: the answer to what was told
assert_hears() { assert_eq "$(hear "$1")" "$2" "$1"; }

# assert_waits NAME PATH [N]: NAME's call is in PATH's queue, N-th or only, and has no answer
assert_waits() {
	wait_until 10 has_waiters "$2" "${3:-1}"
	assert_eq "$(hear "$1" 0.05)" silence "$1"
}

# actor_kill NAME
actor_kill() {
	local pid=$1_pid
	kill -9 "${!pid}"
	wait "${!pid}" 2>/dev/null || :
}

# ---- running -------------------------------------------------------------------------------------------------------

CASE_COUNT=0 CASE_FAILED=0
result() { # ok|not ok, NAME [# SKIP WHY]
	CASE_COUNT=$((CASE_COUNT + 1))
	echo "$1 $CASE_COUNT - $TEST_NAME: $2"
	[ "$1" = ok ] || CASE_FAILED=$((CASE_FAILED + 1))
}

# What else there is to say to a case that failed.
explain() { :; }

# In a case: end it as skipped.
skip() {
	echo "$*" >"$W/skip"
	exit 77
}

abort_connection() { # of a daemon that hangs: its own death does not free it
	local minor
	minor=$(awk -v m="$MNT" '$5 == m { split($3, d, ":"); print d[2] }' /proc/self/mountinfo | tail -n 1)
	[ -n "$minor" ] || return 0
	[ -d /sys/fs/fuse/connections/"$minor" ] || mount -t fusectl fusectl /sys/fs/fuse/connections 2>/dev/null
	echo 1 2>/dev/null >/sys/fs/fuse/connections/"$minor"/abort
}

run_case() {
	local name=$1 status watch before
	before=$(mount_pid) || before=
	rm -f "$W/skip" "$W/late"
	set -m
	(
		set +m
		set -eE
		trap 'echo "  failed: $BASH_COMMAND (line $LINENO of ${BASH_SOURCE[0]##*/})" >&2' ERR
		trap 'exit 1' TERM
		"$name"
	) >"$W/case.log" 2>&1 </dev/null &
	local pid=$!
	(
		sleep "$CASE_TIMEOUT"
		echo "still running after $CASE_TIMEOUT s" >>"$W/case.log"
		ps -eo pid,pgid,stat,wchan:20,args | awk -v g=$pid '$2 == g' >>"$W/case.log"
		kill -9 -- -$pid
		sleep 5
		[ ! -e /proc/$pid ] || abort_connection
	) >/dev/null 2>&1 </dev/null &
	watch=$!
	set +m
	wait $pid
	status=$?
	kill -9 -- -$watch 2>/dev/null
	kill -9 -- -$pid 2>/dev/null
	wait $watch 2>/dev/null
	name=${name#t_}
	name=${name//_/ }
	if [ $status = 77 ] && [ -e "$W/skip" ]; then
		result ok "$name # SKIP $(cat "$W/skip")"
	elif [ $status = 0 ]; then
		result ok "$name"
	else
		result 'not ok' "$name"
		{ tail -n 60 "$W/case.log"; explain; } | sed 's/^/# /'
	fi
	if [ -n "$before" ] && ! mount_serves; then
		result 'not ok' "the daemon serves after: $name"
		kill_mount
		start_mount || bail "cannot start again"
	fi
}

# run_cases [NAME…]: all t_* functions in the order of the file; those named in CASES only, when it is set
run_cases() {
	local name
	[ $# -gt 0 ] || {
		shopt -s extdebug
		# shellcheck disable=SC2046
		set -- $(for name in $(compgen -A function t_); do declare -F "$name"; done | sort -k 3 -k 2n | cut -d ' ' -f 1)
		shopt -u extdebug
	}
	for name; do
		case " ${CASES:-$name} " in
		*" $name "*) run_case "$name" ;;
		esac
	done
	finish
}

finish() {
	trap - EXIT
	clean_up
	echo "1..$CASE_COUNT"
	exit $((CASE_FAILED > 0))
}

at_end() { :; }

clean_up() {
	local m report
	at_end
	if mount_serves && ! stop_mount; then result 'not ok' "a clean unmount at the end"; fi
	[ -z "$(mount_pid)" ] || kill_mount
	for m in $(awk -v w="$W/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | tac); do umount -l "$m"; done
	for report in "$W"/reports/*; do
		[ -e "$report" ] || continue
		result 'not ok' "no report of a sanitizer"
		sed 's/^/# /' "$report" | head -n 80
	done
	rm -rf --one-file-system "$W"
}
trap 'clean_up; echo "1..$CASE_COUNT"; exit 1' EXIT
trap 'exit 143' TERM INT HUP
