/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer of any bytes: indexed, merged on top of itself, and read a second time. The target takes everything and keeps nothing.
 */
#include "builder/hot.h"
#include "builder/load.h"
#include "builder/oci/feed.h"
#include "builder/oci/layer.h"
#include "builder/oci/merge.h"
#include "builder/progress.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "lib/err.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { WANTED_MAX = 4096 };
#define CONTENT_MAX_BYTES (1 << 20)

static int take_begin(struct target *target, bool hot, struct file **ret_file, struct err *err)
{
	(void)target, (void)hot, (void)err;
	*ret_file = NULL;
	return 0;
}

static int take_data(struct target *target, const void *data, size_t bytes, struct err *err)
{
	(void)target, (void)err;
	volatile uint8_t last = bytes > 0 ? ((const uint8_t *)data)[bytes - 1] : 0;
	(void)last;
	return 0;
}

static int take_hole(struct target *target, uint64_t bytes, struct err *err)
{
	(void)target, (void)bytes, (void)err;
	return 0;
}

static int take_end(struct target *target, struct err *err)
{
	(void)target, (void)err;
	return 0;
}

static uint64_t taken(const struct target *target)
{
	(void)target;
	return 0;
}

static const struct target_ops ops = {
	.file_begin = take_begin, .file_data = take_data, .file_hole = take_hole, .file_end = take_end, .bytes = taken
};

static size_t wanted_collect(struct tree *tree, struct wanted *wanted)
{
	size_t count = 0;
	for (struct node *d = tree_root(tree); d != NULL; d = tree_next_down(d))
		for (struct node *node = d->inode->children; node != NULL; node = node->sibling)
			if (S_ISREG(node->inode->mode) && node->inode->deferred && node->inode->origin.layer == 0 && count < WANTED_MAX)
				wanted[count++] = (struct wanted){ .entry = node->inode->origin.entry, .inode = node->inode };
	return count;
}

static int compare(const void *a, const void *b)
{
	const struct wanted *left = a, *right = b;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

static void read_again(struct load *load, const struct layer *layer, struct err *err)
{
	static struct wanted wanted[WANTED_MAX], sorted[WANTED_MAX];
	size_t count = wanted_collect(load->tree, wanted), kept = 0;
	qsort(wanted, count, sizeof(*wanted), compare);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || sorted[kept - 1].entry != wanted[i].entry)
			sorted[kept++] = wanted[i];
	const struct feed_layer list = { layer, sorted, kept };
	struct feed *feed = NULL;
	if (feed_open(&list, 1, &feed, err) == 0 && load_feed(load, feed, err) < 0 && err->text[0] == '\0')
		abort();
	feed_close(feed);
}

static void show(struct load *load)
{
	(void)load;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
		abort();
	struct err err = ERR_INIT;
	struct target target = { &ops };
	struct progress progress = { 0 };
	struct layer layer = { .name = "layer", .blob = blob_of_file(fd, 0, bytes, true, "layer") };
	struct hot_set hot = { 0 };
	struct load load = { .tree = tree_new(), .target = &target, .progress = &progress, .hot = &hot, .content_max_bytes = CONTENT_MAX_BYTES,
			     .time_max = UINT32_MAX, .show = show };
	digest_of(data, bytes, &layer.digest);
	layer.diff_id = layer.digest; /* right for a layer that is not compressed */
	int r = layer_scan(&layer, NULL, &err);
	if (r == 0)
		r = merge_layer(&load, &layer.index, 0, "layer", &err);
	if (r == 0)
		r = merge_layer(&load, &layer.index, 1, "again", &err);
	if (r == 0)
		r = merge_layer(&load, &layer.index, 0, "layer", &err);
	if (r < 0 && (err.text[0] == '\0' || err.code >= 0))
		abort();
	if (r == 0)
		read_again(&load, &layer, &err);
	index_free(&layer.index);
	blob_unref(layer.blob);
	tree_free(load.tree);
	return 0;
}
