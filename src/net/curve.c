/* Who is let in. The cluster's key is the secret key of one CURVE key pair, and every member has that pair, as server
 * and as client. A client proves that it has the secret key, and must know the server's public key to say a word; ZAP
 * then asks us whether the client's key is the one. While nobody answered ZAP, libzmq would let everybody in who knows the
 * public key: so that socket is there before the server's, and closed after it. */
#include <stdio.h>
#include <string.h>

#include "net/internal.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_DOMAIN "coordfs"
#define ZAP_PART_BYTES 256u

int curve_init(struct curve *c, const uint8_t *key, char *error, size_t error_size)
{
	char text[NET_KEY_BYTES * 5 / 4 + 1], public_text[NET_KEY_BYTES * 5 / 4 + 1];
	bool is_done;

	memset(c, 0, sizeof *c);
	if (!key)
		return OK;
	if (!zmq_has("curve")) {
		snprintf(error, error_size, "key: this libzmq was built without CURVE");
		return ERR_NOT_SUPPORTED;
	}
	memcpy(c->secret_key, key, NET_KEY_BYTES);
	is_done = zmq_z85_encode(text, key, NET_KEY_BYTES) && zmq_curve_public(public_text, text) == 0 &&
		  zmq_z85_decode(c->public_key, public_text);
	explicit_bzero(text, sizeof text);
	c->is_on = is_done;
	if (is_done)
		return OK;
	snprintf(error, error_size, "key: this is no key");
	return ERR_INVALID;
}

void curve_fini(struct curve *c)
{
	explicit_bzero(c, sizeof *c);
}

bool curve_set_server(const struct curve *c, void *socket)
{
	if (!c->is_on)
		return true;
	return socket_set(socket, ZMQ_CURVE_SERVER, 1) &&
	       socket_set_bytes(socket, ZMQ_CURVE_SECRETKEY, c->secret_key, NET_KEY_BYTES) &&
	       socket_set_bytes(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN));
}

bool curve_set_client(const struct curve *c, void *socket)
{
	if (!c->is_on)
		return true;
	return socket_set_bytes(socket, ZMQ_CURVE_SERVERKEY, c->public_key, NET_KEY_BYTES) &&
	       socket_set_bytes(socket, ZMQ_CURVE_PUBLICKEY, c->public_key, NET_KEY_BYTES) &&
	       socket_set_bytes(socket, ZMQ_CURVE_SECRETKEY, c->secret_key, NET_KEY_BYTES);
}

/* ---- ZAP: RFC 27 ---- */

enum { PART_VERSION, PART_REQUEST, PART_DOMAIN, PART_ADDRESS, PART_IDENTITY, PART_MECHANISM, PART_CREDENTIALS, PARTS };

struct zap_request {
	unsigned count;
	size_t size[PARTS];
	uint8_t part[PARTS][ZAP_PART_BYTES]; /* cut off if longer */
};

void *zap_new(void *context)
{
	void *zap = zmq_socket(context, ZMQ_REP);
	if (zap && (!socket_set(zap, ZMQ_LINGER, 0) || zmq_bind(zap, ZAP_ENDPOINT) != 0)) {
		zmq_close(zap);
		zap = NULL;
	}
	return zap;
}

static bool take_part(void *zap, struct zap_request *q, bool *more)
{
	zmq_msg_t part;
	zmq_msg_init(&part);
	if (zmq_msg_recv(&part, zap, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&part);
		return false;
	}
	if (q->count < PARTS) {
		size_t size = zmq_msg_size(&part);
		q->size[q->count] = size;
		if (size)
			memcpy(q->part[q->count], zmq_msg_data(&part), size < ZAP_PART_BYTES ? size : ZAP_PART_BYTES);
	}
	q->count++;
	*more = zmq_msg_more(&part);
	zmq_msg_close(&part);
	return true;
}

static bool part_is(const struct zap_request *q, unsigned which, const void *value, size_t size)
{
	return q->size[which] == size && memcmp(q->part[which], value, size) == 0;
}

static bool is_welcome(const struct curve *c, const struct zap_request *q)
{
	return q->count == PARTS && part_is(q, PART_VERSION, "1.0", 3) &&
	       part_is(q, PART_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) && part_is(q, PART_MECHANISM, "CURVE", 5) &&
	       part_is(q, PART_CREDENTIALS, c->public_key, NET_KEY_BYTES);
}

static void reply(void *zap, const struct zap_request *q, bool welcome)
{
	size_t request_size = q->size[PART_REQUEST] < ZAP_PART_BYTES ? q->size[PART_REQUEST] : ZAP_PART_BYTES;
	const int more = ZMQ_SNDMORE | ZMQ_DONTWAIT;
	zmq_send(zap, "1.0", 3, more);
	zmq_send(zap, q->part[PART_REQUEST], request_size, more);
	zmq_send(zap, welcome ? "200" : "400", 3, more);
	zmq_send(zap, welcome ? "OK" : "no", 2, more);
	zmq_send(zap, "", 0, more);
	zmq_send(zap, "", 0, ZMQ_DONTWAIT);
}

bool zap_answer(struct net *n, void *zap)
{
	struct zap_request q = {0};
	bool more = true, welcome;
	while (more)
		if (!take_part(zap, &q, &more))
			return false;
	welcome = is_welcome(&n->curve, &q);
	if (!welcome) {
		char from[SENDER_BYTES];
		snprintf(from, sizeof from, "%.*s",
			 (int)(q.size[PART_ADDRESS] < SENDER_BYTES ? q.size[PART_ADDRESS] : SENDER_BYTES - 1),
			 (const char *)q.part[PART_ADDRESS]);
		refusal_note(n, REFUSED_KEY, from, "refused: it does not have this cluster's key");
	}
	reply(zap, &q, welcome);
	return true;
}
