/* cluster/status: one screen for who is woken by it. The first line says whether all is well and, if not, what is the
 * worst; a line in capitals follows while this mount cannot do its work. */

#include "front/status_text.h"

#include <inttypes.h>
#include <string.h>

#include "front/info_text.h"

const char *size_text(uint64_t bytes, char out[static SIZE_TEXT_BYTES])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;
	double value = (double)bytes;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(out, SIZE_TEXT_BYTES, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

const char *duration_text(uint64_t us, char out[static DURATION_TEXT_BYTES])
{
	static const struct {
		double us;
		const char *name;
	} units[] = {{86400e6, "days"}, {3600e6, "h"}, {60e6, "min"}, {1e6, "s"}, {0, "ms"}};
	unsigned i = 0;
	double value;

	while ((double)us < (i < 3 ? 2 : 1) * units[i].us)
		i++;
	value = (double)us / (units[i].us > 0 ? units[i].us : 1e3);
	snprintf(out, DURATION_TEXT_BYTES, "%.*f %s", value < 10 && i > 2, value, units[i].name);
	return out;
}

/* ---- how it is ---- */

static bool is_voter(const struct replica_member *m)
{
	return strcmp(m->role, "voter") == 0;
}

/* This one is here, in whatever state it is. */
bool status_is_silent(const struct replica_member *m)
{
	return !m->self && strcmp(m->state, "silent") == 0;
}

bool status_is_reached(const struct replica_member *m)
{
	return m->self || (!status_is_silent(m) && strcmp(m->state, "unknown") != 0);
}

struct status_votes status_count_votes(const struct status_figures *s)
{
	struct status_votes v = {0};

	for (size_t i = 0; i < s->member_count; i++) {
		if (!is_voter(&s->members[i]))
			continue;
		v.all++;
		v.reached += status_is_reached(&s->members[i]);
		v.silent += status_is_silent(&s->members[i]);
	}
	v.needed = v.all / 2 + 1;
	return v;
}

static bool is_well(const struct replica_member *m)
{
	return !status_is_silent(m) && !*m->trouble;
}

static bool has_no_majority(struct status_votes v)
{
	return v.all - v.silent < v.needed;
}

/* "2 members are silent: beta, gamma" */
static bool tell_silent(const struct status_figures *s, char *text)
{
	unsigned count = 0;
	size_t at;

	for (size_t i = 0; i < s->member_count; i++)
		count += status_is_silent(&s->members[i]);
	if (count == 0)
		return false;
	at = (size_t)snprintf(text, STATUS_TEXT_BYTES, "%u member%s silent:", count, count == 1 ? " is" : "s are");
	for (size_t i = 0; i < s->member_count && at < STATUS_TEXT_BYTES - 80; i++)
		if (status_is_silent(&s->members[i]))
			at += (size_t)snprintf(text + at, STATUS_TEXT_BYTES - at, " %.64s", s->members[i].name);
	return true;
}

static bool tell_troubled(const struct status_figures *s, char *text)
{
	for (size_t i = 0; i < s->member_count; i++)
		if (*s->members[i].trouble) {
			snprintf(text, STATUS_TEXT_BYTES, "%s: %s", s->members[i].name, s->members[i].trouble);
			return true;
		}
	return false;
}

enum status_level status_diagnose(const struct status_figures *s, char text[static STATUS_TEXT_BYTES])
{
	struct status_votes v = status_count_votes(s);

	text[0] = '\0';
	if (s->replica.trouble && s->member_count < 2)
		snprintf(text, STATUS_TEXT_BYTES, "%s", s->replica.trouble);
	else if (has_no_majority(v))
		snprintf(text, STATUS_TEXT_BYTES, "no majority: %u of %u voters are silent, %u are needed", v.silent, v.all,
			 v.needed);
	else if (!s->leader)
		snprintf(text, STATUS_TEXT_BYTES, "no leader");
	else if (!s->session)
		snprintf(text, STATUS_TEXT_BYTES, "this mount has no session");
	else if (s->replica.trouble)
		snprintf(text, STATUS_TEXT_BYTES, "%s", s->replica.trouble);
	if (text[0])
		return STATUS_TROUBLE;
	return tell_silent(s, text) || tell_troubled(s, text) ? STATUS_ATTENTION : STATUS_WELL;
}

static void print_headline(FILE *out, const struct status_figures *s)
{
	static const char *const words[] = {
		[STATUS_WELL] = "all is well", [STATUS_ATTENTION] = "it serves, but ", [STATUS_TROUBLE] = "IN TROUBLE: "};
	char text[STATUS_TEXT_BYTES];
	enum status_level level = status_diagnose(s, text);

	fprintf(out, "coordfs %s: %s%s\n", s->version, words[level], text);
}

/* What follows for whoever uses this mount. */
static void print_alarm(FILE *out, const struct status_figures *s)
{
	struct status_votes v = status_count_votes(s);

	if (v.all > 1 && has_no_majority(v))
		fprintf(out, "NO MAJORITY: STRONG READS AND CHANGES FAIL UNTIL %u OF %u VOTERS REACH EACH OTHER\n", v.needed,
			v.all);
	else if (!s->leader)
		fputs("NO LEADER: STRONG READS AND CHANGES FAIL UNTIL A MAJORITY OF THE VOTERS HAS ELECTED ONE\n", out);
	if (!s->session)
		fputs("NO SESSION: LOCKS THAT WERE HELD THROUGH THIS MOUNT ARE LOST\n", out);
	if (s->replica.trouble)
		fprintf(out, "trouble       %s\n", s->replica.trouble);
}

/* ---- members ---- */

static void print_heard(FILE *out, const struct replica_member *m)
{
	char text[DURATION_TEXT_BYTES];

	if (m->self)
		fprintf(out, " %9s", "here");
	else if (!m->known)
		fprintf(out, " %9s", "-");
	else
		fprintf(out, " %9s", duration_text(m->silent_ms * 1000, text));
}

static void print_lag(FILE *out, const struct replica_member *m)
{
	if (m->known)
		fprintf(out, " %8" PRIu64, m->lag);
	else
		fprintf(out, " %8s", "-");
}

static void print_member(FILE *out, const struct replica_member *m)
{
	char text[DURATION_TEXT_BYTES], size[SIZE_TEXT_BYTES];

	fprintf(out, "  %-14s %-8s %-11s", m->name, m->role, m->state);
	print_lag(out, m);
	print_heard(out, m);
	fprintf(out, " %9s", m->round_trip_us ? duration_text(m->round_trip_us, text) : "-");
	fprintf(out, " %10s", m->known ? size_text(m->disk_free_bytes, size) : "-");
	fprintf(out, "  %s\n", *m->version ? m->version : "-");
	if (*m->trouble)
		fprintf(out, "    %s\n", m->trouble);
}

/* Of very many those that are not well, then the first ones. */
static unsigned print_listed(FILE *out, const struct status_figures *s)
{
	unsigned listed = 0;

	if (s->member_count <= STATUS_LINES) {
		for (size_t i = 0; i < s->member_count; i++)
			print_member(out, &s->members[i]);
		return (unsigned)s->member_count;
	}
	for (int well = 0; well < 2; well++)
		for (size_t i = 0; i < s->member_count && listed < STATUS_LINES; i++)
			if (is_well(&s->members[i]) == well) {
				print_member(out, &s->members[i]);
				listed++;
			}
	fprintf(out, "  … and %zu more\n", s->member_count - listed);
	return listed;
}

static unsigned print_members(FILE *out, const struct status_figures *s)
{
	struct status_votes v = status_count_votes(s);

	fprintf(out, "members       %zu, of which %u vote", s->member_count, v.all);
	if (v.reached > v.needed)
		fprintf(out, "; %u of them may fail\n", v.reached - v.needed);
	else
		fputs(v.all > 2 ? "; NONE OF THEM MAY FAIL NOW\n" : "\n", out);
	fprintf(out, "  %-14s %-8s %-11s %8s %9s %9s %10s  %s\n", "name", "role", "state", "lag", "heard of",
		"round trip", "disk free", "version");
	return print_listed(out, s);
}

/* ---- the rest ---- */

static void print_session(FILE *out, const struct status_figures *s)
{
	char ttl[DURATION_TEXT_BYTES];

	if (!s->session)
		fputs("session       none; a new one is opened as soon as there is a leader\n", out);
	else if (s->session_ttl_ms)
		fprintf(out, "session       %" PRIu64 ", lost when it cannot be renewed for %s\n", s->session,
			duration_text(s->session_ttl_ms * 1000ull, ttl));
	else
		fprintf(out, "session       %" PRIu64 ", does not expire\n", s->session);
}

static void print_sessions(FILE *out, const struct status_figures *s, unsigned room)
{
	char since[TIME_TEXT_BYTES];
	uint64_t shown = s->sessions < room ? s->sessions : room;

	fprintf(out, "sessions      %" PRIu64 "\n", s->sessions);
	for (uint64_t i = 0; i < shown; i++)
		fprintf(out, "  %-14s since %s, %" PRIu64 " lock files\n", s->listed_sessions[i].member,
			time_text(s->listed_sessions[i].opened_ns, since), s->listed_sessions[i].bindings);
	if (shown && shown < s->sessions)
		fprintf(out, "  … and %" PRIu64 " more\n", s->sessions - shown);
}

static void print_room(FILE *out, const struct status_figures *s)
{
	char state[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES], log[SIZE_TEXT_BYTES], free[SIZE_TEXT_BYTES];

	fprintf(out, "state         %s of at most %s: %" PRIu64 " objects in %" PRIu64 " records\n",
		size_text(s->meta.state_bytes, state), size_text(LIMIT_STATE_BYTES, limit), s->meta.inodes,
		s->meta.records);
	fprintf(out, "log           %s, to index %" PRIu64 ", snapshot at %" PRIu64 "\n",
		size_text(s->replica.log_bytes, log), s->replica.last_index, s->replica.snapshot_index);
	fprintf(out, "disk          %s free\n", size_text(s->replica.disk_free_bytes, free));
}

/* Members are being upgraded, one after the other: which are left? */
static void print_levels(FILE *out, const struct status_figures *s)
{
	unsigned behind = 0;

	for (size_t i = 0; i < s->member_count; i++)
		behind += s->members[i].level == s->replica.level;
	if (behind == 0 || behind == s->member_count)
		return;
	fprintf(out, "upgrading     to be upgraded before all works that the newer ones know: %u:", behind);
	for (size_t i = 0, named = 0; i < s->member_count && named < 8; i++)
		if (s->members[i].level == s->replica.level) {
			fprintf(out, " %s", s->members[i].name);
			named++;
		}
	fputs(behind > 8 ? " …\n" : "\n", out);
}

static void print_progress(FILE *out, const struct status_figures *s)
{
	char since[TIME_TEXT_BYTES];

	fprintf(out, "leader        %s, term %" PRIu64 ", level %" PRIu32 "\n", s->leader ? s->leader : "NONE",
		s->replica.term, s->replica.level);
	print_levels(out, s);
	fprintf(out, "this mount    %s, %s, since %s\n", s->member, s->replica.role, time_text(s->started_ns, since));
	fprintf(out, "applied       %" PRIu64 ", %" PRIu64 " behind what is committed, %" PRIu64 " requests on their way\n",
		s->meta.applied,
		s->replica.commit_index > s->meta.applied ? s->replica.commit_index - s->meta.applied : 0,
		s->replica.proposals_outstanding);
	fprintf(out, "revision=%" PRIu64 " state=%016" PRIx64 "\n", s->meta.applied, (uint64_t)s->meta.state_hash);
}

void status_print_figures(FILE *out, const struct status_figures *s)
{
	unsigned listed;

	print_headline(out, s);
	print_alarm(out, s);
	listed = print_members(out, s);
	print_progress(out, s);
	print_session(out, s);
	print_sessions(out, s, listed < STATUS_LINES ? STATUS_LINES - listed : 0);
	fprintf(out, "locks         %" PRIu64 " held, %" PRIu64 " waiting\n", s->locks.holders, s->locks.waiters);
	fprintf(out, "transactions  %" PRIu64 " open on this mount\n", s->transactions);
	print_room(out, s);
}
