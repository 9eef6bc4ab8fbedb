/* The eventual level's log on disk: crashes, damage, a full disk, writing anew. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gossip/gossip.h"
#include "gossip/storage.h"

struct disk {
	char directory[64];
	char error[512];
	/* what was read */
	uint8_t *read;
	size_t read_bytes;
};

static int setup(void **state)
{
	struct disk *d = calloc(1, sizeof *d);
	const char *tmp = getenv("TMPDIR");

	assert_non_null(d);
	snprintf(d->directory, sizeof d->directory, "%.40s/gossip-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(d->directory));
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct disk *d = *state;
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", d->directory);
	assert_int_equal(system(command), 0);
	free(d->read);
	free(d);
	return 0;
}

static int note(void *ctx, const uint8_t *payload, size_t size)
{
	struct disk *d = ctx;

	d->read = realloc(d->read, d->read_bytes + size);
	assert_non_null(d->read);
	memcpy(d->read + d->read_bytes, payload, size);
	d->read_bytes += size;
	return 0;
}

static int open_it(struct disk *d, struct storage **s)
{
	d->read_bytes = 0;
	return storage_open(d->directory, 5, note, d, s, d->error, sizeof d->error);
}

static void path_of(const struct disk *d, unsigned number, char *out, size_t size)
{
	snprintf(out, size, "%s/eventual-%u.log", d->directory, number);
}

/* Payloads of one byte repeated, so that what was read tells what was written. */
static int write_batch(struct storage *s, unsigned first, unsigned count)
{
	struct frames f = {0};
	int rc;

	for (unsigned i = 0; i < count; i++)
		memset(frames_add(&f, 5 + (first + i) % 40), (int)(first + i), 5 + (first + i) % 40);
	rc = storage_write(s, &f);
	frames_fini(&f);
	return rc;
}

static size_t bytes_until(unsigned count)
{
	size_t size = 0;

	for (unsigned i = 0; i < count; i++)
		size += 5 + i % 40;
	return size;
}

/* Exactly the first `count` payloads. */
static void assert_read(const struct disk *d, unsigned count)
{
	size_t at = 0;

	assert_int_equal(d->read_bytes, bytes_until(count));
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < 5 + i % 40; k++)
			assert_int_equal(d->read[at++], (uint8_t)i);
}

struct file_image {
	uint8_t *data;
	size_t size;
};

static struct file_image load(const char *path)
{
	struct file_image f;
	struct stat st;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	f.size = (size_t)st.st_size;
	f.data = malloc(f.size + 1);
	assert_int_equal(read(fd, f.data, f.size), f.size);
	close(fd);
	return f;
}

static void save(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* ---- what is written is read ---- */

static void test_nothing_is_made_for_nothing(void **state)
{
	struct disk *d = *state;
	struct storage *s;

	assert_int_equal(open_it(d, &s), 0);
	storage_vouch(s);
	storage_close(s);
	assert_int_equal(rmdir(d->directory), 0);
	assert_int_equal(mkdir(d->directory, 0700), 0);
}

static void test_again(void **state)
{
	struct disk *d = *state;
	struct storage *s;

	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(open_it(d, &s), 0);
		assert_read(d, i * 3);
		assert_int_equal(write_batch(s, i * 3, 3), 0);
		if (i % 3 == 0)
			assert_int_equal(storage_vouch(s), 0);
		storage_close(s);
	}
}

static void test_other_member(void **state)
{
	struct disk *d = *state;
	struct storage *s;

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 0, 1), 0);
	storage_close(s);
	assert_int_equal(storage_open(d->directory, 6, note, d, &s, d->error, sizeof d->error), ERR_CORRUPT);
	assert_non_null(strstr(d->error, "number 5"));
}

/* ---- crashes ---- */

#define SOUND 6u

/* As if there had never been anything. */
static void forget(const struct disk *d)
{
	char path[128];

	path_of(d, 1, path, sizeof path);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof path, "%s/member.eventual", d->directory);
	assert_int_equal(unlink(path), 0);
}

/* Two batches that were acknowledged, and a third of which only some bytes got to the disk. */
static struct file_image cut_off(struct disk *d, size_t *from, size_t *to)
{
	struct file_image f;
	struct storage *s;
	char path[128];

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 0, 3), 0);
	assert_int_equal(write_batch(s, 3, 3), 0);
	*from = storage_used(s);
	assert_int_equal(write_batch(s, SOUND, 8), 0);
	*to = storage_used(s);
	storage_close(s);
	path_of(d, 1, path, sizeof path);
	f = load(path);
	return f;
}

static void assert_goes_on(struct disk *d)
{
	struct storage *s;
	unsigned there;

	assert_int_equal(open_it(d, &s), 0);
	for (there = SOUND; there < SOUND + 8 && d->read_bytes > bytes_until(there); there++)
		;
	assert_read(d, there);
	assert_int_equal(write_batch(s, there, 2), 0);
	storage_close(s);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, there + 2);
	storage_close(s);
}

static void test_cut_at_each_byte(void **state)
{
	struct disk *d = *state;
	size_t from, to;
	struct file_image f = cut_off(d, &from, &to);
	char path[128];

	path_of(d, 1, path, sizeof path);
	for (size_t at = from; at < to; at++) {
		save(path, f.data, at);
		assert_goes_on(d);
		for (size_t i = at; i < to; i++) /* the room was there before */
			f.data[i] = 0;
		save(path, f.data, f.size > 8192 ? 8192 : f.size);
		assert_goes_on(d);
		free(f.data);
		forget(d);
		f = cut_off(d, &from, &to);
	}
	free(f.data);
}

/* The end of the last write got there, its beginning not. */
static void test_holes(void **state)
{
	struct disk *d = *state;
	size_t from, to;
	struct file_image f = cut_off(d, &from, &to);
	char path[128];

	path_of(d, 1, path, sizeof path);
	for (size_t at = from; at + 8 < to; at += 8) {
		memset(f.data + at, 0, 8);
		save(path, f.data, f.size > 8192 ? 8192 : f.size);
		assert_goes_on(d);
		free(f.data);
		forget(d);
		f = cut_off(d, &from, &to);
	}
	free(f.data);
}

/* ---- damage ---- */

static void test_damage(void **state)
{
	struct disk *d = *state;
	size_t from, to;
	struct file_image f = cut_off(d, &from, &to), now;
	struct storage *s;
	char path[128];

	path_of(d, 1, path, sizeof path);
	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(storage_vouch(s), 0);
	storage_close(s);
	free(f.data);
	f = load(path);
	for (size_t at = 0; at < to; at++) {
		f.data[at] ^= 0x10;
		save(path, f.data, 8192);
		assert_true(open_it(d, &s) < 0);
		if (at >= 16)
			assert_non_null(strstr(d->error, "damaged"));
		now = load(path);
		assert_int_equal(now.size, 8192);
		assert_memory_equal(now.data, f.data, 8192);
		free(now.data);
		f.data[at] ^= 0x10;
	}
	save(path, f.data, 8192);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, SOUND + 8);
	storage_close(s);
	free(f.data);
}

static void assert_refused(struct disk *d, const char *words)
{
	struct storage *s;

	assert_int_equal(open_it(d, &s), ERR_CORRUPT);
	assert_non_null(strstr(d->error, words));
	assert_non_null(strstr(d->error, d->directory));
}

static void test_missing(void **state)
{
	struct disk *d = *state;
	char path[128], aside[160], mark[128];
	struct storage *s;

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 0, 3), 0);
	storage_close(s); /* as after a crash: what was acknowledged must be there */
	path_of(d, 1, path, sizeof path);
	snprintf(aside, sizeof aside, "%s.aside", path);
	snprintf(mark, sizeof mark, "%s/member.eventual", d->directory);
	assert_int_equal(rename(path, aside), 0);
	assert_refused(d, "eventual-1.log is missing");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(aside, path), 0);
	save(mark, (const uint8_t *)"nonsense", 8);
	assert_refused(d, "member.eventual");
	assert_int_equal(unlink(mark), 0); /* of an earlier version */
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, 3);
	storage_close(s);
	assert_int_equal(unlink(path), 0);
	assert_refused(d, "is missing");
}

/* What was known to be durable is not taken for cut off by a crash. */
static void test_shortened(void **state)
{
	struct disk *d = *state;
	struct file_image f;
	struct storage *s;
	char path[128];
	size_t end;

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 0, 3), 0);
	assert_int_equal(write_batch(s, 3, 3), 0);
	assert_int_equal(storage_vouch(s), 0);
	end = storage_used(s);
	storage_close(s);
	path_of(d, 1, path, sizeof path);
	f = load(path);
	for (size_t at = 0; at < end; at += 3) {
		save(path, f.data, at);
		assert_true(open_it(d, &s) < 0);
	}
	save(path, f.data, end);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, 6);
	storage_close(s);
	free(f.data);
}

/* ---- a full disk ---- */

static void set_limit(rlim_t bytes)
{
	const struct rlimit limit = {bytes, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full(void **state)
{
	struct disk *d = *state;
	struct storage *s;
	unsigned count = 0;

	assert_int_equal(open_it(d, &s), 0);
	set_limit(4000);
	while (write_batch(s, count, 3) == 0)
		count += 3;
	assert_true(count > 30);
	assert_int_equal(write_batch(s, count, 3), ERR_NO_SPACE);
	set_limit(RLIM_INFINITY);
	storage_close(s);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, count);
	assert_int_equal(write_batch(s, count, 3), 0);
	set_limit(4000);
	assert_int_equal(write_batch(s, count + 3, 100), ERR_NO_SPACE);
	set_limit(RLIM_INFINITY);
	assert_int_equal(write_batch(s, count + 3, 3), 0);
	storage_close(s);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, count + 6);
	storage_close(s);
}

/* ---- writing anew ---- */

static void rewrite_add(struct storage *s, unsigned first, unsigned count)
{
	struct frames f = {0};

	for (unsigned i = 0; i < count; i++)
		memset(frames_add(&f, 5 + (first + i) % 40), (int)(first + i), 5 + (first + i) % 40);
	storage_rewrite_add(s, &f);
	frames_fini(&f);
}

static void test_rewrite(void **state)
{
	struct disk *d = *state;
	char path[128];
	struct storage *s;

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 100, 50), 0);
	assert_int_equal(storage_rewrite_begin(s), 0);
	rewrite_add(s, 0, 3);
	assert_int_equal(write_batch(s, 3, 2), 0);
	rewrite_add(s, 5, 3);
	assert_int_equal(storage_rewrite_end(s), 0);
	assert_int_equal(write_batch(s, 8, 2), 0);
	storage_close(s);
	path_of(d, 1, path, sizeof path);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, 10);
	storage_close(s);
}

/* The former one stays when the new one cannot be made; and a crash leaves either. */
static void test_rewrite_fails(void **state)
{
	struct disk *d = *state;
	char path[128];
	struct storage *s;

	assert_int_equal(open_it(d, &s), 0);
	assert_int_equal(write_batch(s, 0, 40), 0);
	set_limit(1000);
	assert_int_equal(storage_rewrite_begin(s), 0);
	rewrite_add(s, 0, 40);
	assert_int_equal(storage_rewrite_end(s), ERR_NO_SPACE);
	set_limit(RLIM_INFINITY);
	assert_int_equal(write_batch(s, 40, 2), 0);
	storage_close(s);
	snprintf(path, sizeof path, "%s/eventual-2.log.new", d->directory);
	save(path, (const uint8_t *)"half", 4);
	assert_int_equal(open_it(d, &s), 0);
	assert_read(d, 42);
	assert_int_equal(access(path, F_OK), -1);
	storage_close(s);
}

/* ---- all of it, killed ---- */

struct run {
	uv_loop_t loop;
	struct gossip *g;
	int answers; /* a pipe: a byte for each addition that was acknowledged */
	bool closed;
};

static const struct gossip_place counter = {9, ""};

static void begin(struct run *r, const char *directory)
{
	const struct gossip_config config = {.directory = directory, .member = 5};
	char error[512];

	uv_loop_init(&r->loop);
	assert_int_equal(gossip_open(&r->loop, &config, &r->g, error, sizeof error), 0);
}

static void added(void *ctx, int code)
{
	struct run *r = ctx;

	if (code || write(r->answers, "+", 1) != 1 || gossip_add(r->g, &counter, 1, added, r))
		_exit(1);
}

static void set_closed(void *ctx)
{
	((struct run *)ctx)->closed = true;
}

static int64_t value_of(const char *directory)
{
	struct run r = {.closed = false};
	struct gossip_attr a;

	begin(&r, directory);
	assert_int_equal(gossip_attr(r.g, &counter, &a), 0);
	gossip_close(r.g, set_closed, &r);
	while (!r.closed)
		uv_run(&r.loop, UV_RUN_ONCE);
	assert_int_equal(uv_loop_close(&r.loop), 0);
	return a.value;
}

#define WRITERS 8

static void write_until_killed(const char *directory, int answers)
{
	struct run r = {.answers = answers};

	begin(&r, directory);
	for (unsigned i = 0; i < WRITERS; i++)
		if (gossip_add(r.g, &counter, 1, added, &r))
			_exit(1);
	uv_run(&r.loop, UV_RUN_DEFAULT);
	_exit(1);
}

static void test_killed(void **state)
{
	struct disk *d = *state;
	int64_t value = 0, after;

	for (unsigned i = 0; i < 20; i++) {
		int pipes[2], status;
		char answer;
		pid_t child;
		int64_t acknowledged = 0;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		if (child == 0)
			write_until_killed(d->directory, pipes[1]);
		close(pipes[1]);
		while (acknowledged < 50 + i * 40 && read(pipes[0], &answer, 1) == 1)
			acknowledged++;
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		while (read(pipes[0], &answer, 1) == 1)
			acknowledged++;
		close(pipes[0]);
		after = value_of(d->directory);
		assert_true(after >= value + acknowledged && after <= value + acknowledged + WRITERS);
		value = after;
	}
}

/* Superseded contents do not fill the disk. */
static void put_again(void *ctx, int code)
{
	assert_int_equal(code, 0);
	++*(unsigned *)ctx;
}

static void test_stays_small(void **state)
{
	static const struct gossip_owner owner = {.mode = 0600};
	struct disk *d = *state;
	struct run r = {.closed = false};
	struct gossip_place file = {9, "f"};
	char *data = calloc(1, 100000), command[160];
	unsigned answers = 0;
	const void *content;
	size_t size;

	begin(&r, d->directory);
	assert_int_equal(gossip_create(r.g, &file, GOSSIP_FILE, &owner, put_again, &answers), 0);
	for (unsigned i = 0; i < 300; i++) {
		memset(data, (int)i, 100000);
		assert_int_equal(gossip_put(r.g, &file, data, 100000, put_again, &answers), 0);
		while (answers < i + 2)
			uv_run(&r.loop, UV_RUN_ONCE);
	}
	gossip_close(r.g, set_closed, &r);
	while (!r.closed)
		uv_run(&r.loop, UV_RUN_ONCE);
	uv_loop_close(&r.loop);
	snprintf(command, sizeof command, "test $(du -sk '%s' | cut -f1) -lt 6000", d->directory);
	assert_int_equal(system(command), 0);
	r.closed = false;
	begin(&r, d->directory);
	assert_int_equal(gossip_content(r.g, &file, &content, &size), 0);
	assert_int_equal(size, 100000);
	assert_memory_equal(content, data, size);
	gossip_close(r.g, set_closed, &r);
	while (!r.closed)
		uv_run(&r.loop, UV_RUN_ONCE);
	uv_loop_close(&r.loop);
	free(data);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_nothing_is_made_for_nothing), EACH(test_again),   EACH(test_other_member),
		EACH(test_cut_at_each_byte),		EACH(test_holes),   EACH(test_damage),
		EACH(test_full),			EACH(test_rewrite), EACH(test_rewrite_fails),
		EACH(test_killed),			EACH(test_stays_small), EACH(test_missing),
		EACH(test_shortened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
