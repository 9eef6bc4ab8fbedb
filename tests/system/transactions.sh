#!/bin/bash
# transactions/: begin, the view, what conflicts and what does not, commit, rollback, outcomes, owners, time.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
X=$MNT/transactions
C=$MNT/counters
F=$MNT/files

begin() { mkdir "$X/$1"; }
commit() { echo commit >"$X/$1/ctl"; }
status() { cat "$X/$1/status"; }
value() { cat "$C/$1"; }

# conflicts T [WORDS]: its commit is refused, error= and status say why
conflicts() {
	assert_errno ECANCELED open O_WRONLY "$X/$1/ctl" : write 'commit\n'
	assert_match "$(status "$1")" "aborted *${2-}*"
	assert_error "transactions/$1" "*${2-}*"
}
commits() {
	assert_op '7' open O_WRONLY "$X/$1/ctl" : write 'commit\n'
	assert_match "$(status "$1")" 'committed [1-9]*'
}

# ---- begin, view, end ----

t_what_is_in_it() {
	begin t
	assert_eq "$(ls -U "$X/t" | tr '\n' ' ')" "ctl status counters files locks fences "
	assert_eq "$(stat -c '%a %U' "$X/t" "$X/t/ctl" "$X/t/status" | tr '\n' ' ')" "700 root 600 root 400 root "
	assert_content "$X/t/status" 'active\n'
	assert_eq "$(stat -c %s "$X/t/status")" 7
	assert_eq "$(ls "$X")" t
	rmdir "$X/t"
	assert_eq "$(ls "$X")" ""
}

t_a_commit_is_seen_only_then() {
	echo 1 >"$C/a"
	begin t
	echo +1 >"$X/t/counters/a"
	echo text >"$X/t/files/new"
	assert_eq "$(cat "$X/t/counters/a") $(cat "$X/t/files/new")" "2 text"
	assert_content "$C/a" '1\n'
	[ ! -e "$F/new" ] || fail "seen before the commit"
	commits t
	assert_content "$C/a" '2\n'
	assert_content "$F/new" 'text\n'
	rmdir "$X/t"
}

# close(2) does not wait for what it brings about; mkdir does
t_the_view_holds_what_was_closed_before() {
	local i
	for i in $(seq 20); do
		echo text >"$F/closed"
		: >"$F/closed"
		mkdir "$X/closed"
		assert_eq "$(cat "$X/closed/files/closed")" ""
		rmdir "$X/closed"
	done
}

t_the_view_stands_still() {
	echo 1 >"$C/still"
	echo old >"$F/still"
	begin t
	echo 2 >"$C/still"
	echo new >"$F/still"
	touch "$F/later"
	assert_content "$X/t/counters/still" '1\n'
	assert_content "$X/t/files/still" 'old\n'
	[ ! -e "$X/t/files/later" ] || fail "later is there"
	assert_match "$(ls "$X/t/files")" '*still*'
	commits t
	rmdir "$X/t"
}

# 256 MiB are kept of what others replace while somebody may still want to see it
t_a_view_that_is_given_up() {
	local i
	echo 1 >"$C/old"
	seq 200000 | head -c 1048576 >"$W/big"
	cp "$W/big" "$F/big"
	begin old
	assert_content "$X/old/counters/old" '1\n'
	for ((i = 0; i < 300; i++)); do
		begin "v$i"
		cp "$W/big" "$F/big"
	done
	assert_fails cat "$X/old/counters/old"
	assert_eq "$(status old)" 'aborted too much was changed meanwhile: old versions are no longer kept'
	assert_errno ECANCELED open O_WRONLY "$X/old/ctl" : write 'commit\n'
	assert_error transactions/old '*old versions are no longer kept*'
	assert_content "$X/v299/counters/old" '1\n'
	cmp "$X/v299/files/big" "$W/big" || fail "the youngest view is torn"
	assert_eq "$(status v299)" active
	rmdir "$X"/*
	rm "$F/big"
}

t_every_operation_is_staged() {
	mkdir "$F/ops"
	echo a >"$F/ops/gone"
	echo b >"$F/ops/moved"
	begin t
	(
		cd "$X/t/files/ops" || exit
		echo one >f
		echo two >>f
		ln f hard
		ln -s f soft
		mkdir d d/e
		mv moved d/e/here
		rm gone
		setfattr -n user.k -v v f
		chmod 640 f
		chown 65534:65534 hard
		touch -d 2001-01-01 f
		truncate -s 5 f
		printf X | dd of=f bs=1 seek=1 conv=notrunc status=none
		assert_content soft 'oXe\nt'
		assert_eq "$(readlink soft)" f
		assert_eq "$(getfattr --only-values -n user.k hard)" v
		assert_eq "$(getfattr f | grep -c user.k)" 1
		assert_eq "$(stat -c '%a %u %h' f)" '640 65534 2'
		assert_content d/e/here 'b\n'
	)
	assert_eq "$(ls "$F/ops" | tr '\n' ' ')" "gone moved "
	echo 5 >"$X/t/counters/made"
	commits t
	assert_eq "$(cd "$F/ops" && find . | sort | tr '\n' ' ')" ". ./d ./d/e ./d/e/here ./f ./hard ./soft "
	assert_content "$F/ops/soft" 'oXe\nt'
	assert_eq "$(getfattr --only-values -n user.k "$F/ops/f") $(stat -c '%a %u %h' "$F/ops/f")" 'v 640 65534 2'
	assert_content "$C/made" '5\n'
	rmdir "$X/t"
}

t_rollback() {
	echo 1 >"$C/rb"
	begin t
	echo 5 >"$X/t/counters/rb"
	echo rollback >"$X/t/ctl"
	assert_content "$X/t/status" 'aborted rolled back\n'
	assert_content "$C/rb" '1\n'
	assert_errno ECANCELED open O_WRONLY "$X/t/ctl" : write 'commit\n'
	echo rollback >"$X/t/ctl"
	rmdir "$X/t"
	assert_eq "$(info status transactions/t)" "aborted rolled back"
}

t_rmdir_rolls_back() {
	echo 1 >"$C/rd"
	begin t
	echo 5 >"$X/t/counters/rd"
	rmdir "$X/t"
	assert_content "$C/rd" '1\n'
	assert_eq "$(info status transactions/t)" "aborted removed"
	begin untouched
	rmdir "$X/untouched"
	assert_errno ENOENT stat "$MNT/.info/transactions/untouched"
}

t_rm_rf_rolls_back() {
	echo 1 >"$C/rr"
	mkdir -p "$F/rr/deep"
	touch "$F/rr/deep/file"
	begin t
	echo 5 >"$X/t/counters/rr"
	rm -rf "$X/t"
	assert_eq "$(ls "$X")" ""
	assert_content "$C/rr" '1\n'
	[ -e "$F/rr/deep/file" ] || fail "removed in earnest"
	assert_eq "$(info status transactions/t)" "aborted removed"
}

t_removing_ctl_empties_the_view() {
	touch "$F/rc"
	begin t
	rm "$X/t/ctl"
	assert_eq "$(ls "$X/t" | tr '\n' ' ')" "counters fences files locks status "
	assert_eq "$(ls "$X/t/files")" ""
	assert_content "$X/t/status" 'aborted removed\n'
	assert_errno ENOENT stat "$X/t/files/rc"
	assert_errno EROFS open 'O_CREAT|O_WRONLY' "$X/t/files/x"
	rmdir "$X/t/files"
	rmdir "$X/t"
}

t_after_the_commit_it_is_read_only() {
	echo 1 >"$C/ro"
	begin t
	echo +1 >"$X/t/counters/ro"
	commits t
	commits t
	assert_eq "$(value ro)" 2 "committed once"
	assert_errno EROFS open O_WRONLY "$X/t/counters/ro"
	assert_errno EROFS open 'O_CREAT|O_WRONLY' "$X/t/files/x"
	assert_errno EROFS mkdir "$X/t/files/x"
	assert_errno EROFS unlink "$X/t/counters/ro"
	assert_errno EROFS rename "$X/t/counters/ro" "$X/t/counters/rp"
	assert_errno EROFS chmod "$X/t/counters/ro" 600
	assert_errno EROFS open O_WRONLY "$X/t/ctl" : write 'require locks/x 1\n'
	assert_errno EPERM open O_WRONLY "$X/t/ctl" : write 'rollback\n'
	assert_content "$X/t/counters/ro" '2\n'
	rm -rf "$X/t"
	assert_match "$(info status transactions/t)" 'committed [1-9]*'
}

t_a_handle_that_outlives_the_end() {
	echo 1 >"$C/late"
	begin t
	actor late
	assert_ask 0 late open O_RDWR "$X/t/counters/late"
	assert_ask 3 late write '+1\n'
	commits t
	assert_ask EROFS late write '+1\n'
	rmdir "$X/t"
	assert_ask EROFS late write '+1\n'
	begin other
	assert_ask EROFS late write '+1\n'
	assert_content "$X/other/counters/late" '2\n'
	rmdir "$X/other"
	assert_content "$C/late" '2\n'
}

# ---- what conflicts ----

t_a_value_that_was_read() {
	echo 1 >"$C/read"
	begin t
	cat "$X/t/counters/read" >/dev/null
	echo 5 >"$X/t/counters/other"
	echo +1 >"$C/read"
	conflicts t counters/read
	rmdir "$X/t"
	[ ! -e "$C/other" ] || fail "half applied"
}

t_a_file_that_was_read() {
	echo 1 >"$F/read"
	begin t
	cat "$X/t/files/read" >/dev/null
	touch "$X/t/files/mark"
	echo 2 >"$F/read"
	conflicts t files/read
	rmdir "$X/t"
}

t_a_name_that_was_looked_up() {
	begin t
	[ ! -e "$X/t/files/absent" ]
	touch "$X/t/files/mark"
	touch "$F/absent"
	conflicts t files/absent
	rmdir "$X/t"
	begin t
	[ -e "$X/t/files/absent" ]
	touch "$X/t/files/mark"
	rm "$F/absent"
	conflicts t files/absent
	rmdir "$X/t"
}

t_names_that_were_listed() {
	mkdir "$F/listed"
	begin t
	ls "$X/t/files/listed"
	touch "$X/t/files/mark"
	touch "$F/listed/new"
	conflicts t files/listed
	rmdir "$X/t"
}

t_an_append_is_a_read() {
	echo 1 >"$F/app"
	begin t
	echo 2 >>"$X/t/files/app"
	echo 3 >>"$F/app"
	conflicts t files/app
	rmdir "$X/t"
}

t_a_reply_on_the_handle_is_a_read() {
	echo 1 >"$C/reply"
	begin t
	assert_op '2\n' open O_RDWR "$X/t/counters/reply" : write '+1\n' : read
	echo +1 >"$C/reply"
	conflicts t counters/reply
	rmdir "$X/t"
}

t_a_compare_is_a_read() {
	echo 1 >"$C/cas"
	begin t
	assert_errno ECANCELED open O_WRONLY "$X/t/counters/cas" : write 'cas 7 8\n'
	echo "cas 1 9" >"$X/t/counters/cas"
	echo +0 >"$C/cas"
	echo 1 >"$C/cas"
	conflicts t counters/cas
	rmdir "$X/t"
}

t_additions_conflict_with_nobody() {
	local i
	echo 100 >"$C/add"
	for i in 1 2 3; do
		begin t$i
		echo "+$i" >"$X/t$i/counters/add"
	done
	echo +1000 >"$C/add"
	for i in 3 1 2; do
		commits t$i
		rmdir "$X/t$i"
	done
	assert_content "$C/add" '1106\n'
}

t_blind_writes_do_not_conflict() {
	echo 1 >"$C/blind"
	echo 1 >"$F/blind"
	begin t
	echo 10 >"$X/t/counters/blind"
	echo mine >"$X/t/files/blind"
	echo +1 >"$C/blind"
	echo theirs >"$F/blind"
	commits t
	assert_content "$C/blind" '10\n'
	assert_content "$F/blind" 'mine\n'
	rmdir "$X/t"
}

t_sizes_and_times_are_not_guarded() {
	echo 1 >"$F/stat"
	begin t
	stat "$X/t/files/stat" >/dev/null
	touch "$X/t/files/stat-mark"
	echo 22 >"$F/stat"
	commits t
	rmdir "$X/t"
}

t_own_objects_guard_nothing() {
	begin t
	echo 1 >"$X/t/counters/own"
	cat "$X/t/counters/own" >/dev/null
	mkdir "$X/t/files/own"
	ls "$X/t/files/own"
	touch "$C/unrelated"
	commits t
	rmdir "$X/t"
}

t_a_bound_that_no_longer_holds() {
	echo 1 >"$C/bound"
	begin t
	echo +5 >"$X/t/counters/bound"
	echo max=3 >"$MNT/.info/counters/bound"
	conflicts t 'above max'
	assert_content "$C/bound" '1\n'
	rmdir "$X/t"
}

t_one_that_changed_nothing_commits_as_of_its_begin() {
	local begun
	echo 1 >"$C/none"
	begin t
	begun=$(info begin transactions/t)
	cat "$X/t/counters/none" >/dev/null
	echo 2 >"$C/none"
	commit t
	assert_eq "$(status t)" "committed $begun"
	rmdir "$X/t"
	assert_eq "$(info status transactions/t)" "committed $begun"
}

# Two accounts, transfers from eight processes, a reader that must see the sum at every moment.
t_transfers_keep_the_sum() {
	local i
	echo 1000 >"$C/from"
	echo 1000 >"$C/to"
	for i in 1 2 3 4; do
		(
			n=0
			while [ $n -lt 10 ]; do
				t=$(mktemp -d "$X/XXXXXXXX")
				amount=$((RANDOM % 10))
				v=$(cat "$t/counters/from") w=$(cat "$t/counters/to")
				echo $((v - amount)) >"$t/counters/from"
				echo $((w + amount)) >"$t/counters/to"
				if echo commit 2>/dev/null >"$t/ctl"; then n=$((n + 1)); fi
				rmdir "$t"
			done
			touch "$W/ready.$i"
		) &
	done
	while [ "$(find "$W" -name 'ready.*' | wc -l)" -lt 4 ]; do
		t=$(mktemp -d "$X/readXXXXXX")
		assert_eq $(($(cat "$t/counters/from") + $(cat "$t/counters/to"))) 2000
		rmdir "$t"
	done
	assert_eq $(($(value from) + $(value to))) 2000
}

# ---- require ----

t_require_a_lock() {
	local token
	touch "$MNT/locks/req"
	exec 9>"$MNT/locks/req"
	flock 9
	token=$(info token locks/req)
	begin t
	echo "require locks/req $token" >"$X/t/ctl"
	echo 1 >"$X/t/counters/req"
	commits t
	rmdir "$X/t"
	begin t
	printf 'require /locks/req %s\n' "$token" >"$X/t/ctl"
	echo 2 >"$X/t/counters/req"
	flock -u 9
	flock 9
	conflicts t locks/req
	rmdir "$X/t"
	assert_content "$C/req" '1\n'
}

t_require_and_commit_in_one_write() {
	touch "$MNT/locks/one"
	exec 9>"$MNT/locks/one"
	flock 9
	begin t
	echo 1 >"$X/t/counters/one"
	assert_match "$("$OP" open O_RDWR "$X/t/ctl" : write "require locks/one $(info token locks/one)\ncommit\n" : read)" 'committed *\n'
	rmdir "$X/t"
}

t_bad_requests() {
	local text
	touch "$MNT/locks/bad"
	begin t
	echo 5 >"$X/t/counters/bad"
	for text in x '\n' ' commit' 'commit ' 'Commit' 'commit\0' 'commit\r\n' 'commit\nrollback\n' 'commit\ncommit\n' 'rollback now' \
		require 'require 5' 'require locks/bad' 'require locks/bad x' 'require locks/bad -1' 'require locks 5' \
		'require  5' '\xff' 'x\ncommit\n'; do
		assert_errno EINVAL open O_WRONLY "$X/t/ctl" : write "$text"
		[ -n "$(info error transactions/t)" ] || fail "no words for '$text'"
	done
	assert_errno ENOENT open O_WRONLY "$X/t/ctl" : write 'require locks/none 5'
	assert_errno ERANGE open O_WRONLY "$X/t/ctl" : write 'require locks/bad 99999999999999999999'
	head -c 70000 /dev/zero | tr '\0' '\n' >"$W/huge"
	assert_fails dd if="$W/huge" of="$X/t/ctl" bs=70000
	assert_content "$X/t/status" 'active\n'
	commits t
	rmdir "$X/t"
	assert_content "$C/bad" '5\n'
}

t_replies_on_ctl() {
	begin t
	assert_op 'active\n' open O_RDONLY "$X/t/ctl" : read
	assert_op 'aborted rolled back\n' open O_RDWR "$X/t/ctl" : write 'rollback\n' : read
	rmdir "$X/t"
}

# ---- what a transaction refuses ----

t_refusals() {
	echo 5 >"$C/ref"
	touch "$F/ref" "$MNT/locks/ref"
	echo 5 >"$MNT/fences/ref"
	begin t
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$X/t/x"
	assert_errno EPERM mkdir "$X/t/x"
	assert_errno EPERM rmdir "$X/t/files"
	assert_errno EPERM unlink "$X/t/status"
	assert_errno EPERM rename "$X/t" "$X/u"
	assert_errno EPERM rename "$X/t/ctl" "$X/t/files/ctl"
	assert_errno EXDEV rename "$X/t/files/ref" "$F/x"
	assert_errno EXDEV rename "$F/ref" "$X/t/files/x"
	assert_errno EXDEV link "$F/ref" "$X/t/files/x"
	assert_errno EXDEV rename "$X/t/files/ref" "$X/t/counters/x"
	assert_errno EROFS open O_WRONLY "$X/t/fences/ref" : write '6\n'
	assert_errno EROFS open 'O_CREAT|O_WRONLY' "$X/t/locks/x"
	assert_errno EROFS open 'O_CREAT|O_EXCL|O_WRONLY' "$X/t/fences/x"
	assert_errno EROFS unlink "$X/t/locks/ref"
	assert_errno EINVAL open O_WRONLY "$X/t/counters/ref" : write 'x\n'
	assert_error transactions/t 'counters/ref: *x*'
	assert_errno ERANGE open O_WRONLY "$X/t/counters/ref" : write '+9223372036854775807\n'
	assert_errno EPERM link "$X/t/counters/ref" "$X/t/counters/hard"
	assert_errno EOPNOTSUPP open O_RDWR "$X/t/files/ref" : flock ex
	assert_errno EOPNOTSUPP open O_RDWR "$X/t/files/ref" : lock w 0 0
	assert_errno EACCES open O_WRONLY "$X/t/status"
	assert_errno EPERM mkdir "$X/.self"
	assert_errno EEXIST mkdir "$X/t"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$X/file"
	assert_errno EPERM chmod "$X/t" 755
	assert_content "$X/t/counters/ref" '5\n'
	rmdir "$X/t"
}

t_two_transactions_are_two_trees() {
	touch "$F/two"
	begin a
	begin b
	assert_errno EXDEV rename "$X/a/files/two" "$X/b/files/x"
	assert_errno EXDEV link "$X/a/files/two" "$X/b/files/x"
	rmdir "$X/a" "$X/b"
}

t_a_short_write_at_the_limit() {
	begin t
	assert_op 4096 open 'O_CREAT|O_WRONLY' "$X/t/files/big" : pwrite 1044479 x : lseek 1044480 : fill 8192
	assert_eq "$(stat -c %s "$X/t/files/big")" 1048576
	assert_errno EFBIG open 'O_WRONLY|O_APPEND' "$X/t/files/big" : write x
	assert_errno EFBIG truncate "$X/t/files/big" 1048577
	rmdir "$X/t"
}

t_limits() {
	local i
	begin t
	for i in $(seq 20); do head -c 1000000 /dev/zero >"$X/t/files/l$i" || break; done 2>/dev/null
	[ "$i" -lt 12 ] || fail "20 MB staged"
	assert_error transactions/t '*limit*'
	rm -rf "$X/t"
	(cd "$X" && mkdir $(seq -f n%g 1000))
	assert_errno EDQUOT mkdir "$X/more"
	assert_eq "$(ls "$X" | wc -l)" 1000
	rmdir "$X"/n*
	begin more
	rmdir "$X/more"
}

# ---- names and outcomes ----

t_names() {
	local name
	for name in $'\xff\xfe' 'a b' 'a@b' '-x' "$(printf 'n%.0s' $(seq 255))"; do
		mkdir -- "$X/$name"
		echo +1 >"$X/$name/counters/names"
		echo commit >"$X/$name/ctl"
		rmdir -- "$X/$name"
		assert_match "$(info status "transactions/$name")" 'committed [1-9]*'
	done
	assert_content "$C/names" '5\n'
	assert_errno ENAMETOOLONG mkdir "$X/$(printf 'n%.0s' $(seq 256))"
	rmdir "$(mktemp -d "$X/XXXXXX")"
}

t_the_latest_outcome_under_a_name() {
	local member
	member=$(cat "$MNT/cluster/self")
	begin t
	touch "$X/t/files/out"
	echo rollback >"$X/t/ctl"
	rmdir "$X/t"
	assert_eq "$(info status transactions/t)" "aborted rolled back"
	begin t
	assert_eq "$(info status transactions/t)" active "the live one first"
	assert_eq "$(info status "transactions/t@$member")" active
	touch "$X/t/files/out"
	commits t
	rmdir "$X/t"
	assert_match "$(info status transactions/t)" 'committed *'
	assert_match "$(info status "transactions/t@$member")" 'committed *'
	assert_eq "$(info member transactions/t)" "$member"
	assert_errno ENOENT stat "$MNT/.info/transactions/t@elsewhere"
	assert_errno ENOENT stat "$MNT/.info/transactions/never"
	assert_errno EACCES as 65534 65534 : open O_WRONLY "$MNT/.info/transactions/t"
}

t_outcomes_survive_a_crash() {
	local before
	echo 1 >"$C/crash"
	begin fin
	echo +1 >"$X/fin/counters/crash"
	commits fin
	before=$(info status transactions/fin)
	begin back
	echo +1 >"$X/back/counters/crash"
	echo rollback >"$X/back/ctl"
	begin open
	echo +1 >"$X/open/counters/crash"
	crash_and_restart -o allow_other
	assert_eq "$(info status transactions/fin)" "$before"
	assert_eq "$(info status transactions/back)" "aborted rolled back"
	assert_errno ENOENT stat "$MNT/.info/transactions/open"
	assert_eq "$(ls "$X")" ""
	assert_content "$C/crash" '2\n'
	begin fin
	echo +1 >"$X/fin/counters/crash"
	commits fin
	assert_content "$C/crash" '3\n'
	rmdir "$X/fin"
}

t_unmounting_rolls_back() {
	echo 1 >"$C/um"
	begin um
	echo +1 >"$X/um/counters/um"
	restart_mount -o allow_other
	assert_content "$C/um" '1\n'
	assert_eq "$(ls "$X")" ""
	assert_match "$(info status transactions/um)" 'aborted *'
}

# ---- time, users ----

t_timeout() {
	begin t
	assert_eq "$(info timeout transactions/t)" 3600
	echo 5 >"$X/t/counters/time"
	echo timeout=1 >"$MNT/.info/transactions/t"
	assert_eq "$(info timeout transactions/t)" 1
	wait_until 5 grep -q '^aborted timeout' "$X/t/status"
	assert_errno ECANCELED open O_WRONLY "$X/t/ctl" : write 'commit\n'
	rmdir "$X/t"
	assert_match "$(info status transactions/t)" 'aborted timeout*'
	[ ! -e "$C/time" ] || fail "applied"
}

t_what_can_be_set() {
	local text
	begin t
	for text in timeout=x timeout= timeout=-1 min=3 max= 'break 3' status=committed; do
		assert_errno EINVAL open O_WRONLY "$MNT/.info/transactions/t" : write "$text"
	done
	assert_errno ERANGE open O_WRONLY "$MNT/.info/transactions/t" : write timeout=0
	assert_errno ERANGE open O_WRONLY "$MNT/.info/transactions/t" : write timeout=31536001
	assert_eq "$(info timeout transactions/t)" 3600
	setfattr -n user.coordfs.timeout -v 50 "$X/t"
	assert_eq "$(getfattr --absolute-names --only-values -n user.coordfs.timeout "$X/t")" 50
	echo rollback >"$X/t/ctl"
	assert_errno EROFS open O_WRONLY "$MNT/.info/transactions/t" : write timeout=5
	rmdir "$X/t"
}

t_nobody_else_enters() {
	chmod 666 "$C/a"
	as_nobody mkdir "$X/his"
	as_nobody sh -c "echo +1 >'$X/his/counters/a'"
	assert_eq "$(stat -c %u "$X/his")" 65534
	begin mine
	assert_fails as_nobody ls "$X/mine"
	assert_fails as_nobody cat "$X/mine/status"
	assert_fails as_nobody rmdir "$X/mine"
	assert_fails as_nobody sh -c "echo timeout=1 >'$MNT/.info/transactions/mine'"
	as_nobody grep -qx status=active "$MNT/.info/transactions/mine"
	as_nobody sh -c "echo commit >'$X/his/ctl' && rmdir '$X/his'"
	assert_eq "$(info uid transactions/his)" 65534
	rmdir "$X/mine"
}

t_permissions_hold_inside() {
	echo 1 >"$C/closed"
	chmod 600 "$C/closed"
	as_nobody mkdir "$X/his"
	assert_fails as_nobody cat "$X/his/counters/closed"
	assert_fails as_nobody sh -c "echo +1 >'$X/his/counters/closed'"
	assert_fails as_nobody rm -f "$X/his/counters/closed"
	as_nobody rmdir "$X/his"
}

t_two_processes_in_one() {
	echo 1 >"$C/both"
	begin t
	actor one
	actor two
	assert_ask 0 one open O_RDWR "$X/t/counters/both"
	assert_ask 0 two open O_RDWR "$X/t/counters/both"
	assert_ask 3 one write '+1\n'
	assert_ask 3 two write '+1\n'
	assert_ask '3\n' two read
	commits t
	rmdir "$X/t"
	assert_content "$C/both" '3\n'
}

t_tools_inside() {
	mkdir "$F/tools"
	begin t
	(
		cd "$X/t/files/tools" || exit
		seq 1000 >numbers
		sed -i 's/^500$/five hundred/' numbers
		cp numbers copy
		tar cf - numbers copy | (mkdir un && tar xf - -C un)
		diff -r numbers un/numbers
		grep -c hundred numbers copy >counts
	)
	commits t
	rmdir "$X/t"
	assert_eq "$(find "$F/tools" -type f | wc -l)" 5
	grep -qx 'five hundred' "$F/tools/un/copy"
}

run_cases
