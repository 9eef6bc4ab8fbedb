/* The applied state as tdb databases in heap memory (TDB_INTERNAL), one for each kind of record, which is a key's first
 * byte.
 *
 * Why tdb: records are packed into one growing area, so that a million small ones cost little more than their bytes,
 * and a forked child sees all of them at one moment, for an image.
 *
 * Why one for each kind: tdb's free list is one list, searched from its head. Where records that grow (a directory's
 * pages) mix with small ones, the small ones cut up what the growing leave behind, and the list fills with crumbs: a
 * create cost 160 µs at 100,000 files and rising, against 15 µs and steady when each kind has its own area, where a
 * record that goes leaves a hole that the next fits.
 *
 * What else to know of it:
 * - Offsets are 32 bits: each kind ends at 4 GiB. We refuse a little earlier with ERR_NO_SPACE, before tdb has touched
 *   the old value. (The machine's own limit, LIMIT_STATE_BYTES, is met first.)
 * - To replace a value by a longer one, tdb deletes the old record, then allocates. Should malloc fail just then,
 *   ERR_NO_MEMORY comes back and the old value is gone: the machine must be built anew from image and log, as
 *   machine_apply's negative result says anyway.
 * - The number of hash chains is fixed at the start: 1 MiB for each kind, touched as they are used; a million records
 *   of a kind are chains of four. */
#include "store/store_tdb.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tdb.h>
#include <xxhash.h>

#include "base/error.h"

#define KINDS 256
#define HASH_CHAINS 262139 /* a prime */
#define MAP_BYTES_MAX (UINT32_MAX - (256u << 20))

struct store_tdb {
	struct store store;
	TDB_CONTEXT *kinds[KINDS]; /* NULL until there is a record */
};

static struct store_tdb *tdb_of(struct store *s)
{
	return (struct store_tdb *)s;
}

static TDB_CONTEXT **kind_of(struct store *s, struct bytes key)
{
	return &tdb_of(s)->kinds[key.size ? *(const uint8_t *)key.data : 0];
}

static TDB_DATA datum(struct bytes b)
{
	return (TDB_DATA){.dptr = (unsigned char *)(uintptr_t)b.data, .dsize = b.size};
}

static struct bytes bytes_of(TDB_DATA d)
{
	return (struct bytes){d.dptr, d.dsize};
}

static unsigned int hash_key(TDB_DATA *key)
{
	return (unsigned int)XXH3_64bits(key->dptr, key->dsize);
}

struct get {
	store_parse parse;
	void *ctx;
	bool found;
};

static int get_found(TDB_DATA key, TDB_DATA value, void *ctx)
{
	struct get *g = ctx;

	(void)key;
	g->found = true;
	return g->parse ? g->parse(g->ctx, bytes_of(value)) : 0;
}

static int get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	struct get g = {parse, ctx, false};
	TDB_CONTEXT *tdb = *kind_of(s, key);
	int rc = tdb ? tdb_parse_record(tdb, datum(key), get_found, &g) : 0;

	if (!g.found)
		return 0;
	return rc ? rc : 1;
}

static int put(struct store *s, struct bytes key, struct bytes value)
{
	TDB_CONTEXT **tdb = kind_of(s, key);

	if (!*tdb)
		*tdb = tdb_open_ex("state", HASH_CHAINS, TDB_INTERNAL, O_RDWR, 0600, NULL, hash_key);
	if (!*tdb)
		return ERR_NO_MEMORY;
	if (tdb_map_size(*tdb) > MAP_BYTES_MAX)
		return ERR_NO_SPACE;
	return tdb_store(*tdb, datum(key), datum(value), TDB_REPLACE) ? ERR_NO_MEMORY : 0;
}

static int del(struct store *s, struct bytes key)
{
	TDB_CONTEXT *tdb = *kind_of(s, key);

	if (tdb)
		tdb_delete(tdb, datum(key));
	return 0;
}

static const struct store_ops ops = {.get = get, .put = put, .del = del};

int store_tdb_new(struct store **out)
{
	struct store_tdb *s = calloc(1, sizeof *s);

	*out = NULL;
	if (!s)
		return ERR_NO_MEMORY;
	s->store.ops = &ops;
	*out = &s->store;
	return 0;
}

void store_tdb_free(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < KINDS; i++)
		if (tdb_of(s)->kinds[i])
			tdb_close(tdb_of(s)->kinds[i]);
	free(s);
}

struct each {
	int (*each)(void *ctx, struct bytes key, struct bytes value);
	void *ctx;
	int rc;
};

static int each_record(TDB_CONTEXT *tdb, TDB_DATA key, TDB_DATA value, void *ctx)
{
	struct each *e = ctx;

	(void)tdb;
	e->rc = e->each(e->ctx, bytes_of(key), bytes_of(value));
	return e->rc;
}

int store_tdb_each(struct store *s, int (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
	struct each e = {each, ctx, 0};

	for (unsigned i = 0; i < KINDS && !e.rc; i++) {
		TDB_CONTEXT *tdb = tdb_of(s)->kinds[i];

		if (tdb && tdb_traverse_read(tdb, each_record, &e) < 0 && !e.rc)
			return ERR_NO_MEMORY;
	}
	return e.rc;
}
