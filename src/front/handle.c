/* The open files of this mount, by inode. Nothing is kept for an inode that is merely known to the kernel. */

#include "front/handle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/hash.h"
#include "front/eventual.h"
#include "front/owed.h"
#include "front/poll.h"

/* A process, or an open file description, that asked for fcntl locks of an inode; through which handles. There may be
 * thousands, each with one handle. */
struct lock_owner {
	uint64_t id;
	struct claim *claims;
	UT_hash_handle hh;
};

struct claim {
	struct claim *prev, *next;		 /* of the owner */
	struct claim *handle_prev, *handle_next; /* of the handle */
	struct lock_owner *owner;
	struct handle *handle;
	bool holds; /* he was told so */
};

struct opened {
	uint64_t inode;
	struct handle *handles;
	unsigned truncating; /* of the handles */
	struct lock_owner *owners;
	struct orphan *orphan;
	bool is_recent;	    /* among the last orphans */
	size_t recent_bytes;
	unsigned unsettled; /* effects of closed handles that are not applied yet */
	struct parked *waiting;
	unsigned writing;	  /* writes to a counter on their way */
	int64_t adding;
	uint64_t wrote_ns, writer; /* the last that was answered: when, and the handle's number */
	UT_hash_handle hh;
};

enum { RECENT_COUNT = 64, RECENT_BYTES = 4 << 20, JUST_AFTER_NS = 1000000 };

struct handles {
	struct opened *by_inode;
	uint64_t last_number;
	struct opened *recent[RECENT_COUNT]; /* a ring */
	unsigned recent_next;
	size_t recent_bytes;
	struct unasked *last_unasked;
};

struct handles *handles_new(void)
{
	return calloc(1, sizeof(struct handles));
}

/* ---- opened inodes ---- */

static struct opened *opened_find(struct handles *t, uint64_t inode)
{
	struct opened *o;

	HASH_FIND(hh, t->by_inode, &inode, sizeof inode, o);
	return o;
}

static struct opened *opened_get(struct handles *t, uint64_t inode)
{
	struct opened *o = opened_find(t, inode);

	if (o)
		return o;
	o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->inode = inode;
	HASH_ADD(hh, t->by_inode, inode, sizeof o->inode, o);
	return hash_kept(o);
}

static void orphan_free(struct orphan *orphan)
{
	if (orphan)
		free(orphan->data);
	free(orphan);
}

static void opened_put(struct handles *t, struct opened *o)
{
	if (o->handles || o->unsettled || o->is_recent)
		return;
	HASH_DELETE(hh, t->by_inode, o);
	orphan_free(o->orphan);
	free(o);
}

/* ---- handles ---- */

struct handle *handle_new(struct handles *t, uint64_t inode, enum inode_kind kind, int flags, pid_t opener)
{
	struct handle *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->opened = opened_get(t, inode);
	if (!h->opened) {
		free(h);
		return NULL;
	}
	h->number = ++t->last_number;
	h->kind = kind;
	h->opener = opener;
	h->append = flags & O_APPEND;
	handle_truncates(h, (flags & O_TRUNC) && kind == KIND_FILE);
	text_init(&h->text);
	DL_APPEND(h->opened->handles, h);
	return h;
}

static void claim_free(struct claim *c)
{
	struct handle *h = c->handle;
	struct lock_owner *owner = c->owner;

	DL_DELETE(owner->claims, c);
	DL_DELETE2(h->claims, c, handle_prev, handle_next);
	free(c);
	if (owner->claims)
		return;
	HASH_DELETE(hh, h->opened->owners, owner);
	free(owner);
}

void handle_free(struct handles *t, struct handle *h)
{
	struct opened *o = h->opened;

	while (h->claims)
		claim_free(h->claims);
	handle_truncates(h, false);
	poll_drop(&h->poll);
	text_fini(&h->text);
	DL_DELETE(o->handles, h);
	free(h);
	opened_put(t, o);
}

/* The kernel sends no RELEASE for what was open at an unmount. */
void handles_free(struct handles *t)
{
	struct opened *o, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->by_inode, o, next) {
		o->unsettled++; /* keeps it until its handles are gone */
		while (o->handles)
			handle_free(t, o->handles);
		o->unsettled = 0;
		o->is_recent = false;
		opened_put(t, o);
	}
	free(t);
}

uint64_t handle_inode(const struct handle *h)
{
	return h->opened->inode;
}

struct orphan *handle_orphan(const struct handle *h)
{
	return h ? h->opened->orphan : NULL;
}

struct orphan *handles_orphan(struct handles *t, uint64_t inode)
{
	struct opened *o = opened_find(t, inode);

	return o ? o->orphan : NULL;
}

void handle_truncates(struct handle *h, bool truncating)
{
	h->opened->truncating += truncating;
	h->opened->truncating -= h->truncating;
	h->truncating = truncating;
}

bool handles_truncating(struct handles *t, uint64_t inode, pid_t opener)
{
	struct opened *o = opened_find(t, inode);
	struct handle *h;

	if (!o || !o->truncating)
		return false;
	DL_FOREACH (o->handles, h)
		if (h->truncating && h->opener == opener)
			return true;
	return false;
}

/* ---- who holds what ---- */

static struct lock_owner *owner_find(const struct handle *h, uint64_t id)
{
	struct lock_owner *owner;

	HASH_FIND(hh, h->opened->owners, &id, sizeof id, owner);
	return owner;
}

static struct lock_owner *owner_get(struct handle *h, uint64_t id)
{
	struct lock_owner *owner = owner_find(h, id);

	if (owner || !(owner = calloc(1, sizeof *owner)))
		return owner;
	owner->id = id;
	HASH_ADD(hh, h->opened->owners, id, sizeof owner->id, owner);
	return hash_kept(owner);
}

static struct claim *claim_find(const struct handle *h, uint64_t id)
{
	struct lock_owner *owner = owner_find(h, id);
	struct claim *c;

	DL_FOREACH (owner ? owner->claims : NULL, c)
		if (c->handle == h)
			return c;
	return NULL;
}

int handle_asks(struct handle *h, enum lock_kind kind, uint64_t id)
{
	struct lock_owner *owner;
	struct claim *c;

	if (kind == LOCK_KIND_FLOCK) {
		h->asks_flock = true;
		return OK;
	}
	if (claim_find(h, id))
		return OK;
	c = calloc(1, sizeof *c);
	owner = c ? owner_get(h, id) : NULL;
	if (!owner) {
		free(c);
		return ERR_NO_MEMORY;
	}
	c->owner = owner;
	c->handle = h;
	DL_APPEND(owner->claims, c);
	DL_APPEND2(h->claims, c, handle_prev, handle_next);
	return OK;
}

/* A close by the owner in between has forgotten him: then this came too late for it, and closing must know. Without
 * memory the lock goes with the session. */
void handle_took(struct handle *h, enum lock_kind kind, uint64_t id)
{
	struct claim *c;

	if (handle_asks(h, kind, id) < 0)
		return;
	if (kind == LOCK_KIND_FLOCK)
		h->holds_flock = true;
	else if ((c = claim_find(h, id)))
		c->holds = true;
}

void handle_gave(struct handle *h, enum lock_kind kind, uint64_t id)
{
	struct lock_owner *owner;
	struct claim *c;

	if (kind == LOCK_KIND_FLOCK) {
		h->holds_flock = h->asks_flock = false;
		return;
	}
	owner = owner_find(h, id);
	DL_FOREACH (owner ? owner->claims : NULL, c)
		c->holds = false;
}

bool handle_holds(const struct handle *h, enum lock_kind kind, uint64_t id)
{
	const struct lock_owner *owner;
	const struct claim *c;

	if (kind == LOCK_KIND_FLOCK)
		return h->holds_flock;
	owner = owner_find(h, id);
	DL_FOREACH (owner ? owner->claims : NULL, c)
		if (c->holds)
			return true;
	return false;
}

bool handle_forget_owner(struct handle *h, uint64_t id)
{
	struct lock_owner *owner = owner_find(h, id);
	bool any = owner;
	struct claim *c, *next;

	DL_FOREACH_SAFE (owner ? owner->claims : NULL, c, next)
		claim_free(c); /* the last one frees the owner */
	return any;
}

bool handle_has_asked(const struct handle *h)
{
	return h->claims || h->asks_flock;
}

static bool holds_any(const struct handle *h)
{
	const struct claim *c;

	DL_FOREACH2 (h->claims, c, handle_next)
		if (c->holds)
			return true;
	return h->holds_flock;
}

/* ---- writes to a counter ---- */

bool handle_write_begins(struct handle *h, uint64_t now_ns)
{
	const struct opened *o = h->opened;
	bool alone = h->opened->writing++ == 0;

	return alone && o->writer && o->writer != h->number && now_ns - o->wrote_ns < JUST_AFTER_NS;
}

void handle_write_ends(struct handle *h, uint64_t now_ns)
{
	struct opened *o = h->opened;

	o->writing--;
	o->writer = h->number;
	o->wrote_ns = now_ns;
}

void handle_adds(struct handle *h, int64_t amount)
{
	h->opened->adding = (int64_t)((uint64_t)h->opened->adding + (uint64_t)amount);
}

int64_t handle_adding(const struct handle *h)
{
	return h->opened->adding;
}

/* ---- effects of a close ---- */

struct parked **handles_unsettled(struct handles *t, uint64_t inode)
{
	struct opened *o = opened_find(t, inode);

	return o && o->unsettled ? &o->waiting : NULL;
}

struct unasked {
	struct front *front;
	struct opened *opened;
	struct parked *behind; /* wait for it and, as answers come in order, for all before it */
};

struct parked **handles_last_unsettled(struct handles *t)
{
	return t->last_unasked ? &t->last_unasked->behind : NULL;
}

void handle_settled(struct unasked *u, const struct reply *reply)
{
	struct opened *o = u->opened;
	struct handles *t = u->front->handles;
	struct parked *list = NULL;

	if (t->last_unasked == u)
		t->last_unasked = NULL;
	if (reply->code < 0 && reply->code != ERR_NOT_FOUND)
		note_error(u->front, o->inode, reply->code, reply->text);
	if (--o->unsettled == 0) {
		list = o->waiting;
		o->waiting = NULL;
	}
	opened_put(t, o);
	call_settled(list);
	call_settled(u->behind);
	free(u);
}

static void on_unasked_done(void *ctx, const struct reply *reply)
{
	handle_settled(ctx, reply);
}

struct unasked *handle_unsettle(struct front *f, struct handle *h)
{
	struct unasked *u = malloc(sizeof *u);

	if (!u)
		return NULL;
	*u = (struct unasked){f, h->opened, NULL};
	h->opened->unsettled++;
	return u;
}

/* Without memory nobody is left to be told; a lock goes with the session at the latest. */
void handle_propose_unasked(struct front *f, struct handle *h, const Coordfs__Command *command, bool owed)
{
	struct unasked *u = malloc(sizeof *u);

	if (!u)
		return;
	*u = (struct unasked){f, h->opened, NULL};
	if (!owed)
		replica_propose(f->replica, command, on_unasked_done, u);
	else if (owed_propose(f, command, on_unasked_done, NULL, u) < 0) {
		free(u);
		return;
	}
	f->handles->last_unasked = u;
	h->opened->unsettled++;
}

/* ---- events ---- */

void handles_changed(struct handles *t, uint64_t inode)
{
	struct opened *o = opened_find(t, inode);
	struct handle *h;

	if (!o)
		return;
	DL_FOREACH (o->handles, h) {
		h->changed = true;
		poll_wake(&h->poll);
	}
}

void handles_lost(struct handles *t, uint64_t inode, uint64_t handle_number)
{
	struct opened *o = opened_find(t, inode);
	struct handle *h;

	if (!o)
		return;
	DL_FOREACH (o->handles, h) {
		if (h->number != handle_number)
			continue;
		h->lost = true;
		poll_wake(&h->poll);
	}
}

void handles_lost_all(struct handles *t, struct numbers *inodes)
{
	struct opened *o, *next;
	struct handle *h;
	bool any;

	HASH_ITER (hh, t->by_inode, o, next) {
		any = false;
		DL_FOREACH (o->handles, h) {
			if (h->lost || !holds_any(h))
				continue;
			h->lost = any = true;
			poll_wake(&h->poll);
		}
		if (any)
			numbers_add(inodes, o->inode); /* without memory its processes get no signal */
	}
}

/* ---- restored ---- */

static int confirm(void *ctx, const struct lock_info *lock)
{
	struct front *f = ctx;
	struct opened *o;
	struct handle *h;

	if (lock->token == 0 || lock->session != replica_session(f->replica))
		return 0;
	o = opened_find(f->handles, lock->inode);
	if (o)
		DL_FOREACH (o->handles, h)
			h->confirmed = h->confirmed || h->number == lock->handle;
	return 0;
}

void handles_restored(struct front *f)
{
	struct opened *o, *next;
	struct handle *h;

	HASH_ITER (hh, f->handles->by_inode, o, next)
		DL_FOREACH (o->handles, h)
			h->confirmed = false;
	machine_locks(replica_machine(f->replica), 0, confirm, f);
	HASH_ITER (hh, f->handles->by_inode, o, next)
		DL_FOREACH (o->handles, h) {
			h->changed = true;
			h->lost = h->lost || (holds_any(h) && !h->confirmed);
			poll_wake(&h->poll);
		}
}

/* ---- orphans ---- */

static size_t orphan_bytes(const struct opened *o)
{
	return o->orphan->data ? o->orphan->attr.size : 0;
}

static void recent_drop(struct handles *t, unsigned at)
{
	struct opened *o = t->recent[at];

	if (!o)
		return;
	t->recent[at] = NULL;
	t->recent_bytes -= o->recent_bytes;
	o->is_recent = false;
	opened_put(t, o);
}

/* The oldest go until the newest fits. */
static void recent_add(struct handles *t, struct opened *o)
{
	unsigned at = t->recent_next;

	o->recent_bytes = orphan_bytes(o);
	for (unsigned i = 0; i < RECENT_COUNT && (i == 0 || t->recent_bytes + o->recent_bytes > RECENT_BYTES); i++)
		recent_drop(t, (at + i) % RECENT_COUNT);
	t->recent[at] = o;
	t->recent_next = (at + 1) % RECENT_COUNT;
	t->recent_bytes += o->recent_bytes;
	o->is_recent = true;
}

static int read_whole(struct view v, const struct attr *attr, char *data)
{
	size_t got = 0;
	int code = attr->kind == KIND_SYMLINK ? view_target(v, attr->inode, data, attr->size, &got)
					      : view_read(v, attr->inode, 0, attr->size, data, &got);

	return code == OK && got != attr->size ? ERR_CORRUPT : code;
}

static bool keep_content(struct view v, struct orphan *orphan)
{
	const struct attr *attr = &orphan->attr;

	if ((attr->kind != KIND_FILE && attr->kind != KIND_SYMLINK) || attr->size == 0)
		return true;
	orphan->data = malloc(attr->size);
	if (!orphan->data)
		return false;
	orphan->capacity = attr->size;
	return read_whole(v, attr, orphan->data) == OK;
}

static struct orphan *orphan_new(struct front *f, uint64_t inode, bool by_us)
{
	struct view v = machine_view(replica_machine(f->replica));
	struct orphan *orphan = calloc(1, sizeof *orphan);

	if (!orphan)
		return NULL;
	if (view_attr(v, inode, &orphan->attr) < 0) {
		free(orphan);
		return NULL;
	}
	eventual_fill(f, &orphan->attr);
	orphan->attr.nlink = 0;
	orphan->readable = keep_content(v, orphan);
	orphan->writable = by_us && orphan->readable && orphan->attr.kind == KIND_FILE;
	return orphan;
}

/* Without memory there is no orphan: who has it open gets ESTALE. */
void handles_gone(struct front *f, uint64_t inode, bool by_us)
{
	struct opened *o = opened_get(f->handles, inode);

	if (!o)
		return;
	if (!o->orphan)
		o->orphan = orphan_new(f, inode, by_us);
	if (o->orphan && !o->is_recent)
		recent_add(f->handles, o);
	opened_put(f->handles, o);
}
