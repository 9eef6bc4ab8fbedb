#!/bin/bash
# coordfs keygen, and what a start says of key files.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# refused WORDS COMMAND…: exit status 1, one line with these words
refused() {
	local words=$1 status=0
	shift
	"$@" >"$W/out" 2>&1 </dev/null || status=$?
	assert_eq $status 1 "exit status of: $*"
	assert_eq "$(wc -l <"$W/out")" 1 "lines of words"
	assert_match "$(cat "$W/out")" "*$words*" "$*"
}

t_a_key_is_for_its_owner_only() {
	(umask 0 && "$COORDFS" keygen "$W/k")
	assert_eq "$(stat -c %a "$W/k")" 600
	assert_match "$(cat "$W/k")" "coordfs-key-1 ????????????????????????????????????????"
	assert_eq "$(wc -l <"$W/k")" 1
	"$COORDFS" keygen "$W/other" >/dev/null
	assert_fails cmp "$W/k" "$W/other"
}

t_a_key_is_never_overwritten() {
	cp "$W/k" "$W/before"
	refused "exists already" "$COORDFS" keygen "$W/k"
	cmp "$W/k" "$W/before"
	ln -s nowhere "$W/link"
	refused "exists already" "$COORDFS" keygen "$W/link"
	assert_fails test -e "$W/nowhere"
}

t_where_no_file_can_be() {
	refused "No such file" "$COORDFS" keygen "$W/none/k"
	refused "*" "$COORDFS" keygen "$W"
	mkdir -m 755 "$W/roots"
	refused "Permission denied" as_nobody "$COORDFS" keygen "$W/roots/k"
	assert_eq "$(ls "$W/roots")" ""
}

t_a_full_disk_leaves_no_half_a_key() {
	mkdir "$W/small"
	mount -t tmpfs -o size=64k none "$W/small"
	head -c 1000000 /dev/zero >"$W/small/filler" 2>/dev/null || :
	refused "No space" "$COORDFS" keygen "$W/small/k"
	assert_fails test -e "$W/small/k"
	umount "$W/small"
}

t_usage() {
	refused "usage:" "$COORDFS" keygen
	refused "usage:" "$COORDFS" keygen ""
	refused "usage:" "$COORDFS" keygen "$W/a" "$W/b"
	assert_fails test -e "$W/a"
	assert_match "$("$COORDFS" keygen -h)" "usage: coordfs keygen FILE*"
}

t_a_directory_of_that_name_can_be_mounted() {
	mkdir -p "$MNT"
	(cd "$W" && "$COORDFS" ./keygen "$MNT")
	echo +1 >"$MNT/counters/c"
	stop_mount
	assert_eq "$(sed -n 's/^format=//p' "$W/keygen/member")" 1
}

# start_refused WORDS OPTIONS
start_refused() {
	mkdir -p "$MNT"
	refused "$1" "$COORDFS" "$DATA" "$MNT" -o "$2"
	assert_fails test -e "$DATA"
}

t_a_start_wants_a_good_key() {
	local listen=listen=tcp://127.0.0.1:0
	start_refused "No such file" "$listen,key=$W/none"
	start_refused "regular file" "$listen,key=$W"
	: >"$W/empty"
	chmod 600 "$W/empty"
	start_refused "key=$W/empty:" "$listen,key=$W/empty"
	head -c 40 "$W/k" >"$W/half"
	chmod 600 "$W/half"
	start_refused "key=$W/half:" "$listen,key=$W/half"
	sed 's/^coordfs-key-1/coordfs-key-2/' "$W/k" >"$W/newer"
	chmod 600 "$W/newer"
	start_refused "key=$W/newer:" "$listen,key=$W/newer"
	cp "$W/k" "$W/shared"
	chmod 640 "$W/shared"
	start_refused "chmod 600" "$listen,key=$W/shared"
}

t_an_address_of_the_network_wants_a_key() {
	start_refused "give key=FILE" "listen=tcp://10.0.0.1:7400"
	start_refused "give key=FILE" "listen=tcp://[fd00::1]:7400"
	start_refused "give key=FILE" "listen=tcp://127.0.0.1:0,join=tcp://192.0.2.1:7400"
	start_refused "contradict" "listen=tcp://10.0.0.1:7400,key=$W/k,insecure"
	start_refused "give listen" "join=tcp://127.0.0.1:7400"
	start_refused "listen=tcp://127.0.0.1" "listen=tcp://127.0.0.1"
	start_refused "join=" "listen=tcp://127.0.0.1:0,join=tcp://127.0.0.1:7400+"
}

t_with_a_key_it_serves() {
	start_mount -o "listen=tcp://127.0.0.1:0,key=$W/k"
	echo 5 >"$MNT/counters/c"
	assert_eq "$(cat "$MNT/counters/c")" 5
	stop_mount
}

run_cases
