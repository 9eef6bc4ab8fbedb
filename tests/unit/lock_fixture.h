/* Lock commands for tests, over a machine of machine_fixture.h. The handle is the owner's number unless it is said. */
#ifndef COORDFS_TESTS_LOCK_FIXTURE_H
#define COORDFS_TESTS_LOCK_FIXTURE_H

#include "machine_fixture.h"

struct asked {
	uint64_t inode, start, end, owner, handle;
	uint32_t uid;
	enum lock_kind kind;
	enum lock_mode mode;
	bool wait;
};

struct reply lock_ask(struct fixture *f, const struct asked *what);
struct reply lock_withdraw(struct fixture *f, uint64_t waiter_sequence);
struct reply lock_release(struct fixture *f, uint64_t inode, uint64_t owner, uint64_t handle); /* LockDrop */
struct reply lock_take_away(struct fixture *f, uint64_t inode, uint64_t token);		      /* LockBreak */
struct reply lock_end_session(struct fixture *f, uint64_t session);

/* The locks on inode as text: holders, then waiters: "1x 2s[0-9] 3x[5-]?", by owner, range and mode. */
const char *lock_list(struct fixture *f, uint64_t inode);

#endif
