/* SPDX-License-Identifier: Apache-2.0
 *
 * The apps of a recipe, in the image: the layout of the Scientific Filesystem, by which one image has several runscripts.
 */
#ifndef SIMG_BUILDER_RECIPE_APPS_H
#define SIMG_BUILDER_RECIPE_APPS_H

struct err;
struct load;
struct recipe_stage;

/* Adds what results.h lists for apps, if the stage has any. Apps of the base stay, and are in the environment scripts, too. */
int apps_add(struct load *load, const struct recipe_stage *stage, struct err *err);

#endif
