/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks and fragments: see image_data.h. Sizes come from a hostile block list: each is compared with the image's block size, and
 * what a block decompresses to with what the file needs there.
 */
#include "builder/image_data.h"

#include "builder/image_tables.h"
#include "builder/source.h"
#include "lib/err.h"

#include <stdlib.h>

#include <sqfs/error.h>

enum {
	STORED_PLAIN = 1 << 24, /* flag in a stored size: not compressed */
	STORED_MASK = STORED_PLAIN - 1,
	/* Decompressed fragment blocks in memory. One is enough where files are read in the order in which they were written; an
	 * image made of a tarball is in the tarball's order, and is read in that of names. */
	FRAGMENT_COUNT = 16,
};

struct fragment {
	uint8_t *block;     /* NULL: unused */
	uint32_t index, bytes;
	uint64_t used;      /* the clock when it was needed last */
};

struct image_data {
	struct image_tables *tables;
	uint8_t *stored, *block; /* a block as it is in the image, and decompressed */
	struct fragment fragments[FRAGMENT_COUNT];
	uint64_t clock, bytes_read;

	/* the current file */
	uint64_t bytes, at, location;
	uint32_t fragment, fragment_offset;
};

struct image_data *image_data_new(struct image_tables *tables)
{
	struct image_data *data = calloc(1, sizeof(*data));
	if (data == NULL)
		return NULL;
	data->tables = tables;
	data->stored = malloc(tables->super.block_bytes);
	data->block = malloc(tables->super.block_bytes);
	if (data->stored == NULL || data->block == NULL) {
		image_data_free(data);
		return NULL;
	}
	return data;
}

void image_data_free(struct image_data *data)
{
	if (data == NULL)
		return;
	for (int i = 0; i < FRAGMENT_COUNT; i++)
		free(data->fragments[i].block);
	free(data->stored);
	free(data->block);
	free(data);
}

uint64_t image_data_bytes(const struct image_data *data)
{
	return data->bytes_read;
}

void image_data_begin(struct image_data *data, const struct image_inode *inode)
{
	data->bytes = inode->bytes;
	data->at = 0;
	data->location = inode->data_start;
	data->fragment = inode->fragment;
	data->fragment_offset = inode->fragment_offset;
}

/* Reads and decompresses a block into out, which has room for one. *ret_bytes is what it holds. */
static int block_read(struct image_data *data, uint64_t start, uint32_t size, uint8_t *out, uint32_t *ret_bytes, struct err *err)
{
	struct image_tables *tables = data->tables;
	sqfs_file_t *file = &tables->file.base;
	uint32_t stored = size & STORED_MASK, room = tables->super.block_bytes;
	bool plain = (size & STORED_PLAIN) != 0;
	if (stored == 0 || stored > room || size > (STORED_PLAIN | STORED_MASK))
		return image_damaged(tables, "the length of a block", err);
	int r = file->read_at(file, start, plain ? out : data->stored, stored);
	if (r != 0)
		return image_tables_failed(tables, r, "a block of data", err);
	data->bytes_read += stored;
	sqfs_s32 bytes = (sqfs_s32)stored;
	if (!plain)
		bytes = tables->decompressor->do_block(tables->decompressor, data->stored, stored, out, room);
	if (bytes <= 0)
		return image_tables_failed(tables, bytes == 0 ? SQFS_ERROR_COMPRESSOR : bytes, "a block of data", err);
	*ret_bytes = (uint32_t)bytes;
	return 0;
}

/* The slot of a fragment block, read if it is not there: the one needed longest ago makes room. */
static int fragment_get(struct image_data *data, struct fragment **ret_fragment, struct err *err)
{
	struct fragment *oldest = &data->fragments[0];
	for (int i = 0; i < FRAGMENT_COUNT; i++) {
		struct fragment *fragment = &data->fragments[i];
		if (fragment->used > 0 && fragment->index == data->fragment) {
			*ret_fragment = fragment;
			return 0;
		}
		if (fragment->used < oldest->used)
			oldest = fragment;
	}
	oldest->used = 0;
	if (oldest->block == NULL && (oldest->block = malloc(data->tables->super.block_bytes)) == NULL)
		return image_tables_failed(data->tables, SQFS_ERROR_ALLOC, "", err);
	uint64_t start;
	uint32_t size;
	int r = image_fragment_find(data->tables, data->fragment, &start, &size, err);
	if (r == 0)
		r = block_read(data, start, size, oldest->block, &oldest->bytes, err);
	oldest->index = data->fragment;
	*ret_fragment = oldest;
	return r;
}

static int tail_read(struct image_data *data, uint32_t bytes, struct piece *piece, struct err *err)
{
	struct fragment *fragment = NULL;
	int r = fragment_get(data, &fragment, err);
	if (r < 0)
		return r;
	fragment->used = ++data->clock;
	if (data->fragment_offset > fragment->bytes || bytes > fragment->bytes - data->fragment_offset)
		return image_damaged(data->tables, "the place of a file's tail", err);
	*piece = (struct piece){ .offset = data->at, .data = fragment->block + data->fragment_offset, .bytes = bytes };
	data->at += bytes;
	return 1;
}

/* Returns 0 if the block is a hole. */
static int full_block_read(struct image_data *data, uint32_t expected, struct piece *piece, struct err *err)
{
	uint32_t size, bytes;
	int r = image_block_size_next(data->tables, &size, err);
	if (r < 0)
		return r;
	uint64_t at = data->at;
	data->at += expected;
	if (size == 0)
		return 0;
	r = block_read(data, data->location, size, data->block, &bytes, err);
	if (r < 0)
		return r;
	if (bytes != expected)
		return image_damaged(data->tables, "the length of a block", err);
	data->location += size & STORED_MASK;
	*piece = (struct piece){ .offset = at, .data = data->block, .bytes = bytes };
	return 1;
}

int image_data_next(struct image_data *data, struct piece *ret_piece, struct err *err)
{
	uint32_t block_bytes = data->tables->super.block_bytes;
	int r = 0;
	while (data->at < data->bytes && r == 0) {
		uint64_t left = data->bytes - data->at;
		if (left < block_bytes && data->fragment != IMAGE_NO_FRAGMENT)
			return tail_read(data, (uint32_t)left, ret_piece, err);
		r = full_block_read(data, left < block_bytes ? (uint32_t)left : block_bytes, ret_piece, err);
	}
	return r;
}
