/* SPDX-License-Identifier: Apache-2.0
 *
 * What a reader of source_image (source.h) has beside entries, for who comes back to an image's files in an order of his own.
 */
#ifndef SIMG_BUILDER_SOURCE_IMAGE_H
#define SIMG_BUILDER_SOURCE_IMAGE_H

#include <stdint.h>

struct image_data;
struct image_inode;
struct image_tables;
struct reader;

/* The reader's own, as long as it is open. Once next() has returned 0, inodes may be read in any order. */
struct image_tables *source_image_tables(struct reader *reader);
struct image_data *source_image_data(struct reader *reader);

/* The inode of the entry that next() handed out last, which is not the root, and its reference. */
const struct image_inode *source_image_inode(const struct reader *reader, uint64_t *ret_reference);

#endif
