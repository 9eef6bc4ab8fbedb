/* Room: front, its own files only: lock requests that wait (locks.c). */
#ifndef COORDFS_FRONT_WAITERS_H
#define COORDFS_FRONT_WAITERS_H

#include "front/front.h"

struct waiters *waiters_new(void); /* NULL: no memory */
void waiters_free(struct waiters *t);

/* This mount's waiting request `sequence` got its lock, or ended without it. */
void waiters_granted(struct front *f, uint64_t sequence);
void waiters_denied(struct front *f, uint64_t sequence, int code);
void waiters_deny_all(struct front *f, int code);

#endif
