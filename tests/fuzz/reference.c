/* SPDX-License-Identifier: Apache-2.0
 *
 * References: what is accepted formats to a text that is accepted again, and means the same.
 */
#include "builder/oci/reference.h"
#include "lib/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = strndup((const char *)data, bytes), again[REFERENCE_TEXT_MAX];
	struct reference reference, second;
	struct err err = ERR_INIT;
	if (reference_parse(text, &reference, &err) == 0) {
		reference_format(&reference, again);
		if (reference_parse(again, &second, &err) < 0 || memcmp(&reference.digest, &second.digest, sizeof(second.digest)) != 0 ||
		    strcmp(reference.host, second.host) != 0 || strcmp(reference.name, second.name) != 0 ||
		    strcmp(reference.tag, second.tag) != 0)
			abort();
	} else if (err.text[0] == '\0' || err.code >= 0) {
		abort();
	}
	free(text);
	return 0;
}
