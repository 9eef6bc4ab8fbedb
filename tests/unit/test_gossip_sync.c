/* Members tell each other what they know: with losses, through a third one, after restarts, and when they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "gossip/gossip.h"

enum { MEMBERS = 24, ROOT = 20, DEADLINE_S = 60 };

struct letter {
	struct letter *next;
	uint64_t from, to;
	size_t size;
	uint8_t data[];
};

struct world {
	uv_loop_t loop;
	struct letter *letters, **last;
	struct member {
		struct world *w;
		struct gossip *g;
		char directory[64];
	} members[MEMBERS + 1]; /* from 1 */
	bool cut[MEMBERS + 1][MEMBERS + 1];
	unsigned loss_percent, count, changes;
	uint64_t sent, letters_sent;
};

static const struct gossip_owner owner = {.mode = 0644};

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
	if (w->cut[self][to] || (unsigned)(rand() % 100) < w->loss_percent)
		return true; /* who sends cannot know */
	l = malloc(sizeof *l + size);
	*l = (struct letter){.from = self, .to = to, .size = size};
	coordfs__envelope__pack(e, l->data);
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

static void deliver(struct world *w)
{
	struct letter *l = w->letters, *next;

	w->letters = NULL;
	w->last = &w->letters;
	for (; l; l = next) {
		Coordfs__Envelope *e = coordfs__envelope__unpack(NULL, l->size, l->data);

		next = l->next;
		assert_non_null(e);
		if (w->members[l->to].g)
			gossip_receive(w->members[l->to].g, l->from, e);
		coordfs__envelope__free_unpacked(e, NULL);
		free(l);
	}
}

static void turn(struct world *w)
{
	uv_run(&w->loop, UV_RUN_NOWAIT);
	deliver(w);
	usleep(200);
}

static void start(struct world *w, unsigned i)
{
	const struct gossip_config config = {
		.directory = w->members[i].directory, .member = i, .send = carry, .changed = on_change, .ctx = &w->members[i]};
	uint64_t ids[MEMBERS];
	char error[256] = "";

	assert_int_equal(gossip_open(&w->loop, &config, &w->members[i].g, error, sizeof error), 0);
	for (unsigned m = 0; m < w->count; m++)
		ids[m] = m + 1;
	gossip_set_members(w->members[i].g, ids, w->count);
}

static void set_closed(void *ctx)
{
	*(bool *)ctx = true;
}

static void stop(struct world *w, unsigned i)
{
	struct gossip *g = w->members[i].g;
	bool closed = false;

	w->members[i].g = NULL;
	gossip_close(g, set_closed, &closed);
	while (!closed)
		turn(w);
}

static struct world *begin(unsigned count)
{
	struct world *w = calloc(1, sizeof *w);

	uv_loop_init(&w->loop);
	w->last = &w->letters;
	w->count = count;
	srand(1);
	for (unsigned i = 1; i <= count; i++) {
		w->members[i].w = w;
		strcpy(w->members[i].directory, "/tmp/gossip-sync.XXXXXX");
		assert_non_null(mkdtemp(w->members[i].directory));
		start(w, i);
	}
	return w;
}

static void end(struct world *w)
{
	char command[128];

	for (unsigned i = 1; i <= w->count; i++) {
		if (w->members[i].g)
			stop(w, i);
		snprintf(command, sizeof command, "rm -rf %s", w->members[i].directory);
		assert_int_equal(system(command), 0);
	}
	deliver(w);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
}

/* ---- what is done and seen ---- */

static void on_done(void *ctx, int code)
{
	assert_int_equal(code, 0);
	--*(unsigned *)ctx;
}

static void finish(struct world *w, const unsigned *left)
{
	while (*left > 0)
		turn(w);
}

static void add(struct world *w, unsigned i, const char *path, int64_t amount)
{
	const struct gossip_place at = {ROOT, path};
	struct gossip_attr a;
	unsigned left = 1;

	if (*path && gossip_attr(w->members[i].g, &at, &a) < 0) {
		left++;
		assert_int_equal(gossip_create(w->members[i].g, &at, GOSSIP_COUNTER, &owner, on_done, &left), 0);
	}
	assert_int_equal(gossip_add(w->members[i].g, &at, amount, on_done, &left), 0);
	finish(w, &left);
}

static void put(struct world *w, unsigned i, const char *text)
{
	const struct gossip_place at = {ROOT + 1, ""};
	unsigned left = 1;

	assert_int_equal(gossip_put(w->members[i].g, &at, text, strlen(text), on_done, &left), 0);
	finish(w, &left);
}

static void isolate(struct world *w, unsigned i, bool yes)
{
	for (unsigned other = 1; other <= w->count; other++)
		w->cut[i][other] = w->cut[other][i] = yes;
}

static bool holds(struct world *w, unsigned i, const char *path, int64_t value)
{
	struct gossip_attr a;

	return gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, path}, &a) == 0 && a.value == value &&
	       a.converged;
}

/* All have that value, and know it. */
static void all_hold(struct world *w, const char *path, int64_t value)
{
	uint64_t limit = uv_hrtime() + DEADLINE_S * 1000000000ull;

	for (unsigned i = 1; i <= w->count;) {
		if (!w->members[i].g || holds(w, i, path, value)) {
			i++;
			continue;
		}
		assert_true(uv_hrtime() < limit);
		turn(w);
		i = 1;
	}
}

static void all_read(struct world *w, const char *text)
{
	uint64_t limit = uv_hrtime() + DEADLINE_S * 1000000000ull;
	const void *data;
	size_t size;

	for (unsigned i = 1; i <= w->count;) {
		gossip_content(w->members[i].g, &(struct gossip_place){ROOT + 1, ""}, &data, &size);
		if (size == strlen(text) && memcmp(data, text, size) == 0) {
			i++;
			continue;
		}
		assert_true(uv_hrtime() < limit);
		turn(w);
		i = 1;
	}
}

/* ---- tests ---- */

static void test_all_come_to_know(void **state)
{
	struct world *w = begin(3);

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		add(w, i, "a", i);
	all_hold(w, "a", 6);
	assert_true(w->changes >= 3);
	end(w);
}

static void test_with_losses(void **state)
{
	struct world *w = begin(5);
	char path[8];

	(void)state;
	w->loss_percent = 40;
	for (unsigned round = 0; round < 60; round++) {
		snprintf(path, sizeof path, "c%u", round % 7);
		add(w, round % 5 + 1, path, 1);
	}
	all_hold(w, "c0", 9);
	all_hold(w, "c6", 8);
	end(w);
}

static void test_through_a_third(void **state)
{
	struct world *w = begin(3);

	(void)state;
	w->cut[1][3] = w->cut[3][1] = true;
	add(w, 1, "a", 5);
	add(w, 3, "a", 7);
	for (unsigned i = 0; i < 100000 && !(holds(w, 2, "a", 12)); i++)
		turn(w);
	w->cut[1][3] = w->cut[3][1] = false;
	all_hold(w, "a", 12);
	end(w);
}

static void test_who_was_cut_off_goes_on(void **state)
{
	struct world *w = begin(3);
	struct gossip_attr a;

	(void)state;
	add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	isolate(w, 3, true);
	for (unsigned i = 0; i < 20; i++)
		add(w, 3, "a", 1);
	add(w, 1, "a", 100);
	assert_int_equal(gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "a"}, &a), 0);
	assert_int_equal(a.value, 21);
	assert_false(a.converged);
	isolate(w, 3, false);
	all_hold(w, "a", 121);
	end(w);
}

/* All have that value, whether or not they know it of each other. */
static void all_have(struct world *w, const char *path, int64_t value)
{
	uint64_t limit = uv_hrtime() + DEADLINE_S * 1000000000ull;
	struct gossip_attr a;

	for (unsigned i = 1; i <= w->count;) {
		if (gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, path}, &a) == 0 && a.value == value) {
			i++;
			continue;
		}
		assert_true(uv_hrtime() < limit);
		turn(w);
		i = 1;
	}
}

static void test_many_talk_to_few(void **state)
{
	struct world *w = begin(24);
	uint64_t until, letters;

	(void)state;
	for (unsigned i = 1; i <= 24; i++)
		add(w, i, "a", i);
	all_have(w, "a", 300);
	letters = w->letters_sent;
	for (until = uv_hrtime() + 4000000000ull; uv_hrtime() < until;)
		turn(w);
	letters = w->letters_sent - letters;
	assert_true(letters > 24 * 8 * 2); /* they have eight neighbours */
	assert_true(letters < 24 * 23 * 4 * 3 / 4);
	end(w);
}

/* Who hears none of its neighbours is visited by others. */
static void test_no_neighbour_is_heard(void **state)
{
	static const unsigned steps[] = {1, 2, 4, 8, 16, 20, 22, 23};
	struct world *w = begin(24);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		w->cut[5][(4 + steps[i]) % 24 + 1] = w->cut[(4 + steps[i]) % 24 + 1][5] = true;
	add(w, 5, "a", 5);
	add(w, 6, "a", 6);
	all_have(w, "a", 11);
	end(w);
}

static void test_the_last_writer_wins(void **state)
{
	struct world *w = begin(3);

	(void)state;
	isolate(w, 1, true);
	put(w, 1, "first");
	usleep(5000);
	put(w, 2, "last");
	isolate(w, 1, false);
	all_read(w, "last");
	put(w, 3, "after");
	all_read(w, "after");
	end(w);
}

static void test_after_restarts(void **state)
{
	struct world *w = begin(3);

	(void)state;
	add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	stop(w, 2);
	add(w, 1, "a", 10);
	add(w, 3, "b", 3);
	start(w, 2);
	all_hold(w, "a", 11);
	all_hold(w, "b", 3);
	stop(w, 1);
	stop(w, 3);
	add(w, 2, "a", 100);
	start(w, 1);
	start(w, 3);
	all_hold(w, "a", 111);
	end(w);
}

static void test_removed_stays_removed(void **state)
{
	struct world *w = begin(3);
	struct gossip_attr a;
	unsigned left = 1;

	(void)state;
	add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	isolate(w, 3, true);
	assert_int_equal(gossip_remove(w->members[1].g, &(struct gossip_place){ROOT, "a"}, on_done, &left), 0);
	finish(w, &left);
	add(w, 3, "b", 1);
	stop(w, 3);
	isolate(w, 3, false);
	start(w, 3);
	all_hold(w, "b", 1);
	for (unsigned i = 0; i < 100000 && gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "a"}, &a) == 0; i++)
		turn(w);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, "a"}, &a), ERR_NOT_FOUND);
	gossip_forget_root(w->members[2].g, ROOT);
	for (unsigned i = 0; i < 100000 && gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "b"}, &a) == 0; i++)
		turn(w);
	assert_int_equal(gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "b"}, &a), ERR_NOT_FOUND);
	end(w);
}

/* Who knows the same says little: at most 1 kB/s to each. */
static void test_silence(void **state)
{
	struct world *w = begin(3);
	uint64_t before, limit;
	char path[16];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "c%u", i);
		add(w, i % 3 + 1, path, 1);
	}
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "c%u", i);
		all_hold(w, path, 1);
	}
	stop(w, 2);
	start(w, 2); /* it is not all told again */
	before = w->sent;
	limit = uv_hrtime() + 3000000000;
	while (uv_hrtime() < limit)
		turn(w);
	assert_true(w->sent - before < 3 * 6 * 1000);
	end(w);
}

static void test_nonsense(void **state)
{
	struct world *w = begin(2);
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipRecord r = COORDFS__GOSSIP_RECORD__INIT, *list[] = {&r};
	Coordfs__GossipRecords records = COORDFS__GOSSIP_RECORDS__INIT;
	uint8_t junk[] = {0xff, 0xfe, 0, 1, 2, '/'};

	(void)state;
	gossip_receive(w->members[1].g, 2, &e);
	e.of_case = COORDFS__ENVELOPE__OF_GOSSIP;
	e.gossip = &message;
	gossip_receive(w->members[1].g, 2, &e);
	gossip_receive(w->members[1].g, 77, &e);
	message.of_case = COORDFS__GOSSIP__OF_RECORDS;
	message.records = &records;
	records.upto = UINT64_MAX;
	records.n_records = 1;
	records.records = list;
	gossip_receive(w->members[1].g, 2, &e);
	r.root = ROOT;
	r.state.data = r.path.data = junk;
	r.state.len = r.path.len = sizeof junk;
	gossip_receive(w->members[1].g, 2, &e);
	r.path.len = LIMIT_PATH_BYTES + 1;
	gossip_receive(w->members[1].g, 2, &e);
	add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_come_to_know),
		cmocka_unit_test(test_with_losses),
		cmocka_unit_test(test_through_a_third),
		cmocka_unit_test(test_who_was_cut_off_goes_on),
		cmocka_unit_test(test_many_talk_to_few),
		cmocka_unit_test(test_no_neighbour_is_heard),
		cmocka_unit_test(test_the_last_writer_wins),
		cmocka_unit_test(test_after_restarts),
		cmocka_unit_test(test_removed_stays_removed),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
