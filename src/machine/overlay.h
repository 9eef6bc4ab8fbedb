/* Room: machine. Changes kept apart over another store, to be carried out or thrown away as a whole. */
#ifndef COORDFS_MACHINE_OVERLAY_H
#define COORDFS_MACHINE_OVERLAY_H

#include "machine/port.h"

struct overlay;
struct overlay *overlay_new(struct store *below); /* NULL: no memory; below borrowed */
void overlay_free(struct overlay *o);		  /* throws away what was not flushed; NULL is fine */
struct store *overlay_store(struct overlay *o);
/* Carry out the changes on the store below, in the order in which records were first changed, and be empty
 * again. On an error some may have been carried out. */
int overlay_flush(struct overlay *o);
/* Carry out the changes on any store, and keep them. */
int overlay_each(struct overlay *o, struct store *to);
size_t overlay_bytes(const struct overlay *o); /* memory in use */

#endif
