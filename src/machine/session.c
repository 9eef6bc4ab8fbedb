/* Sessions: one for each mount that lives. A session owns its sequence numbers with the replies they had (so that a
 * command proposed again is answered, not repeated), its locks (lock.c), and the names bound to it. The table in
 * memory is an index of the records S, R and b; the records are the truth that images carry.
 *
 * Replies are forgotten in strides (ANSWERED_STRIDE), so that most commands cost one record, not three. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "machine/internal.h"

#define ANSWERED_STRIDE 64u
#define TTL_MS_MAX (LIMIT_SESSION_TTL_S_MAX * 1000)

struct binding {
	UT_hash_handle hh;
	uint64_t number;
};
struct session {
	UT_hash_handle hh;
	uint64_t id;
	char *member;
	uint8_t incarnation[16];
	int64_t opened_ns;
	uint32_t ttl_ms;
	uint64_t answered_below; /* as in the record */
	uint64_t highest;	 /* sequence seen: above it nothing needs to be looked up */
	uint64_t *replies;	 /* the sequences whose replies are kept, in no order */
	size_t reply_count, reply_capacity;
	uint64_t next_binding;
	struct binding *bindings;
};
struct session_table {
	struct session *sessions; /* ascending id */
};

struct session_table *session_table_new(void)
{
	return calloc(1, sizeof(struct session_table));
}

static void session_free(struct session *s)
{
	struct binding *b, *next;
	HASH_ITER(hh, s->bindings, b, next)
	{
		HASH_DEL(s->bindings, b);
		free(b);
	}
	free(s->replies);
	free(s->member);
	free(s);
}

void session_table_free(struct session_table *t)
{
	struct session *s, *next;
	if (!t)
		return;
	HASH_ITER(hh, t->sessions, s, next)
	{
		HASH_DEL(t->sessions, s);
		session_free(s);
	}
	free(t);
}

static struct session *session_find(struct session_table *t, uint64_t id)
{
	struct session *s;
	HASH_FIND(hh, t->sessions, &id, sizeof id, s);
	return s;
}

static struct session *session_make(struct session_table *t, uint64_t id)
{
	struct session *s = session_find(t, id);
	if (s || !(s = calloc(1, sizeof *s)))
		return s;
	s->id = id;
	HASH_ADD(hh, t->sessions, id, sizeof s->id, s);
	return hash_kept(s);
}

static int session_put(struct context *c, const struct session *s)
{
	Coordfs__Session record = COORDFS__SESSION__INIT;
	struct key k = key1('S', s->id);
	record.member = s->member;
	record.incarnation = (ProtobufCBinaryData){sizeof s->incarnation, (uint8_t *)s->incarnation};
	record.opened_ns = s->opened_ns;
	record.answered_below = s->answered_below;
	record.next_binding = s->next_binding;
	record.ttl_ms = s->ttl_ms;
	return record_put(c->store, &k, &record);
}

/* ---- exactly once ---- */

static void reply_unpack(const Coordfs__Reply *in, struct reply *out)
{
	out->code = in->code;
	out->value = in->value;
	out->inode = in->inode;
	out->revision = in->revision;
	out->size = in->size;
	strncpy(out->text, in->text, sizeof out->text - 1);
}

int session_admit(struct context *c, struct session_table *t, struct reply *r)
{
	struct session *s = session_find(t, c->session);
	struct key k = key2('R', c->session, c->sequence);
	Coordfs__Reply *old;
	if (!s) {
		refuse(r, ERR_STALE, "the session is over");
		return ERR_STALE;
	}
	if (c->sequence > s->highest)
		return OK;
	if (c->sequence < s->answered_below) {
		refuse(r, ERR_STALE, "a late repeat of an answered request");
		return ERR_STALE;
	}
	int found = record_get(c->store, &k, &coordfs__reply__descriptor, &old);
	if (found > 0)
		reply_unpack(old, r);
	record_free(old);
	return found > 0 ? QUEUED : found;
}

static int reply_note(struct session *s, uint64_t sequence)
{
	if (s->reply_count == s->reply_capacity) {
		size_t capacity = s->reply_capacity ? 2 * s->reply_capacity : 2 * ANSWERED_STRIDE;
		uint64_t *replies = realloc(s->replies, capacity * sizeof *replies);
		if (!replies)
			return ERR_NO_MEMORY;
		s->replies = replies;
		s->reply_capacity = capacity;
	}
	s->replies[s->reply_count++] = sequence;
	if (sequence > s->highest)
		s->highest = sequence;
	return 0;
}

/* By the list, not by counting: a sequence may be any number, and the next one another. */
static int replies_delete(struct context *c, struct session *s, uint64_t last)
{
	size_t kept = 0;
	int code = 0;
	for (size_t i = 0; i < s->reply_count && code == 0; i++) {
		struct key k = key2('R', s->id, s->replies[i]);
		if (s->replies[i] <= last)
			code = store_del(c->store, key_bytes(&k));
		else
			s->replies[kept++] = s->replies[i];
	}
	s->reply_count = kept;
	return code;
}

static int replies_forget(struct context *c, struct session *s, uint64_t below)
{
	int code = replies_delete(c, s, below - 1);
	s->answered_below = below;
	return code ? code : session_put(c, s);
}

int session_remember(struct context *c, struct session_table *t, uint64_t answered_below, const struct reply *r)
{
	struct session *s = session_find(t, c->session);
	struct key k = key2('R', c->session, c->sequence);
	Coordfs__Reply record = COORDFS__REPLY__INIT;
	if (!s)
		return 0; /* it ended with this very command */
	record.code = r->code;
	record.value = r->value;
	record.inode = r->inode;
	record.revision = r->revision;
	record.size = r->size;
	record.text = (char *)r->text;
	int code = reply_note(s, c->sequence);
	if (code == 0)
		code = record_put(c->store, &k, &record);
	if (answered_below > c->sequence)
		answered_below = c->sequence;
	if (code == 0 && answered_below >= s->answered_below + ANSWERED_STRIDE)
		code = replies_forget(c, s, answered_below);
	return code;
}

/* ---- bound names ---- */

static struct binding *binding_make(struct session *s, uint64_t number)
{
	struct binding *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->number = number;
	HASH_ADD(hh, s->bindings, number, sizeof b->number, b);
	return hash_kept(b);
}

int session_bind(struct context *c, uint64_t session, uint64_t parent, struct bytes name, uint64_t *binding)
{
	struct session *s = session_find(machine_session_table(c->machine), session);
	Coordfs__Binding record = COORDFS__BINDING__INIT;
	if (!s)
		return ERR_CORRUPT; /* a name of no session */
	struct binding *b = binding_make(s, s->next_binding + 1);
	if (!b)
		return ERR_NO_MEMORY;
	*binding = ++s->next_binding;
	struct key k = key2('b', s->id, *binding);
	record.parent = parent;
	record.name = (ProtobufCBinaryData){name.size, (uint8_t *)name.data};
	int code = record_put(c->store, &k, &record);
	return code ? code : session_put(c, s);
}

int session_unbind(struct context *c, uint64_t session, uint64_t binding)
{
	struct session *s = session_find(machine_session_table(c->machine), session);
	struct key k = key2('b', session, binding);
	struct binding *b = NULL;
	if (s)
		HASH_FIND(hh, s->bindings, &binding, sizeof binding, b);
	if (b) {
		HASH_DEL(s->bindings, b);
		free(b);
	}
	return store_del(c->store, key_bytes(&k));
}

/* ---- the end ---- */

/* 1: the bound name goes; 0: it stays, a directory that is not empty or has the sticky bit; negative: code. */
static int name_goes(struct context *c, const Coordfs__Dirent *d)
{
	Coordfs__Inode *inode;
	int code = inode_get(c, d->inode, &inode);
	if (code)
		return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
	bool goes = inode->kind != KIND_DIRECTORY || (inode->entries == 0 && !(inode->mode & 01000));
	record_free(inode);
	return goes;
}

/* A name that stays belongs to nobody from now on. */
static int name_release(struct context *c, uint64_t parent, struct bytes name, Coordfs__Dirent *d)
{
	struct key k = key_name('e', parent, name), b = key2('b', d->session, d->binding);
	int code = store_del(c->store, key_bytes(&b));
	d->session = d->binding = 0;
	return code ? code : record_put(c->store, &k, d);
}

static int name_remove(struct context *c, const Coordfs__Binding *record, const Coordfs__Dirent *d)
{
	struct reply r = {0};
	Coordfs__Remove q = COORDFS__REMOVE__INIT;
	q.parent = record->parent;
	q.name = record->name;
	q.directory = d->kind == KIND_DIRECTORY;
	namespace_remove(c, &q, &r);
	return r.code;
}

static int binding_end(struct context *c, const struct session *s, uint64_t number, const Coordfs__Binding *record)
{
	struct bytes name = {record->name.data, record->name.len};
	Coordfs__Dirent *d;
	int code = directory_find(c->store, record->parent, name, &d);
	if (code)
		return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
	if (d->session != s->id || d->binding != number)
		code = ERR_CORRUPT;
	else if ((code = name_goes(c, d)) >= 0)
		code = code ? name_remove(c, record, d) : name_release(c, record->parent, name, d);
	record_free(d);
	return code == 0 || code == ERR_NO_MEMORY ? code : ERR_CORRUPT; /* a refusal cannot be */
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

/* The numbers of a session's bindings; NULL: no memory. */
static uint64_t *bindings_list(const struct session *s)
{
	const struct binding *b;
	size_t count = 0;
	uint64_t *list = malloc((HASH_COUNT(s->bindings) + 1) * sizeof *list);
	if (!list)
		return NULL;
	for (b = s->bindings; b; b = b->hh.next)
		list[count++] = b->number;
	qsort(list, count, sizeof *list, newest_first);
	return list;
}

/* Newest first, so that what lies in a bound directory goes before it. */
static int bindings_end(struct context *c, struct session *s)
{
	size_t count = HASH_COUNT(s->bindings);
	uint64_t *list = bindings_list(s);
	int code = list ? 0 : ERR_NO_MEMORY;
	for (size_t i = 0; i < count && code == 0; i++) {
		struct key k = key2('b', s->id, list[i]);
		Coordfs__Binding *record;
		code = record_get(c->store, &k, &coordfs__binding__descriptor, &record);
		code = code > 0 ? binding_end(c, s, list[i], record) : code < 0 ? code : ERR_CORRUPT;
		record_free(record);
	}
	free(list);
	return code;
}

static int session_finish(struct context *c, struct session *s)
{
	struct session_table *t = machine_session_table(c->machine);
	struct key k = key1('S', s->id);
	int code = lock_session_end(c, s->id);
	if (code == 0)
		code = vote_session_end(c, s->id);
	if (code == 0)
		code = bindings_end(c, s);
	if (code == 0)
		code = replies_delete(c, s, UINT64_MAX);
	if (code == 0)
		code = store_del(c->store, key_bytes(&k));
	context_event(c, (struct event){.type = EVENT_SESSION_END, .session = s->id});
	HASH_DEL(t->sessions, s);
	session_free(s);
	return code;
}

void session_end(struct context *c, const Coordfs__SessionEnd *q, struct reply *r)
{
	struct session *s = session_find(machine_session_table(c->machine), q->session);
	if (!s) {
		r->code = ERR_NOT_FOUND;
		return;
	}
	if (strcmp(q->reason, "unmounted") != 0)
		context_log(c, "session %llu of %s ended: %s", (unsigned long long)s->id, s->member, q->reason);
	r->code = session_finish(c, s);
}

/* ---- the beginning ---- */

int session_end_member(struct context *c, const char *member)
{
	struct session *s, *next;
	int code = 0;
	HASH_ITER(hh, machine_session_table(c->machine)->sessions, s, next)
	{
		if (code == 0 && (!member || strcmp(s->member, member) == 0))
			code = session_finish(c, s);
	}
	return code;
}

/* The session that this very SessionOpen made when it was applied before; NULL: it was not, or that one is over. */
static struct session *session_opened(struct session_table *t, const Coordfs__SessionOpen *q)
{
	for (struct session *s = t->sessions; s; s = s->hh.next)
		if (memcmp(s->incarnation, q->incarnation.data, sizeof s->incarnation) == 0 &&
		    strcmp(s->member, q->member) == 0)
			return s;
	return NULL;
}

static bool open_is_valid(const Coordfs__SessionOpen *q, struct reply *r)
{
	if (strlen(q->member) == 0 || strlen(q->member) > MEMBER_NAME_MAX || q->incarnation.len != 16)
		refuse(r, ERR_INVALID, "a session names its member and its incarnation");
	else if (q->ttl_ms > TTL_MS_MAX)
		refuse(r, ERR_INVALID, "a session lives for %u seconds at most without a renewal", LIMIT_SESSION_TTL_S_MAX);
	return r->code == 0;
}

static void session_begin(struct context *c, const Coordfs__SessionOpen *q, struct reply *r)
{
	struct session *s = session_make(machine_session_table(c->machine), c->index);
	if (!s || !(s->member = strdup(q->member))) {
		r->code = ERR_NO_MEMORY;
		return;
	}
	memcpy(s->incarnation, q->incarnation.data, sizeof s->incarnation);
	s->opened_ns = c->time_ns;
	s->ttl_ms = q->ttl_ms;
	s->answered_below = 1;
	r->value = (int64_t)s->id;
	r->code = session_put(c, s);
}

void session_open(struct context *c, const Coordfs__SessionOpen *q, struct reply *r)
{
	struct session_table *t = machine_session_table(c->machine);
	Coordfs__Inode *root = NULL;
	struct session *s = NULL;
	if (!open_is_valid(q, r))
		return;
	if (!member_may_open(c->machine, q->member)) {
		refuse(r, ERR_PERM, "%s is no member of this cluster", q->member);
		return;
	}
	if (!member_level_check(c, q->member, q->level, r))
		return;
	if ((s = session_opened(t, q))) {
		r->value = (int64_t)s->id;
		return;
	}
	if ((r->code = inode_get(c, INODE_ROOT, &root)) == ERR_NOT_FOUND) {
		r->code = 0;
		namespace_genesis(c, q->owner_uid, q->owner_gid, r);
	}
	record_free(root);
	if (r->code == 0)
		r->code = session_end_member(c, q->member);
	if (r->code == 0 && HASH_COUNT(t->sessions) >= LIMIT_SESSIONS)
		refuse(r, ERR_QUOTA, "%u sessions are open", LIMIT_SESSIONS);
	if (r->code == 0)
		session_begin(c, q, r);
	if (r->code == 0)
		r->code = member_set_level(c, q->member, q->level);
}

/* ---- from an image ---- */

static int load_session(struct session_table *t, uint64_t id, struct bytes value)
{
	struct session *s = session_make(t, id);
	Coordfs__Session *record;
	int code = message_unpack(&coordfs__session__descriptor, value, &record);
	if (code == 0 && !s)
		code = ERR_NO_MEMORY;
	if (code == 0 && (record->incarnation.len != sizeof s->incarnation || strlen(record->member) > MEMBER_NAME_MAX ||
			  record->ttl_ms > TTL_MS_MAX))
		code = ERR_CORRUPT;
	if (code == 0) {
		memcpy(s->incarnation, record->incarnation.data, sizeof s->incarnation);
		s->opened_ns = record->opened_ns;
		s->ttl_ms = record->ttl_ms;
		s->answered_below = record->answered_below;
		s->next_binding = record->next_binding;
		free(s->member);
		s->member = strdup(record->member);
		code = s->member ? 0 : ERR_NO_MEMORY;
	}
	record_free(record);
	return code;
}

int session_load(struct session_table *t, struct bytes key, struct bytes value)
{
	char letter = *(const char *)key.data;
	uint64_t id = key_number(key, 0);
	if (letter == 'S')
		return load_session(t, id, value);
	struct session *s = session_make(t, id);
	if (!s)
		return ERR_NO_MEMORY;
	if (letter == 'b')
		return binding_make(s, key_number(key, 1)) ? 0 : ERR_NO_MEMORY;
	return reply_note(s, key_number(key, 1));
}

static int by_id(struct session *a, struct session *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

int session_load_end(struct session_table *t)
{
	struct session *s, *next;
	HASH_SORT(t->sessions, by_id);
	HASH_ITER(hh, t->sessions, s, next)
	{
		if (!s->member)
			return ERR_CORRUPT; /* replies or bindings of no session */
		if (s->highest + 1 < s->answered_below)
			s->highest = s->answered_below - 1;
	}
	return 0;
}

/* ---- for people ---- */

void machine_sessions(struct machine *m, int (*each)(void *ctx, const struct session_info *s), void *ctx)
{
	struct session *s, *next;
	HASH_ITER(hh, machine_session_table(m)->sessions, s, next)
	{
		struct session_info info = {.session = s->id, .member = s->member, .opened_ns = s->opened_ns,
					    .ttl_ms = s->ttl_ms, .bindings = HASH_COUNT(s->bindings)};
		if (each(ctx, &info))
			return;
	}
}

bool machine_session_alive(struct machine *m, uint64_t session)
{
	return session_find(machine_session_table(m), session) != NULL;
}

const char *machine_session_member(struct machine *m, uint64_t session)
{
	struct session *s = session_find(machine_session_table(m), session);
	return s ? s->member : "";
}
