/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with secrets: see json_secret.h.
 */
#include "builder/registry/json_secret.h"

#include <string.h>

void json_wipe(json_t *value)
{
	const char *key;
	size_t i;
	json_t *item;
	if (json_is_string(value))
		explicit_bzero((char *)json_string_value(value), json_string_length(value));
	json_array_foreach(value, i, item)
		json_wipe(item);
	json_object_foreach(value, key, item)
		json_wipe(item);
}

void cleanup_json(json_t **slot)
{
	json_wipe(*slot);
	json_decref(*slot);
}
