/* Room: gossip, its own files only. All places that something is known of, in memory: by name, by directory, by hash
 * and by when they changed here.
 *
 * A place's knowledge is kept as packed bytes (crdt.h): a few ten bytes for a counter. What is on disk here (durable) is
 * what readers see, what digests are made of and what others are told; what waits for the disk (current) is what the next
 * change starts from. A disk that is full takes current back to durable. */
#ifndef COORDFS_GOSSIP_TREE_H
#define COORDFS_GOSSIP_TREE_H

#include "gossip/crdt.h"

/* A record, packed; shared by who refers to it. */
struct blob {
	uint32_t references, size;
	uint64_t hash; /* of the bytes and the place */
	uint64_t living; /* the same without leftovers (crdt.h) */
	uint8_t data[];
};

struct folder {
	struct node *children; /* in the order of their cookies */
	size_t visible;	       /* of them */
	struct node *cursor;   /* the last one that was listed */
};

struct node {
	struct node *chain;
	struct node *parent;	   /* NULL: a root */
	struct node *prev, *next;  /* in the folder */
	struct node *older, *newer; /* by version; only with something durable */
	struct folder *folder;	   /* NULL: nothing below */
	struct blob *durable, *current; /* NULL: nothing is known */
	uint64_t hash;		   /* of its place */
	uint64_t version;	   /* of the tree, when it last changed */
	uint64_t number;	   /* a root's; else its cookie in the folder */
	/* what the durable record means */
	int64_t value;
	uint64_t size, changed_ms;
	struct gossip_owner owner;
	uint8_t kind; /* enum gossip_kind */
	bool visible : 1;
	bool gone : 1;
	bool dirty : 1;	 /* current waits for the disk */
	bool staged : 1; /* on its way there */
	bool own : 1;	 /* changed here: others are to be told at once */
	bool leftovers : 1; /* in the durable record */
	bool shrunk : 1; /* current is durable without leftovers: nobody need be told */
	uint8_t name_size;
	char name[];
};

#define TREE_BUCKETS 256u

struct tree {
	struct node **chains; /* 2^bits, by the hash's first bits */
	unsigned bits;
	size_t count, records; /* nodes; those with something durable, */
	size_t buried;	       /* of which nothing is to be seen */
	size_t visible;	       /* nodes */
	uint64_t freed;	 /* nodes that were taken away: who keeps a pointer compares this first */
	uint64_t buckets[TREE_BUCKETS]; /* the hashes of what is durable, by the place's first 8 bits */
	uint64_t living; /* of all that can be seen, without leftovers, which may be forgotten at different times */
	struct node *by_version; /* oldest first */
	struct node *unseen; /* the first of them that was not looked at for leftovers; NULL: all were */
	uint64_t version, cookie;
	uint64_t bytes; /* of durable records */
};

int tree_init(struct tree *t); /* ERR_NO_MEMORY */
void tree_fini(struct tree *t);

/* ERR_NAME_TOO_LONG, ERR_INVALID (empty names, slashes at the ends, . and ..). */
int tree_check_place(const struct gossip_place *at);
struct node *tree_find(const struct tree *t, const struct gossip_place *at); /* NULL: nothing is known */
/* Found or made, with all above it. NULL: no memory. */
struct node *tree_make(struct tree *t, const struct gossip_place *at);
/* By the hash of its place: the first such. */
struct node *tree_by_hash(const struct tree *t, uint64_t hash);
/* The places whose hash begins with a range's bits, and which have something durable. A range is a 1, and behind it as
 * many bits, a multiple of 8 and less than 64; RANGE_ALL: no bits. each returns false to stop. */
#define RANGE_ALL 1u
bool range_is_valid(uint64_t range);
bool tree_each(const struct tree *t, uint64_t range, bool (*each)(void *ctx, const struct node *n), void *ctx);
/* Of the 256 ranges that a range consists of: the hashes of what is durable. */
void tree_digests(const struct tree *t, uint64_t range, uint64_t out[TREE_BUCKETS]);
/* Take away what says nothing, and what is above it if that does not either. */
void tree_prune(struct tree *t, struct node *n);
/* All below n is forgotten; what is dirty or staged stays, with nothing in it. ERR_NO_MEMORY: nothing was done. */
int tree_clear_below(struct tree *t, struct node *n);

/* Its path from the root, into out; returns the root's number. */
uint64_t node_path(const struct node *n, char out[]);
const struct node *node_root(const struct node *n);
enum gossip_kind node_kind(const struct node *n); /* GOSSIP_DIRECTORY too when something below is there */

struct blob *blob_new(const struct node *n, const struct record *r); /* NULL: no memory */
struct blob *blob_hold(struct blob *b); /* NULL is fine */
void blob_drop(struct blob *b);		/* NULL is fine */
bool blob_equal(const struct blob *a, const struct blob *b);

void node_set_current(struct node *n, struct blob *b); /* takes the reference */
/* It is on disk now, and a new version. The tree takes a reference of its own. record: what is in b. */
void tree_set_durable(struct tree *t, struct node *n, struct blob *b, const struct record *record);
/* The same, but what is new is only what it lacks: the version stays. b NULL: it is forgotten; record is not looked at. */
void tree_shrink(struct tree *t, struct node *n, struct blob *b, const struct record *record);
/* As if it had changed now. It has something durable. */
void tree_touch(struct tree *t, struct node *n);

#endif
