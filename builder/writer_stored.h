/* SPDX-License-Identifier: Apache-2.0
 *
 * Data that another image has already compressed, into the target that is an image (writer.h), as it is stored there. First files
 * are described, block by block; then the stored bytes are copied, whatever belongs together in one piece, and each file is told
 * where its blocks are. A tail that cannot be copied with its whole fragment block goes through the compressor.
 *
 * The caller knows that the bytes are good: nothing is decompressed here.
 */
#ifndef SIMG_BUILDER_WRITER_STORED_H
#define SIMG_BUILDER_WRITER_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct file;
struct image_super;
struct target;

/* Whether the target is an image whose readers understand the blocks of the image with this superblock. For any other target,
 * none of these functions may be called. */
bool writer_takes_stored(const struct target *target, const struct image_super *super);

/* One file: begin, then its blocks in order, then the end. size: as in a block list, 0 for a hole. bytes: what the block holds, a
 * whole one but for the last. tail_bytes: of the tail in a fragment, 0 if there is none. *ret_file goes into the tree. */
int writer_stored_begin(struct target *target, struct file **ret_file, struct err *err);
int writer_stored_block(struct target *target, uint32_t size, uint32_t bytes, struct err *err);
void writer_stored_end(struct target *target, uint32_t tail_bytes);

/* Stored bytes, a run of them: begin, which tells where in the image it starts, then parts. writer_stored_copy() copies inside the
 * kernel, and returns how many bytes, less than asked where that is not possible: then what is left has to be read and appended. */
int writer_stored_run(struct target *target, uint64_t *ret_start, struct err *err);
size_t writer_stored_copy(struct target *target, int fd, uint64_t offset, size_t bytes);
int writer_stored_append(struct target *target, const void *data, size_t bytes, struct err *err);

/* Adds a fragment block that stands in the image at start. size: as in a fragment table. */
int writer_stored_fragment(struct target *target, uint64_t start, uint32_t size, uint32_t *ret_index, struct err *err);

/* Where the blocks of a file begin, and where its tail is. */
void writer_stored_place(struct file *file, uint64_t start);
void writer_stored_tail_place(struct file *file, uint32_t fragment, uint32_t offset);

/* Or the tail itself: as many bytes as were said at the file's end. */
int writer_stored_tail(struct target *target, struct file *file, const void *data, size_t bytes, struct err *err);

#endif
