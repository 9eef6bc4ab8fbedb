/* What libraft has committed goes into the machine, and the answer to whoever proposed it.
 *
 * An entry in the log is a packed coordfs.Entry in a frame: libraft wants lengths that are multiples of 8, and
 * protobuf cannot tell padding from fields.
 *
 *   u32 length (little-endian)  the packed Entry  0 to 7 zeros
 *
 * libraft does not tell an entry's index; it is the one after the last applied. Entries that the machine has already
 * seen (libraft was started again beside a machine that lived on, or an image is newer than its name says) are
 * skipped: an entry is applied once. */
#include <string.h>

#include "replica/internal.h"
#include "store/store_tdb.h"

#define FRAME_BYTES 4

size_t entry_frame_bytes(size_t packed)
{
	return (FRAME_BYTES + packed + 7) / 8 * 8;
}

uint8_t *entry_frame(struct raft_buffer *buffer, size_t packed)
{
	uint8_t *bytes = buffer->base;

	for (unsigned i = 0; i < FRAME_BYTES; i++)
		bytes[i] = (uint8_t)(packed >> 8 * i);
	memset(bytes + FRAME_BYTES + packed, 0, buffer->len - FRAME_BYTES - packed);
	return bytes + FRAME_BYTES;
}

struct bytes entry_unframe(const struct raft_buffer *buffer)
{
	const uint8_t *bytes = buffer->base;
	size_t size = 0;

	if (buffer->len < FRAME_BYTES)
		return (struct bytes){NULL, 0};
	for (unsigned i = 0; i < FRAME_BYTES; i++)
		size |= (size_t)bytes[i] << 8 * i;
	if (size > buffer->len - FRAME_BYTES)
		return (struct bytes){NULL, 0};
	return (struct bytes){bytes + FRAME_BYTES, size};
}

/* ---- whose entry is it: two fields of it, without unpacking the rest ---- */

struct origin {
	uint64_t session, sequence;
};

static bool read_varint(struct bytes b, size_t *at, uint64_t *value)
{
	const uint8_t *data = b.data;

	*value = 0;
	for (unsigned shift = 0; shift < 64 && *at < b.size; shift += 7) {
		uint8_t byte = data[(*at)++];

		*value |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	return false;
}

/* protobuf-c packs fields in order of their numbers: the ones wanted (3, 4) come before the command (6). */
static struct origin read_origin(struct bytes entry)
{
	struct origin origin = {0, 0};
	uint64_t tag, value;
	size_t at = 0;

	while (read_varint(entry, &at, &tag) && (tag & 7) == 0 && read_varint(entry, &at, &value)) {
		if (tag >> 3 == 3)
			origin.session = value;
		else if (tag >> 3 == 4)
			origin.sequence = value;
	}
	return origin;
}

/* The SessionOpen that this member waits for. */
static bool is_our_opening(const struct replica *r, const Coordfs__Command *c)
{
	const Coordfs__SessionOpen *open = c->session_open;

	return r->opening_key && c->of_case == COORDFS__COMMAND__OF_SESSION_OPEN &&
	       open->incarnation.len == sizeof r->incarnation &&
	       memcmp(open->incarnation.data, r->incarnation, sizeof r->incarnation) == 0;
}

static bool is_our_reset(const struct replica *r, const Coordfs__Command *c)
{
	return r->must_reset && c->of_case == COORDFS__COMMAND__OF_CLUSTER_RESET &&
	       c->cluster_reset->keep == r->directory.id && machine_applied(r->machine) > r->directory.reset_after;
}

static void reset_done(struct replica *r)
{
	if (directory_reset_done(&r->directory))
		replica_fail(r, "%s/member cannot be written", r->directory.path);
	else
		r->must_reset = false;
}

/* An entry of no session: of the cluster's own. */
static void look_at(struct replica *r, struct bytes bytes, const struct reply *reply)
{
	Coordfs__Entry *entry = coordfs__entry__unpack(NULL, bytes.size, bytes.data);

	if (!entry)
		return;
	r->members_dirty = true;
	if (entry->command && is_our_opening(r, entry->command))
		proposals_applied_other(r->proposals, r->opening_key, reply);
	else if (entry->command && is_our_reset(r, entry->command))
		reset_done(r);
	coordfs__entry__free_unpacked(entry, NULL);
}

static void answer(struct replica *r, struct bytes entry, const struct reply *reply)
{
	struct origin origin = read_origin(entry);

	if (origin.session == 0) {
		look_at(r, entry, reply);
	} else if (origin.session == r->session || origin.session == r->former_session) {
		r->metrics.commits++;
		proposals_applied(r->proposals, origin.session, origin.sequence, reply);
	}
}

/* ---- libraft's calls ---- */

bool apply_machine_ready(struct replica *r)
{
	if (r->machine)
		return true;
	if (store_tdb_new(&r->store) || machine_new(r->store, &r->observer, &r->machine)) {
		replica_fail(r, "%s: out of memory", r->directory.path);
		return false;
	}
	return true;
}

int apply_entry(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	struct replica *r = fsm->data;
	uint64_t index = r->engine.raft.last_applied + 1;
	struct bytes entry = entry_unframe(buffer);
	struct reply reply;
	int rc;

	*result = NULL;
	snapshots_note_entry(r, buffer->len);
	if (r->state == REPLICA_FAILED || !apply_machine_ready(r) || index <= machine_applied(r->machine))
		return 0;
	replica_check_lease(r); /* nothing may be granted to a session whose time is over */
	machine_set_applied(r->machine, index - 1); /* libraft's own entries between commands */
	r->applying = true;
	rc = machine_apply(r->machine, index, entry, &reply);
	if (rc)
		replica_fail(r, "%s: entry %llu cannot be applied: %s", r->directory.path, (unsigned long long)index,
			     error_text(rc));
	else
		answer(r, entry, &reply);
	r->applying = false;
	if (!rc)
		replica_keeps_up(r);
	replica_note_acknowledged(r, index);
	return 0;
}

int apply_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	struct replica *r = fsm->data;

	if (snapshot_load(r, buffer))
		return RAFT_CORRUPT;
	raft_free(buffer->base);
	return 0;
}
