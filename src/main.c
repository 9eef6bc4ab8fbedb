/* coordfs: options, wiring, daemon, exit status. The only file that knows every room.
 *
 * Start: options and mount point are checked; the daemon forks; the child opens the replica, which recovers on the
 * loop and, where it is new to a cluster, joins; when it is ready the front mounts, and the parent, which waits at a
 * pipe, exits 0. Whatever goes wrong before that is one line at the parent's stderr and exit status 1. Until then the
 * child belongs to the parent: who interrupts or kills the one ends the other.
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
#include <sys/prctl.h>
#include <unistd.h>

#include "await.h"
#include "base/log.h"
#include "front/front.h"
#include "front/mountpoint.h"
#include "front/virtual.h"
#include "options.h"
#include "replica/replica.h"
#include "tool.h"

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
	"  -o listen=tcp://HOST:PORT   where the other members reach this one\n"
	"  -o join=tcp://HOST:PORT     members to join through, with + between; a restart needs none\n"
	"  -o key=FILE         the cluster's key; or insecure, for a network that all may trust\n"
	"  -o name=NAME        this member's name (default: the host's)\n"
	"  -o timeout=S        seconds before EHOSTUNREACH or ETIMEDOUT (default 10)\n"
	"  -o session_ttl=S    seconds until a silent mount has lost its locks (default 10)\n"
	"  -o voters=N         voting members at most (default 5)\n"
	"  -o election_timeout=MS, heartbeat=MS, replace_after=S      for a slow network (650, 65, 60)\n"
	"  -o on_loss=none|term|kill   signal who has a file open whose lock is lost (default none)\n"
	"  -o consistency=strong|weak|eventual, inotify\n"
	"  -o ro, allow_other (root's default), allow_root, and the common options of mount(8)\n"
	"\n"
	"It returns when the mount serves. `umount MOUNTPOINT` or `fusermount3 -u MOUNTPOINT` ends it.\n"
	"\n"
	"  coordfs keygen FILE           make a key for a cluster\n"
	"  coordfs recover SOURCE        go on alone, when a majority of the members is lost for good\n"
	"  coordfs restore FILE SOURCE   make a new cluster of a backup (MOUNTPOINT/cluster/snapshot)\n"
	"  coordfs run -l LOCKFILE -- COMMAND   run it while holding a lock, stop it when that is lost\n"
	"\n"
	"How to use the tree: MOUNTPOINT/README, coordfs(5). All about this: coordfs(1).\n";

/* ---- telling ---- */

/* To the parent that waits: "" means that the mount serves, else why it does not. */
static void report(struct program *p, const char *line)
{
	if (p->report_fd < 0)
		return;
	prctl(PR_SET_PDEATHSIG, 0);
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
	if (p->report_fd >= 0)
		fail(p, "ended by a signal before the mount served");
	else
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
		.consistency = p->options.consistency,
		.loss_signal = p->options.loss_signal,
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

static void on_restoring(void *ctx)
{
	struct program *p = ctx;

	front_restoring(p->front);
}

static void on_restored(void *ctx)
{
	struct program *p = ctx;

	front_restored(p->front);
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

/* Tests of clusters of mixed versions let one program be another. */
static unsigned pretended(const char *variable)
{
	const char *text = getenv(variable);

	return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

static int open_replica(struct program *p, char *error, size_t error_size)
{
	const struct options *o = &p->options;
	const struct replica_config config = {
		.directory = o->source,
		.member = o->member,
		.owner_uid = geteuid(),
		.owner_gid = getegid(),
		.timeout_ms = o->timeout_s * 1000,
		.version = PACKAGE_VERSION,
		.level = pretended("COORDFS_TEST_LEVEL"),
		.listen = o->listen,
		.join = o->join,
		.key = o->has_key ? o->key : NULL,
		.voters = o->voters,
		.session_ttl_ms = o->session_ttl_s * 1000,
		.election_ms = o->election_ms,
		.heartbeat_ms = o->heartbeat_ms,
		.replace_ms = o->replace_s * 1000,
		.log = &p->log,
		.observer =
			{
				.ctx = p->front,
				.event = front_event,
				.before_gone = front_before_gone,
				.log = front_log,
			},
		.eventual_changed = front_eventual_changed,
		.restoring = on_restoring,
		.restored = on_restored,
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
	if (p->options.debug)
		p->log.level = LOG_LEVEL_DEBUG;
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

static void be_daemon(struct program *p, pid_t parent, int report_fd)
{
	/* It was the parent's child until it served: nobody is left who would know of it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		raise(SIGTERM);
	p->report_fd = report_fd;
	log_to_syslog(&p->log);
	setsid();
}

static int run_daemon(struct program *p)
{
	pid_t parent = getpid(), child;
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return complain(strerror(errno));
	child = fork();
	if (child < 0)
		return complain(strerror(errno));
	if (child > 0) {
		close(pipe_fd[1]);
		return await_daemon(pipe_fd[0], child);
	}
	close(pipe_fd[0]);
	be_daemon(p, parent, pipe_fd[1]);
	if (chdir("/") < 0)
		return 1;
	return run(p);
}

static int mount_it(struct program *p, int argc, char **argv)
{
	char error[512];
	int status;

	if (options_parse(&p->options, argc, argv, error, sizeof error) < 0)
		status = complain(error);
	else if (p->options.help)
		status = fputs(help, stdout) < 0;
	else if (p->options.version)
		status = puts(PACKAGE_NAME " " PACKAGE_VERSION) < 0;
	else if (mountpoint_check(p->options.mountpoint, error, sizeof error) < 0)
		status = complain(error);
	else
		status = p->options.foreground ? run(p) : run_daemon(p);
	options_fini(&p->options);
	return status;
}

int main(int argc, char **argv)
{
	struct program p = {.report_fd = -1};
	tool_main tool = argc > 1 ? tool_find(argv[1]) : NULL;

	if (tool)
		return tool(argc - 1, argv + 1);
	log_init(&p.log, "coordfs");
	return mount_it(&p, argc, argv);
}
