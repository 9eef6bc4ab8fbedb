#include "machine/lock_tree.h"

uint64_t tree_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t weight(const struct tree_type *type, const struct tree_node *n)
{
	return tree_mix(type->weigh(n));
}

static void update(const struct tree_type *type, struct tree_node *n)
{
	if (type->update)
		type->update(n);
}

/* Members below key to *low, the others to *high. */
static void split(const struct tree_type *type, struct tree_node *root, const struct tree_node *key,
		  struct tree_node **low, struct tree_node **high)
{
	if (!root) {
		*low = *high = NULL;
	} else if (type->compare(root, key) < 0) {
		split(type, root->right, key, &root->right, high);
		*low = root;
		update(type, root);
	} else {
		split(type, root->left, key, low, &root->left);
		*high = root;
		update(type, root);
	}
}

/* All of low are below all of high. */
static struct tree_node *join(const struct tree_type *type, struct tree_node *low, struct tree_node *high)
{
	if (!low || !high)
		return low ? low : high;
	if (weight(type, low) > weight(type, high)) {
		low->right = join(type, low->right, high);
		update(type, low);
		return low;
	}
	high->left = join(type, low, high->left);
	update(type, high);
	return high;
}

static void insert(const struct tree_type *type, struct tree_node **root, struct tree_node *node, uint64_t node_weight)
{
	struct tree_node *at = *root;
	if (!at || weight(type, at) < node_weight) {
		split(type, at, node, &node->left, &node->right);
		*root = node;
	} else {
		insert(type, type->compare(node, at) < 0 ? &at->left : &at->right, node, node_weight);
	}
	update(type, *root);
}

void tree_insert(const struct tree_type *type, struct tree_node **root, struct tree_node *node)
{
	insert(type, root, node, weight(type, node));
}

void tree_remove(const struct tree_type *type, struct tree_node **root, struct tree_node *node)
{
	struct tree_node *at = *root;
	if (at == node) {
		*root = join(type, at->left, at->right);
		node->left = node->right = NULL;
		return;
	}
	tree_remove(type, type->compare(node, at) < 0 ? &at->left : &at->right, node);
	update(type, at);
}

struct tree_node *tree_ceiling(const struct tree_type *type, struct tree_node *root, const struct tree_node *key)
{
	struct tree_node *found = NULL;
	while (root) {
		bool enough = type->compare(root, key) >= 0;
		found = enough ? root : found;
		root = enough ? root->left : root->right;
	}
	return found;
}

struct tree_node *tree_above(const struct tree_type *type, struct tree_node *root, const struct tree_node *key)
{
	struct tree_node *found = NULL;
	while (root) {
		bool enough = type->compare(root, key) > 0;
		found = enough ? root : found;
		root = enough ? root->left : root->right;
	}
	return found;
}

struct tree_node *tree_floor(const struct tree_type *type, struct tree_node *root, const struct tree_node *key)
{
	struct tree_node *found = NULL;
	while (root) {
		bool small = type->compare(root, key) <= 0;
		found = small ? root : found;
		root = small ? root->right : root->left;
	}
	return found;
}

struct tree_node *tree_first(struct tree_node *root)
{
	while (root && root->left)
		root = root->left;
	return root;
}
