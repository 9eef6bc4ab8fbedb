/* Packed messages from outside. protobuf-c says NULL for bytes that are no message and for memory that could not be
 * had: for a replicated machine these are as different as can be, for the first is the same on every member. It also
 * unpacks messages within messages by recursion, to any depth: entries are looked through before. */
#include <stdlib.h>

#include "machine/level.h"
#include "machine/record.h"

/* Entry, Command, Commit, Command, CounterUpdate, CounterRequest: no message of ours nests deeper. */
#define DEPTH_MAX 6u

/* ---- memory ---- */

static void *memory_get(void *ctx, size_t size)
{
	void *memory = malloc(size ? size : 1);
	if (!memory)
		*(bool *)ctx = true;
	return memory;
}

static void memory_put(void *ctx, void *memory)
{
	(void)ctx;
	free(memory);
}

int message_unpack(const ProtobufCMessageDescriptor *type, struct bytes packed, void *out)
{
	bool is_short = false;
	ProtobufCAllocator memory = {memory_get, memory_put, &is_short};
	ProtobufCMessage *m = protobuf_c_message_unpack(type, &memory, packed.size, packed.data);
	*(ProtobufCMessage **)out = m;
	return m ? 0 : is_short ? ERR_NO_MEMORY : ERR_CORRUPT;
}

/* ---- depth ---- */

static bool take_varint(struct bytes *b, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 70 && b->size > 0; shift += 7) {
		uint8_t byte = *(const uint8_t *)b->data;
		*b = (struct bytes){(const uint8_t *)b->data + 1, b->size - 1};
		*out |= shift < 64 ? (uint64_t)(byte & 127) << shift : 0;
		if (byte < 128)
			return true;
	}
	return false;
}

static bool take(struct bytes *b, uint64_t size, struct bytes *out)
{
	if (size > b->size)
		return false;
	*out = (struct bytes){b->data, (size_t)size};
	*b = (struct bytes){(const uint8_t *)b->data + size, b->size - (size_t)size};
	return true;
}

/* One field: its number, and its content when it has a length. False: no field. */
static bool take_field(struct bytes *b, uint64_t *number, struct bytes *content)
{
	uint64_t tag, size;
	*content = (struct bytes){0};
	if (!take_varint(b, &tag))
		return false;
	*number = tag >> 3;
	switch (tag & 7) {
	case 0:
		return take_varint(b, &size);
	case 1:
		return take(b, 8, content);
	case 2:
		return take_varint(b, &size) && take(b, size, content);
	case 5:
		return take(b, 4, content);
	default:
		return false;
	}
}

static void need(uint32_t *level, uint32_t needed)
{
	if (needed > *level)
		*level = needed;
}

static bool is_shallow(const ProtobufCMessageDescriptor *type, struct bytes packed, unsigned depth, uint32_t *level)
{
	uint64_t number;
	struct bytes content;
	if (depth > DEPTH_MAX)
		return false;
	while (packed.size > 0) {
		if (!take_field(&packed, &number, &content))
			return false;
		const ProtobufCFieldDescriptor *field =
			number <= INT32_MAX ? protobuf_c_message_descriptor_get_field(type, (unsigned)number) : NULL;
		need(level, field ? level_of_field(type, number) : (uint32_t)LEVEL_NONE);
		if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
		    !is_shallow(field->descriptor, content, depth + 1, level))
			return false;
	}
	return true;
}

bool message_is_shallow(const ProtobufCMessageDescriptor *type, struct bytes packed, uint32_t *level)
{
	*level = LEVEL_FIRST;
	return is_shallow(type, packed, 1, level);
}
