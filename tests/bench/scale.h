/* scale: many entries; made, listed, and looked at again. */

#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include <stdint.h>

struct fill {
	const char *base;	 /* a directory below counters/, that is made */
	unsigned int dir_count;	 /* base/d0, base/d1, … */
	unsigned int per_dir;	 /* counters in each; some have a value that tells which it is */
	unsigned int clients;	 /* processes */
};

/*
 * fill_make - all of it, and how long that took.
 * Errors: -1, and one line on stderr.
 */
int fill_make(const struct fill *fill, double *seconds);

/*
 * fill_verify - every name is there, no other is, and each counter that was set has its value.
 * Errors: -1, and one line on stderr.
 */
int fill_verify(const struct fill *fill);

/*
 * ls_run - start ls(1) on a directory and read all that it prints.
 * Errors: -1, and one line on stderr.
 */
int ls_run(const char *dir, double *seconds, uint64_t *line_count);

#endif
