/* Who leads, and what follows from it.
 *
 * After whatever may have moved libraft (a message, a tick, a disk write) the loop calls lead_observe, which compares
 * where libraft stands with what was seen last, and tells the parts: this member's commands begin a new stream, its
 * reads ask the new leader; a new leader forgets what its predecessor's streams and renewals were, and puts an entry
 * of its own term into the log (a barrier), since nothing of an older term counts as committed before (Raft, 5.4.2).
 *
 * The parts themselves are pure (proposals.h, readindex.h, lease.h): here are their ports. Messages to the leader that
 * is this member itself take the same way without the network. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "replica/internal.h"

#define SILENT_ELECTIONS 3u
#define UNCONFIRMED_MS 3000u
#define UNCONFIRMED_AGAIN_MS 60000u
#define VOTE_EXPIRY_MS 500u /* for those to be applied that were asked for, before the next are */
#define VOTE_EXPIRY_COUNT 64u

/* The reader's nonces are even, the holder's odd. */
static bool is_of_holder(uint64_t nonce)
{
	return nonce & 1;
}

static uint64_t realtime_ns(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t replica_boottime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* ---- commands on their way ---- */

static int submit_here(struct replica *r, uint64_t term, struct bytes entry)
{
	int rc;

	if (!r->standing.leads || r->standing.term != term)
		return ERR_NO_QUORUM;
	rc = engine_submit(r, entry);
	return rc == ERR_BUSY ? QUEUED : rc;
}

static int send_command(void *ctx, uint64_t term, uint64_t stream, uint64_t position, struct bytes entry)
{
	struct replica *r = ctx;

	if (r->standing.leader == r->directory.id)
		return submit_here(r, term, entry);
	return forward_add(r, term, stream, position, entry);
}

static void wake(void *ctx)
{
	replica_kick(ctx);
	replica_wake(ctx);
}

static void answer_forward(struct replica *r, uint64_t to, const Coordfs__Forward *f, uint64_t expected, int code)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ForwardResult result = COORDFS__FORWARD_RESULT__INIT;

	result.term = f->term;
	result.stream = f->stream;
	result.expected = expected;
	result.code = code;
	envelope.of_case = COORDFS__ENVELOPE__OF_FORWARD_RESULT;
	envelope.forward_result = &result;
	peers_send(r, to, &envelope);
}

/* False: the rest of the message is of no use. */
static bool take_command(struct replica *r, const Coordfs__Forward *f, uint64_t from, size_t i)
{
	struct bytes entry = {f->entries[i].data, f->entries[i].len};
	uint64_t position = f->position + i, expected = 0;
	int rc;

	if (entry.size > LIMIT_COMMAND_BYTES + 128u)
		return false;
	if (!acceptor_wants(r->acceptor, from, f->term, f->stream, position, &expected)) {
		if (expected != UINT64_MAX && expected <= position) {
			acceptor_refused(r->acceptor, from, f->stream); /* what is missing may only be late */
			answer_forward(r, from, f, expected, ERR_BUSY);
		}
		return false;
	}
	rc = engine_submit(r, entry);
	if (rc) {
		acceptor_refused(r->acceptor, from, f->stream);
		answer_forward(r, from, f, position, rc);
		return false;
	}
	acceptor_took(r->acceptor, from, f->stream);
	r->metrics.forwarded++;
	return true;
}

void lead_forward(struct replica *r, const Coordfs__Forward *f, uint64_t from)
{
	lead_observe(r);
	if (!r->standing.leads || r->standing.term != f->term) {
		answer_forward(r, from, f, f->position, ERR_NO_QUORUM);
		return;
	}
	for (size_t i = 0; i < f->n_entries && take_command(r, f, from, i); i++)
		;
}

void lead_submit_own(struct replica *r, const Coordfs__Command *command)
{
	Coordfs__Entry entry = COORDFS__ENTRY__INIT;
	uint8_t *packed;
	size_t size;

	entry.format = ENTRY_FORMAT;
	entry.time_ns = realtime_ns(r);
	entry.command = (Coordfs__Command *)(uintptr_t)command;
	size = coordfs__entry__get_packed_size(&entry);
	packed = malloc(size);
	if (!packed)
		return;
	coordfs__entry__pack(&entry, packed);
	engine_submit(r, (struct bytes){packed, size});
	free(packed);
}

/* ---- reads and renewals ---- */

/* The answer must not come from within. */
static bool ask_self(struct replica *r, uint64_t nonce, uint64_t session)
{
	unsigned n = r->own_request_count;

	if (n == sizeof r->own_requests / sizeof *r->own_requests)
		return false;
	r->own_requests[n].nonce = nonce;
	r->own_requests[n].session = session;
	r->own_request_count++;
	replica_kick(r);
	return true;
}

static void take_own_requests(struct replica *r)
{
	unsigned n = r->own_request_count;

	r->own_request_count = 0;
	for (unsigned i = 0; i < n; i++)
		prober_request(r->prober, r->directory.id, r->own_requests[i].nonce, r->own_requests[i].session,
			       replica_boottime_ms());
}

static bool ask_leader(struct replica *r, uint64_t leader, uint64_t nonce, uint64_t session)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ReadRequest request = COORDFS__READ_REQUEST__INIT;

	if (leader == r->directory.id)
		return ask_self(r, nonce, session);
	request.nonce = nonce;
	request.session = session;
	envelope.of_case = COORDFS__ENVELOPE__OF_READ_REQUEST;
	envelope.read_request = &request;
	return peers_send(r, leader, &envelope);
}

static bool request_index(void *ctx, uint64_t leader, uint64_t nonce)
{
	return ask_leader(ctx, leader, nonce, 0);
}

static void send_probe(void *ctx, uint64_t voter, uint64_t nonce, uint64_t term)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__Probe probe = COORDFS__PROBE__INIT;

	probe.nonce = nonce;
	probe.term = term;
	envelope.of_case = COORDFS__ENVELOPE__OF_PROBE;
	envelope.probe = &probe;
	peers_send(ctx, voter, &envelope);
}

static void take_result(struct replica *r, uint64_t nonce, uint64_t index, int code)
{
	if (!is_of_holder(nonce))
		reader_result(r->reader, nonce, index, code, replica_boottime_ms());
	else if (code == OK && holder_renewed(&r->holder, nonce))
		reader_news(r->reader, r->holder.renewed_ms, index);
	replica_kick(r); /* the index may be applied already */
}

/* The prober has confirmed that this member leads: what was asked is true, and the session lives on. */
static void answer_request(void *ctx, uint64_t from, uint64_t nonce, uint64_t session, uint64_t index, int code)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ReadResult result = COORDFS__READ_RESULT__INIT;
	struct replica *r = ctx;

	if (code == OK && session && !keeper_renew(r->keeper, session, replica_boottime_ms()))
		code = ERR_NO_QUORUM;
	if (from == r->directory.id) {
		take_result(r, nonce, index, code);
		return;
	}
	result.nonce = nonce;
	result.index = index;
	result.code = code;
	envelope.of_case = COORDFS__ENVELOPE__OF_READ_RESULT;
	envelope.read_result = &result;
	peers_send(r, from, &envelope);
}

void lead_read_request(struct replica *r, const Coordfs__ReadRequest *request, uint64_t from)
{
	lead_observe(r);
	prober_request(r->prober, from, request->nonce, request->session, replica_boottime_ms());
}

void lead_read_result(struct replica *r, const Coordfs__ReadResult *result)
{
	take_result(r, result->nonce, result->index, result->code);
}

void lead_probe(struct replica *r, const Coordfs__Probe *probe, uint64_t from)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ProbeResult result = COORDFS__PROBE_RESULT__INIT;

	if (!r->engine.up || r->engine.broken)
		return;
	result.nonce = probe->nonce;
	result.term = raft_current_term(&r->engine.raft);
	envelope.of_case = COORDFS__ENVELOPE__OF_PROBE_RESULT;
	envelope.probe_result = &result;
	peers_send(r, from, &envelope);
}

/* ---- what follows from where libraft stands ---- */

/* The entry that makes a new leader's term count. */
static void barrier_done(struct raft_barrier *barrier, int status)
{
	struct replica *r = barrier->data;

	(void)status;
	r->barrier_asked = false;
	replica_kick(r);
}

static void tell_prober(struct replica *r)
{
	const struct raft_configuration *c = &r->engine.raft.configuration;
	struct leadership now = {.leads = r->standing.leads, .settled = r->settled, .term = r->standing.term};
	uint64_t *voters = r->engine.up ? calloc(c->n + 1, sizeof *voters) : NULL; /* else it is freed */

	if (!voters) { /* it answers nobody for now, and is told again */
		now.leads = false;
		r->configuration_seen[0] = UINT64_MAX;
	}
	for (unsigned i = 0; voters && i < c->n; i++)
		if (c->servers[i].role == RAFT_VOTER)
			voters[now.voter_count++] = c->servers[i].id;
	now.voters = voters;
	if (r->engine.up)
		prober_set_commit(r->prober, raft_commit_index(&r->engine.raft));
	prober_set(r->prober, &now);
	free(voters);
}

/* The moment at which it counts may be seen from a tick as well as after a message: whoever sees it tells the prober,
 * which would answer nobody for as long as this member leads. */
static void settle(struct replica *r)
{
	if (!r->standing.leads || r->settled)
		return;
	r->settled = r->standing.alone || raft_commit_index(&r->engine.raft) > r->led_from_index;
	if (r->settled)
		tell_prober(r);
	if (r->settled || r->barrier_asked)
		return;
	r->barrier.data = r;
	r->barrier_asked = raft_barrier(&r->engine.raft, &r->barrier, barrier_done) == 0;
}

static void forget_told(struct replica *r)
{
	struct peer *p, *next;

	HASH_ITER (hh, r->peers, p, next)
		p->told_commit = 0;
}

static void begin_to_lead(struct replica *r)
{
	r->led_from_index = raft_last_index(&r->engine.raft);
	acceptor_reset(r->acceptor, r->standing.term);
	keeper_lead(r->keeper, replica_boottime_ms());
	forget_told(r);
	r->leads_since_ms = replica_now_ms(r);
	if (r->net)
		log_line(r->log, LOG_LEVEL_INFO, "this member leads, term %llu", (unsigned long long)r->standing.term);
}

static bool standing_changed(struct replica *r, const struct standing *now)
{
	const struct standing *was = &r->standing;

	return was->term != now->term || was->leader != now->leader || was->leads != now->leads ||
	       was->alone != now->alone;
}

/* The configuration may change without the term. */
static bool configuration_changed(struct replica *r)
{
	const struct raft *raft = &r->engine.raft;
	uint64_t now[2] = {0, 0};

	if (r->engine.up) {
		now[0] = raft->configuration_committed_index;
		now[1] = raft->configuration_uncommitted_index;
	}
	if (now[0] == r->configuration_seen[0] && now[1] == r->configuration_seen[1])
		return false;
	memcpy(r->configuration_seen, now, sizeof now);
	return true;
}

/* How long ago the leader that is gone was heard of: since then there is none. */
static uint64_t silence_ms(struct replica *r, uint64_t leader)
{
	struct peer *p = leader && leader != r->directory.id ? peers_find(r, leader) : NULL;

	return p && p->heard_ms ? replica_now_ms(r) - p->heard_ms : 0;
}

static void changed(struct replica *r, const struct standing *now)
{
	uint64_t now_ms = replica_boottime_ms() - (now->leader ? 0 : silence_ms(r, r->standing.leader));
	bool begins = now->leads && (!r->standing.leads || r->standing.term != now->term);

	if (now->leader && now->leader != r->standing.leader)
		r->metrics.elections++;
	r->settled = r->settled && !begins && now->leads;
	r->standing = *now;
	if (begins)
		begin_to_lead(r);
	settle(r);
	tell_prober(r);
	proposals_set_leader(r->proposals, now->term, now->leader, now_ms);
	reader_set_leader(r->reader, now->leader, now_ms);
}

/* A standby believes in its leader for ever: it never stands for election. Whoever hears nothing of the leader for so
 * long has none. */
static bool is_silent(struct replica *r, uint64_t leader)
{
	return silence_ms(r, leader) > SILENT_ELECTIONS * r->engine.raft.election_timeout;
}

void lead_observe(struct replica *r)
{
	struct standing now;

	engine_standing(r, &now);
	if (is_silent(r, now.leader))
		now.leader = 0;
	if (configuration_changed(r) || standing_changed(r, &now))
		changed(r, &now);
	if (!r->engine.up)
		return;
	settle(r);
	prober_set_commit(r->prober, raft_commit_index(&r->engine.raft));
	take_own_requests(r);
	reader_applied(r->reader, raft_last_applied(&r->engine.raft));
}

void lead_tell_commit(struct replica *r)
{
	if (r->settled && r->net && r->engine.up)
		engine_tell_commit(r);
}

/* ---- time ---- */

static int know_session(void *ctx, const struct session_info *s)
{
	struct replica *r = ctx;

	if (s->ttl_ms && keeper_know(r->keeper, s->session, s->ttl_ms, replica_boottime_ms()))
		return 1;
	return 0;
}

/* Sessions that were not renewed end by an entry, like everything. */
static void expire_sessions(struct replica *r)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd end = COORDFS__SESSION_END__INIT;
	uint64_t session;

	if (!r->standing.leads || !r->settled || !r->machine)
		return;
	machine_sessions(r->machine, know_session, r);
	while ((session = keeper_expired(r->keeper, replica_boottime_ms()))) {
		if (!machine_session_alive(r->machine, session)) { /* it ended in a state that this member was given */
			keeper_forget(r->keeper, session);
			continue;
		}
		end.session = session;
		end.reason = (char *)(uintptr_t) "expired: its member could not be reached in time";
		command.of_case = COORDFS__COMMAND__OF_SESSION_END;
		command.session_end = &end;
		lead_submit_own(r, &command);
	}
}

static void expire_vote(struct replica *r, uint64_t vote)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__VoteRequest expire = COORDFS__VOTE_REQUEST__INIT;

	expire.vote = vote;
	expire.action = VOTE_ACTION_EXPIRE;
	command.of_case = COORDFS__COMMAND__OF_VOTE;
	command.vote = &expire;
	lead_submit_own(r, &command);
}

/* Not all at once: there may be thousands. The machine looks at the time of the entry, which is ours too. */
static void expire_votes(struct replica *r, uint64_t now_ms)
{
	uint64_t due[VOTE_EXPIRY_COUNT];
	size_t count;

	if (!r->standing.leads || !r->settled || !r->machine || now_ms - r->votes_expired_ms < VOTE_EXPIRY_MS)
		return;
	count = machine_votes_due(r->machine, (int64_t)realtime_ns(r), due, VOTE_EXPIRY_COUNT);
	for (size_t i = 0; i < count; i++)
		expire_vote(r, due[i]);
	if (count > 0)
		r->votes_expired_ms = now_ms;
}

static void renew(struct replica *r, uint64_t now_ms)
{
	uint64_t nonce;

	if (r->session && r->standing.leader && holder_wants(&r->holder, now_ms, &nonce))
		ask_leader(r, r->standing.leader, nonce, r->session);
}

/* Strong reads and renewals wait, though this member leads. */
static void tell_unconfirmed(struct replica *r, uint64_t now_ms)
{
	struct probe_state state;
	uint64_t ms = prober_waits_ms(r->prober, &state);

	if (ms < UNCONFIRMED_MS || (r->unconfirmed_told_ms && now_ms - r->unconfirmed_told_ms < UNCONFIRMED_AGAIN_MS))
		return;
	r->unconfirmed_told_ms = now_ms;
	log_line(r->log, LOG_LEVEL_WARNING,
		 "for %llu s no majority has confirmed that this member leads, %zu of %zu voters have%s: strong reads wait",
		 (unsigned long long)ms / 1000, state.answered, state.voters,
		 state.settled ? "" : ", nothing of its term is committed");
}

void lead_tick(struct replica *r, uint64_t now_ms)
{
	proposals_tick(r->proposals, now_ms);
	reader_tick(r->reader, now_ms);
	prober_tick(r->prober, now_ms);
	tell_unconfirmed(r, now_ms);
	if (r->standing.leads && !r->settled)
		settle(r);
	if (r->net) {
		renew(r, now_ms);
		expire_sessions(r);
	}
	expire_votes(r, now_ms);
}

bool lead_is_busy(const struct replica *r)
{
	return r->net || (r->machine && machine_votes_timed(r->machine)) || proposals_busy(r->proposals) ||
	       reader_busy(r->reader) || prober_busy(r->prober);
}

/* ---- life ---- */

int lead_init(struct replica *r)
{
	uint64_t seed;

	const struct proposals_port commands = {r, send_command, realtime_ns, wake};
	const struct probe_port probes = {r, send_probe, answer_request};
	const struct reader_port reads = {r, request_index};

	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return ERR_NO_MEMORY;
	holder_init(&r->holder, r->net ? r->config.session_ttl_ms : 0, seed);
	r->proposals = proposals_new(&commands, r->config.timeout_ms);
	r->forwarding = forward_new();
	r->acceptor = acceptor_new();
	r->reader = reader_new(&reads, r->config.timeout_ms, seed);
	r->keeper = keeper_new();
	r->prober = prober_new(&probes, r->directory.id);
	return r->proposals && r->forwarding && r->acceptor && r->reader && r->keeper && r->prober ? 0 : ERR_NO_MEMORY;
}

void lead_fini(struct replica *r)
{
	proposals_free(r->proposals);
	forward_free(r->forwarding);
	acceptor_free(r->acceptor);
	reader_free(r->reader);
	prober_free(r->prober);
	keeper_free(r->keeper);
}
