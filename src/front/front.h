/* Room: front, the FUSE side. It may touch base/, proto/, machine/, replica/, gossip/, libfuse3 and libuv;
 * errno lives here. One thread: every function below is called from the loop's.
 *
 * Nodes are of classes; the class is in the high bits of the node id, so that dispatch needs no table:
 *   machine   inodes of the replicated namespace, by their own numbers (node id = inode)
 *   info      .info/…: mirrors objects by inode number
 *   static    README, cluster/…, the directories .info, cluster, transactions
 *   txn       inside transactions/T: slot of T, inode in T's view (or one of T's own files)
 *   dynamic   names that need a table: .info/transactions/NAME, files/.cas/PATH@REVISION
 *   vote      inside votes/V: which of V's names, V's number
 *   eventual  what lies below a directory that is eventual, and its `.info` (eventual.h)
 *   wait      .wait/…: directories mirror the machine's by inode number, the files need a table (wait.h)
 * Each class is a struct fuse_lowlevel_ops of its own; dispatch.c registers one table with libfuse that picks
 * the class and passes the request on; an operation that a class leaves out is answered with the errno that
 * a user would expect. */
#ifndef COORDFS_FRONT_FRONT_H
#define COORDFS_FRONT_FRONT_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <uv.h>

#include "base/log.h"
#include "gossip/gossip.h"
#include "machine/machine.h"
#include "replica/replica.h"

enum node_class {
	NODE_MACHINE = 0,
	NODE_INFO = 1,	    /* .info/…/NAME of an object; of a directory: the mirrored directory */
	NODE_INFO_SELF = 2, /* .info/DIR/.self */
	NODE_STATIC = 3,
	NODE_TXN = 4,
	NODE_DYNAMIC = 5,
	NODE_EVENTUAL = 6, /* this one and those behind it have a number of 60 bits */
	NODE_EVENTUAL_INFO = 7,
	NODE_EVENTUAL_SELF = 8,
	NODE_WAIT = 9,
	NODE_WAIT_FILE = 10,
	NODE_VOTE = 11, /* votes.h */
	NODE_CLASSES
};
#define NODE_CLASS_SHIFT 60
#define NODE_SLOT_SHIFT 44 /* txn: 16 bits of slot above the inode's 44 */

static inline enum node_class node_class(fuse_ino_t node)
{
	return (enum node_class)(node >> NODE_CLASS_SHIFT);
}
static inline uint64_t node_inode(fuse_ino_t node)
{
	return node & (INODE_LIMIT - 1);
}
static inline unsigned node_slot(fuse_ino_t node)
{
	return (unsigned)(node >> NODE_SLOT_SHIFT & 0xffff);
}
static inline fuse_ino_t node_make(enum node_class class, unsigned slot, uint64_t inode)
{
	return (fuse_ino_t)class << NODE_CLASS_SHIFT | (fuse_ino_t)slot << NODE_SLOT_SHIFT | inode;
}

struct front_config {
	const char *source;	/* data directory, for /proc/mounts: borrowed */
	const char *mountpoint; /* borrowed */
	const char *options;	/* libfuse's and the kernel's own, comma-separated: borrowed; may be NULL */
	unsigned timeout_ms;
	enum consistency consistency; /* of what is made where the directory does not say it */
	int loss_signal; /* to who has a file open whose locks are lost; 0: none */
	bool debug; /* libfuse's trace of requests on stderr */
	/* Unmounted from outside, or the connection was aborted. Called once, from the loop. */
	void (*ended)(void *ctx);
	void *ctx;
};

struct handles;	     /* handle.c: open files by inode, for events, orphans, poll */
struct waiters;	     /* waiters.c: requests for locks on their way */
struct owed;	     /* owed.c: what must be given back */
struct notes;	     /* notes.c: the last error of each path, for `.info` */
struct loop_io;	     /* loop.c: the poll handle, buffer and spin state */
struct transactions; /* transactions.c */
struct widener;	     /* widen.c */
struct parked;	     /* call.c: a call that waits */
struct names;	     /* dynamic.c: nodes that have a name instead of a number */
struct eventual;     /* eventual.c: places that the kernel knows */
struct waits;	     /* wait.c: who waits for changes */

struct front {
	uv_loop_t *loop;
	const struct log *log;
	struct replica *replica;
	struct gossip *gossip; /* the replica's, between front_start and front_stop */
	struct eventual *eventual;
	struct fuse_session *session;
	struct front_config config;
	struct handles *handles;
	struct waiters *waiters;
	struct owed *owed;
	struct transactions *transactions;
	struct notes *notes;
	struct names *names;
	struct waits *waits; /* NULL before front_start */
	struct backup_file *backups; /* backup.c: open ones, and those to come */
	struct loop_io *io;
	struct widener *widener;
	char *scratch; /* LIMIT_FILE_BYTES, for building one reply; free again when the operation returns */
	bool direct_io_mmap; /* the kernel allows shared mappings of direct_io files */
	int64_t started_ns;  /* CLOCK_REALTIME */
	uint64_t epoch;	     /* grows with each session that is over */
	uint64_t session_over; /* the last of ours that was */
	dev_t device;	     /* of the mount */
};

/* The front of a request. */
static inline struct front *front_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* ---- life ---- */

/* An empty front, for replica_config.observer: its events may come before front_start. log is borrowed. NULL: no
 * memory. */
struct front *front_new(uv_loop_t *loop, const struct log *log);

/* Mount and begin to answer. config is copied, what it points to is borrowed. Errors: -1 with one line in error
 * (mount point missing, not empty, already mounted, no permission …). */
int front_start(struct front *f, struct replica *replica, const struct front_config *config, char *error,
		size_t error_size);

/* Whatever is held through this mount is lost from now on: its handles know it, and on_loss's signal is sent. */
void front_lose_locks(struct front *f);

/* Take no further requests; what is held is lost. Replies to those that came still go out, until front_free. */
void front_stop(struct front *f);

/* Unmount and free; after replica_close's done, when no proposal can be answered any more. NULL is fine. */
void front_free(struct front *f);

/* For replica_config.observer, with ctx = struct front. */
void front_event(void *ctx, const struct event *event);
void front_before_gone(void *ctx, uint64_t inode, uint64_t session);
void front_log(void *ctx, const char *line);
/* For replica_config.eventual_changed, likewise. */
void front_eventual_changed(void *ctx, uint64_t root, const char *path);
/* For replica_config, with ctx = struct front: the machine is about to be replaced, and is. */
void front_restoring(void *ctx);
void front_restored(void *ctx);

/* ---- a request on its way ---- */

/* The arguments of a FUSE request, which must outlive it when the answer comes later. Made on the stack; the two
 * functions below copy what they keep (name too). */
struct call {
	fuse_req_t req;
	fuse_ino_t node;
	const char *name;
	bool has_fi;
	struct fuse_file_info fi;
	uint64_t offset;
	size_t size;
	uint64_t number; /* whatever the operation needs: a mask, an inode */
	int64_t amount;	 /* of an addition */
	bool here; /* from the applied state as it is, without waiting for anything */
	void (*run)(struct front *f, struct call *c);					   /* call_strong */
	void (*answer)(struct front *f, struct call *c, const struct reply *reply); /* call_propose */
	void (*refused)(struct front *f, struct call *c); /* call_propose: to undo something; may be NULL */
};

struct call call_of(fuse_req_t req, fuse_ino_t node, const char *name, const struct fuse_file_info *fi);

/* A strong read: c->run is called, at once or later, at a moment when machine_view() is linearizable; it answers
 * the request. When that fails the request gets the errno. */
void call_strong(const struct call *c);

/* The same for an object that may be weak or eventual: then c->run is called now, c->here set. */
void call_read(struct call *c, uint64_t inode);
/* The same for a name in a directory: what it means decides; if it means nothing here, the directory. */
void call_read_name(struct call *c, uint64_t parent, const char *name);
/* c->run now, for what needs no answer from anybody. */
void call_here(struct call *c);

/* From within run, before the state of an object is shown: true when this mount has closed a handle whose last
 * effect (an O_TRUNC never written, a lock's release) is not applied yet. The call is then kept and run again. Never for
 * c->here. */
bool call_must_settle(struct front *f, const struct call *c, uint64_t inode);
/* The same for all inodes. What c->run then finds on its way was begun later: it must not ask again. */
bool call_must_settle_all(struct front *f, const struct call *c);

/* Propose a command for a request (packed at once). A refusal is noted for c->node and answered with its errno,
 * after c->refused was called; else c->answer is called, which answers, or, when it is NULL, the request gets plain
 * success. */
void call_propose(const struct call *c, const Coordfs__Command *command);

/* The same for a change that goes another way: keep the call, and when the change is made, or refused, give it to
 * call_done with the reply. NULL: no memory; it was answered. */
struct parked *call_keep(const struct call *c);
void call_done(struct parked *p, const struct reply *reply);

/* ---- the classes ---- */

/* Tables of operations, each in its own file. What the core asks of the last six: virtual.h. An operation that
 * a table leaves out is answered as dispatch.c says. READDIRPLUS, FORGET and STATFS never reach a class. */
extern const struct fuse_lowlevel_ops machine_class_ops;
extern const struct fuse_lowlevel_ops info_class_ops; /* NODE_INFO and NODE_INFO_SELF */
extern const struct fuse_lowlevel_ops static_class_ops;
extern const struct fuse_lowlevel_ops txn_class_ops;
extern const struct fuse_lowlevel_ops dynamic_class_ops;
extern const struct fuse_lowlevel_ops wait_class_ops;
extern const struct fuse_lowlevel_ops wait_file_class_ops;

/* The table that libfuse gets (dispatch.c). */
extern const struct fuse_lowlevel_ops dispatch_ops;

/* ---- replies ---- */

/* Reply with the errno of a code. */
void reply_code(fuse_req_t req, int code);

/* What a counter or a fence of this value reads as: a line. Tokens use the sign bit as any other. Returns its length. */
size_t value_text(enum inode_kind kind, int64_t value, char out[32]);

/* struct stat of an object as front shows it: true st_size for counters and fences. */
void stat_of_attr(const struct attr *attr, struct stat *out);

/* READDIR: entries into one buffer. dir_add returns false when the entry does not fit (then stop). mode: the
 * file type. offset: the cookie from which the next READDIR goes on behind this entry. */
struct dir_reply {
	fuse_req_t req;
	char *buffer; /* of the front's scratch */
	size_t used, size;
};
struct dir_reply dir_begin(fuse_req_t req, size_t size);
bool dir_add(struct dir_reply *d, const char *name, fuse_ino_t node, mode_t mode, uint64_t offset);
void dir_end(struct dir_reply *d); /* replies */

/* ---- errors of a path (notes.c) ---- */

/* Keep text (or, when NULL or empty, the words of the code) as this mount's last error of `node`'s object. A newer
 * note may take the place of an older one of another object. */
void note_error(struct front *f, fuse_ino_t node, int code, const char *text);
const char *note_last(struct front *f, fuse_ino_t node); /* NULL: none; valid until the next note_error */

#endif
