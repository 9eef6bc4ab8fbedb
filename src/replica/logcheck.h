/* Room: replica, its own files only. A look at libraft's files before libraft opens them. */
#ifndef COORDFS_REPLICA_LOGCHECK_H
#define COORDFS_REPLICA_LOGCHECK_H

#include "replica/directory.h"

struct log_state {
	uint64_t snapshot;   /* index of the newest snapshot; 0: none */
	uint64_t last_index; /* of the last whole entry, or of the snapshot */
	uint64_t last_term;  /* 0: unknown, nothing but a snapshot */
	uint64_t term;	     /* of the newest metadata file */
	uint64_t cut_bytes;  /* a write that a crash cut off: bytes of it, to be dropped */
};

/* Read every file in raft/ and compare with what was acknowledged. Changes nothing. ERR_CORRUPT: libraft must not
 * be let near it; error is one line that says which file and what to do. ERR_NO_MEMORY. */
int log_check(const struct directory *d, const struct mark *mark, struct log_state *out, char *error,
	      size_t error_size);

#endif
