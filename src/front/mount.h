/* Room: front, its own files only: the session with the kernel. */
#ifndef COORDFS_FRONT_MOUNT_H
#define COORDFS_FRONT_MOUNT_H

#include "front/front.h"

/* libfuse's init operation: what we want of the kernel. */
void mount_init(void *userdata, struct fuse_conn_info *conn);

/* Answer STATFS: the room that is left below LIMIT_STATE_BYTES. */
void mount_statfs(fuse_req_t req);

#endif
