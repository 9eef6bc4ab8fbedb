/* Room: replica. libraft's messages as protobuf's, and back. Bytes from peers: what does not fit libraft's
 * expectations is refused here, so that it never meets one of its asserts. */
#ifndef COORDFS_REPLICA_MESSAGE_H
#define COORDFS_REPLICA_MESSAGE_H

#include <raft.h>

#include "machine/machine.h"

/* Call `use` with the message in an envelope, which is borrowed during the call. quiet: AppendEntries of the engine's
 * own that wants no result. Returns what `use` returns; false when there is no memory. */
bool message_pack(const struct raft_message *message, bool quiet, bool (*use)(void *ctx, Coordfs__Envelope *e),
		  void *ctx);

/* Unpack into *out, with memory as libraft wants it: raft_recv frees it. server_address is borrowed from `name`.
 * ERR_INVALID: malformed; ERR_NO_MEMORY; then nothing is allocated. */
int message_unpack_raft(const Coordfs__RaftMessage *in, uint64_t from, const char *name, struct raft_message *out);

/* What message_unpack_raft allocated, when libraft will not get it. */
void message_drop(struct raft_message *message);

#endif
