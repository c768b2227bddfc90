/* SPDX-License-Identifier: Apache-2.0
 *
 * An open descriptor as a path, for the calls that want one.
 */
#ifndef SIMG_LIB_FD_H
#define SIMG_LIB_FD_H

enum { FD_PATH_MAX = 32 };

/* Writes "/proc/self/fd/N" to path. Following it leads to exactly the file and mount that fd is open on, whatever its name is by now. */
void fd_path(int fd, char path[static FD_PATH_MAX]);

/* Opens what an O_PATH descriptor stands for, with the permissions of the caller; close-on-exec. Negative errno on failure. */
int fd_reopen(int fd, int flags);

#endif
