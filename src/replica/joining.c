/* A new member asks to be let in, and the members' answer: join.h with its port.
 *
 * A restart needs no join=, but it may be left in fstab. Then the addresses are asked which cluster they are of, for
 * a moment: a data directory of another cluster is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"

#define PATIENCE_MS 120000
#define CHECK_MS 2000

/* ---- asking ---- */

static bool ask(void *ctx, const char *address)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinRequest request = COORDFS__JOIN_REQUEST__INIT;
	struct replica *r = ctx;

	request.name = r->directory.member;
	request.address = (char *)(uintptr_t)net_address(r->net);
	request.token = (ProtobufCBinaryData){sizeof r->directory.token, r->directory.token};
	request.version = (char *)(uintptr_t)r->config.version;
	request.asked = (char *)(uintptr_t)address;
	request.only_ask = !r->directory.fresh;
	request.level = r->config.level;
	envelope.of_case = COORDFS__ENVELOPE__OF_JOIN_REQUEST;
	envelope.join_request = &request;
	net_send_to_address(r->net, address, &envelope);
	return net_address_check(address, "join", r->scratch, sizeof r->scratch) == 0;
}

static const char *trouble(void *ctx)
{
	return peers_trouble(ctx);
}

void joining_start(struct replica *r)
{
	const struct joiner_port port = {r, ask, trouble};
	unsigned patience_ms = r->directory.fresh ? PATIENCE_MS : CHECK_MS;
	char error[ERROR_BYTES];

	if (joiner_new(r->config.join, patience_ms, &port, replica_now_ms(r), &r->joiner, error, sizeof error)) {
		replica_fail(r, "%s", error);
		return;
	}
	if (r->directory.fresh)
		log_line(r->log, LOG_LEVEL_INFO, "%s: asking %s to be let in as %s", r->directory.path, r->config.join,
			 r->directory.member);
}

void joining_fini(struct replica *r)
{
	joiner_free(r->joiner);
	r->joiner = NULL;
}

static void start(struct replica *r)
{
	char error[ERROR_BYTES];

	net_forget_addresses(r->net);
	joining_fini(r);
	peers_identify(r);
	if (replica_start(r, error, sizeof error))
		replica_fail(r, "%s", error);
}

static void failed(struct replica *r)
{
	if (r->directory.fresh)
		replica_fail(r, "%s", joiner_text(r->joiner));
	else
		start(r); /* nobody is there to ask */
}

void joining_tick(struct replica *r, uint64_t now_ms)
{
	if (r->joiner && joiner_run(r->joiner, now_ms) == JOINER_FAILED)
		failed(r);
}

/* ---- answers ---- */

static void let_in(struct replica *r, const Coordfs__JoinResult *result)
{
	char error[ERROR_BYTES];

	if (result->cluster.len != 16 || result->id == 0) {
		replica_fail(r, "%s answered in a way that is not understood", result->member);
		return;
	}
	if (directory_join(&r->directory, result->cluster.data, result->id, error, sizeof error)) {
		replica_fail(r, "%s", error);
		return;
	}
	for (size_t i = 0; i < result->n_members; i++)
		peers_set_address(r, result->members[i]->id, result->members[i]->address);
	log_line(r->log, LOG_LEVEL_INFO, "%s: member %llu of the cluster of %s", r->directory.path,
		 (unsigned long long)result->id, result->member);
	start(r);
}

/* A directory that is in use already. */
static void checked(struct replica *r, const Coordfs__JoinResult *result)
{
	uint8_t cluster[16];

	directory_cluster(&r->directory, cluster);
	if (result->cluster.len != sizeof cluster)
		return;
	if (memcmp(result->cluster.data, cluster, sizeof cluster) == 0)
		start(r);
	else
		replica_fail(r, "%s is the data of a member of another cluster than the one of %s: name an empty directory",
			     r->directory.path, result->member);
}

static void joiner_answered(struct replica *r, const Coordfs__JoinResult *result)
{
	switch (joiner_result(r->joiner, result, replica_now_ms(r))) {
	case JOINER_IN:
		let_in(r, result);
		break;
	case JOINER_FAILED:
		failed(r);
		break;
	case JOINER_ASKS:
		break;
	}
}

void joining_answered(struct replica *r, const Coordfs__JoinResult *result)
{
	if (r->started) {
		if (result->code == ERR_PERM && result->id == r->directory.id) {
			cluster_self_removed(r);
			replica_fail(r, "%s: %s", r->directory.path, result->text);
		}
	} else if (r->joiner && !r->directory.fresh) {
		checked(r, result);
	} else if (r->joiner) {
		joiner_answered(r, result);
	}
}

/* ---- the other side ---- */

static void answer(struct replica *r, const char *address, Coordfs__JoinResult *result)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;

	result->member = r->directory.member;
	envelope.of_case = COORDFS__ENVELOPE__OF_JOIN_RESULT;
	envelope.join_result = result;
	net_send_to_address(r->net, address, &envelope);
}

struct member_list {
	Coordfs__MemberView *views, **pointers;
	size_t count, capacity;
};

static int add_member(void *ctx, const struct member_info *m)
{
	struct member_list *l = ctx;
	Coordfs__MemberView *v;

	if (l->count == l->capacity)
		return 1;
	v = l->pointers[l->count] = &l->views[l->count];
	coordfs__member_view__init(v);
	v->id = m->id;
	v->name = (char *)(uintptr_t)m->name;
	v->address = (char *)(uintptr_t)m->address;
	l->count++;
	return 0;
}

/* OK: with all that a member must know. */
static void answer_in(struct replica *r, const char *to, Coordfs__JoinResult *result)
{
	struct member_list l = {.capacity = HASH_COUNT(r->peers) + 2};
	uint8_t cluster[16];

	l.views = calloc(l.capacity, sizeof *l.views);
	l.pointers = calloc(l.capacity, sizeof *l.pointers);
	if (l.views && l.pointers) {
		machine_members(r->machine, add_member, &l);
		directory_cluster(&r->directory, cluster);
		result->cluster = (ProtobufCBinaryData){sizeof cluster, cluster};
		result->n_members = l.count;
		result->members = l.pointers;
		answer(r, to, result);
	}
	free(l.views);
	free(l.pointers);
}

static void add(struct replica *r, const Coordfs__JoinRequest *q)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberAdd member = COORDFS__MEMBER_ADD__INIT;

	member.name = q->name;
	member.address = q->address;
	member.token = q->token;
	member.level = q->level;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	command.member_add = &member;
	lead_submit_own(r, &command);
}

static void answer_which(struct replica *r, const char *to)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;
	uint8_t cluster[16];

	if (!r->started)
		return;
	directory_cluster(&r->directory, cluster);
	result.cluster = (ProtobufCBinaryData){sizeof cluster, cluster};
	answer(r, to, &result);
}

static int find_address(void *ctx, const struct member_info *m)
{
	struct member_info *found = ctx;

	if (m->id != found->id)
		return 0;
	found->address = m->address;
	return 1;
}

static const char *leader_address(struct replica *r)
{
	struct member_info m = {.id = r->standing.leader};

	if (m.id && m.id != r->directory.id)
		machine_members(r->machine, find_address, &m);
	return m.address;
}

void joining_asked(struct replica *r, const Coordfs__JoinRequest *q, unsigned protocol)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;
	/* A founder that is not in the state itself yet has nothing to tell. */
	bool ready = r->started && r->machine && (!r->settled || peers_is_member(r, r->directory.id));
	struct join_view view = {
		.machine = ready ? r->machine : NULL,
		.leads = ready && r->settled,
		.own_address = net_address(r->net),
		.leader_address = ready ? leader_address(r) : NULL,
		.protocol = protocol,
		.own_protocol = PROTOCOL_VERSION,
	};

	if (net_address_check(q->address, "join", r->scratch, sizeof r->scratch))
		return;
	if (q->only_ask) {
		answer_which(r, q->address);
		return;
	}
	switch (join_decide(&view, q, &result)) {
	case JOIN_IGNORE:
		return;
	case JOIN_PROPOSE:
		add(r, q);
		answer(r, q->address, &result);
		break;
	case JOIN_ANSWER:
		if (result.code == OK)
			answer_in(r, q->address, &result);
		else
			answer(r, q->address, &result);
		break;
	}
}
