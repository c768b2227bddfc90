/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/recipe/template.c: which values arguments have, where they are put, and what stays as it is.
 */
#include "builder/recipe/template.h"

#include "builder/recipe/recipe.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "Bootstrap: docker\nFrom: a\n"
#define ARGUMENTS "%arguments\nA=1\nB=x y\n"

/* The text with arguments in place, or what is wrong. options: of the command line, one after the other, ended by NULL. */
static char *apply(const char *text, const char *const *options, const char *file, struct template_arguments *arguments, struct err *err)
{
	char *result = NULL;
	size_t bytes;
	int r = 0;
	*err = (struct err)ERR_INIT;
	for (; r == 0 && options != NULL && *options != NULL; options++)
		r = template_arguments_add(arguments, *options, err);
	if (r == 0 && file != NULL)
		r = template_arguments_read(arguments, "a.args", file, strlen(file), err);
	if (r == 0)
		r = template_apply("a.def", text, strlen(text), arguments, &result, &bytes, err);
	if (r == 0)
		check_int(bytes, strlen(result));
	return r < 0 ? strdup(err->text) : result;
}

static void check_apply(const char *text, const char *const *options, const char *file, const char *expected)
{
	struct template_arguments arguments = { .count = 0 };
	struct err err;
	autofree char *result = apply(text, options, file, &arguments, &err);
	check_str(result, expected);
	template_arguments_free(&arguments);
}

static const struct {
	const char *sentence, *before, *after; /* lines behind HEAD "%help\n", where A is 1 and B is "x y" */
} lines[] = {
	{ "an argument", "{{ A }}", "1" },
	{ "without blanks, and with many", "{{A}}{{ \t A\t}}", "11" },
	{ "several in a line", "a {{ A }} b {{ B }} c{{A}}", "a 1 b x y c1" },
	{ "braces around it", "{{{A}}} {{{{A}}}} ${{{A}}}", "{1} {{1}} ${1}" },
	{ "what is no name", "{{ .A }} {{ A | b }} {{ A-B }} {{}} {{ }} {{ A } } { { A }}", "{{ .A }} {{ A | b }} {{ A-B }} {{}} {{ }} {{ A } } { { A }}" },
	{ "braces that do not end", "{{ A {{ A", "{{ A {{ A" },
	{ "one within another", "{{ {{ A }} }}", "{{ 1 }}" },
	{ "a comment", " # {{ A }} {{ C }}", " # {{ A }} {{ C }}" },
	{ "a comment behind something", "a # {{ A }}", "a # 1" },
	{ "nothing", "a", "a" },
};

static void test_lines(void)
{
	for (size_t i = 0; i < COUNT(lines); i++)
		test_case ("in a line: %s", lines[i].sentence) {
			autofree char *text = NULL, *expected = NULL;
			if (asprintf(&text, HEAD "%%help\n%s\n%s", lines[i].before, ARGUMENTS) < 0 ||
			    asprintf(&expected, HEAD "%%help\n%s\n%s", lines[i].after, ARGUMENTS) < 0)
				break;
			check_apply(text, NULL, NULL, expected);
		}
	test_case ("in every part of a recipe, and in the name of an agent") {
		const char *const options[] = { "agent=docker", "SECTION=post", "_1=x", NULL };
		check_apply("Bootstrap: {{ agent }}\nFrom: {{ _1 }}\n%{{SECTION}}\n%files\n{{_1}} /{{_1}}\n", options, NULL, "a.def:3: there is no section '%{{SECTION}}'");
		check_apply("Bootstrap: {{ agent }}\nFrom: {{ _1 }}\n%files\n{{_1}} /{{_1}}\n", options, NULL, "Bootstrap: docker\nFrom: x\n%files\nx /x\n");
	}
	test_case ("a recipe of Windows, with a mark and without an end") {
		check_apply("\xef\xbb\xbf" "Bootstrap: docker\r\nFrom: {{ A }}\r\n%arguments\r\nA=1", NULL, NULL, "Bootstrap: docker\nFrom: 1\n%arguments\nA=1\n");
	}
	test_case ("nothing is nothing") {
		check_apply("", NULL, NULL, "");
	}
}

static void test_values(void)
{
	test_case ("the command line comes before a file, and that before %%arguments") {
		const char *const options[] = { "A=option", NULL };
		check_apply("Bootstrap: docker\nFrom: {{A}}{{B}}{{C}}\n%arguments\nA=1\nB=2\nC=3\n", options, "A=file\nB=file\n",
			    "Bootstrap: docker\nFrom: optionfile3\n%arguments\nA=1\nB=2\nC=3\n");
	}
	test_case ("the last one of a name counts") {
		const char *const options[] = { "A=1", "A=2", NULL };
		check_apply(HEAD "%help\n{{A}}{{B}}{{C}}\n%arguments\nC=1\nC=2\n", options, "B=1\nB=2\n", HEAD "%help\n222\n%arguments\nC=1\nC=2\n");
	}
	test_case ("a value may be empty, have signs and what looks like an argument: it is taken literally") {
		const char *const options[] = { "A=", "B= a=b '\"$\\ ", "C={{ A }}", NULL };
		check_apply(HEAD "%help\n<{{A}}|{{B}}|{{C}}>\n", options, NULL, HEAD "%help\n<| a=b '\"$\\ |{{ A }}>\n");
	}
	test_case ("a file has comments, blank lines and blanks around names and values") {
		check_apply(HEAD "%help\n<{{A}}|{{B}}>\n", NULL, "\xef\xbb\xbf# x\r\n\r\n \t# y=z\r\n A = a b # c \r\nB=\r\n", HEAD "%help\n<a b # c|>\n");
	}
	test_case ("%%arguments has comments and blank lines, wherever it stands and however often") {
		check_apply("Bootstrap: docker\nFrom: {{ A }}:{{ B }}\n%arguments\n# A=2\n\n A = 1 \n%help\n%arguments\nB=2\n", NULL, NULL,
			    "Bootstrap: docker\nFrom: 1:2\n%arguments\n# A=2\n\n A = 1 \n%help\n%arguments\nB=2\n");
	}
	test_case ("%%arguments is one stage's, also for the line Bootstrap: itself") {
		check_apply("Bootstrap: {{ A }}\nFrom: {{ A }}\n%arguments\nA=docker\n" "bootstrap: {{ A }}\n%arguments\nA=scratch\n", NULL, NULL,
			    "Bootstrap: docker\nFrom: docker\n%arguments\nA=docker\n" "bootstrap: scratch\n%arguments\nA=scratch\n");
		check_apply(HEAD "%arguments\nA=1\n" HEAD "%help\n{{ A }}\n", NULL, NULL, "a.def:8: the argument 'A' has no value");
	}
	test_case ("a value in %%arguments has others in it: given ones, earlier ones, and later ones that are plain") {
		const char *const options[] = { "G={{ x }}", NULL };
		check_apply(HEAD "%help\n{{E}}\n%arguments\nA={{B}}.{{G}}\nB=1\nC={{A}}-{{A}}\nE={{C}}\n", options, NULL,
			    HEAD "%help\n1.{{ x }}-1.{{ x }}\n%arguments\nA=1.{{ x }}\nB=1\nC=1.{{ x }}-1.{{ x }}\nE=1.{{ x }}-1.{{ x }}\n");
	}
}

/* Of these, A is 1, and "name" has no value. */
static const struct {
	const char *sentence, *before, *after;
} documents[] = {
	{ "what has no value stays", "%post\ncat <<E\n{{ A }} {{  name }}\nE\n{{ A }}\n", "%post\ncat <<E\n1 {{  name }}\nE\n1\n" },
	{ "the line that begins one is none of it", "%post\ncat <<E {{ name }}\nE\n", "a.def:4: the argument 'name' has no value" },
	{ "behind its end, a name needs a value", "%post\ncat <<E\nE\n{{ name }}\n", "a.def:6: the argument 'name' has no value" },
	{ "its delimiter is a value", "%post\ncat <<{{ A }}\n{{ name }}\n{{ A }}\n", "%post\ncat <<1\n{{ name }}\n1\n" },
	{ "what begins it is a value", "%post\ncat {{ OPERATOR }}\n{{ name }}\nE\n", "%post\ncat <<E\n{{ name }}\nE\n" },
	{ "comments in it stay, too", "%post\ncat <<E\n# {{ A }}\nE\n", "%post\ncat <<E\n# {{ A }}\nE\n" },
	{ "sections in it are text", "%post\ncat <<E\n%arguments\nname=1\nE\n{{ name }}\n", "a.def:8: the argument 'name' has no value" },
	{ "none in a section that is no script", "%help\ncat <<E\n{{ name }}\nE\n", "a.def:5: the argument 'name' has no value" },
};

static void test_documents(void)
{
	const char *const options[] = { "A=1", "OPERATOR=<<E", NULL };
	for (size_t i = 0; i < COUNT(documents); i++)
		test_case ("here-documents: %s", documents[i].sentence) {
			autofree char *text = NULL, *expected = NULL;
			bool refused = documents[i].after[0] == 'a';
			if (asprintf(&text, HEAD "%s", documents[i].before) < 0 || asprintf(&expected, "%s%s", refused ? "" : HEAD, documents[i].after) < 0)
				break;
			check_apply(text, options, NULL, expected);
		}
}

static const struct {
	const char *sentence, *text, *option, *file, *message, *hint;
} refused[] = {
	{ "a name without a value", HEAD "%help\n\n {{ name }}\n", NULL, NULL, "a.def:5: the argument 'name' has no value", "--build-arg name=VALUE, or in %arguments" },
	{ "a name that is misspelt", HEAD "%help\n{{ VERSOIN }}\n%arguments\nVERSION=1\n", NULL, NULL,
	  "a.def:4: the argument 'VERSOIN' has no value: did you mean 'VERSION'?", "" },
	{ "a name in another case", HEAD "%help\n{{ version }}\n", "VERSION=1", NULL, "the argument 'version' has no value: did you mean 'VERSION'?", "" },
	{ "a name without a value in a value", HEAD "%arguments\nA={{ x }}\n", NULL, NULL, "a.def:4: the argument 'x' has no value", "" },
	{ "a value in a circle", HEAD "%arguments\nA={{ A }}\n", NULL, NULL, "a.def:4: 'A' has 'A' in it, which has another one in it and does not stand before", "" },
	{ "a value with a later one that is not plain", HEAD "%arguments\nA={{ B }}\nB={{ C }}\nC=1\n", NULL, NULL, "a.def:4: 'A' has 'B' in it", "" },
	{ "a line without a value in %arguments", HEAD "%arguments\nA=1\nB\n", NULL, NULL, "a.def:5: 'B' is no argument: NAME=VALUE", "" },
	{ "a bad name in %arguments", HEAD "%arguments\nA-B=1\n", NULL, NULL, "a.def:4: 'A-B' is no name of an argument", "a name has letters, digits and '_'" },
	{ "an option without a value", HEAD, "A", NULL, "'A' is no argument: NAME=VALUE", "" },
	{ "an option without a name", HEAD, "=1", NULL, "'' is no name of an argument", "" },
	{ "an option with a bad name", HEAD, "\xc3\xa4=1", NULL, "is no name of an argument", "" },
	{ "an option of two lines", HEAD, "A=1\n%post", NULL, "the value of the argument 'A' has more than one line", "" },
	{ "an option with a return", HEAD, "A=1\rb", NULL, "the value of the argument 'A' has more than one line", "" },
	{ "a line without a value in a file", HEAD, NULL, "A=1\n\nB\n", "a.args:3: 'B' is no argument: NAME=VALUE", "" },
	{ "a bad name in a file", HEAD, NULL, "A B=1\n", "a.args:1: 'A B' is no name of an argument", "" },
	{ "an unknown section", HEAD "%pots\n", NULL, NULL, "a.def:3: there is no section '%pots': did you mean 'post'?", "" },
	{ "an unknown section that a value makes", HEAD "%help\n{{ A }}\n", "A=%no", NULL, "a.def:4: there is no section '%no'", "" },
};

static void test_refused(void)
{
	for (size_t i = 0; i < COUNT(refused); i++)
		test_case ("refused: %s", refused[i].sentence) {
			const char *const options[] = { refused[i].option, NULL };
			struct template_arguments arguments = { .count = 0 };
			struct err err;
			autofree char *result = apply(refused[i].text, options, refused[i].file, &arguments, &err);
			check_int(err.code, -EINVAL);
			check_has(result, refused[i].message);
			check_has(err.hint, refused[i].hint);
			template_arguments_free(&arguments);
		}
}

static void test_used(void)
{
	test_case ("which arguments the text does not use") {
		const char *const options[] = { "A=1", "B=2", "C=3", NULL };
		struct template_arguments arguments = { .count = 0 };
		struct err err;
		free(apply(HEAD "%help\n{{ A }}\n# {{ B }}\n%arguments\nD={{ C }}\n", options, "A=1\nE=2\n", &arguments, &err));
		static const struct {
			const char *name;
			bool from_file, used;
		} expected[] = { { "A", false, true }, { "B", false, false }, { "C", false, true }, { "A", true, true }, { "E", true, false } };
		check_int(arguments.count, COUNT(expected));
		for (size_t i = 0; i < COUNT(expected) && i < arguments.count; i++) {
			check_str(arguments.list[i].name, expected[i].name);
			check_int(arguments.list[i].from_file, expected[i].from_file);
			check_int(arguments.list[i].used, expected[i].used);
		}
		template_arguments_free(&arguments);
	}
}

/* Lines "A0=1" and so on, or a text that is repeated. The caller frees. */
static char *repeat(const char *head, const char *format, size_t count)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	fputs(head, out);
	for (size_t i = 0; i < count; i++)
		fprintf(out, strchr(format, '%') != NULL ? "A%zu=1\n" : "{{ A }}", i);
	fclose(out);
	return text;
}

static void test_limits(void)
{
	struct template_arguments arguments = { .count = 0 };
	struct err err;
	test_case ("1024 arguments are the most") {
		autofree char *file = repeat("", "%", TEMPLATE_ARGUMENTS_MAX), *more = repeat("", "%", TEMPLATE_ARGUMENTS_MAX + 1);
		autofree char *here = repeat(HEAD "%arguments\n", "%", TEMPLATE_ARGUMENTS_MAX + 1);
		check_apply(HEAD, NULL, file, HEAD);
		check_apply(HEAD, NULL, more, "a.args:1025: there are more than 1024 arguments");
		check_apply(here, NULL, NULL, "a.def:1028: there are more than 1024 arguments");
	}
	test_case ("a recipe that arguments make too long") {
		autofree char *value = repeat("A=", "", 20000), *text = repeat(HEAD "%help\n", "", 2000);
		const char *const options[] = { value, NULL };
		autofree char *result = apply(text, options, NULL, &arguments, &err);
		check_str(result, "a.def:4: with its arguments, the recipe is longer than 16 MiB");
		template_arguments_free(&arguments);
	}
	test_case ("values in %%arguments that grow with each other") {
		autofree char *text = NULL;
		check(asprintf(&text, HEAD "%%arguments\nA=%01000d\nB={{A}}{{A}}{{A}}{{A}}{{A}}{{A}}{{A}}{{A}}{{A}}{{A}}\nC={{B}}{{B}}{{B}}{{B}}{{B}}{{B}}{{B}}{{B}}{{B}}{{B}}\n"
				      "D={{C}}{{C}}{{C}}{{C}}{{C}}{{C}}{{C}}{{C}}{{C}}{{C}}\nE={{D}}{{D}}{{D}}{{D}}{{D}}{{D}}{{D}}{{D}}{{D}}{{D}}\n"
				      "F={{E}}{{E}}{{E}}{{E}}{{E}}{{E}}{{E}}{{E}}{{E}}{{E}}\n", 0) > 0);
		autofree char *result = apply(text, NULL, NULL, &arguments, &err);
		check_int(err.code, -EFBIG);
		check_str(result, "a.def:9: with its arguments, the recipe is longer than 16 MiB");
	}
}

int main(void)
{
	test_lines();
	test_values();
	test_documents();
	test_refused();
	test_used();
	test_limits();
	return test_end();
}
