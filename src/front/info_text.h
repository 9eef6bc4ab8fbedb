/* Room: front. The lines of `.info`, printed. Pure functions of what they are given. */
#ifndef COORDFS_FRONT_INFO_TEXT_H
#define COORDFS_FRONT_INFO_TEXT_H

#include <stdio.h>

#include "machine/machine.h"

/* What every object has, then what its kind adds (locks apart). error: the last one on it, or NULL. */
void info_print_object(FILE *out, const struct attr *attr, const char *error);

/* How old what was read may be; UINT64_MAX: not known. */
void info_print_age(FILE *out, uint64_t age_ms);

/* The summary of an object's locks: mode= and token= … */
struct lock_summary {
	enum lock_mode mode; /* the strongest held */
	uint64_t token;	     /* the highest held; 0: none */
};
void lock_summary_add(struct lock_summary *s, const struct lock_info *lock);
void info_print_lock_summary(FILE *out, const struct lock_summary *s);
/* … and its line: holder=… or waiter=… */
void info_print_lock(FILE *out, const struct lock_info *lock);
/* The table of cluster/locks: its heading; a row, whose columns are words up to the last, the path. The token of a
 * waiter is `#` and its position. */
void info_print_lock_heading(FILE *out);
void info_print_lock_row(FILE *out, const struct lock_info *lock, const char *path);

/* Bytes that are not printable become '?', so that a line stays a line. */
void info_put_printable(FILE *out, const char *text, size_t size);

/* A line KEY=TEXT; bytes that are not printable become '?', so that it stays one line. */
void info_print_text(FILE *out, const char *key, const char *text);
void info_print_time(FILE *out, const char *key, int64_t ns);

#define TIME_TEXT_BYTES 40
const char *time_text(int64_t ns, char out[static TIME_TEXT_BYTES]); /* RFC 3339, UTC, to the millisecond */

/* The values of key's lines in a text of key=value lines, each on a line, without a final newline. Returns the
 * length and copies at most size bytes of it; ERR_NO_DATA when there is no such line. */
int info_extract(const char *text, const char *key, char *out, size_t size);

#endif
