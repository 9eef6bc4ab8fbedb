/* A machine over a store in memory, for tests: proposes commands as a replica would, and keeps what the machine
 * tells. Every command is followed by machine_check(). */
#ifndef COORDFS_TESTS_MACHINE_FIXTURE_H
#define COORDFS_TESTS_MACHINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/level.h"
#include "machine/machine.h"
#include "machine/overlay.h"

#define FIXTURE_EVENTS 64

struct fixture {
	struct store nothing; /* an overlay over nothing is a store in memory */
	struct overlay *memory;
	struct machine *machine;
	uint64_t index, time_ns;
	uint64_t session, sequence;
	struct event events[FIXTURE_EVENTS]; /* of the last command; names are not kept */
	size_t event_count;
	uint64_t gone[FIXTURE_EVENTS];
	size_t gone_count;
	bool check; /* machine_check after each command */
	bool may_fail; /* machine_apply may return an error, which is in failed */
	int failed;
};

void fixture_init(struct fixture *f);
void fixture_fini(struct fixture *f);
/* The same for cmocka: *state is a fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Apply under (session, sequence) at the next index. */
struct reply fixture_apply_as(struct fixture *f, uint64_t session, uint64_t sequence, const Coordfs__Command *q);
struct reply fixture_apply(struct fixture *f, const Coordfs__Command *q); /* next sequence of f->session */
uint64_t fixture_open(struct fixture *f, const char *member);		  /* a new session; becomes f->session */
struct reply fixture_open_as(struct fixture *f, const char *member, const char *incarnation, uint32_t ttl_ms);

/* A member asks to be added; token: text. id: 0, or the one it had. */
struct reply fixture_add_member(struct fixture *f, const char *name, const char *address, const char *token,
				uint64_t id, uint32_t level);

struct reply fixture_create(struct fixture *f, uint64_t parent, const char *name, uint32_t mode, bool exclusive);
struct reply fixture_remove(struct fixture *f, uint64_t parent, const char *name, bool directory);
struct reply fixture_rename(struct fixture *f, uint64_t from, const char *name, uint64_t to, const char *new_name,
			    uint32_t flags);
struct reply fixture_link(struct fixture *f, uint64_t inode, uint64_t parent, const char *name);
struct reply fixture_write(struct fixture *f, uint64_t inode, uint64_t offset, const char *text);
struct reply fixture_append(struct fixture *f, uint64_t inode, const char *text);
struct reply fixture_add(struct fixture *f, uint64_t counter, int64_t amount, const char *id);

/* The inode under name, 0 when there is none. */
uint64_t fixture_find(struct fixture *f, uint64_t parent, const char *name);
/* A counter's value; fails the test when there is none. */
int64_t fixture_value(struct fixture *f, uint64_t counter);
struct attr fixture_attr(struct fixture *f, uint64_t inode);
/* A file's content as text, at most 255 bytes. */
const char *fixture_content(struct view v, uint64_t inode, char text[256]);

/* The whole state through an image into a fresh fixture: every record, then Meta. */
void fixture_reload(struct fixture *from, struct fixture *to);

#endif
