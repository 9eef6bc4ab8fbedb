/* cluster/members: a directory for each member, by its number. Everything is asked of the replica anew: nothing is kept
 * of a member that may be gone. */

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info_text.h"
#include "front/static.h"

static const struct {
	const char *name;
	mode_t mode;
} files[STATIC_SLOTS] = {
	[STATIC_MEMBER] = {"", S_IFDIR | 0755},
	[STATIC_ADDRESS] = {"address", S_IFREG | 0444},
	[STATIC_ROLE] = {"role", S_IFREG | 0644},
	[STATIC_STATE] = {"state", S_IFREG | 0444},
	[STATIC_LAG] = {"lag", S_IFREG | 0444},
};

static fuse_ino_t member_node(unsigned slot, uint64_t id)
{
	return node_make(NODE_STATIC, slot, id);
}

/* ---- finding ---- */

struct search {
	uint64_t id;	  /* 0: by name */
	const char *name;
	void (*found)(struct search *s, const struct replica_member *member);
	void *ctx;
	unsigned slot;
	uint64_t id_found;
};

static void compare(void *ctx, const struct replica_member *member)
{
	struct search *s = ctx;

	if (s->id_found || (s->id ? member->id != s->id : strcmp(member->name, s->name) != 0))
		return;
	s->id_found = member->id;
	if (s->found)
		s->found(s, member);
}

static bool search(struct front *f, struct search *s)
{
	replica_members(f->replica, compare, s);
	return s->id_found != 0;
}

fuse_ino_t members_find(struct front *f, const char *name)
{
	struct search s = {.name = name};

	return search(f, &s) ? member_node(STATIC_MEMBER, s.id_found) : 0;
}

fuse_ino_t member_find(fuse_ino_t directory, const char *name)
{
	for (unsigned slot = STATIC_ADDRESS; slot < STATIC_SLOTS; slot++)
		if (strcmp(files[slot].name, name) == 0)
			return member_node(slot, node_inode(directory));
	return 0;
}

int member_mode(struct front *f, fuse_ino_t node, mode_t *mode)
{
	struct search s = {.id = node_inode(node)};

	if (node_slot(node) >= STATIC_SLOTS || !search(f, &s))
		return ERR_NOT_FOUND;
	*mode = files[node_slot(node)].mode;
	return OK;
}

static void copy_name(struct search *s, const struct replica_member *member)
{
	snprintf(s->ctx, MEMBER_NAME_BYTES, "%s", member->name);
}

int member_name(struct front *f, fuse_ino_t node, char name[static MEMBER_NAME_BYTES])
{
	struct search s = {.id = node_inode(node), .found = copy_name, .ctx = name};

	return search(f, &s) ? OK : ERR_NOT_FOUND;
}

/* ---- listing ---- */

struct members_listing {
	const struct static_listing *list;
	bool full;
	unsigned count;
};

static void list_one(void *ctx, const struct replica_member *member)
{
	struct members_listing *m = ctx;
	const struct static_listing *l = m->list;

	m->count++;
	if (!l || m->full || l->offset >= l->bias + member->id)
		return;
	m->full = !dir_add(l->reply, member->name, l->as(member_node(STATIC_MEMBER, member->id)), S_IFDIR,
			   l->bias + member->id);
}

bool members_list(struct front *f, const struct static_listing *l)
{
	struct members_listing m = {.list = l};

	replica_members(f->replica, list_one, &m);
	return !m.full;
}

unsigned members_count(struct front *f)
{
	struct members_listing m = {.list = NULL};

	replica_members(f->replica, list_one, &m);
	return m.count;
}

bool member_list(const struct static_listing *l, fuse_ino_t directory)
{
	for (unsigned slot = STATIC_ADDRESS; slot < STATIC_SLOTS; slot++)
		if (l->offset < l->bias + slot &&
		    !dir_add(l->reply, files[slot].name, l->as(member_node(slot, node_inode(directory))), S_IFREG,
			     l->bias + slot))
			return false;
	return true;
}

/* ---- printing ---- */

static void print_lag(FILE *out, const struct replica_member *member)
{
	if (member->known)
		fprintf(out, "%" PRIu64 "\n", member->lag);
	else
		fputs("unknown\n", out);
}

static void print_file(struct search *s, const struct replica_member *member)
{
	switch (s->slot) {
	case STATIC_ADDRESS:
		fprintf(s->ctx, "%s\n", member->address[0] ? member->address : "none");
		break;
	case STATIC_ROLE:
		fprintf(s->ctx, "%s\n", member->role);
		break;
	case STATIC_STATE:
		fprintf(s->ctx, "%s\n", member->state);
		break;
	case STATIC_LAG:
		print_lag(s->ctx, member);
		break;
	}
}

int member_print(struct front *f, fuse_ino_t node, FILE *out)
{
	struct search s = {.id = node_inode(node), .found = print_file, .ctx = out, .slot = node_slot(node)};

	return search(f, &s) ? OK : ERR_NOT_FOUND;
}

static const char *wish_name(enum member_wish wish)
{
	return wish == MEMBER_VOTER ? "voter" : wish == MEMBER_STANDBY ? "standby" : "auto";
}

static void print_info(struct search *s, const struct replica_member *member)
{
	FILE *out = s->ctx;

	info_print_text(out, "name", member->name);
	fprintf(out, "number=%" PRIu64 "\n", member->id);
	info_print_text(out, "address", member->address);
	info_print_text(out, "role", member->role);
	info_print_text(out, "wish", wish_name(member->wish));
	info_print_text(out, "state", member->state);
	info_print_text(out, "version", member->version);
	info_print_text(out, "trouble", member->trouble);
	if (!member->known)
		return;
	fprintf(out, "applied=%" PRIu64 "\nlag=%" PRIu64 "\nsilent_ms=%" PRIu64 "\n", member->applied, member->lag,
		member->silent_ms);
	fprintf(out, "round_trip_us=%" PRIu64 "\ndisk_free_bytes=%" PRIu64 "\n", member->round_trip_us,
		member->disk_free_bytes);
}

void member_print_info(struct front *f, fuse_ino_t node, FILE *out)
{
	struct search s = {.id = node_inode(node), .found = print_info, .ctx = out};

	search(f, &s);
}
