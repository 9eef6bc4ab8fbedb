/* Room: front, its own files only: who asked to be told of something at an open file, by poll(2). One is enough: the
 * kernel replaces the one before. */
#ifndef COORDFS_FRONT_POLL_H
#define COORDFS_FRONT_POLL_H

#include "front/front.h"

static inline void poll_drop(struct fuse_pollhandle **kept)
{
	if (*kept)
		fuse_pollhandle_destroy(*kept);
	*kept = NULL;
}

/* Takes poll; NULL: the kernel does not wait. */
static inline void poll_keep(struct fuse_pollhandle **kept, struct fuse_pollhandle *poll)
{
	if (!poll)
		return;
	poll_drop(kept);
	*kept = poll;
}

/* Tell him, once. */
static inline void poll_wake(struct fuse_pollhandle **kept)
{
	if (*kept)
		fuse_lowlevel_notify_poll(*kept);
	poll_drop(kept);
}

#endif
