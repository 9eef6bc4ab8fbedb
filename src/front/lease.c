/* ioctl(2) on a handle: for how long its lock is its own. What this mount knows is told at once, without asking anybody,
 * for that is wanted most when nobody can be reached; and an ioctl is nothing that the kernel asks permission for first,
 * as it does, with a GETATTR, for an extended attribute. */

#include "front/machine_class.h"

#include <errno.h>

#include "coordfs/coordfs.h"

/* The highest token that is held through one handle. */
static int handles_token(void *ctx, const struct lock_info *lock)
{
	struct lock_info *own = ctx;

	if (lock->session == own->session && lock->handle == own->handle && lock->token > own->token)
		own->token = lock->token;
	return 0;
}

/* The session is looked at first: its loss makes the handle a lost one. */
static int lease_of(struct front *f, const struct handle *h, struct coordfs_lease *out)
{
	unsigned margin_ms;
	uint64_t left_ms = replica_lease_ms(f->replica, &margin_ms);
	struct lock_info own = {.session = replica_session(f->replica), .handle = h->number};

	if (left_ms == 0 || h->lost)
		return ERR_STALE;
	machine_locks(replica_machine(f->replica), handle_inode(h), handles_token, &own);
	if (own.token == 0)
		return ERR_STALE;
	*out = (struct coordfs_lease){.token = own.token, .left_ms = left_ms, .margin_ms = margin_ms};
	return OK;
}

void files_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *argument, struct fuse_file_info *fi,
		 unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	const struct handle *h = handle_of(fi);
	struct coordfs_lease lease;
	int code;

	(void)node, (void)argument, (void)flags, (void)in, (void)in_size;
	if (command != COORDFS_IOC_LEASE || out_size < sizeof lease || !h) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	code = lease_of(front_of(req), h, &lease);
	if (code < 0)
		reply_code(req, code);
	else
		fuse_reply_ioctl(req, 0, &lease, sizeof lease);
}
