/*
 * The operations of locks/: a pair takes and gives back.
 *
 * Where all clients want one file, each checks while it has the lock that it is alone. The names are of the session
 * that made them, so that a lock file left behind by a killed benchmark goes with the mount.
 */

#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define HOLD_US 2000 /* some commits */
#define POLL_US 200 /* between two tries to make a lock file that is there */

static int open_lock(struct client *client, const char *kind, bool one_file)
{
	client_path(client, client->path, "locks", kind, one_file);
	client->fd = open(client->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	return client->fd < 0 ? -1 : 0;
}

static int open_own(struct client *client)
{
	return open_lock(client, "lock", false);
}

static int open_one(struct client *client)
{
	return open_lock(client, "lock", true);
}

/* The first client removes the one file: the others may have removed it before, or still have it open. */
static void close_lock(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	unlink(client->path);
}

static void be_alone(struct client *client)
{
	exclusive_enter(client);
	exclusive_leave(client);
}

/* ---- flock(2) and fcntl(2) -------------------------------------------------------------------------------------- */

static int flock_own(struct client *client)
{
	return flock(client->fd, LOCK_EX) == 0 ? flock(client->fd, LOCK_UN) : -1;
}

static int flock_one(struct client *client)
{
	if (flock(client->fd, LOCK_EX) != 0)
		return -1;
	be_alone(client);
	return flock(client->fd, LOCK_UN);
}

/* So that the other has asked, and his request waits in the queue. */
static void hold(const struct client *client)
{
	for (int i = 0; i < 10 && atomic_load(&client->arena->asking) == 0; i++)
		usleep(HOLD_US);
	usleep(HOLD_US);
}

/* It goes to and fro between two. What counts is from the call that gives it back to the return of that by which the
 * other gets it; at the end one is alone. */
static int flock_hand_over(struct client *client)
{
	struct arena *arena = client->arena;
	int result;

	atomic_fetch_add(&arena->asking, 1);
	result = flock(client->fd, LOCK_EX);
	client->took_ns = now_ns() - arena->given_ns;
	atomic_fetch_sub(&arena->asking, 1);
	if (result != 0)
		return -1;
	if (arena->given_ns == 0 || arena->giver == client->id)
		client->took_ns = NOT_COUNTED;
	be_alone(client);
	hold(client);
	arena->giver = client->id;
	arena->given_ns = now_ns();
	return flock(client->fd, LOCK_UN);
}

/* Threads of one process never exclude each other by F_SETLKW: there, take locks of the open file. */
static int range_set(struct client *client, short type)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	return fcntl(client->fd, client->process ? F_SETLKW : F_OFD_SETLKW, &range);
}

static int fcntl_own(struct client *client)
{
	return range_set(client, F_WRLCK) == 0 ? range_set(client, F_UNLCK) : -1;
}

static int fcntl_one(struct client *client)
{
	if (range_set(client, F_WRLCK) != 0)
		return -1;
	be_alone(client);
	return range_set(client, F_UNLCK);
}

/* ---- O_EXCL ----------------------------------------------------------------------------------------------------- */

static int name_own(struct client *client)
{
	client_path(client, client->path, "locks", "name", false);
	return 0;
}

static int name_one(struct client *client)
{
	client_path(client, client->path, "locks", "name", true);
	return 0;
}

static int lock_file_make(struct client *client)
{
	int fd;

	while ((fd = open(client->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0) {
		if (errno != EEXIST || client->count == 1)
			return -1;
		usleep(POLL_US);
	}
	return close(fd);
}

static int excl_own(struct client *client)
{
	return lock_file_make(client) == 0 ? unlink(client->path) : -1;
}

static int excl_one(struct client *client)
{
	if (lock_file_make(client) != 0)
		return -1;
	be_alone(client);
	return unlink(client->path);
}

const struct operation lock_operations[] = {
	{ .name = OPERATION_PAIR, .commits = 2, .to_commit = true, .open = open_own, .step = flock_own,
	  .close = close_lock },
	{ .name = OPERATION_HOT, .commits = 2, .one_file = true, .contended = true, .to_commit = true, .open = open_one,
	  .step = flock_one, .close = close_lock },
	{ .name = OPERATION_HOT_BETWEEN, .commits = 2, .one_file = true, .contended = true, .between = true,
	  .to_commit = true, .open = open_one, .step = flock_one, .close = close_lock },
	{ .name = OPERATION_HAND_OVER, .commits = 1, .one_file = true, .contended = true, .clients = 2, .between = true,
	  .to_commit = true, .open = open_one, .step = flock_hand_over, .close = close_lock },
	{ .name = "fcntl pair", .commits = 2, .open = open_own, .step = fcntl_own, .close = close_lock },
	{ .name = "fcntl pair, one file", .commits = 2, .one_file = true, .contended = true, .open = open_one,
	  .step = fcntl_one, .close = close_lock },
	{ .name = "O_EXCL create + unlink", .commits = 2, .open = name_own, .step = excl_own },
	{ .name = "O_EXCL create + unlink, one name", .commits = 2, .one_file = true, .contended = true,
	  .open = name_one, .step = excl_one },
	{ .name = NULL },
};
