/* net: envelopes between members that may talk, on one loop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/limits.h"
#include "net_fixture.h"

/* ---- talk ---- */

static void test_three_members_talk(void **state)
{
	struct fixture *f = *state;
	for (unsigned id = 1; id <= 3; id++)
		open_member(f, id, cluster_a, NULL);
	introduce(f, 1, 2);
	introduce(f, 2, 3);
	introduce(f, 3, 1);
	for (unsigned from = 1; from <= 3; from++)
		for (unsigned to = 1; to <= 3; to++)
			if (from != to)
				expect_talk(f, from, to);
	for (unsigned id = 1; id <= 3; id++)
		assert_null(totals_of(f, id).trouble);
}

static void test_they_talk_with_a_key(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, cluster_a, key_a);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
	assert_null(totals_of(f, 1).trouble);
	assert_null(totals_of(f, 2).trouble);
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

static void test_they_talk_over_ipv6(void **state)
{
	struct fixture *f = *state;
	if (!has_ipv6()) {
		print_message("skipped: this host has no ::1\n");
		skip();
	}
	open_at(f, 1, "tcp://[::1]:0", cluster_a, key_a);
	open_at(f, 2, "tcp://[::1]:0", cluster_a, key_a);
	assert_non_null(strstr(net_address(f->members[1].net), "tcp://[::1]:"));
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

static void test_a_name_is_looked_up(void **state)
{
	struct fixture *f = *state;
	open_at(f, 1, "tcp://localhost:0", cluster_a, NULL);
	open_at(f, 2, "tcp://localhost:0", cluster_a, NULL);
	assert_non_null(strstr(net_address(f->members[1].net), "tcp://localhost:"));
	assert_int_not_equal(port_of(net_address(f->members[1].net)), 0);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

static void test_a_name_s_other_address_is_tried(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL); /* at 127.0.0.1 alone; localhost may be ::1 first */
	snprintf(address, sizeof address, "tcp://localhost:%u", port_of(net_address(f->members[2].net)));
	assert_int_equal(net_set_peer(f->members[1].net, 2, address), OK);
	expect_talk(f, 1, 2);
}

static void test_a_new_link_loses_nothing(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	assert_true(send_nonce(f, 1, 2, 1)); /* the very first: there is no connection yet */
	assert_true(send_nonce(f, 1, 2, 2));
	expect_received(f, 2, 2);
	assert_true(f->members[2].in_order);
}

static void test_order_is_kept(void **state)
{
	struct fixture *f = *state;
	const unsigned count = 20000;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	unsigned before = f->members[2].received;
	for (unsigned i = 0; i < count; i++)
		while (!send_nonce(f, 1, 2, 1000 + i))
			uv_run(&f->loop, UV_RUN_NOWAIT);
	expect_received(f, 2, before + count);
	assert_true(f->members[2].in_order);
	assert_int_equal(f->members[2].received, before + count);
}

static bool send_bytes(struct fixture *f, unsigned from, unsigned to, size_t size)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__Forward content = COORDFS__FORWARD__INIT;
	ProtobufCBinaryData entry = {size, calloc(1, size)};
	bool sent;
	assert_non_null(entry.data);
	content.n_entries = 1;
	content.entries = &entry;
	e.of_case = COORDFS__ENVELOPE__OF_FORWARD;
	e.forward = &content;
	sent = net_send(f->members[from].net, to, &e);
	free(entry.data);
	return sent;
}

static void send_the_largest_command(struct fixture *f, const uint8_t *key)
{
	open_member(f, 1, cluster_a, key);
	open_member(f, 2, cluster_a, key);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	unsigned before = f->members[2].received;
	assert_true(send_bytes(f, 1, 2, LIMIT_COMMAND_BYTES));
	expect_received(f, 2, before + 1);
	assert_int_equal(f->members[2].last_bytes, LIMIT_COMMAND_BYTES);
	assert_false(send_bytes(f, 1, 2, NET_MESSAGE_BYTES_MAX)); /* with what is around it, too large */
	expect_talk(f, 1, 2);
}

static void test_the_largest_command_passes(void **state)
{
	send_the_largest_command(*state, NULL);
}

static void test_the_largest_command_passes_encrypted(void **state)
{
	send_the_largest_command(*state, key_a);
}

/* ---- joining ---- */

static bool ask_to_join(struct fixture *f, unsigned id, const char *address)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinRequest q = COORDFS__JOIN_REQUEST__INIT;
	e.of_case = COORDFS__ENVELOPE__OF_JOIN_REQUEST;
	e.join_request = &q;
	q.address = (char *)(uintptr_t)net_address(f->members[id].net);
	return net_send_to_address(f->members[id].net, address, &e);
}

static bool answer_joiner(struct fixture *f, unsigned id, const char *address)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinResult r = COORDFS__JOIN_RESULT__INIT;
	e.of_case = COORDFS__ENVELOPE__OF_JOIN_RESULT;
	e.join_result = &r;
	return net_send_to_address(f->members[id].net, address, &e);
}

static void test_a_joiner_asks_and_is_answered(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, NULL, key_a);
	assert_true(ask_to_join(f, 2, net_address(f->members[1].net)));
	expect_received(f, 1, 1); /* the first waited for the connection */
	assert_int_equal(f->members[1].kinds[COORDFS__ENVELOPE__OF_JOIN_REQUEST], 1);
	assert_int_equal(f->members[1].last_from, 0);
	assert_true(answer_joiner(f, 1, net_address(f->members[2].net)));
	expect_received(f, 2, 1);
	assert_int_equal(f->members[2].kinds[COORDFS__ENVELOPE__OF_JOIN_RESULT], 1);
	net_identify(f->members[2].net, cluster_a, 2);
	net_forget_addresses(f->members[1].net);
	net_forget_addresses(f->members[2].net);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

static void test_a_joiner_waits_for_who_is_not_there_yet(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	open_member(f, 1, cluster_a, NULL);
	snprintf(address, sizeof address, "%s", net_address(f->members[1].net));
	close_member(f, 1);
	open_member(f, 2, NULL, NULL);
	for (unsigned i = 0; i < 100; i++)
		assert_true(ask_to_join(f, 2, address));
	run_for(f, 300);
	open_at(f, 1, address, cluster_a, NULL);
	expect_received(f, 1, 1);
	run_for(f, 50);
	assert_in_range(f->members[1].received, 1, 10); /* a few were kept, not a hundred */
}

static void test_a_joiner_hears_results_only(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, NULL, NULL);
	open_member(f, 3, NULL, NULL);
	assert_int_equal(net_set_peer(f->members[1].net, 2, net_address(f->members[2].net)), OK);
	for (unsigned i = 0; i < 5; i++) {
		send_nonce(f, 1, 2, i + 1);
		ask_to_join(f, 3, net_address(f->members[2].net)); /* another joiner */
	}
	answer_joiner(f, 1, net_address(f->members[2].net));
	expect_received(f, 2, 1);
	run_for(f, 100);
	assert_int_equal(f->members[2].received, f->members[2].kinds[COORDFS__ENVELOPE__OF_JOIN_RESULT]);
	assert_null(totals_of(f, 2).trouble);
}

/* ---- peers that come and go ---- */

static void test_a_peer_comes_back(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, cluster_a, key_a);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	for (unsigned round = 0; round < 3; round++) {
		snprintf(address, sizeof address, "%s", net_address(f->members[2].net));
		close_member(f, 2);
		open_at(f, 2, address, cluster_a, key_a);
		introduce(f, 1, 2);
		expect_talk(f, 1, 2);
		expect_talk(f, 2, 1);
	}
}

static void test_a_peer_comes_back_elsewhere(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	close_member(f, 2);
	open_at(f, 2, "tcp://127.0.0.2:0", cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
}

static bool is_not_connected(struct fixture *f, void *ctx)
{
	(void)ctx;
	return !peer_of(f, 1, 2).connected;
}

static bool is_connected(struct fixture *f, void *ctx)
{
	return !is_not_connected(f, ctx);
}

static void test_who_is_gone_is_not_sent_to(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	run_until(f, is_connected, NULL, "the peer is connected");
	close_member(f, 2);
	run_until(f, is_not_connected, NULL, "the peer is not connected any more");
	assert_false(send_nonce(f, 1, 2, 77));
	assert_true(peer_of(f, 1, 2).dropped >= 1);
	net_remove_peer(f->members[1].net, 2);
	assert_false(send_nonce(f, 1, 2, 78));
	assert_int_equal(net_set_peer(f->members[1].net, 2, ""), OK);
	assert_int_equal(net_set_peer(f->members[1].net, 2, "tcp://*:7400"), ERR_INVALID);
	assert_int_equal(net_set_peer(f->members[1].net, 2, "nowhere"), ERR_INVALID);
}

/* A process that takes every message, whose connection lives when it does not. */
static pid_t start_listener(char endpoint[NET_ADDRESS_BYTES])
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		struct stranger s = stranger_at("tcp://127.0.0.1:*", 0, endpoint);
		char byte;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(ends[1], endpoint, NET_ADDRESS_BYTES) != NET_ADDRESS_BYTES)
			_exit(1);
		for (;;)
			zmq_recv(s.socket, &byte, 1, 0);
	}
	assert_true(child > 0);
	assert_int_equal(read(ends[0], endpoint, NET_ADDRESS_BYTES), NET_ADDRESS_BYTES);
	close(ends[0]);
	close(ends[1]);
	return child;
}

static void test_a_silent_connection_is_noticed(void **state)
{
	struct fixture *f = *state;
	char endpoint[NET_ADDRESS_BYTES] = "";
	pid_t child = start_listener(endpoint);
	open_member(f, 1, cluster_a, NULL);
	assert_int_equal(net_set_peer(f->members[1].net, 2, endpoint), OK);
	send_nonce(f, 1, 2, 1);
	run_until(f, is_connected, NULL, "the peer is connected");
	kill(child, SIGSTOP);
	uint64_t begin = uv_hrtime();
	run_until(f, is_not_connected, NULL, "the stopped peer is missed");
	assert_true(uv_hrtime() - begin < 10000000000ull);
	kill(child, SIGCONT);
	run_until(f, is_connected, NULL, "the peer is connected again");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static bool has_round_trip(struct fixture *f, void *ctx)
{
	unsigned *peer = ctx;
	send_nonce(f, 1, *peer, f->members[*peer].last_nonce + 1);
	return peer_of(f, 1, *peer).round_trip_us != 0;
}

static void test_figures(void **state)
{
	struct fixture *f = *state;
	unsigned peer = 2;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	run_until(f, has_round_trip, &peer, "a ping is answered");
	struct net_peer_state at1 = peer_of(f, 1, 2), at2 = peer_of(f, 2, 1);
	assert_true(at1.round_trip_us < 5000000);
	assert_string_equal(at1.address, net_address(f->members[2].net));
	assert_true(at1.connected && at1.sent > 0 && at1.received > 0 && at1.sent_bytes > 20 * at1.sent);
	assert_true(at2.received > 0 && at2.received_bytes > 20 * at2.received && at2.silent_ms < 5000);
	assert_int_equal(f->members[2].kinds[COORDFS__ENVELOPE__OF_PING], 0); /* net's own */
	assert_true(totals_of(f, 1).sent >= at1.sent);
	run_for(f, 300);
	assert_true(peer_of(f, 2, 1).silent_ms >= 100 || peer_of(f, 2, 1).received > at2.received);
}

/* ---- queues and turns ---- */

static void test_a_full_queue_is_bounded(void **state)
{
	struct fixture *f = *state;
	const size_t size = 256 << 10;
	char endpoint[NET_ADDRESS_BYTES];
	struct stranger s = stranger_at("tcp://127.0.0.1:*", 1, endpoint); /* it does not read */
	size_t sent = 0;
	f->heartbeat_ms = 20000; /* the silent one is not given up meanwhile */
	open_member(f, 1, cluster_a, NULL);
	assert_int_equal(net_set_peer(f->members[1].net, 2, endpoint), OK);
	send_nonce(f, 1, 2, 1);
	run_until(f, is_connected, NULL, "the peer is connected");
	for (unsigned quiet = 0; quiet < 20; quiet++) { /* until the kernel's buffers are full, too */
		while (send_bytes(f, 1, 2, size)) {
			sent += size;
			quiet = 0;
		}
		run_for(f, 10);
	}
	assert_in_range(sent, 16u << 20, 64u << 20);
	assert_false(send_nonce(f, 1, 2, 2) && send_bytes(f, 1, 2, size));
	while (!send_bytes(f, 1, 2, size)) { /* it reads: there is room again */
		char part[64];
		zmq_recv(s.socket, part, sizeof part, ZMQ_DONTWAIT);
		run_for(f, 1);
	}
	stranger_free(&s);
}

static void test_a_full_queue_of_small_ones_is_bounded(void **state)
{
	struct fixture *f = *state;
	char endpoint[NET_ADDRESS_BYTES];
	struct stranger s = stranger_at("tcp://127.0.0.1:*", 1, endpoint);
	unsigned sent = 0;
	f->heartbeat_ms = 20000;
	open_member(f, 1, cluster_a, key_a); /* the stranger does not encrypt: nothing gets out */
	open_member(f, 3, cluster_a, NULL);
	assert_int_equal(net_set_peer(f->members[1].net, 2, endpoint), OK);
	assert_int_equal(net_set_peer(f->members[3].net, 2, endpoint), OK);
	send_nonce(f, 1, 2, 1);
	send_nonce(f, 3, 2, 1);
	run_for(f, 1200);
	assert_false(send_nonce(f, 1, 2, 2));
	for (unsigned quiet = 0; quiet < 20; quiet++) {
		while (send_bytes(f, 3, 2, 1000)) {
			sent++;
			quiet = 0;
		}
		run_for(f, 10);
	}
	assert_in_range(sent, 1000, 40000);
	stranger_free(&s);
}

struct turns {
	uv_prepare_t prepare;
	struct member *member;
	unsigned count, seen, most;
};

static void on_turn(uv_prepare_t *handle)
{
	struct turns *t = handle->data;
	unsigned got = t->member->received - t->seen;
	t->seen = t->member->received;
	t->most = got > t->most ? got : t->most;
	t->count++;
}

static void turns_start(struct fixture *f, struct turns *t, unsigned id)
{
	*t = (struct turns){.member = &f->members[id], .seen = f->members[id].received};
	uv_prepare_init(&f->loop, &t->prepare);
	t->prepare.data = t;
	uv_prepare_start(&t->prepare, on_turn);
}

static void turns_stop(struct fixture *f, struct turns *t)
{
	uv_close((uv_handle_t *)&t->prepare, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void test_a_turn_takes_so_much(void **state)
{
	struct fixture *f = *state;
	struct stranger s;
	struct turns t;
	const unsigned count = 1500;
	open_member(f, 1, cluster_a, NULL);
	s = stranger_to(f, 1, ZMQ_DEALER, NULL, NULL, NULL);
	stranger_sends_envelope(&s, PROTOCOL_VERSION, cluster_a, 9, 1);
	expect_received(f, 1, 1);
	for (unsigned i = 1; i < count / 2; i++)
		stranger_sends_envelope(&s, PROTOCOL_VERSION, cluster_a, 9, 1);
	usleep(100000); /* not for the loop, which does not turn: the I/O threads have most of it by then */
	turns_start(f, &t, 1);
	expect_received(f, 1, count / 2);
	assert_in_range(t.most, 1, 128);
	turns_stop(f, &t);
	stranger_free(&s);
}

static void test_silence_costs_nothing(void **state)
{
	struct fixture *f = *state;
	struct turns t;
	open_member(f, 1, cluster_a, key_a);
	open_member(f, 2, cluster_a, key_a);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	expect_talk(f, 2, 1);
	run_for(f, 50);
	uv_timer_set_repeat(&f->wake, 100);
	uv_timer_again(&f->wake);
	turns_start(f, &t, 1);
	run_for(f, 1000);
	assert_in_range(t.count, 1, 60); /* our ten, four ticks, pings, heartbeats */
	turns_stop(f, &t);
}

/* ---- the end ---- */

static void test_it_closes_with_everything_outstanding(void **state)
{
	struct fixture *f = *state;
	char endpoint[NET_ADDRESS_BYTES];
	struct stranger s = stranger_at("tcp://127.0.0.1:*", 1, endpoint);
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	net_set_peer(f->members[1].net, 4, endpoint);
	net_set_peer(f->members[1].net, 5, "tcp://no-such-host.invalid:7400");
	net_set_peer(f->members[1].net, 6, "tcp://localhost:1");
	net_set_peer(f->members[1].net, 7, "tcp://192.0.2.1:7400"); /* nobody answers there */
	for (unsigned i = 0; i < 300; i++) {
		send_bytes(f, 1, 4, 128 << 10);
		for (unsigned to = 2; to <= 7; to++)
			send_nonce(f, 1, to, i);
		ask_to_join(f, 1, "tcp://localhost:1");
		ask_to_join(f, 1, "tcp://no-such-host.invalid:7401");
		if (i % 100 == 50)
			uv_run(&f->loop, UV_RUN_ONCE);
	}
	close_member(f, 1);
	stranger_free(&s);
}

static void test_the_receiver_may_close(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	introduce(f, 1, 2);
	expect_talk(f, 1, 2);
	for (unsigned i = 0; i < 100; i++)
		send_nonce(f, 1, 2, 100 + i);
	unsigned before = f->members[2].received;
	f->members[2].closes_on_receive = true;
	expect_received(f, 2, before + 1);
	while (!f->members[2].is_closed)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(f->members[2].received, before + 1);
}

static void refuse_to_open(struct fixture *f, const char *listen, int code, const char *why)
{
	char error[256] = "";
	struct net_config config = {.listen = listen, .log = &f->log};
	struct net *n;
	assert_int_equal(net_open(&f->loop, &config, &n, error, sizeof error), code);
	assert_null(n);
	if (!strstr(error, why) || !strstr(error, listen))
		fail_msg("%s: %s", listen, error);
}

static void test_what_cannot_be_opened(void **state)
{
	struct fixture *f = *state;
	open_member(f, 1, cluster_a, NULL);
	refuse_to_open(f, net_address(f->members[1].net), ERR_BUSY, "another program listens there");
	refuse_to_open(f, "tcp://192.0.2.1:7400", ERR_INVALID, "does not have that address");
	refuse_to_open(f, "tcp://no-such-host.invalid:7400", ERR_INVALID, "does not have that address");
	refuse_to_open(f, "tcp://127.0.0.1", ERR_INVALID, "port is missing");
}

static void test_listening_everywhere(void **state)
{
	struct fixture *f = *state;
	char address[NET_ADDRESS_BYTES];
	open_at(f, 1, "tcp://*:0", cluster_a, NULL);
	open_member(f, 2, cluster_a, NULL);
	assert_int_not_equal(port_of(net_address(f->members[1].net)), 0);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port_of(net_address(f->members[1].net)));
	assert_int_equal(net_set_peer(f->members[2].net, 1, address), OK);
	expect_talk(f, 2, 1);
	assert_int_equal(log_count(f, "no other member can reach this one there"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_three_members_talk),
		TEST(test_they_talk_with_a_key),
		TEST(test_they_talk_over_ipv6),
		TEST(test_a_name_is_looked_up),
		TEST(test_a_name_s_other_address_is_tried),
		TEST(test_a_new_link_loses_nothing),
		TEST(test_order_is_kept),
		TEST(test_the_largest_command_passes),
		TEST(test_the_largest_command_passes_encrypted),
		TEST(test_a_joiner_asks_and_is_answered),
		TEST(test_a_joiner_waits_for_who_is_not_there_yet),
		TEST(test_a_joiner_hears_results_only),
		TEST(test_a_peer_comes_back),
		TEST(test_a_peer_comes_back_elsewhere),
		TEST(test_who_is_gone_is_not_sent_to),
		TEST(test_a_silent_connection_is_noticed),
		TEST(test_figures),
		TEST(test_a_full_queue_is_bounded),
		TEST(test_a_full_queue_of_small_ones_is_bounded),
		TEST(test_a_turn_takes_so_much),
		TEST(test_silence_costs_nothing),
		TEST(test_it_closes_with_everything_outstanding),
		TEST(test_the_receiver_may_close),
		TEST(test_what_cannot_be_opened),
		TEST(test_listening_everywhere),
	};
	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
