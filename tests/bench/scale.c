#include "scale.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARKED_EVERY 997 /* each such counter is set to its own number */

extern char **environ;

static int complain(const char *path)
{
	fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	return -1;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- fill ------------------------------------------------------------------------------------------------------- */

/* Neighbours in number lie in different directories, so that clients seldom wait for each other's directory. */
static void counter_path(const struct fill *fill, uint64_t i, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/d%u/counter-%llu", fill->base, (unsigned int)(i % fill->dir_count),
		 (unsigned long long)i);
}

static uint64_t total_count(const struct fill *fill)
{
	return (uint64_t)fill->dir_count * fill->per_dir;
}

static int counter_make(const struct fill *fill, uint64_t i)
{
	char path[PATH_MAX], text[32];
	int fd, length, result = 0;

	counter_path(fill, i, path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return complain(path);
	if (i % MARKED_EVERY == 0) {
		length = snprintf(text, sizeof text, "=%llu\n", (unsigned long long)i);
		if (write(fd, text, (size_t)length) != length)
			result = complain(path);
	}
	return close(fd) == 0 ? result : complain(path);
}

static _Noreturn void fill_client(const struct fill *fill, unsigned int id)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = id; i < total_count(fill); i += fill->clients)
		if (counter_make(fill, i) != 0)
			_exit(1);
	_exit(0);
}

static int make_directories(const struct fill *fill)
{
	char path[PATH_MAX];

	if (mkdir(fill->base, 0777) != 0)
		return complain(fill->base);
	for (unsigned int i = 0; i < fill->dir_count; i++) {
		snprintf(path, sizeof path, "%s/d%u", fill->base, i);
		if (mkdir(path, 0777) != 0)
			return complain(path);
	}
	return 0;
}

/* Waits for all children of this process; it has no others. */
static int wait_for_all(void)
{
	int status, result = 0;

	while (wait(&status) > 0)
		if (status != 0)
			result = -1;
	return result;
}

int fill_make(const struct fill *fill, double *seconds)
{
	double begin_s = now_s();
	int result = make_directories(fill);
	pid_t pid;

	fflush(stdout);
	for (unsigned int id = 0; result == 0 && id < fill->clients; id++) {
		pid = fork();
		if (pid == 0)
			fill_client(fill, id);
		if (pid < 0)
			result = complain("fork");
	}
	if (wait_for_all() != 0)
		result = -1;
	*seconds = now_s() - begin_s;
	return result;
}

/* ---- verify ----------------------------------------------------------------------------------------------------- */

static int verify_value(const struct fill *fill, uint64_t i)
{
	char path[PATH_MAX], text[32] = "", want[32];
	ssize_t length;
	int fd;

	counter_path(fill, i, path);
	snprintf(want, sizeof want, "%llu\n", i % MARKED_EVERY == 0 ? (unsigned long long)i : 0ULL);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(path);
	length = read(fd, text, sizeof text - 1);
	close(fd);
	if (length < 0)
		return complain(path);
	if (strcmp(text, want) == 0)
		return 0;
	fprintf(stderr, "bench: %s holds '%s', should be '%s'\n", path, text, want);
	return -1;
}

/* The name has a number that belongs into that directory, and was not listed before. */
static int verify_name(const struct fill *fill, unsigned int dir, const char *name, unsigned char *seen)
{
	unsigned long long i;
	char after;

	if (sscanf(name, "counter-%llu%c", &i, &after) != 1 || i >= total_count(fill) || i % fill->dir_count != dir ||
	    seen[i / fill->dir_count]++) {
		fprintf(stderr, "bench: %s/d%u/%s should not be listed, or not twice\n", fill->base, dir, name);
		return -1;
	}
	return 0;
}

static int verify_names(const struct fill *fill, unsigned int dir, DIR *stream, unsigned char *seen)
{
	unsigned int count = 0;
	struct dirent *entry;

	while ((entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (verify_name(fill, dir, entry->d_name, seen) != 0)
			return -1;
		count++;
	}
	if (count == fill->per_dir)
		return 0;
	fprintf(stderr, "bench: %s/d%u lists %u names, should be %u\n", fill->base, dir, count, fill->per_dir);
	return -1;
}

static int verify_directory(const struct fill *fill, unsigned int dir)
{
	unsigned char *seen = calloc(fill->per_dir, 1);
	char path[PATH_MAX];
	int result = -1;
	DIR *stream;

	snprintf(path, sizeof path, "%s/d%u", fill->base, dir);
	stream = opendir(path);
	if (!stream || !seen)
		complain(path);
	else
		result = verify_names(fill, dir, stream, seen);
	if (stream)
		closedir(stream);
	free(seen);
	return result;
}

int fill_verify(const struct fill *fill)
{
	for (unsigned int dir = 0; dir < fill->dir_count; dir++)
		if (verify_directory(fill, dir) != 0)
			return -1;
	for (uint64_t i = 0; i < total_count(fill); i += MARKED_EVERY)
		if (verify_value(fill, i) != 0 || (i + 1 < total_count(fill) && verify_value(fill, i + 1) != 0))
			return -1;
	return 0;
}

/* ---- ls --------------------------------------------------------------------------------------------------------- */

static int lines_read(int fd, uint64_t *count)
{
	static const size_t size_bytes = 65536;
	char *bytes = malloc(size_bytes);
	ssize_t length = -1;

	*count = 0;
	while (bytes && (length = read(fd, bytes, size_bytes)) > 0)
		for (ssize_t i = 0; i < length; i++)
			*count += bytes[i] == '\n';
	free(bytes);
	return length == 0 ? 0 : -1;
}

static int ls_spawn(const char *dir, int output, pid_t *pid)
{
	char *arguments[] = { "ls", "--", (char *)dir, NULL };
	posix_spawn_file_actions_t actions;
	int error;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	error = posix_spawnp(pid, "ls", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	errno = error;
	return error ? -1 : 0;
}

int ls_run(const char *dir, double *seconds, uint64_t *line_count)
{
	double begin_s = now_s();
	int pipes[2], status = 0, result;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return complain("pipe");
	result = ls_spawn(dir, pipes[1], &pid);
	close(pipes[1]);
	if (result == 0) {
		result = lines_read(pipes[0], line_count);
		if (waitpid(pid, &status, 0) < 0 || status != 0)
			result = -1;
	}
	close(pipes[0]);
	*seconds = now_s() - begin_s;
	return result == 0 ? 0 : complain(dir);
}
