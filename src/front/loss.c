/* A process is found by its open files in /proc/PID/fd. statx(2) with AT_STATX_DONT_SYNC tells device and inode of each
 * from what the kernel has: no file system is asked, neither ours, whose requests this very thread would have to
 * answer, nor another that hangs.
 *
 * Between looking and signalling the process may end and its number be given to another: so a pidfd is opened first,
 * and what is then found under that number is either of the process of the pidfd, or the signal goes to nobody.
 *
 * A process that is found may have forked, since the last directory entry was read, a child with the file: so all are
 * looked at again until there is nobody new. A process that was killed forks no more; one that handles SIGTERM may go
 * on doing it, hence the limit. */

#include "front/loss.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

enum { ROUNDS_MAX = 16 };

int numbers_add(struct numbers *n, uint64_t number)
{
	size_t room = n->room * 2 + 16;
	uint64_t *grown;

	if (n->count == n->room) {
		grown = realloc(n->list, room * sizeof *grown);
		if (!grown)
			return ERR_NO_MEMORY;
		n->list = grown;
		n->room = room;
	}
	n->list[n->count++] = number;
	return OK;
}

void numbers_fini(struct numbers *n)
{
	free(n->list);
	*n = (struct numbers){0};
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* ---- one process ---- */

static int look_at(int directory, const char *name, struct statx *out)
{
	return statx(directory, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, out);
}

static dev_t device_of(const struct statx *st)
{
	return makedev(st->stx_dev_major, st->stx_dev_minor);
}

dev_t loss_device(const char *path)
{
	struct statx st;

	return look_at(AT_FDCWD, path, &st) == 0 ? device_of(&st) : 0;
}

struct hunt {
	dev_t device;
	const struct numbers *inodes; /* ascending */
	int signal;
	struct numbers told; /* processes */
	bool anybody;	     /* in this round */
};

static bool is_wanted(const struct hunt *h, int directory, const char *name)
{
	struct statx st;
	uint64_t inode;

	if (name[0] == '.' || look_at(directory, name, &st) < 0 || device_of(&st) != h->device)
		return false;
	inode = st.stx_ino;
	return bsearch(&inode, h->inodes->list, h->inodes->count, sizeof inode, compare);
}

static bool has_any_open(const struct hunt *h, const char *pid)
{
	const struct dirent *entry;
	char path[32];
	bool found = false;
	DIR *files;

	snprintf(path, sizeof path, "/proc/%.10s/fd", pid);
	files = opendir(path);
	if (!files)
		return false;
	while (!found && (entry = readdir(files)))
		found = is_wanted(h, dirfd(files), entry->d_name);
	closedir(files);
	return found;
}

static bool signal_if_open(const struct hunt *h, const char *pid)
{
	int fd = pidfd_open((pid_t)atoi(pid), 0);
	bool sent;

	if (fd < 0)
		return false;
	sent = has_any_open(h, pid) && pidfd_send_signal(fd, h->signal, NULL, 0) == 0;
	close(fd);
	return sent;
}

/* ---- all ---- */

static bool was_told(const struct hunt *h, uint64_t pid)
{
	for (size_t i = 0; i < h->told.count; i++)
		if (h->told.list[i] == pid)
			return true;
	return false;
}

static void hunt_round(struct hunt *h)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	uint64_t pid;

	h->anybody = false;
	if (!processes)
		return;
	while ((entry = readdir(processes))) {
		pid = strtoull(entry->d_name, NULL, 10);
		if (pid == 0 || pid == (uint64_t)getpid() || was_told(h, pid) || !signal_if_open(h, entry->d_name))
			continue;
		h->anybody = true;
		numbers_add(&h->told, pid);
	}
	closedir(processes);
}

static void print_names(const struct numbers *told, char *names, size_t size)
{
	size_t at = 0;

	names[0] = '\0';
	for (size_t i = 0; i < told->count && at < size; i++)
		at += (size_t)snprintf(names + at, size - at, "%s%llu", i ? " " : "", (unsigned long long)told->list[i]);
}

unsigned loss_signal(dev_t device, struct numbers *inodes, int signal, char *names, size_t names_size)
{
	struct hunt h = {.device = device, .inodes = inodes, .signal = signal, .anybody = true};
	unsigned count;

	if (inodes->count > 0)
		qsort(inodes->list, inodes->count, sizeof *inodes->list, compare);
	for (unsigned round = 0; inodes->count > 0 && h.anybody && round < ROUNDS_MAX; round++)
		hunt_round(&h);
	print_names(&h.told, names, names_size);
	count = (unsigned)h.told.count;
	numbers_fini(&h.told);
	return count;
}
