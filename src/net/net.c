/* Sockets on the loop.
 *
 * ZMQ_FD is readable when the I/O thread has something to say to its socket, and that is only told again after all
 * was taken: so whoever reads goes on until there is nothing more, and reads once before anything is told. A turn of the loop takes so much (TURN_FRAMES,
 * TURN_BYTES) that the kernel's requests and the disk get theirs; what is left over is for the next turn, which an idle
 * handle keeps from sleeping. No turn asks ZeroMQ anything when its file descriptor is silent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/internal.h"

#define HEARTBEAT_MS 1000u
#define HEARTBEAT_MS_MAX 100000u
#define RECEIVE_MESSAGES 1024 /* read ahead by the I/O thread, of each sender */
#define SOCKETS_MAX 8192
#define TURN_FRAMES 128u /* two are one message */
#define TURN_BYTES (2u << 20)

bool net_is_identified(const struct net *n)
{
	return n->member != 0;
}

/* ---- reading ---- */

static void frame_received(struct net *n, zmq_msg_t *frame)
{
	bool more = zmq_msg_more(frame);
	unsigned which = n->frame;
	n->frame = !more ? 0 : which < 2 ? which + 1 : 2;
	if (which == 1 && more)
		receive_multipart(n, frame);
	else if (which == 1)
		receive_frame(n, frame);
}

/* One frame; its size is added to bytes. False: there is none. */
static bool read_frame(struct net *n, size_t *bytes)
{
	zmq_msg_t frame;
	bool has_one;
	zmq_msg_init(&frame);
	do
		has_one = zmq_msg_recv(&frame, n->router.socket, ZMQ_DONTWAIT) >= 0;
	while (!has_one && errno == EINTR);
	if (has_one) {
		*bytes += zmq_msg_size(&frame);
		frame_received(n, &frame);
	}
	zmq_msg_close(&frame);
	return has_one;
}

/* Whether all was taken. The receiver may close us at any frame. */
static bool drain(struct net *n)
{
	size_t bytes = 0;
	for (unsigned count = 0; count < TURN_FRAMES && bytes < TURN_BYTES; count++)
		if (!read_frame(n, &bytes) || n->is_closing)
			return true;
	return false;
}

static void on_idle(uv_idle_t *handle)
{
	struct net *n = handle->data;
	if (drain(n) && !n->is_closing)
		uv_idle_stop(handle);
}

static void on_router(struct net *n)
{
	if (!drain(n))
		uv_idle_start(&n->idle, on_idle);
}

static void on_zap(struct net *n)
{
	while (zap_answer(n, n->zap.socket))
		;
}

/* ---- who was sent away ---- */

/* The descriptor is ZeroMQ's, and may be closed or another's by now: good enough for words. */
static void remember_accepted(struct net *n, uint32_t fd)
{
	struct accepted *a = &n->accepted[n->accepted_next++ % ACCEPTED_KNOWN];
	struct sockaddr_storage from;
	socklen_t size = sizeof from;
	struct address address;
	a->fd = fd;
	a->from[0] = '\0';
	if (getpeername((int)fd, (struct sockaddr *)&from, &size) != 0)
		return;
	if (from.ss_family != AF_INET && from.ss_family != AF_INET6)
		return;
	address_resolved((struct sockaddr *)&from, size, 0, &address);
	snprintf(a->from, sizeof a->from, "%.70s", address.host);
}

static const char *accepted_from(const struct net *n, uint32_t fd)
{
	for (unsigned i = 1; i <= ACCEPTED_KNOWN; i++) {
		const struct accepted *a = &n->accepted[(n->accepted_next - i) % ACCEPTED_KNOWN];
		if (a->fd == fd)
			return a->from;
	}
	return "";
}

/* ZAP has spoken for itself, and one that only opens a connection and closes it is nobody's trouble. */
static void tell_failed(struct net *n, const char *from)
{
	if (n->failed.event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
		refusal_note(n, REFUSED_KEY, from, "refused: %s",
		       n->failed.value != ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? "it does not have this cluster's key"
		       : n->curve.is_on ? "it does not encrypt, we do (key=)"
					: "it encrypts, we do not (key=)");
	n->failed.event = 0;
}

static void on_monitor(struct net *n)
{
	struct monitor_event e;
	while (monitor_next(n->monitor.socket, &e)) {
		if (e.event == ZMQ_EVENT_ACCEPTED) {
			remember_accepted(n, e.value);
		} else if (e.event == ZMQ_EVENT_DISCONNECTED) {
			tell_failed(n, accepted_from(n, e.value));
		} else {
			tell_failed(n, "");
			n->failed = e;
		}
	}
}

/* ---- time ---- */

static void on_tick(uv_timer_t *timer)
{
	struct net *n = timer->data;
	uv_timer_start(timer, on_tick, links_tick(n, uv_now(n->loop)), 0);
}

void net_hurry(struct net *n)
{
	if (n->is_ready && !n->is_closing)
		uv_timer_start(&n->tick, on_tick, 1, 0);
}

/* ---- closing ---- */

static void destroy(struct net *n)
{
	if (n->zmq)
		while (zmq_ctx_term(n->zmq) != 0 && errno == EINTR)
			;
	curve_fini(&n->curve);
	free(n);
}

void net_release(struct net *n)
{
	void (*closed)(void *ctx) = n->closed;
	void *ctx = n->closed_ctx;
	if (--n->handles > 0 || !n->is_closing)
		return;
	destroy(n);
	if (closed)
		closed(ctx);
}

static void on_closed(uv_handle_t *handle)
{
	net_release(handle->data);
}

static void close_sockets(struct net *n)
{
	struct watch *watches[] = {&n->monitor, &n->router, &n->zap};
	links_free(n);
	for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++)
		if (watches[i]->socket)
			zmq_close(watches[i]->socket);
}

static void close_handle(struct net *n, void *handle)
{
	((uv_handle_t *)handle)->data = n;
	uv_close(handle, on_closed);
}

static void watch_stop(struct watch *w)
{
	if (w->net)
		close_handle(w->net, &w->poll);
}

void net_close(struct net *n, void (*done)(void *ctx), void *ctx)
{
	if (n->is_closing)
		return;
	n->is_closing = true;
	n->closed = done;
	n->closed_ctx = ctx;
	watch_stop(&n->router);
	watch_stop(&n->monitor);
	watch_stop(&n->zap);
	close_handle(n, &n->idle);
	close_handle(n, &n->tick);
	close_sockets(n);
}

/* ---- opening ---- */

static int open_error(char *error, size_t error_size, const char *listen, int error_number)
{
	int code = error_number == EADDRINUSE ? ERR_BUSY
		   : error_number == EACCES || error_number == EPERM ? ERR_ACCESS
		   : error_number == ENOMEM || error_number == EMFILE ? ERR_NO_MEMORY
								     : ERR_INVALID;
	const char *words = error_number == EADDRINUSE ? "another program listens there"
			    : error_number == EADDRNOTAVAIL || error_number == ENODEV ? "this host does not have that address"
										      : zmq_strerror(error_number);
	snprintf(error, error_size, "listen=%s: %s", listen, words);
	return code;
}

/* The port that was bound, for who asked for any. */
static bool read_bound(struct net *n, struct address *bound)
{
	char endpoint[NET_ADDRESS_BYTES];
	size_t size = sizeof endpoint;
	return zmq_getsockopt(n->router.socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0 && !address_parse(endpoint, bound);
}

/* From now on n->address is what others are told. */
static void set_address(struct net *n, const struct address *listen, const struct address *bound)
{
	struct address a = listen->kind == ADDRESS_ANY ? *bound : *listen;
	a.port = bound->port;
	address_endpoint(&a, n->address);
	if (address_is_everywhere(&a))
		log_line(n->log, LOG_LEVEL_WARNING,
			 "listen=%s: no other member can reach this one there; name one of this host's addresses", n->address);
}

static int bind_one(struct net *n, const struct address *a, struct address *bound)
{
	char endpoint[NET_ADDRESS_BYTES];
	address_endpoint(a, endpoint);
	if (!socket_set(n->router.socket, ZMQ_IPV6, a->kind == ADDRESS_IPV6 || a->kind == ADDRESS_ANY) ||
	    zmq_bind(n->router.socket, endpoint) != 0)
		return errno;
	return read_bound(n, bound) ? 0 : EINVAL;
}

/* /etc/hosts may have the same twice. */
static bool came_before(const struct addrinfo *list, const struct addrinfo *one)
{
	for (; list != one; list = list->ai_next)
		if (list->ai_addrlen == one->ai_addrlen && memcmp(list->ai_addr, one->ai_addr, one->ai_addrlen) == 0)
			return true;
	return false;
}

static bool is_not_here(int error_number)
{
	return error_number == EADDRNOTAVAIL || error_number == ENODEV || error_number == EAFNOSUPPORT;
}

/* A name may stand for several addresses (localhost): listen on each that this host has, all with the same port. */
static int bind_name(struct net *n, const struct address *name, struct address *bound)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL;
	int failure = EADDRNOTAVAIL;
	struct address a;
	bound->port = name->port;
	if (getaddrinfo(name->host, NULL, &hints, &list) != 0)
		return EADDRNOTAVAIL;
	for (const struct addrinfo *i = list; i && (failure == 0 || is_not_here(failure)); i = i->ai_next) {
		if (came_before(list, i))
			continue;
		address_resolved(i->ai_addr, i->ai_addrlen, bound->port, &a);
		int result = bind_one(n, &a, bound);
		if (!is_not_here(result))
			failure = result;
	}
	freeaddrinfo(list);
	return failure;
}

static int bind_router(struct net *n, const char *listen, char *error, size_t error_size)
{
	struct address a, bound = {0};
	int failure;
	if (net_address_check(listen, "listen", error, error_size) != OK)
		return ERR_INVALID;
	address_parse(listen, &a);
	failure = a.kind == ADDRESS_NAME ? bind_name(n, &a, &bound) : bind_one(n, &a, &bound);
	if (failure)
		return open_error(error, error_size, listen, failure);
	set_address(n, &a, &bound);
	return OK;
}

static bool make_sockets(struct net *n)
{
	const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
	n->zmq = zmq_ctx_new();
	if (!n->zmq || zmq_ctx_set(n->zmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX) != 0)
		return false;
	if (n->curve.is_on && !(n->zap.socket = zap_new(n->zmq)))
		return false;
	n->router.socket = zmq_socket(n->zmq, ZMQ_ROUTER);
	if (!n->router.socket || !socket_set_common(n->router.socket, false) ||
	    !socket_set(n->router.socket, ZMQ_ROUTER_HANDOVER, 1) ||
	    !socket_set(n->router.socket, ZMQ_RCVHWM, RECEIVE_MESSAGES) ||
	    !curve_set_server(&n->curve, n->router.socket))
		return false;
	n->monitor.socket = monitor_new(n->zmq, n->router.socket, ++n->number, events);
	return n->monitor.socket != NULL;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	(void)status, (void)events;
	w->readable(w->net);
}

static bool watch_start(struct net *n, struct watch *w, void (*readable)(struct net *n))
{
	if (!w->socket)
		return true;
	if (uv_poll_init(n->loop, &w->poll, socket_fd(w->socket)) != 0)
		return false;
	n->handles++;
	w->net = n;
	w->readable = readable;
	w->poll.data = w;
	return uv_poll_start(&w->poll, UV_READABLE, on_readable) == 0;
}

static bool watch_all(struct net *n)
{
	uv_idle_init(n->loop, &n->idle);
	uv_timer_init(n->loop, &n->tick);
	n->idle.data = n->tick.data = n;
	n->handles = 2;
	n->is_ready = watch_start(n, &n->router, on_router) && watch_start(n, &n->monitor, on_monitor) &&
		      watch_start(n, &n->zap, on_zap);
	if (!n->is_ready)
		return false;
	on_monitor(n);
	if (n->zap.socket)
		on_zap(n);
	uv_idle_start(&n->idle, on_idle); /* the receiver is called from the loop */
	net_hurry(n);
	return true;
}

static int open_sockets(struct net *n, const struct net_config *config, char *error, size_t error_size)
{
	int code = curve_init(&n->curve, config->key, error, error_size);
	if (code == OK && !make_sockets(n))
		code = open_error(error, error_size, config->listen, errno);
	return code == OK ? bind_router(n, config->listen, error, error_size) : code;
}

static struct net *net_new(uv_loop_t *loop, const struct net_config *config)
{
	struct net *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->loop = loop;
	n->log = config->log;
	n->receive = config->receive;
	n->ctx = config->ctx;
	n->heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : HEARTBEAT_MS;
	if (n->heartbeat_ms > HEARTBEAT_MS_MAX)
		n->heartbeat_ms = HEARTBEAT_MS_MAX;
	if (getrandom(n->process, sizeof n->process, 0) == sizeof n->process)
		return n;
	free(n);
	return NULL;
}

int net_open(uv_loop_t *loop, const struct net_config *config, struct net **out, char *error, size_t error_size)
{
	struct net *n = net_new(loop, config);
	int code;
	*out = NULL;
	if (!n) {
		snprintf(error, error_size, "%s", error_text(ERR_NO_MEMORY));
		return ERR_NO_MEMORY;
	}
	code = open_sockets(n, config, error, error_size);
	if (code != OK) {
		close_sockets(n);
		destroy(n);
		return code;
	}
	if (!watch_all(n)) {
		net_close(n, NULL, NULL); /* freed in the loop's next turns */
		snprintf(error, error_size, "listen=%s: cannot be watched", config->listen);
		return ERR_NO_MEMORY;
	}
	*out = n;
	return OK;
}

void net_identify(struct net *n, const uint8_t cluster[16], uint64_t member)
{
	if (n->member == member && memcmp(n->cluster, cluster, sizeof n->cluster) == 0)
		return;
	memcpy(n->cluster, cluster, sizeof n->cluster);
	n->member = member;
	links_unlink(n);
}

const char *net_address(const struct net *n)
{
	return n->address;
}
