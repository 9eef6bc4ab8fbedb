/* Two members whose digests differ, and who cannot tell by versions what the other lacks, find out by asking: the hashes of
 * all places are divided by their first 8 bits, each part by the next 8, and so on. Who lacks something asks for the
 * digests of the parts, then of the parts of those that differ, until the other one names the places in a part, of which
 * there are few. Then it asks for what is known of those that differ. So what two equal parts hold is not told, and of a
 * million places among which one differs three kilobytes or so are told.
 *
 * Only who asks remembers anything: what is still to be asked for. One message is on its way at a time; the answer tells
 * what it answers, so that whatever is lost is asked again. What changes meanwhile bears a version higher than that of the
 * first answer, and is told as usual, afterwards. A late answer of a former round is dropped; while a round goes on nothing
 * counts as settled, and so nothing is forgotten (collect.c) that an answer may still bring.
 *
 * Who has less than half as many places as the other one has it all told instead. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "gossip/peer.h"

#define FEW 64u		/* places: they are told rather than asked for */
#define NAMED_MAX 128u	/* places in one range */
#define RANGES_MAX 16u	/* in one message */
#define PLACES_MAX 256u

/* ---- numbers ---- */

static bool add(struct numbers *n, uint64_t number)
{
	if (n->count == n->capacity) {
		size_t capacity = n->capacity * 2 + 64;
		uint64_t *list = realloc(n->list, capacity * sizeof *list);

		if (!list)
			return false;
		n->list = list;
		n->capacity = capacity;
	}
	n->list[n->count++] = number;
	return true;
}

/* Of the last `within`. False: it is not there. */
static bool take(struct numbers *n, uint64_t number, size_t within)
{
	for (size_t i = n->count; i > 0 && n->count - i < within; i--)
		if (n->list[i - 1] == number) {
			memmove(n->list + i - 1, n->list + i, (n->count - i) * sizeof *n->list);
			n->count--;
			return true;
		}
	return false;
}

static size_t last(struct numbers *n, size_t most, uint64_t **out)
{
	size_t count = n->count < most ? n->count : most;

	*out = n->list + (n->count - count);
	return count;
}

/* ---- asking ---- */

void compare_end(struct peer *p)
{
	free(p->compare.ranges.list);
	free(p->compare.places.list);
	p->compare = (struct compare){0};
}

static void ask(struct gossip *g, struct peer *p)
{
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipAsk a = COORDFS__GOSSIP_ASK__INIT;

	a.incarnation = p->incarnation;
	a.round = p->compare.round;
	if (p->compare.ranges.count)
		a.n_ranges = last(&p->compare.ranges, RANGES_MAX, &a.ranges);
	if (p->compare.places.count)
		a.n_places = last(&p->compare.places, PLACES_MAX, &a.places);
	message.of_case = COORDFS__GOSSIP__OF_ASK;
	message.ask = &a;
	peer_post(g, p, &message);
}

static bool is_through(const struct compare *c)
{
	return c->ranges.count == 0 && c->places.count == 0;
}

void compare_run(struct gossip *g, struct peer *p, uint64_t now_ms)
{
	struct compare *c = &p->compare;

	if (!c->round || c->ends || (c->asked_ms && now_ms - c->asked_ms < RESEND * g->config.news_ms))
		return;
	c->asked_ms = now_ms;
	if (!is_through(c)) {
		ask(g, p);
		return;
	}
	c->ends = true;
	if (!sync_arrive(g, p, 0, c->version, c->round))
		c->ends = false; /* no memory: later */
}

void compare_consider(struct gossip *g, struct peer *p, const Coordfs__GossipNews *news)
{
	if (p->compare.round || p->compares == COMPARES_NEVER || p->have > 0)
		return;
	if (news->records < FEW || g->tree.records < news->records / 2)
		return;
	if (!add(&p->compare.ranges, RANGE_ALL))
		return;
	p->compare.round = ++g->sync.round | 1;
	p->wants_news = true;
	compare_run(g, p, uv_now(g->loop));
}

/* ---- answering ---- */

struct naming {
	uint64_t pairs[2 * NAMED_MAX];
	size_t count;
};

static bool name_one(void *ctx, const struct node *n)
{
	struct naming *l = ctx;

	if (l->count == NAMED_MAX)
		return false;
	l->pairs[2 * l->count] = htole64(n->hash);
	l->pairs[2 * l->count++ + 1] = htole64(n->durable->hash);
	return true;
}

/* What stands in an answer, owned. */
struct answer {
	Coordfs__GossipAnswer message;
	Coordfs__GossipRange ranges[RANGES_MAX], *range_list[RANGES_MAX];
	uint64_t digests[RANGES_MAX][TREE_BUCKETS]; /* or pairs */
	uint64_t places[PLACES_MAX];
	Coordfs__GossipRecord records[PLACES_MAX], *record_list[PLACES_MAX];
	char paths[PLACES_MAX][LIMIT_PATH_BYTES + 1];
	size_t bytes;
};

static void answer_range(const struct tree *t, struct answer *a, uint64_t range)
{
	size_t i = a->message.n_ranges;
	Coordfs__GossipRange *out = &a->ranges[i];
	struct naming named = {.count = 0};

	if (!range_is_valid(range))
		return;
	coordfs__gossip_range__init(out);
	out->range = range;
	if (tree_each(t, range, name_one, &named)) {
		memcpy(a->digests[i], named.pairs, named.count * 2 * sizeof *named.pairs);
		out->places = (ProtobufCBinaryData){named.count * 2 * sizeof *named.pairs, (uint8_t *)a->digests[i]};
	} else {
		tree_digests(t, range, a->digests[i]);
		for (size_t k = 0; k < TREE_BUCKETS; k++)
			a->digests[i][k] = htole64(a->digests[i][k]);
		out->digests = (ProtobufCBinaryData){sizeof a->digests[i], (uint8_t *)a->digests[i]};
	}
	a->range_list[a->message.n_ranges++] = out;
}

static void answer_place(const struct tree *t, struct answer *a, uint64_t place)
{
	const struct node *n = tree_by_hash(t, place);

	a->places[a->message.n_places++] = place;
	for (; n; n = n->chain) {
		size_t i = a->message.n_records;

		if (n->hash != place || !n->durable || i == PLACES_MAX)
			continue;
		peer_record(n, &a->records[i], a->paths[i]);
		a->record_list[a->message.n_records++] = &a->records[i];
		a->bytes += a->records[i].path.len + a->records[i].state.len;
	}
}

static void fill(const struct gossip *g, struct answer *a, const Coordfs__GossipAsk *ask)
{
	a->bytes = 0;
	coordfs__gossip_answer__init(&a->message);
	a->message.incarnation = g->sync.incarnation;
	a->message.round = ask->round;
	a->message.version = g->tree.version;
	a->message.ranges = a->range_list;
	a->message.places = a->places;
	a->message.records = a->record_list;
	for (size_t i = 0; i < ask->n_ranges && i < RANGES_MAX; i++)
		answer_range(&g->tree, a, ask->ranges[i]);
	for (size_t i = 0; i < ask->n_places && i < PLACES_MAX && a->bytes < MESSAGE_BYTES; i++)
		answer_place(&g->tree, a, ask->places[i]);
}

void compare_take_ask(struct gossip *g, struct peer *p, const Coordfs__GossipAsk *ask)
{
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	struct answer *a = ask->incarnation == g->sync.incarnation ? malloc(sizeof *a) : NULL;

	if (!a)
		return; /* it asks again */
	fill(g, a, ask);
	message.of_case = COORDFS__GOSSIP__OF_ANSWER;
	message.answer = &a->message;
	peer_post(g, p, &message);
	free(a);
}

/* ---- what was answered ---- */

static uint64_t number_at(const ProtobufCBinaryData *data, size_t i)
{
	uint64_t n;

	memcpy(&n, data->data + i * sizeof n, sizeof n);
	return le64toh(n);
}

static bool take_digests(const struct tree *t, struct compare *c, const Coordfs__GossipRange *r)
{
	uint64_t mine[TREE_BUCKETS];

	if (r->digests.len != sizeof mine || r->range >> 56) /* there is nothing below */
		return true;
	tree_digests(t, r->range, mine);
	for (size_t i = 0; i < TREE_BUCKETS; i++)
		if (mine[i] != number_at(&r->digests, i) && !add(&c->ranges, r->range << 8 | i))
			return false;
	return true;
}

static bool is_known(const struct tree *t, uint64_t place, uint64_t hash)
{
	for (const struct node *n = tree_by_hash(t, place); n; n = n->chain)
		if (n->hash == place && n->durable && n->durable->hash == hash)
			return true;
	return false;
}

static bool take_places(const struct tree *t, struct compare *c, const Coordfs__GossipRange *r)
{
	if (r->places.len > 2 * NAMED_MAX * sizeof(uint64_t))
		return true;
	for (size_t i = 0; i + 2 <= r->places.len / sizeof(uint64_t); i += 2)
		if (!is_known(t, number_at(&r->places, i), number_at(&r->places, i + 1)) &&
		    !add(&c->places, number_at(&r->places, i)))
			return false;
	return true;
}

/* False: no memory. */
static bool take_ranges(const struct tree *t, struct compare *c, const Coordfs__GossipAnswer *a)
{
	for (size_t i = 0; i < a->n_ranges; i++) {
		const Coordfs__GossipRange *r = a->ranges[i];

		if (!take(&c->ranges, r->range, (i + 1) * TREE_BUCKETS + RANGES_MAX))
			continue;
		if (!take_digests(t, c, r) || !take_places(t, c, r))
			return false;
	}
	return true;
}

static bool take_all(struct gossip *g, struct peer *p, const Coordfs__GossipAnswer *a)
{
	for (size_t i = 0; i < a->n_places; i++)
		take(&p->compare.places, a->places[i], PLACES_MAX);
	for (size_t i = 0; i < a->n_records; i++)
		if (sync_take_record(g, p, a->records[i]) == ERR_NO_MEMORY)
			return false;
	return take_ranges(&g->tree, &p->compare, a);
}

void compare_take_answer(struct gossip *g, struct peer *p, const Coordfs__GossipAnswer *a)
{
	struct compare *c = &p->compare;

	if (!c->round || c->ends || a->round != c->round || a->incarnation != p->incarnation)
		return;
	if (!c->version)
		c->version = a->version;
	c->asked_ms = 0;
	if (take_all(g, p, a))
		compare_run(g, p, uv_now(g->loop));
	else
		compare_end(p); /* it has all told */
}
