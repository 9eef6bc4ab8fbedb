/* tests/history: the checker against histories that a seed makes.
 *
 * - Small ones with any results at all: the verdict is that of a search without any cleverness.
 * - Long ones of a simulated object that behaves: each is right. The same with one planted fault: nearly all are wrong,
 *   and the rate is printed and demanded. (Not all: a fault may leave no trace that anybody saw.)
 *
 * HISTORY_SEEDS=n for more of them. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../history/checker.h"
#include "../history/model.h"

static const struct search_limits limits = {.configurations_max = 4000000, .ms_max = 30000};

static uint64_t seeds(uint64_t count)
{
	const char *text = getenv("HISTORY_SEEDS");

	return text ? strtoull(text, NULL, 10) : count;
}

static uint64_t next_random(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static int64_t below(uint64_t *seed, int64_t limit) { return (int64_t)(next_random(seed) % (uint64_t)limit); }
static bool chance(uint64_t *seed, int percent) { return below(seed, 100) < percent; }

/* ---- small ones: the naive search ---- */

#define SMALL_MAX 7

/* Some order of the moves that are not in done, from this state on. */
static bool is_possible(const struct move *moves, size_t count, unsigned done, model_step step, struct state state)
{
	int64_t bound_ns = NEVER;

	for (size_t i = 0; i < count; i++)
		if (!(done & 1u << i) && !moves[i].optional && moves[i].end_ns < bound_ns)
			bound_ns = moves[i].end_ns;
	if (bound_ns == NEVER)
		return true;
	for (size_t i = 0; i < count; i++) {
		struct state after = state;

		if (!(done & 1u << i) && moves[i].start_ns <= bound_ns && step(&moves[i], &after) &&
		    is_possible(moves, count, done | 1u << i, step, after))
			return true;
	}
	return false;
}

static const enum verb verbs_of[][4] = {
	[KIND_COUNTER] = {VERB_SET, VERB_ADD, VERB_CAS, VERB_READ},
	[KIND_REGISTER] = {VERB_WRITE, VERB_READ, VERB_REVISION, VERB_CAS},
	[KIND_NAME] = {VERB_CREATE, VERB_READ, VERB_UNLINK, VERB_LAPSE},
	[KIND_FENCE] = {VERB_RAISE, VERB_READ, VERB_RAISE, VERB_READ},
};

static bool may_be_refused(enum object_kind kind, enum verb verb)
{
	return verb == VERB_CAS || verb == VERB_CREATE || verb == VERB_UNLINK || verb == VERB_RAISE ||
	       (kind == KIND_NAME && verb == VERB_READ);
}

static struct move any_move(uint64_t *seed, enum object_kind kind, int64_t identity)
{
	struct move m = {.verb = verbs_of[kind][below(seed, 4)], .identity = identity};

	m.start_ns = below(seed, 10);
	m.end_ns = m.start_ns + 1 + below(seed, 6);
	m.optional = m.verb == VERB_LAPSE || (m.verb != VERB_READ && m.verb != VERB_REVISION && chance(seed, 40));
	m.refused = !m.optional && may_be_refused(kind, m.verb) && chance(seed, 30);
	m.observer = m.verb == VERB_READ || m.refused;
	m.has_result = !m.optional && !m.refused && chance(seed, 70);
	m.a = 1 + below(seed, 3);
	m.b = 1 + below(seed, 3);
	m.result = below(seed, 4);
	return m;
}

static void check_small(uint64_t seed, enum object_kind kind, size_t verdicts[2])
{
	struct move moves[SMALL_MAX];
	struct search_report report;
	size_t count = 2 + (size_t)below(&seed, SMALL_MAX - 1);
	uint64_t first = seed;
	bool possible;

	for (size_t i = 0; i < count; i++)
		moves[i] = any_move(&seed, kind, (int64_t)i + 1);
	possible = is_possible(moves, count, 0, model_of(kind), (struct state){0});
	verdicts[possible]++;
	if (search_order(moves, count, model_of(kind), (struct state){0}, &limits, &report) != (possible ? VERDICT_RIGHT : VERDICT_WRONG))
		fail_msg("kind %d, state of the seed %" PRIu64 ": the naive search says %s", kind, first, possible ? "right" : "wrong");
}

static void test_against_a_naive_search(void **state)
{
	static const enum object_kind kinds[] = {KIND_COUNTER, KIND_REGISTER, KIND_NAME, KIND_FENCE};
	uint64_t count = seeds(10000);

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		size_t verdicts[2] = {0};

		for (uint64_t seed = 0; seed < count; seed++)
			check_small(seed, kinds[k], verdicts);
		print_message("kind %d: %zu right, %zu wrong\n", kinds[k], verdicts[1], verdicts[0]);
		assert_true(verdicts[0] > count / 20 && verdicts[1] > count / 20);
	}
}

/* ---- small ones of a lock: the order of tokens against the naive search ---- */

/* a: token that holds it, negative: a request of unknown outcome; b: highest token */
static bool lock_step(const struct move *m, struct state *s)
{
	switch (m->verb) {
	case VERB_ACQUIRE:
		if (m->refused)
			return s->a != 0;
		if (s->a != 0 || (m->a > 0 && m->a <= s->b))
			return false;
		s->a = m->a;
		s->b = m->a > 0 ? m->a : s->b;
		return true;
	case VERB_RELEASE:
		if (s->a != m->a)
			return false;
		s->a = 0;
		return true;
	default:
		return s->a == m->a;
	}
}

struct small_lock {
	struct history *history;
	struct move moves[SMALL_MAX * 2];
	size_t count;
	uint64_t seed;
};

static void lock_line(struct small_lock *l, enum verb verb, int64_t token, const char *result)
{
	struct move *m = &l->moves[l->count++];
	char line[160], argument[24] = "-";

	*m = (struct move){.verb = verb, .a = token, .optional = strcmp(result, "EINTR") == 0, .refused = strcmp(result, "EAGAIN") == 0};
	m->start_ns = below(&l->seed, 14);
	m->end_ns = m->start_ns + 1 + below(&l->seed, 6);
	if (verb != VERB_ACQUIRE)
		snprintf(argument, sizeof argument, "%" PRId64, token);
	snprintf(line, sizeof line, "1 h lock:l %s %s %" PRId64 " %" PRId64 " %s", verb_name(verb), argument, m->start_ns, m->end_ns,
		 result);
	assert_int_equal(history_add_line(l->history, line, (uint32_t)l->count), 0);
}

/* A request of unknown outcome may hold the lock for some time after its start. */
static void lock_ghost(struct small_lock *l)
{
	int64_t identity = -(int64_t)l->count - 1;

	lock_line(l, VERB_ACQUIRE, identity, "EINTR");
	l->moves[l->count] = l->moves[l->count - 1];
	l->moves[l->count++].verb = VERB_RELEASE;
}

static void lock_hold(struct small_lock *l, int64_t token)
{
	char result[24];

	snprintf(result, sizeof result, "=%" PRId64, token);
	lock_line(l, VERB_ACQUIRE, token, result);
	if (chance(&l->seed, 30))
		lock_line(l, VERB_CHECK, token, "=");
	if (chance(&l->seed, 80))
		lock_line(l, VERB_RELEASE, token, chance(&l->seed, 70) ? "=" : "EINTR");
}

static void check_small_lock(uint64_t seed, size_t verdicts[2])
{
	struct small_lock l = {.history = history_new(), .seed = seed};
	FILE *out = fopen("/dev/null", "w");
	int64_t tokens = 1 + below(&l.seed, 3);
	enum verdict verdict;
	bool possible;

	for (int64_t token = 1; token <= tokens; token++)
		lock_hold(&l, token);
	for (int i = 0; i < 2 && chance(&l.seed, 40); i++)
		lock_line(&l, VERB_ACQUIRE, 0, "EAGAIN");
	if (chance(&l.seed, 30))
		lock_ghost(&l);
	possible = is_possible(l.moves, l.count, 0, lock_step, (struct state){0});
	verdicts[possible]++;
	verdict = check_history(l.history, &limits, out);
	if (verdict != (possible ? VERDICT_RIGHT : VERDICT_WRONG))
		fail_msg("seed %" PRIu64 ": the naive search says %s", seed, possible ? "right" : "wrong");
	fclose(out);
	history_free(l.history);
}

static void test_tokens_against_a_naive_search(void **state)
{
	uint64_t count = seeds(10000);
	size_t verdicts[2] = {0};

	(void)state;
	for (uint64_t seed = 0; seed < count; seed++)
		check_small_lock(seed, verdicts);
	print_message("locks: %zu right, %zu wrong\n", verdicts[1], verdicts[0]);
	assert_true(verdicts[0] > count / 20 && verdicts[1] > count / 20);
}

/* ---- long ones ---- */

#define CLIENTS 12

enum fault { FAULT_NONE, FAULT_STALE, FAULT_LOST, FAULT_TWICE, FAULT_REFUSED, FAULT_BOTH, FAULTS };
static const char *const fault_names[] = {"none", "stale read", "lost update", "applied twice", "refused and applied", "both win"};

struct event {
	int client;
	int64_t start, moment, end; /* the moment at which it takes effect */
	bool unknown, effective;
};

/* One object, and what each client knows of it. */
struct simulation {
	uint64_t seed;
	struct history *history;
	enum object_kind kind;
	enum fault fault; /* to be planted, at the first chance */
	int64_t think;	  /* between two operations of a client, at most; an operation takes about 150, some 1000 */
	bool planted;
	int64_t value, revision, old, changed_at; /* old: before the last change, which had returned at changed_at */
	int64_t serial;
	int64_t known[CLIENTS];
	const struct event *event;
	char verb[16], arguments[64], result[32];
};

static int compare_moments(const void *left, const void *right)
{
	const struct event *a = left, *b = right;

	return a->moment < b->moment ? -1 : a->moment > b->moment;
}

static struct event *make_events(struct simulation *s, size_t count)
{
	struct event *events = must(calloc(count, sizeof *events));
	int64_t time[CLIENTS] = {0};

	for (size_t i = 0; i < count; i++) {
		struct event *e = &events[i];

		e->client = (int)(i % CLIENTS);
		e->start = time[e->client] + 1 + below(&s->seed, s->think);
		e->moment = e->start + 1 + below(&s->seed, chance(&s->seed, 2) ? 2000 : 200);
		e->end = e->moment + 1 + below(&s->seed, 100);
		e->unknown = s->kind != KIND_LOCK && below(&s->seed, (int64_t)count) < 12; /* about a dozen in all */
		e->effective = !e->unknown || chance(&s->seed, 50);
		if (e->unknown && chance(&s->seed, 50))
			e->moment += below(&s->seed, 20000);
		time[e->client] = e->end;
	}
	qsort(events, count, sizeof *events, compare_moments);
	return events;
}

/* Plant it here, if it is this one that is asked for. A fault that lies in the answer needs a change before that had been
 * answered, else it may be none. */
static bool plant(struct simulation *s, enum fault fault)
{
	if (s->fault != fault || s->planted || s->event->unknown || s->event->start < 20000)
		return false;
	if ((fault == FAULT_STALE || fault == FAULT_BOTH) && s->changed_at >= s->event->start)
		return false;
	s->planted = true;
	return true;
}

/* The object takes a new value, unless a fault or an unknown outcome prevents it. */
static void change(struct simulation *s, int64_t value)
{
	if (!s->event->effective || plant(s, FAULT_LOST))
		return;
	s->old = s->value;
	s->changed_at = s->event->unknown ? NEVER : s->event->end;
	s->value = value;
	s->revision++;
	if (plant(s, FAULT_REFUSED))
		strcpy(s->result, "EHOSTUNREACH");
}

static int64_t value_read(struct simulation *s)
{
	bool stale = s->old != s->value && plant(s, FAULT_STALE);

	return s->known[s->event->client] = stale ? s->old : s->value;
}

#define SET(member, ...) snprintf(s->member, sizeof s->member, __VA_ARGS__)

static int64_t fresh(struct simulation *s) { return ++s->serial << 40 | below(&s->seed, 1LL << 40); }

static void counter_cas(struct simulation *s)
{
	int64_t expected = s->known[s->event->client], value = fresh(s);

	SET(verb, "cas");
	SET(arguments, "%" PRId64 ",%" PRId64, expected, value);
	if (expected == s->value)
		change(s, value);
	else if (!plant(s, FAULT_BOTH))
		SET(result, "ECANCELED");
}

static void counter_add(struct simulation *s)
{
	int64_t amount = 1 + below(&s->seed, 1LL << 40);

	SET(verb, "add");
	SET(arguments, "%" PRId64, amount);
	if (chance(&s->seed, 80))
		SET(result, "=%" PRId64, s->value + amount);
	if (s->event->effective && plant(s, FAULT_TWICE))
		s->value += amount;
	change(s, s->value + amount);
}

static void counter_operation(struct simulation *s)
{
	int64_t which = below(&s->seed, 100);

	if (which < 40) {
		counter_add(s);
	} else if (which < 55) {
		counter_cas(s);
	} else if (which < 65) {
		SET(verb, "set");
		s->known[s->event->client] = fresh(s);
		SET(arguments, "%" PRId64, s->known[s->event->client]);
		change(s, s->known[s->event->client]);
	} else {
		SET(verb, "read");
		SET(result, "=%" PRId64, value_read(s));
	}
}

static void register_cas(struct simulation *s)
{
	int64_t expected = s->known[s->event->client];

	SET(verb, "cas");
	SET(arguments, "%" PRId64 ",t%" PRId64, expected, ++s->serial);
	if (expected == s->revision) {
		SET(result, "=%" PRId64, s->revision + 1);
		change(s, s->serial);
	} else if (plant(s, FAULT_BOTH)) {
		SET(result, "=%" PRId64, s->revision);
	} else {
		SET(result, "ECANCELED");
	}
}

static void register_operation(struct simulation *s)
{
	int64_t which = below(&s->seed, 100);

	if (which < 30) {
		SET(verb, "write");
		SET(arguments, "t%" PRId64, ++s->serial);
		change(s, s->serial);
	} else if (which < 55) {
		SET(verb, "read");
		SET(result, s->value ? "=t%" PRId64 : "=-", s->value);
		if (s->old != s->value && s->old && plant(s, FAULT_STALE))
			SET(result, "=t%" PRId64, s->old);
	} else if (which < 80) {
		SET(verb, "revision");
		s->known[s->event->client] = s->revision;
		SET(result, "=%" PRId64, s->revision);
	} else {
		register_cas(s);
	}
}

/* value: who made it, 0: nobody; the clients try, look and remove what is theirs */
static void name_operation(struct simulation *s)
{
	int64_t me = s->event->client + 1;

	if (s->value == me && chance(&s->seed, 60)) {
		SET(verb, "unlink");
		change(s, 0);
	} else if (chance(&s->seed, 40)) {
		SET(verb, "read");
		if (value_read(s) == 0)
			SET(result, "ENOENT");
		else
			SET(result, "=c%" PRId64, s->known[s->event->client]);
	} else {
		SET(verb, "create");
		SET(arguments, "c%" PRId64, me);
		if (s->value == 0 || plant(s, FAULT_BOTH))
			change(s, me);
		else
			SET(result, "EEXIST");
	}
}

/* value: the token that holds it; a client that holds it has it in known */
static void lock_operation(struct simulation *s)
{
	int64_t *mine = &s->known[s->event->client];

	if (*mine == 0) {
		SET(verb, "acquire");
		if (s->value != 0 && !plant(s, FAULT_BOTH)) {
			SET(result, "EAGAIN");
			return;
		}
		s->serial += 2;
		*mine = s->serial > 2 && plant(s, FAULT_STALE) ? s->serial - 3 : s->serial;
		SET(result, "=%" PRId64, *mine);
		change(s, *mine);
		return;
	}
	SET(verb, chance(&s->seed, 50) ? "check" : "release");
	SET(arguments, "%" PRId64, *mine);
	if (*s->verb == 'r') {
		*mine = 0;
		change(s, 0);
	}
}

static void fence_operation(struct simulation *s)
{
	int64_t token = s->value + below(&s->seed, 12) - 4;

	if (chance(&s->seed, 40)) {
		SET(verb, "read");
		SET(result, "=%" PRId64, value_read(s));
		return;
	}
	SET(verb, "raise");
	SET(arguments, "%" PRId64, token);
	if (token < s->value && !plant(s, FAULT_BOTH))
		SET(result, "ESTALE");
	else if (token > s->value)
		change(s, token);
}

static void (*const operation_of[])(struct simulation *s) = {
	[KIND_COUNTER] = counter_operation, [KIND_REGISTER] = register_operation, [KIND_LOCK] = lock_operation,
	[KIND_NAME] = name_operation,	    [KIND_FENCE] = fence_operation,
};
static const char *const object_of[] = {
	[KIND_COUNTER] = "counter:c", [KIND_REGISTER] = "register:r", [KIND_LOCK] = "lock:l", [KIND_NAME] = "name:n", [KIND_FENCE] = "fence:f",
};

static void simulate(struct simulation *s, size_t count)
{
	struct event *events = make_events(s, count);

	for (size_t i = 0; i < count; i++) {
		const struct event *e = s->event = &events[i];
		char line[256];

		SET(arguments, "-");
		SET(result, "=");
		operation_of[s->kind](s);
		if (e->unknown)
			SET(result, "ETIMEDOUT");
		snprintf(line, sizeof line, "%d h %s %s %s %" PRId64 " %" PRId64 " %s", e->client, object_of[s->kind], s->verb,
			 s->arguments, e->start, e->unknown ? e->start + 1 : e->end, s->result);
		if (history_add_line(s->history, line, (uint32_t)i) < 0)
			fail_msg("%s: %s", line, s->history->error);
	}
	free(events);
}

/* The verdict on a simulation; *planted: whether there was a chance for the fault. */
static enum verdict run(enum object_kind kind, enum fault fault, uint64_t seed, size_t count, bool *planted, char **text)
{
	struct simulation s = {.kind = kind, .fault = fault, .seed = seed, .history = history_new()};
	enum verdict verdict;
	size_t size;
	FILE *out = open_memstream(text, &size);

	s.think = fault == FAULT_NONE ? 300 : 6000;
	s.revision = s.kind == KIND_REGISTER;
	for (size_t i = 0; i < CLIENTS; i++)
		s.known[i] = s.revision;
	simulate(&s, count);
	verdict = check_history(s.history, &limits, out);
	fclose(out);
	history_free(s.history);
	*planted = s.planted;
	return verdict;
}

#define LENGTH 3000

static void test_what_behaves_is_right(void **state)
{
	(void)state;
	for (enum object_kind kind = KIND_COUNTER; kind <= KIND_FENCE; kind++)
		for (uint64_t seed = 1; seed <= seeds(40); seed++) {
			bool planted;
			char *text;

			if (run(kind, FAULT_NONE, seed, LENGTH, &planted, &text) != VERDICT_RIGHT)
				fail_msg("%s, seed %" PRIu64 ": %s", object_of[kind], seed, text);
			free(text);
		}
}

static void test_a_long_one(void **state)
{
	bool planted;
	char *text;

	(void)state;
	for (enum object_kind kind = KIND_COUNTER; kind <= KIND_FENCE; kind++) {
		if (run(kind, FAULT_NONE, 1, 100000, &planted, &text) != VERDICT_RIGHT)
			fail_msg("%s", text);
		print_message("%s", text);
		free(text);
	}
}

/* At least so many of a hundred are found. The rest leaves no trace: what was lost had been overwritten before anybody read
 * it, what came too much may be one of the unknown. Only these kinds have such a fault. */
static const struct {
	enum object_kind kind;
	enum fault fault;
	unsigned percent;
} faults[] = {
	{KIND_COUNTER, FAULT_STALE, 95},   {KIND_COUNTER, FAULT_LOST, 65},     {KIND_COUNTER, FAULT_TWICE, 80},
	{KIND_COUNTER, FAULT_REFUSED, 70}, {KIND_COUNTER, FAULT_BOTH, 95},     {KIND_REGISTER, FAULT_STALE, 85},
	{KIND_REGISTER, FAULT_LOST, 40},   {KIND_REGISTER, FAULT_REFUSED, 50}, {KIND_REGISTER, FAULT_BOTH, 95},
	{KIND_LOCK, FAULT_STALE, 100},	   {KIND_LOCK, FAULT_LOST, 100},       {KIND_LOCK, FAULT_REFUSED, 100},
	{KIND_LOCK, FAULT_BOTH, 100},	   {KIND_NAME, FAULT_STALE, 95},       {KIND_NAME, FAULT_LOST, 90},
	{KIND_NAME, FAULT_REFUSED, 90},	   {KIND_NAME, FAULT_BOTH, 90},	       {KIND_FENCE, FAULT_STALE, 95},
	{KIND_FENCE, FAULT_LOST, 50},	   {KIND_FENCE, FAULT_REFUSED, 25},    {KIND_FENCE, FAULT_BOTH, 95},
};

static void check_rate(size_t which, uint64_t count)
{
	size_t found = 0, undecided = 0, all = 0;

	for (uint64_t seed = 1; seed <= count; seed++) {
		enum verdict verdict;
		bool planted;
		char *text;

		verdict = run(faults[which].kind, faults[which].fault, seed, LENGTH, &planted, &text);
		free(text);
		all += planted;
		found += planted && verdict == VERDICT_WRONG;
		undecided += planted && verdict == VERDICT_UNDECIDED;
	}
	print_message("%s, %s: planted %zu times, %zu found, %zu undecided\n", object_of[faults[which].kind],
		      fault_names[faults[which].fault], all, found, undecided);
	assert_true(all > count / 2);
	assert_true(found * 100 >= all * faults[which].percent);
}

static void test_what_misbehaves_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		check_rate(i, seeds(20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_naive_search),
		cmocka_unit_test(test_tokens_against_a_naive_search),
		cmocka_unit_test(test_what_behaves_is_right),
		cmocka_unit_test(test_a_long_one),
		cmocka_unit_test(test_what_misbehaves_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
