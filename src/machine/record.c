#include "machine/record.h"

#include <stdlib.h>
#include <string.h>

static void put_be64(uint8_t *at, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(v >> (56 - 8 * i));
}

struct key key1(char letter, uint64_t a)
{
	struct key k = {.size = 9};
	k.data[0] = (uint8_t)letter;
	put_be64(k.data + 1, a);
	return k;
}

struct key key2(char letter, uint64_t a, uint64_t b)
{
	struct key k = key1(letter, a);
	put_be64(k.data + 9, b);
	k.size = 17;
	return k;
}

struct key key_name(char letter, uint64_t a, struct bytes name)
{
	struct key k = key1(letter, a);
	size_t room = sizeof k.data - k.size;
	size_t size = name.size < room ? name.size : room;
	if (size > 0)
		memcpy(k.data + k.size, name.data, size);
	k.size += size;
	return k;
}

int key_copy(struct bytes key, struct key *out)
{
	out->size = key.size;
	if (key.size > sizeof out->data)
		return ERR_CORRUPT;
	if (key.size > 0)
		memcpy(out->data, key.data, key.size);
	return 0;
}

uint64_t key_number(struct bytes key, unsigned which)
{
	const uint8_t *at = (const uint8_t *)key.data + 1 + 8 * which;
	uint64_t v = 0;
	if (key.size < 9 + 8 * (size_t)which)
		return 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}

struct unpacking {
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
};

static int unpack(void *ctx, struct bytes value)
{
	struct unpacking *u = ctx;
	return message_unpack(u->type, value, &u->message);
}

int record_get(struct store *s, const struct key *k, const ProtobufCMessageDescriptor *type, void *out)
{
	struct unpacking u = {.type = type};
	int found = store_get(s, key_bytes(k), unpack, &u);
	*(ProtobufCMessage **)out = u.message;
	return found;
}

int record_put(struct store *s, const struct key *k, const void *message)
{
	uint8_t fixed[2048], *data = fixed;
	size_t size = protobuf_c_message_get_packed_size(message);
	if (size > sizeof fixed && !(data = malloc(size)))
		return ERR_NO_MEMORY;
	protobuf_c_message_pack(message, data);
	int code = store_put(s, key_bytes(k), (struct bytes){data, size});
	if (data != fixed)
		free(data);
	return code;
}

void record_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}
