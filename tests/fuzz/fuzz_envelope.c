/* Whatever comes in from the network, through the same function that the socket feeds. The input is a byte and a list of
 * { u16 length (little-endian), bytes }, each a frame. The byte: bit 0: the receiver is member 1 of a cluster, else
 * it waits for an answer to its joining; bit 1: it knows where member 9 listens (and has no socket to answer by);
 * bit 2: the rest is one frame, without a length. Only what is meant for the receiver reaches it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t cluster[16] = "0123456789abcde";

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_envelope: %s\n", what);
	abort();
}

static void receive(void *ctx, const Coordfs__Envelope *e)
{
	const struct net *n = *(struct net **)ctx;
	const bool joins = e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST || e->of_case == COORDFS__ENVELOPE__OF_JOIN_RESULT;
	require(e->protocol == PROTOCOL_VERSION || (e->protocol > PROTOCOL_VERSION && joins), "of this protocol, or about joining");
	require(e->of_case != COORDFS__ENVELOPE__OF__NOT_SET && e->of_case != COORDFS__ENVELOPE__OF_PING &&
			e->of_case != COORDFS__ENVELOPE__OF_PONG && e->raft,
		"it says something");
	if (!net_is_identified(n)) {
		require(e->of_case == COORDFS__ENVELOPE__OF_JOIN_RESULT && e->from != 0, "a joiner gets a result");
		return;
	}
	require(e->to == 0 || e->to == 1, "for this member");
	if (e->cluster.len == 0)
		require(e->of_case == COORDFS__ENVELOPE__OF_JOIN_REQUEST && e->from == 0, "from a joiner");
	else
		require(e->cluster.len == 16 && memcmp(e->cluster.data, cluster, 16) == 0 && e->from > 1, "from a member");
}

static uint64_t counted(const struct net *n)
{
	return n->received + n->refusals.count[REFUSED_KEY] + n->refusals.count[REFUSED_CLUSTER] +
	       n->refusals.count[REFUSED_PROTOCOL] + n->refusals.count[REFUSED_MALFORMED];
}

static void feed(struct net *n, const uint8_t *data, size_t size)
{
	uint64_t before = counted(n), newer = n->refusals.count[REFUSED_PROTOCOL];
	zmq_msg_t frame;
	require(zmq_msg_init_size(&frame, size) == 0, "no memory");
	if (size)
		memcpy(zmq_msg_data(&frame), data, size);
	receive_frame(n, &frame);
	newer = n->refusals.count[REFUSED_PROTOCOL] - newer;
	require(counted(n) - before <= 1 + newer, "a frame counts once, a newer joiner's as refused too");
	zmq_msg_close(&frame);
}

static void feed_all(struct net *n, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		size_t length = data[0] | (size_t)data[1] << 8;
		if (length > size - 2)
			length = size - 2;
		feed(n, data + 2, length);
		data += 2 + length;
		size -= 2 + length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net *n = calloc(1, sizeof *n);
	uv_loop_t loop;
	require(n != NULL && uv_loop_init(&loop) == 0, "no memory");
	n->loop = &loop;
	n->receive = receive;
	n->ctx = &n;
	if (size > 0 && data[0] & 1)
		net_identify(n, cluster, 1);
	if (size > 0 && data[0] & 2)
		require(net_set_peer(n, 9, "tcp://127.0.0.1:7400") == OK, "an address");
	if (size > 0 && data[0] & 4)
		feed(n, data + 1, size - 1);
	else if (size > 0)
		feed_all(n, data + 1, size - 1);
	links_free(n);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_loop_close(&loop);
	free(n);
	return 0;
}
