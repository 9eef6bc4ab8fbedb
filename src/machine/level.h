/* Room: machine. What the programs of one cluster may say to each other through the log while they are not all of one
 * version.
 *
 * A level is a set of commands, and fields of commands, that a program knows; each level holds the ones before. The
 * state holds the level of each member's program, as it said when it joined (MemberAdd) or last started
 * (SessionOpen), and the cluster's level: the lowest of these, which never falls. What needs more than the cluster's
 * level is refused by every member in the same words, whether its program knows it or not; so nobody applies what
 * another one cannot. The entry by which the last member says that it was upgraded raises the cluster's level, and
 * what the new programs can do works from then on. A program that is below the cluster's level (it was exchanged for
 * an older one) does not serve, and does not get in.
 *
 * To add a command, or a field of a command: give it the number in coordfs.proto, and a row in the table of level.c
 * that says from which level on it is known. That is all: machine_apply refuses it below. A front that wants to say so
 * earlier, or has another way for older clusters, asks machine_level().
 * A row's level is LEVEL_LATEST at the time it is added; LEVEL_LATEST grows by one for the first row after a release. */
#ifndef COORDFS_MACHINE_LEVEL_H
#define COORDFS_MACHINE_LEVEL_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

enum {
	LEVEL_FIRST = 1, /* also of what says none */
	LEVEL_2 = 2,	 /* see the table */
	LEVEL_LATEST = LEVEL_2,
	LEVEL_NONE = 0x7fffffff, /* no program so far knows it */
};

/* From which level on programs know this field; LEVEL_FIRST: all do. */
uint32_t level_of_field(const ProtobufCMessageDescriptor *message, uint64_t field);

#endif
