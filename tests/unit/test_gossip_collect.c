/* What was removed is forgotten when all know that it was, and nothing ever brings it back: not members that were cut off,
 * restarted or replaced, nor messages that come late, twice, or in another order. */
#include "gossip_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct world *quick(unsigned count)
{
	struct world *w = world_new(count);

	w->news_ms = 10;
	w->hold_ms = 1;
	return w;
}

static struct world *quick_begin(unsigned count)
{
	struct world *w = quick(count);

	for (unsigned i = 1; i <= count; i++)
		world_start(w, i);
	world_tell_members(w);
	return w;
}

static uint64_t tombstones(struct world *w, unsigned i)
{
	struct gossip_figures f;

	gossip_figures(w->members[i].g, &f);
	return f.tombstones;
}

static bool all_forgot(struct world *w)
{
	for (unsigned i = 1; i <= w->count; i++)
		if (w->members[i].g && tombstones(w, i) > 0)
			return false;
	return true;
}

static bool all_hold(struct world *w, const char *path, int64_t value)
{
	for (unsigned i = 1; i <= w->count; i++)
		if (w->members[i].g && !world_holds(w, i, path, value))
			return false;
	return true;
}

/* With turns of the loop between. */
#define WAIT_UNTIL(w, condition)                                                     \
	for (uint64_t limit = uv_hrtime() + DEADLINE_S * 1000000000ull; !(condition);) { \
		assert_true(uv_hrtime() < limit);                                        \
		world_turn(w);                                                           \
	}

static void turns(struct world *w, unsigned ms)
{
	for (uint64_t until = uv_hrtime() + ms * 1000000ull; uv_hrtime() < until;)
		world_turn(w);
}

static bool is_there(struct world *w, unsigned i, const char *path)
{
	struct gossip_attr a;

	return gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, path}, &a) == 0;
}

static void remove_it(struct world *w, unsigned i, const char *path)
{
	unsigned left = 1;

	assert_int_equal(gossip_remove(w->members[i].g, &(struct gossip_place){ROOT, path}, world_done, &left), 0);
	world_finish(w, &left);
}

static void make(struct world *w, unsigned i, const char *path, enum gossip_kind kind)
{
	const struct gossip_place at = {ROOT, path};
	unsigned left = 1;

	assert_int_equal(gossip_create(w->members[i].g, &at, kind, &world_owner, world_done, &left), 0);
	world_finish(w, &left);
}

static void put(struct world *w, unsigned i, const char *path, const char *text)
{
	const struct gossip_place at = {ROOT, path};
	unsigned left = 1;
	int rc;

	if (!is_there(w, i, path))
		make(w, i, path, GOSSIP_FILE);
	rc = gossip_put(w->members[i].g, &at, text, strlen(text), world_done, &left);
	if (rc == ERR_NOT_FOUND)
		return; /* somebody whose clock is ahead had removed it */
	assert_int_equal(rc, 0);
	world_finish(w, &left);
}

static const char *content(struct world *w, unsigned i, const char *path)
{
	static char text[32];
	const void *data;
	size_t size;

	if (!is_there(w, i, path))
		return NULL;
	assert_int_equal(gossip_content(w->members[i].g, &(struct gossip_place){ROOT, path}, &data, &size), 0);
	assert_true(size < sizeof text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

static bool all_read(struct world *w, const char *path, const char *text)
{
	for (unsigned i = 1; i <= w->count; i++) {
		const char *now = content(w, i, path);

		if (!now || strcmp(now, text) != 0)
			return false;
	}
	return true;
}

/* ---- single cases ---- */

static void test_forgotten_when_all_know(void **state)
{
	struct world *w = quick_begin(3);
	struct gossip_figures f;
	char path[16];

	(void)state;
	world_add(w, 1, "stays", 1);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(path, sizeof path, "c%u", i);
		world_add(w, i % 3 + 1, path, 1);
	}
	WAIT_UNTIL(w, all_hold(w, "c59", 1) && all_hold(w, "stays", 1));
	world_isolate(w, 3, true);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(path, sizeof path, "c%u", i);
		remove_it(w, 1, path);
	}
	turns(w, 500);
	assert_int_equal(tombstones(w, 1), 60);
	assert_int_equal(tombstones(w, 2), 60);
	world_isolate(w, 3, false);
	WAIT_UNTIL(w, !is_there(w, 3, "c0") && all_forgot(w));
	for (unsigned i = 1; i <= 3; i++) {
		gossip_figures(w->members[i].g, &f);
		assert_int_equal(f.objects, 2); /* the root, too */
		assert_true(f.state_bytes < 100);
	}
	world_end(w);
}

static void test_one_member_alone(void **state)
{
	struct world *w = quick_begin(1);

	(void)state;
	world_add(w, 1, "c", 1);
	remove_it(w, 1, "c");
	WAIT_UNTIL(w, all_forgot(w));
	world_stop(w, 1);
	world_start(w, 1);
	assert_int_equal(tombstones(w, 1), 0);
	world_add(w, 1, "c", 5);
	assert_true(world_holds(w, 1, "c", 5));
	world_end(w);
}

/* The same names again, by all: nothing of the former counts, nothing of the new is taken for it; also when the clocks of
 * those who write go back, and after restarts. */
static void test_again_after_it_was_forgotten(void **state)
{
	struct world *w = quick_begin(3);

	(void)state;
	for (unsigned round = 1; round <= 6; round++) {
		for (unsigned i = 1; i <= 3; i++)
			world_add(w, i, "c", 10 * i);
		put(w, round % 3 + 1, "f", "old");
		WAIT_UNTIL(w, all_hold(w, "c", 60) && is_there(w, 1, "f") && is_there(w, 2, "f") && is_there(w, 3, "f"));
		remove_it(w, (round + 1) % 3 + 1, "c");
		remove_it(w, (round + 1) % 3 + 1, "f");
		WAIT_UNTIL(w, !is_there(w, 1, "c") && !is_there(w, 2, "c") && !is_there(w, 3, "c"));
		if (round % 2)
			WAIT_UNTIL(w, all_forgot(w));
		for (unsigned i = 1; i <= 3 && round > 2; i++) {
			w->members[i].ahead_ms -= 3600000;
			world_stop(w, i);
			world_start(w, i);
		}
		put(w, round % 3 + 1, "f", "new");
		WAIT_UNTIL(w, all_read(w, "f", "new"));
		remove_it(w, round % 3 + 1, "f");
		WAIT_UNTIL(w, !is_there(w, 1, "f") && !is_there(w, 2, "f") && !is_there(w, 3, "f"));
	}
	world_end(w);
}

/* A directory that lives by what is in it keeps its owner; when it is empty it goes. */
static void test_directories(void **state)
{
	struct world *w = quick_begin(2);
	struct gossip_attr a;

	(void)state;
	make(w, 1, "d", GOSSIP_DIRECTORY);
	WAIT_UNTIL(w, is_there(w, 2, "d"));
	world_isolate(w, 1, true);
	remove_it(w, 1, "d");
	world_add(w, 2, "d/c", 1);
	world_isolate(w, 1, false);
	WAIT_UNTIL(w, all_hold(w, "d/c", 1));
	turns(w, 300);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, "d"}, &a), 0);
		assert_int_equal(a.mode, world_owner.mode);
	}
	remove_it(w, 2, "d/c");
	WAIT_UNTIL(w, !is_there(w, 1, "d") && !is_there(w, 2, "d") && all_forgot(w));
	world_end(w);
}

static void test_a_root_is_forgotten(void **state)
{
	struct world *w = quick_begin(2);
	struct gossip_figures f;

	(void)state;
	world_add(w, 1, "c", 1);
	WAIT_UNTIL(w, all_hold(w, "c", 1));
	gossip_forget_root(w->members[1].g, ROOT);
	gossip_forget_root(w->members[2].g, ROOT);
	WAIT_UNTIL(w, !is_there(w, 1, "c") && !is_there(w, 2, "c") && all_forgot(w));
	for (unsigned i = 1; i <= 2; i++) {
		gossip_figures(w->members[i].g, &f);
		assert_int_equal(f.objects, 0);
		assert_int_equal(f.state_bytes, 0);
	}
	world_end(w);
}

static bool is_odd(void *ctx, uint64_t root)
{
	(void)ctx;
	return root % 2;
}

/* A crash came between the removal and its knowledge here. */
static void test_roots_are_asked_for(void **state)
{
	enum { ROOTS = 3000 };
	struct world *w = quick(2);
	struct gossip_figures f = {.objects = 0};
	unsigned left = ROOTS;

	(void)state;
	w->root_is_gone = is_odd;
	world_start(w, 1);
	world_start(w, 2);
	world_tell_members(w);
	for (uint64_t i = 0; i < ROOTS; i++)
		assert_int_equal(gossip_add(w->members[1].g, &(struct gossip_place){ROOT + i, ""}, 1, world_done, &left), 0);
	world_finish(w, &left);
	gossip_check_roots(w->members[1].g);
	WAIT_UNTIL(w, (gossip_figures(w->members[2].g, &f), f.objects == ROOTS / 2 && all_forgot(w)));
	gossip_figures(w->members[1].g, &f);
	assert_int_equal(f.objects, ROOTS / 2);
	world_end(w);
}

/* Who was removed is not waited for, and what it added stays; a new one is. */
static void test_members_come_and_go(void **state)
{
	struct world *w = quick(4);

	(void)state;
	w->count = 3;
	for (unsigned i = 1; i <= 3; i++)
		world_start(w, i);
	world_tell_members(w);
	for (unsigned i = 1; i <= 3; i++)
		world_add(w, i, "c", i);
	world_add(w, 3, "gone", 1);
	WAIT_UNTIL(w, all_hold(w, "c", 6) && all_hold(w, "gone", 1));
	world_isolate(w, 3, true);
	remove_it(w, 1, "gone");
	turns(w, 300);
	assert_int_equal(tombstones(w, 1), 1);
	w->members[3].is_member = false;
	world_tell_members(w);
	WAIT_UNTIL(w, tombstones(w, 1) == 0 && tombstones(w, 2) == 0);
	world_isolate(w, 3, false);
	turns(w, 200); /* it goes on talking of it */
	assert_false(is_there(w, 1, "gone"));
	assert_false(is_there(w, 2, "gone"));
	world_stop(w, 3);
	w->count = 4;
	world_start(w, 4);
	world_tell_members(w);
	WAIT_UNTIL(w, all_hold(w, "c", 6));
	world_isolate(w, 4, true);
	remove_it(w, 2, "c");
	turns(w, 300);
	assert_int_equal(tombstones(w, 1), 1);
	world_isolate(w, 4, false);
	WAIT_UNTIL(w, !is_there(w, 4, "c") && all_forgot(w));
	world_end(w);
}

/* ---- all of it, at random ---- */

/* Of the k-th addition of a member to a place the amount is 2^k: its share tells which of them are seen. Each knows a
 * first part of another's additions; a removal takes away a first part. So what is seen is always a range, [low, high): its
 * low end only grows, as what was removed does, by whomever; in the end it is just what nobody removed. */
enum { COUNT = 4, PLACES = 5, ADDITIONS = 40, STEPS = 400, SEEDS = 4 }; /* GOSSIP_SEEDS=n: so many seeds, GOSSIP_SEED: the first */

struct plan {
	struct world *w;
	unsigned all[PLACES][COUNT + 1], removed[PLACES][COUNT + 1]; /* by each member */
	unsigned low[COUNT + 1][PLACES][COUNT + 1]; /* as each observer saw it last */
	unsigned texts;
	bool dead[COUNT + 1][PLACES][1000]; /* texts that an observer saw replaced or removed */
	unsigned seen[COUNT + 1][PLACES];
};

struct look {
	struct plan *p;
	unsigned observer, place;
	unsigned high[COUNT + 1];
};

static unsigned below(unsigned n)
{
	return (unsigned)rand() % n;
}

static void look_at_share(void *ctx, uint64_t member, uint64_t added, uint64_t taken)
{
	struct look *l = ctx;
	unsigned *low = &l->p->low[l->observer][l->place][member];
	unsigned from = 0, to = 0;

	assert_int_equal(taken, 0);
	if (!added)
		return; /* it was made, and nothing added since */
	while (!(added >> from & 1))
		from++;
	for (to = from; added >> to & 1; to++)
		;
	assert_int_equal(added >> to, 0); /* nothing is missing between */
	assert_true(to <= l->p->all[l->place][member]);
	assert_true(from >= *low); /* nothing came back */
	*low = from;
	l->high[member] = to;
}

static const char *name_of(char kind, unsigned place)
{
	static char name[8];

	snprintf(name, sizeof name, "%c%u", kind, place);
	return name;
}

static struct look look_at(struct plan *p, unsigned i, unsigned place)
{
	struct look l = {.p = p, .observer = i, .place = place};

	if (is_there(p->w, i, name_of('c', place)))
		assert_int_equal(gossip_shares(p->w->members[i].g, &(struct gossip_place){ROOT, name_of('c', place)},
					       look_at_share, &l), 0);
	return l;
}

static unsigned look_at_file(struct plan *p, unsigned i, unsigned place)
{
	const char *text = content(p->w, i, name_of('f', place));
	unsigned now = text ? (unsigned)atoi(text) : 0;

	assert_false(now && p->dead[i][place][now]);
	if (p->seen[i][place] != now)
		p->dead[i][place][p->seen[i][place]] = true;
	return p->seen[i][place] = now;
}

static void look_at_all(struct plan *p)
{
	for (unsigned i = 1; i <= COUNT; i++)
		for (unsigned place = 0; place < PLACES && p->w->members[i].g; place++) {
			look_at(p, i, place);
			look_at_file(p, i, place);
		}
}

/* What a removal takes away is what is known by then, which is what is seen when all of it is on the disk. */
static void let_it_be_written(struct plan *p, unsigned i)
{
	unsigned left = 1;

	assert_int_equal(gossip_add(p->w->members[i].g, &(struct gossip_place){ROOT + 1, ""}, 0, world_done, &left), 0);
	while (left > 0)
		uv_run(&p->w->loop, UV_RUN_ONCE);
}

static void step_add(struct plan *p, unsigned i, unsigned place)
{
	unsigned *k = &p->all[place][i];

	let_it_be_written(p, i);
	if (*k < ADDITIONS) {
		++*k; /* others may hear of it before we are told */
		world_add(p->w, i, name_of('c', place), (int64_t)1 << (*k - 1));
	}
}

static void step_remove(struct plan *p, unsigned i, unsigned place)
{
	struct look l;

	let_it_be_written(p, i);
	l = look_at(p, i, place);
	if (!is_there(p->w, i, name_of('c', place)))
		return;
	for (unsigned m = 1; m <= COUNT; m++) {
		p->removed[place][m] = l.high[m] > p->removed[place][m] ? l.high[m] : p->removed[place][m];
		p->low[i][place][m] = l.high[m] > p->low[i][place][m] ? l.high[m] : p->low[i][place][m];
	}
	remove_it(p->w, i, name_of('c', place));
}

static void step_file(struct plan *p, unsigned i, unsigned place)
{
	char text[16];

	let_it_be_written(p, i);
	look_at_file(p, i, place);
	if (below(2)) {
		snprintf(text, sizeof text, "%u", ++p->texts);
		put(p->w, i, name_of('f', place), text);
	} else if (is_there(p->w, i, name_of('f', place))) {
		remove_it(p->w, i, name_of('f', place));
	}
}

static void step_network(struct plan *p, unsigned i)
{
	unsigned other = 1 + below(COUNT);

	switch (below(5)) {
	case 0:
		world_isolate(p->w, i, true);
		break;
	case 1:
		p->w->cut[i][other] = p->w->cut[other][i] = true;
		break;
	case 2:
		world_stop(p->w, i);
		p->w->members[i].ahead_ms += below(2) ? below(3600000) : -(uint64_t)below(3600000);
		world_start(p->w, i);
		break;
	default:
		memset(p->w->cut, 0, sizeof p->w->cut);
		turns(p->w, below(60)); /* long enough to forget something, at times */
		break;
	}
}

static void step(struct plan *p)
{
	unsigned i = 1 + below(COUNT), place = below(PLACES), what = below(20);

	if (what < 7)
		step_add(p, i, place);
	else if (what < 11)
		step_remove(p, i, place);
	else if (what < 14)
		step_file(p, i, place);
	else if (what < 16)
		step_network(p, i);
	for (unsigned k = below(8); k > 0; k--) {
		world_turn(p->w);
		world_repeat(p->w);
		world_repeat(p->w);
	}
}

/* Exactly what nobody removed. */
static bool is_right(struct plan *p, unsigned i)
{
	for (unsigned place = 0; place < PLACES; place++) {
		struct look l = look_at(p, i, place);

		for (unsigned m = 1; m <= COUNT; m++) {
			bool seen = l.high[m] > 0, wanted = p->all[place][m] > p->removed[place][m];

			if (seen != wanted || (seen && l.high[m] != p->all[place][m]) ||
			    (seen && p->low[i][place][m] != p->removed[place][m]))
				return false;
		}
		if (look_at_file(p, i, place) != look_at_file(p, 1, place))
			return false;
	}
	return true;
}

static bool all_are_right(struct plan *p)
{
	for (unsigned i = 1; i <= COUNT; i++)
		if (!is_right(p, i))
			return false;
	return true;
}

/* So many that who was restarted asks where the differences are (compare.c). */
static void add_others(struct world *w)
{
	char path[16];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "other%u", i);
		world_add(w, 1, path, 1);
	}
}

static unsigned number_from(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void test_nothing_comes_back(void **state)
{
	unsigned first = number_from("GOSSIP_SEED", 1), count = number_from("GOSSIP_SEEDS", SEEDS);

	(void)state;
	for (unsigned seed = first; seed < first + count; seed++) {
		struct plan *p = calloc(1, sizeof *p);

		fprintf(stderr, "seed=%u\n", seed);
		p->w = quick_begin(COUNT);
		srand(seed);
		if (seed % 2)
			add_others(p->w);
		p->w->loss_percent = 10;
		p->w->keeps_late = true;
		for (unsigned s = 0; s < STEPS; s++) {
			step(p);
			look_at_all(p);
		}
		memset(p->w->cut, 0, sizeof p->w->cut);
		p->w->loss_percent = 0;
		WAIT_UNTIL(p->w, all_are_right(p) && all_forgot(p->w));
		for (unsigned i = 0; i < 1000; i++)
			world_repeat(p->w);
		turns(p->w, 200);
		look_at_all(p);
		assert_true(all_are_right(p));
		world_end(p->w);
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forgotten_when_all_know),
		cmocka_unit_test(test_one_member_alone),
		cmocka_unit_test(test_again_after_it_was_forgotten),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_a_root_is_forgotten),
		cmocka_unit_test(test_roots_are_asked_for),
		cmocka_unit_test(test_members_come_and_go),
		cmocka_unit_test(test_nothing_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
