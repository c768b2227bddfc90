/* SPDX-License-Identifier: Apache-2.0
 *
 * Databases of packages of any bytes, read as each of the kinds: a list of sound words, or an error with a text.
 */
#include "builder/package_rpm.h"
#include "builder/package_text.h"
#include "builder/packages.h"
#include "lib/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int result, struct packages *packages, const struct err *err)
{
	if (result < 0 && (err->text[0] == '\0' || err->code >= 0))
		abort();
	json_t *array = packages_json(packages);
	if (array == NULL || json_array_size(array) != packages->count)
		abort();
	for (size_t i = 0; i < packages->count; i++)
		if (!json_is_string(json_object_get(json_array_get(array, i), "name")))
			abort();
	json_decref(array);
	packages_free(packages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct packages packages = { 0 };
	struct err err = ERR_INIT;
	void *copy = malloc(bytes + 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, bytes);
	check(package_text_dpkg(&packages, copy, bytes, "status", &err), &packages, &err);
	check(package_text_apk(&packages, copy, bytes, "installed", &err), &packages, &err);
	check(package_rpm_header(&packages, copy, bytes, "header", &err), &packages, &err);
	check(package_rpm_sqlite(&packages, copy, bytes, "rpmdb.sqlite", &err), &packages, &err);
	free(copy);
	return 0;
}
