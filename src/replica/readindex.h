/* Room: replica, a pure part of it (see proposals.h). Linearizable reads without writing to the log: ReadIndex
 * (Ongaro, "Consensus: Bridging Theory and Practice", 6.4), without any assumption about clocks.
 *
 * A member that wants to read asks the leader for an index (ReadRequest). The leader notes its term T and its commit
 * index, then asks the voters for their terms (Probe). When a majority of the voters, itself included, has answered
 * with exactly T, after the request was received, and it still leads in T with an entry of T committed, no other
 * leader can have acknowledged anything before the request that is not in that index. The reader waits until it has
 * applied the index. One request serves all reads that wait when it is sent, one probe all requests that wait when
 * it is sent; whoever comes later waits for the next one.
 *
 * The same round renews sessions: see lease.h. */
#ifndef COORDFS_REPLICA_READINDEX_H
#define COORDFS_REPLICA_READINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROBE_AGAIN_MS = 100,
	REQUEST_MS = 3000,
	ASK_AGAIN_MS = 500,
	PROBER_REQUESTS_MAX = 16384, /* beyond it requests are dropped */
};

/* ---- the leader's half ---- */

struct probe_port {
	void *ctx;
	/* Ask one voter (not this member) for its term. May be lost. */
	void (*probe)(void *ctx, uint64_t voter, uint64_t nonce, uint64_t term);
	/* The answer for a request of member `from` (this member included): index, or a negative code. */
	void (*answer)(void *ctx, uint64_t from, uint64_t nonce, uint64_t session, uint64_t index, int code);
};

struct prober;
struct prober *prober_new(const struct probe_port *port, uint64_t self); /* NULL: no memory */
void prober_free(struct prober *p);

/* This member leads in `term` and an entry of that term is committed (false: not, or not yet; then all that wait
 * are answered ERR_NO_QUORUM if it does not lead, and keep waiting if only the commit is missing). voters: of the
 * newest configuration, copied. Call it whenever one of them changes. */
struct leadership {
	bool leads;    /* in term */
	bool settled;  /* an entry of term is committed and was applied here */
	uint64_t term;
	const uint64_t *voters;
	size_t voter_count;
};
void prober_set(struct prober *p, const struct leadership *now);
/* Kept up to date by the owner: the index that is committed at this moment. */
void prober_set_commit(struct prober *p, uint64_t commit_index);

void prober_request(struct prober *p, uint64_t from, uint64_t nonce, uint64_t session, uint64_t now_ms);
void prober_result(struct prober *p, uint64_t voter, uint64_t nonce, uint64_t term, uint64_t now_ms);
/* A round that waits at a tick asks all, and again every PROBE_AGAIN_MS those that have not answered; a request that is
 * older than REQUEST_MS is dropped without an answer (whoever asked asks again). */
void prober_tick(struct prober *p, uint64_t now_ms);
bool prober_busy(const struct prober *p);
/* For how long somebody waits and nobody was answered; and why, for people. */
struct probe_state {
	bool settled;
	size_t voters, answered; /* in this round */
};
uint64_t prober_waits_ms(const struct prober *p, struct probe_state *out);
uint64_t prober_rounds(const struct prober *p); /* since it was made, for metrics */

/* ---- the reader's half ---- */

struct reader_port {
	void *ctx;
	/* Ask the leader for an index. False: certainly not sent. The result never comes from within. */
	bool (*request)(void *ctx, uint64_t leader, uint64_t nonce);
};

struct reader;
/* seed: a random number, so that no answer to a former start of this member is taken for one of ours. Nonces are even;
 * those of renewals (lease.h) are odd. NULL: no memory. */
struct reader *reader_new(const struct reader_port *port, unsigned timeout_ms, uint64_t seed);
void reader_free(struct reader *r);

void reader_set_leader(struct reader *r, uint64_t leader, uint64_t now_ms); /* 0: unknown */
/* ready: exactly once, OK or ERR_NO_QUORUM after the timeout, never from within this call. At that moment the state
 * that is applied here is linearizable for this read. */
void reader_add(struct reader *r, void (*ready)(void *ctx, int code), void *ctx, uint64_t now_ms);
void reader_result(struct reader *r, uint64_t nonce, uint64_t index, int code, uint64_t now_ms);
/* Everything up to index is applied: whoever waits for it is told. Cheap when no one does. */
void reader_applied(struct reader *r, uint64_t index);
/* What was sent at sent_ms was answered with this index, in whatever way: all that was acknowledged before is in it. */
void reader_news(struct reader *r, uint64_t sent_ms, uint64_t index);
/* The latest time up to which everything that had been acknowledged is known to be applied here; 0: none yet. */
uint64_t reader_current_ms(const struct reader *r);
/* Asks again after ASK_AGAIN_MS; times out. When there has been no leader for as long as the timeout, nobody waits. */
void reader_tick(struct reader *r, uint64_t now_ms);
void reader_fail(struct reader *r, int code); /* everybody */
bool reader_busy(const struct reader *r);

#endif
