/* How transactions end. The commit is one command; what its answer says is final, but for two kinds: those that say
 * that it was certainly not applied leave the transaction open for another try, and a time-out leaves it undecided:
 * then the same command, with the same number, is proposed again until it is known; the machine applies it once.
 *
 * That holds within one session only. When it is over an open transaction is rolled back, and an undecided one is looked
 * up as soon as the end of its session is applied here: then its outcome is in the state, or it has none and never will.
 * The same is done when its view is gone, because the state was replaced by a newer one: then an Abort of the same number
 * decides it, if nothing did before. */

#include "front/transactions.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 1000 };

static const char lost[] = "session lost";
static const char viewless[] = "its answer did not come, and its view is gone";

struct txn_waiter {
	struct txn_waiter *next;
	struct call call;
};

static void answer(struct txn *t, struct call *c, int code, const char *why)
{
	struct reply reply = {.code = code, .revision = t->revision};

	if (code < 0)
		txn_note(t, code, why);
	c->answer(t->front, c, &reply);
}

static int wait_for_end(struct txn *t, const struct call *c)
{
	struct txn_waiter *w = malloc(sizeof *w);

	if (!w)
		return ERR_NO_MEMORY;
	*w = (struct txn_waiter){t->waiters, *c};
	t->waiters = w;
	return OK;
}

static void answer_waiters(struct txn *t, int code, const char *why)
{
	struct txn_waiter *w, *list = t->waiters;

	t->waiters = NULL;
	while ((w = list)) {
		list = w->next;
		answer(t, &w->call, code, why);
		free(w);
	}
}

static int64_t now_ns(const struct txn *t)
{
	return (int64_t)machine_time_ns(replica_machine(t->front->replica));
}

static void set_aborted(struct txn *t, const char *reason)
{
	t->state = TXN_ABORTED;
	t->ended_ns = now_ns(t);
	snprintf(t->reason, sizeof t->reason, "%s", reason);
	t->wake_ms = 0;
	txn_drop_view(t);
}

/* ---- commit ---- */

static void set_committed(struct txn *t, uint64_t revision)
{
	t->state = TXN_COMMITTED;
	t->revision = revision;
	t->ended_ns = now_ns(t);
	txn_set_wake(t, t->timeout_s * 1000); /* its view may be looked at for a while */
}

/* It was certainly not applied: it may be tried again, if there is still something to try. */
static void reopen(struct txn *t)
{
	if (t->epoch != t->front->epoch) {
		set_aborted(t, lost);
	} else if (!t->inner) {
		set_aborted(t, "its commit was refused, and its view is gone");
	} else {
		t->state = TXN_ACTIVE;
		txn_set_wake(t, t->timeout_s * 1000);
	}
}

static void decide(struct txn *t, const struct reply *reply)
{
	switch (reply->code) {
	case OK:
		set_committed(t, (uint64_t)reply->value);
		break;
	case ERR_NO_QUORUM:
	case ERR_NO_SPACE:
	case ERR_NO_MEMORY:
	case ERR_TOO_BIG:
		reopen(t);
		break;
	case ERR_TIMED_OUT:
		t->state = TXN_UNDECIDED;
		txn_set_wake(t, RETRY_MS);
		break;
	case ERR_STALE:
		set_aborted(t, lost);
		break;
	default:
		set_aborted(t, reply->text[0] ? reply->text : error_text(reply->code));
	}
}

/* ---- undecided, and not to be asked again ---- */

/* What the state knows of it. False: nothing. */
static bool look_up(struct txn *t)
{
	struct replica *r = t->front->replica;
	Coordfs__Outcome *o = NULL;
	bool found;

	if (machine_outcome(replica_machine(r), t->name, replica_member(r), &o) < 0)
		return false;
	found = o->number == t->number;
	if (found && o->committed)
		set_committed(t, o->place);
	else if (found)
		set_aborted(t, o->reason);
	coordfs__outcome__free_unpacked(o, NULL);
	return found;
}

static void on_aborted_for_certain(void *ctx, const struct reply *reply)
{
	struct txn *t = ctx;

	t->proposing = false;
	if (t->state != TXN_UNDECIDED || look_up(t))
		return;
	if (reply->code == OK)
		set_aborted(t, viewless);
	else
		txn_set_wake(t, RETRY_MS);
}

static void abort_for_certain(struct txn *t)
{
	Coordfs__Abort abort = COORDFS__ABORT__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	abort.name = t->name;
	abort.uid = t->uid;
	abort.reason = (char *)(uintptr_t)viewless;
	abort.number = t->number;
	command.of_case = COORDFS__COMMAND__OF_ABORT;
	command.abort = &abort;
	t->proposing = true;
	replica_propose(t->front->replica, &command, on_aborted_for_certain, t);
}

/* True: it is decided. */
static bool settle(struct txn *t)
{
	bool over = t->epoch != t->front->epoch;

	if (look_up(t))
		return true;
	if (over && !machine_session_alive(replica_machine(t->front->replica), t->session)) {
		set_aborted(t, lost);
		return true;
	}
	txn_set_wake(t, RETRY_MS);
	if (!over && !t->inner && !t->proposing)
		abort_for_certain(t);
	return false;
}

static void on_commit(void *ctx, const struct reply *reply)
{
	struct txn *t = ctx;

	t->proposing = false;
	decide(t, reply);
	if (t->state == TXN_ABORTED)
		answer_waiters(t, ERR_CANCELED, t->reason);
	else
		answer_waiters(t, reply->code, reply->text);
}

static void propose_commit(struct txn *t)
{
	Coordfs__Commit commit = COORDFS__COMMIT__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	transaction_commit(t->inner, &commit);
	commit.name = t->name;
	commit.uid = t->uid;
	commit.number = t->number;
	command.of_case = COORDFS__COMMAND__OF_COMMIT;
	command.commit = &commit;
	t->proposing = true;
	t->wake_ms = 0;
	replica_propose(t->front->replica, &command, on_commit, t);
}

void txn_commit(struct txn *t, const struct call *c)
{
	struct call copy = *c;
	int code;

	txn_is_lost(t);
	if (t->state == TXN_UNDECIDED && (t->epoch != t->front->epoch || !t->inner) && !settle(t)) {
		answer(t, &copy, ERR_TIMED_OUT, NULL);
		return;
	}
	if (t->state == TXN_COMMITTED || t->state == TXN_ABORTED) {
		answer(t, &copy, t->state == TXN_COMMITTED ? OK : ERR_CANCELED, t->reason);
		return;
	}
	code = wait_for_end(t, c);
	if (code < 0) {
		answer(t, &copy, code, NULL);
		return;
	}
	if (t->state == TXN_ACTIVE)
		t->state = TXN_COMMITTING;
	if (!t->proposing)
		propose_commit(t);
}

/* ---- rollback ---- */

/* It is rolled back whatever the log says; what is awaited is only the record of it. */
static void on_abort(void *ctx, const struct reply *reply)
{
	struct call *c = ctx;
	struct reply done = {.code = OK};

	(void)reply;
	c->answer(front_of(c->req), c, &done);
	free(c);
}

static void propose_abort(struct txn *t, const struct call *c)
{
	Coordfs__Abort abort = COORDFS__ABORT__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct call *copy = c ? malloc(sizeof *copy) : NULL;

	abort.name = t->name;
	abort.uid = t->uid;
	abort.reason = t->reason;
	abort.number = t->number;
	command.of_case = COORDFS__COMMAND__OF_ABORT;
	command.abort = &abort;
	if (copy)
		*copy = *c;
	replica_propose(t->front->replica, &command, copy ? on_abort : NULL, copy);
	if (c && !copy)
		reply_code(c->req, OK);
}

void txn_rollback(struct txn *t, const char *reason, bool record, const struct call *c)
{
	struct call copy;

	set_aborted(t, reason);
	if (record) {
		propose_abort(t, c);
	} else if (c) {
		copy = *c;
		answer(t, &copy, OK, NULL);
	}
}

bool txn_is_lost(struct txn *t)
{
	if (t->epoch == t->front->epoch)
		return false;
	if (t->state == TXN_ACTIVE)
		txn_rollback(t, lost, t->operations > 0, NULL);
	return true;
}

void txn_record_abort(struct txn *t)
{
	if (!t->unrecorded)
		return;
	t->unrecorded = false;
	propose_abort(t, NULL);
}

/* ---- time ---- */

void txn_wake(struct txn *t)
{
	char reason[64];

	switch (t->state) {
	case TXN_ACTIVE:
		if (txn_is_lost(t))
			break;
		snprintf(reason, sizeof reason, "timeout: not committed within %llu s",
			 (unsigned long long)t->timeout_s);
		txn_rollback(t, reason, true, NULL);
		break;
	case TXN_UNDECIDED:
		if (t->epoch != t->front->epoch || !t->inner)
			settle(t);
		else if (!t->proposing)
			propose_commit(t);
		break;
	case TXN_COMMITTED:
		txn_drop_view(t);
		break;
	default:
		break;
	}
}
