/* One member's eventual level: what users change and see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "gossip/gossip.h"

#define ROOT 20

struct world {
	uv_loop_t loop;
	struct gossip *g;
	char directory[64];
	unsigned answers, changes;
	int code; /* the last answer's */
	bool closed;
};

static const struct gossip_owner owner = {.uid = 1, .gid = 2, .mode = 0640};

static void done(void *ctx, int code)
{
	struct world *w = ctx;

	w->answers++;
	w->code = code;
}

static void changed(void *ctx, uint64_t root, const char *path)
{
	struct world *w = ctx;

	assert_non_null(path);
	assert_int_equal(root, ROOT);
	w->changes++;
}

static void open_it(struct world *w)
{
	const struct gossip_config config = {.directory = w->directory, .member = 1, .changed = changed, .ctx = w};
	char error[256] = "";

	assert_int_equal(gossip_open(&w->loop, &config, &w->g, error, sizeof error), 0);
}

static void set_closed(void *ctx)
{
	((struct world *)ctx)->closed = true;
}

static void close_it(struct world *w)
{
	w->closed = false;
	gossip_close(w->g, set_closed, w);
	while (!w->closed)
		uv_run(&w->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	const char *tmp = getenv("TMPDIR");

	assert_non_null(w);
	snprintf(w->directory, sizeof w->directory, "%.40s/gossip-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->directory));
	uv_loop_init(&w->loop);
	open_it(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	close_it(w);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	snprintf(command, sizeof command, "rm -rf '%s'", w->directory);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* ---- calls that wait ---- */

static struct gossip_place at(const char *path)
{
	return (struct gossip_place){ROOT, path};
}

static int wait_for(struct world *w, int rc)
{
	unsigned before = w->answers;

	if (rc)
		return rc;
	assert_int_equal(w->answers, before); /* never from within the call */
	while (w->answers == before)
		uv_run(&w->loop, UV_RUN_ONCE);
	return w->code;
}

static int create(struct world *w, const char *path, enum gossip_kind kind)
{
	struct gossip_place p = at(path);

	return wait_for(w, gossip_create(w->g, &p, kind, &owner, done, w));
}

static int add(struct world *w, const char *path, int64_t amount)
{
	struct gossip_place p = at(path);

	return wait_for(w, gossip_add(w->g, &p, amount, done, w));
}

static int put(struct world *w, const char *path, const char *text)
{
	struct gossip_place p = at(path);

	return wait_for(w, gossip_put(w->g, &p, text, strlen(text), done, w));
}

static int remove_it(struct world *w, const char *path)
{
	struct gossip_place p = at(path);

	return wait_for(w, gossip_remove(w->g, &p, done, w));
}

static struct gossip_attr attr(struct world *w, const char *path)
{
	struct gossip_place p = at(path);
	struct gossip_attr a;

	assert_int_equal(gossip_attr(w->g, &p, &a), 0);
	return a;
}

static bool is_there(struct world *w, const char *path)
{
	struct gossip_place p = at(path);
	struct gossip_attr a;
	int rc = gossip_attr(w->g, &p, &a);

	assert_true(rc == 0 || rc == ERR_NOT_FOUND);
	return rc == 0;
}

static void assert_content(struct world *w, const char *path, const char *text)
{
	struct gossip_place p = at(path);
	const void *data;
	size_t size;

	assert_int_equal(gossip_content(w->g, &p, &data, &size), 0);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(data, text, size);
}

/* ---- counters ---- */

static void test_counter(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w, "hits", 1), ERR_NOT_FOUND);
	assert_int_equal(create(w, "hits", GOSSIP_COUNTER), 0);
	assert_int_equal(attr(w, "hits").value, 0);
	assert_int_equal(attr(w, "hits").mode, 0640);
	assert_int_equal(attr(w, "hits").uid, 1);
	assert_int_equal(add(w, "hits", 10), 0);
	assert_int_equal(add(w, "hits", -3), 0);
	assert_int_equal(attr(w, "hits").value, 7);
	assert_int_equal(create(w, "hits", GOSSIP_COUNTER), 0);
	assert_int_equal(attr(w, "hits").value, 7);
	assert_int_equal(create(w, "hits", GOSSIP_FILE), ERR_EXISTS);
	assert_int_equal(put(w, "hits", "x"), ERR_NOT_SUPPORTED);
	assert_true(attr(w, "hits").converged);
	assert_int_equal(remove_it(w, "hits"), 0);
	assert_false(is_there(w, "hits"));
	assert_int_equal(create(w, "hits", GOSSIP_COUNTER), 0);
	assert_int_equal(attr(w, "hits").value, 0);
	assert_true(w->changes >= 4);
}

static void test_bounds(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w, "", INT64_MAX), 0);
	assert_int_equal(add(w, "", 1), ERR_RANGE);
	assert_true(attr(w, "").value == INT64_MAX);
	assert_int_equal(attr(w, "").kind, GOSSIP_COUNTER);
	assert_int_equal(add(w, "", INT64_MIN), 0);
	assert_int_equal(attr(w, "").value, -1);
}

/* All of one turn of the loop. */
static void test_many_at_once(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("");

	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(gossip_add(w->g, &p, 1, done, w), 0);
	assert_int_equal(attr(w, "").value, 0);
	while (w->answers < 1000)
		uv_run(&w->loop, UV_RUN_ONCE);
	assert_int_equal(attr(w, "").value, 1000);
}

static void one_share(void *ctx, uint64_t member, uint64_t added, uint64_t taken)
{
	assert_int_equal(member, 1);
	assert_int_equal(added, 10);
	assert_int_equal(taken, 4);
	++*(unsigned *)ctx;
}

static void test_shares(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("c");
	unsigned count = 0;

	create(w, "c", GOSSIP_COUNTER);
	add(w, "c", 99);
	remove_it(w, "c");
	create(w, "c", GOSSIP_COUNTER);
	add(w, "c", 10);
	add(w, "c", -4);
	assert_int_equal(gossip_shares(w->g, &p, one_share, &count), 0);
	assert_int_equal(count, 1);
}

/* ---- files ---- */

static void test_file(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("f");
	char *big = calloc(1, LIMIT_FILE_BYTES + 1);

	assert_int_equal(put(w, "f", "x"), ERR_NOT_FOUND);
	assert_int_equal(create(w, "f", GOSSIP_FILE), 0);
	assert_content(w, "f", "");
	assert_int_equal(put(w, "f", "one"), 0);
	assert_int_equal(put(w, "f", "two2"), 0);
	assert_content(w, "f", "two2");
	assert_int_equal(attr(w, "f").size, 4);
	assert_int_equal(add(w, "f", 1), ERR_NOT_SUPPORTED);
	assert_int_equal(gossip_put(w->g, &p, big, LIMIT_FILE_BYTES + 1, done, w), ERR_TOO_BIG);
	assert_int_equal(wait_for(w, gossip_put(w->g, &p, big, LIMIT_FILE_BYTES, done, w)), 0);
	assert_int_equal(attr(w, "f").size, LIMIT_FILE_BYTES);
	assert_int_equal(remove_it(w, "f"), 0);
	assert_false(is_there(w, "f"));
	assert_int_equal(remove_it(w, "f"), ERR_NOT_FOUND);
	free(big);
}

static void test_owner(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("f");
	const struct gossip_owner other = {.uid = 7, .gid = 8, .mode = 0100600};

	assert_int_equal(wait_for(w, gossip_set_owner(w->g, &p, &other, done, w)), ERR_NOT_FOUND);
	create(w, "f", GOSSIP_FILE);
	put(w, "f", "text");
	assert_int_equal(wait_for(w, gossip_set_owner(w->g, &p, &other, done, w)), 0);
	assert_int_equal(attr(w, "f").uid, 7);
	assert_int_equal(attr(w, "f").mode, 0600);
	assert_content(w, "f", "text");
}

/* ---- directories ---- */

static void test_directories(void **state)
{
	struct world *w = *state;

	assert_int_equal(create(w, "d/f", GOSSIP_FILE), ERR_NOT_FOUND);
	assert_int_equal(create(w, "d", GOSSIP_DIRECTORY), 0);
	assert_int_equal(create(w, "d/e", GOSSIP_DIRECTORY), 0);
	assert_int_equal(create(w, "d/e/f", GOSSIP_FILE), 0);
	assert_int_equal(create(w, "d/e/f/g", GOSSIP_FILE), ERR_NOT_DIRECTORY);
	assert_int_equal(attr(w, "d").entries, 1);
	assert_int_equal(attr(w, "").entries, 1);
	assert_int_equal(attr(w, "").kind, GOSSIP_DIRECTORY);
	assert_int_equal(remove_it(w, "d"), ERR_NOT_EMPTY);
	assert_int_equal(add(w, "d", 1), ERR_IS_DIRECTORY);
	assert_int_equal(remove_it(w, "d/e/f"), 0);
	assert_int_equal(remove_it(w, "d/e"), 0);
	assert_int_equal(attr(w, "d").entries, 0);
	assert_int_equal(remove_it(w, "d"), 0);
	assert_false(is_there(w, "d"));
	assert_int_equal(attr(w, "").entries, 0);
}

struct listing {
	unsigned seen[300], count, stop_after;
	uint64_t last;
};

static bool note(void *ctx, uint64_t cookie, const char *name, const struct gossip_attr *a)
{
	struct listing *l = ctx;
	unsigned number = (unsigned)atoi(name);

	assert_true(cookie > l->last);
	assert_int_equal(a->kind, GOSSIP_COUNTER);
	l->last = cookie;
	l->seen[number]++;
	return ++l->count % l->stop_after != 0;
}

/* In pieces, while others come and go: each that was there all the time is listed once. */
static void test_list(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("");
	struct listing l = {.stop_after = 7};
	char name[8];
	unsigned before;

	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "%u", i);
		create(w, name, GOSSIP_COUNTER);
	}
	for (unsigned i = 200; i < 210; i++) {
		before = l.count;
		assert_int_equal(gossip_list(w->g, &p, l.last, note, &l), 0);
		assert_int_equal(l.count, before + 7);
		snprintf(name, sizeof name, "%u", i);
		create(w, name, GOSSIP_COUNTER);
		snprintf(name, sizeof name, "%u", 199 - (i - 200));
		remove_it(w, name);
	}
	do {
		before = l.count;
		assert_int_equal(gossip_list(w->g, &p, l.last, note, &l), 0);
	} while (l.count > before);
	for (unsigned i = 0; i < 190; i++)
		assert_int_equal(l.seen[i], 1);
	assert_int_equal(attr(w, "").entries, 200);
}

static void test_names(void **state)
{
	struct world *w = *state;
	char name[300], *path = calloc(1, 5000);

	memset(name, 'n', sizeof name);
	name[256] = '\0';
	assert_int_equal(create(w, name, GOSSIP_FILE), ERR_NAME_TOO_LONG);
	name[255] = '\0';
	assert_int_equal(create(w, name, GOSSIP_FILE), 0);
	assert_true(is_there(w, name));
	memset(path, 'x', 4500);
	assert_int_equal(create(w, path, GOSSIP_FILE), ERR_NAME_TOO_LONG);
	assert_int_equal(create(w, "/a", GOSSIP_FILE), ERR_INVALID);
	assert_int_equal(create(w, "a/", GOSSIP_FILE), ERR_INVALID);
	assert_int_equal(create(w, "a//b", GOSSIP_FILE), ERR_INVALID);
	assert_int_equal(create(w, "..", GOSSIP_FILE), ERR_INVALID);
	free(path);
}

/* ---- the root goes ---- */

static void test_forget(void **state)
{
	struct world *w = *state;
	struct gossip_place p = at("d/c");

	create(w, "d", GOSSIP_DIRECTORY);
	create(w, "d/c", GOSSIP_COUNTER);
	assert_int_equal(gossip_add(w->g, &p, 1, done, w), 0);
	gossip_forget_root(w->g, ROOT);
	assert_int_equal(gossip_add(w->g, &p, 1, done, w), 0);
	while (w->answers < 4)
		uv_run(&w->loop, UV_RUN_ONCE);
	assert_false(is_there(w, "d/c"));
	assert_false(is_there(w, "d"));
	assert_false(is_there(w, ""));
	assert_int_equal(add(w, "", 1), ERR_NOT_FOUND);
	assert_int_equal(create(w, "d", GOSSIP_DIRECTORY), ERR_NOT_FOUND);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_counter), EACH(test_bounds),	   EACH(test_many_at_once), EACH(test_shares), EACH(test_file),
		EACH(test_owner),   EACH(test_directories), EACH(test_list),	    EACH(test_names),  EACH(test_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
