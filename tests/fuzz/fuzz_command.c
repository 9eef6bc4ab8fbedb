/* Log entries of any bytes, applied one after another to a machine with some state. The input is a list of
 * { u8 how, u16 length (little-endian), bytes }: how & 1: the bytes are a whole Entry, else a Command, which goes in as
 * the session's next; how & 2: its sequence is that of the one before. Whatever comes, the machine refuses or carries
 * out, its invariants hold, and a second machine that is given the same log comes to the same state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "machine/level.h"
#include "machine/machine.h"
#include "machine/overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct subject {
	struct store nothing; /* an overlay over nothing is a store in memory */
	struct overlay *memory;
	struct machine *machine;
	uint64_t index, sequence;
};

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_command: %s\n", what);
	abort();
}

static int nothing_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	(void)s, (void)key, (void)parse, (void)ctx;
	return 0;
}

static void apply(struct subject *s, struct bytes entry, struct reply *reply)
{
	require(machine_apply(s->machine, ++s->index, entry, reply) == 0, "the store is not at fault");
}

static struct reply apply_command(struct subject *s, uint64_t sequence, const Coordfs__Command *command)
{
	Coordfs__Entry e = COORDFS__ENTRY__INIT;
	struct reply reply;
	uint8_t *packed;
	size_t size;

	e.format = ENTRY_FORMAT;
	e.time_ns = 1000000 * s->index;
	e.session = sequence ? 1 : 0; /* the first entry opens it: its index is its number */
	e.sequence = sequence;
	e.answered_below = sequence;
	e.command = (Coordfs__Command *)(uintptr_t)command;
	size = coordfs__entry__get_packed_size(&e);
	packed = malloc(size);
	require(packed != NULL, "no memory");
	coordfs__entry__pack(&e, packed);
	apply(s, (struct bytes){packed, size}, &reply);
	free(packed);
	return reply;
}

static void create(struct subject *s, uint64_t parent, const char *name, uint32_t mode)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Create q = COORDFS__CREATE__INIT;

	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &q;
	q.parent = parent;
	q.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
	q.mode = mode;
	require(apply_command(s, ++s->sequence, &command).code == OK, "the beginning");
}

/* Inodes 256 to 260: a counter, a file, a directory with a file, a lock file. */
static void begin(struct subject *s)
{
	static const struct store_ops nothing_ops = {.get = nothing_get};
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionOpen open = COORDFS__SESSION_OPEN__INIT;

	memset(s, 0, sizeof *s);
	s->nothing.ops = &nothing_ops;
	s->memory = overlay_new(&s->nothing);
	require(s->memory && machine_new(overlay_store(s->memory), NULL, &s->machine) == 0, "no memory");
	open.member = (char *)(uintptr_t) "one";
	open.incarnation = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t) "0123456789abcdef"};
	command.of_case = COORDFS__COMMAND__OF_SESSION_OPEN;
	open.level = LEVEL_LATEST;
	command.session_open = &open;
	require(apply_command(s, 0, &command).code == OK, "the beginning");
	create(s, INODE_COUNTERS, "counter", S_IFREG | 0644);
	create(s, INODE_FILES, "file", S_IFREG | 0644);
	create(s, INODE_FILES, "dir", S_IFDIR | 0755);
	create(s, INODE_FIRST + 2, "file", S_IFREG | 0644);
	create(s, INODE_LOCKS, "lock", S_IFREG | 0644);
}

static void end(struct subject *s)
{
	machine_free(s->machine);
	overlay_free(s->memory);
}

static void feed_one(struct subject *s, unsigned how, struct bytes bytes)
{
	Coordfs__Command *command;
	struct reply reply;

	if (how & 1) {
		apply(s, bytes, &reply);
		return;
	}
	command = coordfs__command__unpack(NULL, bytes.size, bytes.data);
	if (!command)
		return;
	if (!(how & 2))
		s->sequence++;
	apply_command(s, s->sequence, command);
	coordfs__command__free_unpacked(command, NULL);
}

static void feed(struct subject *s, const uint8_t *data, size_t size)
{
	while (size >= 3) {
		size_t length = data[1] | (size_t)data[2] << 8;

		if (length > size - 3)
			length = size - 3;
		feed_one(s, data[0], (struct bytes){data + 3, length});
		data += 3 + length;
		size -= 3 + length;
	}
}

static void breach(void *ctx, const char *what)
{
	(void)ctx;
	fprintf(stderr, "fuzz_command: %s\n", what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subject a, b;
	Coordfs__Meta one, two;

	begin(&a);
	begin(&b);
	feed(&a, data, size);
	feed(&b, data, size);
	require(machine_check(a.machine, breach, NULL) == 0, "an invariant is broken");
	machine_meta(a.machine, &one);
	machine_meta(b.machine, &two);
	require(one.state_hash == two.state_hash && one.next_inode == two.next_inode, "two machines, one log, two states");
	end(&a);
	end(&b);
	return 0;
}
