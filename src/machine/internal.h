/* Room: machine, its own files only: what one command's execution carries, and the parts' entry points. */
#ifndef COORDFS_MACHINE_INTERNAL_H
#define COORDFS_MACHINE_INTERNAL_H

#include "machine/machine.h"
#include "machine/record.h"

struct lock_table;
struct session_table;
struct member_table;
struct vote_table;
struct overlay;
struct history;
/* A commit's new objects: the transaction's number -> the real inode. */
struct temporaries {
	struct {
		uint64_t temporary, inode;
	} *list;
	size_t count;
};

/* One command being executed: on the machine itself (staged == NULL) or on a transaction's overlay. */
struct context {
	struct machine *machine;
	struct store *store;
	uint64_t index; /* = the revision it makes */
	int64_t time_ns;
	uint64_t session, sequence;
	struct temporaries *temporaries; /* commit: numbers in the transaction -> real inodes; else NULL */
	bool staged;			 /* in an overlay that may be thrown away: no events */
	/* inodes that lost their last name; their records go when the command has succeeded */
	uint64_t *gone;
	size_t gone_count, gone_capacity;
	int64_t inodes_delta;
	uint64_t next_inode; /* the number that the next object gets */
	uint32_t level;	     /* what a program must know to execute it (level.h) */
};

/* Tell the observer; nothing when staged. revision is filled in. */
void context_event(const struct context *c, struct event event);
/* How many are to be told; forget those from the given one on: what they tell was thrown away. */
size_t machine_events(const struct machine *m);
void machine_events_forget(struct machine *m, size_t from);
void context_log(const struct context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A refusal with its reason. */
void refuse(struct reply *r, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- inode.c: inode records ---- */
/* 0 with *out (free with record_free), ERR_NOT_FOUND when there is none or its last name is gone. */
int inode_get(struct context *c, uint64_t inode, Coordfs__Inode **out);
int inode_put(struct context *c, uint64_t number, const Coordfs__Inode *inode);
/* Anything changed: modified, ctime. */
void inode_touch(const struct context *c, Coordfs__Inode *inode);
/* The content changed: content, mtime too. */
void inode_touch_content(const struct context *c, Coordfs__Inode *inode);
/* One name less; at none its number joins c->gone. Puts the record, tells of the change of one that stays. */
int inode_unlink(struct context *c, uint64_t number, Coordfs__Inode *inode);
/* Delete what is left of the inodes in c->gone. */
int inode_sweep(struct context *c);
/* A transaction's number for an object it made -> the real one (commit), else itself. */
uint64_t inode_real(const struct context *c, uint64_t number);
/* view_path, and the code when it could not be read: what goes into a reply must be the same on every member. */
int path_of(struct view v, uint64_t inode, char *buffer, size_t size);
/* set protobuf bytes in a record from borrowed memory (copied; the old value is freed) */
int bytes_set(ProtobufCBinaryData *field, const void *data, size_t size);

/* ---- directory.c: names in a directory, and its pages ---- */
int directory_find(struct store *s, uint64_t directory, struct bytes name, Coordfs__Dirent **out);
/* The name must not be there. Puts the dirent and the page; dir is changed, not put. */
int directory_add(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		  const Coordfs__Dirent *what);
/* Another object under the same name, in the same place. */
int directory_replace(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		      const Coordfs__Dirent *old, const Coordfs__Dirent *what);
int directory_remove(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		     const Coordfs__Dirent *old);

/* ---- the commands ---- */
void namespace_genesis(struct context *c, uint32_t uid, uint32_t gid, struct reply *r);
void namespace_create(struct context *c, const Coordfs__Create *q, struct reply *r);
void namespace_remove(struct context *c, const Coordfs__Remove *q, struct reply *r);
void namespace_rename(struct context *c, const Coordfs__Rename *q, struct reply *r);
void namespace_link(struct context *c, const Coordfs__Link *q, struct reply *r);
void attr_set(struct context *c, const Coordfs__SetAttr *q, struct reply *r);
void attr_set_xattr(struct context *c, const Coordfs__SetXattr *q, struct reply *r);
void consistency_set(struct context *c, const Coordfs__SetConsistency *q, struct reply *r);
void file_write(struct context *c, const Coordfs__Write *q, struct reply *r);
void counter_update(struct context *c, const Coordfs__CounterUpdate *q, struct reply *r);
void counter_bounds(struct context *c, const Coordfs__CounterBounds *q, struct reply *r);
void fence_advance(struct context *c, const Coordfs__FenceAdvance *q, struct reply *r);
void commit_apply(struct context *c, const Coordfs__Commit *q, struct reply *r);
void commit_abort(struct context *c, const Coordfs__Abort *q, struct reply *r);

/* ---- consistency.c ---- */
/* True: it is eventual, and r says that such an object does not do that. */
bool consistency_is_eventual(const Coordfs__Inode *inode, struct reply *r);
/* May it be of that level? r->code. */
int consistency_check(const Coordfs__Inode *inode, uint64_t number, uint32_t level, struct reply *r);
/* The level of what is made in parent; wish: what who makes it wants where parent does not say it. */
void consistency_inherit(const Coordfs__Inode *parent, uint32_t wish, Coordfs__Inode *out);

/* Execute one operation that a transaction may stage (create … bounds) on c->store. False: no such. */
bool operation_apply(struct context *c, const Coordfs__Command *q, struct reply *r);
/* For operations on an overlay: begin, and when it succeeded carry out on the store below. */
void context_fini(struct context *c);

/* Cut or extend a file's content; changes inode, does not put it. */
int file_resize(struct context *c, uint64_t number, Coordfs__Inode *inode, uint64_t size);
int file_delete_content(struct context *c, uint64_t number, uint64_t size);

/* ---- session.c ---- */
struct session_table *session_table_new(void);
void session_table_free(struct session_table *t);
void session_open(struct context *c, const Coordfs__SessionOpen *q, struct reply *r);
void session_end(struct context *c, const Coordfs__SessionEnd *q, struct reply *r);
/* May this (session, sequence) be executed? OK; QUEUED: no, *r is the reply it had; ERR_STALE. */
int session_admit(struct context *c, struct session_table *t, struct reply *r);
/* Keep the reply, forget those answered. */
int session_remember(struct context *c, struct session_table *t, uint64_t answered_below, const struct reply *r);
/* The name (parent, name) goes with the session. *binding is its number; bound names are told when they go. */
int session_bind(struct context *c, uint64_t session, uint64_t parent, struct bytes name, uint64_t *binding);
int session_unbind(struct context *c, uint64_t session, uint64_t binding);
int session_load(struct session_table *t, struct bytes key, struct bytes value); /* S, R and b records */
int session_load_end(struct session_table *t);
struct session_table *machine_session_table(struct machine *m);
/* End every session of the member, NULL: of all. Negative: the state could not be written. */
int session_end_member(struct context *c, const char *member);

/* ---- member.c ---- */
struct member_table *member_table_new(void);
void member_table_free(struct member_table *t);
void cluster_member_add(struct context *c, const Coordfs__MemberAdd *q, struct reply *r);
void cluster_member_set(struct context *c, const Coordfs__MemberSet *q, struct reply *r);
void cluster_member_remove(struct context *c, const Coordfs__MemberRemove *q, struct reply *r);
void cluster_reset(struct context *c, const Coordfs__ClusterReset *q, struct reply *r);
/* A state that has members opens sessions for them only: one that was removed does not come back by itself. */
bool member_may_open(struct machine *m, const char *name);
/* The member's program is of this level. False, with a refusal: it is below the cluster's. */
bool member_level_check(struct context *c, const char *name, uint32_t level, struct reply *r);
/* Remember it; the cluster's level follows. Negative: the state could not be written. */
int member_set_level(struct context *c, const char *name, uint32_t level);
int member_load(struct member_table *t, uint64_t id, const Coordfs__Member *record); /* ERR_CORRUPT, ERR_NO_MEMORY */
int member_load_end(struct member_table *t, const Coordfs__Meta *meta);
unsigned member_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx);
struct member_table *machine_member_table(struct machine *m);

/* ---- expiry (machine.c) ---- */
/* Delete the record under key after OUTCOME_KEEP_NS, if it then still carries the stamp. */
int expiry_add(struct context *c, const struct key *key, uint64_t stamp);
/* commit.c: is key's outcome still of this stamp? then delete it and what points to it */
int outcome_expire(struct context *c, struct bytes key, uint64_t stamp);
int counter_expire(struct context *c, struct bytes key, uint64_t stamp);
uint64_t *machine_remembered(struct machine *m); /* how many ids are kept */
bool machine_is_full(const struct machine *m);
Coordfs__Meta *machine_own_meta(struct machine *m);
unsigned *machine_transactions(struct machine *m); /* how many are open on this member */
struct history *machine_history(struct machine *m);

/* ---- lock.c ---- */
struct lock_table *lock_table_new(void);
void lock_table_free(struct lock_table *t);
void lock_request(struct context *c, const Coordfs__LockRequest *q, struct reply *r);
void lock_cancel(struct context *c, const Coordfs__LockCancel *q, struct reply *r);
void lock_drop(struct context *c, const Coordfs__LockDrop *q, struct reply *r);
void lock_break(struct context *c, const Coordfs__LockBreak *q, struct reply *r);
/* Drop all it holds and waits for; grants go out. Negative: the state could not be written. */
int lock_session_end(struct context *c, uint64_t session);
bool lock_token_held(const struct lock_table *t, uint64_t inode, uint64_t token);
/* From an image: any order; then lock_load_end puts queues in order. ERR_CORRUPT, ERR_NO_MEMORY. */
int lock_load(struct lock_table *t, uint64_t number, const Coordfs__Lock *record);
int lock_load_end(struct lock_table *t);
unsigned lock_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx);

/* ---- vote.c ---- */
struct vote_table *vote_table_new(void);
void vote_table_free(struct vote_table *t);
void vote_request(struct context *c, const Coordfs__VoteRequest *q, struct reply *r);
/* Abort those that wait for a word of this session. Negative: the state could not be written. */
int vote_session_end(struct context *c, uint64_t session);
int vote_load(struct vote_table *t, struct bytes key, struct bytes value); /* ERR_CORRUPT, ERR_NO_MEMORY */
int vote_load_end(struct vote_table *t, const Coordfs__Meta *meta);
unsigned vote_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx);
struct vote_table *machine_vote_table(struct machine *m);

/* The machine's parts, for its own files. */
struct lock_table *machine_lock_table(struct machine *m);
uint64_t machine_next_lock(struct machine *m); /* 1, 2, …: numbers of Lock records; never used again */
const char *machine_session_member(struct machine *m, uint64_t session); /* "" when unknown */

#endif
