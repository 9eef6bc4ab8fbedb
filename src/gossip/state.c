/* A record as bytes: protobuf's, packed in one way only, and read with suspicion. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "gossip/crdt.h"

/* ---- out ---- */

struct packing {
	Coordfs__GossipState state;
	Coordfs__GossipStamp owner, stamps[4];
	Coordfs__GossipRegister regs[2];
	Coordfs__GossipShare *shares, **pointers;
};

static Coordfs__GossipStamp *pack_stamp(const struct stamp *in, Coordfs__GossipStamp *out)
{
	if (!stamp_is_set(in))
		return NULL;
	coordfs__gossip_stamp__init(out);
	out->ms = in->ms;
	out->counter = in->counter;
	out->member = in->member;
	return out;
}

static Coordfs__GossipRegister *pack_reg(const struct reg *in, Coordfs__GossipRegister *out,
					 Coordfs__GossipStamp stamps[2])
{
	coordfs__gossip_register__init(out);
	out->written = pack_stamp(&in->written, &stamps[0]);
	out->removed = pack_stamp(&in->removed, &stamps[1]);
	out->data = (ProtobufCBinaryData){in->size, in->data};
	return out->written || out->removed ? out : NULL;
}

static void pack_share(const struct share *in, Coordfs__GossipShare *out)
{
	coordfs__gossip_share__init(out);
	out->member = in->member;
	out->epoch = in->epoch;
	out->sequence = in->sequence;
	out->added = in->added;
	out->taken = in->taken;
	out->removed_sequence = in->removed_sequence;
	out->removed_added = in->removed_added;
	out->removed_taken = in->removed_taken;
}

static int pack_shares(const struct record *r, struct packing *p)
{
	p->shares = calloc(r->share_count + 1, sizeof *p->shares);
	p->pointers = calloc(r->share_count + 1, sizeof(Coordfs__GossipShare *));
	if (!p->shares || !p->pointers)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < r->share_count; i++) {
		pack_share(&r->shares[i], &p->shares[i]);
		p->pointers[i] = &p->shares[i];
	}
	p->state.n_shares = r->share_count;
	p->state.shares = p->pointers;
	return 0;
}

static void pack_fields(const struct record *r, struct packing *p)
{
	p->state.owner_written = pack_stamp(&r->owner_written, &p->owner);
	p->state.uid = r->owner.uid;
	p->state.gid = r->owner.gid;
	p->state.mode = r->owner.mode;
	p->state.file = pack_reg(&r->file, &p->regs[0], &p->stamps[0]);
	p->state.directory = pack_reg(&r->directory, &p->regs[1], &p->stamps[2]);
	p->state.changed_ms = r->changed_ms;
	p->state.gone = r->gone;
}

int record_pack(const struct record *r, uint8_t **out, size_t *size)
{
	struct packing p = {.state = COORDFS__GOSSIP_STATE__INIT};
	int rc = pack_shares(r, &p);

	*out = NULL;
	*size = 0;
	if (!rc) {
		pack_fields(r, &p);
		*size = coordfs__gossip_state__get_packed_size(&p.state);
		*out = malloc(*size + 1);
		if (*out)
			coordfs__gossip_state__pack(&p.state, *out);
		else
			rc = ERR_NO_MEMORY;
	}
	free(p.shares);
	free(p.pointers);
	return rc;
}

/* ---- in ---- */

static bool unpack_stamp(const Coordfs__GossipStamp *in, struct stamp *out)
{
	if (!in)
		return true;
	*out = (struct stamp){.ms = in->ms, .counter = in->counter, .member = in->member};
	return in->ms < STAMP_MS_MAX && in->member != 0;
}

/* The data becomes ours. */
static bool unpack_reg(Coordfs__GossipRegister *in, struct reg *out)
{
	if (!in)
		return true;
	if (!unpack_stamp(in->written, &out->written) || !unpack_stamp(in->removed, &out->removed))
		return false;
	if (in->data.len > LIMIT_FILE_BYTES || (in->data.len && stamp_compare(&out->written, &out->removed) <= 0))
		return false;
	if (in->data.len) {
		out->data = in->data.data;
		out->size = in->data.len;
		in->data = (ProtobufCBinaryData){0, NULL};
	}
	return true;
}

static bool unpack_share(const Coordfs__GossipShare *in, struct share *out)
{
	*out = (struct share){.member = in->member, .epoch = in->epoch, .sequence = in->sequence, .added = in->added,
			      .taken = in->taken, .removed_sequence = in->removed_sequence,
			      .removed_added = in->removed_added, .removed_taken = in->removed_taken};
	return in->member != 0 && in->removed_sequence <= in->sequence && in->removed_added <= in->added &&
	       in->removed_taken <= in->taken;
}

static int unpack_shares(const Coordfs__GossipState *in, struct record *r)
{
	uint64_t before = 0;

	if (!in->n_shares)
		return 0;
	r->shares = malloc(in->n_shares * sizeof *r->shares);
	if (!r->shares)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < in->n_shares; i++) {
		if (!unpack_share(in->shares[i], &r->shares[i]) || r->shares[i].member <= before)
			return ERR_INVALID;
		before = r->shares[i].member;
	}
	r->share_count = in->n_shares;
	return 0;
}

static int unpack_fields(Coordfs__GossipState *in, struct record *r)
{
	if (in->gone) {
		r->gone = true;
		return 0;
	}
	if (!unpack_stamp(in->owner_written, &r->owner_written) || !unpack_reg(in->file, &r->file) ||
	    (in->directory && in->directory->data.len) || !unpack_reg(in->directory, &r->directory) ||
	    in->changed_ms >= STAMP_MS_MAX || in->mode > 07777)
		return ERR_INVALID;
	r->owner = (struct gossip_owner){.uid = in->uid, .gid = in->gid, .mode = in->mode};
	r->changed_ms = in->changed_ms;
	return unpack_shares(in, r);
}

int record_unpack(const uint8_t *data, size_t size, struct record *r)
{
	Coordfs__GossipState *in = coordfs__gossip_state__unpack(NULL, size, data);
	int rc = in ? unpack_fields(in, r) : ERR_INVALID;

	if (rc)
		record_fini(r);
	if (in)
		coordfs__gossip_state__free_unpacked(in, NULL);
	return rc;
}
