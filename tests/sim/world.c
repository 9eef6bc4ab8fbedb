/* Time, chance, and links. */
#include "sim.h"

void *need(void *memory)
{
	if (memory)
		return memory;
	fprintf(stderr, "out of memory\n");
	exit(3);
}

/* ---- chance: splitmix64 ---- */

uint64_t world_random(struct world *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t below(struct world *w, uint64_t n)
{
	return world_random(w) % n;
}

uint64_t between(struct world *w, uint64_t low, uint64_t high)
{
	return low + below(w, high - low + 1);
}

bool chance(struct world *w, unsigned per_thousand)
{
	return below(w, 1000) < per_thousand;
}

/* ---- words ---- */

void trace(struct world *w, const char *format, ...)
{
	va_list arguments;

	if (!w->trace)
		return;
	printf("%9.3f  ", (double)w->now / 1000);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* The first one counts. */
void violate(struct world *w, enum violation violation, const char *format, ...)
{
	va_list arguments;

	if (w->violation)
		return;
	w->violation = violation;
	va_start(arguments, format);
	vsnprintf(w->what, sizeof w->what, format, arguments);
	va_end(arguments);
	trace(w, "VIOLATION: %s", w->what);
}

/* ---- what happens next: a binary heap ---- */

static bool earlier(const struct event_item *a, const struct event_item *b)
{
	return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void push(struct world *w, struct event_item item)
{
	size_t i = w->count;

	if (w->count == w->capacity) {
		w->capacity = w->capacity ? 2 * w->capacity : 256;
		w->heap = need(realloc(w->heap, w->capacity * sizeof *w->heap));
	}
	item.order = ++w->order;
	w->count++;
	for (; i > 0 && earlier(&item, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = item;
}

static struct event_item pop(struct world *w)
{
	struct event_item first = w->heap[0], last = w->heap[--w->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->count) {
		if (child + 1 < w->count && earlier(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!earlier(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

void world_at(struct world *w, uint64_t time, struct member *m, uint64_t start, void (*run)(void *ctx),
	      void (*drop)(void *ctx), void *ctx)
{
	push(w, (struct event_item){.time = time > w->now ? time : w->now, .member = m, .start = start, .run = run,
				    .drop = drop, .ctx = ctx});
}

static void forget(const struct event_item *item)
{
	if (item->drop)
		item->drop(item->ctx);
}

bool world_step(struct world *w)
{
	struct event_item item;
	struct member *m;

	if (w->count == 0 || w->violation)
		return false;
	item = pop(w);
	w->now = item.time;
	m = item.member;
	if (m && (!m->alive || (item.start && item.start != m->start))) {
		forget(&item);
	} else if (m && m->stopped_until > w->now) {
		item.time = m->stopped_until;
		push(w, item);
	} else {
		item.run(item.ctx);
		if (m && m->alive)
			member_settle(m);
	}
	return !w->violation;
}

void world_clear(struct world *w)
{
	while (w->count) {
		struct event_item item = pop(w);

		forget(&item);
	}
	free(w->heap);
	w->heap = NULL;
	w->capacity = 0;
}

/* ---- links ---- */

/* A connection keeps its order; from time to time there is a new one, which may overtake the old. */
static uint64_t arrival(struct world *w, struct link *l)
{
	uint64_t time = w->now + l->delay + (l->jitter ? below(w, l->jitter) : 0);

	if (!chance(w, 3) && time <= l->last)
		time = l->last + 1;
	l->last = time;
	return time;
}

/* On an old connection. */
static uint64_t late(struct world *w)
{
	return w->now + below(w, chance(w, 300) ? 8 * S : 300 * MS);
}

void world_send(struct world *w, unsigned from, unsigned to, void (*deliver)(void *ctx), void (*drop)(void *ctx),
		void *(*copy)(void *ctx), void *ctx)
{
	struct link *l = &w->links[from][to];

	if (l->cut || chance(w, l->loss)) {
		drop(ctx);
		return;
	}
	if (copy && chance(w, l->repeats))
		world_at(w, late(w), w->members[to], 0, deliver, drop, copy(ctx));
	world_at(w, copy && chance(w, l->repeats) ? late(w) : arrival(w, l), w->members[to], 0, deliver, drop, ctx);
}
