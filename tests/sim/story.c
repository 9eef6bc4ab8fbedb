/* What happened, and what must hold of it. The log is the order of all that happened: an operation's place in it is the
 * index at which it was executed, a read's the index of the state that it saw. So, at each answer: it must lie above
 * whatever anyone had been told before the operation was asked for (strict serializability), and say what the
 * execution said. */
#include <inttypes.h>

#include "sim.h"

struct story {
	struct world *world;
	struct op **ops;
	size_t count, capacity;
	uint64_t *states; /* the hash of the state, by index; 0: not applied by anyone */
	size_t state_count;
	uint64_t floor; /* the highest index that anyone was told of */
	int64_t told, executed; /* the additions' counter: the highest value told; how often it was executed */
	uint64_t tokens[LOCKS]; /* the highest that anyone was told of */
};

struct story *story_new(struct world *w)
{
	struct story *r = need(calloc(1, sizeof *r));

	r->world = w;
	return r;
}

void story_free(struct story *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->ops[i]);
	free(r->ops);
	free(r->states);
	free(r);
}

struct op *story_op(struct story *r)
{
	struct op *op = need(calloc(1, sizeof *op));

	if (r->count == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 256;
		r->ops = need(realloc(r->ops, r->capacity * sizeof(struct op *)));
	}
	r->ops[r->count++] = op;
	op->number = r->count;
	return op;
}

void tally_add(struct tally *sum, const struct world *w)
{
	const struct story *r = w->story;

	sum->operations += r->count;
	for (size_t i = 0; i < r->count; i++) {
		const struct op *op = r->ops[i];

		sum->acknowledged += op->answered && op->code >= 0;
		sum->refused += op->answered && op->code < 0 && op->code != ERR_TIMED_OUT;
		sum->unknown += !op->answered || op->code == ERR_TIMED_OUT;
	}
}

static const char *const kind_names[] = {"create", "add", "cas", "read", "lock", "cancel", "drop"};

/* ---- execution ---- */

/* Commands carry their operation's number where the machine does not look for what they do. */
static struct op *op_of(struct story *r, const Coordfs__Command *q)
{
	uint64_t number = 0;

	if (q->of_case == COORDFS__COMMAND__OF_LOCK)
		number = q->lock->owner;
	else if (q->of_case == COORDFS__COMMAND__OF_COUNTER && q->counter->requests[0]->kind == COUNTER_ADD)
		number = (uint64_t)q->counter->requests[0]->expected;
	else if (q->of_case == COORDFS__COMMAND__OF_COUNTER)
		number = (uint64_t)q->counter->requests[0]->value;
	return number && number <= r->count ? r->ops[number - 1] : NULL;
}

/* It was certainly not applied, we said. */
static bool was_refused(const struct op *op)
{
	return op->answered && (op->code == ERR_NO_QUORUM || op->code == ERR_NO_SPACE);
}

static void executed(struct story *r, uint64_t index, const Coordfs__Entry *e, const struct reply *reply)
{
	struct op *op = op_of(r, e->command);

	if (!op || reply->revision != index || reply->code < 0)
		return;
	op->executed++;
	op->index = index;
	op->value = reply->value;
	r->executed += op->kind == OP_ADD;
	if (op->executed > 1)
		violate(r->world, NOT_ONCE, "%s #%" PRIu64 " is executed again at %" PRIu64, kind_names[op->kind],
			op->number, index);
	if (was_refused(op))
		violate(r->world, NOT_ONCE, "%s #%" PRIu64 " was refused (%s) and is executed at %" PRIu64,
			kind_names[op->kind], op->number, error_text(op->code), index);
}

static uint64_t *state_at(struct story *r, uint64_t index)
{
	while (index >= r->state_count) {
		size_t count = r->state_count ? 2 * r->state_count : 1024;

		r->states = need(realloc(r->states, count * sizeof *r->states));
		memset(r->states + r->state_count, 0, (count - r->state_count) * sizeof *r->states);
		r->state_count = count;
	}
	return &r->states[index];
}

void story_applied(struct story *r, struct member *m, uint64_t index, const Coordfs__Entry *e,
		    const struct reply *reply)
{
	uint64_t *state = state_at(r, index);
	Coordfs__Meta meta;
	uint64_t hash;

	machine_meta(m->machine->machine, &meta);
	hash = meta.state_hash ^ meta.time_ns ^ meta.next_lock << 40 ^ meta.next_inode << 20;
	if (hash == 0)
		hash = 1;
	if (*state == 0)
		executed(r, index, e, reply);
	else if (*state != hash)
		violate(r->world, STATES_DIFFER, "%s differs from the others at %" PRIu64, m->name, index);
	*state = hash;
}

/* ---- answers ---- */

void story_asked(struct story *r, struct op *op)
{
	op->floor = r->floor;
	op->least = r->told;
	op->asked_at = r->world->now;
	trace(r->world, "%s: #%" PRIu64 " %s %u", op->client->member->name, op->number, kind_names[op->kind],
	      op->object);
}

static void told_of(struct story *r, uint64_t index)
{
	if (index > r->floor)
		r->floor = index;
}

static void check_place(struct story *r, const struct op *op, uint64_t index)
{
	if (op->kind == OP_READ ? index < op->floor : index <= op->floor)
		violate(r->world, STALE, "%s #%" PRIu64 " is of %" PRIu64 ", but %" PRIu64 " was told before it began",
			kind_names[op->kind], op->number, index, op->floor);
	told_of(r, index);
}

static void check_value(struct story *r, const struct op *op, int64_t value)
{
	if (op->kind == OP_READ ? value < op->least : value <= op->least)
		violate(r->world, STALE, "%s #%" PRIu64 " gives %" PRId64 ", but %" PRId64 " was told before it began",
			kind_names[op->kind], op->number, value, op->least);
	if (value > r->told)
		r->told = value;
}

static void check_executed(struct story *r, const struct op *op, int code, int64_t value)
{
	bool certain = code == ERR_NO_QUORUM || code == ERR_NO_SPACE;

	if (code >= 0 && op->executed != 1)
		violate(r->world, NOT_ONCE, "%s #%" PRIu64 " is acknowledged, and was not executed", kind_names[op->kind],
			op->number);
	else if (certain && op->executed)
		violate(r->world, NOT_ONCE, "%s #%" PRIu64 " is refused (%s), and was executed", kind_names[op->kind],
			op->number, error_text(code));
	else if (code == ERR_STALE && op->kind != OP_LOCK)
		violate(r->world, NOT_ONCE, "%s #%" PRIu64 " is refused as a repeat", kind_names[op->kind], op->number);
	else if (code == OK && value != op->value)
		violate(r->world, WRONG_REPLY, "%s #%" PRIu64 " replies %" PRId64 ", executed it gave %" PRId64,
			kind_names[op->kind], op->number, value, op->value);
}

void story_answered(struct story *r, struct op *op, int code, int64_t value, uint64_t index)
{
	bool update = op->kind == OP_ADD || op->kind == OP_CAS || op->kind == OP_LOCK;

	trace(r->world, "%s: #%" PRIu64 " %s %u: %s, %" PRId64 " at %" PRIu64, op->client->member->name, op->number,
	      kind_names[op->kind], op->object, code < 0 ? error_text(code) : code ? "queued" : "ok", value, index);
	if (update)
		check_executed(r, op, code, value);
	if ((code >= 0 || code == ERR_CANCELED || code == ERR_NOT_FOUND) && !(op->kind >= OP_CANCEL && index == 0))
		check_place(r, op, index); /* what went with its session has none */
	if (code == OK && op->object == 0 && (op->kind == OP_ADD || op->kind == OP_READ))
		check_value(r, op, value);
	op->answered = true;
	op->code = code;
}

/* ---- locks ---- */

/* May c still believe that it holds it, by its member's clock at this moment? */
static bool believes(const struct client *c)
{
	const struct member *m = c->member;

	return m->alive && c->lock_state == LOCK_HELD && c->lock_session == m->session && !m->lost && m->holder.held &&
	       member_boot_ms(m) < m->holder.renewed_ms + m->holder.ttl_ms;
}

void story_granted(struct story *r, struct client *c, unsigned lock, uint64_t token)
{
	struct world *w = r->world;

	trace(w, "%s: #%" PRIu64 " has lock %u, token %" PRIu64, c->member->name, c->lock->number, lock, token);
	if (token <= r->tokens[lock])
		violate(w, TOKEN_FELL, "%s is granted lock %u with %" PRIu64 " after %" PRIu64, c->member->name, lock,
			token, r->tokens[lock]);
	r->tokens[lock] = token;
	w->tally->grants++;
	told_of(r, token);
	for (unsigned i = 0; i < w->member_count * CLIENTS; i++) {
		const struct client *other = &w->members[i / CLIENTS]->clients[i % CLIENTS];

		if (other != c && other->lock && other->lock->object == lock && believes(other))
			violate(w, TWO_HOLDERS, "%s is granted lock %u with %" PRIu64 ", which %s holds with %" PRIu64,
				c->member->name, lock, token, other->member->name, other->token);
	}
}

/* ---- the end ---- */

static void breach(void *ctx, const char *what)
{
	violate(ctx, BROKEN, "%s", what);
}

static void check_member(struct story *r, struct member *m)
{
	struct lock_totals locks = machine_lock_totals(m->machine->machine);
	uint64_t index;
	int64_t value = member_counter(m, 0, &index);

	machine_check(m->machine->machine, breach, r->world);
	if (value != r->executed)
		violate(r->world, NOT_ONCE, "%s: the counter is %" PRId64 " after %" PRId64 " additions", m->name, value,
			r->executed);
	if (locks.holders + locks.waiters)
		violate(r->world, GHOST, "%s: %" PRIu64 " locks are held and %" PRIu64 " waited for by nobody", m->name,
			locks.holders, locks.waiters);
}

void story_end(struct story *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->ops[i]->client && !r->ops[i]->answered)
			violate(r->world, UNANSWERED, "%s #%" PRIu64 " was never answered", kind_names[r->ops[i]->kind],
				r->ops[i]->number);
	for (unsigned i = 0; i < r->world->member_count; i++)
		check_member(r, r->world->members[i]);
}
