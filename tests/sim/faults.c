/* What goes wrong, and how it ends. */
#include "sim.h"

static void each_link(struct world *w, void (*change)(struct world *w, struct link *l))
{
	for (unsigned i = 0; i < w->member_count; i++)
		for (unsigned j = 0; j < w->member_count; j++)
			change(w, &w->links[i][j]);
}

static void good(struct world *w, struct link *l)
{
	l->cut = false;
	l->loss = l->repeats = 0;
	l->delay = between(w, 50, 2 * MS);
	l->jitter = between(w, 0, 1 * MS);
}

static void lossy(struct world *w, struct link *l)
{
	l->loss = (unsigned)between(w, 1, 150);
	l->repeats = (unsigned)between(w, 1, 50);
}

static void slow(struct world *w, struct link *l)
{
	if (chance(w, 500))
		return;
	l->delay = between(w, 5 * MS, chance(w, 200) ? 2 * S : 300 * MS);
	l->jitter = between(w, 1 * MS, 400 * MS);
}

static unsigned pick(struct world *w)
{
	return (unsigned)below(w, w->member_count);
}

static unsigned pick_leader(struct world *w)
{
	for (unsigned i = 0; i < w->member_count; i++)
		if (w->members[i]->alive && w->members[i]->leads && chance(w, 700))
			return i;
	return pick(w);
}

/* ---- links ---- */

static void cut_one(struct world *w)
{
	unsigned from = pick(w), to = pick(w);

	trace(w, "cut m%u to m%u", from + 1, to + 1);
	w->links[from][to].cut = from != to;
}

/* One side loses the other; both ways, or one. */
static void divide(struct world *w)
{
	unsigned side = (unsigned)below(w, 1u << w->member_count);
	bool both = chance(w, 700);

	trace(w, "divide %x%s", side, both ? "" : ", one way");
	for (unsigned i = 0; i < w->member_count; i++)
		for (unsigned j = 0; j < w->member_count; j++)
			if ((side >> i & 1) > (side >> j & 1) || (both && (side >> i & 1) < (side >> j & 1)))
				w->links[i][j].cut = true;
}

static void isolate(struct world *w)
{
	unsigned m = pick_leader(w), ways = (unsigned)between(w, 1, 3);

	trace(w, "isolate m%u, ways %u", m + 1, ways);
	for (unsigned i = 0; i < w->member_count; i++) {
		w->links[m][i].cut |= i != m && ways & 1;
		w->links[i][m].cut |= i != m && ways & 2;
	}
}

static void heal(struct world *w)
{
	trace(w, "heal");
	each_link(w, good);
}

static void worsen(struct world *w)
{
	bool loss = chance(w, 500);

	trace(w, loss ? "lossy links" : "slow links");
	each_link(w, loss ? lossy : slow);
}

/* ---- members ---- */

static void restart(void *ctx)
{
	struct member *m = ctx;

	if (m->alive)
		return;
	if (chance(m->world, 100)) /* its clock was set */
		m->realtime_offset = 3600 * S + below(m->world, 20 * S) - 10 * S;
	member_start(m);
}

static void crash(struct world *w, unsigned i)
{
	struct member *m = w->members[i];
	uint64_t pause = chance(w, 300) ? below(w, 50 * MS) : below(w, 3 * S);

	if (!m->alive)
		return;
	w->tally->crashes++;
	member_crash(m);
	world_at(w, w->now + pause, NULL, 0, restart, NULL, m);
}

static void crash_many(struct world *w)
{
	for (unsigned i = 0; i < w->member_count; i++)
		if (chance(w, 500))
			crash(w, i);
}

static void stop(struct world *w)
{
	struct member *m = w->members[chance(w, 500) ? pick_leader(w) : pick(w)];

	if (m->alive && m->stopped_until <= w->now)
		member_stop(m, w->now + between(w, 10 * MS, 2 * w->ttl_ms * MS), chance(w, 300));
}

static void fill_disks(struct world *w)
{
	w->disk_full = !w->disk_full;
	trace(w, w->disk_full ? "disks are full" : "there is room");
}

/* ---- one after another ---- */

static void next(void *ctx);

static void go_on(struct world *w)
{
	world_at(w, w->now + between(w, 20 * MS, 1500 * MS), NULL, 0, next, NULL, w);
}

static void next(void *ctx)
{
	struct world *w = ctx;
	uint64_t dice = below(w, 100);

	if (w->over)
		return;
	if (dice < 8)
		cut_one(w);
	else if (dice < 20)
		divide(w);
	else if (dice < 32)
		isolate(w);
	else if (dice < 55)
		heal(w);
	else if (dice < 65)
		worsen(w);
	else if (dice < 78)
		crash(w, chance(w, 500) ? pick_leader(w) : pick(w));
	else if (dice < 82)
		crash_many(w);
	else if (dice < 95)
		stop(w);
	else
		fill_disks(w);
	go_on(w);
}

void faults_start(struct world *w)
{
	each_link(w, good);
	world_at(w, 3 * S, NULL, 0, next, NULL, w);
}

void faults_end(struct world *w)
{
	w->over = true;
	w->disk_full = false;
	heal(w);
	for (unsigned i = 0; i < w->member_count; i++) {
		w->members[i]->stopped_until = 0;
		if (!w->members[i]->alive)
			member_start(w->members[i]);
	}
}
