/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/recipe/glob.c: patterns name the files that bash would name, and in a root nothing outside of it.
 */
#include "builder/recipe/glob.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/strlist.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct err failure;
static char text[64 << 10];

/* The paths that a pattern matches, each followed by a blank. */
static const char *expand_at(const char *directory, bool is_root, const char *pattern)
{
	autostrlist struct strlist paths = { 0 };
	autoclose int fd = scratch_open_dir(directory);
	struct glob_base base = { .fd = fd, .is_root = is_root };
	size_t used = 0;
	failure = (struct err)ERR_INIT;
	text[0] = '\0';
	if (glob_expand(&base, pattern, &paths, &failure) < 0)
		return "failed";
	for (size_t i = 0; i < paths.count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", paths.items[i]);
	return text;
}

static const char *expand(const char *pattern)
{
	return expand_at(".", false, pattern);
}

static void make_files(void)
{
	static const char *const files[] = {
		"a.txt", "b.txt", "c.c", ".hidden", "a[1]", "a*b", "with blank", "d/a.txt", "d/e/a.txt", "d/e/f/b.txt",
		"d/.h/a.txt", "m/x/one", "m/y/one", "m/y/two", "{p,q}", "lib64/x.so", "caf\xe9",
	};
	for (size_t i = 0; i < COUNT(files); i++)
		scratch_file(files[i], "");
	scratch_link("d", "ld");
	scratch_link("nowhere", "dangling");
}

static void test_patterns(void)
{
	static const struct {
		const char *pattern, *expected;
	} cases[] = {
		{ "a.txt", "a.txt " },
		{ "./a.txt", "./a.txt " },
		{ "d//e", "d/e " },
		{ "d/", "d/ " },
		{ ".", ". " },
		{ "/", "/ " },
		{ "*.txt", "a.txt b.txt " },
		{ "?.c", "c.c " },
		{ "[ab].txt", "a.txt b.txt " },
		{ "[!a].txt", "b.txt " },
		{ "[^a].txt", "b.txt " },
		{ "[[:alpha:]].c", "c.c " },
		{ "@(a|c).*", "a.txt c.c " },
		{ "!(a|b).*", "c.c " },
		{ "+([a-c]).?(tx)t", "a.txt b.txt " },
		{ "*/a.txt", "d/a.txt ld/a.txt " },
		{ "d/*/a.txt", "d/e/a.txt " },
		{ "d/.*/a.txt", "d/.h/a.txt " },
		{ "*/", "d/ ld/ lib64/ m/ " },
		{ ".h*", ".hidden " },
		{ "@(.|c)*", ".hidden c.c caf\xe9 " },
		{ "m/*/one", "m/x/one m/y/one " },
		{ "m/*/t*", "m/y/two " },
		{ "**/a.txt", "a.txt d/a.txt d/e/a.txt " },
		{ "d/**/b.txt", "d/e/f/b.txt " },
		{ "**/**/b.txt", "b.txt d/e/f/b.txt " },
		{ "**/e/**/b.txt", "d/e/f/b.txt " },
		{ "d/**", "d/a.txt d/e " },
		{ "d/**/", "d/e/ " },
		{ "m/**/two", "m/y/two " },
		{ "dangl*", "dangling " },
		{ "dangling", "dangling " },
		{ "{a,b}.txt", "a.txt b.txt " },
		{ "{b,a}.txt", "b.txt a.txt " },
		{ "{a,{b,d/a}}.txt", "a.txt b.txt d/a.txt " },
		{ "{c.c,*.txt}", "c.c a.txt b.txt " },
		{ "m/{x/one,y/tw?}", "m/x/one m/y/two " },
		{ "\\{p,q}", "{p,q} " },
		{ "\\{p\\,q}", "{p,q} " },
		{ "with blank", "with blank " },
		{ "with*", "with blank " },
		{ "a[1]", "a[1] " },
		{ "a\\[1\\]", "a[1] " },
		{ "a\\*b", "a*b " },
		{ "caf?", "caf\xe9 " },
		{ "caf\xe9", "caf\xe9 " },
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		test_case ("'%s' matches '%s'", cases[i].pattern, cases[i].expected)
			check_str(expand(cases[i].pattern), cases[i].expected);
}

static void test_refusals(void)
{
	test_case ("a pattern that matches nothing is an error that quotes it") {
		check_str(expand("*.none"), "failed");
		check_int(failure.code, -ENOENT);
		check_str(failure.text, "nothing matches '*.none'");
	}
	test_case ("a file that does not exist is an error") {
		check_str(expand("no\\ such"), "failed");
		check_str(failure.text, "there is no 'no such'");
	}
	test_case ("each alternative of a brace has to match") {
		check_str(expand("{a,z}.txt"), "failed");
		check_str(failure.text, "there is no 'z.txt'");
	}
	test_case ("a file is no directory") {
		check_str(expand("a.txt/"), "failed");
		check_str(expand("a.txt/*"), "failed");
	}
	test_case ("millions of ways to take braces are refused, and soon") {
		check_str(expand("{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}"), "failed");
		check_int(failure.code, -E2BIG);
		check_has(failure.text, "more than 4096 ways to take the braces");
	}
	test_case ("a pattern longer than a path is refused") {
		char pattern[8192];
		memset(pattern, '{', sizeof(pattern) - 1);
		pattern[sizeof(pattern) - 1] = '\0';
		check_str(expand(pattern), "failed");
		check_has(failure.text, "too long");
	}
	test_case ("braces, brackets and backslashes that are not closed are no harm") {
		static const char *const odd[] = { "{", "}", "{a", "{a,", "a}", "[", "[a", "\\", "*\\", "@(", "@(a", "!(", "{\\",
						   "{,\\", "**", "**/", "**/**", "{[,]}", "@({a,b}", "//", "{}" };
		for (size_t i = 0; i < COUNT(odd); i++)
			expand(odd[i]);
	}
	test_case ("no descriptor is lost") {
		int before = scratch_fd_count();
		expand("**/a.txt");
		expand("*.none");
		expand_at("root", true, "*/*");
		check_int(scratch_fd_count(), before);
	}
}

static void test_root(void)
{
	scratch_file("root/etc/passwd", "");
	scratch_file("root/usr/lib/libc.so", "");
	scratch_link("/usr/lib", "root/lib");
	scratch_link("../../../../..", "root/up");
	char outside[PATH_MAX];
	snprintf(outside, sizeof(outside), "%s/d", scratch.path);
	scratch_link(outside, "root/out");
	test_case ("paths begin at the root, absolute or not")
		check_str(expand_at("root", true, "{/,}etc/*"), "/etc/passwd etc/passwd ");
	test_case ("an absolute symlink is followed inside the root")
		check_str(expand_at("root", true, "/lib/*.so"), "/lib/libc.so ");
	test_case ("'..' and symlinks do not lead out of the root") {
		check_str(expand_at("root", true, "/../../etc/passwd"), "/../../etc/passwd ");
		check_str(expand_at("root", true, "/up/e*"), "/up/etc ");
		check_str(expand_at("root", true, "/out/*"), "failed");
		check_str(expand_at("root", true, "/out/a.txt"), "failed");
	}
	test_case ("a symlink is matched, whatever it leads to")
		check_str(expand_at("root", true, "/o*"), "/out ");
}

int main(void)
{
	scratch_enter();
	make_files();
	test_patterns();
	test_root();
	test_refusals();
	return test_end();
}
