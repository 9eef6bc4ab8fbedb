/* The cluster as it is for one member: it leads, or its log is down; there is nobody whom one could make a voter
 * instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "replica/internal.h"

static bool leads(struct replica *r)
{
	return r->engine.up && raft_state(&r->engine.raft) == RAFT_LEADER;
}

void replica_members(struct replica *r, void (*each)(void *ctx, const struct replica_member *member), void *ctx)
{
	struct replica_member self = {
		.id = r->directory.id,
		.name = r->directory.member,
		.address = "",
		.role = "voter",
		.state = leads(r) ? "leader" : "unavailable",
		.version = PACKAGE_VERSION,
		.trouble = r->trouble,
		.wish = MEMBER_AUTO,
		.self = true,
		.known = r->machine != NULL,
		.disk_free_bytes = replica_free_bytes(r),
	};

	if (r->machine)
		self.applied = machine_applied(r->machine);
	if (r->engine.up && raft_commit_index(&r->engine.raft) > self.applied)
		self.lag = raft_commit_index(&r->engine.raft) - self.applied;
	each(ctx, &self);
}

const char *replica_leader(struct replica *r)
{
	return leads(r) ? r->directory.member : NULL;
}

void replica_metrics(struct replica *r, struct replica_metrics *out)
{
	*out = (struct replica_metrics){.proposals = r->proposals.count};
	if (r->next_sequence > r->proposals.count + 1)
		out->commits = r->next_sequence - 1 - r->proposals.count;
}

/* ---- changes ---- */

struct change {
	uv_timer_t timer;
	struct reply reply;
	replica_done done;
	void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
	struct change *c = timer->data;

	c->done(c->ctx, &c->reply);
	uv_close((uv_handle_t *)timer, on_closed);
}

static void decide(struct replica *r, enum cluster_change_kind kind, const char *member, struct reply *out)
{
	if (strcmp(member, r->directory.member) != 0) {
		out->code = ERR_NOT_FOUND;
		snprintf(out->text, sizeof out->text, "there is no member of that name");
	} else if (kind == CLUSTER_STANDBY || kind == CLUSTER_REMOVE) {
		out->code = ERR_CANCELED;
		snprintf(out->text, sizeof out->text, "the last voter cannot go");
	}
}

void replica_change(struct replica *r, enum cluster_change_kind kind, const char *member, uint32_t uid,
		    replica_done done, void *ctx)
{
	struct change *c = calloc(1, sizeof *c);

	(void)uid;
	if (!c)
		abort(); /* no memory to say that there is no memory */
	c->done = done;
	c->ctx = ctx;
	decide(r, kind, member, &c->reply);
	uv_timer_init(r->loop, &c->timer);
	c->timer.data = c;
	uv_timer_start(&c->timer, on_timer, 0, 0);
}
