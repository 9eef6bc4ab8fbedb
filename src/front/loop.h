/* Room: front, its own files only: requests from the kernel on the uv loop. */
#ifndef COORDFS_FRONT_LOOP_H
#define COORDFS_FRONT_LOOP_H

#include "front/front.h"

/* Begin to read requests of f->session, which is mounted. -1: error says why. */
int loop_start(struct front *f, char *error, size_t error_size);

/* Read none for a while, and on. */
void loop_pause(struct front *f);
void loop_resume(struct front *f);

/* Read no more. */
void loop_stop(struct front *f);

/* Free what loop_start made; the handles must have been closed (loop_stop, then at least one turn of the loop). */
void loop_free(struct front *f);

/* The next OPEN or CREATE reply lets the kernel write through the handle in parallel. (libfuse 3.14 has no field
 * for it.) */
void loop_open_parallel_writes(struct front *f);

#endif
