#include "front/machine_class.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/eventual.h"

int attr_now(struct front *f, uint64_t inode, struct attr *out, struct orphan **orphan)
{
	int code;

	*orphan = handles_orphan(f->handles, inode);
	if (*orphan) {
		*out = (*orphan)->attr;
		return OK;
	}
	code = node_is_eventual(inode) ? eventual_attr(f, inode, out) : view_attr(view_now(f), inode, out);
	if (code == OK)
		eventual_fill(f, out);
	if (code == OK && out->consistency == CONSISTENCY_EVENTUAL && handles_unsettled(f->handles, inode))
		out->size = 0; /* as eventual_files.c */
	return code == ERR_NOT_FOUND ? ERR_STALE : code;
}

bool handle_refused(fuse_req_t req, const struct handle *h)
{
	if (!h || !h->lost)
		return false;
	reply_code(req, ERR_STALE);
	return true;
}

static void reply_attr(struct front *f, fuse_req_t req, const struct handle *h, uint64_t inode)
{
	struct orphan *orphan;
	struct attr attr;
	struct stat st;
	int code = attr_now(f, inode, &attr, &orphan);

	if (code < 0) {
		reply_code(req, code);
		return;
	}
	stat_of_attr(&attr, &st);
	if ((h && h->truncating) || handles_truncating(f->handles, inode, fuse_req_ctx(req)->pid))
		st.st_size = 0;
	fuse_reply_attr(req, &st, 0);
}

/* ---- GETATTR ---- */

static void do_getattr(struct front *f, struct call *c)
{
	if (!call_must_settle(f, c, c->node))
		reply_attr(f, c->req, handle_of(c->has_fi ? &c->fi : NULL), c->node);
}

void attributes_get(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = do_getattr;
	if (node < INODE_FIRST)
		call_here(&c); /* asked of each on the way to what is weak and to cluster/status */
	else
		call_read(&c, node);
}

/* ---- SETATTR ---- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* The change times that some kernels send along are the machine's business. */
static uint32_t mask_of(int to_set)
{
	static const struct {
		int fuse;
		enum attr_mask ours;
	} map[] = {
		{FUSE_SET_ATTR_MODE, ATTR_MODE},
		{FUSE_SET_ATTR_UID, ATTR_UID},
		{FUSE_SET_ATTR_GID, ATTR_GID},
		{FUSE_SET_ATTR_SIZE, ATTR_SIZE},
	};
	uint32_t mask = 0;

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (to_set & map[i].fuse)
			mask |= map[i].ours;
	if (to_set & FUSE_SET_ATTR_ATIME)
		mask |= to_set & FUSE_SET_ATTR_ATIME_NOW ? ATTR_ATIME_NOW : ATTR_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME)
		mask |= to_set & FUSE_SET_ATTR_MTIME_NOW ? ATTR_MTIME_NOW : ATTR_MTIME;
	return mask;
}

static Coordfs__SetAttr set_attr_of(fuse_ino_t node, const struct stat *st, uint32_t mask)
{
	Coordfs__SetAttr set = COORDFS__SET_ATTR__INIT;

	set.inode = node;
	set.mask = mask;
	set.mode = st->st_mode & 07777;
	set.uid = st->st_uid;
	set.gid = st->st_gid;
	set.size = (uint64_t)st->st_size;
	set.atime_ns = ns_of(&st->st_atim);
	set.mtime_ns = ns_of(&st->st_mtim);
	return set;
}

/* What truncate(2) may do to an object; *mask loses the size where it has no meaning. */
static int check_size(const struct attr *attr, uint64_t size, uint32_t *mask)
{
	if (!(*mask & ATTR_SIZE))
		return OK;
	if (attr->kind == KIND_FILE)
		return size > LIMIT_FILE_BYTES ? ERR_TOO_BIG : OK;
	*mask &= ~(uint32_t)ATTR_SIZE;
	return size == 0 ? OK : ERR_INVALID;
}

static int orphan_resize(struct orphan *orphan, uint64_t size)
{
	char *grown;

	if (!orphan->writable)
		return ERR_STALE;
	if (size > orphan->capacity) {
		grown = realloc(orphan->data, size);
		if (!grown)
			return ERR_NO_MEMORY;
		orphan->data = grown;
		orphan->capacity = size;
	}
	if (size > orphan->attr.size)
		memset(orphan->data + orphan->attr.size, 0, size - orphan->attr.size);
	orphan->attr.size = size;
	return OK;
}

static int orphan_set(struct orphan *orphan, const Coordfs__SetAttr *set)
{
	struct attr *attr = &orphan->attr;

	if (set->mask & ATTR_MODE)
		attr->mode = set->mode;
	if (set->mask & ATTR_UID)
		attr->uid = set->uid;
	if (set->mask & ATTR_GID)
		attr->gid = set->gid;
	if (set->mask & ATTR_ATIME)
		attr->atime_ns = set->atime_ns;
	if (set->mask & ATTR_MTIME)
		attr->mtime_ns = set->mtime_ns;
	return set->mask & ATTR_SIZE ? orphan_resize(orphan, set->size) : OK;
}

static void answer_setattr(struct front *f, struct call *c, const struct reply *reply)
{
	(void)reply;
	reply_attr(f, c->req, handle_of(c->has_fi ? &c->fi : NULL), c->node);
}

/* ftruncate(2) through a handle whose O_TRUNC is still to come: that one goes first, and is then done with. */
static void propose_set(struct front *f, struct call *c, Coordfs__SetAttr *set)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	struct handle *h = handle_of(c->has_fi ? &c->fi : NULL);

	if (h && h->truncating && set->mask & ATTR_SIZE)
		file_truncate_now(f, h);
	command.of_case = COORDFS__COMMAND__OF_SET_ATTR;
	command.set_attr = set;
	c->answer = answer_setattr;
	call_propose(c, &command);
}

void attributes_set(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct call c = call_of(req, node, NULL, fi);
	Coordfs__SetAttr set = set_attr_of(node, st, mask_of(to_set));
	struct orphan *orphan;
	struct attr attr;
	int code;

	if (handle_refused(req, handle_of(fi)))
		return;
	code = node == INODE_ROOT ? ERR_PERM : attr_now(f, node, &attr, &orphan);
	if (code == OK)
		code = check_size(&attr, set.size, &set.mask);
	if (code == OK && orphan)
		code = orphan_set(orphan, &set);
	if (code < 0) {
		note_error(f, node, code, NULL);
		reply_code(req, code);
	} else if (orphan || set.mask == 0) {
		reply_attr(f, req, handle_of(fi), node);
	} else {
		propose_set(f, &c, &set);
	}
}
