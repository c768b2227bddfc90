/* SPDX-License-Identifier: Apache-2.0
 *
 * An image of any bytes as two layers, of which what is stored is copied into an image: an error with a text, or an image whose
 * entries can be read, with tails where it says.
 */
#include "builder/hot.h"
#include "builder/image_layer.h"
#include "builder/load.h"
#include "builder/output.h"
#include "builder/progress.h"
#include "builder/source.h"
#include "builder/target.h"
#include "builder/tree.h"
#include "builder/writer.h"
#include "lib/err.h"
#include "tests/fuzz/memory_file.h"

#include <endian.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { LAYERS = 2, BLOCK_OFFSET = 12, BLOCK_BYTES_MAX = 131072 };
#define CONTENT_MAX_BYTES (64 << 20)

/* The image to be has the input's block size: blocks of any other would not be copied. */
static uint32_t block_bytes(const uint8_t *data, size_t bytes)
{
	uint32_t block = 0;
	if (bytes >= BLOCK_OFFSET + sizeof(block))
		memcpy(&block, data + BLOCK_OFFSET, sizeof(block));
	block = le32toh(block);
	return block >= 4096 && block <= BLOCK_BYTES_MAX && (block & (block - 1)) == 0 ? block : 4096;
}

static int layers_load(struct load *load, int fd, struct err *err)
{
	struct image_layer *layers[LAYERS] = { NULL };
	int r = 0;
	for (int i = 0; i < LAYERS && r == 0; i++) {
		r = image_layer_open(fd, "image", false, &layers[i], err);
		if (r == 0)
			r = image_layer_merge(layers[i], load, (uint32_t)i, err);
	}
	if (r == 0)
		r = image_layers_feed(load, layers, LAYERS, err);
	for (int i = 0; i < LAYERS; i++)
		image_layer_close(layers[i]);
	return r;
}

/* Blocks that are copied may hold anything. */
static void image_reread(struct output *output)
{
	struct err err = ERR_INIT, data_err = ERR_INIT;
	struct source_options options = { .name = "new", .fd = output_fd(output), .quiet = true };
	struct source_entry entry;
	struct piece piece;
	struct reader *reader = NULL;
	int r = ftruncate(options.fd, (off_t)output_bytes(output)) < 0 ? -1 : source_image.open(&options, &reader, &err);
	while (r >= 0 && (r = source_image.next(reader, &entry, &err)) > 0)
		while (!entry.hard_link && S_ISREG(entry.mode) && source_image.read(reader, &piece, &data_err) > 0)
			continue;
	if (r < 0 || strstr(data_err.text, "fragment") != NULL || strstr(data_err.text, "tail") != NULL)
		abort();
	source_image.close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char path[MEMORY_PATH_MAX];
	struct err err = ERR_INIT;
	struct progress progress = { .shown = false };
	struct hot_set hot = { .standard = false };
	struct target_stats stats;
	struct writer_options options = { .compressor = "zstd", .level = 1, .block_bytes = block_bytes(data, bytes), .jobs = 1 };
	struct load load = { .tree = tree_new(), .progress = &progress, .hot = &hot, .content_max_bytes = CONTENT_MAX_BYTES,
			     .time_max = UINT32_MAX };
	struct output *output = NULL;
	if (output_open("new", false, &output, &err) < 0 || writer_open(output, &options, &load.target, &err) < 0)
		abort();
	int fd = memory_file(data, bytes, path);
	int r = layers_load(&load, fd, &err);
	if (r == 0)
		r = target_finish(load.target, load.tree, 0, &stats, &err);
	if (r < 0 && (err.text[0] == '\0' || err.code >= 0))
		abort();
	if (r == 0)
		image_reread(output);
	target_free(load.target);
	tree_free(load.tree);
	output_free(output);
	close(fd);
	return 0;
}
