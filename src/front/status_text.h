/* Room: front. cluster/status and cluster/metrics, printed. Pure functions of the figures. */
#ifndef COORDFS_FRONT_STATUS_TEXT_H
#define COORDFS_FRONT_STATUS_TEXT_H

#include <stdio.h>

#include "machine/machine.h"
#include "replica/replica.h"

enum { STATUS_LINES = 9 }; /* members and sessions, listed one by one, together at most */

struct status_figures {
	const char *version, *member;
	const char *leader; /* NULL: none that is known */
	struct replica_status replica;
	struct replica_metrics metrics;
	const struct replica_member *members; /* by number */
	size_t member_count;
	Coordfs__Meta meta;
	struct lock_totals locks;
	struct gossip_figures eventual;
	uint64_t transactions;	 /* open on this mount */
	uint64_t session;	 /* of this mount; 0: none at present */
	uint32_t session_ttl_ms; /* 0: it does not expire */
	uint64_t sessions;
	struct session_info listed_sessions[STATUS_LINES];
	int64_t started_ns; /* of this mount */
};

void status_print_figures(FILE *out, const struct status_figures *s);
void metrics_print_figures(FILE *out, const struct status_figures *s);

/* ---- how it is ---- */

/* Votes: how many there are and are needed; of how many is it known here that they can be reached, or cannot. */
struct status_votes {
	unsigned all, needed, reached, silent;
};
struct status_votes status_count_votes(const struct status_figures *s);
bool status_is_reached(const struct replica_member *member);
bool status_is_silent(const struct replica_member *member);

enum status_level {
	STATUS_WELL,	  /* everything is as it should be */
	STATUS_ATTENTION, /* it serves, but somebody should look at it */
	STATUS_TROUBLE,	  /* this mount does not serve, or not everything */
};
/* The worst thing that is wrong, in a few words; "" when all is well. */
#define STATUS_TEXT_BYTES 300
enum status_level status_diagnose(const struct status_figures *s, char text[static STATUS_TEXT_BYTES]);

/* ---- figures for people ---- */

/* 1023 B, 1.0 KiB, 12.3 GiB, … */
#define SIZE_TEXT_BYTES 32
const char *size_text(uint64_t bytes, char out[static SIZE_TEXT_BYTES]);
/* 0.3 ms, 45 ms, 1.2 s, 45 s, 3 min, 5 h, 12 days */
#define DURATION_TEXT_BYTES 32
const char *duration_text(uint64_t us, char out[static DURATION_TEXT_BYTES]);

#endif
