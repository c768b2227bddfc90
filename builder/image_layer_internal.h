/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two ways from a layer to the target share: image_layer.c merges and decompresses, image_stored.c copies what is stored.
 */
#ifndef SIMG_BUILDER_IMAGE_LAYER_INTERNAL_H
#define SIMG_BUILDER_IMAGE_LAYER_INTERNAL_H

#include "builder/image_layer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct file;
struct image_data;
struct image_inode;
struct image_tables;
struct node;
struct reader;

/* A file of the layer that is not empty, whether the tree has it or not. */
struct layer_file {
	uint64_t reference;    /* of its inode */
	uint64_t data_start;   /* of its blocks, LAYER_NO_BLOCKS if it has none */
	uint32_t fragment, tail_offset, tail_bytes; /* tail_bytes is 0 if it has no tail in a fragment */
};
#define LAYER_NO_BLOCKS UINT64_MAX

struct image_layer {
	const char *name;
	bool trusted;
	struct reader *reader;
	struct image_tables *tables; /* the reader's, as is the data */
	struct image_data *data;
	struct layer_file *files;    /* in the order of entries; a file's index is the entry of its origin */
	size_t file_count, file_room;
	char *path;                  /* of the file that is being read; tables->place points into it */
};

/* A file that gets its data from a layer: its first name in the tree, and a copy of its origin. */
struct layer_want {
	struct node *node;
	uint32_t layer, entry;
	uint64_t position;           /* wants are sorted by layer, then by this: where its data is, or its inode if data is copied */
};

/* Reads the file's inode again, and sets tables->place. */
int layer_want_read(struct image_layer *layer, const struct layer_want *want, struct image_inode *ret_inode, struct err *err);

/* The file has its data. */
void layer_want_done(const struct layer_want *want, struct file *file);

#endif
