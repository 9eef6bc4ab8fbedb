/* Room: front. votes/: a directory for each vote of the machine (machine/vote.c), its files made of the vote's record.
 *
 * Nodes of the class NODE_VOTE: the vote's number, and in the slot which of its names it is. */
#ifndef COORDFS_FRONT_VOTES_H
#define COORDFS_FRONT_VOTES_H

#include "front/generated.h"

enum vote_slot {
	VOTE_SLOT_DIRECTORY,
	VOTE_SLOT_CTL,
	VOTE_SLOT_STATE,
	VOTE_SLOT_OUTCOME,
	VOTE_SLOT_PROTOCOL,
	VOTE_SLOT_TIMEOUT,
	VOTE_SLOT_PARTICIPANTS,
	VOTE_SLOT_INFO, /* .info/votes/V */
	VOTE_SLOT_FIRST = 16, /* of the participants', VOTE_SLOT_EACH for each */
	VOTE_SLOT_EACH = 4,
};

static inline fuse_ino_t vote_node(uint64_t number, unsigned slot)
{
	return node_make(NODE_VOTE, slot, number);
}

extern const struct fuse_lowlevel_ops vote_class_ops;

/* The node of V's directory, or (slot VOTE_SLOT_INFO) of its `.info`; 0: there is none. */
fuse_ino_t votes_find(struct front *f, const char *name, unsigned slot);
/* READDIR of votes/ or .info/votes: as the node in that slot, entries at offsets above bias. */
void votes_list(struct front *f, struct dir_reply *d, unsigned slot, uint64_t offset, uint64_t bias);
unsigned votes_count(struct front *f);
void votes_mkdir(fuse_req_t req, const char *name, mode_t mode); /* answers, as the next one does */
void votes_rmdir(fuse_req_t req, const char *name);

const char *vote_phase_name(const Coordfs__Vote *vote);
int votes_attr(struct front *f, fuse_ino_t node, struct stat *out);
int votes_print_info(struct front *f, fuse_ino_t node, FILE *out); /* a `generate` */

#endif
