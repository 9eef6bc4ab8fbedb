/* Members tell each other what they know: with losses, through a third one, after restarts, and when they are cut. */
#include "gossip_fixture.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

static void put(struct world *w, unsigned i, const char *text)
{
	const struct gossip_place at = {ROOT + 1, ""};
	unsigned left = 1;

	assert_int_equal(gossip_put(w->members[i].g, &at, text, strlen(text), world_done, &left), 0);
	world_finish(w, &left);
}

/* All have that value, and know it. */
static void all_hold(struct world *w, const char *path, int64_t value)
{
	uint64_t limit = uv_hrtime() + DEADLINE_S * 1000000000ull;

	for (unsigned i = 1; i <= w->count;) {
		if (!w->members[i].g || world_holds(w, i, path, value)) {
			i++;
			continue;
		}
		assert_true(uv_hrtime() < limit);
		world_turn(w);
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
		world_turn(w);
		i = 1;
	}
}

/* ---- tests ---- */

static void test_all_come_to_know(void **state)
{
	struct world *w = world_begin(3);

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		world_add(w, i, "a", i);
	all_hold(w, "a", 6);
	assert_true(w->changes >= 3);
	world_end(w);
}

static void test_with_losses(void **state)
{
	struct world *w = world_begin(5);
	char path[8];

	(void)state;
	w->loss_percent = 40;
	for (unsigned round = 0; round < 60; round++) {
		snprintf(path, sizeof path, "c%u", round % 7);
		world_add(w, round % 5 + 1, path, 1);
	}
	all_hold(w, "c0", 9);
	all_hold(w, "c6", 8);
	world_end(w);
}

static void test_through_a_third(void **state)
{
	struct world *w = world_begin(3);

	(void)state;
	w->cut[1][3] = w->cut[3][1] = true;
	world_add(w, 1, "a", 5);
	world_add(w, 3, "a", 7);
	for (unsigned i = 0; i < 100000 && !(world_holds(w, 2, "a", 12)); i++)
		world_turn(w);
	w->cut[1][3] = w->cut[3][1] = false;
	all_hold(w, "a", 12);
	world_end(w);
}

static void test_who_was_cut_off_goes_on(void **state)
{
	struct world *w = world_begin(3);
	struct gossip_attr a;

	(void)state;
	world_add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	world_isolate(w, 3, true);
	for (unsigned i = 0; i < 20; i++)
		world_add(w, 3, "a", 1);
	world_add(w, 1, "a", 100);
	assert_int_equal(gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "a"}, &a), 0);
	assert_int_equal(a.value, 21);
	assert_false(a.converged);
	world_isolate(w, 3, false);
	all_hold(w, "a", 121);
	world_end(w);
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
		world_turn(w);
		i = 1;
	}
}

static void test_many_talk_to_few(void **state)
{
	struct world *w = world_begin(24);
	uint64_t until, letters;

	(void)state;
	for (unsigned i = 1; i <= 24; i++)
		world_add(w, i, "a", i);
	all_have(w, "a", 300);
	letters = w->letters_sent;
	for (until = uv_hrtime() + 4000000000ull; uv_hrtime() < until;)
		world_turn(w);
	letters = w->letters_sent - letters;
	assert_true(letters > 24 * 8 * 2); /* they have eight neighbours */
	assert_true(letters < 24 * 23 * 4 * 3 / 4);
	world_end(w);
}

/* Who hears none of its neighbours is visited by others. */
static void test_no_neighbour_is_heard(void **state)
{
	static const unsigned steps[] = {1, 2, 4, 8, 16, 20, 22, 23};
	struct world *w = world_begin(24);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		w->cut[5][(4 + steps[i]) % 24 + 1] = w->cut[(4 + steps[i]) % 24 + 1][5] = true;
	world_add(w, 5, "a", 5);
	world_add(w, 6, "a", 6);
	all_have(w, "a", 11);
	world_end(w);
}

static void test_the_last_writer_wins(void **state)
{
	struct world *w = world_begin(3);

	(void)state;
	world_isolate(w, 1, true);
	put(w, 1, "first");
	usleep(5000);
	put(w, 2, "last");
	world_isolate(w, 1, false);
	all_read(w, "last");
	put(w, 3, "after");
	all_read(w, "after");
	world_end(w);
}

static void test_after_restarts(void **state)
{
	struct world *w = world_begin(3);

	(void)state;
	world_add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	world_stop(w, 2);
	world_add(w, 1, "a", 10);
	world_add(w, 3, "b", 3);
	world_start(w, 2);
	all_hold(w, "a", 11);
	all_hold(w, "b", 3);
	world_stop(w, 1);
	world_stop(w, 3);
	world_add(w, 2, "a", 100);
	world_start(w, 1);
	world_start(w, 3);
	all_hold(w, "a", 111);
	world_end(w);
}

static void test_removed_stays_removed(void **state)
{
	struct world *w = world_begin(3);
	struct gossip_attr a;
	unsigned left = 1;

	(void)state;
	world_add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	world_isolate(w, 3, true);
	assert_int_equal(gossip_remove(w->members[1].g, &(struct gossip_place){ROOT, "a"}, world_done, &left), 0);
	world_finish(w, &left);
	world_add(w, 3, "b", 1);
	world_stop(w, 3);
	world_isolate(w, 3, false);
	world_start(w, 3);
	all_hold(w, "b", 1);
	for (unsigned i = 0; i < 100000 && gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "a"}, &a) == 0; i++)
		world_turn(w);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(gossip_attr(w->members[i].g, &(struct gossip_place){ROOT, "a"}, &a), ERR_NOT_FOUND);
	gossip_forget_root(w->members[2].g, ROOT);
	for (unsigned i = 0; i < 100000 && gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "b"}, &a) == 0; i++)
		world_turn(w);
	assert_int_equal(gossip_attr(w->members[3].g, &(struct gossip_place){ROOT, "b"}, &a), ERR_NOT_FOUND);
	world_end(w);
}

/* Who knows the same says little: at most 1 kB/s to each. */
static void test_silence(void **state)
{
	struct world *w = world_begin(3);
	uint64_t before, limit;
	char path[16];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "c%u", i);
		world_add(w, i % 3 + 1, path, 1);
	}
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "c%u", i);
		all_hold(w, path, 1);
	}
	world_stop(w, 2);
	world_start(w, 2); /* it is not all told again */
	before = w->sent;
	limit = uv_hrtime() + 3000000000;
	while (uv_hrtime() < limit)
		world_turn(w);
	assert_true(w->sent - before < 3 * 6 * 1000);
	world_end(w);
}

static void add_many(struct world *w, unsigned i, unsigned from, unsigned to)
{
	char path[16];
	unsigned left = 0;

	for (unsigned k = from; k < to; k++) {
		const struct gossip_place at = {ROOT, path};

		snprintf(path, sizeof path, "n%u", k);
		left += 2;
		assert_int_equal(gossip_create(w->members[i].g, &at, GOSSIP_COUNTER, &world_owner, world_done, &left), 0);
		assert_int_equal(gossip_add(w->members[i].g, &at, 1, world_done, &left), 0);
	}
	world_finish(w, &left);
}

/* Who comes back and differs in few places is told those: many are equal, so their digests are. */
static void test_differences(void **state)
{
	static const unsigned counts[] = {100, 1000, 20000};
	struct world *w = world_begin(2);
	uint64_t before;

	(void)state;
	for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
		char path[16];

		add_many(w, 1, 0, counts[i]);
		snprintf(path, sizeof path, "n%u", counts[i] - 1);
		all_hold(w, path, (int64_t)1);
		all_hold(w, "n0", (int64_t)i + 1);
		world_stop(w, 2);
		add_many(w, 1, 7, 10);
		world_start(w, 2);
		world_isolate(w, 2, true);
		add_many(w, 2, 50, 60);
		world_isolate(w, 2, false);
		before = w->sent;
		all_hold(w, "n8", (int64_t)2 * i + 2);
		all_hold(w, "n59", (int64_t)2 * i + 2);
		print_message("%u places, 13 differ: %u bytes\n", counts[i], (unsigned)(w->sent - before));
		assert_true(w->sent - before < 60000); /* all of it would be millions */
	}
	world_end(w);
}

/* All differ, and what is compared is lost now and then, and changes. */
static void test_differences_with_losses(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->news_ms = 50;
	world_start(w, 1);
	world_start(w, 2);
	add_many(w, 1, 0, 2000); /* neither knows of the other */
	add_many(w, 2, 0, 1500);
	w->loss_percent = 20;
	world_tell_members(w);
	for (unsigned i = 0; i < 20; i++) {
		add_many(w, i % 2 + 1, 100 * i, 100 * i + 1);
		for (unsigned k = 0; k < 50; k++)
			world_turn(w);
	}
	all_hold(w, "n1", 2);
	all_hold(w, "n100", 3);
	all_hold(w, "n1999", 1);
	w->loss_percent = 0;
	world_end(w);
}

/* Of what member 1 sent last. */
static uint64_t incarnation_of_first(struct world *w)
{
	uint64_t incarnation = 0;

	w->keeps_late = true;
	for (uint64_t until = uv_hrtime() + 3000000000ull; uv_hrtime() < until && !incarnation;) {
		world_turn(w);
		for (unsigned i = 0; i < LATE; i++) {
			const struct letter *l = w->late[i];
			Coordfs__Envelope *e = l && l->from == 1 ? coordfs__envelope__unpack(NULL, l->size, l->data) : NULL;

			if (e && e->gossip->of_case == COORDFS__GOSSIP__OF_NEWS)
				incarnation = e->gossip->news->incarnation;
			if (e)
				coordfs__envelope__free_unpacked(e, NULL);
		}
	}
	return incarnation;
}

static void test_senseless_questions(void **state)
{
	struct world *w = world_begin(2);
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipAsk ask = COORDFS__GOSSIP_ASK__INIT;
	Coordfs__GossipAnswer answer = COORDFS__GOSSIP_ANSWER__INIT;
	uint64_t ranges[] = {0, 2, 3, 1, 0x1ff, 0x80, UINT64_MAX, 1ull << 56, 1ull << 63, 0x1ffff, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	uint64_t places[400] = {1, UINT64_MAX};

	(void)state;
	add_many(w, 1, 0, 300);
	ask.incarnation = answer.incarnation = incarnation_of_first(w);
	assert_true(ask.incarnation);
	e.of_case = COORDFS__ENVELOPE__OF_GOSSIP;
	e.gossip = &message;
	message.of_case = COORDFS__GOSSIP__OF_ASK;
	message.ask = &ask;
	gossip_receive(w->members[1].g, 2, &e);
	ask.ranges = ranges;
	ask.n_ranges = sizeof ranges / sizeof *ranges;
	ask.places = places;
	ask.n_places = sizeof places / sizeof *places;
	gossip_receive(w->members[1].g, 2, &e);
	message.of_case = COORDFS__GOSSIP__OF_ANSWER;
	message.answer = &answer;
	answer.places = places;
	answer.n_places = ask.n_places;
	gossip_receive(w->members[1].g, 2, &e);
	world_add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	world_end(w);
}

static void test_nonsense(void **state)
{
	struct world *w = world_begin(2);
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipRecord r = COORDFS__GOSSIP_RECORD__INIT, *list[] = {&r};
	Coordfs__GossipRecords records = COORDFS__GOSSIP_RECORDS__INIT;
	Coordfs__GossipNews news = COORDFS__GOSSIP_NEWS__INIT;
	uint8_t junk[] = {0xff, 0xfe, 0, 1, 2, '/'};

	(void)state;
	gossip_receive(w->members[1].g, 2, &e);
	e.of_case = COORDFS__ENVELOPE__OF_GOSSIP;
	e.gossip = &message;
	gossip_receive(w->members[1].g, 2, &e);
	gossip_receive(w->members[1].g, 77, &e);
	message.of_case = COORDFS__GOSSIP__OF_NEWS;
	message.news = &news;
	gossip_receive(w->members[1].g, 2, &e);
	news.incarnation = 7;
	news.version = news.your_version = news.your_incarnation = UINT64_MAX;
	gossip_receive(w->members[1].g, 2, &e);
	message.of_case = COORDFS__GOSSIP__OF_RECORDS;
	message.records = &records;
	records.incarnation = 7;
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
	world_add(w, 1, "a", 1);
	all_hold(w, "a", 1);
	world_end(w);
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
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_differences_with_losses),
		cmocka_unit_test(test_senseless_questions),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
