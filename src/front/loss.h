/* Room: front, its own files only: who has a file open whose locks are lost. */
#ifndef COORDFS_FRONT_LOSS_H
#define COORDFS_FRONT_LOSS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A growing list. Zero is an empty one. */
struct numbers {
	uint64_t *list; /* owned */
	size_t count, room;
};
int numbers_add(struct numbers *n, uint64_t number); /* ERR_NO_MEMORY: it is as it was */
void numbers_fini(struct numbers *n);

/* st_dev of what is mounted at path, without a request to its file system. 0: it cannot be told. */
dev_t loss_device(const char *path);

/* Send signal to every process that has one of these inodes of a device open now, but to this one: once to each, to
 * those too that were forked meanwhile. inodes: will be sorted. Nothing here makes a request to the mount, which may
 * be our own. What is not seen: files that are only mapped or on their way through a socket, and processes that this
 * one may not look into (those of others, when it does not run as root; those outside of its pid namespace).
 * Returns how many got it; names: pids of the first ones, blanks between, for people. */
unsigned loss_signal(dev_t device, struct numbers *inodes, int signal, char *names, size_t names_size);

#endif
