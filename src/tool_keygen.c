/* coordfs keygen FILE */
#include <getopt.h>
#include <stdio.h>

#include "net/net.h"
#include "tool.h"

static const char help[] =
	"usage: coordfs keygen FILE\n"
	"Make a new random key for a cluster in the new file FILE, which only its owner may read. Copy it to every host of\n"
	"the cluster, and start each member with -o key=FILE. Whoever has it may do everything.\n";

int tool_keygen(int argc, char **argv)
{
	static const struct option words[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	char error[512];
	int flag;

	while ((flag = getopt_long(argc, argv, "h", words, NULL)) != -1) {
		if (flag != 'h')
			return 1; /* getopt has complained */
		fputs(help, stdout);
		return tool_end("keygen");
	}
	if (argc - optind != 1 || !*argv[optind])
		return tool_complain("keygen", "usage: coordfs keygen FILE");
	if (net_key_write(argv[optind], error, sizeof error) < 0)
		return tool_complain("keygen", "%s", error);
	printf("%s: a new key; copy it to every host of the cluster, readable by its owner only\n", argv[optind]);
	return tool_end("keygen");
}
