/* Room: replica, its own files only. libraft's files of a data directory without a running member: nobody is sent
 * anything, nothing is applied. */
#ifndef COORDFS_REPLICA_OFFLINE_H
#define COORDFS_REPLICA_OFFLINE_H

#include <raft.h>
#include <raft/uv.h>

#include "replica/directory.h"

struct offline {
	uv_loop_t loop;
	struct raft raft;
	struct raft_io io;
	struct raft_fsm fsm;
	struct raft_uv_transport transport;
	struct raft_tracer tracer;
	bool closed;
	struct raft_io_snapshot_put put; /* of offline_begin_log */
	bool put_done, put_failed;	 /* failed: raft_uv would try it again for ever */
	int put_status;
};

/* d is open, and stays so until offline_close. On an error there is nothing to close; error is one line.
 * ERR_NO_SPACE, ERR_NO_MEMORY, ERR_CORRUPT. */
int offline_open(struct offline *o, const struct directory *d, char *error, size_t error_size);
void offline_close(struct offline *o);

/* The configuration of which d's member is the only voter. 0 or RAFT_NOMEM; raft_configuration_close in any case. */
int offline_configuration(const struct directory *d, struct raft_configuration *out);

/* Begin a log in the empty raft/: after entry `index`, of which this is the snapshot (borrowed). libraft's code. */
int offline_begin_log(struct offline *o, const struct directory *d, uint64_t index, const void *snapshot, size_t size);

/* What a libraft code means for this directory, as one line. Returns our code. */
int offline_error(const struct offline *o, const struct directory *d, int rv, char *error, size_t error_size);

#endif
