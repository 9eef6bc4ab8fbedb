/* Room: front, its own files only: the class of what is eventual. What such an object or directory holds is gossip's, at
 * hand without asking anybody; only the directory entry and the attributes of the object that was made eventual (the
 * root of a place) are in the machine.
 *
 * Nodes of the classes NODE_EVENTUAL, NODE_EVENTUAL_INFO and NODE_EVENTUAL_SELF carry 60 bits that are made of the
 * place and the kind of what is there, so that the same place has the same inode number each time and on each mount.
 * A root keeps its inode; dispatch.c passes what is asked of it to the class here all the same. */
#ifndef COORDFS_FRONT_EVENTUAL_H
#define COORDFS_FRONT_EVENTUAL_H

#include <stdio.h>

#include "front/front.h"
#include "front/info.h"

#define EVENTUAL_NUMBER(node) ((uint64_t)(node) & ((1ull << NODE_CLASS_SHIFT) - 1))
#define EVENTUAL_OFFSET_DOTS 2

struct eventual *eventual_new(void); /* NULL: no memory */
void eventual_free(struct eventual *e);

/* ---- roots (eventual_roots.c) ---- */

/* The consistency of an inode of the machine, in the state that is applied here; strong when there is none. Cheap. */
enum consistency eventual_level(struct front *f, uint64_t inode);
/* Is the inode one that was made eventual? Cheap. */
bool eventual_is_root(struct front *f, uint64_t inode);
/* The same of what a name in a machine directory means here. */
bool eventual_is_named(struct front *f, uint64_t parent, const char *name, uint64_t *inode);
/* What is said of the inode there may have changed; 0: of any. */
void eventual_touched(struct front *f, uint64_t inode);
/* The inode is about to lose its last name. */
void eventual_gone(struct front *f, uint64_t inode);
/* a is what the machine knows of a root (or of something else, which stays as it is): add what it holds. */
void eventual_fill(struct front *f, struct attr *a);

/* ---- places (eventual.c) ---- */

static inline bool node_is_eventual(fuse_ino_t node)
{
	return node_class(node) >= NODE_EVENTUAL && node_class(node) <= NODE_EVENTUAL_SELF;
}

/* Where a node of ours, or a root, is. out->path is borrowed while the kernel knows the node. ERR_NOT_FOUND. */
int eventual_place(struct front *f, fuse_ino_t node, struct gossip_place *out);
/* The place of a name in it. ERR_NOT_FOUND, ERR_NAME_TOO_LONG. */
struct eventual_child {
	struct gossip_place at;
	char path[LIMIT_PATH_BYTES];
};
int eventual_child(struct front *f, fuse_ino_t parent, const char *name, struct eventual_child *out);

/* The node, of class NODE_EVENTUAL, of what is at a place; it is kept while the kernel knows it, and until
 * virtual_forget(f, node, 0). 0: no memory. */
fuse_ino_t eventual_node(struct front *f, const struct gossip_place *at, enum inode_kind kind);
/* What a listing says of it, without keeping anything. */
uint64_t eventual_number(struct front *f, const struct gossip_place *at, enum inode_kind kind);
void eventual_remember(struct front *f, fuse_ino_t node);
void eventual_forget(struct front *f, fuse_ino_t node, uint64_t count);

enum inode_kind eventual_kind(enum gossip_kind kind);
/* Of a node of the three classes, as of the object. ERR_NOT_FOUND. */
int eventual_attr(struct front *f, fuse_ino_t node, struct attr *out);
/* Of the node itself, `.info` files too. ERR_NOT_FOUND. */
int eventual_stat(struct front *f, fuse_ino_t node, struct stat *out);

/* Entries of a directory (a node of ours or a root) as nodes of a class, from offset; shift is what comes before. */
struct eventual_listing {
	struct front *front;
	struct dir_reply *reply;
	struct gossip_place at;
	enum node_class class;
	uint64_t shift;
};
int eventual_list(struct eventual_listing *l, fuse_ino_t directory, uint64_t offset);

/* ---- changes (eventual_files.c) ---- */

/* A change is made, and answered when it is durable. */
void eventual_durable(void *call, int code); /* a gossip_done; call is what call_keep gave */
/* The result of a function that takes eventual_durable: a refusal is answered now. */
void eventual_asked(struct parked *call, int code);
/* Where something still is. ERR_STALE: the node is of nothing any more. */
int eventual_check(struct front *f, fuse_ino_t node, struct gossip_place *at);
void eventual_refuse(struct front *f, const struct call *c, int code, const char *why);

/* ---- operations ---- */

extern const struct fuse_lowlevel_ops eventual_class_ops;      /* NODE_EVENTUAL, and roots */
extern const struct fuse_lowlevel_ops eventual_info_class_ops; /* the two others */

/* eventual_names.c */
void eventual_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void eventual_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void eventual_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void eventual_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void eventual_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void eventual_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void eventual_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		     const char *new_name, unsigned flags);
void eventual_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name);
void eventual_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi);

/* eventual_files.c */
void eventual_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi);
void eventual_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi);
void eventual_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void eventual_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void eventual_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi);

/* eventual_counters.c */
void eventual_counter_write(struct front *f, struct call *c, struct bytes data);

/* eventual_info.c */
void eventual_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags);
int eventual_print(struct front *f, fuse_ino_t node, FILE *out); /* a `generate` */
/* What `.info` of a root shows. */
fuse_ino_t eventual_info_find(struct front *f, fuse_ino_t parent, const char *name);

#endif
