/* The level of an object: strong, weak, eventual. It is stored with the object and changed by a command, so that all
 * mounts agree on it; weak and strong differ in how a mount reads, which is not the machine's business. What an eventual
 * object holds is not here at all: its inode says only that it is one, and every command that would read or change its
 * content in this state is refused. */
#include "machine/internal.h"

bool consistency_is_eventual(const Coordfs__Inode *inode, struct reply *r)
{
	if (inode->consistency != CONSISTENCY_EVENTUAL)
		return false;
	refuse(r, ERR_NOT_SUPPORTED, "it is eventual: no transaction, link, rename or strong change");
	return true;
}

void consistency_inherit(const Coordfs__Inode *parent, uint32_t wish, Coordfs__Inode *out)
{
	bool eventual = parent->tree == INODE_COUNTERS || parent->tree == INODE_FILES;
	if (wish > CONSISTENCY_EVENTUAL || (wish == CONSISTENCY_EVENTUAL && !eventual) || out->kind == KIND_SYMLINK)
		wish = CONSISTENCY_UNSET;
	out->consistency = parent->consistency ? parent->consistency : wish;
}

/* Whether its content could as well be an eventual one's: nothing was ever put into it. */
static bool is_unused(const Coordfs__Inode *inode)
{
	switch (inode->kind) {
	case KIND_DIRECTORY:
		return inode->entries == 0;
	case KIND_FILE:
		return inode->size == 0 && inode->nlink == 1;
	default:
		return inode->content == inode->created && !inode->has_min && !inode->has_max;
	}
}

int consistency_check(const Coordfs__Inode *inode, uint64_t number, uint32_t level, struct reply *r)
{
	bool kind = inode->kind == KIND_DIRECTORY || inode->kind == KIND_FILE || inode->kind == KIND_COUNTER;
	bool tree = inode->tree == INODE_COUNTERS || inode->tree == INODE_FILES;
	if (level > CONSISTENCY_EVENTUAL)
		refuse(r, ERR_INVALID, "unknown level of consistency");
	else if (level == inode->consistency)
		return 0;
	else if (inode->consistency == CONSISTENCY_EVENTUAL)
		refuse(r, ERR_NOT_SUPPORTED, "what is eventual stays so: other members may hold changes of it");
	else if (level != CONSISTENCY_EVENTUAL)
		return 0;
	else if (!kind || !tree || number < INODE_FIRST)
		refuse(r, ERR_NOT_SUPPORTED, "eventual are counters, files, and directories of them, not the top ones");
	else if (!is_unused(inode))
		refuse(r, inode->kind == KIND_DIRECTORY ? ERR_NOT_EMPTY : ERR_NOT_SUPPORTED,
		       "it holds something already: only what is new can become eventual");
	return r->code;
}

void consistency_set(struct context *c, const Coordfs__SetConsistency *q, struct reply *r)
{
	Coordfs__Inode *inode;
	if (q->level == CONSISTENCY_UNSET)
		refuse(r, ERR_INVALID, "unknown level of consistency");
	if (r->code || (r->code = inode_get(c, q->inode, &inode)))
		return;
	if (consistency_check(inode, q->inode, q->level, r) == 0 && inode->consistency != q->level) {
		inode->consistency = q->level;
		inode_touch(c, inode);
		r->code = inode_put(c, q->inode, inode);
		context_event(c, (struct event){.type = EVENT_CHANGE, .inode = q->inode});
	}
	record_free(inode);
}
