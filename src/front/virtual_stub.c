/* The generated trees, until they are there: none. */

#include "front/virtual.h"

const struct fuse_lowlevel_ops info_class_ops;
const struct fuse_lowlevel_ops static_class_ops;
const struct fuse_lowlevel_ops txn_class_ops;
const struct fuse_lowlevel_ops dynamic_class_ops;

int virtual_start(struct front *f)
{
	(void)f;
	return OK;
}

void virtual_stop(struct front *f)
{
	(void)f;
}

fuse_ino_t virtual_lookup(fuse_ino_t parent, const char *name)
{
	(void)parent, (void)name;
	return 0;
}

void virtual_reply_entry(fuse_req_t req, fuse_ino_t node)
{
	(void)node;
	reply_code(req, ERR_NOT_FOUND);
}

bool virtual_root_entry(unsigned n, const char **name, fuse_ino_t *node, mode_t *type)
{
	(void)n, (void)name, (void)node, (void)type;
	return false;
}

bool virtual_name_reserved(const char *name)
{
	(void)name;
	return false;
}

void virtual_forget(struct front *f, fuse_ino_t node, uint64_t count)
{
	(void)f, (void)node, (void)count;
}

int info_value(struct front *f, fuse_ino_t node, const char *key, char *out, size_t size)
{
	(void)f, (void)node, (void)key, (void)out, (void)size;
	return ERR_NO_DATA;
}

void info_set(fuse_req_t req, fuse_ino_t node, const char *key, struct bytes value)
{
	(void)node, (void)key, (void)value;
	reply_code(req, ERR_NOT_SUPPORTED);
}
