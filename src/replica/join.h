/* Room: replica, a pure part of it (see proposals.h). How a member gets into a cluster.
 *
 * The joiner asks the addresses it was given, one after another and again, until a leader has let it in, a member
 * has refused it for good, or its patience ends. A member that does not lead says where the leader listens; that one
 * is asked next. Asking again is harmless: the token tells a repeat from another member of that name.
 *
 * The other half is what a member answers. The answer goes to the address that the joiner listens at. */
#ifndef COORDFS_REPLICA_JOIN_H
#define COORDFS_REPLICA_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"

/* ---- the joiner's half; all times are milliseconds of one clock that does not jump ---- */

#define JOIN_ADDRESSES_MAX 64

struct joiner_port {
	void *ctx;
	/* Send a JoinRequest to this address, with `asked` = address. False: it is of no use. */
	bool (*ask)(void *ctx, const char *address);
	/* What the network has to say if nobody answers ("it does not have this cluster's key"); NULL, also of the
	 * function itself: nothing. */
	const char *(*trouble)(void *ctx);
};

enum joiner_state {
	JOINER_ASKS,
	JOINER_IN,   /* the result just given says OK: cluster, id and members are in it */
	JOINER_FAILED, /* refused, or nobody answered in time: joiner_text() */
};

struct joiner;
/* addresses: with '+' between, borrowed. ERR_INVALID with one line in error: none, too many, too long; ERR_NO_MEMORY. */
int joiner_new(const char *addresses, unsigned patience_ms, const struct joiner_port *port, uint64_t now_ms,
	       struct joiner **out, char *error, size_t error_size);
void joiner_free(struct joiner *j);

/* Ask whom it is time to ask. It asks through the port only from here. */
enum joiner_state joiner_run(struct joiner *j, uint64_t now_ms);
/* An answer came in: borrowed. After JOINER_IN or JOINER_FAILED all others are ignored. */
enum joiner_state joiner_result(struct joiner *j, const Coordfs__JoinResult *result, uint64_t now_ms);
/* Until joiner_run has something to do; UINT64_MAX: never. */
uint64_t joiner_sleep_ms(const struct joiner *j, uint64_t now_ms);
/* Why it failed: one line for the user. */
const char *joiner_text(const struct joiner *j);

/* ---- the member's half ---- */

struct join_view {
	struct machine *machine;    /* NULL: it has no state yet */
	bool leads;		    /* with an entry of its own term committed */
	const char *own_address;
	const char *leader_address; /* of the leader that it knows, if it does not lead; NULL: it knows none */
	unsigned protocol;	    /* of the envelope that the request came in, and our own: */
	unsigned own_protocol;
};

enum join_decision {
	JOIN_IGNORE,  /* there is no address to send an answer to */
	JOIN_ANSWER,  /* send *out. If its code is OK add the cluster, the members and this member's name */
	JOIN_PROPOSE, /* propose MemberAdd (id 0) for it, and send *out, by which it asks again */
};
/* *out points into the arguments and at constants; free nothing. */
enum join_decision join_decide(const struct join_view *view, const Coordfs__JoinRequest *request,
			       Coordfs__JoinResult *out);

#endif
