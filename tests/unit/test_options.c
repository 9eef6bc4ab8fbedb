/* The command line: what is taken, and that every refusal says in one line what is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

static char key_file[200];

static int parse(struct options *o, const char *options, char *error)
{
	char copy[1000];
	char *argv[] = {"coordfs", "/tmp", "/mnt", "-o", copy, NULL};

	snprintf(copy, sizeof copy, "%s", options);
	optind = 0; /* getopt begins anew */
	error[0] = '\0';
	return options_parse(o, *options ? 5 : 3, argv, error, 512);
}

static struct options taken(const char *options)
{
	struct options o;
	char error[512];

	if (parse(&o, options, error))
		fail_msg("-o %s is refused: %s", options, error);
	return o;
}

static void refuse(const char *options, const char *words)
{
	struct options o;
	char error[512];

	if (parse(&o, options, error) == 0)
		fail_msg("-o %s is accepted", options);
	options_fini(&o);
	if (!strstr(error, words) || strchr(error, '\n'))
		fail_msg("-o %s: '%s' does not say '%s'", options, error, words);
}

static void test_defaults(void **state)
{
	struct options o = taken("");

	(void)state;
	assert_string_equal(o.source, "/tmp");
	assert_string_equal(o.mountpoint, "/mnt");
	assert_null(o.listen);
	assert_null(o.join);
	assert_false(o.has_key || o.insecure);
	assert_int_equal(o.timeout_s, 10);
	assert_int_equal(o.session_ttl_s, 10);
	assert_int_equal(o.voters, 5);
	assert_int_equal(o.election_ms, 650);
	assert_int_equal(o.heartbeat_ms, 65);
	assert_int_equal(o.replace_s, 60);
	options_fini(&o);
}

static void test_a_cluster_on_loopback_needs_no_key(void **state)
{
	struct options o = taken("listen=tcp://127.0.0.1:7400,join=tcp://127.0.0.1:7401+tcp://[::1]:7402+tcp://localhost:1");

	(void)state;
	assert_string_equal(o.listen, "tcp://127.0.0.1:7400");
	assert_string_equal(o.join, "tcp://127.0.0.1:7401+tcp://[::1]:7402+tcp://localhost:1");
	options_fini(&o);
}

static void test_elsewhere_it_needs_a_key_or_a_word(void **state)
{
	static const char *const reachable[] = {"10.0.0.1:7400", "h1:7400", "[fd00::1]:7400"};
	char options[300];

	(void)state;
	for (size_t i = 0; i < sizeof reachable / sizeof *reachable; i++) {
		struct options o;

		snprintf(options, sizeof options, "listen=tcp://%s", reachable[i]);
		refuse(options, "give key=FILE");
		snprintf(options, sizeof options, "insecure,listen=tcp://%s", reachable[i]);
		o = taken(options);
		assert_true(o.insecure);
		options_fini(&o);
		snprintf(options, sizeof options, "listen=tcp://%s,key=%s", reachable[i], key_file);
		o = taken(options);
		assert_true(o.has_key);
		options_fini(&o);
	}
	refuse("insecure,listen=tcp://*:7400", "name one of this host's");
	refuse("insecure,listen=tcp://0.0.0.0:7400", "name one of this host's");
	refuse("insecure,listen=tcp://[::]:7400", "name one of this host's");
	refuse("listen=tcp://127.0.0.1:7400,join=tcp://127.0.0.1:7401+tcp://10.0.0.1:7400",
	       "join=tcp://10.0.0.1:7400 leaves this host");
}

static void test_the_key_is_read(void **state)
{
	uint8_t key[NET_KEY_BYTES];
	char error[512], options[300];
	struct options o;

	(void)state;
	snprintf(options, sizeof options, "key=%s", key_file);
	o = taken(options);
	assert_int_equal(net_key_read(key_file, key, error, sizeof error), 0);
	assert_memory_equal(o.key, key, sizeof key);
	options_fini(&o);
	refuse("key=", "keygen");
	refuse("key=/no/such/key", "No such file");
	refuse("key=/dev/null", "not a regular file");
	snprintf(options, sizeof options, "insecure,listen=tcp://10.0.0.1:1,key=%s", key_file);
	refuse(options, "contradict");
	assert_int_equal(chmod(key_file, 0644), 0);
	snprintf(options, sizeof options, "key=%s", key_file);
	refuse(options, "chmod 600");
	assert_int_equal(chmod(key_file, 0600), 0);
}

static void test_a_joiner_listens(void **state)
{
	(void)state;
	refuse("join=tcp://127.0.0.1:7400", "give listen=tcp://HOST:PORT too");
}

static void test_bad_addresses(void **state)
{
	static const char *const bad[] = {
		"", "7400", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:0x1", "tcp://127.0.0.1:65536",
		"tcp://127.0.0.1:-1", "udp://127.0.0.1:7400", "tcp://:7400", "tcp://::1:7400", "ipc:///tmp/x",
		"127.0.0.1:7400", "tcp://127.0.0.1:7400/", "tcp://a b:7400", "tcp://127.0.0.1:7400+",
	};
	char options[300];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(options, sizeof options, "insecure,listen=%s", bad[i]);
		refuse(options, "listen=");
		snprintf(options, sizeof options, "insecure,listen=tcp://127.0.0.1:7400,join=%s", bad[i]);
		refuse(options, "join=");
	}
	refuse("listen=tcp://127.0.0.1:1,join=tcp://127.0.0.1:2++tcp://127.0.0.1:3", "join=");
	refuse("listen=tcp://127.0.0.1:1,join=tcp://127.0.0.1:0", "join=");
	refuse("listen", "listen=VALUE is wanted");
}

static void test_numbers_have_bounds(void **state)
{
	static const char *const bad[] = {
		"voters=0", "voters=10", "voters=", "voters=-1", "voters=3x", "voters= 3", "voters=99999999999999999999",
		"session_ttl=0", "session_ttl=3601", "timeout=0", "timeout=1e3", "election_timeout=99",
		"election_timeout=60001", "heartbeat=9", "heartbeat=12001", "replace_after=0", "replace_after=2592001",
	};
	struct options o = taken("voters=9,session_ttl=3600,timeout=1,election_timeout=60000,heartbeat=12000,"
				  "replace_after=2592000");

	(void)state;
	assert_int_equal(o.voters, 9);
	assert_int_equal(o.session_ttl_s, 3600);
	assert_int_equal(o.election_ms, 60000);
	assert_int_equal(o.heartbeat_ms, 12000);
	assert_int_equal(o.replace_s, 2592000);
	options_fini(&o);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refuse(bad[i], "a number from");
}

static void test_times_fit_together(void **state)
{
	struct options o = taken("election_timeout=30000");

	(void)state;
	assert_int_equal(o.heartbeat_ms, 3000);
	assert_int_equal(o.replace_s, 90);
	options_fini(&o);
	o = taken("election_timeout=500,heartbeat=100");
	assert_int_equal(o.heartbeat_ms, 100);
	options_fini(&o);
	refuse("heartbeat=131", "at most a fifth");
	refuse("heartbeat=100,election_timeout=499", "at most a fifth");
	refuse("election_timeout=1000,replace_after=1", "at least twice");
	refuse("election_timeout=10000,replace_after=19", "at least twice");
}

static void test_names(void **state)
{
	struct options o = taken("name=a-b_c.9");

	(void)state;
	assert_string_equal(o.member, "a-b_c.9");
	options_fini(&o);
	refuse("name=", "1 to 64");
	refuse("name=.a", "1 to 64");
	refuse("name=a/b", "1 to 64");
	refuse("name=a b", "1 to 64");
	refuse("name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1 to 64");
}

static void test_what_is_unknown_is_named(void **state)
{
	(void)state;
	refuse("frobnicate", "unknown option 'frobnicate'");
	refuse("Listen=tcp://127.0.0.1:1", "unknown option");
	refuse("on_loss=maybe", "is wanted");
	refuse("consistency=loose", "is wanted");
	refuse("on_loss=", "is wanted");
}

static void test_words_of_fstab_are_taken(void **state)
{
	struct options o = taken("rw,noauto,nofail,_netdev,x-systemd.automount,defaults,nosuid,noatime");

	(void)state;
	assert_non_null(strstr(o.kernel, "noatime"));
	options_fini(&o);
}

static int make_key(void **state)
{
	const char *base = getenv("TMPDIR");
	char error[512];

	(void)state;
	snprintf(key_file, sizeof key_file, "%s/coordfs-options-%d.key", base ? base : "/tmp", (int)getpid());
	return net_key_write(key_file, error, sizeof error);
}

static int remove_key(void **state)
{
	(void)state;
	return unlink(key_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_a_cluster_on_loopback_needs_no_key),
		cmocka_unit_test(test_elsewhere_it_needs_a_key_or_a_word),
		cmocka_unit_test(test_the_key_is_read),
		cmocka_unit_test(test_a_joiner_listens),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_numbers_have_bounds),
		cmocka_unit_test(test_times_fit_together),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_what_is_unknown_is_named),
		cmocka_unit_test(test_words_of_fstab_are_taken),
	};

	return cmocka_run_group_tests(tests, make_key, remove_key);
}
