/* Members: who belongs to the cluster, where they listen, and whether they wish to vote. libraft's configuration
 * follows this table (replica/), not the other way round. The table in memory is an index of the records M, which are
 * the truth that images carry.
 *
 * A member is its number, for ever: the index of the entry that added it (the founder may be given 1). Meta remembers
 * the highest one given, so that a number is never given again, whoever was removed. A name belongs to the data
 * directory whose token came with it. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "machine/internal.h"
#include "machine/level.h"

#define REASON_BYTES 200u

struct member {
	UT_hash_handle hh;
	struct member_info info; /* name and address point to: */
	char name[MEMBER_NAME_MAX + 1];
	char address[MEMBER_ADDRESS_BYTES + 1];
};
struct member_table {
	struct member *members; /* ascending id */
};

struct member_table *member_table_new(void)
{
	return calloc(1, sizeof(struct member_table));
}

static void member_drop(struct member_table *t, struct member *member)
{
	HASH_DEL(t->members, member);
	free(member);
}

void member_table_free(struct member_table *t)
{
	while (t && t->members)
		member_drop(t, t->members);
	free(t);
}

static struct member *member_find(struct member_table *t, uint64_t id)
{
	struct member *member;
	HASH_FIND(hh, t->members, &id, sizeof id, member);
	return member;
}

static struct member *member_named(struct member_table *t, const char *name)
{
	struct member *member = t->members;
	while (member && strcmp(member->name, name) != 0)
		member = member->hh.next;
	return member;
}

/* ---- what is well-formed ---- */

bool machine_member_name_is_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t size = strlen(name);
	return size > 0 && size <= MEMBER_NAME_MAX && name[0] != '.' && strspn(name, letters) == size;
}

static bool is_graphic(const char *text)
{
	while (*text > ' ' && *text < 127)
		text++;
	return *text == '\0';
}

bool machine_member_address_is_valid(const char *address)
{
	if (!address[0])
		return true;
	return strncmp(address, "tcp://", 6) == 0 && address[6] && strlen(address) <= MEMBER_ADDRESS_BYTES &&
	       is_graphic(address);
}

static bool name_check(const char *name, struct reply *r)
{
	if (!machine_member_name_is_valid(name))
		refuse(r, ERR_INVALID, "a member's name is 1 to %u letters, digits, '.', '_' and '-', no '.' in front",
		       MEMBER_NAME_MAX);
	return r->code == 0;
}

static bool address_check(const char *address, struct reply *r)
{
	if (!machine_member_address_is_valid(address))
		refuse(r, ERR_INVALID, "a member's address is tcp://HOST:PORT, at most %u bytes", MEMBER_ADDRESS_BYTES);
	return r->code == 0;
}

/* ---- one member ---- */

static int member_put(struct context *c, const struct member *member)
{
	Coordfs__Member record = COORDFS__MEMBER__INIT;
	struct key k = key1('M', member->info.id);
	record.name = (char *)member->name;
	record.address = (char *)member->address;
	record.token = (ProtobufCBinaryData){MEMBER_TOKEN_BYTES, (uint8_t *)member->info.token};
	record.wish = member->info.wish;
	record.added_ns = member->info.added_ns;
	record.level = member->info.level;
	return record_put(c->store, &k, &record);
}

/* All of it is valid. */
static struct member *member_make(struct member_table *t, uint64_t id, const char *name, const uint8_t *token)
{
	struct member *member = calloc(1, sizeof *member);
	if (!member)
		return NULL;
	strncpy(member->name, name, sizeof member->name - 1);
	memcpy(member->info.token, token, sizeof member->info.token);
	member->info.id = id;
	member->info.name = member->name;
	member->info.address = member->address;
	HASH_ADD(hh, t->members, info.id, sizeof member->info.id, member);
	return hash_kept(member);
}

static void member_set_address(struct member *member, const char *address)
{
	memset(member->address, 0, sizeof member->address);
	strncpy(member->address, address, sizeof member->address - 1);
}

static int member_delete(struct context *c, struct member *member)
{
	struct key k = key1('M', member->info.id);
	int code = session_end_member(c, member->name);
	member_drop(machine_member_table(c->machine), member);
	return code ? code : store_del(c->store, key_bytes(&k));
}

/* ---- levels ---- */

static uint32_t level_said(uint32_t level)
{
	return level < LEVEL_FIRST ? LEVEL_FIRST : level;
}

bool member_level_check(struct context *c, const char *name, uint32_t level, struct reply *r)
{
	uint32_t cluster = machine_level(c->machine);
	if (level_said(level) >= cluster)
		return true;
	refuse(r, ERR_NOT_SUPPORTED, "this program is too old: it knows level %u, the cluster has come to level %u",
	       level_said(level), cluster);
	context_log(c, "member %s is refused: its program knows level %u, the cluster has come to level %u: upgrade it", name,
		    level_said(level), cluster);
	return false;
}

/* alone: of a member that is not in the table, if there is none in it. */
static void level_follow(struct context *c, uint32_t alone)
{
	Coordfs__Meta *meta = machine_own_meta(c->machine);
	const struct member *member = machine_member_table(c->machine)->members;
	uint32_t lowest = member ? member->info.level : alone;
	for (; member; member = member->hh.next)
		if (member->info.level < lowest)
			lowest = member->info.level;
	if (lowest <= meta->level)
		return;
	meta->level = lowest;
	context_log(c, "all members know level %u: so does the cluster from now on", lowest);
}

int member_set_level(struct context *c, const char *name, uint32_t level)
{
	struct member *member = member_named(machine_member_table(c->machine), name);
	int code = 0;
	if (member && member->info.level != level_said(level)) {
		member->info.level = level_said(level);
		code = member_put(c, member);
	}
	level_follow(c, level_said(level));
	return code;
}

/* ---- the commands ---- */

static bool add_is_valid(const Coordfs__MemberAdd *q, struct reply *r)
{
	if (name_check(q->name, r) && address_check(q->address, r) && q->token.len != MEMBER_TOKEN_BYTES)
		refuse(r, ERR_INVALID, "a member has a token of %d bytes", MEMBER_TOKEN_BYTES);
	return r->code == 0;
}

/* It is there: the same data directory again, which may have moved, or another one that wants its name. */
static void add_again(struct context *c, const Coordfs__MemberAdd *q, struct member *member, struct reply *r)
{
	if (memcmp(member->info.token, q->token.data, MEMBER_TOKEN_BYTES) != 0) {
		refuse(r, ERR_EXISTS, "the cluster has a member %s, with another data directory: remove it first, or take "
		       "another name", q->name);
		return;
	}
	r->value = (int64_t)member->info.id;
	if (strcmp(member->address, q->address) != 0) {
		member_set_address(member, q->address);
		r->code = member_put(c, member);
	}
	if (r->code == 0)
		r->code = member_set_level(c, q->name, q->level);
}

static void add_new(struct context *c, const Coordfs__MemberAdd *q, struct reply *r)
{
	struct member_table *t = machine_member_table(c->machine);
	Coordfs__Meta *meta = machine_own_meta(c->machine);
	uint64_t id = q->id ? q->id : c->index;
	if (HASH_COUNT(t->members) >= LIMIT_MEMBERS)
		refuse(r, ERR_QUOTA, "the cluster has %u members", LIMIT_MEMBERS);
	else if (id <= meta->last_member)
		refuse(r, ERR_EXISTS, "member number %llu was given before", (unsigned long long)id);
	else if (id > c->index)
		refuse(r, ERR_INVALID, "a member's number is that of an entry of the log so far");
	if (r->code)
		return;
	struct member *member = member_make(t, id, q->name, q->token.data);
	if (!member) {
		r->code = ERR_NO_MEMORY;
		return;
	}
	member_set_address(member, q->address);
	member->info.added_ns = c->time_ns;
	member->info.level = level_said(q->level);
	meta->last_member = id;
	r->value = (int64_t)id;
	r->code = member_put(c, member);
	level_follow(c, LEVEL_FIRST);
	context_log(c, "member %s (number %llu) joined the cluster", q->name, (unsigned long long)id);
}

void cluster_member_add(struct context *c, const Coordfs__MemberAdd *q, struct reply *r)
{
	struct member *member = member_named(machine_member_table(c->machine), q->name);
	if (!add_is_valid(q, r) || !member_level_check(c, q->name, q->level, r))
		return;
	if (member)
		add_again(c, q, member, r);
	else
		add_new(c, q, r);
}

void cluster_member_set(struct context *c, const Coordfs__MemberSet *q, struct reply *r)
{
	struct member *member = member_find(machine_member_table(c->machine), q->id);
	if (!member)
		refuse(r, ERR_NOT_FOUND, "no member has the number %llu", (unsigned long long)q->id);
	else if (q->wish > MEMBER_STANDBY + 1)
		refuse(r, ERR_INVALID, "a member's role is voter, standby or auto");
	if (r->code || !address_check(q->address, r))
		return;
	if (q->address[0])
		member_set_address(member, q->address);
	if (q->wish)
		member->info.wish = (enum member_wish)(q->wish - 1);
	r->value = (int64_t)q->id;
	r->code = member_put(c, member);
}

void cluster_member_remove(struct context *c, const Coordfs__MemberRemove *q, struct reply *r)
{
	struct member *member = member_find(machine_member_table(c->machine), q->id);
	if (!member) {
		refuse(r, ERR_NOT_FOUND, "no member has the number %llu", (unsigned long long)q->id);
		return;
	}
	context_log(c, "member %s (number %llu) was removed from the cluster", member->name, (unsigned long long)q->id);
	r->value = (int64_t)q->id;
	r->code = member_delete(c, member);
	level_follow(c, LEVEL_FIRST);
}

void cluster_reset(struct context *c, const Coordfs__ClusterReset *q, struct reply *r)
{
	struct member_table *t = machine_member_table(c->machine);
	const struct member *keep = member_find(t, q->keep);
	struct member *member, *next;
	if (strlen(q->reason) > REASON_BYTES)
		refuse(r, ERR_INVALID, "a reason has at most %u bytes", REASON_BYTES);
	if (r->code)
		return;
	context_log(c, "the cluster begins anew at entry %llu, %s%s: %s", (unsigned long long)c->index,
		    keep ? "as only " : "without a member", keep ? keep->name : "", q->reason);
	r->code = session_end_member(c, NULL);
	HASH_ITER(hh, t->members, member, next)
	{
		if (r->code == 0 && member != keep)
			r->code = member_delete(c, member);
	}
	level_follow(c, LEVEL_FIRST);
	r->value = (int64_t)q->keep;
}

bool member_may_open(struct machine *m, const char *name)
{
	struct member_table *t = machine_member_table(m);
	return !t->members || member_named(t, name);
}

/* ---- from an image ---- */

static bool record_is_valid(uint64_t id, const Coordfs__Member *record)
{
	return id && machine_member_name_is_valid(record->name) &&
	       machine_member_address_is_valid(record->address) && record->token.len == MEMBER_TOKEN_BYTES &&
	       record->wish <= MEMBER_STANDBY;
}

int member_load(struct member_table *t, uint64_t id, const Coordfs__Member *record)
{
	if (!record_is_valid(id, record) || member_find(t, id) || member_named(t, record->name) ||
	    HASH_COUNT(t->members) >= LIMIT_MEMBERS)
		return ERR_CORRUPT;
	struct member *member = member_make(t, id, record->name, record->token.data);
	if (!member)
		return ERR_NO_MEMORY;
	member_set_address(member, record->address);
	member->info.wish = (enum member_wish)record->wish;
	member->info.added_ns = record->added_ns;
	member->info.level = level_said(record->level);
	return 0;
}

static int by_id(struct member *a, struct member *b)
{
	return a->info.id < b->info.id ? -1 : a->info.id > b->info.id;
}

int member_load_end(struct member_table *t, const Coordfs__Meta *meta)
{
	const struct member *member;
	HASH_SORT(t->members, by_id);
	for (member = t->members; member; member = member->hh.next)
		if (member->info.id > meta->last_member || member->info.level < meta->level)
			return ERR_CORRUPT;
	return 0;
}

/* ---- invariants ---- */

static const char *member_wrong(struct machine *m, const struct member *member)
{
	const struct member *next = member->hh.next;
	struct key k = key1('M', member->info.id);
	Coordfs__Member *record;
	const char *what = NULL;
	if (record_get(machine_view(m).store, &k, &coordfs__member__descriptor, &record) <= 0)
		return "a member without a record";
	if (!record_is_valid(member->info.id, record))
		what = "a member that could not have been added";
	else if (strcmp(record->name, member->name) != 0 || strcmp(record->address, member->address) != 0 ||
		 record->wish != (uint32_t)member->info.wish || record->added_ns != member->info.added_ns ||
		 level_said(record->level) != member->info.level ||
		 memcmp(record->token.data, member->info.token, MEMBER_TOKEN_BYTES) != 0)
		what = "a member is not as its record says";
	else if (member_named(machine_member_table(m), member->name) != member)
		what = "two members have one name";
	else if ((next && next->info.id <= member->info.id) || member->info.id > machine_own_meta(m)->last_member)
		what = "members' numbers are not in order";
	else if (member->info.level < machine_level(m))
		what = "a member is below the cluster's level";
	record_free(record);
	return what;
}

unsigned member_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx)
{
	const struct member *member = machine_member_table(m)->members;
	unsigned breaches = 0;
	for (; member; member = member->hh.next) {
		const char *what = member_wrong(m, member);
		breaches += what != NULL;
		if (what && fail)
			fail(ctx, what);
	}
	return breaches;
}

/* ---- for the cluster ---- */

void machine_members(struct machine *m, int (*each)(void *ctx, const struct member_info *member), void *ctx)
{
	const struct member *member = machine_member_table(m)->members;
	for (; member; member = member->hh.next)
		if (each(ctx, &member->info))
			return;
}

uint64_t machine_member_named(struct machine *m, const char *name)
{
	const struct member *member = member_named(machine_member_table(m), name);
	return member ? member->info.id : 0;
}
