/* Which level each addition to the log needs: level.h says how it works. */
#include "machine/level.h"

#include <stddef.h>

#include "proto/coordfs.pb-c.h"

/* A new command is a field of Command. What is not here is known to all. */
static const struct addition {
	const ProtobufCMessageDescriptor *message;
	uint32_t field, level;
} additions[] = {
	{&coordfs__command__descriptor, 18, LEVEL_2}, /* set_consistency */
	{&coordfs__create__descriptor, 9, LEVEL_2},   /* consistency, when it is not zero */
	{&coordfs__command__descriptor, 50, LEVEL_2}, /* vote */
	{NULL, 0, 0},
};

uint32_t level_of_field(const ProtobufCMessageDescriptor *message, uint64_t field)
{
	for (const struct addition *a = additions; a->message; a++)
		if (a->message == message && a->field == field)
			return a->level;
	return LEVEL_FIRST;
}
