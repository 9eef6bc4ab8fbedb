#include "front/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int refuse(char *error, size_t error_size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *error, size_t error_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, error_size, format, ap);
	va_end(ap);
	return -1;
}

/* An unprivileged user's way to umount(2). */
static void unmount_helped(const char *path)
{
	char *argv[] = {(char[]){"fusermount3"}, (char[]){"-u"}, (char[]){"-z"}, (char[]){"-q"}, (char[]){"--"},
			(char *)(uintptr_t)path, NULL};
	pid_t pid;

	if (posix_spawnp(&pid, "fusermount3", NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

/* A daemon that was killed leaves its mount behind; every access to it gives ENOTCONN. */
static void unmount_dead(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
		unmount_helped(path);
}

/* The type of what is mounted there; false: nothing is. */
static bool mounted_type(const char *path, char *type, size_t type_size)
{
	FILE *table = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;
	bool found = false;

	if (!table)
		return false;
	while ((entry = getmntent(table))) {
		if (strcmp(entry->mnt_dir, path) != 0)
			continue;
		snprintf(type, type_size, "%s", entry->mnt_type);
		found = true;
	}
	endmntent(table);
	return found;
}

static int check_not_mounted(const char *path, char *error, size_t error_size)
{
	char type[64];

	if (!mounted_type(path, type, sizeof type))
		return 0;
	if (strcmp(type, "fuse.coordfs") == 0)
		return refuse(error, error_size, "%s: a coordfs is mounted there already: umount it first", path);
	return refuse(error, error_size, "%s: a file system (%s) is mounted there: choose another directory", path,
		      type);
}

static int check_empty(const char *path, char *error, size_t error_size)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int code = 0;

	if (!dir)
		return refuse(error, error_size, "%s: %s", path, strerror(errno));
	while (code == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			code = refuse(error, error_size,
				      "%s: the mount point is not empty: its files would be hidden; use an empty "
				      "directory",
				      path);
	closedir(dir);
	return code;
}

int mountpoint_check(const char *path, char *error, size_t error_size)
{
	struct stat st;
	int code = stat(path, &st);

	if (code != 0 && (errno == ENOTCONN || errno == ECONNABORTED)) {
		unmount_dead(path);
		code = stat(path, &st);
	}
	if (code != 0 && errno == ENOENT)
		return refuse(error, error_size, "%s: the mount point does not exist: mkdir -p it first", path);
	if (code != 0)
		return refuse(error, error_size, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return refuse(error, error_size, "%s: the mount point is not a directory", path);
	if (check_not_mounted(path, error, error_size) < 0)
		return -1;
	return check_empty(path, error, error_size);
}
