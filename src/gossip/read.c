/* What users see: what is on this member's disk. */
#include <string.h>
#include <utlist.h>

#include "gossip/internal.h"

static void describe(const struct gossip *g, const struct node *n, struct gossip_attr *out)
{
	*out = (struct gossip_attr){
		.kind = node_kind(n),
		.mode = n->owner.mode,
		.uid = n->owner.uid,
		.gid = n->owner.gid,
		.size = n->size,
		.value = n->value,
		.changed_ms = n->changed_ms,
		.entries = n->folder ? n->folder->visible : 0,
		.converged = gossip_is_converged(g, n),
	};
}

/* The object itself is there even if nothing is known of it: *out is NULL then. */
static int look(const struct gossip *g, const struct gossip_place *at, struct node **out)
{
	struct node *n = tree_find(&g->tree, at);

	*out = n;
	if (n ? node_root(n)->gone : at->path[0] != '\0')
		return ERR_NOT_FOUND;
	return n && !n->visible && n->parent ? ERR_NOT_FOUND : 0;
}

int gossip_attr(struct gossip *g, const struct gossip_place *at, struct gossip_attr *out)
{
	struct node *n;
	int rc = look(g, at, &n);

	*out = (struct gossip_attr){.converged = true};
	if (!rc && n)
		describe(g, n, out);
	return rc;
}

void gossip_figures(const struct gossip *g, struct gossip_figures *out)
{
	*out = (struct gossip_figures){
		.objects = g->tree.visible,
		.tombstones = g->tree.buried,
		.state_bytes = g->tree.bytes,
		.messages_sent = g->sync.messages_sent,
		.messages_received = g->sync.messages_received,
		.sent_bytes = g->sync.sent_bytes,
		.received_bytes = g->sync.received_bytes,
	};
}

/* The record of what is durable, until the next call. NULL: no memory. */
static const struct record *look_into(struct gossip *g, const struct node *n)
{
	if (g->read.of == n->durable)
		return &g->read.record;
	record_fini(&g->read.record);
	blob_drop(g->read.of);
	g->read.of = NULL;
	if (record_unpack(n->durable->data, n->durable->size, &g->read.record))
		return NULL;
	g->read.of = blob_hold(n->durable);
	return &g->read.record;
}

int gossip_content(struct gossip *g, const struct gossip_place *at, const void **data, size_t *size)
{
	const struct record *r;
	struct node *n;
	int rc = look(g, at, &n);

	*data = "";
	*size = 0;
	if (rc)
		return rc;
	if (!n || node_kind(n) == GOSSIP_NOTHING)
		return 0;
	if (node_kind(n) != GOSSIP_FILE)
		return node_kind(n) == GOSSIP_DIRECTORY ? ERR_IS_DIRECTORY : ERR_NOT_SUPPORTED;
	r = look_into(g, n);
	if (!r)
		return ERR_NO_MEMORY;
	if (r->file.size)
		*data = r->file.data;
	*size = r->file.size;
	return 0;
}

/* ---- directories ---- */

/* The first child behind the cookie. Where the last call ended is remembered: a large directory is read in pieces. */
static struct node *child_after(const struct folder *f, uint64_t cookie)
{
	struct node *n = f->cursor && f->cursor->number <= cookie ? f->cursor : f->children;

	while (n && n->number <= cookie)
		n = n->next;
	return n;
}

int gossip_list(struct gossip *g, const struct gossip_place *at, uint64_t cookie,
		bool (*each)(void *ctx, uint64_t cookie, const char *name, const struct gossip_attr *attr), void *ctx)
{
	struct gossip_attr attr;
	struct node *n;
	int rc = look(g, at, &n);

	if (rc || !n || !n->folder)
		return rc || !n || !n->parent || node_kind(n) == GOSSIP_DIRECTORY ? rc : ERR_NOT_DIRECTORY;
	for (struct node *child = child_after(n->folder, cookie); child; child = child->next) {
		if (!child->visible)
			continue;
		describe(g, child, &attr);
		if (!each(ctx, child->number, child->name, &attr))
			break;
		n->folder->cursor = child;
	}
	return 0;
}

/* ---- counters ---- */

int gossip_shares(struct gossip *g, const struct gossip_place *at,
		  void (*each)(void *ctx, uint64_t member, uint64_t added, uint64_t taken), void *ctx)
{
	const struct record *r;
	struct node *n;
	int rc = look(g, at, &n);

	if (rc || !n || !n->durable)
		return rc;
	r = look_into(g, n);
	if (!r)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < r->share_count; i++) {
		const struct share *s = &r->shares[i];

		if (s->sequence > s->removed_sequence)
			each(ctx, s->member, s->added - s->removed_added, s->taken - s->removed_taken);
	}
	return 0;
}
