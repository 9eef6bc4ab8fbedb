/* Requests on their way. A read goes through the read barrier (with one member that is nothing at all), a change
 * through the log. The arguments live on the stack as long as the answer does not have to wait; else in a copy. */

#include "front/front.h"

#include <stdlib.h>
#include <string.h>

#include "front/eventual.h"
#include "front/handle.h"

struct call call_of(fuse_req_t req, fuse_ino_t node, const char *name, const struct fuse_file_info *fi)
{
	struct call c = {.req = req, .node = node, .name = name};

	if (fi) {
		c.has_fi = true;
		c.fi = *fi;
	}
	return c;
}

/* A call that waits. */
struct parked {
	struct front *front;
	struct parked *next; /* of those that wait for one inode to settle */
	struct call call;
	char name[]; /* the copy that call.name points to */
};

static struct parked *parked_new(struct front *f, const struct call *c)
{
	size_t size = c->name ? strlen(c->name) + 1 : 0;
	struct parked *p = malloc(sizeof *p + size);

	if (!p)
		return NULL;
	p->front = f;
	p->next = NULL;
	p->call = *c;
	if (c->name)
		p->call.name = memcpy(p->name, c->name, size);
	return p;
}

/* ---- reads ---- */

/* A read has no effect: it can be given up at once. Whoever holds the pointer frees it. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	p->call.req = NULL;
	reply_code(req, ERR_INTERRUPTED);
}

static void resume(void *ctx, int code)
{
	struct parked *p = ctx;

	if (p->call.req) {
		fuse_req_interrupt_func(p->call.req, NULL, NULL);
		if (code < 0)
			reply_code(p->call.req, code);
		else
			p->call.run(p->front, &p->call);
	}
	free(p);
}

void call_strong(const struct call *c)
{
	struct front *f = front_of(c->req);
	struct parked *p = parked_new(f, c);
	int code;

	if (!p) {
		reply_code(c->req, ERR_NO_MEMORY);
		return;
	}
	code = replica_read_barrier(f->replica, resume, p);
	if (code == QUEUED)
		fuse_req_interrupt_func(c->req, on_interrupt, p);
	else
		resume(p, code);
}

void call_here(struct call *c)
{
	c->here = true;
	c->run(front_of(c->req), c);
}

/* Eventual or weak: what is known here is what is read. Where a strong read costs no round it is as good as a weak one,
 * and the level is not looked up. */
static bool is_read_here(struct front *f, uint64_t inode)
{
	if (node_is_eventual(inode) || eventual_is_root(f, inode))
		return true;
	return !replica_reads_alone(f->replica) && eventual_level(f, inode) == CONSISTENCY_WEAK;
}

void call_read(struct call *c, uint64_t inode)
{
	if (is_read_here(front_of(c->req), inode))
		call_here(c);
	else
		call_strong(c);
}

void call_read_name(struct call *c, uint64_t parent, const char *name)
{
	struct front *f = front_of(c->req);
	uint64_t inode;

	if (replica_reads_alone(f->replica) || view_lookup(front_view(f), parent, bytes_of_text(name), &inode, NULL) < 0)
		inode = parent;
	call_read(c, inode);
}

static bool park(struct front *f, const struct call *c, struct parked **list)
{
	struct parked *p;

	if (!list || c->here)
		return false;
	p = parked_new(f, c);
	if (!p) {
		reply_code(c->req, ERR_NO_MEMORY);
		return true;
	}
	p->next = *list;
	*list = p;
	fuse_req_interrupt_func(c->req, on_interrupt, p);
	return true;
}

bool call_must_settle(struct front *f, const struct call *c, uint64_t inode)
{
	return park(f, c, handles_unsettled(f->handles, inode));
}

bool call_must_settle_all(struct front *f, const struct call *c)
{
	return park(f, c, handles_last_unsettled(f->handles));
}

void call_settled(struct parked *list)
{
	struct parked *next;

	for (; list; list = next) {
		next = list->next;
		resume(list, OK);
	}
}

/* ---- changes ---- */

struct parked *call_keep(const struct call *c)
{
	struct front *f = front_of(c->req);
	struct parked *p = parked_new(f, c);

	if (p)
		return p;
	if (c->refused) {
		struct call now = *c;

		c->refused(f, &now);
	}
	reply_code(c->req, ERR_NO_MEMORY);
	return NULL;
}

void call_done(struct parked *p, const struct reply *reply)
{
	struct call *c = &p->call;

	if (reply->code < 0) {
		if (c->refused)
			c->refused(p->front, c);
		note_error(p->front, c->node, reply->code, reply->text);
		reply_code(c->req, reply->code);
	} else if (c->answer) {
		c->answer(p->front, c, reply);
	} else {
		reply_code(c->req, OK);
	}
	free(p);
}

static void on_done(void *ctx, const struct reply *reply)
{
	call_done(ctx, reply);
}

/* A change is not given up at a signal: nobody would know whether it took place. It ends in time by itself. */
void call_propose(const struct call *c, const Coordfs__Command *command)
{
	struct parked *p = call_keep(c);

	if (p)
		replica_propose(p->front->replica, command, on_done, p);
}
