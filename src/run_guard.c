/* The guard keeps the lock and stops the group: SIGTERM when the time is over until which the lock is known to be sure,
 * SIGKILL after half of the margin in which nobody else is given it. When it is lost before that time, somebody broke it
 * or the daemon was told to end: another may have it already, and SIGKILL does not wait.
 *
 * Where the runner is gone the lock is still held: what is left of the group may clean up for a short time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "run.h"

#define GRACE_MS_MAX 10000u
#define ORPHAN_GRACE_MS 2000u
#define EARLY_MS 100u /* lost by so much before its time: not by the clock */
#define LOOK_MS 20u
#define BURY_MS 2000u /* how long killed processes may take to be gone: more cannot be done */

struct guard {
	int lock, runner, news; /* news -1: there will be none */
	pid_t group;
	int timer;
	uint64_t until_ms, margin_ms; /* as in struct run_news; 0: none came yet, and the command does not run */
	bool stopping, orphaned;
	uint64_t kill_ms; /* while stopping: when SIGKILL is due */
};

static void say(const struct guard *g, enum run_word word)
{
	char byte = (char)word;

	if (!g->orphaned)
		send(g->runner, &byte, 1, MSG_NOSIGNAL);
}

static bool group_is_gone(const struct guard *g)
{
	return kill(-g->group, 0) < 0 && errno == ESRCH;
}

/* ---- the end ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A stopped process must go on to take notice. */
static void stop_group(struct guard *g, uint64_t kill_ms)
{
	g->kill_ms = g->stopping ? sooner(g->kill_ms, kill_ms) : kill_ms;
	if (g->stopping)
		return;
	g->stopping = true;
	kill(-g->group, SIGTERM);
	kill(-g->group, SIGCONT);
}

/* When SIGKILL is due after a loss that is noticed now. */
static uint64_t kill_time(const struct guard *g, uint64_t now_ms)
{
	if (g->until_ms == UINT64_MAX || now_ms + EARLY_MS < g->until_ms)
		return now_ms;
	return sooner(g->until_ms + g->margin_ms / 2, now_ms + GRACE_MS_MAX);
}

static void lose(struct guard *g)
{
	uint64_t kill_ms = kill_time(g, run_now_ms());

	say(g, RUN_WORD_LOST);
	stop_group(g, kill_ms);
}

/* The lock is kept until they are gone. While the runner lives the command stays a zombie, of this group. */
static _Noreturn void kill_group(const struct guard *g)
{
	uint64_t deadline_ms = run_now_ms() + BURY_MS;

	kill(-g->group, SIGKILL);
	say(g, RUN_WORD_DONE);
	while (g->orphaned && !group_is_gone(g) && run_now_ms() < deadline_ms) {
		kill(-g->group, SIGKILL);
		poll(NULL, 0, LOOK_MS);
	}
	_exit(0);
}

/* It is released here, not by the last close, so that whoever comes after the runner finds it free. */
static _Noreturn void release(const struct guard *g)
{
	flock(g->lock, LOCK_UN);
	say(g, RUN_WORD_DONE);
	_exit(0);
}

/* ---- what is heard ---- */

/* Of the holder: its end is the end of all news, and of the lock. */
static void hear_news(struct guard *g)
{
	struct run_news news;

	if (read(g->news, &news, sizeof news) != sizeof news || news.lost) {
		close(g->news);
		g->news = -1;
		lose(g);
		return;
	}
	if (g->until_ms == 0)
		say(g, RUN_WORD_READY);
	g->until_ms = news.until_ms;
	g->margin_ms = news.margin_ms;
}

static void hear_runner(struct guard *g)
{
	char byte;

	if (recv(g->runner, &byte, 1, 0) == 1) {
		if (byte == RUN_WORD_ENDED && !g->stopping)
			release(g);
		return; /* what it started may still have to be killed */
	}
	g->orphaned = true;
	close(g->runner);
	g->runner = -1;
	stop_group(g, sooner(run_now_ms() + ORPHAN_GRACE_MS, g->until_ms));
}

/* ---- watching ---- */

static void set_timer(const struct guard *g)
{
	uint64_t at_ms = g->stopping ? g->kill_ms : g->until_ms ? g->until_ms : UINT64_MAX;
	struct itimerspec at = {.it_value = {0, 0}};

	if (g->orphaned)
		at_ms = sooner(at_ms, run_now_ms() + LOOK_MS);
	if (at_ms != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(at_ms / 1000);
		at.it_value.tv_nsec = (long)(at_ms % 1000 * 1000000) + 1; /* 0 would be never */
	}
	timerfd_settime(g->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void check_time(struct guard *g)
{
	uint64_t now_ms = run_now_ms();

	if (g->stopping && now_ms >= g->kill_ms)
		kill_group(g);
	if (g->orphaned && group_is_gone(g))
		_exit(0);
	if (!g->stopping && g->until_ms && now_ms >= g->until_ms)
		lose(g);
}

static _Noreturn void watch(struct guard *g)
{
	struct pollfd files[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};

	for (;;) {
		check_time(g);
		set_timer(g);
		files[0].fd = g->timer;
		files[1].fd = g->runner;
		files[2].fd = g->news;
		if (poll(files, 3, -1) < 0)
			continue;
		if (files[2].revents)
			hear_news(g);
		if (files[1].revents)
			hear_runner(g);
	}
}

/* ---- becoming it ---- */

/* No signal of the terminal or of the job reaches it, and nothing that the runner's caller waits for stays open. */
static void leave_everything(int *lock, int *runner)
{
	sigset_t all;
	int null = open("/dev/null", O_RDWR);
	int l = fcntl(*lock, F_DUPFD, 64), r = fcntl(*runner, F_DUPFD, 64);

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	if (null < 0 || l < 0 || r < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	*lock = dup2(l, 3);
	*runner = dup2(r, 4);
	close_range(5, ~0u, 0);
	if (chdir("/") < 0)
		_exit(1);
}

static int start_holder(int lock, int runner)
{
	int ends[2];
	pid_t holder;

	if (pipe(ends) < 0)
		_exit(1);
	holder = fork();
	if (holder < 0)
		_exit(1);
	if (holder == 0) {
		close(runner);
		close(ends[0]);
		run_holder(lock, ends[1]);
	}
	close(ends[1]);
	return ends[0];
}

void run_guard(int fd, int runner, pid_t group)
{
	struct guard g = {.lock = fd, .runner = runner, .group = group};

	leave_everything(&g.lock, &g.runner);
	g.timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	if (g.timer < 0)
		_exit(1);
	g.news = start_holder(g.lock, g.runner);
	watch(&g);
}
