/* net: envelopes between members on one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_fixture.h"

/* ---- members that may talk ---- */

static void test_two_talk(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

static void test_two_talk_with_a_key(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, cluster_a, key_a);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
	assert_null(totals_of(f, 1).trouble);
}

/* ---- speed: told, not judged ---- */

static void test_echo(void **state)
{
	struct fixture *f = *state;
	uint64_t sum = 0;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t begin = uv_hrtime();
		unsigned a = f->members[1].received, b = f->members[2].received;
		send_nonce(f, 1, 2, 1000 + i);
		while (f->members[2].received == b)
			uv_run(&f->loop, UV_RUN_ONCE);
		send_nonce(f, 2, 1, 1000 + i);
		while (f->members[1].received == a)
			uv_run(&f->loop, UV_RUN_ONCE);
		sum += uv_hrtime() - begin;
	}
	print_message("round trip %.1f us\n", (double)sum / 2000 / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_talk, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(test_two_talk_with_a_key, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(test_echo, net_setup, net_teardown),
	};
	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
