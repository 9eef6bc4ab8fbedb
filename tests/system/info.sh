#!/bin/bash
# .info/PATH: what it says of each kind of object, what can be set there and by whom, and that the tree mirrors the rest.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
I=$MNT/.info

xattr() { getfattr --absolute-names --only-values -n "user.coordfs.$1" "$2" 2>&1; }

# The keys of a path's lines, in order, in one line.
keys() { sed 's/=.*//' "$I/$1" | tr '\n' ' '; }

t_a_counter() {
	echo 5 >"$MNT/counters/c"
	assert_eq "$(keys counters/c)" "type revision consistency created modified created_revision modified_revision error value min max "
	assert_eq "$(info type counters/c)" counter
	assert_eq "$(info value counters/c)" 5
	assert_eq "$(info consistency counters/c)" strong
	assert_match "$(info created counters/c)" '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9][0-9][0-9]Z'
}

t_every_kind() {
	mkdir "$MNT/files/d"
	echo hello >"$MNT/files/d/f"
	ln -s f "$MNT/files/d/l"
	echo 41 >"$MNT/fences/f"
	assert_eq "$(info type files/d/f) $(info size files/d/f) $(info mode files/d/f) $(info token files/d/f)" "file 6 unlocked 0"
	assert_eq "$(info type files/d/l) $(info size files/d/l)" "symlink 1"
	assert_eq "$(info type files/d/.self) $(info entries files/d/.self)" "directory 2"
	assert_eq "$(info type fences/f) $(info token fences/f)" "fence 41"
	assert_eq "$(info type .self)" directory
	assert_eq "$(info type README) $(info type cluster/status) $(info type cluster/.self)" "generated generated directory"
}

t_the_revision_is_that_of_the_content() {
	local before
	echo a >"$MNT/files/r"
	before=$(info revision files/r)
	chmod 600 "$MNT/files/r"
	assert_eq "$(info revision files/r)" "$before" "after chmod"
	[ "$(info modified_revision files/r)" -gt "$before" ] || fail "modified_revision did not grow"
	echo b >>"$MNT/files/r"
	[ "$(info revision files/r)" -gt "$before" ] || fail "revision did not grow"
}

t_the_size_is_the_length() {
	local path
	echo "break 1" >"$I/locks" 2>/dev/null || : # a directory: refused
	touch "$MNT/locks/s"
	exec 9>"$MNT/locks/s"
	flock 9
	for path in README cluster/status cluster/locks cluster/metrics .info/locks/s .info/.self .info/README; do
		assert_eq "$(stat -c %s "$MNT/$path")" "$(wc -c <"$MNT/$path")" "size of $path"
		[ "$(stat -c %s "$MNT/$path")" -gt 5 ] || fail "$path is empty"
	done
}

t_the_tree_mirrors_the_rest() {
	mkdir -p "$MNT/files/m/n"
	touch "$MNT/files/m/a" "$MNT/files/m/n/b"
	assert_eq "$(ls -A "$I/files/m" | tr '\n' ' ')" ".self a n "
	assert_eq "$(ls -A "$I" | tr '\n' ' ')" ".self README cluster counters fences files locks transactions votes "
	assert_eq "$(cd "$MNT/files/m" && find . ! -type d | sort)" "$(cd "$I/files/m" && find . ! -type d ! -name .self | sort)"
	assert_errno ENOENT stat "$I/files/m/none"
	rm -r "$MNT/files/m"
	assert_errno ENOENT stat "$I/files/m"
}

t_a_large_directory_is_listed_whole() {
	mkdir "$MNT/files/large"
	(cd "$MNT/files/large" && touch $(seq -f 'name%05g' 3000))
	assert_eq "$(ls "$I/files/large" | md5sum)" "$(ls "$MNT/files/large" | md5sum)"
	rm -r "$MNT/files/large"
}

t_owner_and_mode_follow_the_object() {
	echo 1 >"$MNT/counters/owned"
	chown 65534:65534 "$MNT/counters/owned"
	chmod 640 "$MNT/counters/owned"
	assert_eq "$(stat -c '%u:%g %a' "$I/counters/owned")" "65534:65534 640"
	mkdir -m 700 "$MNT/counters/private"
	echo 1 >"$MNT/counters/private/c"
	assert_eq "$(stat -c %a "$I/counters/private")" 500
	assert_fails as_nobody cat "$I/counters/private/c"
	assert_fails as_nobody ls "$I/counters/private"
}

t_only_who_may_write_may_set() {
	echo 1 >"$MNT/counters/w"
	chmod 644 "$MNT/counters/w"
	assert_fails as_nobody sh -c "echo max=5 >'$I/counters/w'"
	assert_fails as_nobody setfattr -n user.coordfs.max -v 5 "$MNT/counters/w"
	chmod 666 "$MNT/counters/w"
	as_nobody sh -c "echo max=5 >'$I/counters/w'"
	assert_eq "$(info max counters/w)" 5
	chmod 660 "$MNT/counters/w"
	chgrp 1234 "$MNT/counters/w"
	assert_fails as_nobody sh -c "echo max=6 >'$I/counters/w'"
	setpriv --reuid=65534 --regid=65534 --groups 1234 sh -c "echo max=6 >'$I/counters/w'"
	assert_eq "$(info max counters/w)" 6
}

t_a_right_lost_while_open() {
	echo 1 >"$MNT/counters/lost"
	chown 65534 "$MNT/counters/lost"
	exec 7> >(as_nobody "$OP" -i >"$W/out")
	echo "open O_WRONLY $I/counters/lost" >&7
	wait_until 10 test -s "$W/out"
	chmod 0 "$MNT/counters/lost"
	chown 0 "$MNT/counters/lost"
	echo 'write max=9' >&7
	wait_until 10 grep -q EACCES "$W/out"
	assert_eq "$(info max counters/lost)" ""
}

t_bounds() {
	echo 5 >"$MNT/counters/b"
	printf 'min=0\nmax=10\n' >"$I/counters/b"
	assert_errno ERANGE open O_WRONLY "$MNT/counters/b" : write +6
	assert_error counters/b '*above max=10*'
	assert_errno ERANGE open O_WRONLY "$MNT/counters/b" : write -6
	echo max= >"$I/counters/b"
	echo +6 >"$MNT/counters/b"
	assert_content "$MNT/counters/b" '11\n'
	assert_eq "$(info min counters/b):$(info max counters/b)" 0:
}

t_all_lines_or_none() {
	echo 5 >"$MNT/counters/all"
	assert_errno EINVAL open O_WRONLY "$I/counters/all" : write 'min=1\nmax=x\n'
	assert_errno EINVAL open O_WRONLY "$I/counters/all" : write 'min=1\nvalue=9\n'
	assert_errno EINVAL open O_WRONLY "$I/counters/all" : write 'min=9\nmax=3\n'
	assert_eq "$(info min counters/all):$(info max counters/all):$(info value counters/all)" ::5
}

t_bad_requests() {
	local text
	echo 5 >"$MNT/counters/bad"
	for text in x '\n' = =5 'min' 'min=+1' 'min=1e3' 'min= 1' ' min=1' 'min=1 ' 'MIN=1' 'type=file' 'value=3' 'revision=1' 'error=x' \
		'break' 'break x' 'break -1' 'timeout=5' 'min=1\0' '\xff\xfe' 'consistency=' 'holder=x'; do
		assert_errno EINVAL open O_WRONLY "$I/counters/bad" : write "$text"
		[ -n "$(info error counters/bad)" ] || fail "no words for '$text'"
	done
	assert_errno ERANGE open O_WRONLY "$I/counters/bad" : write min=9223372036854775808
	assert_op 0 open O_WRONLY "$I/counters/bad" : write ''
	head -c 70000 /dev/zero | tr '\0' x >"$W/huge"
	assert_fails dd if="$W/huge" of="$I/counters/bad" bs=70000
	assert_error counters/bad '*64 KiB*'
	assert_eq "$(info min counters/bad):$(info value counters/bad)" :5
	touch "$MNT/files/nobounds"
	assert_errno EINVAL open O_WRONLY "$I/files/nobounds" : write min=1
	assert_errno EINVAL open O_WRONLY "$I/files/.self" : write min=1
}

t_consistency() {
	echo 5 >"$MNT/counters/con"
	echo consistency=strong >"$I/counters/con"
	assert_eq "$(info consistency counters/con)" strong
	echo consistency=weak >"$I/counters/con"
	assert_eq "$(info consistency counters/con)" weak
	assert_eq "$(info age_ms counters/con)" 0
	assert_op weak getxattr "$MNT/counters/con" user.coordfs.consistency
	op setxattr "$MNT/counters/con" user.coordfs.consistency strong
	assert_eq "$(info consistency counters/con)" strong
	assert_eq "$(info age_ms counters/con)" ""
	assert_errno EOPNOTSUPP open O_WRONLY "$I/counters/con" : write consistency=eventual
	assert_error counters/con '*already*'
	assert_errno EINVAL open O_WRONLY "$I/counters/con" : write consistency=loose
	assert_errno EINVAL open O_WRONLY "$I/counters/con" : write 'consistency=weak\nmin=1\n'
}

t_consistency_is_inherited() {
	mkdir -p "$MNT/files/con/sub"
	touch "$MNT/files/con/before"
	echo consistency=weak >"$I/files/con/.self"
	touch "$MNT/files/con/after"
	mkdir "$MNT/files/con/dir"
	touch "$MNT/files/con/dir/below" "$MNT/files/con/sub/below"
	assert_eq "$(for p in before after dir/below sub/below; do info consistency "files/con/$p"; done | tr '\n' ' ')" \
		"strong weak weak strong "
	# shellcheck disable=SC2016
	assert_fails as_nobody sh -c 'echo consistency=weak >"$1"' sh "$I/files/con/before"
	chmod 666 "$MNT/files/con/before"
	# shellcheck disable=SC2016
	assert_fails as_nobody sh -c 'echo consistency=weak >"$1"' sh "$I/files/con/before"
	assert_error files/con/before '*owner*'
}

t_the_mount_says_what_the_directory_does_not() {
	mkdir "$MNT/counters/old"
	echo consistency=strong >"$I/counters/old/.self"
	restart_mount -o consistency=weak
	touch "$MNT/counters/new" "$MNT/counters/old/new" "$MNT/locks/new"
	assert_eq "$(info consistency counters/new)" weak
	assert_eq "$(info consistency locks/new)" weak
	assert_eq "$(info consistency counters/old/new)" strong
	assert_eq "$(info consistency counters/old/.self)" strong
	restart_mount
	assert_eq "$(info consistency counters/new)" weak
}

t_an_error_is_of_its_path() {
	touch "$MNT/counters/e1" "$MNT/counters/e2"
	assert_errno EINVAL open O_WRONLY "$MNT/counters/e1" : write nonsense
	assert_error counters/e1 '*nonsense*'
	assert_eq "$(info error counters/e2)" ""
}

t_a_request_is_answered_on_the_handle() {
	echo 5 >"$MNT/counters/h"
	assert_op 'ok\n' open O_RDWR "$I/counters/h" : write 'max=7\n' : read
	assert_eq "$(info max counters/h)" 7
}

t_xattrs_are_the_lines() {
	echo 5 >"$MNT/counters/x"
	assert_eq "$(xattr value "$MNT/counters/x")" 5
	assert_eq "$(xattr type "$MNT/counters/x")" counter
	assert_eq "$(xattr revision "$MNT/counters/x")" "$(info revision counters/x)"
	assert_eq "$(xattr type "$MNT/cluster/status")" generated
	assert_eq "$(xattr entries "$MNT/counters")" "$(info entries counters/.self)"
	setfattr -n user.coordfs.max -v 8 "$MNT/counters/x"
	assert_eq "$(info max counters/x)" 8
	setfattr -n user.coordfs.max -v '' "$MNT/counters/x"
	assert_eq "$(info max counters/x)" ""
	assert_errno EINVAL setxattr "$MNT/counters/x" user.coordfs.max y
	assert_errno EINVAL setxattr "$MNT/counters/x" user.coordfs.type file
	assert_errno ENODATA getxattr "$MNT/counters/x" user.coordfs.none
	assert_eq "$(getfattr -d "$MNT/counters/x")" "" "listed"
}

t_the_token_is_for_its_holder() {
	touch "$MNT/locks/tok"
	assert_errno ESTALE getxattr "$MNT/locks/tok" user.coordfs.token
	exec 9>"$MNT/locks/tok"
	flock 9
	assert_eq "$(xattr token "$MNT/locks/tok")" "$(info token locks/tok)"
	[ "$(info token locks/tok)" -gt 0 ] || fail "no token"
	flock -u 9
	assert_errno ESTALE getxattr "$MNT/locks/tok" user.coordfs.token
	assert_eq "$(info mode locks/tok) $(info token locks/tok)" "unlocked 0"
}

t_holders_and_waiters() {
	local lines one_pid two_pid
	touch "$MNT/locks/q"
	actor one
	actor two
	assert_ask 0 one open O_RDWR "$MNT/locks/q"
	assert_ask ok one flock sh
	exec 8<"$MNT/locks/q"
	flock -s 8
	assert_ask 0 two open O_RDWR "$MNT/locks/q"
	tell two flock ex
	assert_waits two locks/q
	assert_eq "$(info mode locks/q)" shared
	lines=$(info holder locks/q)
	assert_eq "$(wc -l <<<"$lines")" 2
	assert_match "$(head -n 1 <<<"$lines")" "host=* pid=$one_pid uid=0 kind=flock mode=shared range=0-EOF since=20*Z token=* command=op"
	assert_match "$(info waiter locks/q)" "host=* pid=$two_pid uid=0 kind=flock mode=exclusive range=0-EOF since=20*Z token=0 position=1 command=op"
	assert_eq "$(info token locks/q)" "$(sed -n '2s/.* token=\([0-9]*\) .*/\1/p' <<<"$lines")" "the highest"
	assert_eq "$(grep -c ' locks/q$' "$MNT/cluster/locks")" 3
	assert_eq "$(awk '$1 == "waiting" && $11 == "locks/q" { print $2, $4, $5, $6, $7, $8, $10 }' "$MNT/cluster/locks")" \
		"#1 $two_pid 0 flock exclusive 0-EOF op"
}

t_break() {
	local token
	touch "$MNT/locks/br"
	chmod 666 "$MNT/locks/br"
	actor holder
	assert_ask 0 holder open O_RDWR "$MNT/locks/br"
	assert_ask ok holder flock ex
	token=$(info token locks/br)
	assert_errno ENOENT open O_WRONLY "$I/locks/br" : write "break $((token + 1))"
	assert_fails as_nobody sh -c "echo break $token >'$I/locks/br'"
	assert_error locks/br '*owner*root*'
	assert_eq "$(info mode locks/br)" exclusive
	echo "break $token" >"$I/locks/br"
	assert_eq "$(info mode locks/br)" unlocked
	assert_ask ESTALE holder flock un
	chown 65534 "$MNT/locks/br"
	exec 9>"$MNT/locks/br"
	flock 9
	as_nobody sh -c "echo break $(info token locks/br) >'$I/locks/br'"
	assert_eq "$(info mode locks/br)" unlocked
}

t_nothing_can_be_made_or_removed() {
	touch "$MNT/files/keep"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$I/x"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$I/files/x"
	assert_errno EPERM mkdir "$I/d"
	assert_errno EPERM mkdir "$I/files/d2"
	assert_errno EPERM unlink "$I/files/keep"
	assert_errno EPERM rmdir "$I/files"
	assert_errno EPERM rename "$I/files/keep" "$I/files/kept"
	assert_errno EXDEV rename "$I/files/keep" "$MNT/files/kept"
	assert_errno EPERM symlink x "$I/l"
	assert_errno EPERM chmod "$I/files/keep" 777
	assert_errno EACCES open O_WRONLY "$I/README"
	assert_errno EISDIR open O_WRONLY "$I/files"
	[ -e "$MNT/files/keep" ] || fail "it is gone"
}

t_reserved_names() {
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$MNT/files/.self"
	assert_errno EPERM mkdir "$MNT/locks/.self"
	assert_errno EPERM mkdir "$MNT/locks/.cas"
	touch "$MNT/files/res"
	assert_errno EPERM rename "$MNT/files/res" "$MNT/files/.self"
	assert_errno EPERM link "$MNT/files/res" "$MNT/files/.self"
}

t_long_names() {
	local name
	name=$(printf 'n%.0s' $(seq 255))
	touch "$MNT/files/$name"
	assert_eq "$(info type "files/$name")" file
	assert_errno ENAMETOOLONG stat "$I/files/${name}n"
}

run_cases
