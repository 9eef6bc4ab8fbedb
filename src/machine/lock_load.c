/* The table from an image, and its invariants. Records are hostile until they are checked: what the machine itself could
 * not have written is ERR_CORRUPT. */
#include "machine/lock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool record_is_valid(uint64_t number, const Coordfs__Lock *q)
{
	bool whole = q->start == 0 && q->end == LOCK_END;
	return number != 0 && number != UINT64_MAX && q->kind >= LOCK_KIND_FLOCK && q->kind <= LOCK_KIND_OFD &&
	       (q->mode == LOCK_MODE_SHARED || q->mode == LOCK_MODE_EXCLUSIVE) && q->start <= q->end &&
	       (whole || q->kind != LOCK_KIND_FLOCK) && q->process.len <= LOCK_PROCESS_BYTES &&
	       (!q->extends || (q->token == 0 && q->kind != LOCK_KIND_FLOCK));
}

static struct lock *record_lock(uint64_t number, const Coordfs__Lock *q)
{
	struct lock *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	*l = (struct lock){
		.number = number, .inode = q->inode, .start = q->start, .end = q->end, .session = q->session,
		.owner = q->owner, .handle = q->handle, .sequence = q->sequence, .token = q->token,
		.since_ns = q->since_ns, .pid = q->pid, .uid = q->uid, .kind = (enum lock_kind)q->kind,
		.mode = (enum lock_mode)q->mode, .extends = q->extends, .process_size = (uint8_t)q->process.len,
	};
	if (q->process.len > 0)
		memcpy(l->process, q->process.data, q->process.len);
	return l;
}

/* Is the same place in an index taken? Keys of an image differ, but not necessarily numbers' requests. */
static bool is_duplicate(const struct lock_table *t, const struct lock *l)
{
	struct tree_node *n = tree_ceiling(&lock_request_type, t->requests, &l->by_request);
	if (lock_is_waiter(l) && n && lock_request_type.compare(n, &l->by_request) == 0)
		return true;
	n = tree_ceiling(&lock_handle_type, t->handles, &l->by_handle);
	return n && lock_handle_type.compare(n, &l->by_handle) == 0;
}

int lock_load(struct lock_table *t, uint64_t number, const Coordfs__Lock *record)
{
	if (!record_is_valid(number, record))
		return ERR_CORRUPT;
	struct lock *l = record_lock(number, record);
	if (!l)
		return ERR_NO_MEMORY;
	int code = is_duplicate(t, l) ? ERR_CORRUPT : lock_index(t, l);
	if (code)
		free(l);
	return code;
}

/* ---- invariants ---- */

struct check {
	struct lock_table *table;
	struct machine *machine; /* NULL: the records are not looked at */
	void (*fail)(void *ctx, const char *what);
	void *ctx;
	unsigned breaches;
	uint64_t holders, waiters;
};

static void breach(struct check *k, const struct lock *l, const char *what)
{
	char line[200];
	k->breaches++;
	if (!k->fail)
		return;
	snprintf(line, sizeof line, "lock %llu on inode %llu: %s", (unsigned long long)l->number,
		 (unsigned long long)l->inode, what);
	k->fail(k->ctx, line);
}

static void check_holder(struct check *k, struct lock *l)
{
	struct lock *next = lock_owner_next(k->table, l);
	k->holders++;
	if (lock_find_conflict(lock_place(l)->holders, l, UINT64_MAX))
		breach(k, l, "held beside one that conflicts");
	if (!next || !lock_same_owner(next, l) || next->inode != l->inode || lock_is_waiter(next))
		return;
	if (next->start <= l->end)
		breach(k, l, "overlaps another of its owner");
	else if (next->start == l->end + 1 && next->mode == l->mode && next->handle == l->handle)
		breach(k, l, "not made one with its neighbour");
}

static void check_waiter(struct check *k, struct lock *l)
{
	const struct lock *b = l->blocker;
	k->waiters++;
	if (l->is_ready)
		breach(k, l, "was not settled");
	if (!lock_find_blocker(lock_place(l), l))
		breach(k, l, "waits for nothing");
	if (!b || b->file != l->file || !lock_conflict(b, l) || (lock_is_waiter(b) && (l->extends || b->number >= l->number)))
		breach(k, l, "waits for the wrong one");
}

static void check_record(struct check *k, struct lock *l)
{
	struct key key = key1('l', l->number);
	Coordfs__Lock want, *got;
	lock_record(l, &want);
	int found = record_get(machine_view(k->machine).store, &key, &coordfs__lock__descriptor, &got);
	size_t size = coordfs__lock__get_packed_size(&want);
	uint8_t *bytes = malloc(2 * size);
	if (found <= 0 || coordfs__lock__get_packed_size(got) != size)
		breach(k, l, "has another record, or none");
	else if (bytes) {
		coordfs__lock__pack(&want, bytes);
		coordfs__lock__pack(got, bytes + size);
		if (memcmp(bytes, bytes + size, size) != 0)
			breach(k, l, "has another record");
	}
	free(bytes);
	record_free(got);
}

static bool check_lock(void *ctx, struct tree_node *n)
{
	struct check *k = ctx;
	struct lock *l = lock_of(n, by_owner);
	if (lock_is_waiter(l))
		check_waiter(k, l);
	else
		check_holder(k, l);
	if (k->machine)
		check_record(k, l);
	return false;
}

static unsigned check_table(struct check *k)
{
	struct lock_user sum = lock_user_sum(k->table);
	lock_walk(k->table->owners, check_lock, k);
	if (k->holders != k->table->holders || k->waiters != k->table->waiters || sum.holders != k->holders ||
	    sum.waiters != k->waiters) {
		k->breaches++;
		if (k->fail)
			k->fail(k->ctx, "the numbers of locks are wrong");
	}
	return k->breaches;
}

unsigned lock_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx)
{
	struct check k = {.table = machine_lock_table(m), .machine = m, .fail = fail, .ctx = ctx};
	return check_table(&k);
}

/* ---- the end of loading ---- */

static bool find_blocker(void *ctx, struct tree_node *n)
{
	struct lock *l = lock_of(n, by_request), *blocker = lock_find_blocker(lock_place(l), l);
	(void)ctx;
	if (blocker)
		lock_block(l, blocker);
	return !blocker;
}

int lock_load_end(struct lock_table *t)
{
	struct check k = {.table = t};
	if (lock_walk(t->requests, find_blocker, NULL))
		return ERR_CORRUPT;
	return check_table(&k) ? ERR_CORRUPT : 0;
}
