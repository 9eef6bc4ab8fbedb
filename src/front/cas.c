/* files/.cas/PATH@REVISION: what is written there becomes PATH's content, if its content is still of that revision.
 * Reading gives the revision that the content has; after a write, on the same handle, the one that it made.
 *
 * One write(2) is one step. What a program writes in several (a shell's printf does, line by line) goes on behind the
 * first, each only if nobody changed the file since the one before: whoever wants it as a whole writes it at once. */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "front/access.h"
#include "front/dynamic.h"
#include "front/parse.h"

static bool find(struct front *f, uint64_t directory, struct bytes name, enum inode_kind kind, uint64_t *inode)
{
	enum inode_kind found;

	return view_lookup(front_view(f), directory, name, inode, &found) == OK && found == kind;
}

/* NAME@REVISION of a file, else a directory on the way. */
fuse_ino_t cas_lookup(struct front *f, uint64_t directory, const char *name)
{
	struct name want = {.is_cas = true};
	struct bytes base;

	if (parse_at_revision(bytes_of_text(name), &base, &want.revision) == OK &&
	    find(f, directory, base, KIND_FILE, &want.inode))
		return names_get(f, &want);
	if (find(f, directory, bytes_of_text(name), KIND_DIRECTORY, &want.inode))
		return dynamic_cas_directory(want.inode);
	return 0;
}

int cas_attr(struct front *f, const struct name *n, struct stat *out)
{
	struct attr a;
	int code = view_attr(front_view(f), n->inode, &a);

	if (code < 0)
		return code;
	stat_of_attr(&a, out);
	out->st_mode = S_IFREG | (a.mode & 0666);
	return OK;
}

int cas_print(struct front *f, const struct name *n, FILE *out)
{
	struct attr a;
	int code = view_attr(front_view(f), n->inode, &a);

	if (code == OK)
		fprintf(out, "%" PRIu64 "\n", a.content);
	return code;
}

static void on_written(struct front *f, struct call *c, const struct reply *reply)
{
	char text[24];
	int size = snprintf(text, sizeof text, "%" PRIu64 "\n", reply->revision);

	(void)f;
	dynamic_handle(&c->fi)->has_written = true;
	dynamic_handle(&c->fi)->revision = reply->revision;
	text_reply(generated_handle(&c->fi), text, (size_t)size);
	fuse_reply_write(c->req, c->size);
}

static void propose(const struct name *n, const struct call *c, const char *data)
{
	const struct dynamic_handle *h = dynamic_handle(&c->fi);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write q = COORDFS__WRITE__INIT;
	struct call copy = *c;

	q.inode = n->inode;
	q.data = binary_of_bytes((struct bytes){data, c->size});
	q.conditional = true;
	q.if_revision = h->has_written ? h->revision : n->revision;
	q.truncate = !h->has_written;
	q.append = h->has_written && c->fi.flags & O_APPEND;
	q.offset = h->has_written && !q.append ? c->offset : 0;
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &q;
	copy.answer = on_written;
	call_propose(&copy, &command);
}

/* The first write of a handle is the beginning of the content. (An append begins wherever the kernel believes.) */
static bool is_next(const struct call *c)
{
	return c->offset == 0 || dynamic_handle(&c->fi)->has_written || c->fi.flags & O_APPEND;
}

/* Errors are noted for the file itself. */
void cas_write(const struct name *n, const struct call *c, const char *data)
{
	struct front *f = front_of(c->req);
	struct call copy = *c;
	struct attr a;
	int code = view_attr(front_view(f), n->inode, &a);

	copy.node = n->inode;
	if (code < 0)
		call_refuse(&copy, code, NULL);
	else if (!access_allows(c->req, &a, 2))
		call_refuse(&copy, ERR_ACCESS, "no permission to write to the file");
	else if (!is_next(c))
		call_refuse(&copy, ERR_INVALID, "the new content begins at offset 0");
	else
		propose(n, &copy, data);
}
