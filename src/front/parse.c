#include "front/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words for people ---- */

static void explain(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void explain(char *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, PARSE_ERROR_BYTES, format, ap);
	va_end(ap);
}

/* What was written, shortened, with what does not print as \xNN: it ends on a line of `.info`. */
static const char *quoted(struct bytes text, char out[64])
{
	const unsigned char *in = text.data;
	size_t at = 0;

	for (size_t i = 0; i < text.size; i++) {
		if (at > 48) {
			strcpy(out + at, "…");
			return out;
		}
		if (in[i] >= ' ' && in[i] < 0x7f)
			out[at++] = (char)in[i];
		else
			at += (size_t)sprintf(out + at, "\\x%02x", in[i]);
	}
	out[at] = '\0';
	return out;
}

/* ---- pieces ---- */

static struct bytes bytes_from(struct bytes b, size_t skip)
{
	return (struct bytes){(const char *)b.data + skip, b.size - skip};
}

static struct bytes bytes_until(struct bytes b, size_t size)
{
	return (struct bytes){b.data, size};
}

static char byte_at(struct bytes b, size_t i)
{
	return ((const char *)b.data)[i];
}

static bool is_word(struct bytes b, const char *word)
{
	return b.size == strlen(word) && memcmp(b.data, word, b.size) == 0;
}

/* Take a prefix off; false, and unchanged, when it is not there. */
static bool skip_word(struct bytes *b, const char *word)
{
	size_t size = strlen(word);

	if (b->size < size || memcmp(b->data, word, size) != 0)
		return false;
	*b = bytes_from(*b, size);
	return true;
}

/* Split at the last occurrence of c: false when there is none. */
static bool split_last(struct bytes b, char c, struct bytes *head, struct bytes *tail)
{
	const char *at = b.size ? memrchr(b.data, c, b.size) : NULL;
	size_t size;

	if (!at)
		return false;
	size = (size_t)(at - (const char *)b.data);
	*head = bytes_until(b, size);
	*tail = bytes_from(b, size + 1);
	return true;
}

static bool split_first(struct bytes b, char c, struct bytes *head, struct bytes *tail)
{
	const char *at = b.size ? memchr(b.data, c, b.size) : NULL;
	size_t size;

	if (!at)
		return false;
	size = (size_t)(at - (const char *)b.data);
	*head = bytes_until(b, size);
	*tail = bytes_from(b, size + 1);
	return true;
}

bool parse_next_line(struct bytes *rest, struct bytes *line)
{
	struct bytes tail;

	if (rest->size == 0)
		return false;
	if (split_first(*rest, '\n', line, &tail)) {
		*rest = tail;
		return true;
	}
	*line = *rest;
	*rest = bytes_from(*rest, rest->size);
	return true;
}

/* ---- numbers ---- */

static bool is_digits(struct bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		if (byte_at(b, i) < '0' || byte_at(b, i) > '9')
			return false;
	return b.size > 0;
}

int parse_only_line(struct bytes input, char *out, size_t out_size, char *why)
{
	struct bytes line, more;

	if (!parse_next_line(&input, &line) || line.size == 0 || line.size >= out_size ||
	    memchr(line.data, '\0', line.size)) {
		snprintf(why, PARSE_ERROR_BYTES, "one line is wanted, of at most %zu bytes", out_size - 1);
		return ERR_INVALID;
	}
	if (parse_next_line(&input, &more)) {
		snprintf(why, PARSE_ERROR_BYTES, "one line at a time");
		return ERR_INVALID;
	}
	memcpy(out, line.data, line.size);
	out[line.size] = '\0';
	return OK;
}

int parse_u64(struct bytes text, uint64_t *out)
{
	uint64_t value = 0;

	*out = 0;
	if (!is_digits(text))
		return ERR_INVALID;
	for (size_t i = 0; i < text.size; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(byte_at(text, i) - '0'), &value))
			return ERR_RANGE;
	*out = value;
	return OK;
}

/* A magnitude with its sign; -2^63 is a number, 2^63 is not. */
static int signed_of(bool negative, uint64_t magnitude, int64_t *out)
{
	*out = 0;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return ERR_RANGE;
	*out = (int64_t)(negative ? 0 - magnitude : magnitude);
	return OK;
}

int parse_s64(struct bytes text, int64_t *out)
{
	bool negative = skip_word(&text, "-");
	uint64_t magnitude;
	int code = parse_u64(text, &magnitude);

	*out = 0;
	return code < 0 ? code : signed_of(negative, magnitude, out);
}

/* ---- counters ---- */

static bool is_id(struct bytes id)
{
	for (size_t i = 0; i < id.size; i++)
		if (byte_at(id, i) <= ' ' || byte_at(id, i) >= 0x7f)
			return false;
	return id.size > 0 && id.size <= LIMIT_ID_BYTES;
}

/* Take ` id=TEXT` off the end. */
static int parse_id(struct bytes *line, struct bytes *id)
{
	struct bytes head, tail;

	*id = (struct bytes){NULL, 0};
	if (!split_last(*line, ' ', &head, &tail) || !skip_word(&tail, "id="))
		return OK;
	if (!is_id(tail))
		return ERR_INVALID;
	*line = head;
	*id = tail;
	return OK;
}

static int parse_cas(struct bytes text, Coordfs__CounterRequest *out)
{
	struct bytes expected, value;
	int code, code2;

	if (!split_first(text, ' ', &expected, &value))
		return ERR_INVALID;
	code = parse_s64(expected, &out->expected);
	code2 = parse_s64(value, &out->value);
	out->kind = COUNTER_CAS;
	if (code == ERR_INVALID || code2 == ERR_INVALID)
		return ERR_INVALID;
	return code < 0 ? code : code2;
}

static int parse_amount(struct bytes text, Coordfs__CounterRequest *out)
{
	bool negative = skip_word(&text, "-");
	uint64_t magnitude;
	int code;

	if (!negative)
		skip_word(&text, "+");
	code = parse_u64(text, &magnitude);
	out->kind = COUNTER_ADD;
	return code < 0 ? code : signed_of(negative, magnitude, &out->value);
}

static int parse_set(struct bytes text, Coordfs__CounterRequest *out)
{
	skip_word(&text, "=");
	out->kind = COUNTER_SET;
	return parse_s64(text, &out->value);
}

static int parse_counter_line(struct bytes line, Coordfs__CounterRequest *out)
{
	struct bytes id;
	int code = parse_id(&line, &id);

	coordfs__counter_request__init(out);
	if (code < 0)
		return code;
	out->id = (ProtobufCBinaryData){id.size, (uint8_t *)(uintptr_t)id.data};
	if (skip_word(&line, "cas "))
		return parse_cas(line, out);
	if (line.size && (byte_at(line, 0) == '+' || byte_at(line, 0) == '-'))
		return parse_amount(line, out);
	return parse_set(line, out);
}

static void explain_counter(char *why, size_t number, struct bytes line, int code)
{
	char text[64];

	if (code == ERR_RANGE)
		explain(why, "line %zu: '%s' is beyond a signed 64-bit number", number, quoted(line, text));
	else
		explain(why,
			"line %zu: '%s' is no request; write 10, =-10, +1, -3 or cas OLD NEW, then id=TEXT if you like",
			number, quoted(line, text));
}

static size_t count_lines(struct bytes input)
{
	size_t count = 0;
	struct bytes line;

	while (parse_next_line(&input, &line))
		count++;
	return count;
}

/* How many lines; ERR_TOO_BIG beyond the limits. */
static int measure(struct bytes input, size_t *lines, char *why)
{
	*lines = 0;
	if (input.size > LIMIT_REQUEST_BYTES) {
		explain(why, "one write takes at most %u bytes", LIMIT_REQUEST_BYTES);
		return ERR_TOO_BIG;
	}
	*lines = count_lines(input);
	if (*lines > LIMIT_REQUEST_LINES) {
		explain(why, "one write takes at most %u lines", LIMIT_REQUEST_LINES);
		return ERR_TOO_BIG;
	}
	return OK;
}

int parse_counter(struct bytes input, Coordfs__CounterRequest **requests, size_t *count, char *why)
{
	Coordfs__CounterRequest *list;
	struct bytes line;
	size_t lines, at = 0;
	int code = measure(input, &lines, why);

	*requests = NULL;
	*count = 0;
	if (code < 0 || lines == 0)
		return code;
	list = calloc(lines, sizeof *list);
	if (!list)
		return ERR_NO_MEMORY;
	while (parse_next_line(&input, &line)) {
		code = parse_counter_line(line, &list[at++]);
		if (code < 0) {
			explain_counter(why, at, line, code);
			free(list);
			return code;
		}
	}
	*requests = list;
	*count = lines;
	return OK;
}

void parse_counter_free(Coordfs__CounterRequest *requests)
{
	free(requests);
}

/* ---- fences ---- */

static int parse_token(struct bytes text, uint64_t *token, char *why)
{
	char shown[64];
	int code = parse_u64(text, token);

	if (code == ERR_RANGE)
		explain(why, "token '%s' is beyond a 64-bit number", quoted(text, shown));
	else if (code < 0)
		explain(why, "'%s' is no token: a decimal number without sign", quoted(text, shown));
	return code;
}

int parse_fence(struct bytes input, uint64_t *highest, char *why)
{
	struct bytes line;
	uint64_t token;
	size_t lines;
	int code = measure(input, &lines, why);

	*highest = 0;
	while (code == OK && parse_next_line(&input, &line)) {
		code = parse_token(line, &token, why);
		if (code == OK && token < *highest) {
			explain(why, "token %llu comes after %llu in the same write", (unsigned long long)token,
				(unsigned long long)*highest);
			code = ERR_STALE;
		}
		if (code == OK)
			*highest = token;
	}
	return code;
}

/* ---- .info ---- */

static bool is_key(struct bytes key)
{
	for (size_t i = 0; i < key.size; i++) {
		char c = byte_at(key, i);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return key.size > 0;
}

int parse_info(struct bytes line, struct info_request *out, char *why)
{
	char shown[64];
	struct bytes rest = line;

	memset(out, 0, sizeof *out);
	if (skip_word(&rest, "break ")) {
		out->is_break = true;
		return parse_token(rest, &out->token, why);
	}
	if (split_first(line, '=', &out->key, &out->value) && is_key(out->key))
		return OK;
	memset(out, 0, sizeof *out);
	explain(why, "'%s' is no request; write key=value or break TOKEN", quoted(line, shown));
	return ERR_INVALID;
}

/* ---- ctl of a transaction ---- */

static int parse_require(struct bytes text, struct ctl_request *out, char *why)
{
	struct bytes token;

	out->verb = CTL_REQUIRE;
	if (!split_last(text, ' ', &out->path, &token) || out->path.size == 0 ||
	    memchr(out->path.data, '\0', out->path.size)) {
		explain(why, "require takes a path and a token: require locks/db 41");
		return ERR_INVALID;
	}
	return parse_token(token, &out->token, why);
}

int parse_ctl(struct bytes line, struct ctl_request *out, char *why)
{
	char shown[64];
	struct bytes rest = line;

	memset(out, 0, sizeof *out);
	if (skip_word(&rest, "require "))
		return parse_require(rest, out, why);
	if (is_word(line, "commit")) {
		out->verb = CTL_COMMIT;
		return OK;
	}
	if (is_word(line, "rollback")) {
		out->verb = CTL_ROLLBACK;
		return OK;
	}
	explain(why, "'%s' is no request; write commit, rollback or require PATH TOKEN", quoted(line, shown));
	return ERR_INVALID;
}

/* ---- PATH@REVISION ---- */

int parse_at_revision(struct bytes text, struct bytes *name, uint64_t *revision)
{
	struct bytes number;

	*revision = 0;
	if (!split_last(text, '@', name, &number) || name->size == 0) {
		*name = (struct bytes){NULL, 0};
		return ERR_INVALID;
	}
	return parse_u64(number, revision);
}
