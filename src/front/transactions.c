/* The table of the transactions of this mount. They live in memory only, until their commit: a crash of the daemon
 * ends them, and nothing of them was ever in the log. */

#include "front/transactions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "front/static.h"
#include "front/timer.h"
#include "front/virtual.h"

/* More than may be open at once: those that were removed keep theirs until the kernel has forgotten them. */
enum { SLOTS = 4 * LIMIT_TRANSACTIONS };
#define TIMEOUT_S_DEFAULT 3600u

struct transactions {
	struct txn *slots[SLOTS];
	unsigned used;	 /* all slots in use are below */
	unsigned listed; /* how many have a name */
	uint64_t last_number;
	uv_timer_t *timer; /* NULL: stopped */
};

static void on_timer(uv_timer_t *timer);

int transactions_new(struct front *f)
{
	struct transactions *all = calloc(1, sizeof *all);

	if (!all)
		return ERR_NO_MEMORY;
	all->timer = timer_new(f);
	if (!all->timer) {
		free(all);
		return ERR_NO_MEMORY;
	}
	f->transactions = all;
	return OK;
}

void transactions_stop(struct front *f)
{
	struct transactions *all = f->transactions;

	if (!all || !all->timer)
		return;
	for (unsigned slot = 0; slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (t && t->state == TXN_ACTIVE)
			txn_rollback(t, "unmounted", t->operations > 0, NULL);
	}
	timer_end(&all->timer);
}

void transactions_drop_views(struct front *f)
{
	struct transactions *all = f->transactions;

	for (unsigned slot = 0; all && slot < all->used; slot++)
		if (all->slots[slot])
			txn_drop_view(all->slots[slot]);
}

/* Nothing of a transaction of a session that is over can be committed any more: the machine refuses it. But views and
 * proposals are for the loop. */
void transactions_session_over(struct front *f)
{
	struct transactions *all = f->transactions;
	uint64_t now = uv_now(f->loop);

	for (unsigned slot = 0; all && slot < all->used; slot++)
		if (all->slots[slot] && all->slots[slot]->state == TXN_ACTIVE)
			all->slots[slot]->wake_ms = now ? now : 1;
	if (all)
		transactions_schedule(f);
}

void transactions_restoring(struct front *f)
{
	struct transactions *all = f->transactions;

	for (unsigned slot = 0; all && slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (t && t->state == TXN_ACTIVE && !txn_is_lost(t)) {
			txn_rollback(t, "this mount was so far behind that its state was replaced by a newer one", false,
				     NULL);
			t->unrecorded = t->operations > 0;
		}
	}
	transactions_drop_views(f);
}

void transactions_restored(struct front *f)
{
	struct transactions *all = f->transactions;

	for (unsigned slot = 0; all && slot < all->used; slot++)
		if (all->slots[slot])
			txn_record_abort(all->slots[slot]);
}

void transactions_free(struct front *f)
{
	struct transactions *all = f->transactions;

	if (!all)
		return;
	transactions_drop_views(f);
	for (unsigned slot = 0; slot < all->used; slot++)
		free(all->slots[slot]);
	free(all);
	f->transactions = NULL;
}

/* ---- finding ---- */

struct txn *transactions_at(struct front *f, fuse_ino_t node)
{
	unsigned slot = node_slot(node);

	return slot < f->transactions->used ? f->transactions->slots[slot] : NULL;
}

struct txn *transactions_named(struct front *f, const char *name)
{
	struct transactions *all = f->transactions;

	for (unsigned slot = 0; slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (t && t->listed && strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

fuse_ino_t transactions_lookup(struct front *f, const char *name)
{
	struct txn *t = transactions_named(f, name);

	return t ? txn_node(t) : 0;
}

unsigned transactions_count(struct front *f)
{
	return f->transactions->listed;
}

unsigned transactions_count_active(struct front *f)
{
	struct transactions *all = f->transactions;
	unsigned count = 0;

	for (unsigned slot = 0; slot < all->used; slot++)
		count += all->slots[slot] && all->slots[slot]->listed && all->slots[slot]->state == TXN_ACTIVE;
	return count;
}

void transactions_list(struct front *f, struct dir_reply *d, mode_t type, uint64_t offset, uint64_t bias)
{
	struct transactions *all = f->transactions;

	for (uint64_t slot = offset > bias ? offset - bias : 0; slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (t && t->listed && !dir_add(d, t->name, txn_node(t), type, bias + 1 + slot))
			return;
	}
}

/* ---- coming ---- */

static int free_slot(struct transactions *all, unsigned *out)
{
	for (*out = 0; *out < SLOTS; ++*out)
		if (!all->slots[*out])
			return OK;
	return ERR_QUOTA;
}

/* Numbers never come again, not after a restart either: the time, and always more than the last. */
static uint64_t next_number(struct transactions *all)
{
	struct timespec now;
	uint64_t number;

	clock_gettime(CLOCK_REALTIME, &now);
	number = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	all->last_number = number > all->last_number ? number : all->last_number + 1;
	return all->last_number;
}

static void drop_ended_views(struct transactions *all)
{
	for (unsigned slot = 0; slot < all->used; slot++)
		if (all->slots[slot] && all->slots[slot]->state == TXN_COMMITTED)
			txn_drop_view(all->slots[slot]);
}

/* The views of those that are committed are kept as long as nobody else wants the room. */
static int begin(struct front *f, struct transaction **out)
{
	struct machine *m = replica_machine(f->replica);
	int code = transaction_new(m, out);

	if (code != ERR_QUOTA)
		return code;
	drop_ended_views(f->transactions);
	return transaction_new(m, out);
}

static struct txn *add(struct front *f, unsigned slot, struct transaction *inner, const struct call *c)
{
	struct transactions *all = f->transactions;
	struct txn *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->front = f;
	t->slot = slot;
	t->number = next_number(all);
	memcpy(t->name, c->name, strlen(c->name)); /* check_new has measured it */
	t->uid = fuse_req_ctx(c->req)->uid;
	t->gid = fuse_req_ctx(c->req)->gid;
	t->begun_ns = (int64_t)machine_time_ns(replica_machine(f->replica));
	t->session = replica_session(f->replica);
	t->epoch = f->epoch;
	t->begin = transaction_begin(inner);
	t->inner = inner;
	t->timeout_s = TIMEOUT_S_DEFAULT;
	t->listed = true;
	all->slots[slot] = t;
	all->listed++;
	if (slot >= all->used)
		all->used = slot + 1;
	txn_set_wake(t, t->timeout_s * 1000);
	return t;
}

static int check_new(struct front *f, const char *name)
{
	if (strlen(name) > LIMIT_NAME_BYTES)
		return ERR_NAME_TOO_LONG;
	if (virtual_name_reserved(name))
		return ERR_PERM;
	if (transactions_named(f, name))
		return ERR_EXISTS;
	return f->transactions->listed >= LIMIT_TRANSACTIONS ? ERR_QUOTA : OK;
}

/* Strong: the view holds all that was done anywhere before. */
static void run_mkdir(struct front *f, struct call *c)
{
	struct transaction *inner = NULL;
	struct txn *t = NULL;
	unsigned slot;
	int code = check_new(f, c->name);

	if (code == OK && replica_session(f->replica) == 0)
		code = ERR_NO_QUORUM; /* a new one is on its way */
	if (code == OK)
		code = free_slot(f->transactions, &slot);
	if (code == OK)
		code = begin(f, &inner);
	if (code == OK) {
		t = add(f, slot, inner, c);
		code = t ? OK : ERR_NO_MEMORY;
	}
	if (code == OK) {
		virtual_reply_entry(c->req, txn_node(t));
		return;
	}
	if (inner)
		transaction_free(inner);
	call_refuse(c, code, NULL);
}

/* Also what a close on this mount brings about, of which close(2) does not wait for the end. */
static void settle_and_mkdir(struct front *f, struct call *c)
{
	c->run = run_mkdir;
	if (!call_must_settle_all(f, c))
		run_mkdir(f, c);
}

void transactions_mkdir(fuse_req_t req, const char *name)
{
	struct call c = call_of(req, static_node(STATIC_TRANSACTIONS), name, NULL);

	c.run = settle_and_mkdir;
	call_strong(&c);
}

/* ---- going ---- */

void txn_drop_view(struct txn *t)
{
	if (t->inner)
		transaction_free(t->inner);
	t->inner = NULL;
}

static void free_unreferenced(struct txn *t)
{
	struct transactions *all = t->front->transactions;

	if (t->listed || t->lookups > 0 || t->proposing)
		return;
	all->slots[t->slot] = NULL;
	while (all->used > 0 && !all->slots[all->used - 1])
		all->used--;
	txn_drop_view(t);
	free(t);
}

void txn_unlist(struct txn *t)
{
	if (t->listed)
		t->front->transactions->listed--;
	t->listed = false;
	txn_set_wake(t, 0);
	if (!t->proposing)
		txn_drop_view(t);
	free_unreferenced(t);
}

static void answer_rmdir(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f;
	reply_code(c->req, reply->code);
}

void transactions_rmdir(fuse_req_t req, const char *name)
{
	struct txn *t = transactions_named(front_of(req), name);
	struct call c = call_of(req, t ? txn_node(t) : 0, NULL, NULL);

	c.answer = answer_rmdir;
	if (!t) {
		reply_code(req, ERR_NOT_FOUND);
	} else if (t->state == TXN_COMMITTING || t->state == TXN_UNDECIDED) {
		call_refuse(&c, ERR_BUSY, "its commit is under way");
	} else if (t->state == TXN_ACTIVE) {
		txn_rollback(t, "removed", t->operations > 0, &c);
		txn_unlist(t);
	} else {
		txn_unlist(t);
		reply_code(req, OK);
	}
}

void transactions_remember(struct front *f, fuse_ino_t node)
{
	struct txn *t = transactions_at(f, node);

	if (t)
		t->lookups++;
}

void transactions_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	struct txn *t = transactions_at(f, node);

	if (!t)
		return;
	t->lookups -= count < t->lookups ? count : t->lookups;
	free_unreferenced(t);
}

/* ---- time ---- */

void txn_set_wake(struct txn *t, uint64_t after_ms)
{
	t->wake_ms = after_ms ? uv_now(t->front->loop) + after_ms : 0;
	transactions_schedule(t->front);
}

void transactions_schedule(struct front *f)
{
	struct transactions *all = f->transactions;
	uint64_t next = UINT64_MAX, now = uv_now(f->loop);

	if (!all->timer)
		return;
	for (unsigned slot = 0; slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (t && t->wake_ms && t->wake_ms < next)
			next = t->wake_ms;
	}
	if (next == UINT64_MAX)
		uv_timer_stop(all->timer);
	else
		uv_timer_start(all->timer, on_timer, next > now ? next - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct front *f = timer->data;
	struct transactions *all = f->transactions;

	for (unsigned slot = 0; slot < all->used; slot++) {
		struct txn *t = all->slots[slot];

		if (!t || !t->wake_ms || t->wake_ms > uv_now(f->loop))
			continue;
		t->wake_ms = 0;
		txn_wake(t);
	}
	transactions_schedule(f);
}

/* ---- words ---- */

void txn_note(struct txn *t, int code, const char *why)
{
	snprintf(t->error, sizeof t->error, "%s", why && *why ? why : error_text(code));
}
