/* One member: its parts, its life.
 *
 *   RECOVERING  directory, log, image: all within replica_open
 *   OPENING     SessionOpen is proposed; its entry's index is our session
 *   SERVING
 *   ENDING      SessionEnd is proposed, for CLOSE_MS at most
 *   CLOSING     libraft stops, handles close
 *   FAILED      config.failed was told; only replica_close is left
 *
 * One timer (tick) looks after everything that is not urgent, and runs only while there is such: timeouts, the mark
 * of what was acknowledged, an image's child, libraft's restart. An idle member wakes for libraft's heartbeat only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "replica/internal.h"
#include "store/store_tdb.h"

#define TIMEOUT_MS 10000
#define CLOSE_MS 2000

uint64_t replica_now_ms(const struct replica *r)
{
	return uv_now(r->loop);
}

uint64_t replica_free_bytes(struct replica *r)
{
	uint64_t now = replica_now_ms(r);

	if (!r->free_bytes_at_ms || now - r->free_bytes_at_ms >= TICK_MS) {
		r->free_bytes = directory_free_bytes(&r->directory);
		r->free_bytes_at_ms = now;
	}
	return r->free_bytes;
}

void replica_trouble(struct replica *r, const char *format, ...)
{
	va_list arguments;

	r->trouble[0] = '\0';
	if (!format)
		return;
	va_start(arguments, format);
	vsnprintf(r->trouble, sizeof r->trouble, format, arguments);
	va_end(arguments);
}

void replica_fail(struct replica *r, const char *format, ...)
{
	va_list arguments;

	if (r->state == REPLICA_FAILED)
		return;
	va_start(arguments, format);
	vsnprintf(r->failure, sizeof r->failure, format, arguments);
	va_end(arguments);
	r->state = REPLICA_FAILED;
	replica_kick(r);
}

/* ---- the observer: only for what happens from now on, not for what a start repeats ---- */

static void observe_event(void *ctx, const struct event *event)
{
	struct replica *r = ctx;

	if (r->observing && r->config.observer.event)
		r->config.observer.event(r->config.observer.ctx, event);
}

static void observe_before_gone(void *ctx, uint64_t inode, uint64_t session)
{
	struct replica *r = ctx;

	if (r->observing && r->config.observer.before_gone)
		r->config.observer.before_gone(r->config.observer.ctx, inode, session);
}

static void observe_log(void *ctx, const char *line)
{
	struct replica *r = ctx;

	if (!r->observing)
		return;
	if (r->config.observer.log)
		r->config.observer.log(r->config.observer.ctx, line);
	else
		log_line(r->log, LOG_LEVEL_INFO, "%s", line);
}

/* ---- chores: in libuv's pool, one at a time ---- */

static void chores_work(uv_work_t *work)
{
	struct replica *r = work->data;

	r->chores.result = mark_write(&r->directory, &r->chores.written);
	if (r->chores.swept)
		directory_sweep(&r->directory, 0);
}

static void chores_done(uv_work_t *work, int status)
{
	struct replica *r = work->data;

	(void)status;
	r->chores.running = false;
	if (r->chores.result) {
		r->chores.mark_dirty = true;
		log_line(r->log, LOG_LEVEL_WARNING, "%s/acknowledged cannot be written: %s", r->directory.path,
			 error_text(r->chores.result));
	}
	replica_kick(r);
}

static void chores_tick(struct replica *r)
{
	struct chores *c = &r->chores;

	/* An image under way must not be swept away. */
	if (c->running || r->snapshots.active || (!c->mark_dirty && !c->sweep))
		return;
	c->mark_dirty = false;
	c->swept = c->sweep;
	c->sweep = false;
	c->written = c->mark;
	c->work.data = r;
	c->running = uv_queue_work(r->loop, &c->work, chores_work, chores_done) == 0;
}

void replica_note_acknowledged(struct replica *r, uint64_t index)
{
	if (index <= r->chores.mark.index)
		return;
	r->chores.mark.index = index;
	r->chores.mark.term = raft_current_term(&r->engine.raft);
	r->chores.mark_dirty = true;
	replica_wake(r);
}

void replica_note_snapshot(struct replica *r, uint64_t index)
{
	r->chores.mark.snapshot = index;
	r->chores.mark_dirty = r->chores.sweep = true;
	replica_wake(r);
}

/* ---- handles ---- */

static void advance_close(struct replica *r);

static void run(struct replica *r)
{
	uv_check_stop(&r->check);
	uv_idle_stop(&r->idle);
	engine_run(r);
	proposals_run(r);
	if (r->state == REPLICA_FAILED && !r->failure_told) {
		r->failure_told = true;
		log_line(r->log, LOG_LEVEL_ERROR, "%s", r->failure);
		if (r->config.failed)
			r->config.failed(r->config.ctx, r->failure);
	}
	advance_close(r);
}

static void on_check(uv_check_t *handle)
{
	run(handle->data);
}

static void on_idle(uv_idle_t *handle)
{
	run(handle->data);
}

/* After this iteration's events, and in any case before the loop sleeps. */
void replica_kick(struct replica *r)
{
	if (!r->handles)
		return;
	uv_check_start(&r->check, on_check);
	uv_idle_start(&r->idle, on_idle);
}

static bool needs_tick(const struct replica *r)
{
	return r->proposals.first || r->chores.mark_dirty || r->chores.sweep || r->closed ||
	       snapshots_need_tick(r) || engine_needs_tick(r);
}

static void on_tick(uv_timer_t *timer)
{
	struct replica *r = timer->data;
	uint64_t now = replica_now_ms(r);

	if (r->state != REPLICA_FAILED && r->state != REPLICA_CLOSING) {
		engine_tick(r, now);
		snapshots_tick(r, now);
		proposals_expire(r, now);
	}
	chores_tick(r);
	advance_close(r);
	if (r->handles && !needs_tick(r))
		uv_timer_stop(timer);
}

void replica_wake(struct replica *r)
{
	if (r->handles && !uv_is_active((uv_handle_t *)&r->tick))
		uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
}

static void open_handles(struct replica *r)
{
	uv_timer_init(r->loop, &r->tick);
	uv_check_init(r->loop, &r->check);
	uv_idle_init(r->loop, &r->idle);
	r->tick.data = r->check.data = r->idle.data = r;
	r->handles = 3;
}

/* ---- the end ---- */

static void replica_free(struct replica *r)
{
	machine_free(r->machine);
	store_tdb_free(r->store);
	proposals_fini(r);
	directory_close(&r->directory);
	free((char *)(uintptr_t)r->config.directory);
	free((char *)(uintptr_t)r->config.member);
	free(r);
}

static void handle_closed(uv_handle_t *handle)
{
	struct replica *r = handle->data;

	if (--r->handles)
		return;
	if (r->closed)
		r->closed(r->closed_ctx);
	replica_free(r);
}

static void close_handles(struct replica *r)
{
	uv_close((uv_handle_t *)&r->tick, handle_closed);
	uv_close((uv_handle_t *)&r->check, handle_closed);
	uv_close((uv_handle_t *)&r->idle, handle_closed);
}

/* libraft is closed: the last mark is exact. */
static void write_last_mark(struct replica *r)
{
	int rc;

	if (!r->chores.mark_dirty || r->directory.fresh)
		return;
	rc = mark_write(&r->directory, &r->chores.mark);
	if (rc)
		log_line(r->log, LOG_LEVEL_WARNING, "%s/acknowledged cannot be written: %s", r->directory.path,
			 error_text(rc));
}

/* Step by step, as each is done. */
static void advance_close(struct replica *r)
{
	if (r->state == REPLICA_ENDING && replica_now_ms(r) - r->closing_since_ms > CLOSE_MS)
		r->state = REPLICA_CLOSING;
	if (!r->closed || r->state == REPLICA_ENDING)
		return;
	if (r->engine.up && !r->engine.closing)
		engine_stop(r, NULL);
	if (!engine_is_idle(r) || r->chores.running || uv_is_closing((uv_handle_t *)&r->tick))
		return;
	proposals_fail(r, PROPOSAL_WAITING, ERR_NO_QUORUM);
	proposals_fail(r, PROPOSAL_SUBMITTED, ERR_TIMED_OUT);
	proposals_fail(r, PROPOSAL_UNKNOWN, ERR_TIMED_OUT);
	proposals_run(r);
	write_last_mark(r);
	close_handles(r);
}

static void session_ended(void *ctx, const struct reply *reply)
{
	struct replica *r = ctx;

	(void)reply;
	if (r->state == REPLICA_ENDING)
		r->state = REPLICA_CLOSING;
	replica_kick(r);
}

void replica_close(struct replica *r, void (*done)(void *ctx), void *ctx)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd end = COORDFS__SESSION_END__INIT;

	r->closed = done;
	r->closed_ctx = ctx;
	r->closing_since_ms = replica_now_ms(r);
	r->observing = false;
	if (r->state == REPLICA_SERVING && r->engine.up) {
		end.session = r->session;
		end.reason = (char *)(uintptr_t) "unmounted";
		command.of_case = COORDFS__COMMAND__OF_SESSION_END;
		command.session_end = &end;
		r->state = REPLICA_ENDING;
		proposal_start(r, r->session, r->next_sequence++, &command, session_ended, r);
	} else if (r->state != REPLICA_FAILED) {
		r->state = REPLICA_CLOSING;
	}
	replica_kick(r);
	replica_wake(r);
}

/* ---- the beginning ---- */

static void session_opened(void *ctx, const struct reply *reply)
{
	struct replica *r = ctx;

	if (r->state != REPLICA_OPENING)
		return;
	if (reply->code) {
		replica_fail(r, "%s: no session: %s", r->directory.path,
			     reply->text[0] ? reply->text : error_text(reply->code));
		return;
	}
	r->session = (uint64_t)reply->value;
	r->next_sequence = 1;
	r->state = REPLICA_SERVING;
	r->observing = true;
	log_line(r->log, LOG_LEVEL_INFO, "%s: member %s, session %" PRIu64 ", entry %" PRIu64, r->directory.path,
		 r->directory.member, r->session, machine_applied(r->machine));
	if (r->config.ready)
		r->config.ready(r->config.ctx);
}

static void open_session(struct replica *r)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionOpen open = COORDFS__SESSION_OPEN__INIT;

	open.member = r->directory.member;
	open.incarnation.data = r->incarnation;
	open.incarnation.len = sizeof r->incarnation;
	open.owner_uid = r->config.owner_uid;
	open.owner_gid = r->config.owner_gid;
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &open;
	r->state = REPLICA_OPENING;
	proposal_start(r, 0, 0, &command, session_opened, r);
}

static struct replica *replica_new(uv_loop_t *loop, const struct replica_config *config)
{
	struct replica *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->loop = loop;
	r->config = *config;
	r->log = config->log;
	r->directory = (struct directory){.fd = -1, .raft_fd = -1, .lock_fd = -1};
	r->config.directory = strdup(config->directory);
	r->config.member = config->member ? strdup(config->member) : NULL;
	r->config.timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
	r->observer = (struct machine_observer){.ctx = r, .event = observe_event,
						.before_gone = observe_before_gone, .log = observe_log};
	if (!r->config.directory || (config->member && !r->config.member) || proposals_init(r) ||
	    getrandom(r->incarnation, sizeof r->incarnation, 0) != sizeof r->incarnation) {
		replica_free(r);
		return NULL;
	}
	return r;
}

/* An error within replica_open: what needs the loop to be closed is closed at once. */
static void set_true(void *flag)
{
	*(bool *)flag = true;
}

static void abandon(struct replica *r)
{
	uv_loop_t *loop = r->loop;
	bool closed = false;

	r->failure_told = true; /* by replica_open's result */
	while (!engine_is_idle(r)) {
		uv_run(loop, UV_RUN_ONCE);
		engine_run(r);
	}
	if (!r->handles) {
		replica_free(r);
		return;
	}
	r->closed = set_true;
	r->closed_ctx = &closed;
	close_handles(r);
	while (!closed)
		uv_run(loop, UV_RUN_ONCE);
}

int replica_open(uv_loop_t *loop, const struct replica_config *config, struct replica **out, char *error,
		 size_t error_size)
{
	struct replica *r = replica_new(loop, config);
	int rc;

	*out = NULL;
	if (!r) {
		snprintf(error, error_size, "out of memory");
		return ERR_NO_MEMORY;
	}
	uv_update_time(loop);
	rc = directory_open(&r->directory, config->directory, config->member, error, error_size);
	if (!rc) {
		open_handles(r);
		rc = engine_start(r, error, error_size);
	}
	if (rc) {
		abandon(r);
		return rc;
	}
	directory_sweep(&r->directory, 0);
	uv_update_time(loop); /* recovery may have taken seconds */
	open_session(r);
	*out = r;
	return 0;
}

/* ---- use ---- */

uint64_t replica_propose(struct replica *r, const Coordfs__Command *command, replica_done done, void *ctx)
{
	uint64_t sequence;

	if (r->state != REPLICA_SERVING) {
		proposal_refuse(r, ERR_NO_QUORUM, done, ctx);
		return 1;
	}
	sequence = r->next_sequence++;
	proposal_start(r, r->session, sequence, command, done, ctx);
	return sequence;
}

/* The only voter answers a change after it has applied it, and nobody else can have answered one: its state holds all
 * that a reader may know of, also while the log is being opened again. */
int replica_read_barrier(struct replica *r, void (*ready)(void *ctx, int code), void *ctx)
{
	(void)ready;
	(void)ctx;
	return r->state == REPLICA_SERVING || r->state == REPLICA_ENDING ? OK : ERR_NO_QUORUM;
}

struct machine *replica_machine(struct replica *r)
{
	return r->machine;
}

uint64_t replica_session(const struct replica *r)
{
	return r->session;
}

const char *replica_member(const struct replica *r)
{
	return r->directory.member;
}

void replica_status(struct replica *r, struct replica_status *out)
{
	*out = (struct replica_status){
		.role = "unavailable",
		.snapshot_index = r->snapshots.stored,
		.disk_free_bytes = replica_free_bytes(r),
		.log_bytes = r->snapshots.log_bytes,
		.trouble = r->trouble[0] ? r->trouble : NULL,
		.proposals_outstanding = r->proposals.count,
	};
	if (!r->engine.up)
		return;
	out->role = raft_state_name(raft_state(&r->engine.raft));
	out->term = raft_current_term(&r->engine.raft);
	out->last_index = raft_last_index(&r->engine.raft);
	out->commit_index = raft_commit_index(&r->engine.raft);
}
