/* Commands on their way to a leader that is another member.
 *
 * Those of one turn of the loop go as one message (Forward), at its end: with many clients that is one message, one
 * unpacking and one turn of the leader's for dozens of commands. What the network then does not take certainly did not
 * reach the leader, which is what a ForwardResult with a code says too: so the sender is told as if one had come. */
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"

#define ENTRIES_MAX 256u
#define BYTES_MAX (1u << 20) /* but always one entry */

struct forwarding {
	uint64_t leader, term, stream, position; /* of the first */
	size_t count, size, capacity;
	bool refused; /* something else is to be sent when these are gone */
	uint8_t *bytes;
	size_t sizes[ENTRIES_MAX];
};

struct forwarding *forward_new(void)
{
	return calloc(1, sizeof(struct forwarding));
}

void forward_free(struct forwarding *f)
{
	if (!f)
		return;
	free(f->bytes);
	free(f);
}

static void clear(struct forwarding *f)
{
	f->count = f->size = 0;
	f->refused = false;
}

static bool reserve(struct forwarding *f, size_t size)
{
	size_t capacity = f->capacity ? f->capacity : 1u << 16;
	uint8_t *bytes;

	while (capacity < size)
		capacity *= 2;
	if (capacity == f->capacity)
		return true;
	bytes = realloc(f->bytes, capacity);
	if (!bytes)
		return false;
	f->bytes = bytes;
	f->capacity = capacity;
	return true;
}

/* A new stream starts over with all that is not answered: what waits of an older one is of no use. */
static void begin(struct forwarding *f, uint64_t leader, uint64_t term, uint64_t stream, uint64_t position)
{
	clear(f);
	f->leader = leader;
	f->term = term;
	f->stream = stream;
	f->position = position;
}

static bool continues(const struct forwarding *f, uint64_t leader, uint64_t term, uint64_t stream, uint64_t position)
{
	return f->count && f->leader == leader && f->term == term && f->stream == stream &&
	       f->position + f->count == position;
}

static bool is_full(const struct forwarding *f, size_t more)
{
	return f->count == ENTRIES_MAX || (f->count && f->size + more > BYTES_MAX);
}

int forward_add(struct replica *r, uint64_t term, uint64_t stream, uint64_t position, struct bytes entry)
{
	struct forwarding *f = r->forwarding;

	if (!continues(f, r->standing.leader, term, stream, position))
		begin(f, r->standing.leader, term, stream, position);
	if (is_full(f, entry.size) || !reserve(f, f->size + entry.size)) {
		f->refused = true;
		return QUEUED;
	}
	memcpy(f->bytes + f->size, entry.data, entry.size);
	f->size += entry.size;
	f->sizes[f->count++] = entry.size;
	replica_kick(r);
	return OK;
}

static bool send_all(struct replica *r, const struct forwarding *f)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__Forward forward = COORDFS__FORWARD__INIT;
	ProtobufCBinaryData entries[ENTRIES_MAX];
	uint8_t *at = f->bytes;

	for (size_t i = 0; i < f->count; at += f->sizes[i++])
		entries[i] = (ProtobufCBinaryData){f->sizes[i], at};
	forward.term = f->term;
	forward.stream = f->stream;
	forward.position = f->position;
	forward.n_entries = f->count;
	forward.entries = entries;
	envelope.of_case = COORDFS__ENVELOPE__OF_FORWARD;
	envelope.forward = &forward;
	return peers_send(r, f->leader, &envelope);
}

void forward_flush(struct replica *r)
{
	struct forwarding *f = r->forwarding;
	bool sent;

	if (!f->count)
		return;
	sent = send_all(r, f);
	if (f->refused)
		replica_kick(r); /* proposals_run has more */
	clear(f);
	if (!sent)
		proposals_result(r->proposals, f->term, f->stream, f->position, ERR_BUSY, replica_boottime_ms());
}
