#include "gossip_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct gossip_owner world_owner = {.mode = 0644};

static void keep(struct world *w, struct letter *l)
{
	struct letter **slot = &w->late[(unsigned)rand() % LATE];

	if (!w->keeps_late) {
		free(l);
		return;
	}
	free(*slot);
	*slot = l;
}

static bool carry(void *ctx, uint64_t to, Coordfs__Envelope *e)
{
	struct member *from = ctx;
	struct world *w = from->w;
	uint64_t self = (uint64_t)(from - w->members);
	size_t size = coordfs__envelope__get_packed_size(e);
	struct letter *l;

	assert_true(to >= 1 && to <= w->count && to != self);
	w->sent += size;
	w->letters_sent++;
	if (w->cut[self][to])
		return true; /* who sends cannot know */
	l = malloc(sizeof *l + size);
	*l = (struct letter){.from = self, .to = to, .size = size, .run = w->members[to].run};
	coordfs__envelope__pack(e, l->data);
	if ((unsigned)(rand() % 100) < w->loss_percent) {
		keep(w, l);
		return true;
	}
	*w->last = l;
	w->last = &l->next;
	return true;
}

static void on_change(void *ctx, uint64_t root, const char *path)
{
	struct member *m = ctx;

	assert_true(root >= ROOT && path);
	m->w->changes++;
}

static uint64_t clock_ms(void *ctx)
{
	const struct member *m = ctx;
	uv_timeval64_t now;

	uv_gettimeofday(&now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000 + m->ahead_ms;
}

static void hand_over(struct world *w, const struct letter *l)
{
	Coordfs__Envelope *e = coordfs__envelope__unpack(NULL, l->size, l->data);

	assert_non_null(e);
	if (w->members[l->to].g)
		gossip_receive(w->members[l->to].g, l->from, e);
	coordfs__envelope__free_unpacked(e, NULL);
}

static void deliver(struct world *w)
{
	struct letter *l = w->letters, *next;

	w->letters = NULL;
	w->last = &w->letters;
	for (; l; l = next) {
		next = l->next;
		hand_over(w, l);
		keep(w, l);
	}
}

/* What was sent to a former run of a process is not read by a later one. */
void world_repeat(struct world *w)
{
	const struct letter *l = w->late[(unsigned)rand() % LATE];

	if (l && l->run == w->members[l->to].run)
		hand_over(w, l);
}

void world_turn(struct world *w)
{
	uv_run(&w->loop, UV_RUN_NOWAIT);
	deliver(w);
	usleep(200);
}

static void tell_members(struct world *w, unsigned i)
{
	uint64_t ids[MEMBERS];
	size_t n = 0;

	for (unsigned m = 1; m <= w->count; m++)
		if (w->members[m].is_member)
			ids[n++] = m;
	if (w->members[i].g)
		gossip_set_members(w->members[i].g, ids, n, w->count);
}

void world_tell_members(struct world *w)
{
	for (unsigned i = 1; i <= w->count; i++)
		tell_members(w, i);
}

void world_start(struct world *w, unsigned i)
{
	struct member *m = &w->members[i];
	const struct gossip_config config = {
		.directory = m->directory, .member = i, .send = carry, .changed = on_change, .clock_ms = clock_ms,
		.root_is_gone = w->root_is_gone, .news_ms = w->news_ms, .hold_ms = w->hold_ms, .ctx = m};
	char error[256] = "";

	if (!m->w) {
		strcpy(m->directory, "/tmp/gossip-world.XXXXXX");
		assert_non_null(mkdtemp(m->directory));
	}
	m->w = w;
	m->run++;
	m->is_member = true;
	assert_int_equal(gossip_open(&w->loop, &config, &m->g, error, sizeof error), 0);
	tell_members(w, i);
}

static void set_closed(void *ctx)
{
	*(bool *)ctx = true;
}

void world_stop(struct world *w, unsigned i)
{
	struct gossip *g = w->members[i].g;
	bool closed = false;

	w->members[i].g = NULL;
	gossip_close(g, set_closed, &closed);
	while (!closed)
		world_turn(w);
}

struct world *world_new(unsigned count)
{
	struct world *w = calloc(1, sizeof *w);

	uv_loop_init(&w->loop);
	w->last = &w->letters;
	w->count = count;
	srand(1);
	return w;
}

struct world *world_begin(unsigned count)
{
	struct world *w = world_new(count);

	for (unsigned i = 1; i <= count; i++)
		world_start(w, i);
	world_tell_members(w);
	return w;
}

static void stop_all(struct world *w)
{
	char command[128];

	for (unsigned i = 1; i <= w->count; i++) {
		if (w->members[i].g)
			world_stop(w, i);
		snprintf(command, sizeof command, "rm -rf '%s'", w->members[i].directory);
		assert_int_equal(system(command), 0);
	}
}

void world_end(struct world *w)
{
	stop_all(w);
	w->keeps_late = false;
	deliver(w);
	for (unsigned i = 0; i < LATE; i++)
		free(w->late[i]);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
}

/* ---- what is done and seen ---- */

void world_done(void *ctx, int code)
{
	assert_int_equal(code, 0);
	--*(unsigned *)ctx;
}

void world_finish(struct world *w, const unsigned *left)
{
	while (*left > 0)
		world_turn(w);
}

void world_add(struct world *w, unsigned i, const char *path, int64_t amount)
{
	const struct gossip_place at = {ROOT, path};
	struct gossip_attr a;
	unsigned left = 1;

	if (*path && gossip_attr(w->members[i].g, &at, &a) < 0) {
		left++;
		assert_int_equal(gossip_create(w->members[i].g, &at, GOSSIP_COUNTER, &world_owner, world_done, &left), 0);
	}
	assert_int_equal(gossip_add(w->members[i].g, &at, amount, world_done, &left), 0);
	world_finish(w, &left);
}

void world_isolate(struct world *w, unsigned i, bool yes)
{
	for (unsigned other = 1; other <= w->count; other++)
		w->cut[i][other] = w->cut[other][i] = yes;
}

bool world_holds(struct world *w, unsigned i, const char *path, int64_t value)
{
	struct gossip_attr a;

	return gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, path}, &a) == 0 && a.value == value &&
	       a.converged;
}

