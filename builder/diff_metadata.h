/* SPDX-License-Identifier: Apache-2.0
 *
 * What two images say about themselves, compared value by value instead of byte by byte: the environment, labels and the rest
 * of the configuration, the scripts that Singularity runs, and how they were built.
 */
#ifndef SIMG_BUILDER_DIFF_METADATA_H
#define SIMG_BUILDER_DIFF_METADATA_H

#include <jansson.h>
#include <stdbool.h>

struct diff_report;
struct err;
struct subject;

/* Reports to DIFF_METADATA what a launch sees and what the image's users read. */
int diff_metadata(const struct subject *a, const struct subject *b, const json_t *a_metadata, const json_t *b_metadata,
		  struct diff_report *report, struct err *err);

/* Reports to DIFF_RECORD how they were built: the build records without the packages, and what the configuration has of history. */
void diff_record(const json_t *a_metadata, const json_t *b_metadata, struct diff_report *report);

/* Whether the file at path belongs to the build record, or is its directory; whether diff_metadata() compares its content. */
bool diff_metadata_is_record(const char *path);
bool diff_metadata_has(const char *path);

#endif
