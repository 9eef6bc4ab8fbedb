/* Names: LOOKUP to READDIR. The kernel has checked permission (default_permissions) and knows nothing for longer
 * than one operation (timeouts 0), but two operations of one path walk are two moments: what is found gone
 * between them is answered ESTALE, on which the kernel walks once more. */

#include "front/machine_class.h"

#include <errno.h>
#include <string.h>

#include "front/access.h"
#include "front/eventual.h"
#include "front/virtual.h"

/* The root's directories are there for ever, under these numbers. */
static const double fixed_timeout_s = 3600;

void entry_fill(const struct attr *attr, struct fuse_entry_param *out)
{
	memset(out, 0, sizeof *out);
	out->ino = attr->inode;
	if (attr->inode < INODE_FIRST)
		out->entry_timeout = fixed_timeout_s;
	stat_of_attr(attr, &out->attr);
}

void entry_reply(struct front *f, fuse_req_t req, uint64_t inode)
{
	struct fuse_entry_param entry;
	struct orphan *orphan;
	struct attr attr;
	int code = attr_now(f, inode, &attr, &orphan);

	if (code < 0) {
		reply_code(req, code);
		return;
	}
	entry_fill(&attr, &entry);
	if (handles_truncating(f->handles, inode, fuse_req_ctx(req)->pid))
		entry.attr.st_size = 0;
	fuse_reply_entry(req, &entry);
}

/* ---- LOOKUP, READLINK ---- */

static void do_lookup(struct front *f, struct call *c)
{
	uint64_t inode;
	int code = view_lookup(view_now(f), c->node, bytes_of(c->name, strlen(c->name)), &inode, NULL);

	if (code < 0)
		reply_code(c->req, code);
	else if (!call_must_settle(f, c, inode))
		entry_reply(f, c->req, inode);
}

void names_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);
	fuse_ino_t node = virtual_lookup(parent, name);

	c.run = do_lookup;
	if (node)
		virtual_reply_entry(req, node);
	else if (parent == INODE_ROOT)
		call_here(&c); /* what it holds never changes: the way to what is weak needs no majority */
	else
		call_read_name(&c, parent, name);
}

static void do_readlink(struct front *f, struct call *c)
{
	struct orphan *orphan = handles_orphan(f->handles, c->node);
	size_t size = LIMIT_PATH_BYTES;
	int code = OK;

	if (orphan && orphan->attr.kind == KIND_SYMLINK)
		memcpy(f->scratch, orphan->data, size = orphan->attr.size);
	else
		code = view_target(view_now(f), c->node, f->scratch, LIMIT_PATH_BYTES, &size);
	if (code < 0) {
		reply_code(c->req, code == ERR_NOT_FOUND ? ERR_STALE : code);
		return;
	}
	f->scratch[size] = '\0';
	fuse_reply_readlink(c->req, f->scratch);
}

void names_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct call c = call_of(req, node, NULL, NULL);

	c.run = do_readlink;
	call_read(&c, node);
}

/* ---- making ---- */

static Coordfs__Create create_of(const struct call *c, mode_t mode)
{
	const struct fuse_ctx *caller = fuse_req_ctx(c->req);
	Coordfs__Create create = COORDFS__CREATE__INIT;

	create.parent = c->node;
	create.name = binary_of(c->name, strlen(c->name));
	create.mode = mode;
	create.uid = caller->uid;
	create.gid = caller->gid;
	create.exclusive = true;
	create.consistency = front_of(c->req)->config.consistency;
	return create;
}

static void propose_create(const struct call *c, Coordfs__Create *create)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = create;
	call_propose(c, &command);
}

static void answer_entry(struct front *f, struct call *c, const struct reply *reply)
{
	entry_reply(f, c->req, reply->inode);
}

void names_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct call c = call_of(req, parent, name, NULL);
	Coordfs__Create create = create_of(&c, mode);

	(void)rdev;
	c.answer = answer_entry;
	propose_create(&c, &create);
}

void names_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct call c = call_of(req, parent, name, NULL);
	Coordfs__Create create = create_of(&c, S_IFDIR | mode);

	c.answer = answer_entry;
	propose_create(&c, &create);
}

void names_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);
	Coordfs__Create create = create_of(&c, S_IFLNK | 0777);

	create.target = binary_of(target, strlen(target));
	c.answer = answer_entry;
	propose_create(&c, &create);
}

/* CREATE comes when the kernel found no such name. If another was faster, the kernel has not checked whether this
 * caller may open what is there now. */
static void answer_create(struct front *f, struct call *c, const struct reply *reply)
{
	struct fuse_entry_param entry;
	struct orphan *orphan;
	struct attr attr;
	int code = attr_now(f, reply->inode, &attr, &orphan);

	if (code == OK && attr.created != reply->revision && !access_allows_open(c->req, &attr, c->fi.flags))
		code = ERR_ACCESS;
	if (code < 0) {
		reply_code(c->req, code);
		return;
	}
	entry_fill(&attr, &entry);
	file_reply_opened(f, c, &attr, &entry);
}

void names_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct call c = call_of(req, parent, name, fi);
	Coordfs__Create create = create_of(&c, mode);

	create.exclusive = fi->flags & O_EXCL;
	c.answer = answer_create;
	propose_create(&c, &create);
}

void names_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name)
{
	struct call c = call_of(req, new_parent, new_name, NULL);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Link link = COORDFS__LINK__INIT;

	link.inode = node;
	link.parent = new_parent;
	link.name = binary_of(new_name, strlen(new_name));
	command.of_case = COORDFS__COMMAND__OF_LINK;
	command.link = &link;
	c.answer = answer_entry;
	call_propose(&c, &command);
}

/* ---- removing, moving ---- */

static void propose_remove(fuse_req_t req, fuse_ino_t parent, const char *name, bool directory)
{
	struct call c = call_of(req, parent, name, NULL);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Remove remove = COORDFS__REMOVE__INIT;

	remove.parent = parent;
	remove.name = binary_of(name, strlen(name));
	remove.directory = directory;
	command.of_case = COORDFS__COMMAND__OF_REMOVE;
	command.remove = &remove;
	call_propose(&c, &command);
}

void names_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	propose_remove(req, parent, name, false);
}

/* What an eventual directory holds the machine does not know. */
static bool is_eventual_and_full(struct front *f, uint64_t parent, const char *name)
{
	struct attr a;
	uint64_t inode;

	if (!eventual_is_named(f, parent, name, &inode) || view_attr(view_now(f), inode, &a) < 0)
		return false;
	a.entries = 0;
	eventual_fill(f, &a);
	return a.entries > 0;
}

void names_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_eventual_and_full(front_of(req), parent, name))
		reply_code(req, ERR_NOT_EMPTY);
	else
		propose_remove(req, parent, name, true);
}

void names_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		  const char *new_name, unsigned flags)
{
	struct call c = call_of(req, parent, name, NULL);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	uint64_t inode;
	Coordfs__Rename rename = COORDFS__RENAME__INIT;

	if (eventual_is_named(front_of(req), parent, name, &inode) ||
	    eventual_is_named(front_of(req), new_parent, new_name, &inode)) {
		eventual_rename(req, parent, name, new_parent, new_name, flags);
		return;
	}
	rename.parent = parent;
	rename.name = binary_of(name, strlen(name));
	rename.new_parent = new_parent;
	rename.new_name = binary_of(new_name, strlen(new_name));
	rename.flags = flags;
	command.of_case = COORDFS__COMMAND__OF_RENAME;
	command.rename = &rename;
	call_propose(&c, &command);
}

/* ---- READDIR ----
 * Offsets: 1 behind ".", 2 behind "..", then in the root its generated names, then the machine's cookies, moved
 * up by what came before. */

enum { OFFSET_DOTS = 2, OFFSET_ROOT = 32 };

static uint64_t cookie_shift(fuse_ino_t node)
{
	return node == INODE_ROOT ? OFFSET_ROOT : OFFSET_DOTS;
}

static mode_t mode_of_kind(enum inode_kind kind)
{
	return kind == KIND_DIRECTORY ? S_IFDIR : kind == KIND_SYMLINK ? S_IFLNK : S_IFREG;
}

static bool add_dots(struct dir_reply *d, const struct attr *attr, uint64_t offset)
{
	uint64_t parent = attr->inode == INODE_ROOT ? INODE_ROOT : attr->parent;

	if (offset < 1 && !dir_add(d, ".", attr->inode, S_IFDIR, 1))
		return false;
	return offset >= 2 || dir_add(d, "..", parent, S_IFDIR, 2);
}

static bool add_generated(struct dir_reply *d, uint64_t offset)
{
	uint64_t n = offset > OFFSET_DOTS ? offset - OFFSET_DOTS : 0;
	const char *name;
	fuse_ino_t node;
	mode_t type;

	for (; virtual_root_entry((unsigned)n, &name, &node, &type); n++)
		if (!dir_add(d, name, node, type, OFFSET_DOTS + n + 1))
			return false;
	return true;
}

struct listing {
	struct dir_reply *reply;
	uint64_t shift;
};

static int add_entry(void *ctx, const struct view_entry *entry)
{
	struct listing *l = ctx;
	char name[LIMIT_NAME_BYTES + 1];

	memcpy(name, entry->name.data, entry->name.size);
	name[entry->name.size] = '\0';
	return !dir_add(l->reply, name, entry->inode, mode_of_kind(entry->kind), entry->cookie + l->shift);
}

static void list(struct front *f, struct dir_reply *d, const struct attr *attr, uint64_t offset)
{
	struct listing l = {d, cookie_shift(attr->inode)};

	if (!add_dots(d, attr, offset))
		return;
	if (attr->inode == INODE_ROOT && offset < OFFSET_ROOT && !add_generated(d, offset))
		return;
	view_readdir(view_now(f), attr->inode, offset > l.shift ? offset - l.shift : 0, add_entry, &l);
}

/* A directory that was removed while it is open has no entries, not even the dots. */
static void do_readdir(struct front *f, struct call *c)
{
	struct dir_reply d = dir_begin(c->req, c->size);
	struct attr attr;
	int code = view_attr(view_now(f), c->node, &attr);

	if (code == OK && attr.kind == KIND_DIRECTORY)
		list(f, &d, &attr, c->offset);
	if (code < 0 && code != ERR_NOT_FOUND)
		reply_code(c->req, code);
	else
		dir_end(&d);
}

void names_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	c.run = do_readdir;
	if (node == INODE_ROOT)
		call_here(&c); /* it never changes: the way to cluster/status needs no majority */
	else
		call_read(&c, node);
}
