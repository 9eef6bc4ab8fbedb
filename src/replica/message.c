#include "replica/message.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 262144u /* libraft cannot load more in one batch again */
#define SERVERS_MAX 1000u

struct sink {
	bool (*use)(void *ctx, Coordfs__Envelope *e);
	void *ctx;
};

static bool hand_on(Coordfs__RaftMessage *raft, const struct sink *sink)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;

	e.of_case = COORDFS__ENVELOPE__OF_RAFT;
	e.raft = raft;
	return sink->use(sink->ctx, &e);
}

/* ---- out ---- */


static void pack_entry(const struct raft_entry *in, Coordfs__LogEntry *out)
{
	coordfs__log_entry__init(out);
	out->term = in->term;
	out->type = in->type;
	out->data = (ProtobufCBinaryData){in->buf.len, in->buf.base};
}

static bool pack_append(const struct raft_append_entries *a, bool quiet, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__AppendEntries out = COORDFS__APPEND_ENTRIES__INIT;
	Coordfs__LogEntry few[8], *few_pointers[8], *entries = few, **pointers = few_pointers;
	bool sent = false;

	if (a->n_entries > 8) {
		entries = malloc(a->n_entries * sizeof *entries);
		pointers = malloc(a->n_entries * sizeof *pointers);
	}
	if (entries && pointers) {
		for (unsigned i = 0; i < a->n_entries; i++) {
			pack_entry(&a->entries[i], &entries[i]);
			pointers[i] = &entries[i];
		}
		out.version = a->version;
		out.term = a->term;
		out.prev_log_index = a->prev_log_index;
		out.prev_log_term = a->prev_log_term;
		out.leader_commit = a->leader_commit;
		out.n_entries = a->n_entries;
		out.entries = pointers;
		out.quiet = quiet;
		raft.of_case = COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES;
		raft.append_entries = &out;
		sent = hand_on(&raft, sink);
	}
	if (entries != few) {
		free(entries);
		free(pointers);
	}
	return sent;
}

static bool pack_append_result(const struct raft_append_entries_result *a, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__AppendEntriesResult out = COORDFS__APPEND_ENTRIES_RESULT__INIT;

	out.version = a->version;
	out.term = a->term;
	out.rejected = a->rejected;
	out.last_log_index = a->last_log_index;
	out.features = a->features;
	out.capacity = a->capacity;
	raft.of_case = COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES_RESULT;
	raft.append_entries_result = &out;
	return hand_on(&raft, sink);
}

static bool pack_vote(const struct raft_request_vote *a, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__RequestVote out = COORDFS__REQUEST_VOTE__INIT;

	out.version = a->version;
	out.term = a->term;
	out.candidate = a->candidate_id;
	out.last_log_index = a->last_log_index;
	out.last_log_term = a->last_log_term;
	out.disrupt_leader = a->disrupt_leader;
	out.pre_vote = a->pre_vote;
	raft.of_case = COORDFS__RAFT_MESSAGE__OF_REQUEST_VOTE;
	raft.request_vote = &out;
	return hand_on(&raft, sink);
}

static bool pack_vote_result(const struct raft_request_vote_result *a, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__RequestVoteResult out = COORDFS__REQUEST_VOTE_RESULT__INIT;

	out.version = a->version;
	out.term = a->term;
	out.vote_granted = a->vote_granted;
	out.pre_vote = a->pre_vote;
	out.features = a->features;
	out.capacity = a->capacity;
	raft.of_case = COORDFS__RAFT_MESSAGE__OF_REQUEST_VOTE_RESULT;
	raft.request_vote_result = &out;
	return hand_on(&raft, sink);
}

static bool pack_snapshot(const struct raft_install_snapshot *a, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__InstallSnapshot out = COORDFS__INSTALL_SNAPSHOT__INIT;
	Coordfs__Server *servers = calloc(a->conf.n + 1, sizeof *servers);
	Coordfs__Server **pointers = calloc(a->conf.n + 1, sizeof *pointers);
	bool sent = false;

	if (servers && pointers) {
		for (unsigned i = 0; i < a->conf.n; i++) {
			coordfs__server__init(&servers[i]);
			servers[i].id = a->conf.servers[i].id;
			servers[i].address = a->conf.servers[i].address;
			servers[i].role = (uint32_t)a->conf.servers[i].role;
			pointers[i] = &servers[i];
		}
		out.version = a->version;
		out.term = a->term;
		out.last_index = a->last_index;
		out.last_term = a->last_term;
		out.n_configuration = a->conf.n;
		out.configuration = pointers;
		out.configuration_index = a->conf_index;
		out.data = (ProtobufCBinaryData){a->data.len, a->data.base};
		raft.of_case = COORDFS__RAFT_MESSAGE__OF_INSTALL_SNAPSHOT;
		raft.install_snapshot = &out;
		sent = hand_on(&raft, sink);
	}
	free(servers);
	free(pointers);
	return sent;
}

static bool pack_timeout_now(const struct raft_timeout_now *a, const struct sink *sink)
{
	Coordfs__RaftMessage raft = COORDFS__RAFT_MESSAGE__INIT;
	Coordfs__TimeoutNow out = COORDFS__TIMEOUT_NOW__INIT;

	out.version = a->version;
	out.term = a->term;
	out.last_log_index = a->last_log_index;
	out.last_log_term = a->last_log_term;
	raft.of_case = COORDFS__RAFT_MESSAGE__OF_TIMEOUT_NOW;
	raft.timeout_now = &out;
	return hand_on(&raft, sink);
}

bool message_pack(const struct raft_message *m, bool quiet, bool (*use)(void *ctx, Coordfs__Envelope *e), void *ctx)
{
	const struct sink sink = {use, ctx};

	switch (m->type) {
	case RAFT_APPEND_ENTRIES:
		return pack_append(&m->append_entries, quiet, &sink);
	case RAFT_APPEND_ENTRIES_RESULT:
		return pack_append_result(&m->append_entries_result, &sink);
	case RAFT_REQUEST_VOTE:
		return pack_vote(&m->request_vote, &sink);
	case RAFT_REQUEST_VOTE_RESULT:
		return pack_vote_result(&m->request_vote_result, &sink);
	case RAFT_INSTALL_SNAPSHOT:
		return pack_snapshot(&m->install_snapshot, &sink);
	case RAFT_TIMEOUT_NOW:
		return pack_timeout_now(&m->timeout_now, &sink);
	}
	return false;
}

/* ---- in ---- */

/* libraft keeps the entries in one piece of memory, each at a multiple of 8. */
static size_t aligned(size_t size)
{
	return (size + 7) / 8 * 8;
}

static bool entries_are_sound(const Coordfs__AppendEntries *in, size_t *total)
{
	*total = 0;
	if (in->n_entries > ENTRIES_MAX)
		return false;
	for (size_t i = 0; i < in->n_entries; i++) {
		const Coordfs__LogEntry *e = in->entries[i];

		/* raft_uv writes only multiples of 8; nothing else comes from a member */
		if (e->term == 0 || e->term > in->term || e->type < RAFT_COMMAND || e->type > RAFT_CHANGE ||
		    e->data.len == 0 || e->data.len % 8 != 0)
			return false;
		*total += aligned(e->data.len);
	}
	return true;
}

/* libraft's encoding of a configuration: u8 format, u64 count, then for each server u64 id, its address with a NUL, u8
 * role; padded. libraft reads it without looking where it ends, and meets what it cannot take with an assert. */
static bool configuration_is_sound(const uint8_t *at, size_t size)
{
	struct raft_buffer buffer = {(void *)(uintptr_t)at, size};
	const uint8_t *end = at + size, *nul;
	struct raft_configuration configuration;
	uint64_t count = 0;

	if (size < 9)
		return false;
	for (unsigned i = 0; i < 8; i++)
		count |= (uint64_t)at[1 + i] << 8 * i;
	if (count > SERVERS_MAX)
		return false;
	for (at += 9; count; count--) {
		if (end - at < 8 || !(nul = memchr(at + 8, '\0', (size_t)(end - at - 8))) || end - nul < 2)
			return false;
		at = nul + 2;
	}
	if (raft_configuration_decode(&buffer, &configuration))
		return false;
	raft_configuration_close(&configuration);
	return true;
}

static bool changes_are_sound(const Coordfs__AppendEntries *in)
{
	for (size_t i = 0; i < in->n_entries; i++)
		if (in->entries[i]->type == RAFT_CHANGE &&
		    !configuration_is_sound(in->entries[i]->data.data, in->entries[i]->data.len))
			return false;
	return true;
}

static int unpack_entries(const Coordfs__AppendEntries *in, size_t total, struct raft_append_entries *out)
{
	struct raft_entry *entries = raft_calloc(in->n_entries, sizeof *entries);
	uint8_t *batch = raft_malloc(total), *at = batch;

	if (!entries || !batch) {
		raft_free(entries);
		raft_free(batch);
		return ERR_NO_MEMORY;
	}
	for (size_t i = 0; i < in->n_entries; i++) {
		const Coordfs__LogEntry *e = in->entries[i];

		memcpy(at, e->data.data, e->data.len);
		entries[i] = (struct raft_entry){.term = e->term, .type = (enum raft_entry_type)e->type,
						 .buf = {at, e->data.len}, .batch = batch};
		at += aligned(e->data.len);
	}
	out->entries = entries;
	out->n_entries = (unsigned)in->n_entries;
	return 0;
}

static int unpack_append(const Coordfs__AppendEntries *in, struct raft_append_entries *out)
{
	size_t total;

	if (!entries_are_sound(in, &total) || !changes_are_sound(in) || !in->prev_log_index != !in->prev_log_term)
		return ERR_INVALID;
	*out = (struct raft_append_entries){.version = (unsigned char)in->version, .term = in->term,
					    .prev_log_index = in->prev_log_index, .prev_log_term = in->prev_log_term,
					    .leader_commit = in->leader_commit};
	return in->n_entries ? unpack_entries(in, total, out) : 0;
}

static int unpack_configuration(const Coordfs__InstallSnapshot *in, struct raft_configuration *out)
{
	raft_configuration_init(out);
	if (in->n_configuration == 0 || in->n_configuration > SERVERS_MAX)
		return ERR_INVALID;
	for (size_t i = 0; i < in->n_configuration; i++) {
		const Coordfs__Server *s = in->configuration[i];

		if (s->id == 0 || s->role > RAFT_SPARE || raft_configuration_add(out, s->id, s->address, (int)s->role)) {
			raft_configuration_close(out);
			return ERR_INVALID;
		}
	}
	return 0;
}

static int unpack_snapshot(const Coordfs__InstallSnapshot *in, struct raft_install_snapshot *out)
{
	int rc = in->last_index && in->last_term && in->data.len ? unpack_configuration(in, &out->conf) : ERR_INVALID;

	if (rc)
		return rc;
	out->data.base = raft_malloc(in->data.len);
	if (!out->data.base) {
		raft_configuration_close(&out->conf);
		return ERR_NO_MEMORY;
	}
	memcpy(out->data.base, in->data.data, in->data.len);
	out->data.len = in->data.len;
	out->version = (unsigned char)in->version;
	out->term = in->term;
	out->last_index = in->last_index;
	out->last_term = in->last_term;
	out->conf_index = in->configuration_index;
	return 0;
}

static void unpack_append_result(const Coordfs__AppendEntriesResult *in, struct raft_append_entries_result *out)
{
	*out = (struct raft_append_entries_result){.version = (unsigned char)in->version, .term = in->term,
						   .rejected = in->rejected, .last_log_index = in->last_log_index,
						   .features = (unsigned short)in->features,
						   .capacity = (unsigned short)in->capacity};
}

static void unpack_vote(const Coordfs__RequestVote *in, struct raft_request_vote *out)
{
	*out = (struct raft_request_vote){.version = (unsigned char)in->version, .term = in->term,
					  .candidate_id = in->candidate, .last_log_index = in->last_log_index,
					  .last_log_term = in->last_log_term, .disrupt_leader = in->disrupt_leader,
					  .pre_vote = in->pre_vote};
}

static void unpack_vote_result(const Coordfs__RequestVoteResult *in, struct raft_request_vote_result *out)
{
	*out = (struct raft_request_vote_result){.version = (unsigned char)in->version, .term = in->term,
						 .vote_granted = in->vote_granted, .pre_vote = in->pre_vote,
						 .features = (unsigned short)in->features,
						 .capacity = (unsigned short)in->capacity};
}

static void unpack_timeout_now(const Coordfs__TimeoutNow *in, struct raft_timeout_now *out)
{
	*out = (struct raft_timeout_now){.version = (unsigned char)in->version, .term = in->term,
					 .last_log_index = in->last_log_index, .last_log_term = in->last_log_term};
}

int message_unpack_raft(const Coordfs__RaftMessage *in, uint64_t from, const char *name, struct raft_message *out)
{
	memset(out, 0, sizeof *out);
	out->server_id = from;
	out->server_address = name;
	switch (in->of_case) {
	case COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES:
		out->type = RAFT_APPEND_ENTRIES;
		return unpack_append(in->append_entries, &out->append_entries);
	case COORDFS__RAFT_MESSAGE__OF_APPEND_ENTRIES_RESULT:
		out->type = RAFT_APPEND_ENTRIES_RESULT;
		unpack_append_result(in->append_entries_result, &out->append_entries_result);
		return 0;
	case COORDFS__RAFT_MESSAGE__OF_REQUEST_VOTE:
		out->type = RAFT_REQUEST_VOTE;
		unpack_vote(in->request_vote, &out->request_vote);
		return 0;
	case COORDFS__RAFT_MESSAGE__OF_REQUEST_VOTE_RESULT:
		out->type = RAFT_REQUEST_VOTE_RESULT;
		unpack_vote_result(in->request_vote_result, &out->request_vote_result);
		return 0;
	case COORDFS__RAFT_MESSAGE__OF_INSTALL_SNAPSHOT:
		out->type = RAFT_INSTALL_SNAPSHOT;
		return unpack_snapshot(in->install_snapshot, &out->install_snapshot);
	case COORDFS__RAFT_MESSAGE__OF_TIMEOUT_NOW:
		out->type = RAFT_TIMEOUT_NOW;
		unpack_timeout_now(in->timeout_now, &out->timeout_now);
		return 0;
	default:
		return ERR_INVALID;
	}
}

void message_drop(struct raft_message *m)
{
	if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.n_entries) {
		raft_free(m->append_entries.entries[0].batch);
		raft_free(m->append_entries.entries);
	} else if (m->type == RAFT_INSTALL_SNAPSHOT) {
		raft_configuration_close(&m->install_snapshot.conf);
		raft_free(m->install_snapshot.data.base);
	}
}
