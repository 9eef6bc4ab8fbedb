/* What applied entries mean for this mount. Called in the middle of machine_apply: nothing here proposes. */

#include "front/front.h"
#include "front/handle.h"
#include "front/waiters.h"

static bool is_ours(const struct front *f, uint64_t session)
{
	return f->replica && session == replica_session(f->replica);
}

/* All that the session held is gone. (It is not ended by this mount itself while it serves.) */
static void session_is_over(struct front *f)
{
	waiters_deny_all(f, ERR_STALE);
	handles_lost_all(f->handles);
}

void front_event(void *ctx, const struct event *event)
{
	struct front *f = ctx;

	switch (event->type) {
	case EVENT_GRANT:
		if (is_ours(f, event->session))
			waiters_granted(f, event->sequence);
		break;
	case EVENT_DENY:
		if (is_ours(f, event->session))
			waiters_denied(f, event->sequence, event->code);
		break;
	case EVENT_LOSS:
		if (is_ours(f, event->session))
			handles_lost(f->handles, event->inode, event->handle);
		break;
	case EVENT_SESSION_END:
		if (is_ours(f, event->session))
			session_is_over(f);
		break;
	case EVENT_CHANGE:
		handles_changed(f->handles, event->inode);
		break;
	case EVENT_ENTRY:
		break; /* a directory's handles cannot be polled */
	}
}

/* Before front_start there is nobody who could know the inode. */
void front_before_gone(void *ctx, uint64_t inode, uint64_t session)
{
	struct front *f = ctx;

	if (f->session)
		handles_gone(f, inode, is_ours(f, session));
}

void front_log(void *ctx, const char *line)
{
	const struct front *f = ctx;

	log_line(f->log, LOG_LEVEL_WARNING, "%s", line);
}
