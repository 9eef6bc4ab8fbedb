/* One connection to send through: a DEALER to one address.
 *
 * ZeroMQ connects again by itself, but not always: it gives up after what it takes for a breach of protocol (somebody
 * else had that port for a moment, or another key), and it would look up a name in the I/O thread, which must not wait
 * for anybody. So names are looked up here, in libuv's pool, and a link that has no connection for RETRY_MS is made
 * anew, with the next of the name's addresses. (A name's second address is tried sooner.)
 *
 * What waits is bounded twice: by number in ZeroMQ (QUEUE_MESSAGES), and by bytes here: each message carries a pointer
 * to its link's outbox, which the I/O thread tells when the bytes have gone out. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

#define QUEUE_MESSAGES 4096
#define QUEUE_BYTES (32u << 20)
#define RECONNECT_MS 20
#define RECONNECT_MS_MAX 500
#define RETRY_MS 3000u
#define RETRY_NEXT_MS 700u /* a name has another address to try */
#define GREETING_MS 1000u /* so long the first messages to a member wait for its connection */
#define FAILED_MAX 3u	  /* handshakes that end without a word, until it is told */

_Static_assert(QUEUE_BYTES >= NET_MESSAGE_BYTES_MAX, "the largest message finds room");

/* ---- what is on its way ---- */

struct outbox {
	_Atomic size_t bytes;
	_Atomic unsigned references; /* the link, and each message */
};

struct packed {
	struct outbox *outbox; /* NULL: it is with us */
	bool is_kept;	       /* it could not be sent, and must not be freed */
	size_t size;
	uint8_t data[];
};

static struct outbox *outbox_new(void)
{
	struct outbox *o = calloc(1, sizeof *o);
	if (o)
		atomic_init(&o->references, 1);
	return o;
}

static void outbox_release(struct outbox *o)
{
	if (o && atomic_fetch_sub(&o->references, 1) == 1)
		free(o);
}

struct packed *packed_new(const Coordfs__Envelope *e)
{
	size_t size = coordfs__envelope__get_packed_size(e);
	struct packed *p;
	if (size > NET_MESSAGE_BYTES_MAX)
		return NULL;
	p = malloc(sizeof *p + size);
	if (!p)
		return NULL;
	p->outbox = NULL;
	p->is_kept = false;
	p->size = size;
	coordfs__envelope__pack(e, p->data);
	return p;
}

size_t packed_size(const struct packed *p)
{
	return p->size;
}

/* From any thread: ZeroMQ has no use for it any more. */
static void packed_sent(void *data, void *hint)
{
	struct packed *p = hint;
	struct outbox *o = p->outbox;
	(void)data;
	atomic_fetch_sub(&o->bytes, p->size);
	p->outbox = NULL;
	if (!p->is_kept)
		free(p);
	outbox_release(o);
}

static bool try_send(struct link *l, struct packed *p)
{
	zmq_msg_t message;
	if (!l->dealer || atomic_load(&l->outbox->bytes) > QUEUE_BYTES - p->size)
		return false;
	p->outbox = l->outbox;
	p->is_kept = false;
	if (zmq_msg_init_data(&message, p->data, p->size, packed_sent, p) != 0)
		return p->outbox = NULL, false;
	atomic_fetch_add(&l->outbox->references, 1);
	atomic_fetch_add(&l->outbox->bytes, p->size);
	/* The second time after it has looked what the I/O thread has done meanwhile. */
	if (zmq_msg_send(&message, l->dealer, ZMQ_DONTWAIT) >= 0 ||
	    (socket_is_writable(l->dealer) && zmq_msg_send(&message, l->dealer, ZMQ_DONTWAIT) >= 0))
		return l->was_connected = true;
	p->is_kept = true;
	zmq_msg_close(&message);
	return false;
}

/* ---- what waits for the connection ---- */

static void drop_first(struct link *l)
{
	free(l->waiting[0]);
	l->waiting_count--;
	memmove(l->waiting, l->waiting + 1, l->waiting_count * sizeof l->waiting[0]);
}

static void drop_waiting(struct link *l)
{
	while (l->waiting_count)
		drop_first(l);
}

static void send_waiting(struct link *l)
{
	while (l->waiting_count && try_send(l, l->waiting[0])) {
		l->waiting_count--;
		memmove(l->waiting, l->waiting + 1, l->waiting_count * sizeof l->waiting[0]);
	}
}

static bool may_wait(const struct link *l)
{
	return l->is_patient || (!l->was_connected && uv_now(l->net->loop) - l->made_ms < GREETING_MS);
}

/* The newest is what counts to somebody who asks again and again. */
static void wait_for_connection(struct link *l, struct packed *p)
{
	if (l->waiting_count == WAITING_MAX)
		drop_first(l);
	l->waiting[l->waiting_count++] = p;
	net_hurry(l->net);
}

bool link_send(struct link *l, struct packed *p)
{
	if (l->waiting_count)
		send_waiting(l);
	if (!l->waiting_count && try_send(l, p))
		return true;
	if (may_wait(l)) {
		wait_for_connection(l, p);
		return true;
	}
	free(p);
	return false;
}

/* ---- connecting ---- */

static bool set_options(struct link *l, void *dealer, bool is_ipv6)
{
	return socket_set_common(dealer, is_ipv6) && socket_set_heartbeat(dealer, l->net->heartbeat_ms) &&
	       socket_set(dealer, ZMQ_IMMEDIATE, 1) &&
	       socket_set(dealer, ZMQ_SNDHWM, QUEUE_MESSAGES) &&
	       socket_set(dealer, ZMQ_RCVHWM, 0) && /* what must not come must not stop its reading either: see link_tick */
	       socket_set(dealer, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
	       socket_set(dealer, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX) &&
	       socket_set_bytes(dealer, ZMQ_ROUTING_ID, l->routing_id, l->routing_id_size) &&
	       curve_set_client(&l->net->curve, dealer);
}

static void disconnect(struct link *l)
{
	if (l->monitor)
		zmq_close(l->monitor);
	if (l->dealer)
		zmq_close(l->dealer);
	outbox_release(l->outbox);
	l->monitor = l->dealer = NULL;
	l->outbox = NULL;
	l->is_connected = false;
}

/* What cannot be made now is tried again with the next tick that finds no connection. */
static void connect_to(struct link *l, const struct address *a)
{
	const int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
			   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
			   ZMQ_EVENT_DISCONNECTED;
	struct net *n = l->net;
	char endpoint[NET_ADDRESS_BYTES];

	address_endpoint(a, endpoint);
	l->outbox = outbox_new();
	l->dealer = zmq_socket(n->zmq, ZMQ_DEALER);
	if (l->outbox && l->dealer && set_options(l, l->dealer, a->kind == ADDRESS_IPV6) &&
	    (l->monitor = monitor_new(n->zmq, l->dealer, ++n->number, events)) != NULL &&
	    zmq_connect(l->dealer, endpoint) == 0)
		return;
	refusal_note(n, REFUSED_UNREACHABLE, l->text, "cannot connect: %s", zmq_strerror(errno));
	disconnect(l);
}

/* ---- names ---- */

static const struct addrinfo *choose(struct link *l, const struct addrinfo *list)
{
	const struct addrinfo *a;
	unsigned count = 0, turn;
	for (a = list; a; a = a->ai_next)
		count++;
	turn = count ? l->turn++ % count : 0;
	l->retry_ms = count > 1 ? RETRY_NEXT_MS : RETRY_MS;
	for (a = list; a && turn; turn--)
		a = a->ai_next;
	return a;
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct link *l = request->data;
	struct net *n = l->net;
	const struct addrinfo *found = status == 0 ? choose(l, list) : NULL;
	struct address a;

	l->is_looking_up = false;
	l->since_ms = uv_now(n->loop);
	if (l->is_dead) {
		free(l);
	} else if (found) {
		address_resolved(found->ai_addr, found->ai_addrlen, l->address.port, &a);
		connect_to(l, &a);
		send_waiting(l);
	} else {
		refusal_note(n, REFUSED_UNREACHABLE, l->text, "the host is not known: %s",
		       status ? uv_strerror(status) : "no address");
	}
	uv_freeaddrinfo(list);
	net_release(n);
}

static void look_up(struct link *l)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	l->lookup.data = l;
	if (uv_getaddrinfo(l->net->loop, &l->lookup, looked_up, l->address.host, NULL, &hints) != 0)
		return;
	l->is_looking_up = true;
	l->net->handles++;
}

static void start(struct link *l)
{
	l->since_ms = uv_now(l->net->loop);
	if (l->address.kind == ADDRESS_NAME)
		look_up(l);
	else
		connect_to(l, &l->address);
}

/* ---- life ---- */

static void put(struct link *l, const void *data, size_t size)
{
	memcpy(l->routing_id + l->routing_id_size, data, size);
	l->routing_id_size += size;
}

/* A member has the same again after its restart, so that its new connection takes the place of what may be left of the
 * old one. Who has no number yet, or may have two links to one place, takes a random one. */
static void make_routing_id(struct link *l, uint64_t number)
{
	const struct net *n = l->net;
	put(l, l->is_patient ? "A" : "M", 1);
	if (l->is_patient) {
		put(l, n->process, sizeof n->process);
	} else {
		put(l, n->cluster, sizeof n->cluster);
		put(l, &n->member, sizeof n->member);
	}
	put(l, &number, sizeof number);
}

struct link *link_new(struct net *n, const char *text, const struct address *address, bool is_patient, uint64_t number)
{
	struct link *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->net = n;
	l->address = *address;
	snprintf(l->text, sizeof l->text, "%s", text);
	l->is_patient = is_patient;
	l->made_ms = uv_now(n->loop);
	l->retry_ms = RETRY_MS;
	make_routing_id(l, number);
	start(l);
	return l;
}

void link_close(struct link *l)
{
	disconnect(l);
	drop_waiting(l);
	l->is_dead = true;
	if (l->is_looking_up)
		uv_cancel((uv_req_t *)&l->lookup); /* if it can be: its callback comes in any case */
	else
		free(l);
}

/* ---- what becomes of it ---- */

static void handshake_failed(struct link *l, const struct monitor_event *e)
{
	l->failed++;
	if (e->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && e->value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
		refusal_note(l->net, REFUSED_KEY, l->text, "no connection: %s",
		       l->net->curve.is_on ? "it does not encrypt, we do (key=)" : "it encrypts, we do not (key=)");
	else if (e->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
		refusal_note(l->net, REFUSED_KEY, l->text, "no connection: it refuses our key");
	else if (e->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL || l->failed == FAILED_MAX)
		refusal_note(l->net, REFUSED_KEY, l->text,
		       "no connection: it has another key, or is no member of a coordfs cluster");
}

static void take_event(struct link *l, const struct monitor_event *e, uint64_t now_ms)
{
	switch (e->event) {
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		l->is_connected = true;
		l->failed = 0;
		break;
	case ZMQ_EVENT_DISCONNECTED:
		if (l->is_connected)
			l->since_ms = now_ms;
		l->is_connected = false;
		break;
	default:
		handshake_failed(l, e);
		break;
	}
}

/* No member sends anything this way. */
static bool was_talked_to(struct link *l)
{
	uint8_t byte;
	if (!l->dealer || zmq_recv(l->dealer, &byte, 1, ZMQ_DONTWAIT) < 0)
		return false;
	refusal_note(l->net, REFUSED_UNREACHABLE, l->text, "no connection: it talks, where a member only listens");
	return true;
}

/* With a full queue the reading would stop, and libzmq 4.3.4 would end the process when the connection then broke
 * (socket_set_heartbeat): so the queue is never full, and who puts anything into it is not talked to for a while. */
void link_tick(struct link *l, uint64_t now_ms)
{
	struct monitor_event e;
	while (l->monitor && monitor_next(l->monitor, &e))
		take_event(l, &e, now_ms);
	if (was_talked_to(l)) {
		disconnect(l);
		l->since_ms = now_ms;
	}
	if (l->dealer)
		socket_is_writable(l->dealer); /* so that it does what is to be done after a disconnection */
	send_waiting(l);
	if (!may_wait(l))
		drop_waiting(l);
	if (l->is_connected || l->is_looking_up || now_ms - l->since_ms < l->retry_ms)
		return;
	disconnect(l);
	start(l);
}
