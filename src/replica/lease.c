/* Renewals: see lease.h for why the holder gives up first. */
#include "replica/lease.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"

#define ASKED_MAX (sizeof((struct holder *)0)->asked / sizeof((struct holder *)0)->asked[0])
#define RENEWALS_PER_TTL 3u
#define RETRIES_PER_TTL 12u /* while one is not answered: the leader may just have changed */
#define MARGIN_MS_MIN 500u
#define EXPIRED_AGAIN_MS 1000u

/* ---- the holder ---- */

void holder_init(struct holder *h, unsigned ttl_ms, uint64_t seed)
{
	memset(h, 0, sizeof *h);
	h->ttl_ms = ttl_ms;
	h->nonce = seed | 1;
}

void holder_begin(struct holder *h, uint64_t sent_ms)
{
	memset(h->asked, 0, sizeof h->asked); /* answers for a former session are none for this one */
	h->held = true;
	h->renewed_ms = sent_ms;
	h->asked_ms = 0;
}

void holder_end(struct holder *h)
{
	h->held = false;
}

static bool answered(const struct holder *h)
{
	return h->asked_ms <= h->renewed_ms;
}

/* When to ask next. */
static uint64_t due_ms(const struct holder *h)
{
	return answered(h) ? h->renewed_ms + h->ttl_ms / RENEWALS_PER_TTL : h->asked_ms + h->ttl_ms / RETRIES_PER_TTL;
}

static bool expires(const struct holder *h)
{
	return h->held && h->ttl_ms > 0;
}

bool holder_wants(struct holder *h, uint64_t now_ms, uint64_t *nonce)
{
	size_t slot;

	if (!expires(h) || now_ms < due_ms(h))
		return false;
	h->nonce += 2;
	h->asked_ms = now_ms;
	slot = (h->nonce >> 1) % ASKED_MAX;
	h->asked[slot].nonce = *nonce = h->nonce;
	h->asked[slot].sent_ms = now_ms;
	return true;
}

bool holder_renewed(struct holder *h, uint64_t nonce)
{
	size_t slot = (nonce >> 1) % ASKED_MAX;

	if (!h->held || !nonce || h->asked[slot].nonce != nonce || h->asked[slot].sent_ms <= h->renewed_ms)
		return false;
	h->renewed_ms = h->asked[slot].sent_ms;
	return true;
}

bool holder_lost(struct holder *h, uint64_t now_ms)
{
	if (!expires(h) || now_ms < h->renewed_ms + h->ttl_ms)
		return false;
	h->held = false;
	return true;
}

uint64_t holder_left_ms(const struct holder *h, uint64_t now_ms)
{
	uint64_t end_ms = h->renewed_ms + h->ttl_ms;

	if (!h->held)
		return 0;
	if (h->ttl_ms == 0)
		return UINT64_MAX;
	return end_ms > now_ms ? end_ms - now_ms : 0;
}

uint64_t holder_sleep_ms(const struct holder *h, uint64_t now_ms)
{
	uint64_t next;

	if (!expires(h))
		return UINT64_MAX;
	next = h->renewed_ms + h->ttl_ms;
	if (due_ms(h) < next)
		next = due_ms(h);
	return next > now_ms ? next - now_ms : 0;
}

/* ---- the keeper ---- */

struct lease {
	UT_hash_handle hh;
	uint64_t session;
	unsigned ttl_ms;
	uint64_t until_ms;
	bool ending; /* keeper_expired returned it: it is renewed no more */
};

struct keeper {
	struct lease *leases;
};

struct keeper *keeper_new(void)
{
	return calloc(1, sizeof(struct keeper));
}

void keeper_free(struct keeper *k)
{
	struct lease *l, *next;

	if (!k)
		return;
	HASH_ITER(hh, k->leases, l, next)
	{
		HASH_DEL(k->leases, l);
		free(l);
	}
	free(k);
}

unsigned keeper_margin_ms(unsigned ttl_ms)
{
	return ttl_ms / 4 > MARGIN_MS_MIN ? ttl_ms / 4 : MARGIN_MS_MIN;
}

static void grant(struct lease *l, uint64_t now_ms)
{
	l->until_ms = now_ms + l->ttl_ms + keeper_margin_ms(l->ttl_ms);
	l->ending = false;
}

void keeper_lead(struct keeper *k, uint64_t now_ms)
{
	struct lease *l, *next;

	HASH_ITER(hh, k->leases, l, next)
	{
		grant(l, now_ms);
	}
}

static struct lease *lease_find(struct keeper *k, uint64_t session)
{
	struct lease *l;

	HASH_FIND(hh, k->leases, &session, sizeof session, l);
	return l;
}

int keeper_know(struct keeper *k, uint64_t session, unsigned ttl_ms, uint64_t now_ms)
{
	struct lease *l = lease_find(k, session);

	if (l)
		return 0;
	l = calloc(1, sizeof *l);
	if (!l)
		return ERR_NO_MEMORY;
	l->session = session;
	l->ttl_ms = ttl_ms;
	grant(l, now_ms);
	HASH_ADD(hh, k->leases, session, sizeof l->session, l);
	return hash_kept(l) ? 0 : ERR_NO_MEMORY;
}

void keeper_forget(struct keeper *k, uint64_t session)
{
	struct lease *l = lease_find(k, session);

	if (!l)
		return;
	HASH_DEL(k->leases, l);
	free(l);
}

bool keeper_renew(struct keeper *k, uint64_t session, uint64_t now_ms)
{
	struct lease *l = lease_find(k, session);

	if (!l || l->ending)
		return false;
	grant(l, now_ms);
	return true;
}

uint64_t keeper_expired(struct keeper *k, uint64_t now_ms)
{
	struct lease *l, *next;

	HASH_ITER(hh, k->leases, l, next)
	{
		if (l->ttl_ms == 0 || now_ms < l->until_ms)
			continue;
		l->ending = true;
		l->until_ms = now_ms + EXPIRED_AGAIN_MS;
		return l->session;
	}
	return 0;
}
