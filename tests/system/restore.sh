#!/bin/bash
# coordfs restore: a new cluster made of a backup goes on from it, and a bad backup or a bad place changes nothing.
# shellcheck disable=SC2016 # for sh -c
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
NEW=$W/new
BACKUP=$W/backup

# restore_refused WORDS ARGUMENTS…: exit status 1, one line
restore_refused() {
	local words=$1 status=0
	shift
	timeout 60 "$COORDFS" restore "$@" >"$W/out" 2>&1 </dev/null || status=$?
	assert_eq $status 1 "exit status of restore $*: $(cat "$W/out")"
	assert_eq "$(wc -l <"$W/out")" 1 "lines of words"
	assert_match "$(cat "$W/out")" "coordfs restore: *$words*" "restore $*"
}

# all content but that of the session's own lock file
digest() {
	(cd "$MNT" && find counters files fences locks -type f ! -name of-the-session -exec sha256sum {} + | sort | sha256sum)
}
revision() { sed -n 's/.*revision=\([0-9]*\).*/\1/p' "$MNT/cluster/status" | head -n 1; }

# ---- a member with some state, and a lock held when the backup is taken ------------------------------------------

make_backup() {
	local i
	echo 41 >"$MNT/counters/n"
	echo 7 >"$MNT/fences/f"
	for i in {1..20}; do head -c 20000 /dev/urandom >"$MNT/files/$i"; done
	ln -s 1 "$MNT/files/link"
	flock "$MNT/locks/l" true
	TOKEN=$(flock "$MNT/locks/l" sed -n 's/^token=//p' "$MNT/.info/locks/l")
	(set -C; echo $$ >"$MNT/locks/of-the-session")
	cat "$MNT/cluster/snapshot" >"$BACKUP"
}

start_mount || bail "no mount"
make_backup || bail "no backup"
REVISION=$(revision)
DIGEST=$(digest)
stop_mount
export DATA=$NEW

t_it_goes_on_from_the_backup() {
	local out token
	out=$("$COORDFS" restore --name second "$BACKUP" "$NEW")
	assert_match "$out" "$NEW: member second of the new cluster*"
	start_mount
	assert_eq "$(digest)" "$DIGEST"
	assert_eq "$(cat "$MNT/counters/n")" 41
	assert_eq "$(cat "$MNT/fences/f")" 7
	assert_eq "$(readlink "$MNT/files/link")" 1
	(($(revision) > REVISION)) || fail "revision $(revision) after $REVISION"
	token=$(flock "$MNT/locks/l" sed -n 's/^token=//p' "$MNT/.info/locks/l")
	((token > TOKEN)) || fail "token $token after $TOKEN"
	stop_mount
}

# What the former cluster's sessions made goes with them, and its member too.
t_the_former_cluster_is_gone() {
	start_mount
	assert_fails test -e "$MNT/locks/of-the-session"
	assert_eq "$(ls "$MNT/cluster/members")" second
	assert_eq "$(cat "$MNT/cluster/self")" second
	assert_fails grep -q '^reset' "$NEW/member"
	stop_mount
}

t_it_survives_a_kill() {
	start_mount
	echo +1 >"$MNT/counters/n"
	crash_and_restart
	assert_eq "$(cat "$MNT/counters/n")" 42
	crash_and_restart
	echo +1 >"$MNT/counters/n"
	stop_mount
	start_mount
	assert_eq "$(cat "$MNT/counters/n")" 43
	stop_mount
}

t_what_is_used_is_refused() {
	restore_refused "holds a member's data" "$BACKUP" "$NEW"
	mkdir "$W/full"
	touch "$W/full/precious"
	restore_refused "not empty" "$BACKUP" "$W/full"
	assert_eq "$(ls "$W/full")" precious
	restore_refused "not a directory" "$BACKUP" "$W/full/precious"
	start_mount
	restore_refused "holds a member's data" "$BACKUP" "$NEW"
	stop_mount
}

t_a_bad_backup_is_refused() {
	local size
	size=$(stat -c %s "$BACKUP")
	restore_refused "No such file" "$W/none" "$W/x"
	restore_refused "Is a directory" "$W" "$W/x"
	restore_refused "ends too early" /dev/null "$W/x"
	head -c $((size - 1)) "$BACKUP" >"$W/bad"
	restore_refused "ends too early" "$W/bad" "$W/x"
	cp "$BACKUP" "$W/bad"
	printf x >>"$W/bad"
	restore_refused "bytes follow its end" "$W/bad" "$W/x"
	cp "$BACKUP" "$W/bad"
	printf '\377' | dd of="$W/bad" bs=1 seek=$((size / 2)) conv=notrunc status=none
	restore_refused "$W/bad" "$W/bad" "$W/x"
	cp "$BACKUP" "$W/bad"
	printf '\002' | dd of="$W/bad" bs=1 seek=8 conv=notrunc status=none
	restore_refused "has format 2" "$W/bad" "$W/x"
	as_nobody "$COORDFS" restore "$BACKUP" "$W/x" >"$W/out" 2>&1 && fail "nobody restored"
	assert_fails test -e "$W/x"
}

t_no_room_leaves_nothing() {
	mkdir "$W/small"
	mount -t tmpfs -o size=200k none "$W/small"
	restore_refused "no space" "$BACKUP" "$W/small/data"
	assert_eq "$(ls "$W/small")" ""
	mount -o remount,size=100m "$W/small"
	"$COORDFS" restore "$BACKUP" "$W/small/data" >/dev/null
	umount "$W/small"
}

t_a_killed_restore_is_no_new_cluster() {
	mkdir "$W/half"
	echo "format=1" >"$W/half/member.restored"
	echo half >"$W/half/image-5.coordfs"
	mkdir -p "$MNT"
	timeout 20 "$COORDFS" "$W/half" "$MNT" >"$W/out" 2>&1 && fail "a half-restored directory was started"
	assert_match "$(cat "$W/out")" "*run it again*"
	"$COORDFS" restore "$BACKUP" "$W/half" >/dev/null
	assert_fails test -e "$W/half/image-5.coordfs"
}

t_usage_and_names() {
	restore_refused "usage:"
	restore_refused "usage:" "$BACKUP"
	restore_refused "usage:" "$BACKUP" a b
	restore_refused "1 to 64 letters" --name 'a b' "$BACKUP" "$W/x"
	assert_match "$("$COORDFS" restore -h)" "usage: coordfs restore *"
	"$COORDFS" restore - "$W/piped" <"$BACKUP" >/dev/null
	assert_eq "$(sed -n 's/^member=//p' "$W/piped/member")" "$(hostname | cut -d . -f 1)"
}

run_cases
