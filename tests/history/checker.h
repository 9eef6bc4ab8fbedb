/* Checks a history (history.h) object by object: linearizability is compositional (M. P. Herlihy and J. M. Wing,
 * "Linearizability: A Correctness Condition for Concurrent Objects", TOPLAS 12(3), 1990), so a history is linearizable
 * exactly when what it says of each single object is. */
#ifndef TESTS_HISTORY_CHECKER_H
#define TESTS_HISTORY_CHECKER_H

#include "history.h"
#include "search.h"

/* The limits hold for each object. Written to out: a line for each object with its verdict, and for one that is not right
 * what cannot be. The result is the worst. An object that cannot be decided within the limits is not right, and says so.
 *
 * Beside linearizability:
 * - Errors: only those by which an operation can answer what was asked, "no majority", "no room", and unknown outcomes.
 * - Counters on which nothing but additions took effect: the value that was read after all is at least the sum of those
 *   acknowledged and at most that and the unknown ones together. (The search is stricter; this one is easier to believe.)
 * - Additions with an id, tried again: one addition, and the same result each time. */
enum verdict check_history(const struct history *h, const struct search_limits *limits, FILE *out);

#endif
