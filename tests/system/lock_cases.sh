# shellcheck shell=bash disable=SC2154,SC2046 # actors set NAME_pid; lists of words
# The cases of locks.sh and locks3.sh: what is the same whether those who want a lock are on one host or on several. Who
# sources this says where each of them is:
#
#     mount_of NAME      the mount of that actor (a, b, c, d), or of the N-th of a crowd
#     L                  the locks/ of who comes from elsewhere, $MNT the mount in which everything is looked up

# has NAME PATH [FLAGS]: an actor with that file open
has() {
	actor "$1"
	assert_ask 0 "$1" open "${3:-O_RDWR|O_CREAT}" "$(mount_of "$1")/locks/$2"
}

# also NAME PATH: it opens that one, too
also() { assert_ask 1 "$1" open 'O_RDWR|O_CREAT' "$(mount_of "$1")/locks/$2"; }

assert_free() { assert_op ok open 'O_RDWR|O_CREAT' "$L/$1" : flock 'ex|nb' : lock w 0 0; }

# pid_seen ASKER HOLDER: what F_GETLK says: a pid means something on its own host only
pid_seen() {
	local pid=$2_pid
	if [ "$(mount_of "$1")" = "$(mount_of "$2")" ]; then echo "${!pid}"; else echo 0; fi
}

# ---- flock(1) ------------------------------------------------------------------------------------------------------

t_flock_n() {
	local status=0
	has a n
	assert_ask ok a flock ex
	flock -n "$L/n" true || status=$?
	assert_eq $status 1
	status=0
	flock -n -E 42 "$L/n" true || status=$?
	assert_eq $status 42
	assert_ask ok a flock un
	flock -n "$L/n" true
}

t_flock_w_gives_up_in_time() {
	local status=0 before=$EPOCHREALTIME took
	has a w
	assert_ask ok a flock ex
	flock -w 0.5 "$L/w" true || status=$?
	took=$(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
	assert_eq $status 1
	((took >= 450 && took < 5000)) || fail "took $took ms"
	assert_eq "$(waiters locks/w)" 0
}

t_flock_w_gets_it_in_time() {
	has a w2
	assert_ask ok a flock ex
	flock -w 20 "$L/w2" touch "$W/got" &
	wait_until 10 has_waiters locks/w2 1
	assert_ask ok a flock un
	wait $!
	test -e "$W/got"
}

t_flock_s() {
	has a s
	assert_ask ok a flock sh
	flock -n -s "$L/s" true
	assert_fails flock -n "$L/s" true
	assert_fails flock -n -x "$L/s" true
	assert_ask ok a flock ex
	assert_fails flock -n -s "$L/s" true
}

t_flock_on_a_descriptor() {
	(
		exec 9>"$(mount_of a)/locks/fd"
		flock 9
		assert_fails flock -n "$L/fd" true
		flock -u 9
		flock -n "$L/fd" true
		flock -s 9
		flock -n -s "$L/fd" true
	)
	assert_free fd
}

t_every_tree_locks() {
	local path n=0
	for path in files/f counters/c fences/f; do
		touch "$MNT/$path"
		actor "t$((n += 1))"
		assert_ask 0 t$n open O_RDWR "$(mount_of t$n)/$path"
		assert_ask ok t$n flock ex
		assert_errno EAGAIN open O_RDWR "$MNT/$path" : flock 'ex|nb'
		assert_ask ok t$n lock w 0 0
		assert_errno EAGAIN open O_RDWR "$MNT/$path" : lock r 0 1
	done
}

t_exclusion_holds() {
	local i
	echo 0 >"$MNT/files/plain"
	for i in {1..10}; do
		(for _ in {1..10}; do
			flock "$(mount_of "$i")/locks/mutex" sh -c 'read -r n <"$1"; echo $((n + 1)) >"$1"' sh "$(mount_of "$i")/files/plain"
		done) &
	done
	wait
	assert_content "$MNT/files/plain" '100\n'
}

# ---- flock(2) ------------------------------------------------------------------------------------------------------

t_an_exclusive_lock_excludes() {
	has a x
	has b x
	assert_ask ok a flock ex
	assert_ask EAGAIN b flock 'ex|nb'
	assert_ask EAGAIN b flock 'sh|nb'
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/x
	assert_ask ok a flock un
	assert_hears b ok
	assert_ask EAGAIN a flock 'sh|nb'
}

t_shared_locks_share() {
	has a sh
	has b sh
	has c sh
	assert_ask ok a flock sh
	assert_ask ok b flock sh
	assert_ask EAGAIN c flock 'ex|nb'
	tell c flock ex
	assert_waits c locks/sh
	assert_ask ok a flock un
	assert_eq "$(hear c 0.05)" silence
	assert_ask ok b flock un
	assert_hears c ok
}

t_first_come_first_served() {
	has a fifo
	has b fifo
	has c fifo
	has d fifo
	assert_ask ok a flock sh
	tell b flock ex
	assert_waits b locks/fifo 1
	assert_ask EAGAIN c flock 'sh|nb'
	tell c flock sh
	assert_waits c locks/fifo 2
	tell d flock sh
	assert_waits d locks/fifo 3
	assert_ask ok a flock un
	assert_hears b ok
	assert_eq "$(hear c 0.05)" silence
	assert_ask ok b flock un
	assert_hears c ok
	assert_hears d ok
}

t_conversion_down_lets_readers_in() {
	has a down
	has b down
	assert_ask ok a flock ex
	tell b flock sh
	assert_waits b locks/down
	assert_ask ok a flock sh
	assert_hears b ok
}

t_two_upgraders_do_not_hang() {
	# the first gives up its shared lock to wait; so nobody is in the second one's way, as on Linux
	has a up
	has b up
	assert_ask ok a flock sh
	assert_ask ok b flock sh
	tell a flock ex
	assert_waits a locks/up
	assert_ask ok b flock ex
	assert_eq "$(hear a 0.05)" silence
	assert_ask ok b flock un
	assert_hears a ok
}

t_a_failed_conversion_without_waiting_loses_the_old_lock() {
	has a conv
	has b conv
	assert_ask ok a flock sh
	assert_ask ok b flock sh
	assert_ask EAGAIN a flock 'ex|nb'
	assert_ask ok b flock 'ex|nb'
}

t_a_lock_belongs_to_the_open_file() {
	has a dup
	assert_ask ok a flock ex
	assert_ask 1 a dup
	assert_ask ok a close
	assert_errno EAGAIN open O_RDWR "$L/dup" : flock 'ex|nb'
	assert_ask ok a use 0
	assert_ask ok a close
	wait_until 10 has_holders locks/dup 0
	assert_free dup
}

t_a_child_shares_the_lock() {
	exec 9>"$(mount_of a)/locks/fork"
	flock 9
	sleep 60 & # has 9
	local child=$!
	exec 9>&-
	assert_fails flock -n "$L/fork" true
	kill $child
	wait $child || :
	wait_until 10 has_holders locks/fork 0
	flock -n "$L/fork" true
}

t_close_releases() {
	has a close
	has b close
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/close
	assert_ask ok a close
	assert_hears b ok
}

t_kill_9_releases() {
	has a kill
	has b kill
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/kill
	actor_kill a
	assert_hears b ok
}

t_kill_9_of_a_waiter_withdraws_it() {
	has a killw
	has b killw
	has c killw
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/killw 1
	tell c flock ex
	assert_waits c locks/killw 2
	actor_kill b
	wait_until 10 has_waiters locks/killw 1
	assert_ask ok a flock un
	assert_hears c ok
}

t_a_removed_lock_file_stays_locked_for_those_who_have_it() {
	has a removed
	has b removed
	assert_ask ok a flock ex
	rm "$L/removed"
	assert_ask EAGAIN b flock 'ex|nb'
	assert_free removed
	assert_ask ok a flock un
	assert_ask ok b flock 'ex|nb'
}

t_a_renamed_lock_file_stays_locked() {
	has a old
	assert_ask ok a flock ex
	mv "$L/old" "$L/new"
	assert_errno EAGAIN open O_RDWR "$L/new" : flock 'ex|nb'
	assert_free old
}

# ---- signals -------------------------------------------------------------------------------------------------------

t_a_signal_interrupts_the_wait() {
	has a eintr
	assert_ask ok a flock ex
	assert_errno EINTR open O_RDWR "$L/eintr" : alarm 200 : flock ex
	assert_eq "$(waiters locks/eintr)" 0
	assert_errno EINTR open O_RDWR "$L/eintr" : alarm 200 : lock w 0 1 : alarm 200 : flock sh
	assert_ask ok a lock w 0 10
	assert_errno EINTR open O_RDWR "$L/eintr" : alarm 200 : lockw w 5 1
	assert_eq "$(waiters locks/eintr)" 0
	assert_ask ok a flock un
	assert_ask ok a lock u 0 0
	assert_free eintr
}

t_stop_and_continue_interrupts_or_goes_on_but_leaves_no_ghost() {
	has a stop
	has b stop
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/stop
	kill -STOP "$b_pid"
	kill -CONT "$b_pid"
	sleep 0.2
	assert_ask ok a flock un
	assert_match "$(hear b)" '@(ok|EINTR)'
	actor_kill b
	wait_until 10 has_holders locks/stop 0
	assert_free stop
}

# storm NAME LOCK UNLOCK, for op: a signal each millisecond; every process wants the lock 40 times, in turn with the others
storm() {
	local i
	for i in {1..6}; do
		"$OP" open 'O_RDWR|O_CREAT' "$(mount_of "$i")/locks/$1" : alarm 1 1 $(for _ in {1..40}; do
			echo ": try 1000000 $2 : sleep 1 : try 1000000 $3"
		done) >"$W/storm.$i" &
	done
	wait
	assert_eq "$(cat "$W"/storm.* | grep -cx '[0-9]*')" 6 "$(cat "$W"/storm.*)"
	wait_until 10 has_holders "locks/$1" 0
	assert_eq "$(waiters "locks/$1")" 0
	assert_free "$1"
}
t_a_storm_of_signals_leaves_no_ghost() { storm storm 'flock ex' 'flock un'; }
t_a_storm_of_signals_on_ranges_leaves_no_ghost() { storm storm2 'lockw w 0 10' 'lockw u 0 10'; }

# ---- byte ranges ---------------------------------------------------------------------------------------------------

t_ranges() {
	has a r
	has b r
	assert_ask ok a lock w 0 10
	assert_ask EAGAIN b lock w 9 1
	assert_ask EAGAIN b lock r 0 0
	assert_ask ok b lock w 10 10
	assert_ask EAGAIN a lock w 10 1
	assert_ask ok a lock u 5 5
	assert_ask ok b lock w 5 5
	assert_ask EAGAIN b lock w 4 1
}

t_read_locks_share_and_convert() {
	has a rr
	has b rr
	assert_ask ok a lock r 0 100
	assert_ask ok b lock r 50 100
	assert_ask EAGAIN a lock w 50 1
	assert_ask ok a lock w 0 50
	assert_ask EAGAIN b lock r 49 1
	assert_ask ok a lock r 0 50
	assert_ask ok b lock r 49 1
}

t_an_unlock_in_the_middle_splits() {
	has a split
	has b split
	assert_ask ok a lock w 0 100
	assert_ask ok a lock u 40 20
	assert_ask "w 0 40 $(pid_seen b a)" b getlk w 0 40
	assert_ask free b getlk w 40 20
	assert_ask "w 60 40 $(pid_seen b a)" b getlk w 40 0
	assert_ask ok b lock w 40 20
}

t_to_the_end_of_the_file() {
	has a eof
	has b eof
	assert_ask ok a lock w 100 0
	assert_ask ok b lock w 0 100
	assert_ask EAGAIN b lock r 9223372036854775806 1
	assert_ask "w 100 0 $(pid_seen b a)" b getlk r 1000000 5
	assert_ask EINVAL b lock w -1 5
}

t_getlk_names_the_holder() {
	has a getlk
	has b getlk
	assert_ask free b getlk w 0 0
	assert_ask ok a lock r 10 5
	assert_ask free b getlk r 0 0
	assert_ask "r 10 5 $(pid_seen b a)" b getlk w 0 0
	assert_ask free a getlk w 0 0
}

t_a_range_waits() {
	has a wait
	has b wait
	has c wait
	assert_ask ok a lock w 0 10
	tell b lockw w 5 10
	assert_waits b locks/wait
	assert_ask ok c lock w 20 5
	assert_ask ok a lock u 0 6
	assert_eq "$(hear b 0.05)" silence
	assert_ask ok a lock u 0 10
	assert_hears b ok
}

t_any_close_by_the_process_releases_its_ranges() {
	has a any
	assert_ask ok a lock w 0 10
	also a any
	assert_errno EAGAIN open O_RDWR "$L/any" : lock w 0 1
	assert_ask ok a close
	assert_op ok open O_RDWR "$L/any" : lock w 0 1
}

t_death_releases_ranges() {
	has a death
	has b death
	assert_ask ok a lock w 0 0
	tell b lockw r 7 1
	assert_waits b locks/death
	actor_kill a
	assert_hears b ok
}

t_flock_and_ranges_do_not_see_each_other() {
	has a two
	has b two
	assert_ask ok a flock ex
	assert_ask ok b lock w 0 0
	assert_ask EAGAIN b flock 'ex|nb'
	assert_ask EAGAIN a lock w 0 1
}

t_open_file_description_locks() {
	has a ofd
	assert_ask ok a ofdlock w 0 10
	also a ofd
	assert_ask EAGAIN a ofdlock w 5 1
	assert_ask ok a ofdlock w 10 5
	assert_ask EAGAIN a lock w 0 1
	assert_ask ok a close
	assert_errno EAGAIN open O_RDWR "$L/ofd" : ofdlock r 0 1
	wait_until 10 op open O_RDWR "$L/ofd" : ofdlock w 10 5
	assert_ask ok a use 0
	assert_ask ok a close
	wait_until 10 has_holders locks/ofd 0
	assert_free ofd
}

t_open_file_description_locks_wait() {
	has a ofdw
	has b ofdw
	assert_ask ok a ofdlock w 0 10
	tell b ofdlockw r 5 1
	assert_waits b locks/ofdw
	assert_ask ok a ofdlock u 0 10
	assert_hears b ok
}

# ---- deadlocks -----------------------------------------------------------------------------------------------------

t_a_cycle_of_two() {
	has a dead
	has b dead
	assert_ask ok a lock w 0 1
	assert_ask ok b lock w 1 1
	tell a lockw w 1 1
	assert_waits a locks/dead
	assert_ask EDEADLK b lockw w 0 1
	assert_ask ok b lock u 1 1
	assert_hears a ok
}

t_a_cycle_over_three_files() {
	has a d1
	has b d2
	has c d3
	also a d2
	also b d3
	also c d1
	for name in a b c; do
		ask $name use 0 >/dev/null
		assert_ask ok $name lock w 0 0
		ask $name use 1 >/dev/null
	done
	tell a lockw w 0 0
	assert_waits a locks/d2
	tell b lockw w 0 0
	assert_waits b locks/d3
	assert_ask EDEADLK c lockw w 0 0
	actor_kill c
	assert_hears b ok
}

t_a_cycle_through_a_queued_request() {
	# b waits behind c's queued write, c waits for a; a waits for b: no one is in a's way but by the queue
	has a q1
	has b q2
	has c q1
	also a q2
	also b q1
	ask a use 0 >/dev/null
	assert_ask ok a lock r 0 0
	ask b use 0 >/dev/null
	assert_ask ok b lock w 0 0
	tell c lockw w 0 0
	assert_waits c locks/q1 1
	ask b use 1 >/dev/null
	tell b lockw r 0 0
	assert_waits b locks/q1 2
	ask a use 1 >/dev/null
	assert_ask EDEADLK a lockw w 0 0
}

t_a_cycle_of_upgrades() {
	has a dup1
	has b dup1
	assert_ask ok a lock r 0 10
	assert_ask ok b lock r 0 10
	tell a lockw w 0 10
	assert_waits a locks/dup1
	assert_ask EDEADLK b lockw w 0 10
	assert_eq "$(hear a 0.05)" silence "b has its old lock"
	assert_ask EAGAIN b lock w 0 1
	assert_ask ok b lock u 5 5
	assert_eq "$(hear a 0.05)" silence
	assert_ask ok b lock u 0 5
	assert_hears a ok
}

t_a_cycle_of_three_upgrades() {
	has a dup3
	has b dup3
	has c dup3
	for name in a b c; do assert_ask ok $name lock r 0 0; done
	tell a lockw w 3 1
	assert_waits a locks/dup3
	assert_ask EDEADLK b lockw w 0 0
	assert_ask EDEADLK c lockw w 3 1
	actor_kill b
	assert_eq "$(hear a 0.05)" silence
	assert_ask ok c lock u 3 1
	assert_hears a ok
	assert_ask EAGAIN c lock r 3 1
}

t_a_cycle_over_ranges() {
	has a dr
	has b dr
	has c dr
	assert_ask ok a lock w 0 10
	assert_ask ok b lock w 10 10
	assert_ask ok c lock w 20 10
	tell a lockw r 15 8
	assert_waits a locks/dr 1
	tell b lockw w 25 1
	assert_waits b locks/dr 2
	assert_ask EDEADLK c lockw r 0 1
	assert_ask EDEADLK c lockw w 9 2
	assert_ask ok c lock u 25 1
	assert_hears b ok
	assert_eq "$(hear a 0.05)" silence
	assert_ask ok b lock u 0 0
	assert_eq "$(hear a 0.05)" silence
	assert_ask ok c lock u 20 5
	assert_hears a ok
}

t_no_false_alarm_through_a_hole() {
	has a hole
	has b hole
	assert_ask ok a lock w 0 10
	assert_ask ok b lock w 10 10
	tell a lockw w 12 1
	assert_waits a locks/hole
	assert_ask EDEADLK b lockw r 5 1
	assert_ask ok b lock u 12 1
	assert_hears a ok
	assert_ask ok a lock u 5 1
	assert_ask ok b lockw r 5 1
	tell b lockw r 4 1
	assert_waits b locks/hole
	assert_ask ok a lock u 0 0
	assert_hears b ok
}

t_a_cycle_of_open_file_descriptions() {
	has a dofd
	has b dofd
	assert_ask ok a ofdlock w 0 1
	assert_ask ok b ofdlock w 1 1
	tell a ofdlockw w 1 1
	assert_waits a locks/dofd
	assert_ask EDEADLK b ofdlockw w 0 1
	assert_ask ok b close
	assert_hears a ok
}

t_no_false_alarm() {
	has a chain
	has b chain
	has c chain
	assert_ask ok a lock w 0 1
	assert_ask ok b lock w 1 1
	tell b lockw w 0 1
	assert_waits b locks/chain 1
	tell c lockw w 1 1
	assert_waits c locks/chain 2
	assert_ask ok a lock u 0 1
	assert_hears b ok
	actor_kill b
	assert_hears c ok
}

t_flock_knows_no_deadlock() {
	# as on Linux: two processes that wait for each other by flock wait until a signal
	has a f1
	has b f2
	also a f2
	also b f1
	ask a use 0 >/dev/null
	assert_ask ok a flock ex
	ask b use 0 >/dev/null
	assert_ask ok b flock ex
	ask a use 1 >/dev/null
	tell a flock ex
	assert_waits a locks/f2
	ask b use 1 >/dev/null
	assert_ask EINTR b alarm 300 : flock ex
	actor_kill b
	assert_hears a ok
}

# ---- tokens --------------------------------------------------------------------------------------------------------

token_of() { info token "locks/$1"; }

t_tokens_grow() {
	local i last=0 now
	for i in {1..10}; do
		now=$(flock "$(mount_of "$i")/locks/token" sed -n 's/^token=//p' "$MNT/.info/locks/token")
		((now > last)) || fail "token $now after $last"
		last=$now
	done
}

t_the_highest_of_shared_tokens_is_shown() {
	local first second
	has a shtok
	has b shtok
	assert_ask ok a flock sh
	first=$(token_of shtok)
	assert_ask ok b flock sh
	second=$(token_of shtok)
	((second > first)) || fail "token $second after $first"
	assert_eq "$(grep -c '^holder=.* mode=shared .*token=[0-9]' "$MNT/.info/locks/shtok")" 2
}

t_the_token_is_an_xattr_for_a_holder() {
	has a xtok
	assert_ask ESTALE a fgetxattr user.coordfs.token
	assert_ask ok a flock ex
	assert_ask "$(token_of xtok)" a fgetxattr user.coordfs.token
	assert_eq "$(getfattr --only-values -n user.coordfs.token "$(mount_of a)/locks/xtok" 2>/dev/null)" "$(token_of xtok)"
	assert_ask ok a flock un
	assert_errno ESTALE getxattr "$L/xtok" user.coordfs.token
}

t_info_tells_holders_and_waiters() {
	local text
	has a who
	has b who
	assert_ask ok a flock ex
	tell b flock sh
	assert_waits b locks/who
	text=$(cat "$MNT/.info/locks/who")
	assert_match "$text" "*
mode=exclusive
*"
	assert_match "$text" "*
holder=host=* pid=$a_pid uid=0 kind=flock mode=exclusive *since=* token=* command=*"
	assert_match "$text" "*
waiter=host=* pid=$b_pid uid=0 kind=flock mode=shared *"
}

t_info_tells_ranges() {
	has a rng
	assert_ask ok a lock w 10 5
	assert_match "$(info holder locks/rng)" "*pid=$a_pid *kind=posix mode=exclusive range=10-14 *"
	assert_ask ok a lock u 0 0
	assert_ask ok a ofdlock r 7 0
	assert_match "$(info holder locks/rng)" '*mode=shared range=7-*'
}

t_cluster_locks_lists_them() {
	has a listed
	assert_ask ok a flock ex
	grep -q "^held .* $a_pid .* locks/listed\$" "$MNT/cluster/locks"
}

# ---- break ---------------------------------------------------------------------------------------------------------

t_break_takes_the_lock_from_its_holder() {
	has a brk
	has b brk
	assert_ask ok a flock ex
	tell b flock ex
	assert_waits b locks/brk
	echo "break $(token_of brk)" >"$MNT/.info/locks/brk"
	assert_hears b ok
	assert_ask ESTALE a flock un
	assert_ask ESTALE a write x
	assert_ask ESTALE a pread 0
	assert_ask ESTALE a flock 'sh|nb'
	assert_ask ok a close
	assert_eq "$(holders locks/brk)" 1
}

t_break_of_a_token_that_nobody_holds() {
	has a brk2
	assert_ask ok a flock ex
	assert_errno ENOENT open O_WRONLY "$MNT/.info/locks/brk2" : write "break $(($(token_of brk2) + 1))\n"
	assert_errno ENOENT open O_WRONLY "$MNT/.info/locks/brk2" : write 'break 0\n'
	assert_errno EINVAL open O_WRONLY "$MNT/.info/locks/brk2" : write 'break x\n'
	assert_errno EINVAL open O_WRONLY "$MNT/.info/locks/brk2" : write 'break\n'
	assert_ask ok a flock un
}

t_break_is_for_the_owner_and_root() {
	local token
	has a brk3
	chmod 666 "$L/brk3"
	assert_ask ok a flock ex
	token=$(token_of brk3)
	assert_match "$(op as 65534 65534 : open O_WRONLY "$MNT/.info/locks/brk3" : write "break $token\n" || :)" '@(EACCES|EPERM)'
	assert_ask ok a flock ex
	chown 65534 "$L/brk3"
	assert_op "$((7 + ${#token}))" as 65534 65534 : open O_WRONLY "$MNT/.info/locks/brk3" : write "break $token\n"
	assert_ask ESTALE a flock un
}

t_break_of_one_shared_holder_leaves_the_other() {
	local first
	has a brk4
	has b brk4
	assert_ask ok a flock sh
	first=$(token_of brk4)
	assert_ask ok b flock sh
	echo "break $first" >"$MNT/.info/locks/brk4"
	assert_ask ESTALE a pread 0
	assert_ask '' b pread 0
	assert_eq "$(holders locks/brk4)" 1
}

t_break_wakes_poll() {
	has a brk5
	assert_ask ok a flock ex
	echo "break $(token_of brk5)" >"$MNT/.info/locks/brk5"
	assert_match "$(ask a poll POLLIN 5000)" '*POLLERR*POLLHUP*'
}

t_the_handles_of_others_are_not_touched() {
	has a brk6
	has b brk6
	assert_ask ok a flock ex
	echo "break $(token_of brk6)" >"$MNT/.info/locks/brk6"
	assert_ask 1 b write y
	assert_ask ok b flock 'ex|nb'
	assert_ask ok a close
	assert_errno EAGAIN open O_RDWR "$L/brk6" : flock 'ex|nb'
}
