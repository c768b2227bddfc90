/* SPDX-License-Identifier: Apache-2.0
 *
 * What a recipe's sections become in the image: files below /.singularity.d, and for apps below /scif/apps, where Singularity and
 * Apptainer look for them. Nothing of it goes into /.simg/config.json, which says what the base's container said: %environment is
 * a script.
 */
#ifndef SIMG_BUILDER_RECIPE_RESULTS_H
#define SIMG_BUILDER_RECIPE_RESULTS_H

#include "builder/recipe/recipe.h"

#include <stdint.h>

struct err;
struct load;
struct strlist;

#define RESULTS_LABELS ".singularity.d/labels.json"
#define RESULTS_ENVIRONMENT ".singularity.d/env/90-environment.sh"
#define RESULTS_BUILD_LABELS ".build.labels" /* $APPTAINER_LABELS of %post */
#define RESULTS_APPS "scif/apps"

#define RESULTS_NO_TIME UINT64_MAX

/* The texts are those of files that the tree has before: its data may not be at hand, so the caller reads them. Everything may be
 * NULL. */
struct results_options {
	const char *recipe;        /* the text of the file, as it is to be kept */
	const char *labels;        /* the base's RESULTS_LABELS; what is no JSON object counts as none */
	const char *environment;   /* the base's RESULTS_ENVIRONMENT */
	const char *build_labels;  /* what %post left in RESULTS_BUILD_LABELS; the file itself is the caller's to remove */
	const char *architecture;  /* "amd64" */
	const char *base_name, *base_digest; /* what the image is based on, as a registry names it */
	uint64_t time;             /* of the build, in seconds since 1970; RESULTS_NO_TIME: none, so that equal builds stay equal */
	bool force;                /* labels of the recipe replace those of the base */
};

/* Adds the files for a stage to a tree that is otherwise complete:
 *
 * - the layout (singularity.h), if the base has none;
 * - runscript, startscript, test: the text of the sections. A first line "#!PROGRAM" stays the first one, otherwise it is
 *   "#!/bin/sh"; the words of the sections follow it. runscript.help: the text of %help. Without such a section, or if it is
 *   blank, the base's file stays;
 * - env/90-environment.sh: the base's, and behind it %environment;
 * - labels.json: the base's, then those of this build (which take the place of the base's), then those of %labels and of
 *   build_labels. ret_kept gets the names of those that the base has with another value, and keeps if force is not set;
 * - Singularity: the recipe. The base's becomes bootstrap_history/SingularityN;
 * - for each app: bin, lib, scif/env/90-environment.sh, scif/{runscript,startscript,test,runscript.help,labels.json,Singularity};
 *   env/94-appsbase.sh and 95-apps.sh, which set the SCIF_ variables; actions that start apps. */
int results_add(struct load *load, const struct recipe_stage *stage, const struct results_options *options,
		struct strlist *ret_kept, struct err *err);

/* The file that a script section becomes, or NULL without memory. The caller frees. */
char *results_script(const struct recipe_stage *stage, enum recipe_section section, const char *app);

/* What has to run in the image, in the same shell, before an app's %appinstall: makes the app's directories, enters the first one,
 * and sets its variables. One line. %appinstall itself is recipe_text(), and %appfiles are copied to /RESULTS_APPS/APP/ where they
 * name no absolute target. The caller frees; NULL without memory. */
char *results_app_install(const char *app);

#endif
