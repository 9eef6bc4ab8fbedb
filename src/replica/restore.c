/* The backup becomes an image in the directory, and libraft gets a snapshot that names it, as if this member had
 * received it from a leader: the log's first entry will be the one after the backup's revision. So revisions and
 * tokens go on growing, and nobody who remembers an older one is deceived.
 *
 * The backup is read and checked whole before the directory is touched. What is written is the state that was
 * checked, not the file's bytes, which may change meanwhile. */
#include "replica/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "replica/internal.h"
#include "replica/offline.h"
#include "store/store_tdb.h"

struct backup {
	struct store *store;
	struct machine *machine;
	Coordfs__Meta meta;
};

static void backup_fini(struct backup *b)
{
	machine_free(b->machine);
	store_tdb_free(b->store);
}

static int backup_read(struct backup *b, int fd, const char *name, char *error, size_t error_size)
{
	const struct machine_observer nobody = {.ctx = NULL};
	char why[ERROR_BYTES];
	int rc = store_tdb_new(&b->store);

	if (rc)
		snprintf(why, sizeof why, "cannot be loaded: %s", error_text(rc));
	else
		rc = image_load(fd, NULL, b->store, &nobody, &b->machine, why, sizeof why);
	if (rc) {
		snprintf(error, error_size, "%s %s", name, why);
		return rc;
	}
	coordfs__meta__init(&b->meta);
	machine_meta(b->machine, &b->meta);
	if (b->meta.applied == 0 || b->meta.applied >= UINT64_MAX / 2) {
		snprintf(error, error_size, "%s holds no state that a cluster could go on from", name);
		return ERR_CORRUPT;
	}
	return 0;
}

static int write_image(struct backup *b, const struct directory *d, struct image_sum *sum)
{
	char name[IMAGE_NAME_BYTES];
	int fd, rc;

	image_name(b->meta.applied, name);
	fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_CORRUPT;
	rc = image_write(fd, b->machine, b->store, sum);
	if (close(fd) && !rc)
		rc = ERR_CORRUPT;
	return rc;
}

static int write_log(struct backup *b, const struct directory *d, const struct image_sum *sum, char *error,
		     size_t error_size)
{
	char name[SNAPSHOT_NAME_BYTES];
	size_t size = snapshot_name_render(b->meta.applied, sum, name);
	struct offline o;
	int rc = offline_open(&o, d, error, error_size), rv;

	if (rc)
		return rc;
	rv = offline_begin_log(&o, d, b->meta.applied, name, size);
	if (rv)
		rc = offline_error(&o, d, rv, error, error_size);
	offline_close(&o);
	return rc;
}

static int fill(struct backup *b, struct directory *d, char *error, size_t error_size)
{
	const struct mark mark = {.index = b->meta.applied, .term = 1, .snapshot = b->meta.applied};
	struct image_sum sum;
	int rc = write_image(b, d, &sum);

	if (rc) {
		snprintf(error, error_size, "%s: the state cannot be written: %s", d->path, error_text(rc));
		return rc;
	}
	rc = write_log(b, d, &sum, error, error_size);
	return rc ? rc : directory_settle_restored(d, &mark, error, error_size);
}

static void describe(const struct backup *b, const struct directory *d, struct restored *out)
{
	*out = (struct restored){
		.revision = b->meta.applied,
		.id = d->id,
		.inodes = b->meta.inodes,
		.state_bytes = b->meta.state_bytes,
		.time_ns = (int64_t)b->meta.time_ns,
	};
	memcpy(out->member, d->member, sizeof out->member);
	memcpy(out->cluster, d->cluster, sizeof out->cluster);
}

int replica_restore(int fd, const char *name, const char *directory, const char *member, struct restored *out,
		    char *error, size_t error_size)
{
	struct backup b = {.store = NULL};
	struct directory d;
	int rc = backup_read(&b, fd, name, error, error_size);

	/* Members get the index of their entry for a number: this one was never used. */
	if (!rc)
		rc = directory_make(&d, directory, member, b.meta.applied + 1, error, error_size);
	if (rc)
		goto out;
	rc = fill(&b, &d, error, error_size);
	if (rc) {
		directory_unmake(&d);
		goto out;
	}
	describe(&b, &d, out);
	directory_close(&d);
out:
	backup_fini(&b);
	return rc;
}
