/* What was not accepted is counted, always; told, so that one sender cannot fill the log: a line for each sender and
 * kind a minute, and for all senders together LINES_MAX. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "net/internal.h"

enum { REPEAT_MS = 60000, LINES_MAX = 30, TROUBLE_MS = 60000 };

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000 + 1; /* never 0 */
}

/* The place of this sender's refusals of this kind: its own, or the one that was not used for longest. */
static struct refusal_seen *find(struct refusals *r, enum refusal kind, const char *sender)
{
	struct refusal_seen *oldest = &r->seen[0];
	for (size_t i = 0; i < REFUSALS_KNOWN; i++) {
		struct refusal_seen *s = &r->seen[i];
		if (s->said_ms && s->kind == kind && strcmp(s->sender, sender) == 0)
			return s;
		if (s->said_ms < oldest->said_ms)
			oldest = s;
	}
	*oldest = (struct refusal_seen){.kind = kind};
	snprintf(oldest->sender, sizeof oldest->sender, "%s", sender);
	return oldest;
}

static bool may_write(struct refusals *r, uint64_t now)
{
	if (now - r->lines_since_ms >= REPEAT_MS) {
		r->lines_since_ms = now;
		r->lines = 0;
	}
	return ++r->lines <= LINES_MAX;
}

static void tell(struct net *n, struct refusal_seen *s, uint64_t now)
{
	char times[48] = "";
	s->times++;
	if (s->said_ms && now - s->said_ms < REPEAT_MS)
		return;
	if (s->times > 1)
		snprintf(times, sizeof times, " (%llu times)", (unsigned long long)s->times);
	s->said_ms = now;
	s->times = 0;
	if (may_write(&n->refusals, now))
		log_line(n->log, LOG_LEVEL_WARNING, "%s%s", n->refusals.trouble, times);
}

void refusal_note(struct net *n, enum refusal kind, const char *sender, const char *format, ...)
{
	struct refusals *r = &n->refusals;
	uint64_t now = now_ms();
	char why[TROUBLE_BYTES / 2 + TROUBLE_BYTES / 4];
	char from[SENDER_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof why, format, arguments);
	va_end(arguments);
	snprintf(from, sizeof from, "%s", sender && *sender ? sender : "somebody");
	snprintf(r->trouble, sizeof r->trouble, "%.*s: %s", (int)(sizeof r->trouble - sizeof why - 2), from, why);
	r->trouble_ms = now;
	r->count[kind]++;
	tell(n, find(r, kind, from), now);
}

const char *refusals_trouble(const struct net *n)
{
	const struct refusals *r = &n->refusals;
	return r->trouble_ms && now_ms() - r->trouble_ms < TROUBLE_MS ? r->trouble : NULL;
}
