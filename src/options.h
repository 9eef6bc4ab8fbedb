/* The command line, as coordfs(1) says it. Room: main. */
#ifndef COORDFS_OPTIONS_H
#define COORDFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"
#include "net/net.h"

struct options {
	bool help, version; /* asked for; nothing else is filled in then */
	bool foreground, debug;
	char *source, *mountpoint; /* absolute; owned */
	char *member;		   /* owned; NULL: not said */
	unsigned timeout_s, session_ttl_s, voters;
	int loss_signal; /* on_loss; 0: none */
	char *listen, *join; /* owned; NULL: not said */
	bool insecure;
	bool has_key;
	uint8_t key[NET_KEY_BYTES]; /* what the key file holds */
	unsigned election_ms, heartbeat_ms; /* heartbeat at most a fifth of election */
	unsigned replace_s;
	enum consistency consistency; /* of what is made where the directory does not say it */
	char *kernel; /* for libfuse and the kernel, comma-separated; owned, may be NULL */
};

/* Reads the key file. Errors: -1, and error says in one line what is wrong. options_fini in any case. */
int options_parse(struct options *o, int argc, char **argv, char *error, size_t error_size);
void options_fini(struct options *o);

#define OPTIONS_NAME_RULE "1 to 64 letters, digits, '.', '_' and '-' are wanted, no '.' in front"

#endif
