/* Room: machine. The store port: what the machine needs of a keyed store, and no more.
 * Implemented by store/ (tdb), by overlay.c (staged changes over another store) and by
 * history.c (older versions). Keys and values are bytes; no order is needed. */
#ifndef COORDFS_MACHINE_PORT_H
#define COORDFS_MACHINE_PORT_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	const void *data;
	size_t size;
};

/* Called with the stored value; it is borrowed and valid during the call only, in which the store
 * must not be used. What it returns is what store_get returns. */
typedef int (*store_parse)(void *ctx, struct bytes value);

struct store;
struct store_ops {
	/* 1 when found (and parse, if any, returned 0), 0 when absent, or parse's negative code. */
	int (*get)(struct store *s, struct bytes key, store_parse parse, void *ctx);
	/* 0, or ERR_NO_MEMORY, ERR_NO_SPACE with the old value unchanged. Creates or replaces. */
	int (*put)(struct store *s, struct bytes key, struct bytes value);
	/* 0, also when there was none. */
	int (*del)(struct store *s, struct bytes key);
};
struct store {
	const struct store_ops *ops;
};

static inline int store_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	return s->ops->get(s, key, parse, ctx);
}
static inline int store_put(struct store *s, struct bytes key, struct bytes value)
{
	return s->ops->put(s, key, value);
}
static inline int store_del(struct store *s, struct bytes key)
{
	return s->ops->del(s, key);
}

#endif
