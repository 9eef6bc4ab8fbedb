/* Room: store. An image: the whole applied state in one file. It may touch base/, proto/, the machine's headers.
 *
 * Bytes, integers little-endian:
 *   "COORDFSI"  u32 format (1)  u32 length of Meta  Meta (packed)
 *   for each record: u32 length of key  u32 length of value  key  value
 *   u32 0xffffffff  u32 0  u64 number of records  u64 XXH3 of all bytes before this */
#ifndef COORDFS_STORE_IMAGE_H
#define COORDFS_STORE_IMAGE_H

#include "machine/machine.h"

#define IMAGE_FORMAT 1u

/* What identifies an image's bytes beside its name. */
struct image_sum {
	uint64_t bytes, checksum;
};

/* Write the state to fd from its present offset and fsync it. Meant for a forked child: allocates one buffer.
 * ERR_NO_SPACE, ERR_NO_MEMORY, or ERR_CORRUPT when the disk fails; the file is then to be thrown away. */
int image_write(int fd, struct machine *m, struct store *store, struct image_sum *out);

/* Read an image into an empty store and build the machine over it. expect (may be NULL): what it must sum up to.
 * On failure *out is NULL, the store is to be thrown away, and error holds what is wrong with the file, in words
 * that go on from its name ("ends too early").
 * Errors: ERR_CORRUPT, ERR_NOT_SUPPORTED (newer format), ERR_NO_MEMORY, ERR_NO_SPACE. */
int image_load(int fd, const struct image_sum *expect, struct store *store, const struct machine_observer *observer,
	       struct machine **out, char *error, size_t error_size);

#endif
