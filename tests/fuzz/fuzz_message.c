/* A peer's message for libraft: any bytes. What is let through keeps what libraft asserts, and says the same when it
 * is packed and unpacked again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_message: %s\n", what);
	abort();
}

static void check_entries(const struct raft_append_entries *a)
{
	require(!a->prev_log_index == !a->prev_log_term, "an index has a term");
	for (unsigned i = 0; i < a->n_entries; i++) {
		const struct raft_entry *e = &a->entries[i];
		struct raft_configuration configuration;

		require(e->term && e->term <= a->term, "an entry's term");
		require(e->buf.len && e->buf.len % 8 == 0, "an entry's size");
		require(e->batch == a->entries[0].batch, "one piece of memory");
		if (e->type != RAFT_CHANGE)
			continue;
		require(raft_configuration_decode(&e->buf, &configuration) == 0, "a configuration");
		raft_configuration_close(&configuration);
	}
}

static void check_snapshot(const struct raft_install_snapshot *s)
{
	require(s->last_index && s->last_term && s->data.len, "a snapshot of something");
	require(s->conf.n > 0, "a snapshot's configuration");
}

static bool again(void *ctx, Coordfs__Envelope *e)
{
	const struct raft_message *first = ctx;
	struct raft_message second;

	require(message_unpack_raft(e->raft, first->server_id, first->server_address, &second) == 0, "it is read again");
	require(second.type == first->type, "it is of the same type");
	if (second.type == RAFT_APPEND_ENTRIES)
		require(second.append_entries.n_entries == first->append_entries.n_entries, "it has the same entries");
	message_drop(&second);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Coordfs__RaftMessage *in = coordfs__raft_message__unpack(NULL, size, data);
	struct raft_message message;

	if (!in)
		return 0;
	if (message_unpack_raft(in, 7, "7", &message) == 0) {
		if (message.type == RAFT_APPEND_ENTRIES)
			check_entries(&message.append_entries);
		else if (message.type == RAFT_INSTALL_SNAPSHOT)
			check_snapshot(&message.install_snapshot);
		require(message_pack(&message, false, again, &message), "it is packed again");
		message_drop(&message);
	}
	coordfs__raft_message__free_unpacked(in, NULL);
	return 0;
}
