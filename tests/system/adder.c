/* adder: one client that adds 1 to a counter, one request after the other, and tells what became of them. The tests of
 * clusters let it run while they break things, and compare its account with the counter's value.
 *
 *     adder COUNTER [NAME]     until SIGTERM, then prints one line: `acknowledged=N unknown=N refused=N worst_ms=N
 *                              errors=ERRNO:N,…`
 *     adder -r COUNTER         the same, but reads it
 *
 * Without NAME a request is not repeated: `acknowledged` are in the counter, `unknown` may be (each), `refused` are
 * not. With NAME each carries `id=NAME-N` and is repeated until it is acknowledged: `unknown` is 1 at most, when the
 * end came first. worst_ms: the longest time from a request's first try to its success or, without NAME, its error.
 *
 * The signal waits until a request has its answer: a client that is interrupted could not tell. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum outcome { ACKNOWLEDGED, UNKNOWN, REFUSED };

struct account {
	uint64_t count[3]; /* by outcome */
	uint64_t worst_ms;
	uint64_t errors[256]; /* by errno */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* A write that ends with one of these may have been committed: no answer came, or the daemon is gone. */
static bool is_unknown(int error)
{
	return error == ETIMEDOUT || error == ENOTCONN || error == ECONNABORTED || error == EIO || error == EINTR;
}

static enum outcome note_error(struct account *a, bool was_sent)
{
	int error = errno;

	if (error > 0 && error < 256)
		a->errors[error]++;
	return was_sent && is_unknown(error) ? UNKNOWN : REFUSED;
}

/* text: what to write; NULL: read. */
static enum outcome request(struct account *a, const char *counter, const char *text)
{
	int fd = open(counter, (text ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	enum outcome outcome = ACKNOWLEDGED;
	char value[32];

	if (fd < 0)
		return note_error(a, false);
	if (text ? write(fd, text, strlen(text)) != (ssize_t)strlen(text) : read(fd, value, sizeof value) <= 0)
		outcome = note_error(a, text != NULL);
	close(fd);
	return outcome;
}

static bool is_over(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM);
}

/* Where the mount is away there is no point in asking at once again. */
static void pause_after(enum outcome outcome)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	if (outcome != ACKNOWLEDGED)
		nanosleep(&pause, NULL);
}

/* text as in request; again: until it is acknowledged */
static void go(struct account *a, const char *counter, const char *text, bool again)
{
	uint64_t start = now_ms();
	enum outcome outcome;
	bool in_doubt = false;

	do {
		outcome = request(a, counter, text);
		in_doubt |= outcome == UNKNOWN;
		pause_after(outcome);
	} while (again && outcome != ACKNOWLEDGED && !is_over());
	if (outcome == REFUSED && in_doubt)
		outcome = UNKNOWN;
	a->count[outcome]++;
	if (now_ms() - start > a->worst_ms)
		a->worst_ms = now_ms() - start;
}

static void add(struct account *a, const char *counter, const char *name, uint64_t number)
{
	char text[128];

	if (!name) {
		go(a, counter, "+1\n", false);
		return;
	}
	snprintf(text, sizeof text, "+1 id=%.64s-%" PRIu64 "\n", name, number);
	go(a, counter, text, true);
}

static void print_account(const struct account *a)
{
	const char *comma = "";

	printf("acknowledged=%" PRIu64 " unknown=%" PRIu64 " refused=%" PRIu64 " worst_ms=%" PRIu64 " errors=",
	       a->count[ACKNOWLEDGED], a->count[UNKNOWN], a->count[REFUSED], a->worst_ms);
	for (int error = 0; error < 256; error++) {
		if (a->errors[error] == 0)
			continue;
		printf("%s%s:%" PRIu64, comma, strerrorname_np(error), a->errors[error]);
		comma = ",";
	}
	puts("");
}

int main(int argc, char **argv)
{
	struct account account = {0};
	sigset_t term;

	if (argc < 2 || argc > 3 || (strcmp(argv[1], "-r") == 0 && argc != 3)) {
		fputs("usage: adder COUNTER [NAME] | adder -r COUNTER\n", stderr);
		return 2;
	}
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (uint64_t number = 1; !is_over(); number++) {
		if (strcmp(argv[1], "-r") == 0)
			go(&account, argv[2], NULL, false);
		else
			add(&account, argv[1], argc > 2 ? argv[2] : NULL, number);
	}
	print_account(&account);
	return 0;
}
