/* Members of the cluster in the state: added once, under one name, with a number that nobody else ever gets. Every
 * command is followed by machine_check(). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "machine_fixture.h"

#define TOKEN "token-----------"

/* ---- commands ---- */

static struct reply add_with(struct fixture *f, const char *name, const char *address, const char *token, uint64_t id)
{
	return fixture_add_member(f, name, address, token, id, LEVEL_LATEST);
}

static struct reply add(struct fixture *f, const char *name)
{
	return add_with(f, name, "tcp://host:1", TOKEN, 0);
}

static struct reply set(struct fixture *f, uint64_t id, const char *address, uint32_t wish)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberSet q = COORDFS__MEMBER_SET__INIT;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_SET;
	command.member_set = &q;
	q.id = id;
	q.address = (char *)address;
	q.wish = wish;
	return fixture_apply_as(f, 0, 0, &command);
}

static struct reply remove_as(struct fixture *f, uint64_t session, uint64_t sequence, uint64_t id)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberRemove q = COORDFS__MEMBER_REMOVE__INIT;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_REMOVE;
	command.member_remove = &q;
	q.id = id;
	return fixture_apply_as(f, session, sequence, &command);
}

static struct reply reset(struct fixture *f, uint64_t keep)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__ClusterReset q = COORDFS__CLUSTER_RESET__INIT;
	command.of_case = COORDFS__COMMAND__OF_CLUSTER_RESET;
	command.cluster_reset = &q;
	q.keep = keep;
	q.reason = (char *)"the others are lost";
	return fixture_apply_as(f, 0, 0, &command);
}

/* ---- reading ---- */

struct listing {
	char text[2000];
};

static int list_one(void *ctx, const struct member_info *m)
{
	struct listing *l = ctx;
	size_t size = strlen(l->text);
	snprintf(l->text + size, sizeof l->text - size, "%s%s %s %.16s %d", size ? "; " : "", m->name, m->address,
		 (const char *)m->token, (int)m->wish);
	return 0;
}

static void assert_members(struct fixture *f, const char *expected)
{
	struct listing l = {""};
	machine_members(f->machine, list_one, &l);
	assert_string_equal(l.text, expected);
}

static uint64_t state_hash(struct fixture *f)
{
	Coordfs__Meta meta;
	machine_meta(f->machine, &meta);
	return meta.state_hash;
}

/* ---- adding ---- */

static void test_a_member_gets_the_number_of_its_entry(void **state)
{
	struct fixture *f = *state;
	struct reply founder = add_with(f, "a", "", TOKEN, 1), next = add(f, "b");
	assert_int_equal(founder.code, OK);
	assert_int_equal(founder.value, 1);
	assert_int_equal(next.code, OK);
	assert_int_equal(next.value, f->index);
	assert_int_equal(machine_member_named(f->machine, "a"), 1);
	assert_int_equal(machine_member_named(f->machine, "b"), f->index);
	assert_int_equal(machine_member_named(f->machine, "c"), 0);
	assert_members(f, "a  " TOKEN " 0; b tcp://host:1 " TOKEN " 0");
}

static void test_the_same_member_again_is_a_repeat(void **state)
{
	struct fixture *f = *state;
	uint64_t id = (uint64_t)add(f, "a").value, hash = state_hash(f);
	assert_int_equal(add(f, "a").value, id);
	assert_int_equal(state_hash(f), hash);
	struct reply moved = add_with(f, "a", "tcp://[::1]:2", TOKEN, 0);
	assert_int_equal(moved.code, OK);
	assert_int_equal(moved.value, id);
	assert_members(f, "a tcp://[::1]:2 " TOKEN " 0");
}

static void test_another_member_of_that_name_is_refused(void **state)
{
	struct fixture *f = *state;
	add(f, "a");
	struct reply r = add_with(f, "a", "tcp://other:1", "another-token---", 0);
	assert_int_equal(r.code, ERR_EXISTS);
	assert_non_null(strstr(r.text, "a member a, with another data directory"));
	assert_members(f, "a tcp://host:1 " TOKEN " 0");
}

static void test_malformed_members_are_refused(void **state)
{
	static const char *const names[] = {"", ".a", "a b", "a/b", "\xc3\xa4", "a\n"};
	static const char *const addresses[] = {"host:1", "tcp://", "ipc://x", "tcp://a b:1", "tcp://a\n:1", "tcp://\x7f"};
	struct fixture *f = *state;
	char name[66] = "", address[257] = "tcp://";
	memset(name, 'n', 65);
	memset(address + 6, 'h', 250);
	assert_int_equal(add(f, name).code, ERR_INVALID);
	assert_int_equal(add_with(f, "a", address, TOKEN, 0).code, ERR_INVALID);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(add(f, names[i]).code, ERR_INVALID);
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		assert_int_equal(add_with(f, "a", addresses[i], TOKEN, 0).code, ERR_INVALID);
	assert_int_equal(add_with(f, "a", "", "short", 0).code, ERR_INVALID);
	assert_int_equal(add_with(f, "a", "", "", 0).code, ERR_INVALID);
	assert_members(f, "");
	name[64] = address[255] = '\0';
	assert_int_equal(add_with(f, name, address, TOKEN, 0).code, OK);
}

static void test_a_number_is_never_given_again(void **state)
{
	struct fixture *f = *state, loaded;
	uint64_t id = (uint64_t)add(f, "a").value;
	assert_int_equal(add_with(f, "b", "", TOKEN, id).code, ERR_EXISTS);
	assert_int_equal(remove_as(f, 0, 0, id).code, OK);
	assert_int_equal(add_with(f, "b", "", TOKEN, id).code, ERR_EXISTS);
	assert_int_equal(add_with(f, "b", "", TOKEN, id - 1).code, ERR_EXISTS);
	assert_int_equal(add_with(f, "b", "", TOKEN, f->index + 2).code, ERR_INVALID);
	fixture_reload(f, &loaded);
	assert_int_equal(add_with(&loaded, "b", "", TOKEN, id).code, ERR_EXISTS);
	assert_true((uint64_t)add(&loaded, "a").value > id);
	fixture_fini(&loaded);
}

static void test_a_thousand_members_are_enough(void **state)
{
	struct fixture *f = *state;
	char name[16];
	f->check = false;
	for (unsigned i = 0; i < LIMIT_MEMBERS; i++) {
		snprintf(name, sizeof name, "m%u", i);
		assert_int_equal(add(f, name).code, OK);
	}
	f->check = true;
	assert_int_equal(add(f, "more").code, ERR_QUOTA);
	assert_int_equal(add(f, "m7").code, OK); /* a repeat */
	assert_int_equal(remove_as(f, 0, 0, machine_member_named(f->machine, "m7")).code, OK);
	assert_int_equal(add(f, "more").code, OK);
}

/* ---- changing ---- */

static void test_set_changes_what_it_names(void **state)
{
	struct fixture *f = *state;
	uint64_t id = (uint64_t)add(f, "a").value;
	assert_int_equal(set(f, id, "tcp://moved:1", 0).code, OK);
	assert_members(f, "a tcp://moved:1 " TOKEN " 0");
	assert_int_equal(set(f, id, "", MEMBER_STANDBY + 1).code, OK);
	assert_members(f, "a tcp://moved:1 " TOKEN " 2");
	assert_int_equal(set(f, id, "", MEMBER_AUTO + 1).code, OK);
	assert_members(f, "a tcp://moved:1 " TOKEN " 0");
	assert_int_equal(set(f, id, "nonsense", MEMBER_VOTER + 1).code, ERR_INVALID);
	assert_int_equal(set(f, id, "tcp://b:1", MEMBER_STANDBY + 2).code, ERR_INVALID);
	assert_int_equal(set(f, id + 1, "tcp://b:1", 0).code, ERR_NOT_FOUND);
	assert_members(f, "a tcp://moved:1 " TOKEN " 0");
}

/* ---- going ---- */

static void test_a_removed_member_loses_its_session(void **state)
{
	struct fixture *f = *state;
	uint64_t first = f->session;
	add(f, "one");
	uint64_t id = (uint64_t)add(f, "two").value, second = fixture_open(f, "two");
	fixture_create(f, INODE_LOCKS, "mine", S_IFREG | 0644, true);
	struct reply r = remove_as(f, 0, 0, id);
	assert_int_equal(r.code, OK);
	assert_int_equal(r.value, id);
	assert_int_equal(f->events[f->event_count - 1].type, EVENT_SESSION_END);
	assert_int_equal(f->events[f->event_count - 1].session, second);
	assert_int_equal(fixture_find(f, INODE_LOCKS, "mine"), 0);
	assert_true(machine_session_alive(f->machine, first));
	assert_false(machine_session_alive(f->machine, second));
	assert_int_equal(remove_as(f, 0, 0, id).code, ERR_NOT_FOUND);
	assert_int_equal(fixture_open_as(f, "two", "incarnation-0001", 0).code, ERR_PERM);
	assert_int_equal(fixture_open_as(f, "one", "incarnation-0001", 0).code, OK);
}

static void test_a_reset_keeps_one_member_and_no_session(void **state)
{
	struct fixture *f = *state;
	uint64_t first = f->session;
	add(f, "one");
	uint64_t keep = (uint64_t)add(f, "two").value, second;
	add(f, "three");
	fixture_create(f, INODE_FILES, "stays", S_IFREG | 0644, true);
	second = fixture_open(f, "two");
	assert_int_equal(reset(f, keep).code, OK);
	assert_int_equal(f->event_count, 2);
	assert_members(f, "two tcp://host:1 " TOKEN " 0");
	assert_false(machine_session_alive(f->machine, first));
	assert_false(machine_session_alive(f->machine, second));
	assert_true(fixture_find(f, INODE_FILES, "stays") != 0);
	assert_int_equal(reset(f, 0).code, OK);
	assert_members(f, "");
	assert_true((uint64_t)add(f, "one").value > keep);
}

/* As after a restore: the new cluster's first member is none of the former one's. */
static void test_a_reset_keeps_nobody_whom_it_does_not_know(void **state)
{
	struct fixture *f = *state;
	add(f, "one");
	assert_int_equal(reset(f, f->index + 5).code, OK);
	assert_members(f, "");
	assert_false(machine_session_alive(f->machine, f->session));
}

static void test_a_user_cannot_change_the_cluster(void **state)
{
	struct fixture *f = *state;
	uint64_t id = (uint64_t)add(f, "one").value;
	assert_int_equal(remove_as(f, f->session, 1, id).code, ERR_INVALID);
	assert_int_equal(remove_as(f, f->session, 0, id).code, ERR_INVALID);
	assert_int_equal(remove_as(f, 0, 1, id).code, ERR_INVALID);
	assert_int_equal(machine_member_named(f->machine, "one"), id);
}

/* ---- images ---- */

static void test_members_come_back_from_an_image(void **state)
{
	struct fixture *f = *state, loaded;
	add_with(f, "a", "", TOKEN, 1);
	uint64_t id = (uint64_t)add(f, "b").value;
	set(f, id, "", MEMBER_VOTER + 1);
	add(f, "c");
	fixture_reload(f, &loaded);
	assert_members(&loaded, "a  " TOKEN " 0; b tcp://host:1 " TOKEN " 1; c tcp://host:1 " TOKEN " 0");
	assert_int_equal(remove_as(&loaded, 0, 0, id).code, OK);
	assert_members(&loaded, "a  " TOKEN " 0; c tcp://host:1 " TOKEN " 0");
	fixture_fini(&loaded);
}

static int load(struct fixture *f, uint64_t id, const char *name, const char *token, uint32_t wish)
{
	uint8_t key[9] = {'M', 0, 0, 0, 0, 0, 0, 0, (uint8_t)id}, packed[500];
	Coordfs__Member record = COORDFS__MEMBER__INIT;
	record.name = (char *)name;
	record.address = (char *)"";
	record.token = (ProtobufCBinaryData){strlen(token), (uint8_t *)token};
	record.wish = wish;
	record.level = LEVEL_LATEST;
	size_t size = coordfs__member__pack(&record, packed);
	return machine_load(f->machine, (struct bytes){key, sizeof key}, (struct bytes){packed, size});
}

static void test_an_impossible_member_in_an_image_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(load(f, 0, "a", TOKEN, 0), ERR_CORRUPT);
	assert_int_equal(load(f, 1, "", TOKEN, 0), ERR_CORRUPT);
	assert_int_equal(load(f, 1, "a", "short", 0), ERR_CORRUPT);
	assert_int_equal(load(f, 1, "a", TOKEN, 3), ERR_CORRUPT);
	assert_int_equal(load(f, 1, "a", TOKEN, 2), OK);
	assert_int_equal(load(f, 1, "b", TOKEN, 0), ERR_CORRUPT);
	assert_int_equal(load(f, 2, "a", TOKEN, 0), ERR_CORRUPT);
	assert_int_equal(load(f, 2, "b", TOKEN, 0), OK);
	Coordfs__Meta meta;
	machine_meta(f->machine, &meta);
	meta.last_member = 1; /* a number above the highest that was given */
	assert_int_equal(machine_load_end(f->machine, &meta), ERR_CORRUPT);
	meta.last_member = 2;
	meta.applied = 2;
	meta.level = LEVEL_LATEST + 1; /* which its members do not know */
	assert_int_equal(machine_load_end(f->machine, &meta), ERR_CORRUPT);
	meta.level = LEVEL_LATEST;
	assert_int_equal(machine_load_end(f->machine, &meta), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_member_gets_the_number_of_its_entry),
		TEST(test_the_same_member_again_is_a_repeat),
		TEST(test_another_member_of_that_name_is_refused),
		TEST(test_malformed_members_are_refused),
		TEST(test_a_number_is_never_given_again),
		TEST(test_a_thousand_members_are_enough),
		TEST(test_set_changes_what_it_names),
		TEST(test_a_removed_member_loses_its_session),
		TEST(test_a_reset_keeps_one_member_and_no_session),
		TEST(test_a_reset_keeps_nobody_whom_it_does_not_know),
		TEST(test_a_user_cannot_change_the_cluster),
		TEST(test_members_come_back_from_an_image),
		TEST(test_an_impossible_member_in_an_image_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
