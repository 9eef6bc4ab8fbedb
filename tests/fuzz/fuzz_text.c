/* A handle's text under any order of reads and replies, against what INTERFACE's rule 5 says in plain code. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "front/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_text: %s\n", what);
	abort();
}

static void read_once(struct text *t, const char *now, uint64_t offset, size_t size, const char **reply)
{
	const char *got_data;
	size_t got;

	if (text_needs_snapshot(t, offset)) {
		require(!*reply, "a snapshot hides a reply");
		require(text_snapshot(t, offset, now, strlen(now)) == OK, "no memory");
	}
	got_data = text_read(t, offset, size, &got);
	require(got <= size, "more than was asked for");
	if (*reply) {
		require(got == (strlen(*reply) < size ? strlen(*reply) : size), "not the whole reply");
		require(memcmp(got_data, *reply, got) == 0, "not the reply");
	} else if (offset == 0 && size > 0) {
		require(got > 0 && memcmp(got_data, now, got) == 0, "offset 0 is not the present");
	}
	*reply = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const words[] = {"1\n", "-42\n", "9223372036854775807\n", ""};
	const char *reply = NULL;
	struct text t;

	text_init(&t);
	for (size_t i = 0; i + 1 < size; i += 2) {
		if (data[i] & 1) {
			reply = words[data[i + 1] & 3];
			require(text_reply(&t, reply, strlen(reply)) == OK, "no memory");
		} else {
			read_once(&t, words[data[i] >> 1 & 1], data[i + 1], data[i] >> 2 & 31, &reply);
		}
	}
	text_fini(&t);
	return 0;
}
