/* What was removed is remembered for those who do not know it yet (leftovers, crdt.h): an addition that the remover had
 * seen, coming late from somebody else, must not bring it back. When nobody can come with it any more, it is forgotten.
 *
 * A version here is settled (sync_settled) when each member, and no other than those that we count, has said that what
 * changed here up to that version is on its disk, and we have on ours what that one had changed when it said so. Then
 * nobody holds less of those places than what we hold: who had more adds on top of it. Nor is less of them on its way:
 *   - to us: what a member sent before it learned of a removal bears a version that we have by now, and is dropped;
 *   - to another one, which may have forgotten, too: that one had waited for the very same.
 * And nobody who still remembers will tell us again, but for after a restart; then it is learned and forgotten once more.
 * Whoever holds what was removed is told of the removal by the one it has it from, behind it; who told it does not forget
 * before that. So by induction nobody is left with it. Members that are cut off keep all others from forgetting. A member
 * that was removed is not heard any more, once all know that it was; a new one has nothing, and is waited for.
 *
 * Beside that a while passes (hold_ms), in which what was received by then, however it came, is looked at.
 *
 * Nobody is told of it: the same place with and without leftovers means the same, and each member forgets by itself. A
 * member's own share of a counter is then begun in a new epoch, and its clock stays behind no stamp: so what it does next
 * is later than what others may still remember. */
#include "gossip/internal.h"

#define LOOKED_AT_MAX 20000u /* places, at once */
#define SHRUNK_MAX 2000u
#define CHAINS_MAX 20000u /* of the table */

/* A directory that is there for what it holds keeps its owner. */
static bool wants_shrinking(const struct node *n)
{
	if (!n->leftovers || n->dirty || n->staged)
		return false;
	return n->kind != GOSSIP_NOTHING || !n->folder || n->folder->visible == 0;
}

static int shrink(struct gossip *g, struct node *n)
{
	struct record r;
	struct blob *b = NULL;
	uint64_t epoch = 0;
	int rc;

	record_init(&r);
	rc = record_unpack(n->durable->data, n->durable->size, &r);
	if (!rc) {
		epoch = record_prune(&r, g->config.member);
		b = record_is_empty(&r) ? NULL : blob_new(n, &r);
		rc = !b && !record_is_empty(&r) ? ERR_NO_MEMORY : batch_shrink(g, n, b);
	}
	if (!rc && epoch >= g->epoch)
		g->epoch = epoch + 1;
	record_fini(&r);
	return rc;
}

/* What was not looked at up to that version. A place is looked at once after each change. */
static void look(struct gossip *g, uint64_t upto)
{
	unsigned looked_at = 0, shrunk = 0;
	struct node *n;

	while ((n = g->tree.unseen) && n->version <= upto && looked_at++ < LOOKED_AT_MAX && shrunk < SHRUNK_MAX) {
		if (wants_shrinking(n) && (shrunk++, shrink(g, n)))
			return; /* no memory: later */
		g->tree.unseen = n->newer;
	}
}

/* ---- roots that nobody said are gone ---- */

static void check_chain(struct gossip *g, const struct node *n)
{
	for (; n; n = n->chain)
		if (!n->parent && !n->gone && g->config.root_is_gone(g->config.ctx, n->number))
			gossip_forget_root(g, n->number);
}

/* The table may grow between two times. */
static void check_roots(struct gossip *g)
{
	struct collect *c = &g->collect;

	for (unsigned i = 0; i < CHAINS_MAX && c->checking; i++) {
		check_chain(g, g->tree.chains[c->position >> (64 - g->tree.bits)]);
		c->position += (uint64_t)1 << (64 - g->tree.bits);
		c->checking = c->position != 0;
	}
}

void gossip_check_roots(struct gossip *g)
{
	if (!g->config.root_is_gone)
		return;
	g->collect.checking = true;
	g->collect.position = 0;
	sync_soon(g);
}

/* ---- from time to time ---- */

bool collect_is_due(const struct gossip *g)
{
	return (g->tree.unseen && g->sync.members) || g->collect.checking;
}

void collect_run(struct gossip *g, uint64_t now_ms)
{
	struct collect *c = &g->collect;

	if (c->upto && now_ms - c->since_ms >= g->config.hold_ms) {
		look(g, c->upto);
		if (!g->tree.unseen || g->tree.unseen->version > c->upto)
			c->upto = 0;
	}
	check_roots(g);
	if (!c->upto && g->tree.unseen) {
		c->upto = sync_settled(g);
		c->since_ms = now_ms;
	}
}
