/* A disk that is full, or fails: what was acknowledged stays, what was refused is not there, reads go on, and it serves
 * again by itself once it can. On a small file system of its own, in a mount name space of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_fixture.h"

#define DISK "/tmp/coordfs-full-disk"

/* ---- the disk ---- */

/* As root of this host, or of a user name space where one may make one. */
static void make_disk(void)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) {
		printf("cannot make a mount name space: %s\n", strerror(errno));
		exit(77);
	}
	mkdir(DISK, 0700);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", DISK, "tmpfs", 0, "size=96m")) {
		printf("cannot mount a tmpfs: %s\n", strerror(errno));
		exit(77);
	}
	setenv("TMPDIR", DISK, 1);
}

/* To the last page, while libraft may be taking some too. */
static void fill_disk(void)
{
	int fd = open(DISK "/filler", O_WRONLY | O_CREAT, 0600);
	off_t size = 0, step = 64 << 20;

	assert_true(fd >= 0);
	while (step >= 4096)
		if (posix_fallocate(fd, size, step) == 0)
			size += step;
		else
			step /= 2;
	close(fd);
}

static void free_disk(void)
{
	unlink(DISK "/filler");
}

static int setup(void **state)
{
	static struct member m;

	member_init(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	free_disk();
	member_fini(*state);
	return 0;
}

/* ---- */

static uint64_t new_counter(struct member *m)
{
	return member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
}

static uint64_t new_file(struct member *m)
{
	return member_create(m, INODE_FILES, "f", S_IFREG | 0644).inode;
}

static void wait_for_writes(struct member *m, uint64_t counter, int64_t *value)
{
	struct reply reply = {.code = ERR_NO_SPACE};

	for (int i = 0; i < 100 && reply.code != OK; i++) {
		reply = member_add(m, counter, 1);
		if (reply.code != OK) {
			assert_int_equal(reply.code, ERR_NO_SPACE);
			member_run_ms(m, 100);
		}
	}
	assert_int_equal(reply.code, OK);
	assert_int_equal(reply.value, ++*value);
}

static void test_a_full_disk_refuses_and_recovers(void **state)
{
	struct member *m = *state;
	struct replica_status status;
	uint64_t counter, file;
	int64_t value = 0;
	int code = OK, writes = 0;

	assert_int_equal(member_open(m), 0);
	counter = new_counter(m);
	file = new_file(m);
	wait_for_writes(m, counter, &value);
	fill_disk();
	while (code == OK && writes++ < 200)
		code = member_write(m, file, 0, 500000).code;
	assert_int_equal(code, ERR_NO_SPACE);
	assert_true(writes > 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_add(m, counter, 1).code, ERR_NO_SPACE);
	assert_int_equal(replica_read_barrier(m->replica, NULL, NULL), OK);
	assert_int_equal(member_value(m, counter), value);
	replica_status(m->replica, &status);
	assert_non_null(status.trouble);
	assert_non_null(strstr(status.trouble, "no space"));
	free_disk();
	wait_for_writes(m, counter, &value);
	member_run_ms(m, 300);
	replica_status(m->replica, &status);
	assert_null(status.trouble);
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, counter), value);
}

static void die(struct member *m)
{
	(void)m;
}

static void test_a_start_on_a_full_disk_is_refused(void **state)
{
	struct member *m = *state;
	uint64_t counter;

	assert_int_equal(member_open(m), 0);
	counter = new_counter(m);
	member_add(m, counter, 7);
	member_close(m);
	fill_disk();
	assert_int_equal(member_open(m), ERR_NO_SPACE);
	assert_non_null(strstr(m->error, "must be free"));
	free_disk();
	member_killed(m, die);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, counter), 7);
}

static void test_a_new_member_needs_room(void **state)
{
	struct member *m = *state;

	fill_disk();
	assert_int_equal(member_open(m), ERR_NO_SPACE);
	free_disk();
	assert_int_equal(member_open(m), 0);
}

/* The image waits for room; then the log shrinks behind it. */
static void test_an_image_waits_for_room(void **state)
{
	struct member *m = *state;
	struct replica_status status;
	uint64_t file;

	m->config.snapshot_log_bytes = 2u << 20;
	assert_int_equal(member_open(m), 0);
	file = new_file(m);
	member_write(m, file, 0, 1000000);
	fill_disk();
	member_write(m, file, 0, 1000000);
	member_write(m, file, 0, 1000000);
	member_run_ms(m, 1000);
	replica_status(m->replica, &status);
	assert_int_equal(status.snapshot_index, 0);
	free_disk();
	for (int i = 0; i < 100 && !status.snapshot_index; i++) {
		member_run_ms(m, 100);
		replica_status(m->replica, &status);
	}
	assert_true(status.snapshot_index > 0);
	member_close(m);
	assert_int_equal(member_open(m), 0);
}

/* ---- a disk that fails: every write beyond a limit does ---- */

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#define OUTSTANDING 300 /* more than a block of the log */

static void add_with_failure(struct member *m, uint64_t counter)
{
	static struct pending pending[OUTSTANDING];
	int64_t value = member_value(m, counter);
	unsigned answered = 0, good = 0;

	limit_files(4096);
	for (unsigned i = 0; i < OUTSTANDING; i++)
		member_start_add(m, counter, 1, &pending[i]);
	for (int i = 0; i < 100 && answered < OUTSTANDING; i++) {
		member_run_ms(m, 50);
		if (i == 20) {
			assert_true(answered < OUTSTANDING); /* the disk does fail */
			limit_files(RLIM_INFINITY);
		}
		answered = good = 0;
		for (unsigned j = 0; j < OUTSTANDING; j++) {
			answered += pending[j].done;
			good += pending[j].done && pending[j].reply.code == OK;
			if (pending[j].done && pending[j].reply.code)
				assert_int_equal(pending[j].reply.code, ERR_NO_SPACE);
		}
	}
	limit_files(RLIM_INFINITY);
	assert_int_equal(answered, OUTSTANDING);
	assert_int_equal(member_value(m, counter), value + good);
	value += good;
	wait_for_writes(m, counter, &value);
}

static void run_with_failures(struct member *m)
{
	struct machine *machine;
	uint64_t counter;
	int64_t value;

	assert_int_equal(member_open(m), 0);
	machine = replica_machine(m->replica);
	counter = new_counter(m);
	for (int i = 0; i < 30; i++)
		member_add(m, counter, 1);
	for (int round = 0; round < 3; round++)
		add_with_failure(m, counter);
	assert_ptr_equal(replica_machine(m->replica), machine);
	value = member_value(m, counter);
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, counter), value);
}

static void test_a_failing_write_is_survived(void **state)
{
	run_with_failures(*state);
}

/* … with an image under way, which fails too. */
static void test_a_failing_write_beside_an_image(void **state)
{
	struct member *m = *state;

	m->config.snapshot_log_bytes = 2u << 10;
	run_with_failures(m);
}

/* The same where raft_uv writes directly and asynchronously. */
static void test_a_failing_write_is_survived_on_disk(void **state)
{
	static struct member m;

	(void)state;
	unsetenv("TMPDIR");
	member_init(&m);
	setenv("TMPDIR", DISK, 1);
	run_with_failures(&m);
	member_fini(&m);
}

/* ---- entries larger than a segment of the log ---- */

static void test_the_largest_command(void **state)
{
	struct member *m = *state;
	uint64_t counter, file;
	int64_t value = 3;
	int tries = 0;

	assert_int_equal(member_open(m), 0);
	counter = new_counter(m);
	file = new_file(m);
	member_add(m, counter, 1);
	assert_int_equal(member_write(m, file, 0, LIMIT_COMMAND_BYTES - 200).code, ERR_TOO_BIG); /* the file's limit */
	member_add(m, counter, 1);
	assert_int_equal(member_write(m, file, 0, LIMIT_COMMAND_BYTES + 1).code, ERR_TOO_BIG); /* never in the log */
	member_add(m, counter, 1);
	member_close(m);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, counter), 3);
	do /* a segment that is closed gives room back */
		fill_disk();
	while (member_write(m, file, 0, LIMIT_COMMAND_BYTES - 200).code == ERR_TOO_BIG && tries++ < 20);
	assert_true(tries < 20);
	free_disk();
	wait_for_writes(m, counter, &value);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_full_disk_refuses_and_recovers),
		TEST(test_a_start_on_a_full_disk_is_refused),
		TEST(test_a_new_member_needs_room),
		TEST(test_an_image_waits_for_room),
		TEST(test_a_failing_write_is_survived),
		TEST(test_a_failing_write_beside_an_image),
		cmocka_unit_test(test_a_failing_write_is_survived_on_disk),
		TEST(test_the_largest_command),
	};

	make_disk();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
