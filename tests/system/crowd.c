/* A crowd that waits for one lock: for crowd.sh.
 *
 *     crowd flock|range FILE COUNT COUNTS     COUNT threads want an exclusive lock on FILE at once, each once
 *     crowd COUNTS                            prints what became of them
 *
 * COUNTS is a file that several crowds share, on whichever mounts. Who has the lock says so there: nobody may find that
 * somebody else has, too. Half of them unlock, half only close. Small stacks, for there are many. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK_BYTES (128 * 1024)

struct counts {
	unsigned long inside; /* now */
	unsigned long granted, overlaps;
	unsigned long refused; /* ENOLCK */
	unsigned long interrupted;
	unsigned long errors, last_error;
};

static struct counts *counts; /* shared by all */
static const char *path;
static bool by_range; /* by fcntl(2), each with an open file description of its own */

static void count(unsigned long *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
}

static void have_the_lock(void)
{
	if (__atomic_add_fetch(&counts->inside, 1, __ATOMIC_SEQ_CST) != 1)
		count(&counts->overlaps);
	sched_yield();
	count(&counts->granted);
	__atomic_sub_fetch(&counts->inside, 1, __ATOMIC_SEQ_CST);
}

static void count_error(int error)
{
	if (error == ENOLCK) {
		count(&counts->refused);
	} else if (error == EINTR) {
		count(&counts->interrupted);
	} else {
		count(&counts->errors);
		counts->last_error = (unsigned long)error;
	}
}

static int lock(int fd, bool unlock)
{
	struct flock range = {.l_type = unlock ? F_UNLCK : F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};

	return by_range ? fcntl(fd, F_OFD_SETLKW, &range) : flock(fd, unlock ? LOCK_UN : LOCK_EX);
}

static void *want(void *number)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || lock(fd, false) < 0) {
		count_error(errno);
	} else {
		have_the_lock();
		if ((size_t)number % 2 && lock(fd, true) < 0)
			count_error(errno);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static struct counts *map_counts(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT, 0666);
	void *map;

	if (fd < 0 || ftruncate(fd, sizeof(struct counts)) < 0)
		return NULL;
	map = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

static int print_counts(void)
{
	printf("granted=%lu overlaps=%lu refused=%lu interrupted=%lu errors=%lu last_error=%s\n", counts->granted,
	       counts->overlaps, counts->refused, counts->interrupted, counts->errors,
	       counts->last_error ? strerrorname_np((int)counts->last_error) : "none");
	return 0;
}

static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_crowd(size_t size)
{
	pthread_t *threads = calloc(size, sizeof *threads);
	pthread_attr_t attributes;
	size_t started = 0;

	if (!threads)
		return 2;
	allow_files();
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	while (started < size && pthread_create(&threads[started], &attributes, want, (void *)started) == 0)
		started++;
	if (started < size)
		fprintf(stderr, "crowd: only %zu of %zu threads\n", started, size);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_attr_destroy(&attributes);
	free(threads);
	return started < size;
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 5)
		return 2;
	counts = map_counts(argv[argc - 1]);
	if (!counts)
		return 2;
	if (argc == 2)
		return print_counts();
	by_range = strcmp(argv[1], "range") == 0;
	path = argv[2];
	return run_crowd((size_t)atol(argv[3]));
}
