/* The history of changes: order, paths as they were, what it forgets and that it says so. Events are told here as the
 * machine tells them, after the entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/changes.h"
#include "machine_fixture.h"

struct world {
	struct fixture f;
	struct changes *c;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	fixture_init(&w->f);
	fixture_open(&w->f, "m");
	w->c = changes_new();
	assert_non_null(w->c);
	changes_begin(w->c, w->f.index);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	changes_free(w->c);
	fixture_fini(&w->f);
	free(w);
	return 0;
}

/* ---- events ---- */

static int add_event(struct world *w, const struct event *event)
{
	const struct change *out;
	int code = changes_add(w->c, machine_view(w->f.machine), event, &out);

	assert_true((code == OK) == (out != NULL));
	return code;
}

static int entry(struct world *w, uint64_t directory, const char *name, uint64_t child)
{
	return add_event(w, &(struct event){.type = EVENT_ENTRY, .inode = directory, .child = child,
					    .name = {name, strlen(name)}, .revision = w->f.index});
}

static int changed(struct world *w, uint64_t inode)
{
	return add_event(w, &(struct event){.type = EVENT_CHANGE, .inode = inode, .revision = w->f.index});
}

static uint64_t make(struct world *w, uint64_t parent, const char *name, uint32_t mode)
{
	struct reply r = fixture_create(&w->f, parent, name, mode, true);

	assert_int_equal(r.code, OK);
	assert_int_equal(entry(w, parent, name, r.inode), OK);
	return r.inode;
}

static void write_to(struct world *w, uint64_t inode)
{
	assert_int_equal(fixture_write(&w->f, inode, 0, "text").code, OK);
	assert_int_equal(changed(w, inode), OK);
}

static void move(struct world *w, uint64_t from, const char *name, uint64_t to, const char *new_name)
{
	struct reply r = fixture_rename(&w->f, from, name, to, new_name, 0);

	assert_int_equal(r.code, OK);
	assert_int_equal(entry(w, from, name, 0), OK);
	assert_int_equal(entry(w, to, new_name, r.inode), OK);
}

/* What the record says: "5 made files/a". */
static void assert_record(struct world *w, size_t number, uint64_t revision, const char *want)
{
	static const char *const kinds[] = {"made", "removed", "changed"};
	const struct change *change = changes_at(w->c, number);
	char text[600];

	assert_true(number < changes_count(w->c));
	snprintf(text, sizeof text, "%s %s", kinds[change->kind], change->path->text);
	assert_string_equal(text, want);
	assert_int_equal(change->revision, revision);
	assert_int_equal(change->path->size, strlen(change->path->text));
}

/* ---- what is recorded ---- */

static void test_kinds_and_paths(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, INODE_FILES, "d", S_IFDIR | 0755), f = make(w, d, "f", S_IFREG | 0644), from = w->f.index;

	write_to(w, f);
	assert_int_equal(fixture_remove(&w->f, d, "f", false).code, OK);
	assert_int_equal(entry(w, d, "f", 0), OK);
	assert_record(w, 0, from - 1, "made files/d");
	assert_record(w, 1, from, "made files/d/f");
	assert_record(w, 2, from + 1, "changed files/d/f");
	assert_record(w, 3, from + 2, "removed files/d/f");
	assert_int_equal(changes_at(w->c, 2)->inode, f);
	assert_int_equal(changes_at(w->c, 3)->inode, 0);
}

static void test_a_path_is_that_of_its_time(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, INODE_FILES, "d", S_IFDIR | 0755), f = make(w, d, "f", S_IFREG | 0644), from = w->f.index;

	write_to(w, f);
	move(w, INODE_FILES, "d", INODE_FILES, "e");
	write_to(w, f);
	move(w, d, "f", INODE_FILES, "g");
	write_to(w, f);
	assert_record(w, 2, from + 1, "changed files/d/f");
	assert_record(w, 3, from + 2, "removed files/d");
	assert_record(w, 4, from + 2, "made files/e");
	assert_true(changes_at(w->c, 4)->is_moved);
	assert_record(w, 5, from + 3, "changed files/e/f");
	assert_record(w, 7, from + 4, "made files/g");
	assert_false(changes_at(w->c, 7)->is_moved);
	assert_record(w, 8, from + 5, "changed files/g");
}

/* One entry makes a directory, fills it, and moves it. */
static void test_what_moves_within_its_entry(void **state)
{
	struct world *w = *state;
	uint64_t d = fixture_create(&w->f, INODE_FILES, "d", S_IFDIR | 0755, true).inode;
	uint64_t f = fixture_create(&w->f, d, "f", S_IFREG | 0644, true).inode;

	assert_int_equal(fixture_rename(&w->f, INODE_FILES, "d", INODE_FILES, "e", 0).code, OK);
	w->f.index = fixture_attr(&w->f, d).created; /* as if it were all of that revision */
	entry(w, INODE_FILES, "d", d);
	entry(w, d, "f", f);
	entry(w, INODE_FILES, "d", 0);
	entry(w, INODE_FILES, "e", d);
	w->f.index += 2;
	write_to(w, f);
	assert_record(w, 4, w->f.index, "changed files/e/f");
}

static void test_what_is_gone_with_its_directory(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, INODE_FILES, "d", S_IFDIR | 0755), f = make(w, d, "f", S_IFREG | 0644);

	changes_begin(w->c, w->f.index); /* so that no path is known */
	assert_int_equal(fixture_remove(&w->f, d, "f", false).code, OK);
	assert_int_equal(fixture_remove(&w->f, INODE_FILES, "d", true).code, OK);
	assert_int_equal(entry(w, d, "f", 0), ERR_NOT_FOUND);
	assert_int_equal(changed(w, f), ERR_NOT_FOUND);
	assert_int_equal(entry(w, INODE_FILES, "d", 0), OK);
	assert_int_equal(changes_count(w->c), 1);
}

/* ---- finding ---- */

static void test_after(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, INODE_FILES, "a", S_IFREG | 0644), first = w->f.index;

	changed(w, a);
	changed(w, a); /* three of one revision */
	write_to(w, a);
	w->f.index += 10;
	write_to(w, a);
	assert_int_equal(changes_after(w->c, 0), 0);
	assert_int_equal(changes_after(w->c, first - 1), 0);
	assert_int_equal(changes_after(w->c, first), 3);
	assert_int_equal(changes_after(w->c, first + 1), 4);
	assert_int_equal(changes_after(w->c, first + 11), 4);
	assert_int_equal(changes_after(w->c, first + 12), 5);
	assert_int_equal(changes_after(w->c, UINT64_MAX), 5);
}

static void test_place(void **state)
{
	struct world *w = *state;
	uint64_t d = make(w, INODE_FILES, "d", S_IFDIR | 0755);
	const struct change *change;

	make(w, d, "f", S_IFREG | 0644);
	change = changes_at(w->c, 1);
	assert_int_equal(change_place(change, "files/d/f", 9), CHANGE_THERE);
	assert_int_equal(change_place(change, "files/d", 7), CHANGE_BELOW);
	assert_int_equal(change_place(change, "", 0), CHANGE_BELOW);
	assert_int_equal(change_place(change, "files/d/f/g", 11), CHANGE_ABOVE);
	assert_int_equal(change_place(change, "files/d/fg", 10), CHANGE_ELSEWHERE);
	assert_int_equal(change_place(change, "files/d/g", 9), CHANGE_ELSEWHERE);
	assert_int_equal(change_place(change, "files/", 6), CHANGE_ELSEWHERE);
	assert_int_equal(change_place(change, "file", 4), CHANGE_ELSEWHERE);
}

/* ---- bounds ---- */

static void test_the_oldest_go_first(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, INODE_FILES, "a", S_IFREG | 0644), first = w->f.index;

	assert_int_equal(changes_floor(w->c), first - 1);
	for (unsigned i = 1; i < CHANGES_MAX; i++) {
		w->f.index++;
		assert_int_equal(changed(w, a), OK);
	}
	assert_int_equal(changes_count(w->c), CHANGES_MAX);
	assert_int_equal(changes_floor(w->c), first - 1);
	for (unsigned i = 0; i < 1000; i++) {
		w->f.index++;
		assert_int_equal(changed(w, a), OK);
	}
	assert_int_equal(changes_count(w->c), CHANGES_MAX);
	assert_int_equal(changes_floor(w->c), first + 999);
	assert_record(w, 0, first + 1000, "changed files/a");
	assert_record(w, CHANGES_MAX - 1, w->f.index, "changed files/a");
	assert_int_equal(changes_after(w->c, w->f.index - 1), CHANGES_MAX - 1);
}

/* Of a revision that is half forgotten nothing is told: its floor is that revision. */
static void test_long_names_count(void **state)
{
	struct world *w = *state;
	char name[LIMIT_NAME_BYTES + 1];
	const unsigned tries = 100000;

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (unsigned i = 0; i < tries; i++) {
		w->f.index++;
		assert_int_equal(entry(w, INODE_FILES, name, 0), OK);
		assert_int_equal(entry(w, INODE_FILES, name, 0), OK);
	}
	assert_true(changes_count(w->c) * (LIMIT_NAME_BYTES + sizeof(struct change)) < CHANGES_BYTES_MAX);
	assert_true(changes_count(w->c) * (LIMIT_NAME_BYTES + sizeof(struct change)) > CHANGES_BYTES_MAX * 8ull / 10);
	assert_in_range(changes_floor(w->c), changes_at(w->c, 0)->revision - 1, changes_at(w->c, 0)->revision);
	assert_int_equal(changes_at(w->c, changes_count(w->c) - 1)->revision, w->f.index);
}

static void test_begin_forgets(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, INODE_FILES, "a", S_IFREG | 0644);

	changes_begin(w->c, w->f.index + 100);
	assert_int_equal(changes_count(w->c), 0);
	assert_int_equal(changes_floor(w->c), w->f.index + 100);
	w->f.index += 101;
	changed(w, a);
	assert_record(w, 0, w->f.index, "changed files/a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds_and_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_path_is_that_of_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_moves_within_its_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_gone_with_its_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after, setup, teardown),
		cmocka_unit_test_setup_teardown(test_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_go_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_names_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_begin_forgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
