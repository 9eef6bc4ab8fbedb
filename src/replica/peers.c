/* Envelopes in and out, and what is known of the other members.
 *
 * Where a member listens is in the state (MemberAdd, MemberSet), which a restarted member does not have before it has
 * found a leader: so a copy is kept in the file `peers`. An address that changed at a restart is told by Hello, first
 * to everybody; the leader then puts it into the state. What a Hello says holds until the state says something new.
 *
 * News: every member tells the leader now and then how it is (Hello), and the leader tells everybody how all are
 * (ClusterView). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"

#define NEWS_MS 1000
#define PEERS_FILE "peers"
#define PEERS_BYTES (1000u * (NET_ADDRESS_BYTES + 24))

/* ---- the table ---- */

struct peer *peers_find(struct replica *r, uint64_t id)
{
	struct peer *p;

	HASH_FIND(hh, r->peers, &id, sizeof id, p);
	if (p || id == 0)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->id = id;
	HASH_ADD(hh, r->peers, id, sizeof p->id, p);
	return p;
}

void peers_set_address(struct replica *r, uint64_t id, const char *address)
{
	struct peer *p = id == r->directory.id ? NULL : peers_find(r, id);

	if (!p || !address[0] || strcmp(p->address, address) == 0 || strlen(address) >= sizeof p->address)
		return;
	if (net_set_peer(r->net, id, address))
		return;
	snprintf(p->address, sizeof p->address, "%s", address);
}

static void forget(struct replica *r, struct peer *p)
{
	net_remove_peer(r->net, p->id);
	HASH_DELETE(hh, r->peers, p);
	free(p);
}

bool peers_send(struct replica *r, uint64_t member, Coordfs__Envelope *e)
{
	return r->net && !r->net_closing && net_send(r->net, member, e);
}

/* ---- the file ---- */

static int add_line(void *ctx, const struct member_info *m)
{
	FILE *out = ctx;

	fprintf(out, "%" PRIu64 " %s\n", m->id, m->address);
	return 0;
}

static void save(struct replica *r)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	machine_members(r->machine, add_line, out);
	if (fclose(out) == 0 && directory_replace_text(&r->directory, PEERS_FILE, text))
		log_line(r->log, LOG_LEVEL_WARNING, "%s/" PEERS_FILE " cannot be written", r->directory.path);
	free(text);
}

static void load(struct replica *r)
{
	char *text = malloc(PEERS_BYTES), *rest = text, *line, address[NET_ADDRESS_BYTES];
	uint64_t id;

	if (text && directory_read_text(&r->directory, PEERS_FILE, text, PEERS_BYTES) == 0)
		while ((line = strsep(&rest, "\n")))
			if (sscanf(line, "%" SCNu64 " %255s", &id, address) == 2)
				peers_set_address(r, id, address);
	free(text);
}

/* ---- what the state says ---- */

static int member_known(void *ctx, const struct member_info *m)
{
	struct replica *r = ctx;
	struct peer *p = m->id == r->directory.id ? NULL : peers_find(r, m->id);

	if (!p || strcmp(p->recorded, m->address) == 0)
		return 0;
	snprintf(p->recorded, sizeof p->recorded, "%s", m->address);
	peers_set_address(r, m->id, m->address);
	return 0;
}

static int is_it(void *ctx, const struct member_info *m)
{
	uint64_t *id = ctx;

	if (m->id != *id)
		return 0;
	*id = 0;
	return 1;
}

bool peers_is_member(struct replica *r, uint64_t id)
{
	machine_members(r->machine, is_it, &id);
	return id == 0;
}

static void forget_removed(struct replica *r)
{
	struct peer *p, *next;

	HASH_ITER (hh, r->peers, p, next)
		if (p->recorded[0] && !peers_is_member(r, p->id) && engine_role(r, p->id) < 0)
			forget(r, p);
}

void peers_members_changed(struct replica *r)
{
	eventual_members_changed(r);
	if (!r->net || !r->machine)
		return;
	machine_members(r->machine, member_known, r);
	forget_removed(r);
	save(r);
}

/* ---- news ---- */

/* libraft's own entries count: it is compared with what is committed. */
static uint64_t applied_here(const struct replica *r)
{
	return r->engine.up ? r->engine.raft.last_applied : 0;
}

static void send_hello(struct replica *r, uint64_t to)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__Hello hello = COORDFS__HELLO__INIT;

	hello.name = r->directory.member;
	hello.address = (char *)(uintptr_t)net_address(r->net);
	hello.version = (char *)(uintptr_t)r->config.version;
	hello.applied = applied_here(r);
	hello.last_index = r->engine.up ? raft_last_index(&r->engine.raft) : 0;
	hello.disk_free_bytes = replica_free_bytes(r);
	hello.trouble = r->trouble;
	hello.session_ttl_ms = r->config.session_ttl_ms;
	envelope.of_case = COORDFS__ENVELOPE__OF_HELLO;
	envelope.hello = &hello;
	peers_send(r, to, &envelope);
}

/* While nobody leads they look for each other. */
static void say_hello(struct replica *r)
{
	struct peer *p, *next;

	if (r->standing.leader == r->directory.id)
		return;
	if (r->standing.leader) {
		send_hello(r, r->standing.leader);
		return;
	}
	HASH_ITER (hh, r->peers, p, next)
		send_hello(r, p->id);
}

static void put_address_into_state(struct replica *r, uint64_t id, const char *address)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberSet set = COORDFS__MEMBER_SET__INIT;

	set.id = id;
	set.address = (char *)(uintptr_t)address;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_SET;
	command.member_set = &set;
	lead_submit_own(r, &command);
}

static void tell_removed(struct replica *r, uint64_t to, const char *address)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;

	peers_set_address(r, to, address);
	result.code = ERR_PERM;
	result.id = to;
	result.text = (char *)(uintptr_t) "this member was removed from the cluster: remove its data directory to join anew";
	envelope.of_case = COORDFS__ENVELOPE__OF_JOIN_RESULT;
	envelope.join_result = &result;
	peers_send(r, to, &envelope);
}

static void take_hello(struct replica *r, const Coordfs__Hello *h, uint64_t from)
{
	struct peer *p = peers_find(r, from);

	if (!p || net_address_check(h->address, "hello", r->scratch, sizeof r->scratch))
		return;
	if (r->settled && !peers_is_member(r, from)) {
		tell_removed(r, from, h->address);
		return;
	}
	p->applied = h->applied;
	p->last_index = h->last_index;
	p->disk_free_bytes = h->disk_free_bytes;
	snprintf(p->version, sizeof p->version, "%s", h->version);
	snprintf(p->trouble, sizeof p->trouble, "%s", h->trouble);
	peers_set_address(r, from, h->address);
	if (r->settled && p->recorded[0] && strcmp(p->recorded, h->address) != 0)
		put_address_into_state(r, from, h->address);
}

static void take_view(struct replica *r, const Coordfs__ClusterView *view, uint64_t from)
{
	uint8_t *packed;
	size_t size;

	if (from != r->standing.leader)
		return;
	size = coordfs__cluster_view__get_packed_size(view);
	packed = malloc(size + 1);
	if (!packed)
		return;
	coordfs__cluster_view__pack(view, packed);
	if (r->view)
		coordfs__cluster_view__free_unpacked(r->view, NULL);
	r->view = coordfs__cluster_view__unpack(NULL, size, packed);
	r->view_at_ms = replica_now_ms(r);
	free(packed);
}

static void fill_view(struct replica *r, Coordfs__MemberView *view, const struct member_info *m)
{
	struct news news = peers_news(r, m->id);

	coordfs__member_view__init(view);
	view->id = m->id;
	view->name = (char *)(uintptr_t)m->name;
	view->address = (char *)(uintptr_t)m->address;
	view->role = (uint32_t)(engine_role(r, m->id) + 1);
	view->applied = news.applied;
	view->silent_ms = news.silent_ms;
	view->version = (char *)(uintptr_t)news.version;
	view->trouble = (char *)(uintptr_t)news.trouble;
	view->disk_free_bytes = news.disk_free_bytes;
}

struct view_list {
	struct replica *replica;
	Coordfs__MemberView *views, **pointers;
	size_t count, capacity;
};

static int add_view(void *ctx, const struct member_info *m)
{
	struct view_list *l = ctx;

	if (l->count == l->capacity)
		return 1;
	fill_view(l->replica, &l->views[l->count], m);
	l->pointers[l->count] = &l->views[l->count];
	l->count++;
	return 0;
}

/* Names and addresses are the machine's: to be used before it changes. */
static bool list_views(struct replica *r, struct view_list *l)
{
	*l = (struct view_list){.replica = r, .capacity = HASH_COUNT(r->peers) + 1};
	l->views = calloc(l->capacity, sizeof *l->views);
	l->pointers = calloc(l->capacity, sizeof *l->pointers);
	if (!l->views || !l->pointers)
		return false;
	machine_members(r->machine, add_view, l);
	return true;
}

static void free_views(struct view_list *l)
{
	free(l->views);
	free(l->pointers);
}

static void send_view(struct replica *r)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ClusterView view = COORDFS__CLUSTER_VIEW__INIT;
	struct view_list l;
	struct peer *p, *next;

	if (list_views(r, &l)) {
		view.term = r->standing.term;
		view.commit_index = raft_commit_index(&r->engine.raft);
		view.n_members = l.count;
		view.members = l.pointers;
		envelope.of_case = COORDFS__ENVELOPE__OF_VIEW;
		envelope.view = &view;
		HASH_ITER (hh, r->peers, p, next)
			peers_send(r, p->id, &envelope);
	}
	free_views(&l);
}

static const Coordfs__MemberView *in_view(const struct replica *r, uint64_t id)
{
	for (size_t i = 0; r->view && i < r->view->n_members; i++)
		if (r->view->members[i]->id == id)
			return r->view->members[i];
	return NULL;
}

static struct news news_of_self(struct replica *r)
{
	return (struct news){.known = true, .applied = applied_here(r),
			     .disk_free_bytes = replica_free_bytes(r), .version = r->config.version,
			     .trouble = r->trouble};
}

/* The leader knows from Hellos, the others from the leader; what was heard directly counts too. */
struct news peers_news(struct replica *r, uint64_t id)
{
	struct news news = {.version = "", .trouble = ""};
	const Coordfs__MemberView *v = in_view(r, id);
	uint64_t now = replica_now_ms(r), view_age = now - r->view_at_ms;
	struct peer *p;

	if (id == r->directory.id)
		return news_of_self(r);
	HASH_FIND(hh, r->peers, &id, sizeof id, p);
	if (p && (r->standing.leads || !v))
		return (struct news){.known = p->heard_ms && p->version[0], .applied = p->applied,
				     .silent_ms = p->heard_ms ? now - p->heard_ms : UINT64_MAX,
				     .disk_free_bytes = p->disk_free_bytes, .version = p->version, .trouble = p->trouble};
	if (!v)
		return news;
	news = (struct news){.known = true, .applied = v->applied,
			     .silent_ms = v->silent_ms == UINT64_MAX ? UINT64_MAX : v->silent_ms + view_age,
			     .disk_free_bytes = v->disk_free_bytes, .version = v->version, .trouble = v->trouble};
	if (p && p->heard_ms && now - p->heard_ms < news.silent_ms)
		news.silent_ms = now - p->heard_ms;
	return news;
}

/* What the network refuses, for people: NULL: nothing of late. */
const char *peers_trouble(struct replica *r)
{
	struct net_totals totals;

	if (!r->net || r->net_closing)
		return NULL;
	net_totals(r->net, &totals);
	return totals.trouble;
}

/* ---- in ---- */

static void take_probe_result(struct replica *r, const Coordfs__ProbeResult *result, uint64_t from)
{
	prober_result(r->prober, from, result->nonce, result->term, replica_boottime_ms());
}

static void take_forward_result(struct replica *r, const Coordfs__ForwardResult *result, uint64_t from)
{
	if (from == r->standing.leader)
		proposals_result(r->proposals, result->term, result->stream, result->expected, result->code,
				 replica_boottime_ms());
}

/* Of a member, of our cluster, for us: net has seen to that. */
static void dispatch(struct replica *r, const Coordfs__Envelope *e)
{
	switch (e->of_case) {
	case COORDFS__ENVELOPE__OF_RAFT:
		engine_receive(r, e->raft, e->from);
		break;
	case COORDFS__ENVELOPE__OF_FORWARD:
		lead_forward(r, e->forward, e->from);
		break;
	case COORDFS__ENVELOPE__OF_FORWARD_RESULT:
		take_forward_result(r, e->forward_result, e->from);
		break;
	case COORDFS__ENVELOPE__OF_READ_REQUEST:
		lead_read_request(r, e->read_request, e->from);
		break;
	case COORDFS__ENVELOPE__OF_READ_RESULT:
		lead_read_result(r, e->read_result);
		break;
	case COORDFS__ENVELOPE__OF_PROBE:
		lead_probe(r, e->probe, e->from);
		break;
	case COORDFS__ENVELOPE__OF_PROBE_RESULT:
		take_probe_result(r, e->probe_result, e->from);
		break;
	case COORDFS__ENVELOPE__OF_IMAGE_REQUEST:
		fetch_serve(r, e->image_request, e->from);
		break;
	case COORDFS__ENVELOPE__OF_IMAGE_CHUNK:
		fetch_receive(r, e->image_chunk, e->from);
		break;
	case COORDFS__ENVELOPE__OF_HELLO:
		take_hello(r, e->hello, e->from);
		break;
	case COORDFS__ENVELOPE__OF_VIEW:
		take_view(r, e->view, e->from);
		break;
	case COORDFS__ENVELOPE__OF_CHANGE:
		cluster_change_asked(r, e->change, e->from);
		break;
	case COORDFS__ENVELOPE__OF_CHANGE_RESULT:
		cluster_change_answered(r, e->change_result);
		break;
	case COORDFS__ENVELOPE__OF_JOIN_RESULT:
		joining_answered(r, e->join_result);
		break;
	case COORDFS__ENVELOPE__OF_GOSSIP:
		eventual_receive(r, e);
		break;
	default:
		break; /* of a newer version: nothing that must be answered */
	}
}

void peers_receive(void *ctx, const Coordfs__Envelope *e)
{
	struct replica *r = ctx;
	struct peer *p;

	if (r->state == REPLICA_FAILED || r->state == REPLICA_CLOSING)
		return;
	replica_check_lease(r);
	if (e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST) {
		joining_asked(r, e->join_request, e->protocol);
	} else if (!r->started) {
		if (e->of_case == COORDFS__ENVELOPE__OF_JOIN_RESULT)
			joining_answered(r, e->join_result);
	} else if (e->from) {
		p = peers_find(r, e->from);
		if (p)
			p->heard_ms = replica_now_ms(r);
		dispatch(r, e);
	}
	replica_kick(r);
}

/* ---- time ---- */

/* The founder puts itself into the state when it listens for the first time. */
static void introduce_self(struct replica *r)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberAdd add = COORDFS__MEMBER_ADD__INIT;

	add.id = r->directory.id;
	add.name = r->directory.member;
	add.address = (char *)(uintptr_t)net_address(r->net);
	add.token = (ProtobufCBinaryData){sizeof r->directory.token, r->directory.token};
	add.level = r->config.level;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	command.member_add = &add;
	lead_submit_own(r, &command);
}

static int own_address(void *ctx, const struct member_info *m)
{
	struct replica *r = ctx;

	if (m->id == r->directory.id && strcmp(m->address, net_address(r->net)) != 0)
		put_address_into_state(r, m->id, net_address(r->net));
	return m->id == r->directory.id;
}

static void lead_news(struct replica *r)
{
	if (!r->settled)
		return;
	if (!peers_is_member(r, r->directory.id) && r->standing.alone)
		introduce_self(r);
	machine_members(r->machine, own_address, r);
	send_view(r);
}

void peers_tick(struct replica *r, uint64_t now_ms)
{
	if (!r->net || r->state == REPLICA_JOINING || now_ms - r->news_at_ms < NEWS_MS)
		return;
	r->news_at_ms = now_ms;
	if (r->standing.leads && r->machine)
		lead_news(r);
	else
		say_hello(r);
}

/* ---- life ---- */

int peers_open(struct replica *r, char *error, size_t error_size)
{
	const struct net_config config = {
		.listen = r->config.listen,
		.key = r->config.key,
		.log = r->log,
		.receive = peers_receive,
		.ctx = r,
	};

	return r->config.listen ? net_open(r->loop, &config, &r->net, error, error_size) : 0;
}

void peers_identify(struct replica *r)
{
	uint8_t cluster[16];

	directory_cluster(&r->directory, cluster);
	net_identify(r->net, cluster, r->directory.id);
	load(r);
}

static void closed(void *ctx)
{
	struct replica *r = ctx;

	r->net = NULL;
	replica_kick(r);
}

void peers_close(struct replica *r)
{
	if (!r->net || r->net_closing)
		return;
	r->net_closing = true;
	net_close(r->net, closed, r);
}

void peers_fini(struct replica *r)
{
	struct peer *p, *next;

	HASH_ITER (hh, r->peers, p, next) {
		HASH_DELETE(hh, r->peers, p);
		free(p);
	}
	if (r->view)
		coordfs__cluster_view__free_unpacked(r->view, NULL);
}
