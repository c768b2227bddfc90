/* SPDX-License-Identifier: Apache-2.0
 *
 * Files in a directory that others write to: see shared.h. O_TMPFILE would leave nothing behind after SIGKILL, but NFS lacks it.
 */
#include "builder/cache/shared.h"

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int shared_open(int directory_fd, const char *name, int flags, struct stat *ret_st)
{
	autoclose int fd = openat(directory_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -errno;
	return S_ISREG(ret_st->st_mode) ? steal_fd(&fd) : -EINVAL;
}

int shared_create(int directory_fd, const char *name, mode_t mode)
{
	int fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

void shared_random(char text[static SHARED_RANDOM_CHARS + 1])
{
	uint64_t number;
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) { /* early at boot: the name need only be new */
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		number = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec << 16 ^ (uint64_t)getpid();
	}
	snprintf(text, SHARED_RANDOM_CHARS + 1, "%016" PRIx64, number);
}

bool shared_is(int directory_fd, const char *name, int fd)
{
	struct stat named, open;
	return fstatat(directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
	       named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

void shared_remove(int directory_fd, const char *name, int fd)
{
	if (shared_is(directory_fd, name, fd))
		unlinkat(directory_fd, name, 0);
}

bool shared_is_trusted(const struct stat *st)
{
	return (st->st_uid == geteuid() || st->st_uid == 0) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

enum shared_lock shared_lock(int fd, int operation)
{
	if (flock(fd, operation | LOCK_NB) == 0)
		return SHARED_LOCK_TAKEN;
	return errno == EWOULDBLOCK ? SHARED_LOCK_BUSY : SHARED_LOCK_NONE;
}

int shared_write(int directory_fd, const char *name, const void *data, size_t bytes, int source_fd)
{
	char temporary[SHARED_TEMPORARY_MAX] = SHARED_TEMPORARY;
	shared_random(temporary + sizeof(SHARED_TEMPORARY) - 1);
	autoclose int fd = shared_create(directory_fd, temporary, 0644);
	if (fd < 0)
		return fd;
	shared_lock(fd, LOCK_EX); /* tells prune that it is not left over */
	int r = data != NULL ? fdio_write(fd, 0, data, bytes) : fdio_copy(source_fd, fd);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && (!shared_is(directory_fd, temporary, fd) || renameat(directory_fd, temporary, directory_fd, name) < 0))
		r = -EIO;
	if (r < 0)
		shared_remove(directory_fd, temporary, fd);
	return r;
}

int shared_link(int directory_fd, const char *name, int source_fd)
{
	char temporary[SHARED_TEMPORARY_MAX] = SHARED_TEMPORARY, source[FD_PATH_MAX];
	struct stat st;
	if (fstat(source_fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return -EPERM;
	shared_random(temporary + sizeof(SHARED_TEMPORARY) - 1);
	fd_path(source_fd, source);
	if (linkat(AT_FDCWD, source, directory_fd, temporary, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	int r = renameat(directory_fd, temporary, directory_fd, name) < 0 ? -errno : 0;
	unlinkat(directory_fd, temporary, 0); /* still there if the rename failed, or if both were the same file already */
	return r;
}
