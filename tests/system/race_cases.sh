# shellcheck shell=bash disable=SC2317 # the racers are called by name
# The races of lockfiles.sh and locks3.sh: who is first to make a file has the lock. Who sources this says:
#
#     mount_of N         the mount of the N-th racer
#     RACERS, RACES      how many there are, and how often they race
#     L                  the locks/ in which the outcome is looked at

# winners FUNCTION: the racers call it at once, with their number and their locks/; prints who succeeded
winners() {
	local i
	rm -f "$W"/ready.* "$W"/won.*
	exec 9>"$W/gate"
	flock 9
	for ((i = 1; i <= RACERS; i++)); do
		(
			: >"$W/ready.$i"
			flock -s "$W/gate" true 9>&-
			if "$1" "$i" "$(mount_of "$i")/locks" >/dev/null 2>&1; then : >"$W/won.$i"; fi
		) 9>&- &
	done
	wait_until 20 all_are_ready
	exec 9>&-
	wait
	find "$W" -name 'won.*' | sed 's/.*\.//'
}
all_are_ready() { [ "$(find "$W" -name 'ready.*' | wc -l)" = "$RACERS" ]; }

# assert_one_winner FUNCTION [READ]: each race after rm of what the winner made; READ prints who made it
assert_one_winner() {
	local won i
	for ((i = 0; i < RACES; i++)); do
		won=$(winners "$1")
		assert_eq "$(wc -w <<<"$won")" 1 "winners of $1"
		[ -z "${2-}" ] || assert_eq "$("$2")" "$won" "the winner"
		rm -rf "$L/race"
	done
}

race_holds() { cat "$L/race"; }

race_noclobber() { (set -C; echo "$1" >"$2/race"); }
t_set_C() { assert_one_winner race_noclobber race_holds; }

race_excl() { "$OP" open 'O_CREAT|O_EXCL|O_WRONLY' "$2/race" : write "$1\n"; }
t_O_EXCL() { assert_one_winner race_excl race_holds; }

race_link() {
	echo "$1" >"$2/tmp.$1"
	ln "$2/tmp.$1" "$2/race"
	local status=$?
	rm "$2/tmp.$1"
	return $status
}
t_ln() { assert_one_winner race_link race_holds; }

race_symlink() { ln -s "$1" "$2/race"; }
race_target() { readlink "$L/race"; }
t_ln_s() { assert_one_winner race_symlink race_target; }

race_mkdir() { mkdir "$2/race"; }
t_mkdir() { assert_one_winner race_mkdir; }

race_mv() {
	echo "$1" >"$2/mv.$1"
	mv -n "$2/mv.$1" "$2/race"
	[ ! -e "$2/mv.$1" ] || { rm "$2/mv.$1"; return 1; }
}
t_mv_n() { assert_one_winner race_mv race_holds; }

race_noreplace() {
	echo "$1" >"$2/mv.$1"
	"$OP" rename "$2/mv.$1" "$2/race" noreplace || { rm "$2/mv.$1"; return 1; }
}
t_rename_noreplace() { assert_one_winner race_noreplace race_holds; }

race_lockfile() { lockfile -r 0 "$2/race"; }
t_lockfile() { assert_one_winner race_lockfile; }

race_dotlockfile() { dotlockfile -l -r 0 "$2/race"; }
t_dotlockfile() { assert_one_winner race_dotlockfile; }

race_python() { python3 -c 'import os, sys; os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY)' "$2/race"; }
t_python() { assert_one_winner race_python; }

# ---- whose session ends --------------------------------------------------------------------------------------------

# make_all DIR: what each idiom makes, in its own name below that
make_all() {
	local all=$1
	mkdir -m 1777 "$all"
	(set -C; echo 1 >"$all/noclobber")
	"$OP" open 'O_CREAT|O_EXCL|O_WRONLY' "$all/excl" >/dev/null
	: >"$all/source"
	ln "$all/source" "$all/link"
	ln -s x "$all/symlink"
	mkdir "$all/dir"
	mkdir -m 1755 "$all/sticky"
	mkdir "$all/full"
	: >"$all/full/plain"
	: >"$all/plain"
	flock "$all/flock" true
	lockfile -r 0 "$all/lockfile"
	dotlockfile -l -r 0 "$all/dotlockfile"
}

# assert_only_lasting DIR: the session of who made all is over
assert_only_lasting() {
	local all=$1
	assert_eq "$(find "$all" -mindepth 1 | sed "s,$all/,," | sort | tr '\n' ' ')" 'flock full full/plain plain source sticky '
}
