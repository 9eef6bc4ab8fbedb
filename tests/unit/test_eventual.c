/* front/eventual: places and their nodes. What is at a place is gossip's, and tested there and by tests/system. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/eventual.h"

static int setup(void **state)
{
	struct front *f = calloc(1, sizeof *f);

	f->eventual = eventual_new();
	*state = f;
	return f->eventual ? 0 : -1;
}

static int teardown(void **state)
{
	struct front *f = *state;

	eventual_free(f->eventual);
	free(f);
	return 0;
}

static fuse_ino_t node_of(struct front *f, uint64_t root, const char *path, enum inode_kind kind)
{
	const struct gossip_place at = {root, path};

	return eventual_node(f, &at, kind);
}

static uint64_t number_of(struct front *f, uint64_t root, const char *path, enum inode_kind kind)
{
	const struct gossip_place at = {root, path};

	return eventual_number(f, &at, kind);
}

static void test_a_place_has_one_node(void **state)
{
	struct front *f = *state;
	fuse_ino_t node = node_of(f, 300, "a/b", KIND_COUNTER);
	struct gossip_place at;

	assert_int_equal(node_class(node), NODE_EVENTUAL);
	assert_true(node_is_eventual(node));
	assert_int_equal(node_of(f, 300, "a/b", KIND_COUNTER), node);
	assert_int_equal(eventual_place(f, node, &at), OK);
	assert_int_equal(at.root, 300);
	assert_string_equal(at.path, "a/b");
}

static void test_other_places_and_kinds_have_others(void **state)
{
	struct front *f = *state;
	const fuse_ino_t nodes[] = {
		node_of(f, 300, "a", KIND_COUNTER), node_of(f, 300, "a", KIND_DIRECTORY),
		node_of(f, 301, "a", KIND_COUNTER), node_of(f, 300, "b", KIND_COUNTER),
		node_of(f, 300, "a/b", KIND_COUNTER),
	};

	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(nodes[i], nodes[j]);
}

static void test_a_number_stays_when_it_is_forgotten(void **state)
{
	struct front *f = *state;
	uint64_t listed = number_of(f, 300, "a", KIND_FILE);
	fuse_ino_t node = node_of(f, 300, "a", KIND_FILE);

	assert_int_equal(EVENTUAL_NUMBER(node), listed);
	eventual_remember(f, node);
	eventual_forget(f, node, 1);
	assert_int_equal(node_of(f, 300, "a", KIND_FILE), node);
}

/* The object and its `.info` are of one place: it is kept until nobody knows either. */
static void test_it_is_kept_while_anyone_knows_it(void **state)
{
	struct front *f = *state;
	fuse_ino_t node = node_of(f, 300, "a", KIND_DIRECTORY);
	fuse_ino_t info = node_make(NODE_EVENTUAL_INFO, 0, EVENTUAL_NUMBER(node));
	fuse_ino_t self = node_make(NODE_EVENTUAL_SELF, 0, EVENTUAL_NUMBER(node));
	struct gossip_place at;

	eventual_remember(f, node);
	eventual_remember(f, info);
	eventual_remember(f, self);
	eventual_forget(f, node, 1);
	assert_int_equal(eventual_place(f, self, &at), OK);
	eventual_forget(f, info, 0);
	eventual_forget(f, self, 1);
	assert_int_equal(eventual_place(f, info, &at), OK);
	eventual_forget(f, info, 1);
	assert_int_equal(eventual_place(f, info, &at), ERR_NOT_FOUND);
	eventual_forget(f, node, 1); /* nothing is left to forget */
}

static void test_names_below(void **state)
{
	struct front *f = *state;
	fuse_ino_t node = node_of(f, 300, "a/b", KIND_DIRECTORY);
	char name[LIMIT_NAME_BYTES + 1] = "";
	struct eventual_child child;

	assert_int_equal(eventual_child(f, node, "c", &child), OK);
	assert_int_equal(child.at.root, 300);
	assert_string_equal(child.at.path, "a/b/c");
	memset(name, 'n', LIMIT_NAME_BYTES);
	for (unsigned depth = 0; depth < LIMIT_PATH_BYTES / (LIMIT_NAME_BYTES + 1) - 1; depth++) {
		assert_int_equal(eventual_child(f, node, name, &child), OK);
		node = eventual_node(f, &child.at, KIND_DIRECTORY);
		assert_int_not_equal(node, 0);
	}
	assert_int_equal(eventual_child(f, node, name, &child), ERR_NAME_TOO_LONG);
	assert_int_equal(eventual_child(f, node_make(NODE_EVENTUAL, 0, 12345), "c", &child), ERR_NOT_FOUND);
}

static void test_many(void **state)
{
	enum { COUNT = 20000 };
	struct front *f = *state;
	fuse_ino_t *nodes = calloc(COUNT, sizeof *nodes);
	struct gossip_place at;
	char path[16];

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(path, sizeof path, "c%u", i);
		nodes[i] = node_of(f, 300, path, KIND_COUNTER);
		assert_int_not_equal(nodes[i], 0);
		eventual_remember(f, nodes[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(path, sizeof path, "c%u", i);
		assert_int_equal(eventual_place(f, nodes[i], &at), OK);
		assert_string_equal(at.path, path);
		eventual_forget(f, nodes[i], 1);
		assert_int_equal(eventual_place(f, nodes[i], &at), ERR_NOT_FOUND);
	}
	free(nodes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_place_has_one_node),
		TEST(test_other_places_and_kinds_have_others),
		TEST(test_a_number_stays_when_it_is_forgotten),
		TEST(test_it_is_kept_while_anyone_knows_it),
		TEST(test_names_below),
		TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
