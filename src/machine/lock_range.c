/* Ranges. What one owner holds of a file never overlaps itself, and neighbours of the same mode, taken through the same
 * handle, are one lock; so a range that is asked for touches a run of the owner's locks, found by its start.
 *
 * Each byte belongs to the request that last locked it: a new lock has a new token, also for what it absorbs; the rest
 * of a lock that is cut keeps the token it had. */
#include "machine/lock.h"

#include <stdlib.h>

/* ---- in the way ---- */

/* Is all of the subtree below want's range, or shared as want is? */
static bool is_passed(const struct lock *l, const struct lock *want)
{
	if (want->mode == LOCK_MODE_EXCLUSIVE)
		return l->end_max < want->start;
	return !l->has_exclusive || l->end_max_exclusive < want->start;
}

struct lock *lock_find_conflict(struct tree_node *root, const struct lock *want, uint64_t below)
{
	struct lock *l = lock_of(root, by_range), *found;
	if (!l || l->number_min >= below || is_passed(l, want))
		return NULL;
	found = lock_find_conflict(root->left, want, below);
	if (found || l->start > want->end)
		return found;
	if (l->number < below && lock_conflict(l, want))
		return l;
	return lock_find_conflict(root->right, want, below);
}

/* Bits of mix say on which side to look first. */
static struct lock *pick(struct tree_node *root, const struct lock *want, uint64_t mix)
{
	struct lock *l = lock_of(root, by_range), *found;
	bool right_first = mix & 1;
	if (!l || is_passed(l, want))
		return NULL;
	if (l->start > want->end)
		return pick(root->left, want, mix);
	found = pick(right_first ? root->right : root->left, want, mix >> 1);
	if (found || lock_conflict(l, want))
		return found ? found : l;
	return pick(right_first ? root->left : root->right, want, mix >> 1);
}

struct lock *lock_pick_conflict(struct tree_node *root, const struct lock *want)
{
	return pick(root, want, tree_mix(want->number));
}

bool lock_each_conflict(struct tree_node *root, const struct lock *want, bool (*f)(void *ctx, struct lock *l), void *ctx)
{
	struct lock *l = lock_of(root, by_range);
	if (!l || is_passed(l, want))
		return false;
	if (lock_each_conflict(root->left, want, f, ctx))
		return true;
	if (l->start > want->end)
		return false;
	return (lock_conflict(l, want) && f(ctx, l)) || lock_each_conflict(root->right, want, f, ctx);
}

/* ---- what an owner holds ---- */

static bool held_there(const struct lock *l, const struct lock *want)
{
	return l && lock_same_owner(l, want) && l->inode == want->inode && !lock_is_waiter(l);
}

/* The first lock of want's owner that has a byte in [start, end]; NULL: none. */
static struct lock *held_first(const struct lock_table *t, const struct lock *want, uint64_t start, uint64_t end)
{
	struct lock probe = {.session = want->session, .kind = want->kind, .owner = want->owner, .token = 1,
			     .inode = want->inode, .start = start, .number = UINT64_MAX};
	struct lock *l = lock_of(tree_floor(&lock_owner_type, t->owners, &probe.by_owner), by_owner);
	if (held_there(l, want) && l->end >= start)
		return l;
	l = lock_owner_from(t, &probe);
	return held_there(l, want) && l->start <= end ? l : NULL;
}

struct lock *lock_held_part(const struct lock_table *t, const struct lock *want)
{
	return held_first(t, want, want->start, want->end);
}

static bool alike(const struct lock *a, const struct lock *b)
{
	return a->mode == b->mode && a->handle == b->handle;
}

struct lock *lock_held_whole(const struct lock_table *t, const struct lock *want)
{
	struct lock *l = lock_held_part(t, want);
	return l && alike(l, want) && lock_covers(l, want) ? l : NULL;
}

/* ---- changes ---- */

/* Some of those it blocked may no longer overlap. */
static int resize(struct context *c, struct lock *l, uint64_t start, uint64_t end)
{
	struct lock_table *t = machine_lock_table(c->machine);
	lock_release_dependents(t, l);
	lock_unindex(t, l);
	l->start = start;
	l->end = end;
	return lock_add(c, l);
}

static int add_rest(struct context *c, const struct lock *l, uint64_t start)
{
	struct lock *rest = lock_copy(l);
	if (!rest)
		return ERR_NO_MEMORY;
	rest->number = machine_next_lock(c->machine);
	rest->start = start;
	return lock_add(c, rest);
}

static int cut(struct context *c, struct lock *held, const struct lock *want)
{
	int code = 0;
	bool left = held->start < want->start, right = held->end > want->end;
	if (!left && !right)
		return lock_remove(c, held);
	if (!left)
		return resize(c, held, want->end + 1, held->end);
	if (right)
		code = add_rest(c, held, want->end + 1);
	return code ? code : resize(c, held, held->start, want->start - 1);
}

int lock_range_clear(struct context *c, const struct lock *want)
{
	struct lock *held;
	int code = 0;
	while (code == 0 && (held = lock_held_part(machine_lock_table(c->machine), want)))
		code = cut(c, held, want);
	return code;
}

static int absorb(struct context *c, struct lock *l, struct lock *held)
{
	if (held->start < l->start)
		l->start = held->start;
	if (held->end > l->end)
		l->end = held->end;
	return lock_remove(c, held);
}

/* Neighbours count as well. */
static int absorb_alike(struct context *c, struct lock *l)
{
	struct lock_table *t = machine_lock_table(c->machine);
	uint64_t start = l->start ? l->start - 1 : 0, end = l->end < LOCK_END ? l->end + 1 : LOCK_END;
	struct lock *held = held_first(t, l, start, end), *next;
	int code = 0;
	for (; code == 0 && held_there(held, l) && held->start <= end; held = next) {
		next = lock_owner_next(t, held);
		if (alike(held, l))
			code = absorb(c, l, held);
	}
	return code;
}

int lock_range_take(struct context *c, struct lock *l)
{
	int code = absorb_alike(c, l);
	if (code == 0)
		code = lock_range_clear(c, l);
	if (code) {
		lock_release_dependents(machine_lock_table(c->machine), l);
		free(l);
		return code;
	}
	l->token = c->index;
	l->since_ns = c->time_ns;
	l->extends = false;
	return lock_add(c, l);
}
