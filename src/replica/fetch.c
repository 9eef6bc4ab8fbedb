/* Images from the leader, for a member that lags further than the leader's log reaches back.
 *
 * libraft's InstallSnapshot carries a few lines that name an image (snapshot.c), not the image. So the message is kept
 * here, the image is asked for in chunks, some at a time, written to its place, synced, and only then libraft gets the
 * message: memory is bounded whatever the state's size, and libraft never waits for the network. libraft offers the
 * snapshot again and again meanwhile; the newest message is the one that is kept. An offer of another image starts
 * over. The image's checksum is checked when it is loaded.
 *
 * Nothing is handed to libraft while an image of our own is being taken: it would forget it (engine.c). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/internal.h"
#include "replica/message.h"

#define CHUNK_BYTES (256u << 10)
#define AHEAD_BYTES (8u * CHUNK_BYTES)
#define SILENCE_MS 1000	 /* then what is missing is asked for again */
#define GIVE_UP_MS 15000 /* then the next offer starts over */
#define IMAGE_BYTES_MAX (8ull << 30)

static void part_name(uint64_t index, char out[IMAGE_NAME_BYTES + 8])
{
	char name[IMAGE_NAME_BYTES];

	image_name(index, name);
	snprintf(out, IMAGE_NAME_BYTES + 8, "%s.part", name);
}

static bool is_here(const struct replica *r, uint64_t index, const struct image_sum *sum)
{
	char name[IMAGE_NAME_BYTES];
	struct stat st;

	image_name(index, name);
	return fstatat(r->directory.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == sum->bytes;
}

/* ---- asking ---- */

static bool ask(struct replica *r, uint64_t offset, uint32_t size)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ImageRequest request = COORDFS__IMAGE_REQUEST__INIT;

	request.index = r->fetch.index;
	request.offset = offset;
	request.size = size;
	request.checksum = r->fetch.sum.checksum;
	envelope.of_case = COORDFS__ENVELOPE__OF_IMAGE_REQUEST;
	envelope.image_request = &request;
	return peers_send(r, r->fetch.from, &envelope);
}

static void ask_more(struct replica *r)
{
	struct fetch *f = &r->fetch;

	while (f->asked < f->sum.bytes && f->asked - f->written < AHEAD_BYTES) {
		uint64_t left = f->sum.bytes - f->asked;
		uint32_t size = left < CHUNK_BYTES ? (uint32_t)left : CHUNK_BYTES;

		if (!ask(r, f->asked, size))
			return;
		f->asked += size;
	}
}

/* ---- the end of it ---- */

void fetch_drop(struct replica *r)
{
	struct fetch *f = &r->fetch;
	char name[IMAGE_NAME_BYTES + 8];

	if (!f->active || f->syncing)
		return;
	message_drop(&f->message);
	part_name(f->index, name);
	if (f->fd >= 0) {
		close(f->fd);
		unlinkat(r->directory.fd, name, 0);
	}
	f->active = false;
}

static void trouble(struct replica *r, const char *what, int error)
{
	log_line(r->log, LOG_LEVEL_WARNING, "%s: the image of entry %" PRIu64 " %s: %s", r->directory.path,
		 r->fetch.index, what, strerror(error));
	fetch_drop(r);
}

/* The image is here: libraft's turn, when it can take it. */
static void deliver(struct replica *r)
{
	struct fetch *f = &r->fetch;

	char address[ENGINE_ADDRESS_BYTES];

	if (!f->active || f->fd >= 0 || f->syncing || r->snapshots.active)
		return;
	f->active = false;
	f->message.server_address = engine_address(f->from, address); /* libraft copies it */
	engine_deliver(r, &f->message);
}

static void synced(uv_fs_t *request)
{
	struct replica *r = request->data;
	struct fetch *f = &r->fetch;
	char part[IMAGE_NAME_BYTES + 8], name[IMAGE_NAME_BYTES];
	int result = (int)request->result;

	uv_fs_req_cleanup(request);
	f->syncing = false;
	part_name(f->index, part);
	image_name(f->index, name);
	if (result < 0) {
		trouble(r, "cannot be stored", -result);
	} else if (renameat(r->directory.fd, part, r->directory.fd, name)) {
		trouble(r, "cannot be stored", errno);
	} else {
		close(f->fd);
		f->fd = -1;
		r->metrics.images_fetched++;
		log_line(r->log, LOG_LEVEL_INFO, "%s: the image of entry %" PRIu64 " came from the leader: %" PRIu64 " bytes",
			 r->directory.path, f->index, f->sum.bytes);
		deliver(r);
	}
	replica_kick(r);
}

static void finish(struct replica *r)
{
	struct fetch *f = &r->fetch;

	f->sync.data = r;
	f->syncing = uv_fs_fsync(r->loop, &f->sync, f->fd, synced) == 0;
	if (!f->syncing)
		trouble(r, "cannot be stored", ENOMEM);
}

void fetch_receive(struct replica *r, const Coordfs__ImageChunk *chunk, uint64_t from)
{
	struct fetch *f = &r->fetch;
	uint64_t size = chunk->data.len;

	if (!f->active || f->fd < 0 || f->syncing || from != f->from || chunk->index != f->index)
		return;
	if (chunk->code) {
		fetch_drop(r); /* it has a newer one: it will offer that */
		return;
	}
	if (chunk->offset != f->written || size == 0 || size > f->sum.bytes - f->written)
		return; /* out of order: something was lost, and will be asked for again */
	if (pwrite(f->fd, chunk->data.data, size, (off_t)chunk->offset) != (ssize_t)size) {
		trouble(r, "cannot be written", errno);
		return;
	}
	f->written += size;
	f->moved_ms = replica_now_ms(r);
	if (f->written == f->sum.bytes)
		finish(r);
	else
		ask_more(r);
}

/* ---- the beginning ---- */

static void begin(struct replica *r, struct raft_message *message, uint64_t index, const struct image_sum *sum)
{
	struct fetch *f = &r->fetch;
	char name[IMAGE_NAME_BYTES + 8];

	f->message = *message;
	f->from = message->server_id;
	f->index = index;
	f->sum = *sum;
	f->asked = f->written = 0;
	f->moved_ms = replica_now_ms(r);
	f->active = true;
	f->fd = -1;
	if (is_here(r, index, sum))
		return;
	part_name(index, name);
	f->fd = openat(r->directory.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0)
		trouble(r, "cannot be written", errno);
	else
		ask_more(r);
}

void fetch_snapshot(struct replica *r, struct raft_message *message)
{
	const struct raft_install_snapshot *s = &message->install_snapshot;
	struct fetch *f = &r->fetch;
	struct image_sum sum;
	uint64_t index;

	if (!snapshot_name_parse(&s->data, &index, &sum) || index < s->last_index || sum.bytes == 0 ||
	    sum.bytes > IMAGE_BYTES_MAX || f->syncing) {
		message_drop(message);
		return;
	}
	if (f->active && f->index == index && f->from == message->server_id) {
		message_drop(&f->message);
		f->message = *message;
	} else {
		fetch_drop(r);
		begin(r, message, index, &sum);
	}
	deliver(r);
}

void fetch_tick(struct replica *r, uint64_t now_ms)
{
	struct fetch *f = &r->fetch;

	if (!f->active || f->syncing)
		return;
	if (f->fd < 0) {
		deliver(r);
	} else if (now_ms - f->moved_ms > GIVE_UP_MS) {
		fetch_drop(r);
	} else if (now_ms - f->moved_ms > SILENCE_MS) {
		f->asked = f->written;
		ask_more(r);
	}
}

/* ---- the other side ---- */

static void answer(struct replica *r, const Coordfs__ImageRequest *q, uint64_t to, const void *data, size_t size,
		   int code)
{
	Coordfs__Envelope envelope = COORDFS__ENVELOPE__INIT;
	Coordfs__ImageChunk chunk = COORDFS__IMAGE_CHUNK__INIT;

	chunk.index = q->index;
	chunk.offset = q->offset;
	chunk.data = (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
	chunk.code = code;
	envelope.of_case = COORDFS__ENVELOPE__OF_IMAGE_CHUNK;
	envelope.image_chunk = &chunk;
	peers_send(r, to, &envelope);
}

void fetch_serve(struct replica *r, const Coordfs__ImageRequest *q, uint64_t from)
{
	size_t size = q->size < CHUNK_BYTES ? q->size : CHUNK_BYTES;
	char name[IMAGE_NAME_BYTES];
	uint8_t *buffer = malloc(size + 1);
	ssize_t got = -1;
	int fd;

	image_name(q->index, name);
	fd = openat(r->directory.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && buffer)
		got = pread(fd, buffer, size, (off_t)q->offset);
	answer(r, q, from, buffer, got > 0 ? (size_t)got : 0, got > 0 ? OK : ERR_NOT_FOUND);
	if (fd >= 0)
		close(fd);
	free(buffer);
}
