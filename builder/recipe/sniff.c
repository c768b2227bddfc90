/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file is by its first lines: a recipe, a Dockerfile, or neither. See recipe.h.
 */
#include "builder/recipe/recipe.h"
#include "builder/recipe/text.h"

#include <string.h>

/* The next line, its '\r' and the blanks at its beginning taken away. Returns false at the end. */
static bool next_line(const char **at, const char *end, const char **ret_line, size_t *ret_length)
{
	if (*at == end)
		return false;
	const char *newline = memchr(*at, '\n', (size_t)(end - *at));
	const char *line_end = newline != NULL ? newline : end;
	size_t indent = text_indent(*at, (size_t)(line_end - *at));
	*ret_line = *at + indent;
	*ret_length = (size_t)(line_end - *ret_line);
	if (*ret_length > 0 && (*ret_line)[*ret_length - 1] == '\r')
		(*ret_length)--;
	*at = newline != NULL ? newline + 1 : end;
	return true;
}

static bool begins(const char *line, size_t length, const char *with)
{
	return length >= strlen(with) && strncasecmp(line, with, strlen(with)) == 0;
}

/* Followed by a blank. */
static bool is_instruction(const char *line, size_t length, const char *name)
{
	size_t name_length = strlen(name);
	return begins(line, length, name) && length > name_length && text_indent(line + name_length, 1) == 1;
}

/* "# syntax=docker/dockerfile:1", which is only one before anything else. */
static bool is_directive(const char *line, size_t length)
{
	static const char *const names[] = { "syntax", "escape", "check" };
	size_t skip = 1 + text_indent(line + 1, length - 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t after = skip + strlen(names[i]);
		if (!begins(line + skip, length - skip, names[i]))
			continue;
		after += text_indent(line + after, length - after);
		if (after < length && line[after] == '=')
			return true;
	}
	return false;
}

static const char *behind_mark(const char *head, size_t bytes)
{
	return bytes >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? head + 3 : head;
}

bool recipe_matches(const char *head, size_t bytes)
{
	const char *at = behind_mark(head, bytes), *line;
	size_t length;
	while (next_line(&at, head + bytes, &line, &length))
		if (length > 0 && line[0] != '#')
			return begins(line, length, "bootstrap:");
	return false;
}

bool recipe_is_dockerfile(const char *head, size_t bytes)
{
	const char *at = behind_mark(head, bytes), *line;
	size_t length;
	for (bool first = true; next_line(&at, head + bytes, &line, &length); first = false) {
		if (first && length > 0 && line[0] == '#' && is_directive(line, length))
			return true;
		if (length > 0 && line[0] != '#' && !is_instruction(line, length, "ARG"))
			return is_instruction(line, length, "FROM");
	}
	return false;
}
