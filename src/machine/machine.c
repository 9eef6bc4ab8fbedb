/* The replicated state machine: one command after another, each at its index and time.
 *
 * A command is executed in a context. Plain commands change the store as they go; they look first, and refuse
 * before they change anything. What an execution brings about for the outside (events) is kept until it has succeeded.
 * A store that cannot be written is no refusal: machine_apply then returns an error, and the machine is void. */
#include "machine/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/history.h"
#include "machine/internal.h"
#include "machine/level.h"

#define EXPIRIES_AT_ONCE 64u
/* A later time is taken for none: what is kept for a while needs room above. */
#define TIME_NS_MAX ((uint64_t)INT64_MAX - OUTCOME_KEEP_NS)

struct machine {
	struct history *history;
	struct machine_observer observer;
	Coordfs__Meta meta; /* applied, time, next_*, expiry_*, remembered, inodes; the rest on demand */
	struct lock_table *locks;
	struct session_table *sessions;
	struct member_table *members;
	struct vote_table *votes;
	unsigned transactions; /* open on this member */
	struct event *events; /* of the command being executed; names are copied behind them */
	size_t event_count, event_capacity;
};

/* ---- life ---- */

int machine_load_begin(struct store *base, const struct machine_observer *observer, struct machine **out)
{
	*out = NULL;
	struct machine *m = calloc(1, sizeof *m);
	if (!m)
		return ERR_NO_MEMORY;
	coordfs__meta__init(&m->meta);
	m->meta.next_inode = INODE_FIRST;
	m->meta.next_lock = 1;
	m->meta.level = LEVEL_FIRST;
	if (observer)
		m->observer = *observer;
	m->history = history_new(base);
	m->locks = lock_table_new();
	m->sessions = session_table_new();
	m->members = member_table_new();
	m->votes = vote_table_new();
	if (!m->history || !m->locks || !m->sessions || !m->members || !m->votes) {
		machine_free(m);
		return ERR_NO_MEMORY;
	}
	*out = m;
	return 0;
}

int machine_new(struct store *base, const struct machine_observer *observer, struct machine **out)
{
	return machine_load_begin(base, observer, out);
}

size_t machine_events(const struct machine *m)
{
	return m->event_count;
}

void machine_events_forget(struct machine *m, size_t from)
{
	for (size_t i = from; i < m->event_count; i++)
		free((void *)m->events[i].name.data);
	m->event_count = from;
}

static void events_clear(struct machine *m)
{
	machine_events_forget(m, 0);
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	events_clear(m);
	free(m->events);
	session_table_free(m->sessions);
	member_table_free(m->members);
	vote_table_free(m->votes);
	lock_table_free(m->locks);
	history_free(m->history);
	free(m);
}

/* ---- what executions use ---- */

struct lock_table *machine_lock_table(struct machine *m)
{
	return m->locks;
}

struct session_table *machine_session_table(struct machine *m)
{
	return m->sessions;
}

struct member_table *machine_member_table(struct machine *m)
{
	return m->members;
}

struct vote_table *machine_vote_table(struct machine *m)
{
	return m->votes;
}

struct history *machine_history(struct machine *m)
{
	return m->history;
}

uint64_t machine_next_lock(struct machine *m)
{
	return m->meta.next_lock++;
}

Coordfs__Meta *machine_own_meta(struct machine *m)
{
	return &m->meta;
}

unsigned *machine_transactions(struct machine *m)
{
	return &m->transactions;
}

uint64_t *machine_remembered(struct machine *m)
{
	return &m->meta.remembered;
}

bool machine_is_full(const struct machine *m)
{
	return history_figures(m->history)->bytes > LIMIT_STATE_BYTES;
}

void refuse(struct reply *r, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	r->code = code;
	vsnprintf(r->text, sizeof r->text, format, args);
	va_end(args);
}

static bool event_room(struct machine *m)
{
	if (m->event_count < m->event_capacity)
		return true;
	size_t capacity = m->event_capacity ? 2 * m->event_capacity : 16;
	struct event *events = realloc(m->events, capacity * sizeof *events);
	if (!events)
		return false;
	m->events = events;
	m->event_capacity = capacity;
	return true;
}

void context_event(const struct context *c, struct event event)
{
	struct machine *m = c->machine;
	void *name = NULL;
	if (c->staged || !m->observer.event)
		return;
	if (event.name.size > 0 && (name = malloc(event.name.size)))
		memcpy(name, event.name.data, event.name.size);
	if ((event.name.size > 0 && !name) || !event_room(m))
		abort(); /* a grant that is not told would be a lock that nobody holds */
	event.name.data = name;
	event.revision = c->index;
	m->events[m->event_count++] = event;
}

void context_log(const struct context *c, const char *format, ...)
{
	char line[512];
	va_list args;
	if (c->staged || !c->machine->observer.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	c->machine->observer.log(c->machine->observer.ctx, line);
}

void context_fini(struct context *c)
{
	free(c->gone);
	c->gone = NULL;
	c->gone_count = c->gone_capacity = 0;
}

/* ---- expiry ---- */

int expiry_add(struct context *c, const struct key *key, uint64_t stamp)
{
	Coordfs__Expiry e = COORDFS__EXPIRY__INIT;
	struct key k = key1('K', c->machine->meta.expiry_tail);
	e.time_ns = c->time_ns + (int64_t)OUTCOME_KEEP_NS;
	e.key = (ProtobufCBinaryData){key->size, (uint8_t *)key->data};
	e.stamp = stamp;
	int code = record_put(c->store, &k, &e);
	if (code == 0)
		c->machine->meta.expiry_tail++;
	return code;
}

static int expire_one(struct context *c, const Coordfs__Expiry *e)
{
	struct bytes key = {e->key.data, e->key.len};
	return key.size && *(const char *)key.data == 'o' ? outcome_expire(c, key, e->stamp)
							  : counter_expire(c, key, e->stamp);
}

/* The queue is in order of time, for time never runs backwards. */
static int expire(struct context *c)
{
	Coordfs__Meta *meta = &c->machine->meta;
	int code = 0;
	for (unsigned i = 0; i < EXPIRIES_AT_ONCE && meta->expiry_head < meta->expiry_tail && code == 0; i++) {
		struct key k = key1('K', meta->expiry_head);
		Coordfs__Expiry *e;
		code = record_get(c->store, &k, &coordfs__expiry__descriptor, &e);
		if (code <= 0)
			return code < 0 ? code : ERR_CORRUPT;
		bool due = e->time_ns <= c->time_ns;
		code = due ? expire_one(c, e) : 0;
		if (code == 0 && due) {
			code = store_del(c->store, key_bytes(&k));
			meta->expiry_head++;
		}
		record_free(e);
		if (!due)
			break;
	}
	return code;
}

/* ---- execution ---- */

static bool operation_grows(const Coordfs__Command *q)
{
	return q->of_case == COORDFS__COMMAND__OF_CREATE || q->of_case == COORDFS__COMMAND__OF_LINK ||
	       (q->of_case == COORDFS__COMMAND__OF_WRITE && q->write->data.len > 0) ||
	       (q->of_case == COORDFS__COMMAND__OF_SET_XATTR && !q->set_xattr->remove);
}

bool operation_apply(struct context *c, const Coordfs__Command *q, struct reply *r)
{
	if (operation_grows(q) && machine_is_full(c->machine)) {
		refuse(r, ERR_NO_SPACE, "the state has reached its limit of %llu bytes", LIMIT_STATE_BYTES);
		return true;
	}
	switch (q->of_case) {
	case COORDFS__COMMAND__OF_CREATE:
		namespace_create(c, q->create, r);
		return true;
	case COORDFS__COMMAND__OF_REMOVE:
		namespace_remove(c, q->remove, r);
		return true;
	case COORDFS__COMMAND__OF_RENAME:
		namespace_rename(c, q->rename, r);
		return true;
	case COORDFS__COMMAND__OF_LINK:
		namespace_link(c, q->link, r);
		return true;
	case COORDFS__COMMAND__OF_SET_ATTR:
		attr_set(c, q->set_attr, r);
		return true;
	case COORDFS__COMMAND__OF_SET_XATTR:
		attr_set_xattr(c, q->set_xattr, r);
		return true;
	case COORDFS__COMMAND__OF_WRITE:
		file_write(c, q->write, r);
		return true;
	case COORDFS__COMMAND__OF_COUNTER:
		counter_update(c, q->counter, r);
		return true;
	case COORDFS__COMMAND__OF_BOUNDS:
		counter_bounds(c, q->bounds, r);
		return true;
	default:
		return false;
	}
}

static bool is_of_sessions(const Coordfs__Command *q)
{
	return q->of_case == COORDFS__COMMAND__OF_SESSION_OPEN || q->of_case == COORDFS__COMMAND__OF_SESSION_END;
}

static bool is_of_cluster(const Coordfs__Command *q)
{
	return q->of_case == COORDFS__COMMAND__OF_MEMBER_ADD || q->of_case == COORDFS__COMMAND__OF_MEMBER_SET ||
	       q->of_case == COORDFS__COMMAND__OF_MEMBER_REMOVE || q->of_case == COORDFS__COMMAND__OF_CLUSTER_RESET;
}

/* What the cluster itself decides. */
static void cluster_apply(struct context *c, const Coordfs__Command *q, struct reply *r)
{
	if (c->session)
		refuse(r, ERR_INVALID, "a command of the cluster itself, which no session may give");
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_ADD)
		cluster_member_add(c, q->member_add, r);
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_SET)
		cluster_member_set(c, q->member_set, r);
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_REMOVE)
		cluster_member_remove(c, q->member_remove, r);
	else
		cluster_reset(c, q->cluster_reset, r);
}

static void command_apply(struct context *c, const Coordfs__Command *q, struct reply *r)
{
	switch (q->of_case) {
	case COORDFS__COMMAND__OF_SESSION_OPEN:
		session_open(c, q->session_open, r);
		break;
	case COORDFS__COMMAND__OF_SESSION_END:
		session_end(c, q->session_end, r);
		break;
	case COORDFS__COMMAND__OF_SET_CONSISTENCY:
		consistency_set(c, q->set_consistency, r);
		break;
	case COORDFS__COMMAND__OF_FENCE:
		fence_advance(c, q->fence, r);
		break;
	case COORDFS__COMMAND__OF_LOCK:
		lock_request(c, q->lock, r);
		break;
	case COORDFS__COMMAND__OF_LOCK_CANCEL:
		lock_cancel(c, q->lock_cancel, r);
		break;
	case COORDFS__COMMAND__OF_LOCK_DROP:
		lock_drop(c, q->lock_drop, r);
		break;
	case COORDFS__COMMAND__OF_LOCK_BREAK:
		lock_break(c, q->lock_break, r);
		break;
	case COORDFS__COMMAND__OF_COMMIT:
		commit_apply(c, q->commit, r);
		break;
	case COORDFS__COMMAND__OF_ABORT:
		commit_abort(c, q->abort, r);
		break;
	case COORDFS__COMMAND__OF_VOTE:
		vote_request(c, q->vote, r);
		break;
	default:
		if (is_of_cluster(q))
			cluster_apply(c, q, r);
		else if (!operation_apply(c, q, r))
			refuse(r, ERR_INVALID, "no command");
	}
}

/* Codes that say that the store, not the user, is at fault. */
static bool is_environment(int code)
{
	return code == ERR_NO_MEMORY || code == ERR_CORRUPT;
}

static void tell(struct machine *m)
{
	for (size_t i = 0; i < m->event_count; i++)
		m->observer.event(m->observer.ctx, &m->events[i]);
	events_clear(m);
}

/* The command is decided: now inodes without a name may go. */
static int finish(struct context *c)
{
	struct machine *m = c->machine;
	for (size_t i = 0; i < c->gone_count && m->observer.before_gone; i++)
		m->observer.before_gone(m->observer.ctx, c->gone[i], c->session);
	int code = inode_sweep(c);
	m->meta.inodes += (uint64_t)c->inodes_delta;
	m->meta.next_inode = c->next_inode;
	return code;
}

/* What not all members know, none does. The words are part of the state, as those of every refusal: programs of all
 * versions must say the same. */
static void command_refuse(struct reply *r)
{
	refuse(r, ERR_NOT_SUPPORTED, "not before all members of the cluster are upgraded");
}

static int execute(struct context *c, const Coordfs__Command *q, struct reply *r)
{
	if (c->level > c->machine->meta.level)
		command_refuse(r);
	else
		command_apply(c, q, r);
	if (is_environment(r->code))
		return r->code;
	if (r->code >= 0 || r->code == ERR_WOULD_BLOCK) /* a refused conversion has given up a lock: others may have it */
		return finish(c);
	events_clear(c->machine);
	return 0;
}

static bool is_expiry(const Coordfs__Command *q)
{
	return q->of_case == COORDFS__COMMAND__OF_VOTE && q->vote->action == VOTE_ACTION_EXPIRE;
}

/* The cluster's own entries have neither; those of sessions, which begin and end them, may have both. */
static bool origin_is_valid(const Coordfs__Entry *e)
{
	if (e->command->of_case == COORDFS__COMMAND__OF__NOT_SET)
		return true; /* whosever: it is refused */
	if (e->session && e->sequence)
		return !is_expiry(e->command);
	return is_of_sessions(e->command) ||
	       ((is_of_cluster(e->command) || is_expiry(e->command)) && !e->session && !e->sequence);
}

static bool entry_is_valid(const Coordfs__Entry *e, struct reply *r)
{
	if (!e || !e->command)
		refuse(r, ERR_INVALID, "not a log entry");
	else if (e->format != ENTRY_FORMAT)
		refuse(r, ERR_INVALID, "log format %u, this program knows %u", e->format, ENTRY_FORMAT);
	else if (!origin_is_valid(e))
		refuse(r, ERR_INVALID, "a command of no session");
	return r->code == 0;
}

/* Exactly once: a repeat gets the reply of the first time. */
static int entry_apply(struct context *c, const Coordfs__Entry *e, struct reply *r)
{
	struct machine *m = c->machine;
	bool counted = e->session != 0 && e->sequence != 0;
	int code = counted ? session_admit(c, m->sessions, r) : OK;
	if (code != OK)
		return is_environment(code) ? code : 0;
	code = execute(c, e->command, r);
	if (code == 0 && counted)
		code = session_remember(c, m->sessions, e->answered_below, r);
	return code;
}

/* *out is NULL for bytes that are no entry. Negative: no memory. */
static int entry_unpack(struct bytes packed, Coordfs__Entry **out, uint32_t *level)
{
	*out = NULL;
	int code = message_is_shallow(&coordfs__entry__descriptor, packed, level) ?
			   message_unpack(&coordfs__entry__descriptor, packed, out) : ERR_CORRUPT;
	return code == ERR_NO_MEMORY ? code : 0;
}

int machine_apply(struct machine *m, uint64_t index, struct bytes entry, struct reply *r)
{
	Coordfs__Entry *e;
	struct context c = {.machine = m, .store = history_store(m->history), .index = index};
	memset(r, 0, sizeof *r);
	int code = entry_unpack(entry, &e, &c.level);
	if (code)
		return r->code = code;
	r->revision = index;
	m->meta.applied = index;
	history_set_revision(m->history, index);
	if (entry_is_valid(e, r)) {
		if (e->time_ns > m->meta.time_ns && e->time_ns <= TIME_NS_MAX)
			m->meta.time_ns = e->time_ns;
		c.time_ns = (int64_t)m->meta.time_ns;
		c.session = e->session;
		c.sequence = e->sequence;
		c.next_inode = m->meta.next_inode;
		code = expire(&c);
		if (code == 0)
			code = entry_apply(&c, e, r);
	}
	record_free(e);
	context_fini(&c);
	if (code == 0)
		tell(m);
	else
		events_clear(m); /* of a command that came to no end */
	return code;
}

/* ---- figures ---- */

uint64_t machine_applied(const struct machine *m)
{
	return m->meta.applied;
}

uint64_t machine_time_ns(const struct machine *m)
{
	return m->meta.time_ns;
}

uint32_t machine_level(const struct machine *m)
{
	return m->meta.level;
}

void machine_set_applied(struct machine *m, uint64_t index)
{
	m->meta.applied = index;
	history_set_revision(m->history, index);
}

void machine_meta(const struct machine *m, Coordfs__Meta *out)
{
	const struct history_figures *f = history_figures(m->history);
	*out = m->meta;
	out->state_hash = f->hash;
	out->state_bytes = f->bytes;
	out->records = f->records;
}

struct view machine_view(struct machine *m)
{
	return (struct view){history_store(m->history), m};
}

/* ---- from an image ---- */

static int load_member(struct machine *m, struct bytes key, struct bytes value)
{
	Coordfs__Member *member;
	int code = message_unpack(&coordfs__member__descriptor, value, &member);
	if (code == 0)
		code = key.size == 9 ? member_load(m->members, key_number(key, 0), member) : ERR_CORRUPT;
	record_free(member);
	return code;
}

static int load_index(struct machine *m, struct bytes key, struct bytes value)
{
	int code = 0;
	switch (*(const char *)key.data) {
	case 'S':
	case 'R':
	case 'b':
		code = session_load(m->sessions, key, value);
		break;
	case 'M':
		code = load_member(m, key, value);
		break;
	case 'v':
		code = vote_load(m->votes, key, value);
		break;
	case 'l': {
		Coordfs__Lock *lock;
		code = message_unpack(&coordfs__lock__descriptor, value, &lock);
		if (code == 0)
			code = lock_load(m->locks, key_number(key, 0), lock);
		record_free(lock);
	}
	}
	return code;
}

int machine_load(struct machine *m, struct bytes key, struct bytes value)
{
	struct key k;
	if (key.size == 0 || key_copy(key, &k))
		return ERR_CORRUPT;
	int code = store_put(history_store(m->history), key, value);
	return code ? code : load_index(m, key, value);
}

/* Figures that the machine itself could have come to. */
static bool meta_is_valid(const Coordfs__Meta *meta)
{
	return meta->time_ns <= TIME_NS_MAX && meta->next_inode >= INODE_FIRST && meta->next_inode < INODE_TEMPORARY &&
	       meta->next_lock > 0 && meta->expiry_head <= meta->expiry_tail &&
	       meta->last_member <= meta->applied;
}

int machine_load_end(struct machine *m, const Coordfs__Meta *meta)
{
	const struct history_figures *f = history_figures(m->history);
	if (meta->state_hash != f->hash || meta->records != f->records || meta->state_bytes != f->bytes ||
	    !meta_is_valid(meta))
		return ERR_CORRUPT;
	m->meta = *meta;
	m->meta.base = (ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(&coordfs__meta__descriptor);
	if (m->meta.level < LEVEL_FIRST)
		m->meta.level = LEVEL_FIRST;
	history_set_revision(m->history, meta->applied);
	int code = session_load_end(m->sessions);
	if (code == 0)
		code = member_load_end(m->members, meta);
	if (code == 0)
		code = vote_load_end(m->votes, meta);
	return code ? code : lock_load_end(m->locks);
}
