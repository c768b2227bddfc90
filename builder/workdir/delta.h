/* SPDX-License-Identifier: Apache-2.0
 *
 * What changed in a work directory since its baseline, as an image of that alone, which image_layer.h merges with what was there
 * before. It holds
 *
 *	each file that is new or changed in anything, under all names that it has now;
 *	each directory that is new or changed, and those on the way to what is in the delta;
 *	a whiteout for each path that is gone, but for those below another one.
 *
 * Sockets are never there. What something is mounted on counts as unchanged.
 */
#ifndef SIMG_BUILDER_WORKDIR_DELTA_H
#define SIMG_BUILDER_WORKDIR_DELTA_H

#include <stdbool.h>

struct baseline;
struct delta;
struct err;
struct load;
struct owners;
struct tree;

struct delta_options {
	int root_fd;                /* of the work directory */
	const char *name;           /* its name, for messages */
	struct baseline *baseline;
	const struct tree *tree;    /* that the baseline was taken with, as it was then */
	const struct owners *owners;
	const char *const *left_out; /* NULL-terminated: "etc/resolv.conf", neither new, changed nor gone, nor what is below */
};

/* Looks for changes. All that the options point to stays the caller's and must outlive the delta. */
int delta_find(const struct delta_options *options, struct delta **ret_delta, struct err *err);

/* Whether nothing changed: such a delta need not be written. */
bool delta_is_empty(const struct delta *delta);

/* Takes entries and whiteouts into a load with a fresh tree and the target that becomes the delta image: what is left to do is
 * target_finish(). The load's time_max holds. Nothing may write to the directory any more since delta_find(). Once. */
int delta_load(struct delta *delta, struct load *load, struct err *err);

void delta_free(struct delta *delta); /* takes NULL */

#endif
