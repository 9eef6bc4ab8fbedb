/* Locks: flock(2), fcntl(2). Every request is a command in the log; one that must wait is answered when its grant
 * is applied, by whatever entry brought it about.
 *
 * waiters.c is about requests on their way.
 *
 * What a close releases is proposed without anybody waiting for it (RELEASE has no answer), but reads of the object
 * through this mount wait until it is applied, and later lock requests come after it in the log anyway.
 *
 * The kernel shows locks of open file descriptions (F_OFD_*) as a process's, and releases them with nothing but
 * RELEASE: so every owner is remembered with the handle that it used. */

#include "front/machine_class.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "front/owed.h"
#include "front/waiters.h"

/* ---- asking ---- */

/* The command name of a process, for people who read `.info`. */
static size_t process_name(pid_t pid, char out[16])
{
	char path[32];
	ssize_t size;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size = read(fd, out, 16);
	close(fd);
	if (size > 0 && out[size - 1] == '\n')
		size--;
	return size > 0 ? (size_t)size : 0;
}

static void lock_request(fuse_req_t req, struct fuse_file_info *fi, Coordfs__LockRequest *lock)
{
	char process[16];

	lock->uid = fuse_req_ctx(req)->uid;
	if (lock->mode != LOCK_MODE_UNLOCK)
		lock->process = binary_of(process, process_name((pid_t)lock->pid, process));
	waiters_ask(front_of(req), req, handle_of(fi), fi->lock_owner, lock);
}

void locks_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int operation)
{
	Coordfs__LockRequest lock = COORDFS__LOCK_REQUEST__INIT;

	lock.kind = LOCK_KIND_FLOCK;
	lock.mode = operation & LOCK_UN	  ? LOCK_MODE_UNLOCK
		    : operation & LOCK_SH ? LOCK_MODE_SHARED
					  : LOCK_MODE_EXCLUSIVE;
	lock.end = UINT64_MAX;
	lock.wait = lock.mode != LOCK_MODE_UNLOCK && !(operation & LOCK_NB);
	lock.pid = (uint32_t)fuse_req_ctx(req)->pid;
	(void)node;
	if (!handle_refused(req, handle_of(fi)))
		lock_request(req, fi, &lock);
}

static enum lock_mode mode_of(short type)
{
	return type == F_UNLCK ? LOCK_MODE_UNLOCK : type == F_RDLCK ? LOCK_MODE_SHARED : LOCK_MODE_EXCLUSIVE;
}

/* Length 0 is to the end of all files. */
static uint64_t end_of(const struct flock *lock)
{
	return lock->l_len == 0 ? UINT64_MAX : (uint64_t)lock->l_start + (uint64_t)lock->l_len - 1;
}

void locks_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *asked, int wait)
{
	Coordfs__LockRequest lock = COORDFS__LOCK_REQUEST__INIT;

	lock.kind = LOCK_KIND_POSIX;
	lock.mode = mode_of(asked->l_type);
	lock.start = (uint64_t)asked->l_start;
	lock.end = end_of(asked);
	lock.wait = wait && lock.mode != LOCK_MODE_UNLOCK;
	lock.pid = (uint32_t)(asked->l_pid > 0 ? asked->l_pid : fuse_req_ctx(req)->pid);
	(void)node;
	if (!handle_refused(req, handle_of(fi)))
		lock_request(req, fi, &lock);
}

/* ---- F_GETLK ---- */

static void reply_lock(struct front *f, fuse_req_t req, const struct lock_info *lock)
{
	struct flock out = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (lock) {
		out.l_type = lock->mode == LOCK_MODE_SHARED ? F_RDLCK : F_WRLCK;
		out.l_start = (off_t)lock->start;
		out.l_len = lock->end >= INT64_MAX ? 0 : (off_t)(lock->end - lock->start + 1);
		out.l_pid = lock->session == replica_session(f->replica) ? (pid_t)lock->pid : 0;
	}
	fuse_reply_lock(req, &out);
}

/* The arguments travel in the call: offset and size are the range's first and last byte, number the mode. */
static void do_getlk(struct front *f, struct call *c)
{
	struct lock_info found, want = {
		.inode = c->node,
		.session = replica_session(f->replica),
		.owner = c->fi.lock_owner,
		.kind = LOCK_KIND_POSIX,
		.mode = (enum lock_mode)c->number,
		.start = c->offset,
		.end = c->size,
	};

	if (!call_must_settle(f, c, c->node))
		reply_lock(f, c->req,
			   machine_lock_conflict(replica_machine(f->replica), c->node, &want, &found) ? &found
												       : NULL);
}

void locks_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *asked)
{
	struct call c = call_of(req, node, NULL, fi);

	c.number = mode_of(asked->l_type);
	c.offset = (uint64_t)asked->l_start;
	c.size = end_of(asked);
	c.run = do_getlk;
	if (!handle_refused(req, handle_of(fi)))
		call_strong(&c);
}

/* ---- closing ---- */

static Coordfs__LockDrop drop_of(uint64_t inode, uint64_t owner, uint64_t handle)
{
	Coordfs__LockDrop drop = COORDFS__LOCK_DROP__INIT;

	drop.inode = inode;
	drop.owner = owner;
	drop.handle = handle;
	return drop;
}

struct closing {
	fuse_req_t req;
	struct front *front;
	uint64_t inode;
};

static void on_flushed(void *ctx, const struct reply *reply)
{
	struct closing *c = ctx;

	if (reply->code < 0)
		note_error(c->front, c->inode, reply->code, reply->text);
	reply_code(c->req, reply->code);
	free(c);
}

/* Any close by a process drops its fcntl locks on the file. When close(2) has returned success they are gone; when the
 * log did not take it in time that is tried again until it does. */
void locks_flush(struct front *f, const struct call *c)
{
	struct handle *h = handle_of(&c->fi);
	Coordfs__LockDrop drop = drop_of(c->node, c->fi.lock_owner, 0);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct closing *closing;

	if (!handle_forget_owner(h, c->fi.lock_owner)) {
		reply_code(c->req, OK);
		return;
	}
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	closing = malloc(sizeof *closing);
	if (closing)
		*closing = (struct closing){c->req, f, c->node};
	if (!closing || owed_propose(f, &command, on_flushed, NULL, closing) < 0) {
		free(closing);
		reply_code(c->req, ERR_NO_MEMORY);
	}
}

void locks_release(struct front *f, struct handle *h)
{
	Coordfs__LockDrop drop = drop_of(handle_inode(h), 0, h->number);
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	if (!handle_has_asked(h))
		return;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	handle_propose_unasked(f, h, &command, true);
}
