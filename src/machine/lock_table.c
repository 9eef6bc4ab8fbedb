/* The table of locks: every lock in the indexes it belongs to, and written through as a record. */
#include "machine/lock.h"

#include <stdlib.h>
#include <string.h>

/* ---- orders ---- */

static int file_compare(const struct tree_node *a, const struct tree_node *b)
{
	return tree_order(tree_entry(a, struct lock_file, node)->inode, tree_entry(b, struct lock_file, node)->inode);
}

static uint64_t file_weigh(const struct tree_node *n)
{
	return tree_entry(n, struct lock_file, node)->inode;
}

const struct tree_type lock_file_type = {file_compare, file_weigh, NULL};

#define WEIGH(index)                                            \
	static uint64_t index##_weigh(const struct tree_node *n) \
	{                                                       \
		return tree_entry(n, struct lock, index)->number; \
	}
WEIGH(by_range)
WEIGH(by_queue)
WEIGH(by_owner)
WEIGH(by_handle)
WEIGH(by_request)
WEIGH(by_turn)

static int range_compare(const struct tree_node *na, const struct tree_node *nb)
{
	const struct lock *a = tree_entry(na, struct lock, by_range), *b = tree_entry(nb, struct lock, by_range);
	int order = tree_order(a->start, b->start);
	return order ? order : tree_order(a->number, b->number);
}

static void range_merge(struct lock *l, const struct lock *child)
{
	if (!child)
		return;
	if (child->end_max > l->end_max)
		l->end_max = child->end_max;
	if (child->end_max_exclusive > l->end_max_exclusive)
		l->end_max_exclusive = child->end_max_exclusive;
	l->has_exclusive |= child->has_exclusive;
	if (child->number_min < l->number_min)
		l->number_min = child->number_min;
}

static void range_update(struct tree_node *n)
{
	struct lock *l = tree_entry(n, struct lock, by_range);
	l->end_max = l->end;
	l->has_exclusive = l->mode == LOCK_MODE_EXCLUSIVE;
	l->end_max_exclusive = l->has_exclusive ? l->end : 0;
	l->number_min = l->number;
	range_merge(l, lock_of(n->left, by_range));
	range_merge(l, lock_of(n->right, by_range));
}

const struct tree_type lock_range_type = {range_compare, by_range_weigh, range_update};

static int queue_compare(const struct tree_node *a, const struct tree_node *b)
{
	return tree_order(tree_entry(a, struct lock, by_queue)->number, tree_entry(b, struct lock, by_queue)->number);
}

static void hull_merge(struct lock_hull *hull, const struct lock_hull *more)
{
	if (more->start < hull->start)
		hull->start = more->start;
	if (more->end > hull->end)
		hull->end = more->end;
}

static void queue_update(struct tree_node *n)
{
	struct lock *l = tree_entry(n, struct lock, by_queue);
	struct lock *children[] = {lock_of(n->left, by_queue), lock_of(n->right, by_queue)};
	bool exclusive = l->mode == LOCK_MODE_EXCLUSIVE;
	l->hull = (struct lock_hull){l->start, l->end};
	l->hull_exclusive = exclusive ? l->hull : (struct lock_hull){UINT64_MAX, 0};
	for (int i = 0; i < 2; i++) {
		if (!children[i])
			continue;
		hull_merge(&l->hull, &children[i]->hull);
		hull_merge(&l->hull_exclusive, &children[i]->hull_exclusive);
	}
}

const struct tree_type lock_queue_type = {queue_compare, by_queue_weigh, queue_update};

static int owner_compare(const struct tree_node *na, const struct tree_node *nb)
{
	const struct lock *a = tree_entry(na, struct lock, by_owner), *b = tree_entry(nb, struct lock, by_owner);
	int order = tree_order(a->session, b->session);
	order = order ? order : tree_order(a->kind, b->kind);
	order = order ? order : tree_order(a->owner, b->owner);
	order = order ? order : tree_order(lock_is_waiter(a), lock_is_waiter(b));
	order = order ? order : tree_order(a->inode, b->inode);
	order = order ? order : tree_order(a->start, b->start);
	return order ? order : tree_order(a->number, b->number);
}

const struct tree_type lock_owner_type = {owner_compare, by_owner_weigh, NULL};

static int handle_compare(const struct tree_node *na, const struct tree_node *nb)
{
	const struct lock *a = tree_entry(na, struct lock, by_handle), *b = tree_entry(nb, struct lock, by_handle);
	int order = tree_order(a->session, b->session);
	order = order ? order : tree_order(a->inode, b->inode);
	order = order ? order : tree_order(a->handle, b->handle);
	return order ? order : tree_order(a->number, b->number);
}

const struct tree_type lock_handle_type = {handle_compare, by_handle_weigh, NULL};

static int request_compare(const struct tree_node *na, const struct tree_node *nb)
{
	const struct lock *a = tree_entry(na, struct lock, by_request), *b = tree_entry(nb, struct lock, by_request);
	int order = tree_order(a->session, b->session);
	return order ? order : tree_order(a->sequence, b->sequence);
}

const struct tree_type lock_request_type = {request_compare, by_request_weigh, NULL};

static int turn_compare(const struct tree_node *a, const struct tree_node *b)
{
	return tree_order(tree_entry(a, struct lock, by_turn)->number, tree_entry(b, struct lock, by_turn)->number);
}

const struct tree_type lock_turn_type = {turn_compare, by_turn_weigh, NULL};

/* ---- life ---- */

struct lock_table *lock_table_new(void)
{
	struct lock_table *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->holders_limit = LIMIT_LOCKS;
	t->waiters_limit = LIMIT_WAITERS;
	t->user_holders_limit = LIMIT_USER_LOCKS;
	t->user_waiters_limit = LIMIT_USER_WAITERS;
	return t;
}

void lock_table_free(struct lock_table *t)
{
	while (t && t->owners) {
		struct lock *l = lock_of(t->owners, by_owner);
		lock_release_dependents(t, l);
		lock_unindex(t, l);
		free(l);
	}
	free(t);
}

struct lock_file *lock_file_find(const struct lock_table *t, uint64_t inode)
{
	struct lock_file probe = {.inode = inode};
	struct tree_node *n = tree_ceiling(&lock_file_type, t->files, &probe.node);
	struct lock_file *file = n ? tree_entry(n, struct lock_file, node) : NULL;
	return file && file->inode == inode ? file : NULL;
}

static struct lock_file *file_make(struct lock_table *t, uint64_t inode)
{
	struct lock_file *file = lock_file_find(t, inode);
	if (file || !(file = calloc(1, sizeof *file)))
		return file;
	file->inode = inode;
	tree_insert(&lock_file_type, &t->files, &file->node);
	return file;
}

static void file_put(struct lock_table *t, struct lock_file *file)
{
	if (--file->count > 0)
		return;
	tree_remove(&lock_file_type, &t->files, &file->node);
	free(file);
}

struct lock_domain *lock_place(const struct lock *l)
{
	return &l->file->domain[lock_domain_of(l)];
}

struct lock *lock_copy(const struct lock *from)
{
	struct lock *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	*l = (struct lock){
		.inode = from->inode, .start = from->start, .end = from->end, .session = from->session,
		.owner = from->owner, .handle = from->handle, .sequence = from->sequence, .token = from->token,
		.since_ns = from->since_ns, .pid = from->pid, .uid = from->uid, .kind = from->kind, .mode = from->mode,
		.extends = from->extends, .process_size = from->process_size,
	};
	memcpy(l->process, from->process, sizeof l->process);
	return l;
}

/* ---- in and out ---- */

int lock_index(struct lock_table *t, struct lock *l)
{
	if (lock_user_count(t, l) < 0)
		return ERR_NO_MEMORY;
	l->file = file_make(t, l->inode);
	if (!l->file) {
		lock_user_uncount(t, l);
		return ERR_NO_MEMORY;
	}
	l->file->count++;
	struct lock_domain *d = lock_place(l);
	tree_insert(&lock_owner_type, &t->owners, &l->by_owner);
	tree_insert(&lock_handle_type, &t->handles, &l->by_handle);
	if (lock_is_waiter(l)) {
		t->waiters++;
		tree_insert(&lock_range_type, &d->waiters, &l->by_range);
		tree_insert(&lock_queue_type, &d->queue, &l->by_queue);
		tree_insert(&lock_request_type, &t->requests, &l->by_request);
	} else {
		t->holders++;
		tree_insert(&lock_range_type, &d->holders, &l->by_range);
	}
	return 0;
}

static void waiter_unindex(struct lock_table *t, struct lock *l)
{
	struct lock_domain *d = lock_place(l);
	t->waiters--;
	lock_unblock(l);
	if (l->is_ready)
		tree_remove(&lock_turn_type, &t->ready, &l->by_turn);
	l->is_ready = false;
	tree_remove(&lock_range_type, &d->waiters, &l->by_range);
	tree_remove(&lock_queue_type, &d->queue, &l->by_queue);
	tree_remove(&lock_request_type, &t->requests, &l->by_request);
}

void lock_unindex(struct lock_table *t, struct lock *l)
{
	tree_remove(&lock_owner_type, &t->owners, &l->by_owner);
	tree_remove(&lock_handle_type, &t->handles, &l->by_handle);
	if (lock_is_waiter(l)) {
		waiter_unindex(t, l);
	} else {
		t->holders--;
		tree_remove(&lock_range_type, &lock_place(l)->holders, &l->by_range);
	}
	file_put(t, l->file);
	l->file = NULL;
	lock_user_uncount(t, l);
}

/* ---- records ---- */

void lock_record(const struct lock *l, Coordfs__Lock *out)
{
	coordfs__lock__init(out);
	out->inode = l->inode;
	out->kind = l->kind;
	out->mode = l->mode;
	out->start = l->start;
	out->end = l->end;
	out->session = l->session;
	out->owner = l->owner;
	out->handle = l->handle;
	out->pid = l->pid;
	out->uid = l->uid;
	out->process = (ProtobufCBinaryData){l->process_size, (uint8_t *)l->process};
	out->token = l->token;
	out->sequence = l->sequence;
	out->since_ns = l->since_ns;
	out->extends = l->extends;
}

static int lock_write(struct context *c, const struct lock *l)
{
	struct key k = key1('l', l->number);
	Coordfs__Lock record;
	lock_record(l, &record);
	return record_put(c->store, &k, &record);
}

int lock_add(struct context *c, struct lock *l)
{
	struct lock_table *t = machine_lock_table(c->machine);
	int code = lock_index(t, l);
	if (code) {
		lock_release_dependents(t, l);
		free(l);
		return code;
	}
	return lock_write(c, l);
}

int lock_remove(struct context *c, struct lock *l)
{
	struct lock_table *t = machine_lock_table(c->machine);
	struct key k = key1('l', l->number);
	lock_release_dependents(t, l);
	lock_unindex(t, l);
	free(l);
	return store_del(c->store, key_bytes(&k));
}

/* ---- by owner ---- */

struct lock *lock_owner_from(const struct lock_table *t, const struct lock *probe)
{
	return lock_of(tree_ceiling(&lock_owner_type, t->owners, &probe->by_owner), by_owner);
}

struct lock *lock_owner_next(const struct lock_table *t, const struct lock *l)
{
	return lock_of(tree_above(&lock_owner_type, t->owners, &l->by_owner), by_owner);
}
