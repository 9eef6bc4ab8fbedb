/* Images are written front to back by a child process and read front to back at a start. Nothing is trusted until
 * the checksum at the end has been seen: the reader builds the machine meanwhile, and throws it away on a mismatch;
 * lengths are held to bounds, so that a flipped bit cannot ask for gigabytes. */
#include "store/image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine/level.h"
#include "store/store_tdb.h"

#define BUFFER_BYTES (1u << 20)
#define SYNC_BYTES (32u << 20) /* let the disk start early: one great fsync at the end would hold up the log */
#define KEY_BYTES_MAX 4096u
#define VALUE_BYTES_MAX (16u << 20)
#define META_BYTES_MAX 65536u
#define END_OF_RECORDS UINT32_MAX

static const char magic[8] = {'C', 'O', 'O', 'R', 'D', 'F', 'S', 'I'};

/* ---- writing ---- */

struct writer {
	int fd, rc;
	size_t used;
	uint64_t bytes, unsynced, records;
	XXH3_state_t *hash;
	uint8_t *buffer;
};

static int code_of_errno(void)
{
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_NO_SPACE : ERR_CORRUPT;
}

static void flush(struct writer *w)
{
	size_t done = 0;

	while (!w->rc && done < w->used) {
		ssize_t n = write(w->fd, w->buffer + done, w->used - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			w->rc = code_of_errno();
	}
	w->unsynced += w->used;
	w->used = 0;
	if (!w->rc && w->unsynced >= SYNC_BYTES) {
		w->unsynced = 0;
		if (fdatasync(w->fd))
			w->rc = code_of_errno();
	}
}

static void put(struct writer *w, const void *data, size_t size)
{
	const uint8_t *from = data;

	XXH3_64bits_update(w->hash, data, size);
	w->bytes += size;
	while (size && !w->rc) {
		size_t n = BUFFER_BYTES - w->used < size ? BUFFER_BYTES - w->used : size;

		memcpy(w->buffer + w->used, from, n);
		w->used += n;
		from += n;
		size -= n;
		if (w->used == BUFFER_BYTES)
			flush(w);
	}
}

static void encode(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static void put_u32_pair(struct writer *w, uint32_t a, uint32_t b)
{
	uint8_t pair[8];

	encode(pair, a, 4);
	encode(pair + 4, b, 4);
	put(w, pair, sizeof pair);
}

static void put_u64(struct writer *w, uint64_t value)
{
	uint8_t bytes[8];

	encode(bytes, value, 8);
	put(w, bytes, sizeof bytes);
}

static int put_record(void *ctx, struct bytes key, struct bytes value)
{
	struct writer *w = ctx;

	put_u32_pair(w, (uint32_t)key.size, (uint32_t)value.size);
	put(w, key.data, key.size);
	put(w, value.data, value.size);
	w->records++;
	return w->rc;
}

static int put_meta(struct writer *w, struct machine *m)
{
	Coordfs__Meta meta = COORDFS__META__INIT;
	uint8_t *packed;
	size_t size;

	machine_meta(m, &meta);
	size = coordfs__meta__get_packed_size(&meta);
	packed = malloc(size + 1);
	if (!packed)
		return ERR_NO_MEMORY;
	coordfs__meta__pack(&meta, packed);
	put_u32_pair(w, IMAGE_FORMAT, (uint32_t)size);
	put(w, packed, size);
	free(packed);
	return w->rc;
}

static int put_all(struct writer *w, struct machine *m, struct store *store, struct image_sum *out)
{
	int rc;

	put(w, magic, sizeof magic);
	rc = put_meta(w, m);
	if (!rc)
		rc = store_tdb_each(store, put_record, w);
	if (rc)
		return rc;
	put_u32_pair(w, END_OF_RECORDS, 0);
	put_u64(w, w->records);
	out->checksum = XXH3_64bits_digest(w->hash);
	put_u64(w, out->checksum);
	out->bytes = w->bytes;
	flush(w);
	if (!w->rc && fsync(w->fd))
		w->rc = code_of_errno();
	return w->rc;
}

int image_write(int fd, struct machine *m, struct store *store, struct image_sum *out)
{
	struct writer w = {.fd = fd, .hash = XXH3_createState(), .buffer = malloc(BUFFER_BYTES)};
	int rc = ERR_NO_MEMORY;

	*out = (struct image_sum){0};
	if (w.hash && w.buffer) {
		XXH3_64bits_reset(w.hash);
		rc = put_all(&w, m, store, out);
	}
	XXH3_freeState(w.hash);
	free(w.buffer);
	return rc;
}

/* ---- reading ---- */

struct reader {
	int fd;
	size_t start, end; /* of what is in the buffer and not taken yet */
	uint64_t bytes;
	XXH3_state_t *hash;
	uint8_t *buffer, *record; /* record: one key and value */
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 3, 4))) static int bad(struct reader *r, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(r->error, r->error_size, format, arguments);
	va_end(arguments);
	return code;
}

static int refill(struct reader *r)
{
	ssize_t n;

	do
		n = read(r->fd, r->buffer, BUFFER_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return bad(r, ERR_CORRUPT, "cannot be read: %s", strerror(errno));
	if (n == 0)
		return bad(r, ERR_CORRUPT, "ends too early, at byte %llu", (unsigned long long)r->bytes);
	r->start = 0;
	r->end = (size_t)n;
	return 0;
}

static int take(struct reader *r, void *to, size_t size)
{
	uint8_t *out = to;

	while (size) {
		size_t n = r->end - r->start < size ? r->end - r->start : size;

		if (n == 0) {
			int rc = refill(r);

			if (rc)
				return rc;
			continue;
		}
		memcpy(out, r->buffer + r->start, n);
		XXH3_64bits_update(r->hash, r->buffer + r->start, n);
		r->start += n;
		r->bytes += n;
		out += n;
		size -= n;
	}
	return 0;
}

static uint64_t decode(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

static int take_u32_pair(struct reader *r, uint32_t *a, uint32_t *b)
{
	uint8_t pair[8];
	int rc = take(r, pair, sizeof pair);

	*a = rc ? 0 : (uint32_t)decode(pair, 4);
	*b = rc ? 0 : (uint32_t)decode(pair + 4, 4);
	return rc;
}

static int take_u64(struct reader *r, uint64_t *value)
{
	uint8_t bytes[8];
	int rc = take(r, bytes, sizeof bytes);

	*value = rc ? 0 : decode(bytes, 8);
	return rc;
}

static int take_meta(struct reader *r, Coordfs__Meta **out)
{
	uint32_t format, size;
	char head[sizeof magic];
	int rc = take(r, head, sizeof head);

	if (!rc)
		rc = take_u32_pair(r, &format, &size);
	if (rc)
		return rc;
	if (memcmp(head, magic, sizeof magic))
		return bad(r, ERR_CORRUPT, "is damaged: it does not begin as an image does");
	if (format != IMAGE_FORMAT)
		return bad(r, ERR_NOT_SUPPORTED, "has format %u; this program knows %u", format, IMAGE_FORMAT);
	if (size > META_BYTES_MAX)
		return bad(r, ERR_CORRUPT, "is damaged in its head");
	rc = take(r, r->record, size);
	if (rc)
		return rc;
	*out = coordfs__meta__unpack(NULL, size, r->record);
	return *out ? 0 : bad(r, ERR_CORRUPT, "is damaged in its head");
}

static int take_records(struct reader *r, struct machine *m, uint64_t *records)
{
	for (*records = 0;; ++*records) {
		uint32_t key_size, value_size;
		int rc = take_u32_pair(r, &key_size, &value_size);

		if (rc || (key_size == END_OF_RECORDS && value_size == 0))
			return rc;
		if (key_size > KEY_BYTES_MAX || value_size > VALUE_BYTES_MAX)
			return bad(r, ERR_CORRUPT, "is damaged at byte %llu", (unsigned long long)r->bytes);
		rc = take(r, r->record, (size_t)key_size + value_size);
		if (rc)
			return rc;
		rc = machine_load(m, (struct bytes){r->record, key_size},
				  (struct bytes){r->record + key_size, value_size});
		if (rc)
			return bad(r, rc, "is damaged at byte %llu: %s", (unsigned long long)r->bytes, error_text(rc));
	}
}

/* The end: nothing may follow, and everything must add up. */
static int take_sum(struct reader *r, uint64_t records, const struct image_sum *expect)
{
	uint64_t counted, checksum, sum;
	int rc = take_u64(r, &counted);

	sum = XXH3_64bits_digest(r->hash);
	if (!rc)
		rc = take_u64(r, &checksum);
	if (rc)
		return rc;
	if (checksum != sum || counted != records)
		return bad(r, ERR_CORRUPT, "is damaged: its checksum does not match");
	if (r->start != r->end || read(r->fd, r->buffer, 1) != 0)
		return bad(r, ERR_CORRUPT, "is damaged: bytes follow its end");
	if (expect && (expect->bytes != r->bytes || expect->checksum != sum))
		return bad(r, ERR_CORRUPT, "is another image than the log's snapshot names");
	return 0;
}

static int take_all(struct reader *r, const struct image_sum *expect, struct machine *m)
{
	Coordfs__Meta *meta = NULL;
	uint64_t records = 0;
	int rc = take_meta(r, &meta);

	if (!rc && meta->level > LEVEL_LATEST)
		rc = bad(r, ERR_NOT_SUPPORTED, "is of a cluster of newer programs (level %u, this one knows %u): use such a one",
			 meta->level, (unsigned)LEVEL_LATEST);
	if (!rc)
		rc = take_records(r, m, &records);
	if (!rc)
		rc = take_sum(r, records, expect);
	if (!rc) {
		rc = machine_load_end(m, meta);
		if (rc)
			bad(r, rc, "holds a state that is not sound: %s", error_text(rc));
	}
	if (meta)
		coordfs__meta__free_unpacked(meta, NULL);
	return rc;
}

int image_load(int fd, const struct image_sum *expect, struct store *store, const struct machine_observer *observer,
	       struct machine **out, char *error, size_t error_size)
{
	struct reader r = {.fd = fd, .error = error, .error_size = error_size};
	struct machine *m = NULL;
	int rc = ERR_NO_MEMORY;

	*out = NULL;
	r.hash = XXH3_createState();
	r.buffer = malloc(BUFFER_BYTES);
	r.record = malloc(KEY_BYTES_MAX + VALUE_BYTES_MAX);
	if (r.hash && r.buffer && r.record) {
		XXH3_64bits_reset(r.hash);
		rc = machine_load_begin(store, observer, &m);
	}
	if (!m)
		bad(&r, rc, "cannot be loaded: %s", error_text(rc));
	else
		rc = take_all(&r, expect, m);
	if (rc)
		machine_free(m);
	else
		*out = m;
	XXH3_freeState(r.hash);
	free(r.buffer);
	free(r.record);
	return rc;
}
