/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of a recipe's scripts.
 */
#ifndef SIMG_BUILDER_RECIPE_ENVIRONMENT_H
#define SIMG_BUILDER_RECIPE_ENVIRONMENT_H

#include "lib/strlist.h"

/* Where a script in the image leaves variables for those who run it, and labels. Paths in the image, without the first slash. */
#define ENVIRONMENT_FILE ".singularity.d/env/91-environment.sh"
#define LABELS_FILE ".build.labels"

/* For scripts in the image: a clean one, with what a download needs of the builder's (proxies), and the two files' names under the
 * names that Apptainer and Singularity give them. -ENOMEM or 0. */
int environment_in_image(struct strlist *ret_environment);

/* For scripts on the host: the builder's own, and the root directory as *_ROOTFS; its last component need not be there. */
int environment_on_host(const char *root, struct strlist *ret_environment);

#endif
