/*
 * The operations of counters/, and the transactions of one addition and of ten.
 *
 * All clients work on one counter. Who adds, writes as `echo +1 >&3` does: write(2), so that the handle's offset moves
 * on. The sum is checked by the caller; who reads, checks that it reads the number that nobody is changing.
 */

#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TEN 10u

static void sum_path(const struct place *place, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/counters/%s-sum", place->dir, place->stem);
}

/* level: eventual or weak */
static void level_path(const struct place *place, const char *level, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/counters/%s-%s", place->dir, place->stem, level);
}

/* A number, a newline, and nothing else. */
static int value_parse(const char *text, ssize_t length, int64_t *value)
{
	char *end;

	if (length < 0)
		return -1;
	errno = 0;
	*value = strtoll(text, &end, 10);
	if (length >= 2 && errno == 0 && end == text + length - 1 && *end == '\n')
		return 0;
	errno = EPROTO;
	return -1;
}

static int value_read(int fd, int64_t *value)
{
	char text[64];
	ssize_t length = pread(fd, text, sizeof text - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return value_parse(text, length, value);
}

int counter_value(const struct place *place, int64_t *value)
{
	char path[PATH_MAX];
	int fd, result;

	sum_path(place, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	result = value_read(fd, value);
	close(fd);
	return result;
}

void counter_remove(const struct place *place)
{
	char path[PATH_MAX];

	sum_path(place, path);
	unlink(path);
	level_path(place, "eventual", path);
	unlink(path);
	level_path(place, "weak", path);
	unlink(path);
}

static int open_handle(struct client *client)
{
	sum_path(client->place, client->path);
	client->fd = open(client->path, O_RDWR | O_CLOEXEC);
	return client->fd < 0 ? -1 : value_read(client->fd, &client->expected);
}

static void close_handle(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
}

static int open_none(struct client *client)
{
	int result = open_handle(client);

	close_handle(client);
	return result;
}

static int write_whole(int fd, const char *text)
{
	size_t length = strlen(text);

	errno = 0;
	return write(fd, text, length) == (ssize_t)length ? 0 : -1;
}

static int write_to(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0666), result;

	if (fd < 0)
		return -1;
	result = write_whole(fd, text);
	return close(fd) == 0 ? result : -1;
}

static int add_handle(struct client *client)
{
	return write_whole(client->fd, "+1\n");
}

/* What it is compared with knows no levels. */
static int set_level(const char *path, const char *level)
{
	static const char name[] = "user.coordfs.consistency";

	if (getxattr(path, name, NULL, 0) < 0)
		return 0;
	return setxattr(path, name, level, strlen(level), 0);
}

static int open_level(struct client *client, const char *level)
{
	level_path(client->place, level, client->path);
	client->fd = open(client->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (client->fd < 0 || set_level(client->path, level) != 0)
		return -1;
	close(client->fd);
	client->fd = open(client->path, O_RDWR | O_CLOEXEC);
	return client->fd < 0 ? -1 : value_read(client->fd, &client->expected);
}

static int open_eventual(struct client *client)
{
	return open_level(client, "eventual");
}

static int open_weak(struct client *client)
{
	return open_level(client, "weak");
}

/* As the shell does for `echo +1 > f`. */
static int add_path(struct client *client)
{
	return write_to(client->path, O_CREAT | O_TRUNC, "+1\n");
}

static int expect(const struct client *client, int64_t value)
{
	errno = EPROTO;
	return value == client->expected ? 0 : -1;
}

static int read_handle(struct client *client)
{
	int64_t value;

	return value_read(client->fd, &value) == 0 ? expect(client, value) : -1;
}

static int read_path(struct client *client)
{
	int fd = open(client->path, O_RDONLY | O_CLOEXEC), result;
	int64_t value = 0;

	if (fd < 0)
		return -1;
	result = value_read(fd, &value);
	close(fd);
	return result == 0 ? expect(client, value) : -1;
}

static int stat_path(struct client *client)
{
	struct stat st;

	if (stat(client->path, &st) != 0)
		return -1;
	errno = EPROTO;
	return S_ISREG(st.st_mode) && st.st_size >= 2 ? 0 : -1;
}

/* ---- transactions ----------------------------------------------------------------------------------------------- */

static int open_transaction(struct client *client)
{
	client_path(client, client->path, "transactions", "t", false);
	return 0;
}

static int commit(struct client *client)
{
	snprintf(client->other, PATH_MAX, "%.2000s/ctl", client->path);
	if (write_to(client->other, 0, "commit\n") != 0)
		return -1;
	return rmdir(client->path);
}

/* What is inside is staged by the path of the tree, and so seen by the sum's check. */
static int transact(struct client *client)
{
	if (mkdir(client->path, 0777) != 0)
		return -1;
	snprintf(client->other, PATH_MAX, "%.2000s/counters/%s-sum", client->path, client->place->stem);
	return write_to(client->other, 0, "+1\n") == 0 ? commit(client) : -1;
}

/* One of the ten counters of a client, as it is seen below `base`. */
static void ten_path(const struct client *client, const char *base, unsigned int i, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.2000s/counters/%s-ten-%u-%u", base, client->place->stem, client->id, i);
}

static int open_ten(struct client *client)
{
	for (unsigned int i = 0; i < TEN; i++) {
		ten_path(client, client->place->dir, i, client->other);
		if (write_to(client->other, O_CREAT | O_TRUNC, "0\n") != 0)
			return -1;
	}
	return open_transaction(client);
}

static int transact_ten(struct client *client)
{
	if (mkdir(client->path, 0777) != 0)
		return -1;
	for (unsigned int i = 0; i < TEN; i++) {
		ten_path(client, client->path, i, client->other);
		if (write_to(client->other, 0, "+1\n") != 0)
			return -1;
	}
	return commit(client);
}

/* Left over when a step failed. */
static void close_transaction(struct client *client)
{
	rmdir(client->path);
}

static void close_ten(struct client *client)
{
	close_transaction(client);
	for (unsigned int i = 0; i < TEN; i++) {
		ten_path(client, client->place->dir, i, client->other);
		unlink(client->other);
	}
}

const struct operation counter_operations[] = {
	{ .name = OPERATION_ADD, .commits = 1, .one_file = true, .adds = true, .open = open_handle, .step = add_handle,
	  .close = close_handle },
	{ .name = OPERATION_EVENTUAL_ADD, .commits = 1, .local = true, .one_file = true, .open = open_eventual,
	  .step = add_handle, .close = close_handle },
	{ .name = "counter +1, open + write + close", .commits = 1, .one_file = true, .adds = true, .open = open_none,
	  .step = add_path },
	{ .name = OPERATION_READ, .one_file = true, .open = open_handle, .step = read_handle, .close = close_handle },
	{ .name = OPERATION_WEAK_READ, .local = true, .one_file = true, .open = open_weak, .step = read_handle, .close = close_handle },
	{ .name = "counter read, open + read + close", .one_file = true, .open = open_none, .step = read_path },
	{ .name = "stat", .one_file = true, .open = open_none, .step = stat_path },
	{ .name = "transaction of one +1", .commits = 1, .adds = true, .open = open_transaction, .step = transact,
	  .close = close_transaction },
	{ .name = OPERATION_TRANSACTION, .commits = 1, .open = open_ten, .step = transact_ten, .close = close_ten },
	{ .name = NULL },
};
