/* coordfs: options, wiring, daemon, exit status. The only file that knows every room. */

#include "config.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "-V") == 0) {
		puts(PACKAGE_NAME " " PACKAGE_VERSION);
		return 0;
	}
	fputs("usage: coordfs SOURCE MOUNTPOINT [-o OPTION,...]\n", stderr);
	return 1;
}
