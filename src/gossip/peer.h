/* Room: gossip, its own files only: what is known of another member, and what sync.c and compare.c share. */
#ifndef COORDFS_GOSSIP_PEER_H
#define COORDFS_GOSSIP_PEER_H

#include "gossip/internal.h"

#define MESSAGE_BYTES (64u << 10) /* about; one record may be larger */
#define RESEND 2		  /* times news_ms, without news of progress */

/* GossipNews.compares */
enum gossip_compares {
	COMPARES_NEVER, /* an older program */
	COMPARES_NOT,	/* it is to be told what changed behind your_version */
	COMPARES_NOW,	/* it asks for what it lacks: nothing else until it is through */
};

struct numbers {
	uint64_t *list; /* owned */
	size_t count, capacity;
};

/* What is asked of it (compare.c). All zero: nothing. */
struct compare {
	uint64_t round;	 /* 0: none is under way */
	uint64_t version; /* its, by the first answer; 0: there was none yet */
	struct numbers ranges, places; /* to be asked for, the last ones first */
	uint64_t asked_ms;
	bool ends; /* all is here, and on its way to the disk */
};

struct peer {
	uint64_t id;
	uint64_t incarnation, have; /* its: all up to that version is on this disk */
	uint64_t acked, sent;	    /* ours: what it is known to have; what is on its way */
	uint64_t members; /* it counts: their hash */
	uint64_t version; /* its, the highest that it told */
	uint64_t settled; /* ours, see sync_settled; next: */
	uint64_t settling, settles_at; /* ours; its, when it said that it has ours */
	uint64_t sent_bytes, progress_ms, heard_ms;
	uint64_t visit_ms; /* the last visit began, of either; 0: none yet */
	const struct node *last; /* the place that was sent last, of version `sent`, if nothing was taken away since */
	uint64_t last_freed;
	unsigned unequal;
	struct compare compare;
	enum gossip_compares compares; /* what its last news said */
	uint64_t agreed_ms;  /* digests were equal; 0: not yet */
	bool heard_us; /* its last news was of our present run */
	bool is_neighbour;
	bool wants_news; /* it told something that is on this disk now */
};

bool peer_post(struct gossip *g, const struct peer *p, Coordfs__Gossip *message);
/* What is durable of n, borrowed; path: room for LIMIT_PATH_BYTES + 1. */
void peer_record(const struct node *n, Coordfs__GossipRecord *r, char path[]);

/* ---- sync.c ---- */

/* ERR_INVALID: it is nothing that could be known; others are taken all the same. ERR_NO_MEMORY. */
int sync_take_record(struct gossip *g, const struct peer *p, const Coordfs__GossipRecord *r);
/* When what was taken by now is on the disk, and p had everything up to since: it has everything up to upto. round: and
 * that comparison is at its end. */
bool sync_arrive(struct gossip *g, const struct peer *p, uint64_t since, uint64_t upto, uint64_t round);

/* ---- compare.c ---- */

/* Its news came, and the digests differ. */
void compare_consider(struct gossip *g, struct peer *p, const Coordfs__GossipNews *news);
/* Ask, if nothing is on its way. */
void compare_run(struct gossip *g, struct peer *p, uint64_t now_ms);
void compare_end(struct peer *p);
void compare_take_ask(struct gossip *g, struct peer *p, const Coordfs__GossipAsk *ask);
void compare_take_answer(struct gossip *g, struct peer *p, const Coordfs__GossipAnswer *answer);

#endif
