#!/bin/bash
# README and cluster/: what is said of the cluster is true.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o name=alpha || bail "no mount"

# says TEXT: a line of cluster/status, as a pattern of grep -x
says() { grep -qx "$1" "$MNT/cluster/status" || fail "no '$1' in: $(cat "$MNT/cluster/status")"; }
metric() { sed -n "s/^coordfs_$1 //p" "$MNT/cluster/metrics"; }

t_the_root() {
	assert_eq "$(ls -A "$MNT" | tr '\n' ' ')" ".info .wait README cluster counters fences files locks transactions votes "
	assert_errno EPERM mkdir "$MNT/x"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$MNT/x"
	assert_errno EPERM rmdir "$MNT/transactions"
	assert_errno EPERM unlink "$MNT/README"
	assert_errno EPERM rename "$MNT/README" "$MNT/files/README"
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
	says 'leader  *alpha, term [1-9][0-9]*, level [1-9][0-9]*'
	says 'coordfs .*: all is well'
	[ "$(wc -l <"$MNT/cluster/status")" -le 24 ] || fail "more than a screen"
}

t_the_directory() {
	assert_eq "$(ls -A "$MNT/cluster" | tr '\n' ' ')" "leader locks members metrics self status "
	assert_eq "$(ls -A "$MNT/cluster/members/alpha" | tr '\n' ' ')" "address lag role state "
	assert_eq "$(ls -A "$MNT/.info/cluster/members/alpha" | tr '\n' ' ')" ".self address lag role state "
	assert_eq "$(stat -c %h "$MNT/cluster/members")" 3
	assert_eq "$(info name cluster/members/alpha/.self) $(info wish cluster/members/alpha/role)" "alpha auto"
	assert_content "$MNT/cluster/members/alpha/address" 'none\n'
	assert_errno ENOENT stat "$MNT/cluster/members/beta"
	assert_errno EPERM mkdir "$MNT/cluster/members/beta"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$MNT/cluster/members/alpha/x"
	says 'session  *[1-9][0-9]*, .*'
}

t_the_leadership_can_be_given() {
	local reply
	echo alpha >"$MNT/cluster/leader"
	exec 3<>"$MNT/cluster/leader"
	echo alpha >&3
	read -r reply <&3
	exec 3<&-
	assert_eq "$reply" alpha
	assert_fails sh -c "echo beta >'$MNT/cluster/leader'"
	assert_error cluster/leader 'there is no member called beta'
	assert_op EINVAL open O_WRONLY "$MNT/cluster/leader" : write 'alpha\nalpha\n'
	assert_error cluster/leader 'one line*'
	assert_op EINVAL open O_WRONLY "$MNT/cluster/leader" : write '\n'
	: >"$MNT/cluster/leader"
	assert_content "$MNT/cluster/leader" 'alpha\n'
}

t_a_role_can_be_given() {
	echo voter >"$MNT/cluster/members/alpha/role"
	echo auto >"$MNT/cluster/members/alpha/role"
	assert_op ECANCELED open O_WRONLY "$MNT/cluster/members/alpha/role" : write 'standby\n'
	assert_error cluster/members/alpha/role '*last voter*'
	assert_op EINVAL open O_WRONLY "$MNT/cluster/members/alpha/role" : write 'king\n'
	assert_error cluster/members/alpha/role 'a role is *'
	assert_errno EACCES open O_WRONLY "$MNT/cluster/members/alpha/state"
	assert_content "$MNT/cluster/members/alpha/role" 'voter\n'
}

# Whoever removes a tree does not mean the cluster.
t_members_are_removed_by_name_only() {
	assert_errno ECANCELED rmdir "$MNT/cluster/members/alpha"
	assert_error cluster/members/alpha/.self '*last voter*'
	assert_errno ENOENT rmdir "$MNT/cluster/members/beta"
	assert_errno EPERM unlink "$MNT/cluster/members/alpha/role"
	assert_errno EPERM rmdir "$MNT/cluster/members"
	assert_fails rm -rf "$MNT/cluster/members/alpha"
	assert_fails rm -rf "$MNT/cluster"
	assert_eq "$(ls "$MNT/cluster/members")" alpha
}

t_nobody_may_not() {
	assert_fails as_nobody sh -c "echo alpha >'$MNT/cluster/leader'"
	assert_fails as_nobody sh -c "echo voter >'$MNT/cluster/members/alpha/role'"
	assert_fails as_nobody rmdir "$MNT/cluster/members/alpha"
	assert_fails as_nobody cat "$MNT/cluster/snapshot"
	as_nobody cat "$MNT/cluster/status" >/dev/null || fail "and yet may read"
}

t_a_snapshot_is_of_one_revision() {
	local size
	head -c 300000 /dev/urandom >"$MNT/files/ballast"
	echo stitch-before >"$MNT/files/stitch"
	exec 3<"$MNT/cluster/snapshot"
	echo stitch-after >"$MNT/files/stitch"
	cat <&3 >"$W/one"
	exec 3<&-
	assert_eq "$(head -c 8 "$W/one")" COORDFSI
	grep -q stitch-before "$W/one" || fail "not in it"
	assert_fails grep -q stitch-after "$W/one"
	cp "$MNT/cluster/snapshot" "$W/two"
	dd if="$MNT/cluster/snapshot" of="$W/three" bs=7777 status=none
	cmp "$W/two" "$W/three" || fail "nothing was changed"
	grep -q stitch-after "$W/two" || fail "not of now"
	size=$(stat -c %s "$MNT/cluster/snapshot")
	assert_eq "$size" "$(stat -c %s "$W/two")" "as a backup of now would have"
	assert_eq "$(wc -c <"$MNT/cluster/snapshot")" "$size"
	assert_op "$size" open O_RDONLY "$MNT/cluster/snapshot" : size
	assert_errno EACCES open O_RDWR "$MNT/cluster/snapshot"
	rm "$MNT/files/ballast" "$MNT/files/stitch"
}

t_so_many_snapshots_at_once() {
	exec 4<"$MNT/cluster/snapshot" 5<"$MNT/cluster/snapshot" 6<"$MNT/cluster/snapshot" 7<"$MNT/cluster/snapshot"
	assert_errno EDQUOT open O_RDONLY "$MNT/cluster/snapshot"
	cat <&5 | cmp - <(cat <&7) || fail "equal revisions, equal bytes"
	exec 4<&-
	wait_until 10 op open O_RDONLY "$MNT/cluster/snapshot" >/dev/null
	exec 5<&- 6<&- 7<&-
	assert_eq "$(find "$DATA" -name '*backup*')" ""
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
	assert_eq "$(grep -vcE '^(# (HELP|TYPE) coordfs_[a-z_]+ .+|coordfs_[a-z_]+([{][a-z]+="[^"]*"[}])? [0-9]+([.][0-9]+)?)$' "$MNT/cluster/metrics")" 0
	assert_eq "$(grep -cE '^# TYPE .* (gauge|counter|histogram)$' "$MNT/cluster/metrics")" "$(grep -c '^# HELP' "$MNT/cluster/metrics")"
	grep -qx 'coordfs_member_reached{member="alpha"} 1' "$MNT/cluster/metrics" || fail "no members"
	grep -q '^coordfs_commit_seconds_bucket{le="+Inf"} ' "$MNT/cluster/metrics" || fail "no histogram"
}

t_commits_are_counted() {
	local before
	before=$(metric commits_total)
	echo 1 >"$MNT/counters/counted"
	[ "$(metric commits_total)" -gt "$before" ] || fail "still $before"
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
