/* Depth first. Calls and returns are in one list, by time. A move is a candidate while no return stands before its call
 * in the list; making it takes its call and return out ("lift"); a dead end puts them back. Optional moves have no return.
 *
 * A configuration is the set of moves made and the state. The set is remembered as the sum of a random 128-bit number a
 * move: two sets with the same number would need 2^64 configurations to be likely.
 *
 * What keeps the search small, and leaves out no order that matters:
 * - An observer that is possible is made at once, with no alternative: any order that has it later is as good with it
 *   here, for it changes nothing.
 * - Optional moves are made late. An order in which an optional move o stands right before a move x that must be made
 *   can be rearranged to x, o (or to x without o) unless x depends on o: it is not possible without o, or neither
 *   commutes with o nor hides what o did. So after o only another optional move or an x that depends on o is tried.
 * - Of optional moves that follow each other and commute, only one order is tried.
 * - Optional moves on which some candidate depends are tried before the others. Those others are rarely needed and many:
 *   at first orders without them are searched, then such with one, two, four, at last with any number. */

#include "search.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum phase { PHASE_OBSERVE, PHASE_MUST, PHASE_USEFUL, PHASE_MAY, PHASES };

struct key {
	uint64_t a, b;
};

struct entry {
	uint32_t move, previous, next; /* 0: the list's head */
	bool is_return;
};

struct cursor {
	uint32_t entry;
	enum phase phase;
};

struct frame {
	struct cursor at;
	struct state before;
};

struct search {
	const struct move *moves;
	size_t count;
	model_step step;
	struct entry *entries;
	uint32_t *return_of; /* entry of the move's return, 0: none */
	struct frame *frames;
	size_t depth;
	struct state state;
	struct key made; /* the set */
	size_t left;
	size_t may_used, may_budget; /* moves of PHASE_MAY: made, and allowed */
	struct key *seen; /* open addressing; all zero: free */
	size_t seen_count, seen_size;
	const struct search_limits *limits;
	int64_t deadline_ms;
	struct search_report *report;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* however busy the machine is */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the list ---- */

struct event {
	int64_t time;
	uint32_t move;
	bool is_return;
};

/* Calls before returns at the same time: then they overlap. */
static int compare_events(const void *left, const void *right)
{
	const struct event *a = left, *b = right;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	if (a->is_return != b->is_return)
		return a->is_return ? 1 : -1;
	return a->move < b->move ? -1 : a->move > b->move;
}

static void link_events(struct search *s, struct event *events, size_t count)
{
	qsort(events, count, sizeof *events, compare_events);
	for (size_t i = 0; i < count; i++) {
		uint32_t entry = (uint32_t)i + 1;

		s->entries[entry] = (struct entry){events[i].move, entry - 1, i + 1 < count ? entry + 1 : 0, events[i].is_return};
		if (events[i].is_return)
			s->return_of[events[i].move] = entry;
	}
	s->entries[0] = (struct entry){0, (uint32_t)count, 1, false};
}

static void build_list(struct search *s)
{
	struct event *events = must(calloc(2 * s->count, sizeof *events));
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++) {
		events[count++] = (struct event){s->moves[i].start_ns, (uint32_t)i, false};
		if (s->moves[i].optional)
			continue;
		events[count++] = (struct event){s->moves[i].end_ns, (uint32_t)i, true};
		s->left++;
	}
	link_events(s, events, count);
	free(events);
}

static void unlink_entry(struct search *s, uint32_t entry)
{
	s->entries[s->entries[entry].previous].next = s->entries[entry].next;
	s->entries[s->entries[entry].next].previous = s->entries[entry].previous;
}

static void relink_entry(struct search *s, uint32_t entry)
{
	s->entries[s->entries[entry].previous].next = entry;
	s->entries[s->entries[entry].next].previous = entry;
}

/* ---- configurations ---- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static struct key key_of(uint64_t number, uint64_t salt) { return (struct key){mix(number * 4 + salt), mix(~number * 8 - salt)}; }

static struct key key_add(struct key x, struct key y) { return (struct key){x.a + y.a, x.b + y.b}; }
static struct key key_subtract(struct key x, struct key y) { return (struct key){x.a - y.a, x.b - y.b}; }

static const struct move *move_at(const struct search *s, struct cursor at) { return &s->moves[s->entries[at.entry].move]; }

/* The optional move that was made last, or NULL if the last was another. */
static const struct move *last_optional(const struct search *s)
{
	const struct move *last = s->depth ? move_at(s, s->frames[s->depth - 1].at) : NULL;

	return last && last->optional ? last : NULL;
}

/* What may follow differs after an optional move, so the last one is part of the configuration. */
static struct key configuration_key(const struct search *s)
{
	const struct move *last = last_optional(s);
	struct key key = s->made;

	key = key_add(key, key_of(mix((uint64_t)s->state.a) + mix((uint64_t)s->state.b + 1) * 3, 1));
	key = key_add(key, key_of(mix((uint64_t)s->state.c + 2) + (uint64_t)s->state.b * 5, 2));
	if (last)
		key = key_add(key, key_of((uint64_t)(last - s->moves), 3));
	if (s->may_budget < s->count)
		key = key_add(key, key_of(s->may_used, 4));
	key.a |= key.a == 0 && key.b == 0;
	return key;
}

static size_t seen_slot(const struct search *s, struct key key)
{
	size_t slot = key.a & (s->seen_size - 1);

	while ((s->seen[slot].a || s->seen[slot].b) && (s->seen[slot].a != key.a || s->seen[slot].b != key.b))
		slot = (slot + 1) & (s->seen_size - 1);
	return slot;
}

static void seen_grow(struct search *s)
{
	size_t old_size = s->seen_size;
	struct key *old = s->seen;

	s->seen_size = old_size ? old_size * 2 : 1024;
	s->seen = must(calloc(s->seen_size, sizeof *s->seen));
	for (size_t i = 0; i < old_size; i++)
		if (old[i].a || old[i].b)
			s->seen[seen_slot(s, old[i])] = old[i];
	free(old);
}

/* The present configuration is new; remember it. */
static bool is_new(struct search *s)
{
	struct key key = configuration_key(s);
	size_t slot;

	if (s->seen_count * 4 >= s->seen_size * 3)
		seen_grow(s);
	slot = seen_slot(s, key);
	if (s->seen[slot].a || s->seen[slot].b)
		return false;
	s->seen[slot] = key;
	s->seen_count++;
	return true;
}

static bool is_exhausted(const struct search *s)
{
	if (s->seen_count >= s->limits->configurations_max)
		return true;
	return s->seen_count % 1024 == 0 && now_ms() > s->deadline_ms;
}

/* ---- which moves are tried ---- */

static bool is_same(struct state x, struct state y) { return x.a == y.a && x.b == y.b && x.c == y.c; }

/* In this state: x after o is something that x without o, or before o, is not. */
static bool depends(const struct search *s, const struct move *x, const struct move *o, struct state state)
{
	struct state after_o = state, after_x = state, after_both;

	if (!s->step(o, &after_o))
		return false;
	after_both = after_o;
	if (!s->step(x, &after_both))
		return false;
	if (!s->step(x, &after_x))
		return true;
	if (is_same(after_x, after_both))
		return false;
	return !s->step(o, &after_x) || !is_same(after_x, after_both);
}

/* Some candidate that must be made depends on it. */
static bool is_useful(const struct search *s, const struct move *o)
{
	for (uint32_t e = s->entries[0].next; e && !s->entries[e].is_return; e = s->entries[e].next) {
		const struct move *x = &s->moves[s->entries[e].move];

		if (!x->optional && depends(s, x, o, s->state))
			return true;
	}
	return false;
}

/* o1, then o2: the same in the other order, which is tried instead. */
static bool is_other_order(const struct search *s, const struct move *o1, const struct move *o2)
{
	struct state before = s->frames[s->depth - 1].before, other = before, both = s->state;

	return o2 < o1 && s->step(o2, &both) && s->step(o2, &other) && !is_same(other, before) && s->step(o1, &other) &&
	       is_same(other, both);
}

static bool is_tried(const struct search *s, struct cursor at)
{
	const struct move *m = move_at(s, at), *last = last_optional(s);
	struct state after = s->state;

	if (m->optional != (at.phase >= PHASE_USEFUL) || !s->step(m, &after))
		return false;
	if (at.phase == PHASE_OBSERVE)
		return m->observer;
	if (at.phase == PHASE_MUST)
		return !m->observer && (!last || depends(s, m, last, s->frames[s->depth - 1].before));
	if (is_same(after, s->state) || (last && is_other_order(s, last, m)))
		return false;
	if (at.phase == PHASE_MAY && s->may_used >= s->may_budget)
		return false;
	return is_useful(s, m) == (at.phase == PHASE_USEFUL);
}

/* From the cursor on, this included. */
static bool find_move(const struct search *s, struct cursor *at)
{
	for (; at->phase < PHASES; at->phase++, at->entry = s->entries[0].next)
		for (; at->entry && !s->entries[at->entry].is_return; at->entry = s->entries[at->entry].next)
			if (is_tried(s, *at))
				return true;
	return false;
}

/* ---- making and taking back ---- */

static struct cursor first_candidate(const struct search *s) { return (struct cursor){s->entries[0].next, PHASE_OBSERVE}; }

static void make(struct search *s, struct cursor at)
{
	uint32_t number = s->entries[at.entry].move;

	s->frames[s->depth++] = (struct frame){at, s->state};
	s->step(&s->moves[number], &s->state);
	s->made = key_add(s->made, key_of(number, 0));
	unlink_entry(s, at.entry);
	if (s->return_of[number])
		unlink_entry(s, s->return_of[number]);
	s->left -= !s->moves[number].optional;
	s->may_used += at.phase == PHASE_MAY;
}

static struct cursor take_back(struct search *s)
{
	struct frame *frame = &s->frames[--s->depth];
	uint32_t number = s->entries[frame->at.entry].move;

	if (s->return_of[number])
		relink_entry(s, s->return_of[number]);
	relink_entry(s, frame->at.entry);
	s->made = key_subtract(s->made, key_of(number, 0));
	s->state = frame->before;
	s->left += !s->moves[number].optional;
	s->may_used -= frame->at.phase == PHASE_MAY;
	return frame->at;
}

/* Take back until there is something else to try. False: there is nothing. */
static bool back_up(struct search *s, struct cursor *at)
{
	do {
		if (s->depth == 0)
			return false;
		*at = take_back(s);
	} while (at->phase == PHASE_OBSERVE);
	at->entry = s->entries[at->entry].next;
	return true;
}

/* Remember the attempt that went furthest. */
static void note_progress(struct search *s)
{
	uint32_t e = s->entries[0].next;

	if (s->report->stuck && s->left >= s->report->left)
		return;
	while (e && !s->entries[e].is_return)
		e = s->entries[e].next;
	s->report->left = s->left;
	s->report->state = s->state;
	s->report->stuck = &s->moves[s->entries[e].move];
}

static enum verdict search_within_budget(struct search *s)
{
	struct cursor at = first_candidate(s);

	while (s->left > 0) {
		if (!find_move(s, &at)) {
			note_progress(s);
			if (!back_up(s, &at))
				return VERDICT_WRONG;
			continue;
		}
		make(s, at);
		if (s->left > 0 && is_exhausted(s)) {
			note_progress(s);
			return VERDICT_UNDECIDED;
		}
		if (is_new(s))
			at = first_candidate(s);
		else if (!back_up(s, &at))
			return VERDICT_WRONG;
	}
	return VERDICT_RIGHT;
}

static void forget_seen(struct search *s)
{
	free(s->seen);
	s->seen = NULL;
	s->seen_size = s->seen_count = 0;
}

/* WRONG only when nothing was left out. */
static enum verdict search_all(struct search *s)
{
	enum verdict verdict;

	for (;;) {
		verdict = search_within_budget(s);
		s->report->configurations += s->seen_count;
		if (verdict != VERDICT_WRONG || s->may_budget >= s->count)
			return verdict;
		forget_seen(s);
		s->may_budget = s->may_budget ? s->may_budget * 2 : 1;
		if (s->may_budget > 4)
			s->may_budget = s->count;
	}
}

enum verdict search_order(const struct move *moves, size_t count, model_step step, struct state initial,
			  const struct search_limits *limits, struct search_report *report)
{
	struct search s = {.moves = moves, .count = count, .step = step, .state = initial, .limits = limits, .report = report};
	enum verdict verdict;

	memset(report, 0, sizeof *report);
	if (count == 0)
		return VERDICT_RIGHT;
	s.deadline_ms = now_ms() + limits->ms_max;
	s.entries = must(calloc(2 * count + 1, sizeof *s.entries));
	s.return_of = must(calloc(count, sizeof *s.return_of));
	s.frames = must(calloc(count, sizeof *s.frames));
	build_list(&s);
	verdict = search_all(&s);
	for (size_t i = 0; i < s.depth; i++)
		report->optional_made += move_at(&s, s.frames[i].at)->optional;
	free(s.entries);
	free(s.return_of);
	free(s.frames);
	free(s.seen);
	return verdict;
}
