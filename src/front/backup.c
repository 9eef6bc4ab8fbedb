/* cluster/snapshot: opening it for reading makes a backup of the revision of that moment, an image as
 * store/image.h describes it, in a file without a name in the data directory; reads are served from there, so that a
 * slow reader keeps nobody waiting; closing it gives the room back. At most BACKUPS_MAX are open at once, for each
 * takes as much of the disk as the state.
 *
 * fstat(2) comes without a handle: the size is that of the file that the calling thread has opened, and for everybody
 * else what a backup would have now, which is known beforehand. */

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>
#include <utlist.h>

#include "front/static.h"

enum { BACKUPS_MAX = 4 };

struct backup_file {
	struct backup_file *prev, *next;
	struct front *front;
	fuse_req_t req; /* the OPEN that waits; NULL: answered */
	struct fuse_file_info fi;
	pid_t opener;
	int fd; /* -1: not there yet */
	uint64_t size;
};

static struct backup_file *file_of(const struct fuse_file_info *fi)
{
	return (struct backup_file *)(uintptr_t)fi->fh;
}

/* ---- size ---- */

/* store/image.h: magic, lengths, Meta, records, end. */
static uint64_t size_now(struct front *f)
{
	Coordfs__Meta meta = COORDFS__META__INIT;

	machine_meta(replica_machine(f->replica), &meta);
	return 8 + 8 + coordfs__meta__get_packed_size(&meta) + 8 * meta.records + meta.state_bytes + 24;
}

uint64_t backup_size(struct front *f, pid_t pid)
{
	struct backup_file *b;

	DL_FOREACH (f->backups, b)
		if (b->opener == pid && b->fd >= 0)
			return b->size;
	return size_now(f);
}

/* ---- OPEN ---- */

static void close_file(struct front *f, struct backup_file *b)
{
	DL_DELETE(f->backups, b);
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

/* The backup is not given up for that: it is thrown away when it is there. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct backup_file *b = data;

	b->req = NULL;
	reply_code(req, ERR_INTERRUPTED);
}

static void answer(struct backup_file *b, int code)
{
	fuse_req_t req = b->req;

	b->req = NULL;
	fuse_req_interrupt_func(req, NULL, NULL);
	if (code < 0) {
		note_error(b->front, static_node(STATIC_SNAPSHOT), code, NULL);
		reply_code(req, code);
		close_file(b->front, b);
	} else if (fuse_reply_open(req, &b->fi) != 0) {
		close_file(b->front, b);
	}
}

static void on_backup(void *ctx, int code, int fd, uint64_t revision)
{
	struct backup_file *b = ctx;
	struct stat st;

	(void)revision; /* it is in the file */
	b->fd = fd;
	if (code == OK && fstat(fd, &st) < 0)
		code = ERR_CORRUPT;
	if (code == OK)
		b->size = (uint64_t)st.st_size;
	if (b->req)
		answer(b, code);
	else
		close_file(b->front, b);
}

static unsigned count(struct front *f)
{
	struct backup_file *b;
	unsigned n;

	DL_COUNT(f->backups, b, n);
	return n;
}

static int check(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	uid_t uid = fuse_req_ctx(req)->uid;
	struct attr root;
	int code = view_attr(front_view(f), INODE_ROOT, &root);

	if (code < 0)
		return code;
	if ((fi->flags & O_ACCMODE) != O_RDONLY || (uid != 0 && uid != root.uid))
		return ERR_ACCESS;
	return count(f) >= BACKUPS_MAX ? ERR_QUOTA : OK;
}

void backup_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	int code = check(req, fi);
	struct backup_file *b = code < 0 ? NULL : calloc(1, sizeof *b);

	if (!b) {
		note_error(f, node, code < 0 ? code : ERR_NO_MEMORY, NULL);
		reply_code(req, code < 0 ? code : ERR_NO_MEMORY);
		return;
	}
	*b = (struct backup_file){.front = f, .req = req, .fi = *fi, .opener = fuse_req_ctx(req)->pid, .fd = -1};
	b->fi.fh = (uintptr_t)b;
	b->fi.direct_io = 1;
	DL_PREPEND(f->backups, b);
	replica_backup(f->replica, on_backup, b);
	fuse_req_interrupt_func(req, on_interrupt, b);
}

/* ---- READ: from the pool, for the disk may be slow ---- */

struct backup_read {
	uv_fs_t work;
	fuse_req_t req;
	uv_buf_t buffer;
	char data[];
};

static void on_read(uv_fs_t *work)
{
	struct backup_read *r = work->data;

	if (work->result < 0)
		reply_code(r->req, ERR_CORRUPT);
	else
		fuse_reply_buf(r->req, r->data, (size_t)work->result);
	uv_fs_req_cleanup(work);
	free(r);
}

void backup_read(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct backup_read *r;

	if (size > LIMIT_FILE_BYTES)
		size = LIMIT_FILE_BYTES;
	r = malloc(sizeof *r + size);
	if (!r) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	r->req = req;
	r->work.data = r;
	r->buffer = uv_buf_init(r->data, (unsigned)size);
	if (uv_fs_read(f->loop, &r->work, file_of(fi)->fd, &r->buffer, 1, offset, on_read) == 0)
		return;
	reply_code(req, ERR_NO_MEMORY);
	free(r);
}

/* ---- closing: so much room takes a moment to be freed ---- */

static void on_closed(uv_fs_t *work)
{
	uv_fs_req_cleanup(work);
	free(work);
}

void backup_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct backup_file *b = file_of(fi);
	uv_fs_t *work = malloc(sizeof *work);

	if (work && uv_fs_close(f->loop, work, b->fd, on_closed) == 0)
		b->fd = -1;
	else
		free(work);
	close_file(f, b);
	fuse_reply_err(req, 0);
}

void backups_stop(struct front *f)
{
	if (f->replica)
		replica_backup_cancel(f->replica);
}

void backups_free(struct front *f)
{
	while (f->backups)
		close_file(f, f->backups);
}
