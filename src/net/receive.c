/* What comes in: bytes of anybody who can reach the port (and has the key, if there is one). Either it is an envelope
 * that is meant for us, or it is refused, and nothing else happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

/* ---- unpacking ---- */

/* A message of empty entries would unpack to a hundred times its size. The smallest real entries (barriers, of which
 * there is one for each election) unpack to thirty times theirs, those with a command to less than five times. */
#define UNPACKED_BASE_BYTES (1u << 20)
#define UNPACKED_FACTOR 32u
#define UNPACKED_BYTES_MAX (128u << 20)

static void *budget_get(void *ctx, size_t size)
{
	size_t *left = ctx;
	if (size + 16 > *left)
		return NULL;
	*left -= size + 16; /* malloc's own */
	return malloc(size ? size : 1);
}

static void budget_put(void *ctx, void *memory)
{
	(void)ctx;
	free(memory);
}

/* No message of ours contains itself: protobuf-c's recursion is as deep as coordfs.proto. */
static Coordfs__Envelope *unpack(const uint8_t *data, size_t size)
{
	size_t left = UNPACKED_BASE_BYTES + size * UNPACKED_FACTOR;
	ProtobufCAllocator memory = {budget_get, budget_put, &left};
	if (left > UNPACKED_BYTES_MAX)
		left = UNPACKED_BYTES_MAX;
	return coordfs__envelope__unpack(&memory, size, data);
}

/* ---- whose, and for whom ---- */

enum verdict { ACCEPT, DROP, REFUSE };

struct judgement {
	enum verdict verdict;
	enum refusal kind;
	const char *why;
};

static const struct judgement accepted = {.verdict = ACCEPT}, dropped = {.verdict = DROP};

static struct judgement refused(enum refusal kind, const char *why)
{
	return (struct judgement){REFUSE, kind, why};
}

/* We have no cluster yet: we wait for an answer from any, and two joiners that ask each other leave it at that. */
static struct judgement judge_for_joiner(const Coordfs__Envelope *e)
{
	return e->of_case == COORDFS__ENVELOPE__OF_JOIN_RESULT && e->from != 0 && e->cluster.len != 0 ? accepted : dropped;
}

static struct judgement judge_joiner(const struct net *n, const Coordfs__Envelope *e)
{
	if (e->from != 0 || (e->to != 0 && e->to != n->member))
		return refused(REFUSED_MALFORMED, "dropped: a message of no cluster");
	return e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST ? accepted : dropped;
}

static struct judgement judge_member(const struct net *n, const Coordfs__Envelope *e)
{
	if (memcmp(e->cluster.data, n->cluster, sizeof n->cluster) != 0)
		return refused(REFUSED_CLUSTER, "dropped: it belongs to another cluster");
	if (e->from == 0)
		return refused(REFUSED_MALFORMED, "dropped: a message of no member");
	if (e->from == n->member)
		return refused(REFUSED_CLUSTER,
			       "dropped: it calls itself this very member: is its data directory a copy, or is our own address among the members'?");
	if (e->to != 0 && e->to != n->member)
		return refused(REFUSED_CLUSTER, "dropped: it takes us for another member");
	return accepted;
}

/* Asking to join and being told why not is the same in all protocols: else a newer one would wait for an answer in vain. */
static bool is_about_joining(const Coordfs__Envelope *e)
{
	return e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST || e->of_case == COORDFS__ENVELOPE__OF_JOIN_RESULT;
}

static struct judgement judge(const struct net *n, const Coordfs__Envelope *e)
{
	if (!e)
		return refused(REFUSED_MALFORMED, "dropped: a message that is none of coordfs's");
	if (e->protocol > PROTOCOL_VERSION && !is_about_joining(e))
		return refused(REFUSED_PROTOCOL, "dropped: it speaks a newer protocol; upgrade this member");
	if (e->protocol == 0 || (e->cluster.len != 0 && e->cluster.len != sizeof n->cluster))
		return refused(REFUSED_MALFORMED, "dropped: a message that is none of coordfs's");
	if (e->of_case == COORDFS__ENVELOPE__OF__NOT_SET)
		return refused(REFUSED_PROTOCOL, "dropped: a message of a kind that is not known here");
	if (!net_is_identified(n))
		return judge_for_joiner(e);
	return e->cluster.len == 0 ? judge_joiner(n, e) : judge_member(n, e);
}

/* ---- delivery ---- */

/* A member is called by its number too: several may be behind one address. */
static void tell_refusal(struct net *n, zmq_msg_t *frame, const Coordfs__Envelope *e, const struct judgement *j)
{
	const char *address = zmq_msg_gets(frame, "Peer-Address");
	char sender[SENDER_BYTES];
	if (!address)
		address = "somebody";
	if (e && e->from != 0)
		snprintf(sender, sizeof sender, "member %llu at %.48s", (unsigned long long)e->from, address);
	else
		snprintf(sender, sizeof sender, "%.60s", address);
	if (j->kind == REFUSED_PROTOCOL && e && e->protocol > PROTOCOL_VERSION)
		refusal_note(n, j->kind, sender, "%s (its %u, ours %u)", j->why, e->protocol, PROTOCOL_VERSION);
	else
		refusal_note(n, j->kind, sender, "%s", j->why);
}

/* What a newer joiner asks is answered, with a refusal; what is to be done about it is told here, too. */
static void note_newer(struct net *n, zmq_msg_t *frame, const Coordfs__Envelope *e)
{
	const struct judgement j = refused(REFUSED_PROTOCOL,
					   "cannot join: it speaks a newer protocol; upgrade this member first");
	if (e->protocol > PROTOCOL_VERSION && e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST)
		tell_refusal(n, frame, e, &j);
}

static void deliver(struct net *n, const Coordfs__Envelope *e, size_t size)
{
	n->received++;
	if (e->from != 0 && net_is_identified(n))
		peer_heard(n, e->from, size);
	if (e->of_case == COORDFS__ENVELOPE__OF_PING)
		peer_pinged(n, e);
	else if (e->of_case == COORDFS__ENVELOPE__OF_PONG)
		peer_ponged(n, e);
	else
		n->receive(n->ctx, e);
}

void receive_frame(struct net *n, zmq_msg_t *frame)
{
	size_t size = zmq_msg_size(frame);
	Coordfs__Envelope *e = NULL;
	struct judgement j;

	if (size > 0 && size <= NET_MESSAGE_BYTES_MAX)
		e = unpack(zmq_msg_data(frame), size);
	j = judge(n, e);
	if (j.verdict == ACCEPT) {
		note_newer(n, frame, e);
		deliver(n, e, size);
	} else if (j.verdict == REFUSE)
		tell_refusal(n, frame, e, &j);
	if (e)
		coordfs__envelope__free_unpacked(e, NULL); /* which is free(3), as budget_put */
}

void receive_multipart(struct net *n, zmq_msg_t *frame)
{
	struct judgement j = refused(REFUSED_MALFORMED, "dropped: a message of several parts, none of coordfs's");
	tell_refusal(n, frame, NULL, &j);
}
