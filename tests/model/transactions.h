/* Transactions beside their references: what each saw and staged, so that at its commit all of it can be done again,
 * at once, on the state of that moment. */
#ifndef COORDFS_TESTS_MODEL_TRANSACTIONS_H
#define COORDFS_TESTS_MODEL_TRANSACTIONS_H

#include "generate.h"
#include "machine/transaction.h"
#include "memory.h"

#define STEPS_MAX 40

enum step_kind { STEP_OPERATION, STEP_LOOKUP, STEP_READ, STEP_LIST };

/* One thing that a transaction did, and what it was told. */
struct step {
	enum step_kind kind;
	Coordfs__Command *command; /* STEP_OPERATION */
	uint64_t inode;		   /* the others: the object, or the directory */
	struct ref_text name;	   /* STEP_LOOKUP */
	int code;
	uint64_t result; /* the inode that was found or made; else a digest */
};
struct model_transaction {
	struct transaction *inner;
	struct reference *begin; /* stays */
	struct reference *view;  /* with the transaction's own changes */
	uint64_t revision, session, number;
	char name[16];
	struct step steps[STEPS_MAX];
	size_t step_count;
};

struct model_transaction *model_begin(struct memory_machine *m, const struct reference *r, uint64_t session,
				      uint64_t number);
void model_end(struct model_transaction *t);
/* Do something at random in it. NULL, or what is not as the reference says. */
const char *model_step(struct model_transaction *t, struct chance *c);
/* Is its view what it should be? */
const char *model_compare(struct model_transaction *t);

/* What the commit's answer must be. *after: the state when it succeeds (to be freed), NULL when it cannot. may_fail: there is
 * something that the transaction depends on and that was changed since its begin. */
void model_commit(struct model_transaction *t, struct reference *now, const struct ref_context *c,
		  struct reference **after, bool *may_fail);

#endif
