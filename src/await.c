#include "await.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 15000 /* then the user is told that it still goes on */

struct wait {
	pid_t child;
	int fd;	       /* what it says */
	int signal_fd; /* what happens to us */
	int signal;    /* that came; 0: none */
	char line[600];
	size_t size;
};

static int complain(const char *line)
{
	fprintf(stderr, "coordfs: %s\n", line);
	return 1;
}

/* The first one asks the child to end, the second does not ask. */
static void take_signal(struct wait *w)
{
	struct signalfd_siginfo info;

	if (read(w->signal_fd, &info, sizeof info) != sizeof info)
		return;
	kill(w->child, w->signal ? SIGKILL : SIGTERM);
	w->signal = (int)info.ssi_signo;
}

/* False at the end. */
static bool take_words(struct wait *w)
{
	ssize_t got = read(w->fd, w->line + w->size, sizeof w->line - 1 - w->size);

	if (got > 0)
		w->size += (size_t)got;
	return w->size < sizeof w->line - 1 && (got > 0 || (got < 0 && errno == EINTR));
}

static void listen_to(struct wait *w)
{
	struct pollfd fds[] = {{.fd = w->fd, .events = POLLIN}, {.fd = w->signal_fd, .events = POLLIN}};
	int patience = PATIENCE_MS;

	for (;;) {
		int n = poll(fds, 2, patience);

		if (n == 0) {
			fprintf(stderr, "coordfs: still starting (pid %d): the system log tells more, Ctrl-C ends it\n",
				(int)w->child);
			patience = -1;
		}
		if (n > 0 && fds[1].revents)
			take_signal(w);
		if (n > 0 && fds[0].revents && !take_words(w))
			return;
	}
}

static int judge(struct wait *w)
{
	int status;

	w->line[w->size] = '\0';
	if (w->size > 0 && !*w->line && !w->signal)
		return 0;
	while (waitpid(w->child, &status, 0) < 0 && errno == EINTR) /* so that the directory is free then */
		;
	if (w->signal)
		return complain("interrupted: the mount did not come up");
	if (w->size > 0)
		return complain(w->line);
	if (WIFSIGNALED(status))
		snprintf(w->line, sizeof w->line, "the daemon died at its start: signal %d", WTERMSIG(status));
	else
		snprintf(w->line, sizeof w->line, "the daemon ended at its start: status %d", WEXITSTATUS(status));
	return complain(w->line);
}

/* Those that end us; not what whoever started us wants ignored. */
static void choose_signals(sigset_t *set)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(set, numbers[i]);
}

int await_daemon(int fd, pid_t child)
{
	struct wait w = {.child = child, .fd = fd};
	sigset_t ends;
	int status;

	choose_signals(&ends);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	w.signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
	if (w.signal_fd < 0)
		sigprocmask(SIG_UNBLOCK, &ends, NULL); /* they end us, and the child by that */
	listen_to(&w);
	sigprocmask(SIG_UNBLOCK, &ends, NULL);
	status = judge(&w);
	if (w.signal_fd >= 0)
		close(w.signal_fd);
	return status;
}
