/* Programs: each does one thing after another on its member. At the end each counts and reads once more, and that must
 * succeed. */
#include <sys/stat.h>

#include "sim.h"

#define LATE_MS 150 /* beyond the timeout: the tick, and then some */

static void step(void *ctx);

static void later(struct client *c, uint64_t most)
{
	struct member *m = c->member;

	world_at(m->world, m->world->now + between(m->world, 1 * MS, most), m, m->start, step, NULL, c);
}

void client_start(struct client *c)
{
	later(c, 1 * S);
}

void client_crashed(struct client *c)
{
	if (c->op)
		c->op->client = NULL;
	c->op = c->lock = NULL;
	c->lock_state = LOCK_NONE;
}

bool client_is_idle(const struct client *c)
{
	return c->done && !c->op && c->lock_state == LOCK_NONE;
}

/* ---- asking ---- */

static struct op *begin(struct client *c, enum op_kind kind, unsigned object)
{
	struct op *op = story_op(c->member->world->story);

	op->kind = kind;
	op->client = c;
	op->object = object;
	op->asked_ms = member_ms(c->member);
	c->op = op;
	story_asked(c->member->world->story, op);
	return op;
}

static void answered(void *ctx, const struct reply *reply);

static void propose(struct op *op, Coordfs__Command__OfCase type, void *what)
{
	struct member *m = op->client->member;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	command.of_case = type;
	command.create = what; /* a union of pointers */
	op->sequence = proposals_add(m->proposals, &command, answered, op, member_ms(m));
}

static void create(struct client *c, unsigned object)
{
	bool counter = object < COUNTERS;
	struct op *op = begin(c, OP_CREATE, object);
	Coordfs__Create q = COORDFS__CREATE__INIT;
	char name[2] = {(char)('a' + object)};

	q.parent = counter ? INODE_COUNTERS : INODE_LOCKS;
	q.name = (ProtobufCBinaryData){1, (uint8_t *)name};
	q.mode = S_IFREG | 0644;
	propose(op, COORDFS__COMMAND__OF_CREATE, &q);
}

static void count(struct client *c, enum op_kind kind, int64_t expected)
{
	struct op *op = begin(c, kind, kind == OP_ADD ? 0 : 1);
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest request = COORDFS__COUNTER_REQUEST__INIT, *requests[] = {&request};

	request.kind = kind == OP_ADD ? COUNTER_ADD : COUNTER_CAS;
	request.value = kind == OP_ADD ? 1 : (int64_t)op->number;
	request.expected = kind == OP_ADD ? (int64_t)op->number : expected;
	q.inode = c->member->world->inodes[op->object];
	q.n_requests = 1;
	q.requests = requests;
	propose(op, COORDFS__COMMAND__OF_COUNTER, &q);
}

static void lock(struct client *c, unsigned object, bool wait)
{
	struct op *op = begin(c, OP_LOCK, object);
	Coordfs__LockRequest q = COORDFS__LOCK_REQUEST__INIT;

	q.inode = c->member->world->inodes[COUNTERS + object];
	q.kind = LOCK_KIND_FLOCK;
	q.mode = LOCK_MODE_EXCLUSIVE;
	q.end = UINT64_MAX;
	q.wait = wait;
	q.owner = q.handle = op->number;
	c->lock = op;
	propose(op, COORDFS__COMMAND__OF_LOCK, &q);
}

static void cancel(struct client *c)
{
	struct op *op = begin(c, OP_CANCEL, c->lock->object);
	Coordfs__LockCancel q = COORDFS__LOCK_CANCEL__INIT;

	q.waiter_sequence = c->lock->sequence;
	propose(op, COORDFS__COMMAND__OF_LOCK_CANCEL, &q);
}

/* From here on it is not held any more. */
static void drop(struct client *c)
{
	struct op *op = begin(c, OP_DROP, c->lock->object);
	Coordfs__LockDrop q = COORDFS__LOCK_DROP__INIT;

	c->lock_state = LOCK_DOUBTFUL;
	q.inode = c->member->world->inodes[COUNTERS + op->object];
	q.handle = c->lock->number;
	propose(op, COORDFS__COMMAND__OF_LOCK_DROP, &q);
}

static void read_ready(void *ctx, int code);

static void read(struct client *c, unsigned object)
{
	struct op *op = begin(c, OP_READ, object);

	reader_add(c->member->reader, read_ready, op, op->asked_ms);
}

/* ---- answers ---- */

static void check_late(const struct op *op)
{
	struct member *m = op->client->member;
	uint64_t took = member_ms(m) - op->asked_ms;

	if (took > m->world->timeout_ms + LATE_MS && m->stopped_last < op->asked_at)
		violate(m->world, LATE, "%s: #%llu took %llu ms", m->name, (unsigned long long)op->number,
			(unsigned long long)took);
}

static void finish(struct op *op, int code, int64_t value, uint64_t index)
{
	struct client *c = op->client;

	check_late(op);
	story_answered(c->member->world->story, op, code, value, index);
	c->op = NULL;
	if (c->member->world->over && code == OK) {
		c->counted |= op->kind == OP_ADD;
		c->done |= c->counted && op->kind == OP_READ;
	}
	later(c, chance(c->member->world, 300) ? 2 * MS : 400 * MS);
}

static void read_ready(void *ctx, int code)
{
	struct op *op = ctx;
	uint64_t index = 0;
	int64_t value = code == OK ? member_counter(op->client->member, op->object, &index) : 0;

	finish(op, code, value, index);
	if (code == OK && op->object == 1 && chance(op->client->member->world, 500))
		count(op->client, OP_CAS, value);
}

static void hold(struct client *c, uint64_t token)
{
	c->lock_state = LOCK_HELD;
	c->token = token;
	story_granted(c->member->world->story, c, c->lock->object, token);
}

static void lock_answered(struct client *c, const struct reply *reply)
{
	struct member *m = c->member;

	c->lock_session = m->session;
	if (reply->code == ERR_TIMED_OUT)
		c->lock_state = LOCK_DOUBTFUL;
	else if (reply->code < 0 || !member_holds(m, m->session))
		c->lock_state = LOCK_NONE;
	else if (reply->code == QUEUED)
		c->lock_state = LOCK_WAITS;
	else
		hold(c, (uint64_t)reply->value);
}

static void cancel_answered(struct client *c, const struct op *op, int code)
{
	if (code == OK)
		c->lock_state = LOCK_NONE;
	else if (c->lock_state == LOCK_WAITS && code == ERR_NOT_FOUND)
		violate(c->member->world, WRONG_REPLY, "%s: #%llu: waits, and there is no waiter", c->member->name,
			(unsigned long long)op->number);
	else if (c->lock_state == LOCK_WAITS)
		c->lock_state = LOCK_DOUBTFUL;
}

static void answered(void *ctx, const struct reply *reply)
{
	struct op *op = ctx;
	struct client *c = op->client;

	finish(op, reply->code, reply->value, reply->revision);
	if (op->kind == OP_CREATE && reply->code == OK)
		c->member->world->inodes[op->object] = reply->inode;
	else if (op->kind == OP_LOCK)
		lock_answered(c, reply);
	else if (op->kind == OP_CANCEL)
		cancel_answered(c, op, reply->code);
	else if (op->kind == OP_DROP && reply->code == OK)
		c->lock_state = LOCK_NONE;
}

/* ---- news of locks ---- */

static struct client *waiter(struct member *m, uint64_t sequence)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &m->clients[i];

		if (c->lock_state == LOCK_WAITS && c->lock->sequence == sequence && c->lock_session == m->session)
			return c;
	}
	return NULL;
}

void client_granted(struct member *m, uint64_t sequence, uint64_t token)
{
	struct client *c = member_holds(m, m->session) ? waiter(m, sequence) : NULL;

	if (c)
		hold(c, token);
}

void client_denied(struct member *m, uint64_t sequence, int code)
{
	struct client *c = waiter(m, sequence);

	(void)code;
	if (c)
		c->lock_state = LOCK_NONE;
}

void client_session_gone(struct member *m)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		m->clients[i].lock_state = LOCK_NONE;
}

/* ---- what to do ---- */

static bool set_up(struct client *c)
{
	struct world *w = c->member->world;
	unsigned object = 0;

	while (object < COUNTERS + LOCKS && w->inodes[object])
		object++;
	if (object == COUNTERS + LOCKS)
		return true;
	if (c->member->number == 0 && c->number == 0)
		create(c, object);
	else
		later(c, 500 * MS);
	return false;
}

static void with_lock(struct client *c)
{
	struct world *w = c->member->world;

	if (c->lock_state == LOCK_DOUBTFUL || w->over)
		drop(c);
	else if (c->lock_state == LOCK_HELD && chance(w, 500))
		drop(c);
	else if (c->lock_state == LOCK_WAITS && chance(w, 200))
		cancel(c);
	else if (c->lock_state == LOCK_HELD && chance(w, 300))
		count(c, OP_ADD, 0);
	else
		later(c, 600 * MS);
}

static void without_lock(struct client *c)
{
	struct world *w = c->member->world;
	uint64_t dice = below(w, 100);

	if (dice < 40)
		count(c, OP_ADD, 0);
	else if (dice < 55)
		read(c, 0);
	else if (dice < 65)
		read(c, 1);
	else if (!c->member->lost)
		lock(c, (unsigned)below(w, LOCKS), chance(w, 700));
	else
		later(c, 200 * MS);
}

static void last_things(struct client *c)
{
	if (!c->counted)
		count(c, OP_ADD, 0);
	else
		read(c, 0);
}

static void step(void *ctx)
{
	struct client *c = ctx;

	if (c->op || c->done)
		return;
	if (!set_up(c))
		return;
	if (c->lock_state != LOCK_NONE)
		with_lock(c);
	else if (c->member->world->over)
		last_things(c);
	else
		without_lock(c);
}
