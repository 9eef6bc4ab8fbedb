/* Room: front, its own files only; it may touch the machine's view. This mount's history of changes, for `.wait`: what
 * changed at which revision, under the name that it had then. It is bounded: the oldest go first. */
#ifndef COORDFS_FRONT_CHANGES_H
#define COORDFS_FRONT_CHANGES_H

#include <stdbool.h>

#include "machine/machine.h"

#define CHANGES_MAX 200000u
#define CHANGES_BYTES_MAX (16u << 20) /* records, and the paths in them */

enum change_kind { CHANGE_MADE, CHANGE_REMOVED, CHANGE_CHANGED };

/* Below the mount, without a leading slash. */
struct change_path {
	unsigned users;
	unsigned size;
	char text[];
};

struct change {
	uint64_t revision;
	uint64_t inode; /* of what was made or changed; 0: removed */
	struct change_path *path;
	enum change_kind kind;
	bool is_moved; /* a directory, with all that is in it, was made here by renaming */
};

struct changes *changes_new(void); /* NULL: no memory */
void changes_free(struct changes *c);

/* Forget all; what comes after this revision will be told. */
void changes_begin(struct changes *c, uint64_t revision);

/* Add what an EVENT_ENTRY or EVENT_CHANGE says, at the time of the event; view is the state after the entry. *out: the
 * record, until the next call. ERR_NOT_FOUND: nothing to tell, for its directory is gone in the same entry, which is
 * told itself. ERR_NO_MEMORY: then all is forgotten, up to and with the event. */
int changes_add(struct changes *c, struct view view, const struct event *event, const struct change **out);

/* The path of an inode; its size, or -1: it has none. *path until the next call. The root's is empty. */
int changes_path(struct changes *c, struct view view, uint64_t inode, const char **path);

/* Nothing is missing of what came after this revision. */
uint64_t changes_floor(const struct changes *c);
/* Records in their order: the number of the first after a revision, how many there are, and one of them. */
size_t changes_after(const struct changes *c, uint64_t revision);
size_t changes_count(const struct changes *c);
const struct change *changes_at(const struct changes *c, size_t number);

/* Where a record's path is, as seen from another one. */
enum change_place { CHANGE_ELSEWHERE, CHANGE_THERE, CHANGE_BELOW, CHANGE_ABOVE };
enum change_place change_place(const struct change *change, const char *path, size_t size);

#endif
