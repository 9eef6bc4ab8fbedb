/* Room: front. The names that every mount has and the machine does not know: README, transactions/, votes/, cluster/.
 *
 * Nodes of the class: slot STATIC_FIXED with an enum static_id; the other slots with a member's number, which is never
 * used again: members come and go. What is told of the cluster is what this member knows at this moment: it never
 * waits for a majority. (cluster/locks alone is a strong read, as all that is replicated.) */
#ifndef COORDFS_FRONT_STATIC_H
#define COORDFS_FRONT_STATIC_H

#include "front/generated.h"

enum static_id {
	STATIC_ROOT = 1, /* the mount's root, as a parent only: its node is the machine's */
	STATIC_README,
	STATIC_TRANSACTIONS,
	STATIC_VOTES,
	STATIC_CLUSTER,
	STATIC_STATUS,
	STATIC_SELF,
	STATIC_LEADER,
	STATIC_LOCKS,
	STATIC_METRICS,
	STATIC_MEMBERS,
	STATIC_SNAPSHOT, /* not listed: what walks a whole tree shall not make a backup of it on its way */
	STATIC_IDS
};
enum static_slot {
	STATIC_FIXED,
	STATIC_MEMBER, /* the directory members/NAME */
	STATIC_ADDRESS,
	STATIC_ROLE,
	STATIC_STATE,
	STATIC_LAG,
	STATIC_SLOTS
};

static inline fuse_ino_t static_node(unsigned id)
{
	return node_make(NODE_STATIC, STATIC_FIXED, id);
}

/* The node's enum static_id; 0: it is a member's. */
static inline unsigned static_id(fuse_ino_t node)
{
	return node_slot(node) == STATIC_FIXED ? (unsigned)node_inode(node) : 0;
}

/* The child of that name, or 0. */
fuse_ino_t static_find(struct front *f, fuse_ino_t parent, const char *name);
bool static_is_directory(fuse_ino_t node);
int static_attr(struct front *f, fuse_ino_t node, struct stat *out);

/* READDIR: `.` and `..` (offsets up to STATIC_OFFSET_DOTS); the children, at offset bias + number, each as the node
 * that `as` makes of it. False when the reply is full. */
#define STATIC_OFFSET_DOTS 2
struct static_listing {
	struct dir_reply *reply;
	fuse_ino_t (*as)(fuse_ino_t node);
	uint64_t offset, bias;
};
bool static_list_dots(struct dir_reply *d, fuse_ino_t node, uint64_t offset);
bool static_list(struct front *f, const struct static_listing *l, fuse_ino_t parent);

/* ---- members.c: cluster/members ---- */

fuse_ino_t members_find(struct front *f, const char *name); /* the directory's node, or 0 */
fuse_ino_t member_find(fuse_ino_t directory, const char *name);
bool members_list(struct front *f, const struct static_listing *l);
bool member_list(const struct static_listing *l, fuse_ino_t directory);
unsigned members_count(struct front *f);
int member_mode(struct front *f, fuse_ino_t node, mode_t *mode); /* ERR_NOT_FOUND: no such member any more */
int member_print(struct front *f, fuse_ino_t node, FILE *out);	  /* a `generate` */
void member_print_info(struct front *f, fuse_ino_t node, FILE *out); /* further lines of .info */
#define MEMBER_NAME_BYTES 65
/* The name of the member that a node is of. ERR_NOT_FOUND. */
int member_name(struct front *f, fuse_ino_t node, char name[static MEMBER_NAME_BYTES]);

/* ---- control.c: what can be asked of the cluster ---- */

bool control_is_writable(fuse_ino_t node);
/* All answer. print: what a read of the node gives, for the reply on the handle. */
void control_write(struct call *c, const char *data, generate print);
void control_rmdir(fuse_req_t req, const char *name);

/* ---- backup.c: cluster/snapshot ---- */

void backup_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void backup_read(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi);
void backup_release(fuse_req_t req, struct fuse_file_info *fi);
/* The length of the file that this process has open; else of one that was made now. */
uint64_t backup_size(struct front *f, pid_t pid);
void backups_stop(struct front *f); /* give up those under way */
void backups_free(struct front *f);

/* The files' texts: each a `generate` (the node says nothing more). */
int readme_print(struct front *f, fuse_ino_t node, FILE *out);
int status_print(struct front *f, fuse_ino_t node, FILE *out);
int status_print_locks(struct front *f, fuse_ino_t node, FILE *out);
int metrics_print(struct front *f, fuse_ino_t node, FILE *out);
int self_print(struct front *f, fuse_ino_t node, FILE *out);
int leader_print(struct front *f, fuse_ino_t node, FILE *out);

#endif
