/* Locks: flock(2), fcntl(2). Every request is a command in the log; one that must wait is answered when its grant
 * is applied, by whatever entry brought it about.
 *
 * A signal interrupts a wait: then a LockCancel is proposed, and the order in the log decides. If it finds the
 * request still waiting, that is withdrawn: EINTR. If the grant came first, the lock is held: success, which the
 * kernel hands on although there is a signal; a process killed by it closes the file, and that releases the lock.
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
#include <uthash.h>

#include "front/waiters.h"

/* A lock request that may wait. */
struct waiter {
	struct front *front;
	uint64_t sequence;
	fuse_req_t req; /* NULL: answered */
	struct handle *handle;
	enum lock_kind kind;
	uint64_t owner;
	bool asked;    /* the log has not answered yet */
	bool withdrawing; /* a LockCancel is on its way */
	UT_hash_handle hh;
};

struct waiters {
	struct waiter *by_sequence;
};

struct waiters *waiters_new(void)
{
	return calloc(1, sizeof(struct waiters));
}

/* After unmounting: the kernel has answered who still waits. */
void waiters_free(struct waiters *t)
{
	struct waiter *w, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->by_sequence, w, next) {
		HASH_DELETE(hh, t->by_sequence, w);
		if (w->req)
			fuse_reply_none(w->req);
		free(w);
	}
	free(t);
}

/* ---- who holds what through which handle, as far as closing must know ---- */

static int note_taken(struct handle *h, enum lock_kind kind, uint64_t owner)
{
	if (kind != LOCK_KIND_FLOCK)
		return handle_took_posix(h, owner);
	h->holds_flock = true;
	return OK;
}

/* ---- a waiting request's end ---- */

static void waiter_put(struct waiter *w)
{
	if (w->req || w->asked || w->withdrawing)
		return;
	HASH_DELETE(hh, w->front->waiters->by_sequence, w);
	free(w);
}

static void waiter_answer(struct waiter *w, int code)
{
	fuse_req_t req = w->req;

	if (!req)
		return;
	w->req = NULL;
	fuse_req_interrupt_func(req, NULL, NULL);
	if (code == OK)
		note_taken(w->handle, w->kind, w->owner); /* an unlock in between may have forgotten it */
	else
		note_error(w->front, handle_inode(w->handle), code, NULL);
	reply_code(req, code);
}

static void on_asked(void *ctx, const struct reply *reply)
{
	struct waiter *w = ctx;

	w->asked = false;
	if (reply->code != QUEUED)
		waiter_answer(w, reply->code);
	waiter_put(w);
}

/* NOT_FOUND: the grant came first and was answered. Any other refusal leaves the outcome open: the process gets
 * EINTR all the same, and its closing of the file withdraws what may be left. */
static void on_withdrawn(void *ctx, const struct reply *reply)
{
	struct waiter *w = ctx;

	w->withdrawing = false;
	if (reply->code != ERR_NOT_FOUND && w->req) {
		fuse_req_t req = w->req;

		w->req = NULL;
		reply_code(req, ERR_INTERRUPTED);
	}
	waiter_put(w);
}

/* Called with the request's lock held: no fuse_req_interrupt_func in here. */
static void on_interrupt(fuse_req_t req, void *data)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockCancel cancel = COORDFS__LOCK_CANCEL__INIT;
	struct waiter *w = data;

	(void)req;
	if (w->withdrawing)
		return;
	w->withdrawing = true;
	cancel.waiter_sequence = w->sequence;
	command.of_case = COORDFS__COMMAND__OF_LOCK_CANCEL;
	command.lock_cancel = &cancel;
	replica_propose(w->front->replica, &command, on_withdrawn, w);
}

static void waiter_end(struct front *f, uint64_t sequence, int code)
{
	struct waiter *w;

	HASH_FIND(hh, f->waiters->by_sequence, &sequence, sizeof sequence, w);
	if (!w)
		return;
	waiter_answer(w, code);
	waiter_put(w);
}

void waiters_granted(struct front *f, uint64_t sequence)
{
	waiter_end(f, sequence, OK);
}

void waiters_denied(struct front *f, uint64_t sequence, int code)
{
	waiter_end(f, sequence, code);
}

void waiters_deny_all(struct front *f, int code)
{
	struct waiter *w, *next;

	HASH_ITER (hh, f->waiters->by_sequence, w, next) {
		waiter_answer(w, code);
		waiter_put(w);
	}
}

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

static void ask_and_wait(struct front *f, fuse_req_t req, struct handle *h, const Coordfs__Command *command)
{
	struct waiter *w = calloc(1, sizeof *w);

	if (!w) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	w->front = f;
	w->req = req;
	w->handle = h;
	w->kind = (enum lock_kind)command->lock->kind;
	w->owner = command->lock->owner;
	w->asked = true;
	w->sequence = replica_propose(f->replica, command, on_asked, w);
	HASH_ADD(hh, f->waiters->by_sequence, sequence, sizeof w->sequence, w);
	fuse_req_interrupt_func(req, on_interrupt, w); /* at once if it is interrupted already */
}

static void answer_unlock_all(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)reply;
	handle_of(&c->fi)->holds_flock = false;
	reply_code(c->req, OK);
}

static void ask(struct call *c, const Coordfs__Command *command)
{
	if (command->lock->mode == LOCK_MODE_UNLOCK && command->lock->kind == LOCK_KIND_FLOCK)
		c->answer = answer_unlock_all;
	call_propose(c, command);
}

static void lock_request(fuse_req_t req, fuse_ino_t node, const struct fuse_file_info *fi, Coordfs__LockRequest *lock)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct handle *h = handle_of(fi);
	char process[16];
	int code = OK;

	lock->inode = node;
	lock->owner = fi->lock_owner;
	lock->handle = h->number;
	lock->uid = fuse_req_ctx(req)->uid;
	command.of_case = COORDFS__COMMAND__OF_LOCK;
	command.lock = lock;
	if (lock->mode != LOCK_MODE_UNLOCK) {
		lock->process = binary_of(process, process_name((pid_t)lock->pid, process));
		code = note_taken(h, (enum lock_kind)lock->kind, lock->owner);
	}
	if (code < 0)
		reply_code(req, code);
	else if (lock->wait)
		ask_and_wait(f, req, h, &command);
	else
		ask(&c, &command);
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
	if (!handle_refused(req, handle_of(fi)))
		lock_request(req, node, fi, &lock);
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
	if (!handle_refused(req, handle_of(fi)))
		lock_request(req, node, fi, &lock);
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

/* Any close by a process drops its fcntl locks on the file. When close(2) returns they are gone. */
void locks_flush(struct front *f, const struct call *c)
{
	struct handle *h = handle_of(&c->fi);
	Coordfs__LockDrop drop = drop_of(c->node, c->fi.lock_owner, 0);
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	(void)f;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	if (handle_gave_posix(h, c->fi.lock_owner))
		call_propose(c, &command);
	else
		reply_code(c->req, OK);
}

void locks_release(struct front *f, struct handle *h)
{
	Coordfs__LockDrop drop = drop_of(handle_inode(h), 0, h->number);
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	if (!h->holds_flock && !handle_has_posix(h))
		return;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	handle_propose_unasked(f, h, &command);
}
