/* operations: what the clients do. One table for each tree. */

#ifndef BENCH_OPERATIONS_H
#define BENCH_OPERATIONS_H

#include "load.h"

extern const struct operation lock_operations[];
extern const struct operation counter_operations[];
extern const struct operation file_operations[];

/* The names that goals are made of. */
#define OPERATION_ADD "counter +1, open handle"
#define OPERATION_READ "counter read, open handle"
#define OPERATION_PAIR "flock pair"
#define OPERATION_HOT "flock pair, one file"
#define OPERATION_HOT_BETWEEN "flock pair, one file, two mounts"
#define OPERATION_HAND_OVER "flock handed over to another mount"
#define OPERATION_EVENTUAL_ADD "eventual counter +1, open handle"
#define OPERATION_WEAK_READ "weak counter read, open handle"
#define OPERATION_TRANSACTION "transaction of ten +1"

/* What a durable change costs at least: 4 KiB, O_DIRECT | O_DSYNC, onto blocks that the file has already. */
extern const struct operation disk_operation;

/* A message to the place's `dir`, an endpoint of ZeroMQ's where `bench echo` answers, and its answer. */
extern const struct operation trip_operation;

/*
 * echo_serve - answer what comes to the endpoint, until a signal ends the process.
 * Errors: 1, and words on stderr.
 */
int echo_serve(const char *endpoint);

/* The fixed part and the client's number, or one path for all if the operation has one_file. */
void client_path(const struct client *client, char path[PATH_MAX], const char *tree, const char *kind, bool one_file);

/*
 * counter_value - what PLACE/counters/STEM-sum holds; it is made if it is not there.
 * Errors: -1 and errno.
 */
int counter_value(const struct place *place, int64_t *value);

/* Remove that counter again. */
void counter_remove(const struct place *place);

#endif
