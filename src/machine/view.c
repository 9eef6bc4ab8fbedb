/* Reading: the same functions for the present, the past and a transaction's overlay. */
#include <stdio.h>
#include <string.h>

#include "machine/internal.h"

static void attr_fill(uint64_t number, const Coordfs__Inode *i, struct attr *out)
{
	*out = (struct attr){
		.kind = (enum inode_kind)i->kind, .mode = i->mode, .uid = i->uid, .gid = i->gid, .nlink = i->nlink,
		.inode = number, .size = i->size, .atime_ns = i->atime_ns, .mtime_ns = i->mtime_ns,
		.ctime_ns = i->ctime_ns, .created_ns = i->created_ns, .created = i->created, .modified = i->modified,
		.content = i->content, .tree = i->tree, .parent = i->parent, .entries = i->entries, .value = i->value,
		.min = i->min, .max = i->max, .has_min = i->has_min, .has_max = i->has_max, .has_xattrs = i->has_xattrs,
		.consistency = (enum consistency)i->consistency,
	};
}

static int inode_read(struct view v, uint64_t number, Coordfs__Inode **out)
{
	struct key k = key1('i', number);
	int found = record_get(v.store, &k, &coordfs__inode__descriptor, out);
	return found > 0 ? 0 : found < 0 ? found : ERR_NOT_FOUND;
}

int view_attr(struct view v, uint64_t inode, struct attr *out)
{
	Coordfs__Inode *i;
	int code = inode_read(v, inode, &i);
	if (code)
		return code;
	attr_fill(inode, i, out);
	record_free(i);
	return 0;
}

int view_lookup(struct view v, uint64_t parent, struct bytes name, uint64_t *inode, enum inode_kind *kind)
{
	Coordfs__Dirent *d;
	struct attr a;
	if (name.size > LIMIT_NAME_BYTES)
		return ERR_NAME_TOO_LONG;
	int code = directory_find(v.store, parent, name, &d);
	if (code == 0) {
		*inode = d->inode;
		if (kind)
			*kind = (enum inode_kind)d->kind;
		record_free(d);
	} else if (code == ERR_NOT_FOUND && view_attr(v, parent, &a) == 0 && a.kind != KIND_DIRECTORY) {
		code = ERR_NOT_DIRECTORY;
	}
	return code;
}

int view_target(struct view v, uint64_t inode, char *buffer, size_t size, size_t *got)
{
	Coordfs__Inode *i;
	int code = inode_read(v, inode, &i);
	if (code)
		return code;
	*got = i->target.len;
	if (i->kind != KIND_SYMLINK)
		code = ERR_INVALID;
	else if (i->target.len > size)
		code = ERR_RANGE;
	else
		memcpy(buffer, i->target.data, i->target.len);
	record_free(i);
	return code;
}

/* Puts "/name" in front of what is at *at. False when there is no room. */
static bool path_prepend(char *buffer, size_t *at, const Coordfs__Inode *i)
{
	if (i->name.len + 1 > *at)
		return false;
	*at -= i->name.len;
	memcpy(buffer + *at, i->name.data, i->name.len);
	buffer[--*at] = '/';
	return true;
}

/* 1 with the path from *at on; 0: it has none, or none that fits; negative: it cannot be read. */
static int path_build(struct view v, uint64_t inode, char *buffer, size_t *at)
{
	int fits = 1;
	for (unsigned depth = 0; inode > INODE_ROOT && fits > 0; depth++) {
		Coordfs__Inode *i;
		int code = depth > LIMIT_DEPTH + 1 ? ERR_NOT_FOUND : inode_read(v, inode, &i);
		if (code)
			return code == ERR_NOT_FOUND ? 0 : code;
		fits = i->nlink > 0 && path_prepend(buffer, at, i);
		inode = i->parent;
		record_free(i);
	}
	return fits;
}

int path_of(struct view v, uint64_t inode, char *buffer, size_t size)
{
	size_t at = size - 1;
	buffer[at] = '\0';
	int found = path_build(v, inode, buffer, &at);
	if (found <= 0 || at == size - 1)
		snprintf(buffer, size, inode == INODE_ROOT ? "." : "inode %llu", (unsigned long long)inode);
	else
		memmove(buffer, buffer + at + 1, size - at - 1);
	return found < 0 ? found : 0;
}

const char *view_path(struct view v, uint64_t inode, char *buffer, size_t size)
{
	path_of(v, inode, buffer, size);
	return buffer;
}
