/* Room: gossip. The eventual level: what is kept here is not in the log. Each member changes its own copy at once and
 * durably, and members tell one another until all know the same. It may touch base/, proto/ and libuv; net/ and the
 * machine are strangers: messages leave and come through the replica.
 *
 * An object is known by its place: the inode number (in the machine) of the object or directory that was made eventual,
 * and the path below it. Its state is a join of semilattices, so that it does not matter how often, in which order and
 * by whom it is told:
 *   - a counter: for each member how much it added and took away (PN-counter, Shapiro et al. 2011, spec. 7), and how
 *     much of that was there when it was last removed; what a remover had not seen survives (add wins);
 *   - a file: a register, ordered by hybrid logical clock (Kulkarni et al. 2014) and then member; removed when the
 *     remover had seen the stamp that it has; the same for a directory and for owner and mode of all three. */
#ifndef COORDFS_GOSSIP_GOSSIP_H
#define COORDFS_GOSSIP_GOSSIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/log.h"
#include "proto/coordfs.pb-c.h"

struct gossip;

struct gossip_config {
	const char *directory; /* the member's data directory; its files there begin with "eventual" */
	uint64_t member;       /* this member's number, > 0 */
	const struct log *log; /* borrowed; NULL: silent */
	/* Send to a member; may be lost. false: certainly not sent. Borrowed. */
	bool (*send)(void *ctx, uint64_t member, Coordfs__Envelope *e);
	uint64_t (*clock_ms)(void *ctx); /* CLOCK_REALTIME; NULL: the host's. It may jump. */
	/* An object changed, here or elsewhere: for poll(2), .wait and inotify. place is borrowed. May be NULL. */
	void (*changed)(void *ctx, uint64_t root, const char *path);
	/* Was the object with that number there once, and is it gone? For gossip_check_roots; NULL: nobody knows. */
	bool (*root_is_gone)(void *ctx, uint64_t root);
	uint64_t news_ms; /* how often members tell each other how far they are; 0: as usual */
	uint64_t hold_ms; /* for how long what was removed is remembered after all are known to know it; 0: as usual */
	void *ctx;
};

/* Where an object is: root is the number of the inode that was made eventual, path what follows, without a slash at
 * either end; "" is that object itself. Borrowed. That one is made and removed by the machine, and always there: while
 * nothing was put into it, it is a GOSSIP_NOTHING, an empty file and a counter of 0. */
struct gossip_place {
	uint64_t root;
	const char *path;
};

enum gossip_kind { GOSSIP_NOTHING = 0, GOSSIP_DIRECTORY, GOSSIP_COUNTER, GOSSIP_FILE };

struct gossip_attr {
	enum gossip_kind kind;
	uint32_t mode, uid, gid; /* permission bits only */
	uint64_t size;		 /* of a file's content, in bytes */
	int64_t value;		 /* of a counter; a sum beyond 64 bits stays at the bound */
	uint64_t changed_ms;	 /* wall clock of the last change that is known here */
	uint64_t entries;	 /* of a directory */
	bool converged;		 /* all members are known to have all that is known here */
};

/* Called from the loop, once, when the change is on this member's disk (or with ERR_NO_SPACE, ERR_CORRUPT: it is not). */
typedef void (*gossip_done)(void *ctx, int code);

/* Open or create. On an error one line in error. ERR_CORRUPT: damaged, nothing is changed. */
int gossip_open(uv_loop_t *loop, const struct gossip_config *config, struct gossip **out, char *error,
		size_t error_size);
/* What was accepted is finished first. done is called from the loop, when g is freed. */
void gossip_close(struct gossip *g, void (*done)(void *ctx), void *ctx);

/* The members that are to know everything, this one among them or not. Copied. highest: of all numbers that a member ever
 * had. Nobody gets a former one's number. */
void gossip_set_members(struct gossip *g, const uint64_t *members, size_t n, uint64_t highest);
/* A Gossip message came from a member. Borrowed; whatever it holds, nothing breaks. */
void gossip_receive(struct gossip *g, uint64_t from, const Coordfs__Envelope *e);
/* An eventual object or directory of the machine was removed, with all that it held. */
void gossip_forget_root(struct gossip *g, uint64_t root);
/* Some may have been removed without that gossip was told (before a crash): by and by all are asked for. */
void gossip_check_roots(struct gossip *g);

struct gossip_figures {
	uint64_t objects;     /* that can be seen, the roots that hold something among them */
	uint64_t tombstones;  /* removed, and remembered */
	uint64_t state_bytes; /* of all that is remembered, packed */
	/* since the start: messages to and from other members, without what carries them */
	uint64_t messages_sent, messages_received, sent_bytes, received_bytes;
};
void gossip_figures(const struct gossip *g, struct gossip_figures *out);

struct gossip_peer {
	bool heard;	    /* since the start: the others are meant: */
	uint64_t silent_ms; /* since it told last how far it is */
	uint64_t behind;    /* changes here that it is not known to have */
	bool agreed;	    /* since the start: both knew the same once, and the last time was: */
	uint64_t agreed_ms; /* ago */
};
/* Of another member; of no such one, all zero. */
void gossip_peer(const struct gossip *g, uint64_t member, struct gossip_peer *out);

/* ---- reading: at once, what is known here and on this member's disk ---- */

int gossip_attr(struct gossip *g, const struct gossip_place *at, struct gossip_attr *out); /* ERR_NOT_FOUND */
/* A file's content. Borrowed until the next call. ERR_NOT_FOUND, ERR_IS_DIRECTORY, ERR_NOT_SUPPORTED: a counter. */
int gossip_content(struct gossip *g, const struct gossip_place *at, const void **data, size_t *size);
/* The entries of a directory after cookie (0: from the start), in an order that holds while the daemon lives. each
 * returns false to stop. */
int gossip_list(struct gossip *g, const struct gossip_place *at, uint64_t cookie,
		bool (*each)(void *ctx, uint64_t cookie, const char *name, const struct gossip_attr *attr), void *ctx);
/* Each member's share of a counter, since it was last removed. */
int gossip_shares(struct gossip *g, const struct gossip_place *at,
		  void (*each)(void *ctx, uint64_t member, uint64_t added, uint64_t taken), void *ctx);

/* ---- changing: accepted at once, told when durable. What cannot be is refused by the return value (negative, done is
 * not called); 0: done will be. Each starts from what was accepted before. ERR_NOT_FOUND: it is not there,
 * ERR_IS_DIRECTORY, ERR_NOT_SUPPORTED: of another kind, ERR_NAME_TOO_LONG, ERR_INVALID: no such path can be,
 * ERR_NO_MEMORY, ERR_CANCELED: closing. ---- */

struct gossip_owner {
	uint32_t uid, gid, mode;
};
/* Make it; it is no error when it is there as the same kind: nothing changes. ERR_EXISTS: as another kind, ERR_NOT_FOUND,
 * ERR_NOT_DIRECTORY: what is above. */
int gossip_create(struct gossip *g, const struct gossip_place *at, enum gossip_kind kind,
		  const struct gossip_owner *owner, gossip_done done, void *ctx);
int gossip_set_owner(struct gossip *g, const struct gossip_place *at, const struct gossip_owner *owner,
		     gossip_done done, void *ctx);
/* ERR_RANGE: the value, as it is known here, would be beyond 64 bits. */
int gossip_add(struct gossip *g, const struct gossip_place *at, int64_t amount, gossip_done done, void *ctx);
/* The new whole content. ERR_TOO_BIG beyond LIMIT_FILE_BYTES. */
int gossip_put(struct gossip *g, const struct gossip_place *at, const void *data, size_t size, gossip_done done,
	       void *ctx);
/* Of a counter, a file or a directory: all that is known of it here. What others do at the same time survives.
 * ERR_NOT_EMPTY. */
int gossip_remove(struct gossip *g, const struct gossip_place *at, gossip_done done, void *ctx);

#endif
