/* Multi-version reads by undo. A version is saved when its record is first changed after the newest asof
 * was made, and carries the revision up to which it was valid. To read key K as of B: the first saved version
 * with until > B, else the present one. Versions that no asof can ask for any more (until <= oldest B) go when room is
 * short or the last asof ends; when even the oldest asof's needs exceed the bound, that asof is torn. */
#include "machine/history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"

struct version {
	struct version *next; /* later */
	uint64_t until;	      /* valid for revisions below */
	bool present;
	size_t size;
	uint8_t data[];
};
struct past {
	UT_hash_handle hh;
	struct version *first, *last;
	size_t size;
	uint8_t key[];
};
struct asof {
	struct store store;
	struct history *history;
	TAILQ_ENTRY(asof) link; /* ascending revision */
	uint64_t revision;
	bool torn;
};
struct history {
	struct store store;
	struct store *base;
	struct history_figures figures;
	uint64_t revision;
	struct past *pasts;
	uint64_t bytes, bytes_max;
	TAILQ_HEAD(asof_list, asof) asofs;
};

static uint64_t record_hash(struct bytes key, struct bytes value)
{
	return XXH3_64bits_withSeed(value.data, value.size, XXH3_64bits(key.data, key.size));
}

/* ---- saving versions ---- */

static bool is_versioned(struct bytes key)
{
	return key.size > 0 && memchr("iepdxk", *(const char *)key.data, 6) != NULL;
}

static struct past *past_find(struct history *h, struct bytes key)
{
	struct past *p;
	HASH_FIND(hh, h->pasts, key.data, key.size, p);
	return p;
}

static struct past *past_make(struct history *h, struct bytes key)
{
	struct past *p = past_find(h, key);
	if (p || !(p = calloc(1, sizeof *p + key.size)))
		return p;
	p->size = key.size;
	memcpy(p->key, key.data, key.size);
	HASH_ADD_KEYPTR(hh, h->pasts, p->key, p->size, p);
	if (!hash_has(p)) {
		free(p);
		return NULL;
	}
	h->bytes += sizeof *p + key.size;
	return p;
}

static void past_drop(struct history *h, struct past *p)
{
	HASH_DEL(h->pasts, p);
	h->bytes -= sizeof *p + p->size;
	free(p);
}

static void version_drop_first(struct history *h, struct past *p)
{
	struct version *v = p->first;
	p->first = v->next;
	h->bytes -= sizeof *v + v->size;
	free(v);
}

static void forget_before(struct history *h, uint64_t oldest)
{
	struct past *p, *next;
	HASH_ITER(hh, h->pasts, p, next)
	{
		while (p->first && p->first->until <= oldest)
			version_drop_first(h, p);
		if (!p->first)
			past_drop(h, p);
	}
}

static uint64_t oldest_revision(const struct history *h)
{
	return TAILQ_EMPTY(&h->asofs) ? UINT64_MAX : TAILQ_FIRST(&h->asofs)->revision;
}

static void asof_tear(struct asof *a)
{
	a->torn = true;
	TAILQ_REMOVE(&a->history->asofs, a, link);
}

static void make_room(struct history *h)
{
	while (h->bytes > h->bytes_max && !TAILQ_EMPTY(&h->asofs)) {
		forget_before(h, oldest_revision(h));
		if (h->bytes <= h->bytes_max / 2)
			return;
		asof_tear(TAILQ_FIRST(&h->asofs));
		forget_before(h, oldest_revision(h));
	}
}

/* Memory that cannot be had costs the open transactions, not the state. */
static void tear_all(struct history *h)
{
	while (!TAILQ_EMPTY(&h->asofs))
		asof_tear(TAILQ_FIRST(&h->asofs));
	forget_before(h, UINT64_MAX);
}

static void save(struct history *h, struct bytes key, const struct bytes *old)
{
	struct asof *newest = TAILQ_LAST(&h->asofs, asof_list);
	struct past *p = past_find(h, key);
	if (p && p->last->until > newest->revision)
		return; /* nobody can ask for the version between */
	size_t size = old ? old->size : 0;
	struct version *v = malloc(sizeof *v + size);
	if (!v || !(p = past_make(h, key))) {
		free(v);
		tear_all(h);
		return;
	}
	*v = (struct version){.until = h->revision, .present = old != NULL, .size = size};
	if (size > 0)
		memcpy(v->data, old->data, size);
	if (p->first)
		p->last->next = v;
	else
		p->first = v;
	p->last = v;
	h->bytes += sizeof *v + size;
	make_room(h);
}

/* ---- the pass-through ---- */

struct change {
	struct history *history;
	struct bytes key;
};

static int leave_old(void *ctx, struct bytes old)
{
	struct change *c = ctx;
	struct history *h = c->history;
	h->figures.hash -= record_hash(c->key, old);
	h->figures.bytes -= c->key.size + old.size;
	h->figures.records--;
	if (!TAILQ_EMPTY(&h->asofs) && is_versioned(c->key))
		save(h, c->key, &old);
	return 0;
}

static int leave(struct history *h, struct bytes key)
{
	struct change c = {h, key};
	int found = store_get(h->base, key, leave_old, &c);
	if (found == 0 && !TAILQ_EMPTY(&h->asofs) && is_versioned(key))
		save(h, key, NULL);
	return found;
}

static int history_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	return store_get(((struct history *)s)->base, key, parse, ctx);
}

/* A failed put or delete leaves the figures wrong: it is told as a failure of the environment, after which the
 * machine is void, and never as a refusal. */
static int history_put(struct store *s, struct bytes key, struct bytes value)
{
	struct history *h = (struct history *)s;
	int code = leave(h, key);
	if (code >= 0)
		code = store_put(h->base, key, value);
	if (code < 0)
		return ERR_NO_MEMORY;
	h->figures.hash += record_hash(key, value);
	h->figures.bytes += key.size + value.size;
	h->figures.records++;
	return 0;
}

static int history_del(struct store *s, struct bytes key)
{
	struct history *h = (struct history *)s;
	int code = leave(h, key);
	if (code > 0)
		code = store_del(h->base, key);
	return code < 0 ? ERR_NO_MEMORY : 0;
}

static const struct store_ops history_ops = {history_get, history_put, history_del};

struct history *history_new(struct store *base)
{
	struct history *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	h->store.ops = &history_ops;
	h->base = base;
	h->bytes_max = LIMIT_HISTORY_BYTES;
	TAILQ_INIT(&h->asofs);
	return h;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	tear_all(h);
	free(h);
}

struct store *history_store(struct history *h)
{
	return &h->store;
}

const struct history_figures *history_figures(const struct history *h)
{
	return &h->figures;
}

void history_set_limit(struct history *h, uint64_t bytes)
{
	h->bytes_max = bytes;
	make_room(h);
}

void history_set_revision(struct history *h, uint64_t revision)
{
	h->revision = revision;
}

/* ---- reading the past ---- */

static int asof_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	struct asof *a = (struct asof *)s;
	struct past *p = past_find(a->history, key);
	struct version *v = p ? p->first : NULL;
	while (v && v->until <= a->revision)
		v = v->next;
	if (!v)
		return store_get(a->history->base, key, parse, ctx);
	if (!v->present)
		return 0;
	int code = parse ? parse(ctx, (struct bytes){v->data, v->size}) : 0;
	return code < 0 ? code : 1;
}

static int asof_refuse_put(struct store *s, struct bytes key, struct bytes value)
{
	(void)s, (void)key, (void)value;
	assert(!"the past does not change");
	return ERR_READ_ONLY;
}

static int asof_refuse_del(struct store *s, struct bytes key)
{
	return asof_refuse_put(s, key, (struct bytes){0});
}

static const struct store_ops asof_ops = {asof_get, asof_refuse_put, asof_refuse_del};

struct asof *asof_new(struct history *h)
{
	struct asof *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->store.ops = &asof_ops;
	a->history = h;
	a->revision = h->revision;
	TAILQ_INSERT_TAIL(&h->asofs, a, link);
	return a;
}

void asof_free(struct asof *a)
{
	if (!a)
		return;
	if (!a->torn)
		TAILQ_REMOVE(&a->history->asofs, a, link);
	if (TAILQ_EMPTY(&a->history->asofs))
		forget_before(a->history, UINT64_MAX);
	free(a);
}

struct store *asof_store(struct asof *a)
{
	return &a->store;
}

uint64_t asof_revision(const struct asof *a)
{
	return a->revision;
}

bool asof_is_torn(const struct asof *a)
{
	return a->torn;
}
