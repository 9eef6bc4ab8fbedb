/* What the core asks of the generated trees, answered by the tree concerned. */

#include "front/virtual.h"

#include <string.h>
#include <sys/stat.h>

#include "front/dynamic.h"
#include "front/eventual.h"
#include "front/info.h"
#include "front/static.h"
#include "front/transactions.h"
#include "front/votes.h"
#include "front/wait.h"

int virtual_start(struct front *f)
{
	int code = names_new(&f->names);

	if (code == OK)
		code = transactions_new(f);
	return code;
}

void virtual_stop(struct front *f)
{
	transactions_stop(f);
	backups_stop(f);
}

void virtual_replica_gone(struct front *f)
{
	transactions_drop_views(f);
	f->replica = NULL;
}

void virtual_free(struct front *f)
{
	transactions_free(f);
	backups_free(f);
	names_free(f->names);
	f->names = NULL;
}

bool virtual_name_reserved(const char *name)
{
	return strcmp(name, COORDFS_NAME_SELF) == 0 || strcmp(name, COORDFS_NAME_CAS) == 0;
}

bool virtual_root_entry(unsigned n, const char **name, fuse_ino_t *node, mode_t *type)
{
	static const struct {
		const char *name;
		enum node_class class;
		uint64_t number; /* in the first slot: STATIC_FIXED, INFO_OF_MACHINE */
		mode_t type;
	} names[] = {
		{"README", NODE_STATIC, STATIC_README, S_IFREG},
		{"transactions", NODE_STATIC, STATIC_TRANSACTIONS, S_IFDIR},
		{"votes", NODE_STATIC, STATIC_VOTES, S_IFDIR},
		{"cluster", NODE_STATIC, STATIC_CLUSTER, S_IFDIR},
		{".info", NODE_INFO, INODE_ROOT, S_IFDIR},
		{".wait", NODE_WAIT, INODE_ROOT, S_IFDIR},
	};

	if (n >= sizeof names / sizeof *names)
		return false;
	*name = names[n].name;
	*node = node_make(names[n].class, 0, names[n].number);
	*type = names[n].type;
	return true;
}

fuse_ino_t virtual_lookup(fuse_ino_t parent, const char *name)
{
	const char *ours;
	fuse_ino_t node;
	mode_t type;

	if (parent == INODE_FILES && strcmp(name, COORDFS_NAME_CAS) == 0)
		return dynamic_cas_directory(INODE_FILES);
	for (unsigned n = 0; parent == INODE_ROOT && virtual_root_entry(n, &ours, &node, &type); n++)
		if (strcmp(ours, name) == 0)
			return node;
	return 0;
}

static int attr_of(struct front *f, fuse_ino_t node, struct stat *out)
{
	switch (node_class(node)) {
	case NODE_INFO:
	case NODE_INFO_SELF:
		return info_attr(f, node, out);
	case NODE_STATIC:
		return static_attr(f, node, out);
	case NODE_TXN:
		return transactions_attr(f, node, out);
	case NODE_DYNAMIC:
		return dynamic_attr(f, node, out);
	case NODE_VOTE:
		return votes_attr(f, node, out);
	case NODE_EVENTUAL:
	case NODE_EVENTUAL_INFO:
	case NODE_EVENTUAL_SELF:
		return eventual_stat(f, node, out);
	case NODE_WAIT:
	case NODE_WAIT_FILE:
		return wait_attr(f, node, out);
	default:
		return ERR_NOT_FOUND;
	}
}

/* The kernel counts a node when it has got the answer; so do the classes that have a table. */
void virtual_reply_entry(fuse_req_t req, fuse_ino_t node)
{
	struct front *f = front_of(req);
	struct fuse_entry_param e = {.ino = node};
	int code = node ? attr_of(f, node, &e.attr) : ERR_NOT_FOUND;

	if (code < 0)
		reply_code(req, code);
	else if (fuse_reply_entry(req, &e) == 0)
		virtual_remember(f, node);
	virtual_forget(f, node, 0); /* nobody knows it: then it need not be kept */
}

void virtual_remember(struct front *f, fuse_ino_t node)
{
	if (node_class(node) == NODE_TXN)
		transactions_remember(f, node);
	else if (node_class(node) == NODE_DYNAMIC)
		dynamic_remember(f, node);
	else if (node_is_eventual(node))
		eventual_remember(f, node);
	else
		wait_remember(f, node);
}

void virtual_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	if (node_class(node) == NODE_TXN)
		transactions_forget(f, node, count);
	else if (node_class(node) == NODE_DYNAMIC)
		dynamic_forget(f, node, count);
	else if (node_is_eventual(node))
		eventual_forget(f, node, count);
	else
		wait_forget(f, node, count);
}
