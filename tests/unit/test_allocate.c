/* posix_fallocate of the program: what it allocates is written, and it fails as libc's does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEGMENT_BYTES = 8 << 20 };

static int file_new(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR, 0600);

	assert_true(fd >= 0);
	return fd;
}

/* Bytes that are allocated and were never written; -1: the file system does not tell. */
static int64_t unwritten_bytes(int fd)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + 256 * sizeof(struct fiemap_extent)];
	} u;
	int64_t sum = 0;

	memset(&u, 0, sizeof u);
	u.map.fm_length = SEGMENT_BYTES;
	u.map.fm_extent_count = 256;
	if (ioctl(fd, FS_IOC_FIEMAP, &u.map) < 0)
		return -1;
	for (unsigned i = 0; i < u.map.fm_mapped_extents; i++)
		if (u.map.fm_extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN)
			sum += (int64_t)u.map.fm_extents[i].fe_length;
	return sum;
}

static void test_blocks_are_written(void **state)
{
	int fd = file_new();
	struct stat st;

	(void)state;
	assert_int_equal(posix_fallocate(fd, 0, SEGMENT_BYTES), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SEGMENT_BYTES);
	assert_true(st.st_blocks * 512 >= SEGMENT_BYTES);
	if (unwritten_bytes(fd) < 0)
		skip();
	assert_int_equal(unwritten_bytes(fd), 0);
	close(fd);
}

static void test_flags_are_as_before(void **state)
{
	int fd = file_new(), flags = fcntl(fd, F_GETFL);

	(void)state;
	assert_int_equal(posix_fallocate(fd, 0, SEGMENT_BYTES), 0);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	close(fd);
}

static void test_odd_size(void **state)
{
	int fd = file_new();
	struct stat st;

	(void)state;
	assert_int_equal(posix_fallocate(fd, 0, 5000), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 5000);
	close(fd);
}

static void test_failure_is_told(void **state)
{
	int fd = file_new();

	(void)state;
	assert_int_equal(posix_fallocate(fd, 0, INT64_MAX), EFBIG);
	close(fd);
	assert_int_equal(posix_fallocate(fd, 0, SEGMENT_BYTES), EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_are_written),
		cmocka_unit_test(test_flags_are_as_before),
		cmocka_unit_test(test_odd_size),
		cmocka_unit_test(test_failure_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
