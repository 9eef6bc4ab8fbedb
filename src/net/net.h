/* Room: net. Envelopes between members over ZeroMQ. It may touch base/, proto/, libzmq and libuv; it knows nothing
 * of what an envelope's content means.
 *
 * One ROUTER is bound and only receives; one DEALER for each peer only sends (made when the first envelope is sent
 * to it, taken down when it is removed). Messages may be lost, and come again in order on a connection that lives;
 * nobody here repeats one. Everything runs on the uv loop; ZeroMQ's own I/O thread does the rest.
 *
 * With a key all traffic is encrypted and authenticated by CURVE: every member has the same key pair, made from
 * the cluster's key; who does not have it gets nothing in and nothing out. */
#ifndef COORDFS_NET_NET_H
#define COORDFS_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/log.h"
#include "proto/coordfs.pb-c.h"

/* What is spoken. An envelope of a newer one is dropped, unless it is about joining, with one line in the log for
 * each sender. */
#define PROTOCOL_VERSION 1u
#define NET_KEY_BYTES 32
#define NET_ADDRESS_BYTES 256 /* tcp://HOST:PORT, with the NUL */
/* The largest envelope: an AppendEntries of one command of LIMIT_COMMAND_BYTES and some. Larger ones are refused. */
#define NET_MESSAGE_BYTES_MAX (20u << 20)

struct net;

struct net_config {
	const char *listen;	/* tcp://HOST:PORT; HOST may be a name, an IPv4 address, [IPv6] or *; PORT 0: any */
	const uint8_t *key;	/* NET_KEY_BYTES; NULL: not encrypted */
	const struct log *log;	/* borrowed; NULL: silent */
	unsigned heartbeat_ms;	/* dead links are noticed after about four of these, and 2 s; 0: 1000 */
	/* An envelope came in: of this cluster or of a joiner, for this member or for whoever listens. Borrowed. From
	 * the loop. It may send, and it may call net_close. */
	void (*receive)(void *ctx, const Coordfs__Envelope *e);
	void *ctx;
};

/* Bind and start. error: one line that says what is wrong (address in use, host unknown, …).
 * ERR_INVALID, ERR_BUSY (address in use), ERR_ACCESS, ERR_NOT_SUPPORTED (libzmq without CURVE), ERR_NO_MEMORY. */
int net_open(uv_loop_t *loop, const struct net_config *config, struct net **out, char *error, size_t error_size);

/* Close all sockets; done is called from the loop when the handles are closed, and n is freed after it. */
void net_close(struct net *n, void (*done)(void *ctx), void *ctx);

/* Who we are, for the envelopes sent and to tell whose come in. Before it: cluster and member 0, and only
 * JoinResult is received. cluster: 16 bytes, copied. */
void net_identify(struct net *n, const uint8_t cluster[16], uint64_t member);

/* Where a peer listens: new, or changed (then it is connected anew). "" removes it. ERR_INVALID, ERR_NO_MEMORY. */
int net_set_peer(struct net *n, uint64_t member, const char *address);
void net_remove_peer(struct net *n, uint64_t member);

/* Send e->of to a peer; protocol, cluster, from and to are filled in here. Packed at once: borrowed. Never waits:
 * false when the message was certainly not sent (no such peer, not connected, its queue full, too big). */
bool net_send(struct net *n, uint64_t member, Coordfs__Envelope *e);

/* The same to an address that is not a member's yet (joining). The connection is made on the first call and kept
 * until net_forget_addresses or net_close, and the envelope waits for it: at most a few. */
bool net_send_to_address(struct net *n, const char *address, Coordfs__Envelope *e);
void net_forget_addresses(struct net *n);

/* The address to tell others: as configured, with the port that was bound. Valid until net_close. */
const char *net_address(const struct net *n);

/* Is the text a usable address? what: "listen" or "join", for error. ERR_INVALID with a line in error. */
int net_address_check(const char *address, const char *what, char *error, size_t error_size);
/* Does it name a loopback host only (127.0.0.0/8, [::1], localhost)? */
bool net_address_is_loopback(const char *address);

/* Figures for people and metrics. */
struct net_peer_state {
	uint64_t member;
	const char *address;
	bool connected;
	uint64_t sent, received, dropped; /* messages */
	uint64_t sent_bytes, received_bytes;
	uint64_t round_trip_us; /* of the last ping; 0: none yet */
	uint64_t silent_ms;	/* since the last message from it */
};
void net_peers(struct net *n, void (*each)(void *ctx, const struct net_peer_state *peer), void *ctx);
struct net_totals {
	uint64_t sent, received, dropped;
	uint64_t refused_key;	    /* handshakes, theirs or ours */
	uint64_t refused_cluster;   /* of another cluster, or for another member */
	uint64_t refused_protocol;  /* newer */
	uint64_t refused_malformed;
	const char *trouble; /* the last refusal in plain words, for cluster/status, for a minute; NULL: none */
};
void net_totals(struct net *n, struct net_totals *out);

/* ---- the cluster's key ---- */

/* Read a key file: one line, "coordfs-key-1 " and 40 characters of Z85. It must be a regular file that neither group
 * nor others can read or write. ERR_ACCESS, ERR_NOT_FOUND, ERR_INVALID with a line in error. */
int net_key_read(const char *path, uint8_t key[NET_KEY_BYTES], char *error, size_t error_size);
/* Make a new random key in a new file of mode 0600; never overwrites. ERR_EXISTS, ERR_ACCESS, ERR_NO_SPACE. */
int net_key_write(const char *path, char *error, size_t error_size);

#endif
