#!/bin/bash
# Programs that know nothing of coordfs: databases, version control, copying, editors, other languages.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
F=$MNT/files
export HOME=$W/home
mkdir "$HOME"

need() { command -v "$1" >/dev/null || skip "needs $1"; }

# tree DIR [BYTES]: some hundred files of all kinds; the largest has that size
tree() {
	local i
	mkdir -p "$1"/{a,b/c/d,empty}
	for i in {1..60}; do head -c $((RANDOM * i % 40000)) /dev/urandom >"$1/a/file$i"; done
	for i in {1..20}; do echo "text $i" >"$1/b/c/text $i"; done
	: >"$1/b/nothing"
	head -c "${2:-1048576}" /dev/urandom >"$1/b/c/d/big"
	ln "$1/a/file1" "$1/b/hard"
	ln -s ../a/file2 "$1/b/soft"
	ln -s nowhere "$1/b/dangling"
	chmod 700 "$1/b"
	chmod 4711 "$1/a/file3"
	chown 65534:65534 "$1/a/file4"
	touch -d '2020-02-20 20:20:20.202020202 UTC' "$1/a/file5" "$1/b/c"
	setfattr -n user.note -v kept "$1/a/file6" 2>/dev/null || :
}

# listing DIR: all that is to be kept, a line each (a directory's size is not)
listing() {
	(cd "$1" && find . \( -type d -printf '%p %y %m %u %g\n' \) -o -printf '%p %y %m %u %g %n %s %l\n' | sort)
}

assert_same_tree() {
	diff -r --no-dereference "$1" "$2"
	diff <(listing "$1") <(listing "$2")
}

# ---- sqlite --------------------------------------------------------------------------------------------------------

t_sqlite_eight_concurrent_writers() {
	need sqlite3
	local i n
	mkdir "$F/db"
	sqlite3 "$F/db/one" 'create table t (writer, n, unique (writer, n)); create table total (n); insert into total values (0)'
	for i in {1..8}; do
		for n in {1..25}; do
			echo ".timeout 100000"
			echo "begin immediate; insert into t values ($i, $n); update total set n = n + 1; commit;"
		done | sqlite3 -bail "$F/db/one" >"$W/sqlite.$i" 2>&1 &
	done
	wait
	assert_eq "$(cat "$W"/sqlite.?)" ""
	assert_eq "$(sqlite3 "$F/db/one" 'select count(*) from t; select n from total; pragma integrity_check' | tr '\n' ' ')" '200 200 ok '
}

t_sqlite_journal_modes() {
	need sqlite3
	local mode
	for mode in delete truncate persist; do
		sqlite3 "$F/db-$mode" "pragma journal_mode=$mode; create table t (x); insert into t values (1), (2);" >/dev/null
		sqlite3 "$F/db-$mode" "begin; insert into t values (3); rollback;"
		assert_eq "$(sqlite3 "$F/db-$mode" 'select sum(x) from t; pragma integrity_check' | tr '\n' ' ')" '3 ok ' $mode
	done
}

t_sqlite_a_reader_among_writers() {
	need sqlite3
	local i
	sqlite3 "$F/db-rw" 'create table a (n); insert into a values (100), (0)'
	(for i in {1..50}; do
		echo ".timeout 100000"
		echo "begin immediate; update a set n = n - 1 where rowid = 1; update a set n = n + 1 where rowid = 2; commit;"
	done | sqlite3 -bail "$F/db-rw"; : >"$W/db-done") &
	while [ ! -e "$W/db-done" ]; do
		assert_eq "$(sqlite3 -cmd '.timeout 100000' "$F/db-rw" 'select sum(n) from a')" 100
	done
	assert_eq "$(sqlite3 "$F/db-rw" 'select n from a where rowid = 2; pragma integrity_check' | tr '\n' ' ')" '50 ok '
}

t_sqlite_a_writer_killed_with_a_hot_journal() {
	need sqlite3
	sqlite3 "$F/db-hot" 'create table t (x); insert into t values (1)'
	python3 - "$F/db-hot" <<-'PYTHON' || :
		import os, signal, sqlite3, sys
		db = sqlite3.connect(sys.argv[1], isolation_level=None)
		db.execute('pragma cache_size=2')
		db.execute('pragma cache_spill=1')
		db.execute('begin')
		for n in range(300):
		    db.execute('insert into t values (?)', ('x' * 1000,))
		os.kill(os.getpid(), signal.SIGKILL)
	PYTHON
	test -e "$F/db-hot-journal"
	assert_eq "$(sqlite3 -cmd '.timeout 20000' "$F/db-hot" 'select count(*) from t; pragma integrity_check' | tr '\n' ' ')" '1 ok '
}

t_sqlite_after_kill_9_of_the_mount() {
	need sqlite3
	sqlite3 "$F/db-crash" 'create table t (x)'
	(for i in {1..10000}; do echo "insert into t values ($i);"; done | sqlite3 -bail "$F/db-crash" >/dev/null 2>&1 || :) &
	sleep 1
	crash_and_restart -o allow_other
	wait
	assert_eq "$(sqlite3 "$F/db-crash" 'pragma integrity_check')" ok
	assert_eq "$(sqlite3 "$F/db-crash" 'select count(*) = max(x) from t')" 1
}

# ---- git -----------------------------------------------------------------------------------------------------------

git_here() { git -C "$1" -c user.name=N -c user.email=n@example.org -c gc.auto=0 "${@:2}"; }

t_git_init_commit_gc_fsck() {
	local i
	git init -q "$F/repo"
	for i in {1..10}; do
		echo "change $i" >>"$F/repo/file"
		echo $i >"$F/repo/file$i"
		git_here "$F/repo" add -A
		git_here "$F/repo" commit -qm "commit $i"
	done
	git_here "$F/repo" gc -q
	git_here "$F/repo" fsck --strict
	assert_eq "$(git -C "$F/repo" rev-list --count HEAD)" 10
	assert_eq "$(git -C "$F/repo" status --porcelain)" ""
	ls "$F"/repo/.git/objects/pack/*.pack >/dev/null
}

t_git_clone_push_pull() {
	git init -q --bare "$F/bare"
	git clone -q "$F/bare" "$W/clone" 2>/dev/null
	# a loose object or a pack is a file of at most 1 MiB, too
	tree "$W/clone/tree" 10000
	find "$W/clone/tree/a" -size +8k -delete
	git_here "$W/clone" add -A
	git_here "$W/clone" commit -qm all
	git_here "$W/clone" push -q origin HEAD:main
	git --git-dir "$F/bare" symbolic-ref HEAD refs/heads/main
	git --git-dir "$F/bare" fsck --strict
	git clone -q "$F/bare" "$F/clone"
	git_here "$F/clone" checkout -q -b side
	echo side >"$F/clone/side"
	git_here "$F/clone" add side
	git_here "$F/clone" commit -qm side
	git_here "$F/clone" merge -q --no-edit main
	git_here "$F/clone" push -q origin side
	git_here "$W/clone" pull -q --ff-only origin side
	assert_content "$W/clone/side" 'side\n'
	git_here "$F/clone" checkout -q main
	git_here "$F/clone" fsck --strict
	assert_eq "$(git -C "$F/clone" status --porcelain)" ""
}

t_git_two_committers_in_one_repository() {
	local i
	git init -q "$F/two"
	echo 0 >"$F/two/n"
	git_here "$F/two" add -A
	git_here "$F/two" commit -qm 0
	for i in 1 2 3 4; do
		(for n in 1 2 3 4 5; do
			until git_here "$F/two" commit -q --allow-empty -m "$i $n" 2>>"$W/git.err"; do sleep 0.05; done
		done) &
	done
	wait
	assert_eq "$(git -C "$F/two" rev-list --count HEAD)" 21
	git_here "$F/two" fsck --strict
}

# ---- copying -------------------------------------------------------------------------------------------------------

t_rsync_there_and_back() {
	need rsync
	local out
	tree "$W/rsync"
	rsync -aHX "$W/rsync/" "$F/rsync/"
	assert_same_tree "$W/rsync" "$F/rsync"
	assert_eq "$(stat -c %y "$F/rsync/a/file5")" "$(stat -c %y "$W/rsync/a/file5")"
	out=$(rsync -aHX -i "$W/rsync/" "$F/rsync/")
	assert_eq "$out" "" "a second rsync has nothing to do"
	echo changed >"$W/rsync/a/file7"
	rm "$W/rsync/a/file8"
	rsync -aHX --delete "$W/rsync/" "$F/rsync/"
	assert_same_tree "$W/rsync" "$F/rsync"
	rsync -aHX "$F/rsync/" "$W/rsync-back/"
	assert_same_tree "$F/rsync" "$W/rsync-back"
}

t_rsync_of_the_whole_mount() {
	need rsync
	echo 5 >"$MNT/counters/n"
	echo 6 >"$MNT/fences/n"
	: >"$MNT/locks/n"
	rsync -a "$MNT/" "$W/all/"
	assert_content "$W/all/counters/n" '5\n'
	assert_content "$W/all/fences/n" '6\n'
	assert_content "$MNT/counters/n" '5\n'
	cmp "$MNT/README" "$W/all/README"
}

t_tar_there_and_back() {
	tree "$W/tar"
	tar -C "$W" -cf - tar | tar -C "$F" --same-owner -xpf -
	assert_same_tree "$W/tar" "$F/tar"
	tar -C "$F" -cf "$F/archive" tar/a tar/b/c/'text 1' --exclude=big --exclude='file[1-6]*' || :
	tar -C "$F" -cf "$W/back.tar" tar
	mkdir "$W/back"
	tar -C "$W/back" -xpf "$W/back.tar"
	assert_same_tree "$W/tar" "$W/back/tar"
	tar -C "$F" --compare -f "$W/back.tar"
}

t_cp_a() {
	tree "$W/cp"
	cp -a "$W/cp" "$F/cp"
	assert_same_tree "$W/cp" "$F/cp"
	cp -a "$F/cp" "$F/cp2"
	assert_same_tree "$F/cp" "$F/cp2"
	rm -r "$F/cp"
	mv "$F/cp2" "$W/moved"
	assert_same_tree "$W/cp" "$W/moved"
	assert_errno ENOENT stat "$F/cp2"
}

t_find_grep_du_and_others() {
	tree "$F/misc"
	assert_eq "$(find "$F/misc" -type f -links 2 | wc -l)" 2
	assert_eq "$(grep -rl 'text 7' "$F/misc" | wc -l)" 1
	du -s "$F/misc" >/dev/null
	ls -laR "$F/misc" >/dev/null
	find "$F/misc" -name 'text*' -delete
	assert_eq "$(find "$F/misc/b/c" -type f | wc -l)" 1
	(cd "$F/misc/b" && assert_eq "$(pwd -P)" "$F/misc/b")
	mktemp -p "$F/misc" >/dev/null
	mktemp -d -p "$F/misc" >/dev/null
}

# ---- editors -------------------------------------------------------------------------------------------------------

t_vim_saves() {
	local vim
	vim=$(command -v vim || command -v vim.tiny || command -v vi) || skip "needs vim"
	echo 'one two' >"$F/vim"
	chmod 640 "$F/vim"
	for options in 'set nobackup nowritebackup' 'set backup backupcopy=no' 'set backup backupcopy=yes' 'set nobackup writebackup'; do
		"$vim" -u NONE -i NONE -n -es -c "$options" -c 's/two/two two/' -c wq "$F/vim" || "$vim" --version | head -n 1
	done
	assert_content "$F/vim" 'one two two two two two\n'
	assert_eq "$(stat -c %a "$F/vim")" 640
}

t_vim_with_its_swap_file() {
	local vim
	vim=$(command -v vim || command -v vim.tiny || command -v vi) || skip "needs vim"
	echo 'one two' >"$F/vim2"
	"$vim" -u NONE -i NONE -es -c 's/two/three/' -c wq "$F/vim2"
	assert_content "$F/vim2" 'one three\n'
	assert_eq "$(find "$F" -maxdepth 1 -name '.vim2*')" ""
}

t_write_and_rename() {
	local i
	echo 0 >"$F/atomic"
	(for i in {1..200}; do echo "$i of a longer line" >"$F/.atomic.new"; sync "$F/.atomic.new"; mv "$F/.atomic.new" "$F/atomic"; done; : >"$W/renamed") &
	while [ ! -e "$W/renamed" ]; do
		grep -qxE '0|[0-9]+ of a longer line' "$F/atomic"
	done
	assert_content "$F/atomic" '200 of a longer line\n'
}

t_sed_in_place() {
	seq 1000 >"$F/sed"
	sed -i 's/^5/five/' "$F/sed"
	assert_eq "$(grep -c five "$F/sed")" 111
	sed -i.bak '1,500d' "$F/sed"
	assert_eq "$(wc -l <"$F/sed")" 500
	assert_eq "$(wc -l <"$F/sed.bak")" 1000
}

t_other_ways_to_write_in_place() {
	echo b >"$F/inplace"
	perl -pi -e 's/b/a/' "$F/inplace"
	assert_content "$F/inplace" 'a\n'
	sort -o "$F/inplace" "$F/inplace" - <<<c
	assert_content "$F/inplace" 'a\nc\n'
	echo d | tee -a "$F/inplace" >/dev/null
	assert_content "$F/inplace" 'a\nc\nd\n'
	dd if=/dev/zero of="$F/inplace" bs=1 seek=1 count=1 conv=notrunc 2>/dev/null
	assert_content "$F/inplace" 'a\0c\nd\n'
}

# ---- languages -----------------------------------------------------------------------------------------------------

t_python() {
	python3 - "$MNT" <<-'PYTHON'
		import os, pathlib, shutil, sys, tempfile
		m = pathlib.Path(sys.argv[1])
		(m / 'files/py').write_text('text')
		assert (m / 'files/py').read_text() == 'text'
		with open(m / 'files/py', 'a') as f:
		    f.write('more')
		assert (m / 'files/py').read_bytes() == b'textmore'
		with open(m / 'counters/py', 'w') as f:
		    f.write('10')
		with open(m / 'counters/py', 'r+b', buffering=0) as f:
		    f.write(b'+5\n')
		    assert f.read() == b'15\n'
		assert int((m / 'counters/py').read_text()) == 15
		try:
		    (m / 'counters/py').write_text('junk')
		    sys.exit('took junk')
		except OSError as e:
		    assert e.errno == 22, e
		with tempfile.NamedTemporaryFile(dir=m / 'files', delete=False) as f:
		    f.write(b'x' * 100000)
		os.replace(f.name, m / 'files/py')
		assert (m / 'files/py').stat().st_size == 100000
		shutil.copy2(m / 'files/py', m / 'files/py2')
		os.makedirs(m / 'files/p/y/t/h')
		shutil.rmtree(m / 'files/p')
		assert sorted(os.listdir(m))[0] in ('.info', 'README')
	PYTHON
}

t_perl() {
	perl -e '
		my $m = shift;
		open my $f, ">", "$m/files/perl" or die; print $f "line $_\n" for 1 .. 1000; close $f or die;
		open $f, "<", "$m/files/perl" or die; my @l = <$f>; die scalar @l unless @l == 1000;
		open $f, "+<", "$m/counters/perl" or open $f, "+>", "$m/counters/perl" or die;
		syswrite $f, "+3\n" or die $!; sysread $f, my $v, 100 or die; die $v unless $v eq "3\n";
		rename "$m/files/perl", "$m/files/perl2" or die; unlink "$m/files/perl2" or die;' "$MNT"
}

t_node() {
	need node
	node -e '
		const fs = require("fs"), m = process.argv[1], assert = require("assert");
		fs.writeFileSync(m + "/files/node", "text");
		fs.appendFileSync(m + "/files/node", "more");
		assert.equal(fs.readFileSync(m + "/files/node", "utf8"), "textmore");
		fs.writeFileSync(m + "/counters/node", "+7\n");
		assert.equal(+fs.readFileSync(m + "/counters/node"), 7);
		assert.throws(() => fs.writeFileSync(m + "/counters/node", "junk"), { code: "EINVAL" });
		fs.mkdirSync(m + "/files/n/o", { recursive: true });
		fs.rmSync(m + "/files/n", { recursive: true });
		assert(fs.readdirSync(m).includes("counters"));' "$MNT"
}

t_awk_and_dash() {
	awk -v f="$F/awk" 'BEGIN { for (i = 0; i < 100; i++) print i > f; close(f); while ((getline l < f) > 0) n++; exit n != 100 }'
	dash -c 'echo +2 >"$1/counters/dash"; read n <"$1/counters/dash"; test "$n" = 2; echo x >"$1/files/dash"' sh "$MNT"
}

run_cases
