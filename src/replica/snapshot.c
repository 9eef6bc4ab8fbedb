/* Images, and libraft's snapshots that name them.
 *
 * libraft calls fsm.snapshot at a moment when the machine has applied exactly what the snapshot is of. Then we fork:
 * the child sees the state of that moment for as long as it needs (copy-on-write), writes image-INDEX.coordfs, and
 * says so through a pipe; the loop stands still for the fork only. libraft's next step, io.snapshot_put, is ours too:
 * it waits for the child, fills in the buffer (a few lines of text: index, length, checksum) and only then lets
 * raft_uv store it and drop old segments. (fsm.snapshot_async would run on the loop in 0.22.1.)
 *
 * libraft knows no failed snapshot (it asserts). So a child that fails is started again, over the state of that later
 * moment: the image is then newer than its name, and entries in between are skipped when it is loaded (apply.c). The
 * same holds for a put that fails.
 *
 * When: the log that libraft holds in memory and on disk has grown to a bound. The bound grows with the state, so that
 * a large state is not written again and again, and the next image waits for some multiple of the last one's time. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/internal.h"
#include "store/store_tdb.h"

#define ENTRY_OVERHEAD 128 /* libraft's, in memory */
#define LOG_BYTES_MIN (48u << 20)
#define LOG_BYTES_MAX (256u << 20)
#define TRAILING_PART 3 /* of the log between two images stays behind the newest one */
#define REST_FACTOR 4 /* between two images, in units of the time the last took */
#define RETRY_MS 2000

struct answer {
	int rc;
	struct image_sum sum;
};

static struct replica *replica_of(struct raft_io *io)
{
	return (struct replica *)((char *)io - offsetof(struct replica, engine.io));
}

/* ---- when ---- */

void snapshots_reset(struct replica *r)
{
	r->snapshots.log_bytes = 0;
	r->snapshots.recent_count = 0;
	r->snapshots.wanted = false;
}

static uint64_t log_bytes_limit(const struct replica *r)
{
	Coordfs__Meta meta = COORDFS__META__INIT;
	uint64_t limit;

	if (r->config.snapshot_log_bytes)
		return r->config.snapshot_log_bytes;
	machine_meta(r->machine, &meta);
	limit = meta.state_bytes / 4;
	return limit < LOG_BYTES_MIN ? LOG_BYTES_MIN : limit > LOG_BYTES_MAX ? LOG_BYTES_MAX : limit;
}

void snapshots_consider(struct replica *r)
{
	struct snapshots *s = &r->snapshots;
	uint64_t limit;

	if (s->wanted || s->active || !r->engine.up || !r->machine)
		return;
	limit = log_bytes_limit(r);
	if (s->log_bytes < limit ||
	    (s->log_bytes < 4 * limit && replica_now_ms(r) - s->finished_ms < REST_FACTOR * s->last_ms))
		return;
	s->wanted = true;
	raft_set_snapshot_threshold(&r->engine.raft, 1);
}

void snapshots_note_entry(struct replica *r, size_t bytes)
{
	struct snapshots *s = &r->snapshots;

	s->recent[s->recent_count++ % TRAILING_MAX] = (uint32_t)bytes;
	s->log_bytes += bytes + ENTRY_OVERHEAD;
	if (s->log_bytes >= (r->config.snapshot_log_bytes ? r->config.snapshot_log_bytes : LOG_BYTES_MIN))
		snapshots_consider(r);
}

/* How many entries to keep behind a snapshot: a bounded number of bytes; never 0, which means something else. */
static unsigned trailing_entries(const struct replica *r)
{
	const struct snapshots *s = &r->snapshots;
	uint64_t limit = log_bytes_limit(r) / TRAILING_PART;
	uint64_t bytes = 0;
	unsigned n = 0;

	while (n < TRAILING_MAX && n < s->recent_count) {
		bytes += s->recent[(s->recent_count - 1 - n) % TRAILING_MAX];
		if (bytes > limit)
			break;
		n++;
	}
	return n ? n : 1;
}

/* ---- the child ---- */

static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

/* Die with the daemon, hold nothing of it open (/dev/fuse, the lock), stand back. */
static void become_child(pid_t parent, int keep_a, int keep_b)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "coordfs-image");
	close_all_but(keep_a, keep_b);
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpriority(PRIO_PROCESS, 0, 10);
}

static int write_image(struct replica *r, struct image_sum *sum)
{
	int dir = r->directory.fd, fd, rc;
	char name[IMAGE_NAME_BYTES], temporary[IMAGE_NAME_BYTES + 4];

	image_name(r->snapshots.index, name);
	snprintf(temporary, sizeof temporary, "%s.tmp", name);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENOSPC ? ERR_NO_SPACE : ERR_CORRUPT;
	rc = image_write(fd, r->machine, r->store, sum);
	if (close(fd) && !rc)
		rc = ERR_CORRUPT;
	if (!rc && (renameat(dir, temporary, dir, name) || fsync(dir)))
		rc = ERR_CORRUPT;
	if (rc)
		unlinkat(dir, temporary, 0);
	return rc;
}

static _Noreturn void run_child(struct replica *r, pid_t parent, int pipe)
{
	struct answer answer;

	memset(&answer, 0, sizeof answer);
	become_child(parent, r->directory.fd, pipe);
	answer.rc = write_image(r, &answer.sum);
	_exit(write(pipe, &answer, sizeof answer) == sizeof answer ? 0 : 1);
}

static int fork_child(struct replica *r)
{
	struct snapshots *s = &r->snapshots;
	pid_t parent = getpid();
	sigset_t all, before;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return ERR_NO_MEMORY;
	/* The program's signal handlers must not run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->child = fork();
	if (s->child == 0)
		run_child(r, parent, ends[1]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (s->child < 0) {
		close(ends[0]);
		s->child = 0;
		return ERR_NO_MEMORY;
	}
	s->pipe = ends[0];
	s->started_ms = replica_now_ms(r);
	return 0;
}

static void reap_child(struct snapshots *s)
{
	close(s->pipe);
	while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
		;
	s->child = 0;
}

/* ---- libraft's calls ---- */

int snapshot_begin(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
	struct replica *r = fsm->data;
	struct snapshots *s = &r->snapshots;
	struct raft_buffer *buffer;

	if (!r->machine || r->chores.running) /* which may be removing images */
		return RAFT_BUSY;
	buffer = raft_calloc(1, sizeof *buffer);
	if (!buffer || !(buffer->base = raft_calloc(1, SNAPSHOT_NAME_BYTES)))
		goto fail;
	buffer->len = SNAPSHOT_NAME_BYTES;
	s->index = raft_last_applied(&r->engine.raft);
	machine_set_applied(r->machine, s->index);
	if (fork_child(r))
		goto fail;
	*bufs = s->buffer = buffer;
	*n_bufs = 1;
	s->active = true;
	s->wanted = s->written = false;
	s->retry_at_ms = 0;
	s->bytes_at_start = s->log_bytes;
	raft_set_snapshot_threshold(&r->engine.raft, UINT32_MAX);
	raft_set_snapshot_trailing(&r->engine.raft, trailing_entries(r));
	replica_wake(r);
	return 0;
fail:
	if (buffer)
		raft_free(buffer->base);
	raft_free(buffer);
	return RAFT_NOMEM;
}

/* libraft knows no failure here either. */
static void installed(struct raft_io_snapshot_put *own, int status)
{
	struct replica *r = own->data;
	struct snapshots *s = &r->snapshots;

	if (status && !r->engine.closing) {
		s->install.retry_at_ms = replica_now_ms(r) + RETRY_MS;
		log_line(r->log, LOG_LEVEL_WARNING, "%s: the leader's snapshot cannot be stored: trying again",
			 r->directory.path);
		return;
	}
	if (status == 0)
		replica_note_snapshot(r, s->install.snapshot->index);
	s->install.callback(s->install.request, status ? RAFT_CANCELED : 0);
}

static void put_installed(struct replica *r)
{
	struct snapshots *s = &r->snapshots;

	s->install.retry_at_ms = 0;
	s->install.own.data = r;
	if (r->engine.snapshot_put(&r->engine.io, 0, &s->install.own, s->install.snapshot, installed))
		s->install.retry_at_ms = replica_now_ms(r) + RETRY_MS;
}

static int put_from_leader(struct replica *r, struct raft_io_snapshot_put *request,
			   const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
	struct snapshots *s = &r->snapshots;

	s->install.request = request;
	s->install.snapshot = snapshot;
	s->install.callback = cb;
	put_installed(r);
	return 0;
}

int snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
		 const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
	struct snapshots *s = &replica_of(io)->snapshots;

	if (!s->active) /* not one of our own, which snapshot_begin began */
		return put_from_leader(replica_of(io), request, snapshot, cb);
	s->trailing = trailing;
	s->request = request;
	s->snapshot = snapshot;
	s->callback = cb;
	return 0;
}

/* ---- from the child's end to libraft's ---- */

static void retry(struct replica *r, const char *what, int code)
{
	r->snapshots.retry_at_ms = replica_now_ms(r) + RETRY_MS;
	log_line(r->log, LOG_LEVEL_WARNING, "%s: the image of entry %" PRIu64 " could not be %s (%s): trying again",
		 r->directory.path, r->snapshots.index, what, error_text(code));
}

static void finished(struct replica *r, int status)
{
	struct snapshots *s = &r->snapshots;
	raft_io_snapshot_put_cb callback = s->callback;
	struct raft_io_snapshot_put *request = s->request;

	s->active = false;
	s->request = NULL;
	s->finished_ms = replica_now_ms(r);
	s->last_ms = s->finished_ms - s->started_ms;
	if (status == 0) {
		s->log_bytes -= s->bytes_at_start;
		s->stored = s->index;
		replica_note_snapshot(r, s->index);
		log_line(r->log, LOG_LEVEL_INFO, "image of entry %" PRIu64 ": %" PRIu64 " bytes in %" PRIu64 " ms",
			 s->index, s->sum.bytes, s->last_ms);
	}
	callback(request, status);
}

static void stored(struct raft_io_snapshot_put *own, int status)
{
	struct replica *r = own->data;

	if (status == 0 || r->engine.closing)
		finished(r, status);
	else
		retry(r, "stored", ERR_CORRUPT);
}

size_t snapshot_name_render(uint64_t index, const struct image_sum *sum, char out[SNAPSHOT_NAME_BYTES])
{
	return (size_t)snprintf(out, SNAPSHOT_NAME_BYTES,
				"coordfs-image 1\nindex=%" PRIu64 "\nbytes=%" PRIu64 "\nchecksum=%016" PRIx64 "\n",
				index, sum->bytes, sum->checksum);
}

/* The image is there: name it, and let raft_uv store that. */
static void store_name(struct replica *r)
{
	struct snapshots *s = &r->snapshots;

	s->buffer->len = snapshot_name_render(s->index, &s->sum, s->buffer->base);
	s->own.data = r;
	if (r->engine.snapshot_put(&r->engine.io, s->trailing, &s->own, s->snapshot, stored))
		retry(r, "stored", ERR_NO_MEMORY);
}

static void read_answer(struct replica *r)
{
	struct snapshots *s = &r->snapshots;
	struct answer answer;
	ssize_t n = read(s->pipe, &answer, sizeof answer);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	reap_child(s);
	if (n != sizeof answer)
		answer.rc = ERR_INTERRUPTED;
	if (answer.rc) {
		retry(r, "written", answer.rc);
		return;
	}
	s->sum = answer.sum;
	s->written = true;
	store_name(r);
}

bool snapshots_need_tick(const struct replica *r)
{
	return r->snapshots.active || r->snapshots.install.retry_at_ms;
}

void snapshots_tick(struct replica *r, uint64_t now_ms)
{
	struct snapshots *s = &r->snapshots;

	if (s->install.retry_at_ms && now_ms >= s->install.retry_at_ms && !r->engine.closing)
		put_installed(r);
	if (!s->active || r->engine.closing)
		return;
	if (s->child) {
		read_answer(r);
	} else if (s->retry_at_ms && now_ms >= s->retry_at_ms) {
		s->retry_at_ms = 0;
		if (s->written)
			store_name(r);
		else if (fork_child(r))
			retry(r, "written", ERR_NO_MEMORY);
	}
}

void snapshot_cancel(struct replica *r)
{
	struct snapshots *s = &r->snapshots;
	bool with_raft_uv = s->active && s->written && !s->retry_at_ms;

	if (s->install.retry_at_ms) {
		s->install.retry_at_ms = 0;
		s->install.callback(s->install.request, RAFT_CANCELED);
	}
	if (!s->active || with_raft_uv) /* which calls back itself */
		return;
	if (s->child) {
		kill(s->child, SIGKILL);
		reap_child(s);
	}
	finished(r, RAFT_CANCELED);
}

/* ---- loading ---- */

/* sscanf takes any blank for another, and blanks for a leading zero: what it read must give the same bytes again. */
bool snapshot_name_parse(const struct raft_buffer *buffer, uint64_t *index, struct image_sum *sum)
{
	char text[SNAPSHOT_NAME_BYTES], again[SNAPSHOT_NAME_BYTES];

	if (buffer->len >= sizeof text)
		return false;
	memcpy(text, buffer->base, buffer->len);
	text[buffer->len] = '\0';
	return sscanf(text, "coordfs-image 1\nindex=%" SCNu64 "\nbytes=%" SCNu64 "\nchecksum=%" SCNx64, index,
		      &sum->bytes, &sum->checksum) == 3 &&
	       snapshot_name_render(*index, sum, again) == buffer->len && memcmp(again, text, buffer->len) == 0;
}

static int load_image(struct replica *r, const char *name, const struct image_sum *sum)
{
	char why[ERROR_BYTES];
	int fd = openat(r->directory.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;

	if (fd < 0) {
		replica_fail(r, "%s/%s, the state that the log goes on from, cannot be opened: %s: restore the data "
			     "directory from a backup",
			     r->directory.path, name, strerror(errno));
		return ERR_CORRUPT;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	rc = store_tdb_new(&r->store);
	if (rc)
		snprintf(why, sizeof why, "cannot be loaded: %s", error_text(rc));
	else
		rc = image_load(fd, sum, r->store, &r->observer, &r->machine, why, sizeof why);
	close(fd);
	if (rc) {
		store_tdb_free(r->store);
		r->store = NULL;
		replica_fail(r, "%s/%s %s%s", r->directory.path, name, why,
			     rc == ERR_CORRUPT ? ": restore the data directory from a backup" : "");
	}
	return rc;
}

/* The machine that is too old. Nobody looks into it from now on. */
static void let_go(struct replica *r)
{
	if (!r->machine)
		return;
	if (r->observing) {
		if (r->config.restoring)
			r->config.restoring(r->config.ctx);
		r->restored_untold = true;
		replica_kick(r);
	}
	machine_free(r->machine);
	store_tdb_free(r->store);
	r->machine = NULL;
	r->store = NULL;
}

int snapshot_load(struct replica *r, const struct raft_buffer *buffer)
{
	char name[IMAGE_NAME_BYTES];
	struct image_sum sum;
	uint64_t index;
	int rc;

	if (!snapshot_name_parse(buffer, &index, &sum)) {
		replica_fail(r, "%s: the newest snapshot is damaged: restore the data directory from a backup",
			     r->directory.raft_path);
		return ERR_CORRUPT;
	}
	r->snapshots.stored = index;
	if (r->machine && machine_applied(r->machine) >= index)
		return 0;
	image_name(index, name);
	let_go(r);
	rc = load_image(r, name, &sum);
	if (rc) {
		apply_machine_ready(r); /* whoever looks finds an empty one, until it stops */
		return rc;
	}
	if (machine_applied(r->machine) < index) {
		replica_fail(r, "%s/%s is damaged: its state is older than its name", r->directory.path, name);
		rc = ERR_CORRUPT;
	}
	if (!rc && !replica_keeps_up(r))
		rc = ERR_NOT_SUPPORTED;
	return rc;
}
