/* libraft with raft_uv's log, one voter, no peers yet.
 *
 * What had to be known of libraft 0.22.1 (read in its source):
 * - raft_apply answers RAFT_NOSPACE at once when less than 4 MiB are left in segments that are allocated already. So
 *   a full disk is a clean refusal; segments are tried again every disk_retry ms, and it serves again by itself.
 *   Only the first two are not: when they cannot be made at the start nobody tries again. We do, by a new start.
 * - An append that fails on disk is "retried" by a timer whose callback takes the wrong structure: memory corruption.
 *   raft_uv says so beforehand only through its tracer ("retry failed write"). There we set the timer so far off that
 *   it never fires, and start libraft again. What was in flight is then found in the log, or is not there.
 * - Closing a segment that fails is said through the tracer too, from another thread ("truncate segment").
 * - With no tracer libraft formats no messages (it does with its default one, even when nobody listens): raft's is
 *   NULL. raft_uv's costs two snprintf an entry.
 * - A lone voter makes itself leader within raft_start, everything in its log counts as committed, and is applied.
 * - raft_apply frees the entry's bytes once raft_uv was asked to append, even if that fails, which leaves raft and its
 *   log of different opinion: start again.
 *
 * Starting again leaves the machine alone: the log has all it has applied, so only what follows is applied. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"
#include "replica/logcheck.h"

#define HEARTBEAT_MS 500 /* also how long an idle member waits before an image that is due */
#define ELECTION_MS 5000
#define DISK_RETRY_MS 250u
#define NEVER_MS (7u * 24 * 3600 * 1000)
#define RESTART_MS 250
#define SHORT_MS 2000 /* there is room, and libraft has not noticed for so long */
#define CAPACITY_KIB 4096u /* libraft's own threshold */
#define ROOM_BYTES (24u << 20) /* three segments */

static struct replica *replica_of(struct raft_io *io)
{
	return (struct replica *)((char *)io - offsetof(struct replica, engine.io));
}

/* ---- no peers: a transport that does nothing ---- */

static int transport_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
	(void)t;
	(void)id;
	(void)address;
	return 0;
}

static int transport_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
	(void)t;
	(void)cb;
	return 0;
}

static int transport_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
			     const char *address, raft_uv_connect_cb cb)
{
	(void)t;
	(void)req;
	(void)id;
	(void)address;
	(void)cb;
	return RAFT_NOCONNECTION;
}

static void transport_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
	cb(t);
}

/* ---- around raft_uv ---- */

static int append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
		  raft_io_append_cb cb)
{
	struct engine *e = &replica_of(io)->engine;

	e->reached = true;
	return e->append(io, req, entries, n, cb);
}

static void close_io(struct raft_io *io, raft_io_close_cb cb)
{
	struct replica *r = replica_of(io);

	snapshot_cancel(r);
	r->engine.close(io, cb);
}

static void trace(struct raft_tracer *tracer, int type, const void *info)
{
	const struct raft_tracer_info *i = info;
	struct replica *r = tracer->impl;

	if (type != RAFT_TRACER_DIAGNOSTIC)
		return;
	if (strncmp(i->diagnostic.message, "retry failed write", 18) == 0) {
		raft_uv_set_disk_retry(&r->engine.io, NEVER_MS);
		engine_break(r, r->engine.io.errmsg);
	} else if (strncmp(i->diagnostic.message, "truncate segment", 16) == 0) {
		r->engine.finalize_failed = true; /* not the loop's thread */
	}
}

static void wrap_io(struct engine *e)
{
	e->append = e->io.append;
	e->snapshot_put = e->io.snapshot_put;
	e->close = e->io.close;
	e->io.append = append;
	e->io.snapshot_put = snapshot_put;
	e->io.close = close_io;
}

/* ---- start ---- */

__attribute__((format(printf, 4, 5))) static int fail(char *error, size_t size, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, size, format, arguments);
	va_end(arguments);
	return code;
}

/* What libraft said, in the words of the data directory; "no room" where that is what it means. */
static int fail_raft(struct replica *r, int rv, const char *message, char *error, size_t size)
{
	uint64_t room = directory_free_bytes(&r->directory);

	if (rv == RAFT_NOSPACE || room < ROOM_BYTES / 3)
		return fail(error, size, ERR_NO_SPACE,
			    "%s: no space: %u MiB must be free on its file system, %" PRIu64 " MiB are",
			    r->directory.path, ROOM_BYTES >> 20, room >> 20);
	return fail(error, size, rv == RAFT_NOMEM ? ERR_NO_MEMORY : ERR_CORRUPT, "%s: %s", r->directory.raft_path,
		    message[0] ? message : raft_strerror(rv));
}

static int init_io(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	int rv;

	e->transport = (struct raft_uv_transport){.version = 1, .init = transport_init, .listen = transport_listen,
						  .connect = transport_connect, .close = transport_close};
	rv = raft_uv_init(&e->io, r->loop, r->directory.raft_path, &e->transport);
	if (rv)
		return fail_raft(r, rv, e->io.errmsg, error, size);
	e->tracer = (struct raft_tracer){.impl = r, .version = 2, .emit = trace};
	raft_uv_set_tracer(&e->io, &e->tracer);
	raft_uv_set_disk_retry(&e->io, DISK_RETRY_MS);
	raft_uv_set_auto_recovery(&e->io, false);
	wrap_io(e);
	return 0;
}

static int init_raft(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	int rv;

	memset(&e->raft, 0, sizeof e->raft);
	e->fsm = (struct raft_fsm){.version = 1, .data = r, .apply = apply_entry, .snapshot = snapshot_begin,
				   .restore = apply_snapshot};
	rv = raft_init(&e->raft, &e->io, &e->fsm, r->directory.id, r->directory.member);
	if (rv) {
		int rc = fail_raft(r, rv, e->raft.errmsg, error, size);

		raft_uv_close(&e->io);
		return rc;
	}
	e->raft.tracer = NULL;
	raft_set_pre_vote(&e->raft, true);
	raft_set_heartbeat_timeout(&e->raft, HEARTBEAT_MS);
	raft_set_election_timeout(&e->raft, ELECTION_MS);
	raft_set_max_inflight_entries(&e->raft, 4096);
	raft_set_snapshot_threshold(&e->raft, UINT32_MAX); /* we say when */
	return 0;
}

static int bootstrap(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	struct raft_configuration configuration;
	int rv;

	raft_configuration_init(&configuration);
	rv = raft_configuration_add(&configuration, r->directory.id, r->directory.member, RAFT_VOTER);
	if (!rv)
		rv = raft_bootstrap(&e->raft, &configuration);
	raft_configuration_close(&configuration);
	if (rv)
		return fail_raft(r, rv, e->io.errmsg, error, size);
	return directory_settle(&r->directory, error, size);
}

static int start_raft(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	int rv = raft_start(&e->raft);

	apply_machine_ready(r);
	if (r->state == REPLICA_FAILED)
		return fail(error, size, ERR_CORRUPT, "%s", r->failure);
	if (rv)
		return fail_raft(r, rv, e->raft.errmsg, error, size);
	if (raft_state(&e->raft) != RAFT_LEADER || raft_last_applied(&e->raft) != raft_last_index(&e->raft))
		return fail(error, size, ERR_NOT_SUPPORTED, "%s is of a cluster of several members",
			    r->directory.path);
	if (e->io.capacity < CAPACITY_KIB)
		return fail_raft(r, RAFT_NOSPACE, "", error, size);
	return 0;
}

/* libraft may only be let at a log that is whole. */
static int check(struct replica *r, char *error, size_t size)
{
	struct log_state state;
	struct mark mark;
	int rc;

	if (r->directory.fresh)
		return 0;
	rc = mark_read(&r->directory, &mark);
	if (rc == ERR_NOT_FOUND)
		return fail(error, size, ERR_CORRUPT,
			    "%s/acknowledged is missing: restore the directory from a backup", r->directory.path);
	if (rc)
		return fail(error, size, ERR_CORRUPT,
			    "%s/acknowledged is damaged: restore the directory from a backup", r->directory.path);
	if (r->machine && machine_applied(r->machine) > mark.index)
		mark.index = machine_applied(r->machine);
	r->chores.mark = r->chores.written = mark;
	rc = log_check(&r->directory, &mark, &state, error, size);
	if (!rc && state.cut_bytes)
		log_line(r->log, LOG_LEVEL_INFO, "%s: dropping %" PRIu64 " bytes of a write that a crash cut off",
			 r->directory.raft_path, state.cut_bytes);
	return rc;
}

int engine_start(struct replica *r, char *error, size_t error_size)
{
	struct engine *e = &r->engine;
	int rc = check(r, error, error_size);

	if (!rc)
		rc = init_io(r, error, error_size);
	if (!rc)
		rc = init_raft(r, error, error_size);
	if (rc)
		return rc;
	e->broken = false;
	e->finalize_failed = false;
	e->short_since_ms = 0;
	snapshots_reset(r);
	if (r->directory.fresh)
		rc = bootstrap(r, error, error_size);
	if (!rc)
		rc = start_raft(r, error, error_size);
	if (rc) {
		engine_stop(r, NULL);
		return rc;
	}
	e->up = true;
	snapshots_consider(r);
	return 0;
}

/* ---- stop ---- */

static void raft_closed(struct raft *raft)
{
	struct replica *r = replica_of(raft->io);

	/* raft_uv is still on the stack: its memory is freed from engine_run. */
	r->engine.released = true;
	replica_kick(r);
}

bool engine_is_idle(const struct replica *r)
{
	return !r->engine.up && !r->engine.closing;
}

void engine_stop(struct replica *r, void (*closed)(struct replica *r))
{
	struct engine *e = &r->engine;

	e->closed = closed;
	e->up = false;
	e->closing = true;
	e->released = false;
	raft_close(&e->raft, raft_closed);
}

/* ---- after a failure ---- */

void engine_break(struct replica *r, const char *why)
{
	struct engine *e = &r->engine;

	if (e->broken || !e->up)
		return;
	e->broken = true;
	snprintf(e->why, sizeof e->why, "%s", why);
	log_line(r->log, LOG_LEVEL_WARNING, "%s: the log failed (%s): opening it again", r->directory.path, why);
	replica_kick(r);
	replica_wake(r);
}

static void stopped_for_restart(struct replica *r)
{
	r->engine.retry_at_ms = replica_now_ms(r);
	replica_wake(r);
}

void engine_run(struct replica *r)
{
	struct engine *e = &r->engine;

	if (e->released) {
		void (*closed)(struct replica *) = e->closed;

		e->released = e->closing = false;
		raft_uv_close(&e->io);
		if (closed)
			closed(r);
	} else if (e->broken && e->up) {
		engine_stop(r, stopped_for_restart);
	}
}

static void restart(struct replica *r, uint64_t now_ms)
{
	struct engine *e = &r->engine;
	int rc = engine_start(r, e->why, sizeof e->why);

	e->retry_at_ms = now_ms + RESTART_MS;
	if (rc == 0) {
		log_line(r->log, LOG_LEVEL_INFO, "%s: the log is open again", r->directory.path);
		replica_trouble(r, NULL);
		/* All of the log is applied: what is still unknown is not in it. */
		proposals_fail(r, PROPOSAL_UNKNOWN, ERR_NO_SPACE);
		replica_kick(r);
	} else if (rc == ERR_CORRUPT && replica_free_bytes(r) >= ROOM_BYTES) {
		replica_fail(r, "%s", e->why);
	} else {
		replica_trouble(r, "%s", e->why);
	}
}

/* Up, but libraft has no prepared segments. */
static void watch_capacity(struct replica *r, uint64_t now_ms)
{
	struct engine *e = &r->engine;

	if (e->io.capacity >= CAPACITY_KIB) {
		e->short_since_ms = 0;
		replica_trouble(r, NULL);
		return;
	}
	replica_trouble(r, "%s: no space: %" PRIu64 " MiB are free on its file system, %u are needed for writes",
			r->directory.path, replica_free_bytes(r) >> 20, ROOM_BYTES >> 20);
	if (replica_free_bytes(r) < ROOM_BYTES)
		e->short_since_ms = now_ms;
	else if (now_ms - e->short_since_ms > SHORT_MS)
		engine_break(r, "it does not notice that there is room again");
}

void engine_tick(struct replica *r, uint64_t now_ms)
{
	struct engine *e = &r->engine;

	if (e->finalize_failed)
		engine_break(r, "a segment could not be closed");
	if (e->up && e->short_since_ms)
		watch_capacity(r, now_ms);
	if (engine_is_idle(r) && now_ms >= e->retry_at_ms)
		restart(r, now_ms);
}

bool engine_needs_tick(const struct replica *r)
{
	return !r->engine.up || r->engine.broken || r->engine.short_since_ms;
}

/* ---- submit ---- */

static int refused(struct replica *r, int rv)
{
	struct engine *e = &r->engine;

	if (rv == RAFT_NOTLEADER)
		return ERR_NO_QUORUM;
	if (!e->short_since_ms) {
		e->short_since_ms = replica_now_ms(r);
		watch_capacity(r, e->short_since_ms);
		log_line(r->log, LOG_LEVEL_WARNING, "%s", r->trouble);
		replica_wake(r);
	}
	return ERR_NO_SPACE;
}

int engine_submit(struct replica *r, struct proposal *p, raft_apply_cb released)
{
	struct engine *e = &r->engine;
	int rv;

	if (!e->up || e->broken)
		return replica_free_bytes(r) < ROOM_BYTES ? ERR_NO_SPACE : ERR_BUSY;
	e->reached = false;
	rv = raft_apply(&e->raft, &p->request, &p->buffer, 1, released);
	if ((rv == RAFT_NOSPACE || rv == RAFT_NOTLEADER) && !e->reached)
		return refused(r, rv);
	p->buffer = (struct raft_buffer){0};
	p->held = rv == 0;
	if (rv)
		engine_break(r, raft_strerror(rv));
	return 0;
}
