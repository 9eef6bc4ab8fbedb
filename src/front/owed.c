#include "front/owed.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/hash.h"
#include "front/timer.h"

enum { RETRY_MS = 500 };

/* Who closed which file: his LockDrops that are not taken yet. */
struct closer_key {
	uint64_t inode, owner;
};

struct closer {
	struct closer_key key;
	struct item *items;
	UT_hash_handle hh;
};

struct item {
	struct item *prev, *next;
	struct item *closer_prev, *closer_next; /* of the closer */
	struct closer *closer;			/* NULL: it is no LockDrop of an owner's */
	struct front *front;
	Coordfs__Command *command; /* a copy of our own */
	uint64_t epoch;		   /* of the session in which it means something */
	bool on_its_way, answered, final;
	replica_done first, last;
	void *ctx;
};

struct owed {
	struct item *items;
	struct closer *closers;
	uv_timer_t *timer; /* NULL: stopped */
};

static void on_timer(uv_timer_t *timer);

int owed_new(struct front *f)
{
	struct owed *o = calloc(1, sizeof *o);

	if (!o)
		return ERR_NO_MEMORY;
	o->timer = timer_new(f);
	if (!o->timer) {
		free(o);
		return ERR_NO_MEMORY;
	}
	f->owed = o;
	return OK;
}

void owed_stop(struct front *f)
{
	if (f->owed)
		timer_end(&f->owed->timer);
}

static struct closer *closer_find(const struct owed *o, struct closer_key key)
{
	struct closer *c;

	HASH_FIND(hh, o->closers, &key, sizeof key, c);
	return c;
}

static struct closer *closer_get(struct owed *o, struct closer_key key)
{
	struct closer *c = closer_find(o, key);

	if (c || !(c = calloc(1, sizeof *c)))
		return c;
	c->key = key;
	HASH_ADD(hh, o->closers, key, sizeof c->key, c);
	return hash_kept(c);
}

static void closer_leave(struct item *i)
{
	struct closer *c = i->closer;

	if (!c)
		return;
	DL_DELETE2(c->items, i, closer_prev, closer_next);
	if (c->items)
		return;
	HASH_DELETE(hh, i->front->owed->closers, c);
	free(c);
}

static bool is_owners_drop(const struct item *i)
{
	return i->command->of_case == COORDFS__COMMAND__OF_LOCK_DROP && i->command->lock_drop->owner != 0;
}

static int closer_enter(struct item *i)
{
	const Coordfs__LockDrop *drop = i->command->lock_drop;

	if (!is_owners_drop(i))
		return OK;
	i->closer = closer_get(i->front->owed, (struct closer_key){drop->inode, drop->owner});
	if (!i->closer)
		return ERR_NO_MEMORY;
	DL_APPEND2(i->closer->items, i, closer_prev, closer_next);
	return OK;
}

static void item_free(struct item *i)
{
	closer_leave(i);
	DL_DELETE(i->front->owed->items, i);
	coordfs__command__free_unpacked(i->command, NULL);
	free(i);
}

void owed_free(struct front *f)
{
	if (!f->owed)
		return;
	owed_stop(f);
	while (f->owed->items)
		item_free(f->owed->items);
	free(f->owed);
	f->owed = NULL;
}

/* ---- one command ---- */

static Coordfs__Command *copy_of(const Coordfs__Command *command)
{
	size_t size = coordfs__command__get_packed_size(command);
	uint8_t *packed = malloc(size + 1);
	Coordfs__Command *copy;

	if (!packed)
		return NULL;
	coordfs__command__pack(command, packed);
	copy = coordfs__command__unpack(NULL, size, packed);
	free(packed);
	return copy;
}

/* Certainly or possibly not in the log. All else is the machine's word. */
static bool is_refusal(int code)
{
	return code == ERR_NO_QUORUM || code == ERR_TIMED_OUT || code == ERR_NO_SPACE || code == ERR_NO_MEMORY ||
	       code == ERR_BUSY;
}

static void finish(struct item *i, const struct reply *reply)
{
	replica_done last = i->last;
	void *ctx = i->ctx;

	item_free(i);
	if (last)
		last(ctx, reply);
}

static void schedule(struct owed *o, uint64_t after_ms)
{
	if (o->timer)
		uv_timer_start(o->timer, on_timer, after_ms, 0);
}

static void on_answer(void *ctx, const struct reply *reply)
{
	struct item *i = ctx;
	struct reply over = {.code = ERR_STALE};
	struct owed *o = i->front->owed;

	i->on_its_way = false;
	if (!i->answered && i->first)
		i->first(i->ctx, reply);
	i->answered = true;
	if (!is_refusal(reply->code))
		finish(i, reply);
	else if (i->final || i->epoch != i->front->epoch || !o->timer)
		finish(i, &over);
	else
		schedule(o, RETRY_MS);
}

static void propose(struct item *i)
{
	i->on_its_way = true;
	replica_propose(i->front->replica, i->command, on_answer, i);
}

static struct item *item_new(struct front *f, const Coordfs__Command *command)
{
	struct item *i = calloc(1, sizeof *i);

	if (!i)
		return NULL;
	i->front = f;
	i->epoch = f->epoch;
	i->command = copy_of(command);
	if (i->command && closer_enter(i) == OK) {
		DL_APPEND(f->owed->items, i);
		return i;
	}
	if (i->command)
		coordfs__command__free_unpacked(i->command, NULL);
	free(i);
	return NULL;
}

int owed_propose(struct front *f, const Coordfs__Command *command, replica_done first, replica_done last, void *ctx)
{
	struct item *i = item_new(f, command);

	if (!i)
		return ERR_NO_MEMORY;
	i->first = first;
	i->last = last;
	i->ctx = ctx;
	propose(i);
	return OK;
}

/* In the order in which they were asked for first. */
static void on_timer(uv_timer_t *timer)
{
	struct front *f = timer->data;
	struct reply over = {.code = ERR_STALE};
	struct item *i, *next;

	DL_FOREACH_SAFE (f->owed->items, i, next) {
		if (i->on_its_way)
			continue;
		if (i->epoch != f->epoch)
			finish(i, &over);
		else
			propose(i);
	}
}

void owed_before_lock(struct front *f, uint64_t inode, uint64_t owner)
{
	struct closer *c = closer_find(f->owed, (struct closer_key){inode, owner});
	struct item *i;

	DL_FOREACH2 (c ? c->items : NULL, i, closer_next) {
		i->final = true;
		if (!i->on_its_way && i->epoch == f->epoch)
			propose(i);
	}
}

void owed_session_over(struct front *f)
{
	if (f->owed && f->owed->items)
		schedule(f->owed, 0);
}
