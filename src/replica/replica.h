/* Room: replica. Makes the machine durable and (with peers) replicated: the log is libraft's, one entry a
 * command. It may touch base/, proto/, machine/, store/, libraft and libuv. One replica is one log, one
 * machine, one store; an object, never a global: a process may hold several.
 *
 * A command is proposed, stored on a majority of the voters (of one: on disk), applied by the machine, and
 * answered. Commands carry (session, sequence), so that one that is proposed again after a failure of the
 * log (full disk, later: a new leader) is applied once. */
#ifndef COORDFS_REPLICA_REPLICA_H
#define COORDFS_REPLICA_REPLICA_H

#include <uv.h>

#include "base/log.h"
#include "machine/machine.h"

struct replica;

struct replica_config {
	const char *directory; /* the data directory; made if missing */
	const char *member;    /* this member's name; NULL: whose the directory is, else the host's */
	uint32_t owner_uid, owner_gid; /* of the top directories, when the cluster is new */
	unsigned timeout_ms;   /* until ERR_NO_QUORUM or ERR_TIMED_OUT; 0: 10 s */
	const struct log *log; /* borrowed; NULL: silent */
	uint64_t snapshot_log_bytes; /* of log between two images; 0: as the state's size suggests */
	struct machine_observer observer;
	/* The replica serves for the first time: state recovered, session open. Called once, from the loop. */
	void (*ready)(void *ctx);
	/* It cannot go on (damaged data, state lost); text says what to do. Called at most once. */
	void (*failed)(void *ctx, const char *text);
	void *ctx;
};

/* Open or create the data directory and start recovery on the loop. Call it in the process that stays (after a
 * daemon's forks), before the loop has other work: on an error it runs the loop until what it opened is closed. On an error that shows at once (in use by
 * pid N, not a directory, unreadable, newer format, other member's, corrupt): negative code, and error holds
 * one line that says what to do. Never starts empty on a directory that was used before. */
int replica_open(uv_loop_t *loop, const struct replica_config *config, struct replica **out, char *error,
		 size_t error_size);

/* End the session (so that all it held is free at once), write what is to be written, close. done is called
 * from the loop; the replica is freed after it returns. */
void replica_close(struct replica *r, void (*done)(void *ctx), void *ctx);

/* The answer. Called exactly once for each proposal, from the loop, never before replica_propose returned.
 * At that moment the machine's present state is the one right after this command. reply->code may also be
 * ERR_NO_QUORUM (not applied), ERR_TIMED_OUT (unknown), ERR_NO_SPACE (not applied). Borrowed. */
typedef void (*replica_done)(void *ctx, const struct reply *reply);

/* Propose. The command is packed at once: borrowed. Returns its sequence (> 0), by which grants of a
 * waiting lock are told. Memory failure is reported through done like any other. done may be NULL.
 * Too big (LIMIT_COMMAND_BYTES): done gets ERR_TOO_BIG. */
uint64_t replica_propose(struct replica *r, const Coordfs__Command *command, replica_done done, void *ctx);

/* A strong read: OK: go on now, the machine's state is linearizable at this moment; QUEUED: ready is called
 * with OK or an error code when it is. */
int replica_read_barrier(struct replica *r, void (*ready)(void *ctx, int code), void *ctx);

struct machine *replica_machine(struct replica *r); /* one and the same for the replica's life */
uint64_t replica_session(const struct replica *r);
const char *replica_member(const struct replica *r);

struct replica_status {
	const char *role;  /* "leader", "follower", … */
	uint64_t term, last_index, commit_index, snapshot_index;
	uint64_t disk_free_bytes, log_bytes;
	const char *trouble; /* one line for people while something is wrong (disk full), else NULL */
	uint64_t proposals_outstanding;
};
void replica_status(struct replica *r, struct replica_status *out);

#endif
