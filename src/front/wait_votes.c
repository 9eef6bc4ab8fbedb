/* .wait/votes/V/prepare, precommit and outcome: a read waits until the vote has come so far, and tells its state. */

#include <string.h>
#include <sys/stat.h>

#include "front/static.h"
#include "front/votes.h"
#include "front/wait_handle.h"

bool wait_vote_phase(const char *name, enum vote_phase *out)
{
	static const struct {
		const char *name;
		enum vote_phase phase;
	} names[] = {{"prepare", VOTE_PREPARE}, {"precommit", VOTE_PRECOMMIT}, {"outcome", VOTE_COMMIT}};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i].name, name) == 0) {
			*out = names[i].phase;
			return true;
		}
	return false;
}

fuse_ino_t wait_vote_directory(struct front *f, const char *name)
{
	uint64_t number = machine_vote_named(replica_machine(f->replica), bytes_of_text(name));

	return number ? node_make(NODE_WAIT, WAIT_VOTE, number) : 0;
}

/* A vote that was removed was decided: who still waits comes too late to be told how. */
int wait_look_at_vote(struct front *f, struct wait_handle *h, fuse_req_t req, FILE *out)
{
	const Coordfs__Vote *vote = machine_vote(replica_machine(f->replica), h->vote);

	(void)req;
	if (!vote)
		return ERR_NOT_FOUND;
	if (vote->phase < (uint32_t)h->until)
		return QUEUED;
	if (out)
		fprintf(out, "%s\n", vote_phase_name(vote));
	return OK;
}

int wait_vote_attr(struct front *f, fuse_ino_t node, const struct wait_name *n, struct stat *out)
{
	uint64_t number = n ? n->vote : node_inode(node);
	int code = !n && node_slot(node) == WAIT_VOTES ? static_attr(f, static_node(STATIC_VOTES), out) :
							   votes_attr(f, vote_node(number, VOTE_SLOT_DIRECTORY), out);

	if (code < 0)
		return code;
	out->st_ino = node;
	out->st_mode = n ? S_IFREG | (out->st_mode & 0444) : S_IFDIR | (out->st_mode & 0555);
	out->st_nlink = n ? 1 : 2;
	return OK;
}
