/* Room: front, its own files only. Names that stand for something without a number of its own: transactions, open
 * and ended, in .info/transactions, and PATH@REVISION in files/.cas. They are kept in a table as long as the kernel
 * knows their nodes. The directories of files/.cas mirror those of files/ and need no table. */
#ifndef COORDFS_FRONT_DYNAMIC_H
#define COORDFS_FRONT_DYNAMIC_H

#include "front/generated.h"

enum dynamic_slot {
	DYNAMIC_NAME = 0, /* the number is a name's in the table */
	DYNAMIC_CAS = 1,  /* the number is the inode of the directory that is mirrored */
};

int names_new(struct names **out); /* ERR_NO_MEMORY */
void names_free(struct names *names);

/* The node of .info/transactions/NAME, where NAME may be T@MEMBER; 0: there is none (or no memory). */
fuse_ino_t dynamic_transaction(struct front *f, const char *name);

static inline fuse_ino_t dynamic_cas_directory(uint64_t inode)
{
	return node_make(NODE_DYNAMIC, DYNAMIC_CAS, inode);
}

int dynamic_attr(struct front *f, fuse_ino_t node, struct stat *out);
int dynamic_print_info(struct front *f, fuse_ino_t node, FILE *out); /* a `generate` */

void dynamic_remember(struct front *f, fuse_ino_t node);
void dynamic_forget(struct front *f, fuse_ino_t node, uint64_t count); /* frees what nobody knows any more */

/* ---- the table, for the class's own files ---- */

struct name {
	uint64_t lookups;
	bool is_cas;
	uint64_t inode, revision; /* files/.cas */
	const char *text;	  /* .info/transactions: the name */
};
struct name *names_find(struct front *f, fuse_ino_t node); /* NULL: a mirrored directory, or gone */
/* The node of that name, made if it is new; 0: no memory. text only when it is of .info/transactions. */
fuse_ino_t names_get(struct front *f, const struct name *want);

/* An open file of the class. */
struct dynamic_handle {
	struct text text; /* first: generated_handle() */
	bool has_written; /* files/.cas: … and made this revision */
	uint64_t revision;
};
static inline struct dynamic_handle *dynamic_handle(const struct fuse_file_info *fi)
{
	return (struct dynamic_handle *)(uintptr_t)fi->fh;
}

/* cas.c */
fuse_ino_t cas_lookup(struct front *f, uint64_t directory, const char *name);
int cas_attr(struct front *f, const struct name *n, struct stat *out);
int cas_print(struct front *f, const struct name *n, FILE *out);
void cas_write(const struct name *n, const struct call *c, const char *data); /* answers */

#endif
