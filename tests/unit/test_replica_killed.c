/* kill -9 at random moments, during writes and images: what was acknowledged is there, exactly once.
 *
 * A child serves and adds 1 to a counter, DEPTH at a time; for every answer it notes the counter's value in memory that
 * it shares with us. Within one life answers count up without a gap: nothing was applied twice. The next life must
 * find at least what the last answer said, and at most what was asked for besides. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replica_fixture.h"

#define ROUNDS 60
#define DEPTH 16

struct shared {
	uint64_t counter;
	int64_t found;	 /* by this life when it began */
	int64_t answered; /* the value of its last answer */
	int64_t asked;	 /* found + this many may be there at most */
	int serving, images;
	char problem[256];
};

struct life {
	struct member m;
	struct shared *shared;
	struct pending pending[DEPTH];
};

static int setup(void **state)
{
	static struct life l;

	memset(&l, 0, sizeof l);
	member_init(&l.m);
	l.m.config.snapshot_log_bytes = 32u << 10;
	l.shared = mmap(NULL, sizeof *l.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(l.shared != MAP_FAILED);
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct life *l = *state;

	munmap(l->shared, sizeof *l->shared);
	member_fini(&l->m);
	return 0;
}

__attribute__((format(printf, 2, 3))) static _Noreturn void problem(struct life *l, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(l->shared->problem, sizeof l->shared->problem, format, arguments);
	va_end(arguments);
	_exit(1);
}

static void ask(struct life *l, struct pending *p)
{
	l->shared->asked++;
	member_start_add(&l->m, l->shared->counter, 1, p);
}

static void take_answers(struct life *l)
{
	struct shared *s = l->shared;
	struct pending *lowest;

	/* The answers of one turn, in the order of their values. */
	do {
		lowest = NULL;
		for (unsigned i = 0; i < DEPTH; i++)
			if (l->pending[i].done && (!lowest || l->pending[i].reply.value < lowest->reply.value))
				lowest = &l->pending[i];
		if (!lowest)
			return;
		if (lowest->reply.code != OK || lowest->reply.value != s->answered + 1)
			problem(l, "answer %lld after %lld, code %d", (long long)lowest->reply.value,
				(long long)s->answered, lowest->reply.code);
		s->answered++;
		ask(l, lowest);
	} while (lowest);
}

static void check_found(struct life *l)
{
	struct shared *s = l->shared;
	int64_t value;

	if (!s->counter) {
		s->counter = member_create(&l->m, INODE_COUNTERS, "c", S_IFREG | 0644).inode;
		return;
	}
	value = member_value(&l->m, s->counter);
	if (value < s->answered || value > s->found + s->asked)
		problem(l, "found %lld: answered up to %lld, asked for %lld", (long long)value, (long long)s->answered,
			(long long)(s->found + s->asked));
	s->found = s->answered = value;
	s->asked = 0;
}

static void report(void *ctx, const char *what)
{
	snprintf(((struct life *)ctx)->shared->problem, 200, "%s", what);
}

static _Noreturn void live(struct life *l)
{
	struct replica_status status;

	uv_loop_init(&l->m.loop);
	if (member_open(&l->m))
		problem(l, "%s", l->m.error);
	check_found(l);
	if (machine_check(replica_machine(l->m.replica), report, l))
		_exit(1);
	replica_status(l->m.replica, &status);
	if (status.snapshot_index)
		l->shared->images++; /* this life began with one */
	l->shared->serving = 1;
	for (unsigned i = 0; i < DEPTH; i++)
		ask(l, &l->pending[i]);
	for (;;) {
		uv_run(&l->m.loop, UV_RUN_ONCE);
		take_answers(l);
	}
}

static void sleep_us(unsigned us)
{
	struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};

	nanosleep(&t, NULL);
}

/* A life that is killed some time after it serves; sometimes before. */
static void run_life(struct life *l, unsigned *seed)
{
	unsigned span_us = rand_r(seed) % 2 ? 50000 : 500000; /* an image takes 0.2 s from its cause to its end */
	unsigned delay_us = (unsigned)rand_r(seed) % span_us, waited = 0;
	bool early = rand_r(seed) % 8 == 0;
	pid_t pid;
	int status;

	l->shared->serving = 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		live(l);
	while (!early && !l->shared->serving && waitpid(pid, &status, WNOHANG) == 0 && waited++ < 20000)
		sleep_us(1000);
	sleep_us(delay_us);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (l->shared->problem[0])
		fail_msg("%s", l->shared->problem);
	assert_true(waited < 20000);
}

static void test_acknowledged_is_present_exactly(void **state)
{
	struct life *l = *state;
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	printf("seed=%u\n", seed);
	for (int round = 0; round < ROUNDS; round++)
		run_life(l, &seed);
	assert_true(l->shared->images > ROUNDS / 8);
	assert_true(l->shared->answered > ROUNDS);
	assert_int_equal(member_open(&l->m), 0);
	check_found(l);
	if (l->shared->problem[0])
		fail_msg("%s", l->shared->problem);
	/* The next image sweeps up: no more are left than libraft's two snapshots name. */
	for (int i = 0; i < 100 && (i < 5 || member_file_count(&l->m, "", "image-") > 2); i++) {
		for (int j = 0; j < 50; j++)
			member_add(&l->m, l->shared->counter, 1);
		member_run_ms(&l->m, 100);
	}
	assert_int_equal(member_file_count(&l->m, "", "image-"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_acknowledged_is_present_exactly, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
