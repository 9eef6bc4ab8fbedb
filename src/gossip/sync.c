/* Members tell each other what they know until all know the same.
 *
 * Each member counts the changes of its own disk: a place bears the version at which it last changed here. To each other
 * member goes what changed behind the version up to which that one is known to have everything, in the order of versions,
 * as GossipRecords (since, upto]: all places that changed in between. The receiver joins them, and when they are on its
 * disk and it had everything up to `since` before, it has everything up to `upto`, which it says with GossipNews. What is
 * lost on its way is sent again when nothing was heard for a while. News goes out each second too; so two members that
 * know the same exchange nothing else.
 *
 * With more than NEAR_ALL others that would be a burden (n² messages a second). Then each is in touch with its neighbours
 * only: those 1, 2, 4, 8, … places before and behind it in the ring of all members, from any to any in log n steps. The
 * others are visited one after the other, each few seconds one, whom no broken link between neighbours can cut off so.
 *
 * What was removed is forgotten when all are known to know it (collect.c). So nothing is taken that is older than what its
 * sender has told since: records up to a version that is on the disk already, or of a former incarnation.
 *
 * Versions are of one run of a program, its incarnation; that of a later run is higher. After a restart of either the digests of all that both know tell
 * whether they know the same; if not, each asks for what it lacks (compare.c), or, if that would be most of it, is told
 * everything once: joining twice does no harm.
 *
 * What a member hears from one it tells the others as what it had changed itself: any two that are connected through
 * others come to know the same. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <xxhash.h>

#include "base/limits.h"
#include "gossip/peer.h"

#define SOON_MS 20	 /* changes of one moment go together */
#define SILENT 5	 /* times news_ms: who was not heard for so long gets news only */
#define NEAR_ALL 16	 /* others; of more, those are neighbours that are a power of two away */
#define VISIT 3 / 2	 /* times news_ms: both are like neighbours for so long; */
#define VISITS 4	 /* once in so many times of news */
#define FLIGHT_BYTES (512u << 10)
#define UNEQUAL_MAX 5	 /* news in a row that all is told, and yet the digests differ */
#define RUN_BITS 20	 /* an incarnation is a run's number, which grows, and random bits */
#define LOST_MS 60000	 /* who was not heard for so long may have gone back to an earlier run */

static struct peer *find(const struct gossip *g, uint64_t id)
{
	for (size_t i = 0; i < g->sync.count; i++)
		if (g->sync.peers[i].id == id)
			return &g->sync.peers[i];
	return NULL;
}

/* ---- members ---- */

static int compare_ids(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static bool is_power_of_two(size_t n)
{
	return n && (n & (n - 1)) == 0;
}

/* The ring is that of the numbers, with our own among them. Whose neighbour one is, is one's own. */
static void choose_neighbours(struct peer *peers, size_t count, uint64_t self)
{
	size_t here = 0;

	qsort(peers, count, sizeof *peers, compare_ids);
	while (here < count && peers[here].id < self)
		here++;
	for (size_t i = 0; i < count; i++) {
		size_t behind = i < here ? i + count + 1 - here : i + 1 - here; /* places in the ring */

		peers[i].is_neighbour = count <= NEAR_ALL || is_power_of_two(behind) || is_power_of_two(count + 1 - behind);
	}
}

/* Members come and go once: no two lists in a cluster's life have the same hash. */
static uint64_t hash_members(const struct peer *peers, size_t count, uint64_t self, uint64_t highest)
{
	uint64_t ids[LIMIT_MEMBERS + 1];
	size_t n = 0;

	for (size_t i = 0; i < count && n < LIMIT_MEMBERS; i++) {
		if (peers[i].id > self && (n == 0 || ids[n - 1] < self))
			ids[n++] = self;
		ids[n++] = peers[i].id;
	}
	if (n == 0 || ids[n - 1] < self)
		ids[n++] = self;
	return XXH3_64bits_withSeed(ids, n * sizeof *ids, highest) | 1;
}

static void unsettle(struct peer *p)
{
	p->settled = p->settling = p->settles_at = 0;
}

/* highest 0: we are none. */
static void count_members(struct gossip *g, uint64_t highest)
{
	struct sync *s = &g->sync;
	uint64_t hash = highest ? hash_members(s->peers, s->count, g->config.member, highest) : 0;

	for (size_t i = 0; hash != s->members && i < s->count; i++)
		unsettle(&s->peers[i]);
	s->members = hash;
}

void gossip_set_members(struct gossip *g, const uint64_t *members, size_t n, uint64_t highest)
{
	bool self_too = false;
	struct peer *peers = calloc(n + 1, sizeof *peers), *known;
	size_t count = 0;

	if (!peers)
		return; /* it is told again with the next change of the members */
	for (size_t i = 0; i < n; i++) {
		if (members[i] == g->config.member) {
			self_too = true;
			continue;
		}
		known = find(g, members[i]);
		peers[count++] = known ? *known : (struct peer){.id = members[i]};
		if (known)
			known->compare = (struct compare){0}; /* it has moved */
	}
	choose_neighbours(peers, count, g->config.member);
	sync_fini(g); /* of those that went */
	g->sync.peers = peers;
	g->sync.count = count;
	count_members(g, self_too ? highest : 0);
	gossip_kick(g);
	sync_soon(g);
}

bool gossip_is_converged(const struct gossip *g, const struct node *n)
{
	if (n->dirty || n->staged)
		return false;
	for (size_t i = 0; i < g->sync.count; i++)
		if (g->sync.peers[i].acked < n->version)
			return false;
	return true;
}

/* ---- telling ---- */

static uint64_t digest(const struct tree *t)
{
	uint64_t all = 0;

	for (size_t i = 0; i < TREE_BUCKETS; i++)
		all ^= t->buckets[i];
	return all;
}

bool peer_post(struct gossip *g, const struct peer *p, Coordfs__Gossip *message)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;

	e.of_case = COORDFS__ENVELOPE__OF_GOSSIP;
	e.gossip = message;
	if (!g->config.send || !g->config.send(g->config.ctx, p->id, &e))
		return false;
	g->sync.messages_sent++;
	g->sync.sent_bytes += coordfs__gossip__get_packed_size(message);
	return true;
}

static void send_news(struct gossip *g, struct peer *p)
{
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipNews news = COORDFS__GOSSIP_NEWS__INIT;

	news.incarnation = g->sync.incarnation;
	news.version = g->tree.version;
	news.your_incarnation = p->incarnation;
	news.your_version = p->have;
	news.digest = digest(&g->tree);
	news.living = g->tree.living;
	news.members = g->sync.members;
	news.compares = p->compare.round ? COMPARES_NOW : COMPARES_NOT;
	news.records = g->tree.records;
	message.of_case = COORDFS__GOSSIP__OF_NEWS;
	message.news = &news;
	p->wants_news = !peer_post(g, p, &message);
}

/* The first place that changed behind what was sent; NULL: none. Of a million places that are told one after the other the
 * next one must be near: behind the last one. Else what changed last is looked at first. */
static struct node *changed_behind(const struct tree *t, const struct peer *p)
{
	uint64_t version = p->sent;
	struct node *n = t->by_version ? t->by_version->older : NULL; /* the list's end */

	if (!n || n->version <= version)
		return NULL;
	if (p->last && p->last_freed == t->freed && p->last->durable && p->last->version == version)
		return p->last->newer;
	while (n != t->by_version && n->older->version > version)
		n = n->older;
	return n;
}

struct parcel {
	Coordfs__GossipRecord *records, **list;
	char *paths; /* one behind the other */
	size_t path_bytes, count, bytes;
	uint64_t upto;
	const struct node *last;
};

enum { PARCEL_COUNT = 256 };

static void parcel_fini(struct parcel *p)
{
	free(p->records);
	free(p->list);
	free(p->paths);
}

static bool parcel_init(struct parcel *p)
{
	*p = (struct parcel){.records = calloc(PARCEL_COUNT, sizeof *p->records)};
	p->list = calloc(PARCEL_COUNT, sizeof *p->list);
	p->paths = malloc(MESSAGE_BYTES + PARCEL_COUNT + LIMIT_PATH_BYTES + 1); /* the last record may be beyond */
	if (p->records && p->list && p->paths)
		return true;
	parcel_fini(p);
	return false;
}

void peer_record(const struct node *n, Coordfs__GossipRecord *r, char path[])
{
	coordfs__gossip_record__init(r);
	r->root = node_path(n, path);
	r->path.data = (uint8_t *)path;
	r->path.len = strlen(path);
	r->state.data = n->durable->data;
	r->state.len = n->durable->size;
}

static void parcel_add(struct parcel *p, const struct node *n)
{
	Coordfs__GossipRecord *r = &p->records[p->count];

	peer_record(n, r, p->paths + p->path_bytes);
	p->path_bytes += r->path.len + 1;
	p->list[p->count++] = r;
	p->bytes += r->path.len + r->state.len + 16;
	p->upto = n->version;
	p->last = n;
}

static bool send_parcel(struct gossip *g, struct peer *p, const struct parcel *parcel)
{
	Coordfs__Gossip message = COORDFS__GOSSIP__INIT;
	Coordfs__GossipRecords records = COORDFS__GOSSIP_RECORDS__INIT;

	records.incarnation = g->sync.incarnation;
	records.since = p->sent;
	records.upto = parcel->upto;
	records.n_records = parcel->count;
	records.records = parcel->list;
	message.of_case = COORDFS__GOSSIP__OF_RECORDS;
	message.records = &records;
	if (!peer_post(g, p, &message))
		return false;
	p->sent = parcel->upto;
	p->last = parcel->last;
	p->last_freed = g->tree.freed;
	p->sent_bytes += parcel->bytes;
	return true;
}

/* False: nothing more can go now. Of the last versions nothing may be left: then it is told that there is nothing. */
static bool send_some(struct gossip *g, struct peer *p)
{
	struct node *n = changed_behind(&g->tree, p);
	struct parcel parcel = {.count = 0};
	bool went;

	if (p->sent >= g->tree.version || p->sent_bytes > FLIGHT_BYTES || (n && !parcel_init(&parcel)))
		return false;
	for (; n && parcel.count < PARCEL_COUNT && parcel.bytes < MESSAGE_BYTES; n = n->newer)
		parcel_add(&parcel, n);
	if (!n)
		parcel.upto = g->tree.version;
	went = send_parcel(g, p, &parcel);
	parcel_fini(&parcel);
	return went;
}

static bool is_silent(const struct gossip *g, const struct peer *p, uint64_t now_ms)
{
	return !p->incarnation || now_ms - p->heard_ms > SILENT * g->config.news_ms;
}

/* Who has just started decides first whether it wants all. */
static bool is_listening(const struct peer *p)
{
	return p->compares == COMPARES_NEVER || (p->compares == COMPARES_NOT && p->heard_us);
}

static void tell(struct gossip *g, struct peer *p, uint64_t now_ms)
{
	bool silent = is_silent(g, p, now_ms);

	if (p->sent > p->acked && (silent || now_ms - p->progress_ms > RESEND * g->config.news_ms)) {
		p->sent = p->acked;
		p->sent_bytes = 0;
	}
	if (p->sent == p->acked)
		p->progress_ms = now_ms;
	if (!silent)
		compare_run(g, p, now_ms);
	while (!silent && is_listening(p) && send_some(g, p))
		;
}

/* Not again for so long: a visit that answers a visit would be answered for ever. */
static bool visit(struct peer *p, uint64_t now_ms, uint64_t pause_ms)
{
	if (p->is_neighbour || (p->visit_ms && now_ms - p->visit_ms < pause_ms))
		return false;
	p->visit_ms = now_ms;
	return true;
}

static bool is_near(const struct gossip *g, const struct peer *p, uint64_t now_ms)
{
	return p->is_neighbour || (p->visit_ms && now_ms - p->visit_ms < g->config.news_ms * VISIT);
}

static void visit_next(struct gossip *g, uint64_t now_ms)
{
	struct sync *s = &g->sync;

	for (size_t i = 0; i < s->count; i++)
		if (visit(&s->peers[s->turn++ % s->count], now_ms, s->count * VISITS * g->config.news_ms))
			return;
}

static void on_time(uv_timer_t *timer)
{
	struct gossip *g = timer->data;
	uint64_t now_ms = uv_now(g->loop);
	bool news = now_ms - g->sync.news_ms >= g->config.news_ms;

	if (news) {
		g->sync.news_ms = now_ms;
		if (++g->sync.news % VISITS == 0)
			visit_next(g, now_ms);
	}
	for (size_t i = 0; g->counted && i < g->sync.count; i++) {
		struct peer *p = &g->sync.peers[i];

		if (p->wants_news || (news && is_near(g, p, now_ms)))
			send_news(g, p);
		if (is_near(g, p, now_ms))
			tell(g, p, now_ms);
	}
	collect_run(g, now_ms);
	if (g->sync.count > 0 || collect_is_due(g))
		uv_timer_start(timer, on_time, g->config.news_ms, 0);
}

void sync_soon(struct gossip *g)
{
	uv_timer_t *timer = &g->sync.timer;

	if (g->closing || (g->sync.count == 0 && !collect_is_due(g)) || uv_is_closing((uv_handle_t *)timer))
		return;
	if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > SOON_MS)
		uv_timer_start(timer, on_time, SOON_MS, 0);
}

/* ---- hearing ---- */

/* Who has less than we took for certain (equal digests tell one of the two only) is told from there. */
static void acknowledged(struct gossip *g, struct peer *p, uint64_t version)
{
	if (version > g->tree.version || version == p->acked)
		return;
	if (version < p->acked || p->sent <= version) {
		p->sent = version;
		p->sent_bytes = 0;
	}
	p->acked = version;
	p->progress_ms = uv_now(g->loop);
}

/* All is told in both directions, and what exists is not the same: nobody knows how that could be, but telling all again
 * mends it. */
static void check_equal(const struct gossip *g, struct peer *p, const Coordfs__GossipNews *news, bool equal)
{
	bool all_told = p->acked == g->tree.version && p->have == news->version;

	equal |= news->members && news->living == g->tree.living;
	if (equal)
		p->agreed_ms = uv_now(g->loop) | 1;
	p->unequal = all_told && !equal ? p->unequal + 1 : 0;
	if (p->unequal < UNEQUAL_MAX)
		return;
	p->unequal = 0;
	p->have = 0; /* which asks for all of its, or leads to a comparison */
	p->acked = p->sent = p->sent_bytes = 0;
	unsettle(p);
}

/* What it has of ours counts when we have what it had by then. */
static void settle(const struct gossip *g, struct peer *p, const Coordfs__GossipNews *news)
{
	p->members = news->members;
	p->version = news->version > p->version ? news->version : p->version;
	if (!p->members || p->members != g->sync.members) {
		unsettle(p);
		return;
	}
	for (unsigned i = 0; i < 2; i++) { /* the one before, and, if that is settled, this one */
		if (p->settling && p->have >= p->settles_at) {
			p->settled = p->settling;
			p->settling = 0;
		}
		if (!p->settling && p->acked > p->settled) {
			p->settling = p->acked;
			p->settles_at = p->version;
		}
	}
}

uint64_t sync_settled(const struct gossip *g)
{
	uint64_t settled = g->sync.members ? g->tree.version : 0;

	for (size_t i = 0; i < g->sync.count; i++)
		if (g->sync.peers[i].settled < settled)
			settled = g->sync.peers[i].settled;
	return settled;
}

/* A message that was long on its way; unless its directory was replaced by a former state of it. */
static bool is_former(const struct gossip *g, const struct peer *p, uint64_t incarnation)
{
	return incarnation >> RUN_BITS < p->incarnation >> RUN_BITS && uv_now(g->loop) - p->heard_ms < LOST_MS;
}

/* Nothing that was known of it holds of its new run. */
static void begin(struct peer *p, uint64_t incarnation, uint64_t now_ms)
{
	struct peer anew = {.id = p->id, .is_neighbour = p->is_neighbour, .visit_ms = p->visit_ms,
			    .incarnation = incarnation, .progress_ms = now_ms, .agreed_ms = p->agreed_ms,
			    .wants_news = true};

	compare_end(p);
	*p = anew;
}

static void take_versions(struct gossip *g, struct peer *p, const Coordfs__GossipNews *news, bool equal)
{
	if (equal) {
		p->have = news->version > p->have ? news->version : p->have;
		acknowledged(g, p, g->tree.version);
		compare_end(p);
	} else if (news->your_incarnation == g->sync.incarnation) {
		if (news->your_version == 0)
			unsettle(p);
		acknowledged(g, p, news->your_version);
	}
}

/* The log was lost with all that would have told us so, or is an older copy. */
static void check_run(struct gossip *g, const struct peer *p, const Coordfs__GossipNews *news)
{
	if (news->your_incarnation >> RUN_BITS <= g->run || g->sync.is_older)
		return;
	g->sync.is_older = true;
	log_line(g->config.log, LOG_LEVEL_ERROR,
		 "%s: member %" PRIu64 " has heard of a later start of this member: eventual-*.log was lost, or is an older copy, "
		 "and eventual changes may be missing: join anew with an empty directory", g->directory, p->id);
}

static void take_news(struct gossip *g, struct peer *p, const Coordfs__GossipNews *news)
{
	bool equal = news->digest == digest(&g->tree);

	if (!news->incarnation || is_former(g, p, news->incarnation))
		return;
	if (news->incarnation != p->incarnation)
		begin(p, news->incarnation, uv_now(g->loop));
	p->heard_ms = uv_now(g->loop);
	check_run(g, p, news);
	p->compares = news->compares > COMPARES_NOW ? COMPARES_NOT : (enum gossip_compares)news->compares;
	p->heard_us = news->your_incarnation == g->sync.incarnation;
	take_versions(g, p, news, equal);
	check_equal(g, p, news, equal);
	if (!equal)
		compare_consider(g, p, news);
	settle(g, p, news);
	if (visit(p, p->heard_ms, g->sync.count * VISITS * g->config.news_ms / 2)) /* its */
		p->wants_news = true;
	if (p->wants_news || (p->sent < g->tree.version && is_near(g, p, p->heard_ms)))
		sync_soon(g);
}

/* It had ours, and has less now: it has forgotten what was removed before it heard of something older, which was made by a
 * clock that is late. It is told again. */
static int remind(struct gossip *g, const struct peer *p, struct node *n, const struct blob *joined,
		  const struct record *theirs)
{
	struct blob *b;

	if (!n->durable || n->dirty || n->staged || p->acked < n->version || !blob_equal(n->durable, joined))
		return 0;
	b = blob_new(n, theirs);
	if (!b)
		return ERR_NO_MEMORY;
	if (b->living != joined->living)
		tree_touch(&g->tree, n);
	blob_drop(b);
	return 0;
}

/* Joined with what is known here, and on its way to the disk. */
static int learn(struct gossip *g, const struct peer *p, struct node *n, const Coordfs__GossipRecord *r)
{
	struct record mine, theirs;
	struct blob *b;
	int rc;

	record_init(&mine);
	record_init(&theirs);
	rc = record_unpack(r->state.data, r->state.len, &theirs);
	if (!rc && theirs.gone && n->parent)
		rc = ERR_INVALID; /* only a root can be */
	if (!rc && n->current)
		rc = record_unpack(n->current->data, n->current->size, &mine);
	if (!rc)
		rc = record_join(&mine, &theirs);
	if (!rc) {
		struct stamp latest = record_latest(&theirs);

		stamp_seen(&g->clock, &latest);
		b = blob_new(n, &mine);
		rc = b ? remind(g, p, n, b, &theirs) : ERR_NO_MEMORY;
		if (!rc)
			rc = batch_change(g, n, b, NULL, NULL);
		else
			blob_drop(b);
	}
	record_fini(&mine);
	record_fini(&theirs);
	return rc;
}

int sync_take_record(struct gossip *g, const struct peer *p, const Coordfs__GossipRecord *r)
{
	char path[LIMIT_PATH_BYTES + 1] = "";
	const struct gossip_place at = {r->root, path};
	struct node *n;
	int rc;

	if (r->path.len > LIMIT_PATH_BYTES || r->state.len == 0)
		return ERR_INVALID;
	if (r->path.len > 0) /* of a root there is no data */
		memcpy(path, r->path.data, r->path.len);
	rc = strlen(path) == r->path.len ? tree_check_place(&at) : ERR_INVALID;
	if (rc)
		return ERR_INVALID;
	n = tree_make(&g->tree, &at);
	if (!n)
		return ERR_NO_MEMORY;
	rc = n->parent && node_root(n)->gone ? 0 : learn(g, p, n, r);
	tree_prune(&g->tree, n);
	return rc;
}

/* What a member told is on its way to the disk. */
struct arrival {
	struct gossip *g;
	uint64_t member, incarnation, since, upto, round;
};

static void on_arrived(void *ctx, int code)
{
	struct arrival *a = ctx;
	struct peer *p = find(a->g, a->member);

	if (code == 0 && p && p->incarnation == a->incarnation && a->since <= p->have) {
		if (a->upto > p->have)
			p->have = a->upto;
		p->wants_news = true;
		sync_soon(a->g);
	}
	if (p && a->round && a->round == p->compare.round)
		compare_end(p);
	free(a);
}

bool sync_arrive(struct gossip *g, const struct peer *p, uint64_t since, uint64_t upto, uint64_t round)
{
	struct arrival *a = malloc(sizeof *a);

	if (!a)
		return false;
	*a = (struct arrival){g, p->id, p->incarnation, since, upto, round};
	if (batch_is_idle(g)) {
		on_arrived(a, 0);
	} else if (batch_wait(g, on_arrived, a)) {
		free(a);
		return false;
	}
	return true;
}

static void take_records(struct gossip *g, struct peer *p, const Coordfs__GossipRecords *r)
{
	int rc = 0;

	if (!p->incarnation || r->incarnation != p->incarnation)
		return;
	if (r->upto <= p->have) { /* it may be older than what is here, or was forgotten here */
		p->wants_news = true;
		sync_soon(g);
		return;
	}
	for (size_t i = 0; i < r->n_records && rc != ERR_NO_MEMORY; i++)
		rc = sync_take_record(g, p, r->records[i]);
	if (rc != ERR_NO_MEMORY)
		sync_arrive(g, p, r->since, r->upto, 0); /* or it is told again */
}

void gossip_receive(struct gossip *g, uint64_t from, const Coordfs__Envelope *e)
{
	struct peer *p = find(g, from);

	if (!p || g->closing || e->of_case != COORDFS__ENVELOPE__OF_GOSSIP || !e->gossip)
		return;
	g->sync.messages_received++;
	g->sync.received_bytes += coordfs__gossip__get_packed_size(e->gossip);
	switch (e->gossip->of_case) {
	case COORDFS__GOSSIP__OF_NEWS:
		take_news(g, p, e->gossip->news);
		break;
	case COORDFS__GOSSIP__OF_RECORDS:
		take_records(g, p, e->gossip->records);
		break;
	case COORDFS__GOSSIP__OF_ASK:
		compare_take_ask(g, p, e->gossip->ask);
		break;
	case COORDFS__GOSSIP__OF_ANSWER:
		compare_take_answer(g, p, e->gossip->answer);
		break;
	default:
		break;
	}
}

/* ---- what people see ---- */

static uint64_t since(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

void gossip_peer(const struct gossip *g, uint64_t member, struct gossip_peer *out)
{
	const struct peer *p = find(g, member);
	uint64_t now_ms = uv_now(g->loop);

	*out = (struct gossip_peer){.heard = p && p->incarnation};
	if (!out->heard)
		return;
	out->silent_ms = since(now_ms, p->heard_ms);
	out->behind = g->tree.version - p->acked;
	out->agreed = p->agreed_ms != 0;
	out->agreed_ms = out->agreed ? since(now_ms, p->agreed_ms) : 0;
}

/* ---- life ---- */

/* An incarnation is a number that no earlier start had; also where nothing could be written. */
void sync_open(struct gossip *g)
{
	uint64_t random;

	if (uv_random(NULL, NULL, &random, sizeof random, 0, NULL))
		random = uv_hrtime() ^ gossip_clock_ms(g);
	g->sync.incarnation = g->run << RUN_BITS | (random & ((1u << RUN_BITS) - 1));
	g->sync.round = random;
	uv_timer_init(g->loop, &g->sync.timer);
	g->sync.timer.data = g;
}

void sync_fini(struct gossip *g)
{
	for (size_t i = 0; i < g->sync.count; i++)
		compare_end(&g->sync.peers[i]);
	free(g->sync.peers);
}
