/* votes/ as files. What a vote is, is the machine's; here are its names, texts and requests. */

#include "front/votes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "front/info_text.h"
#include "front/parse.h"
#include "front/static.h"
#include "front/virtual.h"

static const struct {
	const char *name;
	mode_t mode;
} names[] = {
	[VOTE_SLOT_CTL] = {"ctl", S_IFREG | 0644},	     [VOTE_SLOT_STATE] = {"state", S_IFREG | 0444},
	[VOTE_SLOT_OUTCOME] = {"outcome", S_IFREG | 0444}, [VOTE_SLOT_PROTOCOL] = {"protocol", S_IFREG | 0644},
	[VOTE_SLOT_TIMEOUT] = {"timeout", S_IFREG | 0644}, [VOTE_SLOT_PARTICIPANTS] = {"participants", S_IFDIR | 01777},
};
enum { NAMES = sizeof names / sizeof *names };

/* A participant's directory, and what is in it. */
enum { PART_DIRECTORY, PART_VOTE, PART_ACK, PARTS };
static const struct {
	const char *name;
	mode_t mode;
} parts[PARTS] = {{"", S_IFDIR | 0755}, {"vote", S_IFREG | 0644}, {"ack", S_IFREG | 0644}};

static const char *const phase_names[] = {"open", "prepare", "precommit", "commit", "abort"};

const char *vote_phase_name(const Coordfs__Vote *vote)
{
	return phase_names[vote->phase];
}

/* ---- nodes ---- */

static bool is_of_participant(fuse_ino_t node)
{
	return node_slot(node) >= VOTE_SLOT_FIRST;
}

static unsigned part_of(fuse_ino_t node)
{
	return (node_slot(node) - VOTE_SLOT_FIRST) % VOTE_SLOT_EACH;
}

static fuse_ino_t part_node(uint64_t number, size_t participant, unsigned part)
{
	return vote_node(number, VOTE_SLOT_FIRST + (unsigned)participant * VOTE_SLOT_EACH + part);
}

static const Coordfs__Vote *vote_of(struct front *f, fuse_ino_t node)
{
	return machine_vote(replica_machine(f->replica), node_inode(node));
}

/* NULL: the node is not of one, or of one that is not there. */
static const Coordfs__VoteParticipant *participant_of(const Coordfs__Vote *vote, fuse_ino_t node)
{
	size_t i = is_of_participant(node) ? (node_slot(node) - VOTE_SLOT_FIRST) / VOTE_SLOT_EACH : SIZE_MAX;

	return vote && i < vote->n_participants && part_of(node) < PARTS ? vote->participants[i] : NULL;
}

static bool is_named(ProtobufCBinaryData name, const char *text)
{
	return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

fuse_ino_t votes_find(struct front *f, const char *name, unsigned slot)
{
	uint64_t number = machine_vote_named(replica_machine(f->replica), bytes_of_text(name));

	return number ? vote_node(number, slot) : 0;
}

static fuse_ino_t find_file(uint64_t number, const char *name)
{
	for (unsigned slot = VOTE_SLOT_CTL; slot < NAMES; slot++)
		if (strcmp(names[slot].name, name) == 0)
			return vote_node(number, slot);
	return 0;
}

static fuse_ino_t find_participant(const Coordfs__Vote *vote, uint64_t number, const char *name)
{
	for (size_t i = 0; i < vote->n_participants; i++)
		if (is_named(vote->participants[i]->name, name))
			return part_node(number, i, PART_DIRECTORY);
	return 0;
}

static fuse_ino_t find_part(fuse_ino_t directory, const char *name)
{
	for (unsigned part = PART_VOTE; part < PARTS; part++)
		if (strcmp(parts[part].name, name) == 0)
			return vote_node(node_inode(directory), node_slot(directory) + part);
	return 0;
}

static fuse_ino_t find(struct front *f, fuse_ino_t parent, const char *name)
{
	const Coordfs__Vote *vote = vote_of(f, parent);

	if (!vote)
		return 0;
	if (node_slot(parent) == VOTE_SLOT_DIRECTORY)
		return find_file(node_inode(parent), name);
	if (node_slot(parent) == VOTE_SLOT_PARTICIPANTS)
		return find_participant(vote, node_inode(parent), name);
	return is_of_participant(parent) && part_of(parent) == PART_DIRECTORY ? find_part(parent, name) : 0;
}

/* ---- texts ---- */

static const char *answer_text(const Coordfs__VoteParticipant *p)
{
	return p->answer == VOTE_YES ? "yes" : p->answer == VOTE_NO ? "no" : "none";
}

static const char *outcome_text(const Coordfs__Vote *vote)
{
	return vote_is_decided(vote) ? vote_phase_name(vote) : "";
}

static int print_part(const Coordfs__VoteParticipant *p, unsigned part, FILE *out)
{
	if (part == PART_VOTE && p->answer != VOTE_SILENT)
		fprintf(out, "%s\n", answer_text(p));
	else if (part == PART_ACK && p->acknowledged)
		fputs("ack\n", out);
	return part == PART_DIRECTORY ? ERR_IS_DIRECTORY : OK;
}

static int print_file(const Coordfs__Vote *vote, unsigned slot, FILE *out)
{
	switch (slot) {
	case VOTE_SLOT_CTL:
	case VOTE_SLOT_STATE:
		fprintf(out, "%s\n", vote_phase_name(vote));
		return OK;
	case VOTE_SLOT_OUTCOME:
		fprintf(out, "%s%s", outcome_text(vote), vote_is_decided(vote) ? "\n" : "");
		return OK;
	case VOTE_SLOT_PROTOCOL:
		fprintf(out, "%upc\n", vote->protocol);
		return OK;
	case VOTE_SLOT_TIMEOUT:
		fprintf(out, "%" PRIu64 "\n", vote->timeout_ms / 1000);
		return OK;
	default:
		return ERR_IS_DIRECTORY;
	}
}

/* A `generate`. */
static int print(struct front *f, fuse_ino_t node, FILE *out)
{
	const Coordfs__Vote *vote = vote_of(f, node);
	const Coordfs__VoteParticipant *p = participant_of(vote, node);

	if (!vote || (is_of_participant(node) && !p))
		return ERR_NOT_FOUND;
	return p ? print_part(p, part_of(node), out) : print_file(vote, node_slot(node), out);
}

static void print_participant(FILE *out, const Coordfs__VoteParticipant *p)
{
	fputs("participant=", out);
	info_put_printable(out, (const char *)p->name.data, p->name.len);
	fputs(" host=", out);
	info_put_printable(out, (const char *)p->member.data, p->member.len);
	fprintf(out, " uid=%u vote=%s%s\n", p->uid, answer_text(p), p->acknowledged ? " ack" : "");
}

int votes_print_info(struct front *f, fuse_ino_t node, FILE *out)
{
	const Coordfs__Vote *vote = vote_of(f, node);
	const char *error = note_last(f, vote_node(node_inode(node), VOTE_SLOT_DIRECTORY));

	if (!vote)
		return ERR_NOT_FOUND;
	fprintf(out, "type=vote\nrevision=%" PRIu64 "\nconsistency=strong\n", vote->revision);
	info_print_time(out, "created", vote->created_ns);
	info_print_time(out, "modified", vote->changed_ns);
	info_print_text(out, "error", error ? error : "");
	fprintf(out, "state=%s\noutcome=%s\nprotocol=%upc\ntimeout=%" PRIu64 "\n", vote_phase_name(vote),
		outcome_text(vote), vote->protocol, vote->timeout_ms / 1000);
	if (vote->deadline_ns)
		info_print_time(out, "deadline", vote->deadline_ns);
	fputs("reason=", out);
	info_put_printable(out, (const char *)vote->reason.data, vote->reason.len);
	fputs("\nhost=", out);
	info_put_printable(out, (const char *)vote->member.data, vote->member.len);
	fprintf(out, " uid=%u\nparticipants=%zu\n", vote->uid, vote->n_participants);
	for (size_t i = 0; i < vote->n_participants; i++)
		print_participant(out, vote->participants[i]);
	return OK;
}

static int print_any(struct front *f, fuse_ino_t node, FILE *out)
{
	return node_slot(node) == VOTE_SLOT_INFO ? votes_print_info(f, node, out) : print(f, node, out);
}

/* ---- attributes ---- */

static mode_t mode_of(const Coordfs__Vote *vote, fuse_ino_t node)
{
	if (is_of_participant(node))
		return parts[part_of(node)].mode;
	if (node_slot(node) == VOTE_SLOT_DIRECTORY)
		return S_IFDIR | vote->mode;
	return node_slot(node) == VOTE_SLOT_INFO ? S_IFREG | 0444 : names[node_slot(node)].mode;
}

static unsigned links_of(const Coordfs__Vote *vote, fuse_ino_t node)
{
	if (node_slot(node) == VOTE_SLOT_DIRECTORY)
		return 3;
	return 2 + (node_slot(node) == VOTE_SLOT_PARTICIPANTS ? (unsigned)vote->n_participants : 0);
}

int votes_attr(struct front *f, fuse_ino_t node, struct stat *out)
{
	const Coordfs__Vote *vote = vote_of(f, node);
	const Coordfs__VoteParticipant *p = participant_of(vote, node);

	if (!vote || (is_of_participant(node) ? !p : node_slot(node) >= NAMES && node_slot(node) != VOTE_SLOT_INFO))
		return ERR_NOT_FOUND;
	*out = (struct stat){.st_ino = node, .st_mode = mode_of(vote, node), .st_nlink = 1, .st_blksize = 4096};
	out->st_uid = p ? p->uid : vote->uid;
	out->st_gid = p ? p->gid : vote->gid;
	out->st_mtim.tv_sec = vote->changed_ns / 1000000000;
	out->st_mtim.tv_nsec = vote->changed_ns % 1000000000;
	out->st_atim = out->st_ctim = out->st_mtim;
	if (S_ISDIR(out->st_mode))
		out->st_nlink = links_of(vote, node);
	else
		out->st_size = (off_t)generated_size(f, node, print_any);
	out->st_blocks = (out->st_size + 511) / 512;
	return OK;
}

static void run_getattr(struct front *f, struct call *c)
{
	struct stat attr;
	int code = votes_attr(f, c->node, &attr);

	if (code < 0)
		reply_code(c->req, code);
	else
		fuse_reply_attr(c->req, &attr, 0);
}

static void vote_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct call c = call_of(req, node, NULL, fi);

	c.run = run_getattr;
	call_strong(&c);
}

static void vote_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	generated_reply_setattr(req, generated_setattr(to_set, attr), vote_getattr, node, fi);
}

/* ---- names ---- */

static void run_lookup(struct front *f, struct call *c)
{
	virtual_reply_entry(c->req, find(f, c->node, c->name));
}

static void vote_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call c = call_of(req, parent, name, NULL);

	c.run = run_lookup;
	call_strong(&c);
}

struct listing {
	struct dir_reply *reply;
	unsigned slot;
	uint64_t bias;
};

static int list_vote(void *ctx, uint64_t number, const Coordfs__Vote *vote)
{
	const struct listing *l = ctx;
	char name[LIMIT_NAME_BYTES + 1];

	memcpy(name, vote->name.data, vote->name.len);
	name[vote->name.len] = '\0';
	return !dir_add(l->reply, name, vote_node(number, l->slot), l->slot == VOTE_SLOT_INFO ? S_IFREG : S_IFDIR,
			number + l->bias);
}

void votes_list(struct front *f, struct dir_reply *d, unsigned slot, uint64_t offset, uint64_t bias)
{
	struct listing l = {d, slot, bias};

	machine_votes(replica_machine(f->replica), offset > bias ? offset - bias : 0, list_vote, &l);
}

static int count_one(void *ctx, uint64_t number, const Coordfs__Vote *vote)
{
	(void)number, (void)vote;
	++*(unsigned *)ctx;
	return 0;
}

unsigned votes_count(struct front *f)
{
	unsigned count = 0;

	machine_votes(replica_machine(f->replica), 0, count_one, &count);
	return count;
}

static void list_files(struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	for (unsigned slot = VOTE_SLOT_CTL; slot < NAMES; slot++)
		if (offset < STATIC_OFFSET_DOTS + slot &&
		    !dir_add(d, names[slot].name, vote_node(node_inode(node), slot), names[slot].mode & S_IFMT,
			     STATIC_OFFSET_DOTS + slot))
			return;
}

static void list_participants(struct dir_reply *d, fuse_ino_t node, const Coordfs__Vote *vote, uint64_t offset)
{
	char name[LIMIT_NAME_BYTES + 1];

	for (size_t i = offset > STATIC_OFFSET_DOTS ? offset - STATIC_OFFSET_DOTS : 0; i < vote->n_participants; i++) {
		const ProtobufCBinaryData *bytes = &vote->participants[i]->name;

		memcpy(name, bytes->data, bytes->len);
		name[bytes->len] = '\0';
		if (!dir_add(d, name, part_node(node_inode(node), i, PART_DIRECTORY), S_IFDIR, STATIC_OFFSET_DOTS + 1 + i))
			return;
	}
}

static void list_parts(struct dir_reply *d, fuse_ino_t node, uint64_t offset)
{
	for (unsigned part = PART_VOTE; part < PARTS; part++)
		if (offset < STATIC_OFFSET_DOTS + part &&
		    !dir_add(d, parts[part].name, node_make(NODE_VOTE, node_slot(node) + part, node_inode(node)), S_IFREG,
			     STATIC_OFFSET_DOTS + part))
			return;
}

static void run_readdir(struct front *f, struct call *c)
{
	const Coordfs__Vote *vote = vote_of(f, c->node);
	struct dir_reply d = dir_begin(c->req, c->size);

	if (!vote) {
		reply_code(c->req, ERR_NOT_FOUND);
		return;
	}
	if (static_list_dots(&d, c->node, c->offset)) {
		if (node_slot(c->node) == VOTE_SLOT_DIRECTORY)
			list_files(&d, c->node, c->offset);
		else if (node_slot(c->node) == VOTE_SLOT_PARTICIPANTS)
			list_participants(&d, c->node, vote, c->offset);
		else
			list_parts(&d, c->node, c->offset);
	}
	dir_end(&d);
}

static void vote_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_readdir;
	call_strong(&c);
}

/* ---- reading ---- */

static void vote_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	bool written = is_of_participant(node) || node_slot(node) == VOTE_SLOT_CTL || node_slot(node) == VOTE_SLOT_PROTOCOL ||
		       node_slot(node) == VOTE_SLOT_TIMEOUT;

	if (written)
		generated_open(req, node, fi);
	else
		generated_open_to_read(req, node, fi);
}

static void run_read(struct front *f, struct call *c)
{
	generated_read(f, c, print_any);
}

static void vote_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, node, size, offset, fi);

	c.run = run_read;
	call_strong(&c);
}

/* ---- requests ---- */

static void propose(struct call *c, Coordfs__VoteRequest *q)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;

	command.of_case = COORDFS__COMMAND__OF_VOTE;
	command.vote = q;
	call_propose(c, &command);
}

static void answer_made(struct front *f, struct call *c, const struct reply *reply)
{
	(void)f;
	virtual_reply_entry(c->req, vote_node((uint64_t)reply->value, VOTE_SLOT_DIRECTORY));
}

static Coordfs__VoteRequest request_to_make(fuse_req_t req, const char *name)
{
	Coordfs__VoteRequest q = COORDFS__VOTE_REQUEST__INIT;

	q.name = binary_of_bytes(bytes_of_text(name));
	q.uid = fuse_req_ctx(req)->uid;
	q.gid = fuse_req_ctx(req)->gid;
	return q;
}

void votes_mkdir(fuse_req_t req, const char *name, mode_t mode)
{
	struct call c = call_of(req, static_node(STATIC_VOTES), NULL, NULL);
	Coordfs__VoteRequest q = request_to_make(req, name);

	q.action = VOTE_ACTION_MAKE;
	q.mode = mode & 0777;
	c.answer = answer_made;
	propose(&c, &q);
}

void votes_rmdir(fuse_req_t req, const char *name)
{
	fuse_ino_t node = votes_find(front_of(req), name, VOTE_SLOT_DIRECTORY);
	Coordfs__VoteRequest q = COORDFS__VOTE_REQUEST__INIT;
	struct call c = call_of(req, node, NULL, NULL);

	if (!node) {
		reply_code(req, ERR_NOT_FOUND);
		return;
	}
	q.action = VOTE_ACTION_REMOVE;
	q.vote = node_inode(node);
	propose(&c, &q);
}

/* The number is the vote's: whose last participant it may be. */
static void answer_enrolled(struct front *f, struct call *c, const struct reply *reply)
{
	const Coordfs__Vote *vote = machine_vote(replica_machine(f->replica), (uint64_t)reply->value);

	virtual_reply_entry(c->req, vote ? find_participant(vote, (uint64_t)reply->value, c->name) : 0);
}

static void vote_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct call c = call_of(req, vote_node(node_inode(parent), VOTE_SLOT_DIRECTORY), name, NULL);
	Coordfs__VoteRequest q = request_to_make(req, name);

	(void)mode;
	if (node_slot(parent) != VOTE_SLOT_PARTICIPANTS) {
		reply_code(req, ERR_PERM);
		return;
	}
	q.action = VOTE_ACTION_REGISTER;
	q.vote = node_inode(parent);
	c.answer = answer_enrolled;
	propose(&c, &q);
}

/* What the file says now is the reply on the handle. (c->node is the vote, for its error=.) */
static void answer_write(struct front *f, struct call *c, const struct reply *reply)
{
	char *text;
	size_t size;

	(void)reply;
	if (generated_text(f, vote_node(node_inode(c->node), (unsigned)c->number), print, &text, &size) == OK)
		text_reply(generated_handle(&c->fi), text, size);
	free(text);
	fuse_reply_write(c->req, c->size);
}

/* NULL: q is filled in; else what would be right. */
static const char *ask_ctl(const char *line, Coordfs__VoteRequest *q)
{
	if (strcmp(line, "prepare") == 0)
		q->action = VOTE_ACTION_PREPARE;
	else if (strcmp(line, "abort") == 0)
		q->action = VOTE_ACTION_ABORT;
	else
		return "ctl takes prepare or abort";
	return NULL;
}

static const char *ask_protocol(const char *line, Coordfs__VoteRequest *q)
{
	q->action = VOTE_ACTION_SET_PROTOCOL;
	q->value = strcmp(line, "2pc") == 0 ? VOTE_2PC : strcmp(line, "3pc") == 0 ? VOTE_3PC : 0;
	return q->value ? NULL : "a protocol is 2pc or 3pc";
}

static const char *ask_timeout(const char *line, Coordfs__VoteRequest *q)
{
	uint64_t seconds;

	if (parse_u64(bytes_of_text(line), &seconds) < 0)
		return "a timeout is a number of seconds";
	q->action = VOTE_ACTION_SET_TIMEOUT;
	q->value = seconds > LIMIT_VOTE_TIMEOUT_S_MAX ? UINT64_MAX : seconds * 1000; /* which is refused */
	return NULL;
}

static const char *ask_part(const Coordfs__VoteParticipant *p, unsigned part, const char *line, Coordfs__VoteRequest *q)
{
	q->name = p->name;
	if (part == PART_ACK) {
		q->action = VOTE_ACTION_ACKNOWLEDGE;
		return strcmp(line, "ack") == 0 ? NULL : "ack takes ack";
	}
	q->action = VOTE_ACTION_CAST;
	q->value = strcmp(line, "yes") == 0 ? VOTE_YES : strcmp(line, "no") == 0 ? VOTE_NO : VOTE_SILENT;
	return q->value != VOTE_SILENT ? NULL : "a vote is yes or no";
}

static const char *ask(const Coordfs__Vote *vote, fuse_ino_t node, const char *line, Coordfs__VoteRequest *q)
{
	const Coordfs__VoteParticipant *p = participant_of(vote, node);

	q->vote = node_inode(node);
	switch (node_slot(node)) {
	case VOTE_SLOT_CTL:
		return ask_ctl(line, q);
	case VOTE_SLOT_PROTOCOL:
		return ask_protocol(line, q);
	case VOTE_SLOT_TIMEOUT:
		return ask_timeout(line, q);
	default:
		return p ? ask_part(p, part_of(node), line, q) : "nothing is written here";
	}
}

static void vote_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	struct call c = call_of_read(req, vote_node(node_inode(node), VOTE_SLOT_DIRECTORY), size, offset, fi);
	const Coordfs__Vote *vote = vote_of(front_of(req), node);
	Coordfs__VoteRequest q = COORDFS__VOTE_REQUEST__INIT;
	char line[32], why[PARSE_ERROR_BYTES];
	const char *wrong = why;
	int code = parse_only_line((struct bytes){data, size}, line, sizeof line, why);

	c.number = node_slot(node);
	c.answer = answer_write;
	if (!vote) {
		reply_code(req, ERR_NOT_FOUND);
		return;
	}
	if (code == OK)
		wrong = ask(vote, node, line, &q);
	if (wrong)
		call_refuse(&c, ERR_INVALID, wrong);
	else
		propose(&c, &q);
}

const struct fuse_lowlevel_ops vote_class_ops = {
	.lookup = vote_lookup,
	.getattr = vote_getattr,
	.setattr = vote_setattr,
	.getxattr = generated_getxattr,
	.mkdir = vote_mkdir,
	.readdir = vote_readdir,
	.open = vote_open,
	.read = vote_read,
	.write = vote_write,
	.release = generated_release,
};
