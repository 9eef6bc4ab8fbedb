/* A member: libraft, the machine, and the pure parts of the replica, wired as src/replica/ wires them. What is planted
 * in a run is planted here, around the parts and never in them. */
#include "sim.h"

#define TICK_MS 20
#define REALTIME_NS 1700000000000000000ull

/* ---- clocks ---- */

static uint64_t boot_ms_at(const struct member *m, uint64_t time)
{
	int64_t now = (int64_t)time;

	return (m->boot_offset + (uint64_t)(now + now * m->drift_ppm / 1000000)) / MS;
}

uint64_t member_boot_ms(const struct member *m)
{
	return boot_ms_at(m, m->world->now);
}

uint64_t member_ms(const struct member *m)
{
	return member_boot_ms(m) - m->suspended_ms;
}

static uint64_t realtime_ns(void *ctx)
{
	const struct member *m = ctx;

	return REALTIME_NS + (m->realtime_offset + m->world->now) * 1000;
}

/* ---- messages between members ---- */

enum message_kind { FORWARD, FORWARD_RESULT, READ_REQUEST, READ_RESULT, PROBE, PROBE_RESULT };

struct message {
	struct world *world;
	unsigned from, to;
	enum message_kind kind;
	uint64_t term, stream, position; /* FORWARD, FORWARD_RESULT; PROBE, PROBE_RESULT: term */
	uint64_t nonce, session, index;
	int code;
	size_t size;
	uint8_t entry[];
};

static void receive(struct member *m, const struct message *g);

static void message_deliver(void *ctx)
{
	struct message *g = ctx;

	receive(g->world->members[g->to], g);
	free(g);
}

static void *message_copy(void *ctx)
{
	const struct message *g = ctx;
	struct message *copy = need(malloc(sizeof *copy + g->size));

	memcpy(copy, g, sizeof *g + g->size);
	return copy;
}

static void send_message(struct member *m, uint64_t to, struct message header, struct bytes entry)
{
	struct message *g = need(malloc(sizeof *g + entry.size));

	*g = header;
	g->world = m->world;
	g->from = m->number;
	g->to = (unsigned)to - 1;
	g->size = entry.size;
	if (entry.size)
		memcpy(g->entry, entry.data, entry.size);
	if (g->to == g->from)
		world_at(m->world, m->world->now, m, m->start, message_deliver, free, g);
	else
		world_send(m->world, g->from, g->to, message_deliver, free, message_copy, g);
}

static void send_plain(struct member *m, uint64_t to, struct message header)
{
	send_message(m, to, header, (struct bytes){NULL, 0});
}

/* ---- into the log ----
 *
 * Callbacks of requests come when libraft is closed (its own I/O fires them, by a function that is not exported): the
 * log tells all that they would. */

static void applied(struct raft_apply *request, int status, void *result)
{
	(void)status;
	(void)result;
	free(request);
}

/* The frame: a length, the packed Entry, zeros. */
static int append(struct member *m, struct bytes entry)
{
	struct raft_apply *request = need(calloc(1, sizeof *request));
	struct raft_buffer buffer = {.len = (8 + entry.size + 7) / 8 * 8};
	uint64_t size = entry.size;
	int rv;

	buffer.base = need(raft_calloc(1, buffer.len));
	memcpy(buffer.base, &size, sizeof size);
	memcpy((uint8_t *)buffer.base + 8, entry.data, entry.size);
	m->in_raft = true;
	rv = raft_apply(&m->raft, request, &buffer, 1, applied);
	m->in_raft = false;
	if (rv == 0)
		return OK;
	raft_free(buffer.base);
	free(request);
	return ERR_NO_QUORUM;
}

static bool wants(struct member *m, uint64_t from, const struct message *g, uint64_t *expected)
{
	bool wanted = acceptor_wants(m->acceptor, from, g->term, g->stream, g->position, expected);

	if (m->world->plant == PLANT_ANY_ORDER || (m->world->plant == PLANT_REFUSED_TAKEN && *expected == UINT64_MAX)) {
		*expected = g->position;
		return true;
	}
	return wanted;
}

/* One command for the leader that this member is, or not: OK, a refusal, or QUEUED: not wanted. */
static int take(struct member *m, uint64_t from, const struct message *g, struct bytes entry, uint64_t *expected)
{
	int code;

	*expected = g->position;
	if (!m->leads || g->term != m->term)
		return ERR_NO_QUORUM;
	if (!wants(m, from, g, expected))
		return QUEUED;
	code = m->world->disk_full ? ERR_NO_SPACE : append(m, entry);
	if (code == OK) {
		acceptor_took(m->acceptor, from, g->stream);
		++*expected;
	}
	return code;
}

static void receive_forward(struct member *m, const struct message *g)
{
	uint64_t expected;
	int code = take(m, g->from + 1, g, (struct bytes){g->entry, g->size}, &expected);

	if ((code == QUEUED && expected == UINT64_MAX) || (code == OK && m->world->silent))
		return;
	if (code == QUEUED && m->world->silent)
		code = ERR_BUSY;
	if (code < 0)
		acceptor_refused(m->acceptor, g->from + 1, g->stream);
	send_plain(m, g->from + 1, (struct message){.kind = FORWARD_RESULT, .term = g->term, .stream = g->stream,
						    .position = expected, .code = code == QUEUED ? OK : code});
}

/* ---- ports ---- */

static int send_proposal(void *ctx, uint64_t term, uint64_t stream, uint64_t position, struct bytes entry)
{
	struct member *m = ctx;
	struct message header = {.kind = FORWARD, .term = term, .stream = stream, .position = position};
	uint64_t expected;
	int code;

	if (m->in_raft)
		return QUEUED;
	if (m->leader != m->id) {
		send_message(m, m->leader, header, entry);
		return OK;
	}
	code = take(m, m->id, &header, entry, &expected);
	return code == QUEUED ? ERR_NO_QUORUM : code;
}

static void wake(void *ctx)
{
	((struct member *)ctx)->woken = true;
}

static void send_probe(void *ctx, uint64_t voter, uint64_t nonce, uint64_t term)
{
	send_plain(ctx, voter, (struct message){.kind = PROBE, .nonce = nonce, .term = term});
}

static void send_answer(void *ctx, uint64_t from, uint64_t nonce, uint64_t session, uint64_t index, int code)
{
	struct member *m = ctx;

	if (session && code == OK && !keeper_renew(m->keeper, session, member_boot_ms(m)))
		code = ERR_STALE;
	send_plain(m, from, (struct message){.kind = READ_RESULT, .nonce = nonce, .index = index, .code = code});
}

static bool send_request(void *ctx, uint64_t leader, uint64_t nonce)
{
	send_plain(ctx, leader, (struct message){.kind = READ_REQUEST, .nonce = nonce});
	return true;
}

static void receive_request(struct member *m, const struct message *g)
{
	prober_set_commit(m->prober, raft_commit_index(&m->raft));
	if (m->world->plant == PLANT_NO_PROBE && raft_state(&m->raft) == RAFT_LEADER)
		send_answer(m, g->from + 1, g->nonce, g->session, raft_commit_index(&m->raft), OK);
	else
		prober_request(m->prober, g->from + 1, g->nonce, g->session, member_ms(m));
}

static void receive_result(struct member *m, const struct message *g)
{
	uint64_t nonce = g->nonce;

	if (nonce % 2 == 0)
		reader_result(m->reader, nonce, g->index, g->code, member_ms(m));
	else if (g->code == OK)
		holder_renewed(&m->holder, nonce);
}

static void receive(struct member *m, const struct message *g)
{
	switch (g->kind) {
	case FORWARD:
		receive_forward(m, g);
		break;
	case FORWARD_RESULT:
		proposals_result(m->proposals, g->term, g->stream, g->position, g->code, member_ms(m));
		break;
	case READ_REQUEST:
		receive_request(m, g);
		break;
	case READ_RESULT:
		receive_result(m, g);
		break;
	case PROBE:
		send_plain(m, g->from + 1, (struct message){.kind = PROBE_RESULT, .nonce = g->nonce,
							    .term = raft_current_term(&m->raft)});
		break;
	case PROBE_RESULT:
		prober_result(m->prober, g->from + 1, g->nonce, g->term, member_ms(m));
		break;
	}
}

/* ---- the session ---- */

static void session_lost(struct member *m, const char *why)
{
	if (m->lost)
		return;
	trace(m->world, "%s: session %llu is lost: %s", m->name, (unsigned long long)m->session, why);
	m->lost = true;
	proposals_lost(m->proposals);
	holder_end(&m->holder);
	client_session_gone(m);
}

bool member_holds(struct member *m, uint64_t session)
{
	if (holder_lost(&m->holder, member_boot_ms(m)))
		session_lost(m, "not renewed");
	return session && session == m->session && !m->lost;
}

static void opened(void *ctx, const struct reply *reply)
{
	struct member *m = ctx;

	m->opening = false;
	if (reply->code)
		trace(m->world, "%s: no session: %s", m->name, error_text(reply->code));
}

static void open_session(struct member *m)
{
	Coordfs__SessionOpen open = COORDFS__SESSION_OPEN__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	for (size_t i = 0; i < sizeof m->incarnation; i++)
		m->incarnation[i] = (uint8_t)world_random(m->world);
	open.member = m->name;
	open.incarnation = (ProtobufCBinaryData){sizeof m->incarnation, m->incarnation};
	open.ttl_ms = m->world->ttl_ms;
	open.level = LEVEL_LATEST;
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	command.session_open = &open;
	m->opening = true;
	m->open_asked_ms = member_boot_ms(m);
	proposals_add_other(m->proposals, &command, ++m->open_key, opened, m, member_ms(m));
}

static bool is_ours(const struct member *m, const Coordfs__SessionOpen *open)
{
	return m->opening && open->incarnation.len == sizeof m->incarnation &&
	       memcmp(open->incarnation.data, m->incarnation, sizeof m->incarnation) == 0;
}

static void session_opened(struct member *m, const struct reply *reply)
{
	if (reply->code == OK) {
		m->session = (uint64_t)reply->value;
		m->lost = false;
		holder_begin(&m->holder, m->open_asked_ms);
		proposals_set_session(m->proposals, m->session);
		trace(m->world, "%s: session %llu", m->name, (unsigned long long)m->session);
	}
	proposals_applied_other(m->proposals, m->open_key, reply);
}

/* Sessions that others did not renew: ended by who leads. Keys below 2^32 are of our own openings. */
#define END_KEY(session) ((session) << 32)

static void ended(void *ctx, const struct reply *reply);

static void end_session(struct member *m, uint64_t session)
{
	Coordfs__SessionEnd end = COORDFS__SESSION_END__INIT;
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	trace(m->world, "%s: session %llu is over", m->name, (unsigned long long)session);
	end.session = m->ending = session;
	end.reason = "expired";
	command.of_case = COORDFS__COMMAND__OF_SESSION_END;
	command.session_end = &end;
	proposals_add_other(m->proposals, &command, END_KEY(session), ended, m, member_ms(m));
}

static void ended(void *ctx, const struct reply *reply)
{
	struct member *m = ctx;

	if (m->world->plant == PLANT_END_FORWARDED && (reply->code == ERR_NO_QUORUM || reply->code == ERR_TIMED_OUT))
		end_session(m, m->ending);
}

static void end_expired(struct member *m)
{
	uint64_t now = member_boot_ms(m);
	uint64_t session;

	if (m->world->plant == PLANT_NO_MARGIN)
		now += m->world->ttl_ms / 2 + keeper_margin_ms(m->world->ttl_ms);
	while (m->leads && (session = keeper_expired(m->keeper, now)))
		end_session(m, session);
}

/* ---- applying ---- */

static void observe(void *ctx, const struct event *e)
{
	struct member *m = ctx;

	if (e->type == EVENT_SESSION_END) {
		keeper_forget(m->keeper, e->session);
		if (e->session == m->session) {
			session_lost(m, "ended");
			m->session = 0;
			proposals_session_over(m->proposals);
		}
	}
	if (e->session != m->session || !m->session)
		return;
	if (e->type == EVENT_GRANT)
		client_granted(m, e->sequence, e->token);
	else if (e->type == EVENT_DENY)
		client_denied(m, e->sequence, e->code);
}

static void answer(struct member *m, const Coordfs__Entry *e, const struct reply *reply)
{
	const Coordfs__Command *q = e->command;

	if (e->session) {
		proposals_applied(m->proposals, e->session, e->sequence, reply);
	} else if (q->of_case == COORDFS__COMMAND__OF_SESSION_END) {
		proposals_applied_other(m->proposals, END_KEY(q->session_end->session), reply);
	} else if (q->of_case == COORDFS__COMMAND__OF_SESSION_OPEN) {
		if (reply->code == OK)
			need(keeper_know(m->keeper, (uint64_t)reply->value, q->session_open->ttl_ms, member_boot_ms(m)) ?
				     NULL : m);
		if (is_ours(m, q->session_open))
			session_opened(m, reply);
	}
}

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	struct member *m = fsm->data;
	uint64_t index = m->raft.last_applied + 1, size;
	Coordfs__Entry *e;
	struct reply reply;
	uint64_t sequence;

	*result = NULL;
	memcpy(&size, buffer->base, sizeof size);
	e = need(coordfs__entry__unpack(NULL, size, (uint8_t *)buffer->base + 8));
	sequence = e->sequence;
	if (m->world->plant == PLANT_NO_DEDUPE && e->sequence && e->command->of_case == COORDFS__COMMAND__OF_COUNTER) {
		e->sequence += index << 32;
		e->answered_below = 0;
	}
	machine_set_applied(m->machine->machine, index - 1);
	if (memory_machine_apply(m->machine, index, e, &reply))
		violate(m->world, BROKEN, "%s: entry %llu cannot be applied", m->name, (unsigned long long)index);
	e->sequence = sequence;
	story_applied(m->world->story, m, index, e, &reply);
	answer(m, e, &reply);
	coordfs__entry__free_unpacked(e, NULL);
	return 0;
}

static int no_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
	(void)fsm, (void)bufs, (void)n_bufs;
	return RAFT_BUSY;
}

static int no_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	(void)fsm, (void)buffer;
	return RAFT_CORRUPT;
}

/* ---- who leads ---- */

static void barrier_done(struct raft_barrier *request, int status)
{
	(void)status;
	free(request);
}

static void lead(struct member *m)
{
	struct raft_barrier *request = need(calloc(1, sizeof *request));

	trace(m->world, "%s: leads in term %llu", m->name, (unsigned long long)m->term);
	m->world->tally->leaders++;
	acceptor_reset(m->acceptor, m->term);
	if (m->world->plant != PLANT_NO_GRANT)
		keeper_lead(m->keeper, member_boot_ms(m));
	m->in_raft = true;
	if (raft_barrier(&m->raft, request, barrier_done)) {
		m->barrier = UINT64_MAX;
		free(request);
	} else {
		m->barrier = request->index;
	}
	m->in_raft = false;
}

static uint64_t leader_of(struct member *m)
{
	raft_id id = 0;
	const char *address;

	if (raft_state(&m->raft) == RAFT_LEADER)
		return m->id;
	if (raft_state(&m->raft) == RAFT_FOLLOWER)
		raft_leader(&m->raft, &id, &address);
	return id;
}

static void tell_prober(struct member *m)
{
	static const uint64_t voters[MEMBERS_MAX] = {1, 2, 3, 4, 5};
	struct leadership now = {m->leads, m->settled, m->term, voters, m->world->member_count};

	prober_set_commit(m->prober, raft_commit_index(&m->raft));
	prober_set(m->prober, &now);
}

static void follow(struct member *m)
{
	uint64_t term = raft_current_term(&m->raft), leader = leader_of(m);
	bool leads = leader == m->id, begins = leads && (!m->leads || term != m->term);
	bool settled = leads && !begins && raft_last_applied(&m->raft) >= m->barrier;

	if (term == m->term && leader == m->leader && settled == m->settled)
		return;
	m->term = term;
	m->leader = leader;
	m->leads = leads;
	m->settled = settled || (leads && m->world->plant == PLANT_NOT_SETTLED);
	if (begins)
		lead(m);
	tell_prober(m);
	proposals_set_leader(m->proposals, term, leader, member_ms(m));
	reader_set_leader(m->reader, leader, member_ms(m));
}

void member_settle(struct member *m)
{
	disk_flush(m);
	follow(m);
	prober_set_commit(m->prober, raft_commit_index(&m->raft));
	reader_applied(m->reader, raft_last_applied(&m->raft));
	while (m->woken) {
		m->woken = false;
		proposals_run(m->proposals, member_ms(m));
		disk_flush(m);
		follow(m);
	}
}

/* ---- time passes ---- */

static void renew(struct member *m)
{
	uint64_t nonce;

	member_holds(m, m->session);
	if (m->leader && holder_wants(&m->holder, member_boot_ms(m), &nonce))
		send_plain(m, m->leader, (struct message){.kind = READ_REQUEST, .nonce = nonce, .session = m->session});
	if (m->leader && !m->opening && (!m->session || m->lost))
		open_session(m);
}

static void tick(void *ctx)
{
	struct member *m = ctx;
	uint64_t now = member_ms(m);

	m->in_raft = true;
	m->tick(&m->io);
	m->in_raft = false;
	disk_flush(m);
	follow(m);
	renew(m);
	if (m->ticks++ % 5 == 0) {
		proposals_tick(m->proposals, now);
		reader_tick(m->reader, now);
		prober_tick(m->prober, now);
		end_expired(m);
	}
	world_at(m->world, m->world->now + TICK_MS * MS, m, m->start, tick, NULL, m);
}

/* ---- life ---- */

struct member *member_new(struct world *w, unsigned number)
{
	struct member *m = need(calloc(1, sizeof *m));

	m->world = w;
	m->number = number;
	m->id = number + 1;
	snprintf(m->name, sizeof m->name, "m%u", number + 1);
	m->drift_ppm = (int64_t)below(w, 160001) - 80000; /* two such clocks differ by less than the margin */
	m->boot_offset = between(w, 0, 3600 * S);
	m->realtime_offset = 3600 * S;
	m->disk.latency = between(w, 100, 12 * MS);
	return m;
}

void member_free(struct member *m)
{
	if (m->alive)
		member_crash(m);
	disk_free(&m->disk);
	free(m);
}

static void start_parts(struct member *m)
{
	struct world *w = m->world;
	struct proposals_port proposals = {m, send_proposal, realtime_ns, wake};
	struct probe_port probe = {m, send_probe, send_answer};
	struct reader_port reader = {m, send_request};

	m->observer = (struct machine_observer){.ctx = m, .event = observe};
	m->machine = memory_machine_new(&m->observer);
	m->proposals = need(proposals_new(&proposals, w->timeout_ms));
	m->acceptor = need(acceptor_new());
	m->prober = need(prober_new(&probe, m->id));
	m->reader = need(reader_new(&reader, w->timeout_ms, world_random(w)));
	m->keeper = need(keeper_new());
	holder_init(&m->holder, w->ttl_ms, world_random(w));
}

static void must(int rv, const char *what)
{
	if (rv == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, raft_strerror(rv));
	exit(3);
}

static void bootstrap(struct member *m)
{
	struct raft_configuration configuration;

	raft_configuration_init(&configuration);
	for (unsigned i = 0; i < m->world->member_count; i++)
		must(raft_configuration_add(&configuration, i + 1, m->world->members[i]->name, RAFT_VOTER), "add");
	must(raft_bootstrap(&m->raft, &configuration), "bootstrap");
	raft_configuration_close(&configuration);
}

static void start_raft(struct member *m)
{
	disk_io(m);
	m->fsm = (struct raft_fsm){.version = 1, .data = m, .apply = apply, .snapshot = no_snapshot,
				   .restore = no_restore};
	memset(&m->raft, 0, sizeof m->raft);
	must(raft_init(&m->raft, &m->io, &m->fsm, m->id, m->name), "init");
	m->raft.tracer = NULL;
	raft_set_pre_vote(&m->raft, true);
	raft_set_election_timeout(&m->raft, m->world->election_ms);
	raft_set_heartbeat_timeout(&m->raft, m->world->election_ms / 10);
	raft_set_snapshot_threshold(&m->raft, UINT32_MAX);
	if (m->disk.count == 0)
		bootstrap(m);
	m->in_raft = true;
	must(raft_start(&m->raft), "start");
	m->in_raft = false;
}

void member_start(struct member *m)
{
	m->alive = true;
	m->start++;
	m->stopped_until = 0;
	m->term = m->leader = m->session = 0;
	m->leads = m->settled = m->opening = m->lost = m->woken = false;
	trace(m->world, "%s: starts", m->name);
	start_parts(m);
	start_raft(m);
	member_settle(m);
	world_at(m->world, m->world->now + below(m->world, TICK_MS * MS), m, m->start, tick, NULL, m);
	for (unsigned i = 0; i < CLIENTS; i++) {
		m->clients[i] = (struct client){.member = m, .number = i};
		client_start(&m->clients[i]);
	}
}

static void closed(struct raft *raft)
{
	(void)raft;
}

void member_crash(struct member *m)
{
	trace(m->world, "%s: crashes", m->name);
	m->world->tally->restarted_streams += proposals_restarts(m->proposals);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_crashed(&m->clients[i]);
	m->in_raft = true;
	raft_close(&m->raft, closed);
	m->in_raft = false;
	disk_flush(m);
	disk_crash(m);
	m->close(&m->io);
	m->alive = false;
	proposals_free(m->proposals);
	acceptor_free(m->acceptor);
	prober_free(m->prober);
	reader_free(m->reader);
	keeper_free(m->keeper);
	memory_machine_free(m->machine);
}

void member_stop(struct member *m, uint64_t until, bool suspended)
{
	trace(m->world, "%s: %s until %.3f", m->name, suspended ? "is suspended" : "stops", (double)until / 1000);
	m->stopped_until = m->stopped_last = until;
	if (suspended)
		m->suspended_ms += boot_ms_at(m, until) - member_boot_ms(m); /* nothing looks meanwhile */
}

/* ---- reading ---- */

int64_t member_counter(struct member *m, unsigned counter, uint64_t *applied_index)
{
	struct attr a;

	*applied_index = raft_last_applied(&m->raft);
	if (view_attr(machine_view(m->machine->machine), m->world->inodes[counter], &a))
		violate(m->world, STALE, "%s: counter %u is not there", m->name, counter);
	return a.value;
}
