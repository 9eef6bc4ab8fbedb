#include "checker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "model.h"
#include "tokens.h"

struct checker {
	const struct history *history;
	const struct search_limits *limits;
	FILE *out;
	struct lapse *lapses;
	size_t lapse_count;
	/* the object at hand */
	const struct object *object;
	const struct operation *const *operations; /* by start */
	size_t count;
	struct move *moves;
	size_t move_count;
	bool wrong;
};

static void complain(struct checker *c, const char *what, const struct operation *o)
{
	c->wrong = true;
	fprintf(c->out, "%s\n  ", what);
	operation_print(c->out, c->history, o);
}

/* ---- answers ---- */

/* The errno that tells that the condition of an operation does not hold; 0: it has none. */
static int refusal_of(enum object_kind kind, enum verb verb)
{
	switch (verb) {
	case VERB_CAS:
		return ECANCELED;
	case VERB_CREATE:
		return EEXIST;
	case VERB_UNLINK:
		return ENOENT;
	case VERB_READ:
		return kind == KIND_NAME ? ENOENT : 0;
	case VERB_RAISE:
	case VERB_CHECK:
	case VERB_RELEASE:
		return ESTALE;
	case VERB_ACQUIRE:
		return EAGAIN;
	default:
		return 0;
	}
}

static bool is_condition(const struct checker *c, const struct operation *o)
{
	return o->error && o->error == refusal_of(c->object->kind, o->verb);
}

/* Errors that say nothing of the object: nothing changed. */
static bool is_excuse(const struct operation *o)
{
	switch (o->error) {
	case EHOSTUNREACH:
	case ENOSPC:
	case EDQUOT:
		return true;
	case EDEADLK:
	case ENOLCK:
	case ESTALE: /* who waits in a session that ends */
		return o->verb == VERB_ACQUIRE;
	default:
		return false;
	}
}

static void check_errors(struct checker *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct operation *o = c->operations[i];

		if (operation_outcome(o) == OUTCOME_REFUSED && !is_condition(c, o) && !is_excuse(o))
			complain(c, "an error that is no answer to this", o);
	}
}

/* ---- moves ---- */

static struct move *add_move(struct checker *c, const struct operation *o)
{
	struct move *m = &c->moves[c->move_count++];

	*m = (struct move){
		.start_ns = o->start_ns,
		.end_ns = o->end_ns,
		.verb = o->verb,
		.optional = operation_outcome(o) == OUTCOME_UNKNOWN,
		.observer = o->verb == VERB_READ || o->error,
		.refused = is_condition(c, o),
		.has_result = o->has_result,
		.a = o->a,
		.b = o->b,
		.result = o->result,
		.identity = (int64_t)c->move_count,
		.operation = o,
	};
	if (m->optional)
		m->observer = false;
	return m;
}

static void add_operation(struct checker *c, const struct operation *o)
{
	enum outcome outcome = operation_outcome(o);

	if (outcome == OUTCOME_REFUSED && !is_condition(c, o))
		return;
	if (outcome == OUTCOME_UNKNOWN && (o->verb == VERB_READ || o->verb == VERB_REVISION))
		return;
	add_move(c, o);
}

static bool has_id(const struct operation *o) { return o->verb == VERB_ADD && o->has_b; }

static int compare_ids(const void *left, const void *right)
{
	const struct operation *a = *(const struct operation *const *)left, *b = *(const struct operation *const *)right;

	if (a->b != b->b)
		return a->b < b->b ? -1 : 1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* One more attempt of an addition: it took effect between the first start and the first end that is known. */
static void merge_attempt(struct checker *c, struct move *m, const struct operation *o)
{
	if (m->a != o->a)
		complain(c, "one id, two amounts", o);
	if (operation_outcome(o) != OUTCOME_DONE)
		return;
	if (m->optional || o->end_ns < m->end_ns)
		m->end_ns = o->end_ns;
	m->optional = false;
	if (o->has_result && m->has_result && o->result != m->result)
		complain(c, "one id, two results", o);
	if (o->has_result) {
		m->result = o->result;
		m->has_result = true;
	}
}

static void add_attempts(struct checker *c)
{
	const struct operation **attempts = must(calloc(c->count + 1, sizeof *attempts));
	struct move *m = NULL;
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++)
		if (has_id(c->operations[i]) && operation_outcome(c->operations[i]) != OUTCOME_REFUSED)
			attempts[count++] = c->operations[i];
	qsort(attempts, count, sizeof *attempts, compare_ids);
	for (size_t i = 0; i < count; i++)
		if (i > 0 && attempts[i]->b == attempts[i - 1]->b)
			merge_attempt(c, m, attempts[i]);
		else
			m = add_move(c, attempts[i]);
	free(attempts);
}

/* Until when this creation was there unless its session ended: its maker's next removal. */
static int64_t end_of_creation(const struct checker *c, size_t creation)
{
	const struct operation *o = c->operations[creation];

	for (size_t i = creation + 1; i < c->count && operation_outcome(o) == OUTCOME_DONE; i++) {
		const struct operation *next = c->operations[i];

		if (next->client == o->client && next->verb == VERB_UNLINK && operation_outcome(next) != OUTCOME_UNKNOWN)
			return next->end_ns;
	}
	return NEVER;
}

/* The creation that was just added vanishes with the first session that may have been its own. */
static void add_vanishing(struct checker *c, size_t creation)
{
	const struct move made = c->moves[c->move_count - 1];
	int64_t end_ns = end_of_creation(c, creation), start_ns = NEVER;
	struct move *m;

	for (size_t i = 0; i < c->lapse_count; i++) {
		const struct lapse *lapse = &c->lapses[i];

		if (lapse->host == made.operation->host && lapse->start_ns <= end_ns && lapse->end_ns >= made.start_ns &&
		    lapse->start_ns < start_ns)
			start_ns = lapse->start_ns;
	}
	if (start_ns == NEVER)
		return;
	m = add_move(c, made.operation);
	m->verb = VERB_LAPSE;
	m->start_ns = start_ns > made.start_ns ? start_ns : made.start_ns;
	m->optional = true;
	m->observer = false;
	m->a = made.identity;
}

static void add_moves(struct checker *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct operation *o = c->operations[i];

		if (has_id(o))
			continue;
		add_operation(c, o);
		if (o->verb == VERB_CREATE && operation_outcome(o) != OUTCOME_REFUSED)
			add_vanishing(c, i);
	}
	add_attempts(c);
}

/* ---- verdicts ---- */

static void print_stuck(struct checker *c, const struct search_report *report)
{
	fprintf(c->out, "  after %zu of %zu that were answered it is ", c->move_count - report->left, c->move_count);
	state_print(c->out, c->history, c->object->kind, report->state);
	fputs("\n  and this cannot happen any more, or nothing that has to follow it:\n  ", c->out);
	operation_print(c->out, c->history, report->stuck->operation);
}

static enum verdict check_order(struct checker *c, struct search_report *report)
{
	enum verdict verdict =
		search_order(c->moves, c->move_count, model_of(c->object->kind), (struct state){0}, c->limits, report);

	if (verdict == VERDICT_WRONG)
		fputs("there is no order in which all this is possible\n", c->out);
	if (verdict == VERDICT_UNDECIDED)
		fprintf(c->out, "not decided: %zu configurations seen\n", report->configurations);
	if (verdict != VERDICT_RIGHT)
		print_stuck(c, report);
	return verdict;
}

/* The last read that began after every other operation had ended. */
static const struct move *last_read(const struct checker *c)
{
	const struct move *read = NULL;

	for (size_t i = 0; i < c->move_count; i++)
		if (c->moves[i].verb == VERB_READ && c->moves[i].has_result && (!read || c->moves[i].start_ns > read->start_ns))
			read = &c->moves[i];
	for (size_t i = 0; read && i < c->move_count; i++)
		if (!c->moves[i].optional && c->moves[i].verb != VERB_READ && c->moves[i].end_ns >= read->start_ns)
			return NULL;
	return read;
}

static void check_sum(struct checker *c)
{
	const struct move *read = last_read(c);
	int64_t low = 0, high = 0;

	for (size_t i = 0; read && i < c->move_count; i++) {
		const struct move *m = &c->moves[i];

		if (m->observer)
			continue;
		if (m->verb != VERB_ADD)
			return;
		if (!m->optional || m->a < 0)
			low += m->a;
		if (!m->optional || m->a > 0)
			high += m->a;
	}
	if (!read || (read->result >= low && read->result <= high))
		return;
	fprintf(c->out, "acknowledged additions make %" PRId64 ", with the unknown ones %" PRId64 ", and it is\n", low, high);
	complain(c, "  another number", read->operation);
}

static enum verdict check_model(struct checker *c, struct search_report *report)
{
	enum verdict verdict;

	c->moves = must(calloc(2 * c->count + 1, sizeof *c->moves));
	c->move_count = 0;
	add_moves(c);
	if (c->object->kind == KIND_COUNTER)
		check_sum(c);
	verdict = check_order(c, report);
	free(c->moves);
	return c->wrong ? VERDICT_WRONG : verdict;
}

static size_t count_unknown(const struct checker *c)
{
	size_t unknown = 0;

	for (size_t i = 0; i < c->count; i++)
		unknown += operation_outcome(c->operations[i]) == OUTCOME_UNKNOWN && c->operations[i]->verb != VERB_READ;
	return unknown;
}

static enum verdict check_object(struct checker *c)
{
	static const char *const words[] = {"right", "WRONG", "NOT DECIDED"};
	struct search_report report = {0};
	enum verdict verdict;

	c->wrong = false;
	check_errors(c);
	if (c->object->kind == KIND_LOCK)
		verdict = tokens_check(c->history, c->operations, c->count, c->lapses, c->lapse_count, c->out);
	else
		verdict = check_model(c, &report);
	if (c->wrong)
		verdict = VERDICT_WRONG;
	fprintf(c->out, "%s %s: %zu operations, %zu unknown", words[verdict], c->object->name, c->count, count_unknown(c));
	if (c->object->kind != KIND_LOCK && verdict == VERDICT_RIGHT)
		fprintf(c->out, " (%zu took effect), %zu configurations", report.optional_made, report.configurations);
	fputc('\n', c->out);
	return verdict;
}

/* ---- all objects ---- */

static int compare_operations(const void *left, const void *right)
{
	const struct operation *a = *(const struct operation *const *)left, *b = *(const struct operation *const *)right;

	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void gather_lapses(struct checker *c)
{
	const struct history *h = c->history;

	c->lapses = must(calloc(h->operation_count + 1, sizeof *c->lapses));
	for (size_t i = 0; i < h->operation_count; i++)
		if (h->operations[i].verb == VERB_LAPSE)
			c->lapses[c->lapse_count++] =
				(struct lapse){h->operations[i].host, h->operations[i].start_ns, h->operations[i].end_ns};
}

static enum verdict worse(enum verdict x, enum verdict y)
{
	if (x == VERDICT_WRONG || y == VERDICT_WRONG)
		return VERDICT_WRONG;
	return x == VERDICT_UNDECIDED ? x : y;
}

enum verdict check_history(const struct history *h, const struct search_limits *limits, FILE *out)
{
	const struct operation **sorted = must(calloc(h->operation_count + 1, sizeof *sorted));
	struct checker c = {.history = h, .limits = limits, .out = out};
	enum verdict verdict = VERDICT_RIGHT;

	for (size_t i = 0; i < h->operation_count; i++)
		sorted[i] = &h->operations[i];
	qsort(sorted, h->operation_count, sizeof *sorted, compare_operations);
	gather_lapses(&c);
	for (size_t from = 0, to; from < h->operation_count; from = to) {
		for (to = from; to < h->operation_count && sorted[to]->object == sorted[from]->object; to++)
			;
		c.object = &h->objects[sorted[from]->object];
		c.operations = sorted + from;
		c.count = to - from;
		if (c.object->kind != KIND_SESSION)
			verdict = worse(verdict, check_object(&c));
	}
	free(c.lapses);
	free(sorted);
	return verdict;
}
