/* Room: machine, for lock*.c and their tests: the table of locks in memory. */
#ifndef COORDFS_MACHINE_LOCK_H
#define COORDFS_MACHINE_LOCK_H

#include "machine/internal.h"
#include "machine/lock_tree.h"

#define LOCK_END UINT64_MAX
#define LOCK_PROCESS_BYTES 16u /* what the kernel keeps of a command's name */

struct lock_file;

/* flock and fcntl do not see each other. */
enum lock_domain_name { DOMAIN_FLOCK, DOMAIN_FCNTL, DOMAINS };

/* The smallest and the largest byte of a subtree's locks; start > end: none. */
struct lock_hull {
	uint64_t start, end;
};

/* Someone who has or wants locks, by his number, which is the same on all hosts. */
struct lock_user {
	struct tree_node node; /* uid */
	uint32_t uid;
	uint64_t holders, waiters;
};

/* A holder (token != 0) or a waiter. */
struct lock {
	uint64_t number; /* of its record; among waiters: the place in the queue */
	uint64_t inode, start, end;
	uint64_t session, owner, handle, sequence, token;
	int64_t since_ns;
	uint32_t pid, uid;
	enum lock_kind kind;
	enum lock_mode mode;
	bool extends; /* a waiter whose owner held part of the range when it asked: it does not queue */
	bool is_ready;
	uint8_t process_size;
	uint8_t process[LOCK_PROCESS_BYTES];
	struct lock_file *file;
	struct lock_user *user; /* while it is in the indexes */

	/* Why a waiter waits: a lock that conflicts and comes before it. One is enough; when it goes, another is
	 * looked for. */
	struct lock *blocker;
	struct lock *dependents; /* whose blocker this is; a list */
	struct lock *next, **link;

	struct tree_node by_range;  /* file's holders, or waiters, of a domain: start, number */
	struct tree_node by_queue;  /* file's waiters of a domain: number */
	struct tree_node by_owner;  /* all: session, kind, owner, holders first, inode, start, number */
	struct tree_node by_handle; /* all: session, inode, handle, number */
	struct tree_node by_request; /* waiters: session, sequence */
	struct tree_node by_turn;   /* waiters to be looked at: number */

	/* Of the subtree by_range: the highest end, that of the exclusive ones, if there are any; the lowest number. */
	uint64_t end_max, end_max_exclusive, number_min;
	bool has_exclusive;
	/* Of the subtree by_queue. */
	struct lock_hull hull, hull_exclusive;

	struct lock *chain;   /* a list for the time of one operation */
	uint64_t search_seen; /* the last search for a cycle that came by */
};

struct lock_domain {
	struct tree_node *holders; /* by_range */
	struct tree_node *waiters; /* by_range */
	struct tree_node *queue;   /* by_queue */
};

/* A file that has locks. */
struct lock_file {
	struct tree_node node; /* inode */
	uint64_t inode, count;
	struct lock_domain domain[DOMAINS];
};

struct lock_table {
	struct tree_node *files;
	struct tree_node *users;
	struct tree_node *owners;   /* by_owner */
	struct tree_node *handles;  /* by_handle */
	struct tree_node *requests; /* by_request */
	struct tree_node *ready;    /* by_turn: waiters without a blocker, to be settled before the command ends */
	uint64_t holders, waiters;
	uint64_t holders_limit, waiters_limit;
	uint64_t user_holders_limit, user_waiters_limit; /* root has none */
	uint64_t searches;
};

extern const struct tree_type lock_file_type, lock_range_type, lock_queue_type, lock_owner_type, lock_handle_type,
	lock_request_type, lock_turn_type;

#define lock_of(node, member) ((node) ? tree_entry(node, struct lock, member) : NULL)

static inline bool lock_same_owner(const struct lock *a, const struct lock *b)
{
	return a->session == b->session && a->kind == b->kind && a->owner == b->owner;
}
static inline bool lock_overlap(const struct lock *a, const struct lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}
static inline bool lock_covers(const struct lock *a, const struct lock *b)
{
	return a->start <= b->start && b->end <= a->end;
}
/* Could not both be held. */
static inline bool lock_conflict(const struct lock *a, const struct lock *b)
{
	return lock_overlap(a, b) && !lock_same_owner(a, b) &&
	       (a->mode == LOCK_MODE_EXCLUSIVE || b->mode == LOCK_MODE_EXCLUSIVE);
}
static inline bool lock_is_waiter(const struct lock *l)
{
	return l->token == 0;
}
static inline enum lock_domain_name lock_domain_of(const struct lock *l)
{
	return l->kind == LOCK_KIND_FLOCK ? DOMAIN_FLOCK : DOMAIN_FCNTL;
}

/* ---- lock_table.c: the indexes, and the record of each lock ---- */

struct lock_file *lock_file_find(const struct lock_table *t, uint64_t inode);
/* The part of the table that a lock belongs to; it must have a file. */
struct lock_domain *lock_place(const struct lock *l);
/* A copy of what is asked and by whom, in no index; NULL: no memory. */
struct lock *lock_copy(const struct lock *from);
/* Into all indexes. 0, or ERR_NO_MEMORY: then it is in none. */
int lock_index(struct lock_table *t, struct lock *l);
/* Out of all indexes; those it blocks stay with it. Its file goes with its last lock. */
void lock_unindex(struct lock_table *t, struct lock *l);
/* The same with the record. lock_add owns l, lock_remove frees it and makes those it blocked ready. Negative: no memory,
 * or the record could not be written; the machine is void. */
int lock_add(struct context *c, struct lock *l);
int lock_remove(struct context *c, struct lock *l);
/* The record's content; it borrows from l. */
void lock_record(const struct lock *l, Coordfs__Lock *out);
/* For a probe: the first in lock_owner_type's order at or after it, and the one after. */
struct lock *lock_owner_from(const struct lock_table *t, const struct lock *probe);
struct lock *lock_owner_next(const struct lock_table *t, const struct lock *l);

/* ---- lock_user.c: how much each user has ---- */

/* Count l as its user's. 0 or ERR_NO_MEMORY. */
int lock_user_count(struct lock_table *t, struct lock *l);
void lock_user_uncount(struct lock_table *t, struct lock *l);
/* What all have together: that of the table, unless something is wrong. */
struct lock_user lock_user_sum(const struct lock_table *t);
/* What this user has; zeros when nothing. */
struct lock_user lock_user_of(const struct lock_table *t, uint32_t uid);

/* ---- lock_range.c: what an owner holds of a file, and who is in its way ---- */

/* A lock in a tree by_range that conflicts with `want` and has a number below `below`; NULL: none. */
struct lock *lock_find_conflict(struct tree_node *root, const struct lock *want, uint64_t below);
/* One that conflicts, which one differs from want to want: who waits for many does not all hang on the same. */
struct lock *lock_pick_conflict(struct tree_node *root, const struct lock *want);
/* Each that conflicts, until f returns true, which is returned. */
bool lock_each_conflict(struct tree_node *root, const struct lock *want, bool (*f)(void *ctx, struct lock *l),
			void *ctx);
/* The first lock that want's owner holds in want's file and range; NULL: none. */
struct lock *lock_held_part(const struct lock_table *t, const struct lock *want);
/* The lock that makes want a repetition: same mode and handle, covering it. NULL: none. */
struct lock *lock_held_whole(const struct lock_table *t, const struct lock *want);
/* Take want's range away from what its owner holds, which may leave a part on either side. */
int lock_range_clear(struct context *c, const struct lock *want);
/* l, in no index, becomes a holder by this entry, in place of whatever its owner holds in the range; neighbours of
 * the same mode and handle become one with it. Owns l. */
int lock_range_take(struct context *c, struct lock *l);

/* ---- lock_queue.c: who waits, for whom, and whose turn it is ---- */

/* The last waiter before place `below` that conflicts with want. */
struct lock *lock_queue_before(const struct lock_domain *d, const struct lock *want, uint64_t below);
/* What keeps want (a waiter, or a request with number UINT64_MAX) from being granted; NULL: nothing. */
struct lock *lock_find_blocker(const struct lock_domain *d, const struct lock *want);
void lock_block(struct lock *waiter, struct lock *blocker);
void lock_unblock(struct lock *waiter);
void lock_make_ready(struct lock_table *t, struct lock *waiter);
void lock_release_dependents(struct lock_table *t, struct lock *l);
/* Grant all that can be granted, in the order of their numbers. */
int lock_settle(struct context *c);

/* ---- lock_graph.c ---- */

/* Would waiting for `want` complete a cycle of owners that wait for each other? */
bool lock_would_deadlock(struct lock_table *t, const struct lock *want);

/* ---- lock_info.c ---- */

bool lock_walk(struct tree_node *root, bool (*f)(void *ctx, struct tree_node *n), void *ctx);

#endif
