/* SPDX-License-Identifier: Apache-2.0
 *
 * Images on top of one another: see image_layer.h.
 */
#include "builder/image_layer.h"

#include "builder/image_data.h"
#include "builder/image_layer_internal.h"
#include "builder/image_stored.h"
#include "builder/image_tables.h"
#include "builder/load.h"
#include "builder/progress.h"
#include "builder/source.h"
#include "builder/source_image.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/writer_stored.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool image_layer_is_whiteout(const struct source_entry *entry)
{
	if (entry->hard_link || entry->mode != S_IFCHR || entry->major != 0 || entry->minor != 0)
		return false;
	for (size_t i = 0; i < entry->xattr_count; i++)
		if (strcmp(entry->xattrs[i].name, DELTA_WHITEOUT_XATTR) == 0)
			return true;
	return false;
}

static int err_memory(const struct image_layer *layer, struct err *err)
{
	return err_sys(err, ENOMEM, "cannot read the image '%s'", layer->name);
}

int image_layer_open(int fd, const char *name, bool trusted, struct image_layer **ret_layer, struct err *err)
{
	const struct source_options options = { .name = name, .fd = fd, .trusted = trusted, .quiet = true };
	struct image_layer *layer = calloc(1, sizeof(*layer));
	if (layer == NULL)
		return err_sys(err, ENOMEM, "cannot read the image '%s'", name);
	layer->name = name;
	layer->trusted = trusted;
	layer->path = malloc(PATH_BYTES_MAX + 1);
	int r = layer->path == NULL ? err_memory(layer, err) : source_image.open(&options, &layer->reader, err);
	if (r < 0) {
		image_layer_close(layer);
		return r;
	}
	layer->tables = source_image_tables(layer->reader);
	layer->data = source_image_data(layer->reader);
	*ret_layer = layer;
	return 0;
}

void image_layer_close(struct image_layer *layer)
{
	if (layer == NULL)
		return;
	source_image.close(layer->reader);
	free(layer->files);
	free(layer->path);
	free(layer);
}

/* --- the merge --- */

static struct layer_file file_describe(const struct image_layer *layer, const struct image_inode *inode, uint64_t reference)
{
	uint32_t block_bytes = layer->tables->super.block_bytes;
	bool tail = inode->fragment != IMAGE_NO_FRAGMENT;
	return (struct layer_file){
		.reference = reference,
		.data_start = tail && inode->bytes < block_bytes ? LAYER_NO_BLOCKS : inode->data_start,
		.fragment = inode->fragment,
		.tail_offset = inode->fragment_offset,
		.tail_bytes = tail ? (uint32_t)(inode->bytes % block_bytes) : 0,
	};
}

/* Remembers the file that the reader handed out last. */
static int file_add(struct image_layer *layer, struct err *err)
{
	uint64_t reference;
	const struct image_inode *inode = source_image_inode(layer->reader, &reference);
	if (layer->file_count == layer->file_room) {
		size_t room = layer->file_room * 2 + 64;
		struct layer_file *files = realloc(layer->files, room * sizeof(*files));
		if (files == NULL)
			return err_memory(layer, err);
		layer->files = files;
		layer->file_room = room;
	}
	layer->files[layer->file_count++] = file_describe(layer, inode, reference);
	return 0;
}

static int entry_take(struct image_layer *layer, struct load *load, const struct source_entry *entry, uint32_t number,
		      struct err *err)
{
	if (number > 0 && image_layer_is_whiteout(entry))
		return tree_remove(load->tree, entry->path, err);
	if (entry->hard_link || !S_ISREG(entry->mode) || entry->bytes == 0)
		return load_deferred(load, entry, number, 0, err);
	int r = file_add(layer, err);
	return r < 0 ? r : load_deferred(load, entry, number, (uint32_t)(layer->file_count - 1), err);
}

int image_layer_merge(struct image_layer *layer, struct load *load, uint32_t number, struct err *err)
{
	struct source_entry entry;
	int r;
	tree_layer_begin(load->tree);
	while ((r = source_image.next(layer->reader, &entry, err)) > 0) {
		r = entry_take(layer, load, &entry, number, err);
		if (r < 0)
			break;
	}
	tree_sweep(load->tree);
	return r;
}

/* --- what is wanted of the layers --- */

struct feeding {
	struct load *load;
	struct image_layer *const *layers;
	struct image_stored **stored; /* by layer; NULL: its data is decompressed */
	size_t layer_count;
	struct layer_want *wants;
	size_t count, room;
};

static int feeding_failed(struct err *err)
{
	return err_sys(err, ENOMEM, "cannot list the files of the layers");
}

static bool is_stored(const struct feeding *feeding, size_t layer)
{
	return writer_takes_stored(feeding->load->target, &feeding->layers[layer]->tables->super);
}

/* Where the file stands among the data: its blocks, or the fragment block that all of it is in. */
static int position_find(const struct feeding *feeding, struct layer_want *want, struct err *err)
{
	struct image_layer *layer = feeding->layers[want->layer];
	const struct layer_file *file = &layer->files[want->entry];
	uint32_t size;
	bool stored = is_stored(feeding, want->layer);
	want->position = stored ? file->reference : file->data_start;
	layer->tables->place = "";
	if (stored || file->data_start != LAYER_NO_BLOCKS)
		return 0;
	return image_fragment_find(layer->tables, file->fragment, &want->position, &size, err);
}

static int want_add(struct feeding *feeding, struct node *node, struct err *err)
{
	struct layer_want want = { .node = node, .layer = node->inode->origin.layer, .entry = node->inode->origin.entry };
	if (want.layer >= feeding->layer_count || want.entry >= feeding->layers[want.layer]->file_count)
		return err_set(err, EINVAL, "a file of layer %u, which is not there", want.layer);
	if (feeding->count == feeding->room) {
		size_t room = feeding->room * 2 + 64;
		struct layer_want *wants = realloc(feeding->wants, room * sizeof(*wants));
		if (wants == NULL)
			return feeding_failed(err);
		feeding->wants = wants;
		feeding->room = room;
	}
	int r = position_find(feeding, &want, err);
	feeding->wants[feeding->count++] = want;
	return r;
}

static int compare_wants(const void *a, const void *b)
{
	const struct layer_want *left = a, *right = b;
	if (left->layer != right->layer)
		return left->layer < right->layer ? -1 : 1;
	if (left->position != right->position)
		return left->position < right->position ? -1 : 1;
	return left->entry < right->entry ? -1 : left->entry > right->entry;
}

/* An inode with several names was found once for each of them. */
static void wants_sort(struct feeding *feeding)
{
	struct layer_want *wants = feeding->wants;
	size_t kept = 0;
	if (feeding->count > 0)
		qsort(wants, feeding->count, sizeof(*wants), compare_wants);
	for (size_t i = 0; i < feeding->count; i++)
		if (kept == 0 || compare_wants(&wants[kept - 1], &wants[i]) != 0)
			wants[kept++] = wants[i];
	feeding->count = kept;
}

static int wants_collect(struct feeding *feeding, struct err *err)
{
	int r = 0;
	for (struct node *d = tree_root(feeding->load->tree); d != NULL && r == 0; d = tree_next_down(d))
		for (struct node *node = d->inode->children; node != NULL && r == 0; node = node->sibling)
			if (S_ISREG(node->inode->mode) && node->inode->deferred)
				r = want_add(feeding, node, err);
	wants_sort(feeding);
	return r;
}

/* The path of a node, written from its end; what is too long for messages and lists loses its beginning. */
static const char *path_make(struct image_layer *layer, const struct node *node)
{
	char *at = layer->path + PATH_BYTES_MAX;
	*at = '\0';
	for (; node->parent != NULL; node = node->parent) {
		size_t bytes = strlen(node->name), slash = *at != '\0';
		if (bytes + slash > (size_t)(at - layer->path))
			break;
		if (slash)
			*--at = '/';
		at -= bytes;
		memcpy(at, node->name, bytes);
	}
	return at;
}

/* The image may have been changed since the merge. */
int layer_want_read(struct image_layer *layer, const struct layer_want *want, struct image_inode *ret_inode, struct err *err)
{
	struct layer_file *file = &layer->files[want->entry];
	layer->tables->place = path_make(layer, want->node);
	int r = image_inode_read(layer->tables, file->reference, ret_inode, err);
	if (r == 0 && !S_ISREG(ret_inode->mode))
		return image_damaged(layer->tables, "a file that changed its type", err);
	if (r == 0)
		*file = file_describe(layer, ret_inode, file->reference);
	return r;
}

void layer_want_done(const struct layer_want *want, struct file *file)
{
	want->node->inode->deferred = false;
	want->node->inode->file = file;
}

/* --- the data --- */

static int piece_read(void *context, struct piece *ret_piece, struct err *err)
{
	return image_data_next(context, ret_piece, err);
}

static int file_feed(struct image_layer *layer, const struct layer_want *want, struct load *load, struct err *err)
{
	struct image_inode inode;
	struct file *file;
	int r = layer_want_read(layer, want, &inode, err);
	if (r < 0)
		return r;
	struct source_entry entry = { .path = layer->tables->place, .bytes = inode.bytes };
	image_data_begin(layer->data, &inode);
	r = load_data(load, &entry, piece_read, layer->data, &file, err);
	if (r == 0)
		layer_want_done(want, file);
	return r;
}

static void layers_show(struct load *load)
{
	progress_update(load->progress, "reading", load->content_bytes, 0, target_bytes(load->target));
}

/* How many wants from this one on are of its layer. */
static size_t layer_wants(const struct feeding *feeding, size_t first)
{
	size_t end = first;
	while (end < feeding->count && feeding->wants[end].layer == feeding->wants[first].layer)
		end++;
	return end - first;
}

/* What can be copied comes first, of all layers, then what has to be compressed. */
static int stored_copy(struct feeding *feeding, struct err *err)
{
	int r = 0;
	for (size_t first = 0, count; first < feeding->count && r == 0; first += count) {
		const struct layer_want *wants = &feeding->wants[first];
		count = layer_wants(feeding, first);
		if (is_stored(feeding, wants->layer))
			r = image_stored_copy(feeding->layers[wants->layer], wants, count, feeding->load,
					      &feeding->stored[wants->layer], err);
	}
	return r;
}

static int layer_feed(struct feeding *feeding, const struct layer_want *wants, size_t count, struct err *err)
{
	struct image_layer *layer = feeding->layers[wants->layer];
	int r = 0;
	if (feeding->stored[wants->layer] != NULL)
		return image_stored_finish(feeding->stored[wants->layer], err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = file_feed(layer, &wants[i], feeding->load, err);
	return r;
}

static int layers_feed(struct feeding *feeding, struct err *err)
{
	int r = 0;
	for (size_t first = 0, count; first < feeding->count && r == 0; first += count) {
		count = layer_wants(feeding, first);
		r = layer_feed(feeding, &feeding->wants[first], count, err);
	}
	return r;
}

int image_layers_feed(struct load *load, struct image_layer *const *layers, size_t count, struct err *err)
{
	struct feeding feeding = { .load = load, .layers = layers, .layer_count = count };
	feeding.stored = calloc(count + 1, sizeof(*feeding.stored));
	if (feeding.stored == NULL)
		return feeding_failed(err);
	load->show = layers_show;
	int r = wants_collect(&feeding, err);
	if (r == 0)
		r = stored_copy(&feeding, err);
	if (r == 0)
		r = layers_feed(&feeding, err);
	for (size_t i = 0; i < count; i++)
		image_stored_free(feeding.stored[i]);
	free(feeding.stored);
	free(feeding.wants);
	return r;
}
