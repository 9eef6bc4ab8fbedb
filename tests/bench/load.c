#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 1000000 /* of all clients together, in one slice */

struct load {
	unsigned int clients_max;
	bool processes;
	struct arena *arena;
	struct client *clients;
	uint64_t *latency_ns;
};

/* One client, as the thread or process that runs it is given it. */
struct task {
	struct client *client;
	const struct operation *operation;
	uint64_t sample_max;
	double seconds;
	pthread_t thread;
	pid_t pid;
};

static void *shared_alloc(size_t size_bytes)
{
	void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void shared_free(void *memory, size_t size_bytes)
{
	if (memory)
		munmap(memory, size_bytes);
}

struct load *load_new(unsigned int clients_max, bool processes)
{
	struct load *load = calloc(1, sizeof *load);

	if (!load)
		return NULL;
	load->clients_max = clients_max;
	load->processes = processes;
	load->arena = shared_alloc(sizeof *load->arena);
	load->clients = shared_alloc(clients_max * sizeof *load->clients);
	load->latency_ns = shared_alloc(SAMPLES_MAX * sizeof *load->latency_ns);
	if (load->arena && load->clients && load->latency_ns)
		return load;
	load_free(load);
	return NULL;
}

void load_free(struct load *load)
{
	if (!load)
		return;
	shared_free(load->arena, sizeof *load->arena);
	shared_free(load->clients, load->clients_max * sizeof *load->clients);
	shared_free(load->latency_ns, SAMPLES_MAX * sizeof *load->latency_ns);
	free(load);
}

void exclusive_enter(struct client *client)
{
	if (atomic_fetch_add(&client->arena->inside, 1) != 0)
		atomic_fetch_add(&client->arena->intruders, 1);
	sched_yield(); /* so that one who should not be here has time to come */
}

void exclusive_leave(struct client *client)
{
	atomic_fetch_sub(&client->arena->inside, 1);
}

/* ---- a client --------------------------------------------------------------------------------------------------- */

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool client_step(struct client *client, const struct operation *operation)
{
	if (operation->step(client) != 0) {
		client->error = errno ? errno : EPROTO;
		return false;
	}
	client->step++;
	client->done_count++;
	return true;
}

static void client_warm_up(const struct task *task)
{
	uint64_t end_ns = now_ns() + (uint64_t)(task->seconds * 1e8);

	while (now_ns() < end_ns)
		if (!client_step(task->client, task->operation))
			return;
}

static void client_count(struct client *client, uint64_t step_ns)
{
	if (client->took_ns != NOT_COUNTED)
		client->latency_ns[client->latency_count++] = client->took_ns ? client->took_ns : step_ns;
}

static void client_measure(const struct task *task)
{
	struct client *client = task->client;
	uint64_t before_ns = client->begin_ns, after_ns;
	uint64_t deadline_ns = before_ns + (uint64_t)(task->seconds * 1e9);

	while (before_ns < deadline_ns && client->latency_count < task->sample_max) {
		if (!client_step(client, task->operation))
			return;
		after_ns = now_ns();
		client_count(client, after_ns - before_ns);
		before_ns = after_ns;
	}
}

/* All clients meet at the barrier three times, also those that have failed: else the others would wait for ever. */
static void *client_run(void *argument)
{
	struct task *task = argument;
	struct client *client = task->client;

	errno = 0;
	if (task->operation->open(client) != 0)
		client->error = errno ? errno : EPROTO;
	pthread_barrier_wait(&client->arena->barrier);
	if (!client->error)
		client_warm_up(task);
	pthread_barrier_wait(&client->arena->barrier);
	client->begin_ns = now_ns();
	if (!client->error)
		client_measure(task);
	client->end_ns = now_ns();
	pthread_barrier_wait(&client->arena->barrier);
	if (task->operation->close)
		task->operation->close(client);
	return NULL;
}

static int task_start(struct task *task)
{
	if (!task->client->process)
		return pthread_create(&task->thread, NULL, client_run, task);
	task->pid = fork();
	if (task->pid < 0)
		return errno;
	if (task->pid > 0)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	client_run(task);
	_exit(0);
}

static void task_wait(struct task *task)
{
	int status = 0;

	if (!task->client->process)
		pthread_join(task->thread, NULL);
	else if ((waitpid(task->pid, &status, 0) < 0 || status != 0) && !task->client->error)
		task->client->error = ECHILD;
}

/* ---- a slice ---------------------------------------------------------------------------------------------------- */

static int latency_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double percentile_us(const uint64_t *sorted_ns, uint64_t count, double share)
{
	return count ? (double)sorted_ns[(uint64_t)((double)(count - 1) * share)] / 1e3 : 0;
}

static struct slice slice_of(struct load *load, unsigned int count)
{
	uint64_t begin_ns = UINT64_MAX, end_ns = 0, samples = 0;
	struct slice slice = { .intruder_count = atomic_load(&load->arena->intruders) };

	for (unsigned int i = 0; i < count; i++) {
		const struct client *client = &load->clients[i];

		begin_ns = client->begin_ns < begin_ns ? client->begin_ns : begin_ns;
		end_ns = client->end_ns > end_ns ? client->end_ns : end_ns;
		memmove(load->latency_ns + samples, client->latency_ns, client->latency_count * sizeof *load->latency_ns);
		samples += client->latency_count;
		slice.done_count += client->done_count;
		slice.error = slice.error ? slice.error : client->error;
	}
	qsort(load->latency_ns, samples, sizeof *load->latency_ns, latency_compare);
	slice.p50_us = percentile_us(load->latency_ns, samples, 0.50);
	slice.p99_us = percentile_us(load->latency_ns, samples, 0.99);
	slice.per_s = end_ns > begin_ns ? (double)samples * 1e9 / (double)(end_ns - begin_ns) : 0;
	return slice;
}

static void arena_init(struct arena *arena, unsigned int count)
{
	pthread_barrierattr_t attributes;

	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&arena->barrier, &attributes, count);
	pthread_barrierattr_destroy(&attributes);
	atomic_store(&arena->inside, 0);
	atomic_store(&arena->intruders, 0);
	atomic_store(&arena->asking, 0);
	arena->given_ns = 0;
}

static void client_init(struct load *load, const struct operation *operation, const struct place *place,
			unsigned int count, unsigned int id)
{
	load->clients[id] = (struct client){
		.id = id,
		.count = count,
		.process = load->processes,
		.place = operation->between && id % 2 ? place->other : place,
		.arena = load->arena,
		.fd = -1,
		.latency_ns = load->latency_ns + (size_t)id * (SAMPLES_MAX / count),
	};
}

/* A client that cannot be started would leave the others at the barrier. */
static void start_or_die(struct task *task)
{
	int error = task_start(task);

	if (!error)
		return;
	fprintf(stderr, "bench: client %u does not start: %s\n", task->client->id, strerror(error));
	exit(1);
}

struct slice load_run(struct load *load, const struct operation *operation, const struct place *place,
		      unsigned int count, double seconds)
{
	struct task *tasks = calloc(count, sizeof *tasks);
	struct slice slice = { .error = ENOMEM };

	if (!tasks || count > load->clients_max)
		goto out;
	fflush(stdout); /* else a process that ends in exit would print it again */
	arena_init(load->arena, count);
	for (unsigned int i = 0; i < count; i++) {
		client_init(load, operation, place, count, i);
		tasks[i] = (struct task){ .client = &load->clients[i],
					  .operation = operation,
					  .sample_max = SAMPLES_MAX / count,
					  .seconds = seconds };
		start_or_die(&tasks[i]);
	}
	for (unsigned int i = 0; i < count; i++)
		task_wait(&tasks[i]);
	pthread_barrier_destroy(&load->arena->barrier);
	slice = slice_of(load, count);
out:
	free(tasks);
	return slice;
}
