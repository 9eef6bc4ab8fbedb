/* Room: machine, for lock*.c. Ordered sets of objects that carry their own nodes: a treap, whose shape follows from the
 * members alone (weights are a mix of a number of theirs), so that nothing depends on the order of insertion. No
 * operation allocates or fails; all take O(log n). */
#ifndef COORDFS_MACHINE_LOCK_TREE_H
#define COORDFS_MACHINE_LOCK_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_node {
	struct tree_node *left, *right;
};

/* compare: a total order, no two members equal. weigh: a number that differs between members. update: recompute what a
 * node says about its subtree, from its children and itself; NULL when it says nothing. */
struct tree_type {
	int (*compare)(const struct tree_node *a, const struct tree_node *b);
	uint64_t (*weigh)(const struct tree_node *n);
	void (*update)(struct tree_node *n);
};

void tree_insert(const struct tree_type *type, struct tree_node **root, struct tree_node *node);
void tree_remove(const struct tree_type *type, struct tree_node **root, struct tree_node *node);
/* The first member >= key, the first > key, the last <= key; key is a member or a probe. NULL: none. */
struct tree_node *tree_ceiling(const struct tree_type *type, struct tree_node *root, const struct tree_node *key);
struct tree_node *tree_above(const struct tree_type *type, struct tree_node *root, const struct tree_node *key);
struct tree_node *tree_floor(const struct tree_type *type, struct tree_node *root, const struct tree_node *key);
struct tree_node *tree_first(struct tree_node *root);

/* Numbers that follow one another give results that do not (the finalizer of splitmix64). */
uint64_t tree_mix(uint64_t x);

static inline int tree_order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

#define tree_entry(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

#endif
