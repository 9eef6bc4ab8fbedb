#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

tool_main tool_find(const char *word)
{
	static const struct {
		const char *name;
		tool_main main;
	} tools[] = {
		{"keygen", tool_keygen},
		{"recover", tool_recover},
		{"restore", tool_restore},
		{"run", tool_run},
	};

	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
		if (strcmp(tools[i].name, word) == 0)
			return tools[i].main;
	return NULL;
}

int tool_complain(const char *command, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "coordfs %s: ", command);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return 1;
}

int tool_end(const char *command)
{
	return fflush(stdout) || ferror(stdout) ? tool_complain(command, "cannot write: %s", strerror(errno)) : 0;
}

const char *tool_time(long long time_ns, char text[TOOL_TIME_BYTES])
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	struct tm tm;

	if (time_ns <= 0 || !localtime_r(&seconds, &tm) || !strftime(text, TOOL_TIME_BYTES, "%F %T", &tm))
		snprintf(text, TOOL_TIME_BYTES, "never");
	return text;
}
