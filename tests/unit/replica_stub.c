/* For tests that bring a replica of their own for the front: what they do not ask of it. */
#include <stdlib.h>
#include <string.h>

#include "replica/replica.h"

void replica_members(struct replica *r, void (*each)(void *ctx, const struct replica_member *member), void *ctx)
{
	(void)r, (void)each, (void)ctx;
}

void replica_metrics(struct replica *r, struct replica_metrics *out)
{
	(void)r;
	memset(out, 0, sizeof *out);
}

void replica_status(struct replica *r, struct replica_status *out)
{
	(void)r;
	memset(out, 0, sizeof *out);
}

void replica_change(struct replica *r, enum cluster_change_kind kind, const char *member, uint32_t uid,
		    replica_done done, void *ctx)
{
	(void)r, (void)kind, (void)member, (void)uid, (void)done, (void)ctx;
	abort();
}

void replica_backup(struct replica *r, void (*done)(void *ctx, int code, int fd, uint64_t revision), void *ctx)
{
	(void)r, (void)done, (void)ctx;
	abort();
}

void replica_check_lease(struct replica *r)
{
	(void)r;
}

uint64_t replica_lease_ms(struct replica *r, unsigned *margin_ms)
{
	(void)r;
	*margin_ms = 0;
	return UINT64_MAX;
}

void replica_backup_cancel(struct replica *r)
{
	(void)r;
}

bool replica_reads_alone(const struct replica *r)
{
	(void)r;
	return true;
}

uint64_t replica_age_ms(struct replica *r)
{
	(void)r;
	return 0;
}
