/* check FILE…: reads a history (history.h) and checks it (checker.h). Exit status: 0 right, 1 wrong, 2 the history cannot be
 * read, 3 not decided within the limits (--configurations N, --seconds N; for each object). */

#include <getopt.h>
#include <stdlib.h>

#include "checker.h"

static int usage(void)
{
	fputs("usage: check [--configurations N] [--seconds N] FILE...\n", stderr);
	return 2;
}

static int verdict_status(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_RIGHT:
		return 0;
	case VERDICT_WRONG:
		return 1;
	default:
		return 3;
	}
}

static int read_files(struct history *h, char **paths)
{
	for (; *paths; paths++)
		if (history_add_file(h, *paths) < 0) {
			fprintf(stderr, "check: %s\n", h->error);
			return -1;
		}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"configurations", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 's'}, {0}};
	struct search_limits limits = {.configurations_max = 10000000, .ms_max = 60000};
	struct history *h = history_new();
	int option, status = 2;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'c')
			limits.configurations_max = strtoul(optarg, NULL, 10);
		else if (option == 's')
			limits.ms_max = strtol(optarg, NULL, 10) * 1000;
		else
			return usage();
	}
	if (optind == argc)
		return usage();
	if (read_files(h, argv + optind) == 0) {
		status = verdict_status(check_history(h, &limits, stdout));
		printf("%s: %zu operations on %zu objects\n",
		       status == 0 ? "right" : status == 1 ? "WRONG" : "NOT DECIDED", h->operation_count, h->object_count);
	}
	history_free(h);
	return status;
}
