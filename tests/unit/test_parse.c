/* front/parse: what users write. Every refusal must come with words, and without any effect on the outputs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/parse.h"

#define LITERAL(text) ((struct bytes){(text), sizeof(text) - 1})

static struct bytes text_of(const char *text)
{
	return (struct bytes){text, strlen(text)};
}

/* ---- lines ---- */

static void expect_line(struct bytes *rest, const char *expected)
{
	struct bytes line;

	assert_true(parse_next_line(rest, &line));
	assert_int_equal(line.size, strlen(expected));
	assert_memory_equal(line.data, expected, line.size);
}

static void test_lines(void **state)
{
	struct bytes rest = LITERAL("a\n\nlast"), line;

	(void)state;
	expect_line(&rest, "a");
	expect_line(&rest, "");
	expect_line(&rest, "last");
	assert_false(parse_next_line(&rest, &line));
	rest = LITERAL("\n");
	expect_line(&rest, "");
	assert_false(parse_next_line(&rest, &line));
	rest = (struct bytes){NULL, 0};
	assert_false(parse_next_line(&rest, &line));
}

static void test_nul_is_part_of_its_line(void **state)
{
	struct bytes rest = LITERAL("a\0b\nc"), line;

	(void)state;
	assert_true(parse_next_line(&rest, &line));
	assert_int_equal(line.size, 3);
	expect_line(&rest, "c");
}

/* ---- numbers ---- */

static void test_unsigned(void **state)
{
	static const char *const bad[] = {"", " ", "1 ", " 1", "+1", "-1", "1x", "0x10", "1e3", "1\r", "1\n", "١"};
	uint64_t value;

	(void)state;
	assert_int_equal(parse_u64(text_of("0"), &value), OK);
	assert_true(value == 0);
	assert_int_equal(parse_u64(text_of("000042"), &value), OK);
	assert_true(value == 42);
	assert_int_equal(parse_u64(text_of("18446744073709551615"), &value), OK);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_u64(text_of("18446744073709551616"), &value), ERR_RANGE);
	assert_true(value == 0);
	assert_int_equal(parse_u64(text_of("99999999999999999999999999"), &value), ERR_RANGE);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse_u64(text_of(bad[i]), &value), ERR_INVALID);
	assert_int_equal(parse_u64(LITERAL("1\0"), &value), ERR_INVALID);
}

static void test_signed(void **state)
{
	static const char *const bad[] = {"", "-", "--1", "+1", "-+1", "- 1", "1-"};
	int64_t value;

	(void)state;
	assert_int_equal(parse_s64(text_of("-0"), &value), OK);
	assert_true(value == 0);
	assert_int_equal(parse_s64(text_of("9223372036854775807"), &value), OK);
	assert_true(value == INT64_MAX);
	assert_int_equal(parse_s64(text_of("-9223372036854775808"), &value), OK);
	assert_true(value == INT64_MIN);
	assert_int_equal(parse_s64(text_of("9223372036854775808"), &value), ERR_RANGE);
	assert_int_equal(parse_s64(text_of("-9223372036854775809"), &value), ERR_RANGE);
	assert_true(value == 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse_s64(text_of(bad[i]), &value), ERR_INVALID);
}

/* ---- counters ---- */

static void expect_counter(const char *line, int kind, int64_t value, int64_t expected, const char *id)
{
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;

	assert_int_equal(parse_counter(text_of(line), &list, &count, why), OK);
	assert_int_equal(count, 1);
	assert_int_equal(list->kind, kind);
	assert_true(list->value == value);
	assert_true(kind != COUNTER_CAS || list->expected == expected);
	assert_int_equal(list->id.len, strlen(id));
	assert_memory_equal(list->id.data ? (char *)list->id.data : "", id, list->id.len);
	assert_string_equal(why, "");
	parse_counter_free(list);
}

static void expect_refused(struct bytes input, int code)
{
	Coordfs__CounterRequest *list = (void *)&list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count = 7;

	assert_int_equal(parse_counter(input, &list, &count, why), code);
	assert_null(list);
	assert_int_equal(count, 0);
	assert_true(strlen(why) > 10);
	for (const char *c = why; *c; c++)
		assert_true((unsigned char)*c >= ' ');
}

static void test_counter_requests(void **state)
{
	(void)state;
	expect_counter("10", COUNTER_SET, 10, 0, "");
	expect_counter("10\n", COUNTER_SET, 10, 0, "");
	expect_counter("=10\n", COUNTER_SET, 10, 0, "");
	expect_counter("=-10\n", COUNTER_SET, -10, 0, "");
	expect_counter("0007", COUNTER_SET, 7, 0, "");
	expect_counter("+1\n", COUNTER_ADD, 1, 0, "");
	expect_counter("+0001\n", COUNTER_ADD, 1, 0, "");
	expect_counter("-3\n", COUNTER_ADD, -3, 0, "");
	expect_counter("-0\n", COUNTER_ADD, 0, 0, "");
	expect_counter("cas 9 10\n", COUNTER_CAS, 10, 9, "");
	expect_counter("cas -9 -10\n", COUNTER_CAS, -10, -9, "");
	expect_counter("9223372036854775807", COUNTER_SET, INT64_MAX, 0, "");
	expect_counter("-9223372036854775808", COUNTER_ADD, INT64_MIN, 0, "");
	expect_counter("=-9223372036854775808", COUNTER_SET, INT64_MIN, 0, "");
}

static void test_counter_ids(void **state)
{
	char line[LIMIT_ID_BYTES + 20] = "+1 id=";

	(void)state;
	expect_counter("+1 id=order-77\n", COUNTER_ADD, 1, 0, "order-77");
	expect_counter("5 id=a", COUNTER_SET, 5, 0, "a");
	expect_counter("cas 1 2 id=x=y\n", COUNTER_CAS, 2, 1, "x=y");
	expect_counter("+1 id=id=a", COUNTER_ADD, 1, 0, "id=a");
	memset(line + 6, 'x', LIMIT_ID_BYTES);
	line[6 + LIMIT_ID_BYTES] = '\0';
	expect_counter(line, COUNTER_ADD, 1, 0, line + 6);
	line[6 + LIMIT_ID_BYTES] = 'x';
	line[7 + LIMIT_ID_BYTES] = '\0';
	expect_refused(text_of(line), ERR_INVALID);
	expect_refused(text_of("+1 id="), ERR_INVALID);
	expect_refused(text_of("+1 id=a b"), ERR_INVALID);
	expect_refused(text_of("+1 id=a\tb"), ERR_INVALID);
	expect_refused(text_of("+1 id=é"), ERR_INVALID);
	expect_refused(text_of("+1 id=a id=b"), ERR_INVALID);
	expect_refused(text_of("+1  id=a"), ERR_INVALID);
	expect_refused(text_of("+1id=a"), ERR_INVALID);
	expect_refused(text_of("id=a"), ERR_INVALID);
	expect_refused(text_of(" id=a"), ERR_INVALID);
	expect_refused(LITERAL("+1 id=a\0"), ERR_INVALID);
}

static void test_counter_bad_syntax(void **state)
{
	static const char *const bad[] = {
		"\n",	"+",	  "-",	    "=",    "+ 1",   "--1",   "++1",  "+-1",	"-+1",	  "=+5",   "==5",
		"1e3",	"1.0",	  "0x10",   " 1",   "1 ",    "1\r\n", "1\t",  "hello",	"cas",	  "cas ",  "cas 1",
		"cas 1 ", "cas  1 2", "cas 1 2 3", "cas +1 2", "CAS 1 2", "cas 1 x", "inf", "nan", "１",  "1,000", "1_0",
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		expect_refused(text_of(bad[i]), ERR_INVALID);
	expect_refused(LITERAL("\0"), ERR_INVALID);
	expect_refused(LITERAL("1\0"), ERR_INVALID);
	expect_refused(LITERAL("1\n\0\n"), ERR_INVALID);
	expect_refused(LITERAL("\xff\xfe\x80"), ERR_INVALID);
}

static void test_counter_beyond_64_bits(void **state)
{
	(void)state;
	expect_refused(text_of("99999999999999999999"), ERR_RANGE);
	expect_refused(text_of("+99999999999999999999"), ERR_RANGE);
	expect_refused(text_of("-99999999999999999999"), ERR_RANGE);
	expect_refused(text_of("9223372036854775808"), ERR_RANGE);
	expect_refused(text_of("+9223372036854775808"), ERR_RANGE);
	expect_refused(text_of("-9223372036854775809"), ERR_RANGE);
	expect_refused(text_of("cas 1 9223372036854775808"), ERR_RANGE);
	expect_refused(text_of("cas 9223372036854775808 1"), ERR_RANGE);
	expect_refused(text_of("cas 9223372036854775808 x"), ERR_INVALID);
	expect_refused(text_of("99999999999999999999x"), ERR_INVALID);
}

static void test_counter_lines_all_or_none(void **state)
{
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;

	(void)state;
	assert_int_equal(parse_counter(text_of("5\n+1\ncas 6 9"), &list, &count, why), OK);
	assert_int_equal(count, 3);
	assert_int_equal(list[0].kind, COUNTER_SET);
	assert_int_equal(list[1].kind, COUNTER_ADD);
	assert_int_equal(list[2].kind, COUNTER_CAS);
	parse_counter_free(list);
	assert_int_equal(parse_counter(text_of("+1\n+1\nx\n+1\n"), &list, &count, why), ERR_INVALID);
	assert_non_null(strstr(why, "line 3"));
	expect_refused(text_of("+1\n\n"), ERR_INVALID);
}

static void test_counter_nothing_written(void **state)
{
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count = 7;

	(void)state;
	assert_int_equal(parse_counter((struct bytes){NULL, 0}, &list, &count, why), OK);
	assert_int_equal(count, 0);
	assert_null(list);
}

static void test_counter_too_big(void **state)
{
	char *big = malloc(LIMIT_REQUEST_BYTES + 1);
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;

	(void)state;
	assert_non_null(big);
	memset(big, '1', LIMIT_REQUEST_BYTES + 1);
	expect_refused((struct bytes){big, LIMIT_REQUEST_BYTES + 1}, ERR_TOO_BIG);
	expect_refused((struct bytes){big, LIMIT_REQUEST_BYTES}, ERR_RANGE);
	for (size_t i = 0; i < LIMIT_REQUEST_LINES * 2 + 2; i += 2)
		memcpy(big + i, "1\n", 2);
	expect_refused((struct bytes){big, LIMIT_REQUEST_LINES * 2 + 2}, ERR_TOO_BIG);
	assert_int_equal(parse_counter((struct bytes){big, LIMIT_REQUEST_LINES * 2}, &list, &count, why), OK);
	assert_int_equal(count, LIMIT_REQUEST_LINES);
	parse_counter_free(list);
	free(big);
}

/* ---- fences ---- */

static void expect_fence(const char *input, int code, uint64_t token)
{
	char why[PARSE_ERROR_BYTES] = "";
	uint64_t highest;

	assert_int_equal(parse_fence(text_of(input), &highest, why), code);
	assert_true(code != OK || highest == token);
	assert_true(code == OK || *why);
}

static void test_fence(void **state)
{
	(void)state;
	expect_fence("41\n", OK, 41);
	expect_fence("41", OK, 41);
	expect_fence("0", OK, 0);
	expect_fence("", OK, 0);
	expect_fence("41\n41\n42\n", OK, 42);
	expect_fence("42\n41\n", ERR_STALE, 0);
	expect_fence("18446744073709551615", OK, UINT64_MAX);
	expect_fence("18446744073709551616", ERR_RANGE, 0);
	expect_fence("99999999999999999999", ERR_RANGE, 0);
	expect_fence("+1", ERR_INVALID, 0);
	expect_fence("-1", ERR_INVALID, 0);
	expect_fence("1\n\n", ERR_INVALID, 0);
	expect_fence("1\r\n", ERR_INVALID, 0);
}

/* ---- .info ---- */

static void test_info(void **state)
{
	struct info_request r;
	char why[PARSE_ERROR_BYTES] = "";

	(void)state;
	assert_int_equal(parse_info(text_of("min=-5"), &r, why), OK);
	assert_false(r.is_break);
	assert_int_equal(r.key.size, 3);
	assert_int_equal(r.value.size, 2);
	assert_int_equal(parse_info(text_of("min="), &r, why), OK);
	assert_int_equal(r.value.size, 0);
	assert_int_equal(parse_info(text_of("a=b=c"), &r, why), OK);
	assert_int_equal(r.value.size, 3);
	assert_int_equal(parse_info(text_of("break 41"), &r, why), OK);
	assert_true(r.is_break);
	assert_true(r.token == 41);
	assert_string_equal(why, "");
}

static void test_info_bad(void **state)
{
	static const char *const bad[] = {"", "x", "=1", " min=1", "Min=1", "min =1", "break", "break ", "break x", "break  1"};
	struct info_request r;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char why[PARSE_ERROR_BYTES] = "";

		assert_int_equal(parse_info(text_of(bad[i]), &r, why), ERR_INVALID);
		assert_true(*why);
	}
}

/* ---- ctl ---- */

static void test_ctl(void **state)
{
	struct ctl_request r;
	char why[PARSE_ERROR_BYTES] = "";

	(void)state;
	assert_int_equal(parse_ctl(text_of("commit"), &r, why), OK);
	assert_int_equal(r.verb, CTL_COMMIT);
	assert_int_equal(parse_ctl(text_of("rollback"), &r, why), OK);
	assert_int_equal(r.verb, CTL_ROLLBACK);
	assert_int_equal(parse_ctl(text_of("require locks/a b 41"), &r, why), OK);
	assert_int_equal(r.verb, CTL_REQUIRE);
	assert_int_equal(r.path.size, strlen("locks/a b"));
	assert_true(r.token == 41);
	assert_string_equal(why, "");
}

static void test_ctl_bad(void **state)
{
	static const char *const bad[] = {"", "Commit", "commit ", " commit", "commit\r", "abort", "require",
					  "require ", "require 41", "require  41", "require locks/a", "require locks/a x"};
	struct ctl_request r;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char why[PARSE_ERROR_BYTES] = "";

		assert_int_equal(parse_ctl(text_of(bad[i]), &r, why), ERR_INVALID);
		assert_true(*why);
	}
	assert_int_equal(parse_ctl(LITERAL("require a\0b 1"), &r, (char[PARSE_ERROR_BYTES]){""}), ERR_INVALID);
}

/* ---- PATH@REVISION ---- */

static void test_at_revision(void **state)
{
	struct bytes name;
	uint64_t revision;

	(void)state;
	assert_int_equal(parse_at_revision(text_of("app@41"), &name, &revision), OK);
	assert_int_equal(name.size, 3);
	assert_true(revision == 41);
	assert_int_equal(parse_at_revision(text_of("a@b@0"), &name, &revision), OK);
	assert_int_equal(name.size, 3);
	assert_true(revision == 0);
	assert_int_equal(parse_at_revision(text_of("app"), &name, &revision), ERR_INVALID);
	assert_null(name.data);
	assert_int_equal(parse_at_revision(text_of("app@"), &name, &revision), ERR_INVALID);
	assert_int_equal(parse_at_revision(text_of("@1"), &name, &revision), ERR_INVALID);
	assert_int_equal(parse_at_revision(text_of("app@x"), &name, &revision), ERR_INVALID);
	assert_int_equal(parse_at_revision(text_of("app@99999999999999999999"), &name, &revision), ERR_RANGE);
	assert_int_equal(parse_at_revision(text_of(""), &name, &revision), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_nul_is_part_of_its_line),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_counter_requests),
		cmocka_unit_test(test_counter_ids),
		cmocka_unit_test(test_counter_bad_syntax),
		cmocka_unit_test(test_counter_beyond_64_bits),
		cmocka_unit_test(test_counter_lines_all_or_none),
		cmocka_unit_test(test_counter_nothing_written),
		cmocka_unit_test(test_counter_too_big),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_info_bad),
		cmocka_unit_test(test_ctl),
		cmocka_unit_test(test_ctl_bad),
		cmocka_unit_test(test_at_revision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
