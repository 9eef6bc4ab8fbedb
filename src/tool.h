/* Commands of the same program that mount nothing: `coordfs keygen FILE` and the like. Room: main. */
#ifndef COORDFS_TOOL_H
#define COORDFS_TOOL_H

/* argv[0] is the command's name. Returns the exit status. */
typedef int (*tool_main)(int argc, char **argv);

/* By its name; NULL: there is none, the word is a SOURCE. */
tool_main tool_find(const char *word);

int tool_keygen(int argc, char **argv);
int tool_recover(int argc, char **argv);
int tool_restore(int argc, char **argv);
int tool_run(int argc, char **argv);

/* ---- what they share ---- */

/* One line at stderr. Returns 1. */
int tool_complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Flush stdout: what could not be written is a failure. Returns the exit status. */
int tool_end(const char *command);

/* "2026-11-25 17:00:00", local time; "never" for 0. */
#define TOOL_TIME_BYTES 32
const char *tool_time(long long time_ns, char text[TOOL_TIME_BYTES]);

#endif
