/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors as paths: see fd.h.
 */
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

void fd_path(int fd, char path[static FD_PATH_MAX])
{
	snprintf(path, FD_PATH_MAX, "/proc/self/fd/%d", fd);
}

int fd_reopen(int fd, int flags)
{
	char path[FD_PATH_MAX];
	fd_path(fd, path);
	int opened = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return opened < 0 ? -errno : opened;
}
