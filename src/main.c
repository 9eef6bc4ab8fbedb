/* coordfs: options, wiring, daemon, exit status. The only file that knows every room.
 *
 * Start: options and mount point are checked; the daemon forks; the child opens the replica, which recovers on the
 * loop; when it is ready the front mounts, and the parent, which waits at a pipe, exits 0. Whatever goes
 * wrong before that is one line at the parent's stderr and exit status 1.
 *
 * End: a signal or an umount. No more requests are read, the replica ends its session (so that what this mount
 * held is free at once) and answers what is outstanding, then the mount goes. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "front/front.h"
#include "front/mountpoint.h"
#include "front/virtual.h"
#include "options.h"
#include "replica/replica.h"

struct program {
	struct options options;
	struct log log;
	uv_loop_t loop;
	uv_signal_t on_signal[3];
	struct replica *replica;
	struct front *front;
	int report_fd; /* to the waiting parent; -1: it was told, or there is none */
	bool stopping;
	int status;
};

static const char help[] =
	"usage: coordfs SOURCE MOUNTPOINT [-f] [-d] [-o OPTION,...]\n"
	"Mount the data directory SOURCE, which is made if missing, on the empty directory MOUNTPOINT.\n"
	"\n"
	"  -f                  stay in the foreground, log to stderr\n"
	"  -d                  like -f, and trace every request\n"
	"  -V, -h              print the version, this help\n"
	"  -o name=NAME        this member's name (default: the host's)\n"
	"  -o timeout=S        seconds before EHOSTUNREACH or ETIMEDOUT (default 10)\n"
	"  -o session_ttl=S    seconds until a silent mount has lost its locks (default 10)\n"
	"  -o voters=N         voting members at most (default 5)\n"
	"  -o consistency=strong, on_loss=none, inotify\n"
	"  -o ro, allow_other (root's default), allow_root, and the common options of mount(8)\n"
	"\n"
	"It returns when the mount serves. `umount MOUNTPOINT` or `fusermount3 -u MOUNTPOINT` ends it.\n"
	"How to use the tree: MOUNTPOINT/README, coordfs(5).\n";

/* ---- telling ---- */

/* To the parent that waits: "" means that the mount serves, else why it does not. */
static void report(struct program *p, const char *line)
{
	if (p->report_fd < 0)
		return;
	if (write(p->report_fd, line, strlen(line) + 1) < 0)
		log_line(&p->log, LOG_LEVEL_WARNING, "nobody waits for the start: %s", strerror(errno));
	close(p->report_fd);
	p->report_fd = -1;
}

static void fail(struct program *p, const char *line)
{
	p->status = 1;
	if (p->report_fd >= 0)
		report(p, line);
	else
		log_line(&p->log, LOG_LEVEL_ERROR, "%s", line);
}

/* ---- stopping ---- */

static void close_signals(struct program *p)
{
	for (size_t i = 0; i < sizeof p->on_signal / sizeof *p->on_signal; i++)
		uv_close((uv_handle_t *)&p->on_signal[i], NULL);
}

static void on_closed(void *ctx)
{
	struct program *p = ctx;

	virtual_replica_gone(p->front);
	p->replica = NULL;
	close_signals(p);
}

static void stop(struct program *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	front_stop(p->front);
	replica_close(p->replica, on_closed, p);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;

	if (number == SIGHUP && !p->options.foreground)
		return; /* a daemon has no terminal that could hang up */
	log_line(&p->log, LOG_LEVEL_INFO, "signal %d: unmounting %s", number, p->options.mountpoint);
	stop(p);
}

static void on_ended(void *ctx)
{
	struct program *p = ctx;

	log_line(&p->log, LOG_LEVEL_INFO, "%s was unmounted", p->options.mountpoint);
	stop(p);
}

/* ---- starting ---- */

static int serve(struct program *p, char *error, size_t error_size)
{
	const struct front_config config = {
		.source = p->options.source,
		.mountpoint = p->options.mountpoint,
		.options = p->options.kernel,
		.timeout_ms = p->options.timeout_s * 1000,
		.debug = p->options.debug,
		.ended = on_ended,
		.ctx = p,
	};

	if (mountpoint_check(config.mountpoint, error, error_size) < 0)
		return -1;
	return front_start(p->front, p->replica, &config, error, error_size);
}

static void detach_output(const struct program *p)
{
	int null;

	if (p->options.foreground)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if (null > 2)
		close(null);
}

static void on_ready(void *ctx)
{
	struct program *p = ctx;
	char error[512];

	if (p->stopping)
		return;
	if (serve(p, error, sizeof error) < 0) {
		fail(p, error);
		stop(p);
		return;
	}
	report(p, "");
	detach_output(p);
	log_line(&p->log, LOG_LEVEL_INFO, "%s serves on %s", p->options.source, p->options.mountpoint);
}

static void on_failed(void *ctx, const char *text)
{
	struct program *p = ctx;

	fail(p, text);
	stop(p);
}

/* Once the loop runs these cannot fail but for numbers that are no signals. */
static void watch_signals(struct program *p)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		uv_signal_init(&p->loop, &p->on_signal[i]);
		p->on_signal[i].data = p;
		uv_signal_start(&p->on_signal[i], on_signal, numbers[i]);
	}
}

static int open_replica(struct program *p, char *error, size_t error_size)
{
	const struct replica_config config = {
		.directory = p->options.source,
		.member = p->options.member,
		.owner_uid = geteuid(),
		.owner_gid = getegid(),
		.timeout_ms = p->options.timeout_s * 1000,
		.log = &p->log,
		.observer =
			{
				.ctx = p->front,
				.event = front_event,
				.before_gone = front_before_gone,
				.log = front_log,
			},
		.ready = on_ready,
		.failed = on_failed,
		.ctx = p,
	};

	return replica_open(&p->loop, &config, &p->replica, error, error_size);
}

static int start(struct program *p, char *error, size_t error_size)
{
	snprintf(error, error_size, "cannot start: %s", strerror(ENOMEM));
	if (uv_loop_init(&p->loop) != 0)
		return -1;
	p->front = front_new(&p->loop, &p->log);
	if (!p->front || open_replica(p, error, error_size) < 0)
		return -1;
	watch_signals(p);
	return 0;
}

/* Everything happens in here, in the daemon. */
static int run(struct program *p)
{
	char error[512];

	signal(SIGPIPE, SIG_IGN);
	if (start(p, error, sizeof error) < 0)
		fail(p, error);
	else
		uv_run(&p->loop, UV_RUN_DEFAULT);
	front_free(p->front);
	if (uv_loop_close(&p->loop) != 0)
		log_line(&p->log, LOG_LEVEL_DEBUG, "something on the loop was not closed");
	return p->status;
}

/* ---- daemon ---- */

static int complain(const char *line)
{
	fprintf(stderr, "coordfs: %s\n", line);
	return 1;
}

/* The parent's part: wait until the child says how the start went. */
static int await(int fd, pid_t child)
{
	char line[600];
	size_t size = 0;
	ssize_t got;
	int status;

	while (size < sizeof line - 1 && (got = read(fd, line + size, sizeof line - 1 - size)) != 0) {
		if (got > 0)
			size += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	line[size] = '\0';
	if (size > 0)
		return *line ? complain(line) : 0;
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		snprintf(line, sizeof line, "the daemon died at its start: signal %d", WTERMSIG(status));
	else
		snprintf(line, sizeof line, "the daemon ended at its start: status %d", WEXITSTATUS(status));
	return complain(line);
}

static int run_daemon(struct program *p)
{
	int pipe_fd[2];
	pid_t child;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return complain(strerror(errno));
	child = fork();
	if (child < 0)
		return complain(strerror(errno));
	if (child > 0) {
		close(pipe_fd[1]);
		return await(pipe_fd[0], child);
	}
	close(pipe_fd[0]);
	p->report_fd = pipe_fd[1];
	log_to_syslog(&p->log);
	setsid();
	if (chdir("/") < 0)
		return 1;
	return run(p);
}

int main(int argc, char **argv)
{
	struct program p = {.report_fd = -1};
	char error[512];
	int status;

	log_init(&p.log, "coordfs");
	if (options_parse(&p.options, argc, argv, error, sizeof error) < 0)
		status = complain(error);
	else if (p.options.help)
		status = fputs(help, stdout) < 0;
	else if (p.options.version)
		status = puts(PACKAGE_NAME " " PACKAGE_VERSION) < 0;
	else if (mountpoint_check(p.options.mountpoint, error, sizeof error) < 0)
		status = complain(error);
	else
		status = p.options.foreground ? run(&p) : run_daemon(&p);
	options_fini(&p.options);
	return status;
}
