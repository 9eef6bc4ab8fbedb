/* Room: gossip, its own files only. The log on disk: frames in a file, appended, one write and one sync for all that is
 * given at once; from time to time written anew, without what is superseded. All calls wait for the disk: once it is
 * open they belong into the pool, one at a time. */
#ifndef COORDFS_GOSSIP_STORAGE_H
#define COORDFS_GOSSIP_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct storage;

/* Frames to be written. All zero: none. */
struct frames {
	uint8_t *data;
	size_t size, capacity;
};
#define FRAME_BYTES_MAX (16u << 20)
/* Room for one more payload, to be filled in by the caller at once. NULL: no memory, or too large. */
uint8_t *frames_add(struct frames *f, size_t payload_bytes);
void frames_fini(struct frames *f);

/* Each payload of the log in `directory` in order, then it can be appended to. What a crash cut off was never reported as
 * written, and is taken away. A directory without a log is a new one; nothing is made in it before there is something to
 * write. each returns a code, which is then returned.
 * ERR_CORRUPT: damaged in the middle, or another member's: nothing is changed. ERR_NOT_SUPPORTED: a newer format.
 * error: one line that says what is wrong. */
int storage_open(const char *directory, uint64_t member, int (*each)(void *ctx, const uint8_t *payload, size_t size),
		 void *ctx, struct storage **out, char *error, size_t error_size);
void storage_close(struct storage *s); /* NULL is fine */

/* Durable when it returns 0. ERR_NO_SPACE: nothing of it is there, nor will be; ERR_CORRUPT: likewise, and nothing can be
 * written any more. */
int storage_write(struct storage *s, struct frames *f);

/* What was written last is known to be durable by a frame behind it. Without one, damage there is taken for a crash. */
int storage_vouch(struct storage *s);
bool storage_is_vouched(const struct storage *s);
uint64_t storage_used(const struct storage *s); /* bytes */

/* A new file: begin, add all that is to stay, end. What is written meanwhile goes into both. On an error the old one
 * stays; a failure of begin or add is told by end too. */
int storage_rewrite_begin(struct storage *s);
void storage_rewrite_add(struct storage *s, struct frames *f);
int storage_rewrite_end(struct storage *s);
void storage_rewrite_abandon(struct storage *s);

#endif
