/* SPDX-License-Identifier: Apache-2.0
 *
 * See image_metadata.h.
 */
#include "builder/image_metadata.h"

#include "config.h"

#include "builder/addition.h"
#include "builder/load.h"
#include "builder/oci/container.h"
#include "builder/run_config.h"
#include "builder/singularity.h"
#include "builder/writer.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/image_config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SCHEMA = 1 };

static void put(json_t *object, const char *key, const char *text)
{
	autofree char *printable = text != NULL && text[0] != '\0' ? addition_printable(text) : NULL;
	if (printable != NULL)
		json_object_set_new(object, key, json_string(printable));
}

static json_t *platform_describe(const struct image_config *config)
{
	json_t *platform = json_object();
	put(platform, "os", config->os);
	put(platform, "architecture", config->architecture);
	put(platform, "variant", config->variant);
	return platform;
}

/* Lowest first. What an archive does not say about a layer is left out. */
static json_t *layers_describe(const struct container *container)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < container->manifest.layer_count; i++) {
		const struct descriptor *descriptor = &container->manifest.layers[i];
		json_t *layer = json_object();
		put(layer, "digest", descriptor->digest.text);
		if (i < container->config.diff_id_count)
			put(layer, "diff_id", container->config.diff_ids[i].text);
		put(layer, "media_type", descriptor->media_type);
		if (descriptor->bytes > 0)
			json_object_set_new(layer, "bytes", json_integer((json_int_t)descriptor->bytes));
		json_array_append_new(layers, layer);
	}
	return layers;
}

/* An archive or a layout without a tag: "oci:". */
static bool is_nameless(const char *source)
{
	return source[0] == '\0' || source[strlen(source) - 1] == ':';
}

static json_t *container_describe(const struct container *container)
{
	json_t *source = json_object();
	put(source, "kind", container->kind->scheme);
	put(source, "name", is_nameless(container->source) ? NULL : container->source);
	put(source, "digest", container->digest.text);
	put(source, "config_digest", container->manifest.config.digest.text);
	json_object_set_new(source, "platform", platform_describe(&container->config));
	json_object_set_new(source, "layers", layers_describe(container));
	return source;
}

static json_t *source_describe(const struct image_record *record)
{
	if (record->container != NULL)
		return container_describe(record->container);
	json_t *source = json_object();
	put(source, "kind", record->source_kind);
	put(source, "name", record->source_name);
	put(source, "digest", record->source_digest != NULL ? record->source_digest->text : NULL);
	return source;
}

static json_t *squashfs_describe(const struct writer_options *writer)
{
	json_t *squashfs = json_object();
	put(squashfs, "compressor", writer->compressor);
	if (writer->level != LEVEL_DEFAULT)
		json_object_set_new(squashfs, "level", json_integer(writer->level));
	put(squashfs, "library_version", writer_library_version(writer));
	json_object_set_new(squashfs, "block_bytes", json_integer(writer->block_bytes));
	return squashfs;
}

/* base: the number of the record that this one takes the place of, or negative. */
static char *record_format(const struct image_record *record, int base)
{
	char base_path[64];
	json_t *top = json_object();
	json_object_set_new(top, "schema", json_integer(SCHEMA));
	json_object_set_new(top, "builder", json_pack("{ssss}", "name", "simg", "version", PACKAGE_VERSION));
	json_object_set_new(top, "source", source_describe(record));
	if (base >= 0) {
		snprintf(base_path, sizeof(base_path), "/" IMAGE_BASE_PREFIX "%d" IMAGE_BASE_SUFFIX, base);
		put(top, "base", base_path);
	}
	if (record->writer != NULL)
		json_object_set_new(top, "squashfs", squashfs_describe(record->writer));
	json_object_set_new(top, "options", json_pack("{sb}", "mount_points", record->mount_points));
	if (record->details != NULL)
		json_object_update(top, record->details);
	char *text = json_dumps(top, JSON_INDENT(2) | JSON_REAL_PRECISION(6)); /* of a step's seconds */
	json_decref(top);
	return text;
}

static int record_add(struct load *load, const struct image_record *record, struct err *err)
{
	int base = addition_keep(load, IMAGE_RECORD_PATH, IMAGE_BASE_PREFIX, IMAGE_BASE_SUFFIX, err);
	if (base < 0 && base != -ENOENT)
		return base;
	return addition_text(load, IMAGE_RECORD_PATH, 0644, record_format(record, base), err);
}

static int container_add(struct load *load, const struct container *container, struct err *err)
{
	struct run_config config;
	int r = run_config_parse(container->config.text, container->config.bytes, container->source, &config, err);
	if (r < 0)
		return r;
	load_count_variables(load, &config.env);
	r = load_text(load, IMAGE_CONFIG_PATH, 0644, container->config.text, container->config.bytes, err);
	if (r == 0)
		r = singularity_add(load, container, &config, err);
	run_config_free(&config);
	return r;
}

int image_metadata_add(struct load *load, const struct image_record *record, struct err *err)
{
	int r = addition_directory(load, ".simg", err);
	if (r == 0 && record->container != NULL)
		r = container_add(load, record->container, err);
	return r < 0 ? r : record_add(load, record, err);
}
