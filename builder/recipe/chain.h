/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a stage as images: the base, and a delta for each step that was carried out on it. Any number of images and work
 * directories can be made of it.
 */
#ifndef SIMG_BUILDER_RECIPE_CHAIN_H
#define SIMG_BUILDER_RECIPE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct image_layer;
struct load;

enum { CHAIN_MAX = 8 };

struct chain_link {
	int fd;                    /* of the image; the caller's */
	const char *name;          /* for messages; the caller's */
	bool trusted;              /* made by this program, or the user said how much it may hold */
	struct image_layer *layer; /* while it is merged */
};

struct chain {
	struct chain_link links[CHAIN_MAX];
	size_t count;
};

/* Appends an image. */
void chain_add(struct chain *chain, int fd, const char *name, bool trusted);

/* Merges all into the load's empty tree. */
int chain_merge(struct chain *chain, struct load *load, struct err *err);

/* The content of a small regular file of the merged tree; symlinks are not followed. *ret_text is NULL if there is none, else the
 * caller's, with a zero behind it. -EFBIG if it has more than bytes_max. */
int chain_read(const struct chain *chain, const struct load *load, const char *path, size_t bytes_max, char **ret_text,
	       size_t *ret_bytes, struct err *err);

/* Gives the tree's files their data, after chain_merge(). */
int chain_feed(struct chain *chain, struct load *load, struct err *err);

/* Forgets what merging opened. */
void chain_close(struct chain *chain);

#endif
