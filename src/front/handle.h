/* Room: front, its own files only: the open files of the machine class. fi->fh is the struct handle. */
#ifndef COORDFS_FRONT_HANDLE_H
#define COORDFS_FRONT_HANDLE_H

#include "front/front.h"
#include "front/loss.h"
#include "front/text.h"

/* One open(2). */
struct handle {
	struct handle *prev, *next; /* of the same inode */
	struct opened *opened;
	struct claim *claims;
	uint64_t number; /* its name in the log: LockRequest.handle */
	enum inode_kind kind;
	pid_t opener; /* the thread that opened it */
	bool append;
	bool eventual; /* what it is of was so when it was opened */
	bool truncating; /* opened with O_TRUNC, which has not taken effect yet; set by handle_truncates */
	bool truncation_refused; /* with a write: then only another write brings it about, not the close */
	bool asks_flock;  /* something of it may be in the log: closing gives it back */
	bool holds_flock; /* the caller was told so */
	bool lost;    /* it held a lock that was taken away: ESTALE until it is closed */
	bool changed; /* since it last read */
	bool confirmed; /* for handles_restored */
	struct fuse_pollhandle *poll; /* who wants to be told, or NULL */
	struct text text;	      /* counters and fences */
};

/* An object that lost its last name: what its open handles still see. The last few are also kept when none is
 * open, for those who are on their way: they have looked up the name and come with GETATTR or OPEN next, and a
 * rename(2) over a file must never look as if there was none. */
struct orphan {
	struct attr attr;
	char *data; /* attr.size bytes: a file's content, a link's target */
	size_t capacity;
	bool readable; /* false: it could not be kept */
	bool writable; /* this mount removed it */
};

/* One inode that is open here, or was until just now. */
struct opened;

struct handles *handles_new(void); /* NULL: no memory */
void handles_free(struct handles *t);

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
}

/* A handle for open(2) with flags; NULL: no memory. handle_free at RELEASE. */
struct handle *handle_new(struct handles *t, uint64_t inode, enum inode_kind kind, int flags, pid_t opener);
void handle_free(struct handles *t, struct handle *h);
uint64_t handle_inode(const struct handle *h);

/* The file behind it has no name any more: what is left of it. NULL: it has one. By inode: also when only the
 * inode number came with a request. */
struct orphan *handle_orphan(const struct handle *h);
struct orphan *handles_orphan(struct handles *t, uint64_t inode);

/* Its O_TRUNC is still to come, or not any more: h->truncating. */
void handle_truncates(struct handle *h, bool truncating);
/* True when the thread has a handle on the inode whose O_TRUNC is still to come: it sees an empty file. */
bool handles_truncating(struct handles *t, uint64_t inode, pid_t opener);

/* ---- who holds what, as far as closing and the loss of it must know; owner counts for fcntl locks only ---- */

/* He asks: from now on something may be in the log. ERR_NO_MEMORY. */
int handle_asks(struct handle *h, enum lock_kind kind, uint64_t owner);
void handle_took(struct handle *h, enum lock_kind kind, uint64_t owner); /* he was told that he holds it */
void handle_gave(struct handle *h, enum lock_kind kind, uint64_t owner); /* he holds nothing of this file any more */
bool handle_holds(const struct handle *h, enum lock_kind kind, uint64_t owner);
bool handle_forget_owner(struct handle *h, uint64_t owner); /* he closes the file, through any handle; had he asked? */
bool handle_has_asked(const struct handle *h);		     /* by whomever */

/* A write to a counter goes on its way, and is answered. begins: true when it looks as if the kernel had kept it until
 * another handle's write was answered: it comes just after that, and alone. */
bool handle_write_begins(struct handle *h, uint64_t now_ns);
void handle_write_ends(struct handle *h, uint64_t now_ns);

/* What is being added to an eventual counter, through whichever handle, and is not durable yet. */
void handle_adds(struct handle *h, int64_t amount);
int64_t handle_adding(const struct handle *h);

/* ---- effects of a close that are still on their way ---- */

/* The list of calls that wait, or NULL: nothing is on its way. */
struct parked **handles_unsettled(struct handles *t, uint64_t inode);
/* Those that wait for all that is on its way now, of whatever inode. */
struct parked **handles_last_unsettled(struct handles *t);
void call_settled(struct parked *list); /* run them */

/* Propose for nobody: reads of the inode wait for the answer. Refusals have no address: they are noted; what is owed
 * (owed.h) is tried again. */
void handle_propose_unasked(struct front *f, struct handle *h, const Coordfs__Command *command, bool owed);

/* The same for what is not proposed: until handle_settled the inode is unsettled. NULL: no memory. */
struct unasked;
struct unasked *handle_unsettle(struct front *f, struct handle *h);
void handle_settled(struct unasked *u, const struct reply *reply);

/* ---- events ---- */

void handles_changed(struct handles *t, uint64_t inode);			 /* poll(2) reports it */
void handles_lost(struct handles *t, uint64_t inode, uint64_t handle_number);	 /* that lock was taken away */
/* The session is over: of all that hold something. inodes: those of their files are added. */
void handles_lost_all(struct handles *t, struct numbers *inodes);
/* Events were missed: who wants to be told of changes is told, and what is not held any more is lost. */
void handles_restored(struct front *f);
void handles_gone(struct front *f, uint64_t inode, bool by_us);			 /* it becomes an orphan */

#endif
