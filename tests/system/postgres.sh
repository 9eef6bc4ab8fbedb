#!/bin/bash
# contrib/examples/prepare-postgres: money from a database to another one, on two servers, whoever dies on the way.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
export CASE_TIMEOUT=200
PREPARE=$HERE/../../contrib/examples/prepare-postgres
PGBIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "$PGBIN/initdb" ] || skip_all "needs PostgreSQL (contrib/install-deps)"
export PGUSER=nobody PGTZ=UTC
start_mount || bail "no mount"

# The servers refuse to run as root. Nothing listens but a socket in a directory of the test's.
pg() { if [ "$(id -u)" = 0 ]; then as_nobody "$@"; else "$@"; fi; }
server() { echo "host=$W/pg port=$1 dbname=postgres"; }
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$(server "$1")" -c "$2"; }
start_server() {
	pg "$PGBIN/pg_ctl" -s -w -t 60 -D "$W/pg/$1" -l "$W/pg/log$1" \
		-o "-p $1 -k $W/pg -c listen_addresses= -c max_prepared_transactions=10 -c fsync=off -c shared_buffers=8MB" start 8>&- 9>&-
}
stop_server() { pg "$PGBIN/pg_ctl" -s -w -m "${2:-fast}" -D "$W/pg/$1" stop; }
at_end() {
	for port in 5501 5502; do [ ! -e "$W/pg/$port/postmaster.pid" ] || stop_server $port immediate; done
}

make_servers() {
	local port
	mkdir "$W/pg" && chmod 777 "$W/pg" && chmod 755 "$W"
	for port in 5501 5502; do
		pg "$PGBIN/initdb" -A trust -U nobody -N -D "$W/pg/$port" >"$W/initdb" 2>&1 || bail "initdb: $(tail -n 2 "$W/initdb")"
		start_server $port || bail "no server: $(tail -n 3 "$W/pg/log$port")"
		sql $port "create table account (balance int check (balance >= 0)); insert into account values (100)" || bail "no table"
	done
}

balances() { echo "$(sql 5501 'select balance from account') $(sql 5502 'select balance from account')"; }
prepared() { echo "$(sql 5501 'select count(*) from pg_prepared_xacts') $(sql 5502 'select count(*) from pg_prepared_xacts')"; }
is_prepared() { [ "$(prepared)" = "$1" ]; }
has_participants() { [ "$(sed -n 's/^participants=//p' "$MNT/.info/votes/$1")" = "$2" ]; }

# transfer VOTE AMOUNT: both take part, in the background
transfer() {
	mkdir "$MNT/votes/$1"
	echo 30 >"$MNT/votes/$1/timeout"
	echo "update account set balance = balance - $2;" >"$W/$1.from"
	echo "update account set balance = balance + $2;" >"$W/$1.to"
	"$PREPARE" "$MNT" "$1" from "$(server 5501)" "$W/$1.from" 2>"$W/$1.from.err" &
	from=$!
	"$PREPARE" "$MNT" "$1" to "$(server 5502)" "$W/$1.to" 2>"$W/$1.to.err" &
	to=$!
	wait_until 20 has_participants "$1" 2
}
ended() { # PID: prints its exit status
	local status=0
	wait "$1" || status=$?
	echo $status
}
recover() {
	"$PREPARE" --recover "$MNT" "$(server 5501)" && "$PREPARE" --recover "$MNT" "$(server 5502)"
}

t_committed_on_both() {
	transfer all 30
	echo prepare >"$MNT/votes/all/ctl"
	wait $from || fail "from: $(cat "$W/all.from.err")"
	wait $to || fail "to: $(cat "$W/all.to.err")"
	assert_eq "$(balances)" '70 130'
	assert_eq "$(prepared)" '0 0'
	rmdir "$MNT/votes/all"
}

t_one_cannot() {
	transfer poor 1000
	echo prepare >"$MNT/votes/poor/ctl"
	wait $from && fail "from: committed"
	wait $to && fail "to: committed"
	assert_eq "$(balances)" '70 130'
	assert_eq "$(prepared)" '0 0'
	assert_eq "$(sed -n 's/^reason=//p' "$MNT/.info/votes/poor")" 'from: voted no'
}

t_the_coordinator_gives_up() {
	transfer none 10
	wait_until 20 is_prepared '1 1'
	echo abort >"$MNT/votes/none/ctl"
	wait $from && fail "from: committed"
	wait $to && fail "to: committed"
	assert_eq "$(balances) $(prepared)" '70 130 0 0'
}

# Its yes was heard: the other one commits, and so does it, later.
t_a_participant_dies_after_its_yes() {
	transfer dies 10
	wait_until 20 is_prepared '1 1'
	kill -9 $from
	echo prepare >"$MNT/votes/dies/ctl"
	echo yes >"$MNT/votes/dies/participants/from/vote"
	wait $to || fail "to: $(cat "$W/dies.to.err")"
	assert_eq "$(prepared)" '1 0'
	recover >"$W/recovered" || fail "recover: $?"
	grep -q 'from: commit$' "$W/recovered" || fail "$(cat "$W/recovered")"
	assert_eq "$(balances) $(prepared)" '60 140 0 0'
}

# The servers crash with it; what was prepared is on their disks.
t_everything_crashes_after_the_outcome() {
	transfer crash 10
	wait_until 20 is_prepared '1 1'
	kill -9 $from $to
	echo prepare >"$MNT/votes/crash/ctl"
	for p in from to; do echo yes >"$MNT/votes/crash/participants/$p/vote"; done
	for port in 5501 5502; do stop_server $port immediate; done
	crash_and_restart
	for port in 5501 5502; do start_server $port; done
	assert_content "$MNT/votes/crash/outcome" 'commit\n'
	recover >"$W/recovered" || fail "recover: $?"
	assert_eq "$(balances) $(prepared)" '50 150 0 0'
}

t_what_is_not_decided_is_left_alone() {
	local status=0
	transfer wait 10
	wait_until 20 is_prepared '1 1'
	kill -9 $from $to
	recover >"$W/recovered" || status=$?
	assert_eq $status 75
	assert_eq "$(prepared)" '1 1'
	echo abort >"$MNT/votes/wait/ctl"
	recover >"$W/recovered" || fail "recover: $?"
	assert_eq "$(balances) $(prepared)" '50 150 0 0'
}

t_of_a_vote_that_is_gone() {
	transfer gone 10
	wait_until 20 is_prepared '1 1'
	kill -9 $from $to
	echo abort >"$MNT/votes/gone/ctl"
	rmdir "$MNT/votes/gone"
	mkdir "$MNT/votes/gone" # another one of that name
	recover >"$W/recovered" || fail "recover: $?"
	assert_eq "$(balances) $(prepared)" '50 150 0 0'
}

make_servers
run_cases
