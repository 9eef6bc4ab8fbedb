/* Several members in one process, over the loopback interface: they join, lead, replicate, lose each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/internal.h"

#define MEMBERS 5
#define WAIT_MS 30000

struct member {
	char directory[256], name[16], address[64], error[512];
	struct replica_config config;
	struct replica *replica;
	bool ready, failed, closed;
	unsigned session_ends;
};

struct cluster {
	char *base;
	uv_loop_t loop;
	struct log log;
	struct member members[MEMBERS];
	unsigned count;
	uint64_t snapshot_log_bytes;
};

static void on_ready(void *ctx)
{
	((struct member *)ctx)->ready = true;
}

static void on_failed(void *ctx, const char *text)
{
	struct member *m = ctx;

	m->failed = true;
	snprintf(m->error, sizeof m->error, "%s", text);
}

static void on_closed(void *ctx)
{
	((struct member *)ctx)->closed = true;
}

static void on_event(void *ctx, const struct event *event)
{
	((struct member *)ctx)->session_ends += event->type == EVENT_SESSION_END;
}

static int setup(void **state)
{
	struct cluster *c = calloc(1, sizeof *c);
	const char *base = getenv("TMPDIR");

	assert_true(asprintf(&c->base, "%s/coordfs-cluster-XXXXXX", base ? base : "/tmp") > 0);
	assert_non_null(mkdtemp(c->base));
	assert_int_equal(uv_loop_init(&c->loop), 0);
	log_init(&c->log, "test");
	c->log.level = getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
	*state = c;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void on_deadline(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Run the loop until the condition holds. */
static bool run_until(struct cluster *c, bool (*holds)(void *ctx), void *ctx, unsigned ms)
{
	uv_timer_t timer;
	bool late = false;

	uv_timer_init(&c->loop, &timer);
	timer.data = &late;
	uv_update_time(&c->loop);
	uv_timer_start(&timer, on_deadline, ms, 0);
	while (!holds(ctx) && !late)
		uv_run(&c->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&c->loop, UV_RUN_NOWAIT);
	return !late;
}

static bool is_true(void *flag)
{
	return *(bool *)flag;
}

static void wait_for(struct cluster *c, bool *flag)
{
	assert_true(run_until(c, is_true, flag, WAIT_MS));
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

static void run_ms(struct cluster *c, unsigned ms)
{
	run_until(c, never, NULL, ms);
}

static void take_address(void *ctx, const struct replica_member *info)
{
	struct member *m = ctx;

	if (info->self && info->address[0])
		snprintf(m->address, sizeof m->address, "%s", info->address);
}

static bool has_address(void *ctx)
{
	struct member *m = ctx;

	replica_members(m->replica, take_address, m);
	return m->address[0];
}

static void member_start(struct cluster *c, struct member *m)
{
	m->ready = m->failed = m->closed = false;
	m->session_ends = 0;
	if (replica_open(&c->loop, &m->config, &m->replica, m->error, sizeof m->error))
		fail_msg("%s", m->error);
}

static bool ready_or_failed(void *ctx)
{
	struct member *m = ctx;

	return m->ready || m->failed;
}

static void member_serve(struct cluster *c, struct member *m)
{
	member_start(c, m);
	assert_true(run_until(c, ready_or_failed, m, WAIT_MS));
	if (m->failed)
		fail_msg("%s", m->error);
	assert_true(run_until(c, has_address, m, WAIT_MS));
}

static struct member *member_new(struct cluster *c)
{
	struct member *m = &c->members[c->count++];

	snprintf(m->name, sizeof m->name, "m%u", c->count);
	snprintf(m->directory, sizeof m->directory, "%s/%u", c->base, c->count);
	m->config = (struct replica_config){
		.directory = m->directory,
		.member = m->name,
		.listen = "tcp://127.0.0.1:0",
		.join = c->count > 1 ? c->members[0].address : NULL,
		.timeout_ms = 5000,
		.session_ttl_ms = 3000,
		.version = "test",
		.snapshot_log_bytes = c->snapshot_log_bytes,
		.log = &c->log,
		.ready = on_ready,
		.failed = on_failed,
		.ctx = m,
		.observer = {.ctx = m, .event = on_event},
	};
	return m;
}

static void member_stop(struct cluster *c, struct member *m)
{
	replica_close(m->replica, on_closed, m);
	wait_for(c, &m->closed);
	m->replica = NULL;
}

static int teardown(void **state)
{
	struct cluster *c = *state;

	for (unsigned i = 0; i < c->count; i++)
		if (c->members[i].replica)
			member_stop(c, &c->members[i]);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	nftw(c->base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(c->base);
	free(c);
	return 0;
}

static void form(struct cluster *c, unsigned count)
{
	while (c->count < count)
		member_serve(c, member_new(c));
}

/* ---- commands ---- */

struct pending {
	bool done;
	struct reply reply;
};

static void on_answer(void *ctx, const struct reply *reply)
{
	struct pending *p = ctx;

	assert_false(p->done);
	p->done = true;
	p->reply = *reply;
}

static void start_add(struct member *m, uint64_t counter, struct pending *p)
{
	Coordfs__CounterRequest request = COORDFS__COUNTER_REQUEST__INIT, *list = &request;
	Coordfs__CounterUpdate update = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	request.kind = COUNTER_ADD;
	request.value = 1;
	update.inode = counter;
	update.n_requests = 1;
	update.requests = &list;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &update;
	*p = (struct pending){0};
	replica_propose(m->replica, &command, on_answer, p);
}

static struct reply add(struct cluster *c, struct member *m, uint64_t counter)
{
	struct pending p;

	start_add(m, counter, &p);
	wait_for(c, &p.done);
	return p.reply;
}

static uint64_t create(struct cluster *c, struct member *m, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Create create = COORDFS__CREATE__INIT;
	struct pending p = {0};

	create.parent = INODE_COUNTERS;
	create.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
	create.mode = S_IFREG | 0644;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &create;
	replica_propose(m->replica, &command, on_answer, &p);
	wait_for(c, &p.done);
	assert_int_equal(p.reply.code, OK);
	return p.reply.inode;
}

static void on_barrier(void *ctx, int code)
{
	struct pending *p = ctx;

	p->done = true;
	p->reply.code = code;
}

static int barrier(struct cluster *c, struct member *m)
{
	struct pending p = {0};
	int rc = replica_read_barrier(m->replica, on_barrier, &p);

	if (rc != QUEUED)
		return rc;
	wait_for(c, &p.done);
	return p.reply.code;
}

static int64_t value(struct member *m, uint64_t counter)
{
	struct attr attr;

	assert_int_equal(view_attr(machine_view(replica_machine(m->replica)), counter, &attr), 0);
	return attr.value;
}

/* ---- ---- */

static void test_three_members_form_and_replicate(void **state)
{
	struct cluster *c = *state;
	uint64_t counter;

	form(c, 3);
	counter = create(c, &c->members[0], "c");
	for (int i = 1; i <= 30; i++) {
		struct member *m = &c->members[i % 3], *other = &c->members[(i + 1) % 3];

		assert_int_equal(add(c, m, counter).value, i);
		assert_int_equal(barrier(c, other), OK);
		assert_int_equal(value(other, counter), i);
	}
}

struct roles {
	struct cluster *cluster;
	unsigned wanted, voters;
};

static void count_voter(void *ctx, const struct replica_member *m)
{
	((struct roles *)ctx)->voters += strcmp(m->role, "voter") == 0;
}

static bool all_vote(void *ctx)
{
	struct roles *r = ctx;

	for (unsigned i = 0; i < r->cluster->count; i++) {
		r->voters = 0;
		if (r->cluster->members[i].replica)
			replica_members(r->cluster->members[i].replica, count_voter, r);
		if (r->cluster->members[i].replica && r->voters != r->wanted)
			return false;
	}
	return true;
}

static struct member *leader(struct cluster *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const char *name = c->members[i].replica ? replica_leader(c->members[i].replica) : NULL;

		if (name && strcmp(name, c->members[i].name) == 0)
			return &c->members[i];
	}
	return NULL;
}

static void test_the_leader_goes_and_comes_back(void **state)
{
	struct cluster *c = *state;
	struct roles roles = {c, 3, 0};
	struct member *first, *other;
	uint64_t counter;

	form(c, 3);
	assert_true(run_until(c, all_vote, &roles, WAIT_MS));
	counter = create(c, &c->members[0], "c");
	first = leader(c);
	assert_non_null(first);
	other = first == &c->members[0] ? &c->members[1] : &c->members[0];
	assert_int_equal(add(c, other, counter).value, 1);
	member_stop(c, first);
	assert_int_equal(add(c, other, counter).value, 2);
	member_serve(c, first);
	assert_int_equal(barrier(c, first), OK);
	assert_int_equal(value(first, counter), 2);
	assert_int_equal(add(c, first, counter).value, 3);
}

static void test_no_majority(void **state)
{
	struct cluster *c = *state;
	struct roles roles = {c, 3, 0};
	uint64_t counter;
	int code;

	form(c, 3);
	assert_true(run_until(c, all_vote, &roles, WAIT_MS));
	counter = create(c, &c->members[0], "c");
	member_stop(c, &c->members[1]);
	member_stop(c, &c->members[2]);
	run_ms(c, 2500);
	code = add(c, &c->members[0], counter).code;
	assert_true(code == ERR_NO_QUORUM || code == ERR_TIMED_OUT);
	assert_int_equal(barrier(c, &c->members[0]), ERR_NO_QUORUM);
	assert_true(c->members[0].session_ends >= 1);
	member_start(c, &c->members[1]);
	wait_for(c, &c->members[1].ready);
	assert_int_equal(add(c, &c->members[0], counter).code, OK);
	assert_int_equal(barrier(c, &c->members[0]), OK);
}

static void on_changed(void *ctx, const struct reply *reply)
{
	on_answer(ctx, reply);
}

static struct reply change(struct cluster *c, struct member *m, enum cluster_change_kind kind, const char *name)
{
	struct pending p = {0};

	replica_change(m->replica, kind, name, 0, on_changed, &p);
	wait_for(c, &p.done);
	return p.reply;
}

static void test_leadership_moves(void **state)
{
	struct cluster *c = *state;
	struct roles roles = {c, 3, 0};

	form(c, 3);
	assert_true(run_until(c, all_vote, &roles, WAIT_MS));
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(change(c, &c->members[i % 2], CLUSTER_LEAD, c->members[i % 3].name).code, OK);
		assert_string_equal(replica_leader(c->members[i % 2].replica), c->members[i % 3].name);
	}
	assert_int_equal(change(c, &c->members[0], CLUSTER_LEAD, "nobody").code, ERR_NOT_FOUND);
}

/* A new leader whose first entry is committed may find that out at a tick. From then on it answers readers. */
static void test_a_leader_that_settles_at_a_tick_answers(void **state)
{
	struct cluster *c = *state;
	struct roles roles = {c, 3, 0};
	struct leadership unsettled = {.leads = true};
	struct replica *r;

	form(c, 3);
	assert_true(run_until(c, all_vote, &roles, WAIT_MS));
	r = leader(c)->replica;
	unsettled.term = r->standing.term;
	r->settled = false;
	prober_set(r->prober, &unsettled);
	lead_tick(r, replica_boottime_ms());
	assert_true(r->settled);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(barrier(c, &c->members[i]), OK);
}

static void test_members_come_and_go(void **state)
{
	struct cluster *c = *state;
	struct roles three = {c, 3, 0}, five = {c, 5, 0};
	struct member *last;
	uint64_t counter;

	form(c, 5);
	assert_true(run_until(c, all_vote, &five, WAIT_MS));
	counter = create(c, &c->members[0], "c");
	last = &c->members[4];
	assert_int_equal(change(c, &c->members[1], CLUSTER_STANDBY, last->name).code, OK);
	assert_int_equal(add(c, last, counter).code, OK);
	assert_true(run_until(c, all_vote, &three, WAIT_MS)); /* four would be no better */
	assert_int_equal(change(c, &c->members[1], CLUSTER_VOTER, last->name).code, OK);
	assert_int_equal(change(c, &c->members[1], CLUSTER_REMOVE, last->name).code, OK);
	assert_true(run_until(c, is_true, &last->failed, WAIT_MS)); /* it is told */
	member_stop(c, last);
	/* the leader itself */
	last = leader(c);
	assert_int_equal(change(c, last == &c->members[0] ? &c->members[1] : &c->members[0], CLUSTER_REMOVE, last->name).code,
			 OK);
	member_stop(c, last);
	last = last == &c->members[0] ? &c->members[1] : &c->members[0];
	assert_int_equal(add(c, last, counter).code, OK);
	assert_int_equal(change(c, last, CLUSTER_LEAD, "nobody").code, ERR_NOT_FOUND);
}

static void test_all_stop_and_start_again(void **state)
{
	struct cluster *c = *state;
	struct roles roles = {c, 3, 0};
	uint64_t counter;

	form(c, 3);
	assert_true(run_until(c, all_vote, &roles, WAIT_MS));
	counter = create(c, &c->members[0], "c");
	for (int i = 0; i < 20; i++)
		assert_int_equal(add(c, &c->members[i % 3], counter).code, OK);
	for (unsigned i = 0; i < 3; i++)
		member_stop(c, &c->members[i]);
	for (unsigned i = 0; i < 3; i++) { /* without join, each where it was */
		c->members[i].config.join = NULL;
		c->members[i].config.listen = c->members[i].address;
	}
	for (unsigned i = 0; i < 3; i++)
		member_start(c, &c->members[i]);
	for (unsigned i = 0; i < 3; i++)
		wait_for(c, &c->members[i].ready);
	assert_int_equal(add(c, &c->members[1], counter).value, 21);
}

/* Those that are there. */
static bool all_have_images(void *ctx)
{
	struct cluster *c = ctx;
	struct replica_status status;

	for (unsigned i = 0; i < c->count; i++) {
		if (!c->members[i].replica)
			continue;
		replica_status(c->members[i].replica, &status);
		if (!status.snapshot_index)
			return false;
	}
	return true;
}

/* A member that was away longer than the log reaches back gets an image; so does one that joins late. */
static void test_an_image_from_the_leader(void **state)
{
	struct cluster *c = *state;
	struct member *away;
	struct replica_metrics metrics;
	uint64_t counter;

	c->snapshot_log_bytes = 20000;
	form(c, 3);
	counter = create(c, &c->members[0], "c");
	away = &c->members[2];
	member_stop(c, away);
	for (int i = 0; i < 300; i++)
		assert_int_equal(add(c, &c->members[0], counter).code, OK);
	assert_true(run_until(c, all_have_images, c, WAIT_MS));
	for (int i = 0; i < 300; i++)
		assert_int_equal(add(c, &c->members[0], counter).code, OK);
	member_serve(c, away);
	assert_int_equal(barrier(c, away), OK);
	assert_int_equal(value(away, counter), 600);
	assert_int_equal(add(c, away, counter).value, 601);
	replica_metrics(away->replica, &metrics);
	assert_true(metrics.images_fetched >= 1);
	member_stop(c, away); /* … and goes on from it after a restart */
	assert_int_equal(add(c, &c->members[0], counter).value, 602);
	member_serve(c, away);
	assert_int_equal(barrier(c, away), OK);
	assert_int_equal(value(away, counter), 602);
	member_serve(c, member_new(c));
	assert_int_equal(value(&c->members[3], counter), 602);
	replica_metrics(c->members[3].replica, &metrics);
	assert_true(metrics.images_fetched >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_three_members_form_and_replicate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_leader_goes_and_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_majority, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leadership_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_leader_that_settles_at_a_tick_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_members_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_stop_and_start_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_image_from_the_leader, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
