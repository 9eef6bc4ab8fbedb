/* Requests from the kernel, on the uv loop.
 *
 * The session's file descriptor is non-blocking and watched by uv_poll; when it is readable it is drained, some
 * requests at a time so that the log's disk I/O gets its turn.
 *
 * Spinning. Waking a sleeping core costs 20-45 µs, which is as much as everything else of a request. So after
 * a request the loop polls on instead of sleeping, for SPIN_NS, as long as requests keep coming that fast: an
 * idle handle makes every turn of the loop return at once, with all of uv's work in it (libraft's completions
 * too). When nothing came in that time it sleeps, and does not spin again before two requests have come within
 * SPIN_NS of each other: a quiet mount uses no CPU. With one CPU it never spins.
 *
 * Flags that libfuse 3.14 does not know go through fuse_session_custom_io: FUSE_DIRECT_IO_ALLOW_MMAP is set in the
 * reply to INIT when the kernel offered it, FOPEN_PARALLEL_DIRECT_WRITES in replies to OPEN and CREATE. */

#include "front/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DRAIN_MAX = 64, SPIN_NS = 60000 };

/* From newer <linux/fuse.h>: bit 36, so bit 4 of flags2. */
static const uint32_t flags2_direct_io_allow_mmap = 1u << 4;
static const uint32_t open_parallel_direct_writes = 1u << 6;

struct loop_io {
	struct front *front;
	uv_poll_t poll;
	uv_idle_t idle;
	struct fuse_buf buffer;
	bool may_spin, is_spinning;
	uint64_t last_ns; /* of the last request */
	uint64_t init_unique;
	uint32_t open_flags; /* for the next OPEN or CREATE reply */
};

/* ---- bytes between libfuse and the kernel ---- */

static void look_at_init(struct front *f, const void *data, size_t size)
{
	const struct fuse_in_header *header = data;
	const struct fuse_init_in *init = (const void *)(header + 1);

	if (size < sizeof *header || header->opcode != FUSE_INIT)
		return;
	f->io->init_unique = header->unique;
	if (size >= sizeof *header + sizeof *init && init->flags & FUSE_INIT_EXT)
		f->direct_io_mmap = init->flags2 & flags2_direct_io_allow_mmap;
}

static ssize_t read_request(int fd, void *data, size_t size, void *userdata)
{
	ssize_t got = read(fd, data, size);

	if (got > 0)
		look_at_init(userdata, data, (size_t)got);
	return got;
}

static void patch_init(const struct front *f, const struct iovec *body)
{
	struct fuse_init_out *out = body->iov_base;

	if (!f->direct_io_mmap || body->iov_len < sizeof *out)
		return;
	out->flags |= FUSE_INIT_EXT;
	out->flags2 |= flags2_direct_io_allow_mmap;
}

/* Of both OPEN's and CREATE's reply fuse_open_out is the end. */
static void patch_open(struct front *f, const struct iovec *body)
{
	struct fuse_open_out out;
	char *at;

	if (body->iov_len < sizeof out)
		return;
	at = (char *)body->iov_base + body->iov_len - sizeof out;
	memcpy(&out, at, sizeof out);
	out.open_flags |= f->io->open_flags;
	memcpy(at, &out, sizeof out);
}

static ssize_t write_reply(int fd, struct iovec *parts, int count, void *userdata)
{
	const struct fuse_out_header *header = parts[0].iov_base;
	struct front *f = userdata;

	if (f->io->init_unique && header->unique == f->io->init_unique) {
		f->io->init_unique = 0;
		if (count > 1)
			patch_init(f, &parts[1]);
	}
	if (f->io->open_flags && header->unique != 0) {
		if (count > 1)
			patch_open(f, &parts[1]);
		f->io->open_flags = 0;
	}
	return writev(fd, parts, count);
}

void loop_open_parallel_writes(struct front *f)
{
	f->io->open_flags = open_parallel_direct_writes;
}

/* ---- turns ---- */

static void ended(struct front *f)
{
	loop_stop(f);
	f->config.ended(f->config.ctx);
}

/* How many requests were answered or taken; -1: the mount is gone. */
static int drain(struct front *f)
{
	struct loop_io *io = f->io;
	int count = 0, got;

	while (count < DRAIN_MAX) {
		got = fuse_session_receive_buf(f->session, &io->buffer);
		if (got == -EINTR)
			continue;
		if (got == -EAGAIN)
			break;
		if (got <= 0)
			return -1;
		replica_check_lease(f->replica); /* a sleep may have ended just now: what is lost is known first */
		fuse_session_process_buf(f->session, &io->buffer);
		count++;
		if (fuse_session_exited(f->session))
			return -1;
	}
	return count;
}

/* uv_poll is still needed to wake up: the idle handle only keeps the loop from sleeping. */
static void on_idle(uv_idle_t *handle)
{
	struct loop_io *io = handle->data;

	if (uv_hrtime() - io->last_ns < SPIN_NS)
		return;
	uv_idle_stop(handle);
	io->is_spinning = false;
}

static void consider_spinning(struct loop_io *io)
{
	uint64_t now = uv_hrtime();
	bool keeps_coming = now - io->last_ns < SPIN_NS;

	io->last_ns = now;
	if (!keeps_coming || io->is_spinning || !io->may_spin)
		return;
	io->is_spinning = true;
	uv_idle_start(&io->idle, on_idle);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct loop_io *io = handle->data;
	int count = drain(io->front);

	(void)status, (void)events; /* an error shows when reading */
	if (count < 0)
		ended(io->front);
	else if (count > 0)
		consider_spinning(io);
}

/* ---- life ---- */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int watch(struct front *f, int fd)
{
	struct loop_io *io = f->io;

	io->front = f;
	io->may_spin = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	if (uv_idle_init(f->loop, &io->idle) || uv_poll_init(f->loop, &io->poll, fd))
		return -1;
	io->idle.data = io->poll.data = io;
	return uv_poll_start(&io->poll, UV_READABLE, on_readable);
}

int loop_start(struct front *f, char *error, size_t error_size)
{
	static const struct fuse_custom_io custom = {.read = read_request, .writev = write_reply};
	int fd = fuse_session_fd(f->session);

	f->io = calloc(1, sizeof *f->io);
	if (!f->io || set_nonblocking(fd) < 0 || fuse_session_custom_io(f->session, &custom, fd) != 0 ||
	    watch(f, fd) != 0) {
		snprintf(error, error_size, "cannot watch the mount: %s", strerror(errno));
		return -1;
	}
	return 0;
}

void loop_pause(struct front *f)
{
	if (f->io && f->io->front)
		uv_poll_stop(&f->io->poll);
}

void loop_resume(struct front *f)
{
	if (f->io && f->io->front)
		uv_poll_start(&f->io->poll, UV_READABLE, on_readable);
}

void loop_stop(struct front *f)
{
	struct loop_io *io = f->io;

	if (!io || !io->front)
		return;
	io->front = NULL;
	uv_close((uv_handle_t *)&io->poll, NULL);
	uv_close((uv_handle_t *)&io->idle, NULL);
}

void loop_free(struct front *f)
{
	if (!f->io)
		return;
	free(f->io->buffer.mem);
	free(f->io);
	f->io = NULL;
}
