/* A member's ordinary life: it opens, proposes, answers, and finds everything again. */
#include <string.h>
#include <sys/stat.h>

#include "replica_fixture.h"

static int setup(void **state)
{
	static struct member m;

	member_init(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	member_fini(*state);
	return 0;
}

static void test_a_new_directory_serves(void **state)
{
	struct member *m = *state;

	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_find(m, INODE_ROOT, "counters"), INODE_COUNTERS);
	assert_true(replica_session(m->replica) > 0);
	assert_string_equal(replica_member(m->replica), "m1");
	assert_int_equal(replica_read_barrier(m->replica, NULL, NULL), OK);
}

static void test_it_remembers_after_a_restart(void **state)
{
	struct member *m = *state;
	uint64_t counter, session;

	assert_int_equal(member_open(m), 0);
	counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	for (int i = 1; i <= 100; i++)
		assert_int_equal(member_add(m, counter, 1).value, i);
	session = replica_session(m->replica);
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, member_find(m, INODE_COUNTERS, "c")), 100);
	assert_int_equal(member_add(m, counter, 1).value, 101);
	assert_int_not_equal(replica_session(m->replica), session);
}

/* ---- proposals ---- */

#define MANY 500

struct order {
	struct member *m;
	uint64_t counter;
	int64_t last;
	unsigned answered, nested;
	bool done;
};

static void start_add(struct order *o, replica_done done)
{
	Coordfs__CounterRequest request = COORDFS__COUNTER_REQUEST__INIT, *list = &request;
	Coordfs__CounterUpdate update = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	request.kind = COUNTER_ADD;
	request.value = 1;
	update.inode = o->counter;
	update.n_requests = 1;
	update.requests = &list;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &update;
	replica_propose(o->m->replica, &command, done, o);
}

/* At this moment the state is the one right after the command; and a new command may be proposed from here. */
static void in_order(void *ctx, const struct reply *reply)
{
	struct order *o = ctx;

	assert_int_equal(reply->code, OK);
	assert_int_equal(reply->value, ++o->last);
	assert_int_equal(member_value(o->m, o->counter), o->last);
	o->answered++;
	if (o->nested < MANY) {
		o->nested++;
		start_add(o, in_order);
	}
	o->done = o->answered == 2 * MANY;
}

static void test_answers_come_in_order(void **state)
{
	struct order o = {.m = *state};

	assert_int_equal(member_open(o.m), 0);
	o.counter = member_create(o.m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	for (int i = 0; i < MANY; i++)
		start_add(&o, in_order);
	assert_int_equal(o.answered, 0);
	member_wait(o.m, &o.done);
	assert_int_equal(o.last, 2 * MANY);
}

struct count {
	unsigned answered, code_ok;
	bool done;
};

static void count_answer(void *ctx, const struct reply *reply)
{
	struct count *c = ctx;

	c->code_ok += reply->code == OK;
	c->done = ++c->answered == 20;
}

/* 20 MB at once: they wait their turn, and all are written. */
static void test_more_than_may_be_in_flight(void **state)
{
	struct member *m = *state;
	static uint8_t data[1000000];
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write write = COORDFS__WRITE__INIT;
	struct replica_status status;
	struct count count = {0};

	assert_int_equal(member_open(m), 0);
	write.inode = member_create(m, INODE_FILES, "f", S_IFREG | 0644).inode;
	write.data = (ProtobufCBinaryData){sizeof data, data};
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &write;
	for (int i = 0; i < 20; i++)
		replica_propose(m->replica, &command, count_answer, &count);
	replica_status(m->replica, &status);
	assert_int_equal(status.proposals_outstanding, 20);
	member_wait(m, &count.done);
	assert_int_equal(count.code_ok, 20);
}

static void count_refused(void *ctx, const struct reply *reply)
{
	assert_int_equal(reply->code, ERR_INVALID); /* a command that is none */
	++*(unsigned *)ctx;
}

/* What is proposed before there is a session waits for it. */
static void test_every_proposal_is_answered_once(void **state)
{
	struct member *m = *state;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	unsigned refused = 0;

	m->ready = false;
	assert_int_equal(replica_open(&m->loop, &m->config, &m->replica, m->error, sizeof m->error), 0);
	assert_true(replica_propose(m->replica, &command, count_refused, &refused) > 0);
	assert_int_equal(refused, 0);
	assert_int_equal(replica_read_barrier(m->replica, NULL, NULL), ERR_NO_QUORUM);
	member_wait(m, &m->ready);
	for (int i = 0; i < 100 && !refused; i++)
		member_run_ms(m, 50);
	assert_int_equal(refused, 1);
	member_close(m);
	assert_int_equal(refused, 1);
}

/* ---- sessions ---- */

static void test_a_clean_end_ends_the_session(void **state)
{
	struct member *m = *state;
	uint64_t session, killed;

	assert_int_equal(member_open(m), 0);
	session = replica_session(m->replica);
	member_create(m, INODE_LOCKS, "l", S_IFREG | 0644);
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_false(machine_session_alive(replica_machine(m->replica), session));
	killed = replica_session(m->replica);
	assert_true(machine_session_alive(replica_machine(m->replica), killed));
	/* What a start repeats is told to nobody. */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(m->events[i], 0);
	member_create(m, INODE_FILES, "f", S_IFREG | 0644);
	assert_true(m->events[EVENT_ENTRY] > 0);
}

/* ---- images ---- */

static void test_images_replace_the_log(void **state)
{
	struct member *m = *state;
	struct replica_status status;
	uint64_t counter;
	int64_t value;

	m->config.snapshot_log_bytes = 64u << 10;
	assert_int_equal(member_open(m), 0);
	counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	do {
		for (int i = 0; i < 100; i++)
			member_add(m, counter, 1);
		replica_status(m->replica, &status);
	} while (status.snapshot_index < 2000);
	assert_string_equal(status.role, "leader");
	assert_null(status.trouble);
	assert_true(status.log_bytes < 4 * m->config.snapshot_log_bytes);
	value = member_value(m, counter);
	m->config.snapshot_log_bytes = 1u << 30;
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_true(member_file_count(m, "", "image-") <= 2);
	assert_int_equal(member_value(m, counter), value);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_directory_serves),
		TEST(test_it_remembers_after_a_restart),
		TEST(test_answers_come_in_order),
		TEST(test_more_than_may_be_in_flight),
		TEST(test_every_proposal_is_answered_once),
		TEST(test_a_clean_end_ends_the_session),
		TEST(test_images_replace_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
