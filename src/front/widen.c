/* Several writers of one counter, side by side.
 *
 * With FOPEN_PARALLEL_DIRECT_WRITES the kernel sends writes to one file side by side, but only those that end within
 * what it takes for the file's size; any other waits until those before it are answered, and keeps those behind it
 * waiting. A counter has the size of its text, a few bytes, and a handle that has been written through a few times has
 * its offset behind that: each addition would be a commit of its own, however many want to add.
 *
 * So when writers are seen to wait for each other the kernel is told of a byte far behind the end
 * (FUSE_NOTIFY_STORE), which raises the size it believes in. Nobody else gets to see that size. Who asks for it
 * (stat, SEEK_END) makes the kernel ask us, since attributes are not cached, and the answer puts the kernel's idea
 * right until the next notice. Reads are ours (direct_io). What the kernel reads by itself, for a mapping or for
 * sendfile(2) without a look at the size first, ends where our answer is short, unless a write comes between: then there
 * are zeros behind the text, as with any write behind the end. O_APPEND writes come with an offset behind that byte; to
 * a counter all offsets are the same.
 *
 * The notice can wait in the kernel for a page that the kernel waits for us to fill: hence a thread of libuv's pool. */

#include "front/widen.h"

#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/uio.h>

enum { AHEAD_BYTES = 16 << 20, PAGE_BYTES = 4096 };

struct widener {
	uv_work_t work;
	bool running;
	int fd;
	fuse_ino_t node;
	uint64_t offset;
};

struct widener *widener_new(void)
{
	return calloc(1, sizeof(struct widener));
}

void widener_free(struct widener *w)
{
	free(w);
}

/* Failure is no news: the kernel does not know the node any more, or the mount is gone. */
static void notify(uv_work_t *work)
{
	const struct widener *w = work->data;
	struct fuse_notify_store_out store = {.nodeid = w->node, .offset = w->offset, .size = 1};
	struct fuse_out_header header = {.error = FUSE_NOTIFY_STORE, .len = sizeof header + sizeof store + 1};
	char byte = 0;
	const struct iovec parts[] = {{&header, sizeof header}, {&store, sizeof store}, {&byte, 1}};
	ssize_t put = writev(w->fd, parts, 3);

	(void)put;
}

static void on_notified(uv_work_t *work, int status)
{
	struct widener *w = work->data;

	(void)status;
	w->running = false;
}

void widen(struct front *f, fuse_ino_t node, uint64_t offset)
{
	struct widener *w = f->widener;

	if (w->running)
		return;
	w->work.data = w;
	w->fd = fuse_session_fd(f->session);
	w->node = node;
	w->offset = (offset + AHEAD_BYTES) / PAGE_BYTES * PAGE_BYTES;
	w->running = uv_queue_work(f->loop, &w->work, notify, on_notified) == 0;
}
