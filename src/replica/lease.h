/* Room: replica, a pure part of it (see proposals.h). Sessions live as long as they are renewed.
 *
 * The holder (struct holder) asks the leader to renew its session every third of the ttl, by a ReadRequest that
 * names it. It counts from when it SENT the request whose answer came: after ttl without one the session is lost,
 * whatever the leader may think. The leader (struct keeper) counts from when it RECEIVED the request, ttl plus a
 * margin (a quarter of it, at least half a second): so the holder gives up first, always, as long as two clocks
 * of this kind run at rates that differ by less than the margin. Both use CLOCK_BOOTTIME, which goes on while a
 * machine is suspended.
 *
 * A renewal is answered only after the leader has confirmed its term by a majority, after it was received
 * (readindex.h). So a leader that was replaced without knowing it renews nothing; and a new leader grants every
 * session a full term anew, from the moment it leads: later than any renewal its predecessor confirmed. */
#ifndef COORDFS_REPLICA_LEASE_H
#define COORDFS_REPLICA_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- the holder's half; all times are CLOCK_BOOTTIME in milliseconds ---- */

struct holder {
	unsigned ttl_ms;
	bool held;	     /* there is a session, and it is not lost */
	uint64_t renewed_ms; /* when the last renewal that was answered had been sent */
	uint64_t asked_ms;   /* when the last one was sent; 0: none */
	uint64_t nonce;	     /* of the newest request */
	struct {
		uint64_t nonce, sent_ms;
	} asked[8]; /* those that may still be answered, a ring */
};
/* seed: a random number, as reader_new's; nonces are odd. ttl 0: the session does not expire. */
void holder_init(struct holder *h, unsigned ttl_ms, uint64_t seed);
/* SessionOpen's entry was applied here; it was proposed at sent_ms: when it was FIRST sent, for any of the times that
 * it was sent may be the one that the leader knows the session from. */
void holder_begin(struct holder *h, uint64_t sent_ms);
void holder_end(struct holder *h);
/* Is it time to ask? Then *nonce is to be sent, with the session. */
bool holder_wants(struct holder *h, uint64_t now_ms, uint64_t *nonce);
bool holder_renewed(struct holder *h, uint64_t nonce); /* false: that is no news */
/* True once, when the time is over: everything held is lost from now on. */
bool holder_lost(struct holder *h, uint64_t now_ms);
/* How long it holds at least, as far as it knows now: 0: it does not; UINT64_MAX: it does not expire. */
uint64_t holder_left_ms(const struct holder *h, uint64_t now_ms);
/* Milliseconds until holder_wants or holder_lost may say something new; UINT64_MAX: never. */
uint64_t holder_sleep_ms(const struct holder *h, uint64_t now_ms);

/* ---- the leader's half ---- */

struct keeper;
struct keeper *keeper_new(void); /* NULL: no memory */
void keeper_free(struct keeper *k);
/* It leads from now on: all that is known of renewals is forgotten, every session gets a full term. */
void keeper_lead(struct keeper *k, uint64_t now_ms);
/* A session exists in the state: with this ttl. Repeated calls are fine. 0 or ERR_NO_MEMORY. */
int keeper_know(struct keeper *k, uint64_t session, unsigned ttl_ms, uint64_t now_ms);
void keeper_forget(struct keeper *k, uint64_t session); /* it ended */
/* False: there is no such session, or its end was proposed (keeper_expired returned it): then the request must not be
 * answered with OK, for the holder would believe in it. Call it when the answer is about to be sent. */
bool keeper_renew(struct keeper *k, uint64_t session, uint64_t now_ms);
/* The next session whose time is over, 0: none. It is returned again after a second, until it is forgotten. Its end may
 * be proposed in the present term only: a later leader has granted it a new one. */
uint64_t keeper_expired(struct keeper *k, uint64_t now_ms);
unsigned keeper_margin_ms(unsigned ttl_ms);

#endif
