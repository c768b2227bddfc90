/* SPDX-License-Identifier: Apache-2.0
 *
 * An image's labels, as the JSON object of labels.json: of its base, of the build, and of a recipe.
 */
#ifndef SIMG_BUILDER_RECIPE_LABELS_H
#define SIMG_BUILDER_RECIPE_LABELS_H

#include <jansson.h>
#include <stdbool.h>

struct strlist;

/* The labels in the text of a labels.json; an empty object if there is no such text (NULL), or it is no JSON object. NULL without
 * memory. */
json_t *labels_read(const char *text);

/* Sets a label. value NULL: does nothing. What JSON cannot hold is replaced by '?'. */
void labels_set(json_t *labels, const char *key, const char *value);

/* Sets the labels of a text with a "KEY value" on each line, where comments and blank lines do not count. The last one of a key
 * counts. */
void labels_add(json_t *labels, const char *text);

/* Adds added, whose life it ends. Where another value is there already, it stays, and the key goes into kept; force: it is
 * replaced. */
void labels_merge(json_t *labels, json_t *added, bool force, struct strlist *kept);

/* The text of labels.json, which ends the object's life. The caller frees; NULL without memory. */
char *labels_format(json_t *labels);

#endif
