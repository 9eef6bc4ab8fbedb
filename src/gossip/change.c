/* What users change: the record of one place is unpacked, changed, packed, and waits for the disk. The next change starts
 * from there, so a thousand additions of one turn of the loop are one write. */
#include <string.h>

#include "base/limits.h"
#include "gossip/internal.h"

struct edit {
	struct gossip *g;
	struct node *node;
	struct record record;
	enum gossip_kind kind; /* now */
};

static enum gossip_kind kind_now(const struct edit *e)
{
	return e->node->folder && e->node->folder->visible ? GOSSIP_DIRECTORY : record_kind(&e->record);
}

static int unpack_current(struct edit *e)
{
	const struct blob *b = e->node->current;

	return b ? record_unpack(b->data, b->size, &e->record) : 0;
}

static void edit_end(struct edit *e)
{
	record_fini(&e->record);
	tree_prune(&e->g->tree, e->node);
}

/* After it, also on an error but for one of the place itself, edit_end. */
static int edit_begin(struct gossip *g, const struct gossip_place *at, struct edit *e)
{
	int rc = tree_check_place(at);

	*e = (struct edit){.g = g};
	if (rc)
		return rc;
	if (g->closing)
		return ERR_CANCELED;
	e->node = tree_make(&g->tree, at);
	if (!e->node)
		return ERR_NO_MEMORY;
	rc = node_root(e->node)->gone ? ERR_NOT_FOUND : unpack_current(e);
	if (rc) {
		edit_end(e);
		return rc;
	}
	e->kind = kind_now(e);
	return 0;
}

static struct stamp next_stamp(struct edit *e)
{
	struct stamp s = stamp_next(&e->g->clock, gossip_clock_ms(e->g), e->g->config.member);

	e->record.changed_ms = s.ms > e->record.changed_ms ? s.ms : e->record.changed_ms;
	return s;
}

/* rc: what became of it so far. */
static int edit_commit(struct edit *e, int rc, gossip_done done, void *ctx)
{
	struct blob *b = rc ? NULL : blob_new(e->node, &e->record);

	if (!rc)
		rc = b ? batch_change(e->g, e->node, b, done, ctx) : ERR_NO_MEMORY;
	if (!rc && e->node->dirty)
		e->node->own = true;
	edit_end(e);
	return rc;
}

/* ---- making ---- */

static bool is_directory(const struct gossip *g, const struct gossip_place *at, bool *there)
{
	const struct node *n = tree_find(&g->tree, at);
	struct edit e = {.node = (struct node *)(uintptr_t)n};
	enum gossip_kind kind = GOSSIP_NOTHING;

	if (n && unpack_current(&e) == 0)
		kind = kind_now(&e);
	record_fini(&e.record);
	*there = kind != GOSSIP_NOTHING;
	return kind == GOSSIP_DIRECTORY;
}

/* The object itself is the machine's, and always there. */
static int check_parent(const struct gossip *g, const struct gossip_place *at)
{
	char path[LIMIT_PATH_BYTES + 1];
	const struct gossip_place parent = {at->root, path};
	const char *slash = strrchr(at->path, '/');
	bool there;

	if (!slash)
		return 0;
	memcpy(path, at->path, (size_t)(slash - at->path));
	path[slash - at->path] = '\0';
	if (is_directory(g, &parent, &there))
		return 0;
	return there ? ERR_NOT_DIRECTORY : ERR_NOT_FOUND;
}

static int make(struct edit *e, enum gossip_kind kind, const struct gossip_owner *owner)
{
	struct stamp s = next_stamp(e);

	e->record.owner = *owner;
	e->record.owner.mode &= 07777;
	e->record.owner_written = s;
	switch (kind) {
	case GOSSIP_COUNTER:
		return record_add(&e->record, e->g->config.member, e->g->epoch, 0);
	case GOSSIP_FILE:
		return record_write(&e->record.file, &s, NULL, 0);
	default:
		return record_write(&e->record.directory, &s, NULL, 0);
	}
}

int gossip_create(struct gossip *g, const struct gossip_place *at, enum gossip_kind kind,
		  const struct gossip_owner *owner, gossip_done done, void *ctx)
{
	struct edit e;
	int rc = edit_begin(g, at, &e);

	if (rc)
		return rc;
	if (kind < GOSSIP_DIRECTORY || kind > GOSSIP_FILE)
		rc = ERR_INVALID;
	else if (e.kind != GOSSIP_NOTHING && e.kind != kind)
		rc = ERR_EXISTS;
	else if (e.kind == GOSSIP_NOTHING || record_kind(&e.record) == GOSSIP_NOTHING)
		rc = check_parent(g, at);
	if (!rc && record_kind(&e.record) != kind)
		rc = make(&e, kind, owner);
	return edit_commit(&e, rc, done, ctx);
}

/* ---- changing what is there ---- */

/* The object itself needs no making. */
static int check_kind(const struct edit *e, enum gossip_kind wanted)
{
	if (e->kind == wanted || (e->kind == GOSSIP_NOTHING && !e->node->parent))
		return 0;
	if (e->kind == GOSSIP_NOTHING)
		return ERR_NOT_FOUND;
	return e->kind == GOSSIP_DIRECTORY ? ERR_IS_DIRECTORY : ERR_NOT_SUPPORTED;
}

int gossip_set_owner(struct gossip *g, const struct gossip_place *at, const struct gossip_owner *owner,
		     gossip_done done, void *ctx)
{
	struct edit e;
	int rc = edit_begin(g, at, &e);

	if (rc)
		return rc;
	if (e.kind == GOSSIP_NOTHING && e.node->parent) {
		rc = ERR_NOT_FOUND;
	} else {
		e.record.owner = *owner;
		e.record.owner.mode &= 07777;
		e.record.owner_written = next_stamp(&e);
	}
	return edit_commit(&e, rc, done, ctx);
}

int gossip_add(struct gossip *g, const struct gossip_place *at, int64_t amount, gossip_done done, void *ctx)
{
	struct edit e;
	int rc = edit_begin(g, at, &e);

	if (rc)
		return rc;
	rc = check_kind(&e, GOSSIP_COUNTER);
	if (!rc)
		rc = record_add(&e.record, g->config.member, g->epoch, amount);
	if (!rc)
		next_stamp(&e);
	return edit_commit(&e, rc, done, ctx);
}

int gossip_put(struct gossip *g, const struct gossip_place *at, const void *data, size_t size, gossip_done done,
	       void *ctx)
{
	struct stamp s;
	struct edit e;
	int rc = size > LIMIT_FILE_BYTES ? ERR_TOO_BIG : edit_begin(g, at, &e);

	if (rc)
		return rc;
	rc = check_kind(&e, GOSSIP_FILE);
	if (!rc) {
		s = next_stamp(&e);
		rc = record_write(&e.record.file, &s, data, size);
	}
	return edit_commit(&e, rc, done, ctx);
}

int gossip_remove(struct gossip *g, const struct gossip_place *at, gossip_done done, void *ctx)
{
	struct edit e;
	int rc = edit_begin(g, at, &e);

	if (rc)
		return rc;
	if (e.kind == GOSSIP_NOTHING)
		rc = ERR_NOT_FOUND;
	else if (e.node->folder && e.node->folder->visible)
		rc = ERR_NOT_EMPTY;
	if (!rc) {
		next_stamp(&e);
		record_remove(&e.record, e.kind);
	}
	return edit_commit(&e, rc, done, ctx);
}

void gossip_forget_root(struct gossip *g, uint64_t root)
{
	const struct gossip_place at = {root, ""};
	struct edit e;

	if (edit_begin(g, &at, &e))
		return;
	record_go(&e.record);
	edit_commit(&e, 0, NULL, NULL);
}
