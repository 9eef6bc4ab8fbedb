#include "front/access.h"

#include <fcntl.h>
#include <stdlib.h>

enum { GROUPS_MAX = 65536 }; /* the kernel's own limit */

/* Supplementary groups come from /proc: a look that costs, taken last. */
static bool in_groups(fuse_req_t req, gid_t gid)
{
	int count = fuse_req_getgroups(req, 0, NULL);
	bool found = false;
	gid_t *list;

	if (count <= 0 || count > GROUPS_MAX)
		return false;
	list = calloc((size_t)count, sizeof *list);
	if (!list)
		return false;
	if (fuse_req_getgroups(req, count, list) == count)
		for (int i = 0; i < count && !found; i++)
			found = list[i] == gid;
	free(list);
	return found;
}

bool access_allows(fuse_req_t req, const struct attr *attr, unsigned want)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	unsigned owner = attr->mode >> 6, group = attr->mode >> 3, others = attr->mode;

	if (caller->uid == 0)
		return true;
	if (caller->uid == attr->uid)
		return (owner & want) == want;
	if ((group & want) == (others & want))
		return (group & want) == want;
	return ((caller->gid == attr->gid || in_groups(req, attr->gid) ? group : others) & want) == want;
}

bool access_allows_open(fuse_req_t req, const struct attr *attr, int flags)
{
	static const unsigned wants[] = {[O_RDONLY] = 4, [O_WRONLY] = 2, [O_RDWR] = 6, [O_ACCMODE] = 6};

	return access_allows(req, attr, wants[flags & O_ACCMODE] | (flags & O_TRUNC ? 2 : 0));
}
