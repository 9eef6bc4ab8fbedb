/* Room: front. Files whose content is a short text made on demand and whose writes are requests: counters,
 * fences, `.info`, ctl, status. The rules of reading and replying on one handle (INTERFACE, rules 4 and 5):
 *   - a read at offset 0 (relative to the end of the last write) takes a fresh snapshot of the text;
 *   - after a write on the handle the next read, whatever its offset, gives that write's reply, then end of file;
 *     after that a read at offset 0 gives the text of that moment.
 * bash: `exec 3<>f; echo +1 >&3; read v <&3` reads at offset 3: offsets count from the end of the last write. */
#ifndef COORDFS_FRONT_TEXT_H
#define COORDFS_FRONT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data; /* snapshot or reply, owned */
	size_t size, capacity;
	uint64_t base;	  /* file offset at which data begins */
	enum { TEXT_NONE, TEXT_SNAPSHOT, TEXT_REPLY, TEXT_REPLY_READ } state;
};

void text_init(struct text *t);
void text_fini(struct text *t);

/* True when a read at offset must first take a new snapshot (text_snapshot). */
bool text_needs_snapshot(const struct text *t, uint64_t offset);
int text_snapshot(struct text *t, const char *data, size_t size); /* at the present base */

/* A request of `size` bytes was written at `offset` and answered with data. */
int text_reply(struct text *t, uint64_t offset, size_t size, const char *data, size_t data_size);

/* The bytes for a read: pointer into t, *got ≤ size. */
const char *text_read(struct text *t, uint64_t offset, size_t size, size_t *got);

#endif
