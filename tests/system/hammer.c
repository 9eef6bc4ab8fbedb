/* hammer: eight processes that change things in a mount until it dies under them, and the account of what was
 * acknowledged. crash.sh kills the daemon and mounts again; here is what must then be there:
 *
 *     adders     `+1` to one counter, without an id    as many as acknowledged, plus those in flight
 *     namers     `+1 id=TEXT`, tried again after the   exactly as many as they ever tried
 *                crash while the outcome is unknown
 *     appenders  lines to a file of their own          those acknowledged in order, then the one in flight or not
 *     creators   O_EXCL files, removed two later       likewise, to the name
 *
 * A process has one call in flight. Before a change it notes in shared memory what it tries, after its return that
 * it was acknowledged; both survive the mount. Any errno but that of a mount that died is a failure.
 *
 *     hammer MOUNTPOINT [gone]   makes its files and says `ready`. Then from stdin: `go` starts a round, which ends
 *                                when the mount dies, and answers `down`; `check` answers `ok …` or `bad: …` (exit
 *                                1), and goes on from what is there.
 *                                gone: a round may also end with ENOENT, for the daemon unmounts */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 8
#define LINES_MAX 20000 /* of an appender's file, below 1 MiB */

enum kind { ADDER, NAMER, APPENDER, CREATOR };

struct writer {
	enum kind kind;
	uint64_t tried, acknowledged; /* numbers of its changes; tried is acknowledged or one more */
	int error;		      /* that ended it */
};

struct hammer {
	const char *mount;
	bool may_go; /* the mount may be gone, not only dead */
	struct writer *writers; /* shared with the processes */
	uint64_t round;
	int64_t sum; /* of the adders' counter at the start of the round */
	uint64_t changes;
};

__attribute__((format(printf, 1, 2), noreturn)) static void bad(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("bad: ");
	vprintf(format, args);
	puts("");
	va_end(args);
	exit(1);
}

static void path_of(const struct hammer *h, char path[static 4096], const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void path_of(const struct hammer *h, char path[static 4096], const char *format, ...)
{
	int n = snprintf(path, 4096, "%s/", h->mount);
	va_list args;

	va_start(args, format);
	vsnprintf(path + n, (size_t)(4096 - n), format, args);
	va_end(args);
}

/* ---- the changes: 0, or an errno ---- */

static int write_to(const char *path, int flags, const char *text)
{
	int fd = open(path, flags, 0666), error = 0;

	if (fd < 0)
		return errno;
	errno = 0;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		error = errno ? errno : EIO;
	close(fd);
	return error;
}

static int change_add(const struct hammer *h)
{
	char path[4096];

	path_of(h, path, "counters/sum");
	return write_to(path, O_WRONLY, "+1\n");
}

static int change_named(const struct hammer *h, int number, uint64_t n)
{
	char path[4096], text[64];

	path_of(h, path, "counters/named");
	snprintf(text, sizeof text, "+1 id=w%d-%llu\n", number, (unsigned long long)n);
	return write_to(path, O_WRONLY, text);
}

static int change_append(const struct hammer *h, int number, uint64_t n)
{
	char path[4096], text[64];

	path_of(h, path, "files/log%d", number);
	snprintf(text, sizeof text, "%llu\n", (unsigned long long)n);
	return write_to(path, O_WRONLY | O_APPEND, text);
}

/* Number n is the creation of n; for odd n then also the removal of n - 2, which is noted nowhere: it may be there
 * or not when n was not acknowledged. */
static int change_create(const struct hammer *h, int number, uint64_t n)
{
	char path[4096];
	int error;

	path_of(h, path, "files/made%d/%llu", number, (unsigned long long)n);
	error = write_to(path, O_WRONLY | O_CREAT | O_EXCL, "x");
	if (error || n < 3)
		return error;
	path_of(h, path, "files/made%d/%llu", number, (unsigned long long)(n - 2));
	return unlink(path) < 0 ? errno : 0;
}

static int change(const struct hammer *h, int number, uint64_t n)
{
	switch (h->writers[number].kind) {
	case ADDER: return change_add(h);
	case NAMER: return change_named(h, number, n);
	case APPENDER: return change_append(h, number, n);
	case CREATOR: return change_create(h, number, n);
	}
	return EINVAL;
}

static bool is_death(const struct hammer *h, int error)
{
	return error == ENOTCONN || error == ECONNABORTED || (h->may_go && error == ENOENT);
}

static void write_until_death(const struct hammer *h, int number)
{
	struct writer *w = &h->writers[number];

	for (w->error = 0; !w->error && w->tried < LINES_MAX * (h->round + 1);) {
		w->tried = w->acknowledged + 1;
		w->error = change(h, number, w->tried);
		if (!w->error)
			w->acknowledged = w->tried;
	}
	_exit(0);
}

static void run_round(struct hammer *h)
{
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0)
			write_until_death(h, i);
	for (int i = 0; i < WRITERS; i++)
		wait(NULL);
	for (int i = 0; i < WRITERS; i++)
		if (h->writers[i].error && !is_death(h, h->writers[i].error))
			bad("round %llu, writer %d: %s", (unsigned long long)h->round, i, strerrorname_np(h->writers[i].error));
	puts("down");
}

/* ---- the account ---- */

static int64_t counter_value(const struct hammer *h, const char *name)
{
	char path[4096], text[64] = "";
	int fd;

	path_of(h, path, "counters/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		bad("cannot read %s: %s", path, strerror(errno));
	close(fd);
	return strtoll(text, NULL, 10);
}

static void check_adders(struct hammer *h, int64_t *low, int64_t *high)
{
	for (int i = 0; i < WRITERS; i++)
		if (h->writers[i].kind == ADDER) {
			*low += (int64_t)h->writers[i].acknowledged;
			*high += (int64_t)h->writers[i].tried;
		}
}

static void check_sum(struct hammer *h)
{
	int64_t low = h->sum, high = h->sum, value = counter_value(h, "sum");

	check_adders(h, &low, &high);
	if (value < low || value > high)
		bad("round %llu: counters/sum is %lld, acknowledged %lld, tried %lld", (unsigned long long)h->round,
		    (long long)value, (long long)low, (long long)high);
	h->sum = value;
	for (int i = 0; i < WRITERS; i++)
		if (h->writers[i].kind == ADDER) {
			h->changes += h->writers[i].acknowledged;
			h->writers[i].tried = h->writers[i].acknowledged = 0;
		}
}

/* Unknown outcomes are tried again with the same id, twice: then all is known. */
static void check_named(struct hammer *h)
{
	int64_t want = 0, value;

	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = &h->writers[i];

		if (w->kind != NAMER)
			continue;
		for (int again = 0; again < 2 && w->tried > w->acknowledged; again++) {
			int error = change_named(h, i, w->tried);

			if (error)
				bad("round %llu: a retry with an id: %s", (unsigned long long)h->round, strerrorname_np(error));
		}
		w->acknowledged = w->tried;
		want += (int64_t)w->tried;
	}
	value = counter_value(h, "named");
	if (value != want)
		bad("round %llu: counters/named is %lld, want exactly %lld", (unsigned long long)h->round, (long long)value,
		    (long long)want);
}

static void check_log(struct hammer *h, int number)
{
	struct writer *w = &h->writers[number];
	char path[4096];
	unsigned long long line;
	uint64_t count = 0;
	FILE *log;

	path_of(h, path, "files/log%d", number);
	log = fopen(path, "r");
	if (!log)
		bad("round %llu: %s: %s", (unsigned long long)h->round, path, strerror(errno));
	while (fscanf(log, "%llu\n", &line) == 1)
		if (line != ++count)
			bad("round %llu: %s: line %llu holds %llu", (unsigned long long)h->round, path, (unsigned long long)count, line);
	if (!feof(log) || ferror(log))
		bad("round %llu: %s: something after line %llu", (unsigned long long)h->round, path, (unsigned long long)count);
	fclose(log);
	if (count != w->acknowledged && count != w->tried)
		bad("round %llu: %s has %llu lines, acknowledged %llu, tried %llu", (unsigned long long)h->round, path,
		    (unsigned long long)count, (unsigned long long)w->acknowledged, (unsigned long long)w->tried);
	h->changes += w->acknowledged;
	w->acknowledged = w->tried = 0;
	if (truncate(path, 0) < 0)
		bad("round %llu: cannot empty %s: %s", (unsigned long long)h->round, path, strerror(errno));
}

static bool is_there(const struct hammer *h, int number, uint64_t n)
{
	char path[4096];
	struct stat st;

	path_of(h, path, "files/made%d/%llu", number, (unsigned long long)n);
	if (stat(path, &st) == 0)
		return true;
	if (errno != ENOENT)
		bad("%s: %s", path, strerror(errno));
	return false;
}

/* After n was acknowledged: n and n - 1 are there and nothing older. n + 1 in flight: it too or not, and then n - 1
 * or not. */
static void check_made(struct hammer *h, int number)
{
	struct writer *w = &h->writers[number];
	uint64_t n = w->acknowledged, old = n > 20 ? n - 20 : 0;
	bool next = is_there(h, number, n + 1), flying = w->tried > n;

	if (n > 0 && !is_there(h, number, n))
		bad("round %llu: made%d/%llu is not there", (unsigned long long)h->round, number, (unsigned long long)n);
	if (n > 1 && !is_there(h, number, n - 1) && !next)
		bad("round %llu: made%d/%llu is not there", (unsigned long long)h->round, number, (unsigned long long)n - 1);
	if (next && !flying)
		bad("round %llu: made%d/%llu was never tried", (unsigned long long)h->round, number, (unsigned long long)n + 1);
	for (uint64_t i = n > 2 ? n - 2 : 0; i > old; i--)
		if (is_there(h, number, i))
			bad("round %llu: made%d/%llu is there again", (unsigned long long)h->round, number, (unsigned long long)i);
	for (uint64_t i = n > 0 ? n - 1 : 1; i <= n + 1; i++) {
		char path[4096];

		path_of(h, path, "files/made%d/%llu", number, (unsigned long long)i);
		unlink(path);
	}
	h->changes += w->acknowledged;
	w->acknowledged = w->tried = 0;
}

static void check_round(struct hammer *h)
{
	check_sum(h);
	check_named(h);
	for (int i = 0; i < WRITERS; i++) {
		if (h->writers[i].kind == APPENDER)
			check_log(h, i);
		if (h->writers[i].kind == CREATOR)
			check_made(h, i);
	}
	h->round++;
	printf("ok %llu rounds, %llu changes\n", (unsigned long long)h->round,
	       (unsigned long long)h->changes + h->writers[2].acknowledged + h->writers[3].acknowledged);
}

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0666);

	if (fd < 0 || close(fd) < 0)
		bad("cannot make %s: %s", path, strerror(errno));
}

static void prepare(struct hammer *h)
{
	static const enum kind kinds[WRITERS] = {ADDER, ADDER, NAMER, NAMER, APPENDER, APPENDER, CREATOR, CREATOR};
	static const char *const counters[] = {"counters/sum", "counters/named"};
	char path[4096];

	for (int i = 0; i < 2; i++) {
		path_of(h, path, "%s", counters[i]);
		make_file(path);
	}
	for (int i = 0; i < WRITERS; i++) {
		h->writers[i].kind = kinds[i];
		path_of(h, path, "files/log%d", i);
		if (kinds[i] == APPENDER)
			make_file(path);
		path_of(h, path, "files/made%d", i);
		if (kinds[i] == CREATOR && mkdir(path, 0777) < 0)
			bad("cannot make %s: %s", path, strerror(errno));
	}
	puts("ready");
}

int main(int argc, char **argv)
{
	struct hammer h = {.mount = argc > 1 ? argv[1] : "", .may_go = argc > 2};
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	h.writers = mmap(NULL, WRITERS * sizeof *h.writers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc < 2 || h.writers == MAP_FAILED) {
		fputs("usage: hammer MOUNTPOINT\n", stderr);
		return 2;
	}
	prepare(&h);
	while (fgets(line, sizeof line, stdin)) {
		if (strcmp(line, "go\n") == 0)
			run_round(&h);
		else if (strcmp(line, "check\n") == 0)
			check_round(&h);
	}
	return 0;
}
