/* cluster/: what its files say. */

#include "config.h"

#include <stdlib.h>

#include "front/info_text.h"
#include "front/static.h"
#include "front/status_text.h"
#include "front/transactions.h"

static int add_session(void *ctx, const struct session_info *info)
{
	struct status_figures *s = ctx;

	if (info->session == s->session)
		s->session_ttl_ms = info->ttl_ms;
	if (s->sessions < STATUS_LINES)
		s->listed_sessions[s->sessions] = *info;
	s->sessions++;
	return 0;
}

/* ---- members: the replica lends its words during its call only ---- */

struct copies {
	struct replica_member *list;
	size_t count, capacity;
	bool failed;
};

static bool copy_words(struct replica_member *m)
{
	const char **words[] = {&m->name, &m->address, &m->role, &m->state, &m->version, &m->trouble};
	bool all = true;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		*words[i] = strdup(*words[i]);
		all = all && *words[i];
	}
	return all;
}

static void free_words(struct replica_member *m)
{
	const char *words[] = {m->name, m->address, m->role, m->state, m->version, m->trouble};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		free((char *)(uintptr_t)words[i]);
}

static void add_member(void *ctx, const struct replica_member *member)
{
	struct copies *c = ctx;
	struct replica_member copy = *member, *list = c->list;

	if (c->failed)
		return;
	if (c->count == c->capacity) {
		c->capacity = c->capacity ? 2 * c->capacity : 8;
		list = realloc(c->list, c->capacity * sizeof *list);
	}
	if (list)
		c->list = list;
	if (list && copy_words(&copy)) {
		c->list[c->count++] = copy;
		return;
	}
	if (list)
		free_words(&copy);
	c->failed = true;
}

static void copies_free(struct copies *c)
{
	for (size_t i = 0; i < c->count; i++)
		free_words(&c->list[i]);
	free(c->list);
}

/* ---- printing ---- */

static void gather(struct front *f, struct status_figures *s)
{
	struct machine *m = replica_machine(f->replica);

	*s = (struct status_figures){.version = PACKAGE_VERSION, .member = replica_member(f->replica)};
	s->leader = replica_leader(f->replica);
	s->session = replica_session(f->replica);
	replica_status(f->replica, &s->replica);
	replica_metrics(f->replica, &s->metrics);
	machine_meta(m, &s->meta);
	machine_sessions(m, add_session, s);
	s->locks = machine_lock_totals(m);
	s->transactions = transactions_count_active(f);
	s->started_ns = f->started_ns;
	if (f->gossip)
		gossip_figures(f->gossip, &s->eventual);
}

static int print_figures(struct front *f, void (*print)(FILE *out, const struct status_figures *s), FILE *out)
{
	struct status_figures s;
	struct copies members = {0};

	gather(f, &s);
	replica_members(f->replica, add_member, &members);
	s.members = members.list;
	s.member_count = members.count;
	if (!members.failed)
		print(out, &s);
	copies_free(&members);
	return members.failed ? ERR_NO_MEMORY : OK;
}

int status_print(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)node;
	return print_figures(f, status_print_figures, out);
}

int metrics_print(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)node;
	return print_figures(f, metrics_print_figures, out);
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
	info_print_lock_row(l->out, lock, path);
	return 0;
}

int status_print_locks(struct front *f, fuse_ino_t node, FILE *out)
{
	struct lock_list l = {front_view(f), out};
	struct lock_totals totals = machine_lock_totals(replica_machine(f->replica));

	(void)node;
	fprintf(out, "%llu held, %llu waiting\n", (unsigned long long)totals.holders,
		(unsigned long long)totals.waiters);
	if (totals.holders + totals.waiters > 0)
		info_print_lock_heading(out);
	machine_locks(replica_machine(f->replica), 0, print_lock, &l);
	return OK;
}

/* ---- cluster/self, cluster/leader ---- */

int self_print(struct front *f, fuse_ino_t node, FILE *out)
{
	(void)node;
	fprintf(out, "%s\n", replica_member(f->replica));
	return OK;
}

/* Empty while there is none. */
int leader_print(struct front *f, fuse_ino_t node, FILE *out)
{
	const char *leader = replica_leader(f->replica);

	(void)node;
	if (leader)
		fprintf(out, "%s\n", leader);
	return OK;
}
