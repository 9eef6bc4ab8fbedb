/* A directory's names live twice: as Dirent records, found by name, and as slots of its pages, found by place.
 * A slot number is never used again, grows with each name, and is the cookie of readdir: a reader that
 * continues after slot n misses nothing that stays. Pages of PAGE_SLOTS numbers are a list, so that pages
 * that became empty cost nothing. */
#include <stdlib.h>
#include <string.h>

#include "machine/internal.h"

#define PAGE_SLOTS 16u

static uint64_t page_of(uint64_t slot)
{
	return slot / PAGE_SLOTS + 1;
}

static int page_get(struct store *s, uint64_t directory, uint64_t page, Coordfs__DirPage **out)
{
	struct key k = key2('p', directory, page);
	return record_get(s, &k, &coordfs__dir_page__descriptor, out);
}

static int page_put(struct context *c, uint64_t directory, uint64_t page, const Coordfs__DirPage *p)
{
	struct key k = key2('p', directory, page);
	return record_put(c->store, &k, p);
}

/* A page that must be there. */
static int page_need(struct context *c, uint64_t directory, uint64_t page, Coordfs__DirPage **out)
{
	int found = page_get(c->store, directory, page, out);
	return found > 0 ? 0 : found < 0 ? found : ERR_CORRUPT;
}

static int dirent_put(struct context *c, uint64_t directory, struct bytes name, const Coordfs__Dirent *d)
{
	struct key k = key_name('e', directory, name);
	return record_put(c->store, &k, d);
}

int directory_find(struct store *s, uint64_t directory, struct bytes name, Coordfs__Dirent **out)
{
	struct key k = key_name('e', directory, name);
	int found = record_get(s, &k, &coordfs__dirent__descriptor, out);
	return found > 0 ? 0 : found < 0 ? found : ERR_NOT_FOUND;
}

/* ---- adding ---- */

/* An empty page after the directory's last one. */
static int page_append(struct context *c, uint64_t number, Coordfs__Inode *dir, uint64_t page)
{
	Coordfs__DirPage fresh = COORDFS__DIR_PAGE__INIT, *last;
	int code = 0;
	fresh.prev = dir->last_page;
	if (dir->last_page) {
		code = page_need(c, number, dir->last_page, &last);
		if (code)
			return code;
		last->next = page;
		code = page_put(c, number, dir->last_page, last);
		record_free(last);
	} else {
		dir->first_page = page;
	}
	dir->last_page = page;
	return code ? code : page_put(c, number, page, &fresh);
}

/* Put a page with one slot more, borrowed. */
static int page_put_with(struct context *c, uint64_t number, uint64_t page, Coordfs__DirPage *p, Coordfs__DirSlot *slot)
{
	Coordfs__DirSlot *slots[PAGE_SLOTS], **own = p->slots;
	size_t count = p->n_slots;
	if (count >= PAGE_SLOTS)
		return ERR_CORRUPT;
	if (count > 0)
		memcpy(slots, own, count * sizeof *slots);
	slots[count] = slot;
	p->slots = slots;
	p->n_slots = count + 1;
	int code = page_put(c, number, page, p);
	p->slots = own;
	p->n_slots = count;
	return code;
}

static int slot_add(struct context *c, uint64_t number, Coordfs__Inode *dir, Coordfs__DirSlot *slot)
{
	uint64_t page = page_of(slot->slot);
	Coordfs__DirPage *p;
	int code = page == dir->last_page ? 0 : page_append(c, number, dir, page);
	if (code == 0)
		code = page_need(c, number, page, &p);
	if (code)
		return code;
	code = page_put_with(c, number, page, p, slot);
	record_free(p);
	return code;
}

int directory_add(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		  const Coordfs__Dirent *what)
{
	Coordfs__DirSlot slot = COORDFS__DIR_SLOT__INIT;
	Coordfs__Dirent d = *what;
	if (dir->next_slot == 0)
		dir->next_slot = 1; /* 0 means "from the start" */
	d.slot = slot.slot = dir->next_slot++;
	slot.inode = what->inode;
	slot.kind = what->kind;
	slot.name = (ProtobufCBinaryData){name.size, (uint8_t *)name.data};
	int code = slot_add(c, number, dir, &slot);
	if (code)
		return code;
	dir->entries++;
	if (what->kind == KIND_DIRECTORY)
		dir->nlink++;
	inode_touch_content(c, dir);
	return dirent_put(c, number, name, &d);
}

/* ---- replacing and removing ---- */

static Coordfs__DirSlot *page_slot(Coordfs__DirPage *p, uint64_t slot, size_t *at)
{
	for (size_t i = 0; i < p->n_slots; i++)
		if (p->slots[i]->slot == slot) {
			*at = i;
			return p->slots[i];
		}
	return NULL;
}

int directory_replace(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		      const Coordfs__Dirent *old, const Coordfs__Dirent *what)
{
	Coordfs__DirPage *p;
	Coordfs__Dirent d = *what;
	size_t at;
	int code = page_need(c, number, page_of(old->slot), &p);
	if (code)
		return code;
	Coordfs__DirSlot *slot = page_slot(p, old->slot, &at);
	if (slot) {
		slot->inode = what->inode;
		slot->kind = what->kind;
	}
	code = slot ? page_put(c, number, page_of(old->slot), p) : ERR_CORRUPT;
	record_free(p);
	if (code)
		return code;
	dir->nlink += (what->kind == KIND_DIRECTORY) - (old->kind == KIND_DIRECTORY);
	inode_touch_content(c, dir);
	d.slot = old->slot;
	return dirent_put(c, number, name, &d);
}

static int page_relink(struct context *c, uint64_t number, uint64_t page, bool next, uint64_t to)
{
	Coordfs__DirPage *p;
	int code = page_need(c, number, page, &p);
	if (code)
		return code;
	if (next)
		p->next = to;
	else
		p->prev = to;
	code = page_put(c, number, page, p);
	record_free(p);
	return code;
}

static int page_unlink(struct context *c, uint64_t number, Coordfs__Inode *dir, uint64_t page,
		       const Coordfs__DirPage *p)
{
	struct key k = key2('p', number, page);
	int code = 0;
	if (p->prev)
		code = page_relink(c, number, p->prev, true, p->next);
	else
		dir->first_page = p->next;
	if (code == 0 && p->next)
		code = page_relink(c, number, p->next, false, p->prev);
	else if (code == 0)
		dir->last_page = p->prev;
	return code ? code : store_del(c->store, key_bytes(&k));
}

static int slot_remove(struct context *c, uint64_t number, Coordfs__Inode *dir, uint64_t slot)
{
	uint64_t page = page_of(slot);
	Coordfs__DirPage *p;
	size_t at;
	int code = page_need(c, number, page, &p);
	if (code)
		return code;
	Coordfs__DirSlot *s = page_slot(p, slot, &at);
	if (!s) {
		code = ERR_CORRUPT;
	} else {
		coordfs__dir_slot__free_unpacked(s, NULL);
		p->n_slots--;
		memmove(p->slots + at, p->slots + at + 1, (p->n_slots - at) * sizeof *p->slots);
		code = p->n_slots ? page_put(c, number, page, p) : page_unlink(c, number, dir, page, p);
	}
	record_free(p);
	return code;
}

int directory_remove(struct context *c, uint64_t number, Coordfs__Inode *dir, struct bytes name,
		     const Coordfs__Dirent *old)
{
	struct key k = key_name('e', number, name);
	int code = slot_remove(c, number, dir, old->slot);
	if (code)
		return code;
	dir->entries--;
	if (old->kind == KIND_DIRECTORY)
		dir->nlink--;
	inode_touch_content(c, dir);
	return store_del(c->store, key_bytes(&k));
}

/* ---- reading ---- */

/* The first page that may hold a slot after cookie, 0 at the end. */
static int page_after(struct store *s, uint64_t inode, const Coordfs__Inode *dir, uint64_t cookie, uint64_t *out)
{
	uint64_t want = page_of(cookie), page = dir->first_page;
	Coordfs__DirPage *p;
	int found = cookie ? page_get(s, inode, want, &p) : 0;
	if (found != 0) {
		if (found > 0)
			record_free(p);
		*out = want;
		return found < 0 ? found : 0;
	}
	while (page && page < want) { /* its page is gone: look for the next in the list */
		found = page_get(s, inode, page, &p);
		if (found <= 0)
			return found < 0 ? found : ERR_CORRUPT;
		page = p->next;
		record_free(p);
	}
	*out = page;
	return 0;
}

static int page_each(const Coordfs__DirPage *p, uint64_t cookie,
		     int (*each)(void *ctx, const struct view_entry *entry), void *ctx)
{
	int end = 0;
	for (size_t i = 0; i < p->n_slots && !end; i++) {
		const Coordfs__DirSlot *s = p->slots[i];
		if (s->slot <= cookie)
			continue;
		struct view_entry e = {.name = {s->name.data, s->name.len}, .inode = s->inode, .cookie = s->slot,
				       .kind = (enum inode_kind)s->kind};
		end = each(ctx, &e);
	}
	return end;
}

int view_readdir(struct view v, uint64_t inode, uint64_t cookie,
		 int (*each)(void *ctx, const struct view_entry *entry), void *ctx)
{
	Coordfs__Inode *dir;
	struct key k = key1('i', inode);
	uint64_t page;
	int end = 0, code = record_get(v.store, &k, &coordfs__inode__descriptor, &dir);
	if (code <= 0)
		return code < 0 ? code : ERR_NOT_FOUND;
	code = dir->kind == KIND_DIRECTORY ? page_after(v.store, inode, dir, cookie, &page) : ERR_NOT_DIRECTORY;
	record_free(dir);
	while (code == 0 && page && !end) {
		Coordfs__DirPage *p;
		code = page_get(v.store, inode, page, &p);
		if (code <= 0)
			return code < 0 ? code : ERR_CORRUPT;
		code = 0;
		end = page_each(p, cookie, each, ctx);
		page = p->next;
		record_free(p);
	}
	return code;
}
