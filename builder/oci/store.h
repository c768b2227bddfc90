/* SPDX-License-Identifier: Apache-2.0
 *
 * A place with named files that an image is made of: a directory, or an archive. Files are found by their path and read where they
 * lie. Any thread may open files of one store.
 */
#ifndef SIMG_BUILDER_OCI_STORE_H
#define SIMG_BUILDER_OCI_STORE_H

#include <stddef.h>
#include <stdint.h>

struct container_options;
struct err;

/* Where a file's bytes are. */
struct extent {
	int fd; /* the caller's to close */
	uint64_t offset, bytes;
};

struct store {
	const struct store_ops *ops;
	char *name; /* the path that the user gave, for messages */
};

struct store_ops {
	/* 1, or 0 if there is no such file; what is not a regular file is an error. */
	int (*open)(struct store *store, const char *path, struct extent *ret_extent, struct err *err);
	void (*close)(struct store *store);
};

/* A directory. Symbolic links in it are followed: it is the user's own, and some programs share blobs between layouts in this way.
 * What they lead to is compared with its digest like everything else. */
int store_directory_open(const char *path, struct store **ret_store, struct err *err);

/* A tar archive; "-" is standard input. A file that is not compressed is read in place; of anything else, a decompressed copy
 * without a name is kept in the cache's directory until the store is closed. Where a path is there twice, the last one counts.
 * Links lead to other files of the archive, never out of it. */
int store_tar_open(const char *path, const struct container_options *options, struct store **ret_store, struct err *err);

/* A whole file into memory: 1 and *ret_text (the caller frees it, it ends with a zero byte), or 0 if there is none. */
int store_read(struct store *store, const char *path, size_t bytes_max, char **ret_text, size_t *ret_bytes, struct err *err);

static inline int store_open(struct store *store, const char *path, struct extent *ret_extent, struct err *err)
{
	return store->ops->open(store, path, ret_extent, err);
}

static inline void store_close(struct store *store)
{
	if (store != NULL)
		store->ops->close(store);
}

#endif
