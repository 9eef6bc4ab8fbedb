#include "replica/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* ---- a transport to nobody: raft_uv wants one ---- */

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

/* ---- open, close ---- */

/* A snapshot that cannot be written is tried again and again; that is said here only. */
static void trace(struct raft_tracer *tracer, int type, const void *info)
{
	const struct raft_tracer_info *i = info;
	struct offline *o = tracer->impl;

	if (type == RAFT_TRACER_DIAGNOSTIC && strncmp(i->diagnostic.message, "retry snapshot write", 20) == 0)
		o->put_failed = true;
}

static int init_raft(struct offline *o, const struct directory *d)
{
	int rv = raft_uv_init(&o->io, &o->loop, d->raft_path, &o->transport);

	if (rv)
		return rv;
	raft_uv_set_tracer(&o->io, &o->tracer);
	raft_uv_set_auto_recovery(&o->io, false);
	rv = raft_init(&o->raft, &o->io, &o->fsm, d->id, d->member);
	if (rv)
		raft_uv_close(&o->io);
	else
		o->raft.tracer = NULL;
	return rv;
}

int offline_open(struct offline *o, const struct directory *d, char *error, size_t error_size)
{
	int rv;

	*o = (struct offline){.fsm = {.version = 1},
			      .transport = {.version = 1,
					    .init = transport_init,
					    .listen = transport_listen,
					    .connect = transport_connect,
					    .close = transport_close}};
	o->tracer = (struct raft_tracer){.impl = o, .version = 2, .emit = trace};
	if (uv_loop_init(&o->loop)) {
		snprintf(error, error_size, "%s: out of memory", d->path);
		return ERR_NO_MEMORY;
	}
	rv = init_raft(o, d);
	if (!rv)
		return 0;
	uv_loop_close(&o->loop);
	return offline_error(o, d, rv, error, error_size);
}

static void raft_closed(struct raft *raft)
{
	struct offline *o = (struct offline *)((char *)raft - offsetof(struct offline, raft));

	o->closed = true;
}

void offline_close(struct offline *o)
{
	raft_close(&o->raft, raft_closed);
	while (!o->closed)
		uv_run(&o->loop, UV_RUN_ONCE);
	raft_uv_close(&o->io);
	uv_run(&o->loop, UV_RUN_DEFAULT);
	uv_loop_close(&o->loop);
}

int offline_error(const struct offline *o, const struct directory *d, int rv, char *error, size_t error_size)
{
	uint64_t room = directory_free_bytes(d);

	if (rv == RAFT_NOSPACE || room < 1u << 20) {
		snprintf(error, error_size, "%s: no space left on its file system", d->path);
		return ERR_NO_SPACE;
	}
	snprintf(error, error_size, "%s: %s", d->raft_path, o->io.errmsg[0] ? o->io.errmsg : raft_strerror(rv));
	return rv == RAFT_NOMEM ? ERR_NO_MEMORY : ERR_CORRUPT;
}

/* ---- what recover and restore write ---- */

int offline_configuration(const struct directory *d, struct raft_configuration *out)
{
	char number[24];

	snprintf(number, sizeof number, "%" PRIu64, d->id);
	raft_configuration_init(out);
	return raft_configuration_add(out, d->id, number, RAFT_VOTER);
}

static void put_done(struct raft_io_snapshot_put *request, int status)
{
	struct offline *o = (struct offline *)((char *)request - offsetof(struct offline, put));

	o->put_done = true;
	o->put_status = status;
}

/* With trailing 0, as when a snapshot comes from a leader: the log goes on after it. */
static int put_snapshot(struct offline *o, const struct raft_snapshot *snapshot)
{
	int rv = o->io.snapshot_put(&o->io, 0, &o->put, snapshot, put_done);

	if (rv)
		return rv;
	while (!o->put_done && !o->put_failed)
		uv_run(&o->loop, UV_RUN_ONCE);
	return o->put_done ? o->put_status : RAFT_IOERR; /* offline_close ends it */
}

int offline_begin_log(struct offline *o, const struct directory *d, uint64_t index, const void *snapshot, size_t size)
{
	struct raft_buffer buffer = {.base = (void *)(uintptr_t)snapshot, .len = size};
	struct raft_snapshot s = {.index = index, .term = 1, .configuration_index = index, .bufs = &buffer, .n_bufs = 1};
	int rv = offline_configuration(d, &s.configuration);

	if (!rv)
		rv = o->io.set_term(&o->io, 1);
	if (!rv)
		rv = put_snapshot(o, &s);
	raft_configuration_close(&s.configuration);
	return rv;
}
