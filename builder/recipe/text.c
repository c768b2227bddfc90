/* SPDX-License-Identifier: Apache-2.0
 *
 * See text.h.
 */
#include "builder/recipe/text.h"

#include "builder/recipe/recipe.h"
#include "lib/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned line_of(const char *text, const char *at)
{
	unsigned line = 1;
	while (text < at)
		line += *text++ == '\n';
	return line;
}

static int text_check(const char *name, const char *text, size_t bytes, struct err *err)
{
	if (bytes > RECIPE_BYTES_MAX)
		return err_set(err, EFBIG, "'%s' is too long: more than %d MiB", name, RECIPE_BYTES_MAX >> 20);
	const char *zero = bytes > 0 ? memchr(text, '\0', bytes) : NULL;
	if (zero != NULL)
		return err_set(err, EINVAL, "%s:%u: a zero byte: the file is no text, or not in UTF-8", name, line_of(text, zero));
	return 0;
}

static size_t mark_bytes(const char *text, size_t bytes)
{
	return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

int text_clean(const char *name, const char *text, size_t bytes, char **ret_text, struct err *err)
{
	int r = text_check(name, text, bytes, err);
	if (r < 0)
		return r;
	char *copy = malloc(bytes + 2);
	size_t count = 0;
	if (copy == NULL)
		return err_sys(err, ENOMEM, "cannot read '%s'", name);
	for (size_t i = mark_bytes(text, bytes); i < bytes; i++)
		if (text[i] != '\r' || i + 1 == bytes || text[i + 1] != '\n')
			copy[count++] = text[i];
	if (count > 0 && copy[count - 1] != '\n')
		copy[count++] = '\n';
	copy[count] = '\0';
	*ret_text = copy;
	return 0;
}

bool text_next(const char *text, struct text_line *line)
{
	if (line->text != NULL)
		text = line->text + line->length + 1;
	if (*text == '\0')
		return false;
	*line = (struct text_line){ .text = text, .length = strcspn(text, "\n"), .number = line->number + 1 };
	return true;
}

size_t text_indent(const char *text, size_t length)
{
	size_t indent = 0;
	while (indent < length && (text[indent] == ' ' || text[indent] == '\t'))
		indent++;
	return indent;
}

bool text_says_nothing(const struct text_line *line)
{
	size_t indent = text_indent(line->text, line->length);
	return indent == line->length || line->text[indent] == '#';
}

char *text_trimmed(const char *text, size_t length)
{
	size_t indent = text_indent(text, length);
	while (length > indent && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	return strndup(text + indent, length - indent);
}
