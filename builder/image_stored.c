/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying of stored data: see image_stored.h. What is wanted is a list of extents of the layer's image, the blocks of files and
 * whole fragment blocks. Sorted, they make runs, of which there are few where little is missing, and files that share blocks, in
 * whole or in part, share them again.
 */
#include "builder/image_stored.h"

#include "builder/hot.h"
#include "builder/image_data.h"
#include "builder/image_layer_internal.h"
#include "builder/image_tables.h"
#include "builder/load.h"
#include "builder/target.h"
#include "builder/writer_stored.h"
#include "lib/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	COPY_BYTES = 16 << 20,  /* at once inside the kernel: between two looks at the progress */
	BUFFER_BYTES = 1 << 20, /* at once through memory */
};

/* Of every file of the layer that has one, wanted or not. */
struct tail {
	uint32_t fragment, offset, bytes, entry;
	bool copied; /* with its fragment block */
};

struct extent {
	uint64_t start, bytes;
	struct file *file;  /* the blocks of a file; NULL: a fragment block, with */
	uint32_t fragment;  /* … its number in the layer */
	uint32_t size;      /* … its stored size */
	struct tail *tails; /* … and all tails in it */
	size_t tail_count;
};

struct image_stored {
	struct image_layer *layer;
	struct load *load;
	struct file **files; /* by entry; NULL: not wanted */
	struct tail *tails;
	struct extent *extents;
	size_t tail_count, extent_count;
	uint8_t *buffer;
};

static int extent_add(struct image_stored *stored, struct extent extent, struct err *err)
{
	uint64_t image_bytes = stored->layer->tables->super.used_bytes;
	if (extent.start > image_bytes || extent.bytes > image_bytes - extent.start)
		return image_damaged(stored->layer->tables, "the place of a file's data", err);
	stored->extents[stored->extent_count++] = extent;
	return 0;
}

/* --- files and their blocks --- */

/* Takes over the next block of expected bytes. Adds what it takes in the image to *stored_bytes. */
static int block_take(struct image_stored *stored, uint32_t expected, uint64_t *stored_bytes, struct err *err)
{
	struct image_tables *tables = stored->layer->tables;
	uint32_t size, bytes = 0;
	int r = image_block_size_next(tables, &size, err);
	if (r == 0 && size != 0)
		r = image_stored_bytes(tables, size, &bytes, err);
	if (r == 0 && (size & IMAGE_STORED_PLAIN) != 0 && bytes != expected)
		return image_damaged(tables, "the length of a block", err);
	*stored_bytes += bytes;
	return r < 0 ? r : writer_stored_block(stored->load->target, size, expected, err);
}

static int blocks_take(struct image_stored *stored, const struct image_inode *inode, uint64_t bytes, struct file *file,
		       struct err *err)
{
	uint32_t block_bytes = stored->layer->tables->super.block_bytes;
	struct extent extent = { .start = inode->data_start, .file = file };
	int r = 0;
	for (uint64_t at = 0; at < bytes && r == 0; at += block_bytes) {
		uint64_t left = bytes - at;
		r = block_take(stored, left < block_bytes ? (uint32_t)left : block_bytes, &extent.bytes, err);
	}
	return r < 0 || extent.bytes == 0 ? r : extent_add(stored, extent, err);
}

static int file_take(struct image_stored *stored, const struct layer_want *want, struct err *err)
{
	struct image_layer *layer = stored->layer;
	struct target *target = stored->load->target;
	struct image_inode inode;
	struct file *file;
	int r = layer_want_read(layer, want, &inode, err);
	if (r == 0)
		r = load_count(stored->load, layer->tables->place, inode.bytes, err);
	if (r == 0)
		r = writer_stored_begin(target, &file, err);
	if (r < 0)
		return r;
	uint32_t tail_bytes = layer->files[want->entry].tail_bytes;
	r = blocks_take(stored, &inode, inode.bytes - tail_bytes, file, err);
	writer_stored_end(target, tail_bytes);
	hot_set_contains(stored->load->hot, layer->tables->place); /* it was found */
	stored->files[want->entry] = file;
	layer_want_done(want, file);
	return r;
}

/* --- tails and fragment blocks --- */

static int compare_tails(const void *a, const void *b)
{
	const struct tail *left = a, *right = b;
	if (left->fragment != right->fragment)
		return left->fragment < right->fragment ? -1 : 1;
	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

static void tails_collect(struct image_stored *stored)
{
	const struct image_layer *layer = stored->layer;
	for (size_t i = 0; i < layer->file_count; i++) {
		const struct layer_file *file = &layer->files[i];
		if (file->tail_bytes > 0)
			stored->tails[stored->tail_count++] = (struct tail){ .fragment = file->fragment, .offset = file->tail_offset,
									     .bytes = file->tail_bytes, .entry = (uint32_t)i };
	}
	if (stored->tail_count > 0)
		qsort(stored->tails, stored->tail_count, sizeof(*stored->tails), compare_tails);
}

static uint64_t tail_end(const struct tail *tail)
{
	return (uint64_t)tail->offset + tail->bytes;
}

static bool is_wanted(const struct image_stored *stored, const struct tail *tail)
{
	return stored->files[tail->entry] != NULL;
}

static int tails_check(const struct image_stored *stored, const struct tail *tails, size_t count, uint64_t bytes, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (is_wanted(stored, &tails[i]) && tail_end(&tails[i]) > bytes)
			return image_damaged(stored->layer->tables, "the place of a file's tail", err);
	return 0;
}

/* How much a fragment block holds. A compressed one in an image of our own holds the tails that the image has, and nothing behind
 * them but what its build wrote and dropped: that is not worth decompressing it. */
static int fragment_length(struct image_stored *stored, const struct extent *extent, uint64_t *ret_bytes, struct err *err)
{
	struct image_layer *layer = stored->layer;
	uint32_t bytes = 0;
	*ret_bytes = extent->bytes;
	if ((extent->size & IMAGE_STORED_PLAIN) != 0)
		return 0;
	if (!layer->trusted) {
		const uint8_t *block;
		int r = image_data_fragment(layer->data, extent->fragment, &block, &bytes, err);
		*ret_bytes = bytes;
		return r;
	}
	*ret_bytes = 0;
	for (size_t i = 0; i < extent->tail_count; i++)
		if (tail_end(&extent->tails[i]) > *ret_bytes)
			*ret_bytes = tail_end(&extent->tails[i]);
	return tails_check(stored, extent->tails, extent->tail_count, layer->tables->super.block_bytes, err);
}

/* Whether the wanted tails, which are sorted, leave nothing out. */
static bool is_covered(const struct image_stored *stored, const struct extent *extent, uint64_t bytes)
{
	uint64_t covered = 0;
	for (size_t i = 0; i < extent->tail_count; i++) {
		const struct tail *tail = &extent->tails[i];
		if (!is_wanted(stored, tail))
			continue;
		if (tail->offset > covered)
			return false;
		if (tail_end(tail) > covered)
			covered = tail_end(tail);
	}
	return covered >= bytes;
}

/* Decides about a fragment block by the tails in it. */
static int fragment_take(struct image_stored *stored, struct tail *tails, size_t count, struct err *err)
{
	struct image_tables *tables = stored->layer->tables;
	struct extent extent = { .fragment = tails[0].fragment, .tails = tails, .tail_count = count };
	uint32_t stored_bytes;
	uint64_t bytes;
	size_t wanted = 0;
	for (size_t i = 0; i < count; i++)
		wanted += is_wanted(stored, &tails[i]);
	if (wanted == 0)
		return 0;
	int r = image_fragment_find(tables, extent.fragment, &extent.start, &extent.size, err);
	if (r == 0)
		r = image_stored_bytes(tables, extent.size, &stored_bytes, err);
	if (r < 0)
		return r;
	extent.bytes = stored_bytes;
	r = fragment_length(stored, &extent, &bytes, err);
	if (r == 0)
		r = tails_check(stored, tails, count, bytes, err);
	return r < 0 || !is_covered(stored, &extent, bytes) ? r : extent_add(stored, extent, err);
}

static int fragments_take(struct image_stored *stored, struct err *err)
{
	int r = 0;
	stored->layer->tables->place = "";
	for (size_t first = 0, end; first < stored->tail_count && r == 0; first = end) {
		for (end = first + 1; end < stored->tail_count; end++)
			if (stored->tails[end].fragment != stored->tails[first].fragment)
				break;
		r = fragment_take(stored, &stored->tails[first], end - first, err);
	}
	return r;
}

/* --- copying --- */

/* Fragment blocks get their number in this order. */
static int compare_extents(const void *a, const void *b)
{
	const struct extent *left = a, *right = b;
	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return left->fragment < right->fragment ? -1 : left->fragment > right->fragment;
}

/* Copies as much as it likes of a part of the layer. Returns how much. */
static ssize_t part_copy(struct image_stored *stored, uint64_t start, uint64_t bytes, struct err *err)
{
	struct image_tables *tables = stored->layer->tables;
	struct image_file *file = &tables->file;
	struct target *target = stored->load->target;
	size_t part = bytes < COPY_BYTES ? (size_t)bytes : COPY_BYTES;
	size_t done = writer_stored_copy(target, file->fd, file->offset_bytes + start, part);
	if (done > 0)
		return (ssize_t)done;
	part = part < BUFFER_BYTES ? part : BUFFER_BYTES;
	int r = file->base.read_at(&file->base, start, stored->buffer, part);
	if (r != 0)
		return image_tables_failed(tables, r, "data", err);
	r = writer_stored_append(target, stored->buffer, part, err);
	return r < 0 ? r : (ssize_t)part;
}

static int run_copy(struct image_stored *stored, uint64_t start, uint64_t end, uint64_t *ret_place, struct err *err)
{
	ssize_t r = writer_stored_run(stored->load->target, ret_place, err);
	for (uint64_t at = start; at < end && r >= 0; at += (uint64_t)r) {
		r = part_copy(stored, at, end - at, err);
		if (r >= 0)
			stored->load->show(stored->load);
	}
	return r < 0 ? (int)r : 0;
}

/* The extent stands in the new image at place. */
static int extent_place(struct image_stored *stored, const struct extent *extent, uint64_t place, struct err *err)
{
	uint32_t index;
	if (extent->file != NULL) {
		writer_stored_place(extent->file, place);
		return 0;
	}
	int r = writer_stored_fragment(stored->load->target, place, extent->size, &index, err);
	for (size_t i = 0; i < extent->tail_count && r == 0; i++) {
		struct tail *tail = &extent->tails[i];
		tail->copied = true;
		if (is_wanted(stored, tail))
			writer_stored_tail_place(stored->files[tail->entry], index, tail->offset);
	}
	return r;
}

static int runs_copy(struct image_stored *stored, struct err *err)
{
	struct extent *extents = stored->extents;
	int r = 0;
	if (stored->extent_count > 0)
		qsort(extents, stored->extent_count, sizeof(*extents), compare_extents);
	for (size_t first = 0, after; first < stored->extent_count && r == 0; first = after) {
		uint64_t start = extents[first].start, end = start, place;
		for (after = first; after < stored->extent_count && extents[after].start <= end; after++)
			if (extents[after].start + extents[after].bytes > end)
				end = extents[after].start + extents[after].bytes;
		r = run_copy(stored, start, end, &place, err);
		for (size_t i = first; i < after && r == 0; i++)
			r = extent_place(stored, &extents[i], place + (extents[i].start - start), err);
	}
	return r;
}

/* --- all of it --- */

static int stored_new(struct image_layer *layer, size_t want_count, struct load *load, struct image_stored **ret_stored,
		      struct err *err)
{
	struct image_stored *stored = *ret_stored = calloc(1, sizeof(*stored));
	if (stored != NULL) {
		*stored = (struct image_stored){
			.layer = layer,
			.load = load,
			.files = calloc(layer->file_count, sizeof(*stored->files)),
			.tails = calloc(layer->file_count, sizeof(*stored->tails)),
			.extents = calloc(want_count + layer->file_count, sizeof(*stored->extents)),
			.buffer = malloc(BUFFER_BYTES),
		};
		if (stored->files != NULL && stored->tails != NULL && stored->extents != NULL && stored->buffer != NULL)
			return 0;
	}
	return err_sys(err, ENOMEM, "cannot read the image '%s'", layer->name);
}

int image_stored_copy(struct image_layer *layer, const struct layer_want *wants, size_t count, struct load *load,
		      struct image_stored **ret_stored, struct err *err)
{
	int r = stored_new(layer, count, load, ret_stored, err);
	struct image_stored *stored = *ret_stored;
	for (size_t i = 0; i < count && r == 0; i++)
		r = file_take(stored, &wants[i], err);
	if (r < 0)
		return r;
	tails_collect(stored);
	r = fragments_take(stored, err);
	return r < 0 ? r : runs_copy(stored, err);
}

int image_stored_finish(struct image_stored *stored, struct err *err)
{
	struct image_layer *layer = stored->layer;
	int r = 0;
	for (size_t i = 0; i < stored->tail_count && r == 0; i++) {
		const struct tail *tail = &stored->tails[i];
		const uint8_t *block;
		uint32_t bytes;
		if (tail->copied || !is_wanted(stored, tail))
			continue;
		r = image_data_fragment(layer->data, tail->fragment, &block, &bytes, err);
		if (r == 0)
			r = tails_check(stored, tail, 1, bytes, err);
		if (r == 0)
			r = writer_stored_tail(stored->load->target, stored->files[tail->entry], block + tail->offset, tail->bytes, err);
		stored->load->show(stored->load);
	}
	return r;
}

void image_stored_free(struct image_stored *stored)
{
	if (stored == NULL)
		return;
	free(stored->files);
	free(stored->tails);
	free(stored->extents);
	free(stored->buffer);
	free(stored);
}
