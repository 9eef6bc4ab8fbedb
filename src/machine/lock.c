/* Locks: what the commands do. flock(2) and fcntl(2), with INTERFACE's one queue a file.
 *
 * A request is granted when no holder conflicts and nobody who came earlier waits for something that conflicts; else
 * it waits its turn, or is refused. Who has part of what he asks for already goes by the holders alone: he is no
 * newcomer, and a queue that waits for his part cannot move before he has got on.
 *
 * Where flock(2) and fcntl(2) differ, as Linux does it:
 *   a flock conversion that cannot be had at once gives up the old lock, whether it then waits or not;
 *   an fcntl upgrade keeps the old lock in both cases, and can therefore deadlock, which is detected.
 *
 * The token of a grant is the index of the entry that grants it. A repeated request for what one has is no new
 * grant; a conversion is.
 *
 *   lock_tree   ordered sets               lock_range  ranges of one owner, conflicts
 *   lock_table  indexes and records        lock_queue  waiting and granting
 *   lock_graph  deadlocks                  lock_info   reading, lock_load  images and invariants
 *   lock_user   how much each user has
 *
 * Errors of the environment (no memory, no space for a record) become the reply's code, which stops the machine. */
#include "machine/level.h"
#include "machine/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked ---- */

static bool request_is_valid(const struct context *c, const Coordfs__LockRequest *q, struct reply *r)
{
	if (q->kind < LOCK_KIND_FLOCK || q->kind > LOCK_KIND_OFD)
		refuse(r, ERR_INVALID, "no kind of lock: %u", q->kind);
	else if (q->mode > LOCK_MODE_EXCLUSIVE)
		refuse(r, ERR_INVALID, "no mode of a lock: %u", q->mode);
	else if (q->start > q->end)
		refuse(r, ERR_INVALID, "a range that ends before it begins");
	else if (q->kind == LOCK_KIND_FLOCK && (q->start != 0 || q->end != LOCK_END))
		refuse(r, ERR_INVALID, "flock locks whole files");
	else if (q->wait && q->mode == LOCK_MODE_UNLOCK)
		refuse(r, ERR_INVALID, "unlocking never waits");
	else if (q->wait && (c->session == 0 || c->sequence == 0))
		refuse(r, ERR_INVALID, "nobody to tell of the grant");
	return r->code == 0;
}

static struct lock request_lock(const struct context *c, const Coordfs__LockRequest *q)
{
	struct lock want = {
		.number = UINT64_MAX, .inode = q->inode, .start = q->start, .end = q->end, .session = c->session,
		.owner = q->owner, .handle = q->handle, .sequence = c->sequence, .since_ns = c->time_ns,
		.pid = q->pid, .uid = q->uid, .kind = (enum lock_kind)q->kind, .mode = (enum lock_mode)q->mode,
	};
	size_t size = q->process.len < sizeof want.process ? q->process.len : sizeof want.process;
	if (size > 0)
		memcpy(want.process, q->process.data, size);
	want.process_size = (uint8_t)size;
	return want;
}

static struct lock *find_waiter(const struct lock_table *t, uint64_t session, uint64_t sequence)
{
	struct lock probe = {.session = session, .sequence = sequence};
	struct lock *l = lock_of(tree_ceiling(&lock_request_type, t->requests, &probe.by_request), by_request);
	return l && l->session == session && l->sequence == sequence ? l : NULL;
}

/* ---- unlock ---- */

/* By how many the owner's locks may become more. */
static unsigned growth(const struct lock_table *t, const struct lock *want)
{
	const struct lock *held = lock_held_part(t, want);
	unsigned itself = want->mode != LOCK_MODE_UNLOCK;
	if (!held)
		return itself;
	if (held->start < want->start && held->end > want->end)
		return itself + 1; /* a hole in the middle */
	return itself && !lock_covers(want, held);
}

/* Programs of level 1 count the locks of all together only. */
static bool counts_users(const struct context *c, const struct lock *want)
{
	return want->uid != 0 && machine_level(c->machine) >= LEVEL_2;
}

static bool is_full(const struct context *c, const struct lock *want, struct reply *r)
{
	const struct lock_table *t = machine_lock_table(c->machine);
	unsigned more = growth(t, want);
	uint64_t users = lock_user_of(t, want->uid).holders;
	if (more > 0 && t->holders + more > t->holders_limit)
		refuse(r, ERR_NO_LOCKS, "%llu locks are held, and no more may be",
		       (unsigned long long)t->holders);
	else if (more > 0 && counts_users(c, want) && users + more > t->user_holders_limit)
		refuse(r, ERR_NO_LOCKS, "uid %u holds %llu locks, and may hold no more", want->uid,
		       (unsigned long long)users);
	return r->code != 0;
}

static void unlock(struct context *c, const struct lock *want, struct reply *r)
{
	if (is_full(c, want, r))
		return;
	r->code = lock_range_clear(c, want);
	if (r->code == 0)
		r->code = lock_settle(c);
}

/* ---- lock ---- */

static void grant_now(struct context *c, const struct lock *want, struct reply *r)
{
	struct lock *l = lock_copy(want);
	if (!l) {
		r->code = ERR_NO_MEMORY;
		return;
	}
	l->number = machine_next_lock(c->machine);
	r->value = (int64_t)c->index;
	r->inode = l->number;
	r->code = lock_range_take(c, l);
	if (r->code == 0)
		r->code = lock_settle(c); /* a downgrade lets others in */
}

static void enqueue(struct context *c, const struct lock *want, struct reply *r)
{
	struct lock *l = lock_copy(want);
	if (!l) {
		r->code = ERR_NO_MEMORY;
		return;
	}
	l->number = machine_next_lock(c->machine);
	r->inode = l->number;
	r->code = lock_add(c, l);
	if (r->code)
		return;
	lock_make_ready(machine_lock_table(c->machine), l);
	r->code = lock_settle(c);
	if (r->code == 0)
		r->code = QUEUED;
}

/* flock(2): "the existing lock is first removed, and then a new lock is established". */
static int give_up(struct context *c, struct lock *want)
{
	if (want->kind != LOCK_KIND_FLOCK || !want->extends)
		return 0;
	want->extends = false;
	return lock_range_clear(c, want);
}

static bool may_wait(const struct context *c, const struct lock *want, struct reply *r)
{
	struct lock_table *t = machine_lock_table(c->machine);
	uint64_t users = lock_user_of(t, want->uid).waiters;
	if (find_waiter(t, want->session, want->sequence))
		refuse(r, ERR_INVALID, "request %llu waits already", (unsigned long long)want->sequence);
	else if (t->waiters >= t->waiters_limit)
		refuse(r, ERR_NO_LOCKS, "%llu requests wait for locks, and no more may",
		       (unsigned long long)t->waiters);
	else if (counts_users(c, want) && users >= t->user_waiters_limit)
		refuse(r, ERR_NO_LOCKS, "%llu requests of uid %u wait for locks, and no more may",
		       (unsigned long long)users, want->uid);
	else if (want->kind != LOCK_KIND_FLOCK && lock_would_deadlock(t, want))
		refuse(r, ERR_DEADLOCK, "a holder of the lock waits, directly or not, for this process");
	return r->code == 0;
}

static void lock_blocked(struct context *c, struct lock *want, bool wait, struct reply *r)
{
	if (wait && !may_wait(c, want, r))
		return;
	r->code = give_up(c, want);
	if (r->code == 0 && wait) {
		enqueue(c, want, r);
	} else if (r->code == 0) {
		r->code = lock_settle(c);
		r->code = r->code ? r->code : ERR_WOULD_BLOCK;
	}
}

static void lock_range(struct context *c, struct lock *want, bool wait, struct reply *r)
{
	struct lock_table *t = machine_lock_table(c->machine);
	struct lock *held = lock_held_whole(t, want);
	if (held) {
		r->value = (int64_t)held->token;
		r->inode = held->number;
		return;
	}
	want->file = lock_file_find(t, want->inode);
	want->extends = lock_held_part(t, want) != NULL;
	if (want->file && lock_find_blocker(lock_place(want), want))
		lock_blocked(c, want, wait, r);
	else if (!is_full(c, want, r))
		grant_now(c, want, r);
}

void lock_request(struct context *c, const Coordfs__LockRequest *q, struct reply *r)
{
	if (!request_is_valid(c, q, r))
		return;
	struct lock want = request_lock(c, q);
	if (want.mode == LOCK_MODE_UNLOCK)
		unlock(c, &want, r);
	else
		lock_range(c, &want, q->wait, r);
}

/* ---- the ends of locks ---- */

void lock_cancel(struct context *c, const Coordfs__LockCancel *q, struct reply *r)
{
	struct lock *l = find_waiter(machine_lock_table(c->machine), c->session, q->waiter_sequence);
	r->code = l ? lock_remove(c, l) : ERR_NOT_FOUND;
	if (r->code == 0)
		r->code = lock_settle(c);
}

/* Waiters stay: whoever closes a file elsewhere in the process does not end another thread's wait. */
static int drop_owner(struct context *c, uint64_t inode, uint64_t owner)
{
	struct lock all = {.session = c->session, .kind = LOCK_KIND_POSIX, .owner = owner, .inode = inode, .end = LOCK_END};
	return lock_range_clear(c, &all);
}

static void deny(const struct context *c, const struct lock *l)
{
	context_event(c, (struct event){.type = EVENT_DENY, .session = l->session, .sequence = l->sequence,
					.inode = l->inode, .handle = l->handle, .owner = l->owner,
					.code = ERR_INTERRUPTED});
}

static int drop_handle(struct context *c, uint64_t inode, uint64_t handle)
{
	struct lock_table *t = machine_lock_table(c->machine);
	struct lock probe = {.session = c->session, .inode = inode, .handle = handle}, *l;
	int code = 0;
	while (code == 0 && (l = lock_of(tree_ceiling(&lock_handle_type, t->handles, &probe.by_handle), by_handle))) {
		if (l->session != c->session || l->inode != inode || l->handle != handle)
			break;
		if (lock_is_waiter(l))
			deny(c, l);
		code = lock_remove(c, l);
	}
	return code;
}

void lock_drop(struct context *c, const Coordfs__LockDrop *q, struct reply *r)
{
	if (q->owner == 0 && q->handle == 0) {
		refuse(r, ERR_INVALID, "neither owner nor handle");
		return;
	}
	if (q->owner != 0)
		r->code = drop_owner(c, q->inode, q->owner);
	if (r->code == 0 && q->handle != 0)
		r->code = drop_handle(c, q->inode, q->handle);
	if (r->code == 0)
		r->code = lock_settle(c);
}

int lock_session_end(struct context *c, uint64_t session)
{
	struct lock_table *t = machine_lock_table(c->machine);
	struct lock probe = {.session = session, .token = 1}, *l;
	int code = 0;
	while (code == 0 && (l = lock_owner_from(t, &probe)) && l->session == session)
		code = lock_remove(c, l);
	return code ? code : lock_settle(c);
}

/* ---- break ---- */

struct breaking {
	uint64_t token;
	struct lock *first, **last; /* by chain */
};

static bool break_collect(void *ctx, struct tree_node *n)
{
	struct breaking *b = ctx;
	struct lock *l = lock_of(n, by_range);
	if (l->token == b->token) {
		l->chain = NULL;
		*b->last = l;
		b->last = &l->chain;
	}
	return false;
}

static int break_one(struct context *c, struct lock *l, uint32_t uid)
{
	char path[LIMIT_PATH_BYTES + 1];
	context_event(c, (struct event){.type = EVENT_LOSS, .session = l->session, .token = l->token, .inode = l->inode,
					.handle = l->handle, .owner = l->owner});
	context_log(c, "uid %u broke the lock on %s with token %llu, held by pid %u of uid %u on %s", uid,
		    view_path(machine_view(c->machine), l->inode, path, sizeof path), (unsigned long long)l->token,
		    l->pid, l->uid, machine_session_member(c->machine, l->session));
	return lock_remove(c, l);
}

void lock_break(struct context *c, const Coordfs__LockBreak *q, struct reply *r)
{
	struct lock_file *file = lock_file_find(machine_lock_table(c->machine), q->inode);
	struct breaking b = {.token = q->token};
	struct lock *l, *next;
	b.last = &b.first;
	for (int i = 0; file && q->token != 0 && i < DOMAINS; i++)
		lock_walk(file->domain[i].holders, break_collect, &b);
	if (!b.first) {
		refuse(r, ERR_NOT_FOUND, "nobody holds a lock with token %llu here", (unsigned long long)q->token);
		return;
	}
	for (l = b.first; l && r->code == 0; l = next) {
		next = l->chain;
		r->code = break_one(c, l, q->uid);
	}
	if (r->code == 0)
		r->code = lock_settle(c);
}
