/* SPDX-License-Identifier: Apache-2.0
 *
 * A list of strings that it owns. It ends with NULL, so that items can serve as an argv or an environment once anything was
 * added.
 */
#ifndef SIMG_LIB_STRLIST_H
#define SIMG_LIB_STRLIST_H

#include <stddef.h>

struct strlist {
	char **items; /* NULL while empty */
	size_t count;
};

/* Adds a copy of text. -ENOMEM or 0. */
int strlist_add(struct strlist *list, const char *text);

/* Adds a formatted string. -ENOMEM or 0. */
int strlist_addf(struct strlist *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of NAME in a list of "NAME=VALUE", or NULL. The list keeps it. */
const char *strlist_getenv(const struct strlist *list, const char *name);

/* The same in an environment array that ends with NULL. */
const char *env_find(char *const *env, const char *name);

/* Releases everything; the list is empty afterwards. */
void strlist_free(struct strlist *list);

#define autostrlist __attribute__((cleanup(strlist_free)))

#endif
