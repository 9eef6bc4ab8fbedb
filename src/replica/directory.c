/* The order of steps when a directory is made, so that a crash at any point is told from damage:
 *
 *   1. the directory itself, lock            empty: as if it had never been
 *   2. member.new                            a cluster is being made; nothing was promised
 *   3. raft/ with a bootstrapped log, acknowledged
 *   4. rename member.new member, fsync       used: from now on whatever is missing is damage
 *
 * So a directory is fresh when it holds nothing but what steps 1 to 3 make, and member.new if anything. Everything
 * else without `member` is not ours, or lost its marker: refused, never started empty. A restore takes the same steps
 * with member.restored in place of member.new, so that what it left half-way is not taken for fresh. */
#include "replica/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"

#define MARKER_BYTES (MEMBER_NAME_BYTES + 512)

struct failure {
	char *text;
	size_t size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct failure *f, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(f->text, f->size, format, arguments);
	va_end(arguments);
	return code;
}

/* A system call failed: what was wanted, why not. */
static int fail_errno(struct failure *f, const char *path, const char *wanted)
{
	int code = errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : errno == EACCES || errno == EPERM ? ERR_ACCESS
		   : errno == ENOTDIR ? ERR_NOT_DIRECTORY : errno == EROFS ? ERR_READ_ONLY : ERR_CORRUPT;

	return fail(f, code, "%s: %s: %s", path, wanted, strerror(errno));
}

/* ---- small files, whole ---- */

static ssize_t read_small(int dir_fd, const char *name, char *buffer, size_t size)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = pread(fd, buffer, size - 1, 0);
	close(fd);
	if (n >= 0)
		buffer[n] = '\0';
	return n;
}

/* Make or overwrite, durably. */
static int write_small(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t size = strlen(text);
	bool good;

	if (fd < 0)
		return -1;
	good = pwrite(fd, text, size, 0) == (ssize_t)size && fsync(fd) == 0;
	close(fd);
	return good && fsync(dir_fd) == 0 ? 0 : -1;
}

static bool exists(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- the directory and its lock ---- */

static int open_path(struct directory *d, const char *path, struct failure *f)
{
	struct stat st;

	d->made = mkdir(path, 0700) == 0;
	if (!d->made && errno != EEXIST)
		return fail_errno(f, path, "cannot make the data directory");
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0 && errno == ENOTDIR)
		return fail(f, ERR_NOT_DIRECTORY, "%s is not a directory: name one for the data", path);
	if (d->fd < 0)
		return fail_errno(f, path, "cannot open the data directory");
	if (fstat(d->fd, &st) || faccessat(d->fd, ".", R_OK | W_OK | X_OK, AT_EACCESS))
		return fail(f, ERR_ACCESS, "%s: the data directory must be readable and writable for user %u: %s", path,
			    (unsigned)geteuid(), strerror(errno));
	d->path = realpath(path, NULL);
	if (!d->path || asprintf(&d->raft_path, "%s/raft", d->path) < 0) {
		d->raft_path = NULL;
		return fail(f, ERR_NO_MEMORY, "%s: %s", path, strerror(errno));
	}
	return 0;
}

#define ENDING " ends" /* after the pid of a holder that closes */

/* pid: digits, or "". Whether the holder said that it ends. */
static bool read_holder(struct directory *d, char pid[static 32])
{
	size_t digits;
	bool ends;

	pid[0] = '\0';
	read_small(d->fd, "lock", pid, 32);
	digits = strspn(pid, "0123456789");
	ends = strncmp(pid + digits, ENDING, strlen(ENDING)) == 0;
	pid[digits] = '\0';
	return ends;
}

/* A killed process is gone only when its last thread has ended: until then it keeps what it had locked. */
static bool is_dying(const char *pid)
{
	char path[64], stat[256] = "";
	const char *state;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	if (!pid[0] || read_small(AT_FDCWD, path, stat, sizeof stat) < 0)
		return true; /* just gone, or not yet written down */
	state = strrchr(stat, ')');
	return state && state[1] && strchr("ZX", state[2]);
}

static int lock_held(struct directory *d, struct failure *f)
{
	char pid[32];

	if (errno != EWOULDBLOCK)
		return fail_errno(f, d->path, "cannot lock");
	read_holder(d, pid);
	return fail(f, ERR_BUSY, "%s is in use by pid %s: stop that coordfs first, or name another directory", d->path,
		    pid[0] ? pid : "(unknown)");
}

/* umount(8) returns before the daemon has ended its session, and before it even knows: who mounts again at once is to
 * wait for it. How long, in milliseconds, depends on what the holder is about. */
static int patience_ms(struct directory *d)
{
	char pid[32];

	if (read_holder(d, pid))
		return 15000; /* it may wait for a leader to end its session */
	return is_dying(pid) ? 1000 : 200;
}

static int lock_patiently(struct directory *d)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	for (int waited_ms = 0; flock(d->lock_fd, LOCK_EX | LOCK_NB); waited_ms += 10) {
		if (errno != EWOULDBLOCK)
			return -1;
		if (waited_ms >= patience_ms(d)) {
			errno = EWOULDBLOCK;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int lock_directory(struct directory *d, struct failure *f)
{
	d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return fail_errno(f, d->path, "cannot make the lock file");
	if (lock_patiently(d)) {
		int rc = lock_held(d, f);

		close(d->lock_fd);
		d->lock_fd = -1;
		return rc;
	}
	return 0;
}

/* For people and for who waits for the lock; that it cannot be written (full disk) matters to nobody else. */
static void write_holder(struct directory *d, const char *what)
{
	char pid[32];
	int size = snprintf(pid, sizeof pid, "%ld%s\n", (long)getpid(), what);

	if (ftruncate(d->lock_fd, 0) || pwrite(d->lock_fd, pid, (size_t)size, 0) != size)
		return;
}

void directory_ends(struct directory *d)
{
	write_holder(d, ENDING);
}

/* ---- the marker ---- */

/* The value of key= in text; NULL when there is no such line or it does not fit. */
static const char *line_value(const char *text, const char *key, char *value, size_t size)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, key, length) || line[length] != '=')
			continue;
		size_t n = strcspn(line + length + 1, "\n");

		if (n >= size || line[length + 1 + n] != '\n')
			return NULL;
		memcpy(value, line + length + 1, n);
		value[n] = '\0';
		return value;
	}
	return NULL;
}

static uint64_t number_value(const char *text, const char *key)
{
	char value[32];

	return line_value(text, key, value, sizeof value) ? strtoull(value, NULL, 10) : 0;
}

static bool hex_parse(const char *text, uint8_t out[16])
{
	if (strlen(text) != 32)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		out[i] = (uint8_t)byte;
	}
	return true;
}

/* Directories of one member that were made before there were tokens have none: the cluster's number is as good. */
static bool token_parse(struct directory *d, const char *text)
{
	char token[64];

	return line_value(text, "token", token, sizeof token) && hex_parse(token, d->token);
}

void directory_cluster(const struct directory *d, uint8_t cluster[16])
{
	if (!hex_parse(d->cluster, cluster))
		memset(cluster, 0, 16);
}

static int marker_parse(struct directory *d, const char *text, const char *member, struct failure *f)
{
	uint64_t format = number_value(text, "format");

	if (format > DIRECTORY_FORMAT)
		return fail(f, ERR_NOT_SUPPORTED,
			    "%s was written by a newer coordfs (format %" PRIu64 ", this one knows %u): use that version",
			    d->path, format, DIRECTORY_FORMAT);
	d->id = number_value(text, "id");
	if (!format || !d->id || !line_value(text, "member", d->member, sizeof d->member) || !d->member[0] ||
	    !line_value(text, "cluster", d->cluster, sizeof d->cluster) || strlen(d->cluster) != 32)
		return fail(f, ERR_CORRUPT, "%s/member is damaged: restore the directory from a backup", d->path);
	if (!token_parse(d, text))
		directory_cluster(d, d->token);
	d->reset_after = number_value(text, "reset_after");
	if (!line_value(text, "reset", d->reset_reason, sizeof d->reset_reason))
		d->reset_reason[0] = '\0';
	if (member && strcmp(member, d->member))
		return fail(f, ERR_PERM, "%s holds the data of member '%s', not '%s': use name=%s, or another directory",
			    d->path, d->member, member, d->member);
	return 0;
}

static char *hex_text(const uint8_t bytes[16], char out[static 33])
{
	for (unsigned i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return out;
}

static void marker_render(const struct directory *d, char text[MARKER_BYTES])
{
	char token[2 * DIRECTORY_TOKEN_BYTES + 1];
	int size = snprintf(text, MARKER_BYTES,
			    "# Data of a coordfs member. Do not edit.\nformat=%u\nmember=%s\ncluster=%s\nid=%" PRIu64
			    "\ntoken=%s\n",
			    DIRECTORY_FORMAT, d->member, d->cluster, d->id, hex_text(d->token, token));

	if (d->reset_reason[0])
		snprintf(text + size, (size_t)(MARKER_BYTES - size), "reset=%s\nreset_after=%" PRIu64 "\n",
			 d->reset_reason, d->reset_after);
}

/* Write d's identity as it is now in place of `member`, in one step. */
static int marker_replace(const struct directory *d)
{
	char text[MARKER_BYTES];

	marker_render(d, text);
	return directory_replace_text(d, "member", text) ? -1 : 0;
}

static int name_cluster(char cluster[static 33])
{
	uint8_t random[16];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -1;
	hex_text(random, cluster);
	return 0;
}

/* A start that was interrupted may have asked a cluster to let it in, with the token that `member.new` holds. */
static int name_token(struct directory *d)
{
	char text[MARKER_BYTES];

	if (read_small(d->fd, "member.new", text, sizeof text) >= 0 && token_parse(d, text))
		return 0;
	return getrandom(d->token, sizeof d->token, 0) == sizeof d->token ? 0 : -1;
}

/* A new cluster with this member in it, in a file that directory_settle is to rename. */
static int marker_make(struct directory *d, const char *member, uint64_t id, const char *file, struct failure *f)
{
	char text[MARKER_BYTES];

	if (member)
		snprintf(d->member, sizeof d->member, "%s", member);
	else if (gethostname(d->member, sizeof d->member))
		return fail_errno(f, d->path, "this host has no name");
	d->member[sizeof d->member - 1] = '\0';
	if (!member)
		d->member[strcspn(d->member, ".")] = '\0';
	if (!d->member[0] || strpbrk(d->member, "\n/") || (member && strlen(member) >= sizeof d->member))
		return fail(f, ERR_INVALID, "'%s' is no name for a member", d->member);
	if (name_cluster(d->cluster) || name_token(d))
		return fail_errno(f, d->path, "no random number");
	d->id = id;
	marker_render(d, text);
	return write_small(d->fd, file, text) ? fail_errno(f, d->path, "cannot write") : 0;
}

/* Names that steps 1 to 3 make, and what a file system of its own has in its root. */
static bool is_known_name(const char *name)
{
	static const char *const known[] = {".", "..", "lock", "lost+found", "member.new", "raft", "acknowledged"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static DIR *list(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* Without `member`: may a new cluster be made here? */
static int check_unused(struct directory *d, struct failure *f)
{
	bool making = exists(d->fd, "member.new");
	struct dirent *entry;
	DIR *dir = list(d->fd);
	int rc = 0;

	if (!dir)
		return fail_errno(f, d->path, "cannot list");
	if (exists(d->fd, "member.restored"))
		rc = fail(f, ERR_CORRUPT, "%s: `coordfs restore` into it did not end: run it again", d->path);
	if (!rc && !making && (exists(d->fd, "raft") || exists(d->fd, "acknowledged")))
		rc = fail(f, ERR_CORRUPT,
			  "%s holds a log but its file `member` is missing: restore it from a backup, or name an empty "
			  "directory",
			  d->path);
	while (!rc && (entry = readdir(dir)))
		if (!is_known_name(entry->d_name))
			rc = fail(f, ERR_CORRUPT, "%s is not empty and holds no coordfs data (%s): name an empty directory",
				  d->path, entry->d_name);
	closedir(dir);
	return rc;
}

/* What an interrupted start left in raft/. */
static int empty_raft(struct directory *d, struct failure *f)
{
	DIR *dir = list(d->raft_fd);
	struct dirent *entry;

	if (!dir)
		return fail_errno(f, d->raft_path, "cannot list");
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    unlinkat(d->raft_fd, entry->d_name, 0)) {
			closedir(dir);
			return fail_errno(f, d->raft_path, "cannot empty");
		}
	closedir(dir);
	return 0;
}

static int open_raft(struct directory *d, struct failure *f)
{
	if (d->fresh && mkdirat(d->fd, "raft", 0700) && errno != EEXIST)
		return fail_errno(f, d->raft_path, "cannot make");
	d->raft_fd = openat(d->fd, "raft", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->raft_fd < 0 && errno == ENOENT)
		return fail(f, ERR_CORRUPT,
			    "%s: the log (%s) is missing: restore it from a backup, or remove the whole directory to "
			    "start with nothing",
			    d->path, d->raft_path);
	if (d->raft_fd < 0)
		return fail_errno(f, d->raft_path, "cannot open");
	return d->fresh ? empty_raft(d, f) : 0;
}

static int identify(struct directory *d, const char *member, struct failure *f)
{
	char text[4096];
	int rc;

	if (read_small(d->fd, "member", text, sizeof text) >= 0)
		return marker_parse(d, text, member, f);
	if (errno != ENOENT)
		return fail_errno(f, d->path, "cannot read `member`");
	d->fresh = true;
	rc = check_unused(d, f);
	return rc ? rc : marker_make(d, member, DIRECTORY_FOUNDER_ID, "member.new", f);
}

int directory_open(struct directory *d, const char *path, const char *member, char *error, size_t error_size)
{
	struct failure f = {error, error_size};
	int rc;

	*d = (struct directory){.fd = -1, .raft_fd = -1, .lock_fd = -1};
	rc = open_path(d, path, &f);
	if (!rc)
		rc = lock_directory(d, &f);
	if (!rc)
		rc = identify(d, member, &f);
	if (!rc)
		rc = open_raft(d, &f);
	if (rc)
		directory_close(d);
	else
		write_holder(d, "");
	return rc;
}

static int settle(struct directory *d, const char *file, const struct mark *mark, struct failure *f)
{
	if (mark_write(d, mark) || fsync(d->raft_fd) || fsync(d->fd) || renameat(d->fd, file, d->fd, "member") ||
	    fsync(d->fd))
		return fail_errno(f, d->path, "cannot write");
	d->fresh = false;
	return 0;
}

int directory_settle(struct directory *d, char *error, size_t error_size)
{
	struct failure f = {error, error_size};

	return settle(d, "member.new", &(struct mark){0}, &f);
}

/* ---- a cluster that goes on as another one ---- */

/* The images of a restore that did not end. */
static int remove_images(struct directory *d, struct failure *f)
{
	DIR *dir = list(d->fd);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return fail_errno(f, d->path, "cannot list");
	while (!rc && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "image-", 6) == 0 && unlinkat(d->fd, entry->d_name, 0))
			rc = fail_errno(f, d->path, "cannot remove what an earlier restore left");
	closedir(dir);
	return rc;
}

/* Is there nothing in it, or what is left of a restore? */
static int check_empty(struct directory *d, struct failure *f)
{
	if (exists(d->fd, "member"))
		return fail(f, ERR_EXISTS, "%s holds a member's data already: name an empty directory", d->path);
	return exists(d->fd, "member.restored") ? 0 : check_unused(d, f);
}

static int remove_rest(struct directory *d, struct failure *f)
{
	int rc = remove_images(d, f);

	if (!rc && unlinkat(d->fd, "member.restored", 0) && errno != ENOENT)
		rc = fail_errno(f, d->path, "cannot remove what an earlier restore left");
	return rc;
}

static int begin_restored(struct directory *d, const char *member, uint64_t id, struct failure *f)
{
	int rc = marker_make(d, member, id, "member.restored", f);

	if (!rc && unlinkat(d->fd, "member.new", 0) && errno != ENOENT)
		rc = fail_errno(f, d->path, "cannot remove member.new");
	if (!rc)
		rc = open_raft(d, f);
	if (rc)
		directory_unmake(d);
	return rc;
}

int directory_make(struct directory *d, const char *path, const char *member, uint64_t id, char *error,
		   size_t error_size)
{
	struct failure f = {error, error_size};
	int rc;

	*d = (struct directory){.fd = -1, .raft_fd = -1, .lock_fd = -1, .fresh = true};
	rc = open_path(d, path, &f);
	if (!rc) /* before a file for the lock is made in what is not ours */
		rc = check_empty(d, &f);
	if (!rc)
		rc = lock_directory(d, &f);
	if (!rc)
		rc = check_empty(d, &f);
	if (!rc)
		rc = remove_rest(d, &f);
	if (rc) {
		directory_close(d);
		return rc;
	}
	write_holder(d, "");
	return begin_restored(d, member, id, &f);
}

int directory_settle_restored(struct directory *d, const struct mark *mark, char *error, size_t error_size)
{
	struct failure f = {error, error_size};
	char text[MARKER_BYTES];

	snprintf(d->reset_reason, sizeof d->reset_reason, "restored");
	d->reset_after = mark->index;
	marker_render(d, text);
	if (write_small(d->fd, "member.restored", text))
		return fail_errno(&f, d->path, "cannot write");
	return settle(d, "member.restored", mark, &f);
}

void directory_unmake(struct directory *d)
{
	char ignored[512];
	struct failure f = {ignored, sizeof ignored};
	char *path = d->made ? strdup(d->path) : NULL;

	unlinkat(d->fd, "member", 0); /* first: what is left without it is refused */
	if (d->raft_fd >= 0)
		empty_raft(d, &f);
	unlinkat(d->fd, "raft", AT_REMOVEDIR);
	remove_images(d, &f);
	unlinkat(d->fd, "acknowledged", 0);
	unlinkat(d->fd, "lock", 0);
	unlinkat(d->fd, "member.restored", 0);
	directory_close(d);
	if (path)
		rmdir(path);
	free(path);
}

int directory_renew(struct directory *d, const char *reset_reason, uint64_t reset_after, char *error,
		    size_t error_size)
{
	struct failure f = {error, error_size};
	struct directory new = *d;

	if (name_cluster(new.cluster))
		return fail_errno(&f, d->path, "no random number");
	snprintf(new.reset_reason, sizeof new.reset_reason, "%s", reset_reason);
	new.reset_after = reset_after;
	if (marker_replace(&new))
		return fail_errno(&f, d->path, "cannot write `member`");
	*d = new;
	return 0;
}

int directory_reset_done(struct directory *d)
{
	struct directory new = *d;

	new.reset_reason[0] = '\0';
	new.reset_after = 0;
	if (marker_replace(&new))
		return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_CORRUPT;
	*d = new;
	return 0;
}

int directory_join(struct directory *d, const uint8_t cluster[16], uint64_t id, char *error, size_t error_size)
{
	struct failure f = {error, error_size};
	char text[MARKER_BYTES];

	hex_text(cluster, d->cluster);
	d->id = id;
	marker_render(d, text);
	if (write_small(d->fd, "member.new", text))
		return fail_errno(&f, d->path, "cannot write");
	return directory_settle(d, error, error_size);
}

int directory_read_text(const struct directory *d, const char *name, char *out, size_t size)
{
	return read_small(d->fd, name, out, size) >= 0 ? 0 : errno == ENOENT ? ERR_NOT_FOUND : ERR_CORRUPT;
}

int directory_replace_text(const struct directory *d, const char *name, const char *text)
{
	char temporary[64];

	snprintf(temporary, sizeof temporary, "%s.tmp", name);
	if (write_small(d->fd, temporary, text) || renameat(d->fd, temporary, d->fd, name) || fsync(d->fd)) {
		int saved = errno;

		unlinkat(d->fd, temporary, 0);
		errno = saved;
		return errno == ENOSPC ? ERR_NO_SPACE : ERR_CORRUPT;
	}
	return 0;
}

void directory_close(struct directory *d)
{
	if (d->lock_fd >= 0) {
		if (ftruncate(d->lock_fd, 0))
			errno = 0; /* a stale pid harms nobody: the lock counts */
		close(d->lock_fd);
	}
	if (d->raft_fd >= 0)
		close(d->raft_fd);
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d->raft_path);
	*d = (struct directory){.fd = -1, .raft_fd = -1, .lock_fd = -1};
}

/* ---- the record of what was acknowledged ---- */

/* One sector, so that it is written whole or not at all. Host byte order: it never leaves this host's disk. */
struct mark_record {
	char magic[8];
	struct mark mark;
	uint64_t checksum;
};
static const char mark_magic[8] = {'C', 'O', 'O', 'R', 'D', 'A', 'C', 'K'};

static uint64_t mark_checksum(const struct mark_record *record)
{
	return XXH3_64bits(record, offsetof(struct mark_record, checksum));
}

int mark_read(const struct directory *d, struct mark *out)
{
	struct mark_record record;
	int fd = openat(d->fd, "acknowledged", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	*out = (struct mark){0};
	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_CORRUPT;
	n = pread(fd, &record, sizeof record, 0);
	close(fd);
	if (n != sizeof record || memcmp(record.magic, mark_magic, sizeof mark_magic) ||
	    record.checksum != mark_checksum(&record))
		return ERR_CORRUPT;
	*out = record.mark;
	return 0;
}

int mark_write(const struct directory *d, const struct mark *mark)
{
	struct mark_record record = {.mark = *mark};
	int fd = openat(d->fd, "acknowledged", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	if (fd < 0)
		return errno == ENOSPC ? ERR_NO_SPACE : ERR_CORRUPT;
	memcpy(record.magic, mark_magic, sizeof mark_magic);
	record.checksum = mark_checksum(&record);
	good = pwrite(fd, &record, sizeof record, 0) == sizeof record && fdatasync(fd) == 0;
	close(fd);
	return good ? 0 : errno == ENOSPC ? ERR_NO_SPACE : ERR_CORRUPT;
}

/* ---- images ---- */

void image_name(uint64_t index, char name[IMAGE_NAME_BYTES])
{
	snprintf(name, IMAGE_NAME_BYTES, "image-%" PRIu64 ".coordfs", index);
}

/* Is there a snapshot of libraft's for this index? Its names: snapshot-TERM-INDEX-TIME. */
static bool has_snapshot(const struct directory *d, uint64_t index)
{
	DIR *dir = list(d->raft_fd);
	struct dirent *entry;
	bool found = !dir; /* in doubt keep it */

	while (!found && (entry = readdir(dir))) {
		uint64_t term, at;

		found = sscanf(entry->d_name, "snapshot-%" SCNu64 "-%" SCNu64 "-", &term, &at) == 2 && at == index;
	}
	if (dir)
		closedir(dir);
	return found;
}

void directory_sweep(const struct directory *d, uint64_t keep)
{
	DIR *dir = list(d->fd);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char name[IMAGE_NAME_BYTES];
		uint64_t index;

		if (sscanf(entry->d_name, "image-%" SCNu64, &index) != 1)
			continue;
		image_name(index, name);
		if (strncmp(entry->d_name, name, strlen(name)))
			continue;
		if (index == keep || (!strcmp(entry->d_name, name) && has_snapshot(d, index)))
			continue;
		unlinkat(d->fd, entry->d_name, 0);
	}
	closedir(dir);
}

uint64_t directory_free_bytes(const struct directory *d)
{
	struct statvfs st;

	return fstatvfs(d->fd, &st) ? 0 : (uint64_t)st.f_bavail * st.f_frsize;
}
