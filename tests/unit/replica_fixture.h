/* A replica on a directory of its own and a loop, driven step by step. */
#ifndef COORDFS_TESTS_REPLICA_FIXTURE_H
#define COORDFS_TESTS_REPLICA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replica/replica.h"

struct member {
	uv_loop_t loop;
	struct replica *replica;
	struct replica_config config;
	struct log log;
	char directory[256]; /* made by member_init, removed by member_fini */
	char error[512];     /* of replica_open, or what config.failed was told */
	bool ready, failed, closed;
	unsigned events[8];  /* by enum event_type */
};

void member_init(struct member *m);
void member_fini(struct member *m);

/* 0 or replica_open's code. Runs the loop until it serves or has failed. */
int member_open(struct member *m);
void member_close(struct member *m);
/* What a kill leaves: a child serves, does `work`, and is killed; then the parent goes on. */
void member_killed(struct member *m, void (*work)(struct member *m));

/* Run the loop until *flag, or fail after 20 s. */
void member_wait(struct member *m, const bool *flag);
void member_run_ms(struct member *m, unsigned ms);

/* Propose and wait for the answer. */
struct reply member_propose(struct member *m, const Coordfs__Command *command);
struct reply member_create(struct member *m, uint64_t parent, const char *name, uint32_t mode);
struct reply member_add(struct member *m, uint64_t counter, int64_t amount);
struct reply member_write(struct member *m, uint64_t file, uint64_t offset, size_t size);
/* The same, but only start: answer is filled in when it comes. */
struct pending {
	bool done;
	struct reply reply;
	int64_t amount; /* the caller's */
};
void member_start_add(struct member *m, uint64_t counter, int64_t amount, struct pending *answer);

uint64_t member_find(struct member *m, uint64_t parent, const char *name); /* 0: not there */
int64_t member_value(struct member *m, uint64_t counter);
uint64_t member_state_hash(struct member *m);

/* The name of the first file in the directory, or in its sub-directory, that begins so; fails when there is none. */
const char *member_file(struct member *m, const char *sub, const char *prefix, char *path, size_t size);
unsigned member_file_count(struct member *m, const char *sub, const char *prefix);
void flip_bit(const char *path, long offset); /* negative: from the end */

#endif
