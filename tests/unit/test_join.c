/* Getting into a cluster: whom the joiner asks and when, what it makes of the answers, and what members answer. */
#include <stdio.h>
#include <string.h>

#include "machine_fixture.h"
#include "replica/join.h"

#define PATIENCE_MS 30000

/* ---- the joiner's surroundings ---- */

struct joining {
	struct joiner *joiner;
	uint64_t now_ms;
	char trace[4000]; /* the addresses asked, with the time of each */
	const char *useless, *trouble;
};

static bool record_ask(void *ctx, const char *address)
{
	struct joining *x = ctx;
	size_t size = strlen(x->trace);
	if (size < sizeof x->trace - 300)
		snprintf(x->trace + size, sizeof x->trace - size, "%s%s@%llu", size ? " " : "", address,
			 (unsigned long long)x->now_ms);
	return !x->useless || strcmp(x->useless, address) != 0;
}

static const char *tell_trouble(void *ctx)
{
	return ((struct joining *)ctx)->trouble;
}

static void begin(struct joining *x, const char *addresses)
{
	char error[200];
	struct joiner_port port = {x, record_ask, tell_trouble};
	*x = (struct joining){0};
	assert_int_equal(joiner_new(addresses, PATIENCE_MS, &port, 0, &x->joiner, error, sizeof error), 0);
}

/* Let time pass, as a loop would. */
static enum joiner_state pass(struct joining *x, uint64_t until_ms)
{
	enum joiner_state state = joiner_run(x->joiner, x->now_ms);
	for (;;) {
		uint64_t sleep = joiner_sleep_ms(x->joiner, x->now_ms);
		if (state != JOINER_ASKS || sleep > until_ms - x->now_ms)
			break;
		x->now_ms += sleep;
		state = joiner_run(x->joiner, x->now_ms);
	}
	x->now_ms = until_ms;
	return state;
}

static Coordfs__JoinResult result_of(int code, const char *asked, const char *text, const char *address)
{
	Coordfs__JoinResult result = COORDFS__JOIN_RESULT__INIT;
	result.code = code;
	result.asked = (char *)asked;
	result.text = (char *)text;
	result.address = (char *)address;
	result.member = (char *)"b";
	return result;
}

static enum joiner_state give(struct joining *x, int code, const char *asked, const char *text, const char *address)
{
	Coordfs__JoinResult result = result_of(code, asked, text, address);
	return joiner_result(x->joiner, &result, x->now_ms);
}

static unsigned times_asked(const struct joining *x, const char *address)
{
	unsigned times = 0;
	for (const char *at = x->trace; (at = strstr(at, address)); at += strlen(address))
		times += at[strlen(address)] == '@';
	return times;
}

static void end(struct joining *x)
{
	joiner_free(x->joiner);
}

/* ---- asking ---- */

static void test_it_asks_in_turn_and_again(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1+tcp://c:1");
	pass(&x, 299);
	assert_string_equal(x.trace, "tcp://a:1@0 tcp://b:1@100 tcp://c:1@200");
	assert_int_equal(pass(&x, 20000), JOINER_ASKS);
	assert_in_range(times_asked(&x, "tcp://a:1"), 8, 20);
	assert_int_equal(times_asked(&x, "tcp://a:1"), times_asked(&x, "tcp://c:1"));
	end(&x);
}

static void test_rounds_are_further_and_further_apart(void **state)
{
	struct joining x;
	uint64_t last = 0, pause = 0;
	(void)state;
	begin(&x, "tcp://a:1");
	for (unsigned i = 0; i < 8; i++) {
		joiner_run(x.joiner, x.now_ms);
		uint64_t next = joiner_sleep_ms(x.joiner, x.now_ms);
		assert_true(next >= pause || next >= 2000);
		assert_true(next <= 2500);
		pause = next * 3 / 4;
		last = next;
		x.now_ms += next;
	}
	assert_true(last >= 2000);
	end(&x);
}

static void test_bad_lists_are_refused(void **state)
{
	static const char *const lists[] = {"", "+", "tcp://a:1+", "+tcp://a:1", "tcp://a:1++tcp://b:1"};
	struct joiner_port port = {NULL, record_ask, NULL};
	struct joiner *joiner;
	char error[200], many[2000] = "", longest[300];
	(void)state;
	for (unsigned i = 0; i <= JOIN_ADDRESSES_MAX; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "%stcp://a:%u", i ? "+" : "", i + 1);
	memset(longest, 'a', 256);
	longest[256] = '\0';
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		assert_int_equal(joiner_new(lists[i], 1, &port, 0, &joiner, error, sizeof error), ERR_INVALID);
	assert_int_equal(joiner_new(longest, 1, &port, 0, &joiner, error, sizeof error), ERR_INVALID);
	assert_int_equal(joiner_new(many, 1, &port, 0, &joiner, error, sizeof error), ERR_INVALID);
	assert_null(joiner);
	assert_non_null(strstr(error, "1 to 64 addresses"));
	*strrchr(many, '+') = '\0';
	assert_int_equal(joiner_new(many, 1, &port, 0, &joiner, error, sizeof error), 0);
	joiner_free(joiner);
	assert_int_equal(joiner_new("tcp://a:1+tcp://a:1", 1, &port, 0, &joiner, error, sizeof error), 0);
	joiner_free(joiner);
}

/* ---- answers ---- */

static void test_the_leader_is_asked_next(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1+tcp://c:1");
	pass(&x, 10);
	give(&x, ERR_BUSY, "tcp://a:1", "it does not lead", "tcp://z:9");
	assert_int_equal(joiner_sleep_ms(x.joiner, x.now_ms), 0);
	pass(&x, 50);
	assert_string_equal(x.trace, "tcp://a:1@0 tcp://z:9@10");
	give(&x, ERR_BUSY, "tcp://z:9", "it is letting this member in", "tcp://z:9");
	pass(&x, 160);
	assert_string_equal(x.trace, "tcp://a:1@0 tcp://z:9@10 tcp://z:9@150");
	Coordfs__JoinResult in = result_of(OK, "tcp://z:9", "", "");
	in.cluster = (ProtobufCBinaryData){16, (uint8_t *)"0123456789abcdef"};
	in.id = 7;
	assert_int_equal(joiner_result(x.joiner, &in, x.now_ms), JOINER_IN);
	assert_true(joiner_sleep_ms(x.joiner, x.now_ms) == UINT64_MAX);
	assert_int_equal(give(&x, ERR_EXISTS, "tcp://a:1", "late", ""), JOINER_IN);
	assert_int_equal(pass(&x, 2 * PATIENCE_MS), JOINER_IN);
	assert_string_equal(x.trace, "tcp://a:1@0 tcp://z:9@10 tcp://z:9@150");
	end(&x);
}

/* Two members, each of which believes that the other leads, are not asked without end. */
static void test_two_that_send_to_each_other(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1");
	for (unsigned i = 0; i < 1000; i++) {
		pass(&x, 10 * i);
		give(&x, ERR_BUSY, "tcp://a:1", "", "tcp://b:1");
		give(&x, ERR_BUSY, "tcp://b:1", "", "tcp://a:1");
	}
	assert_in_range(times_asked(&x, "tcp://a:1"), 20, 110);
	end(&x);
}

static void test_a_leader_that_is_silent_is_not_waited_for(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1");
	pass(&x, 10);
	give(&x, ERR_BUSY, "tcp://a:1", "", "tcp://z:9");
	pass(&x, 400);
	assert_string_equal(x.trace, "tcp://a:1@0 tcp://z:9@10 tcp://b:1@310");
	end(&x);
}

static void test_a_refusal_is_the_end(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1");
	pass(&x, 10);
	assert_int_equal(give(&x, ERR_EXISTS, "tcp://a:1", "the name\nis taken", ""), JOINER_FAILED);
	assert_string_equal(joiner_text(x.joiner),
			    "the cluster does not let this member in: the name?is taken (b at tcp://a:1 says so)");
	assert_int_equal(pass(&x, 1000), JOINER_FAILED);
	assert_string_equal(x.trace, "tcp://a:1@0");
	end(&x);
}

static void test_a_malformed_answer_is_none(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1");
	assert_int_equal(give(&x, ERR_EXISTS, "tcp://a:1", "", ""), JOINER_FAILED);
	end(&x);
	begin(&x, "tcp://a:1");
	assert_int_equal(give(&x, ERR_EXISTS, "tcp://stranger:1", "", ""), JOINER_ASKS); /* nobody was asked yet */
	pass(&x, 10);
	Coordfs__JoinResult in = result_of(OK, "tcp://a:1", "", "");
	in.id = 7;
	assert_int_equal(joiner_result(x.joiner, &in, x.now_ms), JOINER_ASKS);
	in.cluster = (ProtobufCBinaryData){16, (uint8_t *)"0123456789abcdef"};
	in.id = 0;
	assert_int_equal(joiner_result(x.joiner, &in, x.now_ms), JOINER_ASKS);
	in.id = 7;
	in.asked = (char *)""; /* of an older member */
	assert_int_equal(joiner_result(x.joiner, &in, x.now_ms), JOINER_IN);
	end(&x);
}

static void test_giving_up_says_what_was_seen(void **state)
{
	struct joining x;
	(void)state;
	begin(&x, "tcp://a:1+tcp://b:1+tcp://c:1+bad");
	x.useless = "bad";
	x.trouble = "tcp://d:1: it does not have this cluster's key";
	pass(&x, 150);
	give(&x, ERR_BUSY, "tcp://b:1", "its cluster has no leader", "");
	pass(&x, 250);
	give(&x, ERR_BUSY, "tcp://c:1", "it does not lead", "tcp://z:9");
	pass(&x, PATIENCE_MS - 100);
	give(&x, ERR_BUSY, "tcp://b:1", "its cluster has no leader", "");
	assert_int_equal(pass(&x, PATIENCE_MS), JOINER_FAILED);
	assert_string_equal(joiner_text(x.joiner),
			    "no cluster let this member in within 30 s: tcp://a:1: no answer; "
			    "tcp://b:1: its cluster has no leader; "
			    "tcp://c:1: it does not lead, but sends us to tcp://z:9, then no answer; "
			    "bad: not an address that can be used; "
			    "tcp://z:9 (where others say the leader is): no answer; "
			    "tcp://d:1: it does not have this cluster's key");
	end(&x);
}

/* Any text and any number of addresses: the line ends where it must. */
static void test_long_answers_are_cut(void **state)
{
	struct joining x;
	char text[1000], address[300];
	(void)state;
	begin(&x, "tcp://a:1");
	memset(text, 't', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	pass(&x, 10);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(address, sizeof address, "tcp://%u%.*s:1", i, i % 2 ? 280 : 200, text);
		give(&x, ERR_BUSY, "tcp://a:1", text, address);
		pass(&x, x.now_ms + 10);
	}
	assert_int_equal(pass(&x, PATIENCE_MS), JOINER_FAILED);
	assert_true(strlen(joiner_text(x.joiner)) > 1000);
	end(&x);
}

/* ---- what members answer ---- */

#define TOKEN "token-----------"

struct asking {
	struct fixture fixture;
	struct join_view view;
	Coordfs__JoinRequest request;
	Coordfs__JoinResult result;
};

static uint64_t member_put(struct fixture *f, const char *name)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__MemberAdd q = COORDFS__MEMBER_ADD__INIT;
	command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	command.member_add = &q;
	q.name = (char *)name;
	q.address = (char *)"tcp://new:1";
	q.token = (ProtobufCBinaryData){16, (uint8_t *)TOKEN};
	q.level = LEVEL_LATEST;
	return (uint64_t)fixture_apply_as(f, 0, 0, &command).value;
}

static int setup(void **state)
{
	static struct asking a;
	a = (struct asking){0};
	fixture_init(&a.fixture);
	a.view = (struct join_view){.machine = a.fixture.machine, .leads = true, .own_address = "tcp://us:1",
				    .protocol = 1, .own_protocol = 1};
	coordfs__join_request__init(&a.request);
	a.request.name = (char *)"new";
	a.request.address = (char *)"tcp://new:1";
	a.request.token = (ProtobufCBinaryData){16, (uint8_t *)TOKEN};
	a.request.asked = (char *)"tcp://us:1";
	a.request.level = LEVEL_LATEST;
	*state = &a;
	return 0;
}

static int teardown(void **state)
{
	fixture_fini(&((struct asking *)*state)->fixture);
	return 0;
}

static void assert_answer(struct asking *a, enum join_decision decision, int code, const char *text,
			  const char *address)
{
	assert_int_equal(join_decide(&a->view, &a->request, &a->result), decision);
	assert_int_equal(a->result.code, code);
	assert_string_equal(a->result.address, address);
	assert_string_equal(a->result.asked, "tcp://us:1");
	if (!strstr(a->result.text, text))
		fail_msg("%s: should be: %s", a->result.text, text);
}

static void test_a_leader_lets_a_new_member_in(void **state)
{
	struct asking *a = *state;
	assert_answer(a, JOIN_PROPOSE, ERR_BUSY, "letting this member in", "tcp://us:1");
	uint64_t id = member_put(&a->fixture, "new");
	assert_answer(a, JOIN_ANSWER, OK, "", "");
	assert_int_equal(a->result.id, id);
}

static void test_a_member_that_moved_is_put_again(void **state)
{
	struct asking *a = *state;
	member_put(&a->fixture, "new");
	a->request.address = (char *)"tcp://moved:1";
	assert_answer(a, JOIN_PROPOSE, ERR_BUSY, "letting this member in", "tcp://us:1");
}

static void test_a_name_is_taken_once(void **state)
{
	struct asking *a = *state;
	member_put(&a->fixture, "new");
	a->request.token.data = (uint8_t *)"another token---";
	assert_answer(a, JOIN_ANSWER, ERR_EXISTS, "has a member of that name", "");
	a->view.leads = false;
	a->view.leader_address = "tcp://leader:1";
	assert_answer(a, JOIN_ANSWER, ERR_BUSY, "does not lead", "tcp://leader:1");
}

static void test_others_say_where_the_leader_is(void **state)
{
	struct asking *a = *state;
	a->view.leads = false;
	assert_answer(a, JOIN_ANSWER, ERR_BUSY, "no leader", "");
	a->view.leader_address = "tcp://leader:1";
	assert_answer(a, JOIN_ANSWER, ERR_BUSY, "does not lead", "tcp://leader:1");
	a->view.leader_address = "";
	assert_answer(a, JOIN_ANSWER, ERR_BUSY, "listens to nobody", "");
	a->view.machine = NULL;
	assert_answer(a, JOIN_ANSWER, ERR_BUSY, "starting", "");
}

static void test_what_can_never_be_is_refused(void **state)
{
	struct asking *a = *state;
	a->request.name = (char *)"a b";
	assert_answer(a, JOIN_ANSWER, ERR_INVALID, "name=", "");
	a->request.name = (char *)"new";
	a->request.token.len = 15;
	assert_answer(a, JOIN_ANSWER, ERR_INVALID, "malformed", "");
	a->request.token.len = 16;
	a->request.level = LEVEL_LATEST - 1;
	assert_answer(a, JOIN_ANSWER, ERR_NOT_SUPPORTED, "too old", "");
	a->request.level = LEVEL_LATEST + 1;
	assert_answer(a, JOIN_PROPOSE, ERR_BUSY, "letting", "tcp://us:1");
	a->view.protocol = 2;
	assert_answer(a, JOIN_ANSWER, ERR_NOT_SUPPORTED, "older version", "");
	a->request.address = (char *)"";
	assert_int_equal(join_decide(&a->view, &a->request, &a->result), JOIN_IGNORE);
	a->request.address = (char *)"tcp://a b:1";
	assert_int_equal(join_decide(&a->view, &a->request, &a->result), JOIN_IGNORE);
}

static void test_a_full_cluster_refuses(void **state)
{
	struct asking *a = *state;
	char name[16];
	a->fixture.check = false;
	for (unsigned i = 0; i < LIMIT_MEMBERS; i++) {
		snprintf(name, sizeof name, "m%u", i);
		member_put(&a->fixture, name);
	}
	assert_answer(a, JOIN_ANSWER, ERR_QUOTA, "as many members as there can be", "");
	a->request.name = (char *)"m7";
	assert_answer(a, JOIN_ANSWER, OK, "", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_asks_in_turn_and_again),
		cmocka_unit_test(test_rounds_are_further_and_further_apart),
		cmocka_unit_test(test_bad_lists_are_refused),
		cmocka_unit_test(test_the_leader_is_asked_next),
		cmocka_unit_test(test_two_that_send_to_each_other),
		cmocka_unit_test(test_a_leader_that_is_silent_is_not_waited_for),
		cmocka_unit_test(test_a_refusal_is_the_end),
		cmocka_unit_test(test_a_malformed_answer_is_none),
		cmocka_unit_test(test_giving_up_says_what_was_seen),
		cmocka_unit_test(test_long_answers_are_cut),
		TEST(test_a_leader_lets_a_new_member_in),
		TEST(test_a_member_that_moved_is_put_again),
		TEST(test_a_name_is_taken_once),
		TEST(test_others_say_where_the_leader_is),
		TEST(test_what_can_never_be_is_refused),
		TEST(test_a_full_cluster_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
