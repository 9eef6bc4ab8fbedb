/* Random commands on the machine and on a reference that is as simple as can be (reference.c): every reply, and after
 * every command the whole state, must be the same. Beside it
 *   a shadow, made from an image of the machine every now and then, takes the same entries: same replies, same hash;
 *   transactions are open, several at a time, whose views must not move, and whose commits must be what the same steps,
 *   done at the commit's place in the log, would have been (transactions.c);
 *   entries come again, late, with gaps in their sequence, from sessions that are over;
 *   in the end the whole log is applied to a new machine: same hash.
 *
 * A failure is shrunk: steps that it does not need are left out. It prints the seed and the steps that are left;
 *     MODEL_SEED=n MODEL_TRACE=1 tests/model/machine_model
 * runs that one and shows each step. MODEL_SEEDS=n runs n seeds; a seed that found something joins `found` below. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compare.h"
#include "members.h"
#include "transactions.h"

#define STEPS 300
#define SESSIONS 4
#define TRANSACTIONS 4
#define EVENTS 4000
#define ULL(x) ((unsigned long long)(x))

static const uint64_t found[] = {0};

struct sent {
	uint8_t *packed;
	size_t size;
	uint64_t session, sequence;
	struct reply reply;
};
struct user {
	uint64_t session, next_sequence, gap, answered;
};
struct run {
	struct chance chance;
	struct memory_machine *machine, *shadow;
	struct reference *reference;
	struct user users[SESSIONS];
	struct model_transaction *transactions[TRANSACTIONS];
	struct sent log[STEPS + 1]; /* entry of index i + 1 */
	uint64_t index, time_ns, next_number;
	struct event events[EVENTS];
	size_t event_count;
	bool check, trace;
	unsigned step;
	const char *what; /* what went wrong; NULL: nothing */
	char text[500];
};

static void fail(struct run *run, const char *what)
{
	if (run->what)
		return;
	snprintf(run->text, sizeof run->text, "%s", what);
	run->what = run->text;
}

/* ---- the machine and its shadow ---- */

static void keep_event(void *ctx, const struct event *event)
{
	struct run *run = ctx;
	if (run->event_count < EVENTS)
		run->events[run->event_count++] = *event;
}

static void breach(void *ctx, const char *what)
{
	fail(ctx, what);
}

static void shadow_apply(struct run *run, struct bytes entry, const struct reply *reply)
{
	struct reply again;
	Coordfs__Meta a, b;
	if (!run->shadow)
		return;
	if (machine_apply(run->shadow->machine, run->index, entry, &again))
		fail(run, "the shadow fails");
	machine_meta(run->machine->machine, &a);
	machine_meta(run->shadow->machine, &b);
	if (memcmp(reply, &again, sizeof again) != 0)
		fail(run, "the shadow replies something else");
	if (a.state_hash != b.state_hash || a.next_inode != b.next_inode || a.next_lock != b.next_lock ||
	    a.time_ns != b.time_ns || a.inodes != b.inodes || a.expiry_tail != b.expiry_tail)
		fail(run, "the shadow's state is another");
}

static struct reply entry_apply(struct run *run, const uint8_t *packed, size_t size)
{
	struct bytes bytes = {packed, size};
	struct reply reply;
	run->event_count = 0;
	if (machine_apply(run->machine->machine, ++run->index, bytes, &reply))
		fail(run, "the machine fails");
	shadow_apply(run, bytes, &reply);
	return reply;
}

/* Each object that this entry changed was told, and nothing else was. */
static bool is_told(const struct run *run, uint64_t inode)
{
	for (size_t i = 0; i < run->event_count; i++) {
		const struct event *e = &run->events[i];
		if ((e->type == EVENT_CHANGE && e->inode == inode) ||
		    (e->type == EVENT_ENTRY && (e->inode == inode || e->child == inode)))
			return true;
	}
	return false;
}

static void check_events(struct run *run)
{
	const struct ref_object *root = reference_object(run->reference, INODE_ROOT);
	for (size_t i = 0; i < REF_OBJECTS && root && run->index > root->created; i++) { /* nobody watched it begin */
		const struct ref_object *o = &run->reference->objects[i];
		if (o->number && (o->modified == run->index) != is_told(run, o->number)) {
			snprintf(run->text, sizeof run->text, "inode %llu: %s", ULL(o->number),
				 o->modified == run->index ? "changed, and nobody was told" : "told of, but not changed");
			run->what = run->text;
		}
	}
}

static void check_state(struct run *run)
{
	const char *what = compare_view(machine_view(run->machine->machine), run->reference);
	if (!what)
		what = compare_tables(run->machine->machine, run->reference);
	if (!what)
		what = compare_records(run->machine, run->reference);
	for (size_t i = 0; i < TRANSACTIONS && !what; i++) /* a view that moved once stays so */
		if (run->transactions[i] && run->step % 4 == 0)
			what = model_compare(run->transactions[i]);
	if (what)
		fail(run, what);
	else
		check_events(run);
	if (run->check)
		machine_check(run->machine->machine, breach, run);
}

/* ---- entries ---- */

static void show(struct run *run, const Coordfs__Command *q, const struct reply *r)
{
	static const char *const words[] = {
		[COORDFS__COMMAND__OF_SESSION_OPEN] = "session_open", [COORDFS__COMMAND__OF_SESSION_END] = "session_end",
		[COORDFS__COMMAND__OF_MEMBER_ADD] = "member_add", [COORDFS__COMMAND__OF_MEMBER_SET] = "member_set",
		[COORDFS__COMMAND__OF_MEMBER_REMOVE] = "member_remove",
		[COORDFS__COMMAND__OF_CLUSTER_RESET] = "cluster_reset", [COORDFS__COMMAND__OF_CREATE] = "create", [COORDFS__COMMAND__OF_REMOVE] = "remove",
		[COORDFS__COMMAND__OF_RENAME] = "rename", [COORDFS__COMMAND__OF_LINK] = "link",
		[COORDFS__COMMAND__OF_SET_ATTR] = "set_attr", [COORDFS__COMMAND__OF_SET_XATTR] = "set_xattr",
		[COORDFS__COMMAND__OF_WRITE] = "write", [COORDFS__COMMAND__OF_COUNTER] = "counter",
		[COORDFS__COMMAND__OF_BOUNDS] = "bounds", [COORDFS__COMMAND__OF_FENCE] = "fence",
		[COORDFS__COMMAND__OF_COMMIT] = "commit", [COORDFS__COMMAND__OF_ABORT] = "abort",
	};
	if (run->trace)
		printf("# %u: entry %llu %s: code %d value %lld inode %llu %s\n", run->step, ULL(run->index),
		       words[q->of_case], r->code, (long long)r->value, ULL(r->inode), r->text);
}

static void expect(struct run *run, const struct reply *is, const struct reply *should)
{
	if (is->code == should->code && (is->code < 0 || (is->inode == should->inode && is->value == should->value &&
							  is->size == should->size)))
		return;
	snprintf(run->text, sizeof run->text, "reply: code %d inode %llu value %lld size %llu, should be %d %llu %lld %llu",
		 is->code, ULL(is->inode), (long long)is->value, ULL(is->size), should->code, ULL(should->inode),
		 (long long)should->value, ULL(should->size));
	run->what = run->text;
}

/* The next sequence of the user, or now and then one that was left out before. */
static uint64_t sequence_take(struct run *run, struct user *u)
{
	if (u->gap > u->answered && chance_one_in(&run->chance, 3)) {
		uint64_t gap = u->gap;
		u->gap = 0;
		return gap;
	}
	if (chance_one_in(&run->chance, 20))
		u->gap = u->next_sequence++;
	if (chance_one_in(&run->chance, 200))
		u->next_sequence += chance_below(&run->chance, 1ull << 40);
	return u->next_sequence++;
}

static uint64_t answered_by(struct run *run, struct user *u, uint64_t sequence)
{
	uint64_t lowest = u->gap ? u->gap : u->next_sequence;
	if (chance_one_in(&run->chance, 4) && lowest > u->answered)
		u->answered = lowest - chance_below(&run->chance, lowest - u->answered < 70 ? lowest - u->answered : 70);
	(void)sequence;
	return u->answered;
}

static void time_passes(struct run *run)
{
	bool open = false;
	for (size_t i = 0; i < TRANSACTIONS; i++)
		open |= run->transactions[i] != NULL;
	if (chance_one_in(&run->chance, 60) && !open) /* what a view remembers by id may be forgotten at its commit */
		run->time_ns += OUTCOME_KEEP_NS;
	else
		run->time_ns += chance_below(&run->chance, 1000000);
}

/* The machine's answer to a command; *c: under what the reference is to carry it out. */
static struct reply propose(struct run *run, struct user *u, const Coordfs__Command *q, struct ref_context *c)
{
	struct sent *s = &run->log[run->index];
	Coordfs__Entry e = COORDFS__ENTRY__INIT;
	time_passes(run);
	e.format = ENTRY_FORMAT;
	e.time_ns = chance_one_in(&run->chance, 10) ? run->time_ns / 2 : run->time_ns;
	e.session = u ? u->session : 0;
	e.sequence = u ? sequence_take(run, u) : 0;
	e.answered_below = u ? answered_by(run, u, e.sequence) : 0;
	e.command = (Coordfs__Command *)q;
	s->packed = memory_pack(&e, &s->size);
	s->session = e.session;
	s->sequence = e.sequence;
	reference_time(run->reference, e.time_ns);
	*c = (struct ref_context){run->index + 1, e.session, run->reference->time_ns, false, false};
	s->reply = entry_apply(run, s->packed, s->size);
	show(run, q, &s->reply);
	return s->reply;
}

/* ---- steps ---- */

static struct user *user_any(struct run *run)
{
	struct user *u = &run->users[chance_below(&run->chance, SESSIONS)];
	return u->session ? u : NULL;
}

static void session_forget(struct run *run, uint64_t session)
{
	for (size_t i = 0; i < TRANSACTIONS; i++)
		if (run->transactions[i] && run->transactions[i]->session == session) {
			model_end(run->transactions[i]);
			run->transactions[i] = NULL;
		}
	for (size_t i = 0; i < SESSIONS; i++)
		if (run->users[i].session == session)
			run->users[i] = (struct user){0};
}

static struct ref_session *session_of(struct run *run, const char *member)
{
	for (size_t i = 0; i < REF_SESSIONS; i++)
		if (run->reference->sessions[i].id && strcmp(run->reference->sessions[i].member, member) == 0)
			return &run->reference->sessions[i];
	return NULL;
}

/* A new session for the i-th user, or once more the entry that opened the one it has. */
static void step_open(struct run *run)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionOpen q = COORDFS__SESSION_OPEN__INIT;
	struct ref_context c;
	uint64_t i = chance_below(&run->chance, SESSIONS), random = chance_next(&run->chance);
	char member[8];
	uint8_t incarnation[16] = {0};
	snprintf(member, sizeof member, "m%llu", ULL(i));
	struct ref_session *now = session_of(run, member);
	memcpy(incarnation, &random, sizeof random);
	if (now && chance_one_in(&run->chance, 3))
		memcpy(incarnation, now->incarnation, sizeof incarnation);
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &q;
	q.member = member;
	q.incarnation = (ProtobufCBinaryData){sizeof incarnation, incarnation};
	q.owner_uid = 1;
	q.level = generate_level(&run->chance, run->reference);
	q.ttl_ms = (uint32_t)chance_below(&run->chance, 3700000);
	struct reply is = propose(run, NULL, &command, &c), should = reference_apply(run->reference, &c, &command);
	expect(run, &is, &should);
	if (is.code || (uint64_t)is.value == run->users[i].session)
		return;
	session_forget(run, run->users[i].session);
	run->users[i] = (struct user){.session = (uint64_t)is.value, .next_sequence = 1};
}

static void step_close(struct run *run)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd q = COORDFS__SESSION_END__INIT;
	struct ref_context c;
	struct user *u = user_any(run), *by = chance_one_in(&run->chance, 2) ? user_any(run) : NULL;
	command.of_case = COORDFS__COMMAND__OF_SESSION_END;
	command.session_end = &q;
	q.session = u ? u->session : 12345;
	q.reason = (char *)"unmounted";
	struct reply is = propose(run, by, &command, &c), should = reference_apply(run->reference, &c, &command);
	expect(run, &is, &should);
	if (is.code == 0)
		session_forget(run, q.session);
}

/* Whose session ended with the member, or with all. */
static void sessions_sweep(struct run *run)
{
	for (size_t i = 0; i < SESSIONS; i++)
		if (run->users[i].session && !reference_session(run->reference, run->users[i].session))
			session_forget(run, run->users[i].session);
}

static void step_member(struct run *run)
{
	struct generated_member g;
	struct ref_context c;
	struct user *u = chance_one_in(&run->chance, 10) ? user_any(run) : NULL;
	generate_member(&run->chance, run->reference, SESSIONS + 1, run->index + 1, &g);
	struct reply is = propose(run, u, &g.command, &c), should = reference_apply(run->reference, &c, &g.command);
	expect(run, &is, &should);
	sessions_sweep(run);
}

static void step_command(struct run *run)
{
	static struct generated g;
	struct ref_context c;
	struct user *u = user_any(run);
	if (!u)
		return;
	generate(&run->chance, run->reference, &g);
	struct reply is = propose(run, u, &g.command, &c), should = reference_apply(run->reference, &c, &g.command);
	expect(run, &is, &should);
}

/* An old entry once more: the answer it had, or none any more; nothing else happens, but that time has passed. */
static void step_repeat(struct run *run)
{
	struct sent *s = &run->log[run->index], *old;
	struct user *u = NULL;
	if (run->index == 0)
		return;
	old = &run->log[chance_below(&run->chance, run->index)];
	if (old->session == 0 || old->sequence == 0)
		return;
	for (size_t i = 0; i < SESSIONS; i++)
		if (run->users[i].session == old->session)
			u = &run->users[i];
	*s = *old;
	s->packed = malloc(s->size + 1);
	if (!s->packed)
		exit(3);
	memcpy(s->packed, old->packed, s->size);
	reference_time(run->reference, 0);
	struct reply is = entry_apply(run, s->packed, s->size);
	bool same = is.code == old->reply.code && is.inode == old->reply.inode && is.value == old->reply.value &&
		    is.size == old->reply.size && is.revision == old->reply.revision &&
		    strcmp(is.text, old->reply.text) == 0;
	bool late = is.code == ERR_STALE && (!u || old->sequence < u->answered);
	if (run->trace)
		printf("# %u: entry %llu is one of session %llu again: code %d\n", run->step, ULL(run->index),
		       ULL(old->session), is.code);
	if (!late && (!same || !u))
		fail(run, "a repeat is answered with something else");
}

static void step_image(struct run *run)
{
	memory_machine_free(run->shadow);
	run->shadow = memory_machine_copy(run->machine, NULL);
	if (!run->shadow)
		fail(run, "the image is refused");
}

/* ---- transactions ---- */

static void step_begin(struct run *run)
{
	struct user *u = user_any(run);
	size_t i = chance_below(&run->chance, TRANSACTIONS);
	if (u && !run->transactions[i])
		run->transactions[i] =
			model_begin(run->machine, run->reference, u->session, ++run->next_number);
}

static struct user *user_of(struct run *run, uint64_t session)
{
	for (size_t i = 0; i < SESSIONS; i++)
		if (run->users[i].session == session)
			return &run->users[i];
	return NULL;
}

static void step_inside(struct run *run)
{
	struct model_transaction *t = run->transactions[chance_below(&run->chance, TRANSACTIONS)];
	for (unsigned n = 0; t && n < 3 && !run->what; n++) {
		size_t before = t->step_count;
		const char *what = model_step(t, &run->chance);
		if (what)
			fail(run, what);
		if (run->trace && t->step_count > before)
			printf("# %u: transaction %llu: step of kind %d, command %d, inode %llu: code %d\n", run->step,
			       ULL(t->number), t->steps[before].kind,
			       t->steps[before].command ? (int)t->steps[before].command->of_case : 0,
			       ULL(t->steps[before].inode), t->steps[before].code);
	}
}

/* Is the answer one that is allowed, and what does the state become? */
static void decide(struct run *run, struct model_transaction *t, const struct ref_context *c, const struct reply *is)
{
	struct ref_context inside = *c;
	struct reference *after;
	bool may_fail, empty = transaction_is_empty(t->inner);
	inside.in_transaction = true;
	model_commit(t, run->reference, &inside, &after, &may_fail);
	if (is->code == 0 && !empty && !after)
		fail(run, "a commit that could not be done at this place");
	else if (is->code == 0 && (uint64_t)is->value != (empty ? t->revision : c->index))
		fail(run, "a commit at another place");
	else if (is->code && (is->code != ERR_CANCELED || empty || (after && !may_fail)))
		fail(run, is->text[0] ? is->text : "a commit that failed for no reason");
	if (is->code == 0 && !empty && after) {
		reference_free(run->reference);
		run->reference = after;
		after = NULL;
	}
	reference_free(after);
	reference_outcome(run->reference, c, t->name, t->number, is->code == 0, (uint64_t)is->value);
}

static struct reply propose_commit(struct run *run, struct model_transaction *t, struct ref_context *c)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Commit q = COORDFS__COMMIT__INIT;
	command.of_case = COORDFS__COMMAND__OF_COMMIT;
	command.commit = &q;
	transaction_commit(t->inner, &q);
	q.name = t->name;
	q.number = t->number;
	return propose(run, user_of(run, t->session), &command, c);
}

static struct reply propose_abort(struct run *run, struct model_transaction *t, struct ref_context *c,
				  struct reply *should)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Abort q = COORDFS__ABORT__INIT;
	command.of_case = COORDFS__COMMAND__OF_ABORT;
	command.abort = &q;
	q.name = t->name;
	q.number = t->number;
	q.reason = (char *)"why not";
	struct reply is = propose(run, user_of(run, t->session), &command, c);
	*should = reference_apply(run->reference, c, &command);
	return is;
}

/* Commit, and perhaps once more, or roll back; in any order the first decides. */
static void step_end(struct run *run)
{
	size_t i = chance_below(&run->chance, TRANSACTIONS);
	struct model_transaction *t = run->transactions[i];
	struct ref_context c;
	struct reply is, should;
	if (!t)
		return;
	if (chance_one_in(&run->chance, 6)) {
		is = propose_abort(run, t, &c, &should);
		should.value = is.value;
		expect(run, &is, &should);
		should = (struct reply){.code = ERR_CANCELED};
	} else {
		is = propose_commit(run, t, &c);
		decide(run, t, &c, &is);
		should = is;
	}
	check_state(run);
	if (chance_one_in(&run->chance, 4) && run->index < STEPS && !run->what) {
		is = propose_commit(run, t, &c);
		if (is.code != should.code || (is.code == 0 && is.value != should.value))
			fail(run, "the same commit again is answered with something else");
	} else if (chance_one_in(&run->chance, 4) && run->index < STEPS && !run->what) {
		bool committed = should.code == 0;
		is = propose_abort(run, t, &c, &should);
		if (is.code != (committed ? ERR_PERM : 0) || should.code != is.code)
			fail(run, "a rollback after the end is answered with something else");
	}
	model_end(t);
	run->transactions[i] = NULL;
}

/* ---- a run ---- */

static void step_any(struct run *run)
{
	uint64_t n = chance_below(&run->chance, 100);
	if (run->index == 0 || n < 3)
		step_open(run);
	else if (n < 4)
		step_close(run);
	else if (n < 8)
		step_repeat(run);
	else if (n < 10)
		step_image(run);
	else if (n < 16)
		step_begin(run);
	else if (n < 32)
		step_inside(run);
	else if (n < 38)
		step_end(run);
	else if (n < 43)
		step_member(run);
	else
		step_command(run);
}

static void replay_log(struct run *run)
{
	struct memory_machine *m = memory_machine_new(NULL);
	Coordfs__Meta a, b;
	struct reply reply;
	for (uint64_t i = 0; i < run->index && !run->what; i++)
		if (machine_apply(m->machine, i + 1, (struct bytes){run->log[i].packed, run->log[i].size}, &reply))
			fail(run, "the log cannot be applied again");
	machine_meta(run->machine->machine, &a);
	machine_meta(m->machine, &b);
	if (a.state_hash != b.state_hash || a.records != b.records || a.state_bytes != b.state_bytes)
		fail(run, "the same log gives another state");
	memory_machine_free(m);
}

static void run_free(struct run *run)
{
	for (size_t i = 0; i < TRANSACTIONS; i++)
		model_end(run->transactions[i]);
	for (size_t i = 0; i <= STEPS; i++)
		free(run->log[i].packed);
	memory_machine_free(run->machine);
	memory_machine_free(run->shadow);
	reference_free(run->reference);
	free(run);
}

/* True when all was as it should be. skip[i]: leave step i out. */
static bool run_seed(uint64_t seed, const bool *skip, bool trace, unsigned *steps)
{
	struct run *run = calloc(1, sizeof *run);
	if (!run)
		exit(3);
	struct machine_observer observer = {.ctx = run, .event = keep_event};
	run->trace = trace;
	run->check = seed % 4 == 0;
	run->time_ns = 1000000000;
	run->machine = memory_machine_new(&observer);
	run->reference = reference_new();
	for (run->step = 0; run->step < STEPS && run->index + 2 < STEPS && !run->what; run->step++) {
		run->chance.state = seed * 1000003 + run->step; /* of its own, so that steps can be left out */
		chance_next(&run->chance);
		if (skip[run->step])
			continue;
		step_any(run);
		if (!run->what)
			check_state(run);
	}
	if (!run->what)
		replay_log(run);
	bool good = !run->what;
	if (!good)
		printf("# seed=%llu step=%u: %s\n", ULL(seed), run->step, run->what);
	*steps += run->step;
	run_free(run);
	return good;
}

/* ---- shrinking ---- */

/* In a process of its own, for it may crash. */
static bool run_apart(uint64_t seed, const bool *skip)
{
	unsigned steps = 0;
	int status;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(4);
		_exit(run_seed(seed, skip, false, &steps) ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void shrink(uint64_t seed)
{
	bool skip[STEPS] = {false};
	unsigned steps = 0;
	for (unsigned size = STEPS / 2; size > 0; size /= 2)
		for (unsigned from = 0; from < STEPS; from += size) {
			bool kept[STEPS];
			memcpy(kept, skip, sizeof skip);
			for (unsigned i = from; i < from + size && i < STEPS; i++)
				skip[i] = true;
			if (run_apart(seed, skip))
				memcpy(skip, kept, sizeof skip);
		}
	printf("# seed=%llu, with as few steps as it takes:\n", ULL(seed));
	fflush(stdout);
	run_seed(seed, skip, true, &steps);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static bool run_one(uint64_t seed, unsigned *steps)
{
	static const bool skip[STEPS];
	bool good = run_seed(seed, skip, getenv("MODEL_TRACE") != NULL, steps);
	if (!good)
		shrink(seed);
	return good;
}

int main(void)
{
	uint64_t first = number_from("MODEL_SEED", 1), count = number_from("MODEL_SEEDS", getenv("MODEL_SEED") ? 1 : 60);
	unsigned steps = 0, bad = 0;
	for (size_t i = 0; i < sizeof found / sizeof *found && !getenv("MODEL_SEED"); i++)
		bad += !run_one(found[i], &steps);
	for (uint64_t seed = first; seed < first + count && bad < 3; seed++)
		bad += !run_one(seed, &steps);
	printf("%s 1 - machine_model: %llu seeds from %llu, %u steps\n1..1\n", bad ? "not ok" : "ok", ULL(count), ULL(first),
	       steps);
	return bad != 0;
}
