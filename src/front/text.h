/* Room: front. Files whose content is a short text made on demand and whose writes are requests: counters,
 * fences, `.info`, ctl, status. One struct text for each open handle holds INTERFACE's rule 5:
 *   - a read at offset 0 takes a fresh snapshot of the text, and reads after it go on in that snapshot;
 *   - after a write on the handle the next read, whatever its offset, gives that write's reply, reads after it
 *     its rest and end of file; after that a read at offset 0 gives the text of that moment.
 * Offsets count from where the reply's (or snapshot's) first read was: bash's `echo +1 >&3; read v <&3` reads at
 * offset 3, because one file offset serves reads and writes. */
#ifndef COORDFS_FRONT_TEXT_H
#define COORDFS_FRONT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data; /* snapshot or reply, owned */
	size_t size, capacity;
	uint64_t base; /* file offset at which data begins */
	enum { TEXT_NONE, TEXT_SNAPSHOT, TEXT_REPLY, TEXT_REPLY_READ } state;
};

void text_init(struct text *t);
void text_fini(struct text *t);

/* True when a read at offset must first take a new snapshot with text_snapshot. */
bool text_needs_snapshot(const struct text *t, uint64_t offset);

/* The text of this moment, for a read at offset. data is copied. ERR_NO_MEMORY: t unchanged. */
int text_snapshot(struct text *t, uint64_t offset, const char *data, size_t size);

/* A request was written through the handle and answered with data (may be empty: then the next read gives end of
 * file). data is copied. ERR_NO_MEMORY: t unchanged. */
int text_reply(struct text *t, const char *data, size_t size);

/* The bytes for a read: a pointer into t, valid until the next call, *got ≤ size of them. */
const char *text_read(struct text *t, uint64_t offset, size_t size, size_t *got);

#endif
