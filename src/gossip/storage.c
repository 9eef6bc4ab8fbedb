/* eventual-N.log, N growing with each rewriting: the highest counts.
 *
 *     magic "COORDFSE", u32 format, u32 0, u64 member, u64 N, u64 checksum
 *     frame: u32 size, u32 kind, u64 begin, u64 checksum, payload, zeros to a multiple of 8          and so on
 *
 * member.eventual, text: which of these files there must be, and how long it must be at least. It is written behind what it
 * says, when that is known to be durable: so a log that was deleted, or cut off, is not taken for a new one.
 *
 * All little-endian. `begin` is the offset up to which everything was durable when the frame was written: the start of its
 * write. So a frame that cannot be read is one that a crash cut off, unless there is a sound one behind it that began
 * later: then it had been durable, and is damaged. The checksum (XXH3) covers the file's number and the frame's offset:
 * nothing that was there before is taken for a frame.
 *
 * Room ahead is filled with zeros: a write within the file's size needs no commit of the file system's own journal. A
 * write that failed is cut off again before anybody is told, so that it does not come back after a crash. A file gets
 * its name when all that belongs into it is durable; then the former one goes. */
#include "gossip/storage.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 1u
#define HEADER_BYTES 40u
#define FRAME_HEADER_BYTES 24u
#define AHEAD_BYTES (1u << 20)
#define NAME_BYTES 48
#define MARK_NAME "member.eventual"
#define MARK_FORMAT "eventual-%020" PRIu64 ".log %020" PRIu64 "\n" /* always as long */

static const char magic[8] = {'C', 'O', 'O', 'R', 'D', 'F', 'S', 'E'};

enum frame_kind { FRAME_RECORD = 1, FRAME_VOUCH };

struct file {
	int fd; /* -1: none */
	uint64_t number, end;
	uint64_t prepared; /* the file's size */
};

struct storage {
	char *directory;
	int dir_fd;
	uint64_t member;
	struct file log, anew;
	int anew_code; /* what became of the new one so far */
	int broken;    /* 0: it can be written */
	bool vouched;
	bool marked; /* member.eventual is there */
};

/* ---- numbers in bytes ---- */

static void put32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof v);
}

static void put64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof v);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof v);
	return le32toh(v);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof v);
	return le64toh(v);
}

/* ---- frames ---- */

static size_t frame_bytes(size_t payload)
{
	return FRAME_HEADER_BYTES + (payload + 7) / 8 * 8;
}

static uint8_t *add(struct frames *f, size_t payload, enum frame_kind kind)
{
	size_t size = frame_bytes(payload);
	uint8_t *at;

	if (payload > FRAME_BYTES_MAX)
		return NULL;
	if (f->capacity - f->size < size) {
		size_t capacity = f->capacity * 2 > f->size + size ? f->capacity * 2 : f->size + size;
		uint8_t *data = realloc(f->data, capacity);

		if (!data)
			return NULL;
		f->data = data;
		f->capacity = capacity;
	}
	at = f->data + f->size;
	memset(at, 0, FRAME_HEADER_BYTES);
	memset(at + size - 8, 0, payload ? 8 : 0);
	put32(at, (uint32_t)payload);
	put32(at + 4, kind);
	f->size += size;
	return at + FRAME_HEADER_BYTES;
}

uint8_t *frames_add(struct frames *f, size_t payload_bytes)
{
	return add(f, payload_bytes, FRAME_RECORD);
}

void frames_fini(struct frames *f)
{
	free(f->data);
	*f = (struct frames){0};
}

/* at: the frame, with its payload behind. */
static uint64_t checksum(const uint8_t *at, uint64_t number, uint64_t offset)
{
	uint8_t head[48];

	put64(head, number);
	put64(head + 8, offset);
	memcpy(head + 16, at, 16);
	put64(head + 32, XXH3_64bits(at + FRAME_HEADER_BYTES, frame_bytes(get32(at)) - FRAME_HEADER_BYTES));
	put64(head + 40, 0);
	return XXH3_64bits(head, sizeof head);
}

/* They are to stand in that file, at its end. */
static void seal(struct frames *f, const struct file *file)
{
	for (size_t i = 0; i < f->size; i += frame_bytes(get32(f->data + i))) {
		put64(f->data + i + 8, file->end);
		put64(f->data + i + 16, checksum(f->data + i, file->number, file->end + i));
	}
}

/* Is there a frame at `at`, of which `left` bytes can be read? */
static bool is_frame(const uint8_t *at, size_t left, uint64_t number, uint64_t offset)
{
	uint32_t size, kind;

	if (left < FRAME_HEADER_BYTES)
		return false;
	size = get32(at);
	kind = get32(at + 4);
	return (kind == FRAME_RECORD || kind == FRAME_VOUCH) && size <= FRAME_BYTES_MAX && frame_bytes(size) <= left &&
	       get64(at + 16) == checksum(at, number, offset);
}

/* ---- files ---- */

static int code_of_errno(void)
{
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_NO_SPACE : ERR_CORRUPT;
}

static int write_at(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? code_of_errno() : ERR_CORRUPT;
		data += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int append(struct file *f, struct frames *frames)
{
	int rc;

	seal(frames, f);
	rc = write_at(f->fd, frames->data, frames->size, f->end);
	if (!rc)
		f->end += frames->size;
	return rc;
}

static void name_of(uint64_t number, bool unfinished, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "eventual-%" PRIu64 ".log%s", number, unfinished ? ".new" : "");
}

static void file_close(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct file){.fd = -1};
}

/* ---- member.eventual ---- */

struct mark {
	uint64_t number, end; /* 0: there is none */
};

static int mark_read(const struct storage *s, struct mark *out)
{
	int fd = openat(s->dir_fd, MARK_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[128];
	ssize_t n;

	*out = (struct mark){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : ERR_ACCESS;
	n = pread(fd, text, sizeof text - 1, 0);
	close(fd);
	if (n == 0)
		return 0; /* a crash: nothing was written */
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "eventual-%" SCNu64 ".log %" SCNu64 "\n", &out->number, &out->end) == 2 && out->number ? 0
																  : ERR_CORRUPT;
}

/* What is in the log is durable. No duty: without it less is known at the next start; it is tried again. */
static void mark_write(struct storage *s)
{
	int fd = openat(s->dir_fd, MARK_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[128];
	int size = snprintf(text, sizeof text, MARK_FORMAT, s->log.number, s->log.end);

	if (fd < 0)
		return;
	if (write_at(fd, (const uint8_t *)text, (size_t)size, 0) == 0 && fdatasync(fd) == 0)
		s->marked = s->marked || fsync(s->dir_fd) == 0;
	close(fd);
}

/* ---- writing ---- */

/* No duty: where there is no room for it the next write may still find some. */
static void prepare(struct file *f)
{
	uint8_t *zeros;

	if (f->end <= f->prepared)
		return;
	zeros = calloc(1, AHEAD_BYTES);
	if (zeros && write_at(f->fd, zeros, AHEAD_BYTES, f->end) == 0)
		f->prepared = f->end + AHEAD_BYTES;
	else if (ftruncate(f->fd, (off_t)f->end) == 0)
		f->prepared = f->end;
	free(zeros);
}

/* The disk must not hold what was refused. */
static int undo(struct storage *s, uint64_t end, int code)
{
	s->log.end = end;
	s->log.prepared = end;
	if (code != ERR_NO_SPACE || ftruncate(s->log.fd, (off_t)end) || fdatasync(s->log.fd))
		s->broken = code = ERR_CORRUPT;
	return code;
}

static int write_log(struct storage *s, struct frames *f)
{
	uint64_t before = s->log.end;
	int rc = append(&s->log, f);

	if (!rc)
		prepare(&s->log);
	if (!rc && fdatasync(s->log.fd))
		rc = code_of_errno();
	return rc ? undo(s, before, rc) : 0;
}

static int write_first(struct storage *s, struct frames *f)
{
	storage_rewrite_begin(s);
	storage_rewrite_add(s, f);
	return storage_rewrite_end(s); /* which marks it before anybody is told */
}

int storage_write(struct storage *s, struct frames *f)
{
	int rc;

	if (s->broken || f->size == 0)
		return s->broken;
	if (s->log.fd < 0)
		return write_first(s, f);
	rc = write_log(s, f);
	if (rc)
		return rc;
	s->vouched = false;
	if (s->anew.fd >= 0)
		storage_rewrite_add(s, f);
	return 0;
}

int storage_vouch(struct storage *s)
{
	struct frames f = {0};
	int rc;

	if (s->vouched || s->broken || s->log.fd < 0)
		return s->broken;
	rc = add(&f, 0, FRAME_VOUCH) ? write_log(s, &f) : ERR_NO_MEMORY;
	s->vouched = !rc;
	if (!rc)
		mark_write(s);
	frames_fini(&f);
	return rc;
}

bool storage_is_vouched(const struct storage *s)
{
	return s->vouched || s->broken || s->log.fd < 0;
}

uint64_t storage_used(const struct storage *s)
{
	return s->log.end;
}

/* ---- writing anew ---- */

static int write_header(struct storage *s, struct file *f)
{
	uint8_t h[HEADER_BYTES] = {0};

	memcpy(h, magic, sizeof magic);
	put32(h + 8, FORMAT);
	put64(h + 16, s->member);
	put64(h + 24, f->number);
	put64(h + 32, XXH3_64bits(h, 32));
	f->end = HEADER_BYTES;
	return write_at(f->fd, h, sizeof h, 0);
}

int storage_rewrite_begin(struct storage *s)
{
	char name[NAME_BYTES];
	struct file *f = &s->anew;

	*f = (struct file){.number = s->log.number + 1};
	name_of(f->number, true, name);
	f->fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	s->anew_code = f->fd < 0 ? code_of_errno() : write_header(s, f);
	return s->anew_code;
}

void storage_rewrite_add(struct storage *s, struct frames *f)
{
	if (!s->anew_code)
		s->anew_code = append(&s->anew, f);
}

void storage_rewrite_abandon(struct storage *s)
{
	char name[NAME_BYTES];

	name_of(s->anew.number, true, name);
	if (s->anew.fd >= 0)
		unlinkat(s->dir_fd, name, 0);
	file_close(&s->anew);
}

static int finish(struct storage *s)
{
	struct frames f = {0};
	int rc = s->anew_code;

	if (!rc)
		rc = add(&f, 0, FRAME_VOUCH) ? append(&s->anew, &f) : ERR_NO_MEMORY;
	if (!rc)
		prepare(&s->anew);
	if (!rc && fdatasync(s->anew.fd))
		rc = code_of_errno();
	frames_fini(&f);
	return rc;
}

/* From the rename on there is no way back: another start would take the new one. */
static int take_over(struct storage *s)
{
	char name[NAME_BYTES], unfinished[NAME_BYTES];

	name_of(s->anew.number, true, unfinished);
	name_of(s->anew.number, false, name);
	if (renameat(s->dir_fd, unfinished, s->dir_fd, name))
		return code_of_errno();
	if (fsync(s->dir_fd)) {
		s->broken = ERR_CORRUPT;
		return ERR_CORRUPT;
	}
	name_of(s->log.number, false, name);
	if (s->log.fd >= 0)
		unlinkat(s->dir_fd, name, 0);
	file_close(&s->log);
	s->log = s->anew;
	s->anew = (struct file){.fd = -1};
	s->vouched = true;
	mark_write(s);
	return 0;
}

int storage_rewrite_end(struct storage *s)
{
	int rc = finish(s);

	if (!rc)
		rc = take_over(s);
	if (rc)
		storage_rewrite_abandon(s);
	return rc;
}

/* ---- reading ---- */

struct reading {
	struct storage *s;
	FILE *in;
	uint64_t size, offset;
	uint8_t *buffer; /* FRAME_HEADER_BYTES + FRAME_BYTES_MAX + 8 */
	struct mark mark;
	char *error;
	size_t error_size;
};

static int __attribute__((format(printf, 3, 4))) refuse(const struct reading *r, int code, const char *format, ...)
{
	char name[NAME_BYTES], why[160];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof why, format, arguments);
	va_end(arguments);
	name_of(r->s->log.number, false, name);
	snprintf(r->error, r->error_size, "%s/%s: %s", r->s->directory, name, why);
	return code;
}

static int read_header(struct reading *r)
{
	uint8_t h[HEADER_BYTES];

	if (fread(h, 1, sizeof h, r->in) != sizeof h || memcmp(h, magic, sizeof magic) != 0)
		return refuse(r, ERR_CORRUPT, "damaged at its beginning; restore it, or join anew with an empty directory");
	if (get32(h + 8) > FORMAT)
		return refuse(r, ERR_NOT_SUPPORTED, "of a newer version of coordfs");
	if (get64(h + 32) != XXH3_64bits(h, 32) || get64(h + 24) != r->s->log.number)
		return refuse(r, ERR_CORRUPT, "damaged at its beginning; restore it, or join anew with an empty directory");
	if (get64(h + 16) != r->s->member)
		return refuse(r, ERR_CORRUPT, "of member number %" PRIu64 ", this one is %" PRIu64, get64(h + 16),
			      r->s->member);
	r->offset = HEADER_BYTES;
	return 0;
}

/* The frame at r->offset is in the buffer. */
static bool read_frame(struct reading *r)
{
	uint64_t left = r->size - r->offset;
	size_t rest;

	if (left < FRAME_HEADER_BYTES || fread(r->buffer, 1, FRAME_HEADER_BYTES, r->in) != FRAME_HEADER_BYTES)
		return false;
	if (get32(r->buffer) > FRAME_BYTES_MAX || frame_bytes(get32(r->buffer)) > left)
		return false;
	rest = frame_bytes(get32(r->buffer)) - FRAME_HEADER_BYTES;
	return fread(r->buffer + FRAME_HEADER_BYTES, 1, rest, r->in) == rest &&
	       is_frame(r->buffer, FRAME_HEADER_BYTES + rest, r->s->log.number, r->offset);
}

static int read_frames(struct reading *r, int (*each)(void *ctx, const uint8_t *payload, size_t size), void *ctx)
{
	while (read_frame(r)) {
		uint32_t size = get32(r->buffer);
		bool vouch = get32(r->buffer + 4) == FRAME_VOUCH;
		int rc = vouch ? 0 : each(ctx, r->buffer + FRAME_HEADER_BYTES, size);

		if (rc)
			return refuse(r, rc, "the record at %" PRIu64 " makes no sense: %s", r->offset, error_text(rc));
		r->s->vouched = vouch;
		r->offset += frame_bytes(size);
	}
	return ferror(r->in) ? refuse(r, ERR_CORRUPT, "it cannot be read: %s", strerror(errno)) : 0;
}

/* What is behind the last sound frame: is there one that knew this place to be durable? empty: nothing but zeros. */
static bool tail_is_damaged(const struct reading *r, const uint8_t *tail, size_t size, bool *empty)
{
	*empty = true;
	for (size_t i = 0; i < size; i++)
		*empty &= tail[i] == 0;
	for (size_t i = 0; !*empty && i + FRAME_HEADER_BYTES <= size; i += 8)
		if (get32(tail + i + 4) != 0 && get64(tail + i + 8) > r->offset &&
		    is_frame(tail + i, size - i, r->s->log.number, r->offset + i))
			return true;
	return false;
}

static int cut_tail(struct reading *r)
{
	struct file *f = &r->s->log;

	f->prepared = r->offset;
	if (ftruncate(f->fd, (off_t)r->offset) || fdatasync(f->fd))
		return refuse(r, code_of_errno(), "what a crash cut off cannot be taken away: %s", strerror(errno));
	return 0;
}

static int read_tail(struct reading *r)
{
	size_t size = (size_t)(r->size - r->offset);
	uint8_t *tail = malloc(size + 1);
	bool damaged, empty;

	r->s->log.end = r->offset;
	r->s->log.prepared = r->size;
	if (!tail)
		return refuse(r, ERR_NO_MEMORY, "out of memory");
	if (pread(r->s->log.fd, tail, size, (off_t)r->offset) != (ssize_t)size) {
		free(tail);
		return refuse(r, ERR_CORRUPT, "it cannot be read: %s", strerror(errno));
	}
	damaged = tail_is_damaged(r, tail, size, &empty);
	free(tail);
	if (damaged)
		return refuse(r, ERR_CORRUPT, "damaged at %" PRIu64 "; restore it, or join anew with an empty directory",
			      r->offset);
	return empty ? 0 : cut_tail(r);
}

static int read_all(struct reading *r, int (*each)(void *ctx, const uint8_t *payload, size_t size), void *ctx)
{
	int rc = read_header(r);

	if (!rc)
		rc = read_frames(r, each, ctx);
	if (!rc && r->mark.number == r->s->log.number && r->offset < r->mark.end)
		rc = refuse(r, ERR_CORRUPT, "cut off or damaged at %" PRIu64 "; restore it, or join anew with an empty directory",
			    r->offset);
	return rc ? rc : read_tail(r);
}

static int read_log(struct reading *r, int (*each)(void *ctx, const uint8_t *payload, size_t size), void *ctx)
{
	char name[NAME_BYTES];
	struct stat st;
	int fd, rc = ERR_NO_MEMORY;

	name_of(r->s->log.number, false, name);
	r->s->log.fd = openat(r->s->dir_fd, name, O_RDWR | O_CLOEXEC);
	fd = r->s->log.fd < 0 ? -1 : dup(r->s->log.fd);
	if (fd < 0 || fstat(fd, &st))
		return refuse(r, ERR_ACCESS, "it cannot be opened: %s", strerror(errno));
	r->size = (uint64_t)st.st_size;
	r->in = fdopen(fd, "r");
	r->buffer = malloc(FRAME_HEADER_BYTES + FRAME_BYTES_MAX + 8);
	if (r->in && r->buffer)
		rc = read_all(r, each, ctx);
	if (r->in)
		fclose(r->in);
	free(r->buffer);
	return rc;
}

/* ---- life ---- */

static uint64_t number_of(const char *name, bool *unfinished)
{
	char end[8] = "";
	uint64_t number = 0;

	*unfinished = false;
	if (sscanf(name, "eventual-%" SCNu64 ".%7s", &number, end) != 2)
		return 0;
	*unfinished = strcmp(end, "log.new") == 0;
	return *unfinished || strcmp(end, "log") == 0 ? number : 0;
}

/* The highest; with remove, all others are removed. */
static uint64_t look_around(const struct storage *s, bool remove)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t highest = 0;
	struct dirent *e;
	bool unfinished;

	while (dir && (e = readdir(dir))) {
		uint64_t number = number_of(e->d_name, &unfinished);

		if (number && remove && (unfinished || number < s->log.number))
			unlinkat(s->dir_fd, e->d_name, 0);
		if (!unfinished && number > highest)
			highest = number;
	}
	if (dir)
		closedir(dir);
	return highest;
}

static struct storage *storage_new(const char *directory, uint64_t member)
{
	struct storage *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->log.fd = s->anew.fd = -1;
	s->member = member;
	s->directory = strdup(directory);
	s->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s;
}

static int check_mark(struct reading *r)
{
	struct storage *s = r->s;
	int rc = mark_read(s, &r->mark);

	if (rc) {
		snprintf(r->error, r->error_size, "%s/%s cannot be read: restore it, or join anew with an empty directory",
			 s->directory, MARK_NAME);
		return rc;
	}
	s->marked = r->mark.number != 0;
	if (s->log.number >= r->mark.number)
		return 0;
	snprintf(r->error, r->error_size,
		 "%s/eventual-%" PRIu64 ".log is missing, and with it eventual changes that were acknowledged here: restore "
		 "it, or join anew with an empty directory",
		 s->directory, r->mark.number);
	return ERR_CORRUPT;
}

int storage_open(const char *directory, uint64_t member, int (*each)(void *ctx, const uint8_t *payload, size_t size),
		 void *ctx, struct storage **out, char *error, size_t error_size)
{
	struct storage *s = storage_new(directory, member);
	struct reading r = {.s = s, .error = error, .error_size = error_size};
	int rc = 0;

	*out = NULL;
	if (!s || !s->directory || s->dir_fd < 0) {
		snprintf(error, error_size, "%s: %s", directory, strerror(errno));
		storage_close(s);
		return ERR_ACCESS;
	}
	s->log.number = look_around(s, false);
	rc = check_mark(&r);
	if (!rc && s->log.number)
		rc = read_log(&r, each, ctx);
	if (rc) {
		storage_close(s);
		return rc;
	}
	look_around(s, true);
	if (s->log.number && !s->marked)
		mark_write(s);
	*out = s;
	return 0;
}

void storage_close(struct storage *s)
{
	if (!s)
		return;
	if (s->anew.fd >= 0)
		storage_rewrite_abandon(s);
	file_close(&s->log);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->directory);
	free(s);
}
