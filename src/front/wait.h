/* Room: front, its own files only. `.wait`: reading .wait/PATH@REVISION blocks until PATH changes. It mirrors the
 * machine's directories, by their inodes, and lists nothing: what walks the whole tree shall not begin to wait.
 *
 *   NODE_WAIT       a directory; the number is the inode of the one that it mirrors
 *   NODE_WAIT_FILE  a name in one, NAME or NAME@REVISION; the number is one of a table, in which it is kept as long as
 *                   the kernel knows it */
#ifndef COORDFS_FRONT_WAIT_H
#define COORDFS_FRONT_WAIT_H

#include "front/front.h"

/* NAME@REVISION is longer than a name may be. */
#define WAIT_NAME_BYTES (LIMIT_NAME_BYTES + 21)

#define WAIT_NUMBER(node) ((uint64_t)(node) & ((1ull << NODE_CLASS_SHIFT) - 1))

/* What a directory is of. */
enum wait_slot {
	WAIT_MACHINE, /* a machine directory, by its inode */
	WAIT_VOTES,
	WAIT_VOTE, /* by its number */
};

static inline fuse_ino_t wait_directory(uint64_t inode)
{
	return node_make(NODE_WAIT, WAIT_MACHINE, inode);
}

/* Fills f->waits; what changes from now on can be waited for. ERR_NO_MEMORY. */
int wait_start(struct front *f);
void wait_stop(struct front *f); /* nobody is told any more */
void wait_free(struct front *f); /* after unmounting: the kernel has answered who still waits */

/* From the observer, for EVENT_CHANGE, EVENT_ENTRY and EVENT_VOTE: nothing is answered before the entry is done with. */
void wait_event(struct front *f, const struct event *event);
/* Events were missed: so was what they would have told. */
void wait_restored(struct front *f);

int wait_attr(struct front *f, fuse_ino_t node, struct stat *out); /* ERR_NOT_FOUND */
void wait_remember(struct front *f, fuse_ino_t node);
void wait_forget(struct front *f, fuse_ino_t node, uint64_t count);

#endif
