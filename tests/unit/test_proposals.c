/* Proposals and the acceptor: what is sent, when, as what; who is told what. Both halves without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replica/proposals.h"

#define TIMEOUT_MS 10000u
#define SENT_MAX 64u
#define NOT_TOLD 12345
#define CLOCK_NS 1700000000000000000ull

struct sent {
	uint64_t term, stream, position;
	uint64_t session, sequence, answered_below, time_ns;
	Coordfs__Command__OfCase type;
};

struct fixture {
	struct proposals *p;
	struct acceptor *a;
	int code; /* of send */
	struct sent sent[SENT_MAX];
	unsigned count; /* of these, all that were ever sent */
	unsigned wakes;
	uint64_t now_ms;
	bool in_call; /* of something from which no one may be told */
};

struct caller {
	struct fixture *f;
	int code;
	int64_t value;
	unsigned told;
};

static int send(void *ctx, uint64_t term, uint64_t stream, uint64_t position, struct bytes bytes)
{
	struct fixture *f = ctx;
	struct sent *s = &f->sent[f->count % SENT_MAX];
	Coordfs__Entry *e = coordfs__entry__unpack(NULL, bytes.size, bytes.data);
	uint8_t *again;

	assert_non_null(e);
	if (f->code == OK) {
		f->count++;
		*s = (struct sent){term, stream, position, e->session, e->sequence, e->answered_below, e->time_ns,
				   e->command->of_case};
	}
	again = malloc(bytes.size);
	assert_int_equal(coordfs__entry__get_packed_size(e), bytes.size);
	coordfs__entry__pack(e, again);
	assert_memory_equal(again, bytes.data, bytes.size);
	free(again);
	coordfs__entry__free_unpacked(e, NULL);
	return f->code;
}

static uint64_t realtime_ns(void *ctx)
{
	return CLOCK_NS + ((struct fixture *)ctx)->now_ms * 1000000u;
}

static void wake(void *ctx)
{
	((struct fixture *)ctx)->wakes++;
}

static void told(void *ctx, const struct reply *reply)
{
	struct caller *c = ctx;

	assert_false(c->f->in_call);
	c->code = reply->code;
	c->value = reply->value;
	c->told++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct proposals_port port = {f, send, realtime_ns, wake};

	assert_non_null(f);
	f->p = proposals_new(&port, TIMEOUT_MS);
	f->a = acceptor_new();
	assert_true(f->p && f->a);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	proposals_free(f->p);
	acceptor_free(f->a);
	free(f);
	return 0;
}

/* A leader, a session. */
static int setup_serving(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	proposals_set_leader(f->p, 5, 2, 0);
	proposals_set_session(f->p, 77);
	return 0;
}

/* ---- steps ---- */

static Coordfs__Command counter_command(void)
{
	static Coordfs__CounterRequest request = COORDFS__COUNTER_REQUEST__INIT;
	static Coordfs__CounterRequest *requests[] = {&request};
	static Coordfs__CounterUpdate update = COORDFS__COUNTER_UPDATE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	request.kind = COUNTER_ADD;
	request.value = 1;
	update.inode = 300;
	update.n_requests = 1;
	update.requests = requests;
	command.of_case = COORDFS__COMMAND__OF_COUNTER;
	command.counter = &update;
	return command;
}

static Coordfs__Command bare_command(Coordfs__Command__OfCase type)
{
	static Coordfs__LockRequest lock = COORDFS__LOCK_REQUEST__INIT;
	static Coordfs__LockDrop lock_drop = COORDFS__LOCK_DROP__INIT;
	static Coordfs__SessionEnd end = COORDFS__SESSION_END__INIT;
	static Coordfs__SessionOpen open = COORDFS__SESSION_OPEN__INIT;
	static Coordfs__Commit commit = COORDFS__COMMIT__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	command.of_case = type;
	if (type == COORDFS__COMMAND__OF_LOCK)
		command.lock = &lock;
	else if (type == COORDFS__COMMAND__OF_LOCK_DROP)
		command.lock_drop = &lock_drop;
	else if (type == COORDFS__COMMAND__OF_SESSION_END)
		command.session_end = &end;
	else if (type == COORDFS__COMMAND__OF_SESSION_OPEN)
		command.session_open = &open;
	else if (type == COORDFS__COMMAND__OF_COMMIT)
		command.commit = &commit;
	else
		command = counter_command();
	return command;
}

static struct caller caller_of(struct fixture *f)
{
	return (struct caller){.f = f, .code = NOT_TOLD};
}

static uint64_t add_type(struct fixture *f, Coordfs__Command__OfCase type, struct caller *c)
{
	Coordfs__Command command = bare_command(type);
	uint64_t sequence;

	if (c)
		*c = caller_of(f);
	f->in_call = true;
	sequence = proposals_add(f->p, &command, c ? told : NULL, c, f->now_ms);
	f->in_call = false;
	return sequence;
}

static uint64_t add(struct fixture *f, struct caller *c)
{
	return add_type(f, COORDFS__COMMAND__OF_COUNTER, c);
}

static void add_other(struct fixture *f, Coordfs__Command__OfCase type, uint64_t key, struct caller *c)
{
	Coordfs__Command command = bare_command(type);

	*c = caller_of(f);
	f->in_call = true;
	proposals_add_other(f->p, &command, key, told, c, f->now_ms);
	f->in_call = false;
}

static void applied(struct fixture *f, uint64_t session, uint64_t sequence)
{
	struct reply reply = {.code = OK, .value = (int64_t)sequence};

	proposals_applied(f->p, session, sequence, &reply);
}

static void run(struct fixture *f)
{
	proposals_run(f->p, f->now_ms);
}

/* Time passes as on a member that ticks. */
static void pass(struct fixture *f, uint64_t ms)
{
	for (uint64_t end = f->now_ms + ms; f->now_ms < end;) {
		f->now_ms += 100;
		proposals_tick(f->p, f->now_ms);
		run(f);
	}
}

static const struct sent *last(const struct fixture *f)
{
	assert_true(f->count > 0);
	return &f->sent[(f->count - 1) % SENT_MAX];
}

static void result(struct fixture *f, uint64_t expected, int code)
{
	proposals_result(f->p, last(f)->term, last(f)->stream, expected, code, f->now_ms);
}

#define assert_sent(f, i, a_position, a_session, a_sequence, a_answered_below)              \
	do {                                                                                \
		assert_true((f)->count > (i));                                              \
		assert_int_equal((f)->sent[i].position, a_position);                        \
		assert_int_equal((f)->sent[i].session, a_session);                          \
		assert_int_equal((f)->sent[i].sequence, a_sequence);                        \
		assert_int_equal((f)->sent[i].answered_below, a_answered_below);            \
	} while (0)

#define assert_told(c, a_code)                               \
	do {                                                 \
		assert_int_equal((c).told, 1);               \
		assert_int_equal((c).code, a_code);          \
	} while (0)

/* ---- sending and answering ---- */

static void test_in_order(void **state)
{
	struct fixture *f = *state;
	struct caller c[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(add(f, &c[i]), i + 1);
	for (unsigned i = 0; i < 3; i++)
		assert_sent(f, i, i, 77, i + 1, 1);
	assert_int_equal(f->sent[0].term, 5);
	assert_int_equal(f->sent[0].time_ns, realtime_ns(f));
	assert_int_equal(f->sent[0].stream, f->sent[2].stream);
	assert_int_equal(proposals_count(f->p), 3);
	applied(f, 77, 1);
	applied(f, 77, 2);
	assert_told(c[0], OK);
	assert_told(c[1], OK);
	assert_int_equal(c[1].value, 2);
	assert_int_equal(c[2].told, 0);
	add(f, NULL);
	assert_sent(f, 3, 3, 77, 4, 3);
	applied(f, 77, 3);
	applied(f, 77, 4);
	assert_false(proposals_busy(f->p));
}

static void test_applied_of_others_is_nothing(void **state)
{
	struct fixture *f = *state;
	struct caller c;

	add(f, &c);
	applied(f, 76, 1);
	applied(f, 77, 2);
	applied(f, 0, 0);
	assert_int_equal(c.told, 0);
	applied(f, 77, 1);
	applied(f, 77, 1);
	assert_told(c, OK);
}

/* As after a snapshot: some are never seen. */
static void test_applied_out_of_order(void **state)
{
	struct fixture *f = *state;
	struct caller c[6];

	for (unsigned i = 0; i < 6; i++)
		add(f, &c[i]);
	applied(f, 77, 3);
	applied(f, 77, 5);
	applied(f, 77, 4);
	applied(f, 77, 1);
	add(f, NULL);
	assert_int_equal(last(f)->answered_below, 2);
	applied(f, 77, 2);
	applied(f, 77, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_told(c[i], OK);
}

static void test_waits_for_leader_and_session(void **state)
{
	struct fixture *f = *state;
	struct caller c, open;

	assert_int_equal(add(f, &c), 1);
	add_other(f, COORDFS__COMMAND__OF_SESSION_OPEN, 9, &open);
	pass(f, 1000);
	assert_int_equal(f->count, 0);
	proposals_set_leader(f->p, 5, 2, f->now_ms);
	run(f);
	assert_int_equal(f->count, 1);
	assert_sent(f, 0, 0, 0, 0, 0);
	proposals_applied_other(f->p, 8, &(struct reply){0});
	assert_int_equal(open.told, 0);
	proposals_applied_other(f->p, 9, &(struct reply){.value = 77});
	assert_told(open, OK);
	proposals_set_session(f->p, 77);
	run(f);
	assert_sent(f, 1, 1, 77, 1, 1);
}

static void test_way_is_blocked(void **state)
{
	struct fixture *f = *state;

	f->code = QUEUED;
	add(f, NULL);
	add(f, NULL);
	f->code = OK;
	add(f, NULL);
	assert_int_equal(f->count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_sent(f, i, i, 77, i + 1, 1);
}

static uint64_t add_bytes(struct fixture *f, size_t size, struct caller *c)
{
	Coordfs__Write write = COORDFS__WRITE__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	uint64_t sequence;

	if (c)
		*c = caller_of(f);
	write.inode = 300;
	write.data = (ProtobufCBinaryData){size, calloc(1, size)};
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &write;
	f->in_call = true;
	sequence = proposals_add(f->p, &command, c ? told : NULL, c, f->now_ms);
	f->in_call = false;
	free(write.data.data);
	return sequence;
}

static void test_bytes_in_flight(void **state)
{
	struct fixture *f = *state;
	unsigned wakes;

	for (unsigned i = 0; i < 5; i++)
		add_bytes(f, 1 << 20, NULL);
	assert_int_equal(f->count, 2); /* 3 MiB and their heads are more than 3 MiB */
	wakes = f->wakes;
	applied(f, 77, 1);
	assert_true(f->wakes > wakes);
	run(f);
	assert_int_equal(f->count, 3);
	for (unsigned i = 2; i < 6; i++)
		applied(f, 77, i);
	run(f);
	assert_false(proposals_busy(f->p));
}

static void test_count_in_flight(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 1100; i++)
		add(f, NULL);
	assert_int_equal(f->count, 1024);
	applied(f, 77, 1);
	run(f);
	assert_int_equal(f->count, 1025);
	proposals_set_leader(f->p, 6, 3, f->now_ms);
	run(f);
	assert_int_equal(f->count, 1025 + 1024);
	assert_int_equal(last(f)->position, 1023);
	for (unsigned i = 2; i <= 1100; i++) {
		applied(f, 77, i);
		run(f);
	}
	assert_false(proposals_busy(f->p));
	assert_int_equal(f->count, 1025 + 1099);
}

static void test_large_one_goes_alone(void **state)
{
	struct fixture *f = *state;

	add_bytes(f, 8 << 20, NULL);
	add(f, NULL);
	assert_int_equal(f->count, 1);
	applied(f, 77, 1);
	run(f);
	assert_int_equal(f->count, 2);
}

static void test_too_big(void **state)
{
	struct fixture *f = *state;
	struct caller c;

	add_bytes(f, LIMIT_COMMAND_BYTES, &c);
	assert_int_equal(f->count, 0);
	run(f);
	assert_told(c, ERR_TOO_BIG);
	add(f, NULL);
	assert_int_equal(last(f)->answered_below, 2);
}

/* ---- streams ---- */

static void test_new_term_begins_stream(void **state)
{
	struct fixture *f = *state;
	uint64_t stream;

	for (unsigned i = 0; i < 3; i++)
		add(f, NULL);
	stream = last(f)->stream;
	applied(f, 77, 1);
	proposals_set_leader(f->p, 5, 2, 10); /* nothing new */
	run(f);
	assert_int_equal(f->count, 3);
	proposals_set_leader(f->p, 6, 3, 10);
	run(f);
	assert_int_equal(f->count, 5);
	assert_sent(f, 3, 0, 77, 2, 2);
	assert_sent(f, 4, 1, 77, 3, 2);
	assert_true(last(f)->stream > stream);
	assert_int_equal(last(f)->term, 6);
	assert_int_equal(proposals_restarts(f->p), 1);
}

static void test_gap_begins_stream(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++)
		add(f, NULL);
	result(f, 2, OK);
	run(f);
	assert_int_equal(f->count, 4);
	result(f, 2, OK); /* position 3 came, 2 did not */
	run(f);
	assert_int_equal(f->count, 8);
	assert_sent(f, 4, 0, 77, 1, 1);
	assert_true(f->sent[4].stream > f->sent[3].stream);
	/* another answer to the former stream is nothing */
	proposals_result(f->p, 5, f->sent[3].stream, 2, OK, 0);
	run(f);
	assert_int_equal(f->count, 8);
}

static void test_nonsense_results(void **state)
{
	struct fixture *f = *state;

	add(f, NULL);
	result(f, 7, OK);
	result(f, UINT64_MAX, ERR_NO_SPACE);
	proposals_result(f->p, 4, last(f)->stream, 0, OK, 0);
	run(f);
	assert_int_equal(f->count, 1);
}

static void test_silence_begins_stream(void **state)
{
	struct fixture *f = *state;

	add(f, NULL);
	pass(f, 900);
	assert_int_equal(f->count, 1);
	pass(f, 200);
	assert_int_equal(f->count, 2);
	pass(f, 1800); /* the next one takes twice as long */
	assert_int_equal(f->count, 2);
	pass(f, 300);
	assert_int_equal(f->count, 3);
}

static void test_taken_is_not_sent_again_soon(void **state)
{
	struct fixture *f = *state;

	add(f, NULL);
	result(f, 1, OK);
	pass(f, 3900);
	assert_int_equal(f->count, 1);
	pass(f, 300);
	assert_int_equal(f->count, 2);
}

/* ---- who is told what ---- */

static void test_timeouts(void **state)
{
	struct fixture *f = *state;
	struct caller sent, unsent;

	add(f, &sent);
	f->code = ERR_NO_QUORUM;
	pass(f, 5000);
	add(f, &unsent);
	pass(f, 5000);
	assert_int_equal(sent.told, 0);
	pass(f, 200);
	assert_told(sent, ERR_TIMED_OUT);
	pass(f, 5000);
	assert_told(unsent, ERR_NO_QUORUM);
	assert_false(proposals_busy(f->p));
	f->code = OK;
	add(f, NULL);
	assert_int_equal(last(f)->answered_below, 3);
}

/* A leader that says that it is none has not taken it: that is certain. */
static void test_refusal_is_certain(void **state)
{
	struct fixture *f = *state;
	struct caller c[2];

	add(f, &c[0]);
	add(f, &c[1]);
	f->code = ERR_NO_QUORUM;
	result(f, 1, ERR_NO_QUORUM);
	pass(f, TIMEOUT_MS + 200);
	assert_told(c[0], ERR_TIMED_OUT);
	assert_told(c[1], ERR_NO_QUORUM);
}

/* … but not, when it may have been taken before. */
static void test_refusal_after_doubt(void **state)
{
	struct fixture *f = *state;
	struct caller c;

	add(f, &c);
	proposals_set_leader(f->p, 6, 3, 0);
	run(f);
	assert_int_equal(f->count, 2);
	f->code = ERR_NO_QUORUM;
	result(f, 0, ERR_NO_QUORUM);
	pass(f, TIMEOUT_MS + 200);
	assert_told(c, ERR_TIMED_OUT);
}

static void test_refusal_pauses(void **state)
{
	struct fixture *f = *state;

	add(f, NULL);
	result(f, 0, ERR_BUSY);
	run(f);
	assert_int_equal(f->count, 1);
	pass(f, 200);
	assert_int_equal(f->count, 2);
	assert_true(f->sent[1].stream > f->sent[0].stream);
}

static void test_no_space_here(void **state)
{
	struct fixture *f = *state;
	struct caller c[3];

	add(f, &c[0]);
	f->code = ERR_NO_SPACE;
	add(f, &c[1]);
	run(f);
	assert_told(c[1], ERR_NO_SPACE);
	/* the first one may be in the log of term 5: it waits; what comes after it is refused */
	proposals_set_leader(f->p, 6, 2, 0);
	run(f);
	add(f, &c[2]);
	pass(f, 200);
	assert_told(c[2], ERR_NO_SPACE);
	assert_int_equal(c[0].told, 0);
	f->code = OK;
	pass(f, 200);
	assert_sent(f, 1, 0, 77, 1, 1);
}

static void test_no_space_there(void **state)
{
	struct fixture *f = *state;
	struct caller c[3];

	for (unsigned i = 0; i < 3; i++)
		add(f, &c[i]);
	result(f, 1, ERR_NO_SPACE);
	run(f);
	assert_told(c[1], ERR_NO_SPACE);
	assert_int_equal(c[0].told + c[2].told, 0);
	assert_int_equal(f->count, 5); /* the others again, in a new stream */
	assert_sent(f, 3, 0, 77, 1, 1);
	assert_sent(f, 4, 1, 77, 3, 1);
}

static void test_fail(void **state)
{
	struct fixture *f = *state;
	struct caller sent, unsent;

	add(f, &sent);
	f->code = QUEUED;
	add(f, &unsent);
	f->in_call = true;
	proposals_fail(f->p, ERR_TIMED_OUT, ERR_NO_QUORUM);
	f->in_call = false;
	assert_true(proposals_busy(f->p));
	run(f);
	assert_told(sent, ERR_TIMED_OUT);
	assert_told(unsent, ERR_NO_QUORUM);
	assert_false(proposals_busy(f->p));
}

/* ---- sessions ---- */

static void test_session_moves(void **state)
{
	struct fixture *f = *state;
	struct caller lock, drop, commit, end, plain[2], late, later;

	applied(f, 77, add(f, NULL));
	add_type(f, COORDFS__COMMAND__OF_LOCK, &lock);
	add(f, &plain[0]);
	add_type(f, COORDFS__COMMAND__OF_LOCK_DROP, &drop);
	add_type(f, COORDFS__COMMAND__OF_COMMIT, &commit);
	add(f, &plain[1]);
	add_type(f, COORDFS__COMMAND__OF_SESSION_END, &end);
	proposals_lost(f->p);
	add(f, &late); /* not sent in a session that is lost */
	run(f);
	assert_int_equal(f->count, 7);
	f->in_call = true;
	proposals_session_over(f->p);
	f->in_call = false;
	run(f);
	assert_told(plain[0], ERR_NO_QUORUM); /* it may have been meant under a lock */
	assert_told(plain[1], ERR_NO_QUORUM);
	assert_told(lock, ERR_STALE);
	assert_told(commit, ERR_STALE);
	assert_told(drop, OK);
	assert_told(end, OK);
	assert_int_equal(f->count, 7);
	assert_int_equal(add_type(f, COORDFS__COMMAND__OF_LOCK, &later), 2);
	applied(f, 77, 2); /* refused by the machine: of the former session, no one's */
	proposals_set_session(f->p, 90);
	run(f);
	assert_int_equal(f->count, 9);
	for (unsigned i = 0; i < 2; i++) /* the same stream goes on */
		assert_sent(f, 7 + i, 7 + i, 90, 1 + i, 1);
	assert_int_equal(f->sent[8].type, COORDFS__COMMAND__OF_LOCK);
	for (unsigned i = 1; i <= 2; i++)
		applied(f, 90, i);
	assert_told(late, OK);
	assert_told(later, OK);
}

/* What goes over to the next session is not in doubt. */
static void test_moved_is_not_in_doubt(void **state)
{
	struct fixture *f = *state;
	struct caller c;

	proposals_lost(f->p);
	add(f, &c);
	proposals_session_over(f->p);
	pass(f, TIMEOUT_MS + 200);
	assert_told(c, ERR_NO_QUORUM);
}

static void test_restored(void **state)
{
	struct fixture *f = *state;
	struct caller sent, unsent, late;

	add(f, &sent);
	result(f, 1, OK);
	proposals_restored(f->p, true, f->now_ms);
	run(f);
	assert_int_equal(f->count, 2); /* again: the machine has the reply */
	f->code = QUEUED;
	add(f, &unsent);
	proposals_lost(f->p);
	add(f, &late);
	proposals_restored(f->p, false, f->now_ms);
	f->code = OK;
	run(f);
	assert_told(sent, ERR_TIMED_OUT);
	assert_told(unsent, ERR_NO_QUORUM);
	assert_int_equal(late.told, 0);
	proposals_set_session(f->p, 90);
	run(f);
	assert_sent(f, 2, 0, 90, 1, 1);
}

/* The end that a leader proposes is of its own term. */
static void test_end_stays_in_its_term(void **state)
{
	struct fixture *f = *state;
	struct caller end, open;

	add_other(f, COORDFS__COMMAND__OF_SESSION_END, 1, &end);
	add_other(f, COORDFS__COMMAND__OF_SESSION_OPEN, 2, &open);
	assert_int_equal(f->count, 2);
	proposals_set_leader(f->p, 6, 3, 0);
	run(f);
	assert_told(end, ERR_TIMED_OUT);
	assert_int_equal(f->count, 3);
	assert_int_equal(last(f)->type, COORDFS__COMMAND__OF_SESSION_OPEN);
}

/* ---- the acceptor ---- */

static void take(struct fixture *f, uint64_t stream, uint64_t position)
{
	uint64_t expected;

	assert_true(acceptor_wants(f->a, 3, 5, stream, position, &expected));
	assert_int_equal(expected, position);
	acceptor_took(f->a, 3, stream);
}

static void refuse(struct fixture *f, uint64_t stream, uint64_t position, uint64_t may_come)
{
	uint64_t expected;

	assert_false(acceptor_wants(f->a, 3, 5, stream, position, &expected));
	assert_int_equal(expected, may_come);
}

static void test_acceptor(void **state)
{
	struct fixture *f = *state;
	uint64_t expected;

	acceptor_reset(f->a, 5);
	assert_false(acceptor_wants(f->a, 3, 4, 100, 0, &expected));
	assert_int_equal(expected, UINT64_MAX);
	take(f, 100, 0);
	take(f, 100, 1);
	refuse(f, 100, 3, 2);		  /* a gap */
	refuse(f, 100, 1, UINT64_MAX);	  /* a repeat */
	refuse(f, 99, 2, UINT64_MAX);	  /* an older stream */
	take(f, 100, 2);
	refuse(f, 101, 1, 0);		  /* a newer one, whose beginning was lost: */
	refuse(f, 100, 3, UINT64_MAX);	  /* from now on nothing of the older one */
	take(f, 101, 0);
	assert_true(acceptor_wants(f->a, 4, 5, 7, 0, &expected)); /* each sender has its own */
	acceptor_refused(f->a, 3, 101);
	refuse(f, 101, 1, UINT64_MAX); /* also when there would be room again */
	take(f, 102, 0);
	acceptor_reset(f->a, 6);
	assert_true(acceptor_wants(f->a, 3, 6, 50, 0, &expected));
}

/* A member whose clock was set back starts again, in the same term: its streams leap until one is new. */
static void test_clock_set_back(void **state)
{
	struct fixture *f = *state;
	uint64_t expected;
	bool taken = false;

	acceptor_reset(f->a, 5);
	take(f, CLOCK_NS + 60000000000ull, 0);
	for (unsigned i = 0; i < 200 && !taken; i++) {
		if (proposals_count(f->p) == 0)
			add(f, NULL);
		pass(f, 100);
		taken = acceptor_wants(f->a, 3, 5, last(f)->stream, last(f)->position, &expected);
	}
	assert_true(taken);
}

/* The same, when commands are given up before the silence is long enough. */
static void test_silence_of_many(void **state)
{
	struct fixture *f = *state;
	struct proposals_port port = {f, send, realtime_ns, wake};
	uint64_t stream;

	proposals_free(f->p);
	f->p = proposals_new(&port, 700);
	proposals_set_leader(f->p, 5, 2, f->now_ms);
	proposals_set_session(f->p, 77);
	add(f, NULL);
	stream = last(f)->stream;
	for (unsigned i = 0; i < 40; i++) {
		pass(f, 100);
		if (proposals_count(f->p) == 0)
			add(f, NULL);
	}
	assert_true(last(f)->stream > stream + (2ull << 34)); /* it leapt twice */
}

int main(void)
{
#define SERVING(test) cmocka_unit_test_setup_teardown(test, setup_serving, teardown)
	const struct CMUnitTest tests[] = {
		SERVING(test_in_order),
		SERVING(test_applied_of_others_is_nothing),
		SERVING(test_applied_out_of_order),
		cmocka_unit_test_setup_teardown(test_waits_for_leader_and_session, setup, teardown),
		SERVING(test_way_is_blocked),
		SERVING(test_bytes_in_flight),
		SERVING(test_count_in_flight),
		SERVING(test_large_one_goes_alone),
		SERVING(test_too_big),
		SERVING(test_new_term_begins_stream),
		SERVING(test_gap_begins_stream),
		SERVING(test_nonsense_results),
		SERVING(test_silence_begins_stream),
		SERVING(test_taken_is_not_sent_again_soon),
		SERVING(test_timeouts),
		SERVING(test_refusal_is_certain),
		SERVING(test_refusal_after_doubt),
		SERVING(test_refusal_pauses),
		SERVING(test_no_space_here),
		SERVING(test_no_space_there),
		SERVING(test_fail),
		SERVING(test_session_moves),
		SERVING(test_moved_is_not_in_doubt),
		SERVING(test_restored),
		SERVING(test_end_stays_in_its_term),
		SERVING(test_acceptor),
		SERVING(test_clock_set_back),
		SERVING(test_silence_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
