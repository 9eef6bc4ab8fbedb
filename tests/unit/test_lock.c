/* The rules of locks, one a test. Each command goes through the machine's log and is followed by machine_check(). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lock_fixture.h"
#include "machine/lock.h"

#define FILE_A 1000
#define FILE_B 1001
#define UN LOCK_MODE_UNLOCK
#define SH LOCK_MODE_SHARED
#define EX LOCK_MODE_EXCLUSIVE

static struct reply flock_as(struct fixture *f, uint64_t owner, enum lock_mode mode, bool wait)
{
	return lock_ask(f, &(struct asked){.inode = FILE_A, .kind = LOCK_KIND_FLOCK, .mode = mode, .end = UINT64_MAX,
					   .owner = owner, .wait = wait});
}

static struct reply range_as(struct fixture *f, uint64_t owner, enum lock_mode mode, uint64_t start, uint64_t end,
			     bool wait)
{
	return lock_ask(f, &(struct asked){.inode = FILE_A, .kind = LOCK_KIND_POSIX, .mode = mode, .start = start,
					   .end = end, .owner = owner, .wait = wait});
}

/* The events of the last command, as text: what and whose: "grant 3 deny 4". */
static const char *told(const struct fixture *f)
{
	static char text[2000];
	static const char *const names[] = {"", "grant", "deny", "loss", "end", "change", "entry"};
	size_t size = 0;
	text[0] = '\0';
	for (size_t i = 0; i < f->event_count; i++)
		size += (size_t)snprintf(text + size, sizeof text - size, "%s%s %llu", i ? " " : "",
					 names[f->events[i].type], (unsigned long long)f->events[i].owner);
	return text;
}

#define assert_code(reply, want) assert_int_equal((reply).code, want)
#define assert_told(f, text) assert_string_equal(told(f), text)
#define assert_locks(f, text) assert_string_equal(lock_list(f, FILE_A), text)

/* ---- flock ---- */

static void test_exclusive_excludes_and_queues(void **state)
{
	struct fixture *f = *state;
	struct reply r = flock_as(f, 1, EX, false);
	assert_code(r, OK);
	assert_int_equal(r.value, f->index);
	assert_code(flock_as(f, 2, EX, false), ERR_WOULD_BLOCK);
	assert_code(flock_as(f, 2, SH, false), ERR_WOULD_BLOCK);
	r = flock_as(f, 2, EX, true);
	assert_code(r, QUEUED);
	uint64_t sequence = f->sequence;
	assert_locks(f, "1x 2x?");
	assert_code(flock_as(f, 1, UN, false), OK);
	assert_told(f, "grant 2");
	assert_int_equal(f->events[0].sequence, sequence);
	assert_int_equal(f->events[0].session, f->session);
	assert_int_equal(f->events[0].token, f->index);
	assert_int_equal(f->events[0].inode, FILE_A);
	assert_int_equal(f->events[0].handle, 2);
	assert_locks(f, "2x");
}

static void test_readers_share(void **state)
{
	struct fixture *f = *state;
	assert_code(flock_as(f, 1, SH, false), OK);
	assert_code(flock_as(f, 2, SH, false), OK);
	assert_code(flock_as(f, 3, EX, true), QUEUED);
	flock_as(f, 1, UN, false);
	assert_told(f, "");
	flock_as(f, 2, UN, false);
	assert_told(f, "grant 3");
}

static void test_a_reader_waits_behind_a_waiting_writer(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	assert_code(flock_as(f, 2, EX, true), QUEUED);
	assert_code(flock_as(f, 3, SH, false), ERR_WOULD_BLOCK);
	assert_code(flock_as(f, 3, SH, true), QUEUED);
	assert_code(flock_as(f, 4, SH, true), QUEUED);
	assert_code(flock_as(f, 5, EX, true), QUEUED);
	flock_as(f, 1, UN, false);
	assert_told(f, "grant 2");
	flock_as(f, 2, UN, false);
	assert_told(f, "grant 3 grant 4");
	assert_int_equal(f->events[0].token, f->events[1].token);
	assert_locks(f, "3s 4s 5x?");
}

static void test_asking_again_for_the_same_changes_nothing(void **state)
{
	struct fixture *f = *state;
	int64_t token = flock_as(f, 1, EX, false).value;
	assert_code(flock_as(f, 2, EX, true), QUEUED);
	struct reply r = flock_as(f, 1, EX, false);
	assert_code(r, OK);
	assert_int_equal(r.value, token);
	r = range_as(f, 1, SH, 10, 19, false);
	token = r.value;
	r = range_as(f, 1, SH, 12, 15, true);
	assert_code(r, OK);
	assert_int_equal(r.value, token);
}

static void test_conversions_go_by_holders_when_they_need_not_wait(void **state)
{
	struct fixture *f = *state;
	int64_t token = flock_as(f, 1, EX, false).value;
	flock_as(f, 2, EX, true);
	struct reply r = flock_as(f, 1, SH, false);
	assert_code(r, OK);
	assert_true(r.value > token);
	assert_locks(f, "1s 2x?");
	assert_code(flock_as(f, 1, EX, false), OK);
	assert_locks(f, "1x 2x?");
}

static void test_a_downgrade_lets_readers_in(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, EX, false);
	flock_as(f, 2, SH, true);
	flock_as(f, 3, SH, true);
	assert_code(flock_as(f, 1, SH, false), OK);
	assert_told(f, "grant 2 grant 3");
}

static void test_two_upgraders_never_hang(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	flock_as(f, 2, SH, false);
	assert_code(flock_as(f, 1, EX, true), QUEUED);
	assert_locks(f, "2s 1x?");
	assert_code(flock_as(f, 2, EX, true), OK);
	assert_locks(f, "2x 1x?");
	flock_as(f, 2, UN, false);
	assert_told(f, "grant 1");
}

/* As Linux does it: the old lock is gone, and a new one was not to be had. */
static void test_a_refused_conversion_has_lost_the_old_lock(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	flock_as(f, 2, SH, false);
	assert_code(flock_as(f, 1, EX, false), ERR_WOULD_BLOCK);
	assert_locks(f, "2s");
	assert_code(flock_as(f, 2, EX, false), OK);
}

/* 2 waits for EX in one process and takes SH in another, through one open file. */
static void test_a_refused_conversion_lets_others_in(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	assert_code(flock_as(f, 2, EX, true), QUEUED);
	assert_code(flock_as(f, 2, SH, false), OK);
	assert_code(flock_as(f, 1, EX, false), ERR_WOULD_BLOCK);
	assert_told(f, "grant 2");
	assert_locks(f, "2x");
}

static void test_unlock_of_nothing_is_fine(void **state)
{
	struct fixture *f = *state;
	assert_code(flock_as(f, 1, UN, false), OK);
	assert_code(range_as(f, 1, UN, 5, 10, false), OK);
	assert_locks(f, "");
}

static void test_flock_and_fcntl_do_not_see_each_other(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, EX, false);
	assert_code(range_as(f, 2, EX, 0, UINT64_MAX, false), OK);
	assert_code(flock_as(f, 3, EX, true), QUEUED);
	assert_code(range_as(f, 3, SH, 0, 0, true), QUEUED);
	flock_as(f, 1, UN, false);
	assert_told(f, "grant 3");
	assert_locks(f, "2x 3x 3s[0-0]?");
}

static void test_owners_of_two_sessions_differ(void **state)
{
	struct fixture *f = *state;
	assert_code(flock_as(f, 1, EX, false), OK);
	fixture_open(f, "two");
	assert_code(flock_as(f, 1, EX, false), ERR_WOULD_BLOCK);
	assert_code(flock_as(f, 1, EX, true), QUEUED);
}

/* ---- ranges ---- */

static void test_ranges_merge(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 9, false);
	struct reply r = range_as(f, 1, EX, 10, 19, false);
	assert_locks(f, "1x[0-19]");
	range_as(f, 1, EX, 30, 39, false);
	assert_locks(f, "1x[0-19] 1x[30-39]");
	struct reply all = range_as(f, 1, EX, 15, 34, false);
	assert_locks(f, "1x[0-39]");
	assert_true(all.value > r.value);
	assert_int_equal(machine_lock_totals(f->machine).holders, 1);
	range_as(f, 1, EX, UINT64_MAX, UINT64_MAX, false);
	range_as(f, 1, EX, 40, UINT64_MAX - 1, false);
	assert_locks(f, "1x");
}

static void test_only_equal_modes_merge(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 9, false);
	range_as(f, 1, SH, 10, 19, false);
	assert_locks(f, "1x[0-9] 1s[10-19]");
	range_as(f, 1, SH, 5, 9, false);
	assert_locks(f, "1x[0-4] 1s[5-19]");
	range_as(f, 1, EX, 8, 12, false);
	assert_locks(f, "1x[0-4] 1s[5-7] 1s[13-19] 1x[8-12]");
}

/* Each byte is of the handle through which it was last locked, for its loss concerns that one. */
static void test_handles_do_not_merge(void **state)
{
	struct fixture *f = *state;
	struct asked what = {.inode = FILE_A, .kind = LOCK_KIND_POSIX, .mode = EX, .end = 9, .owner = 1, .handle = 11};
	int64_t token = lock_ask(f, &what).value;
	what.handle = 12;
	what.start = 5;
	what.end = 14;
	lock_ask(f, &what);
	assert_locks(f, "1x[0-4] 1x[5-14]");
	lock_take_away(f, FILE_A, (uint64_t)token);
	assert_int_equal(f->events[0].handle, 11);
	assert_locks(f, "1x[5-14]");
	lock_release(f, FILE_A, 0, 12);
	assert_locks(f, "");
}

static void test_unlock_in_the_middle_keeps_the_token(void **state)
{
	struct fixture *f = *state;
	uint64_t token = (uint64_t)range_as(f, 1, EX, 0, 29, false).value;
	assert_code(range_as(f, 1, UN, 10, 19, false), OK);
	assert_locks(f, "1x[0-9] 1x[20-29]");
	assert_true(lock_token_held(machine_lock_table(f->machine), FILE_A, token));
	range_as(f, 1, UN, 0, 24, false);
	assert_locks(f, "1x[25-29]");
	assert_true(lock_token_held(machine_lock_table(f->machine), FILE_A, token));
	range_as(f, 1, UN, 25, UINT64_MAX, false);
	assert_false(lock_token_held(machine_lock_table(f->machine), FILE_A, token));
	assert_locks(f, "");
}

static void test_a_hole_goes_to_who_waits_for_it(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 99, false);
	assert_code(range_as(f, 2, EX, 10, 19, true), QUEUED);
	assert_code(range_as(f, 3, SH, 12, 13, true), QUEUED);
	assert_code(range_as(f, 4, EX, 50, 59, true), QUEUED);
	range_as(f, 1, UN, 10, 18, false);
	assert_told(f, "");
	range_as(f, 1, UN, 19, 19, false);
	assert_told(f, "grant 2");
	range_as(f, 1, UN, 50, 60, false);
	assert_told(f, "grant 4");
	range_as(f, 2, UN, 0, UINT64_MAX, false);
	assert_told(f, "grant 3");
}

static void test_only_overlapping_waiters_count(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 9, false);
	assert_code(range_as(f, 2, EX, 5, 14, true), QUEUED);
	assert_code(range_as(f, 3, EX, 15, 19, false), OK);
	assert_code(range_as(f, 3, SH, 14, 14, false), ERR_WOULD_BLOCK);
	assert_code(range_as(f, 4, SH, 10, 10, true), QUEUED);
	assert_code(range_as(f, 4, SH, 20, 20, true), OK);
}

static void test_an_owner_of_a_part_does_not_queue(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 9, false);
	range_as(f, 2, EX, 20, 29, false);
	assert_code(range_as(f, 3, EX, 0, 19, true), QUEUED);
	assert_code(range_as(f, 1, EX, 5, 14, false), OK);
	assert_locks(f, "2x[20-29] 1x[0-14] 3x[0-19]?");
	assert_code(range_as(f, 1, EX, 10, 29, true), QUEUED);
	range_as(f, 2, UN, 20, 29, false);
	assert_told(f, "grant 1");
	assert_locks(f, "1x[0-29] 3x[0-19]?");
}

static void test_a_waiting_upgrade_keeps_what_it_has(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, SH, 0, 9, false);
	range_as(f, 2, SH, 0, 9, false);
	assert_code(range_as(f, 1, EX, 0, 9, false), ERR_WOULD_BLOCK);
	assert_code(range_as(f, 1, EX, 0, 9, true), QUEUED);
	assert_locks(f, "1s[0-9] 2s[0-9] 1x[0-9]?");
	range_as(f, 2, UN, 0, 9, false);
	assert_told(f, "grant 1");
	assert_locks(f, "1x[0-9]");
}

static void test_ofd_and_posix_conflict(void **state)
{
	struct fixture *f = *state;
	struct asked what = {.inode = FILE_A, .kind = LOCK_KIND_OFD, .mode = EX, .end = 9, .owner = 1};
	assert_code(lock_ask(f, &what), OK);
	what.kind = LOCK_KIND_POSIX;
	assert_code(lock_ask(f, &what), ERR_WOULD_BLOCK);
	lock_release(f, FILE_A, 1, 0); /* of the process: not the open file's */
	assert_locks(f, "1x[0-9]");
}

/* ---- deadlocks ---- */

static struct reply in_file(struct fixture *f, uint64_t inode, uint64_t owner, enum lock_mode mode, bool wait)
{
	return lock_ask(f, &(struct asked){.inode = inode, .kind = LOCK_KIND_POSIX, .mode = mode, .end = UINT64_MAX,
					   .owner = owner, .wait = wait});
}

static void test_two_in_a_circle(void **state)
{
	struct fixture *f = *state;
	in_file(f, FILE_A, 1, EX, false);
	in_file(f, FILE_B, 2, EX, false);
	assert_code(in_file(f, FILE_B, 1, EX, true), QUEUED);
	assert_code(in_file(f, FILE_A, 2, SH, true), ERR_DEADLOCK);
	assert_locks(f, "1x");
	assert_code(in_file(f, FILE_A, 2, SH, false), ERR_WOULD_BLOCK);
	in_file(f, FILE_B, 2, UN, false);
	assert_told(f, "grant 1");
}

static void test_a_ring_across_sessions(void **state)
{
	struct fixture *f = *state;
	enum { RING = 50 };
	uint64_t sessions[RING], sequences[RING] = {0};
	char name[16];
	for (uint64_t i = 0; i < RING; i++) {
		snprintf(name, sizeof name, "m%u", (unsigned)i);
		sessions[i] = fixture_open(f, name);
		f->sequence = ++sequences[i];
		assert_code(range_as(f, 1, EX, i, i, false), OK);
	}
	for (uint64_t i = 0; i < RING; i++) {
		f->session = sessions[i];
		f->sequence = ++sequences[i];
		assert_code(range_as(f, 1, EX, (i + 1) % RING, (i + 1) % RING, true),
			    i + 1 < RING ? QUEUED : ERR_DEADLOCK);
	}
}

/* 3 holds nothing that 1 wants, but waits before it: 1 waits for 3, 3 for 2, 2 for 1. */
static void test_queued_requests_close_cycles(void **state)
{
	struct fixture *f = *state;
	range_as(f, 2, SH, 0, 9, false);
	in_file(f, FILE_B, 1, EX, false);
	assert_code(range_as(f, 3, EX, 0, 9, true), QUEUED);
	assert_code(in_file(f, FILE_B, 2, EX, true), QUEUED);
	assert_code(range_as(f, 1, SH, 5, 5, true), ERR_DEADLOCK);
	assert_code(range_as(f, 1, SH, 10, 10, true), OK);
}

static void test_upgrades_of_two_readers_deadlock(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, SH, 0, 9, false);
	range_as(f, 2, SH, 0, 9, false);
	assert_code(range_as(f, 1, EX, 0, 9, true), QUEUED);
	assert_code(range_as(f, 2, EX, 0, 9, true), ERR_DEADLOCK);
	assert_locks(f, "1s[0-9] 2s[0-9] 1x[0-9]?");
}

static void test_no_false_alarms(void **state)
{
	struct fixture *f = *state;
	range_as(f, 1, EX, 0, 9, false);
	range_as(f, 2, EX, 10, 19, false);
	assert_code(range_as(f, 1, EX, 10, 10, true), QUEUED);
	range_as(f, 2, UN, 10, 19, false);
	assert_told(f, "grant 1");
	assert_code(range_as(f, 2, EX, 0, 0, true), QUEUED); /* 1 no longer waits */
	assert_code(range_as(f, 3, EX, 5, 5, true), QUEUED);
	assert_code(range_as(f, 4, EX, 0, 9, true), QUEUED);
}

static void test_flock_waits_are_no_part_of_cycles(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, EX, false);
	in_file(f, FILE_B, 2, EX, false);
	assert_code(in_file(f, FILE_B, 1, EX, true), QUEUED);
	assert_code(flock_as(f, 2, EX, true), QUEUED);
}

/* ---- ends ---- */

static void test_cancel_withdraws_a_waiter(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	flock_as(f, 2, EX, true);
	uint64_t sequence = f->sequence;
	flock_as(f, 3, SH, true);
	assert_code(lock_withdraw(f, sequence), OK);
	assert_told(f, "grant 3");
	assert_code(lock_withdraw(f, sequence), ERR_NOT_FOUND);
	assert_code(lock_withdraw(f, sequence + 1), ERR_NOT_FOUND);
	assert_locks(f, "1s 3s");
}

static void test_cancel_is_of_its_own_session(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, EX, false);
	flock_as(f, 2, EX, true);
	uint64_t sequence = f->sequence;
	fixture_open(f, "two");
	f->sequence += 100;
	assert_code(lock_withdraw(f, sequence), ERR_NOT_FOUND);
}

static void test_drop_by_owner_takes_posix_locks_only(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, EX, false);
	range_as(f, 1, EX, 0, 9, false);
	range_as(f, 1, SH, 20, 29, false);
	range_as(f, 2, EX, 40, 49, false);
	in_file(f, FILE_B, 1, EX, false);
	range_as(f, 3, EX, 5, 25, true);
	assert_code(lock_release(f, FILE_A, 1, 0), OK);
	assert_told(f, "grant 3");
	assert_locks(f, "1x 2x[40-49] 3x[5-25]");
	assert_string_equal(lock_list(f, FILE_B), "1x");
}

static void test_drop_by_handle_takes_all_and_denies_waiters(void **state)
{
	struct fixture *f = *state;
	struct asked what = {.inode = FILE_A, .kind = LOCK_KIND_OFD, .mode = EX, .end = 9, .owner = 1, .handle = 7};
	lock_ask(f, &what);
	range_as(f, 2, EX, 20, 29, false);
	what.start = 20;
	what.end = 25;
	what.wait = true;
	assert_code(lock_ask(f, &what), QUEUED);
	uint64_t sequence = f->sequence;
	assert_code(range_as(f, 3, EX, 0, 0, true), QUEUED);
	assert_code(lock_release(f, FILE_A, 0, 7), OK);
	assert_told(f, "deny 1 grant 3");
	assert_int_equal(f->events[0].sequence, sequence);
	assert_int_equal(f->events[0].code, ERR_INTERRUPTED);
	assert_locks(f, "2x[20-29] 3x[0-0]");
	assert_code(lock_release(f, FILE_A, 0, 7), OK);
	assert_code(lock_release(f, FILE_A, 0, 0), ERR_INVALID);
}

static void test_a_session_ends_with_all_it_has(void **state)
{
	struct fixture *f = *state;
	uint64_t first = f->session;
	flock_as(f, 1, EX, false);
	range_as(f, 1, EX, 0, 9, false);
	fixture_open(f, "two");
	assert_code(range_as(f, 2, EX, 0, 4, true), QUEUED);
	uint64_t second = f->session;
	f->session = first;
	f->sequence += 100;
	assert_code(range_as(f, 3, EX, 0, 4, true), QUEUED);
	f->session = second;
	f->sequence += 100;
	assert_code(range_as(f, 4, SH, 3, 3, true), QUEUED);
	assert_code(flock_as(f, 5, SH, true), QUEUED);
	lock_end_session(f, first);
	assert_told(f, "grant 2 grant 5 end 0");
	assert_locks(f, "2x[0-4] 5s 4s[3-3]?");
	range_as(f, 2, UN, 0, 9, false);
	assert_told(f, "grant 4");
	lock_end_session(f, second);
	assert_locks(f, "");
	assert_int_equal(machine_lock_totals(f->machine).holders + machine_lock_totals(f->machine).waiters, 0);
}

static void test_break_takes_from_that_holder(void **state)
{
	struct fixture *f = *state;
	flock_as(f, 1, SH, false);
	uint64_t token = (uint64_t)flock_as(f, 2, SH, false).value;
	flock_as(f, 3, EX, true);
	assert_code(lock_take_away(f, FILE_A, token), OK);
	assert_told(f, "loss 2");
	assert_int_equal(f->events[0].token, token);
	assert_int_equal(f->events[0].handle, 2);
	assert_int_equal(f->events[0].inode, FILE_A);
	assert_int_equal(f->events[0].session, f->session);
	assert_locks(f, "1s 3x?");
	struct reply r = lock_take_away(f, FILE_A, token);
	assert_code(r, ERR_NOT_FOUND);
	assert_true(strlen(r.text) > 0);
	assert_code(lock_take_away(f, FILE_A, 0), ERR_NOT_FOUND); /* not the waiters */
	assert_code(lock_take_away(f, FILE_B, token), ERR_NOT_FOUND);
}

static void test_break_lets_the_next_in(void **state)
{
	struct fixture *f = *state;
	uint64_t token = (uint64_t)range_as(f, 1, EX, 0, 9, false).value;
	range_as(f, 1, UN, 4, 4, false);
	range_as(f, 2, EX, 0, 9, true);
	assert_code(lock_take_away(f, FILE_A, token), OK);
	assert_told(f, "loss 1 loss 1 grant 2");
}

/* ---- tokens ---- */

static void test_tokens_only_grow(void **state)
{
	struct fixture *f = *state;
	int64_t last = 0;
	for (uint64_t i = 0; i < 20; i++) {
		int64_t token = flock_as(f, i % 3 + 1, EX, false).value;
		assert_true(token > last);
		assert_true(lock_token_held(machine_lock_table(f->machine), FILE_A, (uint64_t)token));
		assert_false(lock_token_held(machine_lock_table(f->machine), FILE_B, (uint64_t)token));
		assert_false(lock_token_held(machine_lock_table(f->machine), FILE_A, (uint64_t)last));
		last = token;
		flock_as(f, i % 3 + 1, UN, false);
	}
	assert_false(lock_token_held(machine_lock_table(f->machine), FILE_A, 0));
}

/* ---- bad requests, limits ---- */

static void test_malformed_requests_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct asked bad[] = {
		{.kind = LOCK_KIND_POSIX, .mode = EX, .start = 5, .end = 4, .owner = 1},
		{.kind = 0, .mode = EX, .end = 4, .owner = 1},
		{.kind = 4, .mode = EX, .end = 4, .owner = 1},
		{.kind = LOCK_KIND_POSIX, .mode = 3, .end = 4, .owner = 1},
		{.kind = LOCK_KIND_POSIX, .mode = UN, .end = 4, .owner = 1, .wait = true},
		{.kind = LOCK_KIND_FLOCK, .mode = EX, .end = 4, .owner = 1},
		{.kind = LOCK_KIND_FLOCK, .mode = EX, .start = 1, .end = UINT64_MAX, .owner = 1},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct asked what = bad[i];
		what.inode = FILE_A;
		struct reply r = lock_ask(f, &what);
		assert_code(r, ERR_INVALID);
		assert_true(strlen(r.text) > 0);
	}
	assert_locks(f, "");
}

static void test_too_many_waiters(void **state)
{
	struct fixture *f = *state;
	machine_lock_table(f->machine)->waiters_limit = 2;
	flock_as(f, 1, SH, false);
	flock_as(f, 4, SH, false);
	flock_as(f, 2, EX, true);
	flock_as(f, 3, EX, true);
	assert_code(flock_as(f, 5, EX, true), ERR_NO_LOCKS);
	assert_code(flock_as(f, 4, EX, true), ERR_NO_LOCKS);
	assert_locks(f, "1s 4s 2x? 3x?"); /* what 4 has, it keeps */
}

static void test_too_many_locks(void **state)
{
	struct fixture *f = *state;
	machine_lock_table(f->machine)->holders_limit = 2;
	range_as(f, 1, EX, 0, 9, false);
	flock_as(f, 1, SH, false);
	assert_code(range_as(f, 1, EX, 20, 29, false), ERR_NO_LOCKS);
	assert_code(range_as(f, 1, UN, 5, 5, false), ERR_NO_LOCKS);
	assert_code(range_as(f, 1, SH, 5, 9, false), ERR_NO_LOCKS);
	assert_code(range_as(f, 1, SH, 0, 9, false), OK);
	assert_code(flock_as(f, 1, EX, false), OK);
	assert_code(range_as(f, 1, UN, 5, 9, false), OK);
	assert_code(range_as(f, 1, EX, 4, 4, false), ERR_NO_LOCKS);
	assert_locks(f, "1s[0-4] 1x");
}

/* A user's lock on all of a file (range: on its first bytes), or waiting for it. */
static struct reply user_asks(struct fixture *f, uint32_t uid, uint64_t owner, enum lock_mode mode, uint64_t start)
{
	struct asked what = {.inode = FILE_A, .owner = owner, .uid = uid, .kind = LOCK_KIND_POSIX, .mode = mode,
			     .start = start, .end = start, .wait = mode != UN};
	return lock_ask(f, &what);
}

static void test_a_user_leaves_locks_for_the_others(void **state)
{
	struct fixture *f = *state;
	machine_lock_table(f->machine)->user_holders_limit = 2;
	assert_code(user_asks(f, 7, 1, EX, 0), OK);
	assert_code(user_asks(f, 7, 2, EX, 2), OK);
	assert_code(user_asks(f, 7, 3, EX, 4), ERR_NO_LOCKS);
	assert_code(user_asks(f, 8, 3, EX, 4), OK);
	for (uint64_t i = 0; i < 5; i++)
		assert_code(user_asks(f, 0, 4, EX, 10 + 2 * i), OK); /* root */
	assert_code(user_asks(f, 7, 2, UN, 2), OK);
	assert_code(user_asks(f, 7, 5, EX, 6), OK);
	assert_code(user_asks(f, 7, 5, EX, 8), ERR_NO_LOCKS);
}

static void test_a_user_leaves_room_in_the_queue(void **state)
{
	struct fixture *f = *state;
	machine_lock_table(f->machine)->user_waiters_limit = 2;
	user_asks(f, 0, 1, EX, 0);
	assert_code(user_asks(f, 7, 2, EX, 0), QUEUED);
	assert_code(user_asks(f, 7, 3, EX, 0), QUEUED);
	assert_code(user_asks(f, 7, 4, EX, 0), ERR_NO_LOCKS);
	assert_code(user_asks(f, 8, 5, EX, 0), QUEUED);
	assert_code(user_asks(f, 0, 6, EX, 0), QUEUED);
	assert_code(user_asks(f, 0, 7, EX, 0), QUEUED);
	assert_code(user_asks(f, 0, 8, EX, 0), QUEUED);
	user_asks(f, 0, 1, UN, 0);
	assert_code(user_asks(f, 7, 4, EX, 0), QUEUED); /* one of its own has got it */
}

/* Processor time of `count` requests to wait, as owners from `first`. */
static double queue_up(struct fixture *f, uint64_t first, unsigned count)
{
	clock_t start = clock();
	for (uint64_t i = first; i < first + count; i++)
		if (flock_as(f, i, i % 3 ? EX : SH, true).code != QUEUED)
			fail();
	return (double)(clock() - start);
}

static double unlock_each(struct fixture *f, uint64_t first, unsigned count)
{
	clock_t start = clock();
	for (uint64_t i = first; i < first + count; i++)
		if (flock_as(f, i, UN, false).code != OK)
			fail();
	return (double)(clock() - start);
}

/* What a request costs may grow with the depth of a tree (and with the caches missed), not with the queue. */
static void test_the_longest_queue_costs_no_more(void **state)
{
	struct fixture *f = *state;
	const unsigned few = 2000, first = 2;
	double joining_short, joining_long, leaving_long, leaving_short;
	f->check = false;
	flock_as(f, 1, EX, false);
	joining_short = queue_up(f, first, few);
	queue_up(f, first + few, LIMIT_WAITERS - 2 * few);
	joining_long = queue_up(f, first + LIMIT_WAITERS - few, few);
	assert_code(flock_as(f, LIMIT_WAITERS + first, EX, true), ERR_NO_LOCKS);
	leaving_long = unlock_each(f, 1, few);
	unlock_each(f, 1 + few, LIMIT_WAITERS - 2 * few);
	leaving_short = unlock_each(f, 1 + LIMIT_WAITERS - few, few);
	unlock_each(f, 1 + LIMIT_WAITERS, 1);
	assert_locks(f, "");
	print_message("ms for %u: to queue %.1f, behind 98,000 %.1f; to leave %.1f, before 98,000 %.1f\n", few,
		      joining_short / 1e3, joining_long / 1e3, leaving_short / 1e3, leaving_long / 1e3);
	assert_true(joining_long < 15 * joining_short);
	assert_true(leaving_long < 15 * leaving_short);
}

/* ---- reading ---- */

static void test_conflict_names_the_holder(void **state)
{
	struct fixture *f = *state;
	struct lock_info want = {.session = f->session, .owner = 2, .kind = LOCK_KIND_POSIX, .mode = SH, .end = 99}, got;
	assert_false(machine_lock_conflict(f->machine, FILE_A, &want, &got));
	range_as(f, 1, EX, 10, 19, false);
	range_as(f, 3, SH, 0, 5, false);
	assert_true(machine_lock_conflict(f->machine, FILE_A, &want, &got));
	assert_int_equal(got.owner, 1);
	assert_int_equal(got.start, 10);
	assert_int_equal(got.end, 19);
	assert_int_equal(got.pid, 1);
	assert_int_equal(got.mode, EX);
	assert_string_equal(got.member, "one");
	assert_int_equal(got.process.size, 4);
	want.owner = 1;
	assert_false(machine_lock_conflict(f->machine, FILE_A, &want, &got));
	want.owner = 4;
	want.end = 5;
	assert_false(machine_lock_conflict(f->machine, FILE_A, &want, &got));
	range_as(f, 5, EX, 0, 0, true);
	assert_true(machine_lock_conflict(f->machine, FILE_A, &want, &got)); /* a waiter before it */
	assert_int_equal(got.owner, 5);
	assert_int_equal(got.token, 0);
	assert_int_equal(machine_lock_ahead(f->machine, FILE_A, &want, 16), 1);
	range_as(f, 6, EX, 0, 0, true);
	assert_int_equal(machine_lock_ahead(f->machine, FILE_A, &want, 16), 2);
	assert_int_equal(machine_lock_ahead(f->machine, FILE_A, &want, 1), 1);
	want.owner = 6; /* not in his own way */
	assert_int_equal(machine_lock_ahead(f->machine, FILE_A, &want, 16), 1);
	want.owner = 1; /* he has part of it */
	want.end = 15;
	assert_int_equal(machine_lock_ahead(f->machine, FILE_A, &want, 16), 0);
}

static int count_one(void *ctx, const struct lock_info *l)
{
	(void)l;
	return ++*(unsigned *)ctx == 3;
}

static void test_all_locks_are_listed(void **state)
{
	struct fixture *f = *state;
	unsigned count = 0;
	flock_as(f, 1, EX, false);
	in_file(f, FILE_B, 1, EX, false);
	machine_locks(f->machine, 0, count_one, &count);
	assert_int_equal(count, 2);
	flock_as(f, 2, EX, true);
	flock_as(f, 3, EX, true);
	count = 0;
	machine_locks(f->machine, 0, count_one, &count);
	assert_int_equal(count, 3); /* and it said enough */
}

/* ---- images ---- */

static void test_an_image_gives_the_same_table(void **state)
{
	struct fixture *f = *state;
	struct fixture *copy = calloc(1, sizeof *copy);
	char before[2000];
	range_as(f, 1, SH, 0, 9, false);
	range_as(f, 2, SH, 0, 9, false);
	range_as(f, 3, EX, 0, 20, true);
	range_as(f, 1, EX, 0, 9, true); /* goes before 3 */
	flock_as(f, 1, EX, false);
	flock_as(f, 2, SH, true);
	strcpy(before, lock_list(f, FILE_A));
	fixture_reload(f, copy);
	copy->check = true;
	assert_string_equal(lock_list(copy, FILE_A), before);
	assert_int_equal(machine_check(copy->machine, NULL, NULL), 0);
	range_as(copy, 2, UN, 0, 9, false);
	assert_told(copy, "grant 1");
	fixture_fini(copy);
	free(copy);
}

static int load(const Coordfs__Lock *locks, size_t count)
{
	struct lock_table *t = lock_table_new();
	int code = 0;
	for (size_t i = 0; i < count && code == 0; i++)
		code = lock_load(t, i + 1, &locks[i]);
	if (code == 0)
		code = lock_load_end(t);
	lock_table_free(t);
	return code;
}

static void test_a_damaged_image_is_refused(void **state)
{
	Coordfs__Lock good = COORDFS__LOCK__INIT, two[2];
	(void)state;
	good.inode = 1000;
	good.kind = LOCK_KIND_POSIX;
	good.mode = EX;
	good.end = 9;
	good.session = good.owner = good.handle = good.sequence = 1;
	good.token = 5;
	two[0] = two[1] = good;
	assert_int_equal(load(two, 1), 0);
	assert_int_equal(load(two, 2), ERR_CORRUPT); /* the same twice */
	two[1].owner = 2;
	assert_int_equal(load(two, 2), ERR_CORRUPT); /* conflicting holders */
	two[1].token = 0;
	assert_int_equal(load(two, 2), 0);
	two[1].start = 10;
	two[1].end = 10;
	assert_int_equal(load(two, 2), ERR_CORRUPT); /* waits for nothing */
	two[0].token = 0;
	two[1] = two[0];
	assert_int_equal(load(two, 2), ERR_CORRUPT); /* one request twice */
	two[0] = good;
	two[0].mode = UN;
	assert_int_equal(load(two, 1), ERR_CORRUPT);
	two[0] = good;
	two[0].kind = 9;
	assert_int_equal(load(two, 1), ERR_CORRUPT);
	two[0] = good;
	two[0].kind = LOCK_KIND_FLOCK;
	assert_int_equal(load(two, 1), ERR_CORRUPT);
	two[0] = good;
	two[0].start = 10;
	assert_int_equal(load(two, 1), ERR_CORRUPT);
	two[0] = good;
	two[0].extends = true;
	assert_int_equal(load(two, 1), ERR_CORRUPT);
}

/* ---- a store that fails ---- */

struct failing_store {
	struct store store;
	struct store *below;
	unsigned left; /* writes that still succeed */
	bool has_failed;
};

static bool write_fails(struct failing_store *f)
{
	f->has_failed |= f->left == 0;
	f->left -= !f->has_failed;
	return f->has_failed;
}

static int failing_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	return store_get(((struct failing_store *)s)->below, key, parse, ctx);
}

static int failing_put(struct store *s, struct bytes key, struct bytes value)
{
	struct failing_store *f = (struct failing_store *)s;
	return write_fails(f) ? ERR_NO_SPACE : store_put(f->below, key, value);
}

static int failing_del(struct store *s, struct bytes key)
{
	struct failing_store *f = (struct failing_store *)s;
	return write_fails(f) ? ERR_NO_SPACE : store_del(f->below, key);
}

static const struct store_ops failing_ops = {failing_get, failing_put, failing_del};

static void command_of_script(struct fixture *f, unsigned step)
{
	static struct reply first;
	switch (step) {
	case 0: first = range_as(f, 1, EX, 0, 99, false); return;
	case 1: range_as(f, 2, SH, 10, 19, true); return;
	case 2: range_as(f, 3, SH, 10, 29, true); return;
	case 3: range_as(f, 1, UN, 10, 29, false); return;
	case 4: range_as(f, 1, SH, 40, 49, false); return;
	case 5: range_as(f, 1, EX, 5, 15, true); return;
	case 6: range_as(f, 2, EX, 90, 99, true); return;
	case 7: lock_take_away(f, FILE_A, (uint64_t)first.value); return;
	case 8: lock_release(f, FILE_A, 0, 3); return;
	case 9: flock_as(f, 4, SH, false); return;
	case 10: flock_as(f, 5, SH, false); return;
	case 11: flock_as(f, 4, EX, true); return;
	case 12: lock_withdraw(f, f->sequence); return;
	default: lock_end_session(f, f->session); return;
	}
}

/* True when the script came to its end. Whatever fails, the machine says so and can be freed. */
static bool script_ends(unsigned writes)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct failing_store failing = {.store = {&failing_ops}, .left = UINT_MAX};
	assert_non_null(f);
	fixture_init(f);
	machine_free(f->machine);
	overlay_free(f->memory);
	f->memory = overlay_new(&f->nothing);
	failing.below = overlay_store(f->memory);
	assert_int_equal(machine_new(&failing.store, NULL, &f->machine), 0);
	fixture_open(f, "two");
	f->check = false;
	f->may_fail = true;
	failing.left = writes;
	for (unsigned step = 0; step < 14 && !f->failed; step++)
		command_of_script(f, step);
	bool ended = !f->failed;
	assert_int_equal(ended, !failing.has_failed);
	fixture_fini(f);
	free(f);
	return ended;
}

static void test_a_failed_write_is_no_refusal(void **state)
{
	unsigned writes = 0;
	(void)state;
	while (!script_ends(writes))
		writes++;
	assert_true(writes > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fixture_setup, fixture_teardown)
		TEST(exclusive_excludes_and_queues),
		TEST(readers_share),
		TEST(a_reader_waits_behind_a_waiting_writer),
		TEST(asking_again_for_the_same_changes_nothing),
		TEST(conversions_go_by_holders_when_they_need_not_wait),
		TEST(a_downgrade_lets_readers_in),
		TEST(two_upgraders_never_hang),
		TEST(a_refused_conversion_has_lost_the_old_lock),
		TEST(a_refused_conversion_lets_others_in),
		TEST(unlock_of_nothing_is_fine),
		TEST(flock_and_fcntl_do_not_see_each_other),
		TEST(owners_of_two_sessions_differ),
		TEST(ranges_merge),
		TEST(only_equal_modes_merge),
		TEST(handles_do_not_merge),
		TEST(unlock_in_the_middle_keeps_the_token),
		TEST(a_hole_goes_to_who_waits_for_it),
		TEST(only_overlapping_waiters_count),
		TEST(an_owner_of_a_part_does_not_queue),
		TEST(a_waiting_upgrade_keeps_what_it_has),
		TEST(ofd_and_posix_conflict),
		TEST(two_in_a_circle),
		TEST(a_ring_across_sessions),
		TEST(queued_requests_close_cycles),
		TEST(upgrades_of_two_readers_deadlock),
		TEST(no_false_alarms),
		TEST(flock_waits_are_no_part_of_cycles),
		TEST(cancel_withdraws_a_waiter),
		TEST(cancel_is_of_its_own_session),
		TEST(drop_by_owner_takes_posix_locks_only),
		TEST(drop_by_handle_takes_all_and_denies_waiters),
		TEST(a_session_ends_with_all_it_has),
		TEST(break_takes_from_that_holder),
		TEST(break_lets_the_next_in),
		TEST(tokens_only_grow),
		TEST(malformed_requests_are_refused),
		TEST(too_many_waiters),
		TEST(too_many_locks),
		TEST(a_user_leaves_locks_for_the_others),
		TEST(a_user_leaves_room_in_the_queue),
		TEST(the_longest_queue_costs_no_more),
		TEST(conflict_names_the_holder),
		TEST(all_locks_are_listed),
		TEST(an_image_gives_the_same_table),
		TEST(a_damaged_image_is_refused),
		TEST(a_failed_write_is_no_refusal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
