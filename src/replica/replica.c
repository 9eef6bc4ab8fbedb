/* One member: its parts, its life.
 *
 *   JOINING     a new directory, and a cluster to join: its members are asked (joining.c)
 *               directory, log, image: all within replica_open, or when the cluster has let it in
 *   OPENING     SessionOpen is proposed; its entry's index is our session. With other members this waits for a leader,
 *               and being applied here means that this member has caught up
 *   SERVING     for good; the session may be lost and another one opened meanwhile
 *   ENDING      SessionEnd is proposed, for CLOSE_MS at most
 *   LEAVING     leadership is handed over, for LEAVE_MS at most
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
#define SESSION_TTL_MS 10000
#define CLOSE_MS 2000
#define LEAVE_MS 1500
#define OPENING_KEY 1

uint64_t replica_now_ms(const struct replica *r)
{
	return uv_now(r->loop);
}

uint64_t replica_free_bytes(struct replica *r)
{
	uint64_t now = replica_now_ms(r);

	if (!r->free_bytes_at_ms || now - r->free_bytes_at_ms >= REPLICA_TICK_MS) {
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

static void tell(struct replica *r, const struct event *event)
{
	if (r->observing && r->config.observer.event)
		r->config.observer.event(r->config.observer.ctx, event);
}

/* The log says that our session is over: of one that was lost nobody is told again. */
static void own_session_ended(struct replica *r, const struct event *event)
{
	if (event->session == r->session) {
		tell(r, event);
		r->session = 0;
		holder_end(&r->holder);
	}
	r->former_session = 0;
	proposals_session_over(r->proposals);
	replica_kick(r);
}

static void observe_event(void *ctx, const struct event *event)
{
	struct replica *r = ctx;

	if (event->type == EVENT_SESSION_END) {
		keeper_forget(r->keeper, event->session);
		if (event->session == r->session || event->session == r->former_session) {
			if (event->session)
				own_session_ended(r, event);
			return;
		}
	}
	tell(r, event);
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
		directory_sweep(&r->directory, r->chores.keep);
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
	c->keep = r->fetch.active ? r->fetch.index : 0;
	c->written = c->mark;
	c->work.data = r;
	c->running = uv_queue_work(r->loop, &c->work, chores_work, chores_done) == 0;
}

bool replica_keeps_up(struct replica *r)
{
	uint32_t cluster = machine_level(r->machine);

	if (cluster <= r->config.level)
		return true;
	replica_fail(r, "%s: this program is too old: it knows level %u, the cluster has come to level %u: install the version "
		     "that was here before, or a newer one", r->directory.path, r->config.level, cluster);
	return false;
}

void replica_note_acknowledged(struct replica *r, uint64_t index)
{
	/* What a majority has stored may be applied before it is on our own disk. */
	if (index > r->engine.raft.last_stored)
		index = r->engine.raft.last_stored;
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
static void session_needed(struct replica *r);

static void tell_restored(struct replica *r)
{
	bool lives = r->session && machine_session_alive(r->machine, r->session);
	struct event end = {.type = EVENT_SESSION_END, .session = r->session};

	r->restored_untold = false;
	peers_members_changed(r);
	proposals_restored(r->proposals, lives, replica_boottime_ms());
	if (r->config.restored)
		r->config.restored(r->config.ctx);
	eventual_check_roots(r);
	if (r->session && !lives) {
		tell(r, &end);
		r->session = 0;
		holder_end(&r->holder);
	}
}

static void tell_failure(struct replica *r)
{
	r->failure_told = true;
	log_line(r->log, LOG_LEVEL_ERROR, "%s", r->failure);
	if (r->config.failed)
		r->config.failed(r->config.ctx, r->failure);
}

static void run_started(struct replica *r)
{
	lead_observe(r);
	if (r->restored_untold)
		tell_restored(r);
	if (r->members_dirty) {
		r->members_dirty = false;
		peers_members_changed(r);
	}
	session_needed(r);
	proposals_run(r->proposals, replica_boottime_ms());
	forward_flush(r);
	outbox_flush(r);
	lead_tell_commit(r);
}

static void run(struct replica *r)
{
	uv_check_stop(&r->check);
	uv_idle_stop(&r->idle);
	engine_run(r);
	if (r->started)
		run_started(r);
	if (r->state == REPLICA_FAILED && !r->failure_told)
		tell_failure(r);
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
	return r->state == REPLICA_JOINING || (r->started && (lead_is_busy(r) || cluster_is_busy(r))) ||
	       r->chores.mark_dirty || r->chores.sweep || r->closed || snapshots_need_tick(r) || engine_needs_tick(r);
}

static void tick_started(struct replica *r, uint64_t now_ms)
{
	engine_tick(r, now_ms);
	snapshots_tick(r, now_ms);
	replica_check_lease(r);
	lead_tick(r, replica_boottime_ms());
	fetch_tick(r, now_ms);
	peers_tick(r, now_ms);
	cluster_tick(r, now_ms);
	replica_kick(r);
}

static void on_tick(uv_timer_t *timer)
{
	struct replica *r = timer->data;
	uint64_t now = replica_now_ms(r);

	if (r->state == REPLICA_JOINING)
		joining_tick(r, now);
	else if (r->state != REPLICA_FAILED && r->state != REPLICA_CLOSING)
		tick_started(r, now);
	chores_tick(r);
	advance_close(r);
	if (r->handles && !needs_tick(r))
		uv_timer_stop(timer);
}

void replica_wake(struct replica *r)
{
	if (r->handles && !uv_is_active((uv_handle_t *)&r->tick))
		uv_timer_start(&r->tick, on_tick, REPLICA_TICK_MS, REPLICA_TICK_MS);
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
	joining_fini(r);
	cluster_fini(r);
	lead_fini(r);
	peers_fini(r);
	machine_free(r->machine);
	store_tdb_free(r->store);
	outbox_fini(&r->engine.outbox);
	directory_close(&r->directory);
	free((char *)(uintptr_t)r->config.directory);
	free((char *)(uintptr_t)r->config.member);
	free((char *)(uintptr_t)r->config.listen);
	free((char *)(uintptr_t)r->config.join);
	free((char *)(uintptr_t)r->config.version);
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

/* Other members can lead: one of them is to, before this one goes. */
static void hand_over(struct replica *r)
{
	r->state = REPLICA_LEAVING;
	r->closing_since_ms = replica_now_ms(r);
	r->transferring = raft_transfer(&r->engine.raft, &r->raft_transfer, 0, NULL) == 0;
}

static void advance_leaving(struct replica *r)
{
	uint64_t since = replica_now_ms(r) - r->closing_since_ms;

	if (r->state == REPLICA_ENDING && since > CLOSE_MS)
		r->state = REPLICA_CLOSING;
	if (r->state == REPLICA_LEAVING && (!r->standing.leads || since > LEAVE_MS))
		r->state = REPLICA_CLOSING;
}

static void fail_all(struct replica *r)
{
	fetch_drop(r);
	cluster_fail(r);
	reader_fail(r->reader, ERR_NO_QUORUM);
	proposals_fail(r->proposals, ERR_TIMED_OUT, ERR_NO_QUORUM);
	proposals_run(r->proposals, replica_boottime_ms());
}

/* Step by step, as each is done. */
static void advance_close(struct replica *r)
{
	advance_leaving(r);
	if (!r->closed || r->state == REPLICA_ENDING || r->state == REPLICA_LEAVING)
		return;
	if (r->engine.up && !r->engine.closing)
		engine_stop(r, NULL);
	peers_close(r);
	eventual_close(r);
	if (!engine_is_idle(r) || r->chores.running || r->net || r->gossip || r->fetch.syncing ||
	    uv_is_closing((uv_handle_t *)&r->tick))
		return;
	if (r->started)
		fail_all(r);
	write_last_mark(r);
	close_handles(r);
}

static void session_ended(void *ctx, const struct reply *reply)
{
	struct replica *r = ctx;

	(void)reply;
	if (r->state == REPLICA_ENDING && r->standing.leads && !r->standing.alone && r->engine.up)
		hand_over(r);
	else if (r->state == REPLICA_ENDING)
		r->state = REPLICA_CLOSING;
	replica_kick(r);
}

void replica_close(struct replica *r, void (*done)(void *ctx), void *ctx)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd end = COORDFS__SESSION_END__INIT;

	r->closed = done;
	r->closed_ctx = ctx;
	directory_ends(&r->directory);
	r->closing_since_ms = replica_now_ms(r);
	r->observing = false;
	if (r->state == REPLICA_SERVING && r->engine.up && r->session && r->standing.leader) {
		end.session = r->session;
		end.reason = (char *)(uintptr_t) "unmounted";
		command.of_case = COORDFS__COMMAND__OF_SESSION_END;
		command.session_end = &end;
		r->state = REPLICA_ENDING;
		proposals_add(r->proposals, &command, session_ended, r, replica_boottime_ms());
	} else if (r->state != REPLICA_FAILED) {
		r->state = REPLICA_CLOSING;
	}
	replica_kick(r);
	replica_wake(r);
}

/* ---- the beginning ---- */

static void serve(struct replica *r)
{
	r->state = REPLICA_SERVING;
	r->observing = true;
	log_line(r->log, LOG_LEVEL_INFO, "%s: member %s, session %" PRIu64 ", entry %" PRIu64, r->directory.path,
		 r->directory.member, r->session, machine_applied(r->machine));
	if (r->config.ready)
		r->config.ready(r->config.ctx);
	eventual_check_roots(r);
}

static bool is_transient(int code)
{
	return code == ERR_NO_QUORUM || code == ERR_TIMED_OUT || code == ERR_NO_SPACE || code == ERR_BUSY;
}

static void session_opened(void *ctx, const struct reply *reply)
{
	struct replica *r = ctx;

	r->opening_key = 0;
	if (r->state != REPLICA_OPENING && r->state != REPLICA_SERVING)
		return;
	if (is_transient(reply->code) && (r->net || r->state == REPLICA_SERVING))
		return; /* session_needed asks again */
	if (reply->code) {
		replica_fail(r, "%s: no session: %s", r->directory.path,
			     reply->text[0] ? reply->text : error_text(reply->code));
		return;
	}
	r->session = (uint64_t)reply->value;
	r->former_session = 0;
	holder_begin(&r->holder, r->open_sent_ms);
	reader_news(r->reader, r->open_sent_ms, reply->revision);
	proposals_set_session(r->proposals, r->session);
	if (r->state == REPLICA_OPENING)
		serve(r);
	else
		log_line(r->log, LOG_LEVEL_INFO, "a new session: %" PRIu64, r->session);
	replica_kick(r);
}

/* A cluster that was made of a lost one's state: what that one had of members and sessions goes first. */
static bool reset_cluster(struct replica *r)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__ClusterReset reset = COORDFS__CLUSTER_RESET__INIT;

	if (!r->settled || r->reset_asked)
		return false;
	reset.keep = r->directory.id;
	reset.reason = r->directory.reset_reason;
	command.of_case = COORDFS__COMMAND__OF_CLUSTER_RESET;
	command.cluster_reset = &reset;
	r->reset_asked = true;
	lead_submit_own(r, &command);
	return false;
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
	open.ttl_ms = r->net ? r->config.session_ttl_ms : 0;
	open.level = r->config.level;
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &open;
	r->opening_key = OPENING_KEY;
	proposals_add_other(r->proposals, &command, r->opening_key, session_opened, r, replica_boottime_ms());
}

/* Always a new incarnation: a session counts from when its opening was first sent, and of an earlier attempt that was
 * given up that may be too long ago. Should the log have that one after all, the new one ends it. */
static void begin_session(struct replica *r)
{
	r->open_sent_ms = replica_boottime_ms();
	if (getrandom(r->incarnation, sizeof r->incarnation, 0) == sizeof r->incarnation)
		open_session(r);
}

static void session_needed(struct replica *r)
{
	bool serving = r->state == REPLICA_OPENING || r->state == REPLICA_SERVING;

	if (!serving || r->session || r->opening_key || r->closed)
		return;
	if (r->must_reset && !reset_cluster(r))
		return;
	begin_session(r);
}

void replica_check_lease(struct replica *r)
{
	struct event end = {.type = EVENT_SESSION_END, .session = r->session};

	if (!r->session || !r->net || !holder_lost(&r->holder, replica_boottime_ms()))
		return;
	log_line(r->log, LOG_LEVEL_WARNING,
		 "session %" PRIu64 " could not be renewed in time: what it held counts as lost from now on", r->session);
	tell(r, &end);
	r->former_session = r->session;
	r->session = 0;
	proposals_lost(r->proposals);
	replica_kick(r);
}

uint64_t replica_lease_ms(struct replica *r, unsigned *margin_ms)
{
	*margin_ms = 0;
	replica_check_lease(r);
	if (!r->session)
		return 0;
	if (!r->net)
		return UINT64_MAX;
	*margin_ms = keeper_margin_ms(r->holder.ttl_ms);
	return holder_left_ms(&r->holder, replica_boottime_ms());
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
	r->config.listen = config->listen ? strdup(config->listen) : NULL;
	r->config.join = config->join ? strdup(config->join) : NULL;
	r->config.version = strdup(config->version ? config->version : "");
	r->config.timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
	r->config.session_ttl_ms = config->session_ttl_ms ? config->session_ttl_ms : SESSION_TTL_MS;
	r->config.level = config->level ? config->level : LEVEL_LATEST;
	if (config->key)
		r->config.key = memcpy(r->key, config->key, sizeof r->key);
	r->observer = (struct machine_observer){.ctx = r, .event = observe_event,
						.before_gone = observe_before_gone, .log = observe_log};
	if (!r->config.directory || (config->member && !r->config.member) || (config->listen && !r->config.listen) ||
	    (config->join && !r->config.join) || !r->config.version) {
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
	r->state = REPLICA_FAILED;
	peers_close(r);
	eventual_close(r);
	while (!engine_is_idle(r) || r->net || r->gossip) {
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

int replica_start(struct replica *r, char *error, size_t error_size)
{
	int rc = lead_init(r);

	if (rc) {
		snprintf(error, error_size, "out of memory");
		return rc;
	}
	r->started = true;
	rc = eventual_open(r, error, error_size);
	if (rc)
		return rc;
	rc = engine_start(r, error, error_size);
	if (rc)
		return rc;
	directory_sweep(&r->directory, 0);
	uv_update_time(r->loop); /* recovery may have taken seconds */
	r->state = REPLICA_OPENING;
	r->must_reset = r->directory.reset_reason[0];
	r->members_dirty = true;
	replica_kick(r);
	replica_wake(r);
	return 0;
}

static int open_parts(struct replica *r, char *error, size_t error_size)
{
	const struct replica_config *c = &r->config;
	int rc;

	open_handles(r);
	r->state = c->listen && c->join ? REPLICA_JOINING : REPLICA_OPENING;
	rc = peers_open(r, error, error_size); /* first: an address that cannot be had changes nothing on disk */
	if (!rc)
		rc = directory_open(&r->directory, c->directory, c->member, error, error_size);
	if (rc)
		return rc;
	if (r->state == REPLICA_JOINING) {
		joining_start(r);
		return 0;
	}
	if (r->net)
		peers_identify(r);
	return replica_start(r, error, error_size);
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
	rc = open_parts(r, error, error_size);
	if (rc) {
		abandon(r);
		return rc;
	}
	replica_wake(r);
	*out = r;
	return 0;
}

/* ---- use ---- */

uint64_t replica_propose(struct replica *r, const Coordfs__Command *command, replica_done done, void *ctx)
{
	uint64_t sequence;

	replica_check_lease(r);
	sequence = proposals_add(r->proposals, command, done, ctx, replica_boottime_ms());
	replica_kick(r);
	replica_wake(r);
	return sequence;
}

/* The only voter answers a change after it has applied it, and nobody else can have answered one: its state holds all
 * that a reader may know of, also while the log is being opened again. */
bool replica_reads_alone(const struct replica *r)
{
	return !r->net || (r->standing.alone && r->settled);
}

int replica_read_barrier(struct replica *r, void (*ready)(void *ctx, int code), void *ctx)
{
	replica_check_lease(r);
	if (r->state != REPLICA_SERVING && r->state != REPLICA_ENDING)
		return ERR_NO_QUORUM;
	if (replica_reads_alone(r))
		return OK;
	reader_add(r->reader, ready, ctx, replica_boottime_ms());
	replica_kick(r);
	replica_wake(r);
	return QUEUED;
}

uint64_t replica_age_ms(struct replica *r)
{
	uint64_t current_ms = reader_current_ms(r->reader);

	if (replica_reads_alone(r))
		return 0;
	return current_ms ? replica_boottime_ms() - current_ms : UINT64_MAX;
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
		.level = r->machine ? machine_level(r->machine) : 0,
		.trouble = r->trouble[0] ? r->trouble : peers_trouble(r),
		.proposals_outstanding = proposals_count(r->proposals),
	};
	if (!r->engine.up)
		return;
	out->role = raft_state_name(raft_state(&r->engine.raft));
	out->term = raft_current_term(&r->engine.raft);
	out->last_index = raft_last_index(&r->engine.raft);
	out->commit_index = raft_commit_index(&r->engine.raft);
}
