/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/recipe: what stages, headers and sections a recipe has, what is refused, and what a shell's here-documents hide. A
 * parsed recipe is compared as one line: "docker From=debian:12 | post@4 -c,/bin/bash {text}".
 */
#include "builder/recipe/recipe.h"

#include "builder/recipe/nearest.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "Bootstrap: docker\nFrom: a\n"

static void print_part(FILE *out, const struct recipe_part *part)
{
	fprintf(out, " | %s%s%s@%u", recipe_section_name(part->section), part->app != NULL ? ":" : "", part->app != NULL ? part->app : "", part->line);
	for (size_t i = 0; i < part->words.count; i++)
		fprintf(out, "%c%s", i == 0 ? ' ' : ',', part->words.items[i]);
	fprintf(out, " {%s}", part->text);
}

static void print_stage(FILE *out, const struct recipe_stage *stage)
{
	fputs(recipe_agent_name(stage->agent), out);
	for (size_t i = 1; i < stage->header_count; i++)
		fprintf(out, " %s=%s", stage->headers[i].key, stage->headers[i].value);
	for (size_t i = 0; i < stage->part_count; i++)
		print_part(out, &stage->parts[i]);
}

/* The recipe as one line, or what is wrong with it. The caller frees. */
static char *describe(const char *text, size_t bytes, struct err *err)
{
	char *line = NULL;
	size_t line_bytes;
	struct recipe recipe;
	FILE *out = open_memstream(&line, &line_bytes);
	*err = (struct err)ERR_INIT;
	if (recipe_parse("a.def", text, bytes, &recipe, err) < 0)
		fputs(err->text, out);
	for (size_t i = 0; i < recipe.stage_count; i++) {
		fputs(i > 0 ? " || " : "", out);
		print_stage(out, &recipe.stages[i]);
	}
	recipe_free(&recipe);
	fclose(out);
	return line;
}

static const struct {
	const char *sentence, *text, *expected;
} accepted[] = {
	{ "a header alone", HEAD, "docker From=a" },
	{ "keys and agents in any case, blanks around them", " bOOTstrap:Docker\n\tfrom : \t a:1 \n", "docker From=a:1" },
	{ "comments and blank lines before and in the header", "# x\n\n  # y\nBootstrap: docker # z\n#\n\nFrom: a#b\n", "docker From=a" },
	{ "a value over several lines", "Bootstrap: dnf\nMirrorURL: http://x/\\\n  y\nInclude: a \\\n\tb \\ # c\n  d\n", "dnf MirrorURL=http://x/y Include=a b d" },
	{ "a backslash before a blank line ends there", "Bootstrap: dnf\nMirrorURL: x\nInclude: a \\\n\nOSVersion: 9\n", "dnf MirrorURL=x Include=a OSVersion=9" },
	{ "the key of Singularity 2 without a meaning", HEAD "IncludeCmd: yes\n", "docker From=a IncludeCmd=yes" },
	{ "an empty value that is not needed", HEAD "Registry:\n", "docker From=a Registry=" },
	{ "every other agent",
	  "Bootstrap: oci\nFrom: a\nBootstrap: oci-archive\nFrom: a\nBootstrap: docker-archive\nFrom: a\nBootstrap: localimage\nFrom: a\nFingerprints: b\n"
	  "Bootstrap: scratch\nBootstrap: debootstrap\nOSVersion: a\nMirrorURL: b\nInclude: c\nBootstrap: yum\nMirrorURL: a%{OSVERSION}\nOSVersion: 8\n"
	  "UpdateURL: b\nSetopt: c\nInclude: d\n",
	  "oci From=a || oci-archive From=a || docker-archive From=a || localimage From=a Fingerprints=b || scratch || debootstrap OSVersion=a "
	  "MirrorURL=b Include=c || yum MirrorURL=a%{OSVERSION} OSVersion=8 UpdateURL=b Setopt=c Include=d" },
	{ "a section, its text exactly as it stands", HEAD "%post\n  a\n\n# b\t\n", "docker From=a | post@4 {  a\n\n# b\t\n}" },
	{ "no newline at the end", HEAD "%post\na", "docker From=a | post@4 {a\n}" },
	{ "a section without lines", HEAD "%post\n%test\n", "docker From=a | post@4 {} | test@5 {}" },
	{ "a section at the end of the file", HEAD "%post", "docker From=a | post@4 {}" },
	{ "all sections", HEAD "%pre\n%setup\n%files\n%post\n%environment\n%runscript\n%startscript\n%test\n%labels\n%help\n%arguments\n",
	  "docker From=a | pre@4 {} | setup@5 {} | files@6 {} | post@7 {} | environment@8 {} | runscript@9 {} | startscript@10 {} | test@11 {}"
	  " | labels@12 {} | help@13 {} | arguments@14 {}" },
	{ "all sections of apps", HEAD "%appinstall x\n%applabels x\n%appfiles x\n%appenv x\n%apptest x\n%apphelp x\n%apprun x\n%appstart y\n",
	  "docker From=a | appinstall:x@4 {} | applabels:x@5 {} | appfiles:x@6 {} | appenv:x@7 {} | apptest:x@8 {} | apphelp:x@9 {} | apprun:x@10 {}"
	  " | appstart:y@11 {}" },
	{ "repeated sections, in order", HEAD "%post\na\n%help\nb\n%post\nc\n", "docker From=a | post@4 {a\n} | help@6 {b\n} | post@8 {c\n}" },
	{ "an indented section, in any case", HEAD "\t %POST\na\n", "docker From=a | post@4 {a\n}" },
	{ "words after a section's name", HEAD "%post -c \"/bin/bash -x\" 'a\\b' a\\ b \"a\\\"\" \"\" # c 'd\n", "docker From=a | post@4 -c,/bin/bash -x,a\\b,a b,a\", {}" },
	{ "words after an app's name", HEAD "%apprun 'x' -e\n", "docker From=a | apprun:x@4 -e {}" },
	{ "line ends of Windows", "Bootstrap: docker\r\nFrom: a\r\n%post\r\ncat <<E\r\n%x\r\nE\r\na\r", "docker From=a | post@4 {cat <<E\n%x\nE\na\r\n}" },
	{ "a byte order mark and UTF-8", "\xef\xbb\xbf" HEAD "%help\n\xc3\xa4\n", "docker From=a | help@4 {\xc3\xa4\n}" },
	{ "bytes that are no UTF-8", HEAD "%post\n\xff\n", "docker From=a | post@4 {\xff\n}" },
	{ "tabs", "Bootstrap:\tdocker\t\n\tFrom:\ta\n\t%post\t-c\tsh\n", "docker From=a | post@4 -c,sh {}" },
	{ "stages, with names and without", HEAD "Stage: b\nBOOTSTRAP: scratch\n%files from b\nx\nbootstrap: scratch\n", "docker From=a Stage=b || scratch | files@6 from,b {x\n} || scratch" },
	{ "Bootstrap: that is indented, behind the first one, is text", HEAD "%help\n  Bootstrap: x\n", "docker From=a | help@4 {  Bootstrap: x\n}" },
	{ "quotes and << in sections that are no scripts", HEAD "%help\ndon't <<EOF\n%labels\na <<B\n%files\n%post\n",
	  "docker From=a | help@4 {don't <<EOF\n} | labels@6 {a <<B\n} | files@8 {} | post@9 {}" },
};

static void test_accepted(void)
{
	for (size_t i = 0; i < COUNT(accepted); i++)
		test_case ("%s", accepted[i].sentence) {
			struct err err;
			autofree char *line = describe(accepted[i].text, strlen(accepted[i].text), &err);
			check_str(line, accepted[i].expected);
		}
}

/* What stands in %post, before the line "%files". hidden: that line is text, and an END follows. */
static const struct {
	const char *sentence, *script;
	bool hidden;
} scripts[] = {
	{ "a here-document", "cat <<END\n", true },
	{ "with blanks before the delimiter, and more behind it", "cat << \t END > x; y\n", true },
	{ "with a delimiter in single quotes", "cat <<'END'\n", true },
	{ "with a delimiter in double quotes", "cat <<\"END\"\n", true },
	{ "with a delimiter in which a character is quoted", "cat <<E\\ND'' \n", true },
	{ "with a descriptor", "cat 3<<END\n", true },
	{ "the second one of a line", "cat <<A <<END\na\nA\n", true },
	{ "the third one of a line", "cat <<A 4<<-B <<END\na\nA\nb\n\t\tB\n", true },
	{ "one that ends only at the left margin", "cat <<END\n END\n\tEND\nEND \nENDE\n", true },
	{ "one behind another", "cat <<A\n%x\nBootstrap: y\nA\ncat <<END\n", true },
	{ "the line that ends one is over", "cat <<A\n%x\nA\n", false },
	{ "an empty delimiter ends at an empty line", "cat <<''\n%x\n\n", false },
	{ "no delimiter at all is no here-document", "cat <<\n", false },
	{ "in parentheses", "(cat <<END\n", true },
	{ "in a substitution", "x=$(cat <<END\n", true },
	{ "in a substitution that ends on the line", "x=$(cat <<END)\n", true },
	{ "in a substitution within double quotes", "x=\"a $(b \"c\" <<END\n", true },
	{ "in backticks", "x=`cat <<END\n", true },
	{ "in backticks within double quotes", "x=\"`cat <<END`\"\n", true },
	{ "behind a pipe, braces and a function", "f() { a | b && cat <<END | c; }\n", true },
	{ "behind a case's pattern", "case $x in a) cat <<END ;;\n", true },
	{ "behind parentheses in a case's pattern", "case $x in (a|b) cat <<END ;;\n", true },
	{ "on a line that goes on", "cat <<END \\\n> x\n", true },
	{ "behind a line that goes on", "cat \\\n<<END\n", true },
	{ "on a line that goes on in quotes", "cat <<END 'a\nb'\n", true },
	{ "behind quotes over two lines", "echo 'a <<A\nb' \"c <<B\n\"; cat <<END\n", true },
	{ "behind comments with quotes", "# don't\na # it's \"\ncat <<END\n", true },
	{ "behind words with #", "a#' ' $# ${#x} ${x#y} \\# <<END\n", true },
	{ "behind quotes in braces", "a ${x#'} <<A'} \"${x:-'}\" <<END\n", true },
	{ "behind a $'…' with a quote", "a $'it\\'s' <<END\n", true },
	{ "behind a $ at the end of quotes", "a \"$\" '$' $ <<END\n", true },
	{ "behind an escaped quote", "a \\' \\\" \\` <<END\n", true },
	{ "behind a here-string", "a <<<'b' <<END\n", true },
	{ "behind arithmetic", "a $(( 1 << (2) )) $((x<<y)) $[1<<2] <<END\n", true },
	{ "behind arithmetic of bash", "((x = 1 << 2)); for ((i=0; i<<2; i++)); do a <<END; done\n", true },
	{ "one in whose text a line ends with a backslash", "cat <<END\na\\\nEND\nEND\ncat <<END\n", true },
	{ "with quotes, the same line is only text", "cat <<'END'\na\\\nEND\ncat <<'END'\n", true },
	{ "two backslashes join nothing", "cat <<A\na\\\\\nA\n", false },
	{ "text that looks like the beginning of another one", "cat <<A\n$(cat <<B\n'\nA\n", false },
	{ "here-strings", "a <<<END\na <<< END\n", false },
	{ "arithmetic", "a=$((1<<END)); a=$(( 1 << END ))\n((a<<END))\nb=$[1<<END]\n", false },
	{ "arithmetic over several lines", "a=$(( (1)\n<<END ))\n", false },
	{ "comments", "# cat <<END\na # <<END\na;# <<END\n(# <<END\n)\n", false },
	{ "single quotes", "a '<<END' 'b\n<<END\n'\n", false },
	{ "double quotes", "a \"<<END\" \"b\n\\\"<<END\n\"\n", false },
	{ "an escaped sign", "a \\<<END\n", false },
	{ "braces", "a ${x:-<<END}\n", false },
	{ "a quote that never ends", "echo don't\n", false },
};

static void test_heredocs(void)
{
	for (size_t i = 0; i < COUNT(scripts); i++)
		test_case ("%s: %%files is %s", scripts[i].sentence, scripts[i].hidden ? "text" : "a section") {
			struct err err = ERR_INIT;
			struct recipe recipe;
			autofree char *text = NULL, *expected = NULL;
			if (asprintf(&text, HEAD "%%post\n%s%%files\nBootstrap: b\n%s", scripts[i].script, scripts[i].hidden ? "END\n%labels\n" : "") < 0 ||
			    asprintf(&expected, "%s%s", scripts[i].script, scripts[i].hidden ? "%files\nBootstrap: b\nEND\n" : "") < 0)
				break;
			int r = recipe_parse("a.def", text, strlen(text), &recipe, &err);
			if (scripts[i].hidden && check_int(r, 0)) {
				check_int(recipe.stages[0].part_count, 2);
				check_str(recipe.stages[0].parts[0].text, expected);
			}
			if (!scripts[i].hidden)
				check_has(err.text, ": there is no agent 'b'");
			recipe_free(&recipe);
		}
	static const char *const sections[] = { "pre", "setup", "post", "environment", "runscript", "startscript", "test", "appinstall x", "appenv x",
						"apptest x", "apprun x", "appstart x" };
	for (size_t i = 0; i < COUNT(sections); i++)
		test_case ("%%%s is a script", sections[i]) {
			struct err err;
			autofree char *text = NULL;
			if (asprintf(&text, HEAD "%%%s\ncat <<E\n%%x\nE\n", sections[i]) < 0)
				break;
			autofree char *line = describe(text, strlen(text), &err);
			check_has(line, "{cat <<E\n%x\nE\n}");
		}
}

static const struct {
	const char *begin;
	bool shell;
} languages[] = {
	{ "%post -c /bin/bash\n", true },
	{ "%post -c '/usr/bin/env bash -e'\n", true },
	{ "%post -c /usr/bin/python3\n", false },
	{ "%runscript\n#!/bin/sh -e\n", true },
	{ "%runscript\n#! /usr/bin/env -S bash -e\n", true },
	{ "%runscript\n#!/usr/bin/busybox sh\n", true },
	{ "%runscript\n#!/usr/bin/env python3\n", false },
	{ "%runscript\n#!/opt/my env/python\n", false },
	{ "%test\n#!/usr/bin/perl\n", false },
	{ "%test\n\n \t#!/usr/bin/perl\n", false },
	{ "%test\n# a\n#!/usr/bin/perl\n", true },
	{ "%post\n#!/usr/bin/perl\n", true },
	{ "%setup -c perl\n", false },
	{ "%runscript -c perl\n", true },
};

static void test_languages(void)
{
	for (size_t i = 0; i < COUNT(languages); i++)
		test_case ("%s%s for a shell", languages[i].begin, languages[i].shell ? "is" : "is not") {
			struct err err;
			autofree char *text = NULL;
			if (asprintf(&text, HEAD "%sx = 1 <<2\n%%help\n2\n", languages[i].begin) < 0)
				break;
			autofree char *line = describe(text, strlen(text), &err);
			check_has(line, languages[i].shell ? "x = 1 <<2\n%help\n2\n}" : " | help@");
		}
}

#define TEN "((((((((((" /* the last of many */

static const struct {
	const char *sentence, *text, *message, *hint;
} refused[] = {
	{ "nothing", "", "a.def:1: the recipe is empty", "" },
	{ "only comments", "# a\n\n", "the recipe is empty", "" },
	{ "something else before Bootstrap:", "\nFrom: a\nBootstrap: docker\n", "a.def:2: a recipe begins with a line 'Bootstrap: AGENT', not with this one", "" },
	{ "a section before Bootstrap:", "%post\n" HEAD, "a.def:1: a section comes before the line 'Bootstrap: AGENT'", "" },
	{ "no agent", "Bootstrap:\n", "a.def:1: 'Bootstrap' does not say which agent", "supported are docker, " },
	{ "an agent of Apptainer's", "Bootstrap: library\nFrom: a\n", "a.def:1: the agent 'library' is not supported", "supported are docker, " },
	{ "another one, in any case", "Bootstrap: Docker-Daemon\nFrom: a\n", "the agent 'docker-daemon' is not supported", "" },
	{ "an agent that is misspelt", "Bootstrap: dokcer\nFrom: a\n", "a.def:1: there is no agent 'dokcer': did you mean 'docker'?", "" },
	{ "an agent that nobody knows", "Bootstrap: podman-machine\n", "a.def:1: there is no agent 'podman-machine'", "supported are" },
	{ "a line without a colon in the header", HEAD "x\n", "a.def:3: this is no line of a header: 'Key: value'", "" },
	{ "a key that is misspelt", "Bootstrap: docker\nForm: a\n", "a.def:2: there is no header key 'Form': did you mean 'From'?", "" },
	{ "a key that nobody knows", HEAD "Whatever: a\n", "a.def:3: there is no header key 'Whatever'", "" },
	{ "a key twice", HEAD "from: b\n", "a.def:3: 'From' is there twice, first in line 2", "" },
	{ "a key of another agent", HEAD "\nInclude: b\n", "a.def:4: the agent 'docker' has no header key 'Include'", "" },
	{ "a numbered key of another agent", HEAD "OtherURL12: b\n", "a.def:3: the agent 'docker' has no header key 'OtherURL'", "" },
	{ "a missing key", "#\nBootstrap: localimage\n%post\n", "a.def:2: the agent 'localimage' needs the header key 'From'", "" },
	{ "a key without a value", "Bootstrap: oci\nFrom: # a\n", "a.def:2: the agent 'oci' needs the header key 'From'", "" },
	{ "debootstrap without a version", "Bootstrap: debootstrap\nMirrorURL: a\n", "the agent 'debootstrap' needs the header key 'OSVersion'", "" },
	{ "debootstrap without a mirror", "Bootstrap: debootstrap\nOSVersion: a\n", "the agent 'debootstrap' needs the header key 'MirrorURL'", "" },
	{ "dnf without a mirror", "Bootstrap: dnf\nOSVersion: a\n", "the agent 'dnf' needs the header key 'MirrorURL'", "" },
	{ "an address with a version that is not there", "Bootstrap: yum\nMirrorURL: a/%{OSVERSION}\n", "a.def:2: 'MirrorURL' has '%{OSVERSION}', but", "" },
	{ "an address of updates with one", "Bootstrap: dnf\nMirrorURL: a\nUpdateURL: %{OSVERSION}\n", "a.def:3: 'UpdateURL' has '%{OSVERSION}', but", "" },
	{ "a section that is misspelt", HEAD "%enviroment\n", "a.def:3: there is no section '%enviroment': did you mean 'environment'?", "a line that begins with '%'" },
	{ "an app's section that is misspelt", HEAD "%apprnu x\n", "a.def:3: there is no section '%apprnu': did you mean 'apprun'?", "" },
	{ "a line of a script that begins with %", HEAD "%post\na\n  %sudo ALL=(ALL) ALL\n", "a.def:5: there is no section '%sudo'", "in scripts too, but for lines of here-documents" },
	{ "the sign alone", HEAD "%\n", "a.def:3: there is no section '%'", "" },
	{ "a quote without end in a section's line", HEAD "%post -c 'a\n", "a.def:3: a quote in the section's line does not end", "" },
	{ "an app without a name", HEAD "%apprun\n", "a.def:3: '%apprun' does not say which app: '%apprun NAME'", "" },
	{ "an app whose name is a path", HEAD "%apprun ../x\n", "a.def:3: '../x' is no name for an app", "it has letters, digits" },
	{ "an app whose name is an option", HEAD "%apprun -x\n", "'-x' is no name for an app", "" },
	{ "an app whose name has a variable in it", HEAD "%apprun '$x'\n", "'$x' is no name for an app", "" },
	{ "two stages of one name", HEAD "Stage: x\n" HEAD "Stage: x\n", "a.def:4: there are two stages 'x': the first begins in line 1", "" },
	{ "files from a stage that is not there", HEAD "Stage: x\n%files from y\n", "a.def:4: there is no stage 'y' before this one", "a line 'Stage: y'" },
	{ "files from the stage itself", HEAD "Stage: x\n%files from x\n", "a.def:4: there is no stage 'x' before this one", "" },
	{ "files from a later stage", HEAD "%files from x\n" HEAD "Stage: x\n", "a.def:3: there is no stage 'x' before this one", "" },
	{ "files from nowhere", HEAD "%files from\n", "a.def:3: '%files' is followed by 'from STAGE', or nothing", "" },
	{ "files with another word", HEAD "%files to x\n", "a.def:3: '%files' is followed by 'from STAGE', or nothing", "" },
	{ "a here-document without end", HEAD "%post\na\ncat <<EOF\nx\n%runscript\n", "a.def:5: the here-document that begins here does not end: no line after it is 'EOF'",
	  "nothing may stand before 'EOF'" },
	{ "one whose end is indented by blanks", HEAD "%post\ncat <<-EOF\n EOF\n", "a.def:4: the here-document that begins here does not end", "only tabs may stand before" },
	{ "the second of two", HEAD "%post\ncat <<A <<B\nA\n", "a.def:4: the here-document that begins here does not end: no line after it is 'B'", "" },
	{ "one whose line goes on into the next section", HEAD "%post\ncat <<A \\\n%help\nA\n", "a.def:4: the here-document", "" },
	{ "seventeen on a line", HEAD "%post\n<<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a <<a\n",
	  "a.def:4: there are more than 16 here-documents in a line", "" },
	{ "parentheses without end",
	  HEAD "%post\n( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ("
	       TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN,
	  "a.def:4: more than 256 quotes, parentheses and braces are open within one another", "" },
};

static void test_refused(void)
{
	for (size_t i = 0; i < COUNT(refused); i++)
		test_case ("refused: %s", refused[i].sentence) {
			struct err err;
			autofree char *line = describe(refused[i].text, strlen(refused[i].text), &err);
			check(err.code < 0);
			check_has(line, refused[i].message);
			check_has(err.hint, refused[i].hint);
		}
	test_case ("refused: a zero byte") {
		static const char text[] = HEAD "%post\na\0b\n";
		struct err err;
		autofree char *line = describe(text, sizeof(text) - 1, &err);
		check_str(line, "a.def:4: a zero byte: the file is no text, or not in UTF-8");
	}
	test_case ("refused: an agent that is not supported is another error than one that nobody knows") {
		struct err err;
		free(describe("Bootstrap: shub", 15, &err));
		check_int(err.code, -ENOTSUP);
		free(describe("Bootstrap: nonsense", 19, &err));
		check_int(err.code, -EINVAL);
	}
}

/* A recipe that repeats a line. The caller frees. */
static char *repeat(const char *head, const char *line, size_t count)
{
	char *text = malloc(strlen(head) + count * strlen(line) + 1), *end = stpcpy(text, head);
	while (count-- > 0)
		end = stpcpy(end, line);
	return text;
}

static void test_limits(void)
{
	struct err err = ERR_INIT;
	struct recipe recipe;
	test_case ("a section of a megabyte") {
		autofree char *text = repeat(HEAD "%post\n", "echo 'sixteen' \n", 1 << 16);
		check_int(recipe_parse("a.def", text, strlen(text), &recipe, &err), 0);
		check_int(strlen(recipe.stages[0].parts[0].text), 1 << 20);
		recipe_free(&recipe);
	}
	test_case ("a line of a megabyte") {
		autofree char *text = repeat(HEAD "%post\n", "echo \"${x}\" $(y);", 1 << 16);
		check_int(recipe_parse("a.def", text, strlen(text), &recipe, &err), 0);
		check_int(strlen(recipe.stages[0].parts[0].text), (17 << 16) + 1);
		recipe_free(&recipe);
	}
	test_case ("16 MiB are the most") {
		autofree char *text = repeat(HEAD "%help\n", "x", RECIPE_BYTES_MAX);
		check_int(recipe_parse("a.def", text, RECIPE_BYTES_MAX, &recipe, &err), 0);
		recipe_free(&recipe);
		check_int(recipe_parse("a.def", text, RECIPE_BYTES_MAX + 1, &recipe, &err), -EFBIG);
		check_str(err.text, "'a.def' is too long: more than 16 MiB");
	}
	static const struct {
		const char *head, *line, *message;
		size_t count;
	} many[] = {
		{ HEAD, "%post\n", "a.def:4099: there are more than 4096 sections", RECIPE_PARTS_MAX },
		{ "", "Bootstrap: scratch\n", "a.def:257: there are more than 256 stages", RECIPE_STAGES_MAX },
		{ "Bootstrap: yum\nMirrorURL: a\nInclude:", "x \\\n", "the value of 'Include' is longer than 65536 bytes", 32768 },
	};
	for (size_t i = 0; i < COUNT(many); i++)
		test_case ("so many: %s", many[i].message) {
			autofree char *some = repeat(many[i].head, many[i].line, many[i].count);
			autofree char *more = repeat(many[i].head, many[i].line, many[i].count + 1);
			check_int(recipe_parse("a.def", some, strlen(some), &recipe, &err), 0);
			recipe_free(&recipe);
			check_int(recipe_parse("a.def", more, strlen(more), &recipe, &err), -EINVAL);
			check_has(err.text, many[i].message);
		}
}

static void test_questions(void)
{
	static const char TEXT[] = "Bootstrap: docker\nFrom: a\nStage: one\nRegistry:\n%post\na\n%apprun x\nb\n%post\nc\n%apprun y\nd\n%apptest x\ne\n"
				   "Bootstrap: scratch\n%files from one\n%files\n";
	struct err err = ERR_INIT;
	struct recipe recipe;
	if (recipe_parse("a.def", TEXT, strlen(TEXT), &recipe, &err) < 0)
		abort();
	const struct recipe_stage *first = &recipe.stages[0], *second = &recipe.stages[1];
	test_case ("keys are found in any case, if they have a value") {
		check_str(recipe_header(first, "FROM"), "a");
		check_str(recipe_header(first, "Registry"), NULL);
		check_str(recipe_header(second, "From"), NULL);
		check_str(first->name, "one");
		check_str(second->name, NULL);
		check_int(second->line, 15);
	}
	test_case ("the texts of repeated sections are one") {
		autofree char *post = recipe_text(first, RECIPE_POST, NULL), *run = recipe_text(first, RECIPE_APPRUN, NULL);
		autofree char *x = recipe_text(first, RECIPE_APPRUN, "x"), *none = recipe_text(first, RECIPE_TEST, NULL);
		check_str(post, "a\nc\n");
		check_str(run, "b\nd\n");
		check_str(x, "b\n");
		check_str(none, "");
	}
	test_case ("parts come one after the other") {
		const struct recipe_part *part = recipe_next_part(first, RECIPE_POST, NULL, NULL);
		check_int(part->line, 6);
		part = recipe_next_part(first, RECIPE_POST, NULL, part);
		check_int(part->line, 10);
		check(recipe_next_part(first, RECIPE_POST, NULL, part) == NULL);
		check(recipe_next_part(first, RECIPE_POST, "x", NULL) == NULL);
	}
	test_case ("apps are listed once") {
		autostrlist struct strlist apps = { 0 };
		check_int(recipe_apps(first, &apps, &err), 0);
		check_int(apps.count, 2);
		check_str(apps.items[0], "x");
		check_str(apps.items[1], "y");
	}
	test_case ("files come from a stage or from the host") {
		check_str(recipe_files_from(&second->parts[0]), "one");
		check_str(recipe_files_from(&second->parts[1]), NULL);
		check(recipe_stage_find(&recipe, "one", second) == first);
		check(recipe_stage_find(&recipe, "one", first) == NULL);
	}
	recipe_free(&recipe);
}

static const struct {
	const char *header, *source;
} sources[] = {
	{ "docker\nFrom: debian:12", "docker://debian:12" },
	{ "docker\nFrom: //debian", "docker://debian" },
	{ "docker\nFrom: docker://debian", "docker://debian" },
	{ "docker\nRegistry: nvcr.io\nFrom: debian", "docker://nvcr.io/debian" },
	{ "docker\nRegistry: nvcr.io\nNamespace: nvidia/hpc\nFrom: a", "docker://nvcr.io/nvidia/hpc/a" },
	{ "docker\nNamespace: b\nFrom: a", "docker://b/a" },
	{ "oci\nFrom: /a/b:c", "oci:/a/b:c" },
	{ "oci-archive\nFrom: a.tar", "oci-archive:a.tar" },
	{ "docker-archive\nFrom: a.tar", "docker-archive:a.tar" },
	{ "localimage\nFrom: ./a.sif", "./a.sif" },
	{ "scratch", NULL },
	{ "yum\nMirrorURL: a", NULL },
};

static void test_sources(void)
{
	for (size_t i = 0; i < COUNT(sources); i++)
		test_case ("the source of %s", sources[i].header) {
			struct err err = ERR_INIT;
			struct recipe recipe;
			autofree char *text = NULL, *source = NULL;
			if (asprintf(&text, "Bootstrap: %s\n", sources[i].header) < 0 || !check_int(recipe_parse("a", text, strlen(text), &recipe, &err), 0))
				break;
			check_int(recipe_source(&recipe.stages[0], &source, &err), 0);
			check_str(source, sources[i].source);
			recipe_free(&recipe);
		}
}

static const struct {
	const char *head;
	bool recipe, dockerfile;
} heads[] = {
	{ "", false, false },
	{ "Bootstrap: docker", true, false },
	{ "\xef\xbb\xbf\r\n# x\r\n\t bootSTRAP:docker\r\n", true, false },
	{ "# x", false, false },
	{ "From: a\nBootstrap: docker\n", false, false },
	{ "FROM debian\n", false, true },
	{ "\xef\xbb\xbf# x\n\nfrom\tdebian AS x\r\n", false, true },
	{ "ARG A=1\n# x\narg B\nFROM a:$A\n", false, true },
	{ "ARG A=1\nRUN x\n", false, false },
	{ "#syntax=docker/dockerfile:1\nX", false, true },
	{ "# escape = `\n", false, true },
	{ "# x\n# syntax=docker/dockerfile:1\n", false, false },
	{ "# syntaxes\n", false, false },
	{ "FROM", false, false },
	{ "FROMAGE x", false, false },
	{ "#!/bin/sh\nFROM a", false, true },
	{ "#", false, false },
	{ "\x7f" "ELF\0\0Bootstrap:", false, false },
	{ "hsqs", false, false },
};

static void test_heads(void)
{
	for (size_t i = 0; i < COUNT(heads); i++)
		test_case ("%s%s: \"%s\"", heads[i].recipe ? "a recipe" : "no recipe", heads[i].dockerfile ? ", but a Dockerfile" : "", heads[i].head) {
			/* A copy without an end, so that a sanitizer sees what is read behind it. */
			size_t bytes = strlen(heads[i].head);
			autofree char *head = malloc(bytes + 1);
			char *copy = realloc(steal_ptr(&head), bytes > 0 ? bytes : 1);
			memcpy(copy, heads[i].head, bytes);
			check(recipe_matches(copy, bytes) == heads[i].recipe);
			check(recipe_is_dockerfile(copy, bytes) == heads[i].dockerfile);
			free(copy);
		}
}

static void test_nearest(void)
{
	static const char *const names[] = { "post", "pre", "environment", "runscript" };
	static const struct {
		const char *word, *nearest;
	} words[] = {
		{ "post", "post" }, { "POTS", "post" }, { "pots", "post" }, { "pst", "post" }, { "posts", "post" }, { "per", "pre" }, { "envronmnt", "environment" },
		{ "env", NULL },    { "x", NULL },      { "", NULL },       { "sudo", NULL },  { "startscripts", NULL }, { "scriptrun", NULL },
		{ "environmentenvironmentenvironment", NULL },
	};
	for (size_t i = 0; i < COUNT(words); i++)
		test_case ("nearest to '%s'", words[i].word)
			check_str(nearest_name(words[i].word, names, COUNT(names)), words[i].nearest);
}

int main(void)
{
	test_accepted();
	test_heredocs();
	test_languages();
	test_refused();
	test_limits();
	test_questions();
	test_sources();
	test_heads();
	test_nearest();
	return test_end();
}
