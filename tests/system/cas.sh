#!/bin/bash
# files/.cas/PATH@REVISION: replace a file's content only while it is of that revision.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
start_mount -o allow_other || bail "no mount"
F=$MNT/files
A=$MNT/files/.cas

revision() { info revision "files/$1"; }

t_only_while_it_is_unchanged() {
	local r
	echo one >"$F/f"
	r=$(revision f)
	echo two >"$A/f@$r"
	assert_content "$F/f" 'two\n'
	assert_errno ECANCELED open O_WRONLY "$A/f@$r" : write 'three\n'
	assert_error files/f "*$r*"
	assert_content "$F/f" 'two\n'
	echo three >"$A/f@$(revision f)"
	assert_content "$F/f" 'three\n'
}

t_it_is_the_whole_content() {
	seq 100000 >"$F/long"
	echo short >"$A/long@$(revision long)"
	assert_content "$F/long" 'short\n'
	echo appended >>"$A/long@$(revision long)"
	assert_content "$F/long" 'appended\n'
	seq 60000 >"$W/long"
	dd if="$W/long" of="$A/long@$(revision long)" bs=1M status=none
	cmp "$W/long" "$F/long"
}

t_several_writes() {
	local r
	echo old >"$F/parts"
	r=$(revision parts)
	assert_errno EINVAL open O_WRONLY "$A/parts@$r" : pwrite 5 x
	assert_op 0 open 'O_WRONLY|O_TRUNC' "$A/parts@$r" : write ''
	assert_content "$F/parts" 'old\n'
	assert_op 2 open O_WRONLY "$A/parts@$r" : write 'a\n' : write 'b\n' : write 'c\n'
	assert_content "$F/parts" 'a\nb\nc\n'
	printf '%s\n' one two three >>"$A/parts@$(revision parts)"
	assert_content "$F/parts" 'one\ntwo\nthree\n'
	seq 100000 >"$W/parts"
	cp "$W/parts" "$A/parts@$(revision parts)"
	cmp "$W/parts" "$F/parts"
}

t_somebody_between_two_writes() {
	echo old >"$F/between"
	actor slow
	assert_ask 0 slow open O_RDWR "$A/between@$(revision between)"
	assert_ask 2 slow write 'a\n'
	echo other >"$F/between"
	assert_ask ECANCELED slow write 'b\n'
	assert_content "$F/between" 'other\n'
}

t_a_chmod_does_not_count() {
	local r
	echo one >"$F/mode"
	r=$(revision mode)
	chmod 600 "$F/mode"
	echo two >"$A/mode@$r"
	assert_content "$F/mode" 'two\n'
}

t_below_directories_and_awkward_names() {
	mkdir -p "$F/d/e@5"
	echo one >"$F/d/e@5/a@7"
	echo two >"$A/d/e@5/a@7@$(revision d/e@5/a@7)"
	assert_content "$F/d/e@5/a@7" 'two\n'
	assert_errno ENOENT stat "$A/d/e@5/a@8"
	assert_errno ENOENT stat "$A/d/none@8"
	assert_errno ENOENT stat "$A/d@8"
	assert_errno ENOENT stat "$A/d/e@5/a@7@x"
	assert_errno ENOENT stat "$A/d/e@5/a@7@-1"
	assert_errno ENOENT stat "$A/d/e@5/a@7@99999999999999999999"
}

t_a_new_file_has_a_revision() {
	touch "$F/new"
	echo first >"$A/new@$(revision new)"
	assert_content "$F/new" 'first\n'
	assert_errno ECANCELED open O_WRONLY "$A/new@0" : write x
}

t_replies() {
	local made
	echo one >"$F/reply"
	assert_eq "$(cat "$A/reply@1")" "$(revision reply)" "reading tells the present revision"
	made=$("$OP" open O_RDWR "$A/reply@$(revision reply)" : write 'two\n' : read)
	assert_eq "$made" "$(revision reply)\\n"
	assert_eq "$(stat -c %s "$A/reply@1")" "$(cat "$A/reply@1" | wc -c)"
}

t_permission() {
	echo one >"$F/mine"
	chmod 644 "$F/mine"
	assert_fails as_nobody sh -c "echo two >'$A/mine@$(revision mine)'"
	chmod 666 "$F/mine"
	as_nobody sh -c "echo two >'$A/mine@$(revision mine)'"
	assert_content "$F/mine" 'two\n'
	mkdir -m 700 "$F/shut"
	echo one >"$F/shut/f"
	chmod 666 "$F/shut/f"
	assert_fails as_nobody sh -c "echo two >'$A/shut/f@$(revision shut/f)'"
	assert_content "$F/shut/f" 'one\n'
}

t_too_big() {
	echo one >"$F/big"
	assert_op 1044480 open O_WRONLY "$A/big@$(revision big)" : fill 1044480
	assert_eq "$(stat -c %s "$F/big")" 1044480
}

t_only_files() {
	ln -s f "$F/link"
	assert_errno ENOENT stat "$A/link@1"
	assert_errno ENOENT stat "$MNT/counters/.cas"
	assert_errno ENOENT stat "$MNT/locks/.cas"
	assert_errno EISDIR open O_WRONLY "$A"
	assert_eq "$(ls -A "$A")" ""
	assert_eq "$(find "$F" -maxdepth 1 -name .cas)" "" "listed"
	assert_errno EPERM mkdir "$A/x"
	assert_errno EPERM open 'O_CREAT|O_WRONLY' "$A/x"
	assert_errno EPERM unlink "$A/big@1"
	assert_errno EEXIST mkdir "$A"
}

# Eight writers that read, change and write back: none overwrites another's line.
t_racers_lose_nothing() {
	local i
	: >"$F/race"
	for i in 1 2 3 4 5 6 7 8; do
		(
			n=0
			while [ $n -lt 10 ]; do
				r=$(revision race)
				text=$(cat "$F/race" && echo "$i $n") # read after the revision: never older than it
				if cat <<<"$text" 2>/dev/null >"$A/race@$r"; then n=$((n + 1)); fi
			done
			touch "$W/done.$i"
		) &
	done
	wait_until 50 all_done
	assert_eq "$(sort "$F/race" | uniq | wc -l)" 80
	assert_eq "$(wc -l <"$F/race")" 80
}
all_done() { [ "$(find "$W" -name 'done.*' | wc -l)" = 8 ]; }

run_cases
