/* coordfs restore FILE SOURCE */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine/machine.h"
#include "options.h"
#include "replica/restore.h"
#include "tool.h"

static const char help[] =
	"usage: coordfs restore [--name NAME] FILE SOURCE\n"
	"Make SOURCE, a missing or empty directory, the data directory of the first member of a new cluster, which goes on\n"
	"from the backup FILE: a copy of MOUNTPOINT/cluster/snapshot, checked first (- is standard input).\n"
	"\n"
	"  --name NAME   the member's name (default: the host's)\n"
	"\n"
	"The new cluster has the backup's files, counters, fences and outcomes of transactions, and its revisions and\n"
	"tokens go on growing. The former members, their sessions and their locks are gone. Start it with\n"
	"coordfs SOURCE MOUNTPOINT -o listen=..., and let the other members join it with new data directories.\n";

struct arguments {
	const char *name, *file, *source;
};

static int refuse_usage(void)
{
	return tool_complain("restore", "usage: coordfs restore [--name NAME] FILE SOURCE; coordfs restore -h tells more");
}

/* 0: go on; 1: end with *status. */
static int parse(struct arguments *a, int argc, char **argv, int *status)
{
	static const struct option words[] = {
		{"help", no_argument, NULL, 'h'}, {"name", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	int flag;

	*status = 1;
	while ((flag = getopt_long(argc, argv, "hn:", words, NULL)) != -1) {
		if (flag == 'h') {
			fputs(help, stdout);
			*status = tool_end("restore");
		}
		if (flag != 'n')
			return 1;
		a->name = optarg;
	}
	if (a->name && !machine_member_name_is_valid(a->name)) {
		tool_complain("restore", "--name %s: " OPTIONS_NAME_RULE, a->name);
		return 1;
	}
	if (argc - optind != 2 || !*argv[optind] || !*argv[optind + 1]) {
		refuse_usage();
		return 1;
	}
	a->file = argv[optind];
	a->source = argv[optind + 1];
	return 0;
}

static void tell(const struct arguments *a, const struct restored *r)
{
	char time[TOOL_TIME_BYTES];

	printf("%s: member %s of the new cluster %s, with the state of revision %llu (%s)\n", a->source, r->member,
	       r->cluster, (unsigned long long)r->revision, tool_time(r->time_ns, time));
	printf("next: coordfs %s MOUNTPOINT, with -o listen=... for others to join\n", a->source);
}

int tool_restore(int argc, char **argv)
{
	struct arguments a = {NULL, NULL, NULL};
	struct restored restored;
	char error[512];
	int status, fd, rc;

	if (parse(&a, argc, argv, &status))
		return status;
	fd = strcmp(a.file, "-") == 0 ? STDIN_FILENO : open(a.file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return tool_complain("restore", "%s: %s", a.file, strerror(errno));
	if (isatty(fd))
		return tool_complain("restore", "a backup comes from no terminal");
	rc = replica_restore(fd, fd == STDIN_FILENO ? "standard input" : a.file, a.source, a.name, &restored, error,
			     sizeof error);
	close(fd);
	if (rc)
		return tool_complain("restore", "%s", error);
	tell(&a, &restored);
	return tool_end("restore");
}
