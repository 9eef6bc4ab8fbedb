/*
 * A round trip between two processes over ZeroMQ: what any answer costs that needs another member.
 *
 * The sockets are those of coordfs (net/): a DEALER that asks, a ROUTER that answers.
 */

#include "operations.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define MESSAGE_BYTES 100 /* about that of one addition on its way to a follower */
#define ECHO_BYTES_MAX 1024

/* Of this client, which is a process of its own, or a thread. */
static _Thread_local void *context, *dealer;

static int trip_open(struct client *client)
{
	const int no_linger = 0;

	context = zmq_ctx_new();
	dealer = context ? zmq_socket(context, ZMQ_DEALER) : NULL;
	if (!dealer)
		return -1;
	zmq_setsockopt(dealer, ZMQ_LINGER, &no_linger, sizeof no_linger);
	return zmq_connect(dealer, client->place->dir);
}

static int trip_step(struct client *client)
{
	char bytes[MESSAGE_BYTES], answer[MESSAGE_BYTES];

	memset(bytes, (int)(client->step & 0x7f), sizeof bytes);
	if (zmq_send(dealer, bytes, sizeof bytes, 0) != MESSAGE_BYTES ||
	    zmq_recv(dealer, answer, sizeof answer, 0) != MESSAGE_BYTES)
		return -1;
	errno = EPROTO;
	return memcmp(bytes, answer, sizeof bytes) == 0 ? 0 : -1;
}

static void trip_close(struct client *client)
{
	(void)client;
	if (dealer)
		zmq_close(dealer);
	if (context)
		zmq_ctx_term(context);
}

const struct operation trip_operation = { .name = "round trip", .open = trip_open, .step = trip_step, .close = trip_close };

static int echo_one(void *router)
{
	char from[256], bytes[ECHO_BYTES_MAX];
	int from_bytes = zmq_recv(router, from, sizeof from, 0);
	int length = from_bytes < 0 ? -1 : zmq_recv(router, bytes, sizeof bytes, 0);

	if (length < 0 || length > ECHO_BYTES_MAX || from_bytes > (int)sizeof from)
		return -1;
	if (zmq_send(router, from, (size_t)from_bytes, ZMQ_SNDMORE) < 0)
		return -1;
	return zmq_send(router, bytes, (size_t)length, 0) < 0 ? -1 : 0;
}

int echo_serve(const char *endpoint)
{
	void *ctx = zmq_ctx_new(), *router = ctx ? zmq_socket(ctx, ZMQ_ROUTER) : NULL;

	if (!router || zmq_bind(router, endpoint) != 0) {
		fprintf(stderr, "bench: %s: %s\n", endpoint, zmq_strerror(errno));
		return 1;
	}
	while (echo_one(router) == 0)
		;
	fprintf(stderr, "bench: echo: %s\n", zmq_strerror(errno));
	return 1;
}
