/* Which inodes of the machine are eventual, or weak. It is asked for each request, so the answers are kept, by number,
 * until an applied entry touches the inode. (One that has become eventual stays so.) */

#include "front/eventual.h"

#include <string.h>

#include "front/eventual_table.h"
#include "front/generated.h"

static struct level *slot_of(struct front *f, uint64_t inode)
{
	return &f->eventual->levels[inode % EVENTUAL_LEVELS];
}

enum consistency eventual_level(struct front *f, uint64_t inode)
{
	struct level *level = slot_of(f, inode);
	struct attr a;

	if (level->inode == inode)
		return level->consistency;
	if (view_attr(front_view(f), inode, &a) < 0)
		return CONSISTENCY_STRONG;
	level->inode = inode;
	return level->consistency = a.consistency;
}

bool eventual_is_root(struct front *f, uint64_t inode)
{
	if (!f->gossip || !f->replica || inode < INODE_FIRST || node_class(inode) != NODE_MACHINE)
		return false;
	return eventual_level(f, inode) == CONSISTENCY_EVENTUAL;
}

bool eventual_is_named(struct front *f, uint64_t parent, const char *name, uint64_t *inode)
{
	return f->gossip && view_lookup(front_view(f), parent, bytes_of_text(name), inode, NULL) == OK &&
	       eventual_is_root(f, *inode);
}

void eventual_touched(struct front *f, uint64_t inode)
{
	if (!f->eventual)
		return;
	if (inode == 0)
		memset(f->eventual->levels, 0, sizeof f->eventual->levels);
	else if (slot_of(f, inode)->inode == inode)
		slot_of(f, inode)->inode = 0;
}

void eventual_gone(struct front *f, uint64_t inode)
{
	if (!eventual_is_root(f, inode))
		return;
	gossip_forget_root(f->gossip, inode);
	eventual_touched(f, inode);
}

void eventual_fill(struct front *f, struct attr *a)
{
	const struct gossip_place at = {a->inode, ""};
	struct gossip_attr g;
	int64_t ns;

	if (!f->gossip || a->consistency != CONSISTENCY_EVENTUAL || node_is_eventual(a->inode))
		return;
	if (a->kind == KIND_DIRECTORY)
		a->nlink = 1; /* how many directories it holds is not counted: find(1) knows this sign */
	if (gossip_attr(f->gossip, &at, &g) < 0 || eventual_kind(g.kind) != a->kind)
		return;
	a->size = a->kind == KIND_FILE ? g.size : 0;
	a->value = g.value;
	a->entries = g.entries;
	ns = (int64_t)g.changed_ms * 1000000;
	if (ns > a->mtime_ns)
		a->mtime_ns = ns;
	if (ns > a->ctime_ns)
		a->ctime_ns = ns;
}
