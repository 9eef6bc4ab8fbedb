/* Room: base. What the program tells its administrator: lines to stderr or to syslog. Where they go and which
 * are wanted is in a struct that the caller owns and hands on; syslog(3)'s own state is the only global. */
#ifndef COORDFS_BASE_LOG_H
#define COORDFS_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,   /* somebody must do something */
	LOG_LEVEL_WARNING, /* somebody should know */
	LOG_LEVEL_INFO,	   /* starts, ends, snapshots */
	LOG_LEVEL_DEBUG,
};

struct log {
	enum log_level level; /* the least important that is written */
	bool syslog;	      /* else to file descriptor fd */
	int fd;
	const char *name; /* put before each line: the program's; borrowed */
};

/* Lines to fd 2, up to INFO. */
void log_init(struct log *log, const char *name);

/* From now on to syslog, as daemons do. name must live until the process ends. */
void log_to_syslog(struct log *log);

/* One line, without newline at its end; control characters in it become spaces. errno is left alone. log may be
 * NULL: nothing happens. */
void log_line(const struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void log_vline(const struct log *log, enum log_level level, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

#endif
