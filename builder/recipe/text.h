/* SPDX-License-Identifier: Apache-2.0
 *
 * A recipe's bytes as plain lines.
 */
#ifndef SIMG_BUILDER_RECIPE_TEXT_H
#define SIMG_BUILDER_RECIPE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/* A copy in which every line ends with '\n', the last one too: without a byte order mark, without the '\r' of "\r\n". Lines keep
 * their numbers. name is for messages. -EFBIG if there are more than RECIPE_BYTES_MAX (recipe.h), -EINVAL for a zero byte. The
 * caller frees. */
int text_clean(const char *name, const char *text, size_t bytes, char **ret_text, struct err *err);

/* A line of a text, without its end. */
struct text_line {
	const char *text;
	size_t length;
	unsigned number; /* 1 is the first */
};

/* The next line; line is all zeros before the first. text: what text_clean() returned. */
bool text_next(const char *text, struct text_line *line);

/* How many blanks and tabs the line begins with. */
size_t text_indent(const char *text, size_t length);

/* Whether it is blank, or a comment. */
bool text_says_nothing(const struct text_line *line);

/* A copy of a piece of text without blanks at both ends; NULL without memory. */
char *text_trimmed(const char *text, size_t length);

#endif
