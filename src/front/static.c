/* A table of names, each with its parent and, for a file, the function that prints it. With one member
 * cluster/members has one directory. */

#include "front/static.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info.h"
#include "front/transactions.h"
#include "front/virtual.h"

static const struct {
	enum static_id parent;
	const char *name; /* NULL: this member's */
	mode_t mode;
	generate print;
} table[STATIC_IDS] = {
	[STATIC_ROOT] = {0, "", S_IFDIR | 0555, NULL},
	[STATIC_README] = {STATIC_ROOT, "README", S_IFREG | 0444, readme_print},
	[STATIC_TRANSACTIONS] = {STATIC_ROOT, "transactions", S_IFDIR | 01777, NULL},
	[STATIC_CLUSTER] = {STATIC_ROOT, "cluster", S_IFDIR | 0555, NULL},
	[STATIC_STATUS] = {STATIC_CLUSTER, "status", S_IFREG | 0444, status_print},
	[STATIC_SELF] = {STATIC_CLUSTER, "self", S_IFREG | 0444, member_print_name},
	[STATIC_LEADER] = {STATIC_CLUSTER, "leader", S_IFREG | 0444, member_print_leader},
	[STATIC_LOCKS] = {STATIC_CLUSTER, "locks", S_IFREG | 0444, status_print_locks},
	[STATIC_METRICS] = {STATIC_CLUSTER, "metrics", S_IFREG | 0444, metrics_print},
	[STATIC_MEMBERS] = {STATIC_CLUSTER, "members", S_IFDIR | 0555, NULL},
	[STATIC_MEMBER] = {STATIC_MEMBERS, NULL, S_IFDIR | 0555, NULL},
	[STATIC_ADDRESS] = {STATIC_MEMBER, "address", S_IFREG | 0444, member_print_address},
	[STATIC_ROLE] = {STATIC_MEMBER, "role", S_IFREG | 0444, member_print_role},
	[STATIC_STATE] = {STATIC_MEMBER, "state", S_IFREG | 0444, member_print_state},
	[STATIC_LAG] = {STATIC_MEMBER, "lag", S_IFREG | 0444, member_print_lag},
};

const char *static_name(struct front *f, unsigned id)
{
	return table[id].name ? table[id].name : replica_member(f->replica);
}

bool static_is_directory(unsigned id)
{
	return S_ISDIR(table[id].mode);
}

unsigned static_find(struct front *f, unsigned parent, const char *name)
{
	for (unsigned id = 1; id < STATIC_IDS; id++)
		if (table[id].parent == parent && strcmp(static_name(f, id), name) == 0)
			return id;
	return 0;
}

static int print(struct front *f, fuse_ino_t node, FILE *out)
{
	generate make = table[node_inode(node)].print;

	return make ? make(f, node, out) : ERR_IS_DIRECTORY;
}

static unsigned links(struct front *f, unsigned id)
{
	unsigned count = 2;

	for (unsigned child = 1; child < STATIC_IDS; child++)
		count += table[child].parent == id && static_is_directory(child);
	return id == STATIC_TRANSACTIONS ? count + transactions_count(f) : count;
}

/* Owned by whoever owns the mount's root. */
int static_attr(struct front *f, unsigned id, struct stat *out)
{
	fuse_ino_t node = node_make(NODE_STATIC, 0, id);
	struct attr root;
	int code = view_attr(front_view(f), INODE_ROOT, &root);

	if (code < 0)
		return code;
	*out = (struct stat){.st_ino = node, .st_mode = table[id].mode, .st_nlink = 1, .st_blksize = 4096};
	out->st_uid = root.uid;
	out->st_gid = root.gid;
	out->st_mtim.tv_sec = f->started_ns / 1000000000;
	out->st_mtim.tv_nsec = f->started_ns % 1000000000;
	out->st_atim = out->st_ctim = out->st_mtim;
	if (static_is_directory(id))
		out->st_nlink = links(f, id);
	else
		out->st_size = (off_t)generated_size(f, node, print);
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

/* ---- operations ---- */

static void static_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct front *f = front_of(req);
	unsigned id;

	if (node_inode(parent) == STATIC_TRANSACTIONS) {
		virtual_reply_entry(req, transactions_lookup(f, name));
		return;
	}
	id = static_find(f, (unsigned)node_inode(parent), name);
	virtual_reply_entry(req, id ? node_make(NODE_STATIC, 0, id) : 0);
}

static void run_getattr(struct front *f, struct call *c)
{
	struct stat attr;
	int code = static_attr(f, (unsigned)node_inode(c->node), &attr);

	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_attr(c->req, &attr, 0);
}

static void static_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	run_getattr(front_of(req), &c);
}

bool static_list_dots(struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	return (offset >= 1 || dir_add(d, ".", node, S_IFDIR, 1)) &&
	       (offset >= STATIC_OFFSET_DOTS || dir_add(d, "..", node, S_IFDIR, STATIC_OFFSET_DOTS));
}

bool static_list(struct front *f, struct dir_reply *d, unsigned parent, enum node_class class, uint64_t offset,
		 uint64_t bias)
{
	unsigned slot = class == NODE_INFO ? INFO_OF_STATIC : 0;

	for (unsigned id = 1; id < STATIC_IDS; id++) {
		if (table[id].parent != parent || offset >= bias + id)
			continue;
		if (!dir_add(d, static_name(f, id), node_make(class, slot, id), table[id].mode & S_IFMT, bias + id))
			return false;
	}
	return true;
}

static void static_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct dir_reply d = dir_begin(req, size);
	unsigned id = (unsigned)node_inode(node);

	(void)fi;
	if (static_list_dots(&d, node, (uint64_t)offset)) {
		if (id == STATIC_TRANSACTIONS)
			transactions_list(f, &d, S_IFDIR, (uint64_t)offset, STATIC_OFFSET_DOTS);
		else
			static_list(f, &d, id, NODE_STATIC, (uint64_t)offset, STATIC_OFFSET_DOTS);
	}
	dir_end(&d);
}

static void run_read(struct front *f, struct call *c)
{
	generated_read(f, c, print);
}

/* Strong: what one has seen done elsewhere shows in the figures, too. */
static void static_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_read;
	call_strong(&c);
}

static void static_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)mode;
	if (node_inode(parent) == STATIC_TRANSACTIONS)
		transactions_mkdir(req, name);
	else
		reply_code(req, ERR_PERM);
}

static void static_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (node_inode(parent) == STATIC_TRANSACTIONS)
		transactions_rmdir(req, name);
	else
		reply_code(req, ERR_PERM);
}

const struct fuse_lowlevel_ops static_class_ops = {
	.lookup = static_lookup,
	.getattr = static_getattr,
	.getxattr = generated_getxattr,
	.readdir = static_readdir,
	.open = generated_open_to_read,
	.read = static_read,
	.release = generated_release,
	.mkdir = static_mkdir,
	.rmdir = static_rmdir,
};
