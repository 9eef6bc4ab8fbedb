/* Seeds, and bugs that they must find.
 *
 *     SIM_SEEDS=n    so many (default 1000)
 *     SIM_SEED=x     only this one, with its trace; SIM_PLANT=name: with that bug
 *
 * A failure prints its seed. */
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "sim.h"

#define FAULTS_S 15
#define END_S 60 /* after which all must be well */
#define PLANT_SEEDS 20000
#ifdef __SANITIZE_ADDRESS__
#define SEEDS 100 /* slow */
#else
#define SEEDS 1000
#endif

static uint64_t seed_now; /* for the handler: libraft's asserts abort */

static void aborted(int number)
{
	char text[64];
	int size = snprintf(text, sizeof text, "aborted with seed=%llu\n", (unsigned long long)seed_now);

	if (write(STDERR_FILENO, text, (size_t)size) < 0)
		_exit(4);
	signal(number, SIG_DFL);
	raise(number);
}

/* ---- one run ---- */

static struct world *world_new(uint64_t seed, enum plant plant, bool tracing)
{
	struct world *w = need(calloc(1, sizeof *w));

	w->seed = w->random = seed;
	w->plant = plant;
	w->trace = tracing;
	w->member_count = (unsigned)between(w, 3, MEMBERS_MAX);
	w->election_ms = (unsigned)between(w, 200, 1000);
	w->timeout_ms = (unsigned)between(w, 1500, 4000);
	w->ttl_ms = (unsigned)between(w, 1000, 4000);
	w->silent = seed % 4 == 1;
	w->story = story_new(w);
	for (unsigned i = 0; i < w->member_count; i++)
		w->members[i] = member_new(w, i);
	return w;
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < w->member_count; i++)
		if (w->members[i]->alive)
			member_crash(w->members[i]);
	world_clear(w);
	for (unsigned i = 0; i < w->member_count; i++)
		member_free(w->members[i]);
	story_free(w->story);
	free(w);
}

static bool all_well(const struct world *w)
{
	for (unsigned i = 0; i < w->member_count; i++) {
		struct member *m = w->members[i];

		if (!m->alive || raft_last_applied(&m->raft) != raft_last_applied(&w->members[0]->raft) || !m->session ||
		    m->lost)
			return false;
		for (unsigned j = 0; j < CLIENTS; j++)
			if (!client_is_idle(&m->clients[j]))
				return false;
	}
	return true;
}

static void play(struct world *w)
{
	uint64_t end;

	for (unsigned i = 0; i < w->member_count; i++)
		member_start(w->members[i]);
	faults_start(w);
	while (w->now < FAULTS_S * S && world_step(w))
		;
	if (w->violation)
		return;
	faults_end(w);
	end = w->now + END_S * S;
	while (!all_well(w) && w->now < end && world_step(w))
		;
	if (!w->violation && !all_well(w))
		violate(w, UNANSWERED, "not all is well %u s after the last fault", END_S);
	story_end(w->story);
}

struct outcome {
	enum violation violation;
	char what[300];
};

/* sum: what happened is added to it. */
static struct outcome run(uint64_t seed, enum plant plant, bool tracing, struct tally *sum)
{
	struct world *w = world_new(seed, plant, tracing);
	struct outcome o;

	w->tally = sum;
	seed_now = seed;
	play(w);
	o.violation = w->violation;
	snprintf(o.what, sizeof o.what, "%s", w->what);
	tally_add(sum, w);
	world_free(w);
	return o;
}

/* ---- all of them ---- */

static const struct {
	const char *name;
	unsigned finds; /* a bit for each violation that it may be found by */
} plants[PLANTS] = {
	[PLANT_NO_DEDUPE] = {"no-dedupe", 1u << NOT_ONCE},
	[PLANT_NO_MARGIN] = {"no-margin", 1u << TWO_HOLDERS | 1u << TOKEN_FELL},
	[PLANT_NO_GRANT] = {"no-grant", 1u << TWO_HOLDERS | 1u << TOKEN_FELL},
	[PLANT_END_FORWARDED] = {"end-forwarded", 1u << TWO_HOLDERS | 1u << TOKEN_FELL},
	[PLANT_NO_PROBE] = {"no-probe", 1u << STALE},
	[PLANT_NOT_SETTLED] = {"not-settled", 1u << STALE},
	[PLANT_ANY_ORDER] = {"any-order", 1u << GHOST | 1u << NOT_ONCE},
	[PLANT_REFUSED_TAKEN] = {"refused-taken", 1u << GHOST | 1u << NOT_ONCE},
};

static bool run_seeds(uint64_t count)
{
	struct tally t = {0};

	for (uint64_t seed = 1; seed <= count; seed++) {
		struct outcome o = run(seed, NO_PLANT, false, &t);

		if (o.violation) {
			printf("seed=%llu: %s\n", (unsigned long long)seed, o.what);
			printf("# SIM_SEED=%llu shows how\n", (unsigned long long)seed);
			return false;
		}
	}
	printf("# %" PRIu64 " seeds: %" PRIu64 " operations: %" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64
	       " unknown; %" PRIu64 " grants, %" PRIu64 " leaders, %" PRIu64 " crashes, %" PRIu64 " streams begun anew\n",
	       count, t.operations, t.acknowledged, t.refused, t.unknown, t.grants, t.leaders, t.crashes,
	       t.restarted_streams);
	return true;
}

static bool find_plant(enum plant plant)
{
	struct tally t = {0};

	for (uint64_t seed = 1; seed <= PLANT_SEEDS; seed++) {
		struct outcome o = run(seed, plant, false, &t);

		if (!o.violation)
			continue;
		printf("# %s, seed=%llu: %s\n", plants[plant].name, (unsigned long long)seed, o.what);
		return plants[plant].finds >> o.violation & 1;
	}
	printf("# %s is not found in %u seeds\n", plants[plant].name, PLANT_SEEDS);
	return false;
}

static enum plant plant_named(const char *name)
{
	for (unsigned i = 1; name && i < PLANTS; i++)
		if (strcmp(name, plants[i].name) == 0)
			return (enum plant)i;
	return NO_PLANT;
}

int main(void)
{
	const char *seed = getenv("SIM_SEED"), *seeds = getenv("SIM_SEEDS");
	unsigned failed = 0, number = 0;
	bool good;

	signal(SIGABRT, aborted);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (seed) {
		struct tally t = {0};
		struct outcome o = run(strtoull(seed, NULL, 10), plant_named(getenv("SIM_PLANT")), true, &t);

		printf("seed=%s: %s\n", seed, o.violation ? o.what : "fine");
		return o.violation != FINE;
	}
	good = run_seeds(seeds ? strtoull(seeds, NULL, 10) : SEEDS);
	failed += !good;
	printf("%s %u - all promises are kept\n", good ? "ok" : "not ok", ++number);
	for (unsigned i = 1; i < PLANTS; i++) {
		good = find_plant((enum plant)i);
		failed += !good;
		printf("%s %u - finds %s\n", good ? "ok" : "not ok", ++number, plants[i].name);
	}
	printf("1..%u\n", number);
	return failed != 0;
}
