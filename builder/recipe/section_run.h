/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the script of a section: %pre, %setup, %post, %test, %appinstall. It becomes a file whose lines have the numbers that they have in the
 * recipe, and a shell traces it, so that every command is shown with its section and line and a failure can be told by the command
 * that failed.
 */
#ifndef SIMG_BUILDER_RECIPE_SECTION_RUN_H
#define SIMG_BUILDER_RECIPE_SECTION_RUN_H

#include "builder/fakeroot/fakeroot.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct progress;
struct recipe_stage;

struct section_run {
	const char *recipe;              /* the file's name, for messages */
	const struct recipe_stage *stage;
	int section;                     /* enum recipe_section */
	const char *app;                 /* of %appinstall and its kin; NULL: none */
	const char *prologue;            /* one line that a shell reads before the script; NULL: none */
	bool go_on;                      /* a command that fails does not end the script: its last one's status counts */
	bool on_host;                    /* no image's environment is read */
	bool quiet;                      /* what it prints is shown only if it fails */
	const char *files;               /* the directory that has VIEW_FILES' content; the script is written there */
	struct progress *progress;       /* its line is cleared before something is printed */
	struct fakeroot fakeroot;        /* argv and print are set here */
};

/* Runs all parts of that section as one script; there is at least one. The script's shell is /bin/sh, or what follows -c in the
 * section's line. Prints to standard error. A script that fails is an error that names its line and command; *ret_failed tells such
 * a failure from others. */
int section_run(struct section_run *run, bool *ret_failed, struct err *err);

#endif
