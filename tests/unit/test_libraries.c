/*
 * The libraries linked at run time are the ones configure asked for. libraft before 0.22.1 loses acknowledged
 * writes, and Debian's own libraft may lie beside ours: what counts is what the loader found.
 */

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <raft.h>
#include <zmq.h>

/* Releases up to 0.15 are libraft.so.2; the name began anew with cowsql's. */
static void test_raft_is_new_enough(void **state)
{
	Dl_info info;
	const char *file;

	(void)state;
	assert_int_not_equal(dladdr((void *)(uintptr_t)raft_set_max_inflight_entries, &info), 0);
	file = strrchr(info.dli_fname, '/');
	assert_non_null(file);
	assert_string_equal(file, "/libraft.so.0");
}

static void test_zmq_has_curve(void **state)
{
	(void)state;
	assert_int_equal(zmq_has("curve"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raft_is_new_enough),
		cmocka_unit_test(test_zmq_has_curve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
