/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file is, and whether a SquashFS image is whole as far as its superblock tells. Reads with pread only, never seeks, keeps
 * no memory. Runs without privilege, as the user whose file it is.
 *
 * Source of the format: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h (version 4.0, little-endian).
 */
#ifndef SIMG_LIB_IMAGE_H
#define SIMG_LIB_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum image_format {
	IMAGE_UNKNOWN,
	IMAGE_SQUASHFS,       /* superblock at byte 0 */
	IMAGE_LEGACY_SIMG,    /* Singularity 2.x: a "#!" line, then the superblock */
	IMAGE_SIF,            /* Singularity Image Format: a container of partitions */
	IMAGE_DIRECTORY,
};

struct image_super {
	uint32_t inode_count;
	uint32_t modified_seconds;   /* when the image was made, seconds since 1970 */
	uint32_t block_bytes;        /* 4096 to 1048576, a power of two */
	uint32_t fragment_count;
	uint16_t compressor;         /* 1 gzip, 2 lzma, 3 lzo, 4 xz, 5 lz4, 6 zstd */
	uint16_t flags;
	uint16_t id_count;           /* distinct user and group ids */
	uint64_t root_inode;
	uint64_t used_bytes;         /* length of the file system; the file may be longer */
	uint64_t id_table, xattr_table, inode_table, directory_table, fragment_table, export_table; /* byte offsets, ~0 if absent */
};

struct image {
	enum image_format format;
	uint64_t offset_bytes;       /* where the superblock stands in the file */
	uint64_t file_bytes;
	struct image_super super;    /* filled for IMAGE_SQUASHFS and IMAGE_LEGACY_SIMG, and by image_sif_partition */
};

/* Tells what the open file (or directory) fd is. A regular file that is no image at all is an error with the text to show the
 * user; path is used in messages only. Does not judge the superblock beyond its magic number: image_check does. */
int image_identify(int fd, const char *path, struct image *ret_image, struct err *err);

/* Checks superblock, length and the bounds of every table against the file, including the lists of block addresses that the
 * kernel reads when it mounts (ids, fragments, export table, xattrs). -EBADMSG with the reason if anything is out of bounds, a
 * text that says "truncated" if the file is shorter than its superblock says. This is not proof of a benign image: inodes and
 * directories are not looked at. */
int image_check(int fd, const char *path, const struct image *image, struct err *err);

/* For IMAGE_SIF: finds the primary system partition and, if that is SquashFS, fills offset_bytes and super, so that image_check
 * takes the image. -EBADMSG if the descriptors are damaged, -ENOTSUP if there is no such partition (an encrypted one, or ext3). */
int image_sif_partition(int fd, const char *path, struct image *image, struct err *err);

/* "squashfs", "singularity 2.x", … for people. */
const char *image_format_name(enum image_format format);

/* "gzip", …, "zstd", or "unknown". */
const char *image_compressor_name(unsigned compressor);

#endif
