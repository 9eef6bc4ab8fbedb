/* Room: replica. A forked child that sees the state of this moment for as long as it needs (copy-on-write), while the
 * loop goes on: for writing images. It dies with the daemon, holds nothing of it open, and stands back. */
#ifndef COORDFS_REPLICA_CHILD_H
#define COORDFS_REPLICA_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: none */
	int pipe;  /* readable when it has answered, or died */
};

/* The largest answer: what a pipe takes at once. */
#define CHILD_ANSWER_BYTES 512

/* Fork. In the child, with no file open but `keep` (and 0 to 2): work(ctx, answer), then it ends. answer: size bytes,
 * all zero before. ERR_NO_MEMORY, ERR_INVALID (size). */
int child_start(struct child *c, int keep, void (*work)(void *ctx, void *answer), void *ctx, size_t size);

/* QUEUED: there is no answer yet. OK: here it is; ERR_INTERRUPTED: it died without one. With these two it is reaped. */
int child_answer(struct child *c, void *answer, size_t size);

void child_kill(struct child *c); /* and reap */

#endif
