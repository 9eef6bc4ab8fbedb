/* cluster/: writes that ask something of the cluster.
 *
 *   cluster/leader              NAME                       that member is to lead
 *   cluster/members/NAME/role   voter, standby, auto       whether it votes
 *   rmdir cluster/members/NAME                             it is a member no more
 *
 * The kernel has checked that the caller is root or the owner of the tree: the files and the directory are his. The
 * leader carries it out, which may take a while (a new voter has to catch up first); a signal ends the wait with EINTR,
 * not the change. The files in a member's directory cannot be removed: rm -r, of that directory or of one further up,
 * fails on them and so leaves the cluster alone. */

#include <stdlib.h>
#include <string.h>

#include "front/parse.h"
#include "front/static.h"

/* A request that waits for the cluster. */
struct asked {
	struct front *front;
	struct call call; /* req NULL: the caller has given up */
	generate print;	  /* NULL: not a write */
};

bool control_is_writable(fuse_ino_t node)
{
	return static_id(node) == STATIC_LEADER || node_slot(node) == STATIC_ROLE;
}

/* ---- the answer ---- */

static void on_interrupt(fuse_req_t req, void *data)
{
	struct asked *a = data;

	a->call.req = NULL;
	reply_code(req, ERR_INTERRUPTED);
}

/* What the file says now is the reply on the handle. */
static void answer_write(struct asked *a)
{
	struct call *c = &a->call;
	char *text;
	size_t size;

	if (generated_text(a->front, c->node, a->print, &text, &size) == OK)
		text_reply(generated_handle(&c->fi), text, size);
	free(text);
	fuse_reply_write(c->req, c->size);
}

static void on_done(void *ctx, const struct reply *reply)
{
	struct asked *a = ctx;

	if (reply->code < 0)
		note_error(a->front, a->call.node, reply->code, reply->text);
	if (a->call.req) {
		fuse_req_interrupt_func(a->call.req, NULL, NULL);
		if (reply->code < 0)
			reply_code(a->call.req, reply->code);
		else if (a->print)
			answer_write(a);
		else
			reply_code(a->call.req, OK);
	}
	free(a);
}

static void ask(const struct call *c, enum cluster_change_kind kind, const char *member, generate print)
{
	struct front *f = front_of(c->req);
	struct asked *a = malloc(sizeof *a);

	if (!a) {
		reply_code(c->req, ERR_NO_MEMORY);
		return;
	}
	*a = (struct asked){f, *c, print};
	a->call.name = NULL; /* borrowed */
	replica_change(f->replica, kind, member, fuse_req_ctx(c->req)->uid, on_done, a);
	fuse_req_interrupt_func(c->req, on_interrupt, a);
}

/* ---- what is asked ---- */

static void write_leader(struct call *c, const char *name, generate print)
{
	char why[PARSE_ERROR_BYTES];

	if (members_find(front_of(c->req), name)) {
		ask(c, CLUSTER_LEAD, name, print);
		return;
	}
	snprintf(why, sizeof why, "there is no member called %s", name);
	call_refuse(c, ERR_INVALID, why);
}

static void write_role(struct call *c, const char *role, generate print)
{
	static const struct {
		const char *name;
		enum cluster_change_kind kind;
	} roles[] = {{"voter", CLUSTER_VOTER}, {"standby", CLUSTER_STANDBY}, {"auto", CLUSTER_AUTO}};
	char name[MEMBER_NAME_BYTES];
	int code = member_name(front_of(c->req), c->node, name);

	if (code < 0) {
		call_refuse(c, code, NULL);
		return;
	}
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (strcmp(roles[i].name, role) == 0) {
			ask(c, roles[i].kind, name, print);
			return;
		}
	call_refuse(c, ERR_INVALID, "a role is voter, standby or auto");
}

void control_write(struct call *c, const char *data, generate print)
{
	char line[MEMBER_NAME_BYTES], why[PARSE_ERROR_BYTES];
	int code = parse_only_line((struct bytes){data, c->size}, line, sizeof line, why);

	if (code < 0)
		call_refuse(c, code, why);
	else if (static_id(c->node) == STATIC_LEADER)
		write_leader(c, line, print);
	else
		write_role(c, line, print);
}

void control_rmdir(fuse_req_t req, const char *name)
{
	fuse_ino_t node = members_find(front_of(req), name);
	struct call c = call_of(req, node, NULL, NULL);

	if (node)
		ask(&c, CLUSTER_REMOVE, name, NULL);
	else
		reply_code(req, ERR_NOT_FOUND);
}
