/* A machine over a store in memory, and images of it. For programs that are no cmocka tests. */
#ifndef COORDFS_TESTS_MODEL_MEMORY_H
#define COORDFS_TESTS_MODEL_MEMORY_H

#include "machine/level.h"
#include "machine/machine.h"
#include "machine/overlay.h"

struct memory_machine {
	struct store nothing; /* an overlay over nothing is a store in memory */
	struct overlay *memory;
	struct machine *machine;
};

/* Ends the program when there is no memory. observer may be NULL; it is copied. */
struct memory_machine *memory_machine_new(const struct machine_observer *observer);
void memory_machine_free(struct memory_machine *m);
/* Through an image. NULL, and why on stderr: the image is refused. */
struct memory_machine *memory_machine_copy(struct memory_machine *from, const struct machine_observer *observer);
/* Pack and apply. */
int memory_machine_apply(struct memory_machine *m, uint64_t index, const Coordfs__Entry *entry, struct reply *reply);
/* Pack; *size bytes, to be freed. */
uint8_t *memory_pack(const Coordfs__Entry *entry, size_t *size);
/* Each record of the base store. */
int memory_each(struct memory_machine *m, int (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx);

#endif
