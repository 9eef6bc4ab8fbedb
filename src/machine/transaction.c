/* A transaction on its member: asof (the state of the beginning) <- overlay (what is staged) <- one more overlay while
 * an operation is tried, so that a refused one leaves nothing. The operations themselves are those of the machine:
 * what a transaction sees after staging is what the commit will make, but for blind additions. */
#include "machine/transaction.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "machine/history.h"
#include "machine/internal.h"
#include "machine/overlay.h"

struct guard {
	UT_hash_handle hh;
	Coordfs__Guard message;
	size_t size;
	uint8_t key[]; /* what it is found by: kind, numbers, name */
};
struct owned { /* content that no longer depends on the state of the beginning */
	UT_hash_handle hh;
	uint64_t inode;
};
struct transaction {
	struct machine *machine;
	struct asof *asof;
	struct overlay *overlay;
	uint64_t next_temporary;
	struct guard *guards;
	struct owned *owned;
	Coordfs__Command **operations;
	Coordfs__Require **requirements;
	Coordfs__Guard **guard_list; /* the same, in the order seen: for the commit */
	size_t guard_count, guard_capacity;
	size_t operation_count, operation_capacity, require_count;
	size_t bytes; /* packed size of the commit, about */
	bool is_broken; /* the view holds half an operation */
};

/* ---- life ---- */

int transaction_new(struct machine *m, struct transaction **out)
{
	*out = NULL;
	if (*machine_transactions(m) >= LIMIT_TRANSACTIONS)
		return ERR_QUOTA;
	struct transaction *t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NO_MEMORY;
	t->machine = m;
	t->next_temporary = INODE_TEMPORARY;
	t->asof = asof_new(machine_history(m));
	t->overlay = t->asof ? overlay_new(asof_store(t->asof)) : NULL;
	++*machine_transactions(m);
	if (!t->overlay) {
		transaction_free(t);
		return ERR_NO_MEMORY;
	}
	*out = t;
	return 0;
}

static void guards_free(struct transaction *t)
{
	struct guard *g, *next;
	HASH_ITER(hh, t->guards, g, next)
	{
		HASH_DEL(t->guards, g);
		free(g->message.name.data);
		free(g);
	}
}

static void owned_free(struct transaction *t)
{
	struct owned *o, *next;
	HASH_ITER(hh, t->owned, o, next)
	{
		HASH_DEL(t->owned, o);
		free(o);
	}
}

void transaction_free(struct transaction *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->operation_count; i++)
		coordfs__command__free_unpacked(t->operations[i], NULL);
	for (size_t i = 0; i < t->require_count; i++)
		free(t->requirements[i]);
	free(t->operations);
	free(t->requirements);
	free(t->guard_list);
	guards_free(t);
	owned_free(t);
	overlay_free(t->overlay);
	asof_free(t->asof);
	--*machine_transactions(t->machine);
	free(t);
}

struct view transaction_view(struct transaction *t)
{
	return (struct view){overlay_store(t->overlay), t->machine};
}

uint64_t transaction_begin(const struct transaction *t)
{
	return asof_revision(t->asof);
}

bool transaction_is_torn(const struct transaction *t)
{
	return t->is_broken || asof_is_torn(t->asof);
}

bool transaction_is_empty(const struct transaction *t)
{
	return t->operation_count == 0;
}

/* ---- what was seen ---- */

static int bytes_add(struct transaction *t, size_t bytes)
{
	if (bytes > LIMIT_TRANSACTION_BYTES - t->bytes)
		return ERR_QUOTA;
	t->bytes += bytes;
	return 0;
}

static int guard_room(struct transaction *t)
{
	if (t->guard_count < t->guard_capacity)
		return 0;
	size_t capacity = t->guard_capacity ? 2 * t->guard_capacity : 16;
	Coordfs__Guard **list = realloc(t->guard_list, capacity * sizeof *list);
	if (!list)
		return ERR_NO_MEMORY;
	t->guard_list = list;
	t->guard_capacity = capacity;
	return 0;
}

static struct guard *guard_new(const struct key *key, const Coordfs__Guard *message)
{
	struct guard *g = calloc(1, sizeof *g + key->size);
	if (!g)
		return NULL;
	g->size = key->size;
	memcpy(g->key, key->data, key->size);
	g->message = *message;
	g->message.name = (ProtobufCBinaryData){0, NULL};
	if (bytes_set(&g->message.name, message->name.data, message->name.len)) {
		free(g);
		return NULL;
	}
	return g;
}

static int guard_make(struct transaction *t, const struct key *key, const Coordfs__Guard *message)
{
	int code = guard_room(t);
	struct guard *g = code ? NULL : guard_new(key, message);
	if (!g)
		return ERR_NO_MEMORY;
	code = bytes_add(t, 32 + message->name.len);
	if (code == 0) {
		HASH_ADD_KEYPTR(hh, t->guards, g->key, g->size, g);
		code = hash_has(g) ? 0 : ERR_NO_MEMORY;
	}
	if (code) {
		free(g->message.name.data);
		free(g);
		return code;
	}
	t->guard_list[t->guard_count++] = &g->message;
	return 0;
}

static int guard_add(struct transaction *t, const struct key *key, const Coordfs__Guard *message)
{
	struct guard *g;
	HASH_FIND(hh, t->guards, key->data, key->size, g);
	return g ? 0 : guard_make(t, key, message);
}

/* What the name meant at the beginning; nothing when its directory is the transaction's own. */
int transaction_saw_entry(struct transaction *t, uint64_t parent, struct bytes name)
{
	Coordfs__Guard m = COORDFS__GUARD__INIT;
	Coordfs__Dirent *d;
	struct key key = key_name('e', parent, name);
	if (parent >= INODE_TEMPORARY || parent <= INODE_ROOT || name.size > LIMIT_NAME_BYTES)
		return 0;
	int code = directory_find(asof_store(t->asof), parent, name, &d);
	if (code && code != ERR_NOT_FOUND)
		return code;
	m.kind = GUARD_ENTRY;
	m.inode = d ? d->inode : 0;
	m.parent = parent;
	m.name = (ProtobufCBinaryData){name.size, (uint8_t *)name.data};
	record_free(d);
	return guard_add(t, &key, &m);
}

static int saw_object(struct transaction *t, uint64_t inode, enum guard_kind kind)
{
	Coordfs__Guard m = COORDFS__GUARD__INIT;
	struct key key = key1(kind == GUARD_NAMES ? 'n' : 'c', inode);
	if (inode >= INODE_TEMPORARY)
		return 0;
	m.kind = kind;
	m.inode = inode;
	return guard_add(t, &key, &m);
}

int transaction_saw_content(struct transaction *t, uint64_t inode)
{
	struct owned *o;
	HASH_FIND(hh, t->owned, &inode, sizeof inode, o);
	return o ? 0 : saw_object(t, inode, GUARD_CONTENT);
}

int transaction_saw_names(struct transaction *t, uint64_t directory)
{
	return saw_object(t, directory, GUARD_NAMES);
}

/* Without memory it is not noted, and reading it will guard more than is needed. */
static void own_content(struct transaction *t, uint64_t inode)
{
	struct owned *o;
	HASH_FIND(hh, t->owned, &inode, sizeof inode, o);
	if (o || !(o = calloc(1, sizeof *o)))
		return;
	o->inode = inode;
	HASH_ADD(hh, t->owned, inode, sizeof o->inode, o);
	if (!hash_has(o))
		free(o);
}

/* ---- staging ---- */

/* The inodes and names that an operation concerns. */
struct concern {
	uint64_t inode[2];
	struct bytes name[2]; /* in inode[i], when not empty */
	bool has_content; /* it is about the content of inode[0], */
	bool reads_content, sets_content;
};

static struct bytes name_of(ProtobufCBinaryData n)
{
	return (struct bytes){n.data, n.len};
}

/* A request with an id sets nothing for certain: at the commit it may turn out to be a repeat. */
static void concern_counter(const Coordfs__CounterUpdate *q, struct concern *out)
{
	out->inode[0] = q->inode;
	out->has_content = true;
	for (size_t i = 0; i < q->n_requests; i++) {
		const Coordfs__CounterRequest *one = q->requests[i];
		out->sets_content |= one->kind == COUNTER_SET && one->id.len == 0;
		out->reads_content |= one->kind == COUNTER_CAS && !out->sets_content;
	}
}

static void concern_write(const Coordfs__Write *q, struct concern *out)
{
	out->inode[0] = q->inode;
	out->has_content = true;
	out->reads_content = q->conditional || (q->append && !q->truncate);
	out->sets_content = q->truncate;
}

static bool concern_of(const Coordfs__Command *q, struct concern *out)
{
	*out = (struct concern){0};
	switch (q->of_case) {
	case COORDFS__COMMAND__OF_CREATE:
		out->inode[0] = q->create->parent;
		out->name[0] = name_of(q->create->name);
		return true;
	case COORDFS__COMMAND__OF_REMOVE:
		out->inode[0] = q->remove->parent;
		out->name[0] = name_of(q->remove->name);
		return true;
	case COORDFS__COMMAND__OF_RENAME:
		out->inode[0] = q->rename->parent;
		out->name[0] = name_of(q->rename->name);
		out->inode[1] = q->rename->new_parent;
		out->name[1] = name_of(q->rename->new_name);
		return true;
	case COORDFS__COMMAND__OF_LINK:
		out->inode[0] = q->link->parent;
		out->name[0] = name_of(q->link->name);
		out->inode[1] = q->link->inode;
		return true;
	case COORDFS__COMMAND__OF_SET_ATTR:
		out->inode[0] = q->set_attr->inode;
		out->has_content = q->set_attr->mask & ATTR_SIZE;
		out->sets_content = q->set_attr->mask & ATTR_SIZE && q->set_attr->size == 0;
		return true;
	case COORDFS__COMMAND__OF_SET_XATTR:
		out->inode[0] = q->set_xattr->inode;
		return true;
	case COORDFS__COMMAND__OF_WRITE:
		concern_write(q->write, out);
		return true;
	case COORDFS__COMMAND__OF_COUNTER:
		concern_counter(q->counter, out);
		return true;
	case COORDFS__COMMAND__OF_BOUNDS:
		out->inode[0] = q->bounds->inode;
		return true;
	default:
		return false;
	}
}

static int tree_check(struct transaction *t, const struct concern *concern, struct reply *r)
{
	for (int i = 0; i < 2 && r->code == 0; i++) {
		struct attr a;
		if (concern->inode[i] == 0)
			continue;
		r->code = view_attr(transaction_view(t), concern->inode[i], &a);
		if (r->code == 0 && a.tree != INODE_COUNTERS && a.tree != INODE_FILES)
			refuse(r, ERR_READ_ONLY, "a transaction changes counters/ and files/ only");
	}
	return r->code;
}

static int guards_note(struct transaction *t, const struct concern *concern)
{
	int code = 0;
	for (int i = 0; i < 2 && code == 0; i++)
		if (concern->name[i].size > 0)
			code = transaction_saw_entry(t, concern->inode[i], concern->name[i]);
	if (code == 0 && concern->reads_content)
		code = transaction_saw_content(t, concern->inode[0]);
	return code;
}

/* The directory that was to go, or to be replaced, was seen to hold something. */
static int full_note(struct transaction *t, const struct concern *concern)
{
	int i = concern->name[1].size > 0;
	uint64_t directory;
	int code = view_lookup(transaction_view(t), concern->inode[i], concern->name[i], &directory, NULL);
	return code ? code : transaction_saw_names(t, directory);
}

/* A refusal tells something, too, that must be so at the commit. */
static int refusal_note(struct transaction *t, const struct concern *concern, const struct reply *r)
{
	int code = guards_note(t, concern);
	if (code == 0 && concern->has_content)
		code = transaction_saw_content(t, concern->inode[0]);
	if (code == 0 && r->code == ERR_NOT_EMPTY)
		code = full_note(t, concern);
	return code;
}

static Coordfs__Command *command_copy(const Coordfs__Command *q, size_t *size)
{
	Coordfs__Command *copy = NULL;
	*size = coordfs__command__get_packed_size(q);
	uint8_t *packed = malloc(*size ? *size : 1);
	if (packed) {
		coordfs__command__pack(q, packed);
		message_unpack(&coordfs__command__descriptor, (struct bytes){packed, *size}, &copy);
	}
	free(packed);
	return copy;
}

static int operation_keep(struct transaction *t, const Coordfs__Command *q, uint64_t temporary)
{
	size_t size;
	if (t->operation_count == t->operation_capacity) {
		size_t capacity = t->operation_capacity ? 2 * t->operation_capacity : 16;
		Coordfs__Command **list = realloc(t->operations, capacity * sizeof *list);
		if (!list)
			return ERR_NO_MEMORY;
		t->operations = list;
		t->operation_capacity = capacity;
	}
	Coordfs__Command *copy = command_copy(q, &size);
	if (!copy)
		return ERR_NO_MEMORY;
	int code = bytes_add(t, size + 16);
	if (code) {
		coordfs__command__free_unpacked(copy, NULL);
		return code;
	}
	if (copy->of_case == COORDFS__COMMAND__OF_CREATE)
		copy->create->temporary = temporary;
	if (copy->of_case == COORDFS__COMMAND__OF_WRITE)
		copy->write->conditional = false; /* it holds, by the guard; revisions in the view are the view's own */
	t->operations[t->operation_count++] = copy;
	return 0;
}

/* The operation has succeeded on o: it joins the commit, and its changes the view. */
static int stage_keep(struct transaction *t, struct overlay *o, const Coordfs__Command *q, const struct context *c,
		      const struct concern *concern)
{
	bool made = c->next_inode != t->next_temporary;
	bool found = q->of_case == COORDFS__COMMAND__OF_CREATE && !made;
	int code = guards_note(t, concern);
	if (code == 0 && !found)
		code = operation_keep(t, q, made ? t->next_temporary : 0);
	if (code)
		return code;
	code = overlay_flush(o);
	t->is_broken |= code != 0;
	t->next_temporary = c->next_inode;
	if (concern->sets_content)
		own_content(t, concern->inode[0]);
	return code;
}

static void stage_on(struct transaction *t, struct overlay *o, const Coordfs__Command *q, uint64_t time_ns,
		     const struct concern *concern, struct reply *r)
{
	struct context c = {.machine = t->machine, .store = overlay_store(o), .index = transaction_begin(t),
			    .time_ns = (int64_t)time_ns, .staged = true, .next_inode = t->next_temporary};
	operation_apply(&c, q, r);
	int code = r->code == 0 ? stage_keep(t, o, q, &c, concern) : refusal_note(t, concern, r);
	if (code)
		r->code = code;
	context_fini(&c);
}

void transaction_stage(struct transaction *t, const Coordfs__Command *q, uint64_t time_ns, struct reply *r)
{
	struct concern concern;
	memset(r, 0, sizeof *r);
	r->revision = transaction_begin(t);
	if (!concern_of(q, &concern))
		refuse(r, ERR_NOT_SUPPORTED, "not an operation of transactions");
	else if (t->operation_count >= LIMIT_TRANSACTION_OPERATIONS)
		refuse(r, ERR_QUOTA, "a transaction has at most %u operations", LIMIT_TRANSACTION_OPERATIONS);
	else if (tree_check(t, &concern, r) == 0) {
		struct overlay *o = overlay_new(overlay_store(t->overlay));
		if (o)
			stage_on(t, o, q, time_ns, &concern, r);
		else
			r->code = ERR_NO_MEMORY;
		overlay_free(o);
	}
}

int transaction_require(struct transaction *t, uint64_t inode, uint64_t token)
{
	Coordfs__Require **list = realloc(t->requirements, (t->require_count + 1) * sizeof *list);
	if (!list)
		return ERR_NO_MEMORY;
	t->requirements = list;
	int code = bytes_add(t, 32);
	Coordfs__Require *q = code ? NULL : malloc(sizeof *q);
	if (!q)
		return code ? code : ERR_NO_MEMORY;
	coordfs__require__init(q);
	q->inode = inode;
	q->token = token;
	list[t->require_count++] = q;
	return 0;
}

/* ---- the commit ---- */

void transaction_commit(struct transaction *t, Coordfs__Commit *commit)
{
	commit->begin = transaction_begin(t);
	commit->n_guards = t->guard_count;
	commit->guards = t->guard_list;
	commit->n_requires = t->require_count;
	commit->requires = t->requirements;
	commit->n_operations = t->operation_count;
	commit->operations = t->operations;
}
