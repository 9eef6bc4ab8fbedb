/* Room: replica, a pure part of it (see proposals.h). The leader's view of who votes: from the members that the state
 * names and libraft's configuration, the next single change of the configuration. No clock, no I/O, no memory.
 *
 * The leader asks again when a change is committed, when a change of members is applied, and now and then; only while
 * no change is under way, and not before an entry of its own term is committed (a change of the configuration is safe
 * only then). Each change adds or takes one vote at most.
 *
 * What it aims at:
 *   - Everybody in the state is in the configuration and receives the log; who is not goes.
 *   - Two members: two voters. Else the largest odd number, at most `voters`, that members can be found for who are
 *     live and caught up; those who vote stay before others come.
 *   - A wish is obeyed: whoever wishes to vote votes, beyond `voters` too, and whoever wishes to stand by does not;
 *     but somebody votes always.
 *   - A voter that was silent for replace_ms gives its vote to a live standby, if there is one: that one comes first.
 *     Whatever it wishes; it gets its vote back when it returns. One that cannot be replaced stays: it may return.
 *   - After each change a majority of the voters is live. The leader itself is never demoted or removed: it hands
 *     over first, and its successor does it. */
#ifndef COORDFS_REPLICA_PLAN_H
#define COORDFS_REPLICA_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"

/* As libraft numbers them. */
enum plan_role { PLAN_STANDBY, PLAN_VOTER, PLAN_SPARE };

struct plan_member {
	uint64_t id;
	bool in_state; /* it is a member, with this wish: */
	enum member_wish wish;
	bool in_configuration; /* libraft knows it, in this role: */
	enum plan_role role;
	uint64_t silent_ms; /* since it was last heard of; since this leader leads, if not once; of itself: any */
	uint64_t lag;	    /* entries that it lacks of those committed */
};

struct plan {
	const struct plan_member *members; /* each id once */
	size_t count;
	uint64_t self;	     /* who leads */
	unsigned voters;     /* at most, but for wishes; at least 1 */
	uint64_t live_ms;    /* silent for less: live. Some heartbeats */
	uint64_t replace_ms; /* silent for so long: to be replaced. More than live_ms */
	uint64_t lag_max;    /* with more it does not get a vote */
};

enum plan_kind {
	PLAN_NONE,   /* all is well, or nothing more can be done now */
	PLAN_ADD,    /* id to the configuration, as a spare */
	PLAN_FOLLOW, /* id, a spare, becomes a standby */
	PLAN_VOTE,   /* id, a standby, becomes a voter */
	PLAN_DEMOTE, /* id, a voter, becomes a standby */
	PLAN_REMOVE, /* id from the configuration */
	PLAN_LEAVE,  /* hand the leadership to id */
};
struct plan_action {
	enum plan_kind kind;
	uint64_t id;
	const char *why; /* for the log: "it was silent for too long"; static */
};

struct plan_action plan_next(const struct plan *p);

/* How many vote of so many that could. */
unsigned plan_voters(size_t candidates, unsigned voters);

#endif
