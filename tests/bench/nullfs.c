/*
 * nullfs: the least that a FUSE daemon can do, as the limit beside which coordfs is measured.
 *
 *     nullfs [-s] MOUNTPOINT          in the foreground, until unmounted or SIGTERM
 *
 * One thread, libfuse's low-level loop, no log, no disk, no permission. What it keeps is what the benchmark needs to be
 * the same on it as on coordfs, so that its checks hold here too: names, a number for each file below counters/, a size
 * for the others, one exclusive lock with a queue for each file, and a transaction that is no transaction (what is
 * written in transactions/T/counters is counted at once).
 *
 * Names are cached by the kernel for ever and attributes of directories too, for nobody else changes them; those of
 * files are not, since a counter's size moves. Hence an idiom costs here the fewest requests that it can on coordfs:
 * `cat` is OPEN, READ, FLUSH, RELEASE. The kernel may send writes of one file side by side
 * (FOPEN_PARALLEL_DIRECT_WRITES); with -s it sends one after the other, as it does when nobody says otherwise.
 */

#define FUSE_USE_VERSION 35

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#define CACHED_S 86400.0
#define LISTED_COUNT 100000 /* names that /listed shows, though none can be opened */
#define FILE_BYTES_MAX 4096

enum kind { DIRECTORY, COUNTER, PLAIN };

struct key {
	uint64_t parent;
	char name[72];
};

struct waiter {
	fuse_req_t req;
	uint64_t owner;
	struct node *node;
	struct waiter *next;
};

struct node {
	struct key key; /* the place it has, or had */
	UT_hash_handle hh;
	enum kind kind;
	bool linked;	    /* in the table */
	uint64_t lookups;   /* of the kernel */
	struct node *alias; /* a directory whose entries this one shows */
	int64_t value;
	size_t size_bytes;
	bool locked;
	uint64_t owner;
	struct waiter *queue;
};

struct nullfs {
	struct node *names;
	struct node *root, *counters, *transactions, *listed;
	bool serial;
	char bytes[FILE_BYTES_MAX]; /* what every plain file holds */
};

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static struct nullfs *nullfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct node *node_of(struct nullfs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? fs->root : (struct node *)(uintptr_t)ino;
}

static uint64_t ino_of(const struct nullfs *fs, const struct node *node)
{
	return node == fs->root ? FUSE_ROOT_ID : (uint64_t)(uintptr_t)node;
}

/* False: the name is longer than any that the benchmark makes. */
static bool key_make(struct key *key, const struct node *parent, const char *name)
{
	if (strlen(name) >= sizeof key->name)
		return false;
	memset(key, 0, sizeof *key);
	key->parent = (uint64_t)(uintptr_t)(parent->alias ? parent->alias : parent);
	strcpy(key->name, name);
	return true;
}

static struct node *node_find(struct nullfs *fs, struct node *parent, const char *name)
{
	struct node *found = NULL;
	struct key key;

	if (key_make(&key, parent, name))
		HASH_FIND(hh, fs->names, &key, sizeof key, found);
	return found;
}

static void node_link(struct nullfs *fs, struct node *node)
{
	HASH_ADD(hh, fs->names, key, sizeof node->key, node);
	node->linked = true;
}

static struct node *node_make(struct nullfs *fs, struct node *parent, const char *name, enum kind kind)
{
	struct node *node = calloc(1, sizeof *node);

	if (!node)
		abort();
	node->kind = kind;
	if (!parent)
		return node;
	if (!key_make(&node->key, parent, name)) {
		free(node);
		return NULL;
	}
	node_link(fs, node);
	return node;
}

static void node_drop(struct node *node, uint64_t lookups)
{
	assert(lookups <= node->lookups);
	node->lookups -= lookups;
	if (!node->linked && node->lookups == 0)
		free(node);
}

static void node_unlink(struct nullfs *fs, struct node *node)
{
	HASH_DELETE(hh, fs->names, node);
	node->linked = false;
	node_drop(node, 0);
}

static int value_text(const struct node *node, char *text, size_t size_bytes)
{
	return snprintf(text, size_bytes, "%lld\n", (long long)node->value);
}

static void node_stat(const struct nullfs *fs, const struct node *node, struct stat *st)
{
	char text[32];

	memset(st, 0, sizeof *st);
	st->st_ino = ino_of(fs, node);
	st->st_nlink = 1;
	st->st_mode = node->kind == DIRECTORY ? S_IFDIR | 0777 : S_IFREG | 0666;
	st->st_size = node->kind == COUNTER ? value_text(node, text, sizeof text) : (off_t)node->size_bytes;
}

static double attr_timeout_s(const struct node *node)
{
	return node->kind == DIRECTORY ? CACHED_S : 0;
}

static void entry_make(const struct nullfs *fs, struct node *node, struct fuse_entry_param *entry)
{
	memset(entry, 0, sizeof *entry);
	node->lookups++;
	entry->ino = ino_of(fs, node);
	node_stat(fs, node, &entry->attr);
	entry->attr_timeout = attr_timeout_s(node);
	entry->entry_timeout = CACHED_S;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *node = node_find(fs, node_of(fs, parent), name);
	struct fuse_entry_param entry;

	if (!node) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry_make(fs, node, &entry);
	fuse_reply_entry(req, &entry);
}

static void null_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	if (ino != FUSE_ROOT_ID)
		node_drop(node_of(nullfs_of(req), ino), lookups);
	fuse_reply_none(req);
}

static void null_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			node_drop(node_of(nullfs_of(req), forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

/* What appears in a transaction: its control file, and a view of the counters. */
static void transaction_fill(struct nullfs *fs, struct node *node)
{
	node_make(fs, node, "ctl", PLAIN);
	node_make(fs, node, "counters", DIRECTORY)->alias = fs->counters;
}

static void null_mkdir(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *parent = node_of(fs, parent_ino), *node;
	struct fuse_entry_param entry;

	(void)mode;
	if (node_find(fs, parent, name)) {
		fuse_reply_err(req, EEXIST);
		return;
	}
	node = node_make(fs, parent, name, DIRECTORY);
	if (!node) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (parent == fs->transactions)
		transaction_fill(fs, node);
	entry_make(fs, node, &entry);
	fuse_reply_entry(req, &entry);
}

/* Nobody asks whether a directory is empty: the benchmark removes what it made. */
static void null_unlink(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *parent = node_of(fs, parent_ino), *node = node_find(fs, parent, name);

	if (!node) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (parent == fs->transactions) {
		node_unlink(fs, node_find(fs, node, "ctl"));
		node_unlink(fs, node_find(fs, node, "counters"));
	}
	node_unlink(fs, node);
	fuse_reply_err(req, 0);
}

static void null_rename(fuse_req_t req, fuse_ino_t from_ino, const char *from, fuse_ino_t to_ino, const char *to,
			unsigned int flags)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *node = node_find(fs, node_of(fs, from_ino), from);
	struct node *old = node_find(fs, node_of(fs, to_ino), to);
	struct key key;

	if (!node || flags || !key_make(&key, node_of(fs, to_ino), to)) {
		fuse_reply_err(req, node ? EINVAL : ENOENT);
		return;
	}
	if (old)
		node_unlink(fs, old);
	HASH_DELETE(hh, fs->names, node);
	node->key = key;
	node_link(fs, node);
	fuse_reply_err(req, 0);
}

/* ---- attributes and listing ------------------------------------------------------------------------------------- */

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *node = node_of(fs, ino);
	struct stat st;

	(void)fi;
	node_stat(fs, node, &st);
	fuse_reply_attr(req, &st, attr_timeout_s(node));
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_SIZE)
		node_of(nullfs_of(req), ino)->size_bytes = attr->st_size < FILE_BYTES_MAX ? (size_t)attr->st_size : FILE_BYTES_MAX;
	null_getattr(req, ino, fi);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct nullfs *fs = nullfs_of(req);
	struct stat st = { .st_mode = S_IFREG };
	size_t used = 0, needed;
	char name[32], *reply = malloc(size);

	(void)fi;
	if (!reply) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (; node_of(fs, ino) == fs->listed && off < LISTED_COUNT; used += needed) {
		snprintf(name, sizeof name, "entry-%06lld", (long long)off);
		st.st_ino = (ino_t)off + 2;
		needed = fuse_add_direntry(req, reply + used, size - used, name, &st, off + 1);
		if (needed > size - used)
			break;
		off++;
	}
	fuse_reply_buf(req, reply, used);
	free(reply);
}

/* ---- open files ------------------------------------------------------------------------------------------------- */

/* libfuse 3.14 has no bit for parallel writes: write its reply by hand. */
static void reply_open(fuse_req_t req)
{
	struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };

	if (!nullfs_of(req)->serial)
		out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
	fuse_reply_buf(req, (char *)&out, sizeof out);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = node_of(nullfs_of(req), ino);

	if (node->kind == PLAIN && fi->flags & O_TRUNC)
		node->size_bytes = 0;
	reply_open(req);
}

static void null_create(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *parent = node_of(fs, parent_ino), *node = node_find(fs, parent, name);
	struct fuse_entry_param entry;

	(void)mode;
	if (node && fi->flags & O_EXCL) {
		fuse_reply_err(req, EEXIST);
		return;
	}
	if (!node)
		node = node_make(fs, parent, name, parent == fs->counters ? COUNTER : PLAIN);
	if (!node) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	entry_make(fs, node, &entry);
	fi->direct_io = 1;
	fuse_reply_create(req, &entry, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct nullfs *fs = nullfs_of(req);
	struct node *node = node_of(fs, ino);
	const char *bytes = fs->bytes;
	size_t length = node->size_bytes;
	char text[32];

	(void)fi;
	if (node->kind == COUNTER) {
		length = (size_t)value_text(node, text, sizeof text);
		bytes = text;
	}
	if ((size_t)off >= length)
		size = 0;
	else if (size > length - (size_t)off)
		size = length - (size_t)off;
	fuse_reply_buf(req, bytes + (size ? off : 0), size);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct node *node = node_of(nullfs_of(req), ino);
	size_t end = (size_t)off + size;

	(void)fi;
	if (node->kind == COUNTER && size && *bytes == '+')
		node->value += strtoll(bytes, NULL, 10);
	else if (end > node->size_bytes)
		node->size_bytes = end < FILE_BYTES_MAX ? end : FILE_BYTES_MAX;
	fuse_reply_write(req, size);
}

static void null_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, 0);
}

/* ---- locks: one exclusive lock a file, first come first served -------------------------------------------------- */

static void waiter_withdraw(fuse_req_t req, void *data)
{
	struct waiter *waiter = data, **at = &waiter->node->queue;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	free(waiter);
	fuse_reply_err(req, EINTR);
}

static void waiter_add(fuse_req_t req, struct node *node, uint64_t owner)
{
	struct waiter *waiter = calloc(1, sizeof *waiter), **at = &node->queue;

	if (!waiter || fuse_req_interrupted(req)) {
		free(waiter);
		fuse_reply_err(req, EINTR);
		return;
	}
	*waiter = (struct waiter){ .req = req, .owner = owner, .node = node };
	while (*at)
		at = &(*at)->next;
	*at = waiter;
	fuse_req_interrupt_func(req, waiter_withdraw, waiter);
}

static void lock_acquire(fuse_req_t req, struct node *node, uint64_t owner, bool wait)
{
	if (!node->locked || node->owner == owner) {
		node->locked = true;
		node->owner = owner;
		fuse_reply_err(req, 0);
	} else if (wait) {
		waiter_add(req, node, owner);
	} else {
		fuse_reply_err(req, EAGAIN);
	}
}

static void lock_release(struct node *node, uint64_t owner)
{
	struct waiter *next = node->queue;

	if (!node->locked || node->owner != owner)
		return;
	node->locked = next != NULL;
	if (!next)
		return;
	node->queue = next->next;
	node->owner = next->owner;
	fuse_req_interrupt_func(next->req, NULL, NULL);
	fuse_reply_err(next->req, 0);
	free(next);
}

static void null_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct node *node = node_of(nullfs_of(req), ino);

	if (op & LOCK_UN) {
		lock_release(node, fi->lock_owner);
		fuse_reply_err(req, 0);
	} else {
		lock_acquire(req, node, fi->lock_owner, !(op & LOCK_NB));
	}
}

static void null_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
	struct node *node = node_of(nullfs_of(req), ino);

	if (lock->l_type == F_UNLCK) {
		lock_release(node, fi->lock_owner);
		fuse_reply_err(req, 0);
	} else {
		lock_acquire(req, node, fi->lock_owner, sleep);
	}
}

/* Never asked; without it libfuse would leave fcntl locks to the kernel, and setlk would not be measured. */
static void null_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	(void)ino, (void)fi;
	lock->l_type = F_UNLCK;
	fuse_reply_lock(req, lock);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->flock_release)
		lock_release(node_of(nullfs_of(req), ino), fi->lock_owner);
	fuse_reply_err(req, 0);
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static const struct fuse_lowlevel_ops null_ops = {
	.lookup = null_lookup,	 .forget = null_forget,	  .forget_multi = null_forget_multi,
	.mkdir = null_mkdir,	 .unlink = null_unlink,	  .rmdir = null_unlink,
	.rename = null_rename,	 .getattr = null_getattr, .setattr = null_setattr,
	.readdir = null_readdir, .open = null_open,	  .create = null_create,
	.read = null_read,	 .write = null_write,	  .flush = null_flush,
	.flock = null_flock,	 .setlk = null_setlk,	  .getlk = null_getlk,
	.release = null_release,
};

static void nullfs_init(struct nullfs *fs)
{
	memset(fs->bytes, 'x', sizeof fs->bytes);
	fs->root = node_make(fs, NULL, NULL, DIRECTORY);
	fs->counters = node_make(fs, fs->root, "counters", DIRECTORY);
	fs->transactions = node_make(fs, fs->root, "transactions", DIRECTORY);
	fs->listed = node_make(fs, fs->root, "listed", DIRECTORY);
	node_make(fs, fs->root, "locks", DIRECTORY);
	node_make(fs, fs->root, "files", DIRECTORY);
}

static int nullfs_serve(struct nullfs *fs, const char *mountpoint)
{
	char *options[] = { "nullfs", "-ofsname=nullfs,subtype=nullfs" };
	struct fuse_args args = FUSE_ARGS_INIT(2, options);
	struct fuse_session *session = fuse_session_new(&args, &null_ops, sizeof null_ops, fs);
	int result = 1;

	if (!session)
		return 1;
	if (fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, mountpoint) == 0) {
		result = fuse_session_loop(session) != 0;
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	return result;
}

int main(int argc, char **argv)
{
	struct nullfs fs = { .serial = false };

	if (argc == 3 && strcmp(argv[1], "-s") == 0)
		fs.serial = true;
	else if (argc != 2 || argv[1][0] == '-') {
		fputs("usage: nullfs [-s] MOUNTPOINT\n", stderr);
		return 2;
	}
	nullfs_init(&fs);
	return nullfs_serve(&fs, argv[argc - 1]);
}
