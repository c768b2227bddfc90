/* SPDX-License-Identifier: Apache-2.0
 *
 * TOML, as much as registries.conf needs: see toml.h.
 */
#include "builder/registry/toml.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	const char *at, *end;
	unsigned line;
	struct strlist tables, keys; /* what was there before: a second one is an error */
};

/* A string that grows; wiping is not needed, there are no secrets in these files. */
struct text {
	char *bytes;
	size_t count, room;
};

static int text_add(struct text *text, const char *bytes, size_t count, struct err *err)
{
	if (text->count + count >= text->room) {
		size_t room = 2 * (text->count + count) + 32;
		char *grown = realloc(text->bytes, room);
		if (grown == NULL)
			return err_sys(err, ENOMEM, "cannot read a string");
		text->bytes = grown;
		text->room = room;
	}
	memcpy(text->bytes + text->count, bytes, count);
	text->count += count;
	text->bytes[text->count] = '\0';
	return 0;
}

/* The next character, '\n' also for "\r\n", and '\0' at the end. */
static char peek(const struct parser *parser)
{
	if (parser->at == parser->end)
		return '\0';
	if (*parser->at == '\r' && parser->at + 1 < parser->end && parser->at[1] == '\n')
		return '\n';
	return *parser->at;
}

static bool at_end(const struct parser *parser)
{
	return parser->at == parser->end;
}

static void skip_blanks(struct parser *parser)
{
	while (peek(parser) == ' ' || peek(parser) == '\t')
		parser->at++;
}

static bool skip_newline(struct parser *parser)
{
	if (peek(parser) != '\n')
		return false;
	parser->at += *parser->at == '\r' ? 2 : 1;
	parser->line++;
	return true;
}

static int skip_comment(struct parser *parser, struct err *err)
{
	if (peek(parser) != '#')
		return 0;
	while (!at_end(parser) && peek(parser) != '\n') {
		if (((unsigned char)*parser->at < ' ' && *parser->at != '\t') || *parser->at == 0x7f)
			return err_set(err, EINVAL, "a control character in a comment");
		parser->at++;
	}
	return 0;
}

/* Blanks, comments and line ends. */
static int skip_lines(struct parser *parser, struct err *err)
{
	int r;
	do {
		skip_blanks(parser);
		r = skip_comment(parser, err);
	} while (r == 0 && skip_newline(parser));
	return r;
}

static int expect_line_end(struct parser *parser, const char *after, struct err *err)
{
	skip_blanks(parser);
	int r = skip_comment(parser, err);
	if (r == 0 && !at_end(parser) && !skip_newline(parser))
		r = err_set(err, EINVAL, "unexpected '%c' after %s", *parser->at, after);
	return r;
}

static int add_code_point(struct text *text, unsigned long code, struct err *err)
{
	char utf8[4];
	size_t count;
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return err_set(err, EINVAL, "a string has the character U+%04lX, which is not possible", code);
	if (code < 0x80) {
		utf8[0] = (char)code;
		count = 1;
	} else {
		count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		for (size_t i = count - 1; i > 0; i--, code >>= 6)
			utf8[i] = (char)(0x80 | (code & 0x3f));
		utf8[0] = (char)((0xf00 >> count) | code);
	}
	return text_add(text, utf8, count, err);
}

/* \uXXXX or \UXXXXXXXX, behind the letter. */
static int parse_code_point(struct parser *parser, size_t digits, struct text *text, struct err *err)
{
	char hex[9] = "";
	if ((size_t)(parser->end - parser->at) >= digits)
		memcpy(hex, parser->at, digits);
	if (strspn(hex, "0123456789abcdefABCDEF") != digits)
		return err_set(err, EINVAL, "a string has '\\%c' without %zu hex digits", digits == 4 ? 'u' : 'U', digits);
	parser->at += digits;
	return add_code_point(text, strtoul(hex, NULL, 16), err);
}

static int parse_escape(struct parser *parser, struct text *text, struct err *err)
{
	static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
	char letter = peek(parser);
	const char *found = letter == '\0' ? NULL : strchr(letters, letter);
	if (letter == 'u' || letter == 'U') {
		parser->at++;
		return parse_code_point(parser, letter == 'u' ? 4 : 8, text, err);
	}
	if (found == NULL)
		return err_set(err, EINVAL, "a string has an unknown escape sequence");
	parser->at++;
	return text_add(text, &meanings[found - letters], 1, err);
}

/* A string in "…", or in '…', which knows no escapes. */
static int parse_string(struct parser *parser, struct text *text, struct err *err)
{
	char quote = *parser->at;
	if (parser->end - parser->at >= 3 && parser->at[1] == quote && parser->at[2] == quote)
		return err_set(err, EINVAL, "strings over several lines are not supported");
	parser->at++;
	int r = text_add(text, "", 0, err);
	while (r == 0) {
		char c = peek(parser);
		if (at_end(parser) || c == '\n')
			return err_set(err, EINVAL, "a string does not end on its line");
		if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
			return err_set(err, EINVAL, "a control character in a string");
		parser->at++;
		if (c == quote)
			return 0;
		r = c == '\\' && quote == '"' ? parse_escape(parser, text, err) : text_add(text, &c, 1, err);
	}
	return r;
}

static size_t bare_length(const struct parser *parser)
{
	static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t length = 0;
	while (parser->at + length < parser->end && parser->at[length] != '\0' && strchr(bare, parser->at[length]) != NULL)
		length++;
	return length;
}

/* One part of a key, bare or quoted. A quoted one that could be bare is the same key. */
static int parse_key_part(struct parser *parser, struct text *key, struct err *err)
{
	size_t length = bare_length(parser);
	if (peek(parser) != '"' && peek(parser) != '\'') {
		if (length == 0)
			return err_set(err, EINVAL, "expected a key, or a table in brackets");
		parser->at += length;
		return text_add(key, parser->at - length, length, err);
	}
	struct text part = { 0 };
	int r = parse_string(parser, &part, err);
	if (r == 0) {
		struct parser check = { .at = part.bytes, .end = part.bytes + part.count };
		bool bare = part.count > 0 && bare_length(&check) == part.count;
		r = text_add(key, "\"", bare ? 0 : 1, err);
		if (r == 0)
			r = text_add(key, part.bytes, part.count, err);
		if (r == 0)
			r = text_add(key, "\"", bare ? 0 : 1, err);
	}
	free(part.bytes);
	return r;
}

static int parse_key(struct parser *parser, char **ret_key, struct err *err)
{
	struct text key = { 0 };
	int r;
	for (;;) {
		skip_blanks(parser);
		r = parse_key_part(parser, &key, err);
		skip_blanks(parser);
		if (r < 0 || peek(parser) != '.')
			break;
		parser->at++;
		r = text_add(&key, ".", 1, err);
		if (r < 0)
			break;
	}
	*ret_key = key.bytes;
	return r;
}

static int remember(struct strlist *list, const char *name, const char *what, struct err *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], name) == 0)
			return err_set(err, EINVAL, "the %s '%s' is there twice", what, name);
	return strlist_add(list, name) < 0 ? err_sys(err, ENOMEM, "cannot read the %s '%s'", what, name) : 0;
}

static int parse_table(struct parser *parser, const struct toml_reader *reader, void *context, struct err *err)
{
	autofree char *name = NULL;
	parser->at++;
	bool in_array = peek(parser) == '[';
	parser->at += in_array;
	int r = parse_key(parser, &name, err);
	for (int i = 0; r == 0 && i <= in_array; i++) {
		if (peek(parser) != ']')
			return err_set(err, EINVAL, "the table's name '%s' is not closed with %s", name, in_array ? "]]" : "]");
		parser->at++;
	}
	if (r == 0 && !in_array)
		r = remember(&parser->tables, name, "table", err);
	strlist_free(&parser->keys);
	if (r == 0)
		r = reader->table(context, name, in_array, err);
	return r == 0 ? expect_line_end(parser, "a table's name", err) : r;
}

/* true, false, or what can only be a number or a time. */
static int parse_word(struct parser *parser, struct toml_value *value, struct err *err)
{
	char word[40];
	size_t length = 0;
	while (parser->at + length < parser->end && strchr(" \t\r\n,]#", parser->at[length]) == NULL)
		length++;
	snprintf(word, sizeof(word), "%.*s", (int)length, parser->at);
	bool is_true = strcmp(word, "true") == 0;
	if (is_true || strcmp(word, "false") == 0) {
		value->type = TOML_BOOLEAN;
		value->boolean = is_true;
	} else if (length > 0 && length < sizeof(word) && strspn(word, "0123456789+-.:_eEtTzZabcdefABCDEFxoin") == length &&
		   strpbrk(word, "0123456789in") != NULL && strchr("0123456789+-in", word[0]) != NULL) {
		value->type = TOML_OTHER;
	} else {
		return err_set(err, EINVAL, "'%s' is no value: text needs quotation marks", word);
	}
	parser->at += length;
	return 0;
}

static int parse_array_item(struct parser *parser, struct toml_value *value, struct err *err)
{
	char first = peek(parser);
	if (first == '[' || first == '{')
		return err_set(err, EINVAL, "arrays in arrays and inline tables are not supported: write [[table]]");
	if (first != '"' && first != '\'') {
		struct toml_value item = { 0 };
		value->type = TOML_OTHER;
		return parse_word(parser, &item, err);
	}
	struct text text = { 0 };
	int r = parse_string(parser, &text, err);
	if (r == 0 && strlist_add(&value->strings, text.bytes) < 0)
		r = err_sys(err, ENOMEM, "cannot read an array");
	free(text.bytes);
	return r;
}

static int parse_array(struct parser *parser, struct toml_value *value, struct err *err)
{
	value->type = TOML_STRINGS;
	parser->at++;
	for (;;) {
		int r = skip_lines(parser, err);
		if (r == 0 && peek(parser) != ']' && !at_end(parser))
			r = parse_array_item(parser, value, err);
		if (r == 0)
			r = skip_lines(parser, err);
		if (r < 0)
			return r;
		if (peek(parser) == ']')
			break;
		if (peek(parser) != ',')
			return err_set(err, EINVAL, "an array lacks a comma or its end");
		parser->at++;
	}
	parser->at++;
	return 0;
}

static int parse_value(struct parser *parser, struct toml_value *value, struct err *err)
{
	char first = peek(parser);
	if (first == '[')
		return parse_array(parser, value, err);
	if (first == '{')
		return err_set(err, EINVAL, "inline tables are not supported: write [table]");
	if (first != '"' && first != '\'')
		return parse_word(parser, value, err);
	struct text text = { 0 };
	int r = parse_string(parser, &text, err);
	value->type = TOML_STRING;
	value->string = text.bytes;
	return r;
}

static int parse_pair(struct parser *parser, const struct toml_reader *reader, void *context, struct err *err)
{
	autofree char *key = NULL;
	struct toml_value value = { 0 };
	int r = parse_key(parser, &key, err);
	if (r == 0 && peek(parser) != '=')
		r = err_set(err, EINVAL, "the key '%s' has no '='", key);
	if (r == 0) {
		parser->at++;
		skip_blanks(parser);
		r = remember(&parser->keys, key, "key", err);
	}
	if (r == 0)
		r = parse_value(parser, &value, err);
	if (r == 0)
		r = reader->value(context, key, &value, err);
	free(value.string);
	strlist_free(&value.strings);
	return r == 0 ? expect_line_end(parser, "a value", err) : r;
}

int toml_read(const char *name, const char *text, size_t bytes, const struct toml_reader *reader, void *context, unsigned *ret_line,
	      struct err *err)
{
	struct parser parser = { .at = text, .end = text + bytes, .line = 1 };
	int r;
	while ((r = skip_lines(&parser, err)) == 0 && !at_end(&parser)) {
		if (ret_line != NULL)
			*ret_line = parser.line;
		r = peek(&parser) == '[' ? parse_table(&parser, reader, context, err) : parse_pair(&parser, reader, context, err);
		if (r < 0)
			break;
	}
	strlist_free(&parser.tables);
	strlist_free(&parser.keys);
	return r < 0 ? err_prefix(err, "%s:%u", name, parser.line) : 0;
}
