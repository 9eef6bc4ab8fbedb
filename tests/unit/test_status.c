/* cluster/status and cluster/metrics, of given figures. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/status_text.h"

static struct status_figures figures(void)
{
	struct status_figures s = {.version = "9.9", .member = "alpha", .transactions = 2, .sessions = 1};

	coordfs__meta__init(&s.meta);
	s.meta.applied = 1234;
	s.meta.state_hash = 0xabcdef;
	s.meta.state_bytes = 1536;
	s.replica = (struct replica_status){.role = "leader", .term = 3, .commit_index = 1240, .last_index = 1241};
	s.locks = (struct lock_totals){5, 7};
	s.session[0] = (struct session_info){.session = 9, .member = "alpha", .bindings = 4};
	return s;
}

static char *print(void (*make)(FILE *out, const struct status_figures *s), const struct status_figures *s)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	make(out, s);
	fclose(out);
	return text;
}

static void assert_says(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("'%s' is not in:\n%s", what, text);
}

static unsigned lines_of(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void test_status(void **state)
{
	struct status_figures s = figures();
	char *text = print(status_print_figures, &s);

	(void)state;
	assert_says(text, "coordfs 9.9: all is well\n");
	assert_says(text, "\nrevision=1234 state=0000000000abcdef\n");
	assert_says(text, "  alpha        voter, leader,");
	assert_says(text, "applied       1234, 6 behind");
	assert_says(text, "locks         5 held, 7 waiting\n");
	assert_says(text, "transactions  2 ");
	assert_says(text, ", 4 lock files\n");
	assert_says(text, "state         1.5 KiB of at most 2.0 GiB");
	assert_null(strstr(text, "trouble"));
	free(text);
}

static void test_trouble(void **state)
{
	struct status_figures s = figures();
	char *text;

	(void)state;
	s.replica.trouble = "the disk is full: make room in /data";
	text = print(status_print_figures, &s);
	assert_says(text, "IN TROUBLE\ntrouble       the disk is full: make room in /data\n");
	free(text);
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_up 0\n");
	free(text);
}

/* Very many sessions still fit a screen. */
static void test_many_sessions(void **state)
{
	struct status_figures s = figures();
	char *text;

	(void)state;
	s.sessions = 1000;
	for (unsigned i = 0; i < STATUS_SESSIONS; i++)
		s.session[i].member = "beta";
	text = print(status_print_figures, &s);
	assert_says(text, "… and 990 more\n");
	assert_true(lines_of(text) <= 24);
	free(text);
}

/* Every metric has its help, its type and one value. */
static void test_metrics(void **state)
{
	struct status_figures s = figures();
	char *text = print(metrics_print_figures, &s), name[100], help[100], type[100];
	const char *at = text;
	unsigned count = 0;
	uint64_t value;
	int used;

	(void)state;
	for (; *at; at += used, count++) {
		assert_int_equal(sscanf(at, "# HELP %99s %99[^\n]\n# TYPE %*s %99s\n%*s %lu\n%n", name, help, type, &value,
					&used),
				 4);
		assert_string_equal(type, "gauge");
		assert_int_equal(strncmp(name, "coordfs_", 8), 0);
	}
	assert_true(count > 10);
	assert_says(text, "\ncoordfs_applied_revision 1234\n");
	assert_says(text, "\ncoordfs_locks_waiting 7\n");
	free(text);
}

static void test_sizes(void **state)
{
	char out[SIZE_TEXT_BYTES];

	(void)state;
	assert_string_equal(size_text(0, out), "0 B");
	assert_string_equal(size_text(1023, out), "1023 B");
	assert_string_equal(size_text(1024, out), "1.0 KiB");
	assert_string_equal(size_text(UINT64_MAX, out), "16.0 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),	cmocka_unit_test(test_trouble), cmocka_unit_test(test_many_sessions),
		cmocka_unit_test(test_metrics), cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
