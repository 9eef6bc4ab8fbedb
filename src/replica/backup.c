/* replica_backup: an image of the present state in a file without a name, written by a child. The file is made here
 * and shared with the child; whoever is told of it reads it with pread(2). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "replica/child.h"
#include "replica/internal.h"

#define BACKUPS_MAX 4		/* at once; each may need as much memory again as is changed meanwhile */
#define RESERVE_BYTES (64u << 20) /* the log's: a backup shall not fill the disk that it lives on */

struct backup {
	struct replica *replica;
	struct backup *next;
	struct child child;
	uv_poll_t poll;
	int fd, code;
	uint64_t revision;
	void (*done)(void *ctx, int code, int fd, uint64_t revision);
	void *ctx;
};

/* Where the file system has no O_TMPFILE a name is made and removed at once. */
static int open_unnamed(const struct replica *r)
{
	int dir = r->directory.fd, fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[] = "backup.tmp";

	if (fd >= 0 || errno == ENOSPC || errno == EDQUOT)
		return fd;
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0) /* a crash left it */
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlinkat(dir, name, 0);
	return fd;
}

static void write_backup(void *ctx, void *answer)
{
	struct backup *b = ctx;
	struct image_sum sum;

	*(int *)answer = image_write(b->fd, b->replica->machine, b->replica->store, &sum);
}

/* ---- the end ---- */

static void unlink_backup(struct backup *b)
{
	struct backup **at = &b->replica->backups;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish(struct backup *b)
{
	unlink_backup(b);
	if (b->code < 0) {
		close(b->fd);
		b->fd = -1;
	}
	uv_close((uv_handle_t *)&b->poll, on_closed);
	b->done(b->ctx, b->code, b->fd, b->revision);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
	struct backup *b = poll->data;
	int code;

	(void)status, (void)events; /* an error shows when reading */
	uv_poll_stop(poll);
	code = child_answer(&b->child, &b->code, sizeof b->code);
	if (code == QUEUED) {
		uv_poll_start(poll, UV_READABLE, on_answer);
		return;
	}
	if (code < 0)
		b->code = code;
	finish(b);
}

void replica_backup_cancel(struct replica *r)
{
	struct backup *b;

	while ((b = r->backups)) {
		uv_poll_stop(&b->poll);
		child_kill(&b->child);
		b->code = ERR_CANCELED;
		finish(b);
	}
}

/* ---- the beginning ---- */

static int check(struct replica *r)
{
	Coordfs__Meta meta = COORDFS__META__INIT;
	unsigned count = 0;

	if (!r->machine)
		return ERR_NO_QUORUM; /* not yet there */
	for (const struct backup *b = r->backups; b; b = b->next)
		count++;
	if (count >= BACKUPS_MAX)
		return ERR_BUSY;
	machine_meta(r->machine, &meta);
	return replica_free_bytes(r) < RESERVE_BYTES + meta.state_bytes + 8 * meta.records ? ERR_NO_SPACE : OK;
}

static int start(struct backup *b)
{
	struct replica *r = b->replica;
	int code;

	b->fd = open_unnamed(r);
	if (b->fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_CORRUPT;
	b->revision = machine_applied(r->machine);
	code = child_start(&b->child, b->fd, write_backup, b, sizeof b->code);
	if (code == OK && uv_poll_init(r->loop, &b->poll, b->child.pipe) != 0) {
		child_kill(&b->child);
		code = ERR_NO_MEMORY;
	}
	if (code < 0)
		close(b->fd);
	else
		uv_poll_start(&b->poll, UV_READABLE, on_answer);
	return code;
}

/* It could not even begin: that is told from the loop, too. */
struct refusal {
	uv_timer_t timer;
	int code;
	void (*done)(void *ctx, int code, int fd, uint64_t revision);
	void *ctx;
};

static void on_refusal(uv_timer_t *timer)
{
	struct refusal *f = timer->data;

	f->done(f->ctx, f->code, -1, 0);
	uv_close((uv_handle_t *)timer, on_closed);
}

static void refuse(struct replica *r, int code, void (*done)(void *ctx, int code, int fd, uint64_t revision), void *ctx)
{
	struct refusal *f = calloc(1, sizeof *f);

	if (!f)
		abort(); /* no memory to say that there is no memory */
	*f = (struct refusal){.code = code, .done = done, .ctx = ctx};
	uv_timer_init(r->loop, &f->timer);
	f->timer.data = f;
	uv_timer_start(&f->timer, on_refusal, 0, 0);
}

void replica_backup(struct replica *r, void (*done)(void *ctx, int code, int fd, uint64_t revision), void *ctx)
{
	struct backup *b = calloc(1, sizeof *b);
	int code = b ? check(r) : ERR_NO_MEMORY;

	if (code == OK) {
		*b = (struct backup){.replica = r, .fd = -1, .done = done, .ctx = ctx};
		b->poll.data = b;
		code = start(b);
	}
	if (code < 0) {
		free(b);
		refuse(r, code, done, ctx);
		return;
	}
	b->next = r->backups;
	r->backups = b;
}
