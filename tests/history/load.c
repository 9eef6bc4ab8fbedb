/* load [OPTION...] HISTORY HOST=MOUNTPOINT...: clients of several mounts at once, with a mixed load; what each asked and was
 * told is appended to HISTORY (history.h).
 *
 *     --clients N      for each mount (4)
 *     --seconds N      then they stop (10)
 *     --operations N   each client stops after so many acts
 *     --pause MS       a client waits up to so long between two acts (20)
 *     --seed N         what they do depends on it, when does not
 *     --base N         the first client's number (1): in a history that has others already
 *     --prepare        make the objects, on the first mount that works, and nothing else
 *     --final          instead of a load: each mount reads everything and takes every lock once
 *
 * `load now` prints the time of histories.
 *
 * A mount may die and come back under them. No call waits longer than half a minute, and clients that do not come back in
 * spite of that are killed. Exit status: 0; 1: something hangs, or a final read was not possible; 2: usage. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acts.h"
#include "client.h"

#define CLIENTS_MAX 1000

struct load {
	long clients, seconds, operations, pause_ms, base;
	uint64_t seed;
	bool prepare, final;
	const char *history;
	char **mounts; /* HOST=MOUNTPOINT */
	size_t mount_count;
	int history_fd;
	struct slot *slots;
	pid_t pids[CLIENTS_MAX];
	int64_t stop_ns;
};

static void client_of(const struct load *l, size_t index, struct client *c)
{
	char *mount = l->mounts[index % l->mount_count], *equals = strchr(mount, '=');

	*c = (struct client){
		.number = (uint32_t)l->base + (uint32_t)index,
		.host = strndup(mount, (size_t)(equals - mount)),
		.mount = equals + 1,
		.history = l->history_fd,
		.slot = &l->slots[index],
		.seed = l->seed * 1000003 + index,
		.stop_ns = l->stop_ns,
		.root = -1,
	};
}

/* ---- in the clients ---- */

static void run_client(const struct load *l, struct client *c)
{
	for (long acts = 0; (l->operations == 0 || acts < l->operations) && !client_stops(c); acts++) {
		if (!client_ready(c))
			continue;
		acts_any(c);
		if (l->pause_ms > 0)
			client_pause(c, (unsigned)random_below(c, (uint64_t)l->pause_ms));
	}
	_exit(0);
}

static void run_final(struct client *c)
{
	while (!client_ready(c))
		if (client_stops(c))
			_exit(1);
	_exit(!acts_final(c));
}

static void start_clients(struct load *l, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct client c;

		l->pids[i] = fork();
		if (l->pids[i] != 0)
			continue;
		client_set_up();
		client_of(l, i, &c);
		if (l->final)
			run_final(&c);
		run_client(l, &c);
	}
}

/* ---- in the parent ---- */

/* All but those that were reaped; false at the deadline. */
static bool wait_clients(struct load *l, size_t count, int64_t deadline_ns, bool *good)
{
	size_t left = 0;

	do {
		left = 0;
		for (size_t i = 0; i < count; i++) {
			int status;

			if (l->pids[i] > 0 && waitpid(l->pids[i], &status, WNOHANG) == l->pids[i]) {
				l->pids[i] = 0;
				*good &= status == 0;
			}
			left += l->pids[i] > 0;
		}
		if (left > 0)
			usleep(10000);
	} while (left > 0 && now_ns() < deadline_ns);
	return left == 0;
}

/* What a client was about to do may yet happen, and what it held is let go of. */
static void bury(const struct load *l, size_t index)
{
	const struct slot *slot = &l->slots[index];

	if (slot->asked[0])
		dprintf(l->history_fd, "%s - ?\n", slot->asked);
	if (slot->held[0])
		dprintf(l->history_fd, "%s %" PRId64 " - ?\n", slot->held, now_ns());
}

static void report(const struct load *l, size_t count)
{
	struct slot sum = {0};

	for (size_t i = 0; i < count; i++) {
		const struct slot *s = &l->slots[i];

		sum.operations += s->operations;
		sum.unknown += s->unknown;
		sum.refused += s->refused;
		sum.not_begun += s->not_begun;
		if (s->longest_ns > sum.longest_ns) {
			sum.longest_ns = s->longest_ns;
			memcpy(sum.longest, s->longest, sizeof sum.longest);
		}
	}
	printf("%" PRIu64 " operations, %" PRIu64 " of unknown outcome, %" PRIu64 " refused without a majority, %" PRIu64
	       " not begun; the longest took %" PRId64 " ms: %s\n",
	       sum.operations, sum.unknown, sum.refused, sum.not_begun, sum.longest_ns / 1000000, sum.longest);
}

/* Clients have a call's limit to end by themselves. */
static bool end_clients(struct load *l, size_t count)
{
	int64_t grace_ns = (int64_t)(CALL_LIMIT_MS + 10000) * 1000000;
	bool good = true;

	if (wait_clients(l, count, l->stop_ns + grace_ns, &good)) {
		for (size_t i = 0; i < count; i++)
			bury(l, i);
		return good;
	}
	for (size_t i = 0; i < count; i++)
		if (l->pids[i] > 0) {
			printf("client %zu hangs: %s\n", l->base + i, l->slots[i].asked);
			kill(l->pids[i], SIGKILL);
		}
	if (!wait_clients(l, count, now_ns() + 10 * INT64_C(1000000000), &good))
		puts("and some of them do not even die");
	for (size_t i = 0; i < count; i++)
		bury(l, i);
	return false;
}

static int run_load(struct load *l)
{
	size_t count = l->mount_count * (l->final ? 1 : (size_t)l->clients);
	bool good;

	start_clients(l, count);
	good = end_clients(l, count);
	report(l, count);
	return good ? 0 : 1;
}

static int prepare(struct load *l)
{
	int error = ENOTCONN;

	client_set_up();
	while (error && now_ns() < l->stop_ns)
		for (size_t i = 0; i < l->mount_count && error; i++) {
			struct client c;

			client_of(l, i, &c);
			if (client_ready(&c))
				error = acts_prepare(&c);
			if (c.root >= 0)
				close(c.root);
		}
	if (error)
		fprintf(stderr, "load: cannot make the objects: %s\n", strerror(error));
	return error != 0;
}

/* ---- options ---- */

static int usage(void)
{
	fputs("usage: load [--clients N] [--seconds N] [--operations N] [--pause MS] [--seed N] [--base N] [--prepare | --final]\n"
	      "            HISTORY HOST=MOUNTPOINT...\n"
	      "       load now\n", stderr);
	return 2;
}

static bool parse_options(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {
		{"clients", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 's'},
		{"operations", required_argument, NULL, 'n'}, {"pause", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 'r'}, {"base", required_argument, NULL, 'b'},
		{"prepare", no_argument, NULL, 'P'}, {"final", no_argument, NULL, 'F'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		long value = optarg ? strtol(optarg, NULL, 10) : 0;

		switch (option) {
		case 'c': l->clients = value; break;
		case 's': l->seconds = value; break;
		case 'n': l->operations = value; break;
		case 'p': l->pause_ms = value; break;
		case 'r': l->seed = strtoull(optarg, NULL, 10); break;
		case 'b': l->base = value; break;
		case 'P': l->prepare = true; break;
		case 'F': l->final = true; break;
		default: return false;
		}
	}
	return argc - optind >= 1;
}

static bool parse_arguments(struct load *l, int argc, char **argv)
{
	if (!parse_options(l, argc, argv))
		return false;
	l->history = argv[optind];
	l->mounts = argv + optind + 1;
	l->mount_count = (size_t)(argc - optind - 1);
	for (size_t i = 0; i < l->mount_count; i++)
		if (!strchr(l->mounts[i], '='))
			return false;
	return l->mount_count > 0 && l->clients > 0 && l->clients * (long)l->mount_count <= CLIENTS_MAX && l->seconds > 0;
}

int main(int argc, char **argv)
{
	struct load l = {.clients = 4, .seconds = 10, .pause_ms = 20, .base = 1, .seed = 1};

	if (argc == 2 && strcmp(argv[1], "now") == 0) {
		printf("%" PRId64 "\n", now_ns());
		return 0;
	}
	if (!parse_arguments(&l, argc, argv))
		return usage();
	l.history_fd = open(l.history, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	l.slots = mmap(NULL, CLIENTS_MAX * sizeof *l.slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l.history_fd < 0 || l.slots == MAP_FAILED) {
		fprintf(stderr, "load: %s: %s\n", l.history, strerror(errno));
		return 2;
	}
	l.stop_ns = now_ns() + l.seconds * INT64_C(1000000000);
	return l.prepare ? prepare(&l) : run_load(&l);
}
