/* Counters and fences: a write is a list of requests, a read is the number. */

#include "front/machine_class.h"

#include <fcntl.h>
#include <stdlib.h>

#include "front/parse.h"
#include "front/widen.h"

enum { TEXT_BYTES_MAX = 21 }; /* a number, its sign, a newline */

/* ---- READ ---- */

static int snapshot(struct front *f, struct handle *h, uint64_t offset)
{
	struct orphan *orphan;
	struct attr attr;
	char text[32];
	int code = attr_now(f, handle_inode(h), &attr, &orphan);

	return code < 0 ? code : text_snapshot(&h->text, offset, text, value_text(attr.kind, attr.value, text));
}

void counters_read(struct front *f, struct call *c)
{
	struct handle *h = handle_of(&c->fi);
	int code = text_needs_snapshot(&h->text, c->offset) ? snapshot(f, h, c->offset) : OK;
	const char *data;
	size_t got;

	if (code < 0) {
		reply_code(c->req, code);
		return;
	}
	data = text_read(&h->text, c->offset, c->size, &got);
	fuse_reply_buf(c->req, data, got);
}

/* ---- WRITE ---- */

static void refuse(struct front *f, const struct call *c, int code, const char *why)
{
	note_error(f, c->node, code, why);
	reply_code(c->req, code);
}

/* The result waits on the handle for its next read. */
static void answer_value(struct front *f, struct call *c, const struct reply *reply)
{
	struct handle *h = handle_of(&c->fi);
	char text[32];

	(void)f;
	handle_write_ends(h, uv_hrtime());
	if ((c->fi.flags & O_ACCMODE) == O_RDWR)
		text_reply(&h->text, text, value_text(h->kind, reply->value, text));
	fuse_reply_write(c->req, c->size);
}

static void write_refused(struct front *f, struct call *c)
{
	(void)f;
	handle_write_ends(handle_of(&c->fi), uv_hrtime());
}

/* An answer is expected: by answer_value or write_refused. */
static void propose_write(struct front *f, struct call *c, const Coordfs__Command *command)
{
	bool waited = handle_write_begins(handle_of(&c->fi), uv_hrtime());

	if (waited && c->offset + c->size > TEXT_BYTES_MAX)
		widen(f, c->node, c->offset);
	c->answer = answer_value;
	c->refused = write_refused;
	call_propose(c, command);
}

static void propose_update(struct front *f, struct call *c, Coordfs__CounterRequest *requests, size_t count)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__CounterUpdate update = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__CounterRequest **list = malloc(count * sizeof *list);

	if (!list) {
		reply_code(c->req, ERR_NO_MEMORY);
		return;
	}
	for (size_t i = 0; i < count; i++)
		list[i] = &requests[i];
	update.inode = c->node;
	update.requests = list;
	update.n_requests = count;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &update;
	propose_write(f, c, &command);
	free(list);
}

void counters_write(struct front *f, struct call *c, struct bytes data)
{
	Coordfs__CounterRequest *requests;
	char why[PARSE_ERROR_BYTES] = "";
	size_t count;
	int code = parse_counter(data, &requests, &count, why);

	if (code == OK && handle_orphan(handle_of(&c->fi)))
		code = ERR_STALE;
	if (code < 0)
		refuse(f, c, code, why);
	else
		propose_update(f, c, requests, count);
	parse_counter_free(requests);
}

void fences_write(struct front *f, struct call *c, struct bytes data)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__FenceAdvance fence = COORDFS__FENCE_ADVANCE__INIT;
	char why[PARSE_ERROR_BYTES] = "";
	int code = parse_fence(data, &fence.token, why);

	if (code == OK && handle_orphan(handle_of(&c->fi)))
		code = ERR_STALE;
	if (code < 0) {
		refuse(f, c, code, why);
		return;
	}
	fence.inode = c->node;
	command.of_case = COORDFS__COMMAND__OF_FENCE;
	command.fence = &fence;
	propose_write(f, c, &command);
}
