/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors: as a path, for the calls that want one; as the place where a file system begins; and how many there may be.
 */
#ifndef SIMG_LIB_FD_H
#define SIMG_LIB_FD_H

#include <stdbool.h>

enum { FD_PATH_MAX = 32 };

/* Writes "/proc/self/fd/N" to path. Following it leads to exactly the file and mount that fd is open on, whatever its name is by now. */
void fd_path(int fd, char path[static FD_PATH_MAX]);

/* Opens what an O_PATH descriptor stands for, with the permissions of the caller; close-on-exec. Negative errno on failure. */
int fd_reopen(int fd, int flags);

/* Whether something is mounted on the directory fd, seen from the directory above it. Before Linux 5.8 the device number has to do,
 * which takes a Btrfs subvolume for a mount. May be called in a signal handler. */
bool fd_is_mount_point(int fd, int parent_fd);

/* Raises the soft limit of open descriptors to the hard one: a deep tree takes one for each level, a container one for each layer. */
void fd_limit_raise(void);

/* As it was before: for a program that is to be executed. Some close all descriptors that there could be, one by one. */
void fd_limit_restore(void);

#endif
