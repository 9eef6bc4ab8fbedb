/* Whom a change concerns. Handles are found by their path and by the inode that is there (which may have other names):
 * a change of a/b/c concerns who waits for a/b/c, a/b, a or the root, and who waits for its inode under another name.
 * When a directory goes, or is renamed, that concerns all who wait for something below it; how many they are is counted
 * at each path, so that nobody is looked for in vain. */

#include "front/votes.h"
#include "front/wait_handle.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- places ---- */

static struct place *place_find(const struct waits *w, const char *path, size_t size)
{
	struct place *p;

	HASH_FIND(hh, w->places, path, size, p);
	return p;
}

static struct place *place_get(struct waits *w, const char *path, size_t size)
{
	struct place *p = place_find(w, path, size);

	if (p)
		return p;
	p = calloc(1, sizeof *p + size + 1);
	if (!p)
		return NULL;
	memcpy(p->path, path, size);
	p->size = size;
	HASH_ADD_KEYPTR(hh, w->places, p->path, size, p);
	return hash_kept(p);
}

static void place_drop(struct waits *w, struct place *p)
{
	if (p->handles || p->below > 0)
		return;
	HASH_DELETE(hh, w->places, p);
	free(p);
}

/* The size of the path above; 0: the root, or there is none. */
static size_t size_above(const char *path, size_t size)
{
	while (size > 0 && path[size - 1] != '/')
		size--;
	return size > 0 ? size - 1 : 0;
}

/* One handle more, or less, is below the places above this one, down to a size of `until`. (The root cannot go.) */
static size_t count_above(struct waits *w, const char *path, size_t size, size_t until, bool more)
{
	struct place *p;

	for (size = size_above(path, size); size > until; size = size_above(path, size)) {
		p = more ? place_get(w, path, size) : place_find(w, path, size);
		if (!p)
			break;
		p->below += more ? 1 : -1u;
		place_drop(w, p);
	}
	return size;
}

/* ---- objects ---- */

static struct object *object_find(const struct waits *w, uint64_t inode)
{
	struct object *o;

	HASH_FIND(hh, w->objects, &inode, sizeof inode, o);
	return o;
}

static struct object *object_get(struct waits *w, uint64_t inode)
{
	struct object *o = object_find(w, inode);

	if (o)
		return o;
	o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->inode = inode;
	HASH_ADD(hh, w->objects, inode, sizeof o->inode, o);
	return hash_kept(o);
}

static void object_leave(struct waits *w, struct wait_handle *h)
{
	struct object *o = h->object;

	if (!o)
		return;
	DL_DELETE2(o->handles, h, of_prev, of_next);
	h->object = NULL;
	if (o->handles)
		return;
	HASH_DELETE(hh, w->objects, o);
	free(o);
}

/* inode 0: nothing is there. Without memory the handle does not learn of changes through other names, and is told
 * that it may have missed some. */
static void object_enter(struct waits *w, struct wait_handle *h, uint64_t inode)
{
	if (h->object && h->object->inode == inode)
		return;
	object_leave(w, h);
	if (inode == 0)
		return;
	h->object = object_get(w, inode);
	if (h->object)
		DL_APPEND2(h->object->handles, h, of_prev, of_next);
	else
		h->is_lost = true;
}

static uint64_t inode_at(struct front *f, const char *path, size_t size)
{
	struct bytes name;
	uint64_t inode = INODE_ROOT;

	for (const char *end = path + size, *slash; path < end; path = slash + 1) {
		slash = memchr(path, '/', (size_t)(end - path));
		if (!slash)
			slash = end;
		name = (struct bytes){path, (size_t)(slash - path)};
		if (view_lookup(front_view(f), inode, name, &inode, NULL) < 0)
			return 0;
	}
	return inode;
}

void watch_renew(struct front *f, struct wait_handle *h)
{
	const struct place *p = h->place;

	object_enter(f->waits, h, h->vote ? vote_node(h->vote, VOTE_SLOT_DIRECTORY) : inode_at(f, p->path, p->size));
}

/* ---- life ---- */

int watch_begin(struct front *f, struct wait_handle *h, const char *path, size_t size)
{
	struct waits *w = f->waits;
	size_t reached;

	h->place = place_get(w, path, size);
	if (!h->place)
		return ERR_NO_MEMORY;
	DL_APPEND2(h->place->handles, h, at_prev, at_next);
	reached = count_above(w, path, size, 0, true);
	watch_renew(f, h);
	if (reached == 0 && !h->is_lost)
		return OK;
	object_leave(w, h);
	count_above(w, path, size, reached, false);
	DL_DELETE2(h->place->handles, h, at_prev, at_next);
	place_drop(w, h->place);
	h->place = NULL;
	return ERR_NO_MEMORY;
}

void watch_end(struct front *f, struct wait_handle *h)
{
	struct waits *w = f->waits;
	struct place *p = h->place;

	object_leave(w, h);
	count_above(w, p->path, p->size, 0, false);
	DL_DELETE2(p->handles, h, at_prev, at_next);
	place_drop(w, p);
	h->place = NULL;
}

/* ---- changes ---- */

static void touch(struct front *f, struct wait_handle *h, uint64_t revision)
{
	if (revision <= h->since)
		return; /* of a revision that is still to come */
	if (!h->is_touched)
		h->seen = revision - 1 > h->since ? revision - 1 : h->since;
	h->is_touched = true;
	wait_due(f, h);
}

static void touch_there(struct front *f, const struct change *change, const struct place *p)
{
	struct wait_handle *h;

	DL_FOREACH2 (p->handles, h, at_next) {
		touch(f, h, change->revision);
		if (change->kind != CHANGE_CHANGED && change->path->size == p->size)
			object_enter(f->waits, h, change->inode);
	}
}

static void touch_object(struct front *f, uint64_t inode, uint64_t revision)
{
	struct object *o = inode ? object_find(f->waits, inode) : NULL;
	struct wait_handle *h;

	if (o)
		DL_FOREACH2 (o->handles, h, of_next)
			touch(f, h, revision);
}

void watch_vote(struct front *f, const struct event *event)
{
	touch_object(f, vote_node(event->inode, VOTE_SLOT_DIRECTORY), event->revision);
}

/* What was below a path is gone, or something else is there. */
static void touch_below(struct front *f, const struct change *change)
{
	struct wait_handle *h;

	DL_FOREACH (f->waits->handles, h) {
		if (change_place(change, h->place->path, h->place->size) != CHANGE_ABOVE)
			continue;
		touch(f, h, change->revision);
		watch_renew(f, h);
	}
}

void watch_change(struct front *f, const struct change *change)
{
	const struct change_path *path = change->path;
	struct waits *w = f->waits;
	struct place *p;

	if (!w->handles)
		return;
	touch_object(f, change->inode, change->revision);
	p = place_find(w, path->text, path->size);
	if (p && p->below > 0 && (change->kind == CHANGE_REMOVED || change->is_moved))
		touch_below(f, change);
	for (size_t size = path->size;; size = size_above(path->text, size)) {
		p = place_find(w, path->text, size);
		if (p)
			touch_there(f, change, p);
		if (size == 0)
			break;
	}
}
