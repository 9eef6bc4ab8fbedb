/* libraft's messages, kept until the end of the turn of the loop that made them.
 *
 * libraft sends one AppendEntries for each entry it is given, to each follower, and gets one result back for each. When
 * many commands come in one turn, those that follow one another become one message here, and so one write and one
 * result at the follower; a result that a later one says again is left out. What is committed goes along at its newest.
 *
 * raft_io's contract (raft.h): what a message points to stays until its callback is called; `send` must neither fail
 * (libraft 0.22.1 would free it twice) nor call back at once (use after free). */
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"
#include "replica/message.h"

/* Of one message: a reader of its log entries takes no more at once, and no queue is held up for long. */
#define MERGED_ENTRIES_MAX 4096u
#define MERGED_BYTES_MAX (1u << 20)

struct waiting {
	struct raft_io_send *request;
	struct raft_message message;
	bool done; /* sent, lost, or part of another one */
	bool lost;
};

struct destination {
	struct replica *replica;
	uint64_t member;
};

static bool send_envelope(void *ctx, Coordfs__Envelope *envelope)
{
	const struct destination *to = ctx;

	return peers_send(to->replica, to->member, envelope);
}

bool outbox_send(struct replica *r, const struct raft_message *message, bool quiet)
{
	struct destination to = {r, message->server_id};

	return to.member && message_pack(message, quiet, send_envelope, &to);
}

static bool grow(struct outbox *o)
{
	size_t capacity = o->capacity ? 2 * o->capacity : 256;
	struct waiting *waiting = realloc(o->waiting, capacity * sizeof *waiting);

	if (!waiting)
		return false;
	o->waiting = waiting;
	o->capacity = capacity;
	return true;
}

void outbox_add(struct replica *r, struct raft_io_send *request, const struct raft_message *message, bool unwanted)
{
	struct outbox *o = &r->engine.outbox;

	if (o->count == o->capacity && !grow(o))
		return; /* no memory even for this: libraft never hears of it, and keeps what it sent */
	o->waiting[o->count++] = (struct waiting){.request = request, .message = *message, .done = unwanted};
	replica_kick(r);
}

/* ---- one of several ---- */

static size_t entries_bytes(const struct raft_append_entries *a)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < a->n_entries; i++)
		bytes += a->entries[i].buf.len;
	return bytes;
}

static bool follows(const struct raft_append_entries *a, unsigned entry_count, const struct raft_append_entries *b)
{
	return b->term == a->term && b->version == a->version && b->prev_log_index == a->prev_log_index + entry_count;
}

static bool is_append_to(const struct waiting *w, uint64_t member)
{
	return !w->done && w->message.type == RAFT_APPEND_ENTRIES && w->message.server_id == member;
}

/* How many entries the message at `first` has with those that follow it; they are marked in `o`. */
static unsigned gather(struct outbox *o, size_t first, size_t *last)
{
	const struct raft_append_entries *a = &o->waiting[first].message.append_entries;
	uint64_t member = o->waiting[first].message.server_id;
	size_t bytes = entries_bytes(a);
	unsigned count = a->n_entries;

	*last = first;
	for (size_t i = first + 1; i < o->count; i++) {
		const struct raft_append_entries *b = &o->waiting[i].message.append_entries;

		if (!is_append_to(&o->waiting[i], member))
			continue;
		bytes += entries_bytes(b);
		if (!follows(a, count, b) || count + b->n_entries > MERGED_ENTRIES_MAX || bytes > MERGED_BYTES_MAX)
			break;
		count += b->n_entries;
		*last = i;
	}
	return count;
}

/* The entries of all that goes to `member`, from `first` to `last`. */
static void copy_entries(struct outbox *o, size_t first, size_t last, struct raft_entry *entries)
{
	uint64_t member = o->waiting[first].message.server_id;

	for (size_t i = first; i <= last; i++) {
		const struct raft_append_entries *a = &o->waiting[i].message.append_entries;

		if (!is_append_to(&o->waiting[i], member))
			continue;
		if (a->n_entries)
			memcpy(entries, a->entries, a->n_entries * sizeof *entries);
		entries += a->n_entries;
	}
}

static void mark(struct outbox *o, size_t first, size_t last, bool sent)
{
	uint64_t member = o->waiting[first].message.server_id;

	for (size_t i = first; i <= last; i++)
		if (is_append_to(&o->waiting[i], member)) {
			o->waiting[i].done = true;
			o->waiting[i].lost = !sent;
		}
}

/* The newest that this leader knows to be committed. */
static void refresh_commit(struct replica *r, struct raft_message *message)
{
	struct raft *raft = &r->engine.raft;
	struct raft_append_entries *a = &message->append_entries;

	if (raft_state(raft) == RAFT_LEADER && raft_current_term(raft) == a->term)
		a->leader_commit = raft_commit_index(raft);
}

static void send_append(struct replica *r, size_t first)
{
	struct outbox *o = &r->engine.outbox;
	struct raft_message message = o->waiting[first].message;
	size_t last;
	unsigned count = gather(o, first, &last);
	struct raft_entry *entries = NULL;
	bool sent;

	if (last != first && count) {
		entries = malloc(count * sizeof *entries);
		if (!entries)
			last = first; /* alone, then */
	}
	if (entries) {
		copy_entries(o, first, last, entries);
		message.append_entries.entries = entries;
		message.append_entries.n_entries = count;
	}
	refresh_commit(r, &message);
	sent = outbox_send(r, &message, false);
	if (sent)
		engine_told(r, &message);
	mark(o, first, last, sent);
	free(entries);
}

/* A later one to the same leader says as much and more. */
static bool is_said_again(const struct outbox *o, size_t index)
{
	const struct raft_message *m = &o->waiting[index].message;
	const struct raft_append_entries_result *a = &m->append_entries_result;

	if (m->type != RAFT_APPEND_ENTRIES_RESULT || a->rejected)
		return false;
	for (size_t i = index + 1; i < o->count; i++) {
		const struct raft_message *n = &o->waiting[i].message;
		const struct raft_append_entries_result *b = &n->append_entries_result;

		if (!o->waiting[i].done && n->type == m->type && n->server_id == m->server_id)
			return b->rejected == 0 && b->term == a->term && b->last_log_index >= a->last_log_index;
	}
	return false;
}

static void send_at(struct replica *r, size_t index)
{
	struct waiting *w = &r->engine.outbox.waiting[index];

	if (w->message.type == RAFT_APPEND_ENTRIES) {
		send_append(r, index);
		return;
	}
	w->lost = !is_said_again(&r->engine.outbox, index) && !outbox_send(r, &w->message, false);
	w->done = true;
}

/* ---- the end of a turn ---- */

/* What libraft does when it hears of them may send more, which waits for the next turn. */
static void tell(struct outbox *o)
{
	size_t count = o->count;

	if (!count)
		return;
	for (size_t i = 0; i < count; i++) {
		struct raft_io_send *request = o->waiting[i].request;

		request->cb(request, o->waiting[i].lost ? RAFT_NOCONNECTION : 0);
	}
	o->count -= count;
	memmove(o->waiting, o->waiting + count, o->count * sizeof *o->waiting);
}

void outbox_flush(struct replica *r)
{
	struct outbox *o = &r->engine.outbox;

	for (size_t i = 0; i < o->count; i++)
		if (!o->waiting[i].done)
			send_at(r, i);
	tell(o);
}

void outbox_drop(struct replica *r)
{
	struct outbox *o = &r->engine.outbox;

	for (size_t i = 0; i < o->count; i++)
		o->waiting[i].lost = !o->waiting[i].done || o->waiting[i].lost;
	tell(o);
}

void outbox_fini(struct outbox *o)
{
	free(o->waiting);
}
