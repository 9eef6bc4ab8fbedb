/* Room: front. Permission where the kernel has not checked it: requests that act on another object than the one
 * that it looked at. Elsewhere default_permissions does. */
#ifndef COORDFS_FRONT_ACCESS_H
#define COORDFS_FRONT_ACCESS_H

#include <stdbool.h>

#include "front/front.h"

/* May the caller read (4), write (2), or both, what has these attributes? */
bool access_allows(fuse_req_t req, const struct attr *attr, unsigned want);

/* May he open it with these flags of open(2)? */
bool access_allows_open(fuse_req_t req, const struct attr *attr, int flags);

#endif
