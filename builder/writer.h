/* SPDX-License-Identifier: Apache-2.0
 *
 * The target that is an image: tree and data to SquashFS, through libsquashfs. Data is compressed by worker threads and written
 * while it arrives; inodes, directories and tables follow at the end, from the tree. The same calls give the same bytes, whatever
 * the number of threads.
 */
#ifndef SIMG_BUILDER_WRITER_H
#define SIMG_BUILDER_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct output;
struct target;

enum { LEVEL_DEFAULT = -1 };

struct writer_options {
	const char *compressor; /* "zstd", "gzip", "lz4", "xz" */
	int level;              /* LEVEL_DEFAULT: zstd 3, the others' own; lz4 has none */
	uint32_t block_bytes;   /* a power of two, 4 KiB to 1 MiB */
	unsigned jobs;          /* compressing threads, 1 or more */
	bool plain_metadata;    /* inodes, directories and tables uncompressed: every lookup in a fresh mount reads some */
};

/* Checks that there is such a compressor with such a level, and puts the real level in the place of LEVEL_DEFAULT. */
int writer_options_check(struct writer_options *options, struct err *err);

/* The version of the compressing library, on which the image's bytes depend; NULL where it does not say. */
const char *writer_library_version(const struct writer_options *options);

/* Writes the image's beginning. The options are checked ones. The output stays the caller's. The target is freed with
 * target_free(). */
int writer_open(struct output *output, const struct writer_options *options, struct target **ret_target, struct err *err);

#endif
