/* Room: base. uthash, made to report an allocation that failed instead of ending the process: after HASH_ADD* ask
 * hash_has(). Include this instead of <uthash.h>. */
#ifndef COORDFS_BASE_HASH_H
#define COORDFS_BASE_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Whether the element (with its handle called hh) that was just added is in the table. */
#define hash_has(element) ((element)->hh.tbl != NULL)

#endif
