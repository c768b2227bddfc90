/* SPDX-License-Identifier: Apache-2.0
 *
 * A container's layers into a build: reads all of them a first time, several at once and while they arrive, merges them from the
 * lowest to the highest as they become known, and reads them a second time for the data of what is left.
 *
 * Memory: the tree (tree.h), the indexes of layers that wait for a lower one (index.h), and for each thread, of which there are at
 * most eight, one megabyte and what a decompressor needs: 100 KiB for gzip, usually 8 MiB for zstd, 128 MiB at most.
 */
#ifndef SIMG_BUILDER_OCI_LAYERS_H
#define SIMG_BUILDER_OCI_LAYERS_H

#include <stdbool.h>

struct cache;
struct container;
struct err;
struct load;

struct layers_options {
	struct cache *cache; /* for indexes; NULL: none are kept */
	bool trusted;        /* the user said how much the source may hold: no limit on a layer's compression ratio */
	unsigned jobs;       /* processors to use */
};

/* -EUCLEAN: stored bytes turned out to be damaged in the second reading, and have been discarded: the build has to begin again,
 * with a new target and a new tree. */
int layers_load(struct load *load, struct container *container, const struct layers_options *options, struct err *err);

#endif
