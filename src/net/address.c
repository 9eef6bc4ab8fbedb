#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/internal.h"

#define SCHEME "tcp://"
#define HOST_BYTES_MAX 200u /* so that any endpoint fits, and more than any name has that a person types */

static bool is_name(const char *host)
{
	if (!isalnum((unsigned char)*host))
		return false;
	for (; *host; host++)
		if (!isalnum((unsigned char)*host) && !strchr("-._", *host))
			return false;
	return true;
}

/* fe80::1%eth0: what the zone is called is up to the host. */
static bool is_ipv6(const char *host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr binary;
	size_t size = strcspn(host, "%");
	if (size >= sizeof address)
		return false;
	if (host[size] == '%' && !is_name(host + size + 1))
		return false;
	memcpy(address, host, size);
	address[size] = '\0';
	return inet_pton(AF_INET6, address, &binary) == 1;
}

static const char *classify(struct address *a, bool has_brackets)
{
	struct in_addr ipv4;
	if (has_brackets) {
		a->kind = ADDRESS_IPV6;
		return is_ipv6(a->host) ? NULL : "what is in brackets must be an IPv6 address";
	}
	if (strcmp(a->host, "*") == 0) {
		a->kind = ADDRESS_ANY;
		return NULL;
	}
	if (inet_pton(AF_INET, a->host, &ipv4) == 1) {
		a->kind = ADDRESS_IPV4;
		return NULL;
	}
	if (strchr(a->host, ':'))
		return "an IPv6 address goes in brackets: tcp://[ADDRESS]:PORT";
	if (a->host[strspn(a->host, "0123456789.")] == '\0')
		return "this is no IPv4 address";
	a->kind = ADDRESS_NAME;
	return is_name(a->host) ? NULL : "this is no host name";
}

static const char *parse_port(const char *text, uint16_t *port)
{
	unsigned value = 0;
	size_t size = strspn(text, "0123456789");
	if (size == 0 || size > 5 || text[size] != '\0')
		return "the port must be a number up to 65535";
	for (; *text; text++)
		value = value * 10 + (unsigned)(*text - '0');
	*port = (uint16_t)value;
	return value <= 65535 ? NULL : "the port must be a number up to 65535";
}

static const char *parse_host(const char *host, size_t size, struct address *out)
{
	bool has_brackets = size >= 2 && host[0] == '[' && host[size - 1] == ']';
	if (has_brackets) {
		host++;
		size -= 2;
	}
	if (size == 0)
		return "the host is missing";
	if (size > HOST_BYTES_MAX)
		return "the host is too long";
	memcpy(out->host, host, size);
	out->host[size] = '\0';
	return classify(out, has_brackets);
}

const char *address_parse(const char *text, struct address *out)
{
	const char *colon, *wrong;
	memset(out, 0, sizeof *out);
	if (!text || strncmp(text, SCHEME, strlen(SCHEME)) != 0)
		return "an address looks like tcp://HOST:PORT";
	text += strlen(SCHEME);
	colon = strrchr(text, ':');
	if (!colon || (text[0] == '[' && colon < strchr(text, ']')))
		return "the port is missing: tcp://HOST:PORT";
	wrong = parse_host(text, (size_t)(colon - text), out);
	return wrong ? wrong : parse_port(colon + 1, &out->port);
}

bool address_is_everywhere(const struct address *a)
{
	struct in6_addr v6;
	if (a->kind == ADDRESS_IPV6)
		return inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
	return a->kind == ADDRESS_ANY || (a->kind == ADDRESS_IPV4 && strcmp(a->host, "0.0.0.0") == 0);
}

const char *address_parse_peer(const char *text, struct address *out)
{
	const char *wrong = address_parse(text, out);
	if (!wrong && address_is_everywhere(out))
		wrong = "this host is for listening only: nobody can be reached there";
	if (!wrong && out->port == 0)
		wrong = "port 0 is for listening only";
	return wrong;
}

void address_endpoint(const struct address *a, char *out)
{
	bool is_v6 = a->kind == ADDRESS_IPV6;
	snprintf(out, NET_ADDRESS_BYTES, SCHEME "%s%.*s%s:%u", is_v6 ? "[" : "", (int)HOST_BYTES_MAX, a->host,
		 is_v6 ? "]" : "", a->port);
}

void address_resolved(const struct sockaddr *found, socklen_t size, uint16_t port, struct address *out)
{
	memset(out, 0, sizeof *out);
	out->kind = found->sa_family == AF_INET6 ? ADDRESS_IPV6 : ADDRESS_IPV4;
	out->port = port;
	if (getnameinfo(found, size, out->host, HOST_BYTES_MAX, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(out->host, sizeof out->host, out->kind == ADDRESS_IPV6 ? "::" : "0.0.0.0");
}

int net_address_check(const char *address, const char *what, char *error, size_t error_size)
{
	struct address parsed;
	bool listens = strcmp(what, "listen") == 0;
	const char *wrong = listens ? address_parse(address, &parsed) : address_parse_peer(address, &parsed);
	if (error_size)
		error[0] = '\0';
	if (!wrong)
		return OK;
	snprintf(error, error_size, "%s=%s: %s", what, address, wrong);
	return ERR_INVALID;
}

bool net_address_is_loopback(const char *address)
{
	struct address a;
	struct in6_addr v6;
	if (address_parse(address, &a))
		return false;
	switch (a.kind) {
	case ADDRESS_IPV4:
		return strncmp(a.host, "127.", 4) == 0;
	case ADDRESS_IPV6:
		return inet_pton(AF_INET6, a.host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
	case ADDRESS_NAME:
		return strcasecmp(a.host, "localhost") == 0;
	case ADDRESS_ANY:
		break;
	}
	return false;
}
