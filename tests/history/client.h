/* A client of one mount: it writes down what it asks and what it is told, survives its mount's death, and never waits for
 * ever. */
#ifndef TESTS_HISTORY_CLIENT_H
#define TESTS_HISTORY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_LIMIT_MS 30000 /* a call that takes longer is interrupted */

/* Shared with the parent, who writes down what a client that died was about to ask, and held. */
struct slot {
	char asked[192]; /* a line up to its end time; empty: nothing */
	char held[192];	 /* the line that says that it may have been released, up to its start time */
	uint64_t operations, unknown, refused, not_begun;
	int64_t longest_ns;
	char longest[64];
};

struct client {
	uint32_t number;
	const char *host, *mount;
	int history; /* O_APPEND, a line a write */
	struct slot *slot;
	uint64_t seed;
	int64_t stop_ns; /* CLOCK_MONOTONIC */
	int root; /* of the mount; -1: it is not there */
	uint64_t serial; /* for texts that nobody else writes */
	int64_t start_ns, end_ns;
	char object[64];
};

int64_t now_ns(void);
uint64_t random_below(struct client *c, uint64_t limit);
bool client_stops(const struct client *c);
void client_pause(struct client *c, unsigned ms);

/* The mount is there, opened as c->root; else it has waited a little. */
bool client_ready(struct client *c);
/* After an error: let go of a mount that is dead. */
void client_note(struct client *c, int error);

/* From now on a call is interrupted (EINTR) after so long. */
void client_limit(struct client *c, unsigned ms);

/* An operation: begin, the calls, end (the clock stops), finish. error is an errno or 0; result may be NULL. */
void record_begin(struct client *c, const char *object, const char *verb, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void record_end(struct client *c);
void record_finish(struct client *c, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* It was not asked after all: what would have come before it failed. */
void record_cancel(struct client *c);
/* What may happen from now on, or never. */
void record_possible(struct client *c, const char *object, const char *verb, const char *argument);

/* Handlers that let client_limit interrupt. Once in each process. */
void client_set_up(void);

#endif
