/* Room: base. The one table of results: code, errno, words. Codes are negative; 0 is success and
 * QUEUED (positive) says that the answer comes later. errno values appear here and in front/ only. */
#ifndef COORDFS_BASE_ERROR_H
#define COORDFS_BASE_ERROR_H

/* The order is part of the log format (replies are replicated): append only. */
#define COORDFS_ERRORS(X)                                                              \
	X(INVALID, EINVAL, "malformed request")                                        \
	X(RANGE, ERANGE, "out of range")                                               \
	X(TOO_BIG, EFBIG, "beyond a size limit")                                       \
	X(NAME_TOO_LONG, ENAMETOOLONG, "name too long")                                \
	X(WOULD_BLOCK, EWOULDBLOCK, "held by another")                                 \
	X(EXISTS, EEXIST, "exists already")                                            \
	X(NOT_FOUND, ENOENT, "no such object")                                         \
	X(NOT_EMPTY, ENOTEMPTY, "directory not empty")                                 \
	X(ACCESS, EACCES, "permission denied")                                         \
	X(PERM, EPERM, "operation not permitted")                                      \
	X(CANCELED, ECANCELED, "decided against: nothing changed")                     \
	X(DEADLOCK, EDEADLK, "would complete a cycle of waiters")                      \
	X(STALE, ESTALE, "authority lost")                                             \
	X(NO_QUORUM, EHOSTUNREACH, "no majority can be reached: not applied")          \
	X(TIMED_OUT, ETIMEDOUT, "no answer in time: outcome unknown")                  \
	X(QUOTA, EDQUOT, "a limit on number or size is reached")                       \
	X(NO_SPACE, ENOSPC, "no space left")                                           \
	X(NOT_SUPPORTED, EOPNOTSUPP, "not supported by this object")                   \
	X(IS_DIRECTORY, EISDIR, "is a directory")                                      \
	X(NOT_DIRECTORY, ENOTDIR, "is not a directory")                                \
	X(CROSS_TREE, EXDEV, "source and target are in different trees")               \
	X(TOO_MANY_LINKS, EMLINK, "too many links")                                    \
	X(NO_DATA, ENODATA, "no such data")                                            \
	X(NO_MEMORY, ENOMEM, "out of memory")                                          \
	X(READ_ONLY, EROFS, "read-only")                                               \
	X(INTERRUPTED, EINTR, "interrupted")                                           \
	X(NO_LOCKS, ENOLCK, "too many locks")                                          \
	X(CORRUPT, EIO, "stored data is damaged")                                      \
	X(BUSY, EBUSY, "in use")

enum coordfs_error {
	OK = 0,
	QUEUED = 1, /* a result, not an error: the answer comes later */
	ERROR_FIRST = -1000, /* so that the first code below is -999 */
#define X(name, errno_value, text) ERR_##name,
	COORDFS_ERRORS(X)
#undef X
};

/* The errno (positive) for a code; 0 for OK and QUEUED; EIO for a code that is not in the table. */
int error_errno(int code);

/* Plain English for a code, for logs and `.info`; never NULL, static. */
const char *error_text(int code);

#endif
