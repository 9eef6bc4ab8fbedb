/* Room: replica, its own files only: one replica in full, and the parts' entry points.
 *
 *   replica.c    open, close, sessions, status
 *   engine.c     libraft and raft_uv: start, submit, receive, stop, start again after a failure
 *   outbox.c     its messages, those that follow one another as one
 *   message.c    libraft's messages on the wire
 *   apply.c      what libraft has committed goes into the machine
 *   lead.c       who leads, and what follows from it: streams, reads, renewals
 *   peers.c      envelopes in and out, news of the members, addresses
 *   cluster.c    members as people see them; changes of the cluster, made by the leader
 *   joining.c    a new member asks to be let in
 *   eventual.c   the eventual level, which is gossip's
 *   snapshot.c   images, written by a child process; fetch.c images from the leader
 *   backup.c     images for people; child.c the process that writes them
 *   directory.c  the data directory; logcheck.c its log, before libraft sees it
 * and the pure parts: proposals.h, readindex.h, lease.h, plan.h, join.h. */
#ifndef COORDFS_REPLICA_INTERNAL_H
#define COORDFS_REPLICA_INTERNAL_H

#include <raft.h>
#include <raft/uv.h>
#include <sys/types.h>

#include <uthash.h>

#include "base/log.h"
#include "gossip/gossip.h"
#include "machine/level.h"
#include "net/net.h"
#include "replica/directory.h"
#include "replica/join.h"
#include "replica/lease.h"
#include "replica/plan.h"
#include "replica/proposals.h"
#include "replica/readindex.h"
#include "replica/replica.h"
#include "store/image.h"

#define ERROR_BYTES 512

/* ---- outbox.c ---- */

/* libraft's messages of this turn of the loop. */
struct outbox {
	struct waiting *waiting;
	size_t count, capacity;
};

/* From raft_io's `send`. unwanted: it is not to go out; libraft is told that it did. */
void outbox_add(struct replica *r, struct raft_io_send *request, const struct raft_message *message, bool unwanted);
/* Send what was added, outside of libraft's calls, and tell libraft. */
void outbox_flush(struct replica *r);
/* libraft is closing: tell it that they are lost. */
void outbox_drop(struct replica *r);
void outbox_fini(struct outbox *o);
/* A message at once. quiet: an AppendEntries that wants no result. False: it is lost. */
bool outbox_send(struct replica *r, const struct raft_message *message, bool quiet);

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
	int (*start)(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv);
	raft_io_tick_cb tick; /* libraft's */
	raft_io_recv_cb recv;
	struct outbox outbox;
	bool quiet; /* what is being received wants no result */
	size_t inflight_bytes; /* submitted and not applied yet */
	uint64_t inflight_count;
	struct append_times *append_times; /* of appends under way, which end in order */
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

/* Start libraft on the data directory; make the one-member log of a new cluster first when it is fresh. With a single
 * voter all that is in the log is applied when it returns 0; else what is committed follows as the leader tells it.
 * On an error it may be closing: wait for engine_is_idle. */
int engine_start(struct replica *r, char *error, size_t error_size);
bool engine_is_idle(const struct replica *r);
/* From the loop, outside of libraft's calls: what engine_break and libraft's closing left to do. */
void engine_run(struct replica *r);
/* Append a packed entry (borrowed) to the log, as the leader. OK; or it is certainly not in the log: ERR_NO_SPACE,
 * ERR_NO_QUORUM (does not lead), ERR_BUSY (down, or enough is under way: later). */
int engine_submit(struct replica *r, struct bytes entry);
/* A message for libraft. */
void engine_receive(struct replica *r, const Coordfs__RaftMessage *message, uint64_t from);
/* The same, unpacked: libraft takes its memory. */
void engine_deliver(struct replica *r, struct raft_message *message);
/* Where it stands. */
struct standing {
	uint64_t term, leader; /* leader 0: none known */
	bool leads;
	bool alone; /* no other member votes */
};
void engine_standing(const struct replica *r, struct standing *out);
/* libraft's configuration: is `member` in it, and with which role? -1: it is not. */
int engine_role(const struct replica *r, uint64_t member);
/* Tell followers that have all what is committed, without waiting for the next heartbeat. */
void engine_tell_commit(struct replica *r);
/* An AppendEntries with what is committed has gone out. */
void engine_told(struct replica *r, const struct raft_message *message);
/* The name by which libraft knows a member: all it keeps of it beside the number. */
#define ENGINE_ADDRESS_BYTES 24
const char *engine_address(uint64_t member, char out[ENGINE_ADDRESS_BYTES]);
/* Stop; closed is called from the loop. */
void engine_stop(struct replica *r, void (*closed)(struct replica *r));
/* Something failed that libraft cannot mend: stop and start again, soon. */
void engine_break(struct replica *r, const char *why);
/* Every REPLICA_TICK_MS while it is down or short of space. */
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

#define TRAILING_MAX 65536 /* entries kept behind a snapshot, for members that lag a little */

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
	/* a snapshot from the leader that is being stored */
	struct {
		struct raft_io_snapshot_put *request, own;
		const struct raft_snapshot *snapshot;
		raft_io_snapshot_put_cb callback;
		uint64_t retry_at_ms; /* 0: it is with raft_uv */
	} install;
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

/* ---- fetch.c ---- */

/* An image on its way here. */
struct fetch {
	bool active;
	struct raft_message message; /* the InstallSnapshot that names it, kept until the image is here */
	uint64_t from, index;
	struct image_sum sum;
	int fd;
	uint64_t asked, written; /* bytes: asked for, and here without a gap */
	uint64_t moved_ms; /* when something came last */
	uv_fs_t sync;
	bool syncing;
};
/* An InstallSnapshot came: taken. It goes to libraft when the image it names is here. */
void fetch_snapshot(struct replica *r, struct raft_message *message);
void fetch_receive(struct replica *r, const Coordfs__ImageChunk *chunk, uint64_t from);
void fetch_serve(struct replica *r, const Coordfs__ImageRequest *request, uint64_t from);
void fetch_tick(struct replica *r, uint64_t now_ms);
void fetch_drop(struct replica *r);

/* ---- lead.c ---- */

/* Look where libraft stands, and do what follows. Outside of libraft's calls. */
void lead_observe(struct replica *r);
void lead_tell_commit(struct replica *r); /* last, as what went out may have told it already */
int lead_init(struct replica *r); /* proposals, reader and so on: ERR_NO_MEMORY */
void lead_fini(struct replica *r);
void lead_tick(struct replica *r, uint64_t now_ms);
bool lead_is_busy(const struct replica *r); /* wants the tick */
/* Messages. */
void lead_forward(struct replica *r, const Coordfs__Forward *forward, uint64_t from);
void lead_read_request(struct replica *r, const Coordfs__ReadRequest *request, uint64_t from);
void lead_read_result(struct replica *r, const Coordfs__ReadResult *result);
void lead_probe(struct replica *r, const Coordfs__Probe *probe, uint64_t from);
/* An entry of no session, proposed by this leader itself; it may be lost. */
void lead_submit_own(struct replica *r, const Coordfs__Command *command);

/* ---- forward.c ---- */

struct forwarding; /* this turn's commands for the leader, which is another member */
struct forwarding *forward_new(void); /* NULL: no memory */
void forward_free(struct forwarding *f);
/* proposals_port.send, of an entry that is copied: OK or QUEUED. */
int forward_add(struct replica *r, uint64_t term, uint64_t stream, uint64_t position, struct bytes entry);
void forward_flush(struct replica *r); /* at the end of the turn */

/* ---- peers.c ---- */

struct peer {
	UT_hash_handle hh;
	uint64_t id;
	uint64_t heard_ms; /* 0: never */
	uint64_t told_commit; /* while leading */
	uint64_t applied, last_index, disk_free_bytes; /* of its Hello */
	char address[NET_ADDRESS_BYTES]; /* where it is sent to */
	char recorded[NET_ADDRESS_BYTES]; /* what the state says; "": nothing */
	char version[32], trouble[160];
};
int peers_open(struct replica *r, char *error, size_t error_size); /* the net, if there is to be one */
void peers_identify(struct replica *r); /* the directory says who we are: other members may talk to us */
void peers_close(struct replica *r); /* r->net is NULL when it is done; kicks */
void peers_fini(struct replica *r);
bool peers_send(struct replica *r, uint64_t member, Coordfs__Envelope *e);
void peers_receive(void *replica, const Coordfs__Envelope *e); /* net_config.receive */
bool peers_is_member(struct replica *r, uint64_t id); /* in the state */
struct peer *peers_find(struct replica *r, uint64_t id); /* made if it is new; NULL: no memory */
void peers_set_address(struct replica *r, uint64_t id, const char *address); /* "": nothing happens */
void peers_members_changed(struct replica *r); /* the machine's members may have */
const char *peers_trouble(struct replica *r);
void peers_tick(struct replica *r, uint64_t now_ms);
/* What is known of a member, by whoever knows best. */
struct news {
	bool known;
	uint64_t applied, commit, silent_ms, disk_free_bytes;
	const char *version, *trouble;
};
struct news peers_news(struct replica *r, uint64_t id);

/* ---- cluster.c ---- */

struct change; /* a request that this member was asked for, or asks the leader for */
void cluster_tick(struct replica *r, uint64_t now_ms);
void cluster_change_asked(struct replica *r, const Coordfs__Change *change, uint64_t from);
void cluster_change_answered(struct replica *r, const Coordfs__ChangeResult *result);
void cluster_fail(struct replica *r); /* libraft stops: requests to it are over; or all, at the end */
void cluster_self_removed(struct replica *r); /* requests for that are done */
bool cluster_is_busy(const struct replica *r); /* wants the tick */
void cluster_fini(struct replica *r);

/* ---- joining.c ---- */

void joining_start(struct replica *r);
void joining_tick(struct replica *r, uint64_t now_ms);
void joining_answered(struct replica *r, const Coordfs__JoinResult *result);
void joining_fini(struct replica *r);
void joining_asked(struct replica *r, const Coordfs__JoinRequest *request, unsigned protocol);

/* ---- eventual.c ---- */

int eventual_open(struct replica *r, char *error, size_t error_size); /* once the directory says who we are */
void eventual_members_changed(struct replica *r);
void eventual_check_roots(struct replica *r); /* the state was replaced, or removals were applied unseen */
void eventual_receive(struct replica *r, const Coordfs__Envelope *e);
void eventual_close(struct replica *r); /* r->gossip is NULL when it is done; kicks */

/* ---- replica.c ---- */

enum replica_state {
	REPLICA_JOINING, /* asking to be let in: libraft is not started yet */
	REPLICA_OPENING, /* SessionOpen is proposed */
	REPLICA_SERVING,
	REPLICA_ENDING,	 /* SessionEnd is proposed */
	REPLICA_LEAVING, /* leadership is handed over */
	REPLICA_CLOSING,
	REPLICA_FAILED,
};

/* Work in the pool: the mark, and images that nobody needs any more. */
struct chores {
	uv_work_t work;
	bool running, mark_dirty, sweep;
	bool swept; /* of the work under way */
	uint64_t keep; /* an image that must not be swept */
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
	struct snapshots snapshots;
	struct fetch fetch;
	struct net *net; /* NULL: it listens to nobody */
	bool net_closing;
	struct gossip *gossip; /* NULL: not open (yet) */
	bool gossip_closing;
	struct peer *peers;
	/* news of all members, from the leader */
	Coordfs__ClusterView *view;
	uint64_t view_at_ms, news_at_ms;
	/* lead.c */
	struct proposals *proposals;
	struct forwarding *forwarding;
	struct acceptor *acceptor;
	struct prober *prober;
	struct reader *reader;
	struct keeper *keeper;
	struct holder holder;
	struct standing standing; /* as last seen */
	uint64_t unconfirmed_told_ms;
	bool settled;		  /* it leads, and an entry of its term is committed */
	uint64_t led_from_index;  /* the log's last index when it began to lead */
	bool barrier_asked;
	struct raft_barrier barrier;
	uint64_t configuration_seen[2];
	/* cluster.c */
	struct change *changes;
	uint64_t next_nonce;
	struct raft_change raft_change;
	struct raft_transfer raft_transfer;
	bool changing, transferring;
	uint64_t planned_ms, leads_since_ms;
	struct joiner *joiner;
	struct replica_metrics metrics;
	struct chores chores;
	struct backup *backups; /* backup.c: under way */
	uv_timer_t tick;
	uv_check_t check;
	uv_idle_t idle;
	unsigned handles; /* of uv, open */
	uint8_t incarnation[16];
	uint64_t session; /* 0: none, or it is lost */
	uint64_t former_session; /* lost, and not ended in the log yet; 0: none */
	uint64_t opening_key; /* of the SessionOpen under way; 0: none */
	uint64_t open_sent_ms; /* CLOCK_BOOTTIME */
	bool started; /* replica_start was called: lead.c's parts are there */
	bool must_reset, reset_asked; /* ClusterReset comes before the first session */
	uint8_t key[NET_KEY_BYTES];
	bool restored_untold; /* config.restored is to be called */
	bool members_dirty;
	uint64_t closing_since_ms;
	void (*closed)(void *ctx);
	void *closed_ctx;
	char scratch[ERROR_BYTES]; /* for words that nobody reads */
	struct {
		uint64_t nonce, session;
	} own_requests[8]; /* reads and renewals that this leader asks itself for */
	unsigned own_request_count;
	uint64_t votes_expired_ms; /* the last ones were proposed to end */
	char failure[ERROR_BYTES]; /* why it cannot go on */
	bool failure_told;
	char trouble[ERROR_BYTES];
	uint64_t free_bytes, free_bytes_at_ms;
};

#define REPLICA_TICK_MS 100

/* From the directory on: libraft, the session. */
int replica_start(struct replica *r, char *error, size_t error_size);
uint64_t replica_now_ms(const struct replica *r);
uint64_t replica_boottime_ms(void);
uint64_t replica_free_bytes(struct replica *r); /* at most REPLICA_TICK_MS old */
/* Let the loop call proposals_run soon, in this iteration if it can. */
void replica_kick(struct replica *r);
/* Something wants the tick. */
void replica_wake(struct replica *r);
/* It cannot go on: config.failed is told from the loop. */
void replica_fail(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* This program knows all that the cluster may use; else replica_fail was told. */
bool replica_keeps_up(struct replica *r);
void replica_note_acknowledged(struct replica *r, uint64_t index);
void replica_note_snapshot(struct replica *r, uint64_t index);
void replica_trouble(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
