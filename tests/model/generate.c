#include "generate.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* splitmix64 */
uint64_t chance_next(struct chance *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t chance_below(struct chance *c, uint64_t below)
{
	return chance_next(c) % below;
}

bool chance_one_in(struct chance *c, uint64_t n)
{
	return chance_below(c, n) == 0;
}

/* ---- what commands are about ---- */

void generate_name(struct chance *c, char name[300])
{
	static const char *const odd[] = {"", ".", "..", "a/b", ".self", ".cas", ".selfish", "\xff\x80", " \n"};
	if (chance_one_in(c, 60)) {
		snprintf(name, 300, "%s", odd[chance_below(c, sizeof odd / sizeof *odd)]);
	} else if (chance_one_in(c, 60)) {
		memset(name, 'n', 300);
		name[254 + chance_below(c, 3)] = '\0';
	} else {
		snprintf(name, 300, "%c", 'a' + (int)chance_below(c, 6));
	}
}

static bool is_wanted(const struct ref_object *o, enum inode_kind kind)
{
	return o->number && (kind == 0 || o->kind == kind);
}

uint64_t generate_object(struct chance *c, struct reference *r, enum inode_kind kind)
{
	uint64_t count = 0, wanted;
	if (chance_one_in(c, 40))
		return chance_one_in(c, 2) ? chance_below(c, INODE_FIRST + 50) : chance_next(c);
	if (chance_one_in(c, 20))
		kind = 0;
	for (size_t i = 0; i < REF_OBJECTS; i++)
		count += is_wanted(&r->objects[i], kind);
	if (count == 0)
		return INODE_FILES;
	wanted = chance_below(c, count);
	for (size_t i = 0; i < REF_OBJECTS; i++)
		if (is_wanted(&r->objects[i], kind) && wanted-- == 0)
			return r->objects[i].number;
	return 0;
}

/* A name that is there, if the directory has any, for otherwise too few commands would find something. */
static void existing_name(struct chance *c, struct reference *r, uint64_t parent, char name[300], size_t *size)
{
	uint64_t count = 0;
	struct ref_name *n = NULL;
	generate_name(c, name);
	*size = strlen(name);
	for (struct ref_name *at = NULL; (at = reference_next(r, parent, at));)
		count++;
	if (count == 0 || chance_one_in(c, 4))
		return;
	for (uint64_t skip = chance_below(c, count) + 1; skip > 0; skip--)
		n = reference_next(r, parent, n);
	memcpy(name, n->name.data, n->name.size);
	*size = n->name.size;
}

static ProtobufCBinaryData binary(const void *data, size_t size)
{
	return (ProtobufCBinaryData){size, (uint8_t *)data};
}

/* Amounts near the ends of 64 bits, now and then. */
static int64_t amount(struct chance *c)
{
	static const int64_t ends[] = {INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, 0};
	if (chance_one_in(c, 30))
		return ends[chance_below(c, 5)];
	return (int64_t)chance_below(c, 21) - 10;
}

/* Sizes and offsets about the borders of chunks, now and then. */
static uint64_t place(struct chance *c)
{
	static const uint64_t borders[] = {FILE_CHUNK_BYTES, 2 * FILE_CHUNK_BYTES, 3 * FILE_CHUNK_BYTES};
	if (chance_one_in(c, 200))
		return LIMIT_FILE_BYTES - 2 + chance_below(c, 5);
	if (chance_one_in(c, 500))
		return chance_next(c);
	if (chance_one_in(c, 5))
		return borders[chance_below(c, 3)] - 2 + chance_below(c, 5);
	return chance_below(c, 30);
}

/* ---- the commands ---- */

static void generate_create(struct chance *c, struct reference *r, struct generated *out)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};
	Coordfs__Create *q = &out->of.create;
	coordfs__create__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_CREATE;
	out->command.create = q;
	q->parent = generate_object(c, r, KIND_DIRECTORY);
	generate_name(c, out->name);
	q->name = binary(out->name, strlen(out->name));
	q->mode = types[chance_below(c, chance_one_in(c, 20) ? 7 : 6)] | (uint32_t)chance_below(c, 010000);
	q->uid = (uint32_t)chance_below(c, 3);
	q->gid = (uint32_t)chance_below(c, 3);
	q->exclusive = chance_one_in(c, 2);
	if (S_ISLNK(q->mode) && !chance_one_in(c, 20))
		q->target = binary("somewhere", 1 + chance_below(c, 9));
}

static void generate_remove(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__Remove *q = &out->of.remove;
	size_t size;
	coordfs__remove__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_REMOVE;
	out->command.remove = q;
	q->parent = generate_object(c, r, KIND_DIRECTORY);
	existing_name(c, r, q->parent, out->name, &size);
	q->name = binary(out->name, size);
	struct ref_name *n = reference_name(r, q->parent, out->name, size);
	q->directory = n ? reference_object(r, n->object)->kind == KIND_DIRECTORY : false;
	if (chance_one_in(c, 10))
		q->directory = !q->directory;
}

static void generate_rename(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__Rename *q = &out->of.rename;
	size_t size;
	coordfs__rename__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_RENAME;
	out->command.rename = q;
	q->parent = generate_object(c, r, KIND_DIRECTORY);
	q->new_parent = chance_one_in(c, 3) ? q->parent : generate_object(c, r, KIND_DIRECTORY);
	existing_name(c, r, q->parent, out->name, &size);
	q->name = binary(out->name, size);
	existing_name(c, r, q->new_parent, out->new_name, &size);
	if (chance_one_in(c, 2)) {
		generate_name(c, out->new_name);
		size = strlen(out->new_name);
	}
	q->new_name = binary(out->new_name, size);
	q->flags = (uint32_t)chance_below(c, chance_one_in(c, 20) ? 5 : 3);
}

static void generate_link(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__Link *q = &out->of.link;
	coordfs__link__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_LINK;
	out->command.link = q;
	q->inode = generate_object(c, r, KIND_FILE);
	q->parent = generate_object(c, r, KIND_DIRECTORY);
	generate_name(c, out->name);
	q->name = binary(out->name, strlen(out->name));
}

static void generate_set_attr(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__SetAttr *q = &out->of.set_attr;
	coordfs__set_attr__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_SET_ATTR;
	out->command.set_attr = q;
	q->inode = generate_object(c, r, chance_one_in(c, 2) ? KIND_FILE : 0);
	q->mask = (uint32_t)chance_below(c, 256);
	if (chance_one_in(c, 2))
		q->mask &= ~(uint32_t)ATTR_SIZE;
	q->mode = (uint32_t)chance_below(c, 1 << 16);
	q->uid = (uint32_t)chance_below(c, 3);
	q->gid = (uint32_t)chance_below(c, 3);
	q->size = place(c);
	q->atime_ns = (int64_t)chance_below(c, 1000);
	q->mtime_ns = -(int64_t)chance_below(c, 1000);
}

static void generate_set_xattr(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__SetXattr *q = &out->of.set_xattr;
	static const char *const names[] = {"user.a", "user.b", "user.c", ""};
	coordfs__set_xattr__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_SET_XATTR;
	out->command.set_xattr = q;
	q->inode = generate_object(c, r, 0);
	q->name = (char *)names[chance_below(c, chance_one_in(c, 20) ? 4 : 3)];
	q->flags = (uint32_t)chance_below(c, 3);
	q->remove = chance_one_in(c, 3);
	q->value = binary(out->data, chance_below(c, chance_one_in(c, 10) ? sizeof out->data : 20));
	memset(out->data, (int)chance_below(c, 256), q->value.len);
}

static uint64_t revision_guess(struct chance *c, struct reference *r, uint64_t inode)
{
	const struct ref_object *o = reference_object(r, inode);
	return o && !chance_one_in(c, 3) ? o->content : chance_below(c, 100);
}

static void generate_write(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__Write *q = &out->of.write;
	coordfs__write__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_WRITE;
	out->command.write = q;
	q->inode = generate_object(c, r, KIND_FILE);
	q->offset = place(c);
	q->data = binary(out->data, chance_below(c, chance_one_in(c, 8) ? sizeof out->data : 20));
	memset(out->data, 'A' + (int)chance_below(c, 26), q->data.len);
	q->append = chance_one_in(c, 4);
	q->truncate = chance_one_in(c, 6);
	q->conditional = chance_one_in(c, 6);
	if (q->conditional)
		q->if_revision = revision_guess(c, r, q->inode);
}

static void generate_counter(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__CounterUpdate *q = &out->of.counter;
	coordfs__counter_update__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_COUNTER;
	out->command.counter = q;
	q->inode = generate_object(c, r, KIND_COUNTER);
	const struct ref_object *o = reference_object(r, q->inode);
	q->n_requests = chance_one_in(c, 3) ? chance_below(c, 5) : 1;
	q->requests = out->request_list;
	for (size_t i = 0; i < q->n_requests; i++) {
		Coordfs__CounterRequest *one = out->request_list[i] = &out->requests[i];
		coordfs__counter_request__init(one);
		one->kind = (uint32_t)chance_below(c, chance_one_in(c, 50) ? 5 : 3);
		one->value = amount(c);
		one->expected = o && chance_one_in(c, 2) ? o->value : amount(c);
		snprintf(out->ids[i], sizeof out->ids[i], "id%d", (int)chance_below(c, 8));
		if (chance_one_in(c, 3))
			one->id = binary(out->ids[i], strlen(out->ids[i]));
	}
}

static void generate_bounds(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__CounterBounds *q = &out->of.bounds;
	coordfs__counter_bounds__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_BOUNDS;
	out->command.bounds = q;
	q->inode = generate_object(c, r, KIND_COUNTER);
	q->set_min = chance_one_in(c, 2);
	q->set_max = chance_one_in(c, 2);
	q->has_min = chance_one_in(c, 2);
	q->has_max = chance_one_in(c, 2);
	q->min = amount(c);
	q->max = amount(c);
}

static void generate_fence(struct chance *c, struct reference *r, struct generated *out)
{
	Coordfs__FenceAdvance *q = &out->of.fence;
	coordfs__fence_advance__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_FENCE;
	out->command.fence = q;
	q->inode = generate_object(c, r, KIND_FENCE);
	q->token = chance_one_in(c, 50) ? chance_next(c) : chance_below(c, 50);
}

/* Small states meet themselves more often. */
static bool is_crowded(const struct reference *r)
{
	unsigned count = 0;
	for (size_t i = 0; i < REF_OBJECTS; i++)
		count += r->objects[i].number != 0;
	return count > 40;
}

void generate(struct chance *c, struct reference *r, struct generated *out)
{
	static void (*const kinds[])(struct chance *, struct reference *, struct generated *) = {
		generate_create, generate_create, generate_create, generate_remove,    generate_remove,
		generate_rename, generate_rename, generate_link,   generate_set_attr,  generate_set_xattr,
		generate_write,	 generate_write,  generate_write,  generate_counter,   generate_counter,
		generate_counter, generate_bounds, generate_fence,
	};
	coordfs__command__init(&out->command);
	if (is_crowded(r) && chance_one_in(c, 2))
		generate_remove(c, r, out);
	else
		kinds[chance_below(c, sizeof kinds / sizeof *kinds)](c, r, out);
}
