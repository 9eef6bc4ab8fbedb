/* `.info` of what is eventual. */

#include "front/eventual.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info_text.h"
#include "front/machine_class.h"
#include "front/virtual.h"

/* ---- lines ---- */

struct shares {
	struct front *front;
	FILE *out;
};

struct member_sought {
	uint64_t id;
	FILE *out;
	bool found;
};

static void print_if_sought(void *ctx, const struct replica_member *member)
{
	struct member_sought *s = ctx;

	if (member->id != s->id || s->found)
		return;
	s->found = true;
	fputs(member->name, s->out);
}

/* What a removed member added stays; its name is gone. */
static void print_share(void *ctx, uint64_t member, uint64_t added, uint64_t taken)
{
	const struct shares *s = ctx;
	struct member_sought sought = {member, s->out, false};

	fputs("share=member ", s->out);
	replica_members(s->front->replica, print_if_sought, &sought);
	if (!sought.found)
		fprintf(s->out, "#%" PRIu64, member);
	fprintf(s->out, " added %" PRIu64 " taken %" PRIu64 "\n", added, taken);
}

static void print_kind(struct front *f, const struct attr *a, const struct gossip_place *at, FILE *out)
{
	struct shares shares = {f, out};

	switch (a->kind) {
	case KIND_COUNTER:
		fprintf(out, "value=%" PRId64 "\n", a->value);
		gossip_shares(f->gossip, at, print_share, &shares);
		break;
	case KIND_DIRECTORY:
		fprintf(out, "entries=%" PRIu64 "\n", a->entries);
		break;
	default:
		fprintf(out, "size=%" PRIu64 "\n", a->size);
		break;
	}
}

static const char *kind_word(enum inode_kind kind)
{
	return kind == KIND_COUNTER ? "counter" : kind == KIND_DIRECTORY ? "directory" : "file";
}

/* The object that a node is of: in the class of objects, or in the machine. */
static fuse_ino_t object_of(fuse_ino_t node)
{
	return node_is_eventual(node) ? node_make(NODE_EVENTUAL, 0, EVENTUAL_NUMBER(node)) : node_inode(node);
}

int eventual_print(struct front *f, fuse_ino_t node, FILE *out)
{
	const char *error = note_last(f, object_of(node));
	struct gossip_attr g = {.converged = true};
	struct orphan *orphan;
	struct gossip_place at;
	struct attr a;
	int code = eventual_place(f, object_of(node), &at);

	if (code == OK)
		code = attr_now(f, object_of(node), &a, &orphan);
	if (code < 0)
		return ERR_NOT_FOUND;
	gossip_attr(f->gossip, &at, &g);
	fprintf(out, "type=%s\n", kind_word(a.kind));
	fprintf(out, "consistency=eventual\n");
	info_print_time(out, "modified", a.ctime_ns);
	info_print_text(out, "error", error ? error : "");
	print_kind(f, &a, &at, out);
	fprintf(out, "converged=%s\n", g.converged ? "yes" : "no");
	return OK;
}

/* ---- names ---- */

fuse_ino_t eventual_info_find(struct front *f, fuse_ino_t parent, const char *name)
{
	struct eventual_child child;
	struct gossip_attr a;
	fuse_ino_t node;

	if (eventual_child(f, parent, name, &child) < 0 || gossip_attr(f->gossip, &child.at, &a) < 0)
		return 0;
	node = eventual_node(f, &child.at, eventual_kind(a.kind));
	return node ? node_make(NODE_EVENTUAL_INFO, 0, EVENTUAL_NUMBER(node)) : 0;
}

static void info_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (strcmp(name, COORDFS_NAME_SELF) == 0)
		virtual_reply_entry(req, node_make(NODE_EVENTUAL_SELF, 0, EVENTUAL_NUMBER(parent)));
	else
		virtual_reply_entry(req, eventual_info_find(front_of(req), parent, name));
}

enum { OFFSET_SELF = EVENTUAL_OFFSET_DOTS + 1 };

static void info_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	struct dir_reply d = dir_begin(req, size);
	struct eventual_listing l = {.front = f, .reply = &d, .class = NODE_EVENTUAL_INFO, .shift = OFFSET_SELF};
	fuse_ino_t self = node_make(NODE_EVENTUAL_SELF, 0, EVENTUAL_NUMBER(node));
	int code = OK;

	(void)fi;
	if ((offset >= 1 || dir_add(&d, ".", node, S_IFDIR, 1)) && (offset >= 2 || dir_add(&d, "..", node, S_IFDIR, 2)) &&
	    (offset >= OFFSET_SELF || dir_add(&d, COORDFS_NAME_SELF, self, S_IFREG, OFFSET_SELF)))
		code = eventual_list(&l, node, (uint64_t)offset);
	if (code < 0)
		reply_code(req, code);
	else
		dir_end(&d);
}

/* ---- attributes ---- */

static void info_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	int code = eventual_stat(front_of(req), node, &st);

	(void)fi;
	if (code < 0)
		reply_code(req, ERR_STALE);
	else
		fuse_reply_attr(req, &st, 0);
}

static void info_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	generated_reply_setattr(req, generated_setattr(to_set, attr), info_getattr, node, fi);
}

void eventual_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size, int flags)
{
	size_t prefix = strlen(COORDFS_XATTR_PREFIX);

	(void)flags;
	if (strncmp(name, COORDFS_XATTR_PREFIX, prefix) == 0)
		info_set(req, node, name + prefix, bytes_of(value, size));
	else
		reply_code(req, ERR_NOT_SUPPORTED);
}

/* ---- open files ---- */

static void info_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	generated_read(front_of(req), &c, eventual_print);
}

static void info_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, object_of(node), size, offset, fi);

	info_write_lines(front_of(req), &c, bytes_of(data, size));
}

const struct fuse_lowlevel_ops eventual_info_class_ops = {
	.lookup = info_lookup,
	.getattr = info_getattr,
	.setattr = info_setattr,
	.readdir = info_readdir,
	.open = generated_open,
	.read = info_read,
	.write = info_write,
	.release = generated_release,
};
