/* An exclusive lock whose grants carry tokens. The tokens tell the order of the grants, so no search is needed: each
 * holder's grant, checks and release, in the order of the tokens, each as early as it can be, either fit into their
 * times or no order does. */
#ifndef TESTS_HISTORY_TOKENS_H
#define TESTS_HISTORY_TOKENS_H

#include "search.h"

/* The session of a mount may have ended in this time. */
struct lapse {
	int64_t host; /* a text */
	int64_t start_ns, end_ns;
};

/* All operations of one lock, by start. What is wrong is written to out, a line or more. Never undecided.
 *
 * - A token is granted once, and each grant has a higher one than all before.
 * - From its grant to its release a holder is alone, as far as it can know: until its release was answered with
 *   success, or a call told it of its loss.
 * - ESTALE is only told when that host's session may have ended.
 * - A refusal (EAGAIN) needs a holder at that time: one that is known, or a request whose outcome nobody knows. */
enum verdict tokens_check(const struct history *h, const struct operation *const *operations, size_t count,
			  const struct lapse *lapses, size_t lapse_count, FILE *out);

#endif
