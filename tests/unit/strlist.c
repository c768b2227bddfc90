/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/strlist.h"

#include "tests/tap.h"

int main(void)
{
	test_case ("an empty list has no items, and can be freed") {
		struct strlist list = { 0 };
		check(list.items == NULL);
		check(strlist_getenv(&list, "A") == NULL);
		strlist_free(&list);
		strlist_free(&list);
	}
	test_case ("items are copies, in order, and NULL ends them") {
		struct strlist list = { 0 };
		char text[] = "one";
		check_int(strlist_add(&list, text), 0);
		text[0] = 'X';
		check_int(strlist_addf(&list, "%s-%d", "two", 2), 0);
		check_int(list.count, 2);
		check_str(list.items[0], "one");
		check_str(list.items[1], "two-2");
		check(list.items[2] == NULL);
		strlist_free(&list);
		check(list.items == NULL);
		check_int(list.count, 0);
	}
	test_case ("a long list keeps all of it") {
		struct strlist list = { 0 };
		for (int i = 0; i < 5000; i++)
			strlist_addf(&list, "N%d=%d", i, i);
		check_int(list.count, 5000);
		check_str(strlist_getenv(&list, "N4999"), "4999");
		strlist_free(&list);
	}
	test_case ("a variable is found by its whole name, the first one counts") {
		struct strlist list = { 0 };
		static const char *const items[] = { "PATHS=x", "PATH", "PATH=/bin", "PATH=/usr/bin", "EMPTY=", "EQ=a=b" };
		for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
			strlist_add(&list, items[i]);
		check_str(strlist_getenv(&list, "PATH"), "/bin");
		check_str(strlist_getenv(&list, "EMPTY"), "");
		check_str(strlist_getenv(&list, "EQ"), "a=b");
		check(strlist_getenv(&list, "PAT") == NULL);
		check(strlist_getenv(&list, "OTHER") == NULL);
		strlist_free(&list);
	}
	return test_end();
}
