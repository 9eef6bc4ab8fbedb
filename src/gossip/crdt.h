/* Room: gossip, its own files only, and pure: no clock, no I/O, no order that depends on pointers. What is known of one
 * place, and how two such knowledges are joined: commutative, associative, idempotent, and whoever knows the same has
 * the same bytes. */
#ifndef COORDFS_GOSSIP_CRDT_H
#define COORDFS_GOSSIP_CRDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gossip/gossip.h"

/* ---- hybrid logical clock (Kulkarni et al. 2014) ---- */

struct stamp {
	uint64_t ms, member;
	uint32_t counter;
};

/* Later stamps would leave no room to count on: no clock shows them, and what bears one is refused. */
#define STAMP_MS_MAX (1ull << 53)

int stamp_compare(const struct stamp *a, const struct stamp *b); /* < 0, 0, > 0; by member last */
bool stamp_is_set(const struct stamp *s);
/* The next one here: later than last, whatever the host's clock says, and not before it. last is set to it. */
struct stamp stamp_next(struct stamp *last, uint64_t now_ms, uint64_t member);
/* One came from elsewhere: last is not before it. */
void stamp_seen(struct stamp *last, const struct stamp *seen);

/* ---- what is known of one place ---- */

/* One member's part of a counter. Only that member makes it grow; what was removed of it, any. Of two epochs the later
 * counts: a share is begun in a new one when the member has forgotten the former (which everybody knew to be removed). */
struct share {
	uint64_t member, epoch;
	uint64_t sequence, added, taken;
	uint64_t removed_sequence, removed_added, removed_taken;
};

/* The last writer wins. It is there when it was written after what its remover had seen. */
struct reg {
	struct stamp written, removed;
	uint8_t *data; /* owned */
	size_t size;
};

struct record {
	bool gone; /* its root was removed from the machine: it holds nothing else, for ever */
	struct stamp owner_written;
	struct gossip_owner owner;
	struct share *shares; /* owned; by member, strictly growing */
	size_t share_count;
	struct reg file, directory; /* a directory has no data */
	uint64_t changed_ms;
};

/* Nothing is known: all zero. */
void record_init(struct record *r);
void record_fini(struct record *r);

/* into becomes the least that knows both. ERR_NO_MEMORY: into is unchanged. */
int record_join(struct record *into, const struct record *from);

/* What it is by itself; a directory may also be there because something below it lives. */
enum gossip_kind record_kind(const struct record *r);
/* A counter's value; a sum beyond 64 bits stays at the bound. */
int64_t record_value(const struct record *r);
/* The latest stamp in it. */
struct stamp record_latest(const struct record *r);

/* ---- changes by this member ---- */

struct share *record_share(const struct record *r, uint64_t member); /* NULL: none */
/* Add amount to the member's share, which is begun in `epoch` if there is none; 0 only makes the counter exist.
 * ERR_RANGE: the share or the value cannot grow so far, ERR_NO_MEMORY; then nothing changed. */
int record_add(struct record *r, uint64_t member, uint64_t epoch, int64_t amount);
/* ERR_NO_MEMORY: nothing changed. */
int record_write(struct reg *reg, const struct stamp *stamp, const void *data, size_t size);
/* All of that kind that is known here. */
void record_remove(struct record *r, enum gossip_kind kind);
/* Its root was removed. */
void record_go(struct record *r);

/* ---- leftovers: what was removed, and is remembered only for those who do not know that yet ---- */

bool record_has_leftovers(const struct record *r);
/* Without them it means the same, and joined with what it was it is what it was. To be done when nobody knows less of the
 * place any more. Returns the epoch of the member's own share among them, 0: it had none; its next share is to be begun
 * in a later one. */
uint64_t record_prune(struct record *r, uint64_t member);
bool record_is_empty(const struct record *r);

/* ---- as bytes: equal knowledge has equal bytes ---- */

/* *out: to be freed. ERR_NO_MEMORY. */
int record_pack(const struct record *r, uint8_t **out, size_t *size);
/* r: as record_init leaves it. ERR_INVALID: no such thing; ERR_NO_MEMORY; then *r is as record_init leaves it. */
int record_unpack(const uint8_t *data, size_t size, struct record *r);

#endif
