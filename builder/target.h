/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a build's files go: into an image (writer.c) or into a directory (sandbox.c). Data comes first, file by file; the tree says
 * at the end which name, owner and mode belongs to it. A file that ends up in no tree is dropped as far as that is possible.
 */
#ifndef SIMG_BUILDER_TARGET_H
#define SIMG_BUILDER_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct file; /* a file's data as the target keeps it; every target has its own kind */
struct tree;

struct target_stats {
	uint64_t content_bytes; /* of all files, duplicates and holes included */
	uint64_t file_count;
	uint32_t inode_count;
};

struct target {
	const struct target_ops *ops;
};

struct target_ops {
	/* One file's data, in order: begin, then data and holes in any number, then end. *ret_file goes into the tree. hot: every
	 * program start in the image reads it. */
	int (*file_begin)(struct target *target, bool hot, struct file **ret_file, struct err *err);
	int (*file_data)(struct target *target, const void *data, size_t bytes, struct err *err);
	int (*file_hole)(struct target *target, uint64_t bytes, struct err *err);
	int (*file_end)(struct target *target, struct err *err);

	/* Writes the tree. target_time is the time of what has none of its own; TARGET_TIME_NEWEST takes the newest mtime in the
	 * tree. */
	int (*finish)(struct target *target, struct tree *tree, uint64_t target_time, struct target_stats *ret_stats,
		      struct err *err);

	uint64_t (*bytes)(const struct target *target); /* written so far, for the progress */
	void (*free)(struct target *target); /* and every struct file */
};

#define TARGET_TIME_NEWEST UINT64_MAX

static inline int target_file_begin(struct target *target, bool hot, struct file **ret_file, struct err *err)
{
	return target->ops->file_begin(target, hot, ret_file, err);
}

static inline int target_file_data(struct target *target, const void *data, size_t bytes, struct err *err)
{
	return target->ops->file_data(target, data, bytes, err);
}

static inline int target_file_hole(struct target *target, uint64_t bytes, struct err *err)
{
	return target->ops->file_hole(target, bytes, err);
}

static inline int target_file_end(struct target *target, struct err *err)
{
	return target->ops->file_end(target, err);
}

static inline int target_finish(struct target *target, struct tree *tree, uint64_t target_time, struct target_stats *ret_stats,
				struct err *err)
{
	return target->ops->finish(target, tree, target_time, ret_stats, err);
}

static inline uint64_t target_bytes(const struct target *target)
{
	return target->ops->bytes(target);
}

static inline void target_free(struct target *target)
{
	if (target != NULL)
		target->ops->free(target);
}

#endif
