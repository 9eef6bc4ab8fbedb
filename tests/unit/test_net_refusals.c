/* net: who may not talk, and what is no message. Each is refused in words, counted, and disturbs nobody else. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_fixture.h"

#define COUNTER(name) offsetof(struct net_totals, name)

static void assert_trouble(struct fixture *f, unsigned id, const char *words)
{
	const char *trouble = totals_of(f, id).trouble;
	if (!trouble || !strstr(trouble, words))
		fail_msg("trouble is \"%s\", not \"… %s …\"", trouble ? trouble : "", words);
}

/* Members 1 and 2 are of one cluster and talk, whatever else comes to the port of 1. */
static void open_pair(struct fixture *f, const uint8_t *key)
{
	open_member(f, 1, cluster_a, key);
	open_member(f, 2, cluster_a, key);
	introduce(f, 1, 2);
	expect_talk(f, 2, 1);
	expect_talk(f, 1, 2);
}

/* ---- keys ---- */

static void talk_in_vain(struct fixture *f)
{
	send_nonce(f, 1, 2, 1);
	send_nonce(f, 2, 1, 1);
	run_for(f, 10);
}

static void assert_nothing_passed(struct fixture *f)
{
	for (unsigned i = 0; i < 50; i++)
		talk_in_vain(f);
	assert_int_equal(f->members[1].received + f->members[2].received, 0);
	assert_int_equal(totals_of(f, 1).received + totals_of(f, 2).received, 0);
	assert_in_range(log_count(f, ""), 1, 12); /* many attempts, few lines */
}

static void open_two(struct fixture *f, const uint8_t *key1, const uint8_t *key2)
{
	open_member(f, 1, cluster_a, key1);
	open_member(f, 2, cluster_a, key2);
	introduce(f, 1, 2);
}

/* Who encrypts and who does not: whoever sees it first closes the connection, and only he can say why. */
static void refuse_one(struct fixture *f, const uint8_t *key1, const uint8_t *key2)
{
	static const char *const words[] = {"it encrypts, we do not", "it does not encrypt, we do"};
	unsigned said = 0;
	open_two(f, key1, key2);
	for (unsigned i = 0; !said && i < 2000; i++) {
		talk_in_vain(f);
		said = log_count(f, words[0]) + log_count(f, words[1]);
	}
	assert_true(said > 0);
	assert_nothing_passed(f);
}

static void test_another_key(void **state)
{
	struct fixture *f = *state;
	open_two(f, key_a, key_b);
	send_nonce(f, 1, 2, 1);
	expect_total(f, 2, COUNTER(refused_key), 1);
	assert_trouble(f, 2, "key");
	send_nonce(f, 2, 1, 1);
	expect_total(f, 1, COUNTER(refused_key), 2);
	assert_trouble(f, 1, "key");
	assert_nothing_passed(f);
	assert_in_range(log_count(f, "127.0.0.1: refused: it does not have this cluster's key"), 1, 2);
}

static void test_no_key_here(void **state)
{
	refuse_one(*state, NULL, key_a);
}

static void test_no_key_there(void **state)
{
	refuse_one(*state, key_a, NULL);
}

/* The public key is no secret: who knows it is asked for its own. */
static void test_the_public_key_is_not_enough(void **state)
{
	struct fixture *f = *state;
	char secret[41], public[41], own_secret[41], own_public[41];
	uint8_t server[32], client_public[32], client_secret[32];
	assert_non_null(zmq_z85_encode(secret, key_a, NET_KEY_BYTES));
	assert_int_equal(zmq_curve_public(public, secret), 0);
	assert_int_equal(zmq_curve_keypair(own_public, own_secret), 0);
	assert_true(zmq_z85_decode(server, public) && zmq_z85_decode(client_public, own_public) &&
		    zmq_z85_decode(client_secret, own_secret));
	open_pair(f, key_a);
	unsigned before = f->members[1].received;
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, server, client_public, client_secret);
	stranger_sends_envelope(&s, PROTOCOL_VERSION, cluster_a, 9, 1);
	expect_total(f, 1, COUNTER(refused_key), 1);
	assert_trouble(f, 1, "127.0.0.1: refused: it does not have this cluster's key");
	run_for(f, 100);
	assert_int_equal(f->members[1].received, before);
	stranger_free(&s);
	expect_talk(f, 2, 1);
}

/* A member that had another key for a moment is let in once it has the right one. */
static void test_a_key_can_be_put_right(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	send_nonce(f, 1, 2, 1);
	expect_total(f, 1, COUNTER(refused_key), 1);
	snprintf(address, sizeof address, "%s", net_address(f->members[2].net));
	close_member(f, 2);
	open_at(f, 2, address, cluster_a, key_a);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

/* ---- envelopes ---- */

static void refuse_envelope(struct fixture *f, uint32_t protocol, const uint8_t *cluster, uint64_t from, uint64_t to,
			    size_t counter, const char *words)
{
	open_pair(f, NULL);
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	unsigned before = f->members[1].received;
	for (unsigned i = 0; i < 100; i++)
		stranger_sends_envelope(&s, protocol, cluster, from, to);
	expect_total(f, 1, counter, 100);
	assert_trouble(f, 1, words);
	assert_int_equal(f->members[1].received, before);
	assert_int_equal(log_count(f, words), 1);
	stranger_free(&s);
	expect_talk(f, 2, 1);
	expect_talk(f, 1, 2);
}

static void test_another_cluster(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION, cluster_b, 9, 1, COUNTER(refused_cluster),
			"member 9 at 127.0.0.1: dropped: it belongs to another cluster");
}

static void test_for_another_member(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION, cluster_a, 9, 3, COUNTER(refused_cluster), "it takes us for another member");
}

static void test_from_this_very_member(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION, cluster_a, 1, 1, COUNTER(refused_cluster), "it calls itself this very member");
}

static void test_a_newer_protocol(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION + 1, cluster_a, 9, 1, COUNTER(refused_protocol),
			"it speaks a newer protocol; upgrade this member (its 2, ours 1)");
}

/* Who asks to join gets to be told why it cannot: the request is delivered, and noted. */
static void test_a_joiner_of_a_newer_protocol(void **state)
{
	static const char words[] = "cannot join: it speaks a newer protocol; upgrade this member first (its 2, ours 1)";
	struct fixture *f = *state;
	open_pair(f, NULL);
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	unsigned before = f->members[1].kinds[COORDFS__ENVELOPE__OF_JOIN_REQUEST];
	for (unsigned i = 0; i < 100; i++)
		stranger_asks_to_join(&s, PROTOCOL_VERSION + 1);
	expect_total(f, 1, COUNTER(refused_protocol), 100);
	assert_trouble(f, 1, words);
	assert_int_equal(f->members[1].kinds[COORDFS__ENVELOPE__OF_JOIN_REQUEST], before + 100);
	assert_int_equal(log_count(f, words), 1);
	stranger_free(&s);
	expect_talk(f, 2, 1);
}

static void test_no_protocol(void **state)
{
	refuse_envelope(*state, 0, cluster_a, 9, 1, COUNTER(refused_malformed), "none of coordfs's");
}

static void test_of_no_member(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION, cluster_a, 0, 1, COUNTER(refused_malformed), "no member");
}

static void test_of_no_cluster(void **state)
{
	refuse_envelope(*state, PROTOCOL_VERSION, NULL, 9, 1, COUNTER(refused_malformed), "no cluster");
}

static void test_each_sender_has_its_line(void **state)
{
	struct fixture *f = *state;
	open_pair(f, NULL);
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	for (unsigned from = 10; from < 200; from++)
		for (unsigned i = 0; i < 2; i++)
			stranger_sends_envelope(&s, PROTOCOL_VERSION, cluster_b, from, 1);
	expect_total(f, 1, COUNTER(refused_cluster), 380);
	assert_int_equal(log_count(f, "member 10 at 127.0.0.1: dropped"), 1);
	assert_int_equal(log_count(f, "member 11 at 127.0.0.1: dropped"), 1);
	assert_in_range(log_count(f, ""), 3, 40); /* all together no flood */
	stranger_free(&s);
}

/* ---- bytes ---- */

static void refuse_bytes(struct fixture *f, int type, const void *data, size_t size, const char *words)
{
	open_pair(f, NULL);
	struct stranger s = stranger_to(f, 1, type, NULL, NULL, NULL);
	unsigned before = f->members[1].received;
	stranger_send(&s, data, size, false);
	expect_total(f, 1, COUNTER(refused_malformed), 1);
	assert_trouble(f, 1, words);
	assert_int_equal(f->members[1].received, before);
	stranger_free(&s);
	expect_talk(f, 2, 1);
}

static void test_an_empty_message(void **state)
{
	refuse_bytes(*state, ZMQ_DEALER, "", 0, "127.0.0.1: dropped: a message that is none of coordfs's");
}

static void test_junk(void **state)
{
	refuse_bytes(*state, ZMQ_DEALER, "\xff\xff\xff\xff\xff\xff\xff junk", 12, "none of coordfs's");
}

static void test_a_request_socket(void **state)
{
	refuse_bytes(*state, ZMQ_REQ, "hello", 5, "several parts");
}

/* An envelope that would unpack to a hundred times its size: an AppendEntries of empty entries. */
static void test_a_bomb(void **state)
{
	const size_t count = 2 << 20, entries = 2 * count;
	uint8_t *bomb = malloc(entries + 64), *at = bomb;
	assert_non_null(bomb);
	*at++ = 0x08, *at++ = PROTOCOL_VERSION;
	for (unsigned level = 0; level < 2; level++) { /* Envelope.raft, RaftMessage.append_entries */
		size_t left = entries + (level == 0 ? 5 : 0);
		*at++ = level == 0 ? 0x52 : 0x0a;
		for (unsigned i = 0; i < 4; i++, left >>= 7)
			*at++ = (uint8_t)((left & 127) | (i < 3 ? 128 : 0));
	}
	for (size_t i = 0; i < count; i++)
		*at++ = 0x32, *at++ = 0x00;
	refuse_bytes(*state, ZMQ_DEALER, bomb, (size_t)(at - bomb), "none of coordfs's");
	free(bomb);
}

static void test_many_parts(void **state)
{
	struct fixture *f = *state;
	open_pair(f, NULL);
	unsigned before = f->members[1].received;
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	for (unsigned i = 0; i < 500; i++)
		stranger_send(&s, "part", 4, true);
	stranger_send(&s, "end", 3, false);
	expect_total(f, 1, COUNTER(refused_malformed), 1);
	stranger_sends_envelope(&s, PROTOCOL_VERSION, cluster_a, 9, 1); /* the next message is whole again */
	expect_received(f, 1, before + 1);
	assert_int_equal(f->members[1].last_from, 9);
	assert_int_equal(totals_of(f, 1).refused_malformed, 1);
	stranger_free(&s);
	expect_talk(f, 2, 1);
}

static void test_a_message_beyond_the_limit(void **state)
{
	struct fixture *f = *state;
	uint8_t *large = calloc(1, NET_MESSAGE_BYTES_MAX + (64 << 10));
	open_pair(f, NULL);
	struct stranger s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	unsigned before = f->members[1].received;
	stranger_send(&s, large, NET_MESSAGE_BYTES_MAX + (64 << 10), false);
	run_for(f, 200);
	expect_talk(f, 2, 1);
	assert_true(f->members[1].received > before);
	stranger_free(&s);
	free(large);
}

/* ---- what is no ZeroMQ ---- */

static int plain_connection(struct fixture *f, unsigned id)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port_of(net_address(f->members[id].net)))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void write_garbage(struct fixture *f, const uint8_t *key)
{
	const char *const greetings[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\xff", "\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", "\1\0\5abcde", "\0"};
	uint8_t noise[4096];
	unsigned seed = 12345;
	open_pair(f, key);
	for (unsigned round = 0; round < 60; round++) {
		const char *greeting = greetings[round % 5];
		int fd = plain_connection(f, 1);
		size_t size = round % 5 == 2 ? 17 : strlen(greeting) + 1;
		for (unsigned i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		send(fd, greeting, size, MSG_NOSIGNAL);
		send(fd, noise, 1 + seed % sizeof noise, MSG_NOSIGNAL);
		if (round % 3 == 0)
			run_for(f, 5);
		close(fd);
	}
	expect_talk(f, 2, 1);
	expect_talk(f, 1, 2);
	assert_int_equal(f->members[1].received, f->members[1].kinds[COORDFS__ENVELOPE__OF_READ_REQUEST]);
}

static void test_garbage(void **state)
{
	write_garbage(*state, NULL);
}

static void test_garbage_where_a_key_is_asked_for(void **state)
{
	write_garbage(*state, key_a);
}

/* Something else listens where a member is believed to be: told, and the member is found when it is there again. */
static void test_another_service_at_the_address(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;
	const int on = 1;
	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&a, &size);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%u", ntohs(a.sin_port));
	open_member(f, 1, cluster_a, key_a);
	assert_int_equal(net_set_peer(f->members[1].net, 2, address), OK);
	send_nonce(f, 1, 2, 1);
	connection = accept(fd, NULL, NULL);
	assert_true(connection >= 0);
	send(connection, "220 mail.example.com ESMTP, and more than a greeting of ZeroMQ needs, so that it is one\r\n", 87, MSG_NOSIGNAL);
	run_for(f, 300);
	assert_false(peer_of(f, 1, 2).connected);
	close(connection);
	close(fd);
	open_at(f, 2, address, cluster_a, key_a);
	expect_talk(f, 1, 2);
}

/* Whoever listens there says something, where a member only listens, and goes. */
static void test_somebody_who_answers(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	size_t size = sizeof address;
	void *context = zmq_ctx_new(), *listener = zmq_socket(context, ZMQ_ROUTER);
	uint8_t identity[256];
	int length = -1;
	open_pair(f, NULL);
	assert_int_equal(zmq_bind(listener, "tcp://127.0.0.1:*"), 0);
	assert_int_equal(zmq_getsockopt(listener, ZMQ_LAST_ENDPOINT, address, &size), 0);
	assert_int_equal(net_set_peer(f->members[1].net, 9, address), OK);
	for (unsigned i = 0; length < 0 && i < 500; i++) {
		send_nonce(f, 1, 9, i);
		run_for(f, 10);
		length = zmq_recv(listener, identity, sizeof identity, ZMQ_DONTWAIT);
	}
	assert_true(length > 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(zmq_send(listener, identity, (size_t)length, ZMQ_SNDMORE), length);
		assert_int_equal(zmq_send(listener, "what?", 5, 0), 5);
	}
	run_for(f, 1500);
	assert_int_equal(log_count(f, "no connection: it talks, where a member only listens"), 1);
	zmq_close(listener);
	zmq_ctx_term(context);
	run_for(f, 3000); /* in which the connection that is broken would have been pinged */
	expect_talk(f, 2, 1);
	expect_talk(f, 1, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_another_key),
		TEST(test_no_key_here),
		TEST(test_no_key_there),
		TEST(test_the_public_key_is_not_enough),
		TEST(test_a_key_can_be_put_right),
		TEST(test_another_cluster),
		TEST(test_for_another_member),
		TEST(test_from_this_very_member),
		TEST(test_a_newer_protocol),
		TEST(test_a_joiner_of_a_newer_protocol),
		TEST(test_no_protocol),
		TEST(test_of_no_member),
		TEST(test_of_no_cluster),
		TEST(test_each_sender_has_its_line),
		TEST(test_an_empty_message),
		TEST(test_junk),
		TEST(test_a_request_socket),
		TEST(test_a_bomb),
		TEST(test_many_parts),
		TEST(test_a_message_beyond_the_limit),
		TEST(test_garbage),
		TEST(test_garbage_where_a_key_is_asked_for),
		TEST(test_another_service_at_the_address),
		TEST(test_somebody_who_answers),
	};
	return cmocka_run_group_tests_name("net_refusals", tests, NULL, NULL);
}
