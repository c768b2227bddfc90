/* SPDX-License-Identifier: Apache-2.0
 *
 * What "docker save" and "podman save" write, "docker-archive:FILE[:TAG]": manifest.json names a configuration and layers for each
 * image. TAG is one of the image's names, or "sha256:" and the image's number. There are no digests of the layers, only those of
 * their decompressed streams, in the configuration. Since version 25 Docker writes an OCI layout into the same archive.
 * Source: Docker, "Docker Image Specification v1.2", "Combined Image JSON + Filesystem Changeset Format".
 */
#include "builder/oci/container_store.h"
#include "builder/oci/document.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_TEXT_MAX = 400, WHERE_TEXT_MAX = 512, MAGIC_BYTES = 4 };

static const char BLOBS[] = "blobs/", CONFIG_TYPE[] = "application/vnd.docker.container.image.v1+json";
static const char TAR_TYPE[] = "application/vnd.docker.image.rootfs.diff.tar";

/* The image of manifest.json that the tag means. */
struct selection {
	const char *tag; /* NULL: none was given */
	struct field image;
	size_t count;    /* how many match */
	char names[NAMES_TEXT_MAX]; /* of all images, for messages */
};

static void names_add(struct selection *selection, const char *name)
{
	size_t used = strlen(selection->names);
	if (used + strlen(name) + 3 < sizeof(selection->names))
		sprintf(selection->names + used, "%s%s", used > 0 ? ", " : "", name);
}

/* The digest that a path "blobs/sha256/HEX" says. */
static bool path_digest(const char *path, struct digest *ret_digest)
{
	char text[DIGEST_TEXT_MAX];
	if (strncmp(path, BLOBS, strlen(BLOBS)) != 0 || strlen(path) - strlen(BLOBS) >= sizeof(text))
		return false;
	strcpy(text, path + strlen(BLOBS));
	char *slash = strchr(text, '/');
	if (slash == NULL)
		return false;
	*slash = ':';
	return digest_parse(text, strlen(text), ret_digest, NULL) == 0;
}

/* "sha256:HEX", for a configuration at "HEX.json" or "blobs/sha256/HEX". */
static bool number_matches(const char *config, const char *tag)
{
	struct digest number;
	if (digest_parse(tag, strlen(tag), &number, NULL) < 0)
		return false;
	const char *hex = digest_hex(&number), *slash = strrchr(config, '/');
	const char *name = slash != NULL ? slash + 1 : config;
	return strncmp(name, hex, strlen(hex)) == 0 && (name[strlen(hex)] == '\0' || strcmp(name + strlen(hex), ".json") == 0);
}

static int image_matches(struct selection *selection, const struct field *image, struct err *err)
{
	struct field config, tags, tag;
	int r = field_member(image, "Config", JSON_STRING, FIELD_REQUIRED, &config, err);
	if (r >= 0)
		r = field_member(image, "RepoTags", JSON_ARRAY, FIELD_OPTIONAL, &tags, err);
	if (r < 0)
		return r;
	bool matches = selection->tag == NULL || number_matches(json_string_value(config.value), selection->tag);
	for (size_t i = 0; i < json_array_size(tags.value); i++) {
		r = field_item(&tags, i, JSON_STRING, &tag, err);
		if (r < 0)
			return r;
		names_add(selection, json_string_value(tag.value));
		if (selection->tag != NULL && container_store_tag_equal(json_string_value(tag.value), selection->tag))
			matches = true;
	}
	if (json_array_size(tags.value) == 0)
		names_add(selection, json_string_value(config.value));
	return matches;
}

static int selection_fill(struct selection *selection, const struct field *root, struct err *err)
{
	for (size_t i = 0; i < json_array_size(root->value); i++) {
		struct field image;
		int r = field_item(root, i, JSON_OBJECT, &image, err);
		if (r >= 0)
			r = image_matches(selection, &image, err);
		if (r < 0)
			return r;
		if (r > 0 && selection->count++ == 0)
			selection->image = image;
	}
	return 0;
}

static int selection_check(const struct selection *selection, const struct store *store, struct err *err)
{
	if (selection->count == 1)
		return 0;
	if (selection->names[0] == '\0')
		return err_set(err, ENOENT, "'%s' holds no image", store->name);
	if (selection->count == 0) {
		err_set(err, ENOENT, "'%s' holds no image called '%s'", store->name, selection->tag);
		return err_hint(err, "there is: %s", selection->names);
	}
	err_set(err, EINVAL, "'%s' holds several images", store->name);
	return err_hint(err, "add one of them after a colon: %s", selection->names);
}

/* A layer as it stands in the archive: one that is not compressed has the digest of its stream. */
static int layer_describe(struct store *store, const char *path, const struct digest *diff_id, struct descriptor *layer,
			  struct err *err)
{
	static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	unsigned char magic[MAGIC_BYTES] = { 0 };
	struct extent extent;
	int r = store_open(store, path, &extent, err);
	if (r <= 0)
		return r < 0 ? r : err_set(err, ENOENT, "'%s' is incomplete: there is no '%s'", store->name, path);
	ssize_t n = pread(extent.fd, magic, extent.bytes < sizeof(magic) ? extent.bytes : sizeof(magic), (off_t)extent.offset);
	close(extent.fd);
	if (n < 0)
		return err_sys(err, errno, "cannot read '%s' in '%s'", path, store->name);
	bool is_gzip = memcmp(magic, gzip, sizeof(gzip)) == 0, is_zstd = memcmp(magic, zstd, sizeof(zstd)) == 0;
	const char *suffix = is_gzip ? ".gzip" : is_zstd ? ".zstd" : "";
	if (!path_digest(path, &layer->digest) && suffix[0] == '\0')
		layer->digest = *diff_id;
	layer->bytes = extent.bytes;
	if (asprintf(&layer->media_type, "%s%s", TAR_TYPE, suffix) < 0) {
		layer->media_type = NULL;
		return err_sys(err, ENOMEM, "cannot read '%s'", store->name);
	}
	return 0;
}

static int layers_describe(struct container_store *stored, struct err *err)
{
	struct container *container = &stored->container;
	size_t count = stored->layer_paths.count;
	container->manifest.layers = calloc(count + 1, sizeof(*container->manifest.layers));
	if (container->manifest.layers == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", stored->store->name);
	container->manifest.layer_count = count;
	for (size_t i = 0; i < count; i++) {
		int r = layer_describe(stored->store, stored->layer_paths.items[i], &container->config.diff_ids[i],
				       &container->manifest.layers[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int layer_paths_read(struct container_store *stored, const struct field *image, struct err *err)
{
	struct field layers, path;
	int r = field_member(image, "Layers", JSON_ARRAY, FIELD_OPTIONAL, &layers, err);
	size_t count = r > 0 ? json_array_size(layers.value) : 0;
	if (count > LAYERS_MAX)
		return field_fail(&layers, err, "has %zu entries, more than %d", count, LAYERS_MAX);
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = field_item(&layers, i, JSON_STRING, &path, err);
		if (r >= 0 && strlist_add(&stored->layer_paths, json_string_value(path.value)) < 0)
			r = err_sys(err, ENOMEM, "cannot read %s", image->document);
	}
	return r < 0 ? r : 0;
}

/* Reads the configuration, which becomes the image's only digest. */
static int config_read(struct container_store *stored, const char *path, struct err *err)
{
	struct container *container = &stored->container;
	struct descriptor *descriptor = &container->manifest.config;
	struct digest named;
	autofree char *text = NULL;
	char where[WHERE_TEXT_MAX];
	size_t bytes;
	int r = store_read(stored->store, path, CONFIG_BYTES_MAX, &text, &bytes, err);
	if (r <= 0)
		return r < 0 ? r : err_set(err, ENOENT, "'%s' is incomplete: there is no '%s'", stored->store->name, path);
	snprintf(where, sizeof(where), "the configuration '%s' in '%s'", path, stored->store->name);
	digest_of(text, bytes, &descriptor->digest);
	if (path_digest(path, &named) && strcmp(digest_algorithm(&named), "sha256") == 0 &&
	    !digest_equal(&named, &descriptor->digest))
		return err_set(err, EBADMSG, "%s is damaged: its digest is %s", where, descriptor->digest.text);
	descriptor->bytes = bytes;
	descriptor->media_type = strdup(CONFIG_TYPE);
	if (descriptor->media_type == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", where);
	container->digest = descriptor->digest;
	return image_config_parse(text, bytes, stored->layer_paths.count, where, &container->config, err);
}

static int image_read(struct container_store *stored, const struct field *image, const struct container_options *options,
		      struct err *err)
{
	struct field config;
	int r = field_member(image, "Config", JSON_STRING, FIELD_REQUIRED, &config, err);
	if (r >= 0)
		r = layer_paths_read(stored, image, err);
	if (r >= 0)
		r = config_read(stored, json_string_value(config.value), err);
	if (r >= 0)
		r = container_platform_check(&stored->container, options, err);
	return r < 0 ? r : layers_describe(stored, err);
}

static bool is_there(struct store *store, const char *path)
{
	struct extent extent;
	if (store_open(store, path, &extent, NULL) <= 0)
		return false;
	close(extent.fd);
	return true;
}

static int manifest_missing(struct store *store, struct err *err)
{
	err_set(err, EBADMSG, "'%s' is no archive of Docker: there is no 'manifest.json' in it", store->name);
	if (is_there(store, "oci-layout"))
		return err_hint(err, "it holds an OCI layout: oci-archive:%s", store->name);
	if (is_there(store, "repositories")) {
		err_set(err, ENOTSUP, "'%s' was saved by a Docker before 1.10: there is no 'manifest.json' in it", store->name);
		return err_hint(err, "load it into a current Docker or Podman, and save it again");
	}
	return -EBADMSG;
}

static int archive_fill(struct container_store *stored, const char *tag, const struct container_options *options, struct err *err)
{
	struct store *store = stored->store;
	autofree char *text = NULL;
	char where[WHERE_TEXT_MAX];
	size_t bytes;
	autoroot struct field root = { 0 };
	int r = store_read(store, "manifest.json", MANIFEST_BYTES_MAX, &text, &bytes, err);
	if (r <= 0)
		return r < 0 ? r : manifest_missing(store, err);
	snprintf(where, sizeof(where), "'manifest.json' in '%s'", store->name);
	r = document_parse(text, bytes, MANIFEST_BYTES_MAX, where, JSON_ARRAY, &root, err);
	if (r < 0)
		return r;
	struct selection selection = { .tag = tag };
	r = selection_fill(&selection, &root, err);
	if (r == 0)
		r = selection_check(&selection, store, err);
	return r < 0 ? r : image_read(stored, &selection.image, options, err);
}

static int archive_open(const char *rest, const struct container_options *options, struct container **ret_container,
			struct err *err)
{
	autofree char *path = NULL;
	const char *tag;
	struct store *store;
	int r = container_store_split(rest, &path, &tag, err);
	if (r == 0)
		r = store_tar_open(path, options, &store, err);
	return r < 0 ? r : container_store_make(&container_docker_archive, store, tag, archive_fill, options, ret_container, err);
}

const struct container_kind container_docker_archive = {
	.scheme = "docker-archive",
	.open = archive_open,
	.layer_open = container_store_layer_open,
	.layer_discard = container_store_layer_discard,
	.progress = container_store_progress,
	.close = container_store_close,
};
