/* Reading the table: for `.info`, F_GETLK, `require`. */
#include "machine/lock.h"

#include <string.h>

bool lock_walk(struct tree_node *root, bool (*f)(void *ctx, struct tree_node *n), void *ctx)
{
	return root && (lock_walk(root->left, f, ctx) || f(ctx, root) || lock_walk(root->right, f, ctx));
}

static struct lock_info info_of(struct machine *m, const struct lock *l)
{
	return (struct lock_info){
		.number = l->number, .inode = l->inode, .session = l->session, .owner = l->owner, .handle = l->handle,
		.sequence = l->sequence, .token = l->token, .start = l->start, .end = l->end, .kind = l->kind,
		.mode = l->mode, .pid = l->pid, .uid = l->uid, .since_ns = l->since_ns,
		.process = {l->process, l->process_size}, .member = machine_session_member(m, l->session),
	};
}

/* ---- lists ---- */

/* Holders by token, then waiters by number: in the tree of turns, which is empty between commands. */
static int listing_compare(const struct tree_node *na, const struct tree_node *nb)
{
	const struct lock *a = tree_entry(na, struct lock, by_turn), *b = tree_entry(nb, struct lock, by_turn);
	int order = tree_order(lock_is_waiter(a), lock_is_waiter(b));
	order = order ? order : tree_order(a->token, b->token);
	return order ? order : tree_order(a->number, b->number);
}

static uint64_t listing_weigh(const struct tree_node *n)
{
	return tree_entry(n, struct lock, by_turn)->number;
}

static const struct tree_type listing_type = {listing_compare, listing_weigh, NULL};

struct listing {
	struct machine *machine;
	struct tree_node *sorted;
	int (*each)(void *ctx, const struct lock_info *lock);
	void *ctx;
	uint64_t waiters[DOMAINS]; /* of this file, so far */
};

static bool listing_add(void *ctx, struct tree_node *n)
{
	struct listing *list = ctx;
	tree_insert(&listing_type, &list->sorted, &lock_of(n, by_range)->by_turn);
	return false;
}

static bool listing_tell(void *ctx, struct tree_node *n)
{
	struct listing *list = ctx;
	const struct lock *l = lock_of(n, by_turn);
	struct lock_info info = info_of(list->machine, l);
	if (lock_is_waiter(l))
		info.position = ++list->waiters[lock_domain_of(l)];
	return list->each(list->ctx, &info) != 0;
}

static bool list_file(void *ctx, struct tree_node *n)
{
	struct listing *list = ctx;
	struct lock_file *file = tree_entry(n, struct lock_file, node);
	list->sorted = NULL;
	memset(list->waiters, 0, sizeof list->waiters);
	for (int i = 0; i < DOMAINS; i++) {
		lock_walk(file->domain[i].holders, listing_add, list);
		lock_walk(file->domain[i].waiters, listing_add, list);
	}
	return lock_walk(list->sorted, listing_tell, list);
}

void machine_locks(struct machine *m, uint64_t inode, int (*each)(void *ctx, const struct lock_info *lock), void *ctx)
{
	struct lock_table *t = machine_lock_table(m);
	struct listing list = {.machine = m, .each = each, .ctx = ctx};
	struct lock_file *file = inode ? lock_file_find(t, inode) : NULL;
	if (file)
		list_file(&list, &file->node);
	else if (inode == 0)
		lock_walk(t->files, list_file, &list);
}

struct lock_totals machine_lock_totals(struct machine *m)
{
	const struct lock_table *t = machine_lock_table(m);
	return (struct lock_totals){t->holders, t->waiters};
}

/* ---- questions ---- */

static struct lock lock_wanted(const struct lock_table *t, uint64_t inode, const struct lock_info *want)
{
	struct lock l = {
		.number = UINT64_MAX, .inode = inode, .start = want->start, .end = want->end, .session = want->session,
		.owner = want->owner, .kind = want->kind, .mode = want->mode, .file = lock_file_find(t, inode),
	};
	l.extends = l.file && lock_held_part(t, &l) != NULL;
	return l;
}

unsigned machine_lock_ahead(struct machine *m, uint64_t inode, const struct lock_info *want, unsigned count)
{
	struct lock l = lock_wanted(machine_lock_table(m), inode, want);
	const struct lock *before;
	uint64_t below = UINT64_MAX;
	unsigned found = 0;
	while (l.file && !l.extends && found < count && (before = lock_queue_before(lock_place(&l), &l, below))) {
		below = before->number;
		found++;
	}
	return found;
}

bool machine_lock_conflict(struct machine *m, uint64_t inode, const struct lock_info *want, struct lock_info *out)
{
	struct lock l = lock_wanted(machine_lock_table(m), inode, want);
	const struct lock *blocker;
	if (!l.file)
		return false;
	blocker = lock_find_conflict(lock_place(&l)->holders, &l, UINT64_MAX);
	if (!blocker)
		blocker = lock_find_blocker(lock_place(&l), &l);
	if (blocker)
		*out = info_of(m, blocker);
	return blocker != NULL;
}

static bool has_token(void *ctx, struct tree_node *n)
{
	const uint64_t *token = ctx;
	return lock_of(n, by_range)->token == *token;
}

bool lock_token_held(const struct lock_table *t, uint64_t inode, uint64_t token)
{
	struct lock_file *file = lock_file_find(t, inode);
	for (int i = 0; file && token != 0 && i < DOMAINS; i++)
		if (lock_walk(file->domain[i].holders, has_token, &token))
			return true;
	return false;
}
