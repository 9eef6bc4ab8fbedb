/* Room: front, its own files only. The transactions that were begun on this mount: the directory transactions/, and
 * in each of its directories T a view of the tree with the changes staged so far, `ctl` and `status`.
 *
 * A node inside T is (slot of T, inode in T's view); two numbers that no object has stand for ctl and status, the
 * root's inode for T itself. A slot is used again only when the kernel has forgotten all nodes of it. */
#ifndef COORDFS_FRONT_TRANSACTIONS_H
#define COORDFS_FRONT_TRANSACTIONS_H

#include "front/generated.h"
#include "front/info.h"
#include "machine/transaction.h"

enum { TXN_INODE_CTL = INODE_FIRST - 2, TXN_INODE_STATUS = INODE_FIRST - 1 };

enum txn_state {
	TXN_ACTIVE,
	TXN_COMMITTING, /* the command is on its way */
	TXN_UNDECIDED,	/* no answer in time: it is asked again until there is one */
	TXN_COMMITTED,
	TXN_ABORTED,
};

struct txn_waiter; /* transaction_end.c: a request that waits for the outcome */

struct txn {
	struct front *front;
	unsigned slot;
	uint64_t number; /* its name in the log, never used again by this member */
	uint64_t session, epoch; /* to which it belongs */
	char name[LIMIT_NAME_BYTES + 1];
	uint32_t uid, gid;
	int64_t begun_ns, ended_ns; /* of the log */
	uint64_t begin;
	struct transaction *inner; /* NULL: the view is given up */
	enum txn_state state;
	uint64_t revision; /* committed: where */
	char reason[PARSE_ERROR_BYTES]; /* aborted: why */
	char error[PARSE_ERROR_BYTES];	/* the last refusal */
	uint64_t operations;
	uint64_t timeout_s;
	uint64_t wake_ms; /* uv_now() at which something is to be done; 0: never */
	struct txn_waiter *waiters;
	bool proposing;	  /* a command that refers to this struct is on its way */
	bool unrecorded;  /* aborted, and the log shall be told */
	bool listed;	  /* it has its name in transactions/ */
	bool dismantled;  /* ctl was removed: the rest may go one by one, for rm -r */
	unsigned removed; /* … and what is gone, bits by position in txn_names */
	uint64_t lookups; /* the kernel's references to nodes of this slot */
};

/* ---- the table (transactions.c) ---- */

int transactions_new(struct front *f);	 /* fills f->transactions; ERR_NO_MEMORY */
void transactions_stop(struct front *f); /* roll back what is open */
void transactions_drop_views(struct front *f); /* they lie in the machine: before it is freed */
void transactions_free(struct front *f); /* when no proposal can be answered any more */
void transactions_session_over(struct front *f); /* from the observer: those of it are rolled back, from the loop */
/* The machine that the views lie in goes, and a newer one is there: what was open is rolled back. */
void transactions_restoring(struct front *f);
void transactions_restored(struct front *f);

struct txn *transactions_at(struct front *f, fuse_ino_t node); /* NULL: no such one any more */
struct txn *transactions_named(struct front *f, const char *name);
fuse_ino_t transactions_lookup(struct front *f, const char *name); /* 0: none */
unsigned transactions_count(struct front *f); /* in transactions/ */
unsigned transactions_count_active(struct front *f);
static inline fuse_ino_t txn_node(const struct txn *t)
{
	return node_make(NODE_TXN, t->slot, INODE_ROOT);
}

/* READDIR of transactions/ or of .info/transactions: offset bias + 1 + slot. */
void transactions_list(struct front *f, struct dir_reply *d, mode_t type, uint64_t offset, uint64_t bias);

void transactions_mkdir(fuse_req_t req, const char *name); /* answers req */
void transactions_rmdir(fuse_req_t req, const char *name); /* answers req */

void transactions_remember(struct front *f, fuse_ino_t node);
void transactions_forget(struct front *f, fuse_ino_t node, uint64_t count);

/* Wake up for t at its wake_ms. */
void transactions_schedule(struct front *f);
void txn_set_wake(struct txn *t, uint64_t after_ms); /* 0: never */

/* The last refusal, for error=. */
void txn_note(struct txn *t, int code, const char *why);
void txn_drop_view(struct txn *t);
void txn_unlist(struct txn *t); /* takes its name away; it is freed when nothing refers to it */

/* ---- the end (transaction_end.c) ---- */

/* Commit for c, whose answer is called once with the outcome: OK, ERR_CANCELED, or why it is still open. */
void txn_commit(struct txn *t, const struct call *c);
/* Roll back, record it when there is anything to record, then c->answer(OK). c may be NULL. Active ones only. */
void txn_rollback(struct txn *t, const char *reason, bool record, const struct call *c);
/* What is due: timeout, another try, the view of one that ended long ago, the end of its session. */
void txn_wake(struct txn *t);
/* The session that it belongs to is over: true, and it is rolled back if it was open. */
bool txn_is_lost(struct txn *t);
void txn_record_abort(struct txn *t); /* if that is still to be done */

/* ---- what there is to read (transaction_text.c) ---- */

void txn_print_status(const struct txn *t, FILE *out);		  /* `active`, `committed 41`, … and a newline */
void txn_print_info(const struct txn *t, const char *member, FILE *out); /* the lines of .info/transactions/T */
void outcome_print_info(const Coordfs__Outcome *o, FILE *out);

/* A `generate` for a node of class txn: ctl and status, counters and fences; info_print's part for T itself. */
int transactions_print_node(struct front *f, fuse_ino_t node, FILE *out);

/* ---- inside T (transaction_read.c, transaction_stage.c, transaction_ctl.c) ---- */

/* The names in T, ctl first. NULL name: past the last. */
struct txn_name {
	const char *name;
	uint64_t inode;
	mode_t mode;
};
extern const struct txn_name txn_names[];
int txn_name_index(const struct txn *t, const char *name); /* -1: none, or removed */

/* Its view, when it can be read: ERR_NOT_FOUND when it is given up, or torn just now. */
int txn_view(struct txn *t, struct view *out);

/* May be changed: OK, else ERR_READ_ONLY. */
int txn_check_open(struct txn *t);
/* ERR_NOT_SUPPORTED: it is eventual. */
int txn_check_strong(struct view view, uint64_t inode);

int transactions_attr(struct front *f, fuse_ino_t node, struct stat *out);

struct txn_handle {
	struct text text; /* first: generated_handle() */
	enum inode_kind kind;
	bool append;
};
struct txn_handle *txn_handle_new(enum inode_kind kind, struct fuse_file_info *fi); /* fills fi; NULL: no memory */
void txn_handle_free(struct txn_handle *h);

/* `.info/transactions/T`: timeout=. */
int transactions_set(struct front *f, const struct call *c, const struct info_plan *plan, const char **why);

/* A WRITE to ctl; answers. */
void txn_ctl_write(struct txn *t, const struct call *c, struct bytes input);

/* The operations that stage something; all answer req. */
void txn_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void txn_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void txn_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void txn_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void txn_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void txn_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void txn_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		unsigned flags);
void txn_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void txn_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi);
void txn_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags);
void txn_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void txn_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
	       struct fuse_file_info *fi);
int txn_truncate(struct txn *t, uint64_t inode, uint64_t size); /* open(O_TRUNC) */

#endif
