/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/script.c: the scripts, run by every sh that this machine has. The program that they start is this one, under other names: it
 * prints what it got, each item ended by a zero byte.
 */
#include "builder/script.h"

#include "lib/cleanup.h"
#include "lib/strlist.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <sys/wait.h>

enum { ITEMS_MAX = 12, OUTPUT_MAX = 65536 };
#define PROGRAM "./program"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *name, *program, *applet;
} shells[] = {
	{ "dash", "/bin/dash", NULL },
	{ "bash", "/bin/bash", "--posix" },
	{ "busybox", "busybox", "sh" },
};

static char all_bytes[256]; /* 1 to 255 */

static struct {
	char data[OUTPUT_MAX];
	size_t bytes;
	int status;
} output;

static int print_items(char **argv)
{
	for (; *argv != NULL; argv++)
		fwrite(*argv, 1, strlen(*argv) + 1, stdout);
	return 0;
}

static int print_variables(char **argv)
{
	while (*++argv != NULL) {
		const char *value = getenv(*argv);
		fputs(value != NULL ? value : "(unset)", stdout);
		putchar('\0');
	}
	return 0;
}

static void fill(struct strlist *list, const char *const *items)
{
	for (; *items != NULL; items++)
		strlist_add(list, *items);
}

static void exec_shell(size_t shell, const struct strlist *command)
{
	autostrlist struct strlist argv = { 0 };
	strlist_add(&argv, shells[shell].program);
	if (shells[shell].applet != NULL)
		strlist_add(&argv, shells[shell].applet);
	for (size_t i = 0; i < command->count; i++)
		strlist_add(&argv, command->items[i]);
	execvp(argv.items[0], argv.items);
	_exit(99);
}

/* Leaves what it printed, and its status, in output. */
static void run(size_t shell, const struct strlist *command, bool quiet)
{
	int ends[2];
	ssize_t n;
	output.bytes = 0;
	if (pipe(ends) < 0)
		err(99, "pipe");
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		if (quiet)
			dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		close(ends[0]);
		exec_shell(shell, command);
	}
	close(ends[1]);
	while ((n = read(ends[0], output.data + output.bytes, sizeof(output.data) - output.bytes)) > 0)
		output.bytes += (size_t)n;
	close(ends[0]);
	waitpid(child, &output.status, 0);
}

static bool shell_missing(size_t shell)
{
	autostrlist struct strlist command = { 0 };
	strlist_add(&command, "-c");
	strlist_add(&command, ":");
	run(shell, &command, true);
	return output.status != 0;
}

static void check_output(const struct strlist *expected)
{
	size_t at = 0;
	check_int(output.status, 0);
	for (size_t i = 0; i < expected->count && at < output.bytes; at += strlen(output.data + at) + 1, i++)
		check_str(output.data + at, expected->items[i]);
	size_t bytes = 0;
	for (size_t i = 0; i < expected->count; i++)
		bytes += strlen(expected->items[i]) + 1;
	check_int(output.bytes, bytes);
}

/* Runs the script of these lists with these arguments. */
static void run_script(size_t shell, const char *const *entrypoint, const char *const *command, const char *const *arguments, bool quiet)
{
	autostrlist struct strlist first = { 0 }, second = { 0 }, argv = { 0 };
	fill(&first, entrypoint);
	fill(&second, command);
	autofree char *script = script_run(&first, &second);
	scratch_file("script", script);
	strlist_add(&argv, "./script");
	fill(&argv, arguments);
	run(shell, &argv, quiet);
}

static const struct {
	const char *sentence;
	const char *entrypoint[ITEMS_MAX], *command[ITEMS_MAX], *arguments[ITEMS_MAX], *expected[ITEMS_MAX];
} cases[] = {
	{ "entrypoint and command", { PROGRAM, "a" }, { "b", "c" }, { 0 }, { PROGRAM, "a", "b", "c" } },
	{ "arguments take the command's place", { PROGRAM, "a" }, { "b", "c" }, { "d" }, { PROGRAM, "a", "d" } },
	{ "an empty argument takes it, too", { PROGRAM, "a" }, { "b", "c" }, { "" }, { PROGRAM, "a", "" } },
	{ "an entrypoint alone", { PROGRAM, "a" }, { 0 }, { 0 }, { PROGRAM, "a" } },
	{ "an entrypoint alone, with arguments", { PROGRAM, "a" }, { 0 }, { "d", "e" }, { PROGRAM, "a", "d", "e" } },
	{ "a command alone", { 0 }, { PROGRAM, "b" }, { 0 }, { PROGRAM, "b" } },
	{ "a command alone, which arguments replace", { 0 }, { "/nothing", "b" }, { PROGRAM, "d" }, { PROGRAM, "d" } },
	{ "neither, and arguments are the command", { 0 }, { 0 }, { PROGRAM, "d" }, { PROGRAM, "d" } },
	{ "an entrypoint of one empty string is none", { "" }, { PROGRAM, "b" }, { 0 }, { PROGRAM, "b" } },
	{ "the shell form", { "/bin/sh", "-c", "exec " PROGRAM " \"$0\" \"$HOME\" $((1 + 2))" }, { "b" }, { 0 }, { PROGRAM, "b", "/h ome", "3" } },
	{ "quotes", { PROGRAM, "it's", "'", "''", "\"", "a'b\"c'" }, { "'", "\"'\"" }, { 0 }, { PROGRAM, "it's", "'", "''", "\"", "a'b\"c'", "'", "\"'\"" } },
	{ "quotes in arguments", { PROGRAM }, { "x" }, { "it's", "\"", "`id`", "$(id)" }, { PROGRAM, "it's", "\"", "`id`", "$(id)" } },
	{ "what a shell would expand", { PROGRAM, "$HOME", "${HOME}", "`id`", "$(id)" }, { "*", "~", "{a,b}" }, { 0 },
	  { PROGRAM, "$HOME", "${HOME}", "`id`", "$(id)", "*", "~", "{a,b}" } },
	{ "what a shell would split or end", { PROGRAM, "a b", " ", "\t" }, { "a;b", "a&b", "a|b>c", "#no" }, { 0 },
	  { PROGRAM, "a b", " ", "\t", "a;b", "a&b", "a|b>c", "#no" } },
	{ "line breaks", { PROGRAM, "\n", "a\nb\n", "\r\n" }, { "\n\n", "a\\\nb" }, { 0 }, { PROGRAM, "\n", "a\nb\n", "\r\n", "\n\n", "a\\\nb" } },
	{ "backslashes", { PROGRAM, "\\", "\\\\", "\\n", "\\'" }, { "a\\" }, { 0 }, { PROGRAM, "\\", "\\\\", "\\n", "\\'", "a\\" } },
	{ "empty items", { PROGRAM, "", "" }, { "" }, { 0 }, { PROGRAM, "", "", "" } },
	{ "leading dashes", { PROGRAM, "--", "-e" }, { "-c", "--help", "-" }, { 0 }, { PROGRAM, "--", "-e", "-c", "--help", "-" } },
	{ "leading dashes of arguments", { PROGRAM }, { "x" }, { "-c", "--" }, { PROGRAM, "-c", "--" } },
	{ "every byte but zero, which is no UTF-8", { PROGRAM, all_bytes, "\xff" }, { all_bytes }, { 0 }, { PROGRAM, all_bytes, "\xff", all_bytes } },
	{ "every byte but zero in an argument", { PROGRAM }, { 0 }, { all_bytes }, { PROGRAM, all_bytes } },
	{ "a program with an odd name", { "./it's a $HOME\n*" }, { 0 }, { 0 }, { "./it's a $HOME\n*" } },
	{ "a program in PATH", { "program" }, { "a" }, { 0 }, { "program", "a" } },
};

static void test_run(size_t shell)
{
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("%s: %s", shells[shell].name, cases[i].sentence) {
			autostrlist struct strlist expected = { 0 };
			fill(&expected, cases[i].expected);
			run_script(shell, cases[i].entrypoint, cases[i].command, cases[i].arguments, false);
			check_output(&expected);
		}
	test_case ("%s: a program whose name begins with a dash is started, or not found, but never an option of exec", shells[shell].name) {
		static const char *const names[] = { "-c", "-a", "-l", "--" };
		for (size_t i = 0; i < COUNT(names); i++) {
			const char *const arguments[] = { names[i], PROGRAM, NULL }, *const none[] = { NULL };
			run_script(shell, none, none, arguments, true);
			if (output.status == 0)
				check_str(output.data, names[i]);
			else
				check_int(WEXITSTATUS(output.status), 127);
		}
	}
	test_case ("%s: without a command, the script says so and starts a shell", shells[shell].name) {
		const char *const none[] = { NULL };
		int in = open("input", O_RDONLY), saved = dup(STDIN_FILENO), saved_err = dup(STDERR_FILENO);
		int messages = open("messages", O_WRONLY | O_CREAT | O_TRUNC, 0644);
		dup2(in, STDIN_FILENO);
		dup2(messages, STDERR_FILENO);
		run_script(shell, none, none, none, false);
		dup2(saved, STDIN_FILENO);
		dup2(saved_err, STDERR_FILENO);
		close(in), close(saved), close(saved_err), close(messages);
		check_int(output.status, 0);
		check_str(output.data, "from the shell");
		char text[256] = "";
		FILE *file = fopen("messages", "r");
		if (file == NULL || fgets(text, sizeof(text), file) == NULL)
			strcpy(text, "nothing");
		if (file != NULL)
			fclose(file);
		check_str(text, "this image names no command: starting a shell\n");
	}
	test_case ("%s: a program that is not there is the shell's error 127", shells[shell].name) {
		const char *const nothing[] = { "./nothing", NULL }, *const none[] = { NULL };
		run_script(shell, nothing, none, none, true);
		check_int(WEXITSTATUS(output.status), 127);
	}
}

static const char *const environment[] = {
	"PATH=/opt/bin:/usr/bin", "SET=image", "EMPTY=image", "PLAIN=a b", "QUOTES=it's \"so\"", "DOLLAR=$HOME `id` $(id) ${x}",
	"LINES=a\nb\n", "NOTHING=", "EQUALS=a=b", "TWICE=first", "BACK=a\\b\\", "TWICE=second", "not.a.name=1", "BASH_FUNC_x%%=() { id; }",
	"NOVALUE", "=x", "9=x", "TWICEX=other", "UID=7", "IFS=x", NULL,
};

static const struct {
	const char *name, *value;
} expected_environment[] = {
	{ "PATH", "/opt/bin:/usr/bin" },
	{ "SET", "caller" },
	{ "EMPTY", "image" },
	{ "PLAIN", "a b" },
	{ "QUOTES", "it's \"so\"" },
	{ "DOLLAR", "$HOME `id` $(id) ${x}" },
	{ "LINES", "a\nb\n" },
	{ "NOTHING", "" },
	{ "EQUALS", "a=b" },
	{ "TWICE", "second" },
	{ "TWICEX", "other" },
	{ "BACK", "a\\b\\" },
	{ "BYTES", all_bytes },
	{ "not.a.name", "(unset)" },
	{ "BASH_FUNC_x%%", "(unset)" },
	{ "NOVALUE", "(unset)" },
};

static void test_environment(size_t shell)
{
	test_case ("%s: values are literal, PATH is set, others if they are empty or not set", shells[shell].name) {
		autostrlist struct strlist env = { 0 }, command = { 0 }, expected = { 0 };
		fill(&env, environment);
		strlist_addf(&env, "BYTES=%s", all_bytes);
		autofree char *script = script_environment(&env);
		scratch_file("environment", script);
		strlist_add(&command, "-euc");
		strlist_add(&command, ". ./environment; exec ./variables \"$@\"");
		strlist_add(&command, "sh");
		for (size_t i = 0; i < COUNT(expected_environment); i++) {
			strlist_add(&command, expected_environment[i].name);
			strlist_add(&expected, expected_environment[i].value);
		}
		run(shell, &command, false);
		check_output(&expected);
	}
}

static void test_empty(void)
{
	test_case ("an environment without variables is a script that does nothing") {
		struct strlist none = { 0 };
		autofree char *script = script_environment(&none);
		check_has(script, "#!/bin/sh\n");
		check(strstr(script, "export") == NULL);
	}
}

int main(int argc, char **argv)
{
	static char path[2 * PATH_MAX];
	char self[PATH_MAX];
	if (argc > 0 && strstr(argv[0], "variables") != NULL)
		return print_variables(argv);
	if (getenv("SCRIPT_TEST") != NULL)
		return print_items(argv);
	for (int i = 0; i < 255; i++)
		all_bytes[i] = (char)(i + 1);
	if (realpath("/proc/self/exe", self) == NULL)
		err(99, "/proc/self/exe");
	scratch_enter();
	scratch_link(self, "program");
	scratch_link(self, "variables");
	scratch_link(self, "it's a $HOME\n*");
	scratch_file("input", "printf 'from the shell\\000'\n");
	snprintf(path, sizeof(path), "%s:%.*s", scratch.path, PATH_MAX / 2, getenv("PATH"));
	setenv("PATH", path, 1);
	setenv("SCRIPT_TEST", "1", 1);
	setenv("HOME", "/h ome", 1);
	setenv("SET", "caller", 1);
	setenv("EMPTY", "", 1);
	for (size_t shell = 0; shell < COUNT(shells); shell++) {
		if (shell_missing(shell)) {
			test_case ("%s runs the scripts", shells[shell].name)
				test_skip("there is no such shell");
			continue;
		}
		test_run(shell);
		test_environment(shell);
	}
	test_empty();
	return test_end();
}
