/* SPDX-License-Identifier: Apache-2.0
 *
 * Finished images in the cache, by a key that says all that their bytes depend on: the second build is a copy. Of several builds
 * of one image at a time, one works and the others wait for it.
 */
#ifndef SIMG_BUILDER_IMAGE_CACHE_H
#define SIMG_BUILDER_IMAGE_CACHE_H

#include <stdbool.h>

struct cache;
struct output;

struct image_slot {
	struct cache *cache;
	char key[80];   /* hex digits of a digest */
	int lock_fd;    /* held while the image is being built; -1 */
	bool quiet;     /* no note about waiting */
	bool noted;
};

/* Fills the output with the image and returns true, if it is there and its checksum is the one that was stored with it. Waits while
 * another process of this user builds the image. The slot is ended with image_cache_close() in any case. */
bool image_cache_take(struct image_slot *slot, struct output *output);

/* The same, but returns a descriptor of the cache's own file, to read, the caller's; -1 if it is not there, and then the image is the
 * caller's to build. */
int image_cache_open(struct image_slot *slot);

/* Keeps the finished image, a regular file's descriptor, as far as that is possible. */
void image_cache_keep(const struct image_slot *slot, int image_fd);

void image_cache_close(struct image_slot *slot);

#endif
