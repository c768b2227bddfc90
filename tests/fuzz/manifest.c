/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests, indexes and configurations from anywhere: an error with a text, or structs that can be freed.
 */
#include "builder/oci/manifest.h"
#include "lib/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int result, const struct err *err)
{
	if (result < 0 && (err->text[0] == '\0' || err->code >= 0))
		abort();
}

static void check_config(const char *text, size_t bytes, size_t layer_count)
{
	struct err err = ERR_INIT;
	struct image_config config;
	int r = image_config_parse(text, bytes, layer_count, "fuzz", &config, &err);
	check(r, &err);
	if (r == 0)
		image_config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct platform platform = { "linux", "arm64", "v8" };
	const char *text = (const char *)data;
	struct err err = ERR_INIT;
	struct descriptor chosen;
	struct manifest manifest;
	enum document_kind kind;

	check(document_kind(text, bytes, NULL, "fuzz", &kind, &err), &err);
	err = (struct err)ERR_INIT;
	int r = index_choose(text, bytes, &platform, "fuzz", &chosen, &err);
	check(r, &err);
	if (r == 0)
		descriptor_free(&chosen);
	err = (struct err)ERR_INIT;
	r = manifest_parse(text, bytes, "fuzz", &manifest, &err);
	check(r, &err);
	if (r == 0)
		manifest_free(&manifest);
	check_config(text, bytes, 0);
	check_config(text, bytes, 1);
	return 0;
}
