/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/hot.c: the names that are hot in the images of several distributions, and those that only look like it.
 */
#include "builder/hot.h"
#include "tests/tap.h"

static const struct {
	const char *path;
	bool hot;
} cases[] = {
	/* Debian 12 and 11 */
	{ "./usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", true },
	{ "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", true },
	{ "lib/x86_64-linux-gnu/libc.so.6", true },
	{ "lib/x86_64-linux-gnu/ld-2.31.so", true },
	{ "lib/x86_64-linux-gnu/libc-2.31.so", true },
	{ "lib/x86_64-linux-gnu/libpthread-2.31.so", true },
	{ "bin/dash", true },
	{ "usr/bin/python3.11", true },
	{ "usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30", true },
	{ "usr/lib/x86_64-linux-gnu/libtinfo.so.6.4", true },
	{ "usr/lib/locale/C.utf8/LC_CTYPE", true },
	{ "usr/lib/locale/C.UTF-8/LC_NUMERIC", true },
	{ "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache", true },
	{ "etc/ld.so.cache", true },
	/* Red Hat 8 and 9 */
	{ "usr/lib64/ld-2.28.so", true },
	{ "usr/lib64/libgcc_s-8-20210514.so.1", true },
	{ "usr/lib64/libpython3.9.so.1.0", true },
	{ "usr/lib64/libexpat.so.1.8.2", true },
	{ "usr/bin/coreutils", true },
	/* Alpine, POWER, Conda, a tarball with absolute paths */
	{ "lib/ld-musl-x86_64.so.1", true },
	{ "bin/busybox", true },
	{ "lib64/ld64.so.2", true },
	{ "opt/conda/bin/python3.9", true },
	{ "opt/conda/lib/libstdc++.so.6.0.32", true },
	{ "/etc/ld.so.cache", true },
	/* Others */
	{ "usr/share/bash-completion/completions/bash", false },
	{ "usr/share/doc/bash", false },
	{ "bash", false },
	{ "usr/bin/bashbug", false },
	{ "usr/bin/python3.11-config", false },
	{ "usr/lib/x86_64-linux-gnu/libc.a", false },
	{ "usr/lib/x86_64-linux-gnu/libc.so", false },
	{ "usr/lib/x86_64-linux-gnu/libcrypto.so.3", false },
	{ "usr/lib/x86_64-linux-gnu/libmpi.so.40", false },
	{ "usr/share/gdb/auto-load/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30-gdb.py", false },
	{ "usr/lib/locale/locale-archive", false },
	{ "usr/lib/locale/de_DE.utf8/LC_CTYPE", false },
	{ "var/ld.so.cache", false },
	{ "", false },
};

int main(void)
{
	struct hot_set standard = { .standard = true }, none = { .standard = false };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_case ("'%s' is %s", cases[i].path, cases[i].hot ? "hot" : "not hot")
			check(hot_set_contains(&standard, cases[i].path) == cases[i].hot);
	}
	test_case ("without the built-in names nothing is hot") {
		check(!hot_set_is_empty(&standard));
		check(hot_set_is_empty(&none));
		check(!hot_set_contains(&none, cases[0].path));
	}
	return test_end();
}
