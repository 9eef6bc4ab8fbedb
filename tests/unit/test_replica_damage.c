/* Damage of every file in the data directory: a start says what is wrong, changes nothing, and never goes on with less
 * than was acknowledged. What a crash may leave is no damage. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "replica/directory.h"
#include "replica_fixture.h"

#define ADDS 120

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

/* ---- a directory worth damaging ---- */

static void add_some(struct member *m)
{
	uint64_t counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode; /* or find it */

	for (int i = 0; i < ADDS; i++)
		assert_int_equal(member_add(m, counter, 1).code, OK);
}

static uint64_t marked(struct member *m)
{
	struct directory d = {.fd = open(m->directory, O_RDONLY)};
	struct mark mark;

	assert_int_equal(mark_read(&d, &mark), 0);
	close(d.fd);
	return mark.index;
}

/* … and wait until the record of it is on disk. */
static void add_and_mark(struct member *m)
{
	struct replica_status status;

	add_some(m);
	replica_status(m->replica, &status);
	for (int i = 0; i < 400 && marked(m) < status.last_index; i++)
		member_run_ms(m, 50);
	if (marked(m) < status.last_index)
		_exit(1);
}

static void make_closed(struct member *m)
{
	assert_int_equal(member_open(m), 0);
	add_some(m);
	member_close(m);
}

/* One image more than there were: of which entry. */
static uint64_t make_images(struct member *m)
{
	struct replica_status before, now;

	m->config.snapshot_log_bytes = 16u << 10;
	assert_int_equal(member_open(m), 0);
	replica_status(m->replica, &before);
	add_some(m);
	do {
		member_run_ms(m, 50);
		replica_status(m->replica, &now);
	} while (now.snapshot_index == before.snapshot_index);
	m->config.snapshot_log_bytes = 1u << 30;
	member_close(m);
	return now.snapshot_index;
}

/* ---- what must not change ---- */

static uint64_t sum_of_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY);
	static uint8_t buffer[1u << 20];
	uint64_t sum = XXH3_64bits(name, strlen(name));
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		sum = sum * 31 + XXH3_64bits(buffer, (size_t)n);
	close(fd);
	return sum;
}

static uint64_t sum_of_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint64_t sum = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_REG && strcmp(entry->d_name, "lock"))
			sum += sum_of_file(dirfd(dir), entry->d_name);
	closedir(dir);
	return sum;
}

static uint64_t sum_of_all(struct member *m)
{
	char raft[300];

	snprintf(raft, sizeof raft, "%s/raft", m->directory);
	return sum_of_directory(m->directory) * 3 + sum_of_directory(raft);
}

static void assert_refused(struct member *m, const char *words)
{
	uint64_t sum = sum_of_all(m);
	int rc = member_open(m);

	if (rc == 0)
		fail_msg("it serves");
	if (!strstr(m->error, words))
		fail_msg("'%s' does not say '%s'", m->error, words);
	assert_int_equal(rc, ERR_CORRUPT);
	assert_int_equal(sum_of_all(m), sum);
}

static void assert_whole(struct member *m)
{
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, member_find(m, INODE_COUNTERS, "c")), ADDS);
	member_close(m);
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Where the zeros at the end begin. */
static off_t end_of_data(const char *path)
{
	off_t size = size_of(path);
	int fd = open(path, O_RDONLY);
	uint8_t byte = 0;

	while (size > 0 && pread(fd, &byte, 1, size - 1) == 1 && !byte)
		size--;
	close(fd);
	return size;
}

/* ---- closed segments ---- */

static void test_a_flipped_bit_in_a_closed_segment(void **state)
{
	struct member *m = *state;
	char path[400];
	off_t size;

	make_closed(m);
	member_file(m, "raft", "0", path, sizeof path);
	size = size_of(path);
	for (off_t at = 0; at < size; at += at < 32 ? 1 : 197) {
		flip_bit(path, at);
		assert_refused(m, "is damaged");
		flip_bit(path, at);
	}
	assert_whole(m);
}

static void test_a_shortened_closed_segment(void **state)
{
	struct member *m = *state;
	char path[400];
	off_t size;

	make_closed(m);
	member_file(m, "raft", "0", path, sizeof path);
	size = size_of(path);
	for (off_t at = size - 1; at >= 0; at -= at > 997 ? 997 : 1 + at / 2) {
		assert_int_equal(truncate(path, at), 0);
		assert_refused(m, "damaged");
	}
}

static void test_a_lost_closed_segment(void **state)
{
	struct member *m = *state;
	char path[400];

	make_closed(m);
	member_file(m, "raft", "0", path, sizeof path);
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "the log ends at entry 1,");
	member_file(m, "raft", "0", path, sizeof path);
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "the beginning of the log is missing");
}

static void test_a_gap_between_closed_segments(void **state)
{
	struct member *m = *state;
	char first[400], path[400];

	make_closed(m);
	snprintf(first, sizeof first, "%s/raft/0000000000000001-0000000000000001", m->directory);
	assert_int_equal(unlink(first), 0);
	assert_refused(m, "entries 1 to 1 of the log are missing");
	assert_int_equal(member_file(m, "raft", "0", path, sizeof path) == path, 1);
}

/* ---- open segments: what a kill leaves ---- */

static void test_a_flipped_bit_in_an_open_segment(void **state)
{
	struct member *m = *state;
	char path[400];
	off_t end;

	member_killed(m, add_and_mark);
	snprintf(path, sizeof path, "%s/raft/open-1", m->directory);
	end = end_of_data(path);
	assert_true(end > ADDS * 50);
	for (off_t at = 0; at < end; at += at < 16 || at > end - 16 ? 1 : 499) {
		flip_bit(path, at);
		assert_refused(m, "were acknowledged");
		flip_bit(path, at);
	}
	assert_whole(m);
}

static void test_a_shortened_open_segment(void **state)
{
	struct member *m = *state;
	char path[400];

	member_killed(m, add_and_mark);
	snprintf(path, sizeof path, "%s/raft/open-1", m->directory);
	for (off_t at = end_of_data(path) - 1; at >= 0; at -= at > 997 ? 997 : 1 + at / 2) {
		assert_int_equal(truncate(path, at), 0);
		assert_refused(m, "were acknowledged");
	}
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "were acknowledged");
}

/* The power failed during a write: some of its bytes are there. */
static void test_a_write_that_was_cut_off(void **state)
{
	struct member *m = *state;
	char path[400];
	uint8_t torn[700];
	int fd;

	member_killed(m, add_and_mark);
	snprintf(path, sizeof path, "%s/raft/open-1", m->directory);
	memset(torn, 0xa5, sizeof torn);
	torn[8] = 1; /* a batch of one entry */
	memset(torn + 9, 0, 7);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, torn, sizeof torn, (end_of_data(path) + 7) / 8 * 8), sizeof torn);
	close(fd);
	assert_whole(m);
	assert_whole(m);
}

/* raft_uv would drop the rest of the first and take the second's entries in their place. */
static void test_damage_with_a_newer_segment_behind(void **state)
{
	struct member *m = *state;
	char closed[400], path[400];

	make_closed(m);
	make_closed(m); /* one more segment */
	member_file(m, "raft", "0", closed, sizeof closed);
	snprintf(path, sizeof path, "%s/raft/open-2", m->directory);
	assert_int_equal(rename(closed, path), 0);
	member_file(m, "raft", "0", closed, sizeof closed);
	snprintf(path, sizeof path, "%s/raft/open-1", m->directory);
	assert_int_equal(rename(closed, path), 0);
	assert_int_equal(member_open(m), 0); /* a crash may leave both, whole */
	member_close(m);
	member_file(m, "raft", "0", closed, sizeof closed);
	snprintf(path, sizeof path, "%s/raft/open-2", m->directory);
	assert_int_equal(rename(closed, path), 0);
	member_file(m, "raft", "0", closed, sizeof closed);
	snprintf(path, sizeof path, "%s/raft/open-1", m->directory);
	assert_int_equal(rename(closed, path), 0);
	flip_bit(path, size_of(path) / 2);
	assert_refused(m, "more follow in open-2");
}

/* ---- term and vote ---- */

static void test_damaged_metadata(void **state)
{
	struct member *m = *state;
	char path[400];

	make_closed(m);
	snprintf(path, sizeof path, "%s/raft/metadata1", m->directory);
	flip_bit(path, 0); /* format */
	assert_refused(m, "metadata1 is damaged");
	flip_bit(path, 0);
	assert_int_equal(truncate(path, 31), 0);
	assert_refused(m, "metadata1 and metadata2 are missing");
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "metadata1 and metadata2 are missing");
}

static void test_a_foreign_file_in_the_log(void **state)
{
	struct member *m = *state;
	char path[600];
	int n, fd;

	make_closed(m);
	n = snprintf(path, sizeof path, "%s/raft/", m->directory);
	memset(path + n, 'x', 130);
	path[n + 130] = '\0';
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_refused(m, "does not belong here");
}

/* ---- the record of what was acknowledged ---- */

static void test_a_damaged_record(void **state)
{
	struct member *m = *state;
	char path[400];

	make_closed(m);
	snprintf(path, sizeof path, "%s/acknowledged", m->directory);
	for (long at = 0; at < size_of(path); at++) {
		flip_bit(path, at);
		assert_refused(m, "acknowledged is damaged");
		flip_bit(path, at);
	}
	assert_int_equal(truncate(path, 20), 0);
	assert_refused(m, "acknowledged is damaged");
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "acknowledged is missing");
}

/* ---- snapshots and images ---- */

static void test_a_damaged_image(void **state)
{
	struct member *m = *state;
	char path[400];
	off_t size;

	make_images(m);
	member_file(m, "", "image-", path, sizeof path);
	size = size_of(path);
	for (off_t at = 0; at < size; at += 1 + size / 23) {
		flip_bit(path, at);
		assert_int_not_equal(member_open(m), 0);
		assert_non_null(strstr(m->error, "image-"));
		flip_bit(path, at);
	}
	assert_whole(m);
	assert_int_equal(truncate(path, size - 9), 0);
	assert_refused(m, "ends too early");
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "cannot be opened");
}

static void test_an_image_of_another_time(void **state)
{
	struct member *m = *state;
	char path[400], kept[450];

	make_images(m);
	member_file(m, "", "image-", path, sizeof path);
	snprintf(kept, sizeof kept, "%s/../kept-image", m->directory);
	assert_int_equal(link(path, kept), 0);
	snprintf(path, sizeof path, "%s/image-%llu.coordfs", m->directory, (unsigned long long)make_images(m));
	assert_int_equal(rename(kept, path), 0);
	unlink(kept);
	assert_refused(m, "another image");
}

static void test_a_damaged_snapshot(void **state)
{
	struct member *m = *state;
	char path[400];
	off_t size;

	make_images(m);
	member_file(m, "raft", "snapshot-", path, sizeof path);
	*strstr(path, ".meta") = '\0';
	size = size_of(path);
	for (off_t at = 0; at < size; at++) {
		flip_bit(path, at);
		assert_int_not_equal(member_open(m), 0);
		flip_bit(path, at);
	}
	assert_whole(m);
	strcat(path, ".meta");
	flip_bit(path, 40);
	assert_int_not_equal(member_open(m), 0);
	flip_bit(path, 40);
	assert_int_equal(unlink(path), 0);
	assert_refused(m, "the snapshot of entry");
}

static void write_byte(const char *path, off_t at, char byte)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Bytes that a lenient reader would take for the right ones. */
static void test_a_snapshot_that_says_the_same_in_other_bytes(void **state)
{
	struct member *m = *state;
	off_t after_title = strlen("coordfs-image 1");
	char path[400];

	make_images(m);
	member_file(m, "raft", "snapshot-", path, sizeof path);
	*strstr(path, ".meta") = '\0';
	write_byte(path, after_title, ' ');
	assert_refused(m, "the newest snapshot is damaged");
	write_byte(path, after_title, '\n');
	assert_whole(m);
}

static void test_lost_snapshots(void **state)
{
	struct member *m = *state;
	char path[400];

	make_images(m);
	while (member_file_count(m, "raft", "snapshot-"))
		assert_int_equal(unlink(member_file(m, "raft", "snapshot-", path, sizeof path)), 0);
	assert_refused(m, "the snapshot of entry");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_flipped_bit_in_a_closed_segment),
		TEST(test_a_shortened_closed_segment),
		TEST(test_a_lost_closed_segment),
		TEST(test_a_gap_between_closed_segments),
		TEST(test_a_flipped_bit_in_an_open_segment),
		TEST(test_a_shortened_open_segment),
		TEST(test_a_write_that_was_cut_off),
		TEST(test_damage_with_a_newer_segment_behind),
		TEST(test_damaged_metadata),
		TEST(test_a_foreign_file_in_the_log),
		TEST(test_a_damaged_record),
		TEST(test_a_damaged_image),
		TEST(test_an_image_of_another_time),
		TEST(test_a_damaged_snapshot),
		TEST(test_a_snapshot_that_says_the_same_in_other_bytes),
		TEST(test_lost_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
