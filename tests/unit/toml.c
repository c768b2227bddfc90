/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/registry/toml.c: what of TOML is understood, and each refusal with its line.
 */
#include "builder/registry/toml.h"

#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All that a reader is told, as one line. */
static struct {
	char text[1024];
} told;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list args;
	size_t used = strlen(told.text);
	va_start(args, format);
	vsnprintf(told.text + used, sizeof(told.text) - used, format, args);
	va_end(args);
}

static int take_table(void *context, const char *name, bool in_array, struct err *err)
{
	(void)context;
	if (strcmp(name, "refuse") == 0)
		return err_set(err, EINVAL, "no");
	tell(in_array ? "[[%s]] " : "[%s] ", name);
	return 0;
}

static int take_value(void *context, const char *key, const struct toml_value *value, struct err *err)
{
	(void)context;
	if (strcmp(key, "refuse") == 0)
		return err_set(err, EINVAL, "not that");
	tell("%s=", key);
	switch (value->type) {
	case TOML_STRING: tell("'%s' ", value->string); break;
	case TOML_BOOLEAN: tell("%s ", value->boolean ? "true" : "false"); break;
	case TOML_OTHER: tell("? "); break;
	case TOML_STRINGS:
		tell("(");
		for (size_t i = 0; i < value->strings.count; i++)
			tell("%s;", value->strings.items[i]);
		tell(") ");
		break;
	}
	return 0;
}

static int read_text(const char *text, size_t bytes, struct err *err)
{
	static const struct toml_reader reader = { .table = take_table, .value = take_value };
	/* A copy of just that size, so that a sanitizer sees what is read behind it. */
	char *copy = malloc(bytes + 1 - (bytes > 0));
	memcpy(copy, text, bytes);
	told.text[0] = '\0';
	*err = (struct err)ERR_INIT;
	int r = toml_read("a.conf", copy, bytes, &reader, NULL, NULL, err);
	free(copy);
	return r;
}

static void test_understood(void)
{
	static const struct {
		const char *what, *text, *told;
	} cases[] = {
		{ "nothing", "", "" },
		{ "comments and blank lines", "# a\n\n \t# b\r\n#", "" },
		{ "strings", "a = \"x\"\nb='y'", "a='x' b='y' " },
		{ "an empty string", "a = \"\"\nb = ''", "a='' b='' " },
		{ "escapes", "a = \"\\t\\\"\\\\\\u00e9\\U0001F600\"", "a='\t\"\\\xc3\xa9\xf0\x9f\x98\x80' " },
		{ "no escapes in literal strings", "a = 'C:\\n'", "a='C:\\n' " },
		{ "a hash in a string", "a = \"#1\" # two", "a='#1' " },
		{ "booleans", "a=true\nb = false # no", "a=true b=false " },
		{ "numbers and times, skipped", "a = 1\nb = -2.5e3\nc = 1979-05-27T07:32:00Z\nd = inf", "a=? b=? c=? d=? " },
		{ "arrays", "a = [\"x\", 'y']\nb=[]", "a=(x;y;) b=() " },
		{ "arrays over lines, with comments and a comma at the end", "a = [ # one\n  \"x\",\n\n 'y', # two\n]\n",
		  "a=(x;y;) " },
		{ "arrays of numbers, skipped", "a = [1, 2]", "a=? " },
		{ "tables", "[t]\na=true\n[ u . v ] # w\n", "[t] a=true [u.v] " },
		{ "arrays of tables", "[[t]]\n[[t.u]]\n[[t]]", "[[t]] [[t.u]] [[t]] " },
		{ "quoted keys", "\"a\" = 'x'\n'b.c'.d = 'y'", "a='x' \"b.c\".d='y' " },
		{ "the same key in two tables", "[t]\na=true\n[u]\na=true", "[t] a=true [u] a=true " },
		{ "lines that end as in DOS", "[t]\r\na = 'x'\r\n", "[t] a='x' " },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it understands %s", cases[i].what) {
			struct err err;
			check_int(read_text(cases[i].text, strlen(cases[i].text), &err), 0);
			check_str(told.text, cases[i].told);
			check_str(err.text, "");
		}
}

static void test_refused(void)
{
	static const struct {
		const char *what, *text, *message;
	} cases[] = {
		{ "a key without a value", "a\n", "a.conf:1: the key 'a' has no '='" },
		{ "a key with nothing behind '='", "a =\n", "a.conf:1: '' is no value: text needs quotation marks" },
		{ "text without quotation marks", "\n\na = docker.io",
		  "a.conf:3: 'docker.io' is no value: text needs quotation marks" },
		{ "something behind a value", "a = true false", "a.conf:1: unexpected 'f' after a value" },
		{ "something behind a table's name", "[t] a", "a.conf:1: unexpected 'a' after a table's name" },
		{ "a string without its end", "a = \"x\nb='y'", "a.conf:1: a string does not end on its line" },
		{ "a string that the file ends in", "a = 'x", "a.conf:1: a string does not end on its line" },
		{ "a backslash that the file ends in", "a = \"\\", "a.conf:1: a string has an unknown escape sequence" },
		{ "an unknown escape sequence", "a = \"\\x41\"", "a.conf:1: a string has an unknown escape sequence" },
		{ "a code point that is cut short", "a = \"\\u12", "a.conf:1: a string has '\\u' without 4 hex digits" },
		{ "a code point that is none", "a = \"\\ud800\"", "a.conf:1: a string has the character U+D800" },
		{ "a zero character", "a = \"\\u0000\"", "a.conf:1: a string has the character U+0000" },
		{ "a code point beyond the last", "a = \"\\UFFFFFFFF\"", "a.conf:1: a string has the character U+FFFFFFFF" },
		{ "a control character in a string", "a = \"\x01\"", "a.conf:1: a control character in a string" },
		{ "a control character in a comment", "# \x01", "a.conf:1: a control character in a comment" },
		{ "a string over several lines", "a = \"\"\"x\"\"\"", "a.conf:1: strings over several lines are not supported" },
		{ "an inline table", "a = { b = true }", "a.conf:1: inline tables are not supported: write [table]" },
		{ "a nested array", "a = [['x']]", "a.conf:1: arrays in arrays and inline tables are not supported" },
		{ "an array of inline tables", "a = [{b=true}]", "a.conf:1: arrays in arrays and inline tables are not supported" },
		{ "an array without a comma", "a = ['x' 'y']", "a.conf:1: an array lacks a comma or its end" },
		{ "an array without its end", "a = ['x',\n", "a.conf:2: an array lacks a comma or its end" },
		{ "an array with an empty item", "a = ['x',,'y']", "a.conf:1: '' is no value" },
		{ "a table that is not closed", "[t\na=true", "a.conf:1: the table's name 't' is not closed with ]" },
		{ "an array of tables that is not closed", "[[t]\n", "a.conf:1: the table's name 't' is not closed with ]]" },
		{ "a table without a name", "[]", "a.conf:1: expected a key, or a table in brackets" },
		{ "a name that ends in a dot", "a. = true", "a.conf:1: expected a key, or a table in brackets" },
		{ "a value without a key", "= true", "a.conf:1: expected a key, or a table in brackets" },
		{ "a key that comes twice", "a = true\n# and\na = false", "a.conf:3: the key 'a' is there twice" },
		{ "a key that comes twice, once quoted", "a = true\n\"a\" = false", "a.conf:2: the key 'a' is there twice" },
		{ "a table that comes twice", "[t]\n[u]\n[t]\n", "a.conf:3: the table 't' is there twice" },
		{ "a table that its reader refuses", "a=true\n[refuse]\n", "a.conf:2: no" },
		{ "a value that its reader refuses", "\nrefuse=true\n", "a.conf:2: not that" },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("it refuses %s", cases[i].what) {
			struct err err;
			check_int(read_text(cases[i].text, strlen(cases[i].text), &err), -EINVAL);
			check_has(err.text, cases[i].message);
		}
	test_case ("it refuses a zero byte anywhere") {
		static const char text[] = "a = ['x', \"y\"]\n[t]\n# c\nb = true\n";
		struct err err;
		for (size_t i = 0; i < sizeof(text) - 1; i++) {
			char copy[sizeof(text)];
			memcpy(copy, text, sizeof(text));
			copy[i] = '\0';
			check_int(read_text(copy, sizeof(text) - 1, &err), -EINVAL);
		}
	}
	test_case ("a text that is cut anywhere is read or refused, never read beyond") {
		static const char text[] = "a = ['x', \"\\u00e9\"]\r\n[[t.'u']]\n# c\nb = true\n\"c\" = 1";
		struct err err;
		for (size_t i = 0; i < sizeof(text); i++) {
			int r = read_text(text, i, &err);
			check(r == 0 || r == -EINVAL);
		}
	}
}

int main(void)
{
	test_understood();
	test_refused();
	return test_end();
}
