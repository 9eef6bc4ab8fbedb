#include "transactions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "compare.h"

static void need(const void *memory)
{
	if (memory)
		return;
	fprintf(stderr, "out of memory\n");
	exit(3);
}

/* ---- life ---- */

struct model_transaction *model_begin(struct memory_machine *m, const struct reference *r, uint64_t session,
				      uint64_t number)
{
	struct model_transaction *t = calloc(1, sizeof *t);
	need(t);
	if (transaction_new(m->machine, &t->inner))
		need(NULL);
	t->begin = reference_copy(r);
	t->view = reference_copy(r);
	t->view->next_object = INODE_TEMPORARY;
	t->revision = transaction_begin(t->inner);
	t->session = session;
	t->number = number;
	snprintf(t->name, sizeof t->name, "t%d", (int)(number % 5));
	return t;
}

void model_end(struct model_transaction *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->step_count; i++) {
		if (t->steps[i].command)
			coordfs__command__free_unpacked(t->steps[i].command, NULL);
		free(t->steps[i].name.data);
	}
	transaction_free(t->inner);
	reference_free(t->begin);
	reference_free(t->view);
	free(t);
}

const char *model_compare(struct model_transaction *t)
{
	return compare_view(transaction_view(t->inner), t->view);
}

/* ---- what a command is about ---- */

struct about {
	uint64_t *inode[2]; /* NULL: none */
	struct bytes name[2]; /* in inode[i]; data NULL: none */
};

static struct bytes bytes_of(ProtobufCBinaryData b)
{
	return (struct bytes){b.len ? b.data : (const void *)"", b.len};
}

static struct about about_of(Coordfs__Command *q)
{
	switch (q->of_case) {
	case COORDFS__COMMAND__OF_CREATE:
		return (struct about){{&q->create->parent}, {bytes_of(q->create->name)}};
	case COORDFS__COMMAND__OF_REMOVE:
		return (struct about){{&q->remove->parent}, {bytes_of(q->remove->name)}};
	case COORDFS__COMMAND__OF_RENAME:
		return (struct about){{&q->rename->parent, &q->rename->new_parent},
				      {bytes_of(q->rename->name), bytes_of(q->rename->new_name)}};
	case COORDFS__COMMAND__OF_LINK:
		return (struct about){{&q->link->parent, &q->link->inode}, {bytes_of(q->link->name)}};
	case COORDFS__COMMAND__OF_SET_ATTR:
		return (struct about){{&q->set_attr->inode}, {{0}}};
	case COORDFS__COMMAND__OF_SET_XATTR:
		return (struct about){{&q->set_xattr->inode}, {{0}}};
	case COORDFS__COMMAND__OF_WRITE:
		return (struct about){{&q->write->inode}, {{0}}};
	case COORDFS__COMMAND__OF_COUNTER:
		return (struct about){{&q->counter->inode}, {{0}}};
	case COORDFS__COMMAND__OF_BOUNDS:
		return (struct about){{&q->bounds->inode}, {{0}}};
	default:
		return (struct about){0};
	}
}

static bool reads_content(const Coordfs__Command *q)
{
	bool cas = false;
	if (q->of_case == COORDFS__COMMAND__OF_WRITE)
		return q->write->conditional || q->write->append;
	for (size_t i = 0; q->of_case == COORDFS__COMMAND__OF_COUNTER && i < q->counter->n_requests; i++)
		cas |= q->counter->requests[i]->kind == COUNTER_CAS;
	return cas;
}

static Coordfs__Command *copy_of(const Coordfs__Command *q)
{
	size_t size = coordfs__command__get_packed_size(q);
	uint8_t *packed = malloc(size + 1);
	need(packed);
	coordfs__command__pack(q, packed);
	Coordfs__Command *copy = coordfs__command__unpack(NULL, size, packed);
	need(copy);
	free(packed);
	return copy;
}

/* ---- doing ---- */

static uint64_t digest_object(const struct ref_object *o)
{
	return o ? XXH3_64bits_withSeed(o->text.data, o->text.size, (XXH64_hash_t)o->value) : 0;
}

static uint64_t digest_names(struct reference *r, uint64_t directory)
{
	uint64_t digest = 0;
	for (struct ref_name *n = NULL; (n = reference_next(r, directory, n));)
		digest += XXH3_64bits(n->name.data, n->name.size);
	return digest;
}

/* Objects that are not there cannot be named by users; nor does a transaction touch other trees. */
static int expected_by_tree(struct reference *r, Coordfs__Command *q, bool *sensible)
{
	struct about a = about_of(q);
	int code = 0;
	*sensible = a.inode[0] != NULL;
	for (int i = 0; i < 2 && a.inode[i]; i++) {
		const struct ref_object *o = reference_object(r, *a.inode[i]);
		*sensible &= o != NULL;
		if (o && o->tree != INODE_COUNTERS && o->tree != INODE_FILES)
			code = ERR_READ_ONLY;
	}
	return code;
}

static const char *operate(struct model_transaction *t, struct chance *c, struct step *s)
{
	static struct generated g;
	static char text[300];
	struct reply is, should = {0};
	uint64_t time_ns = chance_below(c, 1000000);
	struct ref_context context = {t->revision, 0, (int64_t)time_ns, true, true};
	bool sensible;
	generate(c, t->view, &g);
	should.code = expected_by_tree(t->view, &g.command, &sensible);
	if (!sensible)
		return NULL;
	s->command = copy_of(&g.command);
	if (should.code == 0)
		should = reference_apply(t->view, &context, s->command);
	transaction_stage(t->inner, s->command, time_ns, &is);
	s->code = is.code;
	s->result = is.inode;
	t->step_count++;
	if (is.code == should.code && (is.code || (is.inode == should.inode && is.value == should.value && is.size == should.size)))
		return NULL;
	snprintf(text, sizeof text, "staged: code %d inode %llu value %lld size %llu, should be %d %llu %lld %llu", is.code,
		 (unsigned long long)is.inode, (long long)is.value, (unsigned long long)is.size, should.code,
		 (unsigned long long)should.inode, (long long)should.value, (unsigned long long)should.size);
	return text;
}

static const char *look(struct model_transaction *t, struct chance *c, struct step *s)
{
	char name[300];
	uint64_t is = 0;
	s->kind = STEP_LOOKUP;
	s->inode = generate_object(c, t->view, KIND_DIRECTORY);
	const struct ref_object *o = reference_object(t->view, s->inode);
	if (!o || o->kind != KIND_DIRECTORY)
		return NULL;
	generate_name(c, name);
	s->name = (struct ref_text){(uint8_t *)strdup(name), strlen(name)};
	need(s->name.data);
	t->step_count++;
	const struct ref_name *n = reference_name(t->view, s->inode, name, s->name.size);
	s->result = n ? n->object : 0;
	if (transaction_saw_entry(t->inner, s->inode, (struct bytes){name, s->name.size}))
		return "a lookup cannot be noted";
	int code = view_lookup(transaction_view(t->inner), s->inode, (struct bytes){name, s->name.size}, &is, NULL);
	return is == s->result && (code == 0) == (n != NULL) ? NULL : "a lookup finds something else";
}

static const char *read_(struct model_transaction *t, struct chance *c, struct step *s)
{
	s->kind = STEP_READ;
	s->inode = generate_object(c, t->view, chance_one_in(c, 2) ? KIND_COUNTER : KIND_FILE);
	const struct ref_object *o = reference_object(t->view, s->inode);
	if (!o || o->kind == KIND_DIRECTORY)
		return NULL;
	t->step_count++;
	s->result = digest_object(o);
	if (transaction_saw_content(t->inner, s->inode))
		return "a read cannot be noted";
	return compare_object(transaction_view(t->inner), t->view, o);
}

static const char *list(struct model_transaction *t, struct chance *c, struct step *s)
{
	s->kind = STEP_LIST;
	s->inode = generate_object(c, t->view, KIND_DIRECTORY);
	const struct ref_object *o = reference_object(t->view, s->inode);
	if (!o || o->kind != KIND_DIRECTORY)
		return NULL;
	t->step_count++;
	s->result = digest_names(t->view, s->inode);
	if (transaction_saw_names(t->inner, s->inode))
		return "a listing cannot be noted";
	return compare_object(transaction_view(t->inner), t->view, o);
}

const char *model_step(struct model_transaction *t, struct chance *c)
{
	struct step *s = &t->steps[t->step_count];
	if (t->step_count == STEPS_MAX)
		return NULL;
	*s = (struct step){0};
	switch (chance_below(c, 8)) {
	case 0:
		return look(t, c, s);
	case 1:
		return read_(t, c, s);
	case 2:
		return list(t, c, s);
	default:
		return operate(t, c, s);
	}
}

/* ---- doing it again ---- */

/* What the transaction's numbers became. */
struct became {
	uint64_t temporary, real;
};
struct replay {
	struct reference *state;
	const struct ref_context *context;
	struct became list[STEPS_MAX];
	size_t count;
};

static uint64_t real_of(const struct replay *p, uint64_t inode)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].temporary == inode)
			return p->list[i].real;
	return inode;
}

/* Refusals that tell only of what the transaction is promised not to see changed: names, contents; not attributes,
 * not what is above a directory. */
static bool is_binding(const struct replay *p, const struct model_transaction *t, const struct step *s)
{
	uint64_t inode = *about_of(s->command).inode[0];
	const struct ref_object *o = reference_object(t->view, inode), *now = reference_object(p->state, real_of(p, inode));
	bool bounds = (o && (o->has_min || o->has_max)) || (now && (now->has_min || now->has_max));
	switch (s->command->of_case) {
	case COORDFS__COMMAND__OF_CREATE:
	case COORDFS__COMMAND__OF_REMOVE:
	case COORDFS__COMMAND__OF_RENAME:
	case COORDFS__COMMAND__OF_LINK:
		return s->code == ERR_EXISTS || s->code == ERR_NOT_FOUND || s->code == ERR_NOT_EMPTY ||
		       s->code == ERR_IS_DIRECTORY || s->code == ERR_NOT_DIRECTORY;
	case COORDFS__COMMAND__OF_COUNTER:
		return (s->code == ERR_CANCELED || s->code == ERR_RANGE) && !bounds;
	case COORDFS__COMMAND__OF_WRITE:
		return s->code == ERR_CANCELED || s->code == ERR_TOO_BIG;
	default:
		return false;
	}
}

static bool replay_operation(struct replay *p, const struct model_transaction *t, const struct step *s)
{
	Coordfs__Command *q = copy_of(s->command);
	struct about a = about_of(q);
	struct reply r = {0};
	for (int i = 0; i < 2; i++)
		if (a.inode[i])
			*a.inode[i] = real_of(p, *a.inode[i]);
	if (q->of_case == COORDFS__COMMAND__OF_WRITE && s->code == 0)
		q->write->conditional = false; /* it held, of what the transaction saw */
	bool same = true;
	if (s->code == 0) {
		uint64_t next = p->state->next_object;
		r = reference_apply(p->state, p->context, q);
		if (r.code == 0 && p->state->next_object != next)
			p->list[p->count++] = (struct became){s->result, r.inode};
		same = r.code == 0 && r.inode == real_of(p, s->result);
	} else if (is_binding(p, t, s)) {
		struct reference *copy = reference_copy(p->state);
		r = reference_apply(copy, p->context, q);
		reference_free(copy);
		same = r.code == s->code;
	}
	coordfs__command__free_unpacked(q, NULL);
	return same;
}

static bool replay_step(struct replay *p, const struct model_transaction *t, const struct step *s)
{
	uint64_t inode = real_of(p, s->inode);
	const struct ref_name *n;
	switch (s->kind) {
	case STEP_LOOKUP:
		n = reference_name(p->state, inode, s->name.data, s->name.size);
		return (n ? n->object : 0) == real_of(p, s->result);
	case STEP_READ:
		return reference_object(p->state, inode) && digest_object(reference_object(p->state, inode)) == s->result;
	case STEP_LIST:
		return reference_object(p->state, inode) && digest_names(p->state, inode) == s->result;
	default:
		return replay_operation(p, t, s);
	}
}

/* ---- what changed meanwhile ---- */

static bool content_changed(struct model_transaction *t, struct reference *now, uint64_t inode)
{
	const struct ref_object *o = reference_object(now, inode);
	return inode < INODE_TEMPORARY && (!o || o->content > t->revision);
}

static bool name_changed(struct model_transaction *t, struct reference *now, uint64_t parent, const void *name,
			 size_t size)
{
	const struct ref_name *was = reference_name(t->begin, parent, name, size);
	const struct ref_name *is = reference_name(now, parent, name, size);
	return (was ? was->object : 0) != (is ? is->object : 0);
}

static bool operation_depends(struct model_transaction *t, struct reference *now, const struct step *s)
{
	struct about a = about_of(s->command);
	bool changed = false;
	for (int i = 0; i < 2; i++) {
		const struct ref_name *n = NULL;
		if (a.name[i].data) {
			changed |= name_changed(t, now, *a.inode[i], a.name[i].data, a.name[i].size);
			n = reference_name(now, *a.inode[i], a.name[i].data, a.name[i].size);
		}
		if (a.inode[i] && (s->code || reads_content(s->command)))
			changed |= content_changed(t, now, *a.inode[i]) || (n && content_changed(t, now, n->object));
	}
	return changed;
}

static bool step_depends(struct model_transaction *t, struct reference *now, const struct step *s)
{
	switch (s->kind) {
	case STEP_LOOKUP:
		return name_changed(t, now, s->inode, s->name.data, s->name.size);
	case STEP_READ:
	case STEP_LIST:
		return content_changed(t, now, s->inode);
	default:
		return operation_depends(t, now, s);
	}
}

void model_commit(struct model_transaction *t, struct reference *now, const struct ref_context *c,
		  struct reference **after, bool *may_fail)
{
	struct replay p = {.state = reference_copy(now), .context = c};
	bool same = true;
	*may_fail = false;
	for (size_t i = 0; i < t->step_count; i++) {
		*may_fail |= step_depends(t, now, &t->steps[i]);
		same = same && replay_step(&p, t, &t->steps[i]);
	}
	*after = same ? p.state : NULL;
	if (!same)
		reference_free(p.state);
}
