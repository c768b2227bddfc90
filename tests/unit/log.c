/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"

#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

/* Standard error goes into a file while a case looks at it. */
static int saved_stderr = -1;

static void capture(void)
{
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	int fd = open("captured", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static const char *captured(void)
{
	fflush(stderr);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	int fd = open("captured", O_RDONLY | O_CLOEXEC);
	const char *text = scratch_content(fd);
	close(fd);
	return text;
}

int main(void)
{
	static const struct {
		const char *what, *raw, *clean;
	} cases[] = {
		{ "ordinary text stays", "cannot open '/a b'", "cannot open '/a b'" },
		{ "newlines and carriage returns", "a\nb\r\n", "a?b??" },
		{ "terminal sequences", "\033[2J\033]0;title\007", "?[2J?]0;title?" },
		{ "tab, backspace and delete", "a\tb\bc\177", "a?b?c?" },
		{ "UTF-8 stays", "Größe 寸法", "Größe 寸法" },
		{ "bytes that are no UTF-8 stay", "a\xff\x80z", "a\xff\x80z" },
		{ "the empty text", "", "" },
	};
	scratch_enter();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_case ("log_sanitize: %s", cases[i].what) {
			char text[128];
			strcpy(text, cases[i].raw);
			log_sanitize(text);
			check_str(text, cases[i].clean);
		}
	test_case ("every control character is replaced") {
		char text[2] = "";
		for (int c = 1; c < 256; c++) {
			text[0] = (char)c;
			log_sanitize(text);
			check_int((unsigned char)text[0], c < 0x20 || c == 0x7f ? '?' : c);
		}
	}
	test_case ("an error is one line with the program's name, its hint another") {
		struct err err = ERR_INIT;
		err_set(&err, EPERM, "cannot open '%s'", "a\nsimg: error: b");
		err_hint(&err, "rename %%n");
		capture();
		log_err(&err);
		check_str(captured(), "log: error: cannot open 'a?simg: error: b'\nlog: hint: rename %n\n");
	}
	test_case ("an error without a hint is one line") {
		struct err err = ERR_INIT;
		err_set(&err, EPERM, "no");
		capture();
		log_err(&err);
		check_str(captured(), "log: error: no\n");
	}
	test_case ("a note is one line") {
		capture();
		log_note("'%s' is not mounted", "/home/x");
		check_str(captured(), "log: note: '/home/x' is not mounted\n");
	}
	test_case ("debugging lines are printed only when asked for") {
		capture();
		log_debug("one");
		log_set_verbose(true);
		log_debug("two %d", 2);
		log_set_verbose(false);
		log_debug("three");
		check_str(captured(), "log: two 2\n");
	}
	return test_end();
}
