/* Room: replica, its own files only. The data directory: whose it is, who uses it, and what was promised in it.
 *
 *   member          who this is: text, written once, last of all when the directory is made
 *   member.new      the same while it is being made: nothing was ever promised, it may be made anew
 *   member.restored the same while a backup is being restored into it
 *   lock            flock(2)ed by the daemon that uses it; its pid in text
 *   acknowledged    struct mark: how far we told people that their changes are safe
 *   image-N.coordfs the state after entry N (store/image.h)
 *   eventual-N.log  what is eventual; member.eventual: that it must be there (gossip/storage.c)
 *   peers           where the members listen, as last known: text
 *   raft/           libraft's log, term and snapshots; a snapshot names an image */
#ifndef COORDFS_REPLICA_DIRECTORY_H
#define COORDFS_REPLICA_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRECTORY_FORMAT 1u
#define MEMBER_NAME_BYTES 256
#define RESET_REASON_BYTES 32
#define DIRECTORY_TOKEN_BYTES 16
#define DIRECTORY_FOUNDER_ID 1u /* the member that made the cluster */

struct directory {
	char *path; /* absolute */
	char *raft_path;
	int fd;	     /* of path */
	int raft_fd; /* of path/raft */
	int lock_fd;
	bool fresh; /* nothing was promised in it: make a new cluster, then directory_settle */
	bool made;  /* it was not there before */
	char member[MEMBER_NAME_BYTES];
	char cluster[33]; /* 32 hexadecimal digits */
	uint8_t token[DIRECTORY_TOKEN_BYTES]; /* random: tells this directory from another one of a member of that name */
	uint64_t id;	  /* libraft's server id of this member */
	/* Not "": the state is that of a cluster which is gone (recover, restore). Before it serves, the leader is to
	 * propose ClusterReset{keep: id, reason}; when such an entry above reset_after is applied: directory_reset_done. */
	char reset_reason[RESET_REASON_BYTES];
	uint64_t reset_after;
};

/* Open, lock, and make it if it is missing. member NULL: whoever it belongs to; a new one then gets the host's
 * name. On an error *d is as directory_close leaves it, and error is one line that says what to do.
 * Errors: ERR_BUSY (another daemon), ERR_NOT_DIRECTORY, ERR_ACCESS, ERR_NOT_SUPPORTED (newer), ERR_PERM (another
 * member's), ERR_CORRUPT (used, but not as ours), ERR_NO_SPACE, ERR_NO_MEMORY. */
int directory_open(struct directory *d, const char *path, const char *member, char *error, size_t error_size);

/* It will be closed soon: whoever wants to open it waits for that. */
void directory_ends(struct directory *d);

/* What a new cluster needs is durable in raft/: from now on the directory counts as used. */
int directory_settle(struct directory *d, char *error, size_t error_size);

/* Instead of a new cluster: this fresh directory is member `id`'s of that cluster. Durable; it counts as used. */
int directory_join(struct directory *d, const uint8_t cluster[16], uint64_t id, char *error, size_t error_size);

/* The cluster's 16 bytes. */
void directory_cluster(const struct directory *d, uint8_t cluster[16]);

/* A small text file in it. ERR_NOT_FOUND, ERR_CORRUPT. */
int directory_read_text(const struct directory *d, const char *name, char *out, size_t size);
/* In one step, durable. ERR_NO_SPACE, ERR_CORRUPT; then the old one is unchanged. */
int directory_replace_text(const struct directory *d, const char *name, const char *text);

/* For a restore: the same as directory_open of an empty or missing directory, for a new cluster whose first member is
 * `id`. Until directory_settle_restored the directory is refused by directory_open, and may be made again by this.
 * More errors: ERR_EXISTS (it holds data). */
int directory_make(struct directory *d, const char *path, const char *member, uint64_t id, char *error,
		   size_t error_size);

struct mark;
/* What the restored member goes on from is durable in it: an image, raft/, this mark. reset_after: mark's index. */
int directory_settle_restored(struct directory *d, const struct mark *mark, char *error, size_t error_size);

/* From now on it is of a new cluster, with a reset to do. Durable; on an error nothing has changed. */
int directory_renew(struct directory *d, const char *reset_reason, uint64_t reset_after, char *error,
		    size_t error_size);
/* The reset was applied. Durable when it returns 0: before any later entry is applied. ERR_NO_SPACE, ERR_CORRUPT. */
int directory_reset_done(struct directory *d);

/* Remove what was made since directory_make, the directory itself too if it was not there; close it. */
void directory_unmake(struct directory *d);

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

/* Remove images that no snapshot of libraft's names, and unfinished ones; keep: this one in any case, unfinished too. */
void directory_sweep(const struct directory *d, uint64_t keep);

/* Free bytes of its file system for this user; 0 when that cannot be learned. */
uint64_t directory_free_bytes(const struct directory *d);

#endif
