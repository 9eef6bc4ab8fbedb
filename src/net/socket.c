#include <stdio.h>
#include <string.h>

#include "net/internal.h"

/* An encrypted message is a little longer than what is in it. */
#define OVERHEAD_BYTES 1024
#define CONNECT_TIMEOUT_MS 2000
#define HANDSHAKE_MS 3000
#define SILENCE_MS_MIN 2000

bool socket_set(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

bool socket_set_bytes(void *socket, int option, const void *value, size_t size)
{
	return zmq_setsockopt(socket, option, value, size) == 0;
}

int socket_fd(void *socket)
{
	int fd = -1;
	size_t size = sizeof fd;
	return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

bool socket_is_writable(void *socket)
{
	int events = 0;
	size_t size = sizeof events;
	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLOUT;
}

/* A ping each heartbeat; without any sign of life for three after it, the connection is gone. A message counts as life
 * only once it has arrived whole and been decrypted, which for the largest takes most of a second on a slow, busy
 * machine: hence SILENCE_MS_MIN, and a line must carry the largest message in that time.
 *
 * For sockets that only send. Each ping says after which silence the other side is to give up, so the receiving one
 * needs none of its own, and must not have them: when its queue was full as the connection broke, libzmq 4.3.4 pings
 * into the broken connection and ends the process (stream_engine_base.cpp: Assertion failed: !_io_error).
 *
 * While a message waits for room in the kernel there is no ping, and so no end of patience. Then only TCP notices, which
 * tries again ever more rarely: after a cut of half a minute, for as long again. Hence TCP_MAXRT: for so long what was
 * sent may be unacknowledged (TCP_USER_TIMEOUT, tcp(7)). */
bool socket_set_heartbeat(void *socket, unsigned heartbeat_ms)
{
	int silence_ms = heartbeat_ms * 3 > SILENCE_MS_MIN ? (int)heartbeat_ms * 3 : SILENCE_MS_MIN;
	return socket_set(socket, ZMQ_HEARTBEAT_IVL, (int)heartbeat_ms) &&
	       socket_set(socket, ZMQ_HEARTBEAT_TIMEOUT, silence_ms) &&
	       socket_set(socket, ZMQ_HEARTBEAT_TTL, silence_ms) && socket_set(socket, ZMQ_TCP_MAXRT, silence_ms);
}

bool socket_set_common(void *socket, bool is_ipv6)
{
	int64_t bytes_max = (int64_t)NET_MESSAGE_BYTES_MAX + OVERHEAD_BYTES;
	return socket_set(socket, ZMQ_LINGER, 0) && socket_set(socket, ZMQ_IPV6, is_ipv6) &&
	       socket_set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
	       socket_set(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS) &&
	       socket_set_bytes(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
}

/* ---- monitors ---- */

/* The I/O thread writes events without asking whether there is room: there always must be. */
void *monitor_new(void *context, void *socket, uint64_t number, int events)
{
	char endpoint[64];
	void *monitor = zmq_socket(context, ZMQ_PAIR);
	if (!monitor)
		return NULL;
	snprintf(endpoint, sizeof endpoint, "inproc://monitor-%llu", (unsigned long long)number);
	if (socket_set(monitor, ZMQ_LINGER, 0) && socket_set(monitor, ZMQ_RCVHWM, 0) &&
	    zmq_socket_monitor(socket, endpoint, events) == 0 && zmq_connect(monitor, endpoint) == 0)
		return monitor;
	zmq_close(monitor);
	return NULL;
}

bool monitor_next(void *monitor, struct monitor_event *out)
{
	uint8_t first[8], address[NET_ADDRESS_BYTES];
	if (zmq_recv(monitor, first, sizeof first, ZMQ_DONTWAIT) != 6)
		return false;
	zmq_recv(monitor, address, sizeof address, ZMQ_DONTWAIT);
	memcpy(&out->event, first, sizeof out->event);
	memcpy(&out->value, first + sizeof out->event, sizeof out->value);
	return true;
}
