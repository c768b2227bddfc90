/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a finished SquashFS image in user space, through libsquashfs: counts what it holds, and reads the small files of metadata
 * in it. The image may be anybody's, so call image_check() of lib/image.h first. Every loop is bounded by a table's length.
 */
#ifndef SIMG_BUILDER_IMAGE_READER_H
#define SIMG_BUILDER_IMAGE_READER_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct image;
struct image_reader;
struct strlist;

struct image_counts {
	uint64_t files, directories, symlinks, devices, fifos, sockets;
	uint64_t content_bytes; /* of all files, each once, holes included */
};

/* The descriptor stays the caller's and must outlive the reader. -ENOTSUP if libsquashfs lacks the image's compressor (lzo). */
int image_reader_open(int fd, const char *path, const struct image *image, struct image_reader **ret_reader, struct err *err);

/* Counts inodes: hard links count once. */
int image_reader_count(struct image_reader *reader, struct image_counts *ret_counts, struct err *err);

/* The content of a regular file, with a terminating zero; symlinks are not followed. -ENOENT without touching err if there is no
 * such file, -EFBIG if it has more than max_bytes. The caller frees *ret_text. */
int image_reader_file(struct image_reader *reader, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes,
		      struct err *err);

/* Adds the names in a directory to a list, max_count at most (-EFBIG). -ENOENT without touching err if there is no such
 * directory. */
int image_reader_list(struct image_reader *reader, const char *path, size_t max_count, struct strlist *names, struct err *err);

void image_reader_free(struct image_reader *reader);

#endif
