/* Requests for locks on their way.
 *
 *   UNASKED --propose--> ASKED --QUEUED--> WAITING --grant or denial--> answered
 *      ^                   |                  |
 *      +---- session over, or refused while it waits for long ----+
 *
 * Interrupted. A LockCancel is proposed, and the order in the log decides. If it finds the request waiting, that is
 * withdrawn: EINTR. If the grant came first, the lock is held: success, which the kernel hands on although there is a
 * signal; a process killed by it closes the file, and that gives the lock back. Where the log cannot decide soon (no
 * session, no leader, or GRACE_MS have passed) the process gets its EINTR at once, and the request is abandoned: nobody
 * waits for it, but we do, until the LockCancel is taken (owed.h); a grant that came before is given back. Meanwhile
 * whoever asks for the same owner is kept UNASKED: his own request must not be taken for the abandoned one, nor his
 * lock be given back. He waits so for a limited time, like any change.
 *
 * Refused. The first answer to a request is the caller's: EHOSTUNREACH (it is not in the log), ETIMEDOUT (nobody knows:
 * then a waiting request is abandoned as above, and one that does not wait is the caller's to repeat or to close).
 *
 * The session is over. What it held is lost, what it waited for is gone. The event comes when this member knows it: by
 * its own clock, before the end is in the log, or with the entry that ends it. In the order of the log a request stands
 *   - not at all: it was never sent, or it comes too late and is refused (ERR_STALE);
 *   - before the end, granted or waiting, its answer come or still to come.
 * In each of these cases nothing of it is left after the end. So whatever is still said of requests of that session is
 * ignored (an answer comes to a `struct asking` that no waiter has any more; a grant names another session), and the
 * present state of the caller decides:
 *   - his handle held a lock, by an answer that he had got: ESTALE, now and until it is closed;
 *   - it held nothing, and he waits: he is asked for again in the next session, behind those who are in the queue by
 *     then. A grant that was in the log but had not been answered counts as nothing held: he never knew of it;
 *   - he was interrupted: EINTR;
 *   - he does not wait: EHOSTUNREACH, for what he asked has no effect; of an unlock: success, nothing is held.
 * Between two sessions he can be interrupted at once: nothing is in any log.
 *
 * The state was replaced by a newer one (the replica was too far behind), and events were missed: see below, restored. */

#include "front/waiters.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/hash.h"
#include "front/owed.h"
#include "front/timer.h"

enum { TICK_MS = 250, GRACE_MS = 1000, LIMIT_TOLD_MS = 60000 };

/* So many commits take longer than that. */
enum { DELAY_BEHIND = 32, DELAY_MS = 4 };

/* The request that is on its way for a waiter. It outlives him when the session ends. */
struct asking {
	struct waiter *waiter; /* NULL: its answer is of no interest any more */
};

/* Whom a lock belongs to, to find who has abandoned one. */
struct owner_key {
	uint64_t inode, owner, is_flock;
};

enum waiter_state { UNASKED, ASKED, WAITING };

struct waiter {
	struct waiter *prev, *next; /* in the order in which they came */
	struct front *front;
	fuse_req_t req;	       /* NULL: answered */
	struct handle *handle; /* while req */
	enum waiter_state state;
	Coordfs__LockRequest lock;
	uint8_t process[16];
	uint64_t sequence;
	struct asking *asking; /* ASKED */
	bool keyed;	       /* it can be found by its sequence */
	bool stays;	       /* it was waiting in the log once: refusals do not end it */
	bool held;	       /* the owner held something on the handle when it was asked */
	bool interrupted;
	bool owed;	/* a LockCancel, or an unlock, that will tell us when it is taken */
	bool abandoned; /* answered, and yet something may be left in the log */
	bool over;	/* nothing is left: it only waits for what is owed to be told */
	bool recheck;	/* events may have been missed: QUEUED is to be looked at */
	enum { UNSEEN, SEEN_WAITING, SEEN_HOLDING } seen; /* restored: what the state says */
	uint64_t since_ms, interrupted_ms;
	UT_hash_handle hh;
	bool is_delayed;
	struct waiter *delayed_prev, *delayed_next;
	struct owner_key owner; /* abandoned */
	UT_hash_handle by_owner;
};

struct waiters {
	struct waiter *list, *by_sequence;
	struct waiter *by_owner; /* the abandoned; one owner may have several */
	unsigned lost;		 /* of these, such as had no memory to be found by */
	struct waiter *delayed;	 /* UNASKED, in the order in which they came */
	uint64_t limit_told_ms;
	uv_timer_t *timer, *delay; /* NULL: stopped */
};

static void on_timer(uv_timer_t *timer);
static void on_delay(uv_timer_t *timer);

int waiters_new(struct front *f)
{
	struct waiters *all = calloc(1, sizeof *all);

	if (!all)
		return ERR_NO_MEMORY;
	f->waiters = all;
	all->timer = timer_new(f);
	all->delay = timer_new(f);
	if (all->timer && all->delay)
		return OK;
	waiters_free(f);
	return ERR_NO_MEMORY;
}

void waiters_stop(struct front *f)
{
	if (!f->waiters)
		return;
	timer_end(&f->waiters->timer);
	timer_end(&f->waiters->delay);
}

static void schedule(struct waiters *all, uint64_t after_ms)
{
	if (all->timer && (!uv_is_active((uv_handle_t *)all->timer) || after_ms == 0))
		uv_timer_start(all->timer, on_timer, after_ms, 0);
}

static void unkey(struct waiter *w)
{
	if (w->keyed)
		HASH_DELETE(hh, w->front->waiters->by_sequence, w);
	w->keyed = false;
}

static void forget_abandoned(struct waiter *w)
{
	struct waiters *all = w->front->waiters;

	if (!w->abandoned)
		return;
	w->abandoned = false;
	if (w->by_owner.tbl)
		HASH_DELETE(by_owner, all->by_owner, w);
	else
		all->lost--;
}

static void undelay(struct waiter *w)
{
	if (w->is_delayed)
		DL_DELETE2(w->front->waiters->delayed, w, delayed_prev, delayed_next);
	w->is_delayed = false;
}

static void waiter_free(struct waiter *w)
{
	unkey(w);
	undelay(w);
	forget_abandoned(w);
	if (w->asking)
		w->asking->waiter = NULL;
	DL_DELETE(w->front->waiters->list, w);
	free(w);
}

/* After unmounting: the kernel has answered who still waits. */
void waiters_free(struct front *f)
{
	struct waiters *all = f->waiters;
	struct waiter *w, *next;

	if (!all)
		return;
	waiters_stop(f);
	DL_FOREACH_SAFE (all->list, w, next) {
		if (w->req)
			fuse_reply_none(w->req);
		waiter_free(w);
	}
	free(all);
	f->waiters = NULL;
}

/* ---- the answer ---- */

static bool is_flock(const struct waiter *w)
{
	return w->lock.kind == LOCK_KIND_FLOCK;
}

static bool is_unlock(const struct waiter *w)
{
	return w->lock.mode == LOCK_MODE_UNLOCK;
}

static struct owner_key owner_key_of(const struct waiter *w)
{
	return (struct owner_key){w->lock.inode, w->lock.owner, is_flock(w)};
}

static bool is_whole(const struct waiter *w)
{
	return w->lock.start == 0 && w->lock.end == UINT64_MAX;
}

/* What the answer says about the handle. */
static void note_outcome(struct waiter *w, int code)
{
	if (code == OK && !is_unlock(w))
		handle_took(w->handle, (enum lock_kind)w->lock.kind, w->lock.owner);
	else if ((code == OK && is_whole(w)) || (code == ERR_WOULD_BLOCK && is_flock(w)))
		handle_gave(w->handle, (enum lock_kind)w->lock.kind, w->lock.owner);
}

/* in_interrupt: the request's lock is held, no fuse_req_interrupt_func then. */
static void reply(struct waiter *w, int code, bool in_interrupt)
{
	fuse_req_t req = w->req;

	w->req = NULL;
	w->handle = NULL;
	if (!in_interrupt)
		fuse_req_interrupt_func(req, NULL, NULL);
	reply_code(req, code);
}

/* text: NULL, or the machine's words. */
static void answer(struct waiter *w, int code, const char *text)
{
	note_outcome(w, code);
	if (code < 0 && code != ERR_INTERRUPTED)
		note_error(w->front, w->lock.inode, code, text);
	reply(w, code, false);
}

/* It has no part in the log any more; those who were kept back behind it may be asked for. */
static void retire(struct waiter *w)
{
	unkey(w);
	w->over = true;
	if (w->abandoned) {
		forget_abandoned(w);
		schedule(w->front->waiters, 0);
	}
	if (!w->owed)
		waiter_free(w);
}

static void end(struct waiter *w, int code)
{
	if (w->req)
		answer(w, code, NULL);
	retire(w);
}

/* A user, or all together, has as many locks as may be: the log says so now and then, for who else would look? */
static void tell_limit(struct waiter *w, const char *text)
{
	struct waiters *all = w->front->waiters;
	uint64_t now = uv_now(w->front->loop);

	if (all->limit_told_ms && now - all->limit_told_ms < LIMIT_TOLD_MS)
		return;
	all->limit_told_ms = now;
	log_line(w->front->log, LOG_LEVEL_WARNING, "a lock was refused (ENOLCK): %s", text);
}

/* By the machine. */
static void denied(struct waiter *w, const struct reply *r)
{
	if (r->code == ERR_NO_LOCKS)
		tell_limit(w, *r->text ? r->text : error_text(r->code));
	if (w->req)
		answer(w, r->code, r->text);
	retire(w);
}

/* ---- abandoned ones ---- */

static void abandon(struct waiter *w, int code, bool in_interrupt)
{
	struct waiters *all = w->front->waiters;

	reply(w, code, in_interrupt);
	w->abandoned = true;
	w->owner = owner_key_of(w);
	HASH_ADD(by_owner, all->by_owner, owner, sizeof w->owner, w);
	all->lost += !w->by_owner.tbl;
}

static void on_given_back(void *ctx, const struct reply *reply)
{
	struct waiter *w = ctx;

	(void)reply;
	w->owed = false;
	retire(w);
}

/* It was granted before it could be withdrawn, or is not there at all; an unlock does no harm then. If the owner had
 * held something before, that must not be unlocked with it: then it is his until he closes the file. */
static void give_back(struct waiter *w)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockRequest unlock = w->lock;

	unlock.mode = LOCK_MODE_UNLOCK;
	unlock.wait = false;
	command.of_case = COORDFS__COMMAND__OF_LOCK;
	command.lock = &unlock;
	w->owed = !w->held && owed_propose(w->front, &command, NULL, on_given_back, w) == OK;
	if (!w->owed)
		retire(w);
}

static void ask_later(struct waiter *w, uint64_t after_ms);

/* OK: it was waiting. NOT_FOUND: it is granted, or was not there, or an earlier try withdrew it whose answer did not
 * come. ERR_STALE: the session is over. */
static void on_withdrawn(void *ctx, const struct reply *reply)
{
	struct waiter *w = ctx;

	w->owed = false;
	if (w->over)
		waiter_free(w);
	else if (w->req && w->interrupted)
		end(w, ERR_INTERRUPTED);
	else if (w->req)
		ask_later(w, 0); /* see unknown() */
	else if (reply->code == ERR_NOT_FOUND)
		give_back(w);
	else
		retire(w);
}

static int withdraw(struct waiter *w)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockCancel cancel = COORDFS__LOCK_CANCEL__INIT;
	int code;

	cancel.waiter_sequence = w->sequence;
	command.of_case = COORDFS__COMMAND__OF_LOCK_CANCEL;
	command.lock_cancel = &cancel;
	code = owed_propose(w->front, &command, NULL, on_withdrawn, w);
	w->owed = code == OK;
	return code;
}

static bool is_log_silent(struct front *f)
{
	return replica_session(f->replica) == 0 || !replica_leader(f->replica);
}

/* Without memory what is left goes with the file. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct waiter *w = data;

	(void)req;
	if (w->interrupted)
		return;
	w->interrupted = true;
	w->interrupted_ms = uv_now(w->front->loop);
	if (!w->owed && (w->state == UNASKED || withdraw(w) < 0)) {
		reply(w, ERR_INTERRUPTED, true);
		retire(w);
	} else if (is_log_silent(w->front)) {
		abandon(w, ERR_INTERRUPTED, true);
	} else {
		schedule(w->front->waiters, TICK_MS);
	}
}

/* ---- asking ---- */

/* An abandoned request of the same owner: of what it got or did not get nothing is known yet. */
static bool must_be_kept_back(const struct waiter *w)
{
	const struct waiters *all = w->front->waiters;
	const struct owner_key owner = owner_key_of(w);
	const struct waiter *other;

	if (is_unlock(w))
		return false;
	HASH_FIND(by_owner, all->by_owner, &owner, sizeof owner, other);
	return other || all->lost > 0;
}

/* By its sequence; without memory for that its grant would not be found. */
static void key(struct waiter *w)
{
	HASH_ADD(hh, w->front->waiters->by_sequence, sequence, sizeof w->sequence, w);
	w->keyed = hash_has(w);
	if (!w->keyed && withdraw(w) == OK)
		abandon(w, ERR_NO_MEMORY, false);
	else if (!w->keyed)
		end(w, ERR_NO_MEMORY);
}

static void on_asked(void *ctx, const struct reply *reply);

/* Proposing may be what finds the session to be over, and then all waiters are told before it returns: this one may be
 * gone, or one that is to be asked for again. */
static void ask(struct waiter *w)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct waiters *all = w->front->waiters;
	struct asking *a;
	uint64_t sequence;

	undelay(w);
	if (must_be_kept_back(w)) {
		schedule(all, TICK_MS);
		return;
	}
	a = malloc(sizeof *a);
	if (!a) {
		end(w, ERR_NO_MEMORY);
		return;
	}
	a->waiter = w;
	command.of_case = COORDFS__COMMAND__OF_LOCK;
	command.lock = &w->lock;
	w->state = ASKED;
	w->asking = a;
	sequence = replica_propose(w->front->replica, &command, on_asked, a);
	if (!a->waiter)
		return;
	w->sequence = sequence;
	if (w->lock.wait)
		key(w);
}

/* On a hot lock, who has given it back asks for it again just when the next one, who was told that he has it, gives it
 * back in turn. If each got a write to the disk of its own, what all wait for would wait for what is in no hurry. So who
 * will have to wait behind many is asked for together with others after DELAY_MS, when it cannot be his turn yet. (Not
 * one who holds something: others may wait for that.) */
static bool may_be_delayed(const struct waiter *w)
{
	struct replica *replica = w->front->replica;
	const struct lock_info want = {
		.session = replica_session(replica),
		.owner = w->lock.owner,
		.kind = (enum lock_kind)w->lock.kind,
		.mode = (enum lock_mode)w->lock.mode,
		.start = w->lock.start,
		.end = w->lock.end,
	};

	return w->lock.wait && !w->held && w->front->waiters->delay && want.session &&
	       machine_lock_ahead(replica_machine(replica), w->lock.inode, &want, DELAY_BEHIND) == DELAY_BEHIND;
}

static void delay(struct waiter *w)
{
	struct waiters *all = w->front->waiters;

	if (!all->delayed)
		uv_timer_start(all->delay, on_delay, DELAY_MS, 0);
	DL_APPEND2(all->delayed, w, delayed_prev, delayed_next);
	w->is_delayed = true;
}

/* Each is delayed no more, whatever becomes of it. */
static void ask_delayed(struct waiters *all)
{
	while (all->delayed)
		ask(all->delayed);
}

static void on_delay(uv_timer_t *timer)
{
	const struct front *f = timer->data;

	ask_delayed(f->waiters);
}

static void ask_later(struct waiter *w, uint64_t after_ms)
{
	unkey(w);
	w->state = UNASKED;
	schedule(w->front->waiters, after_ms);
}

/* Nothing of it is in the log. */
static void refused(struct waiter *w, int code)
{
	if (w->interrupted || w->abandoned)
		end(w, ERR_INTERRUPTED);
	else if (w->stays || (code == ERR_STALE && w->lock.wait))
		ask_later(w, TICK_MS);
	else if (code == ERR_STALE)
		end(w, is_unlock(w) ? OK : ERR_NO_QUORUM);
	else
		end(w, code);
}

/* Nobody knows. One that had been waiting is asked for again when the first request is withdrawn for certain; if that
 * was granted meanwhile, the second is the same once more. */
static void unknown(struct waiter *w)
{
	if (w->owed)
		return; /* its end will tell */
	if (!w->lock.wait || withdraw(w) < 0)
		end(w, ERR_TIMED_OUT);
	else if (w->stays)
		w->state = UNASKED;
	else
		abandon(w, ERR_TIMED_OUT, false);
}

static void check(struct waiter *w);

/* flock(2) gives up what it had before it waits. */
static void queued(struct waiter *w)
{
	w->state = WAITING;
	w->stays = true;
	if (is_flock(w)) {
		w->held = false;
		if (w->req)
			handle_gave(w->handle, LOCK_KIND_FLOCK, w->lock.owner);
	}
	if (w->recheck)
		check(w);
}

static void granted(struct waiter *w)
{
	if (!w->abandoned) /* else its LockCancel finds that out */
		end(w, OK);
}

static void decided(struct waiter *w, const struct reply *r)
{
	switch (r->code) {
	case QUEUED:
		queued(w);
		break;
	case OK:
		granted(w);
		break;
	case ERR_TIMED_OUT:
		unknown(w);
		break;
	case ERR_STALE:
	case ERR_NO_QUORUM:
	case ERR_NO_SPACE:
	case ERR_NO_MEMORY:
		refused(w, r->code);
		break;
	default:
		denied(w, r);
	}
}

static void on_asked(void *ctx, const struct reply *reply)
{
	struct asking *a = ctx;
	struct waiter *w = a->waiter;

	free(a);
	if (!w)
		return;
	w->asking = NULL;
	if (!w->over)
		decided(w, reply);
}

static struct waiter *waiter_new(struct front *f, fuse_req_t req, struct handle *h, uint64_t owner,
				 const Coordfs__LockRequest *lock)
{
	struct waiter *w = calloc(1, sizeof *w);
	size_t size = lock->process.len < sizeof w->process ? lock->process.len : sizeof w->process;

	if (!w)
		return NULL;
	w->front = f;
	w->req = req;
	w->handle = h;
	w->since_ms = uv_now(f->loop);
	w->held = handle_holds(h, (enum lock_kind)lock->kind, owner);
	w->lock = *lock;
	w->lock.inode = handle_inode(h);
	w->lock.owner = owner;
	w->lock.handle = h->number;
	if (size > 0)
		memcpy(w->process, lock->process.data, size);
	w->lock.process = (ProtobufCBinaryData){size, w->process};
	DL_APPEND(f->waiters->list, w);
	return w;
}

/* To propose anything may show that the session is over: then he was answered, or is to be asked for in the next one. */
static void begin(struct waiter *w)
{
	struct front *f = w->front;
	uint64_t epoch = f->epoch;

	if (!is_unlock(w))
		owed_before_lock(f, w->lock.inode, w->lock.owner);
	if (f->epoch != epoch)
		return;
	if (may_be_delayed(w)) {
		delay(w);
		return;
	}
	if (w->lock.wait)
		ask_delayed(f->waiters); /* who came first is asked for first */
	if (f->epoch == epoch)
		ask(w);
}

void waiters_ask(struct front *f, fuse_req_t req, struct handle *h, uint64_t owner, const Coordfs__LockRequest *lock)
{
	struct waiter *w;

	if (lock->wait && fuse_req_interrupted(req)) {
		reply_code(req, ERR_INTERRUPTED);
		return;
	}
	w = lock->mode == LOCK_MODE_UNLOCK || handle_asks(h, (enum lock_kind)lock->kind, owner) == OK
		    ? waiter_new(f, req, h, owner, lock)
		    : NULL;
	if (!w) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	if (lock->wait)
		fuse_req_interrupt_func(req, on_interrupt, w);
	begin(w);
}

/* ---- what the log brings ---- */

static struct waiter *find(struct front *f, uint64_t sequence)
{
	struct waiter *w;

	HASH_FIND(hh, f->waiters->by_sequence, &sequence, sizeof sequence, w);
	return w;
}

void waiters_granted(struct front *f, uint64_t sequence)
{
	struct waiter *w = find(f, sequence);

	if (w)
		granted(w);
}

void waiters_denied(struct front *f, uint64_t sequence, int code)
{
	struct waiter *w = find(f, sequence);

	if (w)
		end(w, code);
}

/* ---- the session is over ---- */

static void forget_asking(struct waiter *w)
{
	unkey(w);
	undelay(w);
	if (w->asking)
		w->asking->waiter = NULL;
	w->asking = NULL;
}

static void lose(struct waiter *w)
{
	forget_asking(w);
	if (w->req && w->handle->lost)
		end(w, ERR_STALE);
	else if (!w->req || w->interrupted)
		end(w, ERR_INTERRUPTED);
	else if (!w->lock.wait)
		end(w, is_unlock(w) ? OK : ERR_NO_QUORUM);
	else if (w->owed) /* unknown(): it is told that the session is over, and asks again */
		w->state = UNASKED;
	else
		ask_later(w, 0);
}

void waiters_session_over(struct front *f)
{
	struct waiter *w, *next;

	DL_FOREACH_SAFE (f->waiters->list, w, next)
		if (!w->over)
			lose(w);
}

/* ---- restored ----
 * A newer state took the place of ours. Who waited in it still waits; who holds by now was granted meanwhile; who is in
 * neither was denied, or his request was withdrawn by the closing of the file: if he still waits he is asked for again.
 * Requests without an answer get it from the replica; if it is a repeated QUEUED, it is looked at in the same way. */

struct lookup {
	struct waiter *waiter;
	uint64_t session;
};

static int look_at(void *ctx, const struct lock_info *lock)
{
	struct lookup *l = ctx;
	struct waiter *w = l->waiter;

	if (lock->session != l->session)
		return 0;
	if (lock->token == 0 && lock->sequence == w->sequence)
		w->seen = SEEN_WAITING;
	if (lock->token != 0 && lock->owner == w->lock.owner && lock->kind == w->lock.kind &&
	    lock->mode >= w->lock.mode && lock->start <= w->lock.start && lock->end >= w->lock.end)
		w->seen = SEEN_HOLDING;
	return w->seen != UNSEEN;
}

static void check(struct waiter *w)
{
	struct lookup l = {w, replica_session(w->front->replica)};

	w->recheck = false;
	if (w->seen == UNSEEN)
		machine_locks(replica_machine(w->front->replica), w->lock.inode, look_at, &l);
	if (w->seen == SEEN_HOLDING)
		granted(w);
	else if (w->seen == UNSEEN && !w->owed)
		ask_later(w, 0);
}

static int mark(void *ctx, const struct lock_info *lock)
{
	struct front *f = ctx;
	struct waiter *w = lock->session == replica_session(f->replica) ? find(f, lock->sequence) : NULL;

	if (w)
		w->seen = lock->token ? SEEN_HOLDING : SEEN_WAITING;
	return 0;
}

void waiters_restored(struct front *f)
{
	struct waiter *w, *next;

	DL_FOREACH (f->waiters->list, w) {
		w->seen = UNSEEN;
		w->recheck = w->state == ASKED;
	}
	machine_locks(replica_machine(f->replica), 0, mark, f);
	DL_FOREACH_SAFE (f->waiters->list, w, next)
		if (w->state == WAITING && !w->over)
			check(w);
}

/* ---- time ---- */

/* Does it have to be looked at again? */
static bool look_after(struct waiter *w, uint64_t now)
{
	struct front *f = w->front;

	if (!w->req || w->over)
		return false;
	if (w->interrupted && now - w->interrupted_ms >= GRACE_MS) {
		abandon(w, ERR_INTERRUPTED, false);
		return false;
	}
	if (w->state != UNASKED || w->owed)
		return w->interrupted;
	if (!w->stays && now - w->since_ms > f->config.timeout_ms) {
		end(w, ERR_NO_QUORUM);
		return false;
	}
	if (!is_log_silent(f))
		ask(w); /* may end it */
	return true;
}

static void on_timer(uv_timer_t *timer)
{
	struct front *f = timer->data;
	struct waiter *w, *next;
	bool again = false;
	uint64_t epoch;

	replica_check_lease(f->replica);
	epoch = f->epoch;
	DL_FOREACH_SAFE (f->waiters->list, w, next) {
		again |= look_after(w, uv_now(f->loop));
		if (f->epoch != epoch) { /* next may be gone, too */
			again = true;
			break;
		}
	}
	if (again)
		schedule(f->waiters, TICK_MS);
}
