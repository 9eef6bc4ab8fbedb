/* The end of a transaction, in the log. Commit is one entry: everything the transaction looked at must be as it was at
 * its begin (backward validation; Bernstein, Hadzilacos, Goodman: Concurrency Control and Recovery, ch. 4.5), then
 * its operations are executed again, on an overlay that is carried out as a whole or thrown away. The position of the
 * entry in the log is the transaction's place in the serial order, so the order is strict.
 *
 * The outcome is remembered under (name, member) for OUTCOME_KEEP_NS, and under the name alone: the latest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/history.h"
#include "machine/internal.h"
#include "machine/overlay.h"

/* ---- outcomes ---- */

/* Names and members are shorter than a key; the NUL cannot be in either. */
static struct key outcome_key(const char *name, const char *member)
{
	char both[512];
	int size = snprintf(both, sizeof both, "%s%c%s", name, 0, member);
	return key_name('o', 0, (struct bytes){both, (size_t)size < sizeof both ? (size_t)size : sizeof both - 1});
}

static struct key latest_key(const char *name, size_t size)
{
	return key_name('O', 0, (struct bytes){name, size});
}

static int outcome_put(struct context *c, const char *name, Coordfs__Outcome *o)
{
	struct key k = outcome_key(name, o->member), latest = latest_key(name, strlen(name));
	int code = record_put(c->store, &k, o);
	if (code == 0)
		code = store_put(c->store, key_bytes(&latest), (struct bytes){o->member, strlen(o->member)});
	return code ? code : expiry_add(c, &k, c->index);
}

struct same {
	struct bytes with;
	bool is;
};

static int compare(void *ctx, struct bytes value)
{
	struct same *s = ctx;
	s->is = value.size == s->with.size && memcmp(value.data, s->with.data, value.size) == 0;
	return 0;
}

/* The latest under the name goes with the outcome that it points to. */
static int latest_expire(struct context *c, const char *text, size_t size)
{
	const char *end = memchr(text, 0, size);
	if (!end)
		return ERR_CORRUPT;
	struct key latest = latest_key(text, (size_t)(end - text));
	struct same same = {.with = {end + 1, size - (size_t)(end + 1 - text)}};
	int found = store_get(c->store, key_bytes(&latest), compare, &same);
	return found < 0 ? found : same.is ? store_del(c->store, key_bytes(&latest)) : 0;
}

int outcome_expire(struct context *c, struct bytes key, uint64_t stamp)
{
	Coordfs__Outcome *o;
	struct key k;
	if (key.size < 9 || key_copy(key, &k))
		return ERR_CORRUPT;
	int code = record_get(c->store, &k, &coordfs__outcome__descriptor, &o);
	if (code <= 0 || o->revision != stamp) {
		record_free(o);
		return code < 0 ? code : 0;
	}
	record_free(o);
	code = store_del(c->store, key);
	return code ? code : latest_expire(c, (const char *)key.data + 9, key.size - 9);
}

struct member_text {
	char text[128];
};

static int member_parse(void *ctx, struct bytes value)
{
	struct member_text *m = ctx;
	if (value.size >= sizeof m->text)
		return ERR_CORRUPT;
	memcpy(m->text, value.data, value.size);
	m->text[value.size] = '\0';
	return 0;
}

int machine_outcome(struct machine *m, const char *name, const char *member, Coordfs__Outcome **out)
{
	struct store *s = machine_view(m).store;
	struct member_text latest;
	int found;
	*out = NULL;
	if (!member) {
		struct key k = latest_key(name, strlen(name));
		found = store_get(s, key_bytes(&k), member_parse, &latest);
		if (found <= 0)
			return found < 0 ? found : ERR_NOT_FOUND;
		member = latest.text;
	}
	struct key k = outcome_key(name, member);
	found = record_get(s, &k, &coordfs__outcome__descriptor, out);
	return found > 0 ? 0 : found < 0 ? found : ERR_NOT_FOUND;
}

static int outcome_record(struct context *c, const char *name, uint32_t uid, uint64_t number, const char *reason,
			  uint64_t revision)
{
	Coordfs__Outcome o = COORDFS__OUTCOME__INIT;
	o.committed = reason == NULL;
	o.revision = c->index;
	o.place = revision;
	o.reason = reason ? (char *)reason : o.reason;
	o.uid = uid;
	o.number = number;
	o.session = c->session;
	o.member = (char *)machine_session_member(c->machine, c->session);
	o.time_ns = c->time_ns;
	return outcome_put(c, name, &o);
}

/* ---- validation ---- */

static void conflict(struct context *c, struct reply *r, uint64_t inode, const ProtobufCBinaryData *name)
{
	char path[LIMIT_PATH_BYTES];
	struct view v = {c->store, c->machine};
	if ((r->code = path_of(v, inode, path, sizeof path)))
		return;
	if (name)
		refuse(r, ERR_CANCELED, "%.120s/%.*s has changed since the transaction began", path,
		       (int)(name->len < 60 ? name->len : 60), (const char *)name->data);
	else
		refuse(r, ERR_CANCELED, "%.160s has changed since the transaction began", path);
}

static int guard_check(struct context *c, const Coordfs__Guard *g, uint64_t begin, struct reply *r)
{
	Coordfs__Dirent *d = NULL;
	Coordfs__Inode *inode = NULL;
	if (g->kind == GUARD_ENTRY) {
		int code = directory_find(c->store, g->parent, (struct bytes){g->name.data, g->name.len}, &d);
		if (code && code != ERR_NOT_FOUND)
			r->code = code;
		else if ((d ? d->inode : 0) != g->inode)
			conflict(c, r, g->parent, &g->name);
	} else {
		int code = inode_get(c, g->inode, &inode);
		if (code && code != ERR_NOT_FOUND)
			r->code = code;
		else if (code || inode->content > begin)
			conflict(c, r, g->inode, NULL);
	}
	record_free(d);
	record_free(inode);
	return r->code;
}

static int require_check(struct context *c, const Coordfs__Require *q, struct reply *r)
{
	char path[LIMIT_PATH_BYTES];
	struct view v = {c->store, c->machine};
	if (lock_token_held(machine_lock_table(c->machine), q->inode, q->token))
		return 0;
	if ((r->code = path_of(v, q->inode, path, sizeof path)) == 0)
		refuse(r, ERR_CANCELED, "%.120s is not held with token %llu any more", path,
		       (unsigned long long)q->token);
	return r->code;
}

static int validate(struct context *c, const Coordfs__Commit *q, struct reply *r)
{
	for (size_t i = 0; i < q->n_requires && r->code == 0; i++)
		require_check(c, q->requires[i], r);
	for (size_t i = 0; i < q->n_guards && r->code == 0; i++)
		guard_check(c, q->guards[i], q->begin, r);
	return r->code;
}

/* ---- carrying out ---- */

static int remember_temporary(struct temporaries *t, const Coordfs__Command *q, const struct reply *r)
{
	if (q->of_case != COORDFS__COMMAND__OF_CREATE || q->create->temporary == 0)
		return 0;
	t->list[t->count].temporary = q->create->temporary;
	t->list[t->count++].inode = r->inode;
	return 0;
}

static int operations_run(struct context *c, const Coordfs__Commit *q, struct reply *r)
{
	for (size_t i = 0; i < q->n_operations; i++) {
		struct reply one = {0};
		if (!operation_apply(c, q->operations[i], &one))
			refuse(&one, ERR_INVALID, "not an operation of transactions");
		if (one.code == ERR_NO_MEMORY || one.code == ERR_CORRUPT)
			return r->code = one.code;
		if (one.code) {
			refuse(r, ERR_CANCELED, "operation %zu cannot be done any more: %.120s", i + 1,
			       one.text[0] ? one.text : error_text(one.code));
			return r->code;
		}
		remember_temporary(c->temporaries, q->operations[i], &one);
	}
	return 0;
}

/* The operations on an overlay; when all succeeded, on the store. */
static void commit_run(struct context *c, const Coordfs__Commit *q, struct reply *r)
{
	struct temporaries t = {calloc(q->n_operations, sizeof *t.list), 0};
	struct overlay *o = overlay_new(c->store);
	struct context sub = *c;
	Coordfs__Meta saved = *machine_own_meta(c->machine);
	size_t events = machine_events(c->machine);
	if (!o || !t.list) {
		r->code = ERR_NO_MEMORY;
	} else {
		sub.store = overlay_store(o);
		sub.temporaries = &t;
		if (operations_run(&sub, q, r) == 0 && (r->code = overlay_flush(o)) == 0) {
			sub.store = c->store;
			sub.temporaries = NULL;
			*c = sub;
		} else {
			*machine_own_meta(c->machine) = saved;
			machine_events_forget(c->machine, events);
			context_fini(&sub);
		}
	}
	overlay_free(o);
	free(t.list);
}

/* The outcome that the session's transaction already has: 1 and *out, 0, or a negative code. */
static int outcome_known(struct context *c, const char *name, uint64_t number, Coordfs__Outcome **out)
{
	int code = machine_outcome(c->machine, name, machine_session_member(c->machine, c->session), out);
	if (code)
		return code == ERR_NOT_FOUND ? 0 : code;
	if ((*out)->number == number && (*out)->session == c->session)
		return 1;
	record_free(*out);
	*out = NULL;
	return 0;
}

/* Asked again (after an unknown outcome): the same answer. Also when that cannot be read, with r->code. */
static bool commit_known(struct context *c, const Coordfs__Commit *q, struct reply *r)
{
	Coordfs__Outcome *o;
	int known = outcome_known(c, q->name, q->number, &o);
	if (known < 0)
		r->code = known;
	else if (known && o->committed)
		r->value = (int64_t)o->place;
	else if (known)
		refuse(r, ERR_CANCELED, "%s", o->reason);
	record_free(o);
	return known != 0;
}

static bool name_is_valid(const char *name)
{
	return name[0] && strlen(name) <= LIMIT_NAME_BYTES;
}

static bool only_removes(const Coordfs__Commit *q)
{
	for (size_t i = 0; i < q->n_operations; i++)
		if (q->operations[i]->of_case != COORDFS__COMMAND__OF_REMOVE)
			return false;
	return q->n_operations > 0;
}

void commit_apply(struct context *c, const Coordfs__Commit *q, struct reply *r)
{
	if (!name_is_valid(q->name) || q->begin > c->index || q->n_operations > LIMIT_TRANSACTION_OPERATIONS) {
		refuse(r, ERR_INVALID, "not a transaction");
		return;
	}
	if (commit_known(c, q, r))
		return;
	if (machine_is_full(c->machine) && !only_removes(q)) { /* not even the outcome is kept: it may be tried again */
		refuse(r, ERR_NO_SPACE, "the state has reached its limit of %llu bytes", LIMIT_STATE_BYTES);
		return;
	}
	if (q->n_operations > 0 && validate(c, q, r) == 0)
		commit_run(c, q, r);
	else if (q->n_operations == 0)
		for (size_t i = 0; i < q->n_requires && r->code == 0; i++)
			require_check(c, q->requires[i], r);
	if (r->code && r->code != ERR_CANCELED)
		return;
	r->value = (int64_t)(q->n_operations ? c->index : q->begin);
	int code = outcome_record(c, q->name, q->uid, q->number, r->code ? r->text : NULL, (uint64_t)r->value);
	if (code)
		r->code = code;
}

/* What is decided stays: the commit may have come first, with its answer lost. */
void commit_abort(struct context *c, const Coordfs__Abort *q, struct reply *r)
{
	Coordfs__Outcome *o = NULL;
	int known;
	if (!name_is_valid(q->name) || strlen(q->reason) > 200)
		refuse(r, ERR_INVALID, "not a transaction");
	else if ((known = outcome_known(c, q->name, q->number, &o)) < 0)
		r->code = known;
	else if (known && o->committed)
		refuse(r, ERR_PERM, "committed at %llu", (unsigned long long)o->place);
	else if (!known)
		r->code = outcome_record(c, q->name, q->uid, q->number, q->reason[0] ? q->reason : "rolled back", 0);
	record_free(o);
}
