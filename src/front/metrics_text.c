/* cluster/metrics, in Prometheus' text format (version 0.0.4): seconds and bytes, counters that end in _total. */

#include "front/status_text.h"

#include <inttypes.h>
#include <string.h>

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP coordfs_%s %s\n# TYPE coordfs_%s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "gauge", help);
	fprintf(out, "coordfs_%s %" PRIu64 "\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "counter", help);
	fprintf(out, "coordfs_%s %" PRIu64 "\n", name, value);
}

/* Buckets hold what took up to 2^i microseconds, each those below it too; the last one holds all. */
static void histogram(FILE *out, const char *name, const char *help, const uint64_t buckets[REPLICA_HISTOGRAM],
		      uint64_t sum_us)
{
	uint64_t all = buckets[REPLICA_HISTOGRAM - 1];

	head(out, name, "histogram", help);
	for (unsigned i = 0; i < REPLICA_HISTOGRAM; i++)
		fprintf(out, "coordfs_%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name, (double)(1ull << i) / 1e6, buckets[i]);
	fprintf(out, "coordfs_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, all);
	fprintf(out, "coordfs_%s_sum %.6f\ncoordfs_%s_count %" PRIu64 "\n", name, (double)sum_us / 1e6, name, all);
}

/* ---- members ---- */

enum of_members { OF_ALL, OF_KNOWN, OF_OTHERS, OF_HEARD, OF_AGREED };

static void put_label(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		if (*text == '\n')
			fputs("\\n", out);
		else
			putc(*text, out);
	}
}

static double is_reached(const struct replica_member *m)
{
	return status_is_reached(m);
}

static double is_voter(const struct replica_member *m)
{
	return strcmp(m->role, "voter") == 0;
}

static double lag(const struct replica_member *m)
{
	return (double)m->lag;
}

static double silence(const struct replica_member *m)
{
	return (double)m->silent_ms / 1e3;
}

static double round_trip(const struct replica_member *m)
{
	return (double)m->round_trip_us / 1e6;
}

static double disk_free(const struct replica_member *m)
{
	return (double)m->disk_free_bytes;
}

static double eventual_silence(const struct replica_member *m)
{
	return (double)m->eventual.silent_ms / 1e3;
}

static double eventual_behind(const struct replica_member *m)
{
	return (double)m->eventual.behind;
}

static double eventual_agreement(const struct replica_member *m)
{
	return (double)m->eventual.agreed_ms / 1e3;
}

static bool is_meant(const struct replica_member *m, enum of_members of)
{
	switch (of) {
	case OF_KNOWN:
		return m->known;
	case OF_OTHERS:
		return m->known && !m->self;
	case OF_HEARD:
		return m->eventual.heard;
	case OF_AGREED:
		return m->eventual.agreed;
	default:
		return true;
	}
}

static void members(FILE *out, const struct status_figures *s)
{
	static const struct {
		const char *name, *help;
		double (*value)(const struct replica_member *m);
		enum of_members of;
		int digits;
	} list[] = {
		{"member_reached", "1 when that member can be reached, as far as is known here.", is_reached, OF_ALL, 0},
		{"member_voter", "1 when that member votes.", is_voter, OF_ALL, 0},
		{"member_lag_entries", "How far that member is behind what is committed.", lag, OF_KNOWN, 0},
		{"member_silent_seconds", "Since that member was last heard of by the leader.", silence, OF_OTHERS, 3},
		{"member_round_trip_seconds", "There and back to that member.", round_trip, OF_OTHERS, 6},
		{"member_disk_free_bytes", "Room on that member's disk.", disk_free, OF_KNOWN, 0},
		{"eventual_peer_silent_seconds", "Since that member last told what it knows of eventual things.",
		 eventual_silence, OF_HEARD, 3},
		{"eventual_peer_behind", "Eventual changes known here that that member is not known to have.", eventual_behind,
		 OF_HEARD, 0},
		{"eventual_peer_agreed_seconds", "Since that member and this one last knew the same of eventual things.",
		 eventual_agreement, OF_AGREED, 3},
	};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		head(out, list[i].name, "gauge", list[i].help);
		for (size_t k = 0; k < s->member_count; k++) {
			const struct replica_member *m = &s->members[k];

			if (!is_meant(m, list[i].of))
				continue;
			fprintf(out, "coordfs_%s{member=\"", list[i].name);
			put_label(out, m->name);
			fprintf(out, "\"} %.*f\n", list[i].digits, list[i].value(m));
		}
	}
}

/* ---- all ---- */

static void state(FILE *out, const struct status_figures *s)
{
	char text[STATUS_TEXT_BYTES];

	gauge(out, "up", "1 while this member serves without trouble.", status_diagnose(s, text) != STATUS_TROUBLE);
	gauge(out, "leader", "1 when this member leads.", s->leader && strcmp(s->leader, s->member) == 0);
	gauge(out, "has_leader", "1 when this member knows a leader.", s->leader != NULL);
	gauge(out, "has_session", "1 when this mount has a session.", s->session != 0);
	gauge(out, "term", "The present term.", s->replica.term);
	gauge(out, "applied_revision", "The last log index applied here.", s->meta.applied);
	gauge(out, "committed_revision", "The last log index known to be committed.", s->replica.commit_index);
	gauge(out, "log_last_index", "The last log index stored here.", s->replica.last_index);
	gauge(out, "snapshot_revision", "The log index of the last snapshot.", s->replica.snapshot_index);
	gauge(out, "level", "What all members' programs know; it grows when the last one is upgraded.", s->replica.level);
	gauge(out, "members", "Members of the cluster.", s->member_count);
	gauge(out, "sessions", "Open sessions.", s->sessions);
	gauge(out, "locks_held", "Locks that are held.", s->locks.holders);
	gauge(out, "locks_waiting", "Requests that wait for a lock.", s->locks.waiters);
	gauge(out, "transactions", "Open transactions of this mount.", s->transactions);
	gauge(out, "objects", "Files, directories, counters and the like.", s->meta.inodes);
	gauge(out, "state_records", "Records of the state.", s->meta.records);
	gauge(out, "state_bytes", "Size of the state.", s->meta.state_bytes);
	gauge(out, "eventual_objects", "Eventual counters, files and directories that are known here.", s->eventual.objects);
	gauge(out, "eventual_tombstones", "What was removed, until all members are known to know it.",
	      s->eventual.tombstones);
	gauge(out, "eventual_state_bytes", "Size of the eventual state.", s->eventual.state_bytes);
	gauge(out, "log_bytes", "Size of the log on disk.", s->replica.log_bytes);
	gauge(out, "disk_free_bytes", "Room on the disk of the data directory.", s->replica.disk_free_bytes);
}

void metrics_print_figures(FILE *out, const struct status_figures *s)
{
	const struct replica_metrics *m = &s->metrics;

	state(out, s);
	gauge(out, "requests_outstanding", "Changes that are on their way.", s->replica.proposals_outstanding);
	gauge(out, "reads_waiting", "Strong reads that wait for the leader's word.", m->reads_waiting);
	counter(out, "commits_total", "Changes of this mount that were answered.", m->commits);
	counter(out, "elections_total", "Changes of the leader that were seen.", m->elections);
	counter(out, "read_rounds_total", "Times that the voters were asked on behalf of reads, while leading.",
		m->read_rounds);
	counter(out, "forwarded_total", "Changes of other members that were taken, while leading.", m->forwarded);
	counter(out, "resent_total", "Times that changes were sent to the leader anew.", m->resent);
	counter(out, "images_fetched_total", "States that were fetched whole, after lagging too far.", m->images_fetched);
	counter(out, "messages_sent_total", "Messages to other members.", m->messages_sent);
	counter(out, "messages_received_total", "Messages from other members.", m->messages_received);
	counter(out, "messages_dropped_total", "Messages that could not be sent.", m->messages_dropped);
	counter(out, "eventual_messages_sent_total", "Messages about eventual things to other members.",
		s->eventual.messages_sent);
	counter(out, "eventual_messages_received_total", "Messages about eventual things from other members.",
		s->eventual.messages_received);
	counter(out, "eventual_sent_bytes_total", "Their size.", s->eventual.sent_bytes);
	counter(out, "eventual_received_bytes_total", "Their size.", s->eventual.received_bytes);
	histogram(out, "commit_seconds", "From a change's request to its answer.", m->commit_us, m->commit_us_sum);
	histogram(out, "disk_write_seconds", "Writes to the log on disk.", m->disk_us, m->disk_us_sum);
	members(out, s);
}
