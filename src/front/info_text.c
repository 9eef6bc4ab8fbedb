/* `revision=` is the revision of the last change of the content (of a directory: of its names): the number that
 * files/.cas compares with. `modified_revision=` counts every change, attributes and links too; `created=` and
 * `modified=` are the log's times of the first and of the last change of anything. */

#include "front/info_text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define RANGE_TEXT_BYTES 48
#define COMMAND_WORD_BYTES 17u

static const char *kind_name(enum inode_kind kind)
{
	switch (kind) {
	case KIND_FILE:
		return "file";
	case KIND_DIRECTORY:
		return "directory";
	case KIND_SYMLINK:
		return "symlink";
	case KIND_COUNTER:
		return "counter";
	case KIND_FENCE:
		return "fence";
	}
	return "unknown";
}

static const char *lock_kind_name(enum lock_kind kind)
{
	return kind == LOCK_KIND_FLOCK ? "flock" : kind == LOCK_KIND_OFD ? "ofd" : "posix";
}

static const char *lock_mode_name(enum lock_mode mode)
{
	return mode == LOCK_MODE_EXCLUSIVE ? "exclusive" : mode == LOCK_MODE_SHARED ? "shared" : "unlocked";
}

static const char *consistency_name(enum consistency level)
{
	return level == CONSISTENCY_EVENTUAL ? "eventual" : level == CONSISTENCY_WEAK ? "weak" : "strong";
}

void info_put_printable(FILE *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		putc(c < 0x20 || c == 0x7f ? '?' : c, out);
	}
}

void info_print_text(FILE *out, const char *key, const char *text)
{
	fprintf(out, "%s=", key);
	info_put_printable(out, text, strlen(text));
	putc('\n', out);
}

const char *time_text(int64_t ns, char out[static TIME_TEXT_BYTES])
{
	time_t seconds = (time_t)(ns / 1000000000);
	unsigned ms = (unsigned)(ns % 1000000000 / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(out, TIME_TEXT_BYTES - 8, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, TIME_TEXT_BYTES - n, ".%03uZ", ms % 1000);
	return out;
}

void info_print_time(FILE *out, const char *key, int64_t ns)
{
	char text[TIME_TEXT_BYTES];

	fprintf(out, "%s=%s\n", key, time_text(ns, text));
}

static void print_bound(FILE *out, const char *key, bool has, int64_t value)
{
	if (has)
		fprintf(out, "%s=%" PRId64 "\n", key, value);
	else
		fprintf(out, "%s=\n", key);
}

static void print_kind(FILE *out, const struct attr *a)
{
	switch (a->kind) {
	case KIND_COUNTER:
		fprintf(out, "value=%" PRId64 "\n", a->value);
		print_bound(out, "min", a->has_min, a->min);
		print_bound(out, "max", a->has_max, a->max);
		break;
	case KIND_FENCE:
		fprintf(out, "token=%" PRIu64 "\n", (uint64_t)a->value);
		break;
	case KIND_DIRECTORY:
		fprintf(out, "entries=%" PRIu64 "\n", a->entries);
		break;
	case KIND_FILE:
	case KIND_SYMLINK:
		fprintf(out, "size=%" PRIu64 "\n", a->size);
		break;
	}
}

void info_print_object(FILE *out, const struct attr *a, const char *error)
{
	fprintf(out, "type=%s\n", kind_name(a->kind));
	fprintf(out, "revision=%" PRIu64 "\n", a->content);
	fprintf(out, "consistency=%s\n", consistency_name(a->consistency));
	info_print_time(out, "created", a->created_ns);
	info_print_time(out, "modified", a->ctime_ns);
	fprintf(out, "created_revision=%" PRIu64 "\n", a->created);
	fprintf(out, "modified_revision=%" PRIu64 "\n", a->modified);
	info_print_text(out, "error", error ? error : "");
	print_kind(out, a);
}

void info_print_age(FILE *out, uint64_t age_ms)
{
	if (age_ms == UINT64_MAX)
		fprintf(out, "age_ms=\n");
	else
		fprintf(out, "age_ms=%" PRIu64 "\n", age_ms);
}

void lock_summary_add(struct lock_summary *s, const struct lock_info *lock)
{
	if (lock->token == 0)
		return;
	if (lock->token > s->token)
		s->token = lock->token;
	if (lock->mode > s->mode)
		s->mode = lock->mode;
}

void info_print_lock_summary(FILE *out, const struct lock_summary *s)
{
	fprintf(out, "mode=%s\n", lock_mode_name(s->mode));
	fprintf(out, "token=%" PRIu64 "\n", s->token);
}

static const char *range_text(const struct lock_info *lock, char out[static RANGE_TEXT_BYTES])
{
	if (lock->end == UINT64_MAX)
		snprintf(out, RANGE_TEXT_BYTES, "%" PRIu64 "-EOF", lock->start);
	else
		snprintf(out, RANGE_TEXT_BYTES, "%" PRIu64 "-%" PRIu64, lock->start, lock->end);
	return out;
}

void info_print_lock(FILE *out, const struct lock_info *lock)
{
	char since[TIME_TEXT_BYTES], range[RANGE_TEXT_BYTES];

	fputs(lock->token ? "holder=" : "waiter=", out);
	fprintf(out, "host=%s pid=%" PRIu32 " uid=%" PRIu32, lock->member, lock->pid, lock->uid);
	fprintf(out, " kind=%s mode=%s range=%s", lock_kind_name(lock->kind), lock_mode_name(lock->mode),
		range_text(lock, range));
	fprintf(out, " since=%s token=%" PRIu64, time_text(lock->since_ns, since), lock->token);
	if (lock->position)
		fprintf(out, " position=%" PRIu64, lock->position);
	fputs(" command=", out);
	info_put_printable(out, lock->process.data, lock->process.size);
	putc('\n', out);
}

/* ---- a table of them ---- */

#define ROW "%-7s %8s %-10s %8s %6s %-5s %-9s %-13s %-20s %-15s "

void info_print_lock_heading(FILE *out)
{
	fprintf(out, ROW "PATH\n", "STATE", "TOKEN", "HOST", "PID", "UID", "KIND", "MODE", "RANGE", "SINCE", "COMMAND");
}

/* A command's name as one word of plain characters. */
static const char *command_word(struct bytes process, char out[static COMMAND_WORD_BYTES])
{
	size_t size = process.size < COMMAND_WORD_BYTES ? process.size : COMMAND_WORD_BYTES - 1;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = ((const unsigned char *)process.data)[i];

		out[i] = (char)(c == ' ' ? '_' : c < 0x20 || c == 0x7f ? '?' : c);
	}
	out[size] = '\0';
	return size ? out : "-";
}

void info_print_lock_row(FILE *out, const struct lock_info *lock, const char *path)
{
	char token[24], pid[12], uid[12], range[RANGE_TEXT_BYTES], since[TIME_TEXT_BYTES], command[COMMAND_WORD_BYTES];

	snprintf(token, sizeof token, lock->token ? "%" PRIu64 : "#%" PRIu64,
		 lock->token ? lock->token : lock->position);
	snprintf(pid, sizeof pid, "%" PRIu32, lock->pid);
	snprintf(uid, sizeof uid, "%" PRIu32, lock->uid);
	snprintf(since, sizeof since, "%.19sZ", time_text(lock->since_ns, (char[TIME_TEXT_BYTES]){0}));
	fprintf(out, ROW, lock->token ? "held" : "waiting", token, lock->member, pid, uid, lock_kind_name(lock->kind),
		lock_mode_name(lock->mode), range_text(lock, range), since, command_word(lock->process, command));
	info_put_printable(out, path, strlen(path));
	putc('\n', out);
}

/* ---- taking one key out again ---- */

struct extract {
	char *out;
	size_t size, length;
};

static void extract_put(struct extract *x, const char *data, size_t size)
{
	size_t room = x->length < x->size ? x->size - x->length : 0;

	if (room > 0)
		memcpy(x->out + x->length, data, size < room ? size : room);
	x->length += size;
}

int info_extract(const char *text, const char *key, char *out, size_t size)
{
	struct extract x = {out, size, 0};
	size_t key_size = strlen(key);
	bool found = false;
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (strncmp(text, key, key_size) != 0 || text[key_size] != '=')
			continue;
		if (found)
			extract_put(&x, "\n", 1);
		extract_put(&x, text + key_size + 1, (size_t)(end - text) - key_size - 1);
		found = true;
	}
	return found ? (int)x.length : ERR_NO_DATA;
}
