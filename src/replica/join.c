#include "replica/join.h"

#include "machine/level.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 100u	  /* between one address and the next */
#define ROUND_MS 200u	  /* after the last one; twice as much after each round, up to */
#define ROUND_MS_MAX 2000u
#define LEADER_MS 300u	  /* for a leader's answer, before others are asked again */
#define AGAIN_MS 100u	  /* before a leader that is about to let us in is asked again */
#define HOPS_MAX 10u	  /* from leader to leader, before others are asked again */
#define UNANSWERED 3u	  /* requests that make "then no answer" */
#define SEEN_BYTES 200u
#define TEXT_BYTES 2000u

struct target {
	char address[MEMBER_ADDRESS_BYTES + 1];
	char seen[SEEN_BYTES]; /* what it answered last; "": nothing yet */
	bool useless;	       /* nothing can be sent there */
	bool learned;	       /* from a member */
	unsigned unanswered;   /* requests since then */
};

struct joiner {
	struct joiner_port port;
	struct target targets[JOIN_ADDRESSES_MAX];
	unsigned count, next;
	struct target *leader; /* to be asked next, out of turn */
	struct target *last;   /* asked last */
	unsigned rounds, hops;
	enum joiner_state state;
	uint64_t since_ms, due_ms;
	unsigned patience_ms;
	uint32_t jitter;
	char text[TEXT_BYTES];
};

/* ---- addresses ---- */

static struct target *target_find(struct joiner *j, const char *address, size_t size)
{
	for (unsigned i = 0; i < j->count; i++)
		if (strlen(j->targets[i].address) == size && memcmp(j->targets[i].address, address, size) == 0)
			return &j->targets[i];
	return NULL;
}

/* The one that is there, or a new one; NULL: no address, or too many. */
static struct target *target_take(struct joiner *j, const char *address, size_t size)
{
	struct target *t = target_find(j, address, size);
	if (t || size == 0 || size > MEMBER_ADDRESS_BYTES || j->count == JOIN_ADDRESSES_MAX)
		return t;
	t = &j->targets[j->count++];
	memcpy(t->address, address, size);
	t->address[size] = '\0';
	return t;
}

static int targets_read(struct joiner *j, const char *addresses, char *error, size_t error_size)
{
	for (;;) {
		size_t size = strcspn(addresses, "+");
		if (!target_take(j, addresses, size)) {
			snprintf(error, error_size, "join=: 1 to %d addresses tcp://HOST:PORT with '+' between are wanted",
				 JOIN_ADDRESSES_MAX);
			return ERR_INVALID;
		}
		if (addresses[size] == '\0')
			return 0;
		addresses += size + 1;
	}
}

/* ---- words ---- */

static void print(struct joiner *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends to the text for the user. What comes from other members may hold anything. */
static void print(struct joiner *j, const char *format, ...)
{
	size_t used = strlen(j->text);
	va_list args;
	va_start(args, format);
	vsnprintf(j->text + used, sizeof j->text - used, format, args);
	va_end(args);
	for (char *c = j->text + used; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
}

static void print_target(struct joiner *j, const struct target *t)
{
	print(j, "%s%s: ", t->address, t->learned ? " (where others say the leader is)" : "");
	if (t->useless)
		print(j, "not an address that can be used");
	else if (!t->seen[0])
		print(j, t->unanswered ? "no answer" : "not asked");
	else
		print(j, "%s%s", t->seen, t->unanswered >= UNANSWERED ? ", then no answer" : "");
}

static void give_up(struct joiner *j)
{
	const char *trouble = j->port.trouble ? j->port.trouble(j->port.ctx) : NULL;
	print(j, "no cluster let this member in within %u s: ", j->patience_ms / 1000);
	for (unsigned i = 0; i < j->count; i++) {
		print(j, "%s", i ? "; " : "");
		print_target(j, &j->targets[i]);
	}
	if (trouble)
		print(j, "; %s", trouble);
	j->state = JOINER_FAILED;
}

/* ---- asking ---- */

/* 0 … below - 1: so that many that begin at once do not stay in step. */
static unsigned jitter(struct joiner *j, unsigned below)
{
	j->jitter = j->jitter * 1664525u + 1013904223u;
	return (j->jitter >> 8) % below;
}

static uint64_t round_pause(struct joiner *j)
{
	unsigned pause = j->rounds < 4 ? ROUND_MS << j->rounds : ROUND_MS_MAX;
	j->rounds++;
	return pause + jitter(j, pause / 4);
}

static void ask(struct joiner *j, struct target *t)
{
	t->useless = !j->port.ask(j->port.ctx, t->address);
	t->unanswered++;
	j->last = t;
}

static void ask_next(struct joiner *j, uint64_t now_ms)
{
	struct target *leader = j->leader;
	j->leader = NULL;
	if (leader) {
		j->due_ms = now_ms + LEADER_MS;
		ask(j, leader);
		return;
	}
	j->hops = 0;
	struct target *t = &j->targets[j->next++];
	if (j->next >= j->count)
		j->next = 0;
	j->due_ms = now_ms + (j->next ? STEP_MS : round_pause(j));
	ask(j, t);
}

enum joiner_state joiner_run(struct joiner *j, uint64_t now_ms)
{
	if (j->state != JOINER_ASKS)
		return j->state;
	if (now_ms - j->since_ms >= j->patience_ms)
		give_up(j);
	else if (now_ms >= j->due_ms)
		ask_next(j, now_ms);
	return j->state;
}

uint64_t joiner_sleep_ms(const struct joiner *j, uint64_t now_ms)
{
	uint64_t end = j->since_ms + j->patience_ms, until = j->due_ms < end ? j->due_ms : end;
	if (j->state != JOINER_ASKS)
		return UINT64_MAX;
	return until > now_ms ? until - now_ms : 0;
}

/* ---- answers ---- */

/* It may be another in a moment. */
static bool is_passing(int code)
{
	return code == ERR_BUSY || code == ERR_NO_QUORUM || code == ERR_TIMED_OUT || code == ERR_NO_SPACE ||
	       code == ERR_NO_MEMORY;
}

/* Whose answer it is: an older member does not say it. */
static struct target *target_answering(struct joiner *j, const Coordfs__JoinResult *result)
{
	struct target *t = target_find(j, result->asked, strlen(result->asked));
	return t ? t : j->last;
}

static void follow(struct joiner *j, const struct target *from, const char *address, uint64_t now_ms)
{
	unsigned known = j->count;
	struct target *leader = target_take(j, address, strlen(address));
	if (!leader)
		return;
	leader->learned |= j->count > known;
	if (j->hops++ >= HOPS_MAX)
		return;
	j->leader = leader;
	j->due_ms = now_ms + (leader == from || j->hops > 2 ? AGAIN_MS : 0);
}

static void note(struct target *t, const Coordfs__JoinResult *result)
{
	const char *text = result->text[0] ? result->text : error_text(result->code);
	t->unanswered = 0;
	if (result->address[0] && strcmp(result->address, t->address) != 0)
		snprintf(t->seen, sizeof t->seen, "it does not lead, but sends us to %.120s", result->address);
	else
		snprintf(t->seen, sizeof t->seen, "%s", text);
}

enum joiner_state joiner_result(struct joiner *j, const Coordfs__JoinResult *result, uint64_t now_ms)
{
	struct target *t = target_answering(j, result);
	if (j->state != JOINER_ASKS || !t)
		return j->state;
	if (result->code == OK && (result->cluster.len != 16 || result->id == 0))
		return j->state;
	if (result->code == OK) {
		j->state = JOINER_IN;
	} else if (is_passing(result->code)) {
		note(t, result);
		follow(j, t, result->address, now_ms);
	} else {
		print(j, "the cluster does not let this member in: %.300s (%.64s at %s says so)",
		      result->text[0] ? result->text : error_text(result->code), result->member, t->address);
		j->state = JOINER_FAILED;
	}
	return j->state;
}

const char *joiner_text(const struct joiner *j)
{
	return j->text;
}

/* ---- life ---- */

int joiner_new(const char *addresses, unsigned patience_ms, const struct joiner_port *port, uint64_t now_ms,
	       struct joiner **out, char *error, size_t error_size)
{
	*out = NULL;
	struct joiner *j = calloc(1, sizeof *j);
	if (!j) {
		snprintf(error, error_size, "out of memory");
		return ERR_NO_MEMORY;
	}
	j->port = *port;
	j->since_ms = j->due_ms = now_ms;
	j->patience_ms = patience_ms;
	j->jitter = (uint32_t)now_ms;
	int code = targets_read(j, addresses, error, error_size);
	if (code) {
		joiner_free(j);
		return code;
	}
	*out = j;
	return 0;
}

void joiner_free(struct joiner *j)
{
	free(j);
}

/* ---- the member's half ---- */

static enum join_decision answer(Coordfs__JoinResult *out, int code, const char *text, const char *address)
{
	out->code = code;
	out->text = (char *)(uintptr_t)text;
	out->address = (char *)(uintptr_t)address;
	return JOIN_ANSWER;
}

struct census {
	const char *name;
	struct member_info found; /* id 0: there is none of that name */
	unsigned count;
};

static int take_member(void *ctx, const struct member_info *member)
{
	struct census *c = ctx;
	c->count++;
	if (strcmp(member->name, c->name) == 0)
		c->found = *member;
	return 0;
}

static enum join_decision propose(const struct join_view *view, Coordfs__JoinResult *out)
{
	answer(out, ERR_BUSY, "it is letting this member in", view->own_address);
	return JOIN_PROPOSE;
}

static enum join_decision decide_as_leader(const struct join_view *view, const Coordfs__JoinRequest *q,
					   Coordfs__JoinResult *out)
{
	struct census c = {.name = q->name};
	machine_members(view->machine, take_member, &c);
	if (q->level < machine_level(view->machine) && machine_level(view->machine) > LEVEL_FIRST)
		return answer(out, ERR_NOT_SUPPORTED, "this member's program is too old for it: install the version that its "
			      "members have", "");
	if (!c.found.id && c.count >= LIMIT_MEMBERS)
		return answer(out, ERR_QUOTA, "it has as many members as there can be: remove one", "");
	if (!c.found.id)
		return propose(view, out);
	if (memcmp(c.found.token, q->token.data, MEMBER_TOKEN_BYTES) != 0)
		return answer(out, ERR_EXISTS, "it has a member of that name, with another data directory: take another name "
			      "(name=), or remove the old one first (rmdir cluster/members/NAME)", "");
	if (strcmp(c.found.address, q->address) != 0)
		return propose(view, out);
	out->id = c.found.id;
	return answer(out, OK, "", "");
}

static enum join_decision decide(const struct join_view *view, const Coordfs__JoinRequest *q, Coordfs__JoinResult *out)
{
	const char *leader = view->leader_address;
	if (view->protocol > view->own_protocol)
		return answer(out, ERR_NOT_SUPPORTED, "its members are of an older version: upgrade them first", "");
	if (!machine_member_name_is_valid(q->name))
		return answer(out, ERR_INVALID, "the name is not one that a member can have: set another with name=", "");
	if (q->token.len != MEMBER_TOKEN_BYTES)
		return answer(out, ERR_INVALID, "the request is malformed", "");
	if (!view->machine)
		return answer(out, ERR_BUSY, "it is starting", "");
	if (view->leads)
		return decide_as_leader(view, q, out);
	if (!leader)
		return answer(out, ERR_BUSY, "its cluster has no leader", "");
	return answer(out, ERR_BUSY, leader[0] ? "it does not lead" : "its leader listens to nobody", leader);
}

enum join_decision join_decide(const struct join_view *view, const Coordfs__JoinRequest *request,
			       Coordfs__JoinResult *out)
{
	coordfs__join_result__init(out);
	if (!request->address[0] || !machine_member_address_is_valid(request->address))
		return JOIN_IGNORE;
	out->asked = request->asked;
	return decide(view, request, out);
}
