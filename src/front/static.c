/* A table of names, each with its parent and, for a file, the function that prints it. The directories and files of
 * members come from members.c, in slots of their own. */

#include "front/static.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info.h"
#include "front/transactions.h"
#include "front/virtual.h"
#include "front/votes.h"

static const struct {
	enum static_id parent;
	const char *name;
	mode_t mode;
	generate print;
} table[STATIC_IDS] = {
	[STATIC_ROOT] = {0, "", S_IFDIR | 0555, NULL},
	[STATIC_README] = {STATIC_ROOT, "README", S_IFREG | 0444, readme_print},
	[STATIC_TRANSACTIONS] = {STATIC_ROOT, "transactions", S_IFDIR | 01777, NULL},
	[STATIC_VOTES] = {STATIC_ROOT, "votes", S_IFDIR | 01777, NULL},
	[STATIC_CLUSTER] = {STATIC_ROOT, "cluster", S_IFDIR | 0555, NULL},
	[STATIC_STATUS] = {STATIC_CLUSTER, "status", S_IFREG | 0444, status_print},
	[STATIC_SELF] = {STATIC_CLUSTER, "self", S_IFREG | 0444, self_print},
	[STATIC_LEADER] = {STATIC_CLUSTER, "leader", S_IFREG | 0644, leader_print},
	[STATIC_LOCKS] = {STATIC_CLUSTER, "locks", S_IFREG | 0444, status_print_locks},
	[STATIC_METRICS] = {STATIC_CLUSTER, "metrics", S_IFREG | 0444, metrics_print},
	[STATIC_MEMBERS] = {STATIC_CLUSTER, "members", S_IFDIR | 0755, NULL},
	[STATIC_SNAPSHOT] = {STATIC_CLUSTER, "snapshot", S_IFREG | 0400, NULL},
};

static bool is_listed(unsigned id)
{
	return id != STATIC_SNAPSHOT;
}

bool static_is_directory(fuse_ino_t node)
{
	unsigned id = static_id(node);

	return id ? S_ISDIR(table[id].mode) : node_slot(node) == STATIC_MEMBER;
}

/* ---- finding ---- */

static fuse_ino_t find_fixed(unsigned parent, const char *name)
{
	for (unsigned id = 1; id < STATIC_IDS; id++)
		if (table[id].parent == parent && strcmp(table[id].name, name) == 0)
			return static_node(id);
	return 0;
}

fuse_ino_t static_find(struct front *f, fuse_ino_t parent, const char *name)
{
	switch (static_id(parent)) {
	case 0:
		return node_slot(parent) == STATIC_MEMBER ? member_find(parent, name) : 0;
	case STATIC_MEMBERS:
		return members_find(f, name);
	default:
		return find_fixed(static_id(parent), name);
	}
}

/* ---- attributes ---- */

static int print(struct front *f, fuse_ino_t node, FILE *out)
{
	unsigned id = static_id(node);

	if (!id)
		return member_print(f, node, out);
	return table[id].print ? table[id].print(f, node, out) : ERR_IS_DIRECTORY;
}

static unsigned links(struct front *f, fuse_ino_t node)
{
	unsigned id = static_id(node), count = 2;

	for (unsigned child = 1; id && child < STATIC_IDS; child++)
		count += table[child].parent == id && S_ISDIR(table[child].mode);
	if (id == STATIC_TRANSACTIONS)
		count += transactions_count(f);
	else if (id == STATIC_VOTES)
		count += votes_count(f);
	else if (id == STATIC_MEMBERS)
		count += members_count(f);
	return count;
}

static int mode_of(struct front *f, fuse_ino_t node, mode_t *mode)
{
	unsigned id = static_id(node);

	if (!id)
		return member_mode(f, node, mode);
	*mode = table[id].mode;
	return OK;
}

/* Owned by whoever owns the mount's root: he and root may write what can be written. */
int static_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	struct attr root;
	mode_t mode;
	int code = view_attr(front_view(f), INODE_ROOT, &root);

	if (code == OK)
		code = mode_of(f, node, &mode);
	if (code < 0)
		return code;
	*out = (struct stat){.st_ino = node, .st_mode = mode, .st_nlink = 1, .st_blksize = 4096};
	out->st_uid = root.uid;
	out->st_gid = root.gid;
	out->st_mtim.tv_sec = f->started_ns / 1000000000;
	out->st_mtim.tv_nsec = f->started_ns % 1000000000;
	out->st_atim = out->st_ctim = out->st_mtim;
	if (S_ISDIR(mode))
		out->st_nlink = links(f, node);
	else if (static_id(node) != STATIC_SNAPSHOT)
		out->st_size = (off_t)generated_size(f, node, print);
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

/* ---- operations ---- */

static void run_lookup_vote(struct front *f, struct call *c)
{
	virtual_reply_entry(c->req, votes_find(f, c->name, VOTE_SLOT_DIRECTORY));
}

static void static_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, parent, name, NULL);

	c.run = run_lookup_vote;
	if (static_id(parent) == STATIC_TRANSACTIONS)
		virtual_reply_entry(req, transactions_lookup(f, name));
	else if (static_id(parent) == STATIC_VOTES)
		call_strong(&c);
	else
		virtual_reply_entry(req, static_find(f, parent, name));
}

static void static_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct stat attr;
	int code = static_attr(f, node, &attr);

	(void)fi;
	if (code < 0) {
		reply_code(req, code);
		return;
	}
	if (static_id(node) == STATIC_SNAPSHOT) {
		attr.st_size = (off_t)backup_size(f, fuse_req_ctx(req)->pid);
		attr.st_blocks = (attr.st_size + 511) / 512;
	}
	fuse_reply_attr(req, &attr, 0);
}

static void static_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	int code = control_is_writable(node) ? generated_setattr(to_set, attr) : ERR_PERM;

	generated_reply_setattr(req, code, static_getattr, node, fi);
}

bool static_list_dots(struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	return (offset >= 1 || dir_add(d, ".", node, S_IFDIR, 1)) &&
	       (offset >= STATIC_OFFSET_DOTS || dir_add(d, "..", node, S_IFDIR, STATIC_OFFSET_DOTS));
}

static bool list_fixed(const struct static_listing *l, unsigned parent)
{
	for (unsigned id = 1; id < STATIC_IDS; id++) {
		if (table[id].parent != parent || !is_listed(id) || l->offset >= l->bias + id)
			continue;
		if (!dir_add(l->reply, table[id].name, l->as(static_node(id)), table[id].mode & S_IFMT, l->bias + id))
			return false;
	}
	return true;
}

bool static_list(struct front *f, const struct static_listing *l, fuse_ino_t parent)
{
	unsigned id = static_id(parent);

	if (!id)
		return member_list(l, parent);
	return id == STATIC_MEMBERS ? members_list(f, l) : list_fixed(l, id);
}

static fuse_ino_t as_itself(fuse_ino_t node)
{
	return node;
}

static void run_readdir(struct front *f, struct call *c)
{
	struct dir_reply d = dir_begin(c->req, c->size);
	struct static_listing l = {&d, as_itself, c->offset, STATIC_OFFSET_DOTS};

	if (static_list_dots(&d, c->node, c->offset)) {
		if (static_id(c->node) == STATIC_TRANSACTIONS)
			transactions_list(f, &d, S_IFDIR, c->offset, STATIC_OFFSET_DOTS);
		else if (static_id(c->node) == STATIC_VOTES)
			votes_list(f, &d, VOTE_SLOT_DIRECTORY, c->offset, STATIC_OFFSET_DOTS);
		else
			static_list(f, &l, c->node);
	}
	dir_end(&d);
}

static void static_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_readdir;
	if (static_id(node) == STATIC_VOTES)
		call_strong(&c);
	else
		call_here(&c);
}

static void static_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (static_id(node) == STATIC_SNAPSHOT)
		backup_open(req, node, fi);
	else if (control_is_writable(node))
		generated_open(req, node, fi);
	else
		generated_open_to_read(req, node, fi);
}

static void run_read(struct front *f, struct call *c)
{
	generated_read(f, c, print);
}

/* How the cluster is must be readable just when it is not well: nothing waits here for a majority, but the list of
 * all locks, which is replicated state. */
static void static_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_read;
	if (static_id(node) == STATIC_SNAPSHOT)
		backup_read(req, size, offset, fi);
	else if (static_id(node) == STATIC_LOCKS)
		call_strong(&c);
	else
		run_read(front_of(req), &c);
}

static void static_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
			 struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	if (control_is_writable(node))
		control_write(&c, data, print);
	else
		reply_code(req, ERR_INVALID);
}

static void static_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (static_id(node) == STATIC_SNAPSHOT)
		backup_release(req, fi);
	else
		generated_release(req, node, fi);
}

static void static_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (static_id(parent) == STATIC_TRANSACTIONS)
		transactions_mkdir(req, name);
	else if (static_id(parent) == STATIC_VOTES)
		votes_mkdir(req, name, mode);
	else
		reply_code(req, ERR_PERM);
}

static void static_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (static_id(parent) == STATIC_TRANSACTIONS)
		transactions_rmdir(req, name);
	else if (static_id(parent) == STATIC_VOTES)
		votes_rmdir(req, name);
	else if (static_id(parent) == STATIC_MEMBERS)
		control_rmdir(req, name);
	else
		reply_code(req, ERR_PERM);
}

const struct fuse_lowlevel_ops static_class_ops = {
	.lookup = static_lookup,
	.getattr = static_getattr,
	.setattr = static_setattr,
	.getxattr = generated_getxattr,
	.readdir = static_readdir,
	.open = static_open,
	.read = static_read,
	.write = static_write,
	.release = static_release,
	.mkdir = static_mkdir,
	.rmdir = static_rmdir,
};
