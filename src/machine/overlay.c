#include "machine/overlay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"

struct change {
	UT_hash_handle hh;
	bool present;
	uint8_t *value;
	size_t size;
	size_t key_size;
	uint8_t key[];
};
struct overlay {
	struct store store;
	struct store *below;
	struct change *changes;
	size_t bytes;
};

static struct change *change_find(struct overlay *o, struct bytes key)
{
	struct change *c;
	HASH_FIND(hh, o->changes, key.data, key.size, c);
	return c;
}

static struct change *change_make(struct overlay *o, struct bytes key)
{
	struct change *c = change_find(o, key);
	if (c || !(c = calloc(1, sizeof *c + key.size)))
		return c;
	c->key_size = key.size;
	memcpy(c->key, key.data, key.size);
	HASH_ADD_KEYPTR(hh, o->changes, c->key, c->key_size, c);
	if (!hash_has(c)) {
		free(c);
		return NULL;
	}
	o->bytes += sizeof *c + key.size;
	return c;
}

static void change_set(struct overlay *o, struct change *c, bool present, uint8_t *value, size_t size)
{
	o->bytes = o->bytes - c->size + size;
	free(c->value);
	c->value = value;
	c->size = size;
	c->present = present;
}

static void overlay_clear(struct overlay *o)
{
	struct change *c, *next;
	HASH_ITER(hh, o->changes, c, next)
	{
		HASH_DEL(o->changes, c);
		free(c->value);
		free(c);
	}
	o->bytes = 0;
}

static int overlay_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	struct overlay *o = (struct overlay *)s;
	struct change *c = change_find(o, key);
	if (!c)
		return store_get(o->below, key, parse, ctx);
	if (!c->present)
		return 0;
	int code = parse ? parse(ctx, (struct bytes){c->value, c->size}) : 0;
	return code < 0 ? code : 1;
}

static int overlay_put(struct store *s, struct bytes key, struct bytes value)
{
	struct overlay *o = (struct overlay *)s;
	uint8_t *copy = malloc(value.size ? value.size : 1);
	struct change *c = copy ? change_make(o, key) : NULL;
	if (!c) {
		free(copy);
		return ERR_NO_MEMORY;
	}
	if (value.size > 0)
		memcpy(copy, value.data, value.size);
	change_set(o, c, true, copy, value.size);
	return 0;
}

static int overlay_del(struct store *s, struct bytes key)
{
	struct overlay *o = (struct overlay *)s;
	struct change *c = change_make(o, key);
	if (!c)
		return ERR_NO_MEMORY;
	change_set(o, c, false, NULL, 0);
	return 0;
}

static const struct store_ops overlay_ops = {overlay_get, overlay_put, overlay_del};

struct overlay *overlay_new(struct store *below)
{
	struct overlay *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->store.ops = &overlay_ops;
	o->below = below;
	return o;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	overlay_clear(o);
	free(o);
}

struct store *overlay_store(struct overlay *o)
{
	return &o->store;
}

int overlay_each(struct overlay *o, struct store *to)
{
	struct change *c, *next;
	HASH_ITER(hh, o->changes, c, next)
	{
		struct bytes key = {c->key, c->key_size};
		int code = c->present ? store_put(to, key, (struct bytes){c->value, c->size}) : store_del(to, key);
		if (code < 0)
			return code;
	}
	return 0;
}

int overlay_flush(struct overlay *o)
{
	int code = overlay_each(o, o->below);
	if (code == 0)
		overlay_clear(o);
	return code;
}

size_t overlay_bytes(const struct overlay *o)
{
	return o->bytes;
}
