#include "reference.h"

#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static void full(const char *what)
{
	fprintf(stderr, "the reference has no room for more %s\n", what);
	exit(3);
}

/* ---- texts ---- */

static struct ref_text text_of(const void *data, size_t size)
{
	struct ref_text t = {malloc(size + 1), size};
	if (!t.data)
		full("bytes");
	if (size > 0)
		memcpy(t.data, data, size);
	return t;
}

static void text_set(struct ref_text *t, const void *data, size_t size)
{
	struct ref_text new = text_of(data, size);
	free(t->data);
	*t = new;
}

static void text_resize(struct ref_text *t, size_t size)
{
	struct ref_text new = text_of(t->data, size < t->size ? size : t->size);
	new.data = realloc(new.data, size + 1);
	if (!new.data)
		full("bytes");
	if (size > t->size)
		memset(new.data + t->size, 0, size - t->size);
	new.size = size;
	free(t->data);
	*t = new;
}

static bool text_is(const struct ref_text *t, const void *data, size_t size)
{
	return t->size == size && (size == 0 || memcmp(t->data, data, size) == 0);
}

/* ---- life ---- */

struct reference *reference_new(void)
{
	struct reference *r = calloc(1, sizeof *r);
	if (!r)
		full("references");
	r->next_object = INODE_FIRST;
	r->next_place = r->next_since = 1;
	return r;
}

struct reference *reference_copy(const struct reference *from)
{
	struct reference *r = malloc(sizeof *r);
	if (!r)
		full("references");
	*r = *from;
	for (size_t i = 0; i < REF_OBJECTS; i++) {
		struct ref_object *o = &r->objects[i];
		if (o->number == 0)
			continue;
		o->text = text_of(o->text.data, o->text.size);
		for (size_t x = 0; x < o->xattr_count; x++)
			o->xattrs[x].value = text_of(o->xattrs[x].value.data, o->xattrs[x].value.size);
	}
	for (size_t i = 0; i < REF_NAMES; i++)
		if (r->names[i].object)
			r->names[i].name = text_of(r->names[i].name.data, r->names[i].name.size);
	return r;
}

static void object_delete(struct ref_object *o)
{
	free(o->text.data);
	for (size_t x = 0; x < o->xattr_count; x++)
		free(o->xattrs[x].value.data);
	*o = (struct ref_object){0};
}

static void name_delete(struct ref_name *n)
{
	free(n->name.data);
	*n = (struct ref_name){0};
}

void reference_free(struct reference *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < REF_OBJECTS; i++)
		object_delete(&r->objects[i]);
	for (size_t i = 0; i < REF_NAMES; i++)
		name_delete(&r->names[i]);
	free(r);
}

/* ---- looking ---- */

struct ref_object *reference_object(struct reference *r, uint64_t number)
{
	for (size_t i = 0; i < REF_OBJECTS && number; i++)
		if (r->objects[i].number == number)
			return &r->objects[i];
	return NULL;
}

struct ref_name *reference_name(struct reference *r, uint64_t parent, const void *name, size_t size)
{
	for (size_t i = 0; i < REF_NAMES; i++)
		if (r->names[i].object && r->names[i].parent == parent && text_is(&r->names[i].name, name, size))
			return &r->names[i];
	return NULL;
}

struct ref_name *reference_next(struct reference *r, uint64_t parent, const struct ref_name *after)
{
	struct ref_name *best = NULL;
	for (size_t i = 0; i < REF_NAMES; i++) {
		struct ref_name *n = &r->names[i];
		if (n->object && n->parent == parent && (!after || n->place > after->place) &&
		    (!best || n->place < best->place))
			best = n;
	}
	return best;
}

struct ref_session *reference_session(struct reference *r, uint64_t session)
{
	for (size_t i = 0; i < REF_SESSIONS && session; i++)
		if (r->sessions[i].id == session)
			return &r->sessions[i];
	return NULL;
}

uint32_t reference_links(struct reference *r, const struct ref_object *o)
{
	uint32_t links = o->kind == KIND_DIRECTORY ? 2 : 0;
	for (size_t i = 0; i < REF_NAMES; i++) {
		const struct ref_name *n = &r->names[i];
		if (n->object && o->kind != KIND_DIRECTORY)
			links += n->object == o->number;
		else if (n->object && n->parent == o->number)
			links += reference_object(r, n->object)->kind == KIND_DIRECTORY;
	}
	return links;
}

uint64_t reference_parent(struct reference *r, uint64_t directory)
{
	for (size_t i = 0; i < REF_NAMES; i++)
		if (r->names[i].object == directory && directory)
			return r->names[i].parent;
	return 0;
}

static bool is_empty(struct reference *r, uint64_t directory)
{
	return !reference_next(r, directory, NULL);
}

/* ---- changing ---- */

static void touch(const struct ref_context *c, struct ref_object *o, bool content)
{
	o->modified = c->index;
	o->ctime_ns = c->time_ns;
	if (!content)
		return;
	o->content = c->index;
	o->mtime_ns = c->time_ns;
}

static struct ref_object *object_make(struct reference *r, const struct ref_context *c, uint64_t number,
				      enum inode_kind kind, uint32_t mode)
{
	for (size_t i = 0; i < REF_OBJECTS; i++) {
		struct ref_object *o = &r->objects[i];
		if (o->number)
			continue;
		*o = (struct ref_object){.number = number, .kind = kind, .mode = mode, .created = c->index,
					 .atime_ns = c->time_ns, .created_ns = c->time_ns, .text = text_of("", 0)};
		touch(c, o, true);
		return o;
	}
	full("objects");
	return NULL;
}

static struct ref_name *name_make(struct reference *r, const struct ref_context *c, uint64_t parent, const void *name,
				  size_t size, uint64_t object)
{
	for (size_t i = 0; i < REF_NAMES; i++) {
		struct ref_name *n = &r->names[i];
		if (n->object)
			continue;
		*n = (struct ref_name){.parent = parent, .object = object, .name = text_of(name, size),
				       .place = r->next_place++};
		touch(c, reference_object(r, parent), true);
		return n;
	}
	full("names");
	return NULL;
}

static void bind_name(struct reference *r, struct ref_name *n, uint64_t session)
{
	n->session = session;
	n->since = session ? r->next_since++ : 0;
}

/* An object whose last name went goes as well; what stays was changed. */
static void object_left(struct reference *r, const struct ref_context *c, uint64_t number)
{
	struct ref_object *o = reference_object(r, number);
	bool stays = o->kind != KIND_DIRECTORY && reference_links(r, o) > 0;
	if (stays)
		touch(c, o, false);
	else
		object_delete(o);
}

static bool binds(const struct reference *r, const struct ref_context *c, const struct ref_object *parent)
{
	(void)r;
	return parent->tree == INODE_LOCKS && !c->in_transaction;
}

/* ---- names ---- */

static int check_name(ProtobufCBinaryData n)
{
	if (n.len > 255)
		return ERR_NAME_TOO_LONG;
	if (n.len == 0 || memchr(n.data, '/', n.len) || memchr(n.data, 0, n.len) ||
	    (n.data[0] == '.' && (n.len == 1 || (n.len == 2 && n.data[1] == '.'))))
		return ERR_INVALID;
	if ((n.len == 5 && memcmp(n.data, ".self", 5) == 0) || (n.len == 4 && memcmp(n.data, ".cas", 4) == 0))
		return ERR_PERM;
	return 0;
}

static int check_parent(struct reference *r, uint64_t number)
{
	struct ref_object *o = reference_object(r, number);
	if (number == INODE_ROOT)
		return ERR_PERM;
	return !o ? ERR_NOT_FOUND : o->kind != KIND_DIRECTORY ? ERR_NOT_DIRECTORY : 0;
}

static enum inode_kind kind_for(uint32_t mode, uint64_t tree)
{
	if (S_ISDIR(mode))
		return KIND_DIRECTORY;
	if (S_ISLNK(mode))
		return KIND_SYMLINK;
	if (!S_ISREG(mode))
		return 0;
	return tree == INODE_COUNTERS ? KIND_COUNTER : tree == INODE_FENCES ? KIND_FENCE : KIND_FILE;
}

static struct ref_object *create_object(struct reference *r, const struct ref_context *c, const Coordfs__Create *q,
					const struct ref_object *parent, enum inode_kind kind)
{
	bool inherits = parent->mode & S_ISGID;
	struct ref_object *o = object_make(r, c, r->next_object++, kind, q->mode & 07777);
	o->uid = q->uid;
	o->gid = inherits ? parent->gid : q->gid;
	o->tree = parent->tree;
	if (inherits && kind == KIND_DIRECTORY)
		o->mode |= S_ISGID;
	if (kind == KIND_SYMLINK)
		text_set(&o->text, q->target.data, q->target.len);
	return o;
}

static void create(struct reference *r, const struct ref_context *c, const Coordfs__Create *q, struct reply *reply)
{
	struct ref_object *parent = reference_object(r, q->parent);
	if ((reply->code = check_name(q->name)) || (reply->code = check_parent(r, q->parent)))
		return;
	struct ref_name *there = reference_name(r, q->parent, q->name.data, q->name.len);
	enum inode_kind kind = kind_for(q->mode, parent->tree);
	if (there) {
		reply->code = q->exclusive || !S_ISREG(q->mode) ? ERR_EXISTS : 0;
		reply->inode = there->object;
	} else if (kind == 0) {
		reply->code = ERR_PERM;
	} else if (kind == KIND_SYMLINK && (q->target.len == 0 || q->target.len > 4095)) {
		reply->code = ERR_NAME_TOO_LONG;
	} else {
		struct ref_object *o = create_object(r, c, q, parent, kind);
		struct ref_name *n = name_make(r, c, q->parent, q->name.data, q->name.len, o->number);
		if (binds(r, c, parent) && (q->exclusive || kind != KIND_FILE))
			bind_name(r, n, c->session);
		reply->inode = o->number;
	}
}

static int check_remove(struct reference *r, const struct ref_object *o, bool directory)
{
	if (directory && o->kind != KIND_DIRECTORY)
		return ERR_NOT_DIRECTORY;
	if (!directory && o->kind == KIND_DIRECTORY)
		return ERR_IS_DIRECTORY;
	return directory && !is_empty(r, o->number) ? ERR_NOT_EMPTY : 0;
}

static void name_remove(struct reference *r, const struct ref_context *c, struct ref_name *n)
{
	uint64_t object = n->object;
	touch(c, reference_object(r, n->parent), true);
	name_delete(n);
	object_left(r, c, object);
}

static void remove_(struct reference *r, const struct ref_context *c, const Coordfs__Remove *q, struct reply *reply)
{
	if ((reply->code = check_parent(r, q->parent)))
		return;
	struct ref_name *n = reference_name(r, q->parent, q->name.data, q->name.len);
	if (!n) {
		reply->code = ERR_NOT_FOUND;
		return;
	}
	reply->inode = n->object;
	reply->code = check_remove(r, reference_object(r, n->object), q->directory);
	if (reply->code == 0)
		name_remove(r, c, n);
}

static void link_(struct reference *r, const struct ref_context *c, const Coordfs__Link *q, struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode), *parent = reference_object(r, q->parent);
	if ((reply->code = check_name(q->name)) || (reply->code = check_parent(r, q->parent)))
		return;
	reply->inode = q->inode;
	if (!o)
		reply->code = ERR_NOT_FOUND;
	else if (reference_name(r, q->parent, q->name.data, q->name.len))
		reply->code = ERR_EXISTS;
	else if (o->kind != KIND_FILE && o->kind != KIND_SYMLINK)
		reply->code = ERR_PERM;
	else if (o->tree != parent->tree)
		reply->code = ERR_CROSS_TREE;
	if (reply->code)
		return;
	struct ref_name *n = name_make(r, c, q->parent, q->name.data, q->name.len, q->inode);
	touch(c, o, false);
	if (binds(r, c, parent))
		bind_name(r, n, c->session);
}

/* ---- rename ---- */

static bool lies_in(struct reference *r, uint64_t number, uint64_t directory)
{
	while (number && number != directory)
		number = reference_parent(r, number);
	return number == directory;
}

static int check_replace(struct reference *r, const struct ref_object *o, const struct ref_object *old)
{
	if (o->kind == KIND_DIRECTORY && old->kind != KIND_DIRECTORY)
		return ERR_NOT_DIRECTORY;
	if (o->kind != KIND_DIRECTORY && old->kind == KIND_DIRECTORY)
		return ERR_IS_DIRECTORY;
	return old->kind == KIND_DIRECTORY && !is_empty(r, old->number) ? ERR_NOT_EMPTY : 0;
}

static int check_rename(struct reference *r, const Coordfs__Rename *q, const struct ref_name *from,
			const struct ref_name *to)
{
	struct ref_object *o = reference_object(r, from->object), *old = to ? reference_object(r, to->object) : NULL;
	bool exchange = q->flags == RENAME_EXCHANGE;
	if (reference_object(r, q->parent)->tree != reference_object(r, q->new_parent)->tree)
		return old && (old->kind == KIND_COUNTER || old->kind == KIND_FENCE) ? ERR_INVALID : ERR_CROSS_TREE;
	if (to && q->flags == RENAME_NOREPLACE)
		return ERR_EXISTS;
	if (!to && exchange)
		return ERR_NOT_FOUND;
	if (o->kind == KIND_DIRECTORY && lies_in(r, q->new_parent, o->number))
		return ERR_INVALID;
	if (exchange && old->kind == KIND_DIRECTORY && lies_in(r, q->parent, old->number))
		return ERR_INVALID;
	return to && !exchange ? check_replace(r, o, old) : 0;
}

static void rename_exchange(struct reference *r, const struct ref_context *c, struct ref_name *from, struct ref_name *to)
{
	uint64_t object = from->object, from_session = from->session, to_session = to->session;
	from->object = to->object;
	to->object = object;
	bind_name(r, to, from_session);
	bind_name(r, from, to_session);
	touch(c, reference_object(r, from->object), false);
	touch(c, reference_object(r, to->object), false);
	touch(c, reference_object(r, from->parent), true);
	touch(c, reference_object(r, to->parent), true);
}

static void rename_move(struct reference *r, const struct ref_context *c, const Coordfs__Rename *q, struct ref_name *from,
			struct ref_name *to)
{
	uint64_t object = from->object, session = from->session, old = to ? to->object : 0;
	bool claims = q->flags == RENAME_NOREPLACE && binds(r, c, reference_object(r, q->new_parent));
	touch(c, reference_object(r, q->parent), true);
	touch(c, reference_object(r, q->new_parent), true);
	name_delete(from);
	if (to)
		to->object = object;
	else
		to = name_make(r, c, q->new_parent, q->new_name.data, q->new_name.len, object);
	bind_name(r, to, claims ? c->session : session);
	touch(c, reference_object(r, object), false);
	if (old)
		object_left(r, c, old);
}

static void rename_(struct reference *r, const struct ref_context *c, const Coordfs__Rename *q, struct reply *reply)
{
	if (q->flags > 2) {
		reply->code = ERR_INVALID;
		return;
	}
	if ((reply->code = check_name(q->new_name)) || (reply->code = check_parent(r, q->parent)) ||
	    (reply->code = check_parent(r, q->new_parent)))
		return;
	struct ref_name *from = reference_name(r, q->parent, q->name.data, q->name.len);
	struct ref_name *to = reference_name(r, q->new_parent, q->new_name.data, q->new_name.len);
	reply->code = from ? check_rename(r, q, from, to) : ERR_NOT_FOUND;
	if (reply->code)
		return;
	reply->inode = from->object;
	if (to && to->object == from->object)
		return;
	if (q->flags == RENAME_EXCHANGE)
		rename_exchange(r, c, from, to);
	else
		rename_move(r, c, q, from, to);
}

/* ---- attributes ---- */

static void set_attr(struct reference *r, const struct ref_context *c, const Coordfs__SetAttr *q, struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	bool size = q->mask & ATTR_SIZE;
	if (!o)
		reply->code = ERR_NOT_FOUND;
	else if (size && o->kind == KIND_DIRECTORY)
		reply->code = ERR_IS_DIRECTORY;
	else if (size && o->kind != KIND_FILE)
		reply->code = ERR_INVALID;
	else if (size && q->size > LIMIT_FILE_BYTES)
		reply->code = ERR_TOO_BIG;
	if (reply->code)
		return;
	touch(c, o, size);
	if (size)
		text_resize(&o->text, q->size);
	if (q->mask & ATTR_MODE)
		o->mode = q->mode & 07777;
	if (q->mask & ATTR_UID)
		o->uid = q->uid;
	if (q->mask & ATTR_GID)
		o->gid = q->gid;
	if (q->mask & (ATTR_ATIME | ATTR_ATIME_NOW))
		o->atime_ns = q->mask & ATTR_ATIME_NOW ? c->time_ns : q->atime_ns;
	if (q->mask & (ATTR_MTIME | ATTR_MTIME_NOW))
		o->mtime_ns = q->mask & ATTR_MTIME_NOW ? c->time_ns : q->mtime_ns;
	reply->size = o->kind == KIND_FILE || o->kind == KIND_SYMLINK ? o->text.size : 0;
}

static struct ref_xattr *xattr_find(struct ref_object *o, const char *name)
{
	for (size_t i = 0; i < o->xattr_count; i++)
		if (strcmp(o->xattrs[i].name, name) == 0)
			return &o->xattrs[i];
	return NULL;
}

static int check_xattr(struct ref_object *o, const Coordfs__SetXattr *q)
{
	struct ref_xattr *x = xattr_find(o, q->name);
	size_t size = strlen(q->name) + q->value.len;
	if (strlen(q->name) == 0 || strlen(q->name) > LIMIT_XATTR_NAME_BYTES)
		return ERR_RANGE;
	if (!x && (q->remove || q->flags & XATTR_REPLACE))
		return ERR_NO_DATA;
	if (x && !q->remove && q->flags & XATTR_CREATE)
		return ERR_EXISTS;
	for (size_t i = 0; i < o->xattr_count; i++)
		if (&o->xattrs[i] != x)
			size += strlen(o->xattrs[i].name) + o->xattrs[i].value.size;
	return !q->remove && size > LIMIT_XATTRS_BYTES ? ERR_NO_SPACE : 0;
}

static void set_xattr(struct reference *r, const struct ref_context *c, const Coordfs__SetXattr *q, struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	reply->code = o ? check_xattr(o, q) : ERR_NOT_FOUND;
	if (reply->code)
		return;
	struct ref_xattr *x = xattr_find(o, q->name);
	if (x) {
		free(x->value.data);
		*x = o->xattrs[--o->xattr_count];
	}
	if (!q->remove && o->xattr_count == REF_XATTRS)
		full("extended attributes");
	if (!q->remove) {
		x = &o->xattrs[o->xattr_count++];
		snprintf(x->name, sizeof x->name, "%s", q->name);
		x->value = text_of(q->value.data, q->value.len);
	}
	touch(c, o, false);
}

/* ---- content ---- */

static int check_write(const struct ref_object *o, const Coordfs__Write *q, uint64_t offset)
{
	if (o->kind == KIND_DIRECTORY)
		return ERR_IS_DIRECTORY;
	if (o->kind != KIND_FILE)
		return ERR_INVALID;
	if (q->conditional && o->content != q->if_revision)
		return ERR_CANCELED;
	return offset > LIMIT_FILE_BYTES || offset + q->data.len > LIMIT_FILE_BYTES ? ERR_TOO_BIG : 0;
}

static void write_(struct reference *r, const struct ref_context *c, const Coordfs__Write *q, struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	uint64_t offset = !o || !q->append ? q->offset : q->truncate ? 0 : o->text.size;
	reply->code = o ? check_write(o, q, offset) : ERR_NOT_FOUND;
	if (reply->code)
		return;
	if (q->truncate)
		text_resize(&o->text, 0);
	if (q->data.len && offset + q->data.len > o->text.size)
		text_resize(&o->text, offset + q->data.len);
	if (q->data.len)
		memcpy(o->text.data + offset, q->data.data, q->data.len);
	touch(c, o, true);
	reply->value = (int64_t)offset;
	reply->size = o->text.size;
}

static struct ref_id *id_find(struct reference *r, uint64_t counter, ProtobufCBinaryData id)
{
	for (size_t i = 0; i < REF_IDS; i++)
		if (r->ids[i].counter == counter && strlen(r->ids[i].id) == id.len &&
		    memcmp(r->ids[i].id, id.data, id.len) == 0)
			return &r->ids[i];
	return NULL;
}

static struct ref_expiry *expiry_make(struct reference *r, const struct ref_context *c)
{
	if (r->expiry_count == REF_EXPIRIES)
		full("expiries");
	struct ref_expiry *e = &r->expiries[r->expiry_count++];
	*e = (struct ref_expiry){.stamp = c->index, .due_ns = c->time_ns + (int64_t)OUTCOME_KEEP_NS};
	return e;
}

static void id_make(struct reference *r, const struct ref_context *c, uint64_t counter, ProtobufCBinaryData id,
		    int64_t value)
{
	size_t i = 0;
	while (i < REF_IDS && r->ids[i].counter)
		i++;
	if (i == REF_IDS)
		full("ids");
	r->ids[i] = (struct ref_id){.counter = counter, .stamp = c->index, .value = value};
	memcpy(r->ids[i].id, id.data, id.len);
	if (c->is_staged)
		return;
	struct ref_expiry *e = expiry_make(r, c);
	e->is_id = true;
	e->counter = counter;
	memcpy(e->name, id.data, id.len);
}

static int request_value(const struct ref_object *o, const Coordfs__CounterRequest *q, int64_t *value)
{
	__int128 sum = q->kind == COUNTER_ADD ? (__int128)o->value + q->value : q->value;
	if (q->kind > COUNTER_CAS)
		return ERR_INVALID;
	if (q->kind == COUNTER_CAS && o->value != q->expected)
		return ERR_CANCELED;
	if (sum > INT64_MAX || sum < INT64_MIN || (o->has_min && sum < o->min) || (o->has_max && sum > o->max))
		return ERR_RANGE;
	*value = (int64_t)sum;
	return 0;
}

/* True when it changed something. */
static bool request(struct reference *r, const struct ref_context *c, struct ref_object *o,
		    const Coordfs__CounterRequest *q, struct reply *reply)
{
	struct ref_id *known = q->id.len ? id_find(r, o->number, q->id) : NULL;
	if (known) {
		reply->value = known->value;
		return false;
	}
	reply->code = request_value(o, q, &reply->value);
	if (reply->code)
		return false;
	o->value = reply->value;
	if (q->id.len)
		id_make(r, c, o->number, q->id, o->value);
	return true;
}

static void counter(struct reference *r, const struct ref_context *c, const Coordfs__CounterUpdate *q,
		    struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	bool changed = false;
	if (q->n_requests == 0 || q->n_requests > LIMIT_REQUEST_LINES)
		reply->code = ERR_INVALID;
	else if (!o)
		reply->code = ERR_NOT_FOUND;
	else if (o->kind != KIND_COUNTER)
		reply->code = ERR_INVALID;
	for (size_t i = 0; i < q->n_requests && reply->code == 0; i++)
		changed |= request(r, c, o, q->requests[i], reply);
	if (changed)
		touch(c, o, true);
}

static void bounds(struct reference *r, const struct ref_context *c, const Coordfs__CounterBounds *q,
		   struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	if (!o || o->kind != KIND_COUNTER) {
		reply->code = o ? ERR_INVALID : ERR_NOT_FOUND;
		return;
	}
	if (q->set_min) {
		o->has_min = q->has_min;
		o->min = q->has_min ? q->min : 0;
	}
	if (q->set_max) {
		o->has_max = q->has_max;
		o->max = q->has_max ? q->max : 0;
	}
	if (o->has_min && o->has_max && o->min > o->max)
		reply->code = ERR_INVALID;
	else if ((o->has_min && o->value < o->min) || (o->has_max && o->value > o->max))
		reply->code = ERR_RANGE;
	touch(c, o, false);
	reply->value = o->value;
}

static void fence(struct reference *r, const struct ref_context *c, const Coordfs__FenceAdvance *q, struct reply *reply)
{
	struct ref_object *o = reference_object(r, q->inode);
	if (!o || o->kind != KIND_FENCE)
		reply->code = o ? ERR_INVALID : ERR_NOT_FOUND;
	else if (q->token < (uint64_t)o->value)
		reply->code = ERR_STALE;
	else if (q->token > (uint64_t)o->value) {
		o->value = (int64_t)q->token;
		touch(c, o, true);
	}
	if (o)
		reply->value = o->value;
}

/* ---- sessions ---- */

static void genesis(struct reference *r, const struct ref_context *c, const Coordfs__SessionOpen *q)
{
	static const char *const names[] = {"locks", "counters", "files", "fences"};
	for (uint64_t n = INODE_ROOT; n <= INODE_FENCES; n++) {
		struct ref_object *o = object_make(r, c, n, KIND_DIRECTORY, n == INODE_ROOT ? 0755 : 01777);
		o->tree = n;
		o->uid = q->owner_uid;
		o->gid = q->owner_gid;
		if (n > INODE_ROOT)
			name_make(r, c, INODE_ROOT, names[n - 2], strlen(names[n - 2]), n);
	}
}

static bool name_stays(struct reference *r, const struct ref_name *n)
{
	const struct ref_object *o = reference_object(r, n->object);
	return o->kind == KIND_DIRECTORY && (!is_empty(r, o->number) || o->mode & S_ISVTX);
}

static struct ref_name *latest_bound(struct reference *r, uint64_t session)
{
	struct ref_name *latest = NULL;
	for (size_t i = 0; i < REF_NAMES; i++)
		if (r->names[i].object && r->names[i].session == session &&
		    (!latest || r->names[i].since > latest->since))
			latest = &r->names[i];
	return latest;
}

static void finish(struct reference *r, const struct ref_context *c, struct ref_session *s)
{
	struct ref_name *n;
	while ((n = latest_bound(r, s->id))) {
		if (name_stays(r, n))
			bind_name(r, n, 0);
		else
			name_remove(r, c, n);
	}
	*s = (struct ref_session){0};
}

static bool has_members(const struct reference *r)
{
	for (size_t i = 0; i < REF_MEMBERS; i++)
		if (r->members[i].id)
			return true;
	return false;
}

/* 0 is as 1 */
static uint32_t level(uint32_t said)
{
	return said ? said : 1;
}

static void raise_level(struct reference *r)
{
	uint32_t lowest = UINT32_MAX;
	for (size_t i = 0; i < REF_MEMBERS; i++)
		if (r->members[i].id && r->members[i].level < lowest)
			lowest = r->members[i].level;
	if (lowest != UINT32_MAX && lowest > r->level)
		r->level = lowest;
}

static void say_level(struct reference *r, const char *name, uint32_t said)
{
	struct ref_member *m = reference_member_named(r, name);
	if (m)
		m->level = level(said);
	else if (level(said) > r->level)
		r->level = level(said);
}

static void session_open(struct reference *r, const struct ref_context *c, const Coordfs__SessionOpen *q,
			 struct reply *reply)
{
	struct ref_session *s = NULL;
	if (strlen(q->member) == 0 || strlen(q->member) > 64 || q->incarnation.len != 16 || q->ttl_ms > 3600000) {
		reply->code = ERR_INVALID;
		return;
	}
	if (has_members(r) && !reference_member_named(r, q->member)) {
		reply->code = ERR_PERM;
		return;
	}
	if (level(q->level) < level(r->level)) {
		reply->code = ERR_NOT_SUPPORTED;
		return;
	}
	for (size_t i = 0; i < REF_SESSIONS; i++)
		if (r->sessions[i].id && strcmp(r->sessions[i].member, q->member) == 0 &&
		    memcmp(r->sessions[i].incarnation, q->incarnation.data, 16) == 0) {
			reply->value = (int64_t)r->sessions[i].id;
			return;
		}
	if (!reference_object(r, INODE_ROOT))
		genesis(r, c, q);
	for (size_t i = 0; i < REF_SESSIONS; i++)
		if (r->sessions[i].id && strcmp(r->sessions[i].member, q->member) == 0)
			finish(r, c, &r->sessions[i]);
	for (size_t i = 0; i < REF_SESSIONS && !s; i++)
		if (r->sessions[i].id == 0)
			s = &r->sessions[i];
	if (!s) {
		full("sessions");
		return;
	}
	s->id = c->index;
	s->ttl_ms = q->ttl_ms;
	memcpy(s->incarnation, q->incarnation.data, 16);
	snprintf(s->member, sizeof s->member, "%s", q->member);
	say_level(r, q->member, q->level);
	reply->value = (int64_t)s->id;
}

static void session_end(struct reference *r, const struct ref_context *c, const Coordfs__SessionEnd *q,
			struct reply *reply)
{
	struct ref_session *s = reference_session(r, q->session);
	if (s)
		finish(r, c, s);
	else
		reply->code = ERR_NOT_FOUND;
}

/* ---- members ---- */

struct ref_member *reference_member(struct reference *r, uint64_t id)
{
	for (size_t i = 0; i < REF_MEMBERS; i++)
		if (id && r->members[i].id == id)
			return &r->members[i];
	return NULL;
}

struct ref_member *reference_member_named(struct reference *r, const char *name)
{
	for (size_t i = 0; i < REF_MEMBERS; i++)
		if (r->members[i].id && strcmp(r->members[i].name, name) == 0)
			return &r->members[i];
	return NULL;
}

/* The generator makes no address that is long, or of another shape but for the beginning. */
static bool is_address(const char *address)
{
	return !address[0] || strncmp(address, "tcp://", 6) == 0;
}

static void finish_member(struct reference *r, const struct ref_context *c, const char *name)
{
	for (size_t i = 0; i < REF_SESSIONS; i++)
		if (r->sessions[i].id && (!name || strcmp(r->sessions[i].member, name) == 0))
			finish(r, c, &r->sessions[i]);
}

static void member_make(struct reference *r, const struct ref_context *c, const Coordfs__MemberAdd *q,
			struct reply *reply)
{
	struct ref_member *m = NULL;
	uint64_t id = q->id ? q->id : c->index;
	if (id <= r->last_member || id > c->index) {
		reply->code = id <= r->last_member ? ERR_EXISTS : ERR_INVALID;
		return;
	}
	for (size_t i = 0; i < REF_MEMBERS && !m; i++)
		if (r->members[i].id == 0)
			m = &r->members[i];
	if (!m) {
		full("members");
		return;
	}
	m->id = r->last_member = id;
	m->level = level(q->level);
	snprintf(m->name, sizeof m->name, "%s", q->name);
	memcpy(m->token, q->token.data, sizeof m->token);
	m->wish = MEMBER_AUTO;
	snprintf(m->address, sizeof m->address, "%s", q->address);
	reply->value = (int64_t)id;
}

static void member_add(struct reference *r, const struct ref_context *c, const Coordfs__MemberAdd *q,
		       struct reply *reply)
{
	struct ref_member *m = reference_member_named(r, q->name);
	if (!q->name[0] || q->name[0] == '.' || strchr(q->name, '/') || q->token.len != 16 || !is_address(q->address)) {
		reply->code = ERR_INVALID;
	} else if (level(q->level) < level(r->level)) {
		reply->code = ERR_NOT_SUPPORTED;
	} else if (!m) {
		member_make(r, c, q, reply);
	} else if (memcmp(m->token, q->token.data, 16) != 0) {
		reply->code = ERR_EXISTS;
	} else {
		snprintf(m->address, sizeof m->address, "%s", q->address);
		m->level = level(q->level);
		reply->value = (int64_t)m->id;
	}
}

static void member_set(struct reference *r, const Coordfs__MemberSet *q, struct reply *reply)
{
	struct ref_member *m = reference_member(r, q->id);
	if (!m || q->wish > 3 || !is_address(q->address)) {
		reply->code = m ? ERR_INVALID : ERR_NOT_FOUND;
		return;
	}
	if (q->address[0])
		snprintf(m->address, sizeof m->address, "%s", q->address);
	if (q->wish)
		m->wish = q->wish - 1;
	reply->value = (int64_t)q->id;
}

static void member_remove(struct reference *r, const struct ref_context *c, const Coordfs__MemberRemove *q,
			  struct reply *reply)
{
	struct ref_member *m = reference_member(r, q->id);
	if (!m) {
		reply->code = ERR_NOT_FOUND;
		return;
	}
	finish_member(r, c, m->name);
	*m = (struct ref_member){0};
	reply->value = (int64_t)q->id;
}

static void reset(struct reference *r, const struct ref_context *c, const Coordfs__ClusterReset *q, struct reply *reply)
{
	finish_member(r, c, NULL);
	for (size_t i = 0; i < REF_MEMBERS; i++)
		if (r->members[i].id != q->keep)
			r->members[i] = (struct ref_member){0};
	reply->value = (int64_t)q->keep;
}

/* What no session may ask for. False: not such a command. */
static bool apply_cluster(struct reference *r, const struct ref_context *c, const Coordfs__Command *q,
			  struct reply *reply)
{
	if (q->of_case < COORDFS__COMMAND__OF_MEMBER_ADD || q->of_case > COORDFS__COMMAND__OF_CLUSTER_RESET)
		return false;
	if (c->session)
		reply->code = ERR_INVALID;
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_ADD)
		member_add(r, c, q->member_add, reply);
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_SET)
		member_set(r, q->member_set, reply);
	else if (q->of_case == COORDFS__COMMAND__OF_MEMBER_REMOVE)
		member_remove(r, c, q->member_remove, reply);
	else
		reset(r, c, q->cluster_reset, reply);
	return true;
}

/* ---- outcomes ---- */

const struct ref_outcome *reference_find_outcome(const struct reference *r, const char *name, const char *member)
{
	const struct ref_outcome *latest = NULL;
	for (size_t i = 0; i < REF_OUTCOMES; i++) {
		const struct ref_outcome *o = &r->outcomes[i];
		if (o->stamp && strcmp(o->name, name) == 0 && (!member || strcmp(o->member, member) == 0) &&
		    (!latest || o->stamp > latest->stamp))
			latest = o;
	}
	return latest;
}

void reference_outcome(struct reference *r, const struct ref_context *c, const char *name, uint64_t number,
		       bool committed, uint64_t place)
{
	const char *member = reference_session(r, c->session)->member;
	struct ref_outcome *o = (struct ref_outcome *)reference_find_outcome(r, name, member);
	for (size_t i = 0; i < REF_OUTCOMES && !o; i++)
		if (r->outcomes[i].stamp == 0)
			o = &r->outcomes[i];
	if (!o) {
		full("outcomes");
		return;
	}
	*o = (struct ref_outcome){.stamp = c->index, .committed = committed, .place = place, .number = number,
				  .session = c->session};
	snprintf(o->name, sizeof o->name, "%s", name);
	snprintf(o->member, sizeof o->member, "%s", member);
	struct ref_expiry *e = expiry_make(r, c);
	snprintf(e->name, sizeof e->name, "%s", name);
	snprintf(e->member, sizeof e->member, "%s", member);
}

/* A commit is never undone. */
static void abort_(struct reference *r, const struct ref_context *c, const Coordfs__Abort *q, struct reply *reply)
{
	const struct ref_outcome *o =
		reference_find_outcome(r, q->name, reference_session(r, c->session)->member);
	if (!q->name[0] || strlen(q->name) > 255 || strlen(q->reason) > 200)
		reply->code = ERR_INVALID;
	else if (!o || o->number != q->number || o->session != c->session)
		reference_outcome(r, c, q->name, q->number, false, 0);
	else if (o->committed)
		reply->code = ERR_PERM;
}

static void expire(struct reference *r, const struct ref_expiry *e)
{
	for (size_t i = 0; i < REF_IDS && e->is_id; i++)
		if (r->ids[i].counter == e->counter && r->ids[i].stamp == e->stamp && strcmp(r->ids[i].id, e->name) == 0)
			r->ids[i] = (struct ref_id){0};
	for (size_t i = 0; i < REF_OUTCOMES && !e->is_id; i++)
		if (r->outcomes[i].stamp == e->stamp && strcmp(r->outcomes[i].name, e->name) == 0 &&
		    strcmp(r->outcomes[i].member, e->member) == 0)
			r->outcomes[i] = (struct ref_outcome){0};
}

void reference_time(struct reference *r, uint64_t time_ns)
{
	if (time_ns > (uint64_t)r->time_ns && time_ns <= (uint64_t)INT64_MAX - OUTCOME_KEEP_NS)
		r->time_ns = (int64_t)time_ns;
	for (int i = 0; i < 64 && r->expiry_count > 0 && r->expiries[0].due_ns <= r->time_ns; i++) {
		expire(r, &r->expiries[0]);
		memmove(r->expiries, r->expiries + 1, --r->expiry_count * sizeof *r->expiries);
	}
}

/* ---- any ---- */

static void apply(struct reference *r, const struct ref_context *c, const Coordfs__Command *q, struct reply *reply)
{
	switch (q->of_case) {
	case COORDFS__COMMAND__OF_SESSION_OPEN:
		session_open(r, c, q->session_open, reply);
		break;
	case COORDFS__COMMAND__OF_SESSION_END:
		session_end(r, c, q->session_end, reply);
		break;
	case COORDFS__COMMAND__OF_CREATE:
		create(r, c, q->create, reply);
		break;
	case COORDFS__COMMAND__OF_REMOVE:
		remove_(r, c, q->remove, reply);
		break;
	case COORDFS__COMMAND__OF_RENAME:
		rename_(r, c, q->rename, reply);
		break;
	case COORDFS__COMMAND__OF_LINK:
		link_(r, c, q->link, reply);
		break;
	case COORDFS__COMMAND__OF_SET_ATTR:
		set_attr(r, c, q->set_attr, reply);
		break;
	case COORDFS__COMMAND__OF_SET_XATTR:
		set_xattr(r, c, q->set_xattr, reply);
		break;
	case COORDFS__COMMAND__OF_WRITE:
		write_(r, c, q->write, reply);
		break;
	case COORDFS__COMMAND__OF_COUNTER:
		counter(r, c, q->counter, reply);
		break;
	case COORDFS__COMMAND__OF_BOUNDS:
		bounds(r, c, q->bounds, reply);
		break;
	case COORDFS__COMMAND__OF_FENCE:
		fence(r, c, q->fence, reply);
		break;
	case COORDFS__COMMAND__OF_ABORT:
		abort_(r, c, q->abort, reply);
		break;
	default:
		if (!apply_cluster(r, c, q, reply))
			reply->code = ERR_INVALID;
	}
}

/* On a copy: so that a refusal changes nothing, without any care in the commands. */
struct reply reference_apply(struct reference *r, const struct ref_context *c, const Coordfs__Command *q)
{
	struct reply reply = {0};
	struct reference *copy = reference_copy(r);
	apply(copy, c, q, &reply);
	raise_level(copy);
	if (reply.code == 0) {
		struct reference keep = *r;
		*r = *copy;
		*copy = keep;
	}
	reference_free(copy);
	return reply;
}
