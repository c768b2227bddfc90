/* SPDX-License-Identifier: Apache-2.0
 *
 * libsquashfs's way to the image: see image_file.h.
 */
#include "builder/image_file.h"

#include "lib/err.h"
#include "lib/image.h"

#include <errno.h>
#include <unistd.h>

#include <sqfs/error.h>

static int file_read(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
	struct image_file *file = (struct image_file *)base;
	if (offset > file->bytes || size > file->bytes - offset)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	while (size > 0) {
		ssize_t n = pread(file->fd, buffer, size, (off_t)(file->offset_bytes + offset));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			file->errnum = errno;
		if (n <= 0)
			return n < 0 ? SQFS_ERROR_IO : SQFS_ERROR_OUT_OF_BOUNDS;
		buffer = (char *)buffer + n;
		size -= (size_t)n;
		offset += (sqfs_u64)n;
	}
	return 0;
}

static int file_write(sqfs_file_t *base, sqfs_u64 offset, const void *buffer, size_t size)
{
	(void)base;
	(void)offset;
	(void)buffer;
	(void)size;
	return SQFS_ERROR_IO;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
	(void)base;
	(void)size;
	return SQFS_ERROR_IO;
}

static sqfs_u64 file_size(const sqfs_file_t *base)
{
	return ((const struct image_file *)base)->bytes;
}

void image_file_init(struct image_file *file, int fd, const struct image *image)
{
	*file = (struct image_file){
		.base = { .read_at = file_read, .write_at = file_write, .get_size = file_size, .truncate = file_truncate },
		.fd = fd,
		.offset_bytes = image->offset_bytes,
		.bytes = image->super.used_bytes,
	};
}

int image_decompressor_create(const struct image *image, const char *path, sqfs_compressor_t **ret_decompressor, struct err *err)
{
	SQFS_COMPRESSOR id = (SQFS_COMPRESSOR)image->super.compressor;
	sqfs_compressor_config_t config;
	int r = sqfs_compressor_config_init(&config, id, image->super.block_bytes, SQFS_COMP_FLAG_UNCOMPRESS);
	if (r == 0)
		r = sqfs_compressor_create(&config, ret_decompressor);
	if (r == 0)
		return 0;
	err_set(err, ENOTSUP, "the compressor %s of the image '%s' is not supported",
		image_compressor_name(image->super.compressor), path);
	return err_hint(err, "unpack it with unsquashfs, and build from the directory");
}
