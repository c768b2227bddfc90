/* SPDX-License-Identifier: Apache-2.0
 *
 * Images for unit tests, made with the builder's own writer. What fails here ends the program.
 */
#ifndef SIMG_TESTS_UNIT_MAKE_IMAGE_H
#define SIMG_TESTS_UNIT_MAKE_IMAGE_H

#include "builder/output.h"
#include "builder/tree.h"
#include "builder/target.h"
#include "builder/writer.h"
#include "lib/err.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct maker {
	struct output *output;
	struct target *target;
	struct tree *tree;
	struct err err;
};

static inline void maker_must(struct maker *maker, int r)
{
	if (r < 0)
		errx(99, "%s", maker->err.text);
}

static inline void maker_begin_with(struct maker *maker, const char *path, const struct writer_options *given)
{
	struct writer_options options = *given;
	*maker = (struct maker){ .tree = tree_new() };
	maker_must(maker, writer_options_check(&options, &maker->err));
	maker_must(maker, output_open(path, true, &maker->output, &maker->err));
	maker_must(maker, writer_open(maker->output, &options, &maker->target, &maker->err));
}

static inline void maker_begin(struct maker *maker, const char *path, uint32_t block_bytes)
{
	struct writer_options options = { .compressor = "zstd", .level = LEVEL_DEFAULT, .block_bytes = block_bytes, .jobs = 2 };
	maker_begin_with(maker, path, &options);
}

/* A file at path with these bytes. attributes: mode, owner, time, xattrs, or NULL. */
static inline void maker_file(struct maker *maker, const char *path, const void *data, size_t bytes, const struct inode *attributes)
{
	struct inode inode = { .mode = S_IFREG | 0644 };
	struct node *node;
	if (attributes != NULL)
		inode = *attributes;
	maker_must(maker, target_file_begin(maker->target, false, &inode.file, &maker->err));
	maker_must(maker, target_file_data(maker->target, data, bytes, &maker->err));
	maker_must(maker, target_file_end(maker->target, &maker->err));
	maker_must(maker, tree_insert(maker->tree, path, &inode, &node, &maker->err));
}

/* Returns what writer_finish did; the image is there if it succeeded. */
static inline int maker_end(struct maker *maker)
{
	struct target_stats stats;
	int r = target_finish(maker->target, maker->tree, 1000000000, &stats, &maker->err);
	if (r == 0)
		maker_must(maker, output_commit(maker->output, &maker->err));
	target_free(maker->target);
	tree_free(maker->tree);
	output_free(maker->output);
	return r;
}

#endif
