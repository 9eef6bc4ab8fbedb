/* Names: create, remove, rename, link. The rule of every command here: look at all that is needed, refuse, and
 * only then change; so a refusal leaves the state as it was. Permission is the front's business (the kernel's,
 * by default_permissions); what is checked here is what POSIX asks of any user. */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "machine/internal.h"

static struct bytes name_of(ProtobufCBinaryData name)
{
	return (struct bytes){name.data, name.len};
}

static bool name_is(struct bytes name, const char *text)
{
	return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static int name_check(struct bytes name, struct reply *r)
{
	if (name.size > LIMIT_NAME_BYTES)
		refuse(r, ERR_NAME_TOO_LONG, "a name has at most %u bytes", LIMIT_NAME_BYTES);
	else if (name.size == 0 || memchr(name.data, '/', name.size) || memchr(name.data, 0, name.size) ||
		 name_is(name, ".") || name_is(name, ".."))
		refuse(r, ERR_INVALID, "not a file name");
	else if (name_is(name, ".self") || name_is(name, ".cas"))
		refuse(r, ERR_PERM, "the names .self and .cas are reserved");
	return r->code;
}

/* A directory in which users may make and remove names. */
static int parent_get(struct context *c, uint64_t number, Coordfs__Inode **out, struct reply *r)
{
	*out = NULL;
	if (number == INODE_ROOT)
		refuse(r, ERR_PERM, "the root holds no names of users: use one of its directories");
	else if ((r->code = inode_get(c, number, out)) == 0 && (*out)->kind != KIND_DIRECTORY)
		r->code = ERR_NOT_DIRECTORY;
	else if (r->code == 0)
		consistency_is_eventual(*out, r);
	return r->code;
}

static void told_entry(struct context *c, uint64_t parent, struct bytes name, uint64_t child)
{
	context_event(c, (struct event){.type = EVENT_ENTRY, .inode = parent, .child = child, .name = name});
}

/* ---- genesis ---- */

static int top_make(struct context *c, uint64_t number, const char *name, uint32_t mode, Coordfs__Inode *root)
{
	Coordfs__Inode top = COORDFS__INODE__INIT;
	top.kind = KIND_DIRECTORY;
	top.mode = mode;
	top.uid = root->uid;
	top.gid = root->gid;
	top.nlink = 2;
	top.tree = number;
	top.parent = INODE_ROOT;
	top.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	top.created = c->index;
	top.created_ns = top.atime_ns = c->time_ns;
	inode_touch_content(c, &top);
	c->inodes_delta++;
	Coordfs__Dirent d = COORDFS__DIRENT__INIT;
	d.inode = number;
	d.kind = KIND_DIRECTORY;
	int code = inode_put(c, number, &top);
	if (code || number == INODE_ROOT)
		return code;
	return directory_add(c, INODE_ROOT, root, (struct bytes){name, strlen(name)}, &d);
}

void namespace_genesis(struct context *c, uint32_t uid, uint32_t gid, struct reply *r)
{
	static const struct {
		uint64_t number;
		const char *name;
	} tops[] = {{INODE_LOCKS, "locks"}, {INODE_COUNTERS, "counters"}, {INODE_FILES, "files"}, {INODE_FENCES, "fences"}};
	Coordfs__Inode owner = COORDFS__INODE__INIT, *root;
	owner.uid = uid;
	owner.gid = gid;
	r->code = top_make(c, INODE_ROOT, "", 0755, &owner);
	if (r->code || (r->code = inode_get(c, INODE_ROOT, &root)))
		return;
	for (size_t i = 0; i < sizeof tops / sizeof *tops && r->code == 0; i++)
		r->code = top_make(c, tops[i].number, tops[i].name, 01777, root);
	if (r->code == 0)
		r->code = inode_put(c, INODE_ROOT, root);
	record_free(root);
}

/* ---- binding a name to its session ---- */

/* What lock-file idioms make below locks/ goes with the session. */
static bool is_bound(const struct context *c, const Coordfs__Inode *parent)
{
	return parent->tree == INODE_LOCKS && c->session != 0 && !c->staged && !c->temporaries;
}

/* session 0: the name stays. */
static int bind(struct context *c, uint64_t parent, struct bytes name, uint64_t session, Coordfs__Dirent *d)
{
	d->session = session;
	d->binding = 0;
	return session ? session_bind(c, session, parent, name, &d->binding) : 0;
}

static int unbind(struct context *c, const Coordfs__Dirent *d)
{
	if (d->session && (c->staged || c->temporaries))
		return ERR_READ_ONLY; /* a transaction changes nothing below locks/ */
	return d->session ? session_unbind(c, d->session, d->binding) : 0;
}

/* ---- create ---- */

static uint32_t kind_of(const Coordfs__Create *q, const Coordfs__Inode *parent)
{
	if (S_ISDIR(q->mode))
		return KIND_DIRECTORY;
	if (S_ISLNK(q->mode))
		return KIND_SYMLINK;
	if (!S_ISREG(q->mode))
		return 0;
	return parent->tree == INODE_COUNTERS ? KIND_COUNTER : parent->tree == INODE_FENCES ? KIND_FENCE : KIND_FILE;
}

/* May a directory come to lie in `into`: not too deep, and not in itself (number; 0: it is new)? */
static int place_check(struct context *c, uint64_t number, uint64_t into, struct reply *r)
{
	bool through = false;
	unsigned depth = 0;
	while (into > INODE_ROOT && depth <= LIMIT_DEPTH) {
		Coordfs__Inode *dir;
		through |= into == number;
		if ((r->code = inode_get(c, into, &dir)))
			return r->code = r->code == ERR_NOT_FOUND ? ERR_CORRUPT : r->code;
		into = dir->parent;
		record_free(dir);
		depth++;
	}
	if (through)
		refuse(r, ERR_INVALID, "a directory cannot move into itself");
	else if (depth >= LIMIT_DEPTH)
		refuse(r, ERR_NAME_TOO_LONG, "directories nest at most %u deep", LIMIT_DEPTH);
	return r->code;
}

static int create_check(struct context *c, const Coordfs__Create *q, uint64_t parent, uint32_t kind, struct reply *r)
{
	if (kind == 0)
		refuse(r, ERR_PERM, "only files, directories and symbolic links live here");
	else if (kind == KIND_SYMLINK && (q->target.len == 0 || q->target.len >= LIMIT_PATH_BYTES))
		refuse(r, ERR_NAME_TOO_LONG, "a link's target has 1 to %u bytes", LIMIT_PATH_BYTES - 1);
	else if (kind == KIND_DIRECTORY)
		place_check(c, 0, parent, r);
	return r->code;
}

static void inode_fill(const struct context *c, const Coordfs__Create *q, uint32_t kind, uint64_t parent_number,
		       const Coordfs__Inode *parent, Coordfs__Inode *out)
{
	bool set_gid = parent->mode & S_ISGID;
	out->kind = kind;
	consistency_inherit(parent, q->consistency, out);
	out->mode = q->mode & 07777;
	if (set_gid && kind == KIND_DIRECTORY)
		out->mode |= S_ISGID;
	out->uid = q->uid;
	out->gid = set_gid ? parent->gid : q->gid;
	out->nlink = kind == KIND_DIRECTORY ? 2 : 1;
	out->created = c->index;
	out->created_ns = out->atime_ns = c->time_ns;
	inode_touch_content(c, out);
	out->tree = parent->tree;
	out->parent = parent_number;
	out->name = q->name;
	if (kind == KIND_SYMLINK) {
		out->target = q->target;
		out->size = q->target.len;
	}
}

static int create_apply(struct context *c, const Coordfs__Create *q, uint64_t parent_number, Coordfs__Inode *parent,
			uint32_t kind, struct reply *r)
{
	Coordfs__Inode inode = COORDFS__INODE__INIT;
	Coordfs__Dirent d = COORDFS__DIRENT__INIT;
	bool bound = is_bound(c, parent) && (q->exclusive || kind != KIND_FILE);
	d.inode = c->next_inode++;
	d.kind = kind;
	int code = bind(c, parent_number, name_of(q->name), bound ? c->session : 0, &d);
	inode_fill(c, q, kind, parent_number, parent, &inode);
	if (code == 0)
		code = inode_put(c, d.inode, &inode);
	if (code == 0)
		code = directory_add(c, parent_number, parent, name_of(q->name), &d);
	if (code == 0)
		code = inode_put(c, parent_number, parent);
	c->inodes_delta++;
	r->inode = d.inode;
	if (code == 0)
		told_entry(c, parent_number, name_of(q->name), d.inode);
	return code;
}

void namespace_create(struct context *c, const Coordfs__Create *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->parent);
	Coordfs__Inode *parent = NULL;
	Coordfs__Dirent *there = NULL;
	if (name_check(name_of(q->name), r) == 0 && parent_get(c, number, &parent, r) == 0) {
		uint32_t kind = kind_of(q, parent);
		r->code = directory_find(c->store, number, name_of(q->name), &there);
		if (r->code == 0 && !q->exclusive && S_ISREG(q->mode))
			r->inode = there->inode;
		else if (r->code == 0)
			r->code = ERR_EXISTS;
		else if (r->code == ERR_NOT_FOUND) {
			r->code = 0;
			if (create_check(c, q, number, kind, r) == 0)
				r->code = create_apply(c, q, number, parent, kind, r);
		}
	}
	record_free(there);
	record_free(parent);
}

/* ---- remove ---- */

static int remove_check(const Coordfs__Remove *q, const Coordfs__Inode *inode)
{
	if (q->directory && inode->kind != KIND_DIRECTORY)
		return ERR_NOT_DIRECTORY;
	if (!q->directory && inode->kind == KIND_DIRECTORY)
		return ERR_IS_DIRECTORY;
	return q->directory && inode->entries ? ERR_NOT_EMPTY : 0;
}

static int remove_apply(struct context *c, uint64_t parent_number, Coordfs__Inode *parent, struct bytes name,
			const Coordfs__Dirent *d, Coordfs__Inode *inode)
{
	int code = unbind(c, d);
	if (code == 0)
		code = directory_remove(c, parent_number, parent, name, d);
	if (code == 0)
		code = inode_put(c, parent_number, parent);
	if (code == 0)
		code = inode_unlink(c, d->inode, inode);
	if (code == 0)
		told_entry(c, parent_number, name, 0);
	return code;
}

void namespace_remove(struct context *c, const Coordfs__Remove *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->parent);
	Coordfs__Inode *parent, *inode = NULL;
	Coordfs__Dirent *d = NULL;
	if (parent_get(c, number, &parent, r) == 0 &&
	    (r->code = directory_find(c->store, number, name_of(q->name), &d)) == 0 &&
	    (r->code = inode_get(c, d->inode, &inode)) == 0 && (r->code = remove_check(q, inode)) == 0) {
		r->inode = d->inode;
		r->code = remove_apply(c, number, parent, name_of(q->name), d, inode);
	}
	record_free(inode);
	record_free(d);
	record_free(parent);
}

/* ---- link ---- */

static int link_check(const Coordfs__Inode *inode, const Coordfs__Inode *parent, struct reply *r)
{
	if (consistency_is_eventual(inode, r))
		return r->code;
	if (inode->kind == KIND_DIRECTORY || inode->kind == KIND_COUNTER || inode->kind == KIND_FENCE)
		refuse(r, ERR_PERM, "has one name only");
	else if (inode->tree != parent->tree)
		r->code = ERR_CROSS_TREE;
	else if (inode->nlink >= LIMIT_LINKS)
		r->code = ERR_TOO_MANY_LINKS;
	return r->code;
}

/* The name under which the inode is shown from now on. */
static int name_moves(Coordfs__Inode *inode, uint64_t parent, struct bytes name)
{
	inode->parent = parent;
	return bytes_set(&inode->name, name.data, name.size);
}

static int link_apply(struct context *c, uint64_t parent_number, Coordfs__Inode *parent, struct bytes name,
		      uint64_t number, Coordfs__Inode *inode)
{
	Coordfs__Dirent d = COORDFS__DIRENT__INIT;
	d.inode = number;
	d.kind = inode->kind;
	int code = bind(c, parent_number, name, is_bound(c, parent) ? c->session : 0, &d);
	inode->nlink++;
	inode_touch(c, inode);
	if (code == 0)
		code = name_moves(inode, parent_number, name);
	if (code == 0)
		code = inode_put(c, number, inode);
	if (code == 0)
		code = directory_add(c, parent_number, parent, name, &d);
	if (code == 0)
		code = inode_put(c, parent_number, parent);
	if (code == 0)
		told_entry(c, parent_number, name, number);
	return code;
}

void namespace_link(struct context *c, const Coordfs__Link *q, struct reply *r)
{
	uint64_t parent_number = inode_real(c, q->parent), number = inode_real(c, q->inode);
	Coordfs__Inode *parent = NULL, *inode = NULL;
	Coordfs__Dirent *there = NULL;
	if (name_check(name_of(q->name), r) == 0 && parent_get(c, parent_number, &parent, r) == 0 &&
	    (r->code = inode_get(c, number, &inode)) == 0) {
		r->code = directory_find(c->store, parent_number, name_of(q->name), &there);
		r->inode = number;
		if (r->code == 0)
			r->code = ERR_EXISTS;
		else if (r->code == ERR_NOT_FOUND) {
			r->code = 0;
			if (link_check(inode, parent, r) == 0)
				r->code = link_apply(c, parent_number, parent, name_of(q->name), number, inode);
		}
	}
	record_free(there);
	record_free(inode);
	record_free(parent);
}

/* ---- rename ---- */

/* Everything that a rename looks at. to, to_inode: NULL when the new name is free. */
struct move {
	uint64_t from_number, to_number;	/* the directories */
	Coordfs__Inode *from_dir, *to_dir;	/* the same record when the directories are one */
	struct bytes from_name, to_name;
	Coordfs__Dirent *from, *to;
	Coordfs__Inode *from_inode, *to_inode;
	uint32_t flags;
};

static int move_read(struct context *c, struct move *m, struct reply *r)
{
	if (parent_get(c, m->from_number, &m->from_dir, r))
		return r->code;
	if (m->to_number == m->from_number)
		m->to_dir = m->from_dir;
	else if (parent_get(c, m->to_number, &m->to_dir, r))
		return r->code;
	r->code = directory_find(c->store, m->from_number, m->from_name, &m->from);
	if (r->code == 0)
		r->code = inode_get(c, m->from->inode, &m->from_inode);
	if (r->code)
		return r->code;
	r->code = directory_find(c->store, m->to_number, m->to_name, &m->to);
	if (r->code == ERR_NOT_FOUND)
		return r->code = 0;
	return r->code ? r->code : (r->code = inode_get(c, m->to->inode, &m->to_inode));
}

static int move_check_over(const struct move *m, struct reply *r)
{
	bool directory = m->from_inode->kind == KIND_DIRECTORY;
	if (!m->to || m->flags & RENAME_EXCHANGE)
		return 0;
	if (directory && m->to_inode->kind != KIND_DIRECTORY)
		r->code = ERR_NOT_DIRECTORY;
	else if (!directory && m->to_inode->kind == KIND_DIRECTORY)
		r->code = ERR_IS_DIRECTORY;
	else if (directory && m->to_inode->entries)
		r->code = ERR_NOT_EMPTY;
	return r->code;
}

/* To ERR_CROSS_TREE mv(1) answers by removing the target and making a new one: what a counter or a fence holds would be
 * lost, also when what comes in its place is no number. */
static int cross_check(const struct move *m, struct reply *r)
{
	bool is_number = m->to && (m->to_inode->kind == KIND_COUNTER || m->to_inode->kind == KIND_FENCE);

	r->code = ERR_CROSS_TREE;
	if (is_number)
		refuse(r, ERR_INVALID, "what is of another tree cannot replace it: write the number into it, or remove it first");
	return r->code;
}

static int move_check(struct context *c, const struct move *m, struct reply *r)
{
	if (m->from_dir->tree != m->to_dir->tree)
		return cross_check(m, r);
	if (consistency_is_eventual(m->from_inode, r) || (m->to && consistency_is_eventual(m->to_inode, r)))
		return r->code;
	if (m->to && m->flags & RENAME_NOREPLACE)
		return r->code = ERR_EXISTS;
	if (!m->to && m->flags & RENAME_EXCHANGE)
		return r->code = ERR_NOT_FOUND;
	if (m->from_inode->kind == KIND_DIRECTORY && place_check(c, m->from->inode, m->to_number, r))
		return r->code;
	if (m->flags & RENAME_EXCHANGE && m->to_inode->kind == KIND_DIRECTORY &&
	    place_check(c, m->to->inode, m->from_number, r))
		return r->code;
	return move_check_over(m, r);
}

/* The object `what` takes the name (number, name), where `old` (if any) was. */
static int move_place(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		      const Coordfs__Dirent *old, const Coordfs__Dirent *what, Coordfs__Inode *inode)
{
	int code = old ? directory_replace(c, number, dir, name, old, what) : directory_add(c, number, dir, name, what);
	inode_touch(c, inode);
	if (code == 0)
		code = name_moves(inode, number, name);
	if (code == 0)
		code = inode_put(c, what->inode, inode);
	if (code == 0)
		told_entry(c, number, name, what->inode);
	return code;
}

static int move_put_dirs(struct context *c, const struct move *m)
{
	int code = inode_put(c, m->from_number, m->from_dir);
	return code || m->to_dir == m->from_dir ? code : inode_put(c, m->to_number, m->to_dir);
}

/* The old name goes, then the new one comes. mv -n (NOREPLACE) is a lock-file idiom: it binds the name to who does it;
 * else what is bound stays with its session, whoever moves it. */
static int move_apply(struct context *c, const struct move *m)
{
	Coordfs__Dirent d = *m->from;
	uint64_t session = m->flags & RENAME_NOREPLACE && is_bound(c, m->to_dir) ? c->session : m->from->session;
	int code = unbind(c, m->from);
	if (code == 0 && m->to)
		code = unbind(c, m->to);
	if (code == 0)
		code = bind(c, m->to_number, m->to_name, session, &d);
	if (code == 0)
		code = directory_remove(c, m->from_number, m->from_dir, m->from_name, m->from);
	if (code == 0)
		told_entry(c, m->from_number, m->from_name, 0);
	if (code == 0)
		code = move_place(c, m->to_number, m->to_dir, m->to_name, m->to, &d, m->from_inode);
	if (code == 0)
		code = move_put_dirs(c, m);
	return code || !m->to ? code : inode_unlink(c, m->to->inode, m->to_inode);
}

static int exchange_apply(struct context *c, const struct move *m)
{
	Coordfs__Dirent a = *m->from, b = *m->to;
	int code = unbind(c, m->from);
	if (code == 0)
		code = unbind(c, m->to);
	if (code == 0)
		code = bind(c, m->to_number, m->to_name, m->from->session, &a);
	if (code == 0)
		code = bind(c, m->from_number, m->from_name, m->to->session, &b);
	if (code == 0)
		code = move_place(c, m->to_number, m->to_dir, m->to_name, m->to, &a, m->from_inode);
	if (code == 0)
		code = move_place(c, m->from_number, m->from_dir, m->from_name, m->from, &b, m->to_inode);
	return code ? code : move_put_dirs(c, m);
}

static void move_free(struct move *m)
{
	record_free(m->from);
	record_free(m->to);
	record_free(m->from_inode);
	record_free(m->to_inode);
	if (m->to_dir != m->from_dir)
		record_free(m->to_dir);
	record_free(m->from_dir);
}

void namespace_rename(struct context *c, const Coordfs__Rename *q, struct reply *r)
{
	struct move m = {.from_number = inode_real(c, q->parent), .to_number = inode_real(c, q->new_parent),
			 .from_name = name_of(q->name), .to_name = name_of(q->new_name), .flags = q->flags};
	bool known = q->flags == 0 || q->flags == RENAME_NOREPLACE || q->flags == RENAME_EXCHANGE;
	if (!known)
		refuse(r, ERR_INVALID, "unknown flags of rename");
	else if (name_check(m.to_name, r) == 0 && move_read(c, &m, r) == 0 && move_check(c, &m, r) == 0) {
		r->inode = m.from->inode;
		if (m.to && m.to->inode == m.from->inode)
			r->code = 0; /* two names of one object: rename(2) does nothing */
		else
			r->code = m.flags & RENAME_EXCHANGE ? exchange_apply(c, &m) : move_apply(c, &m);
	}
	move_free(&m);
}
