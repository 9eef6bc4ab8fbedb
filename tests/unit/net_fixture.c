#include "net_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const uint8_t cluster_a[16] = "cluster-a-------", cluster_b[16] = "cluster-b-------";
const uint8_t key_a[NET_KEY_BYTES] = "the key of the cluster a.......", key_b[NET_KEY_BYTES] = "the key of another cluster.....";

/* ---- the loop ---- */

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

int net_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	uv_timer_init(&f->loop, &f->wake);
	uv_timer_start(&f->wake, on_wake, 5, 5);
	log_init(&f->log, "test");
	f->log.level = LOG_LEVEL_DEBUG;
	f->heartbeat_ms = 200;
	f->log.fd = f->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(f->log_fd >= 0);
	*state = f;
	return 0;
}

int net_teardown(void **state)
{
	struct fixture *f = *state;
	for (unsigned id = 1; id <= MEMBERS; id++)
		close_member(f, id);
	uv_close((uv_handle_t *)&f->wake, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	close(f->log_fd);
	free(f);
	return 0;
}

void run_until(struct fixture *f, condition is_so, void *ctx, const char *what)
{
	uint64_t deadline = uv_hrtime() + DEADLINE_MS * 1000000ull;
	while (!is_so(f, ctx)) {
		if (uv_hrtime() > deadline)
			fail_msg("not within %d ms: %s", DEADLINE_MS, what);
		uv_run(&f->loop, UV_RUN_ONCE);
	}
}

void run_for(struct fixture *f, unsigned ms)
{
	uint64_t end = uv_hrtime() + ms * 1000000ull;
	while (uv_hrtime() < end)
		uv_run(&f->loop, UV_RUN_ONCE);
}

/* ---- members ---- */

static void on_closed(void *ctx)
{
	struct member *m = ctx;
	m->net = NULL;
	m->is_closed = true;
}

static void on_receive(void *ctx, const Coordfs__Envelope *e)
{
	struct member *m = ctx;
	m->received++;
	m->kinds[e->of_case]++;
	m->last_from = e->from;
	if (e->of_case == COORDFS__ENVELOPE__OF_READ_REQUEST) {
		m->in_order = m->in_order && e->read_request->nonce > m->last_nonce;
		m->last_nonce = e->read_request->nonce;
	}
	if (e->of_case == COORDFS__ENVELOPE__OF_FORWARD && e->forward->n_entries) {
		m->last_bytes = e->forward->entries[0].len;
		m->forwards++;
	}
	if (m->closes_on_receive)
		net_close(m->net, on_closed, m);
	m->closes_on_receive = false;
}

void open_at(struct fixture *f, unsigned id, const char *listen, const uint8_t *cluster, const uint8_t *key)
{
	struct member *m = &f->members[id];
	char error[256] = "";
	const struct net_config config = {
		.listen = listen, .key = key, .log = &f->log, .heartbeat_ms = f->heartbeat_ms, .receive = on_receive, .ctx = m};
	int code;
	*m = (struct member){.fixture = f, .in_order = true};
	code = net_open(&f->loop, &config, &m->net, error, sizeof error);
	if (code != OK)
		fail_msg("net_open %s: %d %s", listen, code, error);
	if (cluster)
		net_identify(m->net, cluster, id);
}

void open_member(struct fixture *f, unsigned id, const uint8_t *cluster, const uint8_t *key)
{
	open_at(f, id, "tcp://127.0.0.1:0", cluster, key);
}

static bool member_is_closed(struct fixture *f, void *ctx)
{
	(void)f;
	return ((struct member *)ctx)->is_closed;
}

void close_member(struct fixture *f, unsigned id)
{
	struct member *m = &f->members[id];
	if (!m->net)
		return;
	net_close(m->net, on_closed, m);
	run_until(f, member_is_closed, m, "a net is closed");
}

void introduce(struct fixture *f, unsigned a, unsigned b)
{
	assert_int_equal(net_set_peer(f->members[a].net, b, net_address(f->members[b].net)), OK);
	assert_int_equal(net_set_peer(f->members[b].net, a, net_address(f->members[a].net)), OK);
}

/* ---- talk ---- */

bool send_nonce(struct fixture *f, unsigned from, unsigned to, uint64_t nonce)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__ReadRequest q = COORDFS__READ_REQUEST__INIT;
	e.of_case = COORDFS__ENVELOPE__OF_READ_REQUEST;
	e.read_request = &q;
	q.nonce = nonce;
	return net_send(f->members[from].net, to, &e);
}

struct talk {
	unsigned from, to, before;
	uint64_t nonce, sent, last_ns;
};

/* By the last that was sent: one on its way would be counted as whatever the test sends next. Once one has come, the
 * others get a second. */
static bool was_heard(struct fixture *f, void *ctx)
{
	struct talk *t = ctx;
	const struct member *to = &f->members[t->to];
	bool has_come = to->received > t->before;
	if (has_come && t->sent && to->last_nonce == t->sent)
		return true;
	if (uv_hrtime() >= t->last_ns + (has_come ? 1000000000 : 20000000)) {
		if (send_nonce(f, t->from, t->to, ++t->nonce))
			t->sent = t->nonce;
		t->last_ns = uv_hrtime();
	}
	return false;
}

void expect_talk(struct fixture *f, unsigned from, unsigned to)
{
	struct talk t = {from, to, f->members[to].received, f->members[to].last_nonce, 0, 0};
	run_until(f, was_heard, &t, "a member hears the other");
	assert_int_equal(f->members[to].last_from, from);
}

struct amount {
	unsigned id, at_least;
};

static bool has_received(struct fixture *f, void *ctx)
{
	struct amount *a = ctx;
	return f->members[a->id].received >= a->at_least;
}

void expect_received(struct fixture *f, unsigned id, unsigned at_least)
{
	struct amount a = {id, at_least};
	run_until(f, has_received, &a, "so many messages have come");
}

/* ---- figures ---- */

struct net_totals totals_of(struct fixture *f, unsigned id)
{
	struct net_totals t;
	net_totals(f->members[id].net, &t);
	return t;
}

struct look {
	uint64_t member;
	struct net_peer_state found;
};

static void look(void *ctx, const struct net_peer_state *peer)
{
	struct look *l = ctx;
	if (peer->member == l->member)
		l->found = *peer;
}

struct net_peer_state peer_of(struct fixture *f, unsigned id, unsigned peer)
{
	struct look l = {.member = peer};
	net_peers(f->members[id].net, look, &l);
	return l.found;
}

struct total {
	unsigned id;
	size_t which;
	uint64_t at_least;
};

static bool total_is_reached(struct fixture *f, void *ctx)
{
	struct total *t = ctx;
	struct net_totals totals = totals_of(f, t->id);
	uint64_t value;
	memcpy(&value, (char *)&totals + t->which, sizeof value);
	return value >= t->at_least;
}

void expect_total(struct fixture *f, unsigned id, size_t which, uint64_t at_least)
{
	struct total t = {id, which, at_least};
	char what[512];
	struct net_totals now = totals_of(f, id);
	snprintf(what, sizeof what, "member %u's figure %zu reaches %llu; before: key %llu, cluster %llu, protocol %llu, malformed %llu, %s", id,
		 which / sizeof(uint64_t), (unsigned long long)at_least, (unsigned long long)now.refused_key,
		 (unsigned long long)now.refused_cluster, (unsigned long long)now.refused_protocol,
		 (unsigned long long)now.refused_malformed, now.trouble ? now.trouble : "no trouble");
	run_until(f, total_is_reached, &t, what);
}

/* ---- strangers ---- */

struct stranger stranger_to(struct fixture *f, unsigned id, int type, const uint8_t *server_key,
			    const uint8_t *public_key, const uint8_t *secret_key)
{
	struct stranger s = {.zmq = zmq_ctx_new()};
	const int linger = 0;
	s.socket = zmq_socket(s.zmq, type);
	assert_non_null(s.socket);
	assert_int_equal(zmq_setsockopt(s.socket, ZMQ_LINGER, &linger, sizeof linger), 0);
	if (server_key) {
		assert_int_equal(zmq_setsockopt(s.socket, ZMQ_CURVE_SERVERKEY, server_key, 32), 0);
		assert_int_equal(zmq_setsockopt(s.socket, ZMQ_CURVE_PUBLICKEY, public_key, 32), 0);
		assert_int_equal(zmq_setsockopt(s.socket, ZMQ_CURVE_SECRETKEY, secret_key, 32), 0);
	}
	assert_int_equal(zmq_connect(s.socket, net_address(f->members[id].net)), 0);
	return s;
}

struct stranger stranger_at(const char *listen, int read_ahead, char endpoint[NET_ADDRESS_BYTES])
{
	struct stranger s = {.zmq = zmq_ctx_new()};
	size_t size = NET_ADDRESS_BYTES;
	s.socket = zmq_socket(s.zmq, ZMQ_ROUTER);
	assert_non_null(s.socket);
	assert_int_equal(zmq_setsockopt(s.socket, ZMQ_RCVHWM, &read_ahead, sizeof read_ahead), 0);
	assert_int_equal(zmq_bind(s.socket, listen), 0);
	assert_int_equal(zmq_getsockopt(s.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
	return s;
}

void stranger_free(struct stranger *s)
{
	zmq_close(s->socket);
	zmq_ctx_term(s->zmq);
}

void stranger_send(struct stranger *s, const void *data, size_t size, bool more)
{
	assert_int_equal(zmq_send(s->socket, data, size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)), size);
}

void stranger_sends_envelope(struct stranger *s, uint32_t protocol, const uint8_t *cluster, uint64_t from, uint64_t to)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__ReadRequest q = COORDFS__READ_REQUEST__INIT;
	uint8_t packed[256];
	e.protocol = protocol;
	e.cluster = (ProtobufCBinaryData){cluster ? 16 : 0, (uint8_t *)(uintptr_t)cluster};
	e.from = from;
	e.to = to;
	e.of_case = COORDFS__ENVELOPE__OF_READ_REQUEST;
	e.read_request = &q;
	q.nonce = 1;
	stranger_send(s, packed, coordfs__envelope__pack(&e, packed), false);
}

void stranger_asks_to_join(struct stranger *s, uint32_t protocol)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinRequest q = COORDFS__JOIN_REQUEST__INIT;
	uint8_t packed[256];
	e.protocol = protocol;
	e.of_case = COORDFS__ENVELOPE__OF_JOIN_REQUEST;
	e.join_request = &q;
	q.address = "tcp://127.0.0.1:1";
	stranger_send(s, packed, coordfs__envelope__pack(&e, packed), false);
}

unsigned log_count(struct fixture *f, const char *text)
{
	static char all[1 << 16];
	ssize_t size = pread(f->log_fd, all, sizeof all - 1, 0);
	unsigned count = 0;
	char *at = all;
	assert_true(size >= 0);
	all[size] = '\0';
	for (char *line = strsep(&at, "\n"); line; line = strsep(&at, "\n"))
		count += strstr(line, text) != NULL;
	return count;
}

uint16_t port_of(const char *address)
{
	return (uint16_t)atoi(strrchr(address, ':') + 1);
}
