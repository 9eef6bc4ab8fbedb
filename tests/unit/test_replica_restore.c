/* A backup becomes a new cluster that goes on from it; a bad one leaves nothing behind. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/restore.h"
#include "replica_fixture.h"

struct two {
	struct member from, to;
	char backup[400]; /* an image of `from` */
	uint64_t counter, file;
	int64_t value; /* of the counter, in the backup */
};

/* Work until there is an image, which is then of a moment when the counter had some value or more. */
static void make_backup(struct two *t)
{
	struct member *m = &t->from;
	struct replica_status status;

	m->config.snapshot_log_bytes = 16u << 10;
	assert_int_equal(member_open(m), 0);
	t->counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	t->file = member_create(m, INODE_FILES, "f", S_IFREG | 0644).inode;
	member_write(m, t->file, 0, 5000);
	do {
		member_add(m, t->counter, 1);
		replica_status(m->replica, &status);
	} while (status.snapshot_index < 200);
	member_close(m);
	member_file(m, "", "image-", t->backup, sizeof t->backup);
}

static int setup(void **state)
{
	static struct two t;

	memset(&t, 0, sizeof t);
	member_init(&t.from);
	member_init(&t.to);
	make_backup(&t);
	t.to.config.member = "m2";
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct two *t = *state;

	member_fini(&t->to);
	member_fini(&t->from);
	return 0;
}

static int restore(struct two *t, const char *file, struct restored *out)
{
	int fd = open(file, O_RDONLY), rc;

	assert_true(fd >= 0);
	t->to.error[0] = '\0';
	rc = replica_restore(fd, file, t->to.directory, "m2", out, t->to.error, sizeof t->to.error);
	close(fd);
	assert_true(rc == 0 || (t->to.error[0] && !strchr(t->to.error, '\n')));
	return rc;
}

static void assert_continues(struct two *t, const struct restored *r)
{
	struct member *m = &t->to;
	int64_t value = member_value(m, t->counter);
	struct reply reply;

	assert_int_equal(member_find(m, INODE_COUNTERS, "c"), t->counter);
	assert_int_equal(member_find(m, INODE_FILES, "f"), t->file);
	assert_true(value > 1);
	reply = member_add(m, t->counter, 5);
	assert_int_equal(reply.code, OK);
	assert_int_equal(reply.value, value + 5);
	assert_true(reply.revision > r->revision);
}

static void test_a_restored_member_goes_on(void **state)
{
	struct two *t = *state;
	struct restored r;
	struct replica_status status;

	assert_int_equal(restore(t, t->backup, &r), 0);
	assert_int_equal(r.inodes, 7);
	assert_true(r.revision > 10 && r.time_ns > 0);
	assert_string_equal(r.member, "m2");
	assert_int_equal(member_open(&t->to), 0);
	assert_continues(t, &r);
	replica_status(t->to.replica, &status);
	assert_int_equal(status.snapshot_index, r.revision);
	member_close(&t->to);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(member_open(&t->to), 0);
		assert_continues(t, &r);
		member_close(&t->to);
	}
}

static void add_some(struct member *m)
{
	uint64_t counter = member_find(m, INODE_COUNTERS, "c");

	for (int i = 0; i < 100; i++)
		member_add(m, counter, 1);
}

static void test_a_restored_member_survives_kills(void **state)
{
	struct two *t = *state;
	struct restored r;
	int64_t value;

	assert_int_equal(restore(t, t->backup, &r), 0);
	assert_int_equal(member_open(&t->to), 0);
	value = member_value(&t->to, t->counter);
	member_close(&t->to);
	for (int i = 1; i <= 5; i++) {
		member_killed(&t->to, add_some);
		assert_int_equal(member_open(&t->to), 0);
		assert_int_equal(member_value(&t->to, t->counter), value + 100 * i);
		member_close(&t->to);
	}
}

/* It takes images of its own, and the one it began with goes. */
static void test_a_restored_member_takes_images(void **state)
{
	struct two *t = *state;
	struct replica_status status;
	struct restored r;

	t->to.config.snapshot_log_bytes = 16u << 10;
	assert_int_equal(restore(t, t->backup, &r), 0);
	assert_int_equal(member_open(&t->to), 0);
	do {
		member_add(&t->to, t->counter, 1);
		replica_status(t->to.replica, &status);
	} while (status.snapshot_index < r.revision + 1000);
	member_close(&t->to);
	assert_int_equal(member_open(&t->to), 0);
	assert_continues(t, &r);
}

static void test_it_is_a_cluster_of_its_own(void **state)
{
	struct two *t = *state;
	struct restored r;
	struct directory d;

	assert_int_equal(restore(t, t->backup, &r), 0);
	assert_int_equal(directory_open(&d, t->from.directory, NULL, t->to.error, sizeof t->to.error), 0);
	assert_string_not_equal(d.cluster, r.cluster);
	directory_close(&d);
	assert_int_equal(directory_open(&d, t->to.directory, NULL, t->to.error, sizeof t->to.error), 0);
	assert_string_equal(d.cluster, r.cluster);
	assert_int_equal(d.id, r.revision + 1);
	assert_string_equal(d.reset_reason, "restored");
	assert_int_equal(d.reset_after, r.revision);
	directory_close(&d);
	assert_int_equal(restore(t, t->backup, &r), ERR_EXISTS);
	assert_non_null(strstr(t->to.error, "holds a member's data"));
}

static void assert_bad(struct two *t, const char *words)
{
	struct restored r;

	assert_true(restore(t, t->backup, &r) < 0);
	if (!strstr(t->to.error, words))
		fail_msg("'%s' does not say '%s'", t->to.error, words);
	assert_int_equal(member_file_count(&t->to, "", ""), 2); /* . and .. */
}

static void test_a_truncated_backup_is_refused(void **state)
{
	struct two *t = *state;
	struct stat st;

	assert_int_equal(stat(t->backup, &st), 0);
	for (off_t size = st.st_size - 1; size > 0; size = size * 2 / 3) {
		assert_int_equal(truncate(t->backup, size), 0);
		assert_bad(t, "ends too early");
	}
	assert_int_equal(truncate(t->backup, 0), 0);
	assert_bad(t, "ends too early");
}

static void test_a_flipped_bit_is_refused(void **state)
{
	struct two *t = *state;
	struct stat st;

	assert_int_equal(stat(t->backup, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 1 + st.st_size / 100) {
		flip_bit(t->backup, at);
		assert_bad(t, "");
		flip_bit(t->backup, at);
	}
	flip_bit(t->backup, -1);
	assert_bad(t, "is damaged");
}

static void test_a_newer_backup_is_refused(void **state)
{
	struct two *t = *state;

	flip_bit(t->backup, 8);
	assert_bad(t, "has format 17; this program knows 1");
}

static void test_what_is_no_backup_is_refused(void **state)
{
	struct two *t = *state;
	int fd = open(t->backup, O_WRONLY | O_TRUNC);

	assert_int_equal(write(fd, "#!/bin/sh\necho hello, world, at some length\n", 44), 44);
	close(fd);
	assert_bad(t, "does not begin as an image does");
	snprintf(t->backup, sizeof t->backup, "%s", t->from.directory);
	assert_bad(t, "Is a directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_restored_member_goes_on),
		TEST(test_a_restored_member_survives_kills),
		TEST(test_a_restored_member_takes_images),
		TEST(test_it_is_a_cluster_of_its_own),
		TEST(test_a_truncated_backup_is_refused),
		TEST(test_a_flipped_bit_is_refused),
		TEST(test_a_newer_backup_is_refused),
		TEST(test_what_is_no_backup_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
