/* What the member is told to be comes first, what its log says second: a new cluster's id is durable before the
 * configuration of one voter is. So a crash in between leaves a voter of the lost majority whom nobody knows, which
 * does nothing; the other way round two members could each lead a cluster of the same id.
 *
 * The log is applied here to a machine that is then thrown away: to know that this member's state is whole before
 * anything is decided, and to name the members. */
#include "replica/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/internal.h"
#include "replica/logcheck.h"
#include "replica/offline.h"
#include "store/store_tdb.h"

#define SERVERS_MAX 4096u
#define ROOM_BYTES (1u << 20)

struct recovery {
	struct recovery_facts facts;
	struct directory directory;
	struct offline offline;
	bool offline_open;
	struct raft_configuration configuration;
	struct store *store;
	struct machine *machine;
};

__attribute__((format(printf, 4, 5))) static int fail(char *error, size_t size, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, size, format, arguments);
	va_end(arguments);
	return code;
}

/* ---- the directory ---- */

/* directory_open makes what is missing; here it must be there. */
static int check_there(const char *path, char *error, size_t size)
{
	char marker[4096];
	struct stat st;

	if (stat(path, &st))
		return fail(error, size, errno == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fail(error, size, ERR_NOT_DIRECTORY, "%s is not a directory: name a member's data directory", path);
	if (snprintf(marker, sizeof marker, "%s/member", path) >= (int)sizeof marker)
		return fail(error, size, ERR_NAME_TOO_LONG, "%s: %s", path, strerror(ENAMETOOLONG));
	if (lstat(marker, &st))
		return fail(error, size, errno == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS, "%s holds no member's data: %s: %s",
			    path, marker, strerror(errno));
	return 0;
}

static int check_log(struct recovery *r, char *error, size_t size)
{
	struct log_state state;
	struct mark mark;
	int rc = mark_read(&r->directory, &mark);

	if (rc)
		return fail(error, size, ERR_CORRUPT, "%s/acknowledged is %s", r->directory.path,
			    rc == ERR_NOT_FOUND ? "missing" : "damaged");
	r->facts.acknowledged = mark.index;
	return log_check(&r->directory, &mark, &state, error, size);
}

/* ---- who votes: libraft's encoding, of bytes whose checksum was right ---- */

struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static uint64_t take(struct cursor *c, unsigned bytes)
{
	uint64_t value = 0;

	if (c->left < bytes) {
		c->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)c->at[i] << 8 * i;
	c->at += bytes;
	c->left -= bytes;
	return value;
}

static const char *take_string(struct cursor *c)
{
	const char *text = (const char *)c->at;
	size_t size = strnlen(text, c->left);

	if (size == c->left) {
		c->bad = true;
		return "";
	}
	c->at += size + 1;
	c->left -= size + 1;
	return text;
}

/* u8 format, u64 servers, each: u64 id, address with its NUL, u8 role */
static int configuration_decode(const struct raft_buffer *buffer, struct raft_configuration *out)
{
	struct cursor c = {.at = buffer->base, .left = buffer->len};
	uint64_t format = take(&c, 1), n = take(&c, 8);
	int rv = format != 1 || n > SERVERS_MAX ? RAFT_MALFORMED : 0;

	raft_configuration_init(out);
	for (uint64_t i = 0; !rv && i < n; i++) {
		uint64_t id = take(&c, 8);
		const char *address = take_string(&c);
		uint64_t role = take(&c, 1);

		rv = c.bad ? RAFT_MALFORMED : raft_configuration_add(out, id, address, (int)role);
	}
	if (rv)
		raft_configuration_close(out);
	return rv;
}

static int configuration_replace(struct recovery *r, const struct raft_buffer *buffer)
{
	struct raft_configuration new;
	int rv = configuration_decode(buffer, &new);

	if (rv)
		return rv;
	raft_configuration_close(&r->configuration);
	r->configuration = new;
	return 0;
}

/* ---- what libraft loads ---- */

struct loaded {
	raft_term term;
	raft_id voted_for;
	struct raft_snapshot *snapshot;
	raft_index start;
	struct raft_entry *entries;
	size_t count;
};

static void loaded_fini(struct loaded *l)
{
	void *batch = NULL;

	for (size_t i = 0; i < l->count; i++)
		if (l->entries[i].batch != batch) {
			batch = l->entries[i].batch;
			raft_free(batch);
		}
	raft_free(l->entries);
	if (!l->snapshot)
		return;
	raft_configuration_close(&l->snapshot->configuration);
	for (unsigned i = 0; i < l->snapshot->n_bufs; i++)
		raft_free(l->snapshot->bufs[i].base);
	raft_free(l->snapshot->bufs);
	raft_free(l->snapshot);
}

static int load_image(struct recovery *r, const struct raft_snapshot *snapshot, char *error, size_t size)
{
	const struct machine_observer nobody = {.ctx = NULL};
	char name[IMAGE_NAME_BYTES], why[ERROR_BYTES];
	struct image_sum sum;
	uint64_t index;
	int fd, rc;

	if (!snapshot_name_parse(&snapshot->bufs[0], &index, &sum))
		return fail(error, size, ERR_CORRUPT, "%s: the newest snapshot is damaged", r->directory.raft_path);
	image_name(index, name);
	fd = openat(r->directory.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(error, size, ERR_CORRUPT, "%s/%s cannot be opened: %s", r->directory.path, name,
			    strerror(errno));
	rc = image_load(fd, &sum, r->store, &nobody, &r->machine, why, sizeof why);
	close(fd);
	return rc ? fail(error, size, rc, "%s/%s %s", r->directory.path, name, why) : 0;
}

static int apply_one(struct recovery *r, const struct raft_entry *entry, uint64_t index)
{
	struct reply reply;

	if (entry->type == RAFT_CHANGE)
		return configuration_replace(r, &entry->buf) ? ERR_CORRUPT : 0;
	if (entry->type != RAFT_COMMAND || index <= machine_applied(r->machine))
		return 0;
	machine_set_applied(r->machine, index - 1);
	return machine_apply(r->machine, index, entry_unframe(&entry->buf), &reply);
}

static int apply_all(struct recovery *r, const struct loaded *l, char *error, size_t size)
{
	const struct machine_observer nobody = {.ctx = NULL};
	int rc = store_tdb_new(&r->store);

	if (!rc && l->snapshot)
		rc = load_image(r, l->snapshot, error, size);
	else if (!rc)
		rc = machine_new(r->store, &nobody, &r->machine);
	if (rc == ERR_NO_MEMORY)
		return fail(error, size, rc, "%s: out of memory", r->directory.path);
	for (size_t i = 0; !rc && i < l->count; i++)
		if ((rc = apply_one(r, &l->entries[i], l->start + i)))
			fail(error, size, rc, "%s: entry %" PRIu64 " cannot be applied: %s", r->directory.path,
			     (uint64_t)(l->start + i), error_text(rc));
	if (!rc && machine_level(r->machine) > LEVEL_LATEST)
		rc = fail(error, size, ERR_NOT_SUPPORTED,
			  "%s: this program is too old: it knows level %u, the cluster has come to level %u",
			  r->directory.path, (unsigned)LEVEL_LATEST, machine_level(r->machine));
	return rc;
}

/* The configuration of the snapshot, for libraft's own list to stay with it. */
static int begin_configuration(struct recovery *r, const struct raft_snapshot *snapshot)
{
	int rv = 0;

	for (unsigned i = 0; !rv && snapshot && i < snapshot->configuration.n; i++) {
		const struct raft_server *s = &snapshot->configuration.servers[i];

		rv = raft_configuration_add(&r->configuration, s->id, s->address, s->role);
	}
	return rv;
}

static void note_facts(struct recovery *r, const struct loaded *l)
{
	struct recovery_facts *f = &r->facts;

	f->path = r->directory.path;
	f->member = r->directory.member;
	f->cluster = r->directory.cluster;
	f->id = r->directory.id;
	f->last_index = l->start + l->count - 1;
	f->last_term = l->count ? l->entries[l->count - 1].term : l->snapshot ? l->snapshot->term : 0;
	f->time_ns = (int64_t)machine_time_ns(r->machine);
	for (unsigned i = 0; i < r->configuration.n; i++) {
		const struct raft_server *s = &r->configuration.servers[i];

		if (s->role == RAFT_VOTER)
			f->voters++;
		else
			f->standbys++;
		if (s->id == f->id)
			f->votes = s->role == RAFT_VOTER;
	}
	f->alone = f->votes && f->voters == 1;
	f->interrupted = !f->alone && strcmp(r->directory.reset_reason, "recovered") == 0;
}

static int load(struct recovery *r, char *error, size_t size)
{
	struct raft_io *io = &r->offline.io;
	struct loaded l = {.term = 0, .start = 1};
	int rc, rv;

	rv = io->load(io, &l.term, &l.voted_for, &l.snapshot, &l.start, &l.entries, &l.count);

	if (rv)
		return offline_error(&r->offline, &r->directory, rv, error, size);
	if (l.start + l.count == 1)
		return fail(error, size, ERR_NOT_FOUND, "%s: this member never received anything from its cluster: there is "
			    "nothing to go on from", r->directory.path);
	rc = begin_configuration(r, l.snapshot) ? fail(error, size, ERR_NO_MEMORY, "%s: out of memory", r->directory.path)
						: apply_all(r, &l, error, size);
	if (!rc)
		note_facts(r, &l);
	loaded_fini(&l);
	return rc;
}

int recovery_open(const char *directory, struct recovery **out, char *error, size_t error_size)
{
	struct recovery *r;
	int rc = check_there(directory, error, error_size);

	*out = NULL;
	if (rc)
		return rc;
	r = calloc(1, sizeof *r);
	if (!r)
		return fail(error, error_size, ERR_NO_MEMORY, "%s: out of memory", directory);
	raft_configuration_init(&r->configuration);
	rc = directory_open(&r->directory, directory, NULL, error, error_size);
	if (!rc)
		rc = check_log(r, error, error_size);
	if (!rc) {
		rc = offline_open(&r->offline, &r->directory, error, error_size);
		r->offline_open = rc == 0;
	}
	if (!rc)
		rc = load(r, error, error_size);
	if (rc)
		recovery_close(r);
	else
		*out = r;
	return rc;
}

const struct recovery_facts *recovery_facts(const struct recovery *r)
{
	return &r->facts;
}

/* ---- the members ---- */

struct lookup {
	struct recovery_member member;
	void (*each)(void *ctx, const struct recovery_member *member);
	void *ctx;
	bool told;
};

static int look_up(void *ctx, const struct member_info *info)
{
	struct lookup *l = ctx;

	if (info->id != l->member.id)
		return 0;
	l->member.name = info->name;
	l->member.address = info->address;
	l->told = true;
	l->each(l->ctx, &l->member);
	return 1;
}

void recovery_members(struct recovery *r, void (*each)(void *ctx, const struct recovery_member *member), void *ctx)
{
	for (unsigned i = 0; i < r->configuration.n; i++) {
		const struct raft_server *s = &r->configuration.servers[i];
		struct lookup l = {{s->id, "", "", s->role == RAFT_VOTER}, each, ctx, false};

		machine_members(r->machine, look_up, &l);
		if (!l.told)
			each(ctx, &l.member);
	}
}

/* ---- the step ---- */

int recovery_run(struct recovery *r, char *error, size_t error_size)
{
	struct raft_configuration alone;
	int rc, rv;

	if (directory_free_bytes(&r->directory) < ROOM_BYTES)
		return offline_error(&r->offline, &r->directory, RAFT_NOSPACE, error, error_size);
	rc = directory_renew(&r->directory, "recovered", r->facts.last_index, error, error_size);
	if (rc)
		return rc;
	unlinkat(r->directory.fd, "peers", 0); /* where those were that are lost; it need not be there */
	rv = offline_configuration(&r->directory, &alone);
	if (!rv)
		rv = raft_recover(&r->offline.raft, &alone);
	raft_configuration_close(&alone);
	return rv ? offline_error(&r->offline, &r->directory, rv, error, error_size) : 0;
}

void recovery_close(struct recovery *r)
{
	if (r->offline_open)
		offline_close(&r->offline);
	raft_configuration_close(&r->configuration);
	machine_free(r->machine);
	store_tdb_free(r->store);
	directory_close(&r->directory);
	free(r);
}
