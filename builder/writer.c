/* SPDX-License-Identifier: Apache-2.0
 *
 * Data to blocks: see writer.h.
 */
#include "builder/writer.h"

#include "builder/output.h"
#include "builder/tree.h"
#include "builder/writer_internal.h"
#include "lib/err.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sqfs/block.h>
#include <sqfs/error.h>

enum {
	ZSTD_LEVEL = 3,       /* a quarter of the time of gzip 1, and smaller; 9 costs three times as much for a sixteenth */
	BACKLOG_PER_JOB = 4,  /* blocks in flight: enough to keep a thread busy, little memory */
	BACKLOG_MIN = 16,
	DEVICE_BLOCK_BYTES = 4096,
	STORING_RATIO = 16,
};

static const struct {
	const char *name;
	SQFS_COMPRESSOR id;
	int level_default, level_min, level_max; /* LEVEL_DEFAULT: no levels */
	const char *version; /* the library's function that tells it */
} compressors[] = {
	{ "zstd", SQFS_COMP_ZSTD, ZSTD_LEVEL, 1, 22, "ZSTD_versionString" },
	{ "gzip", SQFS_COMP_GZIP, 9, 1, 9, "zlibVersion" },
	{ "lz4", SQFS_COMP_LZ4, LEVEL_DEFAULT, LEVEL_DEFAULT, LEVEL_DEFAULT, "LZ4_versionString" },
	{ "xz", SQFS_COMP_XZ, 6, 0, 9, "lzma_version_string" },
};
enum { COMPRESSOR_COUNT = sizeof(compressors) / sizeof(compressors[0]) };

static const char *result_text(int result)
{
	switch (result) {
	case SQFS_ERROR_ALLOC:
		return "out of memory";
	case SQFS_ERROR_COMPRESSOR:
		return "the compressor failed";
	case SQFS_ERROR_UNSUPPORTED:
		return "not supported by libsquashfs";
	case SQFS_ERROR_OVERFLOW:
		return "too large for SquashFS";
	default:
		return "internal error of libsquashfs";
	}
}

int writer_failed(const struct writer *writer, int result, const char *what, struct err *err)
{
	const char *path = output_path(writer->output);
	if (result == SQFS_ERROR_IO && writer->sink.errnum != 0) {
		err_sys(err, writer->sink.errnum, "cannot write the image '%s'", path);
		if (writer->sink.errnum == ENOSPC || writer->sink.errnum == EDQUOT)
			return err_hint(err, "the image is written beside its final name: free space there, or build elsewhere");
		return err->code;
	}
	return err_set(err, result == SQFS_ERROR_ALLOC ? ENOMEM : EIO, "cannot write %s of the image '%s': %s (%d)", what, path,
		       result_text(result), result);
}

static int sink_result(struct sink *sink, int r)
{
	if (r < 0 && sink->errnum == 0)
		sink->errnum = -r;
	return r < 0 ? SQFS_ERROR_IO : 0;
}

static int sink_read(sqfs_file_t *file, sqfs_u64 offset, void *buffer, size_t size)
{
	struct sink *sink = (struct sink *)file;
	return sink_result(sink, output_read(sink->output, offset, buffer, size));
}

static int sink_write(sqfs_file_t *file, sqfs_u64 offset, const void *buffer, size_t size)
{
	struct sink *sink = (struct sink *)file;
	return sink_result(sink, output_write(sink->output, offset, buffer, size));
}

static sqfs_u64 sink_size(const sqfs_file_t *file)
{
	return output_bytes(((const struct sink *)file)->output);
}

static int sink_truncate(sqfs_file_t *file, sqfs_u64 size)
{
	struct sink *sink = (struct sink *)file;
	output_truncate(sink->output, size < sink->floor ? sink->floor : size);
	return 0;
}

static int compressor_find(const char *name)
{
	int index = 0;
	while (index < COMPRESSOR_COUNT && strcmp(compressors[index].name, name) != 0)
		index++;
	return index;
}

int writer_options_check(struct writer_options *options, struct err *err)
{
	int index = compressor_find(options->compressor);
	if (index == COMPRESSOR_COUNT) {
		err_set(err, EINVAL, "there is no compressor '%s'", options->compressor);
		return err_hint(err, "zstd, gzip, lz4 or xz");
	}
	if (options->level == LEVEL_DEFAULT)
		options->level = compressors[index].level_default;
	if (options->level != LEVEL_DEFAULT && compressors[index].level_max == LEVEL_DEFAULT)
		return err_set(err, EINVAL, "the compressor %s has no levels", options->compressor);
	if (options->level < compressors[index].level_min || options->level > compressors[index].level_max)
		return err_set(err, EINVAL, "the compressor %s has levels %d to %d, not %d", options->compressor,
			       compressors[index].level_min, compressors[index].level_max, options->level);
	return 0;
}

/* libsquashfs links the compressing libraries; the one it uses in this process is the one to ask. */
const char *writer_library_version(const struct writer_options *options)
{
	const char *(*version)(void);
	void *symbol = dlsym(RTLD_DEFAULT, compressors[compressor_find(options->compressor)].version);
	memcpy(&version, &symbol, sizeof(version)); /* ISO C has no cast from data to functions */
	return symbol != NULL ? version() : NULL;
}

/* A compressor that never makes a block longer. libsquashfs 1.2's lz4 does, which readers take for damage. */
struct shrinking {
	sqfs_compressor_t base; /* first: libsquashfs knows the compressor by it */
	sqfs_compressor_t *inner;
	bool storing; /* makes a block shorter only if next to nothing is left of it */
};

static sqfs_compressor_t *inner_of(const void *compressor)
{
	return ((const struct shrinking *)compressor)->inner;
}

static sqfs_s32 shrinking_do_block(sqfs_compressor_t *compressor, const sqfs_u8 *in, sqfs_u32 size, sqfs_u8 *out, sqfs_u32 outsize)
{
	sqfs_compressor_t *inner = inner_of(compressor);
	sqfs_u32 max = ((const struct shrinking *)compressor)->storing ? size / STORING_RATIO : size;
	sqfs_s32 n = inner->do_block(inner, in, size, out, outsize);
	return n >= 0 && (sqfs_u32)n >= max ? 0 : n; /* 0: store it as it is */
}

static void shrinking_get_configuration(const sqfs_compressor_t *compressor, sqfs_compressor_config_t *config)
{
	inner_of(compressor)->get_configuration(inner_of(compressor), config);
}

static int shrinking_write_options(sqfs_compressor_t *compressor, sqfs_file_t *file)
{
	return inner_of(compressor)->write_options(inner_of(compressor), file);
}

static int shrinking_read_options(sqfs_compressor_t *compressor, sqfs_file_t *file)
{
	return inner_of(compressor)->read_options(inner_of(compressor), file);
}

static void shrinking_destroy(sqfs_object_t *compressor)
{
	sqfs_destroy(inner_of(compressor));
	free(compressor);
}

static sqfs_object_t *shrinking_copy(const sqfs_object_t *compressor);

/* Takes the inner one, also when it fails. */
static sqfs_compressor_t *shrinking_create(sqfs_compressor_t *inner)
{
	struct shrinking *outer = inner == NULL ? NULL : malloc(sizeof(*outer));
	if (outer == NULL) {
		sqfs_destroy(inner);
		return NULL;
	}
	*outer = (struct shrinking){
		.base = {
			.base = { .destroy = shrinking_destroy, .copy = shrinking_copy },
			.get_configuration = shrinking_get_configuration,
			.write_options = shrinking_write_options,
			.read_options = shrinking_read_options,
			.do_block = shrinking_do_block,
		},
		.inner = inner,
	};
	return &outer->base;
}

static sqfs_object_t *shrinking_copy(const sqfs_object_t *compressor)
{
	return (sqfs_object_t *)shrinking_create(sqfs_copy(inner_of(compressor)));
}

static int compressor_create(struct writer *writer, const struct writer_options *options, struct err *err)
{
	SQFS_COMPRESSOR id = compressors[compressor_find(options->compressor)].id;
	sqfs_compressor_config_t config;
	int r = sqfs_compressor_config_init(&config, id, options->block_bytes, 0);
	if (options->level != LEVEL_DEFAULT)
		config.level = (sqfs_u32)options->level;
	if (r == 0)
		r = sqfs_compressor_create(&config, &writer->compressor);
	if (r == 0 && (writer->compressor = shrinking_create(writer->compressor)) == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "the beginning", err);
	config.flags |= SQFS_COMP_FLAG_UNCOMPRESS;
	if (r == 0)
		r = sqfs_compressor_create(&config, &writer->decompressor);
	if (r == 0)
		r = sqfs_super_init(&writer->super, options->block_bytes, 0, id);
	if (r != 0)
		return err_set(err, ENOTSUP, "libsquashfs does not support the compressor %s with level %d and blocks of %u bytes",
			       options->compressor, options->level, options->block_bytes);
	return 0;
}

static int head_write(struct writer *writer, struct err *err)
{
	int r = sqfs_super_write(&writer->super, &writer->sink.base);
	if (r == 0)
		r = writer->compressor->write_options(writer->compressor, &writer->sink.base);
	if (r < 0)
		return writer_failed(writer, r, "the beginning", err);
	if (r > 0)
		writer->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
	return 0;
}

static int processor_create(struct writer *writer, const struct writer_options *options, struct err *err)
{
	writer->zeros = calloc(1, options->block_bytes);
	writer->blocks = sqfs_block_writer_create(&writer->sink.base, DEVICE_BLOCK_BYTES, 0);
	writer->fragments = sqfs_frag_table_create(0);
	if (writer->zeros == NULL || writer->blocks == NULL || writer->fragments == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "the beginning", err);
	unsigned backlog = BACKLOG_PER_JOB * options->jobs;
	sqfs_block_processor_desc_t desc = {
		.size = sizeof(desc),
		.max_block_size = options->block_bytes,
		.num_workers = options->jobs,
		.max_backlog = backlog < BACKLOG_MIN ? BACKLOG_MIN : backlog,
		.cmp = writer->compressor,
		.wr = writer->blocks,
		.tbl = writer->fragments,
		.file = &writer->sink.base,
		.uncmp = writer->decompressor,
	};
	int r = sqfs_block_processor_create_ex(&desc, &writer->processor);
	return r == 0 ? 0 : writer_failed(writer, r, "the beginning", err);
}

static struct writer *writer_of(struct target *target)
{
	return (struct writer *)target;
}

/* Hot data is stored as it is, and its tail in a block of its own: in one that files share, it would keep others uncompressed. */
static int writer_file_begin(struct target *target, bool hot, struct file **ret_file, struct err *err)
{
	struct writer *writer = writer_of(target);
	sqfs_u32 flags = hot ? SQFS_BLK_DONT_COMPRESS | SQFS_BLK_DONT_FRAGMENT : 0;
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL)
		return writer_failed(writer, SQFS_ERROR_ALLOC, "a file", err);
	file->next = writer->files;
	writer->files = writer->current = file;
	/* libsquashfs keeps the address of file->data and writes there until all blocks are done. */
	int r = sqfs_block_processor_begin_file(writer->processor, &file->data, NULL, flags);
	if (r != 0)
		return writer_failed(writer, r, "a file", err);
	*ret_file = file;
	return 0;
}

static int append(struct writer *writer, const void *data, size_t bytes, struct err *err)
{
	if (bytes == 0)
		return 0; /* libsquashfs 1.2 would crash */
	writer->current->bytes += bytes;
	int r = sqfs_block_processor_append(writer->processor, data, bytes);
	return r == 0 ? 0 : writer_failed(writer, r, "data", err);
}

static int writer_file_data(struct target *target, const void *data, size_t bytes, struct err *err)
{
	return append(writer_of(target), data, bytes, err);
}

int writer_hole_add(struct writer *writer, uint64_t block_count, struct err *err)
{
	struct file *file = writer->current;
	uint64_t first_block = file->bytes / writer->super.block_size;
	struct hole *hole = file->last_hole;
	if (hole == NULL || hole->first_block + hole->block_count != first_block) {
		hole = calloc(1, sizeof(*hole));
		if (hole == NULL)
			return writer_failed(writer, SQFS_ERROR_ALLOC, "a hole", err);
		hole->first_block = first_block;
		*(file->last_hole == NULL ? &file->holes : &file->last_hole->next) = hole;
		file->last_hole = hole;
	}
	hole->block_count += block_count;
	file->bytes += block_count * writer->super.block_size;
	file->hole_bytes += block_count * writer->super.block_size;
	return 0;
}

/* Zeros up to the next block, whole blocks as a hole, and zeros for the rest, where data may follow. */
static int writer_file_hole(struct target *target, uint64_t bytes, struct err *err)
{
	struct writer *writer = writer_of(target);
	uint32_t block_bytes = writer->super.block_size;
	uint64_t head = (block_bytes - writer->current->bytes % block_bytes) % block_bytes;
	if (head > bytes)
		head = bytes;
	int r = append(writer, writer->zeros, head, err);
	bytes -= head;
	if (r == 0 && bytes >= block_bytes)
		r = writer_hole_add(writer, bytes / block_bytes, err);
	if (r == 0)
		r = append(writer, writer->zeros, bytes % block_bytes, err);
	return r;
}

static int writer_file_end(struct target *target, struct err *err)
{
	struct writer *writer = writer_of(target);
	int r = sqfs_block_processor_end_file(writer->processor);
	writer->content_bytes += writer->current->bytes;
	writer->file_count++;
	writer->current = NULL;
	return r == 0 ? 0 : writer_failed(writer, r, "data", err);
}

/* Readers of block devices want the file to end on a device block. */
static int pad(struct writer *writer, struct err *err)
{
	uint64_t bytes = output_bytes(writer->output);
	uint64_t padding = (DEVICE_BLOCK_BYTES - bytes % DEVICE_BLOCK_BYTES) % DEVICE_BLOCK_BYTES;
	int r = sink_result(&writer->sink, output_write(writer->output, bytes, writer->zeros, padding));
	return r == 0 ? 0 : writer_failed(writer, r, "the end", err);
}

/* From here on nothing is compressed but the block lists of large holes, which would take four bytes for each block. The flags only
 * tell people. */
static void metadata_store(struct writer *writer)
{
	((struct shrinking *)writer->compressor)->storing = true;
	writer->super.flags |= SQFS_FLAG_UNCOMPRESSED_INODES | SQFS_FLAG_UNCOMPRESSED_IDS | SQFS_FLAG_UNCOMPRESSED_XATTRS;
}

static int writer_finish(struct target *target, struct tree *tree, uint64_t image_time, struct target_stats *ret_stats,
			 struct err *err)
{
	struct writer *writer = writer_of(target);
	int r = sqfs_block_processor_finish(writer->processor);
	if (r != 0)
		return writer_failed(writer, r, "data", err);
	uint32_t inode_count, newest;
	r = tree_number(tree, &inode_count, &newest, err);
	if (r < 0)
		return r;
	writer->super.modification_time = image_time == TARGET_TIME_NEWEST ? newest : (uint32_t)image_time;
	if (writer->plain_metadata)
		metadata_store(writer);
	r = metadata_write(writer, tree, inode_count, err);
	if (r == 0)
		r = pad(writer, err);
	if (r == 0)
		*ret_stats = (struct target_stats){ writer->content_bytes, writer->file_count, inode_count };
	return r;
}

static void file_free(struct file *file)
{
	while (file->holes != NULL) {
		struct hole *hole = file->holes;
		file->holes = hole->next;
		free(hole);
	}
	sqfs_free(file->data);
	sqfs_free(file->tail);
	free(file);
}

static uint64_t writer_bytes(const struct target *target)
{
	return output_bytes(((const struct writer *)target)->output);
}

static void writer_free(struct target *target)
{
	struct writer *writer = writer_of(target);
	if (writer->processor != NULL) {
		/* Blocks that are still in flight are freed only by being finished. */
		output_abandon(writer->output);
		sqfs_block_processor_finish(writer->processor);
	}
	sqfs_destroy(writer->processor);
	sqfs_destroy(writer->fragments);
	sqfs_destroy(writer->blocks);
	sqfs_destroy(writer->decompressor);
	sqfs_destroy(writer->compressor);
	while (writer->files != NULL) {
		struct file *file = writer->files;
		writer->files = file->next;
		file_free(file);
	}
	free(writer->zeros);
	free(writer);
}

static const struct target_ops writer_ops = {
	.file_begin = writer_file_begin,
	.file_data = writer_file_data,
	.file_hole = writer_file_hole,
	.file_end = writer_file_end,
	.finish = writer_finish,
	.bytes = writer_bytes,
	.free = writer_free,
};

bool writer_is(const struct target *target)
{
	return target->ops == &writer_ops;
}

int writer_open(struct output *output, const struct writer_options *options, struct target **ret_target, struct err *err)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return err_sys(err, ENOMEM, "cannot write the image '%s'", output_path(output));
	writer->base.ops = &writer_ops;
	writer->output = output;
	writer->plain_metadata = options->plain_metadata;
	writer->sink = (struct sink){
		.base = { .read_at = sink_read, .write_at = sink_write, .get_size = sink_size, .truncate = sink_truncate },
		.output = output,
	};
	int r = compressor_create(writer, options, err);
	if (r == 0)
		r = head_write(writer, err);
	if (r == 0)
		r = processor_create(writer, options, err);
	if (r < 0) {
		writer_free(&writer->base);
		return r;
	}
	*ret_target = &writer->base;
	return 0;
}
