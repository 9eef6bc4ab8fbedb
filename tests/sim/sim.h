/* The simulation: a cluster in one process and one thread, without a clock, a disk or a network. A seed decides
 * everything, so a seed tells a whole story again.
 *
 *   world.c    time, chance, what happens next; links between members
 *   disk.c     libraft's I/O over a simulated disk and these links
 *   member.c   a member: libraft, the machine, and the replica's pure parts, wired as replica/ wires them
 *   client.c   programs on a member, that count, lock and read
 *   story.c   what happened, and what must hold of it
 *   faults.c   what goes wrong
 *   sim.c      seeds, planted bugs */
#ifndef COORDFS_TESTS_SIM_H
#define COORDFS_TESTS_SIM_H

#include <raft.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model/memory.h"
#include "replica/lease.h"
#include "replica/proposals.h"
#include "replica/readindex.h"

#define MEMBERS_MAX 5
#define CLIENTS 3 /* on a member */
#define COUNTERS 2
#define LOCKS 2
#define MS 1000ull /* time is in microseconds */
#define S (1000 * MS)

/* What must not happen. */
enum violation {
	FINE,
	STATES_DIFFER,	/* at the same index */
	NOT_ONCE,	/* executed twice; or acknowledged, not executed; or refused, executed */
	WRONG_REPLY,	/* not that of the execution */
	STALE,		/* an answer from before something that was acknowledged earlier */
	TWO_HOLDERS,
	TOKEN_FELL,
	LATE,		/* no answer within the timeout */
	UNANSWERED,	/* at the end, when all is well again */
	GHOST,		/* at the end a lock is held that nobody holds */
	BROKEN,		/* the machine's invariants */
};

/* Bugs that a run can be given, to see that they are found. */
enum plant {
	NO_PLANT,
	PLANT_NO_DEDUPE,      /* the machine does not know a repeat */
	PLANT_NO_MARGIN,      /* the keeper's time is over before the holder's */
	PLANT_NO_GRANT,	      /* a new leader grants no new term */
	PLANT_END_FORWARDED,  /* an expired session's end goes to the next leader */
	PLANT_NO_PROBE,	      /* the leader answers reads without asking the voters */
	PLANT_NOT_SETTLED,    /* … before an entry of its term is committed */
	PLANT_ANY_ORDER,      /* the leader takes what comes, as it comes */
	PLANT_REFUSED_TAKEN,  /* a refused stream goes on */
	PLANTS,
};

/* ---- world.c ---- */

struct member;
struct world;

struct event_item {
	uint64_t time, order;
	struct member *member; /* NULL: nobody's */
	uint64_t start;	       /* of its starts the one that is meant; 0: any */
	void (*run)(void *ctx);
	void (*drop)(void *ctx); /* instead of run; may be NULL */
	void *ctx;
};

struct link {
	bool cut;
	uint64_t delay, jitter, last; /* last: when the last message on the present connection arrives */
	unsigned loss, repeats;	      /* per thousand */
};

struct op;
struct tally;

struct world {
	uint64_t seed, random;
	enum plant plant;
	bool trace;
	uint64_t now; /* true time */
	struct event_item *heap;
	size_t count, capacity;
	uint64_t order;
	unsigned member_count;
	struct member *members[MEMBERS_MAX];
	struct link links[MEMBERS_MAX][MEMBERS_MAX];
	unsigned timeout_ms, ttl_ms, election_ms;
	bool disk_full;	    /* leaders take nothing */
	bool silent;	    /* leaders answer only what they refuse; a gap is a refusal */
	bool over;	    /* no more faults, and soon no more operations */
	uint64_t inodes[COUNTERS + LOCKS];
	struct story *story;
	struct tally *tally;
	enum violation violation;
	char what[300];
};

uint64_t world_random(struct world *w);
uint64_t below(struct world *w, uint64_t n);
uint64_t between(struct world *w, uint64_t low, uint64_t high);
bool chance(struct world *w, unsigned per_thousand);
void world_at(struct world *w, uint64_t time, struct member *m, uint64_t start, void (*run)(void *ctx),
	      void (*drop)(void *ctx), void *ctx);
/* The next thing happens. False: there is nothing more, or a violation. */
bool world_step(struct world *w);
void world_clear(struct world *w); /* drops what has not happened */
/* A message on its way from one member to another: deliver (perhaps never) or drop is called for it. copy: of ctx, for
 * a repeat; NULL: it is never repeated. */
void world_send(struct world *w, unsigned from, unsigned to, void (*deliver)(void *ctx), void (*drop)(void *ctx),
		void *(*copy)(void *ctx), void *ctx);
void trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void violate(struct world *w, enum violation violation, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *need(void *memory);

/* ---- disk.c ---- */

struct disk_entry {
	raft_term term;
	enum raft_entry_type type;
	size_t size;
	uint8_t *bytes;
};
struct disk_write; /* under way */

/* What is left of a crashed member: the log, the term, the vote. */
struct disk {
	raft_term term;
	raft_id vote;
	struct disk_entry *entries; /* of index 1, 2, … */
	size_t count, capacity;
	struct disk_write *first, *last;
	bool writing;
	uint64_t latency;
};

void disk_io(struct member *m);	   /* m->io for m->disk */
void disk_flush(struct member *m); /* callbacks of messages that are on their way */
void disk_crash(struct member *m); /* between raft_close and its callback: some of what was under way is written */
void disk_free(struct disk *d);

/* ---- member.c ---- */

struct client {
	struct member *member;
	unsigned number;
	struct op *op; /* not answered */
	struct op *lock; /* that waits or is held, or may be */
	enum { LOCK_NONE, LOCK_WAITS, LOCK_HELD, LOCK_DOUBTFUL } lock_state;
	uint64_t token, lock_session;
	bool counted, done; /* at the end */
};

struct member {
	struct world *world;
	unsigned number;
	raft_id id;
	char name[8];
	/* its clocks */
	int64_t drift_ppm;
	uint64_t boot_offset, realtime_offset; /* microseconds */
	uint64_t suspended_ms;
	/* alive, or not */
	bool alive;
	uint64_t start; /* 1, 2, … */
	uint64_t stopped_until, stopped_last; /* it does nothing; until when it last did nothing */
	struct disk disk;
	/* from here on: of this start */
	struct raft raft;
	struct raft_io io;
	raft_io_tick_cb tick;
	raft_io_recv_cb recv;
	raft_io_close_cb close;
	struct disk_sent *sent; /* callbacks to come */
	struct raft_fsm fsm;
	bool in_raft; /* libraft is on the stack */
	bool woken;
	struct memory_machine *machine;
	struct machine_observer observer;
	struct proposals *proposals;
	struct acceptor *acceptor;
	struct prober *prober;
	struct reader *reader;
	struct holder holder;
	struct keeper *keeper;
	uint64_t term, leader;
	bool leads, settled;
	uint64_t barrier; /* index of the one that was issued when it began to lead */
	uint64_t session;
	bool opening, lost;
	uint8_t incarnation[16];
	uint64_t open_key, open_asked_ms;
	uint64_t ending; /* the last session whose end it proposed */
	uint64_t ticks;
	struct client clients[CLIENTS];
};

struct member *member_new(struct world *w, unsigned number);
void member_free(struct member *m);
void member_start(struct member *m);
void member_crash(struct member *m);
/* suspended: its clocks stand still, but for CLOCK_BOOTTIME. */
void member_stop(struct member *m, uint64_t until, bool suspended);
uint64_t member_ms(const struct member *m);	 /* CLOCK_MONOTONIC */
uint64_t member_boot_ms(const struct member *m); /* CLOCK_BOOTTIME */
/* To be called after whatever happened to it: all its parts are told. */
void member_settle(struct member *m);
/* Is its session alive, as far as it may believe? */
bool member_holds(struct member *m, uint64_t session);
/* The machine after an entry, or at a read. */
int64_t member_counter(struct member *m, unsigned counter, uint64_t *applied);

/* ---- client.c ---- */

enum op_kind { OP_CREATE, OP_ADD, OP_CAS, OP_READ, OP_LOCK, OP_CANCEL, OP_DROP };
struct op {
	uint64_t number; /* 1, 2, … */
	enum op_kind kind;
	struct client *client; /* NULL: its member crashed */
	unsigned object;       /* counter or lock */
	int64_t expected;      /* cas */
	bool wait;
	uint64_t session, sequence, asked_ms, asked_at;
	uint64_t floor; /* the highest index that anyone had been told of when it was asked */
	int64_t least;	/* … and the highest value */
	bool answered;
	int code;
	/* as executed */
	unsigned executed;
	uint64_t index;
	int64_t value;
};

void client_start(struct client *c);
void client_crashed(struct client *c);
void client_granted(struct member *m, uint64_t sequence, uint64_t token);
void client_denied(struct member *m, uint64_t sequence, int code);
void client_session_gone(struct member *m); /* lost, or over: all that was held is */
bool client_is_idle(const struct client *c);

/* ---- story.c ---- */

struct story *story_new(struct world *w);
void story_free(struct story *r);
struct op *story_op(struct story *r); /* a new one; freed with the record */
/* An entry was applied by a member: the first to do so tells what it was. */
void story_applied(struct story *r, struct member *m, uint64_t index, const Coordfs__Entry *entry,
		    const struct reply *reply);
void story_asked(struct story *r, struct op *op);
void story_answered(struct story *r, struct op *op, int code, int64_t value, uint64_t index);
void story_granted(struct story *r, struct client *c, unsigned lock, uint64_t token);
void story_end(struct story *r); /* all is well again, everyone has finished */
/* How much happened, by how it ended. */
struct tally {
	uint64_t operations, acknowledged, refused, unknown, grants, leaders, crashes, restarted_streams;
};
void tally_add(struct tally *sum, const struct world *w);

/* ---- faults.c ---- */

void faults_start(struct world *w);
void faults_end(struct world *w); /* heal, restart, resume */

#endif
