/* A new member asks to be let in, and the members' answer.
 *
 * The joiner asks the addresses it was given, one after another, again and again, until a leader has put it into the
 * state (MemberAdd) and tells it so: the cluster's number, its own, and where the others listen. Asking again is
 * harmless: the token of its data directory tells a repeat from a second member of that name. The answer goes to the
 * address that the joiner says it listens at: one that cannot be reached there cannot be a member either.
 *
 * A restart needs no join=, but it may be left in fstab. Then the addresses are asked which cluster they are of, for
 * a moment: a data directory of another cluster is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"

#define ASK_MS 300
#define CHECK_MS 2000
#define GIVE_UP_MS 120000
#define TARGETS_MAX 64

struct target {
	char address[NET_ADDRESS_BYTES];
	char answer[160]; /* what it said last */
};

struct joining {
	struct target targets[TARGETS_MAX];
	unsigned count, next;
	char leader[NET_ADDRESS_BYTES]; /* "": not known */
	uint64_t since_ms, asked_ms;
};

static bool add_targets(struct joining *j, const char *list)
{
	char *copy = strdup(list), *rest = copy, *address;

	while (copy && (address = strsep(&rest, "+")) && j->count < TARGETS_MAX) {
		snprintf(j->targets[j->count].address, NET_ADDRESS_BYTES, "%s", address);
		snprintf(j->targets[j->count].answer, sizeof j->targets[0].answer, "no answer");
		j->count++;
	}
	free(copy);
	return copy;
}

void joining_start(struct replica *r)
{
	r->joining = calloc(1, sizeof *r->joining);
	if (!r->joining || !add_targets(r->joining, r->config.join)) {
		replica_fail(r, "%s: out of memory", r->directory.path);
		return;
	}
	r->joining->since_ms = replica_now_ms(r);
	if (!r->directory.fresh)
		return;
	log_line(r->log, LOG_LEVEL_INFO, "%s: asking %s to be let in as %s", r->directory.path, r->config.join,
		 r->directory.member);
}

void joining_fini(struct replica *r)
{
	free(r->joining);
	r->joining = NULL;
}

static void ask(struct replica *r, const char *address)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinRequest request = COORDFS__JOIN_REQUEST__INIT;

	request.name = r->directory.member;
	request.address = (char *)(uintptr_t)net_address(r->net);
	request.token = (ProtobufCBinaryData){sizeof r->directory.token, r->directory.token};
	request.version = (char *)(uintptr_t)r->config.version;
	request.only_ask = !r->directory.fresh;
	envelope.of_case = COORDFS__ENVELOPE__OF_JOIN_REQUEST;
	envelope.join_request = &request;
	net_send_to_address(r->net, address, &envelope);
}

static void give_up(struct replica *r)
{
	const struct joining *j = r->joining;
	char seen[ERROR_BYTES / 2] = "";
	size_t used = 0;

	for (unsigned i = 0; i < j->count && used < sizeof seen; i++)
		used += (size_t)snprintf(seen + used, sizeof seen - used, "%s%s: %s", i ? "; " : "",
					 j->targets[i].address, j->targets[i].answer);
	replica_fail(r, "%s could not join within %u s (%s)", r->directory.member, GIVE_UP_MS / 1000, seen);
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

void joining_tick(struct replica *r, uint64_t now_ms)
{
	struct joining *j = r->joining;

	if (!j || (j->asked_ms && now_ms - j->asked_ms < ASK_MS))
		return;
	if (!r->directory.fresh && now_ms - j->since_ms > CHECK_MS) {
		start(r); /* nobody is there to ask */
		return;
	}
	if (now_ms - j->since_ms > GIVE_UP_MS) {
		give_up(r);
		return;
	}
	j->asked_ms = now_ms;
	if (j->leader[0]) {
		ask(r, j->leader);
		j->leader[0] = '\0'; /* if it does not answer, somebody else is asked again */
	} else if (j->count) {
		ask(r, j->targets[j->next].address);
		j->next = (j->next + 1) % j->count;
	}
}

/* ---- answers ---- */

static void let_in(struct replica *r, const Coordfs__JoinResult *result)
{
	char error[ERROR_BYTES];

	if (result->cluster.len != 16 || result->id == 0)
		return;
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

static void note_answer(struct joining *j, const Coordfs__JoinResult *result)
{
	if (result->address[0])
		snprintf(j->leader, sizeof j->leader, "%s", result->address);
	for (unsigned i = 0; i < j->count; i++)
		if (result->text[0])
			snprintf(j->targets[i].answer, sizeof j->targets[i].answer, "%s: %s", result->member, result->text);
}

void joining_answered(struct replica *r, const Coordfs__JoinResult *result)
{
	if (r->state != REPLICA_JOINING) {
		if (result->code == ERR_PERM && result->id == r->directory.id && !r->joining) {
			cluster_self_removed(r);
			replica_fail(r, "%s: %s", r->directory.path, result->text);
		}
	} else if (!r->joining) {
		return;
	} else if (!r->directory.fresh) {
		checked(r, result);
	} else if (result->code == OK) {
		let_in(r, result);
	} else if (result->code == ERR_BUSY) {
		note_answer(r->joining, result);
	} else {
		replica_fail(r, "%s cannot join: %s", r->directory.member,
			     result->text[0] ? result->text : error_text(result->code));
	}
}

/* ---- the other side ---- */

struct found {
	const char *name;
	uint64_t id;
	uint8_t token[MEMBER_TOKEN_BYTES];
};

static int find_named(void *ctx, const struct member_info *m)
{
	struct found *f = ctx;

	if (strcmp(m->name, f->name) != 0)
		return 0;
	f->id = m->id;
	memcpy(f->token, m->token, sizeof f->token);
	return 1;
}

static void answer(struct replica *r, const char *address, Coordfs__JoinResult *result)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;

	result->member = r->directory.member;
	envelope.of_case = COORDFS__ENVELOPE__OF_JOIN_RESULT;
	envelope.join_result = result;
	net_send_to_address(r->net, address, &envelope);
}

static void answer_busy(struct replica *r, const char *to, const char *leader, const char *why)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;

	result.code = ERR_BUSY;
	result.address = (char *)(uintptr_t)leader;
	result.text = (char *)(uintptr_t)why;
	answer(r, to, &result);
}

static void answer_refused(struct replica *r, const char *to, int code, const char *why)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;

	result.code = code;
	result.text = (char *)(uintptr_t)why;
	answer(r, to, &result);
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

static void answer_let_in(struct replica *r, const char *to, uint64_t id)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;
	struct member_list l = {.capacity = HASH_COUNT(r->peers) + 2};
	uint8_t cluster[16];

	l.views = calloc(l.capacity, sizeof *l.views);
	l.pointers = calloc(l.capacity, sizeof *l.pointers);
	if (l.views && l.pointers) {
		machine_members(r->machine, add_member, &l);
		directory_cluster(&r->directory, cluster);
		result.id = id;
		result.cluster = (ProtobufCBinaryData){sizeof cluster, cluster};
		result.n_members = l.count;
		result.members = l.pointers;
		answer(r, to, &result);
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
	command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	command.member_add = &member;
	lead_submit_own(r, &command);
	answer_busy(r, q->address, net_address(r->net), "it is being let in");
}

static void lead_joining(struct replica *r, const Coordfs__JoinRequest *q)
{
	struct found f = {.name = q->name};

	machine_members(r->machine, find_named, &f);
	if (!f.id)
		add(r, q);
	else if (memcmp(f.token, q->token.data, sizeof f.token) == 0)
		answer_let_in(r, q->address, f.id);
	else
		answer_refused(r, q->address, ERR_EXISTS,
			       "the cluster has a member of that name: choose another with name=, or remove the old one "
			       "with rmdir cluster/members/NAME");
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

	machine_members(r->machine, find_address, &m);
	return m.address ? m.address : "";
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

void joining_asked(struct replica *r, const Coordfs__JoinRequest *q)
{
	if (q->token.len != MEMBER_TOKEN_BYTES || net_address_check(q->address, "join", r->scratch, sizeof r->scratch))
		return;
	if (q->only_ask)
		answer_which(r, q->address);
	else if (!r->started || !r->machine)
		answer_busy(r, q->address, "", "it is starting itself");
	else if (r->settled && !peers_is_member(r, r->directory.id))
		answer_busy(r, q->address, "", "it is starting itself");
	else if (r->settled)
		lead_joining(r, q);
	else if (r->standing.leader && r->standing.leader != r->directory.id)
		answer_busy(r, q->address, leader_address(r), "it does not lead");
	else
		answer_busy(r, q->address, "", "its cluster has no leader now");
}
