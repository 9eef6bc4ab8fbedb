/* Writing to `.info`: from the plan to a command, and to the answer when it is committed. */

#include <string.h>

#include "front/access.h"
#include "front/eventual.h"
#include "front/info.h"
#include "front/transactions.h"
#include "front/virtual.h"

/* A WRITE's result, to be read on the same handle, is `ok`; SETXATTR has no handle. */
static void answer_ok(const struct call *c)
{
	if (!c->has_fi) {
		fuse_reply_err(c->req, 0);
		return;
	}
	text_reply(generated_handle(&c->fi), "ok\n", 3); /* without memory the next read gives the lines instead */
	fuse_reply_write(c->req, c->size);
}

static void on_committed(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f, (void)reply;
	answer_ok(c);
}

static void propose(const struct call *c, const Coordfs__Command *command)
{
	struct call copy = *c;

	copy.answer = on_committed;
	call_propose(&copy, command);
}

/* ---- the machine's objects ---- */

static void propose_break(const struct call *c, const struct info_plan *plan, const struct attr *a)
{
	Coordfs__LockBreak q = COORDFS__LOCK_BREAK__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	uint32_t uid = fuse_req_ctx(c->req)->uid;

	if (uid != 0 && uid != a->uid) {
		call_refuse(c, ERR_PERM, "only the file's owner and root may break its locks");
		return;
	}
	q.inode = a->inode;
	q.token = plan->token;
	q.uid = uid;
	command.of_case = COORDFS__COMMAND__OF_LOCK_BREAK;
	command.lock_break = &q;
	propose(c, &command);
}

static void propose_bounds(const struct call *c, const struct info_plan *plan, const struct attr *a)
{
	Coordfs__CounterBounds q = COORDFS__COUNTER_BOUNDS__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	if (a->kind != KIND_COUNTER) {
		call_refuse(c, ERR_INVALID, "min= and max= are for counters");
		return;
	}
	q.inode = a->inode;
	q.set_min = plan->set_min;
	q.set_max = plan->set_max;
	q.has_min = plan->has_min;
	q.has_max = plan->has_max;
	q.min = plan->min;
	q.max = plan->max;
	command.of_case = COORDFS__COMMAND__OF_BOUNDS;
	command.bounds = &q;
	propose(c, &command);
}

/* As chmod(2): others may write to it, but how it is kept is not theirs to say. */
static void propose_consistency(const struct call *c, const struct info_plan *plan, const struct attr *a)
{
	Coordfs__SetConsistency q = COORDFS__SET_CONSISTENCY__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	uint32_t uid = fuse_req_ctx(c->req)->uid;

	if (uid != 0 && uid != a->uid) {
		call_refuse(c, ERR_PERM, "only the owner and root may change its consistency");
		return;
	}
	q.inode = a->inode;
	q.level = plan->consistency;
	command.of_case = COORDFS__COMMAND__OF_SET_CONSISTENCY;
	command.set_consistency = &q;
	propose(c, &command);
}

static void apply_to_inode(struct front *f, const struct call *c, const struct info_plan *plan)
{
	struct attr a;
	int code = view_attr(front_view(f), c->node, &a);

	if (code < 0)
		call_refuse(c, code, NULL);
	else if (!access_allows(c->req, &a, 2))
		call_refuse(c, ERR_ACCESS, "no permission to write to the object");
	else if (plan->set_timeout)
		call_refuse(c, ERR_INVALID, "timeout= is for transactions");
	else if (plan->is_break)
		propose_break(c, plan, &a);
	else if (plan->consistency)
		propose_consistency(c, plan, &a);
	else if (plan->set_min || plan->set_max)
		propose_bounds(c, plan, &a);
	else
		answer_ok(c);
}

/* ---- any object ---- */

static void apply_to_transaction(struct front *f, const struct call *c, const struct info_plan *plan)
{
	const char *why;
	int code = transactions_set(f, c, plan, &why);

	if (code < 0)
		call_refuse(c, code, why);
	else
		answer_ok(c);
}

/* It is at once, since nothing comes of it. */
static void apply_to_eventual(const struct call *c, const struct info_plan *plan)
{
	if (plan->consistency == CONSISTENCY_EVENTUAL)
		answer_ok(c);
	else
		call_refuse(c, ERR_NOT_SUPPORTED, "what is eventual stays so, and has no bounds and no locks");
}

static void apply(struct front *f, const struct call *c, const struct info_plan *plan)
{
	if (node_class(c->node) == NODE_TXN)
		apply_to_transaction(f, c, plan);
	else if (node_is_eventual(c->node) || eventual_is_root(f, c->node))
		apply_to_eventual(c, plan);
	else
		apply_to_inode(f, c, plan);
}

void info_write_lines(struct front *f, const struct call *c, struct bytes input)
{
	char why[PARSE_ERROR_BYTES];
	struct info_plan plan;
	int code = info_plan_parse(input, &plan, why);

	if (code < 0)
		call_refuse(c, code, why);
	else
		apply(f, c, &plan);
}

void info_set(fuse_req_t req, fuse_ino_t node, const char *key, struct bytes value)
{
	struct call c = call_of(req, node, NULL, NULL);
	char why[PARSE_ERROR_BYTES];
	struct info_plan plan;
	int code = info_plan_set((struct bytes){key, strlen(key)}, value, &plan, why);

	if (code < 0)
		call_refuse(&c, code, why);
	else
		apply(front_of(req), &c, &plan);
}
