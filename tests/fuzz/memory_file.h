/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes as a file with a path, for what reads files by name.
 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_PATH_MAX = 64 };

/* The descriptor is the caller's; the path is good as long as it is open. */
static inline int memory_file(const uint8_t *data, size_t bytes, char ret_path[static MEMORY_PATH_MAX])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	snprintf(ret_path, MEMORY_PATH_MAX, "/proc/self/fd/%d", fd);
	return fd;
}

#endif
