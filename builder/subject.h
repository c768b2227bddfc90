/* SPDX-License-Identifier: Apache-2.0
 *
 * What somebody wants to know something about: an image of any format or a directory, of which small files are read by path, alike.
 * It may be anybody's; an image has passed image_check().
 */
#ifndef SIMG_BUILDER_SUBJECT_H
#define SIMG_BUILDER_SUBJECT_H

#include "lib/image.h"
#include "lib/image_config.h"

#include <jansson.h>
#include <stddef.h>

struct err;
struct image_reader;
struct packages;
struct strlist;

enum {
	SUBJECT_FILE_BYTES_MAX = IMAGE_CONFIG_BYTES_MAX, /* of a file of metadata */
	SUBJECT_NAMES_MAX = 100000, /* in a directory that is listed */
};

#define SUBJECT_RUNSCRIPT ".singularity.d/runscript"
#define SUBJECT_RECIPE ".singularity.d/Singularity"
#define SUBJECT_LABELS ".singularity.d/labels.json"

struct subject {
	const char *path;            /* as the user gave it */
	int fd;
	struct image image;
	struct image_reader *reader; /* NULL: a directory, or an image that libsquashfs cannot read */
};
#define SUBJECT_INIT { .fd = -1 }

/* Opens what is at path, which must outlive the subject. Returns 1 with the reason in err if it is a sound image whose files
 * cannot be read for want of its compressor (lzo); nothing below may then be called but subject_close(). That takes one that
 * failed, too. */
int subject_open(const char *path, struct subject *ret_subject, struct err *err);
void subject_close(struct subject *subject);
#define autosubject __attribute__((cleanup(subject_close)))

/* The content of a regular file, with a terminating zero; no symlink on the way is followed. -ENOENT without touching err if
 * there is no such file, -EFBIG if it has more than max_bytes. The caller frees *ret_text. */
int subject_file(const struct subject *subject, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes,
		 struct err *err);

/* Adds the names in a directory to a list, in any order, so many at most (-EFBIG). -ENOENT without touching err if there is
 * none. */
int subject_list(const struct subject *subject, const char *path, struct strlist *names, struct err *err);

/* What it says about itself, the object "metadata" of simg inspect (simg-build(1)). A file that is too large or no JSON is
 * noted, and left out. *ret_metadata is a new reference. */
int subject_metadata(const struct subject *subject, json_t **ret_metadata, struct err *err);

/* The list of installed packages: of an image, from the record of its build, or else from the databases in it. A sandbox may have
 * changed since it was recorded, so that its databases come first. For packages_free(), also after a failure. */
int subject_packages(const struct subject *subject, const json_t *metadata, struct packages *ret_packages, struct err *err);

#endif
