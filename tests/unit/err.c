/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

static char long_text[3000];

int main(void)
{
	memset(long_text, 'x', sizeof(long_text) - 1);

	test_case ("err_set returns the negative code and keeps the text") {
		struct err err = ERR_INIT;
		check_int(err_set(&err, EPERM, "cannot bind '%s' on '%s'", "/a", "/b"), -EPERM);
		check_int(err.code, -EPERM);
		check_str(err.text, "cannot bind '/a' on '/b'");
		check_str(err.hint, "");
	}
	test_case ("an errno that is none counts as EIO, so that a failure is never taken for success") {
		struct err err = ERR_INIT;
		check_int(err_set(&err, 0, "x"), -EIO);
		check_int(err_set(&err, -EPERM, "x"), -EIO);
		check_int(err.code, -EIO);
		check_int(err_sys(&err, 0, "x"), -EIO);
		check_str(err.text, "x: Input/output error");
	}
	test_case ("err_sys adds what the system says") {
		struct err err = ERR_INIT;
		check_int(err_sys(&err, ENOENT, "cannot open '%s'", "/a"), -ENOENT);
		check_str(err.text, "cannot open '/a': No such file or directory");
	}
	test_case ("a new error forgets the old one's hint") {
		struct err err = ERR_INIT;
		err_set(&err, EPERM, "first");
		check_int(err_hint(&err, "try %d", 1), -EPERM);
		check_str(err.hint, "try 1");
		err_set(&err, ENOENT, "second");
		check_str(err.hint, "");
	}
	test_case ("a prefix goes before the text and leaves code and hint") {
		struct err err = ERR_INIT;
		err_set(&err, EPERM, "bad value");
		err_hint(&err, "see the manual");
		check_int(err_prefix(&err, "%s:%d", "simg.conf", 3), -EPERM);
		check_str(err.text, "simg.conf:3: bad value");
		check_str(err.hint, "see the manual");
	}
	test_case ("text that is too long is cut, not refused") {
		struct err err = ERR_INIT;
		check_int(err_sys(&err, EPERM, "%s", long_text), -EPERM);
		check_int(strlen(err.text), ERR_TEXT_MAX - 1);
		check_has(err.text, "xxx: Operation not permitted"); /* the reason stays */
		err_hint(&err, "%s", long_text);
		check_int(strlen(err.hint), ERR_HINT_MAX - 1);
		err_prefix(&err, "%s", long_text);
		check_int(strlen(err.text), ERR_TEXT_MAX - 1);
		err_set(&err, EPERM, "end");
		err_prefix(&err, "%s", long_text);
		check_int(strlen(err.text), ERR_TEXT_MAX - 1);
		check_int(err.code, -EPERM);
	}
	test_case ("nobody has to want the error") {
		check_int(err_set(NULL, ENOENT, "x"), -ENOENT);
		check_int(err_sys(NULL, ENOENT, "x"), -ENOENT);
		check(err_hint(NULL, "x") < 0);
		check(err_prefix(NULL, "x") < 0);
	}
	test_case ("names with percent signs are data") {
		struct err err = ERR_INIT;
		err_set(&err, EPERM, "'%s'", "%s%n%1000d");
		err_prefix(&err, "%s", "%n");
		check_str(err.text, "%n: '%s%n%1000d'");
	}
	return test_end();
}
