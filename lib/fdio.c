/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole reads, writes and copies: see fdio.h.
 */
#include "lib/fdio.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <linux/fs.h>
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

/* From offset to the end, through memory: works between any two files. */
static int copy_plain(int from, int to, uint64_t offset)
{
	autofree char *buffer = malloc(COPY_CHUNK_BYTES);
	if (buffer == NULL)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(from, buffer, COPY_CHUNK_BYTES, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		int r = fdio_write(to, offset, buffer, (size_t)n);
		if (r < 0)
			return r;
		offset += (uint64_t)n;
	}
}

/* copy_file_range() fails between file systems before Linux 5.3, and gives nothing for some files: what it left is copied plainly. */
int fdio_copy(int from, int to)
{
	struct stat st;
	if (fstat(from, &st) < 0)
		return -errno;
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	loff_t in = 0, out = 0;
	while (in < st.st_size && copy_file_range(from, &in, to, &out, (size_t)(st.st_size - in), 0) > 0)
		continue;
	return copy_plain(from, to, (uint64_t)in);
}
