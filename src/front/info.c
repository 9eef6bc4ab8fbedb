/* The tree `.info`: it mirrors the machine's namespace, a directory for each directory and a text for every other
 * object, and `.self` for a directory's own lines. Nothing is stored: nodes are the objects' numbers in another
 * class. Owner and mode follow the object's, so that who may read or write an object may do so with its lines. */

#include "front/info.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/dynamic.h"
#include "front/eventual.h"
#include "front/info_text.h"
#include "front/static.h"
#include "front/transactions.h"
#include "front/virtual.h"
#include "front/votes.h"

static bool is_static(fuse_ino_t node)
{
	return node_class(node) == NODE_STATIC || node_slot(node) >= INFO_OF_STATIC;
}

/* The generated name that a node of ours is of. */
static fuse_ino_t static_of(fuse_ino_t node)
{
	if (node_class(node) == NODE_STATIC)
		return node;
	return node_make(NODE_STATIC, node_slot(node) - INFO_OF_STATIC, node_inode(node));
}

static fuse_ino_t info_of(fuse_ino_t node)
{
	return node_make(NODE_INFO, INFO_OF_STATIC + node_slot(node), node_inode(node));
}

/* ---- lines ---- */

static int add_lock(void *ctx, const struct lock_info *lock)
{
	lock_summary_add(ctx, lock);
	return 0;
}

static int print_lock(void *ctx, const struct lock_info *lock)
{
	info_print_lock(ctx, lock);
	return 0;
}

/* Counters and fences take locks like any regular file, but mode= and token= are for lock files. */
static void print_locks(struct front *f, const struct attr *a, FILE *out)
{
	struct machine *m = replica_machine(f->replica);
	struct lock_summary summary = {0};

	if (a->kind == KIND_DIRECTORY || a->kind == KIND_SYMLINK)
		return;
	if (a->kind == KIND_FILE) {
		machine_locks(m, a->inode, add_lock, &summary);
		info_print_lock_summary(out, &summary);
	}
	machine_locks(m, a->inode, print_lock, out);
}

static int print_object(struct front *f, uint64_t inode, FILE *out)
{
	struct attr a;
	int code = view_attr(front_view(f), inode, &a);

	if (code < 0)
		return code;
	if (eventual_is_root(f, inode))
		return eventual_print(f, inode, out);
	info_print_object(out, &a, note_last(f, inode));
	if (a.consistency == CONSISTENCY_WEAK)
		info_print_age(out, replica_age_ms(f->replica));
	print_locks(f, &a, out);
	return OK;
}

static int print_static(struct front *f, fuse_ino_t node, FILE *out)
{
	const char *error = note_last(f, node);

	fprintf(out, "type=%s\n", static_is_directory(node) ? "directory" : "generated");
	fprintf(out, "consistency=strong\n");
	info_print_text(out, "error", error ? error : "");
	if (!static_id(node))
		member_print_info(f, node, out);
	return OK;
}

int info_print(struct front *f, fuse_ino_t node, FILE *out)
{
	switch (node_class(node)) {
	case NODE_TXN:
		return transactions_print_node(f, node, out);
	case NODE_DYNAMIC:
		return dynamic_print_info(f, node, out);
	case NODE_VOTE:
		return votes_print_info(f, node, out);
	case NODE_EVENTUAL:
	case NODE_EVENTUAL_INFO:
	case NODE_EVENTUAL_SELF:
		return eventual_print(f, node, out);
	default:
		return is_static(node) ? print_static(f, static_of(node), out) :
					 print_object(f, node_inode(node), out);
	}
}

/* ---- attributes ---- */

static mode_t info_mode(fuse_ino_t node, mode_t mode)
{
	if (S_ISDIR(mode) && node_class(node) == NODE_INFO)
		return S_IFDIR | (mode & 0555);
	return S_IFREG | (S_ISLNK(mode) ? 0444 : mode & 0666);
}

static int object_attr(struct front *f, uint64_t inode, struct stat *out)
{
	struct attr a;
	int code = view_attr(front_view(f), inode, &a);

	if (code == 0)
		stat_of_attr(&a, out);
	return code;
}

int info_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	int code = is_static(node) ? static_attr(f, static_of(node), out) : object_attr(f, node_inode(node), out);

	if (code < 0)
		return code;
	out->st_ino = node;
	out->st_mode = info_mode(node, out->st_mode);
	if (S_ISREG(out->st_mode)) {
		out->st_nlink = 1;
		out->st_size = (off_t)generated_size(f, node, info_print);
	}
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

/* What happened to the object by a handle that is closed must show: release of its locks, its last truncation. */
static bool must_settle(struct front *f, const struct call *c)
{
	return !is_static(c->node) && call_must_settle(f, c, node_inode(c->node));
}

static void run_getattr(struct front *f, struct call *c)
{
	struct stat attr;
	int code;

	if (must_settle(f, c))
		return;
	code = info_attr(f, c->node, &attr);
	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_attr(c->req, &attr, 0);
}

/* What is told of generated names is known here, and must be readable without a majority: above all why a request to
 * the cluster was refused. Their ways lead through the root, which never changes. */
static void run(struct call *c, bool here)
{
	if (here)
		call_here(c);
	else
		call_read(c, node_inode(c->node));
}

static bool is_here(fuse_ino_t node)
{
	return is_static(node) || node_inode(node) == INODE_ROOT;
}

static void info_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = run_getattr;
	run(&c, is_here(node) || (node_class(node) == NODE_INFO && node_inode(node) < INODE_FIRST));
}

static void info_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	generated_reply_setattr(req, generated_setattr(to_set, attr), info_getattr, node, fi);
}

/* ---- directories ---- */

/* A directory's place among the generated names, or 0. `.info` itself mirrors the root. */
static fuse_ino_t generated_of(fuse_ino_t node)
{
	if (is_static(node))
		return static_of(node);
	return node_inode(node) == INODE_ROOT ? static_node(STATIC_ROOT) : 0;
}

static fuse_ino_t lookup_generated(struct front *f, fuse_ino_t parent, const char *name)
{
	fuse_ino_t node = generated_of(parent);

	if (node == static_node(STATIC_TRANSACTIONS))
		return dynamic_transaction(f, name);
	if (node == static_node(STATIC_VOTES))
		return votes_find(f, name, VOTE_SLOT_INFO);
	node = node ? static_find(f, node, name) : 0;
	return node ? info_of(node) : 0;
}

static fuse_ino_t lookup(struct front *f, fuse_ino_t parent, const char *name)
{
	struct bytes bytes = {name, strlen(name)};
	fuse_ino_t node;
	uint64_t inode;

	if (strcmp(name, COORDFS_NAME_SELF) == 0)
		return node_make(NODE_INFO_SELF, node_slot(parent), node_inode(parent));
	node = lookup_generated(f, parent, name);
	if (node || is_static(parent))
		return node;
	if (eventual_is_root(f, node_inode(parent)))
		return eventual_info_find(f, node_inode(parent), name);
	if (view_lookup(front_view(f), node_inode(parent), bytes, &inode, NULL) < 0)
		return 0;
	return node_make(NODE_INFO, INFO_OF_MACHINE, inode);
}

static void run_lookup(struct front *f, struct call *c)
{
	virtual_reply_entry(c->req, lookup(f, c->node, c->name));
}

static void info_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);
	bool outcome = generated_of(parent) == static_node(STATIC_TRANSACTIONS) || /* which may be another mount's */
		       generated_of(parent) == static_node(STATIC_VOTES);

	c.run = run_lookup;
	if (!outcome && (is_here(parent) || strcmp(name, COORDFS_NAME_SELF) == 0))
		call_here(&c); /* of the directory itself: reading it is another request */
	else if (outcome)
		call_strong(&c);
	else
		call_read_name(&c, node_inode(parent), name);
}

/* Offsets: the three first names, the generated ones by their id, then a directory's cookies. */
enum { OFFSET_SELF = STATIC_OFFSET_DOTS + 1, OFFSET_NAMES = OFFSET_SELF };

static bool list_self(struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	fuse_ino_t self = node_make(NODE_INFO_SELF, node_slot(node), node_inode(node));

	return static_list_dots(d, node, offset) &&
	       (offset >= OFFSET_SELF || dir_add(d, COORDFS_NAME_SELF, self, S_IFREG, OFFSET_SELF));
}

static int list(struct front *f, struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	struct mirror mirror = {d, front_view(f), NODE_INFO, INFO_OF_MACHINE, true, OFFSET_NAMES + STATIC_IDS};
	struct eventual_listing eventual = {.front = f, .reply = d, .class = NODE_EVENTUAL_INFO, .shift = OFFSET_NAMES};
	struct static_listing generated = {d, info_of, offset, OFFSET_NAMES};
	fuse_ino_t own = generated_of(node);

	if (!list_self(d, node, offset))
		return OK;
	if (own == static_node(STATIC_TRANSACTIONS)) {
		transactions_list(f, d, S_IFREG, offset, OFFSET_NAMES);
		return OK;
	}
	if (own == static_node(STATIC_VOTES)) {
		votes_list(f, d, VOTE_SLOT_INFO, offset, OFFSET_NAMES);
		return OK;
	}
	if (own && !static_list(f, &generated, own))
		return OK;
	if (!is_static(node) && eventual_is_root(f, node_inode(node)))
		return eventual_list(&eventual, node_inode(node), offset);
	return is_static(node) ? OK : mirror_list(&mirror, node_inode(node), offset);
}

static void run_readdir(struct front *f, struct call *c)
{
	struct dir_reply d = dir_begin(c->req, c->size);
	int code = list(f, &d, c->node, c->offset);

	if (code < 0)
		reply_code(c->req, code);
	else
		dir_end(&d);
}

static void info_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_readdir;
	run(&c, is_here(node));
}

/* ---- open files ---- */

static void info_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (is_static(node))
		generated_open_to_read(req, node, fi);
	else
		generated_open(req, node, fi);
}

static void run_read(struct front *f, struct call *c)
{
	if (!must_settle(f, c))
		generated_read(f, c, info_print);
}

static void info_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_read;
	run(&c, is_static(node));
}

static void info_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.node = node_inode(node); /* what it is of: a generated name's cannot be opened for that */
	info_write_lines(front_of(req), &c, (struct bytes){data, size});
}

const struct fuse_lowlevel_ops info_class_ops = {
	.lookup = info_lookup,
	.getattr = info_getattr,
	.setattr = info_setattr,
	.readdir = info_readdir,
	.open = info_open,
	.read = info_read,
	.write = info_write,
	.release = generated_release,
};
