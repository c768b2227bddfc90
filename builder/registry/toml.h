/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of the part of TOML 1.0 that registries.conf is written in: tables, arrays of tables, strings, booleans and arrays
 * of strings. Numbers and times are skipped over. Strings over several lines, inline tables and nested arrays are refused with
 * a message that says so.
 *
 * There is no tree: the caller is told each table and each value as it is read, and refuses what it does not like on the spot,
 * so that every error has its line. A parser in a library would do, but no distribution that we run on carries one in C.
 *
 * Source: TOML 1.0.0, toml.io.
 */
#ifndef SIMG_BUILDER_REGISTRY_TOML_H
#define SIMG_BUILDER_REGISTRY_TOML_H

#include "lib/strlist.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

enum toml_type { TOML_STRING, TOML_BOOLEAN, TOML_STRINGS, TOML_OTHER };

struct toml_value {
	enum toml_type type;
	char *string;           /* TOML_STRING */
	bool boolean;           /* TOML_BOOLEAN */
	struct strlist strings; /* TOML_STRINGS; empty for [] */
};

/* What is called while a text is read. An error ends the reading; "FILE:LINE: " is put before its text. Parts of a dotted name
 * are joined by dots; a part that is more than letters, digits, '-' and '_' keeps quotation marks, so that a."b.c" differs from
 * a.b.c. */
struct toml_reader {
	/* [name], or [[name]]: then with in_array */
	int (*table)(void *context, const char *name, bool in_array, struct err *err);
	/* key = value, in the last table. The value is the reader's, until it returns. */
	int (*value)(void *context, const char *key, const struct toml_value *value, struct err *err);
};

/* Reads a text of that many bytes; name is the file's, for messages. -EINVAL with file and line for what is no TOML, for keys
 * and tables that come twice, and for what is not supported. ret_line, which may be NULL, is kept at the current line while the
 * reader is called. */
int toml_read(const char *name, const char *text, size_t bytes, const struct toml_reader *reader, void *context, unsigned *ret_line,
	      struct err *err);

#endif
