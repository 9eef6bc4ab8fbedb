/* The terminal's foreground: as a shell does it, for one job. */
#include <signal.h>
#include <fcntl.h>
#include <unistd.h>

#include "run.h"

static bool is_ours(const struct run_terminal *t)
{
	return t->fd >= 0 && tcgetpgrp(t->fd) == getpgrp();
}

void run_terminal_open(struct run_terminal *t, bool *give)
{
	t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	t->given = false;
	*give = is_ours(t) && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool run_terminal_give(struct run_terminal *t)
{
	if (!is_ours(t) || tcsetpgrp(t->fd, t->group) < 0)
		return false;
	t->given = true;
	return true;
}

bool run_terminal_is_missed(const struct run_terminal *t)
{
	return t->given && t->fd >= 0 && tcgetpgrp(t->fd) != t->group;
}

void run_terminal_take(struct run_terminal *t)
{
	if (t->fd >= 0 && tcgetpgrp(t->fd) == t->group)
		tcsetpgrp(t->fd, getpgrp());
}
