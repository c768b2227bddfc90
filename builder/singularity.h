/* SPDX-License-Identifier: Apache-2.0
 *
 * The files by which Singularity and Apptainer run an image: /.singularity.d and the links to it, for images that come from a
 * container registry or archive. They say what the OCI configuration says, for programs that do not read that.
 */
#ifndef SIMG_BUILDER_SINGULARITY_H
#define SIMG_BUILDER_SINGULARITY_H

struct container;
struct err;
struct load;
struct run_config;

/* Adds them to a tree that is otherwise complete. An image that has such files already, because Singularity made it, keeps what the
 * configuration does not say: a runscript where it names no command, environment scripts other than those written here, startscript
 * and test; its recipe becomes bootstrap_history/SingularityN. What stands in the way of a directory is replaced; of the links at
 * the root, only those that are links are. */
int singularity_add(struct load *load, const struct container *container, const struct run_config *config, struct err *err);

/* The same without a container: directories, actions, environment scripts and links, but no runscript, labels or recipe. */
int singularity_add_layout(struct load *load, struct err *err);

/* Actions that start an app, if SINGULARITY_APPNAME or APPTAINER_APPNAME names one. For a tree with the layout. */
int singularity_add_app_actions(struct load *load, struct err *err);

/* Makes text, which it frees, the image's recipe, and keeps an older one. Takes NULL, for lack of memory, and says so. */
int singularity_add_recipe(struct load *load, char *text, struct err *err);

/* The environment script 90-environment.sh of an image that has no variables of its own. */
extern const char SINGULARITY_NO_ENVIRONMENT[];

#endif
