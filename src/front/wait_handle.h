/* Room: front, the files of `.wait` only.
 *
 *   wait.c        open files: what they are told, and when
 *   wait_watch.c  which of them a change concerns, without looking at the others
 *   wait_names.c  the names and their nodes
 *   wait_votes.c  votes/V/prepare and the like: until a vote has come so far */
#ifndef COORDFS_FRONT_WAIT_HANDLE_H
#define COORDFS_FRONT_WAIT_HANDLE_H

#include <stdio.h>

#include "base/hash.h"
#include "front/changes.h"
#include "front/generated.h"
#include "front/wait.h"

/* A read that waits. */
struct wait_read {
	struct wait_read *prev, *next;
	struct wait_handle *handle;
	fuse_req_t req;
	size_t size;
};

/* What a read at offset 0 gives: print it to out, for the reader req, and remember that it was told; or, when out is
 * NULL, only say whether there is something. OK; QUEUED: nothing yet; ERR_NO_DATA: it is not known any more. Asked
 * anew after each change at the handle's path. */
typedef int (*wait_look)(struct front *f, struct wait_handle *h, fuse_req_t req, FILE *out);

/* An open file. */
struct wait_handle {
	struct wait_handle *prev, *next;       /* of all */
	struct wait_handle *at_prev, *at_next; /* of those with the same path */
	struct wait_handle *of_prev, *of_next; /* of those with the same inode */
	struct wait_handle *due_prev, *due_next;
	wait_look look;
	struct place *place;   /* its path */
	struct object *object; /* what is there now; NULL: nothing */
	uint64_t vote;	       /* its number; 0: it is a path in the machine */
	enum vote_phase until;
	uint64_t since;	       /* what came later is to be told */
	uint64_t seen;	       /* up to this revision there is nothing to tell */
	bool is_touched;       /* after that there may be; else there is nothing yet */
	bool is_lost;	       /* there may have been: nobody knows */
	bool is_directory;
	bool is_due; /* in the list */
	struct wait_read *reads;
	struct fuse_pollhandle *poll; /* who wants to be told, or NULL */
	struct text text;	      /* what was told last */
};

/* A path that is waited for, or one above it. */
struct place {
	UT_hash_handle hh;
	struct wait_handle *handles;
	unsigned below; /* handles with paths below this one */
	size_t size;
	char path[];
};

/* An inode at such a path, or a vote's node. */
struct object {
	UT_hash_handle hh;
	uint64_t inode;
	struct wait_handle *handles;
};

struct waits {
	struct changes *changes;
	struct wait_handle *handles, *due;
	struct place *places;
	struct object *objects;
	struct wait_name *by_number, *by_key;
	uint64_t last_number;
	uv_timer_t *timer; /* NULL: stopped */
};

/* ---- wait_watch.c ---- */

/* Be told of changes at a path, from now on. path: borrowed. ERR_NO_MEMORY: h is as it was. */
int watch_begin(struct front *f, struct wait_handle *h, const char *path, size_t size);
void watch_end(struct front *f, struct wait_handle *h);
/* h->is_touched for all whom the change concerns, and wait_due. */
void watch_change(struct front *f, const struct change *change);
/* The same for all who wait for a vote. */
void watch_vote(struct front *f, const struct event *event);
/* Look again at what is where. */
void watch_renew(struct front *f, struct wait_handle *h);

/* h has something to tell: it will be looked at when the entry is done with. */
void wait_due(struct front *f, struct wait_handle *h);

/* ---- wait_names.c ---- */

struct wait_name {
	UT_hash_handle hh, by_key_hh; /* hh: by number */
	uint64_t number, lookups;
	uint64_t directory; /* its inode */
	uint64_t vote;	    /* of votes/V/…: its number, and until when; else 0 */
	enum vote_phase until;
	bool has_since;
	uint64_t since;
	struct bytes base; /* NAME; empty: the directory itself */
	size_t key_size;
	char key[];
};

struct wait_name *wait_name_find(struct front *f, fuse_ino_t node);
/* The inode that is there in the applied state; 0: none. */
uint64_t wait_name_inode(struct front *f, const struct wait_name *n);
void wait_names_free(struct waits *w);
void wait_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);

/* ---- wait_votes.c ---- */

/* The directory of that vote, or 0. */
fuse_ino_t wait_vote_directory(struct front *f, const char *name);
/* Is it a name in a vote's directory: until when? */
bool wait_vote_phase(const char *name, enum vote_phase *out);
/* The handle's `look`. */
int wait_look_at_vote(struct front *f, struct wait_handle *h, fuse_req_t req, FILE *out);
int wait_vote_attr(struct front *f, fuse_ino_t node, const struct wait_name *n, struct stat *out);

#endif
