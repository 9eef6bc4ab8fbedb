/* A file's content is stored in chunks of FILE_CHUNK_BYTES. A chunk may be shorter than that, or absent: what is
 * missing below the file's size is zeros. Nothing is ever stored beyond the size, so that extending shows
 * zeros and not what was cut off before. */
#include <string.h>

#include "machine/internal.h"

static uint64_t chunks_of(uint64_t size)
{
	return (size + FILE_CHUNK_BYTES - 1) / FILE_CHUNK_BYTES;
}

struct chunk {
	uint8_t data[FILE_CHUNK_BYTES];
	size_t size;
};

static int chunk_parse(void *ctx, struct bytes value)
{
	struct chunk *k = ctx;
	if (value.size > sizeof k->data)
		return ERR_CORRUPT;
	if (value.size > 0)
		memcpy(k->data, value.data, value.size);
	k->size = value.size;
	return 0;
}

static int chunk_get(struct store *s, uint64_t inode, uint64_t number, struct chunk *out)
{
	struct key k = key2('d', inode, number);
	out->size = 0;
	int found = store_get(s, key_bytes(&k), chunk_parse, out);
	return found < 0 ? found : 0;
}

static int chunk_put(struct context *c, uint64_t inode, uint64_t number, const struct chunk *chunk)
{
	struct key k = key2('d', inode, number);
	return store_put(c->store, key_bytes(&k), (struct bytes){chunk->data, chunk->size});
}

/* Bytes [at, at + size) of one chunk. */
static int chunk_write(struct context *c, uint64_t inode, uint64_t number, size_t at, const uint8_t *data, size_t size)
{
	struct chunk chunk = {.size = 0};
	int code = at == 0 && size == FILE_CHUNK_BYTES ? 0 : chunk_get(c->store, inode, number, &chunk);
	if (code)
		return code;
	if (at > chunk.size)
		memset(chunk.data + chunk.size, 0, at - chunk.size);
	memcpy(chunk.data + at, data, size);
	if (at + size > chunk.size)
		chunk.size = at + size;
	return chunk_put(c, inode, number, &chunk);
}

static int content_write(struct context *c, uint64_t inode, uint64_t offset, const uint8_t *data, size_t size)
{
	int code = 0;
	while (size > 0 && code == 0) {
		size_t at = offset % FILE_CHUNK_BYTES, n = FILE_CHUNK_BYTES - at;
		if (n > size)
			n = size;
		code = chunk_write(c, inode, offset / FILE_CHUNK_BYTES, at, data, n);
		offset += n;
		data += n;
		size -= n;
	}
	return code;
}

static int chunks_delete(struct context *c, uint64_t inode, uint64_t from, uint64_t to)
{
	int code = 0;
	for (uint64_t i = from; i < to && code == 0; i++) {
		struct key k = key2('d', inode, i);
		code = store_del(c->store, key_bytes(&k));
	}
	return code;
}

int file_delete_content(struct context *c, uint64_t number, uint64_t size)
{
	return chunks_delete(c, number, 0, chunks_of(size));
}

int file_resize(struct context *c, uint64_t number, Coordfs__Inode *inode, uint64_t size)
{
	uint64_t old = inode->size;
	struct chunk chunk;
	int code = 0;
	if (size > LIMIT_FILE_BYTES)
		return ERR_TOO_BIG;
	if (size < old) {
		code = chunks_delete(c, number, chunks_of(size), chunks_of(old));
		if (code == 0 && size % FILE_CHUNK_BYTES)
			code = chunk_get(c->store, number, size / FILE_CHUNK_BYTES, &chunk);
		if (code == 0 && size % FILE_CHUNK_BYTES && chunk.size > size % FILE_CHUNK_BYTES) {
			chunk.size = size % FILE_CHUNK_BYTES;
			code = chunk_put(c, number, size / FILE_CHUNK_BYTES, &chunk);
		}
	}
	inode->size = size;
	return code;
}

static int write_check(const Coordfs__Inode *inode, const Coordfs__Write *q, uint64_t offset, struct reply *r)
{
	if (inode->kind == KIND_DIRECTORY)
		refuse(r, ERR_IS_DIRECTORY, "is a directory");
	else if (inode->kind != KIND_FILE)
		refuse(r, ERR_INVALID, "not an ordinary file");
	else if (consistency_is_eventual(inode, r))
		return r->code;
	else if (q->conditional && inode->content != q->if_revision)
		refuse(r, ERR_CANCELED, "revision is %llu, not %llu", (unsigned long long)inode->content,
		       (unsigned long long)q->if_revision);
	else if (q->data.len > LIMIT_FILE_BYTES || offset > LIMIT_FILE_BYTES - q->data.len)
		refuse(r, ERR_TOO_BIG, "a file holds at most %u bytes", LIMIT_FILE_BYTES);
	return r->code;
}

static int write_apply(struct context *c, uint64_t number, Coordfs__Inode *inode, const Coordfs__Write *q,
		       uint64_t offset)
{
	int code = q->truncate ? file_resize(c, number, inode, 0) : 0;
	if (code == 0)
		code = content_write(c, number, offset, q->data.data, q->data.len);
	if (code)
		return code;
	if (q->data.len > 0 && offset + q->data.len > inode->size)
		inode->size = offset + q->data.len;
	inode_touch_content(c, inode);
	return inode_put(c, number, inode);
}

void file_write(struct context *c, const Coordfs__Write *q, struct reply *r)
{
	Coordfs__Inode *inode;
	uint64_t number = inode_real(c, q->inode);
	r->code = inode_get(c, number, &inode);
	if (r->code)
		return;
	uint64_t offset = !q->append ? q->offset : q->truncate ? 0 : inode->size;
	if (write_check(inode, q, offset, r) == 0)
		r->code = write_apply(c, number, inode, q, offset);
	if (r->code == 0) {
		r->value = (int64_t)offset;
		r->size = inode->size;
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	}
	record_free(inode);
}

/* ---- reading ---- */

static int read_chunks(struct view v, uint64_t inode, uint64_t offset, size_t size, uint8_t *buffer)
{
	while (size > 0) {
		struct chunk chunk;
		size_t at = offset % FILE_CHUNK_BYTES, n = FILE_CHUNK_BYTES - at;
		int code = chunk_get(v.store, inode, offset / FILE_CHUNK_BYTES, &chunk);
		if (code)
			return code;
		if (n > size)
			n = size;
		size_t have = at >= chunk.size ? 0 : chunk.size - at;
		if (have > n)
			have = n;
		memcpy(buffer, chunk.data + at, have);
		memset(buffer + have, 0, n - have);
		offset += n;
		buffer += n;
		size -= n;
	}
	return 0;
}

int view_read(struct view v, uint64_t inode, uint64_t offset, size_t size, void *buffer, size_t *got)
{
	struct attr a;
	int code = view_attr(v, inode, &a);
	*got = 0;
	if (code)
		return code;
	if (a.kind != KIND_FILE)
		return ERR_INVALID;
	if (offset >= a.size)
		return 0;
	if (size > a.size - offset)
		size = (size_t)(a.size - offset);
	*got = size;
	return read_chunks(v, inode, offset, size, buffer);
}
