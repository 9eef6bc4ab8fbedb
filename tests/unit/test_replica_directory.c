/* Whose data directory it is: every refusal says in one line what to do, and nothing used is ever started empty. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/directory.h"
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

static const char *path_of(struct member *m, const char *name)
{
	static char path[600];

	snprintf(path, sizeof path, "%s/%s", m->directory, name);
	return path;
}

static void put_file(struct member *m, const char *name, const char *text)
{
	int fd = open(path_of(m, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void assert_refused(struct member *m, int code, const char *words)
{
	assert_int_equal(member_open(m), code);
	if (!strstr(m->error, words))
		fail_msg("'%s' does not say '%s'", m->error, words);
}

/* Use the directory once, so that it belongs to m1. */
static void use(struct member *m)
{
	assert_int_equal(member_open(m), 0);
	member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644);
	member_close(m);
}

static void test_a_missing_directory_is_made(void **state)
{
	struct member *m = *state;
	struct stat st;

	assert_int_equal(rmdir(m->directory), 0);
	assert_int_equal(member_open(m), 0);
	assert_int_equal(stat(m->directory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_a_missing_parent_is_refused(void **state)
{
	struct member *m = *state;
	char deeper[400];

	snprintf(deeper, sizeof deeper, "%s/no/such", m->directory);
	m->config.directory = deeper;
	assert_refused(m, ERR_CORRUPT, "No such file");
}

static void test_a_file_is_refused(void **state)
{
	struct member *m = *state;
	char file[400];

	put_file(m, "file", "text");
	snprintf(file, sizeof file, "%s/file", m->directory);
	m->config.directory = file;
	assert_refused(m, ERR_NOT_DIRECTORY, "is not a directory");
}

/* As a user who may not: in a child, for root may all. */
static void test_an_unreadable_directory_is_refused(void **state)
{
	struct member *m = *state;
	int status;
	pid_t pid;

	use(m);
	assert_int_equal(chmod(m->directory, 0711), 0);
	pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
			_exit(2);
		if (getuid() != 65534)
			chmod(m->directory, 0);
		uv_loop_init(&m->loop);
		_exit(member_open(m) == ERR_ACCESS && strstr(m->error, "ermission denied") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	chmod(m->directory, 0700);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_foreign_content_is_refused(void **state)
{
	struct member *m = *state;

	put_file(m, "letter.txt", "dear");
	assert_refused(m, ERR_CORRUPT, "letter.txt");
	assert_int_equal(access(path_of(m, "raft"), F_OK), -1);
}

static void test_a_file_system_of_its_own_is_fine(void **state)
{
	struct member *m = *state;

	assert_int_equal(mkdir(path_of(m, "lost+found"), 0700), 0);
	use(m);
	use(m);
}

static void test_the_second_daemon_names_the_first(void **state)
{
	struct member *m = *state;
	static struct member second;
	char pid[32];

	assert_int_equal(member_open(m), 0);
	memset(&second, 0, sizeof second);
	assert_int_equal(uv_loop_init(&second.loop), 0);
	second.config = m->config;
	snprintf(pid, sizeof pid, "pid %d:", (int)getpid());
	assert_refused(&second, ERR_BUSY, pid);
	assert_int_equal(uv_loop_close(&second.loop), 0);
	assert_int_equal(member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).code, OK);
}

static void die(struct member *m)
{
	(void)m;
}

static void test_a_pid_that_was_killed_does_not_matter(void **state)
{
	struct member *m = *state;

	member_killed(m, die);
	use(m);
}

static void test_another_members_data_is_refused(void **state)
{
	struct member *m = *state;

	use(m);
	m->config.member = "m2";
	assert_refused(m, ERR_PERM, "member 'm1', not 'm2'");
	m->config.member = NULL;
	assert_int_equal(member_open(m), 0);
	assert_string_equal(replica_member(m->replica), "m1");
}

static void test_without_a_name_it_is_the_hosts(void **state)
{
	struct member *m = *state;
	char host[256];

	gethostname(host, sizeof host);
	m->config.member = NULL;
	assert_int_equal(member_open(m), 0);
	assert_string_equal(replica_member(m->replica), host);
}

static void test_a_newer_format_is_refused(void **state)
{
	struct member *m = *state;

	use(m);
	put_file(m, "member", "format=2\nmember=m1\n");
	assert_refused(m, ERR_NOT_SUPPORTED, "newer coordfs (format 2");
}

static void test_a_damaged_marker_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "\n", "format=1\n", "format=1\nmember=m1\nid=1\ncluster=12\n", "format=x\nmember=m1\n",
		"format=1\nmember=\ncluster=0123456789abcdef0123456789abcdef\nid=1\n",
		"format=1\nmember=m1\ncluster=0123456789abcdef0123456789abcdef\nid=1",
	};
	struct member *m = *state;

	use(m);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		put_file(m, "member", texts[i]);
		assert_refused(m, ERR_CORRUPT, "member is damaged");
	}
}

static void test_a_lost_marker_is_refused(void **state)
{
	struct member *m = *state;

	use(m);
	unlink(path_of(m, "member"));
	assert_refused(m, ERR_CORRUPT, "`member` is missing");
}

static void test_a_lost_log_is_refused(void **state)
{
	struct member *m = *state;
	char from[600];

	use(m);
	snprintf(from, sizeof from, "%s", path_of(m, "raft"));
	assert_int_equal(rename(from, path_of(m, "moved")), 0);
	assert_refused(m, ERR_CORRUPT, "is missing: restore it");
	assert_int_equal(mkdir(from, 0700), 0);
	assert_refused(m, ERR_CORRUPT, "metadata1 and metadata2 are missing");
}

/* A start that was killed before anything was promised is begun anew, from wherever it was. */
static void test_an_interrupted_making_is_begun_anew(void **state)
{
	struct member *m = *state;

	put_file(m, "lock", "");
	put_file(m, "member.new", "");
	use(m);
	assert_int_equal(unlink(path_of(m, "member")), 0);
	put_file(m, "member.new", "format=1\nmem");
	put_file(m, "raft/metadata1", "half");
	assert_int_equal(member_open(m), 0);
	assert_int_equal(member_find(m, INODE_COUNTERS, "c"), 0);
	assert_int_equal(access(path_of(m, "member.new"), F_OK), -1);
}

/* The directory is found again whatever the working directory is then. */
static void test_a_relative_name_is_made_absolute(void **state)
{
	struct member *m = *state;

	assert_int_equal(chdir(m->directory), 0);
	m->config.directory = "data";
	assert_int_equal(member_open(m), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(member_create(m, INODE_COUNTERS, "c", S_IFREG | 0644).code, OK);
	member_close(m);
}

static void test_a_link_in_place_of_a_file_is_not_followed(void **state)
{
	struct member *m = *state;
	struct stat st;

	put_file(m, "../victim-of-coordfs-test", "precious");
	assert_int_equal(symlink("../victim-of-coordfs-test", path_of(m, "lock")), 0);
	assert_true(member_open(m) < 0);
	assert_int_equal(stat(path_of(m, "../victim-of-coordfs-test"), &st), 0);
	assert_int_equal(st.st_size, strlen("precious"));
	unlink(path_of(m, "../victim-of-coordfs-test"));
}

/* recover: another cluster, with a reset to do that survives restarts until it is done. */
static void test_a_renewed_directory_is_of_a_new_cluster(void **state)
{
	struct member *m = *state;
	struct directory d;
	char before[33];

	use(m);
	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_string_equal(d.reset_reason, "");
	memcpy(before, d.cluster, sizeof before);
	assert_int_equal(directory_renew(&d, "recovered", 42, m->error, sizeof m->error), 0);
	assert_string_not_equal(d.cluster, before);
	memcpy(before, d.cluster, sizeof before);
	directory_close(&d);
	assert_int_equal(directory_open(&d, m->directory, "m1", m->error, sizeof m->error), 0);
	assert_string_equal(d.cluster, before);
	assert_string_equal(d.reset_reason, "recovered");
	assert_int_equal(d.reset_after, 42);
	assert_int_equal(directory_reset_done(&d), 0);
	directory_close(&d);
	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_string_equal(d.cluster, before);
	assert_string_equal(d.reset_reason, "");
	assert_int_equal(d.id, 1);
	directory_close(&d);
}

static void make(struct member *m, struct directory *d)
{
	assert_int_equal(directory_make(d, m->directory, "new", 1001, m->error, sizeof m->error), 0);
	put_file(m, "image-1000.coordfs", "half");
	put_file(m, "raft/metadata1", "half");
}

/* A restore that was killed must not be taken for a directory that was never used. */
static void test_an_interrupted_restore_is_no_new_cluster(void **state)
{
	struct member *m = *state;
	struct directory d;

	make(m, &d);
	directory_close(&d);
	assert_refused(m, ERR_CORRUPT, "run it again");
	make(m, &d);
	directory_unmake(&d);
	assert_int_equal(member_file_count(m, "", ""), 2); /* . and .. */
	make(m, &d);
	assert_int_equal(unlink(path_of(m, "raft/metadata1")), 0);
	assert_int_equal(directory_settle_restored(&d, &(struct mark){1000, 1, 1000}, m->error, sizeof m->error), 0);
	directory_close(&d);
	assert_int_equal(directory_open(&d, m->directory, NULL, m->error, sizeof m->error), 0);
	assert_string_equal(d.member, "new");
	assert_string_equal(d.reset_reason, "restored");
	assert_int_equal(d.reset_after, 1000);
	assert_int_equal(d.id, 1001);
	directory_close(&d);
}

static void test_a_restore_into_what_is_used_is_refused(void **state)
{
	struct member *m = *state;
	struct directory d;

	put_file(m, "precious", "");
	assert_int_equal(directory_make(&d, m->directory, "new", 1001, m->error, sizeof m->error), ERR_CORRUPT);
	assert_int_equal(member_file_count(m, "", "lock"), 0);
	unlink(path_of(m, "precious"));
	use(m);
	assert_int_equal(directory_make(&d, m->directory, "new", 1001, m->error, sizeof m->error), ERR_EXISTS);
	assert_int_equal(member_open(m), 0);
	assert_int_not_equal(member_find(m, INODE_COUNTERS, "c"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_missing_directory_is_made),
		TEST(test_a_missing_parent_is_refused),
		TEST(test_a_file_is_refused),
		TEST(test_an_unreadable_directory_is_refused),
		TEST(test_foreign_content_is_refused),
		TEST(test_a_file_system_of_its_own_is_fine),
		TEST(test_the_second_daemon_names_the_first),
		TEST(test_a_pid_that_was_killed_does_not_matter),
		TEST(test_another_members_data_is_refused),
		TEST(test_without_a_name_it_is_the_hosts),
		TEST(test_a_newer_format_is_refused),
		TEST(test_a_damaged_marker_is_refused),
		TEST(test_a_lost_marker_is_refused),
		TEST(test_a_lost_log_is_refused),
		TEST(test_an_interrupted_making_is_begun_anew),
		TEST(test_a_relative_name_is_made_absolute),
		TEST(test_a_link_in_place_of_a_file_is_not_followed),
		TEST(test_a_renewed_directory_is_of_a_new_cluster),
		TEST(test_an_interrupted_restore_is_no_new_cluster),
		TEST(test_a_restore_into_what_is_used_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
