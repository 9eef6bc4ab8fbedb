#include "compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "machine/record.h"

#define ULL(x) ((unsigned long long)(x))

static const char *differ(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *differ(const char *format, ...)
{
	static char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return text;
}

/* ---- one object ---- */

struct figure {
	const char *name;
	uint64_t is, should;
};

static const char *compare_attr(struct reference *r, const struct ref_object *o, const struct attr *a)
{
	bool text = o->kind == KIND_FILE || o->kind == KIND_SYMLINK;
	uint64_t names = 0;
	for (struct ref_name *n = NULL; o->kind == KIND_DIRECTORY && (n = reference_next(r, o->number, n));)
		names++;
	const struct figure figures[] = {
		{"kind", a->kind, o->kind}, {"mode", a->mode, o->mode}, {"uid", a->uid, o->uid}, {"gid", a->gid, o->gid},
		{"links", a->nlink, reference_links(r, o)}, {"number", a->inode, o->number},
		{"size", a->size, text ? o->text.size : 0}, {"atime", (uint64_t)a->atime_ns, (uint64_t)o->atime_ns},
		{"mtime", (uint64_t)a->mtime_ns, (uint64_t)o->mtime_ns}, {"ctime", (uint64_t)a->ctime_ns, (uint64_t)o->ctime_ns},
		{"birth", (uint64_t)a->created_ns, (uint64_t)o->created_ns}, {"created", a->created, o->created},
		{"modified", a->modified, o->modified}, {"content", a->content, o->content}, {"tree", a->tree, o->tree},
		{"entries", a->entries, names}, {"value", (uint64_t)a->value, (uint64_t)o->value},
		{"min", (uint64_t)a->min, (uint64_t)o->min}, {"max", (uint64_t)a->max, (uint64_t)o->max},
		{"has_min", a->has_min, o->has_min}, {"has_max", a->has_max, o->has_max},
		{"has_xattrs", a->has_xattrs, o->xattr_count > 0},
		{"parent", o->kind == KIND_DIRECTORY && o->number > INODE_ROOT ? a->parent : 0,
		 o->kind == KIND_DIRECTORY ? reference_parent(r, o->number) : 0},
	};
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
		if (figures[i].is != figures[i].should)
			return differ("inode %llu: %s is %llu, should be %llu", ULL(o->number), figures[i].name,
				      ULL(figures[i].is), ULL(figures[i].should));
	return NULL;
}

static const char *compare_content(struct view v, const struct ref_object *o)
{
	size_t got = 0, room = o->text.size + 10;
	char *text = malloc(room);
	const char *what = NULL;
	if (!text)
		return differ("out of memory");
	int code = o->kind == KIND_FILE ? view_read(v, o->number, 0, room, text, &got)
					: view_target(v, o->number, text, room, &got);
	if (code)
		what = differ("inode %llu: cannot be read: %s", ULL(o->number), error_text(code));
	else if (got != o->text.size || (got > 0 && memcmp(text, o->text.data, got) != 0))
		what = differ("inode %llu: another content", ULL(o->number));
	free(text);
	return what;
}

static const struct ref_xattr *xattr_of(const struct ref_object *o, const char *name)
{
	for (size_t i = 0; i < o->xattr_count; i++)
		if (strcmp(o->xattrs[i].name, name) == 0)
			return &o->xattrs[i];
	return NULL;
}

static const char *compare_xattrs(struct view v, const struct ref_object *o)
{
	Coordfs__Xattrs *x;
	const char *what = NULL;
	if (view_xattrs(v, o->number, &x))
		return differ("inode %llu: its xattrs cannot be read", ULL(o->number));
	if ((x ? x->n_list : 0) != o->xattr_count)
		what = differ("inode %llu: %zu xattrs", ULL(o->number), x ? x->n_list : 0);
	for (size_t i = 0; x && i < x->n_list && !what; i++) {
		const struct ref_xattr *want = xattr_of(o, x->list[i]->name);
		if (!want || want->value.size != x->list[i]->value.len ||
		    (want->value.size && memcmp(want->value.data, x->list[i]->value.data, want->value.size) != 0))
			what = differ("inode %llu: xattr %s", ULL(o->number), x->list[i]->name);
	}
	record_free(x);
	return what;
}

/* ---- directories ---- */

struct reading {
	struct view view;
	struct reference *reference;
	uint64_t directory;
	struct ref_name *last;
	const char *what;
};

static const char *compare_binding(struct view v, const struct ref_name *n)
{
	Coordfs__Dirent *d;
	struct key k = key_name('e', n->parent, (struct bytes){n->name.data, n->name.size});
	const char *what = NULL;
	if (record_get(v.store, &k, &coordfs__dirent__descriptor, &d) <= 0)
		return differ("a name in %llu is not found", ULL(n->parent));
	if (d->session != n->session)
		what = differ("a name in %llu belongs to session %llu, not %llu", ULL(n->parent), ULL(d->session),
			      ULL(n->session));
	record_free(d);
	return what;
}

static int compare_entry(void *ctx, const struct view_entry *e)
{
	struct reading *k = ctx;
	struct ref_name *n = k->last = reference_next(k->reference, k->directory, k->last);
	uint64_t inode = 0;
	if (!n || n->name.size != e->name.size || memcmp(n->name.data, e->name.data, e->name.size) != 0 ||
	    n->object != e->inode || reference_object(k->reference, n->object)->kind != e->kind)
		k->what = differ("directory %llu: lists %.*s, inode %llu", ULL(k->directory), (int)e->name.size,
				 (const char *)e->name.data, ULL(e->inode));
	else if (view_lookup(k->view, k->directory, e->name, &inode, NULL) || inode != e->inode)
		k->what = differ("directory %llu: lists a name that is not found", ULL(k->directory));
	else
		k->what = compare_binding(k->view, n);
	return k->what != NULL;
}

static const char *compare_directory(struct view v, struct reference *r, const struct ref_object *o)
{
	struct reading k = {v, r, o->number, NULL, NULL};
	int code = view_readdir(v, o->number, 0, compare_entry, &k);
	if (code)
		return differ("directory %llu cannot be read: %s", ULL(o->number), error_text(code));
	if (!k.what && reference_next(r, o->number, k.last))
		return differ("directory %llu: names are missing", ULL(o->number));
	return k.what;
}

/* ---- all ---- */

const char *compare_object(struct view v, struct reference *r, const struct ref_object *o)
{
	struct attr a;
	int code = view_attr(v, o->number, &a);
	if (code)
		return differ("inode %llu: %s", ULL(o->number), error_text(code));
	const char *what = compare_attr(r, o, &a);
	if (!what && (o->kind == KIND_FILE || o->kind == KIND_SYMLINK))
		what = compare_content(v, o);
	if (!what && o->kind == KIND_DIRECTORY)
		what = compare_directory(v, r, o);
	return what ? what : compare_xattrs(v, o);
}

const char *compare_view(struct view v, struct reference *r)
{
	const char *what = NULL;
	for (size_t i = 0; i < REF_OBJECTS && !what; i++)
		if (r->objects[i].number)
			what = compare_object(v, r, &r->objects[i]);
	return what;
}

struct counting_table {
	struct reference *reference;
	unsigned count;
	const char *what;
};

static int compare_session(void *ctx, const struct session_info *s)
{
	struct counting_table *k = ctx;
	const struct ref_session *want = reference_session(k->reference, s->session);
	k->count++;
	if (!want || strcmp(want->member, s->member) != 0 || want->ttl_ms != s->ttl_ms)
		k->what = differ("session %llu is another", ULL(s->session));
	return k->what != NULL;
}

static const char *compare_sessions(struct machine *m, struct reference *r)
{
	struct counting_table k = {.reference = r};
	unsigned expected = 0;
	machine_sessions(m, compare_session, &k);
	for (size_t i = 0; i < REF_SESSIONS; i++)
		expected += r->sessions[i].id != 0;
	if (!k.what && k.count != expected)
		return differ("%u sessions, should be %u", k.count, expected);
	return k.what;
}

static int compare_member(void *ctx, const struct member_info *m)
{
	struct counting_table *k = ctx;
	const struct ref_member *want = reference_member(k->reference, m->id);
	k->count++;
	if (!want || strcmp(want->name, m->name) != 0 || strcmp(want->address, m->address) != 0 ||
	    memcmp(want->token, m->token, sizeof m->token) != 0 || want->wish != (uint32_t)m->wish ||
	    want->level != m->level)
		k->what = differ("member %llu is another", ULL(m->id));
	return k->what != NULL;
}

static const char *compare_members(struct machine *m, struct reference *r)
{
	struct counting_table k = {.reference = r};
	unsigned expected = 0;
	machine_members(m, compare_member, &k);
	for (size_t i = 0; i < REF_MEMBERS; i++)
		expected += r->members[i].id != 0;
	if (!k.what && k.count != expected)
		return differ("%u members, should be %u", k.count, expected);
	if (!k.what && machine_level(m) != (r->level ? r->level : 1))
		return differ("level %u, should be %u", machine_level(m), r->level);
	return k.what;
}

static const char *compare_outcome(struct machine *m, const struct ref_outcome *want, const char *member)
{
	Coordfs__Outcome *o;
	const char *what = NULL;
	if (machine_outcome(m, want->name, member, &o))
		return differ("the outcome of %s is not known", want->name);
	if (o->committed != want->committed || o->revision != want->stamp || o->number != want->number ||
	    strcmp(o->member, want->member) != 0 || (o->committed && o->place != want->place))
		what = differ("the outcome of %s is another", want->name);
	record_free(o);
	return what;
}

const char *compare_tables(struct machine *m, struct reference *r)
{
	const char *what = compare_sessions(m, r);
	if (!what)
		what = compare_members(m, r);
	for (size_t i = 0; i < REF_OUTCOMES && !what; i++) {
		const struct ref_outcome *o = &r->outcomes[i];
		if (o->stamp)
			what = compare_outcome(m, o, o->member);
		if (o->stamp && !what)
			what = compare_outcome(m, reference_find_outcome(r, o->name, NULL), NULL);
	}
	return what;
}

/* ---- records ---- */

struct counting {
	uint64_t hash, bytes, records;
	uint64_t letters[256];
};

static int count(void *ctx, struct bytes key, struct bytes value)
{
	struct counting *k = ctx;
	k->hash += XXH3_64bits_withSeed(value.data, value.size, XXH3_64bits(key.data, key.size));
	k->bytes += key.size + value.size;
	k->records++;
	k->letters[*(const unsigned char *)key.data]++;
	return 0;
}

static const char *compare_counts(const struct counting *is, struct reference *r, const Coordfs__Meta *meta)
{
	struct counting should = {0};
	uint64_t latest = 0;
	for (size_t i = 0; i < REF_OBJECTS; i++) {
		should.letters['i'] += r->objects[i].number != 0;
		should.letters['x'] += r->objects[i].number && r->objects[i].xattr_count;
	}
	for (size_t i = 0; i < REF_NAMES; i++) {
		should.letters['e'] += r->names[i].object != 0;
		should.letters['b'] += r->names[i].object && r->names[i].session;
	}
	for (size_t i = 0; i < REF_IDS; i++)
		should.letters['k'] += r->ids[i].counter != 0;
	for (size_t i = 0; i < REF_SESSIONS; i++)
		should.letters['S'] += r->sessions[i].id != 0;
	for (size_t i = 0; i < REF_MEMBERS; i++)
		should.letters['M'] += r->members[i].id != 0;
	for (size_t i = 0; i < REF_OUTCOMES; i++) {
		const struct ref_outcome *o = &r->outcomes[i];
		should.letters['o'] += o->stamp != 0;
		latest += o->stamp && reference_find_outcome(r, o->name, NULL) == o;
	}
	should.letters['O'] = latest;
	should.letters['K'] = r->expiry_count;
	for (const char *letter = "ixebkSMoOK"; *letter; letter++)
		if (is->letters[(unsigned char)*letter] != should.letters[(unsigned char)*letter])
			return differ("%llu records of kind %c, should be %llu", ULL(is->letters[(unsigned char)*letter]),
				      *letter, ULL(should.letters[(unsigned char)*letter]));
	if (meta->remembered != should.letters['k'] || meta->inodes != should.letters['i'] ||
	    meta->expiry_tail - meta->expiry_head != should.letters['K'])
		return differ("Meta's counts are wrong");
	return NULL;
}

const char *compare_records(struct memory_machine *m, struct reference *r)
{
	struct counting k = {0};
	Coordfs__Meta meta;
	machine_meta(m->machine, &meta);
	memory_each(m, count, &k);
	if (k.hash != meta.state_hash || k.bytes != meta.state_bytes || k.records != meta.records)
		return differ("Meta's figures are not those of the records");
	return compare_counts(&k, r, &meta);
}
