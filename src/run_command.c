/* The runner: it starts the command, passes signals on, stops and goes on with it, and gives its exit status.
 *
 * All signals that mean something are blocked and read from a signalfd; the command gets back the mask that we were
 * started with, and every signal that we were told to ignore it ignores too (and we are never told of). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "tool.h"

#define TERMINAL_MS 100    /* how long a command that is in the foreground again may be without the terminal */
#define LAST_WORD_MS 20000 /* how long the guard may take to be done; it is never that long while the mount answers */

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

struct runner {
	const char *path; /* of the lock */
	sigset_t before;  /* the signal mask that we came with */
	int signals;	  /* a signalfd */
	int guard;	  /* a socket; -1: it is gone */
	int go;		  /* a pipe: a byte in it starts the command; -1: it was started */
	pid_t group;	  /* the command's process, and its group */
	struct run_terminal terminal;
	bool lost;
	bool done; /* the guard said its last word */
};

/* ---- the command ---- */

static int cannot_run(const char *word)
{
	int error = errno;

	tool_complain("run", "%s: %s", word, strerror(error));
	return error == ENOENT || error == ENOTDIR ? RUN_STATUS_NO_COMMAND : RUN_STATUS_CANNOT_EXECUTE;
}

/* In the child. It waits until the guard watches. When the runner is killed it is, too: whatever becomes of the guard. */
static _Noreturn void be_command(struct runner *r, int go, bool give, pid_t parent, char **argv)
{
	char byte;

	setpgid(0, 0);
	r->terminal.group = getpid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || read(go, &byte, 1) != 1)
		_exit(RUN_STATUS_TROUBLE);
	/* Our own group is a new one, and the terminal is to be taken from that of the runner. */
	if (give)
		tcsetpgrp(r->terminal.fd, getpid());
	sigprocmask(SIG_SETMASK, &r->before, NULL);
	execvp(argv[0], argv);
	_exit(cannot_run(argv[0]));
}

static int start_command(struct runner *r, int lock, bool give, char **argv)
{
	pid_t parent = getpid();
	int go[2];

	if (pipe2(go, O_CLOEXEC) < 0)
		return -1;
	r->group = fork();
	if (r->group == 0) {
		close(lock);
		close(go[1]);
		be_command(r, go[0], give, parent, argv);
	}
	close(go[0]);
	r->go = go[1];
	if (r->group < 0)
		return -1;
	setpgid(r->group, r->group); /* whoever is first */
	r->terminal.group = r->group;
	r->terminal.given = give;
	return 0;
}

static int start_guard(struct runner *r, int lock)
{
	int ends[2];
	pid_t guard;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	guard = fork();
	if (guard == 0)
		run_guard(lock, ends[1], r->group);
	close(ends[1]);
	r->guard = ends[0];
	return guard < 0 ? -1 : 0;
}

/* The byte is written when we have the lock's file open no more: else our end could hang in closing it. */
static void let_go(struct runner *r)
{
	if (r->go < 0)
		return;
	if (write(r->go, "", 1) < 0)
		tool_complain("run", "%s", strerror(errno));
	close(r->go);
	r->go = -1;
}

/* ---- stopping and going on ---- */

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* As the terminal would have done if we and the command were one group: those of our own group stop, the rest of a
 * pipeline or the script that we are part of. In a group that nobody looks after this does nothing. */
static void stop_ourselves(pid_t whom)
{
	sigset_t stop;

	if (is_ignored(SIGTSTP))
		return;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	kill(whom, SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here we stop, and go on */
	sigprocmask(SIG_BLOCK, &stop, NULL);
}

static void go_on(struct runner *r)
{
	if (r->terminal.given)
		run_terminal_give(&r->terminal);
	kill(-r->group, SIGCONT);
}

/* Stopped by the terminal. If it only wants to use it, and it is ours, it gets it. */
static void command_stopped(struct runner *r, int number)
{
	if (r->terminal.fd < 0 || (number != SIGTSTP && number != SIGTTIN && number != SIGTTOU && !r->terminal.given))
		return;
	if (number != SIGTTIN && number != SIGTTOU) {
		stop_ourselves(0);
	} else if (!run_terminal_give(&r->terminal)) {
		r->terminal.given = true; /* as soon as it is ours */
		stop_ourselves(0);
	}
	go_on(r);
}

static void look_for_stops(struct runner *r)
{
	siginfo_t info = {.si_pid = 0};

	if (waitid(P_PID, (id_t)r->group, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid)
		command_stopped(r, info.si_status);
}

/* ---- signals ---- */

static void take_signal(struct runner *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGCHLD) {
		look_for_stops(r);
	} else if (info.ssi_signo == SIGCONT) {
		go_on(r);
	} else if (info.ssi_signo == SIGTSTP) {
		kill(-r->group, SIGTSTP);
		stop_ourselves(getpid());
		go_on(r);
	} else {
		kill(-r->group, (int)info.ssi_signo);
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP)
			kill(-r->group, SIGCONT); /* stopped, it would not take notice */
	}
}

/* SIGPIPE and SIGTTOU are not read: writing and tcsetpgrp give errors instead. */
static int block_signals(struct runner *r)
{
	sigset_t block, take;

	sigemptyset(&take);
	for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
		sigaddset(&take, forwarded[i]);
	sigaddset(&take, SIGCHLD);
	sigaddset(&take, SIGTSTP);
	sigaddset(&take, SIGCONT);
	block = take;
	sigaddset(&block, SIGTTOU);
	sigaddset(&block, SIGPIPE);
	sigprocmask(SIG_BLOCK, &block, &r->before);
	r->signals = signalfd(-1, &take, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -1 : 0;
}

/* ---- watching ---- */

/* The guard was killed, by on_loss=kill perhaps: nobody keeps the lock. */
static void guard_is_gone(struct runner *r)
{
	kill(-r->group, SIGKILL);
	if (!r->lost && !r->done)
		tool_complain("run", "%s: who kept the lock was killed: the command is killed", r->path);
	r->lost = r->done = true;
	close(r->guard);
	r->guard = -1;
}

static void hear_guard(struct runner *r)
{
	char word;

	if (recv(r->guard, &word, 1, 0) != 1) {
		guard_is_gone(r);
		return;
	}
	if (word == RUN_WORD_READY)
		let_go(r);
	if (word == RUN_WORD_LOST && !r->lost) {
		r->lost = true;
		tool_complain("run", "%s: the lock is lost: the command is stopped", r->path);
	}
	r->done = word == RUN_WORD_DONE;
}

static bool has_ended(const struct runner *r)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)r->group, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

static void watch(struct runner *r)
{
	struct pollfd files[2] = {{.events = POLLIN}, {.events = POLLIN}};
	int count;

	while (!has_ended(r)) {
		files[0].fd = r->signals;
		files[1].fd = r->guard;
		count = poll(files, 2, run_terminal_is_missed(&r->terminal) ? TERMINAL_MS : -1);
		if (count == 0)
			run_terminal_give(&r->terminal);
		if (count <= 0)
			continue;
		if (files[0].revents)
			take_signal(r);
		if (files[1].revents)
			hear_guard(r);
	}
}

/* The lock is free when we end, or, when it is lost, all that the command left running is dead. The command remains a
 * zombie until then, so that the number of its group is nobody else's. */
static void end_guard(struct runner *r)
{
	struct pollfd file = {.events = POLLIN, .fd = r->guard};
	char word = RUN_WORD_ENDED;

	if (r->guard >= 0)
		send(r->guard, &word, 1, MSG_NOSIGNAL);
	while (!r->done && poll(&file, 1, LAST_WORD_MS) > 0)
		hear_guard(r);
}

static int status_of(const struct runner *r)
{
	int status = 0, code;

	if (waitpid(r->group, &status, 0) < 0)
		return RUN_STATUS_TROUBLE;
	code = WIFSIGNALED(status) ? RUN_STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
	return r->lost && code == 0 ? RUN_STATUS_TROUBLE : code;
}

int run_command(int fd, const char *path, char **argv)
{
	struct runner r = {.path = path, .guard = -1, .go = -1};
	bool give;

	run_terminal_open(&r.terminal, &give);
	if (block_signals(&r) < 0 || start_command(&r, fd, give, argv) < 0 || start_guard(&r, fd) < 0) {
		tool_complain("run", "%s", strerror(errno));
		return RUN_STATUS_TROUBLE; /* a command that waits to be let go ends with us */
	}
	close(fd);
	watch(&r);
	end_guard(&r);
	run_terminal_take(&r.terminal);
	return status_of(&r);
}
