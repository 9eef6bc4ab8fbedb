/* The names below `.wait`, and their nodes. What is not there yet can be waited for, too: its directory must be. */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/eventual.h"
#include "front/parse.h"
#include "front/static.h"
#include "front/virtual.h"
#include "front/votes.h"
#include "front/wait_handle.h"

/* ---- the table ---- */

#define KEY_BYTES (sizeof(uint64_t) + WAIT_NAME_BYTES)

static size_t key_of(uint64_t directory, const char *name, char key[static KEY_BYTES])
{
	size_t size = strlen(name);

	memcpy(key, &directory, sizeof directory);
	memcpy(key + sizeof directory, name, size);
	return sizeof directory + size;
}

static void name_free(struct waits *w, struct wait_name *n)
{
	HASH_DELETE(hh, w->by_number, n);
	HASH_DELETE(by_key_hh, w->by_key, n);
	free(n);
}

void wait_names_free(struct waits *w)
{
	struct wait_name *n, *next;

	HASH_ITER (hh, w->by_number, n, next)
		name_free(w, n);
}

static struct wait_name *find(const struct waits *w, fuse_ino_t node)
{
	uint64_t number = WAIT_NUMBER(node);
	struct wait_name *n;

	HASH_FIND(hh, w->by_number, &number, sizeof number, n);
	return n;
}

struct wait_name *wait_name_find(struct front *f, fuse_ino_t node)
{
	return find(f->waits, node);
}

static bool add(struct waits *w, struct wait_name *n)
{
	n->number = ++w->last_number;
	HASH_ADD(hh, w->by_number, number, sizeof n->number, n);
	if (!hash_has(n))
		return false;
	HASH_ADD_KEYPTR(by_key_hh, w->by_key, n->key, n->key_size, n);
	if (n->by_key_hh.tbl)
		return true;
	HASH_DELETE(hh, w->by_number, n);
	return false;
}

/* want: what the name says. */
static struct wait_name *name_get(struct waits *w, const struct wait_name *want, const char *text)
{
	char key[KEY_BYTES];
	size_t size = key_of(want->directory, text, key);
	struct wait_name *n;

	HASH_FIND(by_key_hh, w->by_key, key, size, n);
	if (n)
		return n;
	n = calloc(1, sizeof *n + size);
	if (!n)
		return NULL;
	*n = *want;
	memcpy(n->key, key, size);
	n->key_size = size;
	n->base.data = n->key + sizeof want->directory;
	if (add(w, n))
		return n;
	free(n);
	return NULL;
}

void wait_remember(struct front *f, fuse_ino_t node)
{
	struct wait_name *n = node_class(node) == NODE_WAIT_FILE ? find(f->waits, node) : NULL;

	if (n)
		n->lookups++;
}

void wait_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	struct wait_name *n = node_class(node) == NODE_WAIT_FILE ? find(f->waits, node) : NULL;

	if (!n)
		return;
	n->lookups -= count < n->lookups ? count : n->lookups;
	if (n->lookups == 0)
		name_free(f->waits, n);
}

/* ---- LOOKUP ---- */

/* NAME@REVISION when digits follow the last @, else NAME. */
static int name_parse(const char *name, struct wait_name *out)
{
	struct bytes base;
	int code = parse_at_revision(bytes_of_text(name), &base, &out->since);

	if (code == ERR_RANGE)
		return code;
	out->has_since = code == OK;
	out->base = out->has_since ? base : bytes_of_text(name);
	return out->base.size > LIMIT_NAME_BYTES ? ERR_NAME_TOO_LONG : OK;
}

static bool base_is(const struct wait_name *n, const char *text)
{
	return n->base.size == strlen(text) && memcmp(n->base.data, text, n->base.size) == 0;
}

/* What the root does not hold now it never will. (Generated names do not change: `.wait` knows none.) */
static int name_check(struct front *f, struct wait_name *n, enum inode_kind *kind)
{
	struct attr a;
	uint64_t inode;
	int code = view_attr(front_view(f), n->directory, &a);

	*kind = KIND_FILE;
	if (code < 0)
		return ERR_STALE;
	if (base_is(n, COORDFS_NAME_SELF)) {
		n->base.size = 0;
		return OK;
	}
	if (base_is(n, ".") || base_is(n, "..") || base_is(n, COORDFS_NAME_CAS))
		return ERR_NOT_FOUND;
	if (eventual_is_root(f, n->directory))
		return ERR_NOT_SUPPORTED;
	code = view_lookup(front_view(f), n->directory, n->base, &inode, kind);
	return code == ERR_NOT_FOUND && n->directory != INODE_ROOT ? OK : code;
}

static int lookup(struct front *f, uint64_t directory, const char *text, fuse_ino_t *node)
{
	struct wait_name want = {.directory = directory}, *n;
	enum inode_kind kind;
	int code = name_parse(text, &want);

	if (code == OK)
		code = name_check(f, &want, &kind);
	if (code < 0)
		return code;
	if (kind == KIND_DIRECTORY && !want.has_since) {
		*node = wait_directory(wait_name_inode(f, &want));
		return OK;
	}
	n = name_get(f->waits, &want, text);
	if (!n)
		return ERR_NO_MEMORY;
	*node = node_make(NODE_WAIT_FILE, 0, n->number);
	return OK;
}

static int lookup_in_vote(struct front *f, uint64_t number, const char *text, fuse_ino_t *node)
{
	struct wait_name want = {.directory = vote_node(number, VOTE_SLOT_DIRECTORY), .vote = number}, *n;

	want.base = bytes_of_text(text);
	if (!wait_vote_phase(text, &want.until))
		return ERR_NOT_FOUND;
	n = name_get(f->waits, &want, text);
	*node = n ? node_make(NODE_WAIT_FILE, 0, n->number) : 0;
	return n ? OK : ERR_NO_MEMORY;
}

static int lookup_in(struct front *f, fuse_ino_t parent, const char *text, fuse_ino_t *node)
{
	switch (node_slot(parent)) {
	case WAIT_VOTES:
		*node = wait_vote_directory(f, text);
		return OK;
	case WAIT_VOTE:
		return lookup_in_vote(f, node_inode(parent), text, node);
	default:
		return lookup(f, node_inode(parent), text, node);
	}
}

static void run_lookup(struct front *f, struct call *c)
{
	fuse_ino_t node;
	int code = lookup_in(f, c->node, c->name, &node);

	if (code < 0)
		reply_code(c->req, code);
	else
		virtual_reply_entry(c->req, node);
}

/* Strong, so that "the next change" comes after all that was acknowledged. The root's names are there for ever. */
void wait_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);

	c.run = run_lookup;
	if (parent == wait_directory(INODE_ROOT) && strcmp(name, "votes") == 0)
		virtual_reply_entry(req, node_make(NODE_WAIT, WAIT_VOTES, STATIC_VOTES));
	else if (parent == wait_directory(INODE_ROOT))
		call_here(&c);
	else
		call_strong(&c);
}

/* ---- attributes: who may read an object may wait for it ---- */

uint64_t wait_name_inode(struct front *f, const struct wait_name *n)
{
	uint64_t inode;

	if (n->base.size == 0)
		return n->directory;
	return view_lookup(front_view(f), n->directory, n->base, &inode, NULL) == OK ? inode : 0;
}

/* Of what is not there yet: who may list the directory. */
static int attr_of_name(struct front *f, const struct wait_name *n, struct attr *a)
{
	uint64_t inode = n ? wait_name_inode(f, n) : 0;

	if (!n)
		return ERR_NOT_FOUND;
	return view_attr(front_view(f), inode ? inode : n->directory, a);
}

int wait_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	bool is_directory = node_class(node) == NODE_WAIT;
	const struct wait_name *n = is_directory ? NULL : find(f->waits, node);
	struct attr a;
	int code;

	if (n ? n->vote != 0 : node_slot(node) != WAIT_MACHINE && is_directory)
		return wait_vote_attr(f, node, n, out);
	code = is_directory ? view_attr(front_view(f), node_inode(node), &a) : attr_of_name(f, n, &a);
	if (code < 0)
		return code;
	stat_of_attr(&a, out);
	out->st_ino = node;
	out->st_mode = is_directory ? S_IFDIR | (a.mode & 0555) : S_IFREG | (a.mode & 0444);
	out->st_nlink = is_directory ? 2 : 1;
	out->st_size = 0;
	out->st_blocks = 0;
	return OK;
}
