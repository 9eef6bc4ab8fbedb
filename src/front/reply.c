#include "front/front.h"

#include <stdio.h>
#include <string.h>

void reply_code(fuse_req_t req, int code)
{
	fuse_reply_err(req, error_errno(code));
}

/* ---- attributes ---- */

static mode_t type_of(enum inode_kind kind)
{
	switch (kind) {
	case KIND_DIRECTORY:
		return S_IFDIR;
	case KIND_SYMLINK:
		return S_IFLNK;
	default:
		return S_IFREG;
	}
}

static struct timespec time_of(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	if (t.tv_nsec < 0) {
		t.tv_nsec += 1000000000;
		t.tv_sec--;
	}
	return t;
}

size_t value_text(enum inode_kind kind, int64_t value, char out[32])
{
	if (kind == KIND_FENCE)
		return (size_t)snprintf(out, 32, "%llu\n", (unsigned long long)value);
	return (size_t)snprintf(out, 32, "%lld\n", (long long)value);
}

static off_t size_of(const struct attr *attr)
{
	char text[32];

	if (attr->kind == KIND_COUNTER || attr->kind == KIND_FENCE)
		return (off_t)value_text(attr->kind, attr->value, text);
	return (off_t)attr->size;
}

void stat_of_attr(const struct attr *attr, struct stat *out)
{
	memset(out, 0, sizeof *out);
	out->st_ino = attr->inode;
	out->st_mode = type_of(attr->kind) | (attr->mode & 07777);
	out->st_nlink = attr->nlink;
	out->st_uid = attr->uid;
	out->st_gid = attr->gid;
	out->st_size = size_of(attr);
	out->st_blksize = 4096;
	out->st_blocks = (out->st_size + 511) / 512;
	out->st_atim = time_of(attr->atime_ns);
	out->st_mtim = time_of(attr->mtime_ns);
	out->st_ctim = time_of(attr->ctime_ns);
}

/* ---- READDIR ---- */

struct dir_reply dir_begin(fuse_req_t req, size_t size)
{
	struct dir_reply d = {.req = req, .buffer = front_of(req)->scratch, .size = size};

	if (d.size > LIMIT_FILE_BYTES)
		d.size = LIMIT_FILE_BYTES;
	return d;
}

bool dir_add(struct dir_reply *d, const char *name, fuse_ino_t node, mode_t mode, uint64_t offset)
{
	const struct stat st = {.st_ino = node, .st_mode = mode};
	size_t left = d->size - d->used;
	size_t need = fuse_add_direntry(d->req, d->buffer + d->used, left, name, &st, (off_t)offset);

	if (need > left)
		return false;
	d->used += need;
	return true;
}

void dir_end(struct dir_reply *d)
{
	fuse_reply_buf(d->req, d->buffer, d->used);
}
