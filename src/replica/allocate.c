/* Room: replica. posix_fallocate, as libraft's log should have it; it stands before libc's in this program.
 *
 * libraft allocates each segment of its log ahead of time and then writes into it with O_DSYNC. On ext4 and XFS blocks
 * that are allocated but were never written are marked so, and the first write to each has to change that mark,
 * durably: a commit of the file system's journal beside the write itself. It also cannot be done without waiting, so
 * that libraft hands it to a thread. A block that was written before costs one write and no thread. Hence the zeros,
 * which are written in the thread that prepares the next segment, while the present one is being filled.
 *
 * They are for speed only: where they cannot be written directly (a data directory in memory) the space is merely
 * allocated. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10 }; /* so that writes to the log get in between */

/* False: not as far as the end, for whatever reason. */
static bool write_zeros(int fd, off_t offset, off_t size)
{
	void *zeros = mmap(NULL, CHUNK_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t put = 1;

	if (zeros == MAP_FAILED)
		return false;
	for (; size > 0 && put > 0; offset += put, size -= put)
		put = pwrite(fd, zeros, size < CHUNK_BYTES ? (size_t)size : CHUNK_BYTES, offset);
	munmap(zeros, CHUNK_BYTES);
	return put > 0;
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
	int flags = fcntl(fd, F_GETFL), code = 0;

	if (flags < 0 || fallocate(fd, 0, offset, size) < 0)
		return errno;
	if (fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
		return 0;
	if (write_zeros(fd, offset, size) && fdatasync(fd) < 0)
		code = errno;
	if (fcntl(fd, F_SETFL, flags) < 0)
		code = errno;
	return code;
}
