/* libraft's I/O: a disk that writes in order and forgets what it has not written, and messages over the links. */
#include "sim.h"

struct disk_write {
	struct disk_write *next;
	struct raft_io_append *request; /* NULL: truncate from index on */
	const struct raft_entry *entries;
	unsigned count;
	raft_index index;
};

struct disk_sent {
	struct disk_sent *next;
	struct raft_io_send *request;
	raft_io_send_cb done;
};

static struct member *member_of(struct raft_io *io)
{
	return io->impl;
}

/* ---- entries ---- */

static size_t total_size(const struct raft_entry *entries, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += entries[i].buf.len;
	return size;
}

/* As libraft wants them: an array, and one piece of memory for all. */
static struct raft_entry *entries_copy(const struct raft_entry *from, size_t count)
{
	struct raft_entry *to;
	uint8_t *batch;
	size_t at = 0;

	if (count == 0)
		return NULL;
	to = need(raft_malloc(count * sizeof *to));
	batch = need(raft_malloc(total_size(from, count) + 1));
	for (size_t i = 0; i < count; i++) {
		to[i] = from[i];
		to[i].buf.base = batch + at;
		to[i].batch = batch;
		memcpy(batch + at, from[i].buf.base, from[i].buf.len);
		at += from[i].buf.len;
	}
	return to;
}

static void put_entry(struct disk *d, const struct raft_entry *entry)
{
	if (d->count == d->capacity) {
		d->capacity = d->capacity ? 2 * d->capacity : 64;
		d->entries = need(realloc(d->entries, d->capacity * sizeof *d->entries));
	}
	d->entries[d->count] = (struct disk_entry){entry->term, entry->type, entry->buf.len,
						   need(malloc(entry->buf.len + 1))};
	memcpy(d->entries[d->count++].bytes, entry->buf.base, entry->buf.len);
}

static void truncate_from(struct disk *d, raft_index index)
{
	while (d->count >= index)
		free(d->entries[--d->count].bytes);
}

/* ---- writing ---- */

static void perform(struct disk *d, const struct disk_write *write)
{
	if (!write->request)
		truncate_from(d, write->index);
	for (unsigned i = 0; i < write->count; i++)
		put_entry(d, &write->entries[i]);
}

static struct disk_write *take_first(struct disk *d)
{
	struct disk_write *write = d->first;

	d->first = write->next;
	if (!d->first)
		d->last = NULL;
	return write;
}

static void written(void *ctx);

static void begin(struct member *m)
{
	m->disk.writing = m->disk.first != NULL;
	if (m->disk.writing)
		world_at(m->world, m->world->now + between(m->world, m->disk.latency / 2, m->disk.latency), m,
			 m->start, written, NULL, m);
}

static void written(void *ctx)
{
	struct member *m = ctx;
	struct disk_write *write = take_first(&m->disk);

	perform(&m->disk, write);
	m->in_raft = true;
	if (write->request)
		write->request->cb(write->request, 0);
	m->in_raft = false;
	free(write);
	begin(m);
}

static void enqueue(struct member *m, struct disk_write write)
{
	struct disk_write *w = need(malloc(sizeof *w));

	*w = write;
	w->next = NULL;
	*(m->disk.last ? &m->disk.last->next : &m->disk.first) = w;
	m->disk.last = w;
	if (!m->disk.writing)
		begin(m);
}

static int io_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[], unsigned n,
		     raft_io_append_cb done)
{
	request->cb = done;
	enqueue(member_of(io), (struct disk_write){.request = request, .entries = entries, .count = n});
	return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
	enqueue(member_of(io), (struct disk_write){.index = index});
	return 0;
}

/* Of what was under way the first so many were written, and nobody has been told. */
void disk_crash(struct member *m)
{
	uint64_t lucky = below(m->world, 4);
	struct disk *d = &m->disk;

	while (d->first) {
		struct disk_write *write = take_first(d);

		if (lucky > 0) {
			perform(d, write);
			lucky--;
		}
		if (write->request)
			write->request->cb(write->request, RAFT_CANCELED);
		free(write);
	}
	d->writing = false;
}

void disk_free(struct disk *d)
{
	truncate_from(d, 1);
	free(d->entries);
}

/* ---- reading ---- */

static int io_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
		   raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
	struct disk *d = &member_of(io)->disk;
	struct raft_entry *list = need(calloc(d->count + 1, sizeof *list));

	for (size_t i = 0; i < d->count; i++)
		list[i] = (struct raft_entry){.term = d->entries[i].term, .type = d->entries[i].type,
					      .buf = {.base = d->entries[i].bytes, .len = d->entries[i].size}};
	*term = d->term;
	*vote = d->vote;
	*snapshot = NULL;
	*start_index = 1;
	*entries = entries_copy(list, d->count);
	*n_entries = d->count;
	free(list);
	return 0;
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *configuration)
{
	struct disk *d = &member_of(io)->disk;
	struct raft_entry entry = {.term = 1, .type = RAFT_CHANGE};

	if (raft_configuration_encode(configuration, &entry.buf))
		return RAFT_NOMEM;
	d->term = 1;
	put_entry(d, &entry);
	raft_free(entry.buf.base);
	return 0;
}

static int io_recover(struct raft_io *io, const struct raft_configuration *configuration)
{
	(void)io;
	(void)configuration;
	return RAFT_IOERR;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
	member_of(io)->disk.term = term;
	member_of(io)->disk.vote = 0;
	return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
	member_of(io)->disk.vote = id;
	return 0;
}

/* There are no snapshots here. */
static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
			   const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb done)
{
	(void)io, (void)trailing, (void)request, (void)snapshot, (void)done;
	return RAFT_IOERR;
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request, raft_io_snapshot_get_cb done)
{
	(void)io, (void)request, (void)done;
	return RAFT_IOERR;
}

/* ---- messages ---- */

struct packet {
	struct world *world;
	unsigned from, to;
	struct raft_message message;
};

static void packet_drop(void *ctx)
{
	struct packet *p = ctx;

	if (p->message.type == RAFT_APPEND_ENTRIES && p->message.append_entries.n_entries) {
		raft_free(p->message.append_entries.entries[0].batch);
		raft_free(p->message.append_entries.entries);
	}
	free(p);
}

static void packet_deliver(void *ctx)
{
	struct packet *p = ctx;
	struct member *from = p->world->members[p->from], *to = p->world->members[p->to];

	p->message.server_id = from->id;
	p->message.server_address = from->name;
	to->in_raft = true;
	to->recv(&to->io, &p->message);
	to->in_raft = false;
	free(p);
}

static int io_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
		   raft_io_send_cb done)
{
	struct member *m = member_of(io);
	struct disk_sent *sent = need(malloc(sizeof *sent));
	struct packet *p = need(malloc(sizeof *p));

	*sent = (struct disk_sent){m->sent, request, done};
	m->sent = sent;
	*p = (struct packet){m->world, m->number, (unsigned)message->server_id - 1, *message};
	if (message->type == RAFT_APPEND_ENTRIES)
		p->message.append_entries.entries =
			entries_copy(message->append_entries.entries, message->append_entries.n_entries);
	world_send(m->world, p->from, p->to, packet_deliver, packet_drop, NULL, p);
	return 0;
}

void disk_flush(struct member *m)
{
	while (m->sent) {
		struct disk_sent *sent = m->sent;

		m->sent = sent->next;
		m->in_raft = true;
		sent->done(sent->request, 0);
		m->in_raft = false;
		free(sent);
	}
}

/* ---- the rest ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
	(void)io, (void)id, (void)address;
	return 0;
}

/* The callback is member_crash's to call. */
static void io_close(struct raft_io *io, raft_io_close_cb done)
{
	member_of(io)->close = done;
}

static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
	(void)ms;
	member_of(io)->tick = tick;
	member_of(io)->recv = recv;
	return 0;
}

static raft_time io_time(struct raft_io *io)
{
	return member_ms(member_of(io));
}

static int io_random(struct raft_io *io, int min, int max)
{
	return (int)between(member_of(io)->world, (uint64_t)min, (uint64_t)max);
}

void disk_io(struct member *m)
{
	m->io = (struct raft_io){
		.version = 2, .capacity = 4096, .impl = m, .init = io_init, .close = io_close, .load = io_load,
		.start = io_start, .bootstrap = io_bootstrap, .recover = io_recover, .set_term = io_set_term,
		.set_vote = io_set_vote, .send = io_send, .append = io_append, .truncate = io_truncate,
		.snapshot_put = io_snapshot_put, .snapshot_get = io_snapshot_get, .time = io_time, .random = io_random,
	};
}
