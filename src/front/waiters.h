/* Room: front, its own files only: requests for locks, from the moment when they are asked to the moment when nothing
 * of them can be left in the log. waiters.c tells the cases. */
#ifndef COORDFS_FRONT_WAITERS_H
#define COORDFS_FRONT_WAITERS_H

#include "front/handle.h"

int waiters_new(struct front *f);   /* fills f->waiters; ERR_NO_MEMORY */
void waiters_stop(struct front *f); /* nothing is asked any more */
void waiters_free(struct front *f);

/* Ask for a lock, or unlock, on behalf of req, which is answered when that is decided. lock: copied, all of it but
 * inode, owner and handle, which come from h and owner. */
void waiters_ask(struct front *f, fuse_req_t req, struct handle *h, uint64_t owner, const Coordfs__LockRequest *lock);

/* From the observer: this mount's waiting request `sequence` got its lock, or ended without it. */
void waiters_granted(struct front *f, uint64_t sequence);
void waiters_denied(struct front *f, uint64_t sequence, int code);
/* The session is over. The handles that held something are marked as lost before. */
void waiters_session_over(struct front *f);
/* Events were missed: what does the state say? The session lives. */
void waiters_restored(struct front *f);

#endif
