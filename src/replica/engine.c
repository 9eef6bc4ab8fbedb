/* libraft with raft_uv's log; its messages travel by net/ (peers.c), since raft_io's seam lets us replace `send`.
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
 * - For each entry that is on its own disk, a leader goes through all that are not committed; and for each that a former
 *   leader had begun, through all raft_apply requests. So of both there must not be many: with 20,000 it hears nothing
 *   for seconds, is deposed, and its successor has the same to do.
 * - A lone voter makes itself leader within raft_start, everything in its log counts as committed, and is applied.
 * - raft_apply frees the entry's bytes once raft_uv was asked to append, even if that fails, which leaves raft and its
 *   log of different opinion: start again.
 *
 * - `send` must neither fail (double free) nor call back at once (use after free): see outbox.c.
 * - What is received and cannot be handled is an assert. So messages are looked at first (message.c), none is
 *   delivered to an engine that is broken, and none that only a second leader of our term could send.
 * - An InstallSnapshot that comes while an image is being taken is lost in a crash (it forgets the pending one before
 *   it looks at it): fetch.c holds it back.
 * - A follower learns what is committed from the next AppendEntries only. So that it does not wait for a heartbeat,
 *   the leader sends one of its own making, with no entries, to each follower that is known to have what is
 *   committed; it says that no result is wanted (`quiet`).
 *
 * Starting again leaves the machine alone: the log has all it has applied, so only what follows is applied. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"
#include "replica/logcheck.h"
#include "replica/message.h"

/* Of a member that listens to nobody; also how long an idle member waits before an image that is due. */
#define LONE_HEARTBEAT_MS 500
#define LONE_ELECTION_MS 5000
/* A leader that is gone is replaced within 0.7 to 2 s: one follower's patience ends, but the other one refuses to vote
 * against a leader that it still believes in (pre-vote) until its own ends, at random up to twice as late. */
#define HEARTBEAT_MS 65
#define ELECTION_MS 650
#define SNAPSHOT_MS 5000 /* libraft offers a snapshot again */
#define CATCH_UP_ROUND_MS 10000
#define DISK_RETRY_MS 250u
#define NEVER_MS (7u * 24 * 3600 * 1000)
#define RESTART_MS 250
#define SHORT_MS 2000 /* there is room, and libraft has not noticed for so long */
#define CAPACITY_KIB 4096u /* libraft's own threshold */
#define ROOM_BYTES (24u << 20) /* three segments */
/* Entries submitted to libraft and not applied yet: as many as three members have on their way. */
#define INFLIGHT_COUNT_MAX 3072u

static struct replica *replica_of(struct raft_io *io)
{
	return (struct replica *)((char *)io - offsetof(struct replica, engine.io));
}

/* ---- raft_uv's own transport: one that does nothing ---- */

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

static void count_us(uint64_t histogram[REPLICA_HISTOGRAM], uint64_t *sum, uint64_t us)
{
	unsigned i = 0;

	while (i < REPLICA_HISTOGRAM - 1 && us > 1ull << i)
		i++;
	histogram[i]++;
	*sum += us;
}

static int append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
		  raft_io_append_cb cb)
{
	struct engine *e = &replica_of(io)->engine;

	e->reached = true;
	return e->append(io, req, entries, n, cb);
}

static int send_raft(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
		     raft_io_send_cb cb)
{
	struct replica *r = replica_of(io);
	bool unwanted = r->engine.quiet && message->type == RAFT_APPEND_ENTRIES_RESULT &&
			message->append_entries_result.rejected == 0;

	req->cb = cb;
	outbox_add(r, req, message, unwanted);
	return 0;
}

static void tick(struct raft_io *io)
{
	struct replica *r = replica_of(io);

	if (!r->engine.broken)
		r->engine.tick(io);
	replica_kick(r);
}

static int start_io(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick_cb, raft_io_recv_cb recv)
{
	struct engine *e = &replica_of(io)->engine;

	e->tick = tick_cb;
	e->recv = recv;
	return e->start(io, msecs, tick, recv);
}

static void close_io(struct raft_io *io, raft_io_close_cb cb)
{
	struct replica *r = replica_of(io);

	outbox_drop(r);
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
	e->start = e->io.start;
	e->io.start = start_io;
	e->io.send = send_raft;
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

const char *engine_address(uint64_t member, char out[ENGINE_ADDRESS_BYTES])
{
	snprintf(out, ENGINE_ADDRESS_BYTES, "%" PRIu64, member);
	return out;
}

static void set_timeouts(struct replica *r)
{
	const struct replica_config *c = &r->config;
	struct raft *raft = &r->engine.raft;

	raft_set_heartbeat_timeout(raft, !r->net ? LONE_HEARTBEAT_MS : c->heartbeat_ms ? c->heartbeat_ms : HEARTBEAT_MS);
	raft_set_election_timeout(raft, !r->net ? LONE_ELECTION_MS : c->election_ms ? c->election_ms : ELECTION_MS);
	raft_set_install_snapshot_timeout(raft, SNAPSHOT_MS);
	raft_set_max_catch_up_round_duration(raft, CATCH_UP_ROUND_MS);
}

static int init_raft(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	char address[ENGINE_ADDRESS_BYTES];
	int rv;

	memset(&e->raft, 0, sizeof e->raft);
	e->fsm = (struct raft_fsm){.version = 1, .data = r, .apply = apply_entry, .snapshot = snapshot_begin,
				   .restore = apply_snapshot};
	rv = raft_init(&e->raft, &e->io, &e->fsm, r->directory.id, engine_address(r->directory.id, address));
	if (rv) {
		int rc = fail_raft(r, rv, e->raft.errmsg, error, size);

		raft_uv_close(&e->io);
		return rc;
	}
	e->raft.tracer = NULL;
	raft_set_pre_vote(&e->raft, true);
	set_timeouts(r);
	raft_set_max_inflight_entries(&e->raft, 4096);
	raft_set_snapshot_threshold(&e->raft, UINT32_MAX); /* we say when */
	return 0;
}

static int bootstrap(struct replica *r, char *error, size_t size)
{
	struct engine *e = &r->engine;
	struct raft_configuration configuration;
	char address[ENGINE_ADDRESS_BYTES];
	int rv;

	raft_configuration_init(&configuration);
	rv = raft_configuration_add(&configuration, r->directory.id, engine_address(r->directory.id, address), RAFT_VOTER);
	if (!rv)
		rv = raft_bootstrap(&e->raft, &configuration);
	raft_configuration_close(&configuration);
	if (rv)
		return fail_raft(r, rv, e->io.errmsg, error, size);
	return directory_settle(&r->directory, error, size);
}

static bool votes_alone(const struct raft *raft)
{
	const struct raft_configuration *c = &raft->configuration;

	for (unsigned i = 0; i < c->n; i++)
		if (c->servers[i].role == RAFT_VOTER && c->servers[i].id != raft->id)
			return false;
	return true;
}

/* The directory says that it is alone, the log does not yet. */
static bool is_half_recovered(const struct replica *r)
{
	return strcmp(r->directory.reset_reason, "recovered") == 0 && !votes_alone(&r->engine.raft);
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
	if (is_half_recovered(r))
		return fail(error, size, ERR_NOT_SUPPORTED,
			    "%s: a recovery of it was begun and did not end: run `coordfs recover` again",
			    r->directory.path);
	if (!r->net && (raft_state(&e->raft) != RAFT_LEADER || raft_last_applied(&e->raft) != raft_last_index(&e->raft)))
		return fail(error, size, ERR_NOT_SUPPORTED,
			    "%s is of a cluster of several members: say with listen= where this one listens",
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
	if (e->up && !e->short_since_ms && e->io.capacity < CAPACITY_KIB)
		e->short_since_ms = now_ms;
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

	if (rv == RAFT_NOTLEADER) /* or it hands over leadership */
		return raft_state(&e->raft) == RAFT_LEADER ? ERR_BUSY : ERR_NO_QUORUM;
	if (!e->short_since_ms) {
		e->short_since_ms = replica_now_ms(r);
		watch_capacity(r, e->short_since_ms);
		log_line(r->log, LOG_LEVEL_WARNING, "%s", r->trouble);
		replica_wake(r);
	}
	return ERR_NO_SPACE;
}

struct submission {
	struct raft_apply request;
	struct replica *replica;
	size_t size;
	uint64_t began_ns;
};

/* libraft lets go: the entry was applied, or libraft leads no more, or stops. */
static void released(struct raft_apply *request, int status, void *result)
{
	struct submission *s = request->data;
	struct replica *r = s->replica;

	(void)result;
	r->engine.inflight_bytes -= s->size;
	r->engine.inflight_count--;
	if (status == 0)
		count_us(r->metrics.commit_us, &r->metrics.commit_us_sum, (uv_hrtime() - s->began_ns) / 1000);
	replica_kick(r);
	free(s);
}

static struct submission *submission_new(struct replica *r, struct bytes entry, struct raft_buffer *buffer)
{
	struct submission *s = calloc(1, sizeof *s);

	buffer->len = entry_frame_bytes(entry.size);
	buffer->base = raft_malloc(buffer->len);
	if (!s || !buffer->base) {
		free(s);
		raft_free(buffer->base);
		return NULL;
	}
	memcpy(entry_frame(buffer, entry.size), entry.data, entry.size);
	s->request.data = s;
	s->replica = r;
	s->size = buffer->len;
	s->began_ns = uv_hrtime();
	return s;
}

/* raft_apply failed half-way: whether the entry is in the log, the log will tell. */
static int submitted_badly(struct replica *r, int rv)
{
	engine_break(r, raft_strerror(rv));
	return OK;
}

int engine_submit(struct replica *r, struct bytes entry)
{
	struct engine *e = &r->engine;
	struct raft_buffer buffer;
	struct submission *s;
	int rv;

	if (!e->up || e->broken)
		return replica_free_bytes(r) < ROOM_BYTES ? ERR_NO_SPACE : ERR_BUSY;
	if (r->applying || e->inflight_count >= INFLIGHT_COUNT_MAX ||
	    (e->inflight_bytes && e->inflight_bytes + entry.size > INFLIGHT_BYTES_MAX))
		return ERR_BUSY;
	s = submission_new(r, entry, &buffer);
	if (!s)
		return ERR_BUSY;
	e->reached = false;
	rv = raft_apply(&e->raft, &s->request, &buffer, 1, released);
	if (rv == 0) {
		e->inflight_bytes += s->size;
		e->inflight_count++;
		return OK;
	}
	free(s);
	if (rv != RAFT_NOSPACE && rv != RAFT_NOTLEADER)
		return submitted_badly(r, rv);
	if (e->reached)
		return submitted_badly(r, rv);
	raft_free(buffer.base);
	return refused(r, rv);
}

/* ---- receive ---- */

/* Only one leader can be of a term: another one's entries of our own term would meet an assert. */
static bool is_sane(const struct engine *e, const struct raft_message *m)
{
	uint64_t term = m->type == RAFT_APPEND_ENTRIES	  ? m->append_entries.term
			: m->type == RAFT_INSTALL_SNAPSHOT ? m->install_snapshot.term
							   : 0;

	return m->server_id != e->raft.id && !(raft_state((struct raft *)(uintptr_t)&e->raft) == RAFT_LEADER && term &&
					       term == raft_current_term(&e->raft));
}

void engine_deliver(struct replica *r, struct raft_message *message)
{
	struct engine *e = &r->engine;

	if (!e->up || e->broken || !e->recv || !is_sane(e, message)) {
		message_drop(message);
		return;
	}
	e->recv(&e->io, message);
	replica_kick(r);
}

static void receive(struct replica *r, const Coordfs__RaftMessage *in, uint64_t from)
{
	char address[ENGINE_ADDRESS_BYTES];
	struct raft_message message;

	if (message_unpack_raft(in, from, engine_address(from, address), &message))
		return;
	if (message.type == RAFT_INSTALL_SNAPSHOT)
		fetch_snapshot(r, &message);
	else
		engine_deliver(r, &message);
}

/* Entries up to the next change of the configuration, if that is not the first. */
static size_t entries_before_change(const Coordfs__AppendEntries *a)
{
	size_t n = a->n_entries ? 1 : 0;

	while (n < a->n_entries && a->entries[n]->type != RAFT_CHANGE)
		n++;
	return n;
}

/* libraft takes a change of the configuration for the first entry of the message that it comes in, wherever it stands
 * there (replicationAppend passes the wrong index): it would then never count as committed. So each one begins a
 * message of its own. */
static void receive_entries(struct replica *r, const Coordfs__AppendEntries *all, uint64_t from)
{
	Coordfs__RaftMessage message = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__AppendEntries part = *all;
	size_t left = all->n_entries;

	message.of_case = COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES;
	message.append_entries = &part;
	r->engine.quiet = all->quiet;
	do {
		part.n_entries = left;
		part.n_entries = entries_before_change(&part);
		receive(r, &message, from);
		left -= part.n_entries;
		part.prev_log_index += part.n_entries;
		if (left)
			part.prev_log_term = part.entries[part.n_entries - 1]->term;
		part.entries += part.n_entries;
	} while (left);
	r->engine.quiet = false;
}

void engine_receive(struct replica *r, const Coordfs__RaftMessage *in, uint64_t from)
{
	if (in->of_case == COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES)
		receive_entries(r, in->append_entries, from);
	else
		receive(r, in, from);
}

/* ---- where it stands ---- */

void engine_standing(const struct replica *r, struct standing *out)
{
	struct raft *raft = (struct raft *)(uintptr_t)&r->engine.raft;
	const char *address;
	raft_id leader = 0;

	*out = (struct standing){0};
	if (!r->engine.up || r->engine.broken)
		return;
	raft_leader(raft, &leader, &address);
	out->term = raft_current_term(raft);
	out->leads = raft_state(raft) == RAFT_LEADER;
	out->leader = leader;
	out->alone = out->leads && votes_alone(raft);
}

int engine_role(const struct replica *r, uint64_t member)
{
	const struct raft_configuration *c = &r->engine.raft.configuration;

	for (unsigned i = 0; r->engine.up && i < c->n; i++)
		if (c->servers[i].id == member)
			return c->servers[i].role;
	return -1;
}

/* ---- what is committed, at once ---- */

static void tell_commit(struct replica *r, struct peer *peer, uint64_t commit)
{
	struct raft *raft = &r->engine.raft;
	struct raft_message m = {.type = RAFT_APPEND_ENTRIES, .server_id = peer->id};
	raft_index match;

	if (peer->told_commit >= commit || raft_match_index(raft, peer->id, &match) || match < commit)
		return;
	m.append_entries = (struct raft_append_entries){.version = 0, .term = raft_current_term(raft),
							.prev_log_index = commit,
							.prev_log_term = raft_current_term(raft),
							.leader_commit = commit};
	if (outbox_send(r, &m, true))
		peer->told_commit = commit;
}

void engine_told(struct replica *r, const struct raft_message *message)
{
	struct peer *peer = peers_find(r, message->server_id);

	if (peer && message->append_entries.leader_commit > peer->told_commit)
		peer->told_commit = message->append_entries.leader_commit;
}

/* An entry that a leader has committed beyond the one it began with is of its own term. */
void engine_tell_commit(struct replica *r)
{
	const struct raft *raft = &r->engine.raft;
	uint64_t commit = raft_commit_index(raft);

	for (unsigned i = 0; i < raft->configuration.n; i++) {
		struct peer *peer;

		if (raft->configuration.servers[i].id == raft->id || raft->configuration.servers[i].role == RAFT_SPARE)
			continue;
		peer = peers_find(r, raft->configuration.servers[i].id);
		if (peer)
			tell_commit(r, peer, commit);
	}
}
