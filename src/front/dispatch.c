/* One table for libfuse; each operation goes to the table of its node's class. What a class leaves out gets the
 * answer that a user would expect of a generated tree: nothing can be made, removed or locked there. No answer is
 * ever ENOSYS: the kernel would remember it for the whole mount. (Operations that are not in the table at all
 * may have it: lseek, copy_file_range, ioctl and access are better off in the kernel.) */

#include "front/front.h"
#include "front/eventual.h"
#include "front/virtual.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "front/handle.h"
#include "front/mount.h"
#include "front/votes.h"
#include "front/wait.h"

static const struct fuse_lowlevel_ops nothing;

static const struct fuse_lowlevel_ops *ops_of(fuse_req_t req, fuse_ino_t node)
{
	switch (node_class(node)) {
	case NODE_MACHINE:
		return eventual_is_root(front_of(req), node) ? &eventual_class_ops : &machine_class_ops;
	case NODE_INFO:
	case NODE_INFO_SELF:
		return &info_class_ops;
	case NODE_STATIC:
		return &static_class_ops;
	case NODE_TXN:
		return &txn_class_ops;
	case NODE_DYNAMIC:
		return &dynamic_class_ops;
	case NODE_VOTE:
		return &vote_class_ops;
	case NODE_EVENTUAL:
		return &eventual_class_ops;
	case NODE_EVENTUAL_INFO:
	case NODE_EVENTUAL_SELF:
		return &eventual_info_class_ops;
	case NODE_WAIT:
		return &wait_class_ops;
	case NODE_WAIT_FILE:
		return &wait_file_class_ops;
	default:
		return &nothing;
	}
}

/* Closing and locking a file go the way of its opening, whatever became of it since. */
static const struct fuse_lowlevel_ops *ops_of_open(fuse_req_t req, fuse_ino_t node, const struct fuse_file_info *fi)
{
	if (node_class(node) != NODE_MACHINE)
		return ops_of(req, node);
	return handle_of(fi) && handle_of(fi)->eventual ? &eventual_class_ops : &machine_class_ops;
}

/* Its content is where it is now; of what was removed, where it was. */
static const struct fuse_lowlevel_ops *ops_of_content(fuse_req_t req, fuse_ino_t node, const struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	return ops == &machine_class_ops ? ops_of_open(req, node, fi) : ops;
}

/* ---- names ---- */

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (strlen(name) > (node_class(parent) == NODE_WAIT ? WAIT_NAME_BYTES : LIMIT_NAME_BYTES))
		fuse_reply_err(req, ENAMETOOLONG); /* the kernel's own limit is higher */
	else if (ops->lookup)
		ops->lookup(req, parent, name);
	else
		fuse_reply_err(req, ENOENT);
}

static void forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	if (node_class(node) >= NODE_TXN)
		virtual_forget(f, node, count);
}

static void on_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	forget(front_of(req), node, count);
	fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < count; i++)
		forget(front_of(req), list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
}

static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->mknod)
		ops->mknod(req, parent, name, mode, rdev);
	else
		fuse_reply_err(req, EPERM);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->mkdir)
		ops->mkdir(req, parent, name, mode);
	else
		fuse_reply_err(req, EPERM);
}

static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->symlink)
		ops->symlink(req, target, parent, name);
	else
		fuse_reply_err(req, EPERM);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->create)
		ops->create(req, parent, name, mode, fi);
	else
		fuse_reply_err(req, EPERM);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->unlink)
		ops->unlink(req, parent, name);
	else
		fuse_reply_err(req, EPERM);
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent);

	if (ops->rmdir)
		ops->rmdir(req, parent, name);
	else
		fuse_reply_err(req, EPERM);
}

/* Nothing moves from one class to another. Where one side is eventual it is not EXDEV: on that mv(1) would remove what
 * is there before it copies, and the copy may be refused as well. */
static int between(const struct fuse_lowlevel_ops *a, const struct fuse_lowlevel_ops *b)
{
	return a == &eventual_class_ops || b == &eventual_class_ops ? EOPNOTSUPP : EXDEV;
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, parent), *to = ops_of(req, new_parent);

	if (ops != to)
		fuse_reply_err(req, between(ops, to));
	else if (ops->rename)
		ops->rename(req, parent, name, new_parent, new_name, flags);
	else
		fuse_reply_err(req, EPERM);
}

static void on_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char *new_name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, new_parent), *from = ops_of(req, node);

	if (ops != from)
		fuse_reply_err(req, between(ops, from));
	else if (ops->link)
		ops->link(req, node, new_parent, new_name);
	else
		fuse_reply_err(req, EPERM);
}

static void on_readlink(fuse_req_t req, fuse_ino_t node)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->readlink)
		ops->readlink(req, node);
	else
		fuse_reply_err(req, EINVAL);
}

/* ---- attributes ---- */

static void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->getattr)
		ops->getattr(req, node, fi);
	else
		fuse_reply_err(req, ENOENT);
}

static void on_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->setattr)
		ops->setattr(req, node, attr, to_set, fi);
	else
		fuse_reply_err(req, EPERM);
}

static void on_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value, size_t size,
			int flags)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->setxattr)
		ops->setxattr(req, node, name, value, size, flags);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void on_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->getxattr)
		ops->getxattr(req, node, name, size);
	else
		fuse_reply_err(req, ENODATA);
}

static void on_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->listxattr)
		ops->listxattr(req, node, size);
	else if (size == 0)
		fuse_reply_xattr(req, 0);
	else
		fuse_reply_buf(req, NULL, 0);
}

static void on_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->removexattr)
		ops->removexattr(req, node, name);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void on_statfs(fuse_req_t req, fuse_ino_t node)
{
	(void)node;
	mount_statfs(req);
}

/* ---- open files ---- */

static void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->open)
		ops->open(req, node, fi);
	else
		fuse_reply_err(req, EACCES);
}

static void on_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_content(req, node, fi);

	if (ops->read)
		ops->read(req, node, size, offset, fi);
	else
		fuse_reply_err(req, EINVAL);
}

static void on_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_content(req, node, fi);

	if (ops->write)
		ops->write(req, node, data, size, offset, fi);
	else
		fuse_reply_err(req, EINVAL);
}

static void on_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->flush)
		ops->flush(req, node, fi);
	else
		fuse_reply_err(req, 0);
}

static void on_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->release)
		ops->release(req, node, fi);
	else
		fuse_reply_err(req, 0);
}

/* What write(2) returned for is committed: there is nothing left to sync, in no class. */
static void on_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->fsync)
		ops->fsync(req, node, datasync, fi);
	else
		fuse_reply_err(req, 0);
}

static void on_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	(void)node, (void)datasync, (void)fi;
	fuse_reply_err(req, 0);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of_content(req, node, fi);

	if (ops->fallocate)
		ops->fallocate(req, node, mode, offset, length, fi);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void on_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *poll)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->poll) {
		ops->poll(req, node, fi, poll);
		return;
	}
	if (poll)
		fuse_pollhandle_destroy(poll);
	fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

static void on_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *argument, struct fuse_file_info *fi,
		     unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	const struct fuse_lowlevel_ops *ops = flags & FUSE_IOCTL_DIR ? NULL : ops_of_open(req, node, fi);

	if (ops && ops->ioctl)
		ops->ioctl(req, node, command, argument, fi, flags, in, in_size, out_size);
	else
		fuse_reply_err(req, ENOTTY);
}

/* ---- directories ---- */

static void on_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->opendir)
		ops->opendir(req, node, fi);
	else
		fuse_reply_open(req, fi);
}

static void on_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->readdir)
		ops->readdir(req, node, size, offset, fi);
	else
		fuse_reply_err(req, ENOTDIR);
}

static void on_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, node);

	if (ops->releasedir)
		ops->releasedir(req, node, fi);
	else
		fuse_reply_err(req, 0);
}

/* ---- locks ---- */

static void on_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->getlk)
		ops->getlk(req, node, fi, lock);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void on_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct flock *lock, int wait)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->setlk)
		ops->setlk(req, node, fi, lock, wait);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void on_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int operation)
{
	const struct fuse_lowlevel_ops *ops = ops_of_open(req, node, fi);

	if (ops->flock)
		ops->flock(req, node, fi, operation);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

const struct fuse_lowlevel_ops dispatch_ops = {
	.init = mount_init,
	.lookup = on_lookup,
	.forget = on_forget,
	.forget_multi = on_forget_multi,
	.mknod = on_mknod,
	.mkdir = on_mkdir,
	.symlink = on_symlink,
	.create = on_create,
	.unlink = on_unlink,
	.rmdir = on_rmdir,
	.rename = on_rename,
	.link = on_link,
	.readlink = on_readlink,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.setxattr = on_setxattr,
	.getxattr = on_getxattr,
	.listxattr = on_listxattr,
	.removexattr = on_removexattr,
	.statfs = on_statfs,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.flush = on_flush,
	.release = on_release,
	.fsync = on_fsync,
	.fsyncdir = on_fsyncdir,
	.fallocate = on_fallocate,
	.poll = on_poll,
	.ioctl = on_ioctl,
	.opendir = on_opendir,
	.readdir = on_readdir,
	.releasedir = on_releasedir,
	.getlk = on_getlk,
	.setlk = on_setlk,
	.flock = on_flock,
};
