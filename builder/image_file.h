/* SPDX-License-Identifier: Apache-2.0
 *
 * An image as libsquashfs reads it: the part of an open file that is the SquashFS, and its decompressor. Nothing is ever written.
 */
#ifndef SIMG_BUILDER_IMAGE_FILE_H
#define SIMG_BUILDER_IMAGE_FILE_H

#include <stdint.h>

#include <sqfs/compressor.h>
#include <sqfs/io.h>

struct err;
struct image;

struct image_file {
	sqfs_file_t base; /* first: libsquashfs knows the file by it */
	int fd;           /* the caller's */
	uint64_t offset_bytes, bytes;
	int errnum;       /* of the last read that failed with SQFS_ERROR_IO */
};

/* The image is one that image_check() took. */
void image_file_init(struct image_file *file, int fd, const struct image *image);

/* -ENOTSUP if libsquashfs lacks the image's compressor (lzo). path is for messages. */
int image_decompressor_create(const struct image *image, const char *path, sqfs_compressor_t **ret_decompressor, struct err *err);

#endif
