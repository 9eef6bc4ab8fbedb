#include "gossip/tree.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <xxhash.h>

#include "base/limits.h"

#define BITS_MIN 8u

/* ---- blobs ---- */

/* The hash of what is left of the packed record without leftovers. */
static int hash_living(const struct node *n, const uint8_t *data, size_t size, uint64_t *out)
{
	struct record r;
	uint8_t *pruned = NULL;
	int rc;

	record_init(&r);
	rc = record_unpack(data, size, &r);
	if (!rc) {
		record_prune(&r, 0);
		rc = record_pack(&r, &pruned, &size);
	}
	if (!rc)
		*out = XXH3_64bits_withSeed(pruned, size, n->hash);
	free(pruned);
	record_fini(&r);
	return rc;
}

struct blob *blob_new(const struct node *n, const struct record *r)
{
	struct blob *b = NULL;
	uint8_t *data;
	size_t size;

	if (record_pack(r, &data, &size))
		return NULL;
	b = malloc(sizeof *b + size);
	if (b) {
		b->references = 1;
		b->size = (uint32_t)size;
		b->living = b->hash = XXH3_64bits_withSeed(data, size, n->hash);
		memcpy(b->data, data, size);
	}
	free(data);
	if (b && record_kind(r) != GOSSIP_NOTHING && record_has_leftovers(r) &&
	    hash_living(n, b->data, b->size, &b->living)) {
		blob_drop(b);
		b = NULL;
	}
	return b;
}

struct blob *blob_hold(struct blob *b)
{
	if (b)
		b->references++;
	return b;
}

void blob_drop(struct blob *b)
{
	if (b && --b->references == 0)
		free(b);
}

bool blob_equal(const struct blob *a, const struct blob *b)
{
	if (!a || !b)
		return a == b;
	return a->hash == b->hash && a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* ---- the table ---- */

int tree_init(struct tree *t)
{
	*t = (struct tree){.bits = BITS_MIN};
	t->chains = calloc((size_t)1 << t->bits, sizeof *t->chains);
	return t->chains ? 0 : ERR_NO_MEMORY;
}

static void free_node(struct node *n)
{
	blob_drop(n->durable);
	blob_drop(n->current);
	free(n->folder);
	free(n);
}

void tree_fini(struct tree *t)
{
	for (size_t i = 0; t->chains && i < (size_t)1 << t->bits; i++)
		for (struct node *n = t->chains[i], *next; n; n = next) {
			next = n->chain;
			free_node(n);
		}
	free(t->chains);
	*t = (struct tree){0};
}

static struct node **chain_of(const struct tree *t, uint64_t hash)
{
	return &t->chains[hash >> (64 - t->bits)];
}

/* Growing is no duty: without memory the chains get longer. */
static void grow(struct tree *t)
{
	size_t old = (size_t)1 << t->bits;
	struct node **chains = calloc(old * 2, sizeof *chains), **former = t->chains;

	if (!chains)
		return;
	t->chains = chains;
	t->bits++;
	for (size_t i = 0; i < old; i++)
		for (struct node *n = former[i], *next; n; n = next) {
			struct node **to = chain_of(t, n->hash);

			next = n->chain;
			n->chain = *to;
			*to = n;
		}
	free(former);
}

static void table_add(struct tree *t, struct node *n)
{
	struct node **chain;

	if (t->count >= (size_t)1 << t->bits)
		grow(t);
	chain = chain_of(t, n->hash);
	n->chain = *chain;
	*chain = n;
	t->count++;
}

static void table_remove(struct tree *t, struct node *n)
{
	struct node **at = chain_of(t, n->hash);

	while (*at != n)
		at = &(*at)->chain;
	*at = n->chain;
	t->count--;
}

/* ---- places ---- */

static int check_name(const char *name, size_t size)
{
	if (size > LIMIT_NAME_BYTES)
		return ERR_NAME_TOO_LONG;
	if (size == 0 || (size == 1 && name[0] == '.') || (size == 2 && memcmp(name, "..", 2) == 0))
		return ERR_INVALID;
	return 0;
}

int tree_check_place(const struct gossip_place *at)
{
	const char *name = at->path;
	unsigned depth = 0;

	if (at->root == 0)
		return ERR_INVALID;
	if (strlen(at->path) > LIMIT_PATH_BYTES)
		return ERR_NAME_TOO_LONG;
	while (at->path[0]) {
		size_t size = strcspn(name, "/");
		int rc = ++depth > LIMIT_DEPTH ? ERR_NAME_TOO_LONG : check_name(name, size);

		if (rc)
			return rc;
		if (!name[size])
			return 0;
		name += size + 1;
	}
	return 0;
}

static uint64_t hash_of(uint64_t root, const char *path, size_t size)
{
	return XXH3_64bits_withSeed(path, size, root);
}

/* Compared from its end. */
static bool is_at(const struct node *n, uint64_t root, const char *path, size_t size)
{
	for (; n->parent; n = n->parent) {
		if (size < n->name_size || memcmp(path + size - n->name_size, n->name, n->name_size) != 0)
			return false;
		size -= n->name_size;
		if (n->parent->parent && (size == 0 || path[--size] != '/'))
			return false;
	}
	return size == 0 && n->number == root;
}

static struct node *find(const struct tree *t, uint64_t root, const char *path, size_t size)
{
	uint64_t hash = hash_of(root, path, size);
	struct node *n = *chain_of(t, hash);

	while (n && (n->hash != hash || !is_at(n, root, path, size)))
		n = n->chain;
	return n;
}

struct node *tree_find(const struct tree *t, const struct gossip_place *at)
{
	return find(t, at->root, at->path, strlen(at->path));
}

struct node *tree_by_hash(const struct tree *t, uint64_t hash)
{
	struct node *n = *chain_of(t, hash);

	while (n && n->hash != hash)
		n = n->chain;
	return n;
}

/* ---- ranges ---- */

static unsigned bits_of(uint64_t range)
{
	return 63 - (unsigned)__builtin_clzll(range);
}

bool range_is_valid(uint64_t range)
{
	return range && bits_of(range) % 8 == 0 && bits_of(range) <= 56;
}

/* Does the hash begin with those bits? */
static bool is_in(uint64_t hash, uint64_t range)
{
	unsigned bits = bits_of(range);

	return bits == 0 || hash >> (64 - bits) == (range & (((uint64_t)1 << bits) - 1));
}

bool tree_each(const struct tree *t, uint64_t range, bool (*each)(void *ctx, const struct node *n), void *ctx)
{
	unsigned bits = bits_of(range);
	uint64_t prefix = range & (((uint64_t)1 << bits) - 1), first, count;

	first = bits <= t->bits ? prefix << (t->bits - bits) : prefix >> (bits - t->bits);
	count = bits <= t->bits ? (uint64_t)1 << (t->bits - bits) : 1;
	for (uint64_t i = first; i < first + count; i++)
		for (const struct node *n = t->chains[i]; n; n = n->chain)
			if (n->durable && is_in(n->hash, range) && !each(ctx, n))
				return false;
	return true;
}

struct digests {
	uint64_t *out;
	unsigned shift;
};

static bool digest_one(void *ctx, const struct node *n)
{
	const struct digests *d = ctx;

	d->out[n->hash >> d->shift & (TREE_BUCKETS - 1)] ^= n->durable->hash;
	return true;
}

void tree_digests(const struct tree *t, uint64_t range, uint64_t out[TREE_BUCKETS])
{
	struct digests d = {out, 56 - bits_of(range)};

	if (range == RANGE_ALL) {
		memcpy(out, t->buckets, sizeof t->buckets);
		return;
	}
	memset(out, 0, sizeof t->buckets);
	tree_each(t, range, digest_one, &d);
}

const struct node *node_root(const struct node *n)
{
	while (n->parent)
		n = n->parent;
	return n;
}

uint64_t node_path(const struct node *n, char out[])
{
	const struct node *at;
	size_t size = 0;

	for (at = n; at->parent; at = at->parent)
		size += at->name_size + (at->parent->parent != NULL);
	out[size] = '\0';
	for (at = n; at->parent; at = at->parent) {
		size -= at->name_size;
		memcpy(out + size, at->name, at->name_size);
		if (at->parent->parent)
			out[--size] = '/';
	}
	return at->number;
}

/* ---- nodes ---- */

static struct folder *folder_of(struct node *n)
{
	if (!n->folder)
		n->folder = calloc(1, sizeof *n->folder);
	return n->folder;
}

static struct node *make(struct tree *t, uint64_t root, const char *path, size_t size);

/* Where the last name begins; the directory above ends before the slash. */
static size_t name_at(const char *path, size_t size)
{
	while (size > 0 && path[size - 1] != '/')
		size--;
	return size;
}

static struct node *make_below(struct tree *t, uint64_t root, const char *path, size_t size)
{
	size_t begin = name_at(path, size);
	struct node *parent = make(t, root, path, begin ? begin - 1 : 0);
	struct folder *folder = parent ? folder_of(parent) : NULL;
	struct node *n = folder ? calloc(1, sizeof *n + (size - begin) + 1) : NULL;

	if (!n) {
		if (parent)
			tree_prune(t, parent);
		return NULL;
	}
	n->name_size = (uint8_t)(size - begin);
	memcpy(n->name, path + begin, size - begin);
	n->parent = parent;
	n->number = ++t->cookie;
	DL_APPEND(folder->children, n);
	return n;
}

static struct node *make_root(uint64_t root)
{
	struct node *n = calloc(1, sizeof *n + 1);

	if (n)
		n->number = root;
	return n;
}

static struct node *make(struct tree *t, uint64_t root, const char *path, size_t size)
{
	struct node *n = find(t, root, path, size);

	if (n)
		return n;
	n = size ? make_below(t, root, path, size) : make_root(root);
	if (!n)
		return NULL;
	n->hash = hash_of(root, path, size);
	table_add(t, n);
	return n;
}

struct node *tree_make(struct tree *t, const struct gossip_place *at)
{
	return make(t, at->root, at->path, strlen(at->path));
}

static bool says_something(const struct node *n)
{
	return n->durable || n->current || n->dirty || n->staged || (n->folder && n->folder->children);
}

static void take_away(struct tree *t, struct node *n)
{
	table_remove(t, n);
	t->freed++;
	if (n->parent) {
		if (n->parent->folder->cursor == n)
			n->parent->folder->cursor = NULL;
		DL_DELETE(n->parent->folder->children, n);
	}
	free_node(n);
}

void tree_prune(struct tree *t, struct node *n)
{
	while (n && !says_something(n)) {
		struct node *parent = n->parent;

		take_away(t, n);
		n = parent;
	}
}

/* ---- what is durable ---- */

enum gossip_kind node_kind(const struct node *n)
{
	return n->folder && n->folder->visible ? GOSSIP_DIRECTORY : (enum gossip_kind)n->kind;
}

/* Before anything that is counted or hashed changes, with -1, and after it, with 1. */
static void account(struct tree *t, const struct node *n, int sign)
{
	size_t one = (size_t)sign;

	if (n->visible)
		t->visible += one;
	if (!n->durable)
		return;
	t->records += one;
	t->bytes += n->durable->size * (uint64_t)(int64_t)sign;
	t->buckets[n->hash >> 56] ^= n->durable->hash;
	if (n->visible)
		t->living ^= n->durable->living;
	else
		t->buried += one;
}

static void version_remove(struct tree *t, struct node *n)
{
	if (t->unseen == n)
		t->unseen = n->newer;
	DL_DELETE2(t->by_version, n, older, newer);
	n->older = n->newer = NULL;
}

static void version_append(struct tree *t, struct node *n)
{
	n->version = ++t->version;
	DL_APPEND2(t->by_version, n, older, newer);
	if (!t->unseen)
		t->unseen = n;
}

void tree_touch(struct tree *t, struct node *n)
{
	version_remove(t, n);
	version_append(t, n);
}

/* Whether it can be seen, and so on upwards. A directory of which nothing is left but leftovers is looked at again. */
static void settle_visible(struct tree *t, struct node *n)
{
	for (; n; n = n->parent) {
		bool visible = node_kind(n) != GOSSIP_NOTHING;

		if (visible == n->visible)
			return;
		account(t, n, -1);
		n->visible = visible;
		account(t, n, 1);
		if (n->parent)
			n->parent->folder->visible += visible ? 1 : (size_t)-1;
		if (!visible && n->durable && n->leftovers)
			tree_touch(t, n);
	}
}

void node_set_current(struct node *n, struct blob *b)
{
	blob_drop(n->current);
	n->current = b;
}

static void summarize(struct node *n, const struct record *r)
{
	n->kind = (uint8_t)record_kind(r);
	n->gone = r->gone;
	n->leftovers = record_has_leftovers(r);
	n->value = n->kind == GOSSIP_COUNTER ? record_value(r) : 0;
	n->size = n->kind == GOSSIP_FILE ? r->file.size : 0;
	n->owner = r->owner;
	n->changed_ms = r->changed_ms;
}

static void exchange(struct tree *t, struct node *n, struct blob *b, const struct record *record)
{
	static const struct record nothing = {0};

	account(t, n, -1);
	blob_drop(n->durable);
	n->durable = blob_hold(b);
	summarize(n, b ? record : &nothing);
	account(t, n, 1);
}

void tree_set_durable(struct tree *t, struct node *n, struct blob *b, const struct record *record)
{
	if (n->durable)
		version_remove(t, n);
	exchange(t, n, b, record);
	version_append(t, n);
	settle_visible(t, n);
}

void tree_shrink(struct tree *t, struct node *n, struct blob *b, const struct record *record)
{
	if (n->durable && !b)
		version_remove(t, n);
	exchange(t, n, b, record);
	settle_visible(t, n);
}

/* ---- all below ---- */

struct node_list {
	struct node **nodes;
	size_t count, capacity;
};

/* Parents come before their children. */
static int list_below(struct node_list *l, struct node *n)
{
	struct node *child;

	if (!n->folder)
		return 0;
	DL_FOREACH (n->folder->children, child) {
		if (l->count == l->capacity) {
			size_t capacity = l->capacity * 2 + 64;
			struct node **nodes = realloc(l->nodes, capacity * sizeof *nodes);

			if (!nodes)
				return ERR_NO_MEMORY;
			l->nodes = nodes;
			l->capacity = capacity;
		}
		l->nodes[l->count++] = child;
		if (list_below(l, child))
			return ERR_NO_MEMORY;
	}
	return 0;
}

int tree_clear_below(struct tree *t, struct node *n)
{
	struct node_list l = {0};
	int rc = list_below(&l, n);

	while (!rc && l.count > 0) {
		struct node *last = l.nodes[--l.count];

		node_set_current(last, NULL);
		if (last->durable)
			tree_shrink(t, last, NULL, NULL);
		if (!says_something(last))
			take_away(t, last);
	}
	free(l.nodes);
	return rc;
}
