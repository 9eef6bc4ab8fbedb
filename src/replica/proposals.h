/* Room: replica, a pure part of it: no clock, no I/O; time and events come in as arguments, what is to be sent goes
 * out through a port. So the simulation runs this very code (tests/sim).
 *
 * Two halves of one protocol: how commands get into the leader's log once, in order, whoever leads.
 *
 * The sender's half (struct proposals) keeps this member's commands that are not answered, in order of their
 * sequence. It sends them to the leader as a stream: positions 0, 1, 2, … in order, any number outstanding within a
 * bound of bytes. A new term, a new leader, a refusal, or silence begins a new stream, which starts over with the
 * oldest command that is not answered. A command may so get into the log more than once: the machine answers
 * repeats of (session, sequence) with the first reply. A command is answered when its entry is applied HERE.
 *
 * The receiver's half (struct acceptor), at the leader, takes of each sender's newest stream of the present term the
 * next position only. So commands of one session never overtake each other, whatever gets lost.
 *
 * The leader's own commands go the same way, without a network. */
#ifndef COORDFS_REPLICA_PROPOSALS_H
#define COORDFS_REPLICA_PROPOSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"

/* Bytes of entries on their way and not applied yet: of a stream, as of all that was submitted to libraft. raft_uv
 * promises room on disk for 4 MiB (its capacity threshold): within it no append ever waits for a segment that a full disk
 * cannot give. */
#define INFLIGHT_BYTES_MAX (3u << 20)

typedef void (*proposal_done)(void *ctx, const struct reply *reply);

struct proposals_port {
	void *ctx;
	/* Send one packed Entry (borrowed) as `position` of `stream` to the leader of `term`.
	 * OK: it is on its way, or already in the leader's log (this member's own).
	 * QUEUED: certainly not sent; proposals_run will say when to try again (the way is full or blocked).
	 * ERR_NO_QUORUM: certainly not sent: no such leader now. ERR_NO_SPACE: the log certainly did not take it. */
	int (*send)(void *ctx, uint64_t term, uint64_t stream, uint64_t position, struct bytes entry);
	/* CLOCK_REALTIME for the entry's time. */
	uint64_t (*realtime_ns)(void *ctx);
	/* Something is to be told (refusals): call proposals_run soon, never from within. */
	void (*wake)(void *ctx);
};

struct proposals;
struct proposals *proposals_new(const struct proposals_port *port, unsigned timeout_ms); /* NULL: no memory */
void proposals_free(struct proposals *p); /* no one is told any more: proposals_fail first */

/* Whose commands these are from now on; the next sequence is 1. Those that were proposed in the former session, not
 * answered yet and certainly not applied (see proposals_session_over) are proposed in this one. */
void proposals_set_session(struct proposals *p, uint64_t session);

/* The session was not renewed in time: it is lost, whatever the log will say. What was sent may still be applied; what
 * was not waits for the next session. A lock that is granted from now on is answered ERR_STALE. The session's end
 * will be applied some time: then proposals_session_over. */
void proposals_lost(struct proposals *p);

/* The former session's end was applied: what is not answered by now was never applied and never will be. Plain
 * commands that were proposed after proposals_lost wait for the next session; older ones are refused, ERR_NO_QUORUM,
 * for they may have been meant under a lock that another member holds by now. Those that only meant something in it (LockRequest, LockCancel, LockDrop,
 * Commit, Abort, SessionEnd) are answered: ERR_STALE, but LockDrop, LockCancel and SessionEnd OK: there is nothing
 * left to drop. Call it for an end that was seen being applied: see proposals_restored. */
void proposals_session_over(struct proposals *p);

/* The state was replaced by a newer one, and entries may have been applied in it that were not seen here. The session
 * lives on in it: all is sent again, for the replies are remembered. It does not: nobody can know, and what was ever
 * sent in it is refused, ERR_TIMED_OUT; what was not waits for the next session. */
void proposals_restored(struct proposals *p, bool session_lives, uint64_t now_ms);

/* Propose in the present session (or the next one, while there is none). Packed at once: command is borrowed.
 * Returns the sequence, > 0. (When the session changes those that go over to the next one get new sequences; a
 * LockRequest, whose sequence the caller needs for its grant, never does.) done: exactly once, never from within this
 * call. ERR_TOO_BIG: beyond LIMIT_COMMAND_BYTES. */
uint64_t proposals_add(struct proposals *p, const Coordfs__Command *command, proposal_done done, void *ctx,
		       uint64_t now_ms);

/* An entry of no session (SessionOpen and the like: 0, 0): sent like the others, ahead of those that wait for a
 * session. Answered by proposals_applied_other with the same key. It may get into the log more than once, and the
 * machine keeps no reply: only a command that bears repeating is for this.
 * SessionEnd is proposed by who leads, on the strength of that: when the leader or the term changes it is refused and
 * goes to nobody else, for the next leader has granted the session a new term (lease.h). */
void proposals_add_other(struct proposals *p, const Coordfs__Command *command, uint64_t key, proposal_done done,
			 void *ctx, uint64_t now_ms);
void proposals_applied_other(struct proposals *p, uint64_t key, const struct reply *reply);

/* Who leads, in which term; leader 0: unknown. A change begins a new stream. */
void proposals_set_leader(struct proposals *p, uint64_t term, uint64_t leader, uint64_t now_ms);

/* A ForwardResult came. OK with the same `expected` as the one before it says that something is missing on the way;
 * any other code that nothing of this stream from `expected` on was taken, or ever will be (acceptor_refused). */
void proposals_result(struct proposals *p, uint64_t term, uint64_t stream, uint64_t expected, int code,
		      uint64_t now_ms);

/* An entry of (session, sequence) was applied here. */
void proposals_applied(struct proposals *p, uint64_t session, uint64_t sequence, const struct reply *reply);

/* The way is free again: send what is not sent. Then tell refusals. */
void proposals_run(struct proposals *p, uint64_t now_ms);

/* Now and then (every 100 ms while proposals_busy): a stream in which nothing moved for RESEND_MS starts over; what
 * is older than the timeout is refused: ERR_NO_QUORUM if it was never sent, else ERR_TIMED_OUT. When there has been no
 * leader for as long as that, what was never sent is refused without waiting again: the kernel lets one change of a
 * directory through at a time, and each of them would wait for the one before. A LockRequest that
 * waits is not among them: it was answered QUEUED. */
void proposals_tick(struct proposals *p, uint64_t now_ms);
bool proposals_busy(const struct proposals *p);
uint64_t proposals_count(const struct proposals *p);
uint64_t proposals_restarts(const struct proposals *p); /* streams that were begun anew, for metrics */

/* Refuse all: `sent` for those that were ever sent, `unsent` for the others. Told by the next proposals_run. */
void proposals_fail(struct proposals *p, int sent, int unsent);

/* ---- the leader's half ---- */

struct acceptor; /* of one leader, one term */
struct acceptor *acceptor_new(void);
void acceptor_free(struct acceptor *a);
/* A new term: what was known of streams is forgotten. */
void acceptor_reset(struct acceptor *a, uint64_t term);
/* May the entry at `position` of `stream` of member `from` be appended now? True: append it, then tell
 * acceptor_took. False: *expected is what may come next (UINT64_MAX: do not
 * answer: an older or refused stream, or what was taken before). */
bool acceptor_wants(struct acceptor *a, uint64_t from, uint64_t term, uint64_t stream, uint64_t position,
		    uint64_t *expected);
void acceptor_took(struct acceptor *a, uint64_t from, uint64_t stream);
/* It could not be appended, and a ForwardResult with a code will say so: nothing of this stream is taken any more, for
 * the sender may rely on that. (Not for this member's own commands: port.send tells them at once, and the stream
 * goes on.) */
void acceptor_refused(struct acceptor *a, uint64_t from, uint64_t stream);

#endif
