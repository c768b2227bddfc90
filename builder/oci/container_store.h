/* SPDX-License-Identifier: Apache-2.0
 *
 * What the containers have in common whose bytes lie in a store (store.h), that is in layouts and archives: the layers are files of
 * it, and nothing is ever fetched.
 */
#ifndef SIMG_BUILDER_OCI_CONTAINER_STORE_H
#define SIMG_BUILDER_OCI_CONTAINER_STORE_H

#include "builder/oci/container.h"
#include "builder/oci/store.h"
#include "lib/strlist.h"

struct container_store {
	struct container container;
	struct store *store;
	struct strlist layer_paths; /* in the store, of the manifest's layers */
};

/* Takes "PATH[:TAG]" apart. A path may have colons in it: the longest one that exists counts. *ret_tag is a part of text, or NULL.
 * The caller frees *ret_path. */
int container_store_split(const char *text, char **ret_path, const char **ret_tag, struct err *err);

/* Whether two names mean one image: "debian" and "docker.io/library/debian:latest". */
bool container_store_tag_equal(const char *a, const char *b);

/* Reads what the store holds of the image that tag names (NULL: none was given) into an empty container. */
typedef int container_store_fill(struct container_store *stored, const char *tag, const struct container_options *options,
				 struct err *err);

/* Makes a container and fills it. Takes the store, also when it fails. */
int container_store_make(const struct container_kind *kind, struct store *store, const char *tag, container_store_fill *fill,
			 const struct container_options *options, struct container **ret_container, struct err *err);

/* Checks that each layer is there, and that its size is the one that its descriptor names, unless that is 0. */
int container_store_check(struct container_store *stored, struct err *err);

/* For the table of a kind. */
int container_store_layer_open(struct container *container, size_t layer, struct blob **ret_blob, struct err *err);
bool container_store_layer_discard(struct container *container, size_t layer);
void container_store_progress(const struct container *container, uint64_t *ret_bytes, uint64_t *ret_total);
void container_store_close(struct container *container);

#endif
