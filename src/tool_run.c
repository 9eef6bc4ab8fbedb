/* coordfs run -l LOCKFILE -- COMMAND */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "tool.h"

static const char help[] =
	"usage: coordfs run -l LOCKFILE [-s] [-n | -w SECONDS] [-E STATUS] [--] COMMAND [ARGUMENT...]\n"
	"Run COMMAND while holding the lock on LOCKFILE, a file below a coordfs mount, and stop it when the lock is lost:\n"
	"SIGTERM, then SIGKILL, before anybody else can have the lock.\n"
	"\n"
	"  -l, --lock FILE                 the file to lock, as flock(1) does; made if it is missing\n"
	"  -s, --shared                    a shared lock (default: an exclusive one)\n"
	"  -n, --nonblock                  do not wait for the lock\n"
	"  -w, --timeout SECONDS           wait so long at most; may be a fraction\n"
	"  -E, --conflict-exit-code N      exit status when it is held by another (default 1)\n"
	"\n"
	"COMMAND has COORDFS_TOKEN, the fencing token of the lock, and COORDFS_REVISION, the revision of the file's content, in\n"
	"its environment. The exit status is its own, 128+N when signal N ended it; 125: there is no lock, or it was lost;\n"
	"126, 127: COMMAND cannot be run, is not found.\n";

static int refuse_usage(void)
{
	tool_complain("run", "usage: coordfs run -l LOCKFILE [OPTIONS] -- COMMAND; coordfs run -h tells more");
	return RUN_STATUS_TROUBLE;
}

static bool parse_seconds(const char *text, int64_t *ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 1e9))
		return false;
	*ms = (int64_t)(seconds * 1000);
	if (*ms == 0 && seconds > 0)
		*ms = 1;
	return true;
}

static bool parse_status(const char *text, int *status)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > 255)
		return false;
	*status = (int)value;
	return true;
}

/* False: its argument is not one. */
static bool take_option(struct run_request *r, int flag, const char *argument)
{
	switch (flag) {
	case 'l':
		r->path = argument;
		return *argument;
	case 's':
		r->shared = true;
		return true;
	case 'n':
		r->wait_ms = 0;
		return true;
	case 'w':
		return parse_seconds(argument, &r->wait_ms);
	case 'E':
		return parse_status(argument, &r->conflict_status);
	default:
		return false;
	}
}

/* 0: go on; 1: end with *status. */
static int parse(struct run_request *r, int argc, char **argv, int *status)
{
	static const struct option words[] = {
		{"help", no_argument, NULL, 'h'},
		{"lock", required_argument, NULL, 'l'},
		{"shared", no_argument, NULL, 's'},
		{"nonblock", no_argument, NULL, 'n'},
		{"timeout", required_argument, NULL, 'w'},
		{"conflict-exit-code", required_argument, NULL, 'E'},
		{NULL, 0, NULL, 0},
	};
	int flag;

	*status = RUN_STATUS_TROUBLE;
	while ((flag = getopt_long(argc, argv, "+hl:snw:E:", words, NULL)) != -1) {
		if (flag == 'h') {
			fputs(help, stdout);
			*status = tool_end("run");
			return 1;
		}
		if (flag == '?')
			return 1; /* getopt has complained */
		if (take_option(r, flag, optarg))
			continue;
		tool_complain("run", "-%c %s: that is none", flag, optarg);
		return 1;
	}
	if (r->path && argc > optind)
		return 0;
	refuse_usage();
	return 1;
}

int tool_run(int argc, char **argv)
{
	struct run_request request = {.wait_ms = RUN_WAIT_FOREVER, .conflict_status = 1};
	int status, fd;

	if (parse(&request, argc, argv, &status))
		return status;
	status = run_lock_take(&request, &fd);
	if (status == 0 && fd >= 0)
		status = run_lock_export(fd, request.path);
	return fd >= 0 && status == 0 ? run_command(fd, request.path, argv + optind) : status;
}
