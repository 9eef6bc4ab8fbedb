/* Backups: an image of one revision, written beside the loop; and what one member says of its cluster. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_fixture.h"
#include "store/image.h"
#include "store/store_tdb.h"

static int setup(void **state)
{
	static struct member m;

	member_init(&m);
	*state = &m;
	return member_open(&m);
}

static int teardown(void **state)
{
	member_close(*state);
	member_fini(*state);
	return 0;
}

struct result {
	bool done;
	int code, fd;
	uint64_t revision;
};

static void on_backup(void *ctx, int code, int fd, uint64_t revision)
{
	struct result *r = ctx;

	assert_false(r->done);
	*r = (struct result){true, code, fd, revision};
}

static uint64_t hash_of(struct machine *m)
{
	Coordfs__Meta meta = COORDFS__META__INIT;

	machine_meta(m, &meta);
	return meta.state_hash;
}

/* Of the moment when it was asked for, whatever comes after. */
static void test_a_backup_is_of_one_revision(void **state)
{
	struct member *m = *state;
	struct result r = {0};
	struct machine *loaded;
	struct store *store;
	char error[200];
	uint64_t counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode, hash, revision;

	member_add(m, counter, 7);
	hash = member_state_hash(m);
	revision = machine_applied(replica_machine(m->replica));
	replica_backup(m->replica, on_backup, &r);
	assert_false(r.done);
	member_add(m, counter, 1);
	member_wait(m, &r.done);
	assert_int_equal(r.code, OK);
	assert_int_equal(r.revision, revision);
	assert_int_equal(lseek(r.fd, 0, SEEK_SET), 0);
	assert_int_equal(store_tdb_new(&store), 0);
	assert_int_equal(image_load(r.fd, NULL, store, NULL, &loaded, error, sizeof error), 0);
	assert_int_equal(hash_of(loaded), hash);
	machine_free(loaded);
	store_tdb_free(store);
	close(r.fd);
	assert_int_equal(member_file_count(m, "", "backup"), 0);
}

static void test_so_many_at_once(void **state)
{
	struct member *m = *state;
	struct result r[5] = {{0}};

	for (int i = 0; i < 5; i++)
		replica_backup(m->replica, on_backup, &r[i]);
	for (int i = 0; i < 5; i++)
		member_wait(m, &r[i].done);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(r[i].code, OK);
		close(r[i].fd);
	}
	assert_int_equal(r[4].code, ERR_BUSY);
	assert_int_equal(r[4].fd, -1);
}

static void test_it_can_be_given_up(void **state)
{
	struct member *m = *state;
	struct result r[2] = {{0}};

	replica_backup(m->replica, on_backup, &r[0]);
	replica_backup(m->replica, on_backup, &r[1]);
	replica_backup_cancel(m->replica);
	for (int i = 0; i < 2; i++) {
		assert_true(r[i].done);
		assert_int_equal(r[i].code, ERR_CANCELED);
		assert_int_equal(r[i].fd, -1);
	}
}

/* ---- the cluster of one ---- */

static void on_member(void *ctx, const struct replica_member *member)
{
	unsigned *count = ctx;

	++*count;
	assert_string_equal(member->name, "m1");
	assert_string_equal(member->role, "voter");
	assert_string_equal(member->state, "leader");
	assert_true(member->self);
	assert_true(member->known);
	assert_int_equal(member->lag, 0);
}

static void test_one_member(void **state)
{
	struct member *m = *state;
	unsigned count = 0;

	replica_members(m->replica, on_member, &count);
	assert_int_equal(count, 1);
	assert_string_equal(replica_leader(m->replica), "m1");
}

static void on_changed(void *ctx, const struct reply *reply)
{
	struct pending *p = ctx;

	assert_false(p->done);
	p->done = true;
	p->reply = *reply;
}

static struct reply change(struct member *m, enum cluster_change_kind kind, const char *member)
{
	struct pending p = {0};

	replica_change(m->replica, kind, member, 0, on_changed, &p);
	assert_false(p.done);
	member_wait(m, &p.done);
	return p.reply;
}

static void test_changes(void **state)
{
	struct member *m = *state;
	struct reply r;

	assert_int_equal(change(m, CLUSTER_LEAD, "m1").code, OK);
	assert_int_equal(change(m, CLUSTER_VOTER, "m1").code, OK);
	assert_int_equal(change(m, CLUSTER_AUTO, "m1").code, OK);
	assert_int_equal(change(m, CLUSTER_LEAD, "m2").code, ERR_NOT_FOUND);
	assert_int_equal(change(m, CLUSTER_STANDBY, "m1").code, ERR_CANCELED);
	r = change(m, CLUSTER_REMOVE, "m1");
	assert_int_equal(r.code, ERR_CANCELED);
	assert_true(r.text[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_backup_is_of_one_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_so_many_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_can_be_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_member, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
