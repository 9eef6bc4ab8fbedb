/* Contents of what is eventual, and its attributes. A file is a register: a write makes its whole new content of what is
 * known here, and of two that did not know of one another the later one stays. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "front/eventual.h"
#include "front/machine_class.h"

/* ---- changes ---- */

void eventual_durable(void *call, int code)
{
	const struct reply reply = {.code = code};

	call_done(call, &reply);
}

void eventual_asked(struct parked *call, int code)
{
	if (code < 0)
		eventual_durable(call, code);
}

void eventual_refuse(struct front *f, const struct call *c, int code, const char *why)
{
	note_error(f, c->node, code, why);
	reply_code(c->req, code);
}

/* The machine says whether a root is there. */
int eventual_check(struct front *f, fuse_ino_t node, struct gossip_place *at)
{
	struct attr a;

	if (eventual_place(f, node, at) < 0 || (node_is_eventual(node) && eventual_attr(f, node, &a) < 0))
		return ERR_STALE;
	return OK;
}

/* ---- READ ---- */

/* What a file holds here. Borrowed from gossip. */
static int content_of(struct front *f, fuse_ino_t node, const void **data, size_t *size)
{
	struct gossip_place at;
	int code = eventual_check(f, node, &at);

	*data = NULL;
	*size = 0;
	if (code == OK)
		code = gossip_content(f->gossip, &at, data, size);
	if (handles_unsettled(f->handles, node))
		*size = 0; /* a truncation is on its way to the disk, and nothing was written since */
	return code == ERR_NOT_FOUND ? ERR_STALE : code;
}

/* The same as who calls sees it, whose O_TRUNC may be still to come. */
static int content_seen(struct front *f, const struct call *c, const void **data, size_t *size)
{
	const struct handle *h = handle_of(&c->fi);
	int code = content_of(f, c->node, data, size);

	if (h && h->truncating)
		*size = 0;
	return code;
}

static void read_content(struct front *f, const struct call *c)
{
	const void *data;
	size_t size, got = 0;
	int code = content_seen(f, c, &data, &size);

	if (code < 0) {
		reply_code(c->req, code);
		return;
	}
	if (c->offset < size)
		got = size - c->offset < c->size ? size - c->offset : c->size;
	fuse_reply_buf(c->req, got ? (const char *)data + c->offset : NULL, got);
}

void eventual_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);
	struct handle *h = handle_of(fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	h->changed = false;
	if (h->kind == KIND_COUNTER)
		counters_read(front_of(req), &c);
	else
		read_content(front_of(req), &c);
}

/* ---- WRITE ---- */

/* The new whole content. An O_TRUNC that was still to come is in it. */
static void put(struct front *f, struct call *c, const void *data, size_t size)
{
	struct handle *h = handle_of(&c->fi);
	struct gossip_place at;
	struct parked *p;
	int code = eventual_check(f, c->node, &at);

	if (h && h->truncating) {
		handle_truncates(h, false); /* what is written from now on comes after it */
		c->refused = file_truncation_refused;
	}
	if (code < 0) {
		if (c->refused)
			c->refused(f, c);
		eventual_refuse(f, c, code, NULL);
		return;
	}
	p = call_keep(c);
	if (p)
		eventual_asked(p, gossip_put(f->gossip, &at, data, size, eventual_durable, p));
}

/* In scratch: what is there with data written over it. Cuts c->size to what fits. */
static int compose(struct front *f, struct call *c, const struct handle *h, const char *data, size_t *size)
{
	bool append = h->append && !c->fi.writepage; /* a mapping's page has its place */
	const void *old = NULL;
	size_t old_size = 0;
	int code = content_seen(f, c, &old, &old_size);

	if (code < 0)
		return code;
	if (append)
		c->offset = old_size;
	if (c->offset >= LIMIT_FILE_BYTES)
		return ERR_TOO_BIG;
	if (c->size > LIMIT_FILE_BYTES - c->offset)
		c->size = LIMIT_FILE_BYTES - c->offset;
	if (old_size > 0)
		memcpy(f->scratch, old, old_size);
	if (c->offset > old_size)
		memset(f->scratch + old_size, 0, c->offset - old_size);
	memcpy(f->scratch + c->offset, data, c->size);
	*size = c->offset + c->size > old_size ? c->offset + c->size : old_size;
	return OK;
}

static void write_content(struct front *f, struct call *c, struct handle *h, const char *data)
{
	size_t size;
	int code = compose(f, c, h, data, &size);

	if (code < 0) {
		eventual_refuse(f, c, code, NULL);
		return;
	}
	c->answer = file_reply_written;
	put(f, c, f->scratch, size);
}

void eventual_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	struct handle *h = handle_of(fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	if (size == 0)
		fuse_reply_write(req, 0);
	else if (h->kind == KIND_COUNTER)
		eventual_counter_write(f, &c, bytes_of(data, size));
	else
		write_content(f, &c, h, data);
}

/* ---- closing ---- */

static void on_truncated(void *ctx, int code)
{
	const struct reply reply = {.code = code};

	handle_settled(ctx, &reply);
}

/* It is seen by content_of at once. */
static void truncate_unasked(struct front *f, struct handle *h)
{
	struct unasked *u = handle_unsettle(f, h);
	struct gossip_place at;
	int code = eventual_check(f, handle_inode(h), &at);

	if (!u)
		return;
	if (code == OK)
		code = gossip_put(f->gossip, &at, NULL, 0, on_truncated, u);
	if (code < 0)
		on_truncated(u, code == ERR_STALE ? OK : code);
}

void eventual_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct handle *h = handle_of(fi);

	(void)node;
	if (h->truncating && !h->truncation_refused && !handle_orphan(h))
		truncate_unasked(f, h);
	handle_free(f->handles, h);
	fuse_reply_err(req, 0);
}

/* ---- size ---- */

static void answer_attr(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)reply;
	attributes_get(c->req, c->node, c->has_fi ? &c->fi : NULL);
}

static void answer_success(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)reply;
	fuse_reply_err(c->req, 0);
}

static void resize(struct front *f, struct call *c, uint64_t size)
{
	const void *old;
	size_t old_size;
	int code = size > LIMIT_FILE_BYTES ? ERR_TOO_BIG : content_seen(f, c, &old, &old_size);

	if (code < 0) {
		eventual_refuse(f, c, code, NULL);
		return;
	}
	if (old_size > 0)
		memcpy(f->scratch, old, old_size);
	if (size > old_size)
		memset(f->scratch + old_size, 0, size - old_size);
	put(f, c, f->scratch, size);
}

void eventual_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	uint64_t end = (uint64_t)offset + (uint64_t)length;
	const void *data;
	size_t size;
	int code = mode == 0 && handle_of(fi)->kind == KIND_FILE ? content_seen(f, &c, &data, &size) : ERR_NOT_SUPPORTED;

	c.answer = answer_success;
	if (code < 0)
		eventual_refuse(f, &c, code, NULL);
	else if (end <= size)
		fuse_reply_err(req, 0);
	else
		resize(f, &c, end);
}

/* ---- SETATTR ---- */

#define OWNER_BITS (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)

static void set_owner(struct front *f, const struct call *c, const struct stat *st, int to_set)
{
	struct gossip_place at;
	struct gossip_owner owner;
	struct parked *p;
	struct attr a;
	int code = eventual_attr(f, c->node, &a);

	if (code < 0 || (code = eventual_place(f, c->node, &at)) < 0) {
		reply_code(c->req, ERR_STALE);
		return;
	}
	owner = (struct gossip_owner){
		.uid = to_set & FUSE_SET_ATTR_UID ? st->st_uid : a.uid,
		.gid = to_set & FUSE_SET_ATTR_GID ? st->st_gid : a.gid,
		.mode = to_set & FUSE_SET_ATTR_MODE ? st->st_mode & 07777 : a.mode,
	};
	p = call_keep(c);
	if (p)
		eventual_asked(p, gossip_set_owner(f->gossip, &at, &owner, eventual_durable, p));
}

static void set_size(struct front *f, struct call *c, enum inode_kind kind, off_t size)
{
	int code = kind == KIND_COUNTER && size != 0 ? ERR_INVALID : kind == KIND_DIRECTORY ? ERR_IS_DIRECTORY : OK;

	if (code < 0)
		eventual_refuse(f, c, code, NULL);
	else if (kind == KIND_COUNTER)
		answer_attr(f, c, NULL);
	else
		resize(f, c, (uint64_t)size);
}

/* Times are those of the changes: what sets them is accepted, and nothing comes of it. Owner and mode of a root are the
 * machine's. The kernel sends a size with nothing but times. */
void eventual_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	struct orphan *orphan;
	struct attr a;
	int code = attr_now(f, node, &a, &orphan);

	c.answer = answer_attr;
	if (code < 0)
		reply_code(req, code);
	else if (to_set & OWNER_BITS && node_is_eventual(node))
		set_owner(f, &c, st, to_set);
	else if (to_set & OWNER_BITS)
		attributes_set(req, node, st, to_set & OWNER_BITS, fi);
	else if (to_set & FUSE_SET_ATTR_SIZE)
		set_size(f, &c, a.kind, st->st_size);
	else
		attributes_get(req, node, fi);
}
