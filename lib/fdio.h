/* SPDX-License-Identifier: Apache-2.0
 *
 * All of it, at an offset: what pread() and pwrite() do only in part. Results are 0 or a bare negative errno.
 */
#ifndef SIMG_LIB_FDIO_H
#define SIMG_LIB_FDIO_H

#include <stddef.h>
#include <stdint.h>

/* -EIO if the file ends before. */
int fdio_read(int fd, uint64_t offset, void *data, size_t bytes);
int fdio_write(int fd, uint64_t offset, const void *data, size_t bytes);

/* Makes the regular file to, which is empty or of no use, a copy of from: by shared blocks, inside the kernel or file server, or through
 * memory, whatever is possible first. to becomes no shorter than it was. */
int fdio_copy(int from, int to);

/* The same with the holes of from, into a file that is empty. Moves the position of from. */
int fdio_copy_sparse(int from, int to);

#endif
