/* SPDX-License-Identifier: Apache-2.0
 *
 * What a copy is in the image: owner, permissions, time, extended attributes. Nothing is ever chowned: what the disk cannot say, or
 * may not, is recorded in the table of the root that is written (fakeroot/owners.h).
 *
 * A file of the host becomes root's, without set-user-ID and set-group-ID bits and without attributes. One of a stage stays what it
 * is there, with its attributes that are user's or a capability.
 */
#ifndef SIMG_BUILDER_RECIPE_ATTRIBUTES_H
#define SIMG_BUILDER_RECIPE_ATTRIBUTES_H

#include "builder/fakeroot/owners.h"

struct walk_file;
struct walk_source;

/* What the file is in the image: in *ret_st as stat() would say it. Returns its record in a stage, or NULL. */
const struct owner *attributes_of(const struct walk_source *source, const struct walk_file *file, struct stat *ret_st);

/* Gives it to name in the directory, which was made from the file, and keeps in owners what cannot be given. 0 or a bare negative
 * errno. */
int attributes_set(const struct walk_source *source, const struct walk_file *file, struct owners *owners, int directory_fd,
		   const char *name);

#endif
