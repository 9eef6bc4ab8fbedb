/* The machine's rules, one behaviour a test; every command is followed by machine_check(). */
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "machine/history.h"
#include "machine/internal.h"
#include "machine/transaction.h"
#include "machine_fixture.h"

/* ---- names ---- */

static void test_genesis_makes_the_trees(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(fixture_find(f, INODE_ROOT, "locks"), INODE_LOCKS);
	assert_int_equal(fixture_find(f, INODE_ROOT, "counters"), INODE_COUNTERS);
	assert_int_equal(fixture_find(f, INODE_ROOT, "files"), INODE_FILES);
	assert_int_equal(fixture_find(f, INODE_ROOT, "fences"), INODE_FENCES);
	assert_int_equal(fixture_attr(f, INODE_LOCKS).mode, 01777);
	assert_int_equal(fixture_create(f, INODE_ROOT, "x", S_IFDIR | 0755, true).code, ERR_PERM);
}

static void test_create_finds_or_makes(void **state)
{
	struct fixture *f = *state;
	struct reply made = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, false);
	assert_int_equal(made.code, OK);
	assert_int_equal(fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, false).inode, made.inode);
	assert_int_equal(fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).code, ERR_EXISTS);
	assert_int_equal(fixture_create(f, INODE_FILES, "a", S_IFDIR | 0755, true).code, ERR_EXISTS);
	assert_int_equal(fixture_attr(f, made.inode).kind, KIND_FILE);
}

static void test_the_tree_decides_the_kind(void **state)
{
	struct fixture *f = *state;
	uint64_t counter = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, false).inode;
	uint64_t fence = fixture_create(f, INODE_FENCES, "f", S_IFREG | 0644, false).inode;
	assert_int_equal(fixture_attr(f, counter).kind, KIND_COUNTER);
	assert_int_equal(fixture_attr(f, fence).kind, KIND_FENCE);
	assert_int_equal(fixture_link(f, counter, INODE_COUNTERS, "d").code, ERR_PERM);
	assert_int_equal(fixture_rename(f, INODE_COUNTERS, "c", INODE_FILES, "c", 0).code, ERR_CROSS_TREE);
	fixture_create(f, INODE_FILES, "plain", S_IFREG | 0644, false);
	assert_int_equal(fixture_rename(f, INODE_FILES, "plain", INODE_COUNTERS, "c", 0).code, ERR_INVALID);
	assert_int_equal(fixture_rename(f, INODE_FILES, "plain", INODE_COUNTERS, "new", 0).code, ERR_CROSS_TREE);
}

static void test_bad_names_are_refused(void **state)
{
	struct fixture *f = *state;
	char longest[257] = "";
	memset(longest, 'x', 256);
	assert_int_equal(fixture_create(f, INODE_FILES, longest, S_IFREG | 0644, true).code, ERR_NAME_TOO_LONG);
	longest[255] = '\0';
	assert_int_equal(fixture_create(f, INODE_FILES, longest, S_IFREG | 0644, true).code, OK);
	assert_int_equal(fixture_create(f, INODE_FILES, "", S_IFREG | 0644, true).code, ERR_INVALID);
	assert_int_equal(fixture_create(f, INODE_FILES, "..", S_IFREG | 0644, true).code, ERR_INVALID);
	assert_int_equal(fixture_create(f, INODE_FILES, "a/b", S_IFREG | 0644, true).code, ERR_INVALID);
	assert_int_equal(fixture_create(f, INODE_FILES, ".self", S_IFREG | 0644, true).code, ERR_PERM);
	assert_int_equal(fixture_create(f, INODE_FILES, "p", S_IFIFO | 0644, true).code, ERR_PERM);
	assert_int_equal(fixture_create(f, 12345, "p", S_IFREG | 0644, true).code, ERR_NOT_FOUND);
}

static void test_remove_needs_the_right_call(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = fixture_create(f, INODE_FILES, "d", S_IFDIR | 0755, true).inode;
	fixture_create(f, dir, "a", S_IFREG | 0644, true);
	assert_int_equal(fixture_remove(f, INODE_FILES, "d", false).code, ERR_IS_DIRECTORY);
	assert_int_equal(fixture_remove(f, INODE_FILES, "d", true).code, ERR_NOT_EMPTY);
	assert_int_equal(fixture_remove(f, dir, "a", true).code, ERR_NOT_DIRECTORY);
	assert_int_equal(fixture_remove(f, dir, "a", false).code, OK);
	assert_int_equal(f->gone_count, 1);
	assert_int_equal(fixture_remove(f, INODE_FILES, "d", true).code, OK);
	assert_int_equal(fixture_find(f, INODE_FILES, "d"), 0);
}

static void test_hard_links_count(void **state)
{
	struct fixture *f = *state;
	char text[256];
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	fixture_write(f, a, 0, "hello");
	assert_int_equal(fixture_link(f, a, INODE_FILES, "b").code, OK);
	assert_int_equal(fixture_link(f, a, INODE_FILES, "b").code, ERR_EXISTS);
	assert_int_equal(fixture_attr(f, a).nlink, 2);
	fixture_remove(f, INODE_FILES, "a", false);
	assert_int_equal(f->gone_count, 0);
	assert_string_equal(fixture_content(machine_view(f->machine), a, text), "hello");
	fixture_remove(f, INODE_FILES, "b", false);
	assert_int_equal(f->gone_count, 1);
	assert_int_equal(fixture_link(f, a, INODE_FILES, "c").code, ERR_NOT_FOUND);
}

static bool was_told(const struct fixture *f, enum event_type type, uint64_t inode)
{
	for (size_t i = 0; i < f->event_count; i++)
		if (f->events[i].type == type && f->events[i].inode == inode)
			return true;
	return false;
}

/* Whoever caches attributes must hear of each change: also of a link that went while another stays. */
static void test_a_lost_link_is_told(void **state)
{
	struct fixture *f = *state;
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	fixture_create(f, INODE_FILES, "new", S_IFREG | 0644, true);
	fixture_link(f, a, INODE_FILES, "b");
	fixture_link(f, a, INODE_FILES, "c");
	fixture_remove(f, INODE_FILES, "b", false);
	assert_true(was_told(f, EVENT_ENTRY, INODE_FILES));
	assert_true(was_told(f, EVENT_CHANGE, a));
	fixture_rename(f, INODE_FILES, "new", INODE_FILES, "c", 0);
	assert_true(was_told(f, EVENT_CHANGE, a));
	fixture_remove(f, INODE_FILES, "a", false);
	assert_false(was_told(f, EVENT_CHANGE, a));
	assert_int_equal(f->gone_count, 1);
}

static void test_rename_replaces_and_exchanges(void **state)
{
	struct fixture *f = *state;
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	uint64_t b = fixture_create(f, INODE_FILES, "b", S_IFREG | 0644, true).inode;
	assert_int_equal(fixture_rename(f, INODE_FILES, "a", INODE_FILES, "b", RENAME_NOREPLACE).code, ERR_EXISTS);
	assert_int_equal(fixture_rename(f, INODE_FILES, "a", INODE_FILES, "b", RENAME_EXCHANGE).code, OK);
	assert_int_equal(fixture_find(f, INODE_FILES, "a"), b);
	assert_int_equal(fixture_rename(f, INODE_FILES, "a", INODE_FILES, "b", 0).code, OK);
	assert_int_equal(fixture_find(f, INODE_FILES, "b"), b);
	assert_int_equal(fixture_find(f, INODE_FILES, "a"), 0);
	assert_int_equal(f->gone[0], a);
	assert_int_equal(fixture_rename(f, INODE_FILES, "b", INODE_FILES, "c", 8).code, ERR_INVALID);
	assert_int_equal(fixture_rename(f, INODE_FILES, "no", INODE_FILES, "c", 0).code, ERR_NOT_FOUND);
}

static void test_a_directory_cannot_enter_itself(void **state)
{
	struct fixture *f = *state;
	uint64_t d = fixture_create(f, INODE_FILES, "d", S_IFDIR | 0755, true).inode;
	uint64_t e = fixture_create(f, d, "e", S_IFDIR | 0755, true).inode;
	assert_int_equal(fixture_rename(f, INODE_FILES, "d", e, "x", 0).code, ERR_INVALID);
	assert_int_equal(fixture_rename(f, d, "e", INODE_FILES, "e", 0).code, OK);
	assert_int_equal(fixture_attr(f, INODE_FILES).nlink, 4);
	assert_int_equal(fixture_attr(f, d).nlink, 2);
	assert_int_equal(fixture_attr(f, e).parent, INODE_FILES);
}

struct listing {
	unsigned count, stop_after;
	uint64_t cookie;
	char seen[400];
};

static int list_one(void *ctx, const struct view_entry *e)
{
	struct listing *l = ctx;
	int number = 0;
	for (size_t i = 1; i < e->name.size; i++)
		number = number * 10 + ((const char *)e->name.data)[i] - '0';
	l->seen[number]++;
	l->cookie = e->cookie;
	return ++l->count == l->stop_after;
}

/* What stays is given once, though names before, at and after the cookie go and others come. */
static void test_readdir_survives_changes(void **state)
{
	struct fixture *f = *state;
	struct listing l = {.stop_after = 100};
	char name[16];
	f->check = false;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "n%d", i);
		fixture_create(f, INODE_FILES, name, S_IFREG | 0644, true);
	}
	view_readdir(machine_view(f->machine), INODE_FILES, 0, list_one, &l);
	for (int i = 40; i < 200; i++) {
		snprintf(name, sizeof name, "n%d", i);
		fixture_remove(f, INODE_FILES, name, false);
	}
	fixture_create(f, INODE_FILES, "n350", S_IFREG | 0644, true);
	fixture_rename(f, INODE_FILES, "n350", INODE_FILES, "n0", 0);
	f->check = true;
	fixture_create(f, INODE_FILES, "n351", S_IFREG | 0644, true);
	l.stop_after = 0;
	view_readdir(machine_view(f->machine), INODE_FILES, l.cookie, list_one, &l);
	for (int i = 0; i < 300; i++)
		assert_int_equal(l.seen[i], i < 100 || i >= 200);
	assert_int_equal(l.seen[351], 1);
}

/* ---- files ---- */

static void test_files_hold_what_was_written(void **state)
{
	struct fixture *f = *state;
	char text[256];
	struct view v = machine_view(f->machine);
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	assert_int_equal(fixture_write(f, a, 0, "hello world").size, 11);
	fixture_write(f, a, 6, "there");
	assert_string_equal(fixture_content(v, a, text), "hello there");
	struct reply r = fixture_append(f, a, "!");
	assert_int_equal(r.value, 11);
	assert_string_equal(fixture_content(v, a, text), "hello there!");
	assert_int_equal(fixture_write(f, a, LIMIT_FILE_BYTES, "x").code, ERR_TOO_BIG);
	assert_int_equal(fixture_write(f, a, UINT64_MAX - 1, "xyz").code, ERR_TOO_BIG);
	assert_int_equal(fixture_write(f, INODE_FILES, 0, "x").code, ERR_IS_DIRECTORY);
}

static struct reply set_size(struct fixture *f, uint64_t inode, uint64_t size)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SetAttr q = COORDFS__SET_ATTR__INIT;
	command.of_case = COORDFS__COMMAND__OF_SET_ATTR;
	command.set_attr = &q;
	q.inode = inode;
	q.mask = ATTR_SIZE;
	q.size = size;
	return fixture_apply(f, &command);
}

/* What was cut off never comes back, at any place of chunk borders. */
static void test_cut_content_does_not_come_back(void **state)
{
	static const uint64_t cuts[] = {0, 1, FILE_CHUNK_BYTES - 1, FILE_CHUNK_BYTES, FILE_CHUNK_BYTES + 1, 40000};
	static char big[50000], back[50000];
	struct fixture *f = *state;
	size_t got;
	memset(big, 'x', sizeof big - 1);
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, false).inode;
		fixture_write(f, a, 0, big);
		assert_int_equal(set_size(f, a, cuts[i]).code, OK);
		assert_int_equal(set_size(f, a, sizeof big).code, OK);
		assert_int_equal(view_read(machine_view(f->machine), a, 0, sizeof back, back, &got), 0);
		assert_int_equal(got, sizeof back);
		for (size_t at = 0; at < sizeof back; at++)
			assert_int_equal(back[at], at < cuts[i] ? 'x' : 0);
	}
	assert_int_equal(set_size(f, 300, 1).code, ERR_NOT_FOUND);
	assert_int_equal(set_size(f, fixture_find(f, INODE_FILES, "a"), LIMIT_FILE_BYTES + 1).code, ERR_TOO_BIG);
}

/* ---- consistency ---- */

static int set_level(struct fixture *f, uint64_t inode, uint32_t level)
{
	Coordfs__SetConsistency q = COORDFS__SET_CONSISTENCY__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	q.inode = inode;
	q.level = level;
	command.of_case = COORDFS__COMMAND__OF_SET_CONSISTENCY;
	command.set_consistency = &q;
	return fixture_apply(f, &command).code;
}

static uint64_t create_as(struct fixture *f, uint64_t parent, const char *name, uint32_t mode, uint32_t level)
{
	Coordfs__Create q = COORDFS__CREATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	q.parent = parent;
	q.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	q.mode = mode;
	q.consistency = level;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &q;
	return fixture_apply(f, &command).inode;
}

static void test_consistency_is_inherited(void **state)
{
	struct fixture *f = *state;
	struct fixture copy;
	uint64_t old, dir = fixture_create(f, INODE_COUNTERS, "d", S_IFDIR | 0755, true).inode;
	uint64_t before = fixture_create(f, dir, "before", S_IFREG | 0644, true).inode;
	assert_int_equal(fixture_attr(f, dir).consistency, CONSISTENCY_UNSET);
	assert_int_equal(set_level(f, dir, CONSISTENCY_WEAK), 0);
	old = fixture_attr(f, dir).modified;
	assert_int_equal(set_level(f, dir, CONSISTENCY_WEAK), 0);
	assert_int_equal(fixture_attr(f, dir).modified, old); /* nothing changed */
	assert_int_equal(fixture_attr(f, before).consistency, CONSISTENCY_UNSET);
	assert_int_equal(fixture_attr(f, fixture_create(f, dir, "after", S_IFREG | 0644, true).inode).consistency, CONSISTENCY_WEAK);
	assert_int_equal(fixture_attr(f, create_as(f, dir, "wish", S_IFREG, CONSISTENCY_STRONG)).consistency, CONSISTENCY_WEAK);
	assert_int_equal(fixture_attr(f, create_as(f, INODE_FILES, "wish", S_IFDIR, CONSISTENCY_WEAK)).consistency,
			 CONSISTENCY_WEAK);
	assert_int_equal(fixture_attr(f, create_as(f, INODE_LOCKS, "e", S_IFREG, CONSISTENCY_EVENTUAL)).consistency,
			 CONSISTENCY_UNSET);
	assert_int_equal(fixture_attr(f, create_as(f, INODE_FILES, "bad", S_IFREG, 4)).consistency, CONSISTENCY_UNSET);
	assert_int_equal(set_level(f, dir, CONSISTENCY_STRONG), 0);
	assert_int_equal(set_level(f, dir, CONSISTENCY_UNSET), ERR_INVALID);
	assert_int_equal(set_level(f, dir, 4), ERR_INVALID);
	assert_int_equal(set_level(f, 999999, CONSISTENCY_WEAK), ERR_NOT_FOUND);
	fixture_reload(f, &copy);
	assert_int_equal(fixture_attr(&copy, dir).consistency, CONSISTENCY_STRONG);
	fixture_fini(&copy);
}

static void test_only_what_is_new_becomes_eventual(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = fixture_create(f, INODE_FILES, "d", S_IFDIR | 0755, true).inode;
	uint64_t file = fixture_create(f, dir, "f", S_IFREG | 0644, true).inode;
	uint64_t counter = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	uint64_t used = fixture_create(f, INODE_COUNTERS, "used", S_IFREG | 0644, true).inode;
	fixture_add(f, used, 5, NULL);
	fixture_add(f, used, -5, NULL);
	assert_int_equal(set_level(f, dir, CONSISTENCY_EVENTUAL), ERR_NOT_EMPTY);
	assert_int_equal(set_level(f, used, CONSISTENCY_EVENTUAL), ERR_NOT_SUPPORTED);
	assert_int_equal(set_level(f, INODE_FILES, CONSISTENCY_EVENTUAL), ERR_NOT_SUPPORTED);
	assert_int_equal(set_level(f, INODE_LOCKS, CONSISTENCY_EVENTUAL), ERR_NOT_SUPPORTED);
	assert_int_equal(set_level(f, file, CONSISTENCY_EVENTUAL), 0);
	assert_int_equal(set_level(f, counter, CONSISTENCY_EVENTUAL), 0);
	assert_int_equal(set_level(f, counter, CONSISTENCY_WEAK), ERR_NOT_SUPPORTED);
	assert_int_equal(set_level(f, counter, CONSISTENCY_EVENTUAL), 0);
	assert_int_equal(fixture_remove(f, dir, "f", false).code, 0);
	assert_int_equal(set_level(f, dir, CONSISTENCY_EVENTUAL), 0);
}

static void test_what_is_eventual_holds_nothing_here(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = create_as(f, INODE_FILES, "d", S_IFDIR | 0755, CONSISTENCY_EVENTUAL);
	uint64_t file = create_as(f, INODE_FILES, "f", S_IFREG | 0644, CONSISTENCY_EVENTUAL);
	uint64_t counter = create_as(f, INODE_COUNTERS, "c", S_IFREG | 0644, CONSISTENCY_EVENTUAL);
	fixture_create(f, INODE_FILES, "plain", S_IFREG | 0644, true);
	assert_int_equal(fixture_create(f, dir, "x", S_IFREG | 0644, false).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_write(f, file, 0, "x").code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_add(f, counter, 1, NULL).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_link(f, file, INODE_FILES, "l").code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_rename(f, INODE_FILES, "f", INODE_FILES, "g", 0).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_rename(f, INODE_FILES, "plain", INODE_FILES, "f", 0).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_rename(f, INODE_FILES, "plain", dir, "p", 0).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_remove(f, INODE_FILES, "f", false).code, 0);
	assert_int_equal(fixture_remove(f, INODE_FILES, "d", true).code, 0);
}

/* ---- counters ---- */

static void test_counters_add_and_refuse_overflow(void **state)
{
	struct fixture *f = *state;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(fixture_add(f, c, 41, NULL).value, 41);
	assert_int_equal(fixture_add(f, c, -1, NULL).value, 40);
	assert_int_equal(fixture_add(f, c, INT64_MAX, NULL).code, ERR_RANGE);
	assert_int_equal(fixture_value(f, c), 40);
	assert_int_equal(fixture_add(f, INODE_COUNTERS, 1, NULL).code, ERR_INVALID);
}

static void test_an_id_counts_once(void **state)
{
	struct fixture *f = *state;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(fixture_add(f, c, 1, "job").value, 1);
	assert_int_equal(fixture_add(f, c, 5, "other").value, 6);
	assert_int_equal(fixture_add(f, c, 100, "job").value, 1);
	assert_int_equal(fixture_value(f, c), 6);
	assert_int_equal(fixture_add(f, c, INT64_MAX, "free").code, ERR_RANGE);
	assert_int_equal(fixture_add(f, c, 1, "free").value, 7);
	f->time_ns += OUTCOME_KEEP_NS;
	fixture_add(f, c, 1, NULL);
	assert_int_equal(fixture_add(f, c, 1, "job").value, 9);
}

static void test_lines_are_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest set = COORDFS__COUNTER_REQUEST__INIT, cas = set;
	Coordfs__CounterRequest *list[] = {&set, &cas};
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &q;
	q.inode = c;
	q.n_requests = 2;
	q.requests = list;
	set.kind = COUNTER_SET;
	set.value = 9;
	cas.kind = COUNTER_CAS;
	cas.expected = 8;
	cas.value = 10;
	assert_int_equal(fixture_apply(f, &command).code, ERR_CANCELED);
	assert_int_equal(fixture_value(f, c), 0);
	cas.expected = 9;
	assert_int_equal(fixture_apply(f, &command).value, 10);
}

/* ---- sessions ---- */

static void test_a_repeat_gets_the_first_reply(void **state)
{
	struct fixture *f = *state;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest add = COORDFS__COUNTER_REQUEST__INIT, *list = &add;
	Coordfs__Entry e = COORDFS__ENTRY__INIT;
	uint8_t packed[256];
	struct reply first, again;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &q;
	q.inode = c;
	q.n_requests = 1;
	q.requests = &list;
	add.kind = COUNTER_ADD;
	add.value = 3;
	e.format = ENTRY_FORMAT;
	e.session = f->session;
	e.sequence = 500;
	e.command = &command;
	size_t size = coordfs__entry__pack(&e, packed);
	assert_int_equal(machine_apply(f->machine, ++f->index, (struct bytes){packed, size}, &first), 0);
	assert_int_equal(machine_apply(f->machine, ++f->index, (struct bytes){packed, size}, &again), 0);
	assert_memory_equal(&first, &again, sizeof first);
	assert_int_equal(fixture_value(f, c), 3);
	f->sequence = 500;
	for (int i = 0; i < 200; i++)
		fixture_add(f, c, 1, NULL);
	assert_int_equal(machine_apply(f->machine, ++f->index, (struct bytes){packed, size}, &again), 0);
	assert_int_equal(again.code, ERR_STALE);
	assert_int_equal(fixture_value(f, c), 203);
}

/* Sequences need not follow each other, and what is forgotten costs no more for a gap. */
static void test_a_sequence_may_be_any_number(void **state)
{
	struct fixture *f = *state, copy;
	Coordfs__Meta meta, loaded;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	f->sequence = UINT64_MAX - 3;
	assert_int_equal(fixture_add(f, c, 1, NULL).value, 1);
	assert_int_equal(fixture_add(f, c, 1, NULL).value, 2);
	assert_int_equal(fixture_add(f, c, 1, NULL).value, 3); /* UINT64_MAX */
	fixture_reload(f, &copy);
	for (struct fixture *x = f; x; x = x == f ? &copy : NULL) {
		x->sequence = 1000;
		assert_int_equal(fixture_add(x, c, 1, NULL).code, ERR_STALE);
		fixture_open(x, "one");
		assert_int_equal(fixture_add(x, c, 1, NULL).value, 4);
	}
	machine_meta(f->machine, &meta);
	machine_meta(copy.machine, &loaded);
	assert_int_equal(meta.state_hash, loaded.state_hash);
	fixture_fini(&copy);
}

static void test_lock_files_go_with_their_session(void **state)
{
	struct fixture *f = *state;
	uint64_t team, empty;
	fixture_create(f, INODE_LOCKS, "stays", S_IFREG | 0644, false);
	fixture_create(f, INODE_LOCKS, "excl", S_IFREG | 0644, true);
	fixture_create(f, INODE_LOCKS, "link", S_IFLNK | 0777, true);
	fixture_link(f, fixture_find(f, INODE_LOCKS, "stays"), INODE_LOCKS, "hard");
	team = fixture_create(f, INODE_LOCKS, "team", S_IFDIR | 01777, true).inode;
	empty = fixture_create(f, INODE_LOCKS, "empty", S_IFDIR | 0755, true).inode;
	fixture_create(f, empty, "inside", S_IFREG | 0644, true);
	fixture_create(f, INODE_LOCKS, "full", S_IFDIR | 0755, true);
	fixture_create(f, fixture_find(f, INODE_LOCKS, "full"), "kept", S_IFREG | 0644, false);
	fixture_create(f, INODE_LOCKS, "n", S_IFREG | 0644, false);
	fixture_rename(f, INODE_LOCKS, "n", INODE_LOCKS, "moved", RENAME_NOREPLACE);
	fixture_create(f, INODE_FILES, "file", S_IFREG | 0644, true);
	fixture_open(f, "one");
	assert_int_not_equal(fixture_find(f, INODE_LOCKS, "stays"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "excl"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "link"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "hard"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "team"), team);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "empty"), 0);
	assert_int_not_equal(fixture_find(f, INODE_LOCKS, "full"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "moved"), 0);
	assert_int_not_equal(fixture_find(f, INODE_FILES, "file"), 0);
	fixture_open(f, "one");
	assert_int_equal(fixture_find(f, INODE_LOCKS, "team"), team);
}

/* A lock file that another session moves is still its maker's; mv -n takes it. */
static void test_a_moved_lock_file_keeps_its_session(void **state)
{
	struct fixture *f = *state;
	fixture_create(f, INODE_LOCKS, "moved", S_IFREG | 0644, true);
	fixture_create(f, INODE_LOCKS, "taken", S_IFREG | 0644, true);
	fixture_create(f, INODE_LOCKS, "left", S_IFREG | 0644, true);
	fixture_open(f, "two");
	fixture_create(f, INODE_LOCKS, "right", S_IFREG | 0644, true);
	assert_int_equal(fixture_rename(f, INODE_LOCKS, "moved", INODE_LOCKS, "m", 0).code, OK);
	assert_int_equal(fixture_rename(f, INODE_LOCKS, "taken", INODE_LOCKS, "t", RENAME_NOREPLACE).code, OK);
	assert_int_equal(fixture_rename(f, INODE_LOCKS, "left", INODE_LOCKS, "right", RENAME_EXCHANGE).code, OK);
	fixture_open(f, "one");
	assert_int_equal(fixture_find(f, INODE_LOCKS, "m"), 0);
	assert_int_not_equal(fixture_find(f, INODE_LOCKS, "t"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "right"), 0);
	assert_int_not_equal(fixture_find(f, INODE_LOCKS, "left"), 0);
	fixture_open(f, "two");
	assert_int_equal(fixture_find(f, INODE_LOCKS, "t"), 0);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "left"), 0);
}

/* The leader may have taken a SessionOpen whose answer was lost: proposed again, it must not end what it began. */
static void test_a_session_opened_again_is_the_same(void **state)
{
	struct fixture *f = *state;
	uint64_t first = (uint64_t)fixture_open_as(f, "two", "incarnation-0001", 5000).value;
	f->session = first;
	f->sequence = 0;
	fixture_create(f, INODE_LOCKS, "mine", S_IFREG | 0644, true);
	struct reply again = fixture_open_as(f, "two", "incarnation-0001", 7000);
	assert_int_equal(again.code, OK);
	assert_int_equal(again.value, first);
	assert_int_equal(f->event_count, 0);
	assert_true(fixture_find(f, INODE_LOCKS, "mine") != 0);
	assert_int_not_equal(fixture_open_as(f, "three", "incarnation-0001", 0).value, first);
	assert_true(machine_session_alive(f->machine, first));
	uint64_t next = (uint64_t)fixture_open_as(f, "two", "incarnation-0002", 0).value;
	assert_int_not_equal(next, first);
	assert_false(machine_session_alive(f->machine, first));
	assert_int_equal(fixture_find(f, INODE_LOCKS, "mine"), 0);
	assert_int_equal(fixture_create(f, INODE_LOCKS, "late", S_IFREG | 0644, true).code, ERR_STALE);
}

static int keep_ttl(void *ctx, const struct session_info *s)
{
	if (strcmp(s->member, "two") == 0)
		*(uint32_t *)ctx = s->ttl_ms;
	return 0;
}

static void test_a_session_keeps_its_ttl(void **state)
{
	struct fixture *f = *state, loaded;
	uint32_t ttl_ms = 0;
	assert_int_equal(fixture_open_as(f, "two", "incarnation-0001", LIMIT_SESSION_TTL_S_MAX * 1000 + 1).code,
			 ERR_INVALID);
	f->session = (uint64_t)fixture_open_as(f, "two", "incarnation-0001", 5000).value;
	f->sequence = 0;
	machine_sessions(f->machine, keep_ttl, &ttl_ms);
	assert_int_equal(ttl_ms, 5000);
	fixture_create(f, INODE_LOCKS, "mine", S_IFREG | 0644, true); /* puts the record once more */
	fixture_reload(f, &loaded);
	machine_sessions(loaded.machine, keep_ttl, &ttl_ms);
	assert_int_equal(ttl_ms, 5000);
	assert_int_equal(fixture_open_as(&loaded, "two", "incarnation-0001", 5000).value, f->session);
	fixture_fini(&loaded);
}

static void test_a_dead_session_changes_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t old = f->session, c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	fixture_open(f, "one");
	uint64_t alive = f->session;
	f->session = old;
	f->sequence = 900;
	assert_int_equal(fixture_add(f, c, 1, NULL).code, ERR_STALE);
	f->session = alive;
	assert_int_equal(fixture_value(f, c), 0);
}

/* ---- bytes ---- */

static void test_bytes_that_are_no_entry(void **state)
{
	struct fixture *f = *state;
	struct reply r;
	Coordfs__Meta before, after;
	machine_meta(f->machine, &before);
	assert_int_equal(machine_apply(f->machine, ++f->index, (struct bytes){"\xff\xff\xff", 3}, &r), 0);
	assert_int_equal(r.code, ERR_INVALID);
	assert_int_equal(machine_apply(f->machine, ++f->index, (struct bytes){"", 0}, &r), 0);
	assert_int_equal(r.code, ERR_INVALID);
	machine_meta(f->machine, &after);
	assert_int_equal(before.state_hash, after.state_hash);
}

static void test_an_image_gives_the_same_machine(void **state)
{
	struct fixture *f = *state, copy;
	Coordfs__Meta a, b;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	fixture_add(f, c, 7, "id");
	fixture_create(f, INODE_LOCKS, "mine", S_IFREG | 0644, true);
	fixture_reload(f, &copy);
	for (struct fixture *x = f; x; x = x == f ? &copy : NULL) {
		fixture_add(x, c, 1, "id");
		fixture_add(x, c, 1, NULL);
		fixture_open(x, "one");
	}
	machine_meta(f->machine, &a);
	machine_meta(copy.machine, &b);
	assert_int_equal(a.state_hash, b.state_hash);
	assert_int_equal(a.records, b.records);
	assert_int_equal(fixture_find(&copy, INODE_LOCKS, "mine"), 0);
	fixture_fini(&copy);
}

/* ---- transactions ---- */

static struct reply commit(struct fixture *f, struct transaction *t, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Commit q = COORDFS__COMMIT__INIT;
	command.of_case = COORDFS__COMMAND__OF_COMMIT;
	command.commit = &q;
	q.name = (char *)name;
	q.number = (uint64_t)(uintptr_t)t;
	transaction_commit(t, &q);
	return fixture_apply(f, &command);
}

static struct reply stage_add(struct transaction *t, uint64_t counter, int64_t amount, int kind)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest one = COORDFS__COUNTER_REQUEST__INIT, *list = &one;
	struct reply r;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &q;
	q.inode = counter;
	q.n_requests = 1;
	q.requests = &list;
	one.kind = (uint32_t)kind;
	one.value = amount;
	transaction_stage(t, &command, 5, &r);
	return r;
}

static struct reply stage_create(struct transaction *t, uint64_t parent, const char *name, uint32_t mode)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Create q = COORDFS__CREATE__INIT;
	struct reply r;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &q;
	q.parent = parent;
	q.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	q.mode = mode;
	transaction_stage(t, &command, 5, &r);
	return r;
}

static int64_t value_in(struct transaction *t, uint64_t counter)
{
	struct attr a;
	assert_int_equal(view_attr(transaction_view(t), counter, &a), 0);
	return a.value;
}

static void test_blind_additions_do_not_conflict(void **state)
{
	struct fixture *f = *state;
	struct transaction *t, *u;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	assert_int_equal(transaction_new(f->machine, &u), 0);
	stage_add(t, c, 1, COUNTER_ADD);
	stage_add(u, c, 10, COUNTER_ADD);
	fixture_add(f, c, 100, NULL);
	assert_int_equal(value_in(t, c), 1);
	assert_int_equal(value_in(u, c), 10);
	assert_int_equal(commit(f, t, "t").code, OK);
	assert_int_equal(commit(f, u, "u").code, OK);
	assert_int_equal(fixture_value(f, c), 111);
	transaction_free(t);
	transaction_free(u);
}

static void test_a_read_that_changed_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	uint64_t d = fixture_create(f, INODE_COUNTERS, "d", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	assert_int_equal(transaction_saw_content(t, c), 0);
	stage_add(t, d, 5, COUNTER_SET);
	fixture_add(f, c, 1, NULL);
	struct reply r = commit(f, t, "t");
	assert_int_equal(r.code, ERR_CANCELED);
	assert_non_null(strstr(r.text, "counters/c"));
	assert_int_equal(fixture_value(f, d), 0);
	struct reply again = commit(f, t, "t");
	assert_int_equal(again.code, ERR_CANCELED);
	assert_string_equal(again.text, r.text);
	transaction_free(t);
}

static void test_the_view_does_not_move(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	char text[256];
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode, inode;
	fixture_write(f, a, 0, "old");
	assert_int_equal(transaction_new(f->machine, &t), 0);
	fixture_write(f, a, 0, "new");
	fixture_create(f, INODE_FILES, "b", S_IFREG | 0644, true);
	struct view v = transaction_view(t);
	assert_string_equal(fixture_content(v, a, text), "old");
	assert_int_equal(view_lookup(v, INODE_FILES, (struct bytes){"b", 1}, &inode, NULL), ERR_NOT_FOUND);
	fixture_remove(f, INODE_FILES, "a", false);
	assert_string_equal(fixture_content(v, a, text), "old");
	transaction_free(t);
}

static void test_a_commit_makes_new_objects(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	uint64_t dir = stage_create(t, INODE_COUNTERS, "dir", S_IFDIR | 0755).inode;
	uint64_t c = stage_create(t, dir, "c", S_IFREG | 0644).inode;
	assert_true(c >= INODE_TEMPORARY && c != dir);
	assert_int_equal(stage_add(t, c, 7, COUNTER_ADD).value, 7);
	assert_int_equal(stage_create(t, INODE_LOCKS, "x", S_IFREG | 0644).code, ERR_READ_ONLY);
	assert_int_equal(fixture_find(f, INODE_COUNTERS, "dir"), 0);
	struct reply r = commit(f, t, "t");
	assert_int_equal(r.code, OK);
	assert_int_equal(r.value, f->index);
	dir = fixture_find(f, INODE_COUNTERS, "dir");
	assert_int_equal(fixture_value(f, fixture_find(f, dir, "c")), 7);
	assert_int_equal(commit(f, t, "t").value, r.value);
	transaction_free(t);
}

static void test_a_failed_commit_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	Coordfs__Outcome *o;
	Coordfs__Meta before, after;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	stage_create(t, INODE_FILES, "made", S_IFREG | 0644);
	stage_add(t, c, INT64_MAX, COUNTER_ADD);
	fixture_add(f, c, 1, NULL);
	machine_meta(f->machine, &before);
	assert_int_equal(commit(f, t, "t").code, ERR_CANCELED);
	machine_meta(f->machine, &after);
	assert_int_equal(before.inodes, after.inodes);
	assert_int_equal(before.next_inode, after.next_inode);
	assert_int_equal(fixture_find(f, INODE_FILES, "made"), 0);
	assert_int_equal(machine_outcome(f->machine, "t", NULL, &o), 0);
	assert_false(o->committed);
	coordfs__outcome__free_unpacked(o, NULL);
	transaction_free(t);
}

static void test_outcomes_are_forgotten_after_an_hour(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	Coordfs__Outcome *o;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	stage_add(t, c, 1, COUNTER_ADD);
	assert_int_equal(commit(f, t, "t").code, OK);
	f->time_ns += OUTCOME_KEEP_NS - 1000000;
	fixture_add(f, c, 1, NULL);
	assert_int_equal(machine_outcome(f->machine, "t", "one", &o), 0);
	coordfs__outcome__free_unpacked(o, NULL);
	f->time_ns += 2000000;
	fixture_add(f, c, 1, NULL);
	assert_int_equal(machine_outcome(f->machine, "t", "one", &o), ERR_NOT_FOUND);
	assert_int_equal(machine_outcome(f->machine, "t", NULL, &o), ERR_NOT_FOUND);
	transaction_free(t);
}

static struct reply stage_remove(struct transaction *t, uint64_t parent, const char *name, bool directory)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Remove q = COORDFS__REMOVE__INIT;
	struct reply r;
	command.of_case = COORDFS__COMMAND__OF_REMOVE;
	command.remove = &q;
	q.parent = parent;
	q.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	q.directory = directory;
	transaction_stage(t, &command, 5, &r);
	return r;
}

/* Whoever was refused acts on it: what the refusal told must be so at the commit. */
static void test_a_refusal_is_something_read(void **state)
{
	struct fixture *f = *state;
	struct transaction *t[4];
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	uint64_t d = fixture_create(f, INODE_COUNTERS, "d", S_IFREG | 0644, true).inode;
	uint64_t dir = fixture_create(f, INODE_FILES, "dir", S_IFDIR | 0755, true).inode;
	fixture_create(f, dir, "inside", S_IFREG | 0644, true);
	fixture_create(f, INODE_FILES, "there", S_IFREG | 0644, true);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(transaction_new(f->machine, &t[i]), 0);
		stage_add(t[i], d, 1, COUNTER_ADD);
	}
	assert_int_equal(stage_create(t[0], INODE_FILES, "there", S_IFDIR | 0755).code, ERR_EXISTS);
	assert_int_equal(stage_remove(t[1], INODE_FILES, "dir", true).code, ERR_NOT_EMPTY);
	assert_int_equal(stage_add(t[2], c, 2, COUNTER_CAS).code, OK); /* expected: 0 */
	fixture_add(f, c, 1, NULL);
	fixture_remove(f, INODE_FILES, "there", false);
	fixture_remove(f, dir, "inside", false);
	assert_int_equal(commit(f, t[0], "t0").code, ERR_CANCELED);
	assert_int_equal(commit(f, t[1], "t1").code, ERR_CANCELED);
	assert_int_equal(commit(f, t[2], "t2").code, ERR_CANCELED);
	assert_int_equal(commit(f, t[3], "t3").code, OK);
	for (int i = 0; i < 4; i++)
		transaction_free(t[i]);
	assert_int_equal(transaction_new(f->machine, &t[0]), 0);
	stage_add(t[0], d, 1, COUNTER_ADD);
	assert_int_equal(stage_add(t[0], c, 2, COUNTER_CAS).code, ERR_CANCELED);
	fixture_add(f, c, -1, NULL);
	assert_int_equal(commit(f, t[0], "t4").code, ERR_CANCELED);
	transaction_free(t[0]);
}

/* A set is the counter's whole content, but not when its id may turn out to be a repeat. */
static void test_a_set_with_an_id_hides_nothing(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__CounterUpdate q = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest one = COORDFS__COUNTER_REQUEST__INIT, *list = &one;
	struct reply r;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &q;
	q.inode = c;
	q.n_requests = 1;
	q.requests = &list;
	one.kind = COUNTER_SET;
	one.value = 7;
	one.id = (ProtobufCBinaryData){2, (uint8_t *)"id"};
	assert_int_equal(transaction_new(f->machine, &t), 0);
	transaction_stage(t, &command, 5, &r);
	assert_int_equal(r.code, OK);
	assert_int_equal(transaction_saw_content(t, c), 0); /* 7 */
	fixture_add(f, c, 1, "id");
	assert_int_equal(commit(f, t, "t").code, ERR_CANCELED);
	transaction_free(t);
}

/* Revisions inside a transaction are those of its view: a condition on one that it made itself holds. */
static void test_a_condition_inside_holds_at_the_commit(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	char text[256];
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write q = COORDFS__WRITE__INIT;
	struct attr attr;
	struct reply r;
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &q;
	q.inode = a;
	q.conditional = true;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(view_attr(transaction_view(t), a, &attr), 0);
		q.if_revision = attr.content;
		q.data = (ProtobufCBinaryData){1, (uint8_t *)(i ? "b" : "a")};
		q.offset = (uint64_t)i;
		transaction_stage(t, &command, 5, &r);
		assert_int_equal(r.code, OK);
	}
	assert_int_equal(commit(f, t, "t").code, OK);
	assert_string_equal(fixture_content(machine_view(f->machine), a, text), "ab");
	transaction_free(t);
}

static struct reply roll_back(struct fixture *f, const struct transaction *t, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Abort q = COORDFS__ABORT__INIT;
	command.of_case = COORDFS__COMMAND__OF_ABORT;
	command.abort = &q;
	q.name = (char *)name;
	q.number = (uint64_t)(uintptr_t)t;
	return fixture_apply(f, &command);
}

/* Whoever rolls back because the commit's answer did not come must not change what was decided. */
static void test_the_first_outcome_stays(void **state)
{
	struct fixture *f = *state;
	struct transaction *t, *u;
	Coordfs__Outcome *o;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	assert_int_equal(transaction_new(f->machine, &u), 0);
	stage_add(t, c, 1, COUNTER_ADD);
	stage_add(u, c, 1, COUNTER_ADD);
	assert_int_equal(commit(f, t, "t").code, OK);
	assert_int_equal(roll_back(f, t, "t").code, ERR_PERM);
	assert_int_equal(machine_outcome(f->machine, "t", NULL, &o), 0);
	assert_true(o->committed);
	coordfs__outcome__free_unpacked(o, NULL);
	assert_int_equal(roll_back(f, u, "t").code, OK);
	assert_int_equal(roll_back(f, u, "t").code, OK);
	assert_int_equal(commit(f, u, "t").code, ERR_CANCELED);
	assert_int_equal(fixture_value(f, c), 1);
	transaction_free(t);
	transaction_free(u);
}

static void test_a_phantom_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct transaction *t;
	uint64_t c = fixture_create(f, INODE_COUNTERS, "c", S_IFREG | 0644, true).inode;
	assert_int_equal(transaction_new(f->machine, &t), 0);
	assert_int_equal(transaction_saw_names(t, INODE_FILES), 0);
	stage_add(t, c, 1, COUNTER_ADD);
	fixture_create(f, INODE_FILES, "phantom", S_IFREG | 0644, true);
	assert_int_equal(commit(f, t, "t").code, ERR_CANCELED);
	transaction_free(t);
}

/* Room for the older versions is bounded: the oldest view goes, later ones stay as they were. */
static void test_a_view_is_torn_when_it_costs_too_much(void **state)
{
	struct fixture *f = *state;
	struct transaction *old, *young;
	char text[256], name[16];
	uint64_t a = fixture_create(f, INODE_FILES, "a", S_IFREG | 0644, true).inode;
	fixture_write(f, a, 0, "first");
	history_set_limit(machine_history(f->machine), 20000);
	assert_int_equal(transaction_new(f->machine, &old), 0);
	for (int i = 0; i < 100 && !transaction_is_torn(old); i++) {
		snprintf(name, sizeof name, "n%d", i);
		fixture_create(f, INODE_FILES, name, S_IFREG | 0644, true);
	}
	assert_true(transaction_is_torn(old));
	assert_int_equal(transaction_new(f->machine, &young), 0);
	fixture_write(f, a, 0, "other");
	assert_false(transaction_is_torn(young));
	assert_string_equal(fixture_content(transaction_view(young), a, text), "first");
	transaction_free(old);
	transaction_free(young);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_genesis_makes_the_trees),
		TEST(test_create_finds_or_makes),
		TEST(test_the_tree_decides_the_kind),
		TEST(test_bad_names_are_refused),
		TEST(test_remove_needs_the_right_call),
		TEST(test_hard_links_count),
		TEST(test_a_lost_link_is_told),
		TEST(test_rename_replaces_and_exchanges),
		TEST(test_a_directory_cannot_enter_itself),
		TEST(test_readdir_survives_changes),
		TEST(test_files_hold_what_was_written),
		TEST(test_cut_content_does_not_come_back),
		TEST(test_consistency_is_inherited),
		TEST(test_only_what_is_new_becomes_eventual),
		TEST(test_what_is_eventual_holds_nothing_here),
		TEST(test_counters_add_and_refuse_overflow),
		TEST(test_an_id_counts_once),
		TEST(test_lines_are_all_or_nothing),
		TEST(test_a_repeat_gets_the_first_reply),
		TEST(test_a_sequence_may_be_any_number),
		TEST(test_lock_files_go_with_their_session),
		TEST(test_a_moved_lock_file_keeps_its_session),
		TEST(test_a_session_opened_again_is_the_same),
		TEST(test_a_session_keeps_its_ttl),
		TEST(test_a_dead_session_changes_nothing),
		TEST(test_bytes_that_are_no_entry),
		TEST(test_an_image_gives_the_same_machine),
		TEST(test_blind_additions_do_not_conflict),
		TEST(test_a_read_that_changed_is_a_conflict),
		TEST(test_the_view_does_not_move),
		TEST(test_a_commit_makes_new_objects),
		TEST(test_a_failed_commit_leaves_no_trace),
		TEST(test_outcomes_are_forgotten_after_an_hour),
		TEST(test_a_refusal_is_something_read),
		TEST(test_a_set_with_an_id_hides_nothing),
		TEST(test_a_condition_inside_holds_at_the_commit),
		TEST(test_the_first_outcome_stays),
		TEST(test_a_phantom_is_a_conflict),
		TEST(test_a_view_is_torn_when_it_costs_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
