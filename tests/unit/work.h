/* SPDX-License-Identifier: Apache-2.0
 *
 * Work directories for tests: filled from images, described as text, and their deltas written. What fails here ends the program.
 */
#ifndef SIMG_TESTS_UNIT_WORK_H
#define SIMG_TESTS_UNIT_WORK_H

#include "builder/fakeroot/owners.h"
#include "builder/hot.h"
#include "builder/image_layer.h"
#include "builder/load.h"
#include "builder/progress.h"
#include "builder/sandbox.h"
#include "builder/source.h"
#include "builder/workdir/baseline.h"
#include "builder/workdir/delta.h"
#include "tests/unit/make_image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { LAYERS_MAX = 64 };

struct work {
	int fd;
	struct owners *owners;
	struct tree *tree; /* what the directory should hold */
	struct baseline *baseline;
	const char *const *left_out;
};

static struct progress work_progress;
static struct hot_set work_hot;
static struct err work_err;

static inline void work_must(int r)
{
	if (r < 0)
		errx(99, "%s", work_err.text[0] != '\0' ? work_err.text : strerror(-r));
}

/* Becomes the root of a user namespace, unless it is root. Returns false where that is not possible. */
static inline bool work_become_root(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	if (uid == 0)
		return true;
	if (unshare(CLONE_NEWUSER) < 0)
		return false;
	const char *const files[] = { "/proc/self/setgroups", "/proc/self/uid_map", "/proc/self/gid_map" };
	for (int i = 0; i < 3; i++) {
		int bytes = i == 0 ? snprintf(map, sizeof(map), "deny") : snprintf(map, sizeof(map), "0 %u 1", i == 1 ? uid : gid);
		int fd = open(files[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, (size_t)bytes) != bytes)
			errx(99, "%s", files[i]);
		close(fd);
	}
	return true;
}

static inline void work_make(struct work *work, const char *path)
{
	*work = (struct work){ .owners = owners_new() };
	if (mkdir(path, 0700) < 0 || (work->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err(99, "%s", path);
}

static inline void work_free(struct work *work)
{
	baseline_free(work->baseline);
	tree_free(work->tree);
	owners_free(work->owners);
	close(work->fd);
}

static inline struct load work_load(struct tree *tree, struct target *target)
{
	return (struct load){ .tree = tree, .target = target, .progress = &work_progress, .hot = &work_hot,
			      .content_max_bytes = UINT64_MAX / 2, .time_max = UINT32_MAX };
}

/* Reads the directory into a load. */
static inline void work_read(const struct work *work, struct load *load)
{
	const struct source_options options = { .name = "work", .fd = work->fd, .trusted = true, .quiet = true,
						.progress = &work_progress, .owners = work->owners };
	struct reader *reader;
	work_must(source_directory.open(&options, &reader, &work_err));
	work_must(load_source(load, &source_directory, reader, &work_err));
	source_directory.close(reader);
}

static inline void work_baseline(struct work *work)
{
	baseline_free(work->baseline);
	work->baseline = NULL;
	work_must(baseline_take(work->fd, "work", work->tree, work->owners, &work->baseline, &work_err));
}

static inline struct delta *work_delta(const struct work *work)
{
	const struct delta_options options = { .root_fd = work->fd, .name = "work", .baseline = work->baseline, .tree = work->tree,
					       .owners = work->owners, .left_out = work->left_out };
	struct delta *delta;
	work_must(delta_find(&options, &delta, &work_err));
	return delta;
}

struct layers {
	struct image_layer *layers[LAYERS_MAX];
	int fds[LAYERS_MAX];
	size_t count;
};

static inline void layers_add(struct layers *layers, const char *path)
{
	size_t i = layers->count++;
	layers->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
	if (layers->fds[i] < 0)
		err(99, "%s", path);
	work_must(image_layer_open(layers->fds[i], "layer", false, &layers->layers[i], &work_err));
}

static inline void layers_close(struct layers *layers)
{
	for (size_t i = 0; i < layers->count; i++) {
		image_layer_close(layers->layers[i]);
		close(layers->fds[i]);
	}
}

/* A layer is merged once: for another time it is opened again. */
static inline void layers_reopen(struct layers *layers)
{
	for (size_t i = 0; i < layers->count; i++) {
		image_layer_close(layers->layers[i]);
		work_must(image_layer_open(layers->fds[i], "layer", false, &layers->layers[i], &work_err));
	}
}

/* Fills the directory with what the layers are together. */
static inline void work_extract(struct work *work, struct layers *layers)
{
	struct target *target;
	struct target_stats stats;
	work->tree = tree_new();
	layers_reopen(layers);
	work_must(sandbox_open_work(work->fd, "work", work->owners, &target, &work_err));
	struct load load = work_load(work->tree, target);
	for (size_t i = 0; i < layers->count; i++)
		work_must(image_layer_merge(layers->layers[i], &load, (uint32_t)i, &work_err));
	work_must(image_layers_feed(&load, layers->layers, layers->count, &work_err));
	work_must(target_finish(target, work->tree, 1000000000, &stats, &work_err));
	target_free(target);
}

/* --- a directory as text --- */

static inline void text_put(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fprintf(out, *text > ' ' && *text < 0x7f && *text != '\\' ? "%c" : "\\x%02x", (unsigned char)*text);
}

static inline uint64_t piece_hash(uint64_t hash, uint64_t offset, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (data[i] != 0) /* holes and zeros are one */
			hash += (offset + i + 1) * 0x9e3779b97f4a7c15u * (data[i] + 1u);
	return hash;
}

static inline int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

static inline void entry_describe(FILE *out, struct reader *reader, const struct source_entry *entry)
{
	struct piece piece;
	uint64_t hash = 0;
	text_put(out, entry->path);
	if (entry->hard_link) {
		fputs(" = ", out);
		text_put(out, entry->target);
		fputc('\n', out);
		return;
	}
	fprintf(out, " %" PRIo32 " %" PRId64 ":%" PRId64 " %" PRId64, entry->mode, entry->uid, entry->gid, entry->mtime);
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
		fprintf(out, " device %u:%u", entry->major, entry->minor);
	if (S_ISREG(entry->mode)) {
		int r;
		while (entry->bytes > 0 && (r = source_directory.read(reader, &piece, &work_err)) != 0) {
			work_must(r);
			hash = piece_hash(hash, piece.offset, piece.data, piece.bytes);
		}
		fprintf(out, " %" PRIu64 " bytes %" PRIx64, entry->bytes, hash);
	}
	if (entry->target != NULL) {
		fputs(" -> ", out);
		text_put(out, entry->target);
	}
	if (entry->xattr_count > 0)
		qsort(entry->xattrs, entry->xattr_count, sizeof(*entry->xattrs), compare_xattrs);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct xattr *xattr = &entry->xattrs[i];
		hash = piece_hash(0, 0, xattr->value, xattr->value_bytes);
		fprintf(out, " %s=%" PRIx64 "/%zu", xattr->name, hash, xattr->value_bytes);
	}
	fputc('\n', out);
}

/* One line for each path. The caller frees. */
static inline char *work_describe(const struct work *work)
{
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	const struct source_options options = { .name = "work", .fd = work->fd, .quiet = true, .owners = work->owners };
	struct reader *reader;
	struct source_entry entry;
	work_must(source_directory.open(&options, &reader, &work_err));
	int r;
	while ((r = source_directory.next(reader, &entry, &work_err)) > 0)
		if (!S_ISSOCK(entry.mode))
			entry_describe(out, reader, &entry);
	work_must(r);
	source_directory.close(reader);
	fclose(out);
	return text;
}

#endif
