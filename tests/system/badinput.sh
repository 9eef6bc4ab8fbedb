#!/bin/bash
# What must be refused, everywhere: garbage to every file that takes requests, names that are too long, writes to what
# is read-only. Refused with the errno that says why, nothing changed, and the daemon stays.
# shellcheck disable=SC2016 # for sh -c
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"

GARBAGE=('\0' '\0\0\0\0\n' '\x01\x02\x03' '\xff\xfe\xfd\n' '\xc0\xaf\n' '+\n' '-\n' '=\n' '--1\n' '++1\n' '1e3\n' '0x1\n' '1 2 3\n'
	'99999999999999999999x\n' ' \n' '\n' '\t\n' '\r\n' '1\r\n' 'x=y=z\n' '=x\n' 'break\n' 'break -1\n' 'commit now\n' 'rollback!\n'
	'require\n' 'require x\n' 'require locks/x\n' 'require locks/x y\n' '%s%s%s%n\n' '../../etc/passwd\n' "\$(reboot)\n" "';drop table\n"
	'\xef\xbb\xbf1\n' 'é\n' 'NaN\n' 'null\n' 'id=x\n' '+1 id=\n')

# begin NAME: a transaction
begin() { mkdir "$MNT/transactions/$1"; }

# assert_garbage_refused PATH: each piece, none of them with a result; the errno is one of those the manual names
assert_garbage_refused() {
	local text got
	for text in "${GARBAGE[@]}"; do
		got=$("$OP" open O_WRONLY "$1" : write "$text") && fail "$1 took '$text' ($got)"
		case $got in
		EINVAL | ERANGE) ;;
		*) fail "$1 answered $got to '$text'" ;;
		esac
	done
}

t_garbage_to_a_counter() {
	echo 7 >"$MNT/counters/a"
	assert_garbage_refused "$MNT/counters/a"
	assert_content "$MNT/counters/a" '7\n'
}

t_garbage_to_a_fence() {
	echo 7 >"$MNT/fences/a"
	assert_garbage_refused "$MNT/fences/a"
	assert_content "$MNT/fences/a" '7\n'
}

t_garbage_to_info() {
	local path
	echo 7 >"$MNT/counters/i"
	echo 7 >"$MNT/fences/i"
	echo text >"$MNT/files/i"
	: >"$MNT/locks/i"
	mkdir "$MNT/files/idir"
	for path in counters/i fences/i files/i locks/i files/idir/.self; do
		assert_garbage_refused "$MNT/.info/$path"
	done
	assert_content "$MNT/counters/i" '7\n'
	assert_content "$MNT/files/i" 'text\n'
}

t_garbage_to_info_of_a_transaction() {
	begin ti
	assert_garbage_refused "$MNT/.info/transactions/ti"
	assert_eq "$(cat "$MNT/transactions/ti/status")" active
	rmdir "$MNT/transactions/ti"
}

t_garbage_to_ctl() {
	begin tc
	echo 1 >"$MNT/transactions/tc/counters/staged"
	assert_garbage_refused "$MNT/transactions/tc/ctl"
	assert_eq "$(cat "$MNT/transactions/tc/status")" active
	echo commit >"$MNT/transactions/tc/ctl"
	assert_content "$MNT/counters/staged" '1\n'
}

t_garbage_to_a_counter_in_a_transaction() {
	echo 7 >"$MNT/counters/tx"
	begin tx
	assert_garbage_refused "$MNT/transactions/tx/counters/tx"
	echo commit >"$MNT/transactions/tx/ctl"
	assert_content "$MNT/counters/tx" '7\n'
}

t_random_bytes_to_everything() {
	local path size
	echo 7 >"$MNT/counters/r"
	echo 7 >"$MNT/fences/r"
	begin tr
	for _ in {1..40}; do
		size=$((RANDOM % 3000 + 1))
		head -c $size /dev/urandom >"$W/random"
		for path in counters/r fences/r .info/counters/r .info/locks/.self transactions/tr/ctl transactions/tr/counters/r; do
			# a byte that is no letter or digit keeps it from being a request by chance
			assert_fails dd if=<(printf '\001'; cat "$W/random") of="$MNT/$path" bs=4096 iflag=fullblock oflag=append conv=notrunc
		done
	done
	assert_content "$MNT/counters/r" '7\n'
	assert_content "$MNT/fences/r" '7\n'
	rmdir "$MNT/transactions/tr"
}

t_huge_requests() {
	local path
	echo 7 >"$MNT/counters/h"
	echo 7 >"$MNT/fences/h"
	begin th
	for path in counters/h fences/h .info/counters/h transactions/th/ctl transactions/th/counters/h; do
		assert_errno EFBIG open O_WRONLY "$MNT/$path" : fill 100000 1
		assert_errno EFBIG open O_WRONLY "$MNT/$path" : fill 1000000 x
	done
	assert_content "$MNT/counters/h" '7\n'
	rmdir "$MNT/transactions/th"
}

t_empty_requests_are_nothing() {
	local path
	echo 7 >"$MNT/counters/e"
	echo 7 >"$MNT/fences/e"
	begin te
	for path in counters/e fences/e .info/counters/e transactions/te/ctl; do
		: >"$MNT/$path"
		assert_op 0 open O_WRONLY "$MNT/$path" : write ''
	done
	assert_content "$MNT/counters/e" '7\n'
	assert_content "$MNT/fences/e" '7\n'
	assert_eq "$(cat "$MNT/transactions/te/status")" active
	rmdir "$MNT/transactions/te"
}

t_writes_at_odd_offsets() {
	echo 7 >"$MNT/counters/o"
	assert_op 3 open O_WRONLY "$MNT/counters/o" : pwrite 4096 '+1\n'
	assert_op 3 open O_WRONLY "$MNT/counters/o" : pwrite 9007199254740992 '+1\n'
	assert_content "$MNT/counters/o" '9\n'
	assert_errno EINVAL open O_RDONLY "$MNT/counters/o" : pread -1
	assert_op '' open O_RDONLY "$MNT/counters/o" : pread 9007199254740992
}

t_read_only_files() {
	local path
	for path in README cluster/status; do
		assert_match "$(op open O_WRONLY "$MNT/$path" : write x || :)" '@(EACCES|EPERM|EROFS|EINVAL)' "$path"
		assert_fails truncate -s 0 "$MNT/$path"
		assert_fails chmod 777 "$MNT/$path"
		assert_fails chown 1 "$MNT/$path"
		assert_fails rm -f "$MNT/$path"
		assert_fails mv "$MNT/$path" "$MNT/files/stolen"
		assert_fails ln "$MNT/$path" "$MNT/files/stolen"
		assert_fails mv "$MNT/files/i" "$MNT/$path"
		test -s "$MNT/$path"
	done
	begin ro
	assert_fails sh -c 'echo x >"$1"' sh "$MNT/transactions/ro/status"
	rmdir "$MNT/transactions/ro"
}

t_the_generated_trees_take_no_names() {
	local dir
	begin g
	for dir in . .info .info/files .info/counters cluster transactions/g; do
		assert_fails mkdir "$MNT/$dir/new"
		assert_fails sh -c ': >"$1"' sh "$MNT/$dir/new"
		assert_fails ln -s x "$MNT/$dir/new"
		assert_fails mv "$MNT/files/i" "$MNT/$dir/new"
		assert_errno ENOENT stat "$MNT/$dir/new"
	done
	assert_fails mkdir "$MNT/transactions/g/nested/deep"
	rmdir "$MNT/transactions/g"
	assert_fails sh -c ': >"$1"' sh "$MNT/transactions/file"
	assert_fails rm -rf "$MNT/files"
	assert_fails rmdir "$MNT/counters"
	assert_fails mv "$MNT/counters" "$MNT/files/"
	test -d "$MNT/counters"
}

t_names_of_255_and_256_bytes() {
	local tree n255 n256
	n255=$(printf 'n%.0s' {1..255})
	n256=${n255}x
	for tree in files counters locks fences; do
		assert_op 0 open 'O_CREAT|O_WRONLY' "$MNT/$tree/$n255"
		assert_errno ENAMETOOLONG open 'O_CREAT|O_WRONLY' "$MNT/$tree/$n256"
		assert_errno ENAMETOOLONG mkdir "$MNT/$tree/$n256"
		assert_errno ENAMETOOLONG stat "$MNT/$tree/$n256"
		assert_errno ENAMETOOLONG rename "$MNT/$tree/$n255" "$MNT/$tree/$n256"
		test -e "$MNT/$tree/$n255"
		test -s "$MNT/.info/$tree/$n255"
	done
	assert_errno ENAMETOOLONG symlink x "$MNT/files/$n256"
	assert_errno ENAMETOOLONG link "$MNT/files/$n255" "$MNT/files/$n256"
	mkdir "$MNT/transactions/$n255"
	rmdir "$MNT/transactions/$n255"
	assert_errno ENAMETOOLONG mkdir "$MNT/transactions/$n256"
}

t_paths_too_long() {
	local path=$MNT/files
	while [ ${#path} -lt 4096 ]; do path+=/ddddddddd; done
	assert_errno ENAMETOOLONG stat "$path"
	assert_errno ENAMETOOLONG mkdir "$path"
	assert_errno ENAMETOOLONG symlink "$(printf 'x%.0s' {1..4096})" "$MNT/files/long-link"
}

t_depth() {
	python3 - "$MNT/files" <<-'PYTHON'
		import errno, os, sys
		os.chdir(sys.argv[1])
		for depth in range(600):
		    try:
		        os.mkdir('d')
		    except OSError as e:
		        assert e.errno == errno.ENAMETOOLONG, e
		        break
		    os.chdir('d')
		assert 500 < depth < 520, depth
		open('f', 'w').close()
	PYTHON
	# what is moved into the deep brings its own depth along, but nothing ever comes to lie in itself
	mkdir -p "$MNT/files/top/of"
	assert_op ok rename "$MNT/files/d" "$MNT/files/top/of/d"
	assert_errno EINVAL rename "$MNT/files/top" "$MNT/files/top/of/d/d/top"
	rm -r "$MNT/files/top"
	assert_errno ENOENT stat "$MNT/files/top"
}

t_unknown_rename_flags() {
	echo 1 >"$MNT/files/f1"
	echo 2 >"$MNT/files/f2"
	assert_errno EINVAL rename "$MNT/files/f1" "$MNT/files/f2" 0x8
	assert_errno EINVAL rename "$MNT/files/f1" "$MNT/files/f2" 0x80000000
	assert_content "$MNT/files/f2" '2\n'
}

t_a_plain_file_renamed_over_a_counter() {
	echo 5 >"$MNT/counters/target"
	echo 9 >"$MNT/files/plain"
	assert_errno EINVAL rename "$MNT/files/plain" "$MNT/counters/target"
	assert_errno EINVAL rename "$MNT/files/plain" "$MNT/counters/target" exchange
	echo junk >"$MNT/files/junk"
	assert_fails mv "$MNT/files/junk" "$MNT/counters/target" # which would remove the counter first
	assert_content "$MNT/files/junk" 'junk\n'
	assert_errno EXDEV link "$MNT/files/plain" "$MNT/counters/new"
	assert_content "$MNT/counters/target" '5\n'
	echo junk >"$W/junk"
	assert_fails mv "$W/junk" "$MNT/counters/target"
	test -e "$W/junk"
}

t_reserved_names() {
	local tree
	for tree in files counters locks fences; do
		assert_match "$(op mkdir "$MNT/$tree/.self" || :)" '@(EPERM|EEXIST)'
		assert_match "$(op open 'O_CREAT|O_WRONLY' "$MNT/$tree/.self" || :)" '@(EPERM|EEXIST)'
		assert_match "$(op mkdir "$MNT/$tree/.cas" || :)" '@(EPERM|EEXIST)'
	done
	assert_match "$(op rename "$MNT/files/f1" "$MNT/files/.self" || :)" '@(EPERM|EEXIST)'
}

t_conditional_writes_refused() {
	local path revision
	echo old >"$MNT/files/cas"
	revision=$(info revision files/cas)
	for path in cas cas@ cas@x cas@-1 cas@99999999999999999999 @1 none@1; do
		assert_fails sh -c 'echo new >"$1"' sh "$MNT/files/.cas/$path"
	done
	assert_errno ECANCELED open O_WRONLY "$MNT/files/.cas/cas@$((revision - 1))" : write new
	assert_match "$(op open O_WRONLY "$MNT/files/.cas/cas@$revision" : pwrite 1048576 x || :)" '@(EFBIG|EINVAL)'
	assert_content "$MNT/files/cas" 'old\n'
}

t_set_what_cannot_be_set() {
	local key
	echo 1 >"$MNT/counters/s"
	for key in type=file revision=1 created=0 modified=0 error=x token=1 holder=x nonsense=1 MIN=1 'min =1'; do
		assert_errno EINVAL open O_WRONLY "$MNT/.info/counters/s" : write "${key// /\\s}\n"
	done
	assert_errno EINVAL open O_WRONLY "$MNT/.info/counters/s" : write 'consistency=sometimes\n'
	assert_errno EOPNOTSUPP open O_WRONLY "$MNT/.info/files/.self" : write 'consistency=eventual\n'
	assert_errno EINVAL setxattr "$MNT/counters/s" user.coordfs.min x
	assert_match "$(op setxattr "$MNT/counters/s" user.coordfs.type x || :)" '@(EINVAL|EPERM)'
	assert_fails setfattr -x user.coordfs.type "$MNT/counters/s"
}

t_locks_that_are_malformed() {
	: >"$MNT/locks/m"
	assert_errno EINVAL open O_RDWR "$MNT/locks/m" : lock w -1 1
	assert_errno EINVAL open O_RDWR "$MNT/locks/m" : lock w -5 2
	assert_errno EINVAL open O_RDWR "$MNT/locks/m" : flock 3
	assert_errno EINVAL open O_RDWR "$MNT/locks/m" : flock 0
	assert_errno EBADF open O_RDONLY "$MNT/locks/m" : lock w 0 1
}

t_nonsense_ioctl_and_the_like() {
	python3 - "$MNT" <<-'PYTHON'
		import errno, fcntl, os, sys
		for path in 'files/x', 'counters/x', 'locks/x', 'fences/x':
		    fd = os.open(f'{sys.argv[1]}/{path}', os.O_RDWR | os.O_CREAT)
		    for number in 0, 0x5401, 0x12345678:
		        try:
		            fcntl.ioctl(fd, number, b'\0' * 64)
		            sys.exit(f'ioctl {number:x} worked on {path}')
		        except OSError as e:
		            assert e.errno in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS), e
		    for call in (lambda: os.lseek(fd, 0, 99), lambda: os.posix_fadvise(fd, 0, 0, 99), lambda: os.ftruncate(fd, -1)):
		        try:
		            call()
		            sys.exit('nonsense worked on ' + path)
		        except OSError as e:
		            assert e.errno == errno.EINVAL, e
	PYTHON
}

t_a_crowd_of_ill_behaved_writers() {
	echo 0 >"$MNT/counters/crowd"
	for _ in {1..8}; do
		(for _ in {1..20}; do
			head -c 300 /dev/urandom | dd of="$MNT/counters/crowd" conv=notrunc || :
			head -c 300 /dev/urandom | dd of="$MNT/.info/counters/crowd" conv=notrunc || :
			echo +1 >"$MNT/counters/crowd"
		done) >/dev/null 2>&1 &
	done
	wait
	assert_content "$MNT/counters/crowd" '160\n'
}

run_cases
