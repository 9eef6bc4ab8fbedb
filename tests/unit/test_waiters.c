/* Requests for locks: what the log says, when it says nothing, when the session ends at the worst moment. The machine is
 * the real one; the replica and the kernel are this file's own. */

#include "machine_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <utlist.h>

#include "front/notes.h"
#include "front/owed.h"
#include "front/transactions.h"
#include "front/waiters.h"

/* ---- the kernel ---- */

struct fuse_req {
	bool answered, interrupted;
	int error;
	fuse_interrupt_func_t func;
	void *data;
};

int fuse_reply_err(fuse_req_t req, int err)
{
	assert_false(req->answered);
	req->answered = true;
	req->error = err;
	return 0;
}

void fuse_reply_none(fuse_req_t req)
{
	(void)req; /* its test is over */
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	req->func = func;
	req->data = data;
}

int fuse_req_interrupted(fuse_req_t req)
{
	return req->interrupted;
}

static void interrupt(fuse_req_t req)
{
	req->interrupted = true;
	if (req->func)
		req->func(req, req->data);
}

/* ---- the replica ---- */

struct proposal {
	struct proposal *prev, *next;
	uint64_t session, sequence; /* session 0: the next one */
	Coordfs__Command *command;
	replica_done done;
	void *ctx;
};

struct replica {
	struct fixture machine;
	uint64_t session, sequence;
	bool has_leader;
	struct world *finds_it_lost; /* at the next proposal: whose session that is */
	struct proposal *list;
};

static void lose_session(struct world *w);

uint64_t replica_propose(struct replica *r, const Coordfs__Command *command, replica_done done, void *ctx)
{
	struct proposal *p = calloc(1, sizeof *p);
	size_t size = coordfs__command__get_packed_size(command);
	uint8_t *packed = malloc(size + 1);

	assert_non_null(p);
	assert_non_null(packed);
	if (r->finds_it_lost)
		lose_session(r->finds_it_lost);
	r->finds_it_lost = NULL;
	coordfs__command__pack(command, packed);
	p->command = coordfs__command__unpack(NULL, size, packed);
	free(packed);
	p->session = r->session;
	p->sequence = ++r->sequence;
	p->done = done;
	p->ctx = ctx;
	DL_APPEND(r->list, p);
	return p->sequence;
}

struct machine *replica_machine(struct replica *r)
{
	return r->machine.machine;
}

const char *replica_member(const struct replica *r)
{
	(void)r;
	return "one";
}

uint64_t replica_session(const struct replica *r)
{
	return r->session;
}

const char *replica_leader(struct replica *r)
{
	return r->has_leader ? "one" : NULL;
}

int replica_read_barrier(struct replica *r, void (*ready)(void *ctx, int code), void *ctx)
{
	(void)r, (void)ready, (void)ctx;
	return OK;
}

/* ---- a front of one file, beside a rival on another host ---- */

struct world {
	uv_loop_t loop;
	struct replica replica;
	struct front front;
	uint64_t inode, rival;
	struct fuse_req *crowd;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct fixture *m;

	assert_non_null(w);
	m = &w->replica.machine;
	uv_loop_init(&w->loop);
	fixture_init(m);
	w->rival = fixture_open(m, "two");
	w->replica.session = fixture_open(m, "one");
	w->replica.has_leader = true;
	w->inode = fixture_create(m, INODE_LOCKS, "l", S_IFREG | 0666, false).inode;
	w->replica.sequence = m->sequence;
	w->front = (struct front){.loop = &w->loop, .replica = &w->replica, .config.timeout_ms = 2000};
	w->front.session = (void *)w; /* mounted */
	w->front.handles = handles_new();
	w->front.notes = notes_new();
	assert_int_equal(owed_new(&w->front), OK);
	assert_int_equal(waiters_new(&w->front), OK);
	assert_int_equal(transactions_new(&w->front), OK);
	*state = w;
	return 0;
}

static struct proposal take(struct world *w)
{
	struct proposal *p = w->replica.list, copy;

	assert_non_null(p);
	DL_DELETE(w->replica.list, p);
	copy = *p;
	free(p);
	return copy;
}

static void finish(struct proposal *p, const struct reply *reply)
{
	coordfs__command__free_unpacked(p->command, NULL);
	if (p->done)
		p->done(p->ctx, reply);
}

static void refuse(struct world *w, int code)
{
	struct proposal p = take(w);
	struct reply reply = {.code = code};

	finish(&p, &reply);
}

static int teardown(void **state)
{
	struct world *w = *state;

	waiters_stop(&w->front);
	owed_stop(&w->front);
	transactions_stop(&w->front);
	while (w->replica.list)
		refuse(w, ERR_NO_QUORUM);
	waiters_free(&w->front);
	owed_free(&w->front);
	handles_free(w->front.handles);
	notes_free(w->front.notes);
	transactions_free(&w->front);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	fixture_fini(&w->replica.machine);
	free(w->crowd);
	free(w);
	return 0;
}

/* ---- the log ---- */

static void tell_events(struct world *w)
{
	struct fixture *m = &w->replica.machine;
	struct event events[FIXTURE_EVENTS];
	size_t count = m->event_count;

	memcpy(events, m->events, sizeof events);
	for (size_t i = 0; i < count; i++)
		front_event(&w->front, &events[i]);
}

/* The oldest proposal is applied; silent: nobody is told. */
static struct reply apply_oldest(struct world *w, bool silent, struct proposal *p)
{
	struct reply reply;

	*p = take(w);
	reply = fixture_apply_as(&w->replica.machine, p->session ? p->session : w->replica.session, p->sequence,
				 p->command);
	if (!silent)
		tell_events(w);
	return reply;
}

static int apply(struct world *w)
{
	struct proposal p;
	struct reply reply = apply_oldest(w, false, &p);

	finish(&p, &reply);
	return reply.code;
}

static void apply_all(struct world *w)
{
	while (w->replica.list)
		apply(w);
}

/* It is in the log, but its answer is lost, or comes in another form. */
static void apply_and_answer(struct world *w, int code)
{
	struct proposal p;
	struct reply reply = {.code = code};

	apply_oldest(w, false, &p);
	finish(&p, &reply);
}

static int rival_asks(struct world *w, enum lock_mode mode, bool silent)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockRequest q = COORDFS__LOCK_REQUEST__INIT;
	static uint64_t sequence;
	struct reply reply;

	q.inode = w->inode;
	q.kind = LOCK_KIND_FLOCK;
	q.mode = mode;
	q.end = UINT64_MAX;
	q.owner = q.handle = 4711;
	q.wait = mode != LOCK_MODE_UNLOCK;
	command.of_case = COORDFS__COMMAND__OF_LOCK;
	command.lock = &q;
	reply = fixture_apply_as(&w->replica.machine, w->rival, ++sequence, &command);
	if (!silent)
		tell_events(w);
	return reply.code;
}

static void rival_takes(struct world *w)
{
	assert_int_equal(rival_asks(w, LOCK_MODE_EXCLUSIVE, false), OK);
}

static void rival_gives(struct world *w)
{
	assert_int_equal(rival_asks(w, LOCK_MODE_UNLOCK, false), OK);
}

/* ---- sessions ---- */

/* Noticed by the clock. */
static void lose_session(struct world *w)
{
	struct event event = {.type = EVENT_SESSION_END, .session = w->replica.session};

	front_event(&w->front, &event);
	w->replica.session = 0;
	w->replica.sequence = 0;
}

/* Its end is in the log, and a new one is open. What was proposed and not applied is answered. */
static void new_session(struct world *w)
{
	struct proposal *p, *next;
	struct reply stale = {.code = ERR_STALE};

	w->replica.session = fixture_open(&w->replica.machine, "one");
	tell_events(w);
	DL_FOREACH_SAFE (w->replica.list, p, next) {
		struct proposal copy = *p;

		if (p->session == 0)
			continue;
		DL_DELETE(w->replica.list, p);
		free(p);
		finish(&copy, &stale);
	}
}

/* ---- callers ---- */

static struct handle *open_file(struct world *w)
{
	struct handle *h = handle_new(w->front.handles, w->inode, KIND_FILE, O_RDWR, 1);

	assert_non_null(h);
	return h;
}

static void ask(struct world *w, fuse_req_t req, struct handle *h, enum lock_mode mode, bool wait)
{
	Coordfs__LockRequest lock = COORDFS__LOCK_REQUEST__INIT;

	*req = (struct fuse_req){0};
	lock.kind = LOCK_KIND_FLOCK;
	lock.mode = mode;
	lock.end = UINT64_MAX;
	lock.wait = wait;
	lock.pid = 12;
	waiters_ask(&w->front, req, h, 1000 + h->number, &lock);
}

static void lock(struct world *w, fuse_req_t req, struct handle *h)
{
	ask(w, req, h, LOCK_MODE_EXCLUSIVE, true);
}

static void assert_answer(fuse_req_t req, int error)
{
	assert_true(req->answered);
	assert_int_equal(req->error, error);
}

/* Let time pass until the request is answered, or something is proposed. */
static void run_until(struct world *w, const bool *flag)
{
	uint64_t end = uv_hrtime() + 5000000000u;

	while (flag ? !*flag : !w->replica.list) {
		assert_true(uv_hrtime() < end);
		uv_run(&w->loop, UV_RUN_ONCE);
	}
}

struct tally {
	uint64_t session;
	unsigned holders, waiters;
};

static int count_lock(void *ctx, const struct lock_info *lock)
{
	struct tally *t = ctx;

	if (lock->session == t->session) {
		t->holders += lock->token != 0;
		t->waiters += lock->token == 0;
	}
	return 0;
}

/* What this mount has in the log. */
static void assert_locks(struct world *w, unsigned holders, unsigned waiters)
{
	struct tally t = {.session = w->replica.session};

	machine_locks(w->replica.machine.machine, w->inode, count_lock, &t);
	assert_int_equal(t.holders, holders);
	assert_int_equal(t.waiters, waiters);
}

/* ---- plain ---- */

static void test_granted_at_once(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	lock(w, &req, h);
	assert_false(h->holds_flock);
	assert_int_equal(apply(w), OK);
	assert_answer(&req, 0);
	assert_true(h->holds_flock);
	ask(w, &req, h, LOCK_MODE_UNLOCK, false);
	apply(w);
	assert_answer(&req, 0);
	assert_false(handle_has_asked(h));
}

static void test_granted_later(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	assert_int_equal(apply(w), QUEUED);
	assert_false(req.answered);
	rival_gives(w);
	assert_answer(&req, 0);
	assert_locks(w, 1, 0);
}

static void test_held_by_another(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	rival_takes(w);
	ask(w, &req, h, LOCK_MODE_EXCLUSIVE, false);
	apply(w);
	assert_answer(&req, EWOULDBLOCK);
	assert_false(handle_has_asked(h));
}

/* ---- interrupted ---- */

static void test_withdrawn(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply(w);
	interrupt(&req);
	assert_false(req.answered);
	apply(w);
	assert_answer(&req, EINTR);
	assert_locks(w, 0, 0);
}

/* The grant comes first in the log: it is held, and not given back. */
static void test_granted_before_it_is_withdrawn(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply(w);
	interrupt(&req);
	rival_gives(w);
	assert_answer(&req, 0);
	assert_int_equal(apply(w), ERR_NOT_FOUND);
	assert_null(w->replica.list);
	assert_locks(w, 1, 0);
}

/* Interrupted before the log has even answered. */
static void test_interrupted_while_asked(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	lock(w, &req, open_file(w));
	interrupt(&req);
	apply_all(w);
	assert_answer(&req, 0);
	assert_locks(w, 1, 0);
}

/* Nobody leads: EINTR at once. What is granted then is given back, whatever it takes. */
static void test_abandoned_and_granted(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply(w);
	w->replica.has_leader = false;
	interrupt(&req);
	assert_answer(&req, EINTR);
	refuse(w, ERR_NO_QUORUM);
	rival_gives(w);
	assert_locks(w, 1, 0);
	run_until(w, NULL);
	refuse(w, ERR_NO_SPACE);
	run_until(w, NULL);
	assert_int_equal(apply(w), ERR_NOT_FOUND);
	refuse(w, ERR_TIMED_OUT);
	run_until(w, NULL);
	apply_all(w);
	assert_locks(w, 0, 0);
}

/* The log does not answer: EINTR after a moment. Whoever asks through the same handle must not meet the old request. */
static void test_the_next_request_is_kept_back(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req, next;

	rival_takes(w);
	lock(w, &req, h);
	apply(w);
	interrupt(&req);
	run_until(w, &req.answered);
	assert_answer(&req, EINTR);
	rival_gives(w);
	lock(w, &next, h);
	apply_all(w); /* withdrawn in vain; given back */
	assert_false(next.answered);
	assert_locks(w, 0, 0);
	run_until(w, NULL);
	apply(w);
	assert_answer(&next, 0);
	assert_locks(w, 1, 0);
}

static void test_kept_back_for_a_limited_time(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req, next, third;

	rival_takes(w);
	lock(w, &req, h);
	apply(w);
	w->replica.has_leader = false;
	interrupt(&req);
	lock(w, &next, h);
	lock(w, &third, h);
	interrupt(&third);
	assert_answer(&third, EINTR);
	run_until(w, &next.answered);
	assert_answer(&next, EHOSTUNREACH);
}

/* ---- delayed ---- */

static void assert_proposed(const struct world *w, int count)
{
	const struct proposal *p;
	int proposed;

	DL_COUNT(w->replica.list, p, proposed);
	assert_int_equal(proposed, count);
}

enum { QUEUE = 32, LATE = QUEUE + 1 };

/* One has it, many wait: whoever comes then has time. */
static struct fuse_req *long_queue(struct world *w, struct handle **holder)
{
	struct fuse_req *reqs = calloc(LATE + 1, sizeof *reqs);

	assert_non_null(reqs);
	w->crowd = reqs;
	*holder = open_file(w);
	lock(w, &reqs[0], *holder);
	apply(w);
	for (int i = 1; i <= QUEUE; i++) {
		lock(w, &reqs[i], open_file(w));
		assert_int_equal(apply(w), QUEUED);
	}
	lock(w, &reqs[LATE], open_file(w));
	assert_proposed(w, 0);
	return reqs;
}

static void test_who_waits_anyway_is_in_nobodys_way(void **state)
{
	struct world *w = *state;
	struct handle *holder;
	struct fuse_req *reqs = long_queue(w, &holder), give;

	ask(w, &give, holder, LOCK_MODE_UNLOCK, false);
	assert_proposed(w, 1);
	assert_int_equal(apply(w), OK);
	assert_answer(&give, 0);
	assert_answer(&reqs[1], 0);
	run_until(w, NULL);
	assert_int_equal(apply(w), QUEUED);
	assert_false(reqs[LATE].answered);
	assert_locks(w, 1, QUEUE);
}

/* Who came first is asked for first. */
static void test_nobody_overtakes_who_is_delayed(void **state)
{
	struct world *w = *state;
	uint64_t other = fixture_create(&w->replica.machine, INODE_LOCKS, "m", S_IFREG | 0666, false).inode;
	struct handle *holder, *h = handle_new(w->front.handles, other, KIND_FILE, O_RDWR, 1);
	struct fuse_req *reqs, next;

	assert_non_null(h);
	w->replica.sequence = w->replica.machine.sequence;
	reqs = long_queue(w, &holder);
	lock(w, &next, h);
	assert_proposed(w, 2);
	assert_int_equal(apply(w), QUEUED);
	assert_false(next.answered);
	assert_int_equal(apply(w), OK);
	assert_answer(&next, 0);
	assert_false(reqs[LATE].answered);
}

static void test_who_waits_anyway_does_not_wait_for_long(void **state)
{
	struct world *w = *state;
	struct handle *holder;
	uint64_t begin = uv_hrtime();

	long_queue(w, &holder);
	run_until(w, NULL);
	assert_true(uv_hrtime() - begin < 1000000000u);
	assert_int_equal(apply(w), QUEUED);
	assert_locks(w, 1, LATE);
}

static void test_delayed_and_interrupted(void **state)
{
	struct world *w = *state;
	struct handle *holder;
	struct fuse_req *reqs = long_queue(w, &holder), give;

	interrupt(&reqs[LATE]);
	assert_answer(&reqs[LATE], EINTR);
	ask(w, &give, holder, LOCK_MODE_UNLOCK, false);
	assert_proposed(w, 1);
	apply_all(w);
	assert_locks(w, 1, QUEUE - 1);
}

static void test_delayed_and_the_session_is_over(void **state)
{
	struct world *w = *state;
	struct handle *holder;

	long_queue(w, &holder);
	lose_session(w);
	new_session(w);
	run_until(w, NULL);
	assert_proposed(w, LATE); /* all who wait */
	apply_all(w);
	assert_locks(w, 1, QUEUE);
}

/* With few in front it could be his turn before. */
static void test_behind_few_nobody_is_delayed(void **state)
{
	struct world *w = *state;
	struct fuse_req reqs[QUEUE + 1];

	for (int i = 0; i <= QUEUE; i++) {
		lock(w, &reqs[i], open_file(w));
		assert_proposed(w, 1);
		apply(w);
	}
	assert_locks(w, 1, QUEUE);
}

/* What he has, others may wait for. */
static void test_a_conversion_is_not_delayed(void **state)
{
	struct world *w = *state;
	struct fuse_req *reqs = calloc(QUEUE + 3, sizeof *reqs);
	struct handle *a = open_file(w), *b = open_file(w);

	assert_non_null(reqs);
	w->crowd = reqs;
	ask(w, &reqs[QUEUE], a, LOCK_MODE_SHARED, true);
	ask(w, &reqs[QUEUE + 1], b, LOCK_MODE_SHARED, true);
	apply_all(w);
	for (int i = 0; i < QUEUE; i++)
		lock(w, &reqs[i], open_file(w));
	apply_all(w);
	lock(w, &reqs[QUEUE], a);
	assert_proposed(w, 1);
	assert_int_equal(apply(w), QUEUED);
	ask(w, &reqs[QUEUE + 1], b, LOCK_MODE_UNLOCK, false);
	apply(w);
	assert_answer(&reqs[0], 0);
}

/* ---- a crowd ---- */

enum { CROWD = 10000 };

/* So many ask, each through a handle of his own. Returns the processor's time for it, in nanoseconds. */
static uint64_t crowd_asks(struct world *w, struct fuse_req *reqs)
{
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (int i = 0; i < CROWD; i++)
		lock(w, &reqs[i], open_file(w));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000u + (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec;
}

/* Those who ask do not pay for the many whose requests were abandoned, and are still to be withdrawn. */
static void test_a_crowd_is_abandoned(void **state)
{
	struct world *w = *state;
	uint64_t alone_ns, beside_ns;

	w->crowd = calloc(2 * CROWD, sizeof *w->crowd);
	assert_non_null(w->crowd);
	alone_ns = crowd_asks(w, w->crowd);
	w->replica.has_leader = false;
	for (int i = 0; i < CROWD; i++)
		interrupt(&w->crowd[i]);
	assert_answer(&w->crowd[CROWD - 1], EINTR);
	beside_ns = crowd_asks(w, w->crowd + CROWD);
	print_message("%d ask in %u us, beside as many abandoned in %u us\n", CROWD, (unsigned)(alone_ns / 1000),
		      (unsigned)(beside_ns / 1000));
	assert_true(beside_ns < 10 * alone_ns);
}

/* ---- refused ---- */

static void test_refused(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	lock(w, &req, open_file(w));
	refuse(w, ERR_NO_QUORUM);
	assert_answer(&req, EHOSTUNREACH);
	assert_null(w->replica.list);
	lock(w, &req, open_file(w));
	refuse(w, ERR_NO_SPACE);
	assert_answer(&req, ENOSPC);
}

/* It was granted, and nobody knew. */
static void test_unknown_and_granted(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	lock(w, &req, open_file(w));
	apply_and_answer(w, ERR_TIMED_OUT);
	assert_answer(&req, ETIMEDOUT);
	assert_locks(w, 1, 0);
	apply_all(w);
	assert_locks(w, 0, 0);
}

static void test_unknown_and_waiting(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply_and_answer(w, ERR_TIMED_OUT);
	assert_answer(&req, ETIMEDOUT);
	assert_locks(w, 0, 1);
	apply_all(w);
	assert_locks(w, 0, 0);
}

/* ---- the session is over ---- */

static void test_a_waiter_is_asked_for_again(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, h);
	apply(w);
	lose_session(w);
	assert_false(req.answered);
	new_session(w);
	run_until(w, NULL);
	assert_int_equal(apply(w), QUEUED);
	assert_locks(w, 0, 1);
	rival_gives(w);
	assert_answer(&req, 0);
	assert_false(h->lost);
}

static void test_a_holder_loses(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w), *other = open_file(w);
	struct fuse_req req;

	lock(w, &req, h);
	apply(w);
	assert_answer(&req, 0);
	lose_session(w);
	assert_true(h->lost);
	assert_false(other->lost);
}

/* One who wants more of a file than he holds has lost what he held. */
static void test_a_holder_who_asks_loses(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	ask(w, &req, h, LOCK_MODE_SHARED, true);
	apply(w);
	lock(w, &req, h);
	lose_session(w);
	assert_answer(&req, ESTALE);
}

/* The process slept, and proposing is what finds that out. */
static void test_asking_finds_the_lock_lost(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	ask(w, &req, h, LOCK_MODE_SHARED, true);
	apply(w);
	w->replica.finds_it_lost = w;
	lock(w, &req, h);
	assert_answer(&req, ESTALE);
}

/* What was proposed then is of the next session; nobody waits for it, but the same is asked for again. */
static void test_asking_finds_the_session_over(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	w->replica.finds_it_lost = w;
	lock(w, &req, open_file(w));
	assert_false(req.answered);
	new_session(w);
	apply(w);
	run_until(w, NULL);
	apply(w);
	assert_false(req.answered);
	rival_gives(w);
	assert_answer(&req, 0);
}

/* flock gave up the shared lock before it waited: nothing was held. */
static void test_a_conversion_goes_on(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	ask(w, &req, h, LOCK_MODE_SHARED, true);
	apply(w);
	assert_int_equal(rival_asks(w, LOCK_MODE_SHARED, false), OK);
	lock(w, &req, h);
	assert_int_equal(apply(w), QUEUED);
	lose_session(w);
	assert_false(h->lost);
	new_session(w);
	run_until(w, NULL);
	rival_gives(w);
	apply_all(w);
	assert_answer(&req, 0);
}

/* Granted in the log, then the session ends, then the answer would have come. */
static void test_granted_but_not_told(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;
	struct proposal p;
	struct reply reply;

	lock(w, &req, h);
	reply = apply_oldest(w, false, &p);
	assert_int_equal(reply.code, OK);
	lose_session(w);
	finish(&p, &reply);
	assert_false(req.answered);
	assert_false(h->lost);
	new_session(w);
	assert_locks(w, 0, 0);
	run_until(w, NULL);
	apply(w);
	assert_answer(&req, 0);
	assert_locks(w, 1, 0);
}

/* It came too late for its session. */
static void test_asked_and_stale(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	lock(w, &req, open_file(w));
	lose_session(w);
	new_session(w);
	assert_false(req.answered);
	run_until(w, NULL);
	apply(w);
	assert_answer(&req, 0);
}

/* Sequences begin anew: a late grant of the old session is not one of the new. */
static void test_a_late_grant_of_the_old_session(void **state)
{
	struct world *w = *state;
	struct event late = {.type = EVENT_GRANT, .session = w->replica.session};
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	lose_session(w);
	run_until(w, &(bool){true});
	new_session(w);
	run_until(w, NULL);
	late.sequence = w->replica.list->sequence;
	apply(w);
	front_event(&w->front, &late);
	assert_false(req.answered);
	rival_gives(w);
	assert_answer(&req, 0);
}

/* The end comes by the clock and then with the log: only the first one counts. */
static void test_over_once(void **state)
{
	struct world *w = *state;
	struct event again = {.type = EVENT_SESSION_END, .session = w->replica.session};
	struct fuse_req req;

	lock(w, &req, open_file(w));
	front_event(&w->front, &again);
	assert_int_equal(w->front.epoch, 1);
	front_event(&w->front, &again);
	assert_int_equal(w->front.epoch, 1);
}

static void test_interrupted_between_sessions(void **state)
{
	struct world *w = *state;
	struct fuse_req waiting, asked;

	rival_takes(w);
	lock(w, &waiting, open_file(w));
	apply(w);
	lose_session(w);
	interrupt(&waiting);
	assert_answer(&waiting, EINTR);
	lock(w, &asked, open_file(w)); /* for the session to come */
	interrupt(&asked);
	assert_answer(&asked, EINTR);
	new_session(w);
	apply_all(w);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	apply_all(w);
	assert_locks(w, 0, 0);
}

static void test_interrupted_and_over(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply(w);
	interrupt(&req);
	lose_session(w);
	assert_answer(&req, EINTR);
	new_session(w);
	assert_null(w->replica.list);
}

static void test_who_does_not_wait(void **state)
{
	struct world *w = *state;
	struct fuse_req tries, unlocks;

	ask(w, &tries, open_file(w), LOCK_MODE_EXCLUSIVE, false);
	ask(w, &unlocks, open_file(w), LOCK_MODE_UNLOCK, false);
	lose_session(w);
	assert_answer(&tries, EHOSTUNREACH);
	assert_answer(&unlocks, 0);
}

/* Without a majority for long: one that waited goes on waiting. */
static void test_it_stays(void **state)
{
	struct world *w = *state;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, open_file(w));
	apply(w);
	lose_session(w);
	new_session(w);
	run_until(w, NULL);
	refuse(w, ERR_NO_QUORUM);
	assert_false(req.answered);
	run_until(w, NULL);
	apply_and_answer(w, ERR_TIMED_OUT); /* it does wait there */
	assert_false(req.answered);
	assert_int_equal(apply(w), OK); /* the first is withdrawn for certain */
	run_until(w, NULL);
	assert_int_equal(apply(w), QUEUED);
	assert_locks(w, 0, 1);
	rival_gives(w);
	assert_answer(&req, 0);
}

/* ---- what is owed ---- */

static void close_file(struct world *w, struct handle *h)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockDrop drop = COORDFS__LOCK_DROP__INIT;

	drop.inode = w->inode;
	drop.handle = h->number;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	handle_propose_unasked(&w->front, h, &command, true);
	handle_free(w->front.handles, h);
}

static void test_a_close_is_repeated(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	lock(w, &req, h);
	apply(w);
	close_file(w, h);
	assert_non_null(handles_unsettled(w->front.handles, w->inode));
	refuse(w, ERR_NO_QUORUM);
	assert_null(handles_unsettled(w->front.handles, w->inode)); /* nobody waits for long */
	assert_locks(w, 1, 0);
	run_until(w, NULL);
	refuse(w, ERR_TIMED_OUT);
	run_until(w, NULL);
	apply(w);
	assert_locks(w, 0, 0);
	assert_null(w->replica.list);
}

static void test_nothing_is_owed_to_the_next_session(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	lock(w, &req, h);
	apply(w);
	close_file(w, h);
	refuse(w, ERR_NO_QUORUM);
	lose_session(w);
	for (int i = 0; i < 3; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_null(w->replica.list);
}

/* ---- restored ---- */

static void silently(struct world *w)
{
	struct proposal p;
	struct reply reply = apply_oldest(w, true, &p);

	(void)reply;
	coordfs__command__free_unpacked(p.command, NULL);
}

static void test_restored_and_granted_meanwhile(void **state)
{
	struct world *w = *state;
	struct fuse_req first, second;

	rival_takes(w);
	lock(w, &first, open_file(w));
	lock(w, &second, open_file(w));
	apply_all(w);
	front_restoring(&w->front);
	rival_asks(w, LOCK_MODE_UNLOCK, true);
	front_restored(&w->front);
	assert_answer(&first, 0);
	assert_false(second.answered);
	assert_locks(w, 1, 1);
}

/* Its request is gone from the state (withdrawn by a close that this process did not survive to see, say). */
static void test_restored_and_gone(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockDrop drop = COORDFS__LOCK_DROP__INIT;
	struct fuse_req req;

	rival_takes(w);
	lock(w, &req, h);
	apply(w);
	drop.inode = w->inode;
	drop.handle = h->number;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &drop;
	replica_propose(&w->replica, &command, NULL, NULL);
	front_restoring(&w->front);
	silently(w);
	front_restored(&w->front);
	run_until(w, NULL);
	assert_int_equal(apply(w), QUEUED);
	rival_gives(w);
	assert_answer(&req, 0);
}

/* The first answer comes again, from before; the grant was in what was missed. */
static void test_restored_before_the_answer(void **state)
{
	struct world *w = *state;
	struct fuse_req req;
	struct proposal p;
	struct reply reply;

	rival_takes(w);
	lock(w, &req, open_file(w));
	front_restoring(&w->front);
	reply = apply_oldest(w, true, &p);
	assert_int_equal(reply.code, QUEUED);
	rival_asks(w, LOCK_MODE_UNLOCK, true);
	front_restored(&w->front);
	assert_false(req.answered);
	finish(&p, &reply);
	assert_answer(&req, 0);
	assert_locks(w, 1, 0);
}

static void test_restored_and_broken_meanwhile(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w), *other = open_file(w);
	struct fuse_req req;
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockBreak q = COORDFS__LOCK_BREAK__INIT;

	lock(w, &req, h);
	apply(w);
	q.inode = w->inode;
	q.token = w->replica.machine.index;
	command.of_case = COORDFS__COMMAND__OF_LOCK_BREAK;
	command.lock_break = &q;
	replica_propose(&w->replica, &command, NULL, NULL);
	front_restoring(&w->front);
	silently(w);
	front_restored(&w->front);
	assert_true(h->lost);
	assert_false(other->lost);
	assert_true(other->changed);
}

static void test_restored_and_still_held(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req req;

	lock(w, &req, h);
	apply(w);
	front_restoring(&w->front);
	front_restored(&w->front);
	assert_false(h->lost);
	assert_true(h->changed);
}

static void test_restored_without_the_session(void **state)
{
	struct world *w = *state;
	struct handle *h = open_file(w);
	struct fuse_req holds, waits;

	lock(w, &holds, h);
	lock(w, &waits, open_file(w));
	apply_all(w);
	front_restoring(&w->front);
	fixture_open(&w->replica.machine, "one"); /* ends the other */
	front_restored(&w->front);
	assert_true(h->lost);
	assert_false(waits.answered);
	assert_int_equal(w->front.epoch, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_granted_at_once),
		CASE(test_granted_later),
		CASE(test_held_by_another),
		CASE(test_withdrawn),
		CASE(test_granted_before_it_is_withdrawn),
		CASE(test_interrupted_while_asked),
		CASE(test_abandoned_and_granted),
		CASE(test_the_next_request_is_kept_back),
		CASE(test_kept_back_for_a_limited_time),
		CASE(test_who_waits_anyway_is_in_nobodys_way),
		CASE(test_nobody_overtakes_who_is_delayed),
		CASE(test_who_waits_anyway_does_not_wait_for_long),
		CASE(test_delayed_and_interrupted),
		CASE(test_delayed_and_the_session_is_over),
		CASE(test_behind_few_nobody_is_delayed),
		CASE(test_a_conversion_is_not_delayed),
		CASE(test_a_crowd_is_abandoned),
		CASE(test_refused),
		CASE(test_unknown_and_granted),
		CASE(test_unknown_and_waiting),
		CASE(test_a_waiter_is_asked_for_again),
		CASE(test_a_holder_loses),
		CASE(test_a_holder_who_asks_loses),
		CASE(test_asking_finds_the_lock_lost),
		CASE(test_asking_finds_the_session_over),
		CASE(test_a_conversion_goes_on),
		CASE(test_granted_but_not_told),
		CASE(test_asked_and_stale),
		CASE(test_a_late_grant_of_the_old_session),
		CASE(test_over_once),
		CASE(test_interrupted_between_sessions),
		CASE(test_interrupted_and_over),
		CASE(test_who_does_not_wait),
		CASE(test_it_stays),
		CASE(test_a_close_is_repeated),
		CASE(test_nothing_is_owed_to_the_next_session),
		CASE(test_restored_and_granted_meanwhile),
		CASE(test_restored_and_gone),
		CASE(test_restored_before_the_answer),
		CASE(test_restored_and_broken_meanwhile),
		CASE(test_restored_and_still_held),
		CASE(test_restored_without_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
