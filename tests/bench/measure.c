#include "measure.h"

#include "operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- medians ---------------------------------------------------------------------------------------------------- */

static int double_compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct spread spread_of(double *values, unsigned int count)
{
	if (count == 0)
		return (struct spread){ .median = 0 };
	qsort(values, count, sizeof *values, double_compare);
	return (struct spread){
		.median = (values[(count - 1) / 2] + values[count / 2]) / 2,
		.min = values[0],
		.max = values[count - 1],
		.lower = values[(count - 1) / 4],
		.upper = values[count - 1 - (count - 1) / 4],
	};
}

static double slice_figure(const struct slice *slice, enum figure figure)
{
	switch (figure) {
	case P50_US:
		return slice->p50_us;
	case P99_US:
		return slice->p99_us;
	case PER_S:
		return slice->per_s;
	}
	return 0;
}

static struct spread row_spread(const struct row *row, enum side side, enum figure figure)
{
	double values[ROUNDS_MAX];

	for (unsigned int round = 0; round < row->round_count; round++)
		values[round] = slice_figure(&row->slices[side][round], figure);
	return spread_of(values, row->round_count);
}

double row_figure(const struct row *row, enum side side, enum figure figure)
{
	return row_spread(row, side, figure).median;
}

double row_limit_us(const struct row *row)
{
	return row_figure(row, NULLFS, P50_US) + row->operation->commits * row_figure(row, DISK, P50_US) +
	       row->trips * row_figure(row, TRIP, P50_US);
}

struct spread row_latency_ratio(const struct row *row)
{
	double values[ROUNDS_MAX], limit_us;

	for (unsigned int round = 0; round < row->round_count; round++) {
		limit_us = row->slices[NULLFS][round].p50_us + row->operation->commits * row->slices[DISK][round].p50_us +
			   row->trips * row->slices[TRIP][round].p50_us;
		values[round] = limit_us > 0 ? row->slices[SUBJECT][round].p50_us / limit_us : 0;
	}
	return spread_of(values, row->round_count);
}

struct spread row_rate_ratio(const struct row *row, enum side null)
{
	double values[ROUNDS_MAX], limit_per_s;

	for (unsigned int round = 0; round < row->round_count; round++) {
		limit_per_s = row->slices[null][round].per_s;
		values[round] = limit_per_s > 0 ? row->slices[SUBJECT][round].per_s / limit_per_s : 0;
	}
	return spread_of(values, row->round_count);
}

double row_latency_quiet(const struct row *row)
{
	double limit_us = row_spread(row, NULLFS, P50_US).lower +
			  row->operation->commits * row_spread(row, DISK, P50_US).lower +
			  row->trips * row_spread(row, TRIP, P50_US).lower;

	return limit_us > 0 ? row_spread(row, SUBJECT, P50_US).lower / limit_us : 0;
}

double row_rate_quiet(const struct row *row, enum side null)
{
	double limit_per_s = row_spread(row, null, PER_S).upper;

	return limit_per_s > 0 ? row_spread(row, SUBJECT, PER_S).upper / limit_per_s : 0;
}

static double turn_us(const struct slice *slice)
{
	return slice->per_s > 0 ? 1e6 / slice->per_s : 0;
}

static double to_commit(double us, double commit_us)
{
	return commit_us > 0 ? us / commit_us : 0;
}

struct spread row_commit_ratio(const struct row *row)
{
	double values[ROUNDS_MAX];

	for (unsigned int round = 0; round < row->round_count; round++)
		values[round] = to_commit(row->slices[SUBJECT][round].p50_us, row->slices[COMMIT][round].p50_us);
	return spread_of(values, row->round_count);
}

double row_commit_quiet(const struct row *row)
{
	return to_commit(row_spread(row, SUBJECT, P50_US).lower, row_spread(row, COMMIT, P50_US).lower);
}

struct spread row_grant_ratio(const struct row *row)
{
	double values[ROUNDS_MAX];

	for (unsigned int round = 0; round < row->round_count; round++)
		values[round] = to_commit(turn_us(&row->slices[SUBJECT][round]), row->slices[COMMIT][round].p50_us);
	return spread_of(values, row->round_count);
}

double row_grant_quiet(const struct row *row)
{
	double per_s = row_spread(row, SUBJECT, PER_S).upper;

	return per_s > 0 ? to_commit(1e6 / per_s, row_spread(row, COMMIT, P50_US).lower) : 0;
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

static int row_fail(struct row *row, const struct place *place, const char *what, int64_t got, int64_t want)
{
	snprintf(row->fault, sizeof row->fault, "%s on %s: %lld, should be %lld", what, place->name, (long long)got,
		 (long long)want);
	return -1;
}

static int row_fail_errno(struct row *row, const struct place *place, int error)
{
	snprintf(row->fault, sizeof row->fault, "failed on %s: %s", place->name, strerror(error));
	return -1;
}

/* Each addition that was acknowledged is in the sum, and nothing else. */
static int sum_check(struct row *row, const struct place *place, const struct slice *slice, int64_t before)
{
	int64_t after, want = before + (row->operation->adds ? (int64_t)slice->done_count : 0);

	if (counter_value(place, &after) != 0)
		return row_fail(row, place, "sum unreadable", 0, want);
	return after == want ? 0 : row_fail(row, place, "WRONG SUM", after, want);
}

static int slice_check(struct row *row, const struct place *place, const struct slice *slice)
{
	if (slice->error)
		return row_fail_errno(row, place, slice->error);
	if (slice->intruder_count)
		return row_fail(row, place, "NO EXCLUSION: holders at once", (int64_t)slice->intruder_count, 0);
	return slice->done_count ? 0 : row_fail(row, place, "nothing done", 0, 1);
}

static int tree_slice(struct row *row, struct load *load, const struct plan *plan, enum side side, struct slice *slice)
{
	const struct place *place = &plan->places[side];
	int64_t before;

	if (counter_value(place, &before) != 0)
		return row_fail(row, place, "sum unreadable", 0, 0);
	*slice = load_run(load, row->operation, place, row->clients, plan->seconds);
	return slice_check(row, place, slice) == 0 ? sum_check(row, place, slice, before) : -1;
}

static int disk_slice(struct row *row, struct load *load, const struct plan *plan, struct slice *slice)
{
	const struct place *place = &plan->places[DISK];
	unsigned int clients = row->clients;

	if (row->clients == 1)
		clients = row->operation->local ? 1 : plan->writers;
	*slice = load_run(load, &disk_operation, place, clients, plan->seconds / 2);
	return slice_check(row, place, slice);
}

static int trip_slice(struct row *row, struct load *load, const struct plan *plan, struct slice *slice)
{
	const struct place *place = &plan->places[TRIP];

	*slice = load_run(load, &trip_operation, place, 1, plan->seconds / 2);
	return slice_check(row, place, slice);
}

static const struct operation *commit_operation(void)
{
	const struct operation *operation = counter_operations;

	while (strcmp(operation->name, OPERATION_ADD) != 0)
		operation++;
	return operation;
}

static int commit_slice(struct row *row, struct load *load, const struct plan *plan, struct slice *slice)
{
	const struct place *place = &plan->places[SUBJECT];
	struct slice other;
	int64_t sum;

	if (counter_value(place, &sum) != 0)
		return row_fail(row, place, "sum unreadable", 0, 0);
	*slice = load_run(load, commit_operation(), place, 1, plan->seconds / 2);
	if (slice_check(row, place, slice) != 0 || !row->operation->between)
		return row->fault[0] ? -1 : 0;
	other = load_run(load, commit_operation(), place->other, 1, plan->seconds / 2);
	slice->p50_us = (slice->p50_us + other.p50_us) / 2;
	return slice_check(row, place->other, &other);
}

static bool wants_serial(const struct row *row, const struct plan *plan)
{
	return plan->places[NULLFS_SERIAL].dir && row->clients > 1 && strcmp(row->operation->name, OPERATION_ADD) == 0;
}

static int round_measure(struct row *row, struct load *load, const struct plan *plan, unsigned int round)
{
	if (!row->operation->between && tree_slice(row, load, plan, NULLFS, &row->slices[NULLFS][round]) != 0)
		return -1;
	if (wants_serial(row, plan) && tree_slice(row, load, plan, NULLFS_SERIAL, &row->slices[NULLFS_SERIAL][round]) != 0)
		return -1;
	if (row->operation->commits && plan->places[DISK].dir &&
	    disk_slice(row, load, plan, &row->slices[DISK][round]) != 0)
		return -1;
	if (row->trips && trip_slice(row, load, plan, &row->slices[TRIP][round]) != 0)
		return -1;
	if (row->operation->to_commit && commit_slice(row, load, plan, &row->slices[COMMIT][round]) != 0)
		return -1;
	if (tree_slice(row, load, plan, SUBJECT, &row->slices[SUBJECT][round]) != 0)
		return -1;
	row->round_count++;
	return 0;
}

int row_measure(struct row *row, struct load *load, const struct plan *plan, const struct operation *operation,
		unsigned int clients)
{
	memset(row, 0, sizeof *row);
	row->operation = operation;
	row->clients = clients;
	row->trips = clients == 1 && !operation->local ? plan->trips : 0;
	for (unsigned int round = 0; round < plan->rounds; round++)
		if (round_measure(row, load, plan, round) != 0)
			return -1;
	return 0;
}
