/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections of a recipe, and the lines that begin them: "%post -c /bin/bash", "%apprun NAME".
 */
#ifndef SIMG_BUILDER_RECIPE_SECTION_H
#define SIMG_BUILDER_RECIPE_SECTION_H

#include "builder/recipe/recipe.h"

struct section_line {
	enum recipe_section section;
	char *app;
	struct strlist words;
};

/* Takes in a line that begins with '%', perhaps after blanks. Refuses an unknown section (and says which one may be meant), quotes
 * that do not end, and an app section without a name or with one that could be no directory's. The caller frees with
 * section_line_free() whatever is returned. */
int section_line_parse(const char *line, size_t length, struct section_line *ret_line, struct err *err);
void section_line_free(struct section_line *line);

/* Whether an app may have this name: it becomes a directory's, part of variables in shell scripts and a line of text. */
bool section_is_app_name(const char *name);

/* Whether the section's text is a script. */
bool section_is_script(enum recipe_section section);

/* Whether a script is one for a shell: %pre, %setup and %post by the words of the section ("-c PROGRAM"), others by their first
 * line that is not blank ("#!PROGRAM"), without the blanks before. */
bool section_is_shell(const struct section_line *line, const char *first, size_t length);

#endif
