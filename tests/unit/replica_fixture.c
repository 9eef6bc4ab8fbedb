#include "replica_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 20000

static void on_ready(void *ctx)
{
	((struct member *)ctx)->ready = true;
}

static void on_failed(void *ctx, const char *text)
{
	struct member *m = ctx;

	m->failed = true;
	snprintf(m->error, sizeof m->error, "%s", text);
}

static void on_closed(void *ctx)
{
	((struct member *)ctx)->closed = true;
}

static void on_event(void *ctx, const struct event *event)
{
	((struct member *)ctx)->events[event->type]++;
}

void member_init(struct member *m)
{
	const char *base = getenv("TMPDIR");

	memset(m, 0, sizeof *m);
	snprintf(m->directory, sizeof m->directory, "%s/coordfs-replica-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(m->directory));
	assert_int_equal(uv_loop_init(&m->loop), 0);
	log_init(&m->log, "test");
	m->log.level = getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
	m->config = (struct replica_config){
		.directory = m->directory,
		.member = "m1",
		.timeout_ms = 10000,
		.log = &m->log,
		.ready = on_ready,
		.failed = on_failed,
		.ctx = m,
		.observer = {.ctx = m, .event = on_event},
	};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void member_fini(struct member *m)
{
	if (m->replica)
		member_close(m);
	assert_int_equal(uv_loop_close(&m->loop), 0);
	nftw(m->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int member_open(struct member *m)
{
	int rc;

	m->ready = m->failed = m->closed = false;
	m->error[0] = '\0';
	memset(m->events, 0, sizeof m->events);
	rc = replica_open(&m->loop, &m->config, &m->replica, m->error, sizeof m->error);
	if (rc) {
		assert_null(m->replica);
		assert_true(m->error[0] && !strchr(m->error, '\n'));
		return rc;
	}
	while (!m->ready && !m->failed)
		uv_run(&m->loop, UV_RUN_ONCE);
	return m->ready ? 0 : ERR_CORRUPT;
}

void member_close(struct member *m)
{
	replica_close(m->replica, on_closed, m);
	member_wait(m, &m->closed);
	m->replica = NULL;
}

void member_killed(struct member *m, void (*work)(struct member *m))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		uv_loop_init(&m->loop);
		if (member_open(m))
			_exit(1);
		work(m);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void on_deadline(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static void run_until(struct member *m, const bool *flag, unsigned ms, bool *late)
{
	uv_timer_t timer;

	*late = false;
	uv_timer_init(&m->loop, &timer);
	timer.data = late;
	uv_update_time(&m->loop);
	uv_timer_start(&timer, on_deadline, ms, 0);
	while (!(flag && *flag) && !*late)
		uv_run(&m->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&m->loop, UV_RUN_NOWAIT);
}

void member_wait(struct member *m, const bool *flag)
{
	bool late;

	run_until(m, flag, WAIT_MS, &late);
	assert_false(late);
}

void member_run_ms(struct member *m, unsigned ms)
{
	bool late;

	run_until(m, NULL, ms, &late);
}

static void on_answer(void *ctx, const struct reply *reply)
{
	struct pending *p = ctx;

	assert_false(p->done);
	p->done = true;
	p->reply = *reply;
}

struct reply member_propose(struct member *m, const Coordfs__Command *command)
{
	struct pending p = {0};

	assert_true(replica_propose(m->replica, command, on_answer, &p) > 0);
	assert_false(p.done);
	member_wait(m, &p.done);
	return p.reply;
}

struct reply member_create(struct member *m, uint64_t parent, const char *name, uint32_t mode)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Create create = COORDFS__CREATE__INIT;

	create.parent = parent;
	create.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
	create.mode = mode;
	command.of_case = COORDFS__COMMAND__OF_CREATE;
	command.create = &create;
	return member_propose(m, &command);
}

static void add_command(Coordfs__Command *command, Coordfs__CounterUpdate *update, Coordfs__CounterRequest **list,
			Coordfs__CounterRequest *request, uint64_t counter, int64_t amount)
{
	coordfs__command__init(command);
	coordfs__counter_update__init(update);
	coordfs__counter_request__init(request);
	request->kind = COUNTER_ADD;
	request->value = amount;
	*list = request;
	update->inode = counter;
	update->n_requests = 1;
	update->requests = list;
	command->of_case = COORDFS__COMMAND__OF_COUNTER;
	command->counter = update;
}

struct reply member_add(struct member *m, uint64_t counter, int64_t amount)
{
	Coordfs__CounterRequest request, *list;
	Coordfs__CounterUpdate update;
	Coordfs__Command command;

	add_command(&command, &update, &list, &request, counter, amount);
	return member_propose(m, &command);
}

void member_start_add(struct member *m, uint64_t counter, int64_t amount, struct pending *answer)
{
	Coordfs__CounterRequest request, *list;
	Coordfs__CounterUpdate update;
	Coordfs__Command command;

	*answer = (struct pending){.amount = amount};
	add_command(&command, &update, &list, &request, counter, amount);
	replica_propose(m->replica, &command, on_answer, answer);
	assert_false(answer->done);
}

struct reply member_write(struct member *m, uint64_t file, uint64_t offset, size_t size)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__Write write = COORDFS__WRITE__INIT;
	struct reply reply;

	write.inode = file;
	write.offset = offset;
	write.data = (ProtobufCBinaryData){size, malloc(size + 1)};
	assert_non_null(write.data.data);
	memset(write.data.data, 'x', size);
	command.of_case = COORDFS__COMMAND__OF_WRITE;
	command.write = &write;
	reply = member_propose(m, &command);
	free(write.data.data);
	return reply;
}

uint64_t member_find(struct member *m, uint64_t parent, const char *name)
{
	uint64_t inode = 0;

	view_lookup(machine_view(replica_machine(m->replica)), parent, (struct bytes){name, strlen(name)}, &inode, NULL);
	return inode;
}

int64_t member_value(struct member *m, uint64_t counter)
{
	struct attr attr;

	assert_int_equal(view_attr(machine_view(replica_machine(m->replica)), counter, &attr), 0);
	return attr.value;
}

uint64_t member_state_hash(struct member *m)
{
	Coordfs__Meta meta = COORDFS__META__INIT;

	machine_meta(replica_machine(m->replica), &meta);
	return meta.state_hash;
}

/* Counted, but not the file that is asked for: what a child was writing when the member ended is no image yet. */
static bool is_temporary(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && strcmp(end, ".tmp") == 0;
}

static unsigned scan(struct member *m, const char *sub, const char *prefix, char *path, size_t size)
{
	char directory[300];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(directory, sizeof directory, "%s/%s", m->directory, sub);
	dir = opendir(directory);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
			if (path && is_temporary(entry->d_name))
				continue;
			if (path && (count == 0 || strcmp(entry->d_name, strrchr(path, '/') + 1) > 0))
				snprintf(path, size, "%s/%s", directory, entry->d_name);
			count++;
		}
	closedir(dir);
	return count;
}

const char *member_file(struct member *m, const char *sub, const char *prefix, char *path, size_t size)
{
	assert_true(scan(m, sub, prefix, path, size) > 0);
	return path;
}

unsigned member_file_count(struct member *m, const char *sub, const char *prefix)
{
	return scan(m, sub, prefix, NULL, 0);
}

void flip_bit(const char *path, long offset)
{
	int fd = open(path, O_RDWR);
	struct stat st;
	uint8_t byte;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	if (offset < 0)
		offset += (long)st.st_size;
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}
