/* How a transaction ends when the log answers, refuses, or does not answer in time. The replica is this file's own. */

#include "machine_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/transactions.h"

/* ---- a replica that answers what the test says ---- */

struct replica {
	struct fixture machine;
	int code; /* OK: the machine's own reply; else this, and nothing is applied */
	bool applies; /* … or it is applied, and only the answer is lost */
	replica_done done;
	void *ctx;
	struct reply reply;
	unsigned proposals;
};

uint64_t replica_propose(struct replica *r, const Coordfs__Command *command, replica_done done, void *ctx)
{
	struct reply reply = {.code = r->code};

	r->proposals++;
	if (r->code == OK || r->applies)
		reply = fixture_apply(&r->machine, command);
	r->reply = r->code == OK ? reply : (struct reply){.code = r->code};
	r->done = done;
	r->ctx = ctx;
	return r->proposals;
}

struct machine *replica_machine(struct replica *r)
{
	return r->machine.machine;
}

const char *replica_member(const struct replica *r)
{
	(void)r;
	return "one";
}

uint64_t replica_session(const struct replica *r)
{
	return r->machine.session;
}

int replica_read_barrier(struct replica *r, void (*ready)(void *ctx, int code), void *ctx)
{
	(void)r, (void)ready, (void)ctx;
	return OK;
}

const char *replica_leader(struct replica *r)
{
	return replica_member(r);
}

/* ---- one transaction that adds 5 to a counter of 1 ---- */

struct world {
	uv_loop_t loop;
	struct replica replica;
	struct front front;
	struct txn txn;
	uint64_t counter;
};

static int answers, last_answer;

static void on_answer(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)c;
	answers++;
	last_answer = reply->code;
}

static void stage_addition(struct txn *t, uint64_t counter)
{
	Coordfs__CounterRequest request = COORDFS__COUNTER_REQUEST__INIT, *list = &request;
	Coordfs__CounterUpdate update = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct reply reply;

	request.kind = COUNTER_ADD;
	request.value = 5;
	update.inode = counter;
	update.n_requests = 1;
	update.requests = &list;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &update;
	transaction_stage(t->inner, &command, 1, &reply);
	assert_int_equal(reply.code, OK);
	t->operations++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	uv_loop_init(&w->loop);
	fixture_init(&w->replica.machine);
	w->front.loop = &w->loop;
	w->front.replica = &w->replica;
	assert_int_equal(transactions_new(&w->front), OK);
	w->counter = fixture_create(&w->replica.machine, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	fixture_add(&w->replica.machine, w->counter, 1, NULL);
	w->txn = (struct txn){.front = &w->front, .name = "t", .number = 77, .timeout_s = 60, .listed = true};
	w->txn.session = w->replica.machine.session;
	assert_int_equal(transaction_new(w->replica.machine.machine, &w->txn.inner), OK);
	stage_addition(&w->txn, w->counter);
	answers = 0;
	last_answer = 1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	txn_drop_view(&w->txn);
	transactions_stop(&w->front);
	transactions_free(&w->front);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	fixture_fini(&w->replica.machine);
	free(w);
	return 0;
}

static void commit(struct world *w)
{
	struct call c = {.node = txn_node(&w->txn), .answer = on_answer};

	txn_commit(&w->txn, &c);
}

static void deliver(struct world *w)
{
	replica_done done = w->replica.done;

	assert_non_null(done);
	w->replica.done = NULL;
	done(w->replica.ctx, &w->replica.reply);
}

static int64_t value(struct world *w)
{
	return fixture_value(&w->replica.machine, w->counter);
}

static void assert_status(struct world *w, const char *want)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	txn_print_status(&w->txn, out);
	fclose(out);
	if (strncmp(text, want, strlen(want)) != 0)
		fail_msg("status is %swant %s", text, want);
	free(text);
}

/* ---- cases ---- */

static void test_commit(void **state)
{
	struct world *w = *state;

	commit(w);
	assert_int_equal(answers, 0);
	assert_status(w, "undecided\n");
	deliver(w);
	assert_int_equal(answers, 1);
	assert_int_equal(last_answer, OK);
	assert_status(w, "committed ");
	commit(w); /* again: known, without asking */
	assert_int_equal(answers, 2);
	assert_int_equal(last_answer, OK);
	assert_int_equal(w->replica.proposals, 1);
	assert_int_equal(value(w), 6);
}

static void test_two_ask_at_once(void **state)
{
	struct world *w = *state;

	commit(w);
	commit(w);
	assert_int_equal(w->replica.proposals, 1);
	deliver(w);
	assert_int_equal(answers, 2);
	assert_int_equal(value(w), 6);
}

/* Certainly not applied: it is open as before, and the next try may succeed. */
static void test_not_applied(void **state)
{
	static const int codes[] = {ERR_NO_QUORUM, ERR_NO_SPACE, ERR_NO_MEMORY, ERR_TOO_BIG};
	struct world *w = *state;

	for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
		w->replica.code = codes[i];
		commit(w);
		deliver(w);
		assert_int_equal(last_answer, codes[i]);
		assert_status(w, "active\n");
		assert_int_not_equal(w->txn.wake_ms, 0); /* its timeout still holds */
	}
	w->replica.code = OK;
	commit(w);
	deliver(w);
	assert_int_equal(last_answer, OK);
	assert_int_equal(value(w), 6);
}

/* The answer was lost: the user is told so, it is asked again without him, and applied once. */
static void lost_answer(struct world *w, bool applies)
{
	w->replica.code = ERR_TIMED_OUT;
	w->replica.applies = applies;
	commit(w);
	deliver(w);
	assert_int_equal(last_answer, ERR_TIMED_OUT);
	assert_status(w, "undecided\n");
	assert_int_not_equal(w->txn.wake_ms, 0);
	w->replica.code = OK;
	txn_wake(&w->txn);
	assert_int_equal(w->replica.proposals, 2);
	txn_wake(&w->txn); /* one at a time */
	assert_int_equal(w->replica.proposals, 2);
	deliver(w);
	assert_status(w, "committed ");
	assert_int_equal(value(w), 6);
	assert_int_equal(answers, 1);
}

static void test_lost_answer_applied(void **state)
{
	lost_answer(*state, true);
}

static void test_lost_answer_not_applied(void **state)
{
	lost_answer(*state, false);
}

static void test_conflict(void **state)
{
	struct world *w = *state;

	assert_int_equal(transaction_saw_content(w->txn.inner, w->counter), OK);
	fixture_add(&w->replica.machine, w->counter, 1, NULL);
	commit(w);
	deliver(w);
	assert_int_equal(last_answer, ERR_CANCELED);
	assert_status(w, "aborted counters/c has changed");
	assert_non_null(strstr(w->txn.error, "counters/c"));
	assert_null(w->txn.inner);
	commit(w);
	assert_int_equal(last_answer, ERR_CANCELED);
	assert_int_equal(w->replica.proposals, 1);
	assert_int_equal(value(w), 2);
}

static void test_timeout(void **state)
{
	struct world *w = *state;
	Coordfs__Outcome *o;

	txn_wake(&w->txn);
	assert_status(w, "aborted timeout");
	assert_null(w->txn.inner);
	assert_int_equal(machine_outcome(w->replica.machine.machine, "t", "one", &o), OK);
	assert_false(o->committed);
	assert_int_equal(o->number, 77);
	coordfs__outcome__free_unpacked(o, NULL);
	assert_int_equal(value(w), 1);
}

/* The view of one that is committed is kept for a while, no longer. */
static void test_the_view_is_given_up(void **state)
{
	struct world *w = *state;

	commit(w);
	deliver(w);
	assert_non_null(w->txn.inner);
	assert_int_not_equal(w->txn.wake_ms, 0);
	txn_wake(&w->txn);
	assert_null(w->txn.inner);
	assert_status(w, "committed ");
}

/* ---- the session is over ---- */

static void assert_recorded(struct world *w, bool committed)
{
	Coordfs__Outcome *o;

	assert_int_equal(machine_outcome(w->replica.machine.machine, "t", "one", &o), OK);
	assert_int_equal(o->committed, committed);
	coordfs__outcome__free_unpacked(o, NULL);
}

static void test_lost_while_open(void **state)
{
	struct world *w = *state;
	struct view view;

	w->front.epoch++;
	assert_int_equal(txn_view(&w->txn, &view), ERR_NOT_FOUND);
	assert_status(w, "aborted session lost\n");
	assert_recorded(w, false);
	commit(w);
	assert_int_equal(last_answer, ERR_CANCELED);
	assert_int_equal(value(w), 1);
}

static void test_lost_before_the_commit(void **state)
{
	struct world *w = *state;

	commit(w);
	w->replica.reply = (struct reply){.code = ERR_STALE}; /* it came too late */
	w->front.epoch++;
	deliver(w);
	assert_int_equal(last_answer, ERR_CANCELED);
	assert_status(w, "aborted session lost\n");
}

static void test_lost_after_the_commit(void **state)
{
	struct world *w = *state;

	commit(w);
	w->front.epoch++;
	deliver(w);
	assert_int_equal(last_answer, OK);
	assert_status(w, "committed ");
}

static void test_refused_and_lost(void **state)
{
	struct world *w = *state;

	w->replica.code = ERR_NO_QUORUM;
	commit(w);
	w->front.epoch++;
	deliver(w);
	assert_int_equal(last_answer, ERR_CANCELED);
	assert_status(w, "aborted session lost\n");
}

/* It is looked up when the end of its session is here, not proposed in another one: there it would count twice. */
static void undecided_and_lost(struct world *w, bool applies)
{
	w->replica.code = ERR_TIMED_OUT;
	w->replica.applies = applies;
	commit(w);
	deliver(w);
	assert_status(w, "undecided\n");
	w->front.epoch++;
	txn_wake(&w->txn);
	if (!applies) {
		assert_status(w, "undecided\n"); /* it may still be on its way to the log */
		commit(w);
		assert_int_equal(last_answer, ERR_TIMED_OUT);
		fixture_open(&w->replica.machine, "one");
		txn_wake(&w->txn);
	}
	assert_status(w, applies ? "committed " : "aborted session lost\n");
	assert_int_equal(w->replica.proposals, 1);
	assert_int_equal(value(w), applies ? 6 : 1);
	commit(w);
	assert_int_equal(last_answer, applies ? OK : ERR_CANCELED);
}

static void test_undecided_lost_and_committed(void **state)
{
	undecided_and_lost(*state, true);
}

static void test_undecided_and_lost(void **state)
{
	undecided_and_lost(*state, false);
}

/* ---- the state is replaced ---- */

static void undecided_and_replaced(struct world *w, bool applies)
{
	w->replica.code = ERR_TIMED_OUT;
	w->replica.applies = applies;
	commit(w);
	deliver(w);
	txn_drop_view(&w->txn);
	w->replica.code = OK;
	txn_wake(&w->txn);
	if (w->replica.done)
		deliver(w);
	assert_status(w, applies ? "committed " : "aborted ");
	assert_int_equal(value(w), applies ? 6 : 1);
	assert_recorded(w, applies);
}

static void test_undecided_replaced_and_committed(void **state)
{
	undecided_and_replaced(*state, true);
}

static void test_undecided_and_replaced(void **state)
{
	undecided_and_replaced(*state, false);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_commit),
		CASE(test_two_ask_at_once),
		CASE(test_not_applied),
		CASE(test_lost_answer_applied),
		CASE(test_lost_answer_not_applied),
		CASE(test_conflict),
		CASE(test_timeout),
		CASE(test_the_view_is_given_up),
		CASE(test_lost_while_open),
		CASE(test_lost_before_the_commit),
		CASE(test_lost_after_the_commit),
		CASE(test_refused_and_lost),
		CASE(test_undecided_lost_and_committed),
		CASE(test_undecided_and_lost),
		CASE(test_undecided_replaced_and_committed),
		CASE(test_undecided_and_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
