/* Room: base. uthash, made to report an allocation that failed instead of ending the process: after HASH_ADD* ask
 * hash_has() or hash_kept(). Include this instead of <uthash.h>. */
#ifndef COORDFS_BASE_HASH_H
#define COORDFS_BASE_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include <stdlib.h>

/* Whether the element (with its handle called hh) that was just added is in the table. */
#define hash_has(element) ((element)->hh.tbl != NULL)

/* The same element; or NULL, and it is freed, when there was no memory for it in the table. */
#define hash_kept(element) hash_kept_or_freed(element, hash_has(element))
static inline void *hash_kept_or_freed(void *element, int is_kept)
{
	if (is_kept)
		return element;
	free(element);
	return NULL;
}

#endif
