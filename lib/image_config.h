/* SPDX-License-Identifier: Apache-2.0
 *
 * The OCI image configuration that an image carries: where it lies, and what of it builder and launch agree upon. A build refuses what a
 * launch would refuse.
 */
#ifndef SIMG_LIB_IMAGE_CONFIG_H
#define SIMG_LIB_IMAGE_CONFIG_H

#include <stdbool.h>

#define IMAGE_CONFIG_PATH ".simg/config.json" /* from the image's root */

/* The file has fewer bytes than this, and config.Env no more items. */
enum { IMAGE_CONFIG_BYTES_MAX = 4 << 20, IMAGE_ENV_MAX = 4096 };

/* Whether an item of config.Env is NAME=VALUE with a name that a shell knows, too: letters, digits and '_', no digit first. Any other item
 * is never set: it could be a function of bash's. */
bool image_env_is_valid(const char *item);

#endif
