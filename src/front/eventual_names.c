/* Names in what is eventual. What is made or removed here is so at once, whatever the other members do at this moment:
 * who makes a name that another one makes, too, makes the same thing, and who removes one removes what he knew. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "front/access.h"
#include "front/eventual.h"
#include "front/machine_class.h"
#include "front/virtual.h"

/* ---- LOOKUP ---- */

void eventual_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct front *f = front_of(req);
	struct eventual_child child;
	struct gossip_attr a;
	fuse_ino_t node = 0;
	int code = eventual_child(f, parent, name, &child);

	if (code == OK)
		code = gossip_attr(f->gossip, &child.at, &a);
	if (code == OK && !(node = eventual_node(f, &child.at, eventual_kind(a.kind))))
		code = ERR_NO_MEMORY;
	if (code < 0)
		reply_code(req, code);
	else
		virtual_reply_entry(req, node);
}

/* ---- making ---- */

/* In counters/ what is no directory is a counter. */
static int kind_to_make(struct front *f, uint64_t root, mode_t mode, enum gossip_kind *kind)
{
	struct attr a;

	*kind = GOSSIP_DIRECTORY;
	if (S_ISDIR(mode))
		return OK;
	if (view_attr(view_now(f), root, &a) < 0)
		return ERR_STALE;
	*kind = a.tree == INODE_COUNTERS ? GOSSIP_COUNTER : GOSSIP_FILE;
	return OK;
}

static struct gossip_owner owner_of(const struct call *c, const struct attr *parent, mode_t mode)
{
	const struct fuse_ctx *caller = fuse_req_ctx(c->req);
	struct gossip_owner owner = {caller->uid, caller->gid, mode & 07777};

	if (!(parent->mode & S_ISGID))
		return owner;
	owner.gid = parent->gid;
	if (S_ISDIR(mode))
		owner.mode |= S_ISGID;
	return owner;
}

static void make(struct front *f, const struct call *c, const struct attr *parent, mode_t mode)
{
	struct eventual_child child;
	struct gossip_place above;
	enum gossip_kind kind = GOSSIP_NOTHING;
	struct gossip_owner owner = owner_of(c, parent, mode);
	struct parked *p;
	int code = eventual_child(f, c->node, c->name, &child);

	if (code == OK)
		code = kind_to_make(f, child.at.root, mode, &kind);
	if (code == OK)
		code = eventual_check(f, c->node, &above);
	if (code < 0) {
		eventual_refuse(f, c, code, NULL);
		return;
	}
	p = call_keep(c);
	if (p)
		eventual_asked(p, gossip_create(f->gossip, &child.at, kind, &owner, eventual_durable, p));
}

/* Asked with a name that the kernel did not find a moment ago. there: what is behind it by now. */
static void begin(struct front *f, struct call *c, mode_t mode, void (*there)(struct front *f, struct call *c))
{
	struct eventual_child child;
	struct gossip_attr a;
	struct orphan *orphan;
	struct attr parent;
	int code = attr_now(f, c->node, &parent, &orphan);

	if (code == OK && virtual_name_reserved(c->name))
		code = ERR_PERM;
	if (code == OK)
		code = eventual_child(f, c->node, c->name, &child);
	if (code < 0)
		eventual_refuse(f, c, code, NULL);
	else if (gossip_attr(f->gossip, &child.at, &a) == OK)
		there(f, c);
	else
		make(f, c, &parent, mode);
}

static void is_there(struct front *f, struct call *c)
{
	(void)f;
	reply_code(c->req, ERR_EXISTS);
}

/* The node of a name, and its attributes. ERR_STALE: it is gone again, or the mount is. */
static int find(struct front *f, const struct call *c, struct attr *out)
{
	struct eventual_child child;
	struct gossip_attr a;
	fuse_ino_t node;

	if (!f->gossip || eventual_child(f, c->node, c->name, &child) < 0 || gossip_attr(f->gossip, &child.at, &a) < 0)
		return ERR_STALE;
	node = eventual_node(f, &child.at, eventual_kind(a.kind));
	if (!node)
		return ERR_NO_MEMORY;
	return eventual_attr(f, node, out) < 0 ? ERR_STALE : OK;
}

static void answer_entry(struct front *f, struct call *c, const struct reply *reply)
{
	struct attr a;
	int code = find(f, c, &a);

	(void)reply;
	if (code < 0)
		reply_code(c->req, code);
	else
		virtual_reply_entry(c->req, a.inode);
}

static void answer_create(struct front *f, struct call *c, const struct reply *reply)
{
	struct fuse_entry_param entry;
	struct attr a;
	int code = find(f, c, &a);

	if (code == OK && a.kind == KIND_DIRECTORY)
		code = ERR_IS_DIRECTORY;
	if (code == OK && !reply && !access_allows_open(c->req, &a, c->fi.flags))
		code = ERR_ACCESS; /* it was there already, and the kernel has not looked at it */
	if (code < 0) {
		reply_code(c->req, code);
		return;
	}
	entry_fill(&a, &entry);
	file_reply_opened(f, c, &a, &entry);
	virtual_forget(f, a.inode, 0);
}

static void open_there(struct front *f, struct call *c)
{
	answer_create(f, c, NULL);
}

void eventual_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct call c = call_of(req, parent, name, NULL);
	struct front *f = front_of(req);

	(void)rdev;
	c.answer = answer_entry;
	if (S_ISREG(mode))
		begin(f, &c, mode, is_there);
	else
		eventual_refuse(f, &c, ERR_NOT_SUPPORTED, "what is eventual holds ordinary files and directories only");
}

void eventual_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct call c = call_of(req, parent, name, NULL);

	c.answer = answer_entry;
	begin(front_of(req), &c, S_IFDIR | mode, is_there);
}

void eventual_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct call c = call_of(req, parent, name, fi);
	struct front *f = front_of(req);

	c.answer = answer_create;
	if (fi->flags & O_EXCL)
		eventual_refuse(f, &c, ERR_NOT_SUPPORTED, "who makes what is eventual is not alone: no O_EXCL (cp, set -C)");
	else
		begin(f, &c, mode, open_there);
}

void eventual_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);

	(void)target;
	eventual_refuse(front_of(req), &c, ERR_NOT_SUPPORTED, "what is eventual holds ordinary files and directories only");
}

/* ---- removing, moving ---- */

void eventual_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);
	struct front *f = front_of(req);
	struct eventual_child child;
	struct parked *p;
	int code = eventual_child(f, parent, name, &child);

	if (code < 0) {
		reply_code(req, code);
		return;
	}
	p = call_keep(&c);
	if (p)
		eventual_asked(p, gossip_remove(f->gossip, &child.at, eventual_durable, p));
}

void eventual_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		     const char *new_name, unsigned flags)
{
	struct call c = call_of(req, parent, name, NULL);

	(void)new_parent, (void)new_name, (void)flags;
	eventual_refuse(front_of(req), &c, ERR_NOT_SUPPORTED, "what is eventual is not renamed");
}

void eventual_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name)
{
	struct call c = call_of(req, node, NULL, NULL);

	(void)new_parent, (void)new_name;
	eventual_refuse(front_of(req), &c, ERR_NOT_SUPPORTED, "what is eventual has one name only");
}

/* ---- READDIR ---- */

static fuse_ino_t parent_of(struct front *f, fuse_ino_t node)
{
	char path[LIMIT_PATH_BYTES] = "";
	struct gossip_place at;
	const char *end;
	struct attr a;

	if (eventual_place(f, node, &at) < 0)
		return node;
	if (!*at.path)
		return view_attr(view_now(f), at.root, &a) == OK ? a.parent : node;
	end = strrchr(at.path, '/');
	if (!end)
		return at.root;
	memcpy(path, at.path, (size_t)(end - at.path));
	at.path = path;
	return node_make(NODE_EVENTUAL, 0, eventual_number(f, &at, KIND_DIRECTORY));
}

void eventual_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct dir_reply d = dir_begin(req, size);
	struct eventual_listing l = {.front = f, .reply = &d, .class = NODE_EVENTUAL, .shift = EVENTUAL_OFFSET_DOTS};
	int code = OK;

	(void)fi;
	if ((offset >= 1 || dir_add(&d, ".", node, S_IFDIR, 1)) &&
	    (offset >= EVENTUAL_OFFSET_DOTS || dir_add(&d, "..", parent_of(f, node), S_IFDIR, EVENTUAL_OFFSET_DOTS)))
		code = eventual_list(&l, node, (uint64_t)offset);
	if (code < 0)
		reply_code(req, code);
	else
		dir_end(&d);
}
