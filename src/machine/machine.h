/* Room: machine, the replicated state machine. It may touch base/, proto/ and its store port; it knows
 * no clock, no I/O, no randomness. Equal logs give equal state, byte for byte, on every member.
 *
 * The outside uses it in three ways: machine_apply() for each committed log entry, in order;
 * view_*() to read (the present, an earlier revision, or a transaction's overlay); image_*() to
 * save and load everything. */
#ifndef COORDFS_MACHINE_MACHINE_H
#define COORDFS_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "machine/port.h"
#include "proto/coordfs.pb-c.h"

#define ENTRY_FORMAT 1u

/* Inodes that every cluster has. Further trees get numbers below INODE_FIRST. */
enum {
	INODE_ROOT = 1,
	INODE_LOCKS = 2,
	INODE_COUNTERS = 3,
	INODE_FILES = 4,
	INODE_FENCES = 5,
	INODE_FIRST = 256,
};
/* Numbers of objects that a transaction made and that are not committed: at least this. */
#define INODE_TEMPORARY (1ull << 43)
#define INODE_LIMIT (1ull << 44)

enum inode_kind { KIND_FILE = 1, KIND_DIRECTORY, KIND_SYMLINK, KIND_COUNTER, KIND_FENCE };
/* How an object is read and written; what is made in a directory takes its level. UNSET: nobody has said it, which
 * means strong. */
enum consistency { CONSISTENCY_UNSET, CONSISTENCY_STRONG, CONSISTENCY_WEAK, CONSISTENCY_EVENTUAL };
enum attr_mask {
	ATTR_MODE = 1,
	ATTR_UID = 2,
	ATTR_GID = 4,
	ATTR_SIZE = 8,
	ATTR_ATIME = 16,
	ATTR_MTIME = 32,
	ATTR_ATIME_NOW = 64, /* the entry's time */
	ATTR_MTIME_NOW = 128,
};
enum counter_request_kind { COUNTER_SET, COUNTER_ADD, COUNTER_CAS };
enum lock_kind { LOCK_KIND_FLOCK = 1, LOCK_KIND_POSIX, LOCK_KIND_OFD };
enum lock_mode { LOCK_MODE_UNLOCK, LOCK_MODE_SHARED, LOCK_MODE_EXCLUSIVE };
/* Atomic commitment among programs (vote.c). */
enum vote_protocol { VOTE_2PC = 2, VOTE_3PC = 3 };
enum vote_phase { VOTE_OPEN, VOTE_PREPARE, VOTE_PRECOMMIT, VOTE_COMMIT, VOTE_ABORT };
enum vote_answer { VOTE_SILENT, VOTE_YES, VOTE_NO };
enum vote_action {
	VOTE_ACTION_MAKE = 1,
	VOTE_ACTION_REMOVE,
	VOTE_ACTION_SET_PROTOCOL,
	VOTE_ACTION_SET_TIMEOUT,
	VOTE_ACTION_REGISTER,
	VOTE_ACTION_PREPARE,
	VOTE_ACTION_CAST,
	VOTE_ACTION_ACKNOWLEDGE,
	VOTE_ACTION_ABORT,
	VOTE_ACTION_EXPIRE, /* the cluster's own: the phase has lasted too long */
};
enum member_wish { MEMBER_AUTO, MEMBER_VOTER, MEMBER_STANDBY };
#define MEMBER_NAME_MAX 64u
enum guard_kind { GUARD_ENTRY = 1, GUARD_CONTENT, GUARD_NAMES };

/* The answer to a command. What value, inode and size mean:
 *   create, link: inode; rename: -; write: size = file's new size, value = offset written at
 *   counter: value = the result of the last request; fence: value = highest token
 *   lock: granted: value = token; code QUEUED: the grant comes as an event; inode = number of the lock
 *   lock_cancel: OK: it was still waiting and is withdrawn; NOT_FOUND: granted or gone before
 *   vote: value = its number
 *   session_open: value = the session; member_add: value = the member's number; commit: revision = where it took place */
struct reply {
	int code; /* enum coordfs_error */
	int64_t value;
	uint64_t inode;
	uint64_t revision; /* the entry's index */
	uint64_t size;
	char text[200]; /* why, in plain words; empty when the code says it all */
};

/* What an applied entry brings about beyond its reply. Borrowed, valid during the call. */
enum event_type {
	EVENT_GRANT = 1,   /* session's waiting LockRequest `sequence` got the lock, with `token` */
	EVENT_DENY,	   /* session's waiting LockRequest `sequence` ended without it: `code` */
	EVENT_LOSS,	   /* session lost the lock `token` on inode, taken through `handle` by `owner` (broken) */
	EVENT_SESSION_END, /* session is over: all it held is gone */
	EVENT_CHANGE,	   /* inode's content or attributes changed at `revision` */
	EVENT_ENTRY,	   /* name in directory inode came (child != 0; its own attributes have changed too), went
			    * (child == 0) or was replaced: so changed the directory's attributes */
	EVENT_VOTE,	   /* the vote `inode` came, changed, or is about to go */
};
struct event {
	enum event_type type;
	uint64_t session, sequence, token, inode, child, revision, handle, owner;
	int code;
	struct bytes name;
};

/* What the machine tells and asks of its surroundings, during machine_apply only. Must not change the
 * machine. Any of them may be NULL. */
struct machine_observer {
	void *ctx;
	void (*event)(void *ctx, const struct event *event);
	/* The inode loses its last name in this entry, by `session`'s doing; its records are still readable
	 * through machine_view() and are deleted when this returns. */
	void (*before_gone)(void *ctx, uint64_t inode, uint64_t session);
	void (*log)(void *ctx, const char *line); /* what an administrator should know (a broken lock) */
};

struct machine;

/* A machine over an empty store (borrowed, must outlive it). The first SessionOpen makes the top directories
 * (its owner's, mode 1777): before it there is nothing, not even a root. ERR_NO_MEMORY: *out is NULL. */
int machine_new(struct store *base, const struct machine_observer *observer, struct machine **out);
void machine_free(struct machine *m);

/* Apply the committed entry at index. entry: packed Entry, borrowed. reply is always filled in; for a
 * repeated (session, sequence) it is the first one. Bytes that are no entry, or a newer format: reply code
 * ERR_INVALID, state unchanged but for the index. A command that needs more than machine_level, or that is not known:
 * ERR_NOT_SUPPORTED, likewise (level.h). MemberAdd, MemberSet, MemberRemove and
 * ClusterReset come in entries of session 0 and sequence 0; no session may give them (ERR_INVALID). Returns 0, or a negative code when
 * the state could not be written (environment: stop serving; the machine must then be rebuilt). */
int machine_apply(struct machine *m, uint64_t index, struct bytes entry, struct reply *reply);

uint64_t machine_applied(const struct machine *m);  /* index of the last entry applied */
uint64_t machine_time_ns(const struct machine *m);  /* its time */
/* The cluster's level (level.h): that of the oldest program among its members. A program below it must not go on: its
 * state is no longer what the others have. */
uint32_t machine_level(const struct machine *m);
void machine_set_applied(struct machine *m, uint64_t index); /* entries of the engine's own */

/* The figures of Meta at this moment, state_hash included: equal for equal state, whatever way a member
 * came to it. Cheap. */
void machine_meta(const struct machine *m, Coordfs__Meta *out);

/* Check every invariant (directory counts and links, lock queues, sessions, votes); calls fail with a sentence
 * for each breach. Slow, for tests. Returns the number of breaches. */
unsigned machine_check(struct machine *m, void (*fail)(void *ctx, const char *what), void *ctx);

/* ---- reading ---- */

struct view {
	struct store *store;
	struct machine *machine; /* for what is not in the store: locks, sessions */
};
struct view machine_view(struct machine *m);

struct attr {
	enum inode_kind kind;
	uint32_t mode, uid, gid, nlink;
	uint64_t inode, size; /* size: of a file's content or a link's target; counters: 0 (see front) */
	int64_t atime_ns, mtime_ns, ctime_ns, created_ns;
	uint64_t created, modified, content; /* revisions */
	uint64_t tree, parent, entries;
	int64_t value, min, max;
	bool has_min, has_max, has_xattrs;
	enum consistency consistency;
};
/* ERR_NOT_FOUND when there is no such inode. */
int view_attr(struct view v, uint64_t inode, struct attr *out);
/* ERR_NOT_FOUND, ERR_NOT_DIRECTORY. "." and ".." are not known here. kind may be NULL. */
int view_lookup(struct view v, uint64_t parent, struct bytes name, uint64_t *inode, enum inode_kind *kind);
/* Bytes of a file's content from offset; *got may be less than size at the end. ERR_NOT_FOUND. */
int view_read(struct view v, uint64_t inode, uint64_t offset, size_t size, void *buffer, size_t *got);
/* Link target, without a final NUL; ERR_NOT_FOUND, ERR_INVALID (no link), ERR_RANGE (buffer too small). */
int view_target(struct view v, uint64_t inode, char *buffer, size_t size, size_t *got);
/* Entries after cookie (0: from the start), in the order made, until each returns non-zero. Entries that
 * stay are given once, whatever is added or removed between calls. */
struct view_entry {
	struct bytes name;
	uint64_t inode, cookie;
	enum inode_kind kind;
};
int view_readdir(struct view v, uint64_t inode, uint64_t cookie,
		 int (*each)(void *ctx, const struct view_entry *entry), void *ctx);
/* The packed Xattrs record, unpacked; *out is NULL when there is none; free with
 * coordfs__xattrs__free_unpacked(out, NULL). */
int view_xattrs(struct view v, uint64_t inode, Coordfs__Xattrs **out);
/* The path of an inode below the mount ("locks/a/b"), by its last names; "inode N" when it has none any
 * more. Returns buffer. */
const char *view_path(struct view v, uint64_t inode, char *buffer, size_t size);

/* ---- locks, sessions, outcomes: for `.info`, `cluster/`, F_GETLK ---- */

struct lock_info {
	uint64_t number, inode, session, owner, handle, sequence, token, start, end;
	enum lock_kind kind;
	enum lock_mode mode;
	uint32_t pid, uid;
	int64_t since_ns;
	struct bytes process;
	const char *member;
	uint64_t position; /* machine_locks: of a waiter, in the file's queue of its family, from 1; else 0 */
};
/* Holders (token != 0) in order of token, then waiters in queue order, until each returns non-zero.
 * inode 0: of all inodes. Borrowed during the call. */
void machine_locks(struct machine *m, uint64_t inode, int (*each)(void *ctx, const struct lock_info *lock),
		   void *ctx);
/* F_GETLK: the first lock that keeps `want` (session, owner, kind, mode, start, end) from being granted;
 * false when none does. */
bool machine_lock_conflict(struct machine *m, uint64_t inode, const struct lock_info *want, struct lock_info *out);
/* How many who wait already are in the way of `want`, as far as `count`. */
unsigned machine_lock_ahead(struct machine *m, uint64_t inode, const struct lock_info *want, unsigned count);
struct lock_totals {
	uint64_t holders, waiters;
};
struct lock_totals machine_lock_totals(struct machine *m);

struct session_info {
	uint64_t session;
	const char *member;
	int64_t opened_ns;
	uint32_t ttl_ms;   /* 0: it does not expire */
	uint64_t bindings; /* lock files that go with it */
};
void machine_sessions(struct machine *m, int (*each)(void *ctx, const struct session_info *s), void *ctx);
bool machine_session_alive(struct machine *m, uint64_t session);

/* The cluster's members, by number, until each returns non-zero. Borrowed during the call. */
#define MEMBER_TOKEN_BYTES 16
#define MEMBER_ADDRESS_BYTES 255u
struct member_info {
	uint64_t id;
	const char *name, *address;
	uint8_t token[MEMBER_TOKEN_BYTES];
	enum member_wish wish;
	int64_t added_ns;
	uint32_t level; /* of its program, as it said last */
};
void machine_members(struct machine *m, int (*each)(void *ctx, const struct member_info *member), void *ctx);
uint64_t machine_member_named(struct machine *m, const char *name); /* its number; 0: there is none */
/* A member's name is a file name below cluster/members, and a word in reports. */
bool machine_member_name_is_valid(const char *name);
/* Its address: "tcp://" and more, no blanks; or "", it listens to nobody. */
bool machine_member_address_is_valid(const char *address);

/* The recorded end of the transaction `name` begun by `member` (NULL: the latest under that name).
 * ERR_NOT_FOUND; free with coordfs__outcome__free_unpacked(out, NULL). */
int machine_outcome(struct machine *m, const char *name, const char *member, Coordfs__Outcome **out);

/* ---- votes ---- */

/* Borrowed until the next machine_apply; NULL: there is none. */
const Coordfs__Vote *machine_vote(struct machine *m, uint64_t number);
uint64_t machine_vote_named(struct machine *m, struct bytes name); /* its number; 0: there is none */
/* By number, those above `after`, until each returns non-zero. */
void machine_votes(struct machine *m, uint64_t after,
		   int (*each)(void *ctx, uint64_t number, const Coordfs__Vote *vote), void *ctx);
/* Is there one whose phase must end by some time? */
bool machine_votes_timed(struct machine *m);
/* Those that are to be ended, for their phase has lasted too long at this time: into numbers, `count` at most. Returns how
 * many. */
size_t machine_votes_due(struct machine *m, int64_t now_ns, uint64_t *numbers, size_t count);
static inline bool vote_is_decided(const Coordfs__Vote *vote)
{
	return vote->phase == VOTE_COMMIT || vote->phase == VOTE_ABORT;
}

/* ---- images: every record of the base store, and the Meta of that moment ---- */

/* Load: machine_load_begin on a machine over an EMPTY store (no genesis), a machine_load for each record
 * of the image in any order (it also puts the record into the store), then machine_load_end, which
 * rebuilds the indexes and checks meta->state_hash, records and state_bytes: ERR_CORRUPT when they do
 * not agree. */
int machine_load_begin(struct store *base, const struct machine_observer *observer, struct machine **out);
int machine_load(struct machine *m, struct bytes key, struct bytes value);
int machine_load_end(struct machine *m, const Coordfs__Meta *meta);

#endif
