#include "report.h"

#include <stdio.h>

void report_head(unsigned int clients)
{
	if (clients == 1)
		printf("\n%-34s %31s   %46s\n%-34s %9s %9s %11s   %9s %2s %9s %2s %9s %9s %6s\n", "1 client: p50 and p99 in us",
		       "coordfs", "the limit: null + n * disk + m * trip", "operation", "p50", "p99", "per s", "null", "n",
		       "disk", "m", "trip", "limit", "ratio");
	else
		printf("\n%2u %-31s %31s   %33s\n%-34s %9s %9s %11s   %11s %11s %6s\n", clients,
		       "clients: p50 and p99 in us", "coordfs", "the limit: null per s", "operation", "p50", "p99", "per s",
		       "null per s", "disk per s", "ratio");
	fflush(stdout);
}

/* What the disk or the network does, where it was measured. */
static const char *side_text(const struct row *row, enum side side, enum figure figure, int precision, char text[32])
{
	double value = row_figure(row, side, figure);

	snprintf(text, 32, "%.*f", precision, value);
	return value > 0 ? text : "-";
}

static void row_latency(const struct row *row)
{
	char disk[32], trip[32];

	printf("   %9.1f %2u %9s %2u %9s %9.1f %6.2f\n", row_figure(row, NULLFS, P50_US), row->operation->commits,
	       side_text(row, DISK, P50_US, 1, disk), row->trips, side_text(row, TRIP, P50_US, 1, trip),
	       row_limit_us(row), row_latency_ratio(row).median);
}

static void row_rate(const struct row *row)
{
	char null[32], disk[32];

	printf("   %11s %11s %6.2f\n", side_text(row, NULLFS, PER_S, 0, null), side_text(row, DISK, PER_S, 0, disk),
	       row_rate_ratio(row, NULLFS).median);
}

void report_row(const struct row *row)
{
	printf("%-34s ", row->operation->name);
	if (row->fault[0]) {
		printf("%s\n", row->fault);
	} else {
		printf("%9.1f %9.1f %11.0f", row_figure(row, SUBJECT, P50_US), row_figure(row, SUBJECT, P99_US),
		       row_figure(row, SUBJECT, PER_S));
		if (row->clients == 1)
			row_latency(row);
		else
			row_rate(row);
	}
	fflush(stdout);
}

void report_goals_head(void)
{
	printf("\n%-50s %11s %11s %6s %14s %6s %8s\n", "goal", "measured", "limit", "ratio", "(rounds)", "quiet",
	       "wanted");
}

static void goal_line(const struct goal *goal, const char *verdict)
{
	char measured[32], limit[32], rounds[32], wanted[32];

	snprintf(measured, sizeof measured, "%.*f %s", goal->measured < 100 ? 2 : 0, goal->measured, goal->unit);
	snprintf(limit, sizeof limit, "%.*f %s", goal->limit < 100 ? 2 : 0, goal->limit, goal->unit);
	snprintf(rounds, sizeof rounds, "(%.2f-%.2f)", goal->ratio.min, goal->ratio.max);
	snprintf(wanted, sizeof wanted, "%s %.2f", goal->at_least ? ">=" : "<=", goal->wanted);
	printf("%-50s %11s %11s %6.2f %14s %6.2f %8s  %s\n", goal->name, measured, limit, goal->ratio.median, rounds,
	       goal->quiet, wanted, verdict);
	fflush(stdout);
}

static bool is_met(const struct goal *goal, double ratio)
{
	return goal->at_least ? ratio >= goal->wanted : ratio <= goal->wanted;
}

void report_goal(const struct goal *goal)
{
	bool median = is_met(goal, goal->ratio.median), quiet = is_met(goal, goal->quiet);

	goal_line(goal, median != quiet ? "NOISE" : median ? "PASS" : "MISS");
}

static struct goal goal_absolute(const char *name, struct spread measured, double wanted, const char *unit)
{
	return (struct goal){
		.name = name,
		.unit = unit,
		.measured = measured.median,
		.limit = wanted,
		.ratio = { .median = measured.median / wanted, .min = measured.min / wanted, .max = measured.max / wanted },
		.quiet = measured.lower / wanted,
		.wanted = 1,
	};
}

void report_absolute(const char *name, struct spread measured, double wanted, const char *unit)
{
	struct goal goal = goal_absolute(name, measured, wanted, unit);

	report_goal(&goal);
}

void report_absolute_rate(const char *name, struct spread measured, double wanted, const char *unit)
{
	struct goal goal = goal_absolute(name, measured, wanted, unit);

	goal.quiet = measured.upper / wanted;
	goal.at_least = true;
	report_goal(&goal);
}
