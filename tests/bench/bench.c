/*
 * bench: how fast coordfs is, beside what the machine allows. tests/bench/run (or `make bench`) mounts all it needs.
 *
 *     bench measure [OPTION...] -n NULLFS MOUNT            all operations, then the goals
 *     bench fill MOUNT COUNT                               that many counters, below counters/bench-fill
 *     bench verify MOUNT COUNT                             they are all there and hold what they should
 *     bench goal NAME VALUE WANTED UNIT                    a line of the goals' table for something measured elsewhere
 *     bench echo ENDPOINT                                  answer messages there, as another member would
 *
 *     -n NULLFS     where nullfs is mounted          -d DIR       on the disk of coordfs's data; without,
 *                                                                 the limit is null alone
 *     -N NULLFS     one that is served with -s
 *     -c CLIENTS    beside one client (64)           -t           clients are threads, not processes
 *     -r ROUNDS     (9)                              -s SECONDS   of each slice (0.2); one client: ten times the
 *                                                                 rounds, a tenth of the seconds
 *     -o TEXT       only operations with TEXT in their name
 *     -l ENTRIES    in the directory that ls lists (100000; 0: leave it out)
 *     -m MEMBERS    the mount is one of a cluster of so many, all with their data on this disk,
 *     -p TRIPS      and an operation on it waits for so many round trips at least: 1 on the leader's, 2 on another
 *     -z ENDPOINT   where `bench echo` answers
 *     -M MOUNT      another one of that cluster, for what goes between two
 *
 * How to read the tables
 *
 * p50 and p99 are the time a client waits for one operation; per s counts what all clients together get done. All are
 * medians over the rounds. A pair (lock and unlock, make and remove) counts as one operation. Beside each stands its
 * limit, measured in the same rounds:
 *
 * null    the same calls on nullfs, a FUSE daemon that does nothing: what the kernel and two switches of process cost.
 * disk    one write of 4 KiB with O_DIRECT | O_DSYNC: what it costs to make anything durable here.
 * n       how many durable changes the operation promises (INTERFACE.md: a returned write is committed).
 * trip    in a cluster: a message of ZeroMQ's to another process on this machine, and its answer. disk is then what
 *         one of as many writers at once waits.
 * m       how many of them the operation waits for at least: the leader asks the others, who have to store the change
 *         or say that it still leads; another member asks the leader first. Of an operation of several calls only one is
 *         counted.
 * limit   null + n * disk + m * trip: nobody who keeps the promise can be faster by more than noise.
 *
 * With one client the ratio is coordfs's p50 to that limit: 1.00 is perfect, 1.30 is the goal. With many clients
 * writes to the disk are shared, so the ratio is coordfs's operations per second to those of nullfs: more is better.
 * Below 1.00 with one client (or above with many) means noise, or that coordfs saves requests or sleeps that nullfs
 * does not save: nullfs sleeps in read(2) between requests.
 *
 * Many clients that add to one counter have two limits, in the same rounds, by the same write(2) on open handles whose
 * offsets run on. The kernel sends nullfs such writes one by one, as it does to any FUSE file system that says nothing
 * about it: the 36,000 per s by which the goal was set are of that kind (64 threads; this bench's clients are
 * processes, -t makes them threads). Or side by side (FOPEN_PARALLEL_DIRECT_WRITES), but only those that end within the
 * file's size as the kernel knows it: nullfs gets its writes beyond it one by one at first, then side by side from all
 * but the one that is ahead. coordfs asks for it too, and widens that size (front/widen.c).
 *
 * One client's null has two usual values, some 10 us when the client and the daemon share a processor and 50 to 90 when
 * one wakes the other on its own; the scheduler chooses, slice by slice. The ratio of a round compares like with like
 * often enough for the median of many rounds to hold still: `run --calibrate` measures nullfs against itself, and what
 * its ratios differ from 1.00 is the error of this machine on this day. --one-cpu and --two-cpus take the choice away.
 *
 * Rows that end in "one file" make all clients want the same lock: a queue, no work side by side. Their p50 is the
 * wait for the whole queue. O_EXCL on one name has no queue but clients that poll, as shells do. "two mounts": every
 * second client works on the other mount (-M).
 *
 * A lock is handed over to another mount when one who holds it there gives it back, while another waits for it here, and
 * the other way round. What counts is from the call of the one to the return of the other. This, and a pair of lock and
 * unlock that nobody contends with, is compared with one commit: what an addition to a counter takes on the same mounts,
 * in the same rounds. On a hot lock each grant needs a commit after the one before: who has it next is told when the
 * unlock is committed.
 *
 * The goals' table shows medians, the ratio as the median of each round's own ratio, and its range over the rounds: a
 * wide range means that the machine was busy with something else. "quiet" is the ratio of what each side reached in its
 * best quarter of the rounds. A goal counts as met, PASS, or missed, MISS, when the median and the quiet rounds agree;
 * else the verdict is NOISE: measure again.
 *
 * Exit status: 0 measured, also when goals were missed; 1 something failed or was wrong (a sum, two holders of a lock);
 * 2 usage.
 */

#include "measure.h"
#include "operations.h"
#include "report.h"
#include "scale.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_MAX 64
#define FINER 10 /* one client starts quickly: it has so many more rounds, and its slices are so much shorter */
#define FILL_DIRECTORIES 1000
#define FILL_CLIENTS 64
#define LIST_GOAL_S 1.0
#define CLUSTER_GOAL_PER_S 20000
#define GRANTS_GOAL_PER_S 2000

struct options {
	struct plan plan;
	unsigned int clients;
	bool threads;
	const char *only;
	unsigned int entries;
	unsigned int members;
	struct place other;
	char stem[32];
};

struct bench {
	const struct options *options;
	struct load *load;
	struct row *rows;
	unsigned int row_count;
	bool failed;
};

/* ---- operations ------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct options *options, const struct operation *operation, unsigned int clients)
{
	if ((operation->contended && clients == 1) || (operation->clients && operation->clients != clients))
		return false;
	if (operation->between && !options->plan.places[SUBJECT].other)
		return false;
	return !options->only || strstr(operation->name, options->only);
}

static void measure_operation(struct bench *bench, const struct operation *operation, unsigned int clients)
{
	struct plan plan = bench->options->plan;
	struct row *row = &bench->rows[bench->row_count];

	if (!is_wanted(bench->options, operation, clients) || bench->row_count == ROWS_MAX)
		return;
	if (clients == 1) {
		plan.rounds = plan.rounds * FINER < ROUNDS_MAX ? plan.rounds * FINER : ROUNDS_MAX;
		plan.seconds /= FINER;
	}
	bench->row_count++;
	if (row_measure(row, bench->load, &plan, operation, clients) != 0)
		bench->failed = true;
	report_row(row);
}

static void measure_clients(struct bench *bench, unsigned int clients)
{
	const struct operation *tables[] = { lock_operations, counter_operations, file_operations };

	report_head(clients);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct operation *operation = tables[i]; operation->name; operation++)
			measure_operation(bench, operation, clients);
}

static void measure_hand_over(struct bench *bench)
{
	report_head(2);
	for (const struct operation *operation = lock_operations; operation->name; operation++)
		if (operation->clients == 2)
			measure_operation(bench, operation, 2);
}

static const struct row *row_find(const struct bench *bench, const char *name, unsigned int clients)
{
	for (unsigned int i = 0; i < bench->row_count; i++)
		if (bench->rows[i].clients == clients && strcmp(bench->rows[i].operation->name, name) == 0 &&
		    !bench->rows[i].fault[0])
			return &bench->rows[i];
	return NULL;
}

/* ---- goals ------------------------------------------------------------------------------------------------------ */

static void goal_latency(const struct bench *bench, const char *name, const char *operation, double wanted)
{
	const struct row *row = row_find(bench, operation, 1);

	if (!row)
		return;
	report_goal(&(struct goal){
		.name = name,
		.unit = "us",
		.measured = row_figure(row, SUBJECT, P50_US),
		.limit = row_limit_us(row),
		.ratio = row_latency_ratio(row),
		.quiet = row_latency_quiet(row),
		.wanted = wanted,
	});
}

static void goal_commit(const char *name, const struct row *row, double wanted)
{
	if (!row)
		return;
	report_goal(&(struct goal){
		.name = name,
		.unit = "us",
		.measured = row_figure(row, SUBJECT, P50_US),
		.limit = row_figure(row, COMMIT, P50_US),
		.ratio = row_commit_ratio(row),
		.quiet = row_commit_quiet(row),
		.wanted = wanted,
	});
}

static void goal_grants(const char *name, const struct row *row)
{
	double per_s = row ? row_figure(row, SUBJECT, PER_S) : 0;

	if (!row)
		return;
	report_goal(&(struct goal){
		.name = name,
		.unit = "us",
		.measured = per_s > 0 ? 1e6 / per_s : 0,
		.limit = row_figure(row, COMMIT, P50_US),
		.ratio = row_grant_ratio(row),
		.quiet = row_grant_quiet(row),
		.wanted = 1.5,
	});
}

static void goal_rate(const struct bench *bench, enum side null, const char *how)
{
	const struct row *row = row_find(bench, OPERATION_ADD, bench->options->clients);
	char name[64];

	if (!row || row->clients == 1 || !bench->options->plan.places[null].dir)
		return;
	snprintf(name, sizeof name, "%u clients adding; null %s", row->clients, how);
	report_goal(&(struct goal){
		.name = name,
		.unit = "/s",
		.measured = row_figure(row, SUBJECT, PER_S),
		.limit = row_figure(row, null, PER_S),
		.ratio = row_rate_ratio(row, null),
		.quiet = row_rate_quiet(row, null),
		.wanted = 0.6,
		.at_least = true,
	});
}

/* what: with a place for the number of clients */
static void goal_absolute_rate(const struct bench *bench, const char *operation, const char *what, double wanted)
{
	const struct row *row = row_find(bench, operation, bench->options->clients);
	double values[ROUNDS_MAX];
	char name[64];

	if (!row || row->clients == 1)
		return;
	for (unsigned int round = 0; round < row->round_count; round++)
		values[round] = row->slices[SUBJECT][round].per_s;
	snprintf(name, sizeof name, "%u clients %s", row->clients, what);
	report_absolute_rate(name, spread_of(values, row->round_count), wanted, "/s");
}

static void goal_locks(const struct bench *bench)
{
	unsigned int clients = bench->options->clients;

	goal_commit("flock + unlock to one commit, p50, 1 client", row_find(bench, OPERATION_PAIR, 1), 2.2);
	goal_commit("hand-over to another mount to one commit, p50", row_find(bench, OPERATION_HAND_OVER, 2), 1.5);
	if (clients == 1)
		return;
	goal_grants("hot lock: from grant to grant, to one commit", row_find(bench, OPERATION_HOT, clients));
	goal_grants("the same from two mounts", row_find(bench, OPERATION_HOT_BETWEEN, clients));
	goal_absolute_rate(bench, OPERATION_HOT, "on one hot lock: grants", GRANTS_GOAL_PER_S);
	goal_absolute_rate(bench, OPERATION_HOT_BETWEEN, "of two mounts on one hot lock", GRANTS_GOAL_PER_S);
}

static void goal_rates(const struct bench *bench)
{
	if (bench->options->members > 1) {
		goal_absolute_rate(bench, OPERATION_ADD, "adding to one counter", CLUSTER_GOAL_PER_S);
		return;
	}
	goal_rate(bench, NULLFS_SERIAL, "one by one");
	goal_rate(bench, NULLFS, "side by side");
}

/* ---- ls --------------------------------------------------------------------------------------------------------- */

static int list_once(const char *dir, uint64_t want, double *seconds)
{
	uint64_t count;

	if (ls_run(dir, seconds, &count) != 0)
		return -1;
	if (count == want)
		return 0;
	fprintf(stderr, "bench: ls %s printed %llu lines, should be %llu\n", dir, (unsigned long long)count,
		(unsigned long long)want);
	return -1;
}

/* nullfs makes its 100,000 names up. */
static int list_rounds(const struct plan *plan, const char *dir, unsigned int entries, double *null_s, double *subject_s)
{
	char null_dir[PATH_MAX];

	snprintf(null_dir, sizeof null_dir, "%s/listed", plan->places[NULLFS].dir);
	for (unsigned int round = 0; round < plan->rounds; round++)
		if (list_once(null_dir, 100000, &null_s[round]) != 0 || list_once(dir, entries, &subject_s[round]) != 0)
			return -1;
	return 0;
}

static int measure_list(const struct options *options, struct spread *subject)
{
	const struct plan *plan = &options->plan;
	double make_s, null_s[ROUNDS_MAX], subject_s[ROUNDS_MAX];
	char base[PATH_MAX - 16], dir[PATH_MAX];
	struct fill fill = { .base = base, .dir_count = 1, .per_dir = options->entries, .clients = 4 };
	struct spread null;

	snprintf(base, sizeof base, "%s/counters/%s-list", plan->places[SUBJECT].dir, options->stem);
	snprintf(dir, sizeof dir, "%s/d0", base);
	if (fill_make(&fill, &make_s) != 0 || list_rounds(plan, dir, options->entries, null_s, subject_s) != 0)
		return -1;
	null = spread_of(null_s, plan->rounds);
	*subject = spread_of(subject_s, plan->rounds);
	printf("\nls of %u entries: %.3f s (%.3f-%.3f); of 100000 on nullfs: %.3f s; made in %.1f s, %.0f per s\n",
	       options->entries, subject->median, subject->min, subject->max, null.median, make_s,
	       options->entries / make_s);
	return 0;
}

/* ---- measure ---------------------------------------------------------------------------------------------------- */

static void goal_list(const struct options *options, struct spread list)
{
	char name[64];

	snprintf(name, sizeof name, "ls of %u entries", options->entries);
	report_absolute(name, list, LIST_GOAL_S * options->entries / 100000, "s");
}

static void report_goals(struct bench *bench)
{
	struct spread list = { 0 };
	bool listed = bench->options->entries && !bench->options->only;

	if (listed && measure_list(bench->options, &list) != 0)
		bench->failed = true;
	report_goals_head();
	goal_latency(bench, "committed write on an open handle, p50, 1 client", OPERATION_ADD, 1.3);
	goal_latency(bench, "strong read on an open handle, p50, 1 client", OPERATION_READ, 1.3);
	goal_latency(bench, "eventual write on an open handle, p50, 1 client", OPERATION_EVENTUAL_ADD, 1.3);
	goal_latency(bench, "weak read on an open handle, p50, 1 client", OPERATION_WEAK_READ, 1.2);
	goal_latency(bench, "transaction of ten writes, p50, 1 client", OPERATION_TRANSACTION, 1.5);
	goal_rates(bench);
	goal_locks(bench);
	if (list.median > 0)
		goal_list(bench->options, list);
}

static int measure_run(struct bench *bench)
{
	measure_clients(bench, 1);
	if (bench->options->other.dir)
		measure_hand_over(bench);
	if (bench->options->clients > 1)
		measure_clients(bench, bench->options->clients);
	report_goals(bench);
	counter_remove(&bench->options->plan.places[SUBJECT]);
	if (bench->failed)
		puts("\nFAILED: something above went wrong");
	return bench->failed;
}

static unsigned int clients_max(const struct options *options)
{
	return options->clients > options->plan.writers ? options->clients : options->plan.writers;
}

static int measure(const struct options *options)
{
	struct bench bench = {
		.options = options,
		.load = load_new(clients_max(options), !options->threads),
		.rows = calloc(ROWS_MAX, sizeof *bench.rows),
	};
	int result = 1;

	if (bench.load && bench.rows)
		result = measure_run(&bench);
	else
		fputs("bench: no memory\n", stderr);
	load_free(bench.load);
	free(bench.rows);
	return result;
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

static int usage(void)
{
	fputs("usage: bench measure [-c CLIENTS] [-r ROUNDS] [-s SECONDS] [-o TEXT] [-l ENTRIES] [-t] [-d DIR] [-N NULLFS]\n"
	      "                     [-m MEMBERS -p TRIPS -z ENDPOINT [-M MOUNT]] -n NULLFS MOUNT\n"
	      "       bench fill|verify MOUNT COUNT\n"
	      "       bench goal NAME VALUE WANTED UNIT\n"
	      "       bench echo ENDPOINT\n",
	      stderr);
	return 2;
}

static int option_take(struct options *options, int option, char *value)
{
	struct plan *plan = &options->plan;

	switch (option) {
	case 'n':
		plan->places[NULLFS].dir = value;
		return 0;
	case 'N':
		plan->places[NULLFS_SERIAL].dir = value;
		return 0;
	case 'd':
		plan->places[DISK].dir = value;
		return 0;
	case 'o':
		options->only = value;
		return 0;
	case 'z':
		plan->places[TRIP].dir = value;
		return 0;
	case 'M':
		options->other.dir = value;
		plan->places[SUBJECT].other = &options->other;
		return 0;
	case 'p':
		plan->trips = (unsigned int)atoi(value);
		return 0;
	case 'm':
		options->members = plan->writers = (unsigned int)atoi(value);
		return plan->writers >= 1 && plan->writers <= 64 ? 0 : -1;
	case 't':
		options->threads = true;
		return 0;
	case 's':
		plan->seconds = atof(value);
		return plan->seconds > 0 ? 0 : -1;
	case 'c':
		options->clients = (unsigned int)atoi(value);
		return options->clients >= 1 && options->clients <= 10000 ? 0 : -1;
	case 'r':
		plan->rounds = (unsigned int)atoi(value);
		return plan->rounds >= 1 && plan->rounds <= ROUNDS_MAX ? 0 : -1;
	case 'l':
		options->entries = (unsigned int)atoi(value);
		return 0;
	}
	return -1;
}

static int command_measure(int argc, char **argv)
{
	struct options options = { .plan = { .rounds = 9, .seconds = 0.2, .writers = 1 }, .clients = 64, .entries = 100000 };
	struct place *places = options.plan.places;
	int option;

	snprintf(options.stem, sizeof options.stem, "bench-%ld", (long)getpid());
	places[SUBJECT] = (struct place){ .name = "coordfs", .stem = options.stem };
	options.other = (struct place){ .name = "coordfs elsewhere", .stem = options.stem };
	places[NULLFS] = (struct place){ .name = "nullfs", .stem = options.stem };
	places[NULLFS_SERIAL] = (struct place){ .name = "serial nullfs", .stem = options.stem };
	places[DISK] = (struct place){ .name = "the disk", .stem = options.stem };
	places[TRIP] = (struct place){ .name = "the network", .stem = options.stem };
	while ((option = getopt(argc, argv, "n:N:d:o:ts:c:r:l:m:M:p:z:")) != -1)
		if (option_take(&options, option, optarg) != 0)
			return usage();
	if (optind != argc - 1 || !places[NULLFS].dir || (options.plan.trips && !places[TRIP].dir))
		return usage();
	places[SUBJECT].dir = argv[optind];
	return measure(&options);
}

static int fill_of(char **argv, char base[PATH_MAX - 16], struct fill *fill)
{
	unsigned long count = strtoul(argv[2], NULL, 10);

	snprintf(base, PATH_MAX - 16, "%s/counters/bench-fill", argv[1]);
	*fill = (struct fill){ .base = base,
			       .dir_count = FILL_DIRECTORIES,
			       .per_dir = (unsigned int)(count / FILL_DIRECTORIES),
			       .clients = FILL_CLIENTS };
	if (count && count % FILL_DIRECTORIES == 0)
		return 0;
	fprintf(stderr, "bench: COUNT must be a multiple of %d\n", FILL_DIRECTORIES);
	return -1;
}

static int command_fill(int argc, char **argv)
{
	char base[PATH_MAX - 16];
	struct fill fill;
	double seconds;

	if (argc != 3 || fill_of(argv, base, &fill) != 0)
		return usage();
	if (fill_make(&fill, &seconds) != 0)
		return 1;
	printf("%s counters made in %.1f s by %u clients, %.0f per s\n", argv[2], seconds, fill.clients,
	       strtod(argv[2], NULL) / seconds);
	return 0;
}

static int command_verify(int argc, char **argv)
{
	char base[PATH_MAX - 16];
	struct fill fill;

	if (argc != 3 || fill_of(argv, base, &fill) != 0)
		return usage();
	return fill_verify(&fill) != 0;
}

static int command_goal(int argc, char **argv)
{
	double measured;

	if (argc != 5 || strtod(argv[3], NULL) <= 0)
		return usage();
	measured = strtod(argv[2], NULL);
	report_absolute(argv[1], spread_of(&measured, 1), strtod(argv[3], NULL), argv[4]);
	return 0;
}

static int command_echo(int argc, char **argv)
{
	return argc == 2 ? echo_serve(argv[1]) : usage();
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "measure", command_measure },
	{ "fill", command_fill },
	{ "verify", command_verify },
	{ "goal", command_goal },
	{ "echo", command_echo },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return usage();
}
