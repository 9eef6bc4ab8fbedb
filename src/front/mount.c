/* The session with the kernel, from mount(2) to umount(2). */

#include "front/mount.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "front/eventual.h"
#include "front/handle.h"
#include "front/loop.h"
#include "front/notes.h"
#include "front/owed.h"
#include "front/virtual.h"
#include "front/wait.h"
#include "front/waiters.h"
#include "front/widen.h"

/* ---- INIT ---- */

/* READDIRPLUS would bring attributes that are void when they arrive (timeouts 0). Set-user-id bits are the kernel's
 * to clear. Splicing costs more than it saves on small requests. */
void mount_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_HANDLE_KILLPRIV |
				  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
				       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_AUTO_INVAL_DATA);
	conn->time_gran = 1;
}

/* ---- STATFS ---- */

enum { BLOCK_BYTES = 4096, INODE_BYTES = 1024 /* a small object with its name */ };

void mount_statfs(fuse_req_t req)
{
	struct front *f = front_of(req);
	Coordfs__Meta meta = COORDFS__META__INIT;
	struct replica_status status;
	struct statvfs out = {.f_bsize = BLOCK_BYTES, .f_frsize = BLOCK_BYTES, .f_namemax = LIMIT_NAME_BYTES};
	uint64_t room;

	machine_meta(replica_machine(f->replica), &meta);
	replica_status(f->replica, &status);
	room = meta.state_bytes < LIMIT_STATE_BYTES ? LIMIT_STATE_BYTES - meta.state_bytes : 0;
	if (room > status.disk_free_bytes)
		room = status.disk_free_bytes;
	out.f_bfree = out.f_bavail = room / BLOCK_BYTES;
	out.f_blocks = out.f_bfree + (meta.state_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
	out.f_ffree = out.f_favail = room / INODE_BYTES;
	out.f_files = out.f_ffree + meta.inodes;
	fuse_reply_statfs(req, &out);
}

/* ---- life ---- */

struct front *front_new(uv_loop_t *loop, const struct log *log)
{
	struct front *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->loop = loop;
	f->log = log;
	f->handles = handles_new();
	f->notes = notes_new();
	f->widener = widener_new();
	f->eventual = eventual_new();
	f->scratch = malloc(LIMIT_FILE_BYTES);
	if (f->widener && f->handles && f->notes && f->eventual && f->scratch)
		return f;
	front_free(f);
	return NULL;
}

/* The source may hold commas and backslashes. */
static int add_source(char **options, const char *source)
{
	char *option;
	int code;

	if (asprintf(&option, "fsname=%s", source) < 0)
		return -1;
	code = fuse_opt_add_opt_escaped(options, option);
	free(option);
	return code;
}

static int make_session(struct front *f)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char *options = NULL;
	int code = fuse_opt_add_opt(&options, "default_permissions,subtype=coordfs");

	code |= add_source(&options, f->config.source);
	if (f->config.options && *f->config.options)
		code |= fuse_opt_add_opt(&options, f->config.options);
	code |= fuse_opt_add_arg(&args, "coordfs");
	code |= fuse_opt_add_arg(&args, "-o");
	code |= fuse_opt_add_arg(&args, options ? options : "");
	if (f->config.debug)
		code |= fuse_opt_add_arg(&args, "-d");
	if (code == 0)
		f->session = fuse_session_new(&args, &dispatch_ops, sizeof dispatch_ops, f);
	free(options);
	fuse_opt_free_args(&args);
	return f->session ? 0 : -1;
}

/* libfuse and fusermount3 say on stderr why a mount failed. It becomes part of our one line. */
static int stderr_to_memory(int *saved)
{
	int memory = memfd_create("mount", MFD_CLOEXEC);

	*saved = fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (memory >= 0 && *saved >= 0)
		dup2(memory, 2);
	return memory;
}

static void stderr_back(int memory, int saved, char *words, size_t size)
{
	ssize_t got = memory >= 0 ? pread(memory, words, size - 1, 0) : 0;

	words[got > 0 ? got : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	if (saved >= 0) {
		dup2(saved, 2);
		close(saved);
	}
	if (memory >= 0)
		close(memory);
}

static int mount_session(struct front *f, char *error, size_t error_size)
{
	char words[256];
	int saved, memory = stderr_to_memory(&saved);
	int code = fuse_session_mount(f->session, f->config.mountpoint);

	stderr_back(memory, saved, words, sizeof words);
	if (code != 0)
		snprintf(error, error_size, "cannot mount on %s: %s", f->config.mountpoint,
			 *words ? words : "libfuse does not say why");
	return code;
}

int front_start(struct front *f, struct replica *replica, const struct front_config *config, char *error,
		size_t error_size)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	f->started_ns = now.tv_sec * 1000000000 + now.tv_nsec;
	f->config = *config;
	if (owed_new(f) < 0 || waiters_new(f) < 0 || virtual_start(f) < 0) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	f->replica = replica; /* from now on its events are ours */
	f->gossip = replica_gossip(replica);
	if (wait_start(f) < 0) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	if (make_session(f) < 0) {
		snprintf(error, error_size, "libfuse refuses the options '%s'", config->options);
		return -1;
	}
	if (mount_session(f, error, error_size) != 0)
		return -1;
	f->device = loss_device(f->config.mountpoint);
	return loop_start(f, error, error_size);
}

/* The end of the session, which others may profit from at once, is proposed later than this. */
void front_stop(struct front *f)
{
	if (f->session)
		front_lose_locks(f);
	loop_stop(f);
	f->gossip = NULL;
	virtual_stop(f);
	waiters_stop(f);
	wait_stop(f);
	owed_stop(f);
}

/* Unmounting closes the connection: what still waits for an answer gets ENOTCONN from the kernel. */
void front_free(struct front *f)
{
	if (!f)
		return;
	front_stop(f);
	if (f->session)
		fuse_session_unmount(f->session);
	waiters_free(f);
	wait_free(f);
	owed_free(f);
	handles_free(f->handles);
	if (f->session)
		fuse_session_destroy(f->session);
	loop_free(f);
	virtual_free(f);
	notes_free(f->notes);
	widener_free(f->widener);
	eventual_free(f->eventual);
	free(f->scratch);
	free(f);
}
