/* Open files below `.wait`: what they are told, and when.
 *
 * A handle has a revision, `since`: that of its name, or what was applied when it was opened, and later that of the
 * change that it told last. A read at offset 0 tells the first revision after it that changed something at the path or
 * below; several changes of one revision are told together, a line each, so that who asks for the next one after it
 * misses none. If there is none the read waits. The history of changes (changes.h) is looked through once, when the
 * handle is opened with an older revision; after that watch_change says from which revision on there may be something,
 * and nobody looks before.
 *
 * watch_change is called in the middle of machine_apply, once for each of an entry's changes. The answer waits until the
 * entry is done with, on a timer that is due at once. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "front/access.h"
#include "front/eventual.h"
#include "front/info_text.h"
#include "front/parse.h"
#include "front/poll.h"
#include "front/static.h"
#include "front/timer.h"
#include "front/virtual.h"
#include "front/wait_handle.h"

static struct wait_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct wait_handle *)(uintptr_t)fi->fh;
}

/* ---- what is to be told ---- */

/* A change of the object under another name than the path is one here, too. But the history says of an inode only where
 * it is now: before the last name came or went here it may have been elsewhere. */
struct match {
	struct front *front;
	const struct wait_handle *handle;
	size_t first;
	size_t objects_from; /* records from which on an inode counts, too; looked for when it is first asked */
	bool is_known;
};

static bool has_another_path(const struct match *m)
{
	const struct wait_handle *h = m->handle;
	const char *path;
	int size = changes_path(m->front->waits->changes, front_view(m->front), h->object->inode, &path);

	return size >= 0 && ((size_t)size != h->place->size || memcmp(path, h->place->path, h->place->size) != 0);
}

static size_t objects_from(const struct match *m, size_t from)
{
	const struct changes *c = m->front->waits->changes;
	const struct place *p = m->handle->place;
	size_t count = changes_count(c);
	const struct change *change;
	enum change_place place;

	if (!has_another_path(m))
		return count;
	for (; count > from; count--) {
		change = changes_at(c, count - 1);
		if (change->kind == CHANGE_CHANGED)
			continue;
		place = change_place(change, p->path, p->size);
		if (place == CHANGE_THERE || place == CHANGE_ABOVE)
			break;
	}
	return count;
}

/* Records are asked about in their order. */
static bool is_of_object(struct match *m, size_t number, const struct change *change)
{
	const struct object *object = m->handle->object;

	if (!object || change->inode != object->inode)
		return false;
	if (!m->is_known)
		m->objects_from = objects_from(m, number);
	m->is_known = true;
	return number >= m->objects_from;
}

static bool concerns(struct match *m, size_t number, const struct change *change)
{
	const struct place *p = m->handle->place;

	switch (change_place(change, p->path, p->size)) {
	case CHANGE_THERE:
	case CHANGE_BELOW:
		return true;
	case CHANGE_ABOVE:
		return change->kind == CHANGE_REMOVED || change->is_moved;
	default:
		return is_of_object(m, number, change);
	}
}

static int find(struct front *f, struct wait_handle *h, struct match *m)
{
	const struct changes *c = f->waits->changes;

	if (h->is_lost)
		return ERR_NO_DATA;
	if (!h->is_touched)
		return QUEUED;
	if (h->seen < changes_floor(c))
		return ERR_NO_DATA;
	*m = (struct match){.front = f, .handle = h, .first = changes_after(c, h->seen)};
	for (; m->first < changes_count(c); m->first++) {
		if (!concerns(m, m->first, changes_at(c, m->first)))
			continue;
		h->seen = changes_at(c, m->first)->revision - 1;
		return OK;
	}
	h->is_touched = false;
	return QUEUED;
}

/* ---- lines: REVISION KIND NAME ---- */

/* Names in a directory that the reader may not read are not his to know: then that directory has changed. One that is
 * gone does not say who might have read it. Returns how much of the path may be told. */
static size_t size_told(struct front *f, const struct wait_handle *h, fuse_req_t req, const struct change_path *path)
{
	uint64_t directory = h->object ? h->object->inode : 0;
	const char *at = path->text + h->place->size + (h->place->size > 0), *slash;
	struct bytes name;
	struct attr a;

	if (fuse_req_ctx(req)->uid == 0)
		return path->size;
	while ((slash = strchr(at, '/'))) {
		name = (struct bytes){at, (size_t)(slash - at)};
		if (view_lookup(front_view(f), directory, name, &directory, NULL) < 0 ||
		    view_attr(front_view(f), directory, &a) < 0 || !access_allows(req, &a, 5))
			return (size_t)(slash - path->text);
		at = slash + 1;
	}
	return path->size;
}

static void print_line(FILE *out, uint64_t revision, const char *kind, struct bytes name)
{
	fprintf(out, "%" PRIu64 " %s ", revision, kind);
	info_put_printable(out, name.data, name.size);
	putc('\n', out);
}

/* Of what is below. */
struct telling {
	struct front *front;
	struct wait_handle *handle;
	fuse_req_t req;
	FILE *out;
	struct bytes hidden; /* told last, in place of what is in it */
};

static void print_below(struct telling *t, const struct change *change)
{
	static const char *const kinds[] = {"made", "removed", "changed"};
	const struct wait_handle *h = t->handle;
	size_t skip = h->place->size + (h->place->size > 0), size = size_told(t->front, h, t->req, change->path);
	struct bytes name = {change->path->text + skip, size - skip};

	if (size == change->path->size) {
		t->hidden.size = 0;
		print_line(t->out, change->revision, kinds[change->kind], name);
	} else if (t->hidden.size != name.size || memcmp(t->hidden.data, name.data, name.size) != 0) {
		t->hidden = name;
		print_line(t->out, change->revision, "changed", name);
	}
}

/* Of the path itself. */
static void print_there(const struct telling *t, const struct change *change, enum change_place place)
{
	const struct place *p = t->handle->place;
	const char *slash = memrchr(p->path, '/', p->size), *kind = "changed";
	struct bytes name = bytes_of_text(t->handle->is_directory ? "." : slash ? slash + 1 : p->path);

	if (place == CHANGE_ABOVE)
		kind = "moved";
	else if (place == CHANGE_THERE && change->kind != CHANGE_CHANGED)
		kind = change->kind == CHANGE_MADE ? "made" : "removed";
	print_line(t->out, change->revision, kind, name);
}

static void print_revision(struct telling *t, struct match *m)
{
	const struct changes *c = t->front->waits->changes;
	const uint64_t revision = changes_at(c, m->first)->revision;
	const struct place *p = t->handle->place;
	const struct change *change;
	enum change_place place;

	for (size_t i = m->first; i < changes_count(c) && (change = changes_at(c, i))->revision == revision; i++) {
		place = change_place(change, p->path, p->size);
		if (place == CHANGE_BELOW)
			print_below(t, change);
		else if (concerns(m, i, change))
			print_there(t, change, place);
	}
}

static void told(struct wait_handle *h, uint64_t revision)
{
	h->since = h->seen = revision;
	h->is_lost = false;
}

/* The reader begins anew, with the state as it is now. */
static void told_of_loss(struct front *f, struct wait_handle *h)
{
	char words[PARSE_ERROR_BYTES];

	snprintf(words, sizeof words, "the history of changes here begins after revision %" PRIu64,
		 changes_floor(f->waits->changes));
	if (h->object)
		note_error(f, h->object->inode, ERR_NO_DATA, words);
	told(h, machine_applied(replica_machine(f->replica)));
	h->is_touched = false;
	watch_renew(f, h);
}

/* The wait_look of a path in the machine. */
static int look_at_changes(struct front *f, struct wait_handle *h, fuse_req_t req, FILE *out)
{
	struct telling t = {.front = f, .handle = h, .req = req, .out = out};
	struct match m;
	int code = find(f, h, &m);

	if (code == QUEUED || !out)
		return code;
	if (code == OK) {
		print_revision(&t, &m);
		told(h, changes_at(f->waits->changes, m.first)->revision);
	} else {
		told_of_loss(f, h);
	}
	return code;
}

/* ---- reading ---- */

/* OK: the text is in h->text. */
static int take(struct front *f, struct wait_handle *h, fuse_req_t req)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int code;

	if (!out)
		return ERR_NO_MEMORY;
	code = h->look(f, h, req, out);
	if (fclose(out) != 0 && code == OK)
		code = ERR_NO_MEMORY;
	if (code == OK)
		code = text_snapshot(&h->text, 0, text, size);
	free(text);
	return code;
}

static void reply(fuse_req_t req, struct wait_handle *h, int code, uint64_t offset, size_t size)
{
	const char *data;
	size_t got;

	if (code < 0) {
		reply_code(req, code);
		return;
	}
	data = text_read(&h->text, offset, size, &got);
	fuse_reply_buf(req, data, got);
}

static void read_free(struct wait_read *r)
{
	DL_DELETE(r->handle->reads, r);
	free(r);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	read_free(data);
	reply_code(req, ERR_INTERRUPTED);
}

static void park(fuse_req_t req, struct wait_handle *h, size_t size)
{
	struct wait_read *r;

	if (fuse_req_interrupted(req)) {
		reply_code(req, ERR_INTERRUPTED);
		return;
	}
	r = malloc(sizeof *r);
	if (!r) {
		reply_code(req, ERR_NO_MEMORY);
		return;
	}
	*r = (struct wait_read){.handle = h, .req = req, .size = size};
	DL_APPEND(h->reads, r);
	fuse_req_interrupt_func(req, on_interrupt, r);
}

static void wait_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct wait_handle *h = handle_of(fi);
	int code;

	(void)node;
	if (offset > 0) {
		if (h->text.state == TEXT_NONE)
			fuse_reply_buf(req, NULL, 0);
		else
			reply(req, h, OK, (uint64_t)offset, size);
		return;
	}
	code = take(front_of(req), h, req);
	if (code == QUEUED)
		park(req, h, size);
	else
		reply(req, h, code, 0, size);
}

/* ---- being told ---- */

/* All who read the handle are told the same. */
static void answer(struct front *f, struct wait_handle *h)
{
	struct wait_read *r, *next;
	int code = take(f, h, h->reads->req);

	if (code == QUEUED)
		return;
	DL_FOREACH_SAFE (h->reads, r, next) {
		fuse_req_interrupt_func(r->req, NULL, NULL);
		reply(r->req, h, code, 0, r->size);
		read_free(r);
	}
}

static void undue(struct waits *w, struct wait_handle *h)
{
	if (h->is_due)
		DL_DELETE2(w->due, h, due_prev, due_next);
	h->is_due = false;
}

static void on_timer(uv_timer_t *timer)
{
	struct front *f = timer->data;
	struct waits *w = f->waits;
	struct wait_handle *h;

	while ((h = w->due)) {
		undue(w, h);
		if (h->reads)
			answer(f, h);
		if (h->poll && h->look(f, h, NULL, NULL) != QUEUED)
			poll_wake(&h->poll);
	}
}

void wait_due(struct front *f, struct wait_handle *h)
{
	struct waits *w = f->waits;

	if (h->is_due || !w->timer || (!h->reads && !h->poll))
		return;
	h->is_due = true;
	DL_APPEND2(w->due, h, due_prev, due_next);
	uv_timer_start(w->timer, on_timer, 0, 0);
}

static void wait_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *poll)
{
	struct wait_handle *h = handle_of(fi);

	(void)node;
	poll_keep(&h->poll, poll);
	fuse_reply_poll(req, h->look(front_of(req), h, NULL, NULL) == QUEUED ? 0 : POLLIN | POLLRDNORM);
}

/* What it would have been told is not known, unless it asked for what is still to come. */
static void lose(struct front *f, struct wait_handle *h)
{
	if (h->since < changes_floor(f->waits->changes))
		h->is_lost = true;
	watch_renew(f, h);
	if (h->is_lost || h->vote)
		wait_due(f, h);
}

void wait_event(struct front *f, const struct event *event)
{
	const struct change *change;
	struct wait_handle *h;
	int code;

	if (!f->replica || !f->waits)
		return;
	if (event->type == EVENT_VOTE) {
		watch_vote(f, event);
		return;
	}
	code = changes_add(f->waits->changes, front_view(f), event, &change);
	if (code == OK)
		watch_change(f, change);
	if (code != ERR_NO_MEMORY)
		return;
	DL_FOREACH (f->waits->handles, h)
		lose(f, h);
}

void wait_restored(struct front *f)
{
	struct wait_handle *h;

	if (!f->waits)
		return;
	changes_begin(f->waits->changes, machine_applied(replica_machine(f->replica)));
	DL_FOREACH (f->waits->handles, h)
		lose(f, h);
}

/* ---- OPEN, RELEASE ---- */

/* Where the name is now, as a path. ERR_STALE: its directory is no more. ERR_NOT_SUPPORTED: what is there is
 * eventual. */
static int path_in_machine(struct front *f, const struct wait_name *n, const char **path, size_t *size)
{
	static const size_t room = LIMIT_NAME_BYTES + 2;
	uint64_t inode = wait_name_inode(f, n);
	const char *above;
	int length = changes_path(f->waits->changes, front_view(f), n->directory, &above);

	if (length < 0)
		return ERR_STALE;
	if (inode && eventual_is_root(f, inode))
		return ERR_NOT_SUPPORTED;
	if ((size_t)length + room > LIMIT_FILE_BYTES)
		return ERR_NAME_TOO_LONG;
	memcpy(f->scratch, above, (size_t)length);
	if (length > 0 && n->base.size > 0)
		f->scratch[length++] = '/';
	memcpy(f->scratch + length, n->base.data, n->base.size);
	*path = f->scratch;
	*size = (size_t)length + n->base.size;
	return OK;
}

/* Where the name is, as a path; that of a vote is there to be different from all others. */
static int path_of(struct front *f, const struct wait_name *n, const char **path, size_t *size)
{
	if (!n->vote)
		return path_in_machine(f, n, path, size);
	*size = (size_t)snprintf(f->scratch, LIMIT_FILE_BYTES, "votes/%" PRIu64 "/%.*s", n->vote, (int)n->base.size,
				 (const char *)n->base.data);
	*path = f->scratch;
	return machine_vote(replica_machine(f->replica), n->vote) ? OK : ERR_STALE;
}

static bool is_directory(struct front *f, const struct wait_name *n)
{
	uint64_t inode = wait_name_inode(f, n);
	struct attr a;

	return n->base.size == 0 || (inode && view_attr(front_view(f), inode, &a) == OK && a.kind == KIND_DIRECTORY);
}

static void handle_free(struct front *f, struct wait_handle *h)
{
	struct waits *w = f->waits;

	watch_end(f, h);
	undue(w, h);
	DL_DELETE(w->handles, h);
	poll_drop(&h->poll);
	text_fini(&h->text);
	free(h);
}

static int handle_new(struct front *f, const struct wait_name *n, struct wait_handle **out)
{
	uint64_t applied = machine_applied(replica_machine(f->replica));
	struct wait_handle *h;
	const char *path;
	size_t size;
	int code = path_of(f, n, &path, &size);

	if (code < 0)
		return code;
	h = calloc(1, sizeof *h);
	if (!h)
		return ERR_NO_MEMORY;
	text_init(&h->text);
	h->look = n->vote ? wait_look_at_vote : look_at_changes;
	h->vote = n->vote;
	h->until = n->until;
	h->since = h->seen = n->has_since ? n->since : n->vote ? 0 : applied;
	h->is_touched = h->since < applied;
	h->is_directory = !n->vote && is_directory(f, n);
	code = watch_begin(f, h, path, size);
	if (code < 0) {
		free(h);
		return code;
	}
	DL_APPEND(f->waits->handles, h);
	*out = h;
	return OK;
}

static void run_open(struct front *f, struct call *c)
{
	const struct wait_name *n = wait_name_find(f, c->node);
	struct wait_handle *h;
	int code = n ? handle_new(f, n, &h) : ERR_STALE;

	if (code < 0) {
		reply_code(c->req, code);
		return;
	}
	c->fi.fh = (uintptr_t)h;
	c->fi.direct_io = 1;
	if (fuse_reply_open(c->req, &c->fi) != 0)
		handle_free(f, h);
}

static void wait_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = run_open;
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		reply_code(req, ERR_ACCESS);
	else
		call_strong(&c);
}

static void wait_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	handle_free(front_of(req), handle_of(fi));
	fuse_reply_err(req, 0);
}

/* ---- the rest of the class ---- */

static void run_getattr(struct front *f, struct call *c)
{
	struct stat attr;
	int code = wait_attr(f, c->node, &attr);

	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_attr(c->req, &attr, 0);
}

static void wait_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = run_getattr;
	if (node_class(node) == NODE_WAIT && node_inode(node) < INODE_FIRST)
		call_here(&c);
	else
		call_strong(&c);
}

static void wait_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct dir_reply d = dir_begin(req, size);

	(void)fi;
	static_list_dots(&d, node, (uint64_t)offset);
	dir_end(&d);
}

const struct fuse_lowlevel_ops wait_class_ops = {
	.lookup = wait_lookup,
	.getattr = wait_getattr,
	.readdir = wait_readdir,
};

const struct fuse_lowlevel_ops wait_file_class_ops = {
	.getattr = wait_getattr,
	.open = wait_open,
	.read = wait_read,
	.release = wait_release,
	.poll = wait_poll,
};

/* ---- life ---- */

int wait_start(struct front *f)
{
	struct waits *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NO_MEMORY;
	w->changes = changes_new();
	w->timer = w->changes ? timer_new(f) : NULL;
	if (!w->timer) {
		changes_free(w->changes);
		free(w);
		return ERR_NO_MEMORY;
	}
	f->waits = w;
	changes_begin(w->changes, machine_applied(replica_machine(f->replica)));
	return OK;
}

void wait_stop(struct front *f)
{
	if (f->waits)
		timer_end(&f->waits->timer);
}

void wait_free(struct front *f)
{
	struct waits *w = f->waits;

	if (!w)
		return;
	wait_stop(f);
	while (w->handles) {
		while (w->handles->reads) {
			fuse_reply_none(w->handles->reads->req);
			read_free(w->handles->reads);
		}
		handle_free(f, w->handles);
	}
	wait_names_free(w);
	changes_free(w->changes);
	free(w);
	f->waits = NULL;
}
