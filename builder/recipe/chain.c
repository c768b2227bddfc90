/* SPDX-License-Identifier: Apache-2.0
 *
 * See chain.h.
 */
#include "builder/recipe/chain.h"

#include "builder/image_layer.h"
#include "builder/image_reader.h"
#include "builder/load.h"
#include "builder/tree.h"
#include "lib/err.h"
#include "lib/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void chain_add(struct chain *chain, int fd, const char *name, bool trusted)
{
	if (chain->count < CHAIN_MAX)
		chain->links[chain->count++] = (struct chain_link){ .fd = fd, .name = name, .trusted = trusted };
}

int chain_merge(struct chain *chain, struct load *load, struct err *err)
{
	for (size_t i = 0; i < chain->count; i++) {
		struct chain_link *link = &chain->links[i];
		int r = image_layer_open(link->fd, link->name, link->trusted, &link->layer, err);
		if (r == 0)
			r = image_layer_merge(link->layer, load, (uint32_t)i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int link_read(const struct chain_link *link, const char *path, size_t bytes_max, char **ret_text, size_t *ret_bytes,
		     struct err *err)
{
	struct image image;
	struct image_reader *reader = NULL;
	int r = image_identify(link->fd, link->name, &image, err);
	if (r == 0 && image.format == IMAGE_SIF)
		r = image_sif_partition(link->fd, link->name, &image, err);
	if (r == 0)
		r = image_check(link->fd, link->name, &image, err);
	if (r == 0)
		r = image_reader_open(link->fd, link->name, &image, &reader, err);
	if (r == 0)
		r = image_reader_file(reader, path, bytes_max, ret_text, ret_bytes, err);
	image_reader_free(reader);
	return r == -ENOENT ? 0 : r;
}

int chain_read(const struct chain *chain, const struct load *load, const char *path, size_t bytes_max, char **ret_text,
	       size_t *ret_bytes, struct err *err)
{
	const struct node *node = tree_find(load->tree, path);
	*ret_text = NULL;
	*ret_bytes = 0;
	if (node == NULL || !S_ISREG(node->inode->mode))
		return 0;
	if (node->inode->deferred)
		return link_read(&chain->links[node->inode->origin.layer], path, bytes_max, ret_text, ret_bytes, err);
	*ret_text = strdup(""); /* an empty file has no origin */
	return *ret_text == NULL ? err_sys(err, ENOMEM, "cannot read '/%s'", path) : 0;
}

int chain_feed(struct chain *chain, struct load *load, struct err *err)
{
	struct image_layer *layers[CHAIN_MAX];
	for (size_t i = 0; i < chain->count; i++)
		layers[i] = chain->links[i].layer;
	return image_layers_feed(load, layers, chain->count, err);
}

void chain_close(struct chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		image_layer_close(chain->links[i].layer);
		chain->links[i].layer = NULL;
	}
}
