/* Room: front, its own files only: the table behind note_error and note_last (front.h). */
#ifndef COORDFS_FRONT_NOTES_H
#define COORDFS_FRONT_NOTES_H

#include "front/front.h"

struct notes *notes_new(void); /* NULL: no memory */
void notes_free(struct notes *n);

#endif
