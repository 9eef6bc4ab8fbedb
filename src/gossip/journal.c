/* What is known of each place, as frames of the log: the last one of a place counts. Jobs for the disk run in libuv's pool,
 * one at a time; while one runs the loop gathers what the next one takes.
 *
 * The log is written anew when it has grown to twice what is known: in pieces, between which batches go on, into both
 * files. A second after the last batch a frame vouches for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "gossip/internal.h"

#define PIECE_BYTES (1u << 20)
#define SLACK_BYTES (1u << 20)
#define RECORD_BYTES 64u /* of a frame, beside the state */
#define VOUCH_MS 1000u

/* ---- frames ---- */

static bool add_record(struct frames *f, const Coordfs__GossipRecord *r)
{
	uint8_t *at = frames_add(f, coordfs__gossip_record__get_packed_size(r));

	if (at)
		coordfs__gossip_record__pack(r, at);
	return at != NULL;
}

/* What is forgotten may have been the last to bear the epoch and the stamp that must not come again. */
static bool add_with_clock(const struct gossip *g, struct frames *f, Coordfs__GossipRecord *r)
{
	Coordfs__GossipStamp clock = COORDFS__GOSSIP_STAMP__INIT;

	clock.ms = g->clock.ms;
	clock.counter = g->clock.counter;
	clock.member = g->clock.member;
	r->epoch = g->epoch;
	r->run = g->run;
	r->clock = &clock;
	return add_record(f, r);
}

bool journal_frame(struct frames *f, const struct node *n, const struct blob *b)
{
	Coordfs__GossipRecord r = COORDFS__GOSSIP_RECORD__INIT;
	char path[LIMIT_PATH_BYTES + 1];

	r.root = node_path(n, path);
	r.path = (ProtobufCBinaryData){strlen(path), (uint8_t *)path};
	if (b)
		r.state = (ProtobufCBinaryData){b->size, (uint8_t *)(uintptr_t)b->data};
	return add_record(f, &r);
}

bool journal_meta(const struct gossip *g, struct frames *f)
{
	Coordfs__GossipRecord r = COORDFS__GOSSIP_RECORD__INIT;

	return add_with_clock(g, f, &r);
}

/* ---- reading ---- */

static void take_clock(struct gossip *g, const Coordfs__GossipRecord *r)
{
	struct stamp seen;

	if (r->epoch > g->epoch)
		g->epoch = r->epoch;
	if (r->run > g->run)
		g->run = r->run;
	if (!r->clock)
		return;
	seen = (struct stamp){.ms = r->clock->ms, .counter = r->clock->counter, .member = r->clock->member};
	if (seen.ms < STAMP_MS_MAX)
		stamp_seen(&g->clock, &seen);
}

static int take_state(struct gossip *g, struct node *n, const Coordfs__GossipRecord *r)
{
	struct stamp latest;
	struct record record;
	struct blob *b;
	int rc;

	record_init(&record);
	rc = record_unpack(r->state.data, r->state.len, &record);
	if (rc)
		return rc;
	b = blob_new(n, &record);
	if (b) {
		latest = record_latest(&record);
		stamp_seen(&g->clock, &latest);
		tree_set_durable(&g->tree, n, b, &record);
		node_set_current(n, b);
		rc = record.gone ? tree_clear_below(&g->tree, n) : 0;
	}
	record_fini(&record);
	return b ? rc : ERR_NO_MEMORY;
}

static void forget(struct gossip *g, struct node *n)
{
	if (n->durable)
		tree_shrink(&g->tree, n, NULL, NULL);
	node_set_current(n, NULL);
}

static int take_place(struct gossip *g, const Coordfs__GossipRecord *r)
{
	char path[LIMIT_PATH_BYTES + 1] = "";
	const struct gossip_place at = {r->root, path};
	struct node *n;
	int rc;

	if (r->path.len > LIMIT_PATH_BYTES)
		return ERR_INVALID;
	if (r->path.len > 0) /* of a root there is no data */
		memcpy(path, r->path.data, r->path.len);
	if (strlen(path) != r->path.len)
		return ERR_INVALID;
	rc = tree_check_place(&at);
	n = rc ? NULL : tree_make(&g->tree, &at);
	if (!n)
		return rc ? rc : ERR_NO_MEMORY;
	if (r->state.len == 0)
		forget(g, n);
	else if (!n->parent || !node_root(n)->gone)
		rc = take_state(g, n, r);
	tree_prune(&g->tree, n);
	return rc;
}

static int take_frame(void *ctx, const uint8_t *payload, size_t size)
{
	struct gossip *g = ctx;
	Coordfs__GossipRecord *r = coordfs__gossip_record__unpack(NULL, size, payload);
	int rc = 0;

	if (!r)
		return ERR_INVALID;
	take_clock(g, r);
	if (r->root)
		rc = take_place(g, r);
	coordfs__gossip_record__free_unpacked(r, NULL);
	return rc == ERR_NO_MEMORY ? rc : rc ? ERR_CORRUPT : 0;
}

/* The run is counted when the members are known: a start that is refused leaves everything as it is. */
int journal_open(struct gossip *g, char *error, size_t error_size)
{
	int rc = storage_open(g->directory, g->config.member, take_frame, g, &g->journal.storage, error, error_size);

	if (rc)
		return rc;
	g->run++;
	g->batch.meta = true;
	g->counted = storage_used(g->journal.storage) == 0;
	return 0;
}

void journal_close(struct gossip *g)
{
	storage_close(g->journal.storage);
	frames_fini(&g->journal.frames);
}

/* ---- jobs ---- */

static void work(uv_work_t *w)
{
	struct gossip *g = w->data;
	struct journal *j = &g->journal;

	switch (j->job) {
	case JOB_BATCH:
		j->code = storage_write(j->storage, &j->frames);
		break;
	case JOB_VOUCH:
		j->code = storage_vouch(j->storage);
		break;
	case JOB_REWRITE_BEGIN:
		j->code = storage_rewrite_begin(j->storage);
		break;
	case JOB_REWRITE_ADD:
		storage_rewrite_add(j->storage, &j->frames);
		break;
	case JOB_REWRITE_END:
		j->code = storage_rewrite_end(j->storage);
		break;
	case JOB_NONE:
		break;
	}
}

static void rewrite_done(struct gossip *g)
{
	struct journal *j = &g->journal;

	j->rewriting = false;
	j->floor_bytes = storage_used(j->storage);
	if (j->code)
		log_line(g->config.log, LOG_LEVEL_WARNING, "%s/eventual-*.log cannot be written anew: %s", g->directory,
			 error_text(j->code));
}

static void work_done(uv_work_t *w, int status)
{
	struct gossip *g = w->data;
	struct journal *j = &g->journal;
	enum journal_job job = j->job;

	(void)status;
	j->job = JOB_NONE;
	j->frames.size = 0;
	j->rewrite_last = job != JOB_BATCH;
	if (j->frames.capacity > 2 * PIECE_BYTES)
		frames_fini(&j->frames);
	if (job == JOB_REWRITE_END)
		rewrite_done(g);
	if (job == JOB_BATCH)
		batch_finish(g, j->code);
	gossip_kick(g);
}

static void start(struct gossip *g, enum journal_job job)
{
	struct journal *j = &g->journal;

	j->job = job;
	j->code = 0;
	j->work.data = g;
	if (uv_queue_work(g->loop, &j->work, work, work_done) == 0)
		return;
	j->code = ERR_NO_MEMORY;
	work_done(&j->work, UV_ENOMEM);
}

/* Who only waited for what is written by now needs no disk. */
static bool run_batch(struct gossip *g)
{
	if (!batch_stage(g, &g->journal.frames))
		return false;
	g->journal.written_ms = uv_now(g->loop);
	if (g->journal.frames.size == 0) {
		batch_finish(g, 0);
		return false;
	}
	gossip_wake(g);
	start(g, JOB_BATCH);
	return true;
}

/* ---- writing anew ---- */

static bool add_chain(struct gossip *g, const struct node *n)
{
	for (; n; n = n->chain)
		if (n->durable && !journal_frame(&g->journal.frames, n, n->durable))
			return false;
	return true;
}

/* The table may grow between two pieces: the place is kept as a hash. */
static bool add_piece(struct gossip *g)
{
	struct journal *j = &g->journal;

	while (!j->complete && j->frames.size < PIECE_BYTES) {
		uint64_t step = 1ull << (64 - g->tree.bits);

		if (!add_chain(g, g->tree.chains[j->position >> (64 - g->tree.bits)]))
			return false;
		j->position += step;
		j->complete = j->position == 0;
	}
	return true;
}

static bool is_overgrown(const struct gossip *g)
{
	uint64_t needed = g->tree.bytes + g->tree.records * RECORD_BYTES, used = storage_used(g->journal.storage);

	return used > 2 * needed + SLACK_BYTES && used > g->journal.floor_bytes + needed / 2 + SLACK_BYTES;
}

static bool begin_rewrite(struct gossip *g)
{
	struct journal *j = &g->journal;

	if (!is_overgrown(g))
		return false;
	j->rewriting = true;
	j->complete = false;
	j->position = 0;
	start(g, JOB_REWRITE_BEGIN);
	return true;
}

static bool run_rewrite(struct gossip *g)
{
	struct journal *j = &g->journal;

	if (!j->rewriting)
		return begin_rewrite(g);
	if (j->complete) {
		start(g, JOB_REWRITE_END);
	} else if (journal_meta(g, &j->frames) && add_piece(g)) {
		start(g, JOB_REWRITE_ADD);
	} else {
		j->frames.size = 0; /* no memory: later */
		return false;
	}
	return true;
}

/* ---- what is next ---- */

static bool run_vouch(struct gossip *g)
{
	struct journal *j = &g->journal;

	if (storage_is_vouched(j->storage) || (!g->closing && uv_now(g->loop) - j->written_ms < VOUCH_MS))
		return false;
	start(g, JOB_VOUCH);
	return true;
}

void journal_run(struct gossip *g)
{
	struct journal *j = &g->journal;

	if (j->job != JOB_NONE)
		return;
	if (j->rewriting && !j->rewrite_last && run_rewrite(g))
		return;
	if (run_batch(g))
		return;
	if (j->job == JOB_NONE && !run_rewrite(g) && batch_is_idle(g))
		run_vouch(g);
}

bool journal_is_idle(const struct gossip *g)
{
	return g->journal.job == JOB_NONE;
}

bool journal_is_settled(const struct gossip *g)
{
	return journal_is_idle(g) && !g->journal.rewriting && storage_is_vouched(g->journal.storage);
}
