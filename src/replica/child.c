#include "replica/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

static void become_child(pid_t parent, int keep_a, int keep_b)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "coordfs-image");
	close_all_but(keep_a, keep_b);
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpriority(PRIO_PROCESS, 0, 10);
}

int child_start(struct child *c, int keep, void (*work)(void *ctx, void *answer), void *ctx, size_t size)
{
	char answer[CHILD_ANSWER_BYTES] = {0};
	pid_t parent = getpid();
	sigset_t all, before;
	int ends[2];

	if (size > sizeof answer)
		return ERR_INVALID;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return ERR_NO_MEMORY;
	/* The program's signal handlers must not run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	c->pid = fork();
	if (c->pid == 0) {
		become_child(parent, keep, ends[1]);
		work(ctx, answer);
		_exit(write(ends[1], answer, size) == (ssize_t)size ? 0 : 1);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	c->pipe = ends[0];
	if (c->pid > 0)
		return OK;
	close(ends[0]);
	c->pid = 0;
	return ERR_NO_MEMORY;
}

static void reap(struct child *c)
{
	close(c->pipe);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

int child_answer(struct child *c, void *answer, size_t size)
{
	ssize_t n = read(c->pipe, answer, size);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return QUEUED;
	reap(c);
	return n == (ssize_t)size ? OK : ERR_INTERRUPTED;
}

void child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	reap(c);
}
