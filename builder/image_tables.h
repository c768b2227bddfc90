/* SPDX-License-Identifier: Apache-2.0
 *
 * The metadata of an image, decoded: inodes, directories, extended attributes, places of fragments. The image may be hostile: all
 * that is read is checked against the bounds of its table and of the format, and memory does not grow with any number in the image.
 * Loops among directories are the caller's matter.
 *
 * Failures fill err with "the image 'x' is damaged: why, at 'place'" and return -EBADMSG, or say which read failed.
 */
#ifndef SIMG_BUILDER_IMAGE_TABLES_H
#define SIMG_BUILDER_IMAGE_TABLES_H

#include "builder/image_file.h"
#include "builder/xattr.h"
#include "lib/image.h"

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqfs/meta_reader.h>

struct err;

enum {
	IMAGE_NO_FRAGMENT = 0xffffffff,
	IMAGE_NO_XATTRS = 0xffffffff,
	IMAGE_NAME_MAX = 255,
	IMAGE_STORED_PLAIN = 1 << 24, /* flag in a stored size: the block is not compressed */
};

struct image_tables {
	const char *name;           /* of the image, for messages */
	const char *place;          /* the path that is being read, for messages; the caller's to set, "" for none */
	struct image_super super;
	struct image_file file;
	sqfs_compressor_t *decompressor;
	sqfs_meta_reader_t *inodes; /* behind the inode that was read last: its block list */
	sqfs_meta_reader_t *listings, *fragments, *xattr_ids, *xattrs;
	uint32_t *ids;              /* super.id_count */
	uint64_t xattrs_start;
	uint32_t xattr_count;       /* sets in the image */

	uint32_t set_index;         /* what set holds, or IMAGE_NO_XATTRS */
	struct xattr *set;
	size_t set_count, set_room;
};

/* Where a directory is being read. A copy is a second reader. */
struct image_listing {
	uint64_t block;             /* the position: a metadata block's place in the image, and an offset in it */
	size_t offset;
	uint32_t bytes;             /* left */
	uint32_t run;               /* entries left that share inode_block and number */
	uint32_t inode_block, number;
	char last[IMAGE_NAME_MAX + 1]; /* the name before: names must ascend */
};

struct image_inode {
	uint32_t mode;              /* type and permissions, as in st_mode */
	uint32_t uid, gid, mtime;
	uint32_t number;            /* 1 to super.inode_count */
	uint32_t links;             /* 1 where the image does not say */
	uint32_t xattrs;            /* a set's index, or IMAGE_NO_XATTRS */
	uint32_t device;            /* of a device node, as Linux encodes it in 32 bits */
	uint64_t bytes;             /* of a regular file */
	uint64_t data_start;        /* … where its blocks begin */
	uint32_t fragment, fragment_offset; /* … and the tail's place, or IMAGE_NO_FRAGMENT */
	struct image_listing listing; /* of a directory */
	char target[PATH_MAX];      /* of a symlink */
};

struct image_entry {
	char name[IMAGE_NAME_MAX + 1]; /* neither ".", ".." nor with a slash */
	uint64_t reference;         /* for image_inode_read() */
	uint32_t number;            /* of its inode */
};

/* For an image that image_check() took. The descriptor and the name stay the caller's and must outlive the tables. */
int image_tables_open(int fd, const char *name, const struct image *image, struct image_tables **ret_tables, struct err *err);

/* Reads the inode that an entry refers to; super.root_inode is the root's reference. */
int image_inode_read(struct image_tables *tables, uint64_t reference, struct image_inode *ret_inode, struct err *err);

/* The next number in the block list of the inode read last: a stored size, unchecked; 0 for a hole. */
int image_block_size_next(struct image_tables *tables, uint32_t *ret_size, struct err *err);

/* Checks a stored size of a list or table that is no hole's. *ret_bytes: how much the block takes in the image, one at least and no
 * more than a whole block. */
int image_stored_bytes(const struct image_tables *tables, uint32_t size, uint32_t *ret_bytes, struct err *err);

/* The next entry. Returns 1, or 0 at the end. */
int image_entry_next(struct image_tables *tables, struct image_listing *listing, struct image_entry *ret_entry, struct err *err);

/* Where a fragment block stands, and its stored size, unchecked. */
int image_fragment_find(struct image_tables *tables, uint32_t index, uint64_t *ret_start, uint32_t *ret_size, struct err *err);

/* The attributes of a set, valid until the next call; the caller may reorder them. */
int image_xattrs_read(struct image_tables *tables, uint32_t index, struct xattr **ret_xattrs, size_t *ret_count, struct err *err);

/* Fill err, for a libsquashfs result and for damage. Return its code. */
int image_tables_failed(const struct image_tables *tables, int sqfs_result, const char *what, struct err *err);
int image_damaged(const struct image_tables *tables, const char *why, struct err *err);

void image_tables_free(struct image_tables *tables);

#endif
