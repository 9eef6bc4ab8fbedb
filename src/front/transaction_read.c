/* Inside a transaction: what reads. Nothing here goes to the log or waits for it: the view stands still. What is
 * looked at is guarded as INTERFACE says: contents by read, existence and kind by lookup, names by readdir; not
 * sizes and times. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/transactions.h"
#include "front/static.h"
#include "front/virtual.h"

const struct txn_name txn_names[] = {
	{"ctl", TXN_INODE_CTL, S_IFREG | 0600},	      {"status", TXN_INODE_STATUS, S_IFREG | 0400},
	{"counters", INODE_COUNTERS, S_IFDIR | 0700}, {"files", INODE_FILES, S_IFDIR | 0700},
	{"locks", INODE_LOCKS, S_IFDIR | 0700},	      {"fences", INODE_FENCES, S_IFDIR | 0700},
	{NULL, 0, 0},
};

int txn_name_index(const struct txn *t, const char *name)
{
	for (int i = 0; txn_names[i].name; i++)
		if (strcmp(txn_names[i].name, name) == 0)
			return t->removed & 1u << i ? -1 : i;
	return -1;
}

static const struct txn_name *own_name(uint64_t inode)
{
	for (const struct txn_name *n = txn_names; n->name; n++)
		if (n->inode == inode)
			return n;
	return NULL;
}

int txn_view(struct txn *t, struct view *out)
{
	txn_is_lost(t);
	if (t->inner && transaction_is_torn(t->inner)) {
		if (t->state == TXN_ACTIVE)
			txn_rollback(t, "too much was changed meanwhile: old versions are no longer kept", true, NULL);
		else if (t->state == TXN_COMMITTED)
			txn_drop_view(t);
	}
	if (!t->inner)
		return ERR_NOT_FOUND;
	*out = transaction_view(t->inner);
	return OK;
}

/* ---- attributes ---- */

/* T, ctl, status; the four directories when there is no view any more. */
static void own_attr(struct txn *t, fuse_ino_t node, mode_t mode, struct stat *out)
{
	int64_t ns = t->ended_ns ? t->ended_ns : t->begun_ns;

	*out = (struct stat){.st_ino = node, .st_mode = mode, .st_uid = t->uid, .st_gid = t->gid, .st_blksize = 4096};
	out->st_nlink = S_ISDIR(mode) ? 2 : 1;
	out->st_mtim.tv_sec = ns / 1000000000;
	out->st_mtim.tv_nsec = ns % 1000000000;
	out->st_atim = out->st_ctim = out->st_mtim;
	if (node == txn_node(t))
		out->st_nlink = 6;
	if (S_ISREG(mode))
		out->st_size = (off_t)generated_size(t->front, node, transactions_print_node);
	out->st_blocks = (out->st_size + 511) / 512;
}

static int object_attr(struct txn *t, fuse_ino_t node, struct stat *out)
{
	const struct txn_name *name = own_name(node_inode(node));
	struct view view;
	struct attr a;
	int code = txn_view(t, &view);

	if (code == OK)
		code = view_attr(view, node_inode(node), &a);
	if (code == OK) {
		stat_of_attr(&a, out);
		out->st_ino = node;
	} else if (name) {
		own_attr(t, node, name->mode, out);
		code = OK;
	}
	return code;
}

int transactions_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	struct txn *t = transactions_at(f, node);

	if (!t)
		return ERR_NOT_FOUND;
	switch (node_inode(node)) {
	case INODE_ROOT:
		own_attr(t, node, S_IFDIR | 0700, out);
		return OK;
	case TXN_INODE_CTL:
	case TXN_INODE_STATUS:
		own_attr(t, node, own_name(node_inode(node))->mode, out);
		return OK;
	default:
		return object_attr(t, node, out);
	}
}

static void txn_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat attr;
	int code = transactions_attr(front_of(req), node, &attr);

	(void)fi;
	if (code < 0)
		reply_code(req, code);
	else
		fuse_reply_attr(req, &attr, 0);
}

/* ---- names ---- */

static fuse_ino_t lookup_own(struct txn *t, const char *name)
{
	int i = txn_name_index(t, name);

	return i < 0 ? 0 : node_make(NODE_TXN, t->slot, txn_names[i].inode);
}

/* What is eventual holds nothing in the view. */
int txn_check_strong(struct view view, uint64_t inode)
{
	struct attr a;

	return view_attr(view, inode, &a) == OK && a.consistency == CONSISTENCY_EVENTUAL ? ERR_NOT_SUPPORTED : OK;
}

static int lookup(struct txn *t, uint64_t parent, const char *name, fuse_ino_t *out)
{
	struct bytes bytes = {name, strlen(name)};
	struct view view;
	uint64_t inode;
	int code = txn_view(t, &view);

	if (code == OK && txn_check_strong(view, parent) < 0)
		return ERR_NOT_SUPPORTED;
	if (code == OK)
		code = view_lookup(view, parent, bytes, &inode, NULL);
	if (t->inner && t->state == TXN_ACTIVE && transaction_saw_entry(t->inner, parent, bytes) < 0)
		return ERR_QUOTA;
	if (code == OK)
		*out = node_make(NODE_TXN, t->slot, inode);
	return code;
}

static void txn_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct txn *t = transactions_at(front_of(req), parent);
	fuse_ino_t node = 0;
	int code = OK;

	if (t && node_inode(parent) == INODE_ROOT)
		node = lookup_own(t, name);
	else if (t)
		code = lookup(t, node_inode(parent), name, &node);
	if (code == ERR_QUOTA || code == ERR_NOT_SUPPORTED)
		reply_code(req, code);
	else
		virtual_reply_entry(req, node);
}

static void list_own(struct txn *t, struct dir_reply *d, uint64_t offset)
{
	for (uint64_t i = 0; txn_names[i].name; i++) {
		fuse_ino_t node = node_make(NODE_TXN, t->slot, txn_names[i].inode);

		if (offset > STATIC_OFFSET_DOTS + i || t->removed & 1u << i)
			continue;
		if (!dir_add(d, txn_names[i].name, node, txn_names[i].mode & S_IFMT, STATIC_OFFSET_DOTS + 1 + i))
			return;
	}
}

/* The four directories are empty when the view is given up. */
static int list_objects(struct txn *t, struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	struct mirror mirror = {.reply = d, .class = NODE_TXN, .slot = t->slot, .bias = STATIC_OFFSET_DOTS};
	int code = txn_view(t, &mirror.view);

	if (code < 0)
		return own_name(node_inode(node)) ? OK : code;
	if (txn_check_strong(mirror.view, node_inode(node)) < 0)
		return ERR_NOT_SUPPORTED;
	if (t->state == TXN_ACTIVE)
		code = transaction_saw_names(t->inner, node_inode(node));
	return code < 0 ? code : mirror_list(&mirror, node_inode(node), offset);
}

static void txn_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct txn *t = transactions_at(front_of(req), node);
	struct dir_reply d = dir_begin(req, size);
	int code = t ? OK : ERR_NOT_FOUND;

	(void)fi;
	if (t && static_list_dots(&d, node, (uint64_t)offset)) {
		if (node_inode(node) == INODE_ROOT)
			list_own(t, &d, (uint64_t)offset);
		else
			code = list_objects(t, &d, node, (uint64_t)offset);
	}
	if (code < 0)
		reply_code(req, code);
	else
		dir_end(&d);
}

static void txn_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct txn *t = transactions_at(front_of(req), node);
	char target[LIMIT_PATH_BYTES + 1];
	struct view view;
	size_t size = 0;
	int code = t ? txn_view(t, &view) : ERR_NOT_FOUND;

	if (code == OK)
		code = view_target(view, node_inode(node), target, LIMIT_PATH_BYTES, &size);
	target[size] = '\0';
	if (code < 0)
		reply_code(req, code);
	else
		fuse_reply_readlink(req, target);
}

/* ---- open files ---- */

static bool is_own_file(fuse_ino_t node)
{
	return node_inode(node) == TXN_INODE_CTL || node_inode(node) == TXN_INODE_STATUS;
}

static int open_kind(struct txn *t, fuse_ino_t node, enum inode_kind *kind)
{
	struct view view;
	struct attr a;
	int code;

	*kind = KIND_COUNTER; /* a text */
	if (is_own_file(node))
		return OK;
	code = txn_view(t, &view);
	if (code == OK)
		code = view_attr(view, node_inode(node), &a);
	if (code == OK)
		code = txn_check_strong(view, node_inode(node));
	if (code == OK)
		*kind = a.kind;
	return code;
}

/* Nobody else sees the view: a file opened with O_TRUNC is empty at once. */
static int open_checks(struct txn *t, fuse_ino_t node, int flags, enum inode_kind *kind)
{
	int code = open_kind(t, node, kind);
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if (code < 0)
		return code;
	if (node_inode(node) == TXN_INODE_STATUS && writes)
		return ERR_ACCESS;
	if (node_inode(node) != TXN_INODE_CTL && writes && txn_check_open(t) < 0)
		return ERR_READ_ONLY;
	return flags & O_TRUNC && *kind == KIND_FILE ? txn_truncate(t, node_inode(node), 0) : OK;
}

struct txn_handle *txn_handle_new(enum inode_kind kind, struct fuse_file_info *fi)
{
	struct txn_handle *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	text_init(&h->text);
	h->kind = kind;
	h->append = fi->flags & O_APPEND;
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	return h;
}

void txn_handle_free(struct txn_handle *h)
{
	text_fini(&h->text);
	free(h);
}

static void txn_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct txn *t = transactions_at(front_of(req), node);
	enum inode_kind kind;
	struct txn_handle *h;
	int code = t ? open_checks(t, node, fi->flags, &kind) : ERR_NOT_FOUND;

	if (code < 0) {
		reply_code(req, code);
		return;
	}
	h = txn_handle_new(kind, fi);
	if (!h)
		reply_code(req, ERR_NO_MEMORY);
	else if (fuse_reply_open(req, fi) != 0)
		txn_handle_free(h);
}

static void txn_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	txn_handle_free((struct txn_handle *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static void read_file(struct txn *t, const struct call *c, struct view view)
{
	size_t got = 0, size = c->size < LIMIT_FILE_BYTES ? c->size : LIMIT_FILE_BYTES;
	int code = view_read(view, node_inode(c->node), c->offset, size, t->front->scratch, &got);

	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_buf(c->req, t->front->scratch, got);
}

static void read_object(struct txn *t, struct call *c)
{
	const struct txn_handle *h = (struct txn_handle *)(uintptr_t)c->fi.fh;
	struct view view;
	int code = txn_view(t, &view);

	if (code == OK && t->state == TXN_ACTIVE)
		code = transaction_saw_content(t->inner, node_inode(c->node));
	if (code < 0)
		reply_code(c->req, code);
	else if (h->kind == KIND_FILE)
		read_file(t, c, view);
	else
		generated_read(t->front, c, transactions_print_node);
}

static void txn_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);
	struct txn *t = transactions_at(front_of(req), node);

	if (!t)
		reply_code(req, ERR_NOT_FOUND);
	else if (is_own_file(node))
		generated_read(t->front, &c, transactions_print_node);
	else
		read_object(t, &c);
}

/* ---- extended attributes ---- */

static Coordfs__Xattrs *xattrs_of(struct front *f, fuse_ino_t node)
{
	struct txn *t = transactions_at(f, node);
	Coordfs__Xattrs *list = NULL;
	struct view view;

	if (t && txn_view(t, &view) == OK)
		view_xattrs(view, node_inode(node), &list);
	return list;
}

static void get_stored(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	Coordfs__Xattrs *all = xattrs_of(front_of(req), node);
	const Coordfs__Xattr *found = NULL;

	for (size_t i = 0; all && i < all->n_list; i++)
		if (strcmp(all->list[i]->name, name) == 0)
			found = all->list[i];
	if (found)
		generated_reply_xattr(req, found->value.data, found->value.len, size);
	else
		reply_code(req, ERR_NO_DATA);
	if (all)
		coordfs__xattrs__free_unpacked(all, NULL);
}

static void txn_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	if (node_inode(node) == INODE_ROOT)
		generated_getxattr(req, node, name, size);
	else
		get_stored(req, node, name, size);
}

static void txn_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	Coordfs__Xattrs *all = xattrs_of(front_of(req), node);
	char *names = front_of(req)->scratch;
	size_t length = 0;

	for (size_t i = 0; all && i < all->n_list; i++) {
		size_t name_size = strlen(all->list[i]->name) + 1;

		if (length + name_size > LIMIT_FILE_BYTES)
			break;
		memcpy(names + length, all->list[i]->name, name_size);
		length += name_size;
	}
	if (all)
		coordfs__xattrs__free_unpacked(all, NULL);
	generated_reply_xattr(req, names, length, size);
}

/* Locks are not part of a transaction: the table leaves them out, which is EOPNOTSUPP. */
const struct fuse_lowlevel_ops txn_class_ops = {
	.lookup = txn_lookup,
	.getattr = txn_getattr,
	.setattr = txn_setattr,
	.readlink = txn_readlink,
	.mknod = txn_mknod,
	.mkdir = txn_mkdir,
	.unlink = txn_unlink,
	.rmdir = txn_rmdir,
	.symlink = txn_symlink,
	.rename = txn_rename,
	.link = txn_link,
	.open = txn_open,
	.read = txn_read,
	.write = txn_write,
	.release = txn_release,
	.readdir = txn_readdir,
	.setxattr = txn_setxattr,
	.getxattr = txn_getxattr,
	.listxattr = txn_listxattr,
	.removexattr = txn_removexattr,
	.create = txn_create,
};
