#!/bin/bash
# coordfs run at a host that loses its lock: the command is dead before anybody else has it. Both sides write down when
# they were there, by one clock. On three members; the one that loses is h3.
# shellcheck source=tests/system/cluster.sh disable=SC2154 # holder_pid is set by hold
. "$(dirname "$0")/cluster.sh"

cluster 3 -o timeout=2,session_ttl=3 || bail "no cluster"
wait_leader h1 h2 h3 >/dev/null
H1=$(mnt h1)
H3=$(mnt h3)

dead() { ! grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }
has_text() { [ -s "$1" ]; }

# present FILE [deaf]: a program that writes down every few milliseconds that it is there, and when it was told to end;
# deaf: it goes on nevertheless; what is out of reach of who kills it ends after a minute
cat >"$W/present" <<'END'
	trap 'echo "told $EPOCHREALTIME"; [ -n "$2" ] || exit 5' TERM
	exec 8<> <(:) >"$1"
	(trap '' TERM; while ((SECONDS < 60)); do echo "child $EPOCHREALTIME"; read -rt 0.004 <&8; done) &
	while ((SECONDS < 60)); do echo "there $EPOCHREALTIME"; read -rt 0.004 <&8; done
END

# hold NAME [deaf]: it runs at h3 with locks/NAME, and a rival waits for that at h1
hold() {
	rm -f "$W/there" "$W/rival" "$W/err"
	"$COORDFS" run -l "$H3/locks/$1" -- bash "$W/present" "$W/there" "${2-}" 2>"$W/err" &
	holder_pid=$!
	wait_until 10 has_text "$W/there"
	# shellcheck disable=SC2016
	"$COORDFS" run -l "$H1/locks/$1" -- bash -c 'echo "$EPOCHREALTIME $COORDFS_TOKEN" >"$1"' - "$W/rival" &
	rival_pid=$!
	wait_until 10 waits_at_h1 "$1"
}
waits_at_h1() { grep -q '^waiter=' "$H1/.info/locks/$1"; }

# microseconds WORD: when it was last said
microseconds() { awk -v w="$1" '$1 == w { t = $2 } END { sub(/\./, "", t); print t }' "$W/there"; }

# none_with_it WHAT: the rival got it, and had it alone
none_with_it() {
	local rival gap what=$1 word
	wait_until 15 has_text "$W/rival"
	wait "$rival_pid"
	read -r rival _ <"$W/rival"
	for word in there child; do
		gap=$((${rival/./} - $(microseconds $word)))
		echo "# $what: $word for the last time $((gap / 1000)) ms before the next" >>"$W/figures"
		[ $gap -gt 0 ] || fail "$what: $word still $((-gap / 1000)) ms after the next"
	done
}

# ended_with STATUS
ended_with() {
	local got=0
	wait_until 5 dead "$holder_pid"
	wait "$holder_pid" || got=$?
	assert_eq $got "$1" "exit status"
	assert_match "$(cat "$W/err")" "*the lock is lost*"
}

t_a_host_that_is_cut_off() {
	hold a deaf
	lab isolate h3
	none_with_it "cut off"
	ended_with 137
	[ -n "$(microseconds told)" ] || fail "there was no SIGTERM"
}

t_one_that_obeys() {
	lab heal
	wait_serves h3
	hold b
	lab isolate h3
	none_with_it "cut off, obeying"
	ended_with 5
}

t_a_short_silence_does_no_harm() {
	lab heal
	wait_serves h3
	hold c
	lab isolate h3
	sleep 1
	lab heal
	sleep 4
	! dead "$holder_pid" || fail "it was stopped: $(cat "$W/err")"
	[ ! -e "$W/rival" ] || fail "another has the lock"
	kill "$holder_pid"
	wait_until 5 has_text "$W/rival"
}

# Nobody says a word.
t_a_daemon_that_is_stopped() {
	lab heal
	wait_serves h3
	hold d deaf
	lab pause h3
	none_with_it "daemon stopped"
	ended_with 137
	lab resume h3
	wait_serves h3
}

t_a_daemon_that_is_killed() {
	hold e deaf
	lab kill h3
	none_with_it "daemon killed"
	ended_with 137
	lab start h3 || fail "h3 does not start"
	wait_serves h3
}

t_a_runner_that_is_killed() {
	hold f deaf
	kill -9 "$holder_pid"
	none_with_it "runner killed"
}

t_all_of_it_is_killed() {
	local pids
	hold g deaf
	pids=$(pgrep -f "run -l $H3/locks/g")
	[ "$(wc -w <<<"$pids")" = 3 ] || fail "these are its processes: $pids"
	# shellcheck disable=SC2086
	kill -9 $pids
	wait_until 15 has_text "$W/rival"
	wait_until 1 gone_quiet there
}
# The child of a command whose runner and guard are killed is out of reach; the command is not.
gone_quiet() {
	local last
	last=$(microseconds "$1")
	sleep 0.2
	[ "$(microseconds "$1")" = "$last" ]
}

# on_loss=kill kills who keeps the lock as well.
t_with_on_loss() {
	local how
	for how in kill term; do
		lab stop h3
		lab start h3 -o on_loss=$how || fail "h3 does not start"
		wait_serves h3
		hold h-$how deaf
		lab isolate h3
		none_with_it "on_loss=$how"
		wait_until 5 dead "$holder_pid"
		lab heal
		wait_serves h3
	done
}

run_cases
