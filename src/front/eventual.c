/* Places and their nodes. */

#include "front/eventual.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/eventual_table.h"
#include "front/generated.h"
#include "front/machine_class.h"

struct eventual *eventual_new(void)
{
	return calloc(1, sizeof(struct eventual));
}

static void known_free(struct eventual *e, struct known *k)
{
	HASH_DELETE(hh, e->by_number, k);
	HASH_DELETE(by_key, e->by_key, k);
	free(k);
}

void eventual_free(struct eventual *e)
{
	struct known *k, *next;

	if (!e)
		return;
	HASH_ITER (hh, e->by_number, k, next)
		known_free(e, k);
	free(e);
}

/* ---- the table ---- */

enum { KEY_PATH = sizeof(uint64_t) + 1, KEY_BYTES = KEY_PATH + LIMIT_PATH_BYTES };

/* The key of a place and kind; 0: the path is too long. */
static size_t key_of(const struct gossip_place *at, enum inode_kind kind, char key[static KEY_BYTES])
{
	size_t size = strlen(at->path);

	if (size >= LIMIT_PATH_BYTES)
		return 0;
	memcpy(key, &at->root, sizeof at->root);
	key[sizeof at->root] = (char)kind;
	memcpy(key + KEY_PATH, at->path, size);
	return KEY_PATH + size;
}

/* FNV-1a. */
static uint64_t number_of(const char *key, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3;
	return EVENTUAL_NUMBER(hash ^ hash >> NODE_CLASS_SHIFT);
}

static struct known *find(const struct eventual *e, uint64_t number)
{
	struct known *k;

	HASH_FIND(hh, e->by_number, &number, sizeof number, k);
	return k;
}

static struct known *find_key(const struct eventual *e, const char *key, size_t size)
{
	struct known *k;

	HASH_FIND(by_key, e->by_key, key, size, k);
	return k;
}

/* Two places with one number: the second one known gets the next that is free. */
static uint64_t number_free(const struct eventual *e, uint64_t number)
{
	while (number == 0 || find(e, number))
		number = EVENTUAL_NUMBER(number + 1);
	return number;
}

static struct known *known_new(struct eventual *e, uint64_t root, enum inode_kind kind, const char *key, size_t size)
{
	struct known *k = calloc(1, sizeof *k + size + 1);

	if (!k)
		return NULL;
	memcpy(k->key, key, size);
	k->key_size = size;
	k->path = k->key + KEY_PATH;
	k->root = root;
	k->kind = kind;
	k->number = number_free(e, number_of(key, size));
	HASH_ADD(hh, e->by_number, number, sizeof k->number, k);
	if (!hash_has(k)) {
		free(k);
		return NULL;
	}
	HASH_ADD_KEYPTR(by_key, e->by_key, k->key, size, k);
	if (k->by_key.tbl)
		return k;
	HASH_DELETE(hh, e->by_number, k);
	free(k);
	return NULL;
}

fuse_ino_t eventual_node(struct front *f, const struct gossip_place *at, enum inode_kind kind)
{
	char key[KEY_BYTES];
	size_t size = key_of(at, kind, key);
	struct known *k = size ? find_key(f->eventual, key, size) : NULL;

	if (!k && size)
		k = known_new(f->eventual, at->root, kind, key, size);
	return k ? node_make(NODE_EVENTUAL, 0, k->number) : 0;
}

uint64_t eventual_number(struct front *f, const struct gossip_place *at, enum inode_kind kind)
{
	char key[KEY_BYTES];
	size_t size = key_of(at, kind, key);
	const struct known *k = size ? find_key(f->eventual, key, size) : NULL;

	if (k)
		return k->number;
	return size ? number_of(key, size) : 0;
}

void eventual_remember(struct front *f, fuse_ino_t node)
{
	struct known *k = find(f->eventual, EVENTUAL_NUMBER(node));

	if (k)
		k->lookups++;
}

void eventual_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	struct known *k = find(f->eventual, EVENTUAL_NUMBER(node));

	if (!k)
		return;
	k->lookups -= count < k->lookups ? count : k->lookups;
	if (k->lookups == 0)
		known_free(f->eventual, k);
}

/* ---- places ---- */

int eventual_place(struct front *f, fuse_ino_t node, struct gossip_place *out)
{
	const struct known *k = NULL;

	if (!node_is_eventual(node)) {
		*out = (struct gossip_place){node_inode(node), ""};
		return eventual_is_root(f, node_inode(node)) ? OK : ERR_NOT_FOUND;
	}
	k = find(f->eventual, EVENTUAL_NUMBER(node));
	if (!k || (f->replica && !eventual_is_root(f, k->root))) /* gossip may have forgotten that the root is gone */
		return ERR_NOT_FOUND;
	*out = (struct gossip_place){k->root, k->path};
	return OK;
}

int eventual_child(struct front *f, fuse_ino_t parent, const char *name, struct eventual_child *out)
{
	struct gossip_place above;
	int code = eventual_place(f, parent, &above), size;

	if (code < 0)
		return code;
	size = snprintf(out->path, sizeof out->path, "%s%s%s", above.path, *above.path ? "/" : "", name);
	out->at = (struct gossip_place){above.root, out->path};
	return (size_t)size < sizeof out->path ? OK : ERR_NAME_TOO_LONG;
}

/* An open file is known: only those can be waited for. */
void front_eventual_changed(void *ctx, uint64_t root, const char *path)
{
	static const enum inode_kind kinds[] = {KIND_COUNTER, KIND_FILE};
	const struct gossip_place at = {root, path};
	struct front *f = ctx;
	char key[KEY_BYTES];
	struct known *k;
	size_t size;

	if (!*path)
		handles_changed(f->handles, root);
	for (size_t i = 0; *path && i < sizeof kinds / sizeof *kinds; i++) {
		size = key_of(&at, kinds[i], key);
		k = size ? find_key(f->eventual, key, size) : NULL;
		if (k)
			handles_changed(f->handles, node_make(NODE_EVENTUAL, 0, k->number));
	}
}

/* ---- attributes ---- */

enum inode_kind eventual_kind(enum gossip_kind kind)
{
	return kind == GOSSIP_DIRECTORY ? KIND_DIRECTORY : kind == GOSSIP_COUNTER ? KIND_COUNTER : KIND_FILE;
}

int eventual_attr(struct front *f, fuse_ino_t node, struct attr *out)
{
	const struct known *k = find(f->eventual, EVENTUAL_NUMBER(node));
	struct gossip_attr g;

	if (!k || !f->gossip || gossip_attr(f->gossip, &(struct gossip_place){k->root, k->path}, &g) < 0 ||
	    eventual_kind(g.kind) != k->kind)
		return ERR_NOT_FOUND;
	*out = (struct attr){
		.kind = k->kind,
		.mode = g.mode,
		.uid = g.uid,
		.gid = g.gid,
		.nlink = 1,
		.inode = node_make(NODE_EVENTUAL, 0, k->number),
		.size = g.size,
		.value = g.value,
		.entries = g.entries,
		.consistency = CONSISTENCY_EVENTUAL,
	};
	out->atime_ns = out->mtime_ns = out->ctime_ns = (int64_t)g.changed_ms * 1000000;
	return OK;
}

int eventual_stat(struct front *f, fuse_ino_t node, struct stat *out)
{
	struct orphan *orphan;
	struct attr a;
	int code = attr_now(f, node_make(NODE_EVENTUAL, 0, EVENTUAL_NUMBER(node)), &a, &orphan);

	if (code < 0)
		return ERR_NOT_FOUND;
	stat_of_attr(&a, out);
	out->st_ino = node;
	if (node_class(node) == NODE_EVENTUAL)
		return OK;
	if (node_class(node) == NODE_EVENTUAL_INFO && a.kind == KIND_DIRECTORY) {
		out->st_mode = S_IFDIR | (a.mode & 0555);
		return OK;
	}
	out->st_mode = S_IFREG | (a.mode & 0666);
	out->st_size = (off_t)generated_size(f, node, eventual_print);
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

/* ---- listing ---- */

static bool list_entry(void *ctx, uint64_t cookie, const char *name, const struct gossip_attr *a)
{
	const struct eventual_listing *l = ctx;
	enum inode_kind kind = eventual_kind(a->kind);
	char path[LIMIT_PATH_BYTES];
	const struct gossip_place at = {l->at.root, path};
	int size = snprintf(path, sizeof path, "%s%s%s", l->at.path, *l->at.path ? "/" : "", name);

	if ((size_t)size >= sizeof path)
		return true;
	return dir_add(l->reply, name, node_make(l->class, 0, eventual_number(l->front, &at, kind)), kind_mode(kind),
		       cookie + l->shift);
}

/* A root that nobody has changed yet is not known to gossip: it holds nothing. */
int eventual_list(struct eventual_listing *l, fuse_ino_t directory, uint64_t offset)
{
	int code = eventual_place(l->front, directory, &l->at);

	if (code == OK)
		code = gossip_list(l->front->gossip, &l->at, offset > l->shift ? offset - l->shift : 0, list_entry, l);
	return code == ERR_NOT_FOUND ? OK : code;
}
