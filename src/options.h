/* The command line, as INTERFACE's "Options" says it. Room: main. */
#ifndef COORDFS_OPTIONS_H
#define COORDFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct options {
	bool help, version; /* asked for; nothing else is filled in then */
	bool foreground, debug;
	char *source, *mountpoint; /* absolute; owned */
	char *member;		   /* owned; NULL: not said */
	unsigned timeout_s, session_ttl_s, voters;
	char *kernel; /* for libfuse and the kernel, comma-separated; owned, may be NULL */
};

/* Errors: -1, and error says in one line what is wrong. options_fini in any case. */
int options_parse(struct options *o, int argc, char **argv, char *error, size_t error_size);
void options_fini(struct options *o);

#endif
