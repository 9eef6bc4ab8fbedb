/* A voter of a lost majority becomes a cluster of its own: with all it has, and nobody else's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/offline.h"
#include "replica/recover.h"
#include "replica_fixture.h"

static int setup(void **state)
{
	static struct member m;

	member_init(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	member_fini(*state);
	return 0;
}

static void work(struct member *m)
{
	uint64_t counter;

	assert_int_equal(member_open(m), 0);
	counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	for (int i = 0; i < 100; i++)
		member_add(m, counter, 1);
	member_close(m);
}

/* Its log says now that there are three voters and a standby. */
static void widen(struct member *m, uint64_t self)
{
	static const int roles[] = {RAFT_VOTER, RAFT_VOTER, RAFT_VOTER, RAFT_STANDBY};
	struct raft_configuration c;
	struct directory d;
	struct offline o;
	char number[8];

	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_int_equal(offline_open(&o, &d, m->error, sizeof m->error), 0);
	raft_configuration_init(&c);
	for (uint64_t id = self; id < self + 4; id++) {
		snprintf(number, sizeof number, "%u", (unsigned)id);
		assert_int_equal(raft_configuration_add(&c, id, number, roles[id - self]), 0);
	}
	assert_int_equal(raft_recover(&o.raft, &c), 0);
	raft_configuration_close(&c);
	offline_close(&o);
	directory_close(&d);
}

static struct recovery *open_recovery(struct member *m)
{
	struct recovery *r;

	m->error[0] = '\0';
	if (recovery_open(m->directory, &r, m->error, sizeof m->error))
		fail_msg("%s", m->error);
	return r;
}

static void count_member(void *ctx, const struct recovery_member *member)
{
	unsigned *seen = ctx;

	assert_true(member->id >= 1 && member->id <= 4);
	assert_int_equal(member->votes, member->id < 4);
	*seen |= 1u << member->id;
}

static void test_it_says_what_there_is(void **state)
{
	struct member *m = *state;
	const struct recovery_facts *f;
	struct recovery *r;
	unsigned seen = 0;

	work(m);
	widen(m, 1);
	r = open_recovery(m);
	f = recovery_facts(r);
	assert_string_equal(f->member, "m1");
	assert_int_equal(f->id, 1);
	assert_int_equal(f->voters, 3);
	assert_int_equal(f->standbys, 1);
	assert_true(f->votes && !f->alone && !f->interrupted);
	assert_true(f->acknowledged >= 102 && f->last_index > f->acknowledged);
	assert_true(f->time_ns > 0);
	recovery_members(r, count_member, &seen);
	assert_int_equal(seen, 2 | 4 | 8 | 16);
	recovery_close(r);
}

static void test_looking_changes_nothing(void **state)
{
	struct member *m = *state;
	struct recovery_facts first;
	struct recovery *r;

	work(m);
	widen(m, 1);
	r = open_recovery(m);
	first = *recovery_facts(r);
	recovery_close(r);
	r = open_recovery(m);
	assert_int_equal(recovery_facts(r)->last_index, first.last_index);
	assert_int_equal(recovery_facts(r)->voters, 3);
	recovery_close(r);
}

static void test_a_recovered_member_serves_alone(void **state)
{
	struct member *m = *state;
	struct directory d;
	struct recovery *r;
	char cluster[33];
	uint64_t counter, last;

	work(m);
	widen(m, 1);
	r = open_recovery(m);
	memcpy(cluster, recovery_facts(r)->cluster, sizeof cluster);
	last = recovery_facts(r)->last_index;
	if (recovery_run(r, m->error, sizeof m->error))
		fail_msg("%s", m->error);
	recovery_close(r);
	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_string_not_equal(d.cluster, cluster);
	assert_string_equal(d.reset_reason, "recovered");
	assert_int_equal(d.reset_after, last);
	directory_close(&d);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(member_open(m), 0);
		counter = member_find(m, INODE_COUNTERS, "c");
		assert_int_equal(member_value(m, counter), 100 + i);
		assert_true(member_add(m, counter, 1).revision > last);
		member_close(m);
	}
	r = open_recovery(m);
	assert_true(recovery_facts(r)->alone);
	assert_int_equal(recovery_facts(r)->voters, 1);
	recovery_close(r);
}

/* The new cluster's id is written, the log not yet. */
static void test_an_interrupted_recovery_is_done_again(void **state)
{
	struct member *m = *state;
	struct recovery *r;
	struct directory d;

	work(m);
	widen(m, 1);
	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_int_equal(directory_renew(&d, "recovered", 1, m->error, sizeof m->error), 0);
	directory_close(&d);
	assert_int_equal(member_open(m), ERR_NOT_SUPPORTED);
	assert_non_null(strstr(m->error, "a recovery of it was begun and did not end: run `coordfs recover` again"));
	r = open_recovery(m);
	assert_true(recovery_facts(r)->interrupted);
	assert_int_equal(recovery_run(r, m->error, sizeof m->error), 0);
	recovery_close(r);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, member_find(m, INODE_COUNTERS, "c")), 100);
}

/* Behind an image: what is left of the log begins later. */
static void test_a_log_behind_an_image(void **state)
{
	struct member *m = *state;
	struct replica_status status;
	struct recovery *r;
	uint64_t counter;
	int64_t value;

	m->config.snapshot_log_bytes = 16u << 10;
	assert_int_equal(member_open(m), 0);
	counter = member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
	do {
		member_add(m, counter, 1);
		replica_status(m->replica, &status);
	} while (status.snapshot_index < 1000);
	value = member_value(m, counter);
	member_close(m);
	widen(m, 1);
	r = open_recovery(m);
	assert_int_equal(recovery_facts(r)->voters, 3);
	assert_int_equal(recovery_run(r, m->error, sizeof m->error), 0);
	recovery_close(r);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_value(m, counter), value);
}

static void assert_refused(const char *path, int code, const char *words)
{
	struct recovery *r;
	char error[512] = "";

	assert_int_equal(recovery_open(path, &r, error, sizeof error), code);
	assert_null(r);
	if (!strstr(error, words) || strchr(error, '\n'))
		fail_msg("'%s' does not say '%s'", error, words);
}

static void test_what_is_no_member_is_refused(void **state)
{
	struct member *m = *state;
	char path[400];

	snprintf(path, sizeof path, "%s/none", m->directory);
	assert_refused(path, ERR_NOT_FOUND, "No such file");
	assert_int_equal(access(path, F_OK), -1);
	assert_refused(m->directory, ERR_NOT_FOUND, "holds no member's data");
	assert_int_equal(member_file_count(m, "", ""), 2); /* . and .. */
	assert_refused("/etc/hostname", ERR_NOT_DIRECTORY, "is not a directory");
}

static void test_one_in_use_is_refused(void **state)
{
	struct member *m = *state;

	assert_int_equal(member_open(m), 0);
	assert_refused(m->directory, ERR_BUSY, "is in use by pid");
}

static void test_a_damaged_log_is_refused(void **state)
{
	struct member *m = *state;
	char path[400];

	work(m);
	widen(m, 1);
	flip_bit(member_file(m, "raft", "00", path, sizeof path), 20);
	assert_refused(m->directory, ERR_CORRUPT, "is damaged");
	flip_bit(path, 20);
	recovery_close(open_recovery(m));
	snprintf(path, sizeof path, "%s/acknowledged", m->directory);
	assert_int_equal(unlink(path), 0);
	assert_refused(m->directory, ERR_CORRUPT, "acknowledged is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_says_what_there_is),
		TEST(test_looking_changes_nothing),
		TEST(test_a_recovered_member_serves_alone),
		TEST(test_an_interrupted_recovery_is_done_again),
		TEST(test_a_log_behind_an_image),
		TEST(test_what_is_no_member_is_refused),
		TEST(test_one_in_use_is_refused),
		TEST(test_a_damaged_log_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
