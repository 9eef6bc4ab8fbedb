/* report: the tables. bench.c tells how to read them. */

#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "measure.h"

/* report_head, report_row - the table for that number of clients, a line each as it becomes known. */
void report_head(unsigned int clients);
void report_row(const struct row *row);

/* report_goals_head - before the first of the goals. */
void report_goals_head(void);

/*
 * A goal is met when the measured value is at most so much of the limit, or at least, for a rate; both by the median
 * and by the quiet quarter of the rounds. When these two disagree, the machine was too busy to tell.
 */
struct goal {
	const char *name, *unit;
	double measured, limit; /* in that unit */
	struct spread ratio;	/* of the two; a spread of one value if there were no rounds */
	double quiet;		/* the ratio that the quiet rounds give */
	double wanted;		/* of the ratio */
	bool at_least;
};

void report_goal(const struct goal *goal);

/* report_absolute - a goal with a fixed limit, at most that; report_absolute_rate - at least that. All in `unit`. */
void report_absolute(const char *name, struct spread measured, double wanted, const char *unit);
void report_absolute_rate(const char *name, struct spread measured, double wanted, const char *unit);

#endif
