/* Room: front. Generated files and directories: what the classes info, static, txn and dynamic share. A generated
 * file is a text made on demand by a `generate` function; its handle is a struct text (text.h), its st_size the
 * length of what a read would give now. */
#ifndef COORDFS_FRONT_GENERATED_H
#define COORDFS_FRONT_GENERATED_H

#include <stdio.h>
#include <string.h>

#include "front/front.h"
#include "front/text.h"

/* Print the whole text of node to out. 0, or a negative code when there is no such object any more. */
typedef int (*generate)(struct front *f, fuse_ino_t node, FILE *out);

/* Run it into memory: *text is to be freed. Its codes, or ERR_NO_MEMORY; then *text is NULL. */
int generated_text(struct front *f, fuse_ino_t node, generate make, char **text, size_t *size);

/* The text's length; 0 when it cannot be made. */
uint64_t generated_size(struct front *f, fuse_ino_t node, generate make);

void generated_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);	    /* answers req */
void generated_open_to_read(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi); /* ERR_ACCESS else */
void generated_read(struct front *f, struct call *c, generate make);			    /* answers c->req */
void generated_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi); /* answers req */
static inline struct text *generated_handle(const struct fuse_file_info *fi)
{
	return (struct text *)(uintptr_t)fi->fh;
}

/* GETXATTR where nothing is stored: user.coordfs.KEY only. The first step of getxattr(2) asks with size 0. */
void generated_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size); /* answers req */
void generated_reply_xattr(fuse_req_t req, const void *data, size_t length, size_t size);

/* SETATTR on a generated file: truncation is ignored (O_TRUNC of `echo x > f`), all else is ERR_PERM. */
int generated_setattr(int to_set, const struct stat *attr);
/* The answer to a SETATTR that came out as code: the attributes, as getattr gives them. */
void generated_reply_setattr(fuse_req_t req, int code, void (*getattr)(fuse_req_t, fuse_ino_t, struct fuse_file_info *),
			     fuse_ino_t node, struct fuse_file_info *fi);

/* ---- directories ---- */

/* READDIR of another tree's directory that shows a machine directory: entries after c->offset, with bias added to
 * the cookies, node_make(class, slot, inode) for each; plain: all but directories are shown as regular files. */
struct mirror {
	struct dir_reply *reply;
	struct view view;
	enum node_class class;
	unsigned slot;
	bool plain;
	uint64_t bias;
};
int mirror_list(struct mirror *m, uint64_t inode, uint64_t offset);

/* ---- small things ---- */

/* An opened node's READ, READDIR, … as a call. */
struct call call_of_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, const struct fuse_file_info *fi);

/* Refuse: the words are kept for error= of c->node. */
void call_refuse(const struct call *c, int code, const char *why);

/* The machine's present state. */
struct view front_view(struct front *f);

mode_t kind_mode(enum inode_kind kind); /* S_IFREG, S_IFDIR, S_IFLNK */

static inline struct bytes bytes_of_text(const char *text)
{
	return (struct bytes){text, strlen(text)};
}

static inline ProtobufCBinaryData binary_of_bytes(struct bytes b)
{
	return (ProtobufCBinaryData){b.size, (uint8_t *)(uintptr_t)b.data};
}

#endif
