/* The table of names that are nodes: found by the node's number, and by what they say. */

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "front/dynamic.h"

struct entry {
	struct name name;
	uint64_t number;
	UT_hash_handle by_number, by_key;
	char key[]; /* t NAME, or c INODE@REVISION */
};

struct names {
	struct entry *by_number, *by_key;
	uint64_t last_number;
};

int names_new(struct names **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? OK : ERR_NO_MEMORY;
}

static void entry_free(struct names *names, struct entry *e)
{
	HASH_DELETE(by_number, names->by_number, e);
	HASH_DELETE(by_key, names->by_key, e);
	free(e);
}

void names_free(struct names *names)
{
	struct entry *e, *next;

	if (!names)
		return;
	HASH_ITER (by_number, names->by_number, e, next)
		entry_free(names, e);
	free(names);
}

static struct entry *entry_of(struct front *f, fuse_ino_t node)
{
	uint64_t number = node_inode(node);
	struct entry *e = NULL;

	if (node_slot(node) == DYNAMIC_NAME)
		HASH_FIND(by_number, f->names->by_number, &number, sizeof number, e);
	return e;
}

struct name *names_find(struct front *f, fuse_ino_t node)
{
	struct entry *e = entry_of(f, node);

	return e ? &e->name : NULL;
}

#define KEY_BYTES (LIMIT_NAME_BYTES + 2)

static size_t key_of(const struct name *n, char key[static KEY_BYTES])
{
	int size = n->is_cas ? snprintf(key, KEY_BYTES, "c%llu@%llu", (unsigned long long)n->inode,
					(unsigned long long)n->revision) :
			       snprintf(key, KEY_BYTES, "t%s", n->text);

	return (size_t)size < KEY_BYTES ? (size_t)size : KEY_BYTES - 1;
}

static struct entry *add(struct names *names, const struct name *want, const char *key, size_t size)
{
	struct entry *e = calloc(1, sizeof *e + size + 1);

	if (!e)
		return NULL;
	memcpy(e->key, key, size);
	e->name = *want;
	e->name.text = e->key + 1;
	e->number = ++names->last_number;
	HASH_ADD(by_number, names->by_number, number, sizeof e->number, e);
	HASH_ADD_KEYPTR(by_key, names->by_key, e->key, size, e);
	return e;
}

fuse_ino_t names_get(struct front *f, const struct name *want)
{
	char key[KEY_BYTES];
	size_t size = key_of(want, key);
	struct entry *e;

	HASH_FIND(by_key, f->names->by_key, key, size, e);
	if (!e)
		e = add(f->names, want, key, size);
	return e ? node_make(NODE_DYNAMIC, DYNAMIC_NAME, e->number) : 0;
}

void dynamic_remember(struct front *f, fuse_ino_t node)
{
	struct entry *e = entry_of(f, node);

	if (e)
		e->name.lookups++;
}

void dynamic_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	struct entry *e = entry_of(f, node);

	if (!e)
		return;
	e->name.lookups -= count < e->name.lookups ? count : e->name.lookups;
	if (e->name.lookups == 0)
		entry_free(f->names, e);
}
