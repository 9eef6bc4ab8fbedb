/* Levels: what not all members' programs know, none of them does; and the cluster's level follows its oldest member. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "machine_fixture.h"

static int setup(void **state)
{
	static struct fixture f;
	fixture_init(&f);
	machine_free(f.machine);
	overlay_free(f.memory);
	f.memory = overlay_new(&f.nothing);
	assert_int_equal(machine_new(overlay_store(f.memory), NULL, &f.machine), 0);
	f.index = 0;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	fixture_fini(*state);
	return 0;
}

/* ---- commands ---- */

static struct reply open_at(struct fixture *f, const char *member, uint32_t level)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionOpen q = COORDFS__SESSION_OPEN__INIT;
	char incarnation[17];
	struct reply r;
	snprintf(incarnation, sizeof incarnation, "%016llu", (unsigned long long)f->index);
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &q;
	q.member = (char *)member;
	q.incarnation = (ProtobufCBinaryData){16, (uint8_t *)incarnation};
	q.level = level;
	r = fixture_apply_as(f, 0, 0, &command);
	if (r.code == OK) {
		f->session = (uint64_t)r.value;
		f->sequence = 0;
	}
	return r;
}

static struct reply add_at(struct fixture *f, const char *name, const char *address, uint32_t level)
{
	return fixture_add_member(f, name, address, "token-----------", 0, level);
}

static struct reply remove_member(struct fixture *f, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberRemove q = COORDFS__MEMBER_REMOVE__INIT;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_REMOVE;
	command.member_remove = &q;
	q.id = machine_member_named(f->machine, name);
	return fixture_apply_as(f, 0, 0, &command);
}

#define LEVEL(f) machine_level((f)->machine)

static uint64_t state_hash(struct fixture *f)
{
	Coordfs__Meta meta;
	machine_meta(f->machine, &meta);
	return meta.state_hash;
}

/* Something that only a later program knows. */
static void add_unknown(ProtobufCMessage *message, ProtobufCMessageUnknownField *field)
{
	*field = (ProtobufCMessageUnknownField){
		.tag = 900, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = 3, .data = (uint8_t *)"\2ab"};
	message->n_unknown_fields = 1;
	message->unknown_fields = field;
}

/* ---- the cluster's level ---- */

static void test_a_cluster_of_one_has_its_members_level(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(LEVEL(f), LEVEL_FIRST);
	assert_int_equal(open_at(f, "a", 3).code, OK);
	assert_int_equal(LEVEL(f), 3);
	assert_int_equal(open_at(f, "a", 5).code, OK);
	assert_int_equal(LEVEL(f), 5);
}

static void test_the_oldest_member_decides(void **state)
{
	struct fixture *f = *state;
	open_at(f, "a", 3);
	assert_int_equal(add_at(f, "a", "tcp://a:1", 3).code, OK);
	assert_int_equal(add_at(f, "b", "tcp://b:1", 3).code, OK);
	assert_int_equal(add_at(f, "c", "tcp://c:1", 3).code, OK);
	open_at(f, "a", 4);
	open_at(f, "b", 5);
	assert_int_equal(LEVEL(f), 3);
	open_at(f, "c", 6);
	assert_int_equal(LEVEL(f), 4);
	open_at(f, "a", 6);
	assert_int_equal(LEVEL(f), 5);
	assert_int_equal(remove_member(f, "b").code, OK);
	assert_int_equal(LEVEL(f), 6);
}

static void test_who_says_none_has_the_first(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(open_at(f, "a", 0).code, OK);
	add_at(f, "a", "tcp://a:1", 4);
	assert_int_equal(LEVEL(f), 4);
	assert_int_equal(add_at(f, "b", "tcp://b:1", 0).code, ERR_NOT_SUPPORTED);
}

static void test_it_never_falls(void **state)
{
	struct fixture *f = *state;
	uint64_t hash;
	open_at(f, "a", 3);
	add_at(f, "a", "tcp://a:1", 3);
	add_at(f, "b", "tcp://b:1", 3);
	hash = state_hash(f);
	assert_int_equal(open_at(f, "b", 2).code, ERR_NOT_SUPPORTED);
	assert_int_equal(add_at(f, "c", "tcp://c:1", 2).code, ERR_NOT_SUPPORTED);
	assert_int_equal(add_at(f, "b", "tcp://elsewhere:1", 2).code, ERR_NOT_SUPPORTED);
	assert_int_equal(LEVEL(f), 3);
	assert_true(state_hash(f) == hash);
	assert_int_equal(machine_member_named(f->machine, "c"), 0);
}

/* A program may be exchanged for an older one as long as the cluster has not come to what the newer one knew. */
static void test_a_member_may_go_back_until_all_are_upgraded(void **state)
{
	struct fixture *f = *state;
	open_at(f, "a", 3);
	add_at(f, "a", "tcp://a:1", 3);
	add_at(f, "b", "tcp://b:1", 3);
	open_at(f, "b", 4);
	assert_int_equal(open_at(f, "b", 3).code, OK);
	open_at(f, "a", 4);
	assert_int_equal(LEVEL(f), 3);
	open_at(f, "b", 4);
	assert_int_equal(LEVEL(f), 4);
	assert_int_equal(open_at(f, "b", 3).code, ERR_NOT_SUPPORTED);
}

static void test_a_joiner_that_asks_again_may_be_upgraded(void **state)
{
	struct fixture *f = *state;
	open_at(f, "a", 3);
	add_at(f, "a", "tcp://a:1", 4);
	add_at(f, "b", "tcp://b:1", 4);
	assert_int_equal(add_at(f, "b", "tcp://b:1", 6).code, OK);
	open_at(f, "a", 6);
	assert_int_equal(LEVEL(f), 6);
}

static struct reply set_consistency(struct fixture *f, uint64_t inode)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SetConsistency q = COORDFS__SET_CONSISTENCY__INIT;
	command.of_case = COORDFS__COMMAND__OF_SET_CONSISTENCY;
	command.set_consistency = &q;
	q.inode = inode;
	q.level = CONSISTENCY_WEAK;
	return fixture_apply(f, &command);
}

static void test_consistency_waits_for_the_last_member(void **state)
{
	struct fixture *f = *state;
	uint64_t inode;
	open_at(f, "b", LEVEL_FIRST);
	add_at(f, "b", "tcp://b:1", LEVEL_FIRST);
	open_at(f, "a", LEVEL_LATEST);
	add_at(f, "a", "tcp://a:1", LEVEL_LATEST);
	assert_int_equal(fixture_create(f, INODE_FILES, "x", S_IFREG | 0600, false).code, OK);
	inode = fixture_find(f, INODE_FILES, "x");
	assert_int_equal(set_consistency(f, inode).code, ERR_NOT_SUPPORTED);
	assert_int_equal(fixture_attr(f, inode).consistency, CONSISTENCY_UNSET);
	open_at(f, "b", LEVEL_2);
	assert_int_equal(set_consistency(f, inode).code, OK);
	assert_int_equal(fixture_attr(f, inode).consistency, CONSISTENCY_WEAK);
}

/* ---- what is not known ---- */

static void test_an_unknown_command_is_refused_once_and_for_all(void **state)
{
	struct fixture *f = *state;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	ProtobufCMessageUnknownField field;
	struct reply r;
	fixture_open(f, "a");
	add_unknown(&command.base, &field);
	r = fixture_apply(f, &command);
	assert_int_equal(r.code, ERR_NOT_SUPPORTED);
	/* The words are kept with the state: another version of this program must say the same. */
	assert_string_equal(r.text, "not before all members of the cluster are upgraded");
	/* The same entry once more is a repeat, also when the command is known by then: it was refused. */
	Coordfs__Create create = COORDFS__CREATE__INIT;
	Coordfs__Command known = COORDFS__COMMAND__INIT;
	known.of_case = COORDFS__COMMAND__OF_CREATE;
	known.create = &create;
	create.parent = INODE_FILES;
	create.name = (ProtobufCBinaryData){1, (uint8_t *)"x"};
	create.mode = S_IFREG | 0600;
	Coordfs__Entry e = COORDFS__ENTRY__INIT;
	uint8_t packed[256];
	e.format = ENTRY_FORMAT;
	e.session = f->session;
	e.sequence = f->sequence;
	e.command = &known;
	assert_int_equal(machine_apply(f->machine, ++f->index,
				       (struct bytes){packed, coordfs__entry__pack(&e, packed)}, &r), 0);
	assert_int_equal(r.code, ERR_NOT_SUPPORTED);
	/* Nobody's, too: it is not taken for malformed, since it may be one of the cluster's own. */
	assert_int_equal(fixture_apply_as(f, 0, 0, &command).code, ERR_NOT_SUPPORTED);
}

static void test_an_unknown_field_of_a_known_command_is_not_left_out(void **state)
{
	struct fixture *f = *state;
	Coordfs__Command command = COORDFS__COMMAND__INIT, inner = COORDFS__COMMAND__INIT, *operations[] = {&inner};
	Coordfs__Create create = COORDFS__CREATE__INIT;
	Coordfs__Commit commit = COORDFS__COMMIT__INIT;
	ProtobufCMessageUnknownField field;
	uint64_t inode;
	fixture_open(f, "a");
	command.of_case = inner.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = inner.create = &create;
	create.parent = INODE_FILES;
	create.name = (ProtobufCBinaryData){1, (uint8_t *)"x"};
	create.mode = S_IFREG | 0600;
	add_unknown(&create.base, &field);
	assert_int_equal(fixture_apply(f, &command).code, ERR_NOT_SUPPORTED);
	command.of_case = COORDFS__COMMAND__OF_COMMIT;
	command.commit = &commit;
	commit.name = (char *)"t";
	commit.operations = operations;
	commit.n_operations = 1;
	assert_int_equal(fixture_apply(f, &command).code, ERR_NOT_SUPPORTED);
	assert_int_equal(view_lookup(machine_view(f->machine), INODE_FILES, (struct bytes){"x", 1}, &inode, NULL),
			 ERR_NOT_FOUND);
	create.base.n_unknown_fields = 0;
	create.temporary = INODE_TEMPORARY;
	commit.begin = f->index;
	assert_int_equal(fixture_apply(f, &command).code, OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_cluster_of_one_has_its_members_level),
		TEST(test_the_oldest_member_decides),
		TEST(test_who_says_none_has_the_first),
		TEST(test_it_never_falls),
		TEST(test_a_member_may_go_back_until_all_are_upgraded),
		TEST(test_a_joiner_that_asks_again_may_be_upgraded),
		TEST(test_consistency_waits_for_the_last_member),
		TEST(test_an_unknown_command_is_refused_once_and_for_all),
		TEST(test_an_unknown_field_of_a_known_command_is_not_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
