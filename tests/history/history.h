/* A history: what clients of a mount asked, when, and what they were told. Text, a line an operation:
 *
 *     CLIENT HOST OBJECT VERB ARGUMENTS START END RESULT
 *     17 h2 counter:counters/a add 5 1234567890 1234569000 =105
 *
 * CLIENT is a number; one client does one thing at a time. HOST names the mount. OBJECT is KIND:PATH. ARGUMENTS are
 * joined by commas, `-` for none; no word holds a blank or a comma. START and END are nanoseconds of CLOCK_MONOTONIC,
 * which all network namespaces of a machine share: the call was made after START and had returned before END, `-`
 * when it never did. RESULT is `=` for success, `=VALUE` for success with that result, the name of an errno, or `?`
 * when there was no answer. Empty lines and those that begin with # mean nothing.
 *
 *     kind      verbs (-> result, which may always be missing)
 *     counter   set N   add N[,ID] -> N   cas OLD,NEW   read -> N           0 at first
 *     register  write TEXT   read -> TEXT   revision -> N   cas REVISION,TEXT -> N        TEXT `-` (empty) at first
 *     lock      acquire -> TOKEN   check TOKEN   release TOKEN              exclusive; free at first
 *     name      create TEXT   read -> TEXT   unlink                         absent at first
 *     fence     raise N   read -> N                                         0 at first
 *     session   lapse          HOST's session may have ended between START and END
 *
 * What a client does to an object that holds something else at first begins with a set or a write. The lines need no
 * order, and a history may be spread over several files. */
#ifndef TESTS_HISTORY_HISTORY_H
#define TESTS_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NEVER INT64_MAX

enum object_kind { KIND_COUNTER, KIND_REGISTER, KIND_LOCK, KIND_NAME, KIND_FENCE, KIND_SESSION };

enum verb {
	VERB_SET,
	VERB_ADD,
	VERB_CAS,
	VERB_READ,
	VERB_WRITE,
	VERB_REVISION,
	VERB_ACQUIRE,
	VERB_CHECK,
	VERB_RELEASE,
	VERB_CREATE,
	VERB_UNLINK,
	VERB_RAISE,
	VERB_LAPSE,
};

/* Texts are numbers here: equal numbers, equal texts. */
#define TEXT_EMPTY 0

struct operation {
	uint32_t client, object, line;
	int64_t host; /* a text */
	enum verb verb;
	int64_t a, b; /* the arguments, in their order */
	bool has_b;
	int64_t start_ns, end_ns; /* NEVER: no answer */
	int error;	/* an errno; 0: success */
	bool unanswered;
	bool has_result;
	int64_t result;
};

struct object {
	enum object_kind kind;
	const char *name; /* KIND:PATH */
};

struct history {
	struct operation *operations;
	size_t operation_count;
	struct object *objects;
	size_t object_count;
	struct texts *texts;
	char error[256]; /* why the last call failed */
};

struct history *history_new(void); /* never NULL: it ends the program when there is no memory, as all below */
void history_free(struct history *h);

/* Add a line; number is for messages. 0, or -1 with h->error: malformed, and nothing was added. */
int history_add_line(struct history *h, const char *line, uint32_t number);
/* Add all of a file. 0, or -1 with h->error. */
int history_add_file(struct history *h, const char *path);

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };
/* Unknown: it may have taken effect, may do so at any later time, or never. Refused: it certainly did not. */
enum outcome operation_outcome(const struct operation *o);

const char *history_text(const struct history *h, int64_t text); /* valid until the next addition */
const char *verb_name(enum verb verb);
void operation_print(FILE *out, const struct history *h, const struct operation *o);

void *must(void *memory);

#endif
