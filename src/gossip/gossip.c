#include "gossip/gossip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/internal.h"

uint64_t gossip_clock_ms(const struct gossip *g)
{
	uv_timeval64_t now;

	if (g->config.clock_ms)
		return g->config.clock_ms(g->config.ctx);
	return uv_gettimeofday(&now) ? 0 : (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

/* ---- the loop ---- */

static void gossip_free(struct gossip *g)
{
	record_fini(&g->read.record);
	blob_drop(g->read.of);
	journal_close(g);
	tree_fini(&g->tree);
	batch_fini(g);
	sync_fini(g);
	free(g->directory);
	free(g);
}

static void on_tick(uv_timer_t *timer)
{
	struct gossip *g = timer->data;

	gossip_kick(g);
	if (journal_is_settled(g))
		uv_timer_stop(timer);
}

void gossip_wake(struct gossip *g)
{
	if (!uv_is_active((uv_handle_t *)&g->tick) && !uv_is_closing((uv_handle_t *)&g->tick))
		uv_timer_start(&g->tick, on_tick, TICK_MS, TICK_MS);
}

static void handle_closed(uv_handle_t *handle)
{
	struct gossip *g = handle->data;
	void (*closed)(void *ctx) = g->closed;
	void *ctx = g->closed_ctx;

	if (--g->handles)
		return;
	gossip_free(g);
	if (closed)
		closed(ctx);
}

static void advance_close(struct gossip *g)
{
	if (!g->closing || !batch_is_idle(g) || !journal_is_settled(g) || uv_is_closing((uv_handle_t *)&g->check))
		return;
	uv_close((uv_handle_t *)&g->tick, handle_closed);
	uv_close((uv_handle_t *)&g->sync.timer, handle_closed);
	uv_close((uv_handle_t *)&g->check, handle_closed);
	uv_close((uv_handle_t *)&g->idle, handle_closed);
}

static void run(struct gossip *g)
{
	uv_check_stop(&g->check);
	uv_idle_stop(&g->idle);
	journal_run(g);
	advance_close(g);
}

static void on_check(uv_check_t *handle)
{
	run(handle->data);
}

static void on_idle(uv_idle_t *handle)
{
	run(handle->data);
}

void gossip_kick(struct gossip *g)
{
	if (uv_is_closing((uv_handle_t *)&g->check))
		return;
	uv_check_start(&g->check, on_check);
	uv_idle_start(&g->idle, on_idle);
}

/* ---- life ---- */

static struct gossip *gossip_new(uv_loop_t *loop, const struct gossip_config *config)
{
	struct gossip *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	g->loop = loop;
	g->config = *config;
	g->directory = strdup(config->directory);
	g->config.directory = g->directory;
	if (!g->config.news_ms)
		g->config.news_ms = 1000;
	if (!g->config.hold_ms)
		g->config.hold_ms = 10000;
	g->epoch = 1;
	if (!g->directory || tree_init(&g->tree)) {
		gossip_free(g);
		return NULL;
	}
	return g;
}

static void open_handles(struct gossip *g)
{
	uv_check_init(g->loop, &g->check);
	uv_idle_init(g->loop, &g->idle);
	uv_timer_init(g->loop, &g->tick);
	g->check.data = g->idle.data = g->tick.data = g;
	sync_open(g);
	g->handles = 4;
}

int gossip_open(uv_loop_t *loop, const struct gossip_config *config, struct gossip **out, char *error,
		size_t error_size)
{
	struct gossip *g = gossip_new(loop, config);
	int rc;

	*out = NULL;
	if (!g) {
		snprintf(error, error_size, "out of memory");
		return ERR_NO_MEMORY;
	}
	rc = journal_open(g, error, error_size);
	if (rc) {
		gossip_free(g);
		return rc;
	}
	open_handles(g);
	*out = g;
	return 0;
}

void gossip_close(struct gossip *g, void (*done)(void *ctx), void *ctx)
{
	g->closing = true;
	g->closed = done;
	g->closed_ctx = ctx;
	gossip_kick(g);
}
