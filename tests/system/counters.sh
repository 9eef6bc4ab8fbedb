#!/bin/bash
# counters/: set, add, compare-and-set, ids, bounds, overflow, replies on the handle, and the tools that people use.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount || bail "no mount"
C=$MNT/counters

# set_to NAME VALUE
set_to() { echo "=$2" >"$C/$1"; }

assert_value() { assert_eq "$(cat "$C/$1")" "$2" "value of $1"; }

# refused ERRNO NAME TEXT: one write, refused, value as before
refused() {
	local before
	before=$(cat "$C/$2")
	assert_errno "$1" open O_WRONLY "$C/$2" : write "$3"
	assert_value "$2" "$before"
}

t_touch_makes_zero() {
	touch "$C/a"
	assert_content "$C/a" '0\n'
	touch "$C/a"
	assert_content "$C/a" '0\n'
}

t_the_first_write_makes_it() {
	echo 7 >"$C/first"
	assert_content "$C/first" '7\n'
	echo +7 >"$C/second"
	assert_content "$C/second" '7\n'
}

t_set() {
	echo 10 >"$C/a"
	assert_content "$C/a" '10\n'
	echo '=-10' >"$C/a"
	assert_content "$C/a" '-10\n'
	echo '=4' >"$C/a"
	assert_content "$C/a" '4\n'
	echo 0007 >"$C/a"
	assert_content "$C/a" '7\n'
	echo '=-0' >"$C/a"
	assert_content "$C/a" '0\n'
}

t_add() {
	set_to a 10
	echo +5 >"$C/a"
	assert_value a 15
	echo -20 >"$C/a"
	assert_value a -5
	echo +0 >"$C/a"
	assert_value a -5
	echo +005 >"$C/a"
	assert_value a 0
}

t_appending_is_the_same() {
	set_to a 1
	echo +1 >>"$C/a"
	assert_value a 2
	echo 10 >>"$C/a"
	assert_value a 10
}

t_opening_with_truncation_changes_nothing() {
	set_to a 42
	: >"$C/a"
	assert_value a 42
	assert_op 42'\n' open 'O_RDWR|O_TRUNC' "$C/a" : read
}

t_a_last_line_without_newline_is_whole() {
	set_to a 1
	printf +2 >"$C/a"
	assert_value a 3
}

t_a_write_of_nothing_is_nothing() {
	set_to a 5
	assert_op 0 open O_WRONLY "$C/a" : write ''
	printf '' >"$C/a"
	assert_value a 5
}

t_several_lines_are_one_request() {
	set_to a 1
	assert_op 15 open O_RDWR "$C/a" : write '10\n+1\n+1\n=5\n+3\n'
	assert_value a 8
}

t_several_lines_with_one_bad_change_nothing() {
	set_to a 1
	refused EINVAL a '+1\n+1\nx\n+1\n'
	refused EINVAL a 'x\n+1\n'
	refused EINVAL a '+1\n\n+1\n'
	refused ECANCELED a '+1\ncas 1 5\n'
	refused ERANGE a '=9223372036854775807\n+1\n-1\n'
}

t_compare_and_set() {
	set_to a 9
	echo "cas 9 10" >"$C/a"
	assert_value a 10
	refused ECANCELED a 'cas 9 11\n'
	echo "cas 10 -3" >"$C/a"
	echo "cas -3 -4" >"$C/a"
	assert_value a -4
}

t_compare_and_set_sees_the_lines_before() {
	set_to a 0
	assert_op 24 open O_WRONLY "$C/a" : write 'cas 0 1\ncas 1 2\ncas 2 9\n'
	assert_value a 9
}

t_one_compare_and_set_of_many_wins() {
	local i won
	set_to race 0
	for i in {1..20}; do
		("$OP" open O_WRONLY "$C/race" : write "cas 0 $i\n" >"$W/race.$i" || :) &
	done
	wait
	won=$(grep -Lx ECANCELED "$W"/race.*)
	assert_eq "$(wc -w <<<"$won")" 1 "winners"
	assert_value race "${won##*.}"
}

t_the_reply_comes_on_the_same_handle() {
	local v
	set_to a 10
	exec 3<>"$C/a"
	echo +1 >&3
	read -r v <&3
	assert_eq "$v" 11
	echo +1 >&3
	read -r v <&3
	assert_eq "$v" 12
	exec 3>&-
}

t_a_reply_is_of_that_write_not_of_later_ones() {
	set_to a 10
	actor x
	assert_ask 0 x open O_RDWR "$C/a"
	assert_ask 3 x write '+1\n'
	set_to a 50
	assert_ask '11\n' x read
	assert_ask '' x read
	assert_ask '50\n' x pread 0
}

t_a_reply_whatever_the_offset() {
	set_to a 1
	assert_op '2\n' open O_RDWR "$C/a" : write '+1\n' : pread 0
	assert_op '3\n' open O_RDWR "$C/a" : write '+1\n' : pread 1000
	assert_op '4\n' open O_RDWR "$C/a" : pwrite 500 '+1\n' : pread 500
	assert_op '' open O_RDWR "$C/a" : write '+1\n' : read : read
}

t_a_reply_in_small_pieces() {
	set_to a 122
	assert_op '2' open O_RDWR "$C/a" : write '+1\n' : read 1 : read 1
	assert_op '4' open O_RDWR "$C/a" : write '+1\n' : read 1 : read 1 : read 1
	assert_op '' open O_RDWR "$C/a" : write '+1\n' : read 3 : read 1 : read 1
}

t_several_lines_reply_with_the_last_result() {
	set_to a 1
	assert_op '13\n' open O_RDWR "$C/a" : write '+1\n+10\n+1\n' : read
}

t_a_refused_write_has_no_reply() {
	set_to a 1
	actor x
	assert_ask 0 x open O_RDWR "$C/a"
	assert_ask EINVAL x write 'no\n'
	assert_ask '1\n' x pread 0
}

t_the_same_id_counts_once() {
	set_to a 0
	echo "+1 id=one" >"$C/a"
	echo "+1 id=one" >"$C/a"
	echo "+100 id=one" >"$C/a"
	assert_value a 1
	echo "+1 id=two" >"$C/a"
	assert_value a 2
}

t_a_repeat_gives_the_first_result() {
	set_to a 10
	assert_op '11\n' open O_RDWR "$C/a" : write '+1 id=r\n' : read
	set_to a 500
	assert_op '11\n' open O_RDWR "$C/a" : write '+1 id=r\n' : read
	assert_value a 500
}

t_ids_are_of_one_counter() {
	set_to a 0
	set_to b 0
	echo "+1 id=same" >"$C/a"
	echo "+1 id=same" >"$C/b"
	assert_value a 1
	assert_value b 1
}

t_the_id_of_a_refused_request_stays_free() {
	set_to a 9223372036854775807
	assert_errno ERANGE open O_WRONLY "$C/a" : write '+1 id=free\n'
	assert_errno ECANCELED open O_WRONLY "$C/a" : write 'cas 3 4 id=free\n'
	set_to a 1
	echo "+1 id=free" >"$C/a"
	assert_value a 2
}

t_ids_go_with_any_request() {
	set_to a 0
	echo "5 id=set" >"$C/a"
	echo "cas 5 6 id=cas" >"$C/a"
	echo "=9 id=set" >"$C/a"
	echo "cas 1 2 id=cas" >"$C/a"
	assert_value a 6
}

t_bad_ids() {
	local long
	set_to a 1
	long=$(printf '%255s' '' | tr ' ' x)
	refused EINVAL a '+1 id=\n'
	refused EINVAL a "+1 id=x$long\n"
	refused EINVAL a '+1 id=a b\n'
	refused EINVAL a '+1  id=a\n'
	refused EINVAL a '+1 id=a \n'
	refused EINVAL a '+1 id=a\x01\n'
	refused EINVAL a '+1 id=a\xff\n'
	refused EINVAL a '+1 ID=a\n'
	refused EINVAL a 'id=a\n'
	echo "+1 id=$long" >"$C/a"
	assert_value a 2
}

t_ids_within_one_write() {
	set_to a 0
	refused EINVAL a '+1 id=twice\n+1 id=twice\n+1 x\n'
	assert_op 24 open O_WRONLY "$C/a" : write '+1 id=twice\n+1 id=twice\n'
	assert_value a 1
}

t_malformed() {
	local text
	set_to a 3
	for text in '\n' ' \n' '1 \n' ' 1\n' '\t1\n' '1\t\n' '1\r\n' '+ 1\n' '=+5\n' '= 5\n' '=\n' '+\n' '-\n' '--1\n' '++1\n' '+-1\n' \
		'=--1\n' '1e3\n' '1.0\n' '0x10\n' '1,000\n' 'x\n' 'cas\n' 'cas 3\n' 'cas 3 4 5\n' 'cas  3 4\n' 'cas 3  4\n' 'cas +3 4\n' \
		'cas 3 +4\n' 'cas =3 4\n' 'CAS 3 4\n' 'cas3 4\n' '\0' '1\0\n' '\0001\n' '\xff\xfe\n' '\xc3\xa9\n' '١\n'; do
		refused EINVAL a "$text"
	done
}

t_the_reason_stands_in_info() {
	set_to a 3
	refused EINVAL a '1e3\n'
	assert_error counters/a '?*'
	refused ERANGE a '99999999999999999999\n'
	assert_error counters/a '?*'
}

t_the_ends_of_64_bits() {
	echo 9223372036854775807 >"$C/a"
	assert_value a 9223372036854775807
	echo '=-9223372036854775808' >"$C/a"
	assert_value a -9223372036854775808
	echo 0 >"$C/a"
	echo -9223372036854775808 >"$C/a"
	assert_value a -9223372036854775808
	echo "cas -9223372036854775808 9223372036854775807" >"$C/a"
	assert_value a 9223372036854775807
}

t_numbers_beyond_64_bits() {
	local text
	set_to a 0
	for text in 9223372036854775808 99999999999999999999 =-9223372036854775809 +9223372036854775808 -9223372036854775809 \
		'cas 0 9223372036854775808' "$(printf '9%.0s' {1..300})"; do
		refused ERANGE a "$text\n"
	done
}

t_overflow() {
	set_to a 9223372036854775807
	refused ERANGE a '+1\n'
	refused ERANGE a '+9223372036854775807\n'
	set_to a -9223372036854775808
	refused ERANGE a '-1\n'
	refused ERANGE a '-9223372036854775808\n'
}

t_bounds() {
	set_to b 5
	echo min=0 >"$MNT/.info/counters/b"
	echo max=10 >"$MNT/.info/counters/b"
	assert_eq "$(info min counters/b)/$(info max counters/b)" 0/10
	refused ERANGE b '+6\n'
	refused ERANGE b '-6\n'
	refused ERANGE b '11\n'
	refused ERANGE b '=-1\n'
	refused ERANGE b 'cas 5 11\n'
	echo +5 >"$C/b"
	echo -10 >"$C/b"
	assert_value b 0
}

t_bounds_that_the_value_breaks_are_refused() {
	set_to c 50
	assert_errno ERANGE open O_WRONLY "$MNT/.info/counters/c" : write 'max=10\n'
	assert_errno ERANGE open O_WRONLY "$MNT/.info/counters/c" : write 'min=51\n'
	echo 10 >"$C/c"
	echo max=10 >"$MNT/.info/counters/c"
	refused ERANGE c '+1\n'
}

t_bounds_are_taken_away_by_an_empty_value() {
	set_to d 5
	echo max=5 >"$MNT/.info/counters/d"
	refused ERANGE d '+1\n'
	echo max= >"$MNT/.info/counters/d"
	echo +1 >"$C/d"
	assert_value d 6
}

t_bad_bounds() {
	local text
	set_to e 5
	for text in 'min=x\n' 'min=1e3\n' 'max=--1\n' 'max = 9\n' 'limit=9\n'; do
		assert_errno EINVAL open O_WRONLY "$MNT/.info/counters/e" : write "$text"
	done
	assert_errno ERANGE open O_WRONLY "$MNT/.info/counters/e" : write 'max=99999999999999999999\n'
	echo +1000 >"$C/e"
	assert_value e 1005
}

t_the_size_is_true() {
	set_to a 12345
	assert_eq "$(stat -c %s "$C/a")" 6
	assert_eq "$(wc -c <"$C/a")" 6
	test -s "$C/a"
	set_to a 7
	assert_eq "$(stat -c %s "$C/a")" 2
}

t_every_reader_reads_right() {
	set_to a 1234
	assert_eq "$(<"$C/a")" 1234
	assert_eq "$(head -n 1 "$C/a")" 1234
	assert_eq "$(tail -n 1 "$C/a")" 1234
	assert_eq "$(dd if="$C/a" bs=1 2>/dev/null)" 1234
	assert_eq "$(grep -c 1234 "$C/a")" 1
	assert_eq "$(awk '{ print $1 + 1 }' "$C/a")" 1235
	assert_eq "$(perl -e 'open F, shift; print <F> + 1' "$C/a")" 1235
	assert_eq "$(python3 -c 'import sys; print(int(open(sys.argv[1]).read()) + 1)' "$C/a")" 1235
	assert_eq "$(node -e 'console.log(+require("fs").readFileSync(process.argv[1]) + 1)' "$C/a")" 1235
}

t_mmap() {
	set_to a 4321
	assert_op '4321\n' open O_RDONLY "$C/a" : map private 5 ro : peek 0 5
	assert_op '4321\n' open O_RDWR "$C/a" : map private 5 : peek 0 5 : poke 0 9 : peek 0 5 : close : open O_RDONLY "$C/a" : read
}

t_cp() {
	set_to a 77
	rm -f "$C/copy"
	cp "$C/a" "$C/copy"
	assert_value copy 77
	set_to a 78
	cp "$C/a" "$C/copy"
	assert_value copy 78
	echo 79 >"$W/plain"
	cp "$W/plain" "$C/copy"
	assert_value copy 79
	cp "$C/copy" "$W/out"
	assert_content "$W/out" '79\n'
	echo junk >"$W/plain"
	assert_fails cp "$W/plain" "$C/copy"
	assert_value copy 79
}

t_mv_renames_and_replaces() {
	set_to a 1
	set_to b 2
	mv "$C/a" "$C/renamed"
	assert_value renamed 1
	assert_errno ENOENT stat "$C/a"
	mv "$C/renamed" "$C/b"
	assert_value b 1
	assert_errno ENOENT stat "$C/renamed"
}

t_mv_brings_the_ids_along() {
	set_to a 0
	echo "+1 id=moved" >"$C/a"
	mv "$C/a" "$C/moved"
	echo "+1 id=moved" >"$C/moved"
	assert_value moved 1
	set_to a 0
	echo "+1 id=moved" >"$C/a"
	assert_value a 1
}

t_an_ordinary_file_moved_over_one_sets_it_or_is_refused() {
	set_to a 5
	echo 66 >"$MNT/files/number"
	if mv "$MNT/files/number" "$C/a" 2>/dev/null; then assert_value a 66; else assert_value a 5; fi
	echo 67 >"$W/number"
	mv "$W/number" "$C/a"
	assert_value a 67
	assert_eq "$(stat -c %F "$C/a")" 'regular file'
	echo +1 >"$C/a"
	assert_value a 68
}

t_sed_in_place() {
	set_to a 41
	sed -i 's/41/42/' "$C/a"
	assert_value a 42
	echo +1 >"$C/a"
	assert_value a 43
	assert_eq "$(find "$C" -name 'sed*')" ""
}

t_rm() {
	set_to gone 1
	rm "$C/gone"
	assert_errno ENOENT open O_RDONLY "$C/gone"
	touch "$C/gone"
	assert_value gone 0
}

t_chmod_and_chown() {
	set_to m 1
	chmod 640 "$C/m"
	chown 65534:65533 "$C/m"
	assert_op 'f 0640 1 65534 65533 2' stat "$C/m"
	assert_value m 1
}

t_modes_are_enforced() {
	set_to m2 1
	chmod 600 "$C/m2"
	assert_errno EACCES as 65534 65534 : open O_RDONLY "$C/m2"
	chmod 644 "$C/m2"
	assert_errno EACCES as 65534 65534 : open O_WRONLY "$C/m2"
	assert_op '1\n' as 65534 65534 : open O_RDONLY "$C/m2" : read
}

t_truncate() {
	set_to a 5
	truncate -s 0 "$C/a"
	assert_value a 5
	assert_errno EINVAL truncate "$C/a" 1
	assert_errno EINVAL truncate "$C/a" 100000
	assert_errno EINVAL open O_RDWR "$C/a" : ftruncate 9
	assert_op ok open O_RDWR "$C/a" : ftruncate 0
	assert_value a 5
}

t_no_hard_links() {
	set_to a 5
	assert_errno EPERM link "$C/a" "$C/link"
	assert_errno ENOENT stat "$C/link"
}

t_directories() {
	mkdir -p "$C/dir/sub"
	echo 3 >"$C/dir/sub/n"
	assert_content "$C/dir/sub/n" '3\n'
	mv "$C/dir/sub" "$C/dir/other"
	assert_content "$C/dir/other/n" '3\n'
	assert_errno ENOTEMPTY rmdir "$C/dir/other"
	rm -r "$C/dir"
	assert_errno ENOENT stat "$C/dir"
}

t_exclusive_creation() {
	rm -f "$C/excl"
	assert_op 0 open 'O_WRONLY|O_CREAT|O_EXCL' "$C/excl"
	assert_errno EEXIST open 'O_WRONLY|O_CREAT|O_EXCL' "$C/excl"
}

t_rename_flags() {
	set_to a 1
	set_to b 2
	assert_errno EEXIST rename "$C/a" "$C/b" noreplace
	assert_op ok rename "$C/a" "$C/b" exchange
	assert_value a 2
	assert_value b 1
}

t_forty_adders_lose_nothing() {
	local i
	set_to sum 0
	for i in {1..40}; do
		(for _ in {1..10}; do echo +1 >"$C/sum"; done) &
	done
	wait
	assert_value sum 400
}

t_fetch_and_add_never_gives_a_number_twice() {
	local i
	set_to ticket 0
	for i in {1..20}; do
		(for _ in {1..10}; do "$OP" open O_RDWR "$C/ticket" : write '+1\n' : read; done >"$W/tickets.$i") &
	done
	wait
	assert_eq "$(cat "$W"/tickets.* | sort -u | wc -l)" 200
	assert_value ticket 200
}

t_a_thousand_lines_in_one_write() {
	local text
	set_to many 0
	text=$(printf '+1\\n%.0s' {1..1000})
	assert_op 3000 open O_WRONLY "$C/many" : write "$text"
	assert_value many 1000
}

t_too_much_in_one_write() {
	set_to big 1
	assert_errno EFBIG open O_WRONLY "$C/big" : write "$(printf '+1\\n%.0s' {1..5000})"
	assert_errno EFBIG open O_WRONLY "$C/big" : fill 100000 1
	assert_value big 1
}

# Offsets run on behind the end; the kernel is made to send such writes side by side, and nobody must notice.
t_many_writers_on_open_handles() {
	set_to many 0
	python3 - "$C/many" <<-'PYTHON'
	import os, sys
	path, writers, adds = sys.argv[1], 8, 200

	def write_all(out):
	    fd = os.open(path, os.O_RDWR)
	    results = []
	    for i in range(adds):
	        assert os.write(fd, b"+1\n") == 3
	        if i % 10 == 9:
	            results.append(int(os.pread(fd, 64, 3 * i + 3)))
	    os.write(out, " ".join(map(str, results)).encode() + b"\n")

	ends, out = os.pipe()
	children = []
	for _ in range(writers):
	    pid = os.fork()
	    if pid == 0:
	        write_all(out)
	        os._exit(0)
	    children.append(pid)
	os.close(out)
	while children:
	    size = os.stat(path).st_size
	    assert 2 <= size <= 5, f"size {size}"
	    with open(path, "rb") as f:
	        assert f.read().strip().isdigit()
	    pid, status = os.waitpid(-1, os.WNOHANG)
	    assert status == 0
	    if pid:
	        children.remove(pid)
	results = open(ends).read().split()
	assert len(results) == writers * adds // 10 == len(set(results)), "replies are not of one's own write"
	fd = os.open(path, os.O_RDONLY)
	text = os.pread(fd, 64, 0)
	assert text == b"%d\n" % (writers * adds), text
	assert os.lseek(fd, 0, os.SEEK_END) == len(text) == os.fstat(fd).st_size
	PYTHON
	echo +1 >>"$C/many"
	assert_value many 1601
}

t_reading_is_harmless() {
	local before
	set_to a 5
	before=$(info revision counters/a)
	grep -r . "$C" >/dev/null
	find "$C" -type f -exec cat {} + >/dev/null
	tar -cf "$W/counters.tar" -C "$MNT" counters
	assert_value a 5
	assert_eq "$(info revision counters/a)" "$before" revision
}

t_values_and_ids_survive_kill_9() {
	set_to keep 5
	echo "+1 id=kept" >"$C/keep"
	echo max=7 >"$MNT/.info/counters/keep"
	chmod 604 "$C/keep"
	crash_and_restart
	assert_value keep 6
	echo "+1 id=kept" >"$C/keep"
	assert_value keep 6
	echo +1 >"$C/keep"
	refused ERANGE keep '+1\n'
	assert_op 'f 0604 1 0 0 2' stat "$C/keep"
}

t_values_survive_a_clean_restart() {
	set_to keep2 99
	restart_mount
	assert_value keep2 99
}

run_cases
