/* Inside a transaction: what changes. Each operation becomes the command that it would be outside, and is staged
 * instead of proposed: it runs on the transaction's view at once, and again in the log at the commit. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "front/access.h"
#include "front/transactions.h"
#include "front/virtual.h"

int txn_check_open(struct txn *t)
{
	struct view view;

	if (txn_view(t, &view) < 0) /* may find that it is torn, and end it */
		return ERR_READ_ONLY;
	return t->state == TXN_ACTIVE ? OK : ERR_READ_ONLY;
}

/* ---- refusing ---- */

/* The note says which object, for it is found on T. */
static void refuse(fuse_req_t req, struct txn *t, uint64_t inode, int code, const char *why)
{
	char path[LIMIT_NAME_BYTES], text[PARSE_ERROR_BYTES];
	struct view view;

	if (!why || !*why)
		why = error_text(code);
	if (inode != INODE_ROOT && txn_view(t, &view) == OK)
		snprintf(text, sizeof text, "%.90s: %.100s", view_path(view, inode, path, sizeof path), why);
	else
		snprintf(text, sizeof text, "%s", why);
	txn_note(t, code, text);
	reply_code(req, code);
}

/* The transaction of a node, open for changes; NULL when req was answered. */
static struct txn *enter(fuse_req_t req, fuse_ino_t node)
{
	struct txn *t = transactions_at(front_of(req), node);

	if (!t)
		reply_code(req, ERR_NOT_FOUND);
	else if (txn_check_open(t) < 0)
		refuse(req, t, INODE_ROOT, ERR_READ_ONLY, "the transaction has ended");
	else
		return t;
	return NULL;
}

static struct txn *enter_directory(fuse_req_t req, fuse_ino_t parent)
{
	struct txn *t = enter(req, parent);

	if (!t || node_inode(parent) != INODE_ROOT)
		return t;
	refuse(req, t, INODE_ROOT, ERR_PERM, "a transaction's own directory holds its own names only");
	return NULL;
}

/* ---- staging ---- */

static uint64_t time_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int stage(struct txn *t, const Coordfs__Command *command, struct reply *reply)
{
	transaction_stage(t->inner, command, time_now_ns(), reply);
	if (reply->code == OK)
		t->operations++;
	return reply->code;
}

/* Stage, and answer a refusal: OK when there was none. */
static int stage_for(fuse_req_t req, struct txn *t, uint64_t inode, const Coordfs__Command *command,
		     struct reply *reply)
{
	if (stage(t, command, reply) < 0)
		refuse(req, t, inode, reply->code, reply->text);
	return reply->code;
}

static void stage_and_reply(fuse_req_t req, struct txn *t, uint64_t inode, const Coordfs__Command *command)
{
	struct reply reply;

	if (stage_for(req, t, inode, command, &reply) == OK)
		fuse_reply_err(req, 0);
}

static void stage_and_reply_entry(fuse_req_t req, struct txn *t, uint64_t inode, const Coordfs__Command *command)
{
	struct reply reply;

	if (stage_for(req, t, inode, command, &reply) == OK)
		virtual_reply_entry(req, node_make(NODE_TXN, t->slot, reply.inode));
}

/* ---- names ---- */

static Coordfs__Create create_of(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	Coordfs__Create q = COORDFS__CREATE__INIT;

	q.parent = node_inode(parent);
	q.name = binary_of_bytes(bytes_of_text(name));
	q.mode = mode;
	q.uid = fuse_req_ctx(req)->uid;
	q.gid = fuse_req_ctx(req)->gid;
	q.exclusive = true;
	return q;
}

static void make(fuse_req_t req, fuse_ino_t parent, Coordfs__Create *q)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct txn *t = enter_directory(req, parent);

	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = q;
	if (t)
		stage_and_reply_entry(req, t, q->parent, &command);
}

void txn_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	Coordfs__Create q = create_of(req, parent, name, S_IFDIR | (mode & 07777));

	make(req, parent, &q);
}

void txn_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	Coordfs__Create q = create_of(req, parent, name, mode);

	(void)rdev;
	make(req, parent, &q);
}

void txn_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	Coordfs__Create q = create_of(req, parent, name, S_IFLNK | 0777);

	q.target = binary_of_bytes(bytes_of_text(target));
	make(req, parent, &q);
}

/* CREATE comes when the kernel found no such name; another process of the owner may have been faster. */
static int open_created(fuse_req_t req, struct txn *t, uint64_t inode, struct fuse_file_info *fi, struct attr *a)
{
	int code = view_attr(transaction_view(t->inner), inode, a);

	if (code == OK && inode < INODE_TEMPORARY && !access_allows_open(req, a, fi->flags))
		code = ERR_ACCESS;
	if (code == OK && fi->flags & O_TRUNC && a->kind == KIND_FILE && a->size > 0)
		code = txn_truncate(t, inode, 0);
	return code;
}

static void reply_create(fuse_req_t req, struct txn *t, uint64_t inode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e = {.ino = node_make(NODE_TXN, t->slot, inode)};
	struct txn_handle *h = NULL;
	struct attr a;
	int code = open_created(req, t, inode, fi, &a);

	if (code == OK)
		code = transactions_attr(t->front, e.ino, &e.attr);
	if (code == OK) {
		h = txn_handle_new(a.kind, fi);
		code = h ? OK : ERR_NO_MEMORY;
	}
	if (code < 0)
		refuse(req, t, inode, code, NULL);
	else if (fuse_reply_create(req, &e, fi) == 0)
		virtual_remember(t->front, e.ino);
	else
		txn_handle_free(h);
}

void txn_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	Coordfs__Create q = create_of(req, parent, name, mode);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct txn *t = enter_directory(req, parent);
	struct reply reply;

	q.exclusive = fi->flags & O_EXCL;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &q;
	if (t && stage_for(req, t, q.parent, &command, &reply) == OK)
		reply_create(req, t, reply.inode, fi);
}

void txn_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Link q = COORDFS__LINK__INIT;
	struct txn *t = enter_directory(req, parent);

	q.inode = node_inode(node);
	q.parent = node_inode(parent);
	q.name = binary_of_bytes(bytes_of_text(name));
	command.of_case = COORDFS__COMMAND__OF_LINK;
	command.link = &q;
	if (t && node_slot(node) != t->slot)
		reply_code(req, ERR_CROSS_TREE);
	else if (t)
		stage_and_reply_entry(req, t, q.parent, &command);
}

void txn_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		unsigned flags)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Rename q = COORDFS__RENAME__INIT;
	struct txn *t = enter_directory(req, parent);

	q.parent = node_inode(parent);
	q.name = binary_of_bytes(bytes_of_text(name));
	q.new_parent = node_inode(new_parent);
	q.new_name = binary_of_bytes(bytes_of_text(new_name));
	q.flags = flags;
	command.of_case = COORDFS__COMMAND__OF_RENAME;
	command.rename = &q;
	if (t && node_slot(new_parent) != t->slot)
		reply_code(req, ERR_CROSS_TREE);
	else if (t)
		stage_and_reply(req, t, q.parent, &command);
}

static bool is_eventual(struct txn *t, uint64_t parent, const char *name)
{
	struct view view;
	uint64_t inode;

	return txn_view(t, &view) == OK && view_lookup(view, parent, bytes_of_text(name), &inode, NULL) == OK &&
	       txn_check_strong(view, inode) < 0;
}

static void stage_remove(fuse_req_t req, fuse_ino_t parent, const char *name, bool directory)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Remove q = COORDFS__REMOVE__INIT;
	struct txn *t = enter(req, parent);

	q.parent = node_inode(parent);
	q.name = binary_of_bytes(bytes_of_text(name));
	q.directory = directory;
	command.of_case = COORDFS__COMMAND__OF_REMOVE;
	command.remove = &q;
	if (t && is_eventual(t, q.parent, name))
		refuse(req, t, q.parent, ERR_NOT_SUPPORTED, "what is eventual is removed outside of transactions");
	else if (t)
		stage_and_reply(req, t, q.parent, &command);
}

/* ---- rm -r T ---- */

static void answer_plain(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f;
	reply_code(c->req, reply->code);
}

/* Removing ctl gives everything up: the directories are empty from now on, and may go as well. */
static void dismantle(fuse_req_t req, struct txn *t)
{
	struct call c = call_of(req, txn_node(t), NULL, NULL);

	c.answer = answer_plain;
	if (t->state == TXN_COMMITTING || t->state == TXN_UNDECIDED) {
		refuse(req, t, INODE_ROOT, ERR_BUSY, "its commit is under way");
		return;
	}
	t->dismantled = true;
	t->removed |= 1; /* ctl is the first */
	if (t->state == TXN_ACTIVE) {
		txn_rollback(t, "removed", t->operations > 0, &c);
	} else {
		txn_drop_view(t);
		reply_code(req, OK);
	}
}

static void remove_own(fuse_req_t req, struct txn *t, const char *name, bool directory)
{
	int i = txn_name_index(t, name);

	if (i < 0)
		reply_code(req, ERR_NOT_FOUND);
	else if (S_ISDIR(txn_names[i].mode) != directory)
		reply_code(req, directory ? ERR_NOT_DIRECTORY : ERR_IS_DIRECTORY);
	else if (txn_names[i].inode == TXN_INODE_CTL)
		dismantle(req, t);
	else if (!t->dismantled) {
		refuse(req, t, INODE_ROOT, ERR_PERM, "a transaction goes as a whole: rmdir or rm -r");
	} else {
		t->removed |= 1u << i;
		reply_code(req, OK);
	}
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool directory)
{
	struct txn *t = transactions_at(front_of(req), parent);

	if (!t)
		reply_code(req, ERR_NOT_FOUND);
	else if (node_inode(parent) == INODE_ROOT)
		remove_own(req, t, name, directory);
	else
		stage_remove(req, parent, name, directory);
}

void txn_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, false);
}

void txn_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, true);
}

/* ---- attributes ---- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static uint32_t mask_of(int to_set)
{
	uint32_t mask = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		mask |= ATTR_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		mask |= ATTR_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		mask |= ATTR_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		mask |= ATTR_SIZE;
	if (to_set & FUSE_SET_ATTR_ATIME)
		mask |= to_set & FUSE_SET_ATTR_ATIME_NOW ? ATTR_ATIME_NOW : ATTR_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME)
		mask |= to_set & FUSE_SET_ATTR_MTIME_NOW ? ATTR_MTIME_NOW : ATTR_MTIME;
	return mask;
}

/* truncate(2) of a text to nothing has no meaning; to anything else it is a mistake. */
static int check_size(struct txn *t, Coordfs__SetAttr *q)
{
	struct attr a;
	int code;

	if (!(q->mask & ATTR_SIZE))
		return OK;
	code = view_attr(transaction_view(t->inner), q->inode, &a);
	if (code < 0 || a.kind == KIND_FILE)
		return code < 0 ? code : q->size > LIMIT_FILE_BYTES ? ERR_TOO_BIG : OK;
	q->mask &= ~(uint32_t)ATTR_SIZE;
	return q->size == 0 ? OK : ERR_INVALID;
}

static int stage_attr(struct txn *t, Coordfs__SetAttr *q, struct reply *reply)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	*reply = (struct reply){.code = check_size(t, q)};
	command.of_case = COORDFS__COMMAND__OF_SET_ATTR;
	command.set_attr = q;
	if (reply->code == OK && q->mask)
		stage(t, &command, reply);
	return reply->code;
}

int txn_truncate(struct txn *t, uint64_t inode, uint64_t size)
{
	Coordfs__SetAttr q = COORDFS__SET_ATTR__INIT;
	struct reply reply;

	q.inode = inode;
	q.mask = ATTR_SIZE;
	q.size = size;
	return stage_attr(t, &q, &reply);
}

static void reply_attr(fuse_req_t req, fuse_ino_t node)
{
	struct stat attr;
	int code = transactions_attr(front_of(req), node, &attr);

	if (code < 0)
		reply_code(req, code);
	else
		fuse_reply_attr(req, &attr, 0);
}

static void setattr_own(fuse_req_t req, fuse_ino_t node, const struct stat *attr, int to_set)
{
	int code = node_inode(node) == INODE_ROOT ? ERR_PERM : generated_setattr(to_set, attr);

	if (code < 0)
		reply_code(req, code);
	else
		reply_attr(req, node);
}

static void setattr_object(fuse_req_t req, fuse_ino_t node, const struct stat *attr, int to_set)
{
	Coordfs__SetAttr q = COORDFS__SET_ATTR__INIT;
	struct txn *t = enter(req, node);
	struct reply reply;

	if (!t)
		return;
	q.inode = node_inode(node);
	q.mask = mask_of(to_set);
	q.mode = attr->st_mode & 07777;
	q.uid = attr->st_uid;
	q.gid = attr->st_gid;
	q.size = (uint64_t)attr->st_size;
	q.atime_ns = ns_of(&attr->st_atim);
	q.mtime_ns = ns_of(&attr->st_mtim);
	if (stage_attr(t, &q, &reply) < 0)
		refuse(req, t, q.inode, reply.code, reply.text);
	else
		reply_attr(req, node);
}

void txn_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)fi;
	if (node_inode(node) == INODE_ROOT || node_inode(node) == TXN_INODE_CTL ||
	    node_inode(node) == TXN_INODE_STATUS)
		setattr_own(req, node, attr, to_set);
	else
		setattr_object(req, node, attr, to_set);
}

/* ---- extended attributes ---- */

static void stage_xattr(fuse_req_t req, fuse_ino_t node, Coordfs__SetXattr *q)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct txn *t = enter(req, node);

	q->inode = node_inode(node);
	command.of_case = COORDFS__COMMAND__OF_SET_XATTR;
	command.set_xattr = q;
	if (t && strncmp(q->name, COORDFS_XATTR_PREFIX, strlen(COORDFS_XATTR_PREFIX)) == 0)
		refuse(req, t, q->inode, ERR_NOT_SUPPORTED, "not within a transaction");
	else if (t)
		stage_and_reply(req, t, q->inode, &command);
}

void txn_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags)
{
	Coordfs__SetXattr q = COORDFS__SET_XATTR__INIT;
	struct bytes bytes = {value, size};

	if (node_inode(node) == INODE_ROOT && strncmp(name, COORDFS_XATTR_PREFIX, strlen(COORDFS_XATTR_PREFIX)) == 0) {
		info_set(req, node, name + strlen(COORDFS_XATTR_PREFIX), bytes);
		return;
	}
	q.name = (char *)(uintptr_t)name;
	q.value = binary_of_bytes(bytes);
	q.flags = (uint32_t)flags;
	stage_xattr(req, node, &q);
}

void txn_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	Coordfs__SetXattr q = COORDFS__SET_XATTR__INIT;

	q.name = (char *)(uintptr_t)name;
	q.remove = true;
	stage_xattr(req, node, &q);
}

/* ---- content ---- */

/* A write that passes the limit is a short one. */
static size_t fit(struct txn *t, const struct call *c, bool append)
{
	uint64_t at = c->offset;
	struct attr a;

	if (append && view_attr(transaction_view(t->inner), node_inode(c->node), &a) == OK)
		at = a.size;
	if (at >= LIMIT_FILE_BYTES)
		return 0;
	return LIMIT_FILE_BYTES - at < c->size ? (size_t)(LIMIT_FILE_BYTES - at) : c->size;
}

static void write_file(struct txn *t, const struct call *c, const char *data, bool append)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write q = COORDFS__WRITE__INIT;
	size_t size = fit(t, c, append);
	struct reply reply;

	q.inode = node_inode(c->node);
	q.offset = append ? 0 : c->offset;
	q.append = append;
	q.data = binary_of_bytes((struct bytes){data, size});
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &q;
	if (size == 0)
		refuse(c->req, t, q.inode, ERR_TOO_BIG, NULL);
	else if (stage_for(c->req, t, q.inode, &command, &reply) == OK)
		fuse_reply_write(c->req, size);
}

static void update_counter(struct txn *t, const struct call *c, Coordfs__CounterRequest *list, size_t count)
{
	Coordfs__CounterRequest **pointers = calloc(count, sizeof *pointers);
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct reply reply;
	char text[24];
	int size;

	for (size_t i = 0; pointers && i < count; i++)
		pointers[i] = &list[i];
	q.inode = node_inode(c->node);
	q.n_requests = count;
	q.requests = pointers;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &q;
	if (!pointers) {
		refuse(c->req, t, q.inode, ERR_NO_MEMORY, NULL);
	} else if (stage_for(c->req, t, q.inode, &command, &reply) == OK) {
		size = snprintf(text, sizeof text, "%" PRId64 "\n", reply.value);
		text_reply(generated_handle(&c->fi), text, (size_t)size);
		fuse_reply_write(c->req, c->size);
	}
	free(pointers);
}

static void write_counter(struct txn *t, const struct call *c, const char *data)
{
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;
	int code = parse_counter((struct bytes){data, c->size}, &list, &count, why);

	if (code < 0)
		refuse(c->req, t, node_inode(c->node), code, why);
	else
		update_counter(t, c, list, count);
	parse_counter_free(list);
}

static void write_object(const struct call *c, const char *data)
{
	const struct txn_handle *h = (struct txn_handle *)(uintptr_t)c->fi.fh;
	struct txn *t = enter(c->req, c->node);

	if (!t)
		return;
	if (h->kind == KIND_COUNTER)
		write_counter(t, c, data);
	else if (h->kind == KIND_FILE)
		write_file(t, c, data, h->append);
	else
		refuse(c->req, t, node_inode(c->node), ERR_READ_ONLY,
		       "a transaction changes counters/ and files/ only");
}

void txn_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
	       struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);
	struct txn *t = transactions_at(front_of(req), node);

	if (!t)
		reply_code(req, ERR_NOT_FOUND);
	else if (size == 0)
		fuse_reply_write(req, 0);
	else if (node_inode(node) == TXN_INODE_CTL)
		txn_ctl_write(t, &c, (struct bytes){data, size});
	else
		write_object(&c, data);
}
