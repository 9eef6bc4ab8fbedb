/* Room: replica. Makes the machine durable and (with peers) replicated: the log is libraft's, one entry a
 * command. It may touch base/, proto/, machine/, store/, net/, gossip/, libraft and libuv. One replica is one log, one
 * machine, one store; an object, never a global: a process may hold several.
 *
 * A command is proposed, stored on a majority of the voters (of one: on disk), applied by the machine, and
 * answered. Commands carry (session, sequence), so that one that is proposed again after a failure of the
 * log (full disk, later: a new leader) is applied once. */
#ifndef COORDFS_REPLICA_REPLICA_H
#define COORDFS_REPLICA_REPLICA_H

#include <uv.h>

#include "base/log.h"
#include "gossip/gossip.h"
#include "machine/machine.h"

struct replica;

struct replica_config {
	const char *directory; /* the data directory; made if missing */
	const char *member;    /* this member's name; NULL: whose the directory is, else the host's */
	uint32_t owner_uid, owner_gid; /* of the top directories, when the cluster is new */
	unsigned timeout_ms;   /* until ERR_NO_QUORUM or ERR_TIMED_OUT; 0: 10 s */
	const struct log *log; /* borrowed; NULL: silent */
	/* The cluster; all zero: one member that listens to nobody and whose session does not expire. */
	const char *listen; /* tcp://HOST:PORT; NULL: a cluster of one */
	const char *join;   /* addresses of members, with '+' between; NULL: found a cluster, or go on with the one it has */
	const uint8_t *key; /* NET_KEY_BYTES; NULL: nothing is encrypted */
	unsigned voters;    /* at most so many members vote; 0: 5 */
	unsigned session_ttl_ms; /* 0: 10 s */
	unsigned election_ms, heartbeat_ms; /* 0: 650, 65 */
	const char *version; /* of the program, for other members to see; NULL: "" */
	/* For tests of clusters of mixed versions: behave as a program of another level (machine/level.h);
	 * 0: as this one is. */
	unsigned level;
	unsigned replace_ms; /* a voter that was silent for so long gives its vote to a standby; 0: 60 s */
	uint64_t snapshot_log_bytes; /* of log between two images; 0: as the state's size suggests */
	struct machine_observer observer;
	/* gossip_config's changed, with the observer's ctx. May be NULL. */
	void (*eventual_changed)(void *ctx, uint64_t root, const char *path);
	/* The machine is about to be replaced by a newer state from the leader, because this member lagged too far:
	 * let go of all that points into it (views). Then: it was replaced; events in between were not seen. Both from
	 * the loop, from nobody else's call. May be NULL. */
	void (*restoring)(void *ctx);
	void (*restored)(void *ctx);
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

/* Its answer is at hand: no other member has to be asked. */
bool replica_reads_alone(const struct replica *r);

/* How long ago everything that had been acknowledged by then was known to be in the state that is applied here, in
 * milliseconds; UINT64_MAX: never yet. */
uint64_t replica_age_ms(struct replica *r);

struct machine *replica_machine(struct replica *r); /* another one after config.restored */
/* The eventual level, which goes on without a majority. Not before config.ready, and not after replica_close. */
struct gossip *replica_gossip(struct replica *r);
/* This mount's session. When it is lost the observer gets EVENT_SESSION_END for it (before any other member can be
 * granted what it held), and a new one is opened as soon as there is a leader. 0: none at present. */
uint64_t replica_session(const struct replica *r);
/* If the session was not renewed in time it is lost from now on, and the observer is told before this returns. To be
 * called before anything is done in the session's name: this process, or its host, may just have slept for long. */
void replica_check_lease(struct replica *r);
/* How long the session lasts at least, in milliseconds, as far as it is known here, without asking anybody: 0: there is
 * none, or it was just found to be lost; UINT64_MAX: it does not expire. margin_ms: for how long after that nobody else
 * is given what it holds, unless it is ended or broken; 0 where it does not expire. */
uint64_t replica_lease_ms(struct replica *r, unsigned *margin_ms);
const char *replica_member(const struct replica *r);

struct replica_status {
	const char *role;  /* "leader", "follower", … */
	uint64_t term, last_index, commit_index, snapshot_index;
	uint64_t disk_free_bytes, log_bytes;
	uint32_t level; /* the cluster's (machine/level.h) */
	const char *trouble; /* one line for people while something is wrong (disk full), else NULL */
	uint64_t proposals_outstanding;
};
void replica_status(struct replica *r, struct replica_status *out);

/* ---- the cluster ---- */

struct replica_member {
	uint64_t id;
	const char *name, *address; /* address "": it listens to nobody */
	const char *role;  /* "voter", "standby", "spare": joining or leaving */
	const char *state; /* "leader", "follower", "silent", "unknown" */
	const char *version; /* "": not known */
	uint32_t level; /* of its program, as it said at its last start */
	const char *trouble; /* "": none */
	enum member_wish wish;
	bool self;
	bool known;	   /* there is news of it, the three figures below are meant: */
	uint64_t applied, lag; /* its revision, and how many entries that is behind what is committed */
	uint64_t silent_ms;	/* since it was last heard of (by the leader) */
	uint64_t round_trip_us; /* from here; 0: not known */
	uint64_t disk_free_bytes;
	struct gossip_peer eventual; /* all zero of this one */
};
/* All members, by number: what the state knows of them and what the leader last told. Borrowed during the call. */
void replica_members(struct replica *r, void (*each)(void *ctx, const struct replica_member *member), void *ctx);
const char *replica_leader(struct replica *r); /* its name; NULL: there is none that this member knows */

/* Ask the leader for a change of the cluster. done gets a reply code and a text, from the loop, once: OK when it is
 * done (for the voter's role: when that member votes), ERR_NOT_FOUND: no such member, ERR_CANCELED with the reason
 * (a standby cannot lead; the last voter cannot go; it does not catch up), ERR_NO_QUORUM, ERR_TIMED_OUT. */
enum cluster_change_kind {
	CLUSTER_LEAD = 1,   /* the member is to lead */
	CLUSTER_VOTER,	    /* the member is to vote, from now on and whatever `voters` says */
	CLUSTER_STANDBY,    /* the member is not to vote */
	CLUSTER_AUTO,	    /* as the cluster sees fit */
	CLUSTER_REMOVE,	    /* the member is none any more: its session ends, its vote goes */
};
void replica_change(struct replica *r, enum cluster_change_kind kind, const char *member, uint32_t uid,
		    replica_done done, void *ctx);

/* Write an image of the present state (store/image.h) to a new unlinked file in the data directory, without stopping
 * the loop. done, from the loop: fd (owned by the callee from then on; its offset means nothing) and the revision, or -1
 * and a code: ERR_NO_SPACE, ERR_BUSY (too many at once), ERR_NO_MEMORY, ERR_CORRUPT (the disk fails). */
void replica_backup(struct replica *r, void (*done)(void *ctx, int code, int fd, uint64_t revision), void *ctx);
/* Give up those under way: done is called with ERR_CANCELED from within. To be called before replica_close. */
void replica_backup_cancel(struct replica *r);

/* Figures for cluster/metrics: counters since the start. Histograms: cumulative counts up to 2^i microseconds. */
#define REPLICA_HISTOGRAM 24
struct replica_metrics {
	uint64_t commits;	  /* commands of this mount that were answered */
	uint64_t elections;	  /* changes of the leader that were seen */
	uint64_t read_rounds;	  /* probes of the voters, while leading */
	uint64_t forwarded;	  /* commands of other members that were taken, while leading */
	uint64_t images_fetched;  /* from a leader, because this member lagged too far */
	uint64_t resent;	  /* streams that were begun anew */
	uint64_t messages_sent, messages_received, messages_dropped;
	uint64_t proposals, reads_waiting;
	uint64_t commit_us[REPLICA_HISTOGRAM], commit_us_sum;
	uint64_t disk_us[REPLICA_HISTOGRAM], disk_us_sum; /* writes to the log on disk */
};
void replica_metrics(struct replica *r, struct replica_metrics *out);

#endif
