/* Is there an order of these moves, each at one moment between its start and its end, in which every one of them is
 * possible? The search of J. M. Wing and C. Gong, "Testing and Verifying Concurrent Objects", Journal of Parallel and
 * Distributed Computing 17 (1993), with the memory of visited configurations of G. Lowe, "Testing for linearizability",
 * Concurrency and Computation: Practice and Experience 29(4) (2017).
 *
 * Beyond them: moves may be optional (an operation whose outcome is unknown): made at any moment after their start, or
 * never. */
#ifndef TESTS_HISTORY_SEARCH_H
#define TESTS_HISTORY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history.h"

enum verdict { VERDICT_RIGHT, VERDICT_WRONG, VERDICT_UNDECIDED };

struct move {
	int64_t start_ns, end_ns; /* the end of an optional one means nothing */
	enum verb verb;
	bool optional;
	bool observer; /* it changes nothing, whatever the state */
	bool refused;  /* it was answered with the errno that tells that the condition of verb does not hold */
	bool has_result;
	int64_t a, b, result;
	int64_t identity; /* differs for each move that makes something; > 0 */
	const struct operation *operation; /* for reports; may be NULL */
};

/* All of an object; what the numbers mean is the model's. Unused ones are 0. */
struct state {
	int64_t a, b, c;
};

/* A model: make the move, or return false with the state as it was, if it is not possible there. */
typedef bool (*model_step)(const struct move *move, struct state *state);

struct search_limits {
	size_t configurations_max; /* at most 36 bytes of memory each */
	int64_t ms_max;
};

struct search_report {
	size_t configurations;
	size_t optional_made; /* RIGHT: so many optional moves in the order that was found */
	/* WRONG, UNDECIDED: the attempt that went furthest made all but `left` of the moves that must be made, and could not
	 * get beyond the end of this one from this state. */
	size_t left;
	const struct move *stuck;
	struct state state;
};

enum verdict search_order(const struct move *moves, size_t count, model_step step, struct state initial,
			  const struct search_limits *limits, struct search_report *report);

#endif
