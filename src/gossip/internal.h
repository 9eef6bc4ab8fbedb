/* Room: gossip, its own files only: the eventual level in full.
 *
 *   gossip.c    open, close, the loop's part
 *   crdt.h      what is known of one place, and how it is joined; state.c as bytes
 *   tree.h      all places
 *   change.c    what users change
 *   batch.c     to disk, all of one turn of the loop at once
 *   read.c      what users see */
#ifndef COORDFS_GOSSIP_INTERNAL_H
#define COORDFS_GOSSIP_INTERNAL_H

#include "gossip/gossip.h"
#include "gossip/tree.h"

/* ---- batch.c ---- */

struct op; /* somebody waits for the disk */

struct staged {
	struct node *node;
	struct blob *blob;
};

struct batch {
	struct op *waiting, *waiting_last; /* for what is dirty */
	struct op *writing; /* for what is staged */
	struct node **dirty;
	size_t dirty_count, dirty_capacity;
	struct staged *staged;
	size_t staged_count;
	bool active; /* on its way to the disk */
};

/* n is to know b, whose reference is taken; done (may be NULL) is called when that is durable, or with an error when n is
 * as before. ERR_NO_MEMORY: nothing changed, done is not called. */
int batch_change(struct gossip *g, struct node *n, struct blob *b, gossip_done done, void *ctx);
/* done is called when all that was changed until now is durable. ERR_NO_MEMORY. */
int batch_wait(struct gossip *g, gossip_done done, void *ctx);
/* From the loop: what waits goes to the disk. */
void batch_run(struct gossip *g);
bool batch_is_idle(const struct gossip *g);
void batch_fini(struct gossip *g);

/* ---- gossip.c ---- */

struct gossip {
	uv_loop_t *loop;
	struct gossip_config config;
	char *directory;
	struct tree tree;
	struct stamp clock; /* the latest stamp that was given or seen */
	uint64_t epoch;	    /* in which new shares are begun */
	struct batch batch;
	struct {
		struct blob *of;
		struct record record;
	} read; /* the last one that was looked into */
	uv_check_t check;
	uv_idle_t idle;
	unsigned handles;
	bool closing;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

uint64_t gossip_clock_ms(const struct gossip *g);
/* Let the loop call batch_run in this iteration, before it sleeps. */
void gossip_kick(struct gossip *g);
/* All members are known to have what is known here of it. */
bool gossip_is_converged(const struct gossip *g, const struct node *n);

#endif
