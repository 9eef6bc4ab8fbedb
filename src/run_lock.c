/* Taking the lock: as flock(1) does, so that both can be used on one file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "coordfs/coordfs.h"
#include "run.h"
#include "tool.h"

static int trouble(const char *path, const char *why)
{
	tool_complain("run", "%s: %s", path, why);
	return RUN_STATUS_TROUBLE;
}

static int open_file(const char *path, int *fd)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (*fd < 0)
		return trouble(path, strerror(errno));
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	close(*fd);
	*fd = -1;
	return trouble(path, "it is no regular file");
}

/* ---- waiting, for some time ---- */

static void on_alarm(int number)
{
	(void)number;
}

/* It rings again and again: the first time may be before the call that it is to end. */
static void set_alarm(int64_t after_ms)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval timer = {.it_interval = {.tv_usec = after_ms ? 20000 : 0}};

	timer.it_value.tv_sec = after_ms / 1000;
	timer.it_value.tv_usec = after_ms % 1000 * 1000;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A signal that does not end us, SIGCONT for example, ends the call: then it is made again. */
static int lock_until(int fd, int operation, uint64_t deadline_ms)
{
	while (flock(fd, operation) < 0) {
		if (errno != EINTR)
			return -1;
		if (run_now_ms() >= deadline_ms) {
			errno = EWOULDBLOCK;
			return -1;
		}
	}
	return 0;
}

static int lock_file(int fd, const struct run_request *request)
{
	int operation = request->shared ? LOCK_SH : LOCK_EX, rc, error;

	if (request->wait_ms == 0)
		return lock_until(fd, operation | LOCK_NB, UINT64_MAX);
	if (request->wait_ms == RUN_WAIT_FOREVER)
		return lock_until(fd, operation, UINT64_MAX);
	set_alarm(request->wait_ms);
	rc = lock_until(fd, operation, run_now_ms() + (uint64_t)request->wait_ms);
	error = errno;
	set_alarm(0);
	errno = error;
	return rc;
}

int run_lock_take(const struct run_request *request, int *fd)
{
	int status = open_file(request->path, fd);

	if (status)
		return status;
	if (lock_file(*fd, request) == 0)
		return 0;
	status = errno == EWOULDBLOCK ? request->conflict_status : trouble(request->path, strerror(errno));
	close(*fd);
	*fd = -1;
	return status;
}

/* ---- what the command is told ---- */

int run_lock_export(int fd, const char *path)
{
	struct coordfs_lease lease;
	char token[24], revision[24];
	ssize_t size;

	if (ioctl(fd, COORDFS_IOC_LEASE, &lease) < 0)
		return trouble(path, errno == ENOTTY   ? "it is not below a coordfs mount of this version"
				     : errno == ESTALE ? "the lock is lost already"
						       : strerror(errno));
	size = fgetxattr(fd, COORDFS_XATTR_REVISION, revision, sizeof revision - 1);
	if (size < 0)
		return trouble(path, strerror(errno));
	revision[size] = '\0';
	snprintf(token, sizeof token, "%" PRIu64, lease.token);
	if (setenv("COORDFS_TOKEN", token, 1) < 0 || setenv("COORDFS_REVISION", revision, 1) < 0)
		return trouble(path, strerror(errno));
	return 0;
}
