/* Random commands about the objects of a reference, most of them sensible. */
#ifndef COORDFS_TESTS_MODEL_GENERATE_H
#define COORDFS_TESTS_MODEL_GENERATE_H

#include "reference.h"

struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *c);
/* 0 … below - 1 */
uint64_t chance_below(struct chance *c, uint64_t below);
/* once in n */
bool chance_one_in(struct chance *c, uint64_t n);

/* A command with all that it points to. */
struct generated {
	Coordfs__Command command;
	union {
		Coordfs__Create create;
		Coordfs__Remove remove;
		Coordfs__Rename rename;
		Coordfs__Link link;
		Coordfs__SetAttr set_attr;
		Coordfs__SetXattr set_xattr;
		Coordfs__Write write;
		Coordfs__CounterUpdate counter;
		Coordfs__CounterBounds bounds;
		Coordfs__FenceAdvance fence;
	} of;
	Coordfs__CounterRequest requests[4], *request_list[4];
	char ids[4][8];
	char name[300], new_name[300];
	uint8_t data[20000];
};

/* Create … bounds, and fence. r: what there is. */
void generate(struct chance *c, struct reference *r, struct generated *out);
/* A name as the commands use them. */
void generate_name(struct chance *c, char name[300]);
/* An object that is there, most often of the kind wanted (0: any). */
uint64_t generate_object(struct chance *c, struct reference *r, enum inode_kind kind);

#endif
