/* SPDX-License-Identifier: Apache-2.0
 *
 * What somebody may have meant: the known name that a misspelt one is nearest to.
 */
#ifndef SIMG_BUILDER_RECIPE_NEAREST_H
#define SIMG_BUILDER_RECIPE_NEAREST_H

#include <stddef.h>

/* The one of the names that the fewest inserted, left out, changed or swapped letters make of word, whatever their case; NULL if
 * that is more than a third of its letters, or word is long. */
const char *nearest_name(const char *word, const char *const *names, size_t count);

#endif
