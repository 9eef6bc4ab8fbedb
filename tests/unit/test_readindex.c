/* ReadIndex: when the leader answers, and when a reader goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "replica/readindex.h"

#define SELF 1u
#define TERM 7u
#define TIMEOUT_MS 10000u
#define CALLS_MAX 64u

/* ---- the prober ---- */

struct probe {
	uint64_t voter, nonce, term;
};
struct answer {
	uint64_t from, nonce, session, index;
	int code;
};
struct leader {
	struct prober *p;
	struct probe probes[CALLS_MAX];
	struct answer answers[CALLS_MAX];
	unsigned probe_count, answer_count;
	unsigned ask_again; /* so many answers bring the next request */
};

static void probe(void *ctx, uint64_t voter, uint64_t nonce, uint64_t term)
{
	struct leader *l = ctx;

	assert_true(l->probe_count < CALLS_MAX);
	l->probes[l->probe_count++] = (struct probe){voter, nonce, term};
}

static void answer(void *ctx, uint64_t from, uint64_t nonce, uint64_t session, uint64_t index, int code)
{
	struct leader *l = ctx;

	assert_true(l->answer_count < CALLS_MAX);
	l->answers[l->answer_count++] = (struct answer){from, nonce, session, index, code};
	if (l->ask_again) {
		l->ask_again--;
		prober_request(l->p, from, nonce + 2, session, 0);
	}
}

static void lead_among(struct leader *l, bool leads, bool settled, uint64_t term, size_t voters)
{
	static const uint64_t ids[] = {1, 2, 3, 4, 5};

	prober_set(l->p, &(struct leadership){leads, settled, term, ids, voters});
}

static int setup_leader(void **state)
{
	struct leader *l = calloc(1, sizeof *l);
	struct probe_port port = {l, probe, answer};

	assert_non_null(l);
	l->p = prober_new(&port, SELF);
	assert_non_null(l->p);
	lead_among(l, true, true, TERM, 3);
	prober_set_commit(l->p, 100);
	*state = l;
	return 0;
}

static int teardown_leader(void **state)
{
	struct leader *l = *state;

	prober_free(l->p);
	free(l);
	return 0;
}

static const struct answer *last_answer(const struct leader *l)
{
	assert_true(l->answer_count > 0);
	return &l->answers[l->answer_count - 1];
}

static uint64_t nonce_of_round(const struct leader *l)
{
	assert_true(l->probe_count > 0);
	return l->probes[l->probe_count - 1].nonce;
}

static void test_majority_answers(void **state)
{
	struct leader *l = *state;

	prober_request(l->p, 9, 42, 77, 0);
	assert_int_equal(l->probe_count, 1); /* with itself that is a majority */
	assert_int_equal(l->probes[0].voter, 2);
	assert_int_equal(l->probes[0].term, TERM);
	assert_int_equal(l->answer_count, 0);
	prober_result(l->p, 2, nonce_of_round(l), TERM, 1);
	assert_int_equal(l->answer_count, 1);
	assert_memory_equal(last_answer(l), (&(struct answer){9, 42, 77, 100, OK}), offsetof(struct answer, code));
	assert_int_equal(last_answer(l)->code, OK);
	assert_false(prober_busy(l->p));
	assert_int_equal(prober_rounds(l->p), 1);
}

/* Who is silent is passed over: by all the others at the next tick, and from then on by those that answered. */
static void test_silent_voter(void **state)
{
	struct leader *l = *state;

	prober_request(l->p, 9, 42, 0, 0);
	assert_int_equal(l->probes[0].voter, 2);
	prober_tick(l->p, 1);
	assert_int_equal(l->probes[l->probe_count - 1].voter, 3);
	assert_int_equal(l->probes[l->probe_count - 1].nonce, l->probes[0].nonce);
	prober_result(l->p, 3, nonce_of_round(l), TERM, 2);
	assert_int_equal(l->answer_count, 1);
	l->probe_count = 0;
	prober_request(l->p, 9, 44, 0, 3);
	assert_int_equal(l->probe_count, 1);
	assert_int_equal(l->probes[0].voter, 3);
	lead_among(l, true, true, TERM, 5); /* of a larger cluster two are asked, that one among them */
	prober_result(l->p, 3, nonce_of_round(l), TERM, 4);
	prober_result(l->p, 5, nonce_of_round(l), TERM, 4);
	l->probe_count = 0;
	prober_request(l->p, 9, 46, 0, 5);
	assert_int_equal(l->probe_count, 2);
	assert_int_equal(l->probes[0].voter, 3);
	assert_int_equal(l->probes[1].voter, 5);
}

static void test_what_does_not_count(void **state)
{
	struct leader *l = *state;

	prober_request(l->p, 9, 42, 0, 0);
	prober_result(l->p, 2, nonce_of_round(l), TERM + 1, 1); /* another term */
	prober_result(l->p, 2, nonce_of_round(l), TERM - 1, 1);
	prober_result(l->p, 2, nonce_of_round(l) - 1, TERM, 1); /* another round */
	prober_result(l->p, 8, nonce_of_round(l), TERM, 1);	 /* no voter */
	prober_result(l->p, SELF, nonce_of_round(l), TERM, 1);	 /* counted already */
	assert_int_equal(l->answer_count, 0);
	lead_among(l, true, true, TERM, 5);
	prober_result(l->p, 2, nonce_of_round(l), TERM, 1);
	prober_result(l->p, 2, nonce_of_round(l), TERM, 1); /* one voter twice */
	assert_int_equal(l->answer_count, 0);
	prober_result(l->p, 5, nonce_of_round(l), TERM, 1);
	assert_int_equal(l->answer_count, 1);
}

/* Who comes while a round is under way waits for the next one, which sees what was committed meanwhile. */
static void test_next_round(void **state)
{
	struct leader *l = *state;
	uint64_t first;

	prober_request(l->p, 9, 42, 0, 0);
	first = nonce_of_round(l);
	prober_set_commit(l->p, 101);
	prober_request(l->p, 9, 44, 0, 1);
	prober_request(l->p, 8, 4, 0, 1);
	assert_int_equal(l->probe_count, 1);
	prober_result(l->p, 2, first, TERM, 2);
	assert_int_equal(l->answer_count, 1);
	assert_int_equal(last_answer(l)->index, 100);
	assert_int_equal(l->probe_count, 2);
	prober_result(l->p, 3, first, TERM, 2); /* of the round before */
	assert_int_equal(l->answer_count, 1);
	prober_result(l->p, 3, nonce_of_round(l), TERM, 2);
	assert_int_equal(l->answer_count, 3);
	assert_int_equal(last_answer(l)->from, 8);
	assert_int_equal(last_answer(l)->index, 101);
	assert_int_equal(prober_rounds(l->p), 2);
}

static void test_single_voter(void **state)
{
	struct leader *l = *state;

	lead_among(l, true, true, TERM, 1);
	l->ask_again = 3;
	prober_request(l->p, 1, 2, 0, 0);
	assert_int_equal(l->answer_count, 4);
	assert_int_equal(l->probe_count, 0);
	assert_int_equal(last_answer(l)->code, OK);
}

static void test_not_settled(void **state)
{
	struct leader *l = *state;

	lead_among(l, true, false, TERM, 3);
	prober_request(l->p, 9, 42, 0, 0);
	assert_int_equal(l->probe_count + l->answer_count, 0);
	prober_set_commit(l->p, 110);
	lead_among(l, true, true, TERM, 3);
	assert_int_equal(l->probe_count, 1);
	prober_result(l->p, 2, nonce_of_round(l), TERM, 2);
	assert_int_equal(last_answer(l)->index, 110);
}

static void test_deposed(void **state)
{
	struct leader *l = *state;
	uint64_t nonce;

	prober_request(l->p, 9, 42, 0, 0);
	prober_request(l->p, 9, 44, 0, 0);
	nonce = nonce_of_round(l);
	lead_among(l, false, false, TERM + 1, 3);
	assert_int_equal(l->answer_count, 2);
	assert_int_equal(l->answers[0].code, ERR_NO_QUORUM);
	assert_int_equal(l->answers[1].code, ERR_NO_QUORUM);
	prober_result(l->p, 2, nonce, TERM, 1);
	assert_int_equal(l->answer_count, 2);
	prober_request(l->p, 9, 46, 0, 0);
	assert_int_equal(last_answer(l)->code, ERR_NO_QUORUM);
}

/* It led, lost and leads again: what was asked in the former term proves nothing in this one. */
static void test_another_term(void **state)
{
	struct leader *l = *state;
	uint64_t nonce;

	prober_request(l->p, 9, 42, 0, 0);
	nonce = nonce_of_round(l);
	lead_among(l, true, false, TERM + 2, 3);
	prober_result(l->p, 2, nonce, TERM, 1);
	prober_result(l->p, 2, nonce, TERM + 2, 1);
	assert_int_equal(l->answer_count, 0);
	lead_among(l, true, true, TERM + 2, 3);
	assert_true(nonce_of_round(l) != nonce);
	prober_result(l->p, 2, nonce_of_round(l), TERM + 2, 1);
	assert_int_equal(l->answer_count, 1);
	assert_int_equal(last_answer(l)->nonce, 42);
}

static void test_probes_again(void **state)
{
	struct leader *l = *state;

	lead_among(l, true, true, TERM, 5);
	prober_request(l->p, 9, 42, 0, 0);
	assert_int_equal(l->probe_count, 2);
	prober_tick(l->p, 1);
	assert_int_equal(l->probe_count, 6); /* all four */
	prober_result(l->p, 4, nonce_of_round(l), TERM, 5);
	prober_tick(l->p, PROBE_AGAIN_MS);
	assert_int_equal(l->probe_count, 6);
	prober_tick(l->p, 1 + PROBE_AGAIN_MS);
	assert_int_equal(l->probe_count, 9); /* all but the one that has answered */
	prober_tick(l->p, REQUEST_MS + 1);
	assert_false(prober_busy(l->p));
	prober_result(l->p, 5, nonce_of_round(l), TERM, 5);
	assert_int_equal(l->answer_count, 0);
	prober_request(l->p, 9, 44, 0, REQUEST_MS + 2); /* goes on as before */
	prober_result(l->p, 5, nonce_of_round(l), TERM, REQUEST_MS + 2);
	prober_result(l->p, 4, nonce_of_round(l), TERM, REQUEST_MS + 2);
	assert_int_equal(last_answer(l)->nonce, 44);
}

/* Requests that are dropped and asked again count on. */
static void test_how_long_somebody_waits(void **state)
{
	struct leader *l = *state;
	struct probe_state why;

	assert_int_equal(prober_waits_ms(l->p, &why), 0);
	for (uint64_t now = 10000; now <= 20000; now += 1000) {
		prober_request(l->p, 9, now, 0, now);
		prober_tick(l->p, now);
		assert_int_equal(prober_waits_ms(l->p, &why), now - 10000);
	}
	assert_int_equal(why.voters, 3);
	assert_int_equal(why.answered, 1);
	assert_true(why.settled);
	prober_result(l->p, 3, nonce_of_round(l), TERM, 20001);
	assert_int_equal(prober_waits_ms(l->p, &why), 0);
	prober_result(l->p, 3, nonce_of_round(l), TERM, 20002);
	assert_false(prober_busy(l->p));
	prober_request(l->p, 9, 1, 0, 22000); /* what was answered does not count */
	prober_tick(l->p, 22500);
	assert_int_equal(prober_waits_ms(l->p, &why), 500);
}

static void test_voters_change(void **state)
{
	struct leader *l = *state;
	static const uint64_t others[] = {1, 2, 6};

	lead_among(l, true, true, TERM, 5);
	prober_request(l->p, 9, 42, 0, 0);
	prober_result(l->p, 5, nonce_of_round(l), TERM, 1);
	prober_set(l->p, &(struct leadership){true, true, TERM, others, 3});
	assert_int_equal(l->answer_count, 0); /* 5 votes no more */
	assert_int_equal(l->probes[l->probe_count - 1].voter, 6);
	prober_result(l->p, 6, nonce_of_round(l), TERM, 1);
	assert_int_equal(l->answer_count, 1);
}

static void test_requests_are_bounded(void **state)
{
	struct leader *l = *state;
	static struct answer none;

	lead_among(l, true, false, TERM, 3);
	for (unsigned i = 0; i < PROBER_REQUESTS_MAX + 10; i++)
		prober_request(l->p, 9, i, 0, 0);
	prober_tick(l->p, REQUEST_MS + 1);
	assert_false(prober_busy(l->p));
	assert_memory_equal(&l->answers[0], &none, sizeof none);
}

/* ---- the reader ---- */

struct asker {
	struct reader *r;
	uint64_t leaders[CALLS_MAX], nonces[CALLS_MAX];
	unsigned count;
	bool refuse;
	unsigned ready_count;
	int codes[CALLS_MAX];
	bool in_add;
};

static bool request(void *ctx, uint64_t leader, uint64_t nonce)
{
	struct asker *a = ctx;

	assert_true(a->count < CALLS_MAX);
	assert_int_equal(nonce % 2, 0);
	a->leaders[a->count] = leader;
	a->nonces[a->count++] = nonce;
	return !a->refuse;
}

static void ready(void *ctx, int code)
{
	struct asker *a = ctx;

	assert_false(a->in_add);
	a->codes[a->ready_count++] = code;
}

static void ready_and_again(void *ctx, int code)
{
	struct asker *a = ctx;

	ready(ctx, code);
	reader_add(a->r, ready, a, 0);
}

static int setup_reader(void **state)
{
	struct asker *a = calloc(1, sizeof *a);
	struct reader_port port = {a, request};

	assert_non_null(a);
	a->r = reader_new(&port, TIMEOUT_MS, UINT64_MAX - 4); /* nonces wrap */
	assert_non_null(a->r);
	*state = a;
	return 0;
}

static int setup_reader_led(void **state)
{
	setup_reader(state);
	reader_set_leader(((struct asker *)*state)->r, 3, 0);
	return 0;
}

static int teardown_reader(void **state)
{
	struct asker *a = *state;

	reader_free(a->r);
	free(a);
	return 0;
}

static void add(struct asker *a, uint64_t now_ms)
{
	a->in_add = true;
	reader_add(a->r, ready, a, now_ms);
	a->in_add = false;
}

static void result(struct asker *a, uint64_t index, int code)
{
	reader_result(a->r, a->nonces[a->count - 1], index, code, 0);
}

static void test_waits_until_applied(void **state)
{
	struct asker *a = *state;

	add(a, 0);
	assert_int_equal(a->count, 1);
	assert_int_equal(a->leaders[0], 3);
	reader_applied(a->r, 99);
	assert_int_equal(a->ready_count, 0);
	result(a, 100, OK);
	assert_int_equal(a->ready_count, 0);
	reader_applied(a->r, 100);
	assert_int_equal(a->ready_count, 1);
	assert_int_equal(a->codes[0], OK);
	add(a, 0);
	result(a, 100, OK); /* applied already */
	assert_int_equal(a->ready_count, 2);
	assert_false(reader_busy(a->r));
}

/* A read that came after the request was sent waits for the next one. */
static void test_one_request_for_all(void **state)
{
	struct asker *a = *state;

	add(a, 0);
	for (unsigned i = 0; i < 5; i++)
		add(a, 0);
	assert_int_equal(a->count, 1);
	result(a, 10, OK);
	assert_int_equal(a->count, 2);
	reader_applied(a->r, 50);
	assert_int_equal(a->ready_count, 1);
	result(a, 20, OK);
	assert_int_equal(a->ready_count, 6);
}

static void test_late_results(void **state)
{
	struct asker *a = *state;

	reader_applied(a->r, 50);
	add(a, 0);
	reader_result(a->r, a->nonces[0] - 2, 5, OK, 0); /* an answer to a former start */
	reader_result(a->r, a->nonces[0] + 1, 5, OK, 0); /* of a renewal */
	reader_result(a->r, a->nonces[0] + 2, 5, OK, 0); /* to what was never asked */
	assert_int_equal(a->ready_count, 0);
	reader_tick(a->r, ASK_AGAIN_MS);
	assert_int_equal(a->count, 2);
	add(a, ASK_AGAIN_MS);
	reader_result(a->r, a->nonces[0], 5, OK, 0); /* any answer to these reads will do … */
	assert_int_equal(a->ready_count, 1);
	assert_int_equal(a->count, 3);
	reader_result(a->r, a->nonces[1], 5, OK, 0); /* … but not to those that came later */
	assert_int_equal(a->ready_count, 1);
	reader_result(a->r, a->nonces[2], 5, OK, 0);
	assert_int_equal(a->ready_count, 2);
}

static void test_asks_new_leader(void **state)
{
	struct asker *a = *state;

	add(a, 0);
	assert_int_equal(a->count, 0);
	reader_set_leader(a->r, 4, 1);
	assert_int_equal(a->count, 1);
	reader_set_leader(a->r, 0, 2);
	reader_tick(a->r, 1000);
	assert_int_equal(a->count, 1);
	reader_set_leader(a->r, 5, 1001);
	assert_int_equal(a->count, 2);
	assert_int_equal(a->leaders[1], 5);
	result(a, 0, ERR_NO_QUORUM);
	assert_int_equal(a->ready_count, 0);
	reader_tick(a->r, 1100); /* again, soon */
	assert_int_equal(a->count, 3);
	a->refuse = true;
	reader_tick(a->r, 1100 + ASK_AGAIN_MS);
	reader_tick(a->r, 1200 + ASK_AGAIN_MS); /* it was certainly not sent */
	assert_int_equal(a->count, 5);
}

/* An index below that of an earlier read: it waits with that one, and is not lost. */
static void test_index_out_of_order(void **state)
{
	struct asker *a = *state;

	add(a, 0);
	result(a, 100, OK);
	add(a, 0);
	result(a, 90, OK);
	reader_applied(a->r, 95);
	assert_int_equal(a->ready_count, 0);
	reader_applied(a->r, 100);
	assert_int_equal(a->ready_count, 2);
	add(a, 0);
	result(a, 90, OK);
	assert_int_equal(a->ready_count, 3);
}

static void test_reader_times_out(void **state)
{
	struct asker *a = *state;

	add(a, 0);
	result(a, 100, OK);
	add(a, 10);
	add(a, 20);
	reader_tick(a->r, TIMEOUT_MS + 20);
	assert_int_equal(a->ready_count, 2);
	assert_int_equal(a->codes[0], ERR_NO_QUORUM);
	assert_int_equal(a->codes[1], ERR_NO_QUORUM);
	reader_tick(a->r, TIMEOUT_MS + 21);
	assert_int_equal(a->ready_count, 3);
	assert_false(reader_busy(a->r));
}

static void test_reader_fails(void **state)
{
	struct asker *a = *state;

	reader_add(a->r, ready_and_again, a, 0);
	add(a, 0);
	reader_fail(a->r, ERR_CORRUPT);
	assert_int_equal(a->ready_count, 2);
	assert_int_equal(a->codes[1], ERR_CORRUPT);
	assert_true(reader_busy(a->r)); /* the one that came meanwhile */
}

/* How old the state is: since when an answer was asked for that is applied now. */
static void test_current(void **state)
{
	struct asker *a = *state;

	assert_int_equal(reader_current_ms(a->r), 0);
	add(a, 1000);
	result(a, 100, OK);
	assert_int_equal(reader_current_ms(a->r), 0);
	reader_news(a->r, 2000, 300); /* what is not applied does not push out what may be soon */
	reader_applied(a->r, 100);
	assert_int_equal(reader_current_ms(a->r), 1000);
	reader_news(a->r, 3000, 100);
	assert_int_equal(reader_current_ms(a->r), 3000);
	reader_news(a->r, 2500, 50); /* a late one is no news */
	assert_int_equal(reader_current_ms(a->r), 3000);
	reader_news(a->r, 4000, 200);
	reader_news(a->r, 5000, 90);
	assert_int_equal(reader_current_ms(a->r), 5000);
}

/* An answer to an earlier request than the newest: when that was sent is not known any more. */
static void test_current_of_repeats(void **state)
{
	struct asker *a = *state;

	reader_applied(a->r, 100);
	add(a, 0);
	reader_tick(a->r, ASK_AGAIN_MS);
	assert_int_equal(a->count, 2);
	reader_result(a->r, a->nonces[0], 5, OK, 600);
	assert_int_equal(a->ready_count, 1);
	assert_int_equal(reader_current_ms(a->r), 0);
}

int main(void)
{
#define LEADER(test) cmocka_unit_test_setup_teardown(test, setup_leader, teardown_leader)
#define READER(test) cmocka_unit_test_setup_teardown(test, setup_reader_led, teardown_reader)
	const struct CMUnitTest tests[] = {
		LEADER(test_majority_answers),
		LEADER(test_silent_voter),
		LEADER(test_what_does_not_count),
		LEADER(test_next_round),
		LEADER(test_single_voter),
		LEADER(test_not_settled),
		LEADER(test_deposed),
		LEADER(test_another_term),
		LEADER(test_probes_again),
		LEADER(test_how_long_somebody_waits),
		LEADER(test_voters_change),
		LEADER(test_requests_are_bounded),
		READER(test_waits_until_applied),
		READER(test_one_request_for_all),
		READER(test_late_results),
		cmocka_unit_test_setup_teardown(test_asks_new_leader, setup_reader, teardown_reader),
		READER(test_index_out_of_order),
		READER(test_reader_times_out),
		READER(test_reader_fails),
		READER(test_current),
		READER(test_current_of_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
