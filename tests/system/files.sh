#!/bin/bash
# files/: what a local file system does, one megabyte at most.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
F=$MNT/files
MIB=1048576

# assert_nobody WANT COMMAND…, refuse_nobody ERRNO COMMAND…: op as another user
assert_nobody() { local want=$1; shift; assert_op "$want" as 65534 65534 : "$@"; }
refuse_nobody() { local want=$1; shift; assert_errno "$want" as 65534 65534 : "$@"; }
inode() { stat -c %i "$1"; }

# ---- content -------------------------------------------------------------------------------------------------------

t_write_and_read() {
	echo hello >"$F/a"
	assert_content "$F/a" 'hello\n'
	assert_op 'f 0644 1 0 0 6' stat "$F/a"
}

t_any_byte() {
	head -c 200000 /dev/urandom >"$W/random"
	cp "$W/random" "$F/random"
	cmp "$W/random" "$F/random"
	crash_and_restart -o allow_other
	cmp "$W/random" "$F/random"
}

t_a_whole_mebibyte() {
	head -c $MIB /dev/urandom >"$W/mib"
	cp "$W/mib" "$F/mib"
	cmp "$W/mib" "$F/mib"
	assert_eq "$(stat -c %s "$F/mib")" $MIB
}

t_more_than_a_mebibyte() {
	assert_op $MIB open 'O_RDWR|O_CREAT|O_TRUNC' "$F/full" : fill $MIB
	assert_errno EFBIG open 'O_WRONLY|O_APPEND' "$F/full" : write x
	assert_errno EFBIG open O_WRONLY "$F/full" : pwrite $MIB x
	assert_errno EFBIG truncate "$F/full" $((MIB + 1))
	assert_errno EFBIG open O_WRONLY "$F/full" : ftruncate 1099511627776
	assert_eq "$(stat -c %s "$F/full")" $MIB
}

t_what_passes_the_limit_is_a_short_write() {
	assert_op $MIB open 'O_WRONLY|O_CREAT|O_TRUNC' "$F/short" : fill $((MIB + 1))
	assert_op 10 open 'O_WRONLY|O_TRUNC' "$F/short" : lseek $((MIB - 10)) : fill 20
	assert_eq "$(stat -c %s "$F/short")" $MIB
}

t_partial_writes_and_holes() {
	assert_op '\x00\x00\x00abc\x00\x00XY' open 'O_RDWR|O_CREAT|O_TRUNC' "$F/holes" : pwrite 3 abc : pwrite 8 XY : pread 0
	assert_op 'aXYdef' open 'O_RDWR|O_CREAT|O_TRUNC' "$F/mid" : write abcdef : pwrite 1 XY : pread 0
}

t_writes_across_chunks() {
	local size
	for size in 16383 16384 16385 32768 65537; do
		head -c $size /dev/urandom >"$W/chunk"
		cp "$W/chunk" "$F/chunk"
		cmp "$W/chunk" "$F/chunk"
		printf MARK | dd of="$F/chunk" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
		printf MARK | dd of="$W/chunk" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
		cmp "$W/chunk" "$F/chunk"
	done
}

t_truncate() {
	echo 0123456789 >"$F/t"
	truncate -s 4 "$F/t"
	assert_content "$F/t" 0123
	truncate -s 6 "$F/t"
	assert_content "$F/t" '0123\0\0'
	truncate -s 0 "$F/t"
	assert_content "$F/t" ''
	assert_op '\x00\x00' open O_RDWR "$F/t" : ftruncate 2 : read
}

t_truncate_to_the_limit_costs_no_room() {
	: >"$F/sparse"
	truncate -s $MIB "$F/sparse"
	assert_eq "$(tr -d '\0' <"$F/sparse" | wc -c)" 0
	assert_eq "$(wc -c <"$F/sparse")" $MIB
}

t_shrinking_and_growing_again_shows_zeros() {
	head -c 50000 /dev/zero | tr '\0' x >"$F/regrow"
	truncate -s 10 "$F/regrow"
	truncate -s 50000 "$F/regrow"
	assert_eq "$(tr -d '\0' <"$F/regrow" | wc -c)" 10
}

t_append() {
	echo one >"$F/log"
	echo two >>"$F/log"
	assert_content "$F/log" 'one\ntwo\n'
	assert_op 'one\ntwo\nthree\n' open 'O_RDWR|O_APPEND' "$F/log" : write 'three\n' : pread 0
}

t_appends_of_many_processes_all_stay_whole() {
	local i
	: >"$F/shared"
	for i in {1..20}; do
		(for n in {1..20}; do echo "writer $i line $n" >>"$F/shared"; done) &
	done
	wait
	assert_eq "$(wc -l <"$F/shared")" 400
	assert_eq "$(grep -cEx 'writer [0-9]+ line [0-9]+' "$F/shared")" 400
	assert_eq "$(sort -u "$F/shared" | wc -l)" 400
	for i in {1..20}; do
		assert_eq "$(sed -n "s/^writer $i line //p" "$F/shared" | tr '\n' ' ')" "$(echo {1..20} "")" "order of writer $i"
	done
}

t_appends_through_two_handles() {
	actor x
	actor y
	assert_ask 0 x open 'O_WRONLY|O_APPEND|O_CREAT' "$F/two"
	assert_ask 0 y open 'O_WRONLY|O_APPEND' "$F/two"
	ask x write '1' && ask y write '2' && ask x write '3' && ask y write '4'
	assert_content "$F/two" 1234
}

# ---- rule 3 --------------------------------------------------------------------------------------------------------

t_nobody_sees_the_file_empty_while_it_is_rewritten() {
	local i text empty=0
	echo round 0 >"$F/config"
	(for i in {1..300}; do echo "round $i" >"$F/config"; done; touch "$W/written") &
	while [ ! -e "$W/written" ]; do
		text=$(cat "$F/config")
		[ -n "$text" ] || empty=$((empty + 1))
	done
	assert_eq $empty 0 "empty reads"
	assert_content "$F/config" 'round 300\n'
}

t_an_open_with_truncation_shows_nothing_before_its_write() {
	echo before >"$F/rule3"
	actor x
	assert_ask 0 x open 'O_WRONLY|O_TRUNC' "$F/rule3"
	assert_content "$F/rule3" 'before\n'
	assert_eq "$(stat -c %s "$F/rule3")" 7
	assert_ask 2 x write 'a\n'
	assert_content "$F/rule3" 'a\n'
	assert_ask 2 x write 'b\n'
	assert_content "$F/rule3" 'a\nb\n'
}

t_an_open_with_truncation_and_no_write_empties_at_close() {
	echo before >"$F/empty"
	actor x
	assert_ask 0 x open 'O_WRONLY|O_TRUNC' "$F/empty"
	assert_content "$F/empty" 'before\n'
	assert_ask ok x close
	wait_until 5 cmp -s "$F/empty" /dev/null
	echo before >"$F/empty"
	: >"$F/empty"
	assert_content "$F/empty" ''
	assert_eq "$(stat -c %s "$F/empty")" 0
}

t_an_open_with_truncation_reads_as_empty_on_its_own_handle() {
	echo before >"$F/own"
	assert_op '' open 'O_RDWR|O_TRUNC' "$F/own" : read
	echo before >"$F/own"
	assert_op 'x' open 'O_RDWR|O_TRUNC' "$F/own" : write x : pread 0
}

# ---- memory --------------------------------------------------------------------------------------------------------

t_mmap_private() {
	echo mapped >"$F/map"
	assert_op 'mapped\n' open O_RDONLY "$F/map" : map private 7 ro : peek 0 7
	assert_op 'XXpped\n' open O_RDONLY "$F/map" : map private 7 : poke 0 XX : peek 0 7
	assert_content "$F/map" 'mapped\n'
}

t_mmap_shared() {
	echo mapped >"$F/map"
	assert_op ok open O_RDWR "$F/map" : map shared 7 : poke 0 MM : msync : unmap
	assert_content "$F/map" 'MMpped\n'
	echo again >"$F/map"
	assert_op 'again\n' open O_RDONLY "$F/map" : map shared 6 ro : peek 0 6
}

t_mmap_shared_between_processes() {
	head -c 8192 /dev/zero >"$F/map2"
	actor x
	actor y
	ask x open O_RDWR "$F/map2" && ask x map shared 8192
	ask y open O_RDWR "$F/map2" && ask y map shared 8192
	assert_ask ok x poke 4096 word
	assert_ask word y peek 4096 4
	assert_ask ok x msync
	assert_eq "$(dd if="$F/map2" bs=1 skip=4096 count=4 2>/dev/null)" word
}

# ---- names ---------------------------------------------------------------------------------------------------------

t_directories() {
	mkdir "$F/d"
	assert_match "$(op stat "$F/d")" 'd 0755 2 0 0 *'
	mkdir "$F/d/e"
	assert_eq "$(stat -c %h "$F/d")" 3
	assert_errno EEXIST mkdir "$F/d"
	assert_errno ENOTEMPTY rmdir "$F/d"
	assert_errno EISDIR unlink "$F/d/e"
	rmdir "$F/d/e"
	assert_eq "$(stat -c %h "$F/d")" 2
	rmdir "$F/d"
	assert_errno ENOENT rmdir "$F/d"
	echo >"$F/plain"
	assert_errno ENOTDIR rmdir "$F/plain"
	assert_errno ENOTDIR mkdir "$F/plain/x"
	assert_errno EISDIR open O_WRONLY "$F"
	assert_errno ENOENT open O_RDONLY "$F/none"
	assert_errno EEXIST open 'O_WRONLY|O_CREAT|O_EXCL' "$F/plain"
}

t_hard_links() {
	echo shared >"$F/l1"
	ln "$F/l1" "$F/l2"
	assert_eq "$(stat -c %h "$F/l1")" 2
	assert_eq "$(inode "$F/l1")" "$(inode "$F/l2")"
	echo more >>"$F/l2"
	assert_content "$F/l1" 'shared\nmore\n'
	rm "$F/l1"
	assert_eq "$(stat -c %h "$F/l2")" 1
	assert_content "$F/l2" 'shared\nmore\n'
	assert_errno EEXIST link "$F/l2" "$F/l2"
	assert_errno ENOENT link "$F/none" "$F/l3"
	mkdir "$F/ld"
	assert_errno EPERM link "$F/ld" "$F/l3"
	assert_errno EXDEV link "$F/l2" "$MNT/locks/l2"
}

t_symbolic_links() {
	echo target >"$F/target"
	ln -s target "$F/s"
	assert_op target readlink "$F/s"
	assert_content "$F/s" 'target\n'
	assert_op 'l 0777 1 0 0 6' stat "$F/s"
	ln -sf ../locks "$F/s2"
	assert_eq "$(readlink -f "$F/s2")" "$MNT/locks"
	ln -s none "$F/dangling"
	assert_errno ENOENT open O_RDONLY "$F/dangling"
	ln -s loop "$F/loop"
	assert_errno ELOOP open O_RDONLY "$F/loop"
	assert_errno ELOOP open 'O_RDONLY|O_NOFOLLOW' "$F/s"
	assert_errno EINVAL readlink "$F/target"
	assert_errno EEXIST symlink x "$F/s"
	assert_op ok symlink "$(printf 'x%.0s' {1..4095})" "$F/long"
	assert_eq "$(readlink "$F/long" | wc -c)" 4096
}

t_rename() {
	echo 1 >"$F/r1"
	echo 2 >"$F/r2"
	local number
	number=$(inode "$F/r1")
	mv "$F/r1" "$F/r2"
	assert_content "$F/r2" '1\n'
	assert_eq "$(inode "$F/r2")" "$number"
	assert_errno ENOENT stat "$F/r1"
	assert_errno ENOENT rename "$F/r1" "$F/r3"
	mkdir -p "$F/rd/sub" "$F/re"
	assert_errno EINVAL rename "$F/rd" "$F/rd/sub/x"
	assert_errno EISDIR rename "$F/r2" "$F/rd"
	assert_errno ENOTDIR rename "$F/rd" "$F/r2"
	assert_errno ENOTEMPTY rename "$F/re" "$F/rd"
	assert_op ok rename "$F/rd/sub" "$F/re"
	assert_op ok rename "$F/re" "$F/rd"
	assert_errno EXDEV rename "$F/r2" "$MNT/locks/r2"
	assert_errno EXDEV rename "$F/r2" "$MNT/counters/r2"
}

t_rename_to_itself_and_to_its_own_link() {
	echo x >"$F/self"
	ln "$F/self" "$F/self2"
	assert_op ok rename "$F/self" "$F/self"
	assert_op ok rename "$F/self" "$F/self2"
	assert_content "$F/self" 'x\n'
	assert_content "$F/self2" 'x\n'
}

t_rename_noreplace() {
	echo 1 >"$F/n1"
	echo 2 >"$F/n2"
	assert_errno EEXIST rename "$F/n1" "$F/n2" noreplace
	assert_content "$F/n2" '2\n'
	assert_op ok rename "$F/n1" "$F/n3" noreplace
	assert_content "$F/n3" '1\n'
}

t_rename_exchange() {
	echo 1 >"$F/x1"
	mkdir -p "$F/x2/in"
	assert_op ok rename "$F/x1" "$F/x2" exchange
	assert_content "$F/x2" '1\n'
	test -d "$F/x1/in"
	assert_errno ENOENT rename "$F/x1" "$F/none" exchange
	assert_errno EINVAL rename "$F/x1" "$F/x1/in" exchange
}

t_rename_with_flags_that_nobody_knows() {
	echo 1 >"$F/u1"
	echo 2 >"$F/u2"
	assert_errno EINVAL rename "$F/u1" "$F/u2" whiteout
	assert_errno EINVAL rename "$F/u1" "$F/u2" 0x80
	assert_errno EINVAL rename "$F/u1" "$F/u2" 'noreplace|exchange'
	assert_content "$F/u2" '2\n'
}

t_rename_of_directories_keeps_what_is_below() {
	mkdir -p "$F/tree/a/b"
	echo deep >"$F/tree/a/b/f"
	mv "$F/tree" "$F/moved"
	assert_content "$F/moved/a/b/f" 'deep\n'
	mkdir "$F/elsewhere"
	mv "$F/moved/a" "$F/elsewhere/"
	assert_content "$F/elsewhere/a/b/f" 'deep\n'
	assert_eq "$(stat -c %h "$F/moved")" 2
	assert_eq "$(stat -c %i "$F/elsewhere/a/..")" "$(inode "$F/elsewhere")"
}

t_names_of_any_bytes() {
	local name
	mkdir "$F/names"
	for name in 'a b' $'new\nline' $'tab\t' '\xff\xfe' '日本語' '*?[' '-rf' '...' "quote'\""; do
		echo "$name" >"$F/names/$name"
		assert_eq "$(cat "$F/names/$name")" "$name"
	done
	assert_op ok mknod "$(printf '%s/names/\377\376' "$F")" reg
	assert_op 10 ls "$F/names"
	rm -r "$F/names"
}

t_a_hundred_thousand_names() {
	local i
	mkdir "$F/huge"
	# one by one would wait for the disk 100,000 times
	for i in {0..9}; do
		mkdir "$MNT/transactions/huge"
		assert_op ok many "$MNT/transactions/huge/files/huge" $((i * 10000 + 1)) $((i * 10000 + 10000))
		echo commit >"$MNT/transactions/huge/ctl"
		rmdir "$MNT/transactions/huge"
	done
	assert_op 100000 ls "$F/huge"
	assert_eq "$(find "$F/huge" -type f | sort -u | wc -l)" 100000
	assert_op ok mknod "$F/huge/one-more" reg
	assert_eq "$(find "$F/huge" -name one-more)" "$F/huge/one-more"
	assert_errno EEXIST mknod "$F/huge/99999" reg
}

t_readdir_while_names_come_and_go() {
	local list i
	mkdir "$F/busy"
	assert_op ok many "$F/busy" 1 3000
	(i=0; while [ ! -e "$W/listed" ]; do i=$((i + 1)); : >"$F/busy/new$i"; rm "$F/busy/new$i"; done) &
	for list in 1 2 3; do
		find "$F/busy" -type f -name '[0-9]*' >"$W/list.$list"
	done
	touch "$W/listed"
	wait
	for list in 1 2 3; do
		assert_eq "$(wc -l <"$W/list.$list")" 3000
		assert_eq "$(sort -u "$W/list.$list" | wc -l)" 3000
	done
}

t_rm_r_of_a_big_directory() {
	mkdir "$F/rmr"
	assert_op ok many "$F/rmr" 1 5000
	rm -r "$F/rmr"
	assert_errno ENOENT stat "$F/rmr"
}

t_special_files_are_refused() {
	assert_errno EPERM mknod "$F/fifo" fifo
	assert_errno EPERM mknod "$F/char" char
	assert_errno EPERM mknod "$F/socket" socket
	assert_eq "$(find "$F" -maxdepth 1 '(' -name fifo -o -name char -o -name socket ')')" ""
}

# ---- open files that are gone --------------------------------------------------------------------------------------

t_an_unlinked_file_lives_until_it_is_closed() {
	echo still here >"$F/unlinked"
	actor x
	ask x open O_RDWR "$F/unlinked"
	rm "$F/unlinked"
	assert_errno ENOENT stat "$F/unlinked"
	assert_ask 'still here\n' x pread 0
	echo another >"$F/unlinked"
	assert_ask 'still here\n' x pread 0
	assert_content "$F/unlinked" 'another\n'
}

t_an_unlinked_file_is_written_by_the_mount_that_has_it() {
	echo text >"$F/scratch"
	actor x
	ask x open O_RDWR "$F/scratch"
	rm "$F/scratch"
	assert_ask 3 x pwrite 0 abc
	assert_ask 'abct\n' x pread 0
	assert_ask 5 x size
}

t_a_replaced_file_stays_readable() {
	echo old >"$F/replaced"
	actor x
	ask x open O_RDONLY "$F/replaced"
	echo new >"$F/replacement"
	mv "$F/replacement" "$F/replaced"
	assert_ask 'old\n' x pread 0
	assert_content "$F/replaced" 'new\n'
}

# ---- owners, modes, times ------------------------------------------------------------------------------------------

t_umask_and_modes() {
	assert_op 0 umask 077 : open 'O_CREAT|O_WRONLY' "$F/um" 0666
	assert_op 'f 0600 1 0 0 0' stat "$F/um"
	assert_op ok umask 0 : mkdir "$F/umd" 0751
	assert_eq "$(stat -c %a "$F/umd")" 751
	chmod 4755 "$F/um"
	assert_eq "$(stat -c %a "$F/um")" 4755
}

t_another_user_is_kept_out() {
	echo secret >"$F/secret"
	chmod 600 "$F/secret"
	refuse_nobody EACCES open O_RDONLY "$F/secret"
	chmod 644 "$F/secret"
	assert_nobody 'secret\n' open O_RDONLY "$F/secret" : read
	refuse_nobody EACCES open O_WRONLY "$F/secret"
	refuse_nobody EACCES truncate "$F/secret" 0
	refuse_nobody EPERM chmod "$F/secret" 666
	refuse_nobody EPERM chown "$F/secret" 65534 65534
	refuse_nobody EACCES setxattr "$F/secret" user.x 1
	assert_content "$F/secret" 'secret\n'
	mkdir -m 700 "$F/private"
	echo >"$F/private/f"
	refuse_nobody EACCES stat "$F/private/f"
	refuse_nobody EACCES ls "$F/private"
	chmod 755 "$F/private"
	refuse_nobody EACCES open 'O_CREAT|O_WRONLY' "$F/private/mine"
	refuse_nobody EACCES unlink "$F/private/f"
	refuse_nobody EACCES mkdir "$F/private/d"
	refuse_nobody EACCES rename "$F/private/f" "$F/private/g"
}

t_another_user_owns_what_he_makes() {
	mkdir -m 777 "$F/public"
	assert_nobody 0 open 'O_CREAT|O_WRONLY' "$F/public/mine" 0600
	assert_op 'f 0600 1 65534 65534 0' stat "$F/public/mine"
	assert_nobody ok mkdir "$F/public/dir" 0700
	assert_match "$(op stat "$F/public/dir")" 'd 0700 2 65534 65534 *'
	assert_nobody ok symlink x "$F/public/link"
	assert_eq "$(stat -c %u:%g "$F/public/link")" 65534:65534
	assert_nobody ok chmod "$F/public/mine" 640
	refuse_nobody EPERM chown "$F/public/mine" 0 0
}

t_a_group_is_enforced() {
	echo group >"$F/group"
	chown 0:65534 "$F/group"
	chmod 640 "$F/group"
	assert_nobody 'group\n' open O_RDONLY "$F/group" : read
	refuse_nobody EACCES open O_WRONLY "$F/group"
	assert_errno EACCES as 1234 1234 : open O_RDONLY "$F/group"
}

t_the_sticky_bit() {
	mkdir -m 1777 "$F/sticky"
	echo root >"$F/sticky/roots"
	refuse_nobody EPERM unlink "$F/sticky/roots"
	refuse_nobody EPERM rename "$F/sticky/roots" "$F/sticky/x"
	assert_nobody 0 open 'O_CREAT|O_WRONLY' "$F/sticky/nobodys"
	refuse_nobody EPERM rename "$F/sticky/nobodys" "$F/sticky/roots"
	assert_nobody ok unlink "$F/sticky/nobodys"
}

t_the_top_is_for_all_and_sticky() {
	assert_nobody 0 open 'O_CREAT|O_WRONLY' "$F/of-nobody"
	echo >"$F/of-root"
	refuse_nobody EPERM unlink "$F/of-root"
}

t_setgid_directories_hand_down_their_group() {
	mkdir "$F/setgid"
	chown 0:65534 "$F/setgid"
	chmod 2775 "$F/setgid"
	echo >"$F/setgid/f"
	mkdir "$F/setgid/d"
	ln -s x "$F/setgid/l"
	assert_eq "$(stat -c %g "$F/setgid/f")" 65534
	assert_eq "$(stat -c %g:%a "$F/setgid/d")" 65534:2755
	assert_eq "$(stat -c %g "$F/setgid/l")" 65534
}

t_chown_clears_setuid() {
	echo >"$F/setuid"
	chmod 6755 "$F/setuid"
	chown 65534:65534 "$F/setuid"
	assert_eq "$(stat -c %a "$F/setuid")" 755
}

t_times() {
	echo >"$F/times"
	touch -d '2001-02-03 04:05:06.123456789 UTC' "$F/times"
	assert_eq "$(TZ=UTC stat -c '%x|%y' "$F/times")" '2001-02-03 04:05:06.123456789 +0000|2001-02-03 04:05:06.123456789 +0000'
	local now age
	now=$(date +%s)
	age=$((now - $(stat -c %Z "$F/times")))
	((age >= -2 && age <= 10)) || fail "ctime is $age s old"
	echo x >>"$F/times"
	age=$((now - $(stat -c %Y "$F/times")))
	((age >= -5 && age <= 10)) || fail "mtime is $age s old after a write"
	touch -a -d '1999-01-01 UTC' "$F/times"
	assert_eq "$(stat -c %X "$F/times")" 915148800
	touch -d '1969-12-31 23:00:00 UTC' "$F/times"
	assert_eq "$(stat -c %Y "$F/times")" -3600
	touch -d '2100-01-01 UTC' "$F/times"
	assert_eq "$(stat -c %Y "$F/times")" 4102444800
}

t_times_of_another_user() {
	echo >"$F/t2"
	chmod 644 "$F/t2"
	assert_fails as_nobody touch "$F/t2"
	chmod 666 "$F/t2"
	as_nobody touch "$F/t2"
	assert_fails as_nobody touch -d 2001-01-01 "$F/t2"
}

t_a_directory_changes_with_its_names() {
	local before
	mkdir "$F/mdir"
	touch -d 2001-01-01 "$F/mdir"
	before=$(stat -c %y "$F/mdir")
	echo >"$F/mdir/x"
	[ "$(stat -c %y "$F/mdir")" != "$before" ] || fail "mtime of the directory did not change"
}

t_statfs() {
	df "$F" >/dev/null
	df -i "$F" >/dev/null
	local room
	room=$(stat -f -c %a "$F")
	((room > 0)) || fail "no room according to statfs"
	assert_eq "$(stat -f -c %l "$F")" 255
}

# ---- extended attributes -------------------------------------------------------------------------------------------

t_xattrs() {
	echo x >"$F/xa"
	assert_op ok setxattr "$F/xa" user.color blue
	assert_op blue getxattr "$F/xa" user.color
	assert_match "$(op listxattr "$F/xa")" '*user.color *'
	assert_errno EEXIST setxattr "$F/xa" user.color red create
	assert_op ok setxattr "$F/xa" user.color red replace
	assert_op red getxattr "$F/xa" user.color
	assert_op ok removexattr "$F/xa" user.color
	assert_errno ENODATA getxattr "$F/xa" user.color
	assert_errno ENODATA removexattr "$F/xa" user.color
	assert_errno ENODATA setxattr "$F/xa" user.color red replace
	assert_op ok setxattr "$F/xa" user.bytes '\x00\xff\n'
	assert_op '\x00\xff\n' getxattr "$F/xa" user.bytes
	assert_op ok setxattr "$F/xa" user.empty ''
	assert_op '' getxattr "$F/xa" user.empty
}

t_xattrs_have_a_limit() {
	local i value
	echo x >"$F/xl"
	value=$(printf 'v%.0s' {1..16000})
	for i in 1 2 3 4; do assert_op ok setxattr "$F/xl" user.$i "$value"; done
	assert_errno ENOSPC setxattr "$F/xl" user.5 "$value"
	assert_op "$value" getxattr "$F/xl" user.4
	assert_op ok removexattr "$F/xl" user.1
	assert_op ok setxattr "$F/xl" user.5 "$value"
}

t_xattrs_survive_and_follow_the_file() {
	echo x >"$F/xs"
	setfattr -n user.kept -v yes "$F/xs"
	mv "$F/xs" "$F/xs2"
	crash_and_restart -o allow_other
	assert_op yes getxattr "$F/xs2" user.kept
	cp --preserve=xattr "$F/xs2" "$F/xs3"
	assert_op yes getxattr "$F/xs3" user.kept
}

t_other_namespaces_of_xattrs() {
	echo x >"$F/xn"
	assert_fails setfacl -m u:nobody:r "$F/xn"
	assert_errno ENODATA getxattr "$F/xn" user.none
	assert_errno ENODATA getxattr "$F/xn" security.capability
}

t_what_coordfs_knows_is_an_xattr() {
	echo x >"$F/known"
	assert_op "$(info revision files/known)" getxattr "$F/known" user.coordfs.revision
	assert_op "$(info type files/known)" getxattr "$F/known" user.coordfs.type
	assert_errno ENODATA getxattr "$F/known" user.coordfs.nonsense
}

# ---- calls that a local file system may refuse too -----------------------------------------------------------------

t_fsync_and_direct() {
	assert_op ok open 'O_RDWR|O_CREAT' "$F/sync" : write x : fsync
	assert_op x open 'O_RDWR|O_SYNC' "$F/sync" : pread 0
}

t_tmpfile_is_not_supported() { assert_errno EOPNOTSUPP open 'O_TMPFILE|O_RDWR' "$F"; }

t_fallocate_only_extends() {
	echo x >"$F/fa"
	assert_op 4096 open O_RDWR "$F/fa" : fallocate 0 4096 : size
	assert_op 4096 open O_RDWR "$F/fa" : fallocate 0 10 : size
	assert_op 'x\n\x00' open O_RDONLY "$F/fa" : read 3
	assert_errno EFBIG open O_RDWR "$F/fa" : fallocate 1 $MIB
	assert_fails fallocate --punch-hole --offset 0 --length 10 "$F/fa"
	assert_fails fallocate --collapse-range --offset 0 --length 4096 "$F/fa"
}

t_cp_and_install() {
	head -c 300000 /dev/urandom >"$W/big"
	cp --reflink=auto --sparse=always "$W/big" "$F/cp"
	cmp "$W/big" "$F/cp"
	cp "$F/cp" "$F/cp2"
	cmp "$W/big" "$F/cp2"
	install -m 640 "$W/big" "$F/installed"
	assert_eq "$(stat -c %a "$F/installed")" 640
	cmp "$W/big" "$F/installed"
}

t_nothing_else_can_be_made_in_the_root() {
	assert_errno EPERM mkdir "$MNT/x"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$MNT/x"
	assert_errno EPERM symlink x "$MNT/x"
	assert_errno EPERM rename "$F" "$MNT/x"
	assert_errno EPERM rmdir "$F"
	assert_errno ENOENT stat "$MNT/x"
}

run_cases
