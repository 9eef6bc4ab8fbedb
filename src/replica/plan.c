/* All members that may vote are put in an order of preference, of which the first so many are wanted as voters
 * (is_wanted). The order and the number are such that taking a step towards it changes neither for the worse: a promoted
 * standby moves up, a demoted voter down. So the steps come to an end, and nothing flaps.
 *
 * The number is held by voters that are silent for too long as well: three voters of which one is gone stay three, for
 * with two there is nothing won, and the third may return. It is replaced when a standby can take its place. */
#include "replica/plan.h"

/* ---- one member ---- */

static bool is_self(const struct plan *p, const struct plan_member *m)
{
	return m->id == p->self;
}

static bool is_voter(const struct plan_member *m)
{
	return m->in_configuration && m->role == PLAN_VOTER;
}

static bool is_live(const struct plan *p, const struct plan_member *m)
{
	return is_self(p, m) || m->silent_ms < p->live_ms;
}

static bool is_gone(const struct plan *p, const struct plan_member *m)
{
	return !is_live(p, m) && m->silent_ms >= p->replace_ms;
}

static bool is_ready(const struct plan *p, const struct plan_member *m)
{
	return m->in_configuration && m->role != PLAN_SPARE && is_live(p, m) && (is_self(p, m) || m->lag <= p->lag_max);
}

/* It may be a voter, for it is one, or it can be made one now. */
static bool is_candidate(const struct plan *p, const struct plan_member *m)
{
	return m->in_state && m->wish != MEMBER_STANDBY && (is_voter(m) || is_ready(p, m));
}

/* The lower, the sooner it votes. */
static unsigned rank(const struct plan *p, const struct plan_member *m)
{
	if (is_gone(p, m))
		return 5;
	if (m->wish == MEMBER_VOTER)
		return 0;
	if (is_self(p, m))
		return 1;
	if (is_voter(m))
		return is_live(p, m) ? 2 : 3;
	return 4;
}

static bool is_before(const struct plan *p, const struct plan_member *a, const struct plan_member *b)
{
	unsigned ra = rank(p, a), rb = rank(p, b);
	return ra != rb ? ra < rb : a->id < b->id;
}

/* ---- how many ---- */

struct census {
	unsigned wanted; /* votes */
	unsigned kept;	 /* live voters are not demoted for being too many unless there are more */
	unsigned voters, live_voters, own_voters; /* own: of members in the state */
};

unsigned plan_voters(size_t candidates, unsigned voters)
{
	size_t most = candidates < voters ? candidates : voters;
	if (most <= 2)
		return (unsigned)most;
	return (unsigned)(most % 2 ? most : most - 1);
}

static unsigned most_of(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static struct census take_census(const struct plan *p)
{
	struct census c = {0};
	unsigned present = 0, expected = 0, held = 0, wishes = 0;
	for (size_t i = 0; i < p->count; i++) {
		const struct plan_member *m = &p->members[i];
		bool candidate = is_candidate(p, m), gone = is_gone(p, m);
		c.voters += is_voter(m);
		c.live_voters += is_voter(m) && is_live(p, m);
		c.own_voters += is_voter(m) && m->in_state;
		present += candidate && !gone;
		held += candidate && is_voter(m);
		wishes += candidate && !gone && m->wish == MEMBER_VOTER;
		expected += m->in_state && m->wish != MEMBER_STANDBY && !gone;
	}
	c.wanted = most_of(wishes, most_of(plan_voters(present, p->voters), plan_voters(held, p->voters)));
	c.kept = plan_voters(expected, p->voters);
	return c;
}

static bool is_wanted(const struct plan *p, const struct census *c, const struct plan_member *m)
{
	unsigned before = 0;
	if (!is_candidate(p, m))
		return false;
	for (size_t i = 0; i < p->count && before < c->wanted; i++)
		before += is_candidate(p, &p->members[i]) && is_before(p, &p->members[i], m);
	return before < c->wanted;
}

/* ---- votes ---- */

static bool is_majority(unsigned live, unsigned voters)
{
	return 2 * live > voters;
}

static struct plan_action promote(const struct plan *p, const struct census *c)
{
	const struct plan_member *best = NULL;
	if (!is_majority(c->live_voters + 1, c->voters + 1))
		return (struct plan_action){0};
	for (size_t i = 0; i < p->count; i++) {
		const struct plan_member *m = &p->members[i];
		if (!is_voter(m) && is_wanted(p, c, m) && (!best || is_before(p, m, best)))
			best = m;
	}
	if (!best)
		return (struct plan_action){0};
	return (struct plan_action){PLAN_VOTE, best->id, best->wish == MEMBER_VOTER ? "it is to vote"
										     : "the cluster wants another voter"};
}

/* Why the voter is to lose its vote; NULL: it is not. */
static const char *reason_to_go(const struct plan *p, const struct census *c, const struct plan_member *m)
{
	if (!is_voter(m) || is_wanted(p, c, m))
		return NULL;
	if (!m->in_state)
		return "it is no member any more";
	if (m->wish == MEMBER_STANDBY)
		return "it is to stand by";
	if (is_gone(p, m))
		return "it was silent for too long";
	return c->voters > c->kept ? "there are more voters than wanted" : NULL;
}

/* Somebody in the state votes afterwards, and a live majority does. */
static bool can_go(const struct plan *p, const struct census *c, const struct plan_member *m)
{
	return c->own_voters > m->in_state && is_majority(c->live_voters - is_live(p, m), c->voters - 1);
}

/* The higher, the sooner the vote goes: the leader's last, for it has to hand over first. */
static unsigned haste(const struct plan *p, const struct plan_member *m)
{
	unsigned group = !m->in_state ? 3 : is_gone(p, m) ? 2 : m->wish == MEMBER_STANDBY ? 1 : 0;
	return is_self(p, m) ? 0 : 1 + 2 * group + !is_live(p, m);
}

static bool goes_sooner(const struct plan *p, const struct plan_member *a, const struct plan_member *b)
{
	unsigned ha = haste(p, a), hb = haste(p, b);
	return ha != hb ? ha > hb : is_before(p, b, a);
}

static bool can_lead(const struct plan *p, const struct plan_member *m)
{
	return !is_self(p, m) && m->in_state && is_voter(m) && is_ready(p, m);
}

/* Whoever else is to lose its vote has lost it by now, or is the last voter that is a member. */
static struct plan_action leave(const struct plan *p, const struct census *c, const char *why)
{
	const struct plan_member *best = NULL;
	for (size_t i = 0; i < p->count; i++) {
		const struct plan_member *m = &p->members[i];
		if (can_lead(p, m) &&
		    (!best || (is_wanted(p, c, m) && !is_wanted(p, c, best)) ||
		     (is_wanted(p, c, m) == is_wanted(p, c, best) && m->lag < best->lag)))
			best = m;
	}
	return best ? (struct plan_action){PLAN_LEAVE, best->id, why} : (struct plan_action){0};
}

static struct plan_action demote(const struct plan *p, const struct census *c)
{
	const struct plan_member *first = NULL;
	for (size_t i = 0; i < p->count; i++) {
		const struct plan_member *m = &p->members[i];
		if (reason_to_go(p, c, m) && can_go(p, c, m) && (!first || goes_sooner(p, m, first)))
			first = m;
	}
	if (!first)
		return (struct plan_action){0};
	const char *why = reason_to_go(p, c, first);
	if (is_self(p, first))
		return leave(p, c, why);
	return (struct plan_action){first->in_state ? PLAN_DEMOTE : PLAN_REMOVE, first->id, why};
}

/* Who replaces comes before who is replaced goes; but one at a time. */
static struct plan_action shift_votes(const struct plan *p)
{
	struct census c = take_census(p);
	bool crowded = c.voters > c.wanted;
	struct plan_action action = crowded ? demote(p, &c) : promote(p, &c);
	if (action.kind == PLAN_NONE)
		action = crowded ? promote(p, &c) : demote(p, &c);
	return action;
}

/* ---- who is in ---- */

/* What costs no vote. */
static enum plan_kind housekeeping(const struct plan *p, const struct plan_member *m)
{
	if (!m->in_configuration)
		return m->in_state ? PLAN_ADD : PLAN_NONE;
	if (m->role == PLAN_VOTER || is_self(p, m))
		return PLAN_NONE;
	if (!m->in_state)
		return PLAN_REMOVE;
	return m->role == PLAN_SPARE ? PLAN_FOLLOW : PLAN_NONE;
}

struct plan_action plan_next(const struct plan *p)
{
	static const char *const why[] = {
		[PLAN_ADD] = "it joined", [PLAN_FOLLOW] = "it joined", [PLAN_REMOVE] = "it is no member any more",
	};
	const struct plan_member *first = NULL;
	for (size_t i = 0; i < p->count; i++) {
		const struct plan_member *m = &p->members[i];
		if (housekeeping(p, m) != PLAN_NONE && (!first || m->id < first->id))
			first = m;
	}
	if (!first)
		return shift_votes(p);
	enum plan_kind kind = housekeeping(p, first);
	return (struct plan_action){kind, first->id, why[kind]};
}
