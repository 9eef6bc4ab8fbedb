/* The lines of `.info`: printed, taken apart again, and what may be written there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/info.h"
#include "front/info_text.h"

static char *text;
static size_t text_size;

static FILE *text_open(void)
{
	FILE *out = open_memstream(&text, &text_size);

	assert_non_null(out);
	return out;
}

static void assert_text(FILE *out, const char *want)
{
	fclose(out);
	assert_string_equal(text, want);
	free(text);
}

/* ---- printing ---- */

static void test_time(void **state)
{
	char out[TIME_TEXT_BYTES];

	(void)state;
	assert_string_equal(time_text(0, out), "1970-01-01T00:00:00.000Z");
	assert_string_equal(time_text(1700000000123456789, out), "2023-11-14T22:13:20.123Z");
	assert_string_equal(time_text(INT64_MAX, out), "2262-04-11T23:47:16.854Z");
}

static void test_counter(void **state)
{
	struct attr a = {.kind = KIND_COUNTER, .value = -7, .content = 40, .modified = 41, .created = 3, .has_min = true,
			 .min = INT64_MIN, .ctime_ns = 1000000000};
	FILE *out = text_open();

	(void)state;
	info_print_object(out, &a, "not\na number");
	assert_text(out, "type=counter\nrevision=40\nconsistency=strong\n"
			 "created=1970-01-01T00:00:00.000Z\nmodified=1970-01-01T00:00:01.000Z\n"
			 "created_revision=3\nmodified_revision=41\nerror=not?a number\n"
			 "value=-7\nmin=-9223372036854775808\nmax=\n");
}

static void assert_last_line(const struct attr *a, const char *want)
{
	FILE *out = text_open();

	info_print_object(out, a, NULL);
	fclose(out);
	assert_non_null(strstr(text, "\nerror=\n"));
	assert_true(text_size > strlen(want));
	assert_string_equal(text + text_size - strlen(want), want);
	free(text);
}

static void test_kinds(void **state)
{
	(void)state;
	assert_last_line(&(struct attr){.kind = KIND_FILE, .size = 12}, "\nsize=12\n");
	assert_last_line(&(struct attr){.kind = KIND_SYMLINK, .size = 3}, "\nsize=3\n");
	assert_last_line(&(struct attr){.kind = KIND_DIRECTORY, .entries = 100000}, "\nentries=100000\n");
	assert_last_line(&(struct attr){.kind = KIND_FENCE, .value = 41}, "\ntoken=41\n");
}

static void test_locks(void **state)
{
	struct lock_info holder = {.kind = LOCK_KIND_FLOCK, .mode = LOCK_MODE_EXCLUSIVE, .end = UINT64_MAX, .token = 41,
				   .pid = 17, .uid = 1000, .process = {"ba\nsh", 5}, .member = "alpha"};
	struct lock_info waiter = {.kind = LOCK_KIND_OFD, .mode = LOCK_MODE_SHARED, .start = 5, .end = 9, .member = "beta",
				   .process = {"", 0}, .position = 3};
	FILE *out = text_open();

	(void)state;
	info_print_lock(out, &holder);
	info_print_lock(out, &waiter);
	assert_text(out, "holder=host=alpha pid=17 uid=1000 kind=flock mode=exclusive range=0-EOF "
			 "since=1970-01-01T00:00:00.000Z token=41 command=ba?sh\n"
			 "waiter=host=beta pid=0 uid=0 kind=ofd mode=shared range=5-9 "
			 "since=1970-01-01T00:00:00.000Z token=0 position=3 command=\n");
}

static void test_lock_table(void **state)
{
	struct lock_info holder = {.kind = LOCK_KIND_FLOCK, .mode = LOCK_MODE_EXCLUSIVE, .end = UINT64_MAX, .token = 41,
				   .pid = 17, .uid = 1000, .process = {"my\n sh", 6}, .member = "alpha"};
	struct lock_info waiter = {.kind = LOCK_KIND_POSIX, .mode = LOCK_MODE_SHARED, .start = 5, .end = 9,
				   .member = "beta", .process = {"", 0}, .position = 3};
	FILE *out = text_open();

	(void)state;
	info_print_lock_row(out, &holder, "locks/a b");
	info_print_lock_row(out, &waiter, "locks/a\nb");
	assert_text(out, "held          41 alpha            17   1000 flock exclusive 0-EOF         "
			 "1970-01-01T00:00:00Z my?_sh          locks/a b\n"
			 "waiting       #3 beta              0      0 posix shared    5-9           "
			 "1970-01-01T00:00:00Z -               locks/a?b\n");
}

static void test_lock_summary(void **state)
{
	struct lock_summary s = {0};
	FILE *out = text_open();

	(void)state;
	info_print_lock_summary(out, &s);
	lock_summary_add(&s, &(struct lock_info){.mode = LOCK_MODE_SHARED, .token = 8});
	lock_summary_add(&s, &(struct lock_info){.mode = LOCK_MODE_SHARED, .token = 7});
	lock_summary_add(&s, &(struct lock_info){.mode = LOCK_MODE_EXCLUSIVE, .token = 0}); /* waits */
	info_print_lock_summary(out, &s);
	lock_summary_add(&s, &(struct lock_info){.mode = LOCK_MODE_EXCLUSIVE, .token = 3}); /* of another kind */
	info_print_lock_summary(out, &s);
	assert_text(out, "mode=unlocked\ntoken=0\nmode=shared\ntoken=8\nmode=exclusive\ntoken=8\n");
}

/* ---- taking one key out ---- */

static void assert_extract(const char *from, const char *key, size_t room, int want, const char *want_text)
{
	char out[64];

	memset(out, '#', sizeof out);
	assert_int_equal(info_extract(from, key, out, room), want);
	assert_memory_equal(out, want_text, strlen(want_text));
	assert_int_equal(out[strlen(want_text)], '#');
}

static void test_extract(void **state)
{
	const char *lines = "type=counter\nmin=\nholder=host=a x=1\nmax=5\nholder=host=b\n";

	(void)state;
	assert_extract(lines, "type", 64, 7, "counter");
	assert_extract(lines, "min", 64, 0, "");
	assert_extract(lines, "max", 64, 1, "5");
	assert_extract(lines, "holder", 64, 17, "host=a x=1\nhost=b");
	assert_extract(lines, "holder", 12, 17, "host=a x=1\nh");
	assert_extract(lines, "holder", 0, 17, "");
	assert_extract(lines, "x", 64, ERR_NO_DATA, "");
	assert_extract(lines, "typ", 64, ERR_NO_DATA, "");
	assert_extract(lines, "", 64, ERR_NO_DATA, "");
	assert_extract("", "type", 64, ERR_NO_DATA, "");
	assert_extract("type=last", "type", 64, 4, "last");
}

/* ---- writing ---- */

static int parse(const char *input, struct info_plan *plan)
{
	char why[PARSE_ERROR_BYTES];
	int code = info_plan_parse((struct bytes){input, strlen(input)}, plan, why);

	assert_true(code == OK || why[0]);
	return code;
}

static void test_plan_bounds(void **state)
{
	struct info_plan p;

	(void)state;
	assert_int_equal(parse("min=-5\nmax=10\n", &p), OK);
	assert_true(p.set_min && p.has_min && p.set_max && p.has_max);
	assert_int_equal(p.min, -5);
	assert_int_equal(p.max, 10);
	assert_int_equal(parse("min=", &p), OK);
	assert_true(p.set_min && !p.has_min && !p.set_max);
	assert_int_equal(parse("min=9223372036854775808", &p), ERR_RANGE);
	assert_int_equal(parse("min=1e3", &p), ERR_INVALID);
	assert_int_equal(parse("min=+1", &p), ERR_INVALID);
	assert_int_equal(parse("max=5\nmin=x\n", &p), ERR_INVALID);
}

static void test_plan_others(void **state)
{
	struct info_plan p;

	(void)state;
	assert_int_equal(parse("", &p), OK);
	assert_int_equal(parse("consistency=strong\n", &p), OK);
	assert_int_equal(p.consistency, CONSISTENCY_STRONG);
	assert_int_equal(parse("consistency=weak\n", &p), OK);
	assert_int_equal(p.consistency, CONSISTENCY_WEAK);
	assert_int_equal(parse("consistency=weak\nmin=1\n", &p), ERR_INVALID);
	assert_int_equal(parse("consistency=eventual\n", &p), OK);
	assert_int_equal(p.consistency, CONSISTENCY_EVENTUAL);
	assert_int_equal(parse("consistency=loose\n", &p), ERR_INVALID);
	assert_int_equal(parse("timeout=30\n", &p), OK);
	assert_true(p.set_timeout && p.timeout_s == 30);
	assert_int_equal(parse("timeout=0\n", &p), ERR_RANGE);
	assert_int_equal(parse("timeout=31536001\n", &p), ERR_RANGE);
	assert_int_equal(parse("timeout=99999999999999999999\n", &p), ERR_RANGE);
	assert_int_equal(parse("timeout=soon\n", &p), ERR_INVALID);
	assert_int_equal(parse("value=5\n", &p), ERR_INVALID);
	assert_int_equal(parse("\n", &p), ERR_INVALID);
}

static void test_plan_break(void **state)
{
	struct info_plan p;

	(void)state;
	assert_int_equal(parse("break 41\n", &p), OK);
	assert_true(p.is_break && p.token == 41);
	assert_int_equal(parse("break\n", &p), ERR_INVALID);
	assert_int_equal(parse("break x\n", &p), ERR_INVALID);
	assert_int_equal(parse("break 41\nmin=3\n", &p), ERR_INVALID);
	assert_int_equal(parse("break 41\nbreak 42\n", &p), ERR_INVALID);
}

static void test_plan_size(void **state)
{
	char *huge = malloc(LIMIT_REQUEST_BYTES + 2);
	struct info_plan p;

	(void)state;
	assert_non_null(huge);
	memset(huge, 'x', LIMIT_REQUEST_BYTES + 1);
	huge[LIMIT_REQUEST_BYTES + 1] = '\0';
	assert_int_equal(parse(huge, &p), ERR_TOO_BIG);
	huge[LIMIT_REQUEST_BYTES] = '\0';
	assert_int_equal(parse(huge, &p), ERR_INVALID);
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),	     cmocka_unit_test(test_counter),	  cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_locks),	     cmocka_unit_test(test_lock_table),
		cmocka_unit_test(test_lock_summary), cmocka_unit_test(test_extract),
		cmocka_unit_test(test_plan_bounds), cmocka_unit_test(test_plan_others),  cmocka_unit_test(test_plan_break),
		cmocka_unit_test(test_plan_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
