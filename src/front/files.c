/* Open files: of files/ and locks/ with their bytes; of counters/ and fences/ passed on to counters.c.
 *
 * O_TRUNC alone changes nothing (INTERFACE rule 3): the handle remembers it (`truncating`) and sees an empty file.
 * It takes effect with the handle's first write, in the same step, or with its release when nothing was written.
 *
 * A file whose last name is gone lives on for those who have it open here (struct orphan). */

#include "front/machine_class.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "front/loop.h"
#include "front/virtual.h"

static bool is_text(enum inode_kind kind)
{
	return kind == KIND_COUNTER || kind == KIND_FENCE;
}

/* ---- OPEN ---- */

/* Reads must be ours (the file may change on another host), so no page cache: direct_io. Where the kernel cannot
 * map such files for sharing, ordinary content goes without. */
void file_reply_opened(struct front *f, const struct call *c, const struct attr *attr,
		       const struct fuse_entry_param *entry)
{
	struct fuse_file_info fi = c->fi;
	struct handle *h =
		handle_new(f->handles, attr->inode, attr->kind, fi.flags, fuse_req_ctx(c->req)->pid);
	int gone;

	if (!h) {
		reply_code(c->req, ERR_NO_MEMORY);
		return;
	}
	h->eventual = attr->consistency == CONSISTENCY_EVENTUAL;
	fi.fh = (uintptr_t)h;
	fi.direct_io = is_text(attr->kind) || f->direct_io_mmap;
	if (is_text(attr->kind))
		loop_open_parallel_writes(f);
	gone = entry ? fuse_reply_create(c->req, entry, &fi) : fuse_reply_open(c->req, &fi);
	if (gone)
		handle_free(f->handles, h); /* nobody waits any more: no RELEASE will come */
	else if (entry)
		virtual_remember(f, entry->ino);
}

static void do_open(struct front *f, struct call *c)
{
	struct orphan *orphan;
	struct attr attr;
	int code;

	if (call_must_settle(f, c, c->node))
		return;
	code = attr_now(f, c->node, &attr, &orphan);
	if (code < 0)
		reply_code(c->req, code);
	else
		file_reply_opened(f, c, &attr, NULL);
}

void files_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = do_open;
	call_read(&c, node);
}

/* ---- READ ---- */

static void reply_slice(fuse_req_t req, const char *data, uint64_t size, const struct call *c)
{
	uint64_t got = c->offset < size ? size - c->offset : 0;

	fuse_reply_buf(req, got ? data + c->offset : NULL, got < c->size ? got : c->size);
}

static void read_content(struct front *f, struct call *c)
{
	size_t size = c->size < LIMIT_FILE_BYTES ? c->size : LIMIT_FILE_BYTES, got;
	int code = view_read(view_now(f), c->node, c->offset, size, f->scratch, &got);

	if (code < 0)
		reply_code(c->req, code == ERR_NOT_FOUND ? ERR_STALE : code);
	else
		fuse_reply_buf(c->req, f->scratch, got);
}

static void read_orphan(const struct orphan *orphan, struct call *c)
{
	if (orphan->readable)
		reply_slice(c->req, orphan->data, orphan->attr.size, c);
	else
		reply_code(c->req, ERR_STALE);
}

static void do_read(struct front *f, struct call *c)
{
	struct handle *h = handle_of(&c->fi);
	const struct orphan *orphan = handle_orphan(h);

	if (handle_refused(c->req, h) || call_must_settle(f, c, c->node))
		return;
	h->changed = false;
	if (is_text(h->kind))
		counters_read(f, c);
	else if (h->truncating)
		fuse_reply_buf(c->req, NULL, 0);
	else if (orphan)
		read_orphan(orphan, c);
	else
		read_content(f, c);
}

void files_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	c.run = do_read;
	if (!handle_refused(req, handle_of(fi))) /* at once, also where nothing can be read */
		call_read(&c, node);
}

/* ---- WRITE ---- */

/* How much of it fits below the limit; 0: nothing. An append goes to the end as it is now: if the file grows
 * before its turn comes, the machine refuses it whole. */
static size_t fitting(struct front *f, const struct handle *h, const struct call *c, bool append)
{
	uint64_t at = c->offset;
	struct orphan *orphan;
	struct attr attr;

	if (append)
		at = h->truncating || attr_now(f, c->node, &attr, &orphan) < 0 ? 0 : attr.size;
	if (at >= LIMIT_FILE_BYTES)
		return 0;
	return LIMIT_FILE_BYTES - at < c->size ? (size_t)(LIMIT_FILE_BYTES - at) : c->size;
}

static int orphan_write(struct orphan *orphan, struct handle *h, uint64_t offset, bool append, struct bytes data)
{
	struct attr *attr = &orphan->attr;
	uint64_t old = attr->size, end;
	char *grown;

	if (!orphan->writable)
		return ERR_STALE;
	if (h->truncating)
		old = 0;
	if (append)
		offset = old;
	end = offset + data.size;
	if (end > orphan->capacity) {
		grown = realloc(orphan->data, end);
		if (!grown)
			return ERR_NO_MEMORY;
		orphan->data = grown;
		orphan->capacity = end;
	}
	if (offset > old)
		memset(orphan->data + old, 0, offset - old);
	memcpy(orphan->data + offset, data.data, data.size);
	attr->size = end > old ? end : old;
	handle_truncates(h, false);
	return OK;
}

void file_reply_written(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)reply;
	fuse_reply_write(c->req, c->size);
}

/* The O_TRUNC is still to come, with the next write. But who was told that nothing changed, and closes, shall not find
 * the file empty after all. */
void file_truncation_refused(struct front *f, struct call *c)
{
	struct handle *h = handle_of(&c->fi);

	(void)f;
	handle_truncates(h, true);
	h->truncation_refused = true;
}

static void propose_write(struct call *c, struct handle *h, bool append, struct bytes data)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write write = COORDFS__WRITE__INIT;

	write.inode = c->node;
	write.offset = append ? 0 : c->offset;
	write.data = binary_of(data.data, data.size);
	write.append = append;
	write.truncate = h->truncating;
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &write;
	c->answer = file_reply_written;
	if (h->truncating) {
		handle_truncates(h, false); /* what is proposed from now on comes after it */
		c->refused = file_truncation_refused;
	}
	call_propose(c, &command);
}

static void refuse(struct front *f, const struct call *c, int code)
{
	note_error(f, c->node, code, NULL);
	reply_code(c->req, code);
}

/* A page of a shared mapping that is written back has its place, whatever the flags of the handle that the
 * kernel chose for it. */
static void write_content(struct front *f, struct call *c, struct handle *h, const char *data)
{
	bool append = h->append && !c->fi.writepage;
	struct orphan *orphan = handle_orphan(h);
	int code;

	c->size = fitting(f, h, c, append);
	if (c->size == 0) {
		refuse(f, c, ERR_TOO_BIG);
	} else if (orphan) {
		code = orphan_write(orphan, h, c->offset, append, bytes_of(data, c->size));
		if (code < 0)
			refuse(f, c, code);
		else
			fuse_reply_write(c->req, c->size);
	} else {
		propose_write(c, h, append, bytes_of(data, c->size));
	}
}

void files_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		 struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	struct handle *h = handle_of(fi);

	c.size = size;
	c.offset = (uint64_t)offset;
	if (handle_refused(req, h))
		return;
	if (size == 0)
		fuse_reply_write(req, 0);
	else if (h->kind == KIND_COUNTER)
		counters_write(f, &c, bytes_of(data, size));
	else if (h->kind == KIND_FENCE)
		fences_write(f, &c, bytes_of(data, size));
	else
		write_content(f, &c, h, data);
}

/* ---- closing ---- */

void file_truncate_now(struct front *f, struct handle *h)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write write = COORDFS__WRITE__INIT;

	handle_truncates(h, false);
	write.inode = handle_inode(h);
	write.truncate = true;
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &write;
	handle_propose_unasked(f, h, &command, false);
}

void files_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	locks_flush(front_of(req), &c);
}

/* The kernel does not wait for the answer, and close(2) may have returned long ago. */
void files_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct handle *h = handle_of(fi);

	(void)node;
	if (h->truncating && !h->truncation_refused && !handle_orphan(h) && !h->lost)
		file_truncate_now(f, h);
	locks_release(f, h);
	handle_free(f->handles, h);
	fuse_reply_err(req, 0);
}

/* ---- the rest ---- */

void files_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	(void)node, (void)datasync;
	if (!handle_refused(req, handle_of(fi)))
		fuse_reply_err(req, 0);
}

static void propose_size(struct call *c, uint64_t size)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SetAttr set = COORDFS__SET_ATTR__INIT;

	set.inode = c->node;
	set.mask = ATTR_SIZE;
	set.size = size;
	command.of_case = COORDFS__COMMAND__OF_SET_ATTR;
	command.set_attr = &set;
	call_propose(c, &command);
}

/* posix_fallocate(3): the file is at least that long afterwards. Space is never promised ahead. */
static void do_fallocate(struct front *f, struct call *c)
{
	struct orphan *orphan;
	struct attr attr;
	int code = attr_now(f, c->node, &attr, &orphan);

	if (code == OK && attr.kind != KIND_FILE)
		code = ERR_NOT_SUPPORTED;
	if (code == OK && (c->offset > LIMIT_FILE_BYTES || c->size > LIMIT_FILE_BYTES - c->offset))
		code = ERR_TOO_BIG;
	if (code < 0)
		refuse(f, c, code);
	else if (orphan || c->offset + c->size <= attr.size)
		fuse_reply_err(c->req, 0);
	else
		propose_size(c, c->offset + c->size);
}

void files_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
		     struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);

	c.offset = (uint64_t)offset;
	c.size = (size_t)length;
	c.run = do_fallocate;
	if (handle_refused(req, handle_of(fi)))
		return;
	if (mode != 0) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	if (handle_of(fi)->truncating)
		file_truncate_now(f, handle_of(fi));
	call_strong(&c);
}
