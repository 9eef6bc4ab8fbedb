/* Room: replica. One member of a cluster whose majority is lost for good becomes a cluster of its own, offline. */
#ifndef COORDFS_REPLICA_RECOVER_H
#define COORDFS_REPLICA_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recovery;

/* What this member has. */
struct recovery_facts {
	const char *path, *member, *cluster; /* cluster: 32 hexadecimal digits */
	uint64_t id;
	uint64_t last_index, last_term; /* of the log's last entry */
	uint64_t acknowledged; /* up to here this member knows changes to be acknowledged */
	int64_t time_ns;       /* of the last change in the log; 0: none */
	unsigned voters, standbys; /* of the last configuration it knows */
	bool votes;		   /* it is one of the voters */
	bool alone;		   /* and the only one: it needs no recovery */
	bool interrupted;	   /* a recovery was begun and did not end */
};

struct recovery_member {
	uint64_t id;
	const char *name, *address; /* "": not known */
	bool votes;
};

/* Lock the directory and read all that is in it, as a start would: the log is checked, every entry is applied (and
 * thrown away). Nothing is changed that a start would not change. On an error *out is NULL; error is one line.
 * ERR_BUSY (a daemon uses it), ERR_NOT_FOUND (no member's directory), ERR_CORRUPT, ERR_NO_MEMORY, and
 * directory_open's. */
int recovery_open(const char *directory, struct recovery **out, char *error, size_t error_size);
const struct recovery_facts *recovery_facts(const struct recovery *r);
/* The members of the last configuration, in its order. Borrowed during the call. */
void recovery_members(struct recovery *r, void (*each)(void *ctx, const struct recovery_member *member), void *ctx);

/* Make it the only voter of a new cluster. What a crash leaves in between is a member that cannot serve until this was
 * done again, never two clusters of one name. ERR_NO_SPACE, ERR_CORRUPT. */
int recovery_run(struct recovery *r, char *error, size_t error_size);
void recovery_close(struct recovery *r);

#endif
