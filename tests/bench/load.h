/*
 * load: N clients that repeat one operation for a while, and what came out of it.
 *
 * Knows nothing of coordfs: an operation is three functions on a client.
 */

#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A directory to work in: a mount of coordfs, of nullfs, or a place on the disk. */
struct place {
	const char *name;
	const char *dir;
	const char *stem; /* begins the name of everything made there */
	const struct place *other; /* another mount of the same, or NULL */
};

/* What all clients of a slice share. Lies in shared memory, as clients may be processes. */
struct arena {
	pthread_barrier_t barrier;
	atomic_int inside;		/* clients in the section that must be exclusive */
	atomic_uint_fast64_t intruders; /* how often one came in while another was inside */
	atomic_int asking;		/* clients that ask for what another has */
	uint64_t given_ns;		/* when it was given back last, and by whom; of who has it */
	unsigned int giver;
};

#define NOT_COUNTED UINT64_MAX

struct client {
	unsigned int id, count; /* this one, of so many */
	bool process;		/* not a thread */
	const struct place *place;
	struct arena *arena;

	/* The operation's own, from its open to its close. */
	int fd;
	char path[PATH_MAX], other[PATH_MAX];
	char *buffer;
	uint64_t step;
	int64_t expected;
	uint64_t took_ns; /* what the step says that it took, or NOT_COUNTED; 0: all of its time */

	/* The results. */
	uint64_t *latency_ns;
	uint64_t latency_count, done_count;
	uint64_t begin_ns, end_ns;
	int error; /* errno of the call that ended it early, or 0 */
};

struct operation {
	const char *name;
	unsigned int commits; /* changes that must be on the disk before it is done */
	bool one_file;	      /* of all clients; else each has its own */
	bool contended;	      /* only of interest with several clients */
	unsigned int clients; /* only with so many; 0: with any number */
	bool between;	      /* two mounts: every second client works on the place's other one */
	bool to_commit;	      /* is compared with one commit, too */
	bool local;	      /* needs no other member */
	bool adds;	      /* each step adds one to the counter PLACE/counters/STEM */

	/* Each returns 0, or -1 with errno. close comes after open, also if that failed, and may be NULL. */
	int (*open)(struct client *client);
	int (*step)(struct client *client);
	void (*close)(struct client *client);
};

struct slice {
	double p50_us, p99_us, per_s;
	uint64_t done_count; /* steps, with those to warm up */
	uint64_t intruder_count;
	int error;	     /* errno of the first client that failed, or 0 */
};

struct load;

/*
 * load_new - room for `clients_max` clients, processes or threads.
 * Memory: free it with load_free. NULL: none.
 */
struct load *load_new(unsigned int clients_max, bool processes);
void load_free(struct load *load);

/*
 * load_run - let `count` clients repeat the operation for `seconds`, after a warm-up of a tenth of that.
 * Errors: a slice with its error set; its other figures are those until then.
 */
struct slice load_run(struct load *load, const struct operation *operation, const struct place *place,
		      unsigned int count, double seconds);

uint64_t now_ns(void);

/* A step calls these around what one client only may do at a time. */
void exclusive_enter(struct client *client);
void exclusive_leave(struct client *client);

#endif
