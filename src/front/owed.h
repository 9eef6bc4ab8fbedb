/* Room: front, its own files only. Commands that give locks back: they must get into the log as long as the session
 * lives, though nobody may be left to ask for it again. What is refused (no majority, a full disk) is proposed again,
 * and again, until it is taken or the session is over: then there is nothing left to give back. Proposing them twice
 * does no harm: LockDrop, LockCancel, an unlock. */
#ifndef COORDFS_FRONT_OWED_H
#define COORDFS_FRONT_OWED_H

#include "front/front.h"

struct owed;

int owed_new(struct front *f);	 /* fills f->owed; ERR_NO_MEMORY */
void owed_stop(struct front *f); /* nothing is tried again */
void owed_free(struct front *f);

/* first: the first answer, whatever it is. last: it is taken (the machine's answer), or there is nothing to give back any
 * more (ERR_STALE). Both from the loop; either may be NULL. ERR_NO_MEMORY: neither is called. */
int owed_propose(struct front *f, const Coordfs__Command *command, replica_done first, replica_done last, void *ctx);

/* The owner asks for locks on the inode anew. A LockDrop of his older ones must not come after that: if it is being
 * tried again, it is proposed now, for the last time. (If that fails too, they are his until he closes the file again.) */
void owed_before_lock(struct front *f, uint64_t inode, uint64_t owner);

/* The session is over. From the observer: last is called later, from the loop. */
void owed_session_over(struct front *f);

#endif
