/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors as paths: see fd.h.
 */
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000 /* Linux 5.8 */
#endif

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

bool fd_is_mount_point(int fd, int parent_fd)
{
	struct statx stx;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) == 0 && (stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
		return (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	struct stat st, parent;
	return fstat(fd, &st) < 0 || fstat(parent_fd, &parent) < 0 || st.st_dev != parent.st_dev;
}

static struct rlimit limit_before;
static bool limit_raised;

void fd_limit_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit_before = limit;
	limit_raised = true;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void fd_limit_restore(void)
{
	if (limit_raised)
		setrlimit(RLIMIT_NOFILE, &limit_before);
}
