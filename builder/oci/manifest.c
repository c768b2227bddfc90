/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests, indexes and configurations: see manifest.h.
 */
#include "builder/oci/manifest.h"

#include "builder/oci/document.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MEDIA_TYPE_MAX = 128, URLS_MAX = 64, OFFERS_TEXT_MAX = 600 };

#define DOCKER "application/vnd.docker."
#define OCI "application/vnd.oci.image."

static const char ATTESTATION[] = "vnd.docker.reference.type";

/* How a media type is taken. What is refused says what it is. */
struct media_type {
	const char *name;
	const char *refused; /* NULL: taken */
	enum document_kind kind;
};

static const struct media_type document_types[] = {
	{ DOCKER "distribution.manifest.v2+json", NULL, DOCUMENT_MANIFEST },
	{ OCI "manifest.v1+json", NULL, DOCUMENT_MANIFEST },
	{ DOCKER "distribution.manifest.list.v2+json", NULL, DOCUMENT_INDEX },
	{ OCI "index.v1+json", NULL, DOCUMENT_INDEX },
	{ DOCKER "distribution.manifest.v1+json", "an image of Docker's old format, schema 1", DOCUMENT_MANIFEST },
	{ DOCKER "distribution.manifest.v1+prettyjws", "an image of Docker's old format, schema 1", DOCUMENT_MANIFEST },
	{ "application/vnd.oci.artifact.manifest.v1+json", "an artifact, not a container image", DOCUMENT_MANIFEST },
};

static const struct media_type config_types[] = {
	{ .name = DOCKER "container.image.v1+json" },
	{ .name = OCI "config.v1+json" },
	{ .name = "application/octet-stream" }, /* Docker 1.10 */
	{ .name = DOCKER "plugin.v1+json", .refused = "a plugin of Docker" },
	{ .name = "application/vnd.cncf.helm.config.v1+json", .refused = "a Helm chart" },
	{ .name = "application/vnd.sylabs.sif.config.v1+json", .refused = "a SIF file of Singularity or Apptainer" },
	{ .name = "application/vnd.oci.empty.v1+json", .refused = "an artifact" },
	{ .name = "application/vnd.unknown.config.v1+json", .refused = "an artifact" },
	{ .name = "application/vnd.wasm.config.v0+json", .refused = "a WebAssembly module" },
};

static const struct media_type layer_types[] = {
	{ .name = DOCKER "image.rootfs.diff.tar.gzip" },
	{ .name = DOCKER "image.rootfs.diff.tar" },
	{ .name = DOCKER "image.rootfs.diff.tar.zstd" }, /* in no specification, but BuildKit makes them */
	{ .name = DOCKER "image.rootfs.foreign.diff.tar.gzip" },
	{ .name = DOCKER "image.rootfs.foreign.diff.tar" },
	{ .name = OCI "layer.v1.tar" },
	{ .name = OCI "layer.v1.tar+gzip" },
	{ .name = OCI "layer.v1.tar+zstd" },
	{ .name = OCI "layer.nondistributable.v1.tar" },
	{ .name = OCI "layer.nondistributable.v1.tar+gzip" },
	{ .name = OCI "layer.nondistributable.v1.tar+zstd" },
	{ .name = "application/vnd.cncf.helm.chart.content.v1.tar+gzip", .refused = "a Helm chart" },
	{ .name = "application/vnd.sylabs.sif.layer.v1.sif", .refused = "a SIF file of Singularity or Apptainer" },
	{ .name = "application/vnd.sylabs.image.layer.v1.squashfs", .refused = "an OCI-SIF file of Singularity" },
	{ .name = "application/vnd.dev.cosign.simplesigning.v1+json", .refused = "a signature of cosign" },
	{ .name = "application/vnd.in-toto+json", .refused = "an attestation" },
};

#define FIND(table, name) media_type_find(table, sizeof(table) / sizeof((table)[0]), name)

static const struct media_type *media_type_find(const struct media_type *table, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* Base64 of exactly so many bytes. NULL if it is anything else, or without memory. */
static void *base64_decode(const char *text, size_t text_bytes, uint64_t bytes)
{
	size_t padding = (size_t)(3 - bytes % 3) % 3;
	if (text_bytes != (bytes + 2) / 3 * 4 ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != text_bytes - padding ||
	    strspn(text + text_bytes - padding, "=") != padding)
		return NULL;
	unsigned char *data = malloc(text_bytes / 4 * 3 + 1);
	if (data != NULL)
		EVP_DecodeBlock(data, (const unsigned char *)text, (int)text_bytes);
	return data;
}

static int descriptor_data(const struct field *object, struct descriptor *descriptor, struct err *err)
{
	struct field data;
	int r = field_member(object, "data", JSON_STRING, FIELD_OPTIONAL, &data, err);
	if (r <= 0)
		return r;
	descriptor->data = base64_decode(json_string_value(data.value), json_string_length(data.value), descriptor->bytes);
	if (descriptor->data == NULL)
		return field_fail(&data, err, "is not the base64 of %llu bytes", (unsigned long long)descriptor->bytes);
	descriptor->data_bytes = descriptor->bytes;
	return 0;
}

static int descriptor_urls(const struct field *object, struct descriptor *descriptor, struct err *err)
{
	struct field urls, url;
	int r = field_member(object, "urls", JSON_ARRAY, FIELD_OPTIONAL, &urls, err);
	size_t count = r > 0 ? json_array_size(urls.value) : 0;
	if (count > URLS_MAX)
		return field_fail(&urls, err, "has more than %d entries", URLS_MAX);
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = field_item(&urls, i, JSON_STRING, &url, err);
		if (r >= 0 && strlist_add(&descriptor->urls, json_string_value(url.value)) < 0)
			r = err_sys(err, ENOMEM, "cannot read %s", object->document);
	}
	return r < 0 ? r : 0;
}

static int descriptor_digest(const struct field *object, struct digest *ret_digest, struct err *err)
{
	struct field field;
	struct err why = ERR_INIT;
	int r = field_member(object, "digest", JSON_STRING, FIELD_REQUIRED, &field, err);
	if (r < 0)
		return r;
	r = digest_parse(json_string_value(field.value), json_string_length(field.value), ret_digest, &why);
	return r < 0 ? field_fail(&field, err, "cannot be used: %s", why.text) : 0;
}

static int descriptor_fill(const struct field *object, struct descriptor *descriptor, struct err *err)
{
	struct field media_type, size;
	int r = field_member(object, "mediaType", JSON_STRING, FIELD_REQUIRED, &media_type, err);
	if (r >= 0)
		r = descriptor_digest(object, &descriptor->digest, err);
	if (r >= 0)
		r = field_member(object, "size", JSON_INTEGER, FIELD_REQUIRED, &size, err);
	if (r < 0)
		return r;
	if (json_integer_value(size.value) < 0)
		return field_fail(&size, err, "is negative");
	descriptor->bytes = (uint64_t)json_integer_value(size.value);
	descriptor->media_type = strdup(json_string_value(media_type.value));
	if (descriptor->media_type == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", object->document);
	r = descriptor_urls(object, descriptor, err);
	return r < 0 ? r : descriptor_data(object, descriptor, err);
}

static int descriptor_parse(const struct field *object, struct descriptor *ret_descriptor, struct err *err)
{
	struct descriptor descriptor = { 0 };
	int r = descriptor_fill(object, &descriptor, err);
	if (r < 0)
		descriptor_free(&descriptor);
	else
		*ret_descriptor = descriptor;
	return r;
}

static int refuse(const char *name, const struct media_type *type, struct err *err)
{
	err_set(err, ENOTSUP, "%s is that of %s", name, type->refused);
	if (strstr(type->refused, "schema 1") != NULL)
		return err_hint(err, "pull and push it with a current Docker or Skopeo, which converts it");
	return -ENOTSUP;
}

/* What the Content-Type says, without its parameters. NULL if it says nothing: registries send "application/json", "text/plain",
 * … */
static const struct media_type *content_type_find(const char *content_type)
{
	char name[MEDIA_TYPE_MAX];
	size_t bytes = content_type != NULL ? strcspn(content_type, "; \t") : 0;
	if (bytes == 0 || bytes >= sizeof(name))
		return NULL;
	memcpy(name, content_type, bytes);
	name[bytes] = '\0';
	return FIND(document_types, name);
}

static int own_type_find(const struct field *root, const struct media_type **ret_type, struct err *err)
{
	const char *name;
	*ret_type = NULL;
	int r = field_string(root, "mediaType", &name, err);
	if (r < 0 || name == NULL)
		return r;
	*ret_type = FIND(document_types, name);
	if (*ret_type == NULL)
		return err_set(err, ENOTSUP, "%s is of the type '%s', which is no container image", root->document, name);
	return 0;
}

static int schema_check(const struct field *root, struct err *err)
{
	struct field version;
	int r = field_member(root, "schemaVersion", JSON_INTEGER, FIELD_OPTIONAL, &version, err);
	if (r < 0)
		return r;
	json_int_t number = r > 0 ? json_integer_value(version.value) : 2;
	if (number == 1)
		return refuse(root->document, FIND(document_types, DOCKER "distribution.manifest.v1+json"), err);
	return number == 2 ? 0 : field_fail(&version, err, "is %lld, not 2", (long long)number);
}

/* A document that can be read in two ways may be checked as the one and used as the other (CVE-2021-41190). */
static int shape_check(const struct field *root, const struct media_type *type, enum document_kind *ret_kind, struct err *err)
{
	bool index = field_has(root, "manifests"), manifest = field_has(root, "layers") || field_has(root, "config");
	if ((index && manifest) || ((index || manifest) && field_has(root, "fsLayers")))
		return err_set(err, EBADMSG, "%s is ambiguous: it has members of an index and of a manifest", root->document);
	if (!index && !manifest)
		return err_set(err, EBADMSG, "%s is no manifest: it has neither 'layers' nor 'manifests'", root->document);
	enum document_kind kind = index ? DOCUMENT_INDEX : DOCUMENT_MANIFEST;
	if (type != NULL && type->kind != kind)
		return err_set(err, EBADMSG, "%s is of the type '%s', but has the members of %s", root->document, type->name,
			       index ? "an index" : "a manifest");
	*ret_kind = kind;
	return 0;
}

static int kind_find(const struct field *root, const char *content_type, enum document_kind *ret_kind, struct err *err)
{
	const struct media_type *own, *came = content_type_find(content_type);
	int r = own_type_find(root, &own, err);
	if (r < 0)
		return r;
	if (own != NULL && came != NULL && own->kind != came->kind)
		return err_set(err, EBADMSG, "%s came as '%s', but is of the type '%s'", root->document, came->name, own->name);
	const struct media_type *type = own != NULL ? own : came;
	if (type != NULL && type->refused != NULL)
		return refuse(root->document, type, err);
	r = schema_check(root, err);
	return r < 0 ? r : shape_check(root, type, ret_kind, err);
}

int document_kind(const char *text, size_t bytes, const char *content_type, const char *name, enum document_kind *ret_kind,
		  struct err *err)
{
	autoroot struct field root = { 0 };
	int r = document_parse(text, bytes, MANIFEST_BYTES_MAX, name, JSON_OBJECT, &root, err);
	return r < 0 ? r : kind_find(&root, content_type, ret_kind, err);
}

/* The choice among the entries of an index. */
struct choice {
	const struct platform *wanted;
	int rank;                   /* of the best entry so far, -1 if there is none */
	struct field best, bare;    /* bare: the last entry without a platform */
	size_t bare_count;
	char offers[OFFERS_TEXT_MAX]; /* for the message: "linux/amd64, linux/arm64/v8" */
};

static void offer_add(struct choice *choice, const char *offer)
{
	char *end = choice->offers + strlen(choice->offers);
	size_t room = (size_t)(choice->offers + sizeof(choice->offers) - end);
	if (strlen(offer) + 8 < room)
		sprintf(end, "%s%s", end == choice->offers ? "" : ", ", offer);
	else if (room > 5 && strcmp(end - 3, "...") != 0)
		strcpy(end, ", ...");
}

/* Whether the entry is an image at all: BuildKit puts attestations beside them, others put signatures and artifacts. */
static int entry_is_image(const struct field *entry, struct err *err)
{
	struct field annotations;
	const char *media_type;
	int r = field_string(entry, "mediaType", &media_type, err);
	if (r >= 0)
		r = field_member(entry, "annotations", JSON_OBJECT, FIELD_OPTIONAL, &annotations, err);
	if (r < 0)
		return r;
	const struct media_type *type = media_type != NULL ? FIND(document_types, media_type) : NULL;
	return type != NULL && type->refused == NULL && (r == 0 || !field_has(&annotations, ATTESTATION));
}

/* 1 if the entry names a platform, which is a real one. */
static int entry_platform(const struct field *entry, struct platform *ret_platform, struct err *err)
{
	struct field platform;
	int r = field_member(entry, "platform", JSON_OBJECT, FIELD_OPTIONAL, &platform, err);
	if (r <= 0)
		return r;
	r = field_string(&platform, "os", &ret_platform->os, err);
	if (r >= 0)
		r = field_string(&platform, "architecture", &ret_platform->architecture, err);
	if (r >= 0)
		r = field_string(&platform, "variant", &ret_platform->variant, err);
	return r < 0 ? r : ret_platform->os != NULL || ret_platform->architecture != NULL;
}

static bool is_unknown(const struct platform *platform)
{
	return (platform->os != NULL && strcmp(platform->os, "unknown") == 0) ||
	       (platform->architecture != NULL && strcmp(platform->architecture, "unknown") == 0);
}

static int entry_consider(struct choice *choice, const struct field *entry, struct err *err)
{
	struct platform offered = { 0 };
	char text[PLATFORM_TEXT_MAX];
	int r = entry_is_image(entry, err);
	if (r <= 0)
		return r;
	r = entry_platform(entry, &offered, err);
	if (r < 0 || is_unknown(&offered))
		return r < 0 ? r : 0;
	if (r == 0) {
		choice->bare = *entry;
		choice->bare_count++;
		return 0;
	}
	offer_add(choice, platform_format(&offered, text));
	int rank = platform_rank(choice->wanted, &offered);
	if (rank >= 0 && (choice->rank < 0 || rank < choice->rank)) {
		choice->rank = rank;
		choice->best = *entry;
	}
	return 0;
}

static int choice_fail(const struct choice *choice, const char *name, struct err *err)
{
	char wanted[PLATFORM_TEXT_MAX];
	platform_format(choice->wanted, wanted);
	if (choice->offers[0] != '\0') {
		err_set(err, ENOENT, "%s has no image for %s, only for %s", name, wanted, choice->offers);
		return err_hint(err, "--arch chooses another one");
	}
	if (choice->bare_count > 1)
		return err_set(err, ENOENT, "%s lists %zu images and does not say which is for %s", name, choice->bare_count,
			       wanted);
	return err_set(err, ENOENT, "%s lists no container image", name);
}

static int entries_choose(const struct field *root, struct choice *choice, struct descriptor *ret_chosen, struct err *err)
{
	struct field entries, entry;
	int r = field_member(root, "manifests", JSON_ARRAY, FIELD_REQUIRED, &entries, err);
	size_t count = r > 0 ? json_array_size(entries.value) : 0;
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = field_item(&entries, i, JSON_OBJECT, &entry, err);
		if (r >= 0)
			r = entry_consider(choice, &entry, err);
	}
	if (r < 0)
		return r;
	if (choice->rank >= 0)
		return descriptor_parse(&choice->best, ret_chosen, err);
	if (choice->bare_count == 1 && choice->offers[0] == '\0')
		return descriptor_parse(&choice->bare, ret_chosen, err);
	return choice_fail(choice, root->document, err);
}

int index_choose(const char *text, size_t bytes, const struct platform *platform, const char *name, struct descriptor *ret_chosen,
		 struct err *err)
{
	autoroot struct field root = { 0 };
	struct choice choice = { .wanted = platform, .rank = -1 };
	int r = document_parse(text, bytes, MANIFEST_BYTES_MAX, name, JSON_OBJECT, &root, err);
	return r < 0 ? r : entries_choose(&root, &choice, ret_chosen, err);
}

static int artifact_refuse(const char *name, const char *what, const char *type, struct err *err)
{
	return err_set(err, ENOTSUP, "%s is that of %s, not of a container image: it has the type '%s'", name, what, type);
}

static int config_check(const struct field *root, const struct descriptor *config, struct err *err)
{
	const char *artifact;
	const struct media_type *type = FIND(config_types, config->media_type);
	if (type != NULL && type->refused == NULL)
		return 0;
	int r = field_string(root, "artifactType", &artifact, err);
	if (r < 0)
		return r;
	return artifact_refuse(root->document, type != NULL ? type->refused : "an artifact",
			       artifact != NULL ? artifact : config->media_type, err);
}

static int layer_check(const struct field *at, const struct descriptor *layer, struct err *err)
{
	const struct media_type *type = FIND(layer_types, layer->media_type);
	if (type != NULL && type->refused == NULL)
		return 0;
	if (type != NULL)
		return artifact_refuse(at->document, type->refused, layer->media_type, err);
	size_t bytes = strlen(layer->media_type), suffix = strlen("+encrypted");
	if (bytes > suffix && strcmp(layer->media_type + bytes - suffix, "+encrypted") == 0)
		return err_set(err, ENOTSUP, "%s: '%s' is encrypted", at->document, at->path);
	return err_set(err, ENOTSUP, "%s: '%s' is of the type '%s', which is no layer of a container image", at->document, at->path,
		       layer->media_type);
}

static int layers_parse(const struct field *root, struct manifest *manifest, struct err *err)
{
	struct field layers, layer;
	uint64_t total = 0;
	int r = field_member(root, "layers", JSON_ARRAY, FIELD_REQUIRED, &layers, err);
	if (r < 0)
		return r;
	size_t count = json_array_size(layers.value);
	if (count > LAYERS_MAX)
		return field_fail(&layers, err, "has %zu entries, more than %d", count, LAYERS_MAX);
	manifest->layers = calloc(count + 1, sizeof(*manifest->layers));
	if (manifest->layers == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", root->document);
	for (size_t i = 0; i < count; i++) {
		struct descriptor *to = &manifest->layers[i];
		r = field_item(&layers, i, JSON_OBJECT, &layer, err);
		if (r < 0 || (r = descriptor_parse(&layer, to, err)) < 0)
			return r;
		manifest->layer_count++;
		if ((r = layer_check(&layer, to, err)) < 0)
			return r;
		total += to->bytes; /* each is below 2^63, and so the sum before was */
		if (total > INT64_MAX)
			return field_fail(&layers, err, "has sizes whose sum is out of range");
	}
	return 0;
}

static int manifest_fill(const struct field *root, struct manifest *manifest, struct err *err)
{
	struct field config;
	int r = field_member(root, "config", JSON_OBJECT, FIELD_REQUIRED, &config, err);
	if (r >= 0)
		r = descriptor_parse(&config, &manifest->config, err);
	if (r >= 0)
		r = config_check(root, &manifest->config, err);
	return r < 0 ? r : layers_parse(root, manifest, err);
}

int manifest_parse(const char *text, size_t bytes, const char *name, struct manifest *ret_manifest, struct err *err)
{
	autoroot struct field root = { 0 };
	struct manifest manifest = { 0 };
	int r = document_parse(text, bytes, MANIFEST_BYTES_MAX, name, JSON_OBJECT, &root, err);
	if (r < 0)
		return r;
	r = manifest_fill(&root, &manifest, err);
	if (r < 0)
		manifest_free(&manifest);
	else
		*ret_manifest = manifest;
	return r;
}

static int string_copy(const struct field *object, const char *key, char **ret_text, struct err *err)
{
	const char *text;
	int r = field_string(object, key, &text, err);
	if (r < 0 || text == NULL)
		return r;
	*ret_text = strdup(text);
	return *ret_text != NULL ? 0 : err_sys(err, ENOMEM, "cannot read %s", object->document);
}

static int diff_ids_read(const struct field *array, size_t layer_count, struct image_config *config, struct err *err)
{
	size_t count = array->value != NULL ? json_array_size(array->value) : 0;
	if (count != layer_count)
		return field_fail(array, err, "has %zu entries, but the manifest has %zu layers", count, layer_count);
	config->diff_ids = calloc(count + 1, sizeof(*config->diff_ids));
	if (config->diff_ids == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", array->document);
	for (size_t i = 0; i < count; i++) {
		struct field item;
		struct err why = ERR_INIT;
		int r = field_item(array, i, JSON_STRING, &item, err);
		if (r < 0)
			return r;
		if (digest_parse(json_string_value(item.value), json_string_length(item.value), &config->diff_ids[i], &why) < 0)
			return field_fail(&item, err, "cannot be used: %s", why.text);
		config->diff_id_count++;
	}
	return 0;
}

static int rootfs_read(const struct field *root, size_t layer_count, struct image_config *config, struct err *err)
{
	struct field rootfs, diff_ids = { .value = NULL, .document = root->document, .path = "rootfs.diff_ids" };
	const char *type = NULL;
	int r = field_member(root, "rootfs", JSON_OBJECT, layer_count > 0 ? FIELD_REQUIRED : FIELD_OPTIONAL, &rootfs, err);
	if (r > 0)
		r = field_string(&rootfs, "type", &type, err);
	if (r >= 0 && rootfs.value != NULL)
		r = field_member(&rootfs, "diff_ids", JSON_ARRAY, FIELD_OPTIONAL, &diff_ids, err);
	if (r < 0)
		return r;
	if (type != NULL && strcmp(type, "layers") != 0)
		return field_fail(&rootfs, err, "is of the type '%s', not 'layers'", type);
	return diff_ids_read(&diff_ids, layer_count, config, err);
}

static int image_config_fill(const struct field *root, size_t layer_count, struct image_config *config, struct err *err)
{
	int r = string_copy(root, "os", &config->os, err);
	if (r >= 0)
		r = string_copy(root, "architecture", &config->architecture, err);
	if (r >= 0)
		r = string_copy(root, "variant", &config->variant, err);
	if (r >= 0)
		r = string_copy(root, "created", &config->created, err);
	return r < 0 ? r : rootfs_read(root, layer_count, config, err);
}

int image_config_parse(const char *text, size_t bytes, size_t layer_count, const char *name, struct image_config *ret_config,
		       struct err *err)
{
	autoroot struct field root = { 0 };
	struct image_config config = { 0 };
	int r = document_parse(text, bytes, CONFIG_BYTES_MAX, name, JSON_OBJECT, &root, err);
	if (r < 0)
		return r;
	r = image_config_fill(&root, layer_count, &config, err);
	if (r >= 0 && (config.text = malloc(bytes + 1)) == NULL)
		r = err_sys(err, ENOMEM, "cannot read %s", name);
	if (r < 0) {
		image_config_free(&config);
		return r;
	}
	memcpy(config.text, text, bytes);
	config.text[bytes] = '\0';
	config.bytes = bytes;
	*ret_config = config;
	return 0;
}

void descriptor_free(struct descriptor *descriptor)
{
	free(descriptor->media_type);
	free(descriptor->data);
	strlist_free(&descriptor->urls);
	*descriptor = (struct descriptor){ 0 };
}

void manifest_free(struct manifest *manifest)
{
	descriptor_free(&manifest->config);
	for (size_t i = 0; i < manifest->layer_count; i++)
		descriptor_free(&manifest->layers[i]);
	free(manifest->layers);
	*manifest = (struct manifest){ 0 };
}

void image_config_free(struct image_config *config)
{
	free(config->text);
	free(config->diff_ids);
	free(config->os);
	free(config->architecture);
	free(config->variant);
	free(config->created);
	*config = (struct image_config){ 0 };
}
