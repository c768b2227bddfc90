/* SPDX-License-Identifier: Apache-2.0
 *
 * Images as layers: a base, and deltas on top of it that have only what changed. They are merged into one tree, from the lowest to
 * the highest, and then every file that is left gets its data from its layer.
 *
 * In a delta, a directory gives its attributes to the directory below and keeps what is in that; anything else replaces what is
 * there. A whiteout, at the path of what is gone, is a character device 0:0 with permissions 0 and the attribute
 * DELTA_WHITEOUT_XATTR, whatever its value. Other devices 0:0 are devices, and so are all of them in the lowest layer.
 *
 * A target that is an image gets blocks as the layer has them, without decompression, if it has the layer's compressor and block
 * size (writer_stored.h). Files that the layer stores uncompressed for a fast start stay so then, and no others become so. The same
 * layers give the same image.
 */
#ifndef SIMG_BUILDER_IMAGE_LAYER_H
#define SIMG_BUILDER_IMAGE_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct image_layer;
struct load;
struct source_entry;

#define DELTA_WHITEOUT_XATTR "user.simg.whiteout"

/* Whether an entry of a delta is a whiteout. */
bool image_layer_is_whiteout(const struct source_entry *entry);

/* Opens an image of any kind that source_image takes. Descriptor and name stay the caller's and must outlive the layer. trusted:
 * the image was made by this program, and nobody else could change it. What is read of any other is checked as far as the new image
 * depends on it, and may not expand beyond reason; blocks that are copied are checked by who reads the file. */
int image_layer_open(int fd, const char *name, bool trusted, struct image_layer **ret_layer, struct err *err);
void image_layer_close(struct image_layer *layer); /* takes NULL */

/* Merges the layer into the load's tree, which holds the layers below it: once, layer after layer. number: the layer's, from 0;
 * files' data is deferred. */
int image_layer_merge(struct image_layer *layer, struct load *load, uint32_t number, struct err *err);

/* Gives every deferred file of the tree its data. layers: by number, all of them merged. Sets load->show. */
int image_layers_feed(struct load *load, struct image_layer *const *layers, size_t count, struct err *err);

#endif
