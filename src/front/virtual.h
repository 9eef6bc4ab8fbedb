/* Room: front. What the core (dispatch, machine class, loop) asks of the generated trees: .info, .wait, README, cluster,
 * transactions, files/.cas. Every function is called from the loop's thread. */
#ifndef COORDFS_FRONT_VIRTUAL_H
#define COORDFS_FRONT_VIRTUAL_H

#include "front/front.h"

struct names; /* dynamic.c: nodes that have a name instead of a number */

/* Fill in f->transactions and f->names; after the replica is ready, before the first request. ERR_NO_MEMORY.
 * virtual_stop rolls back what is open, before replica_close; virtual_replica_gone lets go of the machine, when
 * replica_close is done; virtual_free frees the rest. */
int virtual_start(struct front *f);
void virtual_stop(struct front *f);
void virtual_replica_gone(struct front *f);
void virtual_free(struct front *f);

/* To be asked by the machine class's LOOKUP before the machine: README, .info, .wait, cluster, transactions in the root,
 * .cas in files/. Node id, or 0: not one of ours. */
fuse_ino_t virtual_lookup(fuse_ino_t parent, const char *name);

/* Answer a LOOKUP with a node of ours (NODE_INFO … NODE_DYNAMIC), or with ENOENT. */
void virtual_reply_entry(fuse_req_t req, fuse_ino_t node);

/* The kernel got to know a node of ours by another answer than that (CREATE). */
void virtual_remember(struct front *f, fuse_ino_t node);

/* The root's names that are not in the machine, for its readdir: false when n is past the last. The type is
 * S_IFDIR or S_IFREG. (files/.cas is not listed: reading a whole tree must not walk it.) */
bool virtual_root_entry(unsigned n, const char **name, fuse_ino_t *node, mode_t *type);

/* .self and .cas: nobody may make, link or rename to them in a real tree (EPERM). */
bool virtual_name_reserved(const char *name);

/* FORGET of nodes of the classes from NODE_TXN on, also for each item of FORGET_MULTI. Replies nothing. */
void virtual_forget(struct front *f, fuse_ino_t node, uint64_t count);

/* The xattr user.coordfs.KEY of a node of any class: the value of KEY's lines in `.info` (several: a line each,
 * without a final newline). Returns its length, copying at most size bytes; ERR_NO_DATA: no such key;
 * ERR_STALE: user.coordfs.token of a file that this mount holds no lock on. */
int info_value(struct front *f, fuse_ino_t node, const char *key, char *out, size_t size);

/* Set it, as a write of KEY=VALUE to `.info` does, and answer req: success or an errno, now or when committed.
 * value is copied. */
void info_set(fuse_req_t req, fuse_ino_t node, const char *key, struct bytes value);

#endif
