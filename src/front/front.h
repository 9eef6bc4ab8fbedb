/* Room: front, the FUSE side. It may touch base/, proto/, machine/, replica/, libfuse3 and libuv; errno lives
 * here. One thread: every function below is called from the loop's.
 *
 * Nodes are of classes; the class is in the high bits of the node id, so that dispatch needs no table:
 *   machine   inodes of the replicated namespace, by their own numbers (node id = inode)
 *   info      .info/…: mirrors objects by inode number
 *   static    README, cluster/…, the directories .info, cluster, transactions
 *   txn       inside transactions/T: slot of T, inode in T's view (or one of T's own files)
 *   dynamic   names that need a table: .info/transactions/NAME, files/.cas/PATH@REVISION
 * Each class is a struct fuse_lowlevel_ops of its own; dispatch.c registers one table with libfuse that picks
 * the class and passes the request on; an operation that a class leaves out is answered with the errno that
 * a user would expect. */
#ifndef COORDFS_FRONT_FRONT_H
#define COORDFS_FRONT_FRONT_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <uv.h>

#include "machine/machine.h"
#include "replica/replica.h"

enum node_class {
	NODE_MACHINE = 0,
	NODE_INFO = 1,	    /* .info/…/NAME of an object; of a directory: the mirrored directory */
	NODE_INFO_SELF = 2, /* .info/DIR/.self */
	NODE_STATIC = 3,
	NODE_TXN = 4,
	NODE_DYNAMIC = 5,
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
	const char *mountpoint;
	unsigned timeout_ms;
	bool debug;
	struct fuse_args *args; /* libfuse's own options: borrowed */
};

struct handles;	     /* handle.c: open files by inode, for events, orphans, poll */
struct transactions; /* transactions.c */
struct notes;	     /* notes.c: the last error of each path, for `.info` */
struct names;	     /* dynamic.c: nodes that have a name instead of a number */
struct loop_io;	     /* loop.c: the poll handle, buffer and spin state */

struct front {
	uv_loop_t *loop;
	struct replica *replica;
	struct fuse_session *session;
	struct front_config config;
	struct handles *handles;
	struct transactions *transactions;
	struct notes *notes;
	struct names *names;
	struct loop_io *io;
	bool direct_io_mmap; /* the kernel allows shared mappings of direct_io files */
	void (*ended)(void *ctx); /* unmounted from outside */
	void *ended_ctx;
	int64_t started_ns;
};

/* The front of a request. */
static inline struct front *front_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Mount and begin to answer. Errors: -1 with one line in error (mount point missing, not empty, already
 * mounted, no permission …). `ended` is called when the mount is gone (umount). */
int front_start(struct front *f, uv_loop_t *loop, struct replica *replica, const struct front_config *config,
		char *error, size_t error_size);
void front_stop(struct front *f); /* unmount, answer what is pending, free */

/* For replica_config.observer, with ctx = struct front. */
void front_event(void *ctx, const struct event *event);
void front_before_gone(void *ctx, uint64_t inode, uint64_t session);

/* The classes' tables; each in its own file. What the core asks of the last four: virtual.h. */
extern const struct fuse_lowlevel_ops machine_class_ops;
extern const struct fuse_lowlevel_ops info_class_ops; /* NODE_INFO and NODE_INFO_SELF */
extern const struct fuse_lowlevel_ops static_class_ops;
extern const struct fuse_lowlevel_ops txn_class_ops;
extern const struct fuse_lowlevel_ops dynamic_class_ops;

/* Reply with the errno of a code. note_error keeps text (or, when NULL, the words of the code) as this
 * mount's last error of `node`'s object for `.info`. */
void reply_code(fuse_req_t req, int code);
void note_error(struct front *f, fuse_ino_t node, int code, const char *text);
const char *note_last(struct front *f, fuse_ino_t node); /* NULL: none */

/* struct stat of an object as front shows it: true st_size for counters and fences. */
void stat_of_attr(const struct attr *attr, struct stat *out);

#endif
