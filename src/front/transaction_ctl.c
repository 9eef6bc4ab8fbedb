/* T/ctl: require, commit, rollback. One write may hold several lines: all are read before anything is done, and an
 * end must be the last of them. */

#include <stdlib.h>

#include "front/transactions.h"

struct plan {
	struct ctl_request requires[LIMIT_REQUEST_LINES];
	size_t count;
	bool ends;
	struct ctl_request end;
};

static int refuse_line(char *why, int code, const char *text)
{
	snprintf(why, PARSE_ERROR_BYTES, "%s", text);
	return code;
}

static int plan_add(struct plan *plan, const struct ctl_request *line, char *why)
{
	if (plan->ends)
		return refuse_line(why, ERR_INVALID, "nothing may follow commit or rollback");
	if (line->verb != CTL_REQUIRE) {
		plan->ends = true;
		plan->end = *line;
		return OK;
	}
	if (plan->count == LIMIT_REQUEST_LINES)
		return refuse_line(why, ERR_TOO_BIG, "too many lines in one write");
	plan->requires[plan->count++] = *line;
	return OK;
}

static int plan_parse(struct bytes input, struct plan *plan, char *why)
{
	struct ctl_request request;
	struct bytes line;
	int code = OK;

	plan->count = 0;
	plan->ends = false;
	if (input.size > LIMIT_REQUEST_BYTES)
		return refuse_line(why, ERR_TOO_BIG, "a request is 64 KiB at most");
	while (code == OK && parse_next_line(&input, &line)) {
		code = parse_ctl(line, &request, why);
		if (code == OK)
			code = plan_add(plan, &request, why);
	}
	return code;
}

/* ---- require ---- */

static struct bytes next_part(struct bytes *rest)
{
	const char *data = rest->data, *slash = memchr(data, '/', rest->size);
	struct bytes part = {data, slash ? (size_t)(slash - data) : rest->size};
	size_t skip = part.size + (slash ? 1 : 0);

	*rest = (struct bytes){data + skip, rest->size - skip};
	return part;
}

/* Walk the path in the view. What its names mean is guarded: the lock is that of the path. */
static int resolve(struct txn *t, struct bytes path, uint64_t *inode)
{
	struct view view;
	int code = txn_view(t, &view);

	*inode = INODE_ROOT;
	while (code == OK && path.size > 0) {
		struct bytes part = next_part(&path);
		uint64_t parent = *inode;

		if (part.size == 0)
			continue;
		code = view_lookup(view, parent, part, inode, NULL);
		if (code == OK)
			code = transaction_saw_entry(t->inner, parent, part);
	}
	return code;
}

static const char *require_words(int code)
{
	switch (code) {
	case ERR_NOT_FOUND:
		return "no such file in this transaction's view";
	case ERR_INVALID:
		return "locks are taken on files";
	default:
		return error_text(code);
	}
}

static int require(struct txn *t, const struct ctl_request *q, char *why)
{
	uint64_t inode;
	struct attr a;
	int code = resolve(t, q->path, &inode);

	if (code == OK)
		code = view_attr(transaction_view(t->inner), inode, &a);
	if (code == OK && (a.kind == KIND_DIRECTORY || a.kind == KIND_SYMLINK))
		code = ERR_INVALID;
	if (code == OK)
		code = transaction_require(t->inner, inode, q->token);
	if (code < 0)
		snprintf(why, PARSE_ERROR_BYTES, "require %.*s: %s", (int)(q->path.size < 120 ? q->path.size : 120),
			 (const char *)q->path.data, require_words(code));
	return code;
}

/* A later one that is refused leaves the earlier: then they are required in vain, and the commit is stricter. */
static int require_all(struct txn *t, const struct plan *plan, char *why)
{
	int code = OK;

	if (plan->count > 0 && txn_check_open(t) < 0)
		return refuse_line(why, ERR_READ_ONLY, "the transaction has ended");
	for (size_t i = 0; i < plan->count && code == OK; i++)
		code = require(t, &plan->requires[i], why);
	return code;
}

/* ---- the end ---- */

static void answer(struct front *f, struct call *c, const struct reply *reply)
{
	struct txn *t = transactions_at(f, c->node);
	char *text;
	size_t size;

	if (reply->code < 0) {
		reply_code(c->req, reply->code);
		return;
	}
	if (t && generated_text(f, c->node, transactions_print_node, &text, &size) == OK) {
		text_reply(generated_handle(&c->fi), text, size);
		free(text);
	}
	fuse_reply_write(c->req, c->size);
}

static void refuse(struct txn *t, const struct call *c, int code, const char *why)
{
	txn_note(t, code, why);
	reply_code(c->req, code);
}

static void roll_back(struct txn *t, const struct call *c)
{
	struct reply done = {.code = OK};
	struct call copy = *c;

	switch (t->state) {
	case TXN_ACTIVE:
		txn_rollback(t, "rolled back", true, c);
		break;
	case TXN_ABORTED:
		answer(t->front, &copy, &done);
		break;
	case TXN_COMMITTED:
		refuse(t, c, ERR_PERM, "it is committed");
		break;
	default:
		refuse(t, c, ERR_BUSY, "its commit is under way");
	}
}

static void finish(struct txn *t, const struct call *c, const struct plan *plan)
{
	struct reply done = {.code = OK};
	struct call copy = *c;
	struct view view;

	txn_view(t, &view); /* ends it when it is torn */
	if (!plan->ends)
		answer(t->front, &copy, &done);
	else if (plan->end.verb == CTL_COMMIT)
		txn_commit(t, c);
	else
		roll_back(t, c);
}

void txn_ctl_write(struct txn *t, const struct call *c, struct bytes input)
{
	struct plan *plan = malloc(sizeof *plan);
	char why[PARSE_ERROR_BYTES] = "";
	struct call copy = *c;
	int code = plan ? plan_parse(input, plan, why) : ERR_NO_MEMORY;

	copy.answer = answer;
	if (code == OK)
		code = require_all(t, plan, why);
	if (code < 0)
		refuse(t, &copy, code, why);
	else
		finish(t, &copy, plan);
	free(plan);
}

/* ---- .info/transactions/T ---- */

int transactions_set(struct front *f, const struct call *c, const struct info_plan *plan, const char **why)
{
	struct txn *t = transactions_at(f, c->node);
	uint32_t uid = fuse_req_ctx(c->req)->uid;

	*why = NULL;
	if (!t || t->state != TXN_ACTIVE) {
		*why = "the transaction has ended";
		return ERR_READ_ONLY;
	}
	if (uid != 0 && uid != t->uid)
		return ERR_ACCESS;
	if (plan->set_min || plan->set_max || plan->is_break) {
		*why = "of a transaction only timeout= can be set";
		return ERR_INVALID;
	}
	if (plan->set_timeout) {
		t->timeout_s = plan->timeout_s;
		txn_set_wake(t, t->timeout_s * 1000);
	}
	return OK;
}
