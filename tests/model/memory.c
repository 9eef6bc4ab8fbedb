#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

static int nothing_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	(void)s, (void)key, (void)parse, (void)ctx;
	return 0;
}

static const struct store_ops nothing_ops = {.get = nothing_get};

static void need(bool condition)
{
	if (condition)
		return;
	fprintf(stderr, "out of memory\n");
	exit(3);
}

static struct memory_machine *empty(const struct machine_observer *observer)
{
	struct memory_machine *m = calloc(1, sizeof *m);
	need(m != NULL);
	m->nothing.ops = &nothing_ops;
	m->memory = overlay_new(&m->nothing);
	need(m->memory != NULL);
	need(machine_load_begin(overlay_store(m->memory), observer, &m->machine) == 0);
	return m;
}

struct memory_machine *memory_machine_new(const struct machine_observer *observer)
{
	return empty(observer);
}

void memory_machine_free(struct memory_machine *m)
{
	if (!m)
		return;
	machine_free(m->machine);
	overlay_free(m->memory);
	free(m);
}

/* ---- records ---- */

struct walk {
	struct store store;
	int (*each)(void *ctx, struct bytes key, struct bytes value);
	void *ctx;
};

static int walk_put(struct store *s, struct bytes key, struct bytes value)
{
	struct walk *w = (struct walk *)s;
	return w->each(w->ctx, key, value);
}

static int walk_del(struct store *s, struct bytes key)
{
	(void)s, (void)key;
	return 0;
}

int memory_each(struct memory_machine *m, int (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
	static const struct store_ops ops = {.get = nothing_get, .put = walk_put, .del = walk_del};
	struct walk w = {{&ops}, each, ctx};
	return overlay_each(m->memory, &w.store);
}

static int load(void *ctx, struct bytes key, struct bytes value)
{
	return machine_load(ctx, key, value);
}

struct memory_machine *memory_machine_copy(struct memory_machine *from, const struct machine_observer *observer)
{
	struct memory_machine *m = empty(observer);
	Coordfs__Meta meta;
	int code = memory_each(from, load, m->machine);
	machine_meta(from->machine, &meta);
	if (code == 0)
		code = machine_load_end(m->machine, &meta);
	if (code == 0)
		return m;
	fprintf(stderr, "the image is refused: %s\n", error_text(code));
	memory_machine_free(m);
	return NULL;
}

/* ---- entries ---- */

uint8_t *memory_pack(const Coordfs__Entry *entry, size_t *size)
{
	*size = coordfs__entry__get_packed_size(entry);
	uint8_t *packed = malloc(*size + 1);
	need(packed != NULL);
	coordfs__entry__pack(entry, packed);
	return packed;
}

int memory_machine_apply(struct memory_machine *m, uint64_t index, const Coordfs__Entry *entry, struct reply *reply)
{
	size_t size;
	uint8_t *packed = memory_pack(entry, &size);
	int code = machine_apply(m->machine, index, (struct bytes){packed, size}, reply);
	free(packed);
	return code;
}
