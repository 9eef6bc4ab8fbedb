/* The eventual level (gossip/) beside the log: it is opened with the directory, knows the members from the state, and
 * has its messages carried. */
#include "replica/internal.h"

static bool carry(void *ctx, uint64_t member, Coordfs__Envelope *e)
{
	struct replica *r = ctx;

	/* Before all programs know it there is nothing eventual, and old ones would complain. */
	if (!r->machine || machine_level(r->machine) < LEVEL_2)
		return false;
	return peers_send(r, member, e);
}

static void changed(void *ctx, uint64_t root, const char *path)
{
	struct replica *r = ctx;

	if (r->observing && r->config.eventual_changed)
		r->config.eventual_changed(r->config.observer.ctx, root, path);
}

/* The state that is applied here may be older than what others tell: numbers that are not given yet are to come. */
static bool root_is_gone(void *ctx, uint64_t root)
{
	struct replica *r = ctx;
	Coordfs__Meta meta;
	struct attr a;

	if (!r->machine || r->restored_untold || r->state != REPLICA_SERVING)
		return false;
	machine_meta(r->machine, &meta);
	return root < meta.next_inode && view_attr(machine_view(r->machine), root, &a) == ERR_NOT_FOUND;
}

void eventual_check_roots(struct replica *r)
{
	if (replica_gossip(r))
		gossip_check_roots(r->gossip);
}

int eventual_open(struct replica *r, char *error, size_t error_size)
{
	const struct gossip_config config = {
		.directory = r->directory.path,
		.member = r->directory.id,
		.log = r->log,
		.send = carry,
		.changed = changed,
		.root_is_gone = root_is_gone,
		.ctx = r,
	};

	return gossip_open(r->loop, &config, &r->gossip, error, error_size);
}

struct member_list {
	uint64_t ids[LIMIT_MEMBERS];
	size_t count;
};

static int add_member(void *ctx, const struct member_info *m)
{
	struct member_list *l = ctx;

	if (l->count < LIMIT_MEMBERS)
		l->ids[l->count++] = m->id;
	return 0;
}

void eventual_members_changed(struct replica *r)
{
	struct member_list l = {.count = 0};
	Coordfs__Meta meta;

	if (!r->gossip || !r->machine)
		return;
	machine_members(r->machine, add_member, &l);
	machine_meta(r->machine, &meta);
	gossip_set_members(r->gossip, l.ids, l.count, meta.last_member);
}

void eventual_receive(struct replica *r, const Coordfs__Envelope *e)
{
	if (r->gossip && !r->gossip_closing)
		gossip_receive(r->gossip, e->from, e);
}

static void closed(void *ctx)
{
	struct replica *r = ctx;

	r->gossip = NULL;
	replica_kick(r);
}

void eventual_close(struct replica *r)
{
	if (!r->gossip || r->gossip_closing)
		return;
	r->gossip_closing = true;
	gossip_close(r->gossip, closed, r);
}

struct gossip *replica_gossip(struct replica *r)
{
	return r->gossip_closing ? NULL : r->gossip;
}
