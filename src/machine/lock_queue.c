/* The queue. A waiter waits for every holder that conflicts and, unless it extends what it has, for every earlier
 * waiter that does. It is enough to know one of them, its blocker: only when that one goes or changes can the
 * waiter's turn have come, and then another blocker is looked for. The last of the earlier waiters is preferred, so that
 * ten thousand who want one lock hang on each other like a chain, and each grant looks at one.
 *
 * Those whose blocker went are ready; lock_settle() takes them by their number, so that what is granted does not
 * depend on which blocker was known. */
#include "machine/lock.h"

#include <assert.h>

void lock_block(struct lock *waiter, struct lock *blocker)
{
	waiter->blocker = blocker;
	waiter->next = blocker->dependents;
	waiter->link = &blocker->dependents;
	if (waiter->next)
		waiter->next->link = &waiter->next;
	blocker->dependents = waiter;
}

void lock_unblock(struct lock *waiter)
{
	if (!waiter->blocker)
		return;
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	waiter->blocker = NULL;
}

void lock_make_ready(struct lock_table *t, struct lock *waiter)
{
	lock_unblock(waiter);
	if (!waiter->is_ready)
		tree_insert(&lock_turn_type, &t->ready, &waiter->by_turn);
	waiter->is_ready = true;
}

void lock_release_dependents(struct lock_table *t, struct lock *l)
{
	while (l->dependents)
		lock_make_ready(t, l->dependents);
}

static bool hull_overlaps(const struct lock_hull *hull, const struct lock *want)
{
	return hull->start <= hull->end && hull->start <= want->end && want->start <= hull->end;
}

static struct lock *queue_last(struct tree_node *root, const struct lock *want, uint64_t below)
{
	struct lock *l = lock_of(root, by_queue), *found;
	if (!l || !hull_overlaps(want->mode == LOCK_MODE_EXCLUSIVE ? &l->hull : &l->hull_exclusive, want))
		return NULL;
	if (l->number >= below)
		return queue_last(root->left, want, below);
	found = queue_last(root->right, want, below);
	if (found)
		return found;
	return lock_conflict(l, want) ? l : queue_last(root->left, want, below);
}

/* Either tree alone has a case in which it looks at everybody: by range when all want the same, by number when all
 * want something else. */
struct lock *lock_queue_before(const struct lock_domain *d, const struct lock *want, uint64_t below)
{
	if (!lock_find_conflict(d->waiters, want, below))
		return NULL;
	return queue_last(d->queue, want, below);
}

struct lock *lock_find_blocker(const struct lock_domain *d, const struct lock *want)
{
	struct lock *blocker = want->extends ? NULL : lock_queue_before(d, want, want->number);
	return blocker ? blocker : lock_pick_conflict(d->holders, want);
}

/* Those who wait for it wait on: a holder is in their way as the waiter was. */
static int grant(struct context *c, struct lock *l)
{
	struct event event = {
		.type = EVENT_GRANT, .session = l->session, .sequence = l->sequence, .token = c->index,
		.inode = l->inode, .handle = l->handle, .owner = l->owner,
	};
	lock_unindex(machine_lock_table(c->machine), l);
	int code = lock_range_take(c, l);
	if (code == 0)
		context_event(c, event);
	return code;
}

int lock_settle(struct context *c)
{
	struct lock_table *t = machine_lock_table(c->machine);
	struct lock *l, *blocker;
	int code = 0;
	while (code == 0 && (l = lock_of(tree_first(t->ready), by_turn))) {
		tree_remove(&lock_turn_type, &t->ready, &l->by_turn);
		l->is_ready = false;
		blocker = lock_find_blocker(lock_place(l), l);
		if (blocker)
			lock_block(l, blocker);
		else
			code = grant(c, l);
	}
	assert(code || !t->ready);
	return code;
}
