#include "acts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* added: additions and reads only, so that its sum can be told; mixed: all requests; named: additions with ids */
static const char *const added[] = {"counters/added0", "counters/added1", "counters/added2"};
static const char *const mixed[] = {"counters/mixed0", "counters/mixed1", "counters/mixed2"};
static const char *const named[] = {"counters/named0"};
static const char *const registers[] = {"files/register0", "files/register1", "files/register2", "files/register3"};
static const char *const flocks[] = {"locks/flock0", "locks/flock1"};
static const char *const posix_locks[] = {"locks/posix0"};
static const char *const exclusive[] = {"locks/exclusive0"}; /* made with O_EXCL */
static const char *const links[] = {"locks/link0"};	     /* symbolic links, which say whose they are */
static const char *const fences[] = {"fences/flock0", "fences/flock1", "fences/posix0", "fences/any"};

/* KIND:PATH */
struct object {
	char text[64];
	const char *path;
};

static struct object object_of(const char *kind, const char *path)
{
	struct object o = {.path = path};

	snprintf(o.text, sizeof o.text, "%.12s:%.50s", kind, path);
	return o;
}

#define ANY(c, kind, array) object_of(kind, (array)[random_below(c, COUNT(array))])

static bool chance(struct client *c, unsigned percent) { return random_below(c, 100) < percent; }

/* ---- calls ---- */

static int open_path(struct client *c, const char *path, int flags)
{
	int fd = openat(c->root, path, flags | O_CLOEXEC, 0666);

	if (fd < 0)
		client_note(c, errno);
	return fd;
}

/* The text from an offset on, NUL-terminated; -1 with errno. */
static ssize_t read_text(int fd, char *text, size_t size)
{
	ssize_t got = pread(fd, text, size - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	return got;
}

static int write_text(int fd, const char *text, size_t length)
{
	ssize_t put = write(fd, text, length);

	if (put < 0)
		return errno;
	return put == (ssize_t)length ? 0 : EBADE; /* no write here may be short */
}

/* The reply to what was just written on this handle; an empty text if there is none. */
static void read_reply(int fd, char *text, size_t size)
{
	ssize_t got = read(fd, text, size - 1);

	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* ---- counters, and whatever takes a line ---- */

/* Read a number by path, as `cat` does. */
static bool read_number(struct client *c, const struct object *o, int64_t *out)
{
	char text[64];
	int fd, error = 0;

	record_begin(c, o->text, "read", "-");
	fd = open_path(c, o->path, O_RDONLY);
	if (fd < 0) {
		/* of a path that is always there, this is an answer */
		record_finish(c, errno, NULL);
		return false;
	}
	if (read_text(fd, text, sizeof text) < 0)
		error = errno;
	record_end(c);
	close(fd);
	*out = strtoll(text, NULL, 10);
	record_finish(c, error, "%" PRId64, *out);
	return !error;
}

/* Write one line that asks for verb and its arguments. With a reply: an O_RDWR handle, whose answer is the result; else
 * as `echo` does. Returns an errno, EBADF for one that was not asked. */
static int request(struct client *c, const struct object *o, const char *verb, const char *arguments, const char *line, bool reply)
{
	char answer[64] = "";
	int fd, error;

	record_begin(c, o->text, verb, "%s", arguments);
	fd = open_path(c, o->path, reply ? O_RDWR : O_WRONLY | O_TRUNC);
	if (fd < 0) {
		record_cancel(c);
		return EBADF;
	}
	error = write_text(fd, line, strlen(line));
	record_end(c);
	if (!error && reply)
		read_reply(fd, answer, sizeof answer);
	record_finish(c, error, "%s", answer);
	close(fd);
	return error;
}

static int add(struct client *c, const struct object *o, int64_t amount, const char *id)
{
	char arguments[64], line[80];

	snprintf(arguments, sizeof arguments, "%" PRId64 "%s%s", amount, *id ? "," : "", id);
	snprintf(line, sizeof line, "%+" PRId64 "%s%s\n", amount, *id ? " id=" : "", id);
	return request(c, o, "add", arguments, line, chance(c, 75));
}

/* So large that a sum tells which ones are in it. */
static int64_t any_amount(struct client *c) { return 1 + (int64_t)random_below(c, 1ULL << 40); }

static void act_added(struct client *c)
{
	struct object o = ANY(c, "counter", added);
	int64_t value;

	if (chance(c, 70))
		add(c, &o, any_amount(c), "");
	else
		read_number(c, &o, &value);
}

static void act_set(struct client *c, const struct object *o)
{
	char arguments[32], line[40];
	int64_t value = any_amount(c);

	snprintf(arguments, sizeof arguments, "%" PRId64, value);
	snprintf(line, sizeof line, "%s%" PRId64 "\n", chance(c, 50) ? "=" : "", value);
	request(c, o, "set", arguments, line, false);
}

static void act_cas(struct client *c, const struct object *o)
{
	char arguments[64], line[80];
	int64_t old, new = any_amount(c);

	if (!read_number(c, o, &old))
		return;
	snprintf(arguments, sizeof arguments, "%" PRId64 ",%" PRId64, old, new);
	snprintf(line, sizeof line, "cas %" PRId64 " %" PRId64 "\n", old, new);
	request(c, o, "cas", arguments, line, false);
}

static void act_mixed(struct client *c)
{
	struct object o = ANY(c, "counter", mixed);
	int64_t value;

	switch (random_below(c, 4)) {
	case 0:
		act_set(c, &o);
		break;
	case 1:
		act_cas(c, &o);
		break;
	case 2:
		read_number(c, &o, &value);
		break;
	default:
		add(c, &o, chance(c, 50) ? any_amount(c) : -any_amount(c), "");
	}
}

/* The same id until the answer is known. */
static void act_named(struct client *c)
{
	struct object o = ANY(c, "counter", named);
	int64_t amount = any_amount(c);
	char id[32];

	snprintf(id, sizeof id, "c%u.%" PRIu64, c->number, ++c->serial);
	while (add(c, &o, amount, id) != 0 && !client_stops(c)) {
		client_pause(c, 20);
		while (!client_stops(c) && !client_ready(c))
			;
		if (c->root < 0)
			return;
	}
}

/* ---- registers ---- */

#define CONTENT_MAX 4096

/* TAG.LINES in each of so many lines: a piece of one, or of two, is seen. */
static size_t any_content(struct client *c, char text[CONTENT_MAX], char tag[32])
{
	unsigned lines = chance(c, 50) ? 1 : 1 + (unsigned)random_below(c, 100);
	size_t length = 0;

	snprintf(tag, 32, "c%u.%" PRIu64 ".%u", c->number, ++c->serial, lines);
	for (unsigned i = 0; i < lines; i++)
		length += (size_t)snprintf(text + length, CONTENT_MAX - length, "%s\n", tag);
	return length;
}

/* The tag of a content; "-" of an empty one, "torn" of what nobody wrote as a whole. */
static void tag_of(const char *text, char tag[32])
{
	size_t length = strcspn(text, "\n");
	const char *dot = memrchr(text, '.', length);
	unsigned lines = dot ? (unsigned)strtoul(dot + 1, NULL, 10) : 0;

	snprintf(tag, 32, "%s", *text ? "torn" : "-");
	if (!*text || length >= 32)
		return;
	for (unsigned i = 0; i < lines; i++)
		if (strncmp(text + i * (length + 1), text, length + 1) != 0)
			return;
	if (lines > 0 && !text[lines * (length + 1)])
		snprintf(tag, 32, "%.*s", (int)length, text);
}

static bool read_register(struct client *c, const struct object *o)
{
	char text[CONTENT_MAX + 1], tag[32];
	int fd, error = 0;

	record_begin(c, o->text, "read", "-");
	fd = open_path(c, o->path, O_RDONLY);
	if (fd < 0) {
		record_finish(c, errno, NULL);
		return false;
	}
	if (read_text(fd, text, sizeof text) < 0)
		error = errno;
	record_end(c);
	close(fd);
	tag_of(text, tag);
	record_finish(c, error, "%s", tag);
	return !error;
}

/* After O_TRUNC and a write that failed, the close truncates. */
static void write_register(struct client *c, const struct object *o)
{
	char text[CONTENT_MAX], tag[32];
	size_t length = any_content(c, text, tag);
	int fd, error;

	record_begin(c, o->text, "write", "%s", tag);
	fd = open_path(c, o->path, O_WRONLY | O_TRUNC);
	if (fd < 0) {
		record_cancel(c);
		return;
	}
	error = write_text(fd, text, length);
	record_finish(c, error, NULL);
	if (error)
		record_possible(c, o->text, "write", "-");
	close(fd);
}

/* The line KEY=… of .info/PATH, a number; -1: it cannot be read, errno */
static int64_t read_info(struct client *c, const char *path, const char *key)
{
	char name[80], text[4096], *line;
	int fd, error = 0;

	snprintf(name, sizeof name, ".info/%s", path);
	fd = open_path(c, name, O_RDONLY);
	if (fd < 0)
		return -1;
	if (read_text(fd, text, sizeof text) < 0)
		error = errno;
	close(fd);
	snprintf(name, sizeof name, "\n%s=", key);
	line = strstr(text, name);
	errno = error ? error : EBADMSG;
	return line && !error ? strtoll(line + strlen(name), NULL, 10) : -1;
}

static int64_t read_attribute(struct client *c, const char *path, const char *name)
{
	char full[PATH_MAX], text[64];
	ssize_t got;

	snprintf(full, sizeof full, "/proc/self/fd/%d/%s", c->root, path);
	got = getxattr(full, name, text, sizeof text - 1);
	if (got < 0)
		return -1;
	text[got] = '\0';
	return strtoll(text, NULL, 10);
}

static int64_t read_revision(struct client *c, const struct object *o)
{
	int64_t revision;

	record_begin(c, o->text, "revision", "-");
	if (chance(c, 50))
		revision = read_info(c, o->path, "revision");
	else
		revision = read_attribute(c, o->path, "user.coordfs.revision");
	record_finish(c, revision < 0 ? errno : 0, "%" PRId64, revision);
	return revision;
}

static void cas_register(struct client *c, const struct object *o)
{
	char text[CONTENT_MAX], tag[32], path[80], answer[64] = "";
	size_t length = any_content(c, text, tag);
	int64_t revision = read_revision(c, o);
	int fd, error;

	if (revision < 0)
		return;
	snprintf(path, sizeof path, "files/.cas/%s@%" PRId64, strchr(o->path, '/') + 1, revision);
	record_begin(c, o->text, "cas", "%" PRId64 ",%s", revision, tag);
	fd = open_path(c, path, O_RDWR);
	if (fd < 0) {
		record_cancel(c);
		return;
	}
	error = write_text(fd, text, length);
	record_end(c);
	if (!error)
		read_reply(fd, answer, sizeof answer);
	record_finish(c, error, "%s", answer);
	close(fd);
}

static void act_register(struct client *c)
{
	struct object o = ANY(c, "register", registers);

	switch (random_below(c, 4)) {
	case 0:
		write_register(c, &o);
		break;
	case 1:
		cas_register(c, &o);
		break;
	default:
		read_register(c, &o);
	}
}

/* ---- fences ---- */

static int raise_fence(struct client *c, const struct object *o, int64_t token)
{
	char arguments[24], line[24];

	snprintf(arguments, sizeof arguments, "%" PRId64, token);
	snprintf(line, sizeof line, "%" PRId64 "\n", token);
	return request(c, o, "raise", arguments, line, false);
}

static void act_fence(struct client *c)
{
	struct object o = object_of("fence", "fences/any");
	int64_t value;

	if (!read_number(c, &o, &value) || chance(c, 50))
		return;
	value += (int64_t)random_below(c, 6) - 2;
	raise_fence(c, &o, value > 0 ? value : 1);
}

/* ---- locks ---- */

struct lock {
	struct object object;
	bool posix;
	int fd;
	int64_t token;
};

/* 0 or an errno. */
static int lock_call(const struct lock *l, int how)
{
	struct flock range = {.l_type = how & LOCK_UN ? F_UNLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (!l->posix)
		return flock(l->fd, how) < 0 ? errno : 0;
	if (fcntl(l->fd, how & (LOCK_NB | LOCK_UN) ? F_SETLK : F_SETLKW, &range) == 0)
		return 0;
	return errno == EACCES ? EAGAIN : errno;
}

static int64_t lock_token(const struct lock *l)
{
	char text[32];
	ssize_t got = fgetxattr(l->fd, "user.coordfs.token", text, sizeof text - 1);

	if (got < 0)
		return -1;
	text[got] = '\0';
	return strtoll(text, NULL, 10);
}

/* What the parent says if this client dies. */
static void note_held(struct client *c, const struct lock *l)
{
	if (l)
		snprintf(c->slot->held, sizeof c->slot->held, "%u %s %s release %" PRId64, c->number, c->host, l->object.text, l->token);
	else
		c->slot->held[0] = '\0';
}

static bool lock_acquire(struct client *c, struct lock *l)
{
	bool waits = chance(c, 50);
	int error;

	l->token = -1;
	record_begin(c, l->object.text, "acquire", "-");
	if (waits)
		client_limit(c, 50 + (unsigned)random_below(c, 3000));
	error = lock_call(l, waits ? LOCK_EX : LOCK_EX | LOCK_NB);
	record_end(c);
	client_limit(c, CALL_LIMIT_MS);
	if (!error)
		l->token = lock_token(l);
	if (l->token > 0)
		record_finish(c, error, "%" PRId64, l->token);
	else
		record_finish(c, error, NULL);
	if (l->token > 0)
		note_held(c, l);
	return l->token > 0;
}

/* By its token, or by any call on the handle, which must be refused once the lock is lost. */
static bool lock_check(struct client *c, const struct lock *l)
{
	int64_t token = l->token;
	char byte;
	int error = 0;

	record_begin(c, l->object.text, "check", "%" PRId64, l->token);
	if (chance(c, 50))
		token = lock_token(l);
	else if (pread(l->fd, &byte, 1, 0) < 0)
		token = -1;
	if (token != l->token)
		error = token < 0 ? errno : ESTALE; /* of another holder on this mount */
	record_finish(c, error, NULL);
	return !error;
}

/* What is not answered with success may come with the close, which nobody waits for. */
static void lock_release(struct client *c, struct lock *l)
{
	char token[24];
	int error = EINTR;

	snprintf(token, sizeof token, "%" PRId64, l->token);
	if (chance(c, 80)) {
		record_begin(c, l->object.text, "release", "%" PRId64, l->token);
		error = lock_call(l, LOCK_UN);
		record_finish(c, error, NULL);
	}
	if (error && error != ESTALE)
		record_possible(c, l->object.text, "release", token);
	note_held(c, NULL);
}

/* Another file than the lock's: only the fence stands between it and a former holder. */
static void use_fence(struct client *c, const struct lock *l)
{
	char path[64];
	struct object fence;

	snprintf(path, sizeof path, "fences/%s", strchr(l->object.path, '/') + 1);
	fence = object_of("fence", path);
	raise_fence(c, &fence, l->token);
}

static void hold(struct client *c, struct lock *l)
{
	for (uint64_t steps = random_below(c, 5); steps > 0; steps--) {
		if (chance(c, 30))
			use_fence(c, l);
		else if (!lock_check(c, l))
			break;
		client_pause(c, (unsigned)random_below(c, chance(c, 5) ? 3000 : 20));
	}
	lock_release(c, l);
}

static struct lock any_lock(struct client *c)
{
	struct lock l = {.posix = chance(c, 33)};

	l.object = l.posix ? ANY(c, "lock", posix_locks) : ANY(c, "lock", flocks);
	return l;
}

static bool lock_open(struct client *c, struct lock *l)
{
	client_limit(c, CALL_LIMIT_MS);
	l->fd = open_path(c, l->object.path, O_RDWR);
	return l->fd >= 0;
}

static void act_lock(struct client *c)
{
	struct lock l = any_lock(c);

	if (!lock_open(c, &l))
		return;
	if (lock_acquire(c, &l))
		hold(c, &l);
	close(l.fd);
}

/* ---- names ---- */

static int name_create(struct client *c, const struct object *o, bool link, const char *text)
{
	int error = 0;

	record_begin(c, o->text, "create", "%s", text);
	if (link) {
		error = symlinkat(text, c->root, o->path) < 0 ? errno : 0;
	} else {
		int fd = open_path(c, o->path, O_WRONLY | O_CREAT | O_EXCL);

		error = fd < 0 ? errno : 0;
		record_end(c);
		if (fd >= 0)
			close(fd);
	}
	record_finish(c, error, NULL);
	return error;
}

/* The text is "file" for one that is no link, empty when it is not known. An errno. */
static int name_read(struct client *c, const struct object *o, bool link, char text[64])
{
	struct stat st;
	ssize_t got = 0;
	int error;

	record_begin(c, o->text, "read", "-");
	if (link)
		got = readlinkat(c->root, o->path, text, 63);
	else
		got = fstatat(c->root, o->path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : snprintf(text, 64, "file");
	error = got < 0 ? errno : 0;
	text[got > 0 ? got : 0] = '\0';
	record_finish(c, error, "%s", text);
	return error;
}

static int name_remove(struct client *c, const struct object *o)
{
	int error;

	record_begin(c, o->text, "unlink", "-");
	error = unlinkat(c->root, o->path, 0) < 0 ? errno : 0;
	record_finish(c, error, NULL);
	return error;
}

/* Until it is gone: nobody else would. */
static void name_remove_surely(struct client *c, const struct object *o)
{
	for (;;) {
		int error = name_remove(c, o);

		if (error == 0 || error == ENOENT || client_stops(c))
			return;
		client_pause(c, 50);
		while (!client_ready(c))
			if (client_stops(c))
				return;
	}
}

/* It may be there, and be ours. */
static void name_settle(struct client *c, const struct object *o, bool link, const char *mine)
{
	char text[64] = "";

	while (!client_stops(c)) {
		int error = client_ready(c) ? name_read(c, o, link, text) : EAGAIN;

		if (error == 0 || error == ENOENT)
			break;
		client_pause(c, 50);
	}
	if (strcmp(text, mine) == 0)
		name_remove_surely(c, o);
}

static void act_name(struct client *c)
{
	bool link = chance(c, 50);
	struct object o = link ? ANY(c, "name", links) : ANY(c, "name", exclusive);
	char mine[64] = "file", text[64];
	int error;

	if (link)
		snprintf(mine, sizeof mine, "c%u.%" PRIu64, c->number, ++c->serial);
	error = name_create(c, &o, link, mine);
	if (error == EEXIST) {
		name_read(c, &o, link, text);
	} else if (error == 0) {
		client_pause(c, (unsigned)random_below(c, 20));
		if (chance(c, 50))
			name_read(c, &o, link, text);
		if (c->root >= 0)
			name_remove_surely(c, &o);
	} else if (error != EHOSTUNREACH) {
		name_settle(c, &o, link, mine);
	}
}

/* ---- all ---- */

void acts_any(struct client *c)
{
	static void (*const acts[])(struct client *) = {
		act_added, act_added, act_mixed, act_mixed, act_named, act_register, act_register, act_lock, act_lock, act_name, act_fence,
	};

	acts[random_below(c, COUNT(acts))](c);
}

static int prepare_all(struct client *c, const char *const *paths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = openat(c->root, paths[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

		if (fd < 0)
			return errno;
		close(fd);
	}
	return 0;
}

#define ALL(array) array, COUNT(array)

int acts_prepare(struct client *c)
{
	const struct {
		const char *const *paths;
		size_t count;
	} all[] = {{ALL(added)}, {ALL(mixed)}, {ALL(named)}, {ALL(registers)}, {ALL(flocks)}, {ALL(posix_locks)}, {ALL(fences)}};
	int error = 0;

	client_limit(c, CALL_LIMIT_MS);
	for (size_t i = 0; i < COUNT(all) && !error; i++)
		error = prepare_all(c, all[i].paths, all[i].count);
	return error;
}

static bool read_numbers(struct client *c, const char *kind, const char *const *paths, size_t count)
{
	bool good = true;

	for (size_t i = 0; i < count; i++) {
		struct object o = object_of(kind, paths[i]);
		int64_t value;

		good &= read_number(c, &o, &value);
	}
	return good;
}

static bool read_registers(struct client *c)
{
	bool good = true;

	for (size_t i = 0; i < COUNT(registers); i++) {
		struct object o = object_of("register", registers[i]);

		good &= read_register(c, &o);
		good &= read_revision(c, &o) >= 0;
	}
	return good;
}

/* Everybody has ended: it must be free, for whoever waits for a little while. */
static bool take_lock(struct client *c, const char *path, bool posix)
{
	struct lock l = {.object = object_of("lock", path), .posix = posix};
	bool good = false;

	if (!lock_open(c, &l))
		return false;
	for (int i = 0; i < 100 && !good; i++) {
		good = lock_acquire(c, &l);
		if (!good)
			client_pause(c, 50);
	}
	if (good && lock_check(c, &l))
		lock_release(c, &l);
	close(l.fd);
	return good;
}

static bool take_locks(struct client *c)
{
	bool good = true;

	for (size_t i = 0; i < COUNT(flocks); i++)
		good &= take_lock(c, flocks[i], false);
	for (size_t i = 0; i < COUNT(posix_locks); i++)
		good &= take_lock(c, posix_locks[i], true);
	return good;
}

static bool read_name(struct client *c, const char *path, bool link)
{
	struct object o = object_of("name", path);
	char text[64];
	int error = name_read(c, &o, link, text);

	return error == 0 || error == ENOENT;
}

bool acts_final(struct client *c)
{
	bool good = read_numbers(c, "counter", ALL(added)) && read_numbers(c, "counter", ALL(mixed)) &&
		    read_numbers(c, "counter", ALL(named)) && read_numbers(c, "fence", ALL(fences)) && read_registers(c);

	return good && read_name(c, links[0], true) && read_name(c, exclusive[0], false) && take_locks(c);
}
