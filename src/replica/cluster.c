/* The cluster's members as people see them, and changes of the cluster.
 *
 * Only the leader changes the cluster. Who is asked by a user sends the request to the leader, again and again, until
 * it sees the effect itself (another leader, another role, the member gone), or the leader refuses, or time is over. So
 * a request survives a change of the leader, and the leader keeps nothing of it: what is wished (a role, a removal) is
 * an entry of the log, and the leader's planner (plan.h) makes libraft's configuration follow, one step at a time.
 * Handing over leadership is done at once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"

#define SILENT_MS 3000 /* then a member counts as silent, for people */
#define ASK_MS 500
#define PLAN_MS 250
#define VOTERS 5
#define REPLACE_MS 60000
#define PLAN_LAG_MAX 4096

/* ---- members ---- */

struct round_trip {
	uint64_t id, us;
};

static void find_round_trip(void *ctx, const struct net_peer_state *peer)
{
	struct round_trip *t = ctx;

	if (peer->member == t->id)
		t->us = peer->round_trip_us;
}

static uint64_t round_trip(struct replica *r, uint64_t id)
{
	struct round_trip t = {.id = id};

	if (r->net && !r->net_closing)
		net_peers(r->net, find_round_trip, &t);
	return t.us;
}

static const char *role_text(int role)
{
	return role == RAFT_VOTER ? "voter" : role == RAFT_STANDBY ? "standby" : "spare";
}

static uint64_t committed(const struct replica *r)
{
	uint64_t here = r->engine.up ? raft_commit_index(&r->engine.raft) : 0;

	return r->view && r->view->commit_index > here ? r->view->commit_index : here;
}

static const char *state_text(struct replica *r, uint64_t id, const struct news *news)
{
	if (id == r->standing.leader)
		return "leader";
	if (id == r->directory.id)
		return r->standing.leader ? "follower" : "unavailable";
	return !news->known ? "unknown" : news->silent_ms > SILENT_MS ? "silent" : "follower";
}

static struct replica_member describe(struct replica *r, const struct member_info *m)
{
	struct news news = peers_news(r, m->id);
	uint64_t commit = committed(r);
	struct gossip_peer eventual = {.heard = false};

	if (replica_gossip(r))
		gossip_peer(replica_gossip(r), m->id, &eventual);
	return (struct replica_member){
		.id = m->id,
		.name = m->name,
		.address = m->address,
		.role = role_text(engine_role(r, m->id)),
		.state = state_text(r, m->id, &news),
		.version = news.version,
		.trouble = news.trouble,
		.wish = m->wish,
		.level = m->level,
		.self = m->id == r->directory.id,
		.known = news.known,
		.applied = news.applied,
		.lag = commit > news.applied ? commit - news.applied : 0,
		.silent_ms = news.silent_ms,
		.round_trip_us = m->id == r->directory.id ? 0 : round_trip(r, m->id),
		.disk_free_bytes = news.disk_free_bytes,
		.eventual = eventual,
	};
}

struct each_member {
	struct replica *replica;
	void (*each)(void *ctx, const struct replica_member *member);
	void *ctx;
	unsigned count;
};

static int each_member(void *ctx, const struct member_info *m)
{
	struct each_member *e = ctx;
	struct replica_member member = describe(e->replica, m);

	e->count++;
	e->each(e->ctx, &member);
	return 0;
}

/* One that listens to nobody is not in the state. */
void replica_members(struct replica *r, void (*each)(void *ctx, const struct replica_member *member), void *ctx)
{
	struct member_info self = {.id = r->directory.id, .name = r->directory.member, .address = "",
				   .level = r->config.level};
	struct each_member e = {r, each, ctx, 0};

	if (r->machine)
		machine_members(r->machine, each_member, &e);
	if (e.count == 0)
		each_member(&e, &self);
}

struct by_id {
	uint64_t id;
	const char *name;
	enum member_wish wish;
};

static int find_by_id(void *ctx, const struct member_info *m)
{
	struct by_id *b = ctx;

	if (m->id != b->id)
		return 0;
	b->name = m->name;
	b->wish = m->wish;
	return 1;
}

const char *replica_leader(struct replica *r)
{
	struct by_id b = {.id = r->standing.leader};

	if (!b.id || !r->machine)
		return NULL;
	machine_members(r->machine, find_by_id, &b);
	return b.name ? b.name : b.id == r->directory.id ? r->directory.member : NULL;
}

void replica_metrics(struct replica *r, struct replica_metrics *out)
{
	struct net_totals totals = {0};

	if (r->net && !r->net_closing)
		net_totals(r->net, &totals);
	*out = r->metrics;
	out->proposals = proposals_count(r->proposals);
	out->resent = proposals_restarts(r->proposals);
	out->read_rounds = prober_rounds(r->prober);
	out->messages_sent = totals.sent;
	out->messages_received = totals.received;
	out->messages_dropped = totals.dropped;
}

/* ---- the leader's part of a change ---- */

static unsigned count_voters(const struct replica *r)
{
	const struct raft_configuration *c = &r->engine.raft.configuration;
	unsigned count = 0;

	for (unsigned i = 0; i < c->n; i++)
		count += c->servers[i].role == RAFT_VOTER;
	return count;
}

static int refuse(char *text, size_t size, const char *why)
{
	snprintf(text, size, "%s", why);
	return ERR_CANCELED;
}

static int lead_by(struct replica *r, uint64_t id, char *text, size_t size)
{
	if (id == r->directory.id)
		return OK;
	if (engine_role(r, id) != RAFT_VOTER)
		return refuse(text, size, "it does not vote: make it a voter first");
	if (peers_news(r, id).silent_ms > SILENT_MS)
		return refuse(text, size, "it cannot be reached");
	if (raft_transferee(&r->engine.raft) == 0)
		raft_transfer(&r->engine.raft, &r->raft_transfer, id, NULL);
	return QUEUED;
}

static int wish(struct replica *r, uint64_t id, enum member_wish wanted, char *text, size_t size)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberSet set = COORDFS__MEMBER_SET__INIT;
	struct by_id b = {.id = id};

	if (wanted == MEMBER_STANDBY && engine_role(r, id) == RAFT_VOTER && count_voters(r) == 1)
		return refuse(text, size, "the last voter cannot go");
	if (wanted == MEMBER_VOTER && id != r->directory.id && peers_news(r, id).silent_ms > SILENT_MS)
		return refuse(text, size, "it cannot be reached");
	machine_members(r->machine, find_by_id, &b);
	if (b.wish == wanted)
		return QUEUED;
	set.id = id;
	set.wish = (uint32_t)wanted + 1;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_SET;
	command.member_set = &set;
	lead_submit_own(r, &command);
	return QUEUED;
}

static int remove_member(struct replica *r, uint64_t id, char *text, size_t size)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberRemove remove = COORDFS__MEMBER_REMOVE__INIT;

	if (engine_role(r, id) == RAFT_VOTER && count_voters(r) == 1)
		return refuse(text, size, "the last voter cannot go");
	remove.id = id;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_REMOVE;
	command.member_remove = &remove;
	lead_submit_own(r, &command);
	return QUEUED;
}

static void log_change(struct replica *r, uint32_t kind, const char *member, uint32_t uid)
{
	static const char *const kinds[] = {"", "to lead", "to vote", "to stand by", "to be as the cluster sees fit",
					    "to be removed"};

	log_line(r->log, LOG_LEVEL_INFO, "uid %u wants %s %s", uid, member,
		 kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "what this version does not know");
}

/* QUEUED: it is begun, and is seen when it is done. */
static int begin_change(struct replica *r, uint32_t kind, const char *member, char *text, size_t size)
{
	uint64_t id = machine_member_named(r->machine, member);

	if (!id && strcmp(member, r->directory.member) == 0)
		id = r->directory.id; /* it listens to nobody */
	if (!id) {
		snprintf(text, size, "there is no member of that name");
		return ERR_NOT_FOUND;
	}
	switch (kind) {
	case CLUSTER_LEAD:
		return lead_by(r, id, text, size);
	case CLUSTER_VOTER:
		return wish(r, id, MEMBER_VOTER, text, size);
	case CLUSTER_STANDBY:
		return wish(r, id, MEMBER_STANDBY, text, size);
	case CLUSTER_AUTO:
		return wish(r, id, MEMBER_AUTO, text, size);
	case CLUSTER_REMOVE:
		return remove_member(r, id, text, size);
	default:
		return ERR_NOT_SUPPORTED;
	}
}

void cluster_change_asked(struct replica *r, const Coordfs__Change *change, uint64_t from)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ChangeResult result = COORDFS__CHANGE_RESULT__INIT;
	char text[160] = "";

	if (!r->settled || strlen(change->member) > LIMIT_NAME_BYTES)
		return;
	log_change(r, change->kind, change->member, change->uid);
	result.nonce = change->nonce;
	result.code = begin_change(r, change->kind, change->member, text, sizeof text);
	result.text = text;
	if (result.code >= 0)
		return;
	envelope.of_case = COORDFS__ENVELOPE__OF_CHANGE_RESULT;
	envelope.change_result = &result;
	peers_send(r, from, &envelope);
}

/* ---- the asking part ---- */

struct change {
	struct change *next;
	enum cluster_change_kind kind;
	char member[LIMIT_NAME_BYTES + 1];
	uint32_t uid;
	uint64_t id; /* the member's; 0: not known (yet) */
	uint64_t nonce, since_ms, asked_ms;
	bool asked;
	replica_done done;
	void *ctx;
};

void replica_change(struct replica *r, enum cluster_change_kind kind, const char *member, uint32_t uid,
		    replica_done done, void *ctx)
{
	struct change *c = calloc(1, sizeof *c);

	if (!c)
		abort(); /* no memory to say that there is no memory */
	c->kind = kind;
	snprintf(c->member, sizeof c->member, "%s", member);
	c->uid = uid;
	c->nonce = ++r->next_nonce;
	c->since_ms = replica_now_ms(r);
	c->done = done;
	c->ctx = ctx;
	c->next = r->changes;
	r->changes = c;
	replica_wake(r);
}

static void answer(struct replica *r, struct change *c, int code, const char *text)
{
	struct reply reply = {.code = code};
	struct change **at = &r->changes;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	snprintf(reply.text, sizeof reply.text, "%s", text);
	c->done(c->ctx, &reply);
	free(c);
}

/* A removal that was asked for again finds nobody to remove: it is on its way. */
static bool is_refusal(const struct change *c, int code)
{
	return code < 0 && !(c->kind == CLUSTER_REMOVE && c->id && code == ERR_NOT_FOUND);
}

void cluster_change_answered(struct replica *r, const Coordfs__ChangeResult *result)
{
	struct change *c = r->changes;

	while (c && c->nonce != result->nonce)
		c = c->next;
	if (c && is_refusal(c, result->code))
		answer(r, c, result->code, result->text);
}

/* Is it so by now? */
static bool is_done(struct replica *r, const struct change *c)
{
	int role = engine_role(r, c->id);
	struct by_id b = {.id = c->id};

	machine_members(r->machine, find_by_id, &b);
	switch (c->kind) {
	case CLUSTER_LEAD:
		return r->standing.leader == c->id;
	case CLUSTER_VOTER:
		return role == RAFT_VOTER && (b.wish == MEMBER_VOTER || !r->net);
	case CLUSTER_STANDBY:
		return role == RAFT_STANDBY && b.wish == MEMBER_STANDBY;
	case CLUSTER_AUTO:
		return b.wish == MEMBER_AUTO;
	case CLUSTER_REMOVE:
		return role < 0 && !b.name;
	}
	return false;
}

static void ask(struct replica *r, struct change *c)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__Change change = COORDFS__CHANGE__INIT;

	change.nonce = c->nonce;
	change.kind = c->kind;
	change.member = c->member;
	change.uid = c->uid;
	envelope.of_case = COORDFS__ENVELOPE__OF_CHANGE;
	envelope.change = &change;
	c->asked |= peers_send(r, r->standing.leader, &envelope);
}

/* This member leads: it asks itself. */
static void begin_here(struct replica *r, struct change *c)
{
	char text[160] = "";
	int code;

	if (!c->asked)
		log_change(r, c->kind, c->member, c->uid);
	c->asked = true;
	code = begin_change(r, c->kind, c->member, text, sizeof text);
	if (is_refusal(c, code))
		answer(r, c, code, text);
}

static void advance(struct replica *r, struct change *c, uint64_t now_ms)
{
	if (!c->id)
		c->id = machine_member_named(r->machine, c->member);
	if (!c->id && !r->net && strcmp(c->member, r->directory.member) == 0)
		c->id = r->directory.id;
	if (c->id && is_done(r, c)) {
		answer(r, c, OK, "");
	} else if (now_ms - c->since_ms > r->config.timeout_ms) {
		answer(r, c, c->asked ? ERR_TIMED_OUT : ERR_NO_QUORUM, "");
	} else if (!c->asked_ms || now_ms - c->asked_ms > ASK_MS) {
		c->asked_ms = now_ms;
		if (r->settled)
			begin_here(r, c);
		else if (r->standing.leader && r->standing.leader != r->directory.id)
			ask(r, c);
	}
}

static void advance_all(struct replica *r, uint64_t now_ms)
{
	struct change *c, *next;

	for (c = r->changes; c; c = next) {
		next = c->next;
		advance(r, c, now_ms);
	}
}

/* ---- libraft's configuration follows the state ---- */

static void changed(struct raft_change *request, int status)
{
	struct replica *r = request->data;

	(void)status; /* the planner sees what came of it */
	r->changing = false;
	replica_kick(r);
}

struct planning {
	struct replica *replica;
	struct plan_member *members;
	size_t count, capacity;
	bool cut; /* there was no room for all: whoever is not in it would seem to be gone */
};

static struct plan_member *planned(struct planning *p, uint64_t id)
{
	struct plan_member *m;

	for (size_t i = 0; i < p->count; i++)
		if (p->members[i].id == id)
			return &p->members[i];
	p->cut |= p->count == p->capacity;
	if (p->cut)
		return NULL;
	m = &p->members[p->count++];
	*m = (struct plan_member){.id = id};
	return m;
}

static int plan_member(void *ctx, const struct member_info *info)
{
	struct plan_member *m = planned(ctx, info->id);

	if (!m)
		return 1;
	m->in_state = true;
	m->wish = info->wish;
	return 0;
}

static void plan_servers(struct planning *p)
{
	const struct raft *raft = &p->replica->engine.raft;
	uint64_t last = raft_last_index((struct raft *)(uintptr_t)raft);
	raft_index match;

	for (unsigned i = 0; i < raft->configuration.n; i++) {
		const struct raft_server *s = &raft->configuration.servers[i];
		struct plan_member *m = planned(p, s->id);

		if (!m)
			return;
		m->in_configuration = true;
		m->role = (enum plan_role)s->role;
		m->lag = raft_match_index(raft, s->id, &match) ? last : last - match;
	}
}

/* Who has not been heard of in this term counts as silent since it began. */
static uint64_t silence(struct replica *r, uint64_t id)
{
	uint64_t now = replica_now_ms(r), leads_ms = now - r->leads_since_ms;
	struct news news = peers_news(r, id);

	if (id == r->directory.id)
		return 0;
	return news.silent_ms < leads_ms ? news.silent_ms : leads_ms;
}

static bool make_plan(struct replica *r, struct plan_action *out)
{
	struct planning p = {.replica = r, .capacity = r->engine.raft.configuration.n + HASH_COUNT(r->peers) + 2};
	struct plan plan = {
		.self = r->directory.id,
		.voters = r->config.voters ? r->config.voters : VOTERS,
		.live_ms = SILENT_MS,
		.replace_ms = r->config.replace_ms ? r->config.replace_ms : REPLACE_MS,
		.lag_max = PLAN_LAG_MAX,
	};

	*out = (struct plan_action){.kind = PLAN_NONE};
	p.members = calloc(p.capacity, sizeof *p.members);
	if (!p.members)
		return false;
	machine_members(r->machine, plan_member, &p);
	plan_servers(&p);
	for (size_t i = 0; i < p.count; i++)
		p.members[i].silent_ms = silence(r, p.members[i].id);
	plan.members = p.members;
	plan.count = p.count;
	if (!p.cut)
		*out = plan_next(&plan);
	free(p.members);
	return !p.cut;
}

static int carry_out(struct replica *r, const struct plan_action *a)
{
	struct raft *raft = &r->engine.raft;
	char address[ENGINE_ADDRESS_BYTES];

	r->raft_change.data = r;
	switch (a->kind) {
	case PLAN_ADD:
		return raft_add(raft, &r->raft_change, a->id, engine_address(a->id, address), changed);
	case PLAN_FOLLOW:
	case PLAN_DEMOTE:
		return raft_assign(raft, &r->raft_change, a->id, RAFT_STANDBY, changed);
	case PLAN_VOTE:
		return raft_assign(raft, &r->raft_change, a->id, RAFT_VOTER, changed);
	case PLAN_REMOVE:
		return raft_remove(raft, &r->raft_change, a->id, changed);
	case PLAN_LEAVE:
		raft_transfer(raft, &r->raft_transfer, a->id, NULL);
		return -1; /* no change of the configuration */
	case PLAN_NONE:
		break;
	}
	return -1;
}

static void plan(struct replica *r)
{
	struct plan_action a;

	if (!make_plan(r, &a) || a.kind == PLAN_NONE)
		return;
	r->changing = carry_out(r, &a) == 0;
	if (r->changing)
		log_line(r->log, LOG_LEVEL_INFO, "member %" PRIu64 ": %s", a.id, a.why);
}

void cluster_tick(struct replica *r, uint64_t now_ms)
{
	advance_all(r, now_ms);
	if (!r->settled || !r->net || r->changing || raft_transferee(&r->engine.raft) ||
	    r->engine.raft.configuration_uncommitted_index || now_ms - r->planned_ms < PLAN_MS)
		return;
	r->planned_ms = now_ms;
	plan(r);
}

/* This member was removed, maybe at its own wish. */
void cluster_self_removed(struct replica *r)
{
	struct change *c, *next;

	for (c = r->changes; c; c = next) {
		next = c->next;
		if (c->kind == CLUSTER_REMOVE && strcmp(c->member, r->directory.member) == 0)
			answer(r, c, OK, "");
	}
}

void cluster_fail(struct replica *r)
{
	while (r->changes)
		answer(r, r->changes, r->changes->asked ? ERR_TIMED_OUT : ERR_NO_QUORUM, "");
}

void cluster_fini(struct replica *r)
{
	struct change *c;

	while ((c = r->changes)) {
		r->changes = c->next;
		free(c);
	}
}

bool cluster_is_busy(const struct replica *r)
{
	return r->changes;
}
