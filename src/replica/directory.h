/* Room: replica, its own files only. The data directory: whose it is, who uses it, and what was promised in it.
 *
 *   member          who this is: text, written once, last of all when the directory is made
 *   member.new      the same while it is being made: nothing was ever promised, it may be made anew
 *   lock            flock(2)ed by the daemon that uses it; its pid in text
 *   acknowledged    struct mark: how far we told people that their changes are safe
 *   image-N.coordfs the state after entry N (store/image.h)
 *   raft/           libraft's log, term and snapshots; a snapshot names an image */
#ifndef COORDFS_REPLICA_DIRECTORY_H
#define COORDFS_REPLICA_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRECTORY_FORMAT 1u
#define MEMBER_NAME_BYTES 256

struct directory {
	char *path; /* absolute */
	char *raft_path;
	int fd;	     /* of path */
	int raft_fd; /* of path/raft */
	int lock_fd;
	bool fresh; /* nothing was promised in it: make a new cluster, then directory_settle */
	char member[MEMBER_NAME_BYTES];
	char cluster[33]; /* 32 hexadecimal digits */
	uint64_t id;	  /* libraft's server id of this member */
};

/* Open, lock, and make it if it is missing. member NULL: whoever it belongs to; a new one then gets the host's
 * name. On an error *d is as directory_close leaves it, and error is one line that says what to do.
 * Errors: ERR_BUSY (another daemon), ERR_NOT_DIRECTORY, ERR_ACCESS, ERR_NOT_SUPPORTED (newer), ERR_PERM (another
 * member's), ERR_CORRUPT (used, but not as ours), ERR_NO_SPACE, ERR_NO_MEMORY. */
int directory_open(struct directory *d, const char *path, const char *member, char *error, size_t error_size);

/* What a new cluster needs is durable in raft/: from now on the directory counts as used. */
int directory_settle(struct directory *d, char *error, size_t error_size);

/* Unlock, remove the pid. */
void directory_close(struct directory *d);

/* ---- the record of what was acknowledged ---- */

/* libraft drops what follows a damaged byte in an open segment, and does not say so: it cannot tell damage from a
 * write that was cut off by a crash. This record can. It is written lazily, never before its content is true. */
struct mark {
	uint64_t index;	   /* every entry up to here was acknowledged */
	uint64_t term;	   /* the term then */
	uint64_t snapshot; /* libraft stored a snapshot of this index; 0: none */
};

/* 0; ERR_NOT_FOUND; ERR_CORRUPT when it is damaged. */
int mark_read(const struct directory *d, struct mark *out);

/* Durable when it returns: not on the loop thread while serving. ERR_NO_SPACE, ERR_CORRUPT. */
int mark_write(const struct directory *d, const struct mark *mark);

/* ---- images ---- */

#define IMAGE_NAME_BYTES 48
void image_name(uint64_t index, char name[IMAGE_NAME_BYTES]);

/* Remove images that no snapshot of libraft's names, and unfinished ones; keep: this one in any case. */
void directory_sweep(const struct directory *d, uint64_t keep);

/* Free bytes of its file system for this user; 0 when that cannot be learned. */
uint64_t directory_free_bytes(const struct directory *d);

#endif
