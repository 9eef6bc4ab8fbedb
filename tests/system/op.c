/* op: system calls from the command line, with errno by name. The shell cannot ask for O_EXCL|O_NOFOLLOW, a
 * byte-range lock, or renameat2, and its words for an error are not its errno.
 *
 *     op open O_RDWR f : write '+1\n' : read     prints the last call's result, `1\n`
 *     op mkdir f                                 prints EEXIST, exit status 1
 *     op -i                                      commands from stdin, a line each; a line of result for each
 *
 * Commands are separated by `:`; the first one that fails ends it. Text may hold C's escapes (\n \t \\ \0 \xHH),
 * and so does what is printed. `open` numbers its files 0, 1, 2 …; calls without a path work on the file that
 * was opened or `use`d last. In interactive mode a test holds locks in one process and asks for them in another. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "coordfs/coordfs.h"

#define FILES_MAX 4096
#define WORDS_MAX 4096

struct op {
	int fds[FILES_MAX];
	int files, current; /* index into fds */
	char *map;
	size_t map_size;
	char *out; /* what the last command printed; owned */
};

/* ---- text ---- */

static void fail_usage(const char *what)
{
	fprintf(stderr, "op: %s\n", what);
	exit(2);
}

static void *must(void *p)
{
	if (!p)
		fail_usage("out of memory");
	return p;
}

/* Undo C's escapes; *size is the length, for the text may hold NUL. Owned by the caller. */
static char *unescape(const char *text, size_t *size)
{
	char *out = must(malloc(strlen(text) + 1)), *to = out;

	for (const char *p = text; *p; p++) {
		if (*p != '\\' || !p[1]) {
			*to++ = *p;
			continue;
		}
		switch (*++p) {
		case 'n': *to++ = '\n'; break;
		case 't': *to++ = '\t'; break;
		case 'r': *to++ = '\r'; break;
		case 's': *to++ = ' '; break;
		case '0': *to++ = '\0'; break;
		case 'x': {
			char hex[3] = {p[1], p[1] ? p[2] : 0, 0};
			*to++ = (char)strtoul(hex, NULL, 16);
			p += strlen(hex);
			break;
		}
		default: *to++ = *p;
		}
	}
	*to = '\0';
	*size = (size_t)(to - out);
	return out;
}

static char *unescape_path(const char *text)
{
	size_t size;

	return unescape(text, &size);
}

static void print_text(struct op *op, const char *data, size_t size)
{
	char *out = must(malloc(size * 4 + 1)), *to = out;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n')
			to += sprintf(to, "\\n");
		else if (c == '\\')
			to += sprintf(to, "\\\\");
		else if (c < 32 || c > 126)
			to += sprintf(to, "\\x%02x", c);
		else
			*to++ = (char)c;
	}
	*to = '\0';
	free(op->out);
	op->out = out;
}

__attribute__((format(printf, 2, 3))) static void print(struct op *op, const char *format, ...)
{
	va_list args;

	free(op->out);
	va_start(args, format);
	if (vasprintf(&op->out, format, args) < 0)
		fail_usage("out of memory");
	va_end(args);
}

struct word {
	const char *name;
	long value;
};
#define W(x) {#x, x}
static const struct word words[] = {
	W(O_RDONLY), W(O_WRONLY), W(O_RDWR), W(O_CREAT), W(O_EXCL), W(O_TRUNC), W(O_APPEND), W(O_NOFOLLOW),
	W(O_DIRECTORY), W(O_DIRECT), W(O_SYNC), W(O_DSYNC), W(O_NONBLOCK), W(O_PATH), W(O_TMPFILE), W(O_CLOEXEC),
	W(POLLIN), W(POLLOUT), W(POLLERR), W(POLLHUP), W(POLLPRI), W(POLLRDHUP),
	{"sh", LOCK_SH}, {"ex", LOCK_EX}, {"un", LOCK_UN}, {"nb", LOCK_NB},
	{"noreplace", RENAME_NOREPLACE}, {"exchange", RENAME_EXCHANGE}, {"whiteout", RENAME_WHITEOUT},
	{"create", XATTR_CREATE}, {"replace", XATTR_REPLACE},
};

/* `O_RDWR|O_CREAT`, `ex|nb`, or a number. */
static long flags_of(const char *text)
{
	char copy[200], *save, *end;
	long all = 0;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *name = strtok_r(copy, "|", &save); name; name = strtok_r(NULL, "|", &save)) {
		size_t i = 0;

		while (i < sizeof words / sizeof *words && strcmp(words[i].name, name) != 0)
			i++;
		if (i < sizeof words / sizeof *words) {
			all |= words[i].value;
			continue;
		}
		all |= strtol(name, &end, 0);
		if (*end || end == name)
			fail_usage(name);
	}
	return all;
}

static long long number(const char *text)
{
	char *end;
	long long value = strtoll(text, &end, 0);

	if (*end || end == text)
		fail_usage(text);
	return value;
}

/* ---- files ---- */

static int fd_of(const struct op *op)
{
	return op->files ? op->fds[op->current] : -1;
}

static int op_open(struct op *op, int argc, char **argv)
{
	char *path = unescape_path(argv[2]);
	mode_t mode = argc > 3 ? (mode_t)strtoul(argv[3], NULL, 8) : 0666;
	int fd = open(path, (int)flags_of(argv[1]), mode);

	free(path);
	if (fd < 0)
		return -1;
	if (op->files == FILES_MAX)
		fail_usage("too many files");
	op->current = op->files++;
	op->fds[op->current] = fd;
	print(op, "%d", op->current);
	return 0;
}

static int op_use(struct op *op, int argc, char **argv)
{
	(void)argc;
	op->current = (int)number(argv[1]);
	if (op->current < 0 || op->current >= op->files)
		fail_usage("no such file");
	return 0;
}

static int op_dup(struct op *op, int argc, char **argv)
{
	int fd = dup(fd_of(op));

	(void)argc, (void)argv;
	if (fd < 0)
		return -1;
	op->current = op->files++;
	op->fds[op->current] = fd;
	print(op, "%d", op->current);
	return 0;
}

static int op_close(struct op *op, int argc, char **argv)
{
	(void)argc, (void)argv;
	return close(fd_of(op));
}

static int read_at(struct op *op, size_t size, off_t offset, bool has_offset)
{
	char *buffer = must(malloc(size ? size : 1));
	ssize_t got = has_offset ? pread(fd_of(op), buffer, size, offset) : read(fd_of(op), buffer, size);

	if (got >= 0)
		print_text(op, buffer, (size_t)got);
	free(buffer);
	return got < 0 ? -1 : 0;
}

static int op_read(struct op *op, int argc, char **argv)
{
	return read_at(op, argc > 1 ? (size_t)number(argv[1]) : 65536, 0, false);
}

static int op_pread(struct op *op, int argc, char **argv)
{
	return read_at(op, argc > 2 ? (size_t)number(argv[2]) : 65536, number(argv[1]), true);
}

static int write_result(struct op *op, ssize_t done)
{
	if (done < 0)
		return -1;
	print(op, "%zd", done);
	return 0;
}

static int op_write(struct op *op, int argc, char **argv)
{
	size_t size;
	char *text = unescape(argv[1], &size);
	ssize_t done = write(fd_of(op), text, size);

	(void)argc;
	free(text);
	return write_result(op, done);
}

static int op_pwrite(struct op *op, int argc, char **argv)
{
	size_t size;
	char *text = unescape(argv[2], &size);
	ssize_t done = pwrite(fd_of(op), text, size, number(argv[1]));

	(void)argc;
	free(text);
	return write_result(op, done);
}

/* fill SIZE [CHARACTER]: one write of that many bytes */
static int op_fill(struct op *op, int argc, char **argv)
{
	size_t size = (size_t)number(argv[1]);
	char *text = must(malloc(size ? size : 1));
	ssize_t done;

	memset(text, argc > 2 ? argv[2][0] : 'x', size);
	done = write(fd_of(op), text, size);
	free(text);
	return write_result(op, done);
}

static int op_lseek(struct op *op, int argc, char **argv)
{
	off_t at = lseek(fd_of(op), number(argv[1]), argc > 2 && !strcmp(argv[2], "end") ? SEEK_END : SEEK_SET);

	if (at < 0)
		return -1;
	print(op, "%lld", (long long)at);
	return 0;
}

static int op_ftruncate(struct op *op, int argc, char **argv)
{
	(void)argc;
	return ftruncate(fd_of(op), number(argv[1]));
}

static int op_fallocate(struct op *op, int argc, char **argv)
{
	(void)argc;
	return fallocate(fd_of(op), 0, number(argv[1]), number(argv[2]));
}

static int op_fsync(struct op *op, int argc, char **argv)
{
	(void)argc, (void)argv;
	return fsync(fd_of(op));
}

static int op_size(struct op *op, int argc, char **argv)
{
	struct stat st;

	(void)argc, (void)argv;
	if (fstat(fd_of(op), &st) < 0)
		return -1;
	print(op, "%lld", (long long)st.st_size);
	return 0;
}

/* ---- memory ---- */

static int op_map(struct op *op, int argc, char **argv)
{
	int kind = strcmp(argv[1], "shared") == 0 ? MAP_SHARED : MAP_PRIVATE;
	int protection = argc > 3 && strcmp(argv[3], "ro") == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
	void *map;

	op->map_size = (size_t)number(argv[2]);
	map = mmap(NULL, op->map_size, protection, kind, fd_of(op), 0);
	if (map == MAP_FAILED)
		return -1;
	op->map = map;
	return 0;
}

static int op_peek(struct op *op, int argc, char **argv)
{
	(void)argc;
	print_text(op, op->map + number(argv[1]), (size_t)number(argv[2]));
	return 0;
}

static int op_poke(struct op *op, int argc, char **argv)
{
	size_t size;
	char *text = unescape(argv[2], &size);

	(void)argc;
	memcpy(op->map + number(argv[1]), text, size);
	free(text);
	return 0;
}

static int op_msync(struct op *op, int argc, char **argv)
{
	(void)argc, (void)argv;
	return msync(op->map, op->map_size, MS_SYNC);
}

static int op_unmap(struct op *op, int argc, char **argv)
{
	(void)argc, (void)argv;
	return munmap(op->map, op->map_size);
}

/* ---- locks ---- */

static int op_flock(struct op *op, int argc, char **argv)
{
	(void)argc;
	return flock(fd_of(op), (int)flags_of(argv[1]));
}

static struct flock range_of(char **argv)
{
	short type = *argv[1] == 'r' ? F_RDLCK : *argv[1] == 'w' ? F_WRLCK : F_UNLCK;

	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = number(argv[2]), .l_len = number(argv[3])};
}

/* lock|lockw|ofdlock|ofdlockw r|w|u START LENGTH */
static int op_lock(struct op *op, int argc, char **argv)
{
	static const struct word commands[] = {
		{"lock", F_SETLK}, {"lockw", F_SETLKW}, {"ofdlock", F_OFD_SETLK}, {"ofdlockw", F_OFD_SETLKW}};
	struct flock range = range_of(argv);
	size_t i = 0;

	(void)argc;
	while (strcmp(commands[i].name, argv[0]) != 0)
		i++;
	return fcntl(fd_of(op), (int)commands[i].value, &range);
}

/* getlk|ofdgetlk r|w START LENGTH: `free`, or who is in the way: `w 0 10 PID` */
static int op_getlk(struct op *op, int argc, char **argv)
{
	struct flock range = range_of(argv);

	(void)argc;
	if (fcntl(fd_of(op), *argv[0] == 'o' ? F_OFD_GETLK : F_GETLK, &range) < 0)
		return -1;
	if (range.l_type == F_UNLCK)
		print(op, "free");
	else
		print(op, "%c %lld %lld %d", range.l_type == F_RDLCK ? 'r' : 'w', (long long)range.l_start,
		      (long long)range.l_len, (int)range.l_pid);
	return 0;
}

/* ---- names ---- */

typedef int (*path_call)(const char *path);
typedef int (*two_path_call)(const char *from, const char *to);

static int on_path(path_call call, const char *text)
{
	char *path = unescape_path(text);
	int result = call(path);

	free(path);
	return result;
}

static int on_paths(two_path_call call, char **argv)
{
	char *from = unescape_path(argv[1]), *to = unescape_path(argv[2]);
	int result = call(from, to);

	free(from);
	free(to);
	return result;
}

static int op_rmdir(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return on_path(rmdir, argv[1]);
}

static int op_unlink(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return on_path(unlink, argv[1]);
}

static int op_link(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return on_paths(link, argv);
}

static int op_symlink(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return on_paths(symlink, argv);
}

static int op_mkdir(struct op *op, int argc, char **argv)
{
	char *path = unescape_path(argv[1]);
	int result = mkdir(path, argc > 2 ? (mode_t)strtoul(argv[2], NULL, 8) : 0777);

	(void)op;
	free(path);
	return result;
}

/* mknod PATH reg|fifo|socket|char */
static int op_mknod(struct op *op, int argc, char **argv)
{
	mode_t type = *argv[2] == 'f' ? S_IFIFO : *argv[2] == 's' ? S_IFSOCK : *argv[2] == 'c' ? S_IFCHR : S_IFREG;

	(void)op, (void)argc;
	return mknod(argv[1], type | 0666, 0);
}

/* many DIR FROM TO: makes the files DIR/FROM … DIR/TO */
static int op_many(struct op *op, int argc, char **argv)
{
	int dir = open(argv[1], O_RDONLY | O_DIRECTORY), result = dir < 0 ? -1 : 0;
	char name[32];

	(void)op, (void)argc;
	for (long long i = number(argv[2]); i <= number(argv[3]) && result == 0; i++) {
		snprintf(name, sizeof name, "%lld", i);
		result = mknodat(dir, name, S_IFREG | 0666, 0);
	}
	if (dir >= 0)
		close(dir);
	return result;
}

/* rename FROM TO [noreplace|exchange|whiteout|NUMBER] */
static int op_rename(struct op *op, int argc, char **argv)
{
	char *from = unescape_path(argv[1]), *to = unescape_path(argv[2]);
	int result = argc > 3 ? renameat2(AT_FDCWD, from, AT_FDCWD, to, (unsigned)flags_of(argv[3])) : rename(from, to);

	(void)op;
	free(from);
	free(to);
	return result;
}

static int op_readlink(struct op *op, int argc, char **argv)
{
	char target[8192];
	ssize_t size = readlink(argv[1], target, sizeof target);

	(void)argc;
	if (size < 0)
		return -1;
	print_text(op, target, (size_t)size);
	return 0;
}

static int op_truncate(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return truncate(argv[1], number(argv[2]));
}

static int op_chmod(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return chmod(argv[1], (mode_t)strtoul(argv[2], NULL, 8));
}

static int op_chown(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return lchown(argv[1], (uid_t)number(argv[2]), (gid_t)number(argv[3]));
}

/* stat PATH: `TYPE MODE LINKS UID GID SIZE` */
static int op_stat(struct op *op, int argc, char **argv)
{
	char *path = unescape_path(argv[1]);
	struct stat st;
	int result = lstat(path, &st);

	(void)argc;
	free(path);
	if (result < 0)
		return -1;
	print(op, "%c %04o %lu %u %u %lld",
	      S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : S_ISREG(st.st_mode) ? 'f' : '?',
	      (unsigned)st.st_mode & 07777, (unsigned long)st.st_nlink, st.st_uid, st.st_gid, (long long)st.st_size);
	return 0;
}

/* ls PATH: how many names, `.` and `..` not counted, each only once */
static int op_ls(struct op *op, int argc, char **argv)
{
	DIR *dir = opendir(argv[1]);
	long count = 0;

	(void)argc;
	if (!dir)
		return -1;
	errno = 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	if (errno)
		return -1;
	print(op, "%ld", count);
	return 0;
}

/* ---- extended attributes ---- */

static int op_setxattr(struct op *op, int argc, char **argv)
{
	size_t size;
	char *value = unescape(argv[3], &size);
	int result = lsetxattr(argv[1], argv[2], value, size, argc > 4 ? (int)flags_of(argv[4]) : 0);

	(void)op;
	free(value);
	return result;
}

static int print_xattr(struct op *op, ssize_t size, const char *value)
{
	if (size < 0)
		return -1;
	print_text(op, value, (size_t)size);
	return 0;
}

static int op_getxattr(struct op *op, int argc, char **argv)
{
	char value[65536];

	(void)argc;
	return print_xattr(op, lgetxattr(argv[1], argv[2], value, sizeof value), value);
}

static int op_fgetxattr(struct op *op, int argc, char **argv)
{
	char value[65536];

	(void)argc;
	return print_xattr(op, fgetxattr(fd_of(op), argv[1], value, sizeof value), value);
}

/* The lease of the current handle: TOKEN LEFT MARGIN, or TOKEN unlimited. */
static int op_lease(struct op *op, int argc, char **argv)
{
	struct coordfs_lease lease;

	(void)argc, (void)argv;
	if (ioctl(fd_of(op), COORDFS_IOC_LEASE, &lease) < 0)
		return -1;
	if (lease.left_ms == COORDFS_LEASE_UNLIMITED)
		print(op, "%llu unlimited", (unsigned long long)lease.token);
	else
		print(op, "%llu %llu %llu", (unsigned long long)lease.token, (unsigned long long)lease.left_ms,
		      (unsigned long long)lease.margin_ms);
	return 0;
}

static int op_listxattr(struct op *op, int argc, char **argv)
{
	char names[65536];
	ssize_t size = llistxattr(argv[1], names, sizeof names);

	(void)argc;
	for (ssize_t i = 0; i < size; i++)
		names[i] = names[i] ? names[i] : ' ';
	return print_xattr(op, size, names);
}

static int op_removexattr(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	return lremovexattr(argv[1], argv[2]);
}

/* ---- process ---- */

/* poll EVENTS MILLISECONDS: what is true, `POLLIN|POLLOUT`, or `timeout` */
static int op_poll(struct op *op, int argc, char **argv)
{
	struct pollfd p = {.fd = fd_of(op), .events = (short)flags_of(argv[1])};
	int count = poll(&p, 1, (int)number(argv[2]));
	char text[200] = "";

	(void)argc;
	if (count < 0)
		return -1;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strncmp(words[i].name, "POLL", 4) && (p.revents & words[i].value))
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "|" : "", words[i].name);
	print(op, "%s", count ? text : "timeout");
	return 0;
}

static void ignore_signal(int number)
{
	(void)number;
}

/* alarm FIRST_MS [EVERY_MS]: SIGALRM with a handler, so that a call that waits returns EINTR. 0 ends it. */
static int op_alarm(struct op *op, int argc, char **argv)
{
	long first = (long)number(argv[1]), every = argc > 2 ? (long)number(argv[2]) : 0;
	struct itimerval timer = {.it_value = {first / 1000, first % 1000 * 1000},
				  .it_interval = {every / 1000, every % 1000 * 1000}};
	struct sigaction action = {.sa_handler = ignore_signal};

	(void)op;
	sigaction(SIGALRM, &action, NULL);
	return setitimer(ITIMER_REAL, &timer, NULL);
}

static int op_sleep(struct op *op, int argc, char **argv)
{
	long ms = (long)number(argv[1]);

	(void)op, (void)argc;
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
	return 0;
}

/* as UID GID: from now on that user, without other groups */
static int op_as(struct op *op, int argc, char **argv)
{
	gid_t gid = (gid_t)number(argv[2]);

	(void)op, (void)argc;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0)
		return -1;
	return setresuid((uid_t)number(argv[1]), (uid_t)number(argv[1]), (uid_t)number(argv[1]));
}

static int op_umask(struct op *op, int argc, char **argv)
{
	(void)op, (void)argc;
	umask((mode_t)strtoul(argv[1], NULL, 8));
	return 0;
}

static int op_pid(struct op *op, int argc, char **argv)
{
	(void)argc, (void)argv;
	print(op, "%d", (int)getpid());
	return 0;
}

/* try N COMMAND…: the command again until it does not fail with EINTR, N times at most; prints how often */
static int run(struct op *op, int argc, char **argv);
static int op_try(struct op *op, int argc, char **argv)
{
	long long limit = number(argv[1]);

	for (long long i = 1; i <= limit; i++) {
		if (run(op, argc - 2, argv + 2) == 0) {
			print(op, "%lld", i);
			return 0;
		}
		if (errno != EINTR)
			return -1;
	}
	return -1;
}

static const struct command {
	const char *name;
	int args_min, args_max;
	int (*run)(struct op *op, int argc, char **argv);
} commands[] = {
	{"open", 2, 3, op_open}, {"use", 1, 1, op_use}, {"dup", 0, 0, op_dup}, {"close", 0, 0, op_close},
	{"read", 0, 1, op_read}, {"pread", 1, 2, op_pread}, {"write", 1, 1, op_write}, {"pwrite", 2, 2, op_pwrite},
	{"fill", 1, 2, op_fill}, {"lseek", 1, 2, op_lseek}, {"ftruncate", 1, 1, op_ftruncate},
	{"fallocate", 2, 2, op_fallocate}, {"fsync", 0, 0, op_fsync}, {"size", 0, 0, op_size},
	{"map", 2, 3, op_map}, {"peek", 2, 2, op_peek}, {"poke", 2, 2, op_poke}, {"msync", 0, 0, op_msync},
	{"unmap", 0, 0, op_unmap},
	{"flock", 1, 1, op_flock}, {"lock", 3, 3, op_lock}, {"lockw", 3, 3, op_lock}, {"ofdlock", 3, 3, op_lock},
	{"ofdlockw", 3, 3, op_lock}, {"getlk", 3, 3, op_getlk}, {"ofdgetlk", 3, 3, op_getlk},
	{"rmdir", 1, 1, op_rmdir}, {"unlink", 1, 1, op_unlink}, {"link", 2, 2, op_link}, {"symlink", 2, 2, op_symlink},
	{"mkdir", 1, 2, op_mkdir}, {"mknod", 2, 2, op_mknod}, {"many", 3, 3, op_many}, {"rename", 2, 3, op_rename},
	{"readlink", 1, 1, op_readlink}, {"truncate", 2, 2, op_truncate}, {"chmod", 2, 2, op_chmod},
	{"chown", 3, 3, op_chown}, {"stat", 1, 1, op_stat}, {"ls", 1, 1, op_ls},
	{"setxattr", 3, 4, op_setxattr}, {"getxattr", 2, 2, op_getxattr}, {"fgetxattr", 1, 1, op_fgetxattr},
	{"lease", 0, 0, op_lease}, {"listxattr", 1, 1, op_listxattr}, {"removexattr", 2, 2, op_removexattr},
	{"poll", 2, 2, op_poll}, {"alarm", 1, 2, op_alarm}, {"sleep", 1, 1, op_sleep}, {"as", 2, 2, op_as},
	{"umask", 1, 1, op_umask}, {"pid", 0, 0, op_pid}, {"try", 2, WORDS_MAX, op_try},
};

/* One command. 0, or -1 with errno. */
static int run(struct op *op, int argc, char **argv)
{
	size_t i = 0;

	while (i < sizeof commands / sizeof *commands && strcmp(commands[i].name, argv[0]) != 0)
		i++;
	if (i == sizeof commands / sizeof *commands)
		fail_usage(argv[0]);
	if (argc - 1 < commands[i].args_min || argc - 1 > commands[i].args_max)
		fail_usage(argv[0]);
	print(op, "ok");
	return commands[i].run(op, argc, argv);
}

/* Commands between colons. 0, or the errno of the first that failed. */
static int run_all(struct op *op, int argc, char **argv)
{
	while (argc > 0) {
		int length = 0;

		while (length < argc && strcmp(argv[length], ":") != 0)
			length++;
		if (length > 0 && run(op, length, argv) < 0)
			return errno;
		length += length < argc; /* the colon */
		argc -= length;
		argv += length;
	}
	return 0;
}

static void report(const struct op *op, int error)
{
	if (error)
		puts(strerrorname_np(error) ? strerrorname_np(error) : "unknown errno");
	else
		puts(op->out);
	fflush(stdout);
}

static int interactive(struct op *op)
{
	char *line = NULL, *save, *argv[WORDS_MAX];
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		int argc = 0;

		for (char *word = strtok_r(line, " \n", &save); word && argc < WORDS_MAX; word = strtok_r(NULL, " \n", &save))
			argv[argc++] = word;
		if (argc > 0)
			report(op, run_all(op, argc, argv));
		clearerr(stdin);
	}
	free(line);
	return 0;
}

int main(int argc, char **argv)
{
	struct op op = {.files = 0};
	int status;

	if (argc < 2)
		fail_usage("usage: op COMMAND ARGUMENTS [: …] | op -i");
	if (strcmp(argv[1], "-i") == 0) {
		status = interactive(&op);
	} else {
		int error = run_all(&op, argc - 1, argv + 1);

		report(&op, error);
		status = error != 0;
	}
	free(op.out);
	return status;
}
