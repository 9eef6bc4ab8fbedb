#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t random_below(struct client *c, uint64_t limit)
{
	uint64_t x = (c->seed += 0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % limit;
}

bool client_stops(const struct client *c) { return now_ns() >= c->stop_ns; }

void client_pause(struct client *c, unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	(void)c;
	nanosleep(&t, NULL);
}

/* ---- the mount ---- */

/* A mount point without a mount is an empty directory: nothing may be asked of that. Asks no daemon. */
static bool is_mount_root(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool client_ready(struct client *c)
{
	if (c->root >= 0)
		return true;
	client_limit(c, CALL_LIMIT_MS);
	c->root = open(c->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c->root >= 0 && is_mount_root(c->root))
		return true;
	if (c->root >= 0)
		close(c->root);
	c->root = -1;
	client_pause(c, 50 + (unsigned)random_below(c, 100));
	return false;
}

static bool is_death(int error)
{
	return error == ENOTCONN || error == ECONNABORTED || error == EIO || error == ENODEV;
}

void client_note(struct client *c, int error)
{
	if (!is_death(error) || c->root < 0)
		return;
	close(c->root);
	c->root = -1;
}

/* Again and again, for the first may come right before the call. */
void client_limit(struct client *c, unsigned ms)
{
	struct itimerval timer = {{0, 200000}, {ms / 1000, (suseconds_t)(ms % 1000) * 1000}};

	(void)c;
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_alarm(int signal) { (void)signal; }

void client_set_up(void)
{
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
}

/* ---- the record ---- */

void record_begin(struct client *c, const char *object, const char *verb, const char *format, ...)
{
	struct slot *slot = c->slot;
	char arguments[96], text[sizeof slot->asked];
	va_list args;

	va_start(args, format);
	vsnprintf(arguments, sizeof arguments, format, args);
	va_end(args);
	snprintf(c->object, sizeof c->object, "%s %s", object, verb);
	client_limit(c, CALL_LIMIT_MS);
	c->end_ns = 0;
	c->start_ns = now_ns();
	snprintf(text, sizeof text, "%u %s %s %s %s %" PRId64, c->number, c->host, object, verb, arguments, c->start_ns);
	memcpy(slot->asked + 1, text + 1, sizeof text - 1);
	slot->asked[0] = text[0]; /* from now on it counts */
}

void record_end(struct client *c)
{
	if (c->end_ns == 0)
		c->end_ns = now_ns();
}

static void write_line(struct client *c, const char *line)
{
	size_t length = strlen(line);

	if (write(c->history, line, length) != (ssize_t)length)
		_exit(3);
}

static void count(struct client *c, int error)
{
	struct slot *slot = c->slot;

	slot->operations++;
	slot->refused += error == EHOSTUNREACH;
	slot->unknown += is_death(error) || error == ETIMEDOUT || error == EINTR;
	if (c->end_ns - c->start_ns <= slot->longest_ns)
		return;
	slot->longest_ns = c->end_ns - c->start_ns;
	snprintf(slot->longest, sizeof slot->longest, "%.40s %s", c->object, error ? strerrorname_np(error) : "");
}

void record_finish(struct client *c, int error, const char *format, ...)
{
	char result[96] = "", line[400];
	va_list args;

	record_end(c);
	if (!error && format) {
		va_start(args, format);
		vsnprintf(result, sizeof result, format, args);
		va_end(args);
	}
	snprintf(line, sizeof line, "%s %" PRId64 " %s%s\n", c->slot->asked, c->end_ns, error ? strerrorname_np(error) : "=", result);
	write_line(c, line);
	c->slot->asked[0] = '\0';
	count(c, error);
	client_note(c, error);
}

void record_cancel(struct client *c)
{
	c->slot->asked[0] = '\0';
	c->slot->not_begun++;
}

void record_possible(struct client *c, const char *object, const char *verb, const char *argument)
{
	char line[400];

	snprintf(line, sizeof line, "%u %s %s %s %s %" PRId64 " - ?\n", c->number, c->host, object, verb, argument, now_ns());
	write_line(c, line);
}
