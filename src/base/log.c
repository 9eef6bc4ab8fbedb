#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_BYTES 1024

void log_init(struct log *log, const char *name)
{
	*log = (struct log){.level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .name = name};
}

void log_to_syslog(struct log *log)
{
	openlog(log->name, LOG_PID, LOG_DAEMON);
	log->syslog = true;
}

static int syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_WARNING:
		return LOG_WARNING;
	case LOG_LEVEL_INFO:
		return LOG_INFO;
	case LOG_LEVEL_DEBUG:
		break;
	}
	return LOG_DEBUG;
}

/* Names and reasons in a line may come from users: they must not make lines of their own. */
static void tame(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = ' ';
}

void log_vline(const struct log *log, enum log_level level, const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	int saved = errno;

	if (!log || level > log->level)
		return;
	vsnprintf(line, sizeof line, format, arguments);
	tame(line);
	if (log->syslog)
		syslog(syslog_priority(level), "%s", line);
	else
		dprintf(log->fd, "%s: %s\n", log->name, line);
	errno = saved;
}

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vline(log, level, format, arguments);
	va_end(arguments);
}
