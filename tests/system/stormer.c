/* A crowd that gives up: for storm.sh.
 *
 *     stormer FILE COUNT SECONDS [SEED]
 *
 * COUNT processes want a lock on FILE, and no longer want it about when they get it: an alarm interrupts the call, or a
 * SIGINT or SIGKILL ends the process that waits. When that happens is drawn around the time that it takes to be granted
 * the lock, which each learns as it goes. At the end: how often they had it, and how often they gave up. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_US_MIN 200.0
#define WAIT_US_MAX 500000.0

struct counts {
	unsigned long granted, interrupted, killed, errors;
};

static struct counts *counts; /* shared by all */
static const char *path;
static double wait_us = 2000; /* how long it takes to be granted */

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void count(unsigned long *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static unsigned about_the_grant_us(void)
{
	return (unsigned)(wait_us * (0.2 + 1.6 * rand() / RAND_MAX)) + 1;
}

/* A wait that was given up tells that it would have been longer. */
static void learn(double took_us, bool granted)
{
	wait_us = granted ? wait_us * 0.8 + took_us * 0.2 : wait_us * 1.1;
	if (wait_us < WAIT_US_MIN)
		wait_us = WAIT_US_MIN;
	if (wait_us > WAIT_US_MAX)
		wait_us = WAIT_US_MAX;
}

static int lock(int fd, bool range)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return range ? fcntl(fd, F_SETLKW, &all) : flock(fd, LOCK_EX);
}

static void set_alarm_us(unsigned us)
{
	struct itimerval timer = {.it_value = {us / 1000000, us % 1000000}};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Half of them unlock, half only close. alarm_us 0: no alarm. */
static void lock_once(bool range, unsigned alarm_us)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	double begun_us = now_us();

	if (fd < 0) {
		count(&counts->errors);
		return;
	}
	set_alarm_us(alarm_us);
	if (lock(fd, range) == 0) {
		set_alarm_us(0);
		learn(now_us() - begun_us, true);
		count(&counts->granted);
		if (!range && rand() % 2)
			flock(fd, LOCK_UN);
	} else {
		learn(0, false);
		count(errno == EINTR ? &counts->interrupted : &counts->errors);
	}
	set_alarm_us(0);
	close(fd);
}

static void with_a_death(int number)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		lock_once(false, 0);
		_exit(0);
	}
	usleep(about_the_grant_us());
	kill(child, number);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		count(&counts->killed);
	learn(wait_us, !WIFSIGNALED(status));
}

static void on_alarm(int number)
{
	(void)number;
}

static _Noreturn void storm(double until_us)
{
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	while (now_us() < until_us) {
		switch (rand() % 6) {
		case 0:
			with_a_death(SIGINT);
			break;
		case 1:
			with_a_death(SIGKILL);
			break;
		case 2:
		case 3:
			lock_once(true, about_the_grant_us());
			break;
		default:
			lock_once(false, about_the_grant_us());
		}
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
	double until_us;

	if (argc < 4)
		return 2;
	path = argv[1];
	until_us = now_us() + atof(argv[3]) * 1e6;
	signal(SIGINT, SIG_DFL);
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return 2;
	for (int i = 0; i < atoi(argv[2]); i++) {
		srand(seed * 1000 + (unsigned)i);
		if (fork() == 0)
			storm(until_us);
	}
	while (wait(NULL) > 0)
		continue;
	printf("granted=%lu interrupted=%lu killed=%lu errors=%lu\n", counts->granted, counts->interrupted, counts->killed,
	       counts->errors);
	return 0;
}
