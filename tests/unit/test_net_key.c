/* net: key files, and which texts are addresses. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"

/* ---- key files ---- */

struct place {
	char directory[64], path[96], error[256];
	uint8_t key[NET_KEY_BYTES];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	const char *tmp = getenv("TMPDIR");
	snprintf(p->directory, sizeof p->directory, "%.40s/key.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->path, sizeof p->path, "%s/key", p->directory);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	unlink(p->path);
	rmdir(p->path);
	assert_int_equal(rmdir(p->directory), 0);
	free(p);
	return 0;
}

static void write_file(struct place *p, const char *text, size_t size, mode_t mode)
{
	int fd = open(p->path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void refuse_to_read(struct place *p, int code, const char *why)
{
	static const uint8_t nothing[NET_KEY_BYTES];
	memset(p->key, 1, sizeof p->key);
	assert_int_equal(net_key_read(p->path, p->key, p->error, sizeof p->error), code);
	assert_memory_equal(p->key, nothing, NET_KEY_BYTES);
	if (!strstr(p->error, why) || !strstr(p->error, p->path))
		fail_msg("%s", p->error);
}

static void refuse_text(struct place *p, const char *text, const char *why)
{
	write_file(p, text, strlen(text), 0600);
	refuse_to_read(p, ERR_INVALID, why);
}

static void test_made_and_read(void **state)
{
	struct place *p = *state;
	uint8_t again[NET_KEY_BYTES], other[NET_KEY_BYTES];
	struct stat st;
	mode_t before = umask(0777);
	assert_int_equal(net_key_write(p->path, p->error, sizeof p->error), OK);
	umask(before);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 14 + 40 + 1);
	assert_int_equal(net_key_read(p->path, p->key, p->error, sizeof p->error), OK);
	assert_int_equal(net_key_read(p->path, again, p->error, sizeof p->error), OK);
	assert_memory_equal(p->key, again, NET_KEY_BYTES);
	assert_int_equal(unlink(p->path), 0);
	assert_int_equal(net_key_write(p->path, p->error, sizeof p->error), OK);
	assert_int_equal(net_key_read(p->path, other, p->error, sizeof p->error), OK);
	assert_memory_not_equal(p->key, other, NET_KEY_BYTES);
}

static void test_without_the_newline(void **state)
{
	struct place *p = *state;
	const char *text = "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
	write_file(p, text, strlen(text), 0400);
	assert_int_equal(net_key_read(p->path, p->key, p->error, sizeof p->error), OK);
	assert_int_equal(p->key[0], 0xbb); /* the example of ZeroMQ's RFC 32 and 25 */
}

static void test_never_overwritten(void **state)
{
	struct place *p = *state;
	char text[16] = "";
	write_file(p, "precious", 8, 0600);
	assert_int_equal(net_key_write(p->path, p->error, sizeof p->error), ERR_EXISTS);
	assert_non_null(strstr(p->error, "never overwritten"));
	int fd = open(p->path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof text), 8);
	close(fd);
	assert_memory_equal(text, "precious", 8);
}

static void test_nowhere_to_write(void **state)
{
	struct place *p = *state;
	snprintf(p->path, sizeof p->path, "%s/none/key", p->directory);
	assert_int_equal(net_key_write(p->path, p->error, sizeof p->error), ERR_NOT_FOUND);
	assert_int_equal(net_key_write("/proc/self/fdinfo/key", p->error, sizeof p->error), ERR_NOT_FOUND);
}

static void test_missing(void **state)
{
	refuse_to_read(*state, ERR_NOT_FOUND, "No such file");
}

static void test_others_can_read_it(void **state)
{
	struct place *p = *state;
	const mode_t modes[] = {0640, 0604, 0620, 0602, 0666};
	assert_int_equal(net_key_write(p->path, p->error, sizeof p->error), OK);
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		assert_int_equal(chmod(p->path, modes[i]), 0);
		refuse_to_read(p, ERR_ACCESS, "chmod 600");
	}
}

static void test_not_a_file(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdir(p->path, 0700), 0);
	refuse_to_read(p, ERR_INVALID, "not a regular file");
	assert_int_equal(rmdir(p->path), 0);
	assert_int_equal(mkfifo(p->path, 0600), 0);
	refuse_to_read(p, ERR_INVALID, "not a regular file"); /* and does not wait for a writer */
}

static void test_what_is_no_key(void **state)
{
	struct place *p = *state;
	char large[4096];
	refuse_text(p, "", "no key of coordfs");
	refuse_text(p, "\n", "no key of coordfs");
	refuse_text(p, "-----BEGIN OPENSSH PRIVATE KEY-----\n", "no key of coordfs");
	refuse_text(p, "coordfs-key-2 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\n", "newer");
	refuse_text(p, "coordfs-key-1 ", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hIDx\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\n\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\r\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi a<NY6T1ed:M$fCG*[IaLV{hID\n", "damaged");
	refuse_text(p, "coordfs-key-1 Yne@$w-vo<fVvi\xc3\xa4<NY6T1ed:M$fCG*[IaLV{hI\n", "damaged");
	refuse_text(p, "coordfs-key-1 ########################################\n", "damaged"); /* beyond 32 bits */
	memset(large, 'x', sizeof large);
	memcpy(large, "coordfs-key-1 ", 14);
	write_file(p, large, sizeof large, 0600);
	refuse_to_read(p, ERR_INVALID, "damaged");
	write_file(p, "coordfs-key-1 \0ne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\n", 55, 0600);
	refuse_to_read(p, ERR_INVALID, "damaged");
}

/* ---- addresses ---- */

static void test_addresses(void **state)
{
	const char *const good[] = {
		"tcp://127.0.0.1:7400", "tcp://[::1]:7400", "tcp://[fe80::1%eth0]:1",	"tcp://host:65535",
		"tcp://a.b-c.example.org:7400", "tcp://node_1:7400",
	};
	const char *const bad[] = {
		"",			"127.0.0.1:7400",     "udp://127.0.0.1:7400", "tcp://",
		"tcp://127.0.0.1",	"tcp://127.0.0.1:",   "tcp://:7400",	      "tcp://127.0.0.1:65536",
		"tcp://127.0.0.1:-1",	"tcp://127.0.0.1:+1", "tcp://127.0.0.1: 1",   "tcp://127.0.0.1:99999999999999999999",
		"tcp://127.0.0.1:7400/", "tcp://127.0.0.1:7400 ", "tcp://::1:7400",   "tcp://[::1]",
		"tcp://[::1:7400",	"tcp://[]:7400",      "tcp://[host]:7400",    "tcp://[127.0.0.1]:7400",
		"tcp://300.1.1.1:7400", "tcp://1.2.3:7400",   "tcp://-x:7400",	      "tcp://ho st:7400",
		"tcp://a;b:7400",	"tcp://a/b:7400",     "tcp://h\xc3\xb6st:7400", "tcp://**:7400", "TCP://host:7400",
		"tcp://[fe80::1%]:7400", "tcp://x@y:7400",
	};
	char error[256];
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(net_address_check(good[i], "listen", error, sizeof error), OK);
		assert_int_equal(net_address_check(good[i], "join", error, sizeof error), OK);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		if (net_address_check(bad[i], "listen", error, sizeof error) != ERR_INVALID)
			fail_msg("%s is taken for an address", bad[i]);
		assert_non_null(strstr(error, "listen="));
		assert_int_equal(net_address_check(bad[i], "join", error, sizeof error), ERR_INVALID);
	}
}

static void test_addresses_for_listening_only(void **state)
{
	char error[256], *large = malloc(1000);
	(void)state;
	assert_int_equal(net_address_check("tcp://*:7400", "listen", error, sizeof error), OK);
	assert_int_equal(net_address_check("tcp://*:7400", "join", error, sizeof error), ERR_INVALID);
	assert_string_equal(error, "join=tcp://*:7400: this host is for listening only: nobody can be reached there");
	assert_int_equal(net_address_check("tcp://0.0.0.0:7400", "listen", error, sizeof error), OK);
	assert_int_equal(net_address_check("tcp://0.0.0.0:7400", "join", error, sizeof error), ERR_INVALID);
	assert_int_equal(net_address_check("tcp://[::]:7400", "listen", error, sizeof error), OK);
	assert_int_equal(net_address_check("tcp://[0::0]:7400", "join", error, sizeof error), ERR_INVALID);
	assert_int_equal(net_address_check("tcp://127.0.0.1:0", "listen", error, sizeof error), OK);
	assert_int_equal(net_address_check("tcp://127.0.0.1:0", "join", error, sizeof error), ERR_INVALID);
	memset(large, 'a', 1000);
	memcpy(large, "tcp://", 6);
	strcpy(large + 990, ":7400");
	assert_int_equal(net_address_check(large, "join", error, sizeof error), ERR_INVALID);
	free(large);
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(net_address_is_loopback("tcp://127.0.0.1:7400"));
	assert_true(net_address_is_loopback("tcp://127.1.2.3:0"));
	assert_true(net_address_is_loopback("tcp://[::1]:7400"));
	assert_true(net_address_is_loopback("tcp://[0:0::1]:7400"));
	assert_true(net_address_is_loopback("tcp://LocalHost:7400"));
	assert_false(net_address_is_loopback("tcp://10.0.0.1:7400"));
	assert_false(net_address_is_loopback("tcp://127.example.org:7400"));
	assert_false(net_address_is_loopback("tcp://localhost.example.org:7400"));
	assert_false(net_address_is_loopback("tcp://[::2]:7400"));
	assert_false(net_address_is_loopback("tcp://*:7400"));
	assert_false(net_address_is_loopback("tcp://0.0.0.0:7400"));
	assert_false(net_address_is_loopback("nonsense"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made_and_read),
		TEST(test_without_the_newline),
		TEST(test_never_overwritten),
		TEST(test_nowhere_to_write),
		TEST(test_missing),
		TEST(test_others_can_read_it),
		TEST(test_not_a_file),
		TEST(test_what_is_no_key),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_for_listening_only),
		cmocka_unit_test(test_loopback),
	};
	return cmocka_run_group_tests_name("net_key", tests, NULL, NULL);
}
