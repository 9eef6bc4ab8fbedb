/* What the machine promises, written again as simply as can be: arrays that are searched from end to end, nothing
 * clever, nothing shared with src/machine but its constants. No locks. */
#ifndef COORDFS_TESTS_MODEL_REFERENCE_H
#define COORDFS_TESTS_MODEL_REFERENCE_H

#include "machine/machine.h"

#define REF_OBJECTS 200
#define REF_NAMES 300
#define REF_XATTRS 4
#define REF_IDS 400
#define REF_OUTCOMES 200
#define REF_SESSIONS 8
#define REF_MEMBERS 12
#define REF_EXPIRIES 500

struct ref_text {
	uint8_t *data;
	size_t size;
};
struct ref_xattr {
	char name[16];
	struct ref_text value;
};
struct ref_object {
	uint64_t number, tree; /* number 0: a free place */
	enum inode_kind kind;
	uint32_t mode, uid, gid;
	int64_t atime_ns, mtime_ns, ctime_ns, created_ns;
	uint64_t created, modified, content;
	struct ref_text text; /* of a file, or a link's target */
	int64_t value, min, max;
	bool has_min, has_max;
	struct ref_xattr xattrs[REF_XATTRS];
	size_t xattr_count;
};
struct ref_name {
	uint64_t parent, object; /* object 0: a free place */
	struct ref_text name;
	uint64_t place;		 /* readdir shows them in this order */
	uint64_t session, since; /* bound to the session; the later the sooner it goes */
};
struct ref_id {
	uint64_t counter, stamp; /* counter 0: a free place */
	char id[16];
	int64_t value;
};
struct ref_outcome {
	char name[16], member[16];
	uint64_t stamp; /* 0: a free place */
	bool committed;
	uint64_t place, number, session;
};
struct ref_session {
	uint64_t id; /* 0: a free place */
	char member[16];
	uint8_t incarnation[16];
	uint32_t ttl_ms;
};
struct ref_member {
	uint64_t id; /* 0: a free place */
	char name[16], address[32];
	uint8_t token[16];
	uint32_t wish, level;
};
struct ref_expiry {
	bool is_id;
	uint64_t stamp, counter;
	char name[16], member[16];
	int64_t due_ns;
};
struct reference {
	struct ref_object objects[REF_OBJECTS];
	struct ref_name names[REF_NAMES];
	struct ref_id ids[REF_IDS];
	struct ref_outcome outcomes[REF_OUTCOMES];
	struct ref_session sessions[REF_SESSIONS];
	struct ref_member members[REF_MEMBERS];
	uint64_t last_member;
	uint32_t level; /* the cluster's; 0 is as 1 */
	struct ref_expiry expiries[REF_EXPIRIES];
	size_t expiry_count;
	uint64_t next_object, next_place, next_since;
	int64_t time_ns;
};

/* Under what a command is carried out. */
struct ref_context {
	uint64_t index, session;
	int64_t time_ns;
	bool in_transaction; /* nothing gets bound */
	bool is_staged;	     /* nothing gets forgotten */
};

struct reference *reference_new(void);
struct reference *reference_copy(const struct reference *r);
void reference_free(struct reference *r);

/* Time passes, as an entry says it: what is old enough is forgotten. */
void reference_time(struct reference *r, uint64_t time_ns);
/* A command that is no commit and no lock. A refusal changes nothing. */
struct reply reference_apply(struct reference *r, const struct ref_context *c, const Coordfs__Command *q);
/* The outcome of a transaction of this session is decided. */
void reference_outcome(struct reference *r, const struct ref_context *c, const char *name, uint64_t number,
		       bool committed, uint64_t place);

struct ref_object *reference_object(struct reference *r, uint64_t number);
struct ref_name *reference_name(struct reference *r, uint64_t parent, const void *name, size_t size);
/* The name after `after` (NULL: the first) in a directory, in readdir's order. */
struct ref_name *reference_next(struct reference *r, uint64_t parent, const struct ref_name *after);
struct ref_session *reference_session(struct reference *r, uint64_t session);
struct ref_member *reference_member(struct reference *r, uint64_t id);
struct ref_member *reference_member_named(struct reference *r, const char *name);
const struct ref_outcome *reference_find_outcome(const struct reference *r, const char *name, const char *member);
uint32_t reference_links(struct reference *r, const struct ref_object *o);
uint64_t reference_parent(struct reference *r, uint64_t directory); /* 0: it has none */

#endif
