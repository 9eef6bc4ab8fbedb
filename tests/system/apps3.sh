#!/bin/bash
# Programs that know nothing of coordfs, on three hosts at once: a database, a repository, a mailbox. And a host that dies
# in the midst of it.
# shellcheck disable=SC2154 # actors set NAME_pid
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=200 HOME=$W/home
mkdir "$HOME"
HOSTS=(h1 h2 h3)
WRITERS=3 # at each host

cluster 3 -o session_ttl=3 || bail "no cluster"
wait_leader "${HOSTS[@]}" >/dev/null

need() { command -v "$1" >/dev/null || skip "needs $1"; }

# on_each COMMAND…: with HOST and FILES, at each host at the same time; each must succeed
on_each() {
	local HOST jobs=() job
	for HOST in "${HOSTS[@]}"; do
		FILES=$(mnt "$HOST")/files LOCKS=$(mnt "$HOST")/locks "$@" &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do wait "$job" || fail "$* failed"; done
}

# ---- sqlite --------------------------------------------------------------------------------------------------------

sql() { sqlite3 -bail -cmd '.timeout 100000' "$@"; }

# make_database NAME [MODE]
make_database() {
	assert_eq "$(sql "$(mnt h1)/files/$1" "pragma journal_mode=${2:-delete}")" "${2:-delete}"
	sql "$(mnt h1)/files/$1" 'create table t (writer, n, unique (writer, n)); create table total (n); insert into total values (0)'
}

# write_rows NAME COUNT [MODE]: the writers of HOST, each with a transaction a row
write_rows() {
	local i n jobs=() job
	for ((i = 0; i < WRITERS; i++)); do
		{
			echo "pragma journal_mode=${3:-delete};"
			for ((n = 0; n < $2; n++)); do
				echo "begin immediate; insert into t values ('$HOST.$i', $n); update total set n = n + 1; commit;"
			done
		} | sql "$FILES/$1" >"$W/sql.$HOST.$i" &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do wait "$job" || return; done
	assert_eq "$(sort -u "$W/sql.$HOST".*)" "${3:-delete}"
}

# assert_rows NAME COUNT: each host sees them all, in a database that is whole
assert_rows() {
	local host
	for host in "${HOSTS[@]}"; do
		assert_eq "$(sql "$(mnt "$host")/files/$1" 'pragma integrity_check; select count(*) from t; select n from total' | tr '\n' ' ')" \
			"ok $2 $2 " "at $host"
	done
}

t_writers_of_one_database() {
	need sqlite3
	make_database db
	on_each write_rows db 15
	assert_rows db $((15 * WRITERS * 3))
}

t_the_other_kinds_of_rollback_journal() {
	local mode
	need sqlite3
	for mode in truncate persist; do
		make_database "db-$mode" $mode
		on_each write_rows "db-$mode" 5 $mode
		assert_rows "db-$mode" $((5 * WRITERS * 3))
	done
}

# move_money: from one account to the other; who reads sees the same sum
move_money() {
	local i
	for ((i = 0; i < 20; i++)); do
		echo "begin immediate; update a set n = n - 1 where rowid = 1; update a set n = n + 1 where rowid = 2; commit;"
		echo "select 'sum ' || sum(n) from a;"
	done | sql "$FILES/money" >"$W/money.$HOST"
}

t_readers_see_whole_transactions() {
	need sqlite3
	sql "$(mnt h1)/files/money" 'create table a (n); insert into a values (100), (0)'
	on_each move_money
	assert_eq "$(sort "$W"/money.h? | uniq -c | tr -s ' ')" ' 60 sum 100'
	assert_eq "$(sql "$(mnt h2)/files/money" 'select n from a where rowid = 2; pragma integrity_check' | tr '\n' ' ')" '60 ok '
}

# ---- git -----------------------------------------------------------------------------------------------------------

git_here() { git -C "$W/clone.$HOST" -c user.name="$HOST" -c user.email="$HOST@example.org" -c gc.auto=0 "$@"; }

# push_commits COUNT: from a clone of HOST's own, each as soon as it is there; whoever is late rebases, and tries again
push_commits() {
	local n
	git clone -q "$FILES/bare.git" "$W/clone.$HOST" || return
	for ((n = 0; n < $1; n++)); do
		echo "$HOST $n" >"$W/clone.$HOST/$HOST.$n" || return
		git_here add -A && git_here commit -qm "$HOST $n" || return
		until git_here push -q origin HEAD:main; do
			echo >>"$W/pushes.$HOST"
			git_here fetch -q && git_here rebase -q origin/main || return
		done
	done >"$W/git.$HOST" 2>&1
}

t_pushes_to_one_repository() {
	local host count=6
	need git
	git init -q --bare -b main "$(mnt h1)/files/bare.git"
	git clone -q "$(mnt h1)/files/bare.git" "$W/clone.first" 2>/dev/null
	HOST=first git_here commit -q --allow-empty -m first
	HOST=first git_here push -q origin HEAD:main
	on_each push_commits $count
	for host in "${HOSTS[@]}"; do
		git -C "$(mnt "$host")/files/bare.git" fsck --strict >"$W/fsck" 2>&1 || fail "fsck at $host: $(cat "$W/fsck")"
		assert_eq "$(git -C "$(mnt "$host")/files/bare.git" log --format=%s main | sort)" \
			"$({ echo first; for h in "${HOSTS[@]}"; do seq -f "$h %g" 0 $((count - 1)); done; } | sort)" "commits at $host"
		rm -rf "$W/checked"
		git clone -q "$(mnt "$host")/files/bare.git" "$W/checked"
		assert_eq "$(cd "$W/checked" && cat h?.* | sort | uniq | wc -l)" $((count * 3)) "files at $host"
	done
	assert_eq "$(find "$(mnt h1)/files/bare.git" -name '*.lock')" ""
	echo "# $((count * 3)) pushes, $(cat "$W"/pushes.h? 2>/dev/null | wc -l) came too late" >>"$W/figures"
}

# ---- lock files ----------------------------------------------------------------------------------------------------

# increment COUNT NAME LOCK UNLOCK: as often, files/NAME is read, and written with one more; LOCK is tried until it succeeds
increment() {
	local n
	for ((n = 0; n < $1; n++)); do
		until $3; do sleep 0.02; done
		echo $(($(cat "$FILES/$2") + 1)) >"$FILES/$2"
		$4 || return
	done 2>"$W/increment.$HOST"
}

# guarded COUNT NAME LOCK UNLOCK
guarded() {
	local host
	echo 0 >"$(mnt h1)/files/$2"
	on_each increment "$@"
	for host in "${HOSTS[@]}"; do assert_content "$(mnt "$host")/files/$2" "$(($1 * 3))\\n"; done
	assert_eq "$(find "$(mnt h2)/locks" -mindepth 1)" ""
}

try_lockfile() { lockfile -r 0 "$LOCKS/box.lock" 2>/dev/null; }
wait_lockfile() { lockfile -1 -r 100 "$LOCKS/box.lock"; }
end_lockfile() { rm -f "$LOCKS/box.lock"; }
t_lockfile() {
	need lockfile
	guarded 30 tried try_lockfile end_lockfile
	guarded 3 waited wait_lockfile end_lockfile
}

try_dotlockfile() { dotlockfile -l -r 0 "$LOCKS/dot.lock"; }
wait_dotlockfile() { dotlockfile -l -i 1 -r 100 "$LOCKS/dot.lock"; }
end_dotlockfile() { dotlockfile -u "$LOCKS/dot.lock"; }
t_dotlockfile() {
	need dotlockfile
	guarded 30 dottried try_dotlockfile end_dotlockfile
	guarded 3 dotwaited wait_dotlockfile end_dotlockfile
}

# deliver COUNT: mails to the mailbox, as programs do that know nothing but a mail spool: mbox and mbox.lock
deliver() {
	local n
	for ((n = 0; n < $1; n++)); do
		until dotlockfile -l -r 0 "$FILES/mbox.lock"; do sleep 0.02; done
		printf 'From %s\nmail %d\n\n' "$HOST" "$n" | cat "$FILES/mbox" - >"$FILES/mbox.new" && cat "$FILES/mbox.new" >"$FILES/mbox"
		dotlockfile -u "$FILES/mbox.lock"
	done
}

t_a_mailbox() {
	need dotlockfile
	: >"$(mnt h1)/files/mbox"
	on_each deliver 15
	assert_eq "$(awk '/^From / { from = $2 } /^mail / { print from, $2 }' "$(mnt h3)/files/mbox" | sort -u | wc -l)" 45
	assert_eq "$(wc -l <"$(mnt h2)/files/mbox")" 135
}

# ---- all of it -----------------------------------------------------------------------------------------------------

everything() {
	write_rows busy 8 &
	increment 8 busy.total try_lockfile end_lockfile &
	wait -n && wait -n
}

t_all_at_once() {
	need sqlite3
	need lockfile
	make_database busy
	echo 0 >"$(mnt h1)/files/busy.total"
	on_each everything
	assert_rows busy $((8 * WRITERS * 3))
	assert_content "$(mnt h2)/files/busy.total" '24\n'
	settle "${HOSTS[@]}"
}

# ---- the death of a host -------------------------------------------------------------------------------------------

# hold_database: a transaction of h3 that is too large for its memory, so that half of it is in the database already
hold_database() {
	python3 - "$(mnt h3)/files/dead" "$W/spilled" <<-'PYTHON' &
		import sqlite3, sys, time
		db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=100)
		db.execute('pragma cache_size=2')
		db.execute('pragma cache_spill=1')
		db.execute('begin immediate')
		db.execute('update total set n = n + 1000')
		for n in range(200):
		    db.execute('insert into t values (?, ?)', ('x' * 300, n))
		open(sys.argv[2], 'w').close()
		time.sleep(1000)
	PYTHON
	HOLDER=$!
	wait_until 30 test -e "$W/spilled"
}

is_blocked() { ! sqlite3 "$(mnt h1)/files/dead" 'select * from total' 2>/dev/null; }

# again HOST: after its death
again() {
	lab start "$1" || fail "$1 does not start"
	wait_serves "${HOSTS[@]}"
}

t_a_host_dies_in_a_transaction() {
	need sqlite3
	make_database dead
	(HOST=h3 FILES=$(mnt h3)/files write_rows dead 3)
	hold_database
	test -s "$(mnt h1)/files/dead-journal"
	is_blocked || fail "nothing is locked"
	lab kill h3
	kill -9 $HOLDER
	HOSTS=(h1 h2)
	milliseconds on_each write_rows dead 5
	assert_rows dead $((3 * WRITERS + 5 * WRITERS * 2))
	echo "# a host died in a transaction: the others had written after $took ms" >>"$W/figures"
	HOSTS=(h1 h2 h3)
	again h3
	assert_rows dead $((3 * WRITERS + 5 * WRITERS * 2))
	on_each write_more
	assert_rows dead $((3 * WRITERS + 5 * WRITERS * 2 + 3))
}
write_more() { sql "$FILES/dead" "begin immediate; insert into t values ('more', '$HOST'); update total set n = n + 1; commit"; }

# dies_with_lock TRY WAIT END: h3 has it when it dies; the others wait for it, and it is not given to them before
dies_with_lock() {
	echo 0 >"$(mnt h1)/files/dead.total"
	LOCKS=$(mnt h3)/locks "$1"
	! LOCKS=$(mnt h1)/locks "$1" || fail "it is no lock"
	lab kill h3
	HOSTS=(h1 h2)
	on_each increment 2 dead.total "$2" "$3"
	assert_content "$(mnt h2)/files/dead.total" '4\n'
	HOSTS=(h1 h2 h3)
	again h3
	on_each increment 1 dead.total "$2" "$3"
	assert_content "$(mnt h3)/files/dead.total" '7\n'
}

t_a_host_dies_with_a_lockfile() {
	need lockfile
	dies_with_lock try_lockfile wait_lockfile end_lockfile
}

t_a_host_dies_with_a_dotlockfile() {
	need dotlockfile
	dies_with_lock try_dotlockfile wait_dotlockfile end_dotlockfile
	settle "${HOSTS[@]}"
}

run_cases
