/* SPDX-License-Identifier: Apache-2.0
 *
 * An index as a damaged cache could hold it: an error or entries, never a read out of bounds.
 */
#include "builder/oci/index.h"
#include "lib/err.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct index index = { .bytes = bytes };
	struct index_cursor cursor = { .index = &index };
	struct source_entry entry;
	struct err err = ERR_INIT;
	volatile size_t sum = 0;
	memcpy(&index.data, &data, sizeof(data)); /* without const: only read */
	while (index_next(&cursor, &entry, &err) > 0) {
		sum += strlen(entry.path) + (entry.target != NULL ? strlen(entry.target) : 0);
		for (size_t i = 0; i < entry.xattr_count; i++)
			sum += strlen(entry.xattrs[i].name) + (entry.xattrs[i].value_bytes > 0 ? *(const uint8_t *)entry.xattrs[i].value : 0);
	}
	index_cursor_free(&cursor);
	return 0;
}
