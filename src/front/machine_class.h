/* Room: front, its own files only: the class of the replicated namespace (locks/ counters/ files/ fences/). The
 * operations are spread over names.c, attributes.c, files.c, counters.c, locks.c, xattr.c, poll.c;
 * machine_class.c puts them in a table. */
#ifndef COORDFS_FRONT_MACHINE_CLASS_H
#define COORDFS_FRONT_MACHINE_CLASS_H

#include "front/front.h"
#include "front/handle.h"

static inline struct view view_now(struct front *f)
{
	return machine_view(replica_machine(f->replica));
}

static inline struct bytes bytes_of(const char *text, size_t size)
{
	return (struct bytes){text, size};
}

static inline ProtobufCBinaryData binary_of(const void *data, size_t size)
{
	return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
}

/* The attributes of an inode as this mount sees it, also of one whose last name is gone. The latter has nlink 0,
 * and *orphan is set. ERR_STALE: nothing is left of it; the kernel then walks the path anew. */
int attr_now(struct front *f, uint64_t inode, struct attr *out, struct orphan **orphan);

/* Refuse what is asked of a handle that lost its lock: true when the request was answered. */
bool handle_refused(fuse_req_t req, const struct handle *h);

/* Answer with the entry of an inode (LOOKUP, MKDIR, …). */
void entry_reply(struct front *f, fuse_req_t req, uint64_t inode);
void entry_fill(const struct attr *attr, struct fuse_entry_param *out);

/* Answer OPEN or CREATE (entry != NULL) with a new handle. */
void file_reply_opened(struct front *f, const struct call *c, const struct attr *attr,
		       const struct fuse_entry_param *entry);

/* names.c */
void names_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void names_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void names_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void names_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void names_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		  const char *new_name, unsigned flags);
void names_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name);
void names_readlink(fuse_req_t req, fuse_ino_t node);
void names_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi);

/* attributes.c */
void attributes_get(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void attributes_set(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi);

/* xattr.c */
void xattr_get(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void xattr_set(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags);
void xattr_list(fuse_req_t req, fuse_ino_t node, size_t size);
void xattr_remove(fuse_req_t req, fuse_ino_t node, const char *name);

/* files.c */
void files_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void files_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi);
void files_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		 struct fuse_file_info *fi);
void files_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void files_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void files_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void files_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
		     struct fuse_file_info *fi);

/* Make an O_TRUNC that has not taken effect yet do so now, asked by nobody. */
void file_truncate_now(struct front *f, struct handle *h);
/* For a call that writes: its answer, and its `refused` when it took a handle's truncation along. */
void file_reply_written(struct front *f, struct call *c, const struct reply *reply);
void file_truncation_refused(struct front *f, struct call *c);

/* counters.c: counters and fences */
void counters_read(struct front *f, struct call *c);
void counters_write(struct front *f, struct call *c, struct bytes data);
void fences_write(struct front *f, struct call *c, struct bytes data);

/* locks.c */
void locks_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int operation);
void locks_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock, int wait);
void locks_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock);
void locks_flush(struct front *f, const struct call *c);	 /* a close(2): answers the request */
void locks_release(struct front *f, struct handle *h);		 /* the last one */

/* lease.c */
void files_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *argument, struct fuse_file_info *fi,
		 unsigned flags, const void *in, size_t in_size, size_t out_size);

/* poll.c */
void files_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *poll);

#endif
