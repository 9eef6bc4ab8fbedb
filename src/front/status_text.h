/* Room: front. cluster/status and cluster/metrics, printed. Pure functions of the figures. */
#ifndef COORDFS_FRONT_STATUS_TEXT_H
#define COORDFS_FRONT_STATUS_TEXT_H

#include <stdio.h>

#include "machine/machine.h"
#include "replica/replica.h"

enum { STATUS_SESSIONS = 10 }; /* listed one by one, at most */

struct status_figures {
	const char *version, *member;
	struct replica_status replica;
	Coordfs__Meta meta;
	struct lock_totals locks;
	uint64_t transactions; /* open on this mount */
	uint64_t sessions;
	struct session_info session[STATUS_SESSIONS];
	int64_t started_ns; /* of this mount */
};

void status_print_figures(FILE *out, const struct status_figures *s);
void metrics_print_figures(FILE *out, const struct status_figures *s);

/* 1023 B, 1.0 KiB, 12.3 GiB, … */
#define SIZE_TEXT_BYTES 32
const char *size_text(uint64_t bytes, char out[static SIZE_TEXT_BYTES]);

#endif
