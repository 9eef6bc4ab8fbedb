/* What is read of a transaction itself: ctl and status, and its lines in `.info`. */

#include <inttypes.h>

#include "front/info_text.h"
#include "front/transactions.h"

void txn_print_status(const struct txn *t, FILE *out)
{
	switch (t->state) {
	case TXN_ACTIVE:
		fputs("active\n", out);
		break;
	case TXN_COMMITTING:
	case TXN_UNDECIDED:
		fputs("undecided\n", out);
		break;
	case TXN_COMMITTED:
		fprintf(out, "committed %" PRIu64 "\n", t->revision);
		break;
	case TXN_ABORTED:
		fprintf(out, "aborted %s\n", t->reason);
		break;
	}
}

/* revision=: of its begin, then of its commit. */
void txn_print_info(const struct txn *t, const char *member, FILE *out)
{
	fprintf(out, "type=transaction\n");
	fprintf(out, "revision=%" PRIu64 "\n", t->state == TXN_COMMITTED ? t->revision : t->begin);
	fprintf(out, "consistency=strong\n");
	info_print_time(out, "created", t->begun_ns);
	info_print_time(out, "modified", t->ended_ns ? t->ended_ns : t->begun_ns);
	info_print_text(out, "error", t->error);
	fputs("status=", out);
	txn_print_status(t, out);
	info_print_text(out, "member", member);
	fprintf(out, "uid=%" PRIu32 "\n", t->uid);
	fprintf(out, "begin=%" PRIu64 "\n", t->begin);
	fprintf(out, "operations=%" PRIu64 "\n", t->operations);
	fprintf(out, "timeout=%" PRIu64 "\n", t->timeout_s);
}

void outcome_print_info(const Coordfs__Outcome *o, FILE *out)
{
	fprintf(out, "type=transaction\n");
	fprintf(out, "revision=%" PRIu64 "\n", o->committed ? o->place : o->revision);
	fprintf(out, "consistency=strong\n");
	info_print_time(out, "modified", o->time_ns);
	info_print_text(out, "error", o->committed ? "" : o->reason);
	if (o->committed)
		fprintf(out, "status=committed %" PRIu64 "\n", o->place);
	else
		fprintf(out, "status=aborted %s\n", o->reason);
	info_print_text(out, "member", o->member);
	fprintf(out, "uid=%" PRIu32 "\n", o->uid);
}

static int print_object(struct txn *t, uint64_t inode, FILE *out)
{
	struct view view;
	struct attr a;
	int code = txn_view(t, &view);

	if (code == 0)
		code = view_attr(view, inode, &a);
	if (code == 0)
		fprintf(out, "%" PRId64 "\n", a.value);
	return code;
}

int transactions_print_node(struct front *f, fuse_ino_t node, FILE *out)
{
	struct txn *t = transactions_at(f, node);

	if (!t)
		return ERR_NOT_FOUND;
	txn_is_lost(t);
	switch (node_inode(node)) {
	case INODE_ROOT:
		txn_print_info(t, replica_member(f->replica), out);
		return OK;
	case TXN_INODE_CTL:
	case TXN_INODE_STATUS:
		txn_print_status(t, out);
		return OK;
	default:
		return print_object(t, node_inode(node), out);
	}
}
