/* Votes: two- and three-phase commit among programs (Gray & Reuter, Transaction Processing, ch. 10; Skeen, Nonblocking
 * Commit Protocols, 1981). The coordinator's state is here, in the log, so that no death blocks a participant.
 *
 *     OPEN        participants register; the end of the maker's session, or of a participant's, aborts
 *     PREPARE     each votes; a no, the end of the session of one who has not voted, or the timeout abort;
 *                 when all have voted yes: 2pc COMMIT, 3pc
 *     PRECOMMIT   each acknowledges that all have voted yes; then, or at the timeout, COMMIT
 *     COMMIT, ABORT   for ever
 *
 * The table in memory holds the records v unpacked; the records are the truth that images carry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/hash.h"
#include "machine/internal.h"

#define TIMEOUT_MS_DEFAULT 60000u
#define TIMEOUT_MS_MAX (LIMIT_VOTE_TIMEOUT_S_MAX * 1000ull)

struct vote {
	UT_hash_handle hh, named;
	struct vote *prev, *next; /* while its phase has a deadline */
	bool is_timed;
	uint64_t number;
	Coordfs__Vote *record;
};
struct vote_table {
	struct vote *votes; /* ascending number */
	struct vote *names; /* the same, by name */
	struct vote *timed;
	size_t undecided;
};

struct vote_table *vote_table_new(void)
{
	return calloc(1, sizeof(struct vote_table));
}

/* In the list of those with a deadline, as its record says. */
static void vote_time(struct vote_table *t, struct vote *v, bool is_timed)
{
	if (is_timed && !v->is_timed)
		DL_APPEND(t->timed, v);
	else if (v->is_timed && !is_timed)
		DL_DELETE(t->timed, v);
	v->is_timed = is_timed;
}

/* Out of memory, not out of the state. */
static void vote_drop(struct vote_table *t, struct vote *v)
{
	HASH_DEL(t->votes, v);
	if (v->named.tbl)
		HASH_DELETE(named, t->names, v);
	t->undecided -= !vote_is_decided(v->record);
	vote_time(t, v, false);
	record_free(v->record);
	free(v);
}

void vote_table_free(struct vote_table *t)
{
	while (t && t->votes)
		vote_drop(t, t->votes);
	free(t);
}

static struct vote *vote_find(struct vote_table *t, uint64_t number)
{
	struct vote *v;
	HASH_FIND(hh, t->votes, &number, sizeof number, v);
	return v;
}

static struct vote *vote_named(struct vote_table *t, struct bytes name)
{
	struct vote *v;
	HASH_FIND(named, t->names, name.data, name.size, v);
	return v;
}

/* Takes the record, also when it fails. */
static struct vote *vote_add(struct vote_table *t, uint64_t number, Coordfs__Vote *record)
{
	struct vote *v = calloc(1, sizeof *v);
	if (!v) {
		record_free(record);
		return NULL;
	}
	v->number = number;
	v->record = record;
	t->undecided += !vote_is_decided(record);
	HASH_ADD(hh, t->votes, number, sizeof v->number, v);
	if (!hash_has(v)) {
		t->undecided -= !vote_is_decided(record);
		record_free(record);
		free(v);
		return NULL;
	}
	HASH_ADD_KEYPTR(named, t->names, record->name.data, record->name.len, v);
	if (v->named.tbl) {
		vote_time(t, v, record->deadline_ns != 0);
		return v;
	}
	vote_drop(t, v);
	return NULL;
}

/* ---- participants ---- */

static Coordfs__VoteParticipant *participant_find(const Coordfs__Vote *record, struct bytes name)
{
	for (size_t i = 0; i < record->n_participants; i++) {
		Coordfs__VoteParticipant *p = record->participants[i];
		if (p->name.len == name.size && memcmp(p->name.data, name.data, name.size) == 0)
			return p;
	}
	return NULL;
}

static bool all_answered(const Coordfs__Vote *record, enum vote_answer answer)
{
	for (size_t i = 0; i < record->n_participants; i++)
		if (record->participants[i]->answer != (uint32_t)answer)
			return false;
	return true;
}

static bool all_acknowledged(const Coordfs__Vote *record)
{
	for (size_t i = 0; i < record->n_participants; i++)
		if (!record->participants[i]->acknowledged)
			return false;
	return true;
}

static Coordfs__VoteParticipant *participant_add(Coordfs__Vote *record)
{
	size_t n = record->n_participants;
	Coordfs__VoteParticipant *p = malloc(sizeof *p);
	Coordfs__VoteParticipant **list = realloc(record->participants, (n + 1) * sizeof *list);
	if (list)
		record->participants = list;
	if (!p || !list) {
		free(p);
		return NULL;
	}
	coordfs__vote_participant__init(p);
	record->participants[record->n_participants++] = p;
	return p;
}

/* ---- changes ---- */

static int vote_put(struct context *c, struct vote *v)
{
	struct key k = key1('v', v->number);
	v->record->revision = c->index;
	v->record->changed_ns = c->time_ns;
	context_event(c, (struct event){.type = EVENT_VOTE, .inode = v->number});
	return record_put(c->store, &k, v->record);
}

static void phase_begin(struct context *c, struct vote *v, enum vote_phase phase)
{
	struct vote_table *t = machine_vote_table(c->machine);
	v->record->phase = phase;
	v->record->deadline_ns = vote_is_decided(v->record) ? 0 : c->time_ns + (int64_t)(v->record->timeout_ms * 1000000u);
	t->undecided -= vote_is_decided(v->record);
	vote_time(t, v, v->record->deadline_ns != 0);
}

static int vote_abort(struct context *c, struct vote *v, const char *why, struct bytes who)
{
	char reason[LIMIT_NAME_BYTES + 100];
	int size = snprintf(reason, sizeof reason, "%.*s%s%s", (int)who.size, (const char *)who.data, who.size ? ": " : "", why);
	int code = bytes_set(&v->record->reason, reason, (size_t)size);
	phase_begin(c, v, VOTE_ABORT);
	return code ? code : vote_put(c, v);
}

/* Whatever phase is complete now is left. */
static int vote_advance(struct context *c, struct vote *v)
{
	if (v->record->phase == VOTE_PREPARE && all_answered(v->record, VOTE_YES))
		phase_begin(c, v, v->record->protocol == VOTE_3PC ? VOTE_PRECOMMIT : VOTE_COMMIT);
	if (v->record->phase == VOTE_PRECOMMIT && all_acknowledged(v->record))
		phase_begin(c, v, VOTE_COMMIT);
	return vote_put(c, v);
}

static const char *phase_words(const Coordfs__Vote *record)
{
	static const char *const words[] = {"still open", "prepared", "in precommit: all have voted yes", "committed", "aborted"};
	return words[record->phase];
}

static bool phase_check(const Coordfs__Vote *record, enum vote_phase wanted, struct reply *r)
{
	if (record->phase != (uint32_t)wanted)
		refuse(r, ERR_CANCELED, "the vote is %s", phase_words(record));
	return r->code == 0;
}

/* ---- the requests ---- */

static bool name_is_valid(struct bytes name, struct reply *r)
{
	const char *text = name.data;
	if (name.size > LIMIT_NAME_BYTES)
		refuse(r, ERR_NAME_TOO_LONG, "a name has at most %u bytes", LIMIT_NAME_BYTES);
	else if (name.size == 0 || text[0] == '.' || memchr(text, '/', name.size) || memchr(text, 0, name.size))
		refuse(r, ERR_INVALID, "a name is a file name, without a dot in front");
	return r->code == 0;
}

/* The member through which the request came. */
static int member_note(const struct context *c, ProtobufCBinaryData *out)
{
	const char *name = machine_session_member(c->machine, c->session);
	return bytes_set(out, name, strlen(name));
}

static Coordfs__Vote *record_new(const struct context *c, const Coordfs__VoteRequest *q)
{
	Coordfs__Vote *record = malloc(sizeof *record);
	if (!record)
		return NULL;
	coordfs__vote__init(record);
	record->uid = q->uid;
	record->gid = q->gid;
	record->mode = q->mode & 0777;
	record->session = c->session;
	record->protocol = VOTE_2PC;
	record->timeout_ms = TIMEOUT_MS_DEFAULT;
	record->created_ns = c->time_ns;
	if (bytes_set(&record->name, q->name.data, q->name.len) == 0 && member_note(c, &record->member) == 0)
		return record;
	record_free(record);
	return NULL;
}

static void make(struct context *c, const Coordfs__VoteRequest *q, struct reply *r)
{
	struct vote_table *t = machine_vote_table(c->machine);
	struct bytes name = {q->name.data, q->name.len};
	Coordfs__Vote *record;
	struct vote *v;
	if (!name_is_valid(name, r))
		return;
	if (vote_named(t, name)) {
		r->code = ERR_EXISTS;
	} else if (HASH_COUNT(t->votes) >= LIMIT_VOTES) {
		refuse(r, ERR_QUOTA, "there are %u votes: remove those that are decided", LIMIT_VOTES);
	} else {
		record = record_new(c, q);
		v = record ? vote_add(t, c->index, record) : NULL;
		r->value = (int64_t)c->index;
		r->code = v ? vote_put(c, v) : ERR_NO_MEMORY;
	}
}

static void unmake(struct context *c, struct vote *v, struct reply *r)
{
	struct key k = key1('v', v->number);
	if (!vote_is_decided(v->record)) {
		refuse(r, ERR_BUSY, "the vote is not decided: abort it first");
		return;
	}
	context_event(c, (struct event){.type = EVENT_VOTE, .inode = v->number});
	vote_drop(machine_vote_table(c->machine), v);
	r->code = store_del(c->store, key_bytes(&k));
}

static void set_protocol(struct context *c, struct vote *v, uint64_t protocol, struct reply *r)
{
	if (protocol != VOTE_2PC && protocol != VOTE_3PC)
		refuse(r, ERR_INVALID, "a protocol is 2pc or 3pc");
	else if (phase_check(v->record, VOTE_OPEN, r)) {
		v->record->protocol = (uint32_t)protocol;
		r->code = vote_put(c, v);
	}
}

static void set_timeout(struct context *c, struct vote *v, uint64_t timeout_ms, struct reply *r)
{
	if (timeout_ms == 0 || timeout_ms > TIMEOUT_MS_MAX)
		refuse(r, ERR_RANGE, "a timeout is 1 to %u seconds", LIMIT_VOTE_TIMEOUT_S_MAX);
	else if (phase_check(v->record, VOTE_OPEN, r)) {
		v->record->timeout_ms = timeout_ms;
		r->code = vote_put(c, v);
	}
}

static void enrol(struct context *c, struct vote *v, const Coordfs__VoteRequest *q, struct reply *r)
{
	struct bytes name = {q->name.data, q->name.len};
	Coordfs__VoteParticipant *p;
	if (!name_is_valid(name, r) || !phase_check(v->record, VOTE_OPEN, r))
		return;
	if (participant_find(v->record, name)) {
		r->code = ERR_EXISTS;
	} else if (v->record->n_participants >= LIMIT_VOTE_PARTICIPANTS) {
		refuse(r, ERR_QUOTA, "a vote has at most %u participants", LIMIT_VOTE_PARTICIPANTS);
	} else {
		p = participant_add(v->record);
		r->code = p ? bytes_set(&p->name, name.data, name.size) : ERR_NO_MEMORY;
		if (r->code == 0)
			r->code = member_note(c, &p->member);
		if (r->code)
			return;
		p->session = c->session;
		p->uid = q->uid;
		p->gid = q->gid;
		r->code = vote_put(c, v);
	}
}

static void prepare(struct context *c, struct vote *v, struct reply *r)
{
	if (!phase_check(v->record, VOTE_OPEN, r))
		return;
	if (v->record->n_participants == 0) {
		refuse(r, ERR_INVALID, "nobody takes part: mkdir participants/NAME comes first");
		return;
	}
	phase_begin(c, v, VOTE_PREPARE);
	r->code = vote_put(c, v);
}

/* The same answer again changes nothing, in whatever phase: its reply may have been lost. */
static void cast(struct context *c, struct vote *v, const Coordfs__VoteRequest *q, struct reply *r)
{
	struct bytes name = {q->name.data, q->name.len};
	Coordfs__VoteParticipant *p = participant_find(v->record, name);
	if (q->value != VOTE_YES && q->value != VOTE_NO)
		refuse(r, ERR_INVALID, "a vote is yes or no");
	else if (!p)
		refuse(r, ERR_NOT_FOUND, "nobody of that name takes part");
	else if (p->answer == q->value)
		r->code = 0;
	else if (p->answer != VOTE_SILENT)
		refuse(r, ERR_CANCELED, "it has voted %s", p->answer == VOTE_YES ? "yes" : "no");
	else if (phase_check(v->record, VOTE_PREPARE, r)) {
		p->answer = (uint32_t)q->value;
		r->code = q->value == VOTE_NO ? vote_abort(c, v, "voted no", name) : vote_advance(c, v);
	}
}

static void acknowledge(struct context *c, struct vote *v, const Coordfs__VoteRequest *q, struct reply *r)
{
	struct bytes name = {q->name.data, q->name.len};
	Coordfs__VoteParticipant *p = participant_find(v->record, name);
	if (!p)
		refuse(r, ERR_NOT_FOUND, "nobody of that name takes part");
	else if (!p->acknowledged && phase_check(v->record, VOTE_PRECOMMIT, r)) {
		p->acknowledged = true;
		r->code = vote_advance(c, v);
	}
}

static void give_up(struct context *c, struct vote *v, struct reply *r)
{
	if (v->record->phase == VOTE_ABORT)
		return;
	if (v->record->phase != VOTE_OPEN && !phase_check(v->record, VOTE_PREPARE, r))
		return;
	r->code = vote_abort(c, v, "aborted by request", (struct bytes){0});
}

static void expire(struct context *c, struct vote *v, struct reply *r)
{
	if (v->record->deadline_ns == 0 || c->time_ns < v->record->deadline_ns)
		refuse(r, ERR_INVALID, "not yet");
	else if (v->record->phase == VOTE_PRECOMMIT) {
		phase_begin(c, v, VOTE_COMMIT); /* all have voted yes */
		r->code = vote_put(c, v);
	} else {
		r->code = vote_abort(c, v, "not all have voted in time", (struct bytes){0});
	}
}

static void request_of(struct context *c, struct vote *v, const Coordfs__VoteRequest *q, struct reply *r)
{
	r->value = (int64_t)v->number;
	switch (q->action) {
	case VOTE_ACTION_REMOVE: unmake(c, v, r); break;
	case VOTE_ACTION_SET_PROTOCOL: set_protocol(c, v, q->value, r); break;
	case VOTE_ACTION_SET_TIMEOUT: set_timeout(c, v, q->value, r); break;
	case VOTE_ACTION_REGISTER: enrol(c, v, q, r); break;
	case VOTE_ACTION_PREPARE: prepare(c, v, r); break;
	case VOTE_ACTION_CAST: cast(c, v, q, r); break;
	case VOTE_ACTION_ACKNOWLEDGE: acknowledge(c, v, q, r); break;
	case VOTE_ACTION_ABORT: give_up(c, v, r); break;
	case VOTE_ACTION_EXPIRE: expire(c, v, r); break;
	default: refuse(r, ERR_INVALID, "no request to a vote"); break;
	}
}

void vote_request(struct context *c, const Coordfs__VoteRequest *q, struct reply *r)
{
	struct vote *v = vote_find(machine_vote_table(c->machine), q->vote);
	if (q->action == VOTE_ACTION_MAKE)
		make(c, q, r);
	else if (v)
		request_of(c, v, q, r);
	else
		r->code = ERR_NOT_FOUND;
}

/* ---- a session ends ---- */

/* Who is missed, and why that matters; NULL: nobody. */
static const char *missed(const Coordfs__Vote *record, uint64_t session, struct bytes *who)
{
	*who = (struct bytes){0};
	if (record->phase != VOTE_OPEN && record->phase != VOTE_PREPARE)
		return NULL;
	if (record->phase == VOTE_OPEN && record->session == session)
		return "the mount on which it was made is gone";
	for (size_t i = 0; i < record->n_participants; i++) {
		const Coordfs__VoteParticipant *p = record->participants[i];
		*who = (struct bytes){p->name.data, p->name.len};
		if (p->session == session && p->answer == VOTE_SILENT)
			return "its mount was gone before it voted";
	}
	return NULL;
}

int vote_session_end(struct context *c, uint64_t session)
{
	struct vote *v, *next;
	int code = 0;
	if (machine_vote_table(c->machine)->undecided == 0)
		return 0;
	HASH_ITER(hh, machine_vote_table(c->machine)->votes, v, next)
	{
		struct bytes who;
		const char *why = missed(v->record, session, &who);
		if (code == 0 && why)
			code = vote_abort(c, v, why, who);
	}
	return code;
}

/* ---- from an image ---- */

static bool participant_is_valid(const Coordfs__VoteParticipant *p)
{
	struct reply r = {0};
	return name_is_valid((struct bytes){p->name.data, p->name.len}, &r) && p->answer <= VOTE_NO;
}

static bool record_is_valid(const Coordfs__Vote *record)
{
	struct reply r = {0};
	if (!name_is_valid((struct bytes){record->name.data, record->name.len}, &r) || record->phase > VOTE_ABORT ||
	    (record->protocol != VOTE_2PC && record->protocol != VOTE_3PC) || record->timeout_ms == 0 ||
	    record->timeout_ms > TIMEOUT_MS_MAX || record->n_participants > LIMIT_VOTE_PARTICIPANTS)
		return false;
	for (size_t i = 0; i < record->n_participants; i++)
		if (!participant_is_valid(record->participants[i]))
			return false;
	if (record->phase == VOTE_COMMIT || record->phase == VOTE_PRECOMMIT)
		return record->n_participants > 0 && all_answered(record, VOTE_YES);
	return record->phase != VOTE_ABORT || record->reason.len > 0;
}

int vote_load(struct vote_table *t, struct bytes key, struct bytes value)
{
	Coordfs__Vote *record;
	int code = message_unpack(&coordfs__vote__descriptor, value, &record);
	if (code)
		return code;
	if (key.size != 9 || !record_is_valid(record) || vote_find(t, key_number(key, 0)) ||
	    vote_named(t, (struct bytes){record->name.data, record->name.len}) || HASH_COUNT(t->votes) >= LIMIT_VOTES) {
		record_free(record);
		return ERR_CORRUPT;
	}
	return vote_add(t, key_number(key, 0), record) ? 0 : ERR_NO_MEMORY;
}

static int by_number(struct vote *a, struct vote *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

int vote_load_end(struct vote_table *t, const Coordfs__Meta *meta)
{
	const struct vote *v;
	HASH_SORT(t->votes, by_number);
	for (v = t->votes; v; v = v->hh.next)
		if (v->number == 0 || v->number > meta->applied || v->record->revision > meta->applied)
			return ERR_CORRUPT;
	return 0;
}

/* ---- invariants ---- */

struct comparison {
	const Coordfs__Vote *record;
	bool equal;
};

static int compare(void *ctx, struct bytes stored)
{
	struct comparison *is = ctx;
	size_t size = protobuf_c_message_get_packed_size(&is->record->base);
	uint8_t *packed = malloc(size + 1);
	if (!packed)
		return ERR_NO_MEMORY;
	protobuf_c_message_pack(&is->record->base, packed);
	is->equal = size == stored.size && memcmp(packed, stored.data, size) == 0;
	free(packed);
	return 0;
}

static const char *vote_wrong(struct machine *m, const struct vote *v)
{
	struct key k = key1('v', v->number);
	struct comparison is = {.record = v->record};
	if (store_get(machine_view(m).store, key_bytes(&k), compare, &is) != 1)
		return "a vote without a record";
	if (!is.equal)
		return "a vote is not as its record says";
	if (!record_is_valid(v->record))
		return "a vote that could not have come about";
	if (vote_named(machine_vote_table(m), (struct bytes){v->record->name.data, v->record->name.len}) != v)
		return "two votes have one name";
	return NULL;
}

unsigned vote_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx)
{
	const struct vote_table *t = machine_vote_table(m);
	unsigned breaches = 0;
	size_t undecided = 0;
	for (const struct vote *v = t->votes; v; v = v->hh.next) {
		const char *what = vote_wrong(m, v);
		undecided += !vote_is_decided(v->record);
		if (!what && !v->hh.next && undecided != t->undecided)
			what = "the votes that are not decided are miscounted";
		if (!what && v->is_timed != (v->record->deadline_ns != 0))
			what = "a vote is not looked at when its time is up";
		breaches += what != NULL;
		if (what && fail)
			fail(ctx, what);
	}
	return breaches;
}

/* ---- for the outside ---- */

const Coordfs__Vote *machine_vote(struct machine *m, uint64_t number)
{
	const struct vote *v = vote_find(machine_vote_table(m), number);
	return v ? v->record : NULL;
}

uint64_t machine_vote_named(struct machine *m, struct bytes name)
{
	const struct vote *v = vote_named(machine_vote_table(m), name);
	return v ? v->number : 0;
}

void machine_votes(struct machine *m, uint64_t after,
		   int (*each)(void *ctx, uint64_t number, const Coordfs__Vote *vote), void *ctx)
{
	for (const struct vote *v = machine_vote_table(m)->votes; v; v = v->hh.next)
		if (v->number > after && each(ctx, v->number, v->record))
			return;
}

bool machine_votes_timed(struct machine *m)
{
	return machine_vote_table(m)->timed != NULL;
}

size_t machine_votes_due(struct machine *m, int64_t now_ns, uint64_t *numbers, size_t count)
{
	size_t found = 0;
	for (const struct vote *v = machine_vote_table(m)->timed; v && found < count; v = v->next)
		if (v->record->deadline_ns <= now_ns)
			numbers[found++] = v->number;
	return found;
}
