/* Room: machine. The machine's own view of its base store: passes everything on, keeps the figures of the
 * state (an order-independent hash, bytes, records), and, while a transaction is open, the older versions of
 * what changes. Older versions belong to this member alone: they are no part of the state. */
#ifndef COORDFS_MACHINE_HISTORY_H
#define COORDFS_MACHINE_HISTORY_H

#include <stdbool.h>

#include "machine/port.h"

struct history_figures {
	uint64_t hash;	/* sum of a hash of each record, modulo 2^64: equal for equal sets of records */
	uint64_t bytes; /* keys and values */
	uint64_t records;
};

struct history;
struct history *history_new(struct store *base); /* NULL: no memory; base borrowed */
void history_free(struct history *h);
struct store *history_store(struct history *h);
const struct history_figures *history_figures(const struct history *h);

/* How many bytes older versions may take, LIMIT_HISTORY_BYTES unless it is said. */
void history_set_limit(struct history *h, uint64_t bytes);

/* What is put or deleted from now on happens at this revision. */
void history_set_revision(struct history *h, uint64_t revision);

/* A read-only store that stays as the state is after the present revision. NULL: no memory. */
struct asof;
struct asof *asof_new(struct history *h);
void asof_free(struct asof *a);
struct store *asof_store(struct asof *a);
uint64_t asof_revision(const struct asof *a);
/* Its versions were given up for want of room (LIMIT_HISTORY_BYTES): what it reads is void. */
bool asof_is_torn(const struct asof *a);

#endif
