/* Room: front. `.info`: what is known of each object, as key=value lines, and what may be set there. Beside what
 * virtual.h offers, this is shared by the generated trees' own files.
 *
 * Nodes of the classes NODE_INFO and NODE_INFO_SELF carry in their slot where their object lives. */
#ifndef COORDFS_FRONT_INFO_H
#define COORDFS_FRONT_INFO_H

#include "front/generated.h"
#include "front/parse.h"

enum info_slot {
	INFO_OF_MACHINE = 0, /* the number is an inode */
	INFO_OF_STATIC = 1,  /* … and beyond: of a generated name, its slot of enum static_slot added */
};

/* The lines of a node of any class, or of its `.info` node. A `generate`. */
int info_print(struct front *f, fuse_ino_t node, FILE *out);

/* Attributes of a node of the two classes. ERR_NOT_FOUND. */
int info_attr(struct front *f, fuse_ino_t node, struct stat *out);

/* ---- writing (info_plan.c, info_set.c) ---- */

#define INFO_TIMEOUT_S_MAX 31536000u

/* What a write asks, all lines together. */
struct info_plan {
	bool set_min, set_max, has_min, has_max; /* as in CounterBounds */
	int64_t min, max;
	bool set_timeout;
	uint64_t timeout_s;
	bool is_break;
	uint64_t token;
	enum consistency consistency; /* CONSISTENCY_UNSET: not asked */
};

/* From the lines of a write, or from one key and value. ERR_INVALID, ERR_RANGE, ERR_TOO_BIG, ERR_NOT_SUPPORTED,
 * with why (PARSE_ERROR_BYTES). */
int info_plan_parse(struct bytes input, struct info_plan *plan, char *why);
int info_plan_set(struct bytes key, struct bytes value, struct info_plan *plan, char *why);

/* A WRITE's lines: parse, check who asks, carry it out, answer. c->node is the object: an inode, or a
 * transaction's node; c->fi the handle that gets the result; c->size the WRITE's. */
void info_write_lines(struct front *f, const struct call *c, struct bytes input);

#endif
