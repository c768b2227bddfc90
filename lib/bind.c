/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing of bind mounts: see bind.h. Text is data here: it never passes through a shell or a format.
 */
#include "lib/bind.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_COUNT_MAX = 3 };

/* One bind's text taken apart: fields unescaped, in one buffer. */
struct fields {
	char *items[FIELD_COUNT_MAX];
	int count;
};

static void bind_free(struct bind *bind)
{
	free(bind->source);
	free(bind->target);
	free(bind->origin);
}

static int add_bind(const struct fields *fields, const char *text, const char *origin, struct bind_list *list, struct err *err)
{
	struct bind bind = { 0 };
	const char *source = fields->items[0];
	const char *target = fields->count > 1 ? fields->items[1] : source;
	const char *mode = fields->count > 2 ? fields->items[2] : "rw";
	/* SRC:ro means SRC:SRC:ro; a target is absolute, so the two can't be mixed up. */
	if (fields->count == 2 && (strcmp(target, "ro") == 0 || strcmp(target, "rw") == 0)) {
		mode = target;
		target = source;
	}
	if (list->count >= BIND_COUNT_MAX)
		return err_set(err, E2BIG, "%s: more than %d bind mounts", origin, BIND_COUNT_MAX);
	if (text[0] == '\0')
		return err_set(err, EINVAL, "%s: an item is empty: is there a stray comma?", origin);
	if (source[0] == '\0')
		return err_set(err, EINVAL, "%s: bind '%s' has no source", origin, text);
	if (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0) {
		err_set(err, EINVAL, "%s: bind '%s' has the unknown mode '%s'", origin, text, mode);
		return err_hint(err, "write SRC:DST, SRC:DST:ro or SRC:DST:rw; a colon in a path is written '\\:'");
	}
	int r = path_normalise(target, "bind target", &bind.target, err);
	if (r < 0) {
		err_prefix(err, "%s", origin);
		return err_hint(err, "write SRC:DST, where DST is the absolute path inside the container");
	}
	struct bind *items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (items != NULL)
		list->items = items;
	bind.source = strdup(source);
	bind.origin = strdup(origin);
	bind.read_only = strcmp(mode, "ro") == 0;
	if (items == NULL || bind.source == NULL || bind.origin == NULL) {
		bind_free(&bind);
		return err_sys(err, ENOMEM, "%s: cannot store bind '%s'", origin, text);
	}
	list->items[list->count++] = bind;
	return 0;
}

/* Takes one bind off *text, up to a comma that separates (if commas do) or the end. */
static int parse_one(const char **text, bool commas, const char *origin, struct bind_list *list, struct err *err)
{
	autofree char *buffer = malloc(strlen(*text) + 1);
	if (buffer == NULL)
		return err_sys(err, ENOMEM, "%s: cannot parse bind", origin);
	struct fields fields = { .items = { buffer }, .count = 1 };
	const char *c = *text;
	char *out = buffer;
	for (; *c != '\0' && !(commas && *c == ','); c++) {
		if (*c == '\\' && c[1] != '\0') {
			*out++ = *++c;
		} else if (*c == ':') {
			*out++ = '\0';
			if (fields.count == FIELD_COUNT_MAX) {
				err_set(err, EINVAL, "%s: bind '%.*s' has too many fields", origin, (int)strcspn(*text, commas ? "," : ""), *text);
				return err_hint(err, "write SRC:DST, SRC:DST:ro or SRC:DST:rw; a colon in a path is written '\\:'");
			}
			fields.items[fields.count++] = out;
		} else {
			*out++ = *c;
		}
	}
	*out = '\0';
	autofree char *shown = strndup(*text, (size_t)(c - *text));
	*text = c;
	return add_bind(&fields, shown != NULL ? shown : "", origin, list, err);
}

int bind_parse_one(const char *text, const char *origin, struct bind_list *list, struct err *err)
{
	return parse_one(&text, false, origin, list, err);
}

int bind_parse_list(const char *text, const char *origin, struct bind_list *list, struct err *err)
{
	for (;;) {
		int r = parse_one(&text, true, origin, list, err);
		if (r < 0)
			return r;
		if (*text == '\0')
			return 0;
		text++;
	}
}

int bind_list_resolve(struct bind_list *list, size_t first, struct err *err)
{
	for (size_t i = first; i < list->count; i++) {
		struct bind *bind = &list->items[i];
		char *real = realpath(bind->source, NULL);
		if (real == NULL)
			return err_sys(err, errno, "%s: cannot find '%s'", bind->origin, bind->source);
		free(bind->source);
		bind->source = real;
	}
	return 0;
}

void bind_list_free(struct bind_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		bind_free(&list->items[i]);
	free(list->items);
	*list = (struct bind_list){ 0 };
}
