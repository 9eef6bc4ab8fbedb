/* Room: front, the files of the eventual class only: what they remember. */
#ifndef COORDFS_FRONT_EVENTUAL_TABLE_H
#define COORDFS_FRONT_EVENTUAL_TABLE_H

#include "base/hash.h"
#include "front/eventual.h"

#define EVENTUAL_LEVELS 4096

/* A place that the kernel knows. */
struct known {
	uint64_t number;  /* the node without its class */
	uint64_t lookups; /* of its nodes of all classes */
	uint64_t root;
	enum inode_kind kind;
	UT_hash_handle hh, by_key; /* hh: by number */
	size_t key_size;
	char *path; /* in key */
	char key[];
};

struct eventual {
	struct known *by_number, *by_key;
	struct level {
		uint64_t inode; /* 0: nothing is known */
		enum consistency consistency;
	} levels[EVENTUAL_LEVELS];
};

#endif
