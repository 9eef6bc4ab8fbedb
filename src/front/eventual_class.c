#include "front/eventual.h"
#include "front/generated.h"
#include "front/machine_class.h"

/* No locks, no attributes but user.coordfs.KEY: what is left out is EOPNOTSUPP. What write(2) returned for is durable:
 * there is nothing to flush or to sync. */
const struct fuse_lowlevel_ops eventual_class_ops = {
	.lookup = eventual_lookup,
	.mknod = eventual_mknod,
	.mkdir = eventual_mkdir,
	.symlink = eventual_symlink,
	.create = eventual_create,
	.unlink = eventual_unlink,
	.rmdir = eventual_unlink,
	.rename = eventual_rename,
	.link = eventual_link,
	.readdir = eventual_readdir,
	.getattr = attributes_get,
	.setattr = eventual_setattr,
	.getxattr = generated_getxattr,
	.setxattr = eventual_setxattr,
	.open = files_open,
	.read = eventual_read,
	.write = eventual_write,
	.release = eventual_release,
	.fallocate = eventual_fallocate,
	.poll = files_poll,
};
