/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/size.c: sizes as people write and read them.
 */
#include "builder/size.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdint.h>

static const struct {
	const char *text;
	int result;
	uint64_t bytes;
} parsed[] = {
	{ "0", 0, 0 },
	{ "4096", 0, 4096 },
	{ "128K", 0, 131072 },
	{ "128k", 0, 131072 },
	{ "1M", 0, 1048576 },
	{ "50GiB", 0, (uint64_t)50 << 30 },
	{ "2GB", 0, (uint64_t)2 << 30 },
	{ "4T", 0, (uint64_t)4 << 40 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "16777215T", 0, (uint64_t)16777215 << 40 },
	{ "16777216T", -ERANGE, 0 },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ "K", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1.5G", -EINVAL, 0 },
	{ "1X", -EINVAL, 0 },
	{ "1KK", -EINVAL, 0 },
	{ "1 K", -EINVAL, 0 },
};

static const struct {
	uint64_t bytes;
	const char *text;
} formatted[] = {
	{ 0, "0 B" },
	{ 1023, "1023 B" },
	{ 1024, "1.0 KiB" },
	{ 1536, "1.5 KiB" },
	{ 131072, "128.0 KiB" },
	{ 218839449, "208.7 MiB" },
	{ (uint64_t)4 << 40, "4.0 TiB" },
	{ UINT64_MAX, "16777216.0 TiB" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(parsed) / sizeof(parsed[0]); i++) {
		test_case ("'%s' is %s", parsed[i].text, parsed[i].result == 0 ? "a size" : "refused") {
			uint64_t bytes = 0;
			check_int(size_parse(parsed[i].text, &bytes), parsed[i].result);
			check(bytes == parsed[i].bytes);
		}
	}
	for (size_t i = 0; i < sizeof(formatted) / sizeof(formatted[0]); i++) {
		test_case ("%s is how it is written", formatted[i].text) {
			char text[SIZE_TEXT_MAX];
			check_str(size_format(formatted[i].bytes, text), formatted[i].text);
		}
	}
	return test_end();
}
