/* SPDX-License-Identifier: Apache-2.0
 *
 * Data from a layer into an image as it is stored (writer_stored.h). Blocks of files that are wanted are copied. So is a fragment
 * block if all that is in it is wanted; of any other, the tails that are wanted are compressed anew, so that nothing of a removed
 * file gets into the image.
 */
#ifndef SIMG_BUILDER_IMAGE_STORED_H
#define SIMG_BUILDER_IMAGE_STORED_H

#include <stddef.h>

struct err;
struct image_layer;
struct image_stored;
struct layer_want;
struct load;

/* Copies what can be copied, for files of one layer, sorted by inode. *ret_stored is the caller's also if this fails. The load's
 * target takes the layer's data. */
int image_stored_copy(struct image_layer *layer, const struct layer_want *wants, size_t count, struct load *load,
		      struct image_stored **ret_stored, struct err *err);

/* Compresses the rest. */
int image_stored_finish(struct image_stored *stored, struct err *err);

void image_stored_free(struct image_stored *stored); /* takes NULL */

#endif
