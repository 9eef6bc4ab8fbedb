/* ReadIndex: see readindex.h for why it is right. */
#include "replica/readindex.h"

#include <stdlib.h>

#include "base/error.h"

/* ---- the leader's half ----
 *
 * One round at a time. It begins when a request waits and the leader is settled: it notes the commit index, takes all
 * that wait, and ends when a majority has answered its nonce with its term. It asks no more than it needs, those first
 * that answered last, and all the others when a tick finds it still waiting: answers that nobody needs cost the members
 * as much as those that count. */

struct request {
	struct request *next;
	uint64_t from, nonce, session, since_ms;
};

struct requests {
	struct request *first, **last;
};

struct voter {
	uint64_t id;
	bool asked, answered; /* in this round */
	uint64_t answered_round; /* the last one in which it did */
};

struct prober {
	struct probe_port port;
	uint64_t self;
	bool leads, settled;
	uint64_t term, commit;
	struct voter *voters;
	size_t voter_count;
	struct requests waiting, asked;
	size_t count; /* of both */
	bool active;  /* a round is under way */
	uint64_t nonce, index; /* of the round */
	uint64_t probed_ms, now_ms;
	uint64_t asked_ms; /* the newest request */
	bool has_dropped;  /* old ones, which are asked again, since somebody was answered */
	uint64_t idle_ms;  /* when nobody waited, or somebody was answered */
	uint64_t rounds;
};

static void requests_clear(struct requests *list)
{
	list->first = NULL;
	list->last = &list->first;
}

/* All of `from`, after what is in `to`. */
static void requests_move(struct requests *to, struct requests *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	requests_clear(from);
}

struct prober *prober_new(const struct probe_port *port, uint64_t self)
{
	struct prober *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->port = *port;
	p->self = self;
	requests_clear(&p->waiting);
	requests_clear(&p->asked);
	return p;
}

static void requests_free(struct prober *p, struct requests *list)
{
	struct request *q;

	while ((q = list->first)) {
		list->first = q->next;
		free(q);
		p->count--;
	}
	requests_clear(list);
}

void prober_free(struct prober *p)
{
	if (!p)
		return;
	requests_free(p, &p->waiting);
	requests_free(p, &p->asked);
	free(p->voters);
	free(p);
}

/* The list is detached first: an answer may bring the next request. */
static void answer_all(struct prober *p, struct requests *list, uint64_t index, int code)
{
	struct request *q = list->first, *next;

	requests_clear(list);
	for (; q; q = next) {
		struct request r = *q;

		next = q->next;
		free(q);
		p->count--;
		p->port.answer(p->port.ctx, r.from, r.nonce, r.session, index, code);
	}
}

static bool majority(const struct prober *p)
{
	size_t answered = 0;

	for (size_t i = 0; i < p->voter_count; i++)
		answered += p->voters[i].answered || p->voters[i].id == p->self;
	return answered > p->voter_count / 2;
}

static void probe(struct prober *p, struct voter *v)
{
	v->asked = true;
	p->port.probe(p->port.ctx, v->id, p->nonce, p->term);
}

static void probe_rest(struct prober *p)
{
	p->probed_ms = p->now_ms;
	for (size_t i = 0; i < p->voter_count; i++)
		if (!p->voters[i].answered && p->voters[i].id != p->self)
			probe(p, &p->voters[i]);
}

/* Of those that were not asked yet, the one that answered last. */
static struct voter *likeliest(struct prober *p)
{
	struct voter *best = NULL;

	for (size_t i = 0; i < p->voter_count; i++) {
		struct voter *v = &p->voters[i];

		if (!v->asked && v->id != p->self && (!best || v->answered_round > best->answered_round))
			best = v;
	}
	return best;
}

static void probe_majority(struct prober *p)
{
	size_t expected = 0;
	struct voter *v;

	p->probed_ms = p->now_ms;
	for (size_t i = 0; i < p->voter_count; i++)
		expected += p->voters[i].id == p->self;
	for (; expected <= p->voter_count / 2 && (v = likeliest(p)); expected++)
		probe(p, v);
}

static bool all_asked(struct prober *p)
{
	return !likeliest(p);
}

static void round_begin(struct prober *p)
{
	requests_move(&p->asked, &p->waiting);
	p->active = true;
	p->index = p->commit;
	p->nonce++;
	p->rounds++;
	for (size_t i = 0; i < p->voter_count; i++)
		p->voters[i].asked = p->voters[i].answered = false;
	probe_majority(p);
}

/* End the round if it has its majority, begin the next one if someone waits. */
static void go_on(struct prober *p)
{
	while (p->leads && p->settled) {
		if (p->active && !majority(p))
			return;
		if (p->active) {
			p->active = false;
			p->idle_ms = p->now_ms;
			p->has_dropped = false;
			answer_all(p, &p->asked, p->index, OK);
		}
		if (p->active || !p->waiting.first)
			return;
		round_begin(p);
	}
}

/* The round is void; its requests wait for another one, before the others. */
static void round_cancel(struct prober *p)
{
	requests_move(&p->asked, &p->waiting);
	requests_move(&p->waiting, &p->asked);
	p->active = false;
}

static struct voter voter_of(const struct prober *p, uint64_t id)
{
	for (size_t i = 0; i < p->voter_count; i++)
		if (p->voters[i].id == id)
			return p->voters[i];
	return (struct voter){.id = id};
}

/* No memory: there are no voters, and so no majority, until the next call. */
static void set_voters(struct prober *p, const uint64_t *ids, size_t count)
{
	struct voter *voters = calloc(count + 1, sizeof *voters);

	for (size_t i = 0; voters && i < count; i++)
		voters[i] = voter_of(p, ids[i]);
	free(p->voters);
	p->voters = voters;
	p->voter_count = voters ? count : 0;
}

void prober_set(struct prober *p, const struct leadership *now)
{
	bool same = p->leads && now->leads && p->term == now->term;

	p->leads = now->leads;
	p->settled = now->settled;
	p->term = now->term;
	if (!same)
		round_cancel(p);
	set_voters(p, now->voters, now->voter_count);
	if (!p->leads)
		answer_all(p, &p->waiting, 0, ERR_NO_QUORUM);
	else if (p->active)
		probe_rest(p);
	go_on(p);
}

void prober_set_commit(struct prober *p, uint64_t commit_index)
{
	p->commit = commit_index;
}

void prober_request(struct prober *p, uint64_t from, uint64_t nonce, uint64_t session, uint64_t now_ms)
{
	struct request *q;

	p->now_ms = now_ms;
	if (!p->leads) {
		p->port.answer(p->port.ctx, from, nonce, session, 0, ERR_NO_QUORUM);
		return;
	}
	if (p->count == 0 && (!p->has_dropped || now_ms - p->asked_ms > REQUEST_MS))
		p->idle_ms = now_ms;
	p->asked_ms = now_ms;
	if (p->count >= PROBER_REQUESTS_MAX || !(q = malloc(sizeof *q)))
		return;
	*q = (struct request){.from = from, .nonce = nonce, .session = session, .since_ms = now_ms};
	*p->waiting.last = q;
	p->waiting.last = &q->next;
	p->count++;
	go_on(p);
}

void prober_result(struct prober *p, uint64_t voter, uint64_t nonce, uint64_t term, uint64_t now_ms)
{
	p->now_ms = now_ms;
	if (!p->active || nonce != p->nonce || term != p->term)
		return;
	for (size_t i = 0; i < p->voter_count; i++)
		if (p->voters[i].id == voter) {
			p->voters[i].answered = true;
			p->voters[i].answered_round = p->rounds;
		}
	go_on(p);
}

/* In order of age. */
static void drop_old(struct prober *p, struct requests *list)
{
	struct request *q;

	while ((q = list->first) && p->now_ms - q->since_ms > REQUEST_MS) {
		list->first = q->next;
		free(q);
		p->count--;
		p->has_dropped = true;
	}
	if (!list->first)
		requests_clear(list);
}

void prober_tick(struct prober *p, uint64_t now_ms)
{
	p->now_ms = now_ms;
	drop_old(p, &p->asked);
	drop_old(p, &p->waiting);
	if (!p->asked.first)
		p->active = false;
	if (p->active && (now_ms - p->probed_ms >= PROBE_AGAIN_MS || !all_asked(p)))
		probe_rest(p);
	go_on(p);
}

uint64_t prober_waits_ms(const struct prober *p, struct probe_state *out)
{
	*out = (struct probe_state){.settled = p->settled, .voters = p->voter_count};
	for (size_t i = 0; i < p->voter_count; i++)
		out->answered += p->voters[i].answered || p->voters[i].id == p->self;
	return p->leads && p->count && p->now_ms > p->idle_ms ? p->now_ms - p->idle_ms : 0;
}

bool prober_busy(const struct prober *p)
{
	return p->count > 0;
}

uint64_t prober_rounds(const struct prober *p)
{
	return p->rounds;
}

/* ---- the reader's half ----
 *
 *   waiting → asked: the leader was sent a request after they came → known: they wait for an index to be applied
 *
 * One request is under way at a time. When it is sent again it has a new nonce, and an answer to any of them will do:
 * each was sent after the reads came. The list of `known` is in order of index: one that came out of order waits a
 * little longer. */

struct read {
	struct read *next;
	void (*ready)(void *ctx, int code);
	void *ctx;
	uint64_t since_ms, index;
};

struct reads {
	struct read *first, **last;
};

struct reader {
	struct reader_port port;
	unsigned timeout_ms;
	uint64_t leader;
	uint64_t leaderless_ms; /* since when there is none; 0: there is one, or there was none yet */
	struct reads waiting, asked, known;
	uint64_t nonce, first_nonce; /* of those asked: the newest, the first */
	uint64_t asked_ms;
	bool again; /* what was asked last has no answer to come */
	uint64_t applied, known_max; /* known_max: the highest index in `known` */
	uint64_t news_ms, news_index, current_ms; /* reader_news: what waits to be applied (0: nothing), what was */
	struct read *spare; /* so that running out of memory can be said */
};

static void reads_clear(struct reads *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void reads_move(struct reads *to, struct reads *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	reads_clear(from);
}

struct reader *reader_new(const struct reader_port *port, unsigned timeout_ms, uint64_t seed)
{
	struct reader *r = calloc(1, sizeof *r);

	if (!r || !(r->spare = malloc(sizeof *r->spare))) {
		free(r);
		return NULL;
	}
	r->port = *port;
	r->timeout_ms = timeout_ms;
	r->nonce = seed & ~1ull;
	reads_clear(&r->waiting);
	reads_clear(&r->asked);
	reads_clear(&r->known);
	return r;
}

static void reads_free(struct reads *list)
{
	struct read *q;

	while ((q = list->first)) {
		list->first = q->next;
		free(q);
	}
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	reads_free(&r->waiting);
	reads_free(&r->asked);
	reads_free(&r->known);
	free(r->spare);
	free(r);
}

/* The first of the list is told. */
static void tell(struct reader *r, struct reads *list, int code)
{
	struct read *q = list->first, told = *q;

	list->first = q->next;
	if (!list->first)
		reads_clear(list);
	if (r->spare)
		free(q);
	else
		r->spare = q;
	told.ready(told.ctx, code);
}

static void ask(struct reader *r, uint64_t now_ms)
{
	r->nonce += 2;
	r->asked_ms = now_ms;
	r->again = !r->port.request(r->port.ctx, r->leader, r->nonce);
}

static void ask_for_waiting(struct reader *r, uint64_t now_ms)
{
	if (!r->leader || r->asked.first || !r->waiting.first)
		return;
	reads_move(&r->asked, &r->waiting);
	r->first_nonce = r->nonce + 2;
	ask(r, now_ms);
}

void reader_set_leader(struct reader *r, uint64_t leader, uint64_t now_ms)
{
	if (r->leader == leader)
		return;
	r->leader = leader;
	r->leaderless_ms = leader ? 0 : now_ms;
	if (leader && r->asked.first)
		ask(r, now_ms);
	ask_for_waiting(r, now_ms);
}

void reader_add(struct reader *r, void (*ready)(void *ctx, int code), void *ctx, uint64_t now_ms)
{
	struct read *q = malloc(sizeof *q);

	if (!q) {
		q = r->spare;
		r->spare = NULL;
	}
	if (!q)
		abort(); /* no memory to say that there is no memory */
	*q = (struct read){.ready = ready, .ctx = ctx, .since_ms = now_ms};
	*r->waiting.last = q;
	r->waiting.last = &q->next;
	ask_for_waiting(r, now_ms);
}

static void tell_known(struct reader *r)
{
	while (r->known.first && r->known.first->index <= r->applied)
		tell(r, &r->known, OK);
}

static void asked_is_known(struct reader *r, uint64_t index)
{
	if (r->known.first && index < r->known_max)
		index = r->known_max;
	r->known_max = index;
	for (struct read *q = r->asked.first; q; q = q->next)
		q->index = index;
	reads_move(&r->known, &r->asked);
}

/* One answer is kept until it is applied: a newer one may never be, when this member lags. */
static void news_applied(struct reader *r)
{
	if (!r->news_ms || r->news_index > r->applied)
		return;
	if (r->news_ms > r->current_ms)
		r->current_ms = r->news_ms;
	r->news_ms = 0;
}

void reader_news(struct reader *r, uint64_t sent_ms, uint64_t index)
{
	if (r->news_ms && index > r->applied)
		return;
	if (r->news_ms < sent_ms) {
		r->news_ms = sent_ms;
		r->news_index = index;
	}
	news_applied(r);
}

uint64_t reader_current_ms(const struct reader *r)
{
	return r->current_ms;
}

void reader_result(struct reader *r, uint64_t nonce, uint64_t index, int code, uint64_t now_ms)
{
	if (!r->asked.first || nonce % 2 || nonce - r->first_nonce > r->nonce - r->first_nonce)
		return;
	if (code != OK) {
		r->again = r->again || nonce == r->nonce;
		return;
	}
	if (nonce == r->nonce)
		reader_news(r, r->asked_ms, index);
	asked_is_known(r, index);
	ask_for_waiting(r, now_ms);
	tell_known(r);
}

void reader_applied(struct reader *r, uint64_t index)
{
	r->applied = index;
	news_applied(r);
	tell_known(r);
}

static void expire(struct reader *r, struct reads *list, uint64_t now_ms)
{
	while (list->first && now_ms - list->first->since_ms > r->timeout_ms)
		tell(r, list, ERR_NO_QUORUM);
}

void reader_tick(struct reader *r, uint64_t now_ms)
{
	expire(r, &r->known, now_ms);
	expire(r, &r->asked, now_ms);
	expire(r, &r->waiting, now_ms);
	if (r->leaderless_ms && now_ms - r->leaderless_ms > r->timeout_ms)
		reader_fail(r, ERR_NO_QUORUM);
	if (r->leader && r->asked.first && (r->again || now_ms - r->asked_ms >= ASK_AGAIN_MS))
		ask(r, now_ms);
	ask_for_waiting(r, now_ms);
}

void reader_fail(struct reader *r, int code)
{
	struct reads all;

	reads_clear(&all);
	reads_move(&all, &r->known);
	reads_move(&all, &r->asked);
	reads_move(&all, &r->waiting);
	while (all.first)
		tell(r, &all, code);
}

bool reader_busy(const struct reader *r)
{
	return r->waiting.first || r->asked.first || r->known.first;
}
