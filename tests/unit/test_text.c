/* front/text: what a handle on a counter or control file reads, after reads and after writes (INTERFACE rule 5). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "front/text.h"

struct fixture {
	struct text text;
	const char *now; /* the text of the moment */
};

/* Read as the front does; the bytes are copied out, NUL-terminated. */
static const char *read_at(struct fixture *f, uint64_t offset, size_t size)
{
	static char out[64];
	const char *data;
	size_t got;

	if (text_needs_snapshot(&f->text, offset))
		assert_int_equal(text_snapshot(&f->text, offset, f->now, strlen(f->now)), OK);
	data = text_read(&f->text, offset, size, &got);
	assert_true(got <= size && got < sizeof out);
	memcpy(out, data, got);
	out[got] = '\0';
	return out;
}

static void reply(struct fixture *f, const char *data)
{
	assert_int_equal(text_reply(&f->text, data, strlen(data)), OK);
}

static int setup(void **state)
{
	static struct fixture f;

	text_init(&f.text);
	f.now = "41\n";
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	text_fini(&f->text);
	return 0;
}

static void test_reads_go_on_in_one_snapshot(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(read_at(f, 0, 1), "4");
	f->now = "99\n";
	assert_string_equal(read_at(f, 1, 1), "1");
	assert_string_equal(read_at(f, 2, 10), "\n");
	assert_string_equal(read_at(f, 3, 10), "");
	assert_string_equal(read_at(f, 0, 10), "99\n");
}

static void test_first_read_may_be_anywhere(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(read_at(f, 1, 10), "1\n");
	assert_string_equal(read_at(f, 3, 10), "");
	assert_string_equal(read_at(f, UINT64_MAX, 10), "");
}

/* exec 3<>f; echo +1 >&3; read v <&3; echo +1 >&3; read v <&3 */
static void test_reply_wherever_the_offset_is(void **state)
{
	struct fixture *f = *state;

	reply(f, "42\n");
	assert_string_equal(read_at(f, 3, 128), "42\n");
	assert_string_equal(read_at(f, 6, 128), "");
	reply(f, "43\n");
	assert_string_equal(read_at(f, 9, 128), "43\n");
	assert_string_equal(read_at(f, 12, 128), "");
}

static void test_reply_byte_by_byte(void **state)
{
	struct fixture *f = *state;

	reply(f, "42\n");
	assert_string_equal(read_at(f, 3, 1), "4");
	assert_string_equal(read_at(f, 4, 1), "2");
	assert_string_equal(read_at(f, 5, 1), "\n");
	assert_string_equal(read_at(f, 6, 1), "");
}

static void test_offset_zero_after_the_reply_is_the_present(void **state)
{
	struct fixture *f = *state;

	reply(f, "42\n");
	f->now = "50\n";
	assert_string_equal(read_at(f, 3, 128), "42\n");
	assert_string_equal(read_at(f, 0, 128), "50\n");
	assert_string_equal(read_at(f, 1, 128), "0\n");
}

/* pwrite(…, 0), pread(…, 0), pread(…, 0) */
static void test_reply_at_offset_zero(void **state)
{
	struct fixture *f = *state;

	reply(f, "42\n");
	f->now = "50\n";
	assert_string_equal(read_at(f, 0, 128), "42\n");
	assert_string_equal(read_at(f, 3, 128), "");
	assert_string_equal(read_at(f, 0, 128), "50\n");
}

static void test_second_write_replaces_an_unread_reply(void **state)
{
	struct fixture *f = *state;

	reply(f, "1000000\n");
	reply(f, "2\n");
	assert_string_equal(read_at(f, 9, 128), "2\n");
	assert_string_equal(read_at(f, 11, 128), "");
}

static void test_empty_reply_is_end_of_file(void **state)
{
	struct fixture *f = *state;

	reply(f, "");
	assert_string_equal(read_at(f, 7, 128), "");
	assert_string_equal(read_at(f, 0, 128), "41\n");
}

static void test_snapshot_then_reply(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(read_at(f, 0, 128), "41\n");
	reply(f, "42\n");
	assert_string_equal(read_at(f, 6, 128), "42\n");
	assert_string_equal(read_at(f, 9, 128), "");
}

static void test_seek_back_but_not_to_the_start(void **state)
{
	struct fixture *f = *state;

	reply(f, "42\n");
	assert_string_equal(read_at(f, 8, 128), "42\n");
	f->now = "777\n";
	assert_string_equal(read_at(f, 1, 128), "77\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_reads_go_on_in_one_snapshot),
		TEST(test_first_read_may_be_anywhere),
		TEST(test_reply_wherever_the_offset_is),
		TEST(test_reply_byte_by_byte),
		TEST(test_offset_zero_after_the_reply_is_the_present),
		TEST(test_reply_at_offset_zero),
		TEST(test_second_write_replaces_an_unread_reply),
		TEST(test_empty_reply_is_end_of_file),
		TEST(test_snapshot_then_reply),
		TEST(test_seek_back_but_not_to_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
