/* SPDX-License-Identifier: Apache-2.0
 *
 * What simg inspect has found out about an image, from its JSON object to text for people. The image's words may be anybody's:
 * control characters never reach the terminal.
 */
#ifndef SIMG_BUILDER_DESCRIBE_H
#define SIMG_BUILDER_DESCRIBE_H

#include <jansson.h>

struct image;

/* All of it, on standard output. path is the image's as the user gave it. */
void describe(const char *path, const struct image *image, const json_t *top);

/* The labels of /.singularity.d/labels.json and of the OCI configuration in one object of strings, the former first. A new
 * reference. */
json_t *describe_labels(const json_t *top);

/* The variables of the OCI configuration, one a line. Returns how many. */
size_t describe_environment(const json_t *top);

/* A file of the image. Control characters other than tabs and line breaks are replaced if standard output is a terminal. */
void describe_file(const char *text, size_t bytes);

#endif
