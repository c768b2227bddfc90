/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bind.h"

#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *text, *source, *target;
	bool read_only;
} good[] = {
	{ "/a", "/a", "/a", false },
	{ "/a:/b", "/a", "/b", false },
	{ "/a:/b:ro", "/a", "/b", true },
	{ "/a:/b:rw", "/a", "/b", false },
	{ "/a:ro", "/a", "/a", true },
	{ "/a:rw", "/a", "/a", false },
	{ "data:/data", "data", "/data", false },
	{ "../up:/data:ro", "../up", "/data", true },
	{ "/a/:/b//c/./", "/a/", "/b/c", false },
	{ "/ro:/rw", "/ro", "/rw", false },
	{ "/a\\:b:/c", "/a:b", "/c", false },
	{ "/a\\:ro", "/a:ro", "/a:ro", false },
	{ "/a\\\\:/b", "/a\\", "/b", false },
	{ "/a\\,b:/c\\,d", "/a,b", "/c,d", false },
	{ "/a\\b:/c", "/ab", "/c", false },
	{ "/a:/b\\", "/a", "/b\\", false },
	/* names are data */
	{ "/$(reboot):/b", "/$(reboot)", "/b", false },
	{ "/`id`;rm -rf /:/b", "/`id`;rm -rf /", "/b", false },
	{ "/a\nb:/c\nd", "/a\nb", "/c\nd", false },
	{ "/%s%n:/%1000d", "/%s%n", "/%1000d", false },
	{ " /a b :/c ", " /a b ", "/c ", false },
	{ "/Größe:/寸法", "/Größe", "/寸法", false },
	{ "/a:/b..c", "/a", "/b..c", false },
};

static const struct {
	const char *text;
	int r;
	const char *message, *hint;
} bad[] = {
	{ "", -EINVAL, "--container-mounts: an item is empty: is there a stray comma?", "" },
	{ ":", -EINVAL, "--container-mounts: bind ':' has no source", "" },
	{ ":/b", -EINVAL, "--container-mounts: bind ':/b' has no source", "" },
	{ "::ro", -EINVAL, "--container-mounts: bind '::ro' has no source", "" },
	{ "/a:", -EINVAL, "--container-mounts: bind target '' is not an absolute path", "" },
	{ "/a::ro", -EINVAL, "--container-mounts: bind target '' is not an absolute path", "" },
	{ "/a:b", -EINVAL, "--container-mounts: bind target 'b' is not an absolute path", "" },
	{ "data", -EINVAL, "--container-mounts: bind target 'data' is not an absolute path", "" },
	{ "data:ro", -EINVAL, "--container-mounts: bind target 'data' is not an absolute path", "" },
	{ "/a: /b", -EINVAL, "--container-mounts: bind target ' /b' is not an absolute path", "" },
	{ "/a:/../b", -EINVAL, "--container-mounts: bind target '/../b' contains '..'", "" },
	{ "/a/../b", -EINVAL, "--container-mounts: bind target '/a/../b' contains '..'", "" },
	{ "/a:/b:", -EINVAL, "--container-mounts: bind '/a:/b:' has the unknown mode ''", "write SRC:DST, SRC:DST:ro or SRC:DST:rw" },
	{ "/a:/b:RO", -EINVAL, "--container-mounts: bind '/a:/b:RO' has the unknown mode 'RO'", "a colon in a path is written '\\:'" },
	{ "/a:/b:ro:x", -EINVAL, "--container-mounts: bind '/a:/b:ro:x' has too many fields", "write SRC:DST" },
	{ "/a:b:/c:d", -EINVAL, "--container-mounts: bind '/a:b:/c:d' has too many fields", "a colon in a path is written '\\:'" },
};

static void test_one(void)
{
	for (size_t i = 0; i < COUNT(good); i++)
		test_case ("bind '%s' is understood", good[i].text) {
			struct err err = ERR_INIT;
			autobinds struct bind_list list = { 0 };
			check_int(bind_parse_list(good[i].text, "simg.conf:7", &list, &err), 0);
			if (!check_int(list.count, 1))
				break;
			check_str(list.items[0].source, good[i].source);
			check_str(list.items[0].target, good[i].target);
			check_int(list.items[0].read_only, good[i].read_only);
			check_str(list.items[0].origin, "simg.conf:7");
		}
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("bind '%s' is refused", bad[i].text) {
			struct err err = ERR_INIT;
			autobinds struct bind_list list = { 0 };
			check_int(bind_parse_list(bad[i].text, "--container-mounts", &list, &err), bad[i].r);
			check_str(err.text, bad[i].message);
			check_has(err.hint, bad[i].hint);
			check_int(list.count, 0);
		}
}

static void test_lists(void)
{
	test_case ("commas separate, in the order given") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		check_int(bind_parse_list("/a,/b:/c:ro,d\\,e:/f", "x", &list, &err), 0);
		check_int(list.count, 3);
		check_str(list.items[1].target, "/c");
		check_str(list.items[2].source, "d,e");
	}
	test_case ("an empty item of a list is refused") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		check_int(bind_parse_list("/a,", "x", &list, &err), -EINVAL);
		check_str(err.text, "x: an item is empty: is there a stray comma?");
		check_int(list.count, 1);
	}
	test_case ("the message shows the item that is wrong, not the list") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		check_int(bind_parse_list("/a,/b:/c:rx,/d", "x", &list, &err), -EINVAL);
		check_str(err.text, "x: bind '/b:/c:rx' has the unknown mode 'rx'");
	}
	test_case ("where exactly one is expected, a comma is an ordinary character") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		check_int(bind_parse_one("/a,b:/c,d:ro", "x", &list, &err), 0);
		check_int(list.count, 1);
		check_str(list.items[0].source, "/a,b");
		check_str(list.items[0].target, "/c,d");
	}
	test_case ("512 binds are taken, one more is refused") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		for (int i = 0; i < BIND_COUNT_MAX; i++)
			check_int(bind_parse_one("/a", "x", &list, &err), 0);
		check_int(bind_parse_one("/a", "--container-mounts", &list, &err), -E2BIG);
		check_str(err.text, "--container-mounts: more than 512 bind mounts");
		check_int(list.count, BIND_COUNT_MAX);
	}
}

static void test_long(void)
{
	static char text[5000], message[200];
	memset(text, 'n', sizeof(text));
	text[0] = '/';
	test_case ("a name of 4095 bytes is taken") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		text[4095] = '\0';
		check_int(bind_parse_one(text, "x", &list, &err), 0);
		check_str(list.items[0].source, text);
	}
	test_case ("a target of 4096 bytes is refused") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		text[4095] = 'n';
		text[4096] = '\0';
		check_int(bind_parse_one(text, "--container-mounts", &list, &err), -ENAMETOOLONG);
		snprintf(message, sizeof(message), "--container-mounts: bind target is 4096 bytes long, more than a path can be: '%.64s…'", text);
		check_str(err.text, message);
	}
	test_case ("a mode of many bytes is cut in the message") {
		struct err err = ERR_INIT;
		autobinds struct bind_list list = { 0 };
		memcpy(text, "/a:/b:", 6);
		check_int(bind_parse_one(text, "x", &list, &err), -EINVAL);
		check_int(strlen(err.text), ERR_TEXT_MAX - 1);
	}
}

int main(void)
{
	test_one();
	test_lists();
	test_long();
	return test_end();
}
