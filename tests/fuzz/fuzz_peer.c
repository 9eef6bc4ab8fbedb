/* Whatever a member says to another one, but for libraft's own messages (fuzz_message has these: who forges them is
 * believed). The input is a byte, which is skipped, and a list of { u16 length (little-endian), bytes }, each an Envelope.
 * It comes to a leader that serves, from a member of its cluster or, a JoinRequest, from a stranger. To get further, what
 * must match the receiver's own figures (terms, the next position of a stream) is made to, now and then. The leader goes
 * on serving: a change is asked for and answered after each input. One that was told to leave, as members may tell it,
 * is made anew. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gossip/internal.h"
#include "replica/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVED_WITHIN_MS 20000

static struct leader {
	uv_loop_t loop;
	uv_timer_t clock; /* so that a wait ends */
	struct replica *replica;
	char directory[128];
	bool ready, failed, closed, answered;
	uint64_t peer; /* the other member's number */
	int code;
} leader;

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_peer: %s\n", what);
	abort();
}

static void on_ready(void *ctx)
{
	((struct leader *)ctx)->ready = true;
}

static void on_failed(void *ctx, const char *text)
{
	(void)text;
	((struct leader *)ctx)->failed = true;
}

static void on_closed(void *ctx)
{
	((struct leader *)ctx)->closed = true;
}

static void on_answer(void *ctx, const struct reply *reply)
{
	((struct leader *)ctx)->answered = true;
	((struct leader *)ctx)->code = reply->code;
}

static void on_clock(uv_timer_t *timer)
{
	(void)timer;
}

/* Turn the loop until it is so, or it has failed. */
static void wait_for(const bool *flag, const char *what)
{
	uint64_t end = uv_hrtime() / 1000000 + SERVED_WITHIN_MS;

	while (!*flag && !leader.failed) {
		uv_run(&leader.loop, UV_RUN_ONCE);
		require(uv_hrtime() / 1000000 < end, what);
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	if (leader.directory[0])
		nftw(leader.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void receive(Coordfs__Envelope *e, uint64_t from)
{
	e->protocol = PROTOCOL_VERSION;
	e->from = from;
	e->to = from ? leader.replica->directory.id : 0;
	peers_receive(leader.replica, e);
}

/* A second member is let in; it will never answer, and not vote. */
static void let_in(void)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__JoinRequest q = COORDFS__JOIN_REQUEST__INIT;

	e.of_case = COORDFS__ENVELOPE__OF_JOIN_REQUEST;
	e.join_request = &q;
	q.name = "peer";
	q.address = "tcp://127.0.0.1:1";
	q.token = (ProtobufCBinaryData){16, (uint8_t *)"token-----------"};
	q.level = LEVEL_LATEST;
	for (unsigned tries = 0; !leader.peer && tries < 1000; tries++) {
		receive(&e, 0);
		for (unsigned turns = 0; !leader.peer && turns < 20; turns++) {
			uv_run(&leader.loop, UV_RUN_ONCE);
			leader.peer = machine_member_named(leader.replica->machine, "peer");
		}
	}
	require(leader.peer != 0, "a second member");
}

static void make(void)
{
	const char *base = getenv("TMPDIR");
	char error[512] = "";
	struct replica_config config = {
		.directory = leader.directory,
		.member = "leader",
		.listen = "tcp://127.0.0.1:0",
		.timeout_ms = 1000,
		.session_ttl_ms = 3600000,
		.ready = on_ready,
		.failed = on_failed,
		.ctx = &leader,
	};

	memset(&leader, 0, sizeof leader);
	snprintf(leader.directory, sizeof leader.directory, "%s/coordfs-fuzz-XXXXXX", base ? base : "/tmp");
	require(mkdtemp(leader.directory) != NULL, "a directory");
	require(uv_loop_init(&leader.loop) == 0 && uv_timer_init(&leader.loop, &leader.clock) == 0, "a loop");
	uv_timer_start(&leader.clock, on_clock, 5, 5);
	require(replica_open(&leader.loop, &config, &leader.replica, error, sizeof error) == OK, error);
	wait_for(&leader.ready, "it serves");
	require(!leader.failed, "it can serve");
	let_in();
}

static void unmake(void)
{
	leader.failed = false;
	replica_close(leader.replica, on_closed, &leader);
	wait_for(&leader.closed, "it closes");
	uv_close((uv_handle_t *)&leader.clock, NULL);
	uv_run(&leader.loop, UV_RUN_DEFAULT);
	require(uv_loop_close(&leader.loop) == 0, "nothing is left on the loop");
	clean_up();
	leader.directory[0] = '\0';
}

static void make_gossip_matter(Coordfs__Gossip *g)
{
	uint64_t own = leader.replica->gossip ? leader.replica->gossip->sync.incarnation : 0;

	if (g->of_case == COORDFS__GOSSIP__OF_NEWS && g->news->version % 4)
		g->news->your_incarnation = own;
	else if (g->of_case == COORDFS__GOSSIP__OF_ASK && g->ask->round % 4)
		g->ask->incarnation = own;
}

/* What would be ignored for its figures is given the right ones, by what it says itself. */
static void make_it_matter(Coordfs__Envelope *e)
{
	const struct standing *now = &leader.replica->standing;

	if (e->of_case == COORDFS__ENVELOPE__OF_FORWARD && e->forward->stream % 4)
		e->forward->term = now->term;
	else if (e->of_case == COORDFS__ENVELOPE__OF_PROBE_RESULT && e->probe_result->nonce % 4)
		e->probe_result->term = now->term;
	else if (e->of_case == COORDFS__ENVELOPE__OF_GOSSIP)
		make_gossip_matter(e->gossip);
}

static void feed(const uint8_t *data, size_t size)
{
	Coordfs__Envelope *e = coordfs__envelope__unpack(NULL, size, data);

	if (e && e->of_case != COORDFS__ENVELOPE__OF_RAFT && e->of_case != COORDFS__ENVELOPE__OF__NOT_SET &&
	    e->of_case != COORDFS__ENVELOPE__OF_PING && e->of_case != COORDFS__ENVELOPE__OF_PONG) {
		make_it_matter(e);
		receive(e, e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST ? 0 : leader.peer);
		uv_run(&leader.loop, UV_RUN_NOWAIT);
	}
	if (e)
		coordfs__envelope__free_unpacked(e, NULL);
}

/* Whether it is still there to be asked; then it answers. */
static bool serves(void)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Create create = COORDFS__CREATE__INIT;

	if (leader.failed || !leader.replica->session)
		return false;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &create;
	create.parent = INODE_COUNTERS;
	create.name = (ProtobufCBinaryData){1, (uint8_t *)"c"};
	create.mode = S_IFREG | 0600;
	leader.answered = false;
	replica_propose(leader.replica, &command, on_answer, &leader);
	wait_for(&leader.answered, "a change is answered");
	return leader.answered && (leader.code == OK || leader.code == ERR_EXISTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool prepared;

	if (!prepared) {
		atexit(clean_up);
		prepared = true;
	}
	if (!leader.directory[0])
		make();
	for (size_t at = 1; at + 2 <= size && !leader.failed;) {
		size_t length = data[at] | (size_t)data[at + 1] << 8;

		at += 2;
		length = length < size - at ? length : size - at;
		feed(data + at, length);
		at += length;
	}
	if (!serves())
		unmake();
	return 0;
}
