/* Is the machine as the reference says? Each returns NULL, or what differs (valid until the next call). */
#ifndef COORDFS_TESTS_MODEL_COMPARE_H
#define COORDFS_TESTS_MODEL_COMPARE_H

#include "memory.h"
#include "reference.h"

/* Every object with all that can be read of it, every directory in order. Also of a transaction's view. */
const char *compare_view(struct view v, struct reference *r);
/* One object. */
const char *compare_object(struct view v, struct reference *r, const struct ref_object *o);
/* Sessions and outcomes. */
const char *compare_tables(struct machine *m, struct reference *r);
/* The store holds what it must and nothing else; the figures of Meta are those of its records. */
const char *compare_records(struct memory_machine *m, struct reference *r);

#endif
