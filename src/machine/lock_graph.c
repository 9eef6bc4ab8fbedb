/* Cycles of waiters among fcntl locks. Nodes are owners; a waiter's owner waits for the owner of each holder that
 * conflicts and of each earlier waiter that conflicts (unless it extends what it has). Every owner waits for all of
 * these, so any cycle is a deadlock, and a new wait can only close cycles that pass through the one who asks.
 *
 * A queue for one lock has n² such pairs, of which n matter: an exclusive waiter that covers the range waits itself
 * for whatever of it lies before it, or shares its owner. */
#include "machine/lock.h"

/* An owner with more locks than this is not asked about each: the search forward answers as well. */
#define LOCKS_ASKED 64u

struct search {
	struct lock_table *table;
	const struct lock *target;
	struct lock *stack; /* waiters to visit, by chain */
};

/* The first waiting request of l's owner. */
static struct lock *owner_waits(const struct lock_table *t, const struct lock *l)
{
	struct lock probe = {.session = l->session, .kind = l->kind, .owner = l->owner};
	return lock_owner_from(t, &probe);
}

static bool search_visit(void *ctx, struct lock *l)
{
	struct search *s = ctx;
	if (lock_same_owner(l, s->target))
		return true;
	struct lock *w = owner_waits(s->table, l);
	for (; w && lock_same_owner(w, l) && w->search_seen != s->table->searches; w = lock_owner_next(s->table, w)) {
		w->search_seen = s->table->searches;
		w->chain = s->stack;
		s->stack = w;
	}
	return false;
}

static bool search_blockers(struct search *s, const struct lock_domain *d, const struct lock *w)
{
	uint64_t below = w->number;
	struct lock *b;
	while (!w->extends && (b = lock_queue_before(d, w, below))) {
		if (search_visit(s, b))
			return true;
		if (b->mode == LOCK_MODE_EXCLUSIVE && !b->extends && lock_covers(b, w))
			return false;
		below = b->number;
	}
	return lock_each_conflict(d->holders, w, search_visit, s);
}

/* Most who ask hold nothing that anybody waits for. */
static bool is_waited_for(const struct lock_table *t, const struct lock *owner)
{
	struct lock probe = {.session = owner->session, .kind = owner->kind, .owner = owner->owner, .token = 1};
	struct lock *l = lock_owner_from(t, &probe);
	for (unsigned i = 0; l && lock_same_owner(l, owner); l = lock_owner_next(t, l)) {
		if (i++ == LOCKS_ASKED || lock_find_conflict(lock_place(l)->waiters, l, UINT64_MAX))
			return true;
	}
	return false;
}

bool lock_would_deadlock(struct lock_table *t, const struct lock *want)
{
	struct search s = {.table = t, .target = want};
	if (!is_waited_for(t, want))
		return false;
	t->searches++;
	if (search_blockers(&s, lock_place(want), want))
		return true;
	while (s.stack) {
		struct lock *w = s.stack;
		s.stack = w->chain;
		if (search_blockers(&s, lock_place(w), w))
			return true;
	}
	return false;
}
