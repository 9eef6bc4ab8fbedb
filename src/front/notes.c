/* The last error of each path on this mount, for the `error=` line of `.info`. A cache of bounded size: the slot
 * is chosen by the node's number, a newer note takes it over. */

#include "front/notes.h"

#include <stdio.h>
#include <stdlib.h>

#include "front/eventual.h"

enum { NOTES = 1024 };

struct notes {
	struct note {
		fuse_ino_t node; /* 0: free */
		char text[200];
	} list[NOTES];
};

struct notes *notes_new(void)
{
	return calloc(1, sizeof(struct notes));
}

void notes_free(struct notes *n)
{
	free(n);
}

/* An object and the `.info` file that tells about it share one note. */
static fuse_ino_t subject_of(fuse_ino_t node)
{
	switch (node_class(node)) {
	case NODE_INFO:
	case NODE_INFO_SELF:
		return node_inode(node);
	case NODE_EVENTUAL_INFO:
	case NODE_EVENTUAL_SELF:
		return node_make(NODE_EVENTUAL, 0, EVENTUAL_NUMBER(node));
	default:
		return node;
	}
}

static struct note *slot_of(struct notes *n, fuse_ino_t node)
{
	return &n->list[(node ^ node >> NODE_SLOT_SHIFT) % NOTES];
}

/* One line: what a user wrote may be quoted in it. */
static void store_line(char *out, size_t size, const char *text)
{
	size_t at = 0;

	for (; text[at] && at + 1 < size; at++)
		out[at] = (unsigned char)text[at] < ' ' ? ' ' : text[at];
	out[at] = '\0';
}

void note_error(struct front *f, fuse_ino_t node, int code, const char *text)
{
	struct note *note = slot_of(f->notes, subject_of(node));

	note->node = subject_of(node);
	store_line(note->text, sizeof note->text, text && *text ? text : error_text(code));
}

const char *note_last(struct front *f, fuse_ino_t node)
{
	const struct note *note = slot_of(f->notes, subject_of(node));

	return note->node == subject_of(node) ? note->text : NULL;
}
