#include "front/owed.h"

#include <stdlib.h>
#include <utlist.h>

#include "front/timer.h"

enum { RETRY_MS = 500 };

struct item {
	struct item *prev, *next;
	struct front *front;
	Coordfs__Command *command; /* a copy of our own */
	uint64_t epoch;		   /* of the session in which it means something */
	bool on_its_way, answered, final;
	replica_done first, last;
	void *ctx;
};

struct owed {
	struct item *items;
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

static void item_free(struct item *i)
{
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

int owed_propose(struct front *f, const Coordfs__Command *command, replica_done first, replica_done last, void *ctx)
{
	struct item *i = calloc(1, sizeof *i);

	if (!i)
		return ERR_NO_MEMORY;
	i->command = copy_of(command);
	if (!i->command) {
		free(i);
		return ERR_NO_MEMORY;
	}
	i->front = f;
	i->epoch = f->epoch;
	i->first = first;
	i->last = last;
	i->ctx = ctx;
	DL_APPEND(f->owed->items, i);
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

static bool is_owners_drop(const struct item *i, uint64_t inode, uint64_t owner)
{
	const Coordfs__LockDrop *drop = i->command->lock_drop;

	return i->command->of_case == COORDFS__COMMAND__OF_LOCK_DROP && owner && drop->inode == inode &&
	       drop->owner == owner;
}

void owed_before_lock(struct front *f, uint64_t inode, uint64_t owner)
{
	struct item *i;

	DL_FOREACH (f->owed->items, i) {
		if (!is_owners_drop(i, inode, owner))
			continue;
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
