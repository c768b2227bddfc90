/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the writer share: writer.c takes the data, writer_stored.c what is compressed already, metadata.c writes the
 * tree.
 */
#ifndef SIMG_BUILDER_WRITER_INTERNAL_H
#define SIMG_BUILDER_WRITER_INTERNAL_H

#include "builder/target.h"
#include "builder/writer.h"

#include <stdbool.h>

#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/frag_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>

/* Whole blocks that are a hole: libsquashfs never sees them, so a hole of any size costs nothing. */
struct hole {
	struct hole *next;
	uint64_t first_block, block_count; /* counted in the file, holes included */
};

struct file {
	struct file *next;           /* the writer's list */
	sqfs_inode_generic_t *data;  /* blocks and fragment as libsquashfs wrote them, without the holes */
	sqfs_inode_generic_t *tail;  /* NULL, or the fragment is this one's, which has no blocks but perhaps one that is a hole */
	struct hole *holes, *last_hole;
	uint64_t bytes, hole_bytes;
};

/* libsquashfs writes through this. */
struct sink {
	sqfs_file_t base; /* first: libsquashfs knows the sink by it */
	struct output *output;
	int errnum;       /* of the first failed read or write */
	uint64_t floor;   /* libsquashfs must not take back what lies below: it does not know all that is there */
};

struct tree;

struct writer {
	struct target base; /* first: callers know the writer by it */
	struct output *output;
	struct sink sink;
	sqfs_super_t super;
	sqfs_compressor_t *compressor, *decompressor;
	sqfs_block_writer_t *blocks;
	sqfs_frag_table_t *fragments;
	sqfs_block_processor_t *processor;
	struct file *files, *current;
	uint64_t file_count, content_bytes;
	uint8_t *zeros; /* one block */
	bool plain_metadata;
};

/* Fills err from a libsquashfs result: the failed system call's reason if there was one. Returns err's code. */
int writer_failed(const struct writer *writer, int sqfs_result, const char *what, struct err *err);

/* Adds whole blocks to the current file, as a hole. */
int writer_hole_add(struct writer *writer, uint64_t block_count, struct err *err);

/* Whether the target is a writer at all. */
bool writer_is(const struct target *target);

/* metadata.c: inodes, directories, fragment, export, id and xattr tables, superblock. The tree is numbered. */
int metadata_write(struct writer *writer, struct tree *tree, uint32_t inode_count, struct err *err);

#endif
