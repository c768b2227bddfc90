/* SPDX-License-Identifier: Apache-2.0
 *
 * What an image says about itself, in files of its own: /.simg/build.json, the record of how it was built; for container images
 * also /.simg/config.json, the OCI configuration as it was stored, and the layout of Singularity (singularity.h). Nothing in them
 * depends on when, where or by whom the image is built. simg-build(1) documents the record.
 */
#ifndef SIMG_BUILDER_IMAGE_METADATA_H
#define SIMG_BUILDER_IMAGE_METADATA_H

#include <jansson.h>
#include <stdbool.h>

struct container;
struct digest;
struct err;
struct load;
struct writer_options;

#define IMAGE_RECORD_PATH ".simg/build.json"

/* The records of the images that an image was made of, the oldest one first: /.simg/base-0.json, base-1.json, … */
#define IMAGE_BASE_PREFIX ".simg/base-"
#define IMAGE_BASE_SUFFIX ".json"

struct image_record {
	const struct container *container;   /* NULL: the source is no container image */
	const char *source_kind;             /* else what it is: "directory", "tarball", "image" */
	const char *source_name;             /* and its name, if the image is to depend on it; NULL: it is left out */
	const struct digest *source_digest;  /* of its content; NULL: unknown */
	const struct writer_options *writer; /* checked ones; NULL: the files go into a sandbox */
	bool mount_points;                   /* they were added */
	json_t *details;                     /* an object whose members are the record's, too; NULL: none */
};

/* Adds the files to a tree that is otherwise complete; no entry of a source may follow. A record that the source brought along,
 * since it was made of an image of ours, is kept as the newest base. Refuses a configuration that no launch would take. */
int image_metadata_add(struct load *load, const struct image_record *record, struct err *err);

#endif
