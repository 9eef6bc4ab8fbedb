#include "history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WORDS 8

void *must(void *memory)
{
	if (!memory) {
		fputs("out of memory\n", stderr);
		exit(2);
	}
	return memory;
}

/* Room for one more in an array whose capacity is the power of two at or above its count. */
static void *with_room(void *array, size_t count, size_t size)
{
	if (count == 0)
		return must(malloc(size));
	if ((count & (count - 1)) != 0)
		return array;
	return must(reallocarray(array, count * 2, size));
}

/* ---- texts as numbers ---- */

struct texts {
	char **texts;
	size_t count;
	uint32_t *slots; /* number + 1; 0: free */
	size_t slot_count; /* a power of two */
	int64_t *objects; /* by number of its name: number of the object, -1: none */
};

static size_t slot_of(const struct texts *t, const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;
	size_t slot;

	for (const char *p = text; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	slot = (hash ^ hash >> 29) & (t->slot_count - 1);
	while (t->slots[slot] && strcmp(t->texts[t->slots[slot] - 1], text) != 0)
		slot = (slot + 1) & (t->slot_count - 1);
	return slot;
}

static void texts_grow(struct texts *t)
{
	t->slot_count = t->slot_count ? t->slot_count * 2 : 64;
	free(t->slots);
	t->slots = must(calloc(t->slot_count, sizeof *t->slots));
	for (size_t i = 0; i < t->count; i++)
		t->slots[slot_of(t, t->texts[i])] = (uint32_t)i + 1;
}

static int64_t text_number(struct texts *t, const char *text)
{
	size_t slot;

	if (t->count * 2 >= t->slot_count)
		texts_grow(t);
	slot = slot_of(t, text);
	if (!t->slots[slot]) {
		t->texts = with_room(t->texts, t->count, sizeof *t->texts);
		t->objects = with_room(t->objects, t->count, sizeof *t->objects);
		t->texts[t->count] = must(strdup(text));
		t->objects[t->count++] = -1;
		t->slots[slot] = (uint32_t)t->count;
	}
	return t->slots[slot] - 1;
}

const char *history_text(const struct history *h, int64_t text) { return h->texts->texts[text]; }

/* ---- the format, as tables ---- */

static const struct {
	const char *prefix;
	enum object_kind kind;
} kinds[] = {
	{"counter:", KIND_COUNTER}, {"register:", KIND_REGISTER}, {"lock:", KIND_LOCK},
	{"name:", KIND_NAME},	    {"fence:", KIND_FENCE},	   {"session:", KIND_SESSION},
};

/* arguments: n a number, t a text, ? those that follow may be missing; result likewise, `-` for none */
static const struct format {
	enum object_kind kind;
	enum verb verb;
	const char *arguments;
	char result;
} formats[] = {
	{KIND_COUNTER, VERB_SET, "n", '-'},	  {KIND_COUNTER, VERB_ADD, "n?t", 'n'},
	{KIND_COUNTER, VERB_CAS, "nn", '-'},	  {KIND_COUNTER, VERB_READ, "", 'n'},
	{KIND_REGISTER, VERB_WRITE, "t", '-'},	  {KIND_REGISTER, VERB_READ, "", 't'},
	{KIND_REGISTER, VERB_REVISION, "", 'n'}, {KIND_REGISTER, VERB_CAS, "nt", 'n'},
	{KIND_LOCK, VERB_ACQUIRE, "", 'n'},	  {KIND_LOCK, VERB_CHECK, "n", '-'},
	{KIND_LOCK, VERB_RELEASE, "n", '-'},	  {KIND_NAME, VERB_CREATE, "t", '-'},
	{KIND_NAME, VERB_READ, "", 't'},	  {KIND_NAME, VERB_UNLINK, "", '-'},
	{KIND_FENCE, VERB_RAISE, "n", '-'},	  {KIND_FENCE, VERB_READ, "", 'n'},
	{KIND_SESSION, VERB_LAPSE, "", '-'},
};

static const char *const verb_names[] = {
	[VERB_SET] = "set",	    [VERB_ADD] = "add",		  [VERB_CAS] = "cas",	      [VERB_READ] = "read",
	[VERB_WRITE] = "write",	    [VERB_REVISION] = "revision", [VERB_ACQUIRE] = "acquire", [VERB_CHECK] = "check",
	[VERB_RELEASE] = "release", [VERB_CREATE] = "create",	  [VERB_UNLINK] = "unlink",   [VERB_RAISE] = "raise",
	[VERB_LAPSE] = "lapse",
};

const char *verb_name(enum verb verb) { return verb_names[verb]; }

static const struct format *find_format(enum object_kind kind, const char *verb)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (formats[i].kind == kind && strcmp(verb_names[formats[i].verb], verb) == 0)
			return &formats[i];
	return NULL;
}

/* ---- parsing ---- */

__attribute__((format(printf, 2, 3))) static int malformed(struct history *h, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(h->error, sizeof h->error, format, args);
	va_end(args);
	return -1;
}

static int parse_number(struct history *h, const char *word, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(word, &end, 10);
	if (errno || end == word || *end)
		return malformed(h, "'%.40s' is no number", word);
	return 0;
}

static int parse_value(struct history *h, char type, const char *word, int64_t *out)
{
	if (type == 'n')
		return parse_number(h, word, out);
	if (!*word)
		return malformed(h, "an empty text is written -");
	*out = text_number(h->texts, word);
	return 0;
}

static int parse_arguments(struct history *h, const char *types, char *word, struct operation *o)
{
	int64_t *out[] = {&o->a, &o->b};
	bool optional = false;
	size_t count = 0;
	char *next = strcmp(word, "-") == 0 && strcmp(types, "t") != 0 ? NULL : word;

	for (; *types; types++) {
		if (*types == '?') {
			optional = true;
			continue;
		}
		if (!next && optional)
			break;
		if (!next)
			return malformed(h, "%s takes more arguments", verb_name(o->verb));
		word = strsep(&next, ",");
		if (parse_value(h, *types, word, out[count++]) < 0)
			return -1;
	}
	o->has_b = count > 1;
	return next ? malformed(h, "%s takes fewer arguments", verb_name(o->verb)) : 0;
}

static int parse_errno(struct history *h, const char *word, int *out)
{
	for (int error = 1; error < 134; error++) {
		const char *name = strerrorname_np(error);

		if (name && strcmp(name, word) == 0) {
			*out = error;
			return 0;
		}
	}
	if (strcmp(word, "EWOULDBLOCK") == 0) {
		*out = EWOULDBLOCK;
		return 0;
	}
	return malformed(h, "'%.40s' is no result", word);
}

static int parse_result(struct history *h, char type, const char *word, struct operation *o)
{
	if (strcmp(word, "?") == 0) {
		o->unanswered = true;
		return 0;
	}
	if (*word != '=')
		return parse_errno(h, word, &o->error);
	if (!word[1])
		return 0;
	if (type == '-')
		return malformed(h, "%s has no result", verb_name(o->verb));
	o->has_result = true;
	return parse_value(h, type, word + 1, &o->result);
}

static int parse_times(struct history *h, const char *start, const char *end, struct operation *o)
{
	if (parse_number(h, start, &o->start_ns) < 0)
		return -1;
	o->end_ns = NEVER;
	if (strcmp(end, "-") != 0 && parse_number(h, end, &o->end_ns) < 0)
		return -1;
	if (o->end_ns < o->start_ns)
		return malformed(h, "it ends before it starts");
	return 0;
}

static int find_object(struct history *h, const char *name, uint32_t *out)
{
	int64_t number = text_number(h->texts, name);
	int64_t *object = &h->texts->objects[number];

	for (size_t i = 0; *object < 0 && i < sizeof kinds / sizeof *kinds; i++) {
		if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
			continue;
		h->objects = with_room(h->objects, h->object_count, sizeof *h->objects);
		h->objects[h->object_count] = (struct object){kinds[i].kind, h->texts->texts[number]};
		*object = (int64_t)h->object_count++;
	}
	if (*object < 0)
		return malformed(h, "'%.40s' is no KIND:PATH", name);
	*out = (uint32_t)*object;
	return 0;
}

static int parse_words(struct history *h, char *words[LINE_WORDS], struct operation *o)
{
	const struct format *format;
	int64_t client;

	if (parse_number(h, words[0], &client) < 0 || find_object(h, words[2], &o->object) < 0)
		return -1;
	if (client < 0 || client > UINT32_MAX)
		return malformed(h, "'%.40s' is no client", words[0]);
	o->client = (uint32_t)client;
	o->host = text_number(h->texts, words[1]);
	format = find_format(h->objects[o->object].kind, words[3]);
	if (!format)
		return malformed(h, "%s does not know '%.40s'", words[2], words[3]);
	o->verb = format->verb;
	if (parse_arguments(h, format->arguments, words[4], o) < 0 || parse_times(h, words[5], words[6], o) < 0 ||
	    parse_result(h, format->result, words[7], o) < 0)
		return -1;
	if (o->end_ns == NEVER && !o->unanswered && o->verb != VERB_LAPSE)
		return malformed(h, "an answer that never came");
	return 0;
}

int history_add_line(struct history *h, const char *line, uint32_t number)
{
	char *copy, *rest, *word, *words[LINE_WORDS];
	struct operation o = {.line = number};
	int count = 0, code = 0;

	rest = copy = must(strndup(line, strcspn(line, "\n")));
	while ((word = strsep(&rest, " ")))
		if (*word && count++ < LINE_WORDS)
			words[count - 1] = word;
	if (count > 0 && *words[0] != '#')
		code = count != LINE_WORDS ? malformed(h, "%d words, not %d", count, LINE_WORDS) : parse_words(h, words, &o);
	if (count > 0 && *words[0] != '#' && code == 0) {
		h->operations = with_room(h->operations, h->operation_count, sizeof *h->operations);
		h->operations[h->operation_count++] = o;
	}
	free(copy);
	return code;
}

int history_add_file(struct history *h, const char *path)
{
	FILE *file = fopen(path, "r");
	char reason[sizeof h->error], *line = NULL;
	uint32_t number = 0;
	size_t size = 0;
	int code = 0;

	if (!file)
		return malformed(h, "%s: %s", path, strerror(errno));
	while (code == 0 && getline(&line, &size, file) >= 0)
		code = history_add_line(h, line, ++number);
	if (code < 0) {
		snprintf(reason, sizeof reason, "%s", h->error);
		malformed(h, "%.60s:%u: %.160s", path, number, reason);
	} else if (ferror(file)) {
		code = malformed(h, "%s: cannot be read", path);
	}
	free(line);
	fclose(file);
	return code;
}

/* ---- the rest ---- */

struct history *history_new(void)
{
	struct history *h = must(calloc(1, sizeof *h));

	h->texts = must(calloc(1, sizeof *h->texts));
	text_number(h->texts, "-"); /* TEXT_EMPTY */
	return h;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->texts->count; i++)
		free(h->texts->texts[i]);
	free(h->texts->texts);
	free(h->texts->objects);
	free(h->texts->slots);
	free(h->texts);
	free(h->operations);
	free(h->objects);
	free(h);
}

enum outcome operation_outcome(const struct operation *o)
{
	if (o->unanswered)
		return OUTCOME_UNKNOWN;
	switch (o->error) {
	case 0:
		return OUTCOME_DONE;
	case ETIMEDOUT:
	case EINTR:
	case ENOTCONN: /* a mount whose daemon is gone says this and the next two */
	case ECONNABORTED:
	case EIO:
		return OUTCOME_UNKNOWN;
	default:
		return OUTCOME_REFUSED;
	}
}

static const struct format *format_of(const struct history *h, const struct operation *o)
{
	return find_format(h->objects[o->object].kind, verb_names[o->verb]);
}

static void print_value(FILE *out, const struct history *h, char type, int64_t value)
{
	if (type == 't')
		fputs(history_text(h, value), out);
	else
		fprintf(out, "%" PRId64, value);
}

static void print_arguments(FILE *out, const struct history *h, const struct operation *o)
{
	const char *types = format_of(h, o)->arguments;

	if (!*types)
		fputs("-", out);
	else
		print_value(out, h, types[0], o->a);
	if (o->has_b) {
		fputc(',', out);
		print_value(out, h, types[strlen(types) - 1], o->b);
	}
}

static void print_result(FILE *out, const struct history *h, const struct operation *o)
{
	if (o->unanswered)
		fputc('?', out);
	else if (o->error)
		fputs(strerrorname_np(o->error), out);
	else
		fputc('=', out);
	if (o->has_result)
		print_value(out, h, format_of(h, o)->result, o->result);
}

void operation_print(FILE *out, const struct history *h, const struct operation *o)
{
	fprintf(out, "line %u: %u %s %s %s ", o->line, o->client, history_text(h, o->host), h->objects[o->object].name,
		verb_name(o->verb));
	print_arguments(out, h, o);
	fprintf(out, " %" PRId64 " ", o->start_ns);
	if (o->end_ns == NEVER)
		fputs("- ", out);
	else
		fprintf(out, "%" PRId64 " ", o->end_ns);
	print_result(out, h, o);
	fputc('\n', out);
}
