/* Room: replica, its own files only: one replica in full, and the parts' entry points.
 *
 *   replica.c    open, close, status, the reading barrier
 *   proposal.c   from a command to its answer
 *   engine.c     libraft and raft_uv: start, submit, stop, start again after a failure
 *   apply.c      what libraft has committed goes into the machine
 *   snapshot.c   images, written by a child process
 *   cluster.c    who its members are; backup.c, child.c: images for people
 *   directory.c  the data directory; logcheck.c its log, before libraft sees it */
#ifndef COORDFS_REPLICA_INTERNAL_H
#define COORDFS_REPLICA_INTERNAL_H

#include <raft.h>
#include <raft/uv.h>
#include <sys/types.h>

#include "base/log.h"
#include "replica/directory.h"
#include "replica/replica.h"
#include "store/image.h"

#define ERROR_BYTES 512

/* Bytes submitted to libraft and not applied yet. raft_uv promises room on disk for 4 MiB (its capacity threshold):
 * within it no append ever waits for a segment that a full disk cannot give. */
#define INFLIGHT_BYTES_MAX (3u << 20)

/* ---- proposal.c ---- */

enum proposal_state {
	PROPOSAL_WAITING,   /* with us, packed, not yet submitted */
	PROPOSAL_SUBMITTED, /* libraft has it */
	PROPOSAL_UNKNOWN,   /* libraft was stopped with it: the log will tell */
	PROPOSAL_REFUSED,   /* in the list of those to be answered from the loop */
	PROPOSAL_ANSWERED,  /* only libraft's callback is missing */
};

struct proposal {
	struct raft_apply request;
	struct replica *replica;
	struct proposal *next, *previous; /* in the queue, in order of sequence, until answered */
	enum proposal_state state;
	bool held; /* libraft's callback is still to come */
	uint64_t session, sequence;
	struct raft_buffer buffer; /* while WAITING */
	size_t size;		   /* in the log */
	uint64_t since_ms;
	int code; /* with which it was refused, in the list of refused ones */
	replica_done done;
	void *ctx;
};

struct proposals {
	struct proposal *first, *last;	 /* not answered */
	struct proposal *first_waiting;	 /* of these, the first that is WAITING: all after it are too */
	struct proposal *refused;	 /* to be answered from the loop */
	struct proposal **refused_last;
	struct proposal *spare; /* so that running out of memory can be said */
	uint64_t count;
	size_t inflight_bytes;
};

int proposals_init(struct replica *r);
void proposals_fini(struct replica *r);
/* Propose as `session` with `sequence`: both 0 for SessionOpen. */
void proposal_start(struct replica *r, uint64_t session, uint64_t sequence, const Coordfs__Command *command,
		    replica_done done, void *ctx);
void proposal_refuse(struct replica *r, int code, replica_done done, void *ctx);
/* The entry was applied: answer whoever proposed it. session 0: the first SessionOpen of ours. */
void proposal_applied(struct replica *r, uint64_t session, uint64_t sequence, const struct reply *reply);
/* From the loop: submit what waits, answer what was refused. */
void proposals_run(struct replica *r);
/* Answer all in one state with code. */
void proposals_fail(struct replica *r, enum proposal_state state, int code);
void proposals_expire(struct replica *r, uint64_t now_ms);

/* ---- engine.c ---- */

struct engine {
	struct raft raft;
	struct raft_io io;
	struct raft_fsm fsm;
	struct raft_uv_transport transport;
	struct raft_tracer tracer;
	/* raft_uv's own, behind our wrappers */
	int (*append)(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[], unsigned n,
		      raft_io_append_cb cb);
	int (*snapshot_put)(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
			    const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb);
	void (*close)(struct raft_io *io, raft_io_close_cb cb);
	bool up;       /* started, takes entries */
	bool closing;  /* raft_close was called */
	bool released; /* … and its callback came */
	bool broken;   /* must be stopped and started again */
	bool reached;  /* the raft_apply under way got as far as raft_uv, which owns the entry's bytes then */
	_Atomic bool finalize_failed; /* a thread of the pool could not close a segment */
	uint64_t short_since_ms;      /* no room in prepared segments; 0: there is */
	uint64_t retry_at_ms;	      /* while down */
	char why[ERROR_BYTES];	      /* it is down */
	void (*closed)(struct replica *r);
};

/* Start libraft on the data directory; make the one-member log of a new cluster first when it is fresh. All that is
 * in the log is applied when it returns 0. On an error it may be closing: wait for engine_is_idle. */
int engine_start(struct replica *r, char *error, size_t error_size);
bool engine_is_idle(const struct replica *r);
/* From the loop, outside of libraft's calls: what engine_break and libraft's closing left to do. */
void engine_run(struct replica *r);
/* Submit p's buffer; its memory is libraft's then. p->held: released will be called; if it is not set although 0
 * was returned, libraft failed half-way and the log will tell. ERR_NO_SPACE, ERR_NO_QUORUM: certainly not in the
 * log; ERR_BUSY: the engine is down, keep it. */
int engine_submit(struct replica *r, struct proposal *p, raft_apply_cb released);
/* Stop; closed is called from the loop. */
void engine_stop(struct replica *r, void (*closed)(struct replica *r));
/* Something failed that libraft cannot mend: stop and start again, soon. */
void engine_break(struct replica *r, const char *why);
/* Every TICK_MS while it is down or short of space. */
void engine_tick(struct replica *r, uint64_t now_ms);
bool engine_needs_tick(const struct replica *r);

/* ---- apply.c ---- */

int apply_entry(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result);
int apply_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffer);
/* There is a machine, be it an empty one; else replica_fail was told. */
bool apply_machine_ready(struct replica *r);
/* Bytes of an entry's buffer for a packed entry of this size; where the packed entry goes. */
size_t entry_frame_bytes(size_t packed);
uint8_t *entry_frame(struct raft_buffer *buffer, size_t packed);
struct bytes entry_unframe(const struct raft_buffer *buffer); /* the packed entry in it; empty: there is none */

/* ---- snapshot.c ---- */

/* What libraft's snapshot holds: the name of an image, in a few lines. Returns its size. */
#define SNAPSHOT_NAME_BYTES 256
size_t snapshot_name_render(uint64_t index, const struct image_sum *sum, char out[SNAPSHOT_NAME_BYTES]);
bool snapshot_name_parse(const struct raft_buffer *buffer, uint64_t *index, struct image_sum *sum);

#define TRAILING_MAX 1024 /* entries kept behind a snapshot, for members that lag a little */

struct snapshots {
	/* bytes of the log that libraft holds: all, and those of the last TRAILING_MAX entries one by one */
	uint64_t log_bytes;
	uint32_t recent[TRAILING_MAX];
	uint64_t recent_count;
	/* the image under way */
	bool wanted, active;
	uint64_t index; /* of libraft's snapshot; names the image */
	uint64_t bytes_at_start, started_ms, last_ms, finished_ms; /* last_ms: how long the last one took */
	pid_t child; /* 0: none */
	int pipe;    /* its answer */
	uint64_t retry_at_ms; /* 0: no failure to mend */
	bool written;	      /* the image is there: what is left is libraft's part */
	struct image_sum sum;
	struct raft_buffer *buffer; /* libraft's; filled in when the image is there */
	/* the put under way */
	unsigned trailing;
	struct raft_io_snapshot_put *request; /* raft's, to ours */
	struct raft_io_snapshot_put own;      /* ours, to raft_uv */
	const struct raft_snapshot *snapshot;
	raft_io_snapshot_put_cb callback;
	uint64_t stored; /* index of the newest that is stored */
};

void snapshots_reset(struct replica *r); /* libraft is about to start */
/* Is it time? Then libraft is told to take one at its next event. */
void snapshots_consider(struct replica *r);
bool snapshots_need_tick(const struct replica *r);
void snapshots_tick(struct replica *r, uint64_t now_ms);
void snapshots_note_entry(struct replica *r, size_t bytes);
int snapshot_begin(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs);
int snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
		 const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb);
/* libraft is closing: let go of the put. */
void snapshot_cancel(struct replica *r);
/* Read the image that a snapshot's buffer names, unless the machine is there and newer. On failure replica_fail was
 * told why. */
int snapshot_load(struct replica *r, const struct raft_buffer *buffer);

/* ---- replica.c ---- */

enum replica_state {
	REPLICA_RECOVERING,
	REPLICA_OPENING, /* SessionOpen is proposed */
	REPLICA_SERVING,
	REPLICA_ENDING, /* SessionEnd is proposed */
	REPLICA_CLOSING,
	REPLICA_FAILED,
};

/* Work in the pool: the mark, and images that nobody needs any more. */
struct chores {
	uv_work_t work;
	bool running, mark_dirty, sweep;
	bool swept; /* of the work under way */
	struct mark mark, written;
	int result;
};

struct replica {
	uv_loop_t *loop;
	struct replica_config config;
	const struct log *log;
	struct directory directory;
	struct store *store;
	struct machine *machine;
	struct machine_observer observer; /* ours, in front of config's */
	bool observing;
	bool applying; /* libraft is on the stack: it must not be called */
	enum replica_state state;
	struct engine engine;
	struct proposals proposals;
	struct snapshots snapshots;
	struct chores chores;
	struct backup *backups; /* backup.c: under way */
	uv_timer_t tick;
	uv_check_t check;
	uv_idle_t idle;
	unsigned handles; /* of uv, open */
	uint8_t incarnation[16];
	uint64_t session, next_sequence;
	uint64_t closing_since_ms;
	void (*closed)(void *ctx);
	void *closed_ctx;
	char failure[ERROR_BYTES]; /* why it cannot go on */
	bool failure_told;
	char trouble[ERROR_BYTES];
	uint64_t free_bytes, free_bytes_at_ms;
};

#define TICK_MS 100

uint64_t replica_now_ms(const struct replica *r);
uint64_t replica_free_bytes(struct replica *r); /* at most TICK_MS old */
/* Let the loop call proposals_run soon, in this iteration if it can. */
void replica_kick(struct replica *r);
/* Something wants the tick. */
void replica_wake(struct replica *r);
/* It cannot go on: config.failed is told from the loop. */
void replica_fail(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void replica_note_acknowledged(struct replica *r, uint64_t index);
void replica_note_snapshot(struct replica *r, uint64_t index);
void replica_trouble(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
