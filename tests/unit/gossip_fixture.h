/* Several members' eventual levels in one process, and what carries their messages: with losses, cuts, and what was long
 * on its way. */
#ifndef COORDFS_TESTS_GOSSIP_FIXTURE_H
#define COORDFS_TESTS_GOSSIP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gossip/gossip.h"

enum { MEMBERS = 24, ROOT = 20, DEADLINE_S = 60, LATE = 4096 };

struct letter {
	struct letter *next;
	uint64_t from, to;
	unsigned run; /* the receiver's, when it was sent */
	size_t size;
	uint8_t data[];
};

struct world {
	uv_loop_t loop;
	struct letter *letters, **last;
	struct letter *late[LATE]; /* with keeps_late: the last ones that were delivered, or lost */
	struct member {
		struct world *w;
		struct gossip *g; /* NULL: it does not run */
		char directory[64];
		unsigned run;
		uint64_t ahead_ms; /* of its clock; modulo 2^64 */
		bool is_member;
	} members[MEMBERS + 1]; /* from 1 */
	bool cut[MEMBERS + 1][MEMBERS + 1];
	bool keeps_late;
	unsigned loss_percent, count, changes;
	uint64_t news_ms, hold_ms; /* 0: as usual */
	bool (*root_is_gone)(void *ctx, uint64_t root);
	uint64_t sent, letters_sent;
};

extern const struct gossip_owner world_owner;

/* Members 1 to count; world_begin starts them. */
struct world *world_new(unsigned count);
struct world *world_begin(unsigned count);
void world_end(struct world *w);
void world_start(struct world *w, unsigned i);
void world_stop(struct world *w, unsigned i);
/* All that run are told who is a member. */
void world_tell_members(struct world *w);
/* One turn of the loop; what was sent is delivered. */
void world_turn(struct world *w);
/* One of the late letters comes once more. */
void world_repeat(struct world *w);
void world_isolate(struct world *w, unsigned i, bool yes);

/* A gossip_done that wants 0 and counts *ctx down; finish waits for 0. */
void world_done(void *ctx, int code);
void world_finish(struct world *w, const unsigned *left);

/* To a counter below ROOT, which is made if need be. */
void world_add(struct world *w, unsigned i, const char *path, int64_t amount);
bool world_holds(struct world *w, unsigned i, const char *path, int64_t value); /* and knows that all have it */

#endif
