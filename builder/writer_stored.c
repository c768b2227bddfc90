/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks as another image stores them: see writer_stored.h. libsquashfs's block writer puts every block at the end of the file, as
 * we do here while it is idle; but where a file turns out to be a duplicate, it cuts the image off behind the last block that it
 * knows. The sink's floor keeps it from what it does not know.
 */
#include "builder/writer_stored.h"

#include "builder/output.h"
#include "builder/writer_internal.h"
#include "lib/image.h"

#include <stdlib.h>

#include <sqfs/error.h>

enum { NO_FRAGMENT = 0xffffffff, SIZES_MIN = 4 };

static struct writer *writer_of(struct target *target)
{
	return (struct writer *)target;
}

/* Of compressors, only xz has options that a reader depends on: a dictionary larger than a block. */
bool writer_takes_stored(const struct target *target, const struct image_super *super)
{
	const struct writer *writer = (const struct writer *)target;
	if (!writer_is(target) || writer->super.compression_id != super->compressor || writer->super.block_size != super->block_bytes)
		return false;
	return super->compressor != SQFS_COMP_XZ || (super->flags & SQFS_FLAG_COMPRESSOR_OPTIONS) == 0;
}

int writer_stored_begin(struct target *target, struct file **ret_file, struct err *err)
{
	struct writer *writer = writer_of(target);
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "a file", err);
	file->next = writer->files;
	writer->files = writer->current = *ret_file = file;
	file->data = calloc(1, sizeof(*file->data));
	if (file->data == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "a file", err);
	file->data->base.type = SQFS_INODE_EXT_FILE;
	sqfs_inode_set_frag_location(file->data, NO_FRAGMENT, 0);
	return 0;
}

/* Room for one more number in the block list. */
static int list_grow(struct writer *writer, struct file *file, struct err *err)
{
	sqfs_inode_generic_t *data = file->data;
	if (data->payload_bytes_available - data->payload_bytes_used >= sizeof(uint32_t))
		return 0;
	uint64_t room = (uint64_t)data->payload_bytes_available * 2 + SIZES_MIN * sizeof(uint32_t);
	data = room > UINT32_MAX ? NULL : realloc(data, sizeof(*data) + room);
	if (data == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "a file", err);
	data->payload_bytes_available = (uint32_t)room;
	file->data = data;
	return 0;
}

/* A hole at the end may be less than a block. */
static int hole_take(struct writer *writer, uint32_t bytes, struct err *err)
{
	struct file *file = writer->current;
	uint32_t less = writer->super.block_size - bytes;
	int r = writer_hole_add(writer, 1, err);
	if (r == 0) {
		file->bytes -= less;
		file->hole_bytes -= less;
	}
	return r;
}

int writer_stored_block(struct target *target, uint32_t size, uint32_t bytes, struct err *err)
{
	struct writer *writer = writer_of(target);
	struct file *file = writer->current;
	if (size == 0)
		return hole_take(writer, bytes, err);
	int r = list_grow(writer, file, err);
	if (r < 0)
		return r;
	file->data->extra[file->data->payload_bytes_used / sizeof(uint32_t)] = size;
	file->data->payload_bytes_used += (uint32_t)sizeof(uint32_t);
	file->bytes += bytes;
	return 0;
}

void writer_stored_end(struct target *target, uint32_t tail_bytes)
{
	struct writer *writer = writer_of(target);
	writer->current->bytes += tail_bytes;
	writer->content_bytes += writer->current->bytes;
	writer->file_count++;
	writer->current = NULL;
}

/* libsquashfs has to write all that it has before, but for a fragment block that is not full yet. */
int writer_stored_run(struct target *target, uint64_t *ret_start, struct err *err)
{
	struct writer *writer = writer_of(target);
	int r = sqfs_block_processor_sync(writer->processor);
	*ret_start = output_bytes(writer->output);
	return r == 0 ? 0 : writer_failed(writer, r, "data", err);
}

size_t writer_stored_copy(struct target *target, int fd, uint64_t offset, size_t bytes)
{
	struct writer *writer = writer_of(target);
	size_t done = output_append(writer->output, fd, offset, bytes);
	writer->sink.floor = output_bytes(writer->output);
	return done;
}

int writer_stored_append(struct target *target, const void *data, size_t bytes, struct err *err)
{
	struct writer *writer = writer_of(target);
	sqfs_file_t *file = &writer->sink.base;
	int r = file->write_at(file, output_bytes(writer->output), data, bytes);
	writer->sink.floor = output_bytes(writer->output);
	return r == 0 ? 0 : writer_failed(writer, r, "data", err);
}

int writer_stored_fragment(struct target *target, uint64_t start, uint32_t size, uint32_t *ret_index, struct err *err)
{
	struct writer *writer = writer_of(target);
	int r = sqfs_frag_table_append(writer->fragments, start, size, ret_index);
	return r == 0 ? 0 : writer_failed(writer, r, "the fragment table", err);
}

void writer_stored_place(struct file *file, uint64_t start)
{
	sqfs_inode_set_file_block_start(file->data, start);
}

void writer_stored_tail_place(struct file *file, uint32_t fragment, uint32_t offset)
{
	sqfs_inode_set_frag_location(file->data, fragment, offset);
}

int writer_stored_tail(struct target *target, struct file *file, const void *data, size_t bytes, struct err *err)
{
	struct writer *writer = writer_of(target);
	int r = sqfs_block_processor_begin_file(writer->processor, &file->tail, NULL, 0);
	if (r == 0)
		r = sqfs_block_processor_append(writer->processor, data, bytes);
	if (r == 0)
		r = sqfs_block_processor_end_file(writer->processor);
	return r == 0 ? 0 : writer_failed(writer, r, "data", err);
}
