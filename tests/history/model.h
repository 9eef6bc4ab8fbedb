/* What counters, registers, names and fences are: which moves are possible in which state. Locks are checked by the order
 * of their tokens, not by a search: tokens.h. */
#ifndef TESTS_HISTORY_MODEL_H
#define TESTS_HISTORY_MODEL_H

#include "search.h"

/* VERB_LAPSE on a name: what the move `a` made vanishes with its session. */

/* NULL for kinds without a model. In the initial state of all, every number is 0. */
model_step model_of(enum object_kind kind);

/* The object as people write it. */
void state_print(FILE *out, const struct history *h, enum object_kind kind, struct state state);

#endif
