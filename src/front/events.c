/* What applied entries mean for this mount. Called in the middle of machine_apply (or, when this member notices by its
 * clock that its session is over, from the loop): nothing here proposes, nor lets go of a view. */

#include "front/front.h"
#include "front/eventual.h"
#include "front/handle.h"
#include "front/loop.h"
#include "front/owed.h"
#include "front/transactions.h"
#include "front/wait.h"
#include "front/waiters.h"

static bool is_ours(const struct front *f, uint64_t session)
{
	return f->replica && session == replica_session(f->replica);
}

void front_lose_locks(struct front *f)
{
	struct numbers inodes = {0};
	char names[128];
	unsigned count;

	handles_lost_all(f->handles, &inodes);
	if (f->config.loss_signal) {
		count = loss_signal(f->device, &inodes, f->config.loss_signal, names, sizeof names);
		if (count > 0)
			log_line(f->log, LOG_LEVEL_WARNING, "locks of %zu files are lost: signal %d to %u processes: %s",
				 inodes.count, f->config.loss_signal, count, names);
	}
	numbers_fini(&inodes);
}

/* All that the session held is gone. Once for each session: after it was noticed by the clock its end still comes with
 * the log, or shows when the state is replaced. */
static void session_is_over(struct front *f, uint64_t session)
{
	if (session == f->session_over)
		return;
	f->session_over = session;
	f->epoch++;
	front_lose_locks(f);
	waiters_session_over(f);
	owed_session_over(f);
	transactions_session_over(f);
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
			session_is_over(f, event->session);
		break;
	case EVENT_CHANGE:
		eventual_touched(f, event->inode);
		handles_changed(f->handles, event->inode);
		wait_event(f, event);
		break;
	case EVENT_VOTE:
		wait_event(f, event);
		break;
	case EVENT_ENTRY:
		if (event->child)
			eventual_touched(f, event->child); /* a directory's handles cannot be polled */
		wait_event(f, event);
		break;
	}
}

/* Before front_start there is nobody who could know the inode. */
void front_before_gone(void *ctx, uint64_t inode, uint64_t session)
{
	struct front *f = ctx;

	if (f->session)
		handles_gone(f, inode, is_ours(f, session));
	eventual_gone(f, inode);
}

void front_log(void *ctx, const char *line)
{
	const struct front *f = ctx;

	log_line(f->log, LOG_LEVEL_WARNING, "%s", line);
}

/* ---- the state is replaced ---- */

/* No requests are read until it is there. */
void front_restoring(void *ctx)
{
	struct front *f = ctx;

	if (!f->session)
		return;
	loop_pause(f);
	transactions_restoring(f);
}

void front_restored(void *ctx)
{
	struct front *f = ctx;
	uint64_t session;

	if (!f->session)
		return;
	session = replica_session(f->replica);
	if (session && !machine_session_alive(replica_machine(f->replica), session))
		session_is_over(f, session);
	eventual_touched(f, 0);
	handles_restored(f);
	waiters_restored(f);
	wait_restored(f);
	transactions_restored(f);
	loop_resume(f);
}
