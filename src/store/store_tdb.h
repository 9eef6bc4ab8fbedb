/* Room: store. The machine's store port over tdb, in heap memory: the applied state. It may touch base/, the
 * machine's headers and libtdb. Durability is not its business: the log and the images (image.h) have it. */
#ifndef COORDFS_STORE_STORE_TDB_H
#define COORDFS_STORE_STORE_TDB_H

#include "machine/port.h"

/* An empty store; free it with store_tdb_free. ERR_NO_MEMORY: *out is NULL. */
int store_tdb_new(struct store **out);
void store_tdb_free(struct store *s); /* NULL is fine */

/* Each record once, in no order, until each returns non-zero, which is then returned. The store must not be
 * changed meanwhile; key and value are borrowed during the call. */
int store_tdb_each(struct store *s, int (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx);

#endif
