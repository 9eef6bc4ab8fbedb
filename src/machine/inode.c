#include <stdlib.h>
#include <string.h>

#include "machine/internal.h"

uint64_t inode_real(const struct context *c, uint64_t number)
{
	if (!c->temporaries || number < INODE_TEMPORARY)
		return number;
	const struct temporaries *t = c->temporaries;
	size_t at = (size_t)(number - INODE_TEMPORARY); /* where a transaction that begins with it has put it */
	if (at < t->count && t->list[at].temporary == number)
		return t->list[at].inode;
	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].temporary == number)
			return t->list[i].inode;
	return 0; /* no object has number 0 */
}

int inode_get(struct context *c, uint64_t inode, Coordfs__Inode **out)
{
	struct key k = key1('i', inode);
	int found = record_get(c->store, &k, &coordfs__inode__descriptor, out);
	if (found > 0 && (*out)->nlink > 0)
		return 0;
	record_free(*out);
	*out = NULL;
	return found < 0 ? found : ERR_NOT_FOUND;
}

int inode_put(struct context *c, uint64_t number, const Coordfs__Inode *inode)
{
	struct key k = key1('i', number);
	return record_put(c->store, &k, inode);
}

void inode_touch(const struct context *c, Coordfs__Inode *inode)
{
	inode->modified = c->index;
	inode->ctime_ns = c->time_ns;
}

void inode_touch_content(const struct context *c, Coordfs__Inode *inode)
{
	inode_touch(c, inode);
	inode->content = c->index;
	inode->mtime_ns = c->time_ns;
}

static int gone_add(struct context *c, uint64_t number)
{
	if (c->gone_count == c->gone_capacity) {
		size_t capacity = c->gone_capacity ? 2 * c->gone_capacity : 4;
		uint64_t *gone = realloc(c->gone, capacity * sizeof *gone);
		if (!gone)
			return ERR_NO_MEMORY;
		c->gone = gone;
		c->gone_capacity = capacity;
	}
	c->gone[c->gone_count++] = number;
	return 0;
}

int inode_unlink(struct context *c, uint64_t number, Coordfs__Inode *inode)
{
	inode_touch(c, inode);
	inode->nlink = inode->kind == KIND_DIRECTORY ? 0 : inode->nlink - 1;
	if (inode->nlink == 0) {
		int code = gone_add(c, number);
		if (code)
			return code;
	}
	int code = inode_put(c, number, inode);
	if (code == 0 && inode->nlink > 0)
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	return code;
}

static int sweep_one(struct context *c, uint64_t number)
{
	Coordfs__Inode *inode;
	struct key k = key1('i', number), x = key1('x', number);
	int code = record_get(c->store, &k, &coordfs__inode__descriptor, &inode);
	if (code <= 0)
		return code;
	code = file_delete_content(c, number, inode->size);
	if (code == 0 && inode->has_xattrs)
		code = store_del(c->store, key_bytes(&x));
	if (code == 0)
		code = store_del(c->store, key_bytes(&k));
	c->inodes_delta--;
	record_free(inode);
	return code;
}

int inode_sweep(struct context *c)
{
	int code = 0;
	for (size_t i = 0; i < c->gone_count && code == 0; i++)
		code = sweep_one(c, c->gone[i]);
	c->gone_count = 0;
	return code;
}

int bytes_set(ProtobufCBinaryData *field, const void *data, size_t size)
{
	uint8_t *copy = NULL;
	if (size > 0) {
		if (!(copy = malloc(size)))
			return ERR_NO_MEMORY;
		memcpy(copy, data, size);
	}
	free(field->data);
	field->data = copy;
	field->len = size;
	return 0;
}
