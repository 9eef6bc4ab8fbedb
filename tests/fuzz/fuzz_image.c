/* Images of any bytes: refused in words, or loaded; never a crash. The checksum at the end is made right, so that what
 * lies behind it is reached as well. A machine that was loaded takes a command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine/overlay.h"
#include "store/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_image: %s\n", what);
	abort();
}

/* The last 8 bytes become the checksum of those before. */
static int image_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	size_t body = size < 8 ? size : size - 8;
	uint64_t sum = XXH3_64bits(data, body);
	uint8_t end[8];

	for (int i = 0; i < 8; i++)
		end[i] = (uint8_t)(sum >> 8 * i);
	require(fd >= 0 && write(fd, data, body) == (ssize_t)body, "no memory file");
	require(size < 8 || write(fd, end, 8) == 8, "no memory file");
	require(lseek(fd, 0, SEEK_SET) == 0, "no memory file");
	return fd;
}

static int nothing_get(struct store *s, struct bytes key, store_parse parse, void *ctx)
{
	(void)s, (void)key, (void)parse, (void)ctx;
	return 0;
}

static void use(struct machine *m)
{
	struct reply reply;

	require(machine_apply(m, machine_applied(m) + 1, (struct bytes){"\x08\x01", 2}, &reply) == 0, "a refusal");
	require(reply.code == ERR_INVALID, "an entry without a command");
	machine_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct store_ops nothing_ops = {.get = nothing_get};
	struct store nothing = {&nothing_ops};
	struct overlay *memory = overlay_new(&nothing); /* an overlay over nothing is a store in memory */
	struct machine *m;
	char error[200] = "";
	int fd = image_of(data, size), code;

	require(memory != NULL, "no memory");
	code = image_load(fd, NULL, overlay_store(memory), NULL, &m, error, sizeof error);
	require(code == 0 || (m == NULL && error[0]), "a refusal without words");
	if (code == 0)
		use(m);
	overlay_free(memory);
	close(fd);
	return 0;
}
