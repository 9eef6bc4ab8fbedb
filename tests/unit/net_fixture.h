/* Up to three members on one loop, each with what it received; and what a stranger can send to their ports. */
#ifndef COORDFS_TESTS_UNIT_NET_FIXTURE_H
#define COORDFS_TESTS_UNIT_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zmq.h>

#include "net/net.h"

#define MEMBERS 3
#define DEADLINE_MS 20000

struct member {
	struct fixture *fixture;
	struct net *net; /* NULL: not open */
	bool is_closed;
	unsigned received;
	unsigned kinds[32]; /* by of_case */
	uint64_t last_from, last_nonce; /* of read requests: the tests' payload */
	bool in_order;
	size_t last_bytes; /* of a forward's first entry */
	uint64_t forwards;
	bool closes_on_receive;
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t wake; /* so that conditions and deadlines are looked at */
	struct log log;
	int log_fd; /* an unlinked file */
	unsigned heartbeat_ms; /* of those opened next; 200 */
	struct member members[MEMBERS + 1]; /* [1] is member 1 */
};

extern const uint8_t cluster_a[16], cluster_b[16], key_a[NET_KEY_BYTES], key_b[NET_KEY_BYTES];

int net_setup(void **state);
int net_teardown(void **state);

/* Open member `id` as one of a cluster (NULL: of none yet). */
void open_at(struct fixture *f, unsigned id, const char *listen, const uint8_t *cluster, const uint8_t *key);
void open_member(struct fixture *f, unsigned id, const uint8_t *cluster, const uint8_t *key); /* 127.0.0.1, any port */
void close_member(struct fixture *f, unsigned id);
/* Each knows the other's address. */
void introduce(struct fixture *f, unsigned a, unsigned b);

/* Turn the loop until it is so, or fail after DEADLINE_MS. */
typedef bool (*condition)(struct fixture *f, void *ctx);
void run_until(struct fixture *f, condition is_so, void *ctx, const char *what);
void run_for(struct fixture *f, unsigned ms);

bool send_nonce(struct fixture *f, unsigned from, unsigned to, uint64_t nonce);
/* Send until it arrives: a connection takes a moment, and the first messages may be lost. */
void expect_talk(struct fixture *f, unsigned from, unsigned to);
void expect_received(struct fixture *f, unsigned id, unsigned at_least);

struct net_totals totals_of(struct fixture *f, unsigned id);
struct net_peer_state peer_of(struct fixture *f, unsigned id, unsigned peer);
/* Until the counter of member id reaches at_least; which: offset of a field of net_totals. */
void expect_total(struct fixture *f, unsigned id, size_t which, uint64_t at_least);
/* ---- a stranger: a bare ZeroMQ socket in this process ---- */

struct stranger {
	void *zmq, *socket;
};
/* Who goes to member id's port. server_key NULL: unencrypted; else with the key pair given (binary). */
struct stranger stranger_to(struct fixture *f, unsigned id, int type, const uint8_t *server_key,
			    const uint8_t *public_key, const uint8_t *secret_key);
/* Whom others may take for a member: a ROUTER. endpoint: what to tell them. */
struct stranger stranger_at(const char *listen, int read_ahead, char endpoint[NET_ADDRESS_BYTES]);
void stranger_free(struct stranger *s);
void stranger_send(struct stranger *s, const void *data, size_t size, bool more);
/* An envelope with what is given, and a read request inside. */
void stranger_sends_envelope(struct stranger *s, uint32_t protocol, const uint8_t *cluster, uint64_t from, uint64_t to);
void stranger_asks_to_join(struct stranger *s, uint32_t protocol);

unsigned log_count(struct fixture *f, const char *text); /* lines with it */
uint16_t port_of(const char *address);

#endif
