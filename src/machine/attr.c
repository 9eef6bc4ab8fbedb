/* Attributes: owner, mode, times, size, extended attributes. */
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "machine/internal.h"

static int size_check(const Coordfs__Inode *inode, const Coordfs__SetAttr *q, struct reply *r)
{
	if (!(q->mask & ATTR_SIZE))
		return 0;
	if (inode->kind == KIND_DIRECTORY)
		r->code = ERR_IS_DIRECTORY;
	else if (consistency_is_eventual(inode, r))
		return r->code;
	else if (inode->kind != KIND_FILE)
		refuse(r, ERR_INVALID, "its size cannot be set");
	else if (q->size > LIMIT_FILE_BYTES)
		refuse(r, ERR_TOO_BIG, "a file holds at most %u bytes", LIMIT_FILE_BYTES);
	return r->code;
}

static void times_set(const struct context *c, Coordfs__Inode *inode, const Coordfs__SetAttr *q)
{
	if (q->mask & ATTR_ATIME)
		inode->atime_ns = q->atime_ns;
	if (q->mask & ATTR_MTIME)
		inode->mtime_ns = q->mtime_ns;
	if (q->mask & ATTR_ATIME_NOW)
		inode->atime_ns = c->time_ns;
	if (q->mask & ATTR_MTIME_NOW)
		inode->mtime_ns = c->time_ns;
}

void attr_set(struct context *c, const Coordfs__SetAttr *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->inode);
	Coordfs__Inode *inode;
	if ((r->code = inode_get(c, number, &inode)))
		return;
	if (size_check(inode, q, r) == 0 && q->mask & ATTR_SIZE)
		r->code = file_resize(c, number, inode, q->size);
	if (r->code == 0) {
		if (q->mask & ATTR_SIZE)
			inode_touch_content(c, inode);
		else
			inode_touch(c, inode);
		if (q->mask & ATTR_MODE)
			inode->mode = q->mode & 07777;
		if (q->mask & ATTR_UID)
			inode->uid = q->uid;
		if (q->mask & ATTR_GID)
			inode->gid = q->gid;
		times_set(c, inode, q);
		r->size = inode->size;
		r->code = inode_put(c, number, inode);
	}
	if (r->code == 0)
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	record_free(inode);
}

/* ---- extended attributes ---- */

static int xattrs_get(struct store *s, uint64_t number, Coordfs__Xattrs **out)
{
	struct key k = key1('x', number);
	return record_get(s, &k, &coordfs__xattrs__descriptor, out);
}

static size_t xattr_find(const Coordfs__Xattrs *x, const char *name)
{
	size_t i = 0;
	while (i < x->n_list && strcmp(x->list[i]->name, name) != 0)
		i++;
	return i;
}

static size_t xattrs_size(const Coordfs__Xattrs *x)
{
	size_t size = 0;
	for (size_t i = 0; i < x->n_list; i++)
		size += strlen(x->list[i]->name) + x->list[i]->value.len;
	return size;
}

static int xattr_check(const Coordfs__Xattrs *x, size_t at, const Coordfs__SetXattr *q, struct reply *r)
{
	bool there = at < x->n_list;
	size_t old = there ? strlen(q->name) + x->list[at]->value.len : 0;
	if (strlen(q->name) == 0 || strlen(q->name) > LIMIT_XATTR_NAME_BYTES)
		r->code = ERR_RANGE;
	else if (!there && (q->remove || q->flags & XATTR_REPLACE))
		r->code = ERR_NO_DATA;
	else if (there && !q->remove && q->flags & XATTR_CREATE)
		r->code = ERR_EXISTS;
	else if (!q->remove && xattrs_size(x) - old + strlen(q->name) + q->value.len > LIMIT_XATTRS_BYTES)
		refuse(r, ERR_NO_SPACE, "extended attributes take at most %u bytes", LIMIT_XATTRS_BYTES);
	return r->code;
}

/* Put the list x with element `at` set, appended (at == count) or left out. */
static int xattrs_put(struct context *c, uint64_t number, const Coordfs__Xattrs *x, size_t at, const Coordfs__SetXattr *q)
{
	Coordfs__Xattrs changed = COORDFS__XATTRS__INIT;
	Coordfs__Xattr mine = COORDFS__XATTR__INIT;
	struct key k = key1('x', number);
	size_t count = 0;
	Coordfs__Xattr **list = malloc((x->n_list + 1) * sizeof *list);
	if (!list)
		return ERR_NO_MEMORY;
	mine.name = q->name;
	mine.value = q->value;
	for (size_t i = 0; i < x->n_list; i++)
		if (i != at)
			list[count++] = x->list[i];
	if (!q->remove)
		list[count++] = &mine;
	changed.list = list;
	changed.n_list = count;
	int code = count ? record_put(c->store, &k, &changed) : store_del(c->store, key_bytes(&k));
	free(list);
	return code;
}

static void xattr_apply(struct context *c, uint64_t number, Coordfs__Inode *inode, const Coordfs__SetXattr *q,
			struct reply *r)
{
	Coordfs__Xattrs none = COORDFS__XATTRS__INIT, *x;
	int found = xattrs_get(c->store, number, &x);
	const Coordfs__Xattrs *list = found > 0 ? x : &none;
	size_t at = xattr_find(list, q->name);
	r->code = found < 0 ? found : 0;
	if (r->code == 0 && xattr_check(list, at, q, r) == 0)
		r->code = xattrs_put(c, number, list, at, q);
	if (r->code == 0) {
		inode->has_xattrs = !q->remove || list->n_list > 1;
		inode_touch(c, inode);
		r->code = inode_put(c, number, inode);
	}
	record_free(x);
}

void attr_set_xattr(struct context *c, const Coordfs__SetXattr *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->inode);
	Coordfs__Inode *inode;
	if ((r->code = inode_get(c, number, &inode)))
		return;
	xattr_apply(c, number, inode, q, r);
	if (r->code == 0)
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	record_free(inode);
}

int view_xattrs(struct view v, uint64_t inode, Coordfs__Xattrs **out)
{
	int found = xattrs_get(v.store, inode, out);
	return found < 0 ? found : 0;
}
