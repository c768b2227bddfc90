/* SPDX-License-Identifier: Apache-2.0
 *
 * The section %files of a recipe: lines "SOURCE [DESTINATION]". Blanks separate words, "#" begins a comment where a word could
 * begin. Double quotes keep blanks in a word, and wildcards in them hold, as they do with Apptainer; single quotes and a backslash
 * make everything literal. SOURCE is a pattern (glob.h); DESTINATION is not.
 *
 * The source goes into DESTINATION under its own name, if that is a directory or ends with a slash, or if SOURCE matches several
 * files; else it becomes DESTINATION. What is in "." or "DIR/." goes into DESTINATION itself. Without a DESTINATION the path is the
 * source's: "/a" and "a" both become "/a", and a directory that is there is added to. What copying means is in copy.h.
 *
 * Messages begin with "RECIPE:LINE: ".
 */
#ifndef SIMG_BUILDER_RECIPE_FILES_H
#define SIMG_BUILDER_RECIPE_FILES_H

#include "builder/recipe/walk.h"

struct err;
struct files_list;
struct hash;
struct owners;

/* Takes the lines between the section's heading and the next section; first_line is the number of the first of them in the recipe.
 * -EINVAL for a line that is none of the above. The caller frees the list. */
int files_parse(const char *text, unsigned first_line, const char *recipe_name, struct files_list **ret_list, struct err *err);
void files_free(struct files_list *list); /* takes NULL */

/* Adds all that the outcome of files_copy() hangs on: the words of the section, and of each file of the host path, type,
 * permissions, time, size, content and hard links. Of a stage nothing is read: the words do, beside the stage's own key. Fails
 * where files_copy() would fail to read. If the root lies in a source, it has to be among source->own. */
int files_digest(const struct files_list *list, const struct walk_source *source, struct hash *hash, struct err *err);

/* Copies into the root, a directory (O_PATH will do) in which everything is the caller's own, and records in owners, the root's
 * table, what the disk cannot say. The root itself is never part of a source. Needs no privilege beyond that of reading the source.
 * After a failure the root has some of the files. */
int files_copy(const struct files_list *list, const struct walk_source *source, int root_fd, struct owners *owners,
	       struct err *err);

#endif
