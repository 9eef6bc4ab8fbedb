/* The part of the process that the user started, while the daemon starts. Room: main. */
#ifndef COORDFS_AWAIT_H
#define COORDFS_AWAIT_H

#include <sys/types.h>

/* Wait until the child says at fd how its start went: "" is well, else a line that is then printed. A signal that would
 * end this process ends the child first. Returns the exit status. */
int await_daemon(int fd, pid_t child);

#endif
