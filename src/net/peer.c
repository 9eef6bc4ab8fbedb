#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

#define TICK_MS 500u
#define TICK_HURRY_MS 5u
#define PING_MS 1000u
#define USED_MS 3000u /* a peer that nothing was sent to for so long is not pinged */
#define IDLE_MS 5000u /* … and not heard from either: its connection is closed until it is wanted */

/* ---- the table ---- */

struct peer *peer_find(struct net *n, uint64_t member)
{
	struct peer *p;
	HASH_FIND(hh, n->peers, &member, sizeof member, p);
	return p;
}

static struct peer *peer_add(struct net *n, uint64_t member)
{
	struct peer *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->member = member;
	p->heard_ms = uv_now(n->loop);
	HASH_ADD(hh, n->peers, member, sizeof p->member, p);
	return hash_kept(p);
}

static void peer_unlink(struct peer *p)
{
	if (p->link)
		link_close(p->link);
	p->link = NULL;
}

static void peer_remove(struct net *n, struct peer *p)
{
	peer_unlink(p);
	HASH_DEL(n->peers, p);
	free(p);
}

int net_set_peer(struct net *n, uint64_t member, const char *address)
{
	struct peer *p = peer_find(n, member);
	struct address parsed;

	if (address && *address == '\0') {
		net_remove_peer(n, member);
		return OK;
	}
	if (n->is_closing || member == 0 || address_parse_peer(address, &parsed))
		return ERR_INVALID;
	if (!p && !(p = peer_add(n, member)))
		return ERR_NO_MEMORY;
	if (strcmp(p->text, address) == 0)
		return OK;
	peer_unlink(p);
	p->address = parsed;
	snprintf(p->text, sizeof p->text, "%s", address);
	return OK;
}

void net_remove_peer(struct net *n, uint64_t member)
{
	struct peer *p = peer_find(n, member);
	if (p)
		peer_remove(n, p);
}

void links_unlink(struct net *n)
{
	struct peer *p, *next;
	HASH_ITER(hh, n->peers, p, next)
		peer_unlink(p);
}

void links_free(struct net *n)
{
	struct peer *p, *next;
	HASH_ITER(hh, n->peers, p, next)
		peer_remove(n, p);
	net_forget_addresses(n);
}

/* ---- sending ---- */

static struct packed *seal(struct net *n, uint64_t member, Coordfs__Envelope *e)
{
	bool identified = net_is_identified(n);
	e->protocol = PROTOCOL_VERSION;
	e->cluster = (ProtobufCBinaryData){identified ? sizeof n->cluster : 0, n->cluster};
	e->from = identified ? n->member : 0;
	e->to = member;
	return packed_new(e);
}

static bool peer_open(struct net *n, struct peer *p)
{
	if (!p->link)
		p->link = link_new(n, p->text, &p->address, false, p->member);
	return p->link != NULL;
}

static bool peer_send(struct net *n, struct peer *p, Coordfs__Envelope *e)
{
	struct packed *packed = peer_open(n, p) ? seal(n, p->member, e) : NULL;
	size_t size = packed ? packed_size(packed) : 0;
	if (!packed || !link_send(p->link, packed)) {
		p->dropped++;
		n->dropped++;
		return false;
	}
	p->sent++;
	p->sent_bytes += size;
	n->sent++;
	return true;
}

bool net_send(struct net *n, uint64_t member, Coordfs__Envelope *e)
{
	struct peer *p = n->is_closing ? NULL : peer_find(n, member);
	if (!p) {
		n->dropped++;
		return false;
	}
	p->used_ms = uv_now(n->loop);
	return peer_send(n, p, e);
}

static struct link *address_link(struct net *n, const char *text)
{
	struct address parsed;
	struct link *l;
	for (l = n->addresses; l; l = l->next)
		if (strcmp(l->text, text) == 0)
			return l;
	if (n->is_closing || address_parse_peer(text, &parsed))
		return NULL;
	l = link_new(n, text, &parsed, true, ++n->number);
	if (l) {
		l->next = n->addresses;
		n->addresses = l;
	}
	return l;
}

bool net_send_to_address(struct net *n, const char *address, Coordfs__Envelope *e)
{
	struct link *l = address_link(n, address);
	struct packed *packed = l ? seal(n, 0, e) : NULL;
	if (!packed || !link_send(l, packed)) {
		n->dropped++;
		return false;
	}
	n->sent++;
	return true;
}

void net_forget_addresses(struct net *n)
{
	while (n->addresses) {
		struct link *l = n->addresses;
		n->addresses = l->next;
		link_close(l);
	}
}

/* ---- receiving ---- */

void peer_heard(struct net *n, uint64_t member, size_t size)
{
	struct peer *p = peer_find(n, member);
	if (!p)
		return;
	p->received++;
	p->received_bytes += size;
	p->heard_ms = uv_now(n->loop);
	peer_open(n, p);
}

/* ---- round trips ---- */

void peer_pinged(struct net *n, const Coordfs__Envelope *e)
{
	Coordfs__Envelope answer = COORDFS__ENVELOPE__INIT;
	struct peer *p = peer_find(n, e->from);
	if (!p)
		return;
	answer.of_case = COORDFS__ENVELOPE__OF_PONG;
	answer.pong = e->ping;
	peer_send(n, p, &answer);
}

/* Its clock is not asked, nor what it says of ours. */
void peer_ponged(struct net *n, const Coordfs__Envelope *e)
{
	struct peer *p = peer_find(n, e->from);
	if (!p || p->ping_nonce == 0 || e->pong->nonce != p->ping_nonce)
		return;
	p->round_trip_us = (uv_hrtime() - p->ping_sent_ns) / 1000 + 1;
	p->ping_nonce = 0;
}

static void ping(struct net *n, struct peer *p, uint64_t now_ms)
{
	Coordfs__Envelope e = COORDFS__ENVELOPE__INIT;
	Coordfs__Ping content = COORDFS__PING__INIT;
	p->ping_sent_ms = now_ms;
	p->ping_nonce = content.nonce = ++n->number;
	p->ping_sent_ns = content.sent_ns = uv_hrtime();
	e.of_case = COORDFS__ENVELOPE__OF_PING;
	e.ping = &content;
	peer_send(n, p, &e);
}

static void peer_tick(struct net *n, struct peer *p, uint64_t now_ms)
{
	if (p->link && now_ms - p->used_ms >= IDLE_MS && now_ms - p->heard_ms >= IDLE_MS)
		peer_unlink(p);
	if (!p->link)
		return;
	link_tick(p->link, now_ms);
	if (p->link->is_connected && p->used_ms && now_ms - p->used_ms < USED_MS &&
	    now_ms - p->ping_sent_ms >= PING_MS)
		ping(n, p, now_ms);
}

unsigned links_tick(struct net *n, uint64_t now_ms)
{
	struct peer *p, *next;
	bool hurry = false;
	HASH_ITER(hh, n->peers, p, next) {
		peer_tick(n, p, now_ms);
		hurry |= p->link && p->link->waiting_count;
	}
	for (struct link *l = n->addresses; l; l = l->next) {
		link_tick(l, now_ms);
		hurry |= l->waiting_count != 0;
	}
	return hurry ? TICK_HURRY_MS : TICK_MS;
}

/* ---- figures ---- */

void net_peers(struct net *n, void (*each)(void *ctx, const struct net_peer_state *peer), void *ctx)
{
	struct peer *p, *next;
	uint64_t now_ms = uv_now(n->loop);
	HASH_ITER(hh, n->peers, p, next) {
		const struct net_peer_state state = {
			.member = p->member,
			.address = p->text,
			.connected = p->link && p->link->is_connected,
			.sent = p->sent,
			.received = p->received,
			.dropped = p->dropped,
			.sent_bytes = p->sent_bytes,
			.received_bytes = p->received_bytes,
			.round_trip_us = p->round_trip_us,
			.silent_ms = now_ms - p->heard_ms,
		};
		each(ctx, &state);
	}
}

void net_totals(struct net *n, struct net_totals *out)
{
	*out = (struct net_totals){
		.sent = n->sent,
		.received = n->received,
		.dropped = n->dropped,
		.refused_key = n->refusals.count[REFUSED_KEY],
		.refused_cluster = n->refusals.count[REFUSED_CLUSTER],
		.refused_protocol = n->refusals.count[REFUSED_PROTOCOL],
		.refused_malformed = n->refusals.count[REFUSED_MALFORMED],
		.trouble = refusals_trouble(n),
	};
}
