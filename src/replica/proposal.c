/* From a command to its answer.
 *
 * Proposals that are not answered stand in one queue, in order of their sequence, which is also the order in which
 * they go into the log. They are answered when their entry is applied, found by (session, sequence): so it does not
 * matter whether the entry was committed by this libraft, or by the one before it was started again.
 *
 *   WAITING → SUBMITTED → applied: answered
 *                 ↓ libraft stops
 *              UNKNOWN → found in the log when it starts again: applied, answered
 *                 ↓ not in the log: refused
 *
 * They wait while libraft is on the stack, is down, or has INFLIGHT_BYTES_MAX to write. Refusals are told from the
 * loop, never from within replica_propose. A proposal's memory lives until it is answered and libraft has let go
 * of the request in it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replica/internal.h"

int proposals_init(struct replica *r)
{
	r->proposals.refused_last = &r->proposals.refused;
	r->proposals.spare = calloc(1, sizeof *r->proposals.spare);
	return r->proposals.spare ? 0 : ERR_NO_MEMORY;
}

void proposals_fini(struct replica *r)
{
	free(r->proposals.spare);
}

/* ---- one proposal ---- */

static struct proposal *proposal_new(struct replica *r)
{
	struct proposal *p = calloc(1, sizeof *p);

	if (!p) {
		p = r->proposals.spare;
		r->proposals.spare = NULL;
		if (!p)
			abort(); /* no memory to say that there is no memory */
	}
	p->replica = r;
	return p;
}

static void proposal_free(struct proposal *p)
{
	struct replica *r = p->replica;

	raft_free(p->buffer.base);
	if (r->proposals.spare) {
		free(p);
		return;
	}
	memset(p, 0, sizeof *p);
	r->proposals.spare = p;
}

static void enqueue(struct proposals *q, struct proposal *p)
{
	p->previous = q->last;
	if (q->last)
		q->last->next = p;
	else
		q->first = p;
	q->last = p;
	if (!q->first_waiting)
		q->first_waiting = p;
	q->count++;
}

static void dequeue(struct proposals *q, struct proposal *p)
{
	if (q->first_waiting == p)
		q->first_waiting = p->next;
	*(p->previous ? &p->previous->next : &q->first) = p->next;
	*(p->next ? &p->next->previous : &q->last) = p->previous;
	p->next = p->previous = NULL;
	q->count--;
	if (p->state == PROPOSAL_SUBMITTED)
		q->inflight_bytes -= p->size;
}

/* It is in no queue. Its caller is told from the loop. */
static void refuse(struct proposal *p, int code)
{
	struct proposals *q = &p->replica->proposals;

	p->state = PROPOSAL_REFUSED;
	p->code = code;
	p->next = NULL;
	*q->refused_last = p;
	q->refused_last = &p->next;
	replica_kick(p->replica);
}

static void answer(struct proposal *p, const struct reply *reply)
{
	p->state = PROPOSAL_ANSWERED;
	if (p->done)
		p->done(p->ctx, reply);
	if (!p->held)
		proposal_free(p);
}

/* libraft lets go: the entry was applied, or libraft stops. */
static void released(struct raft_apply *request, int status, void *result)
{
	struct proposal *p = request->data;

	(void)result;
	p->held = false;
	if (p->state == PROPOSAL_ANSWERED) {
		proposal_free(p);
	} else if (p->state == PROPOSAL_SUBMITTED && status) {
		p->state = PROPOSAL_UNKNOWN;
		p->replica->proposals.inflight_bytes -= p->size;
	}
}

/* ---- packing ---- */

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int pack(struct proposal *p, const Coordfs__Command *command)
{
	const struct proposal *oldest = p->replica->proposals.first;
	Coordfs__Entry entry = COORDFS__ENTRY__INIT;
	size_t size;

	entry.format = ENTRY_FORMAT;
	entry.time_ns = realtime_ns();
	entry.session = p->session;
	entry.sequence = p->sequence;
	entry.answered_below = oldest ? oldest->sequence : p->sequence;
	entry.command = (Coordfs__Command *)(uintptr_t)command;
	size = coordfs__entry__get_packed_size(&entry);
	if (size > LIMIT_COMMAND_BYTES)
		return ERR_TOO_BIG;
	p->buffer.len = entry_frame_bytes(size);
	p->buffer.base = raft_malloc(p->buffer.len);
	if (!p->buffer.base)
		return ERR_NO_MEMORY;
	coordfs__entry__pack(&entry, entry_frame(&p->buffer, size));
	p->size = p->buffer.len;
	return 0;
}

/* ---- in and out ---- */

/* QUEUED: it has to wait for something that kicks. */
static int submit(struct replica *r, struct proposal *p)
{
	struct proposals *q = &r->proposals;
	int rc;

	if (r->applying || (q->inflight_bytes && q->inflight_bytes + p->size > INFLIGHT_BYTES_MAX))
		return QUEUED;
	p->request.data = p;
	rc = engine_submit(r, p, released);
	if (rc == ERR_BUSY)
		return QUEUED;
	q->first_waiting = p->next;
	if (rc) {
		dequeue(q, p);
		refuse(p, rc);
		return rc;
	}
	p->state = p->held ? PROPOSAL_SUBMITTED : PROPOSAL_UNKNOWN;
	if (p->held)
		q->inflight_bytes += p->size;
	return OK;
}

void proposal_start(struct replica *r, uint64_t session, uint64_t sequence, const Coordfs__Command *command,
		    replica_done done, void *ctx)
{
	struct proposals *q = &r->proposals;
	struct proposal *p = proposal_new(r);
	int rc;

	p->session = session;
	p->sequence = sequence;
	p->done = done;
	p->ctx = ctx;
	p->since_ms = replica_now_ms(r);
	rc = pack(p, command);
	if (rc) {
		refuse(p, rc);
		return;
	}
	enqueue(q, p);
	replica_wake(r);
	if (q->first_waiting != p || submit(r, p) == QUEUED)
		replica_kick(r);
}

void proposal_refuse(struct replica *r, int code, replica_done done, void *ctx)
{
	struct proposal *p = proposal_new(r);

	p->done = done;
	p->ctx = ctx;
	refuse(p, code);
}

void proposal_applied(struct replica *r, uint64_t session, uint64_t sequence, const struct reply *reply)
{
	struct proposal *p = r->proposals.first;

	while (p && (p->session != session || p->sequence != sequence))
		p = p->next;
	if (!p)
		return;
	dequeue(&r->proposals, p);
	if (r->proposals.first_waiting)
		replica_kick(r);
	answer(p, reply);
}

static void tell_refused(struct replica *r)
{
	struct proposals *q = &r->proposals;
	struct proposal *p = q->refused, *next;

	q->refused = NULL;
	q->refused_last = &q->refused;
	for (; p; p = next) {
		struct reply reply = {.code = p->code};

		next = p->next;
		answer(p, &reply);
	}
}

void proposals_run(struct replica *r)
{
	while (r->proposals.first_waiting && submit(r, r->proposals.first_waiting) != QUEUED)
		;
	tell_refused(r);
}

void proposals_fail(struct replica *r, enum proposal_state state, int code)
{
	struct proposal *p, *next;

	for (p = r->proposals.first; p; p = next) {
		next = p->next;
		if (p->state == state) {
			dequeue(&r->proposals, p);
			refuse(p, code);
		}
	}
}

void proposals_expire(struct replica *r, uint64_t now_ms)
{
	struct proposal *p = r->proposals.first, *next;

	for (; p && now_ms - p->since_ms > r->config.timeout_ms; p = next) {
		bool waited = p->state == PROPOSAL_WAITING;

		next = p->next;
		dequeue(&r->proposals, p);
		refuse(p, waited ? ERR_NO_QUORUM : ERR_TIMED_OUT);
	}
}
