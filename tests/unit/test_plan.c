/* Who votes. A cluster is written as words, one a member: its number, its role (V voter, s standby, p spare, - not in
 * the configuration) and what else is true of it: * leads, ? silent, x gone for so long that it is to be replaced,
 * l lags, ! is no member any more, + wishes to vote, _ wishes to stand by. A test is the trace of all that the planner
 * does until nothing is left to do. After that, the same over random clusters, with what must hold at each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <raft.h>

#include "replica/plan.h"

#define MEMBERS 12

_Static_assert((int)PLAN_STANDBY == RAFT_STANDBY && (int)PLAN_VOTER == RAFT_VOTER && (int)PLAN_SPARE == RAFT_SPARE,
	       "roles are libraft's");

struct cluster {
	struct plan plan;
	struct plan_member members[MEMBERS];
};

/* ---- a cluster ---- */

static void cluster_init(struct cluster *c, unsigned voters)
{
	*c = (struct cluster){.plan = {.voters = voters, .live_ms = 1000, .replace_ms = 60000, .lag_max = 100}};
	c->plan.members = c->members;
}

static void set_flag(struct cluster *c, struct plan_member *m, char flag)
{
	switch (flag) {
	case '*':
		c->plan.self = m->id;
		break;
	case '?':
		m->silent_ms = 1000;
		break;
	case 'x':
		m->silent_ms = 60000;
		break;
	case 'l':
		m->lag = 101;
		break;
	case '!':
		m->in_state = false;
		break;
	case '+':
		m->wish = MEMBER_VOTER;
		break;
	case '_':
		m->wish = MEMBER_STANDBY;
		break;
	default:
		fail_msg("flag %c", flag);
	}
}

static void cluster_read(struct cluster *c, unsigned voters, const char *words)
{
	static const char roles[] = "sVp-";
	char *at = (char *)words;
	cluster_init(c, voters);
	while (*at) {
		struct plan_member *m = &c->members[c->plan.count++];
		m->in_state = true;
		m->id = strtoull(at, &at, 10);
		const char *role = strchr(roles, *at++);
		assert_non_null(role);
		m->in_configuration = *role != '-';
		m->role = m->in_configuration ? (enum plan_role)(role - roles) : PLAN_STANDBY;
		while (*at && *at != ' ')
			set_flag(c, m, *at++);
		while (*at == ' ')
			at++;
	}
}

static struct plan_member *cluster_find(struct cluster *c, uint64_t id)
{
	for (size_t i = 0; i < c->plan.count; i++)
		if (c->members[i].id == id)
			return &c->members[i];
	return NULL;
}

static bool is_voter(const struct plan_member *m)
{
	return m->in_configuration && m->role == PLAN_VOTER;
}

static bool is_live(const struct cluster *c, const struct plan_member *m)
{
	return m->id == c->plan.self || m->silent_ms < c->plan.live_ms;
}

static bool is_gone(const struct cluster *c, const struct plan_member *m)
{
	return m->id != c->plan.self && m->silent_ms >= c->plan.replace_ms;
}

static bool is_ready(const struct cluster *c, const struct plan_member *m)
{
	return m->in_configuration && is_live(c, m) && (m->id == c->plan.self || m->lag <= c->plan.lag_max);
}

/* As libraft would carry it out; what it would refuse fails the test. */
static void cluster_do(struct cluster *c, const struct plan_action *a)
{
	struct plan_member *m = cluster_find(c, a->id);
	assert_non_null(m);
	assert_non_null(a->why);
	switch (a->kind) {
	case PLAN_ADD:
		assert_false(m->in_configuration);
		m->in_configuration = true;
		m->role = PLAN_SPARE;
		break;
	case PLAN_FOLLOW:
		assert_true(m->in_configuration && m->role == PLAN_SPARE);
		m->role = PLAN_STANDBY;
		break;
	case PLAN_VOTE:
		assert_true(m->in_configuration && m->role == PLAN_STANDBY);
		m->role = PLAN_VOTER;
		break;
	case PLAN_DEMOTE:
		assert_true(is_voter(m) && m->id != c->plan.self);
		m->role = PLAN_STANDBY;
		break;
	case PLAN_REMOVE:
		assert_true(m->in_configuration && m->id != c->plan.self);
		m->in_configuration = false;
		break;
	case PLAN_LEAVE:
		assert_true(is_voter(m) && m->id != c->plan.self);
		cluster_find(c, c->plan.self)->silent_ms = 0;
		cluster_find(c, c->plan.self)->lag = 0;
		c->plan.self = m->id;
		break;
	default:
		fail_msg("an action of kind %d", (int)a->kind);
	}
}

/* ---- traces ---- */

static void assert_trace(unsigned voters, const char *words, const char *expected)
{
	static const char *const names[] = {[PLAN_ADD] = "add", [PLAN_FOLLOW] = "follow", [PLAN_VOTE] = "vote",
					    [PLAN_DEMOTE] = "demote", [PLAN_REMOVE] = "remove", [PLAN_LEAVE] = "leave to"};
	struct cluster c;
	struct plan_action a;
	char trace[1000] = "";
	size_t size = 0;
	cluster_read(&c, voters, words);
	for (unsigned i = 0; i < 30 && (a = plan_next(&c.plan)).kind != PLAN_NONE; i++) {
		size += (size_t)snprintf(trace + size, sizeof trace - size, "%s%s %d", size ? ", " : "", names[a.kind],
					 (int)a.id);
		cluster_do(&c, &a);
	}
	if (strcmp(trace, expected) != 0)
		fail_msg("[%s] voters=%u: %s; should be: %s", words, voters, trace, expected);
}

static void test_how_many_vote(void **state)
{
	static const unsigned expected[] = {0, 1, 2, 3, 3, 5, 5, 5, 5};
	(void)state;
	for (size_t n = 0; n < sizeof expected / sizeof *expected; n++)
		assert_int_equal(plan_voters(n, 5), expected[n]);
	assert_int_equal(plan_voters(9, 4), 3);
	assert_int_equal(plan_voters(9, 2), 2);
	assert_int_equal(plan_voters(9, 1), 1);
}

static void test_who_joins_follows_and_votes(void **state)
{
	(void)state;
	assert_trace(5, "1V*", "");
	assert_trace(5, "1V* 2-", "add 2, follow 2, vote 2");
	assert_trace(5, "1V* 2V 3-", "add 3, follow 3, vote 3");
	assert_trace(5, "1V* 2V 3V 4-", "add 4, follow 4");
	assert_trace(5, "1V* 2V 3V 4s 5p", "follow 5, vote 4, vote 5");
	assert_trace(5, "1V* 2V 3V 4V 5V 6s 7s", "");
	assert_trace(1, "1V* 2s 3s", "");
	assert_trace(2, "1V* 2s 3s", "vote 2");
	assert_trace(3, "1V* 2s 3s 4s 5s", "vote 2, vote 3");
}

static void test_only_who_is_live_and_caught_up_gets_a_vote(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2s? 3sl", "");
	assert_trace(5, "1V* 2s? 3s", "vote 3");
	assert_trace(5, "1V* 2V 3V 4s 5s?", "");
	assert_trace(5, "1V* 2-x", "add 2, follow 2");
	assert_trace(5, "1V* 2s?+", "");
}

static void test_a_silent_voter_is_replaced_by_a_standby(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2V 3V? 4s", "");
	assert_trace(5, "1V* 2V 3Vx", "");
	assert_trace(5, "1V* 2V 3Vx 4s?", "");
	assert_trace(5, "1V* 2V 3Vx 4sl", "");
	assert_trace(5, "1V* 2V 3Vx 4s", "vote 4, demote 3");
	assert_trace(5, "1V* 2V 3Vx 4s 5s", "vote 4, demote 3");
	assert_trace(5, "1V* 2V 3V 4Vx 5Vx 6s 7s", "vote 6, demote 5, vote 7, demote 4");
	assert_trace(5, "1V* 2V 3V 4Vx 5Vx 6s", "vote 6, demote 5");
	assert_trace(9, "1V* 2V 3V 4Vx 5Vx 6s 7s", "vote 6, demote 5, vote 7, demote 4");
	assert_trace(5, "1V* 2V 3V 4Vx", "demote 4");
	assert_trace(5, "1V* 2V 3Vx+ 4s", "vote 4, demote 3");
	assert_trace(5, "1V* 2V 3s+ 4V", "vote 3, demote 4"); /* it is back, and wishes to vote */
}

static void test_there_is_one_too_many(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2V 3V 4V", "demote 4");
	assert_trace(5, "1V 2V 3V 4V*", "demote 3");
	assert_trace(3, "1V 2V 3V 4V 5V*", "demote 4, demote 3");
	assert_trace(5, "1V* 2V? 3V 4V", "demote 2");
	assert_trace(5, "1V* 2V 3V 4V 5s?", ""); /* wait: it may become the fifth */
	assert_trace(5, "1V* 2V 3V 4V 5sx", "demote 4");
	assert_trace(5, "1V* 2V 3V 4V 5s", "vote 5");
}

static void test_wishes_are_obeyed(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2V 3V_", "demote 3");
	assert_trace(5, "1V* 2V 3V_ 4s", "vote 4, demote 3");
	assert_trace(3, "1V* 2V 3V 4s+", "vote 4, demote 3");
	assert_trace(1, "1V*+ 2s+ 3s+ 4s", "vote 2, vote 3");
	assert_trace(1, "1V* 2s+", "vote 2, leave to 2, demote 1");
	assert_trace(5, "1V*_ 2V 3V", "leave to 2, demote 1");
	assert_trace(5, "1V*_ 2V 3V 4s", "vote 4, leave to 2, demote 1");
	assert_trace(5, "1V*_ 2V? 3Vl 4V", "leave to 4, demote 1");
	assert_trace(5, "1V* 2s_ 3p_", "follow 3");
}

static void test_somebody_votes_always(void **state)
{
	(void)state;
	assert_trace(5, "1V*_", "");
	assert_trace(5, "1V*_ 2V_", "demote 2");
	assert_trace(5, "1V*_ 2sl", "");
	assert_trace(5, "1V*_ 2s", "vote 2, leave to 2, demote 1");
	assert_trace(5, "1V*!", "");
	assert_trace(5, "1V*! 2V_", "leave to 2, remove 1");
	assert_trace(5, "1V*! 2s_", "");
}

static void test_who_is_no_member_goes(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2V 3s! 4p!", "remove 3, remove 4");
	assert_trace(5, "1V* 2V 3V!", "remove 3");
	assert_trace(5, "1V* 2V 3V! 4s", "vote 4, remove 3");
	assert_trace(5, "1V* 2V 3V!x 4s?", "remove 3");
	assert_trace(5, "1V*! 2V 3V", "leave to 2, remove 1");
	assert_trace(5, "1V*! 2V 3V 4s", "vote 4, leave to 2, remove 1");
	assert_trace(5, "1V*! 2Vl 3V?", "");
	assert_trace(5, "1V* 2V 3V! 4V!", "remove 4, remove 3");
}

static void test_a_live_majority_is_left(void **state)
{
	(void)state;
	assert_trace(5, "1V* 2V? 3V!", "");
	assert_trace(5, "1V* 2V? 3V_", "");
	assert_trace(5, "1V* 2V? 3V! 4s", "vote 4, remove 3");
	assert_trace(5, "1V* 2V? 3V?", "");
	assert_trace(5, "1V* 2Vx 3Vx 4s", "");
	assert_trace(5, "1V*! 2V 3V?", "");
}

/* ---- random clusters ---- */

static uint64_t chance(uint64_t *state, uint64_t below)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % below;
}

static void random_member(struct cluster *c, uint64_t *state, uint64_t bad)
{
	struct plan_member *m = &c->members[c->plan.count++];
	static const uint64_t silence[] = {0, 999, 1000, 59999, 60000, UINT64_MAX};
	static const enum plan_role roles[] = {PLAN_VOTER, PLAN_VOTER, PLAN_VOTER, PLAN_STANDBY, PLAN_STANDBY, PLAN_SPARE};
	m->id = 100 - 7 * c->plan.count;
	m->in_configuration = chance(state, 6) != 0;
	m->role = m->in_configuration ? roles[chance(state, 6)] : PLAN_STANDBY;
	m->in_state = !m->in_configuration || chance(state, 6) != 0;
	m->wish = chance(state, 3) ? MEMBER_AUTO : (enum member_wish)chance(state, 3);
	m->silent_ms = silence[chance(state, bad) ? 0 : chance(state, 6)];
	m->lag = chance(state, bad) ? chance(state, 101) : chance(state, 3) * 1000;
}

/* Some leader among some members; the voters may have a live majority or not. */
static void random_cluster(struct cluster *c, uint64_t seed)
{
	uint64_t state = seed, count = 1 + chance(&state, MEMBERS - 1), bad = 2 + chance(&state, 6);
	cluster_init(c, 1 + (unsigned)chance(&state, 9));
	while (c->plan.count < count)
		random_member(c, &state, bad);
	struct plan_member *self = &c->members[chance(&state, count)];
	self->in_configuration = true;
	self->role = PLAN_VOTER;
	c->plan.self = self->id;
}

struct count {
	unsigned voters, live, own, ready; /* ready: candidates that are live and caught up, or vote and are not gone */
	unsigned fit;			   /* voters that are live and caught up */
	unsigned useful;		   /* live voters that are members and do not wish to stand by */
};

static bool may_vote(const struct plan_member *m)
{
	return m->in_state && m->wish != MEMBER_STANDBY;
}

static struct count count_of(const struct cluster *c)
{
	struct count n = {0};
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_member *m = &c->members[i];
		bool standby = m->in_configuration && m->role == PLAN_STANDBY;
		n.voters += is_voter(m);
		n.live += is_voter(m) && is_live(c, m);
		n.fit += is_voter(m) && is_ready(c, m);
		n.own += is_voter(m) && m->in_state;
		n.useful += is_voter(m) && is_live(c, m) && may_vote(m);
		n.ready += may_vote(m) && ((is_voter(m) && !is_gone(c, m)) || (standby && is_ready(c, m)));
	}
	return n;
}

static void check_step(const struct cluster *before, const struct cluster *after, const struct plan_action *a)
{
	struct count was = count_of(before), is = count_of(after);
	const struct plan_member *m = cluster_find((struct cluster *)before, a->id);
	assert_true(is.voters + 1 >= was.voters && is.voters <= was.voters + 1);
	assert_true(is.own > 0 || was.own == 0);
	if (is.voters != was.voters)
		assert_true(2 * is.live > is.voters);
	if (a->kind == PLAN_ADD)
		assert_true(m->in_state);
	if (a->kind == PLAN_VOTE)
		assert_true(may_vote(m) && is_ready(before, m));
	if (a->kind == PLAN_REMOVE)
		assert_false(m->in_state);
	if (a->kind == PLAN_DEMOTE)
		assert_true(m->in_state);
	if (a->kind == PLAN_LEAVE)
		assert_true(m->in_state && is_ready(before, m));
	if (is.useful < was.useful) /* a live voter without need: only if there are too many */
		assert_true(was.voters > plan_voters(was.ready, before->plan.voters));
}

static unsigned wishes_of(const struct cluster *c)
{
	unsigned wishes = 0;
	for (size_t i = 0; i < c->plan.count; i++)
		wishes += c->members[i].in_state && c->members[i].wish == MEMBER_VOTER;
	return wishes;
}

/* Nothing more is done: is it good? */
static void check_rest(const struct cluster *c)
{
	struct count n = count_of(c);
	bool quorate = 2 * n.live > n.voters, standby = false, gone = false;
	unsigned most = plan_voters(c->plan.count, c->plan.voters), wishes = wishes_of(c);
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_member *m = &c->members[i];
		assert_true(m->in_configuration || !m->in_state);
		assert_true(!m->in_configuration || m->role != PLAN_SPARE || m->id == c->plan.self);
		assert_true(m->in_state || !m->in_configuration || is_voter(m));
		standby |= may_vote(m) && !is_voter(m) && is_ready(c, m);
		gone |= is_voter(m) && is_gone(c, m);
		if (quorate && m->in_state && m->wish == MEMBER_VOTER && is_ready(c, m))
			assert_true(is_voter(m));
	}
	if (!quorate)
		return;
	assert_false(standby && gone);
	assert_true(n.voters >= plan_voters(n.ready, c->plan.voters));
	if (n.fit < n.voters)
		return; /* some may have to stay: for the majority, or for want of a successor */
	if (n.useful == n.voters)
		assert_true(n.voters <= (most > wishes ? most : wishes));
	if (n.useful > 1) /* who wishes to stand by, and who is no member, has no vote */
		assert_true(n.useful == n.voters);
}

static void run_random(uint64_t seed)
{
	struct cluster c, before;
	struct plan_action a;
	unsigned steps = 0;
	random_cluster(&c, seed);
	while ((a = plan_next(&c.plan)).kind != PLAN_NONE) {
		before = c;
		before.plan.members = before.members;
		cluster_do(&c, &a);
		check_step(&before, &c, &a);
		if (++steps > 4 * MEMBERS)
			fail_msg("it goes on for ever");
	}
	check_rest(&c);
}

/* Members fall silent and return all the time: no rest, but each step is as safe as ever. */
static void run_restless(uint64_t seed)
{
	static const uint64_t silence[] = {0, 0, 0, 1000, 60000};
	uint64_t state = seed;
	struct cluster c, before;
	struct plan_action a;
	random_cluster(&c, seed);
	for (unsigned i = 0; i < 30; i++) {
		struct plan_member *m = &c.members[chance(&state, c.plan.count)];
		m->silent_ms = silence[chance(&state, 5)];
		m->lag = chance(&state, 4) ? 0 : 1000;
		if (chance(&state, 10) == 0)
			m->in_state = m->id == c.plan.self || !m->in_state;
		if ((a = plan_next(&c.plan)).kind == PLAN_NONE)
			continue;
		before = c;
		before.plan.members = before.members;
		cluster_do(&c, &a);
		check_step(&before, &c, &a);
	}
}

static uint64_t running; /* the seed; 0: none */

static void test_random_clusters_come_to_rest(void **state)
{
	const char *one = getenv("PLAN_SEED");
	uint64_t end = one ? strtoull(one, NULL, 10) + 1 : 200000;
	(void)state;
	for (running = one ? end - 1 : 1; running < end; running++) {
		run_random(running);
		if (one || running % 4 == 0)
			run_restless(running);
	}
	running = 0;
}

static const char *flags_of(const struct cluster *c, const struct plan_member *m, char text[8])
{
	snprintf(text, 8, "%s%s%s%s%s", m->id == c->plan.self ? "*" : "", is_gone(c, m) ? "x" : is_live(c, m) ? "" : "?",
		 m->lag > c->plan.lag_max ? "l" : "", m->in_state ? "" : "!",
		 m->wish == MEMBER_VOTER ? "+" : m->wish == MEMBER_STANDBY ? "_" : "");
	return text;
}

/* The cluster of the seed that failed, in words for assert_trace. */
static int tell_failure(void **state)
{
	struct cluster c;
	char flags[8];
	(void)state;
	if (running == 0)
		return 0;
	random_cluster(&c, running);
	print_error("PLAN_SEED=%llu voters=%u:", (unsigned long long)running, c.plan.voters);
	for (size_t i = 0; i < c.plan.count; i++)
		print_error(" %d%c%s", (int)c.members[i].id,
			    c.members[i].in_configuration ? "sVp"[c.members[i].role] : '-', flags_of(&c, &c.members[i], flags));
	print_error("\n");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_how_many_vote),
		cmocka_unit_test(test_who_joins_follows_and_votes),
		cmocka_unit_test(test_only_who_is_live_and_caught_up_gets_a_vote),
		cmocka_unit_test(test_a_silent_voter_is_replaced_by_a_standby),
		cmocka_unit_test(test_there_is_one_too_many),
		cmocka_unit_test(test_wishes_are_obeyed),
		cmocka_unit_test(test_somebody_votes_always),
		cmocka_unit_test(test_who_is_no_member_goes),
		cmocka_unit_test(test_a_live_majority_is_left),
		cmocka_unit_test_teardown(test_random_clusters_come_to_rest, tell_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
