/* SPDX-License-Identifier: Apache-2.0
 *
 * Arguments of a recipe: "{{ NAME }}" in its text, where NAME has letters, digits and '_', becomes the argument's value, before
 * anything else is read. Values come, the first one that there is, from --build-arg NAME=VALUE, from a file of --build-arg-file,
 * and from the section %arguments of the stage that the line is in. Whatever else stands in double braces is left alone.
 *
 * - A line whose first character other than blanks is '#' stays as it is.
 * - A name without a value is an error; other than with Apptainer not in a here-document, where it stays as it is, braces
 *   included: it means something to whoever reads the document (Jinja, Go's templates). A name with a value is replaced there,
 *   too.
 * - A value is a single line, so that every line of the result has the number that it has in the file.
 * - A value in %arguments, "NAME=VALUE", may have arguments in it: given ones, and such of %arguments that stand before it or have
 *   none in them. Given values are taken literally, and so are quotes.
 */
#ifndef SIMG_BUILDER_RECIPE_TEMPLATE_H
#define SIMG_BUILDER_RECIPE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum { TEMPLATE_ARGUMENTS_MAX = 1024 };

struct template_argument {
	char *name, *value;
	bool from_file; /* given in a file: anything on the command line comes first */
	bool used;      /* set by template_apply(): its name is in the text */
};

/* Those that are given. All zeros at the beginning. */
struct template_arguments {
	struct template_argument *list;
	size_t count;
};

/* Takes in "NAME=VALUE" of the command line. The last one of a name counts. */
int template_arguments_add(struct template_arguments *arguments, const char *text, struct err *err);

/* Takes in the bytes of a file with a NAME=VALUE on each line; blanks around both do not count, blank lines and comments neither.
 * name is for messages. */
int template_arguments_read(struct template_arguments *arguments, const char *name, const char *text, size_t bytes,
			    struct err *err);

void template_arguments_free(struct template_arguments *arguments);

/* Takes in a recipe's bytes, and returns its text with the arguments in place, for recipe_parse(). name is for messages, which are
 * "NAME:LINE: …". -EINVAL or -EFBIG. The caller frees; *ret_text ends with a zero that *ret_bytes does not count. */
int template_apply(const char *name, const char *text, size_t bytes, struct template_arguments *arguments, char **ret_text,
		   size_t *ret_bytes, struct err *err);

#endif
