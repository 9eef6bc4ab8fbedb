/* The lines of `.info` one by one, as extended attributes user.coordfs.KEY of the object itself. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "front/info.h"
#include "front/info_text.h"
#include "front/virtual.h"

/* A lock file's token is for who holds a lock through this mount. */
static int own_token(void *ctx, const struct lock_info *lock)
{
	struct lock_info *own = ctx;

	if (lock->session == own->session && lock->token > own->token)
		own->token = lock->token;
	return 0;
}

static int held_token(struct front *f, uint64_t inode, char *out, size_t size)
{
	struct lock_info own = {.session = replica_session(f->replica)};
	char text[24];
	size_t length;

	machine_locks(replica_machine(f->replica), inode, own_token, &own);
	if (own.token == 0)
		return ERR_STALE;
	length = (size_t)snprintf(text, sizeof text, "%" PRIu64, own.token);
	memcpy(out, text, length < size ? length : size);
	return (int)length;
}

static bool is_lock_file(struct front *f, fuse_ino_t node)
{
	struct attr a;

	return node_class(node) == NODE_MACHINE && view_attr(front_view(f), node, &a) == 0 && a.kind == KIND_FILE;
}

int info_value(struct front *f, fuse_ino_t node, const char *key, char *out, size_t size)
{
	size_t text_size;
	char *text;
	int code;

	if (strcmp(key, "token") == 0 && is_lock_file(f, node))
		return held_token(f, node, out, size);
	code = generated_text(f, node, info_print, &text, &text_size);
	if (code == 0)
		code = info_extract(text, key, out, size);
	free(text);
	return code;
}
