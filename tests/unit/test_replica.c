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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_new_directory_serves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_remembers_after_a_restart, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
