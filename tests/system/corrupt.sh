#!/bin/bash
# Damage to the data directory, file by file: a start is refused with words and changes nothing, or all that was
# acknowledged is there. Never a start with less.
# shellcheck disable=SC2016 # for sh -c
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
export CASE_TIMEOUT=400
SAVED=$W/saved

# ---- a data directory with closed and open segments, snapshots and images ------------------------------------------

some_state() {
	local i adds
	# more than the log may hold: an image is written, and old segments go
	for i in {1..70}; do
		"$OP" open 'O_WRONLY|O_CREAT|O_TRUNC' "$MNT/files/again" : fill 900000 >/dev/null
	done
	wait_until 60 sh -c 'ls "$1"/image-* "$1"/raft/snapshot-*.meta' sh "$DATA" >/dev/null 2>&1 || return
	adds=$(printf ': write +1\\n %.0s' {1..700})
	for i in 1 2 3 4; do
		# shellcheck disable=SC2086 # words
		"$OP" open 'O_WRONLY|O_CREAT' "$MNT/counters/n" $adds >/dev/null
	done
	for i in {1..10}; do
		head -c 100000 /dev/urandom >"$MNT/files/$i"
	done
	mkdir "$MNT/files/dir"
	echo 41 >"$MNT/fences/f"
	flock "$MNT/locks/l" true
	for i in {1..100}; do echo "$i" >"$MNT/files/dir/$i"; done
	echo +1 >"$MNT/counters/n"
	mkdir "$MNT/counters/e"
	"$OP" setxattr "$MNT/counters/e" user.coordfs.consistency eventual >/dev/null || return
	for i in {1..40}; do echo +1 >"$MNT/counters/e/$((i % 7))"; done
}

digest() { (cd "$MNT" && find counters files fences locks -type f -exec sha256sum {} + | sort | sha256sum); }

start_mount || bail "no mount"
some_state || bail "the state cannot be made"
DIGEST=$(digest)
stop_mount
cp -a --sparse=always "$DATA" "$SAVED"

# Everything in the data directory but the lock file.
print_of() { (cd "$1" && find . ! -name lock | sort && find . -type f ! -name lock -exec cksum {} + | sort); }

# try_damaged WHAT: start on $DATA as it is now
try_damaged() {
	local status=0 before
	before=$(print_of "$DATA")
	timeout 60 "$COORDFS" "$DATA" "$MNT" >"$W/out" 2>&1 || status=$?
	if [ $status = 0 ]; then
		[ "$(digest)" = "$DIGEST" ] || fail "$1: started, and not all is there"
		outcome=served
		stop_mount
	else
		assert_eq $status 1 "$1: exit status; it said: $(cat "$W/out")"
		assert_eq "$(wc -l <"$W/out")" 1 "$1: lines of words ($(cat "$W/out"))"
		assert_match "$(cat "$W/out")" "coordfs: *$DATA*" "$1"
		[ "$(print_of "$DATA")" = "$before" ] || fail "$1: refused, and the directory has changed"
		is_mounted && fail "$1: refused, and mounted"
		outcome=refused
	fi
	echo "$1: $outcome $(cat "$W/out")"
}

# damage COMMAND…: restore, do that in the data directory, try
damage() {
	kill_mount
	rm -rf "$DATA"
	cp -a --sparse=always "$SAVED" "$DATA"
	(cd "$DATA" && "$@")
	try_damaged "$*"
}

must_refuse() {
	damage "$@"
	assert_eq $outcome refused "$*"
}

must_serve() {
	damage "$@"
	assert_eq $outcome served "$*"
}

# flip FILE OFFSET: one bit of the byte there
flip() {
	python3 - "$1" "$2" <<-'PYTHON'
		import sys
		with open(sys.argv[1], 'r+b') as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte ^ 0x10]))
	PYTHON
}

# used FILE: its length without zeros at the end
used() { python3 -c 'import sys; print(len(open(sys.argv[1], "rb").read().rstrip(b"\0")))' "$1"; }

# In SAVED, the files whose every used byte counts.
log_files() { (cd "$SAVED" && find raft -type f ! -name 'metadata*' | sort); }
segments() { log_files | grep -v snapshot; }
snapshots() { (cd "$SAVED" && find raft -name 'snapshot-*' ! -name '*.meta' | sort); }
eventual_log() { (cd "$SAVED" && find . -maxdepth 1 -name 'eventual-*.log'); }
images() { (cd "$SAVED" && find . -maxdepth 1 -name 'image-*' | sort); }

# ---- cases ---------------------------------------------------------------------------------------------------------

t_undamaged_it_serves() { must_serve true; }

t_there_is_something_to_damage() {
	assert_match "$(segments | wc -l)" '[2-9]*'
	assert_match "$(snapshots | wc -l)" '[1-9]*'
	assert_match "$(images | wc -l)" '[1-9]*'
}

t_a_flipped_bit_anywhere() {
	local file size offset seed=${CORRUPT_SEED:-$((EPOCHSECONDS % 32768))}
	RANDOM=$seed
	echo "CORRUPT_SEED=$seed"
	for file in $(cd "$SAVED" && find . -type f ! -name lock | sort); do
		size=$(used "$SAVED/$file")
		((size > 0)) || continue
		for offset in 0 $((size - 1)) $(((RANDOM * 32768 + RANDOM) % size)) $(((RANDOM * 32768 + RANDOM) % size)); do
			damage flip "$file" $offset
		done
	done
}

t_a_flipped_bit_in_what_was_acknowledged_is_refused() {
	local file size
	# the last image and the log behind it are what a start reads
	file=$(images | tail -n 1)
	size=$(used "$SAVED/$file")
	must_refuse flip "$file" $((size / 2))
	must_refuse flip "$file" $((size - 1))
	file=$(segments | tail -n 1)
	must_refuse flip "$file" $(($(used "$SAVED/$file") / 2))
}

t_truncated_files() {
	local file size
	for file in $(log_files) $(images) member acknowledged $(eventual_log); do
		size=$(used "$SAVED/$file")
		damage truncate -s $((size / 2)) "$file"
		damage truncate -s $((size > 0 ? size - 1 : 0)) "$file"
		damage truncate -s 0 "$file"
	done
}

t_a_truncated_image_is_refused() {
	local file
	file=$(images | tail -n 1)
	must_refuse truncate -s $(($(used "$SAVED/$file") / 2)) "$file"
	must_refuse truncate -s 0 "$file"
}

t_removed_files() {
	local file
	for file in $(cd "$SAVED" && find . -type f ! -name lock | sort); do
		damage rm "$file"
	done
}

t_what_must_not_be_missing() {
	must_refuse rm member
	must_refuse rm -r raft
	must_refuse rm acknowledged
	must_refuse sh -c 'rm eventual-*.log'
	must_refuse sh -c 'rm raft/metadata*'
	must_refuse sh -c 'rm image-*'
	# shellcheck disable=SC2046
	must_refuse rm $(segments)
	must_refuse sh -c 'rm raft/*'
	must_refuse sh -c 'rm -r raft image-* acknowledged'
}

t_files_full_of_zeros_or_noise() {
	local file
	for file in $(log_files) $(images) member acknowledged; do
		damage dd if=/dev/zero of="$file" bs=4096 count=1 conv=notrunc status=none
		damage dd if=/dev/urandom of="$file" bs=4096 count=1 conv=notrunc status=none
	done
}

t_an_older_log_under_a_newer_record() {
	# a data directory put together from two backups
	kill_mount
	rm -rf "$DATA" "$W/newer"
	cp -a --sparse=always "$SAVED" "$DATA"
	start_mount
	for _ in {1..50}; do echo +1 >"$MNT/counters/n"; done
	stop_mount
	cp -a --sparse=always "$DATA" "$W/newer"
	must_refuse cp "$W/newer/acknowledged" acknowledged
}

t_a_newer_format() {
	must_refuse sed -i 's/^format=.*/format=99/' member
	assert_match "$(cat "$W/out")" '*newer*'
}

t_a_member_file_of_garbage() {
	must_refuse sh -c 'echo garbage >member'
	must_refuse sh -c ': >member'
	must_refuse sh -c 'rm member; mkdir member'
	must_refuse sh -c 'rm member; ln -s /etc/passwd member'
}

t_litter_of_interrupted_work_does_no_harm() {
	must_serve sh -c ': >image-99999.coordfs.new; : >image-7.tmp'
}

t_something_was_served_and_something_refused() {
	must_serve true
	must_refuse rm member
}

run_cases
