/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of container images in registries: [HOST[:PORT]/]NAME[:TAG][@DIGEST], also HOST#NAME as enroot spells it.
 * Source of the grammar: distribution/reference; of the defaults (docker.io, library/, latest): Docker.
 */
#ifndef SIMG_BUILDER_OCI_REFERENCE_H
#define SIMG_BUILDER_OCI_REFERENCE_H

#include "builder/oci/digest.h"

struct err;

enum { REFERENCE_HOST_MAX = 256, REFERENCE_NAME_MAX = 256, REFERENCE_TAG_MAX = 128 };

struct reference {
	char host[REFERENCE_HOST_MAX];      /* "docker.io", "localhost:5000", "[::1]:5000": as users name it, not the API's host */
	char name[REFERENCE_NAME_MAX];      /* "library/debian" */
	char tag[REFERENCE_TAG_MAX + 1];    /* "latest" where neither tag nor digest was given; empty with a digest alone */
	struct digest digest;               /* not set, or what the image must be; then the tag is only a name */
};

enum { REFERENCE_TEXT_MAX = REFERENCE_HOST_MAX + REFERENCE_NAME_MAX + REFERENCE_TAG_MAX + DIGEST_TEXT_MAX + 4 };

/* Takes what follows "docker:", with or without "//". -EINVAL with the part that is wrong, and a hint for the common mistakes
 * (upper case, a scheme like https://, an empty tag). */
int reference_parse(const char *text, struct reference *ret_reference, struct err *err);

/* "docker.io/library/debian:12@sha256:…". text has REFERENCE_TEXT_MAX bytes. Returns text. */
char *reference_format(const struct reference *reference, char *text);

#endif
