/* Eventual counters: additions, and nothing else. */

#include <fcntl.h>

#include "front/eventual.h"
#include "front/machine_class.h"
#include "front/parse.h"
#include "front/widen.h"

enum { TEXT_BYTES_MAX = 21 }; /* a number, its sign, a newline */

static int refuse_line(const char **why, int code, const char *text)
{
	*why = text;
	return code;
}

/* All lines together. */
static int sum_of(const Coordfs__CounterRequest *requests, size_t count, int64_t *sum, const char **why)
{
	*sum = 0;
	for (size_t i = 0; i < count; i++) {
		if (requests[i].kind == COUNTER_CAS)
			return refuse_line(why, ERR_NOT_SUPPORTED, "an eventual counter is not compared: +N and -N only");
		if (requests[i].kind != COUNTER_ADD)
			return refuse_line(why, ERR_NOT_SUPPORTED, "an eventual counter is not set: +N and -N only");
		if (requests[i].id.len > 0)
			return refuse_line(why, ERR_NOT_SUPPORTED, "an eventual counter remembers no id=");
		if (__builtin_add_overflow(*sum, requests[i].value, sum))
			return refuse_line(why, ERR_RANGE, "the lines together add more than 64 bits hold");
	}
	return OK;
}

/* What it is after an addition: of what is known here nothing comes in between. What was added before is on its way to
 * the disk, and only then shown. */
static int64_t value_after(struct front *f, const struct gossip_place *at, const struct call *c)
{
	int64_t before = handle_adding(handle_of(&c->fi)), value = 0;
	struct gossip_attr a;

	if (gossip_attr(f->gossip, at, &a) == OK)
		value = a.value;
	if (__builtin_add_overflow(value, before, &value) || __builtin_add_overflow(value, c->amount, &value))
		value = c->amount < 0 ? INT64_MIN : INT64_MAX;
	return value;
}

static void added(struct handle *h, const struct call *c)
{
	handle_adds(h, (int64_t)(0 - (uint64_t)c->amount));
	handle_write_ends(h, uv_hrtime());
}

/* The value, which came along as the call's number, waits on the handle for its next read. */
static void answer_value(struct front *f, struct call *c, const struct reply *reply)
{
	struct handle *h = handle_of(&c->fi);
	char text[32];

	(void)f, (void)reply;
	added(h, c);
	if ((c->fi.flags & O_ACCMODE) == O_RDWR)
		text_reply(&h->text, text, value_text(h->kind, (int64_t)c->number, text));
	fuse_reply_write(c->req, c->size);
}

static void write_refused(struct front *f, struct call *c)
{
	(void)f;
	added(handle_of(&c->fi), c);
}

static void add(struct front *f, struct call *c, const struct gossip_place *at)
{
	struct handle *h = handle_of(&c->fi);
	bool waited = handle_write_begins(h, uv_hrtime());
	struct parked *p;

	if (waited && c->offset + c->size > TEXT_BYTES_MAX)
		widen(f, c->node, c->offset);
	c->number = (uint64_t)value_after(f, at, c);
	c->answer = answer_value;
	c->refused = write_refused;
	handle_adds(h, c->amount);
	p = call_keep(c);
	if (p)
		eventual_asked(p, gossip_add(f->gossip, at, c->amount, eventual_durable, p));
}

void eventual_counter_write(struct front *f, struct call *c, struct bytes data)
{
	Coordfs__CounterRequest *requests;
	char words[PARSE_ERROR_BYTES] = "";
	const char *why = words;
	struct gossip_place at;
	size_t count;
	int code = parse_counter(data, &requests, &count, words);

	if (code == OK)
		code = sum_of(requests, count, &c->amount, &why);
	if (code == OK)
		code = eventual_check(f, c->node, &at);
	if (code < 0)
		eventual_refuse(f, c, code, why);
	else
		add(f, c, &at);
	parse_counter_free(requests);
}
