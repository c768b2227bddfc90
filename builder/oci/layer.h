/* SPDX-License-Identifier: Apache-2.0
 *
 * One layer, read twice: the first time for its headers and its digests, the second time for the data of the files that are left
 * in the merged tree. Both times the blob's bytes are compared with its digest, so that the two readings cannot differ.
 */
#ifndef SIMG_BUILDER_OCI_LAYER_H
#define SIMG_BUILDER_OCI_LAYER_H

#include "builder/oci/blob.h"
#include "builder/oci/digest.h"
#include "builder/oci/index.h"

struct cache;
struct err;
struct inode;

struct layer {
	char name[96];         /* for messages: "layer 2 (sha256:0123456789ab)" */
	struct blob *blob;
	struct digest digest;  /* of the blob. Where the container does not say, layer_scan() sets it */
	struct digest diff_id; /* of what it decompresses to */
	bool trusted;          /* no limit on its compression ratio */
	struct index index;    /* filled by layer_scan() */
};

/* A file that the second reading is to hand out. */
struct wanted {
	uint64_t entry;      /* its number in the index */
	struct inode *inode;
};

/* Where the second reading hands them out. */
struct layer_sink {
	int (*file)(void *context, const struct wanted *wanted, const struct source_entry *entry, struct err *err);
	int (*piece)(void *context, const struct piece *piece, struct err *err); /* of the last file; in order, holes left out */
	int (*file_end)(void *context, struct err *err);
	void *context;
};

/* The first reading, or the index from the cache (which may be NULL). -EUCLEAN: the blob's bytes are not those that its digest
 * names. -EBADMSG: they are, but they are damaged, or not what the image's configuration says. */
int layer_scan(struct layer *layer, struct cache *cache, struct err *err);

/* The second reading. wanted is sorted by entry. Errors as before, and those of the sink. */
int layer_extract(const struct layer *layer, const struct wanted *wanted, size_t count, const struct layer_sink *sink,
		  struct err *err);

#endif
