/* Room: gossip, its own files only: the eventual level in full.
 *
 *   gossip.c    open, close, the loop's part
 *   crdt.h      what is known of one place, and how it is joined; state.c as bytes
 *   tree.h      all places
 *   change.c    what users change
 *   batch.c     what is to go to the disk, all of one turn of the loop at once
 *   journal.c   records as frames of the log (storage.h), in the pool; the log written anew
 *   sync.c      what members tell each other
 *   compare.c   two that differ find out where; peer.h: what both share
 *   collect.c   what was removed is forgotten
 *   read.c      what users see */
#ifndef COORDFS_GOSSIP_INTERNAL_H
#define COORDFS_GOSSIP_INTERNAL_H

#include "gossip/gossip.h"
#include "gossip/storage.h"
#include "gossip/tree.h"

/* ---- batch.c ---- */

struct op; /* somebody waits for the disk */

struct staged {
	struct node *node;
	struct blob *blob; /* NULL: it is forgotten */
	bool shrunk;
};

struct batch {
	struct op *waiting, *waiting_last; /* for what is dirty */
	struct op *writing; /* for what is staged */
	struct node **dirty;
	size_t dirty_count, dirty_capacity;
	struct staged *staged;
	size_t staged_count;
	bool active; /* on its way to the disk */
	bool meta; /* the run, the epoch and the clock are to go there, too */
};

/* n is to know b, whose reference is taken; done (may be NULL) is called when that is durable, or with an error when n is
 * as before. ERR_NO_MEMORY: nothing changed, done is not called. */
int batch_change(struct gossip *g, struct node *n, struct blob *b, gossip_done done, void *ctx);
/* n is to know b, which is what is durable without leftovers, and which nobody is told; NULL: nothing. Likewise. */
int batch_shrink(struct gossip *g, struct node *n, struct blob *b);
/* done is called when all that was changed until now is durable. ERR_NO_MEMORY. */
int batch_wait(struct gossip *g, gossip_done done, void *ctx);
/* From the loop: if something waits, it is staged, and here are its frames. False: nothing waits, or no memory. */
bool batch_stage(struct gossip *g, struct frames *out);
/* What was staged is on the disk, or (code) it is not. */
void batch_finish(struct gossip *g, int code);
bool batch_is_idle(const struct gossip *g);
void batch_fini(struct gossip *g);

/* ---- journal.c ---- */

enum journal_job { JOB_NONE, JOB_BATCH, JOB_VOUCH, JOB_REWRITE_BEGIN, JOB_REWRITE_ADD, JOB_REWRITE_END };

struct journal {
	struct storage *storage;
	uv_work_t work;
	enum journal_job job; /* under way in the pool */
	struct frames frames; /* its */
	int code;
	bool rewriting, rewrite_last; /* the last job was of the rewriting: then it is a batch's turn */
	uint64_t position;  /* of the rewriting: the hash up to which it got; */
	bool complete;	    /* all of it */
	uint64_t floor_bytes; /* the log's size when it was last written anew, or that failed */
	uint64_t written_ms; /* the last batch */
};

/* Read what the directory holds. */
int journal_open(struct gossip *g, char *error, size_t error_size);
void journal_close(struct gossip *g);
/* From the loop: begin the next job, if there is one. */
void journal_run(struct gossip *g);
bool journal_is_idle(const struct gossip *g);
bool journal_is_settled(const struct gossip *g); /* idle, and nothing to be done at the end */
/* A frame of what is known of n; b NULL: it is forgotten. False: no memory. */
bool journal_frame(struct frames *f, const struct node *n, const struct blob *b);
/* A frame of the run, the epoch and the clock. */
bool journal_meta(const struct gossip *g, struct frames *f);

/* ---- sync.c ---- */

struct sync {
	uint64_t incarnation; /* of this start */
	struct peer *peers;   /* the other members */
	size_t count;
	uint64_t news_ms; /* the loop's time when news was last sent to all that are near */
	unsigned news;	  /* how often */
	size_t turn;	  /* whose it is to be visited, in peers */
	uint64_t round;	  /* the last comparison's */
	bool is_older;	  /* others know of later starts: it was told */
	uint64_t messages_sent, messages_received, sent_bytes, received_bytes;
	uint64_t members; /* a hash of the numbers of all members; 0: they are not known, or we are none */
	uv_timer_t timer;
};

void sync_open(struct gossip *g);
void sync_fini(struct gossip *g);
/* Something is to be told. */
void sync_soon(struct gossip *g);
/* All members are known to have what changed here up to that version, and nothing of what they had before it is still to
 * come from them. 0: that is not known. */
uint64_t sync_settled(const struct gossip *g);

/* ---- collect.c ---- */

struct collect {
	uint64_t upto, since_ms; /* settled so far, at that time of the loop */
	bool checking;		 /* whether roots are gone; */
	uint64_t position;	 /* of the tree's table, as a hash */
};

/* From time to time. */
void collect_run(struct gossip *g, uint64_t now_ms);
bool collect_is_due(const struct gossip *g); /* there may be something to do later */

/* ---- gossip.c ---- */

#define TICK_MS 250

struct gossip {
	uv_loop_t *loop;
	struct gossip_config config;
	char *directory;
	struct tree tree;
	struct stamp clock; /* the latest stamp that was given or seen */
	uint64_t epoch;	    /* in which new shares are begun */
	uint64_t run;	    /* how many starts there were with something on the disk, this one too */
	bool counted;	    /* it is on the disk, or cannot be, or nothing else is: others may hear of it */
	struct batch batch;
	struct journal journal;
	struct sync sync;
	struct collect collect;
	struct {
		struct blob *of;
		struct record record;
	} read; /* the last one that was looked into */
	uv_check_t check;
	uv_idle_t idle;
	uv_timer_t tick;
	unsigned handles;
	bool closing;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

uint64_t gossip_clock_ms(const struct gossip *g);
/* Let the loop look after what waits in this iteration, before it sleeps. */
void gossip_kick(struct gossip *g);
/* There is something that wants the tick. */
void gossip_wake(struct gossip *g);
/* All members are known to have what is known here of it. */
bool gossip_is_converged(const struct gossip *g, const struct node *n);

#endif
