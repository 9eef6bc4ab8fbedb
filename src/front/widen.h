/* Room: front, its own files only: several writers of one counter, side by side. */
#ifndef COORDFS_FRONT_WIDEN_H
#define COORDFS_FRONT_WIDEN_H

#include "front/front.h"

struct widener *widener_new(void); /* NULL: no memory */
void widener_free(struct widener *w); /* no notice may be under way: the loop has ended */

/* Let the kernel send writes to the node that end at `offset` or somewhat behind it without waiting for one another.
 * Soon, from a thread; nothing happens while an earlier notice is under way, or when it fails. */
void widen(struct front *f, fuse_ino_t node, uint64_t offset);

#endif
