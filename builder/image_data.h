/* SPDX-License-Identifier: Apache-2.0
 *
 * The content of an image's files: blocks, holes and tails, decompressed one after the other.
 */
#ifndef SIMG_BUILDER_IMAGE_DATA_H
#define SIMG_BUILDER_IMAGE_DATA_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct image_data;
struct image_inode;
struct image_tables;
struct piece;

/* The tables stay the caller's. Of an image that is not trusted, no more than a thousand times its length is read. NULL without
 * memory, of which it takes some blocks. */
struct image_data *image_data_new(struct image_tables *tables, bool trusted);

/* Begins the regular file whose inode was read last; no other inode may be read before its end. */
void image_data_begin(struct image_data *data, const struct image_inode *inode);

/* The next piece, valid until the next call; what lies between pieces is a hole. Returns 1, or 0 at the end, or fails like the
 * functions of image_tables.h, or with -EFBIG. */
int image_data_next(struct image_data *data, struct piece *ret_piece, struct err *err);

/* A whole fragment block, valid until the next call, and its length. */
int image_data_fragment(struct image_data *data, uint32_t index, const uint8_t **ret_block, uint32_t *ret_bytes, struct err *err);

/* Bytes read from the image so far. */
uint64_t image_data_bytes(const struct image_data *data);

void image_data_free(struct image_data *data); /* takes NULL */

#endif
