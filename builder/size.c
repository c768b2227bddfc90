/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes for people: see size.h.
 */
#include "builder/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char units[] = "KMGT";

int size_parse(const char *text, uint64_t *ret_bytes)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno != 0)
		return -ERANGE;
	unsigned shift = 0;
	if (*end != '\0') {
		const char *unit = strchr(units, toupper((unsigned char)*end));
		if (unit == NULL || (end[1] != '\0' && strcasecmp(end + 1, "B") != 0 && strcasecmp(end + 1, "iB") != 0))
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (number > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = (uint64_t)number << shift;
	return 0;
}

const char *size_format(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
	if (bytes < 1024) {
		snprintf(text, SIZE_TEXT_MAX, "%u B", (unsigned)bytes);
		return text;
	}
	double scaled = (double)bytes / 1024;
	int unit = 0;
	while (scaled >= 1024 && units[unit + 1] != '\0') {
		scaled /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT_MAX, "%.1f %ciB", scaled, units[unit]);
	return text;
}
