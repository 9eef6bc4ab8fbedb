/* Room: machine. A transaction on the member that began it: a view of one revision, the changes staged
 * over it, and what was looked at. Nothing is replicated until the Commit command, which
 * transaction_commit() fills in and the caller proposes. */
#ifndef COORDFS_MACHINE_TRANSACTION_H
#define COORDFS_MACHINE_TRANSACTION_H

#include "machine/machine.h"

struct transaction;

/* Begin at the present revision. The machine keeps older versions of what changes from now on.
 * Errors: ERR_QUOTA (LIMIT_TRANSACTIONS), ERR_NO_MEMORY. */
int transaction_new(struct machine *m, struct transaction **out);
void transaction_free(struct transaction *t);

/* The staged changes over the state of the beginning: for view_*(). Reading through it guards nothing:
 * say what was read with transaction_saw_*(). */
struct view transaction_view(struct transaction *t);
uint64_t transaction_begin(const struct transaction *t);

/* True when the history it needs is gone (LIMIT_HISTORY_BYTES), or memory ran out half-way in staging: every use
 * of the view is then void and the caller aborts it. */
bool transaction_is_torn(const struct transaction *t);

/* What the commit must find unchanged. Objects that the transaction made itself guard nothing.
 * Errors: ERR_QUOTA, ERR_NO_MEMORY. */
int transaction_saw_entry(struct transaction *t, uint64_t parent, struct bytes name);
int transaction_saw_content(struct transaction *t, uint64_t inode);
int transaction_saw_names(struct transaction *t, uint64_t directory);

/* Stage one operation: create, remove, rename, link, set_attr, set_xattr, write, counter, bounds. Runs it
 * on the overlay, with the reply it would have, and keeps a copy for the commit. A refusal stages nothing, but
 * what it tells is guarded.
 * Guards of its own are noted: an append or a conditional write guards the content, cas guards the
 * content, names that are made or removed guard the entry. time_ns: for the attributes in the view. uid as
 * in the command. Inode numbers in the command are those of the view.
 * Errors in reply->code; ERR_QUOTA beyond LIMIT_TRANSACTION_*; ERR_READ_ONLY below locks/ and fences/;
 * ERR_NOT_SUPPORTED for any other command. */
void transaction_stage(struct transaction *t, const Coordfs__Command *command, uint64_t time_ns,
		       struct reply *reply);

/* `require locks/x TOKEN`. */
int transaction_require(struct transaction *t, uint64_t inode, uint64_t token);

/* True when nothing was staged. */
bool transaction_is_empty(const struct transaction *t);

/* Fill in a Commit (name, uid, number are the caller's). All pointers are borrowed from t.
 * On commit's ERR_CANCELED reply->text names the path that had changed. */
void transaction_commit(struct transaction *t, Coordfs__Commit *commit);

#endif
