#!/bin/bash
# What befalls one member after the other, while the others serve: restarts, a disk that is full, a directory that is
# lost, an absence so long that the log does not reach back. Clients of the others notice nothing but a wait.
# shellcheck disable=SC2046,SC2154 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=200
THREE='h1 h2 h3'
DISK_MB=96

# Before the lab goes down: what is mounted there keeps its directories from being removed.
unmount_disks() {
	local point
	for point in "$LAB"/h*/data; do
		! mountpoint -q "$point" || umount -l "$point"
	done
}
cluster_at_end=$(declare -f at_end)
eval "${cluster_at_end/at_end/end_cluster}"
at_end() {
	unmount_disks
	end_cluster
}

# disks: a cluster of three, each with a small disk of its own
disks() {
	local host
	lab down
	lab up -n 3 --no-start -o timeout=4 || fail "no lab"
	for host in $THREE; do
		mkdir -p "$LAB/$host/data"
		mount -t tmpfs -o "size=${DISK_MB}m,mode=700" coordfs-test "$LAB/$host/data"
	done
	lab start h1
	lab start h2 --join h1
	lab start h3 --join h1
	wait_until 30 has_voters h1 3
}

fill() { dd if=/dev/zero of="$LAB/$1/data/ballast" bs=64k >/dev/null 2>&1 || :; }
make_room() { rm "$LAB/$1/data/ballast"; }

three() {
	whole 3 -o timeout=4
	LEADER=$(wait_leader $THREE)
	set -- $(others "$LEADER" $THREE)
	A=$1 B=$2
}

t_each_is_restarted_under_load() {
	local host other
	three
	for host in "$B" "$LEADER" "$A"; do
		for other in $(others "$host" $THREE); do load "$other" r id; done
		lab restart "$host"
		wait_serves "$host"
		goes_on "$(others "$host" $THREE | head -n 1)" r
		end_load r >"$W/loads"
		[ -z "$(sed 's/.*errors=//' "$W/loads" | tr -d '\n')" ] || fail "clients met errors: $(cat "$W/loads")"
		cat "$W"/account-r-* >>"$W/sums"
		rm "$W"/account-r-*
	done
	assert_eq "$(cat "$(mnt h1)/counters/r")" "$(sum_of acknowledged "$W/sums")" "of what was acknowledged"
	settle $THREE
}

# Its host is set up anew: the old member is removed, and it joins as a new one.
t_a_directory_that_is_lost_is_replaced_under_load() {
	local out
	three
	load "$LEADER" w
	load "$A" w
	lab kill "$B"
	rm -rf "$LAB/$B/data"
	goes_on "$A" w
	out=$(lab start "$B" --join "$LEADER" 2>&1) && fail "let in beside the member of that name"
	assert_match "$out" '*has a member of that name*'
	rmdir "$(mnt "$A")/cluster/members/$B"
	lab wipe "$B" 2>/dev/null || :
	lab start "$B" --join "$LEADER"
	wait_serves "$B"
	wait_until 30 has_voters "$LEADER" 3
	account w "$B"
	settle $THREE
}

# The log goes beyond what the others keep of it: the member comes back by an image, in the midst of the load.
t_one_was_away_for_longer_than_the_log() {
	local i before
	three
	before=$(member_file "$B" metrics | sed -n 's/^coordfs_images_fetched_total //p')
	assert_eq "$before" 0 "images fetched"
	load "$A" i
	lab stop "$B"
	head -c 1000000 /dev/urandom >"$W/big"
	for ((i = 0; i < 160; i++)); do
		timeout 60 cp "$W/big" "$(mnt "$A")/files/big$((i % 4))"
	done
	lab start "$B"
	wait_serves "$B"
	[ "$(member_file "$B" metrics | sed -n 's/^coordfs_images_fetched_total //p')" -ge 1 ] || fail "it needed no image"
	cmp "$W/big" "$(mnt "$B")/files/big3"
	goes_on "$A" i
	account i "$B"
	settle $THREE
}

# ---- small disks: these come last ----------------------------------------------------------------------------------

t_the_disk_of_a_follower_is_full() {
	local i
	disks
	LEADER=$(wait_leader $THREE)
	set -- $(others "$LEADER" $THREE)
	A=$1 B=$2
	load "$A" f
	load "$LEADER" f
	fill "$B"
	head -c 900000 /dev/urandom >"$W/big"
	for ((i = 0; i < 60; i++)); do timeout 20 cp "$W/big" "$(mnt "$A")/files/big"; done
	goes_on "$A" f
	wait_until 20 tells_of_its_disk "$B"
	make_room "$B"
	wait_serves "$B"
	account f "$B"
	settle $THREE
}
tells_of_its_disk() { member_file "$1" status | head -n 1 | grep -q 'IN TROUBLE: .*no space'; }

# It leads on: what the two others have on their disks is committed.
t_the_disk_of_the_leader_is_full() {
	local i
	LEADER=$(wait_leader $THREE)
	set -- $(others "$LEADER" $THREE)
	A=$1 B=$2
	load "$A" g
	load "$B" g
	fill "$LEADER"
	for ((i = 0; i < 60; i++)); do timeout 30 cp "$W/big" "$(mnt "$A")/files/big"; done
	wait_until 20 tells_of_its_disk "$LEADER"
	goes_on "$A" g
	assert_match "$(member_file "$A" status | head -n 1)" "*it serves, but $LEADER: *no space*"
	make_room "$LEADER"
	wait_serves "$LEADER"
	account g "$LEADER"
	settle $THREE
}

run_cases
