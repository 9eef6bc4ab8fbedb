#include "front/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void text_init(struct text *t)
{
	*t = (struct text){.state = TEXT_NONE};
}

void text_fini(struct text *t)
{
	free(t->data);
	text_init(t);
}

/* A snapshot's start is asked for again: the reader wants the present. A reply's start was given: the same. */
bool text_needs_snapshot(const struct text *t, uint64_t offset)
{
	switch (t->state) {
	case TEXT_REPLY:
		return false;
	case TEXT_SNAPSHOT:
	case TEXT_REPLY_READ:
		return offset <= t->base || offset == 0;
	default:
		return true;
	}
}

static int take(struct text *t, const char *data, size_t size)
{
	char *grown;

	if (size > t->capacity) {
		grown = realloc(t->data, size);
		if (!grown)
			return ERR_NO_MEMORY;
		t->data = grown;
		t->capacity = size;
	}
	if (size)
		memcpy(t->data, data, size);
	t->size = size;
	return 0;
}

/* A read before the base, or the first at all, is of the text as a file: it begins at offset 0. One at the base
 * of a snapshot that began later (after a write) repeats it there. */
int text_snapshot(struct text *t, uint64_t offset, const char *data, size_t size)
{
	int code = take(t, data, size);

	if (code < 0)
		return code;
	if (t->state == TEXT_NONE || offset != t->base)
		t->base = 0;
	t->state = TEXT_SNAPSHOT;
	return 0;
}

int text_reply(struct text *t, const char *data, size_t size)
{
	int code = take(t, data, size);

	if (code < 0)
		return code;
	t->state = TEXT_REPLY;
	return 0;
}

const char *text_read(struct text *t, uint64_t offset, size_t size, size_t *got)
{
	uint64_t from;

	if (t->state == TEXT_REPLY) {
		t->base = offset;
		t->state = TEXT_REPLY_READ;
	}
	*got = 0;
	if (t->state == TEXT_NONE || offset < t->base)
		return "";
	from = offset - t->base;
	if (from >= t->size)
		return "";
	*got = t->size - from < size ? t->size - from : size;
	return t->data + from;
}
