/* coordfs run, in its parts. Room: main. No other room is needed: what is known of the lock comes from the mount, by
 * flock(2), poll(2) and the ioctl of coordfs/coordfs.h, as it would to any program.
 *
 *     runner ── command        its parent; in a process group of its own
 *        └───── guard          keeps the lock, and stops that group
 *                  └─ holder   asks the mount
 *
 * Any call to a mount may hang for as long as its daemon likes, and cannot be killed meanwhile: so none but the holder
 * makes calls to it as long as the command runs. The guard knows from the holder until when the lock is sure; when that
 * moment comes without better news it stops the group, whatever the reason for the silence. It is told so by the end of a
 * socket when the runner dies; and the runner is when the guard does. The lock is released when nobody has the open file
 * any more: guard and holder have it, the command has not. */
#ifndef COORDFS_RUN_H
#define COORDFS_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Exit statuses of our own, as env(1) and timeout(1) have them. */
#define RUN_STATUS_TROUBLE 125 /* no lock for another reason than a conflict; or it was lost, and the command gave 0 */
#define RUN_STATUS_CANNOT_EXECUTE 126
#define RUN_STATUS_NO_COMMAND 127
#define RUN_STATUS_SIGNAL 128 /* and its number */

/* Of the clock that goes on while the machine is suspended, in milliseconds. */
static inline uint64_t run_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- run_lock.c ---- */

#define RUN_WAIT_FOREVER (-1)

struct run_request {
	const char *path;
	bool shared;
	int64_t wait_ms;     /* 0: not at all; RUN_WAIT_FOREVER */
	int conflict_status; /* what to return when it is held by another for so long */
};

/* Open (and make) the file and lock it. *fd: the caller's, close-on-exec; -1 unless it is locked. Returns 0, or the exit
 * status, and has said why. */
int run_lock_take(const struct run_request *request, int *fd);

/* COORDFS_TOKEN and COORDFS_REVISION of that lock into the environment. Returns 0, or the exit status, and has said why. */
int run_lock_export(int fd, const char *path);

/* ---- run_holder.c ---- */

/* One at a time, through a pipe. */
struct run_news {
	bool lost; /* nothing else counts */
	uint64_t until_ms; /* by run_now_ms: the lock is sure, unless it is broken; UINT64_MAX: for ever */
	uint64_t margin_ms; /* for so much longer nobody else is given it */
};

/* Tell how things are with the lock of fd, until it is lost or nobody listens at out. */
_Noreturn void run_holder(int fd, int out);

/* ---- run_guard.c ---- */

enum run_word {
	RUN_WORD_READY = 'R', /* to the runner: it watches; the command may start */
	RUN_WORD_ENDED = 'E', /* from the runner: the command ended, and is still a zombie */
	RUN_WORD_LOST = 'L',  /* to the runner: the lock is lost, or no news of it came in time: the group is being stopped */
	RUN_WORD_DONE = 'D',  /* to the runner: the last word: the lock is released, or the group killed */
};

/* With the lock of fd, and a socket to the runner, look after a process group. Both are the caller's no more. */
_Noreturn void run_guard(int fd, int runner, pid_t group);

/* ---- run_terminal.c ---- */

struct run_terminal {
	int fd;	     /* of the controlling terminal; -1: there is none */
	pid_t group; /* the command's */
	bool given;  /* the group is, or was until it stopped, in the foreground */
};

/* Is there a terminal, and are we to give it away at once? That is so when input and output are the terminal and we are
 * in its foreground; else another of our group (a pager, say) may be the one who reads from it. */
void run_terminal_open(struct run_terminal *t, bool *give);
/* The group gets it, if it is ours to give. SIGTTOU must be blocked. False: it is not. */
bool run_terminal_give(struct run_terminal *t);
/* Had the group it, and has it not now? Nobody says when it is ours again: a shell sends no signal to a job that runs in
 * the background when it brings it to the foreground. */
bool run_terminal_is_missed(const struct run_terminal *t);
void run_terminal_take(struct run_terminal *t); /* back, if the group has it */

/* ---- run_command.c ---- */

/* Run it, and watch. fd: the lock; it is taken. Returns the exit status. */
int run_command(int fd, const char *path, char **argv);

#endif
