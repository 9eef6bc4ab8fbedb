/* coordfs recover SOURCE: the one command that may lose what was acknowledged. So it says what before it asks. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "replica/recover.h"
#include "tool.h"

static const char help[] =
	"usage: coordfs recover [--yes] SOURCE\n"
	"When a majority of a cluster's voting members is lost for good: make the member of this data directory a cluster of\n"
	"its own, which others may then join anew. It says what may be lost, and asks. No daemon may use the directory.\n"
	"\n"
	"  --yes   do not ask\n"
	"\n"
	"If the lost members may come back, wait for them instead. Of several members that are left, recover one only: the\n"
	"one whose log goes furthest (the highest term, then the highest entry, as this command says before it asks).\n";

static void tell_member(void *ctx, const struct recovery_member *m)
{
	const struct recovery_facts *f = ctx;

	printf("    %s%s%s, number %llu%s%s\n", *m->name ? m->name : "(no name known)", *m->address ? " at " : "",
	       m->address, (unsigned long long)m->id, m->votes ? ", votes" : "", m->id == f->id ? ", this one" : "");
}

static void tell_facts(struct recovery *r)
{
	const struct recovery_facts *f = recovery_facts(r);
	char time[TOOL_TIME_BYTES];

	printf("%s holds member %s (number %llu) of cluster %s.\n", f->path, f->member, (unsigned long long)f->id,
	       f->cluster);
	printf("Its log ends with entry %llu of term %llu; the last change in it is of %s.\n",
	       (unsigned long long)f->last_index, (unsigned long long)f->last_term, tool_time(f->time_ns, time));
	printf("It knows changes up to entry %llu to be acknowledged.\n", (unsigned long long)f->acknowledged);
	printf("The cluster it knows has %u voting member%s and %u other%s:\n", f->voters, f->voters == 1 ? "" : "s",
	       f->standbys, f->standbys == 1 ? "" : "s");
	recovery_members(r, tell_member, (void *)(size_t)f);
	if (f->interrupted)
		printf("A recovery of it was begun and did not end.\n");
}

static void tell_consequences(const struct recovery_facts *f)
{
	printf("\n"
	       "Recovering makes it the only member of a new cluster, with the state of entry %llu.\n"
	       "  - What the others acknowledged after that entry is lost.\n"
	       "  - What nobody acknowledged, up to that entry, becomes true.\n"
	       "  - All sessions end: every lock is free, also one that a program out there believes to hold.\n"
	       "  - None of the other members may ever be started again with its old data directory. They join the new\n"
	       "    cluster with new ones. Were a majority of them started, there would be two clusters.\n",
	       (unsigned long long)f->last_index);
}

/* Whether the answer is yes; nothing else is. */
static bool ask(void)
{
	char answer[16];

	printf("\nType yes to do it: ");
	fflush(stdout);
	return fgets(answer, sizeof answer, stdin) && strcmp(answer, "yes\n") == 0;
}

static int decide(struct recovery *r, bool yes)
{
	const struct recovery_facts *f = recovery_facts(r);
	char error[512];

	tell_facts(r);
	if (f->alone) {
		fflush(stdout);
		return tool_complain("recover", "%s is the only voting member: it needs no recovery, start it", f->member);
	}
	tell_consequences(f);
	if (!yes && !isatty(STDIN_FILENO)) {
		fflush(stdout);
		return tool_complain("recover", "nothing was done: there is no terminal to ask at, and no --yes");
	}
	if (!yes && !ask())
		return tool_complain("recover", "nothing was done");
	if (recovery_run(r, error, sizeof error))
		return tool_complain("recover", "%s: this member cannot serve until recover was run again", error);
	printf("\n%s is now the only member of the new cluster %s.\n"
	       "next: coordfs %s MOUNTPOINT, with -o listen=... for others to join\n",
	       f->member, f->cluster, f->path);
	return tool_end("recover");
}

int tool_recover(int argc, char **argv)
{
	static const struct option words[] = {
		{"help", no_argument, NULL, 'h'}, {"yes", no_argument, NULL, 'y'}, {NULL, 0, NULL, 0}};
	struct recovery *r;
	bool yes = false;
	char error[512];
	int flag, status;

	while ((flag = getopt_long(argc, argv, "h", words, NULL)) != -1) {
		if (flag == 'h') {
			fputs(help, stdout);
			return tool_end("recover");
		}
		if (flag != 'y')
			return 1; /* getopt has complained */
		yes = true;
	}
	if (argc - optind != 1 || !*argv[optind])
		return tool_complain("recover", "usage: coordfs recover [--yes] SOURCE; coordfs recover -h tells more");
	if (recovery_open(argv[optind], &r, error, sizeof error))
		return tool_complain("recover", "%s", error);
	status = decide(r, yes);
	recovery_close(r);
	return status;
}
