/* Room: net, its own files only.
 *
 *   net.c       open, close, the loop's turns
 *   socket.c    ZeroMQ sockets, their options and events
 *   address.c   tcp://HOST:PORT
 *   peer.c      who is sent to: the table of members and addresses, round trips
 *   link.c      one connection to send through
 *   receive.c   from a frame to an envelope, or to a refusal
 *   refusal.c   what was not accepted, told once
 *   curve.c     who is let in: CURVE and ZAP
 *   key.c       key files */
#ifndef COORDFS_NET_INTERNAL_H
#define COORDFS_NET_INTERNAL_H

#include <netdb.h>
#include <sys/socket.h>
#include <zmq.h>

#include "base/hash.h"
#include "net/net.h"

/* ---- address.c ---- */

enum address_kind { ADDRESS_ANY, ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_NAME };

struct address {
	enum address_kind kind;
	char host[NET_ADDRESS_BYTES]; /* without the brackets */
	uint16_t port;
};
/* NULL, or what is wrong with text. */
const char *address_parse(const char *text, struct address *out);
/* *, 0.0.0.0, [::]: all of the host's addresses. */
bool address_is_everywhere(const struct address *a);
/* NULL, or what is wrong: also when nobody can be reached there (everywhere, port 0). */
const char *address_parse_peer(const char *text, struct address *out);
/* tcp://HOST:PORT as ZeroMQ wants it, from a host that is no name. out: NET_ADDRESS_BYTES. */
void address_endpoint(const struct address *a, char *out);
/* From what getaddrinfo(3) found. */
void address_resolved(const struct sockaddr *found, socklen_t size, uint16_t port, struct address *out);

/* ---- socket.c ---- */


bool socket_set(void *socket, int option, int value);
bool socket_set_bytes(void *socket, int option, const void *value, size_t size);
int socket_fd(void *socket);
/* Whether a message could be sent. Lets the socket carry out what its I/O thread asked of it. */
bool socket_is_writable(void *socket);
/* What both kinds have in common: how dead links are noticed, what may come in. */
bool socket_set_common(void *socket, bool is_ipv6);
bool socket_set_heartbeat(void *socket, unsigned heartbeat_ms);

/* What the I/O thread tells of a socket's connections. */
struct monitor_event {
	uint16_t event; /* ZMQ_EVENT_… */
	uint32_t value;
};
void *monitor_new(void *context, void *socket, uint64_t number, int events);
bool monitor_next(void *monitor, struct monitor_event *out);

/* ---- refusal.c ---- */

/* The first four are counted in net_totals. */
enum refusal {
	REFUSED_KEY,
	REFUSED_CLUSTER,
	REFUSED_PROTOCOL,
	REFUSED_MALFORMED,
	REFUSED_UNREACHABLE, /* no refusal, but as much worth a line: a host that is not known, … */
	REFUSAL_KINDS,
};

#define REFUSALS_KNOWN 64
#define TROUBLE_BYTES 256
#define SENDER_BYTES 80

struct refusal_seen {
	enum refusal kind;
	char sender[SENDER_BYTES];
	uint64_t said_ms, times; /* said_ms 0: unused */
};

struct refusals {
	uint64_t count[REFUSAL_KINDS];
	struct refusal_seen seen[REFUSALS_KNOWN];
	uint64_t lines_since_ms;
	unsigned lines;
	char trouble[TROUBLE_BYTES];
	uint64_t trouble_ms; /* 0: none */
};
/* Count it, keep it as the last trouble, and write a line unless the same was said lately. */
void refusal_note(struct net *n, enum refusal kind, const char *sender, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
const char *refusals_trouble(const struct net *n);

/* ---- link.c ---- */

/* Bytes handed to a DEALER and not yet gone out. The I/O thread counts down, also after the link is gone. */
struct outbox;
/* One envelope on its way. */
struct packed;

#define WAITING_MAX 8u
#define ROUTING_ID_BYTES 64

struct link {
	struct net *net;
	struct link *next;
	struct address address;
	char text[NET_ADDRESS_BYTES]; /* the address, as given */
	uint8_t routing_id[ROUTING_ID_BYTES];
	size_t routing_id_size;
	bool is_patient; /* messages wait for the connection, however long; else only for the first one, a moment */

	void *dealer, *monitor; /* NULL: while the name is looked up */
	struct outbox *outbox;
	bool is_connected, was_connected;
	uint64_t made_ms, since_ms; /* since_ms: it was tried anew, or the connection ended */
	unsigned failed; /* handshakes in a row */
	unsigned turn;	 /* which of a name's addresses is next */
	unsigned retry_ms;
	uv_getaddrinfo_t lookup;
	bool is_looking_up, is_dead;

	struct packed *waiting[WAITING_MAX];
	unsigned waiting_count;
};

/* NULL: no memory. number: no other link of this kind has it (a member's is its number, for its successor's sake). */
struct link *link_new(struct net *n, const char *text, const struct address *address, bool is_patient, uint64_t number);
/* The link goes now; its memory when a lookup under way has ended. */
void link_close(struct link *l);
/* p is taken. */
bool link_send(struct link *l, struct packed *p);
void link_tick(struct link *l, uint64_t now_ms);
/* NULL: too big, or no memory. */
struct packed *packed_new(const Coordfs__Envelope *e);
size_t packed_size(const struct packed *p);

/* ---- peer.c ---- */

struct peer {
	UT_hash_handle hh;
	uint64_t member;
	struct address address;
	char text[NET_ADDRESS_BYTES];
	struct link *link; /* NULL: nothing was sent to it yet */
	uint64_t sent, received, dropped, sent_bytes, received_bytes;
	uint64_t used_ms, heard_ms; /* heard_ms: or when it was made known */
	uint64_t ping_nonce, ping_sent_ns, ping_sent_ms;
	uint64_t round_trip_us;
};

struct peer *peer_find(struct net *n, uint64_t member);
/* A message came from a member that may be a peer: it is likely to be answered. */
void peer_heard(struct net *n, uint64_t member, size_t size);
void peer_pinged(struct net *n, const Coordfs__Envelope *e);
void peer_ponged(struct net *n, const Coordfs__Envelope *e);
/* Duties of the moment. How long until they are due again. */
unsigned links_tick(struct net *n, uint64_t now_ms);
/* All links are made anew when they are next needed. */
void links_unlink(struct net *n);
void links_free(struct net *n);

/* ---- receive.c ---- */

/* One frame, the whole of a message, from whomever: delivered or refused. Borrowed. */
void receive_frame(struct net *n, zmq_msg_t *frame);
void receive_multipart(struct net *n, zmq_msg_t *frame);

/* ---- curve.c ---- */

struct curve {
	bool is_on;
	uint8_t public_key[NET_KEY_BYTES], secret_key[NET_KEY_BYTES];
};
int curve_init(struct curve *c, const uint8_t *key, char *error, size_t error_size);
void curve_fini(struct curve *c);
bool curve_set_server(const struct curve *c, void *socket);
bool curve_set_client(const struct curve *c, void *socket);
/* The socket where ZeroMQ asks whether somebody may come in. It must be there before a server is bound. */
void *zap_new(void *context);
/* Answer one question. False: there was none. */
bool zap_answer(struct net *n, void *zap);

/* ---- net.c ---- */

#define ACCEPTED_KNOWN 32u

/* Who came from where, for words about those who were sent away again. */
struct accepted {
	uint32_t fd;
	char from[SENDER_BYTES];
};

/* A socket that the loop watches. */
struct watch {
	struct net *net;
	void *socket;
	uv_poll_t poll;
	void (*readable)(struct net *n);
};

struct net {
	uv_loop_t *loop;
	const struct log *log;
	unsigned heartbeat_ms;
	void (*receive)(void *ctx, const Coordfs__Envelope *e);
	void *ctx;

	void *zmq; /* the context */
	struct curve curve;
	struct watch router, monitor, zap;
	uv_idle_t idle;	 /* active while messages are left for the next turn */
	uv_timer_t tick;
	unsigned frame;	 /* of the message that is being read: 0: the routing id, 1: the envelope, 2: what should not be */
	unsigned handles; /* open ones, and lookups under way */
	bool is_ready;	 /* net_open is through */
	bool is_closing;
	void (*closed)(void *ctx);
	void *closed_ctx;

	char address[NET_ADDRESS_BYTES];
	uint8_t cluster[16];
	uint64_t member;
	uint8_t process[16]; /* random */
	uint64_t number;     /* grows: monitors, pings */
	struct peer *peers;
	struct link *addresses;
	uint64_t sent, received, dropped;
	struct refusals refusals;
	struct accepted accepted[ACCEPTED_KNOWN];
	unsigned accepted_next;
	struct monitor_event failed; /* a handshake; its connection is named by the event after */
};

bool net_is_identified(const struct net *n);
/* A duty is due soon (a message waits for its connection). */
void net_hurry(struct net *n);
/* A handle or lookup has ended. */
void net_release(struct net *n);

#endif
