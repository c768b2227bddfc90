/* SPDX-License-Identifier: Apache-2.0
 *
 * From the first document to manifest and configuration: see container.h. Whatever kind of place the bytes come from, they are
 * compared with size and digest here, before anything reads them.
 */
#include "builder/oci/container.h"

#include "builder/progress.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_NAME_MAX = 512 };

/* A document in memory, while the way leads through it. */
struct document {
	char *text;
	size_t bytes;
	char name[DOCUMENT_NAME_MAX]; /* "the manifest sha256:… of 'app.tar'" */
};

static void document_free(struct document *document)
{
	free(document->text);
	document->text = NULL;
}
#define autodocument __attribute__((cleanup(document_free)))

static void document_name(struct document *document, const char *what, const struct digest *digest, const char *source)
{
	snprintf(document->name, sizeof(document->name), "the %s %s%sof '%s'", what, digest != NULL ? digest->text : "",
		 digest != NULL ? " " : "", source);
}

static int document_check(const struct document *document, const struct descriptor *descriptor, struct err *err)
{
	struct digest is = { 0 };
	if (document->bytes != descriptor->bytes)
		return err_set(err, EBADMSG, "%s has %zu bytes, not %llu", document->name, document->bytes,
			       (unsigned long long)descriptor->bytes);
	struct hash *hash = hash_new(&descriptor->digest);
	if (hash != NULL) {
		hash_add(hash, document->text, document->bytes);
		hash_digest(hash, &is);
	}
	hash_free(hash);
	if (!digest_is_set(&is))
		return err_sys(err, ENOMEM, "cannot compute the digest of %s", document->name);
	if (digest_equal(&is, &descriptor->digest))
		return 0;
	return err_set(err, EBADMSG, "%s is damaged: its digest is %s", document->name, is.text);
}

/* Content that a descriptor embeds is taken without asking for it; its digest is compared all the same. */
static int document_fetch(const struct descriptor *descriptor, bool is_blob, size_t bytes_max, const struct document_reader *reader,
			  struct document *document, struct err *err)
{
	if (descriptor->bytes > bytes_max)
		return err_set(err, EBADMSG, "%s is said to have %llu bytes, more than %zu", document->name,
			       (unsigned long long)descriptor->bytes, bytes_max);
	if (descriptor->data == NULL)
		return reader->read(reader->context, descriptor, is_blob, bytes_max, &document->text, &document->bytes, err);
	document->text = malloc(descriptor->data_bytes + 1);
	if (document->text == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", document->name);
	memcpy(document->text, descriptor->data, descriptor->data_bytes);
	document->bytes = descriptor->data_bytes;
	return 0;
}

static int document_get(const struct descriptor *descriptor, bool is_blob, const struct document_reader *reader, const char *source,
			struct document *document, struct err *err)
{
	document_name(document, is_blob ? "configuration" : "manifest", &descriptor->digest, source);
	int r = document_fetch(descriptor, is_blob, is_blob ? CONFIG_BYTES_MAX : MANIFEST_BYTES_MAX, reader, document, err);
	return r < 0 ? r : document_check(document, descriptor, err);
}

int container_platform_check(const struct container *container, const struct container_options *options, struct err *err)
{
	const struct image_config *config = &container->config;
	struct platform is = { config->os != NULL ? config->os : "linux", config->architecture, config->variant };
	char is_text[PLATFORM_TEXT_MAX], wanted_text[PLATFORM_TEXT_MAX];
	platform_format(&is, is_text);
	platform_format(&options->platform, wanted_text);
	if (strcmp(is.os, options->platform.os) != 0)
		return err_set(err, ENOTSUP, "'%s' is for %s, not for %s", options->name, is_text, options->platform.os);
	if (config->architecture == NULL || platform_rank(&options->platform, &is) >= 0)
		return 0;
	if (options->platform_given)
		return err_set(err, ENOENT, "'%s' is for %s, not for %s", options->name, is_text, wanted_text);
	if (!options->quiet) {
		if (options->progress != NULL)
			progress_clear(options->progress);
		log_note("'%s' is for %s, and this machine is %s", options->name, is_text, wanted_text);
	}
	return 0;
}

static int image_read(struct container *container, const struct container_options *options, const struct document *document,
		      const struct document_reader *reader, struct err *err)
{
	autodocument struct document config = { 0 };
	int r = manifest_parse(document->text, document->bytes, document->name, &container->manifest, err);
	if (r == 0)
		r = document_get(&container->manifest.config, true, reader, options->name, &config, err);
	if (r == 0)
		r = image_config_parse(config.text, config.bytes, container->manifest.layer_count, config.name, &container->config,
				       err);
	return r < 0 ? r : container_platform_check(container, options, err);
}

/* Replaces the document, which is an index, by the one that it leads to. */
static int index_follow(struct document *document, const struct container_options *options, const struct document_reader *reader,
			struct descriptor *chosen, struct err *err)
{
	struct document next = { 0 };
	document_name(document, "index", digest_is_set(&chosen->digest) ? &chosen->digest : NULL, options->name);
	descriptor_free(chosen);
	int r = index_choose(document->text, document->bytes, &options->platform, document->name, chosen, err);
	if (r == 0)
		r = document_get(chosen, false, reader, options->name, &next, err);
	document_free(document);
	*document = next;
	return r;
}

static int document_resolve(struct container *container, const struct container_options *options, struct document *document,
			    const char *content_type, const struct document_reader *reader, struct descriptor *chosen,
			    struct err *err)
{
	enum document_kind kind;
	for (int depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		int r = document_kind(document->text, document->bytes, depth == 0 ? content_type : chosen->media_type,
				      document->name, &kind, err);
		if (r < 0)
			return r;
		if (kind == DOCUMENT_MANIFEST) {
			if (depth > 0)
				container->digest = chosen->digest;
			return image_read(container, options, document, reader, err);
		}
		r = index_follow(document, options, reader, chosen, err);
		if (r < 0)
			return r;
	}
	return err_set(err, EBADMSG, "'%s' has more than %d indexes within each other", options->name, INDEX_DEPTH_MAX);
}

int container_resolve(struct container *container, const struct container_options *options, const char *text, size_t bytes,
		      const char *content_type, const struct document_reader *reader, struct err *err)
{
	autodocument struct document document = { .text = malloc(bytes + 1), .bytes = bytes };
	struct descriptor chosen = { 0 };
	document_name(&document, "manifest", NULL, options->name);
	if (document.text == NULL)
		return err_sys(err, ENOMEM, "cannot read %s", document.name);
	memcpy(document.text, text, bytes);
	if (!digest_is_set(&container->digest))
		digest_of(text, bytes, &container->digest);
	int r = document_resolve(container, options, &document, content_type, reader, &chosen, err);
	descriptor_free(&chosen);
	return r;
}

void container_release(struct container *container)
{
	free(container->source);
	container->source = NULL;
	manifest_free(&container->manifest);
	image_config_free(&container->config);
}

void container_close(struct container *container)
{
	if (container != NULL)
		container->kind->close(container);
}
