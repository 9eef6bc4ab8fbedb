/* A hold is the grant of a token and what its holder then said about it. Two walks over the holds, in the order of their
 * tokens: forwards for the earliest moment of each grant and of its end, backwards for the latest end. Between the latest
 * end of one and the earliest grant of the next the lock was free for certain, which no refusal may lie within. */

#include "tokens.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct hold {
	int64_t token;
	const struct operation *grant;
	const struct operation **checks; /* in the order of their starts */
	size_t check_count;
	const struct operation *release; /* that was answered with success; NULL: none */
	const struct operation *loss;	 /* the first answer from which the holder may have known that it lost it */
	int64_t grant_earliest_ns, end_latest_ns;
};

struct tokens {
	const struct history *history;
	const struct operation *const *operations;
	size_t count;
	const struct lapse *lapses;
	size_t lapse_count;
	struct hold *holds;
	size_t hold_count;
	const struct operation **ghosts; /* requests that may have held it, without anybody knowing */
	size_t ghost_count;
	FILE *out;
	bool wrong;
};

static void complain(struct tokens *t, const char *what, const struct operation *o, const struct operation *other)
{
	t->wrong = true;
	fprintf(t->out, "%s\n  ", what);
	operation_print(t->out, t->history, o);
	if (other) {
		fputs("  ", t->out);
		operation_print(t->out, t->history, other);
	}
}

/* ---- gathering ---- */

static bool is_success(const struct operation *o) { return operation_outcome(o) == OUTCOME_DONE; }

static int compare_holds(const void *left, const void *right)
{
	const struct hold *a = left, *b = right;

	return a->token < b->token ? -1 : a->token > b->token;
}

static struct hold *find_hold(struct tokens *t, int64_t token)
{
	struct hold key = {.token = token};

	return bsearch(&key, t->holds, t->hold_count, sizeof key, compare_holds);
}

/* A grant whose token is not known is a ghost: nothing tells its place. */
static void gather_grants(struct tokens *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct operation *o = t->operations[i];

		if (o->verb != VERB_ACQUIRE || operation_outcome(o) == OUTCOME_REFUSED)
			continue;
		if (is_success(o) && o->has_result)
			t->holds[t->hold_count++] = (struct hold){.token = o->result, .grant = o};
		else
			t->ghosts[t->ghost_count++] = o;
	}
	qsort(t->holds, t->hold_count, sizeof *t->holds, compare_holds);
	for (size_t i = 1; i < t->hold_count; i++)
		if (t->holds[i].token == t->holds[i - 1].token)
			complain(t, "one token granted twice", t->holds[i - 1].grant, t->holds[i].grant);
}

static void gather_one(struct tokens *t, struct hold *hold, const struct operation *o)
{
	if (o->error == EHOSTUNREACH)
		return;
	if (is_success(o) && o->verb == VERB_CHECK) {
		hold->checks = must(reallocarray(hold->checks, hold->check_count + 1, sizeof(void *)));
		hold->checks[hold->check_count++] = o;
	} else if (is_success(o) && !hold->release) {
		hold->release = o;
	} else if (is_success(o)) {
		complain(t, "released twice", hold->release, o);
	} else if (!hold->loss && (o->verb == VERB_RELEASE || o->error == ESTALE)) {
		hold->loss = o;
	}
}

static void gather_rest(struct tokens *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct operation *o = t->operations[i];
		struct hold *hold;

		if (o->verb == VERB_ACQUIRE)
			continue;
		hold = find_hold(t, o->a);
		if (hold)
			gather_one(t, hold, o);
		else
			complain(t, "a token that nobody was granted", o, NULL);
	}
}

/* ---- walks ---- */

/* Lapses of the host from this moment on, until then. */
static bool may_have_lapsed(const struct tokens *t, int64_t host, int64_t from_ns, int64_t until_ns)
{
	for (size_t i = 0; i < t->lapse_count; i++)
		if (t->lapses[i].host == host && t->lapses[i].start_ns <= until_ns && t->lapses[i].end_ns >= from_ns)
			return true;
	return false;
}

/* Not before now: the earliest moment of an operation. */
static int64_t place(struct tokens *t, const struct operation *o, const struct hold *before, int64_t now_ns)
{
	if (o->start_ns > now_ns)
		now_ns = o->start_ns;
	if (now_ns > o->end_ns) {
		complain(t, "it comes too late: what has to come before it came after", o, before ? before->grant : NULL);
		return o->end_ns;
	}
	return now_ns;
}

/* The holder was not answered a release: the earliest moment at which the lock may have been free again. */
static int64_t lost_earliest(struct tokens *t, const struct hold *hold, int64_t now_ns)
{
	const struct operation *loss = hold->loss;
	int64_t told_ns = loss ? loss->end_ns : NEVER;

	if (may_have_lapsed(t, hold->grant->host, now_ns, told_ns))
		return now_ns;
	if (!loss)
		return NEVER;
	if (loss->error == ESTALE)
		complain(t, "lost, and nothing had happened to the session", loss, hold->grant);
	return loss->start_ns > now_ns ? loss->start_ns : now_ns;
}

static void walk_forwards(struct tokens *t)
{
	int64_t now_ns = INT64_MIN;

	for (size_t i = 0; i < t->hold_count; i++) {
		struct hold *hold = &t->holds[i], *before = i ? hold - 1 : NULL;

		if (now_ns == NEVER)
			complain(t, "two holders: the first was never told that it is none any more", before->grant, hold->grant);
		now_ns = place(t, hold->grant, before, now_ns == NEVER ? INT64_MIN : now_ns);
		hold->grant_earliest_ns = now_ns;
		for (size_t k = 0; k < hold->check_count; k++)
			now_ns = place(t, hold->checks[k], hold, now_ns);
		now_ns = hold->release ? place(t, hold->release, hold, now_ns) : lost_earliest(t, hold, now_ns);
	}
}

static int64_t earlier(int64_t x, int64_t y) { return x < y ? x : y; }

static void walk_backwards(struct tokens *t)
{
	int64_t next_ns = NEVER;

	for (size_t i = t->hold_count; i-- > 0;) {
		struct hold *hold = &t->holds[i];

		hold->end_latest_ns = earlier(next_ns, hold->release ? hold->release->end_ns : NEVER);
		next_ns = hold->end_latest_ns;
		for (size_t k = hold->check_count; k-- > 0;)
			next_ns = earlier(next_ns, hold->checks[k]->end_ns);
		next_ns = earlier(next_ns, hold->grant->end_ns);
	}
}

/* ---- refusals ---- */

/* The refusal in the time in which the lock was free for certain that ended first; NULL: none. Operations before *from
 * started too early, for this gap and all later ones. */
static const struct operation *first_refusal(const struct tokens *t, int64_t free_ns, int64_t taken_ns, size_t *from)
{
	const struct operation *first = NULL;

	while (*from < t->count && t->operations[*from]->start_ns <= free_ns)
		++*from;
	for (size_t i = *from; i < t->count && t->operations[i]->start_ns < taken_ns; i++) {
		const struct operation *o = t->operations[i];

		if (o->verb == VERB_ACQUIRE && o->error == EAGAIN && o->end_ns < taken_ns && (!first || o->end_ns < first->end_ns))
			first = o;
	}
	return first;
}

/* A refusal in a gap needs a ghost. Each ghost held the lock at most once, from its start on, and was gone before the next
 * grant: it serves one gap. */
static void check_gap(struct tokens *t, const struct operation *refusal, size_t *ghosts_used)
{
	size_t ghosts = 0;

	while (ghosts < t->ghost_count && t->ghosts[ghosts]->start_ns <= refusal->end_ns)
		ghosts++;
	if (ghosts <= *ghosts_used)
		complain(t, "refused, and nobody can have held it", refusal, NULL);
	++*ghosts_used;
}

static void check_refusals(struct tokens *t)
{
	size_t ghosts_used = 0, from = 0;

	for (size_t i = 0; i <= t->hold_count; i++) {
		int64_t free_ns = i > 0 ? t->holds[i - 1].end_latest_ns : INT64_MIN;
		int64_t taken_ns = i < t->hold_count ? t->holds[i].grant_earliest_ns : NEVER;
		const struct operation *refusal = first_refusal(t, free_ns, taken_ns, &from);

		if (refusal)
			check_gap(t, refusal, &ghosts_used);
	}
}

enum verdict tokens_check(const struct history *h, const struct operation *const *operations, size_t count,
			  const struct lapse *lapses, size_t lapse_count, FILE *out)
{
	struct tokens t = {h, operations, count, lapses, lapse_count, .out = out};

	t.holds = must(calloc(count + 1, sizeof *t.holds));
	t.ghosts = must(calloc(count + 1, sizeof *t.ghosts));
	gather_grants(&t);
	gather_rest(&t);
	walk_forwards(&t);
	walk_backwards(&t);
	check_refusals(&t);
	for (size_t i = 0; i < t.hold_count; i++)
		free(t.holds[i].checks);
	free(t.holds);
	free(t.ghosts);
	return t.wrong ? VERDICT_WRONG : VERDICT_RIGHT;
}
