/* cluster/: what its files say. */

#include "config.h"

#include "front/info_text.h"
#include "front/static.h"
#include "front/status_text.h"
#include "front/transactions.h"

static int add_session(void *ctx, const struct session_info *info)
{
	struct status_figures *s = ctx;

	if (s->sessions < STATUS_SESSIONS)
		s->session[s->sessions] = *info;
	s->sessions++;
	return 0;
}

static void gather(struct front *f, struct status_figures *s)
{
	struct machine *m = replica_machine(f->replica);

	*s = (struct status_figures){.version = PACKAGE_VERSION, .member = replica_member(f->replica)};
	replica_status(f->replica, &s->replica);
	machine_meta(m, &s->meta);
	machine_sessions(m, add_session, s);
	s->locks = machine_lock_totals(m);
	s->transactions = transactions_count_active(f);
	s->started_ns = f->started_ns;
}

int status_print(struct front *f, fuse_ino_t node, FILE *out)
{
	struct status_figures s;

	(void)node;
	gather(f, &s);
	status_print_figures(out, &s);
	return OK;
}

int metrics_print(struct front *f, fuse_ino_t node, FILE *out)
{
	struct status_figures s;

	(void)node;
	gather(f, &s);
	metrics_print_figures(out, &s);
	return OK;
}

/* ---- cluster/locks: who holds and who waits, everywhere; a line each ---- */

struct lock_list {
	struct view view;
	FILE *out;
};

static int print_lock(void *ctx, const struct lock_info *lock)
{
	struct lock_list *l = ctx;
	char path[LIMIT_PATH_BYTES + 1];

	view_path(l->view, lock->inode, path, sizeof path);
	fputs(lock->token ? "held " : "waiting ", l->out);
	info_put_printable(l->out, path, strlen(path));
	putc(' ', l->out);
	info_print_lock_fields(l->out, lock);
	putc('\n', l->out);
	return 0;
}

int status_print_locks(struct front *f, fuse_ino_t node, FILE *out)
{
	struct lock_list l = {front_view(f), out};
	struct lock_totals totals = machine_lock_totals(replica_machine(f->replica));

	(void)node;
	fprintf(out, "%llu held, %llu waiting\n", (unsigned long long)totals.holders,
		(unsigned long long)totals.waiters);
	machine_locks(replica_machine(f->replica), 0, print_lock, &l);
	return OK;
}

/* ---- this member ---- */

int member_print_name(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)node;
	fprintf(out, "%s\n", replica_member(f->replica));
	return OK;
}

int member_print_leader(struct front *f, fuse_ino_t node, FILE *out)
{
	return member_print_name(f, node, out);
}

int member_print_address(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)f, (void)node;
	fputs("none\n", out); /* it listens for nobody */
	return OK;
}

int member_print_role(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)f, (void)node;
	fputs("voter\n", out);
	return OK;
}

int member_print_state(struct front *f, fuse_ino_t node, FILE *out)
{
	struct replica_status status;

	(void)node;
	replica_status(f->replica, &status);
	fprintf(out, "%s\n", status.role);
	return OK;
}

int member_print_lag(struct front *f, fuse_ino_t node, FILE *out)
{
	struct replica_status status;
	uint64_t applied = machine_applied(replica_machine(f->replica));

	(void)node;
	replica_status(f->replica, &status);
	fprintf(out, "%llu\n", (unsigned long long)(status.commit_index > applied ? status.commit_index - applied : 0));
	return OK;
}
