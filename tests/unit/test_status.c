/* cluster/status and cluster/metrics, of given figures. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/status_text.h"

#define MEMBERS 50

static struct replica_member members[MEMBERS];

/* One member, which leads and is well. */
static struct status_figures figures(void)
{
	static const struct replica_member member = {.id = 1, .name = "alpha", .address = "", .role = "voter",
						     .state = "leader", .version = "9.9", .trouble = "", .self = true,
						     .known = true, .applied = 1234, .level = 2};
	struct status_figures s = {.version = "9.9", .member = "alpha", .leader = "alpha", .transactions = 2,
				   .sessions = 1, .session = 9};

	coordfs__meta__init(&s.meta);
	s.meta.applied = 1234;
	s.meta.state_hash = 0xabcdef;
	s.meta.state_bytes = 1536;
	s.replica = (struct replica_status){.role = "leader", .level = 2, .term = 3, .commit_index = 1240, .last_index = 1241};
	s.locks = (struct lock_totals){5, 7};
	s.listed_sessions[0] = (struct session_info){.session = 9, .member = "alpha", .bindings = 4};
	members[0] = member;
	s.members = members;
	s.member_count = 1;
	return s;
}

/* The same with others, who follow. */
static struct status_figures cluster(size_t count)
{
	static char names[MEMBERS][24];
	struct status_figures s = figures();

	for (size_t i = 1; i < count; i++) {
		snprintf(names[i], sizeof names[i], "m%zu", i);
		members[i] = members[0];
		members[i].id = i + 1;
		members[i].name = names[i];
		members[i].self = false;
		members[i].role = i < 5 ? "voter" : "standby";
		members[i].state = "follower";
		members[i].lag = 2;
		members[i].silent_ms = 120;
		members[i].round_trip_us = 250;
		members[i].disk_free_bytes = 3ull << 30;
	}
	s.member_count = count;
	return s;
}

static char *print(void (*make)(FILE *out, const struct status_figures *s), const struct status_figures *s)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	make(out, s);
	fclose(out);
	return text;
}

static void assert_says(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("'%s' is not in:\n%s", what, text);
}

static void assert_silent(const char *text, const char *what)
{
	if (strstr(text, what))
		fail_msg("'%s' is in:\n%s", what, text);
}

static unsigned lines_of(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void test_one_member(void **state)
{
	struct status_figures s = figures();
	char *text = print(status_print_figures, &s);

	(void)state;
	assert_says(text, "coordfs 9.9: all is well\nmembers       1, of which 1 vote\n");
	assert_says(text, "\nrevision=1234 state=0000000000abcdef\n");
	assert_says(text, "\n  alpha          voter    leader             0      here");
	assert_says(text, "\nleader        alpha, term 3, level 2\n");
	assert_says(text, "applied       1234, 6 behind");
	assert_says(text, "\nsession       9, does not expire\n");
	assert_says(text, "locks         5 held, 7 waiting\n");
	assert_says(text, "transactions  2 ");
	assert_says(text, ", 4 lock files\n");
	assert_says(text, "state         1.5 KiB of at most 2.0 GiB");
	assert_silent(text, "trouble");
	free(text);
}

static void test_three_members(void **state)
{
	struct status_figures s = cluster(3);
	char *text;

	(void)state;
	s.session_ttl_ms = 10000;
	text = print(status_print_figures, &s);
	assert_says(text, ": all is well\nmembers       3, of which 3 vote; 1 of them may fail\n");
	assert_says(text, "\n  m1             voter    follower           2    120 ms    0.2 ms    3.0 GiB  9.9\n");
	assert_says(text, "lost when it cannot be renewed for 10 s\n");
	assert_true(lines_of(text) <= 24);
	free(text);
}

static void test_trouble(void **state)
{
	struct status_figures s = figures();
	char *text;

	(void)state;
	s.replica.trouble = "the disk is full: make room in /data";
	text = print(status_print_figures, &s);
	assert_says(text, ": IN TROUBLE: the disk is full: make room in /data\n");
	free(text);
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_up 0\n");
	free(text);
}

static void test_what_is_eventual_is_measured(void **state)
{
	struct status_figures s = cluster(3);
	char *text;

	(void)state;
	s.eventual = (struct gossip_figures){.objects = 7, .tombstones = 2, .state_bytes = 900, .sent_bytes = 5000};
	members[1].eventual = (struct gossip_peer){.heard = true, .silent_ms = 400, .behind = 3};
	members[2].eventual = (struct gossip_peer){.heard = true, .agreed = true, .agreed_ms = 61000};
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_eventual_objects 7\n");
	assert_says(text, "\ncoordfs_eventual_tombstones 2\n");
	assert_says(text, "\ncoordfs_eventual_state_bytes 900\n");
	assert_says(text, "\ncoordfs_eventual_sent_bytes_total 5000\n");
	assert_says(text, "\ncoordfs_eventual_peer_silent_seconds{member=\"m1\"} 0.400\n");
	assert_says(text, "\ncoordfs_eventual_peer_behind{member=\"m1\"} 3\n");
	assert_says(text, "\ncoordfs_eventual_peer_agreed_seconds{member=\"m2\"} 61.000\n");
	assert_null(strstr(text, "eventual_peer_silent_seconds{member=\"alpha\"}"));
	assert_null(strstr(text, "eventual_peer_agreed_seconds{member=\"m1\"}"));
	members[1].eventual = members[2].eventual = (struct gossip_peer){.heard = false};
	free(text);
}

/* It serves, and yet somebody should know. */
static void test_attention(void **state)
{
	struct status_figures s = cluster(5);
	char *text;

	(void)state;
	members[2].state = "silent";
	members[2].silent_ms = 200000;
	text = print(status_print_figures, &s);
	assert_says(text, "coordfs 9.9: it serves, but 1 member is silent: m2\n");
	assert_says(text, "5 vote; 1 of them may fail\n");
	assert_says(text, " 3 min ");
	free(text);
	members[4].state = "silent";
	text = print(status_print_figures, &s);
	assert_says(text, "2 members are silent: m2 m4\n");
	assert_says(text, "NONE OF THEM MAY FAIL NOW");
	assert_silent(text, "NO MAJORITY");
	free(text);
	members[2].state = members[4].state = "follower";
	members[3].trouble = "the disk is full";
	text = print(status_print_figures, &s);
	assert_says(text, "it serves, but m3: the disk is full\n");
	free(text);
}

static void test_an_upgrade_under_way(void **state)
{
	struct status_figures s = cluster(3);
	char *text = print(status_print_figures, &s);

	(void)state;
	assert_null(strstr(text, "upgrad"));
	free(text);
	members[0].level = 3;
	text = print(status_print_figures, &s);
	assert_says(text, "\nupgrading     to be upgraded before all works that the newer ones know: 2: m1 m2\n");
	free(text);
}

static void test_no_majority(void **state)
{
	struct status_figures s = cluster(3);
	char *text;

	(void)state;
	s.leader = NULL;
	members[0].state = "unavailable";
	members[1].state = members[2].state = "silent";
	text = print(status_print_figures, &s);
	assert_says(text, "coordfs 9.9: IN TROUBLE: no majority: 2 of 3 voters are silent, 2 are needed\n");
	assert_says(text, "\nNO MAJORITY: STRONG READS AND CHANGES FAIL UNTIL 2 OF 3 VOTERS REACH EACH OTHER\n");
	assert_says(text, "\nleader        NONE, term 3, level 2\n");
	free(text);
}

/* Of others there is no news without a leader. */
static void test_no_leader(void **state)
{
	struct status_figures s = cluster(3);
	char *text;

	(void)state;
	s.leader = NULL;
	members[0].state = "unavailable";
	members[1].state = members[2].state = "unknown";
	members[1].known = members[2].known = false;
	text = print(status_print_figures, &s);
	assert_says(text, "IN TROUBLE: no leader\nNO LEADER: ");
	assert_says(text, "\n  m2             voter    unknown            -         -");
	free(text);
}

static void test_no_session(void **state)
{
	struct status_figures s = cluster(3);
	char *text;

	(void)state;
	s.session = 0;
	text = print(status_print_figures, &s);
	assert_says(text, "IN TROUBLE: this mount has no session\nNO SESSION: LOCKS ");
	assert_says(text, "\nsession       none; ");
	free(text);
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_has_session 0\n");
	free(text);
}

/* Very many sessions and members still fit a screen, and who is not well is shown. */
static void test_many(void **state)
{
	struct status_figures s = figures();
	char *text;

	(void)state;
	s.sessions = 1000;
	for (unsigned i = 0; i < STATUS_LINES; i++)
		s.listed_sessions[i].member = "beta";
	text = print(status_print_figures, &s);
	assert_says(text, "… and 992 more\n");
	assert_true(lines_of(text) <= 24);
	free(text);
	s = cluster(MEMBERS);
	s.sessions = 1000;
	members[40].state = "silent";
	text = print(status_print_figures, &s);
	assert_says(text, "\n  m40 ");
	assert_says(text, "… and 41 more\n");
	assert_true(lines_of(text) <= 24);
	free(text);
}

/* ---- metrics ---- */

/* Each has its help and its type, then one value or more, all of that name. */
static void test_metrics_are_well_formed(void **state)
{
	struct status_figures s = cluster(3);
	char *text, name[100], type[100], *line, *save;
	unsigned families = 0, values = 0;

	(void)state;
	members[1].name = "a\"b";
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_applied_revision 1234\n");
	assert_says(text, "\ncoordfs_locks_waiting 7\n");
	assert_says(text, "\ncoordfs_member_round_trip_seconds{member=\"a\\\"b\"} 0.000250\n");
	assert_says(text, "\ncoordfs_member_lag_entries{member=\"alpha\"} 0\n");
	assert_silent(text, "coordfs_member_silent_seconds{member=\"alpha\"}");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "# HELP ", 7) == 0) {
			families++;
			continue;
		}
		if (sscanf(line, "# TYPE %99s %99s", name, type) == 2)
			continue;
		assert_int_equal(strncmp(line, name, strlen(name)), 0);
		assert_non_null(strchr(line, ' '));
		values++;
	}
	assert_true(families > 30);
	assert_true(values > families);
	free(text);
}

static void test_histograms(void **state)
{
	struct status_figures s = figures();
	char *text;

	(void)state;
	for (unsigned i = 0; i < REPLICA_HISTOGRAM; i++)
		s.metrics.commit_us[i] = i < 7 ? 0 : i < 10 ? 3 : 4;
	s.metrics.commit_us_sum = 1500;
	s.metrics.commits = 4;
	text = print(metrics_print_figures, &s);
	assert_says(text, "\ncoordfs_commits_total 4\n");
	assert_says(text, "\ncoordfs_commit_seconds_bucket{le=\"0.000064\"} 0\n");
	assert_says(text, "\ncoordfs_commit_seconds_bucket{le=\"0.000128\"} 3\n");
	assert_says(text, "\ncoordfs_commit_seconds_bucket{le=\"+Inf\"} 4\n");
	assert_says(text, "\ncoordfs_commit_seconds_sum 0.001500\ncoordfs_commit_seconds_count 4\n");
	free(text);
}

/* ---- figures ---- */

static void test_sizes(void **state)
{
	char out[SIZE_TEXT_BYTES];

	(void)state;
	assert_string_equal(size_text(0, out), "0 B");
	assert_string_equal(size_text(1023, out), "1023 B");
	assert_string_equal(size_text(1024, out), "1.0 KiB");
	assert_string_equal(size_text(UINT64_MAX, out), "16.0 EiB");
}

static void test_durations(void **state)
{
	char out[DURATION_TEXT_BYTES];

	(void)state;
	assert_string_equal(duration_text(0, out), "0.0 ms");
	assert_string_equal(duration_text(250, out), "0.2 ms");
	assert_string_equal(duration_text(999000, out), "999 ms");
	assert_string_equal(duration_text(1500000, out), "1.5 s");
	assert_string_equal(duration_text(119000000, out), "119 s");
	assert_string_equal(duration_text(180000000, out), "3 min");
	assert_string_equal(duration_text(UINT64_MAX, out), "213503982 days");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_member),  cmocka_unit_test(test_three_members), cmocka_unit_test(test_trouble), cmocka_unit_test(test_what_is_eventual_is_measured),
		cmocka_unit_test(test_attention),   cmocka_unit_test(test_an_upgrade_under_way),
		cmocka_unit_test(test_attention),   cmocka_unit_test(test_no_majority),	  cmocka_unit_test(test_no_leader),
		cmocka_unit_test(test_no_session),  cmocka_unit_test(test_many),	  cmocka_unit_test(test_metrics_are_well_formed),
		cmocka_unit_test(test_histograms),  cmocka_unit_test(test_sizes),	  cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
