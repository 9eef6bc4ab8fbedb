/* Every parser of what users write, over any bytes. The first byte chooses one. Beyond "no crash": what is accepted
 * must parse the same when written again, what is refused must say why and leave nothing to free. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_parse: %s\n", what);
	abort();
}

static void require_words(int code, const char *why)
{
	require(memchr(why, '\0', PARSE_ERROR_BYTES) != NULL, "why is not terminated");
	require(code != OK || !*why, "words without a refusal");
	require(code == OK || code == ERR_NO_MEMORY || *why, "a refusal without words");
	for (const char *c = why; *c; c++)
		require((unsigned char)*c >= ' ', "a control character in the words");
}

static size_t write_request(char *out, size_t size, const Coordfs__CounterRequest *r)
{
	int used = 0;

	if (r->kind == COUNTER_SET)
		used = snprintf(out, size, "=%lld", (long long)r->value);
	else if (r->kind == COUNTER_ADD)
		used = snprintf(out, size, "%+lld", (long long)r->value);
	else
		used = snprintf(out, size, "cas %lld %lld", (long long)r->expected, (long long)r->value);
	if (r->id.len)
		used += snprintf(out + used, size - (size_t)used, " id=%.*s", (int)r->id.len, (const char *)r->id.data);
	return (size_t)used;
}

static void check_request(const Coordfs__CounterRequest *r)
{
	char line[LIMIT_ID_BYTES + 100], why[PARSE_ERROR_BYTES] = "";
	size_t size = write_request(line, sizeof line, r), count;
	Coordfs__CounterRequest *again;

	require(parse_counter((struct bytes){line, size}, &again, &count, why) == OK && count == 1,
		"an accepted request is refused when written again");
	require(again->kind == r->kind && again->value == r->value && again->expected == r->expected &&
			again->id.len == r->id.len,
		"an accepted request means something else when written again");
	parse_counter_free(again);
}

static void fuzz_counter(struct bytes input)
{
	Coordfs__CounterRequest *list;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;
	int code = parse_counter(input, &list, &count, why);

	require_words(code, why);
	require(code == OK || (!list && count == 0), "a refusal with results");
	for (size_t i = 0; i < count; i++)
		check_request(&list[i]);
	parse_counter_free(list);
}

static void fuzz_fence(struct bytes input)
{
	char why[PARSE_ERROR_BYTES] = "";
	uint64_t token;
	int code = parse_fence(input, &token, why);

	require_words(code, why);
	if (code == OK) {
		char line[32];
		uint64_t again;
		int size = snprintf(line, sizeof line, "%llu\n", (unsigned long long)token);

		require(parse_fence((struct bytes){line, (size_t)size}, &again, why) == OK && again == token,
			"an accepted token is refused when written again");
	}
}

static void fuzz_info(struct bytes input)
{
	char why[PARSE_ERROR_BYTES] = "";
	struct info_request r;
	int code = parse_info(input, &r, why);

	require_words(code, why);
	require(code != OK || r.is_break || r.key.size + r.value.size + 1 == input.size, "a line is not all of its parts");
}

static void fuzz_ctl(struct bytes input)
{
	char why[PARSE_ERROR_BYTES] = "";
	struct ctl_request r;
	int code = parse_ctl(input, &r, why);

	require_words(code, why);
	require(code != OK || r.verb != CTL_REQUIRE || r.path.size > 0, "require without a path");
}

static void fuzz_at_revision(struct bytes input)
{
	struct bytes name;
	uint64_t revision;
	int code = parse_at_revision(input, &name, &revision);

	require(code != OK || (name.size > 0 && name.size < input.size), "a name that is not a part");
}

static void fuzz_lines(struct bytes input)
{
	struct bytes rest = input, line;
	size_t size = 0, lines = 0;

	while (parse_next_line(&rest, &line)) {
		size += line.size;
		lines++;
	}
	require(size + lines == input.size || size + lines == input.size + 1, "bytes were lost between lines");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(struct bytes) = {
		fuzz_counter, fuzz_fence, fuzz_info, fuzz_ctl, fuzz_at_revision, fuzz_lines,
	};

	if (size > 0)
		parsers[data[0] % (sizeof parsers / sizeof *parsers)]((struct bytes){data + 1, size - 1});
	return 0;
}
