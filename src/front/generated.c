#include "front/generated.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/transactions.h"
#include "front/virtual.h"

int generated_text(struct front *f, fuse_ino_t node, generate make, char **text, size_t *size)
{
	FILE *out;
	int code;

	*text = NULL;
	*size = 0;
	out = open_memstream(text, size);
	if (!out)
		return ERR_NO_MEMORY;
	code = make(f, node, out);
	if (fclose(out) != 0 && code == 0)
		code = ERR_NO_MEMORY;
	if (code < 0) {
		free(*text);
		*text = NULL;
		*size = 0;
	}
	return code;
}

uint64_t generated_size(struct front *f, fuse_ino_t node, generate make)
{
	char *text;
	size_t size;

	generated_text(f, node, make, &text, &size);
	free(text);
	return size;
}

/* ---- open files ---- */

void generated_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct text *t = malloc(sizeof *t);

	(void)node;
	if (!t) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	text_init(t);
	fi->fh = (uintptr_t)t;
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) != 0) {
		text_fini(t);
		free(t);
	}
}

/* Root is refused, too: there is nothing that a write could do. */
void generated_open_to_read(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		reply_code(req, ERR_ACCESS);
	else
		generated_open(req, node, fi);
}

static int take_snapshot(struct front *f, const struct call *c, struct text *t, generate make)
{
	char *text;
	size_t size;
	int code = generated_text(f, c->node, make, &text, &size);

	if (code == 0)
		code = text_snapshot(t, c->offset, text, size);
	free(text);
	return code;
}

void generated_read(struct front *f, struct call *c, generate make)
{
	struct text *t = generated_handle(&c->fi);
	const char *data;
	size_t got;
	int code;

	if (text_needs_snapshot(t, c->offset)) {
		code = take_snapshot(f, c, t, make);
		if (code < 0) {
			reply_code(c->req, code);
			return;
		}
	}
	data = text_read(t, c->offset, c->size, &got);
	fuse_reply_buf(c->req, data, got);
}

void generated_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct text *t = generated_handle(fi);

	(void)node;
	text_fini(t);
	free(t);
	fuse_reply_err(req, 0);
}

void generated_reply_xattr(fuse_req_t req, const void *data, size_t length, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, length);
	else if (length > size)
		reply_code(req, ERR_RANGE);
	else
		fuse_reply_buf(req, data, length);
}

void generated_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	size_t prefix = strlen(COORDFS_XATTR_PREFIX);
	struct front *f = front_of(req);
	int length = ERR_NO_DATA;

	if (strncmp(name, COORDFS_XATTR_PREFIX, prefix) == 0)
		length = info_value(f, node, name + prefix, f->scratch, LIMIT_XATTR_VALUE_BYTES);
	if (length < 0)
		reply_code(req, length);
	else
		generated_reply_xattr(req, f->scratch, (size_t)length, size);
}

int generated_setattr(int to_set, const struct stat *attr)
{
	int changes = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_ATIME |
		      FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;

	if (to_set & FUSE_SET_ATTR_SIZE)
		return attr->st_size == 0 ? OK : ERR_INVALID; /* the times that come with it are ignored */
	return to_set & changes ? ERR_PERM : OK;
}

void generated_reply_setattr(fuse_req_t req, int code, void (*getattr)(fuse_req_t, fuse_ino_t, struct fuse_file_info *),
			     fuse_ino_t node, struct fuse_file_info *fi)
{
	if (code < 0)
		reply_code(req, code);
	else
		getattr(req, node, fi);
}

/* ---- directories ---- */

static int mirror_entry(void *ctx, const struct view_entry *e)
{
	const struct mirror *m = ctx;
	mode_t type = m->plain && e->kind != KIND_DIRECTORY ? S_IFREG : kind_mode(e->kind);
	char name[LIMIT_NAME_BYTES + 1];

	if (e->name.size > LIMIT_NAME_BYTES)
		return 0;
	memcpy(name, e->name.data, e->name.size);
	name[e->name.size] = '\0';
	return !dir_add(m->reply, name, node_make(m->class, m->slot, e->inode), type, e->cookie + m->bias);
}

int mirror_list(struct mirror *m, uint64_t inode, uint64_t offset)
{
	int code = view_readdir(m->view, inode, offset > m->bias ? offset - m->bias : 0, mirror_entry, m);

	return code < 0 ? code : OK;
}

/* ---- small things ---- */

struct call call_of_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, const struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	return c;
}

void call_refuse(const struct call *c, int code, const char *why)
{
	struct front *f = front_of(c->req);
	struct txn *t = node_class(c->node) == NODE_TXN ? transactions_at(f, c->node) : NULL;

	if (t)
		txn_note(t, code, why);
	else
		note_error(f, c->node, code, why);
	reply_code(c->req, code);
}

struct view front_view(struct front *f)
{
	return machine_view(replica_machine(f->replica));
}

mode_t kind_mode(enum inode_kind kind)
{
	return kind == KIND_DIRECTORY ? S_IFDIR : kind == KIND_SYMLINK ? S_IFLNK : S_IFREG;
}
