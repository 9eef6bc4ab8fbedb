/* Room: front. The names that every mount has and the machine does not know: README, transactions/, cluster/. */
#ifndef COORDFS_FRONT_STATIC_H
#define COORDFS_FRONT_STATIC_H

#include "front/generated.h"

enum static_id {
	STATIC_ROOT = 1, /* the mount's root, as a parent only: its node is the machine's */
	STATIC_README,
	STATIC_TRANSACTIONS,
	STATIC_CLUSTER,
	STATIC_STATUS,
	STATIC_SELF,
	STATIC_LEADER,
	STATIC_LOCKS,
	STATIC_METRICS,
	STATIC_MEMBERS,
	STATIC_MEMBER, /* named after this member */
	STATIC_ADDRESS,
	STATIC_ROLE,
	STATIC_STATE,
	STATIC_LAG,
	STATIC_IDS
};

/* The child of that name, or 0. */
unsigned static_find(struct front *f, unsigned parent, const char *name);
bool static_is_directory(unsigned id);
const char *static_name(struct front *f, unsigned id);
int static_attr(struct front *f, unsigned id, struct stat *out);

/* READDIR: `.` and `..` (offsets up to STATIC_OFFSET_DOTS); the children, at offset bias + id, as nodes of class
 * NODE_STATIC or NODE_INFO. False when the reply is full. */
#define STATIC_OFFSET_DOTS 2
bool static_list_dots(struct dir_reply *d, fuse_ino_t node, uint64_t offset);
bool static_list(struct front *f, struct dir_reply *d, unsigned parent, enum node_class class, uint64_t offset,
		 uint64_t bias);

/* The files' texts: each a `generate` (the node says nothing more). */
int readme_print(struct front *f, fuse_ino_t node, FILE *out);
int status_print(struct front *f, fuse_ino_t node, FILE *out);
int status_print_locks(struct front *f, fuse_ino_t node, FILE *out);
int metrics_print(struct front *f, fuse_ino_t node, FILE *out);
int member_print_name(struct front *f, fuse_ino_t node, FILE *out);
int member_print_leader(struct front *f, fuse_ino_t node, FILE *out);
int member_print_address(struct front *f, fuse_ino_t node, FILE *out);
int member_print_role(struct front *f, fuse_ino_t node, FILE *out);
int member_print_state(struct front *f, fuse_ino_t node, FILE *out);
int member_print_lag(struct front *f, fuse_ino_t node, FILE *out);

#endif
