/* Records: joins are joins, counters count exactly what was not removed, stamps only grow. Random histories of a few
 * members that tell each other old and new things; a naive reference remembers each single addition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/crdt.h"

#define MEMBERS 4u
#define ADDITIONS 400u
#define KEPT 16u

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static unsigned random_below(uint64_t *seed, unsigned n)
{
	return (unsigned)(random_next(seed) >> 20) % n;
}

/* ---- bytes ---- */

struct packed {
	uint8_t *data;
	size_t size;
};

static struct packed pack(const struct record *r)
{
	struct packed p;

	assert_int_equal(record_pack(r, &p.data, &p.size), 0);
	return p;
}

static void assert_same(const struct record *a, const struct record *b)
{
	struct packed x = pack(a), y = pack(b);

	assert_int_equal(x.size, y.size);
	assert_memory_equal(x.data, y.data, x.size);
	free(x.data);
	free(y.data);
}

static struct record copy_of(const struct record *r)
{
	struct packed p = pack(r);
	struct record out;

	record_init(&out);
	assert_int_equal(record_unpack(p.data, p.size, &out), 0);
	free(p.data);
	return out;
}

static struct record joined(const struct record *a, const struct record *b)
{
	struct record out = copy_of(a);

	assert_int_equal(record_join(&out, b), 0);
	return out;
}

/* ---- a history ---- */

/* What a member knows: its record, and for the reference each addition that it has heard of. */
struct member {
	struct record record;
	bool knows[ADDITIONS], removed[ADDITIONS];
	struct stamp clock;
	uint64_t now_ms; /* of its own clock, which is wrong */
};

struct history {
	uint64_t seed;
	struct member members[MEMBERS];
	struct member kept[KEPT]; /* of former times */
	int64_t amounts[ADDITIONS];
	unsigned additions;
};

static void copy_member(struct member *to, const struct member *from)
{
	record_fini(&to->record);
	*to = *from;
	to->record = copy_of(&from->record);
}

static void hear(struct member *m, const struct member *from)
{
	struct stamp latest = record_latest(&from->record);

	assert_int_equal(record_join(&m->record, &from->record), 0);
	stamp_seen(&m->clock, &latest);
	for (unsigned i = 0; i < ADDITIONS; i++) {
		m->knows[i] |= from->knows[i];
		m->removed[i] |= from->removed[i];
	}
}

static void add(struct history *h, unsigned who)
{
	int64_t amount = (int64_t)random_below(&h->seed, 2001) - 1000;

	if (h->additions == ADDITIONS)
		return;
	assert_int_equal(record_add(&h->members[who].record, who + 1, 1, amount), 0);
	h->amounts[h->additions] = amount;
	h->members[who].knows[h->additions++] = true;
}

static void remove_it(struct member *m, unsigned kind)
{
	record_remove(&m->record, (enum gossip_kind)kind);
	for (unsigned i = 0; kind == GOSSIP_COUNTER && i < ADDITIONS; i++)
		m->removed[i] |= m->knows[i];
}

static void write_it(struct history *h, struct member *m, unsigned who)
{
	struct stamp s;
	char text[32];

	m->now_ms += random_below(&h->seed, 50) == 0 ? random_below(&h->seed, 36000000) : 1;
	if (random_below(&h->seed, 50) == 0)
		m->now_ms /= 2;
	s = stamp_next(&m->clock, m->now_ms, who + 1);
	memset(text, (int)random_below(&h->seed, 256), sizeof text);
	if (random_below(&h->seed, 3) == 0)
		assert_int_equal(record_write(&m->record.directory, &s, NULL, 0), 0);
	else
		assert_int_equal(record_write(&m->record.file, &s, text, random_below(&h->seed, sizeof text)), 0);
	if (random_below(&h->seed, 3) == 0) {
		m->record.owner = (struct gossip_owner){.uid = random_below(&h->seed, 9), .mode = 0644};
		m->record.owner_written = s;
	}
	m->record.changed_ms = s.ms > m->record.changed_ms ? s.ms : m->record.changed_ms;
}

static void step(struct history *h)
{
	unsigned who = random_below(&h->seed, MEMBERS), what = random_below(&h->seed, 20);
	struct member *m = &h->members[who];

	if (what < 7)
		add(h, who);
	else if (what < 10)
		write_it(h, m, who);
	else if (what < 12)
		remove_it(m, 1 + random_below(&h->seed, 3));
	else if (what < 14)
		copy_member(&h->kept[random_below(&h->seed, KEPT)], m);
	else if (what < 16)
		hear(m, &h->kept[random_below(&h->seed, KEPT)]);
	else
		hear(m, &h->members[random_below(&h->seed, MEMBERS)]);
}

static struct history *history_new(uint64_t seed, unsigned steps)
{
	struct history *h = calloc(1, sizeof *h);

	assert_non_null(h);
	h->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned i = 0; i < steps; i++)
		step(h);
	return h;
}

static void history_free(struct history *h)
{
	for (unsigned i = 0; i < MEMBERS; i++)
		record_fini(&h->members[i].record);
	for (unsigned i = 0; i < KEPT; i++)
		record_fini(&h->kept[i].record);
	free(h);
}

/* ---- joins ---- */

static void assert_laws(const struct record *a, const struct record *b, const struct record *c)
{
	struct record ab = joined(a, b), ba = joined(b, a), aa = joined(a, a), bc = joined(b, c);
	struct record ab_c = joined(&ab, c), a_bc = joined(a, &bc), again = joined(&ab, b);

	assert_same(&ab, &ba);
	assert_same(&aa, a);
	assert_same(&ab_c, &a_bc);
	assert_same(&again, &ab);
	record_fini(&ab);
	record_fini(&ba);
	record_fini(&aa);
	record_fini(&bc);
	record_fini(&ab_c);
	record_fini(&a_bc);
	record_fini(&again);
}

static void test_laws(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct history *h = history_new(seed, 120);

		for (unsigned i = 0; i < 20; i++)
			assert_laws(&h->kept[random_below(&h->seed, KEPT)].record,
				    &h->kept[random_below(&h->seed, KEPT)].record,
				    &h->members[random_below(&h->seed, MEMBERS)].record);
		history_free(h);
	}
}

/* Whoever heard everything has the same bytes, in whatever order it heard it. */
static void converge(struct history *h)
{
	for (unsigned round = 0; round < MEMBERS; round++)
		for (unsigned i = 0; i < MEMBERS; i++)
			hear(&h->members[i], &h->members[(i + 1 + round) % MEMBERS]);
	for (unsigned i = 1; i < MEMBERS; i++)
		assert_same(&h->members[0].record, &h->members[i].record);
}

static int64_t expected_value(const struct history *h, const struct member *m)
{
	int64_t value = 0;

	for (unsigned i = 0; i < h->additions; i++)
		if (m->knows[i] && !m->removed[i])
			value += h->amounts[i];
	return value;
}

static bool expected_there(const struct history *h, const struct member *m)
{
	for (unsigned i = 0; i < h->additions; i++)
		if (m->knows[i] && !m->removed[i])
			return true;
	return false;
}

static bool counter_is_there(const struct record *r)
{
	for (size_t i = 0; i < r->share_count; i++)
		if (r->shares[i].sequence > r->shares[i].removed_sequence)
			return true;
	return false;
}

static void assert_counts(const struct history *h)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		const struct member *m = &h->members[i];

		assert_int_equal(record_value(&m->record), expected_value(h, m));
		assert_int_equal(counter_is_there(&m->record), expected_there(h, m));
	}
}

static void test_converge_and_count(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 500; seed++) {
		struct history *h = history_new(seed, 400);

		assert_counts(h);
		converge(h);
		assert_counts(h);
		history_free(h);
	}
}

static void test_gone_stays(void **state)
{
	struct history *h = history_new(7, 200);
	struct record gone, r;

	(void)state;
	record_init(&gone);
	record_go(&gone);
	assert_laws(&gone, &h->members[0].record, &h->members[1].record);
	r = joined(&h->members[0].record, &gone);
	assert_same(&r, &gone);
	assert_int_equal(record_kind(&r), GOSSIP_NOTHING);
	record_fini(&r);
	history_free(h);
}

/* Without leftovers it means the same, and who knows more takes nothing from it. */
static void assert_prunes(const struct record *r, const struct record *more)
{
	struct record pruned = copy_of(r), again, all = joined(r, more), both;

	record_prune(&pruned, 1);
	assert_false(record_has_leftovers(&pruned));
	assert_int_equal(record_kind(&pruned), record_kind(r));
	assert_int_equal(record_value(&pruned), record_value(r));
	assert_true(record_has_leftovers(r) || record_is_empty(r) == (record_kind(r) == GOSSIP_NOTHING));
	if (record_kind(r) == GOSSIP_NOTHING)
		assert_true(record_is_empty(&pruned));
	again = copy_of(&pruned);
	record_prune(&again, 1);
	assert_same(&again, &pruned);
	both = joined(&pruned, &all);
	assert_same(&both, &all);
	record_fini(&both);
	both = joined(&pruned, r);
	assert_same(&both, r);
	record_fini(&both);
	record_fini(&pruned);
	record_fini(&again);
	record_fini(&all);
}

static void test_leftovers(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct history *h = history_new(seed, 200);

		for (unsigned i = 0; i < KEPT; i++)
			assert_prunes(&h->kept[i].record, &h->members[i % MEMBERS].record);
		history_free(h);
	}
}

/* ---- single cases ---- */

/* Who forgot a removed counter begins anew, and what others still know of the former one does no harm. */
static void test_epochs(void **state)
{
	struct record old = {0}, young = {0}, other;

	(void)state;
	assert_int_equal(record_add(&old, 1, 1, 5), 0);
	record_remove(&old, GOSSIP_COUNTER);
	assert_int_equal(record_add(&young, 1, 2, 7), 0);
	other = copy_of(&old);
	assert_int_equal(record_add(&other, 2, 1, 100), 0);
	assert_laws(&old, &young, &other);
	record_join(&young, &old);
	assert_int_equal(record_value(&young), 7);
	record_join(&young, &other);
	assert_int_equal(record_value(&young), 107);
	record_fini(&old);
	record_fini(&young);
	record_fini(&other);
}

static void test_add_beside_remove(void **state)
{
	struct record a = {0}, b;

	(void)state;
	assert_int_equal(record_add(&a, 1, 1, 10), 0);
	b = copy_of(&a);
	record_remove(&a, GOSSIP_COUNTER);
	assert_int_equal(record_kind(&a), GOSSIP_NOTHING);
	assert_int_equal(record_add(&b, 2, 1, 3), 0);
	record_join(&a, &b);
	assert_int_equal(record_kind(&a), GOSSIP_COUNTER);
	assert_int_equal(record_value(&a), 3);
	record_fini(&a);
	record_fini(&b);
}

static void test_removed_content_is_not_kept(void **state)
{
	struct stamp clock = {0}, s = stamp_next(&clock, 1000, 1);
	struct record a = {0}, b;

	(void)state;
	assert_int_equal(record_write(&a.file, &s, "text", 4), 0);
	b = copy_of(&a);
	record_remove(&a, GOSSIP_FILE);
	assert_int_equal(a.file.size, 0);
	record_join(&b, &a);
	assert_same(&a, &b);
	s = stamp_next(&clock, 10, 1);
	assert_int_equal(record_write(&a.file, &s, "anew", 4), 0);
	assert_int_equal(record_kind(&a), GOSSIP_FILE);
	record_fini(&a);
	record_fini(&b);
}

static void test_bounds(void **state)
{
	struct record a = {0}, b = {0};

	(void)state;
	assert_int_equal(record_add(&a, 1, 1, INT64_MAX), 0);
	assert_int_equal(record_add(&a, 1, 1, 1), ERR_RANGE);
	assert_int_equal(record_add(&b, 2, 1, INT64_MAX), 0);
	record_join(&a, &b);
	assert_true(record_value(&a) == INT64_MAX);
	assert_int_equal(record_add(&a, 1, 1, INT64_MIN), 0);
	assert_true(record_value(&a) == INT64_MAX - 1);
	record_fini(&a);
	record_fini(&b);
}

static void test_stamps(void **state)
{
	struct stamp last = {0}, before, far = {.ms = STAMP_MS_MAX - 1, .member = 9, .counter = UINT32_MAX};
	uint64_t clocks[] = {1000, 1000, 3600000, 5, 0, UINT64_MAX, 7};

	(void)state;
	for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		before = last;
		stamp_next(&last, clocks[i], 3);
		assert_true(stamp_compare(&before, &last) < 0);
	}
	stamp_seen(&last, &far);
	before = last;
	stamp_next(&last, 1000, 3);
	assert_true(stamp_compare(&before, &last) < 0);
}

static void test_hostile_bytes(void **state)
{
	struct history *h = history_new(3, 300);
	struct record out;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct packed p = pack(&h->kept[i % KEPT].record);

		for (unsigned k = 0; p.size && k < 3; k++)
			p.data[random_below(&h->seed, (unsigned)p.size)] ^= (uint8_t)random_next(&h->seed);
		record_init(&out);
		if (record_unpack(p.data, p.size, &out) == 0)
			assert_laws(&out, &h->members[0].record, &h->kept[(i + 1) % KEPT].record);
		record_fini(&out);
		free(p.data);
	}
	history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_laws),
		cmocka_unit_test(test_converge_and_count),
		cmocka_unit_test(test_gone_stays),
		cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_add_beside_remove),
		cmocka_unit_test(test_removed_content_is_not_kept),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_hostile_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
