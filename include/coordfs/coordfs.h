/* For programs that use a coordfs mount: names and limits, so that none is spelled twice. Nothing here needs a
 * library: everything is done with files. See coordfs(5). */
#ifndef COORDFS_COORDFS_H
#define COORDFS_COORDFS_H

#include <stdint.h>
#include <sys/ioctl.h>

/* Extended attributes: user.coordfs.KEY of a path has the value of `KEY=` in .info/PATH. */
#define COORDFS_XATTR_PREFIX "user.coordfs."
/* The fencing token of the lock that this mount holds on the file; ESTALE when it holds none. */
#define COORDFS_XATTR_TOKEN "user.coordfs.token"
/* The revision of the last change of the content, for files/.cas/PATH@REVISION. */
#define COORDFS_XATTR_REVISION "user.coordfs.revision"
#define COORDFS_XATTR_CONSISTENCY "user.coordfs.consistency"

/* ioctl(fd, COORDFS_IOC_LEASE, &lease) on a handle that holds a lock: what this mount knows, without asking the others.
 * ESTALE: it holds none, or has lost it; ENOTTY: that is no file of coordfs. */
struct coordfs_lease {
	uint64_t token;	    /* of the lock; the highest of several */
	uint64_t left_ms;   /* for so long from when this was asked the lock is sure, unless it is broken or the daemon ends */
	uint64_t margin_ms; /* for so much longer nobody else is given it */
};
#define COORDFS_LEASE_UNLIMITED UINT64_MAX /* left_ms: the session does not expire */
#define COORDFS_IOC_LEASE _IOR('c', 0xc0, struct coordfs_lease)

/* Top directories of a mount. */
#define COORDFS_DIR_LOCKS "locks"
#define COORDFS_DIR_COUNTERS "counters"
#define COORDFS_DIR_FILES "files"
#define COORDFS_DIR_FENCES "fences"
#define COORDFS_DIR_TRANSACTIONS "transactions"
#define COORDFS_DIR_INFO ".info"
#define COORDFS_DIR_CLUSTER "cluster"

/* Names that no user's object can have. */
#define COORDFS_NAME_SELF ".self"
#define COORDFS_NAME_CAS ".cas"

/* Limits, in bytes unless named otherwise; coordfs(5) lists them with their errno. */
#define COORDFS_FILE_BYTES_MAX (1 << 20)
#define COORDFS_WRITE_BYTES_ATOMIC ((1 << 20) - 4096) /* one write(2) up to this is one atomic step */
#define COORDFS_REQUEST_BYTES_MAX (64 << 10)	       /* one write to a counter or control file */
#define COORDFS_REQUEST_LINES_MAX 4096
#define COORDFS_ID_BYTES_MAX 255 /* id=TEXT: printable ASCII without blanks */
#define COORDFS_ID_KEPT_S 3600	  /* seconds for which an id, or a transaction's outcome, is remembered at least */
#define COORDFS_TRANSACTION_BYTES_MAX (8 << 20)
#define COORDFS_TRANSACTION_OPERATIONS_MAX 10000

#endif
