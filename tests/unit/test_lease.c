/* Holder and keeper: who gives up when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "replica/lease.h"

#define TTL_MS 9000u
#define MARGIN_MS 2250u /* a quarter */

static struct holder begun(uint64_t sent_ms)
{
	struct holder h;

	holder_init(&h, TTL_MS, 1000);
	holder_begin(&h, sent_ms);
	return h;
}

/* ---- the holder ---- */

static void test_asks_every_third(void **state)
{
	struct holder h = begun(100);
	uint64_t nonce, second;

	(void)state;
	assert_int_equal(holder_sleep_ms(&h, 100), 3000);
	assert_false(holder_wants(&h, 3099, &nonce));
	assert_true(holder_wants(&h, 3100, &nonce));
	assert_int_equal(nonce % 2, 1);
	assert_false(holder_wants(&h, 3101, &second));
	holder_renewed(&h, nonce);
	assert_int_equal(h.renewed_ms, 3100);
	assert_false(holder_wants(&h, 6099, &second));
	assert_true(holder_wants(&h, 6100, &second));
	assert_true(second > nonce);
}

static void test_knows_what_is_left(void **state)
{
	struct holder h = begun(100);
	uint64_t nonce;

	(void)state;
	assert_int_equal(holder_left_ms(&h, 100), TTL_MS);
	assert_int_equal(holder_left_ms(&h, 3100), TTL_MS - 3000);
	assert_true(holder_wants(&h, 3100, &nonce));
	assert_int_equal(holder_left_ms(&h, 3200), TTL_MS - 3100); /* asking is no renewal */
	assert_true(holder_renewed(&h, nonce));
	assert_int_equal(holder_left_ms(&h, 3300), TTL_MS - 200); /* it counts from when it was asked */
	assert_int_equal(holder_left_ms(&h, 3100 + TTL_MS), 0);
	assert_int_equal(holder_left_ms(&h, 3101 + TTL_MS), 0);
	holder_end(&h);
	assert_int_equal(holder_left_ms(&h, 3300), 0);
	holder_init(&h, 0, 1);
	assert_int_equal(holder_left_ms(&h, 5), 0);
	holder_begin(&h, 5);
	assert_int_equal(holder_left_ms(&h, 5), UINT64_MAX);
}

static void test_asks_again_sooner(void **state)
{
	struct holder h = begun(0);
	uint64_t nonce, again;

	(void)state;
	assert_true(holder_wants(&h, 3000, &nonce));
	assert_int_equal(holder_sleep_ms(&h, 3000), TTL_MS / 12);
	assert_false(holder_wants(&h, 3749, &again));
	assert_true(holder_wants(&h, 3750, &again));
	holder_renewed(&h, nonce); /* the first answer, late: it counts from when the first was sent */
	assert_int_equal(h.renewed_ms, 3000);
	assert_true(holder_wants(&h, 4500, &nonce));
	holder_renewed(&h, again);
	assert_int_equal(h.renewed_ms, 3750);
}

static void test_lost_once(void **state)
{
	struct holder h = begun(50);
	uint64_t nonce;

	(void)state;
	assert_false(holder_lost(&h, 50 + TTL_MS - 1));
	assert_true(holder_wants(&h, 50 + TTL_MS - 1, &nonce));
	assert_true(holder_lost(&h, 50 + TTL_MS));
	assert_false(h.held);
	assert_false(holder_lost(&h, 50 + TTL_MS + 1));
	holder_renewed(&h, nonce); /* too late */
	assert_false(h.held);
	assert_int_equal(holder_sleep_ms(&h, 50 + TTL_MS), UINT64_MAX);
}

static void test_answers_that_do_not_count(void **state)
{
	struct holder h = begun(0);
	uint64_t nonce;

	(void)state;
	holder_renewed(&h, 0);
	holder_renewed(&h, 999);
	assert_int_equal(h.renewed_ms, 0);
	assert_true(holder_wants(&h, 3000, &nonce));
	holder_renewed(&h, nonce + 16); /* the same place in the ring */
	assert_int_equal(h.renewed_ms, 0);
	holder_end(&h);
	holder_begin(&h, 2000); /* another session */
	holder_renewed(&h, nonce);
	assert_int_equal(h.renewed_ms, 2000);
}

static void test_without_ttl(void **state)
{
	struct holder h;
	uint64_t nonce;

	(void)state;
	holder_init(&h, 0, 7);
	holder_begin(&h, 0);
	assert_false(holder_wants(&h, UINT64_MAX / 2, &nonce));
	assert_false(holder_lost(&h, UINT64_MAX / 2));
	assert_int_equal(holder_sleep_ms(&h, 0), UINT64_MAX);
}

/* ---- the keeper ---- */

static int setup(void **state)
{
	*state = keeper_new();
	assert_non_null(*state);
	return 0;
}

static int teardown(void **state)
{
	keeper_free(*state);
	return 0;
}

static void test_margin(void **state)
{
	(void)state;
	assert_int_equal(keeper_margin_ms(TTL_MS), MARGIN_MS);
	assert_int_equal(keeper_margin_ms(1000), 500);
}

static void test_expires(void **state)
{
	struct keeper *k = *state;

	assert_int_equal(keeper_know(k, 5, TTL_MS, 100), 0);
	assert_int_equal(keeper_know(k, 5, TTL_MS, 5000), 0); /* known: no new term */
	assert_int_equal(keeper_know(k, 6, 0, 100), 0);
	assert_int_equal(keeper_expired(k, 100 + TTL_MS + MARGIN_MS - 1), 0);
	assert_int_equal(keeper_expired(k, 100 + TTL_MS + MARGIN_MS), 5);
	assert_int_equal(keeper_expired(k, 100 + TTL_MS + MARGIN_MS), 0);
	assert_int_equal(keeper_expired(k, 100 + TTL_MS + MARGIN_MS + 1000), 5);
	keeper_forget(k, 5);
	assert_int_equal(keeper_expired(k, UINT64_MAX / 2), 0);
}

static void test_several_at_once(void **state)
{
	struct keeper *k = *state;

	for (uint64_t s = 1; s <= 3; s++)
		assert_int_equal(keeper_know(k, s, TTL_MS, s), 0);
	for (uint64_t s = 1; s <= 3; s++)
		assert_int_equal(keeper_expired(k, 60000), s);
	assert_int_equal(keeper_expired(k, 60000), 0);
}

static void test_renewed(void **state)
{
	struct keeper *k = *state;

	assert_false(keeper_renew(k, 5, 0));
	keeper_know(k, 5, TTL_MS, 0);
	assert_true(keeper_renew(k, 5, 5000));
	assert_int_equal(keeper_expired(k, 5000 + TTL_MS + MARGIN_MS - 1), 0);
	assert_int_equal(keeper_expired(k, 5000 + TTL_MS + MARGIN_MS), 5);
	/* its end is under way: whoever asks now must not believe that it was renewed */
	assert_false(keeper_renew(k, 5, 5000 + TTL_MS + MARGIN_MS + 1));
}

static void test_new_leader_grants_all(void **state)
{
	struct keeper *k = *state;

	keeper_know(k, 5, TTL_MS, 0);
	assert_int_equal(keeper_expired(k, 20000), 5);
	keeper_lead(k, 30000);
	assert_true(keeper_renew(k, 5, 30000));
	assert_int_equal(keeper_expired(k, 30000 + TTL_MS + MARGIN_MS - 1), 0);
	assert_int_equal(keeper_expired(k, 30000 + TTL_MS + MARGIN_MS), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_every_third),
		cmocka_unit_test(test_knows_what_is_left),
		cmocka_unit_test(test_asks_again_sooner),
		cmocka_unit_test(test_lost_once),
		cmocka_unit_test(test_answers_that_do_not_count),
		cmocka_unit_test(test_without_ttl),
		cmocka_unit_test(test_margin),
		cmocka_unit_test_setup_teardown(test_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_leader_grants_all, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
