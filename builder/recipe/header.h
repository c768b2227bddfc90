/* SPDX-License-Identifier: Apache-2.0
 *
 * The header of a stage: agents, and the keys that each of them knows.
 */
#ifndef SIMG_BUILDER_RECIPE_HEADER_H
#define SIMG_BUILDER_RECIPE_HEADER_H

#include "builder/recipe/recipe.h"

struct text_line;

/* Takes in a line of the header, the first one included. *continued: the line before ended with a backslash, so this one goes on
 * with its value; set for the next line. */
int header_line(struct recipe_stage *stage, const struct text_line *line, bool *continued, struct err *err);

/* The header is complete: finds agent and name, and compares the keys with what the agent knows and needs. *ret_line is where it is
 * wrong, after an error. */
int header_check(struct recipe_stage *stage, unsigned *ret_line, struct err *err);

#endif
