/* Room: front. Is a directory fit to be mounted on? */
#ifndef COORDFS_FRONT_MOUNTPOINT_H
#define COORDFS_FRONT_MOUNTPOINT_H

#include <stddef.h>

/* 0 when path (absolute) is an empty directory with nothing mounted on it. A mount that a killed daemon left
 * there is taken away first. -1: error says in one line what is wrong and what to do. */
int mountpoint_check(const char *path, char *error, size_t error_size);

#endif
