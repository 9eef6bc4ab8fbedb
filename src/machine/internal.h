/* Room: machine, its own files only: what one command's execution carries, and the parts' entry points. */
#ifndef COORDFS_MACHINE_INTERNAL_H
#define COORDFS_MACHINE_INTERNAL_H

#include "machine/machine.h"
#include "machine/record.h"

struct lock_table;
struct session_table;
struct overlay;
struct history;

/* One command being executed: on the machine itself (staged == NULL) or on a transaction's overlay. */
struct context {
	struct machine *machine;
	struct store *store;
	uint64_t index; /* = the revision it makes */
	int64_t time_ns;
	uint64_t session, sequence;
	struct temporaries *temporaries; /* commit: numbers in the transaction -> real inodes; else NULL */
	bool staged;			 /* in an overlay that may be thrown away: no events */
};

/* Tell the observer; nothing when staged. revision is filled in. */
void context_event(const struct context *c, struct event event);
void context_log(const struct context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A refusal with its reason. */
void refuse(struct reply *r, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- lock.c ---- */
struct lock_table *lock_table_new(void);
void lock_table_free(struct lock_table *t);
void lock_request(struct context *c, const Coordfs__LockRequest *q, struct reply *r);
void lock_cancel(struct context *c, const Coordfs__LockCancel *q, struct reply *r);
void lock_drop(struct context *c, const Coordfs__LockDrop *q, struct reply *r);
void lock_break(struct context *c, const Coordfs__LockBreak *q, struct reply *r);
void lock_session_end(struct context *c, uint64_t session); /* drop all it holds and waits for; grants go out */
bool lock_token_held(const struct lock_table *t, uint64_t inode, uint64_t token);
/* From an image: any order; then lock_load_end puts queues in order. ERR_CORRUPT, ERR_NO_MEMORY. */
int lock_load(struct lock_table *t, uint64_t number, const Coordfs__Lock *record);
int lock_load_end(struct lock_table *t);
unsigned lock_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx);

/* The machine's parts, for its own files. */
struct lock_table *machine_lock_table(struct machine *m);
uint64_t machine_next_lock(struct machine *m); /* 1, 2, …: numbers of Lock records; never used again */
const char *machine_session_member(struct machine *m, uint64_t session); /* "" when unknown */

#endif
