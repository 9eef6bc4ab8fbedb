/* One user takes as many locks as he can get: for hoard.sh.
 *
 *     hoarder FILE COUNT      COUNT locks on single bytes of FILE, none beside another, by several threads, each with an open
 *                             file description of its own
 *
 * Prints "HELD ERRNO" when all are held, or a thread has been refused one (ERRNO is "none" or that name). Holds them until
 * the end of its input, or its own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 64

static const char *path;
static unsigned long count, held;
static int last_error;

static void *hoard(void *number)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = open(path, O_RDWR | O_CLOEXEC), result = fd;

	for (unsigned long i = (unsigned long)number; i < count && result >= 0; i += THREADS) {
		lock.l_start = (off_t)(2 * i);
		result = fcntl(fd, F_OFD_SETLK, &lock);
		if (result == 0)
			__atomic_add_fetch(&held, 1, __ATOMIC_SEQ_CST);
	}
	if (result < 0)
		last_error = errno;
	return NULL; /* it stays open */
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	if (argc != 3)
		return 2;
	path = argv[1];
	count = strtoul(argv[2], NULL, 10);
	for (unsigned long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, hoard, (void *)i) != 0)
			return 2;
	for (unsigned long i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%lu %s\n", held, last_error ? strerrorname_np(last_error) : "none");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
