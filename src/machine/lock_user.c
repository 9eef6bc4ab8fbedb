/* Who has how many locks, and waits for how many: so that one user leaves some for the others. */
#include "machine/lock.h"

#include <stdlib.h>

static int user_compare(const struct tree_node *a, const struct tree_node *b)
{
	return tree_order(tree_entry(a, struct lock_user, node)->uid, tree_entry(b, struct lock_user, node)->uid);
}

static uint64_t user_weigh(const struct tree_node *n)
{
	return tree_entry(n, struct lock_user, node)->uid;
}

static const struct tree_type user_type = {user_compare, user_weigh, NULL};

static struct lock_user *user_find(const struct lock_table *t, uint32_t uid)
{
	struct lock_user probe = {.uid = uid};
	struct tree_node *n = tree_ceiling(&user_type, t->users, &probe.node);
	struct lock_user *user = n ? tree_entry(n, struct lock_user, node) : NULL;
	return user && user->uid == uid ? user : NULL;
}

static struct lock_user *user_make(struct lock_table *t, uint32_t uid)
{
	struct lock_user *user = user_find(t, uid);
	if (user || !(user = calloc(1, sizeof *user)))
		return user;
	user->uid = uid;
	tree_insert(&user_type, &t->users, &user->node);
	return user;
}

static uint64_t *count_of(const struct lock *l)
{
	return lock_is_waiter(l) ? &l->user->waiters : &l->user->holders;
}

int lock_user_count(struct lock_table *t, struct lock *l)
{
	l->user = user_make(t, l->uid);
	if (!l->user)
		return ERR_NO_MEMORY;
	++*count_of(l);
	return 0;
}

void lock_user_uncount(struct lock_table *t, struct lock *l)
{
	struct lock_user *user = l->user;
	--*count_of(l);
	l->user = NULL;
	if (user->holders > 0 || user->waiters > 0)
		return;
	tree_remove(&user_type, &t->users, &user->node);
	free(user);
}

struct lock_user lock_user_of(const struct lock_table *t, uint32_t uid)
{
	const struct lock_user *user = user_find(t, uid);
	return user ? *user : (struct lock_user){.uid = uid};
}

static bool add(void *ctx, struct tree_node *n)
{
	const struct lock_user *user = tree_entry(n, struct lock_user, node);
	struct lock_user *sum = ctx;
	sum->holders += user->holders;
	sum->waiters += user->waiters;
	return false;
}

struct lock_user lock_user_sum(const struct lock_table *t)
{
	struct lock_user sum = {.uid = 0};
	lock_walk(t->users, add, &sum);
	return sum;
}
