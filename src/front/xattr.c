/* Extended attributes. user.coordfs.KEY are the lines of `.info`; others are stored as they are. */

#include "front/machine_class.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/virtual.h"

#define PREFIX "user.coordfs."

/* KEY of user.coordfs.KEY, or NULL. */
static const char *key_of(const char *name)
{
	return strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 ? name + sizeof PREFIX - 1 : NULL;
}

/* POSIX access lists would be kept and not obeyed: refused. */
static bool is_storable(const char *name)
{
	return strncmp(name, "system.", 7) != 0;
}

/* The two steps of getxattr(2) and listxattr(2): size 0 asks for the size. */
static void reply_value(fuse_req_t req, const void *data, size_t size, size_t room)
{
	if (room == 0)
		fuse_reply_xattr(req, size);
	else if (size > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, data, size);
}

/* ---- GETXATTR ---- */

static const Coordfs__Xattr *find(const Coordfs__Xattrs *list, const char *name)
{
	for (size_t i = 0; list && i < list->n_list; i++)
		if (strcmp(list->list[i]->name, name) == 0)
			return list->list[i];
	return NULL;
}

static void get_stored(struct front *f, struct call *c)
{
	const Coordfs__Xattr *found;
	Coordfs__Xattrs *list = NULL;
	int code = view_xattrs(view_now(f), c->node, &list);

	found = find(list, c->name);
	if (code < 0)
		reply_code(c->req, code);
	else if (!found)
		reply_code(c->req, ERR_NO_DATA);
	else
		reply_value(c->req, found->value.data, found->value.len, c->size);
	if (list)
		coordfs__xattrs__free_unpacked(list, NULL);
}

static void get_info(struct front *f, struct call *c)
{
	int size = info_value(f, c->node, key_of(c->name), f->scratch, LIMIT_XATTR_VALUE_BYTES);

	if (size < 0)
		reply_code(c->req, size);
	else
		reply_value(c->req, f->scratch, (size_t)size, c->size);
}

static void do_get(struct front *f, struct call *c)
{
	if (call_must_settle(f, c, c->node))
		return;
	if (key_of(c->name))
		get_info(f, c);
	else
		get_stored(f, c);
}

void xattr_get(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	struct call c = call_of(req, node, name, NULL);

	c.size = size;
	c.run = do_get;
	call_read(&c, node);
}

/* ---- LISTXATTR: what is stored; the lines of `.info` are not, or every copy would try to carry them along ---- */

static size_t names_of(const Coordfs__Xattrs *list, char *out)
{
	size_t at = 0, size;

	for (size_t i = 0; list && i < list->n_list; i++) {
		size = strlen(list->list[i]->name) + 1;
		if (at + size > LIMIT_FILE_BYTES)
			break;
		memcpy(out + at, list->list[i]->name, size);
		at += size;
	}
	return at;
}

static void do_list(struct front *f, struct call *c)
{
	Coordfs__Xattrs *list = NULL;
	int code = view_xattrs(view_now(f), c->node, &list);

	if (code < 0)
		reply_code(c->req, code);
	else
		reply_value(c->req, f->scratch, names_of(list, f->scratch), c->size);
	if (list)
		coordfs__xattrs__free_unpacked(list, NULL);
}

void xattr_list(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct call c = call_of(req, node, NULL, NULL);

	c.size = size;
	c.run = do_list;
	call_read(&c, node);
}

/* ---- SETXATTR, REMOVEXATTR ---- */

static void propose(fuse_req_t req, fuse_ino_t node, Coordfs__SetXattr *set)
{
	struct call c = call_of(req, node, NULL, NULL);
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	set->inode = node;
	command.of_case = COORDFS__COMMAND__OF_SET_XATTR;
	command.set_xattr = set;
	call_propose(&c, &command);
}

static char *proto_string(const char *text)
{
	return (char *)(uintptr_t)text;
}

void xattr_set(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags)
{
	Coordfs__SetXattr set = COORDFS__SET_XATTR__INIT;

	set.name = proto_string(name);
	set.value = binary_of(value, size);
	set.flags = (uint32_t)flags;
	if (key_of(name))
		info_set(req, node, key_of(name), bytes_of(value, size));
	else if (!is_storable(name))
		reply_code(req, ERR_NOT_SUPPORTED);
	else
		propose(req, node, &set);
}

void xattr_remove(fuse_req_t req, fuse_ino_t node, const char *name)
{
	Coordfs__SetXattr set = COORDFS__SET_XATTR__INIT;

	set.name = proto_string(name);
	set.remove = true;
	if (key_of(name))
		reply_code(req, ERR_NOT_SUPPORTED);
	else
		propose(req, node, &set);
}
