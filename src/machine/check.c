/* Every invariant of the state, for tests: walks the whole tree. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/history.h"
#include "machine/internal.h"

struct checking {
	struct machine *machine;
	struct view view;
	void (*fail)(void *ctx, const char *what);
	void *ctx;
	unsigned breaches;
	uint64_t inodes;
	uint64_t parent; /* of the directory being walked */
	uint64_t tree;
	uint64_t last_cookie, names, directories;
};

static void breach(struct checking *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void breach(struct checking *k, const char *format, ...)
{
	char text[300];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	k->breaches++;
	if (k->fail)
		k->fail(k->ctx, text);
}

#define ULL(x) ((unsigned long long)(x))

static void check_file(struct checking *k, uint64_t inode, const struct attr *a)
{
	uint64_t chunks = (a->size + FILE_CHUNK_BYTES - 1) / FILE_CHUNK_BYTES;
	struct key beyond = key2('d', inode, chunks);
	if (a->size > LIMIT_FILE_BYTES)
		breach(k, "inode %llu: size %llu", ULL(inode), ULL(a->size));
	if (store_get(k->view.store, key_bytes(&beyond), NULL, NULL) != 0)
		breach(k, "inode %llu: content beyond its size", ULL(inode));
}

static void check_bounds(struct checking *k, uint64_t inode, const struct attr *a)
{
	if ((a->has_min && a->value < a->min) || (a->has_max && a->value > a->max))
		breach(k, "counter %llu: %lld is out of its bounds", ULL(inode), (long long)a->value);
}

static void check_directory(struct checking *k, uint64_t inode, const struct attr *a);

static void check_object(struct checking *k, const struct view_entry *e, const struct attr *a)
{
	if (a->kind != e->kind)
		breach(k, "inode %llu: kind %d, its entry says %d", ULL(e->inode), (int)a->kind, (int)e->kind);
	if (k->parent != INODE_ROOT && a->tree != k->tree)
		breach(k, "inode %llu: in tree %llu, not %llu", ULL(e->inode), ULL(a->tree), ULL(k->tree));
	if (a->nlink == 0 || (a->kind != KIND_DIRECTORY && a->kind != KIND_FILE && a->kind != KIND_SYMLINK && a->nlink != 1))
		breach(k, "inode %llu: %u links", ULL(e->inode), a->nlink);
	if (a->kind == KIND_FILE)
		check_file(k, e->inode, a);
	if (a->kind == KIND_COUNTER)
		check_bounds(k, e->inode, a);
	if (a->kind == KIND_DIRECTORY) {
		if (a->parent != k->parent)
			breach(k, "directory %llu: parent %llu, not %llu", ULL(e->inode), ULL(a->parent), ULL(k->parent));
		check_directory(k, e->inode, a);
	}
}

static void check_dirent(struct checking *k, const struct view_entry *e)
{
	Coordfs__Dirent *d;
	if (directory_find(k->view.store, k->parent, e->name, &d)) {
		breach(k, "directory %llu: a slot whose name is not found", ULL(k->parent));
		return;
	}
	if (d->inode != e->inode || d->slot != e->cookie || d->kind != (uint32_t)e->kind)
		breach(k, "directory %llu: slot and name disagree", ULL(k->parent));
	struct key b = key2('b', d->session, d->binding);
	if (d->session && store_get(k->view.store, key_bytes(&b), NULL, NULL) != 1)
		breach(k, "directory %llu: a bound name without its binding", ULL(k->parent));
	if (d->session && !machine_session_alive(k->machine, d->session))
		breach(k, "directory %llu: a name of a dead session", ULL(k->parent));
	record_free(d);
}

static int check_entry(void *ctx, const struct view_entry *e)
{
	struct checking *k = ctx;
	struct attr a;
	k->names++;
	if (e->cookie <= k->last_cookie)
		breach(k, "directory %llu: slots out of order", ULL(k->parent));
	k->last_cookie = e->cookie;
	k->directories += e->kind == KIND_DIRECTORY;
	check_dirent(k, e);
	if (view_attr(k->view, e->inode, &a)) {
		breach(k, "directory %llu: names inode %llu, which is not there", ULL(k->parent), ULL(e->inode));
		return 0;
	}
	if (a.parent == k->parent || a.kind == KIND_DIRECTORY)
		k->inodes += a.kind == KIND_DIRECTORY || a.nlink == 1;
	check_object(k, e, &a);
	return 0;
}

static void check_directory(struct checking *k, uint64_t inode, const struct attr *a)
{
	struct checking sub = *k;
	sub.parent = inode;
	sub.tree = a->tree;
	sub.last_cookie = sub.names = sub.directories = 0;
	if (view_readdir(k->view, inode, 0, check_entry, &sub))
		breach(&sub, "directory %llu cannot be read", ULL(inode));
	if (sub.names != a->entries)
		breach(&sub, "directory %llu: %llu names, says %llu", ULL(inode), ULL(sub.names), ULL(a->entries));
	if (a->nlink != 2 + sub.directories)
		breach(&sub, "directory %llu: %u links for %llu directories", ULL(inode), a->nlink, ULL(sub.directories));
	k->breaches = sub.breaches;
	k->inodes = sub.inodes;
}

unsigned machine_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx)
{
	struct checking k = {.machine = m, .view = machine_view(m), .fail = fail, .ctx = ctx};
	struct attr root;
	Coordfs__Meta meta;
	machine_meta(m, &meta);
	if (view_attr(k.view, INODE_ROOT, &root) == 0) {
		k.parent = INODE_ROOT;
		check_directory(&k, INODE_ROOT, &root);
		if (k.inodes + 1 > meta.inodes)
			breach(&k, "%llu inodes, says %llu", ULL(k.inodes + 1), ULL(meta.inodes));
	}
	return k.breaches + member_check(m, fail, ctx) + vote_check(m, fail, ctx) + lock_check(m, fail, ctx);
}
