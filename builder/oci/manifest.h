/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests, indexes and image configurations, Docker's and OCI's: from bytes to structs, with everything checked that a registry
 * or an archive could get wrong. Pure functions; nothing is fetched here. Digests are compared by whoever has fetched the bytes.
 *
 * Source: OCI image specification, manifest.md, image-index.md, config.md; Docker, "Image Manifest Version 2, Schema 2".
 */
#ifndef SIMG_BUILDER_OCI_MANIFEST_H
#define SIMG_BUILDER_OCI_MANIFEST_H

#include "builder/oci/digest.h"
#include "builder/oci/platform.h"
#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	MANIFEST_BYTES_MAX = 4 << 20, /* of a manifest or an index: what registries allow, too */
	CONFIG_BYTES_MAX = 16 << 20,
	LAYERS_MAX = 4096,            /* Docker stops at 127 */
	INDEX_DEPTH_MAX = 4,          /* indexes within indexes */
};

/* A pointer to a blob or to another manifest. */
struct descriptor {
	char *media_type;
	struct digest digest;
	uint64_t bytes;
	struct strlist urls; /* where a foreign layer lies; usually empty */
	void *data;          /* the content itself, if the descriptor embeds it: data_bytes == bytes, digest not compared yet */
	size_t data_bytes;
};

enum document_kind { DOCUMENT_MANIFEST, DOCUMENT_INDEX };

struct manifest {
	struct descriptor config;
	struct descriptor *layers; /* lowest first; all of them are tar, tar+gzip, tar+zstd */
	size_t layer_count;
};

struct image_config {
	char *text;                 /* as it was stored, for the image's metadata */
	size_t bytes;
	struct digest *diff_ids;    /* of the layers' decompressed tar streams */
	size_t diff_id_count;
	char *os, *architecture, *variant, *created; /* NULL where the configuration does not say */
};

/* What a document is: its own "mediaType" tells, else the content_type under which it came (NULL: unknown), else its shape.
 * Refused: schema 1 and artifacts (-ENOTSUP), documents with both "manifests" and "layers" (CVE-2021-41190) and what contradicts
 * its media type (-EBADMSG). Here and below, name is how messages call the document: "the manifest of 'app.tar'". */
int document_kind(const char *text, size_t bytes, const char *content_type, const char *name, enum document_kind *ret_kind,
		  struct err *err);

/* The entry of an index for the platform: the one that platform_rank() finds best, the first of several. Attestations and other
 * entries for no platform are skipped; an entry without a platform is taken only if it is the only one. -ENOENT with what there is
 * if nothing fits. The caller frees with descriptor_free(). */
int index_choose(const char *text, size_t bytes, const struct platform *platform, const char *name, struct descriptor *ret_chosen,
		 struct err *err);

/* Refuses (-ENOTSUP) what is no container image (a Helm chart, an artifact, …) by the media types of config and layers, and says
 * so. The caller frees with manifest_free(). */
int manifest_parse(const char *text, size_t bytes, const char *name, struct manifest *ret_manifest, struct err *err);

/* layer_count: of the manifest; another number of diff_ids is refused. The caller frees with image_config_free(). */
int image_config_parse(const char *text, size_t bytes, size_t layer_count, const char *name, struct image_config *ret_config,
		       struct err *err);

void descriptor_free(struct descriptor *descriptor);
void manifest_free(struct manifest *manifest);
void image_config_free(struct image_config *config);

#endif
