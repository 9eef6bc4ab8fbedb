#!/bin/bash
# README and cluster/: what is said of the cluster is true.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o name=alpha || bail "no mount"

# says TEXT: a line of cluster/status, as a pattern of grep -x
says() { grep -qx "$1" "$MNT/cluster/status" || fail "no '$1' in: $(cat "$MNT/cluster/status")"; }
metric() { sed -n "s/^coordfs_$1 //p" "$MNT/cluster/metrics"; }

t_the_root() {
	assert_eq "$(ls -A "$MNT" | tr '\n' ' ')" ".info README cluster counters fences files locks transactions "
	assert_errno EPERM mkdir "$MNT/x"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$MNT/x"
	assert_errno EPERM rmdir "$MNT/transactions"
	assert_errno EPERM unlink "$MNT/README"
	assert_errno EPERM rename "$MNT/README" "$MNT/files/README"
	assert_errno ENOENT stat "$MNT/votes"
}

t_the_readme_fits_a_screen_and_is_right() {
	[ "$(wc -l <"$MNT/README")" -le 40 ] || fail "too long"
	[ "$(wc -L <"$MNT/README")" -le 96 ] || fail "too wide"
	assert_errno EACCES open O_WRONLY "$MNT/README"
	assert_errno EPERM chmod "$MNT/README" 666
	(
		cd "$MNT" || exit
		flock locks/nightly true
		touch counters/hits
		echo +1 >counters/hits
		echo 9 >counters/hits
		echo "cas 9 10" >counters/hits
		echo "+1 id=job7" >counters/hits
		exec 3<>counters/hits
		echo +1 >&3
		read -r value <&3
		assert_eq "$value" 12
		echo max=100 >.info/counters/hits
		mkdir transactions/t
		echo +1 >transactions/t/counters/hits
		echo commit >transactions/t/ctl
		rmdir transactions/t
		assert_content counters/hits '13\n'
		echo 41 >fences/db
	)
}

t_member_and_leader() {
	assert_content "$MNT/cluster/self" 'alpha\n'
	assert_content "$MNT/cluster/leader" 'alpha\n'
	assert_eq "$(ls "$MNT/cluster/members")" alpha
	assert_content "$MNT/cluster/members/alpha/role" 'voter\n'
	assert_content "$MNT/cluster/members/alpha/state" 'leader\n'
	assert_content "$MNT/cluster/members/alpha/lag" '0\n'
	says 'leader  *alpha, term [1-9][0-9]*'
	says 'coordfs .*: all is well'
	[ "$(wc -l <"$MNT/cluster/status")" -le 24 ] || fail "more than a screen"
}

t_the_revision_moves_with_every_change() {
	local before
	before=$(grep '^revision=' "$MNT/cluster/status")
	assert_match "$before" 'revision=[1-9]* state=????????????????'
	assert_eq "$(grep '^revision=' "$MNT/cluster/status")" "$before" "reading changes nothing"
	echo 1 >"$MNT/counters/moves"
	[ "$(grep '^revision=' "$MNT/cluster/status")" != "$before" ] || fail "still $before"
}

t_locks_are_counted() {
	touch "$MNT/locks/a"
	exec 9>"$MNT/locks/a"
	flock 9
	actor one
	assert_ask 0 one open O_RDWR "$MNT/locks/a"
	tell one flock ex
	assert_waits one locks/a
	says 'locks  *1 held, 1 waiting'
	assert_eq "$(metric locks_held) $(metric locks_waiting)" "1 1"
	assert_eq "$(head -n 1 "$MNT/cluster/locks")" "1 held, 1 waiting"
	flock -u 9
	assert_hears one ok
	says 'locks  *1 held, 0 waiting'
}

t_transactions_and_lock_files_are_counted() {
	mkdir "$MNT/transactions/open" "$MNT/transactions/ended"
	echo rollback >"$MNT/transactions/ended/ctl"
	says 'transactions  *1 open .*'
	assert_eq "$(metric transactions)" 1
	rmdir "$MNT/transactions/open" "$MNT/transactions/ended"
	(set -C && echo $$ >"$MNT/locks/bound")
	says '  alpha  *since .*, 1 lock files'
	rm "$MNT/locks/bound"
}

t_the_state_grows() {
	local before
	before=$(metric state_bytes)
	head -c 300000 /dev/urandom >"$MNT/files/big"
	[ "$(metric state_bytes)" -ge $((before + 300000)) ] || fail "from $before to $(metric state_bytes)"
	assert_eq "$(metric up) $(metric leader)" "1 1"
	[ "$(metric disk_free_bytes)" -gt 0 ] || fail "no room?"
}

t_metrics_are_well_formed() {
	assert_eq "$(grep -vcE '^(# (HELP|TYPE) coordfs_[a-z_]+ .+|coordfs_[a-z_]+ [0-9]+)$' "$MNT/cluster/metrics")" 0
	assert_eq "$(grep -c '^# TYPE .* gauge$' "$MNT/cluster/metrics")" "$(grep -c '^coordfs_' "$MNT/cluster/metrics")"
}

# Equal logs, equal states: also after a restart that reads it all again.
t_the_hash_is_the_same_after_a_restart() {
	local state
	echo 5 >"$MNT/counters/hash"
	state=$(sed -n 's/.* state=//p' "$MNT/cluster/status")
	assert_eq "$(sed -n 's/.* state=//p' "$MNT/cluster/status")" "$state"
	crash_and_restart -o name=alpha
	assert_content "$MNT/counters/hash" '5\n'
	assert_match "$(grep '^revision=' "$MNT/cluster/status")" 'revision=[1-9]* state=????????????????'
}

t_everything_can_be_read_by_a_backup() {
	mkdir -p "$MNT/files/walk/deep"
	echo needle >"$MNT/files/walk/deep/f"
	mkdir "$MNT/transactions/walk"
	assert_eq "$(cd "$MNT" && grep -rl needle . | sort | tr '\n' ' ')" "./files/walk/deep/f ./transactions/walk/files/walk/deep/f "
	tar cf "$W/all.tar" -C "$MNT" . || fail "tar"
	tar tf "$W/all.tar" | grep -qx ./.info/files/walk/deep/f || fail "not all"
	rmdir "$MNT/transactions/walk"
}

run_cases
