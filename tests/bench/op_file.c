/* The operations of files/, each client on its own names, and the write on the bare disk. */

#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 128
#define BLOCK_BYTES 4096
#define BLOCK_COUNT 16 /* of the file on the disk, rewritten in turn */

void client_path(const struct client *client, char path[PATH_MAX], const char *tree, const char *kind, bool one_file)
{
	const struct place *place = client->place;

	if (one_file)
		snprintf(path, PATH_MAX, "%s/%s/%s-%s", place->dir, tree, place->stem, kind);
	else
		snprintf(path, PATH_MAX, "%s/%s/%s-%s-%u", place->dir, tree, place->stem, kind, client->id);
}

/* ---- contents --------------------------------------------------------------------------------------------------- */

static int file_write(struct client *client)
{
	int fd = open(client->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	char bytes[FILE_BYTES];
	ssize_t length;

	if (fd < 0)
		return -1;
	memset(bytes, 'x', sizeof bytes);
	length = write(fd, bytes, sizeof bytes);
	return close(fd) == 0 && length == FILE_BYTES ? 0 : -1;
}

static int file_read(struct client *client)
{
	int fd = open(client->path, O_RDONLY | O_CLOEXEC);
	char bytes[FILE_BYTES + 1];
	ssize_t length;

	if (fd < 0)
		return -1;
	length = read(fd, bytes, sizeof bytes);
	close(fd);
	if (length == FILE_BYTES && bytes[0] == 'x' && bytes[FILE_BYTES - 1] == 'x')
		return 0;
	errno = length < 0 ? errno : EPROTO;
	return -1;
}

static int open_file(struct client *client)
{
	client_path(client, client->path, "files", "file", false);
	return file_write(client);
}

static void close_file(struct client *client)
{
	unlink(client->path);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static int open_directory(struct client *client)
{
	client_path(client, client->path, "files", "dir", false);
	return 0;
}

static int directory_pair(struct client *client)
{
	return mkdir(client->path, 0777) == 0 ? rmdir(client->path) : -1;
}

static int open_names(struct client *client)
{
	client_path(client, client->other, "files", "other", false);
	return open_file(client);
}

static int rename_step(struct client *client)
{
	const char *from = client->step % 2 ? client->other : client->path;
	const char *to = client->step % 2 ? client->path : client->other;

	return rename(from, to);
}

static void close_names(struct client *client)
{
	unlink(client->step % 2 ? client->other : client->path);
}

const struct operation file_operations[] = {
	{ .name = "file write, open + write + close", .commits = 1, .open = open_file, .step = file_write,
	  .close = close_file },
	{ .name = "file read, open + read + close", .open = open_file, .step = file_read, .close = close_file },
	{ .name = "mkdir + rmdir", .commits = 2, .open = open_directory, .step = directory_pair },
	{ .name = "rename", .commits = 1, .open = open_names, .step = rename_step, .close = close_names },
	{ .name = NULL },
};

/* ---- the disk --------------------------------------------------------------------------------------------------- */

static int disk_write(struct client *client)
{
	off_t offset = (off_t)(client->step % BLOCK_COUNT) * BLOCK_BYTES;

	return pwrite(client->fd, client->buffer, BLOCK_BYTES, offset) == BLOCK_BYTES ? 0 : -1;
}

/* Written once before it counts: a block that is new to its file costs the file system's journal too. */
static int disk_prepare(struct client *client)
{
	int fd = open(client->path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	ssize_t length;

	if (fd < 0)
		return -1;
	length = write(fd, client->buffer, BLOCK_COUNT * BLOCK_BYTES);
	if (fsync(fd) != 0)
		length = -1;
	return close(fd) == 0 && length == BLOCK_COUNT * BLOCK_BYTES ? 0 : -1;
}

static int disk_open(struct client *client)
{
	snprintf(client->path, PATH_MAX, "%s/%s-disk-%u", client->place->dir, client->place->stem, client->id);
	client->buffer = aligned_alloc(BLOCK_BYTES, BLOCK_COUNT * BLOCK_BYTES);
	if (!client->buffer)
		return -1;
	memset(client->buffer, 'x', BLOCK_COUNT * BLOCK_BYTES);
	if (disk_prepare(client) != 0)
		return -1;
	client->fd = open(client->path, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
	return client->fd < 0 ? -1 : 0;
}

static void disk_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	unlink(client->path);
	free(client->buffer);
}

const struct operation disk_operation = {
	.name = "4 KiB write, O_DIRECT | O_DSYNC",
	.commits = 1,
	.open = disk_open,
	.step = disk_write,
	.close = disk_close,
};
