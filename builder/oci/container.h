/* SPDX-License-Identifier: Apache-2.0
 *
 * A container image where it lies: in a registry, in an OCI layout, in an archive. Opening finds manifest and configuration,
 * compares their digests, and chooses the platform. The layers' bytes come as blobs.
 */
#ifndef SIMG_BUILDER_OCI_CONTAINER_H
#define SIMG_BUILDER_OCI_CONTAINER_H

#include "builder/oci/blob.h"
#include "builder/oci/manifest.h"

#include <stdbool.h>

struct cache;
struct err;
struct progress;

struct container_options {
	const char *name;         /* as the user gave it, for messages */
	struct platform platform;
	bool platform_given;      /* by --arch; else a single manifest for another architecture is taken with a note */
	struct cache *cache;      /* where blobs are kept */
	struct progress *progress; /* its line is cleared before a note */
	const char *auth_file;    /* --auth-file, or NULL */
	bool quiet;               /* no notes */
};

struct container {
	const struct container_kind *kind;
	char *source;             /* canonical: "docker://docker.io/library/debian:12", "oci-archive:TAG"; never a credential in it,
				   * and of a file's name and place nothing: the same content is to give the same image */
	struct digest digest;     /* of the manifest. Docker's own archives have none: then that of the configuration */
	struct manifest manifest; /* in an archive of Docker, compressed layers have no digest, only their diff_ids */
	struct image_config config;
};

struct container_kind {
	const char *scheme;       /* "docker", "oci", "oci-archive", "docker-archive" */

	/* rest is what follows "SCHEME:". The caller ends it with container_close(). */
	int (*open)(const char *rest, const struct container_options *options, struct container **ret_container, struct err *err);

	/* The bytes of a layer. Returns at once if they are at hand, or once a download of them has begun. Any thread may call it;
	 * the caller drops the blob with blob_unref(). Blocks while another process downloads the same blob. */
	int (*layer_open)(struct container *container, size_t layer, struct blob **ret_blob, struct err *err);

	/* Nobody wants the layers any more: ends downloads, and has a layer_open() that waits return -ECANCELED within seconds. Any
	 * thread may call it. NULL where nothing waits. */
	void (*cancel)(struct container *container);

	/* The bytes that came from layer_open() were not those that the digest names: forgets the stored copy. Returns whether
	 * another layer_open() can do better. */
	bool (*layer_discard)(struct container *container, size_t layer);

	/* Bytes that had to be fetched so far, and of how many in all. Any thread may call it. */
	void (*progress)(const struct container *container, uint64_t *ret_bytes, uint64_t *ret_total);

	void (*close)(struct container *container); /* frees what the kind added, and container itself with container_release() */
};

extern const struct container_kind container_registry, container_layout, container_oci_archive, container_docker_archive;

/* Frees the members that are listed above, not the struct. For the kinds' close. */
void container_release(struct container *container);

/* Takes NULL. */
void container_close(struct container *container);

/* Follows documents from the first one to one manifest and its configuration: chooses in indexes, compares sizes and digests,
 * checks that manifest and configuration agree. The two callbacks are how the container's kind gets at bytes by descriptor. */
struct document_reader {
	void *context;
	/* Reads all of it, at most bytes_max; the caller frees. Digest and size are compared by container_resolve(). is_blob tells
	 * a registry which of its two addresses to ask: a configuration is a blob, a manifest or an index is not. */
	int (*read)(void *context, const struct descriptor *descriptor, bool is_blob, size_t bytes_max, char **ret_text,
		    size_t *ret_bytes, struct err *err);
};

/* text is the first document, its digest compared already where one was asked for; content_type NULL if unknown. Fills
 * container->manifest and config, and digest, unless that is set already to the one of text and text is a manifest. */
int container_resolve(struct container *container, const struct container_options *options, const char *text, size_t bytes,
		      const char *content_type, const struct document_reader *reader, struct err *err);

/* Compares the configuration's platform with the wanted one, for a container that was not made by container_resolve(). -ENOTSUP for
 * another system than Linux; another architecture is -ENOENT if one was given, else a note. */
int container_platform_check(const struct container *container, const struct container_options *options, struct err *err);

#endif
