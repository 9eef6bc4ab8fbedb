/* The sender's half of proposals.h.
 *
 * Two queues hold what is not answered: the session's own commands, in order of sequence, and the others. Those that
 * were sent in the present stream stand before those that were not; `unsent` is the first of these.
 *
 * A proposal keeps its command packed, with room in front of it, into which the rest of the Entry is written each time
 * it is sent: so the entry is one piece of memory without copying the command, and carries the time, the session and
 * answered_below of that moment. answered_below is the first in the queue: it never passes a command that still
 * waits, whatever is under way in whichever stream.
 *
 * Entries of a session are in the log in order, but for repeats: a leader takes a stream's positions one after another,
 * nothing of an older stream once it knows a newer one, and whatever a former leader took and got stored stands before
 * all that a later one takes. So a command that was given up after a timeout comes into the log before all that was
 * proposed after it, or never.
 *
 * `maybe` says that an entry of it may have got into a log. It decides between "not applied" and "unknown", and is
 * taken back only where that is certain: a refusal of the stream by the leader, and the session's end. */
#include "replica/proposals.h"

#include <stdlib.h>
#include <string.h>

/* Sent in the present stream and not applied here: at most this many, and INFLIGHT_BYTES_MAX, but always one. The count
 * is for the leader: what libraft does for an entry takes longer the more there are that are not committed (engine.c). */
#define INFLIGHT_COUNT_MAX 1024u
#define HEAD_BYTES_MAX 64u /* of an Entry, in front of the command: six numbers with their tags */

#define RESEND_MS 1000u	      /* silence while something was not taken: then twice that, and so on */
#define RESEND_TAKEN_MS 4000u /* all was taken, nothing is applied */
#define RESEND_DOUBLINGS 2u
#define PAUSE_MS 100u /* after a refusal that does not end the proposal */
/* A stream's number starts from the clock, so that it is newer than any of a former start of this member. Should the
 * clock have been set back in between, streams meet silence, and each leaps twice as far as the one before. */
#define STREAM_LEAP_BITS_MIN 34u
#define STREAM_LEAP_BITS_MAX 48u

struct proposal {
	struct proposal *next, *previous;
	proposal_done done;
	void *ctx;
	uint64_t sequence; /* 0: one of the others */
	uint64_t key;	   /* of the others */
	uint64_t position; /* if sent */
	uint64_t since_ms;
	size_t size;	   /* of the command */
	bool sent;	   /* in the present stream */
	bool maybe;	   /* it may be in a log … */
	bool maybe_before; /* … from an earlier stream */
	Coordfs__Command__OfCase type;
	int code; /* refused */
	uint8_t bytes[]; /* HEAD_BYTES_MAX, then the command */
};

struct queue {
	struct proposal *first, *last, *unsent;
};

struct proposals {
	struct proposals_port port;
	unsigned timeout_ms;
	uint64_t session, next_sequence;
	bool lost; /* the session: nothing is sent in it any more */
	uint64_t lost_from; /* sequences from here on were proposed when it was known */
	uint64_t term, leader;
	uint64_t leaderless_ms; /* since when there is no leader; 0: there is one, or there was none yet */
	struct queue own, others;
	struct proposal *hint; /* in own: follows the one that was answered last */
	struct proposal *refused, **refused_last; /* to be told */
	struct proposal *spare; /* so that running out of memory can be said */
	uint64_t count, restarts;
	/* the stream */
	uint64_t stream, position, taken; /* its number; the next position; all below was taken */
	size_t inflight_bytes, inflight_count;
	bool moved;	    /* something was taken or answered since the last tick */
	bool expecting;	    /* something was sent, and nothing moved since … */
	uint64_t silent_ms; /* … this time, also when what was sent is given up */
	unsigned silences;  /* streams in a row that ended by it */
	uint64_t pause_until_ms;
};

struct proposals *proposals_new(const struct proposals_port *port, unsigned timeout_ms)
{
	struct proposals *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->spare = calloc(1, sizeof *p->spare + HEAD_BYTES_MAX);
	if (!p->spare) {
		free(p);
		return NULL;
	}
	p->port = *port;
	p->timeout_ms = timeout_ms;
	p->next_sequence = 1;
	p->refused_last = &p->refused;
	p->stream = port->realtime_ns(port->ctx);
	return p;
}

static void list_free(struct proposal *q)
{
	struct proposal *next;

	for (; q; q = next) {
		next = q->next;
		free(q);
	}
}

void proposals_free(struct proposals *p)
{
	if (!p)
		return;
	list_free(p->own.first);
	list_free(p->others.first);
	list_free(p->refused);
	free(p->spare);
	free(p);
}

/* ---- queues ---- */

static size_t weight(const struct proposal *q)
{
	return q->size + HEAD_BYTES_MAX;
}

static struct queue *queue_of(struct proposals *p, const struct proposal *q)
{
	return q->sequence ? &p->own : &p->others;
}

static void enqueue(struct proposals *p, struct proposal *q)
{
	struct queue *queue = queue_of(p, q);

	q->previous = queue->last;
	*(queue->last ? &queue->last->next : &queue->first) = q;
	queue->last = q;
	if (!queue->unsent)
		queue->unsent = q;
	p->count++;
}

/* It is in the present stream; it is not any more. */
static void takes_off(struct proposals *p, const struct proposal *q)
{
	p->inflight_bytes += weight(q);
	p->inflight_count++;
}

static void lands(struct proposals *p, const struct proposal *q)
{
	p->inflight_bytes -= weight(q);
	p->inflight_count--;
}

static void dequeue(struct proposals *p, struct proposal *q)
{
	struct queue *queue = queue_of(p, q);

	if (queue->unsent == q)
		queue->unsent = q->next;
	if (p->hint == q)
		p->hint = q->next;
	*(q->previous ? &q->previous->next : &queue->first) = q->next;
	*(q->next ? &q->next->previous : &queue->last) = q->previous;
	q->next = q->previous = NULL;
	if (q->sent)
		lands(p, q);
	p->count--;
}

static struct proposal *next_unsent(const struct proposals *p)
{
	return p->others.unsent ? p->others.unsent : p->session && !p->lost ? p->own.unsent : NULL;
}

static bool something_unsent(const struct proposals *p)
{
	return next_unsent(p);
}

/* ---- answers ---- */

static void answer(struct proposals *p, struct proposal *q, const struct reply *reply)
{
	proposal_done done = q->done;
	void *ctx = q->ctx;

	if (p->spare)
		free(q);
	else
		p->spare = q;
	if (done)
		done(ctx, reply);
}

/* It is in no queue. Told by proposals_run. */
static void refuse(struct proposals *p, struct proposal *q, int code)
{
	q->code = code;
	q->next = NULL;
	*p->refused_last = q;
	p->refused_last = &q->next;
	p->port.wake(p->port.ctx);
}

static void drop(struct proposals *p, struct proposal *q, int code)
{
	dequeue(p, q);
	refuse(p, q, code);
}

static void tell_refused(struct proposals *p)
{
	struct proposal *q = p->refused, *next;

	p->refused = NULL;
	p->refused_last = &p->refused;
	for (; q; q = next) {
		struct reply reply = {.code = q->code};

		next = q->next;
		answer(p, q, &reply);
	}
}

static struct proposal *find(const struct proposals *p, uint64_t sequence)
{
	struct proposal *q = p->own.first;

	if (p->hint && p->hint->sequence <= sequence)
		q = p->hint;
	while (q && q->sequence < sequence)
		q = q->next;
	return q && q->sequence == sequence ? q : NULL;
}

static void applied(struct proposals *p, struct proposal *q, const struct reply *reply)
{
	if (q->sequence)
		p->hint = q;
	dequeue(p, q);
	p->moved = true;
	if (something_unsent(p))
		p->port.wake(p->port.ctx);
	answer(p, q, reply);
}

void proposals_applied(struct proposals *p, uint64_t session, uint64_t sequence, const struct reply *reply)
{
	struct proposal *q = session && session == p->session ? find(p, sequence) : NULL;
	struct reply stale = {.code = ERR_STALE};

	if (q)
		applied(p, q, p->lost && q->type == COORDFS__COMMAND__OF_LOCK ? &stale : reply);
}

void proposals_lost(struct proposals *p)
{
	p->lost = true;
	p->lost_from = p->next_sequence;
}

void proposals_applied_other(struct proposals *p, uint64_t key, const struct reply *reply)
{
	struct proposal *q = p->others.first;

	while (q && q->key != key)
		q = q->next;
	if (q)
		applied(p, q, reply);
}

/* ---- the entry ---- */

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_number(uint8_t *at, unsigned field, uint64_t value)
{
	if (value == 0)
		return at;
	*at++ = (uint8_t)(field << 3);
	return put_varint(at, value);
}

/* The bytes that protobuf would give: the fields in order, the command last. */
static struct bytes entry_make(const struct proposals *p, struct proposal *q)
{
	uint8_t head[HEAD_BYTES_MAX], *at = head, *command = q->bytes + HEAD_BYTES_MAX;
	size_t size;

	at = put_number(at, 1, ENTRY_FORMAT);
	at = put_number(at, 2, p->port.realtime_ns(p->port.ctx));
	at = put_number(at, 3, q->sequence ? p->session : 0);
	at = put_number(at, 4, q->sequence);
	at = put_number(at, 5, q->sequence ? p->own.first->sequence : 0);
	*at++ = 6 << 3 | 2;
	at = put_varint(at, q->size);
	size = (size_t)(at - head);
	memcpy(command - size, head, size);
	return (struct bytes){command - size, size + q->size};
}

/* ---- sending ---- */

static void mark_sent(struct proposals *p, struct proposal *q, uint64_t now_ms)
{
	queue_of(p, q)->unsent = q->next;
	if (!p->expecting)
		p->silent_ms = now_ms;
	p->expecting = true;
	q->sent = true;
	q->maybe_before = q->maybe;
	q->maybe = true;
	q->position = p->position++;
	takes_off(p, q);
}

static void refuse_never_sent(struct proposals *p, struct queue *queue, int code)
{
	struct proposal *q, *next;

	for (q = queue->unsent; q; q = next) {
		next = q->next;
		if (!q->maybe)
			drop(p, q, code);
	}
}

/* The log does not take q. If nobody can know whether it is in one from an earlier stream, it stays, and holds up the
 * rest, which need not wait to hear why. */
static int no_space(struct proposals *p, struct proposal *q, uint64_t now_ms)
{
	if (!q->maybe) {
		drop(p, q, ERR_NO_SPACE);
		return OK;
	}
	refuse_never_sent(p, &p->others, ERR_NO_SPACE);
	refuse_never_sent(p, &p->own, ERR_NO_SPACE);
	p->pause_until_ms = now_ms + PAUSE_MS;
	return QUEUED;
}

static int send_one(struct proposals *p, struct proposal *q, uint64_t now_ms)
{
	int code;

	if (p->inflight_count == INFLIGHT_COUNT_MAX)
		return QUEUED;
	if (p->inflight_bytes && p->inflight_bytes + weight(q) > INFLIGHT_BYTES_MAX)
		return QUEUED;
	code = p->port.send(p->port.ctx, p->term, p->stream, p->position, entry_make(p, q));
	if (code == OK)
		mark_sent(p, q, now_ms);
	else if (code == ERR_NO_SPACE)
		code = no_space(p, q, now_ms);
	return code;
}

static void send_all(struct proposals *p, uint64_t now_ms)
{
	if (!p->leader || now_ms < p->pause_until_ms)
		return;
	while (something_unsent(p))
		if (send_one(p, next_unsent(p), now_ms) != OK)
			break;
}

/* ---- streams ---- */

static void queue_restart(struct queue *queue)
{
	for (struct proposal *q = queue->first; q != queue->unsent; q = q->next)
		q->sent = false;
	queue->unsent = queue->first;
}

/* leap: by how much its number is beyond the present one's. */
static void stream_begin(struct proposals *p, uint64_t leap)
{
	if (p->inflight_count)
		p->restarts++;
	queue_restart(&p->own);
	queue_restart(&p->others);
	p->stream += leap;
	p->position = p->taken = 0;
	p->inflight_bytes = p->inflight_count = 0;
	p->moved = p->expecting = false;
	if (something_unsent(p))
		p->port.wake(p->port.ctx);
}

static void refuse_ends(struct proposals *p)
{
	struct proposal *q, *next;

	for (q = p->others.first; q; q = next) {
		next = q->next;
		if (q->type == COORDFS__COMMAND__OF_SESSION_END)
			drop(p, q, q->maybe ? ERR_TIMED_OUT : ERR_NO_QUORUM);
	}
}

void proposals_set_leader(struct proposals *p, uint64_t term, uint64_t leader, uint64_t now_ms)
{
	(void)now_ms;
	if (p->term == term && p->leader == leader)
		return;
	p->term = term;
	if (leader || p->leader)
		p->leaderless_ms = leader ? 0 : now_ms;
	p->leader = leader;
	p->silences = 0;
	p->pause_until_ms = 0;
	refuse_ends(p);
	stream_begin(p, 1);
}

/* What this stream may have done to those from `expected` on, it has not. */
static struct proposal *take_back(struct queue *queue, uint64_t expected)
{
	struct proposal *first = NULL;

	for (struct proposal *q = queue->first; q != queue->unsent; q = q->next) {
		if (q->position < expected)
			continue;
		q->maybe = q->maybe_before;
		if (q->position == expected)
			first = q;
	}
	return first;
}

static void refused(struct proposals *p, uint64_t expected, int code, uint64_t now_ms)
{
	struct proposal *own = take_back(&p->own, expected), *other = take_back(&p->others, expected);
	struct proposal *q = own ? own : other;

	stream_begin(p, 1);
	if (code == ERR_NO_SPACE && q)
		no_space(p, q, now_ms);
	else
		p->pause_until_ms = now_ms + PAUSE_MS;
}

void proposals_result(struct proposals *p, uint64_t term, uint64_t stream, uint64_t expected, int code,
		      uint64_t now_ms)
{
	bool gap = expected == p->taken && expected < p->position;

	if (term != p->term || stream != p->stream || expected < p->taken || expected > p->position)
		return;
	if (expected > p->taken) {
		p->taken = expected;
		p->moved = true;
	}
	if (code != OK)
		refused(p, expected, code, now_ms);
	else if (gap) /* something got lost on the way: what comes after it is not taken */
		stream_begin(p, 1);
}

static unsigned at_most(unsigned value, unsigned max)
{
	return value < max ? value : max;
}

static void break_silence(struct proposals *p, uint64_t now_ms)
{
	unsigned limit_ms = p->taken == p->position ? RESEND_TAKEN_MS : RESEND_MS;

	if (p->moved) {
		p->moved = false;
		p->silences = 0;
		p->silent_ms = now_ms;
		p->expecting = p->inflight_count > 0;
	} else if (p->expecting && now_ms - p->silent_ms >= (uint64_t)limit_ms << at_most(p->silences, RESEND_DOUBLINGS)) {
		stream_begin(p, 1ull << at_most(STREAM_LEAP_BITS_MIN + p->silences, STREAM_LEAP_BITS_MAX));
		p->silences++;
	}
}

/* ---- sessions ---- */

/* What an end of its session means to it: OK or a code, QUEUED: it goes on in the next one. That may only those that
 * were proposed after the loss was known: an earlier one may come through a handle that held a lock, which another
 * member may have been granted by now. */
static int code_at_end(const struct proposals *p, const struct proposal *q)
{
	switch (q->type) {
	case COORDFS__COMMAND__OF_SESSION_END:
	case COORDFS__COMMAND__OF_LOCK_CANCEL:
	case COORDFS__COMMAND__OF_LOCK_DROP:
		return OK;
	case COORDFS__COMMAND__OF_LOCK:
	case COORDFS__COMMAND__OF_COMMIT:
	case COORDFS__COMMAND__OF_ABORT:
		return ERR_STALE;
	default:
		return p->lost && q->sequence >= p->lost_from ? QUEUED : ERR_NO_QUORUM;
	}
}

/* The stream goes on: what it still carries of the former session the machine refuses. */
void proposals_session_over(struct proposals *p)
{
	struct proposal *q, *next;

	if (p->session == 0)
		return;
	p->session = 0;
	p->next_sequence = 1;
	p->hint = NULL;
	for (q = p->own.first; q; q = next) {
		int code = code_at_end(p, q);

		next = q->next;
		if (code != QUEUED) {
			drop(p, q, code);
			continue;
		}
		if (q->sent)
			lands(p, q);
		q->sent = q->maybe = q->maybe_before = false;
		q->sequence = p->next_sequence++;
	}
	p->own.unsent = p->own.first;
	p->lost = false;
}

void proposals_set_session(struct proposals *p, uint64_t session)
{
	if (p->session == session)
		return;
	proposals_session_over(p);
	p->session = session;
	if (p->own.unsent)
		p->port.wake(p->port.ctx);
}

static void refuse_ever_sent(struct proposals *p, int code)
{
	struct proposal *q, *next;

	for (q = p->own.first; q; q = next) {
		next = q->next;
		if (q->maybe)
			drop(p, q, code);
	}
}

void proposals_restored(struct proposals *p, bool session_lives, uint64_t now_ms)
{
	if (!session_lives) {
		refuse_ever_sent(p, ERR_TIMED_OUT);
		proposals_session_over(p);
	}
	(void)now_ms;
	stream_begin(p, 1);
}

/* ---- proposing ---- */

/* One that only carries the callback: refused for want of memory, or of size. */
static struct proposal *proposal_bare(struct proposals *p)
{
	struct proposal *q = calloc(1, sizeof *q + HEAD_BYTES_MAX);

	if (!q) {
		q = p->spare;
		p->spare = NULL;
	}
	if (!q)
		abort(); /* no memory to say that there is no memory */
	return q;
}

/* *code: ERR_TOO_BIG, ERR_NO_MEMORY: it is bare. */
static struct proposal *proposal_new(struct proposals *p, const Coordfs__Command *command, int *code)
{
	size_t size = coordfs__command__get_packed_size(command);
	struct proposal *q;

	*code = size > LIMIT_COMMAND_BYTES - HEAD_BYTES_MAX ? ERR_TOO_BIG : OK;
	q = *code ? NULL : malloc(sizeof *q + HEAD_BYTES_MAX + size);
	if (!q) {
		*code = *code ? *code : ERR_NO_MEMORY;
		return proposal_bare(p);
	}
	memset(q, 0, sizeof *q);
	q->size = size;
	q->type = command->of_case;
	coordfs__command__pack(command, q->bytes + HEAD_BYTES_MAX);
	return q;
}

static void start(struct proposals *p, struct proposal *q, int code, uint64_t now_ms)
{
	q->since_ms = now_ms;
	if (code) {
		refuse(p, q, code);
		return;
	}
	enqueue(p, q);
	send_all(p, now_ms);
}

uint64_t proposals_add(struct proposals *p, const Coordfs__Command *command, proposal_done done, void *ctx,
		       uint64_t now_ms)
{
	int code;
	struct proposal *q = proposal_new(p, command, &code);
	uint64_t sequence = p->next_sequence++;

	q->sequence = sequence;
	q->done = done;
	q->ctx = ctx;
	start(p, q, code, now_ms);
	return sequence;
}

void proposals_add_other(struct proposals *p, const Coordfs__Command *command, uint64_t key, proposal_done done,
			 void *ctx, uint64_t now_ms)
{
	int code;
	struct proposal *q = proposal_new(p, command, &code);

	q->key = key;
	q->done = done;
	q->ctx = ctx;
	start(p, q, code, now_ms);
}

/* ---- from the loop ---- */

void proposals_run(struct proposals *p, uint64_t now_ms)
{
	send_all(p, now_ms);
	tell_refused(p);
}

static void expire(struct proposals *p, struct queue *queue, uint64_t now_ms)
{
	struct proposal *q;

	while ((q = queue->first) && now_ms - q->since_ms > p->timeout_ms)
		drop(p, q, q->maybe ? ERR_TIMED_OUT : ERR_NO_QUORUM);
}

void proposals_tick(struct proposals *p, uint64_t now_ms)
{
	expire(p, &p->own, now_ms);
	expire(p, &p->others, now_ms);
	if (p->leaderless_ms && now_ms - p->leaderless_ms > p->timeout_ms) {
		refuse_never_sent(p, &p->own, ERR_NO_QUORUM);
		refuse_never_sent(p, &p->others, ERR_NO_QUORUM);
	}
	break_silence(p, now_ms);
	send_all(p, now_ms);
}

void proposals_fail(struct proposals *p, int sent, int unsent)
{
	struct queue *queues[] = {&p->others, &p->own};
	struct proposal *q;

	for (size_t i = 0; i < 2; i++)
		while ((q = queues[i]->first))
			drop(p, q, q->maybe ? sent : unsent);
}

bool proposals_busy(const struct proposals *p)
{
	return p->count || p->refused;
}

uint64_t proposals_count(const struct proposals *p)
{
	return p->count;
}

uint64_t proposals_restarts(const struct proposals *p)
{
	return p->restarts;
}
