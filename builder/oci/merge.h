/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers on top of one another: what a layer's entries mean for the tree of the layers below it. Whiteouts and opaque directories
 * hide what lower layers have, wherever in the layer they stand, and never what the layer itself has. Entries are taken in their
 * order, which tells where a path through a symlink leads, and what a hard link names.
 *
 * Source: OCI image specification, layer.md.
 */
#ifndef SIMG_BUILDER_OCI_MERGE_H
#define SIMG_BUILDER_OCI_MERGE_H

#include <stdint.h>

struct err;
struct index;
struct load;

/* Merges a layer into the load's tree, which holds the layers below it. number: the layer's, from 0; files' data is
 * deferred. name is for messages. */
int merge_layer(struct load *load, const struct index *index, uint32_t number, const char *name, struct err *err);

#endif
