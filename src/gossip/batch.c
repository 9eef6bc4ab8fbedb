/* To disk, all that was changed in one turn of the loop at once. While a batch is written the next one gathers. What is
 * durable is then shown to readers and told to others, never before: of what a crash takes away nobody has heard, so that
 * this member's next changes may bear the same sequences.
 *
 * A disk that is full takes all that is not durable back: what is being written, and what was changed since on top of it. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "gossip/internal.h"

struct op {
	struct op *next;
	gossip_done done;
	void *ctx;
};

/* ---- gathering ---- */

static void append(struct batch *b, struct op *op)
{
	if (b->waiting)
		b->waiting_last->next = op;
	else
		b->waiting = op;
	b->waiting_last = op;
}

static struct op *op_new(gossip_done done, void *ctx)
{
	struct op *op = calloc(1, sizeof *op);

	if (op) {
		op->done = done;
		op->ctx = ctx;
	}
	return op;
}

static int make_room(struct batch *b)
{
	size_t capacity = b->dirty_capacity * 2 + 64;
	struct node **dirty;

	if (b->dirty_count < b->dirty_capacity)
		return 0;
	dirty = realloc(b->dirty, capacity * sizeof(struct node *));
	if (!dirty)
		return ERR_NO_MEMORY;
	b->dirty = dirty;
	b->dirty_capacity = capacity;
	return 0;
}

static void set(struct gossip *g, struct node *n, struct blob *b)
{
	if (blob_equal(n->current, b)) {
		blob_drop(b);
		return;
	}
	node_set_current(n, b);
	n->shrunk = false;
	if (!n->dirty)
		g->batch.dirty[g->batch.dirty_count++] = n;
	n->dirty = true;
}

int batch_change(struct gossip *g, struct node *n, struct blob *b, gossip_done done, void *ctx)
{
	struct op *op = done ? op_new(done, ctx) : NULL;

	if ((done && !op) || make_room(&g->batch)) {
		free(op);
		blob_drop(b);
		return ERR_NO_MEMORY;
	}
	set(g, n, b);
	if (op)
		append(&g->batch, op);
	gossip_kick(g);
	return 0;
}

/* The epoch and the stamps in what is forgotten must not come again. */
int batch_shrink(struct gossip *g, struct node *n, struct blob *b)
{
	int rc = batch_change(g, n, b, NULL, NULL);

	if (rc)
		return rc;
	n->shrunk = true;
	g->batch.meta = true;
	return 0;
}

int batch_wait(struct gossip *g, gossip_done done, void *ctx)
{
	struct op *op = op_new(done, ctx);

	if (!op)
		return ERR_NO_MEMORY;
	append(&g->batch, op);
	gossip_kick(g);
	return 0;
}

/* ---- what became of it ---- */

static void tell(struct op *op, int code)
{
	struct op *next;

	for (; op; op = next) {
		next = op->next;
		op->done(op->ctx, code);
		free(op);
	}
}

static void tell_changed(struct gossip *g, const struct node *n)
{
	char path[LIMIT_PATH_BYTES + 1];
	uint64_t root;

	if (!g->config.changed || g->closing)
		return;
	root = node_path(n, path);
	g->config.changed(g->config.ctx, root, path);
}

/* What it holds was packed here: it can be unpacked, but for memory. */
static void keep(struct gossip *g, struct staged *s)
{
	struct record r;
	struct stamp latest;

	record_init(&r);
	if (s->blob && record_unpack(s->blob->data, s->blob->size, &r))
		abort();
	latest = record_latest(&r);
	stamp_seen(&g->clock, &latest);
	if (s->shrunk)
		tree_shrink(&g->tree, s->node, s->blob, &r);
	else
		tree_set_durable(&g->tree, s->node, s->blob, &r);
	if (r.gone && tree_clear_below(&g->tree, s->node))
		abort();
	record_fini(&r);
}

static void commit(struct gossip *g, struct staged *s)
{
	struct node *n = s->node;

	n->staged = false;
	if (n->parent && node_root(n)->gone) {
		node_set_current(n, NULL);
	} else {
		keep(g, s);
		if (!s->shrunk)
			tell_changed(g, n);
	}
	blob_drop(s->blob);
	tree_prune(&g->tree, n);
}

static void take_back(struct gossip *g, struct node *n)
{
	n->dirty = n->staged = n->own = n->shrunk = false;
	node_set_current(n, blob_hold(n->durable));
	tree_prune(&g->tree, n);
}

/* A node may be in both lists. */
static void take_back_all(struct gossip *g)
{
	struct batch *b = &g->batch;

	for (size_t i = 0; i < b->staged_count; i++) {
		blob_drop(b->staged[i].blob);
		if (!b->staged[i].node->dirty)
			take_back(g, b->staged[i].node);
	}
	for (size_t i = 0; i < b->dirty_count; i++)
		take_back(g, b->dirty[i]);
	b->staged_count = b->dirty_count = 0;
	g->tree.unseen = g->tree.by_version; /* leftovers too are there again */
}

/* Who is told may change more: only what was asked before has failed. */
static void fail(struct gossip *g, int code)
{
	struct batch *b = &g->batch;
	struct op *writing = b->writing, *waiting = b->waiting;

	b->writing = b->waiting = NULL;
	b->meta = true;
	take_back_all(g);
	tell(writing, code);
	tell(waiting, code);
}

void batch_finish(struct gossip *g, int code)
{
	struct batch *b = &g->batch;
	struct op *writing = b->writing;

	b->active = false;
	g->counted = true; /* of one that could not be (full disk) nobody will know more than that it was another one */
	if (code) {
		fail(g, code);
	} else {
		for (size_t i = 0; i < b->staged_count; i++)
			commit(g, &b->staged[i]);
		b->staged_count = 0;
		b->writing = NULL;
		sync_soon(g);
		tell(writing, 0);
	}
	free(b->staged);
	b->staged = NULL;
	gossip_kick(g);
}

/* ---- writing ---- */

/* What was removed with its root meanwhile has nothing to say. */
static void stage(struct batch *b, struct node *n)
{
	bool shrunk = n->shrunk;

	n->dirty = n->shrunk = false;
	if (!n->current && !n->durable)
		return;
	n->staged = true;
	b->staged[b->staged_count++] = (struct staged){n, blob_hold(n->current), shrunk};
}

static int stage_all(struct gossip *g)
{
	struct batch *b = &g->batch;

	b->staged = calloc(b->dirty_count + 1, sizeof *b->staged);
	if (!b->staged)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < b->dirty_count; i++) {
		stage(b, b->dirty[i]);
		if (!b->dirty[i]->staged)
			tree_prune(&g->tree, b->dirty[i]);
	}
	b->dirty_count = 0;
	return 0;
}

static int make_frames(struct gossip *g, struct frames *out)
{
	struct batch *b = &g->batch;

	if (b->meta && !journal_meta(g, out))
		return ERR_NO_MEMORY;
	b->meta = false;
	for (size_t i = 0; i < b->staged_count; i++)
		if (!journal_frame(out, b->staged[i].node, b->staged[i].blob))
			return ERR_NO_MEMORY;
	return 0;
}

static bool counts_run(const struct gossip *g)
{
	return !g->counted && g->sync.members;
}

bool batch_stage(struct gossip *g, struct frames *out)
{
	struct batch *b = &g->batch;
	int rc;

	if (b->active || (!b->waiting && !b->dirty_count && !counts_run(g)))
		return false;
	b->active = true;
	b->writing = b->waiting;
	b->waiting = NULL;
	rc = stage_all(g);
	if (!rc)
		rc = make_frames(g, out);
	if (!rc)
		return true;
	frames_fini(out);
	batch_finish(g, rc);
	return false;
}

bool batch_is_idle(const struct gossip *g)
{
	return !g->batch.active && !g->batch.waiting && !g->batch.dirty_count;
}

void batch_fini(struct gossip *g)
{
	free(g->batch.dirty);
	free(g->batch.staged);
}
