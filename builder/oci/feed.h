/* SPDX-License-Identifier: Apache-2.0
 *
 * The second reading of all layers as one source of files: a thread for each layer, up to four at a time, decompresses ahead, and
 * the files come out in turns of about four megabytes from each. So compression is not held up by one thread's decompression, and
 * the order depends on the layers alone, never on time or on the number of processors: the same layers give the same image.
 *
 * Memory: 3 MiB for each of the four threads, and what decompression takes.
 */
#ifndef SIMG_BUILDER_OCI_FEED_H
#define SIMG_BUILDER_OCI_FEED_H

#include "builder/oci/layer.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct feed;

/* One layer and what is wanted of it, sorted by entry. */
struct feed_layer {
	const struct layer *layer;
	const struct wanted *wanted;
	size_t count;
};

struct feed_file {
	struct inode *inode;
	const char *path;  /* in its layer; valid until the next call */
	uint64_t bytes;
};

/* The layers must outlive the feed. */
int feed_open(const struct feed_layer *layers, size_t count, struct feed **ret_feed, struct err *err);

/* The next file: 1, or 0 when there is no other. What was not read of the last one is skipped. */
int feed_next(struct feed *feed, struct feed_file *ret_file, struct err *err);

/* The next piece of its data: 1, or 0 at its end. */
int feed_read(struct feed *feed, struct piece *ret_piece, struct err *err);

/* After an error: the layer that it came from, or NULL. */
const struct layer *feed_failed(const struct feed *feed);

void feed_close(struct feed *feed); /* takes NULL */

#endif
