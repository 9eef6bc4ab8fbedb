/* One of those who want a lock, for exclusion.sh: takes it, writes to a resource that a fence guards, gives it back.
 *
 *     excluder MOUNT RESOURCE RECORD [SEED]      until SIGTERM
 *
 * RESOURCE stands for something outside, which does one write at a time (under RESOURCE.mutex), asks fences/db at the
 * mount that RESOURCE.mount points to, whichever can be reached, and appends the token to RESOURCE when it is told that
 * the token is good.
 *
 * RECORD has a line of three numbers for each time that the lock was had: its token, when flock(2) returned, and when the
 * last call was begun that said it was not lost, in nanoseconds of one clock. A line is written again and again in its
 * place, so that it is right whenever this process is killed. After who has been told goes on to write for a while: that
 * is what the fence is for. At the end RECORD.counts says what happened how often. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "coordfs/coordfs.h"

static volatile sig_atomic_t ended;

struct excluder {
	const char *mount, *resource, *record;
	int fd, mutex, out;
	unsigned long long token, granted_ns, sure_ns;
	off_t line; /* of the present grant, in RECORD */
	unsigned long long grants, losses, accepted, refused, errors;
};

static void on_term(int number)
{
	(void)number;
	ended = 1;
}

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static void rest_ms(unsigned ms)
{
	poll(NULL, 0, (int)ms);
}

static void put_record(struct excluder *e)
{
	char text[80];
	int size = snprintf(text, sizeof text, "%20llu %20llu %20llu\n", e->token, e->granted_ns, e->sure_ns);

	if (pwrite(e->out, text, (size_t)size, e->line) != size)
		abort();
}

/* ---- the resource ---- */

static bool fence_accepts(const struct excluder *e)
{
	char path[4096], text[32];
	int fd, size = snprintf(text, sizeof text, "%llu\n", e->token);
	bool good;

	snprintf(path, sizeof path, "%s.mount/fences/db", e->resource);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	good = write(fd, text, (size_t)size) == size;
	size = errno;
	close(fd);
	errno = size;
	return good;
}

static void append(const struct excluder *e)
{
	char text[32];
	int fd = open(e->resource, O_WRONLY | O_APPEND | O_CREAT, 0666);
	int size = snprintf(text, sizeof text, "%llu\n", e->token);

	if (fd < 0 || write(fd, text, (size_t)size) != size)
		abort();
	close(fd);
}

static void use_resource(struct excluder *e)
{
	if (flock(e->mutex, LOCK_EX) < 0)
		return;
	errno = 0;
	if (fence_accepts(e)) {
		append(e);
		e->accepted++;
	} else if (errno == ESTALE) {
		e->refused++;
	} else {
		e->errors++;
	}
	flock(e->mutex, LOCK_UN);
}

/* ---- the lock ---- */

static bool is_lost(struct excluder *e)
{
	struct pollfd file = {.fd = e->fd};
	unsigned long long begun_ns = now_ns();
	int rc = poll(&file, 1, 0);

	if (rc < 0)
		return false; /* a signal: nothing was said */
	if (rc > 0)
		return true;
	e->sure_ns = begun_ns;
	put_record(e);
	return false;
}

/* Mostly a short time; now and then so long that something will have happened. */
static void hold(struct excluder *e)
{
	unsigned long long until_ns = now_ns() + (rand() % 3 ? rand() % 30 + 1 : rand() % 3000) * 1000000ull;

	while (!ended && now_ns() < until_ns) {
		if (is_lost(e)) {
			e->losses++;
			for (int i = 0; i < 20 && !ended; i++) {
				use_resource(e);
				rest_ms(50);
			}
			return;
		}
		use_resource(e);
		rest_ms((unsigned)rand() % 5);
	}
}

static void take(struct excluder *e)
{
	struct coordfs_lease lease;

	if (flock(e->fd, LOCK_EX) < 0)
		return;
	e->granted_ns = e->sure_ns = now_ns();
	if (ioctl(e->fd, COORDFS_IOC_LEASE, &lease) < 0)
		return;
	e->token = lease.token;
	e->grants++;
	put_record(e);
	hold(e);
	e->line = lseek(e->out, 0, SEEK_END);
	flock(e->fd, LOCK_UN);
}

static void put_counts(const struct excluder *e)
{
	char path[4096];
	FILE *out;

	snprintf(path, sizeof path, "%s.counts", e->record);
	out = fopen(path, "w");
	if (!out)
		abort();
	fprintf(out, "grants=%llu losses=%llu accepted=%llu refused=%llu errors=%llu\n", e->grants, e->losses, e->accepted,
		e->refused, e->errors);
	fclose(out);
}

static int open_at(const char *format, const char *name, int flags)
{
	char path[4096];

	snprintf(path, sizeof path, format, name);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0666);
}

int main(int argc, char **argv)
{
	struct excluder e = {0};
	struct sigaction action = {.sa_handler = on_term};

	if (argc < 4)
		return 2;
	e.mount = argv[1];
	e.resource = argv[2];
	e.record = argv[3];
	srand(argc > 4 ? (unsigned)atoi(argv[4]) : 1);
	sigaction(SIGTERM, &action, NULL); /* a call that waits ends */
	e.mutex = open_at("%s.mutex", e.resource, O_RDWR);
	e.out = open_at("%s", e.record, O_RDWR);
	if (e.mutex < 0 || e.out < 0)
		return 2;
	while (!ended) {
		e.fd = open_at("%s/locks/db", e.mount, O_RDWR);
		if (e.fd >= 0)
			take(&e);
		if (e.fd >= 0)
			close(e.fd);
		put_counts(&e);
		rest_ms(e.fd < 0 ? 50 : (unsigned)rand() % 3);
	}
	return 0;
}
