/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a recipe is carried out: a temporary directory, and child processes that are root of a user namespace in it. The parent
 * stays the user, and so everything but the work itself happens with the user's own view of files: what is fetched, cached and
 * written.
 *
 *	$TMPDIR/.simg-build.XXXXXX/   only the user can enter it
 *		files/                what scripts see at /.simg-build
 *		…                     roots of stages and deltas, named by those who make them
 *
 * Nothing of it is left behind (temporary.h).
 */
#ifndef SIMG_BUILDER_RECIPE_WORKSHOP_H
#define SIMG_BUILDER_RECIPE_WORKSHOP_H

#include "builder/temporary.h"

struct err;

struct workshop {
	struct temporary temporary;
	char *parent;     /* the directory that it is made in */
	char *path;       /* absolute */
	int fd;           /* of the directory; -1: not open */
};
#define WORKSHOP_INIT { .temporary = TEMPORARY_INIT, .fd = -1 }

/* Makes the directory in $SIMG_TMPDIR, $TMPDIR, /var/tmp or /tmp: the first that is set and there. */
int workshop_open(struct workshop *workshop, struct err *err);

/* The path of name in it. The caller frees; NULL without memory. */
char *workshop_path(const struct workshop *workshop, const char *name);

/* Runs work in a child process that is root of a user namespace, and waits for it. The calling process has one thread. What the work
 * leaves is what it writes to files in the directory, and to memory that is shared. Its error becomes this one's. */
int workshop_run(int (*work)(void *context, struct err *err), void *context, struct err *err);

/* Removes the directory and all that is in it. */
void workshop_close(struct workshop *workshop);

#endif
