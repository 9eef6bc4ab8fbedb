/* Random commands that make, change and end members of the cluster. */
#ifndef COORDFS_TESTS_MODEL_MEMBERS_H
#define COORDFS_TESTS_MODEL_MEMBERS_H

#include "generate.h"

struct generated_member {
	Coordfs__Command command;
	union {
		Coordfs__MemberAdd add;
		Coordfs__MemberSet set;
		Coordfs__MemberRemove remove;
		Coordfs__ClusterReset reset;
	} of;
	char name[16];
	uint8_t token[16];
};

/* Of a member's program. */
uint32_t generate_level(struct chance *c, const struct reference *r);
/* names: so many different ones, m0, m1, …; index: of the entry that will carry it. */
void generate_member(struct chance *c, struct reference *r, unsigned names, uint64_t index, struct generated_member *out);

#endif
