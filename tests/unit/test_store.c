/* The store over tdb, and images of it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/level.h"
#include "store/image.h"
#include "store/store_tdb.h"

static struct bytes text(const char *s)
{
	return (struct bytes){s, strlen(s)};
}

/* ---- records ---- */

static int setup(void **state)
{
	return store_tdb_new((struct store **)state);
}

static int teardown(void **state)
{
	store_tdb_free(*state);
	return 0;
}

struct seen {
	char value[64];
	size_t size;
	int code; /* to return */
};

static int see(void *ctx, struct bytes value)
{
	struct seen *seen = ctx;

	seen->size = value.size;
	memcpy(seen->value, value.data, value.size < sizeof seen->value ? value.size : sizeof seen->value);
	return seen->code;
}

static void assert_value(struct store *s, const char *key, const char *value)
{
	struct seen seen = {{0}, 0, 0};

	assert_int_equal(store_get(s, text(key), see, &seen), value ? 1 : 0);
	if (value) {
		assert_int_equal(seen.size, strlen(value));
		assert_memory_equal(seen.value, value, strlen(value));
	}
}

static void test_put_replaces_and_del_removes(void **state)
{
	struct store *s = *state;

	assert_value(s, "k", NULL);
	assert_int_equal(store_put(s, text("k"), text("one")), 0);
	assert_int_equal(store_put(s, text("other"), text("")), 0);
	assert_value(s, "k", "one");
	assert_int_equal(store_put(s, text("k"), text("a longer value than before")), 0);
	assert_value(s, "k", "a longer value than before");
	assert_int_equal(store_put(s, text("k"), text("x")), 0);
	assert_value(s, "k", "x");
	assert_value(s, "other", "");
	assert_int_equal(store_del(s, text("k")), 0);
	assert_int_equal(store_del(s, text("k")), 0);
	assert_value(s, "k", NULL);
	assert_value(s, "other", "");
}

static void test_get_gives_what_parse_gives(void **state)
{
	struct store *s = *state;
	struct seen seen = {.code = ERR_CORRUPT};

	store_put(s, text("k"), text("v"));
	assert_int_equal(store_get(s, text("k"), see, &seen), ERR_CORRUPT);
	assert_int_equal(store_get(s, text("k"), NULL, NULL), 1);
	assert_int_equal(store_get(s, text("none"), see, &seen), 0);
}

static void test_any_bytes_are_keys_and_values(void **state)
{
	struct store *s = *state;
	struct seen seen = {.code = 0};

	assert_int_equal(store_put(s, (struct bytes){"", 0}, (struct bytes){"\0\0", 2}), 0);
	assert_int_equal(store_put(s, (struct bytes){"\0", 1}, (struct bytes){"\0", 1}), 0);
	assert_int_equal(store_get(s, (struct bytes){"", 0}, see, &seen), 1);
	assert_int_equal(seen.size, 2);
	assert_int_equal(store_get(s, (struct bytes){"\0", 1}, see, &seen), 1);
	assert_int_equal(seen.size, 1);
}

static int count_each(void *ctx, struct bytes key, struct bytes value)
{
	uint64_t *sums = ctx;

	sums[0]++;
	sums[1] += strtoul((const char *)key.data + 1, NULL, 10);
	assert_int_equal(key.size, value.size);
	return sums[0] == sums[2] ? 77 : 0;
}

static void test_each_sees_every_record_once(void **state)
{
	struct store *s = *state;
	uint64_t sums[3] = {0, 0, 0};
	char key[32];

	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "%c%d", 'a' + i % 3, i);
		assert_int_equal(store_put(s, (struct bytes){key, strlen(key) + 1}, (struct bytes){key, strlen(key) + 1}), 0);
	}
	assert_int_equal(store_tdb_each(s, count_each, sums), 0);
	assert_int_equal(sums[0], 3000);
	assert_int_equal(sums[1], 2999 * 3000 / 2);
	sums[0] = 0;
	sums[2] = 10;
	assert_int_equal(store_tdb_each(s, count_each, sums), 77);
	assert_int_equal(sums[0], 10);
}

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* Pages that grow among small records: the pattern of a directory being filled. */
static void test_growing_records_stay_cheap(void **state)
{
	struct store *s = *state;
	char key[32], value[2048];
	double start, first = 0, last = 0;

	memset(value, 'v', sizeof value);
	for (int round = 0; round < 10; round++) {
		start = cpu_seconds();
		for (int i = round * 15000; i < (round + 1) * 15000; i++) {
			snprintf(key, sizeof key, "p%d", i / 64);
			store_put(s, text(key), (struct bytes){value, (size_t)(i % 64 + 1) * 30});
			snprintf(key, sizeof key, "i%d", i);
			store_put(s, text(key), (struct bytes){value, 90});
		}
		*(round ? &last : &first) = cpu_seconds() - start;
	}
	assert_true(last < 5 * first + 0.1);
}

/* ---- images ---- */

struct images {
	struct store *store; /* the machine's records, in tdb */
	struct machine *machine;
	char path[64];
	int fd;
	char error[256];
};

/* A machine over tdb, with a little of everything. */
static void make_machine(struct images *im)
{
	static const char *const names[] = {"a", "b", "a longer name"};
	Coordfs__Entry entry = COORDFS__ENTRY__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionOpen open = COORDFS__SESSION_OPEN__INIT;
	Coordfs__Create create = COORDFS__CREATE__INIT;
	uint8_t packed[512];
	struct reply reply;
	uint64_t index = 1;

	assert_int_equal(store_tdb_new(&im->store), 0);
	assert_int_equal(machine_new(im->store, NULL, &im->machine), 0);
	entry.format = ENTRY_FORMAT;
	entry.time_ns = 1000;
	entry.command = &command;
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &open;
	open.member = (char *)(uintptr_t) "m";
	open.incarnation = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t) "0123456789abcdef"};
	open.level = LEVEL_LATEST;
	machine_apply(im->machine, index++, (struct bytes){packed, coordfs__entry__pack(&entry, packed)}, &reply);
	assert_int_equal(reply.code, OK);
	entry.session = (uint64_t)reply.value;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &create;
	create.mode = S_IFREG | 0600;
	for (size_t i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof name, "%s%zu", names[i % 3], i);
		create.parent = i % 2 ? INODE_FILES : INODE_COUNTERS;
		create.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
		entry.sequence = i + 1;
		machine_apply(im->machine, index++, (struct bytes){packed, coordfs__entry__pack(&entry, packed)}, &reply);
		assert_int_equal(reply.code, OK);
	}
}

static int setup_image(void **state)
{
	static struct images im;
	struct image_sum sum;

	memset(&im, 0, sizeof im);
	strcpy(im.path, "/tmp/coordfs-image-XXXXXX");
	im.fd = mkstemp(im.path);
	assert_true(im.fd >= 0);
	make_machine(&im);
	assert_int_equal(image_write(im.fd, im.machine, im.store, &sum), 0);
	assert_int_equal(sum.bytes, lseek(im.fd, 0, SEEK_CUR));
	*state = &im;
	return 0;
}

static int teardown_image(void **state)
{
	struct images *im = *state;

	machine_free(im->machine);
	store_tdb_free(im->store);
	close(im->fd);
	unlink(im->path);
	return 0;
}

/* Load what is in the file; the hash of the state, or 0 and the code. */
static uint64_t load(struct images *im, const struct image_sum *expect, int *code)
{
	Coordfs__Meta meta = COORDFS__META__INIT;
	struct machine *m;
	struct store *s;

	assert_int_equal(store_tdb_new(&s), 0);
	im->error[0] = '\0';
	lseek(im->fd, 0, SEEK_SET);
	*code = image_load(im->fd, expect, s, NULL, &m, im->error, sizeof im->error);
	if (m)
		machine_meta(m, &meta);
	assert_int_equal(m == NULL, *code != 0);
	assert_int_equal(im->error[0] == '\0', *code == 0);
	machine_free(m);
	store_tdb_free(s);
	return meta.state_hash;
}

static void test_an_image_gives_the_same_state(void **state)
{
	struct images *im = *state;
	Coordfs__Meta meta = COORDFS__META__INIT;
	int code;

	machine_meta(im->machine, &meta);
	assert_int_equal(load(im, NULL, &code), meta.state_hash);
	assert_int_equal(code, 0);
}

static void test_a_shortened_image_is_refused(void **state)
{
	struct images *im = *state;
	off_t size = lseek(im->fd, 0, SEEK_END);
	int code;

	for (off_t at = size - 1; at >= 0; at -= at > size - 40 || at < 40 ? 1 : 97) {
		assert_int_equal(ftruncate(im->fd, at), 0);
		load(im, NULL, &code);
		assert_int_equal(code, ERR_CORRUPT);
		assert_non_null(strstr(im->error, "ends too early"));
	}
}

static void test_a_lengthened_image_is_refused(void **state)
{
	struct images *im = *state;
	int code;

	assert_int_equal(ftruncate(im->fd, lseek(im->fd, 0, SEEK_END) + 1), 0);
	load(im, NULL, &code);
	assert_int_equal(code, ERR_CORRUPT);
	assert_non_null(strstr(im->error, "bytes follow"));
}

static void test_any_flipped_bit_is_noticed(void **state)
{
	struct images *im = *state;
	off_t size = lseek(im->fd, 0, SEEK_END);
	uint8_t byte, flipped;
	int code;

	for (off_t at = 0; at < size; at += at < 64 || at > size - 32 ? 1 : 61) {
		assert_int_equal(pread(im->fd, &byte, 1, at), 1);
		flipped = byte ^ (uint8_t)(1 << at % 8);
		assert_int_equal(pwrite(im->fd, &flipped, 1, at), 1);
		load(im, NULL, &code);
		assert_int_not_equal(code, 0);
		assert_int_equal(pwrite(im->fd, &byte, 1, at), 1);
	}
	load(im, NULL, &code);
	assert_int_equal(code, 0);
}

static void test_a_newer_format_is_named(void **state)
{
	struct images *im = *state;
	uint8_t two = 2;
	int code;

	assert_int_equal(pwrite(im->fd, &two, 1, 8), 1);
	load(im, NULL, &code);
	assert_int_equal(code, ERR_NOT_SUPPORTED);
	assert_non_null(strstr(im->error, "format 2"));
}

static void test_the_right_image_is_asked_for(void **state)
{
	struct images *im = *state;
	struct image_sum other = {.bytes = (uint64_t)lseek(im->fd, 0, SEEK_END), .checksum = 1};
	int code;

	load(im, &other, &code);
	assert_int_equal(code, ERR_CORRUPT);
	assert_non_null(strstr(im->error, "another image"));
}

static void test_a_full_disk_fails_the_writing(void **state)
{
	struct images *im = *state;
	struct image_sum sum;
	int full = open("/dev/full", O_WRONLY);

	assert_true(full >= 0);
	assert_int_equal(image_write(full, im->machine, im->store, &sum), ERR_NO_SPACE);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put_replaces_and_del_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get_gives_what_parse_gives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_bytes_are_keys_and_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_sees_every_record_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_growing_records_stay_cheap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_image_gives_the_same_state, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_a_shortened_image_is_refused, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_a_lengthened_image_is_refused, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_any_flipped_bit_is_noticed, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_a_newer_format_is_named, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_the_right_image_is_asked_for, setup_image, teardown_image),
		cmocka_unit_test_setup_teardown(test_a_full_disk_fails_the_writing, setup_image, teardown_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
