/*
 * Stands in for libFuzzer where there is none: gives a fuzzer each of its seeds once, so that `make check` runs every
 * parser over what was ever found. The seeds of fuzz_NAME are the files of $top_srcdir/tests/fuzz/corpus/NAME.
 */

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	uint8_t *data = NULL;
	size_t size = 0;
	size_t room = 0;
	FILE *file;

	file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return -1;
	}
	do {
		if (size == room) {
			room = room * 2 + 4096;
			data = realloc(data, room);
			if (!data)
				abort();
		}
		size += fread(data + size, 1, room - size, file);
	} while (!feof(file) && !ferror(file));
	fclose(file);
	printf("%s: %zu bytes\n", path, size);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

/* Returns the number of seeds given, or -1. */
static int replay_all(const char *directory)
{
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	dir = opendir(directory);
	if (!dir || chdir(directory) != 0) {
		perror(directory);
		return -1;
	}
	while (count >= 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		count = replay(entry->d_name) == 0 ? count + 1 : -1;
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	const char *source = getenv("top_srcdir");
	const char *name = strrchr(argv[0], '/');
	char directory[PATH_MAX];

	(void)argc;
	name = name ? name + 1 : argv[0];
	if (!source || strncmp(name, "fuzz_", 5) != 0) {
		fprintf(stderr, "%s: run me as fuzz_NAME, with top_srcdir set\n", name);
		return 1;
	}
	snprintf(directory, sizeof(directory), "%s/tests/fuzz/corpus/%s", source, name + 5);
	if (replay_all(directory) <= 0) {
		fprintf(stderr, "%s: no seeds in %s\n", name, directory);
		return 1;
	}
	return 0;
}
