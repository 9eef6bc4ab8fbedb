/*
 * measure: one operation, on the subject and on its limits, in turns.
 *
 * The machine is noisy and its noise comes in waves longer than a slice. So a round takes one slice of each, close
 * together in time; a ratio is made within its round; and what is shown is the median of the rounds.
 */

#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "load.h"

#define ROUNDS_MAX 99

/* NULLFS_SERIAL: nullfs to which the kernel sends the writes of one file one by one; only for OPERATION_ADD. TRIP: to
 * another process and back, over ZeroMQ. COMMIT: OPERATION_ADD by one client on the subject; of two mounts the mean. */
enum side { SUBJECT, NULLFS, NULLFS_SERIAL, DISK, TRIP, COMMIT, SIDE_COUNT };
enum figure { P50_US, P99_US, PER_S };

/* Everything known about an operation with so many clients. */
struct row {
	const struct operation *operation;
	unsigned int clients;
	unsigned int round_count; /* those complete */
	unsigned int trips;	  /* of messages that it needs at least */
	struct slice slices[SIDE_COUNT][ROUNDS_MAX];
	char fault[128]; /* what went wrong, or empty */
};

struct plan {
	struct place places[SIDE_COUNT];
	unsigned int rounds; /* at most ROUNDS_MAX */
	double seconds;	     /* of a slice */
	unsigned int writers; /* on the disk at once, when one client writes: as many as members */
	unsigned int trips;  /* an operation waits for, at least: 1 on the leader, 2 on a follower, 0 on a lone member */
};

/* Of the rounds: the middle, the ends, and what a quarter of them is below, or above. */
struct spread {
	double median, min, max, lower, upper;
};

/*
 * row_measure - all rounds of one operation; sums and exclusion are checked in each slice.
 * Errors: -1, and row->fault tells in words; the rounds before that remain.
 */
int row_measure(struct row *row, struct load *load, const struct plan *plan, const struct operation *operation,
		unsigned int clients);

/* row_figure - the median over the rounds; 0 if there are none. */
double row_figure(const struct row *row, enum side side, enum figure figure);

/* row_limit_us - the null operation and, for each commit, a write on the disk, and the round trips. */
double row_limit_us(const struct row *row);

/*
 * row_latency_ratio - the subject's p50 to that limit, round by round. Below 1 is better than the limit.
 * row_latency_quiet - the same of what each side reached in its best quarter of the rounds. Noise only ever adds to a
 * latency, so this is what is left of it when the machine is busy with something else.
 */
struct spread row_latency_ratio(const struct row *row);
double row_latency_quiet(const struct row *row);

/*
 * row_rate_ratio - the subject's operations per second to those of one of the nullfs, round by round. Above 1 is better.
 * row_rate_quiet - likewise.
 */
struct spread row_rate_ratio(const struct row *row, enum side null);
double row_rate_quiet(const struct row *row, enum side null);

/*
 * row_commit_ratio - the subject's p50 to that of one commit, round by round; row_commit_quiet - likewise.
 * row_grant_ratio - the same of the time from one of the subject's operations to the next, whichever client does them.
 */
struct spread row_commit_ratio(const struct row *row);
double row_commit_quiet(const struct row *row);
struct spread row_grant_ratio(const struct row *row);
double row_grant_quiet(const struct row *row);

/* spread_of - sorts the values. */
struct spread spread_of(double *values, unsigned int count);

#endif
