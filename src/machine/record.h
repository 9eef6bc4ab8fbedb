/* Room: machine. Keys and records: every value in the store is one packed protobuf message, but for chunks of
 * file content. Key: a letter, then fixed big-endian numbers, then (last) a name:
 *   i inode            Inode          e parent name        Dirent      p parent page     DirPage
 *   d inode chunk      bytes          x inode              Xattrs      k inode id        Remembered
 *   S session          Session        R session sequence   Reply       b session number  Binding
 *   l number           Lock           o name\0member       Outcome     O name            member (bytes)
 *   K number           Expiry         M number            Member         v number          Vote */
#ifndef COORDFS_MACHINE_RECORD_H
#define COORDFS_MACHINE_RECORD_H

#include "machine/machine.h"

struct key {
	uint8_t data[1 + 16 + 600];
	size_t size;
};

struct key key1(char letter, uint64_t a);
struct key key2(char letter, uint64_t a, uint64_t b);
struct key key_name(char letter, uint64_t a, struct bytes name); /* name: at most 512 bytes, else cut */
static inline struct bytes key_bytes(const struct key *k)
{
	return (struct bytes){k->data, k->size};
}
/* The key in bytes; ERR_CORRUPT: too long for one. */
int key_copy(struct bytes key, struct key *out);
/* The numbers back out of a key of the given letter's form. */
uint64_t key_number(struct bytes key, unsigned which);

/* 0 and a message for record_free in *out; else *out is NULL: ERR_CORRUPT (bytes that are no such message), ERR_NO_MEMORY. */
int message_unpack(const ProtobufCMessageDescriptor *type, struct bytes packed, void *out);
/* Whether unpacking it needs no more stack than an entry of ours does. *level: what a program must know to read all of
 * it (level.h); LEVEL_NONE: something in it is not known here. */
bool message_is_shallow(const ProtobufCMessageDescriptor *type, struct bytes packed, uint32_t *level);

/* 1 found: *out is the message, free it with record_free; 0 absent: *out NULL; negative: ERR_CORRUPT (bytes that
 * are no such message), ERR_NO_MEMORY. */
int record_get(struct store *s, const struct key *k, const ProtobufCMessageDescriptor *type, void *out);
int record_put(struct store *s, const struct key *k, const void *message);
void record_free(void *message); /* NULL is fine */

#endif
