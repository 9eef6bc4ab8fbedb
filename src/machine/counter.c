/* Counters and fences: one number an inode. */
#include <stdlib.h>
#include <string.h>

#include "machine/internal.h"

/* ---- one request ---- */

static int bounded(const Coordfs__Inode *inode, int64_t value, struct reply *r)
{
	if (inode->has_min && value < inode->min)
		refuse(r, ERR_RANGE, "%lld is below min=%lld", (long long)value, (long long)inode->min);
	else if (inode->has_max && value > inode->max)
		refuse(r, ERR_RANGE, "%lld is above max=%lld", (long long)value, (long long)inode->max);
	return r->code;
}

static int request_value(const Coordfs__Inode *inode, const Coordfs__CounterRequest *q, int64_t *value, struct reply *r)
{
	switch (q->kind) {
	case COUNTER_SET:
		*value = q->value;
		break;
	case COUNTER_ADD:
		if (__builtin_add_overflow(inode->value, q->value, value))
			refuse(r, ERR_RANGE, "%lld%+lld is beyond 64 bits", (long long)inode->value, (long long)q->value);
		break;
	case COUNTER_CAS:
		*value = q->value;
		if (inode->value != q->expected)
			refuse(r, ERR_CANCELED, "the value is %lld, not %lld", (long long)inode->value,
			       (long long)q->expected);
		break;
	default:
		refuse(r, ERR_INVALID, "unknown kind of request");
	}
	return r->code ? r->code : bounded(inode, *value, r);
}

/* ---- ids ---- */

static struct key id_key(uint64_t number, const Coordfs__CounterRequest *q)
{
	return key_name('k', number, (struct bytes){q->id.data, q->id.len});
}

/* 1: known, with its result; 0: new. Ids of this very command are looked up among its earlier requests. */
static int id_find(struct context *c, uint64_t number, const Coordfs__CounterUpdate *q, size_t at, const int64_t *results,
		   int64_t *value)
{
	const Coordfs__CounterRequest *me = q->requests[at];
	struct key k = id_key(number, me);
	Coordfs__Remembered *m;
	for (size_t i = 0; i < at; i++) {
		const ProtobufCBinaryData *id = &q->requests[i]->id;
		if (id->len == me->id.len && memcmp(id->data, me->id.data, id->len) == 0) {
			*value = results[i];
			return 1;
		}
	}
	int found = record_get(c->store, &k, &coordfs__remembered__descriptor, &m);
	if (found > 0)
		*value = m->value;
	record_free(m);
	return found;
}

static int id_remember(struct context *c, uint64_t number, const Coordfs__CounterRequest *q, int64_t value)
{
	Coordfs__Remembered m = COORDFS__REMEMBERED__INIT;
	struct key k = id_key(number, q);
	m.value = value;
	m.revision = c->index;
	int code = record_put(c->store, &k, &m);
	if (code || c->staged)
		return code;
	++*machine_remembered(c->machine);
	return expiry_add(c, &k, c->index);
}

int counter_expire(struct context *c, struct bytes key, uint64_t stamp)
{
	Coordfs__Remembered *m;
	struct key k;
	if (key_copy(key, &k))
		return ERR_CORRUPT;
	int code = record_get(c->store, &k, &coordfs__remembered__descriptor, &m);
	if (code > 0) {
		code = 0;
		if (m->revision == stamp) {
			--*machine_remembered(c->machine);
			code = store_del(c->store, key);
		}
	}
	record_free(m);
	return code;
}

/* ---- all requests of a write, or none ---- */

/* What each request would give; *fresh counts those that are no repeats. Changes inode, stores nothing. */
static int update_try(struct context *c, uint64_t number, Coordfs__Inode *inode, const Coordfs__CounterUpdate *q,
		      int64_t *results, bool *is_new, struct reply *r)
{
	size_t ids = 0;
	for (size_t i = 0; i < q->n_requests && r->code == 0; i++) {
		const Coordfs__CounterRequest *one = q->requests[i];
		int known = one->id.len ? id_find(c, number, q, i, results, &results[i]) : 0;
		is_new[i] = known == 0;
		if (known < 0)
			r->code = known;
		else if (known == 0 && request_value(inode, one, &results[i], r) == 0)
			inode->value = results[i];
		ids += known == 0 && one->id.len > 0;
	}
	if (r->code == 0 && ids > 0 && *machine_remembered(c->machine) + ids > LIMIT_IDS)
		refuse(r, ERR_QUOTA, "%u ids are remembered: wait until some are an hour old", LIMIT_IDS);
	return r->code;
}

static int update_store(struct context *c, uint64_t number, Coordfs__Inode *inode, const Coordfs__CounterUpdate *q,
			const int64_t *results, const bool *is_new)
{
	bool any = false;
	int code = 0;
	for (size_t i = 0; i < q->n_requests && code == 0; i++) {
		any |= is_new[i];
		if (is_new[i] && q->requests[i]->id.len)
			code = id_remember(c, number, q->requests[i], results[i]);
	}
	if (code || !any)
		return code;
	inode_touch_content(c, inode);
	context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	return inode_put(c, number, inode);
}

static void update_apply(struct context *c, uint64_t number, Coordfs__Inode *inode, const Coordfs__CounterUpdate *q,
			 struct reply *r)
{
	int64_t few[8], *results = few;
	bool few_new[8], *is_new = few_new;
	if (q->n_requests > 8) {
		results = malloc(q->n_requests * sizeof *results);
		is_new = malloc(q->n_requests * sizeof *is_new);
	}
	if (!results || !is_new)
		r->code = ERR_NO_MEMORY;
	else if (update_try(c, number, inode, q, results, is_new, r) == 0)
		r->code = update_store(c, number, inode, q, results, is_new);
	if (r->code == 0)
		r->value = results[q->n_requests - 1];
	if (results != few)
		free(results);
	if (is_new != few_new)
		free(is_new);
}

static int ids_check(const Coordfs__CounterUpdate *q, struct reply *r)
{
	for (size_t i = 0; i < q->n_requests; i++)
		if (q->requests[i]->id.len > LIMIT_ID_BYTES)
			refuse(r, ERR_INVALID, "an id has at most %u bytes", LIMIT_ID_BYTES);
	return r->code;
}

static int counter_get(struct context *c, uint64_t number, enum inode_kind kind, Coordfs__Inode **out, struct reply *r)
{
	r->code = inode_get(c, number, out);
	if (r->code == 0 && (*out)->kind != kind)
		refuse(r, ERR_INVALID, kind == KIND_FENCE ? "not a fence" : "not a counter");
	else if (r->code == 0)
		consistency_is_eventual(*out, r);
	return r->code;
}

void counter_update(struct context *c, const Coordfs__CounterUpdate *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->inode);
	Coordfs__Inode *inode = NULL;
	if (q->n_requests == 0 || q->n_requests > LIMIT_REQUEST_LINES)
		refuse(r, ERR_INVALID, "1 to %u requests at once", LIMIT_REQUEST_LINES);
	else if (ids_check(q, r) == 0 && counter_get(c, number, KIND_COUNTER, &inode, r) == 0)
		update_apply(c, number, inode, q, r);
	record_free(inode);
}

void counter_bounds(struct context *c, const Coordfs__CounterBounds *q, struct reply *r)
{
	uint64_t number = inode_real(c, q->inode);
	Coordfs__Inode *inode = NULL;
	if (counter_get(c, number, KIND_COUNTER, &inode, r) == 0) {
		if (q->set_min) {
			inode->has_min = q->has_min;
			inode->min = q->has_min ? q->min : 0;
		}
		if (q->set_max) {
			inode->has_max = q->has_max;
			inode->max = q->has_max ? q->max : 0;
		}
		if (inode->has_min && inode->has_max && inode->min > inode->max)
			refuse(r, ERR_INVALID, "min is above max");
		else
			bounded(inode, inode->value, r);
	}
	if (r->code == 0) {
		inode_touch(c, inode);
		r->value = inode->value;
		r->code = inode_put(c, number, inode);
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = number});
	}
	record_free(inode);
}

/* Tokens only grow; a fence keeps the highest it saw (as an unsigned number in the signed field). */
void fence_advance(struct context *c, const Coordfs__FenceAdvance *q, struct reply *r)
{
	Coordfs__Inode *inode = NULL;
	if (counter_get(c, q->inode, KIND_FENCE, &inode, r) == 0) {
		uint64_t highest = (uint64_t)inode->value;
		if (q->token < highest) {
			refuse(r, ERR_STALE, "token %llu is older than %llu", (unsigned long long)q->token,
			       (unsigned long long)highest);
		} else if (q->token > highest) {
			inode->value = (int64_t)q->token;
			inode_touch_content(c, inode);
			r->code = inode_put(c, q->inode, inode);
			context_event(c, (struct event){.type = EVENT_CHANGE, .inode = q->inode});
		}
		r->value = inode->value;
	}
	record_free(inode);
}
