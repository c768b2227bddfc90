/* SPDX-License-Identifier: Apache-2.0
 *
 * See image_config.h.
 */
#include "lib/image_config.h"

#include <ctype.h>
#include <string.h>

bool image_env_is_valid(const char *item)
{
	size_t length = strcspn(item, "=");
	if (length == 0 || item[length] != '=' || isdigit((unsigned char)item[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)item[i]) && item[i] != '_')
			return false;
	return true;
}
