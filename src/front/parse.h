/* Room: front. What users write, parsed: whole lines, strictly. Pure functions over bytes of any content and
 * length; the fuzzers' and unit tests' first target. A refusal fills why (PARSE_ERROR_BYTES) with plain words;
 * why stays as it was when there is none. Outputs are cleared first. */
#ifndef COORDFS_FRONT_PARSE_H
#define COORDFS_FRONT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"

#define PARSE_ERROR_BYTES 200

/* One line after another out of a write: *line without its newline; a last line without newline is whole.
 * Returns false at the end. NUL bytes are ordinary (and then refused by each parser). */
bool parse_next_line(struct bytes *rest, struct bytes *line);

/* The only line of a write, as a string in out. ERR_INVALID: none, several, too long, or a NUL in it. */
int parse_only_line(struct bytes input, char *out, size_t out_size, char *why);

/* Decimal, optional leading zeros, no sign, no blanks. ERR_INVALID; ERR_RANGE beyond 64 bits. */
int parse_u64(struct bytes text, uint64_t *out);
/* Decimal with optional '-'. */
int parse_s64(struct bytes text, int64_t *out);

/* A write to a counter: `10`, `=-10`, `+1`, `-3`, `cas 9 10`, each with an optional ` id=TEXT`. On OK *requests
 * holds *count of them, whose ids point into `input`; free with parse_counter_free. Note: `-3` adds -3; to set a
 * negative value write `=-10`. An input of 0 bytes gives 0 requests and NULL.
 * Errors (nothing to free): ERR_INVALID, ERR_RANGE, ERR_TOO_BIG (LIMIT_REQUEST_*), ERR_NO_MEMORY. */
int parse_counter(struct bytes input, Coordfs__CounterRequest **requests, size_t *count, char *why);
void parse_counter_free(Coordfs__CounterRequest *requests);

/* A write to a fence: a token a line. As each must be at least the one before it, the last one says it all.
 * Errors: ERR_INVALID, ERR_RANGE (beyond 64 bits), ERR_STALE (smaller than one before it), ERR_TOO_BIG. An input
 * of 0 bytes gives 0. */
int parse_fence(struct bytes input, uint64_t *highest, char *why);

/* A line of `.info`: `key=value` or `break TOKEN`. Pointers into line. */
struct info_request {
	struct bytes key, value; /* key=value; the key is of a-z, 0-9 and _; the value is any bytes */
	bool is_break;
	uint64_t token;
};
int parse_info(struct bytes line, struct info_request *out, char *why);

/* A line of a transaction's ctl: commit, rollback, require PATH TOKEN (the path may hold blanks). */
struct ctl_request {
	enum { CTL_COMMIT, CTL_ROLLBACK, CTL_REQUIRE } verb;
	struct bytes path;
	uint64_t token;
};
int parse_ctl(struct bytes line, struct ctl_request *out, char *why);

/* NAME@REVISION of files/.cas, at the last '@': name without it, and the number. ERR_INVALID: no name or no
 * number; ERR_RANGE. */
int parse_at_revision(struct bytes text, struct bytes *name, uint64_t *revision);

#endif
