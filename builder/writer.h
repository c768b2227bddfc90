/* SPDX-License-Identifier: Apache-2.0
 *
 * Tree and data to SquashFS, through libsquashfs. Data is compressed by worker threads and written while it arrives; inodes,
 * directories and tables follow at the end, from the tree. The same calls give the same bytes, whatever the number of threads.
 */
#ifndef SIMG_BUILDER_WRITER_H
#define SIMG_BUILDER_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct file;
struct output;
struct tree;
struct writer;

enum { LEVEL_DEFAULT = -1 };

struct writer_options {
	const char *compressor; /* "zstd", "gzip", "lz4", "xz" */
	int level;              /* LEVEL_DEFAULT: zstd 3, the others' own; lz4 has none */
	uint32_t block_bytes;   /* a power of two, 4 KiB to 1 MiB */
	unsigned jobs;          /* compressing threads, 1 or more */
};

struct writer_stats {
	uint64_t content_bytes; /* of all files, duplicates and holes included */
	uint64_t file_count;
	uint32_t inode_count;
};

/* Checks that there is such a compressor with such a level, and puts the real level in the place of LEVEL_DEFAULT. */
int writer_options_check(struct writer_options *options, struct err *err);

/* Writes the image's beginning. The options are checked ones. The output stays the caller's. */
int writer_open(struct output *output, const struct writer_options *options, struct writer **ret_writer, struct err *err);

/* One file's data, in order: begin, then data and holes in any number, then end. *ret_file is the writer's and goes into the tree;
 * a file that ends up in no tree leaves its data in the image unused. */
int writer_file_begin(struct writer *writer, struct file **ret_file, struct err *err);
int writer_file_data(struct writer *writer, const void *data, size_t bytes, struct err *err);
int writer_file_hole(struct writer *writer, uint64_t bytes, struct err *err);
int writer_file_end(struct writer *writer, struct err *err);

/* Writes the tree and everything else. image_time is the image's own time; IMAGE_TIME_NEWEST takes the newest mtime in the tree. */
#define IMAGE_TIME_NEWEST UINT64_MAX
int writer_finish(struct writer *writer, struct tree *tree, uint64_t image_time, struct writer_stats *ret_stats, struct err *err);

/* Stops the threads and frees everything, a struct file among it. Takes NULL. */
void writer_free(struct writer *writer);

#endif
