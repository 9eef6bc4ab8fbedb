/* Room: replica. A new cluster made of a backup (store/image.h), offline. */
#ifndef COORDFS_REPLICA_RESTORE_H
#define COORDFS_REPLICA_RESTORE_H

#include "replica/directory.h"

struct restored {
	uint64_t revision; /* of the backup: the log goes on after it */
	uint64_t id;	   /* of the new cluster's first member */
	uint64_t inodes, state_bytes;
	int64_t time_ns; /* of the backup's last change */
	char member[MEMBER_NAME_BYTES];
	char cluster[33];
};

/* Read the backup from fd and check it, then make the missing or empty directory the data of the first member of a new
 * cluster: its next start goes on from the backup, and resets who was a member of the former one. name: for messages;
 * member NULL: the host's name. Nothing is left in the directory on an error, which is one line.
 * ERR_CORRUPT, ERR_NOT_SUPPORTED (newer format), ERR_EXISTS (it holds data), ERR_NO_SPACE, ERR_NO_MEMORY, and
 * directory_open's. */
int replica_restore(int fd, const char *name, const char *directory, const char *member, struct restored *out,
		    char *error, size_t error_size);

#endif
