#include "machine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the store ---- */

static int nothing_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	(void)s, (void)key, (void)parse, (void)ctx;
	return 0;
}

static const struct store_ops nothing_ops = {.get = nothing_get};

static void keep_event(void *ctx, const struct event *event)
{
	struct fixture *f = ctx;
	assert_true(f->event_count < FIXTURE_EVENTS);
	f->events[f->event_count] = *event;
	f->events[f->event_count++].name = (struct bytes){0};
}

static void keep_gone(void *ctx, uint64_t inode, uint64_t session)
{
	struct fixture *f = ctx;
	struct attr a;
	(void)session;
	assert_int_equal(view_attr(machine_view(f->machine), inode, &a), 0);
	assert_true(f->gone_count < FIXTURE_EVENTS);
	f->gone[f->gone_count++] = inode;
}

static struct machine_observer observer_of(struct fixture *f)
{
	return (struct machine_observer){.ctx = f, .event = keep_event, .before_gone = keep_gone};
}

static void fixture_base(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	f->nothing.ops = &nothing_ops;
	f->memory = overlay_new(&f->nothing);
	assert_non_null(f->memory);
	f->check = true;
	f->time_ns = 1000000000;
}

void fixture_init(struct fixture *f)
{
	struct machine_observer o = observer_of(f);
	fixture_base(f);
	assert_int_equal(machine_new(overlay_store(f->memory), &o, &f->machine), 0);
	fixture_open(f, "one");
}

void fixture_fini(struct fixture *f)
{
	machine_free(f->machine);
	overlay_free(f->memory);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	fixture_init(f);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_fini(*state);
	free(*state);
	return 0;
}

/* ---- commands ---- */

static void breach(void *ctx, const char *what)
{
	(void)ctx;
	print_error("machine_check: %s\n", what);
}

static struct reply apply(struct fixture *f, Coordfs__Entry *e)
{
	struct reply r;
	size_t size = coordfs__entry__get_packed_size(e);
	uint8_t *packed = malloc(size);
	assert_non_null(packed);
	coordfs__entry__pack(e, packed);
	f->event_count = f->gone_count = 0;
	f->time_ns += 1000;
	f->failed = machine_apply(f->machine, ++f->index, (struct bytes){packed, size}, &r);
	free(packed);
	if (f->failed && f->may_fail)
		return r;
	assert_int_equal(f->failed, 0);
	assert_int_equal(r.revision, f->index);
	if (f->check)
		assert_int_equal(machine_check(f->machine, breach, NULL), 0);
	return r;
}

struct reply fixture_apply_as(struct fixture *f, uint64_t session, uint64_t sequence, const Coordfs__Command *q)
{
	Coordfs__Entry e = COORDFS__ENTRY__INIT;
	struct reply r;
	e.format = ENTRY_FORMAT;
	e.time_ns = f->time_ns;
	e.session = session;
	e.sequence = sequence;
	e.answered_below = sequence;
	e.command = (Coordfs__Command *)q;
	r = apply(f, &e);
	if (r.code != ERR_STALE && sequence > 0 && r.revision != f->index)
		fail_msg("a reply of another entry");
	return r;
}

struct reply fixture_apply(struct fixture *f, const Coordfs__Command *q)
{
	return fixture_apply_as(f, f->session, ++f->sequence, q);
}

#define COMMAND(kind, CASE, field)                                   \
	Coordfs__Command command = COORDFS__COMMAND__INIT;           \
	kind q = CASE##__INIT;                                       \
	command.of_case = COORDFS__COMMAND__OF_##field

static ProtobufCBinaryData binary(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

struct reply fixture_open_as(struct fixture *f, const char *member, const char *incarnation, uint32_t ttl_ms)
{
	COMMAND(Coordfs__SessionOpen, COORDFS__SESSION_OPEN, SESSION_OPEN);
	command.session_open = &q;
	q.member = (char *)member;
	q.incarnation = binary(incarnation);
	q.ttl_ms = ttl_ms;
	q.level = LEVEL_LATEST;
	return fixture_apply_as(f, 0, 0, &command);
}

uint64_t fixture_open(struct fixture *f, const char *member)
{
	char incarnation[17];
	snprintf(incarnation, sizeof incarnation, "%016llu", (unsigned long long)f->index);
	struct reply r = fixture_open_as(f, member, incarnation, 0);
	assert_int_equal(r.code, OK);
	f->sequence = 0;
	return f->session = (uint64_t)r.value;
}

struct reply fixture_add_member(struct fixture *f, const char *name, const char *address, const char *token,
				uint64_t id, uint32_t level)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberAdd q = COORDFS__MEMBER_ADD__INIT;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	command.member_add = &q;
	q.name = (char *)name;
	q.address = (char *)address;
	q.token = (ProtobufCBinaryData){strlen(token), (uint8_t *)token};
	q.id = id;
	q.level = level;
	return fixture_apply_as(f, 0, 0, &command);
}

struct reply fixture_create(struct fixture *f, uint64_t parent, const char *name, uint32_t mode, bool exclusive)
{
	COMMAND(Coordfs__Create, COORDFS__CREATE, CREATE);
	command.create = &q;
	q.parent = parent;
	q.name = binary(name);
	q.mode = mode;
	q.exclusive = exclusive;
	if (S_ISLNK(mode))
		q.target = binary("target");
	return fixture_apply(f, &command);
}

struct reply fixture_remove(struct fixture *f, uint64_t parent, const char *name, bool directory)
{
	COMMAND(Coordfs__Remove, COORDFS__REMOVE, REMOVE);
	command.remove = &q;
	q.parent = parent;
	q.name = binary(name);
	q.directory = directory;
	return fixture_apply(f, &command);
}

struct reply fixture_rename(struct fixture *f, uint64_t from, const char *name, uint64_t to, const char *new_name,
			    uint32_t flags)
{
	COMMAND(Coordfs__Rename, COORDFS__RENAME, RENAME);
	command.rename = &q;
	q.parent = from;
	q.name = binary(name);
	q.new_parent = to;
	q.new_name = binary(new_name);
	q.flags = flags;
	return fixture_apply(f, &command);
}

struct reply fixture_link(struct fixture *f, uint64_t inode, uint64_t parent, const char *name)
{
	COMMAND(Coordfs__Link, COORDFS__LINK, LINK);
	command.link = &q;
	q.inode = inode;
	q.parent = parent;
	q.name = binary(name);
	return fixture_apply(f, &command);
}

struct reply fixture_write(struct fixture *f, uint64_t inode, uint64_t offset, const char *text)
{
	COMMAND(Coordfs__Write, COORDFS__WRITE, WRITE);
	command.write = &q;
	q.inode = inode;
	q.offset = offset;
	q.data = binary(text);
	return fixture_apply(f, &command);
}

struct reply fixture_append(struct fixture *f, uint64_t inode, const char *text)
{
	COMMAND(Coordfs__Write, COORDFS__WRITE, WRITE);
	command.write = &q;
	q.inode = inode;
	q.append = true;
	q.data = binary(text);
	return fixture_apply(f, &command);
}

struct reply fixture_add(struct fixture *f, uint64_t counter, int64_t amount, const char *id)
{
	COMMAND(Coordfs__CounterUpdate, COORDFS__COUNTER_UPDATE, COUNTER);
	Coordfs__CounterRequest one = COORDFS__COUNTER_REQUEST__INIT, *list = &one;
	command.counter = &q;
	q.inode = counter;
	q.n_requests = 1;
	q.requests = &list;
	one.kind = COUNTER_ADD;
	one.value = amount;
	if (id)
		one.id = binary(id);
	return fixture_apply(f, &command);
}

/* ---- reading ---- */

uint64_t fixture_find(struct fixture *f, uint64_t parent, const char *name)
{
	uint64_t inode;
	int code = view_lookup(machine_view(f->machine), parent, (struct bytes){name, strlen(name)}, &inode, NULL);
	return code ? 0 : inode;
}

struct attr fixture_attr(struct fixture *f, uint64_t inode)
{
	struct attr a;
	assert_int_equal(view_attr(machine_view(f->machine), inode, &a), 0);
	return a;
}

int64_t fixture_value(struct fixture *f, uint64_t counter)
{
	return fixture_attr(f, counter).value;
}

const char *fixture_content(struct view v, uint64_t inode, char text[256])
{
	size_t got;
	assert_int_equal(view_read(v, inode, 0, 255, text, &got), 0);
	text[got] = '\0';
	return text;
}

/* ---- images ---- */

struct loading {
	struct store store;
	struct machine *machine;
};

static int load_put(struct store *s, struct bytes key, struct bytes value)
{
	return machine_load(((struct loading *)s)->machine, key, value);
}

static int load_del(struct store *s, struct bytes key)
{
	(void)s, (void)key;
	return 0;
}

void fixture_reload(struct fixture *from, struct fixture *to)
{
	static const struct store_ops load_ops = {.get = nothing_get, .put = load_put, .del = load_del};
	struct machine_observer o = observer_of(to);
	struct loading loading = {.store = {&load_ops}};
	Coordfs__Meta meta;
	fixture_base(to);
	assert_int_equal(machine_load_begin(overlay_store(to->memory), &o, &to->machine), 0);
	loading.machine = to->machine;
	assert_int_equal(overlay_each(from->memory, &loading.store), 0);
	machine_meta(from->machine, &meta);
	assert_int_equal(machine_load_end(to->machine, &meta), 0);
	to->index = from->index;
	to->time_ns = from->time_ns;
	to->session = from->session;
	to->sequence = from->sequence;
}
