/* The history of changes.
 *
 * Each record has the path that its object had at that moment, so that what is told of the past needs no state that is
 * no more. A counter that changes ten thousand times a second must not cost a walk up its directories each time: the
 * paths of what changed last are kept, by inode, and records share them. A name that comes or goes sets, or is found
 * below, its directory's; a directory that moves takes the paths below it along, so then all are looked up again.
 *
 * An object with several names has the path of the one that it got last (view_path). */

#include "front/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES ((LIMIT_DEPTH + 2) * (LIMIT_NAME_BYTES + 1)) /* the longest there can be */
#define RING_FIRST 1024u
#define KNOWN 16384u
#define KNOWN_BYTES 1024u /* longer paths are looked up each time */

struct changes {
	struct change *ring;
	size_t capacity, head, count;
	size_t bytes; /* of paths, whoever uses them */
	uint64_t floor;
	struct known {
		uint64_t inode; /* 0: free */
		struct change_path *path;
	} known[KNOWN];
	char buffer[PATH_BYTES];
};

struct changes *changes_new(void)
{
	return calloc(1, sizeof(struct changes));
}

/* ---- paths ---- */

static struct change_path *path_new(struct changes *c, const char *text, size_t size)
{
	struct change_path *p = malloc(sizeof *p + size + 1);

	if (!p)
		return NULL;
	p->users = 1;
	p->size = (unsigned)size;
	memcpy(p->text, text, size);
	p->text[size] = '\0';
	c->bytes += sizeof *p + size + 1;
	return p;
}

static void path_drop(struct changes *c, struct change_path *p)
{
	if (--p->users > 0)
		return;
	c->bytes -= sizeof *p + p->size + 1;
	free(p);
}

static void known_clear(struct changes *c, struct known *k)
{
	if (k->inode)
		path_drop(c, k->path);
	k->inode = 0;
}

static void know_nothing(struct changes *c)
{
	for (size_t i = 0; i < KNOWN; i++)
		known_clear(c, &c->known[i]);
}

static void know(struct changes *c, uint64_t inode, struct change_path *path)
{
	struct known *k = &c->known[inode % KNOWN];

	known_clear(c, k);
	if (path->size > KNOWN_BYTES)
		return;
	k->inode = inode;
	k->path = path;
	path->users++;
}

int changes_path(struct changes *c, struct view view, uint64_t inode, const char **path)
{
	*path = "";
	if (inode == INODE_ROOT)
		return 0;
	*path = view_path(view, inode, c->buffer, sizeof c->buffer);
	return strncmp(*path, "inode ", 6) == 0 ? -1 : (int)strlen(*path); /* the root has no such name */
}

/* A user more of the inode's path. ERR_NOT_FOUND, ERR_NO_MEMORY. */
static int path_of(struct changes *c, struct view view, uint64_t inode, struct change_path **out)
{
	struct known *k = &c->known[inode % KNOWN];
	const char *text;
	int size;

	if (k->inode == inode) {
		k->path->users++;
		*out = k->path;
		return OK;
	}
	size = changes_path(c, view, inode, &text);
	if (size < 0)
		return ERR_NOT_FOUND;
	*out = path_new(c, text, (size_t)size);
	if (!*out)
		return ERR_NO_MEMORY;
	know(c, inode, *out);
	return OK;
}

/* The same of a name in a directory. */
static int path_in(struct changes *c, struct view view, uint64_t directory, struct bytes name, struct change_path **out)
{
	struct change_path *above;
	int code = path_of(c, view, directory, &above);
	size_t size;

	if (code < 0)
		return code;
	size = above->size + (above->size > 0) + name.size;
	if (size < sizeof c->buffer) {
		memcpy(c->buffer, above->text, above->size);
		c->buffer[above->size] = '/';
		memcpy(c->buffer + size - name.size, name.data, name.size);
		*out = path_new(c, c->buffer, size);
		code = *out ? OK : ERR_NO_MEMORY;
	} else {
		code = ERR_NOT_FOUND;
	}
	path_drop(c, above);
	return code;
}

/* ---- records ---- */

static struct change *slot(const struct changes *c, size_t number)
{
	return &c->ring[(c->head + number) & (c->capacity - 1)];
}

static void drop_oldest(struct changes *c)
{
	struct change *oldest = slot(c, 0);

	c->floor = oldest->revision;
	path_drop(c, oldest->path);
	c->head = (c->head + 1) & (c->capacity - 1);
	c->count--;
}

void changes_begin(struct changes *c, uint64_t revision)
{
	while (c->count > 0)
		drop_oldest(c);
	know_nothing(c);
	c->floor = revision;
}

void changes_free(struct changes *c)
{
	if (!c)
		return;
	changes_begin(c, 0);
	free(c->ring);
	free(c);
}

static bool is_too_large(const struct changes *c)
{
	return c->count > CHANGES_MAX || c->count * sizeof *c->ring + c->bytes > CHANGES_BYTES_MAX;
}

/* The newest stays, whatever its size. */
static void shrink(struct changes *c)
{
	while (is_too_large(c) && c->count > 1)
		drop_oldest(c);
	if (is_too_large(c))
		know_nothing(c);
}

static int make_room(struct changes *c)
{
	size_t capacity = c->capacity ? 2 * c->capacity : RING_FIRST;
	struct change *ring;

	if (c->count < c->capacity)
		return OK;
	ring = malloc(capacity * sizeof *ring);
	if (!ring)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < c->count; i++)
		ring[i] = *slot(c, i);
	free(c->ring);
	c->ring = ring;
	c->capacity = capacity;
	c->head = 0;
	return OK;
}

/* One entry may make a directory, fill it and move it: then its path is not where it was made. */
static bool has_stayed(struct changes *c, struct view view, const struct change *change)
{
	const char *text;
	int size = changes_path(c, view, change->inode, &text);

	return size == (int)change->path->size && memcmp(text, change->path->text, change->path->size) == 0;
}

/* What is known of paths after a name has come. */
static void look_at_made(struct changes *c, struct view view, struct change *change)
{
	struct attr a;
	bool is_directory = view_attr(view, change->inode, &a) == OK && a.kind == KIND_DIRECTORY;

	change->is_moved = is_directory && a.created < change->revision;
	if (change->is_moved || (is_directory && !has_stayed(c, view, change)))
		know_nothing(c);
	else
		know(c, change->inode, change->path);
}

static int fill(struct changes *c, struct view view, const struct event *event, struct change *out)
{
	*out = (struct change){.revision = event->revision, .inode = event->inode, .kind = CHANGE_CHANGED};
	if (event->type == EVENT_CHANGE)
		return path_of(c, view, event->inode, &out->path);
	out->inode = event->child;
	out->kind = event->child ? CHANGE_MADE : CHANGE_REMOVED;
	return path_in(c, view, event->inode, event->name, &out->path);
}

int changes_add(struct changes *c, struct view view, const struct event *event, const struct change **out)
{
	struct change change;
	int code = make_room(c);

	*out = NULL;
	if (code == OK)
		code = fill(c, view, event, &change);
	if (code == ERR_NO_MEMORY)
		changes_begin(c, event->revision);
	if (code < 0)
		return code;
	if (change.kind == CHANGE_MADE)
		look_at_made(c, view, &change);
	*slot(c, c->count++) = change;
	shrink(c);
	*out = slot(c, c->count - 1);
	return OK;
}

/* ---- reading ---- */

uint64_t changes_floor(const struct changes *c)
{
	return c->floor;
}

size_t changes_count(const struct changes *c)
{
	return c->count;
}

const struct change *changes_at(const struct changes *c, size_t number)
{
	return slot(c, number);
}

size_t changes_after(const struct changes *c, uint64_t revision)
{
	size_t low = 0, high = c->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (slot(c, middle)->revision > revision)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Is the first path the second one, or above it? (The root, whose path is empty, is above all.) */
static bool leads_to(const char *above, size_t above_size, const char *below, size_t below_size)
{
	if (above_size > below_size || memcmp(above, below, above_size) != 0)
		return false;
	return above_size == 0 || above_size == below_size || below[above_size] == '/';
}

enum change_place change_place(const struct change *change, const char *path, size_t size)
{
	const struct change_path *p = change->path;

	if (leads_to(path, size, p->text, p->size))
		return p->size == size ? CHANGE_THERE : CHANGE_BELOW;
	return leads_to(p->text, p->size, path, size) ? CHANGE_ABOVE : CHANGE_ELSEWHERE;
}
