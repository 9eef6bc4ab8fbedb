/* Two scenarios in which libraft 0.15 lost or endangered acknowledged writes, run on the libraft that is linked. Three
 * servers in libraft's own fixture: one process, virtual time, nothing random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <raft.h>
#include <raft/fixture.h>

#define SERVERS 3
#define APPLIED_MAX 32

/* A write is a number; a machine is the list of those applied. */
struct machine {
	uint64_t applied[APPLIED_MAX];
	unsigned count;
};

struct write {
	struct raft_apply request;
	bool acknowledged;
};

struct cluster {
	struct raft_fixture fixture;
	struct raft_fsm fsm[SERVERS];
	struct machine machines[SERVERS];
};

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	struct machine *m = fsm->data;

	assert_true(m->count < APPLIED_MAX);
	memcpy(&m->applied[m->count++], buffer->base, sizeof m->applied[0]);
	*result = NULL;
	return 0;
}

static int no_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
	(void)fsm;
	(void)bufs;
	(void)n_bufs;
	return RAFT_BUSY;
}

static int no_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	(void)fsm;
	(void)buffer;
	return RAFT_CORRUPT;
}

static int setup(void **state)
{
	struct cluster *c = calloc(1, sizeof *c);
	struct raft_configuration configuration;

	assert_non_null(c);
	assert_int_equal(raft_fixture_init(&c->fixture), 0);
	for (unsigned i = 0; i < SERVERS; i++) {
		c->fsm[i] = (struct raft_fsm){.version = 1, .data = &c->machines[i], .apply = apply,
					      .snapshot = no_snapshot, .restore = no_restore};
		assert_int_equal(raft_fixture_grow(&c->fixture, &c->fsm[i]), 0);
		raft_fixture_get(&c->fixture, i)->tracer = NULL;
	}
	assert_int_equal(raft_fixture_configuration(&c->fixture, SERVERS, &configuration), 0);
	assert_int_equal(raft_fixture_bootstrap(&c->fixture, &configuration), 0);
	raft_configuration_close(&configuration);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct cluster *c = *state;

	raft_fixture_close(&c->fixture);
	free(c);
	return 0;
}

/* ---- steps ---- */

static void cut(struct cluster *c, unsigned a, unsigned b)
{
	raft_fixture_saturate(&c->fixture, a, b);
	raft_fixture_saturate(&c->fixture, b, a);
}

static void join(struct cluster *c, unsigned a, unsigned b)
{
	raft_fixture_desaturate(&c->fixture, a, b);
	raft_fixture_desaturate(&c->fixture, b, a);
}

/* Of the next elections i's comes first. */
static void favour(struct cluster *c, unsigned i)
{
	for (unsigned j = 0; j < SERVERS; j++)
		raft_fixture_set_randomized_election_timeout(&c->fixture, j, j == i ? 1000 : 2000);
}

static void step_until(struct cluster *c, unsigned i, int state)
{
	assert_true(raft_fixture_step_until_state_is(&c->fixture, i, state, 20000));
}

static void acknowledge(struct raft_apply *request, int status, void *result)
{
	(void)result;
	((struct write *)request->data)->acknowledged = status == 0;
}

static void start_write(struct cluster *c, unsigned i, uint64_t number, struct write *w)
{
	struct raft_buffer buffer = {.base = raft_malloc(sizeof number), .len = sizeof number};

	assert_non_null(buffer.base);
	memcpy(buffer.base, &number, sizeof number);
	*w = (struct write){.request.data = w};
	assert_int_equal(raft_apply(raft_fixture_get(&c->fixture, i), &w->request, &buffer, 1, acknowledge), 0);
}

static bool has_applied(const struct cluster *c, unsigned i, uint64_t number)
{
	for (unsigned j = 0; j < c->machines[i].count; j++)
		if (c->machines[i].applied[j] == number)
			return true;
	return false;
}

static unsigned next_leader(struct cluster *c, unsigned a, unsigned b)
{
	for (int i = 0; i < 60; i++) {
		if (raft_state(raft_fixture_get(&c->fixture, a)) == RAFT_LEADER)
			return a;
		if (raft_state(raft_fixture_get(&c->fixture, b)) == RAFT_LEADER)
			return b;
		raft_fixture_step_until_elapsed(&c->fixture, 500);
	}
	fail_msg("nobody was elected");
	return a;
}

/* ---- a follower's old, unverified suffix counts for nothing ----
 *
 * S1 leads, is cut off, and appends 3 entries that it can never commit. S0 is elected by S2, then S2 falls silent and
 * S1 is back. S0 takes 3 writes: what S1 has on disk at their indexes is its own old entries. A follower that reports
 * them as stored lets S0 acknowledge what only S0 holds; then S0 dies, S1 wins, and the writes are gone. */
static void test_old_entries_of_a_follower_are_no_votes(void **state)
{
	struct cluster *c = *state;
	struct write old[3], new[3], later;
	unsigned leader, acknowledged = 0;

	assert_int_equal(raft_fixture_start(&c->fixture), 0);
	raft_fixture_elect(&c->fixture, 1);
	raft_fixture_step_until_elapsed(&c->fixture, 400);
	cut(c, 1, 0);
	cut(c, 1, 2);
	for (unsigned i = 0; i < 3; i++)
		start_write(c, 1, 100 + i, &old[i]);
	step_until(c, 1, RAFT_FOLLOWER);
	favour(c, 0);
	step_until(c, 0, RAFT_LEADER);
	cut(c, 0, 2);
	raft_fixture_step_until_elapsed(&c->fixture, 1);
	join(c, 1, 0);
	join(c, 1, 2);
	for (unsigned i = 0; i < 3; i++)
		start_write(c, 0, 200 + i, &new[i]);
	raft_fixture_step_until_elapsed(&c->fixture, 600);
	for (unsigned i = 0; i < 3; i++) {
		assert_false(old[i].acknowledged);
		acknowledged += new[i].acknowledged;
	}
	assert_int_equal(acknowledged, 3); /* S0 and S1 are a majority */

	raft_fixture_kill(&c->fixture, 0);
	join(c, 0, 2);
	favour(c, 1);
	leader = next_leader(c, 1, 2);
	start_write(c, leader, 300, &later);
	raft_fixture_step_until_elapsed(&c->fixture, 1000);
	assert_true(later.acknowledged);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(has_applied(c, leader, 200 + i));
		assert_false(has_applied(c, leader, 100 + i));
	}
}

/* ---- an entry of an earlier term is not committed by counting its copies (Raft, Figure 8) ----
 *
 * Entry 2 of term 2 is on S0 only, entry 2 of term 3 on S2 only. S0 leads in term 4 with S1. While S1 merely has a copy
 * of S0's entry 2, S2 could still win an election and overwrite it: S0 may apply it only together with an entry of its
 * own term. */
static void add_entry(struct cluster *c, unsigned i, raft_term term, uint64_t number)
{
	struct raft_entry entry = {.type = RAFT_COMMAND, .term = term};

	entry.buf.len = sizeof number;
	entry.buf.base = raft_malloc(sizeof number);
	assert_non_null(entry.buf.base);
	memcpy(entry.buf.base, &number, sizeof number);
	raft_fixture_add_entry(&c->fixture, i, &entry);
}

static void test_earlier_terms_are_committed_with_the_own_one(void **state)
{
	struct cluster *c = *state;
	struct raft *r0 = raft_fixture_get(&c->fixture, 0);
	unsigned leader;

	add_entry(c, 0, 2, 102);
	add_entry(c, 2, 3, 103);
	for (unsigned i = 0; i < SERVERS; i++)
		raft_fixture_set_term(&c->fixture, i, 3);
	assert_int_equal(raft_fixture_start(&c->fixture), 0);
	cut(c, 0, 2);
	cut(c, 1, 2);
	favour(c, 0);
	step_until(c, 0, RAFT_LEADER);
	for (int i = 0; i < 2000 && !c->machines[0].count; i++)
		raft_fixture_step(&c->fixture);
	assert_true(has_applied(c, 0, 102));
	assert_true(raft_commit_index(r0) > 2);

	/* What S0 has applied survives it, although S2 comes back with its entry of a later term. */
	raft_fixture_kill(&c->fixture, 0);
	join(c, 1, 2);
	favour(c, 2);
	leader = next_leader(c, 1, 2);
	assert_int_equal(leader, 1);
	raft_fixture_step_until_elapsed(&c->fixture, 1000);
	assert_true(has_applied(c, 1, 102));
	assert_true(has_applied(c, 2, 102));
	assert_false(has_applied(c, 2, 103));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_old_entries_of_a_follower_are_no_votes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_earlier_terms_are_committed_with_the_own_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
