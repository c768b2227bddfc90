/* SPDX-License-Identifier: Apache-2.0
 *
 * What an OCI image configuration says about running: the members of its object "config" that a launch or another container program
 * uses. What a launch would refuse is refused here, so that an image that was built starts.
 *
 * Source: OCI image specification, config.md.
 */
#ifndef SIMG_BUILDER_RUN_CONFIG_H
#define SIMG_BUILDER_RUN_CONFIG_H

#include "lib/strlist.h"

#include <jansson.h>
#include <stddef.h>

struct err;

struct run_config {
	struct strlist entrypoint, command, env; /* as they stand; items of env may be malformed */
	json_t *labels;                          /* an object of strings, maybe empty */
};

/* source is for messages. -EBADMSG, or -EFBIG if it is longer than a launch reads. The caller frees with run_config_free(). */
int run_config_parse(const char *text, size_t bytes, const char *source, struct run_config *ret_config, struct err *err);
void run_config_free(struct run_config *config);

#endif
