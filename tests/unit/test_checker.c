/* tests/history: the checker finds what is wrong, and does not find what is right. By hand-made histories here, by
 * generated ones in test_checker_random.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../history/checker.h"

struct example {
	enum verdict verdict;
	const char *what;
	const char *lines;
};

#define RIGHT VERDICT_RIGHT
#define WRONG VERDICT_WRONG

static const struct search_limits limits = {.configurations_max = 1000000, .ms_max = 20000};

static void add_lines(struct history *h, const char *lines)
{
	for (uint32_t number = 1; *lines; number++) {
		if (history_add_line(h, lines, number) < 0)
			fail_msg("line %u: %s", number, h->error);
		lines += strcspn(lines, "\n");
		lines += *lines == '\n';
	}
}

static void check_example(const struct example *e)
{
	struct history *h = history_new();
	enum verdict verdict;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	add_lines(h, e->lines);
	verdict = check_history(h, &limits, out);
	fclose(out);
	if (verdict != e->verdict)
		fail_msg("%s: verdict %d, want %d\n%s", e->what, verdict, e->verdict, text);
	free(text);
	history_free(h);
}

#define CHECK_ALL(examples)                                                                                            \
	for (size_t i = 0; i < sizeof(examples) / sizeof *(examples); i++)                                             \
	check_example(&(examples)[i])

static const struct example counters[] = {
	{RIGHT, "one after the other", "1 h counter:c set 5 1 2 =\n1 h counter:c add 3 3 4 =8\n1 h counter:c read - 5 6 =8\n"},
	{RIGHT, "the order of overlapping ones is free", "1 h counter:c add 1 1 9 =3\n2 h counter:c add 2 1 9 =2\n"},
	{RIGHT, "a read during a set sees either", "1 h counter:c set 5 1 9 =\n2 h counter:c read - 2 3 =0\n2 h counter:c read - 4 5 =5\n"},
	{WRONG, "a stale read", "1 h counter:c set 5 1 2 =\n2 h counter:c read - 3 4 =0\n"},
	{WRONG, "a read from the future", "2 h counter:c read - 1 2 =5\n1 h counter:c set 5 3 4 =\n"},
	{WRONG, "back and forth", "1 h counter:c set 5 1 9 =\n2 h counter:c read - 2 3 =5\n3 h counter:c read - 4 5 =0\n"},
	{WRONG, "a lost update", "1 h counter:c add 1 1 9 =1\n2 h counter:c add 1 1 9 =1\n"},
	{WRONG, "a lost set", "1 h counter:c set 7 1 2 =\n1 h counter:c add 1 3 4 =1\n"},
	{WRONG, "applied twice", "1 h counter:c add 4 1 2 =4\n2 h counter:c read - 3 4 =8\n"},
	{WRONG, "applied twice, only the end shows", "1 h counter:c add 4 1 2 =\n2 h counter:c read - 3 4 =8\n"},
	{WRONG, "acknowledged and not there", "1 h counter:c add 4 1 2 =\n2 h counter:c read - 3 4 =0\n"},
	{WRONG, "refused and there", "1 h counter:c add 4 1 2 EHOSTUNREACH\n2 h counter:c read - 3 4 =4\n"},
	{RIGHT, "refused and not there", "1 h counter:c add 4 1 2 EHOSTUNREACH\n2 h counter:c read - 3 4 =0\n"},
	{RIGHT, "unknown, never", "1 h counter:c add 4 1 2 ETIMEDOUT\n2 h counter:c read - 3 4 =0\n"},
	{RIGHT, "unknown, later", "1 h counter:c add 4 1 2 ETIMEDOUT\n2 h counter:c read - 3 4 =0\n2 h counter:c read - 5 6 =4\n"},
	{WRONG, "unknown, twice", "1 h counter:c add 4 1 2 ETIMEDOUT\n2 h counter:c read - 3 4 =4\n2 h counter:c read - 5 6 =8\n"},
	{WRONG, "unknown, undone", "1 h counter:c add 4 1 2 EINTR\n2 h counter:c read - 3 4 =4\n2 h counter:c read - 5 6 =0\n"},
	{WRONG, "unknown, before it began", "2 h counter:c read - 1 2 =4\n1 h counter:c add 4 3 4 ENOTCONN\n"},
	{RIGHT, "no answer at all", "1 h counter:c add 4 1 - ?\n2 h counter:c read - 3 4 =4\n"},
	{RIGHT, "three unknown, two came",
	 "1 h counter:c add 1 1 2 EINTR\n2 h counter:c add 10 1 2 EIO\n3 h counter:c add 100 1 2 ECONNABORTED\n"
	 "1 h counter:c add 1000 3 4 =1101\n"},
	{WRONG, "no subset of the unknown makes it",
	 "1 h counter:c add 1 1 2 EINTR\n2 h counter:c add 10 1 2 EIO\n3 h counter:c add 100 1 2 ECONNABORTED\n"
	 "1 h counter:c add 1000 3 4 =1102\n"},
	{RIGHT, "an unknown set before an addition", "1 h counter:c set 9 1 2 EINTR\n2 h counter:c add 1 3 4 =\n2 h counter:c read - 5 6 =10\n"},
	{RIGHT, "an unknown set after an addition", "1 h counter:c set 9 1 2 EINTR\n2 h counter:c add 1 3 4 =1\n2 h counter:c read - 5 6 =9\n"},
	{RIGHT, "one cas wins", "1 h counter:c cas 0,1 1 5 =\n2 h counter:c cas 0,2 1 5 ECANCELED\n1 h counter:c read - 6 7 =1\n"},
	{WRONG, "both cas win", "1 h counter:c cas 0,1 1 5 =\n2 h counter:c cas 0,2 1 5 =\n"},
	{WRONG, "no cas wins", "1 h counter:c cas 0,1 1 5 ECANCELED\n2 h counter:c cas 0,2 1 5 ECANCELED\n"},
	{WRONG, "a cas that wins and does nothing", "1 h counter:c cas 0,1 1 2 =\n1 h counter:c read - 3 4 =0\n"},
	{WRONG, "a cas that loses and does something", "1 h counter:c cas 7,1 1 2 ECANCELED\n1 h counter:c read - 3 4 =1\n"},
	{WRONG, "a cas against a value of the past", "1 h counter:c set 5 1 2 =\n1 h counter:c cas 0,1 3 4 =\n"},
	{RIGHT, "there and back again", "1 h counter:c cas 0,1 1 2 =\n2 h counter:c cas 1,0 3 4 =\n3 h counter:c cas 0,2 5 6 =\n"},
	{RIGHT, "an id tried again", "1 h counter:c add 5,x 1 2 ETIMEDOUT\n1 h counter:c add 5,x 3 4 =5\n1 h counter:c read - 5 6 =5\n"},
	{RIGHT, "an id, first attempt seen before the second",
	 "1 h counter:c add 5,x 1 2 ETIMEDOUT\n2 h counter:c read - 2 3 =5\n1 h counter:c add 5,x 4 5 =5\n"},
	{WRONG, "an id applied twice", "1 h counter:c add 5,x 1 2 ETIMEDOUT\n1 h counter:c add 5,x 3 4 =10\n"},
	{WRONG, "an id applied twice, afterwards", "1 h counter:c add 5,x 1 2 =5\n1 h counter:c add 5,x 3 4 =5\n1 h counter:c read - 5 6 =10\n"},
	{WRONG, "an id with two results", "1 h counter:c add 5,x 1 2 =5\n2 h counter:c add 1 3 4 =6\n1 h counter:c add 5,x 5 6 =11\n"},
	{WRONG, "an id never applied", "1 h counter:c add 5,x 1 2 ETIMEDOUT\n1 h counter:c add 5,x 3 4 =\n1 h counter:c read - 5 6 =0\n"},
	{WRONG, "beyond 64 bits", "1 h counter:c set 9223372036854775807 1 2 =\n1 h counter:c add 1 3 4 =-9223372036854775808\n"},
	{WRONG, "an error that is no answer", "1 h counter:c add 1 1 2 EAGAIN\n"},
	{WRONG, "a counter that is not there", "1 h counter:c read - 1 2 ENOENT\n"},
	{RIGHT, "two counters do not know each other", "1 h counter:c set 5 1 2 =\n2 h counter:d read - 3 4 =0\n"},
};

static const struct example registers[] = {
	{RIGHT, "what was written is read", "1 h register:r write a 1 2 =\n2 h register:r read - 3 4 =a\n"},
	{RIGHT, "empty at first", "2 h register:r read - 3 4 =-\n"},
	{WRONG, "a stale read", "1 h register:r write a 1 2 =\n1 h register:r write b 3 4 =\n2 h register:r read - 5 6 =a\n"},
	{WRONG, "never written", "1 h register:r write a 1 2 =\n2 h register:r read - 3 4 =b\n"},
	{WRONG, "emptied by nobody", "1 h register:r write a 1 2 =\n2 h register:r read - 3 4 =-\n"},
	{WRONG, "two readers, two orders",
	 "1 h register:r write a 1 2 =\n2 h register:r write b 3 9 =\n3 h register:r write c 3 9 =\n"
	 "4 h register:r read - 10 11 =b\n5 h register:r read - 12 13 =c\n"},
	{RIGHT, "two writers, two readers while they write",
	 "2 h register:r write b 3 19 =\n3 h register:r write c 3 19 =\n4 h register:r read - 10 11 =b\n5 h register:r read - 12 13 =c\n"},
	{WRONG, "an unknown write cannot come twice",
	 "1 h register:r write a 1 2 EINTR\n2 h register:r read - 3 4 =a\n2 h register:r write b 5 6 =\n2 h register:r read - 7 8 =a\n"},
	{RIGHT, "an unknown write comes late",
	 "1 h register:r write a 1 2 EINTR\n2 h register:r write b 5 6 =\n2 h register:r read - 7 8 =b\n2 h register:r read - 9 10 =a\n"},
	{RIGHT, "compare and set", "1 h register:r write a 1 2 =\n1 h register:r revision - 3 4 =7\n1 h register:r cas 7,b 5 6 =9\n1 h register:r revision - 7 8 =9\n1 h register:r read - 9 10 =b\n"},
	{RIGHT, "refused, for it changed meanwhile", "1 h register:r revision - 1 2 =7\n2 h register:r write b 3 4 =\n1 h register:r cas 7,c 5 6 ECANCELED\n"},
	{WRONG, "it changed meanwhile and was not refused",
	 "1 h register:r revision - 1 2 =7\n2 h register:r write b 3 4 =\n1 h register:r cas 7,c 5 6 =9\n"},
	{WRONG, "both win", "1 h register:r revision - 1 2 =7\n1 h register:r cas 7,b 3 9 =9\n2 h register:r cas 7,c 3 9 =10\n"},
	{WRONG, "refused for nothing", "1 h register:r revision - 1 2 =7\n1 h register:r cas 7,b 3 4 ECANCELED\n"},
	{WRONG, "refused and written", "1 h register:r revision - 1 2 =7\n1 h register:r cas 6,b 3 4 ECANCELED\n1 h register:r read - 5 6 =b\n"},
	{WRONG, "one content, two revisions", "1 h register:r revision - 1 2 =7\n1 h register:r revision - 3 4 =8\n"},
	{WRONG, "a revision that goes back", "1 h register:r revision - 1 2 =7\n1 h register:r write a 3 4 =\n1 h register:r revision - 5 6 =6\n"},
	{WRONG, "a revision that stays", "1 h register:r revision - 1 2 =7\n1 h register:r write a 3 4 =\n1 h register:r revision - 5 6 =7\n"},
	{WRONG, "a cas whose revision goes back", "1 h register:r revision - 1 2 =7\n1 h register:r cas 7,b 3 4 =5\n"},
	{RIGHT, "an unknown cas that won", "1 h register:r revision - 1 2 =7\n1 h register:r cas 7,b 3 4 ETIMEDOUT\n1 h register:r read - 5 6 =b\n"},
	{WRONG, "an unknown cas that could not win",
	 "1 h register:r revision - 1 2 =7\n1 h register:r write x 3 4 =\n1 h register:r cas 7,b 5 6 ETIMEDOUT\n1 h register:r read - 7 8 =b\n"},
};

static const struct example locks[] = {
	{RIGHT, "one after the other",
	 "1 h lock:l acquire - 1 2 =4\n1 h lock:l check 4 3 4 =\n1 h lock:l release 4 5 6 =\n2 h lock:l acquire - 7 8 =6\n2 h lock:l release 6 9 10 =\n"},
	{RIGHT, "granted while the other lets go", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 5 9 =\n2 h lock:l acquire - 3 7 =6\n"},
	{WRONG, "two holders", "1 h lock:l acquire - 1 2 =4\n2 h lock:l acquire - 3 4 =6\n1 h lock:l release 4 5 6 =\n"},
	{WRONG, "two holders, and the first never says a word", "1 h lock:l acquire - 1 2 =4\n2 h lock:l acquire - 3 4 =6\n"},
	{WRONG, "two holders, the first checks", "1 h lock:l acquire - 1 2 =4\n2 h lock:l acquire - 3 4 =6\n1 h lock:l check 4 5 6 =\n"},
	{WRONG, "one token twice", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 =\n2 h lock:l acquire - 5 6 =4\n"},
	{WRONG, "a token that goes back", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 =\n2 h lock:l acquire - 5 6 =3\n2 h lock:l release 3 7 8 =\n"},
	{WRONG, "released twice", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 =\n1 h lock:l release 4 5 6 =\n"},
	{WRONG, "a token from nowhere", "1 h lock:l check 4 3 4 =\n"},
	{RIGHT, "refused while held", "1 h lock:l acquire - 1 2 =4\n2 h lock:l acquire - 3 4 EAGAIN\n1 h lock:l release 4 5 6 =\n"},
	{WRONG, "refused while free", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 =\n2 h lock:l acquire - 5 6 EAGAIN\n"},
	{WRONG, "refused before anybody came", "2 h lock:l acquire - 1 2 EAGAIN\n1 h lock:l acquire - 3 4 =4\n"},
	{WRONG, "refused between two",
	 "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 =\n2 h lock:l acquire - 5 6 EAGAIN\n1 h lock:l acquire - 7 8 =9\n"},
	{RIGHT, "refused while somebody's request is interrupted", "1 h lock:l acquire - 1 2 EINTR\n2 h lock:l acquire - 3 4 EAGAIN\n"},
	{WRONG, "refused before that", "2 h lock:l acquire - 1 2 EAGAIN\n1 h lock:l acquire - 3 4 EINTR\n"},
	{WRONG, "one ghost in two gaps",
	 "1 h lock:l acquire - 1 2 EINTR\n2 h lock:l acquire - 3 4 EAGAIN\n3 h lock:l acquire - 5 6 =7\n3 h lock:l release 7 7 8 =\n2 h lock:l acquire - 9 10 EAGAIN\n"},
	{RIGHT, "the loss is told", "0 h1 session:h1 lapse - 2 - =\n1 h1 lock:l acquire - 1 2 =4\n2 h2 lock:l acquire - 5 6 =6\n1 h1 lock:l check 4 7 8 ESTALE\n"},
	{WRONG, "a loss for no reason", "1 h1 lock:l acquire - 1 2 =4\n1 h1 lock:l check 4 3 4 ESTALE\n"},
	{WRONG, "another one's session ended", "0 h2 session:h2 lapse - 2 - =\n1 h1 lock:l acquire - 1 2 =4\n1 h1 lock:l check 4 3 4 ESTALE\n"},
	{WRONG, "a holder that is not told in time",
	 "0 h1 session:h1 lapse - 2 - =\n1 h1 lock:l acquire - 1 2 =4\n2 h2 lock:l acquire - 5 6 =6\n1 h1 lock:l check 4 7 8 =\n1 h1 lock:l check 4 9 10 ESTALE\n"},
	{RIGHT, "a mount that died", "0 h1 session:h1 lapse - 3 9 =\n1 h1 lock:l acquire - 1 2 =4\n2 h2 lock:l acquire - 5 6 =6\n1 h1 lock:l release 4 7 8 ENOTCONN\n"},
	{RIGHT, "a release that may come later", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 ETIMEDOUT\n2 h lock:l acquire - 5 6 EAGAIN\n2 h lock:l acquire - 7 8 =6\n"},
	{WRONG, "a release that may come later, not earlier", "1 h lock:l acquire - 1 2 =4\n2 h lock:l acquire - 3 4 =6\n1 h lock:l release 4 5 6 ETIMEDOUT\n"},
	{WRONG, "a release that certainly did not happen", "1 h lock:l acquire - 1 2 =4\n1 h lock:l release 4 3 4 EHOSTUNREACH\n2 h lock:l acquire - 5 6 =6\n"},
};

static const struct example names[] = {
	{RIGHT, "made and removed", "1 h name:n create a 1 2 =\n1 h name:n read - 3 4 =a\n1 h name:n unlink - 5 6 =\n1 h name:n read - 7 8 ENOENT\n"},
	{RIGHT, "one winner", "1 h name:n create a 1 5 =\n2 h name:n create b 1 5 EEXIST\n"},
	{WRONG, "two winners", "1 h name:n create a 1 5 =\n2 h name:n create b 1 5 =\n"},
	{WRONG, "no winner", "1 h name:n create a 1 5 EEXIST\n2 h name:n create b 1 5 EEXIST\n"},
	{WRONG, "it stays after its removal", "1 h name:n create a 1 2 =\n1 h name:n unlink - 3 4 =\n1 h name:n create b 5 6 EEXIST\n"},
	{WRONG, "it vanishes", "1 h name:n create a 1 2 =\n2 h name:n create b 3 4 =\n"},
	{WRONG, "it vanishes for its maker", "1 h name:n create a 1 2 =\n1 h name:n unlink - 3 4 ENOENT\n"},
	{WRONG, "removed twice", "1 h name:n create a 1 2 =\n1 h name:n unlink - 3 9 =\n2 h name:n unlink - 3 9 =\n"},
	{WRONG, "another's text", "1 h name:n create a 1 2 =\n1 h name:n read - 3 4 =b\n"},
	{RIGHT, "it vanishes with its session", "0 h1 session:h1 lapse - 3 9 =\n1 h1 name:n create a 1 2 =\n2 h2 name:n create b 5 6 =\n"},
	{WRONG, "it vanishes with another's session", "0 h2 session:h2 lapse - 3 9 =\n1 h1 name:n create a 1 2 =\n2 h2 name:n create b 5 6 =\n"},
	{WRONG, "it vanishes before its session", "0 h1 session:h1 lapse - 7 9 =\n1 h1 name:n create a 1 2 =\n2 h2 name:n create b 5 6 =\n"},
	{WRONG, "a later one vanishes too", "0 h1 session:h1 lapse - 3 4 =\n1 h1 name:n create a 5 6 =\n2 h2 name:n create b 7 8 =\n"},
	{WRONG, "it comes back", "0 h1 session:h1 lapse - 3 9 =\n1 h1 name:n create a 1 2 =\n2 h2 name:n read - 5 6 ENOENT\n2 h2 name:n read - 7 8 =a\n"},
	{RIGHT, "an unknown creation blocks", "1 h name:n create a 1 2 ETIMEDOUT\n2 h name:n create b 3 4 EEXIST\n2 h name:n read - 5 6 =a\n"},
	{RIGHT, "an unknown creation does not block", "1 h name:n create a 1 2 EHOSTUNREACH\n2 h name:n create b 3 4 =\n"},
	{WRONG, "a creation that certainly did not happen blocks", "1 h name:n create a 1 2 EHOSTUNREACH\n2 h name:n create b 3 4 EEXIST\n"},
	{RIGHT, "an unknown removal comes late",
	 "1 h name:n create a 1 2 =\n1 h name:n unlink - 3 4 EINTR\n2 h name:n create b 5 6 EEXIST\n2 h name:n create b 7 8 =\n"},
};

static const struct example fences[] = {
	{RIGHT, "higher and higher", "1 h fence:f raise 4 1 2 =\n1 h fence:f raise 4 3 4 =\n1 h fence:f raise 6 5 6 =\n1 h fence:f read - 7 8 =6\n"},
	{WRONG, "a lower one passes", "1 h fence:f raise 4 1 2 =\n1 h fence:f raise 3 3 4 =\n"},
	{WRONG, "a higher one is refused", "1 h fence:f raise 4 1 2 =\n1 h fence:f raise 5 3 4 ESTALE\n"},
	{WRONG, "an equal one is refused", "1 h fence:f raise 4 1 2 =\n1 h fence:f raise 4 3 4 ESTALE\n"},
	{RIGHT, "overlapping ones", "1 h fence:f raise 4 1 9 ESTALE\n2 h fence:f raise 6 1 9 =\n"},
	{WRONG, "it goes back", "1 h fence:f raise 4 1 2 =\n1 h fence:f read - 3 4 =4\n1 h fence:f read - 5 6 =0\n"},
	{WRONG, "refused for one that never came", "1 h fence:f raise 4 1 2 ESTALE\n"},
	{RIGHT, "refused for one that may have come", "2 h fence:f raise 9 1 2 EINTR\n1 h fence:f raise 4 3 4 ESTALE\n"},
};

static void test_counters(void **state)
{
	(void)state;
	CHECK_ALL(counters);
}

static void test_registers(void **state)
{
	(void)state;
	CHECK_ALL(registers);
}

static void test_locks(void **state)
{
	(void)state;
	CHECK_ALL(locks);
}

static void test_names(void **state)
{
	(void)state;
	CHECK_ALL(names);
}

static void test_fences(void **state)
{
	(void)state;
	CHECK_ALL(fences);
}

static void test_the_worst_object_counts(void **state)
{
	static const struct example e = {WRONG, "three objects",
					 "1 h counter:a read - 1 2 =0\n1 h counter:b read - 3 4 =7\n1 h counter:c read - 5 6 =0\n"};

	(void)state;
	check_example(&e);
}

/* An impossible sum of many unknown ones: too much to try. */
static void test_limits_make_it_undecided(void **state)
{
	const struct search_limits few = {.configurations_max = 5000, .ms_max = 20000};
	struct history *h = history_new();
	FILE *out = fopen("/dev/null", "w");
	char line[100];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(line, sizeof line, "%d h counter:c add %lld 1 2 EINTR", i, 2LL << i);
		assert_int_equal(history_add_line(h, line, 1), 0);
	}
	add_lines(h, "1 h counter:c read - 3 4 =1\n");
	assert_int_equal(check_history(h, &few, out), VERDICT_UNDECIDED);
	fclose(out);
	history_free(h);
}

static void test_malformed_lines(void **state)
{
	static const char *const lines[] = {
		"1",
		"1 h counter:c add 5 1 2",
		"1 h counter:c add 5 1 2 = =",
		"x h counter:c add 5 1 2 =",
		"-1 h counter:c add 5 1 2 =",
		"1 h bottle:c add 5 1 2 =",
		"1 h counter:c multiply 5 1 2 =",
		"1 h counter:c raise 5 1 2 =",
		"1 h counter:c add - 1 2 =",
		"1 h counter:c add five 1 2 =",
		"1 h counter:c cas 5 1 2 =",
		"1 h counter:c cas 5,6,7 1 2 =",
		"1 h counter:c read 5 1 2 =",
		"1 h counter:c add 99999999999999999999 1 2 =",
		"1 h counter:c add 5 2 1 =",
		"1 h counter:c add 5 1 - =",
		"1 h counter:c add 5 one 2 =",
		"1 h counter:c add 5 1 2 =x",
		"1 h counter:c add 5 1 2 EWHATEVER",
		"1 h counter:c set 5 1 2 =5",
		"1 h counter:c add 5, 1 2 =5",
	};
	struct history *h = history_new();

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (history_add_line(h, lines[i], 1) == 0)
			fail_msg("taken: %s", lines[i]);
	assert_int_equal(h->operation_count, 0);
	assert_int_equal(history_add_line(h, "# a comment", 1), 0);
	assert_int_equal(history_add_line(h, "", 1), 0);
	assert_int_equal(h->operation_count, 0);
	assert_int_equal(history_add_file(h, "/nonexistent/history"), -1);
	history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_fences),
		cmocka_unit_test(test_the_worst_object_counts),
		cmocka_unit_test(test_limits_make_it_undecided),
		cmocka_unit_test(test_malformed_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
