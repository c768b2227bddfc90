/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole reads, writes and copies: see fdio.h.
 */
#include "lib/fdio.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_CHUNK_BYTES = 256 << 10 };

int fdio_read(int fd, uint64_t offset, void *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = pread(fd, (char *)data + done, bytes - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int fdio_write(int fd, uint64_t offset, const void *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* As much of bytes from offset as there is, through memory: works between any two files. Returns how much that was. */
static int64_t copy_plain(int from, int to, uint64_t offset, uint64_t bytes)
{
	autofree char *buffer = malloc(COPY_CHUNK_BYTES);
	if (buffer == NULL)
		return -ENOMEM;
	for (uint64_t done = 0; done < bytes;) {
		size_t chunk = bytes - done < COPY_CHUNK_BYTES ? (size_t)(bytes - done) : COPY_CHUNK_BYTES;
		ssize_t n = pread(from, buffer, chunk, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (int64_t)done;
		int r = fdio_write(to, offset + done, buffer, (size_t)n);
		if (r < 0)
			return r;
		done += (uint64_t)n;
	}
	return (int64_t)bytes;
}

/* The same by any means. copy_file_range() fails between file systems before Linux 5.3, and gives nothing for some files: what it
 * left is copied plainly. */
static int64_t copy_range(int from, int to, uint64_t offset, uint64_t bytes)
{
	loff_t in = (loff_t)offset, out = (loff_t)offset, end = (loff_t)(offset + bytes);
	while (in < end && copy_file_range(from, &in, to, &out, (size_t)(end - in), 0) > 0)
		continue;
	uint64_t done = (uint64_t)in - offset;
	int64_t rest = copy_plain(from, to, offset + done, bytes - done);
	return rest < 0 ? rest : (int64_t)done + rest;
}

int fdio_copy(int from, int to)
{
	struct stat st;
	if (fstat(from, &st) < 0)
		return -errno;
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	int64_t done = copy_range(from, to, 0, (uint64_t)st.st_size);
	if (done == st.st_size)
		done = copy_plain(from, to, (uint64_t)done, INT64_MAX); /* files of /proc say that they are empty */
	return done < 0 ? (int)done : 0;
}

/* The next run of data of a file of size bytes, at or after offset; false if there is none. All of it where the file system does
 * not tell of holes. */
static bool data_find(int fd, off_t offset, off_t size, off_t *ret_start, off_t *ret_end)
{
	off_t start = offset < size ? lseek(fd, offset, SEEK_DATA) : size;
	if (start < 0 && errno != ENXIO)
		start = offset;
	if (start < 0 || start >= size)
		return false;
	off_t end = lseek(fd, start, SEEK_HOLE);
	*ret_start = start;
	*ret_end = end <= start || end > size ? size : end;
	return true;
}

int fdio_copy_sparse(int from, int to)
{
	struct stat st;
	if (fstat(from, &st) < 0)
		return -errno;
	if (st.st_blocks * 512 >= st.st_size)
		return fdio_copy(from, to);
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	for (off_t start, end = 0; data_find(from, end, st.st_size, &start, &end);) {
		int64_t done = copy_range(from, to, (uint64_t)start, (uint64_t)(end - start));
		if (done < end - start) /* it was cut meanwhile, or is one of /sys, whose sizes are not true */
			return done < 0 ? (int)done : 0;
	}
	struct stat made;
	if (fstat(to, &made) < 0 || (made.st_size < st.st_size && ftruncate(to, st.st_size) < 0))
		return -errno;
	return 0;
}
