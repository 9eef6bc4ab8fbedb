/* The receiver's half of proposals.h: of each sender's newest stream, the next position.
 *
 * What is remembered of a sender is one stream. A newer one replaces it when its first message is seen, whatever its
 * position: from then on nothing of the older one is taken, so that an entry of it that comes late cannot follow what
 * the sender has put into the newer one. */
#include <stdlib.h>

#include "base/hash.h"
#include "replica/proposals.h"

#define SENDERS_MAX 4096u

struct sender {
	UT_hash_handle hh;
	uint64_t id;
	uint64_t stream, expected;
	bool refused;
};

struct acceptor {
	uint64_t term;
	struct sender *senders;
};

struct acceptor *acceptor_new(void)
{
	return calloc(1, sizeof(struct acceptor));
}

static void forget_all(struct acceptor *a)
{
	struct sender *s, *next;

	HASH_ITER(hh, a->senders, s, next)
	{
		HASH_DEL(a->senders, s);
		free(s);
	}
}

void acceptor_free(struct acceptor *a)
{
	if (!a)
		return;
	forget_all(a);
	free(a);
}

void acceptor_reset(struct acceptor *a, uint64_t term)
{
	forget_all(a);
	a->term = term;
}

static struct sender *sender_find(struct acceptor *a, uint64_t id)
{
	struct sender *s;

	HASH_FIND(hh, a->senders, &id, sizeof id, s);
	return s;
}

/* NULL: no memory, or more senders than there can be. */
static struct sender *sender_make(struct acceptor *a, uint64_t id)
{
	struct sender *s;

	if (HASH_COUNT(a->senders) >= SENDERS_MAX || !(s = calloc(1, sizeof *s)))
		return NULL;
	s->id = id;
	HASH_ADD(hh, a->senders, id, sizeof s->id, s);
	return hash_kept(s);
}

bool acceptor_wants(struct acceptor *a, uint64_t from, uint64_t term, uint64_t stream, uint64_t position,
		    uint64_t *expected)
{
	struct sender *s = sender_find(a, from);

	*expected = UINT64_MAX;
	if (term != a->term || (!s && !(s = sender_make(a, from))))
		return false;
	if (stream > s->stream) {
		s->stream = stream;
		s->expected = 0;
		s->refused = false;
	}
	if (stream < s->stream || s->refused || position < s->expected)
		return false;
	*expected = s->expected;
	return position == s->expected;
}

void acceptor_took(struct acceptor *a, uint64_t from, uint64_t stream)
{
	struct sender *s = sender_find(a, from);

	if (s && s->stream == stream)
		s->expected++;
}

void acceptor_refused(struct acceptor *a, uint64_t from, uint64_t stream)
{
	struct sender *s = sender_find(a, from);

	if (s && s->stream == stream)
		s->refused = true;
}
