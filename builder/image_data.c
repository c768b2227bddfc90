/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks and fragments: see image_data.h. Sizes come from a hostile block list: each is compared with the image's block size, and
 * what a block decompresses to with what the file needs there.
 */
#include "builder/image_data.h"

#include "builder/image_tables.h"
#include "builder/size.h"
#include "builder/source.h"
#include "lib/err.h"

#include <errno.h>
#include <stdlib.h>

#include <sqfs/error.h>

enum {
	/* Decompressed fragment blocks in memory. One is enough where files are read in the order in which they were written; an
	 * image made of a tarball is in the tarball's order, and is read in that of names. */
	FRAGMENT_COUNT = 16,
	RATIO_MAX = 1000,
};
/* As for tarballs: real trees shrink to a tenth. Below this much, a ratio tells nothing. */
#define RATIO_FREE_BYTES ((uint64_t)1 << 30)

struct fragment {
	uint8_t *block;     /* NULL: unused */
	uint32_t index, bytes;
	uint64_t used;      /* the clock when it was needed last */
};

struct image_data {
	struct image_tables *tables;
	uint8_t *stored, *block; /* a block as it is in the image, and decompressed */
	struct fragment fragments[FRAGMENT_COUNT];
	uint64_t clock, bytes_read, bytes_out;
	bool trusted;

	/* the current file */
	uint64_t bytes, at, location;
	uint32_t fragment, fragment_offset;
};

struct image_data *image_data_new(struct image_tables *tables, bool trusted)
{
	struct image_data *data = calloc(1, sizeof(*data));
	if (data == NULL)
		return NULL;
	data->tables = tables;
	data->trusted = trusted;
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

/* Reads and decompresses a block into out, which has room for one. *ret_bytes is what it holds, *ret_stored what it takes. */
static int block_read(struct image_data *data, uint64_t start, uint32_t size, uint8_t *out, uint32_t *ret_bytes,
		      uint32_t *ret_stored, struct err *err)
{
	struct image_tables *tables = data->tables;
	sqfs_file_t *file = &tables->file.base;
	uint32_t stored, room = tables->super.block_bytes;
	bool plain = (size & IMAGE_STORED_PLAIN) != 0;
	int r = image_stored_bytes(tables, size, &stored, err);
	if (r < 0)
		return r;
	r = file->read_at(file, start, plain ? out : data->stored, stored);
	if (r != 0)
		return image_tables_failed(tables, r, "a block of data", err);
	data->bytes_read += stored;
	sqfs_s32 bytes = (sqfs_s32)stored;
	if (!plain)
		bytes = tables->decompressor->do_block(tables->decompressor, data->stored, stored, out, room);
	if (bytes <= 0)
		return image_tables_failed(tables, bytes == 0 ? SQFS_ERROR_COMPRESSOR : bytes, "a block of data", err);
	*ret_bytes = (uint32_t)bytes;
	*ret_stored = stored;
	return 0;
}

/* The slot of a fragment block, read if it is not there: the one needed longest ago makes room. */
static int fragment_get(struct image_data *data, uint32_t index, struct fragment **ret_fragment, struct err *err)
{
	struct fragment *oldest = &data->fragments[0];
	for (int i = 0; i < FRAGMENT_COUNT; i++) {
		struct fragment *fragment = &data->fragments[i];
		if (fragment->used > 0 && fragment->index == index) {
			fragment->used = ++data->clock;
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
	uint32_t size, stored;
	int r = image_fragment_find(data->tables, index, &start, &size, err);
	if (r == 0)
		r = block_read(data, start, size, oldest->block, &oldest->bytes, &stored, err);
	if (r < 0)
		return r;
	oldest->index = index;
	oldest->used = ++data->clock;
	*ret_fragment = oldest;
	return 0;
}

static int tail_read(struct image_data *data, uint32_t bytes, struct piece *piece, struct err *err)
{
	struct fragment *fragment = NULL;
	int r = fragment_get(data, data->fragment, &fragment, err);
	if (r < 0)
		return r;
	if (data->fragment_offset > fragment->bytes || bytes > fragment->bytes - data->fragment_offset)
		return image_damaged(data->tables, "the place of a file's tail", err);
	*piece = (struct piece){ .offset = data->at, .data = fragment->block + data->fragment_offset, .bytes = bytes };
	data->at += bytes;
	return 1;
}

/* Returns 0 if the block is a hole. */
static int full_block_read(struct image_data *data, uint32_t expected, struct piece *piece, struct err *err)
{
	uint32_t size, bytes, stored;
	int r = image_block_size_next(data->tables, &size, err);
	if (r < 0)
		return r;
	uint64_t at = data->at;
	data->at += expected;
	if (size == 0)
		return 0;
	r = block_read(data, data->location, size, data->block, &bytes, &stored, err);
	if (r < 0)
		return r;
	if (bytes != expected)
		return image_damaged(data->tables, "the length of a block", err);
	data->location += stored;
	*piece = (struct piece){ .offset = at, .data = data->block, .bytes = bytes };
	return 1;
}

/* The next piece, or 0. */
static int piece_read(struct image_data *data, struct piece *piece, struct err *err)
{
	uint32_t block_bytes = data->tables->super.block_bytes;
	int r = 0;
	while (data->at < data->bytes && r == 0) {
		uint64_t left = data->bytes - data->at;
		if (left < block_bytes && data->fragment != IMAGE_NO_FRAGMENT)
			return tail_read(data, (uint32_t)left, piece, err);
		r = full_block_read(data, left < block_bytes ? (uint32_t)left : block_bytes, piece, err);
	}
	return r;
}

static int ratio_check(const struct image_data *data, struct err *err)
{
	uint64_t image_bytes = data->tables->super.used_bytes;
	if (data->trusted || data->bytes_out < RATIO_FREE_BYTES || data->bytes_out / RATIO_MAX < image_bytes)
		return 0;
	char in[SIZE_TEXT_MAX], out[SIZE_TEXT_MAX];
	err_set(err, EFBIG, "the image '%s' expands beyond reason: %s became %s so far", data->tables->name,
		size_format(image_bytes, in), size_format(data->bytes_out, out));
	return err_hint(err, "if you trust it, say how much it may hold, e.g. --max-size 100G");
}

int image_data_next(struct image_data *data, struct piece *ret_piece, struct err *err)
{
	int r = piece_read(data, ret_piece, err);
	if (r <= 0)
		return r;
	data->bytes_out += ret_piece->bytes;
	r = ratio_check(data, err);
	return r < 0 ? r : 1;
}

int image_data_fragment(struct image_data *data, uint32_t index, const uint8_t **ret_block, uint32_t *ret_bytes, struct err *err)
{
	struct fragment *fragment = NULL;
	uint64_t read_before = data->bytes_read;
	int r = fragment_get(data, index, &fragment, err);
	if (r < 0)
		return r;
	*ret_block = fragment->block;
	*ret_bytes = fragment->bytes;
	if (data->bytes_read != read_before)
		data->bytes_out += fragment->bytes;
	return ratio_check(data, err);
}
