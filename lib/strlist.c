/* SPDX-License-Identifier: Apache-2.0
 *
 * A list of strings: see strlist.h.
 */
#include "lib/strlist.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static int strlist_take(struct strlist *list, char *text)
{
	char **items = text == NULL ? NULL : reallocarray(list->items, list->count + 2, sizeof(*items));
	if (items == NULL) {
		free(text);
		return -ENOMEM;
	}
	items[list->count++] = text;
	items[list->count] = NULL;
	list->items = items;
	return 0;
}

int strlist_add(struct strlist *list, const char *text)
{
	return strlist_take(list, strdup(text));
}

int strlist_addf(struct strlist *list, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return strlist_take(list, text);
}

const char *env_find(char *const *env, const char *name)
{
	size_t length = strlen(name);
	for (; *env != NULL; env++)
		if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
			return *env + length + 1;
	return NULL;
}

const char *strlist_getenv(const struct strlist *list, const char *name)
{
	return list->count > 0 ? env_find(list->items, name) : NULL;
}

void strlist_free(struct strlist *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strlist){ 0 };
}
