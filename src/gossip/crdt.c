#include "gossip/crdt.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* ---- stamps ---- */

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int stamp_compare(const struct stamp *a, const struct stamp *b)
{
	if (a->ms != b->ms)
		return compare(a->ms, b->ms);
	if (a->counter != b->counter)
		return compare(a->counter, b->counter);
	return compare(a->member, b->member);
}

bool stamp_is_set(const struct stamp *s)
{
	return s->ms != 0 || s->counter != 0 || s->member != 0;
}

struct stamp stamp_next(struct stamp *last, uint64_t now_ms, uint64_t member)
{
	if (now_ms > last->ms && now_ms < STAMP_MS_MAX) {
		last->ms = now_ms;
		last->counter = 0;
	} else if (last->counter == UINT32_MAX) {
		last->ms++;
		last->counter = 0;
	} else {
		last->counter++;
	}
	last->member = member;
	return *last;
}

void stamp_seen(struct stamp *last, const struct stamp *seen)
{
	if (stamp_compare(last, seen) < 0)
		*last = *seen;
}

static void stamp_raise(struct stamp *into, const struct stamp *from)
{
	if (stamp_compare(into, from) < 0)
		*into = *from;
}

/* ---- life ---- */

void record_init(struct record *r)
{
	*r = (struct record){0};
}

void record_fini(struct record *r)
{
	free(r->shares);
	free(r->file.data);
	free(r->directory.data);
	record_init(r);
}

void record_go(struct record *r)
{
	record_fini(r);
	r->gone = true;
}

/* ---- joins ---- */

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void join_share(struct share *into, const struct share *from)
{
	if (into->epoch != from->epoch) {
		if (from->epoch > into->epoch)
			*into = *from;
		return;
	}
	into->sequence = max(into->sequence, from->sequence);
	into->added = max(into->added, from->added);
	into->taken = max(into->taken, from->taken);
	into->removed_sequence = max(into->removed_sequence, from->removed_sequence);
	into->removed_added = max(into->removed_added, from->removed_added);
	into->removed_taken = max(into->removed_taken, from->removed_taken);
}

/* Both lists in the order of members. */
static size_t join_shares(struct share *out, const struct record *a, const struct record *b)
{
	size_t i = 0, j = 0, count = 0;

	while (i < a->share_count || j < b->share_count) {
		if (j == b->share_count || (i < a->share_count && a->shares[i].member < b->shares[j].member)) {
			out[count++] = a->shares[i++];
		} else if (i == a->share_count || b->shares[j].member < a->shares[i].member) {
			out[count++] = b->shares[j++];
		} else {
			out[count] = a->shares[i++];
			join_share(&out[count++], &b->shares[j++]);
		}
	}
	return count;
}

/* Nobody writes twice with one stamp; should it be seen all the same, everybody takes the same of the two. */
static bool reg_is_newer(const struct reg *a, const struct reg *b)
{
	int order = stamp_compare(&a->written, &b->written);

	if (order == 0)
		order = compare(a->size, b->size);
	if (order == 0 && a->size)
		order = memcmp(a->data, b->data, a->size);
	return order > 0;
}

static bool owner_is_newer(const struct record *a, const struct record *b)
{
	int order = stamp_compare(&a->owner_written, &b->owner_written);

	if (order == 0)
		order = compare(a->owner.uid, b->owner.uid);
	if (order == 0)
		order = compare(a->owner.gid, b->owner.gid);
	if (order == 0)
		order = compare(a->owner.mode, b->owner.mode);
	return order > 0;
}

static bool reg_exists(const struct reg *reg)
{
	return stamp_compare(&reg->written, &reg->removed) > 0;
}

/* What was removed is not kept. */
static void reg_settle(struct reg *reg)
{
	if (reg_exists(reg))
		return;
	free(reg->data);
	reg->data = NULL;
	reg->size = 0;
}

/* data: a copy of from's, if that is newer. */
static void join_reg(struct reg *into, const struct reg *from, uint8_t *data)
{
	if (reg_is_newer(from, into)) {
		free(into->data);
		into->data = data;
		into->size = from->size;
		into->written = from->written;
	}
	stamp_raise(&into->removed, &from->removed);
	reg_settle(into);
}

static int copy(const void *data, size_t size, uint8_t **out)
{
	*out = size ? malloc(size) : NULL;
	if (size && !*out)
		return ERR_NO_MEMORY;
	if (size)
		memcpy(*out, data, size);
	return 0;
}

/* shares: room for both. */
static void join(struct record *into, const struct record *from, struct share *shares, uint8_t *data)
{
	size_t count = join_shares(shares, into, from);

	free(into->shares);
	into->shares = shares;
	into->share_count = count;
	join_reg(&into->file, &from->file, data);
	join_reg(&into->directory, &from->directory, NULL);
	if (owner_is_newer(from, into)) {
		into->owner = from->owner;
		into->owner_written = from->owner_written;
	}
	into->changed_ms = max(into->changed_ms, from->changed_ms);
}

int record_join(struct record *into, const struct record *from)
{
	size_t count = into->share_count + from->share_count;
	struct share *shares;
	uint8_t *data = NULL;

	if (into->gone || from->gone) {
		record_go(into);
		return 0;
	}
	shares = malloc((count + 1) * sizeof *shares);
	if (!shares || (reg_is_newer(&from->file, &into->file) && copy(from->file.data, from->file.size, &data))) {
		free(shares);
		return ERR_NO_MEMORY;
	}
	join(into, from, shares, data);
	return 0;
}

/* ---- what it means ---- */

static bool counter_exists(const struct record *r)
{
	for (size_t i = 0; i < r->share_count; i++)
		if (r->shares[i].sequence > r->shares[i].removed_sequence)
			return true;
	return false;
}

enum gossip_kind record_kind(const struct record *r)
{
	if (reg_exists(&r->directory))
		return GOSSIP_DIRECTORY;
	if (counter_exists(r))
		return GOSSIP_COUNTER;
	return reg_exists(&r->file) ? GOSSIP_FILE : GOSSIP_NOTHING;
}

static __int128 sum(const struct record *r)
{
	__int128 value = 0;

	for (size_t i = 0; i < r->share_count; i++) {
		const struct share *s = &r->shares[i];

		value += (__int128)s->added - s->removed_added;
		value -= (__int128)s->taken - s->removed_taken;
	}
	return value;
}

int64_t record_value(const struct record *r)
{
	__int128 value = sum(r);

	return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

struct stamp record_latest(const struct record *r)
{
	struct stamp latest = r->owner_written;

	stamp_raise(&latest, &r->file.written);
	stamp_raise(&latest, &r->file.removed);
	stamp_raise(&latest, &r->directory.written);
	stamp_raise(&latest, &r->directory.removed);
	return latest;
}

/* ---- changes ---- */

struct share *record_share(const struct record *r, uint64_t member)
{
	for (size_t i = 0; i < r->share_count; i++)
		if (r->shares[i].member == member)
			return &r->shares[i];
	return NULL;
}

static struct share *share_make(struct record *r, uint64_t member, uint64_t epoch)
{
	struct share *shares = realloc(r->shares, (r->share_count + 1) * sizeof *shares);
	size_t i = r->share_count;

	if (!shares)
		return NULL;
	for (; i > 0 && shares[i - 1].member > member; i--)
		shares[i] = shares[i - 1];
	shares[i] = (struct share){.member = member, .epoch = epoch};
	r->shares = shares;
	r->share_count++;
	return &shares[i];
}

static uint64_t magnitude(int64_t amount)
{
	return amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
}

static bool can_grow(const struct record *r, const struct share *s, int64_t amount)
{
	__int128 value = sum(r) + amount;
	uint64_t there = !s ? 0 : amount < 0 ? s->taken : s->added;

	return value <= INT64_MAX && value >= INT64_MIN && magnitude(amount) <= UINT64_MAX - there;
}

int record_add(struct record *r, uint64_t member, uint64_t epoch, int64_t amount)
{
	struct share *s = record_share(r, member);

	if (!can_grow(r, s, amount))
		return ERR_RANGE;
	if (!s)
		s = share_make(r, member, epoch);
	if (!s)
		return ERR_NO_MEMORY;
	s->sequence++;
	if (amount < 0)
		s->taken += magnitude(amount);
	else
		s->added += magnitude(amount);
	return 0;
}

int record_write(struct reg *reg, const struct stamp *stamp, const void *data, size_t size)
{
	uint8_t *own;

	if (copy(data, size, &own))
		return ERR_NO_MEMORY;
	free(reg->data);
	reg->data = own;
	reg->size = size;
	reg->written = *stamp;
	return 0;
}

static void remove_shares(struct record *r)
{
	for (size_t i = 0; i < r->share_count; i++) {
		struct share *s = &r->shares[i];

		s->removed_sequence = s->sequence;
		s->removed_added = s->added;
		s->removed_taken = s->taken;
	}
}

void record_remove(struct record *r, enum gossip_kind kind)
{
	if (kind == GOSSIP_COUNTER)
		remove_shares(r);
	else if (kind == GOSSIP_FILE)
		r->file.removed = r->file.written;
	else if (kind == GOSSIP_DIRECTORY)
		r->directory.removed = r->directory.written;
	reg_settle(&r->file);
}

/* ---- leftovers ---- */

static bool share_is_dead(const struct share *s)
{
	return s->sequence == s->removed_sequence && s->added == s->removed_added && s->taken == s->removed_taken;
}

bool record_has_leftovers(const struct record *r)
{
	for (size_t i = 0; i < r->share_count; i++)
		if (share_is_dead(&r->shares[i]))
			return true;
	return r->gone || stamp_is_set(&r->file.removed) || stamp_is_set(&r->directory.removed) ||
	       (record_kind(r) == GOSSIP_NOTHING && !record_is_empty(r));
}

/* What is behind a removal needs no mark of it: older writes lose against it by themselves. */
static void reg_prune(struct reg *reg)
{
	reg->removed = (struct stamp){0};
}

static void reg_forget(struct reg *reg)
{
	free(reg->data);
	*reg = (struct reg){0};
}

static uint64_t prune_shares(struct record *r, uint64_t member)
{
	uint64_t epoch = 0;
	size_t count = 0;

	for (size_t i = 0; i < r->share_count; i++) {
		if (!share_is_dead(&r->shares[i]))
			r->shares[count++] = r->shares[i];
		else if (r->shares[i].member == member)
			epoch = r->shares[i].epoch;
	}
	r->share_count = count;
	return epoch;
}

uint64_t record_prune(struct record *r, uint64_t member)
{
	uint64_t epoch = prune_shares(r, member);

	if (reg_exists(&r->file))
		reg_prune(&r->file);
	else
		reg_forget(&r->file);
	if (reg_exists(&r->directory))
		reg_prune(&r->directory);
	else
		reg_forget(&r->directory);
	if (record_kind(r) == GOSSIP_NOTHING && r->share_count == 0)
		record_fini(r);
	return epoch;
}

bool record_is_empty(const struct record *r)
{
	return !r->gone && r->share_count == 0 && !stamp_is_set(&r->owner_written) && r->changed_ms == 0 &&
	       !stamp_is_set(&r->file.written) && !stamp_is_set(&r->file.removed) &&
	       !stamp_is_set(&r->directory.written) && !stamp_is_set(&r->directory.removed);
}
