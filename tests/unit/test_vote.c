/* Votes: two- and three-phase commit in the machine, each word of it and each death. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine_fixture.h"

/* ---- requests ---- */

static struct reply ask_named(struct fixture *f, uint64_t vote, enum vote_action action, const char *name, uint64_t value)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__VoteRequest q = COORDFS__VOTE_REQUEST__INIT;
	command.of_case = COORDFS__COMMAND__OF_VOTE;
	command.vote = &q;
	q.action = action;
	q.vote = vote;
	q.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	q.value = value;
	q.uid = 7;
	q.gid = 8;
	q.mode = 0750;
	return action == VOTE_ACTION_EXPIRE ? fixture_apply_as(f, 0, 0, &command) : fixture_apply(f, &command);
}

static int ask(struct fixture *f, uint64_t vote, enum vote_action action, uint64_t value)
{
	return ask_named(f, vote, action, "", value).code;
}

static uint64_t make(struct fixture *f, const char *name)
{
	struct reply r = ask_named(f, 0, VOTE_ACTION_MAKE, name, 0);
	assert_int_equal(r.code, OK);
	assert_int_equal(r.value, f->index);
	return (uint64_t)r.value;
}

static int enrol(struct fixture *f, uint64_t vote, const char *name)
{
	return ask_named(f, vote, VOTE_ACTION_REGISTER, name, 0).code;
}

static int cast(struct fixture *f, uint64_t vote, const char *name, enum vote_answer answer)
{
	return ask_named(f, vote, VOTE_ACTION_CAST, name, answer).code;
}

static int acknowledge(struct fixture *f, uint64_t vote, const char *name)
{
	return ask_named(f, vote, VOTE_ACTION_ACKNOWLEDGE, name, 0).code;
}

static enum vote_phase phase(struct fixture *f, uint64_t vote)
{
	const Coordfs__Vote *record = machine_vote(f->machine, vote);
	assert_non_null(record);
	return (enum vote_phase)record->phase;
}

static void assert_reason(struct fixture *f, uint64_t vote, const char *reason)
{
	const Coordfs__Vote *record = machine_vote(f->machine, vote);
	assert_int_equal(record->phase, VOTE_ABORT);
	assert_int_equal(record->reason.len, strlen(reason));
	assert_memory_equal(record->reason.data, reason, record->reason.len);
}

/* A vote of a and b, prepared. */
static uint64_t prepared(struct fixture *f, enum vote_protocol protocol)
{
	uint64_t v = make(f, "v");
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_PROTOCOL, protocol), OK);
	assert_int_equal(enrol(f, v, "a"), OK);
	assert_int_equal(enrol(f, v, "b"), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), OK);
	assert_int_equal(phase(f, v), VOTE_PREPARE);
	return v;
}

static void end_session(struct fixture *f, uint64_t session)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd q = COORDFS__SESSION_END__INIT;
	command.of_case = COORDFS__COMMAND__OF_SESSION_END;
	command.session_end = &q;
	q.session = session;
	q.reason = (char *)"test";
	assert_int_equal(fixture_apply_as(f, 0, 0, &command).code, OK);
}

/* ---- tests ---- */

static void test_two_phases(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC);
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(f->event_count, 1);
	assert_int_equal(f->events[0].type, EVENT_VOTE);
	assert_int_equal(f->events[0].inode, v);
	assert_int_equal(phase(f, v), VOTE_PREPARE);
	assert_int_equal(cast(f, v, "b", VOTE_YES), OK);
	assert_int_equal(phase(f, v), VOTE_COMMIT);
}

static void test_three_phases(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_3PC);
	assert_int_equal(acknowledge(f, v, "a"), ERR_CANCELED);
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(cast(f, v, "b", VOTE_YES), OK);
	assert_int_equal(phase(f, v), VOTE_PRECOMMIT);
	assert_int_equal(ask(f, v, VOTE_ACTION_ABORT, 0), ERR_CANCELED);
	assert_int_equal(acknowledge(f, v, "nobody"), ERR_NOT_FOUND);
	assert_int_equal(acknowledge(f, v, "a"), OK);
	assert_int_equal(acknowledge(f, v, "a"), OK);
	assert_int_equal(phase(f, v), VOTE_PRECOMMIT);
	assert_int_equal(acknowledge(f, v, "b"), OK);
	assert_int_equal(phase(f, v), VOTE_COMMIT);
	assert_int_equal(acknowledge(f, v, "b"), OK);
}

static void test_a_no_aborts(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC);
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(cast(f, v, "b", VOTE_NO), OK);
	assert_reason(f, v, "b: voted no");
}

/* What was said stays; saying it again is no error, for its reply may have been lost. */
static void test_votes_do_not_change(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC);
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(cast(f, v, "a", VOTE_NO), ERR_CANCELED);
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(cast(f, v, "a", VOTE_SILENT), ERR_INVALID);
	assert_int_equal(cast(f, v, "c", VOTE_YES), ERR_NOT_FOUND);
	assert_int_equal(ask(f, v, VOTE_ACTION_ABORT, 0), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_ABORT, 0), OK);
	assert_int_equal(cast(f, v, "b", VOTE_YES), ERR_CANCELED); /* late */
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_reason(f, v, "aborted by request");
}

static void test_the_list_closes(void **state)
{
	struct fixture *f = *state;
	uint64_t v = make(f, "v");
	assert_int_equal(cast(f, v, "a", VOTE_YES), ERR_NOT_FOUND);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), ERR_INVALID);
	assert_int_equal(enrol(f, v, "a"), OK);
	assert_int_equal(enrol(f, v, "a"), ERR_EXISTS);
	assert_int_equal(cast(f, v, "a", VOTE_YES), ERR_CANCELED); /* early */
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), ERR_CANCELED);
	assert_int_equal(enrol(f, v, "b"), ERR_CANCELED);
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_PROTOCOL, VOTE_3PC), ERR_CANCELED);
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_TIMEOUT, 1000), ERR_CANCELED);
}

static void test_bad_requests(void **state)
{
	struct fixture *f = *state;
	char longest[LIMIT_NAME_BYTES + 2];
	uint64_t v = make(f, "v");
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, "v", 0).code, ERR_EXISTS);
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, "", 0).code, ERR_INVALID);
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, "a/b", 0).code, ERR_INVALID);
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, ".self", 0).code, ERR_INVALID);
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, longest, 0).code, ERR_NAME_TOO_LONG);
	assert_int_equal(ask_named(f, 0, VOTE_ACTION_MAKE, longest + 1, 0).code, OK);
	assert_int_equal(enrol(f, v, ".."), ERR_INVALID);
	assert_int_equal(ask(f, v + 1000, VOTE_ACTION_PREPARE, 0), ERR_NOT_FOUND);
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_PROTOCOL, 4), ERR_INVALID);
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_TIMEOUT, 0), ERR_RANGE);
	assert_int_equal(ask(f, v, VOTE_ACTION_SET_TIMEOUT, UINT64_MAX), ERR_RANGE);
	assert_int_equal(ask(f, v, 99, 0), ERR_INVALID);
	assert_int_equal(phase(f, v), VOTE_OPEN);
}

static uint64_t due(struct fixture *f, int64_t now_ns)
{
	uint64_t number;
	return machine_votes_due(f->machine, now_ns, &number, 1) == 1 ? number : 0;
}

static void test_the_timeout(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC);
	int64_t deadline = machine_vote(f->machine, v)->deadline_ns;
	assert_int_equal(due(f, deadline - 1), 0);
	assert_int_equal(due(f, deadline), v);
	assert_int_equal(ask(f, v, VOTE_ACTION_EXPIRE, 0), ERR_INVALID); /* the log's time counts */
	f->time_ns = (uint64_t)deadline;
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK); /* late is what comes after the outcome */
	assert_int_equal(ask(f, v, VOTE_ACTION_EXPIRE, 0), OK);
	assert_reason(f, v, "not all have voted in time");
	assert_int_equal(due(f, INT64_MAX), 0);
	assert_int_equal(ask(f, v, VOTE_ACTION_EXPIRE, 0), ERR_INVALID);
}

/* All that are due, as many as are asked for; those that are open have all the time they want. */
static void test_many_time_out_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t numbers[100];
	char name[16];
	make(f, "open");
	assert_false(machine_votes_timed(f->machine));
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof name, "v%d", i);
		numbers[i] = make(f, name);
		enrol(f, numbers[i], "a");
		assert_int_equal(ask(f, numbers[i], VOTE_ACTION_PREPARE, 0), OK);
	}
	assert_true(machine_votes_timed(f->machine));
	f->time_ns = (uint64_t)machine_vote(f->machine, numbers[79])->deadline_ns;
	assert_int_equal(machine_votes_due(f->machine, (int64_t)f->time_ns, numbers, 64), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(ask(f, numbers[i], VOTE_ACTION_EXPIRE, 0), OK);
	assert_int_equal(machine_votes_due(f->machine, (int64_t)f->time_ns, numbers, 64), 16);
	for (int i = 0; i < 16; i++)
		assert_int_equal(ask(f, numbers[i], VOTE_ACTION_EXPIRE, 0), OK);
	assert_int_equal(machine_votes_due(f->machine, INT64_MAX, numbers, 100), 0);
	assert_false(machine_votes_timed(f->machine));
}

/* All have voted yes: who does not acknowledge cannot hold it up. */
static void test_the_timeout_of_precommit_commits(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_3PC);
	cast(f, v, "a", VOTE_YES);
	cast(f, v, "b", VOTE_YES);
	f->time_ns = (uint64_t)machine_vote(f->machine, v)->deadline_ns;
	assert_int_equal(ask(f, v, VOTE_ACTION_EXPIRE, 0), OK);
	assert_int_equal(phase(f, v), VOTE_COMMIT);
}

/* No session may say that a time is over. */
static void test_expiry_is_the_clusters(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__VoteRequest q = COORDFS__VOTE_REQUEST__INIT;
	command.of_case = COORDFS__COMMAND__OF_VOTE;
	command.vote = &q;
	q.action = VOTE_ACTION_EXPIRE;
	q.vote = v;
	f->time_ns = (uint64_t)machine_vote(f->machine, v)->deadline_ns + 1;
	assert_int_equal(fixture_apply(f, &command).code, ERR_INVALID);
	q.action = VOTE_ACTION_ABORT;
	assert_int_equal(fixture_apply_as(f, 0, 0, &command).code, ERR_INVALID);
	assert_int_equal(phase(f, v), VOTE_PREPARE);
}

static void test_a_participant_dies_before_its_vote(void **state)
{
	struct fixture *f = *state;
	uint64_t one = f->session, two, sequence = f->sequence, v = make(f, "v");
	sequence = f->sequence;
	two = fixture_open(f, "two");
	assert_int_equal(enrol(f, v, "b"), OK);
	f->session = one;
	f->sequence = sequence;
	assert_int_equal(enrol(f, v, "a"), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), OK);
	end_session(f, two);
	assert_reason(f, v, "b: its mount was gone before it voted");
	assert_int_equal(cast(f, v, "a", VOTE_YES), ERR_CANCELED);
}

/* After its yes only the outcome counts: its death changes nothing. */
static void test_a_participant_dies_after_its_vote(void **state)
{
	struct fixture *f = *state;
	uint64_t one = f->session, two, sequence, v = make(f, "v");
	assert_int_equal(enrol(f, v, "a"), OK);
	sequence = f->sequence;
	two = fixture_open(f, "two");
	assert_int_equal(enrol(f, v, "b"), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), OK);
	assert_int_equal(cast(f, v, "b", VOTE_YES), OK);
	end_session(f, two);
	assert_int_equal(phase(f, v), VOTE_PREPARE);
	f->session = one;
	f->sequence = sequence;
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(phase(f, v), VOTE_COMMIT);
}

static void test_the_maker_dies(void **state)
{
	struct fixture *f = *state;
	uint64_t one = f->session, open = make(f, "open"), v;
	ask_named(f, 0, VOTE_ACTION_MAKE, "v", 0);
	v = f->index;
	fixture_open(f, "two");
	assert_int_equal(enrol(f, open, "x"), OK);
	assert_int_equal(enrol(f, v, "a"), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_PREPARE, 0), OK);
	end_session(f, one);
	assert_reason(f, open, "the mount on which it was made is gone");
	assert_int_equal(phase(f, v), VOTE_PREPARE); /* nobody waits for it any more */
	assert_int_equal(cast(f, v, "a", VOTE_YES), OK);
	assert_int_equal(phase(f, v), VOTE_COMMIT);
}

static void test_removal(void **state)
{
	struct fixture *f = *state;
	uint64_t v = prepared(f, VOTE_2PC), again;
	assert_int_equal(ask(f, v, VOTE_ACTION_REMOVE, 0), ERR_BUSY);
	assert_int_equal(ask(f, v, VOTE_ACTION_ABORT, 0), OK);
	assert_int_equal(ask(f, v, VOTE_ACTION_REMOVE, 0), OK);
	assert_null(machine_vote(f->machine, v));
	assert_int_equal(machine_vote_named(f->machine, (struct bytes){"v", 1}), 0);
	again = make(f, "v");
	assert_int_not_equal(again, v);
	assert_int_equal(ask(f, v, VOTE_ACTION_REMOVE, 0), ERR_NOT_FOUND);
}

static void test_from_an_image(void **state)
{
	struct fixture *f = *state, copy;
	uint64_t v = prepared(f, VOTE_3PC), open = make(f, "open");
	cast(f, v, "b", VOTE_YES);
	fixture_reload(f, &copy);
	assert_int_equal(phase(&copy, open), VOTE_OPEN);
	assert_int_equal(machine_vote_named(copy.machine, (struct bytes){"v", 1}), v);
	copy.session = f->session;
	copy.sequence = f->sequence;
	assert_int_equal(cast(&copy, v, "a", VOTE_YES), OK);
	assert_int_equal(phase(&copy, v), VOTE_PRECOMMIT);
	fixture_fini(&copy);
}

static void test_an_impossible_vote_in_an_image_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t packed[256], key[9] = {'v', 0, 0, 0, 0, 0, 0, 0, 1};
	Coordfs__Vote record = COORDFS__VOTE__INIT;
	record.name = (ProtobufCBinaryData){1, (uint8_t *)"w"};
	record.protocol = VOTE_2PC;
	record.timeout_ms = 1000;
	record.phase = VOTE_COMMIT; /* of nobody */
	size_t size = coordfs__vote__pack(&record, packed);
	assert_int_equal(machine_load(f->machine, (struct bytes){key, sizeof key}, (struct bytes){packed, size}), ERR_CORRUPT);
	record.phase = VOTE_ABORT; /* for no reason */
	size = coordfs__vote__pack(&record, packed);
	assert_int_equal(machine_load(f->machine, (struct bytes){key, sizeof key}, (struct bytes){packed, size}), ERR_CORRUPT);
	record.phase = VOTE_OPEN;
	size = coordfs__vote__pack(&record, packed);
	assert_int_equal(machine_load(f->machine, (struct bytes){key, sizeof key}, (struct bytes){packed, size}), OK);
	assert_int_equal(machine_load(f->machine, (struct bytes){key, sizeof key}, (struct bytes){packed, size}), ERR_CORRUPT);
}

/* A thousand rounds of random words: never a commit without every yes, and an outcome never changes. */
static void test_random_rounds(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"a", "b", "c"};
	unsigned commits = 0, aborts = 0;
	f->check = false; /* at the end of each round */
	srand(7);
	for (unsigned round = 0; round < 1000; round++) {
		uint64_t v = make(f, "v");
		enum vote_phase end = VOTE_OPEN;
		ask(f, v, VOTE_ACTION_SET_PROTOCOL, rand() % 2 ? VOTE_2PC : VOTE_3PC);
		for (unsigned i = 0; i < 3; i++)
			enrol(f, v, names[i]);
		ask(f, v, VOTE_ACTION_PREPARE, 0);
		for (unsigned step = 0; step < 200 && (end == VOTE_OPEN || step % 8); step++) {
			const char *name = names[rand() % 3];
			int what = rand() % 20;
			if (what < 9)
				cast(f, v, name, what ? VOTE_YES : VOTE_NO);
			else if (what < 17)
				acknowledge(f, v, name);
			else if (what == 17)
				f->time_ns += 20000000000u;
			else if (what == 18)
				ask(f, v, VOTE_ACTION_EXPIRE, 0);
			else if (rand() % 4 == 0)
				ask(f, v, VOTE_ACTION_ABORT, 0);
			if (end != VOTE_OPEN)
				assert_int_equal(phase(f, v), end);
			else if (vote_is_decided(machine_vote(f->machine, v)))
				end = phase(f, v);
		}
		assert_int_equal(machine_check(f->machine, NULL, NULL), 0);
		commits += end == VOTE_COMMIT;
		aborts += end == VOTE_ABORT;
		assert_int_equal(ask(f, v, VOTE_ACTION_REMOVE, 0), OK);
	}
	assert_true(commits > 100 && aborts > 100);
}

/* Where one program does not know votes nobody may hear of one (test_level.c shows that it is refused). */
static void test_not_before_all_are_upgraded(void **state)
{
	(void)state;
	assert_int_equal(level_of_field(&coordfs__command__descriptor, COORDFS__COMMAND__OF_VOTE), LEVEL_2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_two_phases),
		TEST(test_three_phases),
		TEST(test_a_no_aborts),
		TEST(test_votes_do_not_change),
		TEST(test_the_list_closes),
		TEST(test_bad_requests),
		TEST(test_the_timeout),
		TEST(test_many_time_out_at_once),
		TEST(test_the_timeout_of_precommit_commits),
		TEST(test_expiry_is_the_clusters),
		TEST(test_a_participant_dies_before_its_vote),
		TEST(test_a_participant_dies_after_its_vote),
		TEST(test_the_maker_dies),
		TEST(test_removal),
		TEST(test_from_an_image),
		TEST(test_an_impossible_vote_in_an_image_is_refused),
		TEST(test_random_rounds),
		TEST(test_not_before_all_are_upgraded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
