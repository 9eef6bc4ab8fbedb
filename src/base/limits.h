/* Room: base. Every limit that a user can meet; coordfs(5) lists them with their errno. */
#ifndef COORDFS_BASE_LIMITS_H
#define COORDFS_BASE_LIMITS_H

#include "coordfs/coordfs.h"

#define LIMIT_NAME_BYTES 255u			 /* ENAMETOOLONG */
#define LIMIT_PATH_BYTES 4096u			 /* ENAMETOOLONG */
#define LIMIT_DEPTH 512u			 /* ENAMETOOLONG: directories in a path */
#define LIMIT_FILE_BYTES ((unsigned)COORDFS_FILE_BYTES_MAX) /* EFBIG */
#define LIMIT_COMMAND_BYTES (12u << 20)		 /* EFBIG: one log entry; the largest commits a transaction */
#define LIMIT_REQUEST_BYTES ((unsigned)COORDFS_REQUEST_BYTES_MAX) /* EFBIG: one write to a counter or control file */
#define LIMIT_REQUEST_LINES ((unsigned)COORDFS_REQUEST_LINES_MAX) /* EFBIG */
#define LIMIT_ID_BYTES ((unsigned)COORDFS_ID_BYTES_MAX) /* EINVAL: id=TEXT */
#define LIMIT_IDS 1000000u			 /* EDQUOT: ids remembered at once */
#define LIMIT_XATTR_NAME_BYTES 255u		 /* ERANGE */
#define LIMIT_XATTR_VALUE_BYTES (64u << 10)	 /* E2BIG by the kernel */
#define LIMIT_XATTRS_BYTES (64u << 10)		 /* ENOSPC: names and values of one inode */
#define LIMIT_LINKS 65000u			 /* EMLINK */
#define LIMIT_TRANSACTION_BYTES ((unsigned)COORDFS_TRANSACTION_BYTES_MAX) /* EDQUOT: staged data and guards */
#define LIMIT_TRANSACTION_OPERATIONS ((unsigned)COORDFS_TRANSACTION_OPERATIONS_MAX) /* EDQUOT */
#define LIMIT_TRANSACTIONS 1000u		 /* EDQUOT: open at once on a member */
#define LIMIT_HISTORY_BYTES (256u << 20)	 /* old versions kept for open transactions; beyond: oldest aborts */
#define LIMIT_WAITERS 100000u			 /* ENOLCK: in the cluster */
#define LIMIT_VOTES 10000u				 /* EDQUOT: in the cluster */
#define LIMIT_VOTE_PARTICIPANTS 1000u			 /* EDQUOT: of one vote */
#define LIMIT_VOTE_TIMEOUT_S_MAX 86400u			 /* ERANGE */
#define LIMIT_LOCKS 1000000u			 /* ENOLCK: in the cluster */
#define LIMIT_USER_WAITERS 20000u		 /* ENOLCK: of one user other than root, in the cluster */
#define LIMIT_USER_LOCKS 200000u		 /* ENOLCK: the same */
#define LIMIT_SESSIONS 1000u			 /* the mount is refused */
#define LIMIT_MEMBERS 1000u			 /* the join is refused */
#define LIMIT_STATE_BYTES (2ull << 30)		 /* ENOSPC: keys and values; tdb itself ends at 4 GiB */
#define LIMIT_SESSION_TTL_S_MAX 3600u

#define FILE_CHUNK_BYTES (16u << 10)		 /* content is stored in records of this size */
#define OUTCOME_KEEP_NS (COORDFS_ID_KEPT_S * 1000000000ull) /* ids and outcomes are remembered this long */

#endif
