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

static void print_sessions(FILE *out, const struct status_figures *s)
{
	char since[TIME_TEXT_BYTES];
	uint64_t shown = s->sessions < STATUS_SESSIONS ? s->sessions : STATUS_SESSIONS;

	fprintf(out, "sessions      %" PRIu64 "\n", s->sessions);
	for (uint64_t i = 0; i < shown; i++)
		fprintf(out, "  %-12s since %s, %" PRIu64 " lock files\n", s->session[i].member,
			time_text(s->session[i].opened_ns, since), s->session[i].bindings);
	if (shown < s->sessions)
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

/* With one member it is its own leader, and nobody lags. */
void status_print_figures(FILE *out, const struct status_figures *s)
{
	char since[TIME_TEXT_BYTES];

	fprintf(out, "coordfs %s: %s\n", s->version, s->replica.trouble ? "IN TROUBLE" : "all is well");
	if (s->replica.trouble)
		fprintf(out, "trouble       %s\n", s->replica.trouble);
	fprintf(out, "members       1\n");
	fprintf(out, "  %-12s voter, %s, this mount since %s\n", s->member, s->replica.role,
		time_text(s->started_ns, since));
	fprintf(out, "leader        %s, term %" PRIu64 "\n", s->member, s->replica.term);
	fprintf(out, "applied       %" PRIu64 ", %" PRIu64 " behind what is committed, %" PRIu64 " requests on their way\n",
		s->meta.applied,
		s->replica.commit_index > s->meta.applied ? s->replica.commit_index - s->meta.applied : 0,
		s->replica.proposals_outstanding);
	fprintf(out, "revision=%" PRIu64 " state=%016" PRIx64 "\n", s->meta.applied, (uint64_t)s->meta.state_hash);
	print_sessions(out, s);
	fprintf(out, "locks         %" PRIu64 " held, %" PRIu64 " waiting\n", s->locks.holders, s->locks.waiters);
	fprintf(out, "transactions  %" PRIu64 " open on this mount\n", s->transactions);
	print_room(out, s);
}

/* ---- Prometheus ---- */

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	fprintf(out, "# HELP coordfs_%s %s\n# TYPE coordfs_%s gauge\ncoordfs_%s %" PRIu64 "\n", name, help, name, name,
		value);
}

void metrics_print_figures(FILE *out, const struct status_figures *s)
{
	gauge(out, "up", "1 while this member serves without trouble.", s->replica.trouble == NULL);
	gauge(out, "leader", "1 when this member leads.", strcmp(s->replica.role, "leader") == 0);
	gauge(out, "term", "The present term.", s->replica.term);
	gauge(out, "applied_revision", "The last log index applied here.", s->meta.applied);
	gauge(out, "committed_revision", "The last log index known to be committed.", s->replica.commit_index);
	gauge(out, "log_last_index", "The last log index stored here.", s->replica.last_index);
	gauge(out, "snapshot_revision", "The log index of the last snapshot.", s->replica.snapshot_index);
	gauge(out, "requests_outstanding", "Changes that are on their way.", s->replica.proposals_outstanding);
	gauge(out, "sessions", "Open sessions.", s->sessions);
	gauge(out, "locks_held", "Locks that are held.", s->locks.holders);
	gauge(out, "locks_waiting", "Requests that wait for a lock.", s->locks.waiters);
	gauge(out, "transactions", "Open transactions of this mount.", s->transactions);
	gauge(out, "objects", "Files, directories, counters and the like.", s->meta.inodes);
	gauge(out, "state_records", "Records of the state.", s->meta.records);
	gauge(out, "state_bytes", "Size of the state.", s->meta.state_bytes);
	gauge(out, "log_bytes", "Size of the log on disk.", s->replica.log_bytes);
	gauge(out, "disk_free_bytes", "Room on the disk of the data directory.", s->replica.disk_free_bytes);
}
